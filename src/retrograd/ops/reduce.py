"""Reductions: mean, variance, extrema, all and any, log-sum-exp and their kin. `sum` is in `basis`, `prod` in `scan`.

A primitive takes `dims`, the dims it reduces counted from the front, and `keepdim`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.config import settings
from retrograd.core.families import opaque, reduction, write_out
from retrograd.core.tensor import Tensor
from retrograd.dtypes import dtype
from retrograd.ops import return_types
from retrograd.ops.arithmetic import maximum, minimum
from retrograd.ops.basis import cast, conj_of, eq, expand_op, gather_op, ne, reshape_op, scatter_sum_op, sum_op, where_op
from retrograd.ops.pointwise import exp
from retrograd.shapes import wrap_dim, wrap_dims

# ---------------------------------------------------------------- what reductions share


def kept(x: Any, shape: Sequence[int], dims: Sequence[int], keepdim: bool) -> Any:
    """A reduced value with the reduced dims of `shape` back, of size 1."""
    if keepdim or not dims:
        return x
    return reshape_op(x, shape=tuple([1 if d in dims else n for d, n in enumerate(shape)]))


def count(shape: Sequence[int], dims: Sequence[int]) -> int:
    """How many elements are reduced to one."""
    return math.prod([shape[d] for d in dims])


def along_dims(op: Any) -> Any:
    """Declares that a batch of `op` is `op` along the dims after the batch's."""

    def rule(args: Sequence[Any], mapped: Sequence[bool], **params: Any) -> Any:
        if "dims" in params:
            params["dims"] = tuple([d + 1 for d in params["dims"]])
        else:
            params["dim"] += 1
        args = [a if m or not isinstance(a, Tensor) else reshape_op(a, shape=(1, *a.shape)) for a, m in zip(args, mapped, strict=True)]
        return op(*args, **params)

    op.batch(rule)
    return op


def along(op: Any, input: Tensor, dim: int, **params: Any) -> Any:
    """`op` along one dim. A tensor without dims is given one for the while.

    Raises:
        IndexError: if `dim` is out of range.
    """
    dim = wrap_dim(dim, input.ndim)
    if input.ndim:
        return op(input, dim=dim, **params)
    results = op(reshape_op(input, shape=(1,)), dim=0, **params)
    return tuple(reshape_op(r, shape=()) for r in results) if isinstance(results, tuple) else reshape_op(results, shape=())


def picked_at_indices(op: Any) -> Any:
    """Gives the rules of an operation along `dim` whose `values` are its operand's elements at `indices`."""
    has_keepdim = "keepdim" in op.op.metadata

    def along_dim(x: Any, shape: Sequence[int], dim: int, keepdim: bool) -> Any:
        return kept(x, shape, (dim,), keepdim)

    @op.vjp("input")
    def vjp(g_values, indices, input_shape, dim, keepdim=True):
        g, at = along_dim(g_values, input_shape, dim, keepdim), along_dim(indices, input_shape, dim, keepdim)
        return scatter_sum_op(g, at, dim=dim, shape=input_shape)

    @op.jvp("input")
    def jvp(t, indices, input_shape, dim, keepdim=True):
        at = along_dim(indices, input_shape, dim, keepdim)
        values = gather_op(t, at, dim=dim)
        return reshape_op(values, shape=indices.shape), None

    known = ("dim", "keepdim") if has_keepdim else ("dim",)
    vjp.needs = ("g_values", "indices", "input_shape", *known)
    jvp.needs = ("t", "indices", "input_shape", *known)
    return op


def write_all(out: Any, results: Any, *operands: Any) -> Any:
    """Stores several results in the tensors given as `out=`, which may not overlap with `operands`.

    Raises:
        RuntimeError: if the dtype of one is not the result's.
    """
    for o, r in zip(out, results, strict=True):
        if o.dtype is not r.dtype:
            raise RuntimeError(f"Expected out tensor to have dtype {r.dtype.name}, but got {o.dtype.name} instead")
    return type(results)(*[write_out(o, r, *operands) for o, r in zip(out, results, strict=True)])


