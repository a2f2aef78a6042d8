"""What the page holds of Jacobians, chains and crashes is what the library says; what there is no room for is left out, and said to be."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import numpy as np
import pytest

import retrograd as torch
from retrograd import nn
from retrograd.seeing.chain import chain
from retrograd.seeing.jacobian import jacobian
from retrograd.seeing.page import data as contents
from retrograd.seeing.page.data import data_of
from retrograd.seeing.page.page import page
from retrograd.seeing.page.products import EXPLICIT, Products
from retrograd.seeing.record import Record


def recorded(steps: int = 1, **options: Any) -> Record:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(40, 5), nn.Tanh(), nn.Linear(5, 3))
    x, y = torch.rand(4, 40), torch.randint(0, 3, (4,))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    with torch.see(**options) as record:
        for _ in range(steps):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(x), y)
            loss.backward()
            optimizer.step()
    return record


class Cube(torch.autograd.Function):
    """A function of the program's own."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (x,) = ctx.saved_tensors
        return 3 * x * x * g


def numbers(array: dict[str, Any]) -> np.ndarray:
    held = array["whole"]
    return np.frombuffer(base64.b64decode(held["data"]), {"f4": "<f4", "f8": "<f8"}[held["code"]]).reshape(array["shape"])


def test_small_jacobians_are_written_out_and_large_ones_sketched():
    record = recorded()
    data = data_of(record)
    written = sketched = 0
    for call, held in zip(record.step().calls, data["steps"][0]["calls"], strict=True):
        for at, found in enumerate(held["jacobians"] or ()):
            for j in found or ():
                real = jacobian(call, at, j["output"])
                assert (j["rows"], j["columns"], j["text"]["es"]) == (real.m, real.n, real.sentence("es"))
                if real.m * real.n <= EXPLICIT:
                    assert np.array_equal(numbers(data["arrays"][j["matrix"]]), real.explicit())
                    written += 1
                else:
                    assert j["matrix"] is None
                    shape = j["sketch"]["shape"]
                    bits = np.unpackbits(np.frombuffer(base64.b64decode(j["sketch"]["data"]), np.uint8), count=shape[0] * shape[1])
                    assert np.array_equal(bits.reshape(shape).astype(bool), real.sketch())
                    sketched += 1
    assert written > 4
    assert sketched == 1  # the first weights'


