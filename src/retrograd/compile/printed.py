"""A program as Python text that runs: a function of the tensors that the program reads, in the library's own operations.

What the text cannot spell out (functions that draw numbers, optimizers, large constants) is in the names that come with it:
`exec(text, text.names)` defines `program`.
"""

from __future__ import annotations

import builtins
import keyword
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from retrograd.compile.graph import Buffer, Call, Draw, Program, Result, Source, Step, Update, View, Write, dense_strides
from retrograd.core.op import OPS
from retrograd.core.tensor import Tensor, address, owner, wrap
from retrograd.dtypes import dtype, from_numpy

SMALL = 8  # elements of a constant that is written out
RESERVED = {*dir(builtins), *keyword.kwlist, "torch", "np", "piece", "operation", "program", "scalars"}


class Listing(str):
    """A program as text.

    Attributes:
        names: what the text takes for granted: `exec(text, text.names)` defines `program`.
    """

    names: dict[str, Any]


def operation(name: str) -> Callable[..., Any]:
    """An operation by its name, as a function of tensors.

    >>> from retrograd import ones
    >>> operation("neg")(ones(2))
    tensor([-1., -1.])
    """
    op = OPS[name]
    return lambda *args, **params: op.eager(args, params)


def piece(x: Tensor, shape: Sequence[int], strides: Sequence[int], offset: int = 0, dtype: Any = None) -> Tensor:
    """Elements of the memory that a tensor is in: strides and offset, from its first element on, in bytes.

    >>> from retrograd import arange
    >>> piece(arange(6.0), (2, 2), (8, 4), 4)
    tensor([[1., 2.],
            [3., 4.]])
    """
    kind = np.dtype(dtype or x._data.dtype)
    return wrap(np.asarray(Seen(x._data, shape, strides, offset, kind)) if math.prod(shape) else np.empty(shape, kind))


class Seen:
    """Elements at some distance from an array's first, for NumPy to make an array of."""

    def __init__(self, data: ndarray, shape: Sequence[int], strides: Sequence[int], offset: int, kind: np.dtype[Any]) -> None:
        self.keeps = data
        place = address(data) + offset, False
        self.__array_interface__ = {"shape": tuple(shape), "typestr": kind.str, "strides": tuple(strides), "data": place, "version": 3}


def printed(program: Program, labels: Mapping[Buffer, str] | None = None) -> Listing:
    """A program as Python text that runs.

    The text defines `program(*tensors, scalars)`, of the tensors that the program reads, in the order of first use (`labels` has
    names for some), and of the live numbers. It writes to them as the program does, and returns the results, and a dict of gradients.
    """
    return Printer(program, labels or {}).listing()


