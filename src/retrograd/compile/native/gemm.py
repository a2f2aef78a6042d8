"""The family of matrix products: one kernel for one product's sizes and strides.

A plan says which form a product takes (`outer`: sums of outer products, the second operand read where it lies; `packed`: the same
after copying panels of it; `dot`: dot products of contiguous rows), how large a block of results stays in registers, and
how the results are cut into tiles, the units that threads share. The estimates that choose a plan are in Note [Costs]; the
code of a block is in `microkernels`. What becomes of the results is the epilogue's business: this module knows no operations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Protocol

import numpy as np
from llvmlite import ir

from retrograd.compile.native.builder import VectorBuilder
from retrograd.compile.native.host import Host
from retrograd.compile.native.loops import I64, Bound, counting, index
from retrograd.compile.native.microkernels import at, dot_block, outer_block, pack, power_of_two
from retrograd.compile.native.objects import Stage

I32 = ir.IntType(32)
POINTER = ir.PointerType()
ELEMENTS = {np.dtype("f4"): ir.FloatType(), np.dtype("f8"): ir.DoubleType()}
SYMBOL = "matrix_product"


@dataclass(frozen=True)
class Product:
    """C[b, i, j] = sum over p of A[b, i, p] B[b, p, j].

    m, n and k are the numbers of i, j and p; `a` holds the strides of A along i and p, `b` those of B along p and j, in elements: an
    operand is transposed by its strides. `batch` are dims that both have in common, and `a_batch` and `b_batch` the strides along
    them, 0 where an operand is the same for all.
    """

    dtype: np.dtype[Any]
    m: int
    n: int
    k: int
    a: tuple[int, int]
    b: tuple[int, int]
    batch: tuple[int, ...] = ()
    a_batch: tuple[int, ...] = ()
    b_batch: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.dtype not in ELEMENTS:
            raise TypeError(f"a matrix product of {self.dtype} has no kernel; float32 and float64 have")
        if not len(self.batch) == len(self.a_batch) == len(self.b_batch):
            raise ValueError(
                f"expected a stride of A and of B for each of {len(self.batch)} batch dims, got {self.a_batch} and {self.b_batch}"
            )

    def swapped(self) -> Product:
        """The product of the transposed operands in the other order, which gives C transposed."""
        return replace(self, m=self.n, n=self.m, a=self.b[::-1], b=self.a[::-1], a_batch=self.b_batch, b_batch=self.a_batch)


class Epilogue(Protocol):
    """What becomes of the results."""

    @property
    def key(self) -> str:
        """A text that determines what `emit` emits."""

    @property
    def steps(self) -> float:
        """How long `emit` runs for one vector, see Note [Costs]."""

    def emit(
        self,
        k: VectorBuilder,
        pointers: Sequence[ir.Value],
        value: ir.Value,
        batch: Sequence[ir.Value],
        i: ir.Value,
        j: ir.Value,
        lanes_mask: int | None,
    ) -> None:
        """Takes C[batch, i, j : j + k.lanes], of which the first `lanes_mask` lanes count (None: all). `pointers` are those after A's and B's."""

    def prefetch(self, k: VectorBuilder, pointers: Sequence[ir.Value], batch: Sequence[ir.Value], i: ir.Value, j: ir.Value) -> None:
        """Asks for the memory that `emit` will touch."""


@dataclass(frozen=True)
class Store:
    """The epilogue that writes C, whose elements are contiguous along j: `stride` is that along i, `batch` those along the batch dims.

    With `accumulate`, the results are added to what is there.
    """

    stride: int
    batch: tuple[int, ...] = ()
    accumulate: bool = False
    steps = 0.0

    @property
    def key(self) -> str:
        return repr(self)

    def emit(
        self,
        k: VectorBuilder,
        pointers: Sequence[ir.Value],
        value: ir.Value,
        batch: Sequence[ir.Value],
        i: ir.Value,
        j: ir.Value,
        lanes_mask: int | None,
    ) -> None:
        """Writes one vector."""
        element = value.type.element if isinstance(value.type, ir.VectorType) else value.type
        place = at(k.b, pointers[0], element, *zip(batch, self.batch, strict=True), (i, self.stride), (j, 1))
        k.store(k.add(k.load(place, element, lanes_mask), value) if self.accumulate else value, place, lanes_mask)

    def prefetch(self, k: VectorBuilder, pointers: Sequence[ir.Value], batch: Sequence[ir.Value], i: ir.Value, j: ir.Value) -> None:
        """Asks for nothing: the processor foresees the writes to one array."""


def reserve(b: ir.IRBuilder, kind: ir.Type) -> ir.Value:
    """Memory on the stack for a value of a type; to be called in the entry block."""
    memory = b.alloca(kind)
    memory.align = 64
    memory.type = POINTER
    return memory


@dataclass(frozen=True)
class Swapped:
    """The epilogue of a swapped product: hands C's elements to another epilogue one by one."""

    inner: Epilogue

    @property
    def key(self) -> str:
        return f"swapped {self.inner.key}"

    @property
    def steps(self) -> float:
        return self.inner.steps

    def emit(
        self,
        k: VectorBuilder,
        pointers: Sequence[ir.Value],
        value: ir.Value,
        batch: Sequence[ir.Value],
        i: ir.Value,
        j: ir.Value,
        lanes_mask: int | None,
    ) -> None:
        """Takes one vector apart, in memory."""
        if k.lanes == 1:
            self.inner.emit(k, pointers, value, batch, j, i, None)
            return
        with k.b.goto_entry_block():
            cells = reserve(k.b, value.type)
        k.store(value, cells)
        with counting(k.b, 0, lanes_mask or k.lanes) as lane:
            cell = k.b.load(at(k.b, cells, value.type.element, (lane, 1)), typ=value.type.element)
            self.inner.emit(VectorBuilder(k.b, 1), pointers, cell, batch, k.b.add(j, lane), i, None)

    def prefetch(self, k: VectorBuilder, pointers: Sequence[ir.Value], batch: Sequence[ir.Value], i: ir.Value, j: ir.Value) -> None:
        """Asks for nothing: the elements of a vector lie apart."""


