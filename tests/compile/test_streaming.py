"""Copies past the caches: every byte, and no other; whatever the address; and when eager uses them."""

from __future__ import annotations

import numpy as np
import pytest

from retrograd.compile import eager
from retrograd.compile.native.streaming import streaming_copies

SIZES = (0, 1, 15, 63, 64, 65, 127, 4096, 32768, 32769, 100_001, 65536 * 12 + 7)
DISTANCES = (0, 1, 4, 16, 24, 64)  # bytes between an allocation's start and the array


@pytest.mark.parametrize("nbytes", SIZES)
def test_all_bytes_and_no_others(nbytes: int):
    """On one thread and on several, at addresses that fit and at others."""
    rng = np.random.default_rng(nbytes)
    for copy in streaming_copies(nbytes):
        for distance in DISTANCES:
            for away in DISTANCES:
                source = rng.integers(0, 256, away + nbytes, np.uint8)[away:]
                memory = rng.integers(0, 256, distance + nbytes + 100, np.uint8)
                before = memory.copy()
                copy(source, memory[distance : distance + nbytes])
                np.testing.assert_array_equal(memory[distance : distance + nbytes], source)
                np.testing.assert_array_equal(memory[:distance], before[:distance])
                np.testing.assert_array_equal(memory[distance + nbytes :], before[distance + nbytes :])


def test_machine_code_goes_past_the_caches():
    """What the module says of its writes is there."""
    from retrograd.compile.native.streaming import stream

    text = str(stream(1 << 20))
    assert text.count("!nontemporal") == 1


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels are made at the second call of a kind, and are used."""
    monkeypatch.setattr(eager, "policy", eager.Policy(calls=2, background=False, always=True))
    monkeypatch.setattr(eager, "copies", eager.Quickened(eager.copied, eager.copies_past_the_caches))


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "int64", "bool"])
def test_set_aside(at_once: None, dtype: str):
    """The same numbers in memory of their own, before and after there is a kernel."""
    array = (np.random.default_rng(0).normal(size=(37, 91)) * 10).astype(dtype)
    if array.dtype.kind == "f":
        array[0, :3] = np.nan, np.inf, -0.0
    for _ in range(4):
        copy = eager.set_aside(array)
        assert copy.base is None
        assert (copy.dtype, copy.shape) == (array.dtype, array.shape)
        assert copy.tobytes() == array.tobytes()
    (kernel,) = eager.copies.kernels.values()
    assert kernel is not eager.copied


@pytest.mark.parametrize("turn", [np.transpose, lambda x: x[:, ::2], lambda x: np.broadcast_to(x[:1], x.shape), lambda x: x[::-1]])
def test_other_layouts_have_no_kernel(at_once: None, turn):
    """They are copied by NumPy."""
    array = turn(np.random.default_rng(0).normal(size=(64, 48)))
    for _ in range(4):
        copy = eager.set_aside(array)
        np.testing.assert_array_equal(copy, array)
        assert not np.shares_memory(copy, array)
    assert list(eager.copies.kernels.values()) in ([], [eager.copied])


def test_the_layout_is_kept():
    """Of an array without gaps, so that what is computed with it rounds the same."""
    assert eager.set_aside(np.ones((5, 4)).T).strides == np.ones((5, 4)).T.strides


def test_nothing_is_made_where_kernels_are_left_out(at_once: None, monkeypatch: pytest.MonkeyPatch):
    """RETROGRAD_EAGER_KERNELS=0, which is read once."""
    monkeypatch.setattr(eager, "installed", False)
    array = np.ones((64, 64))
    for _ in range(4):
        np.testing.assert_array_equal(eager.set_aside(array), array)
    assert not eager.copies.kernels
    assert not eager.copies.counts
