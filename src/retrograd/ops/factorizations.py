"""Factorisations of matrices: Cholesky, QR, LU, and the equations they solve."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.core.families import opaque, write_out
from retrograd.core.tensor import Tensor, constant, wrap
from retrograd.errors import LinAlgError
from retrograd.ops import return_types
from retrograd.ops.basis import conj_of, expand_op, matmul_op, reshape_op, slice_op, where_op
from retrograd.ops.join import cat_op
from retrograd.ops.linalg import (
    batched,
    check_floating,
    check_matrix,
    check_square,
    check_system,
    diagonal_matrix,
    diagonal_of,
    identity,
    info_of,
    mH,
    part,
    same_batch,
    solve_triangular_op,
)  # fmt: skip
from retrograd.ops.reduce import write_all
from retrograd.ops.shape import tril_op, triu_op

# ---------------------------------------------------------------- Cholesky


@batched
@opaque(name="linalg_cholesky", derivative_name="LinalgCholeskyExBackward0")
def cholesky_op(input):
    """The lower triangular L with L L^H = input, of whose upper triangle nothing is looked at."""
    try:
        return np.linalg.cholesky(input)
    except np.linalg.LinAlgError:
        raise LinAlgError(
            "linalg.cholesky: The factorization could not be completed because the input is not positive-definite "
            f"(the leading minor of order {first_bad_minor(input)} is not positive-definite)."
        ) from None


def first_bad_minor(matrices: Any) -> int:
    """The order of the first leading minor that is not positive-definite, in a batch of which some matrix has one."""
    n = matrices.shape[-1]
    for x in matrices.reshape(-1, n, n):
        for order in range(1, n + 1):
            try:
                np.linalg.cholesky(x[:order, :order])
            except np.linalg.LinAlgError:
                return order
    return n


def lower_half(x: Any) -> Any:
    """The lower triangles, with half of the diagonals."""
    return tril_op(x, diagonal=0) - diagonal_matrix(diagonal_of(x)) / 2.0


@cholesky_op.vjp("input")
def _(g, y):
    inner = lower_half(matmul_op(mH(y), g))
    inner = (inner + mH(inner)) / 2.0
    left = solve_triangular_op(mH(y), inner, upper=True, unitriangular=False)
    return mH(solve_triangular_op(mH(y), mH(left), upper=True, unitriangular=False))


@cholesky_op.jvp("input")
def _(t, y):
    t = (t + mH(t)) / 2.0
    left = solve_triangular_op(y, t, upper=False, unitriangular=False)
    inner = mH(solve_triangular_op(y, mH(left), upper=False, unitriangular=False))
    return matmul_op(y, lower_half(inner))


def cholesky(A: Tensor, *, upper: bool = False, out: Any = None) -> Tensor:
    """The lower triangular L with `L @ L.mH = A`, for symmetric (Hermitian) positive-definite A; its adjoint, if `upper`.

    Raises:
        LinAlgError: if a matrix is not positive-definite.
        RuntimeError: if they are not square, or not of a dtype of real or complex numbers.

    >>> from retrograd import linalg, tensor
    >>> linalg.cholesky(tensor([[4., 2.], [2., 5.]]))
    tensor([[2., 0.],
            [1., 2.]])
    """
    check_square("linalg.cholesky", A)
    check_floating("linalg.cholesky", A)
    result = mH(cholesky_op(mH(A))) if upper else cholesky_op(A)
    return result if out is None else write_out(out, result)


def cholesky_of(input: Tensor, upper: bool = False, *, out: Any = None) -> Tensor:
    """The lower triangular L with `L @ L.mH = input`, or its adjoint. See `linalg.cholesky`."""
    return cholesky(input, upper=upper, out=out)


def cholesky_ex(A: Tensor, *, upper: bool = False, check_errors: bool = False, out: Any = None) -> Any:
    """`cholesky`, and which matrices are not positive-definite (their `info` is not zero), as a named tuple `(L, info)`.

    What stands in L for such a matrix is not to be used.
    """
    check_square("linalg.cholesky_ex", A)
    check_floating("linalg.cholesky_ex", A)
    if check_errors:
        return return_types.linalg_cholesky_ex(cholesky(A, upper=upper), info_of(A))
    n = A.shape[-1]
    infos = np.array([minor_or_zero(x) for x in A._data.reshape(math.prod(A.shape[:-2]), n, n)], np.int32).reshape(A.shape[:-2])
    if infos.any():
        A = where_op(wrap(infos[..., None, None] != 0), identity(n, A), A)
    result = return_types.linalg_cholesky_ex(cholesky(A, upper=upper), wrap(infos))
    return result if out is None else write_all(out, result)


def minor_or_zero(x: Any) -> int:
    """The order of a matrix' first leading minor that is not positive-definite, 0 if there is none."""
    try:
        np.linalg.cholesky(x)
    except np.linalg.LinAlgError:
        return first_bad_minor(x)
    return 0


