"""A record as the page takes it: JSON of steps, arrays, lines of source, and results in both languages."""

from __future__ import annotations

import json
import linecache
import math
import os
from collections.abc import Callable, Sequence
from types import CodeType
from typing import Any

import numpy as np

from retrograd.seeing.diagnosis.diagnose import diagnose
from retrograd.seeing.flow import Flow
from retrograd.seeing.formulas import FORMULAS, mathml
from retrograd.seeing.language import LANGUAGES
from retrograd.seeing.ledger import ledger
from retrograd.seeing.names import named, ran
from retrograd.seeing.page.arrays import Arrays, number
from retrograd.seeing.page.graph import Groups, came_from_outside
from retrograd.seeing.page.products import Products
from retrograd.seeing.page.walk import moments
from retrograd.seeing.record import Arrival, Call, Event, Failure, Pass, Place, Record, Snapshot, Step, Update, Value
from retrograd.seeing.replay import Source, sources
from retrograd.seeing.text import Part, Shown

AROUND = 3  # lines of source above and beneath the one that is meant
ROOM = 4_000_000  # characters that steps may take without their arrays; the newest may always have what it needs
LONGEST = 80  # characters of a parameter of a call
SMALLEST_IMAGE = 5  # rows of weights that are squares of fewer pixels are no images
SHAPE_OF_IMAGE = {1, 3}  # planes


def data_of(record: Record, steps: Sequence[Step] | None = None, brief: bool = False) -> dict[str, Any]:
    """What the page shows of a record. Steps that would make it too large are left out, the oldest first, and counted in "left out".

    Args:
        steps: those of the record's to show; None: all that were kept whole.
        brief: leave out what takes long to work out: Jacobians, checks of chains, ledger, diagnosis and flow.

    >>> import retrograd as torch
    >>> w = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> with torch.see() as record:
    ...     (w * w).sum().backward()
    >>> [moment["kind"] for moment in data_of(record)["steps"][0]["moments"]]
    ['call', 'call', 'seed', 'pull', 'pull', 'arrival']
    """
    return Builder(record, brief).build(record.steps if steps is None else steps)


