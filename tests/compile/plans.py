"""What the compiler makes of some typical programs, as text: for goldens that show how a change of the compiler changes its plans.

The text tells the recorded program, and then each unit in the order in which they run: which loops share a nest, in how many passes, what
stays in registers (`~`) and what is written to memory (`=`). It is made for one imagined processor, so that it is the same on
every machine. `python -m tests.compile.plans` writes the goldens anew.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import retrograd as torch
from retrograd.compile import machine
from retrograd.compile.arrays import Convolution, Product
from retrograd.compile.capture import record
from retrograd.compile.fuse import Single, Unit
from retrograd.compile.graph import Program
from retrograd.compile.machine import Machine
from retrograd.compile.native.host import Host
from retrograd.compile.schedule import Schedule, head_schedule, schedule
from tests.compile.programs import numbers

F = torch.nn.functional
GOLDENS = Path(__file__).parent / "goldens"
LANES = 16
IMAGINED = Host(512, 32, 48 << 10, 1 << 20, 32 << 20, 4, "imagined", "")


class Planned(Machine):
    """A machine that plans, and makes no code."""

    def make_segments(self) -> list[Any]:
        """See `Machine`."""
        return []


def plan_of(program: Program, host: Host = IMAGINED) -> str:
    """The program and its units as text."""
    actual = machine.host
    machine.host = lambda: host  # type: ignore[assignment]
    try:
        planned = Planned(program)
    finally:
        machine.host = actual
    lines = [str(program), ""]
    for unit, stages in zip(planned.units, planned.stages, strict=True):
        lines += ["".join(f"{stage.label} [{stage.extent} by {stage.grain}] " for stage in stages).strip() or "in Python"]
        lines += [f"    {line}" for line in text_of(unit, planned)]
    return "\n".join(lines) + "\n"


def text_of(unit: Unit, planned: Machine) -> list[str]:
    """A unit in lines."""
    if isinstance(unit, Single):
        return [str(getattr(unit.statement, "step", type(unit.statement).__name__))]
    if unit.head is None:
        return loops_of(schedule(unit, planned.kept, LANES))
    head: Product | Convolution = unit.head
    return [f"{head.target} = {type(head).__name__}({head.a}, {head.b})", *loops_of(head_schedule(unit, planned.kept))]


def loops_of(plan: Schedule) -> list[str]:
    """The key of a schedule, and which buffers its numbers stand for."""
    buffers = " ".join(f"{i}={b.name}+{offset}" for i, (b, offset) in enumerate(plan.buffers.items()))
    return [buffers, *plan.key().replace(";", "\n        ").split("\n")]


# ---------------------------------------------------------------- the programs


def planned(function: Callable[..., Any], *arguments: Any, calls: int = 1) -> str:
    """The plan of a function's last call."""
    program, why = None, None
    for _ in range(calls):
        _, program, why = record(function, arguments, {})
    assert program is not None, why
    return plan_of(program)


def notes_step() -> str:
    """A small network, cross entropy, backward, SGD."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(784, 256), torch.nn.ReLU(), torch.nn.Linear(256, 10))
    return planned(step_of(net, torch.optim.SGD(net.parameters(), lr=0.1)), numbers(0, (16, 784)), numbers(1, (16,), "int64", 0, 10))


def step_of(net: Any, optimizer: Any) -> Callable[..., Any]:
    """A step of training."""

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def softmax() -> str:
    """Rows: three passes in one nest."""
    return planned(lambda x: F.softmax(x, -1), numbers(0, (33, 65)))


def layer_norm_backward() -> str:
    """A layer norm with weights and all its gradients."""
    weight, bias = (numbers(i, (64,)).requires_grad_() for i in (1, 2))

    def gradients(x: Any) -> Any:
        x = x.detach().requires_grad_()
        y = F.layer_norm(x, (64,), weight, bias)
        return torch.autograd.grad((y * y).sum(), [x, weight, bias])

    return planned(gradients, numbers(0, (32, 64)))


def batch_norm_step() -> str:
    """A convolution, its normalization with running statistics, and their gradients."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.BatchNorm2d(8), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(512, 4)
    )
    return planned(step_of(net, torch.optim.SGD(net.parameters(), lr=0.1)), numbers(0, (4, 3, 8, 8)), numbers(1, (4,), "int64", 0, 4))


def adam_update() -> str:
    """An update of one parameter: one loop."""
    weight = numbers(0, (31, 17)).requires_grad_()
    optimizer = torch.optim.Adam([weight], lr=0.01, weight_decay=0.1)

    def step(x: Any) -> None:
        optimizer.zero_grad()
        (weight * x).sum().backward()
        optimizer.step()

    return planned(step, numbers(1, (31, 17)), calls=2)


def attention() -> str:
    """Causal attention of four heads."""
    return planned(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True), *[numbers(i, (2, 4, 16, 8)) for i in range(3)])


def cross_entropy() -> str:
    """The loss and its gradient."""

    def gradient(x: Any, y: Any) -> Any:
        x = x.detach().requires_grad_()
        return torch.autograd.grad(F.cross_entropy(x, y, label_smoothing=0.1), x)

    return planned(gradient, numbers(0, (32, 10)), numbers(1, (32,), "int64", 0, 10))


def jacobian() -> str:
    """The Jacobian of a small network."""
    first, second = numbers(1, (17, 8)), numbers(2, (5, 17))
    return planned(torch.func.jacrev(lambda x: torch.tanh(x @ first.T) @ second.T), numbers(0, (8,)))


PLANS: dict[str, Callable[[], str]] = {
    f.__name__: f for f in (notes_step, softmax, layer_norm_backward, batch_norm_step, adam_update, attention, cross_entropy, jacobian)
}

if __name__ == "__main__":
    GOLDENS.mkdir(exist_ok=True)
    for name, make in PLANS.items():
        (GOLDENS / f"{name}.txt").write_text(make(), encoding="utf-8")
