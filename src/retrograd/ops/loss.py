"""Losses: how far an input is from its target, for each element and reduced to one number.

A loss of elements is an elementwise operation; `reduced` makes from it the one that adds up or averages, as one operation.
Losses of classes (`nll_loss`, `cross_entropy`) and of vectors (`cosine_embedding_loss`, ...) follow.
"""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.core.families import elementwise, opaque
from retrograd.core.levels import complete_observer
from retrograd.core.op import needs
from retrograd.core.tensor import Box, Tensor, constant, wrap
from retrograd.ops.activation import logsigmoid, sigmoid
from retrograd.ops.arithmetic import clamp, xlogy
from retrograd.ops.basis import cast, expand, expand_op, gather_op, reshape, reshape_op, scatter_sum_op, sum_op, where_op
from retrograd.ops.logic import check_within
from retrograd.ops.pointwise import exp, log, log1p, sign
from retrograd.ops.softmax import log_softmax
from retrograd.shapes import broadcast_shapes

# ---------------------------------------------------------------- how elements become one number


def check_reduction(reduction: str, also: Sequence[str] = ()) -> str:
    """The reduction, if there is one of that name. Raises ValueError otherwise."""
    if reduction not in ("none", "mean", "sum", *also):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    return reduction


def legacy_reduction(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """The reduction that two arguments of old PyTorch mean, if they are given."""
    if size_average is None and reduce is None:
        return reduction
    meant = "none" if reduce is False else "sum" if size_average is False else "mean"
    warnings.warn(f"size_average and reduce args will be deprecated, please use reduction='{meant}' instead.", UserWarning, stacklevel=3)
    return meant


def combine(loss: Tensor, reduction: str) -> Tensor:
    """The losses of elements as they are, added up or averaged."""
    check_reduction(reduction)
    return loss if reduction == "none" else loss.sum() if reduction == "sum" else loss.mean()


def reduced(each: Any) -> Any:
    """The operation that adds up or averages what an elementwise operation gives for every element.

    Its rules follow from the elementwise ones: the Jacobian of those is diagonal, so a cotangent, divided by the number of
    elements where they are averaged, goes through them as a tangent does.
    """
    op = each.op

    def forward(input, target, *, mean, **params):
        y = op.forward(input, target, **params)
        total = np.add.reduce(y, None, np.float32).astype(y.dtype) if y.dtype.itemsize == 2 else np.add.reduce(y, None)
        return total / y.dtype.type(y.size) if mean else total

    forward.__name__ = forward.__qualname__ = f"{op.name}_reduced_op"
    forward.__doc__ = f"`{op.name}`, added up or averaged"
    forward.__signature__ = with_keyword(op.forward, "mean")  # type: ignore[attr-defined]
    made = opaque(forward, title=op.name, derivative_name=op._derivative_name)
    for operand in op.operands:
        along = op.rules["jvp", operand]
        wanted = needs(along)
        at = wanted.index("t")
        rest = [n for n in wanted if n != "t"]

        def vjp(g: Any, mean: Any, shape: Any, *known: Any, along: Any = along, at: int = at) -> Any:
            if mean:
                g = g / max(math.prod(shape), 1)
            result = along(*known[:at], g, *known[at:])
            return result if result.shape == shape else expand_op(result, shape=shape)

        def jvp(t: Any, mean: Any, shape: Any, *known: Any, along: Any = along, at: int = at) -> Any:
            result = along(*known[:at], t, *known[at:])
            total = sum_op(result, dims=tuple(range(len(shape))), keepdim=False)
            return total / max(math.prod(shape), 1) if mean else total

        vjp.needs = ("g", "mean", f"{operand}_shape", *rest)  # type: ignore[attr-defined]
        jvp.needs = ("t", "mean", f"{operand}_shape", *rest)  # type: ignore[attr-defined]
        made.vjp(operand)(vjp)
        made.jvp(operand)(jvp)

    @made.batch
    def _(args, mapped, *, mean, **params):
        y = op.vectorised(args, mapped, params)
        total = sum_op(y, dims=tuple(range(1, len(y.shape))), keepdim=False)
        return total / max(math.prod(y.shape[1:]), 1) if mean else total

    @made.lowering
    def _(k, input, target, *, mean, **params):
        y = op.kernel_rule(k, input, target, **params)
        total = k.reduce("sum", y, tuple(range(len(y.shape))), keepdim=False)
        return k.div(total, k.const(math.prod(y.shape), total)) if mean else total

    return made


def with_keyword(function: Any, name: str) -> Any:
    """A function's signature with one more keyword."""
    signature = inspect.signature(function)
    extra = inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY)
    return signature.replace(parameters=[*signature.parameters.values(), extra])


