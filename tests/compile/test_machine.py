"""Machine code: what a program's kernels compute is what its operations' forward functions compute."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import retrograd as torch
from retrograd import nn
from retrograd.compile.binding import Binding
from retrograd.compile.capture import record
from retrograd.compile.certify import Trial
from retrograd.compile.graph import View
from retrograd.compile.machine import Machine
from retrograd.compile.replay import Replay, elements
from retrograd.core.tensor import address
from tests.sampling import Sample
from tests.test_every_op import SAMPLES, look_up, ours, rebuilt, tensors_in

TOLERANCE = {np.dtype("f4"): 2e-5, np.dtype("f8"): 1e-11}


def compare(program: Any, arguments: Any) -> Machine:
    """Runs a program both ways on copies of its memory, and compares all that it may have written."""
    machine = Machine(program)
    trial = Trial(program, Binding(program, arguments, {}), arguments)
    wanted, got = trial.run(Replay(program)), trial.run(machine)
    kinds = {view.buffer: view.dtype for view in program.views()}
    for buffer in program.external():
        kind = kinds[buffer]
        n = buffer.nbytes // kind.itemsize
        if not n or buffer.nbytes % kind.itemsize:
            continue
        mine, theirs = (elements(address(memory[buffer]), View(buffer, 0, (n,), (kind.itemsize,), kind)) for memory in (got, wanted))
        if kind in TOLERANCE:
            scale = np.abs(theirs[np.isfinite(theirs)]).max(initial=0)
            np.testing.assert_allclose(mine, theirs, rtol=TOLERANCE[kind], atol=TOLERANCE[kind] * scale, err_msg=str(program))
        else:
            np.testing.assert_array_equal(mine, theirs, err_msg=str(program))
    return machine


@pytest.mark.parametrize("kind", [np.float32, np.float64], ids=["f32", "f64"])
@pytest.mark.parametrize(("name", "sample"), SAMPLES, ids=[f"{n}({s!r})" for n, s in SAMPLES])
def test_every_sample(name: str, sample: Sample, kind: Any):
    """Every sample of every operation, lowered."""

    def function(args: Any, kwargs: Any) -> Any:
        with torch.no_grad():
            return look_up(torch, name)(*args, **kwargs)

    given, recorded = (rebuilt(*built) if name.endswith("_") else built for built in (sample.build(ours, kind), sample.build(ours, kind)))
    _, program, _ = record(function, recorded, {})
    if program is not None:
        compare(program, tensors_in(given, torch.Tensor))


def test_products_of_time_steps_are_joined():
    """The gradient of a recurrent weight is one product over all steps, and the same numbers."""
    torch.manual_seed(0)
    cell = torch.nn.RNN(3, 5).double()

    def step(x: Any) -> Any:
        cell.zero_grad()
        cell(x)[0].square().sum().backward()
        return cell.weight_hh_l0.grad

    x = torch.randn(8, 4, 3, dtype=torch.float64)
    step(x)
    _, program, why = record(step, (x,), {})
    assert program is not None, why
    machine = compare(program, [x])
    products = [unit.head for unit in machine.units if getattr(unit, "head", None) is not None]
    assert [p.a.shape[1] for p in products if p.target.shape == (5, 5)] == [4, 7 * 4]  # the first step's state is from outside


def test_long_sums_do_not_lose_digits():
    """Many equal numbers, added along a dim in which vectors do not run."""
    for shape, dim in (((4099, 3), 0), ((2, 4099, 3), 1), ((5, 40_000), 1), ((3, 700, 7, 2), (0, 1))):
        x = torch.full(shape, 1.1)
        _, program, why = record(lambda v, d=dim: v.sum(d), (x,), {})
        assert program is not None, why
        memory = [x._data, np.zeros(program.outputs()[0].nbytes, np.uint8)]
        Machine(program).run(memory, np.zeros(1))
        wanted = x._data.astype(np.float64).sum(dim)
        np.testing.assert_allclose(memory[1].view(np.float32).reshape(wanted.shape), wanted, rtol=2e-6)


def test_an_index_out_of_range_stops_the_program():
    """Nothing after the look at indices runs; the next call is as if nothing had been."""
    table, kept = torch.arange(12.0).reshape(4, 3), torch.zeros(2, 3)

    def look_up(index: Any) -> Any:
        kept.copy_(torch.nn.functional.embedding(index, table))
        return kept.sum()

    f = torch.compile(look_up, fullgraph=True)
    for _ in range(3):
        assert f(torch.tensor([1, 2])).item() == 33
    for bad in (4, -1):
        with pytest.raises(IndexError, match=f"index {bad} is out of range"):
            f(torch.tensor([0, bad]))
        np.testing.assert_array_equal(kept.numpy(), table.numpy()[1:3])
    assert f(torch.tensor([0, 0])).item() == 6
    assert f.loop(torch.tensor([[0, 0], [1, 2]])).tolist() == [6, 33]
    with pytest.raises(IndexError):
        f.loop(torch.tensor([[0, 0], [9, 2], [1, 1]]))


def test_a_timed_run_that_is_stopped_says_so():
    """And the next run is as if nothing had been."""
    x, index = torch.arange(6.0).reshape(2, 3), torch.tensor([[1, 0, 1]])
    program = record(lambda x, index: torch.gather(x, 0, index), (x, index), {}, strict=True)[1]
    machine = Machine(program)
    arguments = {0: x, 1: index}
    memory = [np.zeros(b.nbytes, np.uint8) if b.kind == "made" else arguments[b.source.argument]._data.copy() for b in program.external()]
    at = next(i for i, b in enumerate(program.external()) if b.kind == "argument" and b.source.argument == 1)
    memory[at][0, 0] = 7
    with pytest.raises((IndexError, RuntimeError), match="index 7 is out of"):
        machine.timed(memory, np.zeros(1))
    memory[at][0, 0] = 0
    machine.run(memory, np.zeros(1))
    result = next(m for m, b in zip(memory, program.external(), strict=True) if b.kind == "made")
    np.testing.assert_array_equal(result.view(np.float32), [0, 1, 5])


@pytest.mark.parametrize(
    "loss",
    [
        nn.MSELoss(), nn.MSELoss(reduction="sum"), nn.L1Loss(), nn.SmoothL1Loss(), nn.HuberLoss(), nn.BCELoss(), nn.BCEWithLogitsLoss(),
        nn.SoftMarginLoss(), nn.KLDivLoss(reduction="batchmean"), nn.CrossEntropyLoss(), nn.NLLLoss(),
    ],
    ids=lambda loss: type(loss).__name__,
)  # fmt: skip
def test_losses_are_machine_code(loss: Any):
    """With their gradients, from beginning to end."""
    torch.manual_seed(0)
    x = torch.rand(4, 3, requires_grad=True)
    target = torch.tensor([0, 2, 1, 1]) if isinstance(loss, (nn.CrossEntropyLoss, nn.NLLLoss)) else torch.rand(4, 3).round()

    def step(x: Any, target: Any) -> Any:
        value = loss(x, target)
        return value, *torch.autograd.grad(value, x)

    program = record(step, (x, target), {}, strict=True)[1]
    assert Machine(program).is_native()
