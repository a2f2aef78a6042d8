"""A Jacobian's structure is what unit vectors find, for every differentiable operation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import retrograd as torch
from retrograd.seeing.jacobian import jacobian
from retrograd.seeing.record import Value
from retrograd.seeing.structures import Blocks, Entries, Jacobian
from tests.sampling import Sample
from tests.test_every_op import SAMPLES, call_ours, floating, over_samples

MOST = 3000  # entries of a Jacobian that is worked out here by unit vectors


def watched(name: str, sample: Sample) -> Any:
    """The record of a sample and a backward pass through it."""
    with torch.see() as record:
        results, leaves, _ = call_ours(name, sample)
        wanted = floating(results)
        if wanted and leaves:
            torch.autograd.backward(wanted, [torch.ones_like(w) for w in wanted])
    return record


def jacobians(record: Any) -> Any:
    """Those of all calls that a backward pass went through."""
    for step in record.steps:
        for pull in (p for walk in step.passes for p in walk.pulls):
            call = pull.call
            for at, g in enumerate(pull.outgoing):
                if g is None or not isinstance(call.operands[at], Value):
                    continue
                for output, v in enumerate(pull.v):
                    if v is not None and call.results:
                        yield call, at, output, jacobian(call, at, output)


def by_unit_vectors(j: Jacobian) -> np.ndarray:
    """The matrix, row by row."""
    return np.array([j.vjp(e).reshape(-1) for e in np.eye(j.m, dtype=j.dtype)]).reshape(j.m, j.n)


@over_samples
def test_the_structure_is_what_unit_vectors_find(name: str, sample: Sample):
    """Every entry, and every product with a matrix."""
    for _call, _at, _output, j in jacobians(watched(name, sample)):
        if j.pull is None or j.dtype.kind != "f" or j.m * j.n > MOST:
            continue
        expected = by_unit_vectors(j)
        assert j.sentence("en")
        assert j.sentence("es")
        finite = np.isfinite(expected)  # zero times an infinite derivative is nan by unit vectors, and zero by structure
        np.testing.assert_allclose(j.matrix[finite], expected[finite], rtol=1e-6, atol=1e-9)
        if not finite.all():
            continue
        assert np.count_nonzero(expected) <= j.places
        if j.nonzero is not None:
            assert j.nonzero == np.count_nonzero(j.matrix)
        np.testing.assert_allclose(j.entries(3), expected[:3, :3], rtol=1e-6, atol=1e-9)
        if j.known:
            rng = np.random.default_rng(0)
            u, v = rng.standard_normal((j.n, 2)), rng.standard_normal(j.m)
            np.testing.assert_allclose(j.applied(u), expected @ u, rtol=1e-6, atol=1e-7)
            np.testing.assert_allclose(j.transposed(v), v @ expected, rtol=1e-6, atol=1e-7)


def test_most_operations_have_a_structure():
    """Few of all that the samples run are left as dense."""
    dense = set()
    total = set()
    for name, sample in SAMPLES:
        for call, _at, _output, j in jacobians(watched(name, sample)):
            total.add(call.name)
            if not isinstance(j, (Entries, Blocks)) and j.dtype.kind == "f":
                dense.add(call.name)
    assert len(dense) < len(total) / 4, sorted(dense)


def test_large_ones_are_never_written_out():
    """The Jacobian of the note's first layer with respect to its weights would be 4096 x 200704."""
    torch.manual_seed(0)
    net = torch.nn.Linear(784, 256)
    with torch.see() as record:
        net(torch.rand(16, 784)).sum().backward()
    j = jacobian(record.step().calls[0], 1)
    assert j.size == (4096, 200704)
    assert j.places == 4096 * 784
    assert "⊗" in j.sentence("es")
    with pytest.raises(ValueError, match=r"4096 x 200704.* GB"):
        j.explicit()
    v = np.random.default_rng(0).standard_normal(4096).astype(np.float32)
    np.testing.assert_allclose(j.transposed(v).reshape(256, 784), j.vjp(v), rtol=1e-4, atol=1e-5)
    assert j.entries(2).shape == (2, 2)
