"""What cannot be recorded runs in eager with one warning that names the line, or raises with `fullgraph`; exceptions, recursion, threads."""

from __future__ import annotations

import gc
import inspect
import random
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import retrograd as torch
from retrograd.compile.backend import make_executor
from retrograd.compile.compiled import Compiled
from retrograd.compile.replay import Replay
from retrograd.errors import Uncompilable
from retrograd.pytree import tree_leaves
from tests.compile.side_by_side import batches, perceptron

nn = torch.nn
kept: list[Any] = []
numbers = np.random.default_rng(0)


def branches(x: Any) -> Any:
    """Decides by a number."""
    y = x * 2
    if y.sum() > 0:  # here
        return y
    return -y


def takes_item(x: Any) -> Any:
    """Uses a number in Python."""
    return x * x.max().item()  # here


def prints(x: Any) -> Any:
    """Prints."""
    print("a line")  # here
    return x * 2


def reads_clock(x: Any) -> Any:
    """Looks at the clock."""
    return x * (time.time() > 0)  # here


def draws_outside(x: Any) -> Any:
    """Draws with Python's generator."""
    return x * (random.random() >= 0)  # here


def draws_with_numpy(x: Any) -> Any:
    """Draws with NumPy's generator."""
    return x * float(np.random.rand() >= 0)


def draws_with_a_generator(x: Any) -> Any:
    """Draws with one of NumPy's newer generators."""
    return x * float(numbers.random() >= 0)


def keeps(x: Any) -> Any:
    """Keeps a tensor where no later call would renew it."""
    kept.append(x * 2)
    return x * 3


def exchanges(x: Any) -> Any:
    """Gives a tensor other memory."""
    x.data = x * 1  # here
    return x * 2


def goes_through_numpy(x: Any) -> Any:
    """Computes with NumPy."""
    return x + torch.from_numpy(np.exp(x.numpy()))  # here


def sized_by_numbers(x: Any) -> Any:
    """As many elements as numbers decide."""
    return x[x > 0] * 2  # here


FALLING_BACK = [
    sized_by_numbers,
    branches,
    takes_item,
    prints,
    reads_clock,
    draws_outside,
    draws_with_numpy,
    draws_with_a_generator,
    keeps,
    exchanges,
    goes_through_numpy,
]


def marked_line(function: Callable[..., Any]) -> int | None:
    """The number of the line that says "here"."""
    lines, first = inspect.getsourcelines(function)
    return next((first + i for i, line in enumerate(lines) if "# here" in line), None)


@pytest.mark.parametrize("function", FALLING_BACK, ids=lambda f: f.__name__)
def test_one_warning_with_the_line(function: Callable[..., Any]):
    """Every call gives what the function gives; the first warns, once, with its line, and points to the caller's."""
    compiled = Compiled(function, backend=Replay)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for i in range(4):
            x = torch.arange(3.0) - i
            assert torch.equal(compiled(x), function(torch.arange(3.0) - i))
    (warning,) = caught
    assert warning.category is UserWarning
    line = marked_line(function)
    if line is not None:
        assert f"{__file__}:{line}" in str(warning.message)
    assert function.__name__ in str(warning.message)
    assert warning.filename == __file__
    (variant,) = compiled.programs()
    assert variant.state.startswith("eager: ")


@pytest.mark.parametrize("function", FALLING_BACK, ids=lambda f: f.__name__)
def test_fullgraph(function: Callable[..., Any]):
    """The same raises, with the line."""
    compiled = Compiled(function, fullgraph=True, backend=Replay)
    with pytest.raises(Uncompilable) as caught:
        compiled(torch.arange(3.0))
    line = marked_line(function)
    if line is not None:
        assert f"{__file__}:{line}" in str(caught.value)
    assert isinstance(caught.value, RuntimeError)


def test_fullgraph_is_content_with_a_first_step():
    """An optimizer's state that does not exist yet is no reason to raise."""
    net = perceptron()
    optimizer = torch.optim.Adam(net.parameters())

    @torch.compile(fullgraph=True)
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        return loss

    for x, y in batches(4):
        step(x, y)
    assert [v.state for v in step.programs()] == ["compiled"]


def test_changed_python():
    """A counter in an object, a list that grows, a global: things that no tensor holds."""
    count = 0
    log: list[float] = []

    class Meter:
        total = 0

        def __init__(self) -> None:
            self.seen = 0

    meter = Meter()

    def counts(x: Any) -> Any:
        nonlocal count
        count += 1
        return x * 2

    def logs(x: Any) -> Any:
        log.append(1.0)
        return x * 2

    def meters(x: Any) -> Any:
        meter.seen += len(x)
        return x * 2

    for function, what in ((counts, "'count'"), (logs, "the length of log"), (meters, "meter.seen")):
        compiled = Compiled(function, backend=Replay)
        with pytest.warns(UserWarning, match=f"changes .*{what}"):
            compiled(torch.ones(3))
        for _ in range(2):
            compiled(torch.ones(3))
        assert len(compiled.programs()) == 1
    assert (count, len(log), meter.seen) == (3, 3, 9)