@pytest.mark.parametrize(
    "make",
    [
        lambda x: torch.tanh(x), lambda x: x.sum(1), lambda x: x.t(), lambda x: x @ torch.arange(12.0).reshape(6, 2), lambda x: x.softmax(1),
        lambda x: x.relu().cumsum(0), lambda x: x[:, [0, 2]], lambda x: nn.functional.max_pool1d(x[None], 2), lambda x: x.unsqueeze(0).expand(3, 30, 6),
        lambda x: nn.functional.avg_pool1d(x[None], 3, 1),
    ],
)  # fmt: skip
def test_a_sketch_shows_where_entries_are(make: Any):
    x = (torch.arange(180.0).reshape(30, 6) / 90 - 1).requires_grad_(True)
    with torch.see() as record:
        make(x).sum().backward()
    looked = 0
    for call in (c for c in record.step().calls if c.pulls):
        for at, out in enumerate(call.pulls[0].outgoing):
            j = jacobian(call, at) if out is not None else None
            cells = j.sketch(8) if j is not None else None
            if j is None or cells is None:
                continue
            rows, columns = np.nonzero(j.matrix)
            there = np.zeros(cells.shape, bool)
            there[rows * cells.shape[0] // j.m, columns * cells.shape[1] // j.n] = True
            assert (cells >= there).all()
            if j.kind not in ("dense", "blocks"):
                assert np.array_equal(cells, there), j
            looked += 1
    assert looked


def test_checks_are_the_chains():
    record = recorded()
    step = data_of(record)["steps"][0]
    named = {record.step().values[n].label: held for n, held in step["checks"].items()}
    assert set(named) == {"0.weight", "0.bias", "2.weight", "2.bias"}
    for name, held in named.items():
        real = chain(record, name, language="en").checks
        assert [(c["kind"], c["verdict"], c["error"]) for c in held] == [(c.kind, c.verdict, c.error) for c in real]
        assert {c["verdict"] for c in held} <= {"exact", "rounding"}


def test_what_is_too_much_work_is_not_done():
    record = recorded()
    products = Products(record, lambda made: None, work=0, checks=0)
    assert all(products.of_call(call) is None for call in record.step().calls if call.pulls)
    found = products.of_step(record.step())
    assert set(found.values()) == {None}
    leaf = record.find("0.weight")
    assert products.checked(leaf, record.step(), at_all_costs=True)


def test_a_custom_function_has_its_place():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    with torch.see() as record:
        y = Cube.apply(x)
        y.sum().backward()
    data = data_of(record)
    step = data["steps"][0]
    (n, held) = next((n, c) for n, c in enumerate(step["calls"]) if c["name"] == "Cube")
    assert [step["values"][v]["label"] for v in held["results"]] == ["y"]
    assert numbers(data["arrays"][held["jacobians"][0][0]["matrix"]]).tolist() == [[3.0, 0.0], [0.0, 12.0]]
    assert {"kind": "call", "call": n} in step["moments"]
    assert held["sources"] == [None]
    (checks,) = step["checks"].values()
    assert {c["verdict"] for c in checks} <= {"exact", "rounding"}


def test_a_crash_forward_is_a_node_without_results():
    net = nn.Sequential(nn.Linear(3, 4), nn.Linear(5, 2))
    x = torch.ones(2, 3)
    with pytest.raises(RuntimeError), torch.see() as record:
        net(x)
    data = data_of(record)
    step, failure = data["steps"][-1], data["failure"]
    call = step["calls"][failure["call"]]
    assert (call["name"], call["results"], call["modules"][-1]) == ("linear", [], ["net.1", "Linear"])
    assert [step["values"][o["value"]]["label"] for o in call["operands"]] == ["linear#0", "1.weight", "1.bias"]
    group = step["groups"][call["group"]]
    assert (group["path"], step["groups"][group["parent"]]["path"]) == ("net.1", "net")
    assert step["moments"][-1] == {"kind": "crash"}
    assert call["place"]["expression"] == "net(x)"


def test_a_crash_backward_is_at_its_node_with_what_came_there():
    class Broken(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            raise ValueError("no derivative")

    x = torch.ones(3, requires_grad=True)
    with pytest.raises(ValueError, match="no derivative"), torch.see() as record:
        (Broken.apply(x) * 5).sum().backward()
    data = data_of(record)
    step, failure = data["steps"][-1], data["failure"]
    assert step["calls"][failure["call"]]["name"] == "Broken"
    assert failure["backward"]
    assert numbers(data["arrays"][failure["v"][0]]).tolist() == [5.0, 5.0, 5.0]
    assert [m["kind"] for m in step["moments"]][-1] == "crash"


def test_old_steps_are_left_out_where_there_is_no_room(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(contents, "ROOM", 60_000)
    record = recorded(steps=12, keep=12)
    found = data_of(record)
    steps, arrays = found["steps"], found["arrays"]
    assert found["left out"] == 12 - len(steps) > 0
    assert [s["number"] for s in steps] == list(range(12 - len(steps), 12))
    used = json.dumps(steps)
    assert len(used) <= 60_000
    assert len(arrays) == 1 + max(n for s in steps for n in numbers_of_arrays(s))  # none that only those left out had
    for value, held in zip(record.step().values, steps[-1]["values"], strict=True):
        assert np.array_equal(numbers(arrays[held["array"]]), value.snapshot.array)


def numbers_of_arrays(step: dict[str, Any]) -> list[int]:
    """The indices of arrays that a step has."""
    found = [v["array"] for v in step["values"]]
    found += [n for p in step["passes"] for pull in p["pulls"] for n in (*pull["v"], *pull["outgoing"])]
    found += [p[k] for p in step["passes"] for p in p["arrivals"] for k in ("before", "g", "after")]
    found += [u[k] for u in step["updates"] for k in ("before", "gradient", "after", "change")]
    found += [j["matrix"] for c in step["calls"] for js in c["jacobians"] or () for j in js or ()]
    return [n for n in found if n is not None]


def test_a_page_of_many_steps_stays_small_and_the_oldest_lose_their_numbers_first():
    rng = np.random.default_rng(0)
    weights = [torch.tensor(rng.standard_normal((60, 60)).astype(np.float32), requires_grad=True) for _ in range(24)]
    optimizer = torch.optim.SGD(weights, lr=0.1)
    with torch.see(keep=30) as record:
        for _ in range(30):
            optimizer.zero_grad()
            sum((w * w).sum() for w in weights).backward()
            optimizer.step()
    html = page(record, "en")
    assert len(html) < 10_000_000
    data = json.loads(re.search(r'id="data">(.*?)</script>', html)[1])
    assert data["left out"] == 0
    has = [sum("stats" in data["arrays"][v["array"]] for v in s["values"]) for s in data["steps"]]
    assert has[0] == 0
    assert has[-1] == len(record.step().values)
    assert has == sorted(has)
    norms = [u["norms"] for s in data["steps"] for u in s["updates"]]  # curves have all steps
    assert len(norms) == 30 * 24
    assert norms[0][0] == pytest.approx(float(np.linalg.norm(record.steps[0].updates[0].before.array)), rel=1e-6)
