"""`compile(function)`: a function whose calls are recorded, certified and from then on run as programs.

What a call goes through: the entries of the programs that there are, the latest first; the first that fits runs. If none does, the call
is recorded (it runs in eager, watched) and its program compiled; the next call that fits certifies the program; later ones run it.
"""

from __future__ import annotations

import copy
import functools
import sys
import threading
import time
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from retrograd.compile.arguments import lists_in, opened
from retrograd.compile.backend import make_executor
from retrograd.compile.capture import KEPT, LATER, record
from retrograd.compile.certify import certify
from retrograd.compile.entry import BUSY, MISS, Entry, Guards, eager_entry, explain_binding, mode
from retrograd.compile.executor import Executor
from retrograd.compile.graph import Buffer, Program, Source
from retrograd.compile.lasting import passing
from retrograd.compile.many import Rows, can_repeat
from retrograd.compile.measure import measured, parts_of
from retrograd.compile.printed import Listing, printed
from retrograd.compile.reach import PLAIN, Reach, same
from retrograd.compile.report import Kernels, Report
from retrograd.compile.tied import Knot, tied_leaves
from retrograd.config import settings
from retrograd.core.tape import add_hook
from retrograd.core.tensor import Box, Tensor
from retrograd.errors import Uncompilable, warn_user
from retrograd.nn.module import Module
from retrograd.ops.join import cat, stack
from retrograd.pytree import TreeSpec, tree_flatten, tree_unflatten

LIMIT = 8  # programs that one function may have
PATIENCE = 2  # calls that are not recorded because they make what later ones find


class Inside(threading.local):
    """Whether this thread is inside a call that certifies a program."""

    certification = False


inside = Inside()


@dataclass
class Variant:
    """One program of a compiled function, or one kind of call that runs in eager.

    Attributes:
        why: why it was compiled: what no earlier program fitted.
        state: "recorded" (not certified yet), "compiled", or "eager: " and the reason.
        seconds: what recording and compiling took.
    """

    guards: Guards = field(repr=False)
    why: str
    state: str
    seconds: float = 0.0
    program: Program | None = field(default=None, repr=False)
    executor: Executor | None = field(default=None, repr=False)
    entry: Entry | None = field(default=None, repr=False)
    repeatable: bool | None = field(default=None, repr=False)  # None: nobody has asked yet

    def repeats(self) -> bool:
        """Whether calls of the program can follow each other without looks at what is outside."""
        if self.repeatable is None:
            assert self.program is not None
            self.repeatable = can_repeat(self.program)
        return self.repeatable

    def __str__(self) -> str:
        steps = f", {len(self.program.steps)} steps" if self.program is not None else ""
        return f"{self.state}{steps}, {self.seconds:.3f} s; because of {self.why}"


class Surroundings:
    """What a function may change besides tensors and what it reaches: its arguments, and modes."""

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.modes = mode(), settings.default_dtype
        self.leaves, self.spec = tree_flatten(opened((list(args), kwargs)))

    def differ(self, after: Surroundings) -> str | None:
        """What is otherwise afterwards, in words."""
        if self.modes != after.modes:
            return "whether gradients are on, or the default dtype"
        if self.spec != after.spec or not all(a is b or same(a, b) for a, b in zip(self.leaves, after.leaves, strict=True)):
            return "a list, a dict or a dataclass among its arguments"
        return None


class Programs(list[Variant]):
    """The programs of a compiled function, printed one a line."""

    def __repr__(self) -> str:
        return "\n".join(f"{i}: {v}" for i, v in enumerate(self)) or "no programs yet"


