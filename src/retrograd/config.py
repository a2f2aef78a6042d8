"""The few process-wide settings: the default dtype and the number of threads. Knows nothing of tensors."""

from __future__ import annotations

import os

from retrograd import dtypes
from retrograd.dtypes import dtype


class Settings:
    """Process-wide settings, changed by the `set_...` functions below and read everywhere."""

    __slots__ = ("default_dtype", "threads")

    def __init__(self) -> None:
        self.default_dtype = dtypes.float32
        self.threads = os.cpu_count() or 1


settings = Settings()


def get_default_dtype() -> dtype:
    """The dtype of a tensor made from Python floats.

    >>> get_default_dtype()
    torch.float32
    """
    return settings.default_dtype


def set_default_dtype(d: dtype, /) -> None:
    """Makes `d` the dtype of tensors made from Python floats.

    Raises:
        TypeError: if `d` is not a floating dtype.
    """
    if not isinstance(d, dtype):
        raise TypeError(f"invalid dtype object: only floating-point types are supported as the default type, got {d!r}")
    if not d.is_floating_point:
        raise TypeError("only floating-point types are supported as the default type")
    settings.default_dtype = d


def get_num_threads() -> int:
    """How many threads compiled kernels may use."""
    return settings.threads


def set_num_threads(n: int, /) -> None:
    """Sets how many threads compiled kernels may use. Results do not depend on it.

    Raises:
        RuntimeError: if `n` is not positive.
    """
    if isinstance(n, bool) or not isinstance(n, int):
        raise TypeError(f"set_num_threads expects an int, but got {type(n).__name__}")
    if n < 1:
        raise RuntimeError("set_num_threads expects a positive integer")
    settings.threads = n
