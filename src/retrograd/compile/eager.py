"""Kernels for eager: forward functions, rules of derivatives and optimizer updates that have been called often enough run as machine code.

A function on arrays (`Quickened`) counts its calls by shapes, strides and dtypes. After `Policy.calls` of a kind, a program of this one
function is recorded and compiled in the background, on copies of the arrays; it is used if it gives what the function gives, and in less
time. All other calls run the function itself. So nothing is slower for being run once, llvmlite is imported only by programs that
run for a while, and RETROGRAD_EAGER_KERNELS=0 leaves everything as it was.

What is quickened is listed here: where NumPy takes several passes over its operands, or is slow at one.
"""

from __future__ import annotations

import importlib
import itertools
import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import numpy as np
from numpy import ndarray

from retrograd.compile.arrays import is_dense
from retrograd.compile.backend import make_executor
from retrograd.compile.capture import extent, record
from retrograd.compile.graph import Buffer, Program, Result, Update, View
from retrograd.core.op import OPS, Op, Rule
from retrograd.core.tape import quiet
from retrograd.core.tensor import Tensor, owner, wrap
from retrograd.optim.arrays import ArrayBuilder
from retrograd.optim.optimizer import Optimizer

FUNCTIONS = ("exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "tanh")
ONE_PASS = frozenset({*FUNCTIONS, "clone"})
SMOOTH = {
    *FUNCTIONS, "asin", "acos", "atan", "sinh", "cosh", "asinh", "acosh", "atanh", "atan2", "sinc", "hypot", "logaddexp", "pow_scalar", "erf",
    "erfc", "ndtr", "logit", "sigmoid", "log_sigmoid", "silu", "softplus", "mish", "gelu", "elu", "hardsigmoid", "hardswish", "hardtanh",
    "leaky_relu", "relu", "threshold",
}  # fmt: skip
WINDOWS = {"convolution", "convolution_transpose", "convolution_weight", "max_pool", "avg_pool", "avg_unpool"}
WHOLE = {"softmax", "log_softmax", "logsumexp", "var", "normalize", "linear", "mm", *WINDOWS}
FORWARDS = SMOOTH | WHOLE | ONE_PASS | {"gelu_slope", "lgamma", "softmax_grad", "log_softmax_grad", "share"}
RULES = SMOOTH | WHOLE | {"square", "rsqrt", "reciprocal", "div"}
KINDS = 32  # kernels that one function may have
COUNTED = 512  # kinds of calls whose number is remembered
TOLERANCE = {4: 2e-5, 8: 1e-11}  # relative to the largest number, by the bytes of one
MARGIN = 0.3e-6  # seconds: what finding a kernel costs
ASLEEP = 0.3  # seconds after which the threads of a BLAS, whichever it is, sleep
LONG = 0.03  # seconds: longer than another program has a processor at a time
TURNS = 12  # calls of each at least, in which kernels are compared with the function that they may replace, and with each other
SELDOM = 50_000  # calls between two comparisons of kernels, in the long run
CLEARLY = 0.95  # of the other's time: a kernel that takes more does not replace another
NEVER = frozenset({"params", "param_names"})


@dataclass
class Policy:
    """When kernels are made.

    calls: of a kind, before its kernel is made. least: elements of the first array. least_of_one_pass: the same for forward functions that
    are one pass of NumPy's. background: in another thread; else at once. always: whether a kernel is used even if it is slower.
    """

    calls: int = 100
    least: int = 256
    least_of_one_pass: int = 8192
    background: bool = True
    always: bool = False


policy = Policy()


# ---------------------------------------------------------------- the background


class Background:
    """A thread that lives while there are kernels to make.

    It is gone before a fork, and at the interpreter's end it is waited for, but begins nothing more.
    """

    def __init__(self) -> None:
        self.jobs: list[Callable[[], None]] = []
        self.ready: list[tuple[dict[Any, Any], Any, Any]] = []  # tables, keys and kernels
        self.lock = threading.Lock()
        self.thread: threading.Thread | None = None
        self.held = False
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=self.hold, after_in_parent=self.release, after_in_child=self.release)

    def add(self, job: Callable[[], None]) -> None:
        """Has a job done: soon, or now."""
        if not policy.background:
            job()
            return self.install()
        with self.lock:
            self.jobs.append(job)
            if self.thread is None and not self.held:
                self.thread = threading.Thread(target=self.work, name="retrograd-kernels")
                self.thread.start()

    def work(self) -> None:
        """Does what there is to do."""
        while True:
            with self.lock:
                if not self.jobs or self.held or not threading.main_thread().is_alive():
                    self.install()
                    self.thread = None
                    return
                job = self.jobs.pop(0)
            job()

    def install(self) -> None:
        """Puts what was made in place: all at once, so that kernels of one step are tried together, and threads stay awake between them."""
        for table, key, kernel in self.ready:
            table[key] = kernel
        self.ready.clear()

    def hold(self) -> None:
        """Waits for the job at hand, and starts no other."""
        self.held = True
        thread = self.thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def release(self) -> None:
        """Goes on, at the next job."""
        self.held = False

    def finish(self) -> None:
        """Waits until all is done."""
        while (thread := self.thread) is not None:
            thread.join()


