"""The basis: the operations that the derivatives of all others are written in, closed under differentiation and batching.

This is the only file where rules refer to each other in a circle (the transpose of `sum` is `expand`, that of `expand` is
`sum`); every other file of `ops/` uses what stands before it. `f_op` is the primitive beneath a public `f` whose signature
PyTorch gave defaults, aliases or positional metadata.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.config import settings
from retrograd.core.families import align, elementwise, linear, multilinear, opaque, reduction, unbroadcast, view, write_out
from retrograd.core.tensor import Tensor, constant
from retrograd.dtypes import dtype
from retrograd.shapes import contiguous_strides, ints_or_named, resolve_shape, wrap_dim, wrap_dims

# ---------------------------------------------------------------- arithmetic


@elementwise(commutative=True, identity=0, tensors=())
def add_op(input, other):
    """input + other"""
    return np.add(input, other)


@add_op.derivative("input")
def _():
    return 1


@add_op.derivative("other")
def _():
    return 1


@add_op.kernel
def _(k, input, other):
    return k.add(input, other)


def add(input: Any, other: Any, *, alpha: Any = 1, out: Any = None) -> Tensor:
    """Adds `alpha * other` to `input`, broadcasting.

    Raises:
        RuntimeError: if the shapes do not broadcast, or `alpha` is a float and both are of integer dtype.

    >>> from retrograd import add, tensor
    >>> add(tensor([1, 2]), tensor([10, 20]), alpha=2)
    tensor([21, 42])
    """
    return with_alpha(add_op, input, other, alpha, out)


@elementwise(tensors=())
def sub_op(input, other):
    """input - other"""
    return np.subtract(input, other)


@sub_op.derivative("input")
def _():
    return 1


@sub_op.derivative("other")
def _():
    return -1


@sub_op.kernel
def _(k, input, other):
    return k.sub(input, other)


def sub(input: Any, other: Any, *, alpha: Any = 1, out: Any = None) -> Tensor:
    """Subtracts `alpha * other` from `input`, broadcasting.

    Raises:
        RuntimeError: if the shapes do not broadcast, or an operand is of dtype bool.
    """
    if is_bool(input) and is_bool(other):
        raise RuntimeError(
            "Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or `logical_xor()` operator instead."
        )
    if is_bool(input) or is_bool(other):
        raise RuntimeError(
            "Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying to invert a mask, use the `~` or `logical_not()` operator instead."
        )
    return with_alpha(sub_op, input, other, alpha, out)


def is_bool(x: Any) -> bool:
    """Whether an operand of a subtraction is of dtype bool."""
    return (isinstance(x, Tensor) and x.dtype is dtypes.bool) or x is True or x is False


def with_alpha(op: Any, input: Any, other: Any, alpha: Any, out: Any) -> Tensor:
    """`op(input, alpha * other)`, as `add` and `sub` have it."""
    if alpha != 1 or isinstance(alpha, bool):
        kinds = [dtypes.of_number(x, dtypes.float32) if not isinstance(x, Tensor) else x.dtype for x in (input, other)]
        if isinstance(alpha, bool) and not all(d is dtypes.bool for d in kinds):
            raise RuntimeError("Boolean alpha only supported for Boolean results.")
        if isinstance(alpha, float) and max(d.category for d in kinds) < dtypes.FLOATING:
            raise RuntimeError("For integral input tensors, argument alpha must not be a floating point number.")
        other = mul(other, alpha) if isinstance(other, Tensor) else other * alpha
    result = op(input, other)
    return result if out is None else write_out(out, result)


@elementwise(commutative=True, identity=1, tensors=())
def mul(input, other):
    """Multiplies elements, broadcasting.

    >>> from retrograd import mul, tensor
    >>> mul(tensor([1.0, 2.0]), 3)
    tensor([3., 6.])
    """
    return np.multiply(input, other)


@mul.derivative("input")
def _(other):
    return other


@mul.derivative("other")
def _(input):
    return input


@mul.kernel
def _(k, input, other):
    return k.mul(input, other)


@elementwise(name="div", result="floating", tensors=())
def div_op(input, other):
    """input / other"""
    return np.true_divide(input, other)


@div_op.derivative("input")
def _(g, other):
    return g / conj_of(other)


@div_op.derivative("other")
def _(g, input, other):
    other = conj_of(other)
    return -g * ((conj_of(input) / other) / other)


@div_op.kernel
def _(k, input, other):
    return k.div(input, other)


def conj_of(x: Any) -> Any:
    """The conjugate of a complex operand; anything else as it is."""
    if isinstance(x, Tensor):
        return x.conj() if x.dtype.is_complex else x
    return np.conj(x) if np.iscomplexobj(x) else x


@elementwise(preserves_zero=True, inverse="neg")
def neg(input):
    """The negative of each element. Raises RuntimeError for bool.

    >>> from retrograd import neg, tensor
    >>> neg(tensor([1., -2.]))
    tensor([-1.,  2.])
    """
    if getattr(input, "dtype", None) == np.bool_:
        raise RuntimeError(
            "Negation, the `-` operator, on a bool tensor is not supported. If you are trying to invert a mask, use the `~` or `logical_not()` operator instead."
        )
    return np.negative(input)


@neg.derivative("input")
def _():
    return -1


@neg.kernel
def _(k, input):
    return k.neg(input)


# ---------------------------------------------------------------- comparison and choice


@elementwise(result="bool", commutative=True, tensors=("input",))
def eq(input, other):
    """Where `input == other`.

    >>> from retrograd import eq, tensor
    >>> eq(tensor([1, 2]), 2)
    tensor([False,  True])
    """
    return np.equal(input, other)


@eq.kernel
def _(k, input, other):
    return k.eq(input, other)


@elementwise(result="bool", commutative=True, tensors=("input",))
def ne(input, other):
    """Where `input != other`."""
    return np.not_equal(input, other)


@ne.kernel
def _(k, input, other):
    return k.ne(input, other)


@elementwise(result="bool", tensors=("input",), refuses=("complex",))
def lt(input, other):
    """Where `input < other`."""
    return np.less(input, other)


@lt.kernel
def _(k, input, other):
    return k.lt(input, other)


@elementwise(result="bool", tensors=("input",), refuses=("complex",))
def le(input, other):
    """Where `input <= other`."""
    return np.less_equal(input, other)


@le.kernel
def _(k, input, other):
    return k.le(input, other)


@elementwise(result="bool", tensors=("input",), refuses=("complex",))
def gt(input, other):
    """Where `input > other`."""
    return np.greater(input, other)


@gt.kernel
def _(k, input, other):
    return k.gt(input, other)


@elementwise(result="bool", tensors=("input",), refuses=("complex",))
def ge(input, other):
    """Where `input >= other`."""
    return np.greater_equal(input, other)


@ge.kernel
def _(k, input, other):
    return k.ge(input, other)


@elementwise(name="where", masks=("condition",))
def where_op(condition, input, other):
    """`input` where `condition`, else `other`"""
    if is_zero(other) and is_large_float(input, condition):
        return kept(input, condition)
    if is_zero(input) and is_large_float(other, condition):
        return kept(other, ~condition)
    return np.where(condition, input, other)


# Note [Selecting without branches]
# NumPy's `where` looks at every element and jumps; with conditions as irregular as ReLU's it takes ten times as long as
# arithmetic. Where one side is zero, the other's bits are cleared by a mask of all ones or all zeros instead.


def is_zero(x: Any) -> bool:
    """Whether an operand is the number 0 (and not -0.0)."""
    return x.__class__ in (int, float) and x == 0 and not np.signbit(x)


def is_large_float(x: Any, condition: Any) -> bool:
    """Whether an array is worth selecting by bits, and can be."""
    return (
        x.__class__ is np.ndarray
        and x.size > 4096
        and x.dtype.kind == "f"
        and x.dtype.itemsize in (4, 8)
        and np.shape(condition) == x.shape
    )


def kept(x: Any, condition: Any) -> Any:
    """`x` where `condition`, else 0."""
    bits = np.dtype(f"i{x.dtype.itemsize}")
    mask = condition.astype(bits)
    np.negative(mask, out=mask)
    mask &= x.view(bits)
    return mask.view(x.dtype)


@where_op.derivative("input")
def _(g, condition):
    return where_op(condition, g, 0.0)


@where_op.derivative("other")
def _(g, condition):
    return where_op(condition, 0.0, g)


@where_op.kernel
def _(k, condition, input, other):
    return k.select(condition, input, other)


def where(condition: Any, input: Any = None, other: Any = None, *, out: Any = None) -> Any:
    """`input` where `condition` is true, `other` elsewhere, broadcasting; with one argument, the indices where it is true.

    Raises:
        RuntimeError: if `condition` is neither of dtype bool nor uint8, or the shapes do not broadcast.

    >>> from retrograd import tensor, where
    >>> where(tensor([True, False]), tensor([1., 2.]), 0.)
    tensor([1., 0.])
    """
    if input is None and other is None:
        return condition.nonzero(as_tuple=True)
    if condition.dtype is not dtypes.bool and condition.dtype is not dtypes.uint8:
        raise RuntimeError(
            f"where expected condition to be a boolean tensor, but got a tensor with dtype {dtypes.scalar_name(condition.dtype)}"
        )
    condition = condition if condition.dtype is dtypes.bool else cast(condition, dtypes.bool)
    if not isinstance(input, Tensor) and not isinstance(other, Tensor):
        common = dtypes.result_type([], [input, other], settings.default_dtype)
        input, other = (constant(np.asarray(x, common.numpy)) for x in (input, other))
    result = where_op(condition, input, other)
    return result if out is None else write_out(out, result)


# ---------------------------------------------------------------- dtype and memory


@linear(name="_to_copy", title="to", derivative_name="ToCopyBackward0")
def cast_op(input, *, dtype, source):
    """The same numbers in another dtype; `source` is the dtype they have."""
    if input.dtype.kind == "c" and not dtype.is_complex and dtype is not dtypes.bool:
        input = input.real
    if input.dtype.kind == "f" and dtype.category == dtypes.INTEGER:
        return float_to_int(input, dtype.numpy)
    return input.astype(dtype.numpy)


@cast_op.lowering
def _(k, input, *, dtype, source):
    if input.dtype.kind == "f" and dtype.category < dtypes.FLOATING and dtype is not dtypes.bool:
        k.refuse("rounding to integers")
    return k.cast(input, dtype.numpy)


@cast_op.transpose
def _(g, dtype, source):
    return cast_op(g, dtype=source, source=dtype)


@cast_op.batch
def _(args, mapped, *, dtype, source):
    return cast_op(args[0], dtype=dtype, source=source)


def float_to_int(x: Any, target: Any) -> Any:
    """Rounds towards zero; what is out of range or not a number becomes what the processor makes of it, as in PyTorch."""
    return x.astype(np.int64).astype(target) if target.itemsize < 8 else x.astype(target)


def cast(input: Tensor, to: dtype) -> Tensor:
    """`input` in dtype `to`: itself if it has that dtype."""
    return input if input.dtype is to else cast_op(input, dtype=to, source=input.dtype)


@linear
def clone_op(input):
    """A copy in memory of its own, contiguous."""
    return np.array(input, order="C")


@clone_op.lowering
def _(k, input):
    return input


@clone_op.transpose
def _(g):
    return g


@clone_op.batch
def _(args, mapped):
    return clone_op(args[0])


def clone(input: Tensor, *, memory_format: Any = None) -> Tensor:
    """A copy of `input`; gradients flow back through it.

    >>> from retrograd import ones
    >>> x = ones(2); y = x.clone(); y[0] = 5; x
    tensor([1., 1.])
    """
    return clone_op(input)


# ---------------------------------------------------------------- sums and their transpose


def sum_name(params: dict[str, Any]) -> str:
    """PyTorch tells a sum over everything (Sum0) from one over dims (Sum1)."""
    return "SumBackward0" if params.get("whole") else "SumBackward1"


@reduction(identity=0, derivative_name=sum_name)
def sum_op(input, *, dims, keepdim, whole=False):
    """Sum over `dims`; bools and integers are summed as int64."""
    dtype = input.dtype
    if dtype.kind in "bui":
        return np.add.reduce(input, dims, np.int64, keepdims=keepdim)
    if dtype.itemsize == 2:  # float16 and bfloat16 accumulate in float32
        return np.add.reduce(input, dims, np.float32, keepdims=keepdim).astype(dtype)
    return np.add.reduce(input, dims, None, None, keepdim)  # type: ignore[call-overload]  # positional: quicker


@sum_op.lowering
def _(k, input, *, dims, keepdim, whole=False):
    return k.reduce("sum", k.cast(input, np.dtype(np.int64)) if input.dtype.kind in "bui" else input, dims, keepdim)


@sum_op.transpose
def _(g, input_shape, dims, keepdim):
    if not keepdim and dims and len(dims) < len(input_shape):
        g = reshape_op(g, shape=tuple([1 if d in dims else n for d, n in enumerate(input_shape)]))
    return expand_op(g, shape=input_shape)


def sum(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: dtype | None = None, out: Any = None) -> Tensor:
    """Sum of the elements, or of those along `dim` (an int or several).

    Integers and bools are summed as int64; `dtype` converts first.

    Raises:
        IndexError: if a dim is out of range.
        RuntimeError: if a dim is named twice.

    >>> from retrograd import sum, tensor
    >>> x = tensor([[1., 2.], [3., 4.]])
    >>> sum(x), sum(x, 0), sum(x, dim=1, keepdim=True)
    (tensor(10.), tensor([4., 6.]), tensor([[3.],
            [7.]]))
    """
    if dtype is not None:
        input = cast(input, dtype)
    elif (kind := input.dtype).category < dtypes.FLOATING and kind is not dtypes.int64:
        input = cast(input, dtypes.int64)
    if dim is None:
        result = sum_op(input, dims=tuple(range(input.ndim)), keepdim=keepdim, whole=not keepdim)
    else:
        result = sum_op(input, dims=wrap_dims(dim, input.ndim), keepdim=keepdim)
    return result if out is None else write_out(out, result)


@view
def expand_op(input, *, shape):
    """`input` repeated, without copying, to `shape`."""
    return expanded(input if input.__class__ is np.ndarray else np.asarray(input), shape)


def expanded(x: Any, shape: tuple[int, ...]) -> Any:
    """`np.broadcast_to` that stays writable, as PyTorch's expanded tensors are."""
    lead = len(shape) - x.ndim
    strides = (0,) * lead
    if x.ndim:
        strides += tuple([s if n == m else 0 for s, n, m in zip(x.strides, x.shape, shape[lead:], strict=True)])
    if x.flags.c_contiguous:
        return np.ndarray(shape, x.dtype, x, 0, strides)  # takes a tenth of the time of as_strided
    return np.lib.stride_tricks.as_strided(x, shape, strides)


