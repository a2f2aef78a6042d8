"""Pooling: the greatest or the mean of each window, of given size or dividing the input into a given number of parts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from retrograd import dtypes
from retrograd.core.families import linear, opaque
from retrograd.core.levels import refuse_record
from retrograd.core.tensor import Tensor, constant
from retrograd.ops.basis import reshape_op, scatter_sum_op
from retrograd.ops.pointwise import abs as absolute
from retrograd.ops.pointwise import pow, sign
from retrograd.ops.reduce import mean, narrow, wide
from retrograd.ops.scatter import scatter_op
from retrograd.ops.windows import Ints, add_windows, as_one_batch, cropped, offsets, padded, per_dim, taps

# ---------------------------------------------------------------- windows


def pooled_size(n: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> int:
    """How many windows a dim has; with `ceil_mode`, a last one may hang over, if it begins within the input."""
    span = n + 2 * padding - dilation * (kernel - 1) - 1
    count = (span + (stride - 1 if ceil_mode else 0)) // stride + 1
    if ceil_mode and (count - 1) * stride >= n + padding:
        count -= 1
    return count


def reaching(x: ndarray, counts: Ints, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints, value: float) -> ndarray:
    """The padded array, with so many elements more at the ends as the last windows hang over."""
    x = padded(x, padding, value)
    spans = [(c - 1) * s + d * (k - 1) + 1 for c, k, s, d in zip(counts, kernel, stride, dilation, strict=True)]
    over = [max(0, span - n) for span, n in zip(spans, x.shape[2:], strict=True)]
    return np.pad(x, [(0, 0), (0, 0), *((0, o) for o in over)], constant_values=value) if any(over) else x


def lowest(dtype: Any) -> Any:
    """The value below which a dtype has none."""
    return -math.inf if dtype.kind in "fV" else np.iinfo(dtype).min


@opaque(outputs=("values", "indices"), derivative_name=lambda params: f"MaxPool{len(params['kernel'])}DWithIndicesBackward0")
def max_pool_op(input, *, counts, kernel, stride, padding, dilation):
    """The greatest element of each window of (N, C, ...), and its place in the flattened last dims (of equals, the first)"""
    x = reaching(input, counts, kernel, stride, padding, dilation, lowest(input.dtype))
    candidates = [x[taps(offset, counts, stride, dilation)] for offset in offsets(kernel)]
    best = candidates[0].copy()
    for candidate in candidates[1:]:
        np.maximum(best, candidate, out=best)  # a nan is passed on
    # the number of candidates before the first that is the best; without branches, which random data would mislead
    where, before = np.zeros(best.shape, np.int8 if len(candidates) < 128 else np.int32), np.ones(best.shape, bool)
    for candidate in candidates[:-1]:
        before &= candidate != best
        where += before
    if x.dtype.kind in "fV" and np.isnan(best).any():  # which equals nothing: the first of them is meant
        for i in reversed(range(len(candidates))):
            np.copyto(where, i, where=np.isnan(candidates[i]))
    return best, places(where, input.shape[2:], counts, kernel, stride, padding, dilation)


def places(where: ndarray, sizes: Sequence[int], counts: Ints, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints) -> ndarray:
    """From numbers of elements within windows to places in the flattened dims."""
    within = np.zeros((), np.int64)  # place of each element of a window, from its first
    first = np.zeros((), np.int64)  # place of each window's first element
    for n, c, k, s, p, d in zip(sizes, counts, kernel, stride, padding, dilation, strict=True):
        within = within[..., None] * n + np.arange(k) * d
        first = first[..., None] * n + (np.arange(c) * s - p)
    return np.asarray(np.take(within.reshape(-1), where) + first)


@max_pool_op.lowering
def _(k, input, *, counts, kernel, stride, padding, dilation):
    return k.max_pool(input, counts=counts, kernel=kernel, stride=stride, padding=padding, dilation=dilation)


@max_pool_op.vjp("input")
def _(g_values, indices, input_shape):
    return from_places(g_values, indices, tuple(input_shape[2:]))


@max_pool_op.batch
def _(args, mapped, **params):
    x = args[0]
    results = max_pool_op(reshape_op(x, shape=(x.shape[0] * x.shape[1], *x.shape[2:])), **params)
    return tuple([reshape_op(y, shape=(x.shape[0], x.shape[1], *y.shape[1:])) for y in results])


def from_places(g: Any, indices: Any, size: Ints) -> Any:
    """Zeros of (N, C, *size), to which each element is added at its place."""
    n, c = g.shape[:2]
    count = math.prod(g.shape[2:])
    flat = scatter_sum_op(
        reshape_op(g, shape=(n, c, count)), reshape_op(indices, shape=(n, c, count)), dim=2, shape=(n, c, math.prod(size))
    )
    return reshape_op(flat, shape=(n, c, *size))


@linear(name="avg_pool", derivative_name=lambda params: f"AvgPool{len(params['kernel'])}DBackward0")
def avg_pool_op(input, *, size, counts, kernel, stride, padding, include_pad, divisor):
    """The sum of each window of (N, C, *size), over its number of elements (without padding, unless `include_pad`) or `divisor`."""
    x = reaching(wide(input), counts, kernel, stride, padding, (1,) * len(kernel), 0)
    total: Any = 0
    for offset in offsets(kernel):
        total = total + x[taps(offset, counts, stride, (1,) * len(kernel))]
    return narrow(total / divisors(size, counts, kernel, stride, padding, include_pad, divisor, total.dtype), input)


@avg_pool_op.lowering
def _(k, input, *, size, counts, kernel, stride, padding, include_pad, divisor):
    spans = [(c - 1) * s + w for c, w, s in zip(counts, kernel, stride, strict=True)]
    if any(padding) or any(span > n for span, n in zip(spans, size, strict=True)):
        room = k.new((*input.shape[:2], *(max(n + 2 * p, span) for n, p, span in zip(size, padding, spans, strict=True))), input.dtype)
        k.fill(room, 0)
        inner = k.read(room)
        for d, (n, p) in enumerate(zip(size, padding, strict=True), 2):
            inner = k.slice(inner, d, p, p + n)
        k.fill(inner.data, input)
        input = k.read(room)
    total = k.reduce("sum", k.windows(input, kernel, counts, stride), range(-len(kernel), 0), keepdim=False)
    return k.div(total, divisors_in_loops(k, total, size, counts, kernel, stride, padding, include_pad, divisor))


@avg_pool_op.transpose
def _(g, size, counts, kernel, stride, padding, include_pad, divisor):
    return avg_unpool_op(
        g, size=size, counts=counts, kernel=kernel, stride=stride, padding=padding, include_pad=include_pad, divisor=divisor
    )


@avg_pool_op.batch
def _(args, mapped, **params):
    return as_one_batch(avg_pool_op, args[0], params)


@linear(name="avg_unpool")
def avg_unpool_op(input, *, size, counts, kernel, stride, padding, include_pad, divisor):
    """The transpose of `avg_pool_op`: every number is shared out among the elements of its window."""
    ones = (1,) * len(kernel)
    x = wide(input)
    x = x / divisors(size, counts, kernel, stride, padding, include_pad, divisor, x.dtype)
    out = np.zeros((*input.shape[:2], *(n + 2 * p for n, p in zip(size, padding, strict=True))), x.dtype)
    out = reaching(out, counts, kernel, stride, (0,) * len(kernel), ones, 0)
    cols = np.broadcast_to(x.reshape(x.shape[0], *ones, *x.shape[1:]), (x.shape[0], *kernel, *x.shape[1:]))
    add_windows(cols, out, kernel, counts, stride, ones)
    whole = out[(..., *(slice(n + 2 * p) for n, p in zip(size, padding, strict=True)))]  # type: ignore[arg-type]
    return narrow(np.ascontiguousarray(cropped(whole, padding)), input)


@avg_unpool_op.lowering
def _(k, input, *, size, counts, kernel, stride, padding, include_pad, divisor):
    n, c = input.shape[:2]
    shares = k.div(input, divisors_in_loops(k, input, size, counts, kernel, stride, padding, include_pad, divisor))
    if kernel == stride and not any(padding) and all(m * s == length for m, s, length in zip(counts, stride, size, strict=True)):
        target = k.new((n, c, *size), input.dtype)
        apart = [length for pair in zip(counts, kernel, strict=True) for length in pair]
        shares = k.reshape(shares, (n, c, *(length for m in counts for length in (m, 1))))
        k.fill(k.reshape(k.read(target), (n, c, *apart)).data, shares)
        return k.read(target)
    shares, ones = k.reshape(shares, (n * c, 1, *counts)), k.keep(k.const(1, input), (1, 1, *kernel))
    window = {"stride": stride, "padding": padding, "dilation": (1,) * len(kernel), "groups": 1}
    return k.reshape(k.convolve("input", shares, ones, (n * c, 1, *size), **window), (n, c, *size))


@avg_unpool_op.transpose
def _(g, size, counts, kernel, stride, padding, include_pad, divisor):
    return avg_pool_op(g, size=size, counts=counts, kernel=kernel, stride=stride, padding=padding, include_pad=include_pad, divisor=divisor)


@avg_unpool_op.batch
def _(args, mapped, **params):
    return as_one_batch(avg_unpool_op, args[0], params)


def divisors(
    size: Ints, counts: Ints, kernel: Ints, stride: Ints, padding: Ints, include_pad: bool, divisor: int | None, dtype: Any
) -> Any:
    """By what each window's sum is divided."""
    if divisor is not None:
        return np.asarray(divisor, dtype)
    product: Any = np.ones((), np.int64)
    for n, c, k, s, p in zip(size, counts, kernel, stride, padding, strict=True):
        start = np.arange(c) * s - p
        end = np.minimum(start + k, n + p)
        if not include_pad:
            start, end = np.maximum(start, 0), np.minimum(end, n)
        product = product[..., None] * (end - start)
    return product.astype(dtype)


