"""Recording a call: the program runs as ever, and an observer writes down what happens to arrays.

Nothing is simulated: what is recorded has happened, with its effects and its errors. So where the record turns out not to tell all
(a number was looked at, a tensor kept where the record cannot see it), nothing is lost: the call has been made, and only its
record is thrown away.

Arrays are told apart by the memory they own. Memory that is met and that no recorded operation made belongs to an argument, or to a
tensor outside (alive when the call is over), or to a constant of the program (`made`); any other was computed by means that the
record does not show, and the record is refused.

# Note [Memory of arguments]
An argument is often a piece of something larger (`step(data[i : i + 16])`), and another piece at the next call. So its buffer begins at
its own first element, not where the memory that it is a piece of begins, and a tensor belongs to it if it was derived from it.
"""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from types import FrameType
from typing import Any

import numpy as np
from numpy import ndarray

from retrograd.autograd.modes import set_grad_enabled
from retrograd.autograd.reverse import gradients
from retrograd.compile.arguments import opened
from retrograd.compile.graph import Buffer, Call, Draw, Program, Result, Source, Tie, Update, View, Write, draws
from retrograd.compile.parting import split
from retrograd.compile.witness import watching_python
from retrograd.core.levels import Observer, local, observed
from retrograd.core.op import Op
from retrograd.core.tape import edge_of, key_of
from retrograd.core.tensor import LEAF, Box, Cleared, Tensor, address, current_node, owner, wrap
from retrograd.errors import Uncompilable, user_frame, user_location
from retrograd.pytree import tree_flatten

STRAY = "a tensor that was made by means that the record does not show (a copy of its array, NumPy)"
KEPT = "a tensor that the function computes is kept outside it", "the function keeps"
LATER = "what the function needs did not exist yet"  # no fault of the program: the next call is recorded


class Refused(Exception):
    """A call cannot be recorded; the text says why, and where."""


