"""Adam and AdamW."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from retrograd.core.tensor import Tensor
from retrograd.optim.optimizer import Optimizer, buffer, check, check_learning_rate, count_step, number


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015): steps scaled by running means of the gradient and of its square.

        m ← β₁·m + (1 − β₁)·g,   v ← β₂·v + (1 − β₂)·g²
        w ← w − lr/(1 − β₁ᵗ) · m / (√v/√(1 − β₂ᵗ) + eps)

    With `amsgrad` (Reddi et al. 2018) the largest v so far is used. `weight_decay` is added to the gradient.

    Raises:
        ValueError: if a hyperparameter is out of range or not finite.
    """

    decoupled = False

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1e-3,
        betas: tuple[Any, Any] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        check_learning_rate(lr, foreach)
        check(eps >= 0.0, "epsilon value", eps)
        if isinstance(betas[0], Tensor) != isinstance(betas[1], Tensor):
            raise ValueError("betas must be either both floats or both Tensors")
        if isinstance(betas[0], Tensor) and foreach:
            raise ValueError("betas[0] as a Tensor is not supported for capturable=False and foreach=True")
        for i, beta in enumerate(betas):
            check(0.0 <= number(beta) < 1.0, f"beta parameter at index {i}", beta)
        check(weight_decay >= 0.0, "weight_decay value", weight_decay)
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "amsgrad": amsgrad,
                "maximize": maximize,
                "foreach": foreach,
                "capturable": capturable,
                "differentiable": differentiable,
                "fused": fused,
                "decoupled_weight_decay": decoupled_weight_decay or self.decoupled,
            },
        )  # fmt: skip

    def update(self, array: Any, grad: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        """See the class."""
        lr, decay, eps = number(group["lr"]), group["weight_decay"], group["eps"]
        beta1, beta2 = (number(b) for b in group["betas"])
        a, b = self.scratch(array), self.scratch(array, 1)
        t = count_step(state)
        m, v = buffer(state, "exp_avg", array), buffer(state, "exp_avg_sq", array)
        if decay:
            if group["decoupled_weight_decay"]:
                array *= 1 - lr * decay
            else:
                grad = np.add(grad, np.multiply(array, decay, out=b), out=b)
        np.subtract(grad, m, out=a)
        a *= 1 - beta1
        m += a
        v *= beta2
        np.multiply(grad, grad, out=a)
        a *= 1 - beta2
        v += a
        if group["amsgrad"]:
            largest = buffer(state, "max_exp_avg_sq", array)
            np.maximum(largest, v, out=largest)
            v = largest
        np.sqrt(v, out=a)
        a /= math.sqrt(1 - beta2**t)
        a += eps
        np.divide(m, a, out=a)
        a *= lr / (1 - beta1**t)
        array -= a


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019): weights shrink by `lr·weight_decay` before each step.

    Raises:
        ValueError: if a hyperparameter is out of range or not finite.
    """

    decoupled = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1e-3,
        betas: tuple[Any, Any] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params, lr, betas, eps, weight_decay, amsgrad,
            maximize=maximize, foreach=foreach, capturable=capturable, differentiable=differentiable, fused=fused,
        )  # fmt: skip
