"""Pictures: a step's graph, its ledger and the flow, as SVG or PNG.

The graph is written as SVG by `drawing`; everything else, and PNG, is drawn by matplotlib (extra `cli`).
"""

from __future__ import annotations

import importlib
import itertools
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from retrograd.core.tape import Node
from retrograd.seeing.drawing import FILLS, HEIGHT, LINES, WIDTH, Box, Drawing, cut
from retrograd.seeing.flow import Flow
from retrograd.seeing.language import known_language
from retrograd.seeing.ledger import Ledger
from retrograd.seeing.picture_texts import PICTURE
from retrograd.seeing.record import BINS, Call, Failure, Record, Step, Value
from retrograd.seeing.replay import sources
from retrograd.seeing.text import number, shape_of

MOST_BOXES = 150  # in a picture; a graph with more is drawn by module
MOST_CURVES = 12
FORMATS = (".svg", ".png")


def graph(record: Record, step: int = -1, language: str | None = None) -> Drawing:
    """The graph of a step from its inputs and parameters to the loss; where it is large, each call of a module is one box.

    Raises:
        KeyError: if there is no such step.
        ImportError: if fast-sugiyama is not installed.
    """
    seen = record.step(step)
    failure = record.failure if record.failure is not None and record.failure.step == seen.number else None
    calls = on_the_way(seen)
    depths = [None, *range(max((len(c.modules) for c in calls), default=0), 0, -1)]
    for depth in depths:
        groups = grouped(calls, depth)
        if len(groups) <= MOST_BOXES:
            break
    return drawn(seen, groups, failure, PICTURE[known_language(language)])


def on_the_way(step: Step) -> list[Call]:
    """The calls that lead to where backward passes began; without a pass, all on the tape."""
    roots = [r for p in step.passes for r in p.roots if r is not None and r.call is not None]
    if not roots:
        return [c for c in step.calls if c.node is not None] or step.calls
    made_by = makers(step)
    found: set[int] = set()
    stack = [r.call for r in roots if r.call is not None]
    while stack:
        call = stack.pop()
        if id(call) not in found:
            found.add(id(call))
            stack.extend(maker for maker, _ in made_by(call) if maker is not None)
    return [c for c in step.calls if id(c) in found]


def makers(step: Step) -> Callable[[Call], Iterator[tuple[Call | None, Value | None]]]:
    """Of a call's operands, the call that made each, as a value or by the tape alone, and the value."""
    source = sources(step)

    def made_by(call: Call) -> Iterator[tuple[Call | None, Value | None]]:
        for i, x in enumerate(call.operands):
            if isinstance(x, Value):
                yield x.call, x
            elif (found := source(call, i)) is not None:
                yield found[0], None

    return made_by


def grouped(calls: list[Call], depth: int | None) -> list[list[Call]]:
    """Calls one by one, or those in a row that ran in the same module down to a depth."""
    groups: list[list[Call]] = []
    for call in calls:
        if depth is not None and groups and call.modules and groups[-1][0].modules[:depth] == call.modules[:depth]:
            groups[-1].append(call)
        else:
            groups.append([call])
    return groups


def drawn(step: Step, groups: list[list[Call]], failure: Failure | None, say: dict[str, str]) -> Drawing:
    """Boxes for groups of calls, for parameters and for inputs."""
    boxes: list[Box] = []
    lines: list[tuple[int, int]] = []
    maker = {id(call): i for i, group in enumerate(groups) for call in group}
    failed = failure.backward if failure is not None else None
    for group in groups:
        boxes.append(box_of(group, step, failed, say))
    leaves: dict[int, int] = {}
    made_by = makers(step)

    def join(call: Call | None, value: Value | None, to: int) -> None:
        """A line from what made an operand."""
        source = None if call is None else maker.get(id(call))
        if source is None and value is not None:
            if len(groups) < len(maker) and value.kind == "parameter":
                return  # of modules that are one box
            source = leaves.get(value.number)
            if source is None:
                source = leaves[value.number] = len(boxes)
                kind = "parameter" if value.kind in ("parameter", "buffer") else "input"
                boxes.append(Box(kind, value.label, shape_of(value.shape), f"{value.label} {shape_of(value.shape)} {value.dtype}"))
        if source is not None and source != to:
            lines.append((source, to))

    for i, group in enumerate(groups):
        for call in group:
            for made, value in made_by(call):
                join(made, value, i)
    if failure is not None and failure.operation is not None and failed is None:  # forward: it gave nothing, so no line leads on
        to = len(boxes)
        boxes.append(Box("failed", failure.operation, say["failed"], f"{failure.kind}: {failure.message}\n{failure.place or ''}"))
        for x in failure.operands:
            if isinstance(x, Value):
                join(x.call, x, to)
    return Drawing(boxes, lines, say["description"].format(step=step.number, n=len(boxes), m=len(set(lines)))).place()


