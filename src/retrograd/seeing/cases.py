"""One call, one of its operands, one of its results: what a Jacobian's structure is worked out from; and the structures of families."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import ndarray

from retrograd.core.op import Op
from retrograd.core.tape import rules_on_arrays
from retrograd.seeing.record import Call, Value
from retrograd.seeing.structures import Blocks, Entries, Jacobian


class Case:
    """One call, one of its operands, one of its results: what structures are worked out from."""

    def __init__(self, call: Call, at: int, output: int) -> None:
        self.call, self.at, self.output = call, at, output
        self.value, self.out = call.operands[at], call.results[output]
        self.shape, self.result = self.value.shape, self.out.shape
        self.m, self.n = math.prod(self.result), math.prod(self.shape)
        self.params, self.dtype = call.params, self.out.dtype

    @property
    def operand(self) -> str:
        """Its name in the operation's signature."""
        assert self.call.op is not None
        names = self.call.op.operands
        return names[min(self.at, len(names) - 1)]

    def array(self, i: int) -> ndarray:
        """The numbers of an operand. Raises ValueError if they were not kept."""
        return numbers(self.call.operands[i])

    def label(self, i: int) -> str:
        """What an operand is called, with its shape."""
        x = self.call.operands[i]
        return f"{x.label} [{'×'.join(map(str, x.shape))}]"

    def pull(self, v: ndarray, call: Call | None = None) -> ndarray:
        """Jᵀv by the operation's rule."""
        v = np.asarray(v, self.dtype).reshape(self.result)
        results = self.call.results
        with np.errstate(all="ignore"):
            given: Any = [v if i == self.output else None for i in range(len(results))] if self.several else v
            found = (call or self.call).pull(given)[self.at]
        return np.zeros(self.shape, self.dtype) if found is None else found

    @property
    def several(self) -> bool:
        """Whether the rules take a list of cotangents."""
        return len(self.call.results) > 1 or bool(self.call.op is not None and self.call.op.outputs)

    def ones(self) -> ndarray:
        """Jᵀ1, flattened: the sum of each column."""
        return self.pull(np.ones(self.result, self.dtype)).reshape(-1)

    def positions(self) -> ndarray:
        """0 .. n-1 in the operand's shape."""
        return np.arange(self.n).reshape(self.shape)

    def rows(self) -> ndarray:
        """0 .. m-1 in the result's shape."""
        return np.arange(self.m).reshape(self.result)

    def entries(self, kind: str, values: ndarray, rows: ndarray | None = None, columns: ndarray | None = None, **about: Any) -> Entries:
        """Entries at places."""
        flat = [None if x is None else np.asarray(x).reshape(-1) for x in (rows, columns)]
        return Entries((self.result, self.shape), self.pull, kind, np.asarray(values, self.dtype), flat[0], flat[1], **about)

    def picked(self, columns: ndarray, values: ndarray | None = None) -> Entries:
        """Rows that each have one entry, a 1 if no values are given."""
        columns = columns.reshape(-1)
        if values is not None:
            return self.entries("weighted selection", values, columns=columns)
        if self.m == self.n and (columns >= 0).all() and (np.bincount(columns, minlength=self.n) == 1).all():
            in_order = bool((columns == np.arange(self.n)).all())
            return self.diagonal(np.ones(self.m)) if in_order else self.entries("permutation", np.ones(self.m), columns=columns)
        return self.entries("selection", np.ones(self.m), columns=columns)

    def diagonal(self, values: ndarray) -> Entries:
        """A diagonal."""
        if self.m == 1:
            return self.entries("number", values, value=float(np.reshape(values, -1)[0]))
        return self.entries("identity" if values.size and (values == 1).all() else "diagonal", values)

    def blocks(
        self, kind: str, block: tuple[int, int, int, int], layout: Callable[[], tuple[ndarray, ndarray]],
        matrices: Callable[[], ndarray] | None = None, name: str = "", places: int | None = None,
    ) -> Blocks:  # fmt: skip
        """Matrices at places."""
        return Blocks((self.result, self.shape), self.pull, kind, self.dtype, layout, block, matrices, places, name=name)


