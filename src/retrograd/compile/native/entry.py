"""Programs as builtin functions of Python: arrays in, a list of stages run, None out, in some tens of nanoseconds beyond the call.

entry.ll is the code. Where Python's objects do not lie as it expects, programs are called through ctypes. Knows nothing of what a stage
computes; whoever makes a `Runner` keeps the memory that its tables point to alive.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np

from retrograd.compile.native import objects, pool

SYMBOLS = [f"retrograd_{name}" for name in ("entry", "run_many", "timed", "entry_forked")]
METH_FASTCALL = 0x80
STAGE = np.dtype([(name, np.int64) for name in ("kernel", "table", "extent", "grain", "chunks", "shared")])
PATCH = np.dtype([("slot", np.int64), ("offset", np.int64)])
ARGUMENT = np.dtype([("data", np.int64), ("count", np.int64), ("patches", np.int64)])
FIELDS = ("stages", "count", "shared", "release", "arguments", "argument", "owner", "process", "none", "ndarray", "complain", "stop")
PROGRAM = np.dtype([(name, np.int64) for name in FIELDS])
MOST_CHUNKS = 1 << 24  # what a ticket in pool.ll can count


class Step(NamedTuple):
    """One stage as the pool takes it: a kernel's address, its table of pointers (uint64), its extent, chunk size, and whether one thread runs it."""

    kernel: int
    table: np.ndarray
    extent: int
    grain: int
    serial: bool


class MethodDef(ctypes.Structure):
    """Python's PyMethodDef."""

    _fields_ = [("name", ctypes.c_char_p), ("method", ctypes.c_void_p), ("flags", ctypes.c_int), ("doc", ctypes.c_char_p)]


class Record(np.ndarray):
    """An array that keeps alive what the addresses in it point to."""

    keeps: tuple[Any, ...]


@cache
def functions() -> dict[str, int]:
    """The addresses of the functions in entry.ll."""
    pool.functions()  # which they call
    found = objects.library("entry", pool.assembly("entry.ll"), SYMBOLS)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=ctypes.CFUNCTYPE(None)(found["retrograd_entry_forked"]))
    return found


@cache
def method() -> MethodDef:
    """What Python has to know of the builtin. It lives as long as the process: builtins may outlive this module."""
    definition = MethodDef(b"program", functions()["retrograd_entry"], METH_FASTCALL, b"Runs a compiled program over arrays.")
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(definition))
    return definition


def complain(count: int, *arrays: Any) -> None:
    """Says why a program of `count` arrays cannot be called with these."""
    if len(arrays) != count:
        raise TypeError(f"the compiled program takes {count} arrays, but was called with {len(arrays)}")
    for i, array in enumerate(arrays):
        if type(array) is not np.ndarray:
            raise TypeError(f"the compiled program takes numpy.ndarray itself, but argument {i} is {type(array).__name__}")
    raise RuntimeError("the compiled program was called from within itself")


@cache
def objects_are_as_expected() -> bool:
    """Whether Python's objects lie as entry.ll reads them: not so in free-threaded and tracing builds."""
    if sys.implementation.name != "cpython" or not getattr(sys, "_is_gil_enabled", lambda: True)() or ctypes.sizeof(ctypes.c_void_p) != 8:
        return False
    probe = np.zeros(3)
    return (
        ctypes.c_uint64.from_address(id(probe) + 8).value == id(np.ndarray)
        and ctypes.c_uint64.from_address(id(probe) + 16).value == probe.ctypes.data
    )