@expand_op.transpose
def _(g, input_shape):
    return unbroadcast(g, input_shape)


@expand_op.batch
def _(args, mapped, *, shape):
    return expand_op(align(args[0], len(shape)), shape=(args[0].shape[0], *shape))


def expand(input: Tensor, *sizes: Any, implicit: bool = False, **named: Any) -> Tensor:
    """`input` with dims of size 1 repeated, and new dims in front, without copying. -1 keeps a dim's size.

    Raises:
        RuntimeError: if a dim that is not of size 1 would have to change.

    >>> from retrograd import tensor
    >>> tensor([[1], [2]]).expand(-1, 3)
    tensor([[1, 1, 1],
            [2, 2, 2]])
    """
    sizes = ints_or_named(sizes, named, "size")
    old, lead = input.shape, len(sizes) - input.ndim
    if lead < 0:
        raise RuntimeError(
            f"expand({input.type()}{{{list(old)}}}, size={list(sizes)}): the number of sizes provided ({len(sizes)}) must be "
            f"greater or equal to the number of dimensions in the tensor ({len(old)})"
        )
    new = []
    for i, n in enumerate(sizes):
        n = operator.index(n)
        here = old[i - lead] if i >= lead else None
        if n == -1 and here is None:
            raise RuntimeError(f"The expanded size of the tensor ({n}) isn't allowed in a leading, non-existing dimension {i}")
        if n != -1 and here is not None and here not in (1, n):
            raise RuntimeError(
                f"The expanded size of the tensor ({n}) must match the existing size ({here}) at non-singleton dimension {i}.  "
                f"Target sizes: {list(sizes)}.  Tensor sizes: {list(old)}"
            )
        if n < -1:
            raise RuntimeError(f"numel: integer multiplication overflow or negative size {n} in expand to {list(sizes)}")
        new.append(here if n == -1 else n)
    return expand_op(input, shape=tuple(new))


