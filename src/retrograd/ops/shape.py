"""Tensors seen in another shape, taken apart, turned, repeated. Nothing here computes with the elements.

Most of these are views of the basis' few (`reshape_op`, `permute_op`, `slice_op`, `select_op`, `expand_op`); the primitives
below are those that the basis does not need.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.core.families import linear, view, write_out
from retrograd.core.levels import refuse_record
from retrograd.core.tensor import Box, Tensor
from retrograd.dtypes import dtype
from retrograd.ops.basis import (
    clone_op,
    conj_of,
    expand,
    permute,
    permute_op,
    reshape,
    reshape_op,
    slice_op,
    sum_op,
    transpose,
)  # fmt: skip
from retrograd.ops.join import cat_op, stack_op
from retrograd.shapes import broadcast_shapes, contiguous_strides, flatten_ints, ints_or_named, resolve_shape, wrap_dim, wrap_dims

# ---------------------------------------------------------------- other shapes


def viewable(x: Any, shape: Sequence[int]) -> bool:
    """Whether an array can be seen in another shape without copying."""
    return x.flags.c_contiguous or x.size == 0 or np.may_share_memory(x.reshape(shape), x)


def view_(self: Tensor, *shape: Any) -> Tensor:
    """The same memory in another shape, one of whose sizes may be -1; or, given a dtype, its bytes read as that.

    Raises:
        RuntimeError: if the number of elements differs, or the strides do not allow it (`reshape` copies then).

    >>> from retrograd import arange
    >>> arange(4).view(2, -1)
    tensor([[0, 1],
            [2, 3]])
    """
    if len(shape) == 1 and isinstance(shape[0], dtype):
        return view_dtype(self, shape[0])
    sizes = resolve_shape(flatten_ints(shape), self.shape.numel())
    if not isinstance(self, Box) and not viewable(self._data, sizes):
        raise RuntimeError(
            "view size is not compatible with input tensor's size and stride (at least one dimension spans across two contiguous "
            f"subspaces). Use .reshape(...) instead. (The shape is {list(self.shape)}, the strides {list(strides_of(self))}, "
            f"and the size asked for {list(sizes)}.)"
        )
    return reshape_op(self, shape=sizes)


def strides_of(self: Tensor) -> tuple[int, ...]:
    """How many elements further in memory the next element along each dim is."""
    data = self._data
    return tuple([s // data.itemsize for s in data.strides]) if data.size else contiguous_strides(data.shape)


@view(differentiable=False, name="view_dtype")
def view_dtype_op(input, *, dtype):
    """The bytes of each element (or of each row) read as another dtype."""
    return input.view(dtype.numpy) if input.ndim else input.reshape(1).view(dtype.numpy).reshape(())


def view_dtype(self: Tensor, to: dtype) -> Tensor:
    """The bytes of `self` read as another dtype."""
    if self.ndim == 0 and to.itemsize != self.dtype.itemsize:  # type: ignore[operator]
        raise RuntimeError(f"self.dim() cannot be 0 to view {self.dtype} as {to} (different element sizes)")
    if self.ndim and self.shape[-1] * self.dtype.itemsize % to.itemsize:
        raise RuntimeError(
            f"self.size(-1) must be divisible by {to.itemsize // self.dtype.itemsize} to view {self.dtype} as {to} "  # type: ignore[operator]
            f"(different element sizes), but got {self.shape[-1]}"
        )
    return view_dtype_op(self, dtype=to)


def view_as(self: Tensor, other: Tensor) -> Tensor:
    """The same memory in the shape of `other`."""
    return view_(self, tuple(other.shape))


def reshape_as(self: Tensor, other: Tensor) -> Tensor:
    """The same elements in the shape of `other`."""
    return reshape(self, tuple(other.shape))


def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """A view with a new dim of size 1 before `dim`. Raises IndexError if `dim` is out of range.

    >>> from retrograd import ones, unsqueeze
    >>> unsqueeze(ones(2), -1)
    tensor([[1.],
            [1.]])
    """
    dim = wrap_dim(dim, input.ndim + 1)
    return reshape_op(input, shape=(*input.shape[:dim], 1, *input.shape[dim:]), called="UnsqueezeBackward0")


def squeeze(input: Tensor, dim: Any = None) -> Tensor:
    """A view without the dims of size 1: all of them, or those among `dim` (an int or several).

    >>> from retrograd import squeeze, zeros
    >>> squeeze(zeros(1, 2, 1)).shape, squeeze(zeros(1, 2, 1), 0).shape
    (torch.Size([2]), torch.Size([2, 1]))
    """
    if dim is None:
        dims, called = tuple(range(input.ndim)), "SqueezeBackward0"
    elif isinstance(dim, (tuple, list)):
        dims, called = tuple(wrap_dims(dim, input.ndim)) if dim else (), "SqueezeBackward2"
    else:
        dims, called = (wrap_dim(dim, input.ndim),), "SqueezeBackward1"
    shape = tuple(n for d, n in enumerate(input.shape) if n != 1 or d not in dims)
    return reshape_op(input, shape=shape, called=called)


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """The dims from `start_dim` to `end_dim` (included) as one. A view where possible.

    Raises:
        RuntimeError: if `start_dim` comes after `end_dim`.

    >>> from retrograd import zeros
    >>> zeros(2, 3, 4).flatten(1).shape
    torch.Size([2, 12])
    """
    start, end = wrap_dim(start_dim, input.ndim), wrap_dim(end_dim, input.ndim)
    if start > end:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    if input.ndim == 0:
        return reshape(input, (1,))
    if start == end:
        return input
    shape = input.shape
    return reshape(input, (*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :]))


def ravel(input: Tensor) -> Tensor:
    """All elements in one dim. A view where possible."""
    return reshape(input, (-1,)) if input.shape.numel() else reshape(input, (0,))


def unflatten(input: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """One dim as several; one of `sizes` may be -1.

    Raises:
        RuntimeError: if the sizes do not multiply to that of the dim.

    >>> from retrograd import zeros
    >>> zeros(6, 2).unflatten(0, (3, -1)).shape
    torch.Size([3, 2, 2])
    """
    dim = wrap_dim(dim, input.ndim)
    sizes = tuple(sizes) if isinstance(sizes, (tuple, list)) else (sizes,)  # type: ignore[assignment]
    if not sizes:
        raise RuntimeError("unflatten: sizes must be non-empty")
    try:
        new = resolve_shape(sizes, input.shape[dim])
    except RuntimeError:
        raise RuntimeError(
            f"unflatten: Provided sizes {list(sizes)} don't multiply up to the size of dim {dim} ({input.shape[dim]}) in the input tensor"
        ) from None
    return reshape_op(input, shape=(*input.shape[:dim], *new, *input.shape[dim + 1 :]))


def contiguous(self: Tensor, memory_format: Any = None) -> Tensor:
    """The tensor itself if its elements lie in row-major order, else a copy in which they do."""
    if isinstance(self, Box) or self._data.flags.c_contiguous:
        return self
    return clone_op(self)


def expand_as(self: Tensor, other: Tensor) -> Tensor:
    """Expanded, without copying, to the shape of `other`."""
    return expand(self, tuple(other.shape))


def broadcast_to(input: Tensor, *size: Any, **named: Any) -> Tensor:
    """Expanded, without copying, to `shape`."""
    return expand(input, ints_or_named(size, named, "size"))


def broadcast_tensors(*tensors: Any) -> tuple[Tensor, ...]:
    """All tensors expanded, without copying, to the one shape they broadcast to. Raises RuntimeError if there is none."""
    given: Sequence[Any] = flatten_ints(tensors)
    shape = broadcast_shapes(*(x.shape for x in given))
    return tuple(expand(x, shape) for x in given)


# ---------------------------------------------------------------- dims in another order


def movedim(input: Tensor, source: Any, destination: Any) -> Tensor:
    """A view with the dims `source` (an int or several) put where `destination` says, the others in their order.

    Raises:
        RuntimeError: if a dim is named twice, or the two differ in length.

    >>> from retrograd import movedim, zeros
    >>> movedim(zeros(2, 3, 4), 0, -1).shape
    torch.Size([3, 4, 2])
    """
    given = [(d,) if isinstance(d, int) else tuple(d) for d in (source, destination)]
    if len(given[0]) != len(given[1]):
        raise RuntimeError(
            f"movedim: Invalid source or destination dims: source ({list(given[0])} dims) should contain the same number of dims "
            f"as destination ({list(given[1])} dims)"
        )
    come, go = (tuple(wrap_dim(d, input.ndim) for d in dims) for dims in given)
    for what, dims in (("source", come), ("destination", go)):
        if len(set(dims)) != len(dims):
            raise RuntimeError(f"movedim: repeated dim in `{what}` ({list(dims)})")
    if input.ndim == 0:
        return input
    rest = iter([d for d in range(input.ndim) if d not in come])
    placed = dict(zip(go, come, strict=True))
    return permute(input, [placed[d] if d in placed else next(rest) for d in range(input.ndim)])


moveaxis = movedim
swapaxes = transpose
swapdims = transpose


def reversed_dims(self: Tensor) -> Tensor:
    """The tensor with its dims in the opposite order: `x.T`."""
    return permute_op(self, dims=tuple(reversed(range(self.ndim))))


def adjoint(input: Tensor) -> Tensor:
    """The conjugate transpose in the last two dims. Raises RuntimeError if there are fewer."""
    if input.ndim < 2:
        raise RuntimeError(f"tensor.adjoint() is only supported on matrices or batches of matrices. Got {input.ndim}-D tensor.")
    return conj_of(transpose(input, -2, -1))


def matrix_transpose(self: Tensor) -> Tensor:
    """The transpose in the last two dims: `x.mT`. Raises RuntimeError if there are fewer."""
    if self.ndim < 2:
        raise RuntimeError(f"tensor.mT is only supported on matrices or batches of matrices. Got {self.ndim}-D tensor.")
    return transpose(self, -2, -1)


def hermitian(self: Tensor) -> Tensor:
    """The conjugate transpose of a matrix: `x.H`. Raises RuntimeError for other numbers of dims than 2 and 0."""
    if self.ndim not in (0, 2):
        raise RuntimeError(f"tensor.H is only supported on matrices (2-D tensors). Got {self.ndim}-D tensor.")
    return adjoint(self) if self.ndim else conj_of(self)


# ---------------------------------------------------------------- parts


def narrow(input: Tensor, dim: int, start: Any, length: int) -> Tensor:
    """A view of `length` slices along `dim`, from `start` on.

    Raises:
        RuntimeError: if that is more than there are.

    >>> from retrograd import arange, narrow
    >>> narrow(arange(5), 0, 1, 3)
    tensor([1, 2, 3])
    """
    if input.ndim == 0:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    if length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    if isinstance(start, Tensor):
        if start.ndim or start.dtype.category != dtypes.INTEGER:
            raise RuntimeError("start must be an 0-dim integral Tensor.")
        refuse_record()
        start = int(start._data)
    dim, start = wrap_dim(dim, input.ndim), operator.index(start)
    n = input.shape[dim]
    if not -n <= start <= n:
        raise IndexError(f"start out of range (expected to be in range of [{-n}, {n}], but got {start})")
    start += n if start < 0 else 0
    if start + length > n:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({n}).")
    return slice_op(input, dim=dim, start=start, end=start + length, step=1)


def called_so(params: dict[str, Any]) -> str:
    """The name of the derivative that the caller gave."""
    return str(params["called"])


@view(name="split", outputs=("pieces",), many=True, derivative_name=called_so)
def split_op(input, *, sizes, dim, called):
    """Pieces of these sizes along `dim`."""
    ends = list(itertools.accumulate(sizes))
    lead = (slice(None),) * dim
    return tuple([input[(*lead, slice(end - n, end))] for n, end in zip(sizes, ends, strict=True)])


@split_op.transpose
def _(g, dim):
    return cat_op(*g, dim=dim)


@view(name="unbind", outputs=("slices",), many=True)
def unbind_op(input, *, dim):
    """Every slice along `dim`, without that dim."""
    return tuple(input if dim == 0 else np.moveaxis(input, dim, 0)) if input.ndim > 1 else tuple([input[i, ...] for i in range(len(input))])


@unbind_op.transpose
def _(g, dim):
    return stack_op(*g, dim=dim)


def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """The slices along `dim`, without that dim: views.

    >>> from retrograd import tensor, unbind
    >>> unbind(tensor([[1, 2], [3, 4]]))
    (tensor([1, 2]), tensor([3, 4]))
    """
    if input.ndim == 0:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    return unbind_op(input, dim=wrap_dim(dim, input.ndim))


def split(tensor: Tensor, split_size_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of `tensor` along `dim`: of one size, the last perhaps smaller, or of the sizes listed.

    Raises:
        RuntimeError: if the sizes listed do not add up to that of the dim.

    >>> from retrograd import arange, split
    >>> split(arange(5), 2), split(arange(5), [1, 4])
    ((tensor([0, 1]), tensor([2, 3]), tensor([4])), (tensor([0]), tensor([1, 2, 3, 4])))
    """
    if tensor.ndim == 0:
        raise RuntimeError("split expects at least a 1-dimensional tensor")
    dim = wrap_dim(dim, tensor.ndim)
    n = tensor.shape[dim]
    if isinstance(split_size_or_sections, (tuple, list)):
        return split_with_sizes(tensor, split_size_or_sections, dim)
    size = operator.index(split_size_or_sections)
    if size < 0:
        raise RuntimeError(f"split expects split_size be non-negative, but got split_size={size}")
    if size == 0 and n:
        raise RuntimeError(f"split_size can only be 0 if dimension size is 0, but got dimension size of {n}")
    sizes = [min(size, n - start) for start in range(0, n, size)] if size and n else [n]
    return split_op(tensor, sizes=tuple(sizes), dim=dim, called="SplitBackward0")


