"""How results are shown as text: a result is a list of parts, paragraphs and tables, for plain text, rich, or HTML.

rich is an extra (`cli`); without it, what is printed is plain text.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from numpy import ndarray

from retrograd.seeing.language import known_language
from retrograd.seeing.record import Snapshot

WHOLE = 16  # elements of an array that is shown whole
GAP = 3  # characters between columns, at most
BARS = " ▁▂▃▄▅▆▇█"


@dataclass
class Table:
    """Rows of cells under headings. A cell may have several lines."""

    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    title: str = ""
    note: str = ""  # beneath
    right: frozenset[int] = frozenset()  # columns whose cells are numbers
    marked: frozenset[int] = frozenset()  # rows to be noticed
    optional: tuple[int, ...] = ()  # columns that are left out, this one first, where there is no room for all

    def fitted(self, width: int) -> Table:
        """Itself, or without some of the optional columns, so that lines have at most `width` characters if that can be."""
        widths = [max(len(line) for row in (self.columns, *self.rows) for line in row[i].split("\n")) for i in range(len(self.columns))]
        kept = list(range(len(self.columns)))
        for i in self.optional:
            if sum(widths[j] + GAP for j in kept) > width:
                kept.remove(i)
        if len(kept) == len(self.columns):
            return self
        rows = [tuple(row[i] for i in kept) for row in self.rows]
        right = frozenset(kept.index(i) for i in self.right if i in kept)
        return Table(tuple(self.columns[i] for i in kept), rows, self.title, self.note, right, self.marked)

    def plain(self) -> str:
        """As lines of text."""
        cells = [[cell.split("\n") for cell in row] for row in (self.columns, *self.rows)]
        widths = [max(len(line) for row in cells for line in row[i]) for i in range(len(self.columns))]
        lines = [self.title] if self.title else []
        for i, row in enumerate(cells):
            for at in range(max(map(len, row))):
                line = [cell[at] if at < len(cell) else "" for cell in row]
                padded = [t.rjust(w) if j in self.right else t.ljust(w) for j, (t, w) in enumerate(zip(line, widths, strict=True))]
                lines.append(("  " + "  ".join(padded)).rstrip())
            if i == 0:
                lines.append("  " + "  ".join("─" * w for w in widths))
        return "\n".join([*lines, self.note] if self.note else lines)

    def __rich_console__(self, console: Any, options: Any) -> Iterator[Any]:
        yield self.fitted(options.max_width).rich()

    def rich(self) -> Any:
        """As rich draws it."""
        from rich import box
        from rich.table import Table as RichTable
        from rich.text import Text

        made = RichTable(
            title=Text(self.title) if self.title else None, caption=Text(self.note) if self.note else None, box=box.SIMPLE_HEAD,
            title_justify="left", caption_justify="left", pad_edge=False, title_style="bold",
        )  # fmt: skip
        for i, heading in enumerate(self.columns):
            made.add_column(Text(heading), justify="right" if i in self.right else "left", overflow="fold", no_wrap=i in self.right)
        for i, row in enumerate(self.rows):
            made.add_row(*map(Text, row), style="bold red" if i in self.marked else None)
        return made

    def html(self) -> str:
        """As HTML, escaped."""

        def line(tag: str, row: Sequence[str], style: str = "") -> str:
            cells = (
                f'<{tag} style="text-align:{"right" if i in self.right else "left"};white-space:pre;vertical-align:top{style}">{escape(cell)}</{tag}>'
                for i, cell in enumerate(row)
            )
            return f"<tr>{''.join(cells)}</tr>"

        title = f'<caption style="text-align:left">{escape(self.title)}</caption>' if self.title else ""
        rows = (line("td", row, ";font-weight:bold" if i in self.marked else "") for i, row in enumerate(self.rows))
        note = f"<p>{escape(self.note)}</p>" if self.note else ""
        return f"<table>{title}<thead>{line('th', self.columns)}</thead><tbody>{''.join(rows)}</tbody></table>{note}"


Part = str | Table


class Shown:
    """What can be shown: whoever has `parts` can be printed, drawn by rich, and seen in a notebook."""

    language: str | None = None  # None: the locale's

    def parts(self, language: str) -> list[Part]:
        """Paragraphs and tables, in a language."""
        raise NotImplementedError

    def text(self, language: str | None = None) -> str:
        """As plain text.

        Args:
            language: "en" or "es"; None: its own, or else the locale's.

        Raises:
            ValueError: if there are no texts in the language.
        """
        return plain(self.parts(known_language(language or self.language)))

    def __str__(self) -> str:
        return self.text()

    def __rich__(self) -> Any:
        return rich_group(self.parts(known_language(self.language)))

    def _repr_html_(self) -> str:
        return html_of(self.parts(known_language(self.language)))


def plain(parts: Sequence[Part]) -> str:
    """Parts as text, with an empty line between."""
    return "\n\n".join(part if isinstance(part, str) else part.plain() for part in parts)


def rich_group(parts: Sequence[Part]) -> Any:
    """Parts as one thing that rich can print."""
    from rich.console import Group
    from rich.text import Text

    return Group(*(x for part in parts for x in ((Text(part),) if isinstance(part, str) else (part,)) + (Text(),)))


def html_of(parts: Sequence[Part]) -> str:
    """Parts as HTML, escaped."""
    return "".join(f'<p style="white-space:pre-wrap">{escape(part)}</p>' if isinstance(part, str) else part.html() for part in parts)


# ---------------------------------------------------------------- numbers


def number(x: float | None) -> str:
    """A number in four digits, "–" where there is none.

    >>> number(0.123456), number(1234567.0), number(3), number(None)
    ('0.1235', '1.235e+06', '3', '–')
    """
    if x is None:
        return "–"
    return str(x) if isinstance(x, int) else f"{x:.4g}"


def share(x: float) -> str:
    """A part of a whole in percent, "–" where there is none.

    >>> share(0.5), share(0.0004), share(0.0), share(float("nan"))
    ('50 %', '0.04 %', '0 %', '–')
    """
    return "–" if math.isnan(x) else f"{100 * x:.2g} %" if x < 0.995 else f"{100 * x:.3g} %"


def shape_of(shape: Sequence[int]) -> str:
    """A shape as people write it.

    >>> shape_of((256, 784)), shape_of((3,)), shape_of(())
    ('256×784', '3', '()')
    """
    return "×".join(map(str, shape)) or "()"


def corner(array: ndarray, rows: int = 3, columns: int = 4) -> str:
    """The numbers of a small array, of a large one those in its first corner.

    >>> print(corner(np.arange(6.0).reshape(2, 3)))
    0  1  2
    3  4  5
    >>> print(corner(np.zeros((9, 9)), 2, 2))
    0  0  …
    0  0  …
    ⋮
    """
    if array.ndim == 0:
        return number(array.item())
    while array.ndim > 2:
        array = array[0]
    whole = array.size <= WHOLE
    grid = np.atleast_2d(array)
    shown = grid if whole else grid[:rows, :columns]
    cells = [[number(x) for x in line] for line in shown.tolist()]
    widths = [max(len(line[i]) for line in cells) for i in range(shown.shape[1])]
    cut = "  …" if shown.shape[1] < grid.shape[1] else ""
    lines = ["  ".join(cell.rjust(w) for cell, w in zip(line, widths, strict=True)) + cut for line in cells]
    return "\n".join([*lines, "⋮"] if shown.shape[0] < grid.shape[0] else lines)


def numbers_in(snapshot: Snapshot | None) -> str:
    """The numbers of a snapshot as far as they are shown."""
    return "–" if snapshot is None else "…" if snapshot.array is None else corner(snapshot.array)


def bars(counts: Sequence[float], width: int = 16) -> str:
    """A histogram, or a curve, as blocks of eight heights.

    >>> bars([0, 1, 2, 4])
    ' ▂▄█'
    """
    if len(counts) > width:
        edges = np.linspace(0, len(counts), width + 1).astype(int)
        counts = [float(np.mean(counts[a:b])) for a, b in itertools.pairwise(edges)]
    top = max((c for c in counts if math.isfinite(c)), default=0)
    return "".join(BARS[math.ceil(8 * c / top)] if top > 0 and math.isfinite(c) and c > 0 else " " for c in counts)


def curve(values: Sequence[float], width: int = 16) -> str:
    """A series as blocks between its least and its most; "" of a single number.

    >>> curve([5.0, 3.0, 1.0])
    '█▅▁'
    """
    good = [v for v in values if math.isfinite(v)]
    if len(good) < 2:
        return ""
    least, most = min(good), max(good)
    if len(values) > width:
        values = [values[round(i * (len(values) - 1) / (width - 1))] for i in range(width)]
    span = most - least
    return "".join(BARS[1 + (round(7 * (v - least) / span) if span else 0)] if math.isfinite(v) else "!" for v in values)
