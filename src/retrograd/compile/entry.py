"""The function that a call goes through once its program is there: it checks what the program takes for granted, hands memory to the
executor, and gives out results and gradients.

It is written as Python source for one program, with every check and every assignment in it, and compiled: a check costs some 25 ns.
Whatever is cheap to compare by identity is compared so; if something is another object, a slower look decides (`Binding.rebind`), and
only if that finds a difference, the program does not fit the call.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from sys import getrefcount
from types import CellType
from typing import Any

import numpy as np
from numpy import ndarray

from retrograd.compile.arguments import is_record, parts_of
from retrograd.compile.binding import Binding
from retrograd.compile.executor import Executor
from retrograd.compile.graph import Buffer, Program, Result, Source, View, dense_strides, seen_through, whole
from retrograd.compile.reach import COPY, LENGTH, MISSING, PLAIN, Place, Reach, Slots, describe, same
from retrograd.compile.tied import Knot, KnotNode
from retrograd.config import settings
from retrograd.core.levels import local, switch
from retrograd.core.tensor import LEAF, Cleared, Tensor, current_node, real_grad, wrap
from retrograd.pytree import TreeSpec, tree_unflatten

MISS: Any = type("Miss", (), {"__repr__": lambda self: "MISS"})()  # the program does not fit the call
USUAL = (True, False)


def mode() -> tuple[bool, bool] | None:
    """Whether gradients are on and inference mode is; None where more is unusual, and calls run in eager."""
    if local.stack or local.raw or local.anomaly is not None or local.saved_hooks or local.observer is not None:
        return None
    return local.grad, local.inference


class Check:
    """One thing that a program takes for granted.

    condition: a Python expression, true if it holds. label, was: what it is about, and what it was; now: an expression for what it is.
    fatal: if it fails, what follows makes no sense. holds: for what the function reaches, whether it holds now.
    """

    def __init__(
        self, condition: str, label: str, was: str, now: str, *, fatal: bool = False, holds: Callable[[], bool] = lambda: True
    ) -> None:
        self.condition, self.label, self.was, self.now, self.fatal, self.holds = condition, label, was, now, fatal, holds


class Code:
    """Source under construction: lines and checks in order, and the names that they use."""

    def __init__(self, **names: Any) -> None:
        self.names: dict[str, Any] = dict(names)
        self.body: list[str | Check] = []

    def name(self, prefix: str, value: Any) -> str:
        """A name for a value."""
        name = f"{prefix}_{len(self.names)}"
        self.names[name] = value
        return name

    def line(self, text: str) -> None:
        """Adds a line."""
        self.body.append(text)

    def check(self, condition: str, label: str, was: str, now: str, **more: Any) -> None:
        """Adds a check."""
        self.body.append(Check(condition, label, was, now, **more))


ERRORS = "(LookupError, AttributeError, TypeError, ValueError)"


class Guards:
    """What a program takes for granted of a call: the mode, the arguments, what the function reaches."""

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any], reach: Reach, in_mode: tuple[bool, bool]) -> None:
        self.reach = reach
        self.code = Code(
            MISS=MISS, switch=switch, mode=mode, MODE=in_mode, Tensor=Tensor, settings=settings, current_node=current_node,
            LEAF=LEAF, same=same, describe=describe, layout=layout, node_of=node_of,
        )  # fmt: skip
        self.tensors: list[Tensor] = []  # the distinct tensors among the arguments
        self.variables: list[str] = []
        self.write_mode(in_mode)
        self.write_arguments(args, kwargs)
        self.write_places()

    def write_mode(self, in_mode: tuple[bool, bool]) -> None:
        """Gradients, inference mode, the default dtype."""
        usual = in_mode == USUAL
        condition = "(not switch.special or mode() == MODE)" if usual else "(switch.special and mode() == MODE)"
        self.code.check(condition, "the mode (gradients on, inference mode)", str(in_mode), "str(mode())")
        kind = self.code.name("dtype", settings.default_dtype)
        self.code.check(
            f"settings.default_dtype is {kind}", "the default dtype", str(settings.default_dtype), "str(settings.default_dtype)"
        )

    # ------------------------------------------------------------ arguments

    def write_arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """The structure of the arguments, and their leaves."""
        self.code.check(f"len(args) == {len(args)}", "the number of arguments", str(len(args)), "str(len(args))", fatal=True)
        if kwargs:
            keys = self.code.name("keys", list(kwargs))
            self.code.check(f"list(kwargs) == {keys}", "the keyword arguments", ", ".join(kwargs), "', '.join(kwargs)", fatal=True)
        else:
            self.code.check("not kwargs", "the keyword arguments", "none", "', '.join(kwargs)", fatal=True)
        for i, value in enumerate(args):
            self.write_tree(value, f"args[{i}]", f"argument {i}")
        for key, value in kwargs.items():
            self.write_tree(value, f"kwargs[{key!r}]", f"argument '{key}'")

    def write_tree(self, value: Any, at: str, label: str) -> None:
        """One argument, or a part of one."""
        code = self.code
        if isinstance(value, Tensor):
            return self.write_tensor(value, at, label)
        if (
            type(value) in (list, tuple, dict)
            or hasattr(value, "_fields")
            or (isinstance(value, dict) and type(value).__name__ == "OrderedDict")
        ):
            kind = code.name("type", type(value))
            code.check(f"{at}.__class__ is {kind}", f"the type of {label}", type(value).__name__, f"type({at}).__name__", fatal=True)
            if isinstance(value, dict):
                keys = code.name("keys", list(value))
                code.check(f"list({at}) == {keys}", f"the keys of {label}", str(list(value)), f"str(list({at}))", fatal=True)
                items = [(f"{at}[{key}]", k, v) for k, v in value.items() for key in [code.name("key", k)]]
            else:
                code.check(f"len({at}) == {len(value)}", f"the length of {label}", str(len(value)), f"str(len({at}))", fatal=True)
                items = [(f"{at}[{i}]", i, v) for i, v in enumerate(value)]
            for where, key, item in items:
                self.write_tree(item, where, f"{label}[{key!r}]")
            return None
        if is_record(value):
            kind, parts = code.name("type", type(value)), parts_of(value)
            code.check(f"{at}.__class__ is {kind}", f"the type of {label}", type(value).__name__, f"type({at}).__name__", fatal=True)
            if hasattr(value, "__dict__"):
                names = code.name("names", list(parts))
                code.check(
                    f"list({at}.__dict__) == {names}",
                    f"the attributes of {label}",
                    str(list(parts)),
                    f"str(list({at}.__dict__))",
                    fatal=True,
                )
            for name, item in parts.items():
                self.write_tree(item, f"{at}.{name}", f"{label}.{name}")
            return None
        constant = code.name("constant", value)
        condition = f"({at} is {constant} or same({at}, {constant}))" if isinstance(value, PLAIN) else f"{at} is {constant}"
        code.check(condition, label, describe(value), f"describe({at})")
        return None

    def write_tensor(self, x: Tensor, at: str, label: str) -> None:
        """A tensor among the arguments: its class, layout, and whether it needs a gradient."""
        code = self.code
        known = next((v for v, t in zip(self.variables, self.tensors, strict=True) if t is x), None)
        if known is not None:
            return code.check(f"{at} is {known}", f"{label} being the same tensor as another", "the same", "'another'")
        variable = f"x{len(self.tensors)}"
        self.tensors.append(x)
        self.variables.append(variable)
        code.line(f"{variable} = {at}")
        kind = code.name("class", type(x))
        code.check(f"{variable}.__class__ is {kind}", f"the type of {label}", type(x).__name__, f"type({variable}).__name__", fatal=True)
        if id(x) in self.reach.tensors or any(x is p for o in self.reach.optimizers for g in o.param_groups for p in g["params"]):
            here = code.name("tensor", x)
            code.check(f"{variable} is {here}", f"{label}, which is reached from outside too", "the same", "'another'")
        for other in self.variables[:-1]:
            code.check(f"{variable} is not {other}", f"{label} being the same tensor as another", "another", "'the same'")
        data = f"a{len(self.tensors) - 1}"
        code.line(f"{data} = {variable}._data")
        shape, strides, dtype = (code.name(n, getattr(x._data, n)) for n in ("shape", "strides", "dtype"))
        condition = f"{data}.shape == {shape} and {data}.strides == {strides} and ({data}.dtype is {dtype} or {data}.dtype == {dtype})"
        code.check(condition, label, layout(x._data), f"layout({data})")
        node = f"({variable}._node if {variable}._base is None else current_node({variable}))"
        now = node_of(x)
        conditions = {"none": f"{node} is None", "leaf": f"{node} is LEAF", "computed": f"{node} is not None and {node} is not LEAF"}
        words = f"node_of({variable})"
        return code.check(conditions[now], f"{label}'s place on the tape", now, words)

    # ------------------------------------------------------------ what is reached

    def write_places(self) -> None:
        """Closure variables, globals, attributes, containers; and a number that tells whether any module changed."""
        code = self.code
        for place in self.reach.places:
            now = f"describe({code.name('place', place)}.look())"
            code.check(self.condition_of(place), place.label, describe(place.value), now, holds=place.holds)
        if self.reach.modules:
            code.names["modules"] = switch.modules
            code.names["modules_same"] = self.modules_same
            now = f"str({code.name('changed', self.reach.changed_modules)}()) + ' changed'"
            condition = "(switch.modules == modules or modules_same())"
            code.check(condition, "what modules hold", "as it was", now, holds=self.modules_same)

    def condition_of(self, place: Place) -> str:
        """The expression that tells whether a place holds what it held."""
        code = self.code
        holder = code.name("holder", place.holder)
        if place.key is LENGTH:
            return f"len({holder}) == {place.value}"
        if place.key is COPY:
            return f"{code.name('place', place)}.holds()"
        key = repr(place.key) if type(place.key) in (str, int) else code.name("key", place.key)
        if isinstance(place.holder, CellType):
            found = f"{holder}.cell_contents"
        elif isinstance(place.holder, Slots):
            found = f"{code.name('of', place.holder.of)}.{place.key}"
        elif place.value is MISSING:
            return f"{key} not in {holder}"
        else:
            found = f"{holder}[{key}]"
        value = code.name("value", place.value)
        return f"({found} is {value} or same({found}, {value}))" if isinstance(place.value, PLAIN) else f"{found} is {value}"

    def modules_same(self) -> bool:
        """Whether modules hold what they held, although some module changed."""
        now = switch.modules
        if self.reach.changed_modules() is not None:
            return False
        self.code.names["modules"] = now
        return True

    # ------------------------------------------------------------ as source

    def explain(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[str]:
        """What is different at a call, in words."""
        lines = ["def explain(args, kwargs):", " try:"]
        for part in self.code.body:
            if isinstance(part, str):
                lines.append(f"  {part}")
            else:
                what = f"{self.code.name('was', (part.label, part.was))} + ({part.now},)"
                lines += [f"  if not ({part.condition}):", f"   yield {what}", *(["   return"] if part.fatal else [])]
        lines.append(f" except {ERRORS}: return")
        namespace = self.code.names
        exec("\n".join(lines), namespace)
        return [f"{label}: {was} before, now {now}" for label, was, now in namespace["explain"](args, kwargs)]


def layout(data: Any) -> str:
    """The dtype and shape of an array, and its strides where they are not those of C order."""
    dense = data.strides == dense_strides(data.shape, data.dtype.itemsize)
    return f"{data.dtype} {list(data.shape)}" + ("" if dense else f" with strides {list(data.strides)}")


def node_of(x: Tensor) -> str:
    """A tensor's place on the tape in a word."""
    node = current_node(x)
    return "none" if node is None else "leaf" if node is LEAF else "computed"


