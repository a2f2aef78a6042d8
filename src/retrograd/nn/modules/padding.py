"""Padding, and changes of resolution."""

from __future__ import annotations

from typing import Any

from retrograd.core.tensor import Tensor
from retrograd.nn import functional as F
from retrograd.nn.module import Module


class Padding(Module):
    """What all kinds of padding share: how wide it is on the two sides of each of the last `rank` dims, the last dim first."""

    rank: int
    mode: str
    padding: tuple[int, ...]

    def __init__(self, padding: Any) -> None:
        super().__init__()
        self.padding = (padding,) * (2 * self.rank) if isinstance(padding, int) else tuple(padding)

    def forward(self, input: Tensor) -> Tensor:
        """The padded input. Raises ValueError for a wrong number of dims where the mode is "circular", as PyTorch does."""
        if self.mode == "circular" and input.ndim not in (self.rank + 1, self.rank + 2):
            raise ValueError(f"expected {self.rank + 1}D or {self.rank + 2}D input (got {input.ndim}D input)")
        return F.pad(input, self.padding, self.mode)

    def extra_repr(self) -> str:
        """What stands in the parentheses when the layer is printed."""
        return f"{self.padding}"


class ConstantPadding(Padding):
    """Pads with one number."""

    def __init__(self, padding: Any, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        """The padded input."""
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        """What stands in the parentheses when the layer is printed."""
        return f"padding={self.padding}, value={self.value}"


class ZeroPadding(ConstantPadding):
    """Pads with zeros."""

    def __init__(self, padding: Any) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        """What stands in the parentheses when the layer is printed."""
        return f"{self.padding}"


def padding_class(name: str, base: type[Padding], rank: int, mode: str = "constant") -> Any:
    """One class of padding."""
    what = {"constant": "one number", "reflect": "its mirror image", "replicate": "its edge", "circular": "its other end"}[mode]
    doc = f"Pads the last {rank} dim{'s' * (rank > 1)} with {'zeros' if base is ZeroPadding else what}."
    return type(name, (base,), {"rank": rank, "mode": mode, "__doc__": doc, "__module__": __name__, "__qualname__": name})


ConstantPad1d, ConstantPad2d, ConstantPad3d = (padding_class(f"ConstantPad{n}d", ConstantPadding, n) for n in (1, 2, 3))
ZeroPad1d, ZeroPad2d, ZeroPad3d = (padding_class(f"ZeroPad{n}d", ZeroPadding, n) for n in (1, 2, 3))
ReflectionPad1d, ReflectionPad2d, ReflectionPad3d = (padding_class(f"ReflectionPad{n}d", Padding, n, "reflect") for n in (1, 2, 3))
ReplicationPad1d, ReplicationPad2d, ReplicationPad3d = (padding_class(f"ReplicationPad{n}d", Padding, n, "replicate") for n in (1, 2, 3))
CircularPad1d, CircularPad2d, CircularPad3d = (padding_class(f"CircularPad{n}d", Padding, n, "circular") for n in (1, 2, 3))


class Upsample(Module):
    """Images in another resolution. See `nn.functional.interpolate`."""

    def __init__(
        self, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.size, self.mode, self.align_corners, self.recompute_scale_factor = size, mode, align_corners, recompute_scale_factor
        self.scale_factor = (
            tuple(float(f) for f in scale_factor) if isinstance(scale_factor, tuple) else float(scale_factor) if scale_factor else None
        )

    def forward(self, input: Tensor) -> Tensor:
        """The input in its new size."""
        return F.interpolate(input, self.size, self.scale_factor, self.mode, self.align_corners, self.recompute_scale_factor)

    def extra_repr(self) -> str:
        """What stands in the parentheses when the layer is printed."""
        what = f"scale_factor={self.scale_factor}" if self.scale_factor is not None else f"size={self.size}"
        return f"{what}, mode={self.mode!r}"


class PixelShuffle(Module):
    """Channels rearranged into finer images: (*, C r², H, W) to (*, C, H r, W r)."""

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.upscale_factor = upscale_factor

    def forward(self, input: Tensor) -> Tensor:
        """The finer images."""
        return F.pixel_shuffle(input, self.upscale_factor)

    def extra_repr(self) -> str:
        """What stands in the parentheses when the layer is printed."""
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """The reverse of `PixelShuffle`."""

    def __init__(self, downscale_factor: int) -> None:
        super().__init__()
        self.downscale_factor = downscale_factor

    def forward(self, input: Tensor) -> Tensor:
        """The coarser images."""
        return F.pixel_unshuffle(input, self.downscale_factor)

    def extra_repr(self) -> str:
        """What stands in the parentheses when the layer is printed."""
        return f"downscale_factor={self.downscale_factor}"