# ---------------------------------------------------------------- views


@view(name="view", derivative_name=lambda params: params.get("called", "ViewBackward0"))
def reshape_op(input, *, shape, called="ViewBackward0"):
    """The same elements, in row-major order, in another shape; a view where strides allow."""
    return input.reshape(shape)


@reshape_op.lowering
def _(k, input, *, shape, called):
    return k.reshape(input, shape)  # a copy, where it is no view


@reshape_op.transpose
def _(g, input_shape):
    return reshape_op(g, shape=input_shape)


@reshape_op.batch
def _(args, mapped, *, shape, called):
    return reshape_op(args[0], shape=(args[0].shape[0], *shape), called=called)


def reshape(input: Tensor, *shape: Any, **named: Any) -> Tensor:
    """The elements of `input`, in row-major order, in another shape; one size may be -1. A view where possible.

    Raises:
        RuntimeError: if the number of elements differs.

    >>> from retrograd import arange
    >>> arange(6).reshape(2, -1)
    tensor([[0, 1, 2],
            [3, 4, 5]])
    """
    return reshape_op(input, shape=resolve_shape(ints_or_named(shape, named, "shape"), input.numel()))


@view(derivative_name=lambda params: params.get("called", "PermuteBackward0"))
def permute_op(input, *, dims, called="PermuteBackward0"):
    """Dims in another order."""
    return input.transpose(dims)


