"""Writes src/retrograd/compile/native/coefficients.py: the polynomials of functions in machine code.

Each is the interpolation at Chebyshev nodes, in 60 digits. Leading coefficients that are given exactly are kept, and what is left of the function is
fitted. Needs mpmath: `python scripts/fit_native_functions.py > src/retrograd/compile/native/coefficients.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import mpmath as mp
from fit_special_functions import erfcx_part, fit, fit_ratio, show

LN2 = mp.log(2)


def fit_rest(function: Callable[[Any], Any], low: Any, high: Any, known: Sequence[Any], degree: int) -> list[float]:
    """Coefficients, lowest power first, of a polynomial that begins with `known` and has in all the given degree."""

    def rest(x: Any) -> Any:
        x = x if x else mp.mpf(10) ** -20
        with mp.workdps(200):
            return (function(x) - mp.fsum(c * x**i for i, c in enumerate(known))) / x ** len(known)

    return [*map(float, known), *fit(rest, low, high, degree - len(known))]


def split(value: Any, bits: Sequence[int]) -> list[float]:
    """A number as a sum of numbers, each with so many bits, the last with all of a double."""
    parts = []
    for n in bits:
        unit = mp.mpf(2) ** (mp.floor(mp.log(abs(value), 2)) + 1 - n)
        parts.append(mp.nint(value / unit) * unit)
        value -= parts[-1]
    return [*map(float, parts), float(value)]


def of_square(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """function(x) / x in x * x, of an odd function."""

    def even(t: Any) -> Any:
        x = mp.sqrt(t if t else mp.mpf(10) ** -30)
        return function(x) / x

    return even


def even_of_square(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """function(x) in x * x, of an even function."""
    return lambda t: function(mp.sqrt(t))


def logarithms() -> None:
    """log(1 + f) for f in [-1/4, 1/2], and in s = f / (2 + f)."""
    show("LOG_SINGLE", fit_rest(lambda f: mp.log1p(f) / f, -0.25, 0.5, [1], 9))
    show("LOG_DOUBLE", fit_rest(of_square(lambda s: 2 * mp.atanh(s)), 0, 0.0401, [2], 8))


def exponentials() -> None:
    """exp(r) for r up to ln(2) / 2."""
    show("LN2_SINGLE", split(LN2, [16]))  # the first part has so few bits that its products with exponents are exact
    show("LN2_DOUBLE", split(LN2, [42]))
    half = LN2 / 2 * mp.mpf("1.01")
    show("EXP_SINGLE", fit_rest(mp.exp, -half, half, [1, 1], 6))
    show("EXP_DOUBLE", fit_rest(mp.exp, -half, half, [1, 1], 11))
    show("EXPM1_SINGLE", fit_rest(mp.exp, -half, half, [1, 1, 0.5], 7))
    show("EXPM1_DOUBLE", fit_rest(mp.exp, -half, half, [1, 1, 0.5], 13))
    show("EXP2_SINGLE", fit_rest(lambda r: mp.mpf(2) ** r, -0.505, 0.505, [1], 6))
    show("EXP2_DOUBLE", fit_rest(lambda r: mp.mpf(2) ** r, -0.505, 0.505, [1], 12))


if __name__ == "__main__":
    print('"""Polynomials, lowest power first: written by scripts/fit_native_functions.py. What each stands for is said there."""\n')
    logarithms()
    exponentials()
