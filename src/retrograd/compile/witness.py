"""Watches for what a recorded program does besides tensors: printing, reading a clock, drawing Python's random numbers.

A profile function sees every call of a builtin function while a call is recorded. Whoever has set one of their own keeps it, and then
nothing is watched.
"""

from __future__ import annotations

import datetime
import io
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import numpy as np

from retrograd.errors import PACKAGE

EFFECTS = {
    print: "print() was called",
    input: "input() was called",
    open: "a file was opened",
    warnings.warn: "a warning was given",
}
MODULES = {"time": "the clock was read", "random": "Python's random numbers were drawn", "_random": "Python's random numbers were drawn"}
OWNERS = ((random.Random, "Python's random numbers were drawn"), (io.IOBase, "something was written to a file"))


def effect_of(function: Any) -> str | None:
    """What a builtin function does that no record tells, or None."""
    try:
        found = EFFECTS.get(function)
    except TypeError:  # not hashable
        return None
    if found is not None:
        return found
    of = getattr(function, "__self__", None)
    if isinstance(of, type) and issubclass(of, datetime.date) and function.__name__ in ("now", "utcnow", "today"):
        return MODULES["time"]
    for kind, what in OWNERS:
        if isinstance(of, kind):
            return what
    module = getattr(function, "__module__", None) or ""
    if module in MODULES:
        return MODULES[module]
    return None


def numpy_state() -> Any:
    """What NumPy's own generator draws next; None while it is not loaded."""
    if "numpy.random" not in sys.modules:
        return None
    state: Any = np.random.get_state()
    return state[1].tobytes(), *state[2:]


@contextmanager
def watching_python(refuse: Callable[[str], None]) -> Iterator[None]:
    """Calls `refuse` with what the block does that no record tells."""
    before = sys.getprofile()

    def look(frame: FrameType, event: str, function: Any) -> None:
        if event == "c_call" and not frame.f_code.co_filename.startswith((PACKAGE, "<frozen")):
            what = effect_of(function)
            if what is not None:
                refuse(what)

    if before is not None:
        yield
        return
    drawn = numpy_state()
    sys.setprofile(look)
    try:
        yield
    finally:
        sys.setprofile(None)
    if drawn is not None and numpy_state() != drawn:
        refuse("NumPy's random numbers were drawn")
