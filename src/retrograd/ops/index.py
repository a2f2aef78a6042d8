"""Elements by index: `x[...]`, assignment to it, indices along one dim, masks.

A key of `x[...]` is worked off from the left: ints, slices, None and Ellipsis become views; tensors of ints and masks remain,
and are applied at once by `index_op`, which its transpose `index_sum_op` and `index_put_op` (assignment) mirror. Indices of the tensor's own rank are in `scatter.py`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.core.families import align, check_overlap, elementwise, opaque, unbroadcast, write_out
from retrograd.core.levels import refuse_record, switch
from retrograd.core.tape import check_writable, written
from retrograd.core.tensor import Box, Tensor, constant, wrap
from retrograd.errors import user_location
from retrograd.ops.basis import (
    add_at,
    cast,
    clone,
    clone_op,
    expand,
    expand_op,
    mul,
    permute_op,
    reshape_op,
    select_op,
    slice_op,
    where,
    where_op,
)  # fmt: skip
from retrograd.ops.create import as_tensor
from retrograd.ops.inplace import copy_, store
from retrograd.ops.shape import narrow, ravel, unsqueeze
from retrograd.shapes import broadcast_shapes, wrap_dim

# ---------------------------------------------------------------- the primitives


def key_of(ndim: int, indices: Sequence[Any], dims: Sequence[int]) -> tuple[Any, ...]:
    """The key by which NumPy indexes these dims."""
    key: list[Any] = [slice(None)] * ndim
    for d, index in zip(dims, indices, strict=True):
        key[d] = index
    return tuple(key)


def adjacent(dims: Sequence[int]) -> bool:
    """Whether the dims stand beside each other; the indexed part of a result then stays in their place, else it comes first."""
    return dims[-1] - dims[0] == len(dims) - 1


def check_bounds(shape: Sequence[int], indices: Sequence[Any], dims: Sequence[int]) -> None:
    """Raises IndexError for an index that is out of range."""
    for d, index in zip(dims, indices, strict=True):
        bad = (index < -shape[d]) | (index >= shape[d])
        if bad.any():
            raise IndexError(f"index {index[bad].reshape(-1)[0]} is out of bounds for dimension {d} with size {shape[d]}")


def index_name(params: dict[str, Any]) -> str:
    """PyTorch names it after the function that was called."""
    return str(params.get("called", "IndexBackward0"))


@opaque(name="index", derivative_name=index_name)
def index_op(input, *indices, dims, called="IndexBackward0"):
    """The elements at `indices` (int64, broadcast together) of the dims `dims`."""
    try:
        if len(dims) == 1 and input.dtype.kind != "V":
            return np.take(input, indices[0], dims[0])
        return input[key_of(input.ndim, indices, dims)]
    except IndexError:
        check_bounds(input.shape, indices, dims)
        raise


@index_op.lowering
def _(k, input, *indices, dims, called):
    if len(dims) != 1 or dims[0] != 0 or len(input.shape) < 2 or not indices[0].shape:
        k.refuse("indices of other dims than the first")
    (index,) = indices
    k.check_index(index, input.shape[0])
    rank = len(index.shape)
    rest = input.shape[1:]
    places = k.reshape(index, (*index.shape, *(1,) * len(rest)))
    table = k.view_of(k.reshape(input, (*(1,) * (rank - 1), *input.shape)))
    return k.take(table, [(rank - 1, places)], (*index.shape, *rest))


@index_op.vjp("input")
def _(g, indices, input_shape, dims):
    return index_sum_op(g, *indices, dims=dims, shape=input_shape)


@index_op.jvp("input")
def _(t, indices, dims):
    return index_op(t, *indices, dims=dims)


@index_op.batch
def _(args, mapped, *, dims, called):
    input, indices = batched_index(args, mapped)
    if not mapped[0]:
        y, later = index_op(input, *indices, dims=dims, called=called), dims
    else:
        later = tuple([d + 1 for d in dims])
        if any(mapped[1:]):
            rows = as_column(args[0].shape[0], max(len(i.shape) for i in indices))
            later, indices = (0, *later), [rows, *indices]
        y = index_op(input, *indices, dims=later, called=called)
    rank = max(len(i.shape) for i in indices)
    lead = later[0] if adjacent(later) else 0
    if not mapped[0]:
        return move(y, lead, 0)
    if any(mapped[1:]):  # the batch came first of the indexed part; that part belongs where it would be without a batch
        want = (dims[0] if adjacent(dims) else 0) + 1
        return move_block(y, lead + 1, rank - 1, want)
    return y if adjacent(later) else move(y, rank, 0)


def batched_index(args: Sequence[Any], mapped: Sequence[bool]) -> tuple[Any, list[Any]]:
    """Operand and indices, where the indices that have a batch dim are brought to one rank."""
    indices, flags = args[1:], mapped[1:]
    rank = max(len(i.shape) - m for i, m in zip(indices, flags, strict=True))
    return args[0], [align(i, rank) if m else i for i, m in zip(indices, flags, strict=True)]


def as_column(n: int, rank: int) -> Tensor:
    """0 .. n-1 as a tensor of so many dims, along the first."""
    return constant(np.arange(n).reshape(n, *(1,) * (rank - 1)))


def move(x: Any, source: int, destination: int) -> Any:
    """One dim in another place."""
    return move_block(x, source, 1, destination)


def move_block(x: Any, start: int, n: int, destination: int) -> Any:
    """`n` dims from `start` on, so that the first of them stands at `destination`."""
    if start == destination or n == 0:
        return x
    order = [d for d in range(len(x.shape)) if not start <= d < start + n]
    order[destination:destination] = range(start, start + n)
    return permute_op(x, dims=tuple(order))


@opaque
def index_sum_op(input, *indices, dims, shape):
    """The transpose of `index`: zeros of `shape`, to which each element is added at its index."""
    out = np.zeros(shape, input.dtype)
    index = indices[0]
    if len(indices) == 1 and dims[0] == 0 and index.ndim == 1 and len(shape) > 1:
        add_rows(out, index, input)
    elif len(indices) == len(shape) and index.size:
        add_at(out, [np.where(i < 0, i + n, i) for i, n in zip(indices, shape, strict=True)], input)
    else:
        np.add.at(out, key_of(len(shape), indices, dims), input)
    return out


@index_sum_op.lowering
def _(k, input, *indices, dims, shape):
    if len(dims) != 1 or dims[0] != 0 or len(shape) < 2:
        k.refuse("indices of other dims than the first")
    n = math.prod(indices[0].shape)
    k.check_index(indices[0], shape[0])
    index = k.reshape(indices[0], (n, *(1,) * (len(shape) - 1)))
    return k.scatter_sum(k.reshape(input, (n, *shape[1:])), index, 0, shape)


def add_rows(out: Any, index: Any, rows: Any) -> None:
    """`out[index] += rows`, where rows for one place add up: sorted by place, each run is summed at once."""
    if not index.size:
        return
    index = np.where(index < 0, index + len(out), index)
    order = np.argsort(index, kind="stable")
    ordered = index[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    if len(starts) == len(index):
        out[index] = rows
    else:
        out[ordered[starts]] = np.add.reduceat(rows[order], starts, 0)


@index_sum_op.vjp("input")
def _(g, indices, dims):
    return index_op(g, *indices, dims=dims)


@index_sum_op.jvp("input")
def _(t, indices, dims, shape):
    return index_sum_op(t, *indices, dims=dims, shape=shape)


def index_put_name(params: dict[str, Any]) -> str:
    """PyTorch names it after the function that was called."""
    return str(params.get("called", "IndexPutBackward0"))


@opaque(name="index_put", derivative_name=index_put_name)
def index_put_op(input, values, *indices, dims, accumulate, called="IndexPutBackward0"):
    """`input` with `values` (broadcast) at `indices`, or added there."""
    out = np.array(input, order="C")
    key = key_of(input.ndim, indices, dims)
    try:
        if accumulate:
            np.add.at(out, key, values)
        else:
            out[key] = values
    except IndexError:
        check_bounds(input.shape, indices, dims)
        raise
    return out


@index_put_op.vjp("input")
def _(g, indices, dims, accumulate):
    return g if accumulate else where_op(index_mark_op(*indices, dims=dims, shape=tuple(g.shape)), 0.0, g)


@index_put_op.vjp("values")
def _(g, indices, values_shape, dims):
    return unbroadcast(index_op(g, *indices, dims=dims), values_shape)


@index_put_op.jvp("input")
def _(t, indices, dims, accumulate):
    return t if accumulate else where_op(index_mark_op(*indices, dims=dims, shape=tuple(t.shape)), 0.0, t)


@index_put_op.jvp("values")
def _(t, input_shape, indices, dims, accumulate):
    t = expand_op(t, shape=result_shape(input_shape, [i.shape for i in indices], dims))
    placed = index_sum_op(t, *indices, dims=dims, shape=input_shape)
    return placed if accumulate else index_put_op(placed, t, *indices, dims=dims, accumulate=False)


def result_shape(shape: Sequence[int], index_shapes: Sequence[Sequence[int]], dims: Sequence[int]) -> tuple[int, ...]:
    """The shape of `input[indices]`."""
    rest = [n for d, n in enumerate(shape) if d not in dims]
    lead = dims[0] if adjacent(dims) else 0
    return (*rest[:lead], *broadcast_shapes(*index_shapes), *rest[lead:])


@opaque(differentiable=False)
def index_mark_op(*indices, dims, shape):
    """Whether a place is among `indices`."""
    out = np.zeros(shape, bool)
    out[key_of(len(shape), indices, dims)] = True
    return out


# ---------------------------------------------------------------- x[key]


def is_sequence_key(key: Any) -> bool:
    """Whether a list stands for a tuple: if it holds what only a tuple of keys can hold."""
    return isinstance(key, list) and any(
        k is None or k is Ellipsis or isinstance(k, slice) or (isinstance(k, Tensor) and k.ndim) for k in key
    )


def as_index(key: Any) -> Tensor | None:
    """A key as a tensor of indices, or None if it is none."""
    if isinstance(key, Tensor):
        index = key
    elif isinstance(key, (list, range, np.ndarray)):
        try:
            index = as_tensor(key if isinstance(key, np.ndarray) else list(key))
        except (TypeError, ValueError, RuntimeError):
            return None
        if not index.shape.numel() and not isinstance(key, np.ndarray):
            index = cast(index, dtypes.int64)
    else:
        return None
    if index.dtype.category > dtypes.INTEGER or index.dtype in (dtypes.int8, dtypes.int16):
        raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
    return index


def position(key: Any) -> int | None:
    """A key that is one whole number, or None."""
    if isinstance(key, (bool, np.bool_, Tensor, np.ndarray, list, tuple, range, slice)):
        return None
    try:
        return operator.index(key)
    except TypeError:
        return None


def resolve(x: Tensor, key: Any) -> tuple[Tensor, list[Tensor], list[int]]:
    """The view that a key's basic part leads to, and the tensors of indices that remain with the dims they are for."""
    keys = key if isinstance(key, tuple) else tuple(key) if is_sequence_key(key) else (key,)
    indices: list[Tensor] = []
    dims: list[int] = []
    dim, rank = 0, x.ndim
    for at, k in enumerate(keys):
        if k is None:
            x, dim = unsqueeze(x, dim), dim + 1
            continue
        if k is Ellipsis:
            if any(other is Ellipsis for other in keys[at + 1 :]):
                raise IndexError("an index can only have a single ellipsis ('...')")
            dim = x.ndim - spanned(keys[at + 1 :], keys, x)
            continue
        n = position(k)
        if n is None and isinstance(k, Tensor) and k.ndim == 0 and k.dtype.category == dtypes.INTEGER and not isinstance(k, Box):
            refuse_record()
            n = int(k._data)
        if n is not None:
            if x.ndim == 0 and rank:
                raise IndexError(f"too many indices for tensor of dimension {rank}")
            x = at_position(x, dim, n)
            continue
        if isinstance(k, slice):
            x, dim = sliced(x, dim, k, whole=len(keys) == 1), dim + 1
            continue
        if isinstance(k, (bool, np.bool_)):
            x = unsqueeze(x, dim)
            index = constant(np.zeros(int(k), np.int64))
            indices, dims, dim = [*indices, index], [*dims, dim], dim + 1
            continue
        index_of = as_index(tuple_as_list(k))
        if index_of is None:
            raise IndexError(
                f"only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices (got {type(k).__name__})"
            )
        if index_of.dtype in (dtypes.bool, dtypes.uint8):
            if index_of.ndim == 0:
                x = unsqueeze(x, dim)
                index_of = unsqueeze(index_of, 0)
            check_mask(index_of, x, dim)
            parts = list(nonzero(index_of, as_tuple=True))
        else:
            if dim >= x.ndim:
                raise IndexError(f"too many indices for tensor of dimension {x.ndim}")
            parts = [cast(index_of, dtypes.int64)]
        indices += parts
        dims += range(dim, dim + len(parts))
        dim += len(parts)
    if indices:
        check_index_shapes(indices)
    return x, indices, dims


