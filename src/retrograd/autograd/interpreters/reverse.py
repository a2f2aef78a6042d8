"""Reverse mode at a level of its own: the tape of `core/tape.py`, whose nodes hold tensors of the level below."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from retrograd.autograd.function import describe
from retrograd.autograd.interpreters.base import Transform, is_view_of
from retrograd.core.families import ViewOp, tie
from retrograd.core.levels import local
from retrograd.core.op import CONTINUOUS, Op
from retrograd.core.tape import Node, Port, Walk, check_writable, count, edge_of, fit, rebase, rules_on_tensors
from retrograd.core.tensor import LEAF, Box, Tensor, constant, current_node
from retrograd.ops.basis import expand_op
from retrograd.ops.inplace import store


class Reverse(Transform):
    """Boxes have a place on this level's tape, in `_node`, as plain tensors have on that of level 0."""

    tracks = True

    def leaf(self, value: Tensor) -> Box:
        """A box that gradients are wanted for."""
        out = self.box(value)
        if value.dtype.is_floating_point or value.dtype.is_complex:
            out._node = LEAF
        return out

    def requires_grad(self, box: Box) -> bool:
        """Whether the box has a place on the tape."""
        return current_node(box) is not None

    def edge(self, value: Any) -> Any:
        """Where the cotangent of an operand goes at this level."""
        return edge_of(value) if self.owns(value) else None

    def process(self, op: Op, args: Sequence[Any], params: dict[str, Any]) -> Any:
        """Runs the operation one level down and records it."""
        args = op.prepare(args)
        inner = [a.value if self.owns(a) else a for a in args]
        edges = None
        if local.grad and op.differentiable:
            edges = [self.edge(a) for a in args]
            if not any(e is not None for e in edges):
                edges = None
        with self.below():
            result = op.call(*inner, **params)
        ys = result if op.outputs else (result,)
        outs = [self.box(y) for y in ys]
        if edges is not None and any(continuous(y) for y in ys):
            node = self.record(op, args, inner, ys, edges, params)
            for i, out in enumerate(outs):
                if continuous(out.value):
                    out._node = Port(node, i) if op.outputs else node
        if op.outputs:
            return tuple(outs)
        if isinstance(op, ViewOp) and is_view_of(result, inner[0]) and self.owns(args[0]):
            tie(outs[0], args[0], op, params)
        return outs[0]

    def record(
        self, op: Op, args: Sequence[Any], inner: Sequence[Any], ys: Sequence[Any], edges: list[Any], params: dict[str, Any]
    ) -> Node:
        """The node of a call."""
        node = Node()
        node.plan = plan = op.plan(edges)
        node.edges, node.params = edges, params
        node.facts = plan.gather(inner, ys, params)
        node.versions = plan.versions(args, ys)
        node.like = tuple((tuple(y.shape), y.dtype.numpy) for y in ys)
        node.tensors = True
        node.hooks = node.metadata = None
        node.seq = count()
        return node

    def process_function(self, cls: Any, args: tuple[Any, ...]) -> Any:
        """Runs a custom Function one level down, and records it with a context of this level."""
        inner = self.opened(args)
        edges = [self.edge(a) for a in args]
        ctx = cls._context()
        ctx.needs_input_grad = tuple([e is not None for e in edges])
        recorded = local.grad and any(ctx.needs_input_grad)
        with self.below():
            result = cls.apply(*inner)
            cls.setup_context(ctx, tuple(inner), result)
        outs = result if isinstance(result, tuple) else (result,)
        describe(ctx, inner, outs, edges)
        ctx.tensors = True
        new = []
        for i, y in enumerate(outs):
            if not isinstance(y, Tensor):
                new.append(y)
                continue
            modified = next((a for a in args if self.owns(a) and a.value is y and any(y is d for d in ctx.dirty)), None)
            place = ctx.port(i) if recorded and continuous(y) and not any(y is d for d in ctx.non_differentiable) else None
            if modified is not None:
                check_writable(modified, recorded)
                if recorded:
                    rebase(modified, place)
            else:
                modified = self.box(y)
                modified._node = place
            new.append(modified)
        if recorded:
            ctx.keep(())
        ctx.dirty = ctx.non_differentiable = ()
        return tuple(new) if isinstance(result, tuple) else new[0]

    def detach(self, box: Box) -> Box:
        """The box without history."""
        return self.box(box.value.detach())

    def assign(self, target: Box, value: Tensor) -> None:
        """An in-place write to a box: to the value inside it, and to its place on the tape."""
        self.refuse_higher(value)
        edge = self.edge(value)
        check_writable(target, edge is not None)
        with self.below():
            store(target.value, value.value if self.owns(value) else value)
        if local.grad and (edge is not None or target._node is not None or target._base is not None):
            rebase(target, edge)

    def pull(self, outputs: Sequence[Any], seeds: Sequence[Any], inputs: Sequence[Box], *, keep: bool = False) -> list[Any]:
        """The cotangents of the leaves `inputs`, for `seeds` of `outputs`: see `pull_edges`."""
        return pull_edges([self.edge(y) for y in outputs], seeds, inputs, keep=keep)


def pull_edges(roots: Sequence[Any], seeds: Sequence[Any], inputs: Sequence[Box], *, keep: bool = False) -> list[Any]:
    """The cotangents of leaves (zeros where none came) as values of the level below, recorded there if gradients are on."""
    pairs = [(r, s) for r, s in zip(roots, seeds, strict=True) if r is not None]
    walk = Walk(as_tensors=True, keep=keep, targets=inputs)
    with rules_on_tensors(local.grad):
        walk.run([r for r, _ in pairs], [s for _, s in pairs])
        found = [walk.leaves.get(id(x), (x, None))[1] for x in inputs]
        return [zeros_like(x.value) if g is None else fit(g, x.value) for x, g in zip(inputs, found, strict=True)]


def continuous(y: Any) -> bool:
    """Whether a result can carry a gradient."""
    return y.dtype.numpy.kind in CONTINUOUS


def zeros_like(value: Tensor) -> Tensor:
    """Zeros of a value's shape and dtype, whatever is in it."""
    zero = constant(value.dtype.numpy.type(0))
    return expand_op(zero, shape=tuple(value.shape)).clone()
