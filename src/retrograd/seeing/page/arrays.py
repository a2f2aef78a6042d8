"""Arrays as a page holds them: small ones whole, of larger ones a corner, statistics and a picture in eight bits.

All are gathered first, each once; how much of them is kept then depends on how many there are, so that a page stays small. Where there
are too many for all of them to be shown well, those of the oldest steps are left out first.
"""

from __future__ import annotations

import base64
import itertools
import math
from typing import Any

import numpy as np
from numpy import ndarray

from retrograd.seeing.record import Snapshot, Summary

BUDGET = 5_000_000  # characters that the arrays of a page may take
# How many elements an array may have to be kept whole, and of larger ones the rows and columns of the picture; the most generous first.
LEVELS = ((4096, 64), (1024, 48), (256, 32), (64, 16), (16, 8))
GOOD = 3  # of these levels: before all steps have less, the oldest have nothing
STATISTICS = 500  # characters, about, of all but the numbers
CORNER = (6, 8)
IMAGES = 36


def number(x: float) -> float | str:
    """A number as JSON can hold it: those that are not finite by name.

    >>> number(0.5), number(math.inf), number(math.nan)
    (0.5, 'inf', 'nan')
    """
    return float(x) if math.isfinite(x) else str(float(x))


def base64_of(array: ndarray) -> str:
    """The bytes of an array in row-major, little-endian order."""
    return base64.b64encode(np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False).tobytes()).decode("ascii")


def exact(array: ndarray) -> dict[str, Any]:
    """All numbers of an array: float64 where float32 cannot hold them."""
    if array.dtype.kind == "c":
        return {"code": "f8", "complex": True, "data": base64_of(np.stack([array.real, array.imag], -1).astype(np.float64))}
    with np.errstate(invalid="ignore", over="ignore"):
        narrow = array.astype(np.float32)
        same = (array.dtype.itemsize <= 4 and array.dtype.kind not in "iu") or np.array_equal(narrow.astype(array.dtype), array)
    return {"code": "f4", "data": base64_of(narrow)} if same else {"code": "f8", "data": base64_of(array.astype(np.float64))}


def in_eight_bits(array: ndarray) -> dict[str, Any]:
    """Numbers as whole ones from 1 to 255, 128 being 0, and the scale; 0 is what is not finite."""
    with np.errstate(invalid="ignore"):  # memory that was not written yet may hold any bits
        numbers = (np.abs(array) if array.dtype.kind == "c" else array).astype(np.float64)
    good = np.isfinite(numbers)
    scale = float(np.abs(numbers, where=good, out=np.zeros_like(numbers)).max(initial=0.0))
    levels = np.zeros(numbers.shape, np.uint8)
    levels[good] = np.rint(numbers[good] * (127 / scale) + 128 if scale else 128.0)
    return {"scale": scale, "data": base64_of(levels)}


def as_matrix(array: ndarray) -> ndarray:
    """An array of any number of dims as rows of its last dim."""
    return array.reshape(-1, array.shape[-1]) if array.ndim > 1 else array.reshape(1, -1)


