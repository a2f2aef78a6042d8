"""Dropout: while training, elements or whole channels are zeroed at random and the rest scaled up (Srivastava et al. 2014)."""

from __future__ import annotations

from typing import Any

from retrograd.core.tensor import Tensor
from retrograd.nn import functional as F
from retrograd.nn.module import Module


class DropoutBase(Module):
    """What all kinds of dropout share. Raises ValueError if `p` is not a probability."""

    function: Any

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p, self.inplace = p, inplace

    def forward(self, input: Tensor) -> Tensor:
        """The input, some of it zeroed while training."""
        return type(self).function(input, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        """What stands in the parentheses when the layer is printed."""
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(DropoutBase):
    """Zeroes each element with probability p while training, and divides the others by 1 - p.

    >>> import retrograd as torch
    >>> torch.nn.Dropout(0.5).eval()(torch.ones(3))
    tensor([1., 1., 1.])
    """

    function = F.dropout


class Dropout1d(DropoutBase):
    """Zeroes whole channels of lines: (N, C, L) or (C, L)."""

    function = F.dropout1d


class Dropout2d(DropoutBase):
    """Zeroes whole channels of images: (N, C, H, W)."""

    function = F.dropout2d


class Dropout3d(DropoutBase):
    """Zeroes whole channels of volumes: (N, C, D, H, W) or (C, D, H, W)."""

    function = F.dropout3d


class AlphaDropout(DropoutBase):
    """Dropout that keeps mean and variance, for SELU networks."""

    function = F.alpha_dropout


class FeatureAlphaDropout(DropoutBase):
    """`AlphaDropout` of whole channels."""

    function = F.feature_alpha_dropout
