"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from retrograd.optim.optimizer import Optimizer, check, check_learning_rate, number


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum (Polyak 1964; Nesterov 1983, as Sutskever et al. 2013 write it).

        g ← g + weight_decay·w
        b ← momentum·b + (1 − dampening)·g          (the first time: b ← g)
        g ← g + momentum·b  if nesterov, else b     (with momentum)
        w ← w − lr·g

    Raises:
        ValueError: if a hyperparameter is negative or not finite, or `nesterov` is given without momentum.

    >>> import retrograd as torch
    >>> w = torch.ones(1, requires_grad=True)
    >>> optimizer = SGD([w], lr=0.5)
    >>> (3 * w).sum().backward(); optimizer.step(); w
    tensor([-0.5000], requires_grad=True)
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: Any = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_learning_rate(lr, foreach)
        check(momentum >= 0.0, "momentum value", momentum)
        check(number(weight_decay) >= 0.0, "weight_decay value", weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "maximize": maximize,
                "foreach": foreach,
                "differentiable": differentiable,
                "fused": fused,
            },
        )  # fmt: skip

    def buffers(self, group: dict[str, Any]) -> Sequence[str]:
        """See `Optimizer`."""
        return ("momentum_buffer",) if group["momentum"] else ()

    def scalars(self, group: dict[str, Any], state: dict[str, Any]) -> tuple[float, ...]:
        """See `Optimizer`."""
        first = state.get("momentum_buffer") is None  # then b ← g
        return number(group["lr"]), number(group["weight_decay"]), group["momentum"], 1 if first else 1 - group["dampening"]

    def rule(self, k: Any, w: Any, g: Any, buffers: Sequence[Any], scalars: Sequence[float], group: dict[str, Any]) -> tuple[Any, ...]:
        """See the class."""
        lr, decay, momentum, share = scalars
        if group["weight_decay"]:
            g = k.add(g, k.mul(w, decay))
        if group["momentum"]:
            (b,) = buffers
            b = k.add(k.mul(b, momentum, into=b), k.mul(g, share) if group["dampening"] else g, into=b)
            g = k.add(g, k.mul(b, momentum)) if group["nesterov"] else b
            buffers = (b,)
        return k.sub(w, k.mul(g, lr), into=w), *buffers
