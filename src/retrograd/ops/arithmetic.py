"""Functions of two and three numbers: division and its remainders, the larger and the smaller, interpolation, steps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.core.families import elementwise, opaque, write_out
from retrograd.core.tensor import Tensor
from retrograd.ops import return_types
from retrograd.ops.basis import cast, conj_of, div_op, mul, neg, sub, where_op
from retrograd.ops.pointwise import common_dtype, exp, log, no_slope, plain_number, pow, reciprocal, trunc

# ---------------------------------------------------------------- division


def div(input: Any, other: Any, *, rounding_mode: str | None = None, out: Tensor | None = None) -> Tensor:
    """`input / other`, broadcasting; integers give floats, unless rounded.

    Args:
        rounding_mode: "trunc" rounds towards zero, "floor" downwards, None not at all.

    Raises:
        RuntimeError: for another `rounding_mode`, and for a rounded division of integers by zero.

    >>> from retrograd import div, tensor
    >>> div(tensor([7, -7]), 2), div(tensor([7, -7]), 2, rounding_mode="trunc"), div(tensor([7, -7]), 2, rounding_mode="floor")
    (tensor([ 3.5000, -3.5000]), tensor([ 3, -3]), tensor([ 3, -4]))
    """
    if rounding_mode is None:
        result = div_op(input, other)
    elif rounding_mode == "trunc":
        result = div_trunc_op(input, other)
    elif rounding_mode == "floor":
        result = div_floor_op(input, other)
    else:
        raise RuntimeError(f"div expected rounding_mode to be one of None, 'trunc', or 'floor' but found '{rounding_mode}'")
    return result if out is None else write_out(out, result)


@elementwise(name="div_trunc", title="div", derivative_name="DivBackward2", refuses=("complex",))
def div_trunc_op(input, other):
    """input / other rounded towards zero"""
    if is_floating(input, other):
        return np.trunc(np.true_divide(input, other))
    refuse_zero(other)
    down, rest = np.divmod(input, other)
    return down + ((rest != 0) & ((rest < 0) != (np.less(input, 0)))).astype(down.dtype)


@div_trunc_op.derivative("input")
def _(g):
    return no_slope(g)


@div_trunc_op.derivative("other")
def _(g):
    return no_slope(g)


@div_trunc_op.kernel
def _(k, input, other):
    return k.trunc(k.div(input, other))


@elementwise(name="div_floor", title="div", derivative_name="DivBackward2", refuses=("complex",))
def div_floor_op(input, other):
    """input / other rounded downwards"""
    if not is_floating(input, other):
        refuse_zero(other)
    return np.floor_divide(input, other)


@div_floor_op.derivative("input")
def _(g):
    return no_slope(g)


@div_floor_op.derivative("other")
def _(g):
    return no_slope(g)


@elementwise(refuses=("complex",))
def floor_divide(input, other):
    """`input / other` rounded downwards. It has no derivative: `div(..., rounding_mode="floor")` has that of a step.

    Raises:
        RuntimeError: for integers, if an element of `other` is zero.

    >>> from retrograd import floor_divide, tensor
    >>> floor_divide(tensor([7., -7.]), 2)
    tensor([ 3., -4.])
    """
    if not is_floating(input, other):
        refuse_zero(other)
    return np.floor_divide(input, other)


@floor_divide.derivative("input")
def _(g):
    return not_differentiable("floor_divide")


@floor_divide.derivative("other")
def _(g):
    return not_differentiable("floor_divide")


def not_differentiable(name: str) -> Any:
    """Raises: PyTorch records the operation, but has no derivative for it."""
    raise NotImplementedError(f"derivative for {name} is not implemented")


def is_floating(*operands: Any) -> bool:
    """Whether arrays or numbers, of which one at least is an array, are floating point."""
    return any(getattr(getattr(x, "dtype", None), "kind", "") in "fV" for x in operands if hasattr(x, "dtype"))


def refuse_zero(divisor: Any) -> None:
    """Raises where integers would be divided by zero."""
    if not np.all(divisor):
        raise RuntimeError("ZeroDivisionError")


@elementwise(refuses=("bool", "complex"))
def remainder(input, other):
    """`input - floor(input / other) * other`: has the sign of `other`, as Python's %.

    Raises:
        RuntimeError: for integers, if an element of `other` is zero.

    >>> from retrograd import remainder, tensor
    >>> remainder(tensor([-3., 3.]), 2)
    tensor([1., 1.])
    """
    if not is_floating(input, other):
        refuse_zero(other)
    return np.remainder(input, other)


@remainder.derivative("input")
def _():
    return 1


@remainder.derivative("other")
def _(g, input, other):
    return -g * div_floor_op(input, other)


@remainder.kernel
def _(k, input, other):
    zero = k.const(0, input)
    rest = k.fmod(input, other)
    wrong = k.logical_and(k.ne(rest, zero), k.ne(k.lt(rest, zero), k.lt(other, zero)))
    return k.select(wrong, k.add(rest, other), rest)


@elementwise(refuses=("complex",), tensors=("input",))
def fmod(input, other):
    """`input - trunc(input / other) * other`: has the sign of `input`, as C's fmod.

    Raises:
        RuntimeError: for integers, if an element of `other` is zero.

    >>> from retrograd import fmod, tensor
    >>> fmod(tensor([-3., 3.]), 2)
    tensor([-1.,  1.])
    """
    if not is_floating(input, other):
        refuse_zero(other)
    return np.fmod(input, other)


@fmod.derivative("input")
def _():
    return 1


@fmod.derivative("other")
def _(g, input, other):
    return -g * trunc(input / other)


@fmod.kernel
def _(k, input, other):
    return k.fmod(input, other)


@elementwise(name="rsub", derivative_name="RsubBackward1")
def rsub_op(input, other):
    """other - input"""
    return np.subtract(other, input)


@rsub_op.derivative("input")
def _():
    return -1


@rsub_op.derivative("other")
def _():
    return 1


@rsub_op.kernel
def _(k, input, other):
    return k.sub(other, input)


def rsub(input: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
    """`other - alpha * input`.

    Raises:
        TypeError: if `input` is not a tensor.

    >>> from retrograd import rsub, tensor
    >>> rsub(tensor([1., 2.]), 3)
    tensor([2., 1.])
    """
    if not isinstance(input, Tensor):
        raise TypeError(f"rsub(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    return sub(other, input, alpha=alpha)


def reflected_sub(self: Tensor, other: Any) -> Tensor:
    """`other - self`."""
    return rsub_op(self, other) if self.dtype is not dtypes.bool else sub(other, self)


def reflected_div(self: Tensor, other: Any) -> Tensor:
    """`other / self`, rounded as PyTorch rounds it: by way of the reciprocal."""
    return mul(reciprocal(self), other)


def reflected_floor_divide(self: Tensor, other: Any) -> Tensor:
    """`other // self`."""
    return floor_divide(other, self)


def reflected_remainder(self: Tensor, other: Any) -> Tensor:
    """`other % self`."""
    return remainder(other, self)


# ---------------------------------------------------------------- the larger and the smaller


@elementwise(commutative=True, refuses=("complex",), tensors=("input", "other"))
def maximum(input, other):
    """The larger of two elements, nan if one is. Where they are equal each gets half of the gradient.

    >>> from retrograd import maximum, tensor
    >>> maximum(tensor([1., 5.]), tensor([3., 2.]))
    tensor([3., 5.])
    """
    return np.maximum(input, other)


@maximum.derivative("input")
def _(g, input, other):
    return where_op(input < other, 0.0, where_op(input == other, g * 0.5, g))


@maximum.derivative("other")
def _(g, input, other):
    return where_op(input > other, 0.0, where_op(input == other, g * 0.5, g))


@maximum.kernel
def _(k, input, other):
    return k.max(input, other)


@elementwise(commutative=True, refuses=("complex",), tensors=("input", "other"))
def minimum(input, other):
    """The smaller of two elements, nan if one is. Where they are equal each gets half of the gradient.

    >>> from retrograd import minimum, tensor
    >>> minimum(tensor([1., 5.]), tensor([3., 2.]))
    tensor([1., 2.])
    """
    return np.minimum(input, other)


@minimum.derivative("input")
def _(g, input, other):
    return where_op(input > other, 0.0, where_op(input == other, g * 0.5, g))


@minimum.derivative("other")
def _(g, input, other):
    return where_op(input < other, 0.0, where_op(input == other, g * 0.5, g))


@minimum.kernel
def _(k, input, other):
    return k.min(input, other)


@elementwise(refuses=("complex",), tensors=("input", "other"))
def fmax(input, other):
    """The larger of two elements; of a number and nan, the number.

    >>> from retrograd import fmax, tensor
    >>> fmax(tensor([1., float("nan")]), tensor([3., 2.]))
    tensor([3., 2.])
    """
    return np.fmax(input, other)


@fmax.derivative("input")
def _(g, input, other):
    return where_op(input >= other, g, where_op(other == other, 0.0, g))


@fmax.derivative("other")
def _(g, input, other):
    return where_op(input >= other, 0.0, where_op(other == other, g, 0.0))


@fmax.kernel
def _(k, input, other):
    return k.select(k.isnan(input), other, k.select(k.isnan(other), input, k.max(input, other)))


@elementwise(refuses=("complex",), tensors=("input", "other"))
def fmin(input, other):
    """The smaller of two elements; of a number and nan, the number.

    >>> from retrograd import fmin, tensor
    >>> fmin(tensor([1., float("nan")]), tensor([3., 2.]))
    tensor([1., 2.])
    """
    return np.fmin(input, other)


@fmin.derivative("input")
def _(g, input, other):
    return where_op(input <= other, g, where_op(other == other, 0.0, g))


@fmin.derivative("other")
def _(g, input, other):
    return where_op(input <= other, 0.0, where_op(other == other, g, 0.0))


@fmin.kernel
def _(k, input, other):
    return k.select(k.isnan(input), other, k.select(k.isnan(other), input, k.min(input, other)))


def clamp_name(params: dict[str, Any]) -> str:
    """PyTorch tells `clamp_min(x, 0)` from `clamp(x, min=0)`."""
    return params.get("called", "ClampBackward1")


@elementwise(name="clamp", refuses=("bool", "complex"), derivative_name=clamp_name)
def clamp_op(input, *, min, max, called="ClampBackward1"):
    """input, but at least the number `min` and at most `max`"""
    if min is not None:
        input = np.maximum(input, min)
    return input.copy() if max is None and min is None else input if max is None else np.minimum(input, max)


@clamp_op.derivative("input")
def _(g, input, min, max):
    if min is not None and max is not None:
        return where_op(input >= min, where_op(input <= max, g, 0.0), 0.0)
    return where_op(input >= min if max is None else input <= max, g, 0.0)


@clamp_op.kernel
def _(k, input, min, max):
    if min is not None:
        input = k.max(input, k.const(min, input))
    return input if max is None else k.min(input, k.const(max, input))


@elementwise(name="clamp_min", refuses=("complex",), derivative_name="ClampMinBackward1")
def clamp_min_op(input, min):
    """input, but at least min"""
    return np.maximum(input, min)


@clamp_min_op.derivative("input")
def _(g, input, min):
    return where_op(input >= min, g, 0.0)


@clamp_min_op.derivative("min")
def _(g, input, min):
    return where_op(input < min, g, 0.0)


@clamp_min_op.kernel
def _(k, input, min):
    return k.max(input, min)


@elementwise(name="clamp_max", refuses=("complex",), derivative_name="ClampMaxBackward1")
def clamp_max_op(input, max):
    """input, but at most max"""
    return np.minimum(input, max)


@clamp_max_op.derivative("input")
def _(g, input, max):
    return where_op(input <= max, g, 0.0)


@clamp_max_op.derivative("max")
def _(g, input, max):
    return where_op(input > max, g, 0.0)


@clamp_max_op.kernel
def _(k, input, max):
    return k.min(input, max)


@elementwise(name="clamp_tensors", title="clamp", refuses=("bool", "complex"), derivative_name="ClampBackward0")
def clamp_tensors_op(input, min, max):
    """input, but at least min and at most max"""
    return np.minimum(np.maximum(input, min), max)


@clamp_tensors_op.derivative("input")
def _(g, input, min, max):
    return where_op(input >= min, where_op(input <= max, g, 0.0), 0.0)


@clamp_tensors_op.derivative("min")
def _(g, input, min, max):
    return where_op(min < max, where_op(input < min, g, 0.0), 0.0)


@clamp_tensors_op.derivative("max")
def _(g, input, min, max):
    return where_op(max < min, g, where_op(input > max, g, 0.0))


@clamp_tensors_op.kernel
def _(k, input, min, max):
    return k.min(k.max(input, min), max)


def clamp(input: Tensor, min: Any = None, max: Any = None, *, out: Tensor | None = None) -> Tensor:
    """`input`, but at least `min` and at most `max` (numbers or tensors, broadcast; `max` wins). The gradient outside is 0.

    Raises:
        RuntimeError: if neither bound is given.

    >>> from retrograd import clamp, tensor
    >>> clamp(tensor([-2., 0.5, 3.]), min=-1, max=1)
    tensor([-1.0000,  0.5000,  1.0000])
    """
    return clamped("clamp", input, min, max, "ClampBackward1", out)


def clamp_min(input: Tensor, min: Any, *, out: Tensor | None = None) -> Tensor:
    """`input`, but at least `min`: see `clamp`."""
    return clamped("clamp_min", input, min, None, "ClampMinBackward0", out)


def clamp_max(input: Tensor, max: Any, *, out: Tensor | None = None) -> Tensor:
    """`input`, but at most `max`: see `clamp`."""
    return clamped("clamp_max", input, None, max, "ClampMaxBackward0", out)


def clamped(name: str, input: Any, min: Any, max: Any, called: str, out: Tensor | None) -> Tensor:
    """`clamp`, by the primitive for what the bounds are."""
    if not isinstance(input, Tensor):
        raise TypeError(f"{name}(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    if min is None and max is None:
        raise RuntimeError(f"torch.{name}: At least one of 'min' or 'max' must not be None")
    tensors = [b for b in (min, max) if isinstance(b, Tensor)]
    if not tensors:
        min, max = (b if b is None else plain_number(name, b) for b in (min, max))
        input = cast(input, common_dtype(name, input, *[b for b in (min, max) if b is not None]))
        if any(b is not None and math.isnan(b) for b in (min, max)):
            result = mul(input, math.nan)
        else:
            result = clamp_op(input, min=min, max=max, called=called)
    elif max is None:
        result = clamp_min_op(input, min)
    elif min is None:
        result = clamp_max_op(input, max)
    elif len(tensors) == 1:
        raise TypeError(
            f"{name}(): 'min' and 'max' must both be Tensors or both be numbers, got {type(min).__name__} and {type(max).__name__}"
        )
    else:
        result = clamp_tensors_op(input, min, max)
    return result if out is None else write_out(out, result)


# ---------------------------------------------------------------- sums of products


@elementwise(name="lerp", refuses=("bool", "integer"))
def lerp_op(input, end, weight):
    """input + weight * (end - input)"""
    distance = end - input
    if np.ndim(weight) == 0:
        return input + weight * distance if np.abs(weight) < 0.5 else end - distance * (1 - weight)
    return np.where(np.abs(weight) < 0.5, input + weight * distance, end - distance * (1 - weight))


@lerp_op.derivative("input")
def _(g, weight):
    return g * conj_of(1 - weight)


@lerp_op.derivative("end")
def _(g, weight):
    return g * conj_of(weight)


@lerp_op.derivative("weight")
def _(g, input, end):
    return g * conj_of(end - input)


@lerp_op.kernel
def _(k, input, end, weight):
    distance = k.sub(end, input)
    near = k.lt(k.abs(weight), k.const(0.5, weight))
    far = k.sub(end, k.mul(distance, k.sub(k.const(1, weight), weight)))
    return k.select(near, k.add(input, k.mul(weight, distance)), far)


def lerp(input: Tensor, end: Tensor, weight: Any, *, out: Tensor | None = None) -> Tensor:
    """`input + weight * (end - input)`, where `weight` is a number or a tensor.

    Raises:
        RuntimeError: if the dtypes differ.

    >>> from retrograd import lerp, tensor
    >>> lerp(tensor([0., 10.]), tensor([10., 20.]), 0.25)
    tensor([ 2.5000, 12.5000])
    """
    if input.dtype.category < dtypes.FLOATING:
        raise NotImplementedError(f"\"lerp\" not implemented for '{dtypes.scalar_name(input.dtype)}'")
    for name, x in (("end", end), ("weight", weight)):
        if isinstance(x, Tensor) and x.dtype is not input.dtype:
            raise RuntimeError(f"expected dtype {input.dtype.name} for `{name}` but got dtype {x.dtype.name}")
    result = lerp_op(input, end, weight)
    return result if out is None else write_out(out, result)


@elementwise(name="addcmul", refuses=("bool",))
def addcmul_op(input, tensor1, tensor2, *, value):
    """input + value * tensor1 * tensor2"""
    return input + (tensor1 * tensor2 if value == 1 else tensor1 * value * tensor2)


@addcmul_op.derivative("input")
def _():
    return 1


@addcmul_op.derivative("tensor1")
def _(tensor2, value):
    return tensor2 * value


@addcmul_op.derivative("tensor2")
def _(tensor1, value):
    return tensor1 * value


@addcmul_op.kernel
def _(k, input, tensor1, tensor2, value):
    return k.add(input, k.mul(k.mul(tensor1, k.const(value, input)), tensor2))


def addcmul(input: Any, tensor1: Any, tensor2: Any, *, value: Any = 1, out: Tensor | None = None) -> Tensor:
    """`input + value * tensor1 * tensor2`, broadcasting.

    >>> from retrograd import addcmul, tensor
    >>> addcmul(tensor([1.]), tensor([2.]), tensor([3.]), value=0.5)
    tensor([4.])
    """
    value = fitting_value("addcmul", value, input, tensor1, tensor2)
    result = addcmul_op(input, tensor1, tensor2, value=value)
    return result if out is None else write_out(out, result)


@elementwise(name="addcdiv")
def addcdiv_op(input, tensor1, tensor2, *, value):
    """input + value * tensor1 / tensor2"""
    return input + (tensor1 if value == 1 else tensor1 * value) / tensor2


@addcdiv_op.derivative("input")
def _():
    return 1


@addcdiv_op.derivative("tensor1")
def _(tensor2, value):
    return value / tensor2


@addcdiv_op.derivative("tensor2")
def _(tensor1, tensor2, value):
    return -tensor1 * value / (tensor2 * tensor2)


@addcdiv_op.kernel
def _(k, input, tensor1, tensor2, value):
    return k.add(input, k.div(k.mul(tensor1, k.const(value, input)), tensor2))


def addcdiv(input: Any, tensor1: Any, tensor2: Any, *, value: Any = 1, out: Tensor | None = None) -> Tensor:
    """`input + value * tensor1 / tensor2`, broadcasting.

    Raises:
        RuntimeError: if both `tensor1` and `tensor2` are integers.

    >>> from retrograd import addcdiv, tensor
    >>> addcdiv(tensor([1.]), tensor([3.]), tensor([2.]), value=2)
    tensor([4.])
    """
    if all(isinstance(x, Tensor) and x.dtype.category < dtypes.FLOATING for x in (tensor1, tensor2)):
        raise RuntimeError(
            "Integer division with addcdiv is no longer supported: use input + value * trunc(tensor1 / tensor2), "
            "or convert one of the tensors to a floating point dtype"
        )
    value = fitting_value("addcdiv", value, input, tensor1, tensor2)
    result = addcdiv_op(input, tensor1, tensor2, value=value)
    return result if out is None else write_out(out, result)


def fitting_value(name: str, value: Any, *operands: Any) -> Any:
    """A factor as a number of the operands' category. Raises RuntimeError if it is of a higher one."""
    if isinstance(value, Tensor):
        value = value.item()
    value = plain_number(name, value)
    common = common_dtype(name, *operands)
    if dtypes.of_number(value, dtypes.float32).category > max(common.category, dtypes.INTEGER):
        raise RuntimeError(f"value cannot be converted to type {common.name} without overflow")
    return value


