"""Gradients kept from growing too large."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from retrograd.autograd import no_grad
from retrograd.core.levels import complete_observer, observer, refuse_record
from retrograd.core.tensor import Tensor, constant, real_grad, wrap
from retrograd.ops.arithmetic import clamp
from retrograd.ops.basis import cast
from retrograd.ops.join import stack
from retrograd.ops.norm import vector_norm


def gradients_of(parameters: Any) -> list[Tensor]:
    """The gradients that came; a gradient that `zero_grad` cleared is none."""
    given = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    watched = observer()
    if watched is not None:
        for p in given:
            watched.gradient_met(p, real_grad(p))
    return [g for g in map(real_grad, given) if g is not None]


def get_total_norm(tensors: Any, norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach: bool | None = None) -> Tensor:
    """The p-norm of all elements of all tensors, as one number.

    Raises:
        RuntimeError: if it is not finite and `error_if_nonfinite`.
    """
    given = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    if not given:
        return constant(np.zeros((), np.float32))
    if complete_observer() is not None:
        return total_norm_of_tensors(given, norm_type, error_if_nonfinite)
    norms = np.array(
        [np.linalg.norm(x._data.reshape(-1).astype(np.result_type(x._data.dtype, np.float32), copy=False), norm_type) for x in given]
    )
    total = norms.max() if math.isinf(norm_type) else np.linalg.norm(norms, norm_type)
    if error_if_nonfinite and not np.isfinite(total):
        raise RuntimeError(
            f"The total norm of order {float(norm_type)} for gradients from `parameters` is non-finite, so it cannot be clipped. To disable "
            "this error and scale the gradients by the non-finite norm anyway, set `error_if_nonfinite=False`"
        )
    return wrap(np.asarray(total, given[0]._data.dtype))


def total_norm_of_tensors(given: list[Tensor], norm_type: float, error_if_nonfinite: bool) -> Tensor:
    """The same in operations that whoever watches can record."""
    if error_if_nonfinite:
        refuse_record("error_if_nonfinite=True looks at the norm of the gradients")
    with no_grad():
        norms = stack([vector_norm(x if x.dtype.itemsize >= 4 else x.float(), norm_type) for x in given])
        return cast(vector_norm(norms, norm_type), given[0].dtype)


def clip_grads_with_norm_(parameters: Any, max_norm: float, total_norm: Tensor, foreach: bool | None = None) -> None:
    """Scales all gradients by max_norm / (total_norm + 1e-6) where that is less than 1, in place."""
    if complete_observer() is not None:
        with no_grad():
            ratio = clamp(float(max_norm) / (total_norm + 1e-6), max=1.0)
        for g in gradients_of(parameters):
            g.mul_(ratio)
        return
    scale = float(max_norm) / (float(total_norm) + 1e-6)
    scale = scale if math.isnan(scale) else min(scale, 1.0)
    for g in gradients_of(parameters):
        g.mul_(scale)


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:  # fmt: skip
    """Scales all gradients, as if they were one vector, down to the norm `max_norm`, in place; returns the norm they had.

    Raises:
        RuntimeError: if the norm is not finite and `error_if_nonfinite`.

    >>> import retrograd as torch
    >>> w = torch.ones(2, requires_grad=True)
    >>> (3 * w).sum().backward(); clip_grad_norm_([w], 1.0)
    tensor(4.2426)
    >>> w.grad
    tensor([0.7071, 0.7071])
    """
    given = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    total = get_total_norm(gradients_of(given), norm_type, error_if_nonfinite)
    clip_grads_with_norm_(given, max_norm, total)
    return total


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None) -> None:
    """Limits every element of every gradient to ±clip_value, in place."""
    for g in gradients_of(parameters):
        g.clamp_(-float(clip_value), float(clip_value))
