"""The gradient of a weight of 3 x 3 with fewer products: minimal filtering F(3 x 3, 2 x 2), the counterpart of `winograd`.

A tile of 2 x 2 elements of the result's gradient and the piece of 4 x 4 elements of the input that it sees give 16 numbers each; their
products, added up over all tiles, give the 3 x 3 elements of the weight's gradient by additions. The sums over parts of the batch are
matrix products; a second kernel adds up the parts and makes the elements, and `conv_weight.CombineKernel` hands them over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from llvmlite import ir

from retrograd.compile.native.conv_weight import WeightKernel, WeightPlan
from retrograd.compile.native.loops import counting, loop
from retrograd.compile.native.maps import Kernel
from retrograd.compile.native.microkernels import zeros
from retrograd.compile.native.winograd import PLACES, Pieces, pairs

if TYPE_CHECKING:
    from retrograd.compile.native.conv import Convolution


def sums_of_unit(spec: Convolution, plan: WeightPlan) -> int:
    """How many sums a unit has: [block of channels, place, term of the slice, channel within the block]."""
    wide = plan.lanes * plan.vectors
    return -(-spec.o // spec.groups // wide) * PLACES * (spec.c // spec.groups // plan.slices) * wide


class WinogradWeightKernel(WeightKernel):
    """The function "weight_gradient": the gradient of y, x, and the sums of all units (part, group, slice)."""

    def prepare(self) -> None:
        """Takes memory: a block of y's gradient, the numbers of its tiles, and those of the pieces of the input."""
        spec, plan = self.spec, self.plan
        self.down, self.across = plan.height // 2, pairs(plan.width)
        self.pieces = Pieces(self, plan.channels, self.down, self.across, (spec.h, spec.w), spec.input_strides[1:])
        self.grad = self.room(plan.height * plan.width * self.wide)
        self.numbers = self.room(PLACES * self.down * self.across * self.wide)

    def start_sums(self, number: ir.Value) -> None:
        """Sets a unit's sums to zero."""
        size = sums_of_unit(self.spec, self.plan)
        self.sums = self.at(self.pointers[2], (number, size))
        self.clear(self.sums, size)

    def block(self, grad: ir.Value, row: ir.Value, column: ir.Value | int, height: int, width: int) -> None:
        """Adds the products of one block of the maps."""
        spec, plan, b = self.spec, self.plan, self.b
        terms = self.terms // plan.slices
        with counting(b, 0, terms, plan.channels) as first:
            self.pieces.fill(self.at(self.source, (first, spec.input_strides[1])), plan.channels, row, column, pairs(height))
            with counting(b, 0, self.blocks) as block:

                def packed(outs: int, block: ir.Value = block) -> None:
                    self.pack_block(grad, block, self.grad, outs, height, width)

                self.sized(block, self.outs, self.wide, packed)
                self.transform(height, width)
                with counting(b, 0, PLACES) as place, counting(b, 0, plan.channels, plan.tile[0]) as c:
                    cell = ((block, PLACES * terms * self.wide), (place, terms * self.wide), (b.add(first, c), self.wide))
                    source = self.at(self.pieces.numbers, (place, self.pieces.places_apart), (c, self.pieces.size))
                    numbers = self.at(self.numbers, (place, self.down * self.across * self.wide))
                    self.multiply(source, numbers, self.at(self.sums, *cell), pairs(height), pairs(width))

    def transform(self, height: int, width: int) -> None:
        """The numbers of all tiles of the packed gradient: [place, tile, channel]; what is outside the map counts as 0."""
        b = self.b
        for y, rows, down in ((0, 2, height // 2), (height // 2, 1, height % 2)):
            for x, columns, across in ((0, 2, width // 2), (width // 2, 1, width % 2)):
                if down and across:
                    with counting(b, y, y + down) as i, counting(b, x, x + across) as j, counting(b, 0, self.plan.vectors) as v:
                        self.transform_tile(i, j, v, rows, columns)

    def transform_tile(self, y: ir.Value, x: ir.Value, v: ir.Value, rows: int, columns: int) -> None:
        """One vector of channels of one tile, of which so many rows and columns lie within the map."""
        plan, k = self.plan, self.k
        source = self.at(self.grad, (y, 2 * plan.width * self.wide), (x, 2 * self.wide), (v, plan.lanes))
        zero = zeros(self.element, plan.lanes)

        def element(r: int, c: int) -> ir.Value:
            within = r < rows and c < columns
            return k.load(self.at(source, ((r * plan.width + c) * self.wide, 1)), self.element) if within else zero

        lines = [self.widened(element(0, c), element(1, c)) for c in range(2)]
        to = self.at(self.numbers, (y, self.across * self.wide), (x, self.wide), (v, plan.lanes))
        for i in range(4):
            for j, value in enumerate(self.widened(lines[0][i], lines[1][i])):
                k.store(value, self.at(to, ((4 * i + j) * self.down * self.across * self.wide, 1)))

    def widened(self, a: ir.Value, b: ir.Value) -> tuple[ir.Value, ...]:
        """Four numbers of two."""
        k = self.k
        half = k.mul(a, 0.5), k.mul(b, 0.5)
        return a, k.add(*half), k.sub(*half), b

    def multiply(self, source: ir.Value, numbers: ir.Value, sums: ir.Value, down: int, across: int) -> None:
        """Adds to the sums of some terms, in registers, the products of all tiles."""
        plan, k, b = self.plan, self.k, self.b
        terms = plan.tile[0]
        cells = [self.at(sums, (t * self.wide + v * plan.lanes, 1)) for t in range(terms) for v in range(plan.vectors)]

        def each_row(y: ir.Value, *acc: ir.Value) -> Sequence[ir.Value]:
            line, row = self.at(source, (y, self.pieces.padded)), self.at(numbers, (y, self.across * self.wide))

            def each(x: ir.Value, *acc: ir.Value) -> Sequence[ir.Value]:
                out, start = list(acc), self.at(row, (x, self.wide))
                vectors = [k.load(self.at(start, (v * plan.lanes, 1)), self.element) for v in range(plan.vectors)]
                for t in range(terms):
                    cell = k.splat(b.load(self.at(line, (x, 1), (t * self.pieces.size, 1)), typ=self.element))
                    for v, vector in enumerate(vectors):
                        out[t * plan.vectors + v] = k.fma(cell, vector, out[t * plan.vectors + v])
                return out

            return loop(b, 0, across, 1, acc, each)

        totals = loop(b, 0, down, 1, [k.load(cell, self.element) for cell in cells], each_row)
        for cell, total in zip(cells, totals, strict=True):
            k.store(total, cell)


class ElementsKernel(Kernel):
    """The function "elements": the sums of all units, and the elements of the weight's gradient, [group, row of the weight, channel] in blocks."""

    def __init__(self, spec: Convolution, plan: WeightPlan) -> None:
        super().__init__("elements", spec.dtype, plan.lanes, 2)
        self.spec, self.plan = spec, plan
        self.wide = plan.lanes * plan.vectors
        self.terms = spec.c // spec.groups
        self.blocks = -(-spec.o // spec.groups // self.wide)
        self.each_unit(self.unit)

    def unit(self, number: ir.Value) -> None:
        """One term of one block of channels."""
        plan, k, wide = self.plan, self.k, self.wide
        group, block, slice_, term = self.divide(number, self.blocks, plan.slices, self.terms // plan.slices)
        size, places = sums_of_unit(self.spec, plan), self.terms // plan.slices * wide
        start = self.at(self.pointers[0], (group, plan.slices * size), (slice_, size), (block, PLACES * places), (term, wide))
        to = self.at(self.pointers[1], (number, 9 * wide))
        with counting(self.b, 0, wide, plan.lanes) as c:

            def each(part: ir.Value, *totals: ir.Value) -> Sequence[ir.Value]:
                from_ = self.at(start, (part, self.spec.groups * plan.slices * size), (c, 1))
                return [k.add(total, k.load(self.at(from_, (p * places, 1)), self.element)) for p, total in enumerate(totals)]

            sums = loop(self.b, 0, plan.parts, 1, [zeros(self.element, plan.lanes)] * PLACES, each)
            lines = [self.three(sums[j::4]) for j in range(4)]
            for u in range(3):
                for v, value in enumerate(self.three([line[u] for line in lines])):
                    k.store(value, self.at(to, (c, 1), ((3 * u + v) * wide, 1)))

    def three(self, sums: Sequence[ir.Value]) -> tuple[ir.Value, ir.Value, ir.Value]:
        """Three elements of four sums."""
        k, (a, b, c, d) = self.k, sums
        return k.add(k.add(a, b), c), k.sub(b, c), k.sub(k.add(b, c), d)
