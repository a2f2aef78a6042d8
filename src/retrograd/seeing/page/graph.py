"""Where the nodes of a step stand: groups within groups, after the modules that were running.

What runs without a module, and long runs of calls, are cut into groups of some dozens, so that no group has too many to look at.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from retrograd.seeing.record import Call, Step, Value

MOST = 60  # calls side by side in one group


@dataclass(eq=False)
class Group:
    """Calls that a module ran, or a part of a long run of calls."""

    number: int
    path: str  # of the module; "" of a part of a run
    kind: str  # the module's class; "" of a part of a run
    parent: Group | None
    calls: list[Call] = field(default_factory=list)  # its own, not those of groups within
    inner: list[Group] = field(default_factory=list)

    def above(self) -> list[Group]:
        """Itself and all groups around it, innermost first."""
        return [self, *(self.parent.above() if self.parent is not None else ())]


class Groups:
    """The groups of a step: `all`, and of each call (by number) and each value that no call made (by number) its group, if any."""

    def __init__(self, step: Step) -> None:
        self.all: list[Group] = []
        self.of_call: dict[int, Group] = {}
        self.of_value: dict[int, Group] = {}
        loose = self.by_modules(step.calls)
        for calls, parent in [(loose, None), *((list(g.calls), g) for g in list(self.all))]:
            self.cut(calls, parent)
        for value in step.values:
            if value.call is None:
                self.put(value, step)

    def new(self, path: str, kind: str, parent: Group | None) -> Group:
        """Another group."""
        group = Group(len(self.all), path, kind, parent)
        self.all.append(group)
        if parent is not None:
            parent.inner.append(group)
        return group

    def by_modules(self, calls: list[Call]) -> list[Call]:
        """Puts calls into groups by the modules that were running; returns those outside all. A module called again is another group."""
        open_: list[Group] = []
        loose = []
        for call in calls:
            same = 0
            while same < min(len(open_), len(call.modules)) and open_[same].path == call.modules[same][0]:
                same += 1
            del open_[same:]
            for path, kind in call.modules[same:]:
                open_.append(self.new(path, kind, open_[-1] if open_ else None))
            if open_:
                open_[-1].calls.append(call)
                self.of_call[call.number] = open_[-1]
            else:
                loose.append(call)
        return loose

    def cut(self, calls: list[Call], parent: Group | None) -> None:
        """Cuts a run that is too long into parts of about equal length."""
        if len(calls) <= MOST:
            return
        parts = max(2, min(MOST, round(math.sqrt(len(calls)))))
        size = -(-len(calls) // parts)
        for at in range(0, len(calls), size):
            part = self.new("", "", parent)
            part.calls = calls[at : at + size]
            for call in part.calls:
                self.of_call[call.number] = part
            if parent is not None:
                del parent.calls[:]

    def put(self, value: Value, step: Step) -> None:
        """Puts a parameter, or what a module keeps, into the innermost group that has all who use it."""
        if value.kind == "input" and value.name is not None and not value.name.startswith("self."):
            return
        users = self.users(step).get(value.number, [])
        common: list[Group] | None = None
        for call in users:
            around = self.of_call[call.number].above() if call.number in self.of_call else []
            common = around if common is None else [g for g in common if g in around]
        if common:
            self.of_value[value.number] = common[0]

    def users(self, step: Step) -> dict[int, list[Call]]:
        """By a value's number: the calls that it went into."""
        if not hasattr(self, "found"):
            self.found: dict[int, list[Call]] = {}
            for call in step.calls:
                for value in call.values():
                    self.found.setdefault(value.number, []).append(call)
        return self.found

    def plain(self) -> list[dict[str, Any]]:
        """As the page has them."""
        return [
            {"path": g.path, "kind": g.kind, "parent": None if g.parent is None else g.parent.number, "calls": [c.number for c in g.calls]}
            for g in self.all
        ]
