"""The worker threads: native code that shares a stage out among them. pool.ll says how; this module fills in what depends on the system.

Workers are threads of the system that never touch Python, made when a stage is first shared out. They spin for a moment after
their last work and then sleep. Knows nothing of what a stage computes.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from functools import cache
from pathlib import Path

import llvmlite.binding as llvm

from retrograd import config
from retrograd.compile.native import objects
from retrograd.compile.native.host import architecture

MOST_THREADS = 256  # the slots in pool.ll
PATIENCE = 1e-3  # seconds that a worker without work spins before it sleeps: longer than most pauses in a training step, and between two
SYMBOLS = [f"retrograd_pool_{name}" for name in ("enter", "leave", "stage", "set", "look", "forget")]
PYTHON = [
    "PyThread_allocate_lock",
    "PyThread_acquire_lock",
    "PyThread_release_lock",
    "PyThread_start_new_thread",
    "PyThread_get_thread_ident",
    "PyEval_SaveThread",
    "PyEval_RestoreThread",
    "PyObject_Vectorcall",
    "Py_IncRef",
]

POSIX = """
declare i32 @clock_gettime(i32, ptr)
declare i32 @sched_yield()

define internal i64 @now() nounwind {
  %time = alloca { i64, i64 }
  %status = call i32 @clock_gettime(i32 CLOCK, ptr %time)
  %seconds = load i64, ptr %time
  %rest.at = getelementptr { i64, i64 }, ptr %time, i64 0, i32 1
  %rest = load i64, ptr %rest.at
  %scaled = mul i64 %seconds, 1000000000
  %sum = add i64 %scaled, %rest
  ret i64 %sum
}

define internal void @yield() nounwind {
  %status = call i32 @sched_yield()
  ret void
}
"""

WINDOWS = """
declare i32 @QueryPerformanceCounter(ptr)
declare i32 @SwitchToThread()

define internal i64 @now() nounwind {
  %ticks.at = alloca i64
  %status = call i32 @QueryPerformanceCounter(ptr %ticks.at)
  %ticks = load i64, ptr %ticks.at
  %time = mul i64 %ticks, TICK
  ret i64 %time
}

define internal void @yield() nounwind {
  %status = call i32 @SwitchToThread()
  ret void
}
"""

PAUSES = {
    "x86": "declare void @llvm.x86.sse2.pause()\ndefine internal void @pause() nounwind {\n  call void @llvm.x86.sse2.pause()\n  ret void\n}\n",
    "arm": "declare void @llvm.aarch64.hint(i32)\ndefine internal void @pause() nounwind {\n  call void @llvm.aarch64.hint(i32 1)\n  ret void\n}\n",
    "": "define internal void @pause() nounwind {\n  ret void\n}\n",
}


@cache
def system() -> str:
    """What pool.ll and entry.ll need of the system, as LLVM assembly: how to tell the time, to let others run, and to wait politely."""
    pause = PAUSES[architecture()]
    for name in PYTHON:
        llvm.add_symbol(name, address_of(getattr(ctypes.pythonapi, name)))
    if sys.platform == "win32":
        kernel = ctypes.WinDLL("kernel32")
        for name in ("QueryPerformanceCounter", "SwitchToThread"):
            llvm.add_symbol(name, address_of(getattr(kernel, name)))
        frequency = ctypes.c_int64()
        kernel.QueryPerformanceFrequency(ctypes.byref(frequency))
        return WINDOWS.replace("TICK", str(max(1, 1_000_000_000 // frequency.value))) + pause
    return POSIX.replace("CLOCK", str(int(time.CLOCK_MONOTONIC))) + pause


def address_of(function: object) -> int:
    """Where a function of a shared library begins."""
    address = ctypes.cast(function, ctypes.c_void_p).value  # type: ignore[arg-type]
    assert address
    return address


def assembly(name: str) -> str:
    """The text of one of this folder's modules in LLVM assembly, complete."""
    return system() + Path(__file__).with_name(name).read_text(encoding="utf-8")


@cache
def functions() -> dict[str, int]:
    """The addresses of the pool's functions. Makes the pool; no thread starts before there is work."""
    found = objects.library("pool", assembly("pool.ll"), SYMBOLS)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=ctypes.CFUNCTYPE(None)(found["retrograd_pool_forget"]))
    set_pool = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64)(found["retrograd_pool_set"])
    config.follow_num_threads(lambda n: set_pool(min(n, MOST_THREADS), int(PATIENCE * 1e9)))
    return found


def threads() -> tuple[int, int]:
    """How many threads exist, the caller's own included, and how many of them sleep."""
    result = (ctypes.c_int64 * 2)()
    ctypes.CFUNCTYPE(None, ctypes.c_void_p)(functions()["retrograd_pool_look"])(ctypes.addressof(result))
    return result[0], result[1]
