"""Elementwise work and its gradient: 20 operations on one number, and a row of transcendental functions on many."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.workloads.workload import Data, Functional, Goal, Pure, Workload
from retrograd.cli import workloads
from retrograd.cli.workloads import Numbers, Step, pointwise_numbers


def chained(x: Any, sin: Any) -> Any:
    """20 operations on a number."""
    y = x
    for _ in range(5):
        y = y * 1.01
        y = y + 0.1
        y = sin(y)
        y = y * x
    return y


def chain(lib: Any, parameters: Numbers) -> Step:
    """The chain, and its backward pass."""
    x = lib.tensor(float(parameters["x"]), requires_grad=True)

    def step() -> Any:
        x.grad = None
        chained(x, lib.sin).backward()
        return x.grad

    return step


def chain_numbers() -> tuple[Numbers, Data]:
    """One number."""
    return {"x": np.array(0.5, np.float32)}, ()


def chain_in_torch(torch: Any, parameters: Numbers) -> Functional:
    """For torch.compile."""
    return Pure(torch.func.grad(lambda x: chained(x, torch.sin)), (torch.from_numpy(parameters["x"].copy()),))


def chain_in_jax(jax: Any, parameters: Numbers) -> Functional:
    """For JAX."""
    return Pure(jax.grad(lambda x: chained(x, jax.numpy.sin)), (jax.numpy.array(parameters["x"]),))


def sum_in_torch(torch: Any, parameters: Numbers) -> Functional:
    """For torch.compile."""

    def step(x: Any) -> Any:
        gradient, value = torch.func.grad_and_value(
            lambda x: (x.tanh() * (-x * x).exp() + torch.nn.functional.logsigmoid(x)).sum()
        )(x)  # fmt: skip
        return value, gradient

    return Pure(step, (torch.from_numpy(parameters["x"].copy()),))


def sum_in_jax(jax: Any, parameters: Numbers) -> Functional:
    """For JAX."""
    jnp = jax.numpy
    value_and_grad = jax.value_and_grad(lambda x: (jnp.tanh(x) * jnp.exp(-x * x) + jax.nn.log_sigmoid(x)).sum())
    return Pure(value_and_grad, (jnp.array(parameters["x"]),))


CHAIN = Workload(
    key="chain",
    title="chain of 20 scalar operations and its gradient",
    goal=Goal(35, 2.5),
    numbers=chain_numbers,
    program=chain,
    in_torch=chain_in_torch,
    in_jax=chain_in_jax,
)


def workload(key: str, n: int, title: str, goal: Goal) -> Workload:
    """The row of n elements."""
    return Workload(
        key=key,
        title=title,
        goal=goal,
        numbers=lambda: pointwise_numbers(n),
        program=workloads.pointwise,
        in_torch=sum_in_torch,
        in_jax=sum_in_jax,
    )


LARGE = workload(
    "pointwise-1m", 1_000_000, "tanh(x) exp(-x²) + log sigmoid(x), sum and gradient, 1M elements", Goal(10, 2)
)  # fmt: skip
SMALL = workload("pointwise-1k", 1_000, "the same, 1k elements", Goal(13, 3))
