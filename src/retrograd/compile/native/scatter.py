"""Adding elements at places that indices say: the gradient of every lookup.

Elements that may meet in one place are added one after the other, in their order; what lies along other dims is shared among threads,
and vectors run along one of those where memory is contiguous. So the sums are the same for any number of threads.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir

from retrograd.compile.native.builder import VectorBuilder
from retrograd.compile.native.host import Host
from retrograd.compile.native.loops import I64, counting, index
from retrograd.compile.native.objects import Stage

I8 = ir.IntType(8)
POINTER = ir.PointerType()
ELEMENTS = {"f": ir.FloatType(), "d": ir.DoubleType(), "l": I64, "q": I64, "i": ir.IntType(32)}


@dataclass(frozen=True)
class Scatter:
    """target[..., index[p], ...] += value[p] for every p in `shape`. Strides are in bytes.

    `target` are the target's strides along the dims of `shape`, 0 along that which indices move along; `step` and `size` are the
    stride and size of that dim. Indices are int64; negative ones count from the end, others out of range are pulled to an end.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    value: tuple[int, ...]
    index: tuple[int, ...]
    target: tuple[int, ...]
    step: int
    size: int


def scatter_stage(scatter: Scatter, host: Host, operands: Sequence[Any]) -> Stage:
    """The stage; the table of pointers is target, value, index."""
    dims = [d for d, n in enumerate(scatter.shape) if n != 1]
    shared = [d for d in dims if scatter.target[d] == 0]
    free = [d for d in dims if scatter.target[d] != 0]
    size = scatter.dtype.itemsize
    vector = next((d for d in reversed(free) if scatter.target[d] == scatter.value[d] == size and scatter.index[d] == 0), None)
    lanes = min(host.lanes(scatter.dtype), 1 << (scatter.shape[vector].bit_length() - 1)) if vector is not None else 1
    rest = [d for d in free if d != vector]
    blocks = -(-scatter.shape[vector] // lanes) if vector is not None else 1
    extent = math.prod(scatter.shape[d] for d in rest) * blocks
    adds = math.prod(scatter.shape)
    grain = extent if adds < 1 << 15 else max(1, -(-extent // 16))
    key = f"{scatter} {host.cpu} {lanes}"

    def build() -> ir.Module:
        return emit(scatter, rest, shared, vector, lanes)

    return Stage(
        key,
        "scatter",
        build,
        tuple(operands),
        extent if adds else 0,
        max(grain, 1),
        adds,
        3 * adds * size,
        f"scatter_sum of {scatter.shape}",
    )


def emit(scatter: Scatter, rest: Sequence[int], shared: Sequence[int], vector: int | None, lanes: int) -> ir.Module:
    """The module with the kernel."""
    module = ir.Module()
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER, I64, I64]), "scatter")
    table, begin, end = function.args
    b = ir.IRBuilder(function.append_basic_block("entry"))
    target, value, indices = (b.load(b.gep(table, [index(i)], source_etype=POINTER), typ=POINTER) for i in range(3))
    n = scatter.shape[vector] if vector is not None else 1
    with counting(b, begin, end) as unit:
        places: dict[int, ir.Value] = {}
        if vector is not None:
            blocks = -(-n // lanes)
            places[vector] = b.mul(b.urem(unit, index(blocks)), index(lanes))
            unit = b.udiv(unit, index(blocks))
        for d in reversed(rest):
            places[d] = b.urem(unit, index(scatter.shape[d]))
            unit = b.udiv(unit, index(scatter.shape[d]))
        if n % lanes == 0:
            walk(b, scatter, (target, value, indices), places, shared, lanes, None)
        else:
            assert vector is not None
            with b.if_else(b.icmp_unsigned("==", places[vector], index(n - n % lanes))) as (then, otherwise):
                with then:
                    walk(b, scatter, (target, value, indices), dict(places), shared, lanes, n % lanes)
                with otherwise:
                    walk(b, scatter, (target, value, indices), dict(places), shared, lanes, None)
    b.ret_void()
    return module


def walk(
    b: ir.IRBuilder, scatter: Scatter, pointers: Sequence[ir.Value], places: dict[int, ir.Value], shared: Sequence[int], lanes: int, mask: int | None
) -> None:  # fmt: skip
    """Adds all elements that may meet, one after the other."""
    if shared:
        with counting(b, 0, scatter.shape[shared[0]]) as i:
            walk(b, scatter, pointers, {**places, shared[0]: i}, shared[1:], lanes, mask)
        return
    target, value, indices = pointers
    element = ELEMENTS[scatter.dtype.char]
    where = b.load(at(b, indices, places, scatter.index), typ=I64)
    where = b.select(b.icmp_signed("<", where, index(0)), b.add(where, index(scatter.size)), where)
    where = b.select(b.icmp_signed("<", where, index(0)), index(0), where)
    where = b.select(b.icmp_signed(">", where, index(scatter.size - 1)), index(scatter.size - 1), where)
    place = b.gep(at(b, target, places, scatter.target), [b.mul(where, index(scatter.step))], source_etype=I8)
    k = VectorBuilder(b, lanes)
    k.store(k.add(k.load(place, element, mask), k.load(at(b, value, places, scatter.value), element, mask)), place, mask)


def at(b: ir.IRBuilder, start: ir.Value, places: dict[int, ir.Value], steps: Sequence[int]) -> ir.Value:
    """The address at indices of dims."""
    total: ir.Value = index(0)
    for d, i in places.items():
        if steps[d]:
            total = b.add(total, b.mul(i, index(steps[d])))
    return b.gep(start, [total], source_etype=I8)
