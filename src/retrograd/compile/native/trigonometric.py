"""Sine, cosine, tangent and their inverses in machine code, on one element or a vector of them.

An angle is first brought into half a turn (for tangents, a quarter). Up to a limit that is done with a few multiplications; if a lane is
beyond it, all such lanes go one by one through multiplication with as many bits of 2 / pi as it takes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from llvmlite import ir

from retrograd.compile.native import coefficients as c
from retrograd.compile.native.arithmetic import BOOL, Arithmetic, constant, element_type, like_shape, type_name
from retrograd.compile.native.floating import (
    DOUBLE,
    I64,
    SINGLE,
    bits_of,
    format_of,
    from_bits,
    internal_function,
    nearest,
    odd_polynomial,
    pick,
    polynomial,
    product,
    shift_left,
    total,
    unordered_total,
)
from retrograd.compile.native.loops import loop

I128 = ir.IntType(128)


@dataclass(frozen=True)
class Reduction:
    """How an angle is brought near 0: x = (n + offset) * turn * pi + r, with n an integer.

    `odd` tells whether r changes its sign with x.
    """

    name: str
    turn: float
    offset: float
    odd: bool


Reduced: TypeAlias = tuple[ir.Value, ir.Value, ir.Value]  # r, what rounding it has lost, and n in the low bits of integers

SIN = Reduction("sin", 1.0, 0.0, True)
COS = Reduction("cos", 1.0, 0.5, False)
TAN = Reduction("tan", 0.5, 0.0, True)


def sin(k: Arithmetic, x: ir.Value) -> ir.Value:
    """The sine of x, an angle in radians"""
    r, _, n = reduce(k, x, SIN)
    return alternate(k, sine(k, r), n)


def cos(k: Arithmetic, x: ir.Value) -> ir.Value:
    """The cosine of x, an angle in radians"""
    r, _, n = reduce(k, x, COS)
    return alternate(k, sine(k, r), k.add(n, 1))


def sine(k: Arithmetic, r: ir.Value) -> ir.Value:
    """sin(r) for r at most pi / 2"""
    square, lost = product(k, r, r)
    slope = polynomial(k, square, pick(r, c.SIN_SINGLE, c.SIN_DOUBLE)[1:])
    return k.fma(k.fma(slope, square, k.fma(slope, lost, 0.0)), r, r)  # plus 0, so that zero keeps its sign


def alternate(k: Arithmetic, x: ir.Value, n: ir.Value) -> ir.Value:
    """-x where the last bit of n is set, else x."""
    return from_bits(k, k.xor(bits_of(k, x), shift_left(k, n, format_of(x).integer.width - 1)), x)


def tan(k: Arithmetic, x: ir.Value) -> ir.Value:
    """The tangent of x, an angle in radians"""
    r, lost, n = reduce(k, x, TAN)
    square = k.mul(r, r)
    rest = k.mul(square, polynomial(k, square, pick(x, c.TAN_SINGLE, c.TAN_DOUBLE)[1:]))
    more = k.fma(rest, r, k.fma(lost, square, lost))
    t = k.add(r, more)
    low = k.sub(more, k.sub(t, r))  # what rounding t has lost: it is worth twice as much in 1 / t, if t is just above 1
    odd = k.ne(k.and_(n, 1), 0)
    y = k.div(k.select(odd, -1.0, t), k.select(odd, t, 1.0))
    y = k.select(odd, k.fma(k.fma(y, low, k.fma(y, t, 1.0)), y, y), y)
    return k.select(k.eq(x, 0.0), x, y)


# ---------------------------------------------------------------- angles


def limit(x: ir.Value) -> float:
    """Up to which angles three parts of pi are enough."""
    return pick(x, 1e5, 1e9)


def reduce(k: Arithmetic, x: ir.Value, kind: Reduction) -> Reduced:
    """An angle brought near 0."""
    inverse = 1 / (kind.turn * math.pi)
    if kind.offset:
        n, low = nearest(k, k.fma(x, inverse, -kind.offset))
        turns = k.add(n, kind.offset)
    else:
        turns, low = nearest(k, x, inverse)
    first, second, third = (-part * kind.turn for part in pick(x, c.PI_SINGLE, c.PI_DOUBLE))
    exact = k.fma(turns, first, x)  # since multiples of the last bit that are below 2 are numbers
    r = k.fma(turns, third, k.fma(turns, second, exact))
    large, small = product(k, turns, second)
    near, lost = unordered_total(k, exact, large)
    lost = k.add(k.sub(near, r), k.fma(turns, third, k.add(lost, small)))
    return reduce_far(k, x, (r, lost, low), kind)


def is_far(k: Arithmetic, x: ir.Value) -> ir.Value:
    """Whether an angle is beyond the limit, and finite."""
    a = k.abs(x)
    return k.logical_and(k.gt(a, limit(x)), k.lt(a, math.inf))


def reduce_far(k: Arithmetic, x: ir.Value, near: Reduced, kind: Reduction) -> Reduced:
    """The result of `reduce` with the lanes done again that are beyond the limit, if there are any."""
    far = is_far(k, x)
    found = far
    if isinstance(x.type, ir.VectorType):
        found = k.ne(k.b.bitcast(far, ir.IntType(x.type.count)), 0)
    before = k.b.block
    with k.b.if_then(found, likely=False):
        again = parts_of(k.b, k.b.call(far_function(k.b.module, x.type, kind), [x, *near]))
        inside = k.b.block
    merged = [k.b.phi(v.type) for v in near]
    for phi, old, new in zip(merged, near, again, strict=True):
        phi.add_incoming(old, before)
        phi.add_incoming(new, inside)
    return merged[0], merged[1], merged[2]


def parts_of(b: ir.IRBuilder, triple: ir.Value) -> Reduced:
    """The members of a structure."""
    return b.extract_value(triple, 0), b.extract_value(triple, 1), b.extract_value(triple, 2)


def return_parts(b: ir.IRBuilder, parts: Reduced) -> None:
    """Ends a function with a structure."""
    triple: ir.Value = ir.Constant(ir.LiteralStructType([v.type for v in parts]), ir.Undefined)
    for i, v in enumerate(parts):
        triple = b.insert_value(triple, v, i)
    b.ret(triple)


def far_function(module: ir.Module, kind: ir.Type, reduction: Reduction) -> ir.Function:
    """The function of an angle and what it was reduced to, that reduces again where the angle is beyond the limit."""
    name = f"retrograd.{reduction.name}.far.{type_name(kind)}"
    if name in module.globals:
        return module.globals[name]
    integers = like_shape(SINGLE.integer if element_type(kind) == ir.FloatType() else DOUBLE.integer, kind)
    kinds = [kind, kind, integers]
    function = internal_function(module, name, ir.LiteralStructType(kinds), [kind, *kinds])
    k = Arithmetic(ir.IRBuilder(function.append_basic_block("entry")))
    x, *near = function.args
    one = one_angle_function(module, reduction)

    def lane(i: ir.Value, *near: ir.Value) -> list[ir.Value]:
        old = [k.b.extract_element(v, i) for v in near]
        again = reduce_one(k, one, k.b.extract_element(x, i), old)
        return [k.b.insert_element(v, new, i) for v, new in zip(near, again, strict=True)]

    result = loop(k.b, 0, kind.count, 1, near, lane) if isinstance(kind, ir.VectorType) else reduce_one(k, one, x, near)
    return_parts(k.b, (result[0], result[1], result[2]))
    return function


def reduce_one(k: Arithmetic, function: ir.Function, x: ir.Value, near: Sequence[ir.Value]) -> list[ir.Value]:
    """One angle reduced by a function of doubles if it is beyond the limit."""
    if format_of(x) is DOUBLE:
        again = parts_of(k.b, k.b.call(function, [x]))
    else:
        wide, _, n = parts_of(k.b, k.b.call(function, [k.b.fpext(x, ir.DoubleType())]))
        r = k.b.fptrunc(wide, x.type)
        again = r, k.b.fptrunc(k.sub(wide, k.b.fpext(r, wide.type)), x.type), k.b.trunc(n, SINGLE.integer)
    far = is_far(k, x)
    return [k.select(far, new, old) for new, old in zip(again, near, strict=True)]


def one_angle_function(module: ir.Module, reduction: Reduction) -> ir.Function:
    """The function of one double that gives (r, n). It touches nothing outside of its table, and is right for finite numbers beyond 2**15.

    |x| is an integer times 2**e. Of the bits of 2 / pi only those matter that are worth less than 4 after multiplication, and of the product the
    first 128 below that.
    """
    name = f"retrograd.{reduction.name}.angle"
    if name in module.globals:
        return module.globals[name]
    double = ir.DoubleType()
    function = internal_function(module, name, ir.LiteralStructType([double, double, I64]), [double])
    b = ir.IRBuilder(function.append_basic_block("entry"))
    k = Arithmetic(b)
    [x] = function.args
    high, middle = times_inverse_quarter_turn(k, x)
    whole_bits = 63 if reduction.turn == 1 else 62  # where an integer of turns begins in the higher 64 bits
    high = b.sub(high, ir.Constant(I64, int(reduction.offset * 2**whole_bits)))
    n = b.lshr(b.add(high, ir.Constant(I64, 1 << whole_bits - 1)), ir.Constant(I64, whole_bits))
    fraction = b.sub(high, shift_left(k, n, whole_bits))
    r, lost = turns_to_angle(k, fraction, middle, 64 + whole_bits, reduction.turn)
    if reduction.odd:
        sign = k.copysign(1.0, x)
        r, lost = k.mul(r, sign), k.mul(lost, sign)
    return_parts(b, (r, lost, n))
    return function


def times_inverse_quarter_turn(k: Arithmetic, x: ir.Value) -> tuple[ir.Value, ir.Value]:
    """|x| 2 / pi modulo 4, in 128 bits of which the first is worth 2."""
    b = k.b
    bits = bits_of(k, x)
    exponent = b.and_(b.lshr(bits, ir.Constant(I64, 52)), ir.Constant(I64, 0x7FF))
    mantissa = b.or_(b.and_(bits, ir.Constant(I64, 2**52 - 1)), ir.Constant(I64, 2**52))
    first = k.max(b.sub(exponent, ir.Constant(I64, 1075 - 62)), 0)  # of the bits of the table that matter
    word, shift = b.lshr(first, ir.Constant(I64, 6)), b.and_(first, ir.Constant(I64, 63))
    table = inverse_quarter_turn(b.module)
    words = []
    for i in range(4):
        place = b.gep(table, [b.add(word, ir.Constant(I64, i))], source_etype=I64)
        words.append(b.load(place, typ=I64))
    parts = [k.intrinsic("fshl", I64, words[i], words[i + 1], shift) for i in range(3)]
    wide = b.zext(mantissa, I128)
    low = b.lshr(b.mul(wide, b.zext(parts[2], I128)), ir.Constant(I128, 64))
    middle = b.add(b.mul(wide, b.zext(parts[1], I128)), low)
    high = b.add(b.mul(mantissa, parts[0]), b.trunc(b.lshr(middle, ir.Constant(I128, 64)), I64))
    return high, b.trunc(middle, I64)


def turns_to_angle(k: Arithmetic, high: ir.Value, low: ir.Value, binary_point: int, turn: float) -> tuple[ir.Value, ir.Value]:
    """A signed fraction in 128 bits, of which so many are behind the point, times turn * pi, and what rounding that has lost."""
    b = k.b
    fraction = b.or_(b.shl(b.zext(high, I128), ir.Constant(I128, 64)), b.zext(low, I128))
    negative = k.lt(high, 0)
    size = b.select(negative, b.neg(fraction), fraction)
    zeros = k.intrinsic("ctlz", I128, size, constant(BOOL, False))
    digits = b.shl(size, zeros)
    head = b.sitofp(b.trunc(b.lshr(digits, ir.Constant(I128, 75)), I64), ir.DoubleType())
    tail = b.and_(b.trunc(b.lshr(digits, ir.Constant(I128, 22)), I64), ir.Constant(I64, 2**53 - 1))
    tail = k.mul(b.sitofp(tail, ir.DoubleType()), 2.0**-53)
    pi, pi_low = c.PI_DOUBLE[0] * turn, c.PI_DOUBLE[1] * turn
    near, lost = product(k, head, pi)
    angle, lost = total(k, near, k.add(lost, k.fma(head, pi_low, k.mul(tail, pi))))
    exponent = b.sub(ir.Constant(I64, 1023 + 75 - binary_point), b.trunc(zeros, I64))
    power = k.copysign(from_bits(k, shift_left(k, exponent, 52), angle), k.select(negative, k.const(-1, angle), 1.0))
    return k.mul(angle, power), k.mul(lost, power)


def inverse_quarter_turn(module: ir.Module) -> ir.GlobalVariable:
    """The bits of 2 / pi in the module's memory."""
    name = "retrograd.inverse_quarter_turn"
    if name in module.globals:
        return module.globals[name]
    kind = ir.ArrayType(I64, len(c.INVERSE_QUARTER_TURN))
    table = ir.GlobalVariable(module, kind, name)
    table.linkage, table.global_constant = "internal", True
    table.initializer = ir.Constant(kind, [ir.Constant(I64, word) for word in c.INVERSE_QUARTER_TURN])
    return table


