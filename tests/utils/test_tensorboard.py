"""The writer takes tensors where tensorboardX takes arrays."""

from __future__ import annotations

from pathlib import Path

import pytest

import retrograd as torch

pytest.importorskip("tensorboardX")

from retrograd.utils.tensorboard import SummaryWriter
from tests.seeing.test_board import events


def test_tensors_are_numbers(tmp_path: Path):
    weights = torch.nn.Parameter(torch.arange(4.0))
    with SummaryWriter(str(tmp_path)) as writer:
        writer.add_scalar("loss", (weights * weights).sum(), 3)
        writer.add_scalars("pair", {"a": torch.tensor(1.5), "b": 2}, global_step=3)
        writer.add_histogram("weights", weights.bfloat16(), 3)
        writer.add_image("picture", torch.rand(3, 8, 8), 3)
    found = {tag: (step, value) for tag, step, value in events(tmp_path)}
    assert found["loss"] == (3, 14.0)
    step, histogram = found["weights"]
    assert (step, histogram.max, histogram.num) == (3, 3, 4)
    assert "picture" in found
    assert [(step, value) for _, step, value in events(tmp_path / "pair" / "a")] == [(3, 1.5)]


def test_graphs_are_seen_elsewhere(tmp_path: Path):
    with SummaryWriter(str(tmp_path)) as writer, pytest.raises(NotImplementedError, match=r"retrograd\.see"):
        writer.add_graph(torch.nn.Linear(2, 2), torch.rand(1, 2))