# ---------------------------------------------------------------- two sides of a right triangle


@elementwise(commutative=True, refuses=("bool", "integer", "complex"), tensors=("input", "other"))
def hypot(input, other):
    """The square root of `input**2 + other**2`, without overflow on the way.

    >>> from retrograd import hypot, tensor
    >>> hypot(tensor([3.]), tensor([4.]))
    tensor([5.])
    """
    return np.hypot(input, other)


@hypot.derivative("input")
def _(input, y):
    return input / y


@hypot.derivative("other")
def _(other, y):
    return other / y


@hypot.kernel
def _(k, input, other):
    a, b = k.abs(input), k.abs(other)
    large, small = k.max(a, b), k.min(a, b)
    zero, one = k.const(0, input), k.const(1, input)
    ratio = k.select(k.eq(small, large), one, k.div(small, large))
    return k.select(k.eq(large, zero), zero, k.mul(large, k.sqrt(k.add(one, k.mul(ratio, ratio)))))


@elementwise(result="floating", refuses=("complex",), tensors=("input", "other"))
def atan2(input, other):
    """The angle, from -pi to pi, of the point with ordinate `input` and abscissa `other`.

    >>> from retrograd import atan2, tensor
    >>> atan2(tensor([1., 0.]), tensor([1., -1.]))
    tensor([0.7854, 3.1416])
    """
    return np.arctan2(input, other)