class Runner:
    """A list of stages over arrays given from outside, ready to run.

    Stages are run in order, each beginning when the one before is done; a stage's chunks may run at the same time, unless it is
    serial. `patches` has, for each array given from outside, which slots of the stages' tables depend on it: the slot's address,
    and how many bytes after the array's start it points. The GIL is released while the program runs if `release_gil`. If a stage
    makes the int64 at the address `stop` other than 0, no further stage runs.

    `call` is the builtin function itself, for callers that count nanoseconds; it stays valid without the runner. Whoever makes a
    runner keeps the memory alive that its tables point to, and looks at the shapes, dtypes and layouts of the arrays.

    Raises:
        ValueError: if an extent is negative, a grain is not positive, or there are more chunks than the pool can count.
    """

    def __init__(
        self,
        stages: Sequence[Step | tuple[Any, ...]],
        patches: Sequence[Sequence[tuple[int, int]]],
        release_gil: bool = True,
        stop: int = 0,
    ) -> None:
        steps = [Step(*stage) for stage in stages]
        self.stages = np.array([native_stage(i, step) for i, step in enumerate(steps)], STAGE)
        lists = [np.array([tuple(patch) for patch in given], PATCH) for given in patches]
        arguments = np.array([(0, len(patch), patch.ctypes.data) for patch in lists], ARGUMENT)
        explain = partial(complain, len(lists))
        self.program = np.zeros(1, PROGRAM).view(Record)
        self.program.keeps = (self.stages, [step.table for step in steps], lists, arguments, explain)
        self.program[0] = (
            self.stages.ctypes.data,
            len(steps),
            bool(self.stages["shared"].any()),
            bool(release_gil),
            len(lists),
            arguments.ctypes.data,
            *(0, 0, id(None), id(np.ndarray), id(explain), stop),
        )
        self.count = len(lists)
        self.address = self.program.ctypes.data
        self.call: Callable[..., None] = builtin(self.program) if objects_are_as_expected() else self.call_by_ctypes

    def __call__(self, *arrays: np.ndarray) -> None:
        """Runs the program once over these arrays."""
        self.call(*arrays)

    def call_by_ctypes(self, *arrays: np.ndarray) -> None:
        """The same without any assumption on how Python's objects lie."""
        self.run_many(1, [0] * self.count, *arrays)

    def run_many(self, n: int, strides: Sequence[int], *arrays: np.ndarray) -> int:
        """Runs the program `n` times; before each but the first, array i is advanced by `strides[i]` bytes.

        Returns how many times it ran to its end: fewer than `n` if a stage said stop.
        """
        if len(strides) != self.count:
            raise ValueError(f"a stride is needed for each of {self.count} arrays, but there are {len(strides)}")
        steps = np.array(strides, np.int64)
        data = self.data_of(arrays)
        ended = run_many()(self.address, data.ctypes.data, steps.ctypes.data, n)
        if ended < 0:
            complain(self.count, *arrays)
        return ended

    def timed(self, *arrays: np.ndarray) -> np.ndarray:
        """Runs the program once; returns the seconds that each stage took, as float64 of shape (stages,)."""
        times = np.zeros(len(self.stages), np.int64)
        data, steps = self.data_of(arrays), np.zeros(self.count, np.int64)
        if not timed()(self.address, data.ctypes.data, steps.ctypes.data, times.ctypes.data):
            complain(self.count, *arrays)
        return times * 1e-9

    def data_of(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """Where the arrays' data is."""
        if len(arrays) != self.count or any(type(array) is not np.ndarray for array in arrays):
            complain(self.count, *arrays)
        return np.array([array.ctypes.data for array in arrays], np.int64)


def native_stage(i: int, step: Step) -> tuple[int, int, int, int, int, bool]:
    """The fields of a stage in pool.ll."""
    if step.extent == 0:
        return step.kernel, step.table.ctypes.data, 0, 1, 0, False
    if step.grain < 1 or step.extent < 0:
        raise ValueError(f"a stage needs an extent of 0 or more and a grain of 1 or more, but stage {i} has {step.extent} and {step.grain}")
    chunks = -(-step.extent // step.grain)
    if chunks >= MOST_CHUNKS:
        raise ValueError(f"a stage may have fewer than {MOST_CHUNKS} chunks, but stage {i} has {chunks}: choose a larger grain")
    return step.kernel, step.table.ctypes.data, step.extent, step.grain, chunks, chunks > 1 and not step.serial


def builtin(program: Record) -> Callable[..., None]:
    """A builtin function that runs a program."""
    make = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)(("PyCFunction_NewEx", ctypes.pythonapi))
    return make(ctypes.addressof(method()), program, None)


@cache
def run_many() -> Callable[..., int]:
    """`retrograd_run_many` in entry.ll."""
    kind = ctypes.PYFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
    return kind(functions()["retrograd_run_many"])


@cache
def timed() -> Callable[..., bool]:
    """`retrograd_timed` in entry.ll."""
    kind = ctypes.PYFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
    return kind(functions()["retrograd_timed"])
