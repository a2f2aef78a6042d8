"""Arrays are shared with a program until it writes to them: then, and not before, what was borrowed of that memory is copied.

What is known of borrowed arrays does not keep them: they are gone with the record's last snapshot of them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from itertools import compress
from operator import attrgetter
from typing import Any, TypeVar
from weakref import ref

import numpy as np
from numpy import ndarray

from retrograd.core.tensor import Version, owner
from retrograd.seeing.record import READING, Snapshot, Summary, nothing

new = Snapshot.__new__
SMALL = 1 << 14  # elements of a view that are copied in less time than it takes to find out whether they have to be
FEW = 1000  # things known weakly: no more than that are worth a look at which of them are still there
T = TypeVar("T", bound=tuple[Any, ...])


def alive(known: dict[int, T]) -> dict[int, T]:
    """Of what is known of things, by their ids, that of those which are still there. What is known begins with a weak reference."""
    return {key: about for key, about in known.items() if about[0]() is not None}


def references(snapshots: Iterable[Snapshot]) -> Iterator[int]:
    """How many references there are to each snapshot's array."""
    return map(sys.getrefcount, map(attrgetter("array"), snapshots))


ALONE = next(references([Snapshot(np.zeros(1))]))  # where none but the snapshot has it: versions of Python count differently


def detach_small(snapshots: Iterable[Snapshot]) -> list[Snapshot]:
    """Copies arrays that are copied in no time, if the copy has the same layout: what is computed with another may round otherwise. Gives the rest."""
    rest = []
    for snapshot in snapshots:
        if (array := snapshot.array) is not None and array.size <= SMALL and array.flags.c_contiguous:
            snapshot.detach()
        else:
            rest.append(snapshot)
    return rest


def held_by_others(held: list[tuple[ndarray, ndarray, Snapshot]]) -> bool:
    """Whether more refers to some memory than what is listed here: (the array that owns it, an array on it, the snapshot of that)."""
    references = 1  # the call's own; no names are bound here, which some versions of Python count and others do not
    for i in range(len(held)):
        is_base, kept = held[i][1] is held[i][0], held[i][2].array is held[i][1]
        references += 2 + (is_base and kept)  # the list's two, or the list's and the view's
        if not is_base and sys.getrefcount(held[i][1]) > 2 + kept:
            return True
    return sys.getrefcount(held[0][0]) > references


class Borrowed:
    """The snapshots that share memory with the program. Of arrays with more elements than `limit` they are summaries."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.snapshots: dict[int, ref[Snapshot]] = {}  # by id of the array
        self.views: dict[int, list[ref[Snapshot]]] = {}  # those of arrays on others' memory, by id of the array that owns it
        self.of_views = 0  # how many are listed there
        self.most = FEW  # before those that are gone are swept out
        self.summaries: dict[int, tuple[ref[ndarray], Version, int, bytes, Summary]] = {}  # by id of an array beyond the limit

    def borrow(self, array: ndarray, version: Version | None = None) -> Snapshot:
        """The numbers of an array as they are now. `version`: the counter of the writes to it, if it is known."""
        snapshots, key = self.snapshots, id(array)
        known = snapshots.get(key)
        if known is not None and (found := known()) is not None and (found.array is array or found.source is array):
            return found
        snapshot = new(Snapshot)  # what its __init__ does: this runs more often than anything else here
        snapshot.array = array
        if array.size > self.limit:
            self.summarise(snapshot, array, version)
        snapshots[key] = known = ref(snapshot)
        if array.base is not None:
            self.views.setdefault(id(owner(array)), []).append(known)
            self.of_views += 1
        return snapshot

    def summarise(self, snapshot: Snapshot, array: ndarray, version: Version | None) -> None:
        """Keeps no more than statistics, which are worked out once for each version of an array."""
        some = array.flat[:: max(1, array.size // FEW)].tobytes()  # what is written by way of `.data` is not counted
        known = self.summaries.get(id(array))
        if known is not None and known[0]() is array and known[1] is version and known[2:4] == (version[0], some):
            snapshot._summary = known[4]
        snapshot.forget()
        if version is not None:
            self.summaries[id(array)] = ref(array), version, version[0], some, snapshot.summary

    def give_back(self, array: ndarray) -> None:
        """The memory of an array is about to be written to: what was borrowed of it is copied."""
        base = array if array.base is None else owner(array)
        if self.summaries:
            self.summaries.pop(id(base), None)
        known = self.snapshots.pop(id(base), None)
        if known is not None and (snapshot := known()) is not None and (snapshot.array is base or snapshot.source is base):
            snapshot.detach()
        for known in self.views.pop(id(base), ()):
            snapshot = known()
            if snapshot is not None and (view := snapshot.source) is not None:
                self.snapshots.pop(id(view), None)
                snapshot.detach()

    def settle(self) -> None:
        """Copies what others hold too; the rest is nobody else's any more."""
        with READING:
            there = list(filter(None, map(ref.__call__, self.snapshots.values())))
            found = ((self.snapshots.get(key, nothing), *views) for key, views in self.views.items())
            shared = [snapshot for together in found for known in together if (snapshot := known()) is not None]
            apart = {*map(id, shared)}
            for snapshot in compress(there, map(ALONE.__lt__, references(there))):
                if snapshot.array is not None and id(snapshot) not in apart:
                    snapshot.detach()
            for together in self.by_owner(detach_small(shared)):
                if held_by_others(together):
                    for _, _, snapshot in together:
                        snapshot.detach()
        self.snapshots.clear()
        self.views.clear()
        self.of_views = 0

    @staticmethod
    def by_owner(snapshots: Iterable[Snapshot]) -> list[list[tuple[ndarray, ndarray, Snapshot]]]:
        """(array that owns the memory, array, snapshot) of what was borrowed, those of one owner together."""
        found: dict[int, list[tuple[ndarray, ndarray, Snapshot]]] = {}
        for snapshot in snapshots:
            if (array := snapshot.array) is not None:
                base = owner(array)
                found.setdefault(id(base), []).append((base, array, snapshot))
        return list(found.values())

    def sweep(self) -> None:
        """Forgets about snapshots that are gone, if there may be many."""
        if len(self.snapshots) + self.of_views <= self.most:
            return
        self.summaries = alive(self.summaries)
        self.snapshots = {key: known for key, known in self.snapshots.items() if known() is not None}
        views = {key: [known for known in found if known() is not None] for key, found in self.views.items()}
        self.views = {key: found for key, found in views.items() if found}
        self.of_views = sum(map(len, self.views.values()))
        self.most = 2 * (len(self.snapshots) + self.of_views) + FEW
