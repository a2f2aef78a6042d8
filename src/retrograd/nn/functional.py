"""The functions behind the layers, under PyTorch's names."""

from __future__ import annotations

import functools
import inspect
import math
import warnings
from typing import Any

from retrograd import dtypes
from retrograd.core.tensor import Tensor
from retrograd.ops import activation, sample
from retrograd.ops.arithmetic import div
from retrograd.ops.attention import multi_head_attention_forward, scaled_dot_product_attention
from retrograd.ops.contract import linear
from retrograd.ops.conv import conv1d, conv2d, conv3d, conv_transpose1d, conv_transpose2d, conv_transpose3d
from retrograd.ops.create import empty, ones, zeros_like
from retrograd.ops.einsum import bilinear
from retrograd.ops.embed import embedding, embedding_bag, one_hot
from retrograd.ops.index import repeat_interleave
from retrograd.ops.inplace import inplace, store
from retrograd.ops.loss import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cosine_embedding_loss,
    cosine_similarity,
    cross_entropy,
    gaussian_nll_loss,
    hinge_embedding_loss,
    huber_loss,
    kl_div,
    l1_loss,
    margin_ranking_loss,
    mse_loss,
    multi_margin_loss,
    multilabel_margin_loss,
    multilabel_soft_margin_loss,
    nll_loss,
    pairwise_distance,
    poisson_nll_loss,
    smooth_l1_loss,
    soft_margin_loss,
    triplet_margin_loss,
    triplet_margin_with_distance_loss,
)
from retrograd.ops.normalize import batch_norm, group_norm, instance_norm, layer_norm, local_response_norm, rms_norm
from retrograd.ops.pad import pad, pixel_shuffle, pixel_unshuffle
from retrograd.ops.pointwise import tanh
from retrograd.ops.pool import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    lp_pool1d,
    lp_pool2d,
    lp_pool3d,
    max_pool1d,
    max_pool2d,
    max_pool3d,
    max_unpool1d,
    max_unpool2d,
    max_unpool3d,
)
from retrograd.ops.resize import affine_grid, grid_sample, interpolate, upsample
from retrograd.ops.shape import chunk
from retrograd.ops.softmax import log_softmax as log_softmax_of
from retrograd.ops.softmax import softmax as softmax_of
from retrograd.ops.windows import fold, unfold


def with_inplace(function: Any) -> Any:
    """The function with a last argument `inplace`: the result is then written over the input."""
    parameters = list(inspect.signature(function).parameters.values())
    parameters = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    n, variant = len(parameters) - 1, inplace(function, function.__name__)

    @functools.wraps(function)
    def call(input: Tensor, *args: Any, inplace: bool = False, **kwargs: Any) -> Tensor:
        if len(args) > n:
            args, inplace = args[:n], args[n]
        return (variant if inplace else function)(input, *args, **kwargs)

    extra = inspect.Parameter("inplace", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=False, annotation=bool)
    call.__signature__ = inspect.Signature([*parameters, extra])  # type: ignore[attr-defined]
    return call


relu, relu6, leaky_relu, elu, selu, celu = (
    with_inplace(f) for f in (activation.relu, activation.relu6, activation.leaky_relu, activation.elu, activation.selu, activation.celu)
)
silu, mish, hardtanh, hardswish, hardsigmoid, threshold = (
    with_inplace(f)
    for f in (
        activation.silu,
        activation.mish,
        activation.hardtanh,
        activation.hardswish,
        activation.hardsigmoid,
        activation.threshold,
    )
)
gelu, softplus, softsign, logsigmoid, tanhshrink = (
    activation.gelu,
    activation.softplus,
    activation.softsign,
    activation.logsigmoid,
    activation.tanhshrink,
)
hardshrink, softshrink, prelu, sigmoid = activation.hardshrink, activation.softshrink, activation.prelu, activation.sigmoid


def rrelu(input: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, inplace: bool = False) -> Tensor:
    """A leaky ReLU whose slope is drawn from [lower, upper] for each element while training, and is the middle after."""
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    result = input * sample.rrelu_slopes(input, lower, upper)
    return store(input, result) if inplace else result


def relu_(input: Tensor) -> Tensor:
    """In-place `relu`."""
    return relu(input, inplace=True)


