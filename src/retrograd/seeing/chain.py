"""The chain rule of one step, written out: every operation from the loss back to a tensor, with its Jacobian and what went through it.

A `Chain` has a `Link` for each operation, in the order in which backward went. J1 stands next to the tensor, as in J1ᵀ J2ᵀ ... v.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy import ndarray

from retrograd.seeing.chain_texts import CHAIN, COLUMNS
from retrograd.seeing.formulas import formula, mathml
from retrograd.seeing.jacobian import jacobian
from retrograd.seeing.language import known_language
from retrograd.seeing.names import find, named
from retrograd.seeing.record import Arrival, Call, Pass, Pull, Record, Snapshot, Step, Value
from retrograd.seeing.replay import CannotReplay, Replay, difference, double, entries, local_difference, sources, steps_of
from retrograd.seeing.structures import Jacobian
from retrograd.seeing.text import Part as Shows
from retrograd.seeing.text import Shown, Table, number, shape_of

FEW = 8  # links that are shown one by one in text
WIDTH = 100
WHOLE = 64  # elements of a tensor for which the product is multiplied out whole from its end
DIRECTIONS = 3
CORNER = 6  # rows and columns of an array in `to_dict`: of the first matrix, if it has more dims
ROUNDING = {2: 5e-2, 4: 2e-4, 8: 1e-9}  # by bytes of an element: a relative error that rounding may make
DIFFERENCE = {2: 1e-1, 4: 2e-3, 8: 1e-5}  # the same, where one side is a difference


@dataclass(eq=False)
class Way:
    """One operand of a call on the way, with ∂result/∂operand for each result that a cotangent came to, and the product Jᵀv."""

    at: int
    label: str
    work_out: Callable[[], dict[int, Jacobian]]
    outgoing: Snapshot
    to: Link | None = None  # None: the tensor itself

    @cached_property
    def jacobians(self) -> dict[int, Jacobian]:
        """By number of the result."""
        return self.work_out()

    @property
    def jacobian(self) -> Jacobian | None:
        """That of the first result; None: nothing is known of the results."""
        return next(iter(self.jacobians.values()), None)


@dataclass(eq=False)
class Link:
    """One operation of the chain.

    `number` counts from the tensor; `v` is what came in for each result; `came` tells from which links, and over which of their operands.
    """

    number: int
    call: Call
    pull: Pull
    name: str
    ways: list[Way] = field(default_factory=list)
    came: list[tuple[Link, Way]] = field(default_factory=list)

    @property
    def v(self) -> Snapshot:
        """What came in for the first result that got something."""
        return next(x for x in self.pull.v if x is not None)

    def letter(self, way: Way) -> str:
        """The Jacobian's name: J3, or J3a and J3b where two operands of one call are on the way."""
        if len(self.ways) == 1:
            return f"J{self.number}"
        at = self.ways.index(way)
        return f"J{self.number}" + (chr(ord("a") + at) if len(self.ways) <= 26 else f".{at + 1}")

    @property
    def key(self) -> str:
        """The operation's name as formulas have it."""
        return self.call.name + (" sum" if self.call.params.get("mean") is False else "")

    @property
    def operands(self) -> tuple[str, ...]:
        """The names of its operands."""
        return self.call.op.operands if self.call.op is not None else ("x",)

    def tick(self, way: Way) -> tuple[float, float] | None:
        """(by differences, by backward): how v · result changes in a random direction of the operand; None if that cannot be had."""
        g = way.outgoing.array
        if g is None or g.dtype.kind != "f":
            return None
        direction = np.random.default_rng(self.number).standard_normal(g.shape)
        try:
            slope = local_difference(self.call, way.at, direction, [None if x is None else x.array for x in self.pull.v]).slope
        except (CannotReplay, ValueError):
            return None
        return slope, float((g.astype(np.float64) * direction).sum())


