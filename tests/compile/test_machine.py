"""Machine code: what a program's kernels compute is what its operations' forward functions compute."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import retrograd as torch
from retrograd.compile.capture import record
from retrograd.compile.machine import Machine
from retrograd.compile.replay import Replay, memory_of
from tests.sampling import Sample
from tests.test_every_op import SAMPLES, look_up, ours, rebuilt, tensors_in

TOLERANCE = {np.dtype("f4"): 2e-5, np.dtype("f8"): 1e-11}


def memories(program: Any, arguments: Any) -> list[Any]:
    """Copies of the memory that a program runs on, so that two executors begin alike."""
    return [np.array(memory_of(b, arguments)) if b not in program.outputs() else np.zeros(b.nbytes, np.uint8) for b in program.external()]


def compare(program: Any, arguments: Any) -> Machine:
    """Runs a program both ways and compares all memory that it may have written."""
    machine = Machine(program)
    wanted, got = memories(program, arguments), memories(program, arguments)
    scalars = np.full(program.scalar_count(), 0.01)
    Replay(program).run(wanted, scalars)
    machine.run(got, scalars)
    kinds = {view.buffer: view.dtype for view in program.views()}
    for buffer, a, b in zip(program.external(), got, wanted, strict=True):
        kind = kinds[buffer]
        if not a.size or a.nbytes % kind.itemsize:
            continue
        mine, theirs = a.reshape(-1).view(kind), b.reshape(-1).view(kind)
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
