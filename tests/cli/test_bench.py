"""`retrograd bench`, and the programs that it and the repository's benchmarks time."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest

import retrograd
from retrograd.cli import bench, timing, workloads
from retrograd.cli.main import main
from retrograd.cli.texts import BENCH, UserError


@pytest.mark.parametrize("language", ["en", "es"])
def test_the_table_has_every_row(language: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """In the language asked for, with a time for each contender."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(bench, "ROWS", (bench.note_row(1), bench.ROWS[-1]))
    assert main(["bench", "--seconds", "0.02", "--lang", language]) == 0
    printed = capsys.readouterr().out
    for text in ("note 1", "gpt"):
        line = next(line for line in printed.splitlines() if BENCH[language][text] in line)
        assert line.count("µs") + line.count("ms") == len(bench.contenders())
        assert line.count("x") >= len(bench.contenders()) - 1


def test_without_pytorch(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """It is only looked for."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(bench, "ROWS", (bench.note_row(1),))
    monkeypatch.setenv("COLUMNS", "200")
    assert "torch" not in bench.contenders()
    assert main(["bench", "--seconds", "0.01", "--lang", "en"]) == 0
    assert BENCH["en"]["no torch"] in " ".join(capsys.readouterr().out.split())


def test_without_rich(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """What to install is said."""
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert main(["bench"]) == 1
    assert "retrograd[cli]" in capsys.readouterr().err


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "long"])
def test_wrong_lengths(seconds: str, capsys: pytest.CaptureFixture[str]):
    """Exit status 2."""
    with pytest.raises(SystemExit) as found:
        main(["bench", "--seconds", seconds])
    assert found.value.code == 2
    assert "--seconds" in capsys.readouterr().err


def test_who_computes_something_else_is_not_timed(monkeypatch: pytest.MonkeyPatch):
    """A contender whose losses differ stops the benchmark, by name."""
    everyone = {"eager": (retrograd, lambda step: step), "compiled": (retrograd, lambda step: lambda *data: step(*data) * 1.01)}
    monkeypatch.setattr(bench, "contenders", lambda: everyone)
    with pytest.raises(UserError, match="losses of compiled"):
        bench.timed(bench.note_row(1), 0.01)


@pytest.mark.parametrize("row", bench.ROWS, ids=lambda row: row.title.replace(" ", "-"))
def test_programs_train_alike(row: bench.Row):
    """Steps change the loss, and PyTorch, where it is installed, computes the same."""
    step = bench.prepared(row, retrograd, lambda step: step)
    losses = [bench.first_number(step()) for _ in range(3)]
    assert np.isfinite(losses).all()
    if row.title != "pointwise":
        assert losses[2] < losses[1] < losses[0]
    torch = pytest.importorskip("torch")
    step = bench.prepared(row, torch, lambda step: step)
    np.testing.assert_allclose(losses, [bench.first_number(step()) for _ in range(3)], rtol=1e-4)


def test_parameters_must_be_those_of_the_module():
    """All of them, by name."""
    net = retrograd.nn.Linear(2, 3)
    numbers = workloads.layer(np.random.default_rng(0), "net", 3, 2)
    with pytest.raises(ValueError, match=r"expected parameters named \['bias', 'weight'\]"):
        workloads.loaded(retrograd, net, numbers)


def test_contenders_take_turns():
    """As often as there are rounds, each beginning in its turn."""
    log: list[str] = []
    steps = {name: lambda name=name: log.append(name) for name in "ab"}
    times = timing.turns(steps, rounds=4, seconds=1e-5)
    assert {name: len(found) for name, found in times.items()} == {"a": 4, "b": 4}
    begun = [name for before, name in zip([None, *log], log, strict=False) if name != before]
    assert "".join(begun) == "ab" + "ab" + "a" + "b" + "a"  # counting, then rounds of ab, ba, ab, ba, whose neighbours run together
    assert all(t > 0 for found in times.values() for t in found)


def test_texts_are_complete():
    """Both languages say the same things, and every row has its words."""
    assert BENCH["en"].keys() == BENCH["es"].keys()
    assert {row.title for row in bench.ROWS} < BENCH["en"].keys()
