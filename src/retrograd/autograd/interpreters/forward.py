"""Forward mode: every value goes with its tangent, and operations push both through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from retrograd.autograd.function import apply_eagerly, has_setup
from retrograd.autograd.interpreters.base import Transform, is_view_of, places
from retrograd.autograd.interpreters.reverse import Reverse, continuous, pull_edges, zeros_like
from retrograd.core.families import ViewOp, tie
from retrograd.core.op import Op, needs
from retrograd.core.tensor import Box, Tensor
from retrograd.ops.basis import cast, expand_op, gather_op, reshape_op, where_op
from retrograd.ops.inplace import store


class Forward(Transform):
    """Boxes are dual numbers: their tag is the tangent, None for zero."""

    def tangent(self, value: Any) -> Any:
        """The tangent of a value, or None. That of a view is taken from its base again if the memory was written to."""
        if not self.owns(value):
            return None
        view = value._base
        if view is not None and view.version != value._version[0]:
            base = self.tangent(view.base)
            with self.below():
                value.tag = None if base is None else view.replay(base)
            view.version = value._version[0]
        return value.tag

    def process(self, op: Op, args: Sequence[Any], params: dict[str, Any]) -> Any:
        """Runs the operation on the values, and its jvp rules on the tangents."""
        args = op.prepare(args)
        inner = [a.value if self.owns(a) else a for a in args]
        tangents = [self.tangent(a) for a in args]
        with self.below():
            result = op.call(*inner, **params)
            ys = result if op.outputs else (result,)
            moved: Sequence[Any] = [None] * len(ys)
            if op.differentiable and any(t is not None for t in tangents) and any(continuous(y) for y in ys):
                moved = self.push(op, inner, tangents, ys, params)
        outs = [self.box(y, t) for y, t in zip(ys, moved, strict=True)]
        if op.outputs:
            return tuple(outs)
        if isinstance(op, ViewOp) and is_view_of(result, inner[0]) and self.owns(args[0]):
            tie(outs[0], args[0], op, params)
        return outs[0]

    def push(self, op: Op, inner: Sequence[Any], tangents: Sequence[Any], ys: Sequence[Any], params: dict[str, Any]) -> list[Any]:
        """The tangents of the results."""
        known = dict(zip(op.pool_index, op.pool(inner, (ys,) if op.many else ys, params), strict=True))
        names = [op.operands[min(i, len(op.operands) - 1)] for i in range(len(tangents))]
        given = [(n, i) for i, (n, t) in enumerate(zip(names, tangents, strict=True)) if t is not None]
        if any(("jvp", n) not in op.rules for n, _ in given):
            moved = push_by_transposing(op, inner, tangents, ys, known)
        else:
            terms: list[Any] = []
            if any(n == op.variadic for n, _ in given):
                first = len(op.operands) - 1
                filled = tuple(zeros_like(v) if t is None else t for v, t in zip(inner[first:], tangents[first:], strict=True))
                terms.append(apply_rule(op, op.operands[first], filled, known))
            terms += [apply_rule(op, n, tangents[i], known) for n, i in given if n != op.variadic]
            moved = [total(column) for column in zip(*[t if op.outputs else (t,) for t in terms], strict=True)]
        return [fitted(t, y) if continuous(y) else None for t, y in zip(moved, ys, strict=True)]

    def process_function(self, cls: Any, args: tuple[Any, ...]) -> Any:
        """Runs a custom Function one level down, and its `jvp` on the tangents."""
        inner = self.opened(args)
        tangents = [self.tangent(a) for a in args]
        with self.below():
            if has_setup(cls):
                result, ctx = cls.apply(*inner), cls._context()
                ctx.needs_input_grad = tuple([t is not None for t in tangents])
                cls.setup_context(ctx, tuple(inner), result)
            else:
                result, ctx = apply_eagerly(cls, tuple(inner), {})
            outs = result if isinstance(result, tuple) else (result,)
            moved: Any = (None,) * len(outs)
            if any(t is not None for t in tangents):
                given = [
                    zeros_like(a) if t is None and ctx.materialize_grads and isinstance(a, Tensor) and continuous(a) else t
                    for a, t in zip(inner, tangents, strict=True)
                ]
                ctx.to_save = ctx.for_forward or ctx.to_save
                moved = cls.jvp(ctx, *given)
                moved = moved if isinstance(moved, tuple) else (moved,)
                if len(moved) != len(outs):
                    raise RuntimeError(f"{cls.__name__}.jvp returned {len(moved)} tangents for {len(outs)} outputs")
                moved = [self.checked(cls, t, y) for t, y in zip(moved, outs, strict=True)]
        new = [self.box(y, t) if isinstance(y, Tensor) else y for y, t in zip(outs, moved, strict=True)]
        return tuple(new) if isinstance(result, tuple) else new[0]

    @staticmethod
    def checked(cls: Any, t: Any, y: Any) -> Any:
        """A tangent that a custom Function returned. Raises RuntimeError if its shape is not its output's."""
        if t is None or not isinstance(y, Tensor) or not continuous(y):
            return None
        if t.shape != y.shape:
            raise RuntimeError(f"{cls.__name__}.jvp returned a tangent of shape {list(t.shape)} for an output of shape {list(y.shape)}")
        return t

    def detach(self, box: Box) -> Box:
        """The value without tangent."""
        return self.box(box.value.detach())

    def assign(self, target: Box, value: Tensor) -> None:
        """An in-place write to a box: to the value inside it, and to its tangent (or that of the tensor it is a view of)."""
        self.refuse_higher(value)
        moved = self.tangent(value)
        view = target._base
        with self.below():
            before = None if view is None else self.tangent(view.base)
            store(target.value, value.value if self.owns(value) else value)
            if view is None:
                target.tag = moved
            elif moved is not None or before is not None:
                view.base.tag = overlaid(view, before, moved, view.base.value, target.value)  # type: ignore[attr-defined]
                if view.base._base is not None:
                    view.base._base.version = view.base._version[0]


