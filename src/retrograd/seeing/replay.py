"""The recorded calls of a step run again in float64 with a value replaced: what finite differences are made of.

Only what is on the tape between the value and the root is computed again. All else keeps its recorded numbers: what was drawn at
random, indices and masks, and what was detached, which backward takes for constant too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy import ndarray

from retrograd.autograd.function import FunctionCtx
from retrograd.core.tape import CopySlices, Port, positions, rules_on_arrays
from retrograd.core.tensor import Tensor, wrap
from retrograd.seeing.record import Call, Record, Step, Value

STEP = 1e-5  # of a difference, times the size of the numbers
HALVINGS = 6  # of the step, at most, where a kink is near


class CannotReplay(ValueError):
    """A value cannot be computed again from another; the message says why."""


@dataclass(frozen=True)
class Difference:
    """A slope by differences, how far two of them were apart, and the step."""

    slope: float
    uncertainty: float
    step: float


def double(value: Any) -> Any:
    """A recorded operand in double precision: numbers that are whole, or true or false, stay as they are.

    Raises:
        CannotReplay: if its numbers were not kept.
    """
    if not isinstance(value, Value):
        return value
    array = value.snapshot.array
    if array is None:
        raise CannotReplay(f"the numbers of {value.label}, a tensor of shape {list(value.shape)}, were not kept: see limit= of see()")
    if array.dtype.kind in "fV":
        return array.astype(np.float64)
    return array.astype(np.complex128) if array.dtype.kind == "c" else array


def forward(call: Call, operands: Sequence[Any]) -> list[ndarray]:
    """The results of a call for other operands, arrays in double precision.

    Raises:
        CannotReplay: if it is of a custom Function whose forward gives other numbers each time, or of one that was not seen running.
    """
    if isinstance(call.node, CopySlices):
        base, written = operands
        out = np.array(base)
        out.reshape(-1)[positions(call.node.view, out.shape)] = np.asarray(written).reshape(-1)
        return [out]
    op = call.op
    if op is None:
        return custom(call, operands)
    if op.name == "_to_copy":
        return [np.asarray(operands[0])]
    with rules_on_arrays():
        y = op.forward(*operands, **call.params)
    return [np.asarray(part) for part in (y if op.outputs else (y,))]


def custom(call: Call, operands: Sequence[Any]) -> list[ndarray]:
    """The results of a custom Function for other operands."""
    if not isinstance(call.node, FunctionCtx) or not call.results:
        raise CannotReplay(f"{call.title} was not seen running in this step, so it cannot be run again")

    def run(given: Sequence[Any]) -> list[ndarray]:
        tensors = [wrap(np.asarray(x)) if isinstance(o, Value) else x for o, x in zip(call.operands, given, strict=True)]
        return [np.asarray(y._data) for y in call.node.forward_again(tensors, call.params) if isinstance(y, Tensor)]  # type: ignore[union-attr]

    before = run([double(x) for x in call.operands])
    for y, result in zip(before, call.results, strict=True):
        if not np.allclose(y, double(result), 1e-2, 1e-3, equal_nan=True):
            raise CannotReplay(f"{call.title}, a function of the program's own, gives other numbers when its forward is run again")
    return run(operands)


Source = tuple[Call, int]  # a call and which of its results


def sources(step: Step) -> Callable[[Call, int], Source | None]:
    """Where an operand of a call came from, as the tape has it; None: it is a leaf, or needs no gradient."""
    by_node = {id(call.node): call for call in step.calls if call.node is not None}

    def source(call: Call, at: int) -> Source | None:
        edges = call.node.edges if call.node is not None else ()
        edge = edges[at] if at < len(edges) else None
        if edge is None or isinstance(edge, Tensor):
            return None
        found = by_node.get(id(edge.grad_fn))
        return None if found is None else (found, edge.index if isinstance(edge, Port) else 0)

    return source


class Replay:
    """What was computed between a value and a root of a step, ready to be computed again.

    Raises:
        CannotReplay: if the root was not computed from the value, as the tape has it.
    """

    def __init__(self, step: Step, value: Value, root: Value) -> None:
        self.value, self.root = value, root
        self.source = sources(step)
        self.calls = self.between()
        if not self.calls and value is not root:
            raise CannotReplay(f"{root.label} was not computed from {value.label} in this step, as far as the tape knows")

    def is_value(self, call: Call, at: int) -> bool:
        """Whether an operand is the value that is replaced."""
        found = self.source(call, at)
        if found is None:
            return call.operands[at] is self.value
        return found[0] is self.value.call and found[1] == self.value.output

    def between(self) -> list[Call]:
        """The calls that lead from the value to the root, in the order in which they can run."""
        order: list[Call] = []
        depends: dict[int, bool] = {}
        stack: list[tuple[Call, bool]] = [(self.root.call, False)] if self.root.call is not None and self.root is not self.value else []
        while stack:
            call, done = stack.pop()
            places = range(len(call.operands))
            before = [found[0] for i in places if not self.is_value(call, i) and (found := self.source(call, i)) is not None]
            if done:
                depends[id(call)] = any(depends[id(c)] for c in before) or any(self.is_value(call, i) for i in places)
                if depends[id(call)]:
                    order.append(call)
            elif id(call) not in depends:
                depends[id(call)] = False
                stack.append((call, True))
                stack += [(c, False) for c in before if id(c) not in depends]
        return order

    def __call__(self, numbers: ndarray) -> ndarray:
        """The root for other numbers of the value, in float64."""
        given = np.asarray(numbers, np.complex128 if self.value.dtype.kind == "c" else np.float64)
        if self.value is self.root:
            return given
        done: list[list[ndarray]] = []
        for call, constants, moving in self.plan:
            operands = list(constants)
            for i, found in moving:
                operands[i] = given if found is None else done[found[0]][found[1]]
            done.append(forward(call, operands))
        return done[-1][self.root.output]

    @cached_property
    def plan(self) -> list[tuple[Call, list[Any], list[tuple[int, tuple[int, int] | None]]]]:
        """Of each call its operands, and which of them are computed again: by which call before it, and which result of that, or None: the value."""
        places = {id(call): n for n, call in enumerate(self.calls)}
        plan = []
        for call in self.calls:
            constants: list[Any] = []
            moving: list[tuple[int, tuple[int, int] | None]] = []
            for i, x in enumerate(call.operands):
                found = self.source(call, i)
                again = self.is_value(call, i) or (found is not None and id(found[0]) in places)
                constants.append(None if again else double(x))
                if again:
                    moving.append((i, None if found is None or self.is_value(call, i) else (places[id(found[0])], found[1])))
            plan.append((call, constants, moving))
        return plan


def replay(record: Record, value: Value, numbers: ndarray, root: Value | None = None, step: int = -1) -> ndarray:
    """What `root` would have been, had `value` been `numbers`; in float64.

    Args:
        value: what is replaced; numbers of its shape.
        root: what is wanted, computed from `value` in the same step; None: what the step's first backward pass began at.

    Raises:
        CannotReplay: if a call on the way cannot be run again, or the numbers of an operand were not kept.

    >>> import retrograd as torch
    >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> with torch.see() as record:
    ...     y = (x * x).sum()
    ...     y.backward()
    >>> replay(record, record.find("x"), np.array([3.0, 4.0]))
    array(25.)
    """
    return Replay(record.step(step), value, root_of(record, root, step))(numbers)


def root_of(record: Record, root: Value | None, step: int) -> Value:
    """The root itself, or what the step's first backward pass began at."""
    found = record.step(step).root if root is None else root
    if found is None:
        raise CannotReplay("there was no backward pass in this step, so it has no root")
    return found


