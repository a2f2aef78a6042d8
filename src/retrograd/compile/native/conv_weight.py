"""The code of the gradient of a convolution's weight: sums over parts of the batch, and what combines them.

Vectors run along the channels of the result. See `conv` for how the work is cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from llvmlite import ir

from retrograd.compile.native.gemm import Epilogue
from retrograd.compile.native.loops import counting, index, loop
from retrograd.compile.native.maps import Axis, Kernel, Lines, Patch
from retrograd.compile.native.microkernels import zeros

if TYPE_CHECKING:
    from retrograd.compile.native.conv import Convolution


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


class WeightKernel(Kernel):
    """The function "weight_gradient": the gradient of y, x, and the sums of all parts, [part, group, row of the weight, channel]."""

    def __init__(self, spec: Convolution, axes: tuple[Axis, Axis], plan: WeightPlan) -> None:
        super().__init__("weight_gradient", spec.dtype, plan.lanes, 3)
        self.spec, self.plan = spec, plan
        self.rows, self.columns = axes
        self.outs, self.terms = spec.o // spec.groups, spec.c // spec.groups
        self.wide = plan.lanes * plan.vectors
        self.blocks = -(-self.outs // self.wide)
        self.length = self.terms * spec.kh * spec.kw
        self.prepare()
        self.each_unit(self.part)

    def prepare(self) -> None:
        """Takes memory for a block's part of the input and of y's gradient."""
        spec, plan = self.spec, self.plan
        span = (self.rows.span(plan.height), self.columns.span(plan.width))
        self.patch = Patch(self, self.room(plan.channels * span[0] * span[1]), (spec.h, spec.w), spec.input_strides[1:], span)
        self.grad = self.room(plan.height * plan.width * self.blocks * self.wide)

    def start_sums(self, number: ir.Value) -> None:
        """Sets a unit's sums to zero."""
        spec, plan, b = self.spec, self.plan, self.b
        size = self.length * self.blocks * self.wide
        self.sums = self.at(self.pointers[2], (b.udiv(number, index(plan.slices)), size), (self.first, spec.kh * spec.kw * self.wide))
        with counting(b, 0, self.blocks) as block:
            self.clear(self.at(self.sums, (block, self.length * self.wide)), self.length // plan.slices * self.wide)

    def part(self, number: ir.Value) -> None:
        """The sums of one part of the work, for one group."""
        spec, plan, b = self.spec, self.plan, self.b
        part, group, slice_ = self.divide(number, spec.groups, plan.slices)
        self.first = b.mul(slice_, index(self.terms // plan.slices))
        self.start_sums(number)
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
            to = self.at(self.grad, (number, self.plan.height * self.plan.width * self.wide))
            self.sized(number, self.outs, self.wide, lambda outs: self.pack_block(grad, number, to, outs, height, width))

    def pack_block(self, grad: ir.Value, number: ir.Value, to: ir.Value, outs: int, height: int, width: int) -> None:
        """The same, for one block of channels."""
        plan = self.plan
        _, channel, row, column = self.spec.output_strides
        source = self.at(grad, (number, self.wide * channel))
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
            self.at(sums, ((c * spec.kh + u) * spec.kw + x, self.wide), (v * plan.lanes, 1))
            for c, u, x in places
            for v in range(plan.vectors)
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