# ---- the plan -----------------------------------------------------------------------------------------------------------
# Note [Costs]
# Costs are in steps: the time of one fused multiply-add of a full vector where they follow one another without a pause. A block of
# r x c accumulators needs r * c of them for each p (in the dot form: for each vector of them) and at least r + c loads. To that
# come the beginning and the end of a block, the horizontal sums of the dot form, and the copying of panels. A panel of B that is too large
# for the first cache comes from the second for every block. Threads take neighbouring tiles, so each reads a part of one operand and
# the whole of the other, half of which another core may have written: a weight cut as its gradient is cut stays with its core. All
# figures are measured on processors with AVX-512.

STEPS_PER_MICROSECOND = 3500  # roughly; only the cutting into tiles depends on it
WORTH_SHARING = 12 * STEPS_PER_MICROSECOND  # handing a chunk to another thread takes a fifth of a microsecond
TILE = 5 * STEPS_PER_MICROSECOND
MOST_TILES = 24  # enough for any number of threads to find equal shares; more would only read operands again
FROM_L2, SCATTERED = 2.7, 8.4  # for a line of B from the second cache; at least, for each p, where B lies scattered there
FROM_AFAR = 4  # for a line from where another core left it
PANEL_BYTES = 256 << 10  # on the stack
CACHE_LINE, CACHE_PERIOD, CACHE_WAYS = 64, 4096, 8  # lines whose addresses differ by a multiple of the period compete for so many places


