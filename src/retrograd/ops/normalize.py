"""Normalisation: numbers less their mean over their deviation, scaled and shifted. Layers differ only in what the mean is over."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.autograd.modes import no_grad
from retrograd.core.families import align, opaque, unbroadcast
from retrograd.core.tensor import Tensor
from retrograd.ops.basis import cast, expand_op, reshape_op, sum_op
from retrograd.ops.pad import constant_pad
from retrograd.ops.pointwise import pow, rsqrt
from retrograd.ops.pool import avg_pool, refuse_other_than_real
from retrograd.ops.reduce import mean, narrow, wide

# ---------------------------------------------------------------- the operation


@opaque(outputs=("values", "mean", "rstd"), derivative_name=lambda params: params.get("called", "NativeLayerNormBackward0"))
def normalize_op(input, weight=None, bias=None, *, dims, eps, called="NativeLayerNormBackward0"):
    """(input - mean)/√(variance + eps) · weight + bias, with mean and variance over `dims`; the mean; and 1/√(variance + eps).

    Weight and bias broadcast to the input, and do not widen it.
    """
    x = wide(input)
    mean = x.mean(dims, keepdims=True)
    y = x - mean
    variance = np.mean(y * y, dims, keepdims=True)
    rstd = 1 / np.sqrt(variance + variance.dtype.type(eps))
    y *= rstd
    if weight is not None:
        y *= weight
    if bias is not None:
        y += bias
    return narrow(y, input), mean, rstd


@normalize_op.lowering
def _(k, input, weight=None, bias=None, *, dims, eps, called):
    n = math.prod([input.shape[d] for d in dims])
    total = k.reduce("sum", input, dims)
    mean = k.keep(k.div(total, k.const(n, total)))
    d = k.keep(k.sub(input, mean))
    squares = k.reduce("sum", k.mul(d, d), dims)
    deviation = k.sqrt(k.add(k.div(squares, k.const(n, squares)), k.const(eps, squares)))
    rstd = k.keep(k.div(k.const(1, deviation), deviation))
    y = k.mul(d, rstd)
    y = y if weight is None else k.mul(y, weight)
    return y if bias is None else k.add(y, bias), mean, rstd


@normalize_op.vjp("input")
def _(g_values, g_mean, g_rstd, input, mean, rstd, weight, dims):
    n = math.prod([input.shape[d] for d in dims])
    x = normal(input, mean, rstd)
    g = g_values if weight is None else g_values * weight
    inner, total = sum_op(g * x, dims=dims, keepdim=True), sum_op(g, dims=dims, keepdim=True)
    slope, shift = (inner + g_rstd * rstd) / n, (g_mean - total * rstd) / n
    return (g - x * slope) * rstd + shift


@normalize_op.vjp("weight")
def _(g_values, input, mean, rstd, weight_shape):
    return unbroadcast(g_values * normal(input, mean, rstd), weight_shape)


@normalize_op.vjp("bias")
def _(g_values, bias_shape):
    return unbroadcast(g_values, bias_shape)


@normalize_op.batch
def _(args, mapped, *, dims, **params):
    rank = max(len(x.shape) - m for x, m in zip(args, mapped, strict=True) if x is not None)
    size = args[list(mapped).index(True)].shape[0]
    x = args[0] if mapped[0] else expand_op(args[0], shape=(size, *args[0].shape))
    rest = [align(p, rank) if m else p for p, m in zip(args[1:], mapped[1:], strict=True)]
    return normalize_op(x, *rest, dims=tuple([d + 1 for d in dims]), **params)


def normal(input: Any, mean: Any, rstd: Any) -> Any:
    """The normalised input, before it is scaled."""
    return (input - mean) * rstd


# ---------------------------------------------------------------- over examples


def check_vector(function: str, name: str, x: Tensor | None, n: int) -> None:
    """Raises RuntimeError if a parameter has another number of elements than there are channels."""
    if x is not None and x.numel() != n:
        raise RuntimeError(f"{function}: {name} should contain {n} elements not {x.numel()}")


def batch_norm(
    input: Tensor, running_mean: Tensor | None, running_var: Tensor | None, weight: Tensor | None = None, bias: Tensor | None = None,
    training: bool = False, momentum: float | Tensor = 0.1, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """Each channel normalised over all examples and places (Ioffe & Szegedy 2015).

    Args:
        input: shape (N, C, ...).
        running_mean, running_var: shape (C); what is used unless `training`, and what is moved towards the batch's by
            `momentum` (a number, or a tensor of one) if it is, the variance with n - 1.
        weight, bias: shape (C).

    Raises:
        RuntimeError: if a parameter has another number of elements, or statistics are wanted and missing.
        ValueError: if `training` and there is one value per channel.
    """
    if input.ndim < 2:
        raise RuntimeError(f"batch_norm: expected an input of at least 2 dims (N, C, ...), but got size {list(input.shape)}")
    if eps <= 0:
        raise ValueError(f"batch_norm eps must be positive, but got {eps}")
    channels = input.shape[1]
    if training and math.prod(input.shape) == channels and input.shape[0] == 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {input.shape}")
    if not training and (running_mean is None or running_var is None):
        raise RuntimeError("Expected running_mean and running_var to be defined when training=False")
    for name, x in (("running_mean", running_mean), ("running_var", running_var), ("weight", weight), ("bias", bias)):
        check_vector("batch_norm", name, x, channels)
    shape = (1, channels, *(1,) * (input.ndim - 2))
    scale, shift = (None if x is None else reshape_op(x, shape=shape) for x in (weight, bias))
    if not training:
        assert running_mean is not None
        assert running_var is not None
        factor = rsqrt(running_var + eps)
        factor = factor if weight is None else weight * factor
        y = (input - reshape_op(running_mean, shape=shape)) * reshape_op(factor, shape=shape)
        return y if shift is None else y + shift
    dims = (0, *range(2, input.ndim))
    y, mean, rstd = normalize_op(input, scale, shift, dims=dims, eps=eps, called="NativeBatchNormBackward0")
    if math.prod(input.shape):
        update_running(running_mean, running_var, mean, rstd, math.prod(input.shape) // max(channels, 1), momentum, eps)
    return y


def update_running(
    running_mean: Tensor | None, running_var: Tensor | None, mean: Tensor, rstd: Tensor, n: int, momentum: float | Tensor, eps: float
) -> None:
    """Moves running statistics towards a batch's."""

    def move(running: Tensor, now: Tensor) -> None:
        step = cast(now - running, running.dtype)
        if isinstance(momentum, Tensor):
            running.add_(step * momentum)
        else:
            running.add_(step, alpha=momentum)

    with no_grad():
        if running_mean is not None:
            move(running_mean, reshape_op(mean, shape=tuple(running_mean.shape)))
        if running_var is not None:
            move(running_var, (pow(reshape_op(rstd, shape=tuple(running_var.shape)), -2) - eps) * (n / max(n - 1, 1)))