def numbers(value: Any) -> ndarray:
    """The numbers of a value. Raises ValueError if they were not kept."""
    if not isinstance(value, Value):
        return np.asarray(value)
    if value.snapshot.array is None:
        raise ValueError(f"the numbers of {value.label}, a tensor of shape {list(value.shape)}, were not kept: see limit= of see()")
    return value.snapshot.array


# ---------------------------------------------------------------- families


def elementwise(case: Case) -> Jacobian | None:
    """A diagonal; where the operand was broadcast, times a repetition."""
    if case.shape == case.result:
        return case.diagonal(case.ones())
    call, plan = case.call, case.call.node.plan  # type: ignore[union-attr]
    assert call.facts is not None
    # a rule adds up what was repeated as the operand's shape tells it: told nothing, it leaves every factor
    facts = tuple(None if name == f"{case.operand}_shape" else fact for name, fact in zip(plan.names, call.facts, strict=True))
    values = np.asarray(case.pull(np.ones(case.result), dataclasses.replace(call, facts=facts)))
    if values.size != case.m:
        return None
    columns = np.broadcast_to(case.positions(), case.result)
    return case.entries("repeated" if values.any() else "zero", values, columns=columns, times=case.m // case.n)


def reduction(case: Case) -> Jacobian:
    """Each number goes into one result."""
    dims = case.params.get("dims") or range(len(case.shape))
    gone = {d % len(case.shape) for d in dims}
    kept = tuple(1 if d in gone else n for d, n in enumerate(case.shape))
    values = case.ones()
    constant = bool((values == values[0]).all())
    rows = np.broadcast_to(np.arange(case.m).reshape(kept), case.shape)
    return case.entries("constant sum" if constant else "sum", values, rows=rows, times=case.n // case.m, value=float(values[0]))


def view(case: Case) -> Jacobian | None:
    """Each element of the result is one of the operand's."""
    return linear(case)


def linear(case: Case) -> Jacobian | None:
    """A linear operation shows where its entries are by what it makes of the numbers 1 to n."""
    op = case.call.op
    assert op is not None

    def forward(x: ndarray) -> ndarray:
        y = run(op, [x], case.params)
        return np.asarray(y[case.output] if op.outputs else y, np.float64).reshape(-1)

    values, columns = one_each(forward, case.shape)
    if columns is not None:
        return case.picked(columns) if (values[columns >= 0] == 1).all() else case.picked(columns, values)
    if op.outputs:
        return None
    values, rows = one_each(lambda v: np.asarray(case.pull(v), np.float64).reshape(-1), case.result)
    if rows is None:
        return None
    ones = bool((values[rows >= 0] == 1).all())
    return case.entries("scattered" if ones else "sum", values, rows=rows, times=case.n // case.m or 1)


def run(op: Op, args: list[Any], params: dict[str, Any]) -> Any:
    """An operation's forward function on arrays."""
    with rules_on_arrays():
        return op.forward(*args, **params)


def one_each(f: Callable[[ndarray], ndarray], shape: tuple[int, ...]) -> tuple[ndarray, ndarray | None]:
    """Of a linear function: the sum of each row, and, if no row has more than one entry, where that is (-1: nowhere)."""
    n = math.prod(shape)
    random = np.random.default_rng(n).uniform(1, 2, n)
    sums = f(np.ones(shape))
    with np.errstate(all="ignore"):
        places = np.where(sums == 0, 0, np.rint(f(np.arange(1.0, n + 1).reshape(shape)) / sums)).astype(np.int64) - 1
    good = (places >= -1).all() and (places < n).all()
    if not good or not np.allclose(f(random.reshape(shape)), np.where(places < 0, 0, sums * random[places]), 1e-6, 0):
        return sums, None
    return sums, places
