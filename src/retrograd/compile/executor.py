"""What runs a program: the interface between those who record and guard programs and those who execute them.

An executor is made once for a program, by `make_executor(program)`, and then runs it again and again on the memory that it is handed.
It owns constants and what the program makes for itself; all other memory comes from outside at every run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy import ndarray

from retrograd.compile.graph import Call, Draw, Step, Update, View, Write
from retrograd.core.op import rounded


class Executor(Protocol):
    """Runs one program."""

    def run(self, memory: list[Any], scalars: ndarray) -> None:
        """Runs the program once.

        Args:
            memory: for each buffer of `program.external()`, in that order, an array (of any shape and dtype) whose first element is where
                the buffer begins: offsets of views count from there. The list is the same object at every run, with other
                arrays in it; an executor keeps none of them. Outputs have no numbers yet.
            scalars: float64, shape (program.scalar_count(),): the live numbers, read at `step.first .. step.first + step.count`.

        Whatever a step that runs in Python raises goes through. Runs of one executor never overlap.
        """


def perform(step: Step, array: Callable[[View], ndarray], scalars: Sequence[float] | ndarray) -> None:
    """Runs one step in NumPy: by the operation's forward function, or the optimizer's rule.

    Args:
        array: gives the elements of a view, as an array on the memory of its buffer.
        scalars: the live numbers of the run.
    """
    if isinstance(step, Call):
        given = [array(a) if isinstance(a, View) else a for a in step.operands]
        y = step.op.forward(*given, **step.params)
        for result, value in zip(step.results, y if step.op.outputs else (y,), strict=True):
            value = np.asarray(value)
            if value.shape != result.shape:
                raise RuntimeError(
                    f"{step.op.name} gave a result of shape {list(value.shape)}, and one of {list(result.shape)} when it was recorded"
                )
            if step.op.family == "elementwise" and value.dtype == np.float32:
                value = rounded(value, given)
            np.copyto(array(result), value, casting="no")
    elif isinstance(step, Write):
        np.copyto(array(step.target), array(step.value))
    elif isinstance(step, Draw):
        drawn = step.function(*map(array, step.operands))
        for result in step.results:
            np.copyto(array(result), drawn, casting="no")
    else:
        perform_update(step, array, scalars)


def perform_update(step: Update, array: Callable[[View], ndarray], scalars: Sequence[float] | ndarray) -> None:
    """One parameter's update, by its optimizer's rule."""
    w, *buffers = map(array, step.targets)
    numbers = [float(x) for x in scalars[step.first : step.first + step.count]]
    step.optimizer.update(w, array(step.gradient), buffers, numbers, step.group)