def test_iterators():
    """What an iterator gives next is not seen coming."""
    rows = iter(torch.arange(6.0).reshape(3, 2))

    def f() -> Any:
        for row in rows:
            return row * 2

    compiled = Compiled(f, backend=Replay)
    with pytest.warns(UserWarning, match="rows, an iterator"):
        first = compiled()
    assert torch.equal(torch.stack([first, compiled(), compiled()]), torch.arange(6.0).reshape(3, 2) * 2)


def test_part_of_the_calls():
    """One kind of call runs in eager; the others run as programs."""

    def f(x: Any, show: bool) -> Any:
        return x * x.max().item() if show else x * 2

    compiled = Compiled(f, backend=Replay)
    x = torch.arange(3.0)
    with pytest.warns(UserWarning, match="looked at"):
        compiled(x, True)
    for show in (False, True, False, False):
        assert torch.equal(compiled(x, show), f(x, show))
    assert [v.state.split(":")[0] for v in compiled.programs()] == ["eager", "compiled"]


# ---------------------------------------------------------------- exceptions


def test_exceptions_of_the_first_call():
    """What the function raises goes through; nothing is left behind."""

    def f(x: Any) -> Any:
        return x @ torch.ones(3)

    compiled = Compiled(f, backend=Replay)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="size"):
            compiled(torch.ones(4))
    for _ in range(3):
        assert compiled(torch.ones(3)).item() == 3
    assert [v.state for v in compiled.programs()] == ["compiled"]


def test_exceptions_of_a_program():
    """An index out of range raises from the program too; neither the optimizer's count nor the weights have moved."""
    table = torch.randn(4, 2, requires_grad=True)
    optimizer = torch.optim.Adam([table], lr=0.1)

    @torch.compile
    def step(index: Any) -> Any:
        optimizer.zero_grad()
        loss = table[index].pow(2).sum()
        loss.backward()
        optimizer.step()
        return loss.detach()

    for _ in range(4):
        step(torch.tensor([1, 2]))
    before = table.detach().clone()
    for _ in range(2):
        with pytest.raises(IndexError):
            step(torch.tensor([1, 9]))
    assert torch.equal(before, table)
    assert optimizer.state[table]["step"] == 4
    step(torch.tensor([0, 3]))
    assert optimizer.state[table]["step"] == 5
    assert not torch.equal(before, table)
    assert len(step.programs()) == 1


@pytest.mark.parametrize("backend", [make_executor, Replay])
def test_numbers_that_are_refused(backend: Callable[..., Any]):
    """What a function checks of its numbers, its program does: probabilities beyond 1, negative variances."""
    weight = torch.ones(3, requires_grad=True)

    def entropy(x: Any, y: Any) -> Any:
        weight.grad = None
        loss = nn.functional.binary_cross_entropy(x * weight, y)
        loss.backward()
        return loss.detach()

    def likelihood(x: Any, y: Any) -> Any:
        return nn.functional.gaussian_nll_loss(x, x, y)

    x, y = torch.rand(5, 3), torch.rand(5, 3)
    for function, wrong, error in (
        (entropy, (x * 9, y), (RuntimeError, "all elements of input should be between 0 and 1")),
        (entropy, (x, -y), (RuntimeError, "all elements of target should be between 0 and 1")),
        (entropy, (x * float("nan"), y), (RuntimeError, "all elements of input should be between 0 and 1")),
        (likelihood, (x, -y), (ValueError, "negative")),
    ):
        compiled = Compiled(function, backend=backend, fullgraph=True)
        for _ in range(3):
            assert torch.allclose(compiled(x, y), function(x, y))
        for f in (function, compiled):
            with pytest.raises(error[0], match=error[1]):
                f(*wrong)
        assert torch.allclose(compiled(x, y), function(x, y))
        assert [v.state for v in compiled.programs()] == ["compiled"]


def test_interrupted_by_a_hook():
    """An optimizer's hook that raises after a step leaves the lock free."""
    w = torch.ones(2, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.1)

    @torch.compile
    def step() -> None:
        optimizer.zero_grad()
        w.sum().backward()
        optimizer.step()

    for _ in range(3):
        step()

    def hook(*_: Any) -> None:
        raise KeyError("stop")

    handle = optimizer.register_step_post_hook(hook)
    with pytest.raises(KeyError):
        step()
    handle.remove()
    step()
    assert torch.allclose(w, torch.full((2,), 0.5))


