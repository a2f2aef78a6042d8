"""Exponentials and hyperbolic functions in machine code, on one element or a vector of them.

Each function takes the builder and its operands. It chooses with selects, not branches, so that an element has the same result alone
and in a vector.
"""

from __future__ import annotations

import math

from llvmlite import ir

from retrograd.compile.native import coefficients as c
from retrograd.compile.native.arithmetic import Arithmetic, constant
from retrograd.compile.native.floating import (
    clamp,
    format_of,
    nearest,
    odd_polynomial,
    pick,
    polynomial,
    power_of_two,
    scale,
    whole,
)


def reduce_exp(k: Arithmetic, x: ir.Value) -> tuple[ir.Value, ir.Value, ir.Value]:
    """(r, n, low bits of n) with x = n ln(2) + r and r at most ln(2) / 2."""
    n, low = nearest(k, x, 1 / math.log(2))
    high_part, low_part = pick(x, c.LN2_SINGLE, c.LN2_DOUBLE)
    return k.fma(n, -low_part, k.fma(n, -high_part, x)), n, low


def exp(k: Arithmetic, x: ir.Value) -> ir.Value:
    """e to the power of x"""
    r, n, low = reduce_exp(k, clamp(k, x, *pick(x, (-104.0, 89.0), (-746.0, 710.0))))
    return scale(k, polynomial(k, r, pick(x, c.EXP_SINGLE, c.EXP_DOUBLE)), n, low)


def exp2(k: Arithmetic, x: ir.Value) -> ir.Value:
    """2 to the power of x"""
    x = clamp(k, x, *pick(x, (-151.0, 129.0), (-1076.0, 1025.0)))
    n, low = nearest(k, x)
    return scale(k, polynomial(k, k.sub(x, n), pick(x, c.EXP2_SINGLE, c.EXP2_DOUBLE)), n, low)


def small_expm1(k: Arithmetic, r: ir.Value) -> ir.Value:
    """exp(r) - 1 for r at most ln(2) / 2"""
    rest = polynomial(k, r, pick(r, c.EXPM1_SINGLE, c.EXPM1_DOUBLE)[2:])
    return k.fma(k.mul(r, r), rest, r)


def expm1(k: Arithmetic, x: ir.Value) -> ir.Value:
    """e to the power of x, minus 1: exact for small x."""
    r, _, low = reduce_exp(k, clamp(k, x, *pick(x, (-18.0, 89.0), (-38.0, 710.0))))
    half = power_of_two(k, low, x, -1)
    result = k.mul(k.fma(half, small_expm1(k, r), k.sub(half, 0.5)), 2.0)
    return k.select(k.lt(k.abs(x), 2.0 ** -format_of(x).digits), x, result)


def tanh(k: Arithmetic, x: ir.Value) -> ir.Value:
    """The hyperbolic tangent of x: 1 - 2 / (exp(2x) + 1), and a polynomial where that would lose digits."""
    a = k.abs(x)
    most = k.min(a, pick(x, 10.0, 20.0))
    n, low = nearest(k, most, 2 / math.log(2))
    r = k.fma(n, -math.log(2) / 2, most)  # one constant is enough: what it lacks does not matter where n is large
    above = k.fma(power_of_two(k, low, x), polynomial(k, r, pick(x, c.EXP_TWICE_SINGLE, c.EXP_TWICE_DOUBLE)), 1.0)
    large = k.copysign(k.sub(1.0, k.div(2.0, above)), x)
    return k.select(k.lt(a, 0.55), odd_polynomial(k, x, pick(x, c.TANH_SINGLE, c.TANH_DOUBLE)), large)


def hyperbolic(k: Arithmetic, x: ir.Value) -> tuple[ir.Value, ir.Value, ir.Value, ir.Value]:
    """(sinh(n ln 2), cosh(n ln 2), sinh(r), cosh(r) - 1) for |x| = n ln(2) + r, the first two divided by 4."""
    r, _, low = reduce_exp(k, k.min(k.abs(x), pick(x, 90.0, 711.0)))
    n = whole(k, low, x)
    most = pick(x, 100, 1000)  # 2**-n does not matter by then
    up = power_of_two(k, n, x, -3)
    down = power_of_two(k, k.sub(0, k.select(k.lt(n, most), n, constant(n.type, most))), x, -3)
    square = k.mul(r, r)
    sinh_r = odd_polynomial(k, r, pick(x, c.SINH_SINGLE, c.SINH_DOUBLE), square)
    cosh_r = k.mul(square, polynomial(k, square, pick(x, c.COSH_SINGLE, c.COSH_DOUBLE)[1:]))
    return k.sub(up, down), k.add(up, down), sinh_r, cosh_r


def sinh(k: Arithmetic, x: ir.Value) -> ir.Value:
    """The hyperbolic sine of x"""
    sinh_n, cosh_n, sinh_r, cosh_r = hyperbolic(k, x)
    result = k.mul(k.add(sinh_n, k.fma(cosh_n, sinh_r, k.mul(sinh_n, cosh_r))), 4.0)
    return k.select(k.lt(k.abs(x), pick(x, 2.0**-13, 2.0**-28)), x, k.copysign(result, x))


def cosh(k: Arithmetic, x: ir.Value) -> ir.Value:
    """The hyperbolic cosine of x"""
    sinh_n, cosh_n, sinh_r, cosh_r = hyperbolic(k, x)
    return k.mul(k.add(cosh_n, k.fma(cosh_n, cosh_r, k.mul(sinh_n, sinh_r))), 4.0)