def tuple_as_list(key: Any) -> Any:
    """A tuple within a tuple of keys is a list of indices."""
    return list(key) if isinstance(key, tuple) else key


def spanned(keys: Sequence[Any], everything: Sequence[Any], x: Tensor) -> int:
    """How many dims the keys after an ellipsis are for."""
    total = 0
    for k in keys:
        if k is None or isinstance(k, (bool, np.bool_)):
            continue
        mask = getattr(k, "dtype", None) in (dtypes.bool, dtypes.uint8, np.dtype(bool))
        total += k.ndim if mask else 1
    if total > x.ndim:
        raise IndexError(f"too many indices for tensor of dimension {x.ndim}")
    return total


def at_position(x: Tensor, dim: int, n: int) -> Tensor:
    """`x[..., n]` along one dim."""
    if x.ndim == 0:
        raise IndexError(
            "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` in C++ to convert a 0-dim tensor to a number"
        )
    if dim >= x.ndim:
        raise IndexError(f"too many indices for tensor of dimension {x.ndim}")
    size = x.shape[dim]
    if not -size <= n < size:
        raise IndexError(f"index {n} is out of bounds for dimension {dim} with size {size}")
    return select_op(x, dim=dim, index=n % size)


def sliced(x: Tensor, dim: int, key: slice, whole: bool) -> Tensor:
    """`x[..., a:b:c]` along one dim; `whole`: a full slice is a view of its own, not `x` itself."""
    if x.ndim == 0:
        raise IndexError("slice() cannot be applied to a 0-dim tensor.")
    if dim >= x.ndim:
        raise IndexError(f"too many indices for tensor of dimension {x.ndim}")
    parts = []
    for part in (key.start, key.stop, key.step):
        n = None if part is None else position(part) if not isinstance(part, Tensor) else int(part.item())
        if part is not None and n is None:
            raise TypeError("slice indices must be integers or None or have an __index__ method")
        parts.append(n)
    if parts[2] is not None and parts[2] <= 0:
        raise ValueError("step must be greater than zero")
    start, end, step = slice(*parts).indices(x.shape[dim])
    if (start, step) == (0, 1) and end == x.shape[dim] and not whole:
        return x
    return slice_op(x, dim=dim, start=start, end=max(start, end), step=step)


