"""`vmap`: a function of examples becomes one of batches."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from retrograd.autograd.interpreters import Batch, tensors_in
from retrograd.core.tensor import Tensor
from retrograd.ops.basis import expand_op, permute_op, slice_op
from retrograd.ops.join import cat
from retrograd.pytree import TreeSpec, tree_flatten, tree_leaves, tree_unflatten
from retrograd.shapes import wrap_dim


def vmap(
    func: Callable[..., Any], in_dims: Any = 0, out_dims: Any = 0, randomness: str = "error", *, chunk_size: int | None = None
) -> Callable[..., Any]:
    """A function that maps `func` over a dim of its arguments.

    Args:
        func: takes and returns tensors, or nested tuples, lists and dicts of them. May be transformed itself.
        in_dims: the dim of each argument to map over, None for an argument that is the same for all; an int stands for all
            arguments, and a structure like that of the arguments (or a prefix of it) tells them apart. Keyword arguments are
            mapped over their first dim.
        out_dims: where the mapped dim appears in the results.
        randomness: what random operations do: "error", "different" numbers for each example, or the "same" for all.
        chunk_size: so many examples at once; all of them if None.

    Raises:
        ValueError: if `in_dims` or `out_dims` does not fit, sizes differ, or something other than a tensor is mapped or returned.
        RuntimeError: if `randomness` or `chunk_size` is none of the above; inside, if numbers are looked at.

    >>> from retrograd import tensor, vmap
    >>> vmap(lambda a, b: (a * b).sum())(tensor([[1., 2.], [3., 4.]]), tensor([[1., 1.], [2., 2.]]))
    tensor([ 3., 14.])
    """
    if randomness not in ("error", "different", "same"):
        raise RuntimeError(f"Only allowed values for randomness are 'error', 'different', or 'same'. Got {randomness}")
    if chunk_size is not None and not (chunk_size > 0):
        raise ValueError(f"vmap: chunk_size should be None or greater than 0. (got {chunk_size})")

    @functools.wraps(func)
    def mapped(*args: Any, **kwargs: Any) -> Any:
        name = name_of(func)
        leaves, spec, dims = batched_leaves(name, args, kwargs, in_dims)
        size = batch_size(name, leaves, dims)
        if chunk_size is None or chunk_size >= size:
            return run(func, name, leaves, spec, dims, size, out_dims, randomness)
        pieces = []
        for start in range(0, size, chunk_size):
            n = min(chunk_size, size - start)
            part = [x if d is None else slice_op(x, dim=d, start=start, end=start + n, step=1) for x, d in zip(leaves, dims, strict=True)]
            pieces.append(run(func, name, part, spec, dims, n, out_dims, randomness))
        return joined(pieces, out_dims, name)

    return mapped


def name_of(func: Callable[..., Any]) -> str:
    """What to call a function in a message."""
    return getattr(func, "__name__", None) or repr(func)


def batched_leaves(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], in_dims: Any) -> tuple[list[Any], TreeSpec, list[int | None]]:
    """The arguments' leaves, their structure, and the dim of each to map over."""
    if not isinstance(in_dims, (int, tuple)):
        raise ValueError(
            f"vmap({name}, in_dims={in_dims}, ...)(<inputs>): expected `in_dims` to be int or a (potentially nested) tuple matching the structure of inputs, got: {type(in_dims)}."
        )
    if not args and not kwargs:
        raise ValueError(
            f"vmap({name})(<inputs>): got no inputs. Maybe you forgot to add inputs, or you are trying to vmap over a function with no inputs."
        )
    leaves, spec = tree_flatten((args, kwargs))
    listed = prefix_leaves(in_dims, tree_flatten(args)[1])
    if listed is None:
        raise ValueError(
            f"vmap({name}, in_dims={in_dims}, ...)(<inputs>): in_dims is not compatible with the structure of inputs: "
            f"it is structured differently from the {len(args)} arguments that were given."
        )
    dims: list[int | None] = []
    for x, d in zip(leaves, [*listed, *[0 if isinstance(x, Tensor) else None for x in tree_leaves(kwargs)]], strict=False):
        where = f"vmap({name}, in_dims={in_dims}, ...)(<inputs>): Got in_dim={d} for an input"
        if d is not None and (not isinstance(d, int) or isinstance(d, bool)):
            raise ValueError(f"{where} but in_dim must be either an integer dimension or None.")
        if d is not None and not isinstance(x, Tensor):
            raise ValueError(
                f"{where} but the input is of type {type(x)}. We cannot vmap over non-Tensor arguments, please use None as the respective in_dim"
            )
        if d is not None and not -x.ndim <= d < x.ndim:
            raise ValueError(
                f"{where}, but that input is a Tensor of dimensionality {x.ndim} so expected in_dim to satisfy -{x.ndim} <= in_dim < {x.ndim}."
            )
        dims.append(None if d is None else wrap_dim(d, x.ndim))
    return leaves, spec, dims


