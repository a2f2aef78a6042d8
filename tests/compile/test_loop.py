"""`loop`: many calls at once, in one native call where that can be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import retrograd as torch
from retrograd.compile.machine import Machine
from retrograd.pytree import tree_flatten
from tests.compile.side_by_side import Job, batches, perceptron, training

nn = torch.nn


@pytest.fixture
def native(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many calls each native call made."""
    made: list[int] = []
    run_many = Machine.run_many

    def counted(self: Machine, n: int, *args: Any) -> int:
        made.append(n)
        return run_many(self, n, *args)

    monkeypatch.setattr(Machine, "run_many", counted)
    return made


def rows(n: int = 12) -> tuple[Any, Any]:
    """Batches, stacked."""
    xs, ys = zip(*batches(n), strict=True)
    return torch.stack(list(xs)), torch.stack(list(ys))


def agrees(build: Callable[[], Job], *data: Any, loops: int = 2, **tolerance: float) -> None:
    """Asserts that loops do what single calls do: results, weights, gradients, state and versions."""
    found = []
    for looped in (True, False):
        torch.manual_seed(0)
        job = build()
        mine = [x.clone() if isinstance(x, torch.Tensor) else x for x in data]
        step = torch.compile(job.step) if looped else job.step
        results = []
        for _ in range(loops):
            if looped:
                results.append(step.loop(*mine))
                continue
            n = next(len(x) for x in mine if isinstance(x, torch.Tensor))
            single = [step(*[x[i] if isinstance(x, torch.Tensor) else x for x in mine]) for i in range(n)]
            leaves = [tree_flatten(s)[0] for s in single]
            results.append(
                [torch.stack([x.detach() for x in c]) if isinstance(c[0], torch.Tensor) else c[-1] for c in zip(*leaves, strict=True)]
            )
        numbers = [x.numpy() if isinstance(x, torch.Tensor) else x for r in results for x in tree_flatten(r)[0]]
        versions = [p._version[0] for p in job.model.parameters()] if job.model is not None else []
        found.append((numbers + [x.numpy() for x in mine if isinstance(x, torch.Tensor)], job.seen(), versions))
    (numbers, seen, versions), (wanted, wanted_seen, wanted_versions) = found
    tolerance = {"rtol": 1e-4, "atol": 1e-5, **tolerance}
    for a, b in zip(numbers, wanted, strict=True):
        if isinstance(b, np.ndarray):
            np.testing.assert_allclose(a, b, **tolerance)
        else:
            assert a == b
    assert list(seen) == list(wanted_seen)
    for name, value in wanted_seen.items():
        if value is None:
            assert seen[name] is None
        elif isinstance(value, np.ndarray):
            np.testing.assert_allclose(seen[name], value, **tolerance, err_msg=name)
    assert versions == wanted_versions


OPTIMIZERS = {
    "SGD": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "Adam": lambda p: torch.optim.Adam(p, lr=0.01),
    "RMSprop": lambda p: torch.optim.RMSprop(p, lr=0.01),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training(name: str, native: list[int]):
    """All rows but the first ones, which are recorded and certified, in one native call; then all."""

    def build() -> Job:
        net = nn.Sequential(nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 3))
        optimizer = OPTIMIZERS[name](net.parameters())

        def step(x: Any, y: Any) -> Any:
            optimizer.zero_grad()
            made = net(x)
            loss = (made - y).pow(2).mean()
            loss.backward()
            optimizer.step()
            return loss.detach(), made.detach().T, "text"

        return Job(step, net, optimizer)

    agrees(build, torch.randn(12, 5, 8), torch.randn(12, 5, 3))
    assert native[-1] == 12
    assert 8 <= native[0] < 12


def test_accumulation(native: list[int]):
    """Gradients that grow over the rows, in place."""

    def build() -> Job:
        net = nn.Linear(8, 3)

        def step(x: Any) -> Any:
            loss = net(x).pow(2).sum()
            loss.backward()
            return loss.detach()

        return Job(step, net)

    agrees(build, torch.randn(10, 5, 8), rtol=1e-3)
    assert native[-1] == 10


def test_gradients_cleared_last(native: list[int]):
    """Gradients that are cleared at the end of each call, and some that are None."""

    def build() -> Job:
        net = perceptron()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

        def step(x: Any, y: Any) -> Any:
            (net(x) - y).pow(2).mean().backward()
            optimizer.step()
            optimizer.zero_grad()
            net[0].bias.grad = None

        return Job(step, net, optimizer)

    agrees(build, torch.randn(10, 5, 8), torch.randn(10, 5, 3))
    assert native[-1] == 10


