"""Softmax and its logarithm: one pass over the rows, in place in the result, and rules that keep nothing but the result."""

from __future__ import annotations

from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.core.families import opaque, write_out
from retrograd.core.tensor import Tensor
from retrograd.dtypes import dtype
from retrograd.ops.basis import cast, neg, sum_op
from retrograd.ops.pointwise import exp
from retrograd.ops.reduce import along, along_dims, narrow, wide


def total(x: Any, dim: int) -> Any:
    """The sum along `dim`, which stays."""
    return sum_op(x, dims=(dim,), keepdim=True)


def below_top(x: Any, dim: int) -> Any:
    """A new array of the elements less the greatest along `dim`, so that their exponentials do not overflow."""
    y = np.empty(x.shape, x.dtype)
    if 0 not in x.shape:
        np.subtract(x, np.maximum.reduce(x.real, dim, keepdims=True), out=y)
    return y


# ---------------------------------------------------------------- softmax


@along_dims
@opaque
def softmax_op(input, *, dim):
    """Exponentials along `dim`, divided by their sum"""
    y = below_top(wide(input), dim)
    np.exp(y, out=y)
    y /= np.add.reduce(y, dim, keepdims=True)
    return narrow(y, input)


@softmax_op.lowering
def _(k, input, *, dim):
    e = k.keep(k.exp(k.sub(input, k.reduce("max", input, (dim,)))))
    return k.div(e, k.reduce("sum", e, (dim,)))


@softmax_op.vjp("input")
def _(g, y, dim):
    return softmax_grad_op(g, y, dim=dim)


@softmax_op.jvp("input")
def _(t, y, dim):
    return softmax_grad_op(t, y, dim=dim)


@along_dims
@opaque(derivative_name="SoftmaxBackwardDataBackward0")
def softmax_grad_op(grad, output, *, dim):
    """output * (grad - sum(grad * output)): the Jacobian of softmax, which is symmetric, times `grad`"""
    out = grad * output
    out -= output * np.add.reduce(out, dim, keepdims=True)
    return out


@softmax_grad_op.lowering
def _(k, grad, output, *, dim):
    each = k.keep(k.mul(grad, output))
    return k.sub(each, k.mul(output, k.reduce("sum", each, (dim,))))


@softmax_grad_op.vjp("grad")
def _(g, output, dim):
    return softmax_grad_op(g, output, dim=dim)


@softmax_grad_op.jvp("grad")
def _(t, output, dim):
    return softmax_grad_op(t, output, dim=dim)


@softmax_grad_op.vjp("output")
def _(g, grad, output, dim):
    return g * (grad - total(grad * output, dim)) - grad * total(g * output, dim)


@softmax_grad_op.jvp("output")
def _(t, grad, output, dim):
    return t * (grad - total(grad * output, dim)) - output * total(grad * t, dim)


def softmax(input: Tensor, dim: int, dtype: dtype | None = None, *, out: Any = None) -> Tensor:
    """Exponentials of the elements, divided by their sum along `dim`, so that they are positive and add up to 1.

    Args:
        dtype: converts first.

    Raises:
        IndexError: if `dim` is out of range.
        RuntimeError: if the dtype is not floating.

    >>> from retrograd import softmax, tensor
    >>> softmax(tensor([[0., 0.], [1000., 0.]]), dim=1)
    tensor([[0.5000, 0.5000],
            [1.0000, 0.0000]])
    """
    result = along(softmax_op, floating("softmax", input, dtype), dim)
    return result if out is None else write_out(out, result)


def softmin(input: Tensor, dim: int, dtype: dtype | None = None) -> Tensor:
    """`softmax` of the negative."""
    return softmax(neg(input), dim, dtype)


def floating(name: str, input: Tensor, dtype: dtype | None) -> Tensor:
    """The operand in `dtype`, checked to be a floating one."""
    if dtype is not None:
        input = cast(input, dtype)
    if input.dtype.category != dtypes.FLOATING:
        raise NotImplementedError(
            f"\"{name}_lastdim_kernel_impl\" not implemented for '{dtypes.scalar_name(input.dtype)}': pass dtype=torch.float32"
        )
    return input


# ---------------------------------------------------------------- log_softmax


@along_dims
@opaque
def log_softmax_op(input, *, dim):
    """The logarithm of softmax along `dim`"""
    y = below_top(wide(input), dim)
    y -= np.log(np.add.reduce(np.exp(y), dim, keepdims=True))
    return narrow(y, input)


@log_softmax_op.lowering
def _(k, input, *, dim):
    y = k.keep(k.sub(input, k.reduce("max", input, (dim,))))
    return k.sub(y, k.log(k.reduce("sum", k.exp(y), (dim,))))


@log_softmax_op.vjp("input")
def _(g, y, dim):
    return log_softmax_grad_op(g, y, dim=dim)


@log_softmax_op.jvp("input")
def _(t, y, dim):
    return t - total(t * exp(y), dim)


@along_dims
@opaque(derivative_name="LogSoftmaxBackwardDataBackward0")
def log_softmax_grad_op(grad, output, *, dim):
    """grad - exp(output) * sum(grad): the transposed Jacobian of log_softmax times `grad`"""
    out = np.exp(output, out=np.empty(np.shape(output), output.dtype))
    out *= np.add.reduce(grad, dim, keepdims=True)
    return np.subtract(grad, out, out=out)


@log_softmax_grad_op.lowering
def _(k, grad, output, *, dim):
    return k.sub(grad, k.mul(k.exp(output), k.reduce("sum", grad, (dim,))))


@log_softmax_grad_op.vjp("grad")
def _(g, output, dim):
    return g - total(g * exp(output), dim)


@log_softmax_grad_op.jvp("grad")
def _(t, output, dim):
    return log_softmax_grad_op(t, output, dim=dim)


@log_softmax_grad_op.vjp("output")
def _(g, grad, output, dim):
    return -(g * exp(output) * total(grad, dim))


@log_softmax_grad_op.jvp("output")
def _(t, grad, output, dim):
    return -(t * exp(output) * total(grad, dim))


def log_softmax(input: Tensor, dim: int, dtype: dtype | None = None, *, out: Any = None) -> Tensor:
    """The logarithm of `softmax`, without overflow or underflow.

    Args:
        dtype: converts first.

    Raises:
        IndexError: if `dim` is out of range.
        RuntimeError: if the dtype is not floating.

    >>> from retrograd import log_softmax, tensor
    >>> log_softmax(tensor([1000., 0.]), dim=0)
    tensor([    0., -1000.])
    """
    result = along(log_softmax_op, floating("log_softmax", input, dtype), dim)
    return result if out is None else write_out(out, result)
