"""Tensors turned into other things and back: numbers, lists, arrays, text, other dtypes; and questions about their layout."""

from __future__ import annotations

from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.config import settings
from retrograd.core.levels import local
from retrograd.core.printing import tensor_repr
from retrograd.core.tensor import LEAF, Box, Tensor, current_node, wrap
from retrograd.device import check_device, device
from retrograd.dtypes import dtype
from retrograd.ops import basis

# ---------------------------------------------------------------- questions


def numel(input: Tensor) -> int:
    """The number of elements."""
    return input.shape.numel()


def dim(self: Tensor) -> int:
    """The number of dimensions."""
    return self.ndim


def size(self: Tensor, dim: int | None = None) -> Any:
    """The shape, or the size of one dim. Raises IndexError if `dim` is out of range."""
    if dim is None:
        return self.shape
    return self.shape[basis.wrap_dim(dim, self.ndim)]


# ---------------------------------------------------------------- out of the tape


def detach(self: Tensor) -> Tensor:
    """A tensor on the same memory that needs no gradient. Writes to it are noticed by the tape.

    >>> from retrograd import ones
    >>> ones(2, requires_grad=True).detach()
    tensor([1., 1.])
    """
    if isinstance(self, Box):
        return self.interpreter.detach(self)  # type: ignore[no-any-return]
    out = wrap(self._data)
    out._version = self._version
    return out


def item(self: Tensor) -> Any:
    """The only element as a Python number.

    Raises:
        RuntimeError: if there is not exactly one element.
    """
    if numel(self) != 1:
        raise RuntimeError(f"a Tensor with {numel(self)} elements cannot be converted to Scalar")
    return self._data.item() if self._data.dtype.kind != "V" else float(self._data.reshape(()))


def numpy(self: Tensor, *, force: bool = False) -> Any:
    """The elements as an array on the same memory.

    Raises:
        RuntimeError: if the tensor needs a gradient and not `force`.
    """
    if current_node(self) is not None and not force:
        raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
    return self._data


def tolist(self: Tensor) -> Any:
    """The elements as nested lists of Python numbers (one number, without dims)."""
    data = self._data
    return data.astype(np.float32).tolist() if data.dtype.kind == "V" else data.tolist()


# ---------------------------------------------------------------- other dtypes


def to(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """This tensor in another dtype (or on the CPU, where it is): `to(dtype)`, `to(device, dtype)`, `to(other)`.

    Raises:
        AssertionError: for a cuda device.
        TypeError: for arguments of other types.
    """
    wanted: Any = kwargs.pop("dtype", None)
    where: Any = kwargs.pop("device", None)
    copy = kwargs.pop("copy", False)
    other = kwargs.pop("other", None)
    kwargs.pop("non_blocking", None)
    kwargs.pop("memory_format", None)
    if kwargs:
        raise TypeError(f"to() received an invalid keyword argument: {', '.join(kwargs)}")
    for a in args:
        if isinstance(a, dtype):
            wanted = a
        elif isinstance(a, Tensor):
            other = a
        elif isinstance(a, (str, device)):
            where = a
        elif a is not None and not isinstance(a, (bool, int)):
            raise TypeError(f"to() received an invalid combination of arguments - got ({type(a).__name__})")
    check_device(where)
    if other is not None:
        wanted = other.dtype
    result = self if wanted is None else basis.cast(self, wanted)
    return basis.clone(result) if copy and result is self else result


def type_(self: Tensor, dtype: Any = None, non_blocking: bool = False) -> Any:
    """The tensor's type as text, `'torch.FloatTensor'`; or the tensor in the dtype named so."""
    if dtype is None:
        return f"torch.{dtypes.scalar_name(self.dtype)}Tensor"
    if isinstance(dtype, str):
        name = dtype.removeprefix("torch.").removesuffix("Tensor")
        dtype = next((d for d in dtypes.ALL if dtypes.scalar_name(d) == name), None)
        if dtype is None:
            raise ValueError(f"invalid type: '{name}'")
    return to(self, dtype)


# ---------------------------------------------------------------- text


def repr_(self: Tensor, *, tensor_contents: Any = None) -> str:
    """The tensor as PyTorch prints it."""
    if isinstance(self, Box):
        return f"{type(self.interpreter).__name__}Tensor(lvl={self.interpreter.level}, value={self.value!r})"
    node = current_node(self)
    return tensor_repr(
        self._data,
        dtype_name=self.dtype.name,
        default_float=settings.default_dtype.name,
        requires_grad=node is LEAF,
        grad_fn_name=None if node is None or node is LEAF else node.grad_fn.name(),
    )


__all__ = ["detach", "dim", "item", "local", "numel", "numpy", "repr_", "size", "to", "tolist", "type_"]
