"""What watching costs, beside the same steps unwatched; and how large and how quick the page is (`benchmarks/page.py`).

Of what watching costs, each row is a ratio of two times in one run, in turns, as soon as the record has as many steps as it keeps: the first
of them need memory that the process has not had yet, which costs once.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from statistics import median
from typing import Any

import retrograd
from benchmarks import page
from benchmarks.eager import note_step
from retrograd.cli.timing import calls_per_round, shown, warm
from retrograd.seeing import see
from retrograd.seeing.flow import Flow

BATCHES = (1, 16, 64)
NOTES = 16  # the batch in the note, for which the goals are; the others show how it goes on
EVERY, KEEP = 100, 4
ROUNDS, SECONDS = 15, 0.25
Step = Callable[[], Any]


@contextmanager
def unwatched() -> Iterator[None]:
    """As ever."""
    yield


@contextmanager
def recorded() -> Iterator[None]:
    """Everything is recorded, values and gradients of every step."""
    with see(keep=KEEP):
        yield


@contextmanager
def with_flow() -> Iterator[None]:
    """Recorded, and the flow kept."""
    recorder = see(keep=KEEP)
    recorder.record.listeners.append(Flow(recorder.record).add)
    with recorder:
        yield


@contextmanager
def now_and_then() -> Iterator[None]:
    """One step of so many."""
    with see(keep=KEEP, every=EVERY):
        yield


@contextmanager
def no_longer() -> Iterator[None]:
    """It was watched once, and is not any more."""
    with see():
        retrograd.ones(1) + 1
    yield


# For each way its goal, and how often it is measured: a hundredth of a step's time needs more turns to be told from noise.
WAYS = {
    "recorded": (recorded, 2.0, ROUNDS), "recorded, and the flow": (with_flow, None, ROUNDS),
    f"every {EVERY}th step": (now_and_then, 1.03, 4 * ROUNDS), "off": (no_longer, 1.0, 4 * ROUNDS),
}  # fmt: skip


def timed(step: Step, n: int, way: Callable[[], Any], before: int = 1) -> float:
    """The time of a step among `n`, after so many that are not timed."""
    with way():
        for _ in range(before):
            step()
        start = time.perf_counter()
        for _ in range(n):
            step()
        return (time.perf_counter() - start) / n


def ratios(batch: int) -> tuple[float, dict[str, float]]:
    """The time of the plain step, and how many times as long each way takes; the median over rounds of neighbours."""
    step = note_step(retrograd, batch)
    warm(step)
    n = max(EVERY, calls_per_round(step, SECONDS) // EVERY * EVERY)
    plain: list[float] = []
    found: dict[str, list[float]] = {name: [] for name in WAYS}
    for turn in range(max(rounds for *_, rounds in WAYS.values())):
        for name, (way, _, rounds) in WAYS.items():
            if turn >= (rounds if batch == NOTES else ROUNDS):
                continue
            before, watched, after = timed(step, n, unwatched), timed(step, n, way, KEEP * EVERY + 1), timed(step, n, unwatched)
            plain.append(before)
            found[name].append(2 * watched / (before + after))
    return median(plain), {name: median(values) for name, values in found.items()}


def main(argv: Sequence[str] = ()) -> int:
    """Prints the table. Takes no options. Returns the exit status: 1 if a goal was missed."""
    if argv:
        print(f"python -m benchmarks seeing takes no options, got {' '.join(argv)}", file=sys.stderr)
        return 2
    missed = 0

    def row(name: str, value: str, goal: str, met: bool) -> None:
        nonlocal missed
        missed += not met
        print(f"{name:52}{value:>12}{goal:>12}{'' if met else '   missed'}", flush=True)

    print(f"{'':52}{'':>12}{'goal':>12}")
    for batch in BATCHES:
        plain, found = ratios(batch)
        print(f"the note's step, batch {batch}: {shown(plain)}")
        for name, ratio in found.items():
            goal = WAYS[name][1] if batch == NOTES else None
            limit = goal + 0.02 if goal == 1.0 else goal  # nothing is done; what is left is the clock's noise
            row(f"  {name}", f"{ratio:.3f}x", "" if goal is None else f"{goal:g}x", limit is None or ratio <= limit)
    page.measure(row)
    return 1 if missed else 0
