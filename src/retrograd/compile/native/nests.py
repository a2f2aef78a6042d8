"""Machine code of loop nests: from a Schedule to an LLVM function, and the same for what is done with the results of a matrix product.

A `Scope` emits expressions at one point of the domain: a vector of `lanes` neighbouring points along one dim. Scopes are nested: the inner
one, within the loops over a row, takes what does not change along the row from the outer one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from llvmlite import ir

from retrograd.compile.arrays import identity
from retrograd.compile.graph import Buffer
from retrograd.compile.loops import Access, Loop, Node, all_accesses, nodes_of
from retrograd.compile.native.builder import VectorBuilder
from retrograd.compile.native.host import Host
from retrograd.compile.native.loops import counting, loop
from retrograd.compile.schedule import Schedule

I8, I64 = ir.IntType(8), ir.IntType(64)
POINTER = ir.PointerType()
TYPES: dict[str, ir.Type] = {
    "?": ir.IntType(1), "b": I8, "h": ir.IntType(16), "i": ir.IntType(32), "l": I64, "q": I64, "f": ir.FloatType(), "d": ir.DoubleType(),
}  # fmt: skip


def type_of(dtype: np.dtype[Any]) -> ir.Type:
    """The type of an element in a register."""
    return TYPES[dtype.char]


def number(dtype: np.dtype[Any], value: Any) -> ir.Constant:
    """A constant of a dtype."""
    return ir.Constant(type_of(dtype), bool(value) if dtype.char == "?" else float(value) if dtype.kind == "f" else int(value))


SPAN = 128  # terms that are added one after the other
COMBINE = {"sum": "add", "prod": "mul", "max": "max", "min": "min"}


# Note [A single lane]
# LLVM (20 at least) makes one plain store of a masked store of a single lane, and where the value was narrowed just before, it stores
# the wide one: four bytes where there is room for one. So a single lane is loaded and stored as the element that it is.


class Memory:
    """The pointers of a kernel, and the live numbers, loaded once when it begins."""

    def __init__(self, b: ir.IRBuilder, pointers: dict[Buffer, ir.Value], scalars: ir.Value | None, loops: Iterable[Loop]) -> None:
        self.pointers = pointers
        self.scalars: dict[tuple[int, str], ir.Value] = {}
        for node in [n for each in loops for n in nodes_of(each.value) if n.op == "scalar"]:
            known = (node.data, node.dtype.char)
            if known not in self.scalars:
                assert scalars is not None
                value = b.load(b.gep(scalars, [ir.Constant(I64, node.data)], source_etype=ir.DoubleType()), typ=ir.DoubleType())
                self.scalars[known] = VectorBuilder(b, 1).cast(value, np.dtype("f8"), node.dtype)


class Scope:
    """Emits expressions at one point.

    index: a value for every dim of the domain; of those that the scope is not concerned with, 0.
    along: the dim that vectors run along, None where each value is one element.
    mask: how many lanes count, None for all.
    """

    def __init__(
        self, k: VectorBuilder, memory: Memory, stored: set[Buffer], index: Sequence[ir.Value | None], along: int | None, mask: int | None, parent: Scope | None = None
    ) -> None:  # fmt: skip
        self.k, self.b, self.memory, self.stored = k, k.b, memory, stored
        self.index, self.along, self.mask, self.parent = index, along, mask, parent
        self.values: dict[int, ir.Value] = {}
        self.splats: dict[int, ir.Value] = {}
        self.bases: dict[Access, ir.Value] = {}
        self.current: dict[Buffer | None, ir.Value] = {}  # what was computed for a buffer at this point
        self.loaded: dict[Access, ir.Value] = {}
        self.scratch: dict[Buffer | None, Callable[[], ir.Value]] = {}  # loads what an earlier pass computed

    # ------------------------------------------------------------ places

    def base(self, access: Access) -> ir.Value:
        """The address (or, without a buffer, the number) at the scope's point."""
        found = self.bases.get(access)
        if found is None:
            if self.parent is not None:
                start = self.parent.base(access)
                offset = 0
            elif access.buffer is None:
                start, offset = ir.Constant(I64, access.offset), 0
            else:
                start, offset = self.memory.pointers[access.buffer], access.offset
            total: ir.Value | None = None
            for i, step in zip(self.index, access.steps, strict=True):
                if i is not None and step:
                    term = i if step == 1 else self.b.mul(i, ir.Constant(I64, step))
                    total = term if total is None else self.b.add(total, term)
            if access.buffer is None:
                found = start if total is None else self.b.add(start, total)
            else:
                if offset:
                    total = ir.Constant(I64, offset) if total is None else self.b.add(total, ir.Constant(I64, offset))
                found = start if total is None else self.b.gep(start, [total], source_etype=I8)
            self.bases[access] = found
        return found

    def stride(self, access: Access) -> int:
        """Bytes (or for a number, steps) from one lane to the next."""
        return 0 if self.along is None else access.steps[self.along]

    def valid(self) -> range:
        """The lanes that count."""
        return range(self.k.lanes if self.mask is None else self.mask)

    def side_by_side(self, access: Access) -> bool:
        """Whether the lanes that count are neighbours in memory. See Note [A single lane]."""
        return self.stride(access) == access.dtype.itemsize and self.mask != 1

    def load(self, access: Access) -> ir.Value:
        """The elements at an access."""
        kind, stride = type_of(access.dtype), self.stride(access)
        address = self.base(access)
        if self.k.lanes == 1:
            return self.k.load(address, kind)
        if stride == 0:
            return self.k.splat(VectorBuilder(self.b, 1).load(address, kind))
        if self.side_by_side(access):
            return self.k.load(address, kind, self.mask)
        return self.lanewise(kind, lambda lane: self.b.gep(address, [ir.Constant(I64, lane * stride)], source_etype=I8))

    def lanewise(self, kind: ir.Type, address: Callable[[int], ir.Value]) -> ir.Value:
        """A vector gathered from an address for each lane that counts."""
        one = VectorBuilder(self.b, 1)
        vector: ir.Value = ir.Constant(ir.VectorType(kind, self.k.lanes), [ir.Constant(kind, 0)] * self.k.lanes)
        for lane in self.valid():
            vector = self.b.insert_element(vector, one.load(address(lane), kind), ir.Constant(ir.IntType(32), lane))
        return vector

    def store(self, value: ir.Value, access: Access) -> None:
        """Writes the elements at an access."""
        address, stride = self.base(access), self.stride(access)
        if self.k.lanes == 1:
            self.k.store(value, address)
        elif self.side_by_side(access):
            self.k.store(value, address, self.mask)
        else:
            one = VectorBuilder(self.b, 1)
            for lane in self.valid():
                element = self.b.extract_element(value, ir.Constant(ir.IntType(32), lane))
                one.store(element, self.b.gep(address, [ir.Constant(I64, lane * stride)], source_etype=I8))

    # ------------------------------------------------------------ expressions

    def value(self, node: Node) -> ir.Value:
        """An expression at this point."""
        found = self.values.get(id(node))
        if found is None:
            for below in in_order(node, self.values):
                self.values[id(below)] = self.emit(below)
            found = self.values[id(node)]
        return found

    def from_outside(self, node: Node) -> ir.Value | None:
        """The value as the scope around has it, if it does not change here."""
        if self.parent is None or id(node) not in self.parent.values:
            return None
        value = self.parent.values[id(node)]
        return value if isinstance(value.type, ir.VectorType) or self.k.lanes == 1 else self.parent.splat(node, self.k)

    def splat(self, node: Node, k: VectorBuilder) -> ir.Value:
        """A value of this scope in every lane of a scope within."""
        if id(node) not in self.splats:
            self.splats[id(node)] = k.splat(self.values[id(node)])
        return self.splats[id(node)]

    def emit(self, node: Node) -> ir.Value:
        """One operation, whose arguments are there."""
        k = self.k
        if node.op == "const":
            constant = number(node.dtype, node.data)
            return constant if k.lanes == 1 else ir.Constant(ir.VectorType(constant.type, k.lanes), [constant] * k.lanes)
        outside = self.from_outside(node)
        if outside is not None:
            return outside
        match node.op:
            case "scalar":
                value = self.memory.scalars[node.data, node.dtype.char]
                return value if k.lanes == 1 else k.splat(value)
            case "read":
                assert node.access is not None
                return self.read(node.access)
            case "iota":
                assert node.access is not None
                return self.count(node.access)
            case "take":
                return self.take(node)
            case "cast":
                return k.cast(self.values[id(node.args[0])], node.args[0].dtype, node.dtype)
            case _:
                return getattr(k, node.op)(*[self.values[id(a)] for a in node.args])

    def read(self, access: Access) -> ir.Value:
        """The elements at an access: from a register, if they were computed at this point."""
        if access.buffer in self.current:
            return self.current[access.buffer]
        if access.buffer in self.scratch:
            return self.scratch[access.buffer]()
        if self.parent is not None and access.buffer in self.parent.current:
            value = self.parent.current[access.buffer]
            return value if self.k.lanes == 1 or isinstance(value.type, ir.VectorType) else self.k.splat(value)
        if access not in self.loaded:
            self.loaded[access] = self.load(access)
        return self.loaded[access]

    def count(self, access: Access) -> ir.Value:
        """The index that an access without a buffer is."""
        start, stride = self.base(access), self.stride(access)
        if self.k.lanes == 1:
            return start
        lanes = [ir.Constant(I64, lane * stride) for lane in range(self.k.lanes)]
        return self.b.add(self.k.splat(start), ir.Constant(ir.VectorType(I64, self.k.lanes), lanes))

    def take(self, node: Node) -> ir.Value:
        """Elements at places that indices say."""
        access = node.access
        assert access is not None
        k, kind, address, stride = self.k, type_of(access.dtype), self.base(access), self.stride(access)
        terms = [self.move(arg, step, size) for arg, (step, size) in zip(node.args, node.data, strict=True)]
        offset = terms[0]
        for term in terms[1:]:
            wide = k if any(isinstance(x.type, ir.VectorType) for x in (term, offset)) else VectorBuilder(self.b, 1)
            offset = wide.add(offset, term)
        if not isinstance(offset.type, ir.VectorType):  # the same move for all lanes
            moved = self.b.gep(address, [offset], source_etype=I8)
            if k.lanes == 1 or stride == access.dtype.itemsize:
                return k.load(moved, kind, self.mask)
            if stride == 0:
                return k.splat(VectorBuilder(self.b, 1).load(moved, kind))
            return self.lanewise(kind, lambda lane: self.b.gep(moved, [ir.Constant(I64, lane * stride)], source_etype=I8))

        def place(lane: int) -> ir.Value:
            at = self.b.extract_element(offset, ir.Constant(ir.IntType(32), lane))
            return self.b.gep(address, [self.b.add(at, ir.Constant(I64, lane * stride))], source_etype=I8)

        return self.lanewise(kind, place)

    def move(self, arg: Node, step: int, size: int) -> ir.Value:
        """How many bytes an index moves along a dim: one number where it is the same for all lanes."""
        outside = None if self.parent is None else self.parent.values.get(id(arg))
        index = self.values[id(arg)] if outside is None or isinstance(outside.type, ir.VectorType) else outside
        k = self.k if isinstance(index.type, ir.VectorType) else VectorBuilder(self.b, 1)
        index = k.cast(index, arg.dtype, np.dtype("i8"))
        index = k.select(k.lt(index, k.const(0, index)), k.add(index, k.const(size, index)), index)
        index = k.max(k.min(index, k.const(size - 1, index)), k.const(0, index))
        return k.mul(index, k.const(step, index))

    def assign(self, each: Loop) -> ir.Value:
        """A loop's value at this point, written where it belongs."""
        value = self.value(each.value)
        if isinstance(value.type, ir.VectorType) is False and self.k.lanes > 1:
            value = self.k.splat(value)
        if each.target.buffer in self.stored:
            self.store(value, each.target)
        self.current[each.target.buffer] = value
        self.loaded = {a: v for a, v in self.loaded.items() if a.buffer is not each.target.buffer}
        return value


