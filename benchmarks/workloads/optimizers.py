"""Optimizers as functions of a state, for torch.compile and for JAX, with PyTorch's formulas and defaults.

In PyTorch a state is written in place under `no_grad`, which is a little faster there than giving back new tensors, and gradients come
from `torch.autograd.grad`. In JAX the new state is given back, and the old one's memory donated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.workloads.workload import Training
from retrograd.cli.workloads import Numbers

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


def torch_tensors(torch: Any, numbers: Numbers) -> dict[str, Any]:
    """Parameters as PyTorch's leaves."""
    return {name: torch.from_numpy(array.copy()).requires_grad_() for name, array in numbers.items()}


def jax_arrays(jax: Any, numbers: Numbers) -> dict[str, Any]:
    """Parameters as JAX's arrays."""
    return {name: jax.numpy.array(array) for name, array in numbers.items()}


# ---------------------------------------------------------------- PyTorch


def torch_training(torch: Any, loss_of: Callable[..., Any], parameters: dict[str, Any], update: str, **options: float) -> Training:
    """The step of `loss_of(parameters, *data)` with an update of this module, by its name: sgd, momentum or adam."""
    apply, remembered = TORCH_UPDATES[update]
    state = {
        "parameters": parameters,
        "moments": [[torch.zeros_like(p, requires_grad=False) for p in parameters.values()] for _ in range(remembered)],
        "steps": torch.zeros(()),
    }

    def step(state: Any, *data: Any) -> Any:
        leaves = list(state["parameters"].values())
        loss = loss_of(state["parameters"], *data)
        gradients = torch.autograd.grad(loss, leaves)
        with torch.no_grad():
            apply(torch, leaves, gradients, state, **options)
        return state, loss.detach()

    return Training(step, state)


def torch_sgd(torch: Any, leaves: list[Any], gradients: list[Any], state: Any, rate: float) -> None:
    """Plain descent."""
    for p, g in zip(leaves, gradients, strict=True):
        p.sub_(g, alpha=rate)


def torch_momentum(torch: Any, leaves: list[Any], gradients: list[Any], state: Any, rate: float, momentum: float) -> None:
    """SGD with momentum. The velocity begins at zero, which gives the first gradient as the first velocity."""
    for p, g, velocity in zip(leaves, gradients, *state["moments"], strict=True):
        velocity.mul_(momentum).add_(g)
        p.sub_(velocity, alpha=rate)


def torch_adam(torch: Any, leaves: list[Any], gradients: list[Any], state: Any, rate: float, decay: float = 0.0) -> None:
    """Adam; with a decay, AdamW."""
    t = state["steps"].add_(1)
    size, root = rate / (1 - BETA1**t), (1 - BETA2**t).sqrt()
    for p, g, m, v in zip(leaves, gradients, *state["moments"], strict=True):
        m.lerp_(g, 1 - BETA1)
        v.mul_(BETA2).addcmul_(g, g, value=1 - BETA2)
        p.mul_(1 - rate * decay).sub_(size * m / (v.sqrt() / root + EPSILON))


# ---------------------------------------------------------------- JAX


def jax_training(jax: Any, loss_of: Callable[..., Any], parameters: Any, update: str, **options: float) -> Training:
    """The step of `loss_of(parameters, *data)` with an update of this module, by its name: sgd, momentum or adam."""
    apply, remembered = JAX_UPDATES[update]
    zeros = [jax.tree.map(jax.numpy.zeros_like, parameters) for _ in range(remembered)]

    def step(state: Any, *data: Any) -> Any:
        loss, gradients = jax.value_and_grad(loss_of)(state[0], *data)
        return apply(jax, state, gradients, **options), loss

    return Training(step, (parameters, zeros, jax.numpy.zeros(())) if zeros else (parameters,))


def jax_sgd(jax: Any, state: Any, gradients: Any, rate: float) -> Any:
    """Plain descent."""
    return (jax.tree.map(lambda p, g: p - rate * g, state[0], gradients),)


def jax_momentum(jax: Any, state: Any, gradients: Any, rate: float, momentum: float) -> Any:
    """SGD with momentum."""
    parameters, (velocity,), steps = state
    velocity = jax.tree.map(lambda b, g: momentum * b + g, velocity, gradients)
    return jax.tree.map(lambda p, b: p - rate * b, parameters, velocity), [velocity], steps


def jax_adam(jax: Any, state: Any, gradients: Any, rate: float, decay: float = 0.0) -> Any:
    """Adam; with a decay, AdamW."""
    parameters, (first, second), steps = state
    t = steps + 1
    size, root = rate / (1 - BETA1**t), jax.numpy.sqrt(1 - BETA2**t)
    first = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, first, gradients)
    second = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, second, gradients)
    new = jax.tree.map(lambda p, m, v: p * (1 - rate * decay) - size * m / (jax.numpy.sqrt(v) / root + EPSILON), parameters, first, second)
    return new, [first, second], t


# ---------------------------------------------------------------- by name, with how many tensors each remembers for a parameter

Updates = dict[str, tuple[Callable[..., Any], int]]
TORCH_UPDATES: Updates = {"sgd": (torch_sgd, 0), "momentum": (torch_momentum, 1), "adam": (torch_adam, 2)}
JAX_UPDATES: Updates = {"sgd": (jax_sgd, 0), "momentum": (jax_momentum, 1), "adam": (jax_adam, 2)}
