"""What a record shows, in the form that detectors ask for: who uses a value, what led from one to another, what happened to a leaf.

Knows nothing of any fault.
"""

from __future__ import annotations

import heapq
import itertools
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy import ndarray

from retrograd.seeing.record import Arrival, Call, Event, Pass, Place, Pull, Record, Snapshot, Step, Update, Value

VIEWS = frozenset(["view", "expand", "permute", "select", "slice", "unbind", "split", "flip", "_to_copy", "clone", "unfold", "diagonal"])
REDUCTIONS = frozenset(["sum", "mean"])
FLAT = frozenset(["round", "floor", "ceil", "trunc", "sign", "sgn", "heaviside", "floor_divide", "div_floor", "div_trunc"])
CHOICES = frozenset(["where", "masked_fill"])  # of two branches, for each element


LOOKED = re.compile(
    r"\.grad\s+is\b|\.grad\s*[!=]=|\b(if|not|and|or)\s+[\w.\[\]]+\.grad\s*(:|\band\b|\bor\b|\belse\b|$)"
)  # asks whether there is one
FEW_NUMBERS = 256  # of a tensor that may have been made of numbers, one by one


@dataclass(frozen=True)
class Link:
    """One way in which numbers went from one value to another.

    `kind`: "call" (on the tape), "plain" (an operation on what needs no gradient), or where the tape was cut: "no_grad", "discrete" (an
    operation without a derivative), "detached" (`.detach()`, `.data`), "number" (the same numbers came back without history).
    """

    kind: str
    source: Value
    target: Value
    place: Place | None
    call: Call | None = None

    @property
    def cut(self) -> bool:
        """Whether no gradient comes back over it."""
        return self.kind not in ("call", "plain")


