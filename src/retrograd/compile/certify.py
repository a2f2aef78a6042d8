"""Holding a compiled program against the function itself, before it is trusted.

The program runs on copies of all that it writes to; then the function runs as ever, with its effects; then everything that can be seen
is compared: results, gradients, tensors that were written to. So whatever comes out, exactly one step has been made, by the function.

Two numbers agree if they differ by at most `RELATIVE` of their size plus `RELATIVE` of the largest number in their tensor. Where they
do not, the program is computed once more in float64, and the compiled numbers may be as far from these as the function's are, and
`SLACK` times that: so a sum that cancels is no mistake, and a wrong sum is none that passes. What still differs may come of a jump: where
rounding turns the sign of what goes into a relu, a whole number of its gradient comes or goes. So every step is then held against NumPy
alone, on the compiled program's own numbers; if all agree, results may differ by `JUMP` of the largest number, or by as much as they do
in NumPy, times `SLACK`, where each of its operations rounds otherwise (`shaken`): numbers that are nothing but rounding errors.
"""

from __future__ import annotations

import copy
import ctypes
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy import ndarray

from retrograd import dtypes
from retrograd.compile.binding import Binding
from retrograd.compile.capture import trial_state
from retrograd.compile.executor import Executor
from retrograd.compile.graph import Buffer, Call, Draw, Program, Result, Source, Step, Update, View, Write, seen_through
from retrograd.compile.replay import Replay, elements
from retrograd.core.random import Generator, default_generator
from retrograd.core.tensor import Tensor, address, real_grad
from retrograd.pytree import tree_flatten

RELATIVE = {4: 2e-5, 8: 1e-11, 2: 1e-2}  # by the size of a real number in bytes
SLACK = 8.0
SHAKES = 3
JUMP = 0.05


@dataclass
class Difference:
    """Something that a compiled program computed otherwise than the function."""

    what: str
    error: float  # relative to the largest number
    place: View | None = None

    def __str__(self) -> str:
        return f"{self.what} differs by {self.error:.2g} of its largest number" if np.isfinite(self.error) else f"{self.what} differs"


@dataclass
class Start:
    """What a program starts from: memory from outside by buffer, live numbers, and generators with what decides what they draw next."""

    program: Program
    before: dict[Buffer, ndarray]
    scalars: ndarray
    generators: Sequence[Generator] = ()
    states: Sequence[Any] = ()


class Trial(Start):
    """A run on copies: the memory that an executor is handed, and what it was before."""

    def __init__(self, program: Program, binding: Binding, arguments: Sequence[Tensor]) -> None:
        super().__init__(program, {}, trial_scalars(program))
        self.external = program.external()
        written = {v.buffer for step in program.steps for v in step.writes()}
        self.actual: dict[Buffer, ndarray] = {}
        for i, b in enumerate(self.external):
            if b.kind == "made":
                continue
            array = binding.memory[i] if b.kind == "held" else self.found(b, arguments)
            self.actual[b] = array
            self.before[b] = copy_of(array, b.nbytes) if b in written else array
        self.generators = sorted({g for step in program.steps if isinstance(step, Draw) for g in generators_of(step)}, key=id)
        self.states = [g.place() for g in self.generators]

    @staticmethod
    def found(buffer: Buffer, arguments: Sequence[Tensor]) -> ndarray:
        """The array of an argument, or of a gradient at the start."""
        tensor = buffer.source.find(arguments)
        grad = real_grad(tensor) if buffer.kind == "gradient" else tensor
        assert grad is not None
        return grad._data

    def run(self, executor: Executor, program: Program | None = None) -> dict[Buffer, ndarray]:
        """Runs an executor of the program (or of another on the same memory) on copies. Generators are as before afterwards."""
        chosen = (program or self.program).external()
        memory = {}
        for b in chosen:
            start = self.before.get(b)
            memory[b] = np.zeros(max(b.nbytes, 1), np.uint8) if start is None else start
            if start is not None and start is not self.actual[b]:
                memory[b] = start.copy()
        after = [g.place() for g in self.generators]
        for g, state in zip(self.generators, self.states, strict=True):
            g.go_to(state)
        try:
            executor.run(list(memory.values()), self.scalars.copy())
        finally:
            for g, state in zip(self.generators, after, strict=True):
                g.go_to(state)
        return memory

    def seen(self) -> Iterator[tuple[str, View, Callable[[Sequence[Any]], Any]]]:
        """(name, view, how to find the function's tensor or array, given the leaves of its result) of all that can be compared."""
        for i, result in enumerate(self.program.results):
            if isinstance(result, Result) and result.same_as is None:
                yield f"result {i}", result.view, partial(leaf_data, i)
        for source, value in self.program.gradients:
            if isinstance(value, View) and source.argument is None:
                yield name_of(source.tensor, "the gradient of"), value, partial(gradient_data, source)
        done = set()
        for step in self.program.steps:
            for view in step.writes():
                if view.buffer in self.actual and view not in done:
                    done.add(view)
                    at = view.buffer.source
                    of = getattr(at, "tensor", None)
                    yield name_of(of, "what is written to"), view, partial(self.written_data, view)

    def written_data(self, view: View, leaves: Sequence[Any]) -> ndarray:
        """What the function wrote."""
        return elements(address(self.actual[view.buffer]), view)


