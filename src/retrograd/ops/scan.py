"""Scans along a dim: cumulative sums, products, extrema and log-sum-exps; and `prod`, whose derivative is made of two scans.

A primitive takes `dim`, counted from the front; `reverse` scans from the end.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.core.families import linear, opaque, reduction, write_out
from retrograd.core.tensor import Tensor
from retrograd.dtypes import dtype
from retrograd.ops import return_types
from retrograd.ops.basis import cast, conj_of, embed_op, reshape_op, slice_op, sum_op
from retrograd.ops.join import cat_op
from retrograd.ops.pointwise import exp
from retrograd.ops.reduce import along, along_dims, check_ordered, kept, narrow, picked_at_indices, wide, write_all
from retrograd.shapes import wrap_dim


def backwards(dim: int, reverse: bool) -> tuple[slice, ...]:
    """The index that turns an array round along `dim`, if `reverse`."""
    return (*(slice(None),) * dim, slice(None, None, -1 if reverse else 1))


def accumulated(ufunc: Any, x: Any, dim: int, reverse: bool) -> Any:
    """A ufunc's scan of an array along `dim`."""
    index = backwards(dim, reverse)
    out = np.empty(x.shape, x.dtype)
    ufunc.accumulate(x[index], dim, out=out[index])
    return out


def shift(x: Any, dim: int, reverse: bool) -> Any:
    """The elements one place further on along `dim` (back, if `reverse`), with a zero where none came."""
    n = x.shape[dim]
    if not n:
        return x
    rest = slice_op(x, dim=dim, start=1 if reverse else 0, end=n if reverse else n - 1, step=1)
    return embed_op(rest, dim=dim, start=0 if reverse else 1, step=1, size=n)


def summed_dtype(input: Tensor, dtype: dtype | None) -> Tensor:
    """The operand of a cumulative sum or product in `dtype`; integers and bools as int64."""
    if dtype is None and input.dtype.category < dtypes.FLOATING:
        dtype = dtypes.int64
    return input if dtype is None else cast(input, dtype)


# ---------------------------------------------------------------- sums


@linear
def cumsum_op(input, *, dim, reverse=False):
    """Sums of the elements up to each along `dim`"""
    return narrow(accumulated(np.add, wide(input), dim, reverse), input)


@cumsum_op.transpose
def _(g, dim, reverse):
    return cumsum_op(g, dim=dim, reverse=not reverse)


def cumsum(input: Tensor, dim: int, *, dtype: dtype | None = None, out: Any = None) -> Tensor:
    """Sums of the elements up to each along `dim`. Integers and bools are summed as int64; `dtype` converts first.

    Raises:
        IndexError: if `dim` is out of range.

    >>> from retrograd import cumsum, tensor
    >>> cumsum(tensor([1., 2., 3.]), dim=0)
    tensor([1., 3., 6.])
    """
    result = along(cumsum_op, summed_dtype(input, dtype), dim)
    return result if out is None else write_out(out, result)


# ---------------------------------------------------------------- products


@along_dims
@opaque
def recurrence_op(input, factor, *, dim, reverse):
    """s[k] = input[k] + factor[k] * s[k-1] along `dim` (s[k+1] if `reverse`), beginning with s[0] = input[0]"""
    shape = np.broadcast_shapes(input.shape, factor.shape)
    s = np.array(np.broadcast_to(input, shape), np.result_type(input, factor))
    reach = np.array(np.broadcast_to(factor, shape), s.dtype)  # by what s is multiplied over the last `step` places
    step, n, lead = 1, shape[dim], (slice(None),) * dim
    while step < n:
        later, earlier = (*lead, slice(step, None)), (*lead, slice(None, n - step))
        if reverse:
            later, earlier = earlier, later
        s[later] += reach[later] * s[earlier]
        reach[later] *= reach[earlier]
        step *= 2
    return s


@recurrence_op.vjp("input")
def _(g, factor, dim, reverse):
    return recurrence_op(g, shift(conj_of(factor), dim, not reverse), dim=dim, reverse=not reverse)


@recurrence_op.vjp("factor")
def _(g, factor, y, dim, reverse):
    u = recurrence_op(g, shift(conj_of(factor), dim, not reverse), dim=dim, reverse=not reverse)
    return u * conj_of(shift(y, dim, reverse))


