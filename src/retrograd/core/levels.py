"""Who interprets an operation: plain eager execution, or a transform that has asked to see it first.

A value has a level. Level 0 is a Tensor that holds an array. A transform of `retrograd.func`, or a capture, is an
`Interpreter` at a level of its own; its values are `Box`es around values of the level below. An operation is handed to the
interpreter of its highest operand, which calls it again on what is in the boxes.

Eager code pays one comparison for all this: `switch.special` is zero unless, in some thread, something is unusual
(a transform is running, gradients are off, anomaly mode is on). It may be non-zero for another thread's sake, so what it
guards must look at `local`, never assume.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retrograd.core.op import Op


class Switch:
    """Counts the reasons, over all threads, why an operation may not take the shortest path.

    `modules` is another number whenever an attribute of any module was set: who remembers what modules hold looks at it.
    """

    __slots__ = ("_lock", "modules", "special")

    def __init__(self) -> None:
        self.special = 0
        self.modules = 0
        self._lock = threading.Lock()

    def add(self, n: int) -> None:
        """Adds (or with a negative `n` takes away) reasons."""
        with self._lock:
            self.special += n


_module_changes = itertools.count(1)


def module_changed() -> None:
    """Says that an attribute of some module was set."""
    switch.modules = next(_module_changes)


class Local(threading.local):
    """What is unusual in this thread."""

    def __init__(self) -> None:
        self.grad = True  # operations are recorded
        self.inference = False  # tensors made here can never be recorded
        self.raw = False  # a backward pass is running rules on bare arrays
        self.anomaly: Any = None  # record where operations were called, and look for NaN
        self.saved_hooks: list[tuple[Callable[..., Any], Callable[..., Any]]] = []
        self.walk: Any = None  # the reverse walk that began last, weakly
        self.depth = 0  # levels in use
        self.stack: tuple[Interpreter, ...] = ()  # the interpreters that have them, as far as the running code may know
        self.observer: Observer | None = None


switch = Switch()
local = Local()


def set_flag(name: str, value: Any) -> None:
    """Sets a flag of this thread, keeping count in `switch`."""
    usual = name == "grad"
    before = getattr(local, name)
    setattr(local, name, value)
    switch.add((bool(value) != usual) - (bool(before) != usual))


def observer() -> Observer | None:
    """Who watches what runs in this thread, if anyone does."""
    return local.observer if switch.special else None


@contextmanager
def unwatched() -> Iterator[None]:
    """While the block runs, nobody watches what this thread does."""
    watched, local.observer = local.observer, None
    try:
        yield
    finally:
        local.observer = watched


def only_looked_at() -> bool:
    """Whether nothing else is unusual in this thread than an observer who only looks on."""
    watched = local.observer
    if watched is None or watched.complete:
        return False
    if switch.special == 1:  # the observer is the only reason in all threads
        return True
    return local.grad and not local.depth and not local.inference and local.anomaly is None and not local.saved_hooks


def complete_observer() -> Observer | None:
    """Who watches, if what runs must be operations on tensors for its sake."""
    watched = observer()
    return watched if watched is not None and watched.complete else None


def refuse_record(why: str = "the numbers of a tensor were looked at") -> None:
    """Tells who watches of what no record of operations can tell: by default, that Python may do with numbers what it likes."""
    if switch.special and local.observer is not None:
        local.observer.refuse(why)


class Observer:
    """Watches a program run: every operation on tensors that hold arrays, and whatever happens to arrays besides."""

    complete = True  # all is run as operations on tensors, backward passes too, so that a record can be run again; else as ever

    def entered(self, module: Any) -> None:
        """A module is about to be called."""

    def left(self, module: Any) -> None:
        """The call of the module entered last is over."""

    def ran(self, op: Op, args: Sequence[Any], params: dict[str, Any], outs: Sequence[Any]) -> None:
        """An operation ran on tensors and gave tensors."""

    def applied(self, node: Any, args: Sequence[Any], params: dict[str, Any], outs: Sequence[Any]) -> None:
        """A custom Function ran, and has its place on the tape: a node that no operation made."""

    def wrote(self, target: Any, value: Any) -> None:
        """The numbers of the tensor `value` are about to be written over those of `target`."""

    def made(self, tensor: Any) -> None:
        """A tensor was made from nothing but numbers that the program states (`zeros(3)`)."""

    def drew(self, name: str, function: Callable[..., Any], operands: Sequence[Any], result: Any) -> None:
        """`function(*operands)` took numbers from a generator and gave the fresh array `result` (None: it only set the generator)."""

    def shared(self, tensor: Any, other: Any) -> None:
        """`other` was made on the memory of `tensor`, without an operation."""

    def copied(self, tensor: Any, other: Any) -> None:
        """`other` was made of the numbers of `tensor`, without an operation."""

    def exchanged(self, tensor: Any) -> None:
        """A tensor is about to get the memory of another."""

    def refuse(self, why: str) -> None:
        """Something happened that no record of operations can tell: numbers were looked at."""

    def walked(self, edges: Sequence[Any], keep: bool) -> None:
        """A backward pass began at these edges; unless `keep`, it freed what it went through."""

    def pulled(self, node: Any, g: Any, results: Sequence[Any]) -> None:
        """A backward pass took the cotangent(s) `g` of a node's output(s) to those of its operands; neither is to be kept as it is."""

    def gave(self, leaf: Any, g: Any) -> None:
        """`grad()` is about to return the gradient `g` of a leaf."""

    def gradient_came(self, leaf: Any, g: Any) -> None:
        """A backward pass is about to add a cotangent to a leaf's `.grad`."""

    def gradient_met(self, leaf: Any, grad: Any) -> None:
        """What is in a leaf's `.grad` (a tensor or None) is about to matter."""

    def gradient_set(self, leaf: Any, before: Any, after: Any = None) -> None:
        """A leaf's `.grad`, in which there was `before`, is given another value: `after`, or None where it is cleared or a pass adds to it."""

    def updates(self, optimizer: Any, group: dict[str, Any], p: Any, grad: Any) -> None:
        """An optimizer is about to update a parameter."""

    def stepped(self, optimizer: Any) -> None:
        """An optimizer has taken a step, and is about to tell those who wait for it."""

    def changes(self, optimizer: Any, again: Callable[[], Any]) -> None:
        """Hyperparameters of an optimizer are about to change, as they would once more by `again()`."""


