"""The chain of a program: its links, its product, and that its checks are no decoration."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import retrograd as torch
from retrograd import nn
from retrograd.seeing import replay as replaying
from retrograd.seeing.chain import Chain, chain
from retrograd.seeing.formulas import FORMULAS, formula, mathml
from retrograd.seeing.record import Snapshot
from retrograd.seeing.replay import double
from tests.oracle import needs_torch, same_in_both


def note(library: Any) -> Any:
    """The note's network, its data and its loss."""
    net = library.nn.Sequential(library.nn.Linear(784, 256), library.nn.ReLU(), library.nn.Linear(256, 10))
    x, y = library.randn(16, 784), library.randn(16, 10)
    return net, lambda: (y - net(x)).pow(2).sum()


def convolutions(library: Any) -> Any:
    """Convolution, pooling, a linear layer, cross entropy."""
    f = library.nn
    net = f.Sequential(f.Conv2d(1, 4, 3, padding=1), f.ReLU(), f.MaxPool2d(2), f.Flatten(), f.Linear(64, 3))
    x, y = library.randn(2, 1, 8, 8), library.tensor([0, 2])
    return net, lambda: f.functional.cross_entropy(net(x), y)


def embedding(library: Any) -> Any:
    """Words, and which comes next."""
    f = library.nn
    net = f.Sequential(f.Embedding(10, 6), f.LayerNorm(6), f.Linear(6, 10))
    words = library.tensor([[1, 2, 3, 1], [4, 1, 0, 9]])
    return net, lambda: f.functional.cross_entropy(net(words[:, :-1]).reshape(-1, 10), words[:, 1:].reshape(-1))


def attention(library: Any) -> Any:
    """One block of attention."""
    net = library.nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    x, y = library.randn(2, 5, 8), library.randn(2, 5, 8)
    return net, lambda: (net(x) * y).sum()


def recurrent(library: Any) -> Any:
    """An LSTM over three steps."""
    net = library.nn.LSTM(4, 5)
    x = library.randn(3, 2, 4)
    return net, lambda: net(x)[0].sum()


PROGRAMS = [note, convolutions, embedding, attention, recurrent]


def seen(program: Any) -> tuple[Any, Any]:
    """(network, record) of one pass."""
    torch.manual_seed(0)
    net, loss_of = program(torch)
    with torch.see() as record:
        loss = loss_of()
        loss.backward()
    return net, record


def verdicts(found: Chain) -> dict[str, str]:
    """By kind of check."""
    return {c.kind: c.verdict for c in found.checks}


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_chain_of_every_parameter(program: Any):
    """The gradient is what `.grad` holds; nothing differs; differences agree."""
    net, record = seen(program)
    for name, p in net.named_parameters():
        found = chain(record, p, language="en")
        np.testing.assert_array_equal(found.gradient, p.grad.numpy())
        got = verdicts(found)
        assert "differs" not in got.values(), (name, found.checks)
        assert got["arrivals"] in ("exact", "rounding")
        assert got["difference"] in ("rounding", "unsure"), (name, found.checks)
        assert [link.number for link in found] == list(range(len(found), 0, -1))
        json.dumps(found.to_dict(ticks=False), allow_nan=False)


@pytest.mark.parametrize("program", [note, convolutions, embedding])
def test_the_product_from_the_other_end(program: Any):
    """Every Jacobian's entries are to be had, and multiplied out they give the gradient."""
    net, record = seen(program)
    for p in net.parameters():
        got = verdicts(chain(record, p))
        assert got["order"] in ("exact", "rounding")
        assert got["structure"] in ("exact", "rounding")


@needs_torch
@pytest.mark.parametrize("program", PROGRAMS)
def test_the_gradients_are_torchs(program: Any):
    """The last of each chain, in both libraries."""

    def run(library: Any) -> Any:
        net, loss_of = program(library)
        if library is not torch:
            loss_of().backward()
            return [p.grad for p in net.parameters()]
        with torch.see() as record:
            loss_of().backward()
        return [torch.from_numpy(chain(record, p).gradient) for p in net.parameters()]

    same_in_both(run, rtol=1e-3, atol=1e-4)


