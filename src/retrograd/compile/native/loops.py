"""Loops in LLVM IR, in the form that needs no clean-up: the test at the end, values carried from one pass to the next as phis.

It knows of integers to count with and of values to carry, and nothing of what a loop's body computes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeAlias

from llvmlite import ir

I64 = ir.IntType(64)
Bound: TypeAlias = int | ir.Value  # known when the code is made, or an i64 when it runs


def index(value: Bound) -> ir.Value:
    """A bound as an i64 value."""
    return ir.Constant(I64, value) if isinstance(value, int) else value


def loop(
    b: ir.IRBuilder, start: Bound, stop: Bound, step: int, carried: Sequence[ir.Value], body: Callable[..., Sequence[ir.Value]]
) -> list[ir.Value]:
    """`for i in range(start, stop, step): carried = body(i, *carried)`; returns what is carried in the end. `step` is positive.

    Where both bounds are Python's integers, a loop without passes emits nothing, one of a single pass emits its body alone, and
    a longer one is entered without a test.

    >>> function = ir.Function(ir.Module(), ir.FunctionType(I64, [I64]), "sum_below")
    >>> builder = ir.IRBuilder(function.append_basic_block())
    >>> [total] = loop(builder, 0, function.args[0], 1, [index(0)], lambda i, total: [builder.add(total, i)])
    >>> print(builder.ret(total))
    ret i64 %".12"
    """
    passes = len(range(start, stop, step)) if isinstance(start, int) and isinstance(stop, int) else None
    if passes == 0:
        return list(carried)
    if passes == 1:
        return list(body(index(start), *carried))
    before, inside, after = b.block, b.append_basic_block("loop"), b.append_basic_block("after")
    if passes is None:
        b.cbranch(b.icmp_signed("<", index(start), index(stop)), inside, after)
    else:
        b.branch(inside)
    b.position_at_end(inside)
    i = b.phi(I64)
    i.add_incoming(index(start), before)
    phis = [b.phi(value.type) for value in carried]
    for phi, value in zip(phis, carried, strict=True):
        phi.add_incoming(value, before)
    results = list(body(i, *phis))
    following = b.add(i, index(step), flags=("nsw",))
    last = b.block
    i.add_incoming(following, last)
    for phi, value in zip(phis, results, strict=True):
        phi.add_incoming(value, last)
    b.cbranch(b.icmp_signed("<", following, index(stop)), inside, after)
    b.position_at_end(after)
    if passes is not None:
        return results
    merged = [b.phi(value.type) for value in carried]  # as they were, if the loop was never entered
    for phi, initial, value in zip(merged, carried, results, strict=True):
        phi.add_incoming(initial, before)
        phi.add_incoming(value, last)
    return merged


@contextmanager
def counting(b: ir.IRBuilder, start: Bound, stop: Bound, step: int = 1) -> Iterator[ir.Value]:
    """`for i in range(start, stop, step)` around what is emitted within. `step` is positive; nothing is carried.

    >>> function = ir.Function(ir.Module(), ir.FunctionType(ir.VoidType(), [ir.PointerType(), I64]), "first_numbers")
    >>> builder = ir.IRBuilder(function.append_basic_block())
    >>> memory, count = function.args
    >>> with counting(builder, 0, count) as i:
    ...     _ = builder.store(i, builder.gep(memory, [i], source_etype=I64))
    >>> print(builder.ret_void())
    ret void
    """
    before, inside, after = b.block, b.append_basic_block("loop"), b.append_basic_block("after")
    if isinstance(start, int) and isinstance(stop, int) and start < stop:
        b.branch(inside)
    else:
        b.cbranch(b.icmp_signed("<", index(start), index(stop)), inside, after)
    b.position_at_end(inside)
    i = b.phi(I64)
    i.add_incoming(index(start), before)
    yield i
    following = b.add(i, index(step), flags=("nsw",))
    i.add_incoming(following, b.block)
    b.cbranch(b.icmp_signed("<", following, index(stop)), inside, after)
    b.position_at_end(after)
