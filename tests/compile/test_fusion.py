"""Which loops share a nest, and which move to their readers."""

from __future__ import annotations

import itertools
import random

import numpy as np

import retrograd as torch
from retrograd import nn
from retrograd.compile.capture import record
from retrograd.compile.fuse import Single, apart, written_by
from retrograd.compile.graph import Buffer
from retrograd.compile.loops import Access, Nest, nodes_of
from tests.compile.test_machine import compare


def test_apart_is_told_by_the_elements_themselves():
    """Never where two accesses meet; and nearly always where they do not."""
    draw, buffer = random.Random(3), Buffer("made", 1 << 20, "b")
    never_meet = found = 0
    for _ in range(4000):
        sizes = [draw.randint(1, 5) for _ in range(draw.randint(0, 3))]
        steps = tuple(draw.choice([0, 4, 8, 12, 16, 20, 64, -4, -16]) for _ in sizes)
        a, b = (Access(buffer, 400 + 4 * draw.randint(0, 40), steps, np.dtype("f4")) for _ in range(2))
        mine, others = (
            {x.offset + sum(i * s for i, s in zip(point, steps, strict=True)) for point in itertools.product(*map(range, sizes))}
            for x in (a, b)
        )
        told = apart(a, b, sizes)
        assert not (told and mine & others), (a, b, sizes)
        never_meet += not mine & others
        found += told
    assert found > 0.9 * never_meet


def test_parts_of_one_array_are_written_by_one_nest():
    """The parts of a concatenation, and what is computed with them before."""
    x = torch.randn(40, 30)

    def joined(x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x + 1, x * 2, x.exp()], 1)

    _, program, _ = record(joined, (x,), {})
    machine = compare(program, [x])
    assert len(machine.units) == 1


def test_what_backward_alone_needs_of_a_function_is_computed_there():
    """The forward pass keeps the sigmoid y, not y (1 - y)."""
    first, second = nn.Linear(20, 30), nn.Linear(30, 5)
    x = torch.randn(16, 20)

    def gradients(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        loss = second(first(x).sigmoid()).square().sum()
        return torch.autograd.grad(loss, [first.weight, second.weight])

    _, program, _ = record(gradients, (x,), {})
    machine = compare(program, [x])
    forward = next(u for u in machine.units if isinstance(u, Nest) and any(n.op == "exp" for loop in u.loops for n in nodes_of(loop.value)))
    kept = [b for b in written_by(forward) if b in machine.kept]
    assert len(kept) == 1
    assert not any(isinstance(u, Single) for u in machine.units)


def test_what_is_overwritten_meanwhile_is_not_moved_behind_that():
    """A factor of an old value stays where the old value is."""
    w, x = torch.randn(16, 16), torch.randn(16, 16)

    def scaled(w: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            factor = 1 - w
            w.mul_(3)
            return (x @ w) * factor

    _, program, _ = record(scaled, (w, x), {})
    compare(program, [w, x])


def test_long_sums_of_few_results_are_shared_out_by_their_terms():
    """The gradient of a narrow layer over many samples; a number of samples that has no such divisor stays as it is."""
    for samples, parts in ((4000, 8), (3500, 7), (3998, None)):
        x, g = torch.randn(samples, 30), torch.randn(samples, 40)
        program = record(lambda g, x: g.T @ x + 1, (g, x), {})[1]
        machine = compare(program, [g, x])
        (head,) = [unit.head for unit in machine.units if isinstance(unit, Nest) and unit.head is not None]
        assert head.target.shape == ((40, 30) if parts is None else (parts, 40, 30))
