"""Optimizers and schedules take PyTorch's steps."""

from __future__ import annotations

from typing import Any

import pytest

import retrograd as torch
from tests.oracle import error_in_both, needs_torch, same_in_both

OPTIMIZERS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.1}), ("SGD", {"lr": 0.1, "momentum": 0.9}), ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3}), ("SGD", {"lr": 0.1, "maximize": True}), ("Adam", {"lr": 0.1}),
    ("Adam", {"lr": 0.1, "betas": (0.8, 0.95), "weight_decay": 0.1, "amsgrad": True}), ("AdamW", {"lr": 0.1, "weight_decay": 0.2}), ("RMSprop", {"lr": 0.1}),
    ("RMSprop", {"lr": 0.1, "momentum": 0.9, "centered": True, "weight_decay": 0.1}), ("Adagrad", {"lr": 0.1, "lr_decay": 0.1}), ("Adadelta", {"lr": 1.0, "weight_decay": 0.1}),
]  # fmt: skip
over_optimizers = pytest.mark.parametrize(("name", "options"), OPTIMIZERS, ids=[f"{n}{o}" for n, o in OPTIMIZERS])


def steps(t: Any, optimizer: Any, w: Any, x: Any, n: int) -> None:
    """Some steps towards fitting x."""
    for _ in range(n):
        optimizer.zero_grad()
        (w @ x - 1).pow(2).sum().backward()
        optimizer.step()


@needs_torch
@over_optimizers
def test_five_steps(name: str, options: dict[str, Any]):
    """Weights and state after five steps."""

    def program(t: Any) -> Any:
        w, x = t.randn(3, 4).requires_grad_(), t.randn(4, 2)
        optimizer = getattr(t.optim, name)([w], **options)
        steps(t, optimizer, w, x, 5)
        return w, {k: v for k, v in optimizer.state_dict()["state"].get(0, {}).items() if v is not None}

    same_in_both(program, rtol=2e-4, atol=2e-5)


@over_optimizers
def test_state_goes_round(name: str, options: dict[str, Any]):
    """A new optimizer with the state of the old goes on as the old would have."""
    torch.manual_seed(0)
    w, x = torch.randn(3, 4).requires_grad_(), torch.randn(4, 2)
    optimizer = getattr(torch.optim, name)([w], **options)
    steps(torch, optimizer, w, x, 3)
    copy = w.detach().clone().requires_grad_()
    other = getattr(torch.optim, name)([copy], lr=99.0)
    other.load_state_dict(optimizer.state_dict())
    steps(torch, optimizer, w, x, 3)
    steps(torch, other, copy, x, 3)
    assert torch.equal(w, copy)


SCHEDULES: list[tuple[str, dict[str, Any]]] = [
    ("StepLR", {"step_size": 2}), ("MultiStepLR", {"milestones": [2, 4]}), ("ExponentialLR", {"gamma": 0.8}), ("ConstantLR", {"total_iters": 3}), ("LinearLR", {"total_iters": 4}),
    ("PolynomialLR", {"total_iters": 4, "power": 2.0}), ("CosineAnnealingLR", {"T_max": 4}), ("CosineAnnealingWarmRestarts", {"T_0": 3}), ("LambdaLR", {"lr_lambda": lambda e: 0.9**e}),
    ("MultiplicativeLR", {"lr_lambda": lambda e: 0.9}), ("OneCycleLR", {"max_lr": 1.0, "total_steps": 8}), ("CyclicLR", {"base_lr": 0.1, "max_lr": 1.0, "step_size_up": 2}),
]  # fmt: skip


@needs_torch
@pytest.mark.parametrize(("name", "options"), SCHEDULES, ids=[n for n, _ in SCHEDULES])
def test_schedule(name: str, options: dict[str, Any]):
    """The learning rates of seven epochs."""

    def program(t: Any) -> Any:
        w = t.ones(2, requires_grad=True)
        optimizer = t.optim.SGD([w], lr=0.5, momentum=0.9)
        schedule = getattr(t.optim.lr_scheduler, name)(optimizer, **options)
        rates = []
        for _ in range(7):
            rates.append(optimizer.param_groups[0]["lr"])
            w.sum().backward()
            optimizer.step()
            schedule.step()
        return rates

    same_in_both(program)


@needs_torch
def test_plateau():
    """The rate falls when a measure no longer does."""

    def program(t: Any) -> Any:
        optimizer = t.optim.SGD([t.ones(1, requires_grad=True)], lr=0.5)
        schedule = t.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=1)
        rates = []
        for measure in (3.0, 2.0, 2.0, 2.0, 2.0, 2.0, 1.0):
            schedule.step(measure)
            rates.append(optimizer.param_groups[0]["lr"])
        return rates

    same_in_both(program)


@needs_torch
def test_groups_and_closures():
    """Each group has its options; step returns what the closure does."""

    def program(t: Any) -> Any:
        a, b = t.ones(2, requires_grad=True), t.ones(2, requires_grad=True)
        optimizer = t.optim.SGD([{"params": [a]}, {"params": [b], "lr": 0.5}], lr=0.1)
        optimizer.add_param_group({"params": [t.ones(1, requires_grad=True)], "momentum": 0.9})

        def closure() -> Any:
            optimizer.zero_grad()
            loss = (a + b).sum()
            loss.backward()
            return loss

        loss = optimizer.step(closure)
        return loss, a, b, [g["lr"] for g in optimizer.param_groups]

    same_in_both(program)


@needs_torch
@pytest.mark.parametrize(
    "program",
    [
        lambda t: t.optim.SGD([], lr=0.1), lambda t: t.optim.SGD([t.ones(1, requires_grad=True)], lr=-1.0), lambda t: t.optim.Adam([t.ones(1, requires_grad=True)], betas=(1.0, 0.9)),
        lambda t: t.optim.SGD(t.ones(1, requires_grad=True), lr=0.1), lambda t: t.optim.SGD([t.ones(1, requires_grad=True) * 2], lr=0.1), lambda t: t.optim.SGD([1.0], lr=0.1),
        lambda t: t.optim.SGD([t.ones(1, requires_grad=True)], lr=0.1, nesterov=True), lambda t: t.optim.lr_scheduler.StepLR(3, 2),
    ],
)  # fmt: skip
def test_wrong_options(program: Any):
    """PyTorch's exception types."""
    error_in_both(program)


@pytest.mark.parametrize("lr", [float("nan"), float("inf")])
def test_a_rate_that_is_not_finite_is_refused(lr: float):
    """PyTorch takes it, and ruins the weights at the first step."""
    with pytest.raises(ValueError, match="learning rate"):
        torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=lr)
