"""Which elements there are, how many of each, and where others would stand among them: unique, isin, bincount, searchsorted.

The shapes of most results depend on the numbers, so these look at them: they cannot be batched, and hardly be differentiated.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.config import settings
from retrograd.core.families import opaque, write_out
from retrograd.core.levels import refuse_record
from retrograd.core.tensor import Tensor, constant, wrap
from retrograd.ops.basis import cast, gather_op
from retrograd.ops.reduce import wide
from retrograd.shapes import wrap_dim

# ---------------------------------------------------------------- unique


@opaque(name="unique", outputs=("values", "inverse", "counts"), derivative_name="Unique2Backward0", sized_by_numbers=True)
def unique_op(input, *, dim, consecutive):
    """Each element (slice along `dim`, if that is not None) once; for each of them which that is; and how often it comes"""
    rows = (
        input.reshape(-1) if dim is None else np.moveaxis(input, dim, 0).reshape(input.shape[dim], input.size // max(input.shape[dim], 1))
    )
    n = len(rows)
    if consecutive:
        order = np.arange(n)
    elif dim is None:
        order = np.argsort(wide(rows), kind="stable")
    else:
        order = np.lexsort(wide(rows).T[::-1]) if rows.size else np.arange(n)
    ordered = rows[order]
    begins = np.ones(n, bool)
    begins[1:] = (ordered[1:] != ordered[:-1]) if dim is None else (ordered[1:] != ordered[:-1]).any(1)
    inverse = np.empty(n, np.int64)
    inverse[order] = np.cumsum(begins) - 1
    first = np.flatnonzero(begins)
    counts = np.diff(first, append=n)
    if dim is None:
        return ordered[first], inverse.reshape(input.shape), counts
    return np.take(input, order[first], dim), inverse, counts


@unique_op.vjp("input")
def _(g_values):
    raise NotImplementedError("the derivative for 'unique' is not implemented")


def unique(input: Tensor, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None) -> Any:
    """Each element once, in order; or each slice along `dim` once.

    Args:
        sorted: the elements are in order whether true or not.
        return_inverse: also return, for each element, its index in the result.
        return_counts: also return how often each comes.

    Raises:
        IndexError: if `dim` is out of range.
        RuntimeError: if slices are to be compared that have no elements.

    >>> from retrograd import tensor, unique
    >>> unique(tensor([3, 1, 3]), return_counts=True)
    (tensor([1, 3]), tensor([1, 2]))
    """
    return unique_of("unique", input, return_inverse, return_counts, dim, False)


def unique_consecutive(input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None) -> Any:
    """The elements (or slices along `dim`) without those that are equal to the one before. See `unique`.

    >>> from retrograd import tensor, unique_consecutive
    >>> unique_consecutive(tensor([1, 1, 2, 1]))
    tensor([1, 2, 1])
    """
    return unique_of("unique_consecutive", input, return_inverse, return_counts, dim, True)


def unique_of(name: str, input: Tensor, return_inverse: bool, return_counts: bool, dim: int | None, consecutive: bool) -> Any:
    """`unique` or `unique_consecutive`, with the results that are asked for."""
    if input.dtype.is_complex and not consecutive:
        raise NotImplementedError(f"\"{name}\" not implemented for '{dtypes.scalar_name(input.dtype)}'")
    if dim is not None:
        if input.ndim == 0:
            raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
        dim = wrap_dim(dim, input.ndim)
        if input.shape[dim] and 0 in input.shape:
            raise RuntimeError("There are 0 sized dimensions, and they aren't selected, so unique cannot be applied")
    values, inverse, counts = unique_op(input, dim=dim, consecutive=consecutive)
    if not return_inverse and not return_counts:
        return values
    return (values, *([inverse] if return_inverse else ()), *([counts] if return_counts else ()))


# ---------------------------------------------------------------- membership


@opaque(name="isin", differentiable=False)
def isin_op(elements, test_elements, *, invert):
    """Whether each element is among `test_elements`"""
    return np.isin(wide(elements), wide(test_elements), invert=invert)


def isin(elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False, out: Any = None) -> Tensor:
    """Whether each element is among `test_elements` (is not, with `invert`). One of the two may be a number.

    Raises:
        RuntimeError: for bool and complex dtypes.

    >>> from retrograd import isin, tensor
    >>> isin(tensor([1, 2, 3]), tensor([2, 3]))
    tensor([False,  True,  True])
    """
    if not isinstance(elements, Tensor) and not isinstance(test_elements, Tensor):
        raise TypeError("isin(): argument 'elements' (position 1) must be Tensor if 'test_elements' is a number")
    a, b = common(elements, test_elements)
    for x in (a, b):
        if x.dtype is dtypes.bool or x.dtype.is_complex:
            raise RuntimeError(f"Unsupported input type encountered for isin(): {dtypes.scalar_name(x.dtype)}")
    result = isin_op(a, b, invert=invert)
    return result if out is None else write_out(out, result)


def common(*values: Any) -> list[Tensor]:
    """Tensors, or numbers as tensors without dims, in their common dtype."""
    for v in values:
        if isinstance(v, Tensor) and (v.dtype is dtypes.bool or v.dtype.is_complex):
            return [as_tensor(v, v.dtype) for v in values]
    tensors = [(v.dtype, v.ndim > 0) for v in values if isinstance(v, Tensor)]
    to = dtypes.result_type(tensors, [v for v in values if not isinstance(v, Tensor)], settings.default_dtype)
    return [as_tensor(v, to) for v in values]


def as_tensor(value: Any, dtype: dtypes.dtype) -> Tensor:
    """A tensor or a number in a dtype."""
    return cast(value, dtype) if isinstance(value, Tensor) else constant(np.asarray(value, dtype.numpy))


# ---------------------------------------------------------------- places in order


@opaque(name="searchsorted", differentiable=False)
def searchsorted_op(boundaries, values, *, right):
    """The number of boundaries (along the last dim) before each value, found by halving: not-a-numbers are greater than any"""
    n = boundaries.shape[-1]
    boundaries, values = wide(boundaries), wide(values)
    low, high = np.zeros(values.shape, np.int64), np.full(values.shape, n)
    for _ in range(n.bit_length()):
        middle = (low + high) >> 1
        open_ = low < high
        at = np.minimum(middle, n - 1)
        there = boundaries[at] if boundaries.ndim == 1 else np.take_along_axis(boundaries, at, -1)
        beyond = (there > values) if right else (there >= values)
        high = np.where(open_ & beyond, middle, high)
        low = np.where(open_ & ~beyond, middle + 1, low)
    return low


def searchsorted(
    sorted_sequence: Tensor,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    out: Any = None,
    sorter: Any = None,
) -> Tensor:
    """Where in a sorted sequence each value would stand: the number of elements less than it (or equal to it, from the right).

    Args:
        sorted_sequence: in order along its last dim. It is a vector, or has the dims of `input` before the last.
        input: values, or a number.
        right, side: `side="right"` (or `right=True`) puts a value behind elements equal to it.
        sorter: the indices that put `sorted_sequence` in order, if it is not.

    Raises:
        RuntimeError: if the shapes do not fit, or the arguments contradict each other.

    >>> from retrograd import searchsorted, tensor
    >>> searchsorted(tensor([1, 3, 5]), tensor([3, 6])), searchsorted(tensor([1, 3, 5]), 3, side="right")
    (tensor([1, 3]), tensor(2))
    """
    if side is not None and side not in ("left", "right"):
        raise RuntimeError(f"torch.searchsorted(): side can only be 'left' or 'right' but got {side}")
    if side == "left" and right:
        raise RuntimeError("torch.searchsorted(): side and right can't be set to opposites, got side of left while right was True")
    boundaries, values = common(sorted_sequence, input)
    check_search(boundaries, values)
    if sorter is not None:
        boundaries = gather_op(boundaries, check_sorter(boundaries, sorter), dim=boundaries.ndim - 1)
    result = searchsorted_op(boundaries, values, right=right or side == "right")
    return as_places(result, out_int32, out)


def as_places(result: Tensor, out_int32: bool, out: Any) -> Tensor:
    """Indices in the dtype that was asked for."""
    if out_int32:
        result = cast(result, dtypes.int32)
    if out is None:
        return result
    if out.dtype is not result.dtype:
        raise RuntimeError(
            "torch.searchsorted(): output tensor's dtype is wrong, it can only be Int(int32) or Long(int64) depending on whether out_int32 "
            f"flag is True, but we got output tensor's dtype {dtypes.scalar_name(out.dtype)} and out_int32 flag is {out_int32}"
        )
    return write_out(out, result)


def check_search(boundaries: Tensor, values: Tensor) -> None:
    """Raises RuntimeError unless the shapes of boundaries and values fit."""
    a, b = boundaries.shape, values.shape
    if not b and len(a) != 1:
        raise RuntimeError(
            "torch.searchsorted(): input value can be a scalar only when boundaries tensor dimension is 1, but we got boundaries tensor "
            f"dim({len(a)}) and input value's dim(0) numel(1)"
        )
    if not a:
        raise RuntimeError("torch.searchsorted(): boundaries tensor should have positive dimension, but got 0 dimension")
    if len(a) != 1 and a[:-1] != b[:-1]:
        raise RuntimeError(
            "torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 dimensions of boundaries tensor and input value "
            f"tensor must match, but we got boundaries tensor {list(a)} and input value tensor {list(b)}"
        )


def check_sorter(boundaries: Tensor, sorter: Tensor) -> Tensor:
    """Raises RuntimeError unless the indices `sorter` fit the boundaries."""
    if sorter.shape != boundaries.shape:
        raise RuntimeError(
            f"torch.searchsorted(): boundary and sorter must have the same size, but got boundary tensor {list(boundaries.shape)} "
            f"and got sorter tensor {list(sorter.shape)}"
        )
    if sorter.dtype is not dtypes.int64:
        raise RuntimeError(f"torch.searchsorted(): sorter must be a tensor of long dtype but got dtype {dtypes.scalar_name(sorter.dtype)}")
    refuse_record()
    if sorter.shape.numel() and not 0 <= sorter._data.min() <= sorter._data.max() < boundaries.shape[-1]:
        raise RuntimeError("torch.searchsorted(): sorter index out of range")
    return sorter


def bucketize(input: Any, boundaries: Tensor, *, out_int32: bool = False, right: bool = False, out: Any = None) -> Tensor:
    """Between which of the `boundaries`, a sorted vector, each value lies: `searchsorted` with its arguments exchanged.

    Raises:
        RuntimeError: unless `boundaries` has one dim.

    >>> from retrograd import bucketize, tensor
    >>> bucketize(tensor([[0., 4.], [2., 9.]]), tensor([1., 3., 5.]))
    tensor([[0, 2],
            [1, 3]])
    """
    if boundaries.ndim != 1:
        raise RuntimeError(f"boundaries tensor must be 1 dimension, but got dim({boundaries.ndim})")
    return searchsorted(boundaries, input, out_int32=out_int32, right=right, out=out)


# ---------------------------------------------------------------- counts


@opaque(name="histc", differentiable=False)
def histc_op(input, *, bins, min, max):
    """How many elements lie in each of `bins` equal intervals from `min` to `max`"""
    x = wide(input).reshape(-1)
    x = x[(x >= min) & (x <= max)]
    place = ((x - x.dtype.type(min)) * bins / x.dtype.type(max - min)).astype(np.int64)
    return np.bincount(np.minimum(place, bins - 1), minlength=bins).astype(input.dtype)


def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0, *, out: Any = None) -> Tensor:
    """How many elements lie in each of `bins` equal intervals from `min` to `max`; from the least to the greatest if both are equal.

    Raises:
        RuntimeError: if `bins` is not positive, `max` less than `min`, or the range not finite; for integers and bools.
        TypeError: if `bins` is not an int.

    >>> from retrograd import histc, tensor
    >>> histc(tensor([1., 2., 1.]), bins=4, min=0, max=3)
    tensor([0., 2., 1., 0.])
    """
    if not isinstance(bins, int):
        raise TypeError(f"histc(): argument 'bins' must be int, not {type(bins).__name__}")
    if not input.dtype.is_floating_point:
        raise NotImplementedError(f"\"histogram_cpu\" not implemented for '{dtypes.scalar_name(input.dtype)}'")
    if bins <= 0:
        raise RuntimeError(f"torch.histc(): bins must be > 0, but got {bins}")
    low, high = float(min), float(max)
    if low == high and input.shape.numel():
        data = wide(input._data)
        low, high = float(data.min()), float(data.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise RuntimeError(f"torch.histc: range of [{low:g}, {high:g}] is not finite")
    if low > high:
        raise RuntimeError("torch.histc: max must be larger than min")
    if low == high:
        low, high = low - 1, high + 1
    result = histc_op(input, bins=bins, min=low, max=high)
    return result if out is None else write_out(out, result)


@opaque(name="bincount", sized_by_numbers=True)
def bincount_op(input, weights=None, *, minlength):
    """How often each of the numbers from 0 on comes up, or the sums of their weights"""
    return np.bincount(input, weights, minlength)


@bincount_op.vjp("weights")
def _(g, input):
    return gather_op(g, input, dim=0)


@bincount_op.jvp("weights")
def _(t, input, minlength):
    return bincount_op(input, t, minlength=minlength)


def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each of the numbers 0, 1, ... comes up in a vector of them; with `weights`, the sums of those.

    Raises:
        RuntimeError: if `input` is not a vector of integers, one is negative, or there are not as many weights.

    >>> from retrograd import bincount, tensor
    >>> bincount(tensor([1, 1, 3])), bincount(tensor([0, 0]), tensor([0.5, 1.]))
    (tensor([0, 2, 0, 1]), tensor([1.5000]))
    """
    if input.dtype.category != dtypes.INTEGER:
        raise NotImplementedError(f"\"bincount_cpu\" not implemented for '{dtypes.scalar_name(input.dtype)}'")
    if minlength < 0:
        raise RuntimeError("minlength should be >= 0")
    if input.ndim != 1 or (input.shape[0] and input._data.min() < 0):
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    if weights is None:
        return bincount_op(cast(input, dtypes.int64), minlength=minlength)
    if weights.shape != input.shape:
        raise RuntimeError("weights should be 1-d and have the same length as input")
    if not input.shape[0]:
        return wrap(np.zeros(minlength, np.int64))
    if weights.dtype is dtypes.float32:
        return cast(bincount_op(cast(input, dtypes.int64), weights, minlength=minlength), dtypes.float32)
    return bincount_op(cast(input, dtypes.int64), cast(weights, dtypes.float64), minlength=minlength)


__all__ = ["bincount", "bucketize", "histc", "isin", "searchsorted", "unique", "unique_consecutive"]