# ---------------------------------------------------------------- inverses


def part_of_pi(x: ir.Value, share: float) -> tuple[float, float]:
    """share * pi, as a number of the type of x and what is missing to it."""
    high, low = pick(x, c.PI_SINGLE[:2], c.PI_DOUBLE[:2])
    return share * high, share * low


def less_from(k: Arithmetic, share: float, x: ir.Value, rest: ir.Value | None = None) -> ir.Value:
    """share * pi - (x + rest)"""
    high, low = part_of_pi(x, share)
    if rest is None:
        return k.sub(high, k.sub(x, low))
    near, lost = total(k, k.const(high, x), k.neg(x))
    return k.add(near, k.add(lost, k.sub(low, rest)))


def asin_parts(k: Arithmetic, a: ir.Value) -> tuple[ir.Value, ir.Value, ir.Value]:
    """Whether a > 1/2, an s, and asin(s) - s. If so, asin(a) = pi / 2 - 2 asin(s); if not, s = a."""
    large = k.gt(a, 0.5)
    square = k.select(large, k.mul(k.sub(1.0, a), 0.5), k.mul(a, a))
    s = k.select(large, k.sqrt(square), a)
    return large, s, k.mul(k.mul(s, square), polynomial(k, square, pick(a, c.ASIN_SINGLE, c.ASIN_DOUBLE)[1:]))