@dataclass(frozen=True)
class Check:
    """One comparison.

    `verdict` is "exact", "rounding", "unsure", "cancelled" (rounding where numbers nearly cancel: at `why`), "differs" or "none" (`why`
    tells why it was not made).
    """

    kind: str
    verdict: str
    error: float = 0.0
    count: int = 0  # of directions or entries
    why: tuple[str, dict[str, Any]] | str = ""

    def sentence(self, language: str, root: str, target: str) -> str:
        """In words."""
        say = CHAIN[language]
        how = say["along"].format(n=self.count) if self.count else say["whole"]
        what = say[self.kind].format(root=root, target=target, n=self.count, how=how)
        why = self.why if isinstance(self.why, str) else say[self.why[0]].format(**self.why[1])
        return f"{what}: {say[self.verdict].format(error=f'{self.error:.1e}', why=why)}"


def compared(
    kind: str,
    error: float,
    itemsize: int,
    count: int = 0,
    unsure: float = 0.0,
    most: dict[int, float] = ROUNDING,
    cancelled: tuple[float, str] = (1.0, ""),
) -> Check:
    """The verdict on a relative error; where numbers nearly cancel, rounding is so many times larger."""
    verdict = "exact" if error == 0 else "rounding" if error <= most[itemsize] else "unsure" if error <= 3 * unsure else "differs"
    if verdict == "differs" and error <= most[itemsize] * cancelled[0]:
        return Check(kind, "cancelled", error, count, cancelled[1])
    return Check(kind, verdict, error, count)


