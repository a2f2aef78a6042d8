"""Activation functions. The nn.functional ones have its signatures, without `inplace`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.core.families import elementwise, write_out
from retrograd.core.tensor import Tensor
from retrograd.ops.basis import reshape, where_op
from retrograd.ops.pointwise import exp, tanh
from retrograd.ops.special_functions import erf_array
from retrograd.shapes import Size


def is_bool(input: Any) -> bool:
    """Whether a tensor is of dtype bool."""
    return isinstance(input, Tensor) and input.dtype is dtypes.bool


# ---------------------------------------------------------------- sigmoid and its kin


@elementwise(result="floating")
def sigmoid(input):
    """1 / (1 + exp(-input)).

    >>> from retrograd import sigmoid, tensor
    >>> sigmoid(tensor([0., 2.]))
    tensor([0.5000, 0.8808])
    """
    return logistic(input)


@sigmoid.derivative("input")
def _(y):
    return (1 - y) * y


@sigmoid.kernel
def _(k, input):
    one = k.const(1, input)
    return k.div(one, k.add(one, k.exp(k.neg(input))))


def logistic(x: Any) -> Any:
    """1 / (1 + exp(-x)) of an array, with one temporary."""
    y = np.empty(x.shape, x.dtype)
    np.negative(x, out=y)
    np.exp(y, out=y)
    y += 1
    return np.reciprocal(y, out=y)


@elementwise(name="log_sigmoid", title="logsigmoid", derivative_name="LogSigmoidBackward0", refuses=("bool", "integer", "complex"))
def logsigmoid(input):
    """log(sigmoid(input)), without underflow on the way.

    >>> from retrograd import tensor
    >>> from retrograd.ops.activation import logsigmoid
    >>> logsigmoid(tensor([0., -100.]))
    tensor([  -0.6931, -100.0000])
    """
    return np.minimum(input, 0) - np.log1p(np.exp(-np.abs(input)))


@logsigmoid.derivative("input")
def _(input):
    return sigmoid(-input)


@logsigmoid.kernel
def _(k, input):
    return k.sub(k.min(input, k.const(0, input)), k.log1p(k.exp(k.neg(k.abs(input)))))


@elementwise(refuses=("bool", "integer"))
def silu(input):
    """input * sigmoid(input).

    >>> from retrograd import tensor
    >>> from retrograd.ops.activation import silu
    >>> silu(tensor([0., 2.]))
    tensor([0.0000, 1.7616])
    """
    y = logistic(input)
    y *= input
    return y


@silu.derivative("input")
def _(input):
    s = sigmoid(input)
    return s * (1 + input * (1 - s))


@silu.kernel
def _(k, input):
    return k.div(input, k.add(k.const(1, input), k.exp(k.neg(input))))


@elementwise(name="softplus", refuses=("bool", "integer", "complex"))
def softplus_op(input, *, beta, threshold):
    """log(1 + exp(beta * input)) / beta, and input itself where beta * input > threshold"""
    scaled = input if beta == 1 else input * beta
    y = np.maximum(scaled, 0) + np.log1p(np.exp(-np.abs(scaled)))
    return np.where(scaled > threshold, input, y if beta == 1 else y / beta)


@softplus_op.derivative("input")
def _(g, input, beta, threshold):
    scaled = input * beta
    return where_op(scaled > threshold, g, g * sigmoid(scaled))


@softplus_op.kernel
def _(k, input, beta, threshold):
    scaled = k.mul(input, k.const(beta, input))
    soft = k.add(k.max(scaled, k.const(0, input)), k.log1p(k.exp(k.neg(k.abs(scaled)))))
    return k.select(k.gt(scaled, k.const(threshold, input)), input, k.div(soft, k.const(beta, input)))


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """A smooth relu: `log(1 + exp(beta * input)) / beta`, and `input` itself where `beta * input > threshold`.

    >>> from retrograd import tensor
    >>> from retrograd.ops.activation import softplus
    >>> softplus(tensor([0., 30.]))
    tensor([ 0.6931, 30.0000])
    """
    return softplus_op(input, beta=beta, threshold=threshold)


@elementwise(refuses=("bool", "integer", "complex"))
def mish(input):
    """input * tanh(softplus(input)).

    >>> from retrograd import tensor
    >>> from retrograd.ops.activation import mish
    >>> mish(tensor([0., 1.]))
    tensor([0.0000, 0.8651])
    """
    return input * np.tanh(np.maximum(input, 0) + np.log1p(np.exp(-np.abs(input))))


@mish.derivative("input")
def _(input):
    s = sigmoid(input)
    w = tanh(-logsigmoid(-input))
    return w + input * s * (1 - w * w)


@mish.kernel
def _(k, input):
    soft = k.add(k.max(input, k.const(0, input)), k.log1p(k.exp(k.neg(k.abs(input)))))
    return k.mul(input, k.tanh(soft))


def softsign(input: Tensor) -> Tensor:
    """`input / (1 + abs(input))`.

    >>> from retrograd import tensor
    >>> from retrograd.ops.activation import softsign
    >>> softsign(tensor([1., -3.]))
    tensor([ 0.5000, -0.7500])
    """
    return input / (input.abs() + 1)


def tanhshrink(input: Tensor) -> Tensor:
    """`input - tanh(input)`.

    >>> from retrograd import tensor
    >>> from retrograd.ops.activation import tanhshrink
    >>> tanhshrink(tensor([0., 1.]))
    tensor([0.0000, 0.2384])
    """
    return input - tanh(input)


# ---------------------------------------------------------------- relu and its kin


@elementwise(preserves_zero=True, refuses=("complex",))
def relu(input):
    """The larger of each element and 0. The gradient at 0 is 0.

    >>> from retrograd import relu, tensor
    >>> relu(tensor([-1., 2.]))
    tensor([0., 2.])
    """
    if input.dtype == np.bool_:
        raise RuntimeError("Boolean inputs not supported for relu")
    return np.maximum(input, 0)


@relu.derivative("input")
def _(g, y):
    return where_op(y <= 0, 0.0, g)


@relu.kernel
def _(k, input):
    return k.max(input, k.const(0, input))


@elementwise(name="leaky_relu", refuses=("bool", "integer", "complex"))
def leaky_relu_op(input, *, negative_slope):
    """input where positive, else negative_slope * input"""
    if 0 < negative_slope <= 1:
        return np.maximum(input, input * negative_slope)
    return np.where(input > 0, input, input * negative_slope)


@leaky_relu_op.derivative("input")
def _(g, input, negative_slope):
    return where_op(input > 0, g, g * negative_slope)


@leaky_relu_op.kernel
def _(k, input, negative_slope):
    return k.select(k.gt(input, k.const(0, input)), input, k.mul(input, k.const(negative_slope, input)))


def leaky_relu(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """`input` where it is positive, else `negative_slope * input`.

    >>> from retrograd import tensor
    >>> from retrograd.ops.activation import leaky_relu
    >>> leaky_relu(tensor([-1., 2.]), 0.5)
    tensor([-0.5000,  2.0000])
    """
    return leaky_relu_op(input, negative_slope=negative_slope)


def rrelu(input: Tensor, lower: float = 1 / 8, upper: float = 1 / 3) -> Tensor:
    """`leaky_relu` with the mean of the slopes that the randomised one draws in training.

    >>> from retrograd import tensor
    >>> from retrograd.ops.activation import rrelu
    >>> rrelu(tensor([-1., 2.]), 0.25, 0.75)
    tensor([-0.5000,  2.0000])
    """
    return leaky_relu(input, (lower + upper) / 2)


@elementwise(name="prelu", derivative_name="PreluKernelBackward0", refuses=("bool", "integer", "complex"))
def prelu_op(input, weight):
    """input where positive, else weight * input"""
    return np.where(input > 0, input, weight * input)


@prelu_op.derivative("input")
def _(g, input, weight):
    return where_op(input > 0, g, g * weight)


@prelu_op.derivative("weight")
def _(g, input):
    return where_op(input > 0, 0.0, g * input)


@prelu_op.kernel
def _(k, input, weight):
    return k.select(k.gt(input, k.const(0, input)), input, k.mul(weight, input))


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """`input` where it is positive, else `weight * input`, with one weight or one for each channel (dim 1).

    Raises:
        RuntimeError: if the number of weights is neither 1 nor that of the channels, or the dtypes differ.

    >>> from retrograd import prelu, tensor
    >>> prelu(tensor([-1., 2.]), tensor([0.25]))
    tensor([-0.2500,  2.0000])
    """
    for name, x in (("input", input), ("weight", weight)):
        if not isinstance(x, Tensor):
            raise TypeError(f"prelu(): argument '{name}' must be Tensor, not {type(x).__name__}")
    if input.dtype is not weight.dtype:
        raise RuntimeError(f"prelu: Type promoting not supported. Got {input.dtype.name} and {weight.dtype.name}")
    if weight.ndim > 1:
        raise RuntimeError(f"prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = {weight.ndim}")
    count = weight.shape.numel()
    if count != 1:
        if input.ndim == 0:
            raise RuntimeError("Not allow zero-dim input tensor.")
        channels = input.shape[1] if input.ndim > 1 else 1
        if channels != count:
            raise RuntimeError(
                f"Mismatch of parameter numbers and input channel size. Found parameter numbers = {count} and channel size = {channels}."
            )
    shape = Size(-1 if d == 1 else 1 for d in range(input.ndim)) if input.ndim > 1 else Size([1] * input.ndim)
    return prelu_op(input, reshape(weight, shape))


@elementwise(name="elu", refuses=("bool", "integer", "complex"), derivative_name=lambda params: params.get("called", "EluBackward0"))
def elu_op(input, *, alpha, scale, input_scale, called="EluBackward0"):
    """scale * input where positive, else scale * alpha * (exp(input_scale * input) - 1)"""
    y = np.expm1(np.minimum(input, 0) * input_scale)
    y *= alpha * scale
    return np.where(input > 0, input if scale == 1 else input * scale, y)


@elu_op.derivative("input")
def _(g, input, alpha, scale, input_scale):
    negative = input <= 0
    slope = exp(where_op(negative, input, 0.0) * input_scale) * (alpha * scale * input_scale)
    return where_op(negative, g * slope, g * scale)


@elu_op.kernel
def _(k, input, alpha, scale, input_scale):
    curve = k.mul(k.expm1(k.mul(input, k.const(input_scale, input))), k.const(alpha * scale, input))
    return k.select(k.gt(input, k.const(0, input)), k.mul(input, k.const(scale, input)), curve)


def elu(input: Tensor, alpha: float = 1.0) -> Tensor:
    """`input` where it is positive, else `alpha * (exp(input) - 1)`.

    >>> from retrograd import tensor
    >>> from retrograd.ops.activation import elu
    >>> elu(tensor([-1., 2.]))
    tensor([-0.6321,  2.0000])
    """
    return elu_op(input, alpha=alpha, scale=1.0, input_scale=1.0)


def selu(input: Tensor) -> Tensor:
    """`elu` with the constants under which activations normalise themselves (Klambauer et al. 2017).

    >>> from retrograd import selu, tensor
    >>> selu(tensor([-1., 2.]))
    tensor([-1.1113,  2.1014])
    """
    return elu_op(input, alpha=1.6732632423543772848170429916717, scale=1.0507009873554804934193349852946, input_scale=1.0)


def celu(input: Tensor, alpha: float = 1.0) -> Tensor:
    """`input` where it is positive, else `alpha * (exp(input / alpha) - 1)`.

    Raises:
        RuntimeError: if `alpha` is 0.

    >>> from retrograd import celu, tensor
    >>> celu(tensor([-1., 2.]), 2.0)
    tensor([-0.7869,  2.0000])
    """
    if alpha == 0:
        raise RuntimeError("ZeroDivisionError: alpha cannot be 0 for CELU")
    return elu_op(input, alpha=alpha, scale=1.0, input_scale=1 / alpha, called="CeluBackward0")


@elementwise(name="gelu", refuses=("bool", "integer", "complex"))
def gelu_op(input, *, approximate):
    """input times the normal distribution function"""
    if approximate == "none":
        y = erf_array(input * math.sqrt(0.5))
        y += 1
        y *= input
        y *= 0.5
        return y
    return 0.5 * input * (1 + np.tanh(math.sqrt(2 / math.pi) * (input + 0.044715 * input * input * input)))


@gelu_op.derivative("input")
def _(input, approximate):
    return gelu_slope(input, approximate=approximate)


@gelu_op.kernel
def _(k, input, approximate):
    half, one = k.const(0.5, input), k.const(1, input)
    if approximate == "none":
        inner = k.erf(k.mul(input, k.const(math.sqrt(0.5), input)))
    else:
        cube = k.mul(k.mul(input, input), input)
        inner = k.tanh(k.mul(k.const(math.sqrt(2 / math.pi), input), k.add(input, k.mul(k.const(0.044715, input), cube))))
    return k.mul(k.mul(half, input), k.add(one, inner))


@elementwise
def gelu_slope(input, *, approximate):
    """the derivative of gelu"""
    if approximate == "none":
        y = erf_array(input * math.sqrt(0.5))
        y += 1
        y *= 0.5
        y += input * np.exp(input * input * -0.5) * (1 / math.sqrt(2 * math.pi))
        return y
    t = np.tanh(math.sqrt(2 / math.pi) * (input + 0.044715 * input * input * input))
    slope = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * input * input)
    return 0.5 * (1 + t) + 0.5 * input * (1 - t * t) * slope


@gelu_slope.derivative("input")
def _(input, approximate):
    square = input * input
    if approximate == "none":
        return exp(square * -0.5) * (2 - square) * (1 / math.sqrt(2 * math.pi))
    c, a = math.sqrt(2 / math.pi), 0.044715
    t = tanh((input + square * input * a) * c)
    slope = (square * (3 * a) + 1) * c
    return (1 - t * t) * (slope + input * (input * (3 * a * c) - t * slope * slope))


@gelu_slope.kernel
def _(k, input, approximate):
    half, one, square = k.const(0.5, input), k.const(1, input), k.mul(input, input)
    if approximate == "none":
        cdf = k.mul(half, k.add(one, k.erf(k.mul(input, k.const(math.sqrt(0.5), input)))))
        pdf = k.mul(k.exp(k.mul(square, k.const(-0.5, input))), k.const(1 / math.sqrt(2 * math.pi), input))
        return k.add(cdf, k.mul(input, pdf))
    c = k.const(math.sqrt(2 / math.pi), input)
    t = k.tanh(k.mul(c, k.add(input, k.mul(k.const(0.044715, input), k.mul(square, input)))))
    slope = k.mul(c, k.add(one, k.mul(k.const(3 * 0.044715, input), square)))
    bend = k.mul(k.mul(half, input), k.mul(k.sub(one, k.mul(t, t)), slope))
    return k.add(k.mul(half, k.add(one, t)), bend)


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """`input` times the normal distribution function; by tanh if `approximate="tanh"`.

    Raises:
        RuntimeError: for another `approximate`.

    >>> from retrograd import tensor
    >>> from retrograd.ops.activation import gelu
    >>> gelu(tensor([-1., 2.]))
    tensor([-0.1587,  1.9545])
    """
    if approximate not in ("none", "tanh"):
        raise RuntimeError("approximate argument must be either none or tanh.")
    return gelu_op(input, approximate=approximate)


# ---------------------------------------------------------------- in pieces


@elementwise(name="hardtanh", refuses=("complex",))
def hardtanh_op(input, *, min_val, max_val):
    """input, but at least min_val and at most max_val"""
    return np.minimum(np.maximum(input, min_val), max_val)


@hardtanh_op.derivative("input")
def _(g, input, min_val, max_val):
    return where_op(input <= min_val, 0.0, where_op(input >= max_val, 0.0, g))


@hardtanh_op.kernel
def _(k, input, min_val, max_val):
    return k.min(k.max(input, k.const(min_val, input)), k.const(max_val, input))


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """`input`, but at least `min_val` and at most `max_val`; the gradient at the bounds is 0.

    Raises:
        ValueError: if `min_val` is larger than `max_val`.
        RuntimeError: for bool and complex dtypes, and for bounds that an integer dtype cannot hold.

    >>> from retrograd import tensor
    >>> from retrograd.ops.activation import hardtanh
    >>> hardtanh(tensor([-2., 0.5, 3.]))
    tensor([-1.0000,  0.5000,  1.0000])
    """
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    if is_bool(input):
        raise RuntimeError("Bool inputs not supported for hardtanh")
    if input.dtype.category == dtypes.INTEGER:
        min_val, max_val = int(min_val), int(max_val)
        if min_val < 0 and not input.dtype.is_signed:
            raise RuntimeError("cannot do hardtanh on an unsigned type with negative limits")
    return hardtanh_op(input, min_val=min_val, max_val=max_val)


def relu6(input: Tensor) -> Tensor:
    """`input`, but at least 0 and at most 6.

    >>> from retrograd import tensor
    >>> from retrograd.ops.activation import relu6
    >>> relu6(tensor([-1., 5., 7.]))
    tensor([0., 5., 6.])
    """
    return hardtanh(input, 0.0, 6.0)


@elementwise(refuses=("bool", "integer", "complex"))
def hardsigmoid(input):
    """A sigmoid of three straight pieces: 0 below -3, 1 above 3, (input + 3) / 6 between.

    >>> from retrograd import tensor
    >>> from retrograd.ops.activation import hardsigmoid
    >>> hardsigmoid(tensor([-4., 0., 4.]))
    tensor([0.0000, 0.5000, 1.0000])
    """
    return np.minimum(np.maximum(input + 3, 0), 6) / 6


@hardsigmoid.derivative("input")
def _(g, input):
    return where_op(input > -3, where_op(input < 3, g * (1 / 6), 0.0), 0.0)


@hardsigmoid.kernel
def _(k, input):
    zero, three, six = (k.const(c, input) for c in (0, 3, 6))
    return k.div(k.min(k.max(k.add(input, three), zero), six), six)


@elementwise(refuses=("bool", "integer", "complex"))
def hardswish(input):
    """input * hardsigmoid(input).

    >>> from retrograd import tensor
    >>> from retrograd.ops.activation import hardswish
    >>> hardswish(tensor([-4., 1., 4.]))
    tensor([-0.0000,  0.6667,  4.0000])
    """
    return input * np.minimum(np.maximum(input + 3, 0), 6) / 6


@hardswish.derivative("input")
def _(g, input):
    return where_op(input <= -3, 0.0, where_op(input < 3, g * (input / 3 + 0.5), g))


@hardswish.kernel
def _(k, input):
    zero, three, six = (k.const(c, input) for c in (0, 3, 6))
    return k.div(k.mul(input, k.min(k.max(k.add(input, three), zero), six)), six)


@elementwise(name="threshold", refuses=("bool", "complex"))
def threshold_op(input, *, threshold, value):
    """input where it is above threshold, else value"""
    return np.where(input <= threshold, np.asarray(value).astype(input.dtype), input)


@threshold_op.derivative("input")
def _(g, input, threshold):
    return where_op(input <= threshold, 0.0, g)


@threshold_op.kernel
def _(k, input, threshold, value):
    return k.select(k.le(input, k.const(threshold, input)), k.const(value, input), input)


def threshold(input: Tensor, threshold: float, value: float, *, out: Tensor | None = None) -> Tensor:
    """`input` where it is above `threshold`, else `value`.

    >>> from retrograd import tensor, threshold
    >>> threshold(tensor([0.5, 2.]), 1.0, -7.0)
    tensor([-7.,  2.])
    """
    result = threshold_op(input, threshold=threshold, value=value)
    return result if out is None else write_out(out, result)


@elementwise(name="hardshrink", refuses=("bool", "integer", "complex"))
def hardshrink_op(input, *, lambd):
    """0 where input is from -lambd to lambd, else input"""
    return np.where((input >= -lambd) & (input <= lambd), input.dtype.type(0), input)


@hardshrink_op.derivative("input")
def _(g, input, lambd):
    return where_op(input >= -lambd, where_op(input <= lambd, 0.0, g), g)


@hardshrink_op.kernel
def _(k, input, lambd):
    small = k.logical_and(k.ge(input, k.const(-lambd, input)), k.le(input, k.const(lambd, input)))
    return k.select(small, k.const(0, input), input)


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """0 where `input` is from `-lambd` to `lambd`, else `input`.

    >>> from retrograd import hardshrink, tensor
    >>> hardshrink(tensor([0.25, -2.]))
    tensor([ 0., -2.])
    """
    return hardshrink_op(input, lambd=lambd)


@elementwise(name="softshrink", refuses=("bool", "integer", "complex"))
def softshrink_op(input, *, lambd):
    """input moved towards 0 by lambd, and not beyond it"""
    return np.where(input > lambd, input - lambd, np.where(input < -lambd, input + lambd, input * 0))


@softshrink_op.derivative("input")
def _(g, input, lambd):
    return where_op(input >= -lambd, where_op(input <= lambd, 0.0, g), g)


@softshrink_op.kernel
def _(k, input, lambd):
    shift = k.const(lambd, input)
    inside = k.mul(input, k.const(0, input))
    below = k.select(k.lt(input, k.neg(shift)), k.add(input, shift), inside)
    return k.select(k.gt(input, shift), k.sub(input, shift), below)


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """`input` moved towards 0 by `lambd`, and not beyond it.

    Raises:
        RuntimeError: if `lambd` is negative.

    >>> from retrograd import tensor
    >>> from retrograd.ops.activation import softshrink
    >>> softshrink(tensor([0.25, -2.]))
    tensor([ 0.0000, -1.5000])
    """
    if lambd < 0:
        raise RuntimeError(f"lambda must be greater or equal to 0, but found to be {lambd:g}.")
    return softshrink_op(input, lambd=lambd)
