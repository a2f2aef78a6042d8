"""Random programs tried: a recorded program as machine code against the same by NumPy, and a compiled function against the function.

Where float32 disagrees, the program with float64 in its place decides: what is compiled must not be much further from it than what is not.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy import ndarray

import retrograd as torch
from retrograd.compile.binding import Binding
from retrograd.compile.capture import record
from retrograd.compile.certify import Trial, against_float64, difference
from retrograd.compile.executor import Executor
from retrograd.compile.graph import Call, Program, Step, Update, View
from retrograd.compile.machine import Machine
from retrograd.compile.replay import Replay, elements
from retrograd.core.tensor import address
from tests.compile.programs import RandomProgram

CALLS = 4
TOLERANCE = {"float32": 1e-4, "float64": 1e-9}
SLACK = 10.0
SMALLEST = 0.05  # what is smaller may be what is left of numbers that cancel each other
UNWRITTEN = 0xFF

refusals: Counter[str] = Counter()  # why calls ran in eager


class Invalid(Exception):
    """The program does not run in eager: no program at all."""


def poisoned(program: Program) -> Machine:
    """Machine code whose memory of its own is full of what is not a number: whoever reads what nobody wrote shows."""
    machine = Machine(program)
    machine.arena[:] = UNWRITTEN
    return machine


# ---------------------------------------------------------------- a recorded program


def recorded_trial(random: RandomProgram, make_executor: Callable[[Program], Executor] = poisoned) -> str | None:
    """Records a call and runs the record as machine code and by NumPy, on copies of the same memory. Returns what differs."""
    try:
        names = random.start()
        arguments, given = names["arguments"](0), names["arguments"](1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _, program, refused = record(names["function"], arguments, {})
    except Exception as error:
        raise Invalid(str(error)) from error
    if program is None:
        count_refusal(str(refused))
        return None
    return executed(program, given, make_executor)


def executed(program: Program, arguments: list[Any], make_executor: Callable[[Program], Executor]) -> str | None:
    """Runs a program by an executor and by NumPy, on copies of the same memory. Returns what differs."""
    trial = Trial(program, Binding(program, arguments, {}), arguments)
    try:
        wanted = trial.run(Replay(program))
    except Exception:
        return None  # numbers of another call that the operation refuses
    try:
        got = trial.run(make_executor(program))
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    pairs = []
    for view in comparable(program):
        mine, theirs = (elements(address(memory[view.buffer]), view) for memory in (got, wanted))
        pairs.append((str(view), view, mine, theirs))
    with np.errstate(all="ignore"):
        wrong = [d for what, view, a, b in pairs if (d := difference(what, view, a, b)) is not None]
        if wrong:
            wrong = against_float64(trial, pairs, wrong)
        if wrong:
            wrong = [d for d in wrong if d.place is None or not as_near_as_noise(trial, pairs, d.place)]
    return None if not wrong else f"{wrong[0]}\n{program}"


def as_near_as_noise(trial: Trial, pairs: list[Any], view: View) -> bool:
    """Whether a difference is no larger than what rounding makes: than the changes when every step's results are off by a last place or so."""
    _, _, mine, theirs = next(p for p in pairs if p[1] is view)
    if mine.dtype.kind != "f":
        return False
    real = [v.dtype for v in trial.program.views() if v.dtype.kind == "f"]
    unit = max(float(np.finfo(dtype).eps) for dtype in real)
    changes = np.zeros(theirs.shape)
    for seed in range(4):
        memory = trial.run(Replay(trial.program, Noise(seed, unit)))
        noisy = elements(address(memory[view.buffer]), view)
        changes = np.maximum(changes, np.abs(noisy.astype("f8") - theirs))
    return bool(
        np.abs(mine.astype("f8") - theirs).max() <= SLACK * changes.max() + SMALLEST * TOLERANCE["float32" if unit > 1e-10 else "float64"]
    )


class Noise:
    """Changes every number that a step computes by up to a unit."""

    def __init__(self, seed: int, unit: float) -> None:
        self.rng, self.unit = np.random.default_rng(seed), unit

    def __call__(self, step: Step, array: Callable[[View], ndarray]) -> None:
        for view in step.writes() if isinstance(step, (Call, Update)) else ():
            if view.dtype.kind == "f":
                numbers = array(view)
                numbers *= (1 + self.unit * self.rng.uniform(-1, 1, numbers.shape)).astype(numbers.dtype)


def comparable(program: Program) -> Iterator[View]:
    """What a program writes that can be seen from outside."""
    external = set(program.external())
    seen = set()
    for view in [*(v for step in program.steps for v in step.writes()), *program.given_out()]:
        if view.buffer in external and view not in seen:
            seen.add(view)
            yield view


# ---------------------------------------------------------------- a compiled function


def compiled_trial(random: RandomProgram, make_executor: Callable[[Program], Executor] = poisoned) -> str | None:
    """Calls the function and the compiled function some times, from equal states. Returns what differs."""
    wanted = outcomes(random)
    try:
        found = outcomes(random, make_executor)
    except Wrong as rejected:
        wrong = str(rejected)
        if "does not compute" not in wrong:
            return wrong
        try:  # it may be that the numbers are such as rounding alone decides
            found = outcomes(random, make_executor, verify=False)
        except Exception:
            return wrong
        if differing(random, found, wanted) is not None:
            return wrong
        count_refusal("rejected, though no further off than rounding")
        return None
    except Exception as error:
        return f"raised {type(error).__name__}: {error}"
    return differing(random, found, wanted)


