"""`backward` and `grad`: what the caller asks, checked, and handed to the one reverse walk of `core/tape.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.autograd.batching import vmap
from retrograd.autograd.graph import GradientEdge
from retrograd.core import tape
from retrograd.core.levels import complete_observer, observer, only_looked_at, switch
from retrograd.core.tensor import Box, Tensor, constant, wrap


def as_sequence(x: Any) -> Sequence[Any]:
    """One tensor or several, as several."""
    return (x,) if isinstance(x, (Tensor, GradientEdge)) or x is None else tuple(x)


# The cotangent that nearly every backward pass begins with, for passes that do not hand it out.
ONES = {np.dtype(t): wrap(np.array(1, t)) for t in (np.float16, np.float32, np.float64)}


def seeds_for(outputs: Sequence[Tensor], given: Sequence[Tensor | None], *, shared: bool = False) -> list[Tensor]:
    """The cotangents to begin with: those given, and 1 for scalars; `shared`: one that nobody will write to."""
    if len(given) != len(outputs):
        raise RuntimeError(f"got {len(outputs)} tensors and {len(given)} gradients")
    usual = not switch.special or only_looked_at()
    if shared and len(outputs) == 1 and given[0] is None and usual and outputs[0].__class__ is Tensor:
        data = outputs[0]._data
        seed = None if data.ndim else ONES.get(data.dtype)
        if seed is not None:  # the usual case: one real number
            return [seed]
    seeds: list[Tensor] = []
    for out, g in zip(outputs, given, strict=True):
        if g is None:
            if out.shape.numel() != 1 and out.requires_grad:
                raise RuntimeError(
                    f"grad can be implicitly created only for scalar outputs: this one has shape {list(out.shape)}. "
                    "Reduce it (y.sum().backward()), or pass the cotangent: y.backward(v) computes Jᵀv."
                )
            kind = out._data.dtype if out.__class__ is Tensor else out.dtype.numpy
            if kind.kind == "c" and out.requires_grad:
                raise RuntimeError(f"grad can be implicitly created only for real scalar outputs but got {out.dtype}")
            g = constant(np.ones(out.shape, kind))
        elif not isinstance(g, Tensor):
            raise TypeError(f"gradients can be either Tensors or None, but got {type(g).__name__}")
        elif g.shape != out.shape:
            raise RuntimeError(
                f"Mismatch in shape: grad_output[{len(seeds)}] has a shape of {g.shape} and output[{len(seeds)}] has a shape of {out.shape}."
            )
        elif g.dtype is not out.dtype:
            if g.dtype.is_complex != out.dtype.is_complex:  # type: ignore[operator]
                raise RuntimeError(
                    f"For complex Tensors, both grad_output and output are required to have the same dtype: got {g.dtype} and {out.dtype}"
                )
            g = g.to(out.dtype)
        seeds.append(g)
    return seeds


def roots_of(outputs: Sequence[Tensor]) -> list[Any]:
    """The edges that lead to the outputs."""
    roots = []
    for i, out in enumerate(outputs):
        edge = tape.edge_of(out)
        if edge is None:
            raise RuntimeError(
                f"element {i} of tensors does not require grad and does not have a grad_fn: it was not computed, with gradients "
                "enabled, from any tensor that has requires_grad=True"
                + (" (gradients are off here: is this inside no_grad()?)" if not tape.local.grad else "")
            )
        roots.append(edge)
    return roots


def backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    grad_variables: Any = None,
    inputs: Any = None,
) -> None:
    """Adds to `.grad` of every leaf (or of `inputs`) the gradient of `tensors`: the product of each Jacobian with a vector.

    Args:
        tensors: one tensor or several, each a scalar or with its `grad_tensors` of the same shape.
        retain_graph: keep what was saved, so that the graph can be walked again. Default: `create_graph`.
        create_graph: record the walk itself, for derivatives of higher order.
        inputs: accumulate into these tensors only.

    Raises:
        RuntimeError: if a tensor needs no gradient, is not a scalar and has no `grad_tensors`, its graph was freed, or a
            saved tensor was modified in place.
    """
    outputs = as_sequence(tensors)
    given = as_sequence(grad_tensors) if grad_tensors is not None else (None,) * len(outputs)
    chosen = None
    if inputs is not None:
        chosen = as_sequence(inputs)
        if not chosen:
            raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
        for i, x in enumerate(chosen):
            if not x.requires_grad:
                raise RuntimeError(f"One of the differentiated Tensors does not require grad (inputs[{i}])")
    roots = roots_of(outputs)
    seeds = seeds_for(outputs, given, shared=not create_graph)
    keep = create_graph if retain_graph is None else retain_graph
    tape.backward(roots, seeds, create_graph=create_graph, keep=keep, inputs=chosen)


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Any, ...]:
    """The gradients of `outputs` with respect to `inputs`, as a tuple; `.grad` is left alone.

    Args:
        grad_outputs: cotangents, of the outputs' shapes; 1 for scalars if None.
        retain_graph: keep what was saved. Default: `create_graph`.
        create_graph: record the walk, so that the result can be differentiated again.
        allow_unused: None for an input that the outputs do not depend on, instead of an error.
        is_grads_batched: `grad_outputs` have a leading dim, over which the walk is vectorised.
        materialize_grads: zeros, instead of None, for such inputs.

    Raises:
        RuntimeError: as `backward`, and if an input is not used.

    >>> from retrograd import tensor
    >>> x = tensor(3.0, requires_grad=True)
    >>> grad(x * x, x)
    (tensor(6.),)
    """
    outs, ins = as_sequence(outputs), as_sequence(inputs)
    given = as_sequence(grad_outputs) if grad_outputs is not None else (None,) * len(outs)
    if materialize_grads:
        if allow_unused is False:
            raise ValueError("Expected allow_unused to be True or not passed when materialize_grads=True, but got: allow_unused=False.")
        allow_unused = True
    keep = create_graph if retain_graph is None else retain_graph
    if is_grads_batched:
        return batched_grad(outs, ins, given, keep, create_graph, bool(allow_unused))
    results = gradients(outs, ins, given, keep, create_graph)
    return tuple(check_used(r, x, i, bool(allow_unused), materialize_grads) for i, (r, x) in enumerate(zip(results, ins, strict=True)))


def gradients(
    outs: Sequence[Tensor], ins: Sequence[Tensor], given: Sequence[Any], keep: bool, create_graph: bool, ends: bool = False
) -> list[Any]:
    """The cotangent of each input, or None where none came. `ends`: of what is between them alone (see `Walk`)."""
    for x in ins:
        if not x.requires_grad:
            raise RuntimeError("One of the differentiated Tensors does not require grad")
    roots = roots_of(outs)
    seeds = seeds_for(outs, given)
    targets = [tape.edge_of(x) for x in ins]
    watched = observer()
    if watched is not None:
        watched.walked(roots, keep)
    as_tensors = create_graph or complete_observer() is not None or bool(switch.special and any(isinstance(s, Box) for s in seeds))
    walk = tape.Walk(as_tensors=as_tensors, keep=keep, targets=targets, ends=ends)
    with tape.rules_on_tensors(create_graph) if as_tensors else tape.rules_on_arrays():
        walk.run(roots, seeds if as_tensors else [s._data for s in seeds])
        found = [collect(walk, x, target) for x, target in zip(ins, targets, strict=True)]
    if watched is not None:
        for x, g in zip(ins, found, strict=True):
            if x.is_leaf and g.__class__ is Tensor:
                watched.gave(x, g)
    return found


def collect(walk: tape.Walk, x: Tensor, target: Any) -> Any:
    """What the walk brought to one input, as a tensor of its dtype."""
    g: Any
    if isinstance(target, Tensor):
        g = walk.leaves.get(id(target), (None, None))[1]
        if g is not None and target._extra is not None and target._extra.hooks and not walk.ends:
            g = tape.run_tensor_hooks(list(target._extra.hooks.values()), g, walk.as_tensors)
    else:
        g = walk.found.get(tape.key_of(target))
    if g is None:
        return None
    if walk.as_tensors:
        return g if isinstance(g, Box) else tape.fit(g, x)
    g = tape.fit_array(g, x._data)
    return wrap(g.copy() if g.base is not None or not g.flags.writeable else g)


def check_used(g: Any, x: Tensor, index: int, allow_unused: bool, materialize: bool) -> Any:
    """The gradient, or what stands for it where the input was not used."""
    if g is not None:
        return g
    if materialize:
        return constant(np.zeros(x.shape, x.dtype.numpy))
    if not allow_unused:
        raise RuntimeError(
            "One of the differentiated Tensors appears to not have been used in the graph. Set allow_unused=True if this is the "
            f"desired behavior. (It is inputs[{index}], of shape {list(x.shape)}.)"
        )
    return None


def batched_grad(
    outs: Sequence[Tensor], ins: Sequence[Tensor], given: Sequence[Any], keep: bool, create_graph: bool, allow_unused: bool
) -> tuple[Any, ...]:
    """One walk for all slices of the cotangents along their first dim at once."""
    missing: list[int] = []

    def one(*seeds: Any) -> Any:
        found = gradients(outs, ins, seeds, keep, create_graph)
        missing[:] = [i for i, g in enumerate(found) if g is None]
        return tuple(g for g in found if g is not None)

    rows = iter(vmap(one)(*given))
    return tuple(check_used(None, x, i, allow_unused, False) if i in missing else next(rows) for i, x in enumerate(ins))


__all__ = ["backward", "dtypes", "grad"]