def divisors_in_loops(
    k: Any, like: Any, size: Ints, counts: Ints, kernel: Ints, stride: Ints, padding: Ints, include_pad: bool, divisor: int | None
) -> Any:
    """The same for a lowering: a number if it is the same for all windows, else an array that broadcasts to (N, C, *counts)."""
    table = divisors(size, counts, kernel, stride, padding, include_pad, divisor, like.dtype)
    if (table == table.flat[0]).all():
        return k.const(float(table.flat[0]), like)
    product: Any = None
    for d, (n, c, w, s, p) in enumerate(zip(size, counts, kernel, stride, padding, strict=True), 2):
        start = k.sub(k.mul(k.iota([c if i == d else 1 for i in range(2 + len(counts))], d), s), p)
        end = k.min(k.add(start, w), n + p)
        if not include_pad:
            start, end = k.max(start, 0), k.min(end, n)
        length = k.sub(end, start)
        product = length if product is None else k.mul(product, length)
    return k.cast(product, like.dtype)


# ---------------------------------------------------------------- arguments


def examples(function: str, input: Any, rank: int) -> Tensor:
    """The input with a dim for examples. Raises unless it has `rank` dims after that of channels."""
    if not isinstance(input, Tensor):
        raise TypeError(f"{function}(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    lead = input.ndim - rank
    if lead not in (1, 2) or 0 in input.shape[lead - 1 :]:
        raise RuntimeError(
            f"{function}: Expected {rank + 1}D or {rank + 2}D (batch mode) tensor with optional 0 dim batch size for input, but got: {list(input.shape)}"
        )
    return input if lead == 2 else reshape_op(input, shape=(1, *input.shape))


def refuse_other_than_real(function: str, input: Tensor) -> None:
    """Raises NotImplementedError unless numbers are real floating ones."""
    if input.dtype.category != dtypes.FLOATING:
        raise NotImplementedError(f"\"{function}\" not implemented for '{dtypes.scalar_name(input.dtype)}'")


def like_input(y: Tensor, input: Tensor) -> Tensor:
    """A result without the dim for examples, if the input had none."""
    return y if y.ndim == input.ndim else reshape_op(y, shape=tuple(y.shape[1:]), called="SqueezeBackward1")


def geometry(
    function: str, x: Tensor, rank: int, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> tuple[Ints, Ints, Ints, Ints, Ints]:
    """(counts, kernel, stride, padding, dilation), checked."""
    kernel = per_dim(function, "kernel_size", kernel_size, rank)
    strides = kernel if stride is None or stride in ((), []) else per_dim(function, "stride", stride, rank)
    pads, dilations = per_dim(function, "padding", padding, rank), per_dim(function, "dilation", dilation, rank)
    if min(kernel) <= 0:
        raise RuntimeError(f"kernel size should be greater than zero, but got {list(kernel)}")
    if min(strides) <= 0:
        raise RuntimeError(f"stride should be greater than zero, but got {list(strides)}")
    if min(dilations) <= 0:
        raise RuntimeError(f"dilation should be greater than zero, but got {list(dilations)}")
    if min(pads) < 0:
        raise RuntimeError(f"pad must be non-negative, but got pad: {min(pads)}")
    for k, p, d in zip(kernel, pads, dilations, strict=True):
        if p > (d * (k - 1) + 1) // 2:
            raise RuntimeError(f"pad should be at most half of effective kernel size, but got pad={p}, kernel_size={k} and dilation={d}")
    sizes = x.shape[2:]
    counts = tuple([pooled_size(*one, ceil_mode) for one in zip(sizes, kernel, strides, pads, dilations, strict=True)])
    if min(counts) < 1:
        raise RuntimeError(
            f"Given input size: ({'x'.join(map(str, x.shape[1:]))}). Calculated output size: ({'x'.join(map(str, (x.shape[1], *counts)))}). Output size is too small"
        )
    return counts, kernel, strides, pads, dilations


# ---------------------------------------------------------------- the greatest of each window


def max_pool(
    rank: int, input: Tensor, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool, return_indices: bool
) -> Any:
    """Max pooling over `rank` dims."""
    function = f"max_pool{rank}d"
    x = examples(function, input, rank)
    counts, kernel, strides, pads, dilations = geometry(function, x, rank, kernel_size, stride, padding, dilation, ceil_mode)
    if input.dtype.is_complex or input.dtype is dtypes.bool:
        raise NotImplementedError(f"\"{function}\" not implemented for '{dtypes.scalar_name(input.dtype)}'")
    values, indices = max_pool_op(x, counts=counts, kernel=kernel, stride=strides, padding=pads, dilation=dilations)
    values, indices = like_input(values, input), like_input(indices, input)
    return (values, indices) if return_indices else values


def max_pool1d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:  # fmt: skip
    """The greatest element of each window of lines: (N, C, L) or (C, L). See `max_pool2d`."""
    return max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool2d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:  # fmt: skip
    """The greatest element of each window of images.

    Args:
        input: shape (N, C, H, W) or (C, H, W).
        stride: the step from one window to the next; the window's size by default.
        padding: at most half the window.
        ceil_mode: whether a last window may hang over the edge.
        return_indices: whether to return the places of the elements, in the flattened last two dims, too.

    Raises:
        RuntimeError: if the shape does not fit, or no window does.

    >>> from retrograd import arange
    >>> max_pool2d(arange(16.).reshape(1, 4, 4), 2)
    tensor([[[ 5.,  7.],
             [13., 15.]]])
    """
    return max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool3d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:  # fmt: skip
    """The greatest element of each window of volumes: (N, C, D, H, W) or (C, D, H, W). See `max_pool2d`."""
    return max_pool(3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_unpool(
    rank: int, input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
) -> Tensor:
    """A partial inverse of max pooling over `rank` dims: each number at its place, zeros elsewhere."""
    function = f"max_unpool{rank}d"
    if indices.dtype is not dtypes.int64:
        raise RuntimeError(f"elements in indices should be type int64 but got: {indices.dtype}")
    if indices.shape != input.shape:
        raise RuntimeError(
            f"Expected shape of indices to be same as that of the input tensor ({list(input.shape)}) but got indices tensor with shape: {list(indices.shape)}"
        )
    refuse_other_than_real(function, input)
    x = examples(function, input, rank)
    kernel = per_dim(function, "kernel_size", kernel_size, rank)
    strides = kernel if stride is None else per_dim(function, "stride", stride, rank)
    pads = per_dim(function, "padding", padding, rank)
    default = tuple([(n - 1) * s - 2 * p + k for n, s, p, k in zip(x.shape[2:], strides, pads, kernel, strict=True)])
    size = default if output_size is None else tuple(int(n) for n in tuple(output_size)[-rank:])
    for n, d, s in zip(size, default, strides, strict=True):
        if not d - s < n < d + s:
            raise ValueError(f"invalid output_size {list(size)} (dim 0 must be between {d - s} and {d + s})")
    lead, count = tuple(x.shape[:2]), math.prod(x.shape[2:])
    flat, where = (reshape_op(v, shape=(*lead, count)) for v in (x, indices))
    area = math.prod(size)
    refuse_record()
    if indices._data.size and not (indices._data.min() >= 0 and indices._data.max() < area):
        raise RuntimeError(
            f"Found an invalid max index: {int(indices._data.max())} (output volumes are of size {'x'.join(map(str, size))})"
        )
    y = scatter_op(constant(np.zeros((*lead, area), x._data.dtype)), where, flat, dim=2)
    return like_input(reshape_op(y, shape=(*lead, *size)), input)


def max_unpool1d(input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None) -> Tensor:
    """A partial inverse of `max_pool1d`: each number at its place, zeros elsewhere."""
    return max_unpool(1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None) -> Tensor:
    """A partial inverse of `max_pool2d`: each number at its place, zeros elsewhere."""
    return max_unpool(2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None) -> Tensor:
    """A partial inverse of `max_pool3d`: each number at its place, zeros elsewhere."""
    return max_unpool(3, input, indices, kernel_size, stride, padding, output_size)


# ---------------------------------------------------------------- the mean of each window


def avg_pool(
    rank: int, input: Tensor, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool, count_include_pad: bool,
    divisor_override: int | None,
) -> Tensor:  # fmt: skip
    """Average pooling over `rank` dims."""
    function = f"avg_pool{rank}d"
    x = examples(function, input, rank)
    if divisor_override == 0:
        raise RuntimeError("divisor must be not zero")
    if input.dtype.category != dtypes.FLOATING and input.dtype is not dtypes.int64:
        raise NotImplementedError(f"\"{function}\" not implemented for '{dtypes.scalar_name(input.dtype)}'")
    counts, kernel, strides, pads, _ = geometry(function, x, rank, kernel_size, stride, padding, 1, ceil_mode)
    y = avg_pool_op(
        x, size=tuple(x.shape[2:]), counts=counts, kernel=kernel, stride=strides, padding=pads, include_pad=count_include_pad,
        divisor=divisor_override,
    )  # fmt: skip
    return like_input(y, input)


def avg_pool1d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False, count_include_pad: bool = True
) -> Tensor:
    """The mean of each window of lines: (N, C, L) or (C, L). See `avg_pool2d`."""
    return avg_pool(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


def avg_pool2d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False, count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:  # fmt: skip
    """The mean of each window of images.

    Args:
        input: shape (N, C, H, W) or (C, H, W).
        stride: the step from one window to the next; the window's size by default.
        ceil_mode: whether a last window may hang over the edge.
        count_include_pad: whether padding counts among the elements.
        divisor_override: divides by this number instead.

    Raises:
        RuntimeError: if the shape does not fit, or no window does.

    >>> from retrograd import arange
    >>> avg_pool2d(arange(4.).reshape(1, 2, 2), 2)
    tensor([[[1.5000]]])
    """
    return avg_pool(2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def avg_pool3d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False, count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:  # fmt: skip
    """The mean of each window of volumes: (N, C, D, H, W) or (C, D, H, W). See `avg_pool2d`."""
    return avg_pool(3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def lp_pool(rank: int, input: Tensor, norm_type: float, kernel_size: Any, stride: Any, ceil_mode: bool) -> Tensor:
    """The p-norm of each window over `rank` dims."""
    kernel = per_dim(f"lp_pool{rank}d", "kernel_size", kernel_size, rank)
    means = avg_pool(rank, pow(input, norm_type), kernel, stride, 0, ceil_mode, True, None)
    positive = (sign(means) * absolute(means)).relu() if norm_type % 2 else means
    return pow(positive * math.prod(kernel), 1.0 / norm_type)


def lp_pool1d(input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Tensor:
    """The p-norm of each window of lines: (N, C, L) or (C, L)."""
    return lp_pool(1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Tensor:
    """The p-norm of each window of images: (N, C, H, W) or (C, H, W)."""
    return lp_pool(2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Tensor:
    """The p-norm of each window of volumes: (N, C, D, H, W) or (C, D, H, W)."""
    return lp_pool(3, input, norm_type, kernel_size, stride, ceil_mode)


# ---------------------------------------------------------------- a given number of parts


def parts(n: int, count: int) -> tuple[ndarray, ndarray]:
    """Where each of `count` parts of a dim of `n` begins and ends: ⌊i n/count⌋ and ⌈(i + 1) n/count⌉; they may overlap."""
    i = np.arange(count)
    return i * n // count, -((i + 1) * -n // count)


def adaptive_sizes(function: str, input: Tensor, output_size: Any, rank: int) -> Ints:
    """The size asked for; None keeps a dim's."""
    wanted = tuple(output_size) if isinstance(output_size, (tuple, list)) else (output_size,) * rank
    if len(wanted) != rank:
        raise RuntimeError(
            f"{function}: output_size must be {rank}" if rank > 1 else f"{function}: output_size must be 1, but got {len(wanted)}"
        )
    sizes = tuple([int(w) if w is not None else n for w, n in zip(wanted, input.shape[-rank:], strict=True)])
    if min(sizes) < 0:
        raise RuntimeError(f"{function}: elements of output_size must be greater than or equal to 0 but received {list(sizes)}")
    return sizes


@linear(name="adaptive_avg_pool", derivative_name=lambda params: f"AdaptiveAvgPool{len(params['counts'])}DBackward0")
def adaptive_avg_pool_op(input, *, size, counts):
    """The mean of each part of (N, C, *size)."""
    x = wide(input)
    for d, (n, count) in enumerate(zip(size, counts, strict=True)):
        start, end = parts(n, count)
        sums = [x[(slice(None),) * (2 + d) + (slice(a, b),)].mean(2 + d) for a, b in zip(start, end, strict=True)]
        x = np.stack(sums, 2 + d) if sums else np.zeros((*x.shape[: 2 + d], 0, *x.shape[3 + d :]), x.dtype)
    return narrow(x, input)


@adaptive_avg_pool_op.transpose
def _(g, size, counts):
    return adaptive_avg_unpool_op(g, size=size, counts=counts)


@adaptive_avg_pool_op.batch
def _(args, mapped, **params):
    return as_one_batch(adaptive_avg_pool_op, args[0], params)


@linear(name="adaptive_avg_unpool")
def adaptive_avg_unpool_op(input, *, size, counts):
    """The transpose of `adaptive_avg_pool_op`: every number is shared out among the elements of its part."""
    x = wide(input)
    for d, (n, count) in enumerate(zip(size, counts, strict=True)):
        out = np.zeros((*x.shape[: 2 + d], n, *x.shape[3 + d :]), x.dtype)
        for i, (a, b) in enumerate(zip(*parts(n, count), strict=True)):
            out[(slice(None),) * (2 + d) + (slice(a, b),)] += x[(slice(None),) * (2 + d) + (slice(i, i + 1),)] / x.dtype.type(b - a)
        x = out
    return narrow(x, input)


@adaptive_avg_unpool_op.transpose
def _(g, size, counts):
    return adaptive_avg_pool_op(g, size=size, counts=counts)


@adaptive_avg_unpool_op.batch
def _(args, mapped, **params):
    return as_one_batch(adaptive_avg_unpool_op, args[0], params)


def adaptive_avg_pool(rank: int, input: Tensor, output_size: Any) -> Tensor:
    """Means of a given number of parts over `rank` dims."""
    function = f"adaptive_avg_pool{rank}d"
    if input.ndim < rank + 1:
        raise ValueError(f"Input dimension should be at least {rank + 1}, but got {input.ndim}")
    x = examples(function, input, rank)
    counts = adaptive_sizes(function, x, output_size, rank)
    refuse_other_than_real(function, input)
    if all(c == 1 for c in counts) and rank > 1:
        return mean(input, tuple(range(-rank, 0)), keepdim=True)
    return like_input(adaptive_avg_pool_op(x, size=tuple(x.shape[2:]), counts=counts), input)


def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """The means of `output_size` parts of lines: (N, C, L) or (C, L). See `adaptive_avg_pool2d`."""
    return adaptive_avg_pool(1, input, output_size)


def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """The means of as many parts of images as the result is to have elements.

    Args:
        input: shape (N, C, H, W) or (C, H, W).
        output_size: (H', W'), or one int for both; None keeps a size.

    Raises:
        RuntimeError: if the shape does not fit.

    >>> from retrograd import arange
    >>> adaptive_avg_pool2d(arange(4.).reshape(1, 1, 4), (1, 2))
    tensor([[[0.5000, 2.5000]]])
    """
    return adaptive_avg_pool(2, input, output_size)


def adaptive_avg_pool3d(input: Tensor, output_size: Any) -> Tensor:
    """The means of as many parts of volumes: (N, C, D, H, W) or (C, D, H, W). See `adaptive_avg_pool2d`."""
    return adaptive_avg_pool(3, input, output_size)


@opaque(outputs=("values", "indices"), derivative_name=lambda params: f"AdaptiveMaxPool{len(params['counts'])}DBackward0")
def adaptive_max_pool_op(input, *, counts):
    """The greatest element of each part of (N, C, ...), and its place in the flattened last dims"""
    rank, sizes = len(counts), input.shape[2:]
    # every part as a window of equal length, its last place repeated
    tables = []
    for n, count in zip(sizes, counts, strict=True):
        start, end = parts(n, count)
        length = int((end - start).max()) if count else 0
        tables.append(np.minimum(start[:, None] + np.arange(length), end[:, None] - 1))
    index = [t.reshape([*[1] * d, t.shape[0], *[1] * (rank - 1), t.shape[1], *[1] * (rank - 1 - d)]) for d, t in enumerate(tables)]
    windows = input[(slice(None), slice(None), *index)]
    windows = windows.reshape(*windows.shape[: 2 + rank], math.prod(windows.shape[2 + rank :]))
    flat = np.zeros((1,) * (2 * rank), np.int64)
    for n, i in zip(sizes, index, strict=True):
        flat = flat * n + i
    flat = np.broadcast_to(flat, (*counts, *[t.shape[1] for t in tables])).reshape(*counts, windows.shape[-1])
    best = np.argmax(wide(windows), -1)[..., None]
    where = np.take_along_axis(np.broadcast_to(flat, windows.shape), best, -1)[..., 0]
    return np.take_along_axis(windows, best, -1)[..., 0], where


@adaptive_max_pool_op.vjp("input")
def _(g_values, indices, input_shape):
    return from_places(g_values, indices, tuple(input_shape[2:]))


def adaptive_max_pool(rank: int, input: Tensor, output_size: Any, return_indices: bool) -> Any:
    """The greatest of a given number of parts over `rank` dims."""
    function = f"adaptive_max_pool{rank}d"
    if input.ndim < rank + 1:
        raise ValueError(f"Input dimension should be at least {rank + 1}, but got {input.ndim}")
    x = examples(function, input, rank)
    refuse_other_than_real(function, input)
    values, indices = adaptive_max_pool_op(x, counts=adaptive_sizes(function, x, output_size, rank))
    values, indices = like_input(values, input), like_input(indices, input)
    return (values, indices) if return_indices else values


def adaptive_max_pool1d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The greatest element of each of `output_size` parts of lines: (N, C, L) or (C, L)."""
    return adaptive_max_pool(1, input, output_size, return_indices)


def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The greatest element of each of as many parts of images as the result is to have elements. See `adaptive_avg_pool2d`."""
    return adaptive_max_pool(2, input, output_size, return_indices)


def adaptive_max_pool3d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The greatest element of each of as many parts of volumes: (N, C, D, H, W) or (C, D, H, W)."""
    return adaptive_max_pool(3, input, output_size, return_indices)
