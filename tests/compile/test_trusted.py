"""A program is held against the function before it is trusted: what a compiled function does with a program that is wrong."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import retrograd as torch
from retrograd.compile.compiled import Compiled
from retrograd.compile.graph import Call, Program, Update
from retrograd.compile.replay import Replay
from tests.compile.side_by_side import batches, perceptron

nn = torch.nn


class Mistaken(Replay):
    """Runs a program, and makes a mistake after each step of some kind."""

    def __init__(self, program: Program, at: Callable[[Any], bool], mistake: Callable[[Any], None]) -> None:
        def watch(step: Any, array: Callable[[Any], Any]) -> None:
            if at(step):
                mistake(array(step.writes()[0]))

        super().__init__(program, watch)


def adds(amount: float) -> Callable[[Any], None]:
    """A mistake: the last number is off."""

    def mistake(array: Any) -> None:
        array.reshape(-1)[-1:] += np.asarray(amount, array.dtype)

    return mistake


def spoils(array: Any) -> None:
    """A mistake: nan."""
    array[...] = np.nan


def is_tanh(step: Any) -> bool:
    """In the forward pass."""
    return isinstance(step, Call) and step.op.name == "tanh"


def is_product(step: Any) -> bool:
    """In the backward pass."""
    return isinstance(step, Call) and step.op.name == "mm"


def is_update(step: Any) -> bool:
    """The optimizer's."""
    return isinstance(step, Update)


@pytest.mark.parametrize("mistake", [adds(0.5), spoils], ids=["off", "nan"])
@pytest.mark.parametrize("at", [is_tanh, is_product, is_update], ids=lambda f: f.__name__)
def test_wrong_number(at: Callable[[Any], bool], mistake: Callable[[Any], None]):
    """A wrong number anywhere is found, the operation that made it named, and eager kept: with the effects of one step each."""

    def trained(compiled: bool) -> tuple[list[Any], list[str]]:
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(8, 6), nn.Dropout(0.3), nn.Tanh(), nn.Linear(6, 3))
        optimizer = torch.optim.Adam(net.parameters(), lr=0.1)

        def step(x: Any, y: Any) -> Any:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(x), y)
            loss.backward()
            optimizer.step()
            return loss.detach()

        function: Any = Compiled(step, backend=lambda program: Mistaken(program, at, mistake)) if compiled else step
        losses = [function(x, y) for x, y in batches(6)]
        assert optimizer.state[net[0].weight]["step"] == 6
        states = [v.state for v in function.programs()] if compiled else []
        return [*losses, *net.parameters(), *[p.grad for p in net.parameters()]], states

    wanted, _ = trained(compiled=False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        got, states = trained(compiled=True)
    for a, b in zip(got, wanted, strict=True):
        assert torch.allclose(a, b, rtol=1e-5, atol=1e-6)
    (warning,) = caught
    assert "does not compute what the function does" in str(warning.message)
    (state,) = states
    assert state.startswith("eager: ")
    names = {"is_tanh": "= tanh(", "is_product": "= mm(", "is_update": "Adam step"}
    assert "the first operation that differs is number" in state
    assert names[at.__name__] in state


def test_rounding_is_no_mistake():
    """Another rounding of the last digit passes."""
    f = Compiled(
        lambda x: x.sum() / 3, backend=lambda p: Mistaken(p, lambda s: isinstance(s, Call), lambda a: np.multiply(a, 1 + 2e-7, out=a))
    )
    for _ in range(3):
        f(torch.rand(10))
    assert [v.state for v in f.programs()] == ["compiled"]


def test_executor_raises():
    """A program that raises where the function does not is not used."""

    class Raising(Replay):
        def run(self, memory: list[Any], scalars: Any) -> None:
            raise ZeroDivisionError("no")

    f = Compiled(lambda x: x * 2, backend=Raising)
    assert torch.equal(f(torch.ones(2)), torch.full((2,), 2.0))
    with pytest.warns(UserWarning, match="raised ZeroDivisionError: no"):
        assert torch.equal(f(torch.ones(2)), torch.full((2,), 2.0))
    assert torch.equal(f(torch.ones(2)), torch.full((2,), 2.0))


def test_backend_raises():
    """What cannot be compiled runs in eager; with `fullgraph`, the error goes through."""

    def broken(program: Program) -> Any:
        raise NotImplementedError("not on this machine")

    f = Compiled(lambda x: x * 2, backend=broken)
    with pytest.warns(UserWarning, match="NotImplementedError: not on this machine"):
        assert torch.equal(f(torch.ones(2)), torch.full((2,), 2.0))
    assert torch.equal(f(torch.ones(2)), torch.full((2,), 2.0))
    g = Compiled(lambda x: x * 2, backend=broken, fullgraph=True)
    with pytest.raises(NotImplementedError):
        g(torch.ones(2))


def test_not_verified():
    """With `verify=False` the second call runs the program, right or wrong."""
    f = Compiled(lambda x: x.tanh(), verify=False, backend=lambda program: Mistaken(program, is_tanh, adds(1.0)))
    x = torch.zeros(3)
    assert torch.equal(f(x), torch.zeros(3))
    assert torch.equal(f(x), torch.tensor([0.0, 0.0, 1.0]))


def test_exactly_one_step():
    """The certified call makes one step: of the weights, running statistics, the optimizer's count."""
    net = nn.Sequential(nn.Linear(8, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 3))
    optimizer = torch.optim.Adam(net.parameters())

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    f = Compiled(step, backend=Replay)
    for i, (x, y) in enumerate(batches(5)):
        f(x, y)
        assert net[1].num_batches_tracked == i + 1
        assert optimizer.state[net[0].weight]["step"] == i + 1
    assert [v.state for v in f.programs()] == ["compiled"]


def test_each_kind_of_call_is_judged_alone():
    """One wrong program leaves the others."""
    f = Compiled(lambda x: x.tanh(), backend=lambda p: Mistaken(p, lambda s: is_tanh(s) and s.results[0].shape == (3,), adds(1.0)))
    f(torch.ones(3))
    with pytest.warns(UserWarning, match="does not compute"):
        f(torch.ones(3))
    for _ in range(3):
        assert torch.equal(f(torch.ones(4)), torch.ones(4).tanh())
    assert [v.state.split(":")[0] for v in f.programs()] == ["eager", "compiled"]


def test_whole_step_in_machine_code():
    """A training step on the machine's own back end is trusted."""
    net = perceptron()
    optimizer = torch.optim.AdamW(net.parameters())

    @torch.compile
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    for x, y in batches(4):
        step(x, y)
    assert [v.state for v in step.programs()] == ["compiled"]