def check_mask(mask: Tensor, x: Tensor, dim: int) -> None:
    """Raises IndexError if a mask is not of the shape of the dims it is for."""
    if dim + mask.ndim > x.ndim:
        raise IndexError(f"too many indices for tensor of dimension {x.ndim}")
    for i, n in enumerate(mask.shape):
        if n != x.shape[dim + i]:
            raise IndexError(
                f"The shape of the mask {list(mask.shape)} at index {i} does not match the shape of the indexed tensor {list(x.shape)} at index {dim + i}"
            )


def check_index_shapes(indices: Sequence[Tensor]) -> None:
    """Raises IndexError if the indices do not broadcast."""
    try:
        broadcast_shapes(*(i.shape for i in indices))
    except RuntimeError:
        shapes = ", ".join(str(list(i.shape)) for i in indices)
        raise IndexError(f"shape mismatch: indexing tensors could not be broadcast together with shapes {shapes}") from None


def getitem(self: Tensor, key: Any) -> Tensor:
    """The elements at a key: ints, slices, None, Ellipsis, tensors of ints or bools, or a tuple of these.

    What ints, slices, None and Ellipsis lead to is a view; tensors of indices make a copy.

    Raises:
        IndexError: if an index is out of range, there are too many, or it is none.

    >>> from retrograd import tensor
    >>> x = tensor([[1, 2, 3], [4, 5, 6]])
    >>> x[1], x[:, -1], x[x > 4]
    (tensor([4, 5, 6]), tensor([3, 6]), tensor([5, 6]))
    """
    if key.__class__ is int and self.ndim:
        return at_position(self, 0, key)
    x, indices, dims = resolve(self, key)
    if indices:
        return index_op(x, *indices, dims=tuple(dims))
    return slice_op(x, dim=0, start=0, end=x.shape[0], step=1) if x is self and x.ndim else reshape_op(x, shape=()) if x is self else x


