"""Times of several contenders in one run: interleaved, since a shared machine is now quick and now slow, and as ratios."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

Step = Callable[[], object]


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


def interleaved(steps: dict[str, Step], rounds: int = 15, seconds: float = 0.05) -> dict[str, float]:
    """The median time of a call of each, in seconds, over rounds in which all take turns; who begins changes each round."""
    counts = {name: calls_per_round(step, seconds) for name, step in steps.items()}
    times: dict[str, list[float]] = {name: [] for name in steps}
    names = list(steps)
    gc.collect()
    for i in range(rounds):
        for name in names[i % len(names) :] + names[: i % len(names)]:
            step, n = steps[name], counts[name]
            start = time.perf_counter()
            for _ in range(n):
                step()
            times[name].append((time.perf_counter() - start) / n)
    return {name: sorted(found)[len(found) // 2] for name, found in times.items()}


def shown(seconds: float) -> str:
    """A time in the unit that fits."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:8.2f} {unit}"
    return f"{seconds / 1e-9:8.2f} ns"
