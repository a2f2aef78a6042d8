"""What runs in a process of its own: `python -m benchmarks.alone row KEY CONTENDER...` or `... fresh KEY CONTENDER`, JSON comes out.

A row has its own process, so that it meets nothing that another left behind: no fragmented memory, no threads, no compiled functions
that count towards a limit; and if one crashes, the others are still measured. The contenders of a row share the process and take
turns, so that all of them meet the same neighbours on the machine. Their thread pools coexist: a pool that has just worked may spin for
some milliseconds before it sleeps, so each turn begins with a rest that is longer than that, and with a call that is not timed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from statistics import median
from typing import Any

import numpy as np

from benchmarks.contenders import CONTENDERS, Absent, Call, as_arrays
from benchmarks.workloads import WORKLOADS
from benchmarks.workloads.workload import Workload
from retrograd.cli.timing import REST, turns

CHECKED_STEPS = 3
FIRST, LATER = 5, 15  # steps of a fresh process: in the first the compiler is at work


def measured_row(workload: Workload, contenders: Sequence[str], rounds: int, seconds: float) -> dict[str, Any]:
    """Times of a step in every turn, by contender, and why others have none."""
    calls: dict[str, Call] = {}
    results: dict[str, list[np.ndarray]] = {}
    problems: dict[str, str] = {}
    for name in contenders:
        try:
            call = CONTENDERS[name](workload)
            results[name] = [array for _ in range(CHECKED_STEPS) for array in as_arrays(call())]
            calls[name] = call
        except Absent as error:
            problems[name] = f"absent: {error}"
        except Exception as error:  # a contender may fail in any way, and the others are still measured
            problems[name] = f"failed: {type(error).__name__}: {first_line(error)}"
    for name, problem in disagreements(results, workload.tolerance).items():
        problems[name] = problem
        calls.pop(name)
    return {"turns": turns(calls, rounds, seconds, REST), "problems": problems}


def first_line(error: Exception) -> str:
    """The beginning of a message."""
    return (str(error).strip().splitlines() or [""])[0][:200]


def disagreements(results: dict[str, list[np.ndarray]], tolerance: float) -> dict[str, str]:
    """Who computes something else than PyTorch eager, or than the first contender where that is missing."""
    reference = "torch" if "torch" in results else next(iter(results), "")
    problems = {}
    for name, found in results.items():
        for expected, got in zip(results[reference], found, strict=True):
            if expected.shape != got.shape:
                problems[name] = f"WRONG: a result of the shape {got.shape}, {reference} has {expected.shape}"
                break
            scale, apart = float(np.abs(expected).max()), float(np.abs(expected - got).max())
            if not apart <= tolerance * scale:
                problems[name] = f"WRONG: a result is {apart:.3g} from that of {reference}, of {scale:.3g}"
                break
    return problems


def measured_fresh(workload: Workload, contender: str) -> dict[str, float]:
    """What the first steps took beyond as many later ones, in seconds, and the most memory that the process ever held, in bytes."""
    call = CONTENDERS[contender](workload)
    start = time.perf_counter()
    for _ in range(FIRST):
        call()
    first = time.perf_counter() - start
    later = []
    for _ in range(LATER):
        start = time.perf_counter()
        call()
        later.append(time.perf_counter() - start)
    return {"compile_seconds": max(0.0, first - FIRST * median(later)), "peak_bytes": peak_bytes()}


def peak_bytes() -> int:
    """The largest resident set of this process so far."""
    with open("/proc/self/status", encoding="ascii") as status:  # `resource` would count the parent's too
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


def main(argv: Sequence[str]) -> int:
    """Prints one measurement as the last line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.alone")
    parser.add_argument("what", choices=("row", "fresh"))
    parser.add_argument("key", choices=tuple(WORKLOADS))
    parser.add_argument("contenders", nargs="+", choices=tuple(CONTENDERS))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.05)
    given = parser.parse_args(argv)
    workload = WORKLOADS[given.key]
    if given.what == "row":
        found = measured_row(workload, given.contenders, given.rounds, given.seconds)
    else:
        found = measured_fresh(workload, given.contenders[0])
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
