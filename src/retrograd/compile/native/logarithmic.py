"""Logarithms, the inverse hyperbolic functions and powers in machine code, on one element or a vector of them.

Each function takes the builder and its operands. It chooses with selects, not branches, so that an element has the same result alone
and in a vector.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from llvmlite import ir

from retrograd.compile.native import coefficients as c
from retrograd.compile.native.arithmetic import Arithmetic, known_number, like_shape
from retrograd.compile.native.floating import (
    SINGLE,
    bits_of,
    decompose,
    format_of,
    from_bits,
    nearest,
    outlined,
    polynomial,
    product,
    scale,
    total,
)
from retrograd.compile.native.loops import loop


def log(k: Arithmetic, x: ir.Value) -> ir.Value:
    """The natural logarithm of x"""
    m, e = decompose(k, x)
    return log_of_parts(k, k.sub(m, 1.0), e)


def log_of_parts(k: Arithmetic, f: ir.Value, e: ir.Value, small: ir.Value | None = None) -> ir.Value:
    """e ln(2) + log(1 + f) for f from -1/4 to 1/2, and something small."""
    if format_of(f) is SINGLE:
        square, rest = k.mul(f, f), polynomial(k, f, c.LOG_SINGLE[1:])
        near = k.fma(square, rest, f) if small is None else k.add(f, k.fma(square, rest, small))
        return k.fma(e, math.log(2), near)
    half, rest = parts_of_log1p(k, f)
    rest = rest if small is None else k.add(rest, small)
    high, low = c.LN2_DOUBLE
    return k.fma(e, high, k.sub(f, k.sub(half, k.fma(e, low, rest))))


def parts_of_log1p(k: Arithmetic, f: ir.Value) -> tuple[ir.Value, ir.Value]:
    """(h, r) with log(1 + f) = f - (h - r) and h = f * f / 2"""
    s = k.div(f, k.add(f, 2.0))
    square = k.mul(s, s)
    half = k.mul(k.mul(f, f), 0.5)
    return half, k.mul(s, k.fma(square, polynomial(k, square, c.LOG_DOUBLE[1:]), half))


def log_to_base(k: Arithmetic, x: ir.Value, inverse: Sequence[float], ln2: Sequence[float]) -> ir.Value:
    """A logarithm of doubles; `inverse` is 1 / ln(base) and `ln2` the logarithm of 2, in two parts each."""
    m, e = decompose(k, x)
    f = k.sub(m, 1.0)
    half, rest = parts_of_log1p(k, f)
    high, low = total(k, f, k.neg(half))
    low = k.add(low, rest)
    near, lost = product(k, high, inverse[0])
    lost = k.add(lost, k.fma(low, inverse[0], k.mul(high, inverse[1])))
    return k.fma(e, ln2[0], k.add(near, k.fma(e, ln2[1], lost) if ln2[1] else lost))


def log2(k: Arithmetic, x: ir.Value) -> ir.Value:
    """The logarithm of x to base 2"""
    if format_of(x) is SINGLE:
        m, e = decompose(k, x)
        f = k.sub(m, 1.0)
        return k.add(e, k.fma(f, polynomial(k, f, c.LOG2_SINGLE), f))
    return log_to_base(k, x, c.INVERSE_LN2, (1.0, 0.0))


def log10(k: Arithmetic, x: ir.Value) -> ir.Value:
    """The logarithm of x to base 10"""
    if format_of(x) is SINGLE:
        m, e = decompose(k, x)
        f = k.sub(m, 1.0)
        near = k.fma(f, polynomial(k, f, c.LOG10_SINGLE), k.mul(f, 0.5))
        high, low = c.LOG10_2_SINGLE
        return k.fma(e, high, k.fma(e, low, near))
    return log_to_base(k, x, c.INVERSE_LN10, c.LOG10_2_DOUBLE)


# ---------------------------------------------------------------- of 1 + x


def parts_of_sum(k: Arithmetic, x: ir.Value) -> tuple[ir.Value, ir.Value]:
    """(f, e) with 1 + x = (1 + f) * 2**e and f from -1/4 to 1/2, rounded once."""
    form = format_of(x)
    above = k.add(x, 1.0)
    m, e = decompose(k, above)
    shift = k.sub(bits_of(k, m), bits_of(k, above))  # -e, where the exponent lies
    back = from_bits(k, k.add(shift, form.bias << form.stored), x)
    exact = k.fma(x, back, k.sub(back, 1.0))
    return k.select(k.lt(x, 2.0 ** (form.digits + 2)), exact, k.sub(m, 1.0)), e


def log1p(k: Arithmetic, x: ir.Value) -> ir.Value:
    """The natural logarithm of 1 + x: exact for small x."""
    return k.copysign(log_of_parts(k, *parts_of_sum(k, x)), x)


def asinh(k: Arithmetic, x: ir.Value) -> ir.Value:
    """The inverse hyperbolic sine of x"""
    a = k.abs(x)
    large = k.gt(a, 2.0 ** (format_of(x).digits + 2))  # where it is log(2a)
    square = k.mul(a, a)
    small = k.add(a, k.div(square, k.add(k.sqrt(k.add(square, 1.0)), 1.0)))
    f, e = parts_of_sum(k, k.select(large, a, small))
    return k.copysign(log_of_parts(k, f, k.add(e, k.select(large, k.const(1, x), 0.0))), x)


def acosh(k: Arithmetic, x: ir.Value) -> ir.Value:
    """The inverse hyperbolic cosine of x: nan below 1."""
    above = k.sub(x, 1.0)
    large = k.gt(x, 2.0 ** (format_of(x).digits + 2))  # where it is log(2x)
    twice = k.mul(above, 2.0)
    square = k.fma(above, above, twice)
    root = k.sqrt(square)
    sum_, lost = total(k, root, above)
    f, e = parts_of_sum(k, k.select(large, x, sum_))
    more = k.add(k.fma(k.neg(root), root, square), k.fma(above, above, k.sub(twice, square)))  # what the square and its root have lost
    lost = k.add(lost, k.div(more, k.max(k.mul(root, 2.0), 2.0**-126)))
    lost = k.select(k.lt(sum_, 0.5), k.div(lost, k.add(sum_, 1.0)), 0.0)  # further away it does not matter
    result = log_of_parts(k, f, k.add(e, k.select(large, k.const(1, x), 0.0)), lost)
    return k.select(k.lt(x, 1.0), k.const(math.nan, x), result)


def atanh(k: Arithmetic, x: ir.Value) -> ir.Value:
    """The inverse hyperbolic tangent of x: nan beyond -1 and 1."""
    a = k.abs(x)
    result = k.mul(log_of_parts(k, *parts_of_sum(k, k.div(k.add(a, a), k.sub(1.0, a)))), 0.5)
    return k.copysign(result, x)


# ---------------------------------------------------------------- powers


def pow(k: Arithmetic, x: ir.Value, y: ir.Value) -> ir.Value:
    """x to the power of y, with C's results for special values; of integers, with those of PyTorch."""
    if isinstance(x.type, ir.IntType) or (isinstance(x.type, ir.VectorType) and isinstance(x.type.element, ir.IntType)):
        return integer_power(k, x, y)
    exponent = known_number(y)
    if exponent == 1:
        return x
    if exponent == 2:
        return k.mul(x, x)
    if exponent == -1:
        return k.div(1.0, x)
    return outlined(k, power, x, y)