def with_training(function: Any, like: str, default: bool) -> Any:
    """A kind of dropout as a function of (input, p, training, inplace), with PyTorch's default for `training`."""

    def call(input: Tensor, p: float = 0.5, training: bool = default, inplace: bool = False) -> Tensor:
        result = function(input, p, training)
        return store(input, result) if inplace and result is not input else result

    call.__name__ = call.__qualname__ = like
    call.__doc__ = function.__doc__
    return call


dropout = with_training(sample.dropout, "dropout", True)
alpha_dropout = with_training(sample.alpha_dropout, "alpha_dropout", False)
feature_alpha_dropout = with_training(sample.feature_alpha_dropout, "feature_alpha_dropout", False)


def channel_dropout(rank: int) -> Any:
    """Dropout of whole channels of inputs with `rank` dims after that of channels."""

    def call(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        if input.ndim not in (rank + 1, rank + 2):
            warnings.warn(
                f"dropout{rank}d: Received a {input.ndim}-D input, but {rank + 1}-D or {rank + 2}-D inputs are expected", stacklevel=2
            )
        single = input.ndim == rank + 1 and rank != 2
        x = input.unsqueeze(0) if single else input
        result = sample.feature_dropout(x, p, training)
        if not training:
            return input
        result = result.squeeze(0) if single else result
        return store(input, result) if inplace else result

    call.__name__ = call.__qualname__ = f"dropout{rank}d"
    call.__doc__ = f"""Sets whole channels to 0 with probability `p` while training, and divides the others by 1 - p (Tompson et al. 2015).

    The input has {rank + 1} or {rank + 2} dims, that of channels before the last {rank}.
    """
    return call


dropout1d, dropout2d, dropout3d = (channel_dropout(rank) for rank in (1, 2, 3))


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """a sigmoid(b) for the halves a, b of the input along `dim`.

    Raises:
        RuntimeError: if there is no dim, or its size is odd.
    """
    if input.dtype.category != dtypes.FLOATING:
        raise NotImplementedError(f"\"glu_cpu\" not implemented for '{dtypes.scalar_name(input.dtype)}'")
    if input.ndim == 0:
        raise RuntimeError("glu does not support 0-dimensional tensors")
    if input.shape[dim] % 2:
        raise RuntimeError(f"Halving dimension must be even, but dimension {dim} is size {input.shape[dim]}")
    a, b = chunk(input, 2, dim)
    return a * sigmoid(b)


def implied_dim(name: str, ndim: int, depth: int) -> int:
    """The dim of a softmax where none is given: as PyTorch has it, and warns of it."""
    warnings.warn(
        f"Implicit dimension choice for {name} has been deprecated. Change the call to include dim=X as an argument.", stacklevel=depth
    )
    return 0 if ndim in (0, 1, 3) else 1


def softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """exp x over its sum along `dim`.

    >>> import retrograd as torch
    >>> softmax(torch.tensor([0., 0.]), 0)
    tensor([0.5000, 0.5000])
    """
    return softmax_of(input, implied_dim("softmax", input.ndim, _stacklevel) if dim is None else dim, dtype)


def softmin(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """The softmax of -x along `dim`."""
    return softmax_of(-input, implied_dim("softmin", input.ndim, _stacklevel) if dim is None else dim, dtype)


def log_softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """log softmax(x) along `dim`, without overflow."""
    return log_softmax_of(input, implied_dim("log_softmax", input.ndim, _stacklevel) if dim is None else dim, dtype)


def gumbel_softmax(logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Tensor:
    """A softmax of logits with Gumbel noise: a differentiable draw from classes (Jang et al. 2017).

    `hard` returns one-hot vectors whose gradient is that of the soft ones.
    """
    noise = -empty(tuple(logits.shape), dtype=logits.dtype).exponential_().log()
    soft = softmax_of((logits + noise) / tau, dim)
    if not hard:
        return soft
    index = soft.max(dim, keepdim=True)[1]
    one = zeros_like(logits).scatter_(dim, index, 1.0)
    return one - soft.detach() + soft


def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out: Tensor | None = None) -> Tensor:
    """The input divided by its p-norm along `dim` (by `eps`, where that is smaller)."""
    denominator = input.norm(p, dim, keepdim=True).clamp_min(eps).expand_as(input)
    return div(input, denominator, out=out)
