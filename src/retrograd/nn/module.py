"""Module: a tree of parameters, buffers and sub-modules, and what is done to the whole tree at once."""

from __future__ import annotations

import functools
import gc
import importlib
import inspect
import itertools
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Self, TypeVar

from retrograd.autograd import Function, no_grad
from retrograd.core import tape
from retrograd.core.levels import local, module_changed, switch
from retrograd.core.tape import Handle
from retrograd.core.tensor import Tensor, clear_gradients, wrap
from retrograd.dtypes import dtype
from retrograd.nn.parameter import Buffer, Parameter

T = TypeVar("T")


class _IncompatibleKeys(NamedTuple):
    """What `load_state_dict` could not match."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"_IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"

    __str__ = __repr__  # type: ignore[misc]


_hook_ids = itertools.count()
_global_forward_hooks: dict[int, Any] = {}
_global_forward_pre_hooks: dict[int, Any] = {}


def _add(hooks: dict[int, Any], hook: Any, *, prepend: bool = False) -> Handle:
    """Registers a hook; the handle removes it."""
    key = next(_hook_ids)
    hooks[key] = hook
    if prepend and isinstance(hooks, OrderedDict):
        hooks.move_to_end(key, last=False)
    module_changed()
    return _Hook(hooks, key)


class _Hook(Handle):
    """Removes a hook of a module."""

    def remove(self) -> None:
        """Takes the hook away; a second call does nothing."""
        super().remove()
        module_changed()


def register_module_forward_hook(hook: Callable[..., Any]) -> Handle:
    """Calls `hook(module, args, output)` after every module's forward."""
    return _add(_global_forward_hooks, hook)


def register_module_forward_pre_hook(hook: Callable[..., Any]) -> Handle:
    """Calls `hook(module, args)` before every module's forward."""
    return _add(_global_forward_pre_hooks, hook)