class Scene:
    """One step, with its values connected."""

    def __init__(self, step: Step, seen: Evidence) -> None:
        self.step, self.seen = step, seen
        self.at = {id(what): i for i, what in enumerate(step.order)}

    def at_of(self, moment: Moment) -> int:
        """When something of the step happened: its place in the order of all that did."""
        return self.at[id(moment.walk or moment.what)]

    @cached_property
    def uses(self) -> dict[int, list[Call]]:
        """By id of a value: the calls that took it."""
        found: dict[int, list[Call]] = {}
        for call in self.step.calls:
            for value in call.values():
                users = found.setdefault(id(value), [])
                if not users or users[-1] is not call:
                    users.append(call)
        return found

    @cached_property
    def pulls(self) -> dict[int, list[Pull]]:
        """By id of a call: what backward passes did there."""
        found: dict[int, list[Pull]] = {}
        for walk in self.step.passes:
            for pull in walk.pulls:
                found.setdefault(id(pull.call), []).append(pull)
        return found

    @cached_property
    def roots(self) -> list[Value]:
        """Where backward passes began."""
        return list({id(root): root for walk in self.step.passes for root in walk.roots if root is not None}.values())

    @cached_property
    def links(self) -> dict[int, list[Link]]:
        """By id of a value: where its numbers went."""
        found: dict[int, list[Link]] = {}
        for call in self.step.calls:
            for source in call.values():
                for target in call.results:
                    kind = "call" if source.requires_grad and target.requires_grad else "plain"
                    if source.requires_grad and not target.requires_grad:
                        kind = "discrete" if call.grad else "no_grad"
                    found.setdefault(id(source), []).append(Link(kind, source, target, call.place, call))
        for event in self.step.events:
            if event.kind == "shared" and event.value is not None and isinstance(event.about, Value):
                kind = "detached" if event.value.requires_grad else "plain"
                found.setdefault(id(event.value), []).append(Link(kind, event.value, event.about, event.place))
            elif event.kind == "copied" and event.value is not None and isinstance(event.about, Value):
                kind = "number" if event.value.requires_grad else "plain"
                found.setdefault(id(event.value), []).append(Link(kind, event.value, event.about, event.place))
            elif event.kind == "wrote" and event.value is not None and isinstance(event.about, Value):
                kind = "call" if event.value.requires_grad or not event.about.requires_grad else "no_grad"
                found.setdefault(id(event.about), []).append(Link(kind, event.about, event.value, event.place))
        for link in self.returns():
            found.setdefault(id(link.source), []).append(link)
        return found

    def returns(self) -> Iterator[Link]:
        """Values that came back without history: an input, a leaf, or a number, that has exactly the numbers of an earlier result."""
        shared = {id(e.about) for e in self.step.events if e.kind in ("shared", "copied")}
        wanted: dict[tuple[tuple[int, ...], Any], list[Value]] = {}
        for value in self.step.values:
            array = value.snapshot.array
            if value.kind in ("input", "leaf") and id(value) not in shared and array is not None and is_telling(array):
                wanted.setdefault((value.shape, value.dtype), []).append(value)
        numbers: dict[float, tuple[Value, Place | None, Call | None]] = {}
        for values in wanted.values():
            for target in values:
                if target.snapshot.size <= FEW_NUMBERS:
                    numbers |= {float(x): (target, target.place, None) for x in target.snapshot.array.reshape(-1)}  # type: ignore[union-attr]
        for call in self.step.calls:
            if any(isinstance(x, float) for x in call.operands):
                numbers |= {float(x): (r, call.place, call) for x in call.operands if isinstance(x, float) for r in call.results}
        for source in self.step.values:
            if source.kind not in ("result", "earlier") or source.snapshot.array is None or not source.requires_grad:
                continue
            for target in wanted.get((source.shape, source.dtype), ()):
                if target.number > source.number and np.array_equal(source.snapshot.array, target.snapshot.array):  # type: ignore[arg-type]
                    yield Link("number", source, target, target.place)
            if source.snapshot.size == 1 and numbers and is_telling(source.snapshot.array):
                found = numbers.get(float(source.snapshot.array.real.item()))
                if found is not None and found[0].number > source.number:
                    yield Link("number", source, *found)

    @cached_property
    def back(self) -> dict[int, list[Link]]:
        """By id of a value: where its numbers came from."""
        found: dict[int, list[Link]] = {}
        for links in self.links.values():
            for link in links:
                found.setdefault(id(link.target), []).append(link)
        return found

    def first_cuts(self, ends: Sequence[Value]) -> dict[int, Link | None]:
        """By id of a value from which a way leads to one of the ends: the first cut on the way with the fewest; None if it has none.

        Of two ways with one cut, that under no_grad is the more likely to be meant.
        """
        first: dict[int, Link | None] = {id(v): None for v in ends}
        costs, done = dict.fromkeys(first, 0), set()
        order = itertools.count()
        waiting = [(0, next(order), value) for value in ends]
        while waiting:
            _, _, value = heapq.heappop(waiting)
            if id(value) in done:
                continue
            done.add(id(value))
            for link in self.back.get(id(value), ()):
                cost = costs[id(value)] + (0 if not link.cut else 3 if link.kind == "no_grad" else 2)
                if cost < costs.get(id(link.source), 1 << 30):
                    costs[id(link.source)], first[id(link.source)] = cost, link if link.cut else first[id(value)]
                    heapq.heappush(waiting, (cost, next(order), link.source))
        return first

    @cached_property
    def cuts_to_roots(self) -> dict[int, Link | None]:
        """The same on the ways to where backward passes began."""
        return self.first_cuts(self.roots)

    def towards(self, wanted: Callable[[Link], bool]) -> dict[int, Link]:
        """By id of a value from which links, cut or not, lead to one that is wanted: the nearest of these."""
        links = [link for links in self.links.values() for link in links if wanted(link)]
        found: dict[int, Link] = {}
        queue = deque((link.source, link) for link in links)
        while queue:
            value, link = queue.popleft()
            if id(value) not in found:
                found[id(value)] = link
                queue += ((before.source, link) for before in self.back.get(id(value), ()))
        return found

    @cached_property
    def cuts(self) -> dict[int, Link]:
        """The nearest cut that is reached from a value."""
        return self.towards(lambda link: link.cut)

    @cached_property
    def chosen(self) -> dict[int, Link]:
        """The nearest choice between branches that is reached from a value, as one of these."""
        return self.towards(lambda link: link.call is not None and link.call.name in CHOICES and link.source.dtype.kind != "b")

    @cached_property
    def weighed(self) -> dict[int, Link]:
        """Where, after a value, weights take part in what leads to a loss."""
        return self.towards(
            lambda link: link.call is not None and id(link.target) in self.leading and any(map(is_weight, link.call.values()))
        )

    @cached_property
    def stepped_flat(self) -> dict[int, Link]:
        """Where, after a value, an operation that is flat between its jumps let nothing of a gradient through."""
        return self.towards(
            lambda link: (
                link.call is not None and link.call.name in FLAT
                and any(v is not None and not is_zero(v) for pull in self.pulls.get(id(link.call), ()) for v in pull.v)
            )
        )  # fmt: skip

    @cached_property
    def recorded(self) -> dict[int, Link]:
        """Where, after a value, an operation ran with gradients on."""
        return self.towards(lambda link: link.call is not None and link.call.grad)

    @cached_property
    def leading(self) -> set[int]:
        """Ids of all values from which a way without cuts leads to a root."""
        queue, met = deque(self.roots), {id(r) for r in self.roots}
        while queue:
            for link in self.back.get(id(queue.popleft()), ()):
                if not link.cut and id(link.source) not in met:
                    met.add(id(link.source))
                    queue.append(link.source)
        return met


