"""Opens pages in a real browser, and reads them. Without Chromium (CI installs it) tests that ask for it are skipped."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from retrograd.seeing.page.page import page
from retrograd.seeing.record import Record

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """One for all tests."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install 'retrograd[browser]'")
    if CHROMIUM is None:
        pytest.skip("needs Chromium (on Debian: apt-get install chromium)")
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield found
        found.close()


@pytest.fixture
def open_page(browser: Any, tmp_path: Path) -> Iterator[Any]:
    """Opens the page of a record from a file. Whatever the console says, and any request for something else, fails the test."""
    contexts, trouble = [], []

    def opened(record: Record | None, language: str = "en", url: str | None = None, title: str = "A step", **how: Any) -> Any:
        if url is None:
            file = tmp_path / f"page{len(contexts)}.html"
            file.write_text(page(record, language, title), "utf-8")
            url = file.as_uri()
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, "reduced_motion": "reduce"} | how)
        contexts.append(context)
        shown = context.new_page()
        shown.on("console", lambda message: trouble.append(message.text))
        shown.on("pageerror", lambda error: trouble.append(str(error)))
        own = url.partition("?")[0]
        shown.on("request", lambda r: None if r.url.startswith((own, "blob:", "data:")) else trouble.append(r.url))
        shown.goto(url)
        shown.wait_for_selector("html[data-ready]", timeout=20_000)
        return shown

    yield opened
    for context in contexts:
        context.close()
    assert trouble == []
