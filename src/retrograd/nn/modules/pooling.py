"""Pooling: the largest or the mean of each window."""

from __future__ import annotations

from typing import Any

from retrograd.core.tensor import Tensor
from retrograd.nn import functional as F
from retrograd.nn.module import Module


class MaxPool(Module):
    """The largest of each window, of whatever rank."""

    function: Any

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.dilation, self.return_indices, self.ceil_mode = padding, dilation, return_indices, ceil_mode

    def forward(self, input: Tensor) -> Any:
        """The largest of each window, and where it stands if `return_indices`."""
        return type(self).function(
            input, self.kernel_size, self.stride, self.padding, self.dilation, ceil_mode=self.ceil_mode, return_indices=self.return_indices
        )

    def extra_repr(self) -> str:
        """What stands in the parentheses when the layer is printed."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, dilation={self.dilation}, ceil_mode={self.ceil_mode}"


class MaxPool1d(MaxPool):
    """The largest of each window of a line: (N, C, L)."""

    function = F.max_pool1d


class MaxPool2d(MaxPool):
    """The largest of each window of images: (N, C, H, W).

    >>> import retrograd as torch
    >>> torch.nn.MaxPool2d(2)(torch.arange(4.).reshape(1, 1, 2, 2))
    tensor([[[[3.]]]])
    """

    function = F.max_pool2d


class MaxPool3d(MaxPool):
    """The largest of each window of volumes: (N, C, D, H, W)."""

    function = F.max_pool3d


class AvgPool1d(Module):
    """The mean of each window of a line: (N, C, L)."""

    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False, count_include_pad: bool = True
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding = (
            (v,) if isinstance(v, int) else tuple(v) for v in (kernel_size, kernel_size if stride is None else stride, padding)
        )
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        """The means."""
        return F.avg_pool1d(input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)

    def extra_repr(self) -> str:
        """What stands in the parentheses when the layer is printed."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool(Module):
    """The mean of each window, of whatever rank."""

    function: Any

    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False, count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.kernel_size, self.stride, self.padding = kernel_size, kernel_size if stride is None else stride, padding
        self.ceil_mode, self.count_include_pad, self.divisor_override = ceil_mode, count_include_pad, divisor_override

    def forward(self, input: Tensor) -> Tensor:
        """The means."""
        return type(self).function(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad, self.divisor_override
        )

    def extra_repr(self) -> str:
        """What stands in the parentheses when the layer is printed."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool2d(AvgPool):
    """The mean of each window of images: (N, C, H, W)."""

    function = F.avg_pool2d


class AvgPool3d(AvgPool):
    """The mean of each window of volumes: (N, C, D, H, W)."""

    function = F.avg_pool3d


class AdaptivePool(Module):
    """Windows chosen so that the result has the size asked for (None keeps a size)."""

    function: Any

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Tensor) -> Any:
        """The result, of size `output_size`."""
        return type(self).function(input, self.output_size)

    def extra_repr(self) -> str:
        """What stands in the parentheses when the layer is printed."""
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(AdaptivePool):
    """Means over a line: (N, C, L) to (N, C, output_size)."""

    function = F.adaptive_avg_pool1d


class AdaptiveAvgPool2d(AdaptivePool):
    """Means over images: (N, C, H, W) to (N, C, *output_size)."""

    function = F.adaptive_avg_pool2d


class AdaptiveAvgPool3d(AdaptivePool):
    """Means over volumes."""

    function = F.adaptive_avg_pool3d


class AdaptiveMaxPool(AdaptivePool):
    """The largest of windows chosen so."""

    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = return_indices

    def forward(self, input: Tensor) -> Any:
        """The result, and where the largest stand if `return_indices`."""
        return type(self).function(input, self.output_size, self.return_indices)


class AdaptiveMaxPool1d(AdaptiveMaxPool):
    """The largest over a line."""

    function = F.adaptive_max_pool1d


class AdaptiveMaxPool2d(AdaptiveMaxPool):
    """The largest over images."""

    function = F.adaptive_max_pool2d
