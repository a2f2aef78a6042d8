"""Reads the notes that a recorder took: makes a step's lists of calls, passes, updates and events, when they are first asked for.

A program that is watched so pays for no more than the notes. A note is a tuple: the name of a method of `Reader`, and its arguments.
A place in a note is (code, offset of the instruction), since to look up its line takes longer than most operations.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from itertools import islice
from typing import Any

from retrograd.core.op import Op
from retrograd.core.tape import Node
from retrograd.seeing.record import Arrival, Call, Event, Pass, Place, Pull, Snapshot, Step, Update, Value, Visit

Note = tuple[Any, ...]
READ_OFF: Any = object()  # in a note, for what a node's rules know: nothing but operands, results and metadata, as they were told


def read(notes: list[Note], values: list[Value], step: Step) -> None:
    """Gives a step its lists. `values`: all that the notes speak of, in the order in which they were met; their places are as in notes."""
    reader = Reader()
    for number, value in enumerate(values):
        value.number, value.maker, value.output, value.place = number, None, 0, reader.place(value.place)
    for name, *about in notes:
        getattr(reader, name)(*about)
    step.values, step.calls, step.passes, step.updates = values, reader.calls, reader.passes, reader.updates
    step.events, step.visits, step.order = reader.events, reader.visits, reader.order


def gathered(node: Node, operands: Sequence[Any], params: dict[str, Any], results: tuple[Value, ...]) -> tuple[Any, ...]:
    """What the rules of an operation know, gathered as it did itself when it ran."""
    datas = [x.snapshot if isinstance(x, Value) else x for x in operands]
    ys = tuple([result.snapshot for result in results])
    return node.plan.gather(datas, (ys,) if node.plan.op.many else ys, params)


class Reader:
    """Goes through the notes of a step."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.passes: list[Pass] = []
        self.updates: list[Update] = []
        self.events: list[Event] = []
        self.visits: list[Visit] = []
        self.order: list[Any] = []
        self.by_node: dict[int, Call] = {}  # by id of a node on the tape
        self.places: dict[tuple[int, int], Place] = {}

    def place(self, at: Any) -> Place | None:
        """A place, with its line."""
        if at is None:
            return None
        code, instruction = at
        found = self.places.get((id(code), instruction))
        if found is None:
            line = next(islice(code.co_positions(), instruction // 2, None))[0]
            found = self.places[id(code), instruction] = Place(code, instruction, line or code.co_firstlineno)
        return found

    def called(
        self, op: Op | None, operands: tuple[Any, ...], params: dict[str, Any], results: tuple[Value, ...], at: Any,
        modules: tuple[tuple[str, str], ...], grad: bool, node: Any, facts: Any,
    ) -> None:  # fmt: skip
        """An operation ran, or a custom Function; or a node is met that is neither's, or an earlier step's."""
        if facts is READ_OFF:
            facts = gathered(node, operands, params, results)
        call = Call(len(self.calls), op, operands, params, results, self.place(at), modules, grad, node, facts)
        maker = weakref.ref(call)
        for i, result in enumerate(results):
            if result.maker is None:
                result.maker, result.output = maker, i
        if node is not None:
            self.by_node[id(node)] = call
        self.calls.append(call)
        self.order.append(call)

    def entered(self, path: str, kind: str, training: bool, grad: bool, at: Any) -> None:
        """A module was called."""
        self.visits.append(Visit(path, kind, training, grad, self.place(at), len(self.calls)))

    def walked(self, roots: tuple[Value | None, ...], at: Any) -> None:
        """A backward pass began."""
        walk = Pass(roots, self.place(at))
        self.passes.append(walk)
        self.order.append(walk)

    def pulled(self, node: Any, v: tuple[Snapshot | None, ...], outgoing: tuple[Snapshot | None, ...]) -> None:
        """It went through a node."""
        call = self.by_node[id(node)]
        pull = Pull(weakref.ref(call), v, outgoing)
        call.pulls.append(pull)
        self.passes[-1].pulls.append(pull)

    def came(self, leaf: Value, g: Snapshot, before: Snapshot | None, passes: int) -> None:
        """It reached a leaf."""
        self.passes[-1].arrivals.append(Arrival(leaf, g, before, passes))

    def updated(
        self, leaf: Value, optimizer: str, hyperparameters: dict[str, Any], before: Snapshot, gradient: Snapshot, passes: int, at: Any,
        number: int | None, after: list[Any],
    ) -> None:  # fmt: skip
        """A parameter was changed. `after`: nothing, if it was not seen again; or its numbers then, and the optimizer's state."""
        numbers = {name: x for name, x in hyperparameters.items() if not callable(x)}
        update = Update(leaf, optimizer, numbers, before, gradient, passes, self.place(at), number, *after)
        self.updates.append(update)
        self.order.append(update)

    def happened(self, kind: str, value: Value | None, at: Any, *about: Any) -> None:
        """Something else."""
        event = Event(kind, value, self.place(at), len(self.calls), *about)
        self.events.append(event)
        self.order.append(event)
