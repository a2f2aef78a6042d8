"""A recorded program run again, step by step, by the operations' forward functions: what every faster way of running is held against.

It allocates and calls as the eager program did, less the tape; it is the meaning of a program, not a quick way to run one.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from retrograd.compile.graph import Buffer, Call, Program, Result, Update, View, Write
from retrograd.core.op import rounded
from retrograd.core.tape import quiet
from retrograd.core.tensor import Cleared, Tensor, address, owner, real_grad, wrap


class Memory:
    """Where the buffers of one run are."""

    def __init__(self, program: Program, arguments: Sequence[Tensor]) -> None:
        self.owners: dict[Buffer, ndarray] = {}
        self.bytes: dict[Buffer, Any] = {}
        for buffer in program.buffers():
            root = self.owner_of(buffer, arguments)
            if root.nbytes < buffer.nbytes:
                raise RuntimeError(
                    f"{buffer.kind} {buffer.name}: the program was recorded with {buffer.nbytes} bytes, and there are {root.nbytes}"
                )
            self.owners[buffer] = root
            self.bytes[buffer] = (ctypes.c_char * root.nbytes).from_address(address(root))

    @staticmethod
    def owner_of(buffer: Buffer, arguments: Sequence[Tensor]) -> ndarray:
        """The array that owns a buffer's memory in this run."""
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
            case "constant":
                return np.array(source)
            case _:
                return np.empty(buffer.nbytes, np.uint8)

    def array(self, view: View) -> ndarray:
        """The elements of a view."""
        return np.ndarray(view.shape, view.dtype, self.bytes[view.buffer], view.offset, view.strides)

    def tensor(self, view: View) -> Tensor:
        """A tensor on a view's memory, which keeps that memory alive."""
        root = self.owners[view.buffer]
        if view.buffer.kind == "made":
            return wrap(np.ndarray(view.shape, view.dtype, root, view.offset, view.strides))
        flat = np.lib.stride_tricks.as_strided(root, (root.nbytes // root.itemsize,), (root.itemsize,)).view(view.dtype)
        return wrap(np.lib.stride_tricks.as_strided(flat[view.offset // view.dtype.itemsize :], view.shape, view.strides))


def replay(program: Program, arguments: Sequence[Tensor]) -> list[Any]:
    """Runs a program on the tensors among the arguments of a call. Returns the leaves of its result."""
    memory = Memory(program, arguments)
    with quiet():
        for step in program.steps:
            if isinstance(step, Call):
                run_call(step, memory)
            elif isinstance(step, Write):
                np.copyto(memory.array(step.target), memory.array(step.value))
            else:
                run_update(step, memory)
    for buffer, times in program.written.items():
        tensor = arguments[buffer.source] if buffer.kind == "argument" else buffer.source
        if buffer.kind == "gradient":
            tensor = real_grad(tensor)
        if isinstance(tensor, Tensor):
            tensor._version[0] += times
    for leaf, gradient in program.gradients:
        if isinstance(gradient, View):
            if gradient.buffer.kind != "gradient":
                leaf._grad = memory.tensor(gradient)
        else:
            leaf._grad = None if gradient is None else Cleared()
    return [returned(x, memory, arguments) if isinstance(x, Result) else x for x in program.results]


def run_call(step: Call, memory: Memory) -> None:
    """One operation, by its forward function."""
    given = [memory.array(a) if isinstance(a, View) else a for a in step.operands]
    y = step.op.forward(*given, **step.params)
    for result, value in zip(step.results, y if step.op.outputs else (y,), strict=True):
        value = np.asarray(value)
        if step.op.family == "elementwise" and value.dtype == np.float32:
            value = rounded(value, given)
        np.copyto(memory.array(result), value, casting="no")


def run_update(step: Update, memory: Memory) -> None:
    """One parameter's update, by its optimizer's rule."""
    scalars = step.optimizer.scalars(step.group, step.optimizer.state[step.parameter])
    w, *buffers = (memory.array(v) for v in step.targets)
    step.optimizer.update(w, memory.array(step.gradient), buffers, scalars, step.group)


def returned(result: Result, memory: Memory, arguments: Sequence[Tensor]) -> Tensor:
    """A tensor that the call returns."""
    if result.same_as is not None:
        return result.same_as if isinstance(result.same_as, Tensor) else arguments[result.same_as]
    out = memory.tensor(result.view)
    out._node = result.node
    return out
