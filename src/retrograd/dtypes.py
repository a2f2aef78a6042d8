"""Element types, their NumPy counterparts, and PyTorch's rules for which type a mixture of them gives.

PyTorch ranks operands in three tiers: tensors with dimensions, tensors without, and Python numbers. A lower tier changes
the result's type only if it is of a higher category (bool < integer < floating < complex). Knows nothing of tensors.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

try:
    import ml_dtypes

    _bfloat16: np.dtype[Any] | None = np.dtype(ml_dtypes.bfloat16)
except ImportError:  # an extra: everything but bfloat16 works without it
    _bfloat16 = None


class dtype:
    """The type of a tensor's elements.

    >>> float32.itemsize, float32.is_floating_point, int64
    (4, True, torch.int64)
    """

    __slots__ = ("_numpy", "category", "itemsize", "name")

    def __init__(self, name: str, numpy: np.dtype[Any] | None, category: int, itemsize: int) -> None:  # type: ignore[valid-type]
        self.name, self._numpy, self.category, self.itemsize = name, numpy, category, itemsize

    @property
    def numpy(self) -> np.dtype[Any]:
        """The NumPy dtype. bfloat16 needs the package ml_dtypes: raises RuntimeError without it."""
        if self._numpy is None:
            raise RuntimeError("bfloat16 needs the package ml_dtypes: pip install 'retrograd[bfloat16]'")
        return self._numpy

    @property
    def is_floating_point(self) -> bool:  # type: ignore[valid-type]
        """Whether elements are real floating-point numbers."""
        return self.category == FLOATING

    @property
    def is_complex(self) -> bool:  # type: ignore[valid-type]
        """Whether elements are complex numbers."""
        return self.category == COMPLEX

    @property
    def is_signed(self) -> bool:  # type: ignore[valid-type]
        """Whether elements can be negative."""
        return self.category >= FLOATING or (self.category == INTEGER and self.name[0] != "u")

    def to_real(self) -> dtype:
        """The dtype of the real part."""
        return {"complex64": float32, "complex128": float64}.get(self.name, self)

    def to_complex(self) -> dtype:
        """The complex dtype with parts of this dtype."""
        return {"float64": complex128, "complex128": complex128}.get(self.name, complex64)

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> str:
        return self.name


BOOL, INTEGER, FLOATING, COMPLEX = range(4)

bool = dtype("bool", np.dtype(np.bool_), BOOL, 1)
uint8 = dtype("uint8", np.dtype(np.uint8), INTEGER, 1)
int8 = dtype("int8", np.dtype(np.int8), INTEGER, 1)
int16 = dtype("int16", np.dtype(np.int16), INTEGER, 2)
int32 = dtype("int32", np.dtype(np.int32), INTEGER, 4)
int64 = dtype("int64", np.dtype(np.int64), INTEGER, 8)
uint16 = dtype("uint16", np.dtype(np.uint16), INTEGER, 2)
uint32 = dtype("uint32", np.dtype(np.uint32), INTEGER, 4)
uint64 = dtype("uint64", np.dtype(np.uint64), INTEGER, 8)
float16 = dtype("float16", np.dtype(np.float16), FLOATING, 2)
bfloat16 = dtype("bfloat16", _bfloat16, FLOATING, 2)
float32 = dtype("float32", np.dtype(np.float32), FLOATING, 4)
float64 = dtype("float64", np.dtype(np.float64), FLOATING, 8)
complex64 = dtype("complex64", np.dtype(np.complex64), COMPLEX, 8)
complex128 = dtype("complex128", np.dtype(np.complex128), COMPLEX, 16)
half, float, double, cfloat, cdouble = float16, float32, float64, complex64, complex128
short, int, long = int16, int32, int64

ALL = (bool, uint8, int8, int16, int32, int64, uint16, uint32, uint64,
       float16, bfloat16, float32, float64, complex64, complex128)  # fmt: skip
_BY_NUMPY = {d._numpy: d for d in ALL if d._numpy is not None}


def from_numpy(numpy: np.dtype[Any]) -> dtype:
    """The dtype of a NumPy dtype. Raises TypeError where PyTorch has no counterpart.

    >>> from_numpy(np.dtype("int16"))
    torch.int16
    """
    try:
        return _BY_NUMPY[numpy]
    except KeyError:
        try:  # another spelling (byte order, platform integer) of one of ours
            return _BY_NUMPY[np.dtype(numpy.type)]
        except KeyError:
            names = ", ".join(d.name for d in ALL)
            raise TypeError(f"can't convert np.ndarray of type {numpy}. The only supported types are: {names}.") from None


def promote_types(type1: dtype, type2: dtype) -> dtype:
    """The smallest dtype that both convert to, by PyTorch's table.

    >>> promote_types(int64, float16), promote_types(uint8, int8)
    (torch.float16, torch.int16)
    """
    if type1 is type2:
        return type1
    low, high = sorted((type1, type2), key=lambda d: (d.category, d.itemsize))
    if high.category == COMPLEX:
        return complex128 if complex128 in (low, high) or low is float64 else complex64
    if low.category < high.category:  # type: ignore[operator]
        return high
    if high.category == FLOATING:
        return float32 if high.itemsize == 2 else high  # float16 with bfloat16
    if low.is_signed == high.is_signed:  # type: ignore[operator]
        return high
    signed, unsigned = (low, high) if low.is_signed else (high, low)
    if unsigned is not uint8:
        raise RuntimeError(f"Promotion for uint16, uint32, uint64 types is not supported, attempted to promote {type1} and {type2}")
    return int16 if signed.itemsize == 1 else signed


def of_number(value: Any, default: dtype) -> dtype:
    """The dtype of a Python number; a float is of the `default` dtype."""
    if isinstance(value, (np.bool_, type(True))):
        return bool
    if isinstance(value, (np.integer, type(1))):
        return int64
    if isinstance(value, (np.floating, type(1.0))):
        return default
    return default.to_complex()


def result_type(tensors: Iterable[tuple[dtype, Any]], numbers: Sequence[Any], default: dtype) -> dtype:
    """The dtype of an operation's result: `tensors` are (dtype, has dimensions) pairs, `numbers` Python numbers.

    >>> result_type([(int32, True), (float64, False)], [], float32)
    torch.float64
    >>> result_type([(float32, True), (float64, False)], [2], float32)
    torch.float32
    """
    dimensioned: dtype | None = None
    zero_dim: dtype | None = None
    number: dtype | None = None
    for d, has_dims in tensors:
        if has_dims:
            dimensioned = d if dimensioned is None else promote_types(dimensioned, d)
        else:
            zero_dim = d if zero_dim is None else promote_types(zero_dim, d)
    for value in numbers:
        d = of_number(value, default)
        number = d if number is None else promote_types(number, d)
    result = dimensioned
    for lower in (zero_dim, number):
        if lower is None:
            continue
        if result is None:
            result = lower
        elif lower.category > result.category:  # type: ignore[operator]
            # a complex number beside a float64 tensor is complex128: the category comes from one, the width from the other
            result = (
                result.to_complex()
                if lower.category == COMPLEX and result.category == FLOATING and lower is number
                else promote_types(result, lower)
            )
    assert result is not None
    return result


def can_cast(from_: dtype, to: dtype) -> Any:
    """Whether an in-place result of dtype `from_` may be stored in a tensor of dtype `to`: categories may not fall.

    >>> can_cast(float64, int64), can_cast(float64, float16), can_cast(int64, bool)
    (False, True, False)
    """
    return not (from_.category > to.category)  # type: ignore[operator]


class finfo:
    """Limits of a floating dtype: `bits`, `eps`, `max`, `min`, `tiny`, `smallest_normal`, `resolution`, `dtype`.

    >>> finfo(float32).eps
    1.1920928955078125e-07
    """

    def __init__(self, type: dtype | None = None) -> None:
        type = float32 if type is None else type
        if type.category < FLOATING:
            raise TypeError(f"torch.finfo() requires a floating point input type. Use torch.iinfo to handle '{type}'")
        scalar = type.to_real()
        info = np.finfo(scalar.numpy) if scalar is not bfloat16 else ml_dtypes.finfo(scalar.numpy)  # type: ignore[no-untyped-call]
        as_float = np.float64
        self.bits = scalar.itemsize * 8
        self.eps, self.max, self.min = (as_float(v).item() for v in (info.eps, info.max, info.min))
        self.tiny = self.smallest_normal = as_float(info.tiny).item()
        self.resolution = as_float(info.resolution).item()
        self.dtype = scalar.name

    def __repr__(self) -> str:
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, eps={self.eps:g}, "
            f"smallest_normal={self.smallest_normal:g}, tiny={self.tiny:g}, dtype={self.dtype})"
        )


class iinfo:
    """Limits of an integer dtype: `bits`, `max`, `min`, `dtype`.

    >>> iinfo(int8).min
    -128
    """

    def __init__(self, type: dtype) -> None:
        if type.category == BOOL:
            raise TypeError("torch.bool is not supported by torch.iinfo")
        if type.category > INTEGER:
            raise TypeError(f"torch.iinfo() requires an integer input type. Use torch.finfo to handle '{type}'")
        info = np.iinfo(type.numpy)
        self.bits, self.max, self.min, self.dtype = info.bits, info.max, info.min, type.name

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"


_SCALAR_NAMES = {
    "float16": "Half", "bfloat16": "BFloat16", "float32": "Float", "float64": "Double", "int8": "Char", "uint8": "Byte",
    "int16": "Short", "int32": "Int", "int64": "Long", "bool": "Bool", "complex64": "ComplexFloat", "complex128": "ComplexDouble",
    "uint16": "UInt16", "uint32": "UInt32", "uint64": "UInt64",
}  # fmt: skip


def scalar_name(d: dtype) -> str:
    """The name PyTorch's messages use for a dtype.

    >>> scalar_name(int64)
    'Long'
    """
    return _SCALAR_NAMES[d.name]
