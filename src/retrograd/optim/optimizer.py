"""Optimizer: parameter groups, per-parameter state, hooks, saving and loading. Each algorithm states one rule.

An algorithm lists its hyperparameters with what they may be, and says three things: the names of its `buffers`, the `scalars` of
a step (numbers worked out once for each parameter), and the `rule` for one element, written with a builder's methods. Here the
rule runs on whole arrays (`optim/arrays.py`).
"""

from __future__ import annotations

import copy
import itertools
import math
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

import numpy as np

from retrograd.autograd import enable_grad
from retrograd.core.levels import complete_observer, observed, observer
from retrograd.core.tape import QUIET, Handle, restore, silence
from retrograd.core.tensor import Box, Tensor, clear_gradients, real_grad, wrap
from retrograd.optim.arrays import ArrayBuilder

required: Any = object()
_hook_ids = itertools.count()


def check(holds: bool, name: str, value: Any) -> None:
    """Raises ValueError in PyTorch's words if a hyperparameter is out of range, or not finite."""
    if isinstance(value, Tensor):
        value = value.item()
    finite = not isinstance(value, float) or math.isfinite(value)
    if not (holds and finite):
        raise ValueError(f"Invalid {name}: {value}")


class Optimizer:
    """The base of all optimizers.

    Args:
        params: tensors; or (name, tensor) pairs; or dicts, each a group with hyperparameters of its own.
        defaults: hyperparameters of groups that do not give theirs.

    Raises:
        TypeError: if `params` is a tensor, or holds something else than tensors, dicts and pairs.
        ValueError: if there are none, one is not a leaf, or one is given twice.
    """

    param_groups: list[dict[str, Any]]
    state: dict[Any, Any]
    # hung here by who can make it (compile/eager.py): from an optimizer and a group, what does `update`'s work more quickly
    quicken: ClassVar[Callable[[Optimizer, dict[str, Any]], Callable[..., None]] | None] = None

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        if isinstance(params, Tensor):
            raise TypeError(f"params argument given to the optimizer should be an iterable of Tensors or dicts, but got {params.type()}")
        if defaults.get("differentiable"):
            raise NotImplementedError(
                "differentiable=True: steps are taken in place on arrays; differentiate through a step by writing it out"
            )
        self.defaults = defaults
        self.state = defaultdict(dict)
        self.param_groups = []
        self._step_pre_hooks: dict[int, Any] = {}
        self._step_post_hooks: dict[int, Any] = {}
        self._state_dict_pre_hooks: dict[int, Any] = {}
        self._state_dict_post_hooks: dict[int, Any] = {}
        self._load_pre_hooks: dict[int, Any] = {}
        self._load_post_hooks: dict[int, Any] = {}
        self._arrays = ArrayBuilder()
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds a group of parameters with hyperparameters of its own. Nothing is added if something is wrong with it."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        group = dict(param_group)
        params = group["params"]
        if isinstance(params, Tensor):
            params = [params]
        elif isinstance(params, set):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but the ordering of tensors in sets will change between runs. Please use a list instead."
            )
        params = list(params)
        named = [isinstance(p, tuple) for p in params]
        if any(named) and not all(named):
            raise ValueError("all optimizer params should be with/without names. Some param names are missing")
        if self.param_groups and any(named) != ("param_names" in self.param_groups[0]):
            raise ValueError("all optimizer param groups should be with/without names. cannot add param group with names to the optimizer")
        if any(named):
            group["param_names"] = [name for name, _ in params]
            params = [p for _, p in params]
        for p in params:
            if not isinstance(p, Tensor):
                raise TypeError(f"optimizer can only optimize Tensors, but one of the params is {type(p).__name__}")
            if not (p.is_leaf or (p._extra is not None and p._extra.retain)):
                raise ValueError("can't optimize a non-leaf Tensor")
        group["params"] = params
        for name, default in self.defaults.items():
            if default is required and name not in group:
                raise ValueError(f"parameter group didn't specify a value of required optimization parameter {name}")
            group.setdefault(name, default)
        ids = [id(p) for p in params]
        if len(ids) != len(set(ids)):
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters: each is updated as often as it is listed",
                UserWarning,
                stacklevel=3,
            )
        if set(ids) & {id(p) for g in self.param_groups for p in g["params"]}:
            raise ValueError("some parameters appear in more than one parameter group")
        self.param_groups.append(group)

    # ------------------------------------------------------------ one step

    def zero_grad(self, set_to_none: bool | None = None) -> None:
        """Clears the gradients of all parameters.

        By default `.grad` then reads as zeros, while for the optimizer, clipping and accumulation no gradient is there (see
        docs/differences.md). `True` makes it None, `False` fills the gradient tensors with zeros, as in PyTorch.
        """
        for group in self.param_groups:
            clear_gradients(group["params"], set_to_none)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Updates every parameter that has a gradient; `closure`, if given, computes the loss first and is returned from."""
        for hook in list(self._step_pre_hooks.values()):
            hook(self, (closure,) if closure else (), {})
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        token = silence(QUIET)
        try:
            for group in self.param_groups:
                self.step_group(group)
        finally:
            restore(token)
        watched = observer()
        if watched is not None:
            watched.stepped(self)
        for hook in list(self._step_post_hooks.values()):
            hook(self, (closure,) if closure else (), {})
        return loss

    def step_group(self, group: dict[str, Any]) -> None:
        """Updates the parameters of one group."""
        watched = observer()
        quicken = Optimizer.quicken
        update = self.update if quicken is None or complete_observer() is not None else quicken(self, group)
        for p in group["params"]:
            grad = real_grad(p)
            if watched is not None:
                watched.gradient_met(p, grad)
            if grad is None:
                continue
            if grad.__class__ is Box or p.__class__ is Box:
                raise RuntimeError("optimizer.step() inside a function transform")
            if watched is not None:
                watched.updates(self, group, p, grad)
            state, w = self.state[p], p._data
            if watched is None or not watched.complete:
                scalars = self.scalars(group, state)
            else:
                with observed(None):  # hyperparameters may be tensors: their numbers are live
                    scalars = self.scalars(group, state)
            names = self.buffers(group)
            update(w, grad._data, [buffer(state, name, w) for name in names] if names else (), scalars, group)
            p._version[0] += 1

    def update(self, w: Any, g: Any, buffers: Sequence[Any], scalars: Sequence[float], group: dict[str, Any]) -> None:
        """Runs the rule on a parameter's array and on the arrays of its buffers, in place."""
        k = self._arrays
        results = self.rule(k, w, k.neg(g) if group.get("maximize") else g, buffers, scalars, group)
        for array, result in zip((w, *buffers), results, strict=True):
            if result is not array:
                np.copyto(array, result)

    def buffers(self, group: dict[str, Any]) -> Sequence[str]:
        """The names of what is kept of every element of a parameter: arrays of its shape, zeros at first."""
        return ()

    def scalars(self, group: dict[str, Any], state: dict[str, Any]) -> tuple[float, ...]:
        """The numbers of one step of one parameter; counts the step, where the algorithm counts steps."""
        raise NotImplementedError(f"{type(self).__name__} states no scalars")

    def rule(self, k: Any, w: Any, g: Any, buffers: Sequence[Any], scalars: Sequence[float], group: dict[str, Any]) -> tuple[Any, ...]:
        """The new value of one element and of its buffers.

        Args:
            k: the builder, whose methods compute.
            w, g, buffers: the element, its gradient, and what is kept of it.
            scalars: what `scalars` gave.
            group: says which terms there are (`if group["weight_decay"]`); numbers come from `scalars`, which change.
        """
        raise NotImplementedError(f"{type(self).__name__} states no rule")

    # ------------------------------------------------------------ saving and loading

    def state_dict(self) -> dict[str, Any]:
        """Groups and state, with parameters as numbers in the order of the groups."""
        for hook in list(self._state_dict_pre_hooks.values()):
            hook(self)
        numbers: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            for p in group["params"]:
                numbers.setdefault(id(p), len(numbers))
            packed = {k: v for k, v in group.items() if k != "params"}
            packed["params"] = [numbers[id(p)] for p in group["params"]]
            groups.append(packed)
        state = {(numbers[id(k)] if isinstance(k, Tensor) else k): v for k, v in self.state.items()}
        result = {"state": state, "param_groups": groups}
        for hook in list(self._state_dict_post_hooks.values()):
            replaced = hook(self, result)
            result = result if replaced is None else replaced
        return result

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes groups and state from a `state_dict`; nothing is changed if it does not fit.

        Raises:
            ValueError: if the number of groups, or of parameters in one, differs.
        """
        for hook in list(self._load_pre_hooks.values()):
            replaced = hook(self, state_dict)
            state_dict = state_dict if replaced is None else replaced
        mine, given = self.param_groups, copy.deepcopy(state_dict["param_groups"])
        if len(mine) != len(given):
            raise ValueError("loaded state dict has a different number of parameter groups")
        if any(len(a["params"]) != len(b["params"]) for a, b in zip(mine, given, strict=True)):
            raise ValueError("loaded state dict contains a parameter group that doesn't match the size of optimizer's group")
        by_number = {number: p for a, b in zip(mine, given, strict=True) for number, p in zip(b["params"], a["params"], strict=True)}
        state: dict[Any, Any] = defaultdict(dict)
        for key, value in state_dict["state"].items():
            p = by_number.get(key)
            state[key if p is None else p] = value if p is None else {k: self.adopt(k, v, p) for k, v in value.items()}
        self.state = state
        self.param_groups = [{**b, "params": a["params"]} for a, b in zip(mine, given, strict=True)]
        for group, before in zip(self.param_groups, mine, strict=True):
            if "param_names" in before:
                group.setdefault("param_names", before["param_names"])
        for hook in list(self._load_post_hooks.values()):
            hook(self)

    @staticmethod
    def adopt(name: str, value: Any, p: Tensor) -> Any:
        """A piece of state for a parameter: a copy, in the parameter's dtype unless it is the step count."""
        if not isinstance(value, Tensor):
            return copy.deepcopy(value)
        copied = value.detach().clone()
        return copied if name == "step" or not p.dtype.is_floating_point else copied.to(p.dtype)

    def __getstate__(self) -> dict[str, Any]:
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name in (
            "_step_pre_hooks",
            "_step_post_hooks",
            "_state_dict_pre_hooks",
            "_state_dict_post_hooks",
            "_load_pre_hooks",
            "_load_post_hooks",
        ):
            self.__dict__.setdefault(name, {})
        self._arrays = ArrayBuilder()
        self.__dict__.update(state)

    # ------------------------------------------------------------ hooks and text

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> Handle:
        """Calls `hook(optimizer, args, kwargs)` before every step."""
        return register(self._step_pre_hooks, hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> Handle:
        """Calls `hook(optimizer, args, kwargs)` after every step."""
        return register(self._step_post_hooks, hook)

    def register_state_dict_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> Handle:
        """Calls `hook(optimizer)` before `state_dict`."""
        return register(self._state_dict_pre_hooks, hook)

    def register_state_dict_post_hook(self, hook: Callable[..., Any], prepend: bool = False) -> Handle:
        """Calls `hook(optimizer, state_dict)` after `state_dict`."""
        return register(self._state_dict_post_hooks, hook)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> Handle:
        """Calls `hook(optimizer, state_dict)` before loading."""
        return register(self._load_pre_hooks, hook)

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any], prepend: bool = False) -> Handle:
        """Calls `hook(optimizer)` after loading."""
        return register(self._load_post_hooks, hook)

    def __repr__(self) -> str:
        text = type(self).__name__ + " ("
        for i, group in enumerate(self.param_groups):
            text += f"\nParameter Group {i}\n"
            text += "".join(f"    {k}: {group[k]}\n" for k in sorted(group) if k != "params")
        return text + ")"


def register(hooks: dict[int, Any], hook: Any) -> Handle:
    """Adds a hook; the handle removes it."""
    key = next(_hook_ids)
    hooks[key] = hook
    return Handle(hooks, key)


def check_learning_rate(lr: Any, foreach: bool | None) -> None:
    """Raises ValueError unless the learning rate is a finite number, not negative, or a tensor of one."""
    if isinstance(lr, Tensor):
        if foreach:
            raise ValueError("lr as a Tensor is not supported for capturable=False and foreach=True")
        if lr.shape.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
    check(number(lr) >= 0.0, "learning rate", lr)


def number(value: Any) -> float:
    """A hyperparameter that may be a tensor, as a Python number."""
    return value.item() if isinstance(value, Tensor) else value


def buffer(state: dict[str, Any], name: str, like: Any) -> Any:
    """The array of a piece of state, zeros the first time."""
    if state.get(name) is None:
        state[name] = wrap(np.zeros_like(like))
    return state[name]._data


def count_step(state: dict[str, Any]) -> float:
    """Adds one to a parameter's step count, a float32 tensor as in PyTorch, and returns it."""
    if "step" not in state:
        state["step"] = wrap(np.zeros((), np.float32))
    array = state["step"]._data
    array += 1
    return float(array)
