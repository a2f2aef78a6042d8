"""The picture of a training: the first layer's weights before and after as images, and loss and accuracy by epoch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

SIDE = 28
ROWS, COLUMNS = 4, 6  # of hidden units shown
WIDEST = 1e6  # of the colour scale: weights that have run away are beyond it


def tiles(weights: Any, units: Any) -> Any:
    """The weights of some hidden units, each an image of 28 x 28, beside and below each other."""
    out = np.full((ROWS * (SIDE + 1) - 1, COLUMNS * (SIDE + 1) - 1), np.nan)
    for i, unit in enumerate(units):
        r, c = divmod(i, COLUMNS)
        out[r * (SIDE + 1) : r * (SIDE + 1) + SIDE, c * (SIDE + 1) : c * (SIDE + 1) + SIDE] = weights[unit].reshape(SIDE, SIDE)
    return out


def draw(training: Any, say: dict[str, str], title: str, path: Path) -> None:
    """Writes the picture as a PNG file."""
    before, after = training.before.numpy(), training.net[0].weight.detach().numpy()
    changed = np.abs(after - before).max(axis=1)
    units = np.argsort(-changed)[: ROWS * COLUMNS]  # those that learned most
    limit = min(float(np.abs(after[units]).max()), WIDEST)
    figure = Figure(figsize=(11, 7.2), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    top, bottom = figure.subfigures(2, 1, height_ratios=(1.25, 1))  # type: ignore[misc]
    for axes, weights, name in zip(top.subplots(1, 2), (before, after), ("before", "after"), strict=True):
        shown = axes.imshow(tiles(weights, units), cmap="RdBu_r", vmin=-limit, vmax=limit)
        axes.set_title(say[name], fontsize=10)
        axes.set_axis_off()
    top.colorbar(shown, ax=top.axes, shrink=0.8)
    for i, (axes, name) in enumerate(zip(bottom.subplots(1, 2), ("loss", "accuracy"), strict=True)):
        axes.plot(range(1, len(training.history) + 1), [epoch[i] for epoch in training.history], marker="o")
        axes.set_title(say[name], fontsize=10)
        axes.set_xlabel(say["epoch axis"])
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)