def split_with_sizes(self: Tensor, split_sizes: Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Views of these sizes along `dim`."""
    dim = wrap_dim(dim, self.ndim)
    sizes, n = tuple(operator.index(s) for s in split_sizes), self.shape[dim]
    if sum(sizes) != n or min(sizes, default=0) < 0:
        raise RuntimeError(
            f"split_with_sizes expects split_sizes to sum exactly to {n} (input tensor's size at dimension {dim}), but got split_sizes={list(sizes)}"
        )
    return split_op(self, sizes=sizes, dim=dim, called="SplitWithSizesBackward0")


def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most `chunks` views along `dim`, of one size save the last.

    >>> from retrograd import arange, chunk
    >>> chunk(arange(5), 2)
    (tensor([0, 1, 2]), tensor([3, 4]))
    """
    if input.ndim == 0:
        raise RuntimeError("chunk expects at least a 1-dimensional tensor")
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    n = input.shape[wrap_dim(dim, input.ndim)]
    if n == 0:
        return split_with_sizes(input, [0] * chunks, dim)
    return split(input, -(-n // chunks), dim)


def tensor_split(input: Tensor, indices_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Views along `dim`: so many, as equal as can be, or cut at the indices listed.

    >>> from retrograd import arange, tensor_split
    >>> tensor_split(arange(5), 2), tensor_split(arange(5), (1, 3))
    ((tensor([0, 1, 2]), tensor([3, 4])), (tensor([0]), tensor([1, 2]), tensor([3, 4])))
    """
    if input.ndim == 0:
        raise RuntimeError("tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims")
    dim = wrap_dim(dim, input.ndim)
    n = input.shape[dim]
    if isinstance(indices_or_sections, Tensor):
        if indices_or_sections.dtype is not dtypes.int64:
            raise RuntimeError(
                f"tensor_split expected tensor_indices_or_sections to have dtype of long, but got {indices_or_sections.dtype}"
            )
        indices_or_sections = indices_or_sections.tolist()
    if isinstance(indices_or_sections, int):
        if indices_or_sections <= 0:
            raise RuntimeError(f"number of sections must be larger than 0, got {indices_or_sections}")
        small, more = divmod(n, indices_or_sections)
        ends = list(itertools.accumulate([small + (i < more) for i in range(indices_or_sections)]))[:-1]
    else:
        ends = [operator.index(i) for i in indices_or_sections]
    edges = [slice(a, b).indices(n)[:2] for a, b in itertools.pairwise([0, *ends, n])]
    return tuple(slice_op(input, dim=dim, start=a, end=max(a, b), step=1) for a, b in edges)


def split_along(name: str, dim: int, least: int) -> Any:
    """hsplit, vsplit and dsplit: `tensor_split` along one dim, into sections that must be equal."""

    def function(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
        if input.ndim < least:
            raise RuntimeError(
                f"torch.{name} requires a tensor with at least {least} dimension{'s' * (least > 1)}, but got a tensor with {input.ndim} dimensions!"
            )
        at = 0 if input.ndim == 1 else dim
        if isinstance(indices_or_sections, int) and (indices_or_sections <= 0 or input.shape[at] % indices_or_sections):
            raise RuntimeError(
                f"torch.{name} attempted to split along dimension {at}, but the size of the dimension {input.shape[at]} is not divisible by the split_size {indices_or_sections}!"
            )
        return tensor_split(input, indices_or_sections, at)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = (
        f"Views along dim {dim}: so many of one size, or cut at the indices listed. Raises RuntimeError if they cannot be equal."
    )
    return function


hsplit = split_along("hsplit", 1, 1)
vsplit = split_along("vsplit", 0, 2)
dsplit = split_along("dsplit", 2, 3)


# ---------------------------------------------------------------- diagonals and triangles


@view(name="diagonal")
def diagonal_op(input, *, offset, dim1, dim2):
    """The elements where the indices along two dims differ by `offset`, as the last dim."""
    y = np.diagonal(input, offset, dim1, dim2)
    if y.base is not None and input.flags.writeable:
        y.flags.writeable = True
    return y


@diagonal_op.transpose
def _(g, input_shape, offset, dim1, dim2):
    return embed_diagonal_op(g, shape=input_shape, offset=offset, dim1=dim1, dim2=dim2)


@diagonal_op.batch
def _(args, mapped, *, offset, dim1, dim2):
    return diagonal_op(args[0], offset=offset, dim1=dim1 + 1, dim2=dim2 + 1)


@linear(name="diag_embed")
def embed_diagonal_op(input, *, shape, offset, dim1, dim2):
    """The transpose of `diagonal`: zeros of `shape` with `input` on a diagonal."""
    out = np.zeros(shape, input.dtype)
    diagonal = np.diagonal(out, offset, dim1, dim2)
    diagonal.flags.writeable = True
    diagonal[...] = input
    return out


@embed_diagonal_op.transpose
def _(g, offset, dim1, dim2):
    return diagonal_op(g, offset=offset, dim1=dim1, dim2=dim2)


@embed_diagonal_op.batch
def _(args, mapped, *, shape, offset, dim1, dim2):
    return embed_diagonal_op(args[0], shape=(args[0].shape[0], *shape), offset=offset, dim1=dim1 + 1, dim2=dim2 + 1)


def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """A view of the diagonals of the matrices in two dims, as the last dim.

    Raises:
        RuntimeError: if the two dims are one.

    >>> from retrograd import diagonal, eye
    >>> diagonal(eye(3), 1)
    tensor([0., 0.])
    """
    first, second = wrap_dim(dim1, input.ndim), wrap_dim(dim2, input.ndim)
    if first == second:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    return diagonal_op(input, offset=offset, dim1=first, dim2=second)


def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Matrices with the last dim of `input` on a diagonal and zeros elsewhere."""
    ndim = input.ndim + 1
    first, second = wrap_dim(dim1, ndim), wrap_dim(dim2, ndim)
    if first == second:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    n = input.shape[-1] + abs(offset)
    rest = iter(input.shape[:-1])
    shape = tuple(n if d in (first, second) else next(rest) for d in range(ndim))
    return embed_diagonal_op(input, shape=shape, offset=offset, dim1=first, dim2=second)


def diag(input: Tensor, diagonal: int = 0, *, out: Tensor | None = None) -> Tensor:
    """The diagonal of a matrix, or the matrix with a vector on its diagonal.

    Raises:
        RuntimeError: if `input` has neither one dim nor two.

    >>> from retrograd import diag, tensor
    >>> diag(tensor([1, 2]))
    tensor([[1, 0],
            [0, 2]])
    """
    if input.ndim not in (1, 2):
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {input.ndim}D")
    result = diag_embed(input, diagonal) if input.ndim == 1 else clone_op(diagonal_op(input, offset=diagonal, dim1=0, dim2=1))
    return result if out is None else write_out(out, result)


def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """The matrix with all elements of `input` on its diagonal."""
    return diag_embed(ravel(input), offset)


@linear(name="tril")
def tril_op(input, *, diagonal):
    """The lower triangles of matrices, zeros above."""
    return np.tril(input, diagonal)


@tril_op.lowering
def _(k, input, *, diagonal):
    rank = len(input.shape)
    below = k.le(k.iota(input.shape, rank - 1), k.add(k.iota(input.shape, rank - 2), diagonal))
    return k.select(below, input, k.const(0, input))


@tril_op.transpose
def _(g, diagonal):
    return tril_op(g, diagonal=diagonal)


@tril_op.batch
def _(args, mapped, *, diagonal):
    return tril_op(args[0], diagonal=diagonal)


@linear(name="triu")
def triu_op(input, *, diagonal):
    """The upper triangles of matrices, zeros below."""
    return np.triu(input, diagonal)


@triu_op.lowering
def _(k, input, *, diagonal):
    rank = len(input.shape)
    above = k.ge(k.iota(input.shape, rank - 1), k.add(k.iota(input.shape, rank - 2), diagonal))
    return k.select(above, input, k.const(0, input))


@triu_op.transpose
def _(g, diagonal):
    return triu_op(g, diagonal=diagonal)


@triu_op.batch
def _(args, mapped, *, diagonal):
    return triu_op(args[0], diagonal=diagonal)


def tril(input: Tensor, diagonal: int = 0, *, out: Tensor | None = None) -> Tensor:
    """The lower triangles (up to `diagonal`, included) of the matrices in the last two dims; zeros above.

    >>> from retrograd import ones, tril
    >>> tril(ones(2, 2))
    tensor([[1., 0.],
            [1., 1.]])
    """
    return triangle("tril", tril_op, input, diagonal, out)


def triu(input: Tensor, diagonal: int = 0, *, out: Tensor | None = None) -> Tensor:
    """The upper triangles (from `diagonal`, included) of the matrices in the last two dims; zeros below."""
    return triangle("triu", triu_op, input, diagonal, out)


def triangle(name: str, op: Any, input: Tensor, diagonal: int, out: Any) -> Tensor:
    """tril and triu."""
    if input.ndim < 2:
        raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions")
    result = op(input, diagonal=diagonal)
    return result if out is None else write_out(out, result)


# ---------------------------------------------------------------- turned


@linear(name="flip")
def flip_op(input, *, dims):
    """The opposite order along `dims`."""
    return np.flip(input, dims).copy()


@flip_op.transpose
def _(g, dims):
    return flip_op(g, dims=dims)


def flip(input: Tensor, *dims: Any, **named: Any) -> Tensor:
    """A copy in the opposite order along `dims`.

    Raises:
        RuntimeError: if a dim is named twice.

    >>> from retrograd import arange, flip
    >>> flip(arange(3), [0])
    tensor([2, 1, 0])
    """
    given = ints_or_named(dims, named, "dims")
    return flip_op(input, dims=wrap_dims(given, input.ndim) if given else ())


def fliplr(input: Tensor) -> Tensor:
    """Columns in the opposite order. Raises RuntimeError for fewer than two dims."""
    if input.ndim < 2:
        raise RuntimeError("Input must be >= 2-d.")
    return flip(input, 1)


def flipud(input: Tensor) -> Tensor:
    """Rows in the opposite order. Raises RuntimeError without dims."""
    if input.ndim < 1:
        raise RuntimeError("Input must be >= 1-d.")
    return flip(input, 0)


def rot90(input: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """Turned by 90 degrees `k` times in the plane of two dims, from the first towards the second."""
    if len(dims) != 2:
        raise RuntimeError(f"expected total rotation dims == 2, but got dims = {len(dims)}")
    if input.ndim < 2:
        raise RuntimeError(f"expected total dims >= 2, but got total dims = {input.ndim}")
    if dims[0] == dims[1] or abs(dims[0] - dims[1]) == input.ndim:
        raise RuntimeError(f"expected rotation dims to be different, but got dim0 = {dims[0]} and dim1 = {dims[1]}")
    first, second = (wrap_dim(d, input.ndim) for d in dims)
    turns = k % 4
    if turns == 0:
        return clone_op(input)
    if turns == 2:
        return flip(input, first, second)
    return transpose(flip(input, second), first, second) if turns == 1 else flip(transpose(input, first, second), second)


@linear(name="roll")
def roll_op(input, *, shifts, dims):
    """Moved along `dims`; what falls off at the end comes in at the front."""
    return np.roll(input, shifts, dims)


@roll_op.transpose
def _(g, shifts, dims):
    return roll_op(g, shifts=tuple([-s for s in shifts]), dims=dims)


def roll(input: Tensor, shifts: Any, dims: Any = None) -> Tensor:
    """Moves the elements along `dims` by `shifts`; what falls off at the end comes in at the front. Without dims, flattened.

    Raises:
        RuntimeError: if there are not as many shifts as dims.

    >>> from retrograd import arange, roll
    >>> roll(arange(4), 1)
    tensor([3, 0, 1, 2])
    """
    moves = (shifts,) if isinstance(shifts, int) else tuple(shifts)
    if not moves:
        raise RuntimeError("`shifts` required")
    if dims is None or dims == () or dims == []:
        if len(moves) != 1:
            raise RuntimeError(f"shifts and dimensions must align. shifts: {len(moves)}, dims:0")
        return reshape_op(roll_op(ravel(input), shifts=moves, dims=(0,)), shape=tuple(input.shape))
    along = (dims,) if isinstance(dims, int) else tuple(dims)
    if len(along) != len(moves):
        raise RuntimeError(f"shifts and dimensions must align. shifts: {len(moves)}, dims:{len(along)}")
    if input.ndim == 0:
        raise IndexError(f"Dimension specified as {along[0]} but tensor has no dimensions")
    return roll_op(input, shifts=moves, dims=tuple(wrap_dim(d, input.ndim) for d in along))


# ---------------------------------------------------------------- repeated and overlapping


@linear(name="repeat")
def repeat_op(input, *, repeats):
    """Copies of the whole beside each other, so many along each dim; `repeats` may name more dims, which come first."""
    return np.tile(input, repeats)


@repeat_op.transpose
def _(g, input_shape, repeats):
    shape = (1,) * (len(repeats) - len(input_shape)) + tuple(input_shape)
    pairs = tuple(itertools.chain.from_iterable(zip(repeats, shape, strict=True)))
    summed = sum_op(reshape_op(g, shape=pairs), dims=tuple(range(0, len(pairs), 2)), keepdim=False)
    return reshape_op(summed, shape=tuple(input_shape))


@repeat_op.batch
def _(args, mapped, *, repeats):
    x = args[0]
    x = reshape_op(x, shape=(x.shape[0], *(1,) * (len(repeats) - len(x.shape) + 1), *x.shape[1:]))
    return repeat_op(x, repeats=(1, *repeats))


def repeat(self: Tensor, *repeats: Any, **named: Any) -> Tensor:
    """Copies of the tensor beside each other, so many along each dim; more numbers than dims make new dims in front.

    Raises:
        RuntimeError: if there are fewer numbers than dims.

    >>> from retrograd import tensor
    >>> tensor([1, 2]).repeat(2, 2)
    tensor([[1, 2, 1, 2],
            [1, 2, 1, 2]])
    """
    times = tuple(operator.index(n) for n in ints_or_named(repeats, named, "repeats"))
    if len(times) < self.ndim:
        raise RuntimeError("Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor")
    if min(times, default=0) < 0:
        raise RuntimeError(f"Trying to create tensor with negative dimension: repeats are {list(times)}")
    return repeat_op(self, repeats=times)


def tile(input: Tensor, *dims: Any, **named: Any) -> Tensor:
    """As `repeat`; fewer numbers than dims count for the last dims."""
    times = ints_or_named(dims, named, "dims")
    return repeat(input, (1,) * (input.ndim - len(times)) + tuple(times))


@view(name="unfold")
def unfold_op(input, *, dim, size, step):
    """Windows of `size` along `dim`, every `step`; what is in the window becomes the last dim."""
    n, strides = (input.shape[dim] - size) // step + 1, input.strides
    shape = (*input.shape[:dim], n, *input.shape[dim + 1 :], size)
    strides = (*strides[:dim], strides[dim] * step, *strides[dim + 1 :], strides[dim])
    return np.lib.stride_tricks.as_strided(input, shape, strides)


@unfold_op.transpose
def _(g, input_shape, dim, size, step):
    return overlap_add_op(g, dim=dim, step=step, n=input_shape[dim])


@unfold_op.batch
def _(args, mapped, *, dim, size, step):
    return unfold_op(args[0], dim=dim + 1, size=size, step=step)


@linear
def overlap_add_op(input, *, dim, step, n):
    """The transpose of `unfold`: windows added up where they overlap, in zeros of size `n` along `dim`."""
    windows, size = input.shape[dim], input.shape[-1]
    out = np.zeros((*input.shape[:dim], n, *input.shape[dim + 1 : -1]), input.dtype)
    lead = (slice(None),) * dim
    for i in range(size):
        out[(*lead, slice(i, i + (windows - 1) * step + 1, step))] += input[..., i]
    return out


@overlap_add_op.transpose
def _(g, input_shape, dim, step):
    return unfold_op(g, dim=dim, size=input_shape[-1], step=step)


@overlap_add_op.batch
def _(args, mapped, *, dim, step, n):
    return overlap_add_op(args[0], dim=dim + 1, step=step, n=n)


def unfold(self: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """A view of the windows of `size` along a dim, one every `step`; what is in the window becomes the last dim.

    Raises:
        RuntimeError: if `size` is larger than the dim, or `step` not positive.

    >>> from retrograd import arange
    >>> arange(5).unfold(0, 3, 2)
    tensor([[0, 1, 2],
            [2, 3, 4]])
    """
    dim = wrap_dim(dimension, self.ndim)
    n = self.shape[dim] if self.ndim else 1
    if size < 0:
        raise RuntimeError(f"size is {size} but must be >= 0")
    if size > n:
        raise RuntimeError(f"maximum size for tensor at dimension {dim} is {n} but size is {size}")
    if step <= 0:
        raise RuntimeError(f"step is {step} but must be > 0")
    if self.ndim == 0:
        return reshape_op(self, shape=(1,)) if size else slice_op(reshape_op(self, shape=(1,)), dim=0, start=0, end=0, step=1)
    return unfold_op(self, dim=dim, size=size, step=step)
