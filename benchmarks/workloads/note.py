"""The teaching note's training step at several batch sizes: 784 -> 256 -> 10, ReLU, squared error, SGD."""

from __future__ import annotations

from typing import Any

from benchmarks.workloads.optimizers import jax_arrays, jax_training, torch_tensors, torch_training
from benchmarks.workloads.workload import Functional, Goal, Workload
from retrograd.cli import workloads
from retrograd.cli.workloads import Numbers, note_numbers, note_rate

GOALS = {1: Goal(5, 2), 16: Goal(5, 2.5), 64: Goal(3.2, 2.2), 256: Goal(2.6, 1.8), 1024: Goal(2.2, 1.35)}


def in_torch(torch: Any, parameters: Numbers, rate: float) -> Functional:
    """For torch.compile."""

    def loss_of(p: Any, inputs: Any, ideal: Any) -> Any:
        hidden = torch.addmm(p["0.bias"], inputs, p["0.weight"].T).relu()
        return (ideal - torch.addmm(p["2.bias"], hidden, p["2.weight"].T)).pow(2).sum()

    return torch_training(torch, loss_of, torch_tensors(torch, parameters), "sgd", rate=rate)


def in_jax(jax: Any, parameters: Numbers, rate: float) -> Functional:
    """For JAX."""

    def loss_of(p: Any, inputs: Any, ideal: Any) -> Any:
        hidden = jax.nn.relu(inputs @ p["0.weight"].T + p["0.bias"])
        return ((ideal - (hidden @ p["2.weight"].T + p["2.bias"])) ** 2).sum()

    return jax_training(jax, loss_of, jax_arrays(jax, parameters), "sgd", rate=rate)


def workload(batch: int) -> Workload:
    """The row of one batch size."""
    rate = note_rate(batch)
    products = 2 * batch * (784 * 256 + 256 * 10)  # of the forward pass; the gradient of the inputs is not needed
    return Workload(
        key=f"note-{batch}",
        title=f"note's step, batch {batch}",
        goal=GOALS[batch],
        numbers=lambda: note_numbers(batch),
        program=lambda lib, parameters: workloads.note(lib, parameters, rate),
        in_torch=lambda torch, parameters: in_torch(torch, parameters, rate),
        in_jax=lambda jax, parameters: in_jax(jax, parameters, rate),
        flop=2 * products + 2 * batch * 256 * 10,
    )


WORKLOADS = tuple(workload(batch) for batch in GOALS)