def difference(f: Callable[[float], float], size: float) -> Difference:
    """The slope of f at 0, by central differences of two steps and what follows from both; the step is halved where they disagree.

    >>> round(difference(math.sin, 1.0).slope, 9)
    1.0
    """
    step = STEP * size

    def central(h: float) -> float:
        return (f(h) - f(-h)) / (2 * h)

    best = None
    for _ in range(HALVINGS):
        wide, narrow = central(step), central(step / 2)
        found = Difference((4 * narrow - wide) / 3, abs(wide - narrow), step)
        if best is None or found.uncertainty < best.uncertainty:
            best = found
        if found.uncertainty <= 1e-7 * max(abs(narrow), 1e-6):
            break
        step /= 8
    assert best is not None
    return best


def steps_of(x: ndarray, direction: ndarray) -> float:
    """How large a step may be that moves no number by much more than its own size."""
    most, usual = float(np.abs(direction).max(initial=0)), np.abs(x[np.isfinite(x)]).mean() if np.isfinite(x).any() else 1.0
    return max(1.0, float(usual)) / most if most and math.isfinite(most) else 1.0


def finite_difference(
    record: Record, value: Value, direction: ndarray, root: Value | None = None, seed: ndarray | float = 1.0, step: int = -1
) -> Difference:
    """How `(seed * root).sum()` changes as `value` moves in a direction, by differences in float64.

    Raises:
        CannotReplay: as `replay`, and for complex numbers.
        ValueError: for a direction of another shape.

    >>> import retrograd as torch
    >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> with torch.see() as record:
    ...     (x * x).sum().backward()
    >>> round(finite_difference(record, record.find("x"), np.array([0.0, 1.0])).slope, 6)
    4.0
    """
    direction, root = np.asarray(direction, np.float64), root_of(record, root, step)
    if direction.shape != value.shape:
        raise ValueError(f"the direction has shape {list(direction.shape)}, and {value.label} {list(value.shape)}")
    if "c" in (value.dtype.kind, root.dtype.kind):
        raise CannotReplay("differences of complex numbers are not taken")
    x, again, weights = double(value), Replay(record.step(step), value, root), np.asarray(seed, np.float64)
    return difference(lambda t: float((weights * again(x + t * direction)).sum()), steps_of(x, direction))


def local_difference(call: Call, operand: int, direction: ndarray, v: Sequence[ndarray | None]) -> Difference:
    """The same for one call: how `(v * results).sum()` changes as one operand moves.

    Raises:
        CannotReplay: as `replay`.
    """
    operands = [double(x) for x in call.operands]
    x = operands[operand]
    if any(part.dtype.kind == "c" for part in (*call.results, *call.values())):
        raise CannotReplay("differences of complex numbers are not taken")

    def along(t: float) -> float:
        results = forward(call, [*operands[:operand], x + t * direction, *operands[operand + 1 :]])
        weighed = [(np.asarray(w, np.float64), y) for w, y in zip(v, results, strict=True) if w is not None]
        return sum(float((w[w != 0] * y.reshape(w.shape)[w != 0]).sum()) for w, y in weighed)

    return difference(along, steps_of(x, direction))


def entries(value: Value, count: int, seed: int = 0) -> Iterator[tuple[int, ...]]:
    """Places of some entries of a value."""
    chosen = np.random.default_rng(seed).choice(value.snapshot.size, min(count, value.snapshot.size), replace=False)
    return (tuple(int(i) for i in np.unravel_index(at, value.shape)) for at in sorted(chosen))


__all__ = ["CannotReplay", "Difference", "Replay", "entries", "finite_difference", "forward", "local_difference", "replay", "sources"]