class Printer:
    """Writes one program."""

    def __init__(self, program: Program, labels: Mapping[Buffer, str]) -> None:
        self.program = program
        self.taken: set[str] = set(RESERVED)
        self.names: dict[str, Any] = {}
        self.operations: dict[str, str] = {}  # by name of the operation
        self.updaters: dict[tuple[int, int], str] = {}
        self.first: dict[Buffer, View] = {}
        for view in program.views():
            self.first.setdefault(view.buffer, view)
        self.first.update({b: given for b in program.external() if (given := tensor_of(b)) is not None})
        self.buffers = {b: self.unused(labels.get(b, b.name)) for b in program.buffers()}

    def unused(self, wish: str) -> str:
        """A name that nothing else has, like the one wished for."""
        base = re.sub(r"\W+", "_", wish).strip("_") or "x"
        base = base if not base[0].isdigit() else f"x{base}"
        name, n = base if base not in self.taken else f"{base}_", 2
        while name in self.taken:
            name, n = f"{base}_{n}", n + 1
        self.taken.add(name)
        return name

    # ------------------------------------------------------------ the parts

    def listing(self) -> Listing:
        """The text."""
        read = [b for b in self.program.external() if b.kind != "made"]
        body: list[str] = []
        for b in self.program.buffers():
            if b.kind == "constant":
                body += self.constant(b)
        for step in self.program.steps:
            body += self.step(step)
        results = [self.view(r.view) if isinstance(r, Result) else self.value(r) for r in self.program.results]
        gradients = [f"{self.leaf(s)!r}: {self.view(g) if isinstance(g, View) else repr(g)}" for s, g in self.program.gradients]
        given = ", ".join([*(self.buffers[b] for b in read), "scalars=()"])
        head = ["import numpy as np", "import retrograd as torch", "from retrograd.compile.printed import operation, piece", ""]
        head += [f"{name} = operation({op!r})" for op, name in self.operations.items()]
        head += ["", "", f"def program({given}):"]
        head += [f"    # {self.buffers[b]}: {self.kind(self.first[b])}" for b in read]
        text = Listing(
            "\n".join([*head, *[f"    {line}" for line in body], f"    return [{', '.join(results)}], {{{', '.join(gradients)}}}\n"])
        )
        text.names = self.names
        return text

    def leaf(self, source: Any) -> str:
        """The name of the tensor that a source finds, where the program reads it."""
        for b, name in self.buffers.items():
            found = b.source
            if b.kind in ("argument", "held") and getattr(found, "tensor", 0) is source.tensor and found.argument == source.argument:
                return name
        return "a tensor outside" if source.argument is None else f"x{source.argument}"

    @staticmethod
    def kind(view: View) -> str:
        """A view's dtype and shape."""
        return f"{view.dtype} {list(view.shape)}"

    def constant(self, b: Buffer) -> list[str]:
        """A constant: written out, or among the names."""
        view = self.first[b]
        numbers = np.asarray(b.source)
        if numbers.size > SMALL or view.dtype != numbers.dtype or view.dtype.kind not in "biuf" or not np.isfinite(numbers).all():
            self.names[self.buffers[b]] = wrap(numbers)
            self.first[b] = View(b, 0, numbers.shape, numbers.strides, numbers.dtype)
            return []
        self.first[b] = View(b, 0, numbers.shape, dense_strides(numbers.shape, numbers.itemsize), numbers.dtype)
        return [f"{self.buffers[b]} = torch.tensor({numbers.tolist()!r}, dtype={from_numpy(numbers.dtype)})"]

    def step(self, step: Step) -> list[str]:
        """The lines of a step."""
        if isinstance(step, Call):
            given = [self.view(a) if isinstance(a, View) else self.value(a) for a in step.operands]
            given += [f"{k}={self.value(v)}" for k, v in step.params.items()]
            for view in step.results:
                self.first[view.buffer] = view
            targets = ", ".join(self.buffers[v.buffer] for v in step.results) + ("," if step.op.outputs and len(step.results) == 1 else "")
            return [f"{targets} = {self.operation(step.op.name)}({', '.join(given)})  # {', '.join(map(self.kind, step.results))}"]
        if isinstance(step, Write):
            return self.write(step)
        if isinstance(step, Draw):
            name = self.unused(f"draw_{step.name}")
            self.names[name] = drawer(step.function)
            given = [self.view(v) for v in step.operands]
            for view in step.results:
                self.first[view.buffer] = view
            targets = "".join(f"{self.buffers[v.buffer]} = " for v in step.results)
            return [f"{targets}{name}({', '.join(given)})" + "".join(f"  # {self.kind(v)}" for v in step.results)]
        buffers = ", ".join(self.view(t) for t in step.targets[1:])
        numbers = f"scalars[{step.first}:{step.first + step.count}]"
        return [f"{self.updater(step)}({self.view(step.targets[0])}, [{buffers}], {self.view(step.gradient)}, {numbers})"]

    def write(self, step: Write) -> list[str]:
        """Numbers over numbers; the first write to a buffer that the program makes brings it into being."""
        target, lines = step.target.buffer, []
        if target.kind == "made" and target not in self.made_before(step):
            kind = step.target.dtype
            self.first[target] = View(target, 0, (target.nbytes // kind.itemsize,), (kind.itemsize,), kind)
            lines.append(f"{self.buffers[target]} = torch.empty({target.nbytes // kind.itemsize}, dtype={from_numpy(kind)})")
        return [*lines, f"{self.view(step.target)}.copy_({self.view(step.value)})"]

    def made_before(self, step: Step) -> set[Buffer]:
        """The buffers that earlier steps write to."""
        found: set[Buffer] = set()
        for earlier in self.program.steps:
            if earlier is step:
                break
            found |= {v.buffer for v in earlier.writes()}
        return found

    def operation(self, op: str) -> str:
        """The name of an operation in the text."""
        if op not in self.operations:
            self.operations[op] = self.unused(op)
        return self.operations[op]

    def updater(self, step: Update) -> str:
        """The name of an optimizer's update of parameters of one group."""
        key = id(step.optimizer), id(step.group)
        if key not in self.updaters:
            self.updaters[key] = name = self.unused(type(step.optimizer).__name__.lower())
            self.names[name] = updating(step.optimizer, step.group)
        return self.updaters[key]

    # ------------------------------------------------------------ values

    def view(self, view: View) -> str:
        """A view of a buffer, as simply as it can be said."""
        name, base = self.buffers[view.buffer], self.first[view.buffer]
        if view == base:
            return name
        dense = view.dtype == base.dtype and view.offset == base.offset and math.prod(view.shape) == math.prod(base.shape)
        if dense and base.strides == dense_strides(base.shape, base.dtype.itemsize):
            if view.strides == dense_strides(view.shape, view.dtype.itemsize):
                return f"{name}.reshape({', '.join(map(str, view.shape))})" if view.shape else f"{name}.reshape(())"
            if len(base.shape) == 2 and (view.shape, view.strides) == (base.shape[::-1], base.strides[::-1]):
                return f"{name}.T"
        kind = "" if view.dtype == base.dtype else f", dtype={view.dtype.str!r}"
        return f"piece({name}, {view.shape}, {view.strides}, {view.offset - base.offset}{kind})"

    def value(self, value: Any) -> str:
        """A number or a parameter of an operation."""
        if isinstance(value, float) and not math.isfinite(value):
            return f"float('{value}')"
        if value is None or isinstance(value, (bool, int, float, complex, str, dtype)):
            return repr(value)
        if isinstance(value, (tuple, list)):
            inner = ", ".join(map(self.value, value))
            return f"[{inner}]" if isinstance(value, list) else f"({inner}{',' if len(value) == 1 else ''})"
        if isinstance(value, np.generic):
            return f"np.{value.dtype}({self.value(value.item())})"
        if isinstance(value, np.dtype):
            return f"np.dtype({value.str!r})"
        name = self.unused("value")
        self.names[name] = value
        return name


def tensor_of(b: Buffer) -> View | None:
    """Which of a buffer's elements the tensor has that it belongs to, if it belongs to one."""
    if b.layout is not None:
        return View(b, 0, *b.layout)
    data = b.source.data if isinstance(b.source, Source) else b.source
    if data is None:
        return None
    return View(b, address(data) - address(owner(data)), data.shape, data.strides, data.dtype)


def drawer(function: Callable[..., Any]) -> Callable[..., Any]:
    """A drawing function on tensors."""

    def draw(*operands: Tensor) -> Tensor | None:
        result = function(*[x._data for x in operands])
        return None if result is None else wrap(result)

    return draw


def updating(optimizer: Any, group: dict[str, Any]) -> Callable[..., None]:
    """An optimizer's update on tensors: `update(parameter, buffers, gradient, numbers)`."""

    def update(p: Tensor, buffers: Sequence[Tensor], g: Tensor, numbers: Sequence[float]) -> None:
        optimizer.update(p._data, g._data, [b._data for b in buffers], [float(x) for x in numbers], group)

    return update