def relative(a: ndarray, b: ndarray) -> float:
    """The largest difference, over the largest number; inf where one is no number and the other is."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    if same.all():
        return 0.0
    finite = np.isfinite(a) & np.isfinite(b)
    if not (finite | same).all():
        return float("inf")
    return float(np.abs(a[finite] - b[finite]).max() / max(np.abs(a[finite]).max(), np.abs(b[finite]).max()))


def chain(record: Record, to: Any, loss: Any = None, step: int = -1, language: str | None = None, which: int | None = None) -> Chain:
    """Every operation from a loss back to a tensor, with what a backward pass took through it.

    Args:
        to: a tensor, a `Value`, its name (of a parameter its path, of a result its variable) or label, or its number.
        loss: the root of the pass, in the same ways; None: the root of the pass that is shown.
        step: of the record.
        language: "en" or "es"; None: the locale's.
        which: the number of the backward pass in the step; None: the last that leads to the tensor.

    Raises:
        KeyError: if the step has no such tensor.
        ValueError: if no backward pass leads to it, or there are no texts in the language.

    >>> import retrograd as torch
    >>> x = torch.tensor([1.0, -2.0], requires_grad=True)
    >>> with torch.see() as record:
    ...     h = x * 3
    ...     loss = h.relu().sum()
    ...     loss.backward()
    >>> found = chain(record, "x", language="en")
    >>> [link.call.name for link in found]
    ['sum', 'relu', 'mul']
    >>> print(found.product("en"))
    ∂loss/∂x = J1ᵀ [2×2] · J2ᵀ [2×2] · J3ᵀ [2×1] · v [1]
    """
    language = None if language is None else known_language(language)
    steps, target = record.step(step), find(record, to, step)
    root = None if loss is None else find(record, loss, step)
    tensor = None if target.tensor is None else target.tensor()
    same = [target, *(v for v in reversed(steps.values) if v is not target and tensor is not None and v.is_of(tensor))]
    passes = steps.passes if which is None else [steps.passes[which]]
    for walk in reversed(passes):
        if root is not None and not any(r is root for r in walk.roots):
            continue
        for value in same:
            made = Chain(record, steps, walk, value, language)
            if made.links:
                return made
    label = target.label
    raise ValueError(f"{CHAIN[known_language(language)]['unreached'].format(target=label)} (requires_grad={target.requires_grad})")


class Chain(Shown):
    """The links from the root of a backward pass to a tensor, in the order in which backward went."""

    def __init__(self, record: Record, step: Step, walk: Pass, target: Value, language: str | None) -> None:
        self.record, self.step, self.walk, self.target, self.language = record, step, walk, target, language
        self.source = sources(step)
        self.names = named(step)
        self.links: list[Link] = []
        self.last: list[tuple[Link, Way]] = []  # what comes to the tensor itself
        self.find_links()

    def __iter__(self) -> Any:
        return iter(self.links)

    def __len__(self) -> int:
        return len(self.links)

    # ------------------------------------------------------------ what is on the way

    def is_target(self, call: Call, at: int) -> bool:
        """Whether an operand is the tensor."""
        found = self.source(call, at)
        if found is None:
            return call.operands[at] is self.target
        return found[0] is self.target.call and found[1] == self.target.output

    def find_links(self) -> None:
        """Goes from the tensor up: what was pulled last stands nearest to it."""
        found: dict[int, Link] = {}
        for pull in reversed(self.walk.pulls):
            call = pull.call
            ways: list[tuple[int, Snapshot, Link | None]] = []
            for at, g in enumerate(pull.outgoing):
                if g is None:
                    continue
                source = self.source(call, at)
                if self.is_target(call, at):
                    ways.append((at, g, None))
                elif source is not None and id(source[0]) in found:
                    ways.append((at, g, found[id(source[0])]))
            if ways and any(x is not None for x in pull.v):
                link = found[id(call)] = Link(len(self.links) + 1, call, pull, self.name_of(call))
                link.ways = [Way(at, self.label(call, at), partial(self.jacobians, pull, at), g, to) for at, g, to in ways]
                self.links.append(link)
        self.links.reverse()
        for link in self.links:
            for way in link.ways:
                (self.last if way.to is None else way.to.came).append((link, way))

    def jacobians(self, pull: Pull, at: int) -> dict[int, Jacobian]:
        """∂result/∂operand, by result."""
        call = pull.call
        if not isinstance(call.operands[at], Value) or len(call.results) != len(pull.v):
            return {}
        return {i: jacobian(call, at, i) for i, v in enumerate(pull.v) if v is not None}

    def name_of(self, call: Call, output: int = 0) -> str:
        """What the program calls a result: its variable, or its module, or the operation with its number."""
        name = self.names.get((call.number, output))
        if name is None and call.op is not None and call.modules and self.ends_module(call):
            name = call.module
        return name or (call.results[output].label if call.results else f"{call.title}#{call.number}")

    def ends_module(self, call: Call) -> bool:
        """Whether it is the last operation of its module's call."""
        following = self.step.calls[call.number + 1 : call.number + 2]
        return not following or following[0].module != call.module

    def label(self, call: Call, at: int) -> str:
        """What an operand is called."""
        source = self.source(call, at)
        if source is not None and not self.is_target(call, at):
            return self.name_of(*source)
        return self.target_name if self.is_target(call, at) else call.operands[at].label

    @property
    def root(self) -> Value | None:
        """What the pass began at."""
        return next((r for r in self.walk.roots if r is not None), None)

    @property
    def root_name(self) -> str:
        """What the program calls it."""
        root = self.root
        return "?" if root is None else self.name_of(root.call, root.output) if root.call is not None else root.label

    @property
    def target_name(self) -> str:
        """What the program calls the tensor."""
        call = self.target.call
        return self.target.label if self.target.name or call is None else self.name_of(call, self.target.output)

    # ------------------------------------------------------------ what came of it

    @cached_property
    def arrival(self) -> Arrival | None:
        """How the gradient came to rest in `.grad`, if it did."""
        return next((a for a in self.walk.arrivals if a.leaf is self.target), None)

    @cached_property
    def gradient(self) -> ndarray | None:
        """∂root/∂tensor, as backward worked it out in this pass; None if its numbers were not kept."""
        if self.arrival is not None:
            return self.arrival.g.array
        return self.total(self.last)

    @staticmethod
    def total(came: list[tuple[Link, Way]]) -> ndarray | None:
        """The sum of what comes, in backward's order."""
        parts = [way.outgoing.array for _, way in came]
        if any(p is None for p in parts) or not parts:
            return None
        total: Any = parts[0]
        for p in parts[1:]:
            total = total + p
        return np.asarray(total)

    # ------------------------------------------------------------ the product

    def product(self, language: str | None = None) -> str:
        """J1ᵀ J2ᵀ ... v with sizes. Vectors that are sums, or that are used twice, get a name and a line of their own."""
        lines = []
        for link in self.links:
            if not self.is_inline(link):
                lines.append(f"v{link.number} = {self.sum_of(link.came)}")
        lines.append(f"∂{self.root_name}/∂{self.target_name} = {self.sum_of(self.last)}")
        return "\n".join(piece for line in lines for piece in broken(line))

    @staticmethod
    def is_inline(link: Link) -> bool:
        """Whether what comes to a link can be written where it is used."""
        return (len(link.ways) == 1 and len(link.came) < 2) or not link.came

    def sum_of(self, came: list[tuple[Link, Way]]) -> str:
        """What comes to one place."""
        return " + ".join(self.run(link, way) for link, way in came)

    def run(self, link: Link, way: Way) -> str:
        """A product of Jacobians back to a vector that has a name."""
        factors: list[str] = []
        while True:
            n, m = way.outgoing.size, sum(x.size for x in link.pull.v if x is not None)
            factors.append(f"{link.letter(way)}ᵀ [{n}×{m}]")
            if not link.came:
                return " · ".join([*factors, f"v [{m}]"])
            if not self.is_inline(link):
                return " · ".join([*factors, f"v{link.number} [{m}]"])
            ((link, way),) = link.came

    # ------------------------------------------------------------ checks

    @cached_property
    def checks(self) -> list[Check]:
        """The gradient against sums, entries of Jacobians, the product from the other end, and finite differences."""
        if self.target.dtype.kind != "f" or self.gradient is None:
            why = f"{self.target.dtype}" if self.target.dtype.kind != "f" else "limit="
            return [Check(kind, "none", why=why) for kind in ("arrivals", "structure", "order", "difference")]
        return [self.check_sums(), self.check_structure(), self.check_order(), *self.check_differences()]

    @property
    def itemsize(self) -> int:
        """Bytes of the least precise number on the way."""
        return min([self.target.dtype.itemsize, *(x.dtype.itemsize for link in self.links for x in link.pull.v if x is not None)])

    @cached_property
    def cancellation(self) -> tuple[float, str]:
        """How much larger the terms of some Jᵀv are than what is left of them, at most, and where."""
        most, where = 1.0, ""
        for link in self.links:
            for way in link.ways:
                left = np.abs(way.outgoing.array).max(initial=0) if way.outgoing.array is not None else 0
                for i, j in way.jacobians.items():
                    v = link.pull.v[i]
                    if left and v is not None and v.array is not None:
                        ratio = j.largest * float(np.abs(v.array).max(initial=0)) / float(left)
                        most, where = max((most, where), (ratio, link.letter(way)))
        return most, where

    def check_sums(self) -> Check:
        """What links send on is what others got."""
        error = 0.0
        for link in self.links:
            for output, v in enumerate(link.pull.v):
                came = [(a, way) for a, way in link.came if (s := self.source(a.call, way.at)) is not None and s[1] == output]
                if v is None or not came or v.array is None or (total := self.total(came)) is None:
                    continue
                error = max(error, relative(total.reshape(v.shape), v.array))
        total = self.total(self.last)
        if total is not None and self.gradient is not None:
            error = max(error, relative(total.reshape(self.target.shape), self.gradient))
        return compared("arrivals", error, self.itemsize)

    def check_structure(self) -> Check:
        """Each product from the entries of its Jacobian."""
        error = 0.0
        for link in self.links:
            for way in link.ways:
                if not way.jacobians or not all(j.known for j in way.jacobians.values()) or way.outgoing.array is None:
                    return Check("structure", "none", why=("unknown", {"number": link.number, "op": link.call.title}))
                product: Any = 0.0
                for i, j in way.jacobians.items():
                    v = link.pull.v[i]
                    if v is None or v.array is None:
                        return Check("structure", "none", why="limit=")
                    product = product + j.transposed(v.array.reshape(-1))
                error = max(error, relative(product.reshape(way.outgoing.shape), way.outgoing.array))
        return compared("structure", error, self.itemsize, cancelled=self.cancellation)

    def check_order(self) -> Check:
        """The Jacobians multiplied from the tensor's end on: (... J3 J2 J1)ᵀ v; of a large tensor, only along some directions."""
        n = self.target.snapshot.size
        whole = n <= WHOLE
        columns = np.eye(n) if whole else np.random.default_rng(0).standard_normal((n, DIRECTIONS))
        reached: dict[tuple[int, int], Any] = {}
        product: Any = 0.0
        for link in reversed(self.links):
            for i, v in enumerate(link.pull.v):
                total: Any = 0.0
                for way in link.ways:
                    source = self.source(link.call, way.at)
                    entering = columns if way.to is None else reached.get((id(way.to), source[1] if source is not None else 0))
                    j = way.jacobians.get(i)
                    if v is None or entering is None:
                        continue
                    if j is None or not j.known or v.array is None:
                        return Check("order", "none", why=("unknown", {"number": link.number, "op": link.call.title}))
                    total = total + j.applied(entering)
                if total is not None and not isinstance(total, float):
                    reached[id(link), i] = total
            if not link.came:
                for i, v in enumerate(link.pull.v):
                    if v is not None and v.array is not None and (id(link), i) in reached:
                        product = product + v.array.reshape(-1).astype(np.float64) @ reached[id(link), i]
        assert self.gradient is not None
        g = self.gradient.reshape(-1).astype(np.float64)
        error = relative(product, g) if whole else self.along(product - g @ columns)
        return compared("order", error, self.itemsize, 0 if whole else DIRECTIONS, cancelled=self.cancellation)

    def along(self, errors: ndarray) -> float:
        """Errors of slopes in random directions, over the length of the gradient."""
        assert self.gradient is not None
        return float(np.abs(errors).max() / (float(np.linalg.norm(self.gradient.astype(np.float64))) or 1.0))

    def check_differences(self) -> list[Check]:
        """Random directions, and single entries."""
        try:
            if len([r for r in self.walk.roots if r is not None]) != 1 or self.root is None:
                raise CannotReplay("the pass has several roots")
            again = Replay(self.step, self.target, self.root)
            first = next((link for link in self.links if not link.came), None)
            if first is None or first.call is not self.root.call:
                raise CannotReplay("the pass did not begin at the root's own operation")
            seed = np.asarray(double_of(first.pull.v[self.root.output]))
            x, g = double(self.target), self.gradient
            assert g is not None
            rng = np.random.default_rng(1)
            directions = [rng.standard_normal(x.shape) for _ in range(DIRECTIONS)]
            units = []
            for place in entries(self.target, DIRECTIONS):
                unit = np.zeros(x.shape)
                unit[place] = 1
                units.append(unit)
            found = []
            for kind, chosen in (("difference", directions), ("entries", units)):
                slopes = [difference(lambda t, d=d: float((seed * again(x + t * d)).sum()), steps_of(x, d)) for d in chosen]  # type: ignore[misc]
                errors = np.array([s.slope - float((g * d).sum()) for s, d in zip(slopes, chosen, strict=True)])
                unsure = self.along(np.array([s.uncertainty for s in slopes]))
                found.append(compared(kind, self.along(errors), self.itemsize, len(chosen), unsure, DIFFERENCE, self.cancellation))
            return found
        except CannotReplay as error:
            return [Check("difference", "none", count=DIRECTIONS, why=str(error))]

    # ------------------------------------------------------------ shown

    def parts(self, language: str) -> list[Shows]:
        say = CHAIN[language]
        root, target = self.root_name, self.target_name
        first = self.links[0].v
        seed = (
            number(float(first.array.reshape(-1)[0])) if first.array is not None and first.size == 1 else say["seed"].format(n=first.size)
        )
        count = sum(len(link.ways) for link in self.links)
        title = say["title one" if count == 1 else "title"].format(root=root, target=target, n=count)
        head = f"── {title} " + "─" * max(0, WIDTH - len(title) - 4)
        shown: list[Shows] = [head, "\n".join(wrapped(say["about"].format(seed=seed, root=root)))]
        shown += [self.paragraph(link, language) for link in self.links] if len(self.links) <= FEW else [self.table(language)]
        lines = [say["product"], *("    " + line for line in shortened(self.product(language).split("\n"), 16, "⋮"))]
        g = Snapshot(self.gradient) if self.gradient is not None else None
        lines.append("    " + say["gradient"].format(root=root, target=target, shape=shape_of(self.target.shape), numbers=first_numbers(g)))
        if self.arrival is not None:
            n = self.arrival.passes
            lines.append("    " + (say["arrived"] if n == 1 else say["added"]).format(target=target, n=n))
        shown.append("\n".join(lines))
        checks = ["    " + line for check in self.checks for line in wrapped(check.sentence(language, root, target), WIDTH - 4)]
        return [*shown, "\n".join([say["checks"], *checks])]

    def paragraph(self, link: Link, language: str) -> str:
        """One link in some lines."""
        say, call = CHAIN[language], link.call
        lines = [say["entry"].format(number=link.number, name=link.name, op=call.title)]
        if call.place is not None:
            lines.append(
                say["where"].format(line=call.place.line, file=os.path.basename(call.place.file), text=call.place.text).rstrip(": ")
            )
            if call.module:
                lines[-1] += "  (" + say["module"].format(module=call.module) + ")"
        if len(link.came) > 1:
            terms = " + ".join(f"{a.letter(way)}ᵀ…" for a, way in link.came)
            lines.append(say["joined"].format(n=len(link.came), terms=terms))
        lines.append(say["incoming"].format(shape=shape_of(link.v.shape), numbers=first_numbers(link.v)))
        for way in link.ways:
            result, product = formula(link.key, link.operands, way.at, language)
            sizes = ", ".join(f"{link.letter(way)} [{j.m}×{j.n}]: {j.sentence(language)}" for j in way.jacobians.values())
            shown = [result] if way is link.ways[0] else []
            lines.append("    ".join([*shown, product] if product != "Jᵀv = Jᵀ v" else shown))
            lines.append(say["for"].format(operand=way.label) + (sizes or link.letter(way)))
            lines.append(say["outgoing"].format(shape=shape_of(way.outgoing.shape), numbers=first_numbers(way.outgoing)))
        return "\n".join([lines[0], *("    " + piece for line in lines[1:] if line for piece in wrapped(line, WIDTH - 4))])

    def table(self, language: str) -> Table:
        """All links, a row for each operand on the way."""
        say = CHAIN[language]
        ways = shortened([(link, way) for link in self.links for way in link.ways], 40, None)
        rows = [("⋮", *[""] * 6) if found is None else self.row(*found) for found in ways]
        title = say["table"].format(root=self.root_name, target=self.target_name)
        return Table(COLUMNS[language], rows, title, right=frozenset((3, 4, 5, 6)), optional=(6,))

    @staticmethod
    def row(link: Link, way: Way) -> tuple[str, ...]:
        """One of them."""
        j = way.jacobian
        size = "–" if j is None else f"{j.m}×{j.n}"
        line = "–" if link.call.place is None else str(link.call.place.line)
        norms = (number(link.v.summary.norm), number(way.outgoing.summary.norm))
        return link.letter(way), link.name, link.call.title, size, *norms, line

    def to_dict(self, language: str | None = None, ticks: bool = True) -> dict[str, Any]:
        """All that is shown, for JSON: arrays by their first corner and their statistics.

        Args:
            language: of the texts; None: its own.
            ticks: each product is held against finite differences of its operation, too.
        """
        language = known_language(language or self.language)
        root, target = self.root_name, self.target_name
        checks = [
            {"kind": c.kind, "verdict": c.verdict, "error": finite(c.error), "text": c.sentence(language, root, target)}
            for c in self.checks
        ]
        return {
            "root": root, "target": target, "language": language, "product": self.product(language),
            "gradient": None if self.gradient is None else array_of(Snapshot(self.gradient)),
            "passes": None if self.arrival is None else self.arrival.passes, "checks": checks,
            "links": [self.link_dict(link, language, ticks) for link in self.links],
        }  # fmt: skip

    def link_dict(self, link: Link, language: str, ticks: bool) -> dict[str, Any]:
        """One link."""
        call, place = link.call, link.call.place
        value = call.results[0].snapshot if call.results else None
        ways = []
        for way in link.ways:
            j, tick = way.jacobian, link.tick(way) if ticks else None
            result, product = formula(link.key, link.operands, way.at, language)
            math_result, math_product = mathml(link.key, link.operands, way.at, language)
            ways.append({
                "letter": link.letter(way), "operand": way.label, "at": way.at, "to": None if way.to is None else way.to.number,
                "jacobian": None if j is None else jacobian_dict(j, language), "outgoing": array_of(way.outgoing),
                "formula": result, "product": product, "mathml": math_result, "mathml_product": math_product,
                "tick": None if tick is None else [finite(t) for t in tick],
            })  # fmt: skip
        return {
            "number": link.number, "call": call.number, "op": call.title, "name": link.name, "module": call.module,
            "place": None if place is None else {"file": place.file, "line": place.line, "text": place.text},
            "value": None if value is None else array_of(value), "v": [None if x is None else array_of(x) for x in link.pull.v],
            "came": [a.letter(way) for a, way in link.came], "ways": ways,
        }  # fmt: skip


