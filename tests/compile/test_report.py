"""What a compiled function tells of its kernels."""

from __future__ import annotations

from typing import Any

import pytest

import retrograd as torch
from retrograd.compile.compiled import Compiled
from retrograd.compile.replay import Replay
from tests.compile.side_by_side import batches

nn = torch.nn


def step_of(model: Any) -> tuple[Any, Any]:
    """A compiled training step that has run, and its optimizer."""
    optimizer = torch.optim.Adam(model.parameters())

    @torch.compile
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    for x, y in batches(4):
        step(x, y)
    return step, optimizer


def test_report():
    """Every kernel with its time, work and limit; the program has not moved."""
    model = nn.Sequential(nn.Linear(8, 6), nn.Dropout(0.5), nn.Tanh(), nn.Linear(6, 3))
    step, optimizer = step_of(model)
    before = [p.detach().clone() for p in model.parameters()]
    draws = torch.get_rng_state()
    report = step.report()
    assert torch.equal(torch.get_rng_state(), draws)
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True))
    assert optimizer.state[model[0].weight]["step"] == 4
    kernels = [row for row in report.rows if row.part.bound != "Python"]
    assert all(row.seconds > 0 and row.part.limit > 0 and row.part.flops >= 0 and row.part.bytes > 0 for row in kernels)
    assert any("product" in row.part.label for row in kernels)
    assert sum(row.share for row in report.rows) == pytest.approx(1)
    assert report.flops >= 2 * 5 * 8 * 6 + 2 * 5 * 6 * 3
    assert 0 < report.limit < report.seconds
    (python,) = [row.part.label for row in report.rows if row.part.bound == "Python" and "draw" in row.part.label]
    assert "dropout" in python
    lines = str(report).splitlines()
    assert "test_report" in lines[0]
    assert "threads" in lines[0]
    assert f"{len(kernels)} kernels" in lines[1]
    assert len(lines) == 4 + len(report.rows)
    assert "of peak" in lines[3]


def test_work_of_a_product():
    """A product's FLOP and bytes, and a limit that neither arithmetic nor memory can be under."""
    f = torch.compile(lambda a, b: a @ b)
    for _ in range(2):
        f(torch.ones(64, 32), torch.ones(32, 48))
    (row,) = f.report().rows
    assert row.part.flops == 2 * 64 * 32 * 48
    assert row.part.bytes >= 4 * (64 * 32 + 32 * 48 + 64 * 48)
    assert row.of_limit == row.part.limit / row.seconds


def test_kernels():
    """The loops of each kernel, and its LLVM IR; equal kernels share code."""
    f = torch.compile(lambda x: (x.exp() + 1).sum(1))
    f(torch.ones(4, 100))
    kernels = f.kernels()
    assert "exp" in str(kernels)
    (kernel,) = kernels
    assert "exp:" in kernel.text
    assert "define" in kernel.llvm()
    assert f.kernels(0)[0].text == kernel.text


def test_without_kernels():
    """NumPy's executor has none."""
    f = Compiled(lambda x: x * 2, backend=Replay)
    with pytest.raises(IndexError, match="call the function first"):
        f.report()
    for _ in range(2):
        f(torch.ones(2))
    for ask in (f.report, f.kernels):
        with pytest.raises(NotImplementedError, match="Replay runs programs without kernels"):
            ask()
    with pytest.raises(IndexError, match="no program 3"):
        f.report(3)


def test_report_of_a_module():
    """A compiled module tells the same."""
    model = torch.compile(nn.Linear(4, 3))
    for _ in range(2):
        model(torch.ones(2, 4))
    assert len(model.report().rows) == len(model.kernels()) == 1
    assert "def program(x0" in model.graph()