def box_of(group: list[Call], step: Step, failed: Call | None, say: dict[str, str]) -> Box:
    """A call, or several of one module."""
    last = group[-1]
    result = last.results[0] if last.results else None
    kind = "loss" if any(r is step.root for r in last.results) else "operation"
    title = last.name if len(group) == 1 else common(group)
    about = " · ".join(
        filter(None, (last.module if len(group) == 1 else say["calls"].format(n=len(group)), shape_of(result.shape) if result else ""))
    )
    if kind == "loss" and result is not None and result.snapshot.array is not None and result.snapshot.size == 1:
        title, about = f"{say['loss']}: {number(float(result.snapshot.array.real.item()))}", last.name
    tip = "\n".join(filter(None, (title, about, str(last.place) if last.place else "", last.place.expression if last.place else "")))
    if failed is not None and failed in group:
        kind, about = "failed", say["failed"]
    return Box(kind, title, about, tip)


def common(group: list[Call]) -> str:
    """The innermost module in which all of some calls ran."""
    paths = [path for path, _ in group[0].modules]
    for call in group[1:]:
        theirs = [path for path, _ in call.modules]
        paths = [a for a, b in zip(paths, theirs, strict=False) if a == b]
    return paths[-1] if paths else group[0].name


def tape(node: Node, most: int = MOST_BOXES) -> Drawing:
    """What leads to a node of the tape: the graph of a tensor's `grad_fn`, the nearest `most` nodes of it."""
    boxes, lines, numbers, leaves = [], [], {id(node): 0}, {}  # type: ignore[var-annotated]
    boxes.append(Box("operation", node.name()))
    queue = [node]
    for at in queue:
        for following, _ in at.next_functions:
            if following is None:
                continue
            leaf = getattr(following, "variable", None)
            key, known = (id(leaf), leaves) if leaf is not None else (id(following), numbers)
            if key not in known:
                if len(boxes) >= most:
                    continue
                known[key] = len(boxes)
                boxes.append(Box("operation", following.name()) if leaf is None else Box("parameter", "leaf", shape_of(tuple(leaf.shape))))
                if leaf is None:
                    queue.append(following)
            lines.append((known[key], numbers[id(at)]))
    return Drawing(boxes, lines, f"grad_fn: {len(boxes)} nodes").place()


# ---------------------------------------------------------------- by matplotlib


def figure(width: float, height: float) -> Any:
    """An empty picture.

    Raises:
        ImportError: if matplotlib is not installed.
    """
    try:
        made = importlib.import_module("matplotlib.figure").Figure(figsize=(width, height), layout="constrained")
        importlib.import_module("matplotlib.backends.backend_agg").FigureCanvasAgg(made)
    except ImportError:
        raise ImportError("this picture is drawn by matplotlib: pip install 'retrograd[cli]'") from None
    return made


def figure_of_drawing(drawing: Drawing) -> Any:
    """The same boxes and lines."""
    patches, path = importlib.import_module("matplotlib.patches"), importlib.import_module("matplotlib.path")
    made = figure(drawing.width / 96, drawing.height / 96)
    axes = made.add_subplot()
    axes.set_xlim(0, drawing.width)
    axes.set_ylim(drawing.height, 0)
    axes.set_axis_off()
    for points in drawing.routes:
        vertices, codes = [points[0]], [1]
        for (x0, y0), (x1, y1) in itertools.pairwise(points):
            vertices += [(x0, (y0 + y1) / 2), (x1, (y0 + y1) / 2), (x1, y1)]
            codes += [4, 4, 4]
        axes.add_patch(patches.FancyArrowPatch(path=path.Path(vertices, codes), arrowstyle="-|>", mutation_scale=8, color="#667", lw=0.9))
    for box in drawing.boxes:
        radius = HEIGHT / 2 if box.kind in ("parameter", "input") else 5
        axes.add_patch(patches.FancyBboxPatch(
            (box.x - WIDTH / 2 + radius, box.y - HEIGHT / 2 + radius), WIDTH - 2 * radius, HEIGHT - 2 * radius,
            boxstyle=f"round,pad={radius}", fc=FILLS[box.kind], ec=LINES[box.kind], lw=2 if box.kind == "failed" else 0.9,
        ))  # fmt: skip
        axes.text(
            box.x,
            box.y - (7 if box.about else 0),
            plain(cut(box.title)),
            ha="center",
            va="center",
            fontsize=8,
            weight="bold",
            color="#1b2330",
        )
        axes.text(box.x, box.y + 9, plain(cut(box.about, 28)), ha="center", va="center", fontsize=7, color="#3d4757")
    return made


