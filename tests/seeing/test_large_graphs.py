"""Large programs on the page, in a real browser: their layout ends and nothing overlaps, the walk, search, keys and words go on working."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import retrograd as torch
from retrograd import nn
from retrograd.seeing.page.page import page
from retrograd.seeing.record import Record
from tests.seeing.browsing import Open, moment, until

LAID_OUT = "document.querySelector('#busy').hidden"


def chain() -> Record:
    """Three thousand operations one after the other, some of which take what came long before."""
    x = torch.ones(2, requires_grad=True)
    with torch.see() as record:
        y, kept = x, []
        for i in range(3000):
            y = y * 1.0001 if i % 5 or not kept else y + kept[i // 7]
            kept.append(y)
        y.sum().backward()
    return record


def unrolled() -> Record:
    """A recurrent network over two hundred steps: three thousand operations that share three parameters."""
    w, u, b = torch.randn(4, 16, requires_grad=True), torch.randn(4, 16, requires_grad=True), torch.zeros(16, requires_grad=True)
    xs, h, c, kept = torch.randn(200, 2, 4), torch.zeros(2, 4), torch.zeros(2, 4), []
    with torch.see() as record:
        for x in xs:
            i, f, g, o = (x @ w + h @ u + b).chunk(4, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            kept.append(h)
        torch.stack(kept).pow(2).mean().backward()
    return record


def wide() -> Record:
    """A thousand branches side by side."""
    x, ws = torch.ones(4, requires_grad=True), [torch.randn(4, requires_grad=True) for _ in range(1000)]
    with torch.see() as record:
        torch.stack([(x * w).tanh() for w in ws]).sum().backward()
    return record


class Residual(nn.Module):
    """Adds what two layers make of its input to it."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(4), nn.Linear(4, 8), nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.down(nn.functional.gelu(self.up(self.norm(x))))


def deep() -> Record:
    """Two hundred and fifty blocks of modules within modules."""
    net = nn.Sequential(*(Residual() for _ in range(250)))
    with torch.see() as record:
        net(torch.ones(2, 4)).sum().backward()
    return record


def inside(box: list[float], around: list[float]) -> bool:
    """Whether a box, as left, top, right, bottom, lies in another."""
    return around[0] <= box[0] and around[1] <= box[1] and box[2] <= around[2] and box[3] <= around[3]


