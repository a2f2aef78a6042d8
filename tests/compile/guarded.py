"""A sanitizer of addresses: programs run with every buffer in memory of its own, between pages that must not be touched.

A kernel that reads or writes past a buffer's end (or before its beginning) is stopped by the processor; the process then prints which
kernel it was, at which buffer and by how many bytes, and ends with `FAULT`. The kernels are those that always run, unchanged: so
products, convolutions and loops are all checked alike, and nothing is missed that a check in the code of one kind would not know of.

What the program makes for itself holds bytes of 255 before each run (not a number; -1), so that whoever reads what nobody wrote shows.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from retrograd.compile.graph import Buffer, Program
from retrograd.compile.machine import Machine
from retrograd.compile.native.entry import Runner
from retrograd.compile.native.objects import Stage
from retrograd.core.tensor import address

FAULT = 86  # the exit status of a process in which a kernel left its buffers
PAGE = mmap.PAGESIZE
GUARD = 64 * PAGE  # bytes on both sides of a buffer
CANARY = 0xA5
UNWRITTEN = 0xFF
PROT_NONE = 0


class Room:
    """Memory of a size, with pages around it that must not be touched: right behind its end, or right before its beginning."""

    def __init__(self, nbytes: int, at_end: bool) -> None:
        pages = -(-max(nbytes, 1) // PAGE) * PAGE
        self.map = mmap.mmap(-1, pages + 2 * GUARD)
        everything = np.frombuffer(self.map, np.uint8)
        start = address(everything)
        self.pages = everything[GUARD : GUARD + pages]
        self.pages[:] = CANARY
        first = pages - nbytes if at_end else 0
        self.bytes = self.pages[first : first + nbytes]
        self.slack = [self.pages[:first], self.pages[first + nbytes :]]
        for at in (start, start + GUARD + pages):
            protect(at, GUARD)

    def intact(self) -> bool:
        """Whether what is left of the buffer's pages was not written to."""
        return all((part == CANARY).all() for part in self.slack)


def protect(start: int, nbytes: int) -> None:
    """Has the processor stop whoever touches these pages."""
    if ctypes.CDLL(None, use_errno=True).mprotect(ctypes.c_void_p(start), ctypes.c_size_t(nbytes), PROT_NONE):
        raise OSError(ctypes.get_errno(), "mprotect")


class OneByOne(Runner):
    """Stages run one after the other, each announced."""

    def __init__(self, parts: Sequence[tuple[str, Runner]]) -> None:
        self.parts = parts

    def call(self, *arrays: ndarray) -> None:
        """Runs the stages."""
        for label, runner in self.parts:
            now.label = label
            runner.call(*arrays)
        now.label = ""


class GuardedMachine(Machine):
    """Machine code with every buffer in a `Room`.

    Args:
        at_end: whether buffers end right before the pages that must not be touched, or begin right behind them.
    """

    def __init__(self, program: Program, at_end: bool = True) -> None:
        self.at_end = at_end
        self.rooms: dict[Buffer, Room] = {}
        self.written = {v.buffer for step in program.steps for v in step.writes()} | set(program.outputs())
        super().__init__(program)

    def room(self, buffer: Buffer) -> Room:
        """A buffer's memory."""
        if buffer not in self.rooms:
            room = self.rooms[buffer] = Room(buffer.nbytes, self.at_end)
            if buffer in self.constants:
                room.bytes[:] = self.constants[buffer].reshape(-1).view(np.uint8)
        return self.rooms[buffer]

    def given(self, buffer: Buffer) -> ndarray:
        """The memory of a buffer from outside."""
        return self.room(buffer).bytes

    def address_of(self, buffer: Buffer) -> int:
        """See `Machine`."""
        return address(self.room(buffer).bytes)

    def runner(self, stages: Sequence[Stage]) -> OneByOne:
        """See `Machine`."""
        return OneByOne([(stage.label, super(GuardedMachine, self).runner([stage])) for stage in stages])

    def run(self, memory: list[Any], scalars: ndarray) -> None:
        """See `Machine`: on copies, which are copied back. A program may have written into the slack of a page: that is an error, too."""
        for buffer, room in self.rooms.items():
            if buffer not in self.constants:
                room.bytes[:] = UNWRITTEN
        given = [bytes_at(address(a), b.nbytes) for b, a in zip(self.external, memory, strict=True)]
        for buffer, content in zip(self.external, given, strict=True):
            if buffer not in self.program.outputs():
                self.room(buffer).bytes[:] = content
        numbers = Room(scalars.nbytes, self.at_end)
        numbers.bytes[:] = scalars.view(np.uint8)
        now.rooms = self.rooms
        super().run([self.given(b) for b in self.external], numbers.bytes)
        for buffer, content in zip(self.external, given, strict=True):
            if buffer in self.written:
                content[:] = self.room(buffer).bytes
        spoiled = [b.name for b, room in self.rooms.items() if not room.intact()]
        assert not spoiled, f"bytes next to {spoiled} were written to\n{self.program}"


def bytes_at(start: int, nbytes: int) -> ndarray:
    """Memory as bytes."""
    return np.frombuffer((ctypes.c_char * nbytes).from_address(start), np.uint8) if nbytes else np.empty(0, np.uint8)


# ---------------------------------------------------------------- when a kernel is stopped


class Now:
    """What runs at the moment."""

    label = ""
    what = ""
    rooms: dict[Buffer, Room] = {}  # noqa: RUF012
    handler: Any = None


now = Now()


class SignalAction(ctypes.Structure):
    """C's struct sigaction on 64-bit Linux."""

    _fields_ = [("handler", ctypes.c_void_p), ("mask", ctypes.c_uint64 * 16), ("flags", ctypes.c_int), ("restorer", ctypes.c_void_p)]


SIGINFO = 4
FAULT_ADDRESS = 16  # where siginfo_t has the address


def on_fault(_signal: int, info: int, _context: int) -> None:
    """Says which kernel touched what, and ends the process."""
    at = ctypes.c_uint64.from_address(info + FAULT_ADDRESS).value
    where = "far from every buffer"
    for buffer, room in now.rooms.items():
        first = address(room.bytes)
        if first - 2 * GUARD <= at < first + buffer.nbytes + 2 * GUARD:
            past, before = at - (first + buffer.nbytes), first - at
            where = f"{past} bytes past the end" if past >= 0 else f"{before} bytes before the beginning"
            where += f" of {buffer.name} ({buffer.kind}, {buffer.nbytes} bytes)"
            break
    os.write(1, f"FAULT {now.what}: {now.label!r} touched memory {where}\n".encode())
    os._exit(FAULT)


def watch_faults() -> None:
    """From now on a kernel that is stopped says so."""
    kind = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    now.handler = kind(on_fault)
    action = SignalAction(ctypes.cast(now.handler, ctypes.c_void_p).value, (ctypes.c_uint64 * 16)(), SIGINFO, None)
    library = ctypes.CDLL(None, use_errno=True)
    for number in (signal.SIGSEGV, signal.SIGBUS):
        if library.sigaction(int(number), ctypes.byref(action), None):
            raise OSError(ctypes.get_errno(), "sigaction")