def plain(text: str) -> str:
    """A text in which matplotlib finds no formula."""
    return text.replace("$", r"\$")


def figure_of_flow(flow: Flow, language: str | None = None) -> Any:
    """Loss, outputs, gradients and update ratios over the watched steps, and histograms of the last outputs."""
    say = PICTURE[known_language(language)]
    made = figure(11, 7.5)
    top, middle, bottom = made.subfigures(3, 1)
    pairs = [*top.subplots(1, 2), *middle.subplots(1, 2)]
    curves: list[tuple[str, dict[str, tuple[list[int], Any]]]] = [
        ("loss", {"": (flow.steps, flow.losses)}),
        ("output", {n: (x.activations.steps, x.activations.column("norm")) for n, x in flow.layers.items()}),
        ("gradient", {n: (w.gradients.steps, w.gradients.column("norm")) for n, w in flow.parameters.items() if w.gradients}),
        ("ratio", {n: (w.steps, w.ratios) for n, w in flow.parameters.items() if w.steps}),
    ]
    for axes, (name, lines) in zip(pairs, curves, strict=True):
        for label, (steps, values) in list(lines.items())[:MOST_CURVES]:
            axes.plot(steps, values, label=plain(label), marker="." if len(steps) < 30 else "", lw=1.2)
        found = [float(v) for _, values in lines.values() for v in values if math.isfinite(v)]
        if found and min(found) > 0 and max(found) / min(found) > 20:
            axes.set_yscale("log")
        axes.set_title(say[name], fontsize=10)
        axes.set_xlabel(say["step"], fontsize=8)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        if any(lines) and lines:
            axes.legend(fontsize=7)
    shown = [layer for layer in flow.layers.values() if len(layer.activations)][:6]
    if shown:
        bottom.suptitle(say["histogram"], fontsize=10)
        for axes, layer in zip(np.atleast_1d(bottom.subplots(1, len(shown))), shown, strict=True):
            series = layer.activations
            edges = np.linspace(series.last("least"), series.last("most"), BINS + 1)
            axes.stairs(series.histograms[-1], edges if edges[-1] > edges[0] else None, fill=True)
            axes.set_title(plain(layer.name), fontsize=8)
            axes.tick_params(labelsize=7)
            axes.set_yticks([])
    return made


def figure_of_ledger(ledger: Ledger, language: str | None = None) -> Any:
    """The updated parameters as heat maps: before, gradient, update."""
    say = PICTURE[known_language(language)]
    entries = [e for e in ledger if e.before is not None and e.before.array is not None and e.gradient is not None][:MOST_CURVES]
    made = figure(11, max(2.0, 1.7 * len(entries)))
    made.suptitle(say["update"].format(step=ledger.step))
    for row, axes in zip(entries, np.atleast_2d(made.subplots(max(1, len(entries)), 3)), strict=True) if entries else ():
        gradient = row.gradient.array if row.gradient is not None else None
        arrays = (row.before.array if row.before is not None else None, gradient, row.update)
        for a, array, name in zip(axes, arrays, ("before", "grad", "change"), strict=True):
            a.set_title(f"{plain(row.name)}: {say[name]}", fontsize=8)
            a.tick_params(labelsize=6)
            if array is None or not np.isfinite(array).any():
                a.set_axis_off()
                continue
            if array.ndim < 2:
                a.set_yticks([])
            matrix = np.atleast_2d(array.reshape(len(array), -1) if array.ndim > 2 else array).real.astype(np.float64)
            most = float(np.abs(matrix[np.isfinite(matrix)]).max()) or 1.0
            made.colorbar(
                a.imshow(matrix, cmap="RdBu_r", vmin=-most, vmax=most, aspect="auto", interpolation="nearest"), ax=a
            ).ax.tick_params(labelsize=6)
    return made


def save(what: Drawing | Flow | Ledger, path: str | Path, language: str | None = None) -> Path:
    """Writes a picture of a graph, a flow or a ledger; `.svg` or `.png` says as what.

    Raises:
        ValueError: if the file's name ends otherwise.
        ImportError: if a package of the extra `cli` is missing.
    """
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise ValueError(f"a picture is written as .svg or .png, got {path.name!r}")
    if isinstance(what, Drawing) and path.suffix.lower() == ".svg":
        path.write_text(what.svg(), encoding="utf-8")
        return path
    if isinstance(what, Drawing):
        made = figure_of_drawing(what)
    else:
        made = figure_of_flow(what, language) if isinstance(what, Flow) else figure_of_ledger(what, language)
    made.savefig(path, dpi=144)
    return path
