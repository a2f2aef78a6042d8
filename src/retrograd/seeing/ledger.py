"""The ledger of a step: for each parameter what it was, its gradient, who changed it and how, and what it is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy import ndarray

from retrograd.seeing.ledger_texts import LEDGER
from retrograd.seeing.record import Arrival, Place, Record, Snapshot, Step, Update, Value
from retrograd.seeing.text import Part, Shown, Table, number, numbers_in, shape_of

FEW = 6  # entries that are shown with their numbers when the whole ledger is


@dataclass(eq=False)
class Entry(Shown):
    """One parameter in one step; one of several, if it was updated several times.

    `status` is "updated" (by an optimizer), "written" (by the program itself), "no gradient", "no optimizer" (it has a gradient, and no
    optimizer that took a step has it), "no step" (it has a gradient, and the optimizer took no step), "frozen" or "unused".
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    status: str
    value: Value | None = None  # None: it was not used in the step
    before: Snapshot | None = None
    gradient: Snapshot | None = None
    passes: int = 0  # backward passes in the gradient
    optimizer: str = ""  # its class
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)  # of the optimizer, after the update: numbers and Snapshots
    after: Snapshot | None = None
    place: Place | None = None  # of the update

    @cached_property
    def update(self) -> ndarray | None:
        """What was added: `after - before`; None where nothing was, or where the numbers were not kept."""
        if self.before is None or self.after is None or self.before.array is None or self.after.array is None:
            return None
        with np.errstate(all="ignore"):
            return np.subtract(self.after.array, self.before.array)

    @property
    def ratio(self) -> float | None:
        """The norm of the update over that of the weights before."""
        if self.update is None or self.before is None or not self.before.summary.norm:
            return None
        return float(np.linalg.norm(self.update.astype(np.float64)) / self.before.summary.norm)

    def happened(self, language: str) -> str:
        """The status in words."""
        numbers = ", ".join(f"{k}={short(v)}" for k, v in self.hyperparameters.items() if k == "lr" or v)
        return LEDGER[language][self.status].format(optimizer=self.optimizer, numbers=numbers)

    def quantities(self, language: str) -> Iterator[tuple[str, Snapshot]]:
        """What there is of arrays, by its name."""
        say = LEDGER[language]
        update = None if self.update is None else Snapshot(self.update)
        states = ((name, x) for name, x in self.state.items() if isinstance(x, Snapshot) and x.shape)
        found: list[tuple[str, Snapshot | None]] = [
            (say["before"], self.before), (say["gradient"], self.gradient), *states, (say["update"], update), (say["after"], self.after)
        ]  # fmt: skip
        return ((name, snapshot) for name, snapshot in found if snapshot is not None)

    def parts(self, language: str) -> list[Part]:
        say = LEDGER[language]
        about = [self.happened(language)]
        if self.place is not None:
            about[0] += ", " + say["where"].format(line=self.place.line, file=os.path.basename(self.place.file))
        if self.passes:
            about.append(say["one pass"] if self.passes == 1 else say["more passes"].format(n=self.passes))
        states = [f"{k} = {short(v)}" for k, v in self.state.items() if not (isinstance(v, Snapshot) and v.shape)]
        if states:
            about.append(say["state"].format(numbers=", ".join(states)))
        heading = say["entry"].format(name=self.name, shape=shape_of(self.shape), dtype=self.dtype)
        rows = []
        for name, snapshot in self.quantities(language):
            s = snapshot.summary
            rows.append((name, *map(number, (s.norm, s.mean, s.std, s.least, s.most)), numbers_in(snapshot)))
        columns = tuple(say[key] for key in ("quantity", "norm", "mean", "std", "least", "most", "numbers"))
        text = "\n".join([heading, *("  " + line for line in about)])
        return [text, Table(columns, rows, right=frozenset(range(1, 6)), optional=(4, 5, 3, 2))] if rows else [text]


@dataclass(eq=False)
class Ledger(Shown):
    """The entries of a step, those of modules in the order of their parameters, then others in the order in which they were met."""

    step: int
    loss: float | None
    entries: list[Entry]

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, name: str) -> Entry:
        found = next((entry for entry in self.entries if entry.name == name), None)
        if found is None:
            names = ", ".join(entry.name for entry in self.entries)
            raise KeyError(LEDGER["en"]["no such"].format(name=name, step=self.step, names=names))
        return found

    def parts(self, language: str) -> list[Part]:
        if not self.entries:
            return [LEDGER[language]["empty"]]
        if len(self.entries) <= FEW:
            return [self.table(language), *(part for entry in self.entries for part in entry.parts(language))]
        return [self.table(language), *self.optimizers(language), LEDGER[language]["details"].format(name=self.entries[0].name)]

    def optimizers(self, language: str) -> list[str]:
        """Who updated, with which hyperparameters: a line each."""
        found = {e.happened(language): None for e in self.entries if e.status == "updated"}
        return ["\n".join(found)] if found else []

    def table(self, language: str) -> Table:
        """All entries in norms."""
        say = LEDGER[language]
        columns = tuple(say[key] for key in ("name", "shape", "before", "gradient", "passes", "update", "after", "ratio", "by"))
        rows: list[tuple[str, ...]] = [
            (
                e.name, shape_of(e.shape), norm(e.before), norm(e.gradient), str(e.passes) if e.gradient is not None else "–",
                number(None if e.update is None else float(np.linalg.norm(e.update.astype(np.float64)))), norm(e.after),
                "–" if e.ratio is None else f"{e.ratio:.2g}", say[f"{e.status}, short"].format(optimizer=e.optimizer),
            )
            for e in self.entries
        ]  # fmt: skip
        title = say["title"].format(step=self.step)
        if self.loss is not None:
            title += ": " + say["loss"].format(loss=number(self.loss))
        return Table(columns, rows, title, say["note"], frozenset(range(2, 8)), optional=(1, 2, 6))