class Met:
    """A tensor that the record did not see made: as it was when it was first met."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = weakref.ref(tensor)
        self.data, self.counter = tensor._data, tensor._version
        self.version = tensor._version[0]
        node = tensor._node
        self.node = node if node is None or node is LEAF else weakref.ref(node.grad_fn)

    def moved(self, tensor: Tensor) -> bool:
        """Whether the tensor has other memory, or another place on the tape."""
        node = tensor._node
        place = node if node is None or node is LEAF else node.grad_fn
        return tensor._data is not self.data or place is not (self.node() if isinstance(self.node, weakref.ref) else self.node)


class Recorder(Observer):
    """Writes down one call.

    Args:
        strict: what cannot be recorded raises there and then.
        hooked: ids of the tensors whose hooks are known not to change unnoticed.
    """

    def __init__(self, arguments: Sequence[Tensor], strict: bool = False, hooked: Set[int] = frozenset()) -> None:
        self.strict, self.hooked = strict, hooked
        self.steps: list[Any] = []
        self.scalars = 0
        self.shared_scalars: dict[Any, int] = {}  # where the live numbers of parameters that have the same begin
        self.arrays: dict[int, tuple[ndarray, Buffer]] = {}  # by id: arrays of which it is known where they are
        self.roots: dict[int, list[Buffer]] = {}  # by id of the array that owns memory: the buffers there
        self.owners: dict[Buffer, ndarray] = {}  # kept alive, so that ids stay theirs
        self.starts: dict[Buffer, int] = {}  # addresses
        self.places: dict[Buffer, str] = {}  # where memory from outside was first met
        self.written: set[Buffer] = set()
        self.stated: set[Buffer] = set()  # whose numbers follow from those that the program states
        self.met: dict[int, Met] = {}  # by id of the tensor
        self.on_buffer: dict[Buffer, list[Met]] = {}
        self.made_here: dict[int, Any] = {}  # tensors that operations gave, weakly, by id
        self.made_by: dict[int, Any] = {}  # the lines of the user's that called for them
        self.young: set[int] = set()  # ids of the tensors that did not exist before the call
        self.states: dict[int, tuple[Any, Any, str]] = {}  # by id of a tensor of an optimizer's state: where it is found
        self.set: dict[int, tuple[Any, bool]] = {}  # leaves whose .grad was set, weakly, and whether there was one before
        self.dropped: set[int] = set()  # by id: those of them that had a gradient at some time before
        self.cleared: dict[int, Any] = {}  # by id: what is in `.grad` of those that were cleared first
        self.entry: dict[int, tuple[Any, Any, int]] = {}  # leaves whose .grad mattered before it was set, what it was, its version
        self.refused: str | None = None
        self.open: list[Tensor] = []  # results that need a gradient
        self.mark = 0  # how many steps there were when the call was over
        self.walk_at: str | None = None  # where the last backward pass began
        self.tie: Tie | None = None
        self.seeds: list[Buffer] = []
        self.input_gradients: list[View | None] = []
        self.after: list[tuple[Any, Callable[[], Any] | None]] = []
        self.arguments = list(arguments)
        for i, x in enumerate(arguments):
            self.meet(x)
            if any(n < 0 for n in x._data.strides):
                self.refuse("an argument has negative strides")
            buffer = self.add(x._data, "argument", address(x._data), extent(x._data), Source(None, i))
            buffer.layout = x._data.shape, x._data.strides, x._data.dtype
            self.arrays[id(x._data)] = x._data, buffer

    # ------------------------------------------------------------ what happens

    def refuse(self, why: str, at: str | None = None) -> None:
        if self.refused is None:
            self.refused = f"{why}, at {at or user_location()}"
            if self.strict and why is not LATER:
                raise Uncompilable(self.refused)

    def ran(self, op: Op, args: Sequence[Any], params: dict[str, Any], outs: Sequence[Any]) -> None:
        if self.refused is not None:
            return
        operands = [self.view(a) if isinstance(a, Tensor) else a for a in args]  # first: a result may be a view of memory met here
        stated = all(a.buffer in self.stated for a in operands if isinstance(a, View))
        if op.facts.get("sized_by_numbers"):
            if not stated:
                return self.refuse(f"the size of what {op.name} gives depends on numbers (a boolean index, nonzero, unique, bincount)")
            for out in outs:
                self.made(out)
            return None
        results = []
        fresh, line = False, user_line()
        for out in outs:
            root = owner(out._data)
            inside = next((a.buffer for a in operands if isinstance(a, View) and self.owners[a.buffer] is root), None)
            if inside is None and id(root) not in self.roots:
                fresh = True
            buffer = inside or self.buffer_of(out._data, root, "made")
            self.arrays[id(out._data)] = out._data, buffer
            self.made_here[id(out)] = weakref.ref(out)
            self.made_by[id(out)] = line
            results.append(self.view_in(buffer, out._data))
        if fresh:
            self.steps.append(Call(op, operands, dict(params), results))
            self.stated |= {v.buffer for v in results if stated}

    def wrote(self, target: Tensor, value: Tensor) -> None:
        if self.refused is None:
            to, what = self.view(target), self.view(value)
            self.written.add(to.buffer)
            self.steps.append(Write(to, what))
            if what.buffer not in self.stated:
                self.stated.discard(to.buffer)

    def made(self, tensor: Tensor) -> None:
        root = owner(tensor._data)
        self.made_here[id(tensor)] = weakref.ref(tensor)
        if id(root) not in self.roots:
            self.stated.add(self.add(root, "constant", address(root), root.nbytes, root.copy()))

    def drew(self, name: str, function: Callable[..., Any], operands: Sequence[ndarray], result: ndarray | None) -> None:
        if self.refused is not None:
            return
        given = [self.view(wrap(a)) for a in operands]
        views = []
        if result is not None:
            root = owner(result)
            views = [self.view_in(self.add(root, "made", address(root), root.nbytes), result)]
        self.steps.append(Draw(name, function, given, views))

    def shared(self, tensor: Tensor, other: Tensor) -> None:
        if tensor.__class__ is not Box:
            self.view(tensor)  # `other` has the same array
            self.made_here[id(other)] = weakref.ref(other)

    def exchanged(self, tensor: Tensor) -> None:
        self.refuse("a tensor got the memory of another (x.data = y)")

    def walked(self, edges: Sequence[Any], keep: bool) -> None:
        if self.tie is not None:
            return  # the backward pass that is recorded for later
        self.walk_at = user_location()
        outside = {id(node.grad_fn) for x in self.arguments if (node := current_node(x)) is not None and node is not LEAF}
        if outside and any(id(node) in outside for node in behind(edges)):
            self.refuse("backward() goes through an argument that has a history of its own (grad_fn)")

    def gradient_met(self, leaf: Tensor, grad: Tensor | None) -> None:
        if id(leaf) not in self.set and id(leaf) not in self.entry and not self.is_made_here(leaf):
            self.entry[id(leaf)] = weakref.ref(leaf), grad, grad._version[0] if grad is not None else 0
            if grad is not None:
                self.add_gradient(leaf, grad)

    def gradient_set(self, leaf: Tensor, before: Tensor | None, after: Tensor | None = None) -> None:
        if id(leaf) not in self.set:
            self.set[id(leaf)] = weakref.ref(leaf), before is not None
        elif before is None and id(leaf) in self.dropped:
            self.cleared.setdefault(id(leaf), "cleared" if leaf._grad.__class__ is Cleared else None)
        if before is not None:
            self.dropped.add(id(leaf))

    def updates(self, optimizer: Any, group: dict[str, Any], p: Tensor, grad: Tensor) -> None:
        if self.refused is not None:
            return
        if any(o is optimizer and again is not None for o, again in self.after):
            return self.refuse("an optimizer's hyperparameters changed before its step")
        if any(self.is_written(x) for x in hyperparameters(group)):
            return self.refuse("a hyperparameter that is a tensor was written to before the optimizer's step")
        state = optimizer.state[p]
        names = optimizer.buffers(group)
        if any(state.get(n) is None for n in names) or ("step" in state) != counts(optimizer, group, state):
            return self.refuse(LATER)
        self.states.update({id(state[n]): (optimizer, p, n) for n in names})
        targets = [self.view(t) for t in (p, *[state[n] for n in names])]
        self.written.update(to.buffer for to in targets)
        with observed(None):
            count = len(optimizer.scalars(group, trial_state(state)))
        earlier = sum(isinstance(s, Update) and s.parameter is p and s.optimizer is optimizer for s in self.steps)
        like = (id(optimizer), id(group), earlier, float(state["step"]._data) if "step" in state else None)
        first = self.shared_scalars.setdefault(like, self.scalars)
        self.scalars = max(self.scalars, first + count)
        self.steps.append(Update(optimizer, group, p, targets, self.view(grad), first, count))

    def stepped(self, optimizer: Any) -> None:
        self.after.append((optimizer, None))

    def changes(self, optimizer: Any, again: Callable[[], Any]) -> None:
        self.after.append((optimizer, again))

    # ------------------------------------------------------------ whose memory is whose

    def add(self, data: ndarray, kind: str, start: int, nbytes: int, source: Any = None) -> Buffer:
        root = owner(data)
        buffer = Buffer(kind, nbytes, f"{kind[0]}{len(self.owners)}", source)
        self.roots.setdefault(id(root), []).append(buffer)
        self.owners[buffer], self.starts[buffer] = root, start
        return buffer

    def add_gradient(self, leaf: Tensor, grad: Tensor) -> None:
        """Says that memory is that of a leaf's gradient."""
        if id(grad._data) not in self.arrays and id(owner(grad._data)) not in self.roots:
            self.meet(grad)
            buffer = self.add(grad._data, "gradient", address(grad._data), extent(grad._data), leaf)
            buffer.layout = grad._data.shape, grad._data.strides, grad._data.dtype
            self.arrays[id(grad._data)] = grad._data, buffer

    def buffer_of(self, data: ndarray, root: ndarray, kind: str) -> Buffer:
        """The buffer that an array is in, of which only the memory is known; `kind` if there is none."""
        known = self.arrays.get(id(data))
        if known is not None:
            return known[1]
        there = self.roots.get(id(root))
        if there is None:
            buffer = self.add(root, kind, address(root), root.nbytes)
            if kind == "held":
                self.places[buffer] = user_location()
            return buffer
        if len(there) > 1 or there[0].kind == "argument":
            self.refuse("a tensor shares memory with an argument of which it was not made")
        return there[0]

    def is_made_here(self, tensor: Tensor) -> bool:
        reference = self.made_here.get(id(tensor))
        return reference is not None and reference() is tensor

    def is_written(self, tensor: Tensor) -> bool:
        """Whether the record has a write to a tensor's memory."""
        return any(b in self.written for b in self.roots.get(id(owner(tensor._data)), ()))

    def meet(self, tensor: Tensor) -> Met:
        """Notes what a tensor that the record did not see made is like."""
        met = self.met.get(id(tensor))
        if met is None or met.tensor() is not tensor:
            met = self.met[id(tensor)] = Met(tensor)
        return met

    def view(self, tensor: Tensor) -> View:
        """A tensor as elements of a buffer."""
        if tensor.__class__ is Box:
            self.refuse("a value of a transform reached an operation outside it")
        data = tensor._data
        buffer = self.buffer_of(data, owner(data), "held")
        if self.is_made_here(tensor):
            return self.view_in(buffer, data)
        if buffer.kind in ("made", "constant"):  # a drawn tensor
            self.made_here[id(tensor)] = weakref.ref(tensor)
        else:
            self.on_buffer.setdefault(buffer, []).append(self.meet(tensor))
        return self.view_in(buffer, data)

    def view_in(self, buffer: Buffer, data: ndarray) -> View:
        offset = address(data) - self.starts[buffer]
        if data.size and (offset < 0 or offset + extent(data) > buffer.nbytes):
            self.refuse("a tensor reaches beyond the memory of the argument that it was made of")
        return View(buffer, offset, data.shape, data.strides, data.dtype)

    # ------------------------------------------------------------ the end

    def note_young(self) -> None:
        """Notes which tensors the call has made: those of the youngest generation, if nothing was collected meanwhile."""
        self.young = {id(x) for x in gc.get_objects(generation=0) if isinstance(x, Tensor)}

    def is_stray(self, tensor: Tensor) -> bool:
        """Whether the call has made a tensor without an operation that the record shows (a copy of its array, say)."""
        return id(tensor) in self.young and not self.is_made_here(tensor)

    def end(self, result: Any, chosen: Set[int]) -> None:
        """The call is over and has returned `result`. If derivatives were asked for outside before, or it is now or never, the backward
        pass is recorded too.

        Args:
            chosen: of which of the results that need a gradient one is asked for outside.
        """
        for x in tree_flatten(result)[0]:
            if isinstance(x, Tensor) and not any(x is y for y in self.open) and self.hangs_on_the_tape(x):
                self.open.append(x)
        self.mark = len(self.steps)
        if not self.open or self.refused is not None:
            return
        inputs = [x for met in self.met.values() if (x := met.tensor()) is not None and x.requires_grad and x._data.dtype.kind in "fc"]
        quiet = not draws(self.steps) and not self.written and not self.set
        self.tie = Tie([self.source(x) for x in inputs], len(self.open), quiet)
        if chosen or not quiet:
            self.tie.chosen = sorted(i for i in chosen if i < len(self.open)) or list(range(len(self.open)))
            self.record_backward(inputs)

    def hangs_on_the_tape(self, x: Tensor) -> bool:
        """Whether a result is to be differentiated by the program: not a view of a tensor from outside, which is made of that at each call."""
        return self.is_made_here(x) and needs_gradient(x) and self.view(x).buffer.kind in ("made", "constant")

    def record_backward(self, inputs: Sequence[Tensor]) -> None:
        """Records the backward pass of the results, with stand-ins for the cotangents to come."""
        assert self.tie is not None
        outs = [self.open[i] for i in self.tie.chosen]
        seeds = [wrap(np.ones(x.shape, x._data.dtype)) for x in outs]
        for x in seeds:
            self.meet(x)
            self.seeds.append(self.add(x._data, "argument", address(x._data), x._data.nbytes, Source(None, -1)))
            self.arrays[id(x._data)] = x._data, self.seeds[-1]
        try:
            with set_grad_enabled(True):
                found = gradients(outs, inputs, seeds, True, False, ends=True)
        except RuntimeError as error:  # where nobody asks for it, the function has no such error
            return self.refuse(f"the gradient of the results cannot be had: {error}")
        self.input_gradients = [None if g is None else self.view(g) for g in found]
        self.tie.leads = [led_to(x, inputs) for x in outs]
        for x in seeds:
            del self.met[id(x)]

    def finish(self, result: Any) -> Program:
        """The program, once the call is over and has returned `result`."""
        leaves, _ = tree_flatten(result)
        gradients = self.final_gradients()
        of_gradient = {id(leaf._grad): source for source, _ in gradients if isinstance((leaf := source.find(self.arguments))._grad, Tensor)}
        found: dict[int, Result] = {}
        for x in leaves:
            if isinstance(x, Tensor) and id(x) not in found:
                source = of_gradient.get(id(x))
                found[id(x)] = self.result(x) if source is None else Result(self.view(x), same_as=source, of_gradient=True)
        results = [found[id(x)] if isinstance(x, Tensor) else x for x in leaves]
        if self.refused is not None:
            raise Refused(self.refused)
        given_out = [x for x in (*leaves, *[source.find(self.arguments)._grad for source, _ in gradients]) if isinstance(x, Tensor)]
        self.check_hooks()
        self.check_kept({id(x) for x in given_out} | {id(x._base.base) for x in given_out if x._base is not None})
        outside, writes = self.settle_outside()
        program = Program(
            self.steps, results, gradients, self.entry_gradients(), outside, writes, self.after, len(self.arguments), self.tie,
            self.walk_at is not None, [(source, self.cleared[id(x)]) for source, _ in gradients if id(x := source.tensor) in self.cleared],
        )  # fmt: skip
        self.check_counts(program)
        self.settle_steps(program)
        self.settle_sources(program, outside)
        self.check_apart(program)
        return program

    def settle_steps(self, program: Program) -> None:
        """Drops what is not needed, and parts the backward program from the other."""
        tie = program.tie
        if tie is None or not tie.chosen:
            program.settle_constants()
            program.without_dead_steps()
            return
        later = {id(s) for s in self.steps[self.mark :]}
        tie.saved = [g for g in self.input_gradients if g is not None]  # for now: nothing that leads to them is dropped
        program.settle_constants()
        program.without_dead_steps()
        try:
            split(program, tie, later, self.input_gradients, self.seeds)
        except ValueError as error:
            raise Refused(str(error)) from None

    def source(self, tensor: Tensor) -> Source:
        """Where a tensor from outside is found."""
        where = next((i for i, a in enumerate(self.arguments) if a is tensor), None)
        if where is not None:
            return Source(None, where)
        return Source(tensor, None, self.states.get(id(tensor)), tensor._data, tensor._node, id(tensor) in self.hooked)

    def result(self, x: Tensor) -> Result:
        """What is returned."""
        view = self.view(x)
        if self.is_stray(x):
            self.refuse(f"the result is {STRAY}")
        if not self.is_made_here(x):
            return Result(view, same_as=self.source(x))
        if view.buffer.kind != "made" and view.buffer.kind != "constant":
            base = None if x._base is None else x._base.base
            if view.buffer.kind == "argument":  # which may be a view of another tensor at each call
                base = self.arguments[view.buffer.source.argument]
            chain = None if base is None or self.is_made_here(base) else chain_between(base, x)
            if chain is not None:
                return Result(view, same_as=self.source(base), chain=chain)  # type: ignore[arg-type]
            self.refuse("the result shares memory with a tensor from outside")
        if x._node is LEAF:
            self.refuse("the result is a leaf that the function made")
        tied = next((i for i, y in enumerate(self.open) if y is x), None)
        return Result(view, x._node if tied is None else None, tied, inference=x._extra is not None and x._extra.inference)

    def final_gradients(self) -> list[tuple[Source, Any]]:
        """What is in `.grad` at the end, of the leaves that live on."""
        found: list[tuple[Source, Any]] = []
        for reference, _ in self.set.values():
            leaf = reference()
            if leaf is None:
                continue
            if self.is_made_here(leaf):
                self.refuse("the gradient of a tensor that the function made is kept")
            grad = leaf._grad
            if isinstance(grad, Tensor) and grad._node is not None:
                self.refuse("a gradient has a history (create_graph=True)", self.walk_at)
            if grad.__class__ is Cleared and id(leaf) not in self.dropped:
                continue  # where there was none before, clearing leaves it as it is
            value = grad if grad is None else "cleared" if grad.__class__ is Cleared else self.view(grad)
            if isinstance(value, View) and not (value.buffer.kind in ("made", "constant") or value.buffer.source is leaf):
                self.refuse("a gradient shares memory with a tensor from outside", self.walk_at)
            found.append((self.source(leaf), value))
        return found

    def entry_gradients(self) -> list[tuple[Source, bool]]:
        """The leaves for which it matters whether there is a gradient at the start, and whether there was one."""
        found = [(leaf, grad is not None) for r, grad, _ in self.entry.values() if (leaf := r()) is not None]
        met = {id(leaf) for leaf, _ in found}
        for reference, there in self.set.values():  # an absent gradient stays absent when it is cleared
            leaf = reference()
            if leaf is not None and id(leaf) not in met and not isinstance(leaf._grad, Tensor):
                found.append((leaf, there))
        return [(self.source(leaf), there) for leaf, there in found]

    def check_hooks(self) -> None:
        """Refuses if a backward pass may have called hooks of a leaf that are not known."""
        leaves = [x for met in self.met.values() if (x := met.tensor()) is not None and x._node is LEAF] if self.walk_at else []
        if any(has_hooks(x) and id(x) not in self.hooked for x in leaves):
            raise Refused(f"a hook is called with a gradient, at {self.walk_at}")

    def check_kept(self, accounted: set[int]) -> None:
        """Refuses if a tensor that the program computed is kept where the record does not see it."""
        if self.kept(accounted) is not None:
            gc.collect()  # transforms leave cycles behind
            kept = self.kept(accounted)
            if kept is not None:
                made = f", at {self.made_by[kept]}" if self.made_by.get(kept) else ""
                raise Refused(
                    f"{KEPT[0]}, and would not change with later calls (numbers can be written into a tensor that stays: x.copy_(y)){made}"
                )

    def kept(self, accounted: set[int]) -> int | None:
        """The id of a tensor that lives, that the program computed, and that is not accounted for."""
        known = accounted | {id(a) for a in self.arguments}
        return next((i for i, ref in self.made_here.items() if (x := ref()) is not None and id(x) not in known), None)

    def settle_outside(self) -> tuple[list[Source], list[tuple[Source, bool, int]]]:
        """The tensors outside, and how often each was written to. Refuses what a program cannot do to them."""
        gradients = {id(g): leaf for r, g, _ in self.entry.values() if g is not None and (leaf := r()) is not None}
        outside: list[Source] = []
        writes: list[tuple[Source, bool, int]] = []
        counted: set[int] = set()
        for met in self.met.values():
            tensor = met.tensor()
            if tensor is None:
                continue
            if self.is_stray(tensor):
                raise Refused(f"{KEPT[1]} {STRAY}")
            if met.moved(tensor):
                raise Refused("a tensor from outside got other memory, or another place on the tape (by a write in place)")
            times = met.counter[0] - met.version
            in_gradient = id(tensor) in gradients
            source = self.source(gradients[id(tensor)] if in_gradient else tensor)
            if source.argument is None and not in_gradient:
                outside.append(source)
            if times and id(met.counter) not in counted:
                writes.append((source, in_gradient, times))
                counted.add(id(met.counter))
            if tensor._node is not None and tensor._node is not LEAF and local.grad and source.argument is None:
                raise Refused("a tensor from outside has a history of its own (grad_fn), which the program would differentiate")
        return outside, writes

    def settle_sources(self, program: Program, outside: Sequence[Source]) -> None:
        """Finds out to whom memory from outside belongs."""
        by_id = {id(source.tensor): source for source in outside}
        self.arrays.clear()
        for buffer in program.buffers():
            if buffer.kind == "gradient":
                buffer.source = self.source(buffer.source)
            if buffer.kind != "held":
                continue
            root = self.owners[buffer]
            alive = [by_id[id(t)] for met in self.on_buffer.get(buffer, ()) if (t := met.tensor()) is not None and id(t) in by_id]
            # where no tensor is left, someone else may hold the memory: other than `owners`, this frame and the question
            ours = sum(met.data is root or met.data.base is root for met in self.on_buffer.get(buffer, ()))
            if not alive and sys.getrefcount(root) <= 3 + ours:
                means = "means that the record does not show (NumPy, or Python's numbers)"
                raise Refused(f"a tensor was computed from others by {means}, at {self.places[buffer]}")
            buffer.source = alive[0] if alive else root

    def check_counts(self, program: Program) -> None:
        """Refuses if an optimizer's count of steps is looked at: it is none of a program's numbers, but counted before it runs."""
        used = set(program.buffers())
        for step in self.steps:
            count = step.optimizer.state[step.parameter].get("step") if isinstance(step, Update) else None
            if count is not None and any(b in used for b in self.roots.get(id(owner(count._data)), ())):
                raise Refused("an optimizer's count of steps is looked at")

    def check_apart(self, program: Program) -> None:
        """Refuses if memory that is written to is reached in two ways."""
        used = [b for b in program.buffers() if b.kind in ("argument", "held", "gradient")]
        for b in used:
            if b in self.written and any(other is not b and self.owners[other] is self.owners[b] for other in used):
                raise Refused("memory that the function writes to is reached by two arguments, or by an argument and from outside")


