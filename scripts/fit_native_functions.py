"""Writes src/retrograd/compile/native/coefficients.py: the polynomials of functions in machine code.

Each is the interpolation at Chebyshev nodes, in 60 digits. Leading coefficients that are given exactly are kept, and what is left of the function is
fitted. Needs mpmath: `python scripts/fit_native_functions.py > src/retrograd/compile/native/coefficients.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import mpmath as mp
from fit_special_functions import erfcx_part, fit, show

mp.mp.dps = 60
LN2, LN10 = mp.log(2), mp.log(10)


def fit_rest(function: Callable[[Any], Any], low: Any, high: Any, known: Sequence[Any], degree: int) -> list[float]:
    """Coefficients, lowest power first, of a polynomial that begins with `known` and has in all the given degree."""

    def rest(x: Any) -> Any:
        with mp.workdps(400):
            x = x if x else mp.mpf(10) ** -40
            return (function(x) - mp.fsum(c * x**i for i, c in enumerate(known))) / x ** len(known)

    return [*map(float, known), *fit(rest, low, high, degree - len(known))]


def split(value: Any, bits: Sequence[int]) -> list[float]:
    """A positive number as a sum of positive ones, each with so many bits, the last with all of a double."""
    parts = []
    for n in bits:
        unit = mp.mpf(2) ** (mp.floor(mp.log(abs(value), 2)) + 1 - n)
        parts.append(mp.floor(value / unit) * unit)
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
    """log(1 + f) for f in [-1/4, 1/2], or in s = f / (2 + f)."""
    show("LOG_SINGLE", fit_rest(lambda f: mp.log1p(f) / f, -0.25, 0.5, [1], 9))
    show("LOG_DOUBLE", fit_rest(of_square(lambda s: 2 * mp.atanh(s)), 0, 0.0401, [2], 8))
    show("LOG2_SINGLE", fit_rest(lambda f: mp.log1p(f) / f / LN2 - 1, -0.25, 0.5, [], 9))  # times f, and f
    show("LOG10_SINGLE", fit_rest(lambda f: mp.log1p(f) / f / LN10 - 0.5, -0.25, 0.5, [], 9))  # times f, and f / 2
    show("LOG2_WIDE", fit_rest(lambda f: mp.log1p(f) / f / LN2, -0.25, 0.5, [], 13))  # for powers of floats
    show("LOG2_REST", fit_rest(lambda z: of_square(mp.atanh)(z), 0, 0.0401, [1, mp.mpf(1) / 3], 10)[2:])  # for powers of doubles
    show("LN2_SINGLE", split(LN2, [16]))  # the first part has so few bits that its products with exponents are exact
    show("LN2_DOUBLE", split(LN2, [42]))
    show("LOG10_2_SINGLE", split(LN2 / LN10, [16]))
    show("LOG10_2_DOUBLE", split(LN2 / LN10, [42]))
    show("INVERSE_LN2", split(1 / LN2, [53]))
    show("INVERSE_LN10", split(1 / LN10, [53]))
    show("TWICE_INVERSE_LN2", split(2 / LN2, [53]))
    show("THIRD", split(mp.mpf(1) / 3, [53]))


def exponentials() -> None:
    """exp(r) for r up to ln(2) / 2."""
    half = LN2 / 2 * mp.mpf("1.01")
    show("EXP_SINGLE", fit_rest(mp.exp, -half, half, [1, 1], 6))
    show("EXP_DOUBLE", fit_rest(mp.exp, -half, half, [1, 1], 11))
    show("EXPM1_SINGLE", fit_rest(mp.exp, -half, half, [1, 1, 0.5], 7))
    show("EXPM1_DOUBLE", fit_rest(mp.exp, -half, half, [1, 1, 0.5], 13))
    show("EXP2_SINGLE", fit_rest(lambda r: mp.mpf(2) ** r, -0.505, 0.505, [1], 6))
    show("EXP2_DOUBLE", fit_rest(lambda r: mp.mpf(2) ** r, -0.505, 0.505, [1], 12))
    show("EXP_TWICE_SINGLE", fit_rest(lambda r: mp.exp(2 * r), -half / 2, half / 2, [1, 2], 6))
    show("EXP_TWICE_DOUBLE", fit_rest(lambda r: mp.exp(2 * r), -half / 2, half / 2, [1, 2], 11))
    show("SINH_SINGLE", fit_rest(of_square(mp.sinh), 0, half**2, [1], 3))
    show("SINH_DOUBLE", fit_rest(of_square(mp.sinh), 0, half**2, [1], 7))
    show("COSH_SINGLE", fit_rest(even_of_square(mp.cosh), 0, half**2, [1, 0.5], 3))
    show("COSH_DOUBLE", fit_rest(even_of_square(mp.cosh), 0, half**2, [1, 0.5], 7))
    show("TANH_SINGLE", fit_rest(of_square(mp.tanh), 0, 0.31, [1], 5))
    show("TANH_DOUBLE", fit_rest(of_square(mp.tanh), 0, 0.31, [1], 12))


def circular_functions() -> None:
    """Sines up to a quarter of a turn, tangents up to an eighth, and their inverses."""
    show("SIN_SINGLE", fit_rest(of_square(mp.sin), 0, 2.5, [1], 5))
    show("SIN_DOUBLE", fit_rest(of_square(mp.sin), 0, 2.5, [1], 10))
    show("TAN_SINGLE", fit_rest(of_square(mp.tan), 0, 0.63, [1], 7))
    show("TAN_DOUBLE", fit_rest(of_square(mp.tan), 0, 0.63, [1], 15))
    show("ASIN_SINGLE", fit_rest(of_square(mp.asin), 0, 0.25, [1], 6))
    show("ASIN_DOUBLE", fit_rest(of_square(mp.asin), 0, 0.25, [1], 13))
    show("ATAN_SINGLE", fit_rest(of_square(mp.atan), 0, 0.303, [1], 7))
    show("ATAN_DOUBLE", fit_rest(of_square(mp.atan), 0, 0.303, [1], 15))
    show("PI_SINGLE", split(mp.pi, [24, 24]))
    show("PI_DOUBLE", split(mp.pi, [53, 53]))
    with mp.workdps(500):
        words = [int(mp.floor(2 / mp.pi * mp.mpf(2) ** (64 * i))) % 2**64 for i in range(22)]
    print("INVERSE_QUARTER_TURN = (  # the bits of 2 / pi, from 64 zeros before the point on")
    print("".join(f"    {word:#018x},\n" for word in words) + ")")


def error_functions() -> None:
    """erf(x) / x - 1 in x * x up to 1, log2(erfc(x)) beyond, and (1 + 2x) erfcx(x) - 1 in (x - 3.75) / (x + 3.75)."""
    show("ERF_SINGLE", fit_rest(lambda t: of_square(mp.erf)(t) - 1, 0, 1, [], 7))
    show("ERF_DOUBLE", fit_rest(lambda t: of_square(mp.erf)(t) - 1, 0, 1, [], 14))
    show("LOG2_ERFC", fit(lambda x: mp.log(mp.erfc(x)) / LN2, 0.99, 4, 8))
    show("ERFCX_SINGLE", fit(lambda t: erfcx_part(t) - 1, -1, 0.5, 11))
    show("ERFCX_DOUBLE", fit(lambda t: erfcx_part(t) - 1, -1, 0.765, 26))


if __name__ == "__main__":
    print('"""Polynomials, lowest power first: written by scripts/fit_native_functions.py. What each stands for is said there."""\n')
    logarithms()
    exponentials()
    circular_functions()
    error_functions()