background = Background()


# ---------------------------------------------------------------- functions on arrays


class Refused(Exception):
    """A call has no kernel."""


class Trial:
    """Functions that do the same, each called some times and timed, where they are used; then the quickest is called.

    The first of them is there already, the second is a kernel on one thread, the third, if there is one, the same on several. Another than
    the first has to be quicker by more than it costs to find it. Where there is nothing more to find out, it takes this one's place in `table`.

    Threads of a BLAS spin for a while after their last work, and would take the processors from ours. So the third waits until they sleep.
    What several threads gain depends on where other kernels leave their results, in one core's cache or in several, and on what else the
    machine does: so the second and the third, if one of them was chosen, are compared again, in turns, after more and more calls. Only one trial does so at a
    time, while the other kernels of the program run as they were chosen. The first, which may wake the threads of a BLAS, is not called again.
    """

    comparing_until = 0.0  # when another may compare again

    def __init__(self, table: dict[Any, Any], key: Any, rivals: Sequence[Callable[..., Any]]) -> None:
        self.table, self.key, self.rivals = table, key, rivals
        self.times: list[list[float]] = [[] for _ in rivals]
        self.best = rivals[0]
        self.rest = 0  # calls before there is something to find out
        self.order = self.in_turns()
        self.lock = threading.Lock()

    def __call__(self, *args: Any) -> Any:
        if self.rest > 0:
            self.rest -= 1
            return self.best(*args)
        with self.lock:
            which = next(self.order, None)
        if which is None:
            self.table[self.key] = self.best
            return self.best(*args)
        start = time.perf_counter()
        result = self.rivals[which](*args)
        self.times[which].append(time.perf_counter() - start)
        return result

    def in_turns(self) -> Iterator[int]:
        """Which is to be called next."""
        for which in (0, 1):
            yield from self.repeated(which, LONG)
        if len(self.rivals) > 2:
            yield from self.repeated(1, ASLEEP)
            yield from self.repeated(2, LONG)
        best, pause = self.quickest(), TURNS
        self.best = self.rivals[best]
        while len(self.rivals) > 2 and best > 0:
            self.rest = pause
            yield best
            while time.perf_counter() < Trial.comparing_until:
                self.rest = TURNS
                yield best
            yield from self.compared()
            other = 3 - best
            if median(self.times[other]) < CLEARLY * median(self.times[best]):
                best = other
                self.best = self.rivals[best]
            pause = min(4 * pause, SELDOM)

    def compared(self) -> Iterator[int]:
        """The kernel on one thread and on several, a few calls of each at a time."""
        self.times[1].clear()
        self.times[2].clear()
        now = time.perf_counter()
        end = now + 2 * LONG
        for _ in range(TURNS):
            Trial.comparing_until = now + ASLEEP  # should the program not go on with this
            yield from self.repeated(1, 0)
            yield from self.repeated(2, 0)
            now = time.perf_counter()
            if now >= end:
                break
        Trial.comparing_until = now

    def repeated(self, which: int, seconds: float) -> Iterator[int]:
        """One of them, some times, and for so long at least."""
        end = time.perf_counter() + seconds
        for i in itertools.count():
            if i >= TURNS and time.perf_counter() >= end:
                return
            yield which

    def quickest(self) -> int:
        """Which took the least time."""
        costs = [median(times or [math.inf]) + MARGIN * bool(i) for i, times in enumerate(self.times)]
        return costs.index(min(costs))


