"""`retrograd bench`: a few training steps, compiled, eager, and by PyTorch where it is installed, timed in turns.

PyTorch is only looked for, and never needed.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import retrograd
from retrograd.cli.texts import BENCH, UserError
from retrograd.cli.timing import REST, interleaved, shown
from retrograd.cli.workloads import (
    Numbers,
    Step,
    gpt,
    gpt_numbers,
    note,
    note_numbers,
    note_rate,
    pointwise,
    pointwise_numbers,
)

PEER = "torch"
CHECKED_STEPS = 3
TOLERANCE = 1e-3  # of what is computed, relative to the largest number in it


@dataclass(frozen=True)
class Row:
    """A line of the table: its numbers, and its program for a library."""

    title: str
    numbers: Callable[[], tuple[Numbers, tuple[np.ndarray, ...]]]
    program: Callable[[Any, Numbers], Step]


def note_row(batch: int) -> Row:
    """The note's step at a batch size."""
    return Row(f"note {batch}", lambda: note_numbers(batch), lambda lib, parameters: note(lib, parameters, note_rate(batch)))


ROWS = (
    *(note_row(batch) for batch in (1, 16, 64, 256)),
    Row("pointwise", lambda: pointwise_numbers(1_000_000), pointwise),
    Row("gpt", lambda: gpt_numbers(2, 32, 16, 4), lambda lib, parameters: gpt(lib, parameters, 2, 2, 32, 16)),
)


def contenders() -> dict[str, tuple[Any, Callable[[Step], Step]]]:
    """The library and what is made of its step, by name: compiled and eager Retrograd, and PyTorch."""
    found: dict[str, tuple[Any, Callable[[Step], Step]]] = {}
    if compile := getattr(retrograd, "compile", None):
        found["compiled"] = retrograd, compile
    found["eager"] = retrograd, lambda step: step
    if importlib.util.find_spec(PEER):
        found["torch"] = importlib.import_module(PEER), lambda step: step
    return found


def prepared(row: Row, lib: Any, treat: Callable[[Step], Step]) -> Callable[[], Any]:
    """A step of the row without arguments."""
    parameters, arrays = row.numbers()
    data = tuple(lib.from_numpy(array) for array in arrays)
    step = treat(row.program(lib, parameters))
    return lambda: step(*data)


def first_number(result: Any) -> float:
    """The loss among what a step gives."""
    return float(result[0] if isinstance(result, tuple) else result)


def timed(row: Row, seconds: float) -> dict[str, float]:
    """The median time of a step of each contender, after the losses of their first steps were compared."""
    steps = {name: prepared(row, lib, treat) for name, (lib, treat) in contenders().items()}
    losses = {name: [first_number(step()) for _ in range(CHECKED_STEPS)] for name, step in steps.items()}
    for name, found in losses.items():
        if not np.allclose(found, losses["eager"], rtol=TOLERANCE, atol=0):
            raise UserError(f"{row.title}: the losses of {name}, {found}, are not those of eager, {losses['eager']}; please report this")
    return interleaved(steps, rounds=9, seconds=seconds / (9 * len(steps)), rest=REST)


def run(seconds: float, language: str) -> int:
    """Prints the table, `seconds` long for each row. Returns the exit status."""
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError as error:
        raise UserError(f"`retrograd bench` needs {error.name}, which draws its table: pip install 'retrograd[cli]'") from None
    say = BENCH[language]
    names = list(contenders())
    table = Table(title=say["title"], caption=say["caption"] if "torch" in names else say["no torch"])
    table.add_column(say["step"])
    for name in names:
        table.add_column(say[name], justify="right", no_wrap=True)
    fastest = names[0]
    for name in names[1:]:
        table.add_column(say["ratio"].format(name=say[name]), justify="right", no_wrap=True)
    console = Console(highlight=False)
    for row in ROWS:
        with console.status(say[row.title]):
            times = timed(row, seconds)
        cells = [shown(times[name]) for name in names] + [f"{times[name] / times[fastest]:.2f}x" for name in names[1:]]
        table.add_row(say[row.title], *cells)
    console.print(table)
    return 0