def instance_norm(
    input: Tensor, running_mean: Tensor | None = None, running_var: Tensor | None = None, weight: Tensor | None = None,
    bias: Tensor | None = None, use_input_stats: bool = True, momentum: float = 0.1, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """Each channel of each example normalised over its places (Ulyanov et al. 2016).

    Args:
        input: shape (N, C, ...).
        running_mean, running_var: shape (C); what is used unless `use_input_stats`, else moved towards the mean over examples.

    Raises:
        RuntimeError: if a parameter has another number of elements, or statistics are wanted and missing.
        ValueError: if each channel has one place.
    """
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise RuntimeError("Expected running_mean and running_var to be defined when use_input_stats is false")
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    if input.ndim < 3:
        raise RuntimeError(f"instance_norm: expected an input of at least 3 dims (N, C, ...), but got size {list(input.shape)}")
    refuse_other_than_real("instance_norm", input)
    channels = input.shape[1]
    places = math.prod(input.shape[2:])
    if places == 1:
        raise ValueError(f"Expected more than 1 spatial element when training, got input size {input.shape}")
    for name, x in (("running_mean", running_mean), ("running_var", running_var), ("weight", weight), ("bias", bias)):
        check_vector("instance_norm", name, x, channels)
    shape = (1, channels, *(1,) * (input.ndim - 2))
    scale, shift = (None if x is None else reshape_op(x, shape=shape) for x in (weight, bias))
    y, means, rstd = normalize_op(input, scale, shift, dims=tuple(range(2, input.ndim)), eps=eps, called="NativeBatchNormBackward0")
    if running_mean is not None or running_var is not None:
        with no_grad():
            variance = mean(pow(rstd, -2), 0)
            update_running(running_mean, running_var, mean(means, 0), rsqrt(variance), places, momentum, eps)
    return y


# ---------------------------------------------------------------- within an example


def layer_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """Each example normalised over its last dims (Ba, Kiros & Hinton 2016).

    Args:
        normalized_shape: the shape of those dims, which is also that of `weight` and `bias`.

    Raises:
        RuntimeError: if the input, weight or bias has another shape.

    >>> from retrograd import tensor
    >>> layer_norm(tensor([1., 3.]), (2,))
    tensor([-1.0000,  1.0000])
    """
    refuse_other_than_real("LayerNormKernelImpl", input)
    _, dims = last_dims("layer_norm", input, normalized_shape, weight=weight, bias=bias)
    if not dims:
        raise RuntimeError(
            "Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one element, but got normalized_shape = []"
        )
    return normalize_op(input, weight, bias, dims=dims, eps=eps)[0]


def last_dims(function: str, input: Tensor, normalized_shape: Any, **parameters: Tensor | None) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(shape, dims) of what is normalised. Raises RuntimeError if input or parameters do not have it."""
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(int(n) for n in normalized_shape)
    for name, x in parameters.items():
        if x is not None and tuple(x.shape) != shape:
            raise RuntimeError(
                f"Expected {name} to be of same shape as normalized_shape, but got {name} of shape {list(x.shape)} and normalized_shape = {list(shape)}"
            )
    if tuple(input.shape[input.ndim - len(shape) :]) != shape or len(shape) > input.ndim:
        wanted = ", ".join(["*", *map(str, shape)])
        raise RuntimeError(
            f"Given normalized_shape={list(shape)}, expected input with shape [{wanted}], but got input of size{list(input.shape)}"
        )
    return shape, tuple(range(input.ndim - len(shape), input.ndim))


def group_norm(input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5) -> Tensor:
    """The channels of each example normalised in groups (Wu & He 2018).

    Args:
        input: shape (N, C, ...).
        weight, bias: shape (C).

    Raises:
        RuntimeError: if the channels cannot be divided into so many groups, or a parameter has another number of elements.
    """
    if input.ndim < 2:
        raise RuntimeError(f"Expected at least 2 dimensions for input tensor but received {input.ndim}")
    refuse_other_than_real("GroupNormKernelImpl", input)
    n, channels = input.shape[:2]
    if num_groups <= 0 or channels % num_groups:
        raise RuntimeError(
            f"Expected number of channels in input to be divisible by num_groups, but got input of shape {list(input.shape)} and num_groups={num_groups}"
        )
    for name, x in (("weight", weight), ("bias", bias)):
        if x is not None and (x.ndim != 1 or x.shape[0] != channels):
            raise RuntimeError(
                f"Expected {name} to be a vector of size equal to the number of channels in input, but got {name} of shape {list(x.shape)} and input of shape {list(input.shape)}"
            )
    width = channels // num_groups
    parts = reshape_op(input, shape=(n, num_groups, width, *input.shape[2:]))
    shape = (1, num_groups, width, *(1,) * (input.ndim - 2))
    scale, shift = (None if x is None else reshape_op(x, shape=shape) for x in (weight, bias))
    y, _, _ = normalize_op(parts, scale, shift, dims=tuple(range(2, parts.ndim)), eps=eps, called="NativeGroupNormBackward0")
    return reshape_op(y, shape=tuple(input.shape), called="NativeGroupNormBackward0")


def rms_norm(input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None) -> Tensor:
    """The input over the root of its mean square over the last dims (Zhang & Sennrich 2019).

    Args:
        eps: added to the mean square; the dtype's machine epsilon by default.

    Raises:
        RuntimeError: if input or weight has another shape.

    >>> from retrograd import tensor
    >>> rms_norm(tensor([3., 4.]), (2,))
    tensor([0.8485, 1.1314])
    """
    _, dims = last_dims("rms_norm", input, normalized_shape, weight=weight)
    refuse_other_than_real("rms_norm", input)
    narrow_type = input.dtype in (dtypes.float16, dtypes.bfloat16)
    x = cast(input, dtypes.float32) if narrow_type else input
    if eps is None:
        eps = dtypes.finfo(x.dtype).eps
    y = x * rsqrt(mean(x * x, dims, True) + eps)
    y = y if weight is None else y * weight
    return cast(y, input.dtype)


def local_response_norm(input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """The input over (k + alpha · mean of squares in `size` neighbouring channels)^beta (Krizhevsky et al. 2012).

    Raises:
        ValueError: if the input has fewer than three dims.
    """
    if input.ndim < 3:
        raise ValueError(f"Expected 3D or higher dimensionality                          input (got {input.ndim} dimensions)")
    if not math.prod(input.shape):
        return input
    n, channels = input.shape[:2]
    squares = reshape_op(input * input, shape=(n, 1, channels, math.prod(input.shape[2:])))
    squares = constant_pad(squares, (0, 0, size // 2, (size - 1) // 2))
    means = avg_pool(2, squares, (size, 1), 1, 0, False, True, None)
    return input / pow(reshape_op(means, shape=tuple(input.shape)) * alpha + k, beta)


__all__ = ["batch_norm", "group_norm", "instance_norm", "layer_norm", "local_response_norm", "rms_norm"]
