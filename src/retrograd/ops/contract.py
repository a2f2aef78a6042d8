"""Contractions: the affine map, products of matrices and vectors, and what is built from them.

The products are multilinear, so each states a transpose per operand and nothing else. Knows the basis and elementwise
arithmetic only; sums of products by the names of dims are in `einsum.py`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.core.families import elementwise, multilinear, opaque, unbroadcast, write_out
from retrograd.core.families import linear as linear_family
from retrograd.core.tensor import Tensor
from retrograd.dtypes import dtype
from retrograd.ops.basis import (
    add_op,
    conj_of,
    embed_op,
    expand_op,
    matmul_op,
    mm_op,
    mul,
    pad_to,
    permute_op,
    product,
    reshape_op,
    sum_op,
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
    return params["called"]


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


@linear_op.lowering
def _(k, input, weight, bias=None, *, called):
    if len(weight.shape) != 2:
        k.refuse("a weight of other than 2 dims")
    rows = k.reshape(input, (math.prod(input.shape[:-1]), input.shape[-1]))
    y = k.product(rows, k.permute(weight, (1, 0)))
    return y if bias is None else k.add(y, bias)


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
        between = len(lead) + 2 - len(bias.shape)  # dims of the result that an example's bias does not have
        y = add_op(y, reshape_op(bias, shape=(n, *(1,) * between, *bias.shape[1:])) if mapped[2] else bias)
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
        raise RuntimeError(
            f"self and mat2 must have the same dtype, but got {dtypes.scalar_name(bias.dtype)} and {dtypes.scalar_name(weight.dtype)}"
        )
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
            f"expand({bias.type()}{{{list(bias.shape)}}}, size={list(target)}): the number of sizes provided ({len(target)}) must be "
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


@dot_op.lowering
def _(k, input, tensor):
    return k.reduce("sum", k.mul(input, tensor), (0,), keepdim=False)


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


@mv_op.lowering
def _(k, input, vec):
    return k.product(input, k.reshape(vec, (vec.shape[0], 1)))


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
            raise RuntimeError(
                f"Expected size for first two dimensions of batch2 tensor to be: [{size}, {a[-1]}] but got: [{size}, {b[-2]}]."
            )
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
    return params["called"]


@elementwise(name="scaled_sum", derivative_name=given_name)
def scaled_sum_op(input, product, *, beta, alpha, called):
    """beta * input + alpha * product; nothing of `input` shows where beta is 0"""
    scaled = product if alpha == 1 else np.multiply(product, alpha)
    if beta == 0:
        return np.broadcast_to(scaled, np.broadcast_shapes(np.shape(input), np.shape(product))).copy()
    return np.add(input if beta == 1 else np.multiply(input, beta), scaled)


@scaled_sum_op.derivative("input")
def _(beta):
    return beta


@scaled_sum_op.derivative("product")
def _(alpha):
    return alpha


@scaled_sum_op.kernel
def _(k, input, product, *, beta, alpha, called):
    scaled = k.mul(product, k.const(alpha, product))
    return scaled if beta == 0 else k.add(k.mul(input, k.const(beta, input)), scaled)


def add_product(name: str, input: Tensor, result: Tensor, beta: Any, alpha: Any, out: Any) -> Tensor:
    """`beta * input + alpha * result`, as addmm and its kin have it."""
    check_tensors(name, input=input)
    if input.dtype is not result.dtype:
        raise RuntimeError(
            f"self and mat2 must have the same dtype, but got {dtypes.scalar_name(input.dtype)} and {dtypes.scalar_name(result.dtype)}"
        )
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


# ---------------------------------------------------------------- chains


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
            raise RuntimeError(
                f"multi_dot(): all tensors must have the same dtype. Expected {tensors[0].dtype}, but got {x.dtype} for tensor {i}"
            )
    for i, (x, y) in enumerate(itertools.pairwise(tensors)):
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
            cost[i, j], split[i, j] = min((cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k) for k in range(i, j))
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
    return x if x.dtype is to else x.to(to)


def cross(input: Tensor, other: Tensor, dim: int | None = None, *, out: Any = None) -> Tensor:
    """The cross product along `dim`: by default the first one of size 3. See `linalg.cross`."""
    if dim is None:
        dim = next((d for d, n in enumerate(input.shape) if n == 3), None)
        if dim is None:
            raise RuntimeError("no dimension of size 3 in input")
    return linalg_cross(input, other, dim=dim, out=out)


__all__ = [
    "addbmm", "addmm", "addmv", "addr", "baddbmm", "bmm", "chain_matmul", "cross", "dot", "ger", "linalg_cross", "linear", "linear_op",
    "matmul", "mm", "multi_dot", "mv", "outer", "rmatmul", "trace", "vdot",
]  # fmt: skip
