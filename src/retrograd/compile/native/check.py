"""A look at numbers while a program runs: whether indices are in range. If not, no further stage runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir

from retrograd.compile.native.loops import I64, index
from retrograd.compile.native.objects import Stage

POINTER = ir.PointerType()


def check_stage(low: int, high: int, number: int, operands: Sequence[Any]) -> Stage:
    """The stage; the table of pointers is the least index, the greatest (int64), and where `number` is written if one is not in [low, high]."""

    def build() -> ir.Module:
        module = ir.Module()
        function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER, I64, I64]), "check")
        b = ir.IRBuilder(function.append_basic_block("entry"))
        least, most, flag = (b.load(b.gep(function.args[0], [index(i)], source_etype=POINTER), typ=POINTER) for i in range(3))
        below = b.icmp_signed("<", b.load(least, typ=I64), index(low))
        above = b.icmp_signed(">", b.load(most, typ=I64), index(high))
        with b.if_then(b.or_(below, above)):
            b.store(index(number), flag)
        b.ret_void()
        return module

    return Stage(f"check {low} {high} {number}", "check", build, tuple(operands), 1, 1, 0, 16, "are all indices in range?")