def eager_entry(guards: Guards, function: Callable[..., Any]) -> Callable[..., Any]:
    """An entry for calls that are known to run in eager. What the function has changed itself does not tell them apart."""
    code = guards.code
    code.names["function"] = function
    checks = [part for part in code.body if isinstance(part, str) or part.holds()]
    lines = ["def call(args, kwargs):", " try:", *checks_as_lines(checks, 2), f" except {ERRORS}: return MISS"]
    lines.append(" return function(*args, **kwargs)")
    exec("\n".join(lines), code.names)
    return code.names["call"]


def checks_as_lines(body: Sequence[str | Check], indent: int) -> list[str]:
    """Checks as statements that leave the function."""
    space = " " * indent
    return [f"{space}{part}" if isinstance(part, str) else f"{space}if not ({part.condition}): return MISS" for part in body]


class Entry:
    """The way into one program.

    Attributes:
        call: `call(args, kwargs)`, which returns MISS if the program does not fit.
        source: its source text.
    """

    def __init__(self, program: Program, executor: Executor, guards: Guards, spec: TreeSpec, knot: Knot | None = None) -> None:
        self.program, self.guards, self.spec, self.knot = program, guards, spec, knot
        self.code = Code()
        self.code.names = guards.code.names  # one namespace: checks look names up where `rebind` puts them
        self.binding = Binding(program, guards.tensors, guards.code.names)
        self.names = guards.code.names
        self.lock = threading.Lock()
        self.external = program.external()
        self.memory = self.binding.memory
        self.names.update(
            acquire=self.lock.acquire, release=self.lock.release, memory=self.memory, run=executor.run, scalars=self.binding.scalars,
            wrap=wrap, empty=np.empty, ndarray=ndarray, uint8=np.uint8, Cleared=Cleared, getrefcount=getrefcount, BUSY=BUSY,
            rebind=self.binding.rebind, owner_id=owner_id, knot=knot, KnotNode=KnotNode,
        )  # fmt: skip
        self.tied: dict[int, tuple[str, View]] = {}  # by the number of the result
        self.kept: list[str] = []  # names that the function assigns anew
        self.lines: list[str] = []
        self.write()
        self.source = "\n".join(["def call(args, kwargs):", *([f" global {', '.join(self.kept)}"] if self.kept else []), *self.lines])
        exec(self.source, self.names)
        self.call: Callable[..., Any] = self.names["call"]
        checks = [" try:", *checks_as_lines(guards.code.body, 2), *[f"  {line}" for line in [*self.apart(), *self.looks]]]
        checks += [f"  if not {condition}: return MISS" for condition in self.binding.late_conditions()]
        exec("\n".join(["def fits(args, kwargs):", *checks, f" except {ERRORS}: return MISS", " return True"]), self.names)
        self.fits: Callable[..., Any] = self.names["fits"]  # whether the program fits a call

    def forget(self) -> None:
        """Gives the lock back; the table keeps nothing of a call alive."""
        for i, b in enumerate(self.external):
            if b.kind == "argument" or i in self.fresh:
                self.memory[i] = None
        self.lock.release()

    # ------------------------------------------------------------ the parts

    def write(self) -> None:
        """All of the function."""
        add = self.lines.append
        before = self.looks = self.write_binding()
        after, gradients, results = self.write_after(), self.write_gradients(), self.write_results()
        self.tying = self.write_node() if self.knot is not None else []
        add(" try:")
        self.lines += checks_as_lines(self.guards.code.body, 2)
        self.lines += [f"  {line}" for line in self.apart()]
        add(f" except {ERRORS}: return MISS")
        add(" if not acquire(False): return BUSY")
        add(" try:")
        if before:
            self.lines += ["  try:", *[f"   {line}" for line in before], f"  except {ERRORS}: return MISS"]
        self.lines += [f"  {line}" for line in self.memory_lines + gradients[0] + results[0]]
        failed = [f"{self.variable(source)}._grad = {'None' if left is None else 'Cleared()'}" for source, left in self.program.cleared]
        self.lines += [f"  {line}" for line in self.binding.run_lines(failed)]
        self.lines += [f"  {line}" for line in after + gradients[1] + self.tying]
        add(f"  return {results[1]}")
        add(" finally:")
        self.lines += [f"  {line}" for line in self.release_lines]
        add("  release()")

    def apart(self) -> list[str]:
        """Checks that arguments do not lie in memory that the program writes to, and that leaves among them are none that it reaches."""
        written = {v.buffer for step in self.program.steps for v in step.writes()}
        arguments = [b for b in self.external if b.kind == "argument"]
        reached = {id(source.tensor) for source in self.program.outside}
        leaves = [(v, x) for v, x in zip(self.guards.variables, self.guards.tensors, strict=True) if x._node is LEAF]
        checks = [f"if id({v}) in leaf_ids: return MISS" for v, x in leaves if id(x) not in reached]
        if any(b in written for b in self.external if b.kind in ("held", "gradient")):
            for b in arguments:
                checks.append(f"if owner_id(a{b.source.argument}) in written_ids: return MISS")
        if any(b in written for b in arguments):
            held = ", ".join(f"owner_id(a{b.source.argument})" for b in arguments)
            checks.append(f"if len({{{held}}}) < {len(arguments)} or held_ids & {{{held}}}: return MISS")
        return checks

    def variable(self, source: Source) -> str:
        """The name of a tensor of the call."""
        return f"x{source.argument}" if source.argument is not None else self.binding.name_of(source)

    def write_binding(self) -> list[str]:
        """The look at tensors from outside and at optimizers: by identity, or else by `rebind`."""
        conditions = self.binding.conditions()
        lines = [f"if not ({' and '.join(conditions[i : i + 40])}) and not rebind(): return MISS" for i in range(0, len(conditions), 40)]
        for i, (source, there) in enumerate(self.program.entry_gradients):
            lines.append(f"e{i} = {self.variable(source)}._grad")
            lines.append(f"if e{i}.__class__ is Cleared: e{i} = e{i}.written()")
            lines.append(f"if e{i} is {'' if there else 'not '}None: return MISS")
            at = next((j for j, b in enumerate(self.external) if b.kind == "gradient" and same_source(b.source, source)), None)
            if at is not None:
                held = self.name_gradient(at)
                lines.append(f"if e{i}._node is not None or (e{i}._data is not {held} and not accept({at}, e{i}._data)): return MISS")
                lines.append(f"memory[{at}] = e{i}._data")
        for variable, x in zip(self.guards.variables, self.guards.tensors, strict=True):
            if self.program.walks and x._node is LEAF:
                extra = f"{variable}._extra"
                lines.append(f"if {extra} is not None and ({extra}.hooks or {extra}.post_accumulate): return MISS")
        return lines

    def name_gradient(self, at: int) -> str:
        """The name of the array that was last seen as a gradient at the start."""
        self.names.setdefault(f"ga{at}", None)
        self.names["accept"] = self.binding.accept
        return f"ga{at}"

    @property
    def memory_lines(self) -> list[str]:
        """The memory of arguments."""
        return [f"memory[{i}] = a{b.source.argument}" for i, b in enumerate(self.external) if b.kind == "argument"]

    @property
    def release_lines(self) -> list[str]:
        """What the table must not keep alive."""
        return [f"memory[{i}] = None" for i, b in enumerate(self.external) if b.kind == "argument" or i in self.fresh]

    def write_after(self) -> list[str]:
        """Version counters, and those who wait for an optimizer's step."""
        lines = []
        for source, in_gradient, times in self.program.writes:
            at = next((i for i, (s, _) in enumerate(self.program.entry_gradients) if same_source(s, source)), None)
            lines.append(f"{f'e{at}' if in_gradient else self.variable(source)}._version[0] += {times}")
        for optimizer, again in self.program.after:
            if again is not None:
                lines.append(f"{self.code.name('again', again)}()")
                continue
            name = self.code.name("optimizer", optimizer)
            lines.append(f"if {name}._step_post_hooks: after_step({name})")
            self.names["after_step"] = after_step
        return lines

    # ------------------------------------------------------------ what is given out

    def index(self, buffer: Buffer) -> int:
        """The number of a buffer in the table of memory."""
        return self.external.index(buffer)

    def write_gradients(self) -> tuple[list[str], list[str]]:
        """Memory for gradients: that of the last call, if nobody else has it; and what is put in `.grad`."""
        before: list[str] = []
        after: list[str] = []
        self.fresh: set[int] = set()
        self.allocated: set[Buffer] = set()
        given = [v.buffer for v in self.program.given_out()]
        for source, value in self.program.gradients:
            leaf = self.variable(source)
            if value is None:
                after.append(f"{leaf}._grad = None")
            elif value == "cleared":
                after.append(f"{leaf}._grad = Cleared()")
            elif value.buffer.kind == "made":
                at = self.index(value.buffer)
                order = whole(value)
                if order is not None and given.count(value.buffer) == 1:
                    before += self.reused(at, leaf, value, order)
                    after.append(f"{leaf}._grad = g{at}")
                else:
                    before += self.allocate(value.buffer)
                    after.append(f"{leaf}._grad = {self.tensor(value, None)}")
        return before, after

    def reused(self, at: int, leaf: str, view: View, order: str) -> list[str]:
        """Lines that see to it that a gradient's memory is nobody else's."""
        self.allocated.add(view.buffer)
        self.names[f"g{at}"] = self.names[f"b{at}"] = None
        self.kept += [f"g{at}", f"b{at}"]
        shape, dtype = self.code.name("shape", view.shape), self.code.name("dtype", view.dtype)
        # a gradient is ours to use again if only the table of names, `.grad` and the question refer to it; its array: three and the question
        return [
            f"if g{at} is None or getrefcount(g{at}) != (3 if {leaf}._grad is g{at} else 2) or getrefcount(b{at}) != 4 or g{at}._data is not b{at} or g{at}._node is not None:",
            f" memory[{at}] = b{at} = empty({shape}, {dtype}, {order!r})",
            f" g{at} = wrap(b{at})",
            f"else: g{at}._version = [0, None]",
        ]

    def allocate(self, buffer: Buffer) -> list[str]:
        """Lines that make fresh memory for a buffer."""
        if buffer in self.allocated:
            return []
        self.allocated.add(buffer)
        at = self.index(buffer)
        self.fresh.add(at)
        views = [v for v in self.program.given_out() if v.buffer is buffer]
        order = whole(views[0]) if len(set(views)) == 1 else None
        if order is None:
            return [f"r{at} = memory[{at}] = empty({buffer.nbytes}, uint8)", f"v{at} = [0, None]"]
        shape, dtype = self.code.name("shape", views[0].shape), self.code.name("dtype", views[0].dtype)
        return [f"r{at} = memory[{at}] = empty({shape}, {dtype}, {order!r})"]

    def tensor(self, view: View, node: Any, place: str | None = None) -> str:
        """An expression for a tensor on memory that was made for it; `place`: one for its place on the tape."""
        at = self.index(view.buffer)
        views = [v for v in self.program.given_out() if v.buffer is view.buffer]
        tail = f", {place}" if place else "" if node is None else f", {self.code.name('node', node)}"
        if len(set(views)) == 1 and whole(view) is not None:
            return f"wrap(r{at}{tail})"
        shape, dtype, strides = (self.code.name(n, getattr(view, n)) for n in ("shape", "dtype", "strides"))
        self.names["sharing"] = sharing
        return f"sharing(wrap(ndarray({shape}, {dtype}, r{at}, {view.offset}, {strides}){tail}), v{at})"

    def write_results(self) -> tuple[list[str], str]:
        """Memory for results, and the expression for what is returned."""
        before: list[str] = []
        leaves: list[str] = []
        done: dict[int, str] = {}
        for result in self.program.results:
            if not isinstance(result, Result):
                leaves.append(self.code.name("result", result))
            elif id(result) in done:
                leaves.append(done[id(result)])
            elif result.same_as is not None:
                text = self.variable(result.same_as) + ("._grad" if result.of_gradient else "")
                if result.chain:
                    self.names["seen_through"] = seen_through
                    text = f"seen_through({text}, {self.code.name('chain', result.chain)})"
                leaves.append(text)
            else:
                before += self.allocate(result.view.buffer)
                name = f"out{len(done)}"
                done[id(result)] = name
                text = self.tensor(result.view, result.node)
                if result.inference:
                    self.names["inferred"] = inferred
                    text = f"inferred({text})"
                leaves.append(name if result.tied is not None else f"({name} := {text})")
                if result.tied is not None:
                    self.tied[result.tied] = name, result.view
        for view in self.program.tie.saved if self.program.tie is not None else ():
            before += self.allocate(view.buffer)
        return before, self.assembled(leaves)

    def write_node(self) -> list[str]:
        """Lines that leave a node on the tape, and hang on it the results that need a gradient."""
        tie = self.program.tie
        assert tie is not None
        edges = [self.edge(source) for source in tie.inputs]
        inputs = [self.variable(source) for source in tie.inputs]
        reads = [b.source[1] for b in tie.backward.external() if b.kind == "argument" and b.source[0] == "outside"] if tie.backward else []
        outside = [f"{self.code.name('buffer', b)}: memory[{self.index(b)}]" for b in reads]
        saved = [f"r{self.index(v.buffer)}" for v in tie.saved]
        if tie.backward is None:
            watched = [*self.guards.variables, *[self.binding.name_of(source) for source in self.program.outside]]
        else:
            watched = [self.variable(b.source) for b in reads if isinstance(b.source, Source)]
        like = self.code.name("like", tuple((v.shape, v.dtype) for _, (_, v) in sorted(self.tied.items())))
        together = ["".join(f"{x}, " for x in xs) for xs in (edges, inputs, saved, watched)]
        lines = [
            f"n = KnotNode(knot, ({together[0]}), ({together[1]}), {like}, {{{', '.join(outside)}}}, ({together[2]}), ({together[3]}), "
            "args, kwargs)"
        ]
        for number, (name, view) in sorted(self.tied.items()):
            lines.append(f"{name} = {self.tensor(view, None, f'n.port({number})')}")
            if view.buffer in {v.buffer for v in tie.saved}:
                lines.append(f"n.watch({name})")
        return lines

    def edge(self, source: Source) -> str:
        """An expression for what leads to an input on the tape."""
        name = self.variable(source)
        return name if source.argument is None else f"({name} if {name}._node is LEAF else current_node({name}))"

    def assembled(self, leaves: list[str]) -> str:
        """The expression for the tree of results."""
        kinds = {child.type for child in self.spec.children}
        if self.spec.type is None:
            return leaves[0]
        if kinds <= {None} and self.spec.type is tuple:
            return f"({''.join(leaf + ', ' for leaf in leaves)})"
        if kinds <= {None} and self.spec.type is list:
            return f"[{', '.join(leaves)}]"
        self.names["assemble"], self.names["spec"] = tree_unflatten, self.spec
        return f"assemble([{', '.join(leaves)}], spec)"