def test_the_note_in_words():
    """Names, sizes and sentences, in both languages, in lines of 100 characters."""
    _, record = seen(note)
    english, spanish = (chain(record, "0.weight", language=lang).text() for lang in ("en", "es"))
    assert "J1ᵀ [200704×4096] · J2ᵀ [4096×4096] · J3ᵀ [4096×160]" in english
    assert "Kronecker product I[256] ⊗" in english
    assert "vector-Jacobian product" in english
    assert "producto vector-jacobiano" in spanish
    assert max(map(len, (english + "\n" + spanish).split("\n"))) <= 100


def test_a_value_used_twice():
    """What arrives is summed, and the sum has a line of its own."""
    w = torch.tensor([1.0, -2.0, 3.0], requires_grad=True)
    with torch.see() as record:
        h = torch.tanh(w)
        k = h * w
        loss = (k * h).sum()
        loss.backward()
    found = chain(record, "w", language="en")
    assert [link.name for link in found] == ["loss", "mul#2", "k", "h"]
    assert len(found.links[-1].came) == 2
    assert found.product().split("\n")[-1] == "∂loss/∂w = J2bᵀ [3×3] · v2 [3] + J1ᵀ [3×3] · v1 [3]"
    assert verdicts(found)["order"] == "rounding"
    inner = chain(record, h, language="en")
    assert [link.call.name for link in inner] == ["sum", "mul", "mul"]
    np.testing.assert_allclose(inner.gradient, 2 * (h * w).detach().numpy(), rtol=1e-6)
    for link in found:
        for way in link.ways:
            by_difference, by_backward = link.tick(way)
            assert by_difference == pytest.approx(by_backward, rel=1e-4)


def test_a_custom_function():
    """Its rule and its forward are run again, as an operation's are; a backward that is wrong is found by differences."""

    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, factor):
            ctx.save_for_backward(x)
            ctx.factor = factor
            return x**3

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 3 * x * x * g * ctx.factor, None

    w = torch.tensor([1.0, 2.0], requires_grad=True)
    with torch.see() as record:
        cubes = Cube.apply(w * 2, 1)
        (cubes * 3).sum().backward()
    found = chain(record, w, language="es")
    assert [(link.call.name, link.name) for link in found][2] == ("Cube", "cubes")
    np.testing.assert_array_equal(found.gradient, w.grad.numpy())
    assert set(verdicts(found).values()) <= {"exact", "rounding"}
    np.testing.assert_array_equal(found.links[2].ways[0].jacobian.explicit(), np.diag([12.0, 48.0]))
    with torch.see() as record:
        (Cube.apply(w * 2, 2) * 3).sum().backward()
    wrong = verdicts(chain(record, w, language="es"))
    assert (wrong["structure"], wrong["difference"]) == ("exact", "differs")


def test_views_and_writes():
    """Writes through views are links of their own."""
    w = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    with torch.see() as record:
        h = w * 2
        h[0].mul_(3.0)
        h.add_(1.0)
        (h * h).sum().backward()
    found = chain(record, "w")
    np.testing.assert_array_equal(found.gradient, w.grad.numpy())
    assert "CopySlices" in [link.call.name for link in found]
    assert verdicts(found)["difference"] == "rounding"


def test_which_pass():
    """The last that leads there, one by its number, of a loss; autograd.grad, and a pass through a pass."""
    w = torch.tensor([2.0], requires_grad=True)
    with torch.see() as record:
        first = (w * 3).sum()
        second = (w * w).sum()
        first.backward()
        second.backward()
        (g,) = torch.autograd.grad((w**3).sum(), w, create_graph=True)
        g.sum().backward()
    assert chain(record, w, which=0).gradient == 3
    assert chain(record, w, loss=second).gradient == 4
    assert chain(record, w, loss=second).arrival.passes == 2
    assert chain(record, w, which=2).gradient == 12
    assert chain(record, w).gradient == 12  # the derivative of 3 w²
    assert verdicts(chain(record, w))["difference"] == "rounding"


