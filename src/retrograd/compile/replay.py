"""The executor that runs a program step by step, by the operations' forward functions: what every faster one is held against.

It allocates and calls as the eager program did, less the tape; it is the meaning of a program, not a quick way to run one.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import ndarray

from retrograd.compile.executor import perform
from retrograd.compile.graph import Program, Step, View
from retrograd.core.tape import quiet
from retrograd.core.tensor import address


class Replay:
    """An executor in NumPy.

    Args:
        program: what it runs.
        watch: called after every step with the step and a function that gives the elements of a view.
    """

    def __init__(self, program: Program, watch: Callable[[Step, Callable[[View], ndarray]], None] | None = None) -> None:
        self.steps = program.steps
        self.external = program.external()
        known = set(self.external)
        self.constants = {b: address_of(np.ascontiguousarray(b.source)) for b in program.buffers() if b.kind == "constant"}
        self.made = [b for b in program.buffers() if b.kind == "made" and b not in known]
        self.watch = watch

    def run(self, memory: list[Any], scalars: ndarray) -> None:
        """See `Executor`."""
        places = {b: (address(a), a) for b, a in zip(self.external, memory, strict=True)}
        places.update(self.constants)
        places.update((b, address_of(np.empty(b.nbytes, np.uint8))) for b in self.made)

        def array(view: View) -> ndarray:
            return elements(places[view.buffer][0], view)

        with quiet():
            for step in self.steps:
                perform(step, array, scalars)
                if self.watch is not None:
                    self.watch(step, array)


def address_of(array: ndarray) -> tuple[int, ndarray]:
    """Where an array's first element is, with the array, which keeps it there."""
    return address(array), array


def elements(start: int, view: View) -> ndarray:
    """The elements of a view of a buffer that begins at an address. Whoever asks keeps the memory alive."""
    span = sum((n - 1) * s for n, s in zip(view.shape, view.strides, strict=True)) + view.dtype.itemsize
    if 0 in view.shape:
        return np.empty(view.shape, view.dtype)
    memory: Any = (ctypes.c_char * span).from_address(start + view.offset)
    return np.ndarray(view.shape, view.dtype, memory, 0, view.strides)
