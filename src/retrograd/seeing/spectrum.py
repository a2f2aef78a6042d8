"""The singular values of one operation's Jacobian, by products with it: the matrix is built only where it is small.

Jᵀv is backward's own rule for the call (`Call.pull`). Ju runs the operation once more in forward mode, on the operands that were
recorded; that both are products with one matrix is checked (vᵀ(Ju) = (Jᵀv)ᵀu).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy import ndarray

from retrograd.func.transforms import jvp
from retrograd.ops.create import from_numpy
from retrograd.seeing.flow_texts import FLOW
from retrograd.seeing.record import Call, Value
from retrograd.seeing.text import Part, Shown, Table, number

SMALL = 512  # outputs: up to so many, the whole matrix is built
CLOSE = 1e-3  # how well both products must agree, relative to their size
SETTLED = 1e-6  # relative change of a singular value that ends the iteration
MOST_ROUNDS = 200


@dataclass(eq=False)
class Spectrum(Shown):
    """Singular values, largest first."""

    values: ndarray  # float64
    result: str  # of what the Jacobian is
    operand: str  # with respect to what
    shape: tuple[int, int]  # of the Jacobian
    whole: bool  # the matrix was built; else the largest were found by products
    products: int
    example: int | None
    language: str | None = None

    def parts(self, language: str) -> list[Part]:
        say = FLOW[language]
        title = say["spectrum"].format(result=self.result, operand=self.operand, rows=self.shape[0], columns=self.shape[1])
        if self.example is not None:
            title += say["example"].format(example=self.example)
        rows: list[tuple[str, ...]] = [(str(i + 1), number(float(v))) for i, v in enumerate(self.values)]
        note = say["whole" if self.whole else "products"].format(n=self.products)
        return [Table((say["number"], say["value"]), rows, title, note, frozenset((0, 1)))]


class Jacobian:
    """Products with the Jacobian of a call's first result with respect to one operand, for vectors."""

    def __init__(self, call: Call, operand: int, example: int | None) -> None:
        values = call.operands
        if not -len(values) <= operand < len(values) or not isinstance(values[operand], Value):
            tensors = [i for i, x in enumerate(values) if isinstance(x, Value)]
            raise ValueError(
                f"operand must be the position of a tensor among the operands of {call.title}, one of {tensors}, got {operand}"
            )
        self.call, self.operand = call, operand % len(values)
        self.input, self.output = values[operand], call.results[0]
        shared = len(self.input.shape) > 1 and len(self.output.shape) > 1 and self.input.shape[0] == self.output.shape[0]
        self.example = example if shared else None
        if self.example is not None and not 0 <= self.example < self.output.shape[0]:
            raise ValueError(f"example must be one of the {self.output.shape[0]} of the batch, got {example}")
        skip = 0 if self.example is None else 1
        self.rows, self.columns = math.prod(self.output.shape[skip:]), math.prod(self.input.shape[skip:])
        self.products = 0

    def spread(self, vector: ndarray, value: Value) -> ndarray:
        """A vector as an array of a value's shape, zero for the other examples."""
        full = np.zeros(value.shape, value.dtype)
        full[... if self.example is None else self.example] = vector.reshape(value.shape if self.example is None else value.shape[1:])
        return full

    def gathered(self, full: ndarray) -> ndarray:
        """The other way round."""
        return np.asarray(full if self.example is None else full[self.example], np.float64).reshape(-1)

    def back(self, v: ndarray) -> ndarray:
        """Jᵀv, by backward's rules."""
        self.products += 1
        vs = [self.spread(v, self.output), *(np.zeros(r.shape, r.dtype) for r in self.call.results[1:])]
        full = self.call.pull(vs if len(vs) > 1 else vs[0])[self.operand]
        if full is None:
            raise ValueError(
                f"{self.input.label} needed no gradient, so {self.call.title} has no rule for it here: ask for another operand, "
                f"or set requires_grad on {self.input.label}"
            )
        if self.example is not None and np.count_nonzero(np.delete(full, self.example, axis=0)):
            raise ValueError(f"the examples of {self.call.title} depend on each other: ask for the whole batch with example=None")
        return self.gathered(full)

    def forth(self, u: ndarray) -> ndarray:
        """Ju, by forward mode."""
        args = [from_numpy(np.asarray(x.snapshot.array)) if isinstance(x, Value) else x for x in self.call.operands]

        def again(x: Any) -> Any:
            made = self.call.op.dispatch([*args[: self.operand], x, *args[self.operand + 1 :]], self.call.params)  # type: ignore[union-attr]
            return made[0] if isinstance(made, tuple) else made

        _, tangent = jvp(again, (args[self.operand],), (from_numpy(self.spread(u, self.input)),))
        return self.gathered(tangent.detach().numpy())

    def check(self) -> None:
        """Raises ValueError if the two products are not with one matrix: the operation drew random numbers, for example."""
        rng = np.random.default_rng(0)
        u, v = rng.standard_normal(self.columns), rng.standard_normal(self.rows)
        forth, back = self.forth(u), self.back(v)
        apart = abs(float(v @ forth) - float(back @ u))
        if not apart <= CLOSE * float(np.linalg.norm(v) * np.linalg.norm(forth)) + 1e-12:
            raise ValueError(
                f"{self.call.title}, run again, is not the function that it was (it may be random), and its Jacobian is too large to be built"
            )


