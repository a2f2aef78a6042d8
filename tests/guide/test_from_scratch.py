"""`examples/from_scratch.py`: it runs, its numbers are the library's, and the guide shows all of it."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import retrograd as torch

ROOT = Path(__file__).parent.parent.parent
SOURCE = ROOT / "examples" / "from_scratch.py"


@pytest.fixture(scope="module")
def small() -> ModuleType:
    """The system of the example."""
    return importlib.import_module("examples.from_scratch")


def test_it_runs_and_learns(small: ModuleType, capsys: pytest.CaptureFixture[str]):
    """The loss falls at every step, and the chain of Jacobians gives what backward() gives."""
    small.main()
    printed = capsys.readouterr().out
    losses = [float(x) for x in re.findall(r"loss (\S+)", printed)]
    assert len(losses) == 5
    assert losses == sorted(losses, reverse=True)
    assert "256 x 784, 256 x 256, 10 x 256, 10 x 10" in printed
    difference = re.search(r"differ by at most (\S+)", printed)
    assert difference is not None
    assert float(difference[1]) < 1e-12


def test_the_notes_network_trains_as_the_librarys_does(small: ModuleType):
    """Loss, gradients and weights of three steps, with accumulation in the second."""
    torch.manual_seed(0)
    theirs = torch.nn.Sequential(torch.nn.Linear(784, 256), torch.nn.ReLU(), torch.nn.Linear(256, 10)).double()
    rng = np.random.default_rng(0)
    ours = small.Sequential(small.Linear(784, 256, rng), small.ReLU(), small.Linear(256, 10, rng))
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert mine.shape == tuple(other.shape)
        mine.data = other.detach().numpy().copy()
    x, ideal = rng.standard_normal((16, 784)), rng.standard_normal((16, 10))
    my_optimizer, their_optimizer = small.SGD(ours.parameters(), lr=0.001), torch.optim.SGD(theirs.parameters(), lr=0.001)
    for passes in (1, 2, 1):
        my_optimizer.zero_grad()
        their_optimizer.zero_grad()
        for _ in range(passes):
            my_loss = small.squared_error(ours(small.Tensor(x)), small.Tensor(ideal))
            their_loss = (torch.from_numpy(ideal) - theirs(torch.from_numpy(x))).pow(2).sum()
            my_loss.backward()
            their_loss.backward()
            np.testing.assert_allclose(my_loss.data, their_loss.item(), rtol=1e-12)
        for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            np.testing.assert_allclose(mine.grad, other.grad.numpy(), rtol=1e-9, atol=1e-11)
        my_optimizer.step()
        their_optimizer.step()
        for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            np.testing.assert_allclose(mine.data, other.detach().numpy(), rtol=1e-9, atol=1e-12)


OPERANDS: dict[str, tuple[tuple[int, ...], ...]] = {
    "add": ((3, 2), (2,)), "subtract": ((3, 1), (3, 2)), "multiply": ((2,), (3, 2)), "power": ((3, 2),), "relu": ((3, 2),),
    "matmul": ((3, 4), (4, 2)), "transpose": ((3, 2),), "total": ((3, 2),),
}  # fmt: skip


def test_every_operation_is_tested(small: ModuleType):
    """The list here is the file's."""
    assert {name for name, value in vars(small).items() if isinstance(value, small.Operation)} == set(OPERANDS)


@pytest.mark.parametrize("name", OPERANDS)
def test_rules_agree_with_differences(small: ModuleType, name: str):
    """The Jacobian by the rule, for each operand, is the one that is measured."""
    rng = np.random.default_rng(1)
    operation = getattr(small, name)
    options: dict[str, Any] = {"exponent": 3} if name == "power" else {}
    operands = [rng.uniform(0.5, 2.0, shape) * rng.choice([-1, 1], shape) for shape in OPERANDS[name]]
    assert len(operation.rules) == len(operands)
    for i, operand in enumerate(operands):

        def function(t: Any, i: int = i) -> Any:
            return operation(*operands[:i], t, *operands[i + 1 :], **options)

        np.testing.assert_allclose(small.jacobian(function, operand), small.measured_jacobian(function, operand), rtol=1e-7, atol=1e-8)


def test_what_cannot_be_done_is_refused(small: ModuleType):
    """Backward from several numbers without v, and where nothing wants a gradient."""
    with pytest.raises(RuntimeError, match="requires a gradient"):
        small.Tensor([1.0]).sum().backward()
    with pytest.raises(RuntimeError, match=r"one number to differentiate.*shape \(2,\)"):
        (small.Tensor([1.0, 2.0], requires_grad=True) * 2).backward()


def test_it_is_about_300_lines(small: ModuleType):
    """As the guide says: blank lines are not counted."""
    lines = [line for line in inspect.getsource(small).splitlines() if line.strip()]
    assert 250 < len(lines) < 320


@pytest.mark.parametrize("language", ["en", "es"])
def test_the_guide_shows_every_line(language: str):
    """The parts that the page includes follow one another, from the first line to the last."""
    page = (ROOT / "docs" / language / "from_scratch.md").read_text(encoding="utf-8")
    parts = re.findall(r"```\{literalinclude\} ../../examples/from_scratch.py\n(.*?)```", page, re.DOTALL)
    edges = [(re.search(r':start-after: "(.*)"', part), re.search(r':end-before: "(.*)"', part)) for part in parts]
    starts = [start and start[1] for start, _ in edges]
    ends = [end and end[1] for _, end in edges]
    assert starts[0] is None
    assert ends[-1] is None
    assert starts[1:] == ends[:-1]
    headings = [
        line.partition(" ---------------------------------------------------------------- ")[2]
        for line in SOURCE.read_text(encoding="utf-8").splitlines()
    ]
    assert starts[1:] == [f"--- {heading}" for heading in headings if heading]
