"""What the programs share: who has which fault, data, and a loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import retrograd as torch
from retrograd import nn

F = nn.functional
FAULTY_PROGRAMS: list[tuple[str, str, Callable[[], None]]] = []
SOUND_PROGRAMS: list[Callable[[], None]] = []


def has(fault: str, variant: str = "") -> Any:
    """Says which fault a program has."""

    def register(program: Callable[[], None]) -> Callable[[], None]:
        FAULTY_PROGRAMS.append((fault, variant, program))
        return program

    return register


def sound(program: Callable[[], None]) -> Callable[[], None]:
    """Says that a program has none."""
    SOUND_PROGRAMS.append(program)
    return program


def data(n: int = 32, inputs: int = 8, classes: int = 3) -> tuple[Any, Any]:
    """Examples and classes that can be told apart."""
    y = torch.randint(0, classes, (n,))
    return torch.randn(n, inputs) + y.unsqueeze(1), y


def train(parameters: Any, loss: Callable[[], Any], steps: int = 4, lr: float = 1e-3) -> None:
    """A plain loop."""
    optimizer = torch.optim.Adam(parameters, lr=lr)
    for _ in range(steps):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()


def mlp(inputs: int = 8, outputs: int = 3) -> Any:
    """A small network."""
    return nn.Sequential(nn.Linear(inputs, 16), nn.ReLU(), nn.Linear(16, outputs))
