"""The Tensor: an array, its place on the tape, its gradient, and how it relates to the memory of others.

Operations are not defined here but in `ops/`; `methods.py` hangs them on the class. This module knows arrays, dtypes and
devices, and no operation.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import ndarray

from retrograd import dtypes
from retrograd.core.levels import local, observer, set_flag, switch
from retrograd.device import CPU, device
from retrograd.dtypes import dtype
from retrograd.shapes import Size

# A tensor's version counter is shared by all tensors on the same memory: [number of in-place writes, where the last was].
Version = list[Any]


class View:
    """How a tensor is seen through another's memory: the operations that lead from the base to it."""

    __slots__ = ("base", "chain", "made_under_no_grad", "version")

    def __init__(self, base: Tensor, chain: tuple[Any, ...], version: int, made_under_no_grad: bool) -> None:
        self.base = base
        self.chain = chain  # ((op, params, which of its outputs or None), ...)
        self.version = version  # the write after which the view's place on the tape was last worked out
        self.made_under_no_grad = made_under_no_grad

    def replay(self, x: Any) -> Any:
        """The same view of another base (a tensor or an array)."""
        for op, params, which in self.chain:
            x = op(x, **params) if which is None else op(x, **params)[which]
        return x


class Leaf:
    """Marks a tensor that needs a gradient and was computed from nothing: `tensor._node is LEAF`."""

    def __repr__(self) -> str:
        return "LEAF"


LEAF = Leaf()


class Cleared:
    """A gradient that `zero_grad()` cleared: it reads as zeros, yet counts as absent until someone writes to the zeros.

    See docs/differences.md.
    """

    __slots__ = ("zeros",)

    def __init__(self) -> None:
        self.zeros: Tensor | None = None

    def read(self, tensor: Tensor) -> Tensor:
        """The zeros, made the first time they are asked for."""
        if self.zeros is None:
            self.zeros = wrap(np.zeros_like(tensor._data))
        return self.zeros

    def written(self) -> Tensor | None:
        """The zeros, if they have been written to since, and so are a gradient."""
        return self.zeros if self.zeros is not None and self.zeros._version[0] else None


class Extra:
    """What few tensors have."""

    __slots__ = ("hooks", "inference", "name", "post_accumulate", "retain", "view_of_leaf")

    def __init__(self) -> None:
        self.hooks: dict[int, Any] | None = None  # called with a leaf's gradient
        self.post_accumulate: dict[int, Any] | None = None
        self.retain = False
        self.inference = False
        self.name: str | None = None
        self.view_of_leaf = False