class Arrays:
    """The arrays of a page.

    >>> arrays = Arrays()
    >>> arrays.add(Snapshot(np.zeros((2, 3), np.float32)))
    0
    >>> arrays.encoded()[0]["shape"]
    [2, 3]
    """

    def __init__(self, budget: int = BUDGET) -> None:
        self.budget = budget
        self.snapshots: list[Snapshot] = []
        self.images: list[tuple[int, int] | None] = []
        self.ages: list[int] = []
        self.age = 0  # how many steps there are after the one whose arrays are being gathered
        self.places: dict[int, int] = {}

    def add(self, what: Snapshot | None, image: tuple[int, int] | None = None) -> int | None:
        """The index of an array among those of the page. `image`: its rows are images of this height and width."""
        if what is None:
            return None
        index = self.places.get(id(what))
        if index is None:
            index = self.places[id(what)] = len(self.snapshots)
            self.snapshots.append(what)
            self.images.append(None)
            self.ages.append(self.age)
        self.ages[index] = min(self.ages[index], self.age)
        if image is not None and what.size % (image[0] * image[1]) == 0:
            self.images[index] = image
        return index

    def __len__(self) -> int:
        return len(self.snapshots)

    def forget(self, count: int) -> None:
        """Forgets all but the first `count` arrays."""
        for snapshot in self.snapshots[count:]:
            del self.places[id(snapshot)]
        del self.snapshots[count:], self.images[count:], self.ages[count:]

    def encoded(self) -> list[dict[str, Any]]:
        """What the page holds of each; of those that are left out, shape and dtype."""
        (whole, side), oldest = self.level()
        return [
            self.encode(s, image, whole, side) if age <= oldest else {"shape": list(s.shape), "dtype": str(s.dtype)}
            for s, image, age in zip(self.snapshots, self.images, self.ages, strict=True)
        ]

    def level(self) -> tuple[tuple[int, int], int]:
        """The most generous level that the arrays can have, and the age of the oldest step that has any."""
        steps = max(self.ages, default=0) + 1
        up_to = {level: list(itertools.accumulate(self.costs(level, steps))) for level in LEVELS}
        for oldest in range(steps - 1, -1, -1):
            for level in LEVELS if not oldest else LEVELS[:GOOD]:
                if up_to[level][oldest] <= self.budget:
                    return level, oldest
        return LEVELS[-1], 0

    def costs(self, level: tuple[int, int], steps: int) -> list[int]:
        """About how many characters the arrays of each step take, by age."""
        found = [0] * steps
        for snapshot, image, age in zip(self.snapshots, self.images, self.ages, strict=True):
            found[age] += STATISTICS + self.characters(snapshot, image, *level)
        return found

    @staticmethod
    def characters(s: Snapshot, image: tuple[int, int] | None, whole: int, side: int) -> int:
        """About how many the numbers of one take."""
        if s.array is None:
            return 0
        wide = 4 if s.dtype.kind == "c" else 2 if s.dtype.itemsize > 4 or s.dtype.kind in "iu" else 1
        images = 0 if image is None else 4 * min(IMAGES * image[0] * image[1], s.size) // 3
        return images + (6 * wide * s.size if s.size <= whole else 300 * wide + 4 * side * side // 3)

    def encode(self, snapshot: Snapshot, image: tuple[int, int] | None, whole: int, side: int) -> dict[str, Any]:
        """One array. If the program wrote over it meanwhile, its numbers are elsewhere now, safe, and it is encoded again."""
        while True:
            array = snapshot.array
            done = {"shape": list(snapshot.shape), "dtype": str(snapshot.dtype)}
            done |= self.statistics(snapshot.summary if array is None else Summary.of(array))
            if array is not None:
                done |= self.numbers(array, image, whole, side)
            if snapshot.array is array:
                return done

    @staticmethod
    def statistics(summary: Summary) -> dict[str, Any]:
        """Statistics, of an array that has any elements to speak of."""
        fields = ("mean", "std", "least", "most", "norm")
        counted = {"nans": summary.nans, "infinities": summary.infinities, "zeros": summary.zeros}
        return {"stats": {name: number(getattr(summary, name)) for name in fields} | counted, "counts": list(summary.counts)}

    @staticmethod
    def numbers(array: ndarray, image: tuple[int, int] | None, whole: int, side: int) -> dict[str, Any]:
        """The numbers of an array, as many as it may have."""
        done: dict[str, Any] = {}
        if array.size <= whole:
            done["whole"] = exact(array)
        else:
            matrix = as_matrix(array)
            corner = matrix[: CORNER[0], : CORNER[1]]
            done["corner"] = {"shape": list(corner.shape)} | exact(corner)
            strides = [-(-n // side) for n in matrix.shape]
            sampled = matrix[:: strides[0], :: strides[1]]
            done["picture"] = {"shape": list(sampled.shape), "strides": strides} | in_eight_bits(sampled)
        if image is not None and array.size:
            height, width = image
            shown = array.reshape(-1, height, width)[:IMAGES]
            done["images"] = {"shape": list(shown.shape), "of": array.size // (height * width)} | in_eight_bits(shown)
        return done