def setitem(self: Tensor, key: Any, value: Any) -> None:
    """Writes a number or a tensor, broadcast, over the elements at a key (see `getitem`).

    Raises:
        IndexError: as `getitem`.
        RuntimeError: if the value does not broadcast to the elements' shape.

    >>> from retrograd import zeros
    >>> x = zeros(3); x[1:] = 7; x
    tensor([0., 7., 7.])
    """
    mask = lone_mask(self, key, value)
    if mask is not None:
        masked_fill_(self, mask, value)
        return
    x, indices, dims = resolve(self, key)
    if not isinstance(value, Tensor):
        value = constant(np.asarray(number(value, x)))
    if not indices:
        if value.ndim > x.ndim:
            value = without_leading_ones(value, x.ndim)
        copy_(x, value)
        return
    put(x, indices, tuple(dims), cast(value, x.dtype), False)


def number(value: Any, like: Tensor) -> Any:
    """What is assigned, as an array of the tensor's dtype."""
    if isinstance(value, (list, tuple)):
        raise TypeError(f"can't assign a {type(value).__name__} to a {like.type()}")
    if isinstance(value, complex) and not like.dtype.is_complex:
        raise RuntimeError("value cannot be converted to type without overflow")
    return np.asarray(value).astype(like.dtype.numpy)


