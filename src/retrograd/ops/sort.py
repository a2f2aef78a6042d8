"""Order: sorting, the k greatest, the k-th least, median, mode and quantiles. Not-a-numbers count as the greatest.

What these return are elements of their operand at indices, so all share one rule (`picked_at_indices`).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.core.families import opaque, write_out
from retrograd.core.levels import refuse_record
from retrograd.core.tensor import Box, Tensor, constant
from retrograd.ops import return_types
from retrograd.ops.arithmetic import lerp
from retrograd.ops.basis import cast, expand_op, gather_op, lt, ne, permute_op, reshape_op, sum_op, where_op
from retrograd.ops.pointwise import ceil, floor, round
from retrograd.ops.reduce import (
    along,
    along_dims,
    any_op,
    check_not_empty,
    extremum_rules,
    picked,
    picked_at_indices,
    wide,
    write_all,
)  # fmt: skip
from retrograd.shapes import wrap_dim

# ---------------------------------------------------------------- sort


def order(x: Any, dim: int, descending: bool = False) -> Any:
    """The indices that sort an array along `dim`; equal elements keep their order."""
    if not descending:
        return np.argsort(wide(x), dim, kind="stable")
    turned = np.argsort(np.flip(wide(x), dim), dim, kind="stable")
    return x.shape[dim] - 1 - np.flip(turned, dim)


@picked_at_indices
@along_dims
@opaque(outputs=("values", "indices"))
def sort_op(input, *, dim, descending):
    """The elements in order along `dim`, and where they were"""
    return picked(input, order(input, dim, descending), dim, True)


def sort(input: Tensor, dim: int | bool = -1, descending: bool = False, *, stable: bool | None = None, out: Any = None) -> Any:
    """The elements in order along `dim`, and where they were, as a named tuple `(values, indices)`.

    Equal elements keep their order, whatever `stable` says.

    Raises:
        IndexError: if `dim` is out of range.
        RuntimeError: for complex dtypes.

    >>> from retrograd import sort, tensor
    >>> sort(tensor([3., 1., 2.]))
    torch.return_types.sort(
    values=tensor([1., 2., 3.]),
    indices=tensor([1, 2, 0]))
    """
    if input.dtype.is_complex:
        raise RuntimeError("Sort does not support complex dtypes on CPU")
    result = return_types.sort(*along(sort_op, input, dim, descending=bool(descending)))
    return result if out is None else write_all(out, result)


def argsort(input: Tensor, dim: int = -1, descending: bool = False, *, stable: bool = False) -> Tensor:
    """Where the elements in order along `dim` are. Equal elements keep their order.

    >>> from retrograd import argsort, tensor
    >>> argsort(tensor([3., 1., 2.]), descending=True)
    tensor([0, 2, 1])
    """
    return sort(input, dim, descending).indices


def msort(input: Tensor, *, out: Any = None) -> Tensor:
    """The elements in order along the first dim."""
    result = sort(input, 0).values
    return result if out is None else write_out(out, result)


# ---------------------------------------------------------------- the k greatest or least


@picked_at_indices
@along_dims
@opaque(outputs=("values", "indices"))
def topk_op(input, *, k, dim, largest):
    """The `k` greatest (or least) elements along `dim` in order, and where they are"""
    n = input.shape[dim]
    if k * 8 > n or not k:  # sorting all is not much more work
        return picked(input, np.take(order(input, dim, largest), np.arange(k), dim), dim, True)
    x = wide(input)
    chosen = np.argpartition(x, n - k if largest else k - 1, dim)
    chosen = np.sort(np.take(chosen, np.arange(n - k, n) if largest else np.arange(k), dim), dim)
    return picked(input, np.take_along_axis(chosen, order(np.take_along_axis(x, chosen, dim), dim, largest), dim), dim, True)


def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True, *, out: Any = None) -> Any:
    """The `k` greatest (least, if not `largest`) elements along `dim` and where they are, as a named tuple `(values, indices)`.

    They are in order whether `sorted` or not.

    Raises:
        RuntimeError: if there are fewer than `k` elements along `dim`.
        IndexError: if `dim` is out of range.

    >>> from retrograd import tensor, topk
    >>> topk(tensor([3., 1., 2.]), 2).values
    tensor([3., 2.])
    """
    dim = wrap_dim(dim, input.ndim)
    if not 0 <= k <= (input.shape[dim] if input.ndim else 1):
        raise RuntimeError(f"selected index k out of range: k = {k} of {input.shape[dim] if input.ndim else 1} elements along dim {dim}")
    if input.dtype is dtypes.bool or input.dtype.is_complex:
        raise RuntimeError(f"topk does not support {input.dtype.name} dtypes on CPU")
    result = return_types.topk(*along(topk_op, input, dim, k=k, largest=bool(largest)))
    return result if out is None else write_all(out, result)


@picked_at_indices
@along_dims
@opaque(outputs=("values", "indices"))
def kthvalue_op(input, *, k, dim, keepdim):
    """The `k`-th least element along `dim`, and where it is"""
    index = np.argpartition(wide(input), k - 1, dim) if input.size else np.zeros(input.shape, np.int64)
    return picked(input, np.take(index, [k - 1], dim), dim, keepdim)


def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False, *, out: Any = None) -> Any:
    """The `k`-th least element along `dim` (counted from 1) and its index, as a named tuple `(values, indices)`.

    Raises:
        RuntimeError: if there are fewer than `k` elements along `dim`.
        IndexError: if `dim` is out of range or empty.

    >>> from retrograd import kthvalue, tensor
    >>> kthvalue(tensor([3., 1., 2.]), 2).values
    tensor(2.)
    """
    if input.dtype is dtypes.bool or input.dtype.is_complex:
        raise NotImplementedError(f"\"kthvalue_cpu\" not implemented for '{dtypes.scalar_name(input.dtype)}'")
    dim = wrap_dim(dim, input.ndim)
    check_not_empty("kthvalue", input, (dim,), False)
    if not 1 <= k <= (input.shape[dim] if input.ndim else 1):
        raise RuntimeError(f"kthvalue(): selected number k out of range for dimension {dim}: k = {k}")
    result = return_types.kthvalue(*along(kthvalue_op, input, dim, k=k, keepdim=keepdim))
    return result if out is None else write_all(out, result, input)


# ---------------------------------------------------------------- median


def middle(x: Any, dim: int, skip_nan: bool) -> Any:
    """Where the lower median along `dim` is, as an index of size 1 there."""
    x = wide(x)
    if x.dtype.kind != "f" or x.size == 0:
        return np.take(order(x, dim), [(x.shape[dim] - 1) // 2], dim)
    nans = np.isnan(x)
    if skip_nan:
        numbers = np.add.reduce(~nans, dim, np.int64, keepdims=True)
        return np.take_along_axis(order(x, dim), np.maximum(numbers - 1, 0) // 2, dim)
    index = np.take(order(x, dim), [(x.shape[dim] - 1) // 2], dim)
    return np.where(np.logical_or.reduce(nans, dim, keepdims=True), np.argmax(nans, dim, keepdims=True), index)


@picked_at_indices
@along_dims
@opaque(name="median", outputs=("values", "indices"), derivative_name="MedianBackward1")
def median_op(input, *, dim, keepdim):
    """The lower median along `dim`, and where it is; the first not-a-number, if there is one"""
    return picked(input, middle(input, dim, False), dim, keepdim)


@picked_at_indices
@along_dims
@opaque(name="nanmedian", outputs=("values", "indices"), derivative_name="NanmedianBackward1")
def nanmedian_op(input, *, dim, keepdim):
    """The lower median of the numbers along `dim`, and where it is"""
    return picked(input, middle(input, dim, True), dim, keepdim)


@extremum_rules
@opaque(title="median", derivative_name=lambda params: "NanmedianBackward0" if params["skip_nan"] else "MedianBackward0")
def median_of_all_op(input, *, dims, keepdim, skip_nan):
    """The lower median over `dims`, which are all"""
    flat = input.reshape(-1)
    return (
        flat[middle(flat, 0, skip_nan)[0]]
        if input.size
        else input.dtype.type(np.nan if input.dtype.kind == "f" else np.iinfo(input.dtype).min)
    )


def median(input: Tensor, dim: int | None = None, keepdim: bool = False, *, out: Any = None) -> Any:
    """The median, of two in the middle the lower; along `dim` with its index, as a named tuple `(values, indices)`.

    It is not a number if any element is not. `median(input)` shares the gradient between equal elements.

    Raises:
        IndexError: if `dim` is out of range or empty.

    >>> from retrograd import median, tensor
    >>> median(tensor([3., 1., 2., 5.]))
    tensor(2.)
    """
    return median_of("median", median_op, input, dim, keepdim, out)


def nanmedian(input: Tensor, dim: int | None = None, keepdim: bool = False, *, out: Any = None) -> Any:
    """The median of the elements that are numbers. See `median`.

    >>> from retrograd import nanmedian, tensor
    >>> nanmedian(tensor([3., float("nan"), 2.]))
    tensor(2.)
    """
    return median_of("nanmedian", nanmedian_op, input, dim, keepdim, out)


def median_of(name: str, op: Any, input: Tensor, dim: int | None, keepdim: bool, out: Any) -> Any:
    """`median` or `nanmedian`, whichever of its forms the arguments mean."""
    if input.dtype.is_complex or input.dtype is dtypes.bool:
        raise NotImplementedError(f"\"{name}_out\" not implemented for '{dtypes.scalar_name(input.dtype)}'")
    if dim is None:
        result = median_of_all_op(input, dims=tuple(range(input.ndim)), keepdim=False, skip_nan=name == "nanmedian")
        return result if out is None else write_out(out, result)
    check_not_empty(name, input, (wrap_dim(dim, input.ndim),), False)
    result = getattr(return_types, name)(*along(op, input, dim, keepdim=keepdim))
    return result if out is None else write_all(out, result)


# ---------------------------------------------------------------- mode


@picked_at_indices
@along_dims
@opaque(outputs=("values", "indices"))
def mode_op(input, *, dim, keepdim):
    """The most frequent element along `dim`, of several the least, and where the last of them is"""
    x = wide(input)
    index = np.lexsort((x, x == x), dim) if x.dtype.kind == "f" else order(x, dim)  # each not-a-number alone, before all numbers
    ordered = np.moveaxis(np.take_along_axis(x, index, dim), dim, -1)
    at = np.arange(ordered.shape[-1])
    begins = np.ones(ordered.shape, bool)
    begins[..., 1:] = ordered[..., 1:] != ordered[..., :-1]
    run = at - np.maximum.accumulate(np.where(begins, at, 0), -1)  # how many equal ones stand before
    longest = np.argmax(run, -1, keepdims=True)
    return picked(input, np.take_along_axis(index, np.moveaxis(longest, -1, dim), dim), dim, keepdim)


def mode(input: Tensor, dim: int = -1, keepdim: bool = False, *, out: Any = None) -> Any:
    """The most frequent element along `dim`, of several the least, and its index, as a named tuple `(values, indices)`.

    Raises:
        IndexError: if `dim` is out of range or empty.

    >>> from retrograd import mode, tensor
    >>> mode(tensor([3, 1, 2, 1]))
    torch.return_types.mode(
    values=tensor(1),
    indices=tensor(3))
    """
    if input.dtype.is_complex:
        raise RuntimeError(f"mode does not support the dtype {input.dtype}: complex numbers have no order")
    check_not_empty("mode", input, (wrap_dim(dim, input.ndim),), False)
    result = return_types.mode(*along(mode_op, input, dim, keepdim=keepdim))
    return result if out is None else write_all(out, result)


# ---------------------------------------------------------------- quantiles

INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")


def quantile(
    input: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear", out: Any = None
) -> Tensor:
    """The `q`-th quantiles of the elements, or of those along `dim`; not a number where any element is not.

    Args:
        q: a number, or a vector of numbers, from 0 to 1; with a vector, the result has its dim in front.
        interpolation: between two elements: "linear", "lower", "higher", "midpoint" or "nearest".

    Raises:
        RuntimeError: if `q` is out of range, `input` is empty or not float32 or float64, or `interpolation` is another word.
        IndexError: if `dim` is out of range.

    >>> from retrograd import quantile, tensor
    >>> quantile(tensor([0., 1., 4.]), tensor([0.5, 0.75]))
    tensor([1.0000, 2.5000])
    """
    result = quantile_of("quantile", input, q, dim, keepdim, interpolation, False)
    return result if out is None else write_out(out, result)


def nanquantile(
    input: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear", out: Any = None
) -> Tensor:
    """The `q`-th quantiles of the elements that are numbers. See `quantile`.

    >>> from retrograd import nanquantile, tensor
    >>> nanquantile(tensor([0., float("nan"), 4.]), 0.5)
    tensor(2.)
    """
    result = quantile_of("nanquantile", input, q, dim, keepdim, interpolation, True)
    return result if out is None else write_out(out, result)


def quantile_of(name: str, input: Tensor, q: Any, dim: int | None, keepdim: bool, interpolation: str, skip_nan: bool) -> Tensor:
    """`quantile` or `nanquantile`: the elements sorted, and looked up at the ranks that `q` means."""
    q = check_quantile(name, input, q, interpolation)
    flat = dim is None
    dim = 0 if dim is None else wrap_dim(dim, input.ndim)
    if input.ndim:
        kept_shape = (1,) * input.ndim if flat else (*input.shape[:dim], 1, *input.shape[dim + 1 :])
        result_shape = kept_shape if keepdim else () if flat else (*input.shape[:dim], *input.shape[dim + 1 :])
    else:
        kept_shape = result_shape = ()
    if flat or not input.ndim:
        input = reshape_op(input, shape=(math.prod(input.shape),))
    last = input.ndim - 1
    order_of_dims = (*range(dim), *range(dim + 1, input.ndim), dim)
    ordered = sort_op(permute_op(input, dims=order_of_dims), dim=last, descending=False)[0]
    n = ordered.shape[-1]
    lead = tuple(ordered.shape[:-1])
    at = reshape_op(q, shape=(*(1,) * last, math.prod(q.shape)))
    if skip_nan:
        numbers = cast(sum_op(ordered == ordered, dims=(last,), keepdim=True), input.dtype)
        rank = at * (numbers - 1)
        rank = where_op(lt(rank, 0), 0.0, rank)
    else:
        has_nan = any_op(ne(ordered, ordered), dims=(last,), keepdim=True)
        rank = where_op(has_nan, float(n - 1), at * float(n - 1))
    rank = expand_op(rank, shape=(*lead, at.shape[-1]))
    result = interpolated(ordered, rank, last, interpolation)
    if len(q.shape):
        result = permute_op(result, dims=(last, *range(last)))
        return reshape_op(result, shape=(q.shape[0], *result_shape))
    return reshape_op(result, shape=result_shape)


def check_quantile(name: str, input: Tensor, q: Any, interpolation: str) -> Tensor:
    """`q` as a tensor; raises what is wrong with the arguments of a quantile."""
    if 0 in input.shape:
        raise RuntimeError(f"{name}() input tensor must be non-empty")
    if input.dtype is not dtypes.float32 and input.dtype is not dtypes.float64:
        raise RuntimeError(f"{name}() input tensor must be either float or double dtype")
    if interpolation not in INTERPOLATIONS:
        raise RuntimeError(f"{name}() interpolation must be one of linear, lower, higher, midpoint or nearest, but got {interpolation}")
    if not isinstance(q, Tensor):
        if not 0 <= q <= 1:
            raise RuntimeError(f"{name}() q must be in the range [0, 1] but got {q}")
        return constant(np.asarray(q, input.dtype.numpy))
    if q.ndim > 1:
        raise RuntimeError(f"{name}() q must be a scalar or 1D tensor")
    if q.dtype is not input.dtype:
        raise RuntimeError(f"{name}() q tensor must be same dtype as the input tensor")
    refuse_record()
    if not isinstance(q, Box) and not np.logical_and(q._data >= 0, q._data <= 1).all():
        raise RuntimeError(f"{name}() q values must be in the range [0, 1]")
    return q


def interpolated(ordered: Tensor, rank: Tensor, dim: int, interpolation: str) -> Tensor:
    """Sorted elements at ranks that need not be whole."""
    if interpolation == "lower":
        rank = floor(rank)
    elif interpolation == "higher":
        rank = ceil(rank)
    elif interpolation == "nearest":
        rank = round(rank)
    low = floor(rank)
    below = gather_op(ordered, cast(low, dtypes.int64), dim=dim)
    if interpolation not in ("linear", "midpoint"):
        return below
    above = gather_op(ordered, cast(ceil(rank), dtypes.int64), dim=dim)
    return lerp(below, above, 0.5 if interpolation == "midpoint" else rank - low)
