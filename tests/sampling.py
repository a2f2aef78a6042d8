"""Samples of operations: arguments described by value, so that they can be made for this library, for PyTorch, for NumPy.

`T(2, 3)` stands for a float tensor, `I` for an integer and `B` for a bool one; `build` makes the arguments of one call, for
whichever library `make` makes tensors of.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Spec:
    """A tensor to be made: its kind, shape and range. The numbers follow from the spec and its place among the arguments."""

    kind: str
    shape: tuple[int, ...]
    low: float | None = None
    high: float | None = None
    grad: bool = True
    distinct: bool = False
    positive: bool = False

    def array(self, seed: int, dtype: Any = np.float64) -> np.ndarray:
        """The numbers."""
        rng = np.random.default_rng((seed, zlib.crc32(repr(self).encode())))
        if self.kind == "B":
            return rng.random(self.shape) < 0.5
        if self.kind == "I":
            return rng.integers(int(self.low or 0), int(self.high or 10), self.shape)
        if self.kind == "C":
            kind = np.complex64 if dtype is np.float32 else np.complex128
            return (rng.standard_normal(self.shape) + 1j * rng.standard_normal(self.shape)).astype(kind)
        if self.positive:
            values = rng.standard_normal(self.shape)
            values = values @ np.swapaxes(values, -1, -2) + np.eye(self.shape[-1])
        elif self.distinct:
            n = int(np.prod(self.shape))
            steps = rng.permutation(n) * 0.3 + rng.uniform(0, 0.1, n)
            values = (steps - steps.mean()).reshape(self.shape) if n else np.zeros(self.shape)
        elif self.low is not None or self.high is not None:
            values = rng.uniform(0.0 if self.low is None else self.low, 1.0 if self.high is None else self.high, self.shape)
        else:
            values = rng.standard_normal(self.shape)
        return np.asarray(values).astype(dtype)


def T(*shape: int, low: float | None = None, high: float | None = None, grad: bool = True, distinct: bool = False) -> Spec:
    """Floats: standard normal, or uniform from `low` to `high`; `distinct` ones are at least 0.1 apart."""
    return Spec("T", shape, low, high, grad, distinct)


def I(*shape: int, low: int = 0, high: int = 10) -> Spec:  # noqa: E743
    """int64 numbers from `low` to below `high`."""
    return Spec("I", shape, low, high, grad=False)


def B(*shape: int) -> Spec:
    """True or false."""
    return Spec("B", shape, grad=False)


def C(*shape: int, grad: bool = True) -> Spec:
    """Complex numbers."""
    return Spec("C", shape, grad=grad)


def P(*shape: int) -> Spec:
    """Symmetric matrices whose eigenvalues are at least 1."""
    return Spec("T", shape, positive=True)


@dataclass
class Sample:
    """One call of an operation. `smooth=False`: it has kinks, and is not differentiated numerically."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)
    smooth: bool = True

    def __init__(self, *args: Any, smooth: bool = True, **kwargs: Any) -> None:
        self.args, self.kwargs, self.smooth = args, kwargs, smooth

    def build(self, make: Callable[[np.ndarray, bool], Any], dtype: Any = np.float64) -> tuple[list[Any], dict[str, Any]]:
        """The arguments, with `make(array, differentiable)` in place of each spec."""
        place = 0

        def walk(x: Any) -> Any:
            nonlocal place
            if isinstance(x, Spec):
                place += 1
                return make(x.array(place, dtype), x.kind in "TC" and x.grad)
            if isinstance(x, (list, tuple)):
                return type(x)(walk(y) for y in x)
            return x

        args = [walk(a) for a in self.args]
        return args, {k: walk(v) for k, v in self.kwargs.items()}

    def specs(self) -> list[Spec]:
        """All tensors among the arguments."""
        found: list[Spec] = []

        def walk(x: Any) -> None:
            if isinstance(x, Spec):
                found.append(x)
            elif isinstance(x, (list, tuple)):
                for y in x:
                    walk(y)

        walk(self.args)
        walk(list(self.kwargs.values()))
        return found

    def __repr__(self) -> str:
        def show(x: Any) -> str:
            return f"{x.kind}{list(x.shape)}" if isinstance(x, Spec) else repr(x)

        return ", ".join([*map(show, self.args), *(f"{k}={show(v)}" for k, v in self.kwargs.items())])


@dataclass
class Error:
    """A call that must raise `raises`, with a message that matches `match`."""

    sample: Sample
    raises: type[BaseException] | tuple[type[BaseException], ...]
    match: str

    def __init__(self, *args: Any, raises: type[BaseException] | tuple[type[BaseException], ...], match: str = "", **kwargs: Any) -> None:
        self.sample, self.raises, self.match = Sample(*args, **kwargs), raises, match