def check_not_empty(name: str, input: Tensor, dims: Sequence[int], whole: bool) -> None:
    """Raises where an operation without an identity would reduce no elements."""
    if whole and 0 in input.shape:
        raise RuntimeError(
            f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim with the 'dim' argument."
        )
    for d in dims:
        if input.ndim and input.shape[d] == 0:
            raise IndexError(f"{name}(): Expected reduction dim {d} to have non-zero size.")


def check_ordered(name: str, input: Tensor) -> None:
    """Raises for complex numbers, which have no order."""
    if input.dtype.is_complex:
        raise NotImplementedError(f"\"{name}\" not implemented for '{dtypes.scalar_name(input.dtype)}'")


def as_float(input: Tensor) -> Tensor:
    """Integers and bools as the default float."""
    return input if input.dtype.category >= dtypes.FLOATING else cast(input, settings.default_dtype)


def wide(x: Any) -> Any:
    """An array of a type of 16 bits as float32, in which it is computed."""
    return x.astype(np.float32) if x.dtype.itemsize == 2 and x.dtype.kind in "fV" else x


def narrow(y: Any, like: Any) -> Any:
    """A result in the dtype of the array it was computed from."""
    return y if y.dtype == like.dtype else y.astype(like.dtype)


# ---------------------------------------------------------------- mean


def mean_name(params: dict[str, Any]) -> str:
    """PyTorch tells a mean over everything (Mean0) from one over dims (Mean1)."""
    return "MeanBackward0" if params.get("whole") else "MeanBackward1"


@reduction(derivative_name=mean_name)
def mean_op(input, *, dims, keepdim, whole=False):
    """Mean over `dims`"""
    half = input.dtype.itemsize == 2
    total = np.add.reduce(input, dims, np.float32 if half else None, keepdims=keepdim)
    total /= count(input.shape, dims)
    return total.astype(input.dtype) if half else total


@mean_op.lowering
def _(k, input, *, dims, keepdim, whole=False):
    total = k.reduce("sum", input, dims, keepdim)
    return k.div(total, k.const(count(input.shape, dims), total))


@mean_op.transpose
def _(g, input_shape, dims, keepdim):
    return expand_op(kept(g / float(count(input_shape, dims)), input_shape, dims, keepdim), shape=input_shape)


def mean(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: dtype | None = None, out: Any = None) -> Tensor:
    """Mean of the elements, or of those along `dim` (an int or several).

    Raises:
        RuntimeError: if the dtype (that of `input`, or `dtype`) is not floating or complex.
        IndexError: if a dim is out of range.

    >>> from retrograd import mean, tensor
    >>> mean(tensor([[1., 2.], [3., 6.]]), dim=1)
    tensor([1.5000, 4.5000])
    """
    result_dtype = input.dtype if dtype is None else dtype
    if result_dtype.category < dtypes.FLOATING:
        raise RuntimeError(
            f"mean(): could not infer output dtype. {'Input' if dtype is None else 'Optional'} dtype must be either a floating point or "
            f"complex dtype. Got: {dtypes.scalar_name(result_dtype)}"
        )
    input = cast(input, result_dtype)
    result = mean_op(input, dims=wrap_dims(dim, input.ndim), keepdim=keepdim, whole=dim is None and not keepdim)
    return result if out is None else write_out(out, result)


def nansum(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: dtype | None = None, out: Any = None) -> Tensor:
    """Sum of the elements that are numbers, or of those along `dim`.

    Raises:
        RuntimeError: for complex dtypes.

    >>> from retrograd import nansum, tensor
    >>> nansum(tensor([1., float("nan"), 2.]))
    tensor(3.)
    """
    if input.dtype.is_complex:
        raise RuntimeError("nansum does not support complex inputs")
    if dtype is not None:
        input = cast(input, dtype)
    elif input.dtype.category < dtypes.FLOATING:
        input = cast(input, dtypes.int64)
    if input.dtype.is_floating_point:
        input = where_op(eq(input, input), input, 0.0)
    result = sum_op(input, dims=wrap_dims(dim, input.ndim), keepdim=keepdim)
    return result if out is None else write_out(out, result)


