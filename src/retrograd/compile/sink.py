"""Moves cheap values to where they are used: what is quicker worked out again from numbers at hand than written to memory and read back.

Statements are put into the first unit that suits them, so a factor that only backward needs, such as y (1 - y), would be computed
in the forward pass and kept. Such loops move to the unit of their readers, if that has their operands anyway.
"""

from __future__ import annotations

from collections.abc import Sequence

from retrograd.compile.fuse import Unit, fitted, is_row, read_by, written_by
from retrograd.compile.graph import Buffer
from retrograd.compile.loops import COSTS, Access, Loop, Nest, nodes_of


def sink(units: list[Unit], outside: set[Buffer]) -> list[Unit]:
    """The units with loops moved; those left without loops are gone. `outside` are buffers that outlive the program."""
    for at in reversed(range(len(units))):
        unit = units[at]
        if isinstance(unit, Nest):
            for loop in reversed(unit.loops):
                Sinking(units, outside, at, unit).move(loop)
    return [unit for unit in units if not isinstance(unit, Nest) or unit.loops]


class Sinking:
    """One unit whose loops may move to a later one."""

    def __init__(self, units: Sequence[Unit], outside: set[Buffer], at: int, nest: Nest) -> None:
        self.units, self.outside, self.at, self.nest = units, outside, at, nest

    def move(self, loop: Loop) -> None:
        """Moves a loop, and those that only it needs, to the unit of its readers, if that saves traffic."""
        if loop not in self.nest.loops or not self.can_move(loop):
            return
        readers = [i for i, unit in enumerate(self.units) if i != self.at and loop.into in read_by(unit)]
        if len(readers) != 1 or readers[0] < self.at or self.nest.read.get(loop.into):
            return
        there = self.units[readers[0]]
        if not isinstance(there, Nest) or not there.read.get(loop.into):
            return
        group = self.with_sources(loop)
        if self.loads(group, there, readers[0]) < 2:
            self.carry(group, there)

    def can_move(self, loop: Loop) -> bool:
        """Whether a loop's value is cheap, and in a buffer that only it writes and only the program knows."""
        nodes = list(nodes_of(loop.value))
        cheap = all(COSTS.get(n.op, 1) <= 1 and n.op not in ("head", "take") for n in nodes) and loop.cost() <= 8
        alone = sum(loop.into in written_by(unit) for unit in self.units) == 1 and len(self.nest.written[loop.into]) == 1
        return cheap and alone and not is_row(loop) and loop.into.kind == "made" and loop.into not in self.outside

    def with_sources(self, last: Loop) -> list[Loop]:
        """A loop after those of the nest whose values only it and they read."""
        group = [last]
        for loop in reversed(self.nest.loops[: self.nest.loops.index(last)]):
            readers = {id(reader) for reader, _ in self.nest.read.get(loop.into, ())}
            elsewhere = any(loop.into in read_by(unit) for i, unit in enumerate(self.units) if i != self.at)
            if readers and readers <= {id(x) for x in group} and not elsewhere and self.can_move(loop):
                group.insert(0, loop)
        return group

    def loads(self, group: Sequence[Loop], there: Nest, at: int) -> int:
        """How many numbers more would be moved for each point, were the group computed there."""
        made = {loop.into for loop in group}
        total = 0
        for access in {a for loop in group for a in loop.accesses() if a.buffer not in made}:
            steps = zip(access.steps, group[-1].target.steps, strict=True)
            if any(step not in (0, along) for step, along in steps) or not self.lasts(access, group[0], at):
                return 2  # scattered in memory, or no longer there
            if access.buffer not in there.read and access.buffer not in there.written:
                total += 1
            elsewhere = any(access.buffer in read_by(unit) for i, unit in enumerate(self.units) if i != self.at)
            in_memory = elsewhere or access.buffer in self.outside or access.buffer not in self.nest.written
            total += not in_memory
        return total

    def lasts(self, access: Access, first: Loop, at: int) -> bool:
        """Whether nobody writes to a buffer from a group's first loop on, until its new place is done."""
        buffer = access.buffer
        assert buffer is not None
        if any(buffer in written_by(unit) for unit in self.units[self.at + 1 : at + 1]):
            return False
        since = self.nest.loops[self.nest.loops.index(first) :]
        return all(loop.into is not buffer for loop in since)

    def carry(self, group: Sequence[Loop], there: Nest) -> None:
        """Takes the group out of its nest, and puts it before the loops of another."""
        probe = Nest(there.sizes, there.inner, list(there.loops), dict(there.written), dict(there.read))
        probe.head = there.head
        changed = []
        for loop in group:
            fit = fitted(probe, loop)
            if fit is None or fit[0] != there.sizes or fit[1] != there.inner or fit[2].level != "full":
                return
            fit[2].step = 0
            changed.append(fit[2])
        first = 1 if there.head is not None else 0  # after the results of the head
        there.replace([*there.loops[:first], *changed, *there.loops[first:]])
        self.nest.replace([loop for loop in self.nest.loops if loop not in group])