@atan2.derivative("input")
def _(input, other):
    return other / (input * input + other * other)


@atan2.derivative("other")
def _(input, other):
    return -input / (input * input + other * other)


@atan2.kernel
def _(k, input, other):
    return k.atan2(input, other)


# ---------------------------------------------------------------- logarithms of sums


@elementwise(commutative=True, refuses=("bool", "integer"), tensors=("input", "other"))
def logaddexp(input, other):
    """log(exp(input) + exp(other)), without overflow on the way.

    >>> from retrograd import logaddexp, tensor
    >>> logaddexp(tensor([0.]), tensor([0.]))
    tensor([0.6931])
    """
    if np.iscomplexobj(input) or np.iscomplexobj(other):
        larger = np.where(np.real(input) >= np.real(other), input, other)
        smaller = np.where(np.real(input) >= np.real(other), other, input)
        return larger + np.log1p(np.exp(smaller - larger))
    return np.logaddexp(input, other)


@logaddexp.derivative("input")
def _(g, input, other):
    return g / conj_of(1 + exp(other - input))


@logaddexp.derivative("other")
def _(g, input, other):
    return g / conj_of(1 + exp(input - other))


@logaddexp.kernel
def _(k, input, other):
    gap = k.select(k.eq(input, other), k.const(0, input), k.abs(k.sub(input, other)))
    return k.add(k.max(input, other), k.log1p(k.exp(k.neg(gap))))


