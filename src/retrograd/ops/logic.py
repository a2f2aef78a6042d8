"""Truth, bits and equality: logical and bitwise operations, shifts, tests of single numbers and of whole tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.core.families import elementwise, opaque
from retrograd.core.levels import complete_observer, refuse_record
from retrograd.core.tensor import Box, Tensor
from retrograd.ops.basis import eq, ge, gt, le, lt, mul, ne
from retrograd.ops.pointwise import abs, common_dtype, pow

# ---------------------------------------------------------------- logic


@elementwise(result="bool", commutative=True, tensors=("input", "other"))
def logical_and(input, other):
    """Where both are true; numbers other than 0 are.

    >>> from retrograd import logical_and, tensor
    >>> logical_and(tensor([1, 1, 0]), tensor([2, 0, 0]))
    tensor([ True, False, False])
    """
    return np.logical_and(input, other)


@logical_and.kernel
def _(k, input, other):
    zero = k.const(0, input)
    return k.logical_and(k.ne(input, zero), k.ne(other, zero))


@elementwise(result="bool", commutative=True, tensors=("input", "other"))
def logical_or(input, other):
    """Where one or both are true; numbers other than 0 are.

    >>> from retrograd import logical_or, tensor
    >>> logical_or(tensor([1, 1, 0]), tensor([2, 0, 0]))
    tensor([ True,  True, False])
    """
    return np.logical_or(input, other)


@logical_or.kernel
def _(k, input, other):
    zero = k.const(0, input)
    return k.logical_or(k.ne(input, zero), k.ne(other, zero))


@elementwise(result="bool", commutative=True, tensors=("input", "other"))
def logical_xor(input, other):
    """Where exactly one is true; numbers other than 0 are.

    >>> from retrograd import logical_xor, tensor
    >>> logical_xor(tensor([1, 1, 0]), tensor([2, 0, 0]))
    tensor([False,  True, False])
    """
    return np.logical_xor(input, other)


@logical_xor.kernel
def _(k, input, other):
    zero = k.const(0, input)
    return k.ne(k.ne(input, zero), k.ne(other, zero))


@elementwise(result="bool")
def logical_not(input):
    """Where false: 0 is.

    >>> from retrograd import logical_not, tensor
    >>> logical_not(tensor([2, 0]))
    tensor([False,  True])
    """
    return np.logical_not(input)


@logical_not.kernel
def _(k, input):
    return k.eq(input, k.const(0, input))


# ---------------------------------------------------------------- bits


@elementwise(commutative=True, differentiable=False, refuses=("floating", "complex"))
def bitwise_and(input, other):
    """The bits that are set in both integers (or bools).

    >>> from retrograd import bitwise_and, tensor
    >>> bitwise_and(tensor([6, 5]), 3)
    tensor([2, 1])
    """
    return np.bitwise_and(input, other)


@bitwise_and.kernel
def _(k, input, other):
    return k.and_(input, other)


@elementwise(commutative=True, differentiable=False, refuses=("floating", "complex"))
def bitwise_or(input, other):
    """The bits that are set in one or both integers (or bools).

    >>> from retrograd import bitwise_or, tensor
    >>> bitwise_or(tensor([6, 5]), 3)
    tensor([7, 7])
    """
    return np.bitwise_or(input, other)


@bitwise_or.kernel
def _(k, input, other):
    return k.or_(input, other)


@elementwise(commutative=True, differentiable=False, refuses=("floating", "complex"))
def bitwise_xor(input, other):
    """The bits that are set in exactly one of two integers (or bools).

    >>> from retrograd import bitwise_xor, tensor
    >>> bitwise_xor(tensor([6, 5]), 3)
    tensor([5, 6])
    """
    return np.bitwise_xor(input, other)


@bitwise_xor.kernel
def _(k, input, other):
    return k.xor(input, other)


@elementwise(differentiable=False, refuses=("floating", "complex"))
def bitwise_not(input):
    """The other bits of each integer (or bool).

    >>> from retrograd import bitwise_not, tensor
    >>> bitwise_not(tensor([0, 5])), bitwise_not(tensor([True]))
    (tensor([-1, -6]), tensor([False]))
    """
    return np.bitwise_not(input)


@bitwise_not.kernel
def _(k, input):
    return k.not_(input)


@elementwise(differentiable=False, refuses=("bool", "floating", "complex"))
def bitwise_left_shift(input, other):
    """The bits of `input` moved up by `other` places; 0 where that is negative or all places.

    >>> from retrograd import bitwise_left_shift, tensor
    >>> bitwise_left_shift(tensor([1, 3]), 2)
    tensor([ 4, 12])
    """
    return np.left_shift(input, other)


@bitwise_left_shift.kernel
def _(k, input, other):
    return k.shl(input, other)


@elementwise(differentiable=False, refuses=("bool", "floating", "complex"))
def bitwise_right_shift(input, other):
    """The bits of `input` moved down by `other` places; the sign fills those above.

    >>> from retrograd import bitwise_right_shift, tensor
    >>> bitwise_right_shift(tensor([8, -8]), 2)
    tensor([ 2, -2])
    """
    return np.right_shift(input, other)


@bitwise_right_shift.kernel
def _(k, input, other):
    return k.shr(input, other)


def left_shift(input: Any, other: Any) -> Tensor:
    """`input << other`: `bitwise_left_shift`, for floating-point numbers a product with a power of two."""
    if common_dtype("__lshift__", input, other).category >= dtypes.FLOATING:
        return mul(input, pow(2.0, other) if isinstance(other, Tensor) else 2.0**other)
    return bitwise_left_shift(input, other)


def right_shift(input: Any, other: Any) -> Tensor:
    """`input >> other`: `bitwise_right_shift`, for floating-point numbers a quotient by a power of two."""
    if common_dtype("__rshift__", input, other).category >= dtypes.FLOATING:
        return mul(input, pow(0.5, other) if isinstance(other, Tensor) else 0.5**other)
    return bitwise_right_shift(input, other)


def reflected_left_shift(self: Tensor, other: Any) -> Tensor:
    """`other << self`."""
    return left_shift(other, self)


def reflected_right_shift(self: Tensor, other: Any) -> Tensor:
    """`other >> self`."""
    return right_shift(other, self)


# ---------------------------------------------------------------- tests of single numbers


@elementwise(result="bool")
def isnan(input):
    """Where an element is not a number.

    >>> from retrograd import isnan, tensor
    >>> isnan(tensor([1., float("nan")]))
    tensor([False,  True])
    """
    return np.isnan(input)


@isnan.kernel
def _(k, input):
    return k.isnan(input)


@elementwise(result="bool")
def isinf(input):
    """Where an element is infinite.

    >>> from retrograd import isinf, tensor
    >>> isinf(tensor([1., float("inf"), float("nan")]))
    tensor([False,  True, False])
    """
    return np.isinf(input)


@isinf.kernel
def _(k, input):
    return k.isinf(input)


@elementwise(result="bool")
def isfinite(input):
    """Where an element is neither infinite nor nan.

    >>> from retrograd import isfinite, tensor
    >>> isfinite(tensor([1., float("inf"), float("nan")]))
    tensor([ True, False, False])
    """
    return np.isfinite(input)


@isfinite.kernel
def _(k, input):
    return k.logical_not(k.logical_or(k.isnan(input), k.isinf(input)))


def isposinf(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Where an element is positive infinity. Raises RuntimeError for complex numbers.

    >>> from retrograd import isposinf, tensor
    >>> isposinf(tensor([float("inf"), -float("inf")]))
    tensor([ True, False])
    """
    return equals_infinity("isposinf", input, float("inf"), out)