def double_of(snapshot: Snapshot | None) -> ndarray:
    """A cotangent's numbers in double precision. Raises CannotReplay if they were not kept."""
    if snapshot is None or snapshot.array is None:
        raise CannotReplay("the numbers that the pass began with were not kept")
    return snapshot.array.astype(np.float64)


def finite(x: float) -> float | None:
    """A number as JSON has it."""
    return float(x) if np.isfinite(x) else None


def array_of(snapshot: Snapshot) -> dict[str, Any]:
    """An array's shape, statistics and first corner."""
    s = snapshot.summary
    found: dict[str, Any] = {"shape": list(snapshot.shape), "dtype": str(snapshot.dtype), "norm": finite(s.norm), "mean": finite(s.mean)}
    found |= {"least": finite(s.least), "most": finite(s.most), "zeros": s.zeros, "nans": s.nans, "infinities": s.infinities}
    if snapshot.array is not None:
        lead = max(0, len(snapshot.shape) - 2)
        part = np.asarray(snapshot.array[(*[slice(1)] * lead, *[slice(CORNER)] * (len(snapshot.shape) - lead))])
        found["corner"] = nested(part.astype(np.float64) if part.dtype.kind in "fV" else np.abs(part) if part.dtype.kind == "c" else part)
    return found


def nested(array: ndarray) -> Any:
    """An array as lists, None where a number is not finite."""
    if array.ndim:
        return [nested(x) for x in array]
    return finite(float(array)) if array.dtype.kind == "f" else array.item()