@permute_op.transpose
def _(g, dims):
    return permute_op(g, dims=inverse_order(dims))


@permute_op.batch
def _(args, mapped, *, dims, called):
    return permute_op(args[0], dims=(0, *[d + 1 for d in dims]), called=called)


def inverse_order(dims: tuple[int, ...]) -> tuple[int, ...]:
    """The order of dims that undoes `dims`."""
    inverse = [0] * len(dims)
    for i, d in enumerate(dims):
        inverse[d] = i
    return tuple(inverse)


def permute(input: Tensor, *dims: Any, **named: Any) -> Tensor:
    """A view with the dims in the order `dims`.

    Raises:
        RuntimeError: if `dims` does not name every dim once.

    >>> from retrograd import zeros
    >>> zeros(2, 3, 4).permute(2, 0, 1).shape
    torch.Size([4, 2, 3])
    """
    dims = ints_or_named(dims, named, "dims")
    if len(dims) != input.ndim:
        raise RuntimeError(
            f"permute(sparse_coo): number of dimensions in the tensor input does not match the length of the desired ordering of dimensions i.e. input.dim() = {input.ndim} is not equal to len(dims) = {len(dims)}"
        )
    wrapped = tuple(wrap_dim(d, input.ndim) for d in dims)
    if len(set(wrapped)) != len(wrapped):
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    return permute_op(input, dims=wrapped)