def isneginf(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Where an element is negative infinity. Raises RuntimeError for complex numbers.

    >>> from retrograd import isneginf, tensor
    >>> isneginf(tensor([float("inf"), -float("inf")]))
    tensor([False,  True])
    """
    return equals_infinity("isneginf", input, float("-inf"), out)


def equals_infinity(name: str, input: Tensor, infinity: float, out: Tensor | None) -> Tensor:
    """Where an element is this infinity."""
    if input.dtype.is_complex:
        raise RuntimeError(f"{name} does not support complex inputs.")
    return eq(input, infinity, out=out)


@elementwise(result="bool")
def isreal(input):
    """Where an element has no imaginary part.

    >>> from retrograd import isreal, tensor
    >>> isreal(tensor([1 + 0j, 1j]))
    tensor([ True, False])
    """
    return np.isreal(input)


def isclose(input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Tensor:
    """Where `abs(input - other) <= atol + rtol * abs(other)`; infinities are close to themselves.

    Raises:
        RuntimeError: if the dtypes differ, or a tolerance is negative.

    >>> from retrograd import isclose, tensor
    >>> isclose(tensor([1., 1.]), tensor([1., 1.1]))
    tensor([ True, False])
    """
    check_tensors("isclose", input, other)
    if input.dtype is not other.dtype:
        raise RuntimeError(f"{dtypes.scalar_name(input.dtype)} did not match {dtypes.scalar_name(other.dtype)}")
    if rtol < 0:
        raise RuntimeError(f"rtol must be greater than or equal to zero, but got {rtol:f}")
    if atol < 0:
        raise RuntimeError(f"atol must be greater than or equal to zero, but got {atol:f}")
    close = eq(input, other)
    if equal_nan and input.dtype.category >= dtypes.FLOATING:
        close = logical_or(close, logical_and(isnan(input), isnan(other)))
    if rtol == 0 and atol == 0:
        return close
    if input.dtype.category < dtypes.FLOATING:
        input, other = mul(input, 1.0), mul(other, 1.0)
    allowed = abs(other * rtol) + atol
    distance = abs(input - other)
    return logical_or(close, logical_and(isfinite(distance), le(distance, allowed)))


# ---------------------------------------------------------------- questions about whole tensors


def allclose(input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
    """Whether all elements are close, as `isclose` has it.

    >>> from retrograd import allclose, tensor
    >>> allclose(tensor([1., 1.]), tensor([1., 1.1]))
    False
    """
    refuse_record()
    return bool(np.all(isclose(input, other, rtol, atol, equal_nan)._data))


def equal(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same shape and the same elements.

    >>> from retrograd import equal, tensor
    >>> equal(tensor([1., 2.]), tensor([1., 2.]))
    True
    """
    check_tensors("equal", input, other)
    refuse_record()
    return input.shape == other.shape and bool(np.all(eq(input, other)._data))


def check_tensors(name: str, input: Any, other: Any) -> None:
    """Raises TypeError unless both are tensors."""
    for i, x in enumerate((input, other)):
        if not isinstance(x, Tensor):
            raise TypeError(f"{name}(): argument '{('input', 'other')[i]}' (position {i + 1}) must be Tensor, not {type(x).__name__}")


@opaque(name="outside", differentiable=False, raises_for_numbers=True)
def outside_op(input, *, low, high, raises, text):
    """Whether an element is not in [low, high]: never, since then it raises."""
    if input.size and not (input.min() >= low and input.max() <= high):
        raise (ValueError if raises == "ValueError" else RuntimeError)(text)
    return np.zeros((), bool)


@outside_op.lowering
def _(k, input, *, low, high, raises, text):
    if not input.shape:
        k.refuse("a number")
    inside = k.logical_and(k.ge(input, k.const(low, input)), k.le(input, k.const(high, input)))
    return k.check_none(k.logical_not(inside), lambda: (ValueError if raises == "ValueError" else RuntimeError)(text))


def check_within(x: Tensor, low: float, high: float, text: str, *, raises: str = "RuntimeError") -> None:
    """Raises `RuntimeError(text)` (or ValueError) if an element is not in [low, high]; of values of a transform, nothing is known.

    It is an operation for those who record what is to be done again.
    """
    if isinstance(x, Box):
        return
    if complete_observer() is not None:
        outside_op(x, low=low, high=high, raises=raises, text=text)
    else:
        outside_op.op.forward(x._data, low=low, high=high, raises=raises, text=text)


def equals(self: Tensor, other: Any) -> Any:
    """`self == other`; what is neither a tensor nor a number leaves the answer to Python, so `tensor == None` is False."""
    return eq(self, other) if isinstance(other, COMPARABLE) else NotImplemented


def differs(self: Tensor, other: Any) -> Any:
    """`self != other`; what is neither a tensor nor a number leaves the answer to Python."""
    return ne(self, other) if isinstance(other, COMPARABLE) else NotImplemented


COMPARABLE = (Tensor, int, float, complex, np.number, np.bool_)

not_equal, less, less_equal, greater, greater_equal = ne, lt, le, gt, ge
