"""Sums over sliding windows: the code of a convolution, of the gradient of its input, and of the packing of the weight for them.

Vectors run along the channels of the result. See `conv` for how the work is cut.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir

from retrograd.compile.native.gemm import Epilogue
from retrograd.compile.native.loops import Bound, counting, index, loop
from retrograd.compile.native.maps import Axis, Kernel, Lines, Patch, Taps
from retrograd.compile.native.microkernels import zeros

UNROLLED = 100  # multiply-adds in a row that are worth their code


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


class SlidingKernel(Kernel):
    """The function "slide": source, packed weight, and the epilogue's operands."""

    def __init__(self, sliding: Sliding, plan: SlidingPlan, epilogue: Epilogue, operands: int) -> None:
        super().__init__("slide", sliding.dtype, plan.lanes, 2 + operands)
        self.sliding, self.plan = sliding, plan
        self.wide = plan.lanes * plan.vectors
        self.prepare()
        self.lines = Lines(self, epilogue, self.pointers[2:])
        self.each_unit(self.unit)

    @property
    def taps_packed(self) -> int:
        """How many numbers of the weight there are for each channel and term."""
        return math.prod(self.sliding.window)

    def prepare(self) -> None:
        """Takes memory for a block's part of the source and its results."""
        sliding, plan = self.sliding, self.plan
        span = (sliding.rows.span(plan.height), sliding.columns.span(plan.width))
        sizes = (sliding.rows.source, sliding.columns.source)
        self.patch = Patch(self, self.room(plan.channels * span[0] * span[1]), sizes, sliding.strides[1:], span)
        self.sums = self.room(plan.height * plan.width * plan.blocks * self.wide)

    def unit(self, number: ir.Value) -> None:
        """A block of a map, for some channels."""
        sliding, plan, b = self.sliding, self.plan, self.b
        units = plan.units(sliding)
        n, group, across, y, x = self.divide(number, sliding.groups, *units)
        self.group, self.n = group, n
        self.source = self.at(self.pointers[0], (n, sliding.strides[0]), (group, sliding.terms * sliding.strides[1]))
        total = -(-sliding.outs // self.wide)
        self.weight = self.at(self.pointers[1], (group, total * sliding.terms * self.taps_packed * self.wide))
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

    def channels(self, first: ir.Value, count: Bound, row: ir.Value, column: ir.Value | int, height: int, width: int, fresh: bool) -> None:
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
