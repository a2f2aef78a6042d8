"""Windows that slide over the last dims: how many there are, where they lie in memory, and their transpose, sums into places.

The first part works on arrays and is what convolution and pooling are made of; the second is `unfold` and `fold`, which show
the windows as columns.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from retrograd import dtypes
from retrograd.core.families import linear
from retrograd.core.tensor import Tensor
from retrograd.ops.basis import reshape_op

Ints = tuple[int, ...]

# ---------------------------------------------------------------- sizes


def per_dim(function: str, name: str, value: Any, rank: int) -> Ints:
    """One int for each of `rank` dims, from an int or a sequence of as many (or of one).

    Raises:
        RuntimeError: if there are too many or too few.
        TypeError: if one is no int.
    """
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    for v in values:
        if isinstance(v, (bool, float)) or not hasattr(v, "__index__"):
            raise TypeError(f"{function}(): argument '{name}' must be int or a tuple of {rank} ints, but got {type(v).__name__}")
    values = tuple([int(v) for v in values])
    if len(values) == 1:
        return values * rank
    if len(values) != rank:
        raise RuntimeError(
            f"{function}: expected {name} to be a single integer value or a list of {rank} values to match the dims, but got {name}={list(values)}"
        )
    return values


def window_counts(sizes: Sequence[int], kernel: Ints, stride: Ints, padding: Ints, dilation: Ints) -> Ints:
    """How many windows fit into each dim."""
    return tuple([(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in zip(sizes, kernel, stride, padding, dilation, strict=True)])


def batches(n: int, elements: int, budget: int = 2**20) -> Iterator[slice]:
    """Parts of `n` examples of so many elements each, so that a part stays within the processor's cache, or nearly."""
    step = max(1, budget // max(1, elements))
    for start in range(0, n, step):
        yield slice(start, min(n, start + step))


# ---------------------------------------------------------------- arrays


def padded(x: ndarray, padding: Ints, value: float = 0) -> ndarray:
    """The array with `padding` more elements on both sides of each of its last dims."""
    if not any(padding):
        return x
    lead = x.ndim - len(padding)
    out = np.full((*x.shape[:lead], *(n + 2 * p for n, p in zip(x.shape[lead:], padding, strict=True))), value, x.dtype)
    out[(..., *(slice(p, p + n) for n, p in zip(x.shape[lead:], padding, strict=True)))] = x  # type: ignore[index]
    return out


def window_view(x: ndarray, kernel: Ints, counts: Ints, stride: Ints, dilation: Ints) -> ndarray:
    """All windows of (N, C, ...) as a view of shape (N, C, *kernel, *counts)."""
    steps = x.strides[2:]
    inner = [s * d for s, d in zip(steps, dilation, strict=True)]
    outer = [s * t for s, t in zip(steps, stride, strict=True)]
    return np.lib.stride_tricks.as_strided(x, (*x.shape[:2], *kernel, *counts), (*x.strides[:2], *inner, *outer), writeable=False)


def offsets(kernel: Ints) -> Iterator[Ints]:
    """The places within a window."""
    return itertools.product(*map(range, kernel))


def taps(offset: Ints, counts: Ints, stride: Ints, dilation: Ints) -> Any:
    """The index of what every window has at one place."""
    return (..., *(slice(o * d, o * d + (n - 1) * s + 1, s) for o, n, s, d in zip(offset, counts, stride, dilation, strict=True)))


def add_windows(cols: ndarray, out: ndarray, kernel: Ints, counts: Ints, stride: Ints, dilation: Ints) -> None:
    """Adds windows of shape (a, *kernel, b, *counts) to where they came from in `out`, of shape (a, b, ...)."""
    for offset in offsets(kernel):
        out[taps(offset, counts, stride, dilation)] += cols[(slice(None), *offset)]  # type: ignore[arg-type]


def cropped(x: ndarray, padding: Ints) -> ndarray:
    """The array without `padding` elements on both sides of each of its last dims."""
    if not any(padding):
        return x
    return np.ascontiguousarray(x[(..., *(slice(p, n - p) for n, p in zip(x.shape[x.ndim - len(padding) :], padding, strict=True)))])  # type: ignore[arg-type]


# ---------------------------------------------------------------- windows as columns


@linear(name="im2col", title="unfold")
def unfold_op(input, *, kernel, stride, padding, dilation):
    """Windows of images (N, C, H, W) as columns: (N, C·kh·kw, number of windows)."""
    counts = window_counts(input.shape[2:], kernel, stride, padding, dilation)
    view = window_view(padded(input, padding), kernel, counts, stride, dilation)
    return view.reshape(len(input), input.shape[1] * math.prod(kernel), math.prod(counts))


@unfold_op.transpose
def _(g, input_shape, kernel, stride, padding, dilation):
    return fold_op(g, size=tuple(input_shape[2:]), kernel=kernel, stride=stride, padding=padding, dilation=dilation)


@unfold_op.batch
def _(args, mapped, **params):
    return as_one_batch(unfold_op, args[0], params)


@linear(name="col2im", title="fold")
def fold_op(input, *, size, kernel, stride, padding, dilation):
    """The transpose of `unfold_op`: every column is added to its window in images of `size`."""
    counts = window_counts(size, kernel, stride, padding, dilation)
    n, channels = len(input), input.shape[1] // math.prod(kernel)
    out = np.zeros((channels, n, *(s + 2 * p for s, p in zip(size, padding, strict=True))), input.dtype)
    cols = np.moveaxis(input.reshape(n, channels, *kernel, *counts), 0, 1 + len(kernel))
    add_windows(cols, out, kernel, counts, stride, dilation)
    return np.ascontiguousarray(cropped(out, padding).swapaxes(0, 1))


@fold_op.transpose
def _(g, kernel, stride, padding, dilation):
    return unfold_op(g, kernel=kernel, stride=stride, padding=padding, dilation=dilation)


@fold_op.batch
def _(args, mapped, **params):
    return as_one_batch(fold_op, args[0], params)


def as_one_batch(op: Any, x: Any, params: dict[str, Any]) -> Any:
    """An operation on examples of a batch of batches: (B, N, ...) is taken as (B·N, ...)."""
    y = op(reshape_op(x, shape=(x.shape[0] * x.shape[1], *x.shape[2:])), **params)
    return reshape_op(y, shape=(x.shape[0], x.shape[1], *y.shape[1:]))


def window_arguments(function: str, kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> dict[str, Ints]:
    """The geometry of two-dimensional windows, checked."""
    kernel, dilations, pads, strides = (
        per_dim(function, n, v, 2)
        for n, v in (("kernel_size", kernel_size), ("dilation", dilation), ("padding", padding), ("stride", stride))
    )
    for name, values in (("kernel size", kernel), ("stride", strides), ("dilation", dilations)):
        if min(values) <= 0:
            raise RuntimeError(f"{name} should be greater than zero, but got {list(values)}")
    if min(pads) < 0:
        raise RuntimeError(f"padding should be non-negative, but got {list(pads)}")
    return {"kernel": kernel, "stride": strides, "padding": pads, "dilation": dilations}


def unfold(input: Tensor, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Tensor:
    """The windows of images as columns.

    Args:
        input: shape (N, C, H, W) or (C, H, W).

    Returns:
        shape (N, C·kh·kw, L) or (C·kh·kw, L), for L windows.

    Raises:
        RuntimeError: if the input has another number of dims, or no window fits.

    >>> from retrograd import arange
    >>> unfold(arange(4.).reshape(1, 2, 2), (1, 2))
    tensor([[0., 2.],
            [1., 3.]])
    """
    if input.dtype.category < dtypes.FLOATING and input.dtype is not dtypes.bool:
        raise NotImplementedError(f"\"im2col\" not implemented for '{dtypes.scalar_name(input.dtype)}'")
    geometry = window_arguments("unfold", kernel_size, dilation, padding, stride)
    if input.ndim not in (3, 4) or 0 in input.shape[-3:]:
        raise RuntimeError(
            f"Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other non-zero dimensions for input, but got: {list(input.shape)}"
        )
    counts = window_counts(input.shape[-2:], **geometry)
    if min(counts) < 1:
        raise RuntimeError(
            f"Given input with spatial size {tuple(input.shape[-2:])}, kernel_size={geometry['kernel']}, dilation={geometry['dilation']}, "
            f"padding={geometry['padding']}, calculated shape of the array of sliding blocks as {counts}, but its components must be at least one."
        )
    if input.ndim == 4:
        return unfold_op(input, **geometry)
    y = unfold_op(reshape_op(input, shape=(1, *input.shape)), **geometry)
    return reshape_op(y, shape=tuple(y.shape[1:]))


def fold(input: Tensor, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Tensor:
    """Columns added up to images: the transpose of `unfold`.

    Args:
        input: shape (N, C·kh·kw, L) or (C·kh·kw, L).

    Returns:
        shape (N, C, *output_size) or (C, *output_size).

    Raises:
        RuntimeError: if the columns are not those of windows of such images.

    >>> from retrograd import ones
    >>> fold(ones(2, 2), (1, 3), (1, 2))
    tensor([[[1., 2., 1.]]])
    """
    geometry = window_arguments("fold", kernel_size, dilation, padding, stride)
    size = per_dim("fold", "output_size", output_size, 2)
    if input.ndim not in (2, 3) or 0 in input.shape[-2:]:
        raise RuntimeError(
            f"Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and non-zero dimensions for input, but got: {list(input.shape)}"
        )
    rows, found = input.shape[-2:]
    if rows % math.prod(geometry["kernel"]):
        raise RuntimeError(
            "Expected size of input's dimension 1 to be divisible by the product of kernel_size, "
            f"but got input.size(1)={rows} and kernel_size={geometry['kernel']}."
        )
    counts = window_counts(size, **geometry)
    if min(counts) < 1 or math.prod(counts) != found:
        raise RuntimeError(
            f"Given output_size={size}, kernel_size={geometry['kernel']}, dilation={geometry['dilation']}, padding={geometry['padding']}, "
            f"stride={geometry['stride']}, expected size of input's dimension 2 to match the calculated number of sliding blocks "
            f"{' * '.join(map(str, counts))} = {math.prod(counts)}, but got input.size(2)={found}."
        )
    if input.ndim == 3:
        return fold_op(input, size=size, **geometry)
    y = fold_op(reshape_op(input, shape=(1, *input.shape)), size=size, **geometry)
    return reshape_op(y, shape=tuple(y.shape[1:]))