class Quickened:
    """A function on arrays with kernels for kinds of calls.

    function: takes values, of which some are arrays, and gives an array, or a tuple of them. kernels_for: what gives machine code for values like some.
    kernels: what to call in the function's place, by `kind_of` its values.
    """

    def __init__(self, function: Callable[..., Any], kernels_for: Callable[[Sequence[Any]], list[Callable[..., Any]]]) -> None:
        self.function, self.kernels_for = function, kernels_for
        self.kernels: dict[Any, Callable[..., Any]] = {}
        self.counts: dict[Any, int] = {}

    def __call__(self, *values: Any) -> Any:
        """The function of these values, which must be as many at every call."""
        kind = tuple([(v.shape, v.strides, v.dtype) if v.__class__ is ndarray else v for v in values])
        try:
            kernel = self.kernels.get(kind)
        except TypeError:  # something among the values has no hash
            return self.function(*values)
        if kernel is not None:
            return kernel(*values)
        self.note(kind, values)
        return self.function(*values)

    def note(self, kind: Any, values: Sequence[Any]) -> None:
        """Counts a call; has its kernel made if it is one too many."""
        n = self.counts.get(kind, 0) + 1
        if len(self.counts) >= COUNTED:
            self.counts.clear()
        self.counts[kind] = n
        if n == policy.calls and len(self.kernels) < KINDS and not any(map(unfit, values)):
            copies = [duplicate(v) if v.__class__ is ndarray else v for v in values]
            background.add(partial(self.make, kind, copies))

    def make(self, kind: Any, values: Sequence[Any]) -> None:
        """Makes the kernel for values like these, if there can be one."""
        self.kernels[kind] = self.function
        try:
            kernels = self.kernels_for(values)
            with quiet():
                right = alike(self.function(*values), kernels[0](*values))
            if right:
                chosen = kernels[0] if policy.always else Trial(self.kernels, kind, (self.function, *kernels))
                background.ready.append((self.kernels, kind, chosen))
        except Exception:  # whatever it is, the function itself is right
            return


def unfit(value: Any) -> bool:
    """Whether calls with a value like this have no kernel: 0.0 and -0.0 are one key, nan is none, and no kernel runs backwards through memory."""
    if value.__class__ is ndarray:
        return any(s < 0 for s in value.strides)
    return value.__class__ is float and (not value or value != value)


def duplicate(array: ndarray) -> ndarray:
    """The same numbers, in memory of their own that is laid out the same."""
    copied: ndarray = np.ndarray(array.shape, array.dtype, np.empty(max(extent(array), 1), np.uint8), 0, array.strides)
    copied[...] = array
    return copied


def alike(expected: Any, got: Any) -> bool:
    """Whether arrays are the same but for rounding."""
    if expected.__class__ is tuple:
        return len(expected) == len(got) and all(map(alike, expected, got))
    if expected.__class__ is not ndarray or (expected.shape, expected.dtype) != (got.shape, got.dtype):
        return False
    if expected.dtype.kind != "f":
        return bool((expected == got).all())
    scale = np.abs(expected[np.isfinite(expected)]).max(initial=0)
    tolerance = TOLERANCE[expected.dtype.itemsize]
    return np.allclose(got, expected, rtol=tolerance, atol=tolerance * scale, equal_nan=True)