def nanmean(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: dtype | None = None, out: Any = None) -> Tensor:
    """Mean of the elements that are numbers, or of those along `dim`.

    Raises:
        RuntimeError: if the dtype is not floating.

    >>> from retrograd import nanmean, tensor
    >>> nanmean(tensor([1., float("nan"), 2.]))
    tensor(1.5000)
    """
    if input.dtype.category < dtypes.FLOATING:
        raise RuntimeError(f"nanmean(): expected input to have floating point or complex dtype but got {dtypes.scalar_name(input.dtype)}")
    numbers = sum_op(eq(input, input), dims=wrap_dims(dim, input.ndim), keepdim=keepdim)
    result = nansum(input, dim, keepdim, dtype=dtype) / numbers
    return result if out is None else write_out(out, result)


# ---------------------------------------------------------------- variance


def divisor(shape: Sequence[int], dims: Sequence[int], correction: float) -> float:
    """By what a sum of squared deviations is divided."""
    return max_of(count(shape, dims) - correction, 0.0)


def max_of(a: float, b: float) -> float:
    """The greater of two numbers (`max` is an operation here)."""
    return a if a > b else b


@reduction
def var_op(input, *, dims, keepdim, correction):
    """Variance over `dims`"""
    x = wide(input)
    d = x - np.add.reduce(x, dims, keepdims=True) / count(x.shape, dims)
    squares = d.real**2 + d.imag**2 if d.dtype.kind == "c" else d * d
    variance = np.add.reduce(squares, dims, keepdims=keepdim) / divisor(x.shape, dims, correction)
    return variance if d.dtype.kind == "c" else narrow(variance, input)


@var_op.lowering
def _(k, input, *, dims, keepdim, correction):
    n, m = count(input.shape, dims), divisor(input.shape, dims, correction)
    if not n or not m:
        k.refuse("the variance of too few numbers")
    mean = k.reduce("sum", input, dims)
    d = k.keep(k.sub(input, k.div(mean, k.const(n, mean))))
    total = k.reduce("sum", k.mul(d, d), dims, keepdim)
    return k.div(total, k.const(m, total))


@var_op.vjp("input")
def _(g, input, input_shape, dims, keepdim, correction):
    d = input - mean_op(input, dims=dims, keepdim=True)
    g = kept(g, input_shape, dims, keepdim)
    n = divisor(input_shape, dims, correction)
    return g * (2.0 / n) * d if n else where_op(d == 0, g * math.nan, g * math.inf)


@var_op.jvp("input")
def _(t, input, input_shape, dims, keepdim, correction):
    n = divisor(input_shape, dims, correction)
    d = input - mean_op(input, dims=dims, keepdim=True)
    return sum_op(inner(t, d), dims=dims, keepdim=keepdim) * (2.0 / n if n else math.nan)


def inner(t: Any, d: Any) -> Any:
    """The real part of t conj(d)."""
    product = t * conj_of(d)
    return product.real if product.dtype.is_complex else product


@reduction
def std_op(input, *, dims, keepdim, correction):
    """Standard deviation over `dims`"""
    variance = var_op.__wrapped__(wide(input), dims=dims, keepdim=keepdim, correction=correction)
    deviation = np.sqrt(variance)
    return deviation if input.dtype.kind == "c" else narrow(deviation, input)


@std_op.vjp("input")
def _(g, input, y, input_shape, dims, keepdim, correction):
    d = input - mean_op(input, dims=dims, keepdim=True)
    g = kept(where_op(y == 0, 0.0, g / y), input_shape, dims, keepdim)
    n = divisor(input_shape, dims, correction)
    return g * (1.0 / n) * d if n else where_op(d == 0, g * math.nan, g * math.inf)


@std_op.jvp("input")
def _(t, input, y, input_shape, dims, keepdim, correction):
    n = divisor(input_shape, dims, correction)
    d = input - mean_op(input, dims=dims, keepdim=True)
    slope = sum_op(inner(t, d), dims=dims, keepdim=keepdim) * (1.0 / n if n else math.nan)
    return where_op(y == 0, 0.0, slope / y)


