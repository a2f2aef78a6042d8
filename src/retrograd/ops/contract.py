"""Contractions: products of matrices and vectors, affine maps, einsum, and what is built from them.

The products are multilinear, so each states a transpose per operand and nothing else. Knows the basis and elementwise
arithmetic only; distances, which are norms of differences, are in `distance.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.core.families import elementwise, linear as linear_family, multilinear, opaque, unbroadcast, write_out
from retrograd.core.tensor import Tensor
from retrograd.dtypes import dtype
from retrograd.ops.basis import (
    add_op, conj_of, embed_op, expand_op, matmul_op, mm_op, mul, pad_to, permute_op, product, reshape_op, slice_op, sub_op, sum_op,
    swap_last,
)  # fmt: skip
from retrograd.shapes import broadcast_shapes, wrap_dim

# ---------------------------------------------------------------- what may be multiplied

# How PyTorch's messages spell element types: as its C++ does.
CPP_NAMES = {
    "float32": "float", "float64": "double", "float16": "c10::Half", "bfloat16": "c10::BFloat16", "int64": "long int", "int32": "int",
    "int16": "short int", "int8": "signed char", "uint8": "unsigned char", "bool": "bool", "complex64": "c10::complex<float>",
    "complex128": "c10::complex<double>",
}  # fmt: skip


def check_tensors(function: str, **operands: Any) -> None:
    """Raises TypeError unless all operands are Tensors."""
    for place, (name, value) in enumerate(operands.items()):
        if not isinstance(value, Tensor):
            raise TypeError(f"{function}(): argument '{name}' (position {place + 1}) must be Tensor, not {type(value).__name__}")


def check_matrices(a: Tensor, b: Tensor) -> None:
    """Raises unless matrices of these shapes and dtypes can be multiplied."""
    (m, k), (n, p) = a.shape, b.shape
    if k != n:
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({m}x{k} and {n}x{p})")
    if a.dtype is not b.dtype:
        names = [CPP_NAMES.get(x.dtype.name, x.dtype.name) for x in (a, b)]
        raise RuntimeError(f"expected m1 and m2 to have the same dtype, but got: {names[0]} != {names[1]}")
    refuse_bool("addmm_impl_cpu_", a)


def check_batches(a: Tensor, b: Tensor) -> None:
    """Raises unless batches of matrices of these shapes and dtypes can be multiplied."""
    if a.shape[0] != b.shape[0] or a.shape[2] != b.shape[1]:
        raise RuntimeError(
            f"Expected size for first two dimensions of batch2 tensor to be: [{a.shape[0]}, {a.shape[2]}] but got: [{b.shape[0]}, {b.shape[1]}]."
        )
    check_same_dtype(a, b)
    refuse_bool("bmm", a)


def check_same_dtype(a: Tensor, b: Tensor) -> None:
    """Raises RuntimeError for two dtypes."""
    if a.dtype is not b.dtype:
        raise RuntimeError(f"expected scalar type {dtypes.scalar_name(a.dtype)} but found {dtypes.scalar_name(b.dtype)}")


def refuse_bool(function: str, x: Tensor) -> None:
    """Raises NotImplementedError for bools."""
    if x.dtype is dtypes.bool:
        raise NotImplementedError(f"\"{function}\" not implemented for 'Bool'")


def finish(result: Tensor, out: Any) -> Tensor:
    """The result, in `out` if that is given."""
    return result if out is None else write_out(out, result)


# ---------------------------------------------------------------- the affine map


def linear_name(params: dict[str, Any]) -> str:
    """PyTorch's name: a matrix of inputs is one addmm, anything else is reshaped to one."""
    return params["called"]  # type: ignore[no-any-return]


@opaque(name="linear", derivative_name=linear_name)
def linear_op(input, weight, bias=None, *, called="AddmmBackward0"):
    """input @ weight.T + bias, over all leading dims of `input` at once."""
    if input.ndim == 2:
        y = product(input, weight.T)
    else:
        lead = input.shape[:-1]
        y = product(input.reshape(math.prod(lead), input.shape[-1]), weight.T).reshape(*lead, len(weight))
    if bias is not None:
        y += bias
    return y


@linear_op.vjp("input")
def _(g, weight):
    return linear_op(g, permute_op(conj_of(weight), dims=(1, 0)))


@linear_op.vjp("weight")
def _(g, input):
    if len(input.shape) != 2:
        g, input = rows_of(g), rows_of(input)
    return mm_op(permute_op(g, dims=(1, 0)), conj_of(input))


@linear_op.vjp("bias")
def _(g, bias_shape):
    return unbroadcast(g, bias_shape)


@linear_op.jvp("input")
def _(t, weight):
    return linear_op(t, weight)


@linear_op.jvp("weight")
def _(t, input):
    return linear_op(input, t)


@linear_op.jvp("bias")
def _(t, input_shape, weight_shape):
    return expand_op(t, shape=(*input_shape[:-1], weight_shape[0]))


@linear_op.batch
def _(args, mapped, called):
    input, weight, bias = (*args, None)[:3]
    if not any(mapped[1:]):
        return linear_op(input, weight, bias, called=called)
    n = next(a.shape[0] for a, m in zip(args, mapped, strict=True) if m)
    lead = input.shape[1:-1] if mapped[0] else input.shape[:-1]
    rows = reshape_op(input, shape=(*((n,) if mapped[0] else ()), math.prod(lead), input.shape[-1]))
    y = reshape_op(matmul_op(rows, swap(weight)), shape=(n, *lead, weight.shape[-2])) if mapped[1] else linear_op(input, weight)
    if bias is not None:
        y = add_op(y, reshape_op(bias, shape=(n, *(1 for _ in lead), bias.shape[-1])) if mapped[2] else bias)
    return y


