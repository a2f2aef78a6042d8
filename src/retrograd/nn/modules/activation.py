"""Activation functions as layers. What each computes stands at the function of the same name in `nn.functional`."""

from __future__ import annotations

from typing import Any

from retrograd.core.tensor import Tensor
from retrograd.nn import functional as F
from retrograd.nn import init
from retrograd.nn.module import Module
from retrograd.nn.parameter import Parameter
from retrograd.ops.create import empty


class Activation(Module):
    """A function without parameters: a subclass names it, and the attributes that it takes after the input.

    `shown` are the attributes that are printed, by name (`alpha=1.0`) or, with a leading `=`, by value alone.
    """

    function: Any
    takes: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()

    def forward(self, input: Tensor) -> Tensor:
        """The function of the input."""
        return type(self).function(input, *[getattr(self, name) for name in self.takes])

    def extra_repr(self) -> str:
        """What stands in the parentheses when the layer is printed."""
        parts = [str(getattr(self, name[1:])) if name[0] == "=" else f"{name}={getattr(self, name)}" for name in self.shown]
        return ", ".join([*parts, "inplace=True"] if getattr(self, "inplace", False) else parts)


class ReLU(Activation):
    """max(0, x). See `nn.functional.relu`.

    >>> import retrograd as torch
    >>> torch.nn.ReLU()(torch.tensor([-1., 2.]))
    tensor([0., 2.])
    """

    function, takes = F.relu, ("inplace",)

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace


class ReLU6(Activation):
    """min(max(0, x), 6)."""

    function, takes = F.relu6, ("inplace",)

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace


class Hardtanh(Activation):
    """x within [min_val, max_val], the nearer end outside. Raises AssertionError unless max_val > min_val."""

    function, takes, shown = F.hardtanh, ("min_val", "max_val", "inplace"), ("min_val", "max_val")

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        if not max_val > min_val:
            raise AssertionError(f"max_val must be larger than min_val, got {max_val} and {min_val}")
        self.min_val, self.max_val, self.inplace = min_val, max_val, inplace


class LeakyReLU(Activation):
    """x where x > 0, negative_slope x elsewhere."""

    function, takes, shown = F.leaky_relu, ("negative_slope", "inplace"), ("negative_slope",)

    def __init__(self, negative_slope: float = 1e-2, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope, self.inplace = negative_slope, inplace


class RReLU(Activation):
    """A leaky ReLU whose slope is drawn anew for each element while training, and is the middle of the range after."""

    function, takes, shown = F.rrelu, ("lower", "upper", "training", "inplace"), ("lower", "upper")

    def __init__(self, lower: float = 1 / 8, upper: float = 1 / 3, inplace: bool = False) -> None:
        super().__init__()
        self.lower, self.upper, self.inplace = lower, upper, inplace


class ELU(Activation):
    """x where x > 0, alpha (exp x - 1) elsewhere."""

    function, takes, shown = F.elu, ("alpha", "inplace"), ("alpha",)

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha, self.inplace = alpha, inplace


class CELU(Activation):
    """x where x > 0, alpha (exp(x / alpha) - 1) elsewhere."""

    function, takes, shown = F.celu, ("alpha", "inplace"), ("alpha",)

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha, self.inplace = alpha, inplace


class SELU(Activation):
    """The scaled ELU of self-normalising networks (Klambauer et al. 2017)."""

    function, takes = F.selu, ("inplace",)

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace


class GELU(Activation):
    """x Φ(x), Φ being the normal distribution function; approximate="tanh" computes it by a tanh."""

    function = F.gelu

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        """x Φ(x)"""
        return F.gelu(input, approximate=self.approximate)

    def extra_repr(self) -> str:
        """What stands in the parentheses when the layer is printed."""
        return f"approximate={self.approximate!r}"


class SiLU(Activation):
    """x sigmoid(x)."""

    function, takes = F.silu, ("inplace",)

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace


class Mish(Activation):
    """x tanh(softplus(x))."""

    function, takes = F.mish, ("inplace",)

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace


class Hardswish(Activation):
    """x relu6(x + 3) / 6."""

    function, takes = F.hardswish, ("inplace",)

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace


class Hardsigmoid(Activation):
    """relu6(x + 3) / 6."""

    function, takes = F.hardsigmoid, ("inplace",)

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace


class Softplus(Activation):
    """log(1 + exp(beta x)) / beta; x itself where beta x > threshold."""

    function, takes, shown = F.softplus, ("beta", "threshold"), ("beta", "threshold")

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta, self.threshold = beta, threshold


class Softsign(Activation):
    """x / (1 + |x|)."""

    function = F.softsign


class Tanh(Activation):
    """tanh x."""

    function = F.tanh


class Sigmoid(Activation):
    """1 / (1 + exp(-x))."""

    function = F.sigmoid


class LogSigmoid(Activation):
    """log sigmoid(x)."""

    function = F.logsigmoid


class Tanhshrink(Activation):
    """x - tanh x."""

    function = F.tanhshrink


class Hardshrink(Activation):
    """x where |x| > lambd, 0 elsewhere."""

    function, takes, shown = F.hardshrink, ("lambd",), ("=lambd",)

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd


class Softshrink(Activation):
    """x moved towards 0 by lambd, but not past it."""

    function, takes, shown = F.softshrink, ("lambd",), ("=lambd",)

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd


class Threshold(Activation):
    """x where x > threshold, value elsewhere."""

    function, takes, shown = F.threshold, ("threshold", "value", "inplace"), ("threshold", "value")

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__()
        self.threshold, self.value, self.inplace = threshold, value, inplace


class PReLU(Activation):
    """A leaky ReLU whose slope is learnt: one, or one for each channel (dim 1).

    Attributes:
        weight: the slopes, shape (num_parameters).
    """

    function, takes, shown = F.prelu, ("weight",), ("num_parameters",)

    def __init__(self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        self.num_parameters, self.init = num_parameters, init
        self.weight = Parameter(empty(num_parameters, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Sets the slopes to their first value."""
        init.constant_(self.weight, self.init)


class GLU(Activation):
    """a sigmoid(b) for the halves a, b of the input along dim."""

    function, takes, shown = F.glu, ("dim",), ("dim",)

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim


class Softmax(Activation):
    """exp x over its sum along dim."""

    function, takes, shown = F.softmax, ("dim",), ("dim",)

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim


class Softmin(Softmax):
    """The softmax of -x."""

    function = F.softmin


class LogSoftmax(Activation):
    """log softmax(x) along dim."""

    function, takes, shown = F.log_softmax, ("dim",), ("dim",)

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim


class Softmax2d(Module):
    """The softmax over the channels of images, shape (N, C, H, W) or (C, H, W). Raises ValueError for other shapes."""

    def forward(self, input: Tensor) -> Tensor:
        """The softmax over dim -3."""
        if input.ndim not in (3, 4):
            raise ValueError(f"Softmax2d: expected input to be 3D or 4D, got {input.ndim}D instead")
        return F.softmax(input, -3)
