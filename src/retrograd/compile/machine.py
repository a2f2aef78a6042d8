"""The executor that runs a program as machine code: units become stages, buffers get places in one arena, and what has no loops calls back.

A program is cut where a step runs in Python; between the cuts one native call runs everything.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy import ndarray

from retrograd.compile.arrays import Callback, Check, Convolution, Native, Product, whole
from retrograd.compile.executor import perform
from retrograd.compile.fuse import Fusion, Single, Unit, read_by, results_of, written_by
from retrograd.compile.graph import Buffer, Program, View
from retrograd.compile.loops import Nest
from retrograd.compile.lower import Lowering
from retrograd.compile.native import conv, gemm
from retrograd.compile.native.check import check_stage
from retrograd.compile.native.entry import Runner, Step
from retrograd.compile.native.epilogue import LoopEpilogue
from retrograd.compile.native.host import host
from retrograd.compile.native.limits import limits
from retrograd.compile.native.nests import NestEmitter, lanes_for
from retrograd.compile.native.objects import Stage, addresses_of
from retrograd.compile.native.pooling import Pooling, max_pool_gradient_stages, max_pool_stages
from retrograd.compile.native.scatter import Scatter, scatter_stage
from retrograd.compile.replay import elements
from retrograd.compile.report import Part
from retrograd.compile.schedule import Schedule, chunks, head_schedule, schedule
from retrograd.compile.sink import sink
from retrograd.compile.sums import join_sums
from retrograd.config import get_num_threads
from retrograd.core.tape import quiet
from retrograd.core.tensor import address

ALIGNMENT = 64
QUICK = 200_000  # operations below which the GIL is kept


@dataclass(frozen=True)
class Place:
    """An operand of a stage: a buffer, and how many bytes after its beginning. Without a buffer: the live numbers."""

    buffer: Buffer | None
    offset: int = 0


class Machine:
    """Runs one program. See `executor.Executor`."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.host = host()
        self.external = program.external()
        self.lowering = Lowering(program)
        join_sums(self.lowering, set(self.external))
        self.units = sink(Fusion(self.lowering.statements, self.lowering.settled, self.lowering.fresh).units, set(self.external))
        self.constants = {b: np.ascontiguousarray(b.source) for b in program.buffers() if b.kind == "constant"}
        self.checks: list[Check] = []
        self.flag = Buffer("constant", 8, "flag", np.zeros(1, np.int64))  # what a check that fails says
        self.constants[self.flag] = self.flag.source
        self.kept = self.shared_buffers()
        self.stages: list[list[Stage]] = [self.stages_of(unit) for unit in self.units]
        self.offsets: dict[Buffer, int] = {}
        self.arena = np.empty(self.plan_memory() + ALIGNMENT, np.uint8)
        self.start = -(-address(self.arena) // ALIGNMENT) * ALIGNMENT
        self.scalars = np.zeros(0)
        self.stop = elements(self.address_of(self.flag), whole(self.flag, (1,), np.dtype(np.int64)))
        self.segments = self.make_segments()

    # ------------------------------------------------------------ memory

    def shared_buffers(self) -> set[Buffer]:
        """The buffers that more than one unit touches, or that outlive the program, or that Python looks at."""
        users: dict[Buffer, set[int]] = {}
        for at, unit in enumerate(self.units):
            for b in written_by(unit) | read_by(unit):
                users.setdefault(b, set()).add(at)
                if isinstance(unit, Single) or (unit.head is not None and b in (unit.head.a.buffer, unit.head.b.buffer)):
                    users[b].add(-1)
        return {b for b, at in users.items() if len(at) > 1 or b.kind != "made"} | set(self.external)

    def plan_memory(self) -> int:
        """Gives each buffer that only the program knows a place in the arena, where none that lives at the same time is. Returns the size."""
        first: dict[Buffer, int] = {}
        last: dict[Buffer, int] = {}
        for at, unit in enumerate(self.units):
            for b in written_by(unit) | read_by(unit) | {p.buffer for s in self.stages[at] for p in s.operands if p.buffer is not None}:
                if b in self.kept and b.kind == "made" and b not in self.external:
                    first.setdefault(b, at)
                    last[b] = at
        placed: list[tuple[int, int, Buffer]] = []
        for b in sorted(first, key=lambda b: -b.nbytes):
            size = -(-max(b.nbytes, 1) // ALIGNMENT) * ALIGNMENT
            offset = 0
            for start, end in sorted((s, e) for s, e, other in placed if first[other] <= last[b] and first[b] <= last[other]):
                if offset + size <= start:
                    break
                offset = max(offset, end)
            self.offsets[b] = offset
            placed.append((offset, offset + size, b))
        return max((end for _, end, _ in placed), default=0)

    # ------------------------------------------------------------ stages

    def stages_of(self, unit: Unit) -> list[Stage]:
        """The kernels of a unit; none for one that runs in Python."""
        if isinstance(unit, Single):
            if isinstance(unit.statement, Check):
                return [self.check_stage(unit.statement)]
            return self.native_stages(unit.statement) if isinstance(unit.statement, Native) else []
        if unit.head is not None:
            return self.head_stages(unit, unit.head)
        lanes = lanes_for(unit.loops, self.host)
        plan = schedule(unit, self.kept, lanes)
        operations = plan.operations() // 8 + plan.traffic() // 64  # of vectors, and moves of cache lines
        units = plan.units(lanes)
        operands = self.places(plan)
        key = f"{self.host.cpu} {lanes}\n{plan.key()}"
        grain = chunks(units, operations)
        return [
            Stage(
                key,
                "nest",
                lambda: NestEmitter(plan, lanes).module("nest"),
                operands,
                units,
                grain,
                plan.flops(),
                plan.traffic(),
                label_of(plan),
            )
        ]

    def check_stage(self, check: Check) -> Stage:
        """A look at indices."""
        self.checks.append(check)
        places = [Place(v.buffer, v.offset) for v in (check.least, check.most)]
        return check_stage(check.low, check.high, len(self.checks), [*places, Place(self.flag)])

    def native_stages(self, native: Native) -> list[Stage]:
        """The kernels of a kind of their own."""
        places = [Place(v.buffer, v.offset) for v in (*native.targets, *native.operands)]
        if native.kind == "scatter_sum":
            return [scatter_stage(scatter_of(native), self.host, places)]
        if native.kind == "max_pool":
            values, indices, x = places
            stages = max_pool_stages(pooling_of(native, native.operands[0]), self.host, x, values, indices, "max pooling")
        else:
            target, grad, indices = places
            stages = max_pool_gradient_stages(pooling_of(native, None), self.host, grad, indices, target, "max pooling, gradient")
        assert stages is not None
        return stages

    @staticmethod
    def places(plan: Schedule) -> tuple[Place, ...]:
        """What a nest's pointers point to: its buffers, and its live numbers."""
        return (*[Place(b, offset) for b, offset in plan.buffers.items()], Place(None, 8 * (plan.first_scalar or 0)))

    def head_stages(self, unit: Nest, head: Product | Convolution) -> list[Stage]:
        """The kernels of a matrix product or a convolution with what is done with its results."""
        plan = head_schedule(unit, self.kept)
        shape = results_of(head).shape
        kept = [d for d, n in enumerate(shape) if n != 1]
        batch = len(shape) - 2
        told = [d for d in range(len(shape)) if d >= batch or isinstance(head, Convolution) or shape[d] != 1]
        epilogue = LoopEpilogue(plan, [kept.index(d) if d in kept else None for d in told])
        operands = self.places(plan)
        a, b = Place(head.a.buffer, head.a.offset), Place(head.b.buffer, head.b.offset)
        then = f" and {label_of(plan)}" if len(plan.loops) > 1 else ""
        if isinstance(head, Product):
            label = f"product {'x'.join(map(str, shape))} over {head.a.shape[-1]}{then}"
            return [gemm.stage(product_of(head), self.host, a, b, epilogue, operands, label)]
        make = {"forward": conv.forward_stages, "input": conv.input_gradient_stages, "weight": conv.weight_gradient_stages}[head.kind]
        label = f"convolution ({head.kind}) {'x'.join(map(str, head.target.shape))}{then}"
        stages = make(convolution_of(head), self.host, a, b, epilogue, operands, label, self.workspace)
        assert stages is not None
        return stages

    def workspace(self, nbytes: int) -> Place:
        """Memory that the stages of one unit share."""
        buffer = self.lowering.fresh(nbytes)
        self.kept.add(buffer)
        return Place(buffer)

    # ------------------------------------------------------------ running

    def make_segments(self) -> list[Any]:
        """What runs in turn: native calls, and steps in Python."""
        segments: list[Any] = []
        native: list[Stage] = []

        def close() -> None:
            if native:
                segments.append(self.runner(list(native)))
                native.clear()

        for unit, stages in zip(self.units, self.stages, strict=True):
            native.extend(stages)
            if isinstance(unit, Single) and isinstance(unit.statement, Callback):
                close()
                segments.append(unit.statement.step)
        close()
        return segments

    def look(self) -> None:
        """Raises if a check has failed."""
        if number := int(self.stop[0]):
            self.stop[0] = 0
            check = self.checks[number - 1]
            least, most = (int(elements(self.address_of(v.buffer), whole(v.buffer, (1,), v.dtype))[0]) for v in (check.least, check.most))
            check.raise_for(least, most)

    def runner(self, stages: Sequence[Stage]) -> Runner:
        """Stages as one native call over the external buffers and the live numbers."""
        number = {b: i for i, b in enumerate(self.external)}
        patches: list[list[tuple[int, int]]] = [[] for _ in range(len(self.external) + 1)]
        steps = []
        for stage, kernel in zip(stages, addresses_of(stages), strict=True):
            table = np.zeros(len(stage.operands), np.uint64)
            for i, place in enumerate(stage.operands):
                slot = table.ctypes.data + 8 * i
                if place.buffer is None or place.buffer in number:
                    at = len(self.external) if place.buffer is None else number[place.buffer]
                    patches[at].append((slot, place.offset))
                else:
                    table[i] = self.address_of(place.buffer) + place.offset
            steps.append(Step(kernel, table, stage.extent, max(stage.grain, 1), stage.extent <= stage.grain))
        return Runner(steps, patches, sum(s.flops for s in stages) > QUICK, self.address_of(self.flag) if self.checks else 0)

    def address_of(self, buffer: Buffer) -> int:
        """Where a buffer of the program's own is."""
        return address(self.constants[buffer]) if buffer in self.constants else self.start + self.offsets.get(buffer, 0)

    def run(self, memory: list[Any], scalars: ndarray) -> None:
        """See `Executor`."""
        for segment in self.segments:
            if isinstance(segment, Runner):
                segment.call(*memory, scalars)
                if self.checks:
                    self.look()
            else:
                self.run_step(segment, memory, scalars)

    def is_native(self) -> bool:
        """Whether the program runs in machine code from beginning to end."""
        return len(self.segments) == 1 and isinstance(self.segments[0], Runner)

    def run_many(self, n: int, strides: Sequence[int], memory: list[Any], scalars: ndarray) -> int:
        """Runs a native program `n` times; before each but the first, array i (the live numbers last) moves on by `strides[i]` bytes.

        Returns how many times it ran to its end. Where a check failed these are fewer than `n`, and `look` raises.
        """
        ended: int = self.segments[0].run_many(n, strides, *memory, scalars)
        return ended

    def run_step(self, step: Any, memory: list[Any], scalars: ndarray) -> None:
        """Runs a step in Python."""
        with quiet():
            perform(step, self.arrays(memory), scalars)

    # ------------------------------------------------------------ for people

    def parts(self) -> list[Part]:
        """What runs in turn: kernels, and steps in Python."""
        found = []
        for unit, stages in zip(self.units, self.stages, strict=True):
            found += [part_of(stage, dtype_of(unit)) for stage in stages]
            if isinstance(unit, Single) and isinstance(unit.statement, Callback):
                found.append(Part(str(unit.statement.step)))
        return found

    def timed(self, memory: list[Any], scalars: ndarray) -> list[float]:
        """Runs the program once; returns the seconds of each of `parts()`."""
        times: list[float] = []
        for segment in self.segments:
            start = time.perf_counter()
            if isinstance(segment, Runner):
                times.extend(segment.timed(*memory, scalars))
                self.look()
            else:
                self.run_step(segment, memory, scalars)
                times.append(time.perf_counter() - start)
        return times

    def machine(self) -> str:
        """The processor in words."""
        return f"{self.host.cpu}, {min(get_num_threads(), self.host.cores)} threads"

    def arrays(self, memory: list[Any]) -> Callable[[View], ndarray]:
        """Finds the elements of views in this run."""
        places = {b: address(a) for b, a in zip(self.external, memory, strict=True)}

        def array(view: View) -> ndarray:
            settled = self.lowering.settled(view)
            start = places.get(settled.buffer)
            return elements(self.address_of(settled.buffer) if start is None else start, settled)

        return array


def dtype_of(unit: Unit) -> np.dtype[Any]:
    """What a unit computes with."""
    if isinstance(unit, Single):
        return unit.writes[0].dtype if unit.writes else np.dtype(np.float32)
    return results_of(unit.head).dtype if unit.head is not None else unit.loops[0].target.dtype


def part_of(stage: Stage, dtype: np.dtype[Any]) -> Part:
    """A kernel, and how quick it could be at most: at the peak of arithmetic, or of the memory that its numbers fit into."""
    most, cores = limits(), 1 if stage.extent <= stage.grain else min(get_num_threads(), host().cores)
    arithmetic = stage.flops / (cores * (most.float64 if dtype.itemsize == 8 else most.float32))
    near = most.l2 if stage.bytes <= cores * host().l2 else most.l3
    rate = cores * near if stage.bytes <= host().l3 else (most.memory if cores == 1 else most.memory_all)
    memory = stage.bytes / rate
    bound = "arithmetic" if arithmetic > memory else "memory"
    return Part(
        stage.label, stage.flops, stage.bytes, max(arithmetic, memory), bound, stage.key.partition("\n")[2], lambda: str(stage.build())
    )


def in_elements(view: View) -> tuple[int, ...]:
    """A view's strides in elements."""
    return tuple(s // view.dtype.itemsize for s in view.strides)


def product_of(head: Product) -> gemm.Product:
    """A matrix product as its kernel is told of it; batch dims of one element are left out."""
    *batch, m, n = head.target.shape
    dims = [d for d, size in enumerate(batch) if size != 1]
    a, b = in_elements(head.a), in_elements(head.b)
    sizes, a_batch, b_batch = (tuple(x[d] for d in dims) for x in (batch, a, b))
    return gemm.Product(head.target.dtype, m, n, head.a.shape[-1], a[-2:], b[-2:], sizes, a_batch, b_batch)  # type: ignore[arg-type]


def convolution_of(head: Convolution) -> conv.Convolution:
    """A convolution as its kernels are told of it."""
    of = {"forward": (head.a, head.b, head.target), "input": (head.target, head.b, head.a), "weight": (head.b, head.target, head.a)}
    x, weight, y = of[head.kind]
    n, c, h, w = x.shape
    (o, _, kh, kw), (oh, ow) = weight.shape, y.shape[2:]
    strides: Any = [in_elements(v) for v in (x, weight, y)]
    return conv.Convolution(
        head.target.dtype, n, c, h, w, o, kh, kw, head.stride, head.padding, head.dilation, head.groups, strides[0], strides[1], strides[2], (oh, ow)
    )  # fmt: skip


def scatter_of(native: Native) -> Scatter:
    """A sum at indices as its kernel is told of it."""
    (target,), (value, index), dim = native.targets, native.operands, native.spec["dim"]
    return Scatter(
        target.dtype, value.shape, value.strides, index.strides, steps_of(target, dim), target.strides[dim], target.shape[dim]
    )  # fmt: skip


def pooling_of(native: Native, input: View | None) -> Pooling:
    """A max pooling as its kernels are told of it; without an input, its gradient."""
    spec = native.spec
    n, c, h, w = spec["shape"]
    strides = (c * h * w, h * w, w, 1) if input is None else in_elements(input)
    window = {name: spec[name] for name in ("counts", "kernel", "stride", "padding", "dilation")}
    return Pooling(native.targets[0].dtype, n, c, h, w, **window, input_strides=strides)  # type: ignore[arg-type]


def steps_of(target: View, dim: int) -> tuple[int, ...]:
    """A target's strides, 0 along the dim that an index moves along."""
    return tuple(0 if d == dim else s for d, s in enumerate(target.strides))


def label_of(plan: Schedule) -> str:
    """What a nest computes, for people."""
    names = [loop.reduce or loop.value.op for loop in plan.loops]
    names = [n for n in dict.fromkeys(names) if n not in ("read", "head")]
    sizes = "x".join(map(str, plan.outer + plan.inner)) or "1"
    return f"{' '.join(names[:6]) or 'copy'} on {sizes}"