def rows_of(x: Any) -> Any:
    """All leading dims as one: a matrix."""
    return reshape_op(x, shape=(math.prod(x.shape[:-1]), x.shape[-1]))


def swap(x: Any) -> Any:
    """The transpose in the last two dims."""
    n = len(x.shape)
    return permute_op(x, dims=(*range(n - 2), n - 1, n - 2))


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The affine map `input @ weight.T + bias`.

    Args:
        input: of shape (..., in).
        weight: of shape (out, in), or (in,).
        bias: of shape (out,), or () beside a weight of shape (in,).

    Raises:
        RuntimeError: if the shapes do not fit, or the dtypes differ.

    >>> from retrograd import ones, tensor
    >>> linear(tensor([1., 2.]), ones(3, 2), tensor([0., 1., 2.]))
    tensor([3., 4., 5.])
    """
    if input.__class__ is not Tensor or weight.__class__ is not Tensor:
        check_tensors("linear", input=input, weight=weight)
    shape, (*rows, columns) = input.shape, weight.shape or (0,)
    if len(rows) != 1 or not shape:
        y = matmul(input, weight if len(rows) == 0 else t_checked(weight))
        return y if bias is None else add_op(y, bias)
    if shape[-1] != columns:
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({math.prod(shape[:-1])}x{shape[-1]} and {columns}x{rows[0]})")
    if input.dtype is not weight.dtype or input.dtype is dtypes.bool:
        check_matrices(rows_of(input), permute_op(weight, dims=(1, 0)))
    if bias is None:
        return linear_op(input, weight, called="MmBackward0" if len(shape) == 2 else "UnsafeViewBackward0")
    if bias.dtype is not input.dtype:
        raise RuntimeError(f"self and mat2 must have the same dtype, but got {dtypes.scalar_name(bias.dtype)} and {dtypes.scalar_name(weight.dtype)}")
    if bias.shape != (rows[0],):
        expand_bias(bias, (*shape[:-1], rows[0]))
    return linear_op(input, weight, bias, called="AddmmBackward0" if len(shape) == 2 else "ViewBackward0")


def t_checked(weight: Tensor) -> Tensor:
    """The transpose of a weight, which must be a matrix."""
    if weight.ndim != 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {weight.ndim}D")
    return permute_op(weight, dims=(1, 0))


def expand_bias(bias: Tensor, target: tuple[int, ...]) -> None:
    """Raises unless `bias` broadcasts to `target`."""
    lead = len(target) - bias.ndim
    if lead < 0:
        raise RuntimeError(
            f"expand({bias.type()}{{{list(bias.shape)}}}, size={list(target)}): the number of sizes provided ({len(target)}) must be "  # type: ignore[attr-defined]
            f"greater or equal to the number of dimensions in the tensor ({bias.ndim})"
        )
    for d in reversed(range(bias.ndim)):
        if bias.shape[d] not in (1, target[d + lead]):
            raise RuntimeError(
                f"The expanded size of the tensor ({target[d + lead]}) must match the existing size ({bias.shape[d]}) at non-singleton "
                f"dimension {d + lead}.  Target sizes: {list(target)}.  Tensor sizes: {list(bias.shape)}"
            )


# ---------------------------------------------------------------- products


@multilinear
def dot_op(input, tensor):
    """The sum of products of two vectors' elements."""
    return np.asarray(product(input, tensor))


@dot_op.transpose("input")
def _(g, tensor):
    return g * conj_of(tensor)


@dot_op.transpose("tensor")
def _(g, input):
    return g * conj_of(input)


@dot_op.batch
def _(args, mapped):
    return sum_op(mul(*args), dims=(1,), keepdim=False)


@multilinear
def mv_op(input, vec):
    """The product of a matrix and a vector."""
    return product(input, vec)


@mv_op.transpose("input")
def _(g, vec):
    return mul(reshape_op(g, shape=(*g.shape, 1)), conj_of(vec))


@mv_op.transpose("vec")
def _(g, input):
    return mv_op(swap_last(input), g)


@mv_op.batch
def _(args, mapped):
    matrix, vec = args
    if not mapped[1]:
        return linear_op(matrix, reshape_op(vec, shape=(1, *vec.shape)))[..., 0]
    if not mapped[0]:
        return linear_op(vec, matrix)
    return reshape_op(matmul_op(matrix, reshape_op(vec, shape=(*vec.shape, 1))), shape=matrix.shape[:2])


def dot(input: Tensor, tensor: Tensor, *, out: Any = None) -> Tensor:
    """The sum of products of two vectors' elements.

    Raises:
        RuntimeError: unless both are vectors of one size and dtype.

    >>> from retrograd import tensor
    >>> dot(tensor([1., 2.]), tensor([3., 4.]))
    tensor(11.)
    """
    check_tensors("dot", input=input, tensor=tensor)
    if input.ndim != 1 or tensor.ndim != 1:
        raise RuntimeError(f"1D tensors expected, but got {input.ndim}D and {tensor.ndim}D tensors")
    if input.dtype is not tensor.dtype:
        names = [dtypes.scalar_name(x.dtype) for x in (input, tensor)]
        raise RuntimeError(f"dot : expected both vectors to have same dtype, but found {names[0]} and {names[1]}")
    n, m = input.shape[0], tensor.shape[0]
    if n != m:
        raise RuntimeError(
            f"inconsistent tensor size, expected tensor [{n}] and src [{m}] to have the same number of elements, but got {n} and {m} elements respectively"
        )
    refuse_bool("dot", input)
    return finish(dot_op(input, tensor), out)


