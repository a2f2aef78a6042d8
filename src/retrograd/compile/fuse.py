"""From statements to units: which loops share a nest, and the order in which everything runs.

Units stand in a list, and a statement goes into any unit after those that it depends on: after the last that writes what it reads, and
the last that reads or writes what it writes. It joins the nest that it shares most memory with, if it fits: the same domain (or
its outer dims), and no element touched that another point of the domain writes. Otherwise it begins a unit at the end.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from retrograd.compile.arrays import (
    Array,
    Callback,
    Check,
    Convolution,
    Map,
    Native,
    Product,
    Reduce,
    Statement,
    identity,
    reads_of,
    reshape_view,
    writes_of,
)
from retrograd.compile.graph import Buffer, View, dense_strides
from retrograd.compile.loops import Access, Loop, Nest, Node, all_accesses, loop_of, map_accesses, pieces, refinement, split

MOST_LOOPS = 48  # in one nest: a body's values should fit into registers
SMALL = 1 << 15  # elements that one core may as well do alone
PARTS = 8  # how many parts a nest should have, so that every core finds some
LONG = 16  # how many times more terms than rows and columns make sums long


@dataclass(eq=False)
class Single:
    """A unit of one statement that is no loop: a Native kernel, a check, or a call back into Python; and the views that it reads and writes."""

    statement: Native | Check | Callback
    reads: list[View]
    writes: list[View]


Unit = Nest | Single


class Fusion:
    """Puts statements into units, one after the other."""

    def __init__(self, statements: Sequence[Statement], settled: Callable[[View], View], fresh: Callable[[int], Buffer]) -> None:
        self.units: list[Unit] = []
        self.last_write: dict[Buffer, int] = {}
        self.last_read: dict[Buffer, int] = {}
        self.last_check = -1  # what may raise comes before all that can be seen outside
        self.settled, self.fresh = settled, fresh
        for statement in statements:
            self.take(statement)

    def take(self, statement: Statement) -> None:
        """Finds a place for a statement."""
        if isinstance(statement, (Map, Reduce)):
            loop = loop_of(statement, self.settled)
            if 0 in loop.sizes:
                return self.take_empty(statement)
            for part in self.in_parts(loop):
                self.place(part)
        elif isinstance(statement, Product) and 0 in (*statement.target.shape, *statement.a.shape):
            self.take(Map(statement.target, Array("const", (), (), statement.target.dtype, 0.0)))
        elif isinstance(statement, Product) and (parts := parts_of(statement)) > 1:
            self.take_in_parts(statement, parts)
        elif isinstance(statement, (Product, Convolution)):
            self.append(self.headed_nest(statement))
        else:
            views = [[self.settled(v) for v in found] for found in (reads_of(statement), writes_of(statement))]
            self.append(Single(self.settle(statement), *views))

    def take_empty(self, statement: Map | Reduce) -> None:
        """A statement over no elements: a reduction gives what the reduction of nothing is."""
        if isinstance(statement, Reduce):
            number = identity(statement.kind, statement.target.dtype)
            self.take(Map(statement.target, Array("const", (), (), statement.target.dtype, number)))

    def take_in_parts(self, product: Product, parts: int) -> None:
        """A product with long sums as a batch of shorter ones, and their sum."""
        (m, n), k = product.target.shape, product.a.shape[-1]
        dtype = product.target.dtype
        partial = View(self.fresh(parts * m * n * dtype.itemsize), 0, (parts, m, n), dense_strides((parts, m, n), dtype.itemsize), dtype)
        a, b = product.a, product.b
        first = View(a.buffer, a.offset, (parts, m, k // parts), (a.strides[1] * (k // parts), *a.strides), dtype)
        second = View(b.buffer, b.offset, (parts, k // parts, n), (b.strides[0] * (k // parts), *b.strides), dtype)
        self.take(Product(partial, first, second))
        target = View(product.target.buffer, product.target.offset, (1, m, n), (0, *product.target.strides), dtype)
        self.take(Reduce(target, "sum", Array("read", (), partial.shape, dtype, partial), (0,)))

    def settle(self, statement: Any) -> Any:
        """The statement with its views on the buffers that are meant."""
        if isinstance(statement, Native):
            statement.targets = [self.settled(v) for v in statement.targets]
            statement.operands = [self.settled(v) for v in statement.operands]
        elif isinstance(statement, Check):
            statement.least, statement.most = self.settled(statement.least), self.settled(statement.most)
        return statement

    def headed_nest(self, head: Product | Convolution) -> Nest:
        """A nest with a matrix product or a convolution at its head; loops on the results may join."""
        head.target, head.a, head.b = (self.settled(v) for v in (head.target, head.a, head.b))
        target = results_of(head)
        kept = [d for d, n in enumerate(target.shape) if n != 1]
        nest = Nest(tuple(target.shape[d] for d in kept), head=head)
        access = Access(target.buffer, target.offset, tuple(target.strides[d] for d in kept), target.dtype)
        nest.add(Loop(nest.sizes, access, Node("head", (), target.dtype)))
        return nest

    def append(self, unit: Unit) -> None:
        """A unit at the end."""
        self.units.append(unit)
        at = len(self.units) - 1
        if isinstance(unit, Single) and not isinstance(unit.statement, Native):
            self.last_check = at
        for buffer in written_by(unit):
            self.last_write[buffer] = at
        for buffer in read_by(unit):
            self.last_read[buffer] = at

    def place(self, loop: Loop) -> None:
        """A loop in the nest that it shares most with, or in one of its own."""
        target = loop.into
        reads = {a.buffer for a in loop.accesses() if a.buffer is not None}
        first = max([-1, *(self.last_write.get(b, -1) for b in reads), self.last_write.get(target, -1), self.last_read.get(target, -1)])
        if target.kind != "made":
            first = max(first, self.last_check)
        best, best_score, best_fit = None, 0, None
        for at in range(max(first, 0), len(self.units)):
            unit = self.units[at]
            if isinstance(unit, Nest):
                score = self.shared(unit, reads, target)
                if score > best_score or (score and score == best_score):
                    fit = fitted(unit, loop)
                    if fit is not None:
                        best, best_score, best_fit = at, score, fit
        if best is None or best_fit is None:
            nest = Nest(loop.sizes, loop.dims if loop.reduce else None)
            nest.add(loop)
            return self.append(nest)
        nest = self.units[best]  # type: ignore[assignment]
        fine, inner, joined = best_fit
        nest.resplit(fine)
        nest.inner = inner
        nest.add(joined)
        self.last_write[target] = max(best, self.last_write.get(target, -1))
        for b in reads:
            self.last_read[b] = max(best, self.last_read.get(b, -1))

    @staticmethod
    def shared(nest: Nest, reads: set[Any], target: Buffer) -> int:
        """How much memory traffic a loop would save in a nest: values handed over count double."""
        return sum(2 for b in reads if b in nest.written) + sum(1 for b in reads if b in nest.read) + (target in nest.read)

    def in_parts(self, loop: Loop) -> Iterator[Loop]:
        """A reduction of much to few numbers in two: parts first, that cores can share, then the parts."""
        kept = math.prod(n for d, n in enumerate(loop.sizes) if d not in loop.dims)
        total = math.prod(loop.sizes)
        if loop.reduce is None or total < 2 * SMALL or kept >= PARTS:
            yield loop
            return
        at = min(loop.dims, key=lambda d: (-loop.sizes[d], d))
        n = loop.sizes[at]
        parts = next((p for p in range(min(total // SMALL, 256), 1, -1) if n % p == 0), None)
        if parts is None:
            yield loop
            return
        fine = [*loop.sizes[:at], parts, n // parts, *loop.sizes[at + 1 :]]
        fine = [m for m in fine if m != 1]
        first = split(loop, fine)
        outer = [d for d in range(len(fine)) if d not in first.dims or d == at]
        itemsize = loop.target.dtype.itemsize
        steps, step = [0] * len(fine), itemsize
        for d in reversed(outer):
            steps[d] = step
            step *= fine[d]
        buffer = self.fresh(step)
        partial = Access(buffer, 0, tuple(steps), loop.target.dtype)
        yield Loop(tuple(fine), partial, first.value, loop.reduce, first.dims - {at})
        sizes = tuple(fine[d] for d in outer)
        again = partial.with_steps([steps[d] for d in outer])
        target = first.target.with_steps([first.target.steps[d] for d in outer])
        yield Loop(sizes, target, Node("read", (), again.dtype, None, again), loop.reduce, frozenset([outer.index(at)]))


def parts_of(product: Product) -> int:
    """Into how many parts a product's sums are cut.

    Cores share out the results of a product. Where these are few and the sums are long, as in the gradient of a narrow layer over many
    samples, each would read most of both factors; so they share out the terms, and each reads its own samples.
    """
    if len(product.target.shape) != 2:
        return 1
    (m, n), k = product.target.shape, product.a.shape[-1]
    if m * n * k < 16 * SMALL or k < LONG * max(m, n):
        return 1
    return next((parts for parts in range(PARTS, PARTS // 2 - 1, -1) if k % parts == 0), 1)


def written_by(unit: Unit) -> set[Buffer]:
    """The buffers that a unit writes."""
    return {v.buffer for v in unit.writes} if isinstance(unit, Single) else set(unit.written)


def read_by(unit: Unit) -> set[Buffer]:
    """The buffers that a unit reads."""
    if isinstance(unit, Single):
        return {v.buffer for v in unit.reads}
    head = {unit.head.a.buffer, unit.head.b.buffer} if unit.head is not None else set()
    return set(unit.read) | head


def results_of(head: Product | Convolution) -> View:
    """The results of a head with the dims that an epilogue is told: batch dims, i, j."""
    shape = head.target.shape
    if isinstance(head, Product):
        return head.target
    view = reshape_view(head.target, (shape[0], math.prod(shape[1:])) if head.kind == "weight" else (*shape[:2], math.prod(shape[2:])))
    assert view is not None
    return view


# ---------------------------------------------------------------- whether a loop fits

Fit = tuple[tuple[int, ...], frozenset[int] | None, Loop]


def fitted(nest: Nest, loop: Loop) -> Fit | None:
    """The dims that the nest would go over to, its inner dims, and the loop over them; None where the loop does not fit."""
    if len(nest.loops) >= MOST_LOOPS:
        return None
    for found in (as_full(nest, loop), as_row(nest, loop)):
        if found is not None:
            fine, inner, changed = found
            probe = nest
            if fine != nest.sizes:
                probe = Nest(nest.sizes, nest.inner, list(nest.loops), dict(nest.written), dict(nest.read))
                probe.resplit(fine)
            if fits(probe, changed) and parts_remain(fine, inner, nest, changed):
                return fine, inner, changed
    return None


def as_full(nest: Nest, loop: Loop) -> Fit | None:
    """The loop over the nest's whole domain."""
    if nest.head is not None:
        if loop.reduce is not None or any(overlap(extent(v, v.shape), extent(loop.target, loop.sizes)) for v in (nest.head.a, nest.head.b)):
            return None
        over = coarsened(loop, nest.sizes)
        return None if over is None else (nest.sizes, nest.inner, over)
    fine = refinement(nest.sizes, loop.sizes)
    if fine is None:
        return None
    over = split(loop, fine)
    groups = pieces(nest.sizes, fine)
    inner = None if nest.inner is None else frozenset(g for d in nest.inner for g in groups[d])
    if loop.reduce is not None:
        if inner is not None and inner != over.dims:
            return None
        inner = over.dims
    return fine, inner, over


