"""A network that learns to solve Burgers' equation, u_t + u u_x = ν u_xx: 2-50-50-50-50-1 tanh, the residual at 1,000 points, Adam."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from benchmarks.workloads.optimizers import jax_arrays, jax_training, torch_tensors, torch_training
from benchmarks.workloads.workload import Data, Functional, Goal, Workload
from retrograd.cli.workloads import Numbers, Step, layer, loaded

WIDTHS = (2, 50, 50, 50, 50, 1)
POINTS, RATE, VISCOSITY = 1000, 1e-4, 0.01 / math.pi
LAYERS = range(len(WIDTHS) - 1)


def numbers() -> tuple[Numbers, Data]:
    """Parameters, times from 0 to 1 and places from -1 to 1, both (points, 1)."""
    rng = np.random.default_rng(0)
    parameters: Numbers = {}
    for i in LAYERS:
        parameters |= layer(rng, str(2 * i), WIDTHS[i + 1], WIDTHS[i])
    return parameters, (rng.random((POINTS, 1), np.float32), 2 * rng.random((POINTS, 1), np.float32) - 1)


def program(lib: Any, parameters: Numbers) -> Step:
    """For PyTorch's API: derivatives by `grad` with `create_graph`."""
    modules = [module for i in LAYERS for module in (lib.nn.Linear(WIDTHS[i], WIDTHS[i + 1]), lib.nn.Tanh())][:-1]
    net = loaded(lib, lib.nn.Sequential(*modules), parameters)
    optimizer = lib.optim.Adam(net.parameters(), lr=RATE)
    grad = lib.autograd.grad

    def step(t: Any, x: Any) -> Any:
        optimizer.zero_grad()
        t, x = t.detach().requires_grad_(), x.detach().requires_grad_()
        u = net(lib.cat([t, x], dim=1))
        u_t, u_x = grad(u.sum(), (t, x), create_graph=True)
        (u_xx,) = grad(u_x.sum(), x, create_graph=True)
        loss = (u_t + u * u_x - VISCOSITY * u_xx).pow(2).mean()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def network(tanh: Any, p: Any, points: Any) -> Any:
    """u at points of the shape (points, 2)."""
    for i in LAYERS:
        points = points @ p[f"{2 * i}.weight"].T + p[f"{2 * i}.bias"]
        points = points if i == LAYERS[-1] else tanh(points)
    return points


def in_torch(torch: Any, parameters: Numbers) -> Functional:
    """For torch.compile: reverse mode twice. Its forward mode does not compile here, and derivatives by hand are no faster."""
    grad = torch.autograd.grad

    def loss_of(p: Any, t: Any, x: Any) -> Any:
        points = torch.cat([t, x], 1).requires_grad_()
        u = network(torch.tanh, p, points)
        (first,) = grad(u.sum(), points, create_graph=True)
        (second,) = grad(first[:, 1].sum(), points, create_graph=True)
        return (first[:, 0] + u[:, 0] * first[:, 1] - VISCOSITY * second[:, 1]).pow(2).mean()

    return torch_training(torch, loss_of, torch_tensors(torch, parameters), "adam", rate=RATE)


def in_jax(jax: Any, parameters: Numbers) -> Functional:
    """For JAX: forward mode twice, as fast as its other ways."""
    jnp, jvp = jax.numpy, jax.jvp

    def loss_of(p: Any, t: Any, x: Any) -> Any:
        def u(points: Any) -> Any:
            return network(jnp.tanh, p, points)

        zeros, ones = jnp.zeros_like(t), jnp.ones_like(x)
        along_t, along_x = jnp.concatenate([ones, zeros], 1), jnp.concatenate([zeros, ones], 1)
        points = jnp.concatenate([t, x], 1)
        (value, u_x), (_, u_xx) = jvp(lambda points: jvp(u, (points,), (along_x,)), (points,), (along_x,))
        u_t = jvp(u, (points,), (along_t,))[1]
        return ((u_t + value * u_x - VISCOSITY * u_xx) ** 2).mean()

    return jax_training(jax, loss_of, jax_arrays(jax, parameters), "adam", rate=RATE)


PINN = Workload(
    key="pinn",
    title="PINN 2-50-50-50-50-1 tanh, Burgers residual (u_t, u_x, u_xx), 1,000 points, Adam",
    goal=Goal(6, 2.5),
    numbers=numbers,
    program=program,
    in_torch=in_torch,
    in_jax=in_jax,
)
