"""Windows of 3 x 3 with fewer products: the code of minimal filtering F(2 x 2, 3 x 3) (Winograd 1980; Lavin & Gray 2016).

Tiles of 2 x 2 results share a piece of 4 x 4 elements of the source. Of piece and weight 16 numbers each are computed by additions;
their products, added up over all terms, give the tile by additions again: 16 products in place of 36. For each of the 16 places the sums
are a matrix product. The additions cost some bits (an error of a few 1e-7 in float32), and an infinity or a nan spreads over
the tiles that see it. Like in `sliding`, vectors run along the channels of the result; see `conv` for how the work is cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir

from retrograd.compile.native.builder import VectorBuilder
from retrograd.compile.native.host import Host
from retrograd.compile.native.loops import Bound, counting, index, loop
from retrograd.compile.native.maps import Axis, Kernel, Patch
from retrograd.compile.native.microkernels import power_of_two, shuffle, zeros
from retrograd.compile.native.sliding import Sliding, SlidingKernel, SlidingPlan, tiles

PLACES = 16  # numbers for each piece
STACK = 64 << 10  # bytes of the numbers of all pieces of a unit, of their sums, and of the source
TOGETHER = 8  # terms of which the source is copied at once
LEAST = (16, 17, 64)  # terms, channels of the result, and tiles from which it pays


def suits(sliding: Sliding) -> bool:
    """Whether minimal filtering computes it, and is worth it."""
    terms, outs, count = LEAST
    enough = sliding.n * pairs(sliding.rows.size) * pairs(sliding.columns.size) >= count
    return all(map(three_in_a_row, (sliding.rows, sliding.columns))) and sliding.terms >= terms and sliding.outs >= outs and enough


def three_in_a_row(axis: Axis) -> bool:
    """Whether every element of the result takes three neighbours."""
    if axis.phases != 1 or axis.move != 1 or axis.size < 3:
        return False
    offsets = [offset for _, offset in axis.taps[0]]
    return sorted(offsets) == list(range(axis.low, axis.low + 3))


def pairs(length: int) -> int:
    """How many tiles cover a length.

    >>> pairs(7)
    4
    """
    return -(-length // 2)


def lanes_along(lanes: int, count: int) -> int:
    """How many lanes vectors along tiles have."""
    return min(lanes, power_of_two(count))


@dataclass(frozen=True)
class Spectrum:
    """A packed weight (see `sliding.Packing`) and its 16 numbers for each channel and term: [block, place, term, channel within the block].

    `blocks` are those of all groups; `order` says which taps of the window come first along rows and columns.
    """

    dtype: np.dtype[Any]
    blocks: int
    terms: int
    wide: int
    lanes: int
    order: tuple[tuple[int, ...], tuple[int, ...]]

    @property
    def elements(self) -> int:
        """Elements of all numbers."""
        return self.blocks * PLACES * self.terms * self.wide


def order_of(axis: Axis) -> tuple[int, ...]:
    """The taps' places in the window, from the least offset on."""
    return tuple(place for place, _ in sorted(axis.taps[0], key=lambda tap: tap[1]))


class SpectrumKernel(Kernel):
    """The function "spectrum": a packed weight, and its numbers."""

    def __init__(self, spectrum: Spectrum) -> None:
        super().__init__("spectrum", spectrum.dtype, spectrum.lanes, 2)
        self.spectrum = spectrum
        self.each_unit(self.unit)

    def unit(self, number: ir.Value) -> None:
        """One term of one block."""
        s, k = self.spectrum, self.k
        block, term = self.divide(number, s.terms)
        source = self.at(self.pointers[0], (number, 9 * s.wide))
        to = self.at(self.pointers[1], (block, PLACES * s.terms * s.wide), (term, s.wide))
        with counting(self.b, 0, s.wide, s.lanes) as c:
            window = [[k.load(self.at(source, (c, 1), ((3 * u + v) * s.wide, 1)), self.element) for v in s.order[1]] for u in s.order[0]]
            lines = [self.widened(row) for row in window]
            for j, column in enumerate(zip(*lines, strict=True)):
                for i, value in enumerate(self.widened(column)):
                    k.store(value, self.at(to, (c, 1), ((4 * i + j) * s.terms * s.wide, 1)))

    def widened(self, row: Sequence[ir.Value]) -> tuple[ir.Value, ...]:
        """Four numbers of three."""
        k = self.k
        first, middle, last = row
        ends = k.add(first, last)
        return first, k.mul(k.add(ends, middle), 0.5), k.mul(k.sub(ends, middle), 0.5), last


