"""Batches: every operation on a whole batch at once, by its batch rule, by its family, or else example by example."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from retrograd.autograd.interpreters.base import Transform
from retrograd.autograd.interpreters.functions import batched_function
from retrograd.core.families import Elementwise, Linear, ViewOp
from retrograd.core.op import Op
from retrograd.core.tensor import Box, Tensor
from retrograd.ops.basis import expand_op, permute_op, select_op
from retrograd.ops.inplace import store
from retrograd.ops.join import stack_op

LOOPED = "looped"  # the tag of a view that was made example by example, and so is a copy


class Batch(Transform):
    """Boxes hold tensors whose first dim is the batch, which their shape leaves out."""

    def __init__(self, size: int, randomness: str = "error") -> None:
        super().__init__()
        self.size, self.randomness = size, randomness

    def shape(self, box: Box) -> Any:
        """The shape of one example."""
        return box.value.shape[1:]

    def lift(self, value: Tensor) -> Tensor:
        """The same for all examples."""
        return value

    def spread(self, value: Tensor) -> Tensor:
        """A row for each example."""
        return self.box(value)

    def concrete(self, value: Box) -> Tensor:
        """There is no one number to be looked at."""
        raise RuntimeError(
            "vmap: It looks like you're calling .item() on a Tensor, or attempting to use a Tensor in some data-dependent control flow: "
            "every example has a value of its own here, so Python cannot see one. Use where(condition, a, b) in place of `if`"
            if self.alive
            else "a tensor has left the vmap it was made in; return it from the function instead"
        )

    def process(self, op: Op, args: Sequence[Any], params: dict[str, Any]) -> Any:
        """Runs the operation on the batch."""
        if not self.alive:
            self.concrete(args[0])
        args = op.prepare(args)
        mapped = [self.owns(a) for a in args]
        values = [a.value if m else a for a, m in zip(args, mapped, strict=True)]
        with self.below():
            if not any(mapped):
                return op.call(*values, **params)
            result, tag = self.run(op, values, mapped, params)
        return tuple(self.box(y) for y in result) if op.outputs else self.box(result, tag)

    def run(self, op: Op, values: Sequence[Any], mapped: Sequence[bool], params: dict[str, Any]) -> tuple[Any, Any]:
        """The operation on values of which some have a leading batch dim; its results all have one."""
        if op.batch_rule is not None:
            return op.batch_rule(values, mapped, **{**op.defaults, **params}), None
        if isinstance(op, Elementwise):
            return op.vectorised(values, mapped, params), None
        shifted = shift_dims(op, values, params)
        if shifted is not None:
            return op.call(values[0], **shifted), None
        return self.loop(op, values, mapped, params), LOOPED if isinstance(op, ViewOp) else None

    def loop(self, op: Op, values: Sequence[Any], mapped: Sequence[bool], params: dict[str, Any]) -> Any:
        """The operation on one example after the other."""
        if not self.size:
            raise RuntimeError(f"vmap: a batch of size 0 is not supported for {op.name}")
        rows = [
            op.call(*[select_op(v, dim=0, index=i) if m else v for v, m in zip(values, mapped, strict=True)], **params)
            for i in range(self.size)
        ]
        return tuple(stack_op(*column, dim=0) for column in zip(*rows, strict=True)) if op.outputs else stack_op(*rows, dim=0)

    def process_function(self, cls: Any, args: tuple[Any, ...]) -> Any:
        """Runs a custom Function on the batch."""
        mapped = [self.owns(a) for a in args]
        with self.below():
            if not any(mapped):
                return cls.apply(*args)
            result, flags = batched_function(self, cls, self.opened(args), mapped)
        outs = result if isinstance(result, tuple) else (result,)
        new = [self.box(y) if m and isinstance(y, Tensor) else y for y, m in zip(outs, flags, strict=True)]
        return tuple(new) if isinstance(result, tuple) else new[0]

    def assign(self, target: Box, value: Tensor) -> None:
        """An in-place write to a box: to the batch inside it."""
        self.refuse_higher(value)
        if target.tag is LOOPED:
            raise RuntimeError("vmap: an in-place operation on a view that had to be copied to be batched; use the out-of-place operation")
        with self.below():
            store(target.value, value.value if self.owns(value) else expand_op(value, shape=tuple(target.value.shape)))


def shift_dims(op: Op, values: Sequence[Any], params: dict[str, Any]) -> dict[str, Any] | None:
    """The metadata of a linear operation or a reduction that names dims, one further on; None if it is not as simple as that."""
    if not isinstance(op, Linear) or len(op.operands) != 1 or len(values) != 1 or "shape" in op.metadata:
        return None
    full = {**op.defaults, **params}
    if isinstance(full.get("dim"), int) and "dims" not in full and values[0].ndim > 1 and full["dim"] >= 0:
        return {**full, "dim": full["dim"] + 1}
    if isinstance(full.get("dims"), tuple) and "dim" not in full and all(d >= 0 for d in full["dims"]) and op is not permute_op.op:
        return {**full, "dims": tuple(d + 1 for d in full["dims"])}
    return None
