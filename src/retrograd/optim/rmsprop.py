"""RMSprop, Adagrad and Adadelta: steps scaled by a running size of the gradient."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from retrograd.core.tensor import wrap
from retrograd.optim.optimizer import Optimizer, buffer, check, check_learning_rate, count_step, number


class RMSprop(Optimizer):
    """RMSprop (Tieleman & Hinton 2012), centred after Graves (2013).

        s ← alpha·s + (1 − alpha)·g²;   with `centered`: ḡ ← alpha·ḡ + (1 − alpha)·g,  s − ḡ² in place of s
        d = g / (√s + eps);   b ← momentum·b + d;   w ← w − lr·b

    Raises:
        ValueError: if a hyperparameter is out of range or not finite.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_learning_rate(lr, foreach)
        check(eps >= 0.0, "epsilon value", eps)
        check(momentum >= 0.0, "momentum value", momentum)
        check(weight_decay >= 0.0, "weight_decay value", weight_decay)
        check(alpha >= 0.0, "alpha value", alpha)
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "alpha": alpha,
                "eps": eps,
                "centered": centered,
                "weight_decay": weight_decay,
                "capturable": capturable,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
            },
        )  # fmt: skip

    def update(self, array: Any, grad: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        """See the class."""
        alpha, scratch = group["alpha"], self.scratch(array)
        count_step(state)
        if group["weight_decay"]:
            grad = grad + group["weight_decay"] * array
        square = buffer(state, "square_avg", array)
        b = buffer(state, "momentum_buffer", array) if group["momentum"] > 0 else None
        square *= alpha
        np.multiply(grad, grad, out=scratch)
        scratch *= 1 - alpha
        square += scratch
        if group["centered"]:
            mean = buffer(state, "grad_avg", array)
            mean += (1 - alpha) * (grad - mean)
            np.subtract(square, mean * mean, out=scratch)
            np.sqrt(scratch, out=scratch)
        else:
            np.sqrt(square, out=scratch)
        scratch += group["eps"]
        np.divide(grad, scratch, out=scratch)
        if b is not None:
            b *= group["momentum"]
            b += scratch
            np.copyto(scratch, b)
        scratch *= number(group["lr"])
        array -= scratch


class Adagrad(Optimizer):
    """Adagrad (Duchi, Hazan & Singer 2011): the learning rate of each weight falls with the sum of its squared gradients.

        s ← s + g²;   w ← w − lr/(1 + (t − 1)·lr_decay) · g / (√s + eps)

    Raises:
        ValueError: if a hyperparameter is out of range or not finite.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_learning_rate(lr, foreach)
        check(lr_decay >= 0.0, "lr_decay value", lr_decay)
        check(weight_decay >= 0.0, "weight_decay value", weight_decay)
        check(initial_accumulator_value >= 0.0, "initial_accumulator_value value", initial_accumulator_value)
        check(eps >= 0.0, "epsilon value", eps)
        super().__init__(
            params,
            {
                "lr": lr,
                "lr_decay": lr_decay,
                "eps": eps,
                "weight_decay": weight_decay,
                "initial_accumulator_value": initial_accumulator_value,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
                "fused": fused,
            },
        )  # fmt: skip
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p]["step"] = wrap(np.zeros((), np.float32))
                self.state[p]["sum"] = wrap(np.full_like(p._data, group["initial_accumulator_value"]))

    def update(self, array: Any, grad: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        """See the class."""
        t, total, scratch = count_step(state), buffer(state, "sum", array), self.scratch(array)
        if group["weight_decay"]:
            grad = grad + group["weight_decay"] * array
        total += np.multiply(grad, grad, out=scratch)
        np.sqrt(total, out=scratch)
        scratch += group["eps"]
        np.divide(grad, scratch, out=scratch)
        scratch *= number(group["lr"]) / (1 + (t - 1) * group["lr_decay"])
        array -= scratch


class Adadelta(Optimizer):
    """Adadelta (Zeiler 2012): steps in the units of the weights, from running means of squared gradients and squared steps.

        s ← rho·s + (1 − rho)·g²;   d = √(u + eps)/√(s + eps)·g;   u ← rho·u + (1 − rho)·d²;   w ← w − lr·d

    Raises:
        ValueError: if a hyperparameter is out of range or not finite.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_learning_rate(lr, foreach)
        check(0.0 <= rho <= 1.0, "rho value", rho)
        check(eps >= 0.0, "epsilon value", eps)
        check(weight_decay >= 0.0, "weight_decay value", weight_decay)
        super().__init__(
            params,
            {
                "lr": lr,
                "rho": rho,
                "eps": eps,
                "weight_decay": weight_decay,
                "maximize": maximize,
                "capturable": capturable,
                "foreach": foreach,
                "differentiable": differentiable,
            },
        )  # fmt: skip

    def update(self, array: Any, grad: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        """See the class."""
        rho, eps = group["rho"], group["eps"]
        count_step(state)
        if group["weight_decay"]:
            grad = grad + group["weight_decay"] * array
        square, delta = buffer(state, "square_avg", array), buffer(state, "acc_delta", array)
        square *= rho
        square += (1 - rho) * grad * grad
        step = np.sqrt(delta + eps) / np.sqrt(square + eps) * grad
        delta *= rho
        delta += (1 - rho) * step * step
        array -= number(group["lr"]) * step
