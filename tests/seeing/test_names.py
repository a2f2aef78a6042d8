"""Results are called what the program calls them."""

from __future__ import annotations

from typing import Any

import pytest

import retrograd as torch
from retrograd import nn
from retrograd.seeing.names import find, named
from retrograd.seeing.page.data import images_of


def names_in(record: Any) -> list[str]:
    """Name or operation of each result, in order."""
    step = record.step()
    known = named(step)
    return [known.get((call.number, i), f"<{call.name}>") for call in step.calls for i in range(len(call.results))]


def x(n: int = 4) -> Any:
    return torch.arange(float(n), requires_grad=True)


def test_assignments():
    """Plain, annotated, over several lines, in pieces, in a choice, by a walrus, and augmented."""
    w = x()
    with torch.see() as record:
        a = w.exp()
        b: Any = a * 2
        c = (
            b.sin()
            + 1
        )  # fmt: skip
        d, e = c.cos(), c.sum()
        (f, g), h = d.sort(), d.sum()
        i = e.abs() if h is not None else e.exp()
        if (j := i * 3) is not None:
            j *= 2
        k, m = w.chunk(2)
        n = f + g + k.sum() + m.sum() + j
    assert n.shape == (4,)
    got = [name for name in names_in(record) if not name.startswith("<")]
    assert got == ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "j", "k", "m", "n"]


def test_attributes_lists_and_dictionaries():
    """Elements are called by what holds them."""

    class Holder:
        pass

    w, self = x(), Holder()
    with torch.see() as record:
        self.h = w.exp()
        out = {}
        out["logits"] = self.h * 2
        parts = [part.sin() for part in (self.h, w)]
        pair = [parts[0].cos(), parts[1].tan()]
        values = out["logits"].max(0)
    assert len(pair) == len(values) == 2
    assert names_in(record) == ["self.h", "out['logits']", "parts[…]", "parts[…]", "pair[0]", "pair[1]", "values[0]", "values[1]"]


def test_what_functions_return():
    """By the function, or by what it was given to; a module's result by its module."""

    def error(z: Any) -> Any:
        return (z - 1).square().mean()

    def two(z: Any) -> Any:
        if z is None:
            return z
        return z.sin(), z.cos()

    class Model(nn.Module):
        def forward(self, z: Any) -> Any:
            return z * 2

    scaled = lambda z: z * 5  # noqa: E731
    w, model = x(), Model()
    with torch.see() as record:
        y = model(w)
        sine, cosine = two(y)
        total = error(sine) + scaled(cosine).sum()
        (total * 1.0).backward()
    assert names_in(record) == [
        "<mul>", "two()[0]", "two()[1]", "<sub>", "<square>", "error()", "scaled()", "<sum>", "total", "(total * 1.0)"
    ]  # fmt: skip
    found = record.chain(w, language="en")
    assert found.root_name == "(total * 1.0)"
    assert "model" in {link.name for link in found}
    assert "error()" in {link.name for link in found}


def test_loops():
    """Each turn of a loop of one operation, or of several, has the name; operations within one expression have not."""
    w = x()
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    with torch.see() as record:
        h = w
        for _ in range(3):
            h = torch.tanh(h)
        for _ in range(2):
            h = net(h)
        h.sum().backward()
    assert names_in(record) == ["h", "h", "h", "<linear>", "h", "<linear>", "h", "h.sum()"]


def test_results_are_found_by_name():
    """The last of a name; and a wrong name is told as before."""
    w = x()
    with torch.see() as record:
        h = w * 2
        h = h.exp()
        loss = h.sum()
        loss.backward()
    assert find(record, "h", -1).call.name == "exp"
    assert [link.call.name for link in record.chain("h", loss="loss")] == ["sum"]
    with pytest.raises(KeyError, match="no value 'nothing'"):
        record.chain("nothing")


def test_a_gradient_is_called_after_its_tensor():
    net, w = torch.nn.Linear(25, 1), torch.ones(25, requires_grad=True)
    with torch.see() as record:
        (net(w[None]) * w.sum()).sum().backward()
        w.grad * 0.5
        net.weight.grad.norm()
    step = record.step()
    assert [v.label for call in step.calls[-2:] for v in call.values()] == ["w.grad", "weight.grad"]
    assert all(v.number not in images_of(step) for v in step.values)  # though a row has as many elements as a square has pixels


def test_what_requires_grad_gives_back_has_the_name_of_its_variable():
    with torch.see() as record:
        base = torch.arange(6.0).reshape(2, 3).requires_grad_()
        (base * base).sum().backward()
    step = record.step()
    assert named(step)[next(c.number for c in step.calls if c.name == "view"), 0] == "base"


def test_a_leaf_that_a_view_made_is_a_parameter_of_the_step():
    with torch.see() as record:
        base = torch.arange(6.0).reshape(2, 3).requires_grad_()
        optimizer = torch.optim.SGD([base], lr=0.1)
        for _ in range(2):
            optimizer.zero_grad()
            (base * base).sum().backward()
            optimizer.step()
    assert [[entry.name for entry in record.ledger(n)] for n in (0, 1)] == [["base"], ["base"]]
    assert list(record.flow().parameters) == ["base"]
    assert len(record.chain("base", step=0)) == 2


def test_operations_go_by_the_names_of_public_functions():
    """Not by those of the several operations that one function is made of."""
    a = x()
    with torch.see() as record:
        nn.functional.mse_loss(a**3.5, a.clamp(a, a + 1)).backward()
        torch.div(a, 2.0, rounding_mode="floor")
    assert [call.title for call in record.step().calls] == ["pow", "add", "clamp", "mse_loss", "div"]
    loss = record.step().root
    assert loss is not None
    assert loss.label == "mse_loss#3"
