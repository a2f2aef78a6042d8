"""Mathematical functions of one number: powers, exponentials, logarithms, circular and hyperbolic functions, rounding."""

from __future__ import annotations

import builtins
import cmath
import math
from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.config import settings
from retrograd.core.families import elementwise, write_out
from retrograd.core.tensor import Tensor
from retrograd.ops.basis import cast, conj_of, mul, where_op
from retrograd.ops.complexes import is_complex_value, real_part


def no_slope(g: Any) -> Any:
    """The cotangent through a function that is constant between its jumps: zeros, whatever `g` is."""
    return where_op(False, g, 0.0)


# ---------------------------------------------------------------- exponentials and logarithms


@elementwise(result="floating")
def exp(input):
    """e to the power of each element.

    >>> from retrograd import exp, tensor
    >>> exp(tensor([0., 1.]))
    tensor([1.0000, 2.7183])
    """
    return np.exp(input)


@exp.derivative("input")
def _(y):
    return y


@exp.kernel
def _(k, input):
    return k.exp(input)


@elementwise(result="floating")
def exp2(input):
    """2 to the power of each element.

    >>> from retrograd import exp2, tensor
    >>> exp2(tensor([0., 3.]))
    tensor([1., 8.])
    """
    return np.exp2(input) if input.dtype.kind != "c" else np.exp(input * math.log(2))


@exp2.derivative("input")
def _(y):
    return y * math.log(2)


@exp2.kernel
def _(k, input):
    return k.exp2(input)


@elementwise(result="floating", preserves_zero=True)
def expm1(input):
    """e to the power of each element, minus 1: exact for small elements.

    >>> from retrograd import expm1, tensor
    >>> expm1(tensor([0., 1.]))
    tensor([0.0000, 1.7183])
    """
    return np.expm1(input)


@expm1.derivative("input")
def _(y):
    return y + 1


@expm1.kernel
def _(k, input):
    return k.expm1(input)


@elementwise(result="floating")
def log(input):
    """The natural logarithm of each element: -inf for 0, nan for negative numbers.

    >>> from retrograd import log, tensor
    >>> log(tensor([1., 10.]))
    tensor([0.0000, 2.3026])
    """
    return np.log(input)


@log.derivative("input")
def _(g, input):
    return g / conj_of(input)


@log.jvp("input")
def _(t, input):
    return t / input


@log.kernel
def _(k, input):
    return k.log(input)


@elementwise(result="floating")
def log2(input):
    """The logarithm to base 2 of each element.

    >>> from retrograd import log2, tensor
    >>> log2(tensor([1., 8.]))
    tensor([0., 3.])
    """
    return np.log2(input)


@log2.derivative("input")
def _(input):
    return 1 / (input * math.log(2))


@log2.kernel
def _(k, input):
    return k.log2(input)


@elementwise(result="floating")
def log10(input):
    """The logarithm to base 10 of each element.

    >>> from retrograd import log10, tensor
    >>> log10(tensor([2., 5.]))
    tensor([0.3010, 0.6990])
    """
    return np.log10(input)


@log10.derivative("input")
def _(input):
    return 1 / (input * math.log(10))


@log10.kernel
def _(k, input):
    return k.log10(input)


@elementwise(result="floating", preserves_zero=True, derivative_name="Log1PBackward0")
def log1p(input):
    """The natural logarithm of 1 plus each element: exact for small elements.

    >>> from retrograd import log1p, tensor
    >>> log1p(tensor([0., 1.]))
    tensor([0.0000, 0.6931])
    """
    return np.log1p(input)


@log1p.derivative("input")
def _(input):
    return 1 / (input + 1)


@log1p.kernel
def _(k, input):
    return k.log1p(input)


# ---------------------------------------------------------------- roots and powers


@elementwise(result="floating", preserves_zero=True)
def sqrt(input):
    """The square root of each element: nan for negative numbers.

    >>> from retrograd import sqrt, tensor
    >>> sqrt(tensor([4., 2.]))
    tensor([2.0000, 1.4142])
    """
    return np.sqrt(input)


