"""The one table of what is a Tensor's method: `Tensor.name = function`.

A function of `ops/` whose first parameter is the tensor is put on the class as it is, so `retrograd.tanh is Tensor.tanh`.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from retrograd.autograd import reverse
from retrograd.core.tensor import Tensor
from retrograd.ops import basis, convert, inplace, reduce, softmax

# Functions that are methods under their own name, by the module that holds them.
METHODS: dict[ModuleType, str] = {
    basis: """
        add sub mul neg eq ne lt le gt ge clone sum expand reshape permute transpose t select
    """,
    reduce: """
        mean nansum nanmean var std amax amin aminmax max min argmax argmin all any count_nonzero logsumexp
    """,
    softmax: """
        softmax log_softmax
    """,
    convert: """
        numel dim size detach item numpy tolist to
    """,
    inplace: """
        copy_ fill_ zero_
    """,
}

# Functions that are methods under another name.
RENAMED: dict[str, Any] = {
    "__repr__": convert.repr_,
    "type": convert.type_,
    "nelement": convert.numel,
    "ndimension": convert.dim,
    "__add__": basis.add_op,
    "__radd__": basis.add_op,
    "__sub__": basis.sub,
    "__mul__": basis.mul,
    "__rmul__": basis.mul,
    "__neg__": basis.neg,
    "__truediv__": basis.div_op,
    "__eq__": basis.eq,
    "__ne__": basis.ne,
    "__lt__": basis.lt,
    "__le__": basis.le,
    "__gt__": basis.gt,
    "__ge__": basis.ge,
}

# Functions whose in-place variant `name_` is a method too.
INPLACE: dict[ModuleType, str] = {
    basis: "add sub mul neg eq ne lt le gt ge",
}


def backward(self: Tensor, gradient: Any = None, retain_graph: Any = None, create_graph: bool = False, inputs: Any = None) -> None:
    """Adds to `.grad` of every leaf the gradient of this tensor. See `autograd.backward`."""
    reverse.backward(self, gradient, retain_graph, create_graph, inputs=inputs)


def attach() -> None:
    """Puts the methods on Tensor."""
    for module, names in METHODS.items():
        for name in names.split():
            setattr(Tensor, name, getattr(module, name))
    for module, names in INPLACE.items():
        for name in names.split():
            setattr(Tensor, f"{name}_", inplace.inplace(getattr(module, name), name))
    for name, function in RENAMED.items():
        setattr(Tensor, name, function)
    Tensor.backward = backward  # type: ignore[attr-defined]


attach()