class Tensor:
    """An n-dimensional array of one dtype whose history can be differentiated.

    Make one with `tensor`, `zeros`, `randn`, `from_numpy` and the like.
    """

    __slots__ = ("__dict__", "__weakref__", "_base", "_data", "_extra", "_grad", "_node", "_version")

    _data: Any  # ndarray
    _node: Any  # None, LEAF, tape.Node or tape.Port
    _grad: Any  # None, a Tensor, or Cleared
    _version: Version
    _base: View | None
    _extra: Extra | None

    if TYPE_CHECKING:  # what `methods.py` puts on the class

        def __getattr__(self, name: str) -> Any: ...
        def __getitem__(self, key: Any) -> Any: ...
        def __setitem__(self, key: Any, value: Any) -> None: ...
        def __len__(self) -> int: ...
        def __iter__(self) -> Any: ...
        def __float__(self) -> float: ...
        def __int__(self) -> int: ...
        def __add__(self, other: Any) -> Any: ...
        def __radd__(self, other: Any) -> Any: ...
        def __sub__(self, other: Any) -> Any: ...
        def __rsub__(self, other: Any) -> Any: ...
        def __mul__(self, other: Any) -> Any: ...
        def __rmul__(self, other: Any) -> Any: ...
        def __truediv__(self, other: Any) -> Any: ...
        def __rtruediv__(self, other: Any) -> Any: ...
        def __pow__(self, other: Any) -> Any: ...
        def __mod__(self, other: Any) -> Any: ...
        def __matmul__(self, other: Any) -> Any: ...
        def __neg__(self) -> Any: ...
        def __invert__(self) -> Any: ...
        def __and__(self, other: Any) -> Any: ...
        def __or__(self, other: Any) -> Any: ...
        def __lt__(self, other: Any) -> Any: ...
        def __le__(self, other: Any) -> Any: ...
        def __gt__(self, other: Any) -> Any: ...
        def __ge__(self, other: Any) -> Any: ...

    __array_priority__ = 1000  # NumPy's operators leave mixed operands to ours
    __hash__ = object.__hash__

    @property
    def shape(self) -> Size:
        """The size of every dimension."""
        return tuple.__new__(Size, self._data.shape)

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return self._data.ndim

    @property
    def dtype(self) -> dtype:
        """The type of the elements."""
        return dtypes.from_numpy(self._data.dtype)

    @property
    def device(self) -> device:
        """Where the tensor lives: the CPU."""
        return CPU

    @property
    def requires_grad(self) -> bool:
        """Whether operations on this tensor are recorded."""
        return current_node(self) is not None

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        node = current_node(self)
        if isinstance(value, Tensor):
            value = bool(value)
        if node is not None and node is not LEAF:
            if not value:
                raise RuntimeError(
                    "you can only change requires_grad flags of leaf variables. If you want to use a computed variable in a "
                    "subgraph that doesn't require differentiation use var_no_grad = var.detach()."
                )
            return
        if value and self.dtype.category < dtypes.FLOATING:
            raise RuntimeError("only Tensors of floating point dtype can require gradients")
        if value and self._extra is not None and self._extra.inference:
            raise RuntimeError("Setting requires_grad=True on inference tensor outside InferenceMode is not allowed.")
        self._node = LEAF if value else None

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Sets whether operations on this tensor are recorded, and returns it.

        Raises:
            RuntimeError: for integer dtypes, and for a computed tensor that is to stop requiring a gradient.
        """
        self.requires_grad = requires_grad
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether the tensor was computed from nothing that needs a gradient."""
        node = current_node(self)
        return node is None or node is LEAF

    @property
    def grad_fn(self) -> Any:
        """The recorded operation that made this tensor, or None."""
        node = current_node(self)
        return None if node is None or node is LEAF else node.grad_fn

    @property
    def output_nr(self) -> int:
        """Which output of `grad_fn` this is."""
        return getattr(self._node, "index", 0)

    @property
    def grad(self) -> Any:
        """The gradient that has accumulated, or None. Zeros after the default `optimizer.zero_grad()`."""
        if switch.special and (watched := observer()) is not None:
            watched.gradient_met(self, real_grad(self))
            if self._grad.__class__ is Cleared:
                watched.refuse("the zeros of a cleared gradient were asked for")
        grad = self._grad
        return grad.read(self) if grad.__class__ is Cleared else grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            if not isinstance(value, Tensor):
                raise TypeError(f"assigned grad expected to be a Tensor or None but got grad of type {type(value)}")
            if value is self:
                raise RuntimeError("can't assign Variable as its own grad")
            if value.shape != self.shape:
                raise RuntimeError(f"assigned grad has data of a different size: got {list(value.shape)}, expected {list(self.shape)}")
            if value.dtype is not self.dtype:
                raise RuntimeError(f"assigned grad has data of a different type: got {value.dtype}, expected {self.dtype}")
        if switch.special and (watched := observer()) is not None:
            watched.gradient_set(self, real_grad(self), value)
        self._grad = value

    @grad.deleter
    def grad(self) -> None:
        self.grad = None

    @property
    def data(self) -> Tensor:
        """The same memory without history. In-place writes to it are not noticed by the tape."""
        out = wrap(self._data)
        if switch.special and local.observer is not None:
            local.observer.shared(self, out)
        return out

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise TypeError(f"Variable data has to be a tensor, but got {type(value).__name__}")
        if self._node is not None and value.dtype.category < dtypes.FLOATING:
            raise RuntimeError("data set to a tensor that requires gradients must be floating point or complex dtype")
        if switch.special and local.observer is not None and value._data is not self._data:
            local.observer.exchanged(self)
        self._data = value._data

    @property
    def _is_view(self) -> bool:
        return self._base is not None

    def extra(self) -> Extra:
        """The record of what few tensors have, made if need be."""
        if self._extra is None:
            self._extra = Extra()
        return self._extra


