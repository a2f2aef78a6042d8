"""A program as Python text that runs."""

from __future__ import annotations

from retrograd.compile.graph import Program


def printed(program: Program) -> str:
    """A program as Python text that runs."""
    return str(program)
