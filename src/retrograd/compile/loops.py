"""Loop nests: statements over one domain, fused so that what one computes the next takes from a register.

The domain is a list of dims; `inner` are those that reductions of the nest run over. A value is "full" (one for every point of the
domain) or "row" (one for every point of the other, outer dims). A row needs what reductions found, so its full values come in
passes over the inner dims: pass s may use the rows that passes before s found.

Who is where in memory is an `Access`: a buffer, an offset, and a step in bytes along every dim of the domain. Two accesses
that are equal touch the same element at every point, and so a value written and then read by equal accesses need not go through memory.
This module knows the shapes of loops, and nothing of LLVM.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from retrograd.compile.arrays import Array, Map, Reduce, broadcast_view
from retrograd.compile.graph import Buffer, View


@dataclass(frozen=True)
class Access:
    """Where the element of each point of a domain is: `steps` in bytes along the dims. Without a buffer: the number `offset` + steps."""

    buffer: Buffer | None
    offset: int
    steps: tuple[int, ...]
    dtype: np.dtype[Any]

    def with_steps(self, steps: Sequence[int]) -> Access:
        """The same with other steps."""
        return Access(self.buffer, self.offset, tuple(steps), self.dtype)


@dataclass(frozen=True, eq=False)
class Node:
    """An operation on one element. Leaves: "const" (data: number), "scalar" (data: which), "read" and "iota" (access), "take" (access, moves)."""

    op: str
    args: tuple[Node, ...]
    dtype: np.dtype[Any]
    data: Any = None
    access: Access | None = None


@dataclass(eq=False)
class Loop:
    """A statement in terms of a domain: `target` becomes `value`, or takes its part of a reduction."""

    sizes: tuple[int, ...]
    target: Access
    value: Node
    reduce: str | None = None
    dims: frozenset[int] = frozenset()  # the reduced dims
    level: str = "full"
    step: int = 0  # the pass

    @property
    def into(self) -> Buffer:
        """The buffer that is written."""
        assert self.target.buffer is not None
        return self.target.buffer

    def accesses(self) -> Iterator[Access]:
        """Every place in memory that is read."""
        for node in nodes_of(self.value):
            if node.access is not None and node.access.buffer is not None:
                yield node.access

    def moved(self) -> set[Buffer | None]:
        """The buffers of which elements are taken at places that indices say."""
        return {node.access.buffer for node in nodes_of(self.value) if node.op == "take" and node.access is not None}

    def cost(self) -> int:
        """Operations for each element, roughly."""
        return sum(COSTS.get(n.op, 1) for n in nodes_of(self.value))

    def flops(self) -> int:
        """Arithmetic for each element; a function counts as the operations that it takes, roughly."""
        return sum(COSTS.get(n.op, 1) for n in nodes_of(self.value) if n.op not in MOVES) + (self.reduce is not None)


COSTS = {
    **dict.fromkeys(("const", "scalar"), 0), **dict.fromkeys(("exp", "log", "exp2", "log2", "sigmoid"), 12),
    **dict.fromkeys(("tanh", "expm1", "log1p", "sin", "cos", "erf", "log10"), 20), **dict.fromkeys(("div", "sqrt", "rsqrt"), 5),
    **dict.fromkeys(("pow", "tan", "asin", "acos", "atan", "sinh", "cosh", "asinh", "acosh", "atanh", "erfc", "lgamma", "atan2"), 40),
}  # fmt: skip


MOVES = frozenset(("read", "head", "take", "cast", "iota"))  # no arithmetic


def nodes_of(root: Node) -> Iterator[Node]:
    """Every node of an expression once."""
    seen: set[int] = set()
    stack = [root]
    while stack:
        node = stack.pop()
        if id(node) not in seen:
            seen.add(id(node))
            yield node
            stack.extend(node.args)


# ---------------------------------------------------------------- from statements


def loop_of(statement: Map | Reduce, settled: Any) -> Loop:
    """A statement as a loop over the dims of more than one element."""
    if isinstance(statement, Map):
        shape, target, reduced = statement.target.shape, settled(statement.target), frozenset[int]()
    else:
        shape, reduced = statement.value.shape, frozenset(statement.dims)
        target = broadcast_view(settled(statement.target), shape)
    kept = [d for d, n in enumerate(shape) if n != 1]
    value = aligned(statement.value, shape, kept, settled, {})
    access = Access(target.buffer, target.offset, tuple(target.strides[d] for d in kept), target.dtype)
    dims = frozenset(i for i, d in enumerate(kept) if d in reduced)
    kind = statement.kind if isinstance(statement, Reduce) and dims else None
    return Loop(tuple(shape[d] for d in kept), access, value, kind, dims)


def aligned(array: Array, shape: tuple[int, ...], kept: Sequence[int], settled: Any, done: dict[int, Node]) -> Node:
    """An array, broadcast to a shape, as an expression over those of its dims that are kept."""
    known = done.get(id(array))
    if known is not None:
        return known
    args = tuple(aligned(a, shape, kept, settled, done) for a in array.args)
    access, data = None, array.data
    if array.op in ("read", "take"):
        view: View = broadcast_view(settled(array.data), shape)
        access, data = Access(view.buffer, view.offset, tuple(view.strides[d] for d in kept), view.dtype), None
    elif array.op == "iota":
        first, steps = array.data
        steps = (0,) * (len(shape) - len(steps)) + tuple(0 if n == 1 else s for n, s in zip(array.shape, steps, strict=True))
        access, data = Access(None, first, tuple(steps[d] for d in kept), array.dtype), None
    node = Node(array.op, args, array.dtype, array.moves if array.op == "take" else data, access)
    done[id(array)] = node
    return node


# ---------------------------------------------------------------- other dims


def refinement(a: Sequence[int], b: Sequence[int]) -> tuple[int, ...] | None:
    """The coarsest dims of which both shapes' are products, or None."""
    result: list[int] = []
    left, right = list(a), list(b)
    while left and right:
        m, n = left[0], right[0]
        small = min(m, n)
        if m % small or n % small:
            return None
        result.append(small)
        for dims, size in ((left, m), (right, n)):
            if size == small:
                dims.pop(0)
            else:
                dims[0] = size // small
    return None if left or right else tuple(result)


