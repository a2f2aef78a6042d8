"""Eager Retrograd beside eager PyTorch, without compilation on either side.

Every row is one program, written once for both libraries. Its ratio is PyTorch's time over Retrograd's: above 1, Retrograd is
faster. What they compute is compared before it is timed.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from retrograd.cli.timing import REST, interleaved, shown, warm

BATCHES = (1, 16, 64, 256, 1024)
LIBRARIES = ("retrograd", "torch")


def note_step(lib: Any, batch: int) -> Callable[[], Any]:
    """The teaching note's training step: 784 -> 256 -> 10, squared error, SGD."""
    lib.manual_seed(0)
    net = lib.nn.Sequential(lib.nn.Linear(784, 256), lib.nn.ReLU(), lib.nn.Linear(256, 10))
    inputs, ideal = lib.randn(batch, 784), lib.randn(batch, 10)
    optimizer = lib.optim.SGD(net.parameters(), lr=1e-6)

    def step() -> Any:
        optimizer.zero_grad()
        loss = (ideal - net(inputs)).pow(2).sum()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def scalar_chain(lib: Any) -> Callable[[], Any]:
    """20 operations on single numbers, and their backward."""
    x = lib.tensor(0.5, requires_grad=True)

    def step() -> Any:
        x.grad = None
        y = x
        for _ in range(5):
            y = y * 1.01
            y = y + 0.1
            y = y.sin()
            y = y * x
        y.backward()
        return x.grad

    return step


def pointwise(lib: Any, n: int) -> Callable[[], Any]:
    """tanh(a b + c), summed, and its backward."""
    lib.manual_seed(0)
    a, b, c = (lib.rand(n, requires_grad=True) for _ in range(3))

    def step() -> Any:
        a.grad = b.grad = c.grad = None
        (a * b + c).tanh().sum().backward()
        return a.grad

    return step


def convolutional(lib: Any, batch: int = 16) -> Callable[[], Any]:
    """A training step of a small convolutional net on 28 x 28 images."""
    lib.manual_seed(0)
    nn = lib.nn
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(16 * 7 * 7, 10),
    )  # fmt: skip
    images, labels = lib.randn(batch, 1, 28, 28), lib.randint(10, (batch,))
    optimizer = lib.optim.SGD(net.parameters(), lr=1e-4)

    def step() -> Any:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(images), labels)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


ROWS: dict[str, Callable[[Any], Callable[[], Any]]] = {
    **{f"the note's step, batch {b}": lambda lib, b=b: note_step(lib, b) for b in BATCHES},  # type: ignore[misc]
    "20 scalar operations and backward": scalar_chain,
    "pointwise, 1 k elements, and backward": lambda lib: pointwise(lib, 1_000),
    "pointwise, 1 M elements, and backward": lambda lib: pointwise(lib, 1_000_000),
    "convolutional net, batch 16": convolutional,
}


def in_fresh_process(code: str) -> str:
    """What a new Python prints; it may keep bytecode, as users' do."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env).stdout.strip()


def import_seconds(library: str, runs: int = 5) -> float:
    """The median time that `import library` takes in a new process."""
    code = f"import time; t = time.perf_counter(); import {library}; print(time.perf_counter() - t)"
    in_fresh_process(code)  # writes the bytecode, where there is none yet
    return sorted(float(in_fresh_process(code)) for _ in range(runs))[runs // 2]


def peak_megabytes(library: str) -> float:
    """The most memory that a process uses which makes 20 of the note's steps at batch 64."""
    code = (
        f"import importlib; from benchmarks.eager import note_step; step = note_step(importlib.import_module({library!r}), 64)\n"
        "for _ in range(20): step()\n"
        "print(*[line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')])"  # resource counts the parent's too
    )
    return float(in_fresh_process(code)) / 1024


def check_same(row: str, steps: dict[str, Callable[[], Any]]) -> None:
    """Raises if the libraries do not compute the same."""
    first, second = (np.asarray(step().numpy()) for step in steps.values())
    np.testing.assert_allclose(first, second, rtol=2e-3, atol=1e-5, err_msg=f"{row}: the libraries disagree")


def main(argv: Sequence[str] = ()) -> int:
    """Prints the table. Takes no options. Returns the exit status."""
    if argv:
        print(f"python -m benchmarks eager takes no options, got {' '.join(argv)}", file=sys.stderr)
        return 2
    try:
        libraries = {name: importlib.import_module(name) for name in LIBRARIES}
    except ImportError as error:
        print(f"this benchmark needs {error.name}, to be measured beside: pip install torch==2.13.0", file=sys.stderr)
        return 1
    versions = ", ".join(f"{name} {lib.__version__}" for name, lib in libraries.items())
    print(f"{versions}; NumPy {np.__version__}; {libraries['torch'].get_num_threads()} threads\n")
    print(f"{'':40}{'Retrograd':>12}{'PyTorch':>14}{'ratio':>10}")
    for row, make in ROWS.items():
        steps = {name: make(lib) for name, lib in libraries.items()}
        check_same(row, steps)
        warm(steps["retrograd"])
        times = interleaved(steps, rest=REST)
        print(f"{row:40}{shown(times['retrograd']):>12}{shown(times['torch']):>14}{times['torch'] / times['retrograd']:9.2f}x", flush=True)
    ours, theirs = (import_seconds(name) for name in LIBRARIES)
    print(f"{'import':40}{shown(ours):>12}{shown(theirs):>14}{theirs / ours:9.2f}x")
    ours, theirs = (peak_megabytes(name) for name in LIBRARIES)
    print(f"{'peak memory, 20 steps at batch 64':40}{ours:9.0f} MB{theirs:11.0f} MB{theirs / ours:9.2f}x")
    return 0