def kernels_of(on_tensors: Callable[..., Any], values: Sequence[Any]) -> list[Callable[..., Any]]:
    """Machine code for values like these, on one thread and, if it can be shared out, on several.

    Raises:
        Refused: if there is none.
    """
    at = [i for i, v in enumerate(values) if v.__class__ is ndarray]

    def call(*tensors: Tensor) -> Any:
        given = list(values)
        for i, tensor in zip(at, tensors, strict=True):
            given[i] = tensor
        return on_tensors(*given)

    result, program, refused = record(call, [wrap(values[i]) for i in at], {})
    if program is None:
        raise Refused(refused)
    views = [r.view for r in program.results if isinstance(r, Result) and r.same_as is None and r.view.buffer.kind == "made"]
    buffers = [v.buffer for v in views]
    places = [at[b.source.argument] for b in program.external() if b.kind == "argument"]
    if not views or len(views) != len(program.results) or len(set(buffers)) != len(buffers):
        raise Refused("a result is memory of an operand")
    if program.external() != program.external()[: len(places)] + buffers:
        raise Refused("memory from elsewhere is used, or results lie in another order")
    several = isinstance(result, tuple)
    if several or not is_dense(views[0]) or views[0].offset:
        return [any_kernel(run, views, places, several) for run in native_calls(program)]
    return [quick_kernel(run, views[0], places, len(values)) for run in native_calls(program)]


def quick_kernel(run: Callable[..., None], view: View, places: Sequence[int], count: int) -> Callable[..., Any]:
    """A kernel with one result in C order. It is written for so many values and compiled, since it runs at every call."""
    given, used = (", ".join([f"v{i}" for i in which]) for which in (range(count), places))
    source = f"def kernel({given}):\n y = empty(shape, dtype)\n run({used}, y, nothing)\n return y"
    names: dict[str, Any] = {"empty": np.empty, "shape": view.shape, "dtype": view.dtype, "run": run, "nothing": np.zeros(0)}
    exec(source, names)
    kernel: Callable[..., Any] = names["kernel"]
    return kernel


def any_kernel(run: Callable[..., None], views: Sequence[View], places: Sequence[int], several: bool) -> Callable[..., Any]:
    """A kernel with any results: views in fresh buffers."""
    nothing = np.zeros(0)

    def kernel(*values: Any) -> Any:
        memory = [np.empty(v.buffer.nbytes, np.uint8) for v in views]
        run(*[values[i] for i in places], *memory, nothing)
        results = [np.ndarray(v.shape, v.dtype, m, v.offset, v.strides) for v, m in zip(views, memory, strict=True)]
        return tuple(results) if several else results[0]

    return kernel


def native_calls(program: Program) -> list[Callable[..., None]]:
    """A program as one call of machine code over its external memory and its live numbers: on one thread and, if it can be, on several.

    To wake a thread that sleeps may take longer than the work. What a call needs lives as long as it does.

    Raises:
        Refused: if some of it runs in Python.
    """
    calls: list[Callable[..., None]] = []
    for alone in (True, False):
        executor: Any = make_executor(program)
        if not executor.is_native() or executor.checks:
            raise Refused("an operation has no machine code, or it looks at numbers")
        runner = executor.segments[0]
        runner.program.keeps = (*runner.program.keeps, executor)
        shared = bool(runner.stages["shared"].any())
        if alone:
            runner.stages["shared"] = runner.program["shared"] = 0
        calls.append(runner.call)
        if not shared:
            break
    return calls


# ---------------------------------------------------------------- what is quickened


