"""Programs to be timed, each written once for every library that has PyTorch's API, and the numbers that they begin with.

A program is made by `program(lib, parameters)`, which gives a step: a function of the batch. Numbers are NumPy's, so that every library,
and the hand-written peers of this repository's benchmarks, begin with the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.random import Generator

Numbers = dict[str, np.ndarray]
Step = Callable[..., Any]


def layer(rng: Generator, name: str, *shape: int, bias: bool = True) -> Numbers:
    """A weight of this shape and its bias, uniform within one over the root of the number of inputs."""
    bound = 1 / math.sqrt(math.prod(shape[1:]))
    numbers = {f"{name}.weight": rng.uniform(-bound, bound, shape).astype(np.float32)}
    return numbers | ({f"{name}.bias": rng.uniform(-bound, bound, shape[0]).astype(np.float32)} if bias else {})


def norm(name: str, width: int) -> Numbers:
    """The scale and shift of a normalisation, still ones and zeros."""
    return {f"{name}.weight": np.ones(width, np.float32), f"{name}.bias": np.zeros(width, np.float32)}


def normal(rng: Generator, *shape: int) -> np.ndarray:
    """Standard normal numbers, float32."""
    return rng.standard_normal(shape, np.float32)


def loaded(lib: Any, net: Any, parameters: Numbers) -> Any:
    """The module with these parameters, which must be all of its own."""
    own = dict(net.named_parameters())
    if own.keys() != parameters.keys():
        raise ValueError(f"expected parameters named {sorted(own)}, got {sorted(parameters)}")
    with lib.no_grad():
        for name, parameter in own.items():
            parameter.copy_(lib.from_numpy(parameters[name]))
    return net


# ---------------------------------------------------------------- the note's step


def note_numbers(batch: int) -> tuple[Numbers, tuple[np.ndarray, ...]]:
    """Parameters, and a batch of inputs (batch, 784) and ideal outputs (batch, 10)."""
    rng = np.random.default_rng(0)
    parameters = layer(rng, "0", 256, 784) | layer(rng, "2", 10, 256)
    return parameters, (normal(rng, batch, 784), normal(rng, batch, 10))


def note_rate(batch: int) -> float:
    """The note's learning rate, less for batches larger than its 16: the loss is a sum."""
    return 1e-3 * 16 / max(16, batch)


def note(lib: Any, parameters: Numbers, rate: float) -> Step:
    """The teaching note's training step: 784 -> 256 -> 10, ReLU, squared error, SGD."""
    net = loaded(lib, lib.nn.Sequential(lib.nn.Linear(784, 256), lib.nn.ReLU(), lib.nn.Linear(256, 10)), parameters)
    optimizer = lib.optim.SGD(net.parameters(), lr=rate)

    def step(inputs: Any, ideal: Any) -> Any:
        optimizer.zero_grad()
        loss = (ideal - net(inputs)).pow(2).sum()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


# ---------------------------------------------------------------- pointwise


def pointwise_numbers(n: int) -> tuple[Numbers, tuple[np.ndarray, ...]]:
    """A vector of n numbers."""
    return {"x": normal(np.random.default_rng(0), n)}, ()


def pointwise(lib: Any, parameters: Numbers) -> Step:
    """tanh(x) exp(-x²) + log sigmoid(x), summed, and its gradient."""
    x = lib.from_numpy(parameters["x"].copy()).requires_grad_()

    def step() -> Any:
        x.grad = None
        y = (x.tanh() * (-x * x).exp() + lib.nn.functional.logsigmoid(x)).sum()
        y.backward()
        return y.detach(), x.grad

    return step


# ---------------------------------------------------------------- a small GPT

LETTERS = 65


def gpt_numbers(layers: int, width: int, context: int, batch: int) -> tuple[Numbers, tuple[np.ndarray, ...]]:
    """Parameters, and a batch of texts and of the letters that follow, both (batch, context) of int64."""
    rng = np.random.default_rng(0)
    parameters = {"letters.weight": 0.02 * normal(rng, LETTERS, width), "places.weight": 0.02 * normal(rng, context, width)}
    for i in range(layers):
        block = f"blocks.{i}"
        parameters |= norm(f"{block}.norm1", width) | layer(rng, f"{block}.qkv", 3 * width, width)
        parameters |= layer(rng, f"{block}.mix", width, width) | norm(f"{block}.norm2", width)
        parameters |= layer(rng, f"{block}.up", 4 * width, width) | layer(rng, f"{block}.down", width, 4 * width)
    parameters |= norm("norm", width) | layer(rng, "head", LETTERS, width, bias=False)
    text = rng.integers(LETTERS, size=(batch, context + 1))
    return parameters, (text[:, :-1].copy(), text[:, 1:].copy())


def gpt_module(lib: Any, layers: int, heads: int, width: int, context: int) -> Any:
    """The network: pre-norm blocks of causal attention and a GELU layer four times as wide, learned places."""
    nn, functional = lib.nn, lib.nn.functional

    class Block(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.mix = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def forward(self, x: Any) -> Any:
            batch, length, _ = x.shape
            q, k, v = (part.view(batch, length, heads, -1).transpose(1, 2) for part in self.qkv(self.norm1(x)).split(width, dim=2))
            attended = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.mix(attended.transpose(1, 2).reshape(batch, length, width))
            return x + self.down(functional.gelu(self.up(self.norm2(x))))

    class GPT(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.letters, self.places = nn.Embedding(LETTERS, width), nn.Embedding(context, width)
            self.blocks = nn.Sequential(*(Block() for _ in range(layers)))
            self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, LETTERS, bias=False)

        def forward(self, text: Any) -> Any:
            x = self.letters(text) + self.places(lib.arange(text.shape[1]))
            return self.head(self.norm(self.blocks(x)))

    return GPT()


GPT_RATE = 1e-4


def gpt(lib: Any, parameters: Numbers, layers: int, heads: int, width: int, context: int) -> Step:
    """A training step of a GPT over letters: cross entropy, AdamW."""
    net = loaded(lib, gpt_module(lib, layers, heads, width, context), parameters)
    optimizer = lib.optim.AdamW(net.parameters(), lr=GPT_RATE)

    def step(text: Any, following: Any) -> Any:
        optimizer.zero_grad()
        loss = lib.nn.functional.cross_entropy(net(text).flatten(0, 1), following.flatten())
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step
