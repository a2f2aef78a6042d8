"""How weights begin: each function writes into a tensor, without history, the numbers that PyTorch would for the same seed.

Glorot & Bengio (2010) for `xavier_*`, He et al. (2015) for `kaiming_*`, Saxe et al. (2014) for `orthogonal_`.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from retrograd.autograd.modes import no_grad
from retrograd.core import random
from retrograd.core.tensor import Tensor, wrap
from retrograd.ops.basis import where
from retrograd.ops.create import empty_like


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Any = None) -> Tensor:
    """Uniform numbers from `a` to `b`."""
    with no_grad():
        return tensor.uniform_(a, b, generator=generator)


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Tensor:
    """Normal numbers."""
    with no_grad():
        return tensor.normal_(mean, std, generator=generator)


def trunc_normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0, generator: Any = None) -> Tensor:
    """Normal numbers within [a, b]: drawn again until they are, where most of the distribution lies within.

    Where little does, uniform numbers from [a, b] are accepted with a probability as their density, relative to the greatest.
    """
    if mean < a - 2 * std or mean > b + 2 * std:
        warnings.warn(
            "mean is more than 2 std from [a, b] in nn.init.trunc_normal_. The distribution of values may be incorrect.", stacklevel=2
        )
    low, high = ((1.0 + math.erf((x - mean) / std / math.sqrt(2.0))) / 2.0 for x in (a, b))
    with no_grad():
        result: Any = empty_like(tensor)
        if high - low > 0.3:
            result.normal_(mean, std, generator=generator)
            a, b = (tensor.new_tensor(x).item() for x in (a, b))
            while bool((outside := (result < a) | (result > b)).any()):
                result = where(outside, empty_like(tensor).normal_(mean, std, generator=generator), result)
        else:
            peak = -0.5 * ((max(a, min(mean, b)) - mean) / std) ** 2
            pending: Any = None
            while pending is None or bool(pending.any()):
                drawn: Any = empty_like(tensor).uniform_(a, b, generator=generator)
                density = drawn.sub(mean).div(std).pow(2).mul(-0.5).sub(peak)
                refused = empty_like(tensor).uniform_(generator=generator).log().gt(density)
                result = drawn if pending is None else where(pending, drawn, result)
                pending = refused if pending is None else pending & refused
        return tensor.copy_(result)


def constant_(tensor: Tensor, val: float) -> Tensor:
    """One number everywhere."""
    with no_grad():
        return tensor.fill_(val)


def ones_(tensor: Tensor) -> Tensor:
    """Ones."""
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """Zeros."""
    return constant_(tensor, 0.0)


def eye_(tensor: Tensor) -> Tensor:
    """The identity matrix. Raises ValueError unless there are two dims."""
    if tensor.ndim != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    return written(tensor, np.eye(*tensor.shape))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Convolution weights (3 to 5 dims) that pass as many channels on unchanged as there are."""
    if tensor.ndim not in (3, 4, 5):
        raise ValueError("Only tensors with 3, 4, or 5 dimensions are supported")
    if tensor.shape[0] % groups:
        raise ValueError("dim 0 must be divisible by groups")
    weights = np.zeros(tensor.shape)
    per_group = tensor.shape[0] // groups
    middle = tuple(n // 2 for n in tensor.shape[2:])
    for group in range(groups):
        for channel in range(min(per_group, tensor.shape[1])):
            weights[(group * per_group + channel, channel, *middle)] = 1
    return written(tensor, weights)


def written(tensor: Tensor, values: Any) -> Tensor:
    """Writes an array into a tensor."""
    with no_grad():
        return tensor.copy_(wrap(np.asarray(values).astype(tensor.dtype.numpy)))


def calculate_gain(nonlinearity: str, param: Any = None) -> float:
    """By how much weights are scaled up so that a nonlinearity leaves the variance as it is.

    Raises:
        ValueError: for an unknown nonlinearity or a bad slope.

    >>> calculate_gain("tanh")
    1.6666666666666667
    """
    if nonlinearity in ("linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "sigmoid"):
        return 1
    if nonlinearity == "tanh":
        return 5.0 / 3
    if nonlinearity == "relu":
        return math.sqrt(2.0)
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, (int, float)):
            raise ValueError(f"negative_slope {param} not a valid number")
        return math.sqrt(2.0 / (1 + slope**2))
    if nonlinearity == "selu":
        return 3.0 / 4
    raise ValueError(f"Unsupported nonlinearity {nonlinearity}")


def _calculate_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    """How many inputs an output depends on, and the reverse."""
    if tensor.ndim < 2:
        raise ValueError("Fan in and fan out can not be computed for tensor with fewer than 2 dimensions")
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


def fan(tensor: Tensor, mode: str) -> int:
    """The fan that a mode means. Raises ValueError for an unknown mode."""
    if mode.lower() not in ("fan_in", "fan_out"):
        raise ValueError(f"Mode {mode.lower()} not supported, please use one of ['fan_in', 'fan_out']")
    return _calculate_fan_in_and_fan_out(tensor)[mode.lower() == "fan_out"]


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Uniform within ±gain √(6 / (fan_in + fan_out))."""
    bound = math.sqrt(3.0) * gain * math.sqrt(2.0 / float(sum(_calculate_fan_in_and_fan_out(tensor))))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Normal of standard deviation gain √(2 / (fan_in + fan_out))."""
    std = gain * math.sqrt(2.0 / float(sum(_calculate_fan_in_and_fan_out(tensor))))
    return normal_(tensor, 0.0, std, generator)


def kaiming_uniform_(tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator: Any = None) -> Tensor:
    """Uniform within ±gain √(3 / fan), `a` being the slope of a leaky ReLU."""
    if not tensor.shape.numel():
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=2)
        return tensor
    std = calculate_gain(nonlinearity, a) / math.sqrt(fan(tensor, mode))
    bound = math.sqrt(3.0) * std
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator: Any = None) -> Tensor:
    """Normal of standard deviation gain / √fan, `a` being the slope of a leaky ReLU."""
    if not tensor.shape.numel():
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=2)
        return tensor
    return normal_(tensor, 0.0, calculate_gain(nonlinearity, a) / math.sqrt(fan(tensor, mode)), generator)


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Any = None) -> Tensor:
    """Rows (or columns, whichever are fewer) of length `gain` at right angles: the Q of a normal matrix.

    Raises:
        ValueError: for fewer than two dims.
    """
    if tensor.ndim < 2:
        raise ValueError("Only tensors with 2 or more dimensions are supported")
    if not tensor.shape.numel():
        return tensor
    rows = tensor.shape[0]
    flat = random.normal(generator or random.default_generator, (rows, tensor.shape.numel() // rows), tensor.dtype.numpy)
    tall = flat.T if flat.shape[0] < flat.shape[1] else flat
    q, r = np.linalg.qr(tall)
    q = q * np.sign(np.diag(r))
    return written(tensor, (q.T if flat.shape[0] < flat.shape[1] else q).reshape(tensor.shape) * gain)


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: Any = None) -> Tensor:
    """A normal matrix in each of whose columns a share `sparsity` of the rows is zero. Raises ValueError unless there are two dims."""
    if tensor.ndim != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    rows, columns = tensor.shape
    zeros = math.ceil(sparsity * rows)
    normal_(tensor, 0, std, generator)
    values = tensor._data.copy()
    for column in range(columns):
        values[random.permutation(random.default_generator, rows)[:zeros], column] = 0
    return written(tensor, values)
