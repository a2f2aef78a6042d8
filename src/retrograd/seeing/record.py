"""What was seen of a program: tensors with their numbers, calls, backward passes, updates, in steps.

    Record ─ Step ┬ Call    an operation that ran: operands -> results, where in the program, in which module
                  ├ Pass    a backward pass ┬ Pull     at one call: v -> Jᵀv
                  │                         └ Arrival  what a leaf's .grad was given
                  ├ Update  a parameter before and after
                  └ Event   what else matters: zero_grad, a write, a crash

A `Value` is a tensor at the time it was met. Its numbers are a `Snapshot`, which shares memory with the program as long as nobody
writes there (see recorder.py). What leads back, from a result or a pull to its call, is weak: a step that is dropped is gone at once.
The lists of a step are made, of notes that were taken while the program ran (see reading.py), when someone first asks for one of them.
"""

from __future__ import annotations

import copy
import linecache
import math
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import CodeType
from typing import Any

import numpy as np
from numpy import ndarray

from retrograd.autograd.function import FunctionCtx
from retrograd.compile.eager import set_aside
from retrograd.core.levels import unwatched
from retrograd.core.op import Op
from retrograd.core.tape import Node, rules_on_arrays

BINS = 32
LARGE = 1 << 16  # elements of an array that is not copied in the way that is quickest for few
BEGINNING = 8  # losses of one line that are known whatever happens to the steps
READING = threading.RLock()  # held while notes are read, or arrays of snapshots exchanged: the page's server does, too


@dataclass(frozen=True)
class Summary:
    """Statistics of an array, over its finite elements; of none, they are nan."""

    size: int
    nans: int
    infinities: int
    zeros: int
    mean: float
    std: float
    least: float
    most: float
    norm: float
    counts: tuple[int, ...]  # of the finite elements, in BINS equal bins from `least` to `most`

    @classmethod
    def of(cls, array: ndarray) -> Summary:
        """The statistics of an array of real, complex (by absolute value) or whole numbers.

        >>> Summary.of(np.array([1.0, 2.0, np.nan])).mean
        1.5
        """
        numbers = np.abs(array) if array.dtype.kind == "c" else array
        with np.errstate(invalid="ignore"):  # memory that nothing was written to yet may hold anything
            numbers = numbers.reshape(-1).astype(np.float64, copy=False)
        good = np.isfinite(numbers)
        nans, finite = int(np.isnan(numbers).sum()), numbers if good.all() else numbers[good]
        if not finite.size:
            nan = math.nan
            return cls(numbers.size, nans, numbers.size - nans, 0, nan, nan, nan, nan, nan, (0,) * BINS)
        least, most = float(finite.min()), float(finite.max())
        return cls(
            numbers.size, nans, numbers.size - nans - finite.size, int((finite == 0).sum()), float(finite.mean()), float(finite.std()),
            least, most, float(np.linalg.norm(finite)), tuple(histogram(finite, least, most)),
        )  # fmt: skip


def histogram(numbers: ndarray, least: float, most: float) -> list[int]:
    """How many numbers there are in each of BINS equal bins."""
    width = most - least
    if not width or not math.isfinite(width) or not math.isfinite(BINS / width):
        return [numbers.size] + [0] * (BINS - 1)
    found: list[int] = np.bincount(np.minimum(((numbers - least) * (BINS / width)).astype(np.int64), BINS - 1), minlength=BINS).tolist()
    return found


def copied(array: ndarray) -> ndarray:
    """A copy, laid out as the array is: a large one is set aside."""
    return array.copy("K") if array.size < LARGE else set_aside(array)


def nothing() -> None:
    """What a weak reference gives for something that is gone."""


