"""Sums of matrix products as one product: A₁B₁ + A₂B₂ + ... = [A₁ A₂ ...] [B₁; B₂; ...].

That is the gradient of a weight which a recurrent network uses at every time step. The factors of different steps are in buffers of their own;
where these are the program's, they are laid side by side in one, so that the longer product finds its operands as they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from retrograd.compile.arrays import Array, Map, Product, Statement, reads_of, writes_of
from retrograd.compile.graph import Buffer, View
from retrograd.compile.lower import Lowering

FEWEST = 3  # products worth joining


@dataclass
class Sum:
    """Terms that are added up: the statements that do it, the products among the terms, and the other terms."""

    statements: list[int] = field(default_factory=list)
    products: list[int] = field(default_factory=list)
    others: list[Array] = field(default_factory=list)


class Joining:
    """Looks for sums of products among the statements of a lowering, and joins them."""

    def __init__(self, lowering: Lowering, fixed: set[Buffer]) -> None:
        self.lowering, self.fixed = lowering, fixed
        self.statements: list[Statement | None] = list(lowering.statements)
        self.writers: dict[Buffer, list[int]] = {}
        self.readers: dict[Buffer, list[int]] = {}
        for i, statement in enumerate(lowering.statements):
            for v in writes_of(statement):
                self.writers.setdefault(lowering.settled(v).buffer, []).append(i)
            for v in reads_of(statement):
                self.readers.setdefault(lowering.settled(v).buffer, []).append(i)
        self.before: dict[int, Product] = {}  # what is to run before a statement
        self.stacks: dict[Buffer, tuple[Buffer, int]] = {}
        for i in reversed(range(len(self.statements))):
            self.join(i)
        lowering.statements = [s for i, one in enumerate(self.statements) for s in (self.before.get(i), one) if s is not None]

    def own(self, buffer: Buffer) -> bool:
        """Whether a buffer is the program's alone, and written once."""
        return buffer.kind == "made" and buffer not in self.fixed and len(self.writers.get(buffer, ())) == 1

    def addition(self, i: int) -> Map | None:
        """A statement that adds two arrays of its target's shape, if it is one."""
        statement = self.statements[i]
        if isinstance(statement, Map) and statement.value.op == "add" and statement.value.dtype.kind == "f":
            shape = statement.target.shape
            if all(a.op == "read" and a.shape == shape for a in statement.value.args) and len(shape) == 2:
                return statement
        return None

    def join(self, i: int) -> None:
        """Joins the products in the sum that ends at a statement."""
        last = self.addition(i)
        if last is None:
            return
        found = Sum()
        self.collect(i, found)
        chosen = self.stackable([i for i in found.products if self.statements[i] is not None])
        if len(chosen) < FEWEST:
            return
        terms = [self.product(p) for p in chosen]
        a, b = self.stack([t.a for t in terms], 1), self.stack([t.b for t in terms], 0)
        first = terms[0].target
        total = View(self.lowering.fresh(first.buffer.nbytes), first.offset, first.shape, first.strides, first.dtype)
        rest = [
            *found.others,
            *[Array("read", (), first.shape, first.dtype, self.product(p).target) for p in found.products if p not in chosen],
        ]
        value = Array("read", (), total.shape, total.dtype, total)
        for other in rest:
            value = Array("add", (other, value), total.shape, total.dtype)
        for j in [*found.statements, *chosen]:
            self.statements[j] = None
        self.statements[i] = Map(last.target, value)
        self.before[i] = Product(total, a, b)

    def product(self, i: int) -> Product:
        """A statement that is known to be a product."""
        statement = self.statements[i]
        assert isinstance(statement, Product)
        return statement

    def collect(self, i: int, found: Sum) -> None:
        """Takes apart what a statement adds up."""
        statement = self.addition(i)
        assert statement is not None
        found.statements.append(i)
        for term in reversed(statement.value.args):
            view = self.lowering.settled(term.data)
            writers = self.writers.get(view.buffer, [])
            once = self.own(view.buffer) and self.readers.get(view.buffer) == [i]
            source = self.statements[writers[0]] if once else None
            same = isinstance(source, (Map, Product)) and self.lowering.settled(source.target) == view
            if same and isinstance(source, Product):
                found.products.append(writers[0])
            elif same and self.addition(writers[0]) is not None:
                self.collect(writers[0], found)
            else:
                found.others.append(term)

    # ------------------------------------------------------------ factors side by side

    def stackable(self, products: Sequence[int]) -> list[int]:
        """Those of the products, in their order, whose factors can lie side by side."""
        chosen: list[int] = []
        for i in sorted(products):
            term = self.product(i)
            if not chosen or self.alike(self.product(chosen[0]), term):
                a, b = self.lowering.settled(term.a), self.lowering.settled(term.b)
                buffers = [
                    (self.lowering.settled(self.product(j).a).buffer, self.lowering.settled(self.product(j).b).buffer) for j in chosen
                ]
                fresh = a.buffer is not b.buffer and not {a.buffer, b.buffer} & {each for pair in buffers for each in pair}
                if fresh and self.can_move(a, 1) and self.can_move(b, 0):
                    chosen.append(i)
        return chosen

    def alike(self, p: Product, q: Product) -> bool:
        """Whether two products are of the same kind."""
        pairs = [(self.lowering.settled(x), self.lowering.settled(y)) for x, y in ((p.a, q.a), (p.b, q.b))]
        return p.target.strides == q.target.strides and all(
            x.shape == y.shape
            and x.strides == y.strides
            and x.offset == y.offset
            and x.dtype == y.dtype
            and x.buffer.nbytes == y.buffer.nbytes
            for x, y in pairs
        )

    def can_move(self, view: View, dim: int) -> bool:
        """Whether a factor fills a buffer of the program's own so that the next one, side by side, continues it along `dim`."""
        whole = view.offset == 0 and math.prod(view.shape) * view.dtype.itemsize == view.buffer.nbytes
        return (
            len(view.shape) == 2 and whole and view.strides[dim] * view.shape[dim] == view.buffer.nbytes
            and self.own_or_parts(view.buffer) and view.buffer not in self.stacks
        )  # fmt: skip

    def own_or_parts(self, buffer: Buffer) -> bool:
        """Whether a buffer is the program's alone; it may be written in parts."""
        return buffer.kind == "made" and buffer not in self.fixed and bool(self.writers.get(buffer))

    def stack(self, views: Sequence[View], dim: int) -> View:
        """Lays factors side by side; returns them as one."""
        settled = [self.lowering.settled(v) for v in views]
        first = settled[0]
        size = first.buffer.nbytes
        whole = self.lowering.fresh(size * len(views))
        for t, view in enumerate(settled):
            self.stacks[view.buffer] = (whole, t * size)
            self.lowering.alias[view.buffer] = (whole, t * size)
        shape = tuple(n * len(views) if d == dim else n for d, n in enumerate(first.shape))
        return View(whole, 0, shape, first.strides, first.dtype)


def join_sums(lowering: Lowering, fixed: set[Buffer]) -> None:
    """Joins sums of products. `fixed` are buffers that have their place outside."""
    Joining(lowering, fixed)