def spread(op: Any, input: Tensor, dim: Any, unbiased: Any, keepdim: bool, correction: Any) -> Tensor:
    """`var` or `std` with PyTorch's arguments."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if unbiased is not None and correction is not None:
        raise TypeError(f"{op.op.name}(): expected only one of 'unbiased' and 'correction'")
    if input.dtype.category < dtypes.FLOATING:
        raise RuntimeError("std and var only support floating point and complex dtypes")
    if correction is None:
        correction = 1 if unbiased is None else int(unbiased)
    return op(input, dims=wrap_dims(dim, input.ndim), keepdim=keepdim, correction=correction)


def var(input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None, out: Any = None) -> Tensor:
    """Variance of the elements, or of those along `dim`: squared deviations, summed and divided by their number less `correction`.

    Args:
        unbiased: the same as `correction=1` (the default) if true, `correction=0` if false.

    Raises:
        RuntimeError: if the dtype is not floating or complex.

    >>> from retrograd import tensor, var
    >>> var(tensor([1., 2., 3.])), var(tensor([1., 2., 3.]), correction=0)
    (tensor(1.), tensor(0.6667))
    """
    result = spread(var_op, input, dim, unbiased, keepdim, correction)
    return result if out is None else write_out(out, result)


def std(input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None, out: Any = None) -> Tensor:
    """Standard deviation: the square root of `var`, with a gradient of zero where it is zero.

    >>> from retrograd import std, tensor
    >>> std(tensor([1., 2., 3.]))
    tensor(1.)
    """
    result = spread(std_op, input, dim, unbiased, keepdim, correction)
    return result if out is None else write_out(out, result)


def var_mean(
    input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None
) -> tuple[Tensor, Tensor]:
    """Variance and mean. See `var`."""
    variance = spread(var_op, input, dim, unbiased, keepdim, correction)
    return variance, mean(input, None if isinstance(dim, bool) else dim, keepdim)


def std_mean(
    input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None
) -> tuple[Tensor, Tensor]:
    """Standard deviation and mean. See `std`."""
    deviation = spread(std_op, input, dim, unbiased, keepdim, correction)
    return deviation, mean(input, None if isinstance(dim, bool) else dim, keepdim)


# ---------------------------------------------------------------- extrema over everything, or over several dims


@along_dims
@opaque(differentiable=False)
def share_op(input, extremum, *, dims):
    """Each element's share of the `extremum` of its `dims`: 1/k for the k elements that are equal to it, 0 for others."""
    mask = np.asarray(input == extremum)
    if input.dtype.kind == "f":
        mask |= (input != input) & (extremum != extremum)
    return mask / np.add.reduce(mask, dims, input.dtype, keepdims=True)


@share_op.lowering
def _(k, input, extremum, *, dims):
    equal = (
        k.logical_or(k.eq(input, extremum), k.logical_and(k.isnan(input), k.isnan(extremum)))
        if input.dtype.kind == "f"
        else k.eq(input, extremum)
    )
    mask = k.keep(k.cast(equal, input.dtype))
    return k.div(mask, k.reduce("sum", mask, dims))


def extremum_rules(op: Any) -> Any:
    """Gives the rules of an extremum, in which elements that are equal share alike."""

    @op.vjp("input")
    def _(g, input, y, input_shape, dims, keepdim):
        share = share_op(input, kept(y, input_shape, dims, keepdim), dims=dims)
        return kept(g, input_shape, dims, keepdim) * share

    @op.jvp("input")
    def _(t, input, y, input_shape, dims, keepdim):
        share = share_op(input, kept(y, input_shape, dims, keepdim), dims=dims)
        return sum_op(t * share, dims=dims, keepdim=keepdim)

    return op


@extremum_rules
@reduction(derivative_name=lambda params: "MaxBackward1" if params.get("whole") else "AmaxBackward0")
def amax_op(input, *, dims, keepdim, whole=False):
    """The greatest elements along `dims`"""
    return np.maximum.reduce(input, dims, keepdims=keepdim)


@amax_op.lowering
def _(k, input, *, dims, keepdim, whole=False):
    return k.reduce("max", input, dims, keepdim)


@extremum_rules
@reduction(derivative_name=lambda params: "MinBackward1" if params.get("whole") else "AminBackward0")
def amin_op(input, *, dims, keepdim, whole=False):
    """The least elements along `dims`"""
    return np.minimum.reduce(input, dims, keepdims=keepdim)


@amin_op.lowering
def _(k, input, *, dims, keepdim, whole=False):
    return k.reduce("min", input, dims, keepdim)


