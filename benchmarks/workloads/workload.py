"""What a row of the table is: the same computation for PyTorch's API, for torch.compile and for JAX, and the goal set for it.

The three are what a user of each would write who wants speed. For PyTorch's API it is an ordinary step; one text serves PyTorch and
Retrograd. For torch.compile and JAX it is a function of its state (parameters, and what the optimizer remembers), compiled whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from retrograd.cli.workloads import Numbers, Step

Data = tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Training:
    """`step(state, *data)` gives the next state and the result. It may write the new state over the old one."""

    step: Callable[..., tuple[Any, Any]]
    state: Any


@dataclass(frozen=True)
class Pure:
    """`step(*inputs, *data)` gives the result."""

    step: Step
    inputs: tuple[Any, ...] = ()


Functional = Training | Pure


@dataclass(frozen=True)
class Goal:
    """How many times faster than PyTorch eager, and than the fastest peer, Retrograd is meant to be."""

    eager: float
    peer: float


@dataclass(frozen=True)
class Workload:
    """A row of the table.

    `numbers()` gives parameters and data; `program(lib, parameters)` a step of PyTorch's API, a function of the data; `in_torch(torch,
    parameters)` and `in_jax(jax, parameters)` the same for a compiler. `tolerance` bounds how far results of the first steps may be
    apart, relative to the largest number in them. `flop` is the arithmetic of a step's matrix products, where it is stated.
    """

    key: str
    title: str
    goal: Goal
    numbers: Callable[[], tuple[Numbers, Data]]
    program: Callable[[Any, Numbers], Step]
    in_torch: Callable[[Any, Numbers], Functional]
    in_jax: Callable[[Any, Numbers], Functional]
    tolerance: float = 1e-4
    flop: int = 0
