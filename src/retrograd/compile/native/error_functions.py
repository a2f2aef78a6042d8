"""The error function, its complement and the logarithm of the gamma function in machine code, on one element or a vector of them."""

from __future__ import annotations

from llvmlite import ir

from retrograd.compile.native import coefficients as c
from retrograd.compile.native.arithmetic import I32, Arithmetic, like_shape
from retrograd.compile.native.exponential import reduce_exp, small_expm1
from retrograd.compile.native.floating import SINGLE, format_of, nearest, outlined, pick, polynomial, power_of_two, product, scale, total


def erf(k: Arithmetic, x: ir.Value) -> ir.Value:
    """The error function of x: a polynomial up to 1, and 1 - erfc(x) beyond."""
    a = k.min(k.abs(x), pick(x, 4.0, 6.0))
    far = k.sub(1.0, rough_complement(k, a) if format_of(x) is SINGLE else outlined(k, complement_of_positive, a))
    return k.select(k.lt(a, 1.0), small_erf(k, x), k.copysign(far, x))


def rough_complement(k: Arithmetic, x: ir.Value) -> ir.Value:
    """erfc(x) for x from 1 to 4, right to a part in 2**22"""
    q = polynomial(k, x, c.LOG2_ERFC)
    n, low = nearest(k, q)
    return k.mul(polynomial(k, k.sub(q, n), c.EXP2_SINGLE), power_of_two(k, low, x))


def erfc(k: Arithmetic, x: ir.Value) -> ir.Value:
    """1 - erf(x): exact where that is small."""
    return outlined(k, complement, x)


def small_erf(k: Arithmetic, x: ir.Value) -> ir.Value:
    """erf(x) for x from -1 to 1"""
    return k.fma(x, polynomial(k, k.mul(x, x), pick(x, c.ERF_SINGLE, c.ERF_DOUBLE)), x)


def complement(k: Arithmetic, x: ir.Value) -> ir.Value:
    """1 - erf(x) where that is nearly 1, else erfc(|x|) or 2 less it."""
    a = k.abs(x)
    far = complement_of_positive(k, k.min(a, pick(x, 11.0, 28.0)))
    far = k.select(k.lt(x, 0.0), k.sub(2.0, far), far)
    return k.select(k.lt(a, pick(x, 0.7, 0.47)), k.sub(1.0, small_erf(k, x)), far)


def complement_of_positive(k: Arithmetic, x: ir.Value) -> ir.Value:
    """erfc(x) for x >= 0 as exp(-x**2) / (1 + 2x) * (1 + p), with p a polynomial in (x - 3.75) / (x + 3.75)."""
    square, square_low = product(k, x, x)
    r, n, low = reduce_exp(k, k.neg(square))
    exponent, exponent_low = total(k, r, k.neg(square_low))
    power = small_expm1(k, exponent)
    t = k.div(k.sub(x, 3.75), k.add(x, 3.75))
    above, above_low = total(k, 1.0, polynomial(k, t, pick(x, c.ERFCX_SINGLE, c.ERFCX_DOUBLE)))
    twice = k.add(x, x)
    large, small = k.max(twice, 1.0), k.min(twice, 1.0)
    below, below_low = total(k, large, small)
    inverse = k.div(1.0, below)
    ratio = k.mul(above, inverse)
    lost = k.fma(k.neg(ratio), below_low, k.add(k.fma(k.neg(ratio), below, above), above_low))
    more, more_low = product(k, ratio, power)
    y, y_low = total(k, ratio, more)
    rest = k.fma(lost, inverse, k.fma(k.add(ratio, more), exponent_low, more_low))
    return scale(k, k.add(y, k.add(y_low, rest)), n, low)


def lgamma(k: Arithmetic, x: ir.Value) -> ir.Value:
    """The logarithm of the gamma function's absolute value, lane by lane in doubles from the system's library"""
    kind, double = x.type, ir.DoubleType()
    single = format_of(x) is SINGLE
    if single:
        x = k.b.fpext(x, like_shape(double, kind))
    if isinstance(kind, ir.VectorType):
        result = x
        for lane in range(kind.count):
            at = ir.Constant(I32, lane)
            result = k.b.insert_element(result, k.external("lgamma", double, k.b.extract_element(x, at)), at)
    else:
        result = k.external("lgamma", double, x)
    return k.b.fptrunc(result, kind) if single else result
