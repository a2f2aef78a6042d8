"""Plans of typical programs are what they were: if one is meant to change, `python -m tests.compile.plans` writes the goldens anew."""

from __future__ import annotations

import pytest

from retrograd.compile.native.host import Host
from tests.compile import plans
from tests.compile.plans import GOLDENS, IMAGINED, PLANS


@pytest.mark.parametrize("name", PLANS)
def test_golden(name: str):
    """The difference, if there is one, is what pytest shows."""
    assert PLANS[name]().split("\n") == (GOLDENS / f"{name}.txt").read_text(encoding="utf-8").split("\n")


def test_there_is_no_other_golden():
    """A file for each program, and a program for each file."""
    assert {path.stem for path in GOLDENS.iterdir()} == set(PLANS)


def test_the_length_of_vectors_does_not_show(monkeypatch: pytest.MonkeyPatch):
    """Another processor, the same loops."""
    narrow = Host(128, 16, 32 << 10, 512 << 10, 4 << 20, 1, "another", "")
    wide = {name: loops(PLANS[name]()) for name in PLANS}
    monkeypatch.setattr(plans, "IMAGINED", narrow)
    monkeypatch.setattr(plans.plan_of, "__defaults__", (narrow,))
    assert narrow != IMAGINED
    assert {name: loops(PLANS[name]()) for name in PLANS} == wide


def loops(plan: str) -> list[str]:
    """The lines that tell loops, not in how many parts they run."""
    return [line for line in plan.split("\n") if line.startswith("    ")]
