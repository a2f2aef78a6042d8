"""The page in a real browser, driven as people drive it: keys, clicks, a phone. Without Chromium (CI installs it) these are skipped."""

from __future__ import annotations

from pathlib import Path

import pytest

import retrograd as torch
from retrograd import nn
from retrograd.cli.workloads import gpt, gpt_numbers
from retrograd.seeing import Recorder
from retrograd.seeing.page.server import serve
from retrograd.seeing.record import Record
from tests.seeing.browsing import Open, moment, numbers, until


def recorded() -> Record:
    """Two steps of a network; in each, two backward passes before the optimizer's."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(25, 4), nn.ReLU(), nn.Linear(4, 2))
    x, y = torch.rand(3, 25), torch.rand(3, 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
    with torch.see() as record:
        for _ in range(2):
            optimizer.zero_grad()
            nn.functional.mse_loss(net(x), y).backward()
            nn.functional.mse_loss(net(x), y).backward()
            optimizer.step()
    return record


def test_the_walk_by_keys_alone_shows_the_records_numbers(open_page: Open):
    record = recorded()
    step = record.step()
    shown = open_page(record)
    press = shown.keyboard.press
    press("ArrowRight")
    assert moment(shown).startswith("Forward: linear computes")
    assert numbers(shown, "(result)") == step.calls[0].results[0].snapshot.array.reshape(-1).tolist()
    while "Backward begins" not in moment(shown):
        press("ArrowRight")
    assert numbers(shown, "v = 1") == [1.0]
    press("ArrowRight")
    pull = step.passes[0].pulls[0]
    assert numbers(shown, "Jᵀv for linear") == pull.outgoing[0].array.reshape(-1).tolist()
    while "added to what was there" not in moment(shown):
        press("ArrowRight")
    name = moment(shown).partition(".grad")[0]
    arrival = next(a for a in step.passes[1].arrivals if a.leaf.label == name)
    assert moment(shown).endswith("backward pass 2")
    assert numbers(shown, ".grad before") == arrival.before.array.reshape(-1).tolist()
    assert numbers(shown, "g (added)") == arrival.g.array.reshape(-1).tolist()
    assert numbers(shown, f"{name}.grad") == (arrival.before.array + arrival.g.array).reshape(-1).tolist()
    press("End")
    while "SGD updates" not in moment(shown):
        press("ArrowLeft")
    update = step.updates[0]
    assert numbers(shown, "before") == update.before.array.reshape(-1).tolist()
    assert numbers(shown, "after") == update.after.array.reshape(-1).tolist()
    press("Home")
    assert moment(shown).startswith("Press play")


def test_play_goes_on_by_itself_and_stops(open_page: Open):
    shown = open_page(recorded())
    shown.select_option("#speed", "150")
    shown.locator("#canvas").click(position={"x": 5, "y": 5})
    shown.keyboard.press("Space")
    until(shown, "document.querySelector('#moment').value >= 3")
    shown.keyboard.press("Space")
    at = shown.locator("#moment").input_value()
    shown.wait_for_timeout(400)
    assert shown.locator("#moment").input_value() == at
    assert shown.locator("#play").get_attribute("aria-label") == "Play (space)"


def test_a_click_shows_a_nodes_numbers_and_source(open_page: Open):
    record = recorded()
    shown = open_page(record)
    value = next(v for v in record.step().values if v.label == "2.weight")
    shown.locator(f'[data-node="v{value.number}"]').first.click()
    assert shown.locator("#sheet h3").inner_text().startswith("2.weight")
    assert numbers(shown, "Value") == value.snapshot.array.reshape(-1).tolist()
    assert "mse_loss(net(x), y).backward()" in shown.locator("#sheet .source .here").first.inner_text()
    relu = next(c for c in record.step().calls if c.name == "relu")
    shown.locator(f'[data-node="c{relu.number}"]').focus()
    shown.keyboard.press("Enter")
    assert shown.locator("#sheet h3").inner_text() == "relu"
    weight = next(v for v in record.step().values if v.label == "0.weight")
    shown.locator(f'[data-node="v{weight.number}"]').first.click()
    assert shown.locator("#sheet canvas.images").count() >= 2


def test_modules_close_and_open_and_search_finds_what_is_closed(open_page: Open):
    shown = open_page(recorded())
    shown.locator("#collapse").click()
    shown.wait_for_selector('[data-node="c0"]', state="detached")
    assert shown.locator('.node.module[aria-expanded="false"]').count() == 2
    shown.locator(".node.module").first.press("Enter")
    shown.wait_for_selector('.node.module[aria-expanded="true"]')
    assert shown.locator('[data-node="c0"]').count() == 0
    shown.keyboard.press("/")
    shown.keyboard.type("0.bias")
    shown.keyboard.press("Enter")
    shown.wait_for_selector(".node.parameter.chosen")
    assert shown.locator("#sheet h3").inner_text().startswith("0.bias")
    shown.locator("#search").fill("no such thing")
    assert shown.locator("#found").inner_text() == "no match"


def test_language_and_theme(open_page: Open):
    shown = open_page(recorded(), color_scheme="dark")
    dark = shown.evaluate("getComputedStyle(document.body).backgroundColor")
    shown.locator("#theme").click()
    assert shown.evaluate("getComputedStyle(document.body).backgroundColor") != dark
    shown.locator("#language").click()
    assert shown.locator("html").get_attribute("lang") == "es"
    shown.locator("body").press("ArrowRight")
    assert moment(shown).startswith("Hacia adelante: linear calcula")
    assert shown.locator("#play").get_attribute("aria-label") == "Reproducir (espacio)"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_is_enough(open_page: Open, scheme: str):
    shown = open_page(recorded(), color_scheme=scheme)
    colours = shown.evaluate(
        "Object.fromEntries(['ground','sheet','ink','quiet','line','forward','backward','weight','input','module','bad','soft','warm']"
        ".map(n => [n, getComputedStyle(document.documentElement).getPropertyValue('--' + n).trim()]))"
    )

    def light(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        return sum(
            w * (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4) for w, c in zip((0.2126, 0.7152, 0.0722), parts, strict=True)
        )

    pairs = [(text, ground) for text in ("ink", "quiet") for ground in ("ground", "sheet", "module", "soft", "warm")]
    for text, ground in [*pairs, *((c, "sheet") for c in ("bad", "backward", "weight")), ("sheet", "forward")]:
        high, low = sorted((light(colours[text]), light(colours[ground])), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= 4.5, (text, ground)


def test_everything_has_a_name(open_page: Open):
    shown = open_page(recorded())
    shown.locator("body").press("ArrowRight")
    nameless = shown.evaluate(
        "[...document.querySelectorAll('button, input, select, [role=button], [role=link], [role=tab], canvas:not([aria-hidden])')]"
        ".filter(e => !(e.getAttribute('aria-label') || e.textContent.trim() || e.closest('label'))).map(e => e.outerHTML)"
    )
    assert nameless == []


def test_a_phone(open_page: Open):
    shown = open_page(recorded(), viewport={"width": 390, "height": 780}, has_touch=True, is_mobile=True)
    assert shown.evaluate("document.documentElement.scrollWidth <= innerWidth")
    shown.locator("#forward").tap()
    assert moment(shown).startswith("Forward")
    graph, panel = shown.locator("#graph").bounding_box(), shown.locator("#panel").bounding_box()
    assert panel["y"] >= graph["y"] + graph["height"] - 1


def test_hostile_names_are_texts(open_page: Open):
    evil = '</script><img src=x onerror="document.title=1"><b>&amp;'
    record = recorded()
    record.step().values[0].name = evil
    shown = open_page(record, title=evil)
    assert shown.locator("#title").inner_text() == evil
    assert shown.locator("img").count() == 0
    shown.locator('[data-node="v0"]').first.click()
    assert shown.locator("#sheet h3").inner_text().startswith(evil)


def test_a_crash_is_shown(open_page: Open):
    x = torch.ones(2, 3, requires_grad=True)
    with pytest.raises(RuntimeError), torch.see() as record:
        (x * 2) @ torch.ones(4)
    shown = open_page(record)
    assert shown.locator("#failure").inner_text().startswith("RuntimeError")


def test_of_three_thousand_nodes_few_are_drawn(open_page: Open):
    x = torch.ones(2, requires_grad=True)
    with torch.see() as record:
        y, kept = x, []
        for i in range(3000):
            y = y * 1.0001 if i % 5 or not kept else y + kept[i // 7]
            kept.append(y)
        y.sum().backward()
    shown = open_page(record)
    drawn = shown.locator(".node").count()
    assert 0 < drawn < 300  # by parts; what is outside the window is not drawn
    shown.locator(".node.module").first.press("Enter")
    until(shown, "document.querySelectorAll('.node.open').length === 1 && document.querySelector('#busy').hidden", seconds=60)
    assert 0 < shown.locator(".node").count() < 600


@pytest.mark.parametrize(("layers", "width"), [(2, 32), (4, 128)])
def test_the_page_of_a_small_gpt_is_small(open_page: Open, tmp_path: Path, layers: int, width: int):
    parameters, (text, following) = gpt_numbers(layers=layers, width=width, context=32, batch=4)
    step = gpt(torch, parameters, layers, 4, width, 32)
    with torch.see() as record:
        for _ in range(2):
            step(torch.tensor(text), torch.tensor(following))
    shown = open_page(record)
    assert (tmp_path / "page0.html").stat().st_size < 10_000_000
    assert shown.locator(".node").count() > 3


def test_live(open_page: Open):
    recorder = Recorder(1, 2, 1000)
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.1)

    def train(steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            (w * w).sum().backward()
            optimizer.step()

    with serve(recorder, language="en") as server, recorder as record:
        train(3)
        shown = open_page(None, url=server.url)
        first = record.watched
        assert shown.locator(".node").first.bounding_box()["x"] > shown.locator("#graph").bounding_box()["x"] + 10
        train(3)
        until(shown, f"document.querySelector('#step').textContent.startsWith('{first + 2}')")
