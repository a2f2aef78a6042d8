"""The greatest element of each window of a map, with its place, and the gradient: one kernel for one pooling's sizes and strides.

Vectors run along the rows of the result. A window's elements are compared as the library's operation does: of equals the first is taken,
and a nan is greater than any number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir

from retrograd.compile.native.arithmetic import I32, constant
from retrograd.compile.native.conv import block_of, grain_of
from retrograd.compile.native.gemm import ELEMENTS
from retrograd.compile.native.host import Host
from retrograd.compile.native.loops import I64, counting, index
from retrograd.compile.native.maps import Axis, Kernel, Patch
from retrograd.compile.native.microkernels import power_of_two, shuffle, zeros
from retrograd.compile.native.objects import Stage

Pair = tuple[int, int]
ROOM = 128 << 10  # bytes on the stack
LONGEST_STEP = 4  # between windows, for which neighbouring vectors are shuffled


@dataclass(frozen=True)
class Pooling:
    """Windows over maps of the sizes (n, c, h, w), whose strides are in elements. `counts` is how many windows there are along both dims.

    Results, with sizes (n, c, *counts), are in C order without gaps.
    """

    dtype: np.dtype[Any]
    n: int
    c: int
    h: int
    w: int
    counts: Pair
    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair
    input_strides: tuple[int, int, int, int]

    @property
    def has_kernel(self) -> bool:
        """Whether this module has a kernel for it: real numbers, something of everything, and places that fit 32 bits."""
        return self.dtype in ELEMENTS and min(self.n, self.c, self.h, self.w, *self.counts) > 0 and self.h * self.w < 2**31

    @property
    def inside(self) -> bool:
        """Whether all windows lie within the map."""
        ends = ((c - 1) * s + (k - 1) * d for c, s, k, d in zip(self.counts, self.stride, self.kernel, self.dilation, strict=True))
        return self.padding == (0, 0) and all(end < size for end, size in zip(ends, (self.h, self.w), strict=True))

    @property
    def paved(self) -> bool:
        """Whether the windows lie within the map and side by side, without gaps."""
        return self.inside and self.kernel == self.stride and self.dilation == (1, 1) and self.stride[1] <= LONGEST_STEP

    def axes(self) -> tuple[Axis, Axis]:
        """How the windows lie, along rows and along columns."""
        sizes = zip(self.counts, (self.h, self.w), self.kernel, self.stride, self.padding, self.dilation, strict=True)
        rows, columns = (Axis(c, n, 1, s, (tuple((u, u * d - p) for u in range(k)),)) for c, n, k, s, p, d in sizes)
        return rows, columns


def max_pool_stages(spec: Pooling, host: Host, input: Any, values: Any, indices: Any, label: str) -> list[Stage] | None:
    """The stages of the greatest elements and, as int64, their places in the flattened map; None where there is no kernel."""
    rows, columns = spec.axes()
    lanes = min(host.lanes(spec.dtype), power_of_two(spec.counts[1]))
    pitch = columns.span(spec.counts[1]) + spec.stride[1] * lanes
    if not spec.has_kernel or rows.span(1) * pitch * spec.dtype.itemsize > ROOM:
        return None
    height = spec.counts[0]
    while rows.span(height) * pitch * spec.dtype.itemsize > ROOM:
        height = block_of(spec.counts[0], height - 1)
    extent = spec.n * spec.c * -(-spec.counts[0] // height)
    results = spec.n * spec.c * math.prod(spec.counts)
    taps = math.prod(spec.kernel)
    size = spec.dtype.itemsize
    return [
        Stage(
            key=f"max pool {spec} {lanes} {height} {host.cpu}",
            symbol="max_pool",
            build=lambda: MaxPoolKernel(spec, lanes, height).module,
            operands=(input, values, indices),
            extent=extent,
            grain=grain_of(extent, results / lanes * (taps * 6 + 12)),
            flops=results * taps,
            bytes=spec.n * spec.c * spec.h * spec.w * size + results * (size + 8),
            label=label,
        )
    ]


def max_pool_gradient_stages(spec: Pooling, host: Host, grad: Any, indices: Any, target: Any, label: str) -> list[Stage] | None:
    """The stages of the gradient of the input, from that of the values and their places, all in C order; None where there is no kernel.

    The places are those that `max_pool_stages` finds.
    """
    if not spec.has_kernel:
        return None
    lanes = min(host.lanes(spec.dtype), power_of_two(spec.counts[1]))
    size = spec.dtype.itemsize
    extent = spec.n * spec.c
    results = extent * math.prod(spec.counts)
    elements = extent * spec.h * spec.w
    work = elements * 6 / lanes + (elements * 6 / lanes if spec.paved else results * 6)
    return [
        Stage(
            key=f"max pool gradient {spec} {lanes} {host.cpu}",
            symbol="max_pool_gradient",
            build=lambda: MaxPoolGradientKernel(spec, lanes).module,
            operands=(grad, indices, target),
            extent=extent,
            grain=grain_of(extent, work),
            flops=results,
            bytes=elements * size + results * (size + 8),
            label=label,
        )
    ]


def every(b: ir.IRBuilder, vectors: Sequence[ir.Value], lanes: int, step: int, first: int) -> ir.Value:
    """Of neighbouring vectors, one after the other, the elements first, first + step, first + 2 step, ..."""
    if step == 1:
        return vectors[0]
    if len(vectors) == 1:
        return shuffle(b, vectors[0], vectors[0], [min(first + i * step, lanes - 1) for i in range(lanes)])
    places = [divmod(first + i * step, lanes) for i in range(lanes)]
    result = shuffle(b, vectors[0], vectors[1], [lane + lanes * min(v, 1) for v, lane in places])
    for number, vector in enumerate(vectors[2:], 2):
        result = shuffle(b, result, vector, [lanes + lane if v == number else i for i, (v, lane) in enumerate(places)])
    return result


def interleaved(b: ir.IRBuilder, vectors: Sequence[ir.Value], lanes: int) -> Iterator[ir.Value]:
    """As many vectors: the first element of each, then the second of each, and so on."""
    step = len(vectors)
    for part in range(step):
        places = [divmod(part * lanes + i, step) for i in range(lanes)]  # (lane, vector)
        result = vectors[0] if step == 1 else shuffle(b, vectors[0], vectors[1], [lane + lanes * min(v, 1) for lane, v in places])
        for number, vector in enumerate(vectors[2:], 2):
            result = shuffle(b, result, vector, [lanes + lane if v == number else i for i, (lane, v) in enumerate(places)])
        yield result


class MaxPoolKernel(Kernel):
    """The function "max_pool": the input, the values, their places."""

    def __init__(self, spec: Pooling, lanes: int, height: int) -> None:
        super().__init__("max_pool", spec.dtype, lanes, 3)
        self.spec, self.height = spec, height
        self.rows, self.columns = spec.axes()
        self.direct = spec.inside and spec.input_strides[3] == 1
        if self.direct:
            self.pitch, self.width = spec.input_strides[2], spec.w
        else:
            self.pitch = self.width = self.columns.span(spec.counts[1]) + spec.stride[1] * lanes
            span = (self.rows.span(height), self.pitch)
            memory = self.room(span[0] * span[1])
            self.patch = Patch(self, memory, (spec.h, spec.w), spec.input_strides[1:], span, -math.inf)
        self.each_unit(self.unit)

    def unit(self, number: ir.Value) -> None:
        """Some rows of one map."""
        spec, b = self.spec, self.b
        n, c, block = self.divide(number, spec.c, -(-spec.counts[0] // self.height))
        source = self.at(self.pointers[0], (n, spec.input_strides[0]), (c, spec.input_strides[1]))
        first = b.mul(block, index(self.height))
        top = b.add(b.mul(first, index(spec.stride[0])), index(-spec.padding[0]))
        if self.direct:
            source = self.at(source, (top, spec.input_strides[2]))
        else:
            self.patch.fill(source, 1, top, -spec.padding[1])
            source = self.patch.memory
        place = b.add(b.mul(b.udiv(number, index(-(-spec.counts[0] // self.height))), index(spec.counts[0])), first)

        def some(height: int) -> None:
            with counting(b, 0, height) as y:
                line = self.at(source, (y, spec.stride[0] * self.pitch))
                row = b.add(top, b.mul(y, index(spec.stride[0])))
                self.row(line, row, b.mul(b.add(place, y), index(spec.counts[1])))

        self.sized(block, spec.counts[0], self.height, some)

    def row(self, line: ir.Value, row: ir.Value, place: ir.Value) -> None:
        """One row of results: vectors that are loaded whole in a loop, then those at the end, which may not read beyond the row."""
        spec, lanes = self.spec, self.lanes
        last = (spec.kernel[1] - 1) * spec.dilation[1] // spec.stride[1] * spec.stride[1] + spec.stride[1] * lanes
        whole = 0
        while whole + lanes <= spec.counts[1] and whole * spec.stride[1] + last <= self.width:
            whole += lanes
        if whole:
            with counting(self.b, 0, whole, lanes) as x:
                self.vector(line, row, place, x, lanes, None)
        for start in range(whole, spec.counts[1], lanes):
            self.vector(line, row, place, index(start), min(lanes, spec.counts[1] - start), self.width - start * spec.stride[1])

    def vector(self, line: ir.Value, row: ir.Value, place: ir.Value, x: ir.Value, count: int, room: int | None) -> None:
        """Neighbouring results; at most `room` elements of the row may be read from where the first window begins."""
        spec, b, k, lanes = self.spec, self.b, self.k, self.lanes
        start = self.at(line, (x, spec.stride[1]))
        best = where = None
        for u in range(spec.kernel[0]):
            taps = self.taps(self.at(start, (u * spec.dilation[0], self.pitch)), count, room)
            for v, candidate in enumerate(taps):
                offset = constant(k.vector(I32), u * spec.dilation[0] * spec.w + v * spec.dilation[1])
                if best is None or where is None:
                    best, where = candidate, offset
                    continue
                better = b.and_(b.fcmp_unordered(">", candidate, best), b.fcmp_ordered("ord", best, best))
                best, where = b.select(better, candidate, best), b.select(better, offset, where)
        first = b.add(b.mul(row, index(spec.w)), b.add(b.mul(x, index(spec.stride[1])), index(-spec.padding[1])))
        lane = k.mul(k.iota(I64), spec.stride[1]) if lanes > 1 else index(0)
        places = b.add(b.sext(where, k.vector(I64)), b.add(k.splat(first), lane))
        mask = count if count < lanes else None
        k.store(best, self.at(self.pointers[1], (place, 1), (x, 1)), mask)
        k.store(places, b.gep(self.pointers[2], [b.add(place, x)], source_etype=I64), mask)

    def taps(self, start: ir.Value, count: int, room: int | None) -> Iterator[ir.Value]:
        """The elements of neighbouring windows at each place of one of their rows."""
        spec, b, k, lanes = self.spec, self.b, self.k, self.lanes
        step = spec.stride[1]
        loaded: dict[int, list[ir.Value]] = {}
        for v in range(spec.kernel[1]):
            whole, first = divmod(v * spec.dilation[1], step)
            if step > LONGEST_STEP or lanes == 1:
                places = [constant(I64, v * spec.dilation[1] + min(i, count - 1) * step) for i in range(lanes)]
                yield k.gather(start, places[0] if lanes == 1 else ir.Constant(k.vector(I64), places), self.element)
                continue
            base = whole * step
            if base not in loaded:
                masks = [lanes if room is None else min(lanes, room - base - part * lanes) for part in range(step)]
                addresses = [self.at(start, (base + part * lanes, 1)) for part in range(step)]
                loaded[base] = [k.load(a, self.element, m) for a, m in zip(addresses, masks, strict=True) if m > 0]
            yield every(b, loaded[base], lanes, step, first)


class MaxPoolGradientKernel(Kernel):
    """The function "max_pool_gradient": the gradient of the values, their places, and the gradient of the input."""

    def __init__(self, spec: Pooling, lanes: int) -> None:
        super().__init__("max_pool_gradient", spec.dtype, lanes, 3)
        self.spec = spec
        self.each_unit(self.unit)

    def unit(self, number: ir.Value) -> None:
        """One map."""
        spec, b = self.spec, self.b
        size = math.prod(spec.counts)
        self.map = self.at(self.pointers[2], (number, spec.h * spec.w))
        grad = self.at(self.pointers[0], (number, size))
        places = b.gep(self.pointers[1], [b.mul(number, index(size))], source_etype=I64)
        covered = (spec.counts[0] * spec.stride[0], spec.counts[1] * spec.stride[1]) == (spec.h, spec.w)
        if not (spec.paved and covered):
            self.clear(self.map, spec.h * spec.w)
        if spec.paved:
            with counting(b, 0, spec.counts[0]) as y:
                self.pave(grad, places, y)
        else:
            with counting(b, 0, size) as i:
                self.add(b.load(self.at(grad, (i, 1)), typ=self.element), b.load(b.gep(places, [i], source_etype=I64), typ=I64))

    def add(self, value: ir.Value, place: ir.Value) -> None:
        """Adds one element at its place; the places of windows that hold nothing may be in the padding."""
        with self.b.if_then(self.b.icmp_unsigned("<", place, index(self.spec.h * self.spec.w))):
            cell = self.at(self.map, (place, 1))
            self.b.store(self.b.fadd(self.b.load(cell, typ=self.element), value), cell)

    def pave(self, grad: ir.Value, places: ir.Value, y: ir.Value) -> None:
        """The rows of the map that one row of windows covers."""
        width, lanes = self.spec.counts[1], self.lanes
        whole = width // lanes * lanes
        if whole:
            with counting(self.b, 0, whole, lanes) as x:
                self.windows(grad, places, y, x, lanes)
        if width > whole:
            self.windows(grad, places, y, index(whole), width - whole)

    def windows(self, grad: ir.Value, places: ir.Value, y: ir.Value, x: ir.Value, count: int) -> None:
        """The elements of neighbouring windows: the gradient where the greatest is, and zeros."""
        spec, b, k, lanes = self.spec, self.b, self.k, self.lanes
        at = b.add(b.mul(y, index(spec.counts[1])), x)
        mask = count if count < lanes else None
        value = k.load(self.at(grad, (at, 1)), self.element, mask)
        place = k.load(b.gep(places, [at], source_etype=I64), I64, mask)
        first = b.add(b.mul(y, index(spec.stride[0] * spec.w)), b.mul(x, index(spec.stride[1])))
        lane = k.mul(k.iota(I64), spec.stride[1]) if lanes > 1 else index(0)
        within = b.trunc(b.sub(place, b.add(k.splat(first), lane)), k.vector(I32))
        zero = zeros(self.element, lanes)
        for u in range(spec.stride[0]):
            cells = [b.select(k.eq(within, u * spec.w + v), value, zero) for v in range(spec.stride[1])]
            line = self.at(self.map, (first, 1), (u, spec.w))
            if lanes == 1:
                for v, cell in enumerate(cells):
                    b.store(cell, self.at(line, (v, 1)))
                continue
            for part, vector in enumerate(interleaved(b, cells, lanes)):
                valid = min(lanes, count * spec.stride[1] - part * lanes)
                if valid > 0:
                    k.store(vector, self.at(line, (part * lanes, 1)), valid)
