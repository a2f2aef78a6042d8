"""What the loops of a nest do with the results of the matrix product or the convolution at its head, vector by vector, while they are in registers."""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from retrograd.compile.loops import all_accesses
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
        scope = self.scope(k, pointers, (*batch, i, j), lanes_mask)
        head, *rest = self.plan.loops
        if head.target.buffer in self.plan.stored:
            scope.store(value, head.target)
        scope.current[head.target.buffer] = value
        for each in rest:
            scope.assign(each)

    def prefetch(self, k: VectorBuilder, pointers: Sequence[ir.Value], batch: Sequence[ir.Value], i: ir.Value, j: ir.Value) -> None:
        """Asks for the memory that `emit` will touch."""
        scope = self.scope(k, pointers, (*batch, i, j), None)
        touched = [each.target for each in self.plan.loops if each.target.buffer in self.plan.stored]
        written = {access.buffer for access in touched}
        touched += [a for each in self.plan.loops for a in all_accesses(each) if a.buffer in self.plan.buffers and a.buffer not in written]
        for access in dict.fromkeys(touched):
            if scope.stride(access) == access.dtype.itemsize:
                k.prefetch(scope.base(access), access.buffer in written)

    def scope(self, k: VectorBuilder, pointers: Sequence[ir.Value], place: Sequence[ir.Value], mask: int | None) -> Scope:
        """Where the loops are at C[place]."""
        name = k.b.function.name
        if name not in self.memories:
            scalars = pointers[len(self.plan.buffers)] if self.plan.first_scalar is not None else None
            with k.b.goto_entry_block():
                self.memories[name] = Memory(k.b, dict(zip(self.plan.buffers, pointers, strict=False)), scalars, self.plan.loops)
        index: list[ir.Value | None] = [None] * sum(d is not None for d in self.dims)
        for position, d in zip(place, self.dims, strict=True):
            if d is not None:
                index[d] = position
        return Scope(k, self.memories[name], self.plan.stored, index, self.dims[-1], mask)
