"""What everyday programs do in a step: each was found to run in eager without need, or to leave something otherwise than eager does."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import retrograd as torch
from retrograd.compile.backend import make_executor
from retrograd.compile.compiled import Compiled
from retrograd.compile.replay import Replay
from tests.compile.side_by_side import Job, batches, compared, perceptron, training

nn = torch.nn
F = nn.functional


# ---------------------------------------------------------------- labels


@pytest.mark.parametrize("backend", [Replay, make_executor], ids=["replay", "native"])
def test_one_hot(backend: Any):
    """With a number of classes it is recorded, and the program looks at the labels as the function does."""
    f = Compiled(lambda y: F.one_hot(y, 4), fullgraph=True, backend=backend)
    for _ in range(3):
        y = torch.randint(0, 4, (3, 2))
        assert torch.equal(f(y), F.one_hot(y, 4))
    for wrong, text in ((4, "must be smaller"), (-1, "must be non-negative")):
        y[2, 1] = wrong
        with pytest.raises(RuntimeError, match=text):
            f(y)
    assert [v.state for v in f.programs()] == ["compiled"]


# ---------------------------------------------------------------- numbers that are drawn


def test_normal_around_a_tensor():
    """Nothing of the call is kept by what draws."""
    compared(lambda: Job(lambda x: (torch.normal(x, 2.0), torch.normal(1.0, x.exp()))), [(torch.randn(5),) for _ in range(4)])