class Builder:
    """Makes the JSON of one page."""

    def __init__(self, record: Record, brief: bool = False) -> None:
        self.record, self.brief = record, brief
        self.arrays = Arrays()
        self.products = Products(record, self.held)
        self.files: dict[str, str] = {}  # a file's path: the name that the page shows
        self.lines: dict[str, dict[int, str]] = {}
        self.places: dict[tuple[CodeType, int], dict[str, Any]] = {}
        self.known: dict[str, dict[str, list[str]]] = {}  # formulas
        self.names: dict[tuple[int, int], str] = {}  # of the step's results, as the program calls them
        self.failing: int | None = None  # which call of its step crashed
        self.kept: list[Any] = []  # arrays are known by their ids: those made here must live as long

    def build(self, steps: Sequence[Step]) -> dict[str, Any]:
        """All of it, the newest step first: it has the first claim to what room and work there is."""
        done: list[dict[str, Any]] = []
        room = ROOM
        for age, step in enumerate(reversed(steps)):
            before, self.arrays.age = len(self.arrays), age
            made = self.step(step)
            room -= len(json.dumps(made))
            if room < 0 and done:
                self.arrays.forget(before)
                break
            done.append(made)
        failure = self.record.failure
        return {
            "steps": done[::-1],
            "left out": len(steps) - len(done),
            "watched": self.record.watched,
            "failure": None if failure is None else self.failure(failure),
            "arrays": self.arrays.encoded(),
            "lines": self.lines,
            "formulas": self.known,
            "results": {}
            if self.brief or not self.record.steps
            else {name: in_languages(f()) for name, f in results_of(self.record).items()},
        }

    # ------------------------------------------------------------ steps

    def step(self, step: Step) -> dict[str, Any]:
        """One step."""
        groups = Groups(step)
        self.names = named(step)
        images = images_of(step)
        root = step.root
        source = sources(step)
        values = [self.value(v, groups, images.get(v.number)) for v in step.values]
        calls = [self.call(c, groups, source) for c in step.calls]
        plain, told = groups.plain(), moments(step)
        failure = self.record.failure
        if failure is not None and failure.step == step.number:
            told.append({"kind": "crash"})
            self.failing = None if failure.backward is None else failure.backward.number
            if failure.backward is None and failure.operation is not None:
                self.failing = len(calls)
                calls.append(self.failed_call(failure, plain))
                taken = {v.number for call in step.calls for v in call.values()}
                for x in failure.operands:  # what it alone takes stands where it does
                    if isinstance(x, Value) and x.call is None and x.number not in taken and not came_from_outside(x):
                        values[x.number]["group"] = calls[-1]["group"]
        return {
            "number": step.number,
            "root": None if root is None else root.number,
            "loss": scalar(root),
            "dropped": step.dropped,
            "values": values,
            "calls": calls,
            "groups": plain,
            "passes": [self.one_pass(p, images) for p in step.passes],
            "updates": [self.update(u, images) for u in step.updates],
            "events": [self.event(e) for e in step.events],
            "moments": told,
            "checks": {} if self.brief else self.products.of_step(step),
        }

    def value(self, value: Value, groups: Groups, image: tuple[int, int] | None) -> dict[str, Any]:
        """A tensor."""
        group = groups.of_value.get(value.number)
        return {
            "kind": value.kind,
            "name": value.name,
            "label": self.label(value),
            "array": self.arrays.add(value.snapshot, image),
            "call": None if value.call is None else value.call.number,
            "output": value.output,
            "requires_grad": value.requires_grad,
            "place": self.place(value.place),
            "group": None if group is None else group.number,
        }

    def label(self, value: Value) -> str:
        """What a tensor is called; of several results without names, those after the first by what they are to the operation."""
        call = value.call
        name = value.name or (None if call is None else self.names.get((call.number, value.output)))
        if name or call is None or not value.output:
            return name or value.label
        outputs = call.op.outputs if call.op is not None else ()
        return f"{value.label}.{outputs[value.output]}" if len(outputs) == len(call.results) else f"{value.label}[{value.output}]"

    def call(self, call: Call, groups: Groups, source: Callable[[Call, int], Source | None]) -> dict[str, Any]:
        """An operation that ran. `sources` tells of each operand the call and the result that it is on the tape, if any."""
        group = groups.of_call.get(call.number)
        found = [source(call, at) for at in range(len(call.operands))]
        return {
            "name": call.title,
            "operands": [operand(x) for x in call.operands],
            "sources": [None if x is None else [x[0].number, x[1]] for x in found],
            "formulas": self.formulas(call),
            "params": {k: short(v) for k, v in call.params.items()},
            "results": [v.number for v in call.results],
            "place": self.place(call.place),
            "modules": [list(m) for m in call.modules],
            "group": None if group is None else group.number,
            "grad": call.grad,
            "ran": ran(call),
            "jacobians": self.products.of_call(call) if call.pulls and not self.brief else None,
        }

    def failed_call(self, failure: Failure, groups: list[dict[str, Any]]) -> dict[str, Any]:
        """The operation that crashed: it has operands and no results. It stands in the group of the module that was running."""
        group = None
        for path, kind in failure.modules:
            last = next((n for n in range(len(groups) - 1, -1, -1) if groups[n]["path"] == path and groups[n]["parent"] == group), None)
            if last is None:
                last = len(groups)
                groups.append({"path": path, "kind": kind, "parent": group})
            group = last
        return {
            "name": failure.operation, "operands": [operand(x) for x in failure.operands], "sources": [None] * len(failure.operands),
            "formulas": None, "params": {}, "results": [], "place": self.place(failure.place), "modules": [list(m) for m in failure.modules],
            "group": group, "grad": True, "ran": True, "jacobians": None,
        }  # fmt: skip

    def one_pass(self, pass_: Pass, images: dict[int, tuple[int, int]]) -> dict[str, Any]:
        """A backward pass."""
        return {
            "roots": [None if r is None else r.number for r in pass_.roots],
            "place": self.place(pass_.place),
            "pulls": [
                {
                    "call": pull.call.number,
                    "v": [self.arrays.add(v) for v in pull.v],
                    "outgoing": [self.arrays.add(out, image_of(x, images)) for x, out in zip_operands(pull.call, pull.outgoing)],
                }
                for pull in pass_.pulls
            ],
            "arrivals": [self.arrival(a, images.get(a.leaf.number)) for a in pass_.arrivals],
        }

    def formulas(self, call: Call) -> str:
        """The key of a call's formulas: in each language the result's, then of each operand that of Jᵀv, as MathML."""
        name, count = call.name, len(call.operands)
        summed = " sum" if f"{name} sum" in FORMULAS and call.params.get("mean") is False else ""
        key = f"{name}{summed} {count}"
        if key not in self.known:
            made = {language: [mathml(name + summed, at=i, language=language) for i in range(max(1, count))] for language in LANGUAGES}
            self.known[key] = {language: [both[0][0], *(product for _, product in both)] for language, both in made.items()}
        return key

    def arrival(self, arrival: Arrival, image: tuple[int, int] | None) -> dict[str, Any]:
        """A gradient came to rest: what was in `.grad`, what was added, what is in it then."""
        before, g = arrival.before, arrival.g
        after: Snapshot | None = g
        if before is not None:
            after = None if before.array is None or g.array is None else Snapshot(before.array + g.array)
        return {
            "leaf": arrival.leaf.number,
            "before": self.arrays.add(before, image),
            "g": self.arrays.add(g, image),
            "after": self.held(after, image),
            "passes": arrival.passes,
        }

    def update(self, update: Update, images: dict[int, tuple[int, int]]) -> dict[str, Any]:
        """A parameter changed."""
        image = images.get(update.leaf.number)
        state = {
            k: {"array": self.arrays.add(x, image)} if isinstance(x, Snapshot) else {"text": short(x)} for k, x in update.state.items()
        }
        change = self.change(update)
        return {
            "leaf": update.leaf.number,
            "optimizer": update.optimizer,
            "hyperparameters": {k: short(v) for k, v in update.hyperparameters.items()},
            "before": self.arrays.add(update.before, image),
            "gradient": self.arrays.add(update.gradient, image),
            "passes": update.passes,
            "after": self.arrays.add(update.after, image),
            "change": self.held(change, image),
            "norms": [None if x is None else number(x.summary.norm) for x in (update.before, update.gradient, change)],
            "state": state,
            "place": self.place(update.place),
        }

    def change(self, update: Update) -> Snapshot | None:
        """What an update added."""
        if update.after is None or update.after.array is None or update.before.array is None:
            return None
        return Snapshot(np.subtract(update.after.array, update.before.array))

    def held(self, made: Snapshot | None, image: tuple[int, int] | None = None) -> int | None:
        """The index of an array that was made here, or that the record has."""
        self.kept.append(made)
        return self.arrays.add(made, image)

    def event(self, event: Event) -> dict[str, Any]:
        """Something else that happened."""
        about = event.about
        return {
            "kind": event.kind,
            "value": None if event.value is None else event.value.number,
            "place": self.place(event.place),
            "about": {"value": about.number} if isinstance(about, Value) else {"text": short(about)},
        }

    def failure(self, failure: Failure) -> dict[str, Any]:
        """How the program crashed."""
        return {
            "kind": failure.kind,
            "message": failure.message,
            "place": self.place(failure.place),
            "backward": failure.backward is not None,
            "call": self.failing,
            "v": [self.arrays.add(v) for v in failure.v],
            "step": failure.step,
        }

    # ------------------------------------------------------------ source

    def place(self, place: Place | None) -> dict[str, Any] | None:
        """A place in the user's program; the lines around it are kept."""
        if place is None:
            return None
        key = place.code, place.instruction
        if key not in self.places:
            self.places[key] = self.new_place(place)
        return self.places[key]

    def new_place(self, place: Place) -> dict[str, Any]:
        """One that was not met before."""
        name = self.files.get(place.file)
        if name is None:
            name = self.files[place.file] = shown_path(place.file, set(self.files.values()))
        lines = self.lines.setdefault(name, {})
        span = place.span
        last = span[1] if span is not None else place.line
        for n in range(max(1, place.line - AROUND), last + AROUND + 1):
            if n not in lines and (text := linecache.getline(place.file, n)):
                lines[n] = text.rstrip("\n")
        return {"file": name, "line": place.line, "last": last, "function": place.function, "expression": place.expression}


