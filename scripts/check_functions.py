"""Compares functions in machine code with NumPy's in doubles, for every float there is: `python -m scripts.check_functions`.

Prints the largest error in units in the last place and where it is. `--only sin,cos` takes some functions, `--stride 257` every 257th
float, `--doubles` samples of doubles against NumPy's extended precision instead (where the machine has it).
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterator

import numpy as np

from tests.compile.one_operation import compiled, ulps

CHUNK = 1 << 22
BOUND = 2.0


def each(function: Callable[[float], float], outside: Callable[[float], float]) -> Callable[[np.ndarray], np.ndarray]:
    """A function of Python floats as one of arrays; `outside` gives what it is where Python raises."""

    def call(x: float) -> float:
        try:
            return function(x)
        except (ValueError, OverflowError):
            return outside(x)

    return lambda x: np.fromiter(map(call, x.tolist()), np.float64, x.size)


REFERENCES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1, "log": np.log, "log2": np.log2, "log10": np.log10, "log1p": np.log1p,
    "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan,
    "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh, "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh,
    "sqrt": np.sqrt, "rsqrt": lambda x: 1 / np.sqrt(x),
    "erf": each(math.erf, lambda x: math.nan), "erfc": each(math.erfc, lambda x: math.nan),
    "lgamma": each(math.lgamma, lambda x: math.inf),
}  # fmt: skip


def every_float(stride: int) -> Iterator[np.ndarray]:
    """The floats of every stride-th bit pattern, and of those next to powers of two, in chunks."""
    for start in range(0, 1 << 32, CHUNK * stride):
        yield np.arange(start, min(start + CHUNK * stride, 1 << 32), stride, dtype=np.uint64).astype(np.uint32).view(np.float32)
    powers = np.arange(512, dtype=np.uint32) << np.uint32(23)
    yield np.concatenate([powers - np.uint32(1), powers, powers + np.uint32(1)]).view(np.float32)


def many_doubles() -> Iterator[np.ndarray]:
    """Random bit patterns, and doubles around the places where functions change."""
    random = np.random.default_rng(0)
    n = CHUNK // 8
    signs = random.choice([-1.0, 1.0], n)
    yield random.integers(0, 1 << 64, n, dtype=np.uint64).view(np.float64)
    yield signs * np.exp(random.uniform(-740, 709, n))
    yield signs * np.exp(random.uniform(-12, 7, n))
    yield 1 + signs * np.exp(random.uniform(-36, 0, n))
    yield random.uniform(-1, 1, n)
    yield random.integers(-2000, 2000, n) * (math.pi / 4) * (1 + random.integers(-3, 4, n) * 2.0**-52)
    yield np.array([0.0, -0.0, math.inf, -math.inf, math.nan, 5e-324, -5e-324, 709.782712893384, 709.79, -745.14, 1024, -1075])


def check(name: str, chunks: Iterator[np.ndarray], exact: type, lanes: int) -> float:
    """Prints a function's largest error; returns it. Zeros must have the right sign."""
    kind = "f" if exact is np.float64 else "d"
    function = compiled(lambda k, x: getattr(k, name)(x), kind, kind, lanes)
    worst, place, began, count = 0.0, "", time.perf_counter(), 0
    for x in chunks:
        got, wanted = function(x), REFERENCES[name](x.astype(exact))
        error = ulps(got, wanted)
        error[(got == 0) & (wanted == 0) & (np.signbit(got) != np.signbit(wanted))] = math.inf
        i = int(error.argmax())
        count += x.size
        if error[i] > worst:
            worst, place = float(error[i]), f"at {x[i]!r}: {got[i]!r} instead of {wanted[i]!r}"
    print(f"{name:>6}  {worst:.3f} ulp of {count:,} {place}  ({time.perf_counter() - began:.0f} s)", flush=True)
    return worst


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="names, separated by commas", default=",".join(REFERENCES))
    parser.add_argument("--stride", type=int, default=1)
    parser.add_argument("--doubles", action="store_true")
    parser.add_argument("--lanes", type=int, default=16)
    options = parser.parse_args()
    names = options.only.split(",")
    if options.doubles:
        names = [name for name in names if name not in ("erf", "erfc", "lgamma")]  # Python has them in doubles only
    with np.errstate(all="ignore"):
        errors = {
            name: check(name, many_doubles(), np.longdouble, options.lanes // 2)
            if options.doubles
            else check(name, every_float(options.stride), np.float64, options.lanes)
            for name in names
        }
    wrong = [name for name, error in errors.items() if error > BOUND]
    if wrong:
        raise SystemExit(f"beyond {BOUND} ulp: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
