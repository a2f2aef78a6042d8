"""Random programs: Python text that computes with this library, made line by line from a seed.

Every line is run when it is made, and kept only if it runs and gives sensible numbers. A program is its lines: those that make what lives
outside the function (weights, modules, optimizers), the function's own, and what happens between calls. So it prints as a short
script that runs by itself, and a smaller one is made by leaving lines out. Knows nothing of how programs are compiled or compared.
"""

from __future__ import annotations

import math
import random
import textwrap
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

import retrograd as torch

SIZES = (1, 2, 3, 5, 7, 8, 13, 15, 16, 17, 31, 33, 64, 65)
MOST_ELEMENTS = 6000
LARGE_SHAPES = ((131072,), (66000,), (257, 257), (3, 20011), (16, 4099), (1000, 65), (2, 4099, 3))
MOST_LARGE_ELEMENTS = 300_000
SPECIAL = [math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 1e4, -1e4, -7.0, 2.0, 3.0]
LARGEST = 1e3
HEADER = """\
import retrograd as torch
from tests.compile.programs import numbers
F = torch.nn.functional
torch.manual_seed(1)
"""


def numbers(seed: int, shape: tuple[int, ...], dtype: str = "float32", low: float | None = None, high: float | None = None) -> torch.Tensor:
    """A tensor of random numbers: standard normal, or from `low` to below `high`; with a `low` of nan, of special ones.

    >>> numbers(0, (3,), "int64", 0, 10)
    tensor([8, 6, 5])
    """
    rng = np.random.default_rng(seed)
    if dtype == "bool":
        return torch.from_numpy(np.asarray(rng.random(shape) < 0.5))
    if low is None or high is None:
        return torch.from_numpy(np.asarray(rng.standard_normal(shape)).astype(dtype))
    if math.isnan(low):
        return torch.from_numpy(np.asarray(rng.choice(SPECIAL, shape)).astype(dtype))
    if dtype.startswith("int"):
        return torch.from_numpy(np.asarray(rng.integers(int(low), int(high), shape)).astype(dtype))
    return torch.from_numpy(np.asarray(rng.uniform(low, high, shape)).astype(dtype))


def changed_numbers(change: int, seed: int, shape: tuple[int, ...], dtype: str = "float32", *bounds: float) -> torch.Tensor:
    """The same as `numbers`, of which real ones are off by a unit or so in their last place."""
    made = numbers(seed, shape, dtype, *bounds)
    if made.is_floating_point():
        by = np.random.default_rng((seed, change)).uniform(-1, 1, shape) * np.finfo(np.float32 if dtype == "float32" else np.float64).eps
        made = torch.from_numpy(np.asarray(made.numpy() * (1 + by)).astype(dtype))
    return made


