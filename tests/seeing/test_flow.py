"""The flow's statistics are those of the arrays that flowed, for all watched steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import retrograd as torch
from retrograd import nn
from retrograd.seeing.flow import Flow, Series, sample
from retrograd.seeing.flow_texts import FLOW
from retrograd.seeing.ledger import ledger
from retrograd.seeing.record import Snapshot, Summary


def trained(steps: int = 3, activation: Any = nn.ReLU, **options: Any) -> tuple[Any, Flow, Any]:
    """A network, the flow of its watched training, and the record."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), activation(), nn.Linear(8, 3))
    x, y = torch.rand(4, 6), torch.rand(4, 3)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    recorder = torch.see(**options)
    flow = Flow(recorder.record)
    recorder.record.listeners.append(flow.add)
    with recorder:
        for _ in range(steps):
            optimizer.zero_grad()
            nn.functional.mse_loss(net(x), y).backward()
            optimizer.step()
    return net, flow, recorder.record


def test_rows_are_statistics_of_what_flowed():
    """Each layer's outputs and their gradients, and parameters, against NumPy."""
    _, flow, record = trained(5, keep=2)
    assert flow.steps == [0, 1, 2, 3, 4]
    assert flow.losses == sorted(flow.losses, reverse=True)
    assert list(flow.layers) == ["net.0 linear", "net.1 relu", "net.2 linear"]
    calls = {f"{c.module} {c.name}": c for c in record.step().calls}
    for name, layer in flow.layers.items():
        assert len(layer.activations) == len(layer.gradients) == 5
        for series, array in (
            (layer.activations, calls[name].results[0].snapshot.array), (layer.gradients, calls[name].pulls[-1].v[0].array)
        ):  # fmt: skip
            expected = {
                "norm": np.linalg.norm(array), "mean": array.mean(), "std": array.std(), "least": array.min(), "most": array.max(),
                "zeros": np.mean(array == 0), "bad": 0,
            }  # fmt: skip
            for field, value in expected.items():
                assert series.last(field) == pytest.approx(value, rel=1e-4, abs=1e-7), (name, field)
            counts, _ = np.histogram(array, bins=32)
            assert np.abs(series.histograms[-1].astype(int) - counts).sum() <= 2  # an edge may be rounded to the other side
    for update in record.step().updates:
        weights = flow.parameters[update.leaf.label]
        change = np.linalg.norm(update.after.array - update.before.array)
        assert weights.ratios[-1] == pytest.approx(change / np.linalg.norm(update.before.array), rel=1e-3)
        assert weights.gradients.last("norm") == pytest.approx(np.linalg.norm(update.gradient.array), rel=1e-5)


def test_a_step_counts_once():
    """Handed over twice, it is the same step."""
    _, flow, record = trained(2)
    flow.add(record.steps[-1])
    assert flow.steps == [0, 1]
    assert Flow(record).losses == flow.losses


def test_dead_units():
    """Zero for every example of every step; a unit that lives once is not dead."""
    w = torch.tensor([[1.0, -1.0, -1.0]], requires_grad=True)
    with torch.see() as record:
        for x in ([[1.0], [2.0]], [[1.0], [-1.0]]):
            ((torch.tensor(x) @ w).relu() * torch.tensor([1.0, 1.0, 0.0])).sum().backward()
            with torch.no_grad():
                w -= 0.0 * w.grad
    flow = Flow(record)
    layer = flow.layers["relu"]
    assert list(layer.dead) == pytest.approx([2 / 3, 0])
    assert layer.dead_units == (0, 3)


@pytest.mark.parametrize(
    ("function", "values", "expected"),
    [
        (torch.tanh, [0.0, 1.0, 5.0, -9.0], 0.5), (torch.sigmoid, [0.0, 1.0, 9.0, -9.0], 0.5),
        (lambda t: t.reshape(2, 2).softmax(-1), [0.0, 0.5, 50.0, 0.0], 0.5),
    ],
)  # fmt: skip
def test_saturation(function: Any, values: list[float], expected: float):
    """The share of outputs with next to no slope; of softmax, of its rows."""
    x = torch.tensor(values, requires_grad=True)
    with torch.see() as record:
        function(x).sum().backward()
    (layer,) = [layer for layer in Flow(record).layers.values() if layer.operation in ("tanh", "sigmoid", "softmax")]
    assert list(layer.saturated) == [expected]


def test_what_is_not_finite():
    """Counted, and the statistics are those of the rest."""
    x = torch.tensor([1.0, 0.0, 4.0], requires_grad=True)
    with torch.see() as record:
        torch.log(x).exp().log().sum().backward()
    layer = Flow(record).layers["log"]
    assert layer.activations.last("bad") == pytest.approx(1 / 3)
    assert layer.activations.last("most") == pytest.approx(np.log(4))


