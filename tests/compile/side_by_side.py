"""The same program in eager and compiled, and everything that can be seen of both compared after every call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

import retrograd as torch
from retrograd.compile.backend import make_executor
from retrograd.compile.compiled import Compiled
from retrograd.compile.replay import Replay
from retrograd.pytree import tree_flatten, tree_map

nn = torch.nn


class Job:
    """A function to compile, and what it acts upon.

    step: the function.
    model, optimizer: whose parameters, gradients, buffers and state are compared.
    after: called with the job and the number of the call after each call.
    """

    def __init__(
        self, step: Callable[..., Any], model: Any = None, optimizer: Any = None, after: Callable[[Job, int], None] | None = None
    ) -> None:
        self.step, self.model, self.optimizer, self.after = step, model, optimizer, after

    def seen(self) -> dict[str, Any]:
        """Parameters, gradients, buffers, and the optimizer's state, by name; a missing gradient is None."""
        found: dict[str, Any] = {}
        if self.model is not None:
            found.update(self.model.state_dict())
            for name, p in self.model.named_parameters():
                found[f"{name}.grad"] = p.grad
        if self.optimizer is not None:
            for i, state in self.optimizer.state_dict()["state"].items():
                found.update({f"{i}.{k}": v for k, v in state.items()})
        return {k: v.detach().numpy().copy() if isinstance(v, torch.Tensor) else v for k, v in found.items()}


def run(build: Callable[[], Job], calls: Iterable[tuple[Any, ...]], compiled: bool, backend: Any) -> tuple[list[Any], Compiled | None]:
    """What is seen after each call, and the compiled function."""
    torch.manual_seed(0)
    job = build()
    function: Any = Compiled(job.step, backend=backend) if compiled else job.step
    found = []
    for i, given in enumerate(calls):
        args = tree_map(lambda x: x.clone() if isinstance(x, torch.Tensor) else x, given)
        result = function(*args)
        leaves = [x.detach().numpy().copy() if isinstance(x, torch.Tensor) else x for x in tree_flatten(result)[0]]
        found.append({**{f"result {j}": x for j, x in enumerate(leaves)}, **job.seen()})
        if job.after is not None:
            job.after(job, i)
    found.append({"the next draw": torch.rand(3).numpy()})
    return found, function if compiled else None


def compared(
    build: Callable[[], Job],
    calls: Sequence[tuple[Any, ...]],
    programs: int = 1,
    rtol: float = 2e-5,
    atol: float = 2e-6,
    native: bool = False,
) -> Compiled:
    """Asserts that a job does the same compiled, as `programs` programs; returns the compiled function.

    Args:
        build: makes the job: called twice, with the same seed.
        calls: the arguments of each call.
        native: machine code; otherwise NumPy runs the programs, which compiles faster.
    """
    wanted, _ = run(build, calls, False, None)
    mine, function = run(build, calls, True, make_executor if native else Replay)
    assert function is not None
    for i, (a, b) in enumerate(zip(mine, wanted, strict=True)):
        assert list(a) == list(b)
        for name, value in b.items():
            if isinstance(value, np.ndarray):
                assert a[name] is not None, f"{name} after call {i}"
                assert a[name].dtype == value.dtype
                np.testing.assert_allclose(a[name], value, rtol, atol, err_msg=f"{name} after call {i}")
            else:
                assert a[name] == value, f"{name} after call {i}"
    states = [v.state for v in function.programs()]
    assert len(states) == programs, function.programs()
    assert "compiled" in states, function.programs()
    assert set(states) <= {"compiled", "recorded"}, function.programs()  # what came once is not certified
    return function


def batches(n: int, size: int = 5, features: int = 8, classes: int = 3) -> list[tuple[Any, Any]]:
    """Inputs and labels."""
    rng = np.random.default_rng(0)
    return [
        (torch.from_numpy(rng.standard_normal((size, features)).astype(np.float32)), torch.from_numpy(rng.integers(0, classes, size)))
        for _ in range(n)
    ]


def perceptron() -> Any:
    """8 -> 6 -> 3."""
    return nn.Sequential(nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 3))


def training(
    model: Callable[[], Any] = perceptron,
    optimizer: Callable[[Any], Any] = lambda params: torch.optim.SGD(params, lr=0.1),
    after: Callable[[Job, int], None] | None = None,
    loss_of: Callable[[Any, Any], Any] = nn.functional.cross_entropy,
    before_step: Callable[[Any], Any] = lambda model: None,
    clear: Callable[[Any, Any], Any] = lambda model, optimizer: optimizer.zero_grad(),
) -> Callable[[], Job]:
    """What builds the usual training step, with parts of it exchanged."""

    def build() -> Job:
        net = model()
        opt = optimizer(net.parameters())

        def step(x: Any, y: Any) -> Any:
            clear(net, opt)
            loss = loss_of(net(x), y)
            loss.backward()
            more = before_step(net)
            opt.step()
            return loss if more is None else (loss, more)

        return Job(step, net, opt, after)

    return build