class Snapshot:
    """An array's numbers at one moment. Of an enormous one, `array` is None and only the summary is there."""

    __slots__ = ("__weakref__", "_forgotten", "_summary", "array")

    array: ndarray | None
    _summary: Summary  # if it has been worked out
    _forgotten: tuple[Callable[[], ndarray | None], tuple[int, ...], np.dtype[Any]]  # of the array whose numbers were: itself, shape, dtype

    def __init__(self, array: ndarray, whole: bool = True) -> None:
        self.array = array
        if not whole:
            self.forget()

    @property
    def shape(self) -> tuple[int, ...]:
        """The size of every dim."""
        return self._forgotten[1] if self.array is None else self.array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the elements."""
        return self._forgotten[2] if self.array is None else self.array.dtype

    @property
    def summary(self) -> Summary:
        """Statistics of the numbers, worked out once."""
        try:
            return self._summary
        except AttributeError:
            assert self.array is not None
            self._summary = Summary.of(self.array)
            return self._summary

    @property
    def source(self) -> ndarray | None:
        """The array that it shares memory with; of one whose numbers were forgotten, as long as the array lives."""
        return self._forgotten[0]() if self.array is None else self.array

    def detach(self) -> None:
        """Stops sharing memory."""
        if self.array is not None:
            self.array = copied(self.array)
        else:
            self._forgotten = nothing, *self._forgotten[1:]

    def settle(self) -> None:
        """Stops sharing memory, while another thread may be about to write there: it says so first, by `detach`."""
        while self.array is not None:
            array = self.array
            own = copied(array)
            with READING:
                if self.array is array:  # nobody had written to it when it was copied
                    self.array = own
                    return

    def forget(self) -> None:
        """Drops the numbers; the summary, worked out before, stays."""
        if self.array is not None and self.summary is not None:
            self._forgotten = weakref.ref(self.array), self.array.shape, self.array.dtype
            self.array = None

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)


@dataclass(slots=True, unsafe_hash=True)
class Place:
    """Where in the user's program something happened."""

    code: CodeType
    instruction: int  # offset of the bytecode instruction that was running
    line: int

    @property
    def file(self) -> str:
        """The path of the source file."""
        return self.code.co_filename

    @property
    def function(self) -> str:
        """The function, "<module>" at top level."""
        return self.code.co_qualname

    @property
    def text(self) -> str:
        """The source line, "" where there is no source."""
        return linecache.getline(self.file, self.line).strip()

    @property
    def span(self) -> tuple[int, int, int, int] | None:
        """First line, last line, first column, column after the last (in bytes of UTF-8) of the expression that was running."""
        positions = next((p for i, p in enumerate(self.code.co_positions()) if i == self.instruction // 2), None)
        if positions is None:
            return None
        first, last, begin, end = positions
        return None if first is None or last is None or begin is None or end is None else (first, last, begin, end)

    @property
    def expression(self) -> str:
        """The source of the expression that was running, on one line; "" where there is no source."""
        span = self.span
        if span is None:
            return self.text
        first, last, begin, end = span
        lines = [linecache.getline(self.file, n).encode() for n in range(first, last + 1)]
        if not all(lines):
            return ""
        lines[-1] = lines[-1][:end]
        lines[0] = lines[0][begin:]
        return " ".join(line.decode(errors="replace").strip() for line in lines)

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(eq=False, slots=True)
class Value:
    """A tensor as it was when it was met or made.

    `kind` is "parameter" (of a module, or given to an optimizer), "buffer", "leaf" (another tensor that needs a gradient), "input" (any
    other that the record did not see made), "earlier" (computed, with a history, before the step began) or "result" (of `call`).
    """

    kind: str
    snapshot: Snapshot
    requires_grad: bool
    name: str | None  # of a parameter or buffer its path, of others the variable that held it
    place: Place | None  # where it was met
    tensor: weakref.ref[Any]
    # from here on, known when the step's notes have been read
    number: int = field(init=False)
    maker: weakref.ref[Call] | None = field(init=False)
    output: int = field(init=False)  # which of the call's results

    @property
    def call(self) -> Call | None:
        """The call that made it, as long as its step is held."""
        return None if self.maker is None else self.maker()

    def is_of(self, tensor: Any) -> bool:
        """Whether it was made of this very tensor."""
        return self.tensor() is tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """The size of every dim."""
        return self.snapshot.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the elements."""
        return self.snapshot.dtype

    @property
    def item(self) -> float | None:
        """The number, if it is a real one and the only one."""
        array = self.snapshot.array
        return float(array.item()) if array is not None and array.size == 1 and array.dtype.kind != "c" else None

    @property
    def label(self) -> str:
        """A name for people: its own, or else the operation's with its number (`relu#3`)."""
        if self.name:
            return self.name
        return f"{self.call.title}#{self.call.number}" if self.call is not None else f"tensor#{self.number}"


@dataclass(eq=False, slots=True, weakref_slot=True)
class Call:
    """An operation that ran; or, with no `op`, a node of the tape that no operation made: a custom Function, a write through a view."""

    number: int  # from 0 in its step
    op: Op | None
    operands: tuple[Any, ...]  # Values, and numbers or None
    params: dict[str, Any]
    results: tuple[Value, ...]
    place: Place | None
    modules: tuple[tuple[str, str], ...]  # (path, class) of the modules that were running, outermost first
    grad: bool  # gradients were on
    node: Node | None = None  # its place on the tape, if it was recorded there
    facts: tuple[Any, ...] | None = None  # what its rules know: Snapshots in place of arrays
    pulls: list[Pull] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The operation's name."""
        if self.op is None:
            assert self.node is not None
            return self.node.name().removesuffix("Backward")
        return self.op.name

    @property
    def title(self) -> str:
        """What people call the operation: the name of the public function."""
        return self.name if self.op is None else self.op.title

    @property
    def module(self) -> str:
        """The path of the innermost module that was running, "" outside all."""
        return self.modules[-1][0] if self.modules else ""

    def values(self) -> Iterator[Value]:
        """The operands that are tensors."""
        return (x for x in self.operands if isinstance(x, Value))

    def pull(self, v: ndarray | Sequence[ndarray]) -> list[ndarray | None]:
        """The vector-Jacobian product Jᵀv for each operand, by the rules and facts that backward used, for any `v`.

        Args:
            v: the cotangent, of the result's shape; of several results, one each.

        Raises:
            ValueError: if the call was not recorded on the tape, or its facts were too large to keep.
        """
        if self.node is None or self.facts is None:
            raise ValueError(f"{self.name} was not recorded on the tape, so it has no rules for a backward pass")
        facts = tuple(map(numbers_of, self.facts))
        if isinstance(self.node, FunctionCtx):
            node: Node = self.node.recalling(facts)
        else:
            node = copy.copy(self.node)
            node.facts, node.versions, node.metadata, node.hooks = facts, (), None, None
        with rules_on_arrays(), unwatched():
            results = node.pull(list(v) if isinstance(v, (list, tuple)) else v, False)
        return [None if r is None else np.asarray(r) for r in results]


def snapshots_in(x: Any) -> Iterator[Snapshot]:
    """The arrays among what may be in tuples."""
    if isinstance(x, Snapshot):
        yield x
    elif x.__class__ is tuple:
        for part in x:
            yield from snapshots_in(part)


def numbers_of(fact: Any) -> Any:
    """A fact as rules take it."""
    if isinstance(fact, Snapshot):
        if fact.array is None:
            raise ValueError(f"the numbers of a tensor of shape {list(fact.shape)} were not kept: it has more elements than `limit`")
        return fact.array
    return tuple(map(numbers_of, fact)) if fact.__class__ is tuple else fact


@dataclass(eq=False, slots=True)
class Pull:
    """One step of a backward pass: the cotangents of a call's results, and those of its operands that came of them."""

    of: weakref.ref[Call]
    v: tuple[Snapshot | None, ...]
    outgoing: tuple[Snapshot | None, ...]

    @property
    def call(self) -> Call:
        """The call, whose step is held."""
        call = self.of()
        if call is None:
            raise ReferenceError("the step that this belongs to is gone: hold on to the step, or keep more of them (see keep=)")
        return call


@dataclass(eq=False, slots=True)
class Arrival:
    """A cotangent came to rest in a leaf's `.grad`."""

    leaf: Value
    g: Snapshot
    before: Snapshot | None  # what was in .grad
    passes: int  # how many have come since .grad was last empty or set, this one included


@dataclass(eq=False, slots=True)
class Pass:
    """One backward pass."""

    roots: tuple[Value | None, ...]
    place: Place | None
    pulls: list[Pull] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Update:
    """A parameter was changed, by an optimizer (its class's name), or by a write of the program's own ("")."""

    leaf: Value
    optimizer: str
    hyperparameters: dict[str, Any]
    before: Snapshot
    gradient: Snapshot | None
    passes: int  # backward passes in the gradient
    place: Place | None
    number: int | None  # of the optimizer, in the order in which they took their first step; None for a write
    after: Snapshot | None = None
    state: dict[str, Any] = field(default_factory=dict)  # of the optimizer after it: numbers, Snapshots


@dataclass(eq=False, slots=True)
class Event:
    """Something else that happened.

    `kind` is "cleared" or "set" (a .grad), "asked" (for a .grad, and there was none), "stepped" (an optimizer), "wrote" (numbers over a
    tensor's), "shared" (`.data`), "copied" (`torch.tensor(x)`), "held" (the losses of many steps, with their graphs).
    """

    kind: str
    value: Value | None
    place: Place | None
    after: int  # how many calls there were before it
    about: Any = None  # the optimizer's class, the value written, the value that shares or is the copy, the losses (weakly)
    number: int | None = None  # of the optimizer
    given: tuple[Value, ...] = ()  # the parameters that the optimizer has, with and without gradients


@dataclass(eq=False, slots=True)
class Visit:
    """A module was called."""

    path: str
    kind: str  # its class
    training: bool
    grad: bool  # gradients were on
    place: Place | None
    after: int  # how many calls there were before it


class Step:
    """Everything from one update of the parameters to the next."""

    __slots__ = ("_read", "broken", "calls", "dropped", "events", "number", "order", "passes", "updates", "values", "visits")

    calls: list[Call]
    values: list[Value]
    passes: list[Pass]
    updates: list[Update]
    events: list[Event]
    visits: list[Visit]
    order: list[Any]  # calls, passes, updates and events as they came

    def __init__(self, number: int, read: Callable[[Step], None]) -> None:
        """`read` makes the lists."""
        self.number = number
        self.dropped = 0  # calls not kept, beyond the most that a step may have
        self.broken = False  # its loss is nan or inf
        self._read: Callable[[Step], None] | None = read

    def __getattr__(self, name: str) -> Any:
        """One of the lists, where there are none yet."""
        if name not in self.__slots__:
            raise AttributeError(f"a step has no attribute {name!r}")
        with READING:
            if self._read is not None:
                self._read(self)
                self._read = None
        return object.__getattribute__(self, name)

    @property
    def root(self) -> Value | None:
        """What the first backward pass began at: the loss."""
        return next((r for p in self.passes for r in p.roots if r is not None), None)

    def snapshots(self) -> Iterator[Snapshot]:
        """All arrays of the step, some more than once."""
        yield from (value.snapshot for value in self.values)
        for call in self.calls:
            yield from snapshots_in(call.facts)
        for one in self.passes:
            for pull in one.pulls:
                yield from snapshots_in((pull.v, pull.outgoing))
            for arrival in one.arrivals:
                yield from snapshots_in((arrival.g, arrival.before))
        for update in self.updates:
            yield from snapshots_in((update.before, update.gradient, update.after, tuple(update.state.values())))

    def settle(self) -> None:
        """Stops sharing memory with the program, which may be running in another thread."""
        seen: set[int] = set()
        for snapshot in self.snapshots():
            if id(snapshot) not in seen:
                seen.add(id(snapshot))
                snapshot.settle()

    @property
    def loss(self) -> float | None:
        """Its number, if it is one."""
        return None if self.root is None else self.root.item


@dataclass(eq=False, slots=True)
class Failure:
    """How a program that was watched crashed."""

    kind: str  # the exception's class
    message: str
    place: Place | None
    operation: str | None  # the operation that was running
    backward: Call | None  # the call whose rules were running
    step: int
    operands: tuple[Any, ...] = ()  # of the operation: Values, and numbers or None
    v: tuple[Snapshot | None, ...] = ()  # of the rules: what had come to the call's results
    modules: tuple[tuple[str, str], ...] = ()  # (path, class) of the modules that were running


class Record:
    """What was seen: the last steps that were watched, whole. Once the loss is nan or inf, half of them are those up to there."""

    def __init__(self, keep: int) -> None:
        self.keep = keep
        self.first = 0  # how many of them stay, since they led to a loss that is no number
        self.beginnings: dict[tuple[CodeType, int], list[float]] = {}  # the first losses, by where their backward passes were asked for
        self.steps: list[Step] = []
        self.failure: Failure | None = None
        self.modules: dict[str, Any] = {}  # by the variable's name: outermost modules that were called, or parts of them
        self.prefixes: dict[str, str] = {}  # by the same: what the names of its parameters begin with
        self.parameters: dict[str, bool] = {}  # of these modules, by path: whether it needed a gradient when the module was first called
        self.optimizers: list[Any] = []  # weakly, in the order in which they took their first step
        self.watched = 0  # steps seen
        self.listeners: list[Callable[[Step], None]] = []  # told of each step that is over

    def add(self, step: Step) -> None:
        """A step is over."""
        self.watched += 1
        self.steps.append(step)
        for listener in list(self.listeners):
            listener(step)
        if step.broken and not self.first:
            self.first = min(self.keep // 2, len(self.steps))
            del self.steps[: len(self.steps) - self.first]
        del self.steps[self.first : max(self.first, len(self.steps) - self.keep + self.first)]

    def begin(self, at: tuple[CodeType, int] | None, loss: float) -> None:
        """A backward pass begins at a loss; at None, none of the program's lines asked for it."""
        if at is not None and len(known := self.beginnings.setdefault(at, [])) < BEGINNING:
            known.append(loss)

    def find(self, what: Any, step: int = -1) -> Value:
        """A value of a step: by name or label, by number, a Value itself, or the tensor.

        Raises:
            KeyError: if the step has no such value, or steps has no such step.
        """
        if isinstance(what, Value):
            return what
        values = self.step(step).values
        found = None
        if isinstance(what, int):
            found = next((v for v in values if v.number == what), None)
        elif isinstance(what, str):
            found = next((v for v in reversed(values) if what in (v.name, v.label)), None)
        else:
            found = next((v for v in reversed(values) if v.is_of(what)), None)
        if found is None:
            named = sorted({v.label for v in values if v.name})
            raise KeyError(f"no value {what!r} in this step of the record; the named ones are: {', '.join(named) or 'none'}")
        return found

    def step(self, number: int = -1) -> Step:
        """A step that was kept whole: by its number, or from the end by a negative one.

        Raises:
            KeyError: if there is no such step.
        """
        if not self.steps:
            raise KeyError("nothing was recorded: no operation ran while the program was watched")
        if number < 0:
            if len(self.steps) < -number:
                raise KeyError(f"no step {number}: only {len(self.steps)} were kept whole")
            return self.steps[number]
        for step in self.steps:
            if step.number == number:
                return step
        raise KeyError(f"step {number} was not kept whole; kept: {', '.join(str(s.number) for s in self.steps)} (see keep=)")
