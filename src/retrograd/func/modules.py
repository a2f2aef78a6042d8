"""Modules as functions of their parameters: `functional_call` and `stack_module_state`. A module is known here by its attributes only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from retrograd.core.levels import module_changed
from retrograd.core.tensor import Tensor
from retrograd.ops.join import stack


def functional_call(
    module: Any,
    parameter_and_buffer_dicts: Any,
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """Calls a module with other tensors in place of its parameters and buffers.

    Args:
        parameter_and_buffer_dicts: tensors by name (`"0.weight"`), in one dict or in several without a name in common. What
            is not named stays as it is.
        args: the argument of the call, or the tuple of several.
        tie_weights: a tensor given for one name of a shared parameter stands for all its names.
        strict: raise if names are missing or unknown.

    Raises:
        ValueError: if two dicts share a name, or tied weights are given different tensors.
        TypeError: if a value is not a tensor.
        RuntimeError: with `strict`, if names are missing or unknown.
        KeyError: if a module has no such attribute.
    """
    values = merged(parameter_and_buffer_dicts)
    values = with_tied(module, values, tie_weights)
    if strict:
        check_names(module, values)
    if args is None:
        args = ()
    elif not isinstance(args, tuple):
        args = (args,)
    with swapped(module, values):
        return module(*args, **(kwargs or {}))


def merged(dicts: Any) -> dict[str, Any]:
    """One dict of tensors by name."""
    if isinstance(dicts, Mapping):
        found = dict(dicts)
    elif isinstance(dicts, Sequence):
        if not all(isinstance(d, Mapping) for d in dicts):
            raise ValueError(
                f"Expected all elements of parameter_and_buffer_dicts to be dictionaries, but got {[type(d).__name__ for d in dicts]}"
            )
        found = {}
        for d in dicts:
            for name, value in d.items():
                if name in found:
                    raise ValueError(f"{name} appears in multiple dictionaries; behavior of functional call is ambiguous")
                found[name] = value
    else:
        raise ValueError(f"Expected parameter_and_buffer_dicts to be a dict, or a list/tuple of dicts, but got {type(dicts)}")
    return found


def names_by_tensor(module: Any) -> list[list[str]]:
    """The names of every parameter and buffer; a shared one has several."""
    groups: dict[int, list[str]] = {}
    for members in (module.named_parameters(remove_duplicate=False), module.named_buffers(remove_duplicate=False)):
        for name, tensor in members:
            groups.setdefault(id(tensor), []).append(name)
    return list(groups.values())


def with_tied(module: Any, values: dict[str, Any], tie_weights: bool) -> dict[str, Any]:
    """The values, each given to all names of its parameter."""
    if not tie_weights:
        return values
    out = dict(values)
    for names in names_by_tensor(module):
        given = [n for n in names if n in values]
        if not given:
            continue
        if any(values[n] is not values[given[0]] for n in given):
            raise ValueError(
                f"functional_call got multiple values for keys {sorted(given)}, which are tied. Consider using tie_weights=False"
            )
        for n in names:
            out[n] = values[given[0]]
    return out


def check_names(module: Any, values: Mapping[str, Any]) -> None:
    """Raises RuntimeError unless every parameter and buffer is given, and nothing else."""
    known = {n for names in names_by_tensor(module) for n in names}
    unexpected, missing = sorted(set(values) - known), sorted(known - set(values))
    if unexpected or missing:
        parts = []
        if unexpected:
            parts.append(f"Unexpected key(s): {', '.join(unexpected)}.")
        if missing:
            parts.append(f"Missing key(s): {', '.join(missing)}.")
        raise RuntimeError(f"Error(s) in reparametrizing for {type(module).__name__}:\n\t" + "\n\t".join(parts))


@contextmanager
def swapped(module: Any, values: Mapping[str, Any]) -> Iterator[None]:
    """The module with other tensors, while the block runs. Buffers that the call assigns are put back too."""
    undo: list[tuple[dict[str, Any], str, Any]] = []
    try:
        for path, value in values.items():
            table, name = place_of(module, path)
            if value is not None and not isinstance(value, Tensor):
                raise TypeError(f"{value!r} is not an instance of torch.Tensor")
            undo.append((table, name, table[name]))
            table[name] = value
        module_changed()
        yield
    finally:
        for table, name, before in reversed(undo):
            table[name] = before
        module_changed()


def place_of(module: Any, path: str) -> tuple[dict[str, Any], str]:
    """The table of the (sub)module that holds a tensor, and the tensor's name in it. Raises KeyError if there is none."""
    owner = module
    *parts, name = path.split(".")
    for part in parts:
        if part not in owner._modules:
            raise AttributeError(f"{type(owner).__name__} has no attribute `{part}`")
        owner = owner._modules[part]
    for table in (owner._parameters, owner._buffers):
        if name in table:
            return table, name
    raise AttributeError(f"{type(owner).__name__} has no attribute `{name}`")


def stack_module_state(models: Sequence[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The parameters and the buffers of several modules of one kind, each stacked along a new first dim, for `vmap` over them.

    Returns:
        (parameters, buffers), by name. The parameters are leaves that need gradients where the modules' own do.

    Raises:
        RuntimeError: if there are none, they differ in type, or some are in training mode and some not.
    """
    if not models:
        raise RuntimeError("stack_module_state: Expected at least one model, got 0.")
    if not (all(m.training for m in models) or all(not m.training for m in models)):
        raise RuntimeError("stack_module_state: Expected all models to have the same training/eval mode.")
    if any(type(m) is not type(models[0]) for m in models):
        raise RuntimeError("stack_module_state: Expected all models to be of the same class.")
    tables = [dict(m.named_parameters()) for m in models]
    params = {}
    for name in tables[0]:
        column = [t[name] for t in tables]
        if all(p.requires_grad for p in column):
            params[name] = stack([p.detach() for p in column]).requires_grad_()
        elif not any(p.requires_grad for p in column):
            params[name] = stack(column)
        else:
            raise RuntimeError(f"Expected {name} to have the same requires_grad in all models")
    buffers = {name: stack([dict(m.named_buffers())[name] for m in models]) for name, _ in models[0].named_buffers()}
    return params, buffers