def vdot(input: Tensor, other: Tensor, *, out: Any = None) -> Tensor:
    """`dot` with the conjugate of `input`."""
    check_tensors("vdot", input=input, other=other)
    return dot(conj_of(input), other, out=out)


def mv(input: Tensor, vec: Tensor, *, out: Any = None) -> Tensor:
    """The product of a matrix and a vector.

    Raises:
        RuntimeError: if the shapes do not fit, or the dtypes differ.
    """
    check_tensors("mv", input=input, vec=vec)
    if input.ndim != 2 or vec.ndim != 1:
        raise RuntimeError(f"vector + matrix @ vector expected, got {vec.ndim}, {input.ndim}, {vec.ndim}")
    (n, k), (m,) = input.shape, vec.shape
    if k != m:
        raise RuntimeError(f"size mismatch, got input ({n}), mat ({n}x{k}), vec ({m})")
    if input.dtype is not vec.dtype:
        names = [dtypes.scalar_name(x.dtype) for x in (vec, input, vec)]
        raise RuntimeError(f"addmv input tensors must have the same dtype, but got {names[0]}, {names[1]}, and {names[2]}")
    refuse_bool("addmv_impl_cpu", input)
    return finish(mv_op(input, vec), out)


def mm(input: Tensor, mat2: Tensor, *, out: Any = None) -> Tensor:
    """The product of two matrices.

    Raises:
        RuntimeError: if the shapes do not fit, or the dtypes differ.

    >>> from retrograd import eye, ones
    >>> mm(ones(2, 3), eye(3))
    tensor([[1., 1., 1.],
            [1., 1., 1.]])
    """
    check_tensors("mm", input=input, mat2=mat2)
    if input.ndim != 2:
        raise RuntimeError("self must be a matrix")
    if mat2.ndim != 2:
        raise RuntimeError("mat2 must be a matrix")
    check_matrices(input, mat2)
    return finish(mm_op(input, mat2), out)


def bmm(input: Tensor, mat2: Tensor, *, out: Any = None) -> Tensor:
    """The products of two batches of matrices: (b, n, k) by (b, k, m).

    Raises:
        RuntimeError: if the shapes do not fit, or the dtypes differ.
    """
    check_tensors("bmm", input=input, mat2=mat2)
    for name, x in (("batch1", input), ("batch2", mat2)):
        if x.ndim != 3:
            raise RuntimeError(f"{name} must be a 3D tensor")
    check_batches(input, mat2)
    return finish(matmul_op(input, mat2), out)


def matmul(input: Tensor, other: Tensor, *, out: Any = None) -> Tensor:
    """The product of two tensors: of matrices in the last two dims, broadcasting over those before; vectors as rows or columns.

    Raises:
        RuntimeError: if the shapes do not fit, or the dtypes differ, or an operand has no dims.

    >>> from retrograd import ones
    >>> matmul(ones(2, 1, 3, 4), ones(5, 4, 6)).shape, matmul(ones(4), ones(4))
    (torch.Size([2, 5, 3, 6]), tensor(4.))
    """
    if input.__class__ is not Tensor or other.__class__ is not Tensor:
        check_tensors("matmul", input=input, other=other)
    a, b = input.shape, other.shape
    n, m = len(a), len(b)
    if n == m == 2:
        check_matrices(input, other)
        result = mm_op(input, other)
    elif n == 0 or m == 0:
        raise RuntimeError(f"both arguments to matmul need to be at least 1D, but they are {n}D and {m}D")
    elif m == 1:
        result = dot(input, other) if n == 1 else fold(mv, input, other, a[:-1])
    elif n == 1:
        result = matmul(reshape_op(input, shape=(1, *a)), other)
        result = reshape_op(result, shape=(*b[:-2], b[-1]))
    elif m == 2:
        result = fold(mm, input, other, (*a[:-1], b[-1]))
    else:
        lead = broadcast_shapes(a[:-2], b[:-2])
        if a[-1] != b[-2]:
            size = math.prod(lead)
            raise RuntimeError(f"Expected size for first two dimensions of batch2 tensor to be: [{size}, {a[-1]}] but got: [{size}, {b[-2]}].")
        check_same_dtype(input, other)
        refuse_bool("bmm", input)
        result = matmul_op(input, other)
    return finish(result, out)


