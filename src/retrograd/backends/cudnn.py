"""Switches of cuDNN, a module of its own, for programs import it: accepted, and without effect."""

from __future__ import annotations

deterministic, benchmark, enabled, allow_tf32 = True, False, False, False


def is_available() -> bool:
    """False."""
    return False


def version() -> None:
    """None: there is no cuDNN."""
