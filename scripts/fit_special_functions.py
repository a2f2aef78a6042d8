"""Prints the polynomials of ops/special_functions.py: Chebyshev interpolation in 60 digits, in powers of the variable.

Needs mpmath, which nothing else here does: `python scripts/fit_special_functions.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath as mp

mp.mp.dps = 60


def fit(function: Callable[[Any], Any], low: float, high: float, degree: int) -> list[float]:
    """Coefficients, lowest power first, of the interpolation of `function` at the Chebyshev nodes of [low, high]."""
    middle, half = mp.mpf(low + high) / 2, mp.mpf(high - low) / 2
    nodes = [mp.cos(mp.pi * (2 * k + 1) / (2 * (degree + 1))) for k in range(degree + 1)]
    values = [function(middle + half * u) for u in nodes]
    in_chebyshev = []
    for j in range(degree + 1):
        terms = [v * mp.cos(j * mp.pi * (2 * k + 1) / (2 * (degree + 1))) for k, v in enumerate(values)]
        in_chebyshev.append(mp.fsum(terms) * (1 if j == 0 else 2) / (degree + 1))
    return [float(c) for c in substitute(to_powers(in_chebyshev), -middle / half, 1 / half)]


def fit_ratio(function: Callable[[Any], Any], high: float, above: int, below: int) -> tuple[list[float], list[float]]:
    """Numerator and denominator (lowest power first, the latter's first coefficient 1) that interpolate at the Chebyshev nodes of [0, high]."""
    n = above + below + 1
    nodes = [mp.mpf(high) / 2 * (1 + mp.cos(mp.pi * (2 * k + 1) / (2 * n))) for k in range(n)]
    values = [function(t) for t in nodes]
    rows = [[t**i for i in range(above + 1)] + [-v * t**i for i in range(1, below + 1)] for t, v in zip(nodes, values, strict=True)]
    solution = [float(c) for c in mp.lu_solve(mp.matrix(rows), mp.matrix(values))]
    return solution[: above + 1], [1.0, *solution[above + 1 :]]


def to_powers(coefficients: list[Any]) -> list[Any]:
    """A sum of Chebyshev polynomials as a sum of powers."""
    total = [mp.mpf(0)] * len(coefficients)
    before, now = [mp.mpf(1)], [mp.mpf(0), mp.mpf(1)]
    for c in coefficients:
        for i, b in enumerate(before):
            total[i] += c * b
        following = [mp.mpf(0), *[2 * b for b in now]]
        for i, b in enumerate(before):
            following[i] -= b
        before, now = now, following
    return total


def substitute(powers: list[Any], shift: Any, slope: Any) -> list[Any]:
    """The polynomial with `shift + slope * x` in place of its variable."""
    result = [mp.mpf(0)]
    for c in reversed(powers):
        longer = [mp.mpf(0)] * (len(result) + 1)
        for i, r in enumerate(result):
            longer[i] += r * shift
            longer[i + 1] += r * slope
        longer[0] += c
        result = longer
    return result[: len(powers)]


def erfcx(x: Any) -> Any:
    """exp(x * x) erfc(x): beyond 40 by its asymptotic series, whose 12th term is below 1e-28 there."""
    if x < 40:
        return mp.exp(x * x) * mp.erfc(x)
    term, total = mp.mpf(1), mp.mpf(0)
    for n in range(12):
        total += term
        term *= -(2 * n + 1) / (2 * x * x)
    return total / (x * mp.sqrt(mp.pi))


def erfcx_part(t: Any) -> Any:
    """(1 + 2x) erfcx(x) in t = (x - 3.75) / (x + 3.75)."""
    if t == 1:
        return 2 / mp.sqrt(mp.pi)
    x = mp.mpf("3.75") * (1 + t) / (1 - t)
    return (1 + 2 * x) * erfcx(x)


def lgamma_part(x: Any) -> Any:
    """lgamma(x) / ((x - 1) (x - 2))."""
    return mp.loggamma(x) / ((x - 1) * (x - 2))


def scaled_i(order: int, x: Any) -> Any:
    return mp.besseli(order, x) * mp.exp(-x)


def far_i(order: int, u: Any) -> Any:
    """sqrt(x) exp(-x) I(x) in u = 1 / x."""
    if u == 0:
        return 1 / mp.sqrt(2 * mp.pi)
    return mp.sqrt(1 / u) * scaled_i(order, 1 / u)


def show(name: str, coefficients: list[float]) -> None:
    lines, line = [], "   "
    for c in coefficients:
        if len(line) + len(repr(c)) + 2 > 120:
            lines.append(line)
            line = "   "
        line += f" {c!r},"
    print(f"{name} = (")
    print("\n".join([*lines, line]))
    print(")  # fmt: skip")


if __name__ == "__main__":
    show("ERF_NEAR", fit(lambda t: mp.erf(mp.sqrt(t)) / mp.sqrt(t), 0, 1, 14))
    numerator, denominator = fit_ratio(lambda t: mp.erf(mp.sqrt(t)) / mp.sqrt(t), 15.5, 6, 6)
    show("ERF_SINGLE_ABOVE", numerator)
    show("ERF_SINGLE_BELOW", denominator)
    show("ERFCX", fit(erfcx_part, -1, 1, 27))
    show("LGAMMA_NEAR", fit(lambda u: lgamma_part(u + mp.mpf("1.5")), -0.5, 0.5, 22))
    show("I0E_NEAR", fit(lambda u: scaled_i(0, 4 * (u + 1)), -1, 1, 28))
    show("I0E_FAR", fit(lambda u: far_i(0, (u + 1) / 16), -1, 1, 24))
    show("I1E_NEAR", fit(lambda u: scaled_i(1, 4 * (u + 1)) / (4 * (u + 1)), -1, 1, 28))
    show("I1E_FAR", fit(lambda u: far_i(1, (u + 1) / 16), -1, 1, 24))