def test_numbers_that_run_away():
    """Squares that overflow, updates to infinity: no warning, in the ledger neither."""
    w = torch.full((4,), 1e30, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=1e30)
    with torch.see() as record:
        for _ in range(3):
            (w * 1e30).sum().backward()
            optimizer.step()
    flow = Flow(record)
    assert flow.layers["mul"].activations.last("bad") == 1
    assert flow.parameters["w"].gradients.last("norm") == pytest.approx(6e30, rel=1e-5)
    assert flow.parameters["w"].norms[0] == pytest.approx(2e30)
    assert "w" in flow.text("en")
    assert "w" in ledger(record).text("en")


def test_enormous_tensors_are_sampled():
    """At most so many elements, evenly spaced; norms are estimated; of what was not kept there is a summary."""
    array = np.arange(300_000, dtype=np.float32)
    assert sample(array, 1000).size <= 1000
    x = torch.ones(300_000, requires_grad=True)
    with torch.see(limit=250_000) as record:
        (x * 2).sum().backward()
    assert record.step().calls[0].results[0].snapshot.array is None
    series = Flow(record).layers["mul"].activations
    assert series.last("norm") == pytest.approx(2 * np.sqrt(300_000), rel=1e-4)
    torch.manual_seed(0)
    x = torch.randn(300_000, requires_grad=True)
    with torch.see() as record:
        (x * 2).sum().backward()
    assert Flow(record).layers["mul"].activations.last("norm") == pytest.approx(2 * np.sqrt(300_000), rel=0.02)


def test_singular_values_of_one_example_and_of_the_batch():
    """Those of the weights; of a batch, each as often as there are examples."""
    _, flow, record = trained(1)
    expected = np.linalg.svd(record.step().updates[2].before.array, compute_uv=False)
    np.testing.assert_allclose(flow.singular_values("net.2 linear", k=3).values, expected, rtol=1e-5)
    np.testing.assert_allclose(flow.singular_values("net.2 linear", 4, example=None).values, [expected[0]] * 4, rtol=1e-5)
    with pytest.raises(ValueError, match="needed no gradient"):
        flow.singular_values("net.0 linear")
    with pytest.raises(KeyError, match=r"net\.1 relu"):
        flow.singular_values("nothing")
    with pytest.raises(ValueError, match="position of a tensor"):
        flow.singular_values("net.2 linear", operand=7)
    assert "Singular values" in flow.singular_values("net.2 linear").text("en")
    assert "Valores singulares" in flow.singular_values("net.2 linear").text("es")


def test_singular_values_of_a_large_jacobian():
    """By products with J and its transpose, never built."""
    torch.manual_seed(0)
    w, x = torch.randn(600, 700), torch.randn(2, 700, requires_grad=True)
    with torch.see() as record:
        (x @ w.T).sum().backward()
    found = Flow(record).singular_values(record.step().calls[1], k=3)
    assert not found.whole
    np.testing.assert_allclose(found.values, np.linalg.svd(w.numpy(), compute_uv=False)[:3], rtol=1e-4)


def test_examples_that_depend_on_each_other():
    """Said so, and the whole batch can be asked for."""
    x = torch.randn(4, 3, requires_grad=True)
    with torch.see() as record:
        torch.softmax(x, 0).sum().backward()
    flow = Flow(record)
    with pytest.raises(ValueError, match="example=None"):
        flow.singular_values("softmax")
    assert flow.singular_values("softmax", example=None).shape == (12, 12)


def test_how_it_is_shown():
    """Both languages, and HTML; nothing watched is said so."""
    _, flow, _ = trained(4)
    assert "Flow over 4 watched steps" in flow.text("en")
    assert "Flujo en 4 pasos observados" in flow.text("es")
    assert "<table>" in flow._repr_html_()
    with torch.see() as record:
        pass
    assert "Nothing flowed" in Flow(record).text("en")
    assert FLOW["en"].keys() == FLOW["es"].keys()


def test_a_row_of_a_summary_fits():
    """Counts beyond what a row holds are scaled."""
    snapshot = Snapshot(np.zeros(2_000_000, np.float32), whole=False)
    assert isinstance(snapshot.summary, Summary)
    x = torch.zeros(2_000_000, requires_grad=True)
    with torch.see(limit=10) as record:
        (x * 2).sum().backward()
    assert Flow(record).layers["mul"].activations.histograms[0, 0] > 30_000


def test_a_sample_has_elements_of_every_column():
    """The stride divides no dim: else of 784 columns the same 16 would be looked at in every row."""
    columns = np.tile(np.arange(784), (256, 1))
    assert len(set(sample(columns, 2**12).tolist())) == 784
    assert sample(columns, 2**12).size <= 2**12


def test_a_row_is_found_by_its_step():
    """If there is one."""
    series = Series()
    for step in (0, 3, 5):
        series.add(step, Snapshot(np.ones(2, np.float32)))
    assert [series.row(step) for step in (0, 1, 3, 5, 6)] == [0, None, 1, 2, None]