def differing(random: RandomProgram, found: list[dict[str, ndarray]], wanted: list[dict[str, ndarray]]) -> str | None:
    """What two runs of a program differ in, by more than small changes of its numbers make, and more than float64 allows for."""
    allowed = dict(TOLERANCE, float64=TOLERANCE["float32" if "float32" in random.text() else "float64"])
    names = [
        (i, name) for i, (a, b) in enumerate(zip(found, wanted, strict=True)) for name in b if not close(a.get(name), b[name], allowed)
    ]
    if not names:
        return None
    exact = outcomes(random, double=True)
    noisy = [outcomes(random, changed=change) for change in (1, 2, 3)]
    for i, name in names:
        mine, theirs, true = found[i].get(name), wanted[i][name], exact[i].get(name)
        changed = [x[i].get(name) for x in noisy]
        if mine is None or theirs.dtype.kind != "f" or any(x is None or x.shape != theirs.shape for x in (mine, true, *changed)):
            return f"call {i}: {name} differs: {mine} instead of {theirs}"
        noise = max(far_apart(x, theirs) for x in changed)
        far, near = far_apart(mine, true), far_apart(theirs, true)
        unit = allowed[theirs.dtype.name] * max(float(np.abs(theirs).max()), SMALLEST)
        if not (far_apart(mine, theirs) <= SLACK * noise + unit or far <= SLACK * near + unit):
            return f"call {i}: {name} is {far:.3g} away from float64, and in eager {near:.3g}; small changes of numbers make {noise:.3g}"
    return None


def far_apart(a: Any, b: Any) -> float:
    """The largest difference; inf if there is none."""
    with np.errstate(all="ignore"):
        distance = float(np.abs(a.astype("f8") - b.astype("f8")).max(initial=0))
    return distance if np.isfinite(distance) else float("inf")


class Wrong(Exception):
    """A compiled function warned of what must not be."""


def outcomes(
    random: RandomProgram, make_executor: Callable[[Program], Executor] | None = None, *, double: bool = False, verify: bool = True, changed: int = 0
) -> list[dict[str, ndarray]]:  # fmt: skip
    """For every call, all that can be seen after it. Compiled, if there is an executor."""
    torch.manual_seed(5)
    compiled = make_executor is not None
    try:
        names = random.start(double, changed)
        function = names["function"]
        if compiled:
            function = torch.compile(function, verify=verify)
            function.backend = make_executor
        found = []
        for call in range(CALLS):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                arguments = names["arguments"](call)
                results = function(*arguments)
            if compiled:
                look_at(caught)
            found.append(state({"results": results, "arguments": arguments, **names}))
            names["between"](call)
    except Wrong:
        raise
    except Exception as error:
        if compiled:
            raise
        raise Invalid(str(error)) from error
    return found


def look_at(caught: list[warnings.WarningMessage]) -> None:
    """Raises if a compiled function is wrong or could not be made; counts why others run in eager."""
    for warning in caught:
        text = str(warning.message)
        if "its compiled program does not compute" in text or "compiling it failed" in text:
            raise Wrong(text)
        if "runs in eager" in text:
            count_refusal(text.split("not compiled: ")[-1])


def count_refusal(why: str) -> None:
    """Notes why a call ran in eager."""
    refusals[why.split(", at <")[0].split(":")[0][:100]] += 1


def state(names: dict[str, Any]) -> dict[str, ndarray]:
    """Copies of all numbers that names lead to."""
    found: dict[str, ndarray] = {"random": np.array([torch.rand(()).item()])}

    def visit(path: str, value: Any) -> None:
        if isinstance(value, torch.Tensor):
            found[path] = value.detach().numpy().copy()
            found[f"{path} requires grad"] = np.array(value.requires_grad)
            if value.is_leaf and value.grad is not None:
                found[f"{path}.grad"] = value.grad.detach().numpy().copy()
        elif isinstance(value, torch.nn.Module):
            for name, each in [*value.named_parameters(), *value.named_buffers()]:
                visit(f"{path}.{name}", each)
        elif isinstance(value, torch.optim.Optimizer):
            visit(f"{path}.state", value.state_dict())
        elif isinstance(value, (list, tuple)):
            for i, each in enumerate(value):
                visit(f"{path}[{i}]", each)
        elif isinstance(value, dict):
            for key, each in value.items():
                visit(f"{path}[{key}]", each)
        elif isinstance(value, (int, float)):
            found[path] = np.array(value, np.float64)

    for name, value in names.items():
        if not name.startswith("__"):
            visit(name, value)
    return found


def close(mine: ndarray | None, theirs: ndarray, allowed: dict[str, float]) -> bool:
    """Whether numbers agree, by their dtype."""
    if mine is None or mine.shape != theirs.shape or mine.dtype != theirs.dtype:
        return False
    if mine.dtype.kind != "f":
        return bool(np.array_equal(mine, theirs))
    if not theirs.size:
        return True
    odd = ~np.isfinite(theirs)
    if not np.array_equal(mine[odd], theirs[odd], equal_nan=True):
        return False
    largest = np.abs(theirs[~odd]).max(initial=0)
    return bool((np.abs(mine[~odd] - theirs[~odd]) <= allowed[theirs.dtype.name] * (largest + 1e-6)).all())
