"""The few process-wide settings: the default dtype and the number of threads. Knows nothing of tensors."""

from __future__ import annotations

import os
from collections.abc import Callable

from retrograd import dtypes
from retrograd.dtypes import dtype


class Settings:
    """Process-wide settings, changed by the `set_...` functions below and read everywhere."""

    __slots__ = ("default_dtype", "thread_followers", "threads")

    def __init__(self) -> None:
        self.default_dtype = dtypes.float32
        self.threads = available_cores()
        self.thread_followers: list[Callable[[int], None]] = []


def available_cores() -> int:
    """How many cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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
    for follower in settings.thread_followers:
        follower(n)


def follow_num_threads(follower: Callable[[int], None]) -> None:
    """Calls `follower` with the number of threads, now and whenever it is set."""
    settings.thread_followers.append(follower)
    follower(settings.threads)