@dataclass(frozen=True)
class Plan:
    """How a product is computed.

    A block of `rows` x `columns` results stays in registers, a tile has at most `tile_rows` x `tile_columns`; both are multiples of the
    block's, or all there is. `lanes` is the length of the vectors that run along j, or along p in the dot form.
    """

    form: str
    lanes: int
    rows: int
    columns: int
    tile_rows: int
    tile_columns: int
    rows_first: bool = False


def cuts(length: int, size: int) -> list[tuple[int, int]]:
    """The sizes of the blocks along a dim, each with how many there are."""
    return [(s, count) for s, count in ((size, length // size), (length % size, 1 if length % size else 0)) if count]


def outer_cost(product: Product, host: Host, plan: Plan) -> float:
    """Steps for one product of the batch, by sums of outer products."""
    total, whole = 0.0, cuts(product.n, plan.columns)
    near = product.k * plan.columns * product.dtype.itemsize <= 0.6 * host.l1
    for r, many in cuts(product.m, plan.rows):
        for width, count in whole:
            c = -(-width // plan.lanes)
            line = max(r * c, 0.6 * r + c, 1.5) + 0.02 * (r + c)
            if not near:
                line = max(line, FROM_L2 * c, SCATTERED if plan.form == "outer" else 0.0)
            total += many * count * (product.k * line + 12 + 2.5 * r * c)
    return total * (1 + 0.02 * (len(cuts(product.m, plan.rows)) * len(whole) - 1)) * crowding(product, plan.rows)


def dot_cost(product: Product, lanes: int, rows: int, columns: int) -> float:
    """Steps for one product of the batch, by dot products."""
    total = 0.0
    for r, many in cuts(product.m, rows):
        for c, count in cuts(product.n, columns):
            wide = power_of_two(c)
            sums = 3 * (wide - 1) + 2 * max(0.0, math.log2(lanes / wide))
            total += many * count * (-(-product.k // lanes) * max(r * c, r + c) + 12 + r * (sums + 2))
    return total * (1 + 0.02 * (len(cuts(product.m, rows)) * len(cuts(product.n, columns)) - 1))


def pack_cost(product: Product) -> float:
    """Steps to pack all panels of one product once."""
    each = 0.2 if product.b[1] == 1 else 0.45 if product.b[0] == 1 else 1.5
    return each * product.k * product.n


def candidates(product: Product, host: Host) -> Iterator[tuple[float, Plan]]:
    """The plans that suit a product, each with its cost for one product of the batch."""
    vector, registers, size = host.lanes(product.dtype), host.vector_registers, product.dtype.itemsize
    lanes = min(vector, power_of_two(product.n))
    for c in range(1, min(-(-product.n // lanes), 8) + 1):
        for r in range(1, min(product.m, 24) + 1):
            if r * c + c + 1 > registers:
                break
            columns = min(c * lanes, product.n)
            plan = Plan("outer", lanes, r, columns, product.m, product.n)
            if product.b[1] == 1 or lanes == 1:
                yield outer_cost(product, host, plan), plan
            if c * lanes * product.k * size <= PANEL_BYTES:
                plan = replace(plan, form="packed")
                yield outer_cost(product, host, plan) + pack_cost(product), plan
    if product.a[1] == product.b[0] == 1:
        wide = min(vector, power_of_two(product.k))
        for r in range(1, min(product.m, 8) + 1):
            for c in range(1, min(product.n, 16, wide) + 1):
                if r * c + min(r, c) + 1 <= registers:
                    yield dot_cost(product, wide, r, c), Plan("dot", wide, r, c, product.m, product.n)


def crowding(product: Product, rows: int) -> float:
    """The factor that reading many rows of A at once costs, where they lie so that they share few sets of the first cache."""
    step = product.a[0] * product.dtype.itemsize
    if product.a[1] != 1 or step < CACHE_LINE:
        return 1.0
    return 1.4 if rows > CACHE_WAYS * (CACHE_PERIOD // math.gcd(step, CACHE_PERIOD)) else 1.0


@cache
def choose(product: Product, host: Host, form: str | None = None, epilogue: float = 0.0) -> Plan:
    """The cheapest plan, cut into tiles; of one form, if it is given. `epilogue` is how many steps a vector of results takes besides."""
    small = product.k * product.n * product.dtype.itemsize <= host.l2 // 4
    after = epilogue * product.m * -(-product.n // host.lanes(product.dtype))
    plans = []
    for cost, plan in candidates(product, host):
        if form not in (None, plan.form):
            continue
        for rows_first in (True, False) if plan.form == "outer" and small else (False,):
            for tiled in cuts_of(product, replace(plan, rows_first=rows_first), cost + after):
                across, down = -(-product.n // tiled.tile_columns), -(-product.m // tiled.tile_rows)
                total = cost
                if down * across > 1:
                    total += pack_cost(product) * (down - 1) if plan.form == "packed" else 0
                    total += product.m * (across - 1) * (2 + epilogue / 4)  # lines of memory that two tiles share
                    total = total * waiting(down * across * math.prod(product.batch), host.cores) + afar(product, tiled, host.cores)
                plans.append((total, tiled))
    if not plans:
        raise ValueError(f"no plan of the form {form} suits {product}")
    return min(plans, key=lambda each: each[0])[1]


def afar(product: Product, plan: Plan, cores: int) -> float:
    """Steps to bring what other cores wrote: all of B where threads share out the rows; all of A, and of the results' place, where the columns.

    Of the operand that is shared out, those parts that two threads have to do with.
    """
    a, b, c = product.m * product.k, product.n * product.k, product.m * product.n
    down, across = -(-product.m // plan.tile_rows), -(-product.n // plan.tile_columns)
    by_rows = across == 1 or (plan.rows_first and down > 1)
    whole, part, parts = (b, a, down) if by_rows else (a + c // 2, b, across)
    split = part * (cores - 1) / parts if parts * math.prod(product.batch) % cores else 0
    return FROM_AFAR * (whole + split) * product.dtype.itemsize / CACHE_LINE


def waiting(tiles: int, cores: int) -> float:
    """The factor by which the thread with most tiles takes longer than its share."""
    return -(-tiles // cores) * cores / tiles


def cuts_of(product: Product, plan: Plan, cost: float) -> Iterator[Plan]:
    """The plan with tiles of at least TILE steps, cut along rows or along columns first; one tile if the whole batch is not worth sharing."""
    if cost * math.prod(product.batch) < WORTH_SHARING or cost < 2 * TILE:
        yield plan
        return
    parts = min(round(cost / TILE), max(1, MOST_TILES // math.prod(product.batch)))
    tile_rows = share(product.m, plan.rows, parts)
    tile_columns = share(product.n, plan.columns, parts // -(-product.m // tile_rows))
    yield replace(plan, tile_rows=tile_rows, tile_columns=tile_columns)
    if not plan.rows_first:
        tile_columns = share(product.n, plan.columns, parts)
        tile_rows = share(product.m, plan.rows, parts // -(-product.n // tile_columns))
        yield replace(plan, tile_rows=tile_rows, tile_columns=tile_columns)


def share(length: int, block: int, parts: int) -> int:
    """The length of about `parts` equal parts, in whole blocks."""
    return min(length, -(-length // (block * max(1, parts))) * block)


# ---- the kernel ---------------------------------------------------------------------------------------------------------


class Kernel:
    """Emission of one product's function."""

    def __init__(self, product: Product, plan: Plan, epilogue: Epilogue, operands: int) -> None:
        self.product, self.plan, self.epilogue = product, plan, epilogue
        self.element = ELEMENTS[product.dtype]
        self.module = ir.Module()
        function = ir.Function(self.module, ir.FunctionType(ir.VoidType(), [POINTER, I64, I64]), SYMBOL)
        table, begin, end = function.args
        self.b = b = ir.IRBuilder(function.append_basic_block("entry"))
        self.k = VectorBuilder(b, plan.lanes)
        self.pointers = [b.load(b.gep(table, [index(o)], source_etype=POINTER), typ=POINTER) for o in range(2 + operands)]
        self.panel_stride = -(-plan.columns // plan.lanes) * plan.lanes
        if plan.form == "packed":
            self.panel = reserve(b, ir.ArrayType(self.element, max(1, product.k * self.panel_stride)))
        with counting(b, begin, end) as tile:
            self.tile(tile)
        b.ret_void()

    def tile(self, number: ir.Value) -> None:
        """One tile: tiles count along the rows, or along the columns first, and then along the batch."""
        product, plan = self.product, self.plan
        down, across = -(-product.m // plan.tile_rows), -(-product.n // plan.tile_columns)
        if plan.rows_first:
            number, column = self.divide(number, across)
            number, row = self.divide(number, down)
        else:
            number, row = self.divide(number, down)
            number, column = self.divide(number, across)
        places: list[ir.Value] = []
        for size in reversed(product.batch):
            number, place = self.divide(number, size)
            places.insert(0, place)
        self.batch = places
        self.a = at(self.b, self.pointers[0], self.element, *zip(places, product.a_batch, strict=True))
        self.w = at(self.b, self.pointers[1], self.element, *zip(places, product.b_batch, strict=True))
        if plan.rows_first:
            self.blocks(row, product.m, plan.tile_rows, plan.rows, lambda i, rows: self.line(i, rows, column))
        else:
            self.blocks(column, product.n, plan.tile_columns, plan.columns, lambda j, width: self.pile(j, width, row))

    def divide(self, number: ir.Value, by: int) -> tuple[ir.Value, ir.Value]:
        """Quotient and remainder of a number that is not negative."""
        return (number, index(0)) if by == 1 else (self.b.udiv(number, index(by)), self.b.urem(number, index(by)))

    def blocks(self, tile: ir.Value, length: int, tile_length: int, step: int, body: Callable[[ir.Value, int], None]) -> None:
        """Calls `body` with the place and the size of each block of a tile along one dim: whole ones, and what remains in the end."""
        whole = length // step * step
        start: Bound = 0
        stop: Bound = whole
        end: ir.Value | None = None
        if tile_length < length:
            start = self.b.mul(tile, index(tile_length))
            end = self.b.add(start, index(tile_length))
            stop = self.b.select(self.b.icmp_signed("<", end, index(whole)), end, index(whole))
        if whole == step and end is None:
            body(index(0), step)
        elif whole:
            with counting(self.b, start, stop, step) as position:
                body(position, step)
        if length > whole and end is None:
            body(index(whole), length - whole)
        elif length > whole:
            with self.b.if_then(self.b.icmp_signed(">=", end, index(length))):
                body(index(whole), length - whole)

    def line(self, i: ir.Value, rows: int, column: ir.Value) -> None:
        """The blocks of one row of them."""
        product, plan = self.product, self.plan
        self.blocks(column, product.n, plan.tile_columns, plan.columns, lambda j, width: self.block(i, rows, j, width))

    def pile(self, j: ir.Value, width: int, row: ir.Value) -> None:
        """The blocks of one column of them."""
        product, plan = self.product, self.plan
        if plan.form == "packed":
            source = at(self.b, self.w, self.element, (j, product.b[1]))
            pack(self.k, self.element, source, product.b, self.panel, self.panel_stride, product.k, width)
        self.blocks(row, product.m, plan.tile_rows, plan.rows, lambda i, rows: self.block(i, rows, j, width))

    def vectors(self, width: int) -> list[tuple[VectorBuilder, int]]:
        """The vectors that hold a block's columns, each with how many of its lanes are valid; the last one is no longer than it must be."""
        lanes = self.plan.lanes
        sizes = [min(lanes, width - start) for start in range(0, width, lanes)]
        return [(VectorBuilder(self.b, power_of_two(valid)), valid) for valid in sizes]

    def block(self, i: ir.Value, rows: int, j: ir.Value, width: int) -> None:
        """One block of results, in registers, and the epilogue for it."""
        b, k, product, element = self.b, self.k, self.product, self.element
        a = at(b, self.a, element, (i, product.a[0]))
        if self.plan.form == "dot":
            w = at(b, self.w, element, (j, product.b[1]))
            sums = dot_block(k, element, a, product.a[0], w, product.b[1], product.k, rows, width)
            wide = VectorBuilder(b, power_of_two(width))
            for r, vector in enumerate(sums):
                self.finish(wide, vector, b.add(i, index(r)), j, width)
            return
        columns = self.vectors(width)

        def prefetch(row: ir.Value) -> None:
            for c in range(len(columns)):
                self.epilogue.prefetch(k, self.pointers[2:], self.batch, b.add(i, row), b.add(j, index(c * k.lanes)))

        if self.plan.form == "packed":
            whole = [(wide, wide.lanes) for wide, _ in columns]
            block = outer_block(k, element, a, product.a, self.panel, self.panel_stride, product.k, rows, whole, prefetch)
        else:
            first = at(b, self.w, element, (j, product.b[1]))
            block = outer_block(k, element, a, product.a, first, product.b[0], product.k, rows, columns, prefetch)
        for r, vectors in enumerate(block):
            for c, (vector, (wide, valid)) in enumerate(zip(vectors, columns, strict=True)):
                self.finish(wide, vector, b.add(i, index(r)), b.add(j, index(c * k.lanes)), valid)

    def finish(self, k: VectorBuilder, value: ir.Value, i: ir.Value, j: ir.Value, valid: int) -> None:
        """Hands one vector of results to the epilogue."""
        self.epilogue.emit(k, self.pointers[2:], value, self.batch, i, j, valid if valid < k.lanes else None)


def stage(
    product: Product, host: Host, a: Any, b: Any, epilogue: Epilogue, operands: Sequence[Any], label: str = "", form: str | None = None
) -> Stage:
    """The stage that computes a product.

    The table of pointers is A, B, and the `operands` of the epilogue. `form` forces one of the forms of computing ("outer", "packed", "dot").
    """
    if product.n == 1 and product.m > 1:
        product, a, b, epilogue = product.swapped(), b, a, Swapped(epilogue)
    size, batch = product.dtype.itemsize, math.prod(product.batch)
    plan = choose(replace(product, m=max(1, product.m), n=max(1, product.n)), host, form, epilogue.steps)
    tiles = -(-product.m // plan.tile_rows) * -(-product.n // plan.tile_columns)
    steps = product.m * product.n * ((product.k + epilogue.steps) / host.lanes(product.dtype) + 1)
    grain = batch * tiles if steps * batch < WORTH_SHARING else int(TILE * tiles / steps)

    def build() -> ir.Module:
        return Kernel(product, plan, epilogue, len(operands)).module

    return Stage(
        key=f"{product} {plan} {epilogue.key} {len(operands)}",
        symbol=SYMBOL,
        build=build,
        operands=(a, b, *operands),
        extent=batch * tiles,
        grain=max(1, grain),
        flops=2 * product.m * product.n * product.k * batch,
        bytes=size
        * (touched(product, product.a_batch, product.m) + touched(product, product.b_batch, product.n) + batch * product.m * product.n),
        label=label or f"matmul {'x'.join(map(str, product.batch))} {product.m}x{product.k} @ {product.k}x{product.n}".replace("  ", " "),
    )


def touched(product: Product, strides: Sequence[int], lines: int) -> int:
    """The number of elements of an operand of the batch."""
    return lines * product.k * math.prod(size for size, stride in zip(product.batch, strides, strict=True) if stride)
