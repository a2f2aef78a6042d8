"""The executor that runs a program step by step, by the operations' forward functions: what every faster one is held against.

It allocates and calls as the eager program did, less the tape; it is the meaning of a program, not a quick way to run one.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from retrograd.compile.executor import perform
from retrograd.compile.graph import Buffer, Program, Result, Step, Update, View
from retrograd.core.tape import quiet
from retrograd.core.tensor import Cleared, Tensor, address, owner, real_grad, wrap


class Replay:
    """An executor in NumPy.

    Args:
        program: what it runs.
        watch: called after every step with the step and a function that gives the elements of a view.
    """

    def __init__(self, program: Program, watch: Callable[[Step, Callable[[View], ndarray]], None] | None = None) -> None:
        self.steps = program.steps
        self.external = program.external()
        known = set(self.external)
        self.constants = {b: address_of(np.ascontiguousarray(b.source)) for b in program.buffers() if b.kind == "constant"}
        self.made = [b for b in program.buffers() if b.kind == "made" and b not in known]
        self.watch = watch

    def run(self, memory: list[Any], scalars: ndarray) -> None:
        """See `Executor`."""
        places = {b: (address(a), a) for b, a in zip(self.external, memory, strict=True)}
        places.update(self.constants)
        places.update((b, address_of(np.empty(b.nbytes, np.uint8))) for b in self.made)

        def array(view: View) -> ndarray:
            return elements(places[view.buffer][0], view)

        with quiet():
            for step in self.steps:
                perform(step, array, scalars)
                if self.watch is not None:
                    self.watch(step, array)


def address_of(array: ndarray) -> tuple[int, ndarray]:
    """Where an array's first element is, with the array, which keeps it there."""
    return address(array), array


def elements(start: int, view: View) -> ndarray:
    """The elements of a view of a buffer that begins at an address. Whoever asks keeps the memory alive."""
    span = sum((n - 1) * s for n, s in zip(view.shape, view.strides, strict=True)) + view.dtype.itemsize
    if 0 in view.shape:
        return np.empty(view.shape, view.dtype)
    return np.ndarray(view.shape, view.dtype, (ctypes.c_char * span).from_address(start + view.offset), 0, view.strides)


# ---------------------------------------------------------------- one call


def replay(program: Program, arguments: Sequence[Tensor]) -> list[Any]:
    """Runs a program on the tensors among the arguments of a call. Returns the leaves of its result."""
    memory = {b: memory_of(b, arguments) for b in program.external()}
    scalars = np.zeros(program.scalar_count())
    filled: set[int] = set()
    for step in program.steps:
        if isinstance(step, Update) and step.first not in filled:
            filled.add(step.first)
            scalars[step.first : step.first + step.count] = step.optimizer.scalars(step.group, step.optimizer.state[step.parameter])
    Replay(program).run(list(memory.values()), scalars)
    for buffer, times in program.written.items():
        tensor = arguments[buffer.source] if buffer.kind == "argument" else buffer.source
        if buffer.kind == "gradient":
            tensor = real_grad(tensor)
        if isinstance(tensor, Tensor):
            tensor._version[0] += times
    for leaf, gradient in program.gradients:
        if isinstance(gradient, View):
            if gradient.buffer.kind != "gradient":
                leaf._grad = tensor_on(gradient, memory[gradient.buffer])
        else:
            leaf._grad = None if gradient is None else Cleared()
    return [returned(x, memory, arguments) if isinstance(x, Result) else x for x in program.results]


def memory_of(buffer: Buffer, arguments: Sequence[Tensor]) -> ndarray:
    """The array whose memory a buffer is in this run."""
    source = buffer.source
    match buffer.kind:
        case "argument":
            return owner(arguments[source]._data)
        case "gradient":
            grad = real_grad(source)
            if grad is None:
                raise RuntimeError("the program was recorded with a gradient in .grad, and there is none")
            return owner(grad._data)
        case "held":
            return source if isinstance(source, ndarray) else owner(source._data)
        case _:
            return np.empty(buffer.nbytes, np.uint8)


def tensor_on(view: View, root: ndarray) -> Tensor:
    """A tensor on a view's memory, which keeps that memory alive."""
    if view.buffer.kind == "made":
        return wrap(np.ndarray(view.shape, view.dtype, root, view.offset, view.strides))
    flat = np.lib.stride_tricks.as_strided(root, (root.nbytes // root.itemsize,), (root.itemsize,)).view(view.dtype)
    return wrap(np.lib.stride_tricks.as_strided(flat[view.offset // view.dtype.itemsize :], view.shape, view.strides))


def returned(result: Result, memory: dict[Buffer, ndarray], arguments: Sequence[Tensor]) -> Tensor:
    """A tensor that the call returns."""
    if result.same_as is not None:
        return result.same_as if isinstance(result.same_as, Tensor) else arguments[result.same_as]
    out = tensor_on(result.view, memory[result.view.buffer])
    out._node = result.node
    return out
