"""What is recorded: `no_grad`, `enable_grad`, `set_grad_enabled`, `inference_mode`, each a context manager and a decorator."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar

from retrograd.core.levels import local, set_flag

F = TypeVar("F", bound=Callable[..., Any])


def is_grad_enabled() -> bool:
    """Whether operations are recorded in this thread.

    >>> is_grad_enabled()
    True
    """
    return local.grad


def is_inference_mode_enabled() -> bool:
    """Whether this thread is in `inference_mode`."""
    return local.inference


class GradMode:
    """A block, or every call of a function, during which operations are recorded or not."""

    def __init__(self, mode: bool) -> None:
        self.mode = mode
        self.before: list[bool] = []

    def __enter__(self) -> Self:
        self.before.append(local.grad)
        set_flag("grad", self.mode and not local.inference)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        set_flag("grad", self.before.pop())

    def clone(self) -> GradMode:
        """Another one like it, for a call of its own."""
        return GradMode(self.mode)

    def __call__(self, function: F) -> F:
        return decorated(self, function)


def decorated(mode: Any, function: Any) -> Any:
    """A function (or generator, or every method that makes a class's instances) that runs within a mode."""
    if inspect.isclass(function):
        function.__init__ = decorated(mode, function.__init__)  # type: ignore[method-assign]
        return function
    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def generator(*args: Any, **kwargs: Any) -> Any:
            with mode.clone():
                inner = function(*args, **kwargs)
                sent = None
                try:
                    while True:
                        sent = yield_outside(mode, inner, sent)
                        sent = yield sent
                except StopIteration as stop:
                    return stop.value

        return generator

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with mode.clone():
            return function(*args, **kwargs)

    return call


def yield_outside(mode: Any, inner: Any, sent: Any) -> Any:
    """The generator's next value."""
    with mode.clone():
        return inner.send(sent)


class no_grad(GradMode):
    """Operations are not recorded: results need no gradient. Also a decorator.

    >>> from retrograd import ones
    >>> x = ones(1, requires_grad=True)
    >>> with no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """

    def __new__(cls, function: Any = None) -> Any:
        made = super().__new__(cls)
        if function is None:
            return made
        GradMode.__init__(made, False)
        return made(function)

    def __init__(self) -> None:
        super().__init__(False)


class enable_grad(GradMode):
    """Operations are recorded, even inside `no_grad` (not inside `inference_mode`). Also a decorator."""

    def __new__(cls, function: Any = None) -> Any:
        made = super().__new__(cls)
        if function is None:
            return made
        GradMode.__init__(made, True)
        return made(function)

    def __init__(self) -> None:
        super().__init__(True)


class set_grad_enabled(GradMode):
    """Sets at once whether operations are recorded; as a context manager, until the block ends. Also a decorator."""

    def __init__(self, mode: bool) -> None:
        super().__init__(bool(mode))
        self.outer = local.grad
        set_flag("grad", self.mode and not local.inference)

    def __enter__(self) -> Self:
        self.before.append(self.outer)
        set_flag("grad", self.mode and not local.inference)
        return self

    def __call__(self, function: F) -> F:
        set_flag("grad", self.outer)
        return decorated(GradMode(self.mode), function)


class inference_mode:
    """Like `no_grad`, whatever says otherwise inside, and tensors made inside can never take part in recorded operations. Also a decorator.

    `inference_mode(False)` records what runs inside, within `inference_mode` and `no_grad` too.
    """

    def __new__(cls, mode: Any = True) -> Any:
        made = super().__new__(cls)
        if isinstance(mode, bool):
            return made
        cls.__init__(made, True)
        return made(mode)

    def __init__(self, mode: bool = True) -> None:
        self.mode = mode
        self.before: list[tuple[bool, bool]] = []

    def __enter__(self) -> Self:
        self.before.append((local.grad, local.inference))
        set_flag("grad", not self.mode)
        set_flag("inference", self.mode)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        grad, inference = self.before.pop()
        set_flag("grad", grad)
        set_flag("inference", inference)

    def clone(self) -> inference_mode:
        """Another one like it, for a call of its own."""
        return inference_mode(self.mode)

    def __call__(self, function: F) -> F:
        return decorated(self, function)
