"""The panel of the page in a real browser: the chain of any tensor, Jacobians, crashes, what is left out, and all that live."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import retrograd as torch
from retrograd import nn
from retrograd.seeing import Recorder
from retrograd.seeing.chain import chain
from retrograd.seeing.jacobian import jacobian
from retrograd.seeing.page import data as contents
from retrograd.seeing.page.server import serve
from retrograd.seeing.record import Record
from tests.seeing.browsing import Open, moment, numbers, until


def recorded() -> Record:
    """A step of a network whose input is used twice."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3))
    x = torch.rand(2, 6, requires_grad=True)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with torch.see() as record:
        hidden = net(x)
        loss = (hidden * x[:, :3]).sum()
        loss.backward()
        optimizer.step()
    return record


def flat(array: Any) -> list[float]:
    return np.asarray(array, np.float64).reshape(-1).tolist()


def choose(shown: Any, name: str) -> None:
    """Chooses a tensor by the first word of its line in the list."""
    options = shown.locator("#target option").evaluate_all("all => all.map(o => [o.value, o.textContent])")
    shown.select_option("#target", next(value for value, text in options if text.split()[0] == name))


def walk_to(shown: Any, words: str) -> None:
    """Goes from the beginning to the first moment that is called so."""
    shown.keyboard.press("Home")
    for _ in range(100):
        if words in moment(shown):
            return
        shown.keyboard.press("ArrowRight")
    raise AssertionError(f"no moment is called {words!r}")


@pytest.mark.parametrize("name", ["0.weight", "x", "hidden", "2.bias"])
def test_the_chain_is_the_librarys(open_page: Open, name: str):
    record = recorded()
    real = chain(record, name, language="en")
    shown = open_page(record)
    shown.locator("#tab-chain").click()
    choose(shown, name)
    product = shown.locator("#sheet .product").get_attribute("aria-label")
    assert product.replace("\n", " ") == " ".join(real.product("en").split())
    assert shown.locator("#sheet .product math").count() == len(product.split("\n"))
    assert numbers(shown, f"∂loss/∂{name}") == flat(real.gradient)
    checks = shown.locator("#sheet .checks li").evaluate_all(
        "all => all.map(c => [c.dataset.check, c.dataset.verdict, Number(c.dataset.error)])"
    )
    if name == "hidden":  # its gradient came to no .grad
        assert checks == []
        assert 'record.chain("hidden")' in shown.locator("#sheet").inner_text()
    else:
        assert checks == [[c.kind, c.verdict, c.error] for c in real.checks]
        assert "error" in shown.locator("#sheet .checks").inner_text()
    links = shown.locator("#sheet .link")
    assert links.evaluate_all("all => all.map(link => Number(link.dataset.link))") == [link.call.number for link in real]
    for at, link in enumerate(real):
        shown.locator("#sheet .link summary").nth(at).click()
        block = links.nth(at)
        block.locator(".array").first.wait_for()
        assert [float(n) for n in block.locator(".array", has_text="v, the gradient that comes in").first.locator("[data-value]").evaluate_all(
            "cells => cells.map(cell => cell.dataset.value)")] == flat(link.v.array)  # fmt: skip
        for way in link.ways:
            letter = link.letter(way)
            matrix = block.locator(".array", has=shown.locator("h4", has_text=f"{letter}, the matrix itself")).locator("[data-value]")
            assert [float(n) for n in matrix.evaluate_all("cells => cells.map(cell => cell.dataset.value)")] == flat(
                way.jacobian.explicit()
            )
            out = block.locator(".array", has=shown.locator("h4", has_text=f"{letter}ᵀ v")).locator("[data-value]")
            assert [float(n) for n in out.evaluate_all("cells => cells.map(cell => cell.dataset.value)")] == flat(way.outgoing.array)


def test_a_click_on_a_node_chooses_the_tensor_of_the_chain(open_page: Open):
    record = recorded()
    shown = open_page(record, "es")
    shown.locator("#tab-chain").click()
    assert "producto vector-jacobiano" in shown.locator("#sheet").inner_text()
    tanh = next(c for c in record.step().calls if c.name == "tanh")
    shown.locator(f'[data-node="c{tanh.number}"]').first.click()
    assert shown.locator("#sheet h3").inner_text().startswith("De loss a tanh#1:")
    shown.locator("#tab-node").click()
    shown.locator("#to-chain").click()
    assert shown.locator("#tab-chain").get_attribute("aria-selected") == "true"
    shown.locator("#sheet .link summary").last.click()
    shown.locator("#sheet .link button", has_text="Ver en el grafo").click()
    assert shown.locator("#tab-chain").get_attribute("aria-selected") == "true"
    shown.wait_for_selector(".node.chosen")


def test_a_backward_step_shows_j_v_and_where_it_goes(open_page: Open):
    record = recorded()
    shown = open_page(record)
    walk_to(shown, "Backward through linear")
    pull = next(p for p in record.step().passes[0].pulls if p.call.name == "linear")
    assert numbers(shown, "v, the gradient that comes in") == flat(pull.v[0].array)
    for letter, at, goes in (
        ("Ja", 0, "This goes on to tanh, as its v."),
        ("Jb", 1, "This is added to 2.weight.grad."),
        ("Jc", 2, "This is added to 2.bias.grad."),
    ):
        assert numbers(shown, f"{letter}, the matrix itself") == flat(jacobian(pull.call, at).explicit())
        assert numbers(shown, f"{letter}ᵀv for") == flat(pull.outgoing[at].array)
        assert goes in shown.locator("#sheet").inner_text()
    walk_to(shown, "Backward through slice")
    assert "This is one of 2 parts that are summed, and added to x.grad." in shown.locator("#sheet").inner_text()


