"""Tensors that are written to while they are differentiated, and tensors that come into being without an operation."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

import retrograd as torch
from retrograd.compile.compiled import Compiled
from retrograd.compile.replay import Replay
from tests.compile.programs import numbers

F = torch.nn.functional


def same_calls(function: Callable[..., Any], calls: list[tuple[Any, ...]]) -> Compiled:
    """Asserts that a function gives the same compiled, at every call; returns the compiled one."""
    compiled = Compiled(function, backend=Replay)
    for args in calls:
        wanted, got = function(*copy.deepcopy(args)), compiled(*copy.deepcopy(args))
        for a, b in zip(got, wanted, strict=True):
            assert torch.allclose(a, b, rtol=1e-5, atol=1e-6)
    return compiled


WRITES: dict[str, Callable[[Any, Any], Any]] = {
    "mul_": lambda y, w: y.mul_(w),
    "exp_": lambda y, w: y.exp_(),
    "pow_": lambda y, w: y.pow_(2),
    "div_": lambda y, w: y.div_(w),
    "relu": lambda y, w: F.relu(y, inplace=True),
    "masked_fill_": lambda y, w: y.masked_fill_(w > 0, 3.0),
    "a piece": lambda y, w: y[1:].mul_(w[1:]),
    "every other": lambda y, w: y[::2].exp_(),
    "an element": lambda y, w: y.__setitem__(0, w[1]),
    "copy_": lambda y, w: y[1:3].copy_(w[:2]),
    "a view of a view": lambda y, w: y.view(5, 1)[2:].t().mul_(3),
    "zero_": lambda y, w: y[2:].zero_(),
}


@pytest.mark.parametrize("write", WRITES)
def test_writes_on_the_way_back(write: str):
    """What is written in place has a gradient, and a gradient of that."""

    def step(x: Any, w: Any) -> Any:
        w = w.detach().requires_grad_()
        y = (w * x).abs() + 0.1
        WRITES[write](y, w)
        (g,) = torch.autograd.grad((y**3).sum() + (w**2).sum(), w, create_graph=True)
        (h,) = torch.autograd.grad((g**2).sum(), w)
        return y.detach(), g.detach(), h

    compiled = same_calls(step, [(numbers(i, (5,)), numbers(i + 9, (5,))) for i in range(4)])
    assert [v.state for v in compiled.programs()] == ["compiled"]


def test_gradients_of_what_is_no_leaf():
    """`retain_grad()` keeps this call's gradient, not the recorded one's; a hook on the way has its say."""
    w = torch.ones(3, requires_grad=True)

    def step(x: Any) -> Any:
        w.grad = None
        h = w * x
        h.retain_grad()
        h.register_hook(lambda g: g * 3)
        (h * h).sum().backward()
        return h.grad, w.grad.clone()

    compiled = same_calls(step, [(torch.full((3,), i + 1.0),) for i in range(4)])
    assert [v.state for v in compiled.programs()] == ["compiled"]


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: torch.from_numpy(x._data * 1)], ids=["deepcopy", "of an array"])
def test_tensors_that_no_operation_made(copied: Callable[[Any], Any]):
    """A copy that the record cannot show is not taken for a tensor from outside, whether it is returned, kept or used up."""
    kept = []

    def returns(x: Any) -> Any:
        return (copied(x),)

    def keeps(x: Any) -> Any:
        kept[:] = [copied(x)]
        return (kept[0] * 2,)

    def uses(x: Any) -> Any:
        return (copied(x) + 1,)

    for function in (returns, keeps, uses):
        with pytest.warns(UserWarning, match="by means that the record does not show|changes|looked at"):
            compiled = same_calls(function, [(torch.full((3,), float(i)),) for i in range(4)])
        assert [v.state.split(":")[0] for v in compiled.programs()] == ["eager"]