def cholesky_solve(B: Tensor, L: Tensor, upper: bool = False, *, out: Any = None) -> Tensor:
    """X with `A @ X = B`, from the Cholesky factor L of A (`upper`: from its adjoint).

    Raises:
        RuntimeError: if the shapes do not fit.

    >>> from retrograd import cholesky_solve, tensor
    >>> cholesky_solve(tensor([[4.], [8.]]), tensor([[2., 0.], [0., 2.]]))
    tensor([[1.],
            [2.]])
    """
    for name, x in (("b", B), ("u", L)):
        if x.ndim < 2:
            raise RuntimeError(f"{name} should have at least 2 dimensions, but has {x.ndim} dimensions instead")
    check_square("cholesky_solve", L)
    check_system("cholesky_solve", L, B)
    check_floating("cholesky_solve", L)
    L, B = same_batch(mH(L) if upper else L, B)
    half = solve_triangular_op(L, B, upper=False, unitriangular=False)
    result = solve_triangular_op(mH(L), half, upper=True, unitriangular=False)
    return result if out is None else write_out(out, result)


def cholesky_inverse(L: Tensor, upper: bool = False, *, out: Any = None) -> Tensor:
    """The inverse of A, from its Cholesky factor L (`upper`: from its adjoint)."""
    check_square("cholesky_inverse", L)
    check_floating("cholesky_inverse", L)
    one = identity(L.shape[-1], L)
    result = cholesky_solve(expand_op(one, shape=tuple(L.shape)), L, upper)
    return result if out is None else write_out(out, result)


# ---------------------------------------------------------------- QR


@batched
@opaque(name="linalg_qr", outputs=("Q", "R"))
def qr_op(input, *, mode):
    """Q with orthonormal columns and upper triangular R with Q R = input; Q is empty in mode "r"."""
    if mode == "r":
        return np.empty(0, input.dtype), np.linalg.qr(input, "r")
    if input.size or mode == "reduced":
        q, r = np.linalg.qr(input, mode)
        return q, r
    m = input.shape[-2]
    return np.broadcast_to(np.eye(m, dtype=input.dtype), (*input.shape[:-2], m, m)).copy(), np.zeros(input.shape, input.dtype)


@qr_op.vjp("input")
def _(g_Q, g_R, Q, R, input, mode):
    m, n = input.shape[-2:]
    if mode == "r":
        raise RuntimeError(
            "The derivative of linalg.qr depends on Q, which is not computed when mode='r'. "
            "Please use linalg.qr(A, mode='reduced') if you are going to differentiate through linalg.qr."
        )
    if m >= n:
        if mode == "complete" and m > n:
            raise RuntimeError("The QR decomposition is not differentiable when mode='complete' and nrows > ncols.")
        return qr_pull(g_Q, g_R, Q, R)
    # the columns beyond the first m are Q times the rest of R
    last = len(input.shape) - 1
    first = {"dim": last, "start": 0, "end": m, "step": 1}
    rest = {"dim": last, "start": m, "end": n, "step": 1}
    g_rest = slice_op(g_R, **rest)
    g_Q = g_Q + matmul_op(slice_op(input, **rest), mH(g_rest))
    g_first = qr_pull(g_Q, slice_op(g_R, **first), Q, slice_op(R, **first))
    return cat_op(g_first, matmul_op(Q, g_rest), dim=last)


