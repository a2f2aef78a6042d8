"""Padding: more elements on both sides of the last dims, or fewer; and pixels moved between channels and places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.core.families import opaque
from retrograd.core.tensor import Tensor, constant
from retrograd.ops.basis import permute_op, reshape_op
from retrograd.ops.index import index_op

# ---------------------------------------------------------------- constants


@opaque(name="constant_pad_nd", title="pad", derivative_name="ConstantPadNdBackward0")
def pad_op(input, *, sides, value):
    """`input` with `sides[d] = (before, after)` elements of `value` more (or, below 0, fewer) in dim d."""
    out = np.full([n + a + b for n, (a, b) in zip(input.shape, sides, strict=True)], value, input.dtype)
    source = tuple([slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(input.shape, sides, strict=True)])
    target = tuple([slice(max(a, 0), n - max(b, 0)) for n, (a, b) in zip(out.shape, sides, strict=True)])
    out[target] = input[source]
    return out


@pad_op.vjp("input")
def _(g, sides):
    return pad_op(g, sides=tuple([(-a, -b) for a, b in sides]), value=0)


@pad_op.jvp("input")
def _(t, sides):
    return pad_op(t, sides=sides, value=0)


@pad_op.batch
def _(args, mapped, *, sides, value):
    return pad_op(args[0], sides=((0, 0), *sides), value=value)


def pairs(sides: Sequence[int], ndim: int) -> tuple[tuple[int, int], ...]:
    """(before, after) for every dim, from PyTorch's flat list, which begins with the last dim."""
    found = [(int(sides[2 * i]), int(sides[2 * i + 1])) for i in range(len(sides) // 2)]
    return (*((0, 0),) * (ndim - len(found)), *reversed(found))


def constant_pad(input: Tensor, pad: Sequence[int], value: float = 0.0) -> Tensor:
    """`input` with more (or, below 0, fewer) elements around it, all of one value. Raises RuntimeError if nothing would be left."""
    sides = pairs(pad, input.ndim)
    for d, (n, (a, b)) in enumerate(zip(input.shape, sides, strict=True)):
        if n + a + b < 0 or n + min(a, 0) + min(b, 0) < 0:
            raise RuntimeError(
                f"The input size {n}, plus negative padding {a} and {b}, resulted in a negative output size, which is invalid. Check dimension {d} of your input."
            )
    return pad_op(input, sides=sides, value=value)


# ---------------------------------------------------------------- what stands there already


def reflected(n: int, before: int, after: int) -> Any:
    """The places of a dim of n and its mirror images, without repeating the edge."""
    return (n - 1) - np.abs(np.abs(np.arange(-before, n + after)) - (n - 1))


def replicated(n: int, before: int, after: int) -> Any:
    """The places of a dim of n, and the edges for all beyond them."""
    return np.clip(np.arange(-before, n + after), 0, n - 1)


def circled(n: int, before: int, after: int) -> Any:
    """The places of a dim of n (of what negative sides leave of it), begun again and again."""
    kept = np.arange(max(-before, 0), n - max(-after, 0))
    return kept[np.arange(-max(before, 0), len(kept) + max(after, 0)) % len(kept)]


PLACES = {"reflect": reflected, "replicate": replicated, "circular": circled}


def check_mode(input: Tensor, pad: Sequence[int], mode: str) -> None:
    """Raises for sides that a mode cannot fill."""
    rank = len(pad) // 2
    if input.ndim not in (rank + 1, rank + 2) or not 1 <= rank <= 3:
        raise NotImplementedError(
            "Only 2D, 3D, 4D, 5D padding with non-constant padding are supported for now: the last dim of a 2D or 3D input, the last two of a 3D or 4D "
            f"input, the last three of a 4D or 5D input; got {len(pad)} sides for a {input.ndim}D input"
        )
    for d, (a, b) in enumerate(pairs(pad, input.ndim)):
        n = input.shape[d]
        if mode == "reflect" and (a, b) != (0, 0) and (a >= n or b >= n):
            raise RuntimeError(
                f"Argument #4: Padding size should be less than the corresponding input dimension, but got: padding ({a}, {b}) at dimension {d} of input {list(input.shape)}"
            )
        if mode == "circular" and (a > n or b > n):
            raise RuntimeError("Padding value causes wrapping around more than once.")
        if n == 0 and (a, b) != (0, 0):
            raise RuntimeError(
                f"Expected {input.ndim}D tensor with possibly 0 batch size and other non-zero dimensions for input, but got: {list(input.shape)}"
            )
        if n + a + b < 1 and (a, b) != (0, 0):
            raise RuntimeError(f"input (size {n} at dimension {d}) is too small. Calculated output size: {n + a + b}")


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """More elements on both sides of the last dims (fewer, where negative).

    Args:
        pad: (before, after) of the last dim, then of the one before it, and so on.
        mode: "constant" (filled with `value`, default 0), "reflect", "replicate" or "circular".

    Raises:
        RuntimeError: if `pad` has an odd length or more pairs than there are dims, or a mode cannot fill it.
        NotImplementedError: for an unknown mode, or a number of dims for which a mode is not defined.

    >>> from retrograd import tensor
    >>> pad(tensor([1., 2.]), (1, 2))
    tensor([0., 1., 2., 0., 0.])
    >>> pad(tensor([[1., 2., 3.]]), (2, 1), mode="reflect")
    tensor([[3., 2., 1., 2., 3., 2.]])
    """
    if not isinstance(input, Tensor):
        raise TypeError(f"pad(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    if len(pad) % 2:
        raise RuntimeError(f"Padding length must be divisible by 2, but got {len(pad)}")
    if len(pad) > 2 * input.ndim:
        raise RuntimeError(
            f"Padding length should be less than or equal to two times the input dimension but got padding length {len(pad)} and input of dimension {input.ndim}"
        )
    if mode == "constant":
        return constant_pad(input, pad, 0.0 if value is None else value)
    if mode not in PLACES:
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    if input.dtype is dtypes.bool and mode != "circular":
        raise NotImplementedError(f"\"{mode}_padding\" not implemented for 'Bool'")
    if value:
        raise ValueError(f"Padding mode '{mode}' doesn't take in value argument")
    check_mode(input, pad, mode)
    for d, (a, b) in enumerate(pairs(pad, input.ndim)):
        if (a, b) != (0, 0):
            input = index_op(input, constant(PLACES[mode](input.shape[d], a, b)), dims=(d,))
    return input


# ---------------------------------------------------------------- between channels and places


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """Channels as finer images: (*, C r², H, W) becomes (*, C, H r, W r) (Shi et al. 2016).

    Raises:
        RuntimeError: if there are fewer than three dims, or the channels are not divisible by r².
    """
    r = upscale_factor
    if input.ndim < 3:
        raise RuntimeError(f"pixel_shuffle expects input to have at least 3 dimensions, but got input with {input.ndim} dimension(s)")
    if r <= 0:
        raise RuntimeError(f"pixel_shuffle expects a positive upscale_factor, but got {r}")
    *lead, c, h, w = input.shape
    if c % (r * r):
        raise RuntimeError(
            "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of upscale_factor, "
            f"but input.size(-3)={c} is not divisible by {r * r}"
        )
    x = reshape_op(input, shape=(*lead, c // (r * r), r, r, h, w))
    n = len(lead)
    x = permute_op(x, dims=(*range(n + 1), n + 3, n + 1, n + 4, n + 2))
    return reshape_op(x, shape=(*lead, c // (r * r), h * r, w * r))


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """The reverse of `pixel_shuffle`: (*, C, H r, W r) becomes (*, C r², H, W).

    Raises:
        RuntimeError: if there are fewer than three dims, or height or width is not divisible by r.
    """
    r = downscale_factor
    if input.ndim < 3:
        raise RuntimeError(f"pixel_unshuffle expects input to have at least 3 dimensions, but got input with {input.ndim} dimension(s)")
    if r <= 0:
        raise RuntimeError(f"pixel_unshuffle expects a positive downscale_factor, but got {r}")
    *lead, c, h, w = input.shape
    for name, size in (("height", h), ("width", w)):
        if size % r:
            raise RuntimeError(
                f"pixel_unshuffle expects {name} to be divisible by downscale_factor, but {name}={size} is not divisible by {r}"
            )
    x = reshape_op(input, shape=(*lead, c, h // r, r, w // r, r))
    n = len(lead)
    x = permute_op(x, dims=(*range(n + 1), n + 2, n + 4, n + 1, n + 3))
    return reshape_op(x, shape=(*lead, c * r * r, h // r, w // r))