def winograd_plan(sliding: Sliding, host: Host, vectors: tuple[int, int], width: int, tile: int) -> SlidingPlan:
    """How the work is cut: blocks of `width` columns, `vectors` = (those in a tile, all), and `tile` neighbouring tiles in registers."""
    size, (v, every) = sliding.dtype.itemsize, vectors
    lanes = min(host.lanes(sliding.dtype), power_of_two(sliding.outs))
    across = pairs(width)
    padded = -(-across // lanes_along(lanes, across)) * lanes_along(lanes, across)
    wanted = 16 if PLACES * sliding.terms * sliding.outs * size <= host.l2 // 2 else 32
    down = max(1, min(pairs(sliding.rows.size), wanted // across, STACK // (PLACES * across * v * lanes * size)))
    down = -(-pairs(sliding.rows.size) // -(-pairs(sliding.rows.size) // down))
    channels = max(1, min(sliding.terms, STACK // (size * PLACES * down * padded)))
    channels = -(-sliding.terms // -(-sliding.terms // channels))
    blocks = 1 if channels < sliding.terms else max(1, min(every // v, STACK // 2 // (4 * down * width * v * lanes * size)))
    return SlidingPlan(lanes, v, tile, 2 * down, width, channels, blocks, skip_rows=False, skip_columns=False)


class Pieces:
    """The numbers of the pieces of 4 x 4 elements of a block of the source, on the stack: [place, term, tile]."""

    def __init__(
        self, kernel: Kernel, channels: int, down: int, across: int, sizes: tuple[int, int], strides: tuple[int, int, int]
    ) -> None:  # fmt: skip
        self.kernel = kernel
        self.along = lanes_along(kernel.lanes, across)
        self.padded = -(-across // self.along) * self.along
        self.size = down * self.padded
        self.places_apart = channels * self.size
        span = (2 * down + 2, 2 * self.padded + 2)
        self.together = min(channels, TOGETHER)
        self.patch = Patch(kernel, kernel.room(self.together * span[0] * span[1]), sizes, strides, span)
        self.numbers = kernel.room(PLACES * self.places_apart)

    def fill(self, source: ir.Value, count: Bound, row: ir.Value, column: ir.Value | int, down: int) -> None:
        """Computes those of `count` terms; the block begins at (row, column) of the map and has `down` rows of tiles."""
        kernel, b = self.kernel, self.kernel.b
        with counting(b, 0, count, self.together) as first:
            some = (
                self.together
                if isinstance(count, int) and count % self.together == 0
                else kernel.least(b.sub(index(count), first), self.together)
            )
            self.patch.fill(kernel.at(source, (first, self.patch.strides[0])), some, row, column)
            with counting(b, 0, some) as c, counting(b, 0, down) as y, counting(b, 0, self.padded, self.along) as x:
                self.transform(first, c, y, x)

    def transform(self, first: ir.Value, c: ir.Value, y: ir.Value, x: ir.Value) -> None:
        """Computes those of one vector of pieces of a term, which is the c-th in the patch."""
        kernel, b, along = self.kernel, self.kernel.b, self.along
        t = VectorBuilder(b, along)
        even, odd = ([2 * i + side for i in range(along)] for side in (0, 1))
        corner = kernel.at(self.patch.memory, (c, self.patch.size), (y, 2 * self.patch.span[1]), (x, 2))
        lines = []
        for r in range(4):
            near, far = [
                [t.load(kernel.at(corner, (r, self.patch.span[1]), (start + part * along, 1)), kernel.element) for part in (0, 1)]
                for start in (0, 2)
            ]
            line = [shuffle(b, two[0], two[1], lanes) for two, lanes in ((near, even), (near, odd), (far, even), (far, odd))]
            lines.append(differences(t, line))
        to = kernel.at(self.numbers, (b.add(first, c), self.size), (y, self.padded), (x, 1))
        for j, column in enumerate(zip(*lines, strict=True)):
            for i, value in enumerate(differences(t, column)):
                t.store(value, kernel.at(to, ((4 * i + j) * self.places_apart, 1)))


class WinogradKernel(SlidingKernel):
    """The function "slide": source, the weight's numbers, and the epilogue's operands."""

    taps_packed = PLACES

    def prepare(self) -> None:
        """Takes memory: pieces of the source, their numbers, and the sums of products."""
        plan = self.plan
        self.down, self.across = plan.height // 2, pairs(plan.width)
        sizes = (self.sliding.rows.source, self.sliding.columns.source)
        self.pieces = Pieces(self, plan.channels, self.down, self.across, sizes, self.sliding.strides[1:])
        self.products = self.room(PLACES * self.down * self.across * self.wide)
        self.sums = self.room(plan.blocks * plan.height * plan.width * self.wide)

    def block(self, height: int, width: int) -> None:
        """A block of a map with as many rows and columns."""
        sliding, plan, b = self.sliding, self.plan, self.b
        row = b.add(self.row, index(sliding.rows.low))
        column: ir.Value | int = sliding.columns.low
        if sliding.columns.size > plan.width:
            column = b.add(self.column, index(column))
        if plan.channels >= sliding.terms:
            self.pieces.fill(self.source, sliding.terms, row, column, pairs(height))
            with counting(b, 0, self.block_count) as block:
                self.multiply_all(block, index(0), sliding.terms, pairs(height), pairs(width), True)
                self.tiles_of(block, height, width)
        else:
            self.clear(self.products, PLACES * self.down * self.across * self.wide)
            with counting(b, 0, sliding.terms, plan.channels) as c:
                count = self.least(b.sub(index(sliding.terms), c), plan.channels) if sliding.terms % plan.channels else plan.channels
                self.pieces.fill(self.at(self.source, (c, sliding.strides[1])), count, row, column, pairs(height))
                self.multiply_all(index(0), c, count, pairs(height), pairs(width), False)
            self.tiles_of(index(0), height, width)
        self.finish(height, width)

    def multiply_all(self, block: ir.Value, first: ir.Value, count: Bound, down: int, across: int, fresh: bool) -> None:
        """The matrix product of each place: adds the products of some terms for one block of channels; `fresh` if they are the first."""
        plan, b = self.plan, self.b
        size = self.sliding.terms * self.wide
        weight = self.at(self.weight, (b.add(self.first_block, block), PLACES * size), (first, self.wide))
        with counting(b, 0, PLACES) as place, counting(b, 0, down) as y:
            w = self.at(weight, (place, size))
            numbers = self.at(self.pieces.numbers, (place, self.pieces.places_apart), (y, self.pieces.padded))
            sums = self.at(self.products, (place, self.down * self.across * self.wide), (y, self.across * self.wide))
            start = 0
            for wide, many in tiles(across, plan.tile):
                with counting(b, start, start + wide * many, wide) as x:
                    self.multiply_tiles(w, self.at(numbers, (x, 1)), self.at(sums, (x, self.wide)), wide, count, fresh)
                start += wide * many

    def multiply_tiles(self, weight: ir.Value, numbers: ir.Value, sums: ir.Value, wide: int, count: Bound, fresh: bool) -> None:
        """Sums in registers, for neighbouring tiles."""
        plan, k, b = self.plan, self.k, self.b
        cells = [self.at(sums, (t * self.wide + v * plan.lanes, 1)) for t in range(wide) for v in range(plan.vectors)]
        start = [zeros(self.element, k.lanes) if fresh else k.load(cell, self.element) for cell in cells]

        def each(c: ir.Value, *acc: ir.Value) -> Sequence[ir.Value]:
            w, source = self.at(weight, (c, self.wide)), self.at(numbers, (c, self.pieces.size))
            vectors = [k.load(self.at(w, (v * plan.lanes, 1)), self.element) for v in range(plan.vectors)]
            out = list(acc)
            for t in range(wide):
                cell = k.splat(b.load(self.at(source, (t, 1)), typ=self.element))
                for v, vector in enumerate(vectors):
                    out[t * plan.vectors + v] = k.fma(cell, vector, out[t * plan.vectors + v])
            return out

        for cell, total in zip(cells, loop(b, 0, count, 1, start, each), strict=True):
            k.store(total, cell)

    def tiles_of(self, block: ir.Value, height: int, width: int) -> None:
        """The results: of each tile as many rows and columns as lie within the map."""
        b = self.b
        for y, rows, down in ((0, 2, height // 2), (height // 2, 1, height % 2)):
            for x, columns, across in ((0, 2, width // 2), (width // 2, 1, width % 2)):
                if down and across:
                    with counting(b, y, y + down) as i, counting(b, x, x + across) as j, counting(b, 0, self.plan.vectors) as v:
                        self.tile_of(block, i, j, v, rows, columns)

    def tile_of(self, block: ir.Value, y: ir.Value, x: ir.Value, v: ir.Value, rows: int, columns: int) -> None:
        """One vector of channels of one tile."""
        plan, k = self.plan, self.k
        source = self.at(self.products, (y, self.across * self.wide), (x, self.wide), (v, plan.lanes))
        size = self.down * self.across * self.wide
        lines = [narrowed(k, [k.load(self.at(source, ((4 * i + j) * size, 1)), self.element) for i in range(4)]) for j in range(4)]
        to = self.at(
            self.sums, (block, plan.height * plan.width * self.wide), (y, 2 * plan.width * self.wide), (x, 2 * self.wide), (v, plan.lanes)
        )
        for r in range(rows):
            for c, value in enumerate(narrowed(k, [line[r] for line in lines])[:columns]):
                k.store(value, self.at(to, ((r * plan.width + c) * self.wide, 1)))


def differences(k: VectorBuilder, row: Sequence[ir.Value]) -> tuple[ir.Value, ...]:
    """The four numbers of four elements in a row."""
    a, b, c, d = row
    return k.sub(a, c), k.add(b, c), k.sub(c, b), k.sub(b, d)


def narrowed(k: VectorBuilder, row: Sequence[ir.Value]) -> tuple[ir.Value, ir.Value]:
    """The two results of four sums."""
    a, b, c, d = row
    return k.add(k.add(a, b), c), k.sub(k.sub(b, c), d)