def amax(input: Tensor, dim: Any = (), keepdim: bool = False, *, out: Any = None) -> Tensor:
    """The greatest elements along `dim` (an int or several; all by default). Equal ones share the gradient alike.

    Raises:
        IndexError: if a dim is out of range or empty.
        RuntimeError: if `input` is empty and no dim is given.

    >>> from retrograd import amax, tensor
    >>> amax(tensor([[1., 5.], [3., 2.]]), dim=1)
    tensor([5., 3.])
    """
    result = extremum("amax", amax_op, input, dim, keepdim)
    return result if out is None else write_out(out, result)


def amin(input: Tensor, dim: Any = (), keepdim: bool = False, *, out: Any = None) -> Tensor:
    """The least elements along `dim` (an int or several; all by default). Equal ones share the gradient alike.

    Raises:
        IndexError: if a dim is out of range or empty.
        RuntimeError: if `input` is empty and no dim is given.

    >>> from retrograd import amin, tensor
    >>> amin(tensor([[1., 5.], [3., 2.]]), dim=1)
    tensor([1., 2.])
    """
    result = extremum("amin", amin_op, input, dim, keepdim)
    return result if out is None else write_out(out, result)


def extremum(name: str, op: Any, input: Tensor, dim: Any, keepdim: bool) -> Tensor:
    """`amax` or `amin`, checked."""
    dims = wrap_dims(dim, input.ndim)
    check_ordered(f"{name[1:]}_values_cpu", input)
    check_not_empty(name, input, dims, dim is None or dim == ())
    return op(input, dims=dims, keepdim=keepdim)


def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False, out: Any = None) -> Any:
    """The least and the greatest elements, of all or along `dim`, as a named tuple `(min, max)`.

    Raises:
        RuntimeError: if `input` is empty.
        IndexError: if `dim` is out of range or empty.

    >>> from retrograd import aminmax, tensor
    >>> aminmax(tensor([3., 1., 2.])).max
    tensor(3.)
    """
    check_ordered("aminmax_cpu", input)
    if dim is None and 0 in input.shape:
        raise RuntimeError("aminmax(): cannot compute aminmax over an empty dimension as the operation has no identity.")
    dims = wrap_dims(dim, input.ndim)
    check_not_empty("aminmax", input, dims, False)
    result = return_types.aminmax(amin_op(input, dims=dims, keepdim=keepdim), amax_op(input, dims=dims, keepdim=keepdim))
    return result if out is None else write_all(out, result)


# ---------------------------------------------------------------- extrema along one dim, with their indices


@picked_at_indices
@along_dims
@opaque(name="max", outputs=("values", "indices"))
def max_op(input, *, dim, keepdim):
    """The greatest elements along `dim`, and where the first of them is"""
    return picked(input, np.argmax(wide(input), dim, keepdims=True), dim, keepdim)


@picked_at_indices
@along_dims
@opaque(name="min", outputs=("values", "indices"))
def min_op(input, *, dim, keepdim):
    """The least elements along `dim`, and where the first of them is"""
    return picked(input, np.argmin(wide(input), dim, keepdims=True), dim, keepdim)


def picked(x: Any, index: Any, dim: int, keepdim: bool) -> tuple[Any, Any]:
    """(elements at `index` along `dim`, index), without that dim unless `keepdim`."""
    index = index.astype(np.int64, copy=False)
    values = np.take_along_axis(x, index, dim)
    return (values, index) if keepdim else (values.squeeze(dim), index.squeeze(dim))


def max(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Any = None, out: Any = None) -> Any:
    """The greatest element; with `dim`, those along it and their indices; with another tensor, the greater of each two.

    `max(input)` shares the gradient between equal elements, `max(input, dim)` gives it to the one at the index.

    Returns:
        a tensor, or the named tuple `(values, indices)` if `dim` is an int.

    Raises:
        RuntimeError: if `input` is empty and no dim is given.
        IndexError: if `dim` is out of range or empty.

    >>> from retrograd import max, tensor
    >>> max(tensor([[1., 5.], [3., 2.]]))
    tensor(5.)
    >>> max(tensor([[1., 5.], [3., 2.]]), 1)
    torch.return_types.max(
    values=tensor([5., 3.]),
    indices=tensor([1, 0]))
    """
    return extremum_of("max", input, other if dim is None else dim, keepdim, out)


