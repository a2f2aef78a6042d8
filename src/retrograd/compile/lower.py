"""From a recorded program to statements: every call by its operation's kernel rule or lowering rule, else by its forward function."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from retrograd.compile.arrays import NATIVE, Array, ArrayBuilder, Callback, Native, Statement, Unsupported, is_dense, reshape_view
from retrograd.compile.graph import Buffer, Call, Program, Update, View, Write


class Lowering:
    """The statements of a program, and the buffers that they need besides the program's."""

    def __init__(self, program: Program) -> None:
        self.statements: list[Statement] = []
        self.own: set[Buffer] = set()  # buffers that rules made
        self.alias: dict[Buffer, tuple[Buffer, int]] = {}  # buffers that turned out to be (a part of) others, from an offset on
        self.uniform: dict[Buffer, Any] = {b: number for b in program.buffers() if (number := uniform_number(b)) is not None}
        self.places: dict[Buffer, Native] = {}  # buffers that hold the places that a max pooling found
        self.checked: dict[View, tuple[int, int]] = {}  # indices that were checked, with their bounds
        self.reasons: dict[str, str] = {}  # why an operation has no loops
        self.writes = Counter(view.buffer for step in program.steps for view in step.writes())
        self.outside = set(program.external())
        self.known: dict[Any, Call] = {}  # calls by what they compute
        for step in program.steps:
            self.lower(step)

    def fresh(self, nbytes: int) -> Buffer:
        """A buffer that only this program knows of."""
        buffer = Buffer("made", nbytes, f"t{len(self.own)}")
        self.own.add(buffer)
        return buffer

    def lower(self, step: Any) -> None:
        """The statements of one step; all of them, or a call back."""
        k = ArrayBuilder(self.fresh, self.places, self.checked)
        try:
            if isinstance(step, Call):
                if self.is_repeated(step):
                    return
                self.lower_call(k, step)
            elif isinstance(step, Write):
                k.fill(step.target, k.read(step.value))
            elif isinstance(step, Update):
                self.lower_update(k, step)
            else:
                raise Unsupported(f"{type(step).__name__} runs in Python")
        except Unsupported as why:
            self.reasons[step.op.name if isinstance(step, Call) else type(step).__name__] = str(why)
            self.statements.append(Callback(step))
        else:
            self.statements += k.statements
        self.note_places(step, k.statements)

    def note_places(self, step: Any, statements: Sequence[Statement]) -> None:
        """Notes which buffers hold what a max pooling found; forgets what is known of buffers that were written to."""
        written = {view.buffer for view in step.writes()}
        for view in [v for v in self.checked if v.buffer in written]:
            del self.checked[view]
        for buffer in written:
            self.places.pop(buffer, None)
        for s in statements:
            if isinstance(s, Native) and s.kind == "max_pool":
                self.places[self.settled(s.targets[1]).buffer] = s

    # ------------------------------------------------------------ calls

    def is_repeated(self, step: Call) -> bool:
        """Whether a call computes what one before did; then its results are that one's. Only calls on buffers that are written once count."""
        views = [*step.reads(), *step.results]
        once = all(self.writes[v.buffer] <= 1 and (v.buffer.kind == "made" or not self.writes[v.buffer]) for v in views)
        if not once or any(r.buffer in self.outside for r in step.results):
            return False
        operands = tuple(self.settled(a) if isinstance(a, View) else (type(a), repr(a)) for a in step.operands)
        layout = tuple((r.offset, r.shape, r.strides, r.dtype, r.buffer.nbytes) for r in step.results)
        call = step.op, operands, repr(sorted(step.params.items())), layout
        before = self.known.setdefault(call, step)
        if before is not step:
            self.alias.update({new.buffer: (old.buffer, 0) for new, old in zip(step.results, before.results, strict=True)})
        return before is not step

    def lower_call(self, k: ArrayBuilder, step: Call) -> None:
        """A call by its operation's rule."""
        op = step.op
        rule = op.lowering_rule or op.kernel_rule
        if rule is None:
            raise Unsupported("the operation states no kernel and no lowering")
        if any(r.dtype not in NATIVE for r in step.results):
            raise Unsupported(f"{step.results[0].dtype} has no machine code")
        params = {**op.defaults, **step.params}
        like = self.dtype_of_numbers(step)
        as_arrays = op.lowering_rule is None
        operands = [self.operand(k, a, like if as_arrays else None) for a in step.operands]
        if as_arrays:
            params = {name: params[name] for name in needs(rule) if name in op.metadata}
            operands = [a for n, a in zip(op.operands, operands, strict=False) if n in needs(rule)]
        result = rule(k, *operands, **params)
        values = result if isinstance(result, tuple) else (result,)
        for view, value in zip(step.results, values, strict=True):
            self.finish(k, view, value)

    @staticmethod
    def dtype_of_numbers(step: Call) -> np.dtype[Any]:
        """The dtype that numbers among an elementwise call's operands have."""
        masks = getattr(step.op, "masks", ())
        views = [a for n, a in zip(step.op.operands, step.operands, strict=False) if isinstance(a, View) and n not in masks]
        return views[0].dtype if views else step.results[0].dtype

    def operand(self, k: ArrayBuilder, a: Any, like: np.dtype[Any] | None) -> Any:
        """An operand as an array; numbers too, if `like` gives them a dtype."""
        if isinstance(a, View):
            if a.buffer in self.uniform and a.dtype in NATIVE:
                number = Array("const", (), (), a.dtype, self.uniform[a.buffer])
                return number if like is not None else k.read(a)
            return k.read(a)
        return a if like is None or a is None else k.number(a, like)

    def finish(self, k: ArrayBuilder, view: View, value: Any) -> None:
        """Gives a result its elements: without a copy, if they are in a buffer that the rule itself made."""
        if not isinstance(value, Array):
            value = k.number(value, view.dtype)
        if value.op == "read" and value.dtype == view.dtype:
            source: View = value.data
            own = source.buffer in self.own and source.buffer not in self.alias
            if (
                own
                and source.offset == view.offset == 0
                and is_dense(source)
                and is_dense(view)
                and source.buffer.nbytes == view.buffer.nbytes
            ):
                self.alias[source.buffer] = (view.buffer, 0)
                return
        if view.shape != value.shape and math.prod(view.shape) == math.prod(value.shape):
            target = reshape_view(view, value.shape)
            if target is None:
                value = k.reshape(value, view.shape)
            else:
                view = target
        k.fill(view, value)

    # ------------------------------------------------------------ updates

    def lower_update(self, k: ArrayBuilder, step: Update) -> None:
        """An optimizer's update by its rule for one element."""
        w, *buffers = [k.read(v) for v in step.targets]
        g = k.read(step.gradient)
        numbers = [k.scalar(step.first + i, w.dtype) for i in range(step.count)]
        results = step.optimizer.rule(k, w, k.neg(g) if step.group.get("maximize") else g, buffers, numbers, step.group)
        kept = [value if value.op == "read" else k.keep(value) for value in results]
        for target, value in zip(step.targets, kept, strict=True):
            if value.data is not target:
                k.fill(target, value)

    # ------------------------------------------------------------ the end

    def settled(self, view: View) -> View:
        """A view of the buffer that a buffer turned out to be, or to be a part of."""
        buffer, offset = view.buffer, view.offset
        while buffer in self.alias:
            buffer, start = self.alias[buffer]
            offset += start
        return view if buffer is view.buffer else View(buffer, offset, view.shape, view.strides, view.dtype)


def needs(rule: Any) -> tuple[str, ...]:
    """The names of a kernel rule's parameters."""
    code = rule.__code__
    return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]


def uniform_number(buffer: Buffer) -> Any:
    """The number that all elements of a constant are, or None."""
    if buffer.kind != "constant":
        return None
    array = np.asarray(buffer.source)
    if array.dtype not in NATIVE or not array.size:
        return None
    first = array.reshape(-1)[:1]
    same = (array.reshape(-1).view(f"V{array.itemsize}") == first.view(f"V{array.itemsize}")).all()
    return first[0].item() if same else None