@elementwise(commutative=True, refuses=("bool", "integer", "complex"), tensors=("input", "other"))
def logaddexp2(input, other):
    """log2(2**input + 2**other), without overflow on the way.

    >>> from retrograd import logaddexp2, tensor
    >>> logaddexp2(tensor([3.]), tensor([3.]))
    tensor([4.])
    """
    return np.logaddexp2(input, other)


@logaddexp2.derivative("input")
def _(g, input, other):
    return g / (1 + exp((other - input) * math.log(2)))


@logaddexp2.derivative("other")
def _(g, input, other):
    return g / (1 + exp((input - other) * math.log(2)))


@logaddexp2.kernel
def _(k, input, other):
    gap = k.select(k.eq(input, other), k.const(0, input), k.abs(k.sub(input, other)))
    return k.add(k.max(input, other), k.mul(k.log1p(k.exp2(k.neg(gap))), k.const(1 / math.log(2), input)))


@elementwise(result="floating", refuses=("complex",))
def xlogy(input, other):
    """`input * log(other)`, 0 where `input` is 0 and `other` not nan.

    >>> from retrograd import tensor, xlogy
    >>> xlogy(tensor([0., 2.]), tensor([0., 1.]))
    tensor([0., 0.])
    """
    other = np.asarray(other, getattr(input, "dtype", None))  # a number must not widen the result
    return np.where(np.equal(input, 0) & ~np.isnan(other), np.zeros_like(other), input * np.log(other))


