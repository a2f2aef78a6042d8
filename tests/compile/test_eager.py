"""Kernels for eager: what is quickened gives what it gave, is quickened late, and can be left out."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import retrograd as torch
from retrograd.compile import eager
from tests.sampling import Sample
from tests.test_every_op import SAMPLES, look_up, ours, tensors_in

QUICKENED = [(name, sample) for name, sample in SAMPLES if not name.endswith("_")]


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Kernels are made at the second call of a kind, whatever its size, and are used."""
    monkeypatch.setattr(eager, "policy", eager.Policy(calls=2, least=0, background=False, always=True))
    operations = [eager.OPS[name] for name in eager.FORWARDS]
    before = [op.accelerated_from for op in operations]
    for op in operations:
        op.accelerated_from = 0
    yield
    for op, elements in zip(operations, before, strict=True):
        op.accelerated_from = elements


def outcome(name: str, sample: Sample, kind: Any) -> list[np.ndarray]:
    """The results of a sample's call, and the gradients of a weighed sum."""
    args, kwargs = sample.build(ours, kind)
    given = [x for x in tensors_in((args, kwargs), torch.Tensor) if x.dtype.is_floating_point and x.is_leaf]
    for x in given:
        x.requires_grad_()
    torch.manual_seed(0)
    results = list(tensors_in(look_up(torch, name)(*args, **kwargs), torch.Tensor))
    found = [y.detach().numpy() for y in results]
    torch.manual_seed(1)
    weighed = [(y * torch.randn(y.shape, dtype=y.dtype)).sum() for y in results if y.requires_grad and y.dtype.is_floating_point]
    loss = sum(weighed, start=torch.zeros(()))
    if loss.requires_grad:
        with suppress(NotImplementedError):  # recorded, without a derivative
            loss.backward()
        found += [x.grad.numpy() for x in given if isinstance(x.grad, torch.Tensor)]
    return found


@pytest.mark.parametrize("kind", [np.float32, np.float64], ids=["f32", "f64"])
@pytest.mark.parametrize(("name", "sample"), QUICKENED, ids=[f"{n}({s!r})" for n, s in QUICKENED])
def test_samples(at_once: None, name: str, sample: Sample, kind: Any):
    """Results and gradients are the same at the first call, when kernels are made, and by kernels."""
    first, *others = (outcome(name, sample, kind) for _ in range(3))
    for other in others:
        for a, b in zip(first, other, strict=True):
            scale = np.abs(a[np.isfinite(a)]).max(initial=0) if a.dtype.kind == "f" else 0
            tolerance = 0 if a.dtype.kind != "f" else 4e-5 if a.dtype == np.float32 else 1e-10
            np.testing.assert_allclose(b, a, rtol=tolerance, atol=tolerance * scale)
            assert a.dtype == b.dtype


def kernels_of(name: str) -> dict[Any, Any]:
    """The kernels of an operation's forward function."""
    return torch.__dict__[name].op.accelerated.kernels


def test_kernels_are_made_and_used(at_once: None):
    """The second call of a kind makes one; another shape has another."""
    before = set(kernels_of("sigmoid"))
    x = torch.randn(7, 11)
    y = [torch.sigmoid(x).numpy() for _ in range(3)]
    torch.sigmoid(torch.randn(7, 12))
    (kind,) = set(kernels_of("sigmoid")) - before
    assert kind == ((x.numpy().shape, x.numpy().strides, x.numpy().dtype),)
    assert kernels_of("sigmoid")[kind] is not eager.OPS["sigmoid"].forward
    np.testing.assert_allclose(y[2], y[0], rtol=1e-6)


