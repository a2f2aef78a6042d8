"""Where the nodes of a step stand: groups within groups, after the modules that were running.

What is too much to look at side by side is cut into parts, runs of what came one after the other, so that whatever stands in one
group takes nothing from what stands behind it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from retrograd.seeing.record import Call, Step, Value

MOST = 60  # calls and groups side by side in one group
LONG = 10  # a run of calls that is worth a part of its own


@dataclass(eq=False)
class Group:
    """What a module ran, or a part of it: calls and groups, in the order of time."""

    number: int
    path: str  # of the module; "" of a part
    kind: str  # the module's class; "" of a part
    parent: Group | None
    inside: list[Call | Group] = field(default_factory=list)
    history: bool = False  # whether a backward pass could go through a call in it

    def around(self) -> Iterator[Group]:
        """Itself and all groups around it, innermost first."""
        group: Group | None = self
        while group is not None:
            yield group
            group = group.parent


class Groups:
    """The groups of a step: `all`, and of each call (by number) and each value that no call made (by number) its group, if any.

    >>> import retrograd as torch
    >>> with torch.see() as record:
    ...     y = torch.ones(2)
    ...     for _ in range(100):
    ...         y = y * 2
    >>> groups = Groups(record.step())
    >>> [len(group.inside) for group in groups.all]
    [10, 10, 10, 10, 10, 10, 10, 10, 10, 10]
    """

    def __init__(self, step: Step) -> None:
        self.all: list[Group] = []
        self.of_call: dict[int, Group] = {}
        self.of_value: dict[int, Group] = {}
        self.top: list[Call | Group] = []
        self.by_modules(step.calls)
        self.top = self.cut(self.top, None)
        for group in list(self.all):
            group.inside = self.cut(group.inside, group)
        for group in self.all:
            calls = [x for x in group.inside if isinstance(x, Call)]
            self.of_call.update((call.number, group) for call in calls)
            if any(call.node is not None for call in calls):
                for one in group.around():
                    one.history = True
        self.put_values(step)

    def new(self, path: str, kind: str, parent: Group | None) -> Group:
        """Another group."""
        group = Group(len(self.all), path, kind, parent)
        self.all.append(group)
        return group

    def by_modules(self, calls: list[Call]) -> None:
        """Puts calls into groups by the modules that were running. A module called again is another group."""
        open_: list[Group] = []
        for call in calls:
            same = 0
            while same < min(len(open_), len(call.modules)) and open_[same].path == call.modules[same][0]:
                same += 1
            del open_[same:]
            for path, kind in call.modules[same:]:
                group = self.new(path, kind, open_[-1] if open_ else None)
                (open_[-1].inside if open_ else self.top).append(group)
                open_.append(group)
            (open_[-1].inside if open_ else self.top).append(call)

    def cut(self, inside: list[Call | Group], parent: Group | None) -> list[Call | Group]:
        """What stands in a group, or parts of it where it is too much: of about equal length, and parts of parts where these are too many."""
        if len(inside) > MOST:
            inside = self.apart(inside, parent)
        while len(inside) > MOST:
            levels = math.ceil(math.log(len(inside), MOST))
            size = round(len(inside) ** (1 / levels))
            parts: list[Call | Group] = []
            for at in range(0, len(inside), size):
                part = self.new("", "", parent)
                part.inside = inside[at : at + size]
                for group in part.inside:
                    if isinstance(group, Group):
                        group.parent = part
                parts.append(part)
            inside = parts
        return inside

    def apart(self, inside: list[Call | Group], parent: Group | None) -> list[Call | Group]:
        """The same with a part for each long run of calls without history, which prepare data or judge, beside those that have one."""
        found: list[Call | Group] = []
        for plain, run in groupby(inside, lambda x: isinstance(x, Call) and x.node is None):
            together = list(run)
            if plain and LONG <= len(together) < len(inside):
                part = self.new("", "", parent)
                part.inside = self.cut(together, part)
                together = [part]
            found += together
        return found

    def put_values(self, step: Step) -> None:
        """Puts what no call made into the innermost group that has all who use it; what came into the program stays outside of modules."""
        users: dict[int, list[Call]] = {}
        for call in step.calls:
            for value in call.values():
                if value.call is None:
                    users.setdefault(value.number, []).append(call)
        for value in step.values:
            group = self.common(users.get(value.number, []))
            if group is not None and came_from_outside(value):
                modules = [g for g in group.around() if g.path]
                group = modules[-1].parent if modules else group
            if group is not None:
                self.of_value[value.number] = group

    def common(self, calls: list[Call]) -> Group | None:
        """The innermost group that has all of some calls."""
        group = self.of_call.get(calls[0].number) if calls else None
        for call in calls[1:]:
            other = self.of_call.get(call.number)
            around = set() if other is None else set(other.around())
            group = None if group is None else next((g for g in group.around() if g in around), None)
        return group

    def plain(self) -> list[dict[str, Any]]:
        """As the page has them."""
        return [
            {"path": g.path, "kind": g.kind, "parent": None if g.parent is None else g.parent.number, "history": g.history}
            for g in self.all
        ]


def came_from_outside(value: Value) -> bool:
    """Whether a value is what the program was given, by a name of its own, and not what a module keeps."""
    return value.kind == "input" and value.name is not None and not value.name.startswith("self.")
