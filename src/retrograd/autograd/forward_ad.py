"""Forward mode by hand: tensors that carry a tangent through whatever is computed with them.

    with dual_level():
        y = f(make_dual(x, t))
        unpack_dual(y).tangent      # the derivative of f in the direction t

`retrograd.func.jvp` does the same for a whole function.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, NamedTuple

from retrograd.autograd.interpreters import Forward
from retrograd.core.tensor import Tensor


class UnpackedDualTensor(NamedTuple):
    """A value, and its tangent (None, if it has none)."""

    primal: Tensor
    tangent: Tensor | None


levels: list[tuple[Forward, AbstractContextManager[None]]] = []


def enter_dual_level() -> int:
    """Begins a level, and returns its number. Raises RuntimeError within another."""
    if levels:
        raise RuntimeError("Nested forward mode AD is not supported at the moment: use retrograd.func.jvp, which nests")
    forward = Forward()
    running = forward.running()
    running.__enter__()
    levels.append((forward, running))
    return len(levels) - 1


def exit_dual_level(*, level: int | None = None) -> None:
    """Ends the level. Raises RuntimeError if there is none, or another one is named."""
    if not levels:
        raise RuntimeError("Trying to exit a dual level, but no level was entered: call enter_dual_level first")
    if level is not None and level != len(levels) - 1:
        raise RuntimeError(
            f"Trying to exit a forward AD level that was not the last one that was created. This is not supported (level {level})."
        )
    _, running = levels.pop()
    running.__exit__(None, None, None)


class dual_level:
    """While the block runs, `make_dual` and `unpack_dual` may be used.

    >>> from retrograd import tensor
    >>> with dual_level():
    ...     y = make_dual(tensor(3.), tensor(1.)) ** 2
    ...     print(unpack_dual(y).tangent)
    tensor(6.)
    """

    def __enter__(self) -> int:
        return enter_dual_level()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        exit_dual_level()


def make_dual(tensor: Tensor, tangent: Tensor, *, level: int | None = None) -> Tensor:
    """The tensor with a tangent.

    Raises:
        RuntimeError: outside a level, or if shape or dtype differ.
        ValueError: if the dtype is not floating or complex.
    """
    if not levels:
        raise RuntimeError("Trying to create a dual Tensor for forward AD but no level exists, make sure to enter_dual_level() first.")
    for name, x in (("Primal", tensor), ("tangent", tangent)):
        if not (x.dtype.is_floating_point or x.dtype.is_complex):
            raise ValueError(f"Expected {name.lower()} to be floating point or complex, but got: {x.dtype}")
    if tensor.shape != tangent.shape:
        raise RuntimeError(
            "Trying to set a forward gradient that has a different size than that of the original Tensor, this is not supported. "
            f"Tensor is of size {list(tensor.shape)} while the given forward gradient is of size {list(tangent.shape)}."
        )
    if tensor.dtype is not tangent.dtype:
        raise RuntimeError(f"Expected tangent to have the dtype of the primal, {tensor.dtype}, but got {tangent.dtype}")
    forward = levels[-1][0]
    value, along = (x.value if forward.owns(x) else x for x in (tensor, tangent))  # tensors made at this level are boxed already
    return forward.box(value, along)


def unpack_dual(tensor: Tensor, *, level: int | None = None) -> UnpackedDualTensor:
    """The tensor's value and its tangent; outside a level there is none."""
    forward: Any = levels[-1][0] if levels else None
    if forward is None or not forward.owns(tensor):
        return UnpackedDualTensor(tensor, None)
    return UnpackedDualTensor(tensor.value, forward.tangent(tensor))


__all__ = ["UnpackedDualTensor", "dual_level", "enter_dual_level", "exit_dual_level", "make_dual", "unpack_dual"]