@recurrence_op.jvp("input")
def _(t, factor, dim, reverse):
    return recurrence_op(t, factor, dim=dim, reverse=reverse)


@recurrence_op.jvp("factor")
def _(t, factor, y, dim, reverse):
    return recurrence_op(t * shift(y, dim, reverse), factor, dim=dim, reverse=reverse)


@along_dims
@opaque
def cumprod_op(input, *, dim, reverse=False, exclusive=False):
    """Products of the elements up to each along `dim`, without that one if `exclusive`"""
    y = accumulated(np.multiply, wide(input), dim, reverse)
    if exclusive and input.shape[dim]:
        index = backwards(dim, reverse)
        turned = y[index]
        lead = (slice(None),) * dim
        turned[(*lead, slice(1, None))] = turned[(*lead, slice(None, -1))]
        turned[(*lead, slice(1))] = 1
    return narrow(y, input)


# Note [The derivative of a product]
# What x[k] contributes to y[i] = x[0] ... x[i] is (x[0] ... x[k-1]) (x[k+1] ... x[i]): an exclusive product up to k, times a
# recurrence from the end that gathers the cotangents of all later y. No division, so zeros need no care, at any order.


@cumprod_op.vjp("input")
def _(g, input, dim, reverse, exclusive):
    x = conj_of(input)
    if exclusive:
        g = shift(g, dim, not reverse)
    later = recurrence_op(g, shift(x, dim, not reverse), dim=dim, reverse=not reverse)
    return cumprod_op(x, dim=dim, reverse=reverse, exclusive=True) * later


@cumprod_op.jvp("input")
def _(t, input, dim, reverse, exclusive):
    before = cumprod_op(input, dim=dim, reverse=reverse, exclusive=True)
    moved = recurrence_op(t * before, input, dim=dim, reverse=reverse)
    return shift(moved, dim, reverse) if exclusive else moved


def cumprod(input: Tensor, dim: int, *, dtype: dtype | None = None, out: Any = None) -> Tensor:
    """Products of the elements up to each along `dim`. Integers and bools are multiplied as int64; `dtype` converts first.

    Raises:
        IndexError: if `dim` is out of range.

    >>> from retrograd import cumprod, tensor
    >>> cumprod(tensor([1., 2., 3.]), dim=0)
    tensor([1., 2., 6.])
    """
    result = along(cumprod_op, summed_dtype(input, dtype), dim)
    return result if out is None else write_out(out, result)


@reduction(identity=1, derivative_name=lambda params: "ProdBackward0" if params.get("whole") else "ProdBackward1")
def prod_op(input, *, dims, keepdim, whole=False):
    """Product over `dims`: one of them, or all"""
    return narrow(np.multiply.reduce(wide(input), dims, keepdims=keepdim), input)


def product_of_others(x: Any, dims: tuple[int, ...]) -> Any:
    """For each element the product of all others along `dims`: see Note [The derivative of a product]."""
    if len(dims) == 1:
        first, last = (cumprod_op(x, dim=dims[0], reverse=r, exclusive=True) for r in (False, True))
        return first * last
    others = product_of_others(reshape_op(x, shape=(math.prod(x.shape),)), (0,))
    return reshape_op(others, shape=tuple(x.shape))


@prod_op.vjp("input")
def _(g, input, input_shape, dims, keepdim):
    return kept(g, input_shape, dims, keepdim) * product_of_others(conj_of(input), dims)


@prod_op.jvp("input")
def _(t, input, dims, keepdim):
    return sum_op(t * product_of_others(input, dims), dims=dims, keepdim=keepdim)


def prod(input: Tensor, dim: int | None = None, keepdim: bool = False, *, dtype: dtype | None = None, out: Any = None) -> Tensor:
    """Product of the elements, or of those along `dim`. Integers and bools are multiplied as int64; `dtype` converts first.

    Raises:
        IndexError: if `dim` is out of range.
        TypeError: if `dim` is not an int.

    >>> from retrograd import prod, tensor
    >>> prod(tensor([[1., 2.], [3., 4.]]), dim=1)
    tensor([ 2., 12.])
    """
    if dim is not None and not isinstance(dim, int):
        raise TypeError(f"prod(): argument 'dim' must be int, not {type(dim).__name__}")
    input = summed_dtype(input, dtype)
    dims = tuple(range(input.ndim)) if dim is None else (wrap_dim(dim, input.ndim),)[: input.ndim]
    result = prod_op(input, dims=dims, keepdim=keepdim, whole=dim is None and not keepdim)
    return result if out is None else write_out(out, result)


