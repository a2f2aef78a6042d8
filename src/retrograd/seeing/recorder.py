"""Watches a program and writes down what it does, at little cost: arrays are not copied but borrowed.

A borrowed array shares memory with the program. Whoever is about to write to that memory says so first (`levels.Observer`), and then
all that was borrowed of it is copied. When the watching ends, whatever the program still holds is copied too. Only writes through
`x.numpy()`, of which the library knows nothing, go unnoticed.

A step ends when parameters have been updated and the next operation runs with gradients on.
"""

from __future__ import annotations

import functools
import itertools
import os
import sys
import weakref
from collections.abc import Callable, Sequence
from types import FrameType, TracebackType
from typing import Any

import numpy as np
from numpy import ndarray

from retrograd.autograd.function import FunctionCtx
from retrograd.autograd.reverse import as_sequence, backward
from retrograd.core.levels import Observer, local, switch
from retrograd.core.op import Op
from retrograd.core.tape import Node, Walk, name_of_leaf
from retrograd.core.tensor import LEAF, Box, Tensor, current_node, owner, real_grad
from retrograd.errors import PACKAGE, user_frame
from retrograd.nn.module import Module
from retrograd.nn.parameter import Parameter
from retrograd.seeing.record import Arrival, Call, Event, Failure, Pass, Place, Pull, Record, Snapshot, Step, Update, Value, Visit

LIMIT = 1_000_000  # elements of a tensor that is kept whole
MOST_CALLS = 20_000  # in a step
LISTS = {Call: "calls", Pass: "passes", Update: "updates", Event: "events"}  # of a step
OPERATIONS = os.path.join(PACKAGE, "ops", "")


def place_of(frame: FrameType | None) -> Place | None:
    """Where a frame is."""
    return None if frame is None else Place(frame.f_code, frame.f_lasti, frame.f_lineno)


def here() -> Place | None:
    """Where the user's program is."""
    return place_of(user_frame(2))


def name_in(frame: FrameType | None, thing: Any) -> str | None:
    """The variable, or the attribute of `self`, that holds a thing in a frame of the user's or in those that called it."""
    while frame is not None:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            scopes = [("", frame.f_locals)]
            if hasattr(me := frame.f_locals.get("self"), "__dict__"):
                scopes.append(("self.", vars(me)))
            scopes.append(("", frame.f_globals))
            for prefix, scope in scopes:
                for name, found in list(scope.items()):
                    if found is thing and name.isidentifier() and name != "self":
                        return prefix + name
        frame = frame.f_back
    return None


def arguments(frame: FrameType) -> tuple[Any, ...]:
    """What a function was called with: of its positional arguments the tensors, and of those that are sequences what is in them."""
    code = frame.f_code
    given = [frame.f_locals.get(name) for name in code.co_varnames[: code.co_argcount]]
    spread = [y for x in given for y in (x if isinstance(x, (list, tuple)) else [x])]
    return tuple(x for x in spread if isinstance(x, Tensor))


def held_by_others(held: list[tuple[ndarray, ndarray, Snapshot]]) -> bool:
    """Whether more refers to some memory than what is listed here: (the array that owns it, an array on it, the snapshot of that)."""
    references = 1  # the call's own; no names are bound here, which some versions of Python count and others do not
    for i in range(len(held)):
        is_base, kept = held[i][1] is held[i][0], held[i][2].array is held[i][1]
        references += 2 + (is_base and kept)  # the list's two, or the list's and the view's
        if not is_base and sys.getrefcount(held[i][1]) > 2 + kept:
            return True
    return sys.getrefcount(held[0][0]) > references


