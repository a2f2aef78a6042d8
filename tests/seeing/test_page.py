"""The page's data hold the record's numbers, whole where they fit; names cannot break out of it; the file is in one piece."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import retrograd as torch
from retrograd import nn
from retrograd.seeing.page.arrays import BUDGET, Arrays, exact
from retrograd.seeing.page.data import data_of
from retrograd.seeing.page.graph import MOST, Group, Groups
from retrograd.seeing.page.page import joined, page
from retrograd.seeing.page.page_texts import PAGE
from retrograd.seeing.record import Record, Snapshot


def recorded(steps: int = 2) -> Record:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(25, 4), nn.ReLU(), nn.Linear(4, 2))
    x, y = torch.rand(3, 25), torch.rand(3, 2)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    with torch.see() as record:
        for _ in range(steps):
            optimizer.zero_grad()
            nn.functional.mse_loss(net(x), y).backward()
            nn.functional.mse_loss(net(x), y).backward()
            optimizer.step()
    return record


def data_in(html: str) -> dict[str, Any]:
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)[1])


def numbers(array: dict[str, Any], key: str = "whole") -> np.ndarray:
    held = array[key]
    found = np.frombuffer(base64.b64decode(held["data"]), {"f4": "<f4", "f8": "<f8"}[held["code"]])
    return found.reshape(array[key].get("shape", array["shape"]))


def test_numbers_are_the_records():
    record = recorded()
    data = data_in(page(record, "en"))
    for step, shown in zip(record.steps, data["steps"], strict=True):
        for value, held in zip(step.values, shown["values"], strict=True):
            assert held["label"] == value.label
            assert np.array_equal(numbers(data["arrays"][held["array"]]), value.snapshot.array)
        for pass_, held in zip(step.passes, shown["passes"], strict=True):
            for arrival, h in zip(pass_.arrivals, held["arrivals"], strict=True):
                before = 0 if arrival.before is None else arrival.before.array
                assert np.array_equal(numbers(data["arrays"][h["after"]]), before + arrival.g.array)
        for update, held in zip(step.updates, shown["updates"], strict=True):
            assert np.array_equal(numbers(data["arrays"][held["change"]]), update.after.array - update.before.array)


def test_every_moment_of_a_step_comes_once_and_in_order():
    step = recorded(1).steps[0]
    moments = data_of(recorded(1))["steps"][0]["moments"]
    kinds = [m["kind"] for m in moments]
    assert kinds.count("call") == len(step.calls)
    assert kinds.count("pull") == sum(len(p.pulls) for p in step.passes)
    assert kinds.count("arrival") == sum(len(p.arrivals) for p in step.passes) == 8
    assert [len(m["updates"]) for m in moments if m["kind"] == "update"] == [4]
    arrivals = [step.passes[m["pass"]].arrivals[m["arrival"]].passes for m in moments if m["kind"] == "arrival"]
    assert arrivals == [1] * 4 + [2] * 4


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64, np.bool_, np.complex64])
def test_arrays_come_back_as_they_were(dtype: type):
    array = (np.arange(6) * 1.25 - 2).astype(dtype).reshape(2, 3)
    held = exact(array)
    back = np.frombuffer(base64.b64decode(held["data"]), held["code"])
    back = back[::2] + 1j * back[1::2] if held.get("complex") else back
    assert np.array_equal(back.reshape(2, 3), array)


def test_whole_numbers_beyond_float32_are_kept():
    array = np.array([2**31 - 1, 16_777_217])
    assert np.frombuffer(base64.b64decode(exact(array)["data"]), exact(array)["code"]).tolist() == array.tolist()


def test_large_arrays_are_a_corner_a_picture_and_statistics():
    array = np.random.default_rng(0).standard_normal((300, 500)).astype(np.float32)
    array[0, 1] = np.nan
    arrays = Arrays()
    arrays.add(Snapshot(array))
    (held,) = arrays.encoded()
    assert "whole" not in held
    assert np.array_equal(numbers(held, "corner"), array[:6, :8], equal_nan=True)
    assert held["stats"]["nans"] == 1
    picture = held["picture"]
    levels = np.frombuffer(base64.b64decode(picture["data"]), np.uint8).reshape(picture["shape"])
    sampled = array[:: picture["strides"][0], :: picture["strides"][1]]
    assert levels[0, 0] != 0
    good = np.isfinite(sampled)
    assert np.abs((levels[good] - 128.0) / 127 * picture["scale"] - sampled[good]).max() <= picture["scale"] / 250


def test_enormous_tensors_are_statistics_only():
    with torch.see(limit=100) as record:
        (torch.ones(20, 20, requires_grad=True) * 2).sum().backward()
    held = data_of(record)["arrays"]
    assert [set(a) for a in held if a["shape"] == [20, 20]] == [{"shape", "dtype", "stats", "counts"}] * len(
        [a for a in held if a["shape"] == [20, 20]]
    )


def test_many_arrays_take_no_more_than_the_budget():
    arrays = Arrays()
    kept = [Snapshot(np.full((64, 64), i, np.float32)) for i in range(1500)]
    for snapshot in kept:
        arrays.add(snapshot)
    assert len(json.dumps(arrays.encoded())) < BUDGET


def test_groups_are_modules_and_long_runs_are_cut():
    x = torch.ones(2, requires_grad=True)
    with torch.see() as record:
        y = x
        for _ in range(500):
            y = y * 1.001
        y.sum().backward()
    step = record.step()
    groups = Groups(step)
    assert {call.number: group for group in groups.all for call in group.inside} == groups.of_call
    assert len(groups.of_call) == len(step.calls)
    assert max(len(g.inside) for g in groups.all) <= MOST
    modules = [(g["path"], g["kind"]) for g in data_of(recorded(1))["steps"][0]["groups"]]
    assert modules[:4] == [("net", "Sequential"), ("net.0", "Linear"), ("net.1", "ReLU"), ("net.2", "Linear")]
    assert modules[4:] == modules[:4]  # it is called twice


def test_what_prepares_data_stands_apart_from_what_has_a_history():
    net = nn.Linear(3, 2)
    with torch.see() as record:
        x = torch.stack([torch.tensor([i, 1.0, 2.0]) * 0.5 for i in range(100)])
        net(x).sum().backward()
    groups = Groups(record.step())
    part, module = [x for x in groups.top if isinstance(x, Group)]
    assert [(g.path, g.history) for g in (part, module)] == [("", False), ("net", True)]
    within = [g for g in groups.all if part in g.around()]
    assert [call.name for call in record.step().calls if groups.of_call.get(call.number) in within] == ["mul"] * 100 + ["stack"]
    assert not any(g.history for g in within)


def test_parts_of_long_runs_are_in_the_order_of_time_whatever_ran_between():
    net = nn.Linear(2, 2)
    y, between = torch.ones(2), torch.ones(2)
    with torch.see() as record:
        for _ in range(2500):
            y = net(y) * between
    groups = Groups(record.step())
    assert max(map(len, [groups.top, *(g.inside for g in groups.all)])) <= MOST

    def numbers(inside: list[Any]) -> list[int]:
        return [n for x in inside for n in (numbers(x.inside) if isinstance(x, Group) else [x.number])]

    assert numbers(groups.top) == list(range(5000))
    assert all(g.parent is None or g in g.parent.inside for g in groups.all)
    weight = next(v for v in record.step().values if v.kind == "parameter")
    assert weight.number not in groups.of_value  # all parts use it


def test_weights_of_inputs_that_are_squares_are_images():
    data = data_of(recorded(1))
    step = data["steps"][0]
    images = {v["label"] for v in step["values"] if "images" in data["arrays"][v["array"]]}
    assert "0.weight" in images
    assert "2.weight" not in images


def test_hostile_texts_stay_texts():
    evil = "</script><script>alert(1)</script><!--"
    with torch.see() as record:
        torch.ones(2, requires_grad=True).sum().backward()
    record.step().values[0].name = evil
    html = page(record, "en", title=evil + "{{program}}")
    assert "alert(1)</script>" not in html
    assert data_in(html)["steps"][0]["values"][0]["name"] == evil
    assert html.count("<script") == 3


def test_nothing_is_loaded_from_anywhere():
    html = page(recorded(1), "es")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)[1]
    assert policy.startswith("default-src &#x27;none&#x27;")
    assert "unsafe" not in policy
    assert "connect-src &#x27;none&#x27;" in policy
    assert not re.search(r'(src|href)="(?!#)', html.split('id="data"')[0])
    assert '<html lang="es">' in html


def test_a_record_of_nothing_and_one_of_a_crash_have_pages():
    with torch.see() as nothing:
        pass
    assert data_in(page(nothing, "en"))["steps"] == []
    with pytest.raises(RuntimeError), torch.see() as record:
        torch.ones(2, 3) @ torch.ones(4, requires_grad=True)
    assert data_in(page(record, "en"))["failure"]["kind"] == "RuntimeError"


def test_an_unknown_language_is_refused():
    with torch.see() as record:
        pass
    with pytest.raises(ValueError, match="language must be one of en, es"):
        page(record, "fr")


def test_the_texts_are_the_same_in_both_languages():
    assert PAGE["en"].keys() == PAGE["es"].keys()
    for key, text in PAGE["en"].items():
        assert sorted(re.findall(r"\{\w+\}", text)) == sorted(re.findall(r"\{\w+\}", PAGE["es"][key])), key


def test_the_programs_use_texts_that_there_are():
    used = set(re.findall(r'\bt\("([^"]+)"', joined()))
    assert used - PAGE["en"].keys() == set()
    assert not re.search(r"^(import|export) ", joined(), re.MULTILINE)


def test_the_library_does_not_load_the_page():
    program = "import sys, retrograd; assert not [m for m in sys.modules if m.startswith(('retrograd.seeing.page', 'http.server'))]"
    subprocess.run([sys.executable, "-c", program], check=True)