class Line:
    """A line of the user's program, as text only where it is asked for."""

    def __init__(self, frame: FrameType) -> None:
        self.code, self.number = frame.f_code, frame.f_lineno

    def __str__(self) -> str:
        return f"{self.code.co_filename}:{self.number} in {self.code.co_name}"


def user_line() -> Line | None:
    """The line of the user's program that is running."""
    frame = user_frame(2)
    return None if frame is None else Line(frame)


def chain_between(base: Tensor, x: Tensor) -> tuple[Any, ...] | None:
    """The view operations that lead from one tensor, which may be a view too, to another; None if none do."""
    root, before = (base, ()) if base._base is None else (base._base.base, base._base.chain)
    if x._base is None or x._base.base is not root or len(x._base.chain) < len(before):
        return None
    same = all(a is b for a, b in zip(before, x._base.chain, strict=False))
    return x._base.chain[len(before) :] if same else None


def has_hooks(leaf: Tensor) -> bool:
    """Whether a leaf has hooks that a backward pass calls."""
    return leaf._extra is not None and bool(leaf._extra.hooks or leaf._extra.post_accumulate)


def extent(data: ndarray) -> int:
    """How many bytes there are from an array's first element to the end of its last."""
    return sum((n - 1) * s for n, s in zip(data.shape, data.strides, strict=True)) + data.itemsize if data.size else 0


