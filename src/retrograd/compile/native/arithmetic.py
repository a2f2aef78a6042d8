"""Plain operations on one element or a vector of elements, as LLVM instructions.

What an operation does follows from the types of its operands: float, double, bool (i1) and signed integers, or vectors of them. It
knows nothing of memory, of loops and of functions such as exp.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

from llvmlite import ir

Operand: TypeAlias = Any  # an ir.Value, or a Python number, which takes the type of the other operand
BOOL, I32 = ir.IntType(1), ir.IntType(32)


def element_type(kind: ir.Type) -> ir.Type:
    """The type of one lane.

    >>> print(element_type(ir.VectorType(ir.FloatType(), 8)))
    float
    """
    return kind.element if isinstance(kind, ir.VectorType) else kind


def like_shape(element: ir.Type, kind: ir.Type) -> ir.Type:
    """The type with as many lanes as `kind` has, of another element.

    >>> print(like_shape(ir.IntType(1), ir.VectorType(ir.FloatType(), 8)))
    <8 x i1>
    """
    return ir.VectorType(element, kind.count) if isinstance(kind, ir.VectorType) else element


def is_floating(kind: ir.Type) -> bool:
    """Whether lanes are floating-point numbers."""
    return isinstance(element_type(kind), (ir.FloatType, ir.DoubleType))


def is_bool(kind: ir.Type) -> bool:
    """Whether lanes are truth values."""
    return element_type(kind) == BOOL


def constant(kind: ir.Type, value: Any) -> ir.Constant:
    """A number in every lane.

    >>> print(constant(ir.VectorType(ir.IntType(32), 2), 7))
    <2 x i32> <i32 7, i32 7>
    """
    element = element_type(kind)
    one = ir.Constant(element, float(value) if is_floating(element) else bool(value) if element == BOOL else int(value))
    return ir.Constant(kind, [one] * kind.count) if isinstance(kind, ir.VectorType) else one


def known_number(value: ir.Value) -> float | None:
    """The number that a constant has in every lane; None where it is not a constant, or lanes differ."""
    if not isinstance(value, ir.Constant):
        return None
    lanes = value.constant if isinstance(value.type, ir.VectorType) else [value]
    numbers = {lane.constant if isinstance(lane, ir.Constant) else None for lane in lanes} if isinstance(lanes, Sequence) else {None}
    number = numbers.pop() if len(numbers) == 1 else None
    return number if isinstance(number, (int, float)) and not math.isnan(number) else None


def type_name(kind: ir.Type) -> str:
    """LLVM's abbreviation, as the names of intrinsics end with.

    >>> type_name(ir.VectorType(ir.DoubleType(), 8))
    'v8f64'
    """
    if isinstance(kind, ir.VectorType):
        return f"v{kind.count}{type_name(kind.element)}"
    return {"float": "f32", "double": "f64", "ptr": "p0"}.get(str(kind), str(kind))


class Arithmetic:
    """Emits operations where the IRBuilder `b` stands.

    With `contract`, a product that is only added to something may be rounded together with the sum. Without, every
    operation is rounded as it stands.
    """

    def __init__(self, b: ir.IRBuilder, contract: bool = False) -> None:
        self.b = b
        self.flags = ("contract",) if contract else ()

    # ------------------------------------------------------------ operands

    def const(self, value: Any, like: ir.Value) -> ir.Constant:
        """A number of the type of `like`, in every lane."""
        return constant(like.type, value)

    def spread(self, scalar: ir.Value, lanes: int) -> ir.Value:
        """One value in each of `lanes` lanes."""
        if isinstance(scalar, ir.Constant) and not isinstance(scalar.constant, str):
            return ir.Constant(ir.VectorType(scalar.type, lanes), [scalar] * lanes)
        undefined = ir.Constant(ir.VectorType(scalar.type, lanes), ir.Undefined)
        first = self.b.insert_element(undefined, scalar, ir.Constant(I32, 0))
        return self.b.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(I32, lanes), [ir.Constant(I32, 0)] * lanes))

    def alike(self, *operands: Operand) -> list[ir.Value]:
        """The operands as values of one shape: numbers take the type of the first value, and scalars are spread if there is a vector."""
        first = next(x for x in operands if isinstance(x, ir.Value))
        values = [x if isinstance(x, ir.Value) else constant(element_type(first.type), x) for x in operands]
        lanes = next((x.type.count for x in values if isinstance(x.type, ir.VectorType)), None)
        if lanes is None:
            return values
        return [x if isinstance(x.type, ir.VectorType) else self.spread(x, lanes) for x in values]

    def intrinsic(self, name: str, result: ir.Type, *operands: ir.Value, types: Sequence[ir.Type] | None = None) -> ir.Value:
        """A call of LLVM's function `llvm.<name>`; `types` are those that its name ends with, by default the result's."""
        full = ".".join(["llvm", name, *[type_name(t) for t in ([result] if types is None else types)]])
        return self.external(full, result, *operands)

    def external(self, name: str, result: ir.Type, *operands: ir.Value) -> ir.Value:
        """A call of a function defined elsewhere."""
        function = self.b.module.globals.get(name)
        if function is None:
            function = ir.Function(self.b.module, ir.FunctionType(result, [x.type for x in operands]), name)
        return self.b.call(function, operands)

    def require_numbers(self, operation: str, kind: ir.Type) -> None:
        """Raises TypeError for truth values, as NumPy does."""
        if is_bool(kind):
            raise TypeError(f"{operation} expected numbers, got bool: cast the operand to an integer or floating dtype first")

    def require_floating(self, operation: str, kind: ir.Type) -> None:
        """Raises TypeError for what is not floating point."""
        if not is_floating(kind):
            raise TypeError(f"{operation} expected float32 or float64, got {kind}: cast the operand to a floating dtype first")

    # ------------------------------------------------------------ arithmetic

    def add(self, a: Operand, b: Operand, into: Any = None) -> ir.Value:
        """a + b; of truth values, a or b."""
        a, b = self.alike(a, b)
        if is_floating(a.type):
            return self.b.fadd(a, b, flags=self.flags)
        return self.b.or_(a, b) if is_bool(a.type) else self.b.add(a, b)

    def sub(self, a: Operand, b: Operand, into: Any = None) -> ir.Value:
        """a - b"""
        a, b = self.alike(a, b)
        self.require_numbers("sub", a.type)
        return self.b.fsub(a, b, flags=self.flags) if is_floating(a.type) else self.b.sub(a, b)

    def mul(self, a: Operand, b: Operand, into: Any = None) -> ir.Value:
        """a * b; of truth values, a and b."""
        a, b = self.alike(a, b)
        if is_floating(a.type):
            return self.b.fmul(a, b, flags=self.flags)
        return self.b.and_(a, b) if is_bool(a.type) else self.b.mul(a, b)

    def div(self, a: Operand, b: Operand, into: Any = None) -> ir.Value:
        """a / b; of integers, rounded towards zero, and 0 where b is 0."""
        a, b = self.alike(a, b)
        self.require_numbers("div", a.type)
        if is_floating(a.type):
            return self.b.fdiv(a, b, flags=self.flags)
        minus, zero = self.eq(b, -1), self.eq(b, 0)  # processors stop at x / 0, and at the lowest number / -1
        quotient = self.b.sdiv(a, self.select(self.b.or_(minus, zero), 1, b))
        return self.select(minus, self.neg(a), self.select(zero, 0, quotient))

    def fmod(self, a: Operand, b: Operand, into: Any = None) -> ir.Value:
        """What a / b rounded towards zero leaves over; of integers, 0 where b is 0."""
        a, b = self.alike(a, b)
        self.require_numbers("fmod", a.type)
        if is_floating(a.type):
            return self.b.frem(a, b)
        safe = self.select(self.b.or_(self.eq(b, -1), self.eq(b, 0)), 1, b)
        return self.b.srem(a, safe)

    def neg(self, a: ir.Value, into: Any = None) -> ir.Value:
        """-a"""
        self.require_numbers("neg", a.type)
        return self.b.fneg(a) if is_floating(a.type) else self.b.sub(constant(a.type, 0), a)

    def fma(self, a: Operand, b: Operand, c: Operand, into: Any = None) -> ir.Value:
        """a * b + c, of floating-point numbers with one rounding."""
        a, b, c = self.alike(a, b, c)
        if not is_floating(a.type):
            return self.add(self.mul(a, b), c)
        return self.intrinsic("fma", a.type, a, b, c)

    def abs(self, a: ir.Value, into: Any = None) -> ir.Value:
        """a without its sign"""
        if is_floating(a.type):
            return self.intrinsic("fabs", a.type, a)
        return a if is_bool(a.type) else self.select(self.lt(a, 0), self.neg(a), a)

    def sqrt(self, a: ir.Value, into: Any = None) -> ir.Value:
        """The square root of a"""
        self.require_floating("sqrt", a.type)
        return self.intrinsic("sqrt", a.type, a)

    def rsqrt(self, a: ir.Value, into: Any = None) -> ir.Value:
        """1 / sqrt(a)"""
        return self.div(1, self.sqrt(a))

    def rounded(self, name: str, a: ir.Value) -> ir.Value:
        """A whole number near a; integers are whole already."""
        return self.intrinsic(name, a.type, a) if is_floating(a.type) else a

    def floor(self, a: ir.Value, into: Any = None) -> ir.Value:
        """The largest whole number that is at most a"""
        return self.rounded("floor", a)

    def ceil(self, a: ir.Value, into: Any = None) -> ir.Value:
        """The smallest whole number that is at least a"""
        return self.rounded("ceil", a)

    def trunc(self, a: ir.Value, into: Any = None) -> ir.Value:
        """a without its fraction"""
        return self.rounded("trunc", a)

    def round(self, a: ir.Value, into: Any = None) -> ir.Value:
        """The nearest whole number, the even one of two"""
        return self.rounded("rint", a)

    def max(self, a: Operand, b: Operand, into: Any = None) -> ir.Value:
        """The larger of a and b; nan if one of them is."""
        a, b = self.alike(a, b)
        return self.extreme(">", a, b)

    def min(self, a: Operand, b: Operand, into: Any = None) -> ir.Value:
        """The smaller of a and b; nan if one of them is."""
        a, b = self.alike(a, b)
        return self.extreme("<", a, b)

    def extreme(self, sign: str, a: ir.Value, b: ir.Value) -> ir.Value:
        """The one of a and b that compares as `sign` says with the other."""
        if known_number(a) is not None:
            a, b = b, a
        if not is_floating(a.type):
            return self.b.select(self.compare(sign, a, b), a, b)
        if known_number(b) is not None:
            return self.b.select(self.compare(sign, b, a), b, a)  # a nan compares with nothing, and is left
        return self.b.select(self.isnan(a), a, self.b.select(self.compare(sign, a, b), a, b))

    def copysign(self, a: Operand, b: Operand, into: Any = None) -> ir.Value:
        """a with the sign of b"""
        a, b = self.alike(a, b)
        self.require_floating("copysign", a.type)
        return self.intrinsic("copysign", a.type, a, b)

    # ------------------------------------------------------------ comparisons

    def compare(self, sign: str, a: Operand, b: Operand) -> ir.Value:
        """Whether a and b compare as `sign` says: with a nan, only as different."""
        a, b = self.alike(a, b)
        if is_floating(a.type):
            return self.b.fcmp_unordered(sign, a, b) if sign == "!=" else self.b.fcmp_ordered(sign, a, b)
        return self.b.icmp_unsigned(sign, a, b) if is_bool(a.type) else self.b.icmp_signed(sign, a, b)

    def eq(self, a: Operand, b: Operand, into: Any = None) -> ir.Value:
        """Whether a == b"""
        return self.compare("==", a, b)

    def ne(self, a: Operand, b: Operand, into: Any = None) -> ir.Value:
        """Whether a != b"""
        return self.compare("!=", a, b)

    def lt(self, a: Operand, b: Operand, into: Any = None) -> ir.Value:
        """Whether a < b"""
        return self.compare("<", a, b)

    def le(self, a: Operand, b: Operand, into: Any = None) -> ir.Value:
        """Whether a <= b"""
        return self.compare("<=", a, b)

    def gt(self, a: Operand, b: Operand, into: Any = None) -> ir.Value:
        """Whether a > b"""
        return self.compare(">", a, b)

    def ge(self, a: Operand, b: Operand, into: Any = None) -> ir.Value:
        """Whether a >= b"""
        return self.compare(">=", a, b)

    def isnan(self, a: ir.Value, into: Any = None) -> ir.Value:
        """Whether a is nan"""
        return self.b.fcmp_unordered("uno", a, a) if is_floating(a.type) else constant(like_shape(BOOL, a.type), False)

    def isinf(self, a: ir.Value, into: Any = None) -> ir.Value:
        """Whether a is infinite, of either sign"""
        return self.eq(self.abs(a), math.inf) if is_floating(a.type) else constant(like_shape(BOOL, a.type), False)

    # ------------------------------------------------------------ truth and bits

    def truth(self, a: ir.Value) -> ir.Value:
        """Whether a is not zero"""
        return a if is_bool(a.type) else self.ne(a, 0)

    def logical_and(self, a: ir.Value, b: ir.Value, into: Any = None) -> ir.Value:
        """Whether neither is zero"""
        return self.b.and_(*self.alike(self.truth(a), self.truth(b)))

    def logical_or(self, a: ir.Value, b: ir.Value, into: Any = None) -> ir.Value:
        """Whether one of them is not zero"""
        return self.b.or_(*self.alike(self.truth(a), self.truth(b)))

    def logical_not(self, a: ir.Value, into: Any = None) -> ir.Value:
        """Whether a is zero"""
        return self.b.not_(self.truth(a))

    def and_(self, a: Operand, b: Operand, into: Any = None) -> ir.Value:
        """a & b"""
        return self.b.and_(*self.alike(a, b))

    def or_(self, a: Operand, b: Operand, into: Any = None) -> ir.Value:
        """a | b"""
        return self.b.or_(*self.alike(a, b))

    def xor(self, a: Operand, b: Operand, into: Any = None) -> ir.Value:
        """a ^ b"""
        return self.b.xor(*self.alike(a, b))

    def not_(self, a: ir.Value, into: Any = None) -> ir.Value:
        """~a"""
        return self.b.xor(a, constant(a.type, True if is_bool(a.type) else -1))

    def shl(self, a: Operand, b: Operand, into: Any = None) -> ir.Value:
        """a << b: 0 where b is negative or at least the number of bits."""
        a, b = self.alike(a, b)
        self.require_numbers("shl", a.type)
        bits = constant(a.type, element_type(a.type).width)
        return self.select(self.b.icmp_unsigned("<", b, bits), self.b.shl(a, b), 0)

    def shr(self, a: Operand, b: Operand, into: Any = None) -> ir.Value:
        """a >> b: 0 or -1, as the sign says, where b is negative or at least the number of bits."""
        a, b = self.alike(a, b)
        self.require_numbers("shr", a.type)
        most = constant(a.type, element_type(a.type).width - 1)
        return self.b.ashr(a, self.b.select(self.b.icmp_unsigned("<", b, most), b, most))

    def select(self, condition: ir.Value, a: Operand, b: Operand, into: Any = None) -> ir.Value:
        """a where the condition holds (is not zero), else b."""
        if not isinstance(a, ir.Value) and not isinstance(b, ir.Value):
            raise TypeError(f"select expected at least one value, got the numbers {a} and {b}: make one of them a constant of a type")
        condition = self.truth(condition)
        a, b = self.alike(a, b)
        if isinstance(condition.type, ir.VectorType) and not isinstance(a.type, ir.VectorType):
            a, b = self.spread(a, condition.type.count), self.spread(b, condition.type.count)
        return self.b.select(condition, a, b)