def results_of(record: Record) -> dict[str, Callable[[], Shown]]:
    """What the library says of a record: the ledger of the last step, the flow over those kept, the diagnosis."""
    return {"ledger": lambda: ledger(record), "flow": lambda: Flow(record), "diagnosis": lambda: diagnose(record)}


def in_languages(shown: Shown) -> dict[str, list[Any]]:
    """A result in each language, as JSON."""
    return {language: [part(p) for p in shown.parts(language)] for language in LANGUAGES}


def operand(x: Any) -> dict[str, Any]:
    """What a call took."""
    return {"value": x.number} if isinstance(x, Value) else {"text": short(x)}


def part(part: Part) -> Any:
    """A paragraph, or a table, as JSON."""
    if isinstance(part, str):
        return part
    lists = {"right": sorted(part.right), "marked": sorted(part.marked)}
    return {"title": part.title, "note": part.note, "columns": list(part.columns), "rows": [list(row) for row in part.rows]} | lists


def shown_path(path: str, taken: set[str]) -> str:
    """A file's path as the page shows it: from the working directory if it is in there, else its name alone. No two files share one."""
    inside = os.path.abspath(path).startswith(os.getcwd() + os.sep)
    name = os.path.relpath(path) if inside else os.path.basename(path)
    unique, n = name, 2
    while unique in taken:
        unique, n = f"{name} ({n})", n + 1
    return unique


