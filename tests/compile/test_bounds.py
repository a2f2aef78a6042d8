"""No kernel touches memory that is not its buffers': samples and random programs run between pages that must not be touched.

A process that a kernel makes leave its buffers is ended by the system, so all of this runs in processes of its own:
`python -m tests.compile.test_bounds samples float32`, `... programs 100`, or `... broken end` for a kernel with an error.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import retrograd as torch
from retrograd.compile.capture import record
from retrograd.compile.graph import Buffer
from retrograd.core.tensor import address
from tests.compile.families import random_program
from tests.compile.guarded import FAULT, GuardedMachine, Room, bytes_at, now, watch_faults
from tests.compile.programs import numbers
from tests.compile.trials import Invalid, executed, recorded_trial
from tests.sampling import Sample
from tests.test_every_op import SAMPLES, look_up, ours, rebuilt, tensors_in

pytestmark = pytest.mark.skipif(sys.platform != "linux" or sys.maxsize < 2**32, reason="pages are protected as Linux does it, in 64 bits")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """This module's `main` in a process of its own."""
    return subprocess.run([sys.executable, "-m", "tests.compile.test_bounds", *arguments], capture_output=True, text=True)


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_every_sample(kind: str):
    """The samples of all operations stay within their buffers, and compute what they should."""
    done = run("samples", kind)
    assert done.returncode == 0, done.stdout + done.stderr


def test_random_programs():
    """So do random programs."""
    done = run("programs", "120")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("end", "touched memory 0 bytes past the end of a0 (argument, 84 bytes)"),
        ("beginning", "touched memory 4 bytes before the beginning of a0 (argument, 84 bytes)"),
    ],
)
def test_an_error_is_found(how: str, message: str):
    """A kernel that goes one element too far is stopped, and it is told which, where, and by how much."""
    done = run("broken", how)
    assert done.returncode == FAULT, done.stdout + done.stderr
    assert "FAULT addition: 'add on 21'" in done.stdout
    assert message in done.stdout


def test_what_is_written_next_to_a_buffer_is_found():
    """On the side of the buffer where there is room up to the next page."""
    room = Room(5, at_end=True)
    assert room.intact()
    room.bytes[:] = 1
    assert room.intact()
    room.pages[-6] = 1
    assert not room.intact()


# ---------------------------------------------------------------- in the other process


def samples(kind: str) -> None:
    """Every sample, with buffers that end, and then that begin, where they must not be left."""
    for name, sample in SAMPLES:
        now.what = f"{name}({sample!r})"
        sample_within_bounds(name, sample, np.dtype(kind).type)


def sample_within_bounds(name: str, sample: Sample, kind: Any) -> None:
    """Machine code of one sample."""

    def function(args: Any, kwargs: Any) -> Any:
        with torch.no_grad():
            return look_up(torch, name)(*args, **kwargs)

    for at_end in (True, False):
        given, recorded = (
            rebuilt(*built) if name.endswith("_") else built for built in (sample.build(ours, kind), sample.build(ours, kind))
        )
        _, program, _ = record(function, recorded, {})
        if program is not None:
            wrong = executed(program, tensors_in(given, torch.Tensor), lambda p, at_end=at_end: GuardedMachine(p, at_end))
            assert wrong is None, f"{now.what}: {wrong}"


def programs(count: str) -> None:
    """Random programs."""
    for seed in range(1000, 1000 + int(count)):
        now.what = f"seed {seed}"
        for at_end in (True, False):
            try:
                wrong = recorded_trial(random_program(seed), lambda p, at_end=at_end: GuardedMachine(p, at_end))
            except Invalid:
                continue
            assert wrong is None, f"seed {seed}: {wrong}"


class Shifted(GuardedMachine):
    """Machine code that is told that the first buffer is an element further on, or further back, than it is."""

    def given(self, buffer: Buffer) -> np.ndarray:
        """See `GuardedMachine`."""
        place = super().given(buffer)
        step = 4 if self.at_end else -4
        return bytes_at(address(place) + step, place.nbytes) if buffer is self.external[0] else place


def broken(how: str) -> None:
    """An addition that goes an element too far."""
    now.what = "addition"
    a, b = numbers(0, (21,)), numbers(1, (21,))
    _, program, _ = record(lambda a, b: a + b, [a, b], {})
    assert program is not None
    executed(program, [a, b], lambda p: Shifted(p, how == "end"))


if __name__ == "__main__":
    torch.set_num_threads(1)
    watch_faults()
    {"samples": samples, "programs": programs, "broken": broken}[sys.argv[1]](sys.argv[2])
