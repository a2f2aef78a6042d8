"""What watching costs, beside the same steps unwatched; and how large and how quick the page of a small GPT is.

Each row is a ratio of two times in one run, in turns. The page is opened in a headless Chromium, where there is one.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import retrograd
from benchmarks.eager import note_step
from retrograd.cli.timing import calls_per_round, shown
from retrograd.cli.workloads import gpt, gpt_numbers
from retrograd.seeing import see
from retrograd.seeing.flow import Flow
from retrograd.seeing.page.page import page

BATCHES = (1, 16, 64)
EVERY = 100
ROUNDS, SECONDS = 11, 0.2
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
Step = Callable[[], Any]


@contextmanager
def unwatched() -> Iterator[None]:
    """As ever."""
    yield


@contextmanager
def recorded() -> Iterator[None]:
    """Everything is recorded, values and gradients of every step."""
    with see(keep=4):
        yield


@contextmanager
def with_flow() -> Iterator[None]:
    """Recorded, and the flow kept."""
    recorder = see(keep=4)
    recorder.record.listeners.append(Flow(recorder.record).add)
    with recorder:
        yield


@contextmanager
def now_and_then() -> Iterator[None]:
    """One step of so many."""
    with see(keep=4, every=EVERY):
        yield


@contextmanager
def no_longer() -> Iterator[None]:
    """It was watched once, and is not any more."""
    with see():
        retrograd.ones(1) + 1
    yield


WAYS = {
    "recorded": (recorded, 2.0), "recorded, and the flow": (with_flow, None), f"every {EVERY}th step": (now_and_then, 1.03), "off": (no_longer, 1.0),
}  # fmt: skip


def timed(step: Step, n: int, way: Callable[[], Any]) -> float:
    """The time of a step among `n`."""
    with way():
        step()
        start = time.perf_counter()
        for _ in range(n):
            step()
        return (time.perf_counter() - start) / n


def ratios(batch: int) -> tuple[float, dict[str, float]]:
    """The time of the plain step, and how many times as long each way takes; the median over rounds of neighbours."""
    step = note_step(retrograd, batch)
    n = max(EVERY, calls_per_round(step, SECONDS) // EVERY * EVERY)
    plain: list[float] = []
    found: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(ROUNDS):
        for name, (way, _) in WAYS.items():
            before, watched, after = timed(step, n, unwatched), timed(step, n, way), timed(step, n, unwatched)
            plain.append(before)
            found[name].append(2 * watched / (before + after))
    return median(plain), {name: median(values) for name, values in found.items()}


def page_of_a_gpt() -> tuple[str, float]:
    """The page of some steps of the small GPT, and how many seconds it took to write."""
    parameters, arrays = gpt_numbers(2, 32, 16, 4)
    step, data = gpt(retrograd, parameters, 2, 2, 32, 16), tuple(retrograd.from_numpy(a) for a in arrays)
    with see() as record:
        for _ in range(4):
            step(*data)
    start = time.perf_counter()
    return page(record, "en"), time.perf_counter() - start


def opening_seconds(text: str) -> float | None:
    """How long the browser needs until the page has loaded and its graph stands; None where there is no browser."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "page.html"
        found = []
        for document in (text, "<!doctype html><title>empty</title>"):
            path.write_text(document, encoding="utf-8")
            command = [
                browser,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                f"--user-data-dir={folder}/profile",
                "--dump-dom",
                path.as_uri(),
            ]
            times = []
            for _ in range(3):
                start = time.perf_counter()
                subprocess.run(command, capture_output=True, check=True, timeout=120)
                times.append(time.perf_counter() - start)
            found.append(median(times))
    return found[0] - found[1]  # without what the browser itself takes to start


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
            goal = WAYS[name][1]
            limit = goal + 0.02 if goal == 1.0 else goal  # nothing is done; what is left is the clock's noise
            row(f"  {name}", f"{ratio:.3f}x", "" if goal is None else f"{goal:g}x", limit is None or ratio <= limit)
    text, seconds = page_of_a_gpt()
    size, opening = len(text.encode()) / 1e6, opening_seconds(text)
    row("the small GPT's page: to write", shown(seconds), "", True)
    row("the small GPT's page: size", f"{size:.2f} MB", "10 MB", size < 10)
    if opening is None:
        print("the small GPT's page: no Chromium was found to open it")
    else:
        row("the small GPT's page: to open", shown(opening), "2 s", opening < 2)
    return 1 if missed else 0