def qr_pull(g_Q: Any, g_R: Any, Q: Any, R: Any) -> Any:
    """The cotangent of a matrix with at least as many rows as columns from those of its factors."""
    m = matmul_op(R, mH(g_R)) - matmul_op(mH(g_Q), Q)
    low = lower_half(m)
    inner = g_Q + matmul_op(Q, low + mH(low))
    return mH(solve_triangular_op(R, mH(inner), upper=True, unitriangular=False))


@qr_op.jvp("input")
def _(t, Q, R, input, mode):
    m, n = input.shape[-2:]
    if mode == "r" or (mode == "complete" and m > n):
        raise RuntimeError(f"The QR decomposition of a {m} by {n} matrix is not differentiable in mode={mode!r}.")
    last = len(input.shape) - 1
    k = m if m < n else n
    square = {"dim": last, "start": 0, "end": k, "step": 1}
    first = mH(solve_triangular_op(mH(slice_op(R, **square)), mH(slice_op(t, **square)), upper=False, unitriangular=False))
    turned = matmul_op(mH(Q), first)
    low = tril_op(turned, diagonal=-1)
    skew = low - mH(low) + imaginary_diagonal(turned)
    moved_Q = matmul_op(Q, skew) + first - matmul_op(Q, turned)
    return moved_Q, triu_op(matmul_op(mH(Q), t) - matmul_op(skew, R), diagonal=0)


def imaginary_diagonal(x: Any) -> Any:
    """The diagonals without their real parts, as matrices."""
    d = diagonal_of(x)
    return diagonal_matrix((d - conj_of(d)) / 2.0)


def qr(A: Tensor, mode: str = "reduced", *, out: Any = None) -> Any:
    """Q with orthonormal columns and upper triangular R with `Q @ R = A`, as a named tuple `(Q, R)`.

    Args:
        mode: "reduced": as many columns as A has, or rows, if there are fewer; "complete": a square Q; "r": no Q.

    Raises:
        RuntimeError: for another `mode`; in backward, where the factors are no smooth functions of A.

    >>> from retrograd import linalg, tensor
    >>> linalg.qr(tensor([[0., 2.], [-3., 1.]])).R
    tensor([[-3.,  1.],
            [ 0.,  2.]])
    """
    if mode not in ("reduced", "complete", "r"):
        raise RuntimeError(f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), 'r', or 'complete'")
    check_matrix("linalg.qr", A)
    check_floating("linalg.qr", A)
    result = return_types.linalg_qr(*qr_op(A, mode=mode))
    return result if out is None else write_all(out, result)


def qr_of(input: Tensor, some: bool = True, *, out: Any = None) -> Any:
    """`linalg.qr`: reduced if `some`, complete otherwise."""
    result = return_types.qr(*qr(input, "reduced" if some else "complete"))
    return result if out is None else write_all(out, result)


# ---------------------------------------------------------------- LU


@batched
@opaque(name="linalg_lu_factor", outputs=("LU", "pivots"), derivative_name="LinalgLuFactorExBackward0")
def lu_factor_op(input):
    """L (without its diagonal of ones) and U in one matrix, with L U = input after exchanging row i with row pivots[i] for every i"""
    m, n = input.shape[-2:]
    lu = np.array(input).reshape(math.prod(input.shape[:-2]), m, n)
    k = min(m, n)
    pivots = np.empty((len(lu), k), np.int32)
    every = np.arange(len(lu))
    for i in range(k):
        below = lu[:, i:, i]
        size = np.abs(below.real) + np.abs(below.imag) if lu.dtype.kind == "c" else np.abs(below)
        at = size.argmax(1) + i
        pivots[:, i] = at + 1  # counted from 1, as LAPACK does
        lu[every, at], lu[:, i] = lu[:, i].copy(), lu[every, at]
        pivot = lu[:, i, i, None]
        lu[:, i + 1 :, i] = np.where(pivot == 0, lu[:, i + 1 :, i], lu[:, i + 1 :, i] / pivot)
        lu[:, i + 1 :, i + 1 :] -= lu[:, i + 1 :, i, None] * lu[:, i, None, i + 1 :]
    return lu.reshape(input.shape), pivots.reshape(*input.shape[:-2], k)


