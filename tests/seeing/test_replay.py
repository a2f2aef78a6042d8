"""What is run again is what ran, and its differences are the gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import retrograd as torch
from retrograd import nn
from retrograd.seeing.replay import CannotReplay, finite_difference, local_difference, replay
from tests.sampling import Sample
from tests.seeing.test_jacobian import watched
from tests.test_every_op import over_smooth


def slopes(record: Any, name: Any) -> tuple[float, float]:
    """(by differences, by the gradient) in a random direction."""
    step = record.step()
    value = record.find(name)
    direction = np.random.default_rng(0).standard_normal(value.shape)
    g = next(a.g.array for walk in reversed(step.passes) for a in walk.arrivals if a.leaf is value)
    return finite_difference(record, value, direction).slope, float((g * direction).sum())


def test_what_was_not_computed_from_a_value_is_refused():
    """Not a slope of zero."""
    x, w = torch.ones(3), torch.ones(3, requires_grad=True)
    with torch.see() as record:
        (x * w).sum().backward()
    with pytest.raises(CannotReplay, match="was not computed from"):
        replay(record, record.find("w"), np.ones(3), record.find("x"))


@over_smooth
def test_every_call_has_the_slope_of_its_rule(name: str, sample: Sample):
    """Each pull of a smooth sample, in a random direction of each operand."""
    for step in watched(name, sample).steps:
        for pull in (p for walk in step.passes for p in walk.pulls):
            call = pull.call
            if call.op is None or any(x.dtype != np.float64 for x in call.values() if x.dtype.kind in "fc"):
                continue
            if call.op.name in NOT_UNIQUE or any(x.dtype.kind == "c" for x in (*call.results, *call.values())):
                continue
            for at, g in enumerate(pull.outgoing):
                if g is None or not g.size:
                    continue
                direction = np.random.default_rng(at).standard_normal(g.shape)
                if call.op.name in SYMMETRIC:
                    direction = direction + np.swapaxes(direction, -1, -2)
                v = [None if x is None else x.array for x in pull.v]
                found = local_difference(call, at, direction, v)
                assert found.slope == pytest.approx(float((g.array * direction).sum()), rel=2e-4, abs=2e-5)


NOT_UNIQUE = frozenset(["linalg_svd", "linalg_eig", "linalg_eigh", "linalg_qr", "linalg_lu_factor"])  # signs and orders may jump
SYMMETRIC = frozenset(["linalg_cholesky", "linalg_eigvalsh"])  # functions of symmetric matrices


def test_a_network_by_differences():
    """The loss by the weights, through dropout, whose mask stays."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Dropout(0.5), nn.Linear(5, 3))
    x, y = torch.rand(4, 6), torch.tensor([0, 1, 2, 0])
    with torch.see() as record:
        nn.functional.cross_entropy(net(x), y).backward()
    for name in ("0.weight", "0.bias", "3.weight", "3.bias"):
        by_difference, by_gradient = slopes(record, name)
        assert by_difference == pytest.approx(by_gradient, rel=1e-4, abs=1e-6)


def test_in_place_and_views():
    """Writes, also through views, are run again."""
    w = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    with torch.see() as record:
        h = w * 2
        h[0].mul_(3.0)
        h.add_(1.0)
        (h * h).sum().backward()
    by_difference, by_gradient = slopes(record, "w")
    assert by_difference == pytest.approx(by_gradient, rel=1e-5)


def test_detached_is_constant():
    """As backward has it."""
    w = torch.tensor([2.0], requires_grad=True)
    with torch.see() as record:
        (w * w.detach()).sum().backward()
    by_difference, by_gradient = slopes(record, "w")
    assert by_difference == pytest.approx(by_gradient, rel=1e-6)


def test_what_cannot_be_run_again_says_so():
    """A custom Function that draws at random, and numbers that were not kept."""

    class Twice(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2 * torch.rand(3)

        @staticmethod
        def backward(ctx, g):
            return g * 2

    w = torch.ones(3, requires_grad=True)
    with torch.see() as record:
        Twice.apply(w).sum().backward()
    with pytest.raises(CannotReplay, match="Twice"):
        slopes(record, w)
    big = torch.ones(30, requires_grad=True)
    with torch.see(limit=10) as record:
        (big * torch.rand(30)).sum().backward()
    with pytest.raises(CannotReplay, match="limit="):
        replay(record, record.find("big"), np.ones(30))
