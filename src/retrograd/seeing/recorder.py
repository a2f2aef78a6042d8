"""Watches a program and takes notes of what it does, at little cost: arrays are not copied but borrowed (borrowing.py).

Whoever is about to write to memory says so first (`levels.Observer`), and then all that was borrowed of it is copied. When the watching
ends, whatever the program still holds is copied too. Only writes through `x.numpy()`, of which the library knows nothing, go unnoticed.

A step ends when parameters have been updated, by an optimizer or by the program itself, and the next operation runs with gradients on. Of
every so many steps one is watched: in between nobody watches, and an optimizer's hook counts; where there is no optimizer, the recorder
goes on watching, and notes nothing.
"""

from __future__ import annotations

import functools
import itertools
import math
import os
import sys
import threading
from collections.abc import Callable, Sequence
from inspect import CO_OPTIMIZED
from types import FrameType, TracebackType
from typing import Any
from weakref import ref

import numpy as np
from numpy import ndarray

from retrograd.autograd.function import FunctionCtx
from retrograd.autograd.reverse import as_sequence, backward
from retrograd.core.levels import Observer, local, switch
from retrograd.core.op import Op
from retrograd.core.tape import Node, Walk, name_of_leaf
from retrograd.core.tensor import LEAF, Box, Tensor, current_node, real_grad
from retrograd.errors import PACKAGE, is_standard
from retrograd.nn.module import Module
from retrograd.nn.parameter import Parameter
from retrograd.seeing.borrowing import FEW, Borrowed, alive
from retrograd.seeing.reading import READ_OFF, Note, read
from retrograd.seeing.record import Failure, Place, Record, Snapshot, Step, Value

LIMIT = 1_000_000  # elements of a tensor that is kept whole
COMPREHENSIONS = ("<genexpr>", "<listcomp>", "<setcomp>", "<dictcomp>")  # functions, to Python
MOST_CALLS = 20_000  # in a step
INTEGERS = {int}
MOST_LOSSES = 100  # whose end is waited for
MANY = 3  # steps whose losses a program holds with their graphs; of two it may well have variables
OPERATIONS = os.path.join(PACKAGE, "ops", "")
READ = Tensor.grad.fget.__code__  # type: ignore[attr-defined]


class Inside(dict[str, bool]):
    """Whether a source file is this package's or the standard library's, by its name."""

    def __missing__(self, name: str) -> bool:
        self[name] = found = name.startswith(PACKAGE) or is_standard(name)
        return found


INSIDE = Inside()


def is_memory_of(grad: Any, tensor: Tensor) -> bool:
    """Whether a gradient, if there is one, has the memory of a tensor: is it, or what its `.data` is."""
    return isinstance(grad, Tensor) and grad._data is tensor._data


def held_in(scope: dict[str, Any], thing: Any) -> str | None:
    """The name under which a thing is found in a scope."""
    for name, found in list(scope.items()):
        if found is thing and name.isidentifier() and name != "self":
            return name
    return None


def held_within(scope: dict[str, Any], thing: Any) -> str | None:
    """The name of the list, or the dictionary, in a scope in which a thing is found, with the index."""
    for name, found in list(scope.items()):
        if isinstance(found, (list, tuple, dict)) and name.isidentifier():
            indexed = list(found.items()) if isinstance(found, dict) else enumerate(found)
            index = next((i for i, x in indexed if x is thing), None)
            if isinstance(index, (int, str)):
                return f"{name}[{index!r}]"
    return None


def name_in(frame: FrameType | None, thing: Any, held: Callable[[dict[str, Any], Any], str | None] = held_in) -> str | None:
    """The variable, or the attribute of `self`, that holds a thing in a frame of the user's or in those that called it."""
    while frame is not None:
        if not INSIDE[frame.f_code.co_filename]:
            here = frame.f_locals
            found = held(here, thing)
            if found is None and hasattr(me := here.get("self"), "__dict__"):
                inner = held(vars(me), thing)
                found = None if inner is None else f"self.{inner}"
            if found is None and here is not frame.f_globals:
                found = held(frame.f_globals, thing)
            if here.__class__ is dict and frame.f_code.co_flags & CO_OPTIMIZED and sys.getrefcount(here) == 3:
                here.clear()  # a copy that the frame keeps, and with it what the function lets go
            if found is not None:
                return found
        frame = frame.f_back
    return None


def whole_of(frame: FrameType | None, module: Module, parts: bool) -> Module | None:
    """The largest module held by a variable of the program's that another is a part of; with `parts`, or all whose parts are parts of it."""
    inner = [id(m) for m in module.children()] if parts else []
    largest: tuple[int, Module | None] = 0, None

    def compare(scope: dict[str, Any], module: Module) -> None:
        nonlocal largest
        for found in list(scope.values()):
            if isinstance(found, Module) and found is not module:
                held = {id(m) for m in found.modules()}
                if len(held) > largest[0] and (id(module) in held or (inner and held.issuperset(inner))):
                    largest = len(held), found

    name_in(frame, module, compare)
    return largest[1]