# ---------------------------------------------------------------- extrema


@picked_at_indices
@along_dims
@opaque(outputs=("values", "indices"))
def cummax_op(input, *, dim):
    """The greatest elements up to each along `dim`, and where the last of them is"""
    values = accumulated(np.maximum, input, dim, False)
    return values, last_place(input, input >= values, dim)


@picked_at_indices
@along_dims
@opaque(outputs=("values", "indices"))
def cummin_op(input, *, dim):
    """The least elements up to each along `dim`, and where the last of them is"""
    values = accumulated(np.minimum, input, dim, False)
    return values, last_place(input, input <= values, dim)


def last_place(x: Any, new: Any, dim: int) -> Any:
    """The index of the last element up to each that is a `new` extremum, or NaN."""
    at = np.arange(x.shape[dim], dtype=np.int64).reshape(-1, *(1,) * (x.ndim - dim - 1))
    return np.maximum.accumulate(np.where(new | (x != x), at, 0), dim)


def cummax(input: Tensor, dim: int, *, out: Any = None) -> Any:
    """The greatest elements up to each along `dim`, and their indices, as a named tuple `(values, indices)`.

    >>> from retrograd import cummax, tensor
    >>> cummax(tensor([1., 3., 2.]), dim=0).values
    tensor([1., 3., 3.])
    """
    check_ordered("cummax_cpu", input)
    result = return_types.cummax(*along(cummax_op, input, dim))
    return result if out is None else write_all(out, result)


def cummin(input: Tensor, dim: int, *, out: Any = None) -> Any:
    """The least elements up to each along `dim`, and their indices, as a named tuple `(values, indices)`.

    >>> from retrograd import cummin, tensor
    >>> cummin(tensor([2., 3., 1.]), dim=0).values
    tensor([2., 2., 1.])
    """
    check_ordered("cummin_cpu", input)
    result = return_types.cummin(*along(cummin_op, input, dim))
    return result if out is None else write_all(out, result)


# ---------------------------------------------------------------- log-sum-exp


@along_dims
@opaque
def logcumsumexp_op(input, *, dim):
    """Logarithms of the sums of exponentials up to each along `dim`, without overflow"""
    x = wide(input)
    if x.dtype.kind != "c":
        return narrow(accumulated(np.logaddexp, x, dim, False), input)
    top = np.maximum.reduce(x.real, dim, keepdims=True, initial=-np.inf)
    return np.log(np.add.accumulate(np.exp(x - top), dim)) + top


@logcumsumexp_op.vjp("input")
def _(g, input, y, dim):
    share, fall = conj_of(exp(input - y)), conj_of(exp(y - following(y, dim)))
    return share * recurrence_op(g, fall, dim=dim, reverse=True)


@logcumsumexp_op.jvp("input")
def _(t, input, y, dim):
    fall = shift(exp(y - following(y, dim)), dim, False)
    return recurrence_op(t * exp(input - y), fall, dim=dim, reverse=False)


def following(y: Any, dim: int) -> Any:
    """The next element along `dim`; the last is followed by itself."""
    n = y.shape[dim]
    rest, last = (slice_op(y, dim=dim, start=max(a, 0), end=n, step=1) for a in (1, n - 1))
    return cat_op(rest, last, dim=dim) if n else y


def logcumsumexp(input: Tensor, dim: int, *, out: Any = None) -> Tensor:
    """The logarithms of the sums of the exponentials of the elements up to each along `dim`, without overflow.

    >>> from retrograd import logcumsumexp, tensor
    >>> logcumsumexp(tensor([100., 100.]), dim=0)
    tensor([100.0000, 100.6931])
    """
    if input.dtype.category < dtypes.FLOATING:
        raise NotImplementedError(f"\"logcumsumexp_out_cpu\" not implemented for '{dtypes.scalar_name(input.dtype)}'")
    result = along(logcumsumexp_op, input, dim)
    return result if out is None else write_out(out, result)
