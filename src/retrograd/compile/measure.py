"""Measures a program: runs it on copies of what it reads and writes, and holds each kernel against the machine's measured peak."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from retrograd.compile.certify import copy_of, generators_of, trial_scalars
from retrograd.compile.executor import Executor
from retrograd.compile.graph import Buffer, Draw, Program
from retrograd.compile.report import Part, Report

ROUNDS, LONG = 300, 1.0  # at most so many runs, and so many seconds
MADE_UP = ((-1, 1, 0), (0, 1, 0), (0.5, 1, 1))  # what arguments may be filled with: floats from, to; whole numbers


class Measurement:
    """Memory on which a program may run as often as one likes.

    Args:
        held: the arrays of memory from outside, as the program's entry has them; None for what comes with a call.
        numbers: what is made up for these: a range for floats, and a whole number.
    """

    def __init__(self, program: Program, held: Sequence[Any], numbers: tuple[float, float, int]) -> None:
        self.external = program.external()
        self.begin = {b: start_of(b, array, numbers) for b, array in zip(self.external, held, strict=True) if b.kind != "made"}
        self.memory = [self.begin[b].copy() if b in self.begin else np.zeros(max(b.nbytes, 1), np.uint8) for b in self.external]
        written = {v.buffer for step in program.steps for v in step.writes()}
        self.again = [
            (array, self.begin[b]) for b, array in zip(self.external, self.memory, strict=True) if b in written and b in self.begin
        ]
        self.scalars = trial_scalars(program)
        self.generators = list({id(g): g for step in program.steps if isinstance(step, Draw) for g in generators_of(step)}.values())

    def times(self, executor: Any) -> tuple[float, list[float]]:
        """The best seconds of a run, and of each part, right after another run: caches are full and workers awake, as within a loop.

        Generators are left as they were.
        """
        states = [g.place() for g in self.generators]
        whole, parts = float("inf"), np.full(len(executor.parts()), np.inf)
        try:
            end = time.perf_counter() + LONG
            for n in range(ROUNDS + 1):
                self.reset()
                executor.run(self.memory, self.scalars.copy())
                start = time.perf_counter()
                executor.run(self.memory, self.scalars.copy())
                whole = min(whole, time.perf_counter() - start)
                parts = np.minimum(parts, executor.timed(self.memory, self.scalars.copy()))
                if n and time.perf_counter() > end:
                    break
        finally:
            for g, state in zip(self.generators, states, strict=True):
                g.go_to(state)
        return whole, [float(t) for t in parts]

    def reset(self) -> None:
        """Puts the numbers back that the program has written over."""
        for array, begin in self.again:
            np.copyto(array, begin)


def start_of(buffer: Buffer, array: ndarray | None, numbers: tuple[float, float, int]) -> ndarray:
    """The bytes that a buffer begins with: those that it has, or made-up ones for what comes with a call."""
    if array is not None:
        return copy_of(array, buffer.nbytes)
    kind = buffer.layout[2] if buffer.layout is not None else np.dtype(np.uint8)
    low, high, whole = numbers
    count = buffer.nbytes // kind.itemsize
    return (np.linspace(low, high, count) if kind.kind == "f" else np.full(count, whole)).astype(kind).view(np.uint8)


def measured(title: str, program: Program, executor: Executor, held: Sequence[Any]) -> Report:
    """Runs a program some times, on copies, and reports.

    Raises:
        NotImplementedError: if the executor has no kernels to be timed.
        RuntimeError: if the program raises, whatever is made up for its arguments.
    """
    parts = parts_of(executor)
    why: Exception | None = None
    for numbers in MADE_UP:
        try:
            whole, times = Measurement(program, held, numbers).times(executor)
            break
        except Exception as error:  # indices out of range, a division by zero, ...
            why = error
    else:
        raise RuntimeError(f"{title} cannot be timed on made-up arguments: it raises {type(why).__name__}: {why}") from why
    return Report(f"{title} on {machine_of(executor)}", whole, parts, times)


def parts_of(executor: Any) -> list[Part]:
    """The kernels of an executor.

    Raises:
        NotImplementedError: if it has none.
    """
    if not hasattr(executor, "parts"):
        raise NotImplementedError(f"{type(executor).__name__} runs programs without kernels that could be shown")
    found: list[Part] = executor.parts()
    return found


def machine_of(executor: Any) -> str:
    """The processor in words."""
    found: str = executor.machine()
    return found
