"""Norms of vectors and matrices, and distances, which are norms of differences."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.core.families import reduction, write_out
from retrograd.core.tensor import Tensor
from retrograd.dtypes import dtype
from retrograd.ops.arithmetic import div
from retrograd.ops.basis import cast, conj_of, eq, mul, ne, permute_op, reshape_op, sub_op, sum_op, where_op
from retrograd.ops.complexes import real_part
from retrograd.ops.linalg import check_square, inv_ex
from retrograd.ops.pointwise import abs, pow_scalar_op, sgn
from retrograd.ops.reduce import amax_op, amin_op, kept, share_op, wide
from retrograd.ops.spectral import is_complex, svdvals_op
from retrograd.shapes import broadcast_shapes, wrap_dim, wrap_dims

INF = math.inf

# ---------------------------------------------------------------- vectors


@reduction(name="linalg_vector_norm")
def vector_norm_op(input, *, ord, dims, keepdim):
    """(sum |x|^ord)^(1/ord) over `dims`; the greatest or least |x| for infinite `ord`, the number of x != 0 for ord 0"""
    x = wide(input)
    real = x.real.dtype
    to = input.dtype if input.dtype.kind != "c" else real
    if ord == 2 and x.dtype.kind != "c":
        y = np.sqrt(np.add.reduce(x * x, dims, keepdims=keepdim))
        if np.isfinite(y).all() and (y > 1e-15).all():
            return y.astype(to, copy=False)
    a = np.abs(x)
    if ord == 0:
        return np.add.reduce(a != 0, dims, real, keepdims=keepdim).astype(to, copy=False)
    if ord in (INF, -INF):
        return (
            (np.maximum if ord > 0 else np.minimum)  # type: ignore[call-overload]
            .reduce(a, dims, keepdims=keepdim, **({"initial": 0} if ord > 0 else {}))
            .astype(to, copy=False)
        )
    if ord == 1:
        return np.add.reduce(a, dims, keepdims=keepdim).astype(to, copy=False)
    return (np.add.reduce(a**ord, dims, keepdims=keepdim) ** (1 / ord)).astype(to, copy=False)


@vector_norm_op.vjp("input")
def _(g, input, y, input_shape, ord, dims, keepdim):
    return kept(g, input_shape, dims, keepdim) * slope(input, kept(y, input_shape, dims, keepdim), ord, dims)


@vector_norm_op.jvp("input")
def _(t, input, y, input_shape, ord, dims, keepdim):
    moved = t * conj_of(slope(input, kept(y, input_shape, dims, keepdim), ord, dims))
    total = sum_op(moved, dims=dims, keepdim=keepdim)
    return real_part(total) if is_complex(total) else total


def slope(x: Any, norm: Any, ord: float, dims: tuple[int, ...]) -> Any:
    """The derivative of a norm by each element; 0 where the norm is 0, and its own derivative is nan there, for there is none."""
    if ord == 0:
        return x * 0.0
    if ord == 1:
        return sgn(x)
    if ord == 2:
        return where_op(eq(norm, 0), 0.0, x / norm)
    a = abs(x)
    if ord in (INF, -INF):
        return sgn(x) * share_op(a, norm, dims=dims)
    nothing = eq(norm, 0) | eq(a, 0) if ord < 2 else eq(norm, 0)
    divisor = norm if ord < 2 else where_op(nothing, 1.0, norm)
    return where_op(nothing, 0.0, sgn(x) * pow_scalar_op(where_op(nothing, 1.0, a) / divisor, exponent=ord - 1))


def vector_norm(x: Tensor, ord: Any = 2, dim: Any = None, keepdim: bool = False, *, dtype: dtype | None = None, out: Any = None) -> Tensor:
    """The `ord`-norm of the elements, or of those along `dim` (an int or several): the ord-th root of the sum of ord-th powers.

    Args:
        ord: any number; infinite for the greatest (or least) absolute value, 0 for the number of elements that are not 0.
        dtype: converts first.

    Raises:
        RuntimeError: if the dtype is not one of real or complex numbers, or there are no elements and no norm of none.
        IndexError: if a dim is out of range.

    >>> from retrograd import linalg, tensor
    >>> linalg.vector_norm(tensor([3., 4.])), linalg.vector_norm(tensor([3., 4.]), ord=1)
    (tensor(5.), tensor(7.))
    """
    if not isinstance(ord, (int, float)):
        raise TypeError(f"linalg_vector_norm(): argument 'ord' must be Number, not {type(ord).__name__}")
    x = in_dtype("linalg.vector_norm", x, dtype)
    dims = wrap_dims(dim, x.ndim)
    if (ord < 0 or ord == INF) and x.ndim:
        check_identity(x, ord, dims, dim is None or len(dims) == x.ndim)
    result = vector_norm_op(x, ord=float(ord), dims=dims, keepdim=keepdim)
    return result if out is None else write_out(out, result)


def in_dtype(name: str, x: Tensor, to: dtype | None) -> Tensor:
    """The operand of a norm in `to`, if that is given; checked to be of real or complex numbers."""
    if x.dtype.category < dtypes.FLOATING:
        raise RuntimeError(f"{name}: Expected a floating point or complex tensor as input. Got {dtypes.scalar_name(x.dtype)}")
    if to is None:
        return x
    if to.category < dtypes.FLOATING:
        raise RuntimeError(f"{name}: dtype should be floating point or complex, but got {dtypes.scalar_name(to)}")
    if to.category != x.dtype.category:  # type: ignore[operator]
        kind = "complex" if x.dtype.is_complex else "real"
        raise RuntimeError(f"{name}: dtype should be {kind} for {kind} inputs, but got {dtypes.scalar_name(to)}")
    if dtypes.promote_types(x.dtype, to) is not to:
        raise RuntimeError(
            f"{name}: the dtype of the input ({dtypes.scalar_name(x.dtype)}) should be convertible without narrowing to the specified dtype "
            f"({dtypes.scalar_name(to)})"
        )
    return cast(x, to)


def check_identity(x: Tensor, ord: float, dims: tuple[int, ...], whole: bool) -> None:
    """Raises RuntimeError where a norm that has no value for no elements would be taken of none."""
    if whole and 0 in x.shape:
        raise RuntimeError(
            f"linalg.vector_norm cannot compute the {ord} norm on an empty tensor because the operation does not have an identity"
        )
    for d in dims:
        if x.shape[d] == 0:
            raise RuntimeError(
                f"linalg.vector_norm cannot compute the {ord} norm on the dimension {d} because this dimension is empty and the operation does not have an identity"
            )


# ---------------------------------------------------------------- matrices


def matrix_norm(
    A: Tensor, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *, dtype: dtype | None = None, out: Any = None
) -> Tensor:
    """The norms of the matrices in two dims.

    Args:
        ord: "fro": of all elements as one vector; "nuc": the sum of the singular values; 2, -2: the greatest, least singular value;
            1, -1: the greatest, least sum of absolute values of a column; inf, -inf: of a row.

    Raises:
        RuntimeError: for another `ord`, or if `dim` does not name two dims, or the dtype is not one of real or complex numbers.

    >>> from retrograd import linalg, tensor
    >>> linalg.matrix_norm(tensor([[1., -2.], [3., 4.]]), ord=1)
    tensor(6.)
    """
    if not isinstance(A, Tensor):
        raise TypeError(f"linalg_matrix_norm(): argument 'A' (position 1) must be Tensor, not {type(A).__name__}")
    if A.ndim < 2:
        raise RuntimeError("linalg.matrix_norm: The input tensor A must have at least 2 dimensions.")
    if isinstance(dim, int):
        raise TypeError("linalg_matrix_norm(): argument 'dim' must be tuple of ints, not int")
    if len(dim) != 2:
        raise RuntimeError(f"linalg.matrix_norm: dim must be a 2-tuple. Got {' '.join(map(str, dim))}")
    A = in_dtype("linalg.matrix_norm", A, dtype)
    rows, columns = (wrap_dim(d, A.ndim) for d in dim)
    if rows == columns:
        raise RuntimeError(f"linalg.matrix_norm: dims must be different. Got ({dim[0]}, {dim[1]})")
    if ord not in ("fro", "nuc", 1, -1, 2, -2, INF, -INF):
        raise RuntimeError(f"linalg.matrix_norm: Order {ord} not supported.")
    if ord == "fro":
        result = vector_norm_op(A, ord=2.0, dims=(rows, columns), keepdim=keepdim)
    elif ord in ("nuc", 2, -2):
        rest = [d for d in range(A.ndim) if d not in (rows, columns)]
        values = svdvals_op(permute_op(A, dims=(*rest, rows, columns)))
        result = total(values, values.ndim - 1) if ord == "nuc" else extremum(values, ord, values.ndim - 1)
        if keepdim:
            result = reshape_op(result, shape=tuple([1 if d in (rows, columns) else n for d, n in enumerate(A.shape)]))
    else:
        along, across = (rows, columns) if ord in (1, -1) else (columns, rows)
        result = extremum(sum_op(abs(A), dims=(along,), keepdim=True), ord, across, keepdim=True)
        if not keepdim:
            result = reshape_op(result, shape=tuple([n for d, n in enumerate(A.shape) if d not in (rows, columns)]))
    return result if out is None else write_out(out, result)


def total(values: Tensor, dim: int) -> Tensor:
    """The sum along `dim`."""
    return sum_op(values, dims=(dim,), keepdim=False)


def extremum(values: Tensor, ord: float, dim: int, *, keepdim: bool = False) -> Tensor:
    """The greatest of non-negative values along `dim` (the least, if `ord` is negative); 0 if there are none."""
    if not values.shape[dim]:
        return sum_op(values, dims=(dim,), keepdim=keepdim)
    return (amax_op if ord > 0 else amin_op)(values, dims=(dim,), keepdim=keepdim)


# ---------------------------------------------------------------- either


def linalg_norm(
    A: Tensor, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: dtype | None = None, out: Any = None
) -> Tensor:
    """A norm of a vector (`dim` is an int, or there is one) or of a matrix. Without `ord`, the 2-norm of the elements.

    See `linalg.vector_norm` and `linalg.matrix_norm`.

    Raises:
        RuntimeError: if `dim` names more than two dims, or none does and there are neither one nor two.

    >>> from retrograd import linalg, tensor
    >>> linalg.norm(tensor([[3., 4.], [0., 0.]])), linalg.norm(tensor([[3., 4.], [0., 0.]]), ord=1)
    (tensor(5.), tensor(4.))
    """
    if dim is not None:
        dims = (dim,) if isinstance(dim, int) else tuple(dim)
        if len(dims) not in (1, 2):
            raise RuntimeError(f"linalg.norm: If dim is specified, it must be of length 1 or 2. Got {list(dims)}")
    elif ord is not None and A.ndim not in (1, 2):
        raise RuntimeError(f"linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got {A.ndim}D.")
    if ord is None:
        return vector_norm(A, 2, dim, keepdim, dtype=dtype, out=out)
    if isinstance(ord, str) or (len(dims) == 2 if dim is not None else A.ndim == 2):
        return matrix_norm(A, ord, (-2, -1) if dim is None else dims, keepdim, dtype=dtype, out=out)
    return vector_norm(A, ord, dim, keepdim, dtype=dtype, out=out)


def norm(input: Tensor, p: Any = "fro", dim: Any = None, keepdim: bool = False, out: Any = None, dtype: dtype | None = None) -> Tensor:
    """The `p`-norm of the elements, or of those along `dim`; "fro" is the 2-norm, "nuc" the sum of a matrix' singular values.

    Raises:
        RuntimeError: if the dtype is not one of real or complex numbers; for an unknown `p`.

    >>> from retrograd import norm, tensor
    >>> norm(tensor([3., 4.]))
    tensor(5.)
    """
    if isinstance(p, str):
        dims = dim if dim is None or isinstance(dim, int) else tuple(dim)
        if p == "fro" and (dims is None or isinstance(dims, int) or len(dims) <= 2):
            return vector_norm(input, 2, dims, keepdim, dtype=dtype, out=out)
        dims = tuple(range(input.ndim)) if dims is None else (dims,) if isinstance(dims, int) else dims
        return matrix_norm(input, p, dims, keepdim, dtype=dtype, out=out)
    return vector_norm(input, 2 if p is None else p, dim, keepdim, dtype=dtype, out=out)


def cond(A: Tensor, p: Any = None, *, out: Any = None) -> Tensor:
    """The condition numbers of matrices: the norm times that of the inverse; infinite for singular ones.

    Args:
        p: as `ord` of `linalg.matrix_norm`; by default, and for 2 and -2, the quotient of the extreme singular values.

    Raises:
        RuntimeError: for another `p`; if the matrices are not square and `p` is not None, 2 or -2.

    >>> from retrograd import linalg, tensor
    >>> linalg.cond(tensor([[4., 0.], [0., 2.]]))
    tensor(2.)
    """
    if A.ndim < 2:
        raise RuntimeError("linalg.cond: The input tensor A must have at least 2 dimensions.")
    if p in (None, 2, -2):
        values = svdvals_op(in_dtype("linalg.cond", A, None))
        if not values.shape[-1]:
            result = total(values, values.ndim - 1)
        else:
            great, small = (op(values, dims=(values.ndim - 1,), keepdim=False) for op in (amax_op, amin_op))
            result = div(small, great) if p == -2 else div(great, small)
        return result if out is None else write_out(out, result)
    if p not in ("fro", "nuc", 1, -1, INF, -INF):
        raise RuntimeError(f"linalg.cond got an invalid norm type: {p}")
    check_square(f"linalg.cond(ord={p})", A)
    if p == "nuc":  # the inverse has the reciprocals for singular values
        values = svdvals_op(A)
        result = mul(total(values, values.ndim - 1), total(div(1.0, values), values.ndim - 1))
    else:
        result = mul(matrix_norm(A, p), matrix_norm(inv_ex(A).inverse, p))
    result = where_op(ne(result, result), INF, result)
    return result if out is None else write_out(out, result)


# ---------------------------------------------------------------- distances


def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """The `p`-norm of the difference.

    >>> from retrograd import dist, tensor
    >>> dist(tensor([1., 1.]), tensor([4., 5.]))
    tensor(5.)
    """
    return vector_norm(sub_op(input, other), p)


def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str = "use_mm_for_euclid_dist_if_necessary") -> Tensor:
    """The `p`-norm distances of each row of `x1`, (..., n, k), to each of `x2`, (..., m, k), as (..., n, m).

    Args:
        compute_mode: PyTorch's choice of a method; here always the most precise one.

    Raises:
        RuntimeError: if the shapes do not fit, an operand has fewer than two dims or is of integers, or `p` is negative.

    >>> from retrograd import cdist, tensor
    >>> cdist(tensor([[0., 0.], [3., 0.]]), tensor([[0., 4.]]))
    tensor([[4.],
            [5.]])
    """
    for name, x in (("X1", x1), ("X2", x2)):
        if not x.dtype.is_floating_point:
            raise RuntimeError(f"cdist only supports floating-point dtypes, {name} got: {dtypes.scalar_name(x.dtype)}")
        if x.ndim < 2:
            raise RuntimeError(f"cdist only supports at least 2D tensors, {name} got: {x.ndim}D")
    if x1.shape[-1] != x2.shape[-1]:
        raise RuntimeError(f"X1 and X2 must have the same number of columns. X1: {x1.shape[-1]} X2: {x2.shape[-1]}")
    if p < 0:
        raise RuntimeError("cdist only supports non-negative p values")
    if compute_mode not in ("use_mm_for_euclid_dist_if_necessary", "use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist"):
        raise ValueError(f"{compute_mode} is not a valid value for compute_mode")
    broadcast_shapes(x1.shape[:-2], x2.shape[:-2])
    a = reshape_op(x1, shape=(*x1.shape[:-1], 1, x1.shape[-1]))
    b = reshape_op(x2, shape=(*x2.shape[:-2], 1, *x2.shape[-2:]))
    difference = sub_op(a, b)
    return vector_norm_op(difference, ord=float(p), dims=(difference.ndim - 1,), keepdim=False)


__all__ = ["cdist", "cond", "dist", "linalg_norm", "matrix_norm", "norm", "vector_norm"]