# ---------------------------------------------------------------- within each other


def test_nested():
    """A compiled function inside another is a part of it; called alone, it has programs of its own."""

    @torch.compile
    def inner(x: Any) -> Any:
        return x.sin() * 2

    @torch.compile
    def outer(x: Any) -> Any:
        return inner(x) + inner(x + 1)

    x = torch.randn(5)
    for _ in range(3):
        assert torch.allclose(outer(x), x.sin() * 2 + (x + 1).sin() * 2)
    assert len(inner.programs()) == 0
    for _ in range(3):
        assert torch.allclose(inner(x), x.sin() * 2)
    assert [v.state for v in (*inner.programs(), *outer.programs())] == ["compiled"] * 2


def test_recursion():
    """A compiled function that calls itself."""

    @torch.compile
    def power(x: Any, n: int) -> Any:
        return x if n == 0 else power(x * x, n - 1)

    x = torch.full((3,), 1.1)
    for _ in range(3):
        assert torch.allclose(power(x, 3), x**8)
    assert [v.state for v in power.programs()] == ["compiled"]


def test_called_by_a_callback():
    """A program that runs while another of the same function does: the inner call runs in eager."""
    w = torch.ones(2, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.1)
    depth = 0

    @torch.compile
    def step() -> None:
        optimizer.zero_grad()
        w.sum().backward()
        optimizer.step()

    def hook(*_: Any) -> None:
        nonlocal depth
        if depth == 0:
            depth = 1
            step()
            depth = 0

    for _ in range(3):
        step()
    optimizer.register_step_post_hook(hook)
    step()
    assert torch.allclose(w, torch.full((2,), 1 - 5 * 0.1))


def test_threads():
    """Calls from several threads give what the function gives, whether they meet or not."""
    f = torch.compile(lambda x, y: (x @ y).tanh().sum(0))
    numbers = [(torch.randn(20, 30), torch.randn(30, 10)) for _ in range(8)]
    wanted = [(x @ y).tanh().sum(0) for x, y in numbers]
    wrong = []

    def work(i: int) -> None:
        for _ in range(30):
            if not torch.allclose(f(*numbers[i]), wanted[i], atol=1e-5):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
    assert len(f.programs()) == 1


# ---------------------------------------------------------------- transforms


def test_transforms_inside():
    """grad, vmap, jacrev, jvp and hessian inside a compiled function."""
    func = torch.func
    w = torch.randn(4, 4)

    def f(x: Any) -> Any:
        value = lambda v: (w @ v).tanh().pow(2).sum()  # noqa: E731
        field = lambda v: (w @ v).tanh()  # noqa: E731
        return (
            func.grad(value)(x),
            func.vmap(func.grad(value))(x.expand(3, 4)),
            func.jacrev(field)(x),
            func.jvp(field, (x,), (torch.ones(4),)),
            func.hessian(value)(x),
        )

    compiled = torch.compile(f)
    for _ in range(3):
        x = torch.randn(4)
        for a, b in zip(tree_leaves(compiled(x)), tree_leaves(f(x)), strict=True):
            assert torch.allclose(a, b, rtol=1e-4, atol=1e-5)
    assert [v.state for v in compiled.programs()] == ["compiled"]


def test_transforms_outside():
    """A compiled function under a transform runs as the function itself."""
    f = torch.compile(lambda x: x.sin().sum())
    x = torch.randn(4)
    for _ in range(3):
        assert torch.allclose(f(x), x.sin().sum())
    assert torch.allclose(torch.func.grad(f)(x), x.cos())
    assert torch.allclose(torch.func.vmap(f)(x.expand(3, 4)), x.sin().sum().expand(3))
    assert torch.allclose(torch.func.jvp(f, (x,), (torch.ones(4),))[1], x.cos().sum())
    assert len(f.programs()) == 1


def test_collections_of_garbage_are_no_part_of_a_call():
    """Others may be told of them, and read the clock."""

    def told(phase: str, info: dict[str, int]) -> None:
        time.time()

    def makes_cycles(x: Any) -> Any:
        for _ in range(2000):
            cycle: list[Any] = []
            cycle.append(cycle)
        return x * 2

    gc.callbacks.append(told)
    try:
        f = torch.compile(makes_cycles, fullgraph=True)
        np.testing.assert_array_equal(f(torch.ones(3)).numpy(), [2, 2, 2])
    finally:
        gc.callbacks.remove(told)