class Recorder(Observer):
    """Writes a record while it is on: a context manager and a decorator. See `seen.see`; `new` makes an empty record."""

    complete = False

    def __init__(self, every: int, keep: int, limit: int, new: Callable[[int], Record] = Record) -> None:
        for name, number in (("every", every), ("keep", keep), ("limit", limit)):
            if not isinstance(number, int) or number < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, got {number!r}")
        self.every, self.limit = every, limit
        self.record = new(keep)
        self.on = False
        self.step: Step | None = None
        self.updated = False  # the running step's parameters have been updated
        self.count = 0  # steps that the program has taken, watched or not
        self.snapshots: dict[int, Snapshot] = {}  # by id of an array: what was borrowed
        self.borrowed: dict[int, list[tuple[ndarray, ndarray, Snapshot]]] = {}  # the same by id of the array that owns the memory
        self.values: dict[int, tuple[Value, int]] = {}  # by id of a tensor: its value, and the version that this is of
        self.calls: dict[int, Call] = {}  # by id of a node on the tape
        self.earlier: dict[int, Value] = {}  # by id of a node that no call of the step made: its result
        self.passes: dict[int, tuple[weakref.ref[Any], int]] = {}  # by id of a leaf: how many backward passes are in its .grad
        self.paths: dict[int, tuple[str, str]] = {}  # by id of a parameter, buffer or module: its path, and its kind or class
        self.modules: list[tuple[str, str]] = []  # those that are running
        self.told: Any = None  # see here_again
        self.place: Place | None = None  # where the program was when something last happened
        self.optimizers: dict[int, tuple[int, Any]] = {}  # by id: the number, and the handle of the hook

    # ------------------------------------------------------------ on and off

    def __enter__(self) -> Record:
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
        if self.on:
            local.observer = None
            switch.add(-1)
            self.on = False
        self.finish()
        self.settle()

    def stop(self) -> None:
        """Stops watching for good."""
        self.pause()
        for _, handle in self.optimizers.values():
            handle.remove()
        self.optimizers.clear()

    def stepped(self, optimizer: Any) -> None:
        step = self.running()
        given = tuple([self.value(p) for group in optimizer.param_groups for p in group["params"]])
        number = self.number_of(optimizer)
        self.note(Event("stepped", None, here(), len(step.calls), type(optimizer).__name__, number, given))
        for update in step.updates:
            p = update.leaf.tensor() if update.leaf.tensor is not None else None
            if p is not None and update.optimizer and update.after is None:
                update.after = self.borrow(p._data)
                update.state = {name: self.state_of(x) for name, x in optimizer.state.get(p, {}).items()}
        self.updated = True

    def number_of(self, optimizer: Any) -> int:
        """The number of an optimizer. Of one that is new, steps are counted from now on."""
        if id(optimizer) not in self.optimizers:
            met = self.record.optimizers
            number = next((i for i, other in enumerate(met) if other() is optimizer), len(met))
            if number == len(met):
                met.append(weakref.ref(optimizer))
            self.optimizers[id(optimizer)] = number, optimizer.register_step_post_hook(self.took_step)
        return self.optimizers[id(optimizer)][0]

    def took_step(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        """An optimizer has taken a step, watched or not. The first one that was met counts the program's steps."""
        if id(optimizer) != next(iter(self.optimizers)):
            return
        self.count += 1
        wanted = self.count % self.every == 0
        if self.on and not wanted:
            self.pause()
        elif wanted and local.observer is None:
            self.start()

    def here_again(self, teller: FrameType) -> Place | None:
        """Where the program is; looked up once for a function of the library, `teller`, that tells of one parameter after the other."""
        caller = teller.f_back
        same = id(teller), caller and caller.f_lasti, caller and caller.f_back and caller.f_back.f_lasti
        n = len(self.running().order)
        if (same, n) != self.told:
            self.place = here()
        self.told = same, n + 1  # if what is noted next comes of the same call, it is at the same place
        return self.place

    # ------------------------------------------------------------ steps

    def begin(self, number: int) -> Step:
        """Begins a step."""
        self.finish()
        self.step = Step(number)
        self.updated = False
        return self.step

    def running(self) -> Step:
        """The step that is running."""
        return self.step if self.step is not None else self.begin(self.count)

    def running_forward(self) -> Step:
        """The step to which an operation that runs now belongs."""
        return self.begin(self.count) if self.updated and local.grad else self.running()

    def finish(self) -> None:
        """Ends the step, if there is one."""
        step, self.step = self.step, None
        failed = self.record.failure
        if step is None or not (step.order or (failed is not None and failed.step == step.number and (failed.operands or step.visits))):
            return
        for update in step.updates:
            if update.after is None and update.leaf.tensor is not None and (p := update.leaf.tensor()) is not None:
                update.after = self.borrow(p._data)
        for value in step.values:
            if value.kind == "parameter" and value.name is None:
                value.name = self.path_of(value)
        for call in step.calls:
            if call.facts is None and call.node is not None:
                call.facts = self.facts_of(call.node)
        self.values.clear()
        self.calls.clear()
        self.earlier.clear()
        self.record.add(step)

    def path_of(self, value: Value) -> str | None:
        """The path of a parameter, which modules that have been called since may have told."""
        tensor = value.tensor() if value.tensor is not None else None
        if tensor is None:
            return None
        if id(tensor) not in self.paths:
            self.paths[id(tensor)] = name_of_leaf(tensor) or f"parameter {len(self.paths)}", "parameter"
        return self.paths[id(tensor)][0]

    def note(self, what: Any) -> None:
        """Adds something to the running step."""
        step = self.running()
        getattr(step, LISTS[type(what)]).append(what)
        step.order.append(what)

    # ------------------------------------------------------------ numbers

    def borrow(self, array: ndarray) -> Snapshot:
        """The numbers of an array, not copied as long as nobody writes to them."""
        found = self.snapshots.get(id(array))
        if found is None:
            base = array if array.base is None else owner(array)
            found = self.snapshots[id(array)] = Snapshot(array, array.size <= self.limit)
            self.borrowed.setdefault(id(base), []).append((base, array, found))
        return found

    def give_back(self, array: ndarray) -> None:
        """The memory of an array is about to be written to: what was borrowed of it is copied."""
        for _, borrowed, snapshot in self.borrowed.pop(id(owner(array)), ()):
            del self.snapshots[id(borrowed)]
            snapshot.detach()

    def settle(self) -> None:
        """Copies what was borrowed and that others hold too; the rest is nobody else's any more."""
        for held in self.borrowed.values():
            if held_by_others(held):
                for _, _, snapshot in held:
                    snapshot.detach()
        self.borrowed.clear()
        self.snapshots.clear()

    def state_of(self, x: Any) -> Any:
        """An entry of an optimizer's state."""
        return self.borrow(x._data) if isinstance(x, Tensor) and not isinstance(x, Box) else x

    def facts_of(self, node: Node) -> tuple[Any, ...] | None:
        """What a node's rules know, borrowed; of a custom Function, what it saved."""
        if isinstance(node, FunctionCtx):
            kept = node.saved_arrays()
            return None if kept is None else tuple(map(self.fact, kept))
        if node.facts is None or node.tensors or (node.metadata is not None and "packed" in node.metadata):
            return None
        return tuple(map(self.fact, node.facts))

    def fact(self, x: Any) -> Any:
        """One of them."""
        if x.__class__ is ndarray:
            return self.borrow(x)
        return tuple(map(self.fact, x)) if x.__class__ is tuple else x

    # ------------------------------------------------------------ tensors

    def value(self, tensor: Tensor) -> Value:
        """What a tensor is to the running step."""
        found = self.values.get(id(tensor))
        if found is not None and found[1] == tensor._version[0] and found[0].tensor is not None and found[0].tensor() is tensor:
            return found[0]
        node = current_node(tensor)
        value = None
        if node is not None and node is not LEAF and node.grad_fn is not None:
            value = self.value_at(node)
            if value is not None and value.shape != tensor.shape:
                value = None
        if value is None:
            value = self.meet(tensor, node)
        self.values[id(tensor)] = value, tensor._version[0]
        return value

    def meet(self, tensor: Tensor, node: Any) -> Value:
        """A tensor that no call of this step made."""
        name, kind = self.paths.get(id(tensor), (None, "input"))
        if name is None:
            if isinstance(tensor, Parameter):
                kind = "parameter"
            elif node is not None:
                kind = "leaf" if node is LEAF else "earlier"
            if kind != "parameter":
                name = name_in(user_frame(1), tensor)
        value = self.new_value(tensor, kind, name)
        value.place = self.place
        if kind == "earlier":
            self.earlier[id(node.grad_fn)] = value
        return value

    def new_value(self, tensor: Tensor, kind: str, name: str | None = None) -> Value:
        """A value of the running step."""
        values = self.running().values
        value = Value(len(values), kind, self.borrow(tensor._data), current_node(tensor) is not None, name, tensor=weakref.ref(tensor))
        values.append(value)
        return value

    # ------------------------------------------------------------ what happens forward

    def entered(self, module: Any) -> None:
        known = self.paths.get(id(module))
        if known is None:
            known = self.register(module)
        self.modules.append(known)
        step = self.running_forward()
        step.visits.append(Visit(*known, module.training, local.grad, here(), len(step.calls)))

    def left(self, module: Any) -> None:
        self.modules.pop()

    def register(self, module: Module) -> tuple[str, str]:
        """Takes down the paths of all that a module holds. The first module's parameters go by their paths alone."""
        variable = name_in(user_frame(1), module) or type(module).__name__
        prefix = f"{variable}." if self.record.modules else ""
        self.record.modules[variable] = module
        for path, inner in module.named_modules():
            self.paths.setdefault(id(inner), (f"{variable}.{path}" if path else variable, type(inner).__name__))
        self.record.parameters |= {prefix + path: p.requires_grad for path, p in module.named_parameters(remove_duplicate=False)}
        for kind, found in (("parameter", module.named_parameters(remove_duplicate=False)), ("buffer", module.named_buffers())):
            for path, tensor in found:
                self.paths.setdefault(id(tensor), (prefix + path, kind))
        return self.paths[id(module)]

    def ran(self, op: Op, args: Sequence[Any], params: dict[str, Any], outs: Sequence[Any]) -> None:
        step = self.running_forward()
        if len(step.calls) >= MOST_CALLS:
            step.dropped += 1
            return
        node = outs[0]._node if outs else None
        self.add_call(step, op, args, params, outs, None if node is None or node is LEAF else node.grad_fn)

    def applied(self, node: Node, args: Sequence[Any], params: dict[str, Any], outs: Sequence[Any]) -> None:
        step = self.running_forward()
        if len(step.calls) >= MOST_CALLS:
            step.dropped += 1
            return
        tensors = list(itertools.takewhile(lambda y: isinstance(y, Tensor) and not isinstance(y, Box), outs))
        self.add_call(step, None, args, params, tensors, node)

    def add_call(self, step: Step, op: Op | None, args: Sequence[Any], params: dict[str, Any], outs: Sequence[Any], node: Any) -> None:
        """A call that ran just now. `node`: its place on the tape, if it has one."""
        self.place = place = here()
        operands = tuple([self.value(a) if isinstance(a, Tensor) and not isinstance(a, Box) else a for a in args])
        results = tuple([self.new_value(out, "result") for out in outs])
        call = Call(len(step.calls), op, operands, params, results, place, tuple(self.modules), local.grad, node)
        maker = weakref.ref(call)
        for i, (out, result) in enumerate(zip(outs, results, strict=True)):
            result.maker, result.output = maker, i
            self.values[id(out)] = result, out._version[0]
        if node is not None:
            self.calls[id(node)] = call
        self.note(call)

    def wrote(self, target: Tensor, value: Tensor) -> None:
        source = self.value(value)
        leaf = next((r() for r, n in self.passes.values() if n and (t := r()) is not None and t._grad is target), None)
        if leaf is not None and not np.any(value._data):
            self.passes.pop(id(leaf))
            self.note(Event("cleared", self.value(leaf), here(), len(self.running().calls)))
        elif current_node(target) is LEAF and (grad := real_grad(target)) is not None:
            self.add_update("", {}, target, grad, here(), None)
            self.updated = True
        else:
            self.note(Event("wrote", self.value(target), here(), len(self.running().calls), source))
        self.give_back(target._data)
        if source.shape == target.shape and current_node(target) is not LEAF:
            self.values[id(target)] = source, target._version[0] + 1

    def shared(self, tensor: Tensor, other: Tensor) -> None:
        self.note(Event("shared", self.value(tensor), here(), len(self.running().calls), self.value(other)))

    def exchanged(self, tensor: Tensor) -> None:
        self.values.pop(id(tensor), None)

    # ------------------------------------------------------------ what happens backward

    def walked(self, edges: Sequence[Any], keep: bool) -> None:
        self.note(Pass(tuple([self.value_at(edge) for edge in edges]), here()))

    def value_at(self, edge: Any) -> Value | None:
        """The value that an edge of the tape leads to."""
        if isinstance(edge, Tensor):
            return None if isinstance(edge, Box) else self.value(edge)
        call = self.calls.get(id(edge.grad_fn)) if edge is not None else None
        if call is not None:
            index = getattr(edge, "index", 0)
            return call.results[index] if index < len(call.results) else None  # what is not known of one that an earlier step recorded
        return self.earlier.get(id(edge.grad_fn)) if edge is not None else None

    def pulled(self, node: Any, g: Any, results: Sequence[Any]) -> None:
        step = self.running()
        if not step.passes:
            return
        call = self.calls.get(id(node))
        if call is None:
            if len(step.calls) >= MOST_CALLS:
                step.dropped += 1
                return
            call = self.adopt(node)
        if call.facts is None:
            call.facts = self.facts_of(node)
        v = g if g.__class__ is list else [g]
        pull = Pull(weakref.ref(call), tuple(map(self.cotangent, v)), tuple(map(self.cotangent, results)))
        call.pulls.append(pull)
        step.passes[-1].pulls.append(pull)

    def cotangent(self, g: Any) -> Snapshot | None:
        """A cotangent's numbers."""
        if g is None or isinstance(g, Box):
            return None
        g = g._data if isinstance(g, Tensor) else g
        return self.borrow(g if g.__class__ is ndarray else np.asarray(g))

    def adopt(self, node: Any) -> Call:
        """A call for a node that no operation of this step made: of a custom Function, of a write through a view, of an earlier step."""
        result = self.earlier.get(id(node))
        operands = tuple(self.value_at(edge) for edge in node.edges)
        call = Call(
            len(self.running().calls), None, operands, {}, (result,) if result else (), result.place if result else None, (), True, node
        )
        if result is not None and result.maker is None:
            result.maker = weakref.ref(call)
        self.calls[id(node)] = call
        self.note(call)
        return call

    def gradient_came(self, leaf: Tensor, g: Any) -> None:
        snapshot = self.cotangent(g)
        if snapshot is None or not self.running().passes:
            return
        before = real_grad(leaf)
        reference, n = self.passes.get(id(leaf), (weakref.ref(leaf), 0))
        n = n + 1 if before is not None and reference() is leaf else 1
        self.passes[id(leaf)] = weakref.ref(leaf), n
        arrival = Arrival(self.value(leaf), snapshot, None if before is None else self.borrow(before._data), n)
        self.running().passes[-1].arrivals.append(arrival)
        if before is not None:
            self.give_back(before._data)

    def gradient_set(self, leaf: Tensor, before: Tensor | None) -> None:
        self.passes.pop(id(leaf), None)
        if before is not None:
            self.note(Event("cleared", self.value(leaf), self.here_again(sys._getframe(1)), len(self.running().calls)))

    # ------------------------------------------------------------ updates

    def updates(self, optimizer: Any, group: dict[str, Any], p: Tensor, grad: Tensor) -> None:
        numbers = {k: v for k, v in group.items() if k != "params" and not callable(v)}
        self.add_update(type(optimizer).__name__, numbers, p, grad, self.here_again(sys._getframe(1)), self.number_of(optimizer))
        self.give_back(p._data)
        for x in optimizer.state.get(p, {}).values():
            if isinstance(x, Tensor):
                self.give_back(x._data)

    def add_update(self, optimizer: str, numbers: dict[str, Any], p: Tensor, grad: Tensor, place: Place | None, number: int | None) -> None:
        """A parameter is about to be changed."""
        passes = self.passes.get(id(p), (None, 0))[1]
        self.note(Update(self.value(p), optimizer, numbers, self.borrow(p._data), self.borrow(grad._data), passes, place, number))

    # ------------------------------------------------------------ crashes

    def failed(self, error: BaseException, trace: TracebackType | None) -> None:
        """Takes down where and in what the program crashed."""
        place, operation, node, v, modules = None, None, None, None, []
        args: Sequence[Any] = ()
        while trace is not None:
            frame, mine = trace.tb_frame, trace.tb_frame.f_locals
            if not frame.f_code.co_filename.startswith(PACKAGE):
                place, operation, args = Place(frame.f_code, trace.tb_lasti, trace.tb_lineno), None, ()
            elif isinstance(op := mine.get("self"), Op):
                operation, args = op.name, mine.get("args", args)
            elif operation is None and frame.f_code.co_filename.startswith(OPERATIONS):
                written = mine.get("variant")  # an operation that works in place: see ops/inplace.py
                operation = written.__name__ if written is not None else frame.f_code.co_name.removesuffix("_op").rstrip("_")
                args = arguments(frame)
            elif frame.f_code is Module._call_watched.__code__:
                modules.append(self.paths[id(mine["self"])])
            elif frame.f_code is backward.__code__:
                operation, args = "backward", as_sequence(mine["tensors"])
            elif frame.f_code is Walk.visit.__code__:
                operation, args, node, v = None, (), mine["node"], mine["g"]
            trace = trace.tb_next
        step = self.running_forward() if args else self.running()
        found = None if node is None else self.calls.get(id(node)) or self.adopt(node)
        operands = tuple([self.value(a) if isinstance(a, Tensor) and not isinstance(a, Box) else a for a in args])
        came = () if node is None else tuple(map(self.cotangent, v if v.__class__ is list else [v]))
        seen = [step] if step.order or step.visits or args or not self.record.steps else self.record.steps
        self.record.failure = Failure(
            type(error).__name__, str(error), place, operation, found, seen[-1].number, operands, came, tuple(modules)
        )  # fmt: skip