@sqrt.derivative("input")
def _(y):
    return 0.5 / y


@sqrt.kernel
def _(k, input):
    return k.sqrt(input)


@elementwise(result="floating")
def rsqrt(input):
    """1 divided by the square root of each element.

    >>> from retrograd import rsqrt, tensor
    >>> rsqrt(tensor([4., 1.]))
    tensor([0.5000, 1.0000])
    """
    return 1 / np.sqrt(input)


@rsqrt.derivative("input")
def _(y):
    return y * y * y * -0.5


@rsqrt.kernel
def _(k, input):
    return k.rsqrt(input)


@elementwise(name="square", preserves_zero=True, derivative_name="PowBackward0")
def square_op(input):
    """input * input"""
    return np.square(input)


@square_op.derivative("input")
def _(input):
    return input * 2


@square_op.kernel
def _(k, input):
    return k.mul(input, input)


def square(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Each element multiplied by itself.

    >>> from retrograd import square, tensor
    >>> square(tensor([3., -2.]))
    tensor([9., 4.])
    """
    return pow(input, 2, out=out)


@elementwise(result="floating", inverse="reciprocal")
def reciprocal(input):
    """1 divided by each element.

    >>> from retrograd import reciprocal, tensor
    >>> reciprocal(tensor([2., 4.]))
    tensor([0.5000, 0.2500])
    """
    return np.reciprocal(input)


@reciprocal.derivative("input")
def _(y):
    return -(y * y)


@reciprocal.kernel
def _(k, input):
    return k.div(k.const(1, input), input)


@elementwise(name="pow_scalar", title="pow", refuses=("bool",), derivative_name="PowBackward0")
def pow_scalar_op(input, *, exponent):
    """input to the power of a number of its own category or a lower one"""
    if input.dtype.kind in "fcV":
        if exponent == 0.5:
            return np.sqrt(input)
        if exponent == -1:
            return np.reciprocal(input)
        if exponent == 3 and input.dtype in (np.float32, np.float64):
            return input * input * input  # a fortieth of the time, and what PyTorch does
        return input**exponent
    return integer_power(input, np.asarray(exponent).astype(input.dtype))


@pow_scalar_op.derivative("input")
def _(input, exponent):
    return where_op(False, input, 0.0) if exponent == 0 else pow_scalar_op(input, exponent=exponent - 1) * exponent


@pow_scalar_op.kernel
def _(k, input, exponent):
    if exponent == 0.5:
        return k.sqrt(input)
    if exponent == 3:
        return k.mul(k.mul(input, input), input)
    return k.pow(input, k.const(exponent, input))


@elementwise(name="pow", refuses=("bool",), derivative_name="PowBackward1")
def pow_op(input, exponent):
    """input to the power of exponent"""
    return np.power(input, exponent) if input.dtype.kind in "fcV" else integer_power(input, exponent)


@pow_op.derivative("input")
def _(input, exponent):
    none = exponent == 0
    return where_op(none, 0.0, exponent * pow_op(input, where_op(none, 1.0, exponent - 1)))


@pow_op.derivative("exponent")
def _(input, exponent, y):
    zero = input == 0
    at_zero = where_op(real_part(exponent) >= 0, 0.0, -math.inf) if is_complex_value(exponent) else where_op(exponent >= 0, 0.0, -math.inf)
    return where_op(zero, at_zero, y * log(where_op(zero, 1.0, input)))


@pow_op.kernel
def _(k, input, exponent):
    return k.pow(input, exponent)


@elementwise(name="pow_base", title="pow", refuses=("bool",), derivative_name="PowBackward2")
def pow_base_op(input, *, base):
    """a number to the power of input"""
    if input.dtype.kind in "fcV":
        return np.exp2(input) if base == 2 and input.dtype.kind == "f" else np.power(input.dtype.type(base), input)
    return integer_power(np.asarray(base).astype(input.dtype), input)


@pow_base_op.derivative("input")
def _(input, y, base):
    if base == 0:
        return where_op(input >= 0, 0.0, -math.inf)
    return y * log_of_number(base)


@pow_base_op.kernel
def _(k, input, base):
    return k.exp2(input) if base == 2 else k.pow(k.const(base, input), input)


def log_of_number(value: Any) -> Any:
    """The logarithm of a number other than 0: nan for negative ones."""
    if isinstance(value, builtins.complex):
        return cmath.log(value)
    return math.log(value) if value > 0 else math.nan


def integer_power(base: Any, exponent: Any) -> Any:
    """Powers of integers, wrapping round; a negative exponent leaves what rounding towards zero leaves."""
    negative = exponent < 0
    y = np.power(base, np.where(negative, np.zeros_like(exponent), exponent))
    if not np.any(negative):
        return y
    odd = (exponent & 1) == 1
    inverse = np.where(base == 1, 1, np.where(base == -1, np.where(odd, -1, 1), 0)).astype(y.dtype)
    return np.where(negative, inverse, y)


def pow(input: Any, exponent: Any, *, out: Tensor | None = None) -> Tensor:
    """`input` to the power of `exponent`, broadcasting; one of them may be a number.

    The gradient with respect to a base is 0 where the exponent is 0, and that with respect to an exponent is 0 where the
    base is 0 and the exponent is not negative.

    Raises:
        RuntimeError: for an integer tensor and a negative integer exponent.

    >>> from retrograd import pow, tensor
    >>> pow(tensor([2., 3.]), 2), pow(2, tensor([3, 4])), pow(tensor([4.]), tensor([0.5]))
    (tensor([4., 9.]), tensor([ 8, 16]), tensor([2.]))
    """
    if isinstance(exponent, Tensor):
        if isinstance(input, Tensor):
            result = pow_op(input, exponent)
        else:
            result = pow_base_op(cast(exponent, common_dtype("pow", exponent, input)), base=plain_number("pow", input))
    elif exponent.__class__ is int and exponent == 2 and isinstance(input, Tensor) and input.dtype is not dtypes.bool:
        result = square_op(input)
    elif isinstance(input, Tensor):
        exponent = plain_number("pow", exponent)
        dtype = common_dtype("pow", input, exponent)
        if dtype.category == dtypes.INTEGER and exponent < 0:
            raise RuntimeError("Integers to negative integer powers are not allowed.")
        if exponent == 2 and dtype is not dtypes.bool:  # 2.0, or 2 for a tensor of bools
            result = square_op(cast(input, dtype))
        else:
            result = pow_scalar_op(cast(input, dtype), exponent=exponent)
    else:
        raise TypeError(f"pow(): expected a Tensor among its arguments, got {type(input).__name__} and {type(exponent).__name__}")
    return result if out is None else write_out(out, result)


def reflected_pow(self: Tensor, other: Any) -> Tensor:
    """`other ** self`."""
    return pow(other, self)


def common_dtype(name: str, *operands: Any) -> Any:
    """The dtype that tensors and numbers have in common."""
    tensors = [(a.dtype, a.ndim > 0) for a in operands if isinstance(a, Tensor)]
    return dtypes.result_type(tensors, [a for a in operands if not isinstance(a, Tensor)], settings.default_dtype)


def plain_number(name: str, value: Any) -> Any:
    """A Python number. Raises TypeError for anything else."""
    if isinstance(value, (int, float, builtins.complex)):
        return value
    if isinstance(value, (np.number, np.bool_)):
        return value.item()
    raise TypeError(f"{name}(): expected a Tensor or a number, got {type(value).__name__}")


def float_power(input: Any, exponent: Any, *, out: Tensor | None = None) -> Tensor:
    """`input` to the power of `exponent`, in double precision.

    >>> from retrograd import float_power, tensor
    >>> float_power(tensor([2, 3]), 2)
    tensor([4., 9.], dtype=torch.float64)
    """
    wide = dtypes.complex128 if common_dtype("float_power", input, exponent).is_complex else dtypes.float64
    number = builtins.complex if wide is dtypes.complex128 else float
    wider = [cast(a, wide) if isinstance(a, Tensor) else number(plain_number("float_power", a)) for a in (input, exponent)]
    if out is not None and out.dtype is not wide:
        raise RuntimeError(
            f"the output given to float_power has dtype {dtypes.scalar_name(out.dtype)} but the operation's result requires dtype {dtypes.scalar_name(wide)}"
        )
    return pow(*wider, out=out)


def float_power_of_wide(self: Tensor, exponent: Any) -> Tensor:
    """`float_power` for writing over `self`, which must be in double precision already."""
    wide = dtypes.complex128 if common_dtype("float_power", self, exponent).is_complex else dtypes.float64
    if self.dtype is not wide:
        raise RuntimeError(
            f"the base given to float_power_ has dtype {dtypes.scalar_name(self.dtype)} but the operation's result requires dtype {dtypes.scalar_name(wide)}"
        )
    return float_power(self, exponent)


# ---------------------------------------------------------------- circular functions


@elementwise(result="floating", preserves_zero=True)
def sin(input):
    """The sine of each element.

    >>> from retrograd import sin, tensor
    >>> sin(tensor([0., 1.]))
    tensor([0.0000, 0.8415])
    """
    return np.sin(input)


@sin.derivative("input")
def _(input):
    return cos(input)


@sin.kernel
def _(k, input):
    return k.sin(input)


@elementwise(result="floating")
def cos(input):
    """The cosine of each element.

    >>> from retrograd import cos, tensor
    >>> cos(tensor([0., 1.]))
    tensor([1.0000, 0.5403])
    """
    return np.cos(input)


@cos.derivative("input")
def _(input):
    return -sin(input)


@cos.kernel
def _(k, input):
    return k.cos(input)


@elementwise(result="floating", preserves_zero=True)
def tan(input):
    """The tangent of each element.

    >>> from retrograd import tan, tensor
    >>> tan(tensor([0., 1.]))
    tensor([0.0000, 1.5574])
    """
    return np.tan(input)


@tan.derivative("input")
def _(y):
    return 1 + y * y


@tan.kernel
def _(k, input):
    return k.tan(input)


@elementwise(result="floating", preserves_zero=True)
def asin(input):
    """The arcsine of each element: nan outside [-1, 1].

    >>> from retrograd import asin, tensor
    >>> asin(tensor([0., 1.]))
    tensor([0.0000, 1.5708])
    """
    return np.arcsin(input)


@asin.derivative("input")
def _(input):
    return rsqrt((1 - input) * (1 + input))


@asin.kernel
def _(k, input):
    return k.asin(input)


@elementwise(result="floating")
def acos(input):
    """The arccosine of each element: nan outside [-1, 1].

    >>> from retrograd import acos, tensor
    >>> acos(tensor([0., 1.]))
    tensor([1.5708, 0.0000])
    """
    return np.arccos(input)


@acos.derivative("input")
def _(input):
    return -rsqrt((1 - input) * (1 + input))


@acos.kernel
def _(k, input):
    return k.acos(input)


@elementwise(result="floating", preserves_zero=True)
def atan(input):
    """The arctangent of each element.

    >>> from retrograd import atan, tensor
    >>> atan(tensor([0., 1.]))
    tensor([0.0000, 0.7854])
    """
    return np.arctan(input)


@atan.derivative("input")
def _(input):
    return 1 / (1 + input * input)


@atan.kernel
def _(k, input):
    return k.atan(input)


# ---------------------------------------------------------------- hyperbolic functions


@elementwise(result="floating", preserves_zero=True)
def sinh(input):
    """The hyperbolic sine of each element.

    >>> from retrograd import sinh, tensor
    >>> sinh(tensor([0., 1.]))
    tensor([0.0000, 1.1752])
    """
    return np.sinh(input)


@sinh.derivative("input")
def _(input):
    return cosh(input)


@sinh.kernel
def _(k, input):
    return k.sinh(input)


@elementwise(result="floating")
def cosh(input):
    """The hyperbolic cosine of each element.

    >>> from retrograd import cosh, tensor
    >>> cosh(tensor([0., 1.]))
    tensor([1.0000, 1.5431])
    """
    return np.cosh(input)


@cosh.derivative("input")
def _(input):
    return sinh(input)


@cosh.kernel
def _(k, input):
    return k.cosh(input)


@elementwise(result="floating", preserves_zero=True)
def tanh(input):
    """The hyperbolic tangent of each element.

    >>> from retrograd import tanh, tensor
    >>> tanh(tensor([0., 1.]))
    tensor([0.0000, 0.7616])
    """
    return np.tanh(input)


@tanh.derivative("input")
def _(y):
    return 1 - y * y


@tanh.kernel
def _(k, input):
    return k.tanh(input)


@elementwise(result="floating", preserves_zero=True)
def asinh(input):
    """The inverse hyperbolic sine of each element.

    >>> from retrograd import asinh, tensor
    >>> asinh(tensor([0., 1.]))
    tensor([0.0000, 0.8814])
    """
    return np.arcsinh(input)


@asinh.derivative("input")
def _(input):
    return rsqrt(input * input + 1)


@asinh.kernel
def _(k, input):
    return k.asinh(input)


@elementwise(result="floating")
def acosh(input):
    """The inverse hyperbolic cosine of each element: nan below 1.

    >>> from retrograd import acosh, tensor
    >>> acosh(tensor([1., 2.]))
    tensor([0.0000, 1.3170])
    """
    return np.arccosh(input)


@acosh.derivative("input")
def _(input):
    return rsqrt((input - 1) * (input + 1)) if not is_complex_value(input) else rsqrt(input - 1) * rsqrt(input + 1)


@acosh.kernel
def _(k, input):
    return k.acosh(input)


@elementwise(result="floating", preserves_zero=True)
def atanh(input):
    """The inverse hyperbolic tangent of each element: nan outside [-1, 1].

    >>> from retrograd import atanh, tensor
    >>> atanh(tensor([0., 0.5]))
    tensor([0.0000, 0.5493])
    """
    return np.arctanh(input)


@atanh.derivative("input")
def _(input):
    return 1 / ((1 - input) * (1 + input))


@atanh.kernel
def _(k, input):
    return k.atanh(input)


# ---------------------------------------------------------------- absolute value and sign


@elementwise(preserves_zero=True, refuses=("bool",))
def abs(input):
    """The absolute value of each element.

    >>> from retrograd import abs, tensor
    >>> abs(tensor([-1.5, 2.]))
    tensor([1.5000, 2.0000])
    """
    return np.absolute(input)


@abs.derivative("input")
def _(g, input):
    return g * sgn(input)


@abs.jvp("input")
def _(t, input):
    return real_part(t * conj_of(sgn(input))) if is_complex_value(input) else t * sgn(input)


@abs.kernel
def _(k, input):
    return k.abs(input)


@elementwise(preserves_zero=True, refuses=("complex",))
def sign(input):
    """-1, 0 or 1 for each element, as it is negative, zero (or nan) or positive.

    >>> from retrograd import sign, tensor
    >>> sign(tensor([-3., 0., 2.]))
    tensor([-1.,  0.,  1.])
    """
    return signs(input)


@sign.derivative("input")
def _(g):
    return no_slope(g)


@sign.kernel
def _(k, input):
    zero, one = k.const(0, input), k.const(1, input)
    return k.sub(k.select(k.gt(input, zero), one, zero), k.select(k.lt(input, zero), one, zero))


def signs(x: Any) -> Any:
    """-1, 0 or 1, in the dtype of `x`; 0 for nan."""
    return x | False if x.dtype == np.bool_ else np.subtract(x > 0, x < 0, dtype=np.int8).astype(x.dtype)


@elementwise(preserves_zero=True)
def sgn(input):
    """The sign of each element; a complex one divided by its absolute value, 0 for 0.

    >>> from retrograd import sgn, tensor
    >>> sgn(tensor([3 + 4j, 0j]))
    tensor([0.6000+0.8000j, 0.0000+0.0000j])
    """
    if input.dtype.kind != "c":
        return signs(input)
    size = np.absolute(input)
    return np.where(size == 0, 0, input / np.where(size == 0, 1, size)).astype(input.dtype)


@sgn.derivative("input")
def _(g, input, y):
    if not is_complex_value(input):
        return no_slope(g)
    size = abs(input)
    none = size == 0
    return where_op(none, 0.0, (g - real_part(g * conj_of(y)) * y) / where_op(none, 1.0, size))


@sgn.jvp("input")  # sgn has no complex derivative; as a map of two real numbers its Jacobian is symmetric
def _(t, input, y):
    if not is_complex_value(input):
        return no_slope(t)
    size = abs(input)
    none = size == 0
    return where_op(none, 0.0, (t - real_part(t * conj_of(y)) * y) / where_op(none, 1.0, size))


@sgn.kernel
def _(k, input):
    zero, one = k.const(0, input), k.const(1, input)
    return k.sub(k.select(k.gt(input, zero), one, zero), k.select(k.lt(input, zero), one, zero))


@elementwise(result="bool", refuses=("complex",))
def signbit(input):
    """Where the sign bit is set: negative elements, and -0.0.

    >>> from retrograd import signbit, tensor
    >>> signbit(tensor([-1., 0., -0.]))
    tensor([ True, False,  True])
    """
    return np.signbit(input) if input.dtype.kind in "fV" else input < 0


@signbit.kernel
def _(k, input):
    return k.lt(k.copysign(k.const(1, input), input), k.const(0, input))


def positive(input: Tensor) -> Tensor:
    """`input` itself. Raises RuntimeError for bool."""
    if input.dtype is dtypes.bool:
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return input


# ---------------------------------------------------------------- rounding


@elementwise(preserves_zero=True, refuses=("bool", "complex"))
def ceil(input):
    """The smallest integer not below each element.

    >>> from retrograd import ceil, tensor
    >>> ceil(tensor([-0.5, 1.2]))
    tensor([-0.,  2.])
    """
    return np.ceil(input)


@ceil.derivative("input")
def _(g):
    return no_slope(g)


@ceil.kernel
def _(k, input):
    return k.ceil(input)


@elementwise(preserves_zero=True, refuses=("bool", "complex"))
def floor(input):
    """The largest integer not above each element.

    >>> from retrograd import floor, tensor
    >>> floor(tensor([-0.5, 1.2]))
    tensor([-1.,  1.])
    """
    return np.floor(input)


@floor.derivative("input")
def _(g):
    return no_slope(g)


@floor.kernel
def _(k, input):
    return k.floor(input)


@elementwise(preserves_zero=True, refuses=("bool", "complex"))
def trunc(input):
    """The integer part of each element: rounds towards zero.

    >>> from retrograd import tensor, trunc
    >>> trunc(tensor([-1.5, 1.5]))
    tensor([-1.,  1.])
    """
    return np.trunc(input)


@trunc.derivative("input")
def _(g):
    return no_slope(g)


@trunc.kernel
def _(k, input):
    return k.trunc(input)


@elementwise(preserves_zero=True, refuses=("bool", "integer", "complex"))
def frac(input):
    """What `trunc` leaves: the fractional part of each element, with its sign.

    >>> from retrograd import frac, tensor
    >>> frac(tensor([1.5, -2.25]))
    tensor([ 0.5000, -0.2500])
    """
    return input - np.trunc(input)


@frac.derivative("input")
def _():
    return 1


@frac.kernel
def _(k, input):
    return k.sub(input, k.trunc(input))


@elementwise(
    preserves_zero=True, refuses=("bool", "complex"), derivative_name=lambda p: "RoundBackward1" if p.get("decimals") else "RoundBackward0"
)
def round_op(input, *, decimals=0):
    """The nearest number with so many decimals, halves to even"""
    if input.dtype.kind in "iu":
        return input.copy()
    if decimals == 0:
        return np.rint(input)
    scale = input.dtype.type(10.0 ** builtins.abs(decimals))
    return np.rint(input * scale) / scale if decimals > 0 else np.rint(input / scale) * scale


@round_op.derivative("input")
def _(g):
    return no_slope(g)


@round_op.kernel
def _(k, input, decimals):
    if decimals == 0:
        return k.round(input)
    scale = k.const(10.0 ** builtins.abs(decimals), input)
    return k.div(k.round(k.mul(input, scale)), scale) if decimals > 0 else k.mul(k.round(k.div(input, scale)), scale)


def round(input: Tensor, *, decimals: int | None = None, out: Tensor | None = None) -> Tensor:
    """Each element rounded to `decimals` decimals, halves to even.

    Raises:
        RuntimeError: for `decimals` other than 0 with integers, and for bool and complex dtypes.

    >>> from retrograd import round, tensor
    >>> round(tensor([0.5, 1.5, -2.7])), round(tensor([1.234]), decimals=2)
    (tensor([ 0.,  2., -3.]), tensor([1.2300]))
    """
    if decimals is not None and input.dtype.category == dtypes.INTEGER:
        raise NotImplementedError(f"round with decimals is not implemented for '{dtypes.scalar_name(input.dtype)}'")
    result = round_op(input, decimals=decimals or 0)
    return result if out is None else write_out(out, result)


# ---------------------------------------------------------------- angles


def deg2rad(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Degrees as radians.

    >>> from retrograd import deg2rad, tensor
    >>> deg2rad(tensor([180., 90.]))
    tensor([3.1416, 1.5708])
    """
    return scaled("deg2rad", input, math.pi / 180, out)


def rad2deg(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Radians as degrees.

    >>> from retrograd import rad2deg, tensor
    >>> rad2deg(tensor([0., 1.]))
    tensor([ 0.0000, 57.2958])
    """
    return scaled("rad2deg", input, 180 / math.pi, out)


def scaled(name: str, input: Tensor, factor: float, out: Tensor | None) -> Tensor:
    """`input * factor` for a real `input`."""
    if input.dtype.is_complex:
        raise RuntimeError(f"{name} is not supported for complex tensors.")
    result = mul(input, factor)
    return result if out is None else write_out(out, result)


@elementwise(result="floating")
def sinc(input):
    """sin(pi x) / (pi x) of each element x, 1 at 0.

    >>> from retrograd import sinc, tensor
    >>> sinc(tensor([0., 0.5]))
    tensor([1.0000, 0.6366])
    """
    return np.where(input == 0, input.dtype.type(1), np.sin(input * math.pi) / (input * math.pi))


@sinc.derivative("input")
def _(input):
    x = input * math.pi
    square = x * x
    series = 1 - square / 238
    for n in (180, 130, 88, 54, 28, 10):
        series = 1 - square / n * series
    series = -(math.pi / 3) * x * series
    near = square < 0.5  # where the difference of the terms below would cancel
    x = where_op(near, 1.0, x)
    return where_op(near, series, (cos(x) - sin(x) / x) / x * math.pi)


@sinc.kernel
def _(k, input):
    x = k.mul(input, k.const(math.pi, input))
    return k.select(k.eq(input, k.const(0, input)), k.const(1, input), k.div(k.sin(x), x))


absolute, arcsin, arccos, arctan, arcsinh, arccosh, arctanh, fix = abs, asin, acos, atan, asinh, acosh, atanh, trunc
