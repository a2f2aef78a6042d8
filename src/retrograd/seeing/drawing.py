"""A graph as boxes and lines, drawn as SVG.

The layers and the places in them are worked out by fast-sugiyama (extra `cli`).
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

MARGIN, WIDTH, HEIGHT, ROW = 16, 168, 40, 74  # of boxes, in pixels; and from one layer to the next
FILLS = {"operation": "#e8eef9", "parameter": "#fdf1dc", "input": "#e6f4ea", "loss": "#f3e3f5", "failed": "#fbd9d9"}
LINES = {"operation": "#5b76a8", "parameter": "#b98a2f", "input": "#4d8f62", "loss": "#8b4d95", "failed": "#c02626"}


@dataclass
class Box:
    """A node: two lines of text, and what more there is to say when one points at it."""

    kind: str  # a key of FILLS
    title: str
    about: str = ""
    tip: str = ""
    x: float = 0.0  # of its centre
    y: float = 0.0


@dataclass
class Drawing:
    """Boxes, lines between them (by number), and the size of it all."""

    boxes: list[Box]
    lines: list[tuple[int, int]]
    description: str
    routes: list[list[tuple[float, float]]] = field(default_factory=list)
    width: float = 0.0
    height: float = 0.0

    def place(self) -> Drawing:
        """Gives each box its place, from top to bottom.

        Raises:
            ImportError: if fast-sugiyama is not installed.
        """
        try:
            from_edges = importlib.import_module("fast_sugiyama").from_edges
        except ImportError:
            raise ImportError("pictures of graphs are laid out by fast-sugiyama: pip install 'retrograd[cli]'") from None
        edges = sorted(set(self.lines))
        at: dict[int, tuple[float, float]] = {}
        ways: dict[int, list[int]] = {}
        left = float(MARGIN)
        layouts = from_edges(edges, vertex_spacing=10, dummy_vertices=True, crossing_minimization="barycenter") if edges else []
        for positions, _, _, found in layouts:
            xs = sorted({x for _, (x, _) in positions})
            ys = sorted({y for _, (_, y) in positions}, reverse=True)
            ends = {a for a, _ in found or ()}
            if any(node not in ends for node, (_, y) in positions if y == ys[0]) and len(ys) > 1:
                ys.reverse()  # the first layer is at the top
            for node, (x, y) in positions:
                at[node] = left + WIDTH / 2 + (x - xs[0]) / 10 * (WIDTH + MARGIN), MARGIN + HEIGHT / 2 + ys.index(y) * ROW
            for a, b in found or ():
                ways.setdefault(a, []).append(b)
            left = max(x for x, _ in (at[n] for n, _ in positions)) + WIDTH / 2 + 2 * MARGIN
        for i, box in enumerate(self.boxes):
            if i not in at:  # no line leads to it
                at[i] = left + WIDTH / 2, MARGIN + HEIGHT / 2
                left += WIDTH + MARGIN
            box.x, box.y = at[i]
        self.routes = [route(edge, ways, at, len(self.boxes)) for edge in edges]
        points = [*((b.x, b.y) for b in self.boxes), *(p for r in self.routes for p in r)]
        self.width = max((x for x, _ in points), default=0) + WIDTH / 2 + MARGIN
        self.height = max((y for _, y in points), default=0) + HEIGHT / 2 + MARGIN
        return self

    def svg(self) -> str:
        """The placed drawing, as an SVG document; all text is escaped."""
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width:.0f} {self.height:.0f}" width="{self.width:.0f}" '
            f'height="{self.height:.0f}" role="img" font-family="system-ui, sans-serif" font-size="12"><title>{escape(self.description)}</title>'
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
            '<path d="M0 0L8 4L0 8z" fill="#667"/></marker></defs>'
            f'<rect width="{self.width:.0f}" height="{self.height:.0f}" fill="#ffffff"/>'
        ]
        for points in self.routes:
            parts.append(f'<path d="{smooth(points)}" fill="none" stroke="#667" stroke-width="1.2" marker-end="url(#tip)"/>')
        for box in self.boxes:
            radius = HEIGHT / 2 if box.kind in ("parameter", "input") else 5
            parts.append(
                f"<g><title>{escape(box.tip or box.title)}</title>"
                f'<rect x="{box.x - WIDTH / 2:.1f}" y="{box.y - HEIGHT / 2:.1f}" width="{WIDTH}" height="{HEIGHT}" rx="{radius:.0f}" '
                f'fill="{FILLS[box.kind]}" stroke="{LINES[box.kind]}" stroke-width="{2.5 if box.kind == "failed" else 1.2}"/>'
                f'<text x="{box.x:.1f}" y="{box.y - (3 if box.about else -4):.1f}" text-anchor="middle" font-weight="600" fill="#1b2330">{escape(cut(box.title))}</text>'
                + (
                    f'<text x="{box.x:.1f}" y="{box.y + 13:.1f}" text-anchor="middle" font-size="11" fill="#3d4757">{escape(cut(box.about, 28))}</text>'
                    if box.about
                    else ""
                )
                + "</g>"
            )
        return "".join([*parts, "</svg>"])


def route(edge: tuple[int, int], ways: dict[int, list[int]], at: dict[int, tuple[float, float]], real: int) -> list[tuple[float, float]]:
    """The points of a line: from below a box, through the places kept free in the layers between, to above another."""
    start, end = edge
    for first in ways.get(start, []):
        points, node = [], first
        while node >= real:
            points.append(at[node])
            node = ways[node][0]
        if node == end:
            break
    else:
        points = []
    (x0, y0), (x1, y1) = at[start], at[end]
    return [(x0, y0 + HEIGHT / 2), *points, (x1, y1 - HEIGHT / 2)]


def smooth(points: Sequence[tuple[float, float]]) -> str:
    """A path of curves that leave and arrive upright."""
    (x, y), *rest = points
    path = [f"M{x:.1f} {y:.1f}"]
    for to_x, to_y in rest:
        middle = (y + to_y) / 2
        path.append(f"C{x:.1f} {middle:.1f} {to_x:.1f} {middle:.1f} {to_x:.1f} {to_y:.1f}")
        x, y = to_x, to_y
    return "".join(path)


def cut(text: str, most: int = 24) -> str:
    """A text that fits into a box."""
    return text if len(text) <= most else text[: most - 1] + "…"