Extent = tuple[Buffer | None, int, int]  # a buffer, and the bytes of it from where to where


def extent(place: Any, shape: Sequence[int]) -> Extent:
    """The memory within which a view or an access of a shape is."""
    steps = place.strides if isinstance(place, View) else place.steps
    ends = [(n - 1) * step for n, step in zip(shape, steps, strict=True)]
    return place.buffer, place.offset + sum(min(0, e) for e in ends), place.offset + sum(max(0, e) for e in ends) + place.dtype.itemsize


def overlap(a: Extent, b: Extent) -> bool:
    """Whether two extents may have memory in common."""
    return a[0] is b[0] and a[1] < b[2] and b[1] < a[2]


def apart(a: Access, b: Access, sizes: Sequence[int]) -> bool:
    """Whether no element that one access finds, at any point of a domain, is one that the other finds."""
    if a.steps != b.steps or a.dtype != b.dtype:
        return False
    dims = sorted(((abs(step), n) for n, step in zip(sizes, a.steps, strict=True) if step and n > 1), reverse=True)
    return not meets(abs(a.offset - b.offset), dims, a.dtype.itemsize)


def meets(distance: int, dims: Sequence[tuple[int, int]], itemsize: int) -> bool:
    """Whether some number of steps along each dim leads nearer than an element to a distance. May say so where none does."""
    if not dims:
        return abs(distance) < itemsize
    (step, n), rest = dims[0], dims[1:]
    reach = sum(s * (m - 1) for s, m in rest) + itemsize - 1
    first, last = max(-((reach - distance) // step), 1 - n), min((distance + reach) // step, n - 1)
    return last - first >= 4 or any(meets(distance - k * step, rest, itemsize) for k in range(first, last + 1))


def as_row(nest: Nest, loop: Loop) -> Fit | None:
    """The loop over the nest's outer dims."""
    if not nest.inner or loop.reduce is not None or nest.head is not None:
        return None
    outer = nest.outer()
    fine_outer = refinement([nest.sizes[d] for d in outer], loop.sizes)
    if fine_outer is None:
        return None
    groups = pieces([nest.sizes[d] for d in outer], fine_outer)
    fine: list[int] = []
    at_outer: list[int] = []
    inner = set()
    for d, n in enumerate(nest.sizes):
        if d in nest.inner:
            inner.add(len(fine))
            fine.append(n)
        else:
            for g in groups[outer.index(d)]:
                at_outer.append(len(fine))
                fine.append(fine_outer[g])
    over = split(loop, fine_outer)

    def change(steps: Sequence[int]) -> list[int]:
        spread = [0] * len(fine)
        for at, step in zip(at_outer, steps, strict=True):
            spread[at] = step
        return spread

    changed = map_accesses(over, change, fine, frozenset())
    changed.level = "row"
    return tuple(fine), frozenset(inner), changed


def coarsened(loop: Loop, sizes: Sequence[int]) -> Loop | None:
    """The loop over coarser dims, if its accesses step evenly through them."""
    fine = refinement(sizes, loop.sizes)
    if fine is None:
        return None
    over = split(loop, fine)
    groups = pieces(sizes, fine)
    accesses = [over.target, *all_accesses(over)]
    for access in accesses:
        for g in groups:
            for first, second in itertools.pairwise(g):
                if access.steps[first] != access.steps[second] * fine[second]:
                    return None
    return map_accesses(over, lambda steps: [steps[g[-1]] for g in groups], sizes, frozenset())


def is_row(loop: Loop) -> bool:
    """Whether a loop gives one value for each row."""
    return loop.level == "row" or loop.reduce is not None


def fits(nest: Nest, loop: Loop) -> bool:
    """Whether no point of the domain touches what another writes; works out the loop's pass."""
    if any(b in nest.written for b in loop.moved()) or any(loop.target.buffer in other.moved() for other in nest.loops):
        return False  # indices may lead to other points
    step = 0 if loop.level == "full" else -1
    for access in loop.accesses():
        for writer in nest.written.get(access.buffer, ()):  # type: ignore[arg-type]
            if writer.target != access:
                return False
            if is_row(writer):
                step = max(step, writer.step + (loop.level == "full"))
            elif loop.level == "row":
                return False
            else:
                step = max(step, writer.step)
    for reader, access in nest.read.get(loop.target.buffer, ()):  # type: ignore[arg-type]
        if access != loop.target:
            return False
        step = max(step, reader.step + (reader.level == "row" and loop.level == "full"))
    for writer in nest.written.get(loop.target.buffer, ()):  # type: ignore[arg-type]
        if part_of_one(nest, writer, loop):
            continue
        if writer.target != loop.target or is_row(writer) != is_row(loop):
            return False
        step = max(step, writer.step + (is_row(writer) and loop.level == "full"))
    loop.step = step
    return True


def part_of_one(nest: Nest, writer: Loop, loop: Loop) -> bool:
    """Whether two loops write parts of one buffer that nobody in the nest reads."""
    whole = not is_row(writer) and not is_row(loop) and loop.target.buffer not in nest.read
    return whole and apart(writer.target, loop.target, nest.sizes)


def parts_remain(fine: Sequence[int], inner: frozenset[int] | None, nest: Nest, loop: Loop) -> bool:
    """Whether a nest that a reduction joins still has enough parts for the cores to share, or is small."""
    if not inner or nest.inner is not None:
        return True
    outer = math.prod(n for d, n in enumerate(fine) if d not in inner)
    across = bool(fine) and len(fine) - 1 not in inner  # vectors run across rows
    return math.prod(fine) <= SMALL or outer // (16 if across else 1) >= PARTS
