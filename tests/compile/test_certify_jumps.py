"""Certification: differences that rounding explains are told from mistakes, and a mistake is reported with its operation."""

from __future__ import annotations

import numpy as np
import pytest

import retrograd as torch
from retrograd.compile.binding import Binding
from retrograd.compile.capture import record
from retrograd.compile.certify import certify
from retrograd.compile.compiled import Compiled
from retrograd.compile.graph import Call
from retrograd.compile.replay import Replay


def tampered(operation, change):
    """Makes executors that change an operation's result."""

    def watch(step, array):
        if isinstance(step, Call) and step.op.name == operation:
            result = array(step.results[0])
            result[...] = change(result)

    return lambda program: Replay(program, watch)


def report(make_executor):
    """What certification says of a gradient through a relu, of which some operands are 0."""
    x = torch.linspace(-1, 1, 2001).round(decimals=2)
    w = torch.tensor(1.5, requires_grad=True)

    def step(x):
        w.grad = None
        loss = (w * x - 0.75).relu().sum()
        loss.backward()
        return loss

    for _ in range(2):
        _, program, why = record(step, [x], {})
    assert program is not None, why
    result, text = certify(program, make_executor(program), make_executor, Binding(program, [x], {}), [x], lambda: step(x))
    assert result.item() == step(x).item()
    return text


def test_equal_programs_agree():
    assert report(Replay) is None


def test_a_relu_may_jump_where_rounding_turns_a_sign():
    assert report(tampered("sub", lambda y: y + np.float32(1e-8))) is None


@pytest.mark.parametrize("operation", ["sub", "mul", "relu"])
def test_a_mistake_is_reported_with_its_operation(operation):
    text = report(tampered(operation, lambda y: y * np.float32(1.001)))
    assert "the first operation that differs is number" in text
    assert f"{operation}(" in text


def test_a_mistake_that_only_jumps_a_little_is_one_still():
    text = report(tampered("where", lambda g: g * (np.arange(g.size) != 1999)))
    assert "the first operation that differs is number 6 of 9" in text


def test_numbers_that_are_rounding_errors():
    """What cancels to nothing but rounding errors may be other ones; a number that is more than that may not."""
    f = torch.compile(lambda x: ((x - x.mean()).sum(), x.std()))
    for i in range(3):
        f(torch.from_numpy(np.random.default_rng(i).standard_normal(5000).astype(np.float32)))
    assert [v.state for v in f.programs()] == ["compiled"]

    def wrong(program):
        """Off in the last, fused sum alone, so that every operation on its own agrees."""
        fused = len(program.results) == 2
        return tampered("sum", lambda y: y + np.float32(0.01) * fused)(program)

    g = Compiled(lambda x: ((x - x.mean()).sum(), x.std()), backend=wrong)
    g(torch.linspace(-1, 1, 5000) ** 3)
    with pytest.warns(UserWarning, match="does not compute what the function does"):
        g(torch.linspace(-1, 1, 5000) ** 3)