PRODUCTS = ("mm", "bmm", "mv")
LAYERS = ("linear", "convolution", "convolution_transpose")


def is_weight(value: Value) -> bool:
    """Whether it may be trained: a parameter, or another leaf that needs a gradient."""
    return value.kind in ("parameter", "leaf") and value.requires_grad


def is_telling(array: ndarray) -> bool:
    """Whether numbers are so particular that they are not the same by chance."""
    if array.dtype.kind != "f" or not array.size:
        return False
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.any((array != np.round(array, 3)) & np.isfinite(array)))


@dataclass(frozen=True)
class Moment:
    """Something that happened to a leaf, in the order in which it did."""

    step: Step
    what: Arrival | Update | Event
    walk: Pass | None = None  # of an arrival

    @property
    def leaf(self) -> Value:
        """The leaf."""
        found = self.what.value if isinstance(self.what, Event) else self.what.leaf
        assert found is not None
        return found


class Evidence:
    """A record, as detectors look at it."""

    def __init__(self, record: Record) -> None:
        self.record, self.steps = record, list(record.steps)
        self.scenes = [Scene(step, self) for step in self.steps]
        self.lacking: list[str] = []  # tensors of which the detector at work wanted numbers that were not kept

    # ------------------------------------------------------------ what there is

    def has(self, need: str) -> bool:
        """Whether the record has what a detector needs."""
        if need == "passes":
            return any(step.passes for step in self.steps)
        if need == "updates":
            return any(step.updates for step in self.steps)
        if need == "stepped":
            return any(event.kind == "stepped" for step in self.steps for event in step.events)
        if need == "several":
            return any(self.consecutive(a, b) for a, b in pairwise(self.steps))
        if need == "modules":
            return any(step.visits for step in self.steps)
        if need == "failure":
            return self.record.failure is not None
        return bool(self.steps)

    def consecutive(self, a: Step, b: Step) -> bool:
        """Whether nothing went unwatched between two steps."""
        return 0 <= b.number - a.number == self.places[b.number] - self.places[a.number]

    @cached_property
    def places(self) -> dict[int, int]:
        """By number of a step: which of those that were kept it is."""
        return {step.number: i for i, step in enumerate(self.steps)}

    # ------------------------------------------------------------ numbers

    def array(self, snapshot: Snapshot, label: str) -> ndarray | None:
        """The numbers; None, and a note that the detector could not look, if they were not kept."""
        if snapshot.array is None and label not in self.lacking:
            self.lacking.append(label)
        return snapshot.array

    # ------------------------------------------------------------ leaves over time

    @cached_property
    def moments(self) -> dict[Any, list[Moment]]:
        """By leaf (see `leaf_of`): what happened to it over the kept steps."""
        found: dict[Any, list[Moment]] = {}
        for step in self.steps:
            for what in step.order:
                if isinstance(what, Pass):
                    for arrival in what.arrivals:
                        found.setdefault(leaf_of(arrival.leaf), []).append(Moment(step, arrival, what))
                elif isinstance(what, Update):
                    found.setdefault(leaf_of(what.leaf), []).append(Moment(step, what))
                elif isinstance(what, Event) and what.kind in ("cleared", "set") and what.value is not None:
                    found.setdefault(leaf_of(what.value), []).append(Moment(step, what))
        return found

    @cached_property
    def parameters(self) -> dict[Any, list[tuple[Scene, Value]]]:
        """By leaf: parameters that took part in calls, or that an optimizer was given, in each step; not those that need no gradient any more."""
        found: dict[Any, list[tuple[Scene, Value]]] = {}
        for scene in self.scenes:
            for value in scene.step.values:
                if value.kind in ("parameter", "leaf"):
                    found.setdefault(leaf_of(value), []).append((scene, value))
        return {leaf: [use for use in uses if use[1].requires_grad] for leaf, uses in found.items() if uses[-1][1].requires_grad}

    @cached_property
    def asked(self) -> list[tuple[Scene, Event]]:
        """Where the program asked for a `.grad` that was None, after a backward pass; not where it looked whether it is."""
        found, walked = [], False
        for scene in self.scenes:
            for what in scene.step.order:
                walked = walked or isinstance(what, Pass)
                if (
                    walked
                    and isinstance(what, Event)
                    and what.kind == "asked"
                    and what.place is not None
                    and not LOOKED.search(what.place.text)
                ):
                    found.append((scene, what))
        return found

    def same(self, value: Value) -> list[tuple[Scene, Value]]:
        """The values that a tensor was in the steps that were kept."""
        return [(scene, v) for scene in self.scenes for v in scene.step.values if v.tensor is value.tensor]

    def maker(self, value: Value) -> Call | None:
        """The call that made a value, in its own step or in an earlier one."""
        return value.call or next((v.call for _, v in self.same(value) if v.call is not None), None)

    @cached_property
    def given(self) -> dict[Any, Value]:
        """By leaf: the parameters that optimizers which took a step were given."""
        return {leaf_of(value): value for step in self.steps for event in step.events if event.kind == "stepped" for value in event.given}

    @cached_property
    def optimizers(self) -> set[int | None]:
        """The numbers of the optimizers that took a step."""
        return {event.number for step in self.steps for event in step.events if event.kind == "stepped"}

    def beginning(self, place: Place | None) -> list[float]:
        """The first losses of a line, from steps that may not have been kept."""
        return [] if place is None else self.record.beginnings.get((place.code, place.instruction), [])

    def losses(self) -> dict[Any, list[tuple[Step, Pass, float]]]:
        """Losses that are one number, by the place of the backward pass, in order."""
        found: dict[Any, list[tuple[Step, Pass, float]]] = {}
        for step in self.steps:
            for walk in step.passes:
                root = walk.roots[0] if walk.roots else None
                if root is not None and root.snapshot.size == 1 and root.snapshot.array is not None and walk.place is not None:
                    found.setdefault(walk.place, []).append((step, walk, float(root.snapshot.array.real.item())))
        return found


