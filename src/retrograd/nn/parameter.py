"""Parameters and buffers: the tensors that a module owns."""

from __future__ import annotations

from typing import Any

from retrograd.core.levels import local, switch
from retrograd.core.tensor import LEAF, Tensor, wrap
from retrograd.ops.create import empty


class _ParameterMeta(type):
    """A tensor marked as a parameter counts as one."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return type.__instancecheck__(cls, instance) or (isinstance(instance, Tensor) and getattr(instance, "_is_param", False))


class Parameter(Tensor, metaclass=_ParameterMeta):
    """A tensor that a Module registers when it is assigned to one of its attributes. Shares memory with `data`.

    Raises:
        RuntimeError: if it is to require a gradient and `data` is of an integer dtype.

    >>> import retrograd as torch
    >>> torch.nn.Parameter(torch.ones(2))
    Parameter containing:
    tensor([1., 1.], requires_grad=True)
    """

    __slots__ = ()

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = True) -> Parameter:
        if data is None:
            data = empty(0)
        if not isinstance(data, Tensor):
            raise TypeError(f"Parameter data must be a Tensor, but got {type(data).__name__}")
        made = wrap(data.detach()._data, None, cls)
        if requires_grad and not (made.dtype.is_floating_point or made.dtype.is_complex):
            raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
        made._node = LEAF if requires_grad else None
        if switch.special and data._node is not None and local.observer is not None:  # it loses a history
            local.observer.copied(data, made)
        return made  # type: ignore[return-value]

    def __init__(self, data: Tensor | None = None, requires_grad: bool = True) -> None:
        pass

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        if id(self) not in memo:
            made = Parameter(wrap(self._data.copy(order="K")), self.requires_grad)
            made.__dict__.update(self.__dict__)
            memo[id(self)] = made
        return memo[id(self)]

    def __repr__(self) -> str:
        return "Parameter containing:\n" + Tensor.__repr__(self)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return Parameter, (wrap(self._data), self.requires_grad)


class Buffer(Tensor):
    """A tensor that a Module registers as a buffer when it is assigned to one of its attributes."""

    __slots__ = ("persistent",)

    def __new__(cls, data: Tensor | None = None, *, persistent: bool = True) -> Buffer:
        made = wrap((empty(0) if data is None else data.detach())._data, None, cls)
        made.persistent = persistent  # type: ignore[attr-defined]
        return made  # type: ignore[return-value]

    def __init__(self, data: Tensor | None = None, *, persistent: bool = True) -> None:
        pass