@lu_factor_op.vjp("input")
def _(g_LU, LU, pivots):
    m, n = LU.shape[-2:]
    rank = len(LU.shape)
    k = m if m < n else n
    L, U = unit_lower(part(LU, 0, m, 0, k)), triu_op(part(LU, 0, k, 0, n), diagonal=0)
    g_L, g_U = tril_op(part(g_LU, 0, m, 0, k), diagonal=-1), triu_op(part(g_LU, 0, k, 0, n), diagonal=0)
    L1, U1, g_L1, g_U1 = part(L, 0, k, 0, k), part(U, 0, k, 0, k), part(g_L, 0, k, 0, k), part(g_U, 0, k, 0, k)
    if m > n:  # the rows below the square are L2 U
        g_below = right_over(part(g_L, k, m, 0, k), U1)
        g_U1 = g_U1 - matmul_op(mH(part(L, k, m, 0, k)), g_below)
    if m < n:  # the columns beyond it L U2
        g_beside = solve_triangular_op(mH(L1), part(g_U, 0, k, k, n), upper=True, unitriangular=True)
        g_L1 = g_L1 - matmul_op(g_beside, mH(part(U, 0, k, k, n)))
    inner = tril_op(matmul_op(mH(L1), g_L1), diagonal=-1) + triu_op(matmul_op(g_U1, mH(U1)), diagonal=0)
    g = right_over(solve_triangular_op(mH(L1), inner, upper=True, unitriangular=True), U1)
    if m > n:
        g = cat_op(g, g_below, dim=rank - 2)
    if m < n:
        g = cat_op(g, g_beside, dim=rank - 1)
    return swap_rows_op(g, pivots, undo=True)


@lu_factor_op.jvp("input")
def _(t, LU, pivots):
    m, n = LU.shape[-2:]
    if m != n:
        raise NotImplementedError(f"forward-mode derivative of the LU factors of matrices that are not square ({m} by {n})")
    L, U = unit_lower(LU), triu_op(LU, diagonal=0)
    inner = solve_triangular_op(L, swap_rows_op(t, pivots, undo=False), upper=False, unitriangular=True)
    inner = mH(solve_triangular_op(mH(U), mH(inner), upper=False, unitriangular=False))
    return tril_op(matmul_op(L, tril_op(inner, diagonal=-1)), diagonal=-1) + triu_op(
        matmul_op(triu_op(inner, diagonal=0), U), diagonal=0
    ), None


def unit_lower(x: Any) -> Any:
    """The triangles below the diagonals, with ones on these."""
    low = tril_op(x, diagonal=-1)
    return (
        low + diagonal_matrix(diagonal_of(low) + 1.0)
        if x.shape[-2] == x.shape[-1]
        else low + tril_op(triu_op(low * 0.0 + 1.0, diagonal=0), diagonal=0)
    )


def right_over(x: Any, upper: Any) -> Any:
    """x U^-H for upper triangular U."""
    return mH(solve_triangular_op(upper, mH(x), upper=True, unitriangular=False))


@batched
@opaque(name="lu_swap_rows")
def swap_rows_op(input, pivots, *, undo):
    """The rows exchanged as `pivots` say, one after the other; or back again."""
    m, n = input.shape[-2:]
    x = np.array(input).reshape(math.prod(input.shape[:-2]), m, n)
    every, k = np.arange(len(x)), pivots.shape[-1]
    at = pivots.reshape(len(x), k) - 1
    for i in reversed(range(k)) if undo else range(k):
        x[every, at[:, i]], x[:, i] = x[:, i].copy(), x[every, at[:, i]]
    return x.reshape(input.shape)