@dataclass(frozen=True)
class Argument:
    """An argument of the function: what `numbers` makes it of, with another seed at every call."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    low: float | None = None
    high: float | None = None

    def text(self, call: str) -> str:
        """The call of `numbers`."""
        bounds = "" if self.low is None else ", float('nan'), 0.0" if math.isnan(self.low) else f", {self.low}, {self.high}"
        return f"numbers({100 + sum(map(ord, self.name))} + {call}, {self.shape}, {self.dtype!r}{bounds})"


@dataclass(frozen=True)
class RandomProgram:
    """A program: `function(*arguments(call))` is called, and `between(call)` after it."""

    seed: int
    arguments: tuple[Argument, ...]
    setup: tuple[str, ...]
    body: tuple[str, ...]
    results: tuple[str, ...]
    between: tuple[str, ...] = ()

    def text(self) -> str:
        """The program as a script."""
        names = ", ".join(a.name for a in self.arguments)
        body = textwrap.indent("\n".join([*self.body, f"return [{', '.join(self.results)}]"]), "    ")
        between = textwrap.indent("\n".join(self.between or ("pass",)), "    ")
        given = ", ".join(a.text("call") for a in self.arguments)
        return (
            f"# random program {self.seed}\n{HEADER}" + "".join(f"{line}\n" for line in self.setup) + f"def function({names}):\n{body}\n"
            f"def arguments(call):\n    return [{given}]\ndef between(call):\n{between}\n"
        )

    def start(self, double: bool = False, changed: int = 0) -> dict[str, Any]:
        """A fresh copy of everything: the names that the script defines.

        With `double`, float64 stands for float32. With `changed`, random numbers differ in about their last place, anew for every such number.
        """
        text = self.text()
        if double:
            text = text.replace("float32", "float64")
        if changed:
            text = text.replace("import numbers", "import changed_numbers").replace("numbers(", f"changed_numbers({changed}, ")
        names: dict[str, Any] = {}
        before = torch.get_default_dtype()
        try:
            if double:
                torch.set_default_dtype(torch.float64)
            exec(compile(text, f"<random program {self.seed}>", "exec"), names)
        finally:
            torch.set_default_dtype(before)
        return names

    def smaller(self) -> list[RandomProgram]:
        """The programs that have one thing less."""
        found = []
        for part in ("body", "results", "setup", "between", "arguments"):
            items = getattr(self, part)
            found += [replace(self, **{part: items[:i] + items[i + 1 :]}) for i in reversed(range(len(items)))]
        return found


def shrunk(program: RandomProgram, fails: Callable[[RandomProgram], bool]) -> RandomProgram:
    """A program that still fails, of which nothing can be left out."""
    improved = True
    while improved:
        improved = False
        for candidate in program.smaller():
            if fails(candidate):
                program, improved = candidate, True
                break
    return program


# ---------------------------------------------------------------- making programs


@dataclass
class Maker:
    """Makes one program.

    names: the values of all names so far.
    exact: those that are arguments or views of them: where a jump (`floor`, a comparison) cannot depend on rounding.
    """

    seed: int
    float: str = "float32"
    names: dict[str, Any] = field(default_factory=dict)
    setup: list[str] = field(default_factory=list)
    body: list[str] = field(default_factory=list)
    arguments: list[Argument] = field(default_factory=list)
    values: list[str] = field(default_factory=list)
    exact: set[str] = field(default_factory=set)
    between: list[str] = field(default_factory=list)
    count: int = 0
    large: bool = False  # enough elements that work is cut into blocks and shared among threads
    special: bool = False  # with infinities, and what is not a number

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        exec(HEADER, self.names)
        self.sizes = [1, 2, 3] if self.large else [self.rng.choice(SIZES) for _ in range(3)]
        self.whole = self.rng.choice(LARGE_SHAPES)
        self.most = MOST_LARGE_ELEMENTS if self.large else MOST_ELEMENTS
        if self.rng.random() < 0.04:
            self.sizes[0] = 0

    # ------------------------------------------------------------ names

    def fresh(self, letter: str = "v") -> str:
        """A new name."""
        self.count += 1
        return f"{letter}{self.count}"

    def shape(self, most: int = 4) -> tuple[int, ...]:
        """A random shape. Large ones are alike, but for dims of one element: else broadcasting makes too much of them."""
        if self.large:
            return tuple(1 if self.rng.random() < 0.15 else n for n in self.whole)
        while True:
            dims = self.rng.choice((0, 1, 1, 2, 2, 2, 3, 3, 4))
            shape = tuple(self.rng.choice([*self.sizes, *self.sizes, 1]) for _ in range(min(dims, most)))
            if math.prod(shape) <= self.most // 2:
                return shape

    def argument(self, shape: tuple[int, ...] | None = None, dtype: str | None = None, low: Any = None, high: Any = None) -> str:
        """A new argument."""
        dtype = dtype or self.float
        made = Argument(self.fresh("a"), self.shape() if shape is None else shape, dtype, low, high)
        self.arguments.append(made)
        self.names[made.name] = eval(made.text("0"), self.names)
        self.values.append(made.name)
        self.exact.add(made.name)
        return made.name

    def weight(self, shape: tuple[int, ...]) -> str:
        """A new leaf that lives outside the function."""
        name = self.fresh("w")
        scale = max(round(1 / math.sqrt(max(shape[-1] if shape else 1, 1)), 2), 0.02)
        self.outside(f"{name} = (numbers({self.count}, {shape}, '{self.float}') * {scale}).requires_grad_()")
        self.values.append(name)
        self.exact.add(name)
        return name

    def outside(self, line: str) -> None:
        """A line outside the function."""
        exec(line, self.names)
        self.setup.append(line)

    def tensor(self, accepts: Callable[[Any], bool] = lambda t: True, among: set[str] | None = None) -> str:
        """A value that fits; newer ones more often. Raises IndexError if there is none."""
        found = [n for n in self.values if (among is None or n in among) and accepts(self.names[n])]
        if not found:
            raise IndexError("no value fits")
        return self.rng.choice(found[-4:] if self.rng.random() < 0.7 else found)

    def real(self, least: int = 0) -> str:
        """A floating value of at least so many dims."""
        return self.tensor(lambda t: t.is_floating_point() and t.ndim >= least)

    def dim(self, name: str) -> int:
        """One of a tensor's dims, counted from either end."""
        n = self.names[name].ndim
        return self.rng.randrange(-n, n)

    def number(self) -> str:
        """A number as text."""
        return self.rng.choice(["2", "0.5", "-1.5", "3", "1e-3", "-1", "1", "0"])

    # ------------------------------------------------------------ lines

    def keep(self, expression: str, exact: bool = False) -> bool:
        """A line that gives a new name to an expression, if it runs and its numbers are good."""
        name = self.fresh()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                value = eval(expression, self.names)
        except Exception:
            return False
        if not isinstance(value, torch.Tensor) or not self.sensible(value):
            return False
        self.names[name] = value
        self.body.append(f"{name} = {expression}")
        self.values.append(name)
        if exact:
            self.exact.add(name)
        return True

    def block(self, lines: str) -> bool:
        """Lines that change something, if they run and leave good numbers."""
        trial = dict(self.names)
        saved = {n: self.names[n].detach().clone() for n in self.values if not self.names[n].requires_grad}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                exec(lines, trial)
        except Exception:
            return False
        good = all(self.sensible(trial[n]) for n in self.values if isinstance(trial.get(n), torch.Tensor))
        if not good:
            for n, before in saved.items():
                self.names[n].data.copy_(before)
            return False
        self.names.update(trial)
        self.body.append(lines)
        return True

    def step(self, families: list[Callable[[Maker], bool]]) -> None:
        """One more line."""
        for _ in range(20):
            try:
                if self.rng.choice(families)(self):
                    return
            except IndexError:
                continue

    def sensible(self, value: Any) -> bool:
        """Whether a value is neither too large nor, unless that is meant, anything but finite numbers."""
        if value.numel() > self.most or value.ndim > 5:
            return False
        if not value.numel() or not value.is_floating_point() or self.special:
            return not value.is_complex()
        array = value.detach().numpy()
        return bool(np.isfinite(array).all() and np.abs(array).max() < LARGEST)

    def program(self, results: list[str] | None = None) -> RandomProgram:
        """What was made."""
        given = {a.name for a in self.arguments}
        made = [n for n in self.values if n not in given and not n.startswith("w")]
        chosen = results if results is not None else self.rng.sample(made, min(len(made), 3))
        return RandomProgram(
            self.seed, tuple(self.arguments), tuple(self.setup), tuple(self.body), tuple(chosen or self.values[-1:]), tuple(self.between)
        )