# ---------------------------------------------------------------- looking at values


def leaf_of(value: Value) -> Any:
    """What is the same for the values of one leaf in all steps, and for no other's: two modules may have parameters of one name."""
    return value.label if value.tensor is None else id(value.tensor)  # a tensor has one weak reference, which outlives it


def source_of(value: Value) -> Value:
    """The value that another is a view or a copy of, through whatever many."""
    while value.call is not None and value.call.op is not None and value.call.name in VIEWS:
        first = next(value.call.values(), None)
        if first is None:
            break
        value = first
    return value


def made_by(value: Value, *names: str) -> Call | None:
    """The call of one of these operations that made a value, or what it is a view of."""
    call = source_of(value).call
    return call if call is not None and call.name in names else None


def is_bad(snapshot: Snapshot | None, kinds: str = "nan inf") -> bool:
    """Whether there is a nan, or an inf, in it."""
    if snapshot is None or snapshot.dtype.kind not in "fc":
        return False
    if snapshot.array is None:
        return bool(("nan" in kinds and snapshot.summary.nans) or ("inf" in kinds and snapshot.summary.infinities))
    if np.isfinite(snapshot.array).all():
        return False
    return bool(("nan" in kinds and np.isnan(snapshot.array).any()) or ("inf" in kinds and np.isinf(snapshot.array).any()))