def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """A view with two dims exchanged. Raises IndexError if one is out of range.

    >>> from retrograd import zeros
    >>> zeros(2, 3, 4).transpose(0, 2).shape
    torch.Size([4, 3, 2])
    """
    ndim = input.ndim
    a, b = wrap_dim(dim0, ndim), wrap_dim(dim1, ndim)
    order = list(range(ndim))
    if ndim:
        order[a], order[b] = b, a
    return permute_op(input, dims=tuple(order), called="TransposeBackward0")


def t(input: Tensor) -> Tensor:
    """The transpose of a matrix; vectors and scalars as they are.

    Raises:
        RuntimeError: if `input` has more than two dims.
    """
    if input.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {input.ndim}D")
    return permute_op(input, dims=tuple(reversed(range(input.ndim))), called="TBackward0")


@view
def select_op(input, *, dim, index):
    """The slice at `index` along `dim`, without that dim."""
    return input[(slice(None),) * dim + (index, ...)]


@select_op.transpose
def _(g, input_shape, dim, index):
    g = reshape_op(g, shape=(*input_shape[:dim], 1, *input_shape[dim + 1 :]))
    return embed_op(g, dim=dim, start=index, step=1, size=input_shape[dim])


def select(input: Tensor, dim: int, index: int) -> Tensor:
    """A view of the slice at `index` along `dim`, without that dim.

    Raises:
        IndexError: if `dim` or `index` is out of range, or `input` has no dims.

    >>> from retrograd import tensor
    >>> tensor([[1, 2], [3, 4]]).select(1, -1)
    tensor([2, 4])
    """
    if input.ndim == 0:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    dim = wrap_dim(dim, input.ndim)
    index, n = operator.index(index), input.shape[dim]
    if not -n <= index < n:
        raise IndexError(f"select(): index {index} out of range for tensor of size {list(input.shape)} at dimension {dim}")
    return select_op(input, dim=dim, index=index % n)