def norm(snapshot: Snapshot | None) -> str:
    """The norm of what there is."""
    return "–" if snapshot is None else number(snapshot.summary.norm)


def short(x: Any) -> str:
    """A hyperparameter, or a number of an optimizer's state."""
    if isinstance(x, Snapshot):
        return numbers_in(x)
    if isinstance(x, tuple):
        return f"({', '.join(map(short, x))})"
    return f"{x:g}" if isinstance(x, float) else str(x)


def ledger(record: Record, step: int = -1) -> Ledger:
    """The ledger of one step of a record.

    Args:
        record: what `see()` gave.
        step: the number of a step that was kept whole, or from the end by a negative one.

    Raises:
        KeyError: if there is no such step.

    >>> import retrograd as torch
    >>> w = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> optimizer = torch.optim.SGD([w], lr=0.5)
    >>> with torch.see() as record:
    ...     (w * w).sum().backward()
    ...     optimizer.step()
    >>> entry = ledger(record)["w"]
    >>> entry.before.array, entry.gradient.array, entry.update, entry.passes, entry.ratio
    (array([1., 2.], dtype=float32), array([2., 4.], dtype=float32), array([-1., -2.], dtype=float32), 1, 1.0)
    """
    seen = record.step(step)
    return Ledger(seen.number, seen.loss, Book(record, seen).entries())


class Book:
    """Gathers what a step has of each parameter."""

    def __init__(self, record: Record, step: Step) -> None:
        self.record, self.step = record, step
        self.updates: dict[Any, list[Update]] = {}
        self.arrivals: dict[Any, Arrival] = {}  # the last one
        self.met: dict[Any, Value] = {}  # as they were met last: the first time, they may be without numbers yet
        for update in step.updates:
            self.updates.setdefault(key_of(update.leaf), []).append(update)
        for arrival in (a for p in step.passes for a in p.arrivals):
            self.arrivals[key_of(arrival.leaf)] = arrival
        for value in step.values:
            if value.kind in ("parameter", "leaf"):
                self.met[key_of(value)] = value
        self.stepped = [event for event in step.events if event.kind == "stepped"]
        self.held = {key_of(value) for event in self.stepped for value in event.given}

    def entries(self) -> list[Entry]:
        """Of the parameters of modules, then of all others."""
        found: dict[Any, list[Entry]] = {}
        for variable, module in self.record.modules.items():
            for path, p in module.named_parameters():
                if id(p) not in found:
                    found[id(p)] = self.of(id(p), self.record.prefixes[variable] + path, p)
        for key, value in self.met.items():
            if key not in found:
                found[key] = self.of(key, value.label, None)
        return [entry for entries in found.values() for entry in entries]

    def of(self, key: Any, name: str, p: Any) -> list[Entry]:
        """Of one parameter: an entry for each update, or one that says why there is none."""
        value = self.met.get(key)
        if key in self.updates:
            return [
                Entry(
                    value.label if value is not None else name, u.leaf.shape, u.leaf.dtype, "updated" if u.optimizer else "written", u.leaf,
                    u.before, u.gradient, u.passes, u.optimizer, u.hyperparameters, u.state, u.after, u.place,
                )
                for u in self.updates[key]
            ]  # fmt: skip
        if value is None:
            status = "frozen" if not p.requires_grad else "unused"
            return [Entry(name, tuple(p.shape), p.detach().numpy().dtype, status)]
        arrival = self.arrivals.get(key)
        entry = Entry(value.label, value.shape, value.dtype, "no gradient", value, before=value.snapshot)
        if arrival is not None:
            entry.status = "no step" if key in self.held or not self.stepped else "no optimizer"
            entry.gradient, entry.passes = total(arrival), arrival.passes
        elif not value.requires_grad:
            entry.status = "frozen"
        return [entry]


def key_of(value: Value) -> Any:
    """What tells tensors apart: the tensor, as long as it lives."""
    tensor = value.tensor() if value.tensor is not None else None
    return id(tensor) if tensor is not None else ("gone", value.number)


def total(arrival: Arrival) -> Snapshot:
    """What was in .grad after an arrival."""
    if arrival.before is None or arrival.before.array is None or arrival.g.array is None:
        return arrival.g
    return Snapshot(arrival.before.array + arrival.g.array)
