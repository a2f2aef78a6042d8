"""Convolution in one, two or three dims (as the field has it: cross-correlation), and its transpose.

Three operations, each linear in each operand and each other's transposes: the convolution, its transpose (the cotangent of the
input) and the correlation of input and cotangent (the cotangent of the weight). All lay the windows out as the columns of a
matrix, some images at a time, and leave the rest to one matrix product (Chellapilla, Puri & Simard 2006).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy import ndarray

from retrograd import dtypes
from retrograd.core.families import multilinear, opaque
from retrograd.core.tensor import Tensor
from retrograd.ops.basis import add_op, all_batched, conj_of, permute_op, reshape_op, slice_op
from retrograd.ops.contract import CPP_NAMES
from retrograd.ops.pad import constant_pad
from retrograd.ops.reduce import narrow, wide
from retrograd.ops.windows import Ints, add_windows, batches, cropped, padded, per_dim, window_counts, window_view

# ---------------------------------------------------------------- the three operations


def columns(x: ndarray, kernel: Ints, counts: Ints, stride: Ints, dilation: Ints, groups: int) -> ndarray:
    """The windows of padded images (n, C, ...), for each group a matrix: (groups, C/groups · kernel, n · windows)."""
    view = np.moveaxis(window_view(x, kernel, counts, stride, dilation), 0, 1 + len(kernel))
    return view.reshape(groups, x.shape[1] // groups * math.prod(kernel), len(x) * math.prod(counts))


def rows(y: ndarray, groups: int) -> ndarray:
    """Results (n, O, ...) as for each group a matrix: (groups, O/groups, n · windows)."""
    return y.swapaxes(0, 1).reshape(groups, y.shape[1] // groups, len(y) * math.prod(y.shape[2:]))


def per_channel(bias: ndarray, rank: int) -> ndarray:
    """A bias as it is added to (N, O, ...)."""
    return bias.reshape(-1, *[1] * rank)


@opaque(name="convolution")
def conv_op(input, weight, bias=None, *, stride, padding, dilation, groups):
    """The products of all windows of `input` (N, C, ...) with `weight` (O, C/groups, *kernel), plus `bias` (O)."""
    kernel, n, out = weight.shape[2:], len(input), len(weight)
    x, w = wide(padded(input, padding)), wide(weight)
    counts = window_counts(input.shape[2:], kernel, stride, padding, dilation)
    w = w.reshape(groups, out // groups, math.prod(weight.shape[1:]))
    y = np.empty((n, out, *counts), x.dtype)
    for part in batches(n, x.shape[1] * math.prod(kernel) * math.prod(counts)):
        z = np.matmul(w, columns(x[part], kernel, counts, stride, dilation, groups))
        y[part] = z.reshape(out, -1, *counts).swapaxes(0, 1)
    if bias is not None:
        y += per_channel(bias, len(kernel))
    return narrow(y, input)


@conv_op.lowering
def _(k, input, weight, bias=None, *, stride, padding, dilation, groups):
    counts = window_counts(input.shape[2:], weight.shape[2:], stride, padding, dilation)
    shape = (input.shape[0], weight.shape[0], *counts)
    y = k.convolve("forward", input, weight, shape, stride=stride, padding=padding, dilation=dilation, groups=groups)
    return y if bias is None else k.add(y, k.reshape(bias, (bias.shape[0], *(1,) * len(counts))))


@conv_op.vjp("input")
def _(g, weight, input_shape, stride, padding, dilation, groups):
    size = tuple(input_shape[2:])
    return conv_transpose_op(g, conj_of(weight), size=size, stride=stride, padding=padding, dilation=dilation, groups=groups)


@conv_op.vjp("weight")
def _(g, input, weight_shape, stride, padding, dilation, groups):
    kernel = tuple(weight_shape[2:])
    return conv_weight_op(conj_of(input), g, kernel=kernel, stride=stride, padding=padding, dilation=dilation, groups=groups)


@conv_op.vjp("bias")
def _(g):
    return g.sum((0, *range(2, len(g.shape))))


@conv_op.jvp("input")
def _(t, weight, stride, padding, dilation, groups):
    return conv_op(t, weight, stride=stride, padding=padding, dilation=dilation, groups=groups)


@conv_op.jvp("weight")
def _(t, input, stride, padding, dilation, groups):
    return conv_op(input, t, stride=stride, padding=padding, dilation=dilation, groups=groups)


@conv_op.batch
def _(args, mapped, **params):
    return batched(conv_op, args, mapped, params)


@opaque(name="convolution_transpose", derivative_name="ConvolutionBackward0")
def conv_transpose_op(input, weight, bias=None, *, size, stride, padding, dilation, groups):
    """The transpose: every number of `input` (N, O, ...) adds its multiple of `weight` (O, C/groups, *kernel) to (N, C, *size)."""
    kernel, counts, n = weight.shape[2:], input.shape[2:], len(input)
    y, w = wide(input), wide(weight)
    w = w.reshape(groups, len(weight) // groups, math.prod(weight.shape[1:])).swapaxes(1, 2)
    channels = weight.shape[1] * groups
    x = np.zeros((channels, n, *(s + 2 * p for s, p in zip(size, padding, strict=True))), y.dtype)
    for part in batches(n, channels * math.prod(kernel) * math.prod(counts)):
        cols = np.matmul(w, rows(y[part], groups)).reshape(channels, *kernel, -1, *counts)
        add_windows(cols, x[:, part], kernel, counts, stride, dilation)
    x = np.ascontiguousarray(cropped(x, padding).swapaxes(0, 1))
    if bias is not None:
        x += per_channel(bias, len(kernel))
    return narrow(x, input)


@conv_transpose_op.lowering
def _(k, input, weight, bias=None, *, size, stride, padding, dilation, groups):
    shape = (input.shape[0], weight.shape[1] * groups, *size)
    x = k.convolve("input", input, weight, shape, stride=stride, padding=padding, dilation=dilation, groups=groups)
    return x if bias is None else k.add(x, k.reshape(bias, (bias.shape[0], *(1,) * len(size))))


@conv_transpose_op.vjp("input")
def _(g, weight, input_shape, stride, padding, dilation, groups):
    return cut(conv_op(g, conj_of(weight), stride=stride, padding=padding, dilation=dilation, groups=groups), input_shape)


@conv_transpose_op.vjp("weight")
def _(g, input, weight_shape, stride, padding, dilation, groups):
    kernel = tuple(weight_shape[2:])
    return conv_weight_op(g, conj_of(input), kernel=kernel, stride=stride, padding=padding, dilation=dilation, groups=groups)


@conv_transpose_op.vjp("bias")
def _(g):
    return g.sum((0, *range(2, len(g.shape))))


@conv_transpose_op.jvp("input")
def _(t, weight, size, stride, padding, dilation, groups):
    return conv_transpose_op(t, weight, size=size, stride=stride, padding=padding, dilation=dilation, groups=groups)


@conv_transpose_op.jvp("weight")
def _(t, input, size, stride, padding, dilation, groups):
    return conv_transpose_op(input, t, size=size, stride=stride, padding=padding, dilation=dilation, groups=groups)


@conv_transpose_op.batch
def _(args, mapped, **params):
    return batched(conv_transpose_op, args, mapped, params)


@multilinear(name="convolution_weight", derivative_name="ConvolutionBackward0")
def conv_weight_op(input, other, *, kernel, stride, padding, dilation, groups):
    """For every place of the kernel, the products of what `input` (N, C, ...) has there with `other` (N, O, ...), added up."""
    x, y = wide(padded(input, padding)), wide(other)
    counts = other.shape[2:]
    channels, out = input.shape[1] // groups, other.shape[1]
    total = np.zeros((groups, out // groups, channels * math.prod(kernel)), x.dtype)
    for part in batches(len(input), input.shape[1] * math.prod(kernel) * math.prod(counts)):
        total += np.matmul(rows(y[part], groups), columns(x[part], kernel, counts, stride, dilation, groups).swapaxes(1, 2))
    return narrow(total.reshape(out, channels, *kernel), input)


@conv_weight_op.lowering
def _(k, input, other, *, kernel, stride, padding, dilation, groups):
    shape = (other.shape[1], input.shape[1] // groups, *kernel)
    return k.convolve("weight", other, input, shape, stride=stride, padding=padding, dilation=dilation, groups=groups)


@conv_weight_op.transpose("input")
def _(g, other, input_shape, stride, padding, dilation, groups):
    size = tuple(input_shape[2:])
    return conv_transpose_op(conj_of(other), g, size=size, stride=stride, padding=padding, dilation=dilation, groups=groups)


@conv_weight_op.transpose("other")
def _(g, input, other_shape, stride, padding, dilation, groups):
    return cut(conv_op(conj_of(input), g, stride=stride, padding=padding, dilation=dilation, groups=groups), other_shape)


@conv_weight_op.batch
def _(args, mapped, *, groups, **params):
    x, y = all_batched(args, mapped)
    b = x.shape[0]
    w = conv_weight_op(into_channels(x), into_channels(y), groups=b * groups, **params)
    return reshape_op(w, shape=(b, w.shape[0] // b, *w.shape[1:]))


def cut(y: Any, shape: tuple[int, ...]) -> Any:
    """The first windows of a convolution, as many as there were: output padding may leave room for more."""
    for d, n in enumerate(shape):
        y = y if y.shape[d] == n else slice_op(y, dim=d, start=0, end=n, step=1)
    return y


def into_channels(x: Any) -> Any:
    """(B, N, C, ...) as (N, B·C, ...)."""
    x = permute_op(x, dims=(1, 0, *range(2, len(x.shape))))
    return reshape_op(x, shape=(x.shape[0], x.shape[1] * x.shape[2], *x.shape[3:]))


def batched(op: Any, args: Any, mapped: Any, params: dict[str, Any]) -> Any:
    """A convolution on batches of operands: with one weight, more images; with several, more groups."""
    if len(args) == 2:
        args, mapped = (*args, None), (*mapped, False)
    if not (mapped[1] or mapped[2]):
        x = args[0]
        y = op(reshape_op(x, shape=(x.shape[0] * x.shape[1], *x.shape[2:])), *args[1:], **params)
        return reshape_op(y, shape=(x.shape[0], x.shape[1], *y.shape[1:]))
    x, weight, bias = all_batched(args, mapped)
    b = x.shape[0]
    weight = reshape_op(weight, shape=(b * weight.shape[1], *weight.shape[2:]))
    y = op(into_channels(x), weight, **{**params, "groups": b * params["groups"]})
    y = reshape_op(y, shape=(y.shape[0], b, y.shape[1] // b, *y.shape[2:]))
    y = permute_op(y, dims=(1, 0, *range(2, len(y.shape))))
    return y if bias is None else add_op(y, reshape_op(bias, shape=(b, 1, bias.shape[1], *[1] * (len(y.shape) - 3))))


# ---------------------------------------------------------------- what users call


def check(function: str, rank: int, input: Any, weight: Any, bias: Any, groups: int, transposed: bool) -> None:
    """Raises PyTorch's errors for operands that do not fit together."""
    for name, x in (("input", input), ("weight", weight), ("bias", bias)):
        if not isinstance(x, Tensor) and not (name == "bias" and x is None):
            raise TypeError(f"{function}(): argument '{name}' must be Tensor, not {type(x).__name__}")
    if weight.ndim != rank + 2:
        raise RuntimeError(f"Expected weight of {rank + 2} dims for {function}, but got weight of size {list(weight.shape)}")
    if input.ndim not in (rank + 1, rank + 2):
        raise RuntimeError(
            f"Expected {rank + 1}D (unbatched) or {rank + 2}D (batched) input to {function}, but got input of size: {list(input.shape)}"
        )
    if input.dtype is dtypes.bool:
        raise NotImplementedError(f"\"{function}\" not implemented for 'Bool'")
    if groups <= 0:
        raise RuntimeError("non-positive groups is not supported")
    for name, x in (("weight", weight), ("bias", bias)):
        if x is not None and x.dtype is not input.dtype:
            names = [CPP_NAMES.get(t.dtype.name, t.dtype.name) for t in (input, x)]
            raise RuntimeError(f"Input type ({names[0]}) and {name} type ({names[1]}) should be the same")
    channels = input.shape[-rank - 1]
    kind = f"transposed={int(transposed)}, " if transposed else ""
    shown = f"Given {kind}groups={groups}, weight of size {list(weight.shape)}"
    if weight.shape[0] < groups:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be at least {groups} at dimension 0, but got weight of size {list(weight.shape)} instead"
        )
    if weight.shape[0] % groups:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be divisible by {groups} at dimension 0, but got weight of size {list(weight.shape)} instead"
        )
    wanted = weight.shape[0] if transposed else weight.shape[1] * groups
    if channels != wanted:
        raise RuntimeError(f"{shown}, expected input{list(input.shape)} to have {wanted} channels, but got {channels} channels instead")
    out = weight.shape[1] * groups if transposed else weight.shape[0]
    if bias is not None and (bias.ndim != 1 or bias.shape[0] != out):
        raise RuntimeError(
            f"{shown}, expected bias to be 1-dimensional with {out} elements, but got bias of size {list(bias.shape)} instead"
        )