def pieces(coarse: Sequence[int], fine: Sequence[int]) -> list[list[int]]:
    """Which of the finer dims each coarse one is made of."""
    result, at = [], 0
    for n in coarse:
        group = []
        while n > 1:
            group.append(at)
            n //= fine[at]
            at += 1
        result.append(group)
    return result


def map_accesses(loop: Loop, change: Any, sizes: Sequence[int], dims: frozenset[int]) -> Loop:
    """The loop over other dims: `change` gives each access its steps along them."""
    done: dict[int, Node] = {}

    def rebuilt(node: Node) -> Node:
        if id(node) not in done:
            access = None if node.access is None else node.access.with_steps(change(node.access.steps))
            done[id(node)] = Node(node.op, tuple(rebuilt(a) for a in node.args), node.dtype, node.data, access)
        return done[id(node)]

    value = rebuilt(loop.value)
    return Loop(tuple(sizes), loop.target.with_steps(change(loop.target.steps)), value, loop.reduce, dims, loop.level, loop.step)


def split(loop: Loop, fine: Sequence[int]) -> Loop:
    """The loop over finer dims."""
    if tuple(fine) == loop.sizes:
        return loop
    groups = pieces(loop.sizes, fine)

    def change(steps: Sequence[int]) -> list[int]:
        result = []
        for step, group in zip(steps, groups, strict=True):
            inner = [math.prod(fine[g + 1 : group[-1] + 1]) for g in group]
            result += [step * n for n in inner]
        return result

    return map_accesses(loop, change, fine, frozenset(g for d in loop.dims for g in groups[d]))


def merged(loops: Sequence[Loop], sizes: Sequence[int], apart: Sequence[Any]) -> tuple[list[Loop], list[int], list[list[int]]]:
    """Loops over as few dims as will do: neighbours that every access steps through evenly become one, if `apart` gives both the same value.

    Returns the loops, the sizes, and which old dims each new one is made of.
    """
    steps = [a.steps for loop in loops for a in (loop.target, *all_accesses(loop))]
    groups: list[list[int]] = []
    for d in range(len(sizes)):
        before = groups[-1] if groups else None
        if before and apart[before[-1]] == apart[d] and all(s[before[-1]] == s[d] * sizes[d] for s in steps):
            before.append(d)
        else:
            groups.append([d])
    new = [math.prod(sizes[d] for d in g) for g in groups]

    def change(old: Sequence[int]) -> list[int]:
        return [old[g[-1]] for g in groups]

    changed = [map_accesses(loop, change, new, frozenset(i for i, g in enumerate(groups) if g[-1] in loop.dims)) for loop in loops]
    return changed, new, groups


def all_accesses(loop: Loop) -> Iterator[Access]:
    """Every access of an expression, indices among them."""
    for node in nodes_of(loop.value):
        if node.access is not None:
            yield node.access


def permuted(loop: Loop, order: Sequence[int]) -> Loop:
    """The loop with its dims in another order."""
    sizes = [loop.sizes[d] for d in order]
    return map_accesses(loop, lambda steps: [steps[d] for d in order], sizes, frozenset(i for i, d in enumerate(order) if d in loop.dims))


# ---------------------------------------------------------------- nests


@dataclass(eq=False)
class Nest:
    """Loops fused over one domain."""

    sizes: tuple[int, ...]
    inner: frozenset[int] | None = None  # None: no reduction has decided it yet
    loops: list[Loop] = field(default_factory=list)
    written: dict[Buffer, list[Loop]] = field(default_factory=dict)
    read: dict[Buffer, list[tuple[Loop, Access]]] = field(default_factory=dict)
    head: Any = None  # a Product or Native whose results the loops take up as they come

    def outer(self) -> list[int]:
        """The dims that no reduction runs over."""
        return [d for d in range(len(self.sizes)) if d not in (self.inner or ())]

    def add(self, loop: Loop) -> None:
        """Takes a loop in; it must fit (see `fuse`)."""
        self.loops.append(loop)
        self.written.setdefault(loop.into, []).append(loop)
        for access in loop.accesses():
            assert access.buffer is not None
            self.read.setdefault(access.buffer, []).append((loop, access))

    def resplit(self, fine: Sequence[int]) -> None:
        """Goes over to finer dims."""
        if tuple(fine) == self.sizes:
            return
        groups = pieces(self.sizes, fine)
        self.inner = None if self.inner is None else frozenset(g for d in self.inner for g in groups[d])
        self.sizes = tuple(fine)
        self.replace([split(loop, fine) for loop in self.loops])

    def replace(self, loops: Sequence[Loop]) -> None:
        """Takes other loops."""
        self.loops, self.written, self.read = [], {}, {}
        for loop in loops:
            self.add(loop)

    def buffers(self) -> set[Buffer]:
        """All memory that is touched."""
        return set(self.written) | set(self.read)
