"""Random programs: what is compiled does what is not. `python -m scripts.fuzz_compile` runs as many as one likes, and makes those that fail smaller."""

from __future__ import annotations

import numpy as np
import pytest

import retrograd as torch
from retrograd.compile.executor import Executor
from retrograd.compile.graph import Program
from retrograd.compile.machine import Machine
from tests.compile.families import KINDS, random_program
from tests.compile.programs import Argument, RandomProgram, shrunk
from tests.compile.trials import Invalid, compiled_trial, recorded_trial

RECORDED, COMPILED = range(0, 240), range(240, 360)


@pytest.mark.parametrize("seed", RECORDED)
def test_recorded(seed: int):
    """A recorded program gives as machine code what it gives by NumPy."""
    program = random_program(seed)
    wrong = recorded_trial(program)
    assert wrong is None, f"{wrong}\n{program.text()}"


@pytest.mark.parametrize("seed", COMPILED)
def test_compiled(seed: int):
    """A compiled function does in several calls what the function does: results, gradients, state, random draws."""
    program = random_program(seed)
    wrong = compiled_trial(program)
    assert wrong is None, f"{wrong}\n{program.text()}"


# ---------------------------------------------------------------- the trials themselves


class OffByOne:
    """An executor with an error: one number in the last buffer that it writes is wrong."""

    def __init__(self, program: Program) -> None:
        self.machine = Machine(program)

    def run(self, memory: list[np.ndarray], scalars: np.ndarray) -> None:
        """Runs, and then spoils a number."""
        self.machine.run(memory, scalars)
        memory[-1].reshape(-1).view(np.float32)[:1] += 1


ADDITION = RandomProgram(
    0,
    (Argument("a", (3,), "float32"), Argument("b", (4,), "float32")),
    ("w = numbers(0, (3,), 'float32').requires_grad_()",),
    ("c = b * 2", "d = a + 1", "e = d * w"),
    ("c", "e.detach()"),
)


def test_a_wrong_executor_is_found():
    """Both trials find it."""
    executor: type[Executor] = OffByOne
    assert recorded_trial(ADDITION) is None
    assert compiled_trial(ADDITION) is None
    assert recorded_trial(ADDITION, executor) is not None
    wrong = compiled_trial(ADDITION, executor)
    assert wrong is not None
    assert "does not compute what the function does" in wrong


def test_a_program_is_a_script_that_runs():
    """Its text defines all that it needs."""
    names = ADDITION.start()
    c, e = names["function"](*names["arguments"](0))
    np.testing.assert_array_equal(c.numpy(), 2 * names["arguments"](0)[1].numpy())
    assert e.shape == (3,)
    assert ADDITION.start(double=True)["w"].dtype == torch.float64


def test_shrinking():
    """Everything that the failure does not need goes."""
    small = shrunk(ADDITION, lambda p: "d = a + 1" in p.body and runs(p))
    assert small.body == ("d = a + 1",)
    assert small.setup == small.results == ()


def runs(program: RandomProgram) -> bool:
    """Whether the program runs."""
    try:
        names = program.start()
        names["function"](*names["arguments"](0))
    except Exception:
        return False
    return True


def test_a_program_that_does_not_run_is_none():
    """It says so."""
    broken = RandomProgram(0, (), (), ("c = nowhere",), ("c",))
    for trial in (recorded_trial, compiled_trial):
        with pytest.raises(Invalid, match="nowhere"):
            trial(broken)


def test_every_kind_comes():
    """The seeds go round the kinds of programs; equal seeds make equal programs."""
    programs = [random_program(seed) for seed in range(2 * len(KINDS))]
    assert [p.text() for p in programs] == [random_program(seed).text() for seed in range(2 * len(KINDS))]
    everything = "".join(random_program(seed).text() for seed in range(300))
    for part in (
        "backward()",
        "torch.func.vmap",
        "optimizer.step()",
        "create_graph",
        "scheduler",
        "torch.rand",
        "float64",
        "[::2",
        "+= ",
        "F.conv",
    ):
        assert part in everything, part