class Module:
    """The base of all layers and networks: assign Parameters and Modules to attributes, and write `forward`.

    >>> import retrograd as torch
    >>> class Twice(torch.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.inner = torch.nn.Linear(2, 1, bias=False)
    ...     def forward(self, x):
    ...         return 2 * self.inner(x)
    >>> Twice()
    Twice(
      (inner): Linear(in_features=2, out_features=1, bias=False)
    )
    """

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]
    _version = 1
    call_super_init = False
    dump_patches = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        put = super().__setattr__
        put("training", True)
        put("_parameters", {})
        put("_buffers", {})
        put("_non_persistent_buffers_set", set())
        put("_modules", {})
        for name in (
            "_forward_hooks", "_forward_pre_hooks", "_forward_hooks_with_kwargs", "_forward_pre_hooks_with_kwargs",
            "_forward_hooks_always_called", "_backward_hooks", "_backward_pre_hooks", "_state_dict_hooks",
            "_state_dict_pre_hooks", "_load_state_dict_pre_hooks", "_load_state_dict_post_hooks",
        ):  # fmt: skip
            put(name, OrderedDict())
        if self.call_super_init:
            super().__init__(*args, **kwargs)

    # ------------------------------------------------------------ calling

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; every subclass writes its own."""
        raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        watched = local.observer if switch.special else None
        if watched is not None:
            watched.entered(self)
        try:
            if (
                self._forward_hooks or self._forward_pre_hooks or self._backward_hooks or self._backward_pre_hooks
                or _global_forward_hooks or _global_forward_pre_hooks
            ):  # fmt: skip
                return self._call_with_hooks(args, kwargs)
            return self.forward(*args, **kwargs)
        except Exception as error:
            _note_path(error, self)
            raise
        finally:
            if watched is not None:
                watched.left(self)

    def _call_with_hooks(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        for key, hook in (*_global_forward_pre_hooks.items(), *self._forward_pre_hooks.items()):
            if key in self._forward_pre_hooks_with_kwargs:
                result = hook(self, args, kwargs)
                if result is not None:
                    if not (isinstance(result, tuple) and len(result) == 2):
                        raise RuntimeError(f"forward pre-hook must return None or a tuple of (new_args, new_kwargs), but got {result}.")
                    args, kwargs = result
            else:
                result = hook(self, args)
                if result is not None:
                    args = result if isinstance(result, tuple) else (result,)
        watch = BackwardWatch(self) if self._backward_hooks or self._backward_pre_hooks else None
        if watch is not None:
            args = watch.inputs(args)
        called: set[int] = set()
        try:
            result = self.forward(*args, **kwargs)
            for key, hook in (*_global_forward_hooks.items(), *self._forward_hooks.items()):
                called.add(key)
                with_kwargs = key in self._forward_hooks_with_kwargs
                replaced = hook(self, args, kwargs, result) if with_kwargs else hook(self, args, result)
                if replaced is not None:
                    result = replaced
        except Exception:
            for key in self._forward_hooks_always_called:
                if key in self._forward_hooks and key not in called:
                    hook = self._forward_hooks[key]
                    hook(self, args, kwargs, None) if key in self._forward_hooks_with_kwargs else hook(self, args, None)
            raise
        return result if watch is None else watch.outputs(result)

    # ------------------------------------------------------------ attributes

    def __setattr__(self, name: str, value: Any) -> None:
        module_changed()
        put = self.__dict__.get
        parameters, modules, buffers = put("_parameters"), put("_modules"), put("_buffers")
        if isinstance(value, Parameter):
            if parameters is None:
                raise AttributeError("cannot assign parameters before Module.__init__() call")
            self._forget(name, parameters)
            self.register_parameter(name, value)
        elif parameters is not None and name in parameters:
            if value is not None:
                raise TypeError(f"cannot assign '{_type_name(value)}' as parameter '{name}' (torch.nn.Parameter or None expected)")
            self.register_parameter(name, None)
        elif isinstance(value, Module):
            if modules is None:
                raise AttributeError("cannot assign module before Module.__init__() call")
            self._forget(name, modules)
            modules[name] = value
        elif modules is not None and name in modules:
            if value is not None:
                raise TypeError(f"cannot assign '{_type_name(value)}' as child module '{name}' (torch.nn.Module or None expected)")
            modules[name] = None
        elif isinstance(value, Buffer):
            if buffers is None:
                raise AttributeError("cannot assign buffer before Module.__init__() call")
            self._forget(name, buffers)
            self.register_buffer(name, value, value.persistent)
        elif buffers is not None and name in buffers:
            if value is not None and not isinstance(value, Tensor):
                raise TypeError(f"cannot assign '{_type_name(value)}' as buffer '{name}' (torch.nn.Buffer, torch.Tensor or None expected)")
            buffers[name] = value
        else:
            super().__setattr__(name, value)

    def _forget(self, name: str, but: dict[str, Any]) -> None:
        """Takes a name from wherever it is registered, but for one table: there it keeps its place in the order."""
        for place in (self.__dict__, self._parameters, self._buffers, self._modules):
            if place is not but:
                place.pop(name, None)
        self._non_persistent_buffers_set.discard(name)

    def __getattr__(self, name: str) -> Any:
        for place in ("_parameters", "_buffers", "_modules"):
            found = self.__dict__.get(place)
            if found is not None and name in found:
                return found[name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __delattr__(self, name: str) -> None:
        module_changed()
        for place in (self._parameters, self._buffers, self._modules):
            if name in place:
                del place[name]
                self._non_persistent_buffers_set.discard(name)
                return
        super().__delattr__(name)

    def __dir__(self) -> list[str]:
        names = {*dir(type(self)), *self.__dict__, *self._parameters, *self._modules, *self._buffers}
        return sorted(n for n in names if not n[:1].isdigit())

    def _check_name(self, kind: str, name: Any, registered: Mapping[str, Any]) -> None:
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string. Got {_type_name(name)}")
        if "." in name:
            raise KeyError(f'{kind} name can\'t contain "."' + (f", got: {name}" if kind == "module" else ""))
        if name == "":
            raise KeyError(f'{kind} name can\'t be empty string ""')
        if hasattr(self, name) and name not in registered:
            raise KeyError(f"attribute '{name}' already exists")

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Adds a parameter under a name (None: reserves the name).

        Raises:
            KeyError: if the name is empty, has a dot, or is taken.
            TypeError: if it is not a Parameter.
            ValueError: if it was computed from other tensors.
        """
        if "_parameters" not in self.__dict__:
            raise AttributeError("cannot assign parameter before Module.__init__() call")
        self._check_name("parameter", name, self._parameters)
        if param is not None:
            if not isinstance(param, Parameter):
                raise TypeError(f"cannot assign '{_type_name(param)}' object to parameter '{name}' (torch.nn.Parameter or None required)")
            if param.grad_fn is not None:
                raise ValueError(
                    f"Cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must be created explicitly. To express "
                    f"'{name}' as a function of another Tensor, compute the value in the forward() method."
                )
        self._parameters[name] = param
        module_changed()

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Adds a tensor that is part of the state but not trained; with `persistent`, of the `state_dict` too."""
        if "_buffers" not in self.__dict__:
            raise AttributeError("cannot assign buffer before Module.__init__() call")
        self._check_name("buffer", name, self._buffers)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(f"cannot assign '{_type_name(tensor)}' object to buffer '{name}' (torch Tensor or None required)")
        self._buffers[name] = tensor
        module_changed()
        (self._non_persistent_buffers_set.discard if persistent else self._non_persistent_buffers_set.add)(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Adds a sub-module under a name."""
        if not isinstance(module, Module) and module is not None:
            raise TypeError(f"{_type_name(module)} is not a Module subclass")
        self._check_name("module", name, self._modules)
        self._modules[name] = module
        module_changed()

    def register_module(self, name: str, module: Module | None) -> None:
        """The same as `add_module`."""
        self.add_module(name, module)

    # ------------------------------------------------------------ the tree

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """(path, module) of this module and all below it, each once."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(memo, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """This module and all below it, each once."""
        for _, module in self.named_modules(remove_duplicate=remove_duplicate):
            yield module

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """(name, module) of the modules directly below, each once."""
        seen = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        """The modules directly below, each once."""
        for _, module in self.named_children():
            yield module

    def _named_members(self, get: Callable[[Module], Any], prefix: str, recurse: bool, remove_duplicate: bool) -> Iterator[tuple[str, Any]]:
        seen = set()
        modules = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate) if recurse else [(prefix, self)]
        for path, module in modules:
            for name, member in get(module):
                if member is None or id(member) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(member))
                yield (f"{path}.{name}" if path else name), member

    def named_parameters(self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True) -> Iterator[tuple[str, Parameter]]:
        """(path, parameter) of all parameters, each once."""
        return self._named_members(lambda m: m._parameters.items(), prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """All parameters, each once.

        >>> import retrograd as torch
        >>> [tuple(p.shape) for p in torch.nn.Linear(3, 2).parameters()]
        [(2, 3), (2,)]
        """
        for _, parameter in self.named_parameters(recurse=recurse):
            yield parameter

    def named_buffers(self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True) -> Iterator[tuple[str, Tensor]]:
        """(path, buffer) of all buffers, each once."""
        return self._named_members(lambda m: m._buffers.items(), prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """All buffers, each once."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    def get_submodule(self, target: str) -> Module:
        """The module at a dotted path. Raises AttributeError if there is none."""
        module = self
        for part in target.split(".") if target else []:
            if not hasattr(module, part):
                raise AttributeError(f"{type(module).__name__} has no attribute `{part}`")
            module = getattr(module, part)
            if not isinstance(module, Module):
                raise AttributeError(f"`{part}` is not an nn.Module")
        return module

    def _get_member(self, target: str, kind: str) -> Any:
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if not hasattr(module, name):
            raise AttributeError(f"{type(module).__name__} has no attribute `{name}`")
        found = getattr(module, name)
        if name not in (module._parameters if kind == "parameter" else module._buffers):
            raise AttributeError(f"`{name}` is not an nn.Parameter" if kind == "parameter" else f"`{name}` is not a buffer")
        return found

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a dotted path. Raises AttributeError if there is none."""
        return self._get_member(target, "parameter")

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a dotted path. Raises AttributeError if there is none."""
        return self._get_member(target, "buffer")

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Puts a module at a dotted path."""
        if target == "":
            raise ValueError("Cannot set the submodule without a target name!")
        path, _, name = target.rpartition(".")
        parent = self.get_submodule(path)
        if strict and not hasattr(parent, name):
            raise AttributeError(f"{type(parent).__name__} has no attribute `{name}`")
        setattr(parent, name, module)

    # ------------------------------------------------------------ doing something to all of it

    def apply(self, fn: Callable[[Module], Any]) -> Self:
        """Calls `fn` on every module below, then on this one."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def train(self, mode: bool = True) -> Self:
        """Sets training mode (dropout drops, batch norm learns its statistics) here and below."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self) -> Self:
        """Sets evaluation mode here and below."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Sets whether gradients of all parameters are wanted."""
        for p in self.parameters():
            p.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool | None = None) -> None:
        """Clears the gradients of all parameters, as an optimizer's `zero_grad` does.

        By default `.grad` then reads as zeros, while for optimizers, clipping and accumulation no gradient is there (see
        docs/differences.md). `True` makes it None, `False` fills the gradient tensors with zeros, as in PyTorch.
        """
        clear_gradients(self.parameters(), set_to_none)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Replaces the memory of every parameter, gradient and buffer by what `fn` makes of it."""
        if recurse:
            for module in self.children():
                module._apply(fn)
        with no_grad():
            for param in self._parameters.values():
                if param is not None:
                    param.data = fn(param.detach())
                    if isinstance(param._grad, Tensor):
                        param._grad = fn(param._grad.detach())
            for name, buffer in self._buffers.items():
                if buffer is not None:
                    self._buffers[name] = fn(buffer)
                    module_changed()
        return self

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Converts floating parameters and buffers to a dtype; devices are checked.

        Raises:
            TypeError: if the dtype is not floating or complex.
        """
        wanted = next((a for a in (*args, kwargs.get("dtype")) if isinstance(a, dtype)), None)
        other = next((a for a in args if isinstance(a, Tensor)), None)
        wanted = other.dtype if other is not None else wanted
        if wanted is not None and not (wanted.is_floating_point or wanted.is_complex):
            raise TypeError(f"nn.Module.to only accepts floating point or complex dtypes, but got desired dtype={wanted}")
        wrap(0.0).to(*[a for a in args if not isinstance(a, Tensor)], **kwargs)  # checks
        if wanted is None:
            return self
        return self._apply(lambda t: t.to(wanted) if t.dtype.is_floating_point or t.dtype.is_complex else t)

    def _to_floating(self, name: str) -> Self:
        return self._apply(lambda t: getattr(t, name)() if t.dtype.is_floating_point else t)

    def float(self) -> Self:
        """Converts floating parameters and buffers to float32."""
        return self._to_floating("float")

    def double(self) -> Self:
        """Converts floating parameters and buffers to float64."""
        return self._to_floating("double")

    def half(self) -> Self:
        """Converts floating parameters and buffers to float16."""
        return self._to_floating("half")

    def bfloat16(self) -> Self:
        """Converts floating parameters and buffers to bfloat16."""
        return self._to_floating("bfloat16")

    def type(self, dst_type: Any) -> Self:
        """Converts all parameters and buffers to a dtype."""
        return self._apply(lambda t: t.type(dst_type))

    def cpu(self) -> Self:
        """Itself: everything lives on the CPU."""
        return self

    def cuda(self, device: Any = None) -> Self:
        """Raises AssertionError: there is no CUDA here."""
        return self.to("cuda")

    def share_memory(self) -> Self:
        """Itself."""
        return self

    # ------------------------------------------------------------ state

    def get_extra_state(self) -> Any:
        """More state to keep in `state_dict`; override together with `set_extra_state`."""
        raise RuntimeError("Reached a code path in Module.get_extra_state() that should never be called.")

    def set_extra_state(self, state: Any) -> None:
        """Takes what `get_extra_state` gave."""
        raise RuntimeError("Reached a code path in Module.set_extra_state() that should never be called.")

    def state_dict(self, *args: Any, destination: Any = None, prefix: str = "", keep_vars: bool = False) -> Any:
        """All parameters and persistent buffers by path, on the same memory (detached, unless `keep_vars`)."""
        if args:
            destination, prefix, keep_vars = (*args, *(destination, prefix, keep_vars)[len(args) :])  # type: ignore[misc]
        if destination is None:
            destination = OrderedDict()
            destination._metadata = OrderedDict()
        metadata = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = metadata
        for hook in self._state_dict_pre_hooks.values():
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        for hook in self._state_dict_hooks.values():
            replaced = hook(self, destination, prefix, metadata)
            if replaced is not None:
                destination = replaced
        return destination

    def _persistent(self) -> Iterator[tuple[str, Tensor]]:
        for name, param in self._parameters.items():
            if param is not None:
                yield name, param
        for name, buffer in self._buffers.items():
            if buffer is not None and name not in self._non_persistent_buffers_set:
                yield name, buffer

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        for name, tensor in self._persistent():
            destination[prefix + name] = tensor if keep_vars else tensor.detach()
        if type(self).get_extra_state is not Module.get_extra_state:
            destination[f"{prefix}_extra_state"] = self.get_extra_state()

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> _IncompatibleKeys:
        """Copies parameters and buffers from a `state_dict` (or takes its tensors, with `assign`).

        All keys and shapes are checked; on an error nothing that fits is lost, as in PyTorch.

        Raises:
            TypeError: if it is not a mapping.
            RuntimeError: if keys are missing or unexpected (with `strict`), or shapes differ.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        missing: list[str] = []
        unexpected: list[str] = []
        errors: list[str] = []
        metadata = getattr(state_dict, "_metadata", {}) or {}
        state = OrderedDict(state_dict)
        self._load(state, "", metadata, strict, assign, missing, unexpected, errors)
        if strict:
            if unexpected:
                errors.insert(0, "Unexpected key(s) in state_dict: " + ", ".join(f'"{k}"' for k in unexpected) + ". ")
            if missing:
                errors.insert(0, "Missing key(s) in state_dict: " + ", ".join(f'"{k}"' for k in missing) + ". ")
        if errors:
            raise RuntimeError(f"Error(s) in loading state_dict for {type(self).__name__}:\n\t" + "\n\t".join(errors))
        return _IncompatibleKeys(missing, unexpected)  # type: ignore[call-arg]

    def _load(
        self, state: dict[str, Any], prefix: str, metadata: Any, strict: bool, assign: bool,
        missing: list[str], unexpected: list[str], errors: list[str],
    ) -> None:  # fmt: skip
        local = dict(metadata.get(prefix[:-1], {}), assign_to_params_buffers=assign)
        self._load_from_state_dict(state, prefix, local, True, missing, unexpected, errors)
        for name, module in self._modules.items():
            if module is not None:
                module._load(state, f"{prefix}{name}.", metadata, strict, assign, missing, unexpected, errors)
        incompatible = _IncompatibleKeys(missing, unexpected)  # type: ignore[call-arg]
        for hook in self._load_state_dict_post_hooks.values():
            if hook(self, incompatible) is not None:
                raise AssertionError(
                    "Hooks registered with ``register_load_state_dict_post_hook`` are not expected to return new values, if incompatible_keys need to be modified, it should be done inplace."
                )

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata: Any, strict: bool,
        missing_keys: list[str], unexpected_keys: list[str], error_msgs: list[str],
    ) -> None:  # fmt: skip
        for hook in self._load_state_dict_pre_hooks.values():
            hook(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)
        assign = local_metadata.get("assign_to_params_buffers", False)
        for name, mine in list(self._persistent()):  # a list, since `assign` sets attributes
            key = prefix + name
            if key not in state_dict:
                missing_keys.append(key)
            else:
                problem = self._load_tensor(name, mine, state_dict[key], assign)
                if problem:
                    error_msgs.append(problem.format(key=key))
        extra = f"{prefix}_extra_state"
        if type(self).set_extra_state is not Module.set_extra_state:
            if extra in state_dict:
                self.set_extra_state(state_dict[extra])
            else:
                missing_keys.append(extra)
        own = {name for name, _ in self._persistent()}
        for key in state_dict:
            if key.startswith(prefix) and key != extra:
                first, dot, _ = key[len(prefix) :].partition(".")
                if not ((dot and first in self._modules) or first in own):
                    unexpected_keys.append(key)

    def _load_tensor(self, name: str, mine: Tensor, given: Any, assign: bool) -> str:
        """Loads one tensor; says what was wrong with it, if something was."""
        if not isinstance(given, Tensor):
            return (
                'While copying the parameter named "{key}", expected torch.Tensor or Tensor-like object from checkpoint but received '
                + str(type(given))
            )
        if given.shape != mine.shape:
            if mine.shape == () and given.shape == (1,):
                given = given[0]
            else:
                return (
                    f"size mismatch for {{key}}: copying a param with shape {given.shape} from checkpoint, the shape in current "
                    f"model is {mine.shape}."
                )
        with no_grad():
            if not assign:
                mine.copy_(given)
            elif isinstance(mine, Parameter):
                setattr(self, name, given if isinstance(given, Parameter) else Parameter(given, mine.requires_grad))
            else:
                setattr(self, name, given)
        return ""

    # ------------------------------------------------------------ hooks

    def register_forward_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ) -> Handle:
        """Calls `hook(module, args, output)` after forward; what it returns replaces the output."""
        handle = _add(self._forward_hooks, hook, prepend=prepend)
        if with_kwargs:
            self._forward_hooks_with_kwargs[handle.key] = True
        if always_call:
            self._forward_hooks_always_called[handle.key] = True
        return handle

    def register_forward_pre_hook(self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False) -> Handle:
        """Calls `hook(module, args)` before forward; what it returns replaces the arguments."""
        handle = _add(self._forward_pre_hooks, hook, prepend=prepend)
        if with_kwargs:
            self._forward_pre_hooks_with_kwargs[handle.key] = True
        return handle

    def register_full_backward_hook(self, hook: Callable[..., Any], prepend: bool = False) -> Handle:
        """Calls `hook(module, grad_input, grad_output)` when gradients for the module's inputs are known."""
        return _add(self._backward_hooks, hook, prepend=prepend)

    def register_full_backward_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> Handle:
        """Calls `hook(module, grad_output)` when gradients for the module's outputs are known."""
        return _add(self._backward_pre_hooks, hook, prepend=prepend)

    register_backward_hook = register_full_backward_hook

    def register_state_dict_post_hook(self, hook: Callable[..., Any]) -> Handle:
        """Calls `hook(module, state_dict, prefix, metadata)` at the end of `state_dict`."""
        return _add(self._state_dict_hooks, hook)

    _register_state_dict_hook = register_state_dict_post_hook

    def register_state_dict_pre_hook(self, hook: Callable[..., Any]) -> Handle:
        """Calls `hook(module, prefix, keep_vars)` at the start of `state_dict`."""
        return _add(self._state_dict_pre_hooks, hook)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any]) -> Handle:
        """Calls `hook(module, state_dict, prefix, ...)` before loading."""
        return _add(self._load_state_dict_pre_hooks, functools.partial(hook, self))

    def _register_load_state_dict_pre_hook(self, hook: Callable[..., Any], with_module: bool = False) -> Handle:
        return _add(self._load_state_dict_pre_hooks, functools.partial(hook, self) if with_module else hook)

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any]) -> Handle:
        """Calls `hook(module, incompatible_keys)` after loading."""
        return _add(self._load_state_dict_post_hooks, hook)

    # ------------------------------------------------------------ text, copies

    def _get_name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        """What stands in the brackets of the module's text."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        head = extra.split("\n") if extra else []
        body = [f"({name}): " + _indent(repr(module)) for name, module in self._modules.items()]
        text = self._get_name() + "("
        if head or body:
            text += head[0] if len(head) == 1 and not body else "\n  " + "\n  ".join(head + body) + "\n"
        return text + ")"

    def _repr_html_(self) -> str:
        return importlib.import_module("retrograd.seeing.notebook").html_of(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


def _indent(text: str) -> str:
    """All lines but the first moved in by two."""
    return text.replace("\n", "\n  ")


def _type_name(value: Any) -> str:
    """The type as PyTorch's messages name it."""
    kind = type(value)
    return f"{kind.__module__}.{kind.__qualname__}" if kind.__module__ != "builtins" else kind.__name__