def hyperparameters(group: dict[str, Any]) -> list[Tensor]:
    """The hyperparameters that are tensors."""
    values = [v for k, v in group.items() if k != "params"]
    return [x for v in values for x in (v if isinstance(v, (list, tuple)) else (v,)) if isinstance(x, Tensor)]


def trial_state(state: dict[str, Any]) -> dict[str, Any]:
    """An optimizer's state of one parameter, with a step count of its own."""
    return {k: wrap(v._data.copy()) if isinstance(v, Tensor) and not v.ndim else v for k, v in state.items()}


def counts(optimizer: Any, group: dict[str, Any], state: dict[str, Any]) -> bool:
    """Whether an optimizer counts the steps of a parameter."""
    trial = trial_state(state)
    with observed(None):
        optimizer.scalars(group, trial)
    return "step" in trial


def behind(edges: Sequence[Any]) -> Iterator[Any]:
    """The nodes that edges lead to, and those behind them."""
    stack = [e.grad_fn for e in edges if e is not None and not isinstance(e, Tensor)]
    seen = {id(node) for node in stack}
    while stack:
        node = stack.pop()
        yield node
        for e in node.edges:
            if e is not None and not isinstance(e, Tensor) and id(e.grad_fn) not in seen:
                seen.add(id(e.grad_fn))
                stack.append(e.grad_fn)


