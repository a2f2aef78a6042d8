"""Changes of resolution: each element of the result is a weighted mean of a few of the input's, one dim after the other."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from retrograd import dtypes
from retrograd.core.tensor import Tensor, constant
from retrograd.ops.basis import cast
from retrograd.ops.index import index_op
from retrograd.ops.pool import adaptive_avg_pool, refuse_other_than_real

MODES = {"nearest": 0, "nearest-exact": 0, "area": 0, "linear": 1, "bilinear": 2, "bicubic": 2, "trilinear": 3}  # dims, 0 for any
CUBIC = -0.75  # the slope at 1 of the cubic convolution kernel (Keys 1981)

Taps = list[tuple[ndarray, ndarray | None]]  # (places, weights or None for 1) of each term


def positions(n: int, count: int, scale: float | None, align_corners: bool) -> ndarray:
    """Where the centres of `count` new elements lie among `n` old ones."""
    i = np.arange(count, dtype=np.float64)
    if align_corners:
        return i * ((n - 1) / (count - 1)) if count > 1 else i * 0
    return (i + 0.5) * (1 / scale if scale else n / count) - 0.5


def nearest_taps(n: int, count: int, scale: float | None, exact: bool) -> Taps:
    """One old element for each new one."""
    step = np.float32(1 / scale if scale else n / count)
    i = np.arange(count, dtype=np.float32)
    return [(np.minimum(np.floor((i + np.float32(0.5)) * step if exact else i * step).astype(np.int64), n - 1), None)]


def linear_taps(n: int, count: int, scale: float | None, align_corners: bool) -> Taps:
    """The two old elements beside each new one."""
    at = np.maximum(positions(n, count, scale, align_corners), 0)
    below = np.minimum(np.floor(at).astype(np.int64), n - 1)
    part = np.clip(at - below, 0, 1)
    return [(below, 1 - part), (np.minimum(below + 1, n - 1), part)]


def cubic_taps(n: int, count: int, scale: float | None, align_corners: bool) -> Taps:
    """The four old elements around each new one, by cubic convolution."""
    at = positions(n, count, scale, align_corners)
    below = np.floor(at).astype(np.int64)
    return [(np.clip(below + k - 1, 0, n - 1), w) for k, w in enumerate(cubic_weights(at - below))]


def cubic_weights(part: Any) -> list[Any]:
    """The weights of four neighbours of a place `part` of the way from the second to the third."""
    a = CUBIC

    def near(x: Any) -> Any:
        return ((a + 2) * x - (a + 3)) * x * x + 1

    def far(x: Any) -> Any:
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a

    return [far(part + 1), near(part), near(1 - part), far(2 - part)]


def resampled(x: Tensor, dim: int, taps: Taps) -> Tensor:
    """The sum of the terms along one dim."""
    total: Any = None
    for index, weight in taps:
        term = index_op(x, constant(index), dims=(dim,))
        if weight is not None:
            term = term * constant(weight.astype(x.dtype.numpy).reshape(-1, *[1] * (x.ndim - 1 - dim)))
        total = term if total is None else total + term
    return total


def sizes_and_scales(input: Tensor, size: Any, scale_factor: Any, recompute: bool | None) -> tuple[list[int], list[float | None]]:
    """The new size of every dim, and the factor to place elements by where it is not the ratio of sizes."""
    rank = input.ndim - 2
    if (size is None) == (scale_factor is None):
        raise ValueError(
            "either size or scale_factor should be defined" if size is None else "only one of size or scale_factor should be defined"
        )
    if size is not None:
        sizes = [int(n) for n in size] if isinstance(size, (tuple, list)) else [int(size)] * rank
        if len(sizes) != rank:
            raise ValueError(
                f"Input and output must have the same number of spatial dimensions, but got input with spatial dimensions of {list(input.shape[2:])} "
                f"and output size of {size}. Please provide input tensor in (N, C, d1, d2, ...,dK) format and output size in (o1, o2, ...,oK) format."
            )
        return sizes, [None] * rank
    factors = [float(f) for f in scale_factor] if isinstance(scale_factor, (tuple, list)) else [float(scale_factor)] * rank
    if len(factors) != rank:
        raise ValueError(
            f"Input and scale_factor must have the same number of spatial dimensions, but got input with spatial dimensions of {list(input.shape[2:])} "
            f"and scale_factor of shape {scale_factor}. Please provide input tensor in (N, C, d1, d2, ...,dK) format and scale_factor in (s1, s2, ...,sK) format."
        )
    sizes = [math.floor(n * f) for n, f in zip(input.shape[2:], factors, strict=True)]
    return sizes, [None] * rank if recompute else list(factors)


def interpolate(
    input: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None, antialias: bool = False,
) -> Tensor:  # fmt: skip
    """The input in another resolution.

    Args:
        input: shape (N, C, ...), with one to three more dims.
        size: the new size of those dims, or
        scale_factor: by what to multiply it.
        mode: "nearest", "nearest-exact", "area" (means of parts), "linear" (one dim), "bilinear", "bicubic" (two), "trilinear" (three).
        align_corners: whether the outer elements keep their places, rather than their edges.
        recompute_scale_factor: whether elements are placed by the ratio of sizes although `scale_factor` is given.

    Raises:
        ValueError: if not exactly one of `size` and `scale_factor` is given, or one has another number of dims.
        NotImplementedError: for a mode that does not go with the input's number of dims, and for `antialias`.

    >>> from retrograd import tensor
    >>> interpolate(tensor([[[1., 2.]]]), scale_factor=2)
    tensor([[[1., 1., 2., 2.]]])
    """
    rank = input.ndim - 2
    if align_corners is not None and mode in ("nearest", "area", "nearest-exact"):
        raise ValueError("align_corners option can only be set with the interpolating modes: linear | bilinear | bicubic | trilinear")
    if mode not in MODES or not 1 <= rank <= 3 or MODES[mode] not in (0, rank):
        raise NotImplementedError(
            "Input Error: Only 3D, 4D and 5D input Tensors supported "
            f"(got {input.ndim}D) for the modes: nearest | linear | bilinear | bicubic | trilinear | area | nearest-exact (got {mode})"
        )
    if antialias:
        raise NotImplementedError("interpolate: antialias=True is not implemented; smooth the input first, or use mode='area'")
    sizes, scales = sizes_and_scales(input, size, scale_factor, recompute_scale_factor)
    if min(sizes) <= 0 or 0 in input.shape[1:]:
        raise RuntimeError(f"Input and output sizes should be greater than 0, but got input {list(input.shape)} and output {sizes}")
    if input.dtype.category < dtypes.FLOATING and mode not in ("nearest", "nearest-exact"):
        raise NotImplementedError(f"\"interpolate\" not implemented for '{dtypes.scalar_name(input.dtype)}'")
    if mode == "area":
        return adaptive_avg_pool(rank, input, sizes)
    for d, (n, scale) in enumerate(zip(sizes, scales, strict=True)):
        old = input.shape[2 + d]
        if mode.startswith("nearest"):
            taps = nearest_taps(old, n, scale, mode == "nearest-exact")
        else:
            taps = (cubic_taps if mode == "bicubic" else linear_taps)(old, n, scale, bool(align_corners))
        input = resampled(input, 2 + d, taps)
    return input


def upsample(input: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None) -> Tensor:
    """`interpolate` under its old name."""
    warnings.warn("`nn.functional.upsample` is deprecated. Use `nn.functional.interpolate` instead.", stacklevel=2)
    return interpolate(input, size, scale_factor, mode, align_corners)


# ---------------------------------------------------------------- anywhere in an image


def affine_grid(theta: Tensor, size: Sequence[int], align_corners: bool | None = None) -> Tensor:
    """Where the places of new images lie in the old ones, as an affine map says (Jaderberg et al. 2015).

    Args:
        theta: shape (N, 2, 3).
        size: of the new images: (N, C, H, W).

    Returns:
        shape (N, H, W, 2): x and y, from -1 to 1 over the old image, as `grid_sample` takes them.

    Raises:
        NotImplementedError: for another number of dims.
        ValueError: for another shape of `theta`.
    """
    if len(size) != 4:
        raise NotImplementedError("affine_grid only supports 4D sizes, for 2D affine transforms: (N, C, H, W)")
    if theta.ndim != 3 or tuple(theta.shape[1:]) != (2, 3):
        raise ValueError(f"Expected a batch of 2D affine matrices of shape Nx2x3 for size {tuple(size)}. Got {tuple(theta.shape)}.")

    def line(n: int) -> ndarray:
        at = np.linspace(-1, 1, n) if n > 1 else np.zeros(1)
        return at if align_corners else at * ((n - 1) / n)

    _, _, h, w = size
    points = np.stack([*np.meshgrid(line(w), line(h)), np.ones((h, w))], -1).reshape(h * w, 3)
    grid = constant(points.astype(theta.dtype.numpy)) @ theta.transpose(1, 2)
    return grid.reshape(theta.shape[0], h, w, 2)


def grid_sample(
    input: Tensor, grid: Tensor, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: bool | None = None
) -> Tensor:
    """Images or volumes looked up at given places.

    Args:
        input: shape (N, C, H, W) or (N, C, D, H, W).
        grid: shape (N, H', W', 2) or (N, D', H', W', 3): x, y (and z), from -1 to 1 over the image.
        mode: "bilinear" (for volumes, trilinear), "nearest" or, for images, "bicubic".
        padding_mode: what lies outside: "zeros", "border" or "reflection".

    Returns:
        shape (N, C, H', W') or (N, C, D', H', W').

    Raises:
        RuntimeError: if the shapes do not fit.
        ValueError: for an unknown mode.
    """
    if mode not in ("bilinear", "nearest", "bicubic"):
        raise ValueError(f"nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' or 'bicubic', but got: '{mode}'")
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ValueError(
            f"nn.functional.grid_sample(): expected padding_mode to be 'zeros', 'border', or 'reflection', but got: '{padding_mode}'"
        )
    refuse_other_than_real("grid_sampler_cpu", input)
    rank = input.ndim - 2
    if rank not in (2, 3) or grid.ndim != input.ndim or grid.shape[0] != input.shape[0] or grid.shape[-1] != rank:
        raise RuntimeError(
            "grid_sampler(): expected input of shape (N, C, H, W) and grid of shape (N, H', W', 2), or of one dim more, with the same N, "
            f"but got input with sizes {list(input.shape)} and grid with sizes {list(grid.shape)}"
        )
    if mode == "bicubic" and rank == 3:
        raise RuntimeError("grid_sampler(): bicubic interpolation only supports 4D input")
    n, c, *sizes = input.shape
    flat = input.reshape(n, c, math.prod(sizes))
    along = [
        grid_taps(to_pixels(grid[..., rank - 1 - d], size, align_corners), size, mode, padding_mode, align_corners)
        for d, size in enumerate(sizes)
    ]
    total: Any = 0
    for choice in itertools.product(*along):
        place: Any = 0
        weight: Any = 1.0
        valid: Any = True
        for (at, w), size in zip(choice, sizes, strict=True):
            valid = valid & (at >= 0) & (at < size)
            place, weight = place * size + at.clamp(0, size - 1), weight * w
        index = place.long().reshape(n, 1, -1).expand(n, c, -1)
        value = flat.gather(2, index).reshape(n, c, *grid.shape[1:-1])
        total = total + value * cast(weight * valid, input.dtype).unsqueeze(1)
    return total


def grid_taps(at: Any, size: int, mode: str, padding_mode: str, align_corners: bool | None) -> list[tuple[Any, Any]]:
    """(places, weights) of the terms along one dim."""
    if mode == "bicubic":
        below = at.detach().floor()
        part = at - below
        return [(inside(below + k - 1, size, padding_mode, align_corners), w) for k, w in enumerate(cubic_weights(part))]
    at = inside(at, size, padding_mode, align_corners)
    if mode == "nearest":
        return [(at.detach().round(), 1.0)]
    below = at.detach().floor()
    return [(below, 1 - (at - below)), (below + 1, at - below)]


def to_pixels(at: Any, size: int, align_corners: bool | None) -> Any:
    """Places from -1 .. 1 as places among pixels."""
    return (at + 1) / 2 * (size - 1) if align_corners else ((at + 1) * size - 1) / 2


def inside(at: Any, size: int, padding_mode: str, align_corners: bool | None) -> Any:
    """Places moved into the image, unless what lies outside is zeros."""
    if padding_mode == "zeros":
        return at
    if padding_mode == "reflection":
        low, span = (0.0, float(size - 1)) if align_corners else (-0.5, float(size))
        if span <= 0:
            return at * 0
        away = (at - low).abs() % (2 * span)
        at = span - (span - away).abs() + low
    return at.clamp(0, size - 1)
