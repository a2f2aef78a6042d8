"""RMSprop, Adagrad and Adadelta: steps scaled by a running size of the gradient."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from retrograd.core.tensor import wrap
from retrograd.optim.optimizer import Optimizer, check, check_learning_rate, count_step, number


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

    def buffers(self, group: dict[str, Any]) -> Sequence[str]:
        """See `Optimizer`."""
        momentum, centered = group["momentum"] > 0, group["centered"]
        return ("square_avg", *(("momentum_buffer",) if momentum else ()), *(("grad_avg",) if centered else ()))

    def scalars(self, group: dict[str, Any], state: dict[str, Any]) -> tuple[float, ...]:
        """See `Optimizer`."""
        count_step(state)
        return number(group["lr"]), group["weight_decay"], group["alpha"], 1 - group["alpha"], group["eps"], group["momentum"]

    def rule(self, k: Any, w: Any, g: Any, buffers: Sequence[Any], scalars: Sequence[float], group: dict[str, Any]) -> tuple[Any, ...]:
        """See the class."""
        lr, decay, alpha, share, eps, momentum = scalars
        square, *others = buffers
        if group["weight_decay"]:
            g = k.add(g, k.mul(w, decay))
        new = k.mul(g, g)
        square = k.add(k.mul(square, alpha, into=square), k.mul(new, share, into=new), into=square)
        spread = square
        if group["centered"]:
            mean = others[-1] = k.add(others[-1], k.mul(k.sub(g, others[-1]), share), into=others[-1])
            spread = k.sub(square, k.mul(mean, mean))
        step = k.div(g, k.add(k.sqrt(spread), eps))
        if group["momentum"] > 0:
            step = others[0] = k.add(k.mul(others[0], momentum, into=others[0]), step, into=others[0])
        return k.sub(w, k.mul(step, lr), into=w), square, *others


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

    def buffers(self, group: dict[str, Any]) -> Sequence[str]:
        """See `Optimizer`."""
        return ("sum",)

    def scalars(self, group: dict[str, Any], state: dict[str, Any]) -> tuple[float, ...]:
        """See `Optimizer`."""
        lr = number(group["lr"]) / (1 + (count_step(state) - 1) * group["lr_decay"])
        return lr, group["weight_decay"], group["eps"]

    def rule(self, k: Any, w: Any, g: Any, buffers: Sequence[Any], scalars: Sequence[float], group: dict[str, Any]) -> tuple[Any, ...]:
        """See the class."""
        (total,), (lr, decay, eps) = buffers, scalars
        if group["weight_decay"]:
            g = k.add(g, k.mul(w, decay))
        total = k.add(total, k.mul(g, g), into=total)
        step = k.div(g, k.add(k.sqrt(total), eps))
        return k.sub(w, k.mul(step, lr, into=step), into=w), total


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

    def buffers(self, group: dict[str, Any]) -> Sequence[str]:
        """See `Optimizer`."""
        return "square_avg", "acc_delta"

    def scalars(self, group: dict[str, Any], state: dict[str, Any]) -> tuple[float, ...]:
        """See `Optimizer`."""
        count_step(state)
        return number(group["lr"]), group["weight_decay"], group["rho"], 1 - group["rho"], group["eps"]

    def rule(self, k: Any, w: Any, g: Any, buffers: Sequence[Any], scalars: Sequence[float], group: dict[str, Any]) -> tuple[Any, ...]:
        """See the class."""
        square, delta = buffers
        lr, decay, rho, share, eps = scalars
        if group["weight_decay"]:
            g = k.add(g, k.mul(w, decay))
        square = k.add(k.mul(square, rho, into=square), k.mul(k.mul(g, share), g), into=square)
        step = k.mul(k.div(k.sqrt(k.add(delta, eps)), k.sqrt(k.add(square, eps))), g)
        delta = k.add(k.mul(delta, rho, into=delta), k.mul(k.mul(step, share), step), into=delta)
        return k.sub(w, k.mul(step, lr, into=step), into=w), square, delta
