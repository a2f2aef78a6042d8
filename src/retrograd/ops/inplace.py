"""Operations that write into their first operand, made from those that do not.

`inplace(op)` is op with its result stored where the operand was: the result is computed and recorded as ever, its numbers are
written over the operand's, and the operand takes the result's place on the tape. Through a view, the base takes a new place
as well (`tape.CopySlices`), and every other view of it works out its own when next asked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.core.families import check_overlap, opaque, write_out
from retrograd.core.levels import complete_observer, local, observer
from retrograd.core.tape import check_writable, rebase, written
from retrograd.core.tensor import LEAF, Box, Tensor, constant, current_node
from retrograd.errors import user_location
from retrograd.ops import basis


def store(target: Tensor, value: Tensor) -> Tensor:
    """Writes `value`, a result computed from it, over `target`, and returns `target`.

    Raises:
        RuntimeError: if PyTorch forbids the write, the shape differs, or the dtype would fall to a lower category.
    """
    if value.shape != target.shape:
        raise RuntimeError(f"output with shape {list(target.shape)} doesn't match the broadcast shape {list(value.shape)}")
    if not dtypes.can_cast(value.dtype, target.dtype):
        raise RuntimeError(
            f"result type {dtypes.scalar_name(value.dtype)} can't be cast to the desired output type {dtypes.scalar_name(target.dtype)}"
        )
    if value.dtype is not target.dtype:
        value = basis.cast(value, target.dtype)
    if isinstance(target, Box) or isinstance(value, Box):
        return store_boxed(target, value)
    check_writable(target, value._node is not None)
    if target._extra is not None and target._extra.inference and not local.inference and (local.grad and value._node is not None):
        raise RuntimeError(
            "Inplace update to inference tensor outside InferenceMode is not allowed. You can make a clone to get a normal tensor before doing inplace update."
        )
    check_overlap(target)
    watched = observer()
    if watched is not None:
        watched.wrote(target, value)
    np.copyto(target._data, value._data)
    written(target, user_location())
    if local.grad and (value._node is not None or target._node is not None or target._base is not None):
        rebase(target, value if value._node is LEAF else value._node)
    return target


def store_boxed(target: Tensor, value: Tensor) -> Tensor:
    """A write inside a transform: the box gets another value."""
    if not isinstance(target, Box):
        raise RuntimeError(
            "an in-place operation on a tensor from outside a function transform would write a value that lives inside it; use the out-of-place operation"
        )
    target.interpreter.assign(target, value)
    return target


def inplace(op: Callable[..., Any], name: str | None = None) -> Callable[..., Tensor]:
    """The in-place variant of an operation whose first operand is a tensor."""

    def variant(self: Any, *args: Any, **kwargs: Any) -> Tensor:
        if not isinstance(self, Tensor):
            raise TypeError(f"{variant.__name__}(): argument 'input' (position 1) must be Tensor, not {type(self).__name__}")
        # what a transform records of the operand must outlive the write
        value = op(basis.clone(self) if isinstance(self, Box) else self, *args, **kwargs)
        if isinstance(value, Tensor) and value._node is not None and not isinstance(self, Box):
            keep_operand(value._node, self)
        return store(self, value)

    base = name or op.__name__.removesuffix("_op")
    variant.__name__ = variant.__qualname__ = f"{base}_"
    variant.__doc__ = f"In-place `{base}`: writes the result over the tensor and returns it."
    return variant


def becomes_view(op: Callable[..., Tensor], name: str) -> Callable[..., Tensor]:
    """The in-place variant of an operation that returns a view of its first operand: no number moves."""

    def variant(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if local.grad and self._node is LEAF:
            raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")
        seen = op(self, *args, **kwargs)
        self._data, self._node = seen._data, seen._node
        if self._base is not None:
            self._base = seen._base
        written(self, user_location())
        return self

    variant.__name__ = variant.__qualname__ = f"{name}_"
    variant.__doc__ = f"In-place `{name}`: the tensor becomes that view of its memory, and is returned."
    return variant


def keep_operand(node: Any, target: Tensor) -> None:
    """Gives a node a copy of what it saved of `target`, which is about to be written over by the node's own result."""
    node = node.grad_fn if node is not LEAF else None
    if node is None or not node.facts:
        return
    kept = [fact is target._data for fact in node.facts]
    if any(kept):
        copy = target._data.copy() if complete_observer() is None else basis.clone(target.detach())._data
        node.facts = tuple([copy if k else fact for k, fact in zip(kept, node.facts, strict=True)])
        others = [v for v in node.versions if v[0] is not target._version]
        mine = [v for v in node.versions if v[0] is target._version]
        node.versions = (*others, *mine[sum(kept) :])


def copy_(self: Tensor, src: Any, non_blocking: bool = False) -> Tensor:
    """Writes `src`, broadcast and converted to this tensor's dtype, over this tensor.

    Raises:
        RuntimeError: if `src` does not broadcast to this shape.
    """
    if not isinstance(src, Tensor):
        raise TypeError(f"copy_(): argument 'other' (position 1) must be Tensor, not {type(src).__name__}")
    value = basis.cast(src, self.dtype)
    if value.shape != self.shape:
        try:
            value = basis.expand(value, tuple(self.shape))
        except RuntimeError:
            raise RuntimeError(
                f"The size of tensor a ({list(self.shape)}) must match the size of tensor b ({list(src.shape)}): copy_ broadcasts its source to the shape of its target"
            ) from None
    if isinstance(self, Box) or isinstance(value, Box) or not local.grad or current_node(self) is None:
        return store(self, basis.clone(value))
    return store(self, copy_op(self, value))


@opaque(name="copy", derivative_name="CopyBackwards")
def copy_op(input, src):
    """`src`, in the place of `input`."""
    return np.array(src, order="C")


@copy_op.vjp("input")
def _(g):
    return g * 0


@copy_op.vjp("src")
def _(g):
    return g


def fill_(self: Tensor, value: Any) -> Tensor:
    """Writes one number over all elements."""
    if isinstance(value, Tensor):
        if value.ndim:
            raise RuntimeError(f"fill_ only supports 0-dimension value tensor but got tensor with {value.ndim} dimensions.")
        return copy_(self, value)
    if isinstance(self, Box):
        return store(self, basis.add_op(basis.mul(self, 0), value))
    if local.grad and current_node(self) is not None:
        return store(self, fill_op(self, value=basis_number(value, self)))
    if observer() is not None:
        return store(self, constant(np.full(self.shape, basis_number(value, self))))
    check_writable(self, False)
    self._data[...] = basis_number(value, self)
    written(self, user_location())
    return self


@opaque(name="fill", derivative_name=lambda params: "FillBackward0" if params["value"] else "ZeroBackward0")
def fill_op(input, *, value):
    """One number in the shape of `input`."""
    return np.full(input.shape, value, input.dtype)


@fill_op.vjp("input")
def _(g):
    return g * 0


def basis_number(value: Any, like: Tensor) -> Any:
    """A number converted to the tensor's dtype as PyTorch does."""
    if isinstance(value, complex) and not like.dtype.is_complex:
        raise RuntimeError("value cannot be converted to type without overflow")
    return np.asarray(value).astype(like._data.dtype)


def zero_(self: Tensor) -> Tensor:
    """Writes zeros."""
    return fill_(self, 0)


__all__ = ["copy_", "fill_", "inplace", "store", "write_out", "zero_"]