def asin(k: Arithmetic, x: ir.Value) -> ir.Value:
    """The inverse sine of x: nan beyond -1 and 1."""
    large, s, rest = asin_parts(k, k.abs(x))
    return k.copysign(k.select(large, less_from(k, 0.5, k.add(s, s), k.add(rest, rest)), k.add(s, rest)), x)


def acos(k: Arithmetic, x: ir.Value) -> ir.Value:
    """The inverse cosine of x: nan beyond -1 and 1."""
    large, s, rest = asin_parts(k, k.abs(x))
    twice, twice_rest = k.add(s, s), k.add(rest, rest)
    outer = k.select(k.lt(x, 0.0), less_from(k, 1.0, twice, twice_rest), k.add(twice, twice_rest))
    return k.select(large, outer, less_from(k, 0.5, x, k.copysign(rest, x)))


def atan_of_ratio(k: Arithmetic, above: ir.Value, below: ir.Value) -> ir.Value:
    """atan(above / below), of which the first is not the larger"""
    large = k.gt(above, k.mul(below, 0.55))
    t = k.div(k.select(large, k.sub(above, below), above), k.select(large, k.add(above, below), below))
    angle = odd_polynomial(k, t, pick(t, c.ATAN_SINGLE, c.ATAN_DOUBLE))
    high, low = part_of_pi(t, 0.25)
    return k.select(large, k.add(high, k.add(angle, low)), angle)


