"""Moves cheap values to where they are used: what is quicker worked out again from numbers at hand than written to memory and read back.

Statements are put into the first unit that suits them, so a factor that only backward needs, such as y (1 - y), would be computed
in the forward pass and kept. Such loops move to the unit of their readers, if that has their operands anyway.
"""

from __future__ import annotations

from collections.abc import Sequence

from retrograd.compile.fuse import Unit, fitted, is_row, read_by, written_by
from retrograd.compile.graph import Buffer
from retrograd.compile.loops import COSTS, Access, Loop, Nest, nodes_of

CHEAP = 8  # operations for each element that a loop may take


def sink(units: Sequence[Unit], outside: set[Buffer]) -> list[Unit]:
    """The units with loops moved; those left without loops are gone. `outside` are buffers that outlive the program."""
    sinking = Sinking(units, outside)
    for at in reversed(range(len(units))):
        unit = units[at]
        if isinstance(unit, Nest):
            for loop in reversed(unit.loops):
                sinking.move(loop, unit, at)
    return [unit for unit in units if not isinstance(unit, Nest) or unit.loops]


class Sinking:
    """Units in their order, and which of them write and read a buffer."""

    def __init__(self, units: Sequence[Unit], outside: set[Buffer]) -> None:
        self.units, self.outside = units, outside
        self.writers: dict[Buffer, set[int]] = {}
        self.readers: dict[Buffer, set[int]] = {}
        for at in range(len(units)):
            self.note(at)

    def note(self, at: int) -> None:
        """Notes what a unit touches."""
        for places, buffers in ((self.writers, written_by(self.units[at])), (self.readers, read_by(self.units[at]))):
            for buffer in buffers:
                places.setdefault(buffer, set()).add(at)

    def move(self, loop: Loop, nest: Nest, at: int) -> None:
        """Moves a loop, and those that only it needs, to the unit of its readers, if that saves traffic."""
        readers = self.readers.get(loop.into, set())
        if len(readers) != 1 or min(readers) <= at or loop not in nest.loops or not self.can_move(loop, nest):
            return
        (target,) = readers
        there = self.units[target]
        if not isinstance(there, Nest) or not there.read.get(loop.into):
            return
        group = self.with_sources(loop, nest, at)
        if self.loads(group, nest, at, target) < 2:
            self.carry(group, nest, at, target)

    def can_move(self, loop: Loop, nest: Nest) -> bool:
        """Whether a loop's value is cheap, and in a buffer that only it writes and only the program knows."""
        if is_row(loop) or loop.into.kind != "made" or loop.into in self.outside:
            return False
        if len(self.writers[loop.into]) > 1 or len(nest.written[loop.into]) > 1:
            return False
        return loop.cost() <= CHEAP and all(COSTS.get(n.op, 1) <= 1 and n.op not in ("head", "take") for n in nodes_of(loop.value))

    def with_sources(self, last: Loop, nest: Nest, at: int) -> list[Loop]:
        """A loop after those of the nest whose values only it and they read."""
        group = [last]
        for loop in reversed(nest.loops[: nest.loops.index(last)]):
            inside = {id(reader) for reader, _ in nest.read.get(loop.into, ())}
            alone = inside and inside <= {id(x) for x in group} and self.readers[loop.into] == {at}
            if alone and self.can_move(loop, nest):
                group.insert(0, loop)
        return group

    def loads(self, group: Sequence[Loop], nest: Nest, at: int, target: int) -> int:
        """How many numbers more would be moved for each point, were the group computed in the target."""
        made, there = {loop.into for loop in group}, self.units[target]
        total = 0
        for access in {a for loop in group for a in loop.accesses() if a.buffer not in made}:
            buffer = access.buffer
            assert buffer is not None
            steps = zip(access.steps, group[-1].target.steps, strict=True)
            if any(step not in (0, along) for step, along in steps) or not self.lasts(access, group[0], nest, at, target):
                return 2  # scattered in memory, or no longer there
            total += target not in self.readers[buffer] and buffer not in written_by(there)
            in_memory = self.readers[buffer] != {at} or buffer in self.outside or buffer not in nest.written
            total += not in_memory
        return total

    def lasts(self, access: Access, first: Loop, nest: Nest, at: int, target: int) -> bool:
        """Whether nobody writes to a buffer from a group's first loop on, until its new place is done."""
        buffer = access.buffer
        assert buffer is not None
        if any(at < writer <= target for writer in self.writers.get(buffer, ())):
            return False
        return all(loop.into is not buffer for loop in nest.loops[nest.loops.index(first) :])

    def carry(self, group: Sequence[Loop], nest: Nest, at: int, target: int) -> None:
        """Takes the group out of its nest, and puts it before the loops of another."""
        there = self.units[target]
        assert isinstance(there, Nest)
        changed = []
        for loop in group:
            fit = fitted(there, loop)
            if fit is None or fit[0] != there.sizes or fit[1] != there.inner or fit[2].level != "full":
                return
            fit[2].step = 0
            changed.append(fit[2])
        first = 1 if there.head is not None else 0  # after the results of the head
        there.replace([*there.loops[:first], *changed, *there.loops[first:]])
        nest.replace([loop for loop in nest.loops if loop not in group])
        for buffer in {b for loop in group for b in (loop.into, *(a.buffer for a in loop.accesses())) if b is not None}:
            if buffer not in nest.written:
                self.writers.get(buffer, set()).discard(at)
            if buffer not in read_by(nest):
                self.readers.get(buffer, set()).discard(at)
        self.note(target)