def min(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Any = None, out: Any = None) -> Any:
    """The least element; with `dim`, those along it and their indices; with another tensor, the lesser of each two.

    See `max`.

    >>> from retrograd import min, tensor
    >>> min(tensor([[1., 5.], [3., 2.]]), dim=0).indices
    tensor([0, 1])
    """
    return extremum_of("min", input, other if dim is None else dim, keepdim, out)


def extremum_of(name: str, input: Tensor, dim: Any, keepdim: bool, out: Any) -> Any:
    """`max` or `min`, whichever of its three forms the arguments mean."""
    whole_op, op, pairwise, kind = {
        "max": (amax_op, max_op, maximum, return_types.max),
        "min": (amin_op, min_op, minimum, return_types.min),
    }[name]
    if isinstance(dim, Tensor):
        return pairwise(input, dim, out=out)
    if dim is None:
        check_ordered(f"{name}_all", input)
        check_not_empty(name, input, (), True)
        result = whole_op(input, dims=tuple(range(input.ndim)), keepdim=False, whole=True)
        return result if out is None else write_out(out, result)
    check_ordered(name, input)
    check_not_empty(name, input, (wrap_dim(dim, input.ndim),), False)
    result = kind(*along(op, input, dim, keepdim=keepdim))
    return result if out is None else write_all(out, result)


@along_dims
@opaque(differentiable=False)
def argmax_op(input, *, dim, keepdim):
    """Where the first of the greatest elements along `dim` is"""
    return np.argmax(wide(input), dim, keepdims=keepdim)


@along_dims
@opaque(differentiable=False)
def argmin_op(input, *, dim, keepdim):
    """Where the first of the least elements along `dim` is"""
    return np.argmin(wide(input), dim, keepdims=keepdim)


def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False, *, out: Any = None) -> Tensor:
    """The index of the (first) greatest element along `dim`; of all elements in row-major order if it is None.

    Raises:
        IndexError: if `dim` is out of range, or there are no elements.
        RuntimeError: for bool.

    >>> from retrograd import argmax, tensor
    >>> argmax(tensor([[1., 5.], [3., 2.]])), argmax(tensor([[1., 5.], [3., 2.]]), dim=0)
    (tensor(1), tensor([1, 0]))
    """
    result = index_of_extremum(argmax_op, input, dim, keepdim)
    return result if out is None else write_out(out, result)


def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False, *, out: Any = None) -> Tensor:
    """The index of the (first) least element along `dim`; of all elements in row-major order if it is None.

    Raises:
        IndexError: if `dim` is out of range, or there are no elements.
        RuntimeError: for bool.

    >>> from retrograd import argmin, tensor
    >>> argmin(tensor([3., 1., 2.]))
    tensor(1)
    """
    result = index_of_extremum(argmin_op, input, dim, keepdim)
    return result if out is None else write_out(out, result)


def index_of_extremum(op: Any, input: Tensor, dim: int | None, keepdim: bool) -> Tensor:
    """`argmax` or `argmin`, checked."""
    name = op.op.name
    if input.dtype is dtypes.bool:
        raise RuntimeError(f"{name}(): does not support bool input")
    check_ordered(f"{name}_cpu", input)
    if dim is not None:
        check_not_empty(name, input, (wrap_dim(dim, input.ndim),), False)
        return along(op, input, dim, keepdim=keepdim)
    if 0 in input.shape:
        raise IndexError(f"{name}(): Expected reduction dim to be specified for input.numel() == 0.")
    index = op(reshape_op(input, shape=(math.prod(input.shape),)), dim=0, keepdim=False)
    return reshape_op(index, shape=(1,) * input.ndim) if keepdim else index


# ---------------------------------------------------------------- truth


@reduction(differentiable=False, identity=True)
def all_op(input, *, dims, keepdim):
    """Whether all elements along `dims` are true"""
    return np.logical_and.reduce(input, dims, keepdims=keepdim)


@all_op.lowering
def _(k, input, *, dims, keepdim):
    return k.eq(k.reduce("sum", k.cast(k.eq(input, k.const(0, input)), np.dtype(np.int64)), dims, keepdim), 0)


