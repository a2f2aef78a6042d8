"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from retrograd.core.tensor import wrap
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

    def update(self, array: Any, grad: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        """See the class."""
        lr, momentum, decay = number(group["lr"]), group["momentum"], number(group["weight_decay"])
        scratch = self.scratch(array)
        if decay:
            grad = np.add(grad, np.multiply(array, decay, out=scratch), out=scratch)
        if momentum:
            if state.get("momentum_buffer") is None:
                b = state["momentum_buffer"] = wrap(grad.copy())
            else:
                b = state["momentum_buffer"]
                b._data *= momentum
                b._data += grad if group["dampening"] == 0 else grad * (1 - group["dampening"])
            grad = grad + momentum * b._data if group["nesterov"] else b._data
        np.multiply(grad, lr, out=scratch)
        np.subtract(array, scratch, out=array)
