"""Convolutions over one, two and three dims, and their transposes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from retrograd.core.tensor import Tensor
from retrograd.nn import functional as F
from retrograd.nn import init
from retrograd.nn.module import Module
from retrograd.nn.parameter import Parameter
from retrograd.ops.create import empty


def per_dim(value: Any, n: int) -> tuple[Any, ...]:
    """One number for each of `n` dims."""
    return tuple(value) if isinstance(value, (tuple, list)) else (value,) * n


class Convolution(Module):
    """What all convolutions share.

    Attributes:
        weight: shape (out_channels, in_channels / groups, *kernel_size), of a transpose (in_channels, out_channels / groups, ...).
        bias: shape (out_channels), or None.
    """

    rank: int
    transposed = False
    weight: Parameter
    bias: Parameter | None

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any, padding: Any, dilation: Any, groups: int, bias: bool,
        padding_mode: str, output_padding: Any, device: Any, dtype: Any,
    ) -> None:  # fmt: skip
        super().__init__()
        n = self.rank
        if groups <= 0:
            raise ValueError("groups must be a positive integer")
        if in_channels % groups:
            raise ValueError("in_channels must be divisible by groups")
        if out_channels % groups:
            raise ValueError("out_channels must be divisible by groups")
        if isinstance(padding, str):
            if padding not in ("same", "valid"):
                raise ValueError(f"Invalid padding string {padding!r}, should be one of {{'same', 'valid'}}")
            if padding == "same" and any(s != 1 for s in per_dim(stride, n)):
                raise ValueError("padding='same' is not supported for strided convolutions")
        if padding_mode not in ("zeros", "reflect", "replicate", "circular"):
            raise ValueError(
                f"padding_mode must be one of {{'zeros', 'reflect', 'replicate', 'circular'}}, but got padding_mode='{padding_mode}'"
            )
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size, self.stride, self.dilation = per_dim(kernel_size, n), per_dim(stride, n), per_dim(dilation, n)
        self.padding = padding if isinstance(padding, str) else per_dim(padding, n)
        self.output_padding, self.padding_mode = per_dim(output_padding, n), padding_mode
        channels = (in_channels, out_channels // groups) if self.transposed else (out_channels, in_channels // groups)
        self.weight = Parameter(empty((*channels, *self.kernel_size), device=device, dtype=dtype))
        if bias:
            self.bias = Parameter(empty(out_channels, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws weights and bias uniformly from ±1/√fan_in."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan_in, _ = init._calculate_fan_in_and_fan_out(self.weight)
            if fan_in:
                init.uniform_(self.bias, -1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in))

    def padded(self, input: Tensor) -> tuple[Tensor, Any]:
        """The input padded as a `padding_mode` other than zeros asks, and the padding that is left to the convolution."""
        if self.padding_mode == "zeros":
            return input, self.padding
        sides: list[int] = []
        for d in reversed(range(self.rank)):
            if self.padding == "same":
                total = self.dilation[d] * (self.kernel_size[d] - 1)
                sides += [total // 2, total - total // 2]
            else:
                sides += [0, 0] if self.padding == "valid" else [self.padding[d]] * 2  # type: ignore[list-item]
        return F.pad(input, sides, mode=self.padding_mode), (0,) * self.rank

    def extra_repr(self) -> str:
        """What stands in the parentheses when the layer is printed."""
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        if self.padding != (0,) * self.rank:
            text += f", padding={self.padding}"
        if self.dilation != (1,) * self.rank:
            text += f", dilation={self.dilation}"
        if self.output_padding != (0,) * self.rank:
            text += f", output_padding={self.output_padding}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode}"
        return text


class ForwardConvolution(Convolution):
    """A convolution of whatever rank."""

    function: Any

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1,
        bias: bool = True, padding_mode: str = "zeros", device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, 0, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        """The convolution of an input of shape (N, in_channels, ...) or (in_channels, ...)."""
        input, padding = self.padded(input)
        function = type(self).function
        return function(input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class Conv1d(ForwardConvolution):
    """A convolution over one dim: input (N, in_channels, L), result (N, out_channels, L_out)."""

    rank, function = 1, F.conv1d


class Conv2d(ForwardConvolution):
    """A convolution over images: input (N, in_channels, H, W), result (N, out_channels, H_out, W_out).

    H_out = (H + 2 padding - dilation (kernel_size - 1) - 1) / stride + 1, rounded down.

    >>> import retrograd as torch
    >>> torch.nn.Conv2d(1, 4, 3, padding=1)(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 4, 8, 8])
    """

    rank, function = 2, F.conv2d


class Conv3d(ForwardConvolution):
    """A convolution over volumes: input (N, in_channels, D, H, W)."""

    rank, function = 3, F.conv3d


class TransposedConvolution(Convolution):
    """The transpose of a convolution, of whatever rank."""

    transposed = True
    function: Any

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,
        groups: int = 1, bias: bool = True, dilation: Any = 1, padding_mode: str = "zeros", device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        if padding_mode != "zeros":
            raise ValueError(f'Only "zeros" padding mode is supported for {type(self).__name__}')
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, output_padding, device, dtype
        )

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """The transposed convolution; `output_size` chooses among the sizes that a stride makes possible."""
        extra = self.output_padding if output_size is None else self.extra_for(input, output_size)
        function = type(self).function
        return function(input, self.weight, self.bias, self.stride, self.padding, extra, self.groups, self.dilation)

    def extra_for(self, input: Tensor, output_size: Sequence[int]) -> tuple[int, ...]:
        """The output padding that leads to a size. Raises ValueError if none does."""
        sizes = tuple(output_size)[-self.rank :]
        if len(output_size) not in (self.rank, input.ndim):
            raise ValueError(
                f"{type(self).__name__}: for {input.ndim}D input, output_size must have {self.rank} or {input.ndim} elements (got {len(output_size)})"
            )
        extra = []
        for d, want in enumerate(sizes):
            least = (
                (input.shape[d - self.rank] - 1) * self.stride[d] - 2 * self.padding[d] + self.dilation[d] * (self.kernel_size[d] - 1) + 1
            )
            if not least <= want < least + self.stride[d]:
                raise ValueError(
                    f"requested an output size of {list(sizes)}, but valid sizes range from {least} to {least + self.stride[d] - 1} in dim {d}"
                )
            extra.append(want - least)
        return tuple(extra)


class ConvTranspose1d(TransposedConvolution):
    """The transpose of `Conv1d`."""

    rank, function = 1, F.conv_transpose1d


class ConvTranspose2d(TransposedConvolution):
    """The transpose of `Conv2d`."""

    rank, function = 2, F.conv_transpose2d


class ConvTranspose3d(TransposedConvolution):
    """The transpose of `Conv3d`."""

    rank, function = 3, F.conv_transpose3d


class Unfold(Module):
    """The patches of images as columns: (N, C, H, W) to (N, C·kernel, patches)."""

    def __init__(self, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> None:
        super().__init__()
        self.kernel_size, self.dilation, self.padding, self.stride = kernel_size, dilation, padding, stride

    def forward(self, input: Tensor) -> Tensor:
        """The patches."""
        return F.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        """What stands in the parentheses when the layer is printed."""
        return f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding}, stride={self.stride}"


class Fold(Module):
    """Images from columns of patches, added up where they overlap."""

    def __init__(self, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> None:
        super().__init__()
        self.output_size, self.kernel_size, self.dilation = output_size, kernel_size, dilation
        self.padding, self.stride = padding, stride

    def forward(self, input: Tensor) -> Tensor:
        """The images."""
        return F.fold(input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        """What stands in the parentheses when the layer is printed."""
        return f"output_size={self.output_size}, kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding}, stride={self.stride}"