@pytest.mark.parametrize(
    "make",
    [
        lambda p: torch.optim.SGD(p, lr=0.1),
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
        lambda p: torch.optim.Adam(p, lr=0.01, amsgrad=True),
        lambda p: torch.optim.AdamW(p, lr=0.01, maximize=True),
        lambda p: torch.optim.RMSprop(p, lr=0.01, momentum=0.9, centered=True),
        lambda p: torch.optim.Adagrad(p, lr=0.1),
        lambda p: torch.optim.Adadelta(p, lr=0.1),
    ],
)
def test_updates(at_once: None, make: Any):
    """Optimizers take the same steps with kernels, also as the learning rate changes."""

    def steps(quicken: Any) -> list[np.ndarray]:
        torch.optim.Optimizer.quicken, before = quicken, torch.optim.Optimizer.quicken
        try:
            torch.manual_seed(0)
            parameters = [torch.randn(17, 5, requires_grad=True), torch.randn(9, requires_grad=True)]
            optimizer = make(parameters)
            for i in range(6):
                for p in parameters:
                    p.grad = torch.randn(p.shape)
                optimizer.param_groups[0]["lr"] *= 0.9
                optimizer.step()
                assert all(p._version[0] == i + 1 for p in parameters)
            return [p.detach().numpy() for p in parameters] + [s.numpy() for p in parameters for s in optimizer.state[p].values()]
        finally:
            torch.optim.Optimizer.quicken = before

    plain = steps(None)
    made = len(eager.updates.kernels)
    for a, b in zip(plain, steps(eager.updates), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-6)
    assert len(eager.updates.kernels) > made
    assert any(kernel is not torch.optim.Optimizer.update for kernel in eager.updates.kernels.values())


def test_a_gradient_in_the_parameters_memory(at_once: None):
    """Where a gradient shares memory with its parameter, NumPy's care for overlaps is kept."""
    memory = torch.arange(12.0)
    p = memory[2:].requires_grad_() if not memory.requires_grad else memory
    optimizer = torch.optim.SGD([p], lr=0.5)
    wanted = p.detach().numpy().copy()
    for _ in range(4):
        p.grad = memory[:10]
        wanted = wanted - 0.5 * memory.numpy()[:10].copy()
        optimizer.step()
        np.testing.assert_allclose(p.detach().numpy(), wanted)


def test_kinds_that_are_not_told_apart_have_no_kernel(at_once: None):
    """0.0 and -0.0 are equal as keys."""
    assert eager.unfit(0.0)
    assert eager.unfit(float("nan"))
    assert not eager.unfit(1.5)
    assert not eager.unfit(0)
    assert not eager.unfit(None)


