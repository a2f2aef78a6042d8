"""TensorBoard: the loss, scalars and histograms of a flow as event files, written as steps finish.

The files are written through `utils.tensorboard`; `tensorboard --logdir FOLDER` shows them.
"""

from __future__ import annotations

import importlib
import math
from bisect import bisect_left
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from retrograd.seeing.flow import FIELDS, Flow, Series
from retrograd.seeing.record import BINS, Record, Step


class Board:
    """Writes a record's steps to a folder: those kept already, and each that finishes until it is closed.

    A context manager, which closes it.

    Args:
        record: what `see()` gave.
        folder: where event files go; it is made if it is not there.
        flow: of the record, if there is one already; else it has its own.

    Raises:
        ImportError: if tensorboardX is not installed.
    """

    def __init__(self, record: Record, folder: str | Path, flow: Flow | None = None) -> None:
        self.writer: Any = importlib.import_module("retrograd.utils.tensorboard").SummaryWriter(str(folder))
        self.record, self.flow = record, Flow(record) if flow is None else flow
        for step in self.flow.steps:
            self.write(step)
        record.listeners.append(self.add)

    def add(self, step: Step) -> None:
        """A step is over."""
        self.flow.add(step)
        self.write(step.number)

    def write(self, step: int) -> None:
        """What the flow has of a step."""
        loss = self.flow.losses[bisect_left(self.flow.steps, step)]
        if not math.isnan(loss):
            self.writer.add_scalar("loss", loss, step)
        for layer in self.flow.layers.values():
            name = layer.name.replace(" ", "_")  # tags have no blanks
            self.write_series(f"output/{name}", layer.activations, step)
            self.write_series(f"gradient_of_output/{name}", layer.gradients, step)
            row = layer.activations.row(step)
            for tag, shares in (("dead_units", layer.dead), ("saturated", layer.saturated)):
                if row is not None and not math.isnan(x := shares[row]):
                    self.writer.add_scalar(f"{tag}/{name}", x, step)
        for weights in self.flow.parameters.values():
            self.write_series(f"gradient/{weights.name}", weights.gradients, step)
            at = bisect_left(weights.steps, step)
            if at < len(weights.steps) and weights.steps[at] == step and weights.norms[at] > 0:
                self.writer.add_scalar(f"update_to_weight/{weights.name}", weights.updates[at] / weights.norms[at], step)
        self.writer.flush()

    def write_series(self, tag: str, series: Series, step: int) -> None:
        """A row as a norm and a histogram."""
        i = series.row(step)
        if i is None:
            return
        norm, mean, std, least, most = series.numbers[i * len(FIELDS) : i * len(FIELDS) + 5]
        counts = series.counts[i * BINS : (i + 1) * BINS]
        self.writer.add_scalar(f"{tag}/norm", norm, step)
        n = sum(counts)
        if n and math.isfinite(least) and math.isfinite(most):
            limits = np.linspace(least, most, BINS + 1)[1:] if most > least else least + np.arange(1, BINS + 1) * 1e-12
            self.writer.add_histogram_raw(
                f"{tag}/histogram", least, most, n, n * mean, n * (std**2 + mean**2), limits.tolist(), counts.tolist(), step
            )

    def close(self) -> None:
        """Ends the file, and stops listening."""
        if self.add in self.record.listeners:
            self.record.listeners.remove(self.add)
        self.writer.close()

    def __enter__(self) -> Board:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