def in_order(root: Node, known: dict[int, Any]) -> list[Node]:
    """The nodes of an expression that are not known, arguments first."""
    order: list[Node] = []
    seen: set[int] = set()
    stack: list[tuple[Node, bool]] = [(root, False)]
    while stack:
        node, expanded = stack.pop()
        if expanded:
            order.append(node)
        elif id(node) not in seen and id(node) not in known:
            seen.add(id(node))
            stack.append((node, True))
            stack.extend((a, False) for a in reversed(node.args))
    return order


# ---------------------------------------------------------------- nests


def lanes_for(loops: Iterable[Loop], host: Host) -> int:
    """How many elements a vector has: as many of the narrowest floating type among them as fit."""
    kinds = {n.dtype.char for each in loops for n in nodes_of(each.value)} | {each.target.dtype.char for each in loops}
    return host.lanes("float32") if "f" in kinds or "d" not in kinds else host.lanes("float64")


class NestEmitter:
    """Writes the function of a schedule."""

    def __init__(self, plan: Schedule, lanes: int) -> None:
        self.plan, self.lanes = plan, lanes
        self.dims = len(plan.outer) + len(plan.inner)
        self.full_targets = {x.target.buffer for x in plan.loops if x.level == "full" and x.reduce is None}
        self.levels: dict[int, bool] = {}

    def module(self, symbol: str) -> ir.Module:
        """The module with the function."""
        module = ir.Module()
        function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER, I64, I64]), symbol)
        table, begin, end = function.args
        self.b = b = ir.IRBuilder(function.append_basic_block("entry"))
        slots = [b.load(b.gep(table, [ir.Constant(I64, i)], source_etype=POINTER), typ=POINTER) for i in range(len(self.plan.buffers) + 1)]
        pointers = dict(zip(self.plan.buffers, slots, strict=False))
        self.memory = Memory(b, pointers, slots[-1] if self.plan.first_scalar is not None else None, self.plan.loops)
        self.make_scratch()
        with counting(b, begin, end) as unit:
            self.emit_unit(unit)
        b.ret_void()
        return module

    def make_scratch(self) -> None:
        """Room for what a pass leaves to a later one."""
        self.scratch: dict[Buffer | None, ir.Value] = {}
        row = math.prod(self.plan.inner[:-1]) * self.padded() if not self.plan.across else math.prod(self.plan.inner) * self.lanes
        for each in self.plan.loops:
            target = each.target.buffer
            local = each.level == "full" and each.reduce is None and target not in self.plan.stored
            if local and any(a.buffer is target and x.step > each.step for x in self.plan.loops for a in all_accesses(x)):
                room = self.b.alloca(I8 if each.target.dtype.char == "?" else type_of(each.target.dtype), size=row)
                room.align, room.type = 64, POINTER
                self.scratch[target] = room

    def padded(self) -> int:
        """The length of a row in scratch memory."""
        last = self.plan.inner[-1] if self.plan.inner else 1
        return -(-last // self.lanes) * self.lanes

    def emit_unit(self, unit: ir.Value) -> None:
        """One unit: where it is in the outer dims, and its row (or vector of rows)."""
        plan, b = self.plan, self.b
        if not plan.across:
            last = plan.inner[-1] if plan.inner else 1
            blocks = -(-last // plan.block) if last else 1
            if blocks > 1:
                self.block = b.urem(unit, ir.Constant(I64, blocks))
                unit = b.udiv(unit, ir.Constant(I64, blocks))
            self.blocks = blocks
            return self.emit_row(self.places(unit, plan.outer), None)
        across = plan.outer[-1]
        vectors = -(-across // self.lanes)
        at = b.urem(unit, ir.Constant(I64, vectors)) if vectors > 1 else ir.Constant(I64, 0)
        rest = b.udiv(unit, ir.Constant(I64, vectors)) if vectors > 1 else unit
        index = [*self.places(rest, plan.outer[:-1]), b.mul(at, ir.Constant(I64, self.lanes))]
        tail = across % self.lanes
        if not tail:
            self.emit_row(index, None)
        elif vectors == 1:
            self.emit_row(index, tail)
        else:
            with b.if_else(b.icmp_unsigned("==", at, ir.Constant(I64, vectors - 1))) as (then, otherwise):
                with then:
                    self.emit_row(index, tail)
                with otherwise:
                    self.emit_row(index, None)

    def places(self, flat: ir.Value, sizes: Sequence[int]) -> list[ir.Value]:
        """A flat index as one index for each dim."""
        places: list[ir.Value] = []
        for d, size in reversed(list(enumerate(sizes))):
            places.append(self.b.urem(flat, ir.Constant(I64, size)) if d else flat)
            flat = self.b.udiv(flat, ir.Constant(I64, size)) if d else flat
        return places[::-1]

    def is_full(self, node: Node) -> bool:
        """Whether a value changes along the inner dims."""
        found = self.levels.get(id(node))
        if found is None:
            for below in in_order(node, self.levels):
                access, full = below.access, any(self.levels[id(a)] for a in below.args)
                if access is not None:
                    full = full or any(access.steps[len(self.plan.outer) :]) or access.buffer in self.full_targets
                self.levels[id(below)] = full
            found = self.levels[id(node)]
        return found

    def emit_row(self, outer: Sequence[ir.Value], mask: int | None) -> None:
        """All passes over a row, and what is done for the row between them."""
        plan = self.plan
        k = VectorBuilder(self.b, self.lanes if plan.across else 1)
        index = [*outer, *[None] * len(plan.inner)]
        along = len(plan.outer) - 1 if plan.across else None
        row = Scope(k, self.memory, plan.stored, index, along, mask)
        for each in plan.loops:
            for access in [*all_accesses(each), each.target]:
                if access.buffer is None or access.buffer in self.memory.pointers:
                    row.base(access)
        for at in range(-1, plan.passes):
            if at >= 0:
                self.emit_pass([x for x in plan.loops if x.level == "full" and x.step == at], row)
            for each in plan.loops:
                if each.level == "row" and each.step == at:
                    row.assign(each)

    def emit_pass(self, loops: Sequence[Loop], row: Scope) -> None:
        """One pass over the inner dims."""
        for each in loops:
            for node in nodes_of(each.value):
                if not self.is_full(node):
                    row.value(node)
                    if row.k.lanes == 1 and self.plan.inner and node.op != "const":
                        row.splat(node, VectorBuilder(self.b, self.lanes))
        reducing = [x for x in loops if x.reduce is not None]
        k = self.wide()
        starts = [self.constant(k, x, identity(x.reduce or "", x.target.dtype)) for x in reducing]
        totals = self.over_inner(loops, reducing, row, [], starts)
        for each, total in zip(reducing, totals, strict=True):
            if not self.plan.across and self.plan.inner:
                total = getattr(k, each.reduce or "")(total)
            if each.target.buffer in self.plan.stored:
                row.store(total, each.target)
            row.current[each.target.buffer] = total

    @staticmethod
    def constant(k: VectorBuilder, each: Loop, value: Any) -> ir.Constant:
        """A number in every lane."""
        one = number(each.target.dtype, value)
        return one if k.lanes == 1 else ir.Constant(ir.VectorType(one.type, k.lanes), [one] * k.lanes)

    def over_inner(
        self, loops: Sequence[Loop], reducing: Sequence[Loop], row: Scope, index: list[ir.Value], totals: Sequence[ir.Value]
    ) -> list[ir.Value]:
        """The loops over the inner dims from the `len(index)`-th on; returns what the reductions come to."""
        inner, at = self.plan.inner, len(index)
        if at == len(inner):
            return self.body(loops, reducing, row, index, None, totals)
        if self.plan.across or at < len(inner) - 1:
            return self.one_by_one(inner[at], reducing, totals, lambda i, *t: self.over_inner(loops, reducing, row, [*index, i], t))
        n, lanes = inner[at], self.lanes
        whole = n - n % lanes
        start: Any = 0
        stop: Any = whole
        if self.blocks > 1:
            start = self.b.mul(self.block, ir.Constant(I64, self.plan.block))
            stop = self.b.add(start, ir.Constant(I64, self.plan.block))
            stop = self.b.select(self.b.icmp_signed("<", stop, ir.Constant(I64, whole)), stop, ir.Constant(I64, whole))
        elif reducing and whole >= 8 * lanes:
            start, totals = self.four_at_once(loops, reducing, row, index, whole, totals)
        totals = loop(self.b, start, stop, lanes, totals, lambda i, *t: self.body(loops, reducing, row, [*index, i], None, t))
        if n % lanes:
            last = [*index, ir.Constant(I64, whole)]
            if self.blocks > 1:
                with self.b.if_then(self.b.icmp_unsigned("==", self.block, ir.Constant(I64, self.blocks - 1))):
                    self.body(loops, reducing, row, last, n % lanes, totals)
            else:
                totals = self.body(loops, reducing, row, last, n % lanes, totals)
        return list(totals)

    def one_by_one(
        self, n: int, reducing: Sequence[Loop], totals: Sequence[ir.Value], body: Callable[..., list[ir.Value]]
    ) -> list[ir.Value]:
        """A loop over one dim; a long sum is one of shorter sums, so that rounding does not add up."""
        start = 0
        if reducing and n > 2 * SPAN:
            empty = [self.constant(self.wide(), x, identity(x.reduce or "", x.target.dtype)) for x in reducing]
            start = n - n % SPAN

            def span(i: ir.Value, *t: ir.Value) -> list[ir.Value]:
                return self.combined(reducing, t, loop(self.b, i, self.b.add(i, ir.Constant(I64, SPAN)), 1, empty, body))

            totals = loop(self.b, 0, start, SPAN, totals, span)
        return loop(self.b, start, n, 1, totals, body)

    def wide(self) -> VectorBuilder:
        """The builder of values at one point of the inner dims."""
        return VectorBuilder(self.b, self.lanes if self.plan.across or self.plan.inner else 1)

    def combined(self, reducing: Sequence[Loop], first: Sequence[ir.Value], second: Sequence[ir.Value]) -> list[ir.Value]:
        """What two parts of each reduction come to."""
        k = self.wide()
        return [getattr(k, COMBINE[x.reduce or ""])(a, b) for x, a, b in zip(reducing, first, second, strict=True)]

    def four_at_once(
        self, loops: Sequence[Loop], reducing: Sequence[Loop], row: Scope, index: list[ir.Value], whole: int, totals: Sequence[ir.Value]
    ) -> tuple[int, list[ir.Value]]:
        """Most of a row with four totals for each reduction, so that additions need not wait for one another."""
        lanes, n, k = self.lanes, len(reducing), self.wide()
        stop = whole - whole % (4 * lanes)
        empty = [self.constant(k, x, identity(x.reduce or "", x.target.dtype)) for x in reducing]

        def body(i: ir.Value, *t: ir.Value) -> list[ir.Value]:
            result: list[ir.Value] = []
            for part in range(4):
                place = self.b.add(i, ir.Constant(I64, part * lanes))
                result += self.body(loops, reducing, row, [*index, place], None, t[part * n : part * n + n])
            return result

        sums = loop(self.b, 0, stop, 4 * lanes, [*totals, *empty * 3], body)
        for half in (2, 1):
            pairs = [(sums[part * n : part * n + n], sums[(part + half) * n : (part + half) * n + n]) for part in range(half)]
            sums = [total for pair in pairs for total in self.combined(reducing, *pair)]
        return stop, sums

    def body(
        self, loops: Sequence[Loop], reducing: Sequence[Loop], row: Scope, index: Sequence[ir.Value], mask: int | None, totals: Sequence[ir.Value]
    ) -> list[ir.Value]:  # fmt: skip
        """All loops of a pass at one point of the inner dims."""
        plan = self.plan
        wide, k = plan.across or bool(plan.inner), self.wide()
        places = [*[None] * len(plan.outer), *index]
        along = row.along if plan.across else self.dims - 1 if plan.inner else None
        scope = Scope(k, self.memory, plan.stored, places, along, row.mask if plan.across else mask, row)
        for target, room in self.scratch.items():
            scope.scratch[target] = self.scratch_load(scope, room, target, index)
        result = dict(zip(map(id, reducing), totals, strict=True))
        for each in loops:
            if each.reduce is None:
                value = scope.assign(each)
                if each.target.buffer in self.scratch:
                    k.store(value, self.scratch_place(self.scratch[each.target.buffer], each, index))
                continue
            value = scope.value(each.value)
            if wide and not isinstance(value.type, ir.VectorType):
                value = k.splat(value)
            if scope.mask is not None and not plan.across:
                lanes = [ir.Constant(ir.IntType(1), lane < scope.mask) for lane in range(k.lanes)]
                counts = ir.Constant(ir.VectorType(ir.IntType(1), k.lanes), lanes)
                value = self.b.select(counts, value, self.constant(k, each, identity(each.reduce, each.target.dtype)))
            result[id(each)] = getattr(k, COMBINE[each.reduce])(result[id(each)], value)
        return [result[id(x)] for x in reducing]

    def scratch_place(self, room: ir.Value, each: Loop, index: Sequence[ir.Value]) -> ir.Value:
        """Where a point's value is in scratch memory."""
        flat: ir.Value = ir.Constant(I64, 0)
        sizes = self.plan.inner if self.plan.across else [*self.plan.inner[:-1], self.padded()]
        for i, n in zip(index, sizes, strict=True):
            flat = self.b.add(self.b.mul(flat, ir.Constant(I64, n)), i)
        if self.plan.across:
            flat = self.b.mul(flat, ir.Constant(I64, self.lanes))
        itemsize = each.target.dtype.itemsize
        return self.b.gep(room, [self.b.mul(flat, ir.Constant(I64, itemsize))], source_etype=I8)

    def scratch_load(self, scope: Scope, room: ir.Value, target: Buffer | None, index: Sequence[ir.Value]) -> Callable[[], ir.Value]:
        """Loads what an earlier pass left at this point."""
        each = next(x for x in self.plan.loops if x.target.buffer is target)
        return lambda: scope.k.load(self.scratch_place(room, each, index), type_of(each.target.dtype))