def power(k: Arithmetic, x: ir.Value, y: ir.Value) -> ir.Value:
    """x to the power of y, of floating-point numbers"""
    a = k.abs(x)
    result = power_of_single(k, a, y) if format_of(x) is SINGLE else power_of_double(k, a, y)
    result = k.select(k.logical_or(k.eq(a, 1.0), k.eq(y, 0.0)), 1.0, result)
    half = k.mul(y, 0.5)
    integer, even = k.eq(k.trunc(y), y), k.eq(k.trunc(half), half)
    result = k.select(k.logical_and(integer, k.logical_not(even)), k.copysign(result, x), result)
    finite = k.logical_and(k.lt(x, 0.0), k.gt(x, -math.inf))
    return k.select(k.logical_and(finite, k.logical_not(integer)), math.nan, result)


def power_of_single(k: Arithmetic, a: ir.Value, y: ir.Value) -> ir.Value:
    """a to the power of y for a >= 0, through a logarithm in doubles."""
    wide = like_shape(ir.DoubleType(), a.type)
    m, e = decompose(k, a)
    f = k.sub(m, 1.0)
    wide_f = k.b.fpext(f, wide)
    tail = k.b.fpext(polynomial(k, f, c.LOG2_WIDE[8:]), wide)  # so small that a float is enough
    logarithm = k.fma(wide_f, polynomial(k, wide_f, [*c.LOG2_WIDE[:8], tail]), k.b.fpext(e, wide))
    exponent = k.max(k.min(k.mul(logarithm, k.b.fpext(y, wide)), 200.0), -200.0)
    n, _ = nearest(k, exponent)
    r = k.b.fptrunc(k.sub(exponent, n), a.type)
    n = k.b.fptrunc(n, a.type)
    return scale(k, polynomial(k, r, c.EXP2_SINGLE), n, nearest(k, n)[1])


