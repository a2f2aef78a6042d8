"""Event files hold the flow's numbers."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import Any

import pytest

import retrograd as torch
from retrograd import nn
from retrograd.seeing.board import Board

event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")


def events(folder: Path) -> Any:
    """What the event files of a folder hold: (tag, step, number or histogram)."""
    for path in folder.glob("events*"):
        data, at = path.read_bytes(), 0
        while at < len(data):
            (length,) = struct.unpack_from("<Q", data, at)
            event = event_pb2.Event.FromString(data[at + 12 : at + 12 + length])
            at += 16 + length
            for value in event.summary.value:
                yield value.tag, event.step, value.histo if value.HasField("histo") else value.simple_value


def test_scalars_and_histograms_by_step(tmp_path: Path):
    """As steps finish; those watched before it began too."""
    torch.manual_seed(0)
    net, x = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)), torch.rand(4, 6)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    board = None
    with torch.see() as record:
        for i in range(4):
            if i == 2:
                board = Board(record, tmp_path)
            optimizer.zero_grad()
            net(x).pow(2).sum().backward()
            optimizer.step()
    board.close()
    assert record.listeners == []
    found = {(tag, step): value for tag, step, value in events(tmp_path)}
    flow = board.flow
    assert [step for tag, step in found if tag == "loss"] == [0, 1, 2, 3]
    for i, loss in enumerate(flow.losses):
        assert found["loss", i] == pytest.approx(loss, rel=1e-6)
    for i, ratio in enumerate(flow.parameters["0.weight"].ratios):
        assert found["update_to_weight/0.weight", i] == pytest.approx(ratio, rel=1e-6)
    histogram = found["output/net.1_relu/histogram", 3]
    assert list(histogram.bucket) == flow.layers["net.1 relu"].activations.histograms[3].tolist()
    assert histogram.max == pytest.approx(flow.layers["net.1 relu"].activations.last("most"))
    assert ("dead_units/net.1_relu", 3) in found


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The extra is named."""
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    monkeypatch.delitem(sys.modules, "retrograd.utils.tensorboard", raising=False)
    with torch.see() as record:
        pass
    with pytest.raises(ImportError, match=r"retrograd\[tensorboard\]"):
        Board(record, tmp_path)
