"""Convolutions in two dims and their gradients: one kernel for one convolution's sizes and strides.

The result and the gradient of the input are sums over sliding windows (`Sliding`), and one kernel makes both. Vectors run along
the channels of the result, for which the weight is packed anew, so that maps of any width and windows of any stride fill them. The
gradient of the weight is added up over parts of the batch, which a second kernel combines; how many parts depends on
sizes only. Windows of 3 x 3 on many channels are computed with fewer products (`winograd`). This module chooses how the work is cut and
makes the stages; the code is in `sliding`, `winograd` and `conv_weight`. What becomes of the
results is the epilogue's business (see gemm.Epilogue): it is given vectors along the flattened map, or for the weight along its flattened row.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from retrograd.compile.native import depthwise
from retrograd.compile.native.conv_weight import CombineKernel, WeightKernel, WeightPlan
from retrograd.compile.native.gemm import ELEMENTS, Epilogue
from retrograd.compile.native.host import Host
from retrograd.compile.native.maps import Axis
from retrograd.compile.native.microkernels import power_of_two
from retrograd.compile.native.objects import Stage
from retrograd.compile.native.sliding import Packing, PackKernel, Sliding, SlidingKernel, SlidingPlan, tiles
from retrograd.compile.native.winograd import (
    LEAST,
    PLACES,
    STACK,
    Spectrum,
    SpectrumKernel,
    WinogradKernel,
    lanes_along,
    order_of,
    pairs,
    suits,
    winograd_plan,
)
from retrograd.compile.native.winograd_weight import ElementsKernel, WinogradWeightKernel

Workspace = Callable[[int], Any]  # gives an operand for so many bytes
Pair = tuple[int, int]

STEPS_PER_MICROSECOND = 3500  # vector multiply-adds, roughly
WORTH_SHARING = 30 * STEPS_PER_MICROSECOND
CHUNK = 15 * STEPS_PER_MICROSECOND
SUMS_BYTES = 96 << 10  # results of a block, on the stack
SOURCE_BYTES = 96 << 10  # the part of the source that a block needs, on the stack
WASTE = 0.04  # the part of taps in the padding from which they are skipped
PIXELS = 128  # elements of a map that share what is loaded for a block
UNITS = 32  # enough for any number of threads, where there is a choice
PARTS = 16  # of the batch, for the gradient of the weight
PARTIAL_BYTES = 8 << 20  # of all parts
TILES = 32  # of y's gradient that are multiplied at a time by minimal filtering


@dataclass(frozen=True)
class Convolution:
    """y[n, o, i, j] = sum over c, u, v of x[n, c, i·stride + u·dilation - padding, ...] w[o, c, u, v], for each group of channels.

    x has the sizes (n, c, h, w), the weight (o, c / groups, kh, kw), and strides are those of its dims in elements. `counts` are the sizes of
    y's maps, by default as many as there are windows; fewer are allowed. The strides of y matter where its gradient is read.

    >>> Convolution(np.dtype("f4"), 1, 1, 28, 28, 8, 3, 3, (1, 1), (1, 1), (1, 1), 1, (784, 784, 28, 1), (9, 9, 3, 1), (6272, 784, 28, 1)).out
    (28, 28)
    """

    dtype: np.dtype[Any]
    n: int
    c: int
    h: int
    w: int
    o: int
    kh: int
    kw: int
    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int
    input_strides: tuple[int, int, int, int]
    weight_strides: tuple[int, int, int, int]
    output_strides: tuple[int, int, int, int]
    counts: Pair | None = None

    def __post_init__(self) -> None:
        if self.c % self.groups or self.o % self.groups:
            raise ValueError(f"expected channels that {self.groups} groups divide, got {self.c} and {self.o}")

    @property
    def out(self) -> Pair:
        """The sizes of the result's maps."""
        if self.counts is not None:
            return self.counts
        sizes = zip((self.h, self.w), (self.kh, self.kw), self.stride, self.padding, self.dilation, strict=True)
        oh, ow = ((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in sizes)
        return oh, ow

    @property
    def flops(self) -> int:
        """Operations of each of the three products."""
        return 2 * self.n * self.o * math.prod(self.out) * self.c // self.groups * self.kh * self.kw

    @property
    def has_kernel(self) -> bool:
        """Whether this module has kernels for it: real numbers, and something of everything."""
        return self.dtype in ELEMENTS and min(self.n, self.c, self.h, self.w, self.o, self.kh, self.kw, *self.out) > 0

    def forward_axes(self) -> tuple[Axis, Axis]:
        """How the windows of the input lie, along rows and along columns."""
        sizes = zip(self.out, (self.h, self.w), (self.kh, self.kw), self.stride, self.padding, self.dilation, strict=True)
        rows, columns = (Axis(o, n, 1, s, (tuple((u, u * d - p) for u in range(k)),)) for o, n, k, s, p, d in sizes)
        return rows, columns

    def backward_axes(self) -> tuple[Axis, Axis]:
        """The windows of the result's gradient that each element of the input's gradient needs: their taps repeat with the stride."""
        sizes = zip((self.h, self.w), self.out, (self.kh, self.kw), self.stride, self.padding, self.dilation, strict=True)
        axes = []
        for n, o, k, s, p, d in sizes:
            taps = tuple(tuple((u, (r + p - u * d) // s) for u in range(k) if (r + p - u * d) % s == 0) for r in range(s))
            axes.append(Axis(n, o, s, 1, taps))
        return axes[0], axes[1]


# ---- the three products -------------------------------------------------------------------------------------------------


def forward_stages(
    spec: Convolution, host: Host, input: Any, weight: Any, epilogue: Epilogue, operands: Sequence[Any], label: str, workspace: Workspace
) -> list[Stage] | None:
    """The stages of y; None where there is no kernel.

    The epilogue is given y[batch = (n,), i = o, j], j counting the elements of a map, and pointers to `operands`. `workspace` gives an
    operand for memory of so many bytes that the stages share.
    """
    if not spec.has_kernel:
        return None
    s, (so, sc, su, sv) = spec, spec.weight_strides
    outs, terms = s.o // s.groups, s.c // s.groups
    sliding = Sliding(s.dtype, s.n, s.groups, outs, terms, *s.forward_axes(), (s.kh, s.kw), s.input_strides)
    return sliding_stages(sliding, (outs * so, so, sc, su, sv), spec.flops, host, input, weight, epilogue, operands, label, workspace)


def input_gradient_stages(
    spec: Convolution, host: Host, grad: Any, weight: Any, out_epilogue: Epilogue, operands: Sequence[Any], label: str, workspace: Workspace
) -> list[Stage] | None:
    """The stages of the gradient of x, from that of y; also those of a transposed convolution. None where there is no kernel.

    The epilogue is given the gradient at [batch = (n,), i = c, j], j counting the elements of a map. See `forward_stages`.
    """
    if not spec.has_kernel:
        return None
    s, (so, sc, su, sv) = spec, spec.weight_strides
    outs, terms = s.c // s.groups, s.o // s.groups
    sliding = Sliding(s.dtype, s.n, s.groups, outs, terms, *s.backward_axes(), (s.kh, s.kw), s.output_strides)
    return sliding_stages(sliding, (terms * so, sc, so, su, sv), spec.flops, host, grad, weight, out_epilogue, operands, label, workspace)


def weight_gradient_stages(
    spec: Convolution, host: Host, grad: Any, input: Any, out_epilogue: Epilogue, operands: Sequence[Any], label: str, workspace: Workspace
) -> list[Stage] | None:
    """The stages of the gradient of the weight, from that of y and x; None where there is no kernel.

    The epilogue is given the gradient at [batch = (), i = o, j], j counting the elements of a row (c / groups, kh, kw). See `forward_stages`.
    """
    if not spec.has_kernel:
        return None
    if depthwise.suits_weight(spec):
        return [depthwise_weight_stage(spec, host, grad, input, out_epilogue, operands, label)]
    fast = suits_weight(spec)
    plan = fast_weight_plan(spec, host) if fast else weight_plan(spec, host)
    kernel = WinogradWeightKernel if fast else WeightKernel
    outs, terms = spec.o // spec.groups, spec.c // spec.groups
    length, wide = terms * spec.kh * spec.kw, plan.lanes * plan.vectors
    size, blocks = spec.dtype.itemsize, -(-outs // wide)
    places = PLACES if fast else spec.kh * spec.kw
    partial_bytes = plan.parts * spec.groups * blocks * wide * terms * places * size
    partial, rest = workspace(partial_bytes), plan
    axes = spec.forward_axes()
    steps = spec.flops / (2 * plan.lanes)
    moved = size * (spec.n * spec.c * spec.h * spec.w + spec.n * spec.o * math.prod(spec.out))
    extent = plan.parts * spec.groups * plan.slices
    stages = [
        Stage(
            key=f"convolution {kernel.__name__} {spec} {plan} {host.cpu}",
            symbol="weight_gradient",
            build=lambda: kernel(spec, axes, plan).module,
            operands=(grad, input, partial),
            extent=extent,
            grain=grain_of(extent, steps),
            flops=spec.flops,
            bytes=moved + partial_bytes,
            label=label,
        )
    ]
    if fast:
        extent = spec.groups * blocks * terms
        elements = workspace(extent * 9 * wide * size)
        stages.append(
            Stage(
                key=f"convolution elements {spec} {plan} {host.cpu}",
                symbol="elements",
                build=lambda: ElementsKernel(spec, plan).module,
                operands=(partial, elements),
                extent=extent,
                grain=grain_of(extent, partial_bytes / size / plan.lanes * 3),
                flops=partial_bytes // size,
                bytes=partial_bytes,
                label=f"{label}: elements of sums",
            )
        )
        partial, rest = elements, replace(plan, parts=1)
    vectors = -(-outs // plan.lanes)
    extent = spec.groups * vectors * -(-length // plan.lanes)
    combine = Stage(
        key=f"convolution combine {spec.dtype} {spec.groups} {outs} {length} {rest} {out_epilogue.key} {len(operands)} {host.cpu}",
        symbol="combine",
        build=lambda: CombineKernel(spec.dtype, spec.groups, outs, length, rest, out_epilogue, len(operands)).module,
        operands=(partial, *operands),
        extent=extent,
        grain=grain_of(extent, extent * plan.lanes * (3 * rest.parts + 8)),
        flops=rest.parts * spec.groups * outs * length,
        bytes=rest.parts * spec.groups * length * blocks * wide * size + size * spec.o * length,
        label=f"{label}: sums of parts",
    )
    return [*stages, combine]


def sliding_stages(
    sliding: Sliding, weight_strides: tuple[int, ...], flops: int, host: Host, source: Any, weight: Any, epilogue: Epilogue,
    operands: Sequence[Any], label: str, workspace: Workspace,
) -> list[Stage]:  # fmt: skip
    """The stages that pack a weight, with strides along (group, result's channel, term, row, column), and that slide it over a source."""
    if depthwise.suits(sliding):
        return [depthwise_stage(sliding, weight_strides, flops, host, source, weight, epilogue, operands, label)]
    fast = suits(sliding)
    plan = fast_plan(sliding, host) if fast else sliding_plan(sliding, host)
    packing = Packing(sliding.dtype, sliding.groups, sliding.outs, sliding.terms, sliding.window, weight_strides, plan.lanes, plan.vectors)
    size = sliding.dtype.itemsize
    packed = workspace(packing.elements * size)
    extent = packing.units
    stages = [
        Stage(
            key=f"convolution pack {packing} {host.cpu}",
            symbol="pack_weight",
            build=lambda: PackKernel(packing).module,
            operands=(weight, packed),
            extent=extent,
            grain=grain_of(extent, 3 * packing.elements / plan.lanes),
            flops=0,
            bytes=2 * packing.elements * size,
            label=f"{label}: packed weight",
        )
    ]
    if fast:
        order = (order_of(sliding.rows), order_of(sliding.columns))
        spectrum = Spectrum(sliding.dtype, sliding.groups * packing.blocks, sliding.terms, packing.wide, plan.lanes, order)
        numbers = workspace(spectrum.elements * size)
        extent = spectrum.blocks * spectrum.terms
        stages.append(
            Stage(
                key=f"convolution spectrum {spectrum} {host.cpu}",
                symbol="spectrum",
                build=lambda: SpectrumKernel(spectrum).module,
                operands=(packed, numbers),
                extent=extent,
                grain=grain_of(extent, 3 * spectrum.elements / plan.lanes),
                flops=28 * extent * packing.wide,
                bytes=(packing.elements + spectrum.elements) * size,
                label=f"{label}: numbers of the weight",
            )
        )
        packed = numbers
    kernel = WinogradKernel if fast else SlidingKernel
    extent = sliding.n * sliding.groups * math.prod(plan.units(sliding))
    results = sliding.n * sliding.groups * sliding.outs * sliding.rows.size * sliding.columns.size
    sources = sliding.n * sliding.groups * sliding.terms * sliding.rows.source * sliding.columns.source
    stages.append(
        Stage(
            key=f"convolution {kernel.__name__} {sliding} {plan} {epilogue.key} {len(operands)} {host.cpu}",
            symbol="slide",
            build=lambda: kernel(sliding, plan, epilogue, len(operands)).module,
            operands=(source, packed, *operands),
            extent=extent,
            grain=grain_of(extent, flops / (2 * plan.lanes) + results / plan.lanes * 8),
            flops=flops,
            bytes=size * (sources + results),
            label=label,
        )
    )
    return stages


def depthwise_stage(
    sliding: Sliding, weight_strides: tuple[int, ...], flops: int, host: Host, source: Any, weight: Any, epilogue: Epilogue,
    operands: Sequence[Any], label: str,
) -> Stage:  # fmt: skip
    """The stage of a sum over windows of one channel each."""
    lanes = depthwise.lanes_of(sliding, host)
    along = (weight_strides[0], *weight_strides[3:])
    height = depthwise.rows_at_once(sliding.rows, sliding.columns, sliding.dtype.itemsize)
    extent = sliding.n * sliding.groups * -(-sliding.rows.size // height)
    elements = sliding.n * sliding.groups * (sliding.rows.size * sliding.columns.size + sliding.rows.source * sliding.columns.source)
    return Stage(
        key=f"convolution depthwise {sliding} {along} {lanes} {epilogue.key} {len(operands)} {host.cpu}",
        symbol="depthwise",
        build=lambda: depthwise.DepthwiseKernel(sliding, along, lanes, epilogue, len(operands)).module,  # type: ignore[arg-type]
        operands=(source, weight, *operands),
        extent=extent,
        grain=grain_of(extent, flops / lanes + elements * 3 / lanes),
        flops=flops,
        bytes=elements * sliding.dtype.itemsize,
        label=label,
    )


def depthwise_weight_stage(
    spec: Convolution, host: Host, grad: Any, input: Any, epilogue: Epilogue, operands: Sequence[Any], label: str
) -> Stage:  # fmt: skip
    """The stage of the gradient of a weight with windows of one channel each."""
    lanes = min(host.lanes(spec.dtype), power_of_two(spec.out[1]))
    elements = spec.n * spec.groups * (spec.h * spec.w + math.prod(spec.out))
    return Stage(
        key=f"convolution depthwise weight {spec} {lanes} {epilogue.key} {len(operands)} {host.cpu}",
        symbol="depthwise_weight",
        build=lambda: depthwise.DepthwiseWeightKernel(spec, lanes, epilogue, len(operands)).module,
        operands=(grad, input, *operands),
        extent=spec.groups,
        grain=grain_of(spec.groups, spec.flops / lanes + elements * 3 / lanes),
        flops=spec.flops,
        bytes=elements * spec.dtype.itemsize,
        label=label,
    )


def grain_of(extent: int, steps: float) -> int:
    """How many units make a chunk, if all units together take so many steps; all of them if it is not worth sharing."""
    return extent if steps < WORTH_SHARING else max(1, min(extent, int(CHUNK * extent / steps)))


# ---- how the work is cut ------------------------------------------------------------------------------------------------


def divisors(n: int) -> Iterator[int]:
    """Every number that divides n, in order."""
    return (d for d in range(1, n + 1) if n % d == 0)


def block_of(length: int, most: int, multiple: int = 1) -> int:
    """The length of blocks of at most `most` that cut a length well: all of it, equal parts, or as a last resort parts with a rest.

    >>> block_of(28, 10), block_of(7, 10), block_of(31, 10)
    (7, 7, 8)
    """
    most = max(multiple, most // multiple * multiple)
    if length <= most:
        return length
    equal = [d for d in range(multiple, most + 1, multiple) if length % d == 0]
    if equal and 2 * equal[-1] > most:
        return equal[-1]
    parts = -(-length // most)
    return -(-length // parts // multiple) * multiple


def tile_of(host: Host, vectors: int, columns: int) -> tuple[int, int]:
    """How many vectors of channels and how many neighbouring elements of a map make a tile held in registers."""
    best = (math.inf, 1, 1)
    for v in divisors(vectors):
        most = (host.vector_registers * 3 // 4 - v) // v  # with more, the compiler's schedule runs out of registers
        if v > 8 or most < 1:
            break
        width = -(-columns // -(-columns // most))
        cost = vectors // v * sum(many * (max(v * p, 0.6 * p + v, 6) + 2 + 0.05 * p) for p, many in tiles(columns, width))
        best = min(best, (cost, v, width))
    return best[1], best[2]


def sliding_plan(sliding: Sliding, host: Host) -> SlidingPlan:
    """How a sliding sum is cut."""
    size = sliding.dtype.itemsize
    lanes = min(host.lanes(sliding.dtype), power_of_two(sliding.outs))
    vectors = -(-sliding.outs // lanes)
    rows, columns = sliding.rows, sliding.columns
    most = SUMS_BYTES // 4 // (lanes * size * rows.phases)
    width = block_of(columns.size, most, math.lcm(lanes, columns.phases))
    v, tile = tile_of(host, vectors, -(-width // columns.phases))
    line = width * v * lanes * size  # bytes of the results of one row and one block of channels
    height = min(rows.size, max(rows.phases, -(-PIXELS // width), -(-rows.size * sliding.n * sliding.groups // UNITS)))
    while height > rows.phases and (rows.span(height) * columns.span(width) * size > SOURCE_BYTES or height * line > SUMS_BYTES):
        height -= 1
    height = block_of(rows.size, height, rows.phases)
    units = sliding.n * sliding.groups * -(-rows.size // height) * -(-columns.size // width)
    blocks = max(1, min(vectors // v, SUMS_BYTES // (height * line), -(-vectors * units // (v * UNITS // 2))))
    room = rows.span(height) * columns.span(width) * size
    taps = math.prod(sliding.window) * v * lanes * size
    channels = max(1, min(sliding.terms, SOURCE_BYTES // room, host.l1 * 7 // 8 // (room + taps)))
    channels = -(-sliding.terms // -(-sliding.terms // channels))
    skip_columns = columns.wasted > WASTE and width == columns.size and -(-columns.size // columns.phases) <= 4 * tile
    return SlidingPlan(lanes, v, tile, height, width, channels, blocks, rows.wasted > WASTE, skip_columns)


def fast_plan(sliding: Sliding, host: Host) -> SlidingPlan:
    """How a sliding sum by minimal filtering is cut."""
    lanes = min(host.lanes(sliding.dtype), power_of_two(sliding.outs))
    vectors = -(-sliding.outs // lanes)
    width = block_of(sliding.columns.size, 64, 2 * lanes)
    v, tile = tile_of(host, vectors, pairs(width))
    return winograd_plan(sliding, host, (v, vectors), width, tile)


def weight_plan(spec: Convolution, host: Host) -> WeightPlan:
    """How the gradient of a weight is cut."""
    size = spec.dtype.itemsize
    outs, terms = spec.o // spec.groups, spec.c // spec.groups
    lanes = min(host.lanes(spec.dtype), power_of_two(outs))
    vectors = -(-outs // lanes)
    rows, columns = spec.forward_axes()
    width = block_of(columns.size, max(1, SUMS_BYTES // (vectors * lanes * size)))
    height = block_of(rows.size, max(1, min(SUMS_BYTES // (vectors * lanes * size * width), -(-PIXELS // width))))
    while height > 1 and rows.span(height) * columns.span(width) * size > SOURCE_BYTES:
        height = block_of(rows.size, height - 1)
    units = spec.n * -(-rows.size // height) * -(-columns.size // width)
    each = spec.groups * terms * spec.kh * spec.kw * vectors * lanes * size
    parts = max(1, min(units, PARTS, PARTIAL_BYTES // each, spec.n * rows.size * columns.size // PIXELS))
    least = max(1, 64 // (spec.kh * spec.kw))  # channels in a slice
    wanted = max(PARTS // (parts * spec.groups), each // spec.groups // (host.l2 // 2))
    slices = max((d for d in divisors(terms) if d <= wanted and terms // d >= least), default=1)
    most = max(1, SOURCE_BYTES // (rows.span(height) * columns.span(width) * size))
    channels = max(d for d in divisors(terms // slices) if d <= most)
    return WeightPlan(lanes, *weight_tile(spec, host, vectors, channels), height, width, channels, slices, parts)


def suits_weight(spec: Convolution) -> bool:
    """Whether minimal filtering computes the gradient of the weight, and is worth it."""
    terms, outs, count = LEAST
    enough = spec.n * pairs(spec.out[0]) * pairs(spec.out[1]) >= count
    shape = (spec.kh, spec.kw) == (3, 3) and spec.stride == spec.dilation == (1, 1) and min(spec.out) >= 3
    return shape and spec.c // spec.groups >= terms and spec.o // spec.groups >= outs and enough


def fast_weight_plan(spec: Convolution, host: Host) -> WeightPlan:
    """How the gradient of a weight by minimal filtering is cut."""
    size = spec.dtype.itemsize
    outs, terms = spec.o // spec.groups, spec.c // spec.groups
    lanes = min(host.lanes(spec.dtype), power_of_two(outs))
    vectors = -(-outs // lanes)
    width = block_of(spec.out[1], 64, 2 * lanes)
    across = pairs(width)
    v = max(d for d in divisors(vectors) if d <= 2)
    down = max(1, min(pairs(spec.out[0]), TILES // across, STACK // (PLACES * across * v * lanes * size)))
    down = -(-pairs(spec.out[0]) // -(-pairs(spec.out[0]) // down))
    padded = -(-across // lanes_along(lanes, across)) * lanes_along(lanes, across)
    each = PLACES * spec.groups * terms * vectors * lanes * size
    units = spec.n * -(-spec.out[0] // (2 * down)) * -(-spec.out[1] // width)
    parts = max(1, min(units, PARTS, PARTIAL_BYTES // each, units * down * across // 64))
    wanted = max(PARTS // (parts * spec.groups), each // spec.groups // (host.l2 // 2))
    slices = max((d for d in divisors(terms) if d <= wanted and terms // d >= 8), default=1)
    channels = max(d for d in divisors(terms // slices) if d * size * PLACES * down * padded <= 2 * STACK or d == 1)
    tile = max(d for d in divisors(channels) if d * v <= host.vector_registers - v - 2 and (d * v <= 20 or d == 1))
    return WeightPlan(lanes, v, (tile, 1, 1), 2 * down, width, channels, slices, parts)


def weight_tile(spec: Convolution, host: Host, vectors: int, channels: int) -> tuple[int, tuple[int, int, int]]:
    """How many vectors of y's channels, and how many of x's channels, rows and columns of the window make a tile held in registers."""
    best = (math.inf, 1, (1, 1, 1))
    for v in divisors(vectors):
        for c in (d for d in divisors(channels) if d <= 16):
            for u in divisors(spec.kh):
                for x in divisors(spec.kw):
                    taps = c * u * x
                    if v * taps + v + 2 <= host.vector_registers:
                        cost = max(v * taps, 6) + 0.3 * (v + taps) + 1.5
                        best = min(best, (cost / (v * taps), v, (c, u, x)))
    return best[1], best[2]