def jacobian_dict(j: Jacobian, language: str) -> dict[str, Any]:
    """A Jacobian's size, structure and first corner."""
    corner = nested(np.asarray(j.entries(CORNER), np.float64)) if j.pull is not None and j.dtype.kind == "f" else None
    return {"m": j.m, "n": j.n, "kind": j.kind, "text": j.sentence(language), "places": j.places, "nonzero": j.nonzero, "corner": corner}


def first_numbers(snapshot: Snapshot | None, count: int = 5) -> str:
    """The first numbers of an array in a row."""
    if snapshot is None or snapshot.array is None:
        return "…"
    flat = snapshot.array.reshape(-1)
    shown = ", ".join(number(abs(x) if isinstance(x, complex) else float(x)) for x in flat[:count].tolist())
    return shown if flat.size == 1 else f"({shown}{', …' if flat.size > count else ''})"


def shortened(items: list[Any], most: int, gap: Any) -> list[Any]:
    """The first and the last of many."""
    return items if len(items) <= most else [*items[: most // 2], gap, *items[-most // 2 :]]


def wrapped(text: str, width: int = WIDTH) -> list[str]:
    """Words in lines."""
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append(word)
        else:
            lines[-1] += (" " if len(lines) > 1 or lines[-1] else "") + word
    return lines


def broken(line: str, width: int = WIDTH - 8) -> list[str]:
    """A product in lines, broken before a factor."""
    pieces, lines = line.split(" · "), [""]
    for i, piece in enumerate(pieces):
        joined = piece if i == 0 else f" · {piece}"
        if len(lines[-1]) + len(joined) > width:
            lines.append("    ·" + joined[2:])
        else:
            lines[-1] += joined
    return lines


__all__ = ["Chain", "Check", "Link", "Way", "chain"]