def check_geometry(stride: Ints, padding: Ints, dilation: Ints) -> None:
    """Raises for strides, paddings and dilations that no convolution has."""
    if min(padding) < 0:
        raise RuntimeError("negative padding is not supported")
    if min(stride) <= 0:
        raise RuntimeError("non-positive stride is not supported")
    if min(dilation) <= 0:
        raise RuntimeError("dilation should be greater than zero")


def check_fit(sizes: Ints, kernel: Ints, padding: Ints, dilation: Ints) -> None:
    """Raises if the kernel is larger than the padded input."""
    padded_sizes = [n + 2 * p for n, p in zip(sizes, padding, strict=True)]
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    if any(span > n for span, n in zip(spans, padded_sizes, strict=True)):
        raise RuntimeError(
            f"Calculated padded input size per channel: ({' x '.join(map(str, padded_sizes))}). Kernel size: ({' x '.join(map(str, spans))}). "
            "Kernel size can't be greater than actual input size"
        )


def convolve(rank: int, input: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> Tensor:
    """A convolution in `rank` dims."""
    function = f"conv{rank}d"
    check(function, rank, input, weight, bias, groups, False)
    strides, dilations = per_dim(function, "stride", stride, rank), per_dim(function, "dilation", dilation, rank)
    kernel = tuple(weight.shape[2:])
    if isinstance(padding, str):
        input, padding = padded_by_name(function, padding, input, kernel, strides, dilations)
    pads = per_dim(function, "padding", padding, rank)
    check_geometry(strides, pads, dilations)
    check_fit(tuple(input.shape[-rank:]), kernel, pads, dilations)
    single = input.ndim == rank + 1
    x = reshape_op(input, shape=(1, *input.shape)) if single else input
    y = conv_op(x, weight, *(() if bias is None else (bias,)), stride=strides, padding=pads, dilation=dilations, groups=groups)
    return reshape_op(y, shape=tuple(y.shape[1:]), called="SqueezeBackward1") if single else y


def padded_by_name(function: str, padding: str, input: Tensor, kernel: Ints, stride: Ints, dilation: Ints) -> tuple[Tensor, Ints]:
    """What `padding="same"` and `"valid"` mean: the input (padded, where more is needed on one side) and the padding left."""
    if padding == "valid":
        return input, (0,) * len(kernel)
    if padding != "same":
        raise RuntimeError(f"{function}(): padding must be 'same', 'valid' or ints, but got {padding!r}")
    if any(s != 1 for s in stride):
        raise RuntimeError("padding='same' is not supported for strided convolutions")
    totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    if any(t % 2 for t in totals):
        input = constant_pad(input, [side for t in reversed(totals) for side in (0, t % 2)], 0.0)
    return input, tuple([t // 2 for t in totals])


def conv1d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Tensor:
    """A convolution of lines: (N, C, L) or (C, L) with `weight` (O, C/groups, k). See `conv2d`.

    >>> from retrograd import tensor
    >>> conv1d(tensor([[1., 2., 3.]]), tensor([[[1., 1.]]]))
    tensor([[3., 5.]])
    """
    return convolve(1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Tensor:
    """A convolution of images: every window times the kernel, summed.

    Args:
        input: shape (N, C, H, W) or (C, H, W).
        weight: shape (O, C/groups, kh, kw).
        bias: shape (O).
        stride: the step from one window to the next, in each dim or in both.
        padding: how many zeros to add on each side; "valid" for none, "same" for as many as keep the size.
        dilation: the step from one element of a window to the next.
        groups: into how many parts input and output channels are split, each output seeing only its own inputs.

    Returns:
        shape (N, O, H', W') or (O, H', W'), with H' = ⌊(H + 2 padding - dilation (kh - 1) - 1)/stride⌋ + 1.

    Raises:
        RuntimeError: if shapes or dtypes do not fit, or the kernel is larger than the padded input.

    >>> from retrograd import ones
    >>> conv2d(ones(1, 3, 3), ones(1, 1, 2, 2))
    tensor([[[4., 4.],
             [4., 4.]]])
    """
    return convolve(2, input, weight, bias, stride, padding, dilation, groups)


def conv3d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Tensor:
    """A convolution of volumes: (N, C, D, H, W) or (C, D, H, W) with `weight` (O, C/groups, kd, kh, kw). See `conv2d`."""
    return convolve(3, input, weight, bias, stride, padding, dilation, groups)


def convolve_transposed(
    rank: int, input: Any, weight: Any, bias: Any, stride: Any, padding: Any, output_padding: Any, groups: int, dilation: Any
) -> Tensor:
    """A transposed convolution in `rank` dims."""
    function = f"conv_transpose{rank}d"
    check(function, rank, input, weight, bias, groups, True)
    strides, pads, extra, dilations = (
        per_dim(function, n, v, rank)
        for n, v in (("stride", stride), ("padding", padding), ("output_padding", output_padding), ("dilation", dilation))
    )
    check_geometry(strides, pads, dilations)
    if min(extra) < 0:
        raise RuntimeError("negative output_padding is not supported")
    if any(e >= s and e >= d for e, s, d in zip(extra, strides, dilations, strict=True)):
        raise RuntimeError(
            f"output padding must be smaller than either stride or dilation, but got output_padding={list(extra)}, stride={list(strides)}, dilation={list(dilations)}"
        )
    sizes = input.shape[-rank:]
    kernel = weight.shape[2:]
    size = tuple(
        [(n - 1) * s - 2 * p + d * (k - 1) + e + 1 for n, s, p, d, k, e in zip(sizes, strides, pads, dilations, kernel, extra, strict=True)]
    )
    if min(size) < 1:
        raise RuntimeError(
            f"Given input size per channel: ({' x '.join(map(str, sizes))}). Calculated output size per channel: ({' x '.join(map(str, size))}). Output size is too small"
        )
    single = input.ndim == rank + 1
    x = reshape_op(input, shape=(1, *input.shape)) if single else input
    rest = () if bias is None else (bias,)
    y = conv_transpose_op(x, weight, *rest, size=size, stride=strides, padding=pads, dilation=dilations, groups=groups)
    return reshape_op(y, shape=tuple(y.shape[1:]), called="SqueezeBackward1") if single else y


def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """The transpose of `conv1d`: (N, C, L) with `weight` (C, O/groups, k). See `conv_transpose2d`."""
    return convolve_transposed(1, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """The transpose of `conv2d`: the linear map by which its input's gradient is computed (Dumoulin & Visin 2016).

    Args:
        input: shape (N, C, H, W) or (C, H, W).
        weight: shape (C, O/groups, kh, kw).
        output_padding: added to the size of the result, since a stride leads several sizes to one.

    Returns:
        shape (N, O, H', W') with H' = (H - 1) stride - 2 padding + dilation (kh - 1) + output_padding + 1.

    Raises:
        RuntimeError: if shapes or dtypes do not fit.

    >>> from retrograd import ones
    >>> conv_transpose2d(ones(1, 1, 2), ones(1, 1, 1, 2))
    tensor([[[1., 2., 1.]]])
    """
    return convolve_transposed(2, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """The transpose of `conv3d`: (N, C, D, H, W) with `weight` (C, O/groups, kd, kh, kw). See `conv_transpose2d`."""
    return convolve_transposed(3, input, weight, bias, stride, padding, output_padding, groups, dilation)