def apply_rule(op: Op, operand: str, t: Any, known: dict[str, Any]) -> Any:
    """One operand's share of the tangents of the results."""
    rule = op.rules["jvp", operand]
    return rule(*[t if n == "t" else known[n] for n in needs(rule)])


def total(terms: Sequence[Any]) -> Any:
    """The sum of what is not None."""
    given = [t for t in terms if t is not None]
    result = given[0] if given else None
    for t in given[1:]:
        result = result + t
    return result


def fitted(t: Any, y: Tensor) -> Any:
    """A tangent of the result's shape and dtype."""
    if t is None:
        return None
    if t.shape != y.shape:
        t = expand_op(t, shape=tuple(y.shape))
    return t if t.dtype is y.dtype else cast(t, y.dtype)


def push_by_transposing(op: Op, inner: Sequence[Any], tangents: Sequence[Any], ys: Sequence[Any], known: dict[str, Any]) -> list[Any]:
    """The tangents of the results by vjp rules alone: these are linear in the cotangent, and the transpose of that is the jvp."""
    reverse = Reverse()
    with reverse.running():
        gs = [reverse.leaf(zeros_like(y)) for y in ys]
        names = {**known, **({f"g_{n}": g for n, g in zip(op.outputs, gs, strict=True)} if op.outputs else {"g": gs[0]})}
        pulled: list[Any] = []
        seeds: list[Any] = []
        for i, operand in enumerate(op.operands):
            many = operand == op.variadic
            mine = tangents[i:] if many else tangents[i : i + 1]
            if all(t is None for t in mine):
                continue
            rule = op.vjp_rule(operand)
            result = rule(*[names[n] for n in needs(rule)])
            for u, t in zip(result if many else (result,), mine, strict=True):
                if u is not None and t is not None and reverse.edge(u) is not None:
                    pulled.append(u)
                    seeds.append(t)
        roots = [reverse.edge(u) for u in pulled]
        seeds = [fitted(t, u) for t, u in zip(seeds, pulled, strict=True)]
    return pull_edges(roots, seeds, gs)


def overlaid(view: Any, before: Any, t: Any, base: Tensor, target: Tensor) -> Tensor:
    """The tangent of a base after a view of it was given the tangent `t`."""
    before = zeros_like(base) if before is None else before
    t = zeros_like(target) if t is None else t
    mask, position = places(view, base.shape)
    flat = reshape_op(t, shape=(target.numel(),))
    if not target.numel():
        return before
    inside = reshape_op(gather_op(flat, position, dim=0), shape=tuple(base.shape))
    return where_op(mask, inside, before)
