"""An LSTM that classifies sequences by its last output: 32 -> 128, 32 steps, batch 32, Adam."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.workloads.jax_pieces import cross_entropy
from benchmarks.workloads.optimizers import jax_arrays, jax_training, torch_tensors, torch_training
from benchmarks.workloads.workload import Data, Functional, Goal, Workload
from retrograd.cli.workloads import Numbers, Step, layer, loaded, normal

INPUTS, HIDDEN, LENGTH, BATCH, CLASSES, RATE = 32, 128, 32, 32, 10, 1e-4


def numbers() -> tuple[Numbers, Data]:
    """Parameters by the names of nn.LSTM, sequences of the shape (length, batch, inputs), and labels."""
    rng = np.random.default_rng(0)
    bound = HIDDEN**-0.5
    shapes = {
        "weight_ih_l0": (4 * HIDDEN, INPUTS),
        "weight_hh_l0": (4 * HIDDEN, HIDDEN),
        "bias_ih_l0": (4 * HIDDEN,),
        "bias_hh_l0": (4 * HIDDEN,),
    }
    parameters = {f"lstm.{name}": rng.uniform(-bound, bound, shape).astype(np.float32) for name, shape in shapes.items()}
    return parameters | layer(rng, "head", CLASSES, HIDDEN), (normal(rng, LENGTH, BATCH, INPUTS), rng.integers(CLASSES, size=BATCH))


def module(lib: Any) -> Any:
    """The LSTM, and a linear layer on its last output."""
    return lib.nn.ModuleDict({"lstm": lib.nn.LSTM(INPUTS, HIDDEN), "head": lib.nn.Linear(HIDDEN, CLASSES)})


def program(lib: Any, parameters: Numbers) -> Step:
    """For PyTorch's API."""
    net = loaded(lib, module(lib), parameters)
    optimizer = lib.optim.Adam(net.parameters(), lr=RATE)

    def step(sequences: Any, labels: Any) -> Any:
        optimizer.zero_grad()
        outputs, _ = net["lstm"](sequences)
        loss = lib.nn.functional.cross_entropy(net["head"](outputs[-1]), labels)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def in_torch(torch: Any, parameters: Numbers) -> Functional:
    """For torch.compile: the cell's formulas, in a loop that the compiler unrolls; the products with the inputs are made at once."""

    def loss_of(p: Any, sequences: Any, labels: Any) -> Any:
        bias = p["lstm.bias_ih_l0"] + p["lstm.bias_hh_l0"]
        entering = torch.addmm(bias, sequences.flatten(0, 1), p["lstm.weight_ih_l0"].T).view(LENGTH, BATCH, 4 * HIDDEN)
        h = c = torch.zeros(BATCH, HIDDEN)
        for gates_in in entering.unbind():
            i, f, g, o = torch.addmm(gates_in, h, p["lstm.weight_hh_l0"].T).chunk(4, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
        return torch.nn.functional.cross_entropy(torch.addmm(p["head.bias"], h, p["head.weight"].T), labels)

    return torch_training(torch, loss_of, torch_tensors(torch, parameters), "adam", rate=RATE)


def in_jax(jax: Any, parameters: Numbers) -> Functional:
    """For JAX: the cell under lax.scan; the products with the inputs are made at once."""
    jnp, sigmoid = jax.numpy, jax.nn.sigmoid

    def loss_of(p: Any, sequences: Any, labels: Any) -> Any:
        def cell(state: Any, gates_in: Any) -> Any:
            h, c = state
            i, f, g, o = jnp.split(gates_in + h @ p["lstm.weight_hh_l0"].T, 4, axis=1)
            c = sigmoid(f) * c + sigmoid(i) * jnp.tanh(g)
            return (sigmoid(o) * jnp.tanh(c), c), None

        entering = sequences @ p["lstm.weight_ih_l0"].T + (p["lstm.bias_ih_l0"] + p["lstm.bias_hh_l0"])
        start = jnp.zeros((BATCH, HIDDEN))
        (h, _), _ = jax.lax.scan(cell, (start, start), entering)
        return cross_entropy(jax, h @ p["head.weight"].T + p["head.bias"], labels)

    return jax_training(jax, loss_of, jax_arrays(jax, parameters), "adam", rate=RATE)


LSTM = Workload(
    key="lstm",
    title="LSTM 32 -> 128, 32 steps, batch 32, Adam",
    goal=Goal(1.7, 1.6),
    numbers=numbers,
    program=program,
    in_torch=in_torch,
    in_jax=in_jax,
)
