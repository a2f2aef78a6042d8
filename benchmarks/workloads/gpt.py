"""Two GPTs over letters, of a size that learns and of one that teaches: pre-norm blocks, causal attention, GELU, AdamW."""

from __future__ import annotations

from typing import Any

from benchmarks.workloads.jax_pieces import cross_entropy, normalised
from benchmarks.workloads.optimizers import jax_arrays, jax_training, torch_tensors, torch_training
from benchmarks.workloads.workload import Functional, Goal, Workload
from retrograd.cli import workloads
from retrograd.cli.workloads import GPT_RATE, Numbers, gpt_module, gpt_numbers

DECAY = 0.01  # AdamW's default


def in_torch(torch: Any, parameters: Numbers, layers: int, heads: int, width: int, context: int) -> Functional:
    """For torch.compile: the module, called as a function of its parameters."""
    net = gpt_module(torch, layers, heads, width, context)

    def loss_of(p: Any, text: Any, following: Any) -> Any:
        logits = torch.func.functional_call(net, p, (text,))
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), following.flatten())

    return torch_training(torch, loss_of, torch_tensors(torch, parameters), "adam", rate=GPT_RATE, decay=DECAY)


def in_jax(jax: Any, parameters: Numbers, layers: int, heads: int, width: int, context: int) -> Functional:
    """For JAX."""
    jnp = jax.numpy

    def linear(p: Any, name: str, x: Any) -> Any:
        return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]

    def norm(p: Any, name: str, x: Any) -> Any:
        return normalised(jax, x, (-1,), p[f"{name}.weight"], p[f"{name}.bias"])[0]

    def attention(p: Any, block: str, x: Any) -> Any:
        batch, length, _ = x.shape
        q, k, v = jnp.split(linear(p, f"{block}.qkv", x).reshape(batch, length, 3 * heads, width // heads), 3, axis=2)
        scores = jnp.einsum("bihd,bjhd->bhij", q, k) * (width // heads) ** -0.5
        masked = jnp.where(jnp.tril(jnp.ones((length, length), bool)), scores, -jnp.inf)
        mixed = jnp.einsum("bhij,bjhd->bihd", jax.nn.softmax(masked), v)
        return linear(p, f"{block}.mix", mixed.reshape(batch, length, width))

    def loss_of(p: Any, text: Any, following: Any) -> Any:
        x = p["letters.weight"][text] + p["places.weight"]
        for i in range(layers):
            block = f"blocks.{i}"
            x = x + attention(p, block, norm(p, f"{block}.norm1", x))
            x = x + linear(p, f"{block}.down", jax.nn.gelu(linear(p, f"{block}.up", norm(p, f"{block}.norm2", x)), approximate=False))
        logits = norm(p, "norm", x) @ p["head.weight"].T
        return cross_entropy(jax, logits.reshape(-1, logits.shape[-1]), following.reshape(-1))

    return jax_training(jax, loss_of, jax_arrays(jax, parameters), "adam", rate=GPT_RATE, decay=DECAY)


def workload(key: str, layers: int, heads: int, width: int, context: int, batch: int, goal: Goal) -> Workload:
    """The row of one size."""
    sizes = layers, heads, width, context
    return Workload(
        key=key,
        title=f"GPT {layers} layers, {heads} heads, {width} wide, context {context}, batch {batch}, AdamW",
        goal=goal,
        numbers=lambda: gpt_numbers(layers, width, context, batch),
        program=lambda lib, parameters: workloads.gpt(lib, parameters, *sizes),
        in_torch=lambda torch, parameters: in_torch(torch, parameters, *sizes),
        in_jax=lambda jax, parameters: in_jax(jax, parameters, *sizes),
    )


LARGE = workload("gpt-large", 4, 4, 128, 64, 12, Goal(2.2, 1.9))
SMALL = workload("gpt-small", 2, 2, 32, 16, 4, Goal(10, 2.4))