def test_of_a_large_jacobian_structure_size_and_a_sketch(open_page: Open):
    net = nn.Linear(50, 40)
    with torch.see() as record:
        net(torch.rand(8, 50)).relu().sum().backward()
    shown = open_page(record)
    shown.locator(f'[data-node="c{record.step().calls[1].number}"]').first.click()
    block = shown.locator("#sheet .jacobian").first
    assert "diagonal: " in block.inner_text()
    assert "102,400 entries, 410 kB in float32: it is never built" in block.inner_text()
    assert block.locator("canvas.sketch").get_attribute("aria-label").startswith("where its entries are, from afar: diagonal")


def test_a_forward_crash_is_a_node_and_a_moment(open_page: Open):
    net = nn.Sequential(nn.Linear(3, 4), nn.Linear(5, 2))
    x = torch.rand(2, 3)
    with pytest.raises(RuntimeError) as error, torch.see() as record:
        net(x)
    shown = open_page(record)
    assert shown.locator(".node.failed").count() == 1
    assert shown.locator(".node.failed").get_attribute("aria-label") == "operation linear, failed here"
    shown.keyboard.press("End")
    assert moment(shown) == "The program crashed: RuntimeError"
    assert shown.locator(".node.failed.current").count() == 1
    for _ in range(2):
        text = shown.locator("#sheet").inner_text()
        assert str(error.value).splitlines()[0] in text
        assert "net(x)" in shown.locator("#sheet .source .here").first.inner_text()
        assert numbers(shown, "linear#0") == flat(record.step().calls[0].results[0].snapshot.array)
        shown.locator(".node.failed").click()  # its details say the same
    assert shown.locator("#sheet h3").inner_text() == "linear"


def test_a_backward_crash_is_at_its_node(open_page: Open):
    w = torch.tensor([1.0, 2.0], requires_grad=True)

    def program() -> None:
        written = torch.exp(w)
        halves = written * 0.5
        written += 1
        (halves + written).sum().backward()

    with pytest.raises(RuntimeError, match="modified by an inplace"), torch.see() as record:
        program()
    shown = open_page(record)
    shown.keyboard.press("End")
    assert moment(shown) == "The program crashed: RuntimeError"
    failing = record.failure.backward.number
    assert shown.locator(f'.node.failed.current[data-node="c{failing}"]').count() == 1
    assert "Backward crashed in the rule of exp" in shown.locator("#sheet").inner_text()
    assert numbers(shown, "v, the gradient that comes in") == flat(record.failure.v[0].array)


class Twice(torch.autograd.Function):
    """A function of the program's own, whose derivative is wrong."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x * 2

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return g * 3


def test_a_custom_function_and_its_wrong_derivative(open_page: Open):
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    with torch.see() as record:
        doubled = Twice.apply(w)
        doubled.sum().backward()
    shown = open_page(record)
    n = next(c.number for c in record.step().calls if c.name == "Twice")
    assert shown.locator(f'[data-node="c{n}"]').get_attribute("aria-label").startswith("operation Twice → doubled, 2")
    shown.locator("#tab-chain").click()
    found = dict(shown.locator("#sheet .checks li").evaluate_all("all => all.map(c => [c.dataset.check, c.dataset.verdict])"))
    assert (found["structure"], found["difference"]) == ("exact", "differs")
    assert "DIFFERS" in shown.locator("#sheet .checks").inner_text()


def test_what_is_left_out_is_said(open_page: Open, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(contents, "ROOM", 30_000)
    net = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with torch.see(keep=30) as record:
        for _ in range(30):
            optimizer.zero_grad()
            net(torch.ones(4, 3)).sum().backward()
            optimizer.step()
    shown = open_page(record)
    kept = shown.locator("#step option").count()
    assert 0 < kept < 30
    assert f"{30 - kept} older steps are left out, so that the page stays small." in shown.locator("#sheet").inner_text()


def test_live_chain_jacobians_and_results(open_page: Open):
    recorder = Recorder(1, 2, 1000)
    net = nn.Linear(3, 2)
    x = torch.rand(4, 3)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

    def train(steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            net(x).square().sum().backward()
            optimizer.step()

    with serve(recorder, language="en") as server, recorder as record:
        train(4)
        shown = open_page(None, url=server.url)
        at = int(shown.locator("#step").evaluate("list => list.selectedOptions[0].textContent").split()[0])
        step = record.step(at)
        shown.locator("#tab-chain").click()
        choose(shown, "weight")
        until(shown, "document.querySelectorAll('#sheet .checks li').length >= 5")
        shown.locator("#sheet .link summary").last.click()
        until(shown, "document.querySelectorAll('#sheet .jacobian [data-value]').length > 0")
        linear = next(c for c in step.calls if c.name == "linear")
        assert numbers(shown, "J1, the matrix itself") == flat(jacobian(linear, 1).explicit())
        train(2)
        for tab, text in (("ledger", "weight"), ("diagnosis", "Checked"), ("flow", "linear")):
            shown.locator(f"#tab-{tab}").click()
            until(shown, f"document.querySelector('#sheet').textContent.includes('{text}')", seconds=30)
        shown.locator("#tab-walk").click()
        until(shown, f"document.querySelector('#step').textContent.startsWith('{at + 2}')", seconds=30)
