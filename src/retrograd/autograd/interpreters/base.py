"""What the interpreters of all transforms share: boxing, the state of the level below, and writes to views of boxes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from retrograd.core.levels import Interpreter, level, local, set_flag
from retrograd.core.tape import positions
from retrograd.core.tensor import Box, Tensor, View, constant
from retrograd.pytree import tree_flatten, tree_map


class Transform(Interpreter):
    """An interpreter whose boxes hold tensors of the level below.

    Inside, gradients are on, whatever they are outside: what a transform returns depends on the function alone. What an operation
    does to the values of the level below happens as it would outside.
    """

    tracks = False  # whether this level records, and so has a grad mode of its own
    strict_functions = True  # custom Functions must have a `setup_context`

    def __init__(self) -> None:
        self.outer: tuple[Interpreter, ...] = ()
        self.outer_grad = local.grad

    @contextmanager
    def running(self) -> Iterator[None]:
        """Gives the transform the next level, while the function to be transformed runs."""
        self.outer, self.outer_grad = local.stack, local.grad
        if self.tracks:
            set_flag("grad", True)
        try:
            with level(self):
                yield
        finally:
            if self.tracks:
                set_flag("grad", self.outer_grad)

    @contextmanager
    def below(self) -> Iterator[None]:
        """The state of the level below, for operations on what is in the boxes."""
        stack, grad = local.stack, local.grad
        change = self.tracks and grad is not self.outer_grad
        local.stack = self.outer
        if change:
            set_flag("grad", self.outer_grad)
        try:
            yield
        finally:
            local.stack = stack
            if change:
                set_flag("grad", grad)

    def owns(self, value: Any) -> bool:
        """Whether a value is a box of this interpreter."""
        return isinstance(value, Box) and value.interpreter is self

    def box(self, value: Tensor, tag: Any = None) -> Box:
        """A box around a value of the level below; their writes are counted together."""
        out = Box(self, value, tag)
        out._version = value._version
        return out

    def lift(self, value: Tensor) -> Tensor:
        """A tensor fresh from a factory as a value of this level, so that values of this level can be written to it."""
        return self.box(value)

    def shape(self, box: Box) -> Any:
        """The shape of a box."""
        return box.value.shape

    def requires_grad(self, box: Box) -> bool:
        """Whether operations on a box are recorded at its level."""
        return bool(box.value.requires_grad)

    def detach(self, box: Box) -> Box:
        """The box without history, at any level."""
        return self.box(box.value.detach())

    def concrete(self, value: Box) -> Tensor:
        """The tensor of level 0 inside a box."""
        inner = value.value
        return inner.interpreter.concrete(inner) if isinstance(inner, Box) else inner

    def opened(self, args: Sequence[Any]) -> list[Any]:
        """Arguments with this level's boxes opened, also within tuples, lists and dicts."""
        return [a.value if self.owns(a) else unboxed(self, a) if isinstance(a, (tuple, list, dict)) else a for a in args]

    def refuse_higher(self, value: Tensor) -> None:
        """Raises if a value of a higher level is to be written to a box of this one."""
        if isinstance(value, Box) and value.interpreter.level > self.level:
            raise RuntimeError(
                "an in-place operation inside a function transform would write to a tensor from outside it. This is not supported: "
                "rewrite the function to take the tensor as an argument and return the new value"
            )


def is_view_of(out: Any, source: Any) -> bool:
    """Whether two values share memory: then they share the count of writes to it."""
    return isinstance(out, Tensor) and isinstance(source, Tensor) and out._version is source._version


def places(view: View, base_shape: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Where a view lies in its base: a mask over the base, and for every element of the base its place in the (flat) view."""
    size, index = math.prod(base_shape), positions(view, base_shape)
    mask, position = np.zeros(size, bool), np.zeros(size, np.int64)
    mask[index] = True
    position[index] = np.arange(index.size)
    return constant(mask.reshape(tuple(base_shape))), constant(position)


def tensors_in(tree: Any) -> list[Tensor]:
    """The tensors among a tree's leaves."""
    return [x for x in tree_flatten(tree)[0] if isinstance(x, Tensor)]


def unboxed(interpreter: Transform, tree: Any) -> Any:
    """A tree with the boxes of `interpreter` opened."""
    return tree_map(lambda x: x.value if interpreter.owns(x) else x, tree)