def quick_forward(op: Op) -> Callable[..., Any]:
    """The forward function of an operation, quickened."""
    forward = op.forward
    if len(op.operands) == 1 and not op.metadata:
        return Quickened(forward, partial(kernels_of, op.call))
    tables: dict[Any, Quickened] = {}  # by the number of operands and the names of what else is given

    def table_for(count: int, names: tuple[str, ...]) -> Quickened:
        def split(function: Callable[..., Any]) -> Callable[..., Any]:
            return lambda *values: function(*values[:count], **dict(zip(names, values[count:], strict=True)))

        return tables.setdefault((count, names), Quickened(split(forward), partial(kernels_of, split(op.call))))

    def run(*args: Any, **params: Any) -> Any:
        names = tuple(params)
        table = tables.get((len(args), names)) or table_for(len(args), names)
        return table(*args, *params.values())

    return run


def quick_rule(on_arrays: Rule, on_tensors: Rule) -> Rule:
    """A rule bound to its places (`op.bind`), quickened where it runs on arrays."""
    single = Quickened(lambda g, *facts: on_arrays(g, facts), partial(kernels_of, lambda g, *facts: on_tensors(g, facts)))
    kernels = single.kernels
    several: dict[int, Quickened] = {}  # by the number of outputs

    def table_for(n: int) -> Quickened:
        kernels_for = partial(kernels_of, lambda *v: on_tensors(list(v[:n]), v[n:]))
        return several.setdefault(n, Quickened(lambda *v: on_arrays(list(v[:n]), v[n:]), kernels_for))

    def call(g: Any, facts: tuple[Any, ...]) -> Any:
        kind = g.__class__
        if kind is ndarray:
            if g.size < policy.least:
                return on_arrays(g, facts)
            if len(facts) == 1 and (fact := facts[0]).__class__ is ndarray:  # what `Quickened` does, with fewer calls
                kernel = kernels.get(((g.shape, g.strides, g.dtype), (fact.shape, fact.strides, fact.dtype)))
                if kernel is not None:
                    return kernel(g, fact)
            return single(g, *facts)
        if kind is list and g[0].__class__ is ndarray and g[0].size >= policy.least:
            return (several.get(len(g)) or table_for(len(g)))(*g, *facts)
        return on_arrays(g, facts)

    call.unpacks = getattr(on_arrays, "unpacks", False)  # type: ignore[attr-defined]
    return call


class QuickUpdates:
    """The updates of optimizers, quickened: one kernel does a parameter's, and reads everything once."""

    def __init__(self) -> None:
        self.kernels: dict[Any, Callable[..., None]] = {}
        self.counts: dict[Any, int] = {}

    def __call__(self, optimizer: Optimizer, group: dict[str, Any]) -> Callable[..., None]:
        """What is to be called in place of `optimizer.update` for the parameters of a group."""
        form = (type(optimizer), *[form_of(v) for k, v in group.items() if k not in NEVER])
        kernels = self.kernels

        def update(w: ndarray, g: ndarray, buffers: Sequence[ndarray], scalars: Sequence[float], group: dict[str, Any]) -> None:
            if w.size >= policy.least:
                key = (form, w.shape, w.dtype, w.strides, g.strides, g.dtype, len(buffers))
                kernel = kernels.get(key)
                if kernel is None:
                    self.note(key, optimizer, group, w, g, buffers, len(scalars))
                elif (w.base is None and g.base is None) or owner(w) is not owner(g):
                    return kernel(optimizer, w, g, buffers, scalars, group)
            optimizer.update(w, g, buffers, scalars, group)

        return update

    def note(
        self, key: Any, optimizer: Optimizer, group: dict[str, Any], w: ndarray, g: ndarray, buffers: Sequence[ndarray], count: int
    ) -> None:
        """Counts an update; has its kernel made if it is one too many."""
        n = self.counts.get(key, 0) + 1
        if len(self.counts) >= COUNTED:
            self.counts.clear()
        self.counts[key] = n
        if n == policy.calls and len(self.kernels) < KINDS * 8 and not any(map(unfit, (w, g, *buffers))):
            bare = object.__new__(type(optimizer))  # a rule is a function of its arguments: kernels keep no parameters alive
            bare._arrays = ArrayBuilder()
            frozen = {k: v for k, v in group.items() if k not in NEVER}
            copies = [duplicate(a) for a in (w, *buffers, g)]
            background.add(partial(self.make, key, bare, frozen, copies, count))

    def make(self, key: Any, optimizer: Optimizer, group: dict[str, Any], arrays: Sequence[ndarray], count: int) -> None:
        """Makes the kernel for parameters like this one, if it does what the rule does, and in less time."""
        self.kernels[key] = Optimizer.update
        *targets, g = arrays
        numbers = [0.25 + 0.125 * i for i in range(count)]  # any will do
        try:
            buffers = [Buffer("held", max(extent(a), 1), f"h{i}", a) for i, a in enumerate(arrays)]
            views = [View(b, 0, a.shape, a.strides, a.dtype) for b, a in zip(buffers, arrays, strict=True)]
            program = Program([Update(optimizer, group, None, views[:-1], views[-1], 0, count)], [], [])
            if program.external() != buffers:
                return
            kernels = [update_kernel(run) for run in native_calls(program)]
            expected, got = ([duplicate(a) for a in targets] for _ in range(2))
            with quiet():
                optimizer.update(expected[0], g, expected[1:], numbers, group)
            kernels[0](optimizer, got[0], g, got[1:], numbers, group)
            if alike(tuple(expected), tuple(got)):
                chosen = kernels[0] if policy.always else Trial(self.kernels, key, (Optimizer.update, *kernels))
                background.ready.append((self.kernels, key, chosen))
        except Exception:  # whatever it is, the rule itself is right
            return


