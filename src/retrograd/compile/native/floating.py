"""What functions of floating-point numbers are made of: exponents and mantissas, polynomials, and sums that keep their rounding errors.

Nothing here is particular to one function.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from retrograd.compile.native.arithmetic import Arithmetic, Operand, constant, element_type, is_floating, like_shape, type_name
from retrograd.compile.native.host import host

I16, I32, I64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)


@dataclass(frozen=True)
class Format:
    """A floating-point format: bits of the mantissa with the leading one, bias of the exponent, the integer of its size."""

    digits: int
    bias: int
    integer: ir.IntType

    @property
    def stored(self) -> int:
        """Bits of the mantissa in memory: how far left the exponent lies."""
        return self.digits - 1

    @property
    def magic(self) -> float:
        """What a small number is added to for its last bit to be worth 1."""
        return 1.5 * 2.0**self.stored

    @property
    def smallest_normal(self) -> float:
        """The smallest number with all its digits."""
        return 2.0 ** (1 - self.bias)


SINGLE, DOUBLE = Format(24, 127, I32), Format(53, 1023, I64)


def format_of(x: ir.Value) -> Format:
    """The format of a value's lanes.

    Raises:
        TypeError: for integers and truth values.
    """
    if not is_floating(x.type):
        raise TypeError(f"functions of real numbers expected float32 or float64, got {x.type}: cast the operand to a floating dtype first")
    return SINGLE if isinstance(element_type(x.type), ir.FloatType) else DOUBLE


def pick(x: ir.Value, single: Any, double: Any) -> Any:
    """One of two constants, as the type of `x` says."""
    return single if format_of(x) is SINGLE else double


# ---------------------------------------------------------------- bits


def bits_of(k: Arithmetic, x: ir.Value) -> ir.Value:
    """The bits of floating-point numbers, as integers."""
    return k.b.bitcast(x, like_shape(format_of(x).integer, x.type))


def from_bits(k: Arithmetic, bits: ir.Value, like: ir.Value) -> ir.Value:
    """Floating-point numbers of given bits."""
    return k.b.bitcast(bits, like.type)


def shift_left(k: Arithmetic, i: ir.Value, count: int) -> ir.Value:
    """The bits of integers moved left."""
    return k.b.shl(i, constant(i.type, count))


def shift_right(k: Arithmetic, i: ir.Value, count: int) -> ir.Value:
    """Integers divided by a power of two, rounded down."""
    return k.b.ashr(i, constant(i.type, count))


def nearest(k: Arithmetic, x: ir.Value, factor: float = 1.0) -> tuple[ir.Value, ir.Value]:
    """The integers next to `factor * x`, as numbers and in the low bits of integers: for those below 2**21 (2**50 of doubles)."""
    magic = format_of(x).magic
    shifted = k.add(x, magic) if factor == 1 else k.fma(x, factor, magic)
    return k.sub(shifted, magic), bits_of(k, shifted)


def power_of_two(k: Arithmetic, n: ir.Value, like: ir.Value, times: int = 0) -> ir.Value:
    """2**(n + times) for n in the low bits of integers, where that is a normal number; 0 where it is the one below."""
    form = format_of(like)
    one = (form.bias + times) << form.stored
    return from_bits(k, k.add(shift_left(k, n, form.stored), one), like)


def whole(k: Arithmetic, low: ir.Value, like: ir.Value) -> ir.Value:
    """The integers that `nearest` has left in the low bits, as integers."""
    form = format_of(like)
    unused = form.integer.width - form.stored + 1
    return shift_right(k, shift_left(k, low, unused), unused)


# ---------------------------------------------------------------- instructions of wide vectors


def has_wide_registers(x: ir.Value) -> bool:
    """Whether a value fills one or two AVX-512 registers."""
    bits = format_of(x).integer.width * x.type.count if isinstance(x.type, ir.VectorType) else 0
    return host().vector_bits == 512 and bits in (512, 1024)


def in_wide_registers(k: Arithmetic, name: str, operands: Sequence[ir.Value], *options: int) -> ir.Value | None:
    """An AVX-512 instruction that there is no general word for, on whole registers; None where the processor or the type is not fit."""
    x = operands[0]
    form = format_of(x)
    if not has_wide_registers(x):
        return None
    lanes = 512 // form.integer.width
    if x.type.count == 2 * lanes:
        halves = []
        for start in (0, lanes):
            picked = ir.Constant(ir.VectorType(I32, lanes), [ir.Constant(I32, start + i) for i in range(lanes)])
            halves.append(in_wide_registers(k, name, [k.b.shuffle_vector(a, a, picked) for a in operands], *options))
        both = ir.Constant(ir.VectorType(I32, 2 * lanes), [ir.Constant(I32, i) for i in range(2 * lanes)])
        return k.b.shuffle_vector(halves[0], halves[1], both)
    mask = ir.Constant(ir.IntType(lanes), -1)
    suffix = "ps" if form is SINGLE else "pd"
    given = [ir.Constant(I32, option) for option in options]
    return k.external(f"llvm.x86.avx512.mask.{name}.{suffix}.512", x.type, *operands, *given, x, mask, ir.Constant(I32, 4))


def scale(k: Arithmetic, x: ir.Value, n: ir.Value, low: ir.Value) -> ir.Value:
    """x * 2**n, rounded once, for normal x and n as `nearest` gives it (twice as far as exponents go)."""
    wide = in_wide_registers(k, "scalef", [x, n])
    if wide is not None:
        return wide
    exponent = whole(k, low, x)
    first = shift_right(k, exponent, 1)
    return k.mul(k.mul(x, power_of_two(k, first, x)), power_of_two(k, k.sub(exponent, first), x))


def decompose(k: Arithmetic, x: ir.Value) -> tuple[ir.Value, ir.Value]:
    """(m, e) with x = m * 2**e and m in [0.75, 1.5), for positive x.

    Where x is not, e + log2(m) still is the logarithm: e is -inf for 0 and inf for inf, and one of them is nan for negative numbers and nan.
    """
    mantissa = in_wide_registers(k, "getmant", [x], 3 | 2 << 2)  # in [3/4, 3/2), nan for negative numbers
    if mantissa is not None:
        exponent, above = (in_wide_registers(k, "getexp", [v]) for v in (x, mantissa))
        return mantissa, k.sub(exponent, above)
    form = format_of(x)
    small = k.lt(x, form.smallest_normal)
    bits = bits_of(k, k.select(small, k.mul(x, 2.0**form.digits), x))
    boundary = (form.bias - 1 << form.stored) + (1 << form.stored - 1)  # of 0.75
    exponent = shift_right(k, k.sub(bits, boundary), form.stored)
    mantissa = from_bits(k, k.sub(bits, shift_left(k, exponent, form.stored)), x)
    e = k.b.sitofp(exponent, x.type)
    e = k.sub(e, k.select(small, k.const(form.digits, x), 0.0))
    e = k.select(k.lt(x, math.inf), e, x)
    return mantissa, k.select(k.gt(x, 0.0), e, k.select(k.eq(x, 0.0), k.const(-math.inf, x), math.nan))


# ---------------------------------------------------------------- polynomials and exact sums


def polynomial(k: Arithmetic, t: ir.Value, coefficients: Sequence[Operand]) -> ir.Value:
    """The polynomial with these coefficients, lowest power first, by Horner's rule."""
    total = k.alike(t, coefficients[-1])[1]
    for c in reversed(coefficients[:-1]):
        total = k.fma(total, t, c)
    return total