_new = Tensor.__new__


def wrap(data: Any, node: Any = None, cls: type[Tensor] = Tensor) -> Tensor:
    """A tensor around an array."""
    out = _new(cls)
    out._data = data if data.__class__ is ndarray else np.asarray(data)
    out._node = node
    out._grad = None
    out._version = [0, None]
    out._base = None
    out._extra = None
    return out


def owner(array: ndarray) -> ndarray:
    """The array whose memory an array is a view of."""
    base = array.base
    while base is not None:  # what as_strided makes has a base that is no array, and that has one
        if isinstance(base, ndarray):
            array = base
        base = getattr(base, "base", None)
    return array


def address(array: ndarray) -> int:
    """Where the first element is."""
    return int(array.__array_interface__["data"][0])


def constant(data: Any) -> Tensor:
    """A tensor around a fresh array whose numbers the program itself states: shapes and literals, never other tensors' numbers."""
    out = wrap(data)
    if switch.special and local.observer is not None:
        local.observer.made(out)
    return out


def current_node(tensor: Tensor) -> Any:
    """The tensor's place on the tape. A view's is worked out again if its memory was written to since."""
    view = tensor._base
    if view is not None and view.version != tensor._version[0]:
        view.version = tensor._version[0]
        if current_node(view.base) is not None and not view.made_under_no_grad:
            was = local.grad
            set_flag("grad", True)
            try:
                tensor._node = view.replay(view.base)._node
            finally:
                set_flag("grad", was)
    return tensor._node


def real_grad(tensor: Tensor) -> Tensor | None:
    """The gradient, or None where none came: zeros that merely stand for a cleared gradient do not count."""
    grad = tensor._grad
    return grad.written() if grad.__class__ is Cleared else grad


def clear_gradients(parameters: Iterable[Tensor], set_to_none: bool | None) -> None:
    """Clears gradients. By default `.grad` then reads as zeros; `True` makes it None, `False` fills it with zeros."""
    watched = observer()
    for p in parameters:
        grad = real_grad(p)
        if watched is not None:
            if set_to_none is False:
                watched.gradient_met(p, grad)
            watched.gradient_set(p, grad)
        if set_to_none is None:
            if grad is not None:
                p._grad = Cleared()
        elif set_to_none:
            p._grad = None
        elif grad is not None:
            if grad._node is not None:  # it has a history
                p._grad = grad = grad.detach()
            grad.zero_()


class Box(Tensor):
    """A value that belongs to an interpreter: the value one level down, and what the interpreter knows of it besides."""

    __slots__ = ("interpreter", "tag", "value")

    def __init__(self, interpreter: Any, value: Any, tag: Any) -> None:
        self.interpreter, self.value, self.tag = interpreter, value, tag
        self._node = self._grad = self._base = self._extra = None
        self._version = [0, None]

    @property
    def _data(self) -> Any:
        return self.interpreter.concrete(self)._data

    @property
    def shape(self) -> Size:
        return Size(self.interpreter.shape(self))

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def dtype(self) -> dtype:
        return self.value.dtype

    @property
    def requires_grad(self) -> bool:
        return bool(self.interpreter.requires_grad(self))

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        raise RuntimeError("You are attempting to call Tensor.requires_grad_() inside of a function being transformed: move it outside.")
