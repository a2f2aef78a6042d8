"""How a nest runs: the order of its dims, which of them vectors run along, what stays in registers, and into what parts it is cut.

A `Schedule` says all that machine code depends on and no more; its `key` is the same for nests that can share code.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from retrograd.compile.fuse import is_row
from retrograd.compile.graph import Buffer
from retrograd.compile.loops import Access, Loop, Nest, Node, all_accesses, merged, nodes_of, permuted

SCRATCH = 1 << 16  # bytes that a row may keep between its passes without a buffer in memory
BLOCK = 4096  # elements of a long row that one unit takes
WORTH_SHARING = 60_000  # operations below which one core is quicker alone
CHUNK = 30_000  # operations that a chunk has at least


@dataclass(eq=False)
class Schedule:
    """A nest ready for machine code.

    outer, inner: sizes of the dims, outermost first; accesses step through `outer + inner`.
    across: vectors run along the last outer dim (neighbouring rows), not along the last inner one.
    loops: in the order in which they run.
    buffers: the pointers that the kernel takes, in order: buffers, each with where in it (in bytes) the pointer points.
    stored: those buffers that values must be written to.
    reduces: whether the inner dims are reduced; if not, long rows are cut into blocks.
    """

    outer: list[int]
    inner: list[int]
    across: bool
    loops: list[Loop]
    buffers: dict[Buffer, int]
    stored: set[Buffer]
    reduces: bool
    first_scalar: int | None  # live numbers are read from here on

    @property
    def passes(self) -> int:
        """How often a row is gone through."""
        return max((loop.step for loop in self.loops if loop.level == "full"), default=-1) + 1

    @property
    def block(self) -> int:
        """How many elements of the last inner dim a unit takes."""
        last = self.inner[-1] if self.inner else 1
        return last if self.reduces else min(last, BLOCK)

    def units(self, lanes: int) -> int:
        """How many units of work there are: rows, or blocks of rows."""
        if self.across:
            return math.prod(self.outer[:-1]) * -(-self.outer[-1] // lanes)
        last = self.inner[-1] if self.inner else 1
        return math.prod(self.outer) * -(-last // self.block)

    def operations(self) -> int:
        """Operations on elements, roughly."""
        full = math.prod(self.outer) * math.prod(self.inner)
        return sum((full if loop.level == "full" else math.prod(self.outer)) * (1 + loop.cost()) for loop in self.loops)

    def flops(self) -> int:
        """Arithmetic, roughly."""
        full = math.prod(self.outer) * math.prod(self.inner)
        return sum((full if loop.level == "full" else math.prod(self.outer)) * loop.flops() for loop in self.loops)

    def traffic(self) -> int:
        """Bytes that go from and to memory."""
        places: dict[Any, int] = {}
        for loop in self.loops:
            for access in (loop.target, *loop.accesses()):
                if access.buffer in self.buffers:
                    n = math.prod(m for m, s in zip(self.outer + self.inner, access.steps, strict=False) if s)
                    places[access] = n * access.dtype.itemsize
        return sum(places.values())

    def key(self) -> str:
        """Text that is the same for nests that can share machine code."""
        number = {b: i for i, b in enumerate(self.buffers)}
        local: dict[Buffer, int] = {}

        def at(access: Access) -> str:
            b = access.buffer
            where: Any = "i" if b is None else number[b] if b in number else f"t{local.setdefault(b, len(local))}"
            return f"{where}{access.dtype.char}{access.offset}{list(access.steps)}".replace(" ", "")

        lines = [f"nest {self.outer} {self.inner} across={self.across} reduces={self.reduces} n={len(self.buffers)}"]
        for loop in self.loops:
            store = "=" if loop.target.buffer in self.stored else "~"
            how = f"{loop.level}{loop.step}{loop.reduce or ''}{sorted(loop.dims)}"
            lines.append(f"{how} {at(loop.target)} {store} {text_of(loop.value, at)}")
        return "\n".join(lines)


def text_of(root: Node, at: Any) -> str:
    """An expression as text; what occurs twice is numbered."""
    names: dict[int, str] = {}
    parts: list[str] = []

    def visit(node: Node) -> str:
        if id(node) not in names:
            args = [visit(a) for a in node.args]
            inside = ",".join(
                [*args, *([at(node.access)] if node.access is not None else []), *([] if node.data is None else [repr(node.data)])]
            )
            names[id(node)] = f"%{len(parts)}"
            parts.append(f"{node.op}:{node.dtype.char}({inside})")
        return names[id(node)]

    visit(root)
    return ";".join(parts)


def schedule(nest: Nest, kept: set[Buffer], lanes: int) -> Schedule:
    """How to run a nest. `kept` are the buffers that are looked at outside it; those that need memory besides are added to it."""
    reduces = any(loop.reduce is not None for loop in nest.loops)
    inner = set(nest.inner or ()) if reduces else set()
    order, across = dims_in_order(nest, inner)
    loops = [permuted(loop, order) for loop in nest.loops]
    sizes = [nest.sizes[d] for d in order]
    is_inner = [d in inner for d in order]
    if not reduces:
        across = False
    loops, sizes, groups = merged(loops, sizes, is_inner)
    is_inner = [is_inner[g[-1]] for g in groups]
    if not reduces and sizes:
        is_inner = [False] * (len(sizes) - 1) + [True]
    first_inner = is_inner.index(True) if True in is_inner else len(sizes)
    in_order = sorted(loops, key=lambda loop: (loop.step, is_row(loop) and loop.level == "row"))
    outer_sizes, inner_sizes = sizes[:first_inner], sizes[first_inner:]
    memory = buffers_in_memory(in_order, kept, math.prod(inner_sizes) * (lanes if across else 1))
    written = {loop.into for loop in in_order}
    touched: dict[Buffer, None] = {}
    for loop in in_order:
        for access in all_accesses(loop):
            b = access.buffer
            if b is not None and (b in memory or b not in written):
                touched[b] = None
        if loop.into in memory:
            touched[loop.into] = None
    stored = {b for b in written if b in memory}
    in_order, offsets, first_scalar = placed(in_order)
    pointers = {b: offsets[b] for b in touched}
    return Schedule(outer_sizes, inner_sizes, across, in_order, pointers, stored, reduces, first_scalar)


def head_schedule(nest: Nest, kept: set[Buffer]) -> Schedule:
    """How the loops on the results of a matrix product or a convolution run: point by point, as the results come."""
    stored = {b for b in nest.written if b in kept}
    buffers = [b for b in dict.fromkeys([*nest.read, *nest.written]) if b in stored or b not in nest.written]
    loops, offsets, first_scalar = placed(nest.loops)
    return Schedule(list(nest.sizes), [], False, loops, {b: offsets[b] for b in buffers}, stored, False, first_scalar)


def dims_in_order(nest: Nest, inner: set[int]) -> tuple[list[int], bool]:
    """The dims, outer ones first, with that which vectors run along last of its kind; and whether that is an outer one."""
    votes = dict.fromkeys(range(len(nest.sizes)), 0.0)
    once = min(
        0.1, 1 / max(1, math.prod(nest.sizes[d] for d in inner))
    )  # how often a row's number is touched, for each touch of an element
    for loop in nest.loops:
        often = 1.0 if loop.level == "full" else once
        target = 2.0 * (once if loop.reduce is not None else often)
        for weight, access in [(target, loop.target), *[(often, a) for a in all_accesses(loop)]]:
            for d, step in enumerate(access.steps[: len(nest.sizes)]):
                if abs(step) == access.dtype.itemsize and nest.sizes[d] > 1:
                    votes[d] += weight
    for d, n in enumerate(nest.sizes):
        votes[d] += min(n, 64) / 1e4  # of equals, the longer
    outer = [d for d in range(len(nest.sizes)) if d not in inner]
    inners = [d for d in range(len(nest.sizes)) if d in inner]
    if not nest.sizes:
        return [], False
    best = max(votes, key=lambda d: (votes[d], d))
    across = bool(inner) and best not in inner
    if not inner or across:
        outer = [d for d in outer if d != best] + [best]
    else:
        inners = [d for d in inners if d != best] + [best]
    return outer + inners, across


def buffers_in_memory(loops: Sequence[Loop], kept: set[Buffer], row: int) -> set[Buffer]:
    """The buffers that must be in memory: `kept`, and what a later pass needs of an earlier one where a row is long. These join `kept`."""
    memory = {loop.into for loop in loops if loop.into in kept}
    scratch = 0
    for loop in loops:
        target = loop.into
        if target in memory or is_row(loop):
            continue
        later = any(a.buffer is target and other.step > loop.step for other in loops for a in all_accesses(other))
        if later:
            scratch += row * loop.target.dtype.itemsize
            if scratch > SCRATCH:
                scratch -= row * loop.target.dtype.itemsize
                memory.add(target)
                kept.add(target)
    return memory


def chunks(units: int, operations: int) -> int:
    """How many units a chunk has. Depends on the work alone, so that any number of threads cuts it alike."""
    if operations < WORTH_SHARING:
        return max(units, 1)
    per_unit = max(operations // max(units, 1), 1)
    return max(1, -(-CHUNK // per_unit), -(-units // 64))


def placed(loops: Sequence[Loop]) -> tuple[list[Loop], dict[Buffer, int], int | None]:
    """The loops with offsets counted from the first element that they touch of each buffer, and live numbers from the first that they use.

    So loops that do the same in other places are equal. Returns where the buffers' pointers point then, and the first live number.
    """
    first: dict[Buffer, int] = {}
    for loop in loops:
        for access in (loop.target, *all_accesses(loop)):
            if access.buffer is not None:
                first[access.buffer] = min(access.offset, first.get(access.buffer, access.offset))
    used = [n.data for loop in loops for n in nodes_of(loop.value) if n.op == "scalar"]
    start = min(used, default=0)

    def moved(access: Access | None) -> Access | None:
        if access is None or access.buffer is None:
            return access
        return Access(access.buffer, access.offset - first[access.buffer], access.steps, access.dtype)

    done: dict[int, Node] = {}

    def rebuilt(node: Node) -> Node:
        if id(node) not in done:
            data = node.data - start if node.op == "scalar" else node.data
            done[id(node)] = Node(node.op, tuple(rebuilt(a) for a in node.args), node.dtype, data, moved(node.access))
        return done[id(node)]

    changed = [Loop(x.sizes, moved(x.target), rebuilt(x.value), x.reduce, x.dims, x.level, x.step) for x in loops]  # type: ignore[arg-type]
    return changed, first, start if used else None