def odd_polynomial(k: Arithmetic, x: ir.Value, coefficients: Sequence[Operand], square: ir.Value | None = None) -> ir.Value:
    """x + x * (c1 x**2 + c2 x**4 + ...), where the first coefficient is 1 and not looked at. Zero keeps its sign."""
    square = k.mul(x, x) if square is None else square
    rest = k.fma(polynomial(k, square, coefficients[1:]), square, 0.0)  # plus 0, so that it is not -0
    return k.fma(rest, x, x)


def clamp(k: Arithmetic, x: ir.Value, low: float, high: float) -> ir.Value:
    """The nearest of the numbers from low to high; nan stays."""
    return k.min(k.max(x, low), high)


def product(k: Arithmetic, a: Operand, b: Operand) -> tuple[ir.Value, ir.Value]:
    """a * b as the sum of a rounded product and what rounding it has lost."""
    high = k.mul(a, b)
    return high, k.fma(a, b, k.neg(high))


def total(k: Arithmetic, large: Operand, small: Operand) -> tuple[ir.Value, ir.Value]:
    """large + small, of which the first is not the smaller, as a rounded sum and what rounding it has lost."""
    high = k.add(large, small)
    return high, k.sub(small, k.sub(high, large))


def unordered_total(k: Arithmetic, a: ir.Value, b: ir.Value) -> tuple[ir.Value, ir.Value]:
    """a + b, whichever is larger, as a rounded sum and what rounding it has lost."""
    high = k.add(a, b)
    part = k.sub(high, a)
    return high, k.add(k.sub(a, k.sub(high, part)), k.sub(b, part))


# ---------------------------------------------------------------- functions of the module


def outlined(k: Arithmetic, emit: Callable[..., ir.Value], *operands: ir.Value) -> ir.Value:
    """A call of `emit(k, *operands)` as a function of the module, for what is too long to be repeated wherever it is used."""
    name = f"retrograd.{emit.__name__}.{type_name(operands[0].type)}"
    function = k.b.module.globals.get(name)
    if function is None:
        kinds = [x.type for x in operands]
        function = internal_function(k.b.module, name, kinds[0], kinds)
        inside = Arithmetic(ir.IRBuilder(function.append_basic_block("entry")))
        inside.b.ret(emit(inside, *function.args))
    return k.b.call(function, operands)


def internal_function(module: ir.Module, name: str, result: ir.Type, operands: Sequence[ir.Type]) -> ir.Function:
    """A new function that only its module knows, and that is not copied into its callers."""
    function = ir.Function(module, ir.FunctionType(result, operands), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    return function
