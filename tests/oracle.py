"""PyTorch beside us: the same program run by both, and their results compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import retrograd

try:
    import torch
except ImportError:
    torch = None

needs_torch = pytest.mark.skipif(torch is None, reason="PyTorch, the oracle, is not installed")


def plain(value: Any) -> Any:
    """A result without tensors: arrays in their place, within whatever they are in."""
    if hasattr(value, "detach"):
        return value.detach().numpy()
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value


def assert_close(ours: Any, theirs: Any, rtol: float = 1e-5, atol: float = 1e-6) -> None:
    """Raises unless two results are of one structure, with close numbers and equal everything else."""
    if isinstance(theirs, np.ndarray):
        assert ours.shape == theirs.shape
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=atol)
    elif isinstance(theirs, dict):
        assert list(ours) == list(theirs)
        for key in theirs:
            assert_close(ours[key], theirs[key], rtol, atol)
    elif isinstance(theirs, list):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            assert_close(a, b, rtol, atol)
    elif isinstance(theirs, float):
        assert ours == pytest.approx(theirs, rel=rtol, abs=atol)
    else:
        assert ours == theirs


def same_in_both(program: Callable[[Any], Any], rtol: float = 1e-5, atol: float = 1e-6, seed: int = 0) -> None:
    """Runs `program(library)` with either library from one seed, and compares what it returns."""
    found = []
    for library in (retrograd, torch):
        library.manual_seed(seed)
        found.append(plain(program(library)))
    assert_close(*found, rtol, atol)


def error_in_both(program: Callable[[Any], Any], match: str = "") -> None:
    """Asserts that both libraries raise, of one type, and ours with a message that matches."""
    with pytest.raises(Exception) as theirs:
        program(torch)
    with pytest.raises(type(theirs.value), match=match or None):
        program(retrograd)
