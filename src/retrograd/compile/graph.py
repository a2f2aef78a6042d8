"""What was recorded of a program: calls of operations on views of buffers, in the order in which they ran.

A buffer is memory; a view is a rectangle of elements in it, as NumPy's strides describe one. So all of slicing, transposing,
broadcasting and reshaping is in the views, and no operation that only looks at memory differently appears in a program.
This module knows what a program is, and nothing of how it was recorded or how it is run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from retrograd.core.op import Op


@dataclass(eq=False)
class Buffer:
    """Memory that a program reads or writes.

    kind: "argument" (of the call), "held" (a tensor that lives outside: a parameter, running statistics), "gradient" (what is in
    a leaf's `.grad` when the program starts), "constant" (numbers that never change), or "made" (by the program itself).
    """

    kind: str
    nbytes: int
    name: str
    source: Any = None  # a Source; of a constant, the numbers; of held memory that no tensor has, the array
    layout: Any = None  # of an argument or a gradient: its shape, strides and dtype


@dataclass(eq=False)
class Source:
    """Where a tensor is found at a call: among the arguments, outside, or in an optimizer's state.

    `data` and `node` are what it had when the program was recorded. `hooked`: it had hooks, whose calls are part of the program.
    """

    tensor: Any  # as it was at the recording; None for an argument
    argument: int | None = None
    state: tuple[Any, Any, str] | None = None  # optimizer, parameter, name
    data: Any = None
    node: Any = None
    hooked: bool = False

    def find(self, arguments: Sequence[Any]) -> Any:
        """The tensor of a call."""
        if self.argument is not None:
            return arguments[self.argument]
        if self.state is not None:
            optimizer, parameter, name = self.state
            return optimizer.state[parameter][name]
        return self.tensor


@dataclass(frozen=True)
class View:
    """Elements of a buffer: where the first is, and how far apart they are, in bytes."""

    buffer: Buffer
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype[Any]

    def __str__(self) -> str:
        dense = self.strides == dense_strides(self.shape, self.dtype.itemsize) and not self.offset
        layout = "" if dense else f", offset={self.offset}, strides={self.strides}"
        return f"{self.buffer.name}[{'x'.join(map(str, self.shape)) or 'scalar'}{layout}]"


def dense_strides(shape: Sequence[int], itemsize: int) -> tuple[int, ...]:
    """The strides of an array in C order."""
    strides, step = [], itemsize
    for n in reversed(shape):
        strides.append(step)
        step *= max(n, 1)
    return tuple(reversed(strides))


def whole(view: View) -> Literal["C", "F"] | None:
    """The order ("C" or "F") in which a view's elements fill its buffer, or None."""
    size = view.dtype.itemsize
    for n in view.shape:
        size *= n
    if view.offset or size != view.buffer.nbytes or not size:
        return None
    if view.strides == dense_strides(view.shape, view.dtype.itemsize):
        return "C"
    return "F" if view.strides[::-1] == dense_strides(view.shape[::-1], view.dtype.itemsize) else None


@dataclass(eq=False)
class Call:
    """An operation: `results` are whole new buffers."""

    op: Op
    operands: list[Any]  # Views, numbers, None
    params: dict[str, Any]
    results: list[View]

    def reads(self) -> list[View]:
        """The views that are read."""
        return [a for a in self.operands if isinstance(a, View)]

    def writes(self) -> list[View]:
        """The views that are written."""
        return self.results

    def __str__(self) -> str:
        params = "".join(f", {k}={v!r}" for k, v in self.params.items())
        return f"{', '.join(map(str, self.results))} = {self.op.name}({', '.join(map(str, self.operands))}{params})"


@dataclass(eq=False)
class Write:
    """Numbers of one view written over those of another, of the same shape and dtype."""

    target: View
    value: View

    def reads(self) -> list[View]:
        """The views that are read."""
        return [self.value]

    def writes(self) -> list[View]:
        """The views that are written."""
        return [self.target]

    def __str__(self) -> str:
        return f"{self.target} <- {self.value}"


@dataclass(eq=False)
class Draw:
    """Random numbers, drawn anew at every run: `function(*arrays)` takes them from a generator, in the order of the program.

    Without results, it only sets the generator. Draws always run, one after the other, whether their results are used or not.
    """

    name: str
    function: Callable[..., Any]
    operands: list[View]
    results: list[View]

    def reads(self) -> list[View]:
        """The views that are read."""
        return self.operands

    def writes(self) -> list[View]:
        """The views that are written."""
        return self.results

    def __str__(self) -> str:
        return f"{', '.join(map(str, self.results))} = draw {self.name}({', '.join(map(str, self.operands))})"


@dataclass(eq=False)
class Update:
    """An optimizer's update of one parameter and of its buffers, in place.

    The numbers of the step (learning rate, bias corrections) are live: `count` of them, from `first` on in the table that a run is
    given. Updates whose numbers are always the same share them.
    """

    optimizer: Any
    group: dict[str, Any]
    parameter: Any
    targets: list[View]  # the parameter, then its buffers
    gradient: View
    first: int = 0
    count: int = 0

    def scalar_count(self) -> int:
        """How many live numbers the rule takes."""
        return self.count

    def reads(self) -> list[View]:
        """The views that are read."""
        return [*self.targets, self.gradient]

    def writes(self) -> list[View]:
        """The views that are written."""
        return self.targets

    def __str__(self) -> str:
        return f"{', '.join(map(str, self.targets))} <- {type(self.optimizer).__name__} step with {self.gradient}"


Step = Call | Write | Draw | Update


def draws(steps: Sequence[Step]) -> bool:
    """Whether steps draw or seed, and do not just go back to where a generator has been (`Generator.mark`)."""
    return any(isinstance(step, Draw) and step.name not in ("mark", "back") for step in steps)


@dataclass(eq=False)
class Program:
    """A recorded program.

    results: the leaves of what the call returned: Results or plain values.
    gradients: for the Source of each leaf whose `.grad` was set, what it was set to at last: a View, "cleared", or None.
    entry_gradients: for the Source of each leaf whose `.grad` mattered at the start, whether there was a gradient.
    outside: the Sources of all tensors that live outside and were met.
    writes: how much the version counter of a tensor from outside rose; of the gradient of a leaf, if `True`.
    after: what happens after the run, in order: (optimizer, None) where one took a step, (optimizer, function to call) where a
        schedule changed its hyperparameters.
    tie: what is known of derivatives that are asked for outside.
    cleared: the Sources of the leaves whose `.grad` was cleared before it was set, with what that left there: None or "cleared".
    walks: whether there is a backward pass in it, which would call hooks of leaves.
    """

    steps: list[Step]
    results: list[Any]
    gradients: list[tuple[Source, Any]]
    entry_gradients: list[tuple[Source, bool]] = field(default_factory=list)
    outside: list[Source] = field(default_factory=list)
    writes: list[tuple[Source, bool, int]] = field(default_factory=list)
    after: list[tuple[Any, Any]] = field(default_factory=list)
    arguments: int = 0
    tie: Tie | None = None
    walks: bool = False
    cleared: list[tuple[Source, Any]] = field(default_factory=list)

    def buffers(self) -> list[Buffer]:
        """Every buffer, in the order of first use."""
        found: dict[Buffer, None] = {}
        for view in self.views():
            found[view.buffer] = None
        return list(found)

    def outputs(self) -> list[Buffer]:
        """The buffers that the program makes and gives out (results, gradients): whoever runs it brings fresh memory for them."""
        return list(dict.fromkeys(view.buffer for view in self.given_out() if view.buffer.kind == "made"))

    def external(self) -> list[Buffer]:
        """The buffers whose memory comes from outside, in the order in which an executor is handed it at every run.

        First those with numbers in them, in the order of first use, then `outputs()`.
        """
        return [b for b in self.buffers() if b.kind in ("argument", "held", "gradient")] + self.outputs()

    def scalar_count(self) -> int:
        """How many live numbers a run is given: those of all optimizer updates."""
        return max((step.first + step.count for step in self.steps if isinstance(step, Update)), default=0)

    def views(self) -> Iterator[View]:
        """Every view that is read, written or given out."""
        for step in self.steps:
            yield from step.reads()
            yield from step.writes()
        yield from self.given_out()
        if self.tie is not None:
            yield from self.tie.reads

    def given_out(self) -> Iterator[View]:
        """The views that outlive the call."""
        for result in self.results:
            if isinstance(result, Result):
                yield result.view
        for _, gradient in self.gradients:
            if isinstance(gradient, View):
                yield gradient
        if self.tie is not None:
            yield from self.tie.saved

    def settle_constants(self) -> None:
        """Constants that are written to or given out become buffers that the program makes, by writing the constant into them."""
        changed = {view.buffer for step in self.steps for view in step.writes()} | {view.buffer for view in self.given_out()}
        first: list[Step] = []
        for made in self.buffers():
            if made in changed and made.kind == "constant":
                numbers = np.asarray(made.source)
                constant = Buffer("constant", made.nbytes, f"{made.name}_0", numbers)
                made.kind, made.source = "made", None
                views = [View(b, 0, numbers.shape, numbers.strides, numbers.dtype) for b in (made, constant)]
                first.append(Write(*views))
        self.steps[:0] = first

    def without_dead_steps(self) -> None:
        """Drops the calls whose results nobody reads, but for those that may raise; and ways back to where generators are anyway."""
        if not draws(self.steps):
            self.steps = [step for step in self.steps if not isinstance(step, Draw)]
        alive = {view.buffer for view in self.given_out()}
        kept: list[Step] = []
        for step in reversed(self.steps):
            raises = isinstance(step, Call) and step.op.facts.get("raises_for_numbers", False)
            useful = raises or isinstance(step, Draw) or any(v.buffer in alive or v.buffer.kind != "made" for v in step.writes())
            if useful:
                kept.append(step)
                alive |= {v.buffer for v in step.reads()}
        self.steps = kept[::-1]

    def __str__(self) -> str:
        return "\n".join(map(str, self.steps))


@dataclass
class Tie:
    """How results hang on the tape, if they need a gradient that may be asked for outside.

    inputs: the Sources of the tensors that the results were computed from and that need a gradient.
    outputs: how many results need one.
    repeatable: whether the function, called again, does the same and leaves no trace: it draws and writes nothing.
    chosen: which of the results the backward program takes cotangents of.
    leads: for each of these, which inputs it depends on: the others get no gradient from it, not even zeros.
    backward: the backward program. Its arguments have as `source` ("saved", i), ("seed", i) or ("outside", buffer); its results
        are, for each input, a Result with its gradient, or None. None: nobody has asked yet.
    saved: what the program gives out for its backward program.
    reads: what its backward program reads of memory from outside.
    """

    inputs: list[Source]
    outputs: int
    repeatable: bool
    chosen: list[int] = field(default_factory=list)
    leads: list[set[int]] = field(default_factory=list)
    backward: Program | None = None
    saved: list[View] = field(default_factory=list)
    reads: list[View] = field(default_factory=list)


@dataclass
class Result:
    """A tensor that is returned: elements of a buffer, and what its `grad_fn` was (by then freed).

    `tied`, if given, says which of those results it is that need a gradient. `inference`: it was made in inference mode.

    `same_as`, if given, is the Source of the tensor that is itself returned (of the leaf, if it is its gradient); `chain` then the views
    of it that lead to the result.
    """

    view: View
    node: Any = None
    tied: int | None = None
    same_as: Source | None = None
    chain: tuple[Any, ...] = ()
    of_gradient: bool = False
    inference: bool = False


def seen_through(tensor: Any, chain: Sequence[Any]) -> Any:
    """A view of a tensor, by the operations that lead to it."""
    x = tensor
    for op, params, which in chain:
        x = op(x, **params) if which is None else op(x, **params)[which]
    return x
