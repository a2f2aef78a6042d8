"""Tensors joined into one: along a dim they have (cat and its like), along a new one (stack), into grids and blocks.

Uses the basis only; what takes tensors apart again is in `shape.py`.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.config import settings
from retrograd.core.families import opaque, write_out
from retrograd.core.tensor import Tensor, constant, wrap
from retrograd.ops.basis import all_batched, cast, embed_op, expand_op, gather_op, reshape_op, select_op, slice_op
from retrograd.shapes import wrap_dim

NOTHING = (0,)  # a tensor of this shape joins anything, for old programs' sake

# ---------------------------------------------------------------- the two primitives


@opaque
def cat_op(*tensors, dim):
    """Tensors one after the other along `dim`."""
    return np.concatenate([x for x in tensors if x.shape != NOTHING] or tensors, dim)


@cat_op.lowering
def _(k, *tensors, dim):
    pieces = [x for x in tensors if x.shape != NOTHING] or [tensors[0]]
    shape = list(pieces[0].shape)
    shape[dim] = sum(x.shape[dim] for x in pieces)
    target, start = k.new(shape, pieces[0].dtype), 0
    for x in pieces:
        k.fill(k.slice(k.read(target), dim, start, start + x.shape[dim]).data, x)
        start += x.shape[dim]
    return k.read(target)


@cat_op.vjp("tensors")
def _(g, tensors_shape, dim):
    pieces, start = [], 0
    for shape in tensors_shape:
        if shape == NOTHING and len(g.shape) > 1:
            pieces.append(reshape_op(slice_op(g, dim=dim, start=0, end=0, step=1), shape=NOTHING))
            continue
        pieces.append(slice_op(g, dim=dim, start=start, end=start + shape[dim], step=1))
        start += shape[dim]
    return pieces


@cat_op.jvp("tensors")
def _(t, dim):
    return cat_op(*t, dim=dim)


@cat_op.batch
def _(args, mapped, *, dim):
    empty = [x.shape[m:] == NOTHING for x, m in zip(args, mapped, strict=True)]
    if any(empty) and not all(empty):  # a mapped nothing would no longer look like one: it is given the others' dims, and size 0
        like = next((x, m) for x, m, e in zip(args, mapped, empty, strict=True) if not e)
        none = [*like[0].shape[like[1] :]]
        none[dim] = 0
        args = [reshape_op(x, shape=(*x.shape[:m], *none)) if e else x for x, m, e in zip(args, mapped, empty, strict=True)]
    return cat_op(*all_batched(args, mapped), dim=dim + 1)


@opaque
def stack_op(*tensors, dim):
    """Tensors of one shape beside each other along a new dim."""
    shape = tensors[0].shape
    out = np.empty((*shape[:dim], len(tensors), *shape[dim:]), tensors[0].dtype)
    by_dim = out if dim == 0 else np.moveaxis(out, dim, 0)
    for i, x in enumerate(tensors):
        by_dim[i] = x
    return out


@stack_op.lowering
def _(k, *tensors, dim):
    shape = tensors[0].shape
    target = k.new((*shape[:dim], len(tensors), *shape[dim:]), tensors[0].dtype)
    for i, x in enumerate(tensors):
        k.fill(k.slice(k.read(target), dim, i, i + 1).data, k.reshape(x, (*shape[:dim], 1, *shape[dim:])))
    return k.read(target)


@stack_op.vjp("tensors")
def _(g, tensors_shape, dim):
    return [select_op(g, dim=dim, index=i) for i in range(len(tensors_shape))]


@stack_op.jvp("tensors")
def _(t, dim):
    return stack_op(*t, dim=dim)


@stack_op.batch
def _(args, mapped, *, dim):
    return stack_op(*all_batched(args, mapped), dim=dim + 1)


# ---------------------------------------------------------------- cat and stack


def tensors_of(function: str, tensors: Any) -> Sequence[Tensor]:
    """A sequence of tensors, in their common dtype.

    Raises:
        TypeError: if it is none.
    """
    if not isinstance(tensors, (tuple, list)):
        raise TypeError(f"{function}(): argument 'tensors' (position 1) must be tuple of Tensors, not {type(tensors).__name__}")
    for i, x in enumerate(tensors):
        if not isinstance(x, Tensor):
            raise TypeError(f"expected Tensor as element {i} in argument 0, but got {type(x).__name__}")
    found = {x.dtype for x in tensors}
    if len(found) < 2:
        return tensors
    common = dtypes.result_type([(d, True) for d in found], [], settings.default_dtype)
    return [cast(x, common) for x in tensors]


def cat(tensors: Sequence[Tensor], dim: int = 0, *, axis: int | None = None, out: Tensor | None = None) -> Tensor:
    """Joins tensors along a dim that they have; their other dims must agree. Dtypes are promoted.

    Raises:
        ValueError: if there are none.
        RuntimeError: if a shape does not fit.
        IndexError: if `dim` is out of range.

    >>> from retrograd import cat, tensor
    >>> cat([tensor([1, 2]), tensor([3])])
    tensor([1, 2, 3])
    """
    tensors = tensors_of("cat", tensors)
    if not tensors:
        raise ValueError("torch.cat(): expected a non-empty list of Tensors")
    first = next((x for x in tensors if x.shape != NOTHING), None)
    for i, x in enumerate(tensors):
        if x.ndim == 0:
            raise RuntimeError(f"zero-dimensional tensor (at position {i}) cannot be concatenated")
    if first is None:
        dim = 0
    else:
        dim = wrap_dim(dim if axis is None else axis, first.ndim)
        check_sizes(tensors, first.shape, dim)
    result = cat_op(*tensors, dim=dim)
    return result if out is None else write_joined(out, result)


def check_sizes(tensors: Sequence[Tensor], expected: tuple[int, ...], dim: int) -> None:
    """Raises RuntimeError if a tensor differs from the first in its number of dims, or in a dim that is not joined."""
    for i, x in enumerate(tensors):
        shape = x.shape
        if shape in (expected, NOTHING):
            continue
        if len(shape) != len(expected):
            raise RuntimeError(f"Tensors must have same number of dimensions: got {len(expected)} and {len(shape)}")
        for d, (n, m) in enumerate(zip(expected, shape, strict=True)):
            if n != m and d != dim:
                raise RuntimeError(
                    f"Sizes of tensors must match except in dimension {dim}. Expected size {n} but got size {m} for tensor number {i} in the list."
                )


def write_joined(out: Tensor, result: Tensor) -> Tensor:
    """Stores a result in `out`. Raises TypeError if its dtype cannot hold it, as these functions do."""
    if isinstance(out, Tensor) and not dtypes.can_cast(result.dtype, out.dtype):
        raise TypeError(f"torch.cat(): input types can't be cast to the desired output type {dtypes.scalar_name(out.dtype)}")
    return write_out(out, result)


concat = concatenate = cat


def stack(tensors: Sequence[Tensor], dim: int = 0, *, axis: int | None = None, out: Tensor | None = None) -> Tensor:
    """Joins tensors of one shape along a new dim. Dtypes are promoted.

    Raises:
        RuntimeError: if there are none, or the shapes differ.
        IndexError: if `dim` is out of range.

    >>> from retrograd import stack, tensor
    >>> stack([tensor([1, 2]), tensor([3, 4])], dim=1)
    tensor([[1, 3],
            [2, 4]])
    """
    tensors = tensors_of("stack", tensors)
    if not tensors:
        raise RuntimeError("stack expects a non-empty TensorList")
    shape = tensors[0].shape
    dim = wrap_dim(dim if axis is None else axis, len(shape) + 1)
    for i, x in enumerate(tensors):
        if x.shape != shape:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(shape)} at entry 0 and {list(x.shape)} at entry {i}"
            )
    result = stack_op(*tensors, dim=dim)
    return result if out is None else write_joined(out, result)


# ---------------------------------------------------------------- at least so many dims


def each(function: Any, tensors: tuple[Any, ...]) -> Any:
    """`function` of one tensor, or the tuple of its results for several (given one by one or as a sequence)."""
    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        return tuple(function(x) for x in tensors_given(tensors[0]))
    results = tuple(function(x) for x in tensors_given(tensors))
    return results[0] if len(tensors) == 1 else results


def tensors_given(tensors: Sequence[Any]) -> Sequence[Tensor]:
    """The tensors. Raises TypeError if one is none."""
    for i, x in enumerate(tensors):
        if not isinstance(x, Tensor):
            raise TypeError(f"expected Tensor as element {i} in argument 0, but got {type(x).__name__}")
    return tensors


def atleast_1d(*tensors: Any) -> Any:
    """Each tensor with at least one dim. One tensor gives a tensor, several (or a sequence) a tuple.

    >>> from retrograd import atleast_1d, tensor
    >>> atleast_1d(tensor(3))
    tensor([3])
    """
    return each(lambda x: x if x.ndim else reshape_op(x, shape=(1,)), tensors)


def atleast_2d(*tensors: Any) -> Any:
    """Each tensor with at least two dims, new ones in front.

    >>> from retrograd import atleast_2d, tensor
    >>> atleast_2d(tensor([1, 2]))
    tensor([[1, 2]])
    """
    return each(lambda x: x if x.ndim > 1 else reshape_op(x, shape=(1, *(x.shape or (1,)))), tensors)


def atleast_3d(*tensors: Any) -> Any:
    """Each tensor with at least three dims: a vector becomes (1, n, 1), a matrix (m, n, 1).

    >>> from retrograd import atleast_3d, zeros
    >>> atleast_3d(zeros(2)).shape, atleast_3d(zeros(2, 3)).shape
    (torch.Size([1, 2, 1]), torch.Size([2, 3, 1]))
    """

    def deepen(x: Tensor) -> Tensor:
        if x.ndim > 2:
            return x
        return reshape_op(x, shape=(*x.shape, 1) if x.ndim == 2 else (1, *(x.shape or (1,)), 1))

    return each(deepen, tensors)


# ---------------------------------------------------------------- cat by direction


def not_empty(function: str, tensors: Any) -> Sequence[Tensor]:
    """A sequence of tensors in their common dtype. Raises RuntimeError if there are none."""
    tensors = tensors_of(function, tensors)
    if not tensors:
        raise RuntimeError(f"{function} expects a non-empty TensorList")
    return tensors


def hstack(tensors: Sequence[Tensor], *, out: Tensor | None = None) -> Tensor:
    """Joins tensors side by side: vectors along their only dim, others along the second.

    >>> from retrograd import hstack, tensor
    >>> hstack((tensor([1, 2]), tensor([3])))
    tensor([1, 2, 3])
    """
    tensors = atleast_1d(list(not_empty("hstack", tensors)))
    return cat(tensors, 0 if tensors[0].ndim == 1 else 1, out=out)


def vstack(tensors: Sequence[Tensor], *, out: Tensor | None = None) -> Tensor:
    """Joins tensors one below the other; vectors are rows.

    >>> from retrograd import tensor, vstack
    >>> vstack((tensor([1, 2]), tensor([3, 4])))
    tensor([[1, 2],
            [3, 4]])
    """
    return cat(atleast_2d(list(not_empty("vstack", tensors))), 0, out=out)


row_stack = vstack


def dstack(tensors: Sequence[Tensor], *, out: Tensor | None = None) -> Tensor:
    """Joins tensors along the third dim, which is made where missing.

    >>> from retrograd import dstack, tensor
    >>> dstack((tensor([1, 2]), tensor([3, 4])))
    tensor([[[1, 3],
             [2, 4]]])
    """
    return cat(atleast_3d(list(not_empty("dstack", tensors))), 2, out=out)


def column_stack(tensors: Sequence[Tensor], *, out: Tensor | None = None) -> Tensor:
    """Joins tensors along the second dim; vectors are columns.

    >>> from retrograd import column_stack, tensor
    >>> column_stack((tensor([1, 2]), tensor([3, 4])))
    tensor([[1, 3],
            [2, 4]])
    """
    columns = [x if x.ndim > 1 else reshape_op(x, shape=(*(x.shape or (1,)), 1)) for x in not_empty("column_stack", tensors)]
    return cat(columns, 1, out=out)


# ---------------------------------------------------------------- grids


def meshgrid(*tensors: Any, indexing: str | None = None) -> tuple[Tensor, ...]:
    """Coordinates of all points of a grid: for each vector, its elements spread over a tensor with one dim per vector.

    Args:
        indexing: "ij" (the default): dim k belongs to vector k; "xy": the first two dims are exchanged.

    Raises:
        RuntimeError: if there are no vectors, or one has more than one dim, or their dtypes differ.

    >>> from retrograd import meshgrid, tensor
    >>> meshgrid(tensor([1, 2]), tensor([3, 4, 5]), indexing="ij")[0]
    tensor([[1, 1, 1],
            [2, 2, 2]])
    """
    given = tensors_given(tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)) else tensors)
    check_vectors(given)
    if indexing not in (None, "ij", "xy"):
        raise RuntimeError(f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}')
    n = len(given)
    order = list(range(n))
    if indexing == "xy" and n > 1:
        order[:2] = 1, 0
    shape = tuple(given[k].shape.numel() for k in order)
    lined = [reshape_op(x, shape=tuple(-1 if order[d] == k else 1 for d in range(n))) for k, x in enumerate(given)]
    return tuple(expand_op(x, shape=shape) for x in lined)


def check_vectors(tensors: Sequence[Tensor]) -> None:
    """Raises RuntimeError unless these are the vectors of a grid."""
    if not tensors:
        raise RuntimeError("meshgrid expects a non-empty TensorList")
    for x in tensors:
        if x.ndim > 1:
            raise RuntimeError(f"torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got: {list(x.shape)}")
        if x.dtype is not tensors[0].dtype:
            raise RuntimeError("meshgrid expects all tensors to have the same dtype")


def cartesian_prod(*tensors: Tensor) -> Tensor:
    """All combinations of an element of each vector, as rows. One vector is returned as it is.

    Raises:
        RuntimeError: if there are no vectors, or one is none, or their dtypes differ.

    >>> from retrograd import cartesian_prod, tensor
    >>> cartesian_prod(tensor([1, 2]), tensor([4, 5]))
    tensor([[1, 4],
            [1, 5],
            [2, 4],
            [2, 5]])
    """
    for x in tensors_given(tensors):
        if x.ndim != 1:
            raise RuntimeError(f"Expect a 1D vector, but got shape {list(x.shape)}")
    if len(tensors) == 1:
        return tensors[0]
    grids = meshgrid(*tensors, indexing="ij")
    count = grids[0].shape.numel()
    return stack_op(*[reshape_op(x, shape=(count,)) for x in grids], dim=1)


def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """All ways to choose `r` elements of a vector in their order, as rows.

    Raises:
        RuntimeError: if `input` is not a vector, or `r` is negative.

    >>> from retrograd import combinations, tensor
    >>> combinations(tensor([1, 2, 3]))
    tensor([[1, 2],
            [1, 3],
            [2, 3]])
    """
    if input.ndim != 1:
        raise RuntimeError(f"Expect a 1D vector, but got shape {list(input.shape)}")
    if r < 0:
        raise RuntimeError(f"Expect a non-negative number, but got {r}")
    if r == 0:
        return slice_op(input.detach(), dim=0, start=0, end=0, step=1)
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    places = np.array(list(choose(range(input.shape[0]), r)), np.int64).reshape(-1, r)
    return reshape_op(gather_op(input, wrap(places.reshape(-1)), dim=0), shape=places.shape)


def block_diag(*tensors: Tensor) -> Tensor:
    """A matrix with these matrices (vectors are rows) along its diagonal, and zeros elsewhere. Dtypes are promoted.

    Raises:
        RuntimeError: if one has more than two dims.

    >>> from retrograd import block_diag, tensor
    >>> block_diag(tensor([[1, 2]]), tensor(3))
    tensor([[1, 2, 0],
            [0, 0, 3]])
    """
    blocks = [x if x.ndim > 1 else reshape_op(x, shape=(1, *(x.shape or (1,)))) for x in tensors_of("block_diag", tensors)]
    for i, x in enumerate(blocks):
        if x.ndim > 2:
            raise RuntimeError(f"torch.block_diag: Input tensors must have 2 or fewer dimensions. Input {i} has {x.ndim} dimensions")
    if not blocks:
        return constant(np.zeros((1, 0), settings.default_dtype.numpy))
    width, start, rows = sum(x.shape[1] for x in blocks), 0, []
    for x in blocks:
        rows.append(embed_op(x, dim=1, start=start, step=1, size=width))
        start += x.shape[1]
    return cat_op(*rows, dim=0)


__all__ = [
    "atleast_1d", "atleast_2d", "atleast_3d", "block_diag", "cartesian_prod", "cat", "column_stack", "combinations", "concat",
    "concatenate", "dstack", "hstack", "meshgrid", "row_stack", "stack", "vstack",
]  # fmt: skip