class Interpreter:
    """Gives operations another meaning while its level is in use."""

    level = 0
    alive = True  # until its level is given back
    randomness: str | None = None  # what random operations do: "error", "different", "same"; None: nothing unusual

    def process(self, op: Op, args: Sequence[Any], params: dict[str, Any]) -> Any:
        """The meaning of `op(*args, **params)`, some of whose operands are boxes of this interpreter."""
        raise NotImplementedError

    def concrete(self, value: Any) -> Any:
        """The value of the level below, for what must look at numbers (`item`, `bool`), or raise RuntimeError."""
        raise RuntimeError(f"the numbers of a tensor inside {type(self).__name__.lower()} cannot be looked at")

    def lift(self, value: Any) -> Any:
        """A tensor made from nothing, as a value of this level."""
        return value

    def spread(self, value: Any) -> Any:
        """A tensor whose first dim has a row for each example of this level, as a value of it."""
        raise NotImplementedError


def lifted(value: Any) -> Any:
    """A tensor made from nothing, as a value of the running transforms, so that what they compute can be written to it."""
    for interpreter in local.stack:
        value = interpreter.lift(value)
    return value


@contextmanager
def observed(by: Observer | None) -> Iterator[None]:
    """While the block runs, `by` (or nobody) watches what this thread does."""
    outer, local.observer = local.observer, by
    switch.add(1)
    try:
        yield
    finally:
        switch.add(-1)
        local.observer = outer


@contextmanager
def level(interpreter: Interpreter) -> Iterator[Any]:
    """Gives `interpreter` the next level while the block runs."""
    local.depth += 1
    switch.add(1)
    interpreter.level = local.depth
    outer = local.stack
    local.stack = (*outer, interpreter)
    try:
        yield interpreter
    finally:
        interpreter.alive = False
        local.stack = outer
        switch.add(-1)
        local.depth -= 1
