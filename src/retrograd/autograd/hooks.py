"""Hooks on tensors: functions called with a gradient while a backward pass runs; and gradients kept of what is no leaf."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable
from typing import Any

from retrograd.core.tape import Handle, add_hook
from retrograd.core.tensor import LEAF, Tensor, current_node
from retrograd.ops.basis import clone

keys = itertools.count()


def register_hook(self: Tensor, hook: Callable[[Tensor], Tensor | None]) -> Handle:
    """Calls `hook(grad)` whenever a gradient of this tensor is computed; what it returns, if anything, replaces the gradient.

    Raises:
        RuntimeError: if the tensor needs no gradient.

    >>> from retrograd import ones
    >>> x = ones(2, requires_grad=True)
    >>> handle = x.register_hook(lambda g: g * 10)
    >>> x.sum().backward(); x.grad
    tensor([10., 10.])
    """
    node = current_node(self)
    if node is None:
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    if node is LEAF:
        extra = self.extra()
        extra.hooks = {} if extra.hooks is None else extra.hooks
        return added(extra.hooks, hook)
    return add_hook(node.grad_fn, "tensor", hook, self.output_nr)


def register_post_accumulate_grad_hook(self: Tensor, hook: Callable[[Tensor], None]) -> Handle:
    """Calls `hook(tensor)` after a gradient was added to this leaf's `.grad`.

    Raises:
        RuntimeError: if the tensor needs no gradient, or is no leaf.
    """
    node = current_node(self)
    if node is None:
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    if node is not LEAF:
        raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
    extra = self.extra()
    extra.post_accumulate = {} if extra.post_accumulate is None else extra.post_accumulate
    return added(extra.post_accumulate, hook)


def added(hooks: dict[int, Any], hook: Any) -> Handle:
    """Adds a hook to a table."""
    key = next(keys)
    hooks[key] = hook
    return Handle(hooks, key)


def retain_grad(self: Tensor) -> None:
    """Has backward passes keep the gradient of this tensor in `.grad`, though it is no leaf (leaves keep theirs anyhow).

    Raises:
        RuntimeError: if the tensor needs no gradient.
    """
    node = current_node(self)
    if node is None:
        raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
    if node is LEAF or self.extra().retain:
        return
    self.extra().retain = True
    owner = weakref.ref(self)  # the node must not keep its tensor alive

    def keep(g: Tensor) -> None:
        tensor = owner()
        if tensor is not None:
            before = tensor._grad
            tensor._grad = (g if g._node is not None else clone(g)) if before is None else before + g

    add_hook(node.grad_fn, "retain", keep, self.output_nr)


def retains_grad(self: Tensor) -> bool:
    """Whether `retain_grad` was called on this tensor, which is no leaf."""
    return self._extra is not None and self._extra.retain and not self.is_leaf
