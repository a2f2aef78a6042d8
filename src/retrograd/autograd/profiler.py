"""Stand-ins for PyTorch's profiler, so that programs that mark their parts run: they measure nothing."""

from __future__ import annotations

from contextlib import ContextDecorator
from typing import Any


class record_function(ContextDecorator):
    """Names a block of a program for a profiler. Does nothing."""

    def __init__(self, name: str, args: str | None = None) -> None:
        self.name, self.args = name, args

    def __enter__(self) -> record_function:
        return self

    def __exit__(self, *exc: object) -> None:
        pass


class profile:
    """Takes the profiler's arguments. Measures nothing."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __enter__(self) -> profile:
        return self

    def __exit__(self, *exc: object) -> None:
        pass


__all__ = ["profile", "record_function"]