def in_a_process(code: str, **environment: str) -> str:
    """What a program prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


LOOP = "import sys, retrograd as torch\nx = torch.randn(64, 64)\nfor _ in range({n}): y = torch.sigmoid(x)\n"


def test_a_short_program_does_not_load_llvmlite():
    """Kernels are made only after many calls."""
    assert in_a_process(LOOP.format(n=90) + "print('llvmlite' in sys.modules)") == "False"


def test_a_long_program_gets_kernels_in_the_background():
    """The thread that makes them ends; the quicker of both is used."""
    code = LOOP.format(n=110) + (
        "from retrograd.compile import eager; eager.background.finish()\n"
        "for _ in range(40): y = torch.sigmoid(x)\n"
        "print('llvmlite' in sys.modules, eager.background.thread, len(torch.sigmoid.op.accelerated.kernels))"
    )
    assert in_a_process(code) == "True None 1"


def test_backwards_through_memory(at_once: None):
    """There is no kernel for arrays with negative strides, such as rules may hand to each other."""
    backwards = np.random.default_rng(0).normal(size=(40, 30)).astype(np.float32)[::-1]
    assert min(backwards.strides) < 0
    for name in ("exp", "silu"):
        for _ in range(4):
            found = eager.OPS[name].accelerated(backwards)
            np.testing.assert_allclose(found, eager.OPS[name].forward(backwards), rtol=1e-5)
    quickened = eager.Quickened(np.exp, lambda values: [np.exp])
    for _ in range(4):
        quickened(backwards)
    assert not quickened.kernels


def test_kernels_can_be_left_out():
    """By the environment."""
    code = LOOP.format(n=200) + "import threading; print('llvmlite' in sys.modules, threading.active_count())"
    assert in_a_process(code, RETROGRAD_EAGER_KERNELS="0") == "False 1"


def test_without_llvmlite():
    """Everything runs as before."""
    code = "import sys; sys.modules['llvmlite'] = None\n" + LOOP.format(n=200)
    code += "from retrograd.compile import eager; eager.background.finish(); print(float((y - torch.sigmoid(x)).abs().max()))"
    assert in_a_process(code) == "0.0"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_fork_while_kernels_are_made():
    """Waits for the one at hand; parent and child go on."""
    code = LOOP.format(n=100) + (
        "import os\n"
        "child = os.fork()\n"
        "for _ in range(150): y = torch.sigmoid(x)\n"
        "if child: print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
        "else: os._exit(0)"
    )
    assert in_a_process(code) == "0"


@pytest.mark.parametrize(("costs", "chosen"), [((3, 2), 1), ((2, 3), 0), ((3, 2, 1), 2), ((1, 3, 2), 0), ((2, 3, 1), 2), ((3, 2, 4), 1)])
@pytest.mark.parametrize("change", [None, "slower", "quicker"])
def test_trials(monkeypatch: pytest.MonkeyPatch, costs: tuple[int, ...], chosen: int, change: str | None):
    """The quickest is called: on several threads if it is so from the end of the pause on, and as long as it is. All give results."""
    now = 0.0
    changed = False
    monkeypatch.setattr(eager, "time", SimpleNamespace(perf_counter=lambda: now))
    monkeypatch.setattr(eager.Trial, "comparing_until", 0.0)

    def rival(i: int) -> Any:
        def function(x: int) -> tuple[int, int]:
            nonlocal now
            cost = float(costs[i])
            if i == 2 and now < eager.ASLEEP:
                cost = 100
            elif i == 2 and changed:
                cost = 9 if change == "slower" else 0.5
            now += 1e-4 * cost
            return i, x

        return function

    def call(x: int) -> int:
        which, same = table["key"](x)
        assert same == x
        return which

    rivals = [rival(i) for i in range(len(costs))]
    table: dict[str, Any] = {}
    table["key"] = trial = eager.Trial(table, "key", rivals)
    called = [call(x) for x in range(10_000)]
    assert {*called} == {*range(len(costs))}
    assert called[-1] == chosen
    assert (table["key"] is trial) == (len(costs) == 3 and chosen > 0)  # where a kernel was chosen, they are compared again
    assert called.count(chosen) > 0.5 * len(called)
    if change is not None:
        changed = True
        called = [call(x) for x in range(100_000)]
        assert called[-1] == (chosen if table["key"] is not trial else 1 if change == "slower" else 2)
        assert called.count(called[-1]) > 0.5 * len(called)


def test_one_trial_at_a_time_compares_again(monkeypatch: pytest.MonkeyPatch):
    """While one kernel is compared on one thread and on several, the others run as they were chosen."""
    now = 0.0
    monkeypatch.setattr(eager, "time", SimpleNamespace(perf_counter=lambda: now))
    monkeypatch.setattr(eager.Trial, "comparing_until", 0.0)

    def rival(i: int) -> Any:
        def function() -> int:
            nonlocal now
            now += 1e-4 * (3, 2, 1)[i]
            return i

        return function

    table: dict[str, Any] = {}
    for key in ("a", "b"):
        table[key] = eager.Trial(table, key, [rival(i) for i in range(3)])
    called = [(table["a"](), table["b"]()) for _ in range(60_000)]
    first = max(i for i, pair in enumerate(called) if 0 in pair)  # the last call of the functions themselves
    settled = next(i for i in range(first + 1, len(called)) if called[i : i + 5] == [(2, 2)] * 5)
    assert (1, 2) in called[settled:]
    assert (2, 1) in called[settled:]
    assert (1, 1) not in called[settled:]