def arguments(frame: FrameType) -> tuple[Any, ...]:
    """What a function was called with: of its positional arguments the tensors, and of those that are sequences what is in them."""
    code = frame.f_code
    given = [frame.f_locals.get(name) for name in code.co_varnames[: code.co_argcount]]
    spread = [y for x in given for y in (x if isinstance(x, (list, tuple)) else [x])]
    return tuple(x for x in spread if isinstance(x, Tensor))


class Recorder(Observer):
    """Writes a record while it is on: a context manager and a decorator. See `seen.see`; `new` makes an empty record."""

    complete = False

    def __init__(self, every: int, keep: int, limit: int, new: Callable[[int], Record] = Record) -> None:
        for name, number in (("every", every), ("keep", keep), ("limit", limit)):
            if not isinstance(number, int) or number < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, got {number!r}")
        self.every = every
        self.record = new(keep)
        self.thread = 0  # whose program is watched
        self.on = False
        self.leaving = False  # the step that follows is not to be watched
        self.idle = False  # nothing is noted until parameters have been updated and then something runs
        self.due = False  # a step was to be watched that another watched (compile(), which records a call), or that another thread took
        self.count = 0  # steps that the program has taken, watched or not
        self.last = -1  # the number of the last step that is over
        self.passes: dict[int, tuple[ref[Any], int]] = {}  # by id of a leaf: how many backward passes are in its .grad
        self.paths: dict[int, tuple[ref[Any], str, str]] = {}  # by id of a parameter, buffer or module: its path, and kind or class
        self.names: dict[str, int] = {}  # of outermost modules: how many have had each
        self.most_modules = 2  # outermost ones, before those that are gone are let go of
        self.visited: dict[str, int] = {}  # by path of a module that none of the modules running called: the last step in which it was
        self.optimizers: dict[int, tuple[ref[Any], int]] = {}  # by id: which it is
        self.counter: ref[Any] | None = None  # the optimizer whose steps are counted: the first that was met
        self.hook: Any = None  # on it
        self.losses: list[tuple[int, Any]] = []  # where backward passes began, weakly, each with the number of its step
        self.lent = Borrowed(limit)
        self.borrow, self.give_back = self.lent.borrow, self.lent.give_back
        # the step that is running
        self.step: Step | None = None
        self.notes: list[Note] = []
        self.met: list[Value] = []
        self.values: dict[int, Value] = {}  # by id of a tensor
        self.calls: dict[int, tuple[Value, ...]] = {}  # by id of a node on the tape: the results of its call
        self.earlier: dict[int, Value] = {}  # by id of a node that no call of the step made: its result
        self.nameless: list[tuple[Value, str | None]] = []  # parameters that no module is known to have, and the variables that held them
        self.called = 0  # how many calls there were
        self.walked_back = False  # there was a backward pass
        self.passed = False  # there was one since the last step ended, watched or not
        self.updated = False  # parameters have been updated
        self.own = False  # the last update was made by the program itself, with gradients on: by way of `.data`
        self.unfinished: dict[int, Note] = {}  # by id of a parameter, its last update, to whose last entry what comes of it is added
        self.inputs: dict[int, tuple[ref[Any], str]] = {}  # by id of a tensor without a path: itself, the variable that held it at first
        self.aliases: dict[int, tuple[ref[Any], ref[Any]]] = {}  # by id of what shares memory with a leaf: itself, the leaf
        self.most = FEW  # of both, before those that are gone are swept out
        self.asked: dict[int, tuple[ref[Any], ref[Any], Snapshot]] = {}  # by id of a leaf: itself, what `grad()` gave of it
        # where the program is
        self.modules: tuple[tuple[str, str], ...] = ()  # that are running
        self.callers: list[tuple[FrameType | None, FrameType | None]] = [(None, None)]  # the frames that call these, and the user's beneath
        self.place: Any = None  # where something last ran
        self.teller: FrameType | None = None  # see told_by
        self.told: Any = None
        self.updating: Any = None  # its group whose parameters are told of: class, hyperparameters, number of the optimizer, place
        self.failing: Any = None  # the node whose rules crashed

    # ------------------------------------------------------------ on and off

    def __enter__(self) -> Record:
        self.thread = threading.get_ident()
        self.start()
        return self.record

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is not None:
            self.failed(error, trace)
        self.stop()

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function of which every `every`-th call is watched; what was seen is its attribute `record`."""

        calls = itertools.count()
        every, self.every = self.every, 1  # of calls, not of steps

        @functools.wraps(function)
        def watched(*args: Any, **kwargs: Any) -> Any:
            number = next(calls)
            if number % every or local.observer is not None:
                return function(*args, **kwargs)
            self.count = max(self.count, number)  # more, if a call takes several steps
            with self:
                return function(*args, **kwargs)

        watched.record = self.record  # type: ignore[attr-defined]
        return watched

    def start(self) -> None:
        """Begins to watch what this thread does.

        Raises:
            RuntimeError: if it is being watched already.
        """
        if local.observer is not None:
            raise RuntimeError("this thread is being watched already, by another see(), or by compile() recording a call")
        local.observer = self
        switch.add(1)
        self.on = True

    def pause(self) -> None:
        """Stops watching. What was seen shares no memory with what lives on."""
        self.teller = None
        if self.on:
            local.observer = None
            switch.add(-1)
            self.on = self.leaving = self.idle = False
        self.finish()
        self.lent.settle()

    def stop(self) -> None:
        """Stops watching for good."""
        if self.hook is not None:
            self.hook.remove()
        self.counter = self.hook = None
        self.optimizers.clear()
        self.pause()

    def number_of(self, optimizer: Any) -> int:
        """The number of an optimizer. The steps of the first are counted from now on."""
        known = self.optimizers.get(id(optimizer))
        if known is not None and known[0]() is optimizer:
            return known[1]
        met = self.record.optimizers
        number = next((i for i, other in enumerate(met) if other() is optimizer), len(met))
        if number == len(met):
            met.append(ref(optimizer))
        self.optimizers[id(optimizer)] = met[number], number
        if self.counter is None:
            self.counter, self.hook = ref(optimizer, self.lost), optimizer.register_step_post_hook(self.took_step)
        return number

    def took_step(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        """The optimizer that counts the program's steps has taken one, watched or not."""
        self.count += 1
        if self.count % self.every == 0 or self.due:
            self.wait()
        elif self.idle:
            self.pause()
        else:
            self.leaving = self.on

    def lost(self, optimizer: Any) -> None:
        """The optimizer that counted is gone: another will, so it is looked for."""
        self.counter = None
        self.wait()

    def wait(self) -> None:
        """Whatever runs next begins a step that is watched."""
        self.leaving = False
        if local.observer is None and threading.get_ident() == self.thread:
            self.start()
            self.idle = True
        self.due = local.observer is not self
        if self.idle:
            self.updated, self.own = True, False

    # ------------------------------------------------------------ places

    def user(self, frame: FrameType | None) -> FrameType | None:
        """The innermost frame that is not of this package, among this one and those that called it."""
        call, beneath = self.callers[-1]
        while frame is not None and INSIDE[frame.f_code.co_filename]:
            if frame is call:
                return beneath
            frame = frame.f_back
        return frame

    def look(self, frame: FrameType | None) -> Any:
        """Where the user's program is."""
        frame = self.user(frame)
        return None if frame is None else (frame.f_code, frame.f_lasti)

    def told_by(self, teller: FrameType) -> Any:
        """Where the program is; looked up once for a call of the library's function that tells of one parameter after the other."""
        if teller is not self.teller:
            self.teller, self.told = teller, self.look(teller)
        return self.told

    # ------------------------------------------------------------ steps

    def begin(self) -> list[Note] | None:
        """Begins a step; gives its notes, or None if it is not to be watched."""
        self.finish()
        self.count = number = max(self.count, self.last + 1)
        self.called, self.passed, self.updated, self.own = 0, False, False, False
        self.asked = {}
        self.idle = number % self.every != 0 and self.counter is None
        if self.idle:
            self.last = number
            return None
        return self.open(number)

    def open(self, number: int) -> list[Note]:
        """Begins a step of this number."""
        self.lent.sweep()
        if len(self.aliases) + len(self.inputs) > self.most:
            self.aliases, self.inputs = alive(self.aliases), alive(self.inputs)
            self.most = 2 * (len(self.aliases) + len(self.inputs)) + FEW
        self.notes, self.met = [], []
        self.step = Step(number, functools.partial(read, self.notes, self.met))
        self.values, self.calls, self.earlier, self.nameless, self.unfinished = {}, {}, {}, [], {}
        return self.notes

    def running(self) -> list[Note]:
        """The notes of the step that is running."""
        if self.step is None:
            self.begin()
        return self.notes

    def running_forward(self, recorded: bool) -> list[Note] | None:
        """The notes of the step to which an operation that runs now belongs, if it is one that is watched.

        `recorded`: it has a place on the tape.
        """
        if self.step is None:
            return None if self.idle and not (self.updated and local.grad and (recorded or not self.own)) else self.begin()
        if not self.updated or not local.grad or (self.own and not recorded):
            return self.notes
        if not self.leaving:
            return self.begin()
        if recorded:
            self.pause()
        return None

    def finish(self) -> None:
        """Ends the step, if there is one."""
        step, self.step, self.walked_back = self.step, None, False
        failure = self.record.failure
        crashed = step is not None and failure is not None and failure.step == step.number and (failure.operands or self.notes)
        if step is None or not (crashed or self.met or any(note[0] != "entered" for note in self.notes)):
            return
        for _, value, *_, after in self.unfinished.values():
            if (p := value.tensor()) is not None:
                after.append(self.borrow(p._data, p._version))
        for value, variable in self.nameless:
            value.name = self.path_of(value, variable)
        self.losses = [(n, held) for n, held in self.losses[-MOST_LOSSES:] if (loss := held()) is not None and loss._node is not None]
        if len({n for n, _ in self.losses}) >= MANY:
            self.notes.append(("happened", "held", None, None, tuple([held for _, held in self.losses])))
        self.last = step.number
        self.record.add(step)
        if crashed:  # the operands that failed are values of a step that has been read
            assert failure is not None
            failure.backward = next((call for call in step.calls if call.node is not None and call.node is self.failing), None)
            self.failing = None

    def path_of(self, value: Value, variable: str | None) -> str | None:
        """The path of a parameter, which modules that have been called since may have told; or else the variable that held it."""
        tensor = value.tensor()
        if tensor is None:
            return variable
        return self.known(tensor) or self.remember(tensor, name_of_leaf(tensor) or self.unlike(variable or "parameter"), "parameter")

    def variable(self, thing: Any, frame: FrameType | None) -> str | None:
        """The variable that holds a thing, or else the list or dictionary: one that is no other's name already."""
        while frame is not None and frame.f_code.co_name in COMPREHENSIONS:
            frame = self.user(frame.f_back)
        name = name_in(frame, thing)
        return name if name is not None and self.unlike(name) == name else name_in(frame, thing, held_within) or name

    def unlike(self, name: str) -> str:
        """The name, with a number if another thing that lives has it."""
        taken = {path for thing, path, _ in self.paths.values() if thing() is not None}
        return next(n for i in itertools.count(1) if (n := name if i == 1 else f"{name}#{i}") not in taken)

    # ------------------------------------------------------------ numbers

    def state_of(self, x: Any) -> Any:
        """An entry of an optimizer's state."""
        return self.borrow(x._data, x._version) if isinstance(x, Tensor) and not isinstance(x, Box) else x

    def facts_of(self, node: Node) -> tuple[Any, ...] | None:
        """What a node's rules know, borrowed; of a custom Function, what it saved."""
        if isinstance(node, FunctionCtx):
            facts = node.saved_arrays()
        elif node.tensors or (node.metadata is not None and "packed" in node.metadata):
            facts = None
        else:
            facts = node.facts
        if not facts:
            return facts
        borrow = self.borrow
        return tuple([borrow(x) if x.__class__ is ndarray else self.fact(x) if x.__class__ is tuple else x for x in facts])

    def fact(self, x: Any) -> Any:
        """One of them."""
        if x.__class__ is ndarray:
            return self.borrow(x)
        if x.__class__ is not tuple or {*map(type, x)} == INTEGERS:  # such as a shape
            return x
        return tuple(map(self.fact, x))

    # ------------------------------------------------------------ tensors

    def value(self, tensor: Tensor, frame: FrameType | None = None) -> Value:
        """What a tensor is to the running step. `frame`: the user's, if it is known already."""
        known = self.values.get(id(tensor))
        if known is not None and known.tensor() is tensor:
            snapshot, data = known.snapshot, tensor._data
            if snapshot.array is data or snapshot.source is data:  # nobody has written there since
                return known
        node = tensor._node if tensor._base is None else current_node(tensor)
        found = None
        if node is not None and node is not LEAF and node.grad_fn is not None:
            found = self.value_at(node)
        if found is None or found.shape != tensor._data.shape:
            return self.meet(tensor, node, frame or self.user(sys._getframe(1)))
        self.values[id(tensor)] = found
        return found

    def held(self, p: Tensor) -> Value:
        """What a parameter was to the step when it was last met."""
        known = self.values.get(id(p))
        value = known if known is not None and known.tensor() is p else self.value(p)
        if value.kind == "result" and p._node is LEAF:  # it has become a leaf since an operation made it
            value.kind, value.name = "leaf", name_in(self.user(sys._getframe(1)), p)
        return value

    def meet(self, tensor: Tensor, node: Any, frame: FrameType | None) -> Value:
        """A tensor that no call of this step made, met in a frame of the user's."""
        name: str | None = None
        known = self.paths.get(id(tensor))
        if known is not None and known[0]() is tensor:
            return self.new_value(tensor, known[2], node, known[1], self.place)
        if isinstance(tensor, Parameter):
            kind = "parameter"
        else:
            kind = "input" if node is None else "leaf" if node is LEAF else "earlier"
            name = self.name_of_input(tensor, kind, frame)
        value = self.new_value(tensor, kind, node, name, self.place)
        if kind == "earlier":
            self.earlier[id(node.grad_fn)] = value
        elif name is None and kind == "parameter":
            self.nameless.append((value, self.variable(tensor, frame)))
        return value

    def name_of_input(self, tensor: Tensor, kind: str, frame: FrameType | None) -> str | None:
        """What a tensor is called that is no parameter: as when it was met first."""
        known = self.inputs.get(id(tensor))
        if known is not None and known[0]() is tensor and kind != "leaf":
            return known[1]
        before = self.values.get(id(tensor))  # with other numbers
        if before is not None and before.name is not None and before.is_of(tensor):
            return before.name
        if kind == "leaf" and (found := self.variable(tensor, frame)) is not None:
            return self.remember(tensor, found, kind)
        name = name_in(frame, tensor)
        if name is None:
            return self.name_of_gradient(tensor)
        self.inputs[id(tensor)] = ref(tensor), name
        return name

    def name_of_gradient(self, tensor: Tensor) -> str | None:
        """What a tensor is called that is the `.grad` of another."""
        leaf = next((t for r, _ in self.passes.values() if (t := r()) is not None and t._grad is tensor), None)
        if leaf is None:
            return None
        value = self.values.get(id(leaf))
        name = self.known(leaf) or (value.name if value is not None and value.is_of(leaf) else None)
        return None if name is None else f"{name}.grad"

    def new_value(self, tensor: Tensor, kind: str, node: Any, name: str | None = None, place: Any = None) -> Value:
        """A value of the running step."""
        value = Value(kind, self.borrow(tensor._data, tensor._version), node is not None, name, place, ref(tensor))
        self.met.append(value)
        self.values[id(tensor)] = value
        return value

    def known(self, thing: Any) -> str | None:
        """The path of a parameter, a buffer or a module, if it is known."""
        found = self.paths.get(id(thing))
        return found[1] if found is not None and found[0]() is thing else None

    def remember(self, thing: Any, path: str, kind: str) -> str:
        """From now on, it is known by this path, unless it is by another."""
        found = self.known(thing)
        if found is None:
            self.paths[id(thing)] = ref(thing), path, kind
        return found or path

    # ------------------------------------------------------------ what happens forward

    def entered(self, module: Any) -> None:
        self.teller = None
        known = self.paths.get(id(module))
        path = known[1] if known is not None and known[0]() is module else self.register(module)
        call = sys._getframe(1)
        beneath = self.user(call)
        self.callers.append((call, beneath))
        kind, grad = module.__class__.__name__, local.grad
        self.modules = *self.modules, (path, kind)
        notes = self.running_forward(grad) if self.step is None or self.updated else self.notes
        if notes is not None:
            notes.append(("entered", path, kind, module.training, grad, None if beneath is None else (beneath.f_code, beneath.f_lasti)))
            if len(self.modules) == 1:
                self.visited[path] = self.count

    def left(self, module: Any) -> None:
        self.modules = self.modules[:-1]
        self.callers.pop()

    def register(self, module: Module) -> str:
        """The path of a module that is met for the first time. All that belongs to it, or to what it is a part of, gets its path."""
        frame = self.user(sys._getframe(2))
        name, whole = name_in(frame, module), module
        if name is None or name.startswith("self."):
            whole = whole_of(frame, module, parts=name is None) or module
        if whole is not module:
            path = self.known(whole) or self.enrol(whole, name_in(frame, whole))
            return self.known(module) or self.remember(module, f"{path}[…]", "module")  # such as a slice of a Sequential
        if self.has_news(module):
            return self.enrol(module, name)
        return self.remember(module, self.unlike(name or type(module).__name__), "module")  # may well be made anew in each step

    def has_news(self, module: Module) -> bool:
        """Whether a module brings parameters or buffers with it: not one that has none, nor one that only puts known ones together."""
        own = any(True for _ in itertools.chain(module.parameters(recurse=False), module.buffers(recurse=False)))
        return own or any(self.known(part) is None and self.has_news(part) for part in module.children())

    def enrol(self, module: Module, name: str | None) -> str:
        """Takes down the paths of all that a module holds. The first module's parameters go by their paths alone."""
        if len(self.record.modules) >= self.most_modules:
            self.forget_modules()
            self.most_modules = max(2, 2 * len(self.record.modules))
        name = name or type(module).__name__
        self.names[name] = n = self.names.get(name, 0) + 1
        variable = name if n == 1 else f"{name}#{n}"
        prefix = f"{variable}." if sum(self.names.values()) > 1 else ""
        self.record.modules[variable], self.record.prefixes[variable] = module, prefix
        for path, inner in module.named_modules():
            self.remember(inner, f"{variable}.{path}" if path else variable, "module")
        self.record.parameters |= {prefix + path: p.requires_grad for path, p in module.named_parameters(remove_duplicate=False)}
        for kind, found in (("parameter", module.named_parameters(remove_duplicate=False)), ("buffer", module.named_buffers())):
            for path, tensor in found:
                self.remember(tensor, prefix + path, kind)
        return variable

    def forget_modules(self) -> None:
        """Lets go of modules that the program has let go of, and that no step held has anything of."""
        record = self.record
        oldest = record.steps[0].number if record.steps else 0
        recent = [path for path, step in self.visited.items() if step >= oldest]
        self.visited = {path: self.visited[path] for path in recent}
        for variable in list(record.modules):
            if sys.getrefcount(record.modules[variable]) > 2 or any(f"{path}.".startswith(f"{variable}.") for path in recent):
                continue
            prefix = record.prefixes.pop(variable)
            for path, _ in record.modules.pop(variable).named_parameters(remove_duplicate=False):
                record.parameters.pop(prefix + path, None)
        self.paths = alive(self.paths)

    def ran(self, op: Op | None, args: Sequence[Any], params: dict[str, Any], outs: Sequence[Any], node: Any = None) -> None:
        """A call that ran just now. `node`: its place on the tape, if it has one that `outs` do not tell."""
        self.teller = None
        if node is None and outs and (edge := outs[0]._node) is not None and edge is not LEAF:
            node = edge.grad_fn
        notes = self.running_forward(node is not None) if self.step is None or self.updated else self.notes
        if notes is None or not self.may_call():
            return
        frame = self.user(sys._getframe(2))  # beneath what told
        self.place = place = None if frame is None else (frame.f_code, frame.f_lasti)
        values, operands = self.values, []
        for a in args:
            known = values.get(id(a))
            if known is not None and known.tensor() is a and known.snapshot.array is a._data:  # type: ignore[union-attr]
                operands.append(known)
            elif isinstance(a, Tensor) and not isinstance(a, Box):
                operands.append(self.value(a, frame))
            else:
                operands.append(a)
        new_value = self.new_value
        results: Any = ()
        for out in outs:
            results = *results, new_value(out, "result", out._node if out._base is None else current_node(out))
        facts: Any = None
        if node is not None:
            self.calls[id(node)] = results
            facts = READ_OFF if node.__class__ is Node and node.metadata is None and not node.tensors else self.facts_of(node)
        notes.append(("called", op, tuple(operands), params, results, place, self.modules, local.grad, node, facts))

    def applied(self, node: Node, args: Sequence[Any], params: dict[str, Any], outs: Sequence[Any]) -> None:
        tensors = list(itertools.takewhile(lambda y: isinstance(y, Tensor) and not isinstance(y, Box), outs))
        self.ran(None, args, params, tensors, node)

    def may_call(self) -> bool:
        """Counts a call; not if the step has as many as it may have."""
        if self.called >= MOST_CALLS:
            assert self.step is not None
            self.step.dropped += 1
            return False
        self.called += 1
        return True

    def wrote(self, target: Tensor, value: Tensor) -> None:
        leaf = self.leaf_of(target)
        gradient = None if leaf is None else self.gradient_of(leaf)
        if self.idle:
            if gradient is not None:
                self.wrote_own()
            return self.give_back(target._data)
        notes, at = self.running(), self.look(sys._getframe(1))
        source = self.value(value)
        cleared = next((r() for r, n in self.passes.values() if n and (t := r()) is not None and is_memory_of(t._grad, target)), None)
        if cleared is not None and not np.any(value._data):
            self.passes.pop(id(cleared))
            notes.append(("happened", "cleared", self.held(cleared), at))
        elif gradient is not None:
            assert leaf is not None
            if target._base is None or id(leaf) not in self.unfinished:  # parts of it may be written one after the other
                self.add_update("", {}, None, leaf, gradient, at)
            self.wrote_own()
        else:
            notes.append(("happened", "wrote", self.value(target), at, source))
        self.give_back(target._data)

    def exchanged(self, tensor: Tensor) -> None:
        gradient = self.gradient_of(tensor) if current_node(tensor) is LEAF else None
        if gradient is None:
            return
        if not self.idle:
            self.running()
            self.add_update("", {}, None, tensor, gradient, self.look(sys._getframe(1)))
        self.wrote_own()

    def wrote_own(self) -> None:
        """The program has updated a leaf itself: that ends a step after a backward pass, unless there is an optimizer whose steps count."""
        if self.passed and not self.updated and self.counter is None:
            self.updated, self.own = True, local.grad

    def leaf_of(self, target: Tensor) -> Tensor | None:
        """The leaf that needs a gradient and has the memory that is to be written to."""
        while target._base is not None:
            target = target._base.base
        known = self.aliases.get(id(target))
        if known is not None and known[0]() is target:
            return known[1]()
        return target if current_node(target) is LEAF else None

    def gradient_of(self, leaf: Tensor) -> Snapshot | None:
        """The gradient that a leaf has, or that `grad()` gave of it."""
        grad = real_grad(leaf)
        if grad is not None:
            return self.borrow(grad._data)
        asked = self.asked.get(id(leaf))
        if asked is None or asked[0]() is not leaf:
            return None
        given = asked[1]()
        return asked[2] if given is None else self.borrow(given._data)

    def shared(self, tensor: Tensor, other: Tensor) -> None:
        if current_node(tensor) is LEAF:
            self.aliases[id(other)] = ref(other), ref(tensor)
        if self.idle:
            return
        notes, at = self.running(), self.look(sys._getframe(1))
        notes.append(("happened", "shared", self.value(tensor), at, self.new_value(other, "input", None)))  # no variable has it yet

    def copied(self, tensor: Tensor, other: Tensor) -> None:
        if self.idle:
            return
        notes, at = self.running(), self.look(sys._getframe(1))
        notes.append(("happened", "copied", self.value(tensor), at, self.value(other)))

    # ------------------------------------------------------------ what happens backward

    def walked(self, edges: Sequence[Any], keep: bool) -> None:
        self.passed = True
        if self.idle:
            return
        notes, at = self.running(), self.look(sys._getframe(1))
        roots = tuple([self.value_at(edge) for edge in edges])
        notes.append(("walked", roots, at))
        self.walked_back = True
        for root in roots:
            if root is not None and (loss := root.item) is not None and self.step is not None:
                self.step.broken |= not math.isfinite(loss)
                self.record.begin(at, loss)
                self.losses.append((self.step.number, root.tensor))

    def gave(self, leaf: Tensor, g: Tensor) -> None:
        self.asked[id(leaf)] = ref(leaf), ref(g), self.borrow(g._data)

    def value_at(self, edge: Any) -> Value | None:
        """The value that an edge of the tape leads to."""
        if edge is None:
            return None
        if isinstance(edge, Tensor):
            return None if isinstance(edge, Box) else self.value(edge)
        results = self.calls.get(id(edge.grad_fn))
        if results is None:
            return self.earlier.get(id(edge.grad_fn))
        index = getattr(edge, "index", 0)
        return results[index] if index < len(results) else None  # what is not known of one that an earlier step recorded

    def pulled(self, node: Any, g: Any, results: Sequence[Any]) -> None:
        if not self.walked_back or (id(node) not in self.calls and not self.adopt(node)):
            return
        v = self.cotangents(g if g.__class__ is list else (g,))
        self.notes.append(("pulled", node, v, self.cotangents(results)))

    def cotangents(self, gs: Sequence[Any]) -> tuple[Snapshot | None, ...]:
        """The numbers of cotangents."""
        borrow = self.borrow
        return tuple([borrow(g) if g.__class__ is ndarray else self.cotangent(g) for g in gs])

    def cotangent(self, g: Any) -> Snapshot | None:
        """A cotangent's numbers."""
        if g.__class__ is ndarray:
            return self.borrow(g)
        if g is None or isinstance(g, Box):
            return None
        return self.borrow(g._data) if isinstance(g, Tensor) else Snapshot(np.asarray(g))  # of a NumPy scalar

    def adopt(self, node: Any) -> bool:
        """Notes a call for a node that none of this step made: a write through a view, an operation of an earlier step; if there may be more calls."""
        if not self.may_call():
            return False
        result = self.earlier.get(id(node))
        operands = tuple([self.value_at(edge) for edge in node.edges])
        self.calls[id(node)] = results = () if result is None else (result,)
        place = None if result is None else result.place
        self.notes.append(("called", None, operands, {}, results, place, (), True, node, self.facts_of(node)))
        return True

    def gradient_came(self, leaf: Tensor, g: Any) -> None:
        if not self.walked_back or (snapshot := self.cotangent(g)) is None:
            return
        before = real_grad(leaf)
        known = self.passes.get(id(leaf))
        if known is None or known[0]() is not leaf:
            known = ref(leaf), 0
        n = 1 if before is None else known[1] + 1
        self.passes[id(leaf)] = known[0], n
        self.notes.append(("came", self.held(leaf), snapshot, None if before is None else self.borrow(before._data), n))
        if before is not None:
            self.give_back(before._data)

    def gradient_set(self, leaf: Tensor, before: Tensor | None, after: Tensor | None = None) -> None:
        if before is not None and after is before:
            return  # as `p.grad /= 4` ends
        self.passes.pop(id(leaf), None)
        if before is not None and not self.idle:
            notes, at = self.running(), self.told_by(sys._getframe(1))
            kind = "cleared" if after is None or not np.any(after._data) else "set"
            notes.append(("happened", kind, self.held(leaf), at))

    def gradient_met(self, leaf: Tensor, grad: Tensor | None) -> None:
        if leaf._grad is None and not self.idle and sys._getframe(1).f_code is READ:
            notes, at = self.running(), self.look(sys._getframe(1))
            notes.append(("happened", "asked", self.value(leaf), at))

    # ------------------------------------------------------------ updates

    def updates(self, optimizer: Any, group: dict[str, Any], p: Tensor, grad: Tensor) -> None:
        if self.idle:
            return
        teller = sys._getframe(1)
        if teller is not self.teller:
            self.running()
            numbers = group.copy()
            del numbers["params"]
            self.updating = type(optimizer).__name__, numbers, self.number_of(optimizer), self.told_by(teller)
        kind, numbers, number, at = self.updating
        self.add_update(kind, numbers, number, p, self.borrow(grad._data), at)
        self.give_back(p._data)
        state = optimizer.state.get(p)
        if state:
            for x in state.values():
                if isinstance(x, Tensor):
                    self.give_back(x._data)

    def add_update(self, optimizer: str, numbers: dict[str, Any], number: int | None, p: Tensor, gradient: Snapshot, at: Any) -> None:
        """A parameter is about to be changed."""
        known = self.passes.get(id(p))
        passes = 0 if known is None or known[0]() is not p else known[1]
        leaf = self.held(p)
        before = leaf.snapshot if leaf.snapshot.array is p._data else self.borrow(p._data, p._version)
        if id(p) in self.unfinished:
            self.unfinished[id(p)][-1].append(before)
        note: Note = ("updated", leaf, optimizer, numbers, before, gradient, passes, at, number, [])
        self.notes.append(note)
        self.unfinished[id(p)] = note

    def stepped(self, optimizer: Any) -> None:
        self.teller = None
        if self.idle:
            self.number_of(optimizer)  # it may be one that counts
            return
        notes, at = self.running(), self.look(sys._getframe(1))
        given = tuple([self.held(p) for group in optimizer.param_groups for p in group["params"]])
        notes.append(("happened", "stepped", None, at, type(optimizer).__name__, self.number_of(optimizer), given))
        rest: dict[int, Note] = {}  # writes of the program's own
        for key, note in self.unfinished.items():
            if not note[2]:
                rest[key] = note
            elif (p := note[1].tensor()) is not None:
                state = optimizer.state.get(p)
                note[-1].append(self.borrow(p._data, p._version))
                if state:
                    note[-1].append({name: self.state_of(x) for name, x in state.items()})
        self.unfinished = rest
        self.updated, self.own = True, False

    # ------------------------------------------------------------ crashes

    def failed(self, error: BaseException, trace: TracebackType | None) -> None:
        """Takes down where and in what the program crashed."""
        place, operation, node, v, modules = None, None, None, None, []
        args: Sequence[Any] = ()
        while trace is not None:
            frame, mine = trace.tb_frame, trace.tb_frame.f_locals
            file = frame.f_code.co_filename
            if not file.startswith(PACKAGE) and (place is None or not is_standard(file)):
                place, operation, args = Place(frame.f_code, trace.tb_lasti, trace.tb_lineno), None, ()
            elif isinstance(op := mine.get("self"), Op):
                operation, args = op.title, mine.get("args", args)
            elif isinstance(op := mine.get("op"), Op) and "input" in mine:  # a quick entry: see core/families.py
                operation, args = op.title, [mine[name] for name in ("input", "other") if name in mine]
            elif operation is None and frame.f_code.co_filename.startswith(OPERATIONS):
                written = mine.get("variant")  # an operation that works in place: see ops/inplace.py
                operation = written.__name__ if written is not None else frame.f_code.co_name.removesuffix("_op").rstrip("_")
                args = arguments(frame)
            elif frame.f_code is Module.__call__.__code__:
                modules.append((self.known(mine["self"]) or "", type(mine["self"]).__name__))
            elif frame.f_code is backward.__code__:
                operation, args = "backward", as_sequence(mine["tensors"])
            elif frame.f_code in (Walk.run.__code__, Walk.visit.__code__) and "node" in mine:
                operation, args, node, v = None, (), mine["node"], mine["g"]
            trace = trace.tb_next
        if self.step is None or (args and self.updated and local.grad):
            self.finish()
            self.open(max(self.count, self.last + 1))
        if node is not None and (id(node) in self.calls or self.adopt(node)):
            self.failing = node
        operands = tuple([self.value(a) if isinstance(a, Tensor) and not isinstance(a, Box) else a for a in args])
        came = () if node is None else self.cotangents(v if v.__class__ is list else (v,))
        assert self.step is not None
        step = self.step if self.notes or args or not self.record.steps else self.record.steps[-1]
        self.record.failure = Failure(
            type(error).__name__, str(error), place, operation, None, step.number, operands, came, tuple(modules)
        )  # fmt: skip
