"""The ledger's numbers are those of the program."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import retrograd as torch
from retrograd import nn
from retrograd.seeing.ledger import ledger
from retrograd.seeing.ledger_texts import LEDGER


class Net(nn.Module):
    """Some parameters are updated, some not, for each of the reasons there are."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 5), nn.Linear(5, 3)
        self.unused = nn.Linear(3, 3)
        self.frozen = nn.Parameter(torch.ones(6, 5), requires_grad=False)

    def forward(self, x: Any) -> Any:
        return self.last(torch.relu(self.first(x) + x @ self.frozen))


def watched(optimizer_of: Any, passes: int = 1, steps: int = 1) -> tuple[Net, Any, list[np.ndarray]]:
    """A network, the record of its training, and `first.weight` before each step and after the last."""
    torch.manual_seed(0)
    net, x, y = Net(), torch.rand(4, 6), torch.rand(4, 3)
    optimizer = optimizer_of(net)
    seen = [net.first.weight.detach().numpy().copy()]
    with torch.see() as record:
        for _ in range(steps):
            optimizer.zero_grad()
            for _ in range(passes):
                nn.functional.mse_loss(net(x), y).backward()
            optimizer.step()
            seen.append(net.first.weight.detach().numpy().copy())
    return net, record, seen


def test_an_update_is_what_happened_to_the_parameter():
    """Before, gradient, update, after, ratio and state, for both of two steps."""
    net, record, seen = watched(lambda net: torch.optim.Adam(net.first.parameters(), lr=0.1), steps=2)
    for number in (0, 1):
        entry = ledger(record, number)["first.weight"]
        assert (entry.status, entry.optimizer, entry.hyperparameters["lr"], entry.passes) == ("updated", "Adam", 0.1, 1)
        np.testing.assert_array_equal(entry.before.array, seen[number])
        np.testing.assert_array_equal(entry.after.array, seen[number + 1])
        np.testing.assert_allclose(entry.update, seen[number + 1] - seen[number])
        assert entry.ratio == pytest.approx(np.linalg.norm(seen[number + 1] - seen[number]) / np.linalg.norm(seen[number]), rel=1e-5)
        assert set(entry.state) >= {"exp_avg", "exp_avg_sq"}
    np.testing.assert_array_equal(entry.gradient.array, net.first.weight.grad.numpy())


def test_passes_add_up():
    """Two passes since zero_grad: twice the gradient, counted, with an optimizer or without."""
    _, record, _ = watched(lambda net: torch.optim.SGD(net.first.parameters(), lr=0.0))
    _, twice, _ = watched(lambda net: torch.optim.SGD(net.first.parameters(), lr=0.0), passes=2)
    for name in ("first.weight", "last.weight"):
        one, two = ledger(record)[name], ledger(twice)[name]
        assert (one.passes, two.passes) == (1, 2)
        np.testing.assert_allclose(two.gradient.array, 2 * one.gradient.array, rtol=1e-6)


def test_why_a_parameter_was_not_updated():
    """Each reason by its name; shown in both languages."""
    _, record, _ = watched(lambda net: torch.optim.SGD(net.first.parameters(), lr=0.1))
    found = ledger(record)
    assert {e.name: e.status for e in found} == {
        "first.weight": "updated", "first.bias": "updated", "last.weight": "no optimizer", "last.bias": "no optimizer",
        "unused.weight": "unused", "unused.bias": "unused", "frozen": "frozen",
    }  # fmt: skip
    for language, words in (("en", ("in no optimizer", "not used", "frozen")), ("es", ("en ningún optimizador", "sin usar", "congelado"))):
        assert all(word in found.text(language) for word in words)


def test_a_program_without_modules_and_optimizers():
    """Its own write is an update; what has a gradient and was not updated says so; detached, nothing arrives."""
    w, b, lost = (torch.tensor([1.0, 2.0], requires_grad=True) for _ in range(3))
    with torch.see() as record:
        (w * w + b + lost.detach() * lost).sum().backward()
        (lost.detach() * 2).sum()
        with torch.no_grad():
            w -= 0.5 * w.grad
    found = ledger(record)
    assert {e.name: e.status for e in found} == {"w": "written", "b": "no step", "lost": "no step"}
    np.testing.assert_array_equal(found["w"].update, [-1, -2])
    with pytest.raises(KeyError, match="there are: w, b, lost"):
        found["nothing"]


def test_a_parameter_made_while_watched_is_shown_as_it_was_used():
    with torch.see() as record:
        net = nn.Linear(4, 1)  # made empty, then filled
        net(torch.ones(3, 4)).sum().backward()
    for name, p in net.named_parameters():
        assert record.ledger()[name].before.array.tolist() == p.tolist()


def test_no_gradient():
    """Used, but on no way to the loss."""
    w, other = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    with torch.see() as record:
        other * 2
        (w * w).sum().backward()
    assert ledger(record)["other"].status == "no gradient"
    assert ledger(record)["other"].gradient is None


def test_several_updates_of_one_parameter():
    """An entry each."""
    w = torch.ones(2, requires_grad=True)
    first, second = torch.optim.SGD([w], lr=0.5), torch.optim.SGD([w], lr=0.25)
    with torch.see() as record:
        (w * w).sum().backward()
        first.step()
        second.step()
    assert [e.update.tolist() for e in ledger(record)] == [[-1, -1], [-0.5, -0.5]]


def test_how_it_is_shown():
    """Small tensors whole, large ones by their corner; enormous ones by statistics; HTML is escaped."""
    big, small = torch.ones(30, 30, requires_grad=True), torch.tensor([0.5, 2.0], requires_grad=True)
    optimizer = torch.optim.SGD([big, small], lr=0.5)
    with torch.see(limit=500) as record:
        (big * big).sum().backward()
        (small * small).sum().backward()
        optimizer.step()
    found = ledger(record)
    assert "0.5  2\n" in found.text("en")
    assert found["big"].ratio is None
    assert "30" in found.text("es")
    found.entries[1].name = "<b>"
    assert "&lt;b&gt;" in found._repr_html_()
    assert "<b>" not in found._repr_html_()


def test_nothing_recorded():
    """Said so."""
    with torch.see() as record:
        torch.ones(2) + 1
    assert "no parameters" in ledger(record).text("en")
    assert "no tiene parámetros" in ledger(record).text("es")


def test_texts_are_complete():
    """Both languages say the same things."""
    assert LEDGER["en"].keys() == LEDGER["es"].keys()