@view
def slice_op(input, *, dim, start, end, step):
    """Every `step`-th slice from `start` to before `end` along `dim`."""
    return input[(slice(None),) * dim + (slice(start, end, step),)]


@slice_op.transpose
def _(g, input_shape, dim, start, step):
    return embed_op(g, dim=dim, start=start, step=step, size=input_shape[dim])


@linear
def embed_op(input, *, dim, start, step, size):
    """The transpose of a slice: zeros of `size` along `dim`, with `input` at every `step`-th place from `start`."""
    shape = list(input.shape)
    stop = start + (shape[dim] - 1) * step + 1 if shape[dim] else start
    shape[dim] = size
    out = np.zeros(shape, input.dtype)
    out[(slice(None),) * dim + (slice(start, stop, step),)] = input
    return out


@embed_op.lowering
def _(k, input, *, dim, start, step, size):
    shape = list(input.shape)
    stop, shape[dim] = start + (shape[dim] - 1) * step + 1 if shape[dim] else start, size
    target = k.new(shape, input.dtype)
    k.fill(target, 0)
    k.fill(k.slice(k.read(target), dim, start, stop, step).data, input)
    return k.read(target)


@embed_op.transpose
def _(g, input_shape, dim, start, step):
    n = input_shape[dim]
    return slice_op(g, dim=dim, start=start, end=start + (n - 1) * step + 1 if n else start, step=step)


# ---------------------------------------------------------------- matrix product


def product(a: Any, b: Any) -> Any:
    """The matrix product of two arrays; types of 16 bits are multiplied in float32."""
    if a.dtype.itemsize == 2 and a.dtype.kind in "fV":
        return product(a.astype(np.float32), b.astype(np.float32)).astype(a.dtype)
    if a.ndim == b.ndim == 2:  # matmul leaves products of a column with a row to a plain loop, dot does not
        return np.dot(a, b)
    return np.matmul(a, b) if a.shape[-1] != 1 else np.multiply(a, b)


@multilinear(name="mm")
def mm_op(input, mat2):
    """The product of two matrices."""
    return product(input, mat2)


@mm_op.lowering
def _(k, input, mat2):
    return k.product(input, mat2)


@mm_op.transpose("input")
def _(g, mat2):
    return matmul_op(g, swap_last(mat2))


@mm_op.transpose("mat2")
def _(g, input):
    return matmul_op(swap_last(input), g)


@mm_op.batch
def _(args, mapped):
    return matmul_op(*args)


@multilinear(name="bmm")
def matmul_op(input, mat2):
    """Products of matrices in the last two dims, broadcasting over those before."""
    return product(input, mat2)


@matmul_op.lowering
def _(k, input, mat2):
    return k.product(input, mat2)


@matmul_op.transpose("input")
def _(g, mat2, input_shape):
    return unbroadcast(matmul_op(g, swap_last(mat2)), input_shape)


@matmul_op.transpose("mat2")
def _(g, input, mat2_shape):
    return unbroadcast(matmul_op(swap_last(input), g), mat2_shape)


