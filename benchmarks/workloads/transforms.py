"""What composes transforms: the Jacobian of a network, and the gradients of each sample of a batch."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.workloads.jax_pieces import cross_entropy
from benchmarks.workloads.optimizers import jax_arrays
from benchmarks.workloads.workload import Data, Functional, Goal, Pure, Workload
from retrograd.cli.workloads import Numbers, Step, layer, loaded, normal

# ---------------------------------------------------------------- the Jacobian of a network by its input


def jacobian_numbers() -> tuple[Numbers, Data]:
    """Parameters and one input."""
    rng = np.random.default_rng(0)
    return layer(rng, "0", 256, 64) | layer(rng, "2", 64, 256), (normal(rng, 64),)


def jacobian(lib: Any, parameters: Numbers) -> Step:
    """For PyTorch's API."""
    net = loaded(lib, lib.nn.Sequential(lib.nn.Linear(64, 256), lib.nn.Tanh(), lib.nn.Linear(256, 64)), parameters)
    return lib.func.jacrev(net)


def tanh_network(tanh: Any, p: Any, x: Any) -> Any:
    """64 -> 256 -> 64."""
    return p["2.weight"] @ tanh(p["0.weight"] @ x + p["0.bias"]) + p["2.bias"]


def jacobian_in_torch(torch: Any, parameters: Numbers) -> Functional:
    """For torch.compile."""
    p = {name: torch.from_numpy(array.copy()) for name, array in parameters.items()}
    return Pure(torch.func.jacrev(lambda p, x: tanh_network(torch.tanh, p, x), argnums=1), (p,))


def jacobian_in_jax(jax: Any, parameters: Numbers) -> Functional:
    """For JAX."""
    return Pure(jax.jacrev(lambda p, x: tanh_network(jax.numpy.tanh, p, x), argnums=1), (jax_arrays(jax, parameters),))


# ---------------------------------------------------------------- gradients of each sample

BATCH = 64


def samples_numbers() -> tuple[Numbers, Data]:
    """Parameters, inputs and labels."""
    rng = np.random.default_rng(0)
    return layer(rng, "0", 128, 64) | layer(rng, "2", 10, 128), (normal(rng, BATCH, 64), rng.integers(10, size=BATCH))


def classifier(lib: Any) -> Any:
    """64 -> 128 -> 10."""
    return lib.nn.Sequential(lib.nn.Linear(64, 128), lib.nn.ReLU(), lib.nn.Linear(128, 10))


def by_name(gradients: dict[str, Any]) -> tuple[Any, ...]:
    """In the order of the parameters' names: JAX and PyTorch order dictionaries differently."""
    return tuple(gradients[name] for name in sorted(gradients))


def gradients_of_each(lib: Any, net: Any) -> Any:
    """The function that gives the gradients of the cross entropy of each sample, of parameters, inputs and labels."""

    def loss_of(p: Any, x: Any, label: Any) -> Any:
        return lib.nn.functional.cross_entropy(lib.func.functional_call(net, p, (x[None],)), label[None])

    return lib.func.vmap(lib.func.grad(loss_of), in_dims=(None, 0, 0))


def samples(lib: Any, parameters: Numbers) -> Step:
    """For PyTorch's API."""
    net = loaded(lib, classifier(lib), parameters)
    gradients = gradients_of_each(lib, net)
    p = {name: parameter.detach() for name, parameter in net.named_parameters()}
    return lambda inputs, labels: by_name(gradients(p, inputs, labels))


def samples_in_torch(torch: Any, parameters: Numbers) -> Functional:
    """For torch.compile."""
    gradients = gradients_of_each(torch, classifier(torch))
    p = {name: torch.from_numpy(array.copy()) for name, array in parameters.items()}
    return Pure(lambda p, inputs, labels: by_name(gradients(p, inputs, labels)), (p,))


def samples_in_jax(jax: Any, parameters: Numbers) -> Functional:
    """For JAX."""

    def loss_of(p: Any, x: Any, label: Any) -> Any:
        hidden = jax.nn.relu(p["0.weight"] @ x + p["0.bias"])
        return cross_entropy(jax, (p["2.weight"] @ hidden + p["2.bias"])[None], label[None])

    gradients = jax.vmap(jax.grad(loss_of), in_axes=(None, 0, 0))
    return Pure(lambda p, inputs, labels: by_name(gradients(p, inputs, labels)), (jax_arrays(jax, parameters),))


JACOBIAN = Workload(
    key="jacobian",
    title="Jacobian of a 64-256-64 tanh MLP (jacrev)",
    goal=Goal(120, 2),
    numbers=jacobian_numbers,
    program=jacobian,
    in_torch=jacobian_in_torch,
    in_jax=jacobian_in_jax,
)
SAMPLES = Workload(
    key="per-sample",
    title="per-sample gradients (vmap of grad) of 64-128-10, batch 64",
    goal=Goal(22, 2),
    numbers=samples_numbers,
    program=samples,
    in_torch=samples_in_torch,
    in_jax=samples_in_jax,
)