@xlogy.derivative("input")
def _(g, input, other):
    slope = g * (log(other) if hasattr(other, "shape") else float(np.log(other)))
    return where_op(input == 0, where_op(other <= 0, 0.0, slope), slope)


@xlogy.derivative("other")
def _(g, input, other):
    return g * input / other


@xlogy.kernel
def _(k, input, other):
    zero = k.const(0, input)
    none = k.logical_and(k.eq(input, zero), k.logical_not(k.isnan(other)))
    return k.select(none, zero, k.mul(input, k.log(other)))


# ---------------------------------------------------------------- steps, signs, neighbours


@elementwise(refuses=("complex",), tensors=("input", "values"))
def heaviside(input, values):
    """0 where `input` is negative (or nan), `values` where it is 0, 1 where it is positive.

    >>> from retrograd import heaviside, tensor
    >>> heaviside(tensor([-1., 0., 1.]), tensor([0.5]))
    tensor([0.0000, 0.5000, 1.0000])
    """
    positive = np.greater(input, 0)
    return np.where(np.equal(input, 0), values, positive.astype(np.result_type(input, values)))


@heaviside.derivative("input")
def _(g):
    return not_differentiable("heaviside")


@heaviside.derivative("values")
def _(g):
    return not_differentiable("heaviside")


