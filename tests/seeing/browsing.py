"""What tests of the page read from it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

Open = Callable[..., Any]


def numbers(shown: Any, title: str) -> list[float]:
    """The numbers in the first block of the panel with this title."""
    block = shown.locator("#sheet .array", has=shown.locator("h4", has_text=title)).first
    return [float(x) for x in block.locator("[data-value]").evaluate_all("cells => cells.map(cell => cell.dataset.value)")]


def moment(shown: Any) -> str:
    return shown.locator("#caption").inner_text()


def until(shown: Any, condition: str, seconds: float = 15) -> None:
    """Waits until an expression is true. (The page's policy forbids Playwright's own way, which evaluates texts in the page.)"""
    end = time.monotonic() + seconds
    while not shown.evaluate(condition):
        assert time.monotonic() < end, condition
        shown.wait_for_timeout(30)