def led_to(x: Tensor, inputs: Sequence[Tensor]) -> set[int]:
    """Which inputs a backward pass from `x` comes to, if it ends at them."""
    ends = {key_of(edge_of(y)): i for i, y in enumerate(inputs)}
    closed = {node for node, _ in ends}
    found: set[int] = set()
    stack = [current_node(x).grad_fn]
    while stack:
        for e in stack.pop().edges:
            if e is None:
                continue
            if key_of(e) in ends:
                found.add(ends[key_of(e)])
            elif not isinstance(e, Tensor) and id(e.grad_fn) not in closed:
                closed.add(id(e.grad_fn))
                stack.append(e.grad_fn)
    return found


def needs_gradient(x: Tensor) -> bool:
    """Whether a result has a history that a backward pass can still go through."""
    node = current_node(x)
    return node is not None and node is not LEAF and all(n.facts is not None for n in behind([node]))


@contextmanager
def uncollected() -> Iterator[None]:
    """While the block runs, no garbage is collected: all that it makes is of the youngest generation, and nobody is told of collections."""
    gc.collect(0)
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def record(
    function: Any, args: Sequence[Any], kwargs: dict[str, Any], strict: bool = False, chosen: Set[int] = frozenset(),
    hooked: Set[int] = frozenset(),
) -> tuple[Any, Program | None, str | None]:  # fmt: skip
    """Calls `function`, and returns its result with the program that it ran, or with the reason why there is no record.

    Args:
        strict: raise where something happens that cannot be recorded.
        chosen: which of the results that need a gradient are differentiated outside.
        hooked: ids of the tensors whose hooks are known not to change unnoticed.

    Raises:
        Uncompilable: with `strict`, in place of a reason.
    """
    arguments: list[Tensor] = []
    for x in tree_flatten(opened((list(args), kwargs)))[0]:
        if isinstance(x, Tensor) and not any(x is a for a in arguments):
            arguments.append(x)
    recorder = Recorder(arguments, strict, hooked)
    with uncollected(), observed(recorder), watching_python(recorder.refuse):
        result = function(*args, **kwargs)
        recorder.note_young()
        recorder.end(result, chosen)
    try:
        return result, recorder.finish(result), None
    except Refused as refused:
        return result, None, str(refused)