def leaf_data(i: int, leaves: Sequence[Any]) -> Any:
    """What the function returned."""
    return leaves[i]._data


def gradient_data(source: Source, leaves: Sequence[Any]) -> Any:
    """What the function left in `.grad`."""
    return source.find(())._grad._data


def name_of(tensor: Any, before: str) -> str:
    """A tensor in words."""
    shape = "" if tensor is None else f" of shape {list(tensor.shape)}"
    return f"{before} a tensor{shape}"


def certify(
    program: Program, executor: Executor, make_executor: Callable[[Program], Executor], binding: Binding, arguments: Sequence[Tensor],
    call: Callable[[], Any],
) -> tuple[Any, str | None]:  # fmt: skip
    """Runs the program on copies, then the function; returns the function's result, and a report if the two do not agree."""
    trial = Trial(program, binding, arguments)
    saved = [] if program.tie is None else program.tie.saved
    try:
        mine = trial.run(executor)
        plain = trial.run(Replay(program)) if saved else {}
    except Exception as error:
        return call(), f"the compiled program raised {type(error).__name__}: {error}"
    result = call()
    leaves = tree_flatten(result)[0]
    if len(leaves) != len(program.results):
        return result, f"the function returned {len(leaves)} values, and {len(program.results)} when it was recorded"
    for i, (kept, leaf) in enumerate(zip(program.results, leaves, strict=True)):
        if isinstance(kept, Result) and kept.same_as is not None and not kept.of_gradient and not is_found(kept, arguments, leaf):
            return result, f"the function does not give what it gave when it was recorded: result {i} is another tensor, or a view of one"
    pairs: list[tuple[str, View, ndarray, Any]] = []
    for view in saved:
        pairs.append(
            ("what the backward pass needs", view, elements(address(mine[view.buffer]), view), elements(address(plain[view.buffer]), view))
        )
    for what, view, find in trial.seen():
        try:
            pairs.append((what, view, elements(address(mine[view.buffer]), view), find(leaves)))
        except AttributeError:
            return result, f"the function does not give what it gave when it was recorded: {what}"
    wrong = [d for what, view, a, b in pairs if (d := difference(what, view, a, b)) is not None]
    if wrong:
        wrong = against_float64(trial, pairs, wrong)
    if not wrong:
        return result, None
    first = first_difference(trial, make_executor)
    once = written_once(program)
    if first is None and all(d.error <= JUMP and d.place is not None and d.place.buffer in once for d in wrong):
        return result, None
    if first is None and not (wrong := beyond_rounding(trial, pairs, wrong)):
        return result, None
    return result, f"{wrong[0]}; {first or 'every operation alone agrees'}"


def is_found(kept: Result, arguments: Sequence[Tensor], leaf: Tensor) -> bool:
    """Whether a result that is a tensor from outside, or a view of one, is where the program finds it."""
    assert kept.same_as is not None
    found = seen_through(kept.same_as.find(arguments), kept.chain)
    if not kept.chain:
        return found is leaf
    a, b = found._data, leaf._data
    return (address(a), a.shape, a.strides, a.dtype) == (address(b), b.shape, b.strides, b.dtype)


