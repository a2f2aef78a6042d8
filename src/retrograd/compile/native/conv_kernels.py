"""The code of convolutions: sums over sliding windows, the packing of their weights, and the gradient of the weight.

All kernels work on blocks of a map. What a block needs of the source is copied to the stack first, with zeros where the padding is, so that
inner loops know no borders. See `conv` for what the kernels are for and how the work is cut.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir

from retrograd.compile.native.builder import VectorBuilder
from retrograd.compile.native.gemm import ELEMENTS, POINTER, Epilogue, reserve
from retrograd.compile.native.loops import I64, Bound, counting, index, loop
from retrograd.compile.native.microkernels import at, pack, transposed, zeros

Taps = tuple[tuple[int, int], ...]  # (place in the window, offset in the source)
UNROLLED = 256  # multiply-adds in a row that are worth their code


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


@dataclass(frozen=True)
class Sliding:
    """A sum over sliding windows: result[n, o, y, x] = sum over terms c and taps of weight[o, c, tap] source[n, c, where the tap is].

    `outs` and `terms` are the channels of each group; `strides` those of the source in elements, along (n, channel, row, column).
    """

    dtype: np.dtype[Any]
    n: int
    groups: int
    outs: int
    terms: int
    rows: Axis
    columns: Axis
    window: tuple[int, int]
    strides: tuple[int, int, int, int]


@dataclass(frozen=True)
class SlidingPlan:
    """How a sliding sum is computed.

    A tile of `vectors` vectors of channels for `tile` elements of a row is held in registers. A unit of the work is a block of
    `height` x `width` of a map and up to `blocks` times `vectors` vectors of channels; it takes `channels` of the terms at a time. Taps that
    lie in the padding are skipped along the rows and along the columns as the flags say; along the columns that takes a
    width of all columns, and code for each tile.
    """

    lanes: int
    vectors: int
    tile: int
    height: int
    width: int
    channels: int
    blocks: int
    skip_rows: bool
    skip_columns: bool

    def units(self, sliding: Sliding) -> tuple[int, int, int]:
        """How many units there are along the channels, the rows and the columns."""
        across = -(-sliding.outs // (self.lanes * self.vectors * self.blocks))
        return across, -(-sliding.rows.size // self.height), -(-sliding.columns.size // self.width)


@dataclass(frozen=True)
class WeightPlan:
    """How the gradient of a weight is computed.

    `vectors` vectors of y's channels for a tile of (c, kh, kw) are held in registers. Blocks of `height` x `width` of y's maps, of all
    images, are shared out evenly among `parts`, each with sums of its own; x's channels are cut into `slices`, units of their own, and
    `channels` of them are taken at a time.
    """

    lanes: int
    vectors: int
    tile: tuple[int, int, int]
    height: int
    width: int
    channels: int
    slices: int
    parts: int


@dataclass(frozen=True)
class Packing:
    """A weight, packed: [group, block of channels, term, row, column, channel within the block]; the last block is filled up with anything.

    `strides` are those of the weight in elements, along (group, channel, term, row, column).
    """

    dtype: np.dtype[Any]
    groups: int
    outs: int
    terms: int
    window: tuple[int, int]
    strides: tuple[int, ...]
    lanes: int
    vectors: int

    @property
    def wide(self) -> int:
        """Channels in a block."""
        return self.lanes * self.vectors

    @property
    def blocks(self) -> int:
        """Blocks of channels in a group."""
        return -(-self.outs // self.wide)

    @property
    def elements(self) -> int:
        """The length of the packed weight."""
        return self.groups * self.blocks * self.terms * math.prod(self.window) * self.wide

    @property
    def together(self) -> int:
        """How many terms are packed as one unit: some, where the strides let terms and taps be one dim."""
        _, _, term, row, column = self.strides
        size = math.prod(self.window)
        if term != size * column or row != self.window[1] * column:
            return 1
        return next(d for d in range(1, self.terms + 1) if self.terms % d == 0 and (d * size >= 128 or d == self.terms))

    @property
    def units(self) -> int:
        """Units of the work."""
        return self.groups * self.blocks * (self.terms // self.together)


def tiles(length: int, most: int) -> list[tuple[int, int]]:
    """A length in as few tiles as will do, as equal as can be: their sizes, each with how many there are.

    >>> tiles(32, 12)
    [(11, 2), (10, 1)]
    """
    count = -(-length // most)
    small, more = divmod(length, count) if count else (0, 0)
    return [(size, many) for size, many in ((small + 1, more), (small, count - more)) if many]


# ---- what the kernels share ---------------------------------------------------------------------------------------------


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

    def clear(self, memory: ir.Value, elements: int) -> None:
        """Fills memory with zeros."""
        zero = zeros(self.element, self.lanes)
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
        whole = count // self.lanes
        with counting(self.b, 0, whole) as v:
            from_, start = self.at(source, (v, self.lanes * strides[1])), self.at(to, (v, self.lanes))
            pack(self.k, self.element, from_, strides, start, wide, depth, [self.lanes])
        if count % self.lanes:
            from_, start = self.at(source, (whole, self.lanes * strides[1])), self.at(to, (whole, self.lanes))
            pack(self.k, self.element, from_, strides, start, wide, depth, [count % self.lanes])

    def columns_of(self, length: int) -> Iterator[tuple[int, int]]:
        """Where vectors along a line begin, and how many of their lanes count: for lines that are short enough to be written out."""
        return ((start, min(self.lanes, length - start)) for start in range(0, length, self.lanes))


@dataclass
class Patch:
    """The part of a source that a block needs: `span` elements along rows and columns, of some channels, on the stack.

    `strides` are the source's along (channel, row, column), and `sizes` those of its maps.
    """

    kernel: Kernel
    memory: ir.Value
    sizes: tuple[int, int]
    strides: tuple[int, int, int]
    span: tuple[int, int]

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
                    kernel.clear(line, self.span[1])

    def copy_known(self, start: ir.Value, line: ir.Value, column: int) -> None:
        """One line that begins at a known column."""
        kernel, k, width = self.kernel, self.kernel.k, self.span[1]
        first, last = min(max(0, -column), width), max(0, min(width, self.sizes[1] - column))
        if first:
            kernel.clear(line, first)
        if last < width:
            kernel.clear(kernel.at(line, (max(first, last), 1)), width - max(first, last))
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
        for at, valid in kernel.columns_of(last - first):
            if valid < k.lanes or whole <= 8 * k.lanes:
                k.store(k.load(kernel.at(source, (at, 1)), kernel.element, valid), kernel.at(target, (at, 1)), valid)

    def copy(self, start: ir.Value, line: ir.Value, column: ir.Value) -> None:
        """One line that begins at a column known when the kernel runs."""
        kernel, b, k, width = self.kernel, self.kernel.b, self.kernel.k, self.span[1]
        kernel.clear(line, width)
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


# ---- sums over sliding windows ------------------------------------------------------------------------------------------


class SlidingKernel(Kernel):
    """The function "slide": source, packed weight, and the epilogue's operands."""

    def __init__(self, sliding: Sliding, plan: SlidingPlan, epilogue: Epilogue, operands: int) -> None:
        super().__init__("slide", sliding.dtype, plan.lanes, 2 + operands)
        self.sliding, self.plan = sliding, plan
        self.wide = plan.lanes * plan.vectors
        span = (sliding.rows.span(plan.height), sliding.columns.span(plan.width))
        sizes = (sliding.rows.source, sliding.columns.source)
        self.patch = Patch(self, self.room(plan.channels * span[0] * span[1]), sizes, sliding.strides[1:], span)
        self.sums = self.room(plan.height * plan.width * plan.blocks * self.wide)
        self.lines = Lines(self, epilogue, self.pointers[2:])
        self.each_unit(self.unit)

    def unit(self, number: ir.Value) -> None:
        """A block of a map, for some channels."""
        sliding, plan, b = self.sliding, self.plan, self.b
        units = plan.units(sliding)
        n, group, across, y, x = self.divide(number, sliding.groups, *units)
        self.group, self.n = group, n
        self.source = self.at(self.pointers[0], (n, sliding.strides[0]), (group, sliding.terms * sliding.strides[1]))
        total = -(-sliding.outs // self.wide)
        self.weight = self.at(self.pointers[1], (group, total * sliding.terms * math.prod(sliding.window) * self.wide))
        self.first_block = b.mul(across, index(plan.blocks))
        self.block_count: Bound = plan.blocks if units[0] == 1 else self.least(b.sub(index(total), self.first_block), plan.blocks)
        self.row = b.mul(y, index(plan.height))
        self.column = b.mul(x, index(plan.width))
        self.sized(y, sliding.rows.size, plan.height, lambda height: self.sized_columns(x, height))

    def sized_columns(self, x: ir.Value, height: int) -> None:
        """The same, with as many rows."""
        self.sized(x, self.sliding.columns.size, self.plan.width, lambda width: self.block(height, width))

    def block(self, height: int, width: int) -> None:
        """The same, with as many rows and columns."""
        sliding, plan, b = self.sliding, self.plan, self.b
        rows, columns = sliding.rows, sliding.columns
        row = b.add(b.mul(self.row, index(rows.move)) if rows.phases == 1 else b.udiv(self.row, index(rows.phases)), index(rows.low))
        column: ir.Value | int = columns.low
        if columns.size > plan.width:
            first = b.mul(self.column, index(columns.move)) if columns.phases == 1 else b.udiv(self.column, index(columns.phases))
            column = b.add(first, index(columns.low))
        once = plan.channels >= sliding.terms
        if not once:
            self.clear(self.sums, height * plan.width * plan.blocks * self.wide)
        if once:
            self.channels(index(0), sliding.terms, row, column, height, width, True)
        else:
            with counting(b, 0, sliding.terms, plan.channels) as c:
                self.channels(c, self.least(b.sub(index(sliding.terms), c), plan.channels), row, column, height, width, False)
        self.finish(height, width)

    def channels(
        self, first: ir.Value, count: Bound, row: ir.Value, column: ir.Value | int, height: int, width: int, fresh: bool
    ) -> None:
        """Adds the terms of some channels of the source; `fresh` if they are the first."""
        sliding, plan, b = self.sliding, self.plan, self.b
        self.patch.fill(self.at(self.source, (first, sliding.strides[1])), count, row, column)
        size = math.prod(sliding.window) * self.wide
        with counting(b, 0, self.block_count) as block:
            number = b.add(self.first_block, block)
            weight = self.at(self.weight, (number, sliding.terms * size), (first, size))
            sums = self.at(self.sums, (block, plan.height * plan.width * self.wide))
            for phase, taps in enumerate(sliding.rows.taps):
                with counting(b, 0, len(range(phase, height, sliding.rows.phases))) as i:
                    line = self.at(sums, (i, sliding.rows.phases * plan.width * self.wide), (phase, plan.width * self.wide))
                    moved = b.mul(i, index(sliding.rows.move))
                    valid = self.valid_taps(taps, b.add(moved, row)) if plan.skip_rows else (0, len(taps))
                    patch = self.at(self.patch.memory, (moved, self.patch.span[1]))
                    self.line(weight, patch, line, taps, valid, count, width, fresh)

    def valid_taps(self, taps: Taps, row: ir.Value) -> tuple[Bound, Bound]:
        """The range of taps that lie within the source, where the least offset lies in a row of it."""
        b, axis = self.b, self.sliding.rows
        if not taps:
            return 0, 0
        step = taps[1][1] - taps[0][1] if len(taps) > 1 else 1
        size, count, zero = abs(step), index(len(taps)), index(0)
        near = b.add(row, index(min(offset for _, offset in taps) - axis.low))  # the row of the tap with the least offset

        def below(limit: int) -> ir.Value:
            """How many taps lie in rows below a limit."""
            rest = b.add(b.sub(index(limit), near), index(size - 1))
            rest = b.select(b.icmp_signed("<", rest, zero), zero, rest)
            number = b.udiv(rest, index(size))
            return b.select(b.icmp_signed("<", number, count), number, count)

        first, last = below(0), below(axis.source)
        return (first, last) if step > 0 else (b.sub(count, last), b.sub(count, first))

    def line(
        self, weight: ir.Value, patch: ir.Value, sums: ir.Value, rows: Taps, valid: tuple[Bound, Bound], count: Bound, width: int, fresh: bool
    ) -> None:  # fmt: skip
        """One row of a block, tile by tile. Of the taps along the rows, those in the range `valid` count."""
        columns, tile = self.sliding.columns, self.plan.tile

        def one(phase: int, i: ir.Value | int, size: int) -> None:
            """One tile of the elements i, i + 1, ... of a phase."""
            from_ = self.at(patch, (i, columns.move))
            to = self.at(sums, (i, columns.phases * self.wide), (phase, self.wide))
            places = [[p for p in range(size) if self.counts(i, p, offset)] for _, offset in columns.taps[phase]]
            self.tile(weight, from_, to, rows, valid, columns.taps[phase], places, count, size, fresh)

        for phase in range(columns.phases):
            length = len(range(phase, width, columns.phases))
            start = 0
            for size, many in tiles(length, tile):
                stop = start + size * many
                if self.plan.skip_columns:
                    for i in range(start, stop, size):
                        one(phase, i, size)
                elif many:
                    with counting(self.b, start, stop, size) as i:
                        one(phase, i, size)
                start = stop

    def counts(self, i: ir.Value | int, p: int, offset: int) -> bool:
        """Whether a tap of the p-th element of a tile may lie within the source."""
        columns = self.sliding.columns
        return not self.plan.skip_columns or (isinstance(i, int) and 0 <= (i + p) * columns.move + offset < columns.source)

    def tile(
        self, weight: ir.Value, patch: ir.Value, sums: ir.Value, rows: Taps, valid: tuple[Bound, Bound], columns: Taps,
        places: Sequence[Sequence[int]], count: Bound, size: int, fresh: bool,
    ) -> None:  # fmt: skip
        """One tile: sums in registers over all terms and taps. `places` are the elements that each tap along the columns counts for."""
        plan, sliding, b, k = self.plan, self.sliding, self.b, self.k
        apart = sliding.columns.phases * self.wide
        cells = [self.at(sums, (p, apart), (v * plan.lanes, 1)) for p in range(size) for v in range(plan.vectors)]
        start = [zeros(self.element, k.lanes) if fresh else k.load(cell, self.element) for cell in cells]
        known = valid == (0, len(rows))
        unroll_rows = known and len(rows) * len(columns) * len(cells) <= UNROLLED
        unroll = plan.skip_columns or len(columns) * len(cells) <= 2 * UNROLLED

        def each_channel(c: ir.Value, *acc: ir.Value) -> Sequence[ir.Value]:
            source = self.at(patch, (c, self.patch.size))
            w = self.at(weight, (c, math.prod(sliding.window) * self.wide))

            def each_row(u: ir.Value, y: ir.Value, acc: Sequence[ir.Value]) -> Sequence[ir.Value]:
                line = self.at(source, (b.sub(y, index(sliding.rows.low)), self.patch.span[1]))
                at_row = self.at(w, (u, sliding.window[1] * self.wide))

                def each_column(v: ir.Value, x: ir.Value, acc: Sequence[ir.Value], t: int = -1) -> Sequence[ir.Value]:
                    return self.multiply(at_row, line, v, x, range(size) if t < 0 else places[t], acc)

                return self.taps(columns, (0, len(columns)), unroll, acc, each_column)

            return self.taps(rows, valid, unroll_rows, acc, each_row)

        totals = loop(b, 0, count, 1, start, each_channel) if rows and columns else start
        for cell, total in zip(cells, totals, strict=True):
            k.store(total, cell)

    def taps(
        self, taps: Taps, valid: tuple[Bound, Bound], unroll: bool, acc: Sequence[ir.Value], body: Callable[..., Sequence[ir.Value]]
    ) -> Sequence[ir.Value]:
        """Carries sums through a range of the taps of one dim, which are evenly spaced: written out, with their numbers, or in a loop."""
        if unroll:
            for t, (place, offset) in enumerate(taps):
                acc = body(index(place), index(offset), acc, *([t] if body.__defaults__ else []))
            return acc
        (place, offset), (next_place, next_offset) = taps[0], taps[min(1, len(taps) - 1)]
        b = self.b

        def each(t: ir.Value, *acc: ir.Value) -> Sequence[ir.Value]:
            at_place = b.add(b.mul(t, index(next_place - place)), index(place))
            at_offset = b.add(b.mul(t, index(next_offset - offset)), index(offset))
            return body(at_place, at_offset, acc)

        return loop(b, *valid, 1, acc, each)

    def multiply(
        self, weight: ir.Value, line: ir.Value, v: ir.Value, x: ir.Value, places: Sequence[int], acc: Sequence[ir.Value]
    ) -> Sequence[ir.Value]:
        """The products of one tap: elements of the source with the weights of all channels."""
        k, columns, vectors = self.k, self.sliding.columns, self.plan.vectors
        weight = self.at(weight, (v, self.wide))
        first = self.at(line, (x, 1), (-columns.low, 1))
        row = [k.load(self.at(weight, (i * k.lanes, 1)), self.element) for i in range(vectors)]
        out = list(acc)
        for p in places:
            cell = k.splat(self.b.load(self.at(first, (p * columns.move, 1)), typ=self.element))
            for i, vector in enumerate(row):
                out[p * vectors + i] = k.fma(cell, vector, out[p * vectors + i])
        return out

    def finish(self, height: int, width: int) -> None:
        """Gives the block's results to the epilogue: along the flattened map where the block has whole rows."""
        sliding, plan, b, k = self.sliding, self.plan, self.b, self.k
        stride = sliding.columns.size
        j = b.add(b.mul(self.row, index(stride)), self.column)
        flat = width == plan.width == stride
        first = b.mul(self.first_block, index(self.wide))
        with counting(b, 0, self.block_count) as block, counting(b, 0, plan.vectors) as v:
            channel = b.add(b.add(first, b.mul(block, index(self.wide))), b.mul(v, index(plan.lanes)))
            count = index(plan.lanes)
            if sliding.outs % self.wide:
                left = b.sub(index(sliding.outs), channel)
                count = b.select(b.icmp_signed("<", left, count), left, count)
            i = b.add(channel, b.mul(self.group, index(sliding.outs)))
            cell = self.at(self.sums, (block, plan.height * plan.width * self.wide), (v, plan.lanes))
            with counting(b, 0, 1 if flat else height) as y:
                line = self.at(cell, (y, plan.width * self.wide))
                place = b.add(j, b.mul(y, index(stride)))

                def rows(q: ir.Value, line: ir.Value = line) -> ir.Value:
                    return k.load(self.at(line, (q, self.wide)), self.element)

                self.lines.emit(rows, height * width if flat else width, count, [self.n], i, place)


class PackKernel(Kernel):
    """The function "pack_weight": a weight, and where it goes."""

    def __init__(self, packing: Packing) -> None:
        super().__init__("pack_weight", packing.dtype, packing.lanes, 2)
        self.packing = packing
        self.each_unit(self.unit)

    def unit(self, number: ir.Value) -> None:
        """Some terms of one block of channels."""
        packing = self.packing
        size, step = math.prod(packing.window), packing.together
        group, block, part = self.divide(number, packing.blocks, packing.terms // step)
        term = self.b.mul(part, index(step))
        to = self.at(self.pointers[1], (number, step * size * packing.wide))
        strides = packing.strides
        source = self.at(self.pointers[0], (group, strides[0]), (block, packing.wide * strides[1]), (term, strides[2]))
        self.sized(block, packing.outs, packing.wide, lambda outs: self.copy(source, to, outs))

    def copy(self, source: ir.Value, to: ir.Value, outs: int) -> None:
        """The same, for so many channels."""
        packing = self.packing
        _, channel, _, row, column = packing.strides
        kh, kw = packing.window
        if row == kw * column:
            self.pack(source, (column, channel), to, packing.wide, packing.together * kh * kw, outs)
            return
        with counting(self.b, 0, kh) as u:
            self.pack(self.at(source, (u, row)), (column, channel), self.at(to, (u, kw * packing.wide)), packing.wide, kw, outs)


# ---- the gradient of the weight -----------------------------------------------------------------------------------------


class WeightKernel(Kernel):
    """The function "weight_gradient": the gradient of y, x, and the sums of all parts, [part, group, row of the weight, channel]."""

    def __init__(self, spec: Any, axes: tuple[Axis, Axis], plan: WeightPlan) -> None:
        super().__init__("weight_gradient", spec.dtype, plan.lanes, 3)
        self.spec, self.plan = spec, plan
        self.rows, self.columns = axes
        self.outs, self.terms = spec.o // spec.groups, spec.c // spec.groups
        self.wide = plan.lanes * plan.vectors
        self.blocks = -(-self.outs // self.wide)
        self.length = self.terms * spec.kh * spec.kw
        span = (self.rows.span(plan.height), self.columns.span(plan.width))
        strides = spec.input_strides
        self.patch = Patch(self, self.room(plan.channels * span[0] * span[1]), (spec.h, spec.w), strides[1:], span)
        self.grad = self.room(plan.height * plan.width * self.blocks * self.wide)
        self.each_unit(self.part)

    def part(self, number: ir.Value) -> None:
        """The sums of one part of the work, for one group."""
        spec, plan, b = self.spec, self.plan, self.b
        part, group, slice_ = self.divide(number, spec.groups, plan.slices)
        size = self.length * self.blocks * self.wide
        self.first = b.mul(slice_, index(self.terms // plan.slices))
        self.sums = self.at(self.pointers[2], (b.udiv(number, index(plan.slices)), size), (self.first, spec.kh * spec.kw * self.wide))
        with counting(b, 0, self.blocks) as block:
            self.clear(self.at(self.sums, (block, self.length * self.wide)), self.length // plan.slices * self.wide)
        down, across = -(-self.rows.size // plan.height), -(-self.columns.size // plan.width)
        units = spec.n * down * across
        start = b.udiv(b.mul(part, index(units)), index(plan.parts))
        stop = b.udiv(b.mul(b.add(part, index(1)), index(units)), index(plan.parts))
        with counting(b, start, stop) as unit:
            n, y, x = self.divide(unit, down, across)
            channel = b.add(self.first, b.mul(group, index(self.terms)))
            self.source = self.at(self.pointers[1], (n, spec.input_strides[0]), (channel, spec.input_strides[1]))
            row, column = b.mul(y, index(plan.height)), b.mul(x, index(plan.width))
            places = ((n, spec.output_strides[0]), (group, self.outs * spec.output_strides[1]))
            grad = self.at(self.pointers[0], *places, (row, spec.output_strides[2]), (column, spec.output_strides[3]))
            source_row = b.add(b.mul(row, index(self.rows.move)), index(self.rows.low))
            source_column: ir.Value | int = self.columns.low
            if across > 1:
                source_column = b.add(b.mul(column, index(self.columns.move)), index(self.columns.low))

            def sized(height: int, x: ir.Value = x) -> None:
                self.sized(x, self.columns.size, plan.width, lambda width: self.block(grad, source_row, source_column, height, width))

            self.sized(y, self.rows.size, plan.height, sized)

    def block(self, grad: ir.Value, row: ir.Value, column: ir.Value | int, height: int, width: int) -> None:
        """Adds the products of one block of the maps."""
        spec, plan, b = self.spec, self.plan, self.b
        self.pack_gradient(grad, height, width)
        with counting(b, 0, self.terms // plan.slices, plan.channels) as first:
            self.patch.fill(self.at(self.source, (first, spec.input_strides[1])), plan.channels, row, column)
            tc, tu, tx = plan.tile
            with counting(b, 0, self.blocks) as block:
                g = self.at(self.grad, (block, plan.height * plan.width * self.wide))
                with counting(b, 0, plan.channels, tc) as c, counting(b, 0, spec.kh, tu) as u, counting(b, 0, spec.kw, tx) as x:
                    steps = (self.patch.size, spec.dilation[0] * self.patch.span[1], spec.dilation[1])
                    source = self.at(self.patch.memory, *zip((c, u, x), steps, strict=True))
                    place = ((b.add(first, c), spec.kh * spec.kw), (u, spec.kw), (x, 1))
                    sums = self.at(self.sums, (block, self.length * self.wide), *((i, s * self.wide) for i, s in place))
                    self.tile(g, source, sums, height, width)

    def pack_gradient(self, grad: ir.Value, height: int, width: int) -> None:
        """The block of y's gradient with the channels next to one another: [block of channels, element, channel]."""
        with counting(self.b, 0, self.blocks) as number:
            self.sized(number, self.outs, self.wide, lambda outs: self.pack_block(grad, number, outs, height, width))

    def pack_block(self, grad: ir.Value, number: ir.Value, outs: int, height: int, width: int) -> None:
        """The same, for one block of channels."""
        plan = self.plan
        _, channel, row, column = self.spec.output_strides
        source = self.at(grad, (number, self.wide * channel))
        to = self.at(self.grad, (number, plan.height * plan.width * self.wide))
        if row == width * column and width == plan.width:
            self.pack(source, (column, channel), to, self.wide, height * width, outs)
            return
        with counting(self.b, 0, height) as y:
            self.pack(self.at(source, (y, row)), (column, channel), self.at(to, (y, plan.width * self.wide)), self.wide, width, outs)

    def tile(self, grad: ir.Value, source: ir.Value, sums: ir.Value, height: int, width: int) -> None:
        """Adds the products of a tile: all taps of it with the gradients of all channels of the block."""
        spec, plan, b, k = self.spec, self.plan, self.b, self.k
        tc, tu, tx = plan.tile
        places = [(c, u, x) for c in range(tc) for u in range(tu) for x in range(tx)]
        cells = [
            self.at(sums, ((c * spec.kh + u) * spec.kw + x, self.wide), (v * plan.lanes, 1)) for c, u, x in places for v in range(plan.vectors)
        ]
        offsets = [c * self.patch.size + u * spec.dilation[0] * self.patch.span[1] + x * spec.dilation[1] for c, u, x in places]
        unroll = next(d for d in (4, 2, 1) if width % d == 0 and (d == 1 or d * len(cells) <= 64))

        def each_row(y: ir.Value, *acc: ir.Value) -> Sequence[ir.Value]:
            line = self.at(source, (y, self.rows.move * self.patch.span[1]))
            g = self.at(grad, (y, plan.width * self.wide))

            def each(x: ir.Value, *acc: ir.Value) -> Sequence[ir.Value]:
                out = list(acc)
                start, first = self.at(line, (x, self.columns.move)), self.at(g, (x, self.wide))
                for q in range(unroll):
                    vectors = [k.load(self.at(first, (q * self.wide + v * plan.lanes, 1)), self.element) for v in range(plan.vectors)]
                    for t, offset in enumerate(offsets):
                        cell = k.splat(b.load(self.at(start, (q * self.columns.move + offset, 1)), typ=self.element))
                        for v, vector in enumerate(vectors):
                            out[t * plan.vectors + v] = k.fma(cell, vector, out[t * plan.vectors + v])
                return out

            return loop(b, 0, width, unroll, acc, each)

        totals = loop(b, 0, height, 1, [k.load(cell, self.element) for cell in cells], each_row)
        for cell, total in zip(cells, totals, strict=True):
            k.store(total, cell)


class CombineKernel(Kernel):
    """The function "combine": the sums of all parts, and the epilogue's operands."""

    def __init__(
        self, dtype: np.dtype[Any], groups: int, outs: int, length: int, plan: WeightPlan, epilogue: Epilogue, operands: int
    ) -> None:
        super().__init__("combine", dtype, plan.lanes, 1 + operands)
        self.groups, self.outs, self.length, self.plan = groups, outs, length, plan
        self.totals = self.room(plan.lanes**2)
        self.lines = Lines(self, epilogue, self.pointers[1:])
        self.each_unit(self.unit)

    def unit(self, number: ir.Value) -> None:
        """One vector of channels, for as many elements of the weight's rows as vectors have lanes."""
        plan, b, lanes = self.plan, self.b, self.plan.lanes
        wide = lanes * plan.vectors
        blocks = -(-self.outs // wide)
        group, vector, place = self.divide(number, -(-self.outs // lanes), -(-self.length // lanes))
        size = self.length * blocks * wide
        block, v = self.divide(vector, plan.vectors)
        first = b.mul(place, index(lanes))
        start = self.at(self.pointers[0], (group, size), (block, self.length * wide), (v, lanes), (first, wide))
        channel = b.mul(vector, index(lanes))
        count = self.least(b.sub(index(self.outs), channel), lanes) if self.outs % lanes else lanes
        i = b.add(channel, b.mul(group, index(self.outs)))

        def emit(valid: int) -> None:
            def body(part: ir.Value, *totals: ir.Value) -> Sequence[ir.Value]:
                from_ = self.at(start, (part, self.groups * size))
                return [self.k.add(t, self.k.load(self.at(from_, (q, wide)), self.element)) for q, t in enumerate(totals)]

            sums = loop(b, 0, plan.parts, 1, [zeros(self.element, lanes)] * valid, body)
            for q, total in enumerate(sums):
                self.k.store(total, self.at(self.totals, (q, lanes)))
            self.lines.emit(lambda q: self.k.load(self.at(self.totals, (q, lanes)), self.element), valid, count, [], i, first)

        self.sized(place, self.length, lanes, emit)