BUSY: Any = type("Busy", (), {"__repr__": lambda self: "BUSY"})()  # another thread is running the program


def explain_binding(entry: Entry, label: Callable[[Source], str]) -> list[str]:
    """What is different outside at a call whose arguments fit, in words."""
    found = []
    for source, there in entry.program.entry_gradients:
        if source.argument is None and (real_grad(source.find(())) is not None) != there:
            words = ("there", "absent") if there else ("absent", "there")
            found.append(f"the gradient of {label(source)} at the start: {words[0]} before, now {words[1]}")
    return found or ["tensors outside, or an optimizer's hyperparameters, are of another kind"]


def same_source(a: Source, b: Source) -> bool:
    """Whether two sources find the same tensor."""
    return a.tensor is b.tensor and a.argument == b.argument


def sharing(tensor: Tensor, version: Any) -> Tensor:
    """A tensor with the version counter of the others on its memory."""
    tensor._version = version
    return tensor


def inferred(tensor: Tensor) -> Tensor:
    """A tensor as inference mode makes it."""
    tensor.extra().inference = True
    return tensor


def after_step(optimizer: Any) -> None:
    """Tells those who wait for a step of an optimizer."""
    for hook in list(optimizer._step_post_hooks.values()):
        hook(optimizer, (), {})


def owner_id(array: Any) -> int:
    """What tells the memory of an array from other memory."""
    base = array.base
    while base is not None:
        if isinstance(base, ndarray):
            array = base
        base = getattr(base, "base", None)
    return id(array)