@swap_rows_op.vjp("input")
def _(g, pivots, undo):
    return swap_rows_op(g, pivots, undo=not undo)


@swap_rows_op.jvp("input")
def _(t, pivots, undo):
    return swap_rows_op(t, pivots, undo=undo)


def lu_factor(A: Tensor, *, pivot: bool = True, out: Any = None) -> Any:
    """L and U in one matrix and the exchanges of rows, as a named tuple `(LU, pivots)`.

    Raises:
        RuntimeError: if not `pivot`: LU without exchanging rows is not for CPUs.
    """
    check_matrix("linalg.lu_factor", A)
    if not pivot:
        raise RuntimeError("linalg.lu_factor: LU without pivoting is not implemented on the CPU")
    check_floating("linalg.lu_factor", A)
    result = return_types.linalg_lu_factor(*lu_factor_op(A))
    return result if out is None else write_all(out, result)


def lu_factor_ex(A: Tensor, *, pivot: bool = True, check_errors: bool = False, out: Any = None) -> Any:
    """`lu_factor`, and the place of the first zero among the pivots (0: there is none), as a named tuple `(LU, pivots, info)`."""
    LU, pivots = lu_factor(A, pivot=pivot)
    zero = np.diagonal(LU._data, axis1=-2, axis2=-1) == 0
    info = np.where(zero.any(-1), zero.argmax(-1) + 1, 0).astype(np.int32) if zero.shape[-1] else np.zeros(A.shape[:-2], np.int32)
    if check_errors and info.any():
        raise LinAlgError(
            f"linalg.lu_factor_ex: U[{info.max()},{info.max()}] is zero and using it on lu_solve would result in a division by zero."
        )
    result = return_types.linalg_lu_factor_ex(LU, pivots, wrap(info))
    return result if out is None else write_all(out, result)


def lu(A: Tensor, *, pivot: bool = True, out: Any = None) -> Any:
    """A permutation P, unit lower triangular L and upper triangular U with `P @ L @ U = A`, as a named tuple.

    >>> from retrograd import linalg, tensor
    >>> linalg.lu(tensor([[1., 2.], [2., 2.]])).U
    tensor([[2., 2.],
            [0., 1.]])
    """
    result = return_types.linalg_lu(*lu_unpack(*lu_factor(A, pivot=pivot)))
    return result if out is None else write_all(out, result)


def lu_of(A: Tensor, pivot: bool = True, get_infos: bool = False, out: Any = None) -> Any:
    """L and U in one matrix, the exchanges of rows, and what went wrong if `get_infos`. See `linalg.lu_factor`."""
    LU, pivots, info = lu_factor_ex(A, pivot=pivot)
    result = return_types.linalg_lu_factor_ex(LU, pivots, info) if get_infos else return_types.linalg_lu_factor(LU, pivots)
    return result if out is None else write_all(out, result)


def lu_unpack(LU_data: Tensor, LU_pivots: Tensor, unpack_data: bool = True, unpack_pivots: bool = True, *, out: Any = None) -> Any:
    """P, L and U from what `linalg.lu_factor` returns, as a named tuple; what is not to be unpacked is empty.

    Raises:
        RuntimeError: if the pivots are not int32.
    """
    check_matrix("lu_unpack", LU_data, "LU_data")
    if unpack_pivots and LU_pivots.dtype is not dtypes.int32:
        raise RuntimeError(
            "torch.lu_unpack: LU_pivots is expected to be a contiguous tensor of torch.int32 dtype. "
            "Note: this function is intended to be used with the output produced by torch.linalg.lu_factor"
        )
    m, n = LU_data.shape[-2:]
    k = min(m, n)
    nothing = wrap(np.empty(0, LU_data.dtype.numpy))
    P, L, U = nothing, nothing, nothing
    if unpack_data:
        L, U = unit_lower(part(LU_data, 0, m, 0, k)), triu_op(part(LU_data, 0, k, 0, n), diagonal=0)
    if unpack_pivots:
        P = swap_rows_op(expand_op(identity(m, LU_data), shape=(*LU_data.shape[:-2], m, m)), LU_pivots, undo=True)
    result = return_types.lu_unpack(P, L, U)
    return result if out is None else write_all(out, result)


