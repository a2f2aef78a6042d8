"""What notebooks show, and that whoever does not ask for it does not pay."""

from __future__ import annotations

import subprocess
import sys

import pytest

import retrograd as torch
from retrograd import nn


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    """The language of the texts below."""
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")


def test_tensors():
    """As printed; of more than a few elements with statistics."""
    assert torch.ones(2)._repr_html_() == "<pre>tensor([1., 1.])</pre>"
    html = torch.arange(10.0)._repr_html_()
    assert "<table>" in html
    assert ">4.5<" in html
    assert ">not finite<" in html
    assert "<table>" in torch.ones(10, dtype=torch.complex64)._repr_html_()
    assert "evenly spaced" in torch.zeros(100_000)._repr_html_()
    assert "MulBackward0" in (torch.ones(9, requires_grad=True) * 2)._repr_html_()


def test_spanish(monkeypatch: pytest.MonkeyPatch):
    """By the locale."""
    monkeypatch.setenv("LC_ALL", "es_AR.UTF-8")
    assert ">no finitos<" in torch.arange(10.0)._repr_html_()


def test_modules():
    """Their text, and a table of their parameters."""
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    net[0].bias.requires_grad_(False)
    html = net._repr_html_()
    assert "(0): Linear(in_features=3" in html
    assert "0.weight" in html
    assert "16 parameters in all" in html
    assert ">no<" in html
    assert nn.ReLU()._repr_html_() == "<pre>ReLU()</pre>"


def test_what_is_the_users_is_escaped():
    """The text of a module may be anything."""

    class Odd(nn.Module):
        def extra_repr(self) -> str:
            return "<script>alert(1)</script>"

    assert "<script>" not in Odd()._repr_html_()
    assert "&lt;script&gt;" in Odd()._repr_html_()


def test_a_graph(monkeypatch: pytest.MonkeyPatch):
    """A picture; without the package that lays it out, text."""
    y = (torch.ones(2, requires_grad=True) * 2).sum()
    assert y.grad_fn._repr_html_().startswith("<svg")
    assert "MulBackward0" in y.grad_fn._repr_html_()
    monkeypatch.setitem(sys.modules, "fast_sugiyama", None)
    assert y.grad_fn._repr_html_().startswith("<pre>&lt;SumBackward0")


def test_records():
    """The graph and the ledger of the last step; a crash is said."""
    from retrograd.seeing.notebook import html_of

    w = torch.ones(2, requires_grad=True)

    def program() -> None:
        (w * 2).sum().backward()
        w @ torch.ones(3)

    recorder = torch.see()
    with pytest.raises(RuntimeError), recorder:
        program()
    html = html_of(recorder.record)
    assert "<svg" in html
    assert "It crashed in step 0" in html
    assert "Ledger of step 0" in html
    with torch.see() as record:
        pass
    assert html_of(record) == "<p>Nothing was recorded.</p>"


def test_inside_a_transform():
    """A value that stands for many is shown as it is printed."""
    seen = []

    def f(x: torch.Tensor) -> torch.Tensor:
        seen.append(x._repr_html_())
        return x * 2

    torch.func.vmap(f)(torch.ones(3, 10))
    assert seen[0].startswith("<pre>")


def test_it_costs_nothing_at_import():
    """No module of what sees is loaded before it is asked for."""
    code = "import sys, retrograd; sys.exit(any(name.startswith('retrograd.seeing') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
