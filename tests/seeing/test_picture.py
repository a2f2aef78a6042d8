"""Pictures hold what the record holds: every operation, parameter and line, escaped."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import retrograd as torch
from retrograd import nn
from retrograd.seeing.flow import Flow
from retrograd.seeing.ledger import ledger
from retrograd.seeing.picture import graph, save, tape
from retrograd.seeing.picture_texts import PICTURE


class Block(nn.Module):
    """Two layers and a way around them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Any) -> Any:
        return x + self.last(torch.relu(self.first(x)))


def watched(blocks: int) -> Any:
    """A record of one step, with an evaluation that leads nowhere."""
    net, x = nn.Sequential(*(Block() for _ in range(blocks))), torch.rand(2, 4)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with torch.see() as record:
        loss = net(x).pow(2).mean()
        loss.exp()
        loss.backward()
        optimizer.step()
    return record


def test_the_graph_of_a_step():
    """Boxes for what leads to the loss, lines from operands; from top to bottom, none over another."""
    record = watched(2)
    drawing = graph(record)
    titles = [box.title for box in drawing.boxes]
    assert [t for t in titles if t in ("linear", "relu", "add", "square")] == ["linear", "relu", "linear", "add"] * 2 + ["square"]
    assert "exp" not in titles
    assert {"0.first.weight", "1.last.bias", "x"} <= set(titles)
    loss = next(box for box in drawing.boxes if box.kind == "loss")
    assert loss.title == f"loss: {record.step().root.snapshot.array.item():.4g}"
    assert loss.y == max(box.y for box in drawing.boxes)
    for a, b in drawing.lines:
        assert drawing.boxes[a].y < drawing.boxes[b].y
    assert all(abs(a.x - b.x) >= 168 or abs(a.y - b.y) >= 40 for a, b in itertools.combinations(drawing.boxes, 2))
    assert len(drawing.routes) == len(set(drawing.lines))
    root = ElementTree.fromstring(drawing.svg())
    assert len(root.findall(".//{http://www.w3.org/2000/svg}g")) == len(drawing.boxes)


def test_a_large_graph_is_drawn_by_module():
    """A box for each call of a module."""
    drawing = graph(watched(60))
    assert len(drawing.boxes) <= 150
    assert [box.title for box in drawing.boxes[:3]] == ["net.0", "net.1", "net.2"]


def test_where_a_program_failed():
    """The box is marked, forward and backward."""

    def refuse(g: Any) -> Any:
        raise ValueError("no gradient")

    def program() -> None:
        h = w * 3
        h.register_hook(refuse)
        (h + w).sum().backward()

    recorder, w = torch.see(), torch.ones(2, requires_grad=True)
    with pytest.raises(ValueError, match="no gradient"), recorder:
        program()
    assert recorder.record.failure.backward is not None
    assert [(box.title, box.about) for box in graph(recorder.record, language="es").boxes if box.kind == "failed"] == [
        ("mul", "falló aquí")
    ]
    recorder = torch.see()
    with pytest.raises(RuntimeError), recorder:
        (w * 3) @ torch.ones(5, 5)
    assert [(box.title, box.about) for box in graph(recorder.record, language="en").boxes if box.kind == "failed"] == [
        ("matmul", "failed here")
    ]


def test_the_graph_of_a_tensor():
    """Its grad_fn and all beneath."""
    w = torch.ones(2, requires_grad=True)
    drawing = tape((w * 2 + w).sum().grad_fn)
    assert [box.title for box in drawing.boxes] == ["SumBackward0", "AddBackward0", "MulBackward0", "leaf"]
    assert sorted(drawing.lines) == [(1, 0), (2, 1), (3, 1), (3, 2)]


@pytest.mark.parametrize("name", ["a.svg", "a.png"])
def test_files(name: str, tmp_path: Path):
    """Of each kind of picture."""
    record = watched(1)
    start = b"\x89PNG" if name.endswith("png") else b"<"
    for what in (graph(record), Flow(record), ledger(record)):
        assert save(what, tmp_path / name, "es").read_bytes().startswith(start)
    with pytest.raises(ValueError, match=r"\.svg or \.png"):
        save(graph(record), tmp_path / "a.jpg")


def test_names_are_escaped():
    """No name can put anything into the picture."""
    w = torch.ones(2, requires_grad=True)
    with torch.see() as record:
        (w * 2).sum().backward()
    record.step().values[0].name = "<script>"
    assert "<script>" not in graph(record).svg()
    assert "&lt;script&gt;" in graph(record).svg()


def test_without_the_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """The extra is named."""
    record = watched(1)
    monkeypatch.setitem(sys.modules, "fast_sugiyama", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"retrograd\[cli\]"):
        graph(record)
    with pytest.raises(ImportError, match=r"retrograd\[cli\]"):
        save(ledger(record), tmp_path / "a.png")


def test_texts_are_complete():
    """Both languages say the same things."""
    assert PICTURE["en"].keys() == PICTURE["es"].keys()


def test_what_failed_stands_beneath_what_it_took():
    net = nn.Sequential(nn.Linear(4, 3), nn.Linear(2, 2))
    with pytest.raises(RuntimeError), torch.see() as record:
        net(torch.rand(1, 4))
    drawing = graph(record)
    titles = {i: box.title for i, box in enumerate(drawing.boxes)}
    (failed,) = (i for i, box in enumerate(drawing.boxes) if box.kind == "failed")
    assert {titles[a] for a, b in drawing.lines if b == failed} == {"linear", "1.weight", "1.bias"}


def test_what_an_earlier_step_computed_is_joined_by_the_tape():
    one, two = nn.Linear(2, 2), nn.Linear(2, 1)
    first, second = torch.optim.SGD(one.parameters(), 0.1), torch.optim.SGD(two.parameters(), 0.1)
    with torch.see() as record:
        hidden = one(torch.ones(3, 2)).tanh()
        two(hidden.detach()).sum().backward()
        second.step()
        hidden.sum().backward()
        first.step()
    drawing = graph(record)
    joined = {(drawing.boxes[a].title, drawing.boxes[b].title) for a, b in drawing.lines}
    assert ("AddmmBackward0", "TanhBackward0") in joined
    assert {box.title for box in drawing.boxes} >= {"weight", "bias"}