def spectrum(call: Call, k: int, operand: int, example: int | None, language: str | None = None) -> Spectrum:
    """The `k` largest singular values of the Jacobian of a call's first result with respect to one operand.

    Raises:
        ValueError: if there is no such operand or example, if the call has no rule for it, or if its numbers were not kept.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    if call.op is None:
        raise ValueError(f"{call.title} is no operation of the library, so its Jacobian cannot be asked for")
    j = Jacobian(call, operand, example)
    if j.rows <= SMALL:
        values = np.linalg.svd(np.stack([j.back(v) for v in np.eye(j.rows)]), compute_uv=False)
    else:
        if any(isinstance(x, Value) and x.snapshot.array is None for x in call.operands):
            raise ValueError(f"the operands of {call.title} were not kept: they have more elements than `limit`")
        j.check()
        j.products = 0
        values = largest(j, k)
    return Spectrum(values[:k], call.results[0].label, j.input.label, (j.rows, j.columns), j.rows <= SMALL, j.products, j.example, language)


def largest(j: Jacobian, k: int) -> ndarray:
    """The largest singular values by Golub-Kahan-Lanczos bidiagonalization, each vector kept orthogonal to all before."""
    u = np.random.default_rng(0).standard_normal(j.columns)
    right: list[ndarray] = [u / np.linalg.norm(u)]
    left: list[ndarray] = []
    alphas: list[float] = []
    betas: list[float] = []
    found = np.zeros(0)
    for _ in range(min(j.rows, j.columns, MOST_ROUNDS)):
        p = orthogonal(j.forth(right[-1]), left)
        alphas.append(float(np.linalg.norm(p)))
        before, found = found, np.linalg.svd(np.diag(alphas) + np.diag(betas, 1), compute_uv=False)
        if alphas[-1] <= 1e-12 * found[0]:
            break
        left.append(p / alphas[-1])
        if len(before) >= 2 * k and np.all(np.abs(found[:k] - before[:k]) <= SETTLED * found[0]):
            break
        r = orthogonal(j.back(left[-1]), right)
        beta = float(np.linalg.norm(r))
        if beta <= 1e-12 * found[0] or len(alphas) == min(j.rows, j.columns, MOST_ROUNDS):
            break
        betas.append(beta)
        right.append(r / beta)
    return found


def orthogonal(vector: ndarray, others: list[ndarray]) -> ndarray:
    """What of a vector is orthogonal to others, which are so to each other; twice, for rounding's sake."""
    for _ in range(2 if others else 0):
        basis = np.stack(others)
        vector = vector - basis.T @ (basis @ vector)
    return vector
