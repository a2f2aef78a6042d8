"""Shapes and dimensions: broadcasting, wrapping of negative dims, the strides PyTorch would report.

Knows nothing of tensors; shapes are tuples of ints.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence
from typing import Any

Shape = tuple[int, ...]


class Size(tuple[int, ...]):
    """A tensor's shape: a tuple of ints that prints as PyTorch's does.

    >>> Size((2, 3)), Size((2, 3)).numel(), Size((2, 3))[1:]
    (torch.Size([2, 3]), 6, torch.Size([3]))
    """

    __slots__ = ()

    def __new__(cls, values: Iterable[Any] = ()) -> Size:
        return tuple.__new__(cls, map(operator.index, values))

    def numel(self) -> int:
        """The number of elements."""
        return math.prod(self)

    def __repr__(self) -> str:
        return f"torch.Size([{', '.join(map(str, self))}])"

    def __getitem__(self, key: Any) -> Any:
        value = tuple.__getitem__(self, key)
        return tuple.__new__(Size, value) if isinstance(key, slice) else value

    def __add__(self, other: Any) -> Any:
        return tuple.__new__(Size, tuple.__add__(self, tuple(other)))

    def __radd__(self, other: Any) -> Any:
        return tuple.__new__(Size, tuple(other) + tuple(self))

    def __mul__(self, n: Any) -> Any:
        return tuple.__new__(Size, tuple.__mul__(self, n))

    __rmul__ = __mul__

    def __reduce__(self) -> Any:
        return Size, (tuple(self),)


def wrap_dim(dim: int, ndim: int) -> int:
    """`dim` counted from the front. A tensor without dims takes -1 and 0.

    Raises:
        IndexError: if `dim` is out of range.
    """
    reach = ndim or 1
    if -reach <= dim < reach:
        return dim + reach if dim < 0 else dim
    raise IndexError(f"Dimension out of range (expected to be in range of [{-reach}, {reach - 1}], but got {dim})")


def wrap_dims(dims: int | Sequence[int] | None, ndim: int) -> Shape:
    """Dims counted from the front; `None` or an empty sequence means all of them.

    Raises:
        IndexError: if one is out of range.
        RuntimeError: if one is named twice.
    """
    if dims is None:
        return tuple(range(ndim))
    given = (dims,) if isinstance(dims, int) else tuple(operator.index(d) for d in dims)
    wrapped = tuple(wrap_dim(d, ndim) for d in given)
    for i, d in enumerate(wrapped):
        if d in wrapped[:i]:
            raise RuntimeError(f"dim {d} appears multiple times in the list of dims")
    return (wrapped or tuple(range(ndim))) if ndim else ()


def broadcast_shapes(*shapes: Sequence[int] | int) -> Shape:
    """The shape that all of `shapes` broadcast to.

    Raises:
        RuntimeError: if they do not.

    >>> broadcast_shapes((2, 1), (3,))
    (2, 3)
    """
    sizes = [(s,) if isinstance(s, int) else s for s in shapes]
    rank = max((len(s) for s in sizes), default=0)
    result = [1] * rank
    for shape in sizes:
        for i, n in enumerate(reversed(shape)):
            at = rank - 1 - i
            if n != 1 and result[at] != n:
                if result[at] != 1:
                    raise RuntimeError(
                        f"The size of tensor a ({result[at]}) must match the size of tensor b ({n}) at non-singleton dimension {at}"
                    )
                result[at] = n
    return tuple(result)


def numel(shape: Sequence[int]) -> int:
    """The number of elements of a tensor of this shape."""
    return math.prod(shape)


def contiguous_strides(shape: Sequence[int]) -> Shape:
    """Strides, in elements, of a contiguous tensor of this shape.

    >>> contiguous_strides((2, 0, 3))
    (3, 3, 1)
    """
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step)
        step *= max(n, 1)
    return tuple(reversed(strides))


def flatten_ints(sizes: tuple[Any, ...]) -> tuple[Any, ...]:
    """The sizes of `f(2, 3)` and of `f((2, 3))` alike."""
    if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)):
        return tuple(sizes[0])
    return sizes


def ints_or_named(sizes: tuple[Any, ...], named: dict[str, Any], name: str) -> tuple[Any, ...]:
    """The sizes of `f(2, 3)`, of `f((2, 3))` and of `f(name=(2, 3))` alike. Raises TypeError for another keyword."""
    if not named:
        return flatten_ints(sizes)
    if set(named) != {name} or sizes:
        raise TypeError(f"got an unexpected keyword argument '{next(k for k in named if k != name or sizes)}'")
    value = named[name]
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def resolve_shape(shape: Sequence[int], count: int) -> Shape:
    """`shape` with its one -1 replaced so that it holds `count` elements.

    Raises:
        RuntimeError: if no size fits.
    """
    sizes = tuple(operator.index(n) for n in shape)
    if -1 in sizes:
        known = -math.prod(sizes)
        if sizes.count(-1) > 1:
            raise RuntimeError("only one dimension can be inferred")
        if known == 0:
            raise RuntimeError(
                f"cannot reshape tensor of {count} elements into shape {list(sizes)} because the unspecified dimension size -1 can be any value and is ambiguous"
            )
        if known > 0 and count % known == 0:
            return tuple(count // known if n == -1 else n for n in sizes)
    elif math.prod(sizes) == count and min(sizes, default=0) >= 0:
        return sizes
    for n in sizes:
        if n < -1:
            raise RuntimeError(f"invalid shape dimension {n}")
    raise RuntimeError(f"shape '{list(sizes)}' is invalid for input of size {count}")
