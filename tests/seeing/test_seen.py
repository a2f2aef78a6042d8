"""A record answers for itself."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import retrograd as torch
from retrograd import nn
from retrograd.seeing.diagnosis import diagnose


def watched(steps: int, **options: Any) -> Any:
    """A record of some steps of a small network."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    x, y = torch.rand(8, 3), torch.rand(8, 1)
    with torch.see(**options) as record:
        for _ in range(steps):
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(net(x), y)
            loss.backward()
            optimizer.step()
    return record


def test_everything_is_a_method_away():
    """Chain, ledger, flow and diagnosis of one record agree with it."""
    record = watched(3)
    update = record.steps[-1].updates[0]
    assert record.chain("0.weight").target is update.leaf
    entry = record.ledger()["0.weight"]
    np.testing.assert_array_equal(entry.gradient.array, update.gradient.array)
    assert record.flow().steps == [0, 1, 2]
    assert record.diagnosis("en").text() == diagnose(record, "en").text()


@pytest.mark.parametrize(("history", "steps"), [(False, [8, 9]), (True, list(range(10)))])
def test_statistics_of_every_step_are_kept_on_request(history: bool, steps: list[int]):
    """Else there are those of the steps kept whole; asking twice changes nothing."""
    record = watched(10, keep=2, history=history)
    assert record.flow().steps == steps
    assert record.flow().steps == steps


def test_an_overview_in_both_languages():
    """With what was seen, and what can be asked."""
    record = watched(3, keep=2)
    assert record.text("en").startswith("3 steps watched, 2 kept whole: 4 operations, 1 backward pass, 4 updates")
    assert "mse_loss" in record.text("es")
    assert "pérdida" not in record.text("en")
    assert record._repr_html_().count("<tr>") == 5


@pytest.mark.parametrize("name", ["page.html", "picture.svg"])
def test_saving(tmp_path: Path, name: str):
    """By the ending of the file's name."""
    path = watched(1).save(tmp_path / name, "es", "<title>")
    text = path.read_text(encoding="utf-8")
    assert ("<!doctype html>" in text) == (name == "page.html")
    assert "<title><title>" not in text
    gc.collect()


def test_what_cannot_be_saved(tmp_path: Path):
    """Said before anything is written."""
    with pytest.raises(ValueError, match=r"\.html, \.svg or \.png"):
        watched(1).save(tmp_path / "x.pdf")
    with torch.see() as record:
        pass
    with pytest.raises(KeyError, match="nothing was recorded"):
        record.save(tmp_path / "x.html")
    assert record.text("en").startswith("Nothing was recorded")
    assert not list(tmp_path.iterdir())