def atan(k: Arithmetic, x: ir.Value) -> ir.Value:
    """The inverse tangent of x"""
    a = k.abs(x)
    angle = atan_of_ratio(k, k.min(a, 1.0), k.max(a, 1.0))
    return k.copysign(k.select(k.gt(a, 1.0), less_from(k, 0.5, angle), angle), x)


def atan2(k: Arithmetic, y: ir.Value, x: ir.Value) -> ir.Value:
    """The angle of the point (x, y), from -pi to pi"""
    a, b = k.abs(y), k.abs(x)
    small, large = k.min(a, b), k.max(a, b)
    infinite = k.eq(small, math.inf)
    small, large = k.select(infinite, 1.0, small), k.select(infinite, 1.0, large)
    few, many = pick(x, (2.0**-80, 2.0**126), (2.0**-900, 2.0**1022))
    factor = k.select(k.lt(large, few), k.const(2.0**64, x), k.select(k.gt(large, many), k.const(0.25, x), 1.0))
    small, large = k.mul(small, factor), k.mul(large, factor)  # so that half of them is a number, and their sum finite
    angle = atan_of_ratio(k, small, k.select(k.eq(large, 0.0), 1.0, large))
    angle = k.select(k.gt(a, b), less_from(k, 0.5, angle), angle)
    left = k.lt(bits_of(k, x), 0)
    return k.copysign(k.select(left, less_from(k, 1.0, angle), angle), y)