def test_rows_written_in_place(native: list[int]):
    """Writes to the rows, and scalars as rows."""

    def build() -> Job:
        held = nn.Linear(2, 2)

        def step(x: Any, y: Any) -> Any:
            x[1:].mul_(y)
            with torch.no_grad():
                held.weight.add_(y)
            return x.sum(), x * 2

        return Job(step, held)

    agrees(build, torch.randn(10, 4), torch.randn(10))
    assert native[-1] == 10


def test_schedules_that_count(native: list[int]):
    """A schedule outside counts every step."""
    net = perceptron()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)

    @torch.compile
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = (net(x) - y).pow(2).mean()
        loss.backward()
        optimizer.step()
        return loss.detach()

    for _ in range(3):
        step.loop(torch.randn(6, 5, 8), torch.randn(6, 5, 3))
        schedule.step()
    assert native[-1] == 6
    assert schedule._optimizer_steps == 18


NOT_NATIVE = {
    "dropout": lambda x: nn.functional.dropout(x),
    "a callback": lambda x: torch.linalg.inv(x[:, :5]),
    "returns an argument": lambda x: x,
}


@pytest.mark.parametrize("name", NOT_NATIVE)
def test_one_by_one(name: str, native: list[int]):
    """What needs Python at every call is called as often."""
    x = torch.randn(6, 5, 8)
    f = torch.compile(NOT_NATIVE[name])
    for _ in range(2):
        torch.manual_seed(0)
        got = f.loop(x)
        torch.manual_seed(0)
        assert torch.allclose(got, torch.stack([NOT_NATIVE[name](r) for r in x]), rtol=1e-3, atol=1e-4)
    assert native == []


def test_hooks_and_schedules_inside(native: list[int]):
    """Hooks of the user's, and a schedule that steps inside, run at every call."""
    net = perceptron()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)

    @torch.compile
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = (net(x) - y).pow(2).mean()
        loss.backward()
        optimizer.step()
        schedule.step()
        return loss.detach()

    step.loop(torch.randn(6, 5, 8), torch.randn(6, 5, 3))
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1 * 0.9**6)
    calls: list[int] = []
    optimizer.register_step_post_hook(lambda *_: calls.append(1))
    step.loop(torch.randn(6, 5, 8), torch.randn(6, 5, 3))
    assert len(calls) == 6
    assert native == []


def test_labels():
    """Integer rows, whose indices are looked at at every call; counted steps."""
    agrees(training(), *rows())
    agrees(training(optimizer=OPTIMIZERS["Adam"]), *rows())


def test_a_row_that_raises():
    """The rows before it count; the one that raised, and those behind it, do not."""

    def made() -> tuple[Any, Any, Any]:
        torch.manual_seed(0)
        net = perceptron()
        optimizer = torch.optim.Adam(net.parameters(), lr=0.1)

        def step(x: Any, y: Any) -> Any:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(x), y)
            loss.backward()
            optimizer.step()
            return loss.detach()

        return net, optimizer, step

    (net, optimizer, step), (other, _, plain) = made(), made()
    step = torch.compile(step)
    xs, ys = rows()
    step.loop(xs, ys)
    bad = ys.clone()
    bad[7, 2] = 99
    with pytest.raises(IndexError):
        step.loop(xs, bad)
    for x, y in [*zip(xs, ys, strict=True), *zip(xs[:7], ys[:7], strict=True)]:
        plain(x, y)
    assert optimizer.state[net[0].weight]["step"] == 19
    for p, q in zip(net.parameters(), other.parameters(), strict=True):
        assert torch.allclose(p, q, rtol=1e-3, atol=1e-4)
        assert torch.allclose(p.grad, q.grad, rtol=1e-3, atol=1e-4)
    step.loop(xs, ys)
    assert optimizer.state[net[0].weight]["step"] == 31


def test_results_that_need_a_gradient(native: list[int]):
    """Results are detached."""
    net = nn.Linear(8, 3)
    f = torch.compile(net)
    x = torch.randn(9, 5, 8)
    for _ in range(2):
        got = f.loop(x)
        assert not got.requires_grad
        assert torch.allclose(got, net(x), atol=1e-5)
    assert native[-1] == 9