@heaviside.kernel
def _(k, input, values):
    zero, one = k.const(0, input), k.const(1, input)
    return k.select(k.eq(input, zero), values, k.select(k.gt(input, zero), one, zero))


@elementwise(result="floating", refuses=("complex",), tensors=("input",))
def copysign(input, other):
    """The absolute value of `input` with the sign of `other`.

    >>> from retrograd import copysign, tensor
    >>> copysign(tensor([1., 2.]), tensor([-3., 0.]))
    tensor([-1.,  2.])
    """
    return np.copysign(input, other)


@copysign.derivative("input")
def _(g, input, y):
    zero = input == 0
    return where_op(zero, 0.0, g * (y / where_op(zero, 1.0, input)))


@copysign.derivative("other")
def _(g):
    return no_slope(g)


@copysign.kernel
def _(k, input, other):
    return k.copysign(input, other)


@elementwise(refuses=("bool", "integer", "complex"), tensors=("input", "other"))
def nextafter(input, other):
    """The next floating-point number after `input` in the direction of `other`.

    >>> from retrograd import nextafter, tensor
    >>> nextafter(tensor([1.]), tensor([2.])) > 1
    tensor([True])
    """
    return np.nextafter(input, other)


@nextafter.derivative("input")
def _(g, input, other):
    return where_op(input == other, 0.0, g)


