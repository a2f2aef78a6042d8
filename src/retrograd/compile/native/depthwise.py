"""Convolutions of each channel with a window of its own (depthwise), and their gradients: vectors run along the rows of maps.

One term and one channel in a group leave nothing to share between channels, so that sums over the window are made where the elements lie. See
`conv` for what the kernels are for; results go to an epilogue as they do there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from llvmlite import ir

from retrograd.compile.native.gemm import Epilogue
from retrograd.compile.native.host import Host
from retrograd.compile.native.loops import counting, index, loop
from retrograd.compile.native.maps import Axis, Kernel, Patch
from retrograd.compile.native.microkernels import power_of_two, totals, zeros
from retrograd.compile.native.sliding import Sliding

if TYPE_CHECKING:
    from retrograd.compile.native.conv import Convolution

ROOM = 96 << 10  # bytes of the part of a map that a unit takes, on the stack
MOST_TAPS = 25  # that are written out, each with its weight or its sum in a register


def lanes_of(sliding: Sliding, host: Host) -> int:
    """How many neighbouring results a vector holds."""
    return min(host.lanes(sliding.dtype), power_of_two(sliding.columns.size))


def rows_at_once(rows: Axis, columns: Axis, size: int) -> int:
    """How many rows of results a unit makes; 0 if there is no room for one."""
    height = rows.size
    while height and rows.span(height) * columns.span(columns.size) * size > ROOM:
        height = height // 2
    return height


def suits(sliding: Sliding) -> bool:
    """Whether the kernel computes a sum over windows."""
    rows, columns = sliding.rows, sliding.columns
    plain = sliding.terms == sliding.outs == 1 and all(axis.phases == axis.move == 1 for axis in (rows, columns))
    return plain and math.prod(sliding.window) <= MOST_TAPS and rows_at_once(rows, columns, sliding.dtype.itemsize) > 0


def suits_weight(spec: Convolution) -> bool:
    """Whether the kernel computes the gradient of a weight."""
    rows, columns = spec.forward_axes()
    plain = spec.c == spec.o == spec.groups and spec.stride == (1, 1) and spec.output_strides[3] == 1
    return plain and spec.kh * spec.kw <= MOST_TAPS and rows_at_once(rows, columns, spec.dtype.itemsize) > 0


class DepthwiseKernel(Kernel):
    """The function "depthwise": source, weight, and the epilogue's operands. `weight_strides` are those along (channel, row, column)."""

    def __init__(self, sliding: Sliding, weight_strides: tuple[int, int, int], lanes: int, epilogue: Epilogue, operands: int) -> None:
        super().__init__("depthwise", sliding.dtype, lanes, 2 + operands)
        self.sliding, self.weight_strides, self.epilogue = sliding, weight_strides, epilogue
        self.height = rows_at_once(sliding.rows, sliding.columns, sliding.dtype.itemsize)
        span = (sliding.rows.span(self.height), sliding.columns.span(sliding.columns.size))
        sizes = (sliding.rows.source, sliding.columns.source)
        self.patch = Patch(self, self.room(span[0] * span[1] + lanes), sizes, sliding.strides[1:], span)
        self.each_unit(self.unit)

    def unit(self, number: ir.Value) -> None:
        """Some rows of one map."""
        sliding, b, k = self.sliding, self.b, self.k
        n, channel, block = self.divide(number, sliding.groups, -(-sliding.rows.size // self.height))
        row = b.mul(block, index(self.height))
        source = self.at(self.pointers[0], (n, sliding.strides[0]), (channel, sliding.strides[1]))
        self.patch.fill(source, 1, b.add(row, index(sliding.rows.low)), sliding.columns.low)
        along, down, across = self.weight_strides
        weight = self.at(self.pointers[1], (channel, along))
        taps = [
            (k.splat(b.load(self.at(weight, (u * down + v * across, 1)), typ=self.element)), y - sliding.rows.low, x - sliding.columns.low)
            for u, y in sliding.rows.taps[0]
            for v, x in sliding.columns.taps[0]
        ]
        with counting(b, 0, self.least(b.sub(index(sliding.rows.size), row), self.height)) as y:
            line = self.at(self.patch.memory, (y, self.patch.span[1]))
            place = b.mul(b.add(row, y), index(sliding.columns.size))
            whole = sliding.columns.size // k.lanes * k.lanes
            if whole:
                with counting(b, 0, whole, k.lanes) as x:
                    self.vector(taps, self.at(line, (x, 1)), [n], channel, b.add(place, x), None)
            if whole < sliding.columns.size:
                rest = sliding.columns.size - whole
                self.vector(taps, self.at(line, (whole, 1)), [n], channel, b.add(place, index(whole)), rest)

    def vector(
        self, taps: Sequence[tuple[ir.Value, int, int]], line: ir.Value, batch: Sequence[ir.Value], channel: ir.Value, place: ir.Value, mask: int | None
    ) -> None:  # fmt: skip
        """Neighbouring results."""
        k, total = self.k, None
        for weight, y, x in taps:
            elements = k.load(self.at(line, (y * self.patch.span[1] + x, 1)), self.element)
            total = k.mul(elements, weight) if total is None else k.fma(elements, weight, total)
        self.epilogue.emit(k, self.pointers[2:], total, batch, channel, place, mask)


class DepthwiseWeightKernel(Kernel):
    """The function "depthwise_weight": the gradient of y, x, and the epilogue's operands."""

    def __init__(self, spec: Convolution, lanes: int, epilogue: Epilogue, operands: int) -> None:
        super().__init__("depthwise_weight", spec.dtype, lanes, 2 + operands)
        self.spec, self.epilogue = spec, epilogue
        self.rows, self.columns = spec.forward_axes()
        self.height = rows_at_once(self.rows, self.columns, spec.dtype.itemsize)
        span = (self.rows.span(self.height), self.columns.span(self.columns.size))
        self.patch = Patch(self, self.room(span[0] * span[1] + lanes), (spec.h, spec.w), spec.input_strides[1:], span)
        self.each_unit(self.unit)

    def unit(self, channel: ir.Value) -> None:
        """One channel: all images."""
        spec, b, k = self.spec, self.b, self.k
        taps = [(y - self.rows.low, x - self.columns.low) for _, y in self.rows.taps[0] for _, x in self.columns.taps[0]]

        def each_image(n: ir.Value, *acc: ir.Value) -> Sequence[ir.Value]:
            source = self.at(self.pointers[1], (n, spec.input_strides[0]), (channel, spec.input_strides[1]))
            grad = self.at(self.pointers[0], (n, spec.output_strides[0]), (channel, spec.output_strides[1]))

            def each_block(row: ir.Value, *acc: ir.Value) -> Sequence[ir.Value]:
                self.patch.fill(source, 1, b.add(row, index(self.rows.low)), self.columns.low)

                def each_row(y: ir.Value, *acc: ir.Value) -> Sequence[ir.Value]:
                    line = self.at(self.patch.memory, (y, self.patch.span[1]))
                    return self.row(taps, line, self.at(grad, (b.add(row, y), spec.output_strides[2])), acc)

                return loop(b, 0, self.least(b.sub(index(self.rows.size), row), self.height), 1, acc, each_row)

            return loop(b, 0, self.rows.size, self.height, acc, each_block)

        sums = loop(b, 0, spec.n, 1, [zeros(self.element, k.lanes)] * len(taps), each_image)
        for start in range(0, len(taps), k.lanes):
            some = sums[start : start + k.lanes]
            found = totals(k, self.element, [*some, *[zeros(self.element, k.lanes)] * (k.lanes - len(some))])
            self.epilogue.emit(k, self.pointers[2:], found, [], channel, index(start), len(some) if len(some) < k.lanes else None)

    def row(self, taps: Sequence[tuple[int, int]], line: ir.Value, grad: ir.Value, acc: Sequence[ir.Value]) -> Sequence[ir.Value]:
        """Adds the products of one row; what lies beyond its end counts as 0."""
        k, size = self.k, self.columns.size
        whole = size // k.lanes * k.lanes

        def add(x: ir.Value, acc: Sequence[ir.Value], mask: int | None) -> Sequence[ir.Value]:
            g, start = k.load(self.at(grad, (x, 1)), self.element, mask), self.at(line, (x, 1))
            places = [self.at(start, (y * self.patch.span[1] + column, 1)) for y, column in taps]
            return [k.fma(k.load(place, self.element, mask), g, total) for place, total in zip(places, acc, strict=True)]

        if whole:
            acc = loop(self.b, 0, whole, k.lanes, acc, lambda x, *acc: add(x, acc, None))
        return add(index(whole), acc, size - whole) if whole < size else acc