def power_of_double(k: Arithmetic, a: ir.Value, y: ir.Value) -> ir.Value:
    """a to the power of y for a >= 0, through a logarithm as a sum of two doubles."""
    high, low = double_log2(k, a)
    near, lost = product(k, high, y)
    lost = k.fma(low, y, lost)
    exponent = k.max(k.min(near, 2000.0), -2000.0)
    n, bits = nearest(k, exponent)
    usual = k.lt(k.abs(near), 2000.0)  # else the result is 0 or inf, and what was lost may be anything
    r = k.add(k.sub(exponent, n), k.select(usual, lost, 0.0))
    return scale(k, polynomial(k, r, c.EXP2_DOUBLE), n, bits)


def double_log2(k: Arithmetic, a: ir.Value) -> tuple[ir.Value, ir.Value]:
    """The logarithm of a to base 2 as a sum of two doubles, right to 2**-66.

    With s = f / (2 + f) it is e + s (2 + s**2 (2/3 + s**2 (2/5 + ...))) / ln(2).
    """
    m, e = decompose(k, a)
    f = k.sub(m, 1.0)
    below, lost = total(k, 2.0, f)
    s = k.div(f, below)
    s_low = k.div(k.fma(k.neg(s), lost, k.fma(k.neg(s), below, f)), below)
    square, square_low = product(k, s, s)
    square_low = k.fma(k.add(s, s), s_low, square_low)
    rest = k.mul(square, polynomial(k, square, c.LOG2_REST))
    third, third_low = total(k, k.const(c.THIRD[0], a), rest)
    third_low = k.add(third_low, c.THIRD[1])
    cube, cube_low = product(k, square, third)
    cube_low = k.add(cube_low, k.fma(square, third_low, k.mul(square_low, third)))
    one, one_low = total(k, k.const(1, a), cube)
    one_low = k.add(one_low, cube_low)
    high, low = product(k, s, one)
    low = k.add(low, k.fma(s, one_low, k.mul(s_low, one)))
    result, result_low = product(k, high, c.TWICE_INVERSE_LN2[0])
    result_low = k.add(result_low, k.fma(low, c.TWICE_INVERSE_LN2[0], k.mul(high, c.TWICE_INVERSE_LN2[1])))
    sum_, sum_low = total(k, e, result)
    finite = k.lt(k.abs(e), math.inf)
    return sum_, k.select(finite, k.add(sum_low, result_low), 0.0)


def integer_power(k: Arithmetic, x: ir.Value, y: ir.Value) -> ir.Value:
    """x to the power of y, of integers: 0 where y is negative, except for powers of 1 and -1."""
    one, zero = k.const(1, x), k.const(0, x)

    def square_and_multiply(_: ir.Value, result: ir.Value, base: ir.Value, left: ir.Value) -> tuple[ir.Value, ...]:
        odd = k.ne(k.and_(left, 1), 0)
        return k.select(odd, k.mul(result, base), result), k.mul(base, base), k.shr(left, 1)

    bits = (x.type.element if isinstance(x.type, ir.VectorType) else x.type).width - 1
    result, _, _ = loop(k.b, 0, bits, 1, [one, x, y], square_and_multiply)
    unit = k.select(k.eq(x, 1), one, k.select(k.eq(x, -1), k.select(k.eq(k.and_(y, 1), 0), one, -1), zero))
    return k.select(k.lt(y, 0), unit, result)