@reduction(differentiable=False, identity=False)
def any_op(input, *, dims, keepdim):
    """Whether any element along `dims` is true"""
    return np.logical_or.reduce(input, dims, keepdims=keepdim)


@any_op.lowering
def _(k, input, *, dims, keepdim):
    return k.ne(k.reduce("sum", k.cast(k.ne(input, k.const(0, input)), np.dtype(np.int64)), dims, keepdim), 0)


def all(input: Tensor, dim: Any = None, keepdim: bool = False, *, out: Any = None) -> Tensor:
    """Whether all elements, or all along `dim` (an int or several), are true (for numbers: not zero).

    >>> from retrograd import all, tensor
    >>> all(tensor([[True, False], [True, True]]), dim=1)
    tensor([False,  True])
    """
    result = truth(all_op, input, dim, keepdim)
    return result if out is None else write_out(out, result)


def any(input: Tensor, dim: Any = None, keepdim: bool = False, *, out: Any = None) -> Tensor:
    """Whether any element, or any along `dim` (an int or several), is true (for numbers: not zero).

    >>> from retrograd import any, tensor
    >>> any(tensor([[True, False], [False, False]]), dim=1)
    tensor([ True, False])
    """
    result = truth(any_op, input, dim, keepdim)
    return result if out is None else write_out(out, result)


def truth(op: Any, input: Tensor, dim: Any, keepdim: bool) -> Tensor:
    """`all` or `any`: of dtype bool, save that uint8 stays what it is."""
    dims = () if isinstance(dim, (tuple, list)) and not dim else wrap_dims(dim, input.ndim)  # no dims: each element by itself
    result = op(input, dims=dims, keepdim=keepdim)
    return cast(result, dtypes.uint8) if input.dtype is dtypes.uint8 else result


def count_nonzero(input: Tensor, dim: Any = None) -> Tensor:
    """How many elements, or how many along `dim` (an int or several), are not zero.

    >>> from retrograd import count_nonzero, tensor
    >>> count_nonzero(tensor([[1, 0], [2, 3]]), dim=0)
    tensor([2, 1])
    """
    return sum_op(ne(input, 0), dims=wrap_dims(dim, input.ndim), keepdim=False)


# ---------------------------------------------------------------- log-sum-exp


@reduction
def logsumexp_op(input, *, dims, keepdim):
    """The logarithm of the sum of exponentials over `dims`, without overflow"""
    x = wide(input)
    top = np.maximum.reduce(x.real, dims, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, top.dtype.type(0))
    e = np.subtract(x, top, out=np.empty(x.shape, x.dtype))
    y = np.log(np.add.reduce(np.exp(e, out=e), dims, keepdims=True)) + top
    return narrow(y if keepdim else y.squeeze(dims), input)


@logsumexp_op.lowering
def _(k, input, *, dims, keepdim):
    top = k.reduce("max", input, dims)
    top = k.keep(k.select(k.logical_or(k.isinf(top), k.isnan(top)), k.const(0, top), top))
    total = k.reduce("sum", k.exp(k.sub(input, top)), dims)
    y = k.add(k.log(total), top)
    return y if keepdim else k.reshape(k.keep(y), [n for d, n in enumerate(input.shape) if d not in dims])


@logsumexp_op.vjp("input")
def _(g, input, y, input_shape, dims, keepdim):
    return kept(g, input_shape, dims, keepdim) * conj_of(exp(input - kept(y, input_shape, dims, keepdim)))


@logsumexp_op.jvp("input")
def _(t, input, y, input_shape, dims, keepdim):
    return sum_op(t * exp(input - kept(y, input_shape, dims, keepdim)), dims=dims, keepdim=keepdim)


def logsumexp(input: Tensor, dim: Any, keepdim: bool = False, *, out: Any = None) -> Tensor:
    """The logarithm of the sum of the exponentials of the elements along `dim` (an int or several), without overflow.

    >>> from retrograd import logsumexp, tensor
    >>> logsumexp(tensor([100., 100.]), dim=0)
    tensor(100.6931)
    """
    input = as_float(input)
    result = logsumexp_op(input, dims=wrap_dims(dim, input.ndim), keepdim=keepdim)
    return result if out is None else write_out(out, result)