@matmul_op.batch
def _(args, mapped):
    rank = max(len(x.shape) - m for x, m in zip(args, mapped, strict=True))
    return matmul_op(*[align(x, rank) if m else x for x, m in zip(args, mapped, strict=True)])


def swap_last(x: Any) -> Any:
    """The conjugate transpose in the last two dims."""
    n = len(x.shape)
    return conj_of(permute_op(x, dims=(*range(n - 2), n - 1, n - 2)))


# ---------------------------------------------------------------- along indices


@opaque
def gather_op(input, index, *, dim):
    """The elements at `index` (int64, of as many dims, none longer than the input's save `dim`) along `dim`."""
    window = input[tuple([slice(None) if d == dim else slice(n) for d, n in enumerate(index.shape)])]
    return np.take_along_axis(window, index, dim) if index.shape else input.copy()


@gather_op.lowering
def _(k, input, index, *, dim):
    if not index.shape:
        return input
    k.check_index(index, input.shape[dim])
    for d, n in enumerate(index.shape):
        if d != dim:
            input = k.slice(input, d, 0, n)
    return k.take(k.view_of(input), [(dim, index)], index.shape)


@gather_op.vjp("input")
def _(g, index, input_shape, dim):
    return scatter_sum_op(g, index, dim=dim, shape=input_shape)


@gather_op.jvp("input")
def _(t, index, dim):
    return gather_op(t, index, dim=dim)


@gather_op.batch
def _(args, mapped, *, dim):
    input, index = all_batched(args, mapped)
    return gather_op(input, index, dim=dim + 1) if len(index.shape) > 1 else clone_op(input)


@opaque
def scatter_sum_op(input, index, *, dim, shape):
    """The transpose of `gather`: zeros of `shape`, to which each element is added at its index along `dim`."""
    out = np.zeros(shape, input.dtype)
    if not index.shape:
        return out + input
    where = list(np.indices(index.shape, sparse=True))
    where[dim] = index
    add_at(out, where, input[tuple([slice(n) for n in index.shape])])
    return out


@scatter_sum_op.lowering
def _(k, input, index, *, dim, shape):
    if not index.shape:
        return input
    for d, n in enumerate(index.shape):
        input = k.slice(input, d, 0, n)
    if index.shape[dim] == 1 and all(n == shape[d] or d == dim for d, n in enumerate(index.shape)):
        k.check_index(index, shape[dim])
        return k.select(k.eq(k.iota(shape, dim), index), input, k.const(0, input))
    return k.scatter_sum(input, index, dim, shape)


@scatter_sum_op.vjp("input")
def _(g, index, input_shape, dim):
    return pad_to(gather_op(g, index, dim=dim), input_shape)


@scatter_sum_op.jvp("input")
def _(t, index, dim, shape):
    return scatter_sum_op(t, index, dim=dim, shape=shape)


@scatter_sum_op.batch
def _(args, mapped, *, dim, shape):
    input, index = all_batched(args, mapped)
    return scatter_sum_op(input, index, dim=dim + 1, shape=(input.shape[0], *shape)) if len(index.shape) > 1 else clone_op(input)


def all_batched(args: Sequence[Any], mapped: Sequence[bool]) -> list[Any]:
    """Operands of which some have a leading batch dim, the others (save None) repeated along one."""
    size = next(x.shape[0] for x, m in zip(args, mapped, strict=True) if m)
    return [x if m or x is None else expand_op(x, shape=(size, *x.shape)) for x, m in zip(args, mapped, strict=True)]


def add_at(out: Any, where: Sequence[Any], values: Any) -> None:
    """`out[where] += values` for arrays, where places that come up repeatedly add up. `where` has integers for every dim."""
    flat = np.asarray(functools.reduce(operator.add, [w * s for w, s in zip(where, contiguous_strides(out.shape), strict=True)]))
    np.add.at(out.reshape(-1), flat.reshape(-1), np.broadcast_to(values, flat.shape).reshape(-1))  # quick in one dim only


def pad_to(x: Any, shape: tuple[int, ...]) -> Any:
    """`x` with zeros after it in every dim, up to `shape`."""
    for d, n in enumerate(shape):
        if x.shape[d] != n:
            x = embed_op(x, dim=d, start=0, step=1, size=n)
    return x
