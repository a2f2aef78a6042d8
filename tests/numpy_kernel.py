"""The kernel builder that runs a kernel rule on NumPy arrays: a test of the rules that needs no compiler."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def each(function: Any) -> Any:
    """A function of Python floats as one of arrays."""
    vectorised = np.vectorize(function, otypes=[np.float64])
    return lambda x: vectorised(np.asarray(x)).astype(np.result_type(x)) if np.size(x) else np.asarray(x)


def float_or_nan(function: Any) -> Any:
    """A math function that gives what C gives where Python raises."""

    def call(x: float) -> float:
        try:
            return function(x)
        except OverflowError:
            return math.inf
        except ValueError:
            return math.nan if not math.isfinite(x) or function is not math.lgamma else math.inf

    return call


class NumpyKernel:
    """Each method is one machine operation on one element, here on all at once."""

    add, sub, mul, div, neg = map(staticmethod, (np.add, np.subtract, np.multiply, np.true_divide, np.negative))
    eq, ne, lt, le, gt, ge = map(staticmethod, (np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal))
    abs, sqrt, floor, ceil, trunc, round = map(staticmethod, (np.abs, np.sqrt, np.floor, np.ceil, np.trunc, np.rint))
    exp, exp2, expm1, log, log2, log10, log1p = map(staticmethod, (np.exp, np.exp2, np.expm1, np.log, np.log2, np.log10, np.log1p))
    sin, cos, tan, asin, acos, atan, atan2 = map(staticmethod, (np.sin, np.cos, np.tan, np.arcsin, np.arccos, np.arctan, np.arctan2))
    sinh, cosh, tanh, asinh, acosh, atanh = map(staticmethod, (np.sinh, np.cosh, np.tanh, np.arcsinh, np.arccosh, np.arctanh))
    pow, fmod, min, max, copysign = map(staticmethod, (np.power, np.fmod, np.minimum, np.maximum, np.copysign))
    isnan, isinf = map(staticmethod, (np.isnan, np.isinf))
    logical_and, logical_or, logical_not = map(staticmethod, (np.logical_and, np.logical_or, np.logical_not))
    and_, or_, xor, not_, shl, shr = map(
        staticmethod,
        (np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.bitwise_not, np.left_shift, np.right_shift),
    )
    select = staticmethod(np.where)
    erf, erfc, lgamma = (staticmethod(each(float_or_nan(f))) for f in (math.erf, math.erfc, math.lgamma))

    @staticmethod
    def rsqrt(x: Any) -> Any:
        return 1 / np.sqrt(x)

    @staticmethod
    def const(value: Any, like: Any) -> Any:
        return np.asarray(value, np.asarray(like).dtype)
