"""A Jacobian's structure is what unit vectors find, for every differentiable operation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import retrograd as torch
from retrograd.seeing.jacobian import jacobian
from retrograd.seeing.record import Value
from retrograd.seeing.structures import Blocks, Entries, Jacobian, Windows
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


def test_operations_without_a_structure():
    """Few of all that the samples run are left as dense; complex ones say what they are."""
    dense = set()
    for name, sample in SAMPLES:
        for call, _at, _output, j in jacobians(watched(name, sample)):
            if j.dtype.kind == "c" and j.pull is not None:
                assert j.kind == "complex"
                assert "Jᴴv" in j.sentence("es")
            elif j.dtype.kind == "f" and not isinstance(j, (Entries, Blocks, Windows)):
                dense.add(call.name)
    assert dense <= {"index_put", "linalg_cross", "scatter_extreme", "scatter_prod"}


def first_jacobian(run: Any, *leaves: Any, at: int = 0) -> Jacobian:
    """That of what ran last, with respect to one of its operands."""
    with torch.see() as record:
        run().sum().backward()
    return jacobian(record.step().calls[-2], at)


def test_overlapping_windows():
    """Pools whose windows overlap, with padding or without, and of parts of uneven sizes; large ones are believed and not built."""
    x = torch.randn(2, 3, 16, 16, requires_grad=True)
    for run, taps, places in (
        (lambda: torch.nn.functional.avg_pool2d(x, 3, 1), 9, 6 * 14 * 14 * 9),
        (lambda: torch.nn.functional.avg_pool2d(x, 3, 2, 1, count_include_pad=False), 9, 6 * (2 + 7 * 3) ** 2),
        (lambda: torch.nn.functional.adaptive_avg_pool2d(x, 5), 25 - 9, 6 * (3 * 3 + 2 * 4 + 3) ** 2),
    ):
        j = first_jacobian(run)
        assert isinstance(j, Windows)
        assert (j.kind, j.places) == ("windows", places)
        assert j.nonzero == places
        assert j.taps == taps
        v = np.random.default_rng(0).standard_normal(j.m).astype(np.float32)
        np.testing.assert_allclose(j.transposed(v), j.vjp(v).reshape(-1), rtol=1e-5, atol=1e-6)
    wide = torch.randn(4, 64, 56, 56, requires_grad=True)
    j = first_jacobian(lambda: torch.nn.functional.avg_pool2d(wide, 5, 1))
    assert not j.known
    assert j.sentence("es").startswith("cada uno de los 692\N{NO-BREAK SPACE}224 resultados es una media")
    with pytest.raises(ValueError, match="too many numbers"):
        j.transposed(np.zeros(j.m))


def test_transposed_convolutions():
    """By groups, with strides and padding: Toeplitz for the input, a Kronecker product for the weight."""
    x, w = torch.randn(2, 4, 9, 9, requires_grad=True), torch.randn(4, 3, 3, 3, requires_grad=True)
    for at, padding, kind, touched in ((0, 1, "toeplitz", 9 * 3 - 2), (1, 1, "toeplitz", 9 * 3 - 2), (1, 0, "grouped", 9 * 3)):
        j = first_jacobian(lambda: torch.nn.functional.conv_transpose2d(x, w, None, 2, padding, groups=2), at=at)  # noqa: B023
        assert j.kind == kind
        assert j.places == 2 * 4 * 3 * touched**2
        v = np.random.default_rng(0).standard_normal(j.m).astype(np.float32)
        np.testing.assert_allclose(j.transposed(v), j.vjp(v).reshape(-1), rtol=1e-4, atol=1e-4)


def test_attention_is_blocks():
    """Each operation of attention: products for each head, softmax for each row."""
    q, k, v = (torch.randn(2, 2, 5, 4, requires_grad=True) for _ in range(3))
    with torch.see() as record:
        torch.nn.functional.scaled_dot_product_attention(q, k, v).square().sum().backward()
    found = {call.name: jacobian(call, 0) for call in record.step().calls if call.node is not None}
    assert isinstance(found["softmax"], Blocks)
    assert found["softmax"].block == (20, 1, 5, 5)
    assert found["bmm"].kind == "grouped"
    assert all(isinstance(j, (Entries, Blocks)) for j in found.values())


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
