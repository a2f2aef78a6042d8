"""The kernel builder of LLVM: what a kernel rule is given as `k` to make machine code.

Its methods on elements are those of every kernel builder; on top come memory, casts and what goes across lanes. It knows nothing of loops,
shapes and strides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir

from retrograd.compile.native import error_functions, exponential, logarithmic, trigonometric
from retrograd.compile.native.arithmetic import (
    BOOL,
    I32,
    Arithmetic,
    Operand,
    constant,
    element_type,
    is_bool,
    is_floating,
    like_shape,
    type_name,
)

I8 = ir.IntType(8)


def function_of(emit: Callable[..., ir.Value]) -> Callable[..., ir.Value]:
    """The builder's method for a function of floating-point numbers, whose operations are rounded as they stand."""

    def method(self: VectorBuilder, *operands: Any, into: Any = None) -> ir.Value:
        return emit(self.exact, *self.alike(*operands))

    method.__name__ = emit.__name__
    method.__doc__ = emit.__doc__
    return method


class VectorBuilder(Arithmetic):
    """Emits operations on vectors of `lanes` elements, or on single ones where `lanes` is 1.

    Values are those of llvmlite. Elements are float, double, i1 (a byte in memory) or signed integers. Where a scalar meets a vector it
    is in every lane, and where a Python number meets a value it takes its type. `mask` is how many lanes count, known when the
    code is made; None for all. `into` tells builders that compute at once where to write, and nothing here.
    """

    def __init__(self, b: ir.IRBuilder, lanes: int) -> None:
        if lanes < 1 or lanes & (lanes - 1):
            raise ValueError(f"a vector has a power of two of lanes, got {lanes}")
        super().__init__(b, contract=True)
        self.exact = Arithmetic(b)
        self.lanes = lanes

    exp = function_of(exponential.exp)
    exp2 = function_of(exponential.exp2)
    expm1 = function_of(exponential.expm1)
    sinh = function_of(exponential.sinh)
    cosh = function_of(exponential.cosh)
    tanh = function_of(exponential.tanh)
    log = function_of(logarithmic.log)
    log2 = function_of(logarithmic.log2)
    log10 = function_of(logarithmic.log10)
    log1p = function_of(logarithmic.log1p)
    asinh = function_of(logarithmic.asinh)
    acosh = function_of(logarithmic.acosh)
    atanh = function_of(logarithmic.atanh)
    pow = function_of(logarithmic.pow)
    sin = function_of(trigonometric.sin)
    cos = function_of(trigonometric.cos)
    tan = function_of(trigonometric.tan)
    asin = function_of(trigonometric.asin)
    acos = function_of(trigonometric.acos)
    atan = function_of(trigonometric.atan)
    atan2 = function_of(trigonometric.atan2)
    erf = function_of(error_functions.erf)
    erfc = function_of(error_functions.erfc)
    lgamma = function_of(error_functions.lgamma)

    # ------------------------------------------------------------ lanes

    def vector(self, element: ir.Type) -> ir.Type:
        """The type of `lanes` elements."""
        return element if self.lanes == 1 else ir.VectorType(element, self.lanes)

    def splat(self, scalar: ir.Value) -> ir.Value:
        """A scalar in every lane."""
        return scalar if self.lanes == 1 else self.spread(scalar, self.lanes)

    def iota(self, element: ir.Type) -> ir.Constant:
        """0, 1, 2, ..., one in each lane."""
        if self.lanes == 1:
            return constant(element, 0)
        return ir.Constant(self.vector(element), [constant(element, lane) for lane in range(self.lanes)])

    def counts(self, mask: int) -> ir.Constant:
        """Which lanes count."""
        if not 0 < mask <= self.lanes:
            raise ValueError(f"the number of lanes that count is between 1 and {self.lanes}, got {mask}")
        return ir.Constant(self.vector(BOOL), [ir.Constant(BOOL, lane < mask) for lane in range(self.lanes)])

    def across(self, combine: Callable[[Any, Any], ir.Value], value: ir.Value) -> ir.Value:
        """All lanes combined, the two halves first."""
        if not isinstance(value.type, ir.VectorType):
            return value
        n = value.type.count
        while n > 1:
            n //= 2
            low, high = (ir.Constant(ir.VectorType(I32, n), [ir.Constant(I32, start + i) for i in range(n)]) for start in (0, n))
            undefined = ir.Constant(value.type, ir.Undefined)
            value = combine(self.b.shuffle_vector(value, undefined, low), self.b.shuffle_vector(value, undefined, high))
        return self.b.extract_element(value, ir.Constant(I32, 0))

    def sum(self, value: ir.Value) -> ir.Value:
        """The sum of all lanes, a scalar"""
        return self.across(self.add, value)

    def prod(self, value: ir.Value) -> ir.Value:
        """The product of all lanes, a scalar"""
        return self.across(self.mul, value)

    def max(self, a: Operand, b: Operand | None = None, into: Any = None) -> ir.Value:
        """The larger of a and b, or of all lanes of a; nan if one of them is."""
        return self.across(super().max, a) if b is None else super().max(a, b)

    def min(self, a: Operand, b: Operand | None = None, into: Any = None) -> ir.Value:
        """The smaller of a and b, or of all lanes of a; nan if one of them is."""
        return self.across(super().min, a) if b is None else super().min(a, b)

    # ------------------------------------------------------------ memory

    def load(self, address: ir.Value, element: ir.Type, mask: int | None = None) -> ir.Value:
        """The elements from `address` on. Lanes that do not count are zero, and their memory is not touched."""
        if element == BOOL:
            return self.ne(self.load(address, I8, mask), 0)
        kind = self.vector(element)
        if mask is None or mask == self.lanes:
            return self.b.load(address, typ=kind, align=size_of(element))
        align, zero = ir.Constant(I32, size_of(element)), ir.Constant(kind, None)
        return self.intrinsic("masked.load", kind, address, align, self.counts(mask), zero, types=[kind, address.type])

    def store(self, value: ir.Value, address: ir.Value, mask: int | None = None) -> None:
        """Writes the elements from `address` on. The memory of lanes that do not count is not touched."""
        if is_bool(value.type):
            value = self.b.zext(value, like_shape(I8, value.type))
        align = size_of(element_type(value.type))
        if mask is None or mask == self.lanes:
            self.b.store(value, address, align=align)
        else:
            operands = (value, address, ir.Constant(I32, align), self.counts(mask))
            self.intrinsic("masked.store", ir.VoidType(), *operands, types=[value.type, address.type])

    def prefetch(self, address: ir.Value, to_write: bool) -> None:
        """Lets the memory at an address come near while others things are computed."""
        told = [ir.Constant(I32, n) for n in (int(to_write), 3, 1)]  # to write or not, to stay near, data
        self.intrinsic("prefetch", ir.VoidType(), address, *told, types=[address.type])

    def gather(self, address: ir.Value, indices: ir.Value, element: ir.Type) -> ir.Value:
        """The elements that an integer for each lane tells, counted from `address`."""
        stored = I8 if element == BOOL else element

        def one(index: ir.Value) -> ir.Value:
            return self.b.load(self.b.gep(address, [index], source_etype=stored), typ=stored, align=size_of(stored))

        if not isinstance(indices.type, ir.VectorType):
            result = one(indices)
        else:
            result = ir.Constant(like_shape(stored, indices.type), ir.Undefined)
            for lane in range(indices.type.count):
                at = ir.Constant(I32, lane)
                result = self.b.insert_element(result, one(self.b.extract_element(indices, at)), at)
        return self.ne(result, 0) if element == BOOL else result

    # ------------------------------------------------------------ casts

    def cast(self, value: ir.Value, source: Any, target: Any) -> ir.Value:
        """A value of one NumPy dtype as one of another, as `astype` does; what does not fit an integer gives any integer."""
        old, new = np.dtype(source), np.dtype(target)
        kind = like_shape(register_type(new), value.type)
        if old == new:
            return value
        if new.kind == "b":
            return self.truth(value)
        if new.kind == "f":
            if old.kind == "f":
                return self.b.fpext(value, kind) if new.itemsize > old.itemsize else self.b.fptrunc(value, kind)
            return self.b.uitofp(value, kind) if old.kind == "b" else self.b.sitofp(value, kind)
        if old.kind == "f":
            if new.itemsize >= 4:
                return self.b.fptosi(value, kind)
            return self.b.trunc(self.b.fptosi(value, like_shape(I32, value.type)), kind)
        if old.kind == "b":
            return self.b.zext(value, kind)
        return (
            value
            if old.itemsize == new.itemsize
            else self.b.sext(value, kind)
            if old.itemsize < new.itemsize
            else self.b.trunc(value, kind)
        )


def register_type(dtype: np.dtype[Any]) -> ir.Type:
    """The type of one element in a register.

    Raises:
        TypeError: for dtypes that kernels do not compute with.

    >>> print(register_type(np.dtype("float32")), register_type(np.dtype("bool")))
    float i1
    """
    if dtype.kind == "b":
        return BOOL
    if dtype.kind == "i":
        return ir.IntType(8 * dtype.itemsize)
    if dtype.kind == "f" and dtype.itemsize in (4, 8):
        return ir.FloatType() if dtype.itemsize == 4 else ir.DoubleType()
    raise TypeError(f"kernels compute with bool, signed integers, float32 and float64, not with {dtype}")


def size_of(element: ir.Type) -> int:
    """Bytes of an element in memory."""
    if is_floating(element):
        return 4 if type_name(element) == "f32" else 8
    return 8 if isinstance(element, ir.PointerType) else element.width // 8
