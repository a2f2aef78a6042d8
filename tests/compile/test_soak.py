"""Compiled training over many steps, in several threads, and in children of the process. `python -m scripts.soak_compile` runs longer."""

from __future__ import annotations

import gc
import os
import threading
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import retrograd as torch
from scripts.soak_compile import MOST_BLOCKS, MOST_BYTES, soak, training
from tests.compile.programs import numbers

F = torch.nn.functional


@pytest.fixture
def threads():
    """Sets the number of threads for one test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


# ---------------------------------------------------------------- memory


def test_memory_does_not_grow():
    """Neither the process nor Python's blocks, over 3,000 steps."""
    grown, blocks = soak(3000, 1, lambda line: None)
    assert blocks <= MOST_BLOCKS
    assert grown <= MOST_BYTES


def test_arrays_do_not_pile_up():
    """Nor NumPy's memory, as tracemalloc sees it."""
    step, batches = training()
    for _ in range(50):
        step(*next(batches))
    tracemalloc.start()
    try:
        for _ in range(20):
            step(*next(batches))
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(400):
            step(*next(batches))
        assert tracemalloc.get_traced_memory()[0] - before < 10_000
    finally:
        tracemalloc.stop()


# ---------------------------------------------------------------- threads


def trained(net: Any, optimizer: Any, x: Any, y: Any, steps: int, seed: int = 0) -> list[bytes]:
    """The losses and weights, bit by bit, after some compiled steps."""

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    compiled = torch.compile(step, fullgraph=True)
    torch.manual_seed(seed)
    losses = [compiled(x, y).numpy().tobytes() for _ in range(steps)]
    assert [v.state for v in compiled.programs()][-1] == "compiled"
    return losses + [p.detach().numpy().tobytes() for p in net.parameters()]


def dense() -> list[bytes]:
    """Matrix products large enough to be shared out."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(200, 300), torch.nn.GELU(), torch.nn.LayerNorm(300), torch.nn.Linear(300, 10))
    return trained(net, torch.optim.Adam(net.parameters()), numbers(0, (128, 200)), numbers(1, (128,), "int64", 0, 10), 6)


def convolutional() -> list[bytes]:
    """Convolutions, batch norm, pooling."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 16, 3, padding=1), torch.nn.BatchNorm2d(16), torch.nn.ReLU(), torch.nn.MaxPool2d(2), torch.nn.Conv2d(16, 16, 3),
        torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(16 * 36, 10),
    )  # fmt: skip
    x, y = numbers(0, (8, 3, 16, 16)), numbers(1, (8,), "int64", 0, 10)
    return trained(net, torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9), x, y, 6)


class Attending(torch.nn.Module):
    """Embeddings, causal attention, a loss over every place."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(50, 64)
        self.mix, self.out = torch.nn.Linear(64, 192), torch.nn.Linear(64, 50)

    def forward(self, tokens: Any) -> Any:
        """Scores of shape (places, 50)."""
        x = self.embedding(tokens)
        q, k, v = (part.reshape(8, 32, 4, 16).transpose(1, 2) for part in self.mix(x).split(64, -1))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(x + y.transpose(1, 2).reshape(8, 32, 64)).reshape(-1, 50)


def attentive() -> list[bytes]:
    """Embeddings, attention, gathering and scattering."""
    torch.manual_seed(0)
    net = Attending()
    x, y = numbers(0, (8, 32), "int64", 0, 50), numbers(1, (256,), "int64", 0, 50)
    return trained(net, torch.optim.AdamW(net.parameters()), x, y, 6)


@pytest.mark.parametrize("train", [dense, convolutional, attentive])
def test_the_number_of_threads_changes_no_bit(threads: Callable[[int], None], train: Callable[[], list[bytes]]):
    """Whole training steps with one, two and three threads."""
    results = []
    for n in (1, 2, 3, 1):
        threads(n)
        results.append(train())
    assert results[1:] == results[:1] * 3


def test_two_threads_with_a_step_each():
    """Python's threads train side by side, each its own network, and get what they get alone (but for calls that run in eager meanwhile)."""
    alone = [one_of_two(0), one_of_two(1)]
    found: dict[int, Any] = {}

    def run(which: int) -> None:
        try:
            found[which] = one_of_two(which)
        except BaseException as error:
            found[which] = error

    workers = [threading.Thread(target=run, args=(which,)) for which in (0, 1)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=60)
    for which in (0, 1):
        assert not isinstance(found[which], BaseException), found[which]
        np.testing.assert_allclose(found[which], alone[which], rtol=1e-4)


def one_of_two(which: int) -> list[float]:
    """A network without random numbers: generators are shared."""
    net = torch.nn.Sequential(torch.nn.Linear(30, 40), torch.nn.Tanh(), torch.nn.Linear(40, 4))
    with torch.no_grad():
        for i, p in enumerate(net.parameters()):
            p.copy_(numbers(10 * which + i, tuple(p.shape)) * 0.1)
    x, y = numbers(which, (50, 30)), numbers(which + 5, (50,), "int64", 0, 4)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    compiled = torch.compile(step)
    return [compiled(x, y).item() for _ in range(60)]


# ---------------------------------------------------------------- children


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_goes_on_with_the_program(threads: Callable[[int], None]):
    """A compiled step runs in a child of the process as it does in the parent, and each has weights of its own."""
    threads(2)
    weight = numbers(0, (300, 300)).requires_grad_()
    optimizer = torch.optim.SGD([weight], lr=0.01)
    x = numbers(1, (128, 300))

    def step(x: Any) -> Any:
        optimizer.zero_grad()
        loss = (torch.tanh(x @ weight) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss.detach()

    compiled = torch.compile(step, fullgraph=True)
    for _ in range(3):
        compiled(x)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, b"".join(compiled(x).numpy().tobytes() for _ in range(5)))
        finally:
            os._exit(0)
    os.close(writing)
    mine = b"".join(compiled(x).numpy().tobytes() for _ in range(5))
    with open(reading, "rb") as pipe:
        theirs = pipe.read()
    assert os.waitpid(child, 0)[1] == 0
    assert theirs == mine


def test_a_program_is_freed():
    """What a compiled function that is gone held is given back: its arena, its outputs, its batches."""
    tracemalloc.start()
    try:
        for _ in range(3):
            big_step()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(5):
            big_step()
        assert tracemalloc.get_traced_memory()[0] - before < 2_000_000
    finally:
        tracemalloc.stop()


def big_step() -> None:
    """Compiles and runs a function with some 4 MB of its own."""
    f = torch.compile(lambda x: torch.cumsum(x * 2, 0).sum())
    x = numbers(0, (1000, 500))
    for _ in range(3):
        f(x)
    del f
    gc.collect()
