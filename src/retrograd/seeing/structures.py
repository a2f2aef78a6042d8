"""What a Jacobian looks like when it is not written out: where its entries are, and what they are.

    Entries   at most one in each row, or one in each column: diagonals, selections, permutations, repetitions, sums
    Windows   some in each row: means of windows
    Blocks    one matrix, or one for each group, at several places: Kronecker products, block diagonals, convolutions
    Jacobian  nothing is known: only the products Jᵀv are to be had

Rows are the elements of a result and columns those of an operand, both flattened.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from numpy import ndarray

from retrograd.seeing.jacobian_texts import SENTENCES
from retrograd.seeing.language import grouped, known_language
from retrograd.seeing.text import number

SMALL = 4096  # entries of a Jacobian that is written out
STORED = 1 << 22  # numbers of blocks, and of places of entries, that are kept
SKETCHED = 1 << 20  # places of blocks of which a sketch is made


class Jacobian:
    """∂result/∂operand of one call, m x n: m elements of the result, n of the operand.

    Args:
        shapes: of the result and of the operand.
        pull: from a cotangent of the result's shape to the operand's, by the rule that backward uses; None: it cannot be run again.
        kind: what is said of it, a key of SENTENCES.
        about: numbers and names for that sentence.
    """

    def __init__(
        self,
        shapes: tuple[tuple[int, ...], tuple[int, ...]],
        pull: Callable[[ndarray], ndarray] | None,
        kind: str = "dense",
        dtype: Any = np.float64,
        **about: Any,
    ) -> None:
        self.result, self.operand = shapes
        self.m, self.n = (int(np.prod(s, dtype=np.int64)) for s in shapes)
        self.pull, self.kind, self.dtype, self.about = pull, kind, np.dtype(dtype), about

    @property
    def size(self) -> tuple[int, int]:
        """(m, n)."""
        return self.m, self.n

    @property
    def small(self) -> bool:
        """Whether it is written out."""
        return self.m * self.n <= SMALL and self.dtype.kind == "f"

    @property
    def places(self) -> int:
        """How many entries may be other than zero."""
        return self.m * self.n

    @cached_property
    def nonzero(self) -> int | None:
        """How many entries are not zero; None if that is not known without writing it out."""
        return int(np.count_nonzero(self.explicit())) if self.small and self.pull is not None else None

    def vjp(self, v: ndarray) -> ndarray:
        """Jᵀv, of the operand's shape, by the operation's own rule.

        Raises:
            ValueError: if the rule cannot be run again.
        """
        if self.pull is None:
            raise ValueError("the rule of this operation cannot be run again: what it needs was freed or not kept")
        return self.pull(np.asarray(v).reshape(self.result)).reshape(self.operand)

    def transposed(self, v: ndarray) -> ndarray:
        """Jᵀv for v of m numbers, from the entries alone. Raises ValueError where they are not to be had."""
        return np.asarray(v @ self.explicit())

    def applied(self, columns: ndarray) -> ndarray:
        """J times a matrix (n, k), from the entries alone. Raises ValueError where they are not to be had."""
        return np.asarray(self.explicit() @ columns)

    @property
    def known(self) -> bool:
        """Whether its entries are to be had."""
        return self.small and self.pull is not None

    @property
    def largest(self) -> float:
        """The largest entry's absolute value; 0 where entries are not to be had."""
        numbers = self.values if isinstance(self, Entries) else None
        if isinstance(self, (Blocks, Windows)) and self.known:
            numbers = self.matrices if isinstance(self, Blocks) else self.at[1]
        if numbers is None:
            numbers = self.explicit() if self.known else np.zeros(1)
        return float(np.abs(numbers).max(initial=0))

    def explicit(self) -> ndarray:
        """The whole matrix (m, n).

        Raises:
            ValueError: if it has more than SMALL entries, or cannot be had.
        """
        if not self.small:
            if self.dtype.kind != "f":
                raise ValueError(f"a Jacobian of {self.dtype} numbers is not written out")
            weight = self.m * self.n * self.dtype.itemsize / 1e9
            raise ValueError(
                f"a Jacobian of {self.m} x {self.n} is not written out: it has {self.m * self.n:,} entries, {weight:.3g} GB (the most is {SMALL})"
            )
        return self.matrix

    @cached_property
    def matrix(self) -> ndarray:
        """The whole matrix, however large."""
        out = np.empty((self.m, self.n), self.dtype)
        for i in range(self.m):
            out[i] = self.row(i)
        return out

    def row(self, i: int) -> ndarray:
        """One row."""
        unit = np.zeros(self.m, self.dtype)
        unit[i] = 1
        return self.vjp(unit).reshape(-1)

    def entries(self, limit: int = 6) -> ndarray:
        """The first corner, of at most limit x limit entries. Raises ValueError if it cannot be had."""
        return np.array([self.row(i)[:limit] for i in range(min(limit, self.m))]).reshape(min(limit, self.m), min(limit, self.n))

    def sketch(self, side: int = 24) -> ndarray | None:
        """Where its entries are, from afar: at most side x side cells, True where an entry may be other than zero; None if that is not known."""
        if not self.m or not self.n or self.pull is None:
            return None
        if self.small:
            rows, columns = np.nonzero(self.explicit())
            return self.cells(rows, columns, side)
        return np.ones((min(self.m, side), min(self.n, side)), bool) if type(self) is Jacobian else None

    def cells(self, rows: ndarray, columns: ndarray, side: int) -> ndarray:
        """Places as the cells in which they lie."""
        height, width = min(self.m, side), min(self.n, side)
        found = np.zeros((height, width), bool)
        found[rows * height // self.m, columns * width // self.n] = True
        return found

    def sentence(self, language: str | None = None) -> str:
        """What it is, in words.

        Raises:
            ValueError: if there are no texts in the language.
        """
        language = known_language(language)
        known = {"m": self.m, "n": self.n, "total": self.m * self.n, "places": self.places, "nonzero": self.nonzero, **self.about}
        shown = {k: grouped(x, language) if isinstance(x, int) else number(x) if isinstance(x, float) else x for k, x in known.items()}
        return SENTENCES[language][self.kind].format(**shown)

    def __repr__(self) -> str:
        return f"<Jacobian {self.m} x {self.n}, {self.kind}>"


class Entries(Jacobian):
    """At most one entry in each row (`rows` None) or in each column (`columns` None); both None: a diagonal. A place of -1: none."""

    def __init__(
        self, shapes: Any, pull: Any, kind: str, values: ndarray, rows: ndarray | None, columns: ndarray | None, **about: Any
    ) -> None:
        super().__init__(shapes, pull, kind, values.dtype, **about)
        self.values, self.rows, self.columns = values.reshape(-1), rows, columns

    @property
    def places(self) -> int:
        where = self.columns if self.columns is not None else self.rows
        return self.values.size if where is None else int((where >= 0).sum())

    @cached_property
    def nonzero(self) -> int | None:
        where = self.columns if self.columns is not None else self.rows
        return int(np.count_nonzero(self.values if where is None else self.values[where >= 0]))

    @property
    def known(self) -> bool:
        return True

    def sketch(self, side: int = 24) -> ndarray | None:
        count = np.arange(self.values.size)
        rows, columns = count if self.rows is None else self.rows, count if self.columns is None else self.columns
        there = (rows >= 0) & (columns >= 0) & (self.values != 0)
        return self.cells(rows[there], columns[there], side) if self.m and self.n else None

    @staticmethod
    def taken(v: ndarray, where: ndarray) -> ndarray:
        """Elements (rows of a matrix) at places, zero at -1."""
        if not len(v):
            return np.zeros((*where.shape, *v.shape[1:]), v.dtype)
        found = v[where]
        found[where < 0] = 0
        return found

    @staticmethod
    def added(v: ndarray, where: ndarray, size: int) -> ndarray:
        """Elements (rows of a matrix) added up at their places."""
        out = np.zeros((size + 1, *v.shape[1:]), v.dtype)
        np.add.at(out, where, v)
        return out[:size]

    def transposed(self, v: ndarray) -> ndarray:
        if self.rows is not None:
            return self.values * self.taken(v, self.rows)
        product = self.values * v
        return product if self.columns is None else self.added(product, self.columns, self.n)

    def applied(self, columns: ndarray) -> ndarray:
        values = self.values[:, None]
        if self.columns is not None:
            return values * self.taken(columns, self.columns)
        product = values * columns
        return product if self.rows is None else self.added(product, self.rows, self.m)

    @cached_property
    def matrix(self) -> ndarray:
        out = np.zeros((self.m, self.n), self.dtype)
        count = np.arange(self.values.size)
        rows, columns = count if self.rows is None else self.rows, count if self.columns is None else self.columns
        there = (rows >= 0) & (columns >= 0)
        out[rows[there], columns[there]] = self.values[there]
        return out

    def row(self, i: int) -> ndarray:
        out = np.zeros(self.n, self.dtype)
        if self.rows is not None:
            chosen = self.rows == i
            out[chosen] = self.values[chosen]
        elif (at := i if self.columns is None else int(self.columns[i])) >= 0:
            out[at] = self.values[i]
        return out


class Blocks(Jacobian):
    """Matrices (G, p, q), each at r places: rows (G, r, p) by columns (G, r, q), which may be shared; a place of -1: outside.

    Args:
        layout: gives the places, and `matrices` the numbers (None: by unit vectors, one for each row of a block).
        places: how many entries they are.
    """

    def __init__(
        self,
        shapes: Any,
        pull: Any,
        kind: str,
        dtype: Any,
        layout: Callable[[], tuple[ndarray, ndarray]],
        block: tuple[int, int, int, int],
        matrices: Callable[[], ndarray] | None,
        places: int | None = None,
        **about: Any,
    ) -> None:
        groups, repeats, p, q = block
        super().__init__(shapes, pull, kind, dtype, groups=groups, r=repeats, p=p, q=q, blocks=groups * repeats, **about)
        self.block, self.layout, self.given = block, layout, matrices
        self._places = groups * repeats * p * q if places is None else places

    @property
    def places(self) -> int:
        return self._places

    @property
    def known(self) -> bool:
        groups, repeats, p, q = self.block
        if self.given is None and (self.pull is None or p > SMALL):
            return False
        return groups * p * q <= STORED and groups * repeats * (p + q) <= STORED

    def sketch(self, side: int = 24) -> ndarray | None:
        groups, repeats, p, q = self.block
        if groups * repeats * (p + q) > SKETCHED:
            return None
        height, width = min(self.m, side), min(self.n, side)
        touched = []
        for places, size, total in zip(self.at, (height, width), (self.m, self.n), strict=True):
            cells = np.where(places < 0, size, places * size // total).reshape(-1, places.shape[-1])  # of each block, in which cells
            hit = np.zeros((len(cells), size + 1), np.float32)
            hit[np.arange(len(cells))[:, None], cells] = 1
            touched.append(hit[:, :size])
        return np.asarray(touched[0].T @ touched[1] > 0)

    @cached_property
    def at(self) -> tuple[ndarray, ndarray]:
        """Rows and columns of all blocks."""
        return self.layout()

    @cached_property
    def matrices(self) -> ndarray:
        """The matrices (G, p, q). Raises ValueError if they are too many numbers."""
        if not self.known:
            raise ValueError(f"the blocks of a Jacobian of {self.m} x {self.n} are too many numbers to be kept")
        if self.given is not None:
            return self.given()
        groups, _, p, q = self.block
        rows, columns = self.at
        out = np.empty((groups, p, q), self.dtype)
        for i in range(p):  # a row of every block at once
            v = np.zeros(self.m, self.dtype)
            v[rows[:, 0, i]] = 1
            out[:, i] = self.vjp(v).reshape(-1)[columns[:, 0]]
        return out

    @cached_property
    def nonzero(self) -> int | None:
        if not self.known:
            return None
        counts = np.count_nonzero(self.matrices, (1, 2))
        if self._places == int(np.prod(self.block, dtype=np.int64)):
            return int(counts.sum()) * self.block[1]
        return int(np.count_nonzero(self.matrix)) if self.small else None

    def transposed(self, v: ndarray) -> ndarray:
        rows, columns = self.at
        product = Entries.taken(v, rows) @ self.matrices
        return Entries.added(product.reshape(-1), columns.reshape(-1), self.n)

    def applied(self, columns: ndarray) -> ndarray:
        at_rows, at_columns = self.at
        taken = Entries.taken(columns, at_columns)  # (G, r, q, k)
        product = np.einsum("gpq,grqk->grpk", self.matrices, taken)
        return Entries.added(product.reshape(-1, columns.shape[1]), at_rows.reshape(-1), self.m)

    @cached_property
    def matrix(self) -> ndarray:
        if not self.known:
            return super().matrix
        rows, columns = self.at
        out = np.zeros((self.m + 1, self.n + 1), self.dtype)
        np.add.at(out, (rows[..., :, None], columns[..., None, :]), self.matrices[:, None])
        return out[: self.m, : self.n]


class Windows(Jacobian):
    """Some entries in each row: at columns (m, taps), a place of -1: none; with values (m, taps), or (m, 1) where all of a row are equal.

    Args:
        layout: gives columns and values.
        taps: entries in a row, at most.
        places: how many entries there are.
    """

    def __init__(
        self, shapes: Any, pull: Any, kind: str, dtype: Any, layout: Callable[[], tuple[ndarray, ndarray]], taps: int, places: int
    ) -> None:
        super().__init__(shapes, pull, kind, dtype, taps=taps)
        self.layout, self.taps, self._places = layout, taps, places

    @property
    def places(self) -> int:
        return self._places

    @property
    def known(self) -> bool:
        return self.m * self.taps <= STORED

    def sketch(self, side: int = 24) -> ndarray | None:
        if not self.known or not self.m or not self.n:
            return None
        columns, values = self.at
        rows = np.broadcast_to(np.arange(self.m)[:, None], columns.shape)
        there = values != 0
        return self.cells(rows[there], columns[there], side)

    @cached_property
    def at(self) -> tuple[ndarray, ndarray]:
        """Columns and values. Raises ValueError if they are too many numbers."""
        if not self.known:
            raise ValueError(f"the entries of a Jacobian of {self.m} x {self.n} are too many numbers to be kept")
        columns, values = self.layout()
        return columns, np.where(columns < 0, 0, values).astype(self.dtype)

    @cached_property
    def nonzero(self) -> int | None:
        return int(np.count_nonzero(self.at[1])) if self.known else None

    def transposed(self, v: ndarray) -> ndarray:
        columns, values = self.at
        return Entries.added((values * v[:, None]).reshape(-1), columns.reshape(-1), self.n)

    def applied(self, columns: ndarray) -> ndarray:
        at, values = self.at
        return np.einsum("mt,mtk->mk", values, Entries.taken(columns, at))

    @cached_property
    def matrix(self) -> ndarray:
        columns, values = self.at
        out = np.zeros((self.m, self.n + 1), self.dtype)
        np.add.at(out, (np.arange(self.m)[:, None], columns), values)
        return out[:, : self.n]

    def row(self, i: int) -> ndarray:
        columns, values = self.at
        return Entries.added(values[i], columns[i], self.n)
