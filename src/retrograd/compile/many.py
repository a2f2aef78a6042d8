"""Many calls of a program at once: arguments are rows of tensors, results are written row by row, and nothing is checked in between.

That can be if every call finds what the one before left (gradients there or not), and all that changes from call to call are arguments
and live numbers, which are laid out beforehand. If the program runs in machine code from beginning to end, it is one native call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from retrograd.compile.binding import Rates
from retrograd.compile.entry import MISS, Entry
from retrograd.compile.graph import Buffer, Program, Result, View, whole
from retrograd.core.tensor import Cleared, Tensor, wrap
from retrograd.optim.lr_scheduler import LRScheduler


def can_repeat(program: Program) -> bool:
    """Whether calls of a program can follow each other without looks at what is outside."""
    results = [r for r in program.results if isinstance(r, Result)]
    if any(r.same_as is not None for r in results) or any(again is not None for _, again in program.after):
        return False
    left: dict[int, bool] = {}
    for source, value in program.gradients:
        if source.argument is not None or (isinstance(value, View) and not is_alone(value, program)):
            return False
        left[id(source.tensor)] = isinstance(value, View)
    return all(left.get(id(source.tensor), there) == there for source, there in program.entry_gradients)


def is_alone(value: View, program: Program) -> bool:
    """Whether a gradient has memory of its own: fresh and whole, or that of the gradient at the start."""
    if value.buffer.kind == "gradient":
        return True
    return whole(value) is not None and sum(v.buffer is value.buffer for v in program.given_out()) == 1


class Rows:
    """Calls of one program over the rows of tensors.

    Args:
        batches: the tensors, one for each argument of the program that is a tensor.
    """

    def __init__(self, entry: Entry, executor: Any, batches: Sequence[Tensor]) -> None:
        self.entry, self.executor, self.batches = entry, executor, batches
        self.program, self.binding = entry.program, entry.binding

    def run(self, args: tuple[Any, ...], first: int, n: int) -> list[Any] | None:
        """Runs rows `first` and after, `n` of them; None if the program does not fit the first one, whose arguments are `args`.

        Returns:
            The leaves of the results, tensors with n rows.
        """
        if not self.quiet_hooks() or not self.entry.lock.acquire(blocking=False):
            return None
        try:
            if self.entry.fits(args, {}) is MISS:
                return None
            memory, strides = self.memory(first, n)
            self.run_rows(memory, strides, n)
            return [self.rows_of(r.view, memory, n) if isinstance(r, Result) else r for r in self.program.results]
        finally:
            self.entry.forget()

    def run_rows(self, memory: dict[Buffer, ndarray], strides: list[int], n: int) -> None:
        """Makes the calls. If one raises, those before it have been made."""
        numbers = self.live_numbers(n)
        if getattr(self.executor, "is_native", bool)():
            done = self.executor.run_many(n, [*strides, 8 * self.binding.scalars.size], list(memory.values()), numbers)
            self.count_made(memory, done, n)
            return self.executor.look()
        arrays = list(memory.values())
        moving = [(at, array) for at, (array, stride) in enumerate(zip(arrays, strides, strict=True)) if stride]
        done = 0
        try:
            for done in range(n):
                for at, array in moving:
                    arrays[at] = array[done : done + 1]
                self.executor.run(arrays, numbers[done])
            done = n
        finally:
            self.count_made(memory, done, n)
        return None

    def count_made(self, memory: dict[Buffer, ndarray], done: int, n: int) -> None:
        """Keeps what the `done` calls that were made leave behind, and takes steps back that were counted but not made."""
        for rates in self.binding.rates if done < n else ():
            if rates.counting:
                for update in rates.updates:
                    rates.optimizer.state[update.parameter]["step"]._data[()] -= n - done
        if done:
            self.settle(memory, done)

    def quiet_hooks(self) -> bool:
        """Whether those who wait for an optimizer's step are schedules that count them."""
        hooks = [hook for optimizer, _ in self.program.after for hook in optimizer._step_post_hooks.values()]
        return all(isinstance(getattr(hook, "__self__", None), LRScheduler) for hook in hooks)

    def memory(self, first: int, n: int) -> tuple[dict[Buffer, ndarray], list[int]]:
        """For each buffer from outside, where it begins at the first row, and how far it moves with each row."""
        results = {r.view.buffer for r in self.program.results if isinstance(r, Result)}
        gradients = {v.buffer: v for _, v in self.program.gradients if isinstance(v, View)}
        found: dict[Buffer, ndarray] = {}
        strides = []
        for b, array in zip(self.program.external(), self.entry.memory, strict=True):
            stride = 0
            if b.kind == "argument":
                data = self.batches[b.source.argument]._data
                array, stride = data[first:], data.strides[0]
            elif b in results:
                array, stride = np.empty((n, b.nbytes), np.uint8), b.nbytes
            elif b in gradients:
                array = np.empty(gradients[b].shape, gradients[b].dtype, whole(gradients[b])) if b.kind == "made" else array
            elif b.kind == "made":
                array = np.empty(b.nbytes, np.uint8)
            found[b] = array
            strides.append(stride)
        return found, strides

    def live_numbers(self, n: int) -> ndarray:
        """The live numbers of each call. Steps are counted."""
        table = np.zeros((n, self.binding.scalars.size))
        for rates in self.binding.rates:
            self.fill(table[:, rates.first : rates.first + rates.count], rates)
        return table

    @staticmethod
    def fill(table: ndarray, rates: Rates) -> None:
        """The numbers of parameters that have the same."""
        group = rates.optimizer.param_groups[rates.index]
        states = [rates.optimizer.state[u.parameter] for u in rates.updates]
        if not rates.counting:
            table[:] = rates.optimizer.scalars(group, states[0])
            return
        for row in table:
            row[:] = rates.optimizer.scalars(group, states[0])
        for state in states[1:]:
            state["step"]._data[()] = states[0]["step"]._data

    def settle(self, memory: dict[Buffer, ndarray], n: int) -> None:
        """What the calls leave behind: versions, gradients, counted steps."""
        for source, in_gradient, times in self.program.writes:
            tensor = self.batches[source.argument] if source.argument is not None else source.find(())
            (tensor._grad if in_gradient else tensor)._version[0] += times * n
        for source, value in self.program.gradients:
            leaf = source.find(())
            if not isinstance(value, View):
                leaf._grad = None if value is None else Cleared()
            elif value.buffer.kind == "made":
                leaf._grad = wrap(memory[value.buffer])
        for optimizer, _ in self.program.after:
            for hook in optimizer._step_post_hooks.values():
                for _ in range(n):
                    hook(optimizer, (), {})

    @staticmethod
    def rows_of(view: View, memory: dict[Buffer, ndarray], n: int) -> Tensor:
        """A result of every call."""
        rows = np.ndarray((n, *view.shape), view.dtype, memory[view.buffer], view.offset, (view.buffer.nbytes, *view.strides))
        return wrap(np.array(rows, order="C"))