@nextafter.derivative("other")
def _(g, input, other):
    return where_op(input == other, g, 0.0)


@elementwise(name="nan_to_num", derivative_name="NanToNumBackward0")
def nan_to_num_op(input, *, nan, posinf, neginf):
    """input with other numbers in place of nan and the infinities"""
    return np.nan_to_num(input, nan=nan, posinf=posinf, neginf=neginf)


@nan_to_num_op.derivative("input")
def _(g, input):
    return where_op(input - input == 0, g, 0.0)


@nan_to_num_op.kernel
def _(k, input, nan, posinf, neginf):
    infinite = k.select(k.gt(input, k.const(0, input)), k.const(posinf, input), k.const(neginf, input))
    return k.select(k.isnan(input), k.const(nan, input), k.select(k.isinf(input), infinite, input))


def nan_to_num(
    input: Tensor, nan: float | None = 0.0, posinf: float | None = None, neginf: float | None = None, *, out: Tensor | None = None
) -> Tensor:
    """`input` with nan replaced by `nan`, infinities by `posinf` and `neginf` (by default the largest finite numbers).

    >>> from retrograd import nan_to_num, tensor
    >>> nan_to_num(tensor([float("nan"), 1., float("inf")]), nan=2., posinf=3.)
    tensor([2., 1., 3.])
    """
    if input.dtype.category < dtypes.FLOATING:
        result = mul(input, True) if input.dtype is dtypes.bool else mul(input, 1)
    else:
        limits = dtypes.finfo(input.dtype)
        result = nan_to_num_op(
            input,
            nan=0.0 if nan is None else nan,
            posinf=limits.max if posinf is None else posinf,
            neginf=limits.min if neginf is None else neginf,
        )
    return result if out is None else write_out(out, result)


