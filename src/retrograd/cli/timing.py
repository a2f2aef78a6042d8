"""Times of several contenders in one run: interleaved, since a shared machine is now quick and now slow, and as ratios."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from statistics import median

Step = Callable[[], object]
WARM = 3.0  # seconds
REST = 0.02  # seconds before a turn: threads that have worked may spin a little before they sleep


def calls_per_round(step: Step, seconds: float) -> int:
    """How often to call a function so that a round takes about so long."""
    n = 1
    while True:
        start = time.perf_counter()
        for _ in range(n):
            step()
        took = time.perf_counter() - start
        if took > seconds / 4:
            return max(1, round(n * seconds / took))
        n *= 4


def warm(step: Step) -> None:
    """Calls a function for as long as Retrograd's eager needs to make and choose kernels (compile/eager.py)."""
    end = time.perf_counter() + WARM
    while time.perf_counter() < end:
        step()


def turns(steps: dict[str, Step], rounds: int = 15, seconds: float = 0.05, rest: float = 0.0) -> dict[str, list[float]]:
    """The time of a call of each, in seconds, in each of the rounds in which all take turns; who begins changes each round.

    With a `rest`, each turn begins with so many seconds of sleep, in which the predecessor's idle threads stop spinning, and with one
    call that is not timed, which wakes the contender's own and fills the caches.
    """
    counts = {name: calls_per_round(step, seconds) for name, step in steps.items()}
    times: dict[str, list[float]] = {name: [] for name in steps}
    names = list(steps)
    gc.collect()
    for i in range(rounds):
        first = i % max(1, len(names))
        for name in names[first:] + names[:first]:
            step, n = steps[name], counts[name]
            if rest:
                time.sleep(rest)
                step()
            start = time.perf_counter()
            for _ in range(n):
                step()
            times[name].append((time.perf_counter() - start) / n)
    return times


def interleaved(steps: dict[str, Step], rounds: int = 15, seconds: float = 0.05, rest: float = 0.0) -> dict[str, float]:
    """The median time of a call of each, in seconds."""
    return {name: median(found) for name, found in turns(steps, rounds, seconds, rest).items()}


def shown(seconds: float) -> str:
    """A time in the unit that fits.

    >>> shown(0.0123), shown(4e-7)
    ('12.30 ms', '400.00 ns')
    """
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.2f} {unit}"
    return f"{seconds / 1e-9:.2f} ns"