def test_what_is_not_reached():
    """A tensor that needs no gradient."""
    x, w = torch.ones(2), torch.ones(2, requires_grad=True)
    with torch.see() as record:
        (x * w).sum().backward()
    with pytest.raises(ValueError, match="no backward pass of this step leads"):
        chain(record, "x", language="en")
    with pytest.raises(KeyError):
        chain(record, "y")


def test_a_wrong_number_is_found():
    """Each check sees a gradient that was tampered with."""
    w = torch.tensor([1.0, -2.0, 3.0], requires_grad=True)
    with torch.see() as record:
        (torch.tanh(w) * w).sum().backward()
    arrival = record.step().passes[0].arrivals[0]
    arrival.g = Snapshot(arrival.g.array + np.float32(0.1))
    got = verdicts(chain(record, w))
    assert [got[k] for k in ("arrivals", "order", "difference", "entries")] == ["differs"] * 4
    pull = record.step().passes[0].pulls[1]
    pull.outgoing = (Snapshot(pull.outgoing[0].array * 2), *pull.outgoing[1:])
    assert verdicts(chain(record, w))["structure"] == "differs"


def test_what_nearly_cancels_is_said_to():
    """The squares of what was normalised always have the same mean: the gradient is what rounding leaves."""
    torch.manual_seed(0)
    w = torch.randn(4, 8, requires_grad=True)
    with torch.see() as record:
        nn.functional.layer_norm(w, (8,)).pow(2).mean().backward()
    found = chain(record, w, language="en")
    assert "differs" not in verdicts(found).values()
    assert verdicts(found)["difference"] == "cancelled"
    assert "nearly cancel" in found.text()


def test_a_hook_is_not_hidden():
    """What a hook made of a cotangent differs from what was sent."""
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    with torch.see() as record:
        h = w * 2
        h.register_hook(lambda g: g * 10)
        h.sum().backward()
    assert verdicts(chain(record, w))["arrivals"] == "differs"


@pytest.mark.parametrize("language", ["en", "es"])
def test_every_formula_prints(language: str):
    """As text and as MathML that is well-formed."""
    from xml.etree import ElementTree

    for op, known in FORMULAS.items():
        for at in range(max(1, len(known) - 1)):
            assert all("=" in part for part in formula(op, at=at, language=language))
            for part in mathml(op, at=at, language=language):
                ElementTree.fromstring(part)
    assert formula("no_such", ("x", "z"))[0] == "y = no_such(x, z)"


def test_a_long_chain_makes_only_the_rows_that_it_shows(monkeypatch: pytest.MonkeyPatch):
    x = torch.ones(2, requires_grad=True)
    with torch.see() as record:
        y = x
        for _ in range(500):
            y = y * 1.0001
        y.sum().backward()
    found = chain(record, "x", language="en")
    made, row = [], Chain.row
    monkeypatch.setattr(Chain, "row", staticmethod(lambda link, way: made.append(link.number) or row(link, way)))
    text = found.text()
    assert len(made) == 40
    assert text.count("\n") < 100
    assert "DIFFERS" not in text


def test_a_replay_converts_what_stays_the_same_once(monkeypatch: pytest.MonkeyPatch):
    x, w = torch.ones(3, requires_grad=True), torch.full((3,), 2.0)
    with torch.see() as record:
        (x * w).sum().backward()
    converted = []
    monkeypatch.setattr(replaying, "double", lambda value: converted.append(value) or double(value))
    again = replaying.Replay(record.step(), record.find("x"), record.step().root)
    assert [float(again(np.full(3, n))) for n in (1.0, 2.0, 3.0)] == [6.0, 12.0, 18.0]
    assert len(converted) == 1