def is_zero(snapshot: Snapshot) -> bool:
    """Whether all its numbers are zero."""
    if snapshot.array is None:
        summary = snapshot.summary
        return summary.zeros == summary.size
    return not snapshot.array.any()


def norm_of(snapshot: Snapshot) -> float:
    """The Euclidean norm of its numbers; nan if they are not finite."""
    if snapshot.array is None:
        return float("nan") if is_bad(snapshot) else snapshot.summary.norm
    return float(np.linalg.norm(snapshot.array.reshape(-1).astype(np.complex128 if snapshot.array.dtype.kind == "c" else np.float64)))


def rms_of(snapshot: Snapshot) -> float:
    """The root of the mean square of its numbers."""
    return norm_of(snapshot) / max(snapshot.size, 1) ** 0.5


# ---------------------------------------------------------------- the program's own words


def words_of(update: Update) -> str:
    """How the program says an update."""
    return (update.place.expression if update.place is not None else "") or "optimizer.step()"


def receiver(place: Place | None, method: str, otherwise: str) -> str:
    """What a method was called on, in the program's words: `opt` in `opt.step()`."""
    found = re.search(rf"([A-Za-z_][\w.\[\]]*)\.{method}\(", "" if place is None else place.expression or place.text)
    return found[1] if found else otherwise


def expression_of(value: Value, otherwise: str = "x") -> str:
    """How the program may be told about a value: by its name, or the expression that made it."""
    if value.name:
        return value.name
    place = value.call.place if value.call is not None else None
    return (place.expression if place is not None else "") or otherwise


def is_simple(expression: str) -> bool:
    """Whether a method may be called on an expression as it stands: a name, an attribute, a call."""
    return re.fullmatch(r"[\w.]+(\([^()]*\)|\[[^\[\]]*\])*", expression) is not None


def named(value: Value) -> str:
    """A value's label with the expression that made it."""
    if value.name or value.call is None or value.call.place is None or not value.call.place.expression:
        return value.label
    return f"{value.label} ({value.call.place.expression})"


def weight_of(call: Call) -> Value | None:
    """The matrix, or kernel, of trained weights by which an operation multiplies its data."""
    candidates = call.operands[1:2] if call.name in LAYERS else reversed(call.operands) if call.name in PRODUCTS else ()
    return next((v for v in candidates if isinstance(v, Value) and is_weight(v) and len(v.shape) > 1), None)


def units_first(call: Call, array: ndarray) -> ndarray:
    """The weights of such an operation with its output units as rows."""
    columns = call.name == "convolution_transpose" or (call.name in PRODUCTS and weight_of(call) is call.operands[1])
    return np.moveaxis(array, -1 if call.name in PRODUCTS else 1, 0) if columns else array


def in_module(call: Call) -> str:
    """The path of the module that a call ran in, or the call's own name."""
    return call.module or f"{call.title}#{call.number}"


def site(call: Call) -> tuple[Any, ...]:
    """What is the same for a call in every step."""
    return call.place, call.modules, call.name, tuple(r.shape for r in call.results)
