"""What the loops of a nest do with the results of the matrix product or the convolution at its head, vector by vector, while they are in registers."""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from retrograd.compile.native.builder import VectorBuilder
from retrograd.compile.native.nests import Memory, Scope
from retrograd.compile.schedule import Schedule


class LoopEpilogue:
    """An epilogue (see gemm.Epilogue) that runs a nest's loops.

    Args:
        plan: the nest's schedule; its dims are those of the results that have more than one element.
        dims: for each of the results' dims (batch dims, i, j), which dim of the nest it is, or None.
    """

    def __init__(self, plan: Schedule, dims: Sequence[int | None]) -> None:
        self.plan, self.dims = plan, dims
        self.key = f"loops {dims}\n{plan.key()}"
        self.steps = 2.0 * sum(1 + loop.cost() for loop in plan.loops)
        self.memories: dict[str, Memory] = {}

    def emit(
        self, k: VectorBuilder, pointers: Sequence[ir.Value], value: ir.Value, batch: Sequence[ir.Value], i: ir.Value, j: ir.Value, lanes_mask: int | None
    ) -> None:  # fmt: skip
        """Takes C[batch, i, j : j + k.lanes]."""
        plan = self.plan
        name = k.b.function.name
        if name not in self.memories:
            scalars = pointers[len(plan.buffers)] if plan.first_scalar is not None else None
            with k.b.goto_entry_block():
                self.memories[name] = Memory(k.b, dict(zip(plan.buffers, pointers, strict=False)), scalars, plan.loops)
        index: list[ir.Value | None] = [None] * sum(d is not None for d in self.dims)
        for place, d in zip((*batch, i, j), self.dims, strict=True):
            if d is not None:
                index[d] = place
        scope = Scope(k, self.memories[name], plan.stored, index, self.dims[-1], lanes_mask)
        head, *rest = plan.loops
        if head.target.buffer in plan.stored:
            scope.store(value, head.target)
        scope.current[head.target.buffer] = value
        for each in rest:
            scope.assign(each)
