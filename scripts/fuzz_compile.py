"""Random programs through machine code, compared with eager: `python -m scripts.fuzz_compile --programs 10000`.

Every program is recorded and run by NumPy and as machine code, or called as a compiled function beside the function itself, some times
with new numbers. What fails is made smaller and printed as a script. `--seed 7 --programs 1` runs one program again, `--seconds 600` stops
by the clock, `--guard` has every buffer between pages that must not be touched. Programs run in batches in processes of their
own: if one dies, the seed is printed, and the next batch goes on behind it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import retrograd as torch
from tests.compile import trials
from tests.compile.families import random_program
from tests.compile.guarded import FAULT, GuardedMachine, now, watch_faults
from tests.compile.programs import RandomProgram, shrunk
from tests.compile.trials import Invalid, compiled_trial, poisoned, recorded_trial

BATCH = 250
FAILED = 3


def failure(random: RandomProgram, level: int, make_executor: Callable[..., Any]) -> str | None:
    """What is wrong with a program, if anything."""
    trial = recorded_trial if level == 1 else compiled_trial
    return trial(random, make_executor)


def run_one(seed: int, levels: list[int], make_executor: Callable[..., Any], small: bool) -> list[str]:
    """What fails with the program of a seed."""
    found = []
    for level in levels:
        random = random_program(seed)
        try:
            wrong = failure(random, level, make_executor)
        except Invalid:
            continue
        except Exception:
            wrong = "the trial itself failed: " + traceback.format_exc()
        if wrong is None:
            continue
        if small:

            def fails(candidate: RandomProgram, level: int = level) -> bool:
                try:
                    return failure(candidate, level, make_executor) is not None
                except Exception:
                    return False

            random = shrunk(random, fails)
            with contextlib.suppress(Exception):
                wrong = failure(random, level, make_executor) or wrong
        found.append(f"seed {seed}, level {level}: {wrong}\n{random.text()}")
    return found


def batch(first: int, count: int, options: argparse.Namespace) -> None:
    """Runs programs in this process; says in a file how far it came."""
    levels = [1, 2] if options.level == 0 else [options.level]
    make_executor: Callable[..., Any] = poisoned
    if options.guard:
        torch.set_num_threads(1)
        watch_faults()
        make_executor = lambda program: GuardedMachine(program, seed % 2 == 0)  # noqa: E731
    failed = False
    for seed in range(first, first + count):
        Path(options.progress).write_text(str(seed))
        now.what = f"seed {seed}"
        for text in run_one(seed, [levels[seed // 10 % len(levels)]] if options.alternate else levels, make_executor, not options.raw):
            failed = True
            print(f"{'=' * 100}\n{text}", flush=True)
    for why, times in trials.refusals.most_common():
        print(f"in eager {times} times: {why}", flush=True)
    sys.exit(FAILED if failed else 0)


def main(arguments: list[str] | None = None) -> int:
    """Runs batches; returns how many of them failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="the first program's")
    parser.add_argument("--programs", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--level", type=int, default=0, choices=[0, 1, 2], help="1: recorded programs, 2: compiled functions, 0: both")
    parser.add_argument("--guard", action="store_true", help="every buffer between pages that must not be touched")
    parser.add_argument("--raw", action="store_true", help="print failing programs as they are")
    parser.add_argument("--alternate", action="store_true", help="each program at one level only, in turn")
    parser.add_argument("--progress", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.progress:
        batch(options.seed, options.programs, options)
    start, failures, seed, last = time.monotonic(), 0, options.seed, options.seed + options.programs
    with tempfile.TemporaryDirectory() as folder:
        progress = Path(folder) / "seed"
        while seed < last and time.monotonic() - start < options.seconds:
            count = min(BATCH, last - seed)
            command = [
                sys.executable,
                "-m",
                "scripts.fuzz_compile",
                "--seed",
                str(seed),
                "--programs",
                str(count),
                "--level",
                str(options.level),
            ]
            command += [f"--{flag}" for flag in ("guard", "raw", "alternate") if getattr(options, flag)] + ["--progress", str(progress)]
            status = subprocess.run(command, env={**os.environ, "RETROGRAD_CACHE_DIR": folder}).returncode
            failures += status != 0
            if status in (0, FAILED):
                seed += count
            else:
                reached = int(progress.read_text())
                print(
                    f"{'=' * 100}\nseed {reached}: {'a kernel left its buffers' if status == FAULT else f'the process died with {status}'}"
                )
                print(random_program(reached).text(), flush=True)
                seed = reached + 1
            print(f"{seed - options.seed} programs, {failures} batches with failures, {time.monotonic() - start:.0f} s", flush=True)
    return failures


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
