"""Exponentials and logarithms in machine code, on one element or a vector of them.

Each function takes the builder and its operands, and chooses with selects, never with branches, so that an element has the same result
alone and in a vector.
"""

from __future__ import annotations

import math

from llvmlite import ir

from retrograd.compile.native import coefficients as c
from retrograd.compile.native.arithmetic import Arithmetic
from retrograd.compile.native.floating import (
    SINGLE,
    bits_of,
    clamp,
    decompose,
    finish_log,
    format_of,
    nearest,
    pick,
    polynomial,
    power_of_two,
    scale,
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
    n, low = nearest(k, x, 1.0)
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
    """The hyperbolic tangent of x"""
    twice = k.min(k.mul(k.abs(x), 2.0), pick(x, 20.0, 40.0))
    r, _, low = reduce_exp(k, twice)
    power = power_of_two(k, low, x)
    above = k.fma(power, small_expm1(k, r), k.sub(power, 1.0))
    return k.copysign(k.div(above, k.add(above, 2.0)), x)


def log(k: Arithmetic, x: ir.Value) -> ir.Value:
    """The natural logarithm of x"""
    m, e = decompose(k, x)
    return finish_log(k, x, log_of_parts(k, k.sub(m, 1.0), e))


def log_of_parts(k: Arithmetic, f: ir.Value, e: ir.Value) -> ir.Value:
    """e ln(2) + log(1 + f) for f from -1/4 to 1/2"""
    if format_of(f) is SINGLE:
        near = k.fma(k.mul(f, f), polynomial(k, f, c.LOG_SINGLE[1:]), f)
        return k.fma(e, math.log(2), near)
    s = k.div(f, k.add(f, 2.0))
    square = k.mul(s, s)
    rest = k.mul(square, polynomial(k, square, c.LOG_DOUBLE[1:]))
    half = k.mul(k.mul(f, f), 0.5)
    small = k.fma(s, k.add(half, rest), k.mul(e, c.LN2_DOUBLE[1]))
    return k.fma(e, c.LN2_DOUBLE[0], k.sub(f, k.sub(half, small)))


def log2(k: Arithmetic, x: ir.Value) -> ir.Value:
    """The logarithm of x to base 2"""
    return k.mul(log(k, x), 1 / math.log(2))


def log10(k: Arithmetic, x: ir.Value) -> ir.Value:
    """The logarithm of x to base 10"""
    return k.mul(log(k, x), 1 / math.log(10))


def log1p(k: Arithmetic, x: ir.Value) -> ir.Value:
    """The natural logarithm of 1 + x: exact for small x."""
    sum_ = k.add(x, 1.0)
    m, e = decompose(k, sum_)
    shift = k.sub(bits_of(k, m), bits_of(k, sum_))  # -e, where the exponent is
    back = k.b.bitcast(k.add(shift, format_of(x).bias << format_of(x).stored), x.type)
    f = k.select(k.lt(x, 2.0 ** (format_of(x).digits + 2)), k.fma(x, back, k.sub(back, 1.0)), k.sub(m, 1.0))
    return k.copysign(finish_log(k, sum_, log_of_parts(k, f, e)), x)
