"""A classifier of four layers with GELU, cross entropy and Adam, on a batch of 128."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.workloads.jax_pieces import cross_entropy
from benchmarks.workloads.optimizers import jax_arrays, jax_training, torch_tensors, torch_training
from benchmarks.workloads.workload import Data, Functional, Goal, Workload
from retrograd.cli.workloads import Numbers, Step, layer, loaded, normal

WIDTHS = (784, 512, 512, 256, 10)
BATCH, RATE = 128, 1e-4
LAYERS = range(len(WIDTHS) - 1)


def numbers() -> tuple[Numbers, Data]:
    """Parameters, inputs and labels."""
    rng = np.random.default_rng(0)
    parameters: Numbers = {}
    for i in LAYERS:
        parameters |= layer(rng, str(2 * i), WIDTHS[i + 1], WIDTHS[i])
    return parameters, (normal(rng, BATCH, WIDTHS[0]), rng.integers(WIDTHS[-1], size=BATCH))


def program(lib: Any, parameters: Numbers) -> Step:
    """For PyTorch's API."""
    modules = [module for i in LAYERS for module in (lib.nn.Linear(WIDTHS[i], WIDTHS[i + 1]), lib.nn.GELU())][:-1]
    net = loaded(lib, lib.nn.Sequential(*modules), parameters)
    optimizer = lib.optim.Adam(net.parameters(), lr=RATE)

    def step(inputs: Any, labels: Any) -> Any:
        optimizer.zero_grad()
        loss = lib.nn.functional.cross_entropy(net(inputs), labels)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def in_torch(torch: Any, parameters: Numbers) -> Functional:
    """For torch.compile."""

    def loss_of(p: Any, x: Any, labels: Any) -> Any:
        for i in LAYERS:
            x = torch.addmm(p[f"{2 * i}.bias"], x, p[f"{2 * i}.weight"].T)
            x = x if i == LAYERS[-1] else torch.nn.functional.gelu(x)
        return torch.nn.functional.cross_entropy(x, labels)

    return torch_training(torch, loss_of, torch_tensors(torch, parameters), "adam", rate=RATE)


def in_jax(jax: Any, parameters: Numbers) -> Functional:
    """For JAX."""

    def loss_of(p: Any, x: Any, labels: Any) -> Any:
        for i in LAYERS:
            x = x @ p[f"{2 * i}.weight"].T + p[f"{2 * i}.bias"]
            x = x if i == LAYERS[-1] else jax.nn.gelu(x, approximate=False)
        return cross_entropy(jax, x, labels)

    return jax_training(jax, loss_of, jax_arrays(jax, parameters), "adam", rate=RATE)


MLP = Workload(
    key="mlp",
    title="784-512-512-256-10 GELU, cross entropy, Adam, batch 128",
    goal=Goal(3, 1.25),
    numbers=numbers,
    program=program,
    in_torch=in_torch,
    in_jax=in_jax,
)