# ---------------------------------------------------------------- comparing


def difference(what: str, view: View | None, mine: ndarray, theirs: ndarray) -> Difference | None:
    """How two arrays differ, or None if they agree."""
    if mine.shape != theirs.shape or mine.dtype != theirs.dtype:
        return Difference(what, float("inf"), view)
    if mine.dtype.kind not in "fcV":
        return None if np.array_equal(mine, theirs) else Difference(what, float("inf"), view)
    a, b = (x.astype(np.complex128 if x.dtype.kind == "c" else np.float64) for x in (mine, theirs))
    odd = ~np.isfinite(b)
    if not np.array_equal(a[odd], b[odd], equal_nan=True) or not np.isfinite(a[~odd]).all():
        return Difference(what, float("inf"), view)
    a, b = a[~odd], b[~odd]
    if not a.size:
        return None
    allowed = RELATIVE[mine.dtype.itemsize // (2 if mine.dtype.kind == "c" else 1)]
    largest = float(np.abs(b).max())
    error = np.abs(a - b)
    if (error <= allowed * np.abs(b) + allowed * largest + np.finfo(np.float32).tiny).all():
        return None
    return Difference(what, float(error.max()) / largest if largest else float("inf"), view)


def against_float64(trial: Trial, pairs: Sequence[Any], wrong: Sequence[Difference]) -> list[Difference]:
    """Which differences remain when both are held against the same program in float64."""
    try:
        exact = Doubled(trial).values()
    except Exception:  # an operation that has no float64 form: the differences stand
        return list(wrong)
    left = []
    for d in wrong:
        what, view, mine, theirs = next(p for p in pairs if p[1] is d.place)
        true = exact(view)
        if true is None or true.shape != mine.shape:
            left.append(d)
            continue
        error = too_far(mine, theirs, true)
        if error:
            left.append(Difference(what, error, view))
    return left


def too_far(mine: ndarray, theirs: ndarray, true: ndarray) -> float:
    """How far numbers are from the true ones, relative to the largest, if that is much farther than NumPy's are; else 0. Where all are 0, infinitely."""
    far, near = (float(np.abs(x.astype(true.dtype) - true).max()) for x in (mine, theirs))
    largest = float(np.abs(true).max())
    return 0.0 if far <= SLACK * near + RELATIVE[4] * largest else far / largest if largest else float("inf")


def beyond_rounding(trial: Trial, pairs: Sequence[Any], wrong: Sequence[Difference]) -> list[Difference]:
    """Which differences are larger than those that NumPy's own results show where its operations round otherwise."""
    plain, others = trial.run(Replay(trial.program)), [shaken(trial, seed) for seed in range(SHAKES)]
    left = []
    for d in wrong:
        _, view, mine, theirs = next(p for p in pairs if p[1] is d.place)
        if mine.dtype.kind != "f":
            left.append(d)
            continue
        here = elements(address(plain[view.buffer]), view)
        moved = max(float(np.abs(elements(address(m[view.buffer]), view) - here).max()) for m in others)
        if not float(np.abs(mine - theirs).max()) <= SLACK * moved:
            left.append(d)
    return left


def shaken(trial: Trial, seed: int) -> dict[Buffer, ndarray]:
    """The program run by NumPy, with every number that is not whole off by a random part of a unit in its last place."""
    random = np.random.default_rng(seed)

    def shake(x: ndarray) -> None:
        if x.dtype.kind == "f":
            by = 1 + random.uniform(-1, 1, x.shape) * np.finfo(x.dtype).eps
            np.copyto(x, (x * by).astype(x.dtype), where=np.isfinite(x) & (x != np.rint(x)))

    def watch(step: Step, array: Callable[[View], ndarray]) -> None:
        for view in step.writes() if not isinstance(step, Draw) else ():
            shake(array(view))

    kinds: dict[Buffer, set[Any]] = {}
    for view in trial.program.views():
        kinds.setdefault(view.buffer, set()).add(view.dtype)
    start = copy.copy(trial)
    start.before = {b: copy_of(array, b.nbytes) for b, array in trial.before.items()}
    for b, numbers in start.before.items():
        if len(kinds[b]) == 1 and not b.nbytes % (kind := next(iter(kinds[b]))).itemsize:
            shake(numbers.view(kind))
    return start.run(Replay(trial.program, watch))


class Doubled:
    """A program computed with float64 in place of float32."""

    def __init__(self, trial: Start) -> None:
        self.trial = trial
        kinds: dict[Buffer, set[Any]] = {}
        for view in trial.program.views():
            kinds.setdefault(view.buffer, set()).add(view.dtype)
        self.wide = {b for b, k in kinds.items() if k == {np.dtype(np.float32)}}
        self.buffers: dict[Buffer, Buffer] = {}
        self.program = Program([self.step(s) for s in trial.program.steps], [], [])
        self.program.results = [Result(self.view(v)) for v in trial.program.given_out()]

    def buffer(self, b: Buffer) -> Buffer:
        """The wide buffer in place of a buffer."""
        if b not in self.wide:
            return b
        if b not in self.buffers:
            source = np.asarray(b.source, np.float64) if b.kind == "constant" else b.source
            self.buffers[b] = Buffer(b.kind, b.nbytes * 2, b.name, source)
        return self.buffers[b]

    def view(self, v: Any) -> Any:
        """The wide view in place of a view."""
        if not isinstance(v, View) or v.buffer not in self.wide:
            return v
        return View(self.buffer(v.buffer), v.offset * 2, v.shape, tuple(2 * s for s in v.strides), np.dtype(np.float64))

    def step(self, s: Step) -> Step:
        """A step on wide views."""
        if isinstance(s, Call):
            params = {name: doubled_dtype(p) for name, p in s.params.items()}
            return Call(s.op, [self.view(a) for a in s.operands], params, [self.view(r) for r in s.results])
        if isinstance(s, Write):
            return Write(self.view(s.target), self.view(s.value))
        if isinstance(s, Draw):
            (wide,) = [[self.view(r) for r in s.results]]
            draw = s.function
            return Draw(
                s.name,
                lambda *a: None if (d := draw(*[narrow(x) for x in a])) is None else widen(d, wide),
                [self.view(v) for v in s.operands],
                wide,
            )
        targets = [self.view(t) for t in s.targets]
        return Update(s.optimizer, s.group, s.parameter, targets, self.view(s.gradient), s.first, s.count)

    def values(self) -> Callable[[View], ndarray | None]:
        """Runs; returns what gives the numbers of a view of the original program."""
        trial = self.trial
        memory: dict[Buffer, ndarray] = {}
        for b in self.program.external():
            original = next((o for o, w in self.buffers.items() if w is b), b)
            start = trial.before.get(original)
            if start is None:
                memory[b] = np.zeros(max(b.nbytes, 1), np.uint8)
            elif original in self.wide:
                flat = bytes_of(start, original.nbytes // 4 * 4).view(np.float32)
                memory[b] = flat.astype(np.float64)
            else:
                memory[b] = copy_of(start, b.nbytes)
        after = [g.place() for g in trial.generators]
        for g, state in zip(trial.generators, trial.states, strict=True):
            g.go_to(state)
        try:
            Replay(self.program).run(list(memory.values()), trial.scalars.copy())
        finally:
            for g, state in zip(trial.generators, after, strict=True):
                g.go_to(state)

        def value(view: View) -> ndarray | None:
            wide = self.view(view)
            return elements(address(memory[wide.buffer]), wide) if wide.buffer in memory else None

        return value


def doubled_dtype(param: Any) -> Any:
    """A parameter of an operation; float64 in place of float32."""
    if param is dtypes.float32:
        return dtypes.float64
    return np.dtype(np.float64) if isinstance(param, np.dtype) and param == np.float32 else param


def narrow(x: ndarray) -> ndarray:
    """Numbers as the function draws with them."""
    return x.astype(np.float32) if x.dtype == np.float64 else x


def widen(x: ndarray, wide: Sequence[View]) -> ndarray:
    """Drawn numbers in the dtype of their result."""
    return x.astype(wide[0].dtype) if wide else x


# ---------------------------------------------------------------- the first operation that differs


def first_difference(trial: Trial, make_executor: Callable[[Program], Executor]) -> str | None:
    """The first step that computes of the compiled program's own numbers something else than NumPy does, in words; None if there is none.

    The program is compiled once more, with all that it makes given out. Then it is followed step by step: after each, the numbers go on
    as the compiled program has them, so that no step is blamed for what those before it rounded.
    """
    steps = trial.program.steps
    once = written_once(trial.program)
    given = {v: None for step in steps for v in step.writes() if v.buffer in once}
    shown = Program(steps, [Result(v) for v in given if v.buffer.kind == "made"], [])
    try:
        mine = trial.run(make_executor(shown), shown)
    except Exception as error:
        return f"its steps alone raise {type(error).__name__}: {error}"
    found: list[str] = []
    number = {id(step): i for i, step in enumerate(steps, 1)}

    def follow(step: Step, array: Callable[[View], ndarray]) -> None:
        for view in step.writes():
            if view in given and not found:
                own = elements(address(mine[view.buffer]), view)
                if difference("", view, own, array(view)) is not None and not close_enough(step, view, own, array):
                    found.append(f"the first operation that differs is number {number[id(step)]} of {len(steps)}: {step}")
                np.copyto(array(view), own)

    trial.run(Replay(shown, follow), shown)
    return found[0] if found else None


def written_once(program: Program) -> set[Buffer]:
    """The buffers that one step alone writes to: what it wrote is still there at the end."""
    times = Counter(b for step in program.steps for b in {v.buffer for v in step.writes()})
    return {b for b, n in times.items() if n == 1}


def close_enough(step: Step, view: View, mine: ndarray, array: Callable[[View], ndarray]) -> bool:
    """Whether a result of a step is about as close to what it is in float64 as NumPy's is: it may be a sum that cancels."""
    if not isinstance(step, Call) or mine.dtype != np.float32:
        return False
    given = [array(a) if isinstance(a, View) else a for a in step.operands]
    wide = [a.astype(np.float64) if isinstance(a, ndarray) and a.dtype == np.float32 else a for a in given]
    try:
        y = step.op.forward(*wide, **{name: doubled_dtype(p) for name, p in step.params.items()})
    except Exception:  # an operation that has no float64 form
        return False
    true = np.asarray(y[step.results.index(view)] if step.op.outputs else y)
    return true.shape == mine.shape and not too_far(mine, array(view), true)


# ---------------------------------------------------------------- state


def bytes_of(array: ndarray, nbytes: int) -> ndarray:
    """The bytes from an array's first element on."""
    memory: Any = (ctypes.c_char * nbytes).from_address(address(array))
    return np.frombuffer(memory, np.uint8) if nbytes else np.empty(0, np.uint8)


def copy_of(array: ndarray, nbytes: int) -> ndarray:
    """A copy of the bytes from an array's first element on."""
    return bytes_of(array, nbytes).copy()


def trial_scalars(program: Program) -> ndarray:
    """The live numbers of a run that is not to count as a step."""
    scalars = np.zeros(max(program.scalar_count(), 1))
    states: dict[int, Any] = {}
    done = set()
    for step in program.steps:
        if isinstance(step, Update) and step.first not in done:
            done.add(step.first)
            state = states.setdefault(id(step.parameter), trial_state(step.optimizer.state[step.parameter]))
            scalars[step.first : step.first + step.count] = step.optimizer.scalars(step.group, state)
    return scalars


def generators_of(step: Draw) -> list[Generator]:
    """The generators that a draw takes numbers from: those that its function holds, wherever."""
    found, seen = [default_generator], set[int]()
    waiting: list[Any] = [step.function]
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Generator):
            found.append(value)
        elif isinstance(value, partial):
            waiting += [value.func, *value.args, *value.keywords.values()]
        elif callable(value):
            waiting += [cell.cell_contents for cell in getattr(value, "__closure__", None) or ()]
            waiting.append(getattr(value, "__self__", None))
    return list({id(g): g for g in found}.values())