# ---------------------------------------------------------------- integers


@elementwise(commutative=True, refuses=("bool", "floating", "complex"), tensors=("input", "other"))
def gcd(input, other):
    """The greatest common divisor, not negative.

    >>> from retrograd import gcd, tensor
    >>> gcd(tensor([12, 7]), tensor(8))
    tensor([4, 1])
    """
    return np.gcd(input, other)


@elementwise(commutative=True, refuses=("bool", "floating", "complex"), tensors=("input", "other"))
def lcm(input, other):
    """The least common multiple, not negative.

    >>> from retrograd import lcm, tensor
    >>> lcm(tensor([4, 3]), tensor(6))
    tensor([12,  6])
    """
    return np.lcm(input, other)


# ---------------------------------------------------------------- powers of two


def ldexp(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
    """`input * 2**other`.

    >>> from retrograd import ldexp, tensor
    >>> ldexp(tensor([1., 3.]), tensor([2, -1]))
    tensor([4.0000, 1.5000])
    """
    result = mul(input, pow(2.0, other))
    return result if out is None else write_out(out, result)


@opaque(name="frexp", outputs=("mantissa", "exponent"))
def frexp_op(input):
    """mantissa and exponent of input"""
    mantissa, exponent = np.frexp(input)
    return np.asarray(mantissa), np.asarray(exponent, np.int32)


@frexp_op.vjp("input")
def _(g_mantissa, input, mantissa):
    zero = input == 0
    return g_mantissa * where_op(zero, 1.0, mantissa / where_op(zero, 1.0, input))


@frexp_op.batch
def _(args, mapped):
    return frexp_op(args[0])


def frexp(input: Tensor) -> Any:
    """The mantissa, of absolute value in [0.5, 1), and the exponent: `input = mantissa * 2**exponent`.

    Raises:
        RuntimeError: if `input` is not of a floating dtype.

    >>> from retrograd import frexp, tensor
    >>> frexp(tensor([8., 3.])).exponent
    tensor([4, 2], dtype=torch.int32)
    """
    if not input.dtype.is_floating_point:
        raise RuntimeError(f"torch.frexp() only supports floating-point dtypes, got {input.dtype}")
    return return_types.frexp(frexp_op(input))


arctan2, multiply, subtract, negative, divide, true_divide, clip = atan2, mul, sub, neg, div, div, clamp