def fold(function: Callable[..., Tensor], input: Tensor, other: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A product with one matrix or vector, taken for all rows of `input` at once."""
    return function(input, other) if input.ndim == 2 else reshape_op(function(rows_of(input), other), shape=shape)


def rmatmul(self: Tensor, other: Tensor) -> Tensor:
    """other @ self"""
    return matmul(other, self)


def inner(input: Tensor, other: Tensor, *, out: Any = None) -> Tensor:
    """The sums of products along the last dims: shape (*input's others, *other's others).

    Raises:
        RuntimeError: if the last dims differ in size.
    """
    check_tensors("inner", input=input, other=other)
    if not input.ndim or not other.ndim:
        return finish(mul(input, other), out)
    if input.shape[-1] != other.shape[-1]:
        raise RuntimeError(
            f"inner() the last dimension must match on both input tensors but got shapes {list(input.shape)} and {list(other.shape)}"
        )
    return finish(tensordot(input, other, dims=([-1], [-1])), out)


def outer(input: Tensor, vec2: Tensor, *, out: Any = None) -> Tensor:
    """The matrix of all products of an element of one vector and one of another.

    Raises:
        RuntimeError: unless both are vectors.

    >>> from retrograd import tensor
    >>> outer(tensor([1, 2]), tensor([10, 20]))
    tensor([[10, 20],
            [20, 40]])
    """
    check_tensors("outer", input=input, vec2=vec2)
    check_vectors("outer", self=input, vec2=vec2)
    return finish(mul(reshape_op(input, shape=(*input.shape, 1)), vec2), out)


ger = outer


def check_vectors(function: str, **operands: Tensor) -> None:
    """Raises RuntimeError unless all operands have one dim."""
    for name, x in operands.items():
        if x.ndim != 1:
            raise RuntimeError(f"{function}: Expected 1-D argument {name}, but got {x.ndim}-D")


# ---------------------------------------------------------------- products added to something


def given_name(params: dict[str, Any]) -> str:
    """The name that the caller gave."""
    return params["called"]  # type: ignore[no-any-return]


@elementwise(name="scaled_sum", derivative_name=given_name)
def scaled_sum_op(input, product, *, beta, alpha, called):
    """beta * input + alpha * product; nothing of `input` shows where beta is 0"""
    scaled = product if alpha == 1 else np.multiply(product, alpha)
    if beta == 0:
        return np.broadcast_to(scaled, np.broadcast_shapes(np.shape(input), np.shape(product))).copy()
    return np.add(input if beta == 1 else np.multiply(input, beta), scaled)


@scaled_sum_op.derivative("input")
def _(g, beta):
    return g if beta == 1 else g * beta


@scaled_sum_op.derivative("product")
def _(g, alpha):
    return g if alpha == 1 else g * alpha


@scaled_sum_op.kernel
def _(k, input, product, *, beta, alpha, called):
    scaled = k.mul(product, k.const(alpha, product))
    return scaled if beta == 0 else k.add(k.mul(input, k.const(beta, input)), scaled)


def add_product(name: str, input: Tensor, result: Tensor, beta: Any, alpha: Any, out: Any) -> Tensor:
    """`beta * input + alpha * result`, as addmm and its kin have it."""
    check_tensors(name, input=input)
    if input.dtype is not result.dtype:
        raise RuntimeError(f"self and mat2 must have the same dtype, but got {dtypes.scalar_name(input.dtype)} and {dtypes.scalar_name(result.dtype)}")
    expand_bias(input, result.shape)
    if result.dtype.category < dtypes.FLOATING:  # PyTorch cuts the factors to integers
        beta, alpha = int(beta), int(alpha)
    return finish(scaled_sum_op(input, result, beta=beta, alpha=alpha, called=f"{name.capitalize()}Backward0"), out)


def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Any = 1, alpha: Any = 1, out: Any = None) -> Tensor:
    """`beta * input + alpha * (mat1 @ mat2)`, with `input` broadcast to the product's shape.

    Raises:
        RuntimeError: if the shapes do not fit, or the dtypes differ.

    >>> from retrograd import eye, ones
    >>> addmm(ones(2), ones(2, 2), eye(2), alpha=2)
    tensor([[3., 3.],
            [3., 3.]])
    """
    check_tensors("addmm", input=input, mat1=mat1, mat2=mat2)
    for name, x in (("mat1", mat1), ("mat2", mat2)):
        if x.ndim != 2:
            raise RuntimeError(f"{name} must be a matrix, got {x.ndim}-D tensor")
    return add_product("addmm", input, mm(mat1, mat2), beta, alpha, out)


def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta: Any = 1, alpha: Any = 1, out: Any = None) -> Tensor:
    """`beta * input + alpha * (mat @ vec)`. Raises as `addmm`."""
    check_tensors("addmv", input=input, mat=mat, vec=vec)
    if mat.ndim != 2 or vec.ndim != 1 or input.ndim > 1:
        raise RuntimeError(f"vector + matrix @ vector expected, got {input.ndim}, {mat.ndim}, {vec.ndim}")
    if input.ndim and input.shape[0] not in (1, mat.shape[0]):
        raise RuntimeError(f"size mismatch, got input ({input.shape[0]}), mat ({mat.shape[0]}x{mat.shape[1]}), vec ({vec.shape[0]})")
    return add_product("addmv", input, mv(mat, vec), beta, alpha, out)


def addbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1, out: Any = None) -> Tensor:
    """`beta * input + alpha * (sum over the batch of batch1[i] @ batch2[i])`. Raises as `addmm`."""
    check_tensors("addbmm", input=input, batch1=batch1, batch2=batch2)
    return add_product("addbmm", input, sum_op(bmm(batch1, batch2), dims=(0,), keepdim=False), beta, alpha, out)


def baddbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1, out: Any = None) -> Tensor:
    """`beta * input + alpha * (batch1 @ batch2)`, for batches of matrices. Raises as `addmm`."""
    check_tensors("baddbmm", input=input, batch1=batch1, batch2=batch2)
    return add_product("baddbmm", input, bmm(batch1, batch2), beta, alpha, out)


def addr(input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: Any = 1, alpha: Any = 1, out: Any = None) -> Tensor:
    """`beta * input + alpha * outer(vec1, vec2)`, promoting dtypes.

    Raises:
        RuntimeError: if the shapes do not fit.
    """
    check_tensors("addr", input=input, vec1=vec1, vec2=vec2)
    check_vectors("addr", vec1=vec1, vec2=vec2)
    result = outer(vec1, vec2)
    expand_bias(input, result.shape)
    category = max(input.dtype.category, result.dtype.category)
    for name, value in (("beta", beta), ("alpha", alpha)):
        if category == dtypes.BOOL and not isinstance(value, (bool, int)):
            raise RuntimeError(f"Boolean {name} only supported for Boolean results.")
        if category < dtypes.FLOATING and isinstance(value, float):
            raise RuntimeError(f"For integral input tensors, argument {name} must not be a floating point number.")
    return finish(scaled_sum_op(input, result, beta=beta, alpha=alpha, called="AddrBackward0"), out)


# ---------------------------------------------------------------- einsum and its kin

ELLIPSIS = 52  # the label of the first of the ellipsis' dims; A-Z are 0-25, a-z 26-51


def einsum(*args: Any) -> Tensor:
    """Sums of products of elements, by the names of the dims: `einsum("ij,jk->ik", a, b)` is `a @ b`.

    A name that is repeated in one operand takes its diagonal; one that is missing in the result is summed over; `...` stands
    for any dims, which broadcast. Without `->`, the result has the names that come up once, in alphabetical order. Names may
    also be lists of numbers: `einsum(a, [0, 1], b, [1, 2], [0, 2])`. Operands are multiplied from left to right.

    Raises:
        RuntimeError: if the equation is malformed, or does not fit the operands.
        ValueError: if there are no operands.

    >>> from retrograd import ones
    >>> einsum("bij,bjk->bik", ones(2, 3, 4), ones(2, 4, 5)).shape
    torch.Size([2, 3, 5])
    """
    operands, inputs, output = read_einsum(args)
    named = [take_diagonals(x, labels, i) for i, (x, labels) in enumerate(zip(operands, inputs, strict=True))]
    check_sizes(named)
    result, labels = named[0]
    for i in range(1, len(named)):
        kept = set(output).union(*(following for _, following in named[i + 1 :]))
        result, labels = contract_pair(result, labels, *named[i], kept)
    result, labels = sum_labels(result, labels, set(output))
    order = tuple(labels.index(n) for n in output)
    return result if order == tuple(range(len(order))) else permute_op(result, dims=order)


def read_einsum(args: tuple[Any, ...]) -> tuple[list[Tensor], list[list[int]], list[int]]:
    """The operands, the labels of their dims, and those of the result."""
    if len(args) < 2:
        raise ValueError(
            "einsum(): must specify the equation string and at least one operand, or at least one operand and its subscripts list"
        )
    if isinstance(args[0], Tensor):
        operands = list(args[: len(args) - len(args) % 2 : 2])
        lists = [[Ellipsis if n is Ellipsis else sublist_label(n) for n in names] for names in args[1::2]]
        target = [Ellipsis if n is Ellipsis else sublist_label(n) for n in args[-1]] if len(args) % 2 else None
    else:
        equation, *rest = args
        operands = list(rest[0]) if len(rest) == 1 and isinstance(rest[0], (list, tuple)) else rest
        left, arrow, right = equation.partition("->")
        terms = left.split(",")
        if len(terms) != len(operands):
            fewer = "fewer" if len(operands) < len(terms) else "more"
            raise RuntimeError(f"einsum(): {fewer} operands were provided than specified in the equation")
        lists = [read_term(term, f"operand {i}", equation) for i, term in enumerate(terms)]
        target = read_term(right, "the output", equation) if arrow else None
    for x in operands:
        if not isinstance(x, Tensor):
            raise TypeError(f"einsum(): argument 'operands' must be tuple of Tensors, not {type(x).__name__}")
    return operands, *expand_ellipses(operands, lists, target)


def sublist_label(n: Any) -> int:
    """A number that names a dim."""
    if not 0 <= n < ELLIPSIS:
        raise ValueError(f"einsum(): subscript in subscript list is not within the valid range [0, {ELLIPSIS})")
    return int(n)


def read_term(term: str, where: str, equation: str) -> list[Any]:
    """The labels of one term: numbers, and Ellipsis."""
    labels: list[Any] = []
    for part in term.replace("...", "\0"):
        if part == "\0":
            if Ellipsis in labels:
                raise RuntimeError(f"einsum(): found '.' for {where} for which an ellipsis was already found")
            labels.append(Ellipsis)
        elif part == ".":
            raise RuntimeError(f"einsum(): found '.' for {where} that is not part of any ellipsis")
        elif part.isascii() and part.isalpha():
            labels.append(ord(part) - 65 if part.isupper() else ord(part) - 71)
        elif part != " ":
            raise RuntimeError(
                f"einsum(): invalid subscript given at index {equation.index(part)} in the equation string, subscripts must be in [a-zA-Z]"
            )
    return labels


def expand_ellipses(operands: Sequence[Tensor], lists: Sequence[list[Any]], target: list[Any] | None) -> tuple[list[list[int]], list[int]]:
    """Labels with each ellipsis replaced by those of its dims, which line up from the right; and the result's."""
    widths = []
    for i, (x, labels) in enumerate(zip(operands, lists, strict=True)):
        n = len([a for a in labels if a is not Ellipsis])
        if n > x.ndim or (n < x.ndim and Ellipsis not in labels):
            reason = "is more than" if Ellipsis in labels else "does not match"
            given = "" if Ellipsis in labels else " and no ellipsis was given"
            raise RuntimeError(
                f"einsum(): the number of subscripts in the equation ({n}) {reason} the number of dimensions ({x.ndim}) for operand {i}{given}"
            )
        widths.append(x.ndim - n)
    most = max((w for w, labels in zip(widths, lists, strict=True) if Ellipsis in labels), default=0)

    def spelled(labels: list[Any], width: int) -> list[int]:
        span = range(ELLIPSIS + most - width, ELLIPSIS + most)
        return [n for a in labels for n in (span if a is Ellipsis else (a,))]

    inputs = [spelled(labels, w) for labels, w in zip(lists, widths, strict=True)]
    every = [n for labels in inputs for n in labels]
    if target is None:
        once = sorted(n for n in set(every) if n < ELLIPSIS and every.count(n) == 1)
        return inputs, [*range(ELLIPSIS, ELLIPSIS + most), *once]
    output = spelled(target, most)
    for n in output:
        name = chr(n + 65 if n < 26 else n + 71) if n < ELLIPSIS else "..."
        if output.count(n) > 1:
            raise RuntimeError(f"einsum(): output subscript {name} appears more than once in the output")
        if n not in every:
            raise RuntimeError(f"einsum(): output subscript {name} does not appear in the equation for any input operand")
    return inputs, output


def take_diagonals(x: Tensor, labels: list[int], place: int) -> tuple[Tensor, list[int]]:
    """The diagonal along every label that is repeated."""
    for n in dict.fromkeys(labels):
        while labels.count(n) > 1:
            i = labels.index(n)
            j = labels.index(n, i + 1)
            if x.shape[i] != x.shape[j]:
                raise RuntimeError(
                    f"einsum(): subscript {chr(n + 65 if n < 26 else n + 71)} is repeated for operand {place} but the sizes don't match, "
                    f"{x.shape[j]} != {x.shape[i]}"
                )
            x = diagonal_last(permute_op(x, dims=(*(d for d in range(x.ndim) if d not in (i, j)), i, j)))
            labels = [*(a for a in labels if a != n), *labels[:0], n, *[n] * (labels.count(n) - 2)]
    return x, labels


def diagonal_last(x: Any) -> Any:
    """The diagonal of square matrices in the last two dims."""
    *lead, n, _ = x.shape
    return slice_op(reshape_op(x, shape=(*lead, n * n)), dim=len(lead), start=0, end=n * n, step=n + 1)


def check_sizes(named: Sequence[tuple[Tensor, list[int]]]) -> None:
    """Raises if a label stands for two sizes, neither of them 1."""
    seen: dict[int, int] = {}
    for i, (x, labels) in enumerate(named):
        for n, size in zip(labels, x.shape, strict=True):
            if size != 1 and seen.setdefault(n, size) != size:
                name = chr(n + 65 if n < 26 else n + 71) if n < ELLIPSIS else "..."
                raise RuntimeError(
                    f"einsum(): subscript {name} has size {size} for operand {i} which does not broadcast with previously seen size {seen[n]}"
                )


def sum_labels(x: Tensor, labels: list[int], kept: set[int]) -> tuple[Tensor, list[int]]:
    """The sum over all dims whose labels are not kept."""
    dims = tuple(d for d, n in enumerate(labels) if n not in kept)
    return (sum_op(x, dims=dims, keepdim=False), [n for n in labels if n in kept]) if dims else (x, labels)


def contract_pair(a: Tensor, la: list[int], b: Tensor, lb: list[int], kept: set[int]) -> tuple[Tensor, list[int]]:
    """The product of two operands, summed over the labels that are not kept: one batch of matrix products."""
    a, la = drop_broadcast(a, la, b, lb)
    b, lb = drop_broadcast(b, lb, a, la)
    a, la = sum_labels(a, la, kept.union(lb))
    b, lb = sum_labels(b, lb, kept.union(la))
    shared = [n for n in la if n in lb]
    batch, summed = [n for n in shared if n in kept], [n for n in shared if n not in kept]
    rows, columns = [n for n in la if n not in shared], [n for n in lb if n not in shared]
    sizes = dict(zip(la, a.shape, strict=True)) | dict(zip(lb, b.shape, strict=True))
    result = [*batch, *rows, *columns]
    if not summed:
        x = arrange(a, la, [batch, rows], sizes, [*(sizes[n] for n in [*batch, *rows]), *(1 for _ in columns)])
        y = arrange(b, lb, [batch, columns], sizes, [*(sizes[n] for n in batch), *(1 for _ in rows), *(sizes[n] for n in columns)])
        return mul(x, y), result
    check_same_dtype(a, b)
    groups = [batch] if batch else []
    x, y = arrange(a, la, [*groups, rows, summed], sizes), arrange(b, lb, [*groups, summed, columns], sizes)
    z = bmm(x, y) if batch else mm(x, y)
    shape = tuple(sizes[n] for n in result)
    return (z if z.shape == shape else reshape_op(z, shape=shape)), result


def drop_broadcast(a: Tensor, la: list[int], b: Tensor, lb: list[int]) -> tuple[Tensor, list[int]]:
    """`a` without the dims of size 1 for which `b` has more."""
    keep = [not (size == 1 and n in lb and b.shape[lb.index(n)] != 1) for n, size in zip(la, a.shape, strict=True)]
    if all(keep):
        return a, la
    shape = tuple(size for size, k in zip(a.shape, keep, strict=True) if k)
    return reshape_op(a, shape=shape), [n for n, k in zip(la, keep, strict=True) if k]


def arrange(x: Tensor, labels: list[int], groups: Sequence[list[int]], sizes: dict[int, int], shape: Sequence[int] | None = None) -> Tensor:
    """`x` with its dims in the order of the groups, one dim a group (or of the given shape)."""
    order = tuple(labels.index(n) for group in groups for n in group)
    if order != tuple(range(len(order))):
        x = permute_op(x, dims=order)
    target = tuple(math.prod(sizes[n] for n in group) for group in groups) if shape is None else tuple(shape)
    return x if x.shape == target else reshape_op(x, shape=target)


def tensordot(a: Tensor, b: Tensor, dims: Any = 2, out: Any = None) -> Tensor:
    """The sums of products over the last `dims` dims of `a` and the first of `b`, or over two given lists of dims.

    Raises:
        RuntimeError: if the contracted dims differ in size or number.

    >>> from retrograd import ones
    >>> tensordot(ones(2, 3, 4), ones(4, 3, 5), dims=([1, 2], [1, 0])).shape
    torch.Size([2, 5])
    """
    check_tensors("tensordot", a=a, b=b)
    if isinstance(dims, Tensor):
        dims = dims.tolist()  # type: ignore[attr-defined]
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        if dims > min(a.ndim, b.ndim):
            raise RuntimeError(f"tensordot expects dims < ndim_a or ndim_b, but got dims={dims}")
        first, second = list(range(-dims, 0)), list(range(dims))
    else:
        first, second = ([d] if isinstance(d, int) else list(d) for d in dims)
    if len(first) != len(second):
        raise RuntimeError("both dimension lists should have same length")
    la, lb = list(range(a.ndim)), list(range(a.ndim, a.ndim + b.ndim))
    for i, j in zip(first, second, strict=True):
        m, n = a.shape[wrap_dim(i, a.ndim)], b.shape[wrap_dim(j, b.ndim)]
        if m != n and 1 not in (m, n):
            raise RuntimeError(f"contracted dimensions need to match, but first has size {m} in dim {i} and second has size {n} in dim {j}")
        lb[wrap_dim(j, b.ndim)] = la[wrap_dim(i, a.ndim)]
    kept = set(la).symmetric_difference(lb)
    a, la = sum_labels(*drop_broadcast(a, la, b, lb), kept.union(lb))
    b, lb = sum_labels(*drop_broadcast(b, lb, a, la), kept.union(la))
    return finish(contract_pair(a, la, b, lb, kept)[0], out)


def kron(input: Tensor, other: Tensor, *, out: Any = None) -> Tensor:
    """The Kronecker product: every element of `input` times all of `other`, in blocks.

    >>> from retrograd import eye, ones
    >>> kron(eye(2), ones(1, 2))
    tensor([[1., 1., 0., 0.],
            [0., 0., 1., 1.]])
    """
    check_tensors("kron", input=input, other=other)
    rank = max(input.ndim, other.ndim)
    a, b = (1,) * (rank - input.ndim) + tuple(input.shape), (1,) * (rank - other.ndim) + tuple(other.shape)
    x = reshape_op(input, shape=tuple(n for m in a for n in (m, 1)))
    y = reshape_op(other, shape=tuple(n for m in b for n in (1, m)))
    return finish(reshape_op(mul(x, y), shape=tuple(m * n for m, n in zip(a, b, strict=True))), out)


def multi_dot(tensors: Sequence[Tensor], *, out: Any = None) -> Tensor:
    """The product of two or more matrices, in the order that takes the fewest multiplications; the first and last may be vectors.

    Raises:
        RuntimeError: if there are fewer than two, or two neighbours do not fit.
    """
    tensors = list(tensors)
    n = len(tensors)
    if n < 2:
        raise RuntimeError(f"multi_dot(): expected at least 2 tensors but got {n}")
    lead, trail = tensors[0].ndim == 1, tensors[-1].ndim == 1
    for i, x in enumerate(tensors):
        ends = i in (0, n - 1)
        if x.ndim != 2 and not (ends and x.ndim == 1):
            raise RuntimeError(f"multi_dot(): tensor {i} must be {'1D or 2D' if ends else '2D'} but got {x.ndim}D")
        if x.dtype is not tensors[0].dtype:
            raise RuntimeError(f"multi_dot(): all tensors must have the same dtype. Expected {tensors[0].dtype}, but got {x.dtype} for tensor {i}")
    for i, (x, y) in enumerate(zip(tensors, tensors[1:], strict=False)):
        if x.shape[-1] != y.shape[0]:
            raise RuntimeError(f"multi_dot(): tensors {i} and {i + 1} with shapes {list(x.shape)} and {list(y.shape)} cannot be multiplied")
    if lead:
        tensors[0] = reshape_op(tensors[0], shape=(1, *tensors[0].shape))
    if trail:
        tensors[-1] = reshape_op(tensors[-1], shape=(*tensors[-1].shape, 1))
    split = cheapest_splits([x.shape[0] for x in tensors] + [tensors[-1].shape[1]])

    def chain(i: int, j: int) -> Tensor:
        return tensors[i] if i == j else mm(chain(i, split[i, j]), chain(split[i, j] + 1, j))

    result = chain(0, n - 1)
    if lead or trail:
        result = reshape_op(result, shape=(result.shape[0],) * (not lead) + (result.shape[1],) * (not trail))
    return finish(result, out)


def cheapest_splits(sizes: Sequence[int]) -> dict[tuple[int, int], int]:
    """Where to split the product of matrices i..j, whose k-th is sizes[k] x sizes[k + 1], for the fewest multiplications."""
    n = len(sizes) - 1
    cost = {(i, i): 0 for i in range(n)}
    split = {}
    for length in range(1, n):
        for i in range(n - length):
            j = i + length
            cost[i, j], split[i, j] = min(
                (cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k) for k in range(i, j)
            )
    return split


def chain_matmul(*matrices: Tensor, out: Any = None) -> Tensor:
    """The product of matrices, in the order that takes the fewest multiplications. See `linalg.multi_dot`."""
    if len(matrices) == 1 and isinstance(matrices[0], (list, tuple)):
        matrices = tuple(matrices[0])
    return matrices[0] if len(matrices) == 1 else multi_dot(matrices, out=out)


# ---------------------------------------------------------------- traces and crosses


@linear_family
def trace_op(input):
    """The sum of a matrix' diagonal."""
    return np.asarray(np.trace(input))


@trace_op.transpose
def _(g, input_shape):
    n = min(input_shape)
    diagonal = embed_op(expand_op(g, shape=(n,)), dim=0, start=0, step=n + 1, size=n * n)
    return pad_to(reshape_op(diagonal, shape=(n, n)), input_shape)


def trace(input: Tensor) -> Tensor:
    """The sum of a matrix' diagonal.

    Raises:
        RuntimeError: unless `input` is a matrix.

    >>> from retrograd import eye
    >>> trace(eye(3))
    tensor(3.)
    """
    check_tensors("trace", input=input)
    if input.ndim != 2:
        raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {input.ndim}")
    refuse_bool("trace", input)
    return trace_op(input)


@multilinear(name="linalg_cross")
def cross_op(input, other, *, dim):
    """The cross product of vectors of three elements along `dim`, broadcasting."""
    return np.cross(input, other, axis=dim)


@cross_op.transpose("input")
def _(g, other, input_shape, dim):
    return unbroadcast(cross_op(conj_of(other), g, dim=dim), input_shape)


@cross_op.transpose("other")
def _(g, input, other_shape, dim):
    return unbroadcast(cross_op(g, conj_of(input), dim=dim), other_shape)


def linalg_cross(input: Tensor, other: Tensor, *, dim: int = -1, out: Any = None) -> Tensor:
    """The cross product of vectors of three elements along `dim`, broadcasting over the others.

    Raises:
        RuntimeError: if `dim` is not of size 3, or the numbers of dims differ.

    >>> from retrograd import tensor
    >>> linalg_cross(tensor([1., 0., 0.]), tensor([0., 1., 0.]))
    tensor([0., 0., 1.])
    """
    check_tensors("linalg_cross", input=input, other=other)
    if input.ndim != other.ndim:
        raise RuntimeError("linalg.cross: inputs must have the same number of dimensions.")
    at = wrap_dim(dim, input.ndim)
    if input.shape[at] != 3 or other.shape[at] != 3:
        raise RuntimeError(f"linalg.cross: inputs dimension {dim} must have length 3. Got {input.shape[at]} and {other.shape[at]}")
    broadcast_shapes(input.shape, other.shape)
    common = dtypes.promote_types(input.dtype, other.dtype)
    return finish(cross_op(in_dtype(input, common), in_dtype(other, common), dim=at - input.ndim), out)


def in_dtype(x: Tensor, to: dtype) -> Tensor:
    """`x` in dtype `to`."""
    return x if x.dtype is to else x.to(to)  # type: ignore[attr-defined, no-any-return]


def cross(input: Tensor, other: Tensor, dim: int | None = None, *, out: Any = None) -> Tensor:
    """The cross product along `dim`: by default the first one of size 3. See `linalg.cross`."""
    if dim is None:
        dim = next((d for d, n in enumerate(input.shape) if n == 3), None)
        if dim is None:
            raise RuntimeError("no dimension of size 3 in input")
    return linalg_cross(input, other, dim=dim, out=out)


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`input1ᵀ weight[o] input2` for every output o, plus `bias`.

    Args:
        input1, input2: of shapes (..., in1) and (..., in2).
        weight: of shape (out, in1, in2).

    Raises:
        RuntimeError: if the shapes do not fit.
    """
    if input1.ndim != input2.ndim:
        raise RuntimeError(f"bilinear(): input dimensions do not match: got {input1.ndim} and {input2.ndim}")
    for d in range(input1.ndim - 1):
        if input1.shape[d] != input2.shape[d]:
            raise RuntimeError(f"bilinear(): input batch dimensions do not match at dim {d}: got {input1.shape[d]} and {input2.shape[d]}")
    for i, x in enumerate((input1, input2)):
        if x.shape[-1] != weight.shape[i + 1]:
            raise RuntimeError(f"bilinear(): input{i + 1} size does not match weight size: got {x.shape[-1]} but expected {weight.shape[i + 1]}")
    y = einsum("...i,oij,...j->...o", input1, weight, input2)
    return y if bias is None else add_op(y, bias)


__all__ = [
    "addbmm", "addmm", "addmv", "addr", "baddbmm", "bilinear", "bmm", "chain_matmul", "cross", "dot", "einsum", "ger", "inner", "kron",
    "linalg_cross", "linear", "linear_op", "matmul", "mm", "multi_dot", "mv", "outer", "rmatmul", "sub_op", "tensordot", "trace", "vdot",
]  # fmt: skip
