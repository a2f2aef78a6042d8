"""Elements moved along a dim by an index of equal rank: gather, scatter and what reduces on the way; and parts replaced.

`x[...]`, `index_add` and their like, whose indices are vectors, are in `index.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.core.families import opaque, write_out
from retrograd.core.tensor import Box, Tensor, constant
from retrograd.ops.basis import (
    cast,
    clone,
    clone_op,
    expand,
    gather_op,
    pad_to,
    reshape_op,
    scatter_sum_op,
    where_op,
)  # fmt: skip
from retrograd.ops.index import at_position, index_op, number, sliced
from retrograd.ops.inplace import copy_
from retrograd.ops.shape import diagonal, narrow, ravel
from retrograd.shapes import broadcast_shapes, wrap_dim

# ---------------------------------------------------------------- gather and scatter


def check_gather(function: str, input: Tensor, dim: int, index: Any, source: Tensor | None = None) -> int:
    """The dim counted from the front.

    Raises:
        RuntimeError: for an index of another dtype or number of dims, or larger than what it indexes, or out of range.
    """
    if not isinstance(index, Tensor):
        raise TypeError(f"{function}(): argument 'index' must be Tensor, not {type(index).__name__}")
    dim = wrap_dim(dim, input.ndim)
    if not index.shape.numel():
        return dim
    if index.dtype not in (dtypes.int64, dtypes.int32):
        raise RuntimeError(f"{function}(): Expected dtype int32/int64 for index")
    if source is not None and source.dtype is not input.dtype:
        raise RuntimeError(f"{function}(): Expected self.dtype to be equal to src.dtype")
    for what, other in (("input", input), ("src", source)):
        if other is not None and max(index.ndim, 1) != max(other.ndim, 1):
            raise RuntimeError(f"Index tensor must have the same number of dimensions as {what} tensor")
    for d in range(index.ndim):
        if d != dim and index.shape[d] > input.shape[d]:
            raise RuntimeError(
                f"Size does not match at dimension {d} expected index {list(index.shape)} to be no larger than self {list(input.shape)} apart from dimension {dim}"
            )
        if source is not None and index.shape[d] > source.shape[d]:
            raise RuntimeError(
                f"Expected index {list(index.shape)} to be no larger than self {list(input.shape)} apart from dimension {dim} and to be no larger size than src {list(source.shape)}"
            )
    if not isinstance(index, Box):
        n, values = input.shape[dim] if input.ndim else 1, index._data
        if values.min() < 0 or values.max() >= n:
            bad = values[(values < 0) | (values >= n)].reshape(-1)[0]
            raise RuntimeError(f"index {bad} is out of bounds for dimension {dim} with size {n}")
    return dim


def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False, out: Tensor | None = None) -> Tensor:
    """The elements at `index` along `dim`: `out[i][j] = input[index[i][j]][j]` for `dim` 0.

    Raises:
        RuntimeError: if `index` does not fit, or is out of range.

    >>> from retrograd import gather, tensor
    >>> gather(tensor([[1, 2], [3, 4]]), 1, tensor([[0, 0], [1, 0]]))
    tensor([[1, 1],
            [4, 3]])
    """
    dim = check_gather("gather", input, dim, index)
    if out is not None and out.dtype is not input.dtype:
        raise RuntimeError(f"Expected out tensor to have dtype {input.dtype}, but got {out.dtype} instead")
    if not index.shape.numel():
        result = reshape_op(index_op(ravel(input), reshape_op(cast(index, dtypes.int64), shape=(0,)), dims=(0,)), shape=tuple(index.shape))
    else:
        result = same_rank(gather_op, input, cast(index, dtypes.int64), dim)
    return result if out is None else write_out(out, result, input, index)


def same_rank(op: Any, input: Tensor, index: Tensor, dim: int) -> Tensor:
    """A tensor without dims counts as one of a single element."""
    if index.ndim == input.ndim:
        return op(input, index, dim=dim)
    if index.ndim == 0:
        return reshape_op(op(input, reshape_op(index, shape=(1,)), dim=dim), shape=())
    return op(reshape_op(input, shape=(1,)), index, dim=dim)


def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None, *, out: Tensor | None = None) -> Tensor:
    """As `gather`, with input and indices broadcast in all other dims; flattened without a dim."""
    if indices.dtype is not dtypes.int64:
        raise RuntimeError(f"torch.take_along_dim(): dtype of indices should be Long but got {dtypes.scalar_name(indices.dtype)}")
    if dim is None:
        result = index_op(ravel(input), ravel(indices), dims=(0,))
    else:
        if input.ndim != indices.ndim:
            raise RuntimeError(
                f"torch.take_along_dim(): input and indices should have the same number of dimensions, but got {input.ndim} dimensions for input, and {indices.ndim} dimensions for indices"
            )
        dim = wrap_dim(dim, input.ndim)
        rest = broadcast_shapes(*[(*x.shape[:dim], 1, *x.shape[dim + 1 :]) for x in (input, indices)])
        input = expand(input, (*rest[:dim], input.shape[dim], *rest[dim + 1 :]))
        index = expand(indices, (*rest[:dim], indices.shape[dim], *rest[dim + 1 :]))
        result = gather(input, dim, where_op(index < 0, index + input.shape[dim], index))
    return result if out is None else write_out(out, result)


@opaque(name="scatter")
def scatter_op(input, index, src, *, dim):
    """`input` with the elements of `src` at `index` along `dim`."""
    out = np.array(input, order="C")
    if index.ndim:
        np.put_along_axis(window(out, index, dim), index, src[tuple([slice(n) for n in index.shape])], dim)
    else:
        out[...] = src
    return out


def window(x: Any, index: Any, dim: int) -> Any:
    """The part of an array that an index of smaller dims is for."""
    return x[tuple([slice(None) if d == dim else slice(n) for d, n in enumerate(index.shape)])]


@scatter_op.vjp("input")
def _(g, index, dim):
    return scatter_op(g, index, 0.0 * gather_op(g, index, dim=dim), dim=dim)


@scatter_op.vjp("src")
def _(g, index, src_shape, dim):
    return pad_to(gather_op(g, index, dim=dim), src_shape)


@scatter_op.jvp("input")
def _(t, index, dim):
    return scatter_op(t, index, 0.0 * gather_op(t, index, dim=dim), dim=dim)


@scatter_op.jvp("src")
def _(t, index, input_shape, dim):
    return scatter_op(scatter_sum_op(t, index, dim=dim, shape=input_shape), index, t, dim=dim)


@opaque(name="scatter_add")
def scatter_add_op(input, index, src, *, dim):
    """`input` with the elements of `src` added at `index` along `dim`."""
    return input + scatter_sum_op.op.forward(src, index, dim=dim, shape=input.shape)


@scatter_add_op.vjp("input")
def _(g):
    return g


@scatter_add_op.vjp("src")
def _(g, index, src_shape, dim):
    return pad_to(gather_op(g, index, dim=dim), src_shape)


@scatter_add_op.jvp("input")
def _(t):
    return t


@scatter_add_op.jvp("src")
def _(t, index, input_shape, dim):
    return scatter_sum_op(t, index, dim=dim, shape=input_shape)


def scatter(
    input: Tensor, dim: int, index: Tensor, src: Any = None, *, value: Any = None, reduce: str | None = None, out: Tensor | None = None
) -> Tensor:
    """`input` with the elements of `src` (or one number) at `index` along `dim`; the opposite of `gather`.

    Raises:
        RuntimeError: if `index` does not fit, or is out of range.

    >>> from retrograd import scatter, tensor, zeros
    >>> scatter(zeros(2, 3), 1, tensor([[1], [2]]), 7.)
    tensor([[0., 7., 0.],
            [0., 0., 7.]])
    """
    given = value if src is None else src
    if not isinstance(given, Tensor):
        given = constant(np.full(index.shape, number(given, input)))
    if reduce is not None:
        if reduce not in ("add", "multiply"):
            raise RuntimeError("reduce argument must be either add or multiply.")
        result = scatter_reduce(input, dim, index, given, "sum" if reduce == "add" else "prod")
    else:
        dim = check_gather("scatter", input, dim, index, given)
        result = clone_op(input) if not index.shape.numel() else scatter_op(input, cast(index, dtypes.int64), given, dim=dim)
    return result if out is None else write_out(out, result)


def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """`input` with the elements of `src` added at `index` along `dim`; elements for one place add up.

    >>> from retrograd import ones, scatter_add, tensor, zeros
    >>> scatter_add(zeros(3), 0, tensor([0, 0, 2]), ones(3))
    tensor([2., 0., 1.])
    """
    dim = check_gather("scatter_add", input, dim, index, src)
    if not index.shape.numel():
        return clone_op(input)
    return scatter_add_op(input, cast(index, dtypes.int64), src, dim=dim)


def scatter_reduce(
    input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True, out: Tensor | None = None
) -> Tensor:
    """The elements of `src` that share a place of `index` along `dim`, combined by "sum", "prod", "mean", "amax" or "amin".

    What `input` has in that place takes part if `include_self`. Places that nothing is for keep what they have.

    Raises:
        RuntimeError: for another `reduce`, or if `index` does not fit.
    """
    dim = check_gather("scatter_reduce", input, dim, index, src)
    if reduce not in ("sum", "prod", "mean", "amax", "amin"):
        raise RuntimeError(f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}.")
    if not index.shape.numel():
        return clone_op(input)
    index = cast(index, dtypes.int64)
    if input.ndim == 0:
        flat = [reshape_op(x, shape=(1,)) for x in (input, index, src)]
        result = reshape_op(reduced(*flat, dim=dim, reduce=reduce, include_self=include_self), shape=())
    else:
        result = reduced(input, index, src, dim=dim, reduce=reduce, include_self=include_self)
    return result if out is None else write_out(out, result)


def reduced(input: Tensor, index: Tensor, src: Tensor, *, dim: int, reduce: str, include_self: bool) -> Tensor:
    """`scatter_reduce` of operands that fit."""
    src = shrink(src, index.shape)
    counts = scatter_sum_op(constant(np.ones(src.shape, input.dtype.numpy)), index, dim=dim, shape=tuple(input.shape))
    untouched = counts == 0
    if reduce in ("sum", "mean"):
        start = input if include_self else where_op(untouched, input, 0)
        total = scatter_add_op(start, index, src, dim=dim)
        if reduce == "sum":
            return total
        n = counts + 1 if include_self else where_op(untouched, 1, counts)
        return total / n if input.dtype.category >= dtypes.FLOATING else total.div(n, rounding_mode="floor")
    if reduce == "prod":
        start = input if include_self else where_op(untouched, input, 1)
        return scatter_prod_op(start, index, src, dim=dim)
    largest = reduce == "amax"
    return scatter_extreme_op(input, index, src, dim=dim, largest=largest, include_self=include_self)


def shrink(src: Tensor, shape: Sequence[int]) -> Tensor:
    """The part of `src` that the index is for."""
    for d, n in enumerate(shape):
        if src.shape[d] != n:
            src = narrow(src, d, 0, n)
    return src


@opaque(name="scatter_prod", derivative_name="ScatterReduceBackward0")
def scatter_prod_op(input, index, src, *, dim):
    """`input` times all elements of `src` for the place."""
    out = np.array(input, order="C")
    where = list(np.indices(index.shape, sparse=True))
    where[dim] = index
    np.multiply.at(out, tuple(where), src)
    return out


@scatter_prod_op.vjp("input")
def _(g, input, index, src, dim):
    return g * scatter_prod_op(where_op(input == input, 1.0, 1.0), index, src, dim=dim)


@scatter_prod_op.vjp("src")
def _(g, input, index, src, y, dim):
    zero = src == 0
    zeros = gather_op(scatter_sum_op(where_op(zero, 1.0, 0.0), index, dim=dim, shape=y.shape), index, dim=dim)
    filled = where_op(zero, 1.0, src)
    others = gather_op(scatter_prod_op(input, index, filled, dim=dim), index, dim=dim)  # the product of all that are not zero
    g = gather_op(g, index, dim=dim)
    return where_op(zero, where_op(zeros == 1, g * others, 0.0), where_op(zeros == 0, g * others / filled, 0.0))


@opaque(name="scatter_extreme", derivative_name="ScatterReduceBackward0")
def scatter_extreme_op(input, index, src, *, dim, largest, include_self):
    """The largest (or smallest) of what `src` has for the place, and of `input` if it counts."""
    out = np.array(input, order="C")
    where = list(np.indices(index.shape, sparse=True))
    where[dim] = index
    combine = np.maximum if largest else np.minimum
    if not include_self:
        if out.dtype.kind == "f":
            out[tuple(where)] = -np.inf if largest else np.inf
        else:
            info = np.iinfo(out.dtype) if out.dtype.kind != "b" else None
            out[tuple(where)] = (not largest) if info is None else info.min if largest else info.max
    combine.at(out, tuple(where), src)
    return out


@scatter_extreme_op.vjp("input")
def _(g, input, index, src, y, dim, include_self):
    from_self, _, n = sharers(input, index, src, y, dim, include_self)
    return where_op(from_self, g / n, 0.0)


@scatter_extreme_op.vjp("src")
def _(g, input, index, src, y, dim, include_self):
    _, from_src, n = sharers(input, index, src, y, dim, include_self)
    return where_op(from_src, gather_op(g / n, index, dim=dim), 0.0)


def sharers(input: Any, index: Any, src: Any, y: Any, dim: int, include_self: bool) -> tuple[Any, Any, Any]:
    """Which elements of `input` and of `src` equal the extreme, and so share its gradient; and how many for each place."""
    from_self, from_src = input == y, src == gather_op(y, index, dim=dim)
    n = scatter_sum_op(where_op(from_src, 1.0, 0.0), index, dim=dim, shape=tuple(y.shape))
    if not include_self:
        from_self = where_op(scatter_sum_op(where_op(index >= 0, 1.0, 0.0), index, dim=dim, shape=tuple(y.shape)) == 0, from_self, False)
    return from_self, from_src, n + where_op(from_self, 1.0, 0.0)


# ---------------------------------------------------------------- parts replaced


def replaced(input: Tensor, src: Tensor, part: Any) -> Tensor:
    """A copy of `input` with `src` written over the view that `part` takes of it."""
    result = clone(input)
    target = part(result)
    if target.shape != src.shape:
        raise RuntimeError(
            f"expected src to have a size equal to the slice of self. src size = {list(src.shape)}, slice size = {list(target.shape)}"
        )
    copy_(target, src)
    return result


def select_scatter(input: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
    """`input` with `src` as the slice at `index` along `dim`."""
    return replaced(input, src, lambda x: at_position(x, wrap_dim(dim, x.ndim), index))


def slice_scatter(input: Tensor, src: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Tensor:
    """`input` with `src` as the slices from `start` to before `end` along `dim`."""
    return replaced(input, src, lambda x: sliced(x, wrap_dim(dim, x.ndim), slice(start, end, step), whole=True))


def diagonal_scatter(input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """`input` with `src` on a diagonal."""
    return replaced(input, src, lambda x: diagonal(x, offset, dim1, dim2))