def _note_path(error: Exception, module: Module) -> None:
    """Says in the error where in the tree of modules it happened: the innermost module first, then its path from each caller."""
    notes = getattr(error, "__notes__", [])
    at = next((i for i, note in enumerate(notes) if note.startswith("in module ")), None)
    if at is None:
        error._module_trail = [module]  # type: ignore[attr-defined]
        error.add_note(f"in module {type(module).__name__}: {inspect.cleandoc(repr(module)).splitlines()[0]}")
        return
    trail = getattr(error, "_module_trail", None)
    if trail is None:
        return
    inner = trail[0]
    path = next((name for name, m in module.named_modules() if m is inner), None)
    if path:
        notes[at] = f"in module '{path}' of {type(module).__name__}: {repr(inner).splitlines()[0]}"


class BackwardWatch:
    """Sees the cotangents of a module's inputs and outputs, for its full backward hooks."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.grad_outputs: Any = None
        self.has_inputs = False

    def inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments, passed through a node that calls the hooks with their cotangents."""
        tensors = [a for a in args if isinstance(a, Tensor)]
        if not any(t.requires_grad for t in tensors):
            return args
        self.has_inputs = True
        passed = iter(pass_through(tensors, self.after))
        return tuple(next(passed) if isinstance(a, Tensor) else a for a in args)

    def outputs(self, result: Any) -> Any:
        """The result, passed through a node that notes its cotangents."""
        several = isinstance(result, tuple)
        items = result if several else (result,)
        tensors = [r for r in items if isinstance(r, Tensor)]
        if not any(t.requires_grad for t in tensors):
            return result
        passed = iter(pass_through(tensors, self.before))
        out = tuple(next(passed) if isinstance(r, Tensor) else r for r in items)
        return out if several else out[0]

    def before(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        """The outputs' cotangents have come."""
        for hook in self.module._backward_pre_hooks.values():
            replaced = hook(self.module, grads)
            if replaced is not None:
                grads = replaced if isinstance(replaced, tuple) else (replaced,)
        self.grad_outputs = grads
        if not self.has_inputs:
            for hook in self.module._backward_hooks.values():
                hook(self.module, (), grads)
        return grads

    def after(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        """The inputs' cotangents have come."""
        for hook in self.module._backward_hooks.values():
            replaced = hook(self.module, grads, self.grad_outputs)
            if replaced is not None:
                grads = replaced if isinstance(replaced, tuple) else (replaced,)
        return grads


def pass_through(tensors: list[Tensor], see: Callable[[tuple[Any, ...]], tuple[Any, ...]]) -> tuple[Tensor, ...]:
    """The same values behind one node, whose backward lets `see` look at (and replace) all their cotangents at once."""

    class BackwardHook(Function):
        @staticmethod
        def forward(ctx: Any, *values: Tensor) -> Any:
            ctx.set_materialize_grads(False)
            return tuple(v.view_as(v) for v in values)

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            return see(grads)

    out = BackwardHook.apply(*tensors)
    return out if isinstance(out, tuple) else (out,)


def parameter_path(tensor: Tensor) -> str | None:
    """The longest path of a parameter in any module that is alive, for error messages: it looks through all objects."""
    paths = [
        name
        for module in gc.get_objects()
        if issubclass(type(module), Module)  # isinstance would ask the object, and objects answer with warnings
        for name, found in module.named_parameters(remove_duplicate=False)
        if found is tensor
    ]
    return max(paths, key=len, default=None)


tape.name_of_leaf = parameter_path