def prefix_leaves(prefix: Any, spec: TreeSpec) -> list[Any] | None:
    """A value for every leaf of a structure, from a structure of values that stops earlier; None if it does not fit."""
    if prefix is None or isinstance(prefix, int):
        return [prefix] * spec.num_leaves
    leaves, mine = tree_flatten(prefix)
    if mine.type is None:
        return leaves * spec.num_leaves
    if mine.type is not spec.type or len(mine.children) != len(spec.children):
        return None
    if isinstance(prefix, dict) and set(mine.keys) != set(spec.keys):
        return None
    parts = [prefix[k] for k in spec.keys] if isinstance(prefix, dict) else list(prefix)
    out: list[Any] = []
    for part, child in zip(parts, spec.children, strict=True):
        found = prefix_leaves(part, child)
        if found is None:
            return None
        out += found
    return out


def batch_size(name: str, leaves: Sequence[Any], dims: Sequence[int | None]) -> int:
    """The size of the mapped dims, which must be one and the same."""
    sizes = [x.shape[d] for x, d in zip(leaves, dims, strict=True) if d is not None]
    if not sizes:
        raise ValueError(
            f"vmap({name}, ...)(<inputs>): at least one of the inputs must be mapped over, but in_dims is None for all of them"
        )
    if any(n != sizes[0] for n in sizes):
        raise ValueError(
            f"vmap: Expected all tensors to have the same size in the mapped dimension, got sizes {sizes} for the mapped dimension"
        )
    return int(sizes[0])


def run(
    func: Any, name: str, leaves: Sequence[Any], spec: TreeSpec, dims: Sequence[int | None], size: int, out_dims: Any, randomness: str
) -> Any:
    """One call of the function on a batch."""
    batch = Batch(size, randomness)
    with batch.running():
        boxed = [x if d is None else batch.box(to_front(x, d)) for x, d in zip(leaves, dims, strict=True)]
        args, kwargs = tree_unflatten(boxed, spec)
        result = func(*args, **kwargs)
        outs, out_spec = tree_flatten(result)
        listed = prefix_leaves(tuple(out_dims) if isinstance(out_dims, list) else out_dims, out_spec)
        if listed is None and isinstance(out_dims, tuple) and len(out_dims) == 1 and out_spec.type is None:
            listed = list(out_dims)
        if listed is None:
            raise ValueError(
                f"vmap({name}, ..., out_dims={out_dims})(<inputs>): out_dims is not compatible with the structure of `outputs`: "
                f"it is structured differently from what `{name}` returned."
            )
        outs = [take_out(batch, name, x, d, out_dims) for x, d in zip(outs, listed, strict=True)]
    return tree_unflatten(outs, out_spec)


def take_out(batch: Batch, name: str, out: Any, dim: Any, out_dims: Any) -> Any:
    """A result with the mapped dim where it was asked for."""
    if not isinstance(out, Tensor):
        if dim is None:
            return out
        raise ValueError(
            f"vmap({name}, ...): `{name}` must only return Tensors, got type {type(out)}. Did you mean to set out_dims= to None for output?"
        )
    if dim is None:
        if batch.owns(out):
            raise ValueError(
                f"vmap({name}, ...): `{name}` can not return a BatchedTensor when out_dim is None: the result differs from example to example"
            )
        return out
    if not isinstance(dim, int):
        raise ValueError(f"vmap({name}, ..., out_dims={out_dims})(<inputs>): out_dims must be ints or None, got {type(dim)}")
    value = out.value if batch.owns(out) else expand_op(out, shape=(batch.size, *out.shape))
    if not -value.ndim <= dim < value.ndim:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-value.ndim}, {value.ndim - 1}], but got {dim})")
    dim %= value.ndim
    return value if dim == 0 else permute_op(value, dims=(*range(1, dim + 1), 0, *range(dim + 1, value.ndim)))


def to_front(x: Tensor, dim: int) -> Tensor:
    """The tensor with a dim first."""
    return x if dim == 0 else permute_op(x, dims=(dim, *[d for d in range(x.ndim) if d != dim]))


def joined(pieces: Sequence[Any], out_dims: Any, name: str) -> Any:
    """The results of the chunks as one."""
    spec = tree_flatten(pieces[0])[1]
    dims = prefix_leaves(tuple(out_dims) if isinstance(out_dims, list) else out_dims, spec)
    if dims is None:
        dims = list(out_dims)
    columns = zip(*[tree_leaves(p) for p in pieces], strict=True)
    return tree_unflatten([column[0] if d is None else cat(list(column), d) for d, column in zip(dims, columns, strict=True)], spec)


__all__ = ["tensors_in", "vmap"]
