"""Adam and AdamW."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from retrograd.core.tensor import Tensor
from retrograd.optim.optimizer import Optimizer, check, check_learning_rate, count_step, number


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

    def buffers(self, group: dict[str, Any]) -> Sequence[str]:
        """See `Optimizer`."""
        return ("exp_avg", "exp_avg_sq", "max_exp_avg_sq") if group["amsgrad"] else ("exp_avg", "exp_avg_sq")

    def scalars(self, group: dict[str, Any], state: dict[str, Any]) -> tuple[float, ...]:
        """See `Optimizer`."""
        lr, decay, t = number(group["lr"]), group["weight_decay"], count_step(state)
        beta1, beta2 = (number(b) for b in group["betas"])
        shrink = 1 - lr * decay if group["decoupled_weight_decay"] else decay
        return shrink, 1 - beta1, beta2, 1 - beta2, math.sqrt(1 - beta2**t), group["eps"], lr / (1 - beta1**t)

    def rule(self, k: Any, w: Any, g: Any, buffers: Sequence[Any], scalars: Sequence[float], group: dict[str, Any]) -> tuple[Any, ...]:
        """See the class."""
        m, v, *largest = buffers
        shrink, share1, beta2, share2, correction, eps, size = scalars
        if group["weight_decay"] and group["decoupled_weight_decay"]:
            w = k.mul(w, shrink, into=w)
        elif group["weight_decay"]:
            g = k.add(g, k.mul(w, shrink))
        m = k.add(m, k.mul(k.sub(g, m), share1), into=m)
        square = k.mul(g, g)
        v = k.add(k.mul(v, beta2, into=v), k.mul(square, share2, into=square), into=v)
        if largest:
            largest = [k.max(largest[0], v, into=largest[0])]
        root = k.sqrt(largest[0] if largest else v)
        root = k.add(k.div(root, correction, into=root), eps, into=root)
        step = k.div(m, root, into=root)
        return k.sub(w, k.mul(step, size, into=step), into=w), m, v, *largest


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
