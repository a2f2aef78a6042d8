"""What a program may give back as it is at every call: numbers, text, and whatever lives outside the function anyway.

Anything else that is no tensor (an iterator, an object with a state of its own, an array of NumPy) a function makes anew at each call, and so a
program cannot. Lists, tuples and dicts are put together at each call; one that was given to the function is another matter.
"""

from __future__ import annotations

import datetime
import enum
import numbers
import pathlib
import sys
import types
from typing import Any

import numpy as np

from retrograd.compile.arguments import lists_in
from retrograd.compile.reach import PLAIN, Reach
from retrograd.core.tensor import Tensor
from retrograd.device import device
from retrograd.dtypes import dtype

UNCHANGING = (
    *PLAIN, Tensor, dtype, device, np.generic, np.dtype, np.ufunc, enum.Enum, numbers.Number, range, slice, frozenset, type, types.ModuleType,
    types.EllipsisType, datetime.date, datetime.time, datetime.timedelta, pathlib.PurePath,
)  # fmt: skip


def passing(result: Any, reach: Reach, arguments: list[Any]) -> str | None:
    """What of a result no program can give, in words; None if there is nothing.

    Args:
        reach: what the function reaches.
        arguments: the lists and dicts among its arguments.
    """
    given = {id(x) for x in arguments} | set(reach.seen)
    if any(id(x) in given for x in lists_in(result)):
        return "a list or a dict that it was given or that lives outside it"
    return in_tree(result, reach)


def in_tree(value: Any, reach: Reach) -> str | None:
    """The same of one part."""
    if isinstance(value, UNCHANGING) or id(value) in reach.seen or exists_outside(value, reach):
        return None
    if isinstance(value, (list, tuple, dict)):
        found = (in_tree(item, reach) for item in (value.values() if isinstance(value, dict) else value))
        return next((what for what in found if what is not None), None)
    return f"a {type(value).__name__} that it makes"


def exists_outside(value: Any, reach: Reach) -> bool:
    """Whether a function is one of a module, or a method of something that lives outside."""
    if isinstance(value, (types.MethodType, types.BuiltinFunctionType)):
        return in_tree(value.__self__, reach) is None
    place: Any = sys.modules.get(getattr(value, "__module__", None) or "") if isinstance(value, types.FunctionType) else None
    for name in value.__qualname__.split(".") if place is not None else ():
        place = getattr(place, name, None)
    return place is value
