"""How quick the page is, driven in a headless Chromium: opening it, laying out three thousand nodes, moving about in them, walking through them.

Everything is done several times, and the least counts: what the machine does besides only adds.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import retrograd
from retrograd.cli.timing import shown
from retrograd.cli.workloads import gpt, gpt_numbers
from retrograd.seeing import see
from retrograd.seeing.page.page import page
from retrograd.seeing.record import Record

try:
    from playwright.sync_api import sync_playwright
except ImportError:
    sync_playwright = None

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
ROUNDS, MOMENTS = 3, 40
SCALES = (1, 0.45, 0.15, 0.02)  # from where words can be read to where all is in view
LAID_OUT = "document.querySelector('#busy').hidden"
RECORD = """(() => { window.frames_ = []; window.going = true; let last = 0;
    const frame = (at) => { if (last) window.frames_.push(at - last); last = at; if (window.going) requestAnimationFrame(frame); };
    requestAnimationFrame(frame); })()"""
FRAMES = "(() => { window.going = false; return window.frames_; })()"
# How long from the slider's move to the frame that shows the moment.
SCRUB = """(share) => new Promise((done) => { const slider = document.querySelector('#moment'), start = performance.now();
    slider.value = Math.round(share * slider.max); slider.dispatchEvent(new Event('input'));
    requestAnimationFrame(() => setTimeout(() => done((performance.now() - start) / 1000))); })"""
Row = Callable[[str, str, str, bool], None]


def of_a_gpt(layers: int, width: int, context: int, batch: int, steps: int) -> Record:
    """Steps of a GPT."""
    parameters, arrays = gpt_numbers(layers, width, context, batch)
    step, data = gpt(retrograd, parameters, layers, 2, width, context), tuple(retrograd.from_numpy(a) for a in arrays)
    with see() as record:
        for _ in range(steps):
            step(*data)
    return record


def of_a_chain() -> Record:
    """Three thousand operations without a module, each on what the one before made; some take what came long before, too."""
    y, kept = retrograd.ones(2, requires_grad=True), []
    with see() as record:
        for i in range(3000):
            y = y + kept[i // 7] if i % 5 == 4 else y * 1.0001
            kept.append(y)
        y.sum().backward()
    return record


def of_a_recurrent_network() -> Record:
    """Two hundred steps of an LSTM without a module: three thousand operations that share three parameters."""
    w, u, b = (retrograd.randn(*shape, requires_grad=True) for shape in ((4, 16), (4, 16), (16,)))
    h, c, kept = retrograd.zeros(2, 4), retrograd.zeros(2, 4), []
    with see() as record:
        for x in retrograd.randn(200, 2, 4):
            i, f, g, o = (x @ w + h @ u + b).chunk(4, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            kept.append(h)
        retrograd.stack(kept).pow(2).mean().backward()
    return record


def of_many_branches() -> Record:
    """A thousand branches side by side."""
    x, weights = retrograd.ones(4, requires_grad=True), [retrograd.randn(4, requires_grad=True) for _ in range(1000)]
    with see() as record:
        retrograd.stack([(x * w).tanh() for w in weights]).sum().backward()
    return record


LARGE = {
    "a chain of 3,000 operations": of_a_chain, "an LSTM over 200 steps": of_a_recurrent_network, "1,000 branches": of_many_branches,
    "a GPT of 70 blocks": lambda: of_a_gpt(70, 8, 8, 1, 1),
}  # fmt: skip


@contextmanager
def browsing() -> Iterator[Any]:
    """A browser; None where there is none."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if sync_playwright is None or found is None:
        yield None
        return
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def opened(browser: Any, address: str) -> Iterator[tuple[Any, float]]:
    """A page in a window of its own, and how many seconds it took until its graph was drawn."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    tab = context.new_page()
    start = time.perf_counter()
    tab.goto(address)
    tab.wait_for_selector("html[data-ready]", timeout=60_000)
    yield tab, time.perf_counter() - start
    context.close()


def seconds_to_open(browser: Any, address: str) -> float:
    """How long until the graph is drawn."""
    with opened(browser, address) as (_, seconds):
        return seconds


def seconds_to_expand(tab: Any) -> float:
    """Opens all groups; how long until all nodes stand."""
    start = time.perf_counter()
    tab.click("#expand")
    while not tab.evaluate(LAID_OUT):
        tab.wait_for_timeout(10)
    return time.perf_counter() - start


def looked_at(tab: Any, scale: float) -> tuple[float, float]:
    """Shows the upper end of the graph at about a scale, with the pointer on it; where the pointer is."""
    box = tab.locator("#canvas").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 3
    tab.mouse.move(x, y)
    tab.keyboard.press("0")
    for _ in range(60):
        tab.wait_for_timeout(20)
        now = float(tab.locator("#world").get_attribute("transform").partition("scale(")[2][:-1])
        if abs(now / scale - 1) < 0.2:
            break
        tab.mouse.wheel(0, 80 if now > scale else -80)
    return x, y


def frames_while_moving(tab: Any, scale: float) -> list[float]:
    """Drags down and up, zooms out and in, by mouse and wheel; the seconds between frames."""
    x, y = looked_at(tab, scale)
    tab.evaluate(RECORD)
    for way in (-1, 1):
        tab.mouse.down()
        for i in range(40):
            tab.mouse.move(x + 3 * way * i, y + 9 * way * i)
        tab.mouse.up()
        tab.mouse.move(x, y)
    for turn in (1, -1):
        for _ in range(20):
            tab.mouse.wheel(0, 30 * turn)
            tab.wait_for_timeout(8)
    return [ms / 1000 for ms in tab.evaluate(FRAMES)]


def seconds_to_scrub(tab: Any) -> float:
    """The slider is moved here and there; the median of the seconds until the page shows the moment."""
    return median(tab.evaluate(SCRUB, (7 * i % MOMENTS) / MOMENTS) for i in range(MOMENTS))


def measure_large(browser: Any, address: str, row: Row) -> None:
    """The rows of one large program."""
    openings, layouts, typical, longest, moments = [], [], [], [], []
    for _ in range(ROUNDS):
        with opened(browser, address) as (tab, seconds):
            openings.append(seconds)
            layouts.append(seconds_to_expand(tab))
            frames = [frames_while_moving(tab, scale) for scale in SCALES]
            typical.append([median(some) for some in frames])
            longest.append([max(some) for some in frames])
            moments.append(seconds_to_scrub(tab))
    middle, most = (max(map(min, zip(*rounds, strict=True))) for rounds in (typical, longest))  # of the scale that is the slowest
    row("  until its graph is drawn", shown(min(openings)), "2 s", min(openings) < 2)
    row("  until all its nodes are laid out", shown(min(layouts)), "5 s", min(layouts) < 5)
    row("  from frame to frame, dragged and zoomed: median", shown(middle), "20 ms", middle < 0.020)
    row("  from frame to frame, dragged and zoomed: longest", shown(most), "100 ms", most < 0.100)
    row("  another moment of the walk", shown(min(moments)), "100 ms", min(moments) < 0.100)


def measure(row: Row) -> None:
    """Writes a row for each thing measured: a name, a value, the goal, and whether it was met."""
    with tempfile.TemporaryDirectory() as folder, browsing() as browser:
        start = time.perf_counter()
        small = page(record := of_a_gpt(2, 32, 16, 4, 4), "en")
        del record
        row("the small GPT's page: to record and write", shown(time.perf_counter() - start), "", True)
        row("the small GPT's page: size", f"{len(small.encode()) / 1e6:.2f} MB", "10 MB", len(small.encode()) < 10e6)
        if browser is None:
            print("how quick the page is: needs playwright (pip install 'retrograd[browser]') and Chromium")
            return
        file = Path(folder) / "page.html"
        file.write_text(small, encoding="utf-8")
        seconds = min(seconds_to_open(browser, file.as_uri()) for _ in range(ROUNDS))
        row("the small GPT's page: until its graph is drawn", shown(seconds), "2 s", seconds < 2)
        for name, program in LARGE.items():
            file.write_text(page(program(), "en"), encoding="utf-8")
            print(f"the page of {name}: {file.stat().st_size / 1e6:.1f} MB")
            measure_large(browser, file.as_uri(), row)