def update_kernel(run: Callable[..., None]) -> Callable[..., None]:
    """Machine code as what takes the place of `Optimizer.update`."""

    def kernel(optimizer: Any, w: ndarray, g: ndarray, buffers: Sequence[ndarray], scalars: Sequence[float], group: Any) -> None:
        run(w, *buffers, g, np.array(scalars))

    return kernel


def form_of(value: Any) -> Any:
    """What a rule's terms depend on: of numbers, only whether they are zero."""
    return value if isinstance(value, (bool, str, type(None))) else bool(value)


updates = QuickUpdates()


# ---------------------------------------------------------------- copies that nobody reads soon


def copied(array: ndarray) -> ndarray:
    """A copy, laid out as the array is."""
    own = np.empty_like(array)
    np.copyto(own, array)  # array.copy() takes a quarter longer where memory was not used for a while
    return own


def copies_past_the_caches(values: Sequence[ndarray]) -> list[Callable[..., Any]]:
    """Machine code that copies an array like this one.

    Raises:
        Refused: if it is not in C order, or holds Python's objects.
    """
    (array,) = values
    if not array.flags.c_contiguous or array.dtype.hasobject:
        raise Refused("memory is not copied as it is")
    streaming = importlib.import_module("retrograd.compile.native.streaming")
    return [partial(streamed, run) for run in streaming.streaming_copies(array.nbytes)]


def streamed(run: Callable[..., None], array: ndarray) -> ndarray:
    """A copy that machine code fills."""
    own = np.empty(array.shape, array.dtype)
    run(array, own)
    return own


copies = Quickened(copied, copies_past_the_caches)


def set_aside(array: ndarray) -> ndarray:
    """A copy, laid out as the array is, that is not about to be read: a large one that is made often does not come into the caches."""
    made: ndarray = copies(array) if installed else copied(array)
    return made


# ---------------------------------------------------------------- on and off


installed = os.environ.get("RETROGRAD_EAGER_KERNELS") != "0"


def install() -> None:
    """Hangs quickened functions on operations and optimizers, unless RETROGRAD_EAGER_KERNELS=0."""
    if not installed:
        return
    for name in FORWARDS:
        OPS[name].accelerate(quick_forward(OPS[name]), policy.least_of_one_pass if name in ONE_PASS else policy.least)
    for name in RULES:
        OPS[name].quicken = quick_rule
    Optimizer.quicken = updates