def place(locator: Any) -> list[float]:
    """Where an element is, as left, top, right, bottom."""
    box = locator.bounding_box()
    return [box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"]]


def expand(shown: Any) -> None:
    shown.locator("#expand").click()
    until(shown, LAID_OUT, seconds=90)


@pytest.mark.parametrize("program", [chain, unrolled, wide, deep])
def test_three_thousand_nodes_are_laid_out_and_none_lies_over_another(open_page: Open, tmp_path: Path, program: Callable[[], Record]):
    record = program()
    html = page(record, "en")
    html = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", html)  # so that what only the program knows can be read here
    file = tmp_path / "open.html"
    ready = 'document.documentElement.dataset.ready = "yes"'
    assert ready in html
    file.write_text(html.replace(ready, f"window.placed = () => placed; {ready}"), "utf-8")
    shown = open_page(None, url=file.as_uri())
    expand(shown)
    boxes, lines = json.loads(
        shown.evaluate(
            "JSON.stringify([placed().boxes.map(({ id, node, x, y, right, bottom }) => [id, node.parent, x, y, right, bottom]),"
            " placed().lines.map(({ y, bottom }) => [y, bottom])])"
        )
    )
    at = {name: box for name, _, *box in boxes}
    assert {f"c{call.number}" for call in record.step().calls} <= at.keys()
    assert len(boxes) > 2800
    siblings: dict[str, list[str]] = {}
    for name, parent, *_ in boxes:
        siblings.setdefault(parent, []).append(name)
    for parent, names in siblings.items():
        for i, one in enumerate(names):
            left, top, right, bottom = at[one]
            assert parent == "root" or inside(at[one], at[parent]), (parent, one)
            for other in names[:i]:
                beside = at[other]
                assert right <= beside[0] or beside[2] <= left or bottom <= beside[1] or beside[3] <= top, (one, other)
    assert all(top < bottom for top, bottom in lines)  # what takes stands beneath what it takes


def test_the_walk_over_three_thousand_nodes(open_page: Open):
    record = chain()
    shown = open_page(record)
    expand(shown)
    press = shown.keyboard.press
    assert shown.locator("#phases i").count() < 10
    for at, n in ((0, 0), (1500, 1500), (700, 700), (2999, 2999)):
        shown.locator("#moment").evaluate("(slider, at) => { slider.value = at + 1; slider.dispatchEvent(new Event('input')); }", at)
        shown.wait_for_selector(f'.node.current[data-node="c{n}"]')
        assert moment(shown).startswith("Forward")
        waiting = shown.locator(".node.operation.waiting").evaluate_all("all => all.map(e => +e.dataset.node.slice(1))")
        there = shown.locator(".node.operation:not(.waiting)").evaluate_all("all => all.map(e => +e.dataset.node.slice(1))")
        assert min(waiting, default=n + 1) > n >= max(there)
    press("End")
    assert moment(shown).startswith("x.grad")
    press("ArrowLeft")
    current = int(shown.locator(".node.current").first.get_attribute("data-node")[1:])
    assert current == record.step().passes[0].pulls[-1].call.number
    assert shown.locator(".node.current .strips image").count() == 2  # its value, and the gradient that came to it
    press("Home")
    assert shown.locator(".node.waiting, .node.current").count() == 0


def test_search_and_closing_in_a_large_graph(open_page: Open):
    shown = open_page(unrolled())
    expand(shown)
    for _ in range(20):
        shown.locator("#smaller").click()
    shown.locator("#search").fill("stack")
    shown.keyboard.press("Enter")
    shown.wait_for_selector(".node.operation.chosen")
    until(shown, "document.querySelector('.node.chosen text').getBoundingClientRect().height > 6")
    assert inside(place(shown.locator(".node.chosen")), place(shown.locator("#canvas")))
    group = shown.locator(".node.open").last
    name = group.get_attribute("data-node")
    group.focus()
    shown.keyboard.press("Enter")
    until(shown, f"{LAID_OUT} && document.querySelector('[data-node={name}]').getAttribute('aria-expanded') === 'false'", seconds=60)
    assert shown.evaluate("document.activeElement.dataset.node") == name
    shown.locator("#collapse").click()
    until(shown, f"{LAID_OUT} && document.querySelectorAll('.node.open').length === 0")


def test_tab_goes_through_a_large_graph_in_order_and_brings_nodes_into_view(open_page: Open):
    shown = open_page(chain())
    expand(shown)
    shown.locator('[data-node="c0"]').focus()
    for n in range(1, 40):
        shown.keyboard.press("Tab")
        while shown.evaluate("document.activeElement.getAttribute('role')") == "link":
            shown.keyboard.press("Tab")
        assert shown.evaluate("document.activeElement.dataset.node") == f"c{n}"
        assert re.match(r"operation (mul|add)", shown.evaluate("document.activeElement.getAttribute('aria-label')"))
        shown.wait_for_timeout(20)
    assert inside(place(shown.locator(":focus")), place(shown.locator("#canvas")))


def test_words_stand_for_edges_that_are_too_long_and_lead_to_their_ends(open_page: Open):
    shown = open_page(unrolled())
    expand(shown)
    word = shown.locator('.word[aria-label="comes from w"]').first
    if not word.count():
        shown.locator("#search").fill("sigmoid")
        shown.keyboard.press("Enter")
        shown.wait_for_selector(".node.chosen")
    word.focus()
    shown.keyboard.press("Enter")
    shown.wait_for_selector(".node.chosen")
    assert shown.locator("#sheet h3").inner_text().startswith("w")


def test_a_layout_can_be_given_up(open_page: Open):
    shown = open_page(chain())
    before = shown.locator(".node").count()
    shown.evaluate("(document.querySelector('#expand').click(), document.querySelector('#cancel').click())")
    assert shown.locator("#busy").is_hidden()
    assert shown.locator(".node").count() == before
    shown.locator(".node.module").first.press("Enter")  # it can still lay out
    until(shown, f"{LAID_OUT} && document.querySelectorAll('.node.open').length === 1")


def test_from_afar_nodes_are_painted_and_can_be_clicked(open_page: Open):
    shown = open_page(chain())
    expand(shown)
    for _ in range(8):
        shown.locator("#smaller").click()
    shown.wait_for_timeout(100)
    assert shown.locator(".node.operation").count() == 0
    at = shown.evaluate(
        "(() => { const far = document.querySelector('#far'), { data } = far.getContext('2d').getImageData(0, 0, far.width, far.height);"
        " for (let y = 200; y < far.height; y++) for (let x = 0; x < far.width; x++) { const i = 4 * (y * far.width + x);"
        " if (data[i] < 60 && data[i + 2] > 150) return [x, y + 1]; } })()"  # the blue of operations
    )
    left, top, *_ = place(shown.locator("#canvas"))
    shown.mouse.click(left + at[0] + 1, top + at[1])
    shown.wait_for_selector(".node.operation.chosen")
    assert shown.locator("#sheet h3").inner_text() in ("mul", "add")