def short(x: Any) -> str:
    """Anything, in few characters."""
    text = f"{x:.6g}" if isinstance(x, float) else str(x)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def scalar(value: Value | None) -> float | str | None:
    """The number of a tensor that has just one."""
    return None if value is None or value.item is None else number(value.item)


def zip_operands(call: Call, outgoing: Sequence[Snapshot | None]) -> list[tuple[Any, Snapshot | None]]:
    """The operands of a call with the cotangents that came of them."""
    operands = list(call.operands) + [None] * (len(outgoing) - len(call.operands))
    return list(zip(operands, outgoing, strict=False))


# ---------------------------------------------------------------- images


def image_of(x: Any, images: dict[int, tuple[int, int]]) -> tuple[int, int] | None:
    """Height and width of the images that an operand's rows are."""
    return images.get(x.number) if isinstance(x, Value) else None


def images_of(step: Step) -> dict[int, tuple[int, int]]:
    """By a value's number: height and width, where its rows are images.

    Inputs of shape (n, 1 or 3, h, w) or (n, h, w) are, and rows of as many pixels as a square has; so are weights that a product takes
    with such an input, and the kernels of convolutions.
    """
    found: dict[int, tuple[int, int]] = {}
    for call in step.calls:
        values = list(call.values())
        if call.name.startswith("conv") and len(values) > 1 and len(values[1].shape) == 4:
            found[values[1].number] = values[1].shape[2], values[1].shape[3]
        if not values:
            continue
        size = input_image(values[0], found)
        if size is None:
            continue
        found[values[0].number] = size
        same = [v for v in values[1:] if v.kind == "parameter" and len(v.shape) == 2 and v.shape[1] == values[0].shape[-1]]
        found.update((v.number, size) for v in same if len(values[0].shape) == 2)
        if call.name in ("view", "reshape", "flatten"):
            found.update((r.number, size) for r in call.results if len(r.shape) == 2 and r.shape[-1] % (size[0] * size[1]) == 0)
    return found


def input_image(value: Value, found: dict[int, tuple[int, int]]) -> tuple[int, int] | None:
    """Height and width of the images that are the rows of an input, if they are any."""
    if value.number in found and value.kind != "parameter":
        return found[value.number]
    shape = value.shape
    if value.kind != "input" or value.dtype.kind not in "fu" or len(shape) < 2 or (value.name or "").endswith(".grad"):
        return None
    if len(shape) == 4 and shape[1] in SHAPE_OF_IMAGE and min(shape[2:]) >= SMALLEST_IMAGE:
        return shape[2], shape[3]
    if len(shape) == 3 and min(shape[1:]) >= SMALLEST_IMAGE and shape[1] == shape[2]:
        return shape[1], shape[2]
    side = math.isqrt(shape[-1])
    if len(shape) == 2 and side >= SMALLEST_IMAGE and side * side == shape[-1]:
        return side, side
    return None