def lone_mask(self: Tensor, key: Any, value: Any) -> Tensor | None:
    """The key if it is one mask for all dims and a number is written: that needs no indices."""
    if isinstance(key, Tensor) and key.dtype is dtypes.bool and key.ndim == self.ndim > 0 and key.shape == self.shape:
        single = value.ndim == 0 if isinstance(value, Tensor) else isinstance(value, (int, float))
        return key if single else None
    return None


def without_leading_ones(value: Tensor, ndim: int) -> Tensor:
    """The value without leading dims of size 1, so that it has `ndim` dims."""
    extra = value.ndim - ndim
    return reshape_op(value, shape=tuple(value.shape[extra:])) if all(n == 1 for n in value.shape[:extra]) else value


def put(
    x: Tensor, indices: Sequence[Tensor], dims: tuple[int, ...], values: Tensor, accumulate: bool, called: str = "IndexPutBackward0"
) -> Tensor:
    """Writes `values` at indices of a tensor; nothing is copied where nothing is recorded."""
    target = result_shape(x.shape, [i.shape for i in indices], dims)
    if values.ndim > len(target):
        values = without_leading_ones(values, len(target))
    try:
        fits = broadcast_shapes(values.shape, target) == target
    except RuntimeError:
        fits = False
    if not fits:
        raise RuntimeError(
            f"shape mismatch: value tensor of shape {list(values.shape)} cannot be broadcast to indexing result of shape {list(target)}"
        )
    if switch.special or x.requires_grad or values.requires_grad:
        return store(x, index_put_op(x, values, *indices, dims=dims, accumulate=accumulate, called=called))
    check_writable(x, False)
    check_overlap(x)
    key = key_of(x.ndim, [i._data for i in indices], dims)
    check_bounds(x.shape, [i._data for i in indices], dims)
    if accumulate:
        np.add.at(x._data, key, values._data)
    else:
        x._data[key] = values._data
    written(x, user_location())
    return x


def where_method(self: Tensor, condition: Tensor, other: Any) -> Tensor:
    """This tensor where `condition`, else `other`."""
    return where(condition, self, other)


# ---------------------------------------------------------------- along one dim


def along_dim(function: str, input: Tensor, dim: int, index: Any) -> tuple[int, Tensor]:
    """The dim counted from the front, and a vector of int64 indices along it."""
    if not isinstance(index, Tensor):
        raise TypeError(f"{function}(): argument 'index' must be Tensor, not {type(index).__name__}")
    dim = wrap_dim(dim, input.ndim)
    if index.ndim > 1:
        raise IndexError(
            f"{function}(): Index is supposed to be a vector, but got dim: {index.ndim} with type: {dtypes.scalar_name(index.dtype)}"
        )
    if index.dtype not in (dtypes.int64, dtypes.int32):
        raise RuntimeError(f"{function}(): Expected dtype int32 or int64 for index but got: {index.dtype}")
    return dim, cast(index if index.ndim else reshape_op(index, shape=(1,)), dtypes.int64)


def refuse_negative(function: str, input: Tensor, index: Tensor, dim: int) -> None:
    """Raises IndexError for an index below 0, which `x[...]` takes and this does not, or out of range."""
    if isinstance(index, Box):
        return
    values, n = index._data, input.shape[dim] if input.ndim else 1
    if values.size and (values.min() < 0 or values.max() >= n):
        raise IndexError(
            f"{function}(): index out of range in self: an index is not within [0, {n - 1}] for dim {dim} of a tensor of shape {list(input.shape)}"
        )