class Compiled:
    """A function that runs as recorded programs. Made by `retrograd.compile`.

    Attributes:
        limit: how many programs there may be; beyond that, calls of a new kind run in eager.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        fullgraph: bool = False,
        verify: bool = True,
        dynamic: bool | None = None,
        backend: Callable[[Program], Executor] = make_executor,
    ) -> None:
        self.function, self.fullgraph, self.verify, self.dynamic, self.backend = function, fullgraph, verify, dynamic, backend
        self.limit, self.patience = LIMIT, PATIENCE
        self.variants: list[Variant] = []
        self.attempts: tuple[Callable[..., Any], ...] = ()
        self.seen: set[Any] = set()
        self.differentiated: set[int] = set()  # which of the results that need a gradient one was asked for, outside
        self.warned: set[str] = set()
        self.lock = threading.RLock()
        self.__qualname__ = type(function).__qualname__  # of what has no name of its own
        functools.update_wrapper(self, function, updated=())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        for attempt in self.attempts:
            result = attempt(args, kwargs)
            if result is not MISS:
                return result if result is not BUSY else self.function(*args, **kwargs)
        return self.miss(args, kwargs)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    def __repr__(self) -> str:
        return f"<compiled {getattr(self.function, '__qualname__', self.function)!s}>"

    # ------------------------------------------------------------ copies

    def again(self, function: Callable[..., Any]) -> Compiled:
        """The same of another function, with no programs yet."""
        options = {"fullgraph": self.fullgraph, "verify": self.verify, "dynamic": self.dynamic, "backend": self.backend}
        other = Compiled(function, **options)  # type: ignore[arg-type]
        other.limit = self.limit
        return other

    def __copy__(self) -> Compiled:
        return self.again(self.function)

    def __deepcopy__(self, memo: dict[int, Any]) -> Compiled:
        return self.again(copy.deepcopy(self.function, memo))

    def __reduce__(self) -> Any:
        place: Any = sys.modules.get(self.__module__)
        for name in self.__qualname__.split("."):
            place = getattr(place, name, None)
        if place is self:  # a decorated function is found by its name
            return self.__qualname__
        return revived, (self.function, self.fullgraph, self.verify, self.dynamic, self.limit)

    # ------------------------------------------------------------ a call that no program fits

    def miss(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A call that no program fits: recorded, unless something says that it is to run in eager."""
        leaves = tree_flatten(opened((list(args), kwargs)))[0]
        now = mode()
        if now is None or inside.certification or any(isinstance(x, Box) for x in leaves):
            return self.function(*args, **kwargs)  # inside a transform, or inside a call that is being recorded or certified itself
        if not self.lock.acquire(blocking=False):
            return self.function(*args, **kwargs)  # another thread is recording
        try:
            if len(self.variants) >= self.limit:
                last = f"The last one that was compiled was because of {self.variants[-1].why}. " if self.variants else ""
                self.warn(
                    "limit",
                    f"{self.name()} was called in more than {self.limit} ways that differ; calls of further kinds run in eager. {last}"
                    "Every number that is no tensor is part of a program: one that changes from call to call can be passed as a tensor",
                )
                return self.function(*args, **kwargs)
            if self.dynamic and not self.seen_before(leaves):
                return self.function(*args, **kwargs)
            return self.add(args, kwargs, leaves, now)
        finally:
            self.lock.release()

    def seen_before(self, leaves: list[Any]) -> bool:
        """Whether arguments of this kind came before (with `dynamic=True`, the first of a kind runs in eager)."""
        if not self.variants and not self.seen:
            return True
        kind = tuple((tuple(x.shape), x.dtype) if isinstance(x, Tensor) else x if isinstance(x, PLAIN) else id(x) for x in leaves)
        known = kind in self.seen
        self.seen.add(kind)
        return known

    def add(self, args: tuple[Any, ...], kwargs: dict[str, Any], leaves: list[Any], now: tuple[bool, bool]) -> Any:
        """Records a call; adds its program."""
        start = time.perf_counter()
        before, lists = Surroundings(args, kwargs), lists_in((args, kwargs))
        objects = [(f"argument {i}", x) for i, x in enumerate(leaves) if not isinstance(x, (Tensor, *PLAIN))]
        reach = Reach((self.name(), self.function), *objects)
        guards = Guards(args, kwargs, reach, now)
        walked = Reach(*reach.roots, hooks=True) if reach.hooked else reach
        guards_walked = Guards(args, kwargs, walked, now) if reach.hooked else guards
        why = self.reason(args, kwargs)
        result, program, refused = record(self.function, args, kwargs, self.fullgraph, self.differentiated, walked.hooked)
        if program is not None and program.walks:
            reach, guards = walked, guards_walked
        changed = before.differ(Surroundings(args, kwargs))
        if changed is not None:
            program, refused = None, f"the function changes {changed}"
        elif refused is None or refused.startswith(KEPT):
            program, refused = self.unless_changed(reach, program, refused, passing(result, reach, lists))
        if program is None:
            assert refused is not None
            if not refused.startswith(LATER):
                if self.fullgraph:
                    raise Uncompilable(refused)
                self.warn("eager", f"{self.name()} runs in eager, not compiled: {refused}")
                self.put(Variant(guards, why, f"eager: {refused}", time.perf_counter() - start), eager_entry(guards, self.function))
            return result
        try:
            executor = self.backend(program)
            knot = self.knot(program, result)
            entry = Entry(program, executor, guards, tree_flatten(result)[1], knot)
        except Exception as error:
            if self.fullgraph:
                raise
            self.warn("eager", f"{self.name()} runs in eager: compiling it failed with {type(error).__name__}: {error}")
            guards = Guards(args, kwargs, reach, now)
            self.put(Variant(guards, why, f"eager: {error}", time.perf_counter() - start), eager_entry(guards, self.function))
            return result
        variant = Variant(guards, why, "recorded", time.perf_counter() - start, program, executor, entry)
        self.put(variant, self.certifying(variant) if self.verify else entry.call)
        if not self.verify:
            variant.state = "compiled"
        return result

    def unless_changed(
        self, reach: Reach, program: Program | None, refused: str | None, unfit: str | None
    ) -> tuple[Program | None, str | None]:
        """The program, unless the function changed something that is no tensor, reaches what cannot be watched, or returns what is `unfit`.

        What looks as if it was made once and for all (a cache, an attribute that was None) is waited for: the next call is recorded.
        """
        changed = reach.changed()
        if changed is not None and self.patience and reach.settles():
            self.patience -= 1
            return None, f"{LATER} ({changed})"
        if program is None:
            return None, refused
        if changed is not None:
            return None, f"the function changes {changed}, which is no tensor"
        if reach.unwatched is not None:
            return None, f"the function reaches {reach.unwatched}"
        return (program, None) if unfit is None else (None, f"the function returns {unfit}")

    def put(self, variant: Variant, call: Callable[..., Any]) -> None:
        """Adds a program, to be tried first."""
        self.variants.append(variant)
        self.attempts = (call, *self.attempts)

    def replace(self, before: Callable[..., Any], call: Callable[..., Any]) -> None:
        """Puts another entry in the place of one."""
        self.attempts = tuple(call if a is before else a for a in self.attempts)

    # ------------------------------------------------------------ certification

    def certifying(self, variant: Variant) -> Callable[..., Any]:
        """The entry of a program that was not certified yet: the first call that fits does it."""
        entry = variant.entry
        assert entry is not None

        def call(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            if entry.fits(args, kwargs) is MISS:
                return MISS
            if not self.lock.acquire(blocking=False):
                return BUSY
            try:
                return self.certify(variant, call, args, kwargs)
            finally:
                self.lock.release()

        return call

    def certify(self, variant: Variant, before: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Compares a program with the function; from then on it runs, or the function does."""
        entry, program, executor = variant.entry, variant.program, variant.executor
        assert entry is not None
        assert program is not None
        assert executor is not None
        tensors: list[Tensor] = []
        for x in tree_flatten(opened((list(args), kwargs)))[0]:
            if isinstance(x, Tensor) and not any(x is t for t in tensors):
                tensors.append(x)
        result, report = certify(program, executor, self.backend, entry.binding, tensors, lambda: self.in_eager(args, kwargs))
        if report is None:
            variant.state = "compiled"
            self.replace(before, entry.call)
        else:
            variant.state = f"eager: {report}"
            self.warn("wrong", f"{self.name()} runs in eager: its compiled program does not compute what the function does: {report}")
            self.replace(before, eager_entry(variant.guards, self.function))
        return result

    def in_eager(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The function itself; compiled functions within it do not compile for its sake."""
        outer, inside.certification = inside.certification, True
        try:
            return self.function(*args, **kwargs)
        finally:
            inside.certification = outer

    # ------------------------------------------------------------ results that are differentiated outside

    def knot(self, program: Program, result: Any) -> Knot | None:
        """What ties the results of a program to the tape, if they need a gradient."""
        tie = program.tie
        if tie is None:
            return None
        if tie.backward is None:
            for i, x in enumerate(tied_leaves(program, result)):  # this call, which ran in eager, may be differentiated too
                add_hook(x._node.grad_fn, "tensor", functools.partial(self.notice, {i}), getattr(x._node, "index", 0))
        return Knot(program, self.backend, self.notice, self.in_eager, self.name())

    def notice(self, numbers: set[int], gradient: Any = None) -> None:
        """A gradient of results was asked for. Programs without the backward pass are dropped; they are recorded anew with it."""
        with self.lock:
            self.differentiated |= numbers
            kept = [not lacks_backward(v.program, self.differentiated) for v in self.variants]
            self.attempts = tuple(a for a, keep in zip(self.attempts, reversed(kept), strict=True) if keep)
            self.variants[:] = [v for v, keep in zip(self.variants, kept, strict=True) if keep]

    # ------------------------------------------------------------ words

    def name(self) -> str:
        """The function's name and line."""
        function = self.function.forward if isinstance(self.function, Module) else self.function
        function = getattr(function, "__func__", function)
        code = getattr(function, "__code__", None)
        name = getattr(function, "__qualname__", type(function).__name__)
        return name if code is None else f"{name} ({code.co_filename}:{code.co_firstlineno})"

    def reason(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """Why none of the programs fits a call."""
        if not self.variants:
            return "a gradient asked for outside" if self.differentiated else "the first call"
        last = self.variants[-1]
        found = last.guards.explain(args, kwargs)
        if not found and last.entry is not None:
            found = explain_binding(last.entry, lambda source: self.label(last, source))
        return "; ".join(found) or "a program that did not fit"

    @staticmethod
    def label(variant: Variant, source: Source) -> str:
        """What a tensor outside is called."""
        return variant.guards.reach.tensors.get(id(source.tensor), ("a tensor outside", None))[0]

    def warn(self, kind: str, text: str) -> None:
        """Warns, once of each kind."""
        if kind not in self.warned:
            self.warned.add(kind)
            warn_user(text)

    # ------------------------------------------------------------ for people

    def programs(self) -> Programs:
        """The programs that there are, each with the reason why it was compiled, its state, and the seconds that it took."""
        return Programs(self.variants)

    def graph(self, number: int = -1) -> Listing:
        """A program as Python text that runs: a function of the tensors that it reads. The latest program by default.

        Raises:
            IndexError: if there is no such program.

        >>> import retrograd as torch
        >>> double = torch.compile(lambda x: 2 * x.sin())
        >>> _ = double(torch.ones(3))
        >>> print(double.graph())
        import numpy as np
        import retrograd as torch
        from retrograd.compile.printed import operation, piece
        <BLANKLINE>
        sin = operation('sin')
        mul = operation('mul')
        <BLANKLINE>
        <BLANKLINE>
        def program(x0, scalars=()):
            # x0: float32 [3]
            m1 = sin(x0)  # float32 [3]
            m2 = mul(m1, 2.0)  # float32 [3]
            return [m2], {}
        <BLANKLINE>
        >>> text = double.graph()
        >>> exec(text, text.names)
        >>> text.names["program"](torch.zeros(2))
        ([tensor([0., 0.])], {})
        """
        variant = self.compiled_variant(number)
        assert variant.program is not None
        return printed(variant.program, self.labels(variant))

    def report(self, number: int = -1) -> Report:
        """The kernels of a program (the latest by default) with time, work, and how near they come to this machine's measured peak.

        The program runs a few times, on copies of what it reads and writes; what comes with a call is made up.

        Returns:
            A Report, which prints as a table: `rows`, `seconds`, `flops`, `limit` are its numbers.

        Raises:
            IndexError: if there is no such program.

        >>> import retrograd as torch
        >>> f = torch.compile(lambda x: (x * x).sum())
        >>> for _ in range(2): _ = f(torch.ones(1000))
        >>> found = f.report()
        >>> [row.part.label for row in found.rows], found.flops
        (['mul sum on 1000'], 2000)
        """
        variant = self.compiled_variant(number)
        assert variant.program is not None
        assert variant.executor is not None
        assert variant.entry is not None
        held = [a if b.kind == "held" else None for b, a in zip(variant.program.external(), variant.entry.memory, strict=True)]
        with self.lock, variant.entry.lock:
            return measured(self.name(), variant.program, variant.executor, held)

    def kernels(self, number: int = -1) -> Kernels:
        """The kernels of a program (the latest by default) in the order in which they run: the loops of each, and its LLVM IR.

        Raises:
            IndexError: if there is no such program.

        >>> import retrograd as torch
        >>> f = torch.compile(lambda x: (x * x).sum())
        >>> _ = f(torch.ones(1000))
        >>> kernel = f.kernels()[0]
        >>> "define" in kernel.llvm(), "float" in kernel.llvm()
        (True, True)
        """
        variant = self.compiled_variant(number)
        return Kernels(parts_of(variant.executor))

    def compiled_variant(self, number: int) -> Variant:
        """One of the variants that have a program."""
        programs = [v for v in self.variants if v.program is not None]
        if not -len(programs) <= number < len(programs):
            raise IndexError(f"there is no program {number}: call the function first (there are {len(programs)} programs)")
        return programs[number]

    @staticmethod
    def labels(variant: Variant) -> dict[Buffer, str]:
        """What buffers from outside are called."""
        assert variant.program is not None
        known = {k: label for k, (label, _) in variant.guards.reach.tensors.items()}
        found: dict[Buffer, str] = {}
        for b in variant.program.external():
            source = b.source
            if not isinstance(source, Source):
                continue
            if source.argument is not None:
                found[b] = f"x{source.argument}"
            elif source.state is not None:
                found[b] = f"{known.get(id(source.state[1]), 'state')}.{source.state[2]}"
            elif id(source.tensor) in known:
                found[b] = known[id(source.tensor)]
            if b.kind == "gradient":
                found[b] = f"{found.get(b, b.name)}.grad"
        return found

    # ------------------------------------------------------------ many calls at once

    def loop(self, *batches: Any) -> Any:
        """Calls the function for every row of tensors that have one dim more, in order. Returns the results, stacked.

        Between the calls nothing is checked. Where the program runs in machine code from beginning to end, all are one native call.

        Args:
            batches: trees of tensors of shape (n, ...), one for each argument of the function. What is no tensor is given to every call.

        Returns:
            The function's results, with every tensor of shape (n, ...); where it returns something else, the last of it.

        Raises:
            ValueError: if there is no tensor, or the tensors have different numbers of rows.

        >>> import retrograd as torch
        >>> double = torch.compile(lambda x: 2 * x)
        >>> double.loop(torch.arange(3.0))
        tensor([0., 2., 4.])
        """
        leaves, spec = tree_flatten(list(batches))
        sizes = {x.shape[0] if x.ndim else -1 for x in leaves if isinstance(x, Tensor)}
        if len(sizes) != 1 or -1 in sizes:
            raise ValueError(f"loop() expects tensors with the same number of rows, but got {sorted(sizes)}")
        (n,) = sizes
        if n == 0:
            raise ValueError("loop() expects at least one row")
        collected: list[list[Any]] = []
        for i in range(n):
            rows = tuple(tree_unflatten([x[i] if isinstance(x, Tensor) else x for x in leaves], spec))
            rest = self.many(rows, [x for x in leaves if isinstance(x, Tensor)], i, n)
            if rest is not None:
                found, result_spec = rest
                columns = [stack([row[k] for row in collected]) for k, x in enumerate(found) if isinstance(x, Tensor)] if collected else []
                joined = iter(columns)
                both = [cat([next(joined), x]) if collected and isinstance(x, Tensor) else x for x in found]
                return tree_unflatten(both, result_spec)
            found, result_spec = tree_flatten(self(*rows))
            collected.append([x.detach() if isinstance(x, Tensor) else x for x in found])
        return tree_unflatten([stack(list(c)) if isinstance(c[0], Tensor) else c[-1] for c in zip(*collected, strict=True)], result_spec)

    def many(self, rows: tuple[Any, ...], batches: list[Tensor], first: int, n: int) -> tuple[list[Any], TreeSpec] | None:
        """The calls from one row on without looks in between, if there is a program that fits and can do it."""
        if n - first < 2 or any(x.requires_grad for x in batches):
            return None
        for variant in reversed(self.variants):
            if variant.state == "compiled" and variant.entry is not None and variant.repeats():
                found = Rows(variant.entry, variant.executor, batches).run(rows, first, n - first)
                if found is not None:
                    return found, variant.entry.spec
        return None


def lacks_backward(program: Program | None, differentiated: set[int]) -> bool:
    """Whether a program has no backward pass for results of which a gradient is asked for."""
    tie = None if program is None else program.tie
    return tie is not None and not {i for i in differentiated if i < tie.outputs} <= set(tie.chosen)


def revived(function: Callable[..., Any], fullgraph: bool, verify: bool, dynamic: bool | None, limit: int) -> Compiled:
    """A compiled function from its pickle: it compiles anew."""
    compiled = Compiled(function, fullgraph=fullgraph, verify=verify, dynamic=dynamic)
    compiled.limit = limit
    return compiled
