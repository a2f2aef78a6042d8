"""Programs with convolutions and pooling, with their gradients: machine code computes what the operations' forward functions compute."""

from __future__ import annotations

import numpy as np
import pytest

import retrograd as torch
from retrograd.compile.arrays import Native
from retrograd.compile.capture import record
from retrograd.compile.machine import Machine
from retrograd.nn import functional as F
from tests.compile.test_machine import compare

POOLINGS = {
    "means side by side": lambda x: F.avg_pool2d(x, 2),
    "means over each other": lambda x: F.avg_pool2d(x, 3, 1),
    "means with padding": lambda x: F.avg_pool2d(x, 3, 2, 1),
    "means without padding": lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False),
    "means with a divisor": lambda x: F.avg_pool2d(x, (2, 3), (1, 2), divisor_override=5),
    "means of lines": lambda x: F.avg_pool1d(x[0], 3, 2),
    "means of volumes": lambda x: F.avg_pool3d(x, 2),
    "greatest side by side": lambda x: F.max_pool2d(x, 2),
    "greatest over each other": lambda x: F.max_pool2d(x, 3, 2, 1),
    "greatest hanging over": lambda x: F.max_pool2d(x, 3, 2, 1, ceil_mode=True),
    "greatest of lines": lambda x: F.max_pool1d(x[0], 3),
    "greatest of greatest": lambda x: F.max_pool2d(F.max_pool2d(x, 2), 2),
}


def gradient_of(function, x):
    """The program of the gradient of the sum of squares of what a function returns."""

    def step(x):
        x.grad = None
        (function(x) ** 2).sum().backward()
        return x.grad

    for _ in range(2):
        _, program, why = record(step, [x], {})
    assert program is not None, why
    return program


def image(dtype):
    """A batch of images that gradients are asked for."""
    return torch.from_numpy(np.random.default_rng(0).normal(size=(2, 6, 18, 20)).astype(dtype)).requires_grad_()


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("name", POOLINGS)
def test_pooling_and_its_gradient(name, dtype):
    x = image(dtype)
    machine = compare(gradient_of(POOLINGS[name], x), [x])
    assert machine.lowering.reasons == {}


def kinds(machine: Machine) -> list[str]:
    """The kernels of a kind of their own that a program has."""
    return [s.kind for s in machine.lowering.statements if isinstance(s, Native)]


def test_the_gradient_of_max_pooling_needs_no_check_of_its_places():
    x = image("f4")
    machine = compare(gradient_of(lambda x: F.max_pool2d(x, 2), x), [x])
    assert kinds(machine) == ["max_pool", "max_pool_gradient"]
    assert len(machine.segments) == 1


def test_places_that_were_changed_are_places_like_any_others():
    def step(x):
        values, places = F.max_pool2d(x, 2, return_indices=True)
        places //= 2
        return torch.zeros(2, 6, 360).scatter_add(2, places.flatten(2), values.flatten(2))

    x = image("f4").detach()
    for _ in range(2):
        _, program, _ = record(step, [x], {})
    machine = compare(program, [x])
    assert "max_pool_gradient" not in kinds(machine)