def elementwise_loss(
    name: str, each: Any, total: Any, input: Tensor, target: Tensor, reduction: str, weight: Any = None, **params: Any
) -> Tensor:
    """A loss of elements, by the operation for each or the reduced one."""
    check_reduction(reduction)
    for what, x in (("input", input), ("target", target)):
        if not isinstance(x, Tensor):
            raise TypeError(f"{name}(): argument '{what}' must be Tensor, not {type(x).__name__}")
    input, target = matched(name, input, target)
    if weight is not None:
        return combine(each(input, target, **params) * weight, reduction)
    if reduction == "none":
        return each(input, target, **params)
    return total(input, target, mean=reduction == "mean", **params)


def matched(name: str, input: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Input and target in one shape and dtype; a warning where their shapes differ, for that is seldom meant."""
    if target.shape != input.shape:
        warnings.warn(
            f"Using a target size ({target.shape}) that is different to the input size ({input.shape}). This will likely lead to "
            "incorrect results due to broadcasting. Please ensure they have the same size.",
            UserWarning,
            stacklevel=4,
        )
        shape = broadcast_shapes(input.shape, target.shape)
        input, target = expand(input, shape), expand(target, shape)
    if input.dtype is not target.dtype:
        common = dtypes.promote_types(input.dtype, target.dtype)
        input, target = cast(input, common), cast(target, common)
    if input.dtype.is_complex:
        raise NotImplementedError(f"\"{name}_cpu\" not implemented for '{dtypes.scalar_name(input.dtype)}'")
    if input.dtype.category < dtypes.FLOATING:
        raise RuntimeError(f"\"{name}_cpu\" not implemented for '{dtypes.scalar_name(input.dtype)}': a loss is of floating point numbers")
    return input, target


# ---------------------------------------------------------------- of elements


@elementwise(name="mse_loss")
def squared_error(input, target):
    """(input - target)²"""
    d = input - target
    return d * d


@squared_error.derivative("input")
def _(g, input, target):
    return (input - target) * (2.0 * g)


@squared_error.derivative("target")
def _(g, input, target):
    return (target - input) * (2.0 * g)


@squared_error.kernel
def _(k, input, target):
    d = k.sub(input, target)
    return k.mul(d, d)


@elementwise(name="l1_loss", derivative_name="AbsBackward0")
def absolute_error(input, target):
    """|input - target|"""
    return np.abs(input - target)


@absolute_error.derivative("input")
def _(g, input, target):
    return g * sign(input - target)


@absolute_error.derivative("target")
def _(g, input, target):
    return g * sign(target - input)


@absolute_error.kernel
def _(k, input, target):
    return k.abs(k.sub(input, target))


@elementwise(name="smooth_l1_loss")
def smooth_error(input, target, *, beta):
    """d²/(2 beta) where |d| < beta, else |d| - beta/2"""
    d = np.abs(input - target)
    return np.where(d < beta, 0.5 * d * d / beta, d - 0.5 * beta) if beta else d


@smooth_error.derivative("input")
def _(g, input, target, beta):
    d = input - target
    return where_op((d < beta) & (d > -beta), g * d / (beta or 1.0), g * sign(d))


@smooth_error.derivative("target")
def _(g, input, target, beta):
    d = target - input
    return where_op((d < beta) & (d > -beta), g * d / (beta or 1.0), g * sign(d))


@smooth_error.kernel
def _(k, input, target, *, beta):
    d = k.abs(k.sub(input, target))
    b = k.const(beta, d)
    flat = k.sub(d, k.mul(k.const(0.5, d), b))
    return k.select(k.lt(d, b), k.div(k.mul(k.const(0.5, d), k.mul(d, d)), b), flat) if beta else d


@elementwise(name="huber_loss")
def huber_error(input, target, *, delta):
    """d²/2 where |d| <= delta, else delta (|d| - delta/2)"""
    d = np.abs(input - target)
    return np.where(d <= delta, 0.5 * d * d, delta * (d - 0.5 * delta))


@huber_error.derivative("input")
def _(g, input, target, delta):
    d = input - target
    return where_op((d <= delta) & (d >= -delta), g * d, g * sign(d) * delta)


@huber_error.derivative("target")
def _(g, input, target, delta):
    d = target - input
    return where_op((d <= delta) & (d >= -delta), g * d, g * sign(d) * delta)


@huber_error.kernel
def _(k, input, target, *, delta):
    d = k.abs(k.sub(input, target))
    c = k.const(delta, d)
    return k.select(k.le(d, c), k.mul(k.const(0.5, d), k.mul(d, d)), k.mul(c, k.sub(d, k.mul(k.const(0.5, d), c))))


@elementwise(name="binary_cross_entropy")
def bernoulli_entropy(input, target):
    """-(target log input + (1 - target) log(1 - input)), each logarithm at least -100"""
    return (target - 1) * np.maximum(np.log1p(-input), -100) - target * np.maximum(np.log(input), -100)


@bernoulli_entropy.derivative("input")
def _(g, input, target):
    return g * (input - target) / clamp_min((1.0 - input) * input, 1e-12)


@bernoulli_entropy.derivative("target")
def _(g, input):
    return g * (clamp_min(log1p(-input), -100.0) - clamp_min(log(input), -100.0))


@bernoulli_entropy.kernel
def _(k, input, target):
    floor, one = k.const(-100.0, input), k.const(1.0, input)
    return k.sub(k.mul(k.sub(target, one), k.max(k.log1p(k.neg(input)), floor)), k.mul(target, k.max(k.log(input), floor)))


def clamp_min(x: Any, least: float) -> Any:
    """At least `least`."""
    return where_op(x < least, least, x)


@elementwise(name="binary_cross_entropy_with_logits")
def logit_entropy(input, target):
    """The same of sigmoid(input), in a form that does not overflow: max(x, 0) - x target + log(1 + exp(-|x|))"""
    return np.maximum(input, 0) - input * target + np.log1p(np.exp(-np.abs(input)))


@logit_entropy.derivative("input")
def _(g, input, target):
    return g * (sigmoid(input) - target)


@logit_entropy.derivative("target")
def _(g, input):
    return -g * input


@logit_entropy.kernel
def _(k, input, target):
    zero = k.const(0.0, input)
    return k.add(k.sub(k.max(input, zero), k.mul(input, target)), k.log1p(k.exp(k.neg(k.abs(input)))))


@elementwise(name="soft_margin_loss")
def margin_error(input, target):
    """log(1 + exp(-target input))"""
    return np.logaddexp(0, -target * input).astype(input.dtype, copy=False)


@margin_error.derivative("input")
def _(g, input, target):
    return -g * target * sigmoid(-(target * input))


@margin_error.derivative("target")
def _(g, input, target):
    return -g * input * sigmoid(-(target * input))


@margin_error.kernel
def _(k, input, target):
    z = k.neg(k.mul(target, input))
    return k.add(k.max(z, k.const(0.0, z)), k.log1p(k.exp(k.neg(k.abs(z)))))


mean_squared, mean_absolute, mean_smooth, mean_huber = (reduced(f) for f in (squared_error, absolute_error, smooth_error, huber_error))
mean_bernoulli, mean_logit, mean_margin = (reduced(f) for f in (bernoulli_entropy, logit_entropy, margin_error))


def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """The squared error (input - target)²: its mean, its sum ("sum"), or that of each element ("none").

    Warns where the shapes differ and are broadcast.

    Raises:
        ValueError: for another reduction.
        RuntimeError: if the shapes do not broadcast, or the dtype is an integer one.

    >>> from retrograd import tensor
    >>> mse_loss(tensor([1., 2.]), tensor([0., 4.]))
    tensor(2.5000)
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    return elementwise_loss("mse_loss", squared_error, mean_squared, input, target, reduction, weight)


def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """The absolute error |input - target|: its mean, its sum, or that of each element.

    >>> from retrograd import tensor
    >>> l1_loss(tensor([1., 2.]), tensor([0., 4.]))
    tensor(1.5000)
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    if input.dtype.is_complex or target.dtype.is_complex:
        return combine((input - target).abs(), reduction)
    return elementwise_loss("l1_loss", absolute_error, mean_absolute, input, target, reduction, weight)


def smooth_l1_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean", beta: float = 1.0
) -> Tensor:
    """Squared error over `2 beta` where the error is less than `beta`, absolute error less `beta / 2` beyond."""
    if beta < 0:
        raise RuntimeError("smooth_l1_loss does not support negative values for beta.")
    reduction = legacy_reduction(size_average, reduce, reduction)
    return elementwise_loss("smooth_l1_loss", smooth_error, mean_smooth, input, target, reduction, beta=beta)


def huber_loss(input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0, weight: Tensor | None = None) -> Tensor:
    """Half the squared error where the error is at most `delta`, `delta` times (absolute error less `delta / 2`) beyond."""
    if delta <= 0:
        raise RuntimeError("huber_loss does not support non-positive values for delta.")
    return elementwise_loss("huber_loss", huber_error, mean_huber, input, target, reduction, weight, delta=delta)


def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """-(t log p + (1 - t) log(1 - p)) for probabilities p = `input` and t = `target`.

    Raises:
        RuntimeError: if an element of `input` or `target` is not within [0, 1].
        ValueError: if the shapes differ.
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    if target.shape != input.shape:
        raise ValueError(
            f"Using a target size ({target.shape}) that is different to the input size ({input.shape}) is deprecated. Please ensure they have the same size."
        )
    for what, x in (("input", input), ("target", target)):
        check_within(x, 0.0, 1.0, f"all elements of {what} should be between 0 and 1")
    return elementwise_loss("binary_cross_entropy", bernoulli_entropy, mean_bernoulli, input, target, reduction, weight)


def binary_cross_entropy_with_logits(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean", pos_weight: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """`binary_cross_entropy` of sigmoid(input), without overflow. `pos_weight` weighs the positive part of each class.

    Raises:
        ValueError: if the shapes differ.
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    if target.shape != input.shape:
        raise ValueError(f"Target size ({target.shape}) must be the same as input size ({input.shape})")
    if pos_weight is None:
        return elementwise_loss("binary_cross_entropy_with_logits", logit_entropy, mean_logit, input, target, reduction, weight)
    loss = (1 - target) * input - (1 + (pos_weight - 1) * target) * logsigmoid(input)
    return combine(loss if weight is None else loss * weight, reduction)


def soft_margin_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"
) -> Tensor:
    """log(1 + exp(-target input)), for targets 1 and -1."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    return elementwise_loss("soft_margin_loss", margin_error, mean_margin, input, target, reduction)


def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """The Kullback-Leibler divergence target (log target - input) of log-probabilities `input`.

    "batchmean" divides the sum by the batch size, which is the divergence by its definition; "mean" averages elements.
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    check_reduction(reduction, also=("batchmean",))
    if reduction == "mean":
        warnings.warn(
            "reduction: 'mean' divides the total loss by both the batch size and the support size.'batchmean' divides only by the batch size, "
            "and aligns with the KL div math definition.'mean' will be changed to behave the same as 'batchmean' in the next major release.",
            UserWarning,
            stacklevel=2,
        )
    each = exp(target) * (target - input) if log_target else xlogy(target, target) - target * input
    if reduction == "batchmean":
        return each.sum() / input.shape[0] if input.ndim else each
    return combine(each, reduction)


def poisson_nll_loss(
    input: Tensor, target: Tensor, log_input: bool = True, full: bool = False, size_average: bool | None = None, eps: float = 1e-8,
    reduce: bool | None = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """The negative log likelihood of counts `target` under a Poisson distribution of rate exp(input) (or input).

    `full` adds Stirling's approximation of log target!.
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    check_reduction(reduction)
    loss = exp(input) - target * input if log_input else input - target * log(input + eps)
    if full:
        stirling = target * log(target) - target + 0.5 * log(2 * math.pi * target)
        loss = loss + where_op(target > 1, stirling, 0.0)
    return combine(loss, reduction)


def gaussian_nll_loss(input: Tensor, target: Tensor, var: Any, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> Tensor:
    """The negative log likelihood of `target` under normal distributions of mean `input` and variance `var` (at least eps).

    Raises:
        ValueError: if a variance is negative, or its shape does not fit.
    """
    check_reduction(reduction)
    if not isinstance(var, Tensor):
        if var < 0:
            raise ValueError("var has negative entry/entries")
        var = constant(np.full(input.shape, var, input.dtype.numpy))
    else:
        check_within(var, 0.0, math.inf, "var has negative entry/entries", raises="ValueError")
    if var.shape != input.shape:
        if var.shape == input.shape[:-1]:
            var = reshape(var, (*var.shape, 1))
        elif var.ndim != input.ndim or any(n not in (m, 1) for n, m in zip(var.shape, input.shape, strict=True)):
            raise ValueError("var is of incorrect size")
    kept = var.detach()
    var = where_op(kept < eps, kept * 0 + eps, var) if not var.requires_grad else var + (clamp(kept, min=eps) - kept)
    loss = 0.5 * (log(var) + (input - target) ** 2 / var)
    return combine(loss + 0.5 * math.log(2 * math.pi) if full else loss, reduction)


# ---------------------------------------------------------------- of classes


def nll_name(params: dict[str, Any]) -> str:
    """PyTorch tells matrices from inputs of more dims."""
    return "NllLoss2DBackward0" if params["spatial"] else "NllLossBackward0"


@opaque(name="nll_loss", derivative_name=nll_name)
def nll_loss_op(input, target, weight, *, total, spatial):
    """-weight input[target] for every row (classes are dim 1; a target of -1 counts nothing), or their sum"""
    safe = np.where(target < 0, 0, target)
    picked = np.take_along_axis(input, np.expand_dims(safe, 1), 1).squeeze(1)
    each = np.where(target < 0, 0, -picked * weight).astype(input.dtype, copy=False)
    return np.add.reduce(each, None) if total else each


@nll_loss_op.vjp("input")
def _(g, target, weight, input_shape):
    return classes_of(-g * weight, target, input_shape)


@nll_loss_op.jvp("input")
def _(t, target, weight, total, spatial):
    return nll_loss_op(t, target, weight, total=total, spatial=spatial)


def classes_of(values: Any, target: Any, shape: tuple[int, ...]) -> Any:
    """Zeros of `shape` with each row's value at its target (dim 1)."""
    at = (*target.shape[:1], 1, *target.shape[1:])
    values = expand_op(values, shape=tuple(target.shape)) if values.shape != target.shape else values
    values = where_op(target < 0, 0.0, values)
    index = where_op(target < 0, 0, target)
    return scatter_sum_op(reshape_op(values, shape=at), reshape_op(index, shape=at), dim=1, shape=tuple(shape))


def nll_loss(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: bool | None = None, ignore_index: int = -100,
    reduce: bool | None = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """The negative log likelihood: minus the log-probability that `input` (classes in dim 1, or the only dim) gives to `target`.

    Args:
        input: log-probabilities, shape (C), (N, C) or (N, C, d1, ...).
        target: classes, int64, shape (), (N) or (N, d1, ...).
        weight: of each class, shape (C); the mean is then a weighted one.
        ignore_index: a target that counts nothing.

    Raises:
        IndexError: if a target is out of range.
        ValueError: if the batch sizes differ.
        RuntimeError: for other dtypes and shapes.

    >>> from retrograd import tensor
    >>> nll_loss(tensor([[-1., -2.]]), tensor([1]))
    tensor(2.)
    """
    reduction = check_reduction(legacy_reduction(size_average, reduce, reduction))
    check_classes(input, target, weight)
    if input.ndim == 1:
        single = nll_loss(reshape(input, (1, -1)), reshape(target, (1,)), weight, None, ignore_index, None, reduction)
        return reshape(single, ()) if reduction == "none" else single
    spatial = input.ndim > 2
    if isinstance(target, Box) or isinstance(weight, Box) or complete_observer() is not None:
        return nll_of_boxes(input, target, weight, ignore_index, reduction)
    chosen = target._data
    counted = chosen != ignore_index
    check_targets(chosen[counted], input.shape[1])
    each = np.ones(chosen.shape, input.dtype.numpy) if weight is None else weight._data[np.where(counted, chosen, 0)]
    each = np.where(counted, each, 0).astype(input.dtype.numpy, copy=False)
    if reduction == "mean":
        total = each.sum()
        if not total:  # nothing counts: the mean is nan
            return nll_of_boxes(input, target, weight, ignore_index, reduction)
        each = each / total
    safe = target if counted.all() else wrap(np.where(counted, chosen, -1))
    return nll_loss_op(input, safe, wrap(each), total=reduction != "none", spatial=spatial)


def nll_of_boxes(input: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int, reduction: str) -> Tensor:
    """The same where targets differ from example to example of a `vmap`, in operations that need not look at numbers."""
    counted = target != ignore_index  # type: ignore[comparison-overlap]
    index = where_op(counted, target, 0)
    at = (*target.shape[:1], 1, *target.shape[1:])
    picked = reshape(gather_op(input, reshape(index, at), dim=1), tuple(target.shape))
    each = cast(counted, input.dtype)  # type: ignore[arg-type]
    if weight is not None:
        each = each * reshape(gather_op(weight, reshape(index, (-1,)), dim=0), tuple(target.shape))
    loss = where_op(counted, -picked * each, 0.0)
    if reduction == "mean":
        return loss.sum() / each.sum()
    return combine(loss, reduction)


def check_classes(input: Tensor, target: Tensor, weight: Tensor | None) -> None:
    """Raises where input, target and weight do not fit each other."""
    if input.ndim == 0:
        raise RuntimeError("Expected 1 or more dimensions (got 0)")
    if input.dtype.category < dtypes.FLOATING:
        raise RuntimeError(f"expected scalar type Float but found {dtypes.scalar_name(input.dtype)}")
    if target.dtype not in (dtypes.int64, dtypes.uint8):
        raise RuntimeError(f"expected scalar type Long but found {dtypes.scalar_name(target.dtype)}")
    if input.ndim == 1:
        if target.ndim > 1 or target.shape.numel() != 1:
            raise RuntimeError(
                f"1D target tensor expected, multi-target not supported: input has shape {list(input.shape)}, target {list(target.shape)}"
            )
    elif input.shape[0] != (target.shape[0] if target.ndim else -1):
        raise ValueError(
            f"Expected input batch_size ({input.shape[0]}) to match target batch_size ({target.shape[0] if target.ndim else 0})."
        )
    elif tuple(target.shape) != (input.shape[0], *input.shape[2:]):
        if input.ndim == 2:
            raise RuntimeError(
                f"0D or 1D target tensor expected, multi-target not supported: input has shape {list(input.shape)}, target {list(target.shape)}"
            )
        raise RuntimeError(f"size mismatch (got input: {list(input.shape)} , target: {list(target.shape)})")
    if weight is not None and weight.dtype is not input.dtype:
        raise RuntimeError(
            f"expected scalar type {dtypes.scalar_name(input.dtype)} but found {dtypes.scalar_name(weight.dtype)}: the weight of nll_loss"
        )
    if weight is not None and tuple(weight.shape) != (input.shape[min(1, input.ndim - 1)],):
        raise RuntimeError(
            f"weight tensor should be defined either for all {input.shape[min(1, input.ndim - 1)]} classes or no classes but got weight tensor of shape: {list(weight.shape)}"
        )


def check_targets(targets: Any, classes: int) -> None:
    """Raises IndexError for a class that does not exist."""
    if targets.size and (targets.min() < 0 or targets.max() >= classes):
        bad = targets[(targets < 0) | (targets >= classes)][0]
        raise IndexError(f"Target {bad} is out of bounds.")


def cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: bool | None = None, ignore_index: int = -100,
    reduce: bool | None = None, reduction: str = "mean", label_smoothing: float = 0.0,
) -> Tensor:  # fmt: skip
    """The cross entropy of logits `input` against classes, or against probabilities of classes.

    Args:
        input: logits, shape (C), (N, C) or (N, C, d1, ...).
        target: classes (int64, shape as in `nll_loss`), or probabilities (floating, shape of the input).
        weight: of each class, shape (C).
        ignore_index: a target that counts nothing; classes only.
        label_smoothing: how much of each target is spread over all classes, 0 to 1.

    Raises:
        IndexError: if a target is out of range.
        RuntimeError: if `label_smoothing` is not within [0, 1], or shapes do not fit.

    >>> from retrograd import tensor
    >>> cross_entropy(tensor([[2., 0., 0.]]), tensor([0]))
    tensor(0.2395)
    """
    reduction = check_reduction(legacy_reduction(size_average, reduce, reduction))
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    if input.ndim == 0:
        raise RuntimeError("Expected 1 or more dimensions (got 0)")
    if target.dtype.is_floating_point:
        return entropy_of_probabilities(input, target, weight, reduction, label_smoothing)
    dim = min(1, input.ndim - 1)
    likelihood = log_softmax(input, dim)
    loss = nll_loss(likelihood, target, weight, None, ignore_index, None, reduction)
    if label_smoothing == 0.0:
        return loss
    classes = input.shape[dim]
    spread_weight = shape_for(weight, input, dim)
    smooth = -(likelihood if weight is None else likelihood * spread_weight).sum(dim)
    smooth = where_op(target == ignore_index, 0.0, smooth)
    if reduction == "sum":
        smooth = smooth.sum()
    elif reduction == "mean":
        counted = cast(target != ignore_index, input.dtype)
        if weight is not None:
            index = where_op(target == ignore_index, 0, target)
            counted = counted * reshape(gather_op(weight, reshape(index, (-1,)), dim=0), tuple(target.shape))
        smooth = smooth.sum() / counted.sum()
    return (1.0 - label_smoothing) * loss + (label_smoothing / classes) * smooth


def shape_for(weight: Tensor | None, input: Tensor, dim: int) -> Any:
    """The weights of classes, to be multiplied with what has classes in `dim`."""
    return None if weight is None else reshape(weight, tuple(-1 if d == dim else 1 for d in range(input.ndim)))


def entropy_of_probabilities(input: Tensor, target: Tensor, weight: Tensor | None, reduction: str, label_smoothing: float) -> Tensor:
    """`cross_entropy` against probabilities."""
    if target.shape != input.shape:
        raise RuntimeError(
            f"Expected floating point type for target with class probabilities of the input's shape {list(input.shape)}, got {list(target.shape)}"
        )
    dim = min(1, input.ndim - 1)
    classes = input.shape[dim]
    if label_smoothing:
        target = target * (1 - label_smoothing) + label_smoothing / classes
    each = log_softmax(input, dim) * target
    if weight is not None:
        each = each * shape_for(weight, input, dim)
    if reduction == "none":
        return -each.sum(dim)
    rows = max(input.shape.numel() // classes, 1) if classes else 1
    return -each.sum() if reduction == "sum" else -(each.sum() / rows)


# ---------------------------------------------------------------- of pairs, triples and sets


def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """`input` where the target is 1, max(0, margin - input) where it is -1."""
    far = where_op(target != 1, clamp(margin - input, min=0), 0.0)  # type: ignore[comparison-overlap]
    return combine(where_op(target != -1, input, 0.0) + far, legacy_reduction(size_average, reduce, reduction))  # type: ignore[comparison-overlap]


def margin_ranking_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """max(0, -target (input1 - input2) + margin): target 1 wants the first larger, -1 the second."""
    if input1.ndim != input2.ndim or input1.ndim != target.ndim:
        raise RuntimeError(
            f"margin_ranking_loss : All input tensors should have same dimension but got sizes: input1: {list(input1.shape)}, input2: {list(input2.shape)}, target: {list(target.shape)} "
        )
    return combine(clamp(-target * (input1 - input2) + margin, min=0), legacy_reduction(size_average, reduce, reduction))


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """x1·x2 / (max(|x1|, eps) max(|x2|, eps)) along `dim`.

    >>> from retrograd import tensor
    >>> cosine_similarity(tensor([[1., 0.]]), tensor([[1., 1.]]))
    tensor([0.7071])
    """
    common = dtypes.promote_types(x1.dtype, x2.dtype)
    if common.category != dtypes.FLOATING:
        raise RuntimeError(f"expected common dtype to be floating point, yet common dtype is {dtypes.scalar_name(common)}")
    shape = broadcast_shapes(x1.shape, x2.shape)
    x1, x2 = (expand(cast(x, common), shape) for x in (x1, x2))
    units = [x / clamp(x.norm(2, dim, True), min=eps) for x in (x1, x2)]
    return (units[0] * units[1]).sum(dim)


def cosine_embedding_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """1 - cos where the target is 1, max(0, cos - margin) where it is -1."""
    if target.ndim not in (0, 1):
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    if target.ndim == 1 and (input1.ndim != 2 or input2.ndim != 2):
        raise RuntimeError(
            f"1D target tensor expects 2D input tensors, but found inputs with sizes {list(input1.shape)} and {list(input2.shape)}."
        )
    if target.ndim == 0 and (input1.ndim != 1 or input2.ndim != 1):
        raise RuntimeError(
            f"0D target tensor expects 1D input tensors, but found inputs with sizes {list(input1.shape)} and {list(input2.shape)}."
        )
    eps = 1e-12
    dot, squares = (input1 * input2).sum(target.ndim), [(x * x).sum(target.ndim) + eps for x in (input1, input2)]
    cos = dot / (squares[0] * squares[1]).sqrt()
    loss = where_op(target == 1, 1 - cos, 0.0) + where_op(target == -1, clamp(cos - margin, min=0), 0.0)  # type: ignore[comparison-overlap]
    return combine(loss, legacy_reduction(size_average, reduce, reduction))


def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """|x1 - x2 + eps| in the p-norm of the last dim."""
    return (x1 - x2 + eps).norm(p, -1, keepdim)


def triplet_margin_loss(
    anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0, p: float = 2, eps: float = 1e-6, swap: bool = False,
    size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """max(0, d(anchor, positive) - d(anchor, negative) + margin), d being the p-norm distance."""
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    return triplet_margin_with_distance_loss(
        anchor, positive, negative, distance_function=lambda a, b: pairwise_distance(a, b, p, eps), margin=margin, swap=swap,
        reduction=legacy_reduction(size_average, reduce, reduction),
    )  # fmt: skip


def triplet_margin_with_distance_loss(
    anchor: Tensor, positive: Tensor, negative: Tensor, *, distance_function: Any = None, margin: float = 1.0, swap: bool = False,
    reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """`triplet_margin_loss` with a distance of one's own."""
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    if not anchor.ndim == positive.ndim == negative.ndim:
        raise RuntimeError(
            f"The anchor, positive, and negative tensors are expected to have the same number of dimensions, but got: anchor {anchor.ndim}D, positive {positive.ndim}D, and negative {negative.ndim}D inputs"
        )
    distance = distance_function or pairwise_distance
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        other = distance(positive, negative)
        far = where_op(other < far, other, far)
    return combine(clamp(margin + near - far, min=0), reduction)


def multi_margin_loss(
    input: Tensor, target: Tensor, p: int = 1, margin: float = 1.0, weight: Tensor | None = None, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """Σ max(0, margin - input[target] + input[i])^p / C over the other classes i."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    if weight is not None and weight.ndim != 1:
        raise ValueError("weight must be one-dimensional")
    if input.ndim not in (1, 2) or not input.shape[-1]:
        raise RuntimeError(f"Expected non-empty vector or matrix with optional 0-dim batch size, but got: {list(input.shape)}")
    rows, classes = reshape(input, (-1, input.shape[-1])), input.shape[-1]
    if target.ndim > 1 or target.shape.numel() != rows.shape[0]:
        raise RuntimeError(f"inconsistent target size, expected {rows.shape[0]} but got {list(target.shape)}")
    at = reshape(target, (-1, 1))
    if not isinstance(target, Box):
        check_targets(target._data, classes)
    hinge = clamp(margin - gather_op(rows, at, dim=1) + rows, min=0) ** p
    if weight is not None:
        hinge = hinge * reshape(gather_op(weight, reshape(target, (-1,)), dim=0), (-1, 1))
    others = constant(np.arange(classes)) != at
    loss = where_op(others, hinge, 0.0).sum(1) / classes
    return combine(reshape(loss, ()) if input.ndim == 1 else loss, reduction)


def multilabel_soft_margin_loss(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """The mean over classes of the binary cross entropy of logits."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    loss = -(target * logsigmoid(input) + (1 - target) * logsigmoid(-input))
    if weight is not None:
        loss = loss * weight
    return combine(loss.mean(-1), reduction)


def multilabel_margin_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"
) -> Tensor:
    """Σ max(0, 1 - (input[y] - input[i])) / C over the targets y (those before the first -1) and all i that are none."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    check_reduction(reduction)
    if input.dtype.category < dtypes.FLOATING:
        raise NotImplementedError(f"\"multilabel_margin_loss\" not implemented for '{dtypes.scalar_name(input.dtype)}'")
    if input.ndim == 0 and target.ndim == 0:
        input, target = reshape(input, (1,)), reshape(target, (1,))
    if input.ndim > 2 or not input.shape[-1:].numel():
        raise RuntimeError(f"Expected non-empty vector or matrix with optional 0-dim batch size, but got: {list(input.shape)}")
    if target.shape != input.shape:
        raise RuntimeError(f"inconsistent target size: {list(target.shape)} for input of size: {list(input.shape)}")
    rows, classes = reshape(input, (-1, input.shape[-1])), input.shape[-1]
    chosen = target._data.reshape(-1, classes)
    listed = np.logical_and.accumulate(chosen >= 0, 1)
    if chosen.max(initial=-1) >= classes:
        raise RuntimeError("argument #2 'target' is out of range")
    safe = np.where(listed, chosen, 0)
    is_target = np.zeros(chosen.shape, bool)
    r, c = np.nonzero(listed)
    is_target[r, chosen[r, c]] = True
    hinge = clamp(1 - (reshape(gather_op(rows, wrap(safe), dim=1), (-1, classes, 1)) - reshape(rows, (-1, 1, classes))), min=0)
    loss = where_op(wrap(listed[:, :, None] & ~is_target[:, None, :]), hinge, 0.0).sum((1, 2)) / classes
    return combine(reshape(loss, ()) if input.ndim < 2 else loss, reduction)
