"""Copies past the caches, of memory that nobody is about to read: what the caches hold stays there.

Nor is the target's memory read before it is written, which takes as long as writing it where it was not used for a while.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from llvmlite import ir

from retrograd.compile.native.builder import I8
from retrograd.compile.native.entry import Runner, Step
from retrograd.compile.native.host import architecture
from retrograd.compile.native.loops import I64, counting, index
from retrograd.compile.native.objects import load

POINTER = ir.PointerType()
LINE = ir.VectorType(I64, 8)  # of a cache
LENGTH = 64  # its bytes
ALIGNED = 16  # bytes: the target's address must be a multiple, as allocators give it; if it is not, the copy goes the usual way
GRAIN = 512  # lines that a thread takes at a time


def streaming_copies(nbytes: int) -> list[Callable[[np.ndarray, np.ndarray], None]]:
    """Functions of a source and a target, arrays in C order of so many bytes that do not overlap: on one thread, and on several."""
    lines = nbytes // LENGTH
    kernel = load(f"stream {nbytes}", "stream", lambda: stream(nbytes))
    calls: list[Callable[[np.ndarray, np.ndarray], None]] = []
    for serial in (True, False):
        table = np.zeros(2, np.uint64)
        slots = [[(table.ctypes.data + 8 * i, 0)] for i in range(2)]
        calls.append(Runner([Step(kernel, table, max(lines, 1), GRAIN, serial)], slots, release_gil=False).call)
    return calls


def stream(nbytes: int) -> ir.Module:
    """A function over lines; with the first go the bytes that are no whole line."""
    module = ir.Module()
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER, I64, I64]), "stream")
    table, begin, end = function.args
    b = ir.IRBuilder(function.append_basic_block("entry"))
    source, target = (b.load(b.gep(table, [index(i)], source_etype=POINTER), typ=POINTER) for i in range(2))

    def copy(kind: ir.Type, at: ir.Value, align: int) -> ir.Instruction:
        there = b.load(b.gep(source, [at], source_etype=I8), typ=kind, align=1)
        return b.store(there, b.gep(target, [at], source_etype=I8), align=align)

    with b.if_then(b.icmp_signed("==", begin, index(0))), counting(b, nbytes // LENGTH * LENGTH, nbytes) as i:
        copy(I8, i, 1)
    end = b.select(b.icmp_signed("<", end, index(nbytes // LENGTH)), end, index(nbytes // LENGTH))
    aligned = b.icmp_signed("==", b.and_(b.ptrtoint(target, I64), index(ALIGNED - 1)), index(0))
    with b.if_else(aligned) as (usual, other):
        with usual, counting(b, begin, end) as i:
            copy(LINE, b.mul(i, index(LENGTH)), ALIGNED).set_metadata("nontemporal", module.add_metadata([ir.Constant(ir.IntType(32), 1)]))
        with other, counting(b, begin, end) as i:
            copy(LINE, b.mul(i, index(LENGTH)), 1)
    if architecture() == "x86":  # there, such writes are in no order with others unless one says so
        b.call(module.declare_intrinsic("llvm.x86.sse.sfence", fnty=ir.FunctionType(ir.VoidType(), [])), [])
    b.ret_void()
    return module