def index_select(input: Tensor, dim: int, index: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The slices at `index` (a vector of int64) along `dim`: a copy.

    Raises:
        IndexError: if an index is out of range, or `index` has several dims.

    >>> from retrograd import index_select, tensor
    >>> index_select(tensor([10, 20, 30]), 0, tensor([2, 0]))
    tensor([30, 10])
    """
    dim, rows = along_dim("index_select", input, dim, index)
    refuse_negative("index_select", input, rows, dim)
    result = index_op(input, rows, dims=(dim,), called="IndexSelectBackward0") if input.ndim else clone_op(input)
    return result if out is None else write_out(out, result, input, index)


def index_along(function: str, self: Tensor, dim: int, index: Tensor, source: Any, accumulate: bool) -> Tensor:
    """index_add and index_copy: `source` put or added at `index` along one dim."""
    dim, rows = along_dim(function, self, dim, index)
    refuse_negative(function, self, rows, dim)
    called = "".join(part.capitalize() for part in function.split("_")) + "Backward0"
    if self.ndim == 0:
        flat = index_put_op(reshape_op(self, shape=(1,)), source, rows, dims=(0,), accumulate=accumulate, called=called)
        return reshape_op(flat, shape=())
    return index_put_op(self, source, rows, dims=(dim,), accumulate=accumulate, called=called)


def check_source(function: str, self: Tensor, dim: int, index: Tensor, source: Tensor) -> None:
    """Raises if `source` has not one slice for each index, of the right shape and dtype."""
    if source.dtype is not self.dtype:
        raise RuntimeError(f"{function}(): self ({self.dtype}) and source ({source.dtype}) must have the same scalar type")
    n = index.shape.numel()
    if self.ndim and source.ndim:
        at = wrap_dim(dim, self.ndim)
        expected = (*self.shape[:at], n, *self.shape[at + 1 :])
        if at < source.ndim and source.shape[at] != n:
            raise IndexError(
                f"{function}(): Number of indices ({n}) should be equal to source.size(dim): ({source.shape[at]}), for dim: {at}"
            )
        if tuple(source.shape) != expected:
            raise RuntimeError(
                f"{function}(): source of shape {list(source.shape)} must have the shape {list(expected)}, one slice of self for each index"
            )


def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Any = 1, out: Tensor | None = None) -> Tensor:
    """`input` with `alpha * source` added at `index` along `dim`; slices for one index add up.

    >>> from retrograd import index_add, ones, tensor, zeros
    >>> index_add(zeros(3), 0, tensor([0, 0, 2]), ones(3))
    tensor([2., 0., 1.])
    """
    check_source("index_add", input, dim, index, source)
    result = index_along("index_add", input, dim, index, source if alpha == 1 else mul(source, alpha), True)
    return result if out is None else write_out(out, result)


def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor, *, out: Tensor | None = None) -> Tensor:
    """`input` with the slices of `source` at `index` along `dim`."""
    check_source("index_copy", input, dim, index, source)
    result = index_along("index_copy", input, dim, index, source, False)
    return result if out is None else write_out(out, result)


def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """`input` with one number at `index` along `dim`."""
    if isinstance(value, Tensor):
        if value.ndim:
            raise RuntimeError(f"Only supports 0-dimension value tensor but got tensor with {value.ndim} dimensions.")
        source = cast(value, input.dtype)
    else:
        source = constant(np.asarray(number(value, input)))
    dim, rows = along_dim("index_fill", input, dim, index)
    refuse_negative("index_fill", input, rows, dim)
    if input.ndim == 0:
        return expand(source, ()) if index.shape.numel() else clone(input)
    marked = index_mark_op(rows, dims=(0,), shape=(input.shape[dim],))
    mask = reshape_op(marked, shape=(input.shape[dim], *(1,) * (input.ndim - 1 - dim)))
    return masked_fill_op(input, mask, source)


def indices_given(input: Tensor, indices: Any) -> tuple[Tensor, list[Tensor], list[int]]:
    """What `index_put` is given as indices, None meaning a whole dim."""
    if not isinstance(indices, (tuple, list)):
        raise TypeError(f"index_put(): argument 'indices' (position 1) must be tuple of Tensors, not {type(indices).__name__}")
    if len(indices) > input.ndim:
        raise IndexError(f"too many indices for tensor of dimension {input.ndim} (got {len(indices)})")
    return resolve(input, tuple(slice(None) if i is None else i for i in indices))


def index_put(input: Tensor, indices: Sequence[Any], values: Tensor, accumulate: bool = False) -> Tensor:
    """`input` with `values` at `indices` (one tensor per dim), or added there."""
    x, found, dims = indices_given(input, indices)
    if values.dtype is not input.dtype:
        raise RuntimeError(
            f"Index put requires the source and destination dtypes match, got {dtypes.scalar_name(input.dtype)} for the destination and {dtypes.scalar_name(values.dtype)} for the source."
        )
    return put(clone(x), found, tuple(dims), values, accumulate)


def index_put_(self: Tensor, indices: Sequence[Any], values: Tensor, accumulate: bool = False) -> Tensor:
    """In-place `index_put`."""
    x, found, dims = indices_given(self, indices)
    if values.dtype is not self.dtype:
        raise RuntimeError(
            f"Index put requires the source and destination dtypes match, got {dtypes.scalar_name(self.dtype)} for the destination and {dtypes.scalar_name(values.dtype)} for the source."
        )
    put(x, found, tuple(dims), values, accumulate)
    return self


def take(input: Tensor, index: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The elements at `index` of the flattened input, in the shape of `index`.

    >>> from retrograd import take, tensor
    >>> take(tensor([[4, 5], [6, 7]]), tensor([0, 3]))
    tensor([4, 7])
    """
    if index.dtype is not dtypes.int64:
        raise RuntimeError(f"take(): Expected a long tensor for index, but got {dtypes.scalar_name(index.dtype)}")
    if not input.shape.numel() and index.shape.numel():
        raise IndexError("take(): tried to take from an empty tensor")
    if not isinstance(index, Box) and index._data.size:
        n, low, high = input.shape.numel(), int(index._data.min()), int(index._data.max())
        if low < -n or high >= n:
            raise IndexError(f"out of range: tried to access index {high if high >= n else low} on a tensor of {n} elements.")
    result = index_op(ravel(input), index, dims=(0,), called="TakeBackward0")
    return result if out is None else write_out(out, result, input, index)


def put_(self: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """Writes the elements of `source` at `index` of the flattened tensor, or adds them there."""
    if index.dtype is not dtypes.int64:
        raise RuntimeError(f"put_(): Expected a long tensor for index, but got {dtypes.scalar_name(index.dtype)}")
    if index.shape.numel() != source.shape.numel():
        raise RuntimeError(
            f"put_(): Expected source and index to have the same number of elements, but got source.numel() = {source.shape.numel()}, index.numel() = {index.shape.numel()}"
        )
    flat = index_put_op(ravel(self), ravel(source), ravel(index), dims=(0,), accumulate=accumulate, called="PutBackward0")
    return store(self, reshape_op(flat, shape=tuple(self.shape)))


def repeat_interleave(input: Tensor, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None) -> Tensor:
    """Each slice along `dim` (of the flattened input without one) repeated: so often, or as often as a tensor says for it.

    >>> from retrograd import repeat_interleave, tensor
    >>> repeat_interleave(tensor([7, 8]), tensor([1, 2]))
    tensor([7, 8, 8])
    """
    if repeats is None:
        refuse_record()
        return wrap(np.repeat(np.arange(input.shape.numel()), input._data))
    x, dim = (ravel(input), 0) if dim is None else (input, wrap_dim(dim, input.ndim))
    if isinstance(repeats, Tensor):
        refuse_record()
    times = repeats._data.reshape(-1) if isinstance(repeats, Tensor) else np.array([repeats])
    if times.min(initial=0) < 0:
        raise RuntimeError("repeats can not be negative")
    if times.size not in (1, x.shape[dim]):
        raise RuntimeError(
            f"repeats must have the same size as input along dim, but got repeats.size(0) = {times.size} and input.size({dim}) = {x.shape[dim]}"
        )
    rows = constant(np.repeat(np.arange(x.shape[dim]), times if times.size != 1 else int(times[0])))
    return index_select(x, dim, rows)


# ---------------------------------------------------------------- masks


@elementwise(name="masked_fill", masks=("mask",), tensors=("input", "mask"))
def masked_fill_op(input, mask, value):
    """`value` where `mask`, else `input`"""
    return np.where(mask, value, input)


@masked_fill_op.derivative("input")
def _(g, mask):
    return where_op(mask, 0.0, g)


@masked_fill_op.derivative("value")
def _(g, mask):
    return where_op(mask, g, 0.0)


@masked_fill_op.kernel
def _(k, input, mask, value):
    return k.select(mask, value, input)


def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """`input` with one number wherever `mask` (bool, broadcast) is true.

    Raises:
        RuntimeError: if `mask` is not of dtype bool, or `value` has dims or does not fit the dtype.

    >>> from retrograd import masked_fill, tensor
    >>> masked_fill(tensor([1., 2.]), tensor([True, False]), 0)
    tensor([0., 2.])
    """
    if mask.dtype is not dtypes.bool:
        raise RuntimeError(f"masked_fill_ only supports boolean masks, but got mask with dtype {mask.dtype}")
    if isinstance(value, Tensor):
        if value.ndim:
            raise RuntimeError(f"masked_fill only supports a 0-dimensional value tensor, but got tensor with {value.ndim} dimension(s).")
        if value.dtype.is_complex and not input.dtype.is_complex:
            raise RuntimeError(f"value cannot be converted to type {input.dtype} without overflow")
        value = cast(value, input.dtype)
    elif (isinstance(value, complex) and not input.dtype.is_complex) or (
        isinstance(value, float) and input.dtype.category < dtypes.FLOATING and not value.is_integer()
    ):
        raise RuntimeError(f"value cannot be converted to type {input.dtype} without overflow")
    elif input.dtype.category < dtypes.FLOATING:
        value = constant(np.asarray(number(value, input)))
    return masked_fill_op(input, mask, value)


def masked_fill_(self: Tensor, mask: Tensor, value: Any) -> Tensor:
    """In-place `masked_fill`."""
    if mask.ndim > self.ndim:
        raise RuntimeError(f"expand({list(self.shape)}, size={list(mask.shape)}): the mask has more dims than the tensor")
    return store(self, masked_fill(self, mask, value))


def masked_select(input: Tensor, mask: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The elements where `mask` (bool, broadcast against the input) is true, as a vector."""
    if mask.dtype is not dtypes.bool:
        raise RuntimeError(f"masked_select: expected BoolTensor for mask, but got {dtypes.scalar_name(mask.dtype)}")
    shape = broadcast_shapes(input.shape, mask.shape)
    flat, chosen = ravel(expand(input, shape)), nonzero(ravel(expand(mask, shape)), as_tuple=True)[0]
    result = index_op(flat, chosen, dims=(0,), called="MaskedSelectBackward0")
    return result if out is None else write_out(out, result)


def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """`input` with the elements of `source`, one after the other, wherever `mask` is true.

    Raises:
        RuntimeError: if there are too few.
    """
    if mask.dtype is not dtypes.bool:
        raise RuntimeError(f"masked_scatter_ only supports boolean masks, but got mask with dtype {mask.dtype}")
    if source.dtype is not input.dtype:
        raise RuntimeError(f"masked_scatter: expected self and source to have same dtypes but got {input.dtype} and {source.dtype}")
    shape = broadcast_shapes(input.shape, mask.shape)
    chosen = nonzero(ravel(expand(mask, shape)), as_tuple=True)[0]
    if chosen.shape[0] > source.shape.numel():
        raise RuntimeError(
            f"masked_scatter_: expected self and source to have the same number of elements: the mask chooses {chosen.shape[0]}, but got source.numel() = {source.shape.numel()}"
        )
    values = narrow(ravel(source), 0, 0, chosen.shape[0])
    flat = index_put_op(ravel(expand(input, shape)), values, chosen, dims=(0,), accumulate=False, called="MaskedScatterBackward0")
    return reshape_op(flat, shape=shape)


@opaque(differentiable=False, sized_by_numbers=True)
def nonzero_op(input):
    """The indices of the elements that are not zero, one row each."""
    return np.argwhere(input).astype(np.int64, copy=False)


@nonzero_op.batch
def _(args, mapped):
    raise RuntimeError(
        "vmap: torch.nonzero (and indexing by a mask) gives every example a result of its own size; use where(mask, a, b) instead"
    )


def nonzero(input: Tensor, *, out: Tensor | None = None, as_tuple: bool = False) -> Any:
    """The indices of the elements that are not zero: one row each, or as a tuple with a vector for every dim.

    >>> from retrograd import nonzero, tensor
    >>> nonzero(tensor([[0, 1], [2, 0]]))
    tensor([[0, 1],
            [1, 0]])
    """
    if as_tuple:
        rows = nonzero_op(input if input.ndim else reshape_op(input, shape=(1,)))
        return tuple(select_op(rows, dim=1, index=d) for d in range(rows.shape[1]))
    result = nonzero_op(input)
    return result if out is None else write_out(out, result)


def argwhere(input: Tensor) -> Tensor:
    """The indices of the elements that are not zero, one row each."""
    return nonzero_op(input)
