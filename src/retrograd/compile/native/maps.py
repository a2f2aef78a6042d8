"""What kernels on maps (convolution, pooling) share: functions over units of work, blocks of maps on the stack, and vectors handed to an epilogue.

All work on blocks of a map. What a block needs of the source is copied to the stack first, with what counts as padding around it, so that
inner loops know no borders. It knows nothing of what is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir

from retrograd.compile.native.arithmetic import constant
from retrograd.compile.native.builder import VectorBuilder
from retrograd.compile.native.gemm import ELEMENTS, POINTER, Epilogue, reserve
from retrograd.compile.native.loops import I64, Bound, counting, index
from retrograd.compile.native.microkernels import at, pack, transposed, zeros

Taps = tuple[tuple[int, int], ...]  # (place in the window, offset in the source)


@dataclass(frozen=True)
class Axis:
    """One dim of a sliding sum: the element r + phases·i of the result takes, for each tap of phase r, the source's element move·i + offset."""

    size: int
    source: int
    phases: int
    move: int
    taps: tuple[Taps, ...]

    @property
    def low(self) -> int:
        """The least offset."""
        return min((offset for taps in self.taps for _, offset in taps), default=0)

    def span(self, block: int) -> int:
        """How many of the source's elements a block of the result needs, if it begins at phase 0."""
        high = max((offset for taps in self.taps for _, offset in taps), default=0)
        return (-(-block // self.phases) - 1) * self.move + high - self.low + 1

    def hits(self, element: int) -> int:
        """How many taps of an element of the result lie within the source."""
        i, phase = divmod(element, self.phases)
        return sum(0 <= self.move * i + offset < self.source for _, offset in self.taps[phase])

    @property
    def wasted(self) -> float:
        """Which part of all taps lies outside of the source."""
        total = sum(len(self.taps[element % self.phases]) for element in range(self.size))
        return 1 - sum(map(self.hits, range(self.size))) / max(1, total)


class Kernel:
    """A function over a range of units, with a table of pointers."""

    def __init__(self, symbol: str, dtype: np.dtype[Any], lanes: int, operands: int) -> None:
        self.element = ELEMENTS[dtype]
        self.module = ir.Module()
        function = ir.Function(self.module, ir.FunctionType(ir.VoidType(), [POINTER, I64, I64]), symbol)
        table, self.begin, self.end = function.args
        self.b = b = ir.IRBuilder(function.append_basic_block("entry"))
        self.k = VectorBuilder(b, lanes)
        self.lanes = lanes
        self.pointers = [b.load(b.gep(table, [index(o)], source_etype=POINTER), typ=POINTER) for o in range(operands)]

    def each_unit(self, body: Callable[[ir.Value], None]) -> None:
        """The function's code: `body` for each unit."""
        with counting(self.b, self.begin, self.end) as unit:
            body(unit)
        self.b.ret_void()

    def room(self, elements: int) -> ir.Value:
        """Memory on the stack."""
        return reserve(self.b, ir.ArrayType(self.element, max(1, elements)))

    def at(self, pointer: ir.Value, *terms: tuple[ir.Value | int, int]) -> ir.Value:
        """The address of an element, see `microkernels.at`."""
        return at(self.b, pointer, self.element, *((index(i), stride) for i, stride in terms))

    def divide(self, number: ir.Value, *sizes: int) -> list[ir.Value]:
        """The places along dims of which all but the first have these sizes, of the element with a number."""
        places: list[ir.Value] = []
        for by in reversed(sizes):
            places.insert(0, index(0) if by == 1 else self.b.urem(number, index(by)))
            number = number if by == 1 else self.b.udiv(number, index(by))
        return [number, *places]

    def sized(self, place: ir.Value, length: int, block: int, body: Callable[[int], None]) -> None:
        """Calls `body` with the size of a block, which is another for the last one if the blocks leave a rest."""
        if length % block == 0 or length < block:
            body(min(block, length))
            return
        with self.b.if_else(self.b.icmp_signed("==", place, index(length // block))) as (last, other):
            with last:
                body(length % block)
            with other:
                body(block)

    def least(self, x: Bound, y: int) -> Bound:
        """The smaller of two."""
        if isinstance(x, int):
            return min(x, y)
        return self.b.select(self.b.icmp_signed("<", x, index(y)), x, index(y))

    def clear(self, memory: ir.Value, elements: int, value: float = 0.0) -> None:
        """Fills memory with a number."""
        zero = constant(self.k.vector(self.element), value)
        whole = elements // self.lanes * self.lanes
        with_vectors = range(0, whole, self.lanes)
        if len(with_vectors) <= 4:
            for i in with_vectors:
                self.k.store(zero, self.at(memory, (i, 1)))
        else:
            with counting(self.b, 0, whole, self.lanes) as i:
                self.k.store(zero, self.at(memory, (i, 1)))
        if elements > whole:
            self.k.store(zero, self.at(memory, (whole, 1)), elements - whole)

    def pack(self, source: ir.Value, strides: tuple[int, int], to: ir.Value, wide: int, depth: int, count: int) -> None:
        """Copies to[l, c] = source[l, c] for l below `depth` and c below `count`, `wide` elements apart along l; see `microkernels.pack`."""
        pack(self.k, self.element, source, strides, to, wide, depth, count)

    def columns_of(self, length: int) -> Iterator[tuple[int, int]]:
        """Where vectors along a line begin, and how many of their lanes count: for lines that are short enough to be written out."""
        return ((start, min(self.lanes, length - start)) for start in range(0, length, self.lanes))


@dataclass
class Patch:
    """The part of a source that a block needs: `span` elements along rows and columns, of some channels, on the stack.

    `strides` are the source's along (channel, row, column), `sizes` those of its maps, and `blank` is what the padding is filled with.
    """

    kernel: Kernel
    memory: ir.Value
    sizes: tuple[int, int]
    strides: tuple[int, int, int]
    span: tuple[int, int]
    blank: float = 0.0

    @property
    def size(self) -> int:
        """Elements for each channel."""
        return self.span[0] * self.span[1]

    def fill(self, source: ir.Value, count: Bound, row: ir.Value, column: ir.Value | int) -> None:
        """Copies `count` channels from the first at `source` on; the patch begins at (row, column) of the map, which may be outside."""
        kernel, b = self.kernel, self.kernel.b
        with counting(b, 0, count) as c, counting(b, 0, self.span[0]) as r:
            line = kernel.at(self.memory, (c, self.size), (r, self.span[1]))
            y = b.add(row, r)
            inside = b.icmp_unsigned("<", y, index(self.sizes[0]))
            with b.if_else(inside) as (valid, other):
                with valid:
                    start = kernel.at(source, (c, self.strides[0]), (y, self.strides[1]))
                    if isinstance(column, int):
                        self.copy_known(start, line, column)
                    else:
                        self.copy(start, line, column)
                with other:
                    kernel.clear(line, self.span[1], self.blank)

    def copy_known(self, start: ir.Value, line: ir.Value, column: int) -> None:
        """One line that begins at a known column."""
        kernel, k, width = self.kernel, self.kernel.k, self.span[1]
        first, last = min(max(0, -column), width), max(0, min(width, self.sizes[1] - column))
        if first:
            kernel.clear(line, first, self.blank)
        if last < width:
            kernel.clear(kernel.at(line, (max(first, last), 1)), width - max(first, last), self.blank)
        if last <= first:
            return
        source, target = kernel.at(start, (column + first, self.strides[2])), kernel.at(line, (first, 1))
        if self.strides[2] != 1:
            self.copy_elements(source, target, 0, last - first)
            return
        whole = (last - first) // k.lanes * k.lanes
        if whole > 8 * k.lanes:
            with counting(kernel.b, 0, whole, k.lanes) as i:
                k.store(k.load(kernel.at(source, (i, 1)), kernel.element), kernel.at(target, (i, 1)))
        for begin, valid in kernel.columns_of(last - first):
            if valid < k.lanes or whole <= 8 * k.lanes:
                k.store(k.load(kernel.at(source, (begin, 1)), kernel.element, valid), kernel.at(target, (begin, 1)), valid)

    def copy(self, start: ir.Value, line: ir.Value, column: ir.Value) -> None:
        """One line that begins at a column known when the kernel runs."""
        kernel, b, k, width = self.kernel, self.kernel.b, self.kernel.k, self.span[1]
        kernel.clear(line, width, self.blank)
        zero = index(0)
        first = b.select(b.icmp_signed("<", column, zero), b.neg(column), zero)
        rest = b.sub(index(self.sizes[1]), column)
        last = b.select(b.icmp_signed("<", rest, index(width)), rest, index(width))
        source = kernel.at(start, (column, self.strides[2]))
        if self.strides[2] == 1 and k.lanes > 1:
            whole = b.sub(last, b.srem(b.sub(last, first), index(k.lanes)))
            whole = b.select(b.icmp_signed("<", whole, first), first, whole)
            with counting(b, first, whole, k.lanes) as i:
                k.store(k.load(kernel.at(source, (i, 1)), kernel.element), kernel.at(line, (i, 1)))
            first = whole
        self.copy_elements(source, line, first, last)

    def copy_elements(self, source: ir.Value, target: ir.Value, first: Bound, last: Bound) -> None:
        """Elements one by one."""
        kernel, b = self.kernel, self.kernel.b
        with counting(b, first, last) as i:
            value = b.load(kernel.at(source, (i, self.strides[2])), typ=kernel.element)
            b.store(value, kernel.at(target, (i, 1)))


class Lines:
    """Hands over results that lie on the stack with vectors along the channels, as vectors along the maps, to an epilogue."""

    def __init__(self, kernel: Kernel, epilogue: Epilogue, pointers: Sequence[ir.Value]) -> None:
        self.kernel, self.epilogue, self.pointers = kernel, epilogue, pointers
        self.square = kernel.room(kernel.lanes**2)

    def emit(
        self, rows: Callable[[ir.Value], ir.Value], length: int, count: Bound, batch: Sequence[ir.Value], i: ir.Value, j: ir.Value
    ) -> None:
        """Takes `length` elements from j on, for `count` channels from i on: `rows` gives the vector of channels of one element."""
        kernel, lanes = self.kernel, self.kernel.lanes
        whole = length // lanes * lanes
        if whole:
            with counting(kernel.b, 0, whole, lanes) as start:
                self.group(rows, start, lanes, count, batch, i, j)
        if length > whole:
            self.group(rows, index(whole), length - whole, count, batch, i, j)

    def group(
        self, rows: Callable[[ir.Value], ir.Value], start: ir.Value, length: int, count: Bound, batch: Sequence[ir.Value], i: ir.Value, j: ir.Value
    ) -> None:  # fmt: skip
        """Takes one vector along the maps for each channel."""
        kernel, b, k = self.kernel, self.kernel.b, self.kernel.k
        place = b.add(j, start)
        if k.lanes == 1:
            self.epilogue.emit(k, self.pointers, rows(start), batch, i, place, None)
            return
        vectors = [rows(b.add(start, index(q))) for q in range(length)]
        vectors += [zeros(kernel.element, k.lanes)] * (k.lanes - length)
        for lane, vector in enumerate(transposed(b, vectors)):
            k.store(vector, kernel.at(self.square, (lane, k.lanes)))
        with counting(b, 0, count) as lane:
            value = k.load(kernel.at(self.square, (lane, k.lanes)), kernel.element)
            self.epilogue.emit(k, self.pointers, value, batch, b.add(i, lane), place, length if length < k.lanes else None)