def lu_solve(LU: Tensor, pivots: Tensor, B: Tensor, *, left: bool = True, adjoint: bool = False, out: Any = None) -> Tensor:
    """X with `A @ X = B`, from what `lu_factor(A)` returns; `X @ A = B`, unless `left`; for the adjoint of A, if `adjoint`.

    Raises:
        RuntimeError: if the shapes do not fit, or the dtypes differ.
    """
    check_square("torch.linalg.lu_solve", LU, "LU")
    check_floating("torch.linalg.lu_solve", LU)
    if pivots.dtype is not dtypes.int32:
        raise RuntimeError("torch.linalg.lu_solve: pivots should be a Tensor of scalar type torch.int32")
    check_matrix("torch.linalg.lu_solve", B, "B")
    check_system("torch.linalg.lu_solve", LU, B, left)
    if not left:
        result = mH(lu_solve(LU, pivots, mH(B), adjoint=not adjoint))
        return result if out is None else write_out(out, result)
    LU, B = same_batch(LU, B)
    pivots = expand_op(pivots, shape=(*LU.shape[:-2], pivots.shape[-1]))
    if adjoint:
        half = solve_triangular_op(mH(LU), B, upper=False, unitriangular=False)
        result = swap_rows_op(solve_triangular_op(mH(LU), half, upper=True, unitriangular=True), pivots, undo=True)
    else:
        half = solve_triangular_op(LU, swap_rows_op(B, pivots, undo=False), upper=False, unitriangular=True)
        result = solve_triangular_op(LU, half, upper=True, unitriangular=False)
    return result if out is None else write_out(out, result)


def lu_solve_of(b: Tensor, LU_data: Tensor, LU_pivots: Tensor, *, out: Any = None) -> Tensor:
    """X with `A @ X = b`, from what `lu_factor(A)` returns. See `linalg.lu_solve`."""
    return lu_solve(LU_data, LU_pivots, b, out=out)


# ---------------------------------------------------------------- Householder reflections


def householder_product(A: Tensor, tau: Tensor, *, out: Any = None) -> Tensor:
    """The first columns of the product of reflections `1 - tau[i] v vᴴ`, where v is column i of A below a one on the diagonal.

    Raises:
        RuntimeError: if A has more columns than rows, or there are more `tau` than columns.
    """
    check_matrix("torch.linalg.householder_product", A, "input")
    (m, n), k = A.shape[-2:], tau.shape[-1]
    if m < n:
        raise RuntimeError("torch.linalg.householder_product: input.shape[-2] must be greater than or equal to input.shape[-1]")
    if n < k:
        raise RuntimeError("torch.linalg.householder_product: input.shape[-1] must be greater than or equal to tau.shape[-1]")
    if tau.shape[:-1] != A.shape[:-2]:
        raise RuntimeError(
            f"torch.linalg.householder_product: Expected batch dimensions of tau to be equal to input.shape[:-2], but got {list(tau.shape[:-1])}"
        )
    check_floating("torch.linalg.householder_product", A)
    Q = expand_op(constant(np.eye(m, n, dtype=A.dtype.numpy)), shape=tuple(A.shape))
    V = unit_lower(A)
    for i in reversed(range(k)):
        v = part(V, 0, m, i, i + 1)
        t = reshape_op(slice_op(tau, dim=tau.ndim - 1, start=i, end=i + 1, step=1), shape=(*tau.shape[:-1], 1, 1))
        Q = Q - t * matmul_op(v, matmul_op(mH(v), Q))
    if not k:
        Q = Q + 0 * part(V, 0, m, 0, n)  # of no reflections, yet a function of A
    return Q if out is None else write_out(out, Q)
