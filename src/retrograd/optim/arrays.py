"""The builder that runs an optimizer's rule on whole arrays.

A rule (`Optimizer.rule`) is written for one element with a builder's methods. Compilers give it a builder that emits code; this
one computes at once, array by array. Intermediate results live in scratch memory that is kept between steps, since page faults
cost more than arithmetic; scratch is free again as soon as nobody refers to it.
"""

from __future__ import annotations

from collections.abc import Callable
from sys import getrefcount
from typing import Any

import numpy as np
from numpy import ndarray


def binary(ufunc: np.ufunc) -> Callable[..., Any]:
    """A builder's method for a function of two operands, of which one is an array; `into`: where the result is to be written."""

    def method(self: ArrayBuilder, a: Any, b: Any, into: Any = None) -> Any:
        return ufunc(a, b, out=self.free(a if a.__class__ is ndarray else b) if into is None else into)

    return method


class ArrayBuilder:
    """Elementary functions of arrays and numbers; `into` names the array that the result is to be written over."""

    def __init__(self) -> None:
        self.scratch: dict[Any, list[Any]] = {}

    def free(self, like: Any) -> Any:
        """An array of the shape and dtype of `like` that nobody refers to."""
        key = (like.shape, like.dtype)
        owned = self.scratch.get(key)
        if owned is None:
            owned = self.scratch[key] = []
        for array in owned:
            if getrefcount(array) == 3:  # the list's reference, the loop's and the call's
                return array
        owned.append(np.empty_like(like))
        return owned[-1]

    add, sub, mul, div, max = map(binary, (np.add, np.subtract, np.multiply, np.divide, np.maximum))

    def neg(self, a: Any) -> Any:
        """-a"""
        return np.negative(a, out=self.free(a))

    def sqrt(self, a: Any) -> Any:
        """The square root of a"""
        return np.sqrt(a, out=self.free(a))
