"""Eigenvalues and singular values, and what is made from them: pseudo-inverse, rank, condition, least squares."""

from __future__ import annotations

from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.core.families import opaque, write_out
from retrograd.core.tensor import Tensor, constant, wrap
from retrograd.ops import return_types
from retrograd.ops.arithmetic import maximum
from retrograd.ops.basis import cast, conj_of, eq, expand_op, gt, matmul_op, reshape_op, sum_op, where_op
from retrograd.ops.complexes import real_part
from retrograd.ops.linalg import (
    batched,
    check_floating,
    check_matrix,
    check_square,
    column,
    diagonal_matrix,
    diagonal_of,
    lapack,
    mH,
    part,
    row,
    same_batch,
    solve_op,
)  # fmt: skip
from retrograd.ops.pointwise import abs
from retrograd.ops.reduce import amax_op, write_all
from retrograd.shapes import broadcast_shapes


def differences(values: Any) -> Any:
    """Of values in the last dim, the matrices of w[j] - w[i]."""
    return row(values) - column(values)


def over(x: Any, gaps: Any) -> Any:
    """x / gaps, and 0 where x is 0 too: equal eigenvalues, whose vectors nothing depends on."""
    return x / where_op(eq(gaps, 0) & eq(x, 0), 1.0, gaps)


def off_diagonal(x: Any) -> Any:
    """Matrices without their diagonals."""
    return x - diagonal_matrix(diagonal_of(x))


def skew(x: Any) -> Any:
    """x less its adjoint."""
    return x - mH(x)


# ---------------------------------------------------------------- symmetric matrices


@batched
@opaque(name="linalg_eigh", outputs=("eigenvalues", "eigenvectors"))
def eigh_op(input, *, UPLO):
    """The eigenvalues, in ascending order, and eigenvectors of Hermitian matrices, of which one triangle is looked at."""
    if not np.isfinite(input).all():
        real = np.abs(input[..., 0] if input.shape[-1] else input.reshape(input.shape[:-1])).dtype
        return np.full(input.shape[:-1], np.nan, real), np.full(input.shape, np.nan, input.dtype)
    values, vectors = lapack(
        np.linalg.eigh, "linalg.eigh: The algorithm failed to converge because the input matrix is ill-conditioned.", input, UPLO
    )
    return values, vectors


@eigh_op.vjp("input")
def _(g_eigenvalues, g_eigenvectors, eigenvalues, eigenvectors):
    turned = skew(matmul_op(mH(eigenvectors), g_eigenvectors)) / 2.0
    inner = over(off_diagonal(turned), differences_off_diagonal(eigenvalues)) + diagonal_matrix(g_eigenvalues)
    return matmul_op(eigenvectors, matmul_op(inner, mH(eigenvectors)))


def differences_off_diagonal(values: Any) -> Any:
    """w[j] - w[i], with ones on the diagonals."""
    return differences(values) + diagonal_matrix(values * 0.0 + 1.0)


@eigh_op.jvp("input")
def _(t, eigenvalues, eigenvectors):
    turned = matmul_op(mH(eigenvectors), matmul_op(t, eigenvectors))
    moved = matmul_op(eigenvectors, over(off_diagonal(turned), differences_off_diagonal(eigenvalues)))
    return real_of(diagonal_of(turned)), moved


def real_of(x: Any) -> Any:
    """The real part of numbers that may be complex."""
    return real_part(x) if is_complex(x) else x


def is_complex(x: Any) -> bool:
    """Whether a tensor or an array is of complex numbers."""
    return bool(x.dtype.is_complex) if isinstance(x, Tensor) else x.dtype.kind == "c"


@batched
@opaque(name="linalg_eigvalsh", derivative_name="LinalgEighBackward0")
def eigvalsh_op(input, *, UPLO):
    """The eigenvalues of Hermitian matrices in ascending order."""
    return eigh_op.__wrapped__(input, UPLO=UPLO)[0]


@eigvalsh_op.vjp("input")
def _(g, input, UPLO):
    vectors = eigh_op(input, UPLO=UPLO)[1]
    return matmul_op(vectors * row(g), mH(vectors))


@eigvalsh_op.jvp("input")
def _(t, input, UPLO):
    vectors = eigh_op(input, UPLO=UPLO)[1]
    return real_of(diagonal_of(matmul_op(mH(vectors), matmul_op(t, vectors))))


def checked_triangle(UPLO: str) -> str:
    """ "L" or "U"."""
    if UPLO.upper() not in ("L", "U"):
        raise RuntimeError(f"Expected UPLO argument to be 'L' or 'U', but got {UPLO}")
    return UPLO.upper()


def check_eigen(name: str, A: Any) -> None:
    """Raises unless the operand has eigenvalues."""
    check_square(name, A)
    if A.dtype.category < dtypes.FLOATING or A.dtype.itemsize == 2:
        raise NotImplementedError(f"\"{name.replace('.', '_')}_cpu\" not implemented for '{dtypes.scalar_name(A.dtype)}'")


def eigh(A: Tensor, UPLO: str = "L", *, out: Any = None) -> Any:
    """Eigenvalues (ascending) and eigenvectors (columns) of symmetric or Hermitian matrices, as a named tuple.

    Args:
        UPLO: which triangle is looked at, the lower "L" or the upper "U".

    Raises:
        RuntimeError: if the matrices are not square, or not of a dtype of real or complex numbers.

    >>> from retrograd import linalg, tensor
    >>> linalg.eigh(tensor([[2., 0.], [0., 1.]])).eigenvalues
    tensor([1., 2.])
    """
    check_eigen("linalg.eigh", A)
    result = return_types.linalg_eigh(*eigh_op(A, UPLO=checked_triangle(UPLO)))
    return result if out is None else write_all(out, result)


def eigvalsh(A: Tensor, UPLO: str = "L", *, out: Any = None) -> Tensor:
    """The eigenvalues of symmetric or Hermitian matrices, in ascending order. See `linalg.eigh`."""
    check_eigen("linalg.eigvalsh", A)
    result = eigvalsh_op(A, UPLO=checked_triangle(UPLO))
    return result if out is None else write_out(out, result)


# ---------------------------------------------------------------- any square matrices


@batched
@opaque(name="linalg_eig", outputs=("eigenvalues", "eigenvectors"))
def eig_op(input):
    """The complex eigenvalues and eigenvectors of square matrices."""
    values, vectors = lapack(
        np.linalg.eig, "linalg.eig: The algorithm failed to converge because the input matrix contained non-finite values.", input
    )
    to = np.complex64 if input.dtype.itemsize == (8 if input.dtype.kind == "c" else 4) else np.complex128
    return values.astype(to), vectors.astype(to)


@eig_op.vjp("input")
def _(g_eigenvalues, g_eigenvectors, eigenvalues, eigenvectors, input):
    V = eigenvectors
    turned = matmul_op(mH(V), g_eigenvectors)
    # vectors are of length 1: what would lengthen them does not come in
    fixed = turned - matmul_op(matmul_op(mH(V), V), diagonal_matrix(real_part(diagonal_of(turned)) + 0j))
    inner = over(off_diagonal(fixed), conj_of(differences_off_diagonal(eigenvalues))) + diagonal_matrix(g_eigenvalues)
    g = solve_op(mH(V), matmul_op(inner, mH(V)))
    return g if is_complex(input) else real_part(g)


@eig_op.jvp("input")
def _(t, eigenvalues, eigenvectors):
    V = eigenvectors
    turned = solve_op(V, matmul_op(t + 0j, V))
    moved = over(off_diagonal(turned), differences_off_diagonal(eigenvalues))
    straight = matmul_op(V, moved)
    lengthened = real_part(diagonal_of(matmul_op(mH(V), straight))) + 0j
    return diagonal_of(turned), straight - V * row(lengthened)


def eig(A: Tensor, *, out: Any = None) -> Any:
    """The complex eigenvalues and eigenvectors (columns of length 1) of square matrices, as a named tuple.

    Raises:
        LinAlgError: if the elements are not finite.
        RuntimeError: if the matrices are not square.

    >>> from retrograd import linalg, tensor
    >>> linalg.eig(tensor([[2., 0.], [0., 1.]])).eigenvalues
    tensor([2.+0.j, 1.+0.j])
    """
    check_square("linalg.eig", A)
    check_floating("linalg.eig", A)
    result = return_types.linalg_eig(*eig_op(A))
    return result if out is None else write_all(out, result)


def eigvals(A: Tensor, *, out: Any = None) -> Tensor:
    """The complex eigenvalues of square matrices. See `linalg.eig`."""
    check_square("linalg.eigvals", A)
    check_floating("linalg.eigvals", A)
    result = eig_op(A)[0]
    return result if out is None else write_out(out, result)


# ---------------------------------------------------------------- singular values

NO_CONVERGENCE = "linalg.svd: The algorithm failed to converge because the input matrix contained non-finite values."


@batched
@opaque(name="linalg_svd", outputs=("U", "S", "Vh"))
def svd_op(input, *, full_matrices):
    """Unitary U and Vh and descending S >= 0 with U diag(S) Vh = input."""
    if input.size:
        return lapack(np.linalg.svd, NO_CONVERGENCE, input, full_matrices)
    *lead, m, n = input.shape
    k = min(m, n)
    u, vh = (
        np.broadcast_to(np.eye(r, c, dtype=input.dtype), (*lead, r, c)).copy()
        for r, c in ((m, m if full_matrices else k), (n if full_matrices else k, n))
    )
    return u, np.zeros((*lead, k), input.real.dtype), vh


@svd_op.vjp("input")
def _(g_U, g_S, g_Vh, U, S, Vh, full_matrices, input_shape):
    m, n = input_shape[-2:]
    if full_matrices and m != n:  # vectors beyond the singular values span what is left in any way; their cotangents are not looked at
        k = S.shape[-1]
        U, g_U, Vh, g_Vh = part(U, 0, m, 0, k), part(g_U, 0, m, 0, k), part(Vh, 0, k, 0, n), part(g_Vh, 0, k, 0, n)
    V, g_V = mH(Vh), mH(g_Vh)
    gaps = differences_off_diagonal(S * S)  # s[j]^2 - s[i]^2
    left, right = skew(matmul_op(mH(U), g_U)), skew(matmul_op(mH(V), g_V))
    inner = over(off_diagonal(left), gaps) * row(S) + column(S) * over(off_diagonal(right), gaps) + diagonal_matrix(g_S)
    if is_complex(U):
        inner = inner + diagonal_matrix(diagonal_of(left) / (S * 2.0))
    g = matmul_op(U, matmul_op(inner, Vh))
    if m > n:
        g = g + matmul_op((g_U - matmul_op(U, matmul_op(mH(U), g_U))) / row(S), Vh)
    if m < n:
        g = g + matmul_op(U, mH((g_V - matmul_op(V, matmul_op(Vh, g_V))) / row(S)))
    return g


@svd_op.jvp("input")
def _(t, U, S, Vh, full_matrices, input_shape):
    m, n = input_shape[-2:]
    if full_matrices and m != n:
        raise RuntimeError("svd: forward mode needs full_matrices=False for matrices that are not square")
    V = mH(Vh)
    turned = matmul_op(mH(U), matmul_op(t, V))
    gaps = differences_off_diagonal(S * S)
    sym = turned * row(S)
    sym = sym + mH(sym)
    other = column(S) * turned
    other = other + mH(other)
    moved_U = matmul_op(U, over(off_diagonal(sym), gaps))
    moved_V = matmul_op(V, over(off_diagonal(other), gaps))
    if is_complex(U):
        moved_U = moved_U + matmul_op(U, diagonal_matrix(diagonal_of(skew(turned)) / (S * 2.0)))
    if m > n:
        moved_U = moved_U + (matmul_op(t, V) - matmul_op(U, turned)) / row(S)
    if m < n:
        moved_V = moved_V + (matmul_op(mH(t), U) - matmul_op(V, mH(turned))) / row(S)
    return moved_U, real_of(diagonal_of(turned)), mH(moved_V)


@batched
@opaque(name="linalg_svdvals", derivative_name="LinalgSvdBackward0")
def svdvals_op(input):
    """The singular values in descending order."""
    if not input.size:
        return np.zeros((*input.shape[:-2], min(input.shape[-2:])), input.real.dtype)
    return lapack(lambda x: np.linalg.svd(x, compute_uv=False), NO_CONVERGENCE, input)


@svdvals_op.vjp("input")
def _(g, input):
    U, S, Vh = svd_op(input, full_matrices=False)
    return matmul_op(U * row(g + unequal(S)), Vh)


def unequal(S: Any) -> Any:
    """0; but its derivative is nan where two of the singular values are equal, which have none of second order there."""
    gaps = differences_off_diagonal(S)
    return sum_op(where_op(eq(gaps, 0), 0.0, gaps * 0.0 / gaps), dims=(len(gaps.shape) - 1,), keepdim=False)


@svdvals_op.jvp("input")
def _(t, input):
    U, _S, Vh = svd_op(input, full_matrices=False)
    return real_of(diagonal_of(matmul_op(mH(U), matmul_op(t, mH(Vh)))))


def svd(A: Tensor, full_matrices: bool = True, *, driver: str | None = None, out: Any = None) -> Any:
    """Unitary U and Vh and singular values S, descending, with `U @ diag(S) @ Vh = A`, as a named tuple `(U, S, Vh)`.

    Args:
        full_matrices: U and Vh are square; otherwise they have as many columns and rows as there are singular values.

    Raises:
        LinAlgError: if the elements are not finite.

    >>> from retrograd import linalg, tensor
    >>> linalg.svd(tensor([[3., 0.], [0., -2.]])).S
    tensor([3., 2.])
    """
    check_matrix("linalg.svd", A)
    check_floating("linalg.svd", A)
    check_driver(driver)
    result = return_types.linalg_svd(*svd_op(A, full_matrices=full_matrices))
    return result if out is None else write_all(out, result)


def check_driver(driver: str | None) -> None:
    """Raises RuntimeError for a driver, which only cuSOLVER has."""
    if driver is not None:
        raise RuntimeError("torch.linalg.svd: keyword argument `driver=` is only supported on CUDA inputs with cuSOLVER backend.")


def svdvals(A: Tensor, *, driver: str | None = None, out: Any = None) -> Tensor:
    """The singular values of matrices, in descending order. See `linalg.svd`."""
    check_matrix("linalg.svdvals", A)
    check_floating("linalg.svdvals", A)
    check_driver(driver)
    result = svdvals_op(A)
    return result if out is None else write_out(out, result)


def svd_of(input: Tensor, some: bool = True, compute_uv: bool = True, *, out: Any = None) -> Any:
    """U, S and V with `U @ diag(S) @ V.mH = input`, as a named tuple: `linalg.svd` with the adjoint of Vh."""
    check_matrix("linalg.svd", input)
    check_floating("linalg.svd", input)
    if compute_uv:
        U, S, Vh = svd(input, not some)
        result = return_types.svd(U, S, mH(Vh))
    else:
        m, n = input.shape[-2:]
        zeros = (wrap(np.zeros((*input.shape[:-2], size, size), input.dtype.numpy)) for size in (m, n))
        result = return_types.svd(next(zeros), svdvals(input), next(zeros))
    return result if out is None else write_all(out, result)


# ---------------------------------------------------------------- pseudo-inverse


@batched
@opaque(name="linalg_pinv")
def pinv_op(input, atol, rtol, *, hermitian):
    """The pseudo-inverses; singular values of no more than `max(atol, rtol * greatest)` are taken for 0."""
    if not input.size:
        return np.zeros((*input.shape[:-2], *input.shape[:-3:-1]), input.dtype)
    if hermitian:
        s, u = lapack(np.linalg.eigh, NO_CONVERGENCE, input)
        vh = u.conj().swapaxes(-1, -2)
    else:
        u, s, vh = lapack(np.linalg.svd, NO_CONVERGENCE, input, False)
    greatest = np.abs(s).max(-1)
    kept = np.abs(s) > np.maximum(atol, rtol * greatest)[..., None]
    inverse = np.where(kept, 1 / np.where(kept, s, 1), 0)
    return np.matmul(vh.conj().swapaxes(-1, -2) * inverse[..., None, :], u.conj().swapaxes(-1, -2)).astype(input.dtype)


@pinv_op.vjp("input")
def _(g, input, y):
    gh, yh = mH(g), mH(y)
    outside = gh - matmul_op(input, matmul_op(y, gh))  # (1 - A P) g^H
    inside = gh - matmul_op(matmul_op(gh, y), input)  # g^H (1 - P A)
    return matmul_op(outside, matmul_op(y, yh)) + matmul_op(matmul_op(yh, y), inside) - matmul_op(yh, matmul_op(g, yh))


@pinv_op.jvp("input")
def _(t, input, y):
    th, yh = mH(t), mH(y)
    outside = th - matmul_op(matmul_op(th, input), y)  # t^H (1 - A P)
    inside = th - matmul_op(y, matmul_op(input, th))  # (1 - P A) t^H
    return matmul_op(matmul_op(y, yh), outside) + matmul_op(inside, matmul_op(yh, y)) - matmul_op(y, matmul_op(t, y))


def pinv(A: Tensor, rcond: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None, out: Any = None) -> Tensor:
    """The (Moore-Penrose) pseudo-inverses of matrices.

    Args:
        atol, rtol: singular values of no more than `max(atol, rtol * greatest)` are taken for 0. `rcond` is `rtol`'s old name.
        hermitian: the matrices are, and so only their eigenvalues are needed.

    Raises:
        RuntimeError: if `A` has fewer than two dims, or is not of a dtype of real or complex numbers.

    >>> from retrograd import linalg, tensor
    >>> linalg.pinv(tensor([[2., 0.], [0., 0.]]))
    tensor([[0.5000, 0.0000],
            [0.0000, 0.0000]])
    """
    if not isinstance(A, Tensor) or A.ndim < 2 or A.dtype.category < dtypes.FLOATING:
        raise RuntimeError(
            f"linalg.pinv({dtypes.scalar_name(A.dtype)}{{{list(A.shape)}}}): expected a tensor with 2 or more dimensions of float, double, cfloat or cdouble types"
        )
    check_floating("linalg.pinv", A)
    if hermitian:
        check_square("linalg.pinv", A)
    absolute, relative = tolerances(A, atol, rcond if rtol is None else rtol)
    lead = broadcast_shapes(A.shape[:-2], absolute.shape, relative.shape)
    A = A if A.shape[:-2] == lead else expand_op(A, shape=(*lead, *A.shape[-2:]))
    result = pinv_op(A, *(expand_op(x, shape=lead) for x in (absolute, relative)), hermitian=hermitian)
    return result if out is None else write_out(out, result)


def pinverse(input: Tensor, rcond: Any = 1e-15) -> Tensor:
    """The pseudo-inverses of matrices. See `linalg.pinv`."""
    return pinv(input, rcond)


def threshold(A: Tensor, atol: Any, rtol: Any, hermitian: bool) -> Tensor:
    """The singular value of each matrix up to which they are taken for 0."""
    absolute, relative = tolerances(A, atol, rtol)
    s = singular_values(A, hermitian)
    greatest = amax_op(s, dims=(s.ndim - 1,), keepdim=False) if s.shape[-1] else wrap(np.zeros(s.shape[:-1], A.dtype.to_real().numpy))
    return maximum(absolute, relative * greatest)


def tolerances(A: Tensor, atol: Any, rtol: Any) -> tuple[Tensor, Tensor]:
    """The absolute and relative tolerance as tensors, by default the dtype's precision times the greater size."""
    to = A.dtype.to_real()
    if rtol is None:
        eps = max(A.shape[-2:], default=0) * float(np.finfo(to.numpy).eps)
        # beside an absolute tolerance there is none by default
        rtol = eps if atol is None else where_op(gt(number(atol, to), 0), 0.0, number(eps, to))
    return number(0.0 if atol is None else atol, to), number(rtol, to)


def number(value: Any, to: dtypes.dtype) -> Tensor:
    """A number or a tensor as a tensor of a dtype."""
    return cast(value, to) if isinstance(value, Tensor) else constant(np.asarray(value, to.numpy))


def singular_values(A: Tensor, hermitian: bool) -> Tensor:
    """The singular values; of Hermitian matrices from the eigenvalues."""
    return abs(eigvalsh_op(A, UPLO="L")) if hermitian else svdvals_op(A)


# ---------------------------------------------------------------- rank and condition


def matrix_rank(A: Tensor, tol: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None, out: Any = None) -> Tensor:
    """The number of singular values that are more than 0 (see `linalg.pinv` for what counts as 0; `tol` is `atol`'s old name).

    >>> from retrograd import linalg, tensor
    >>> linalg.matrix_rank(tensor([[1., 2.], [2., 4.]]))
    tensor(1)
    """
    check_matrix("torch.linalg.matrix_rank", A, "input")
    check_floating("torch.linalg.matrix_rank", A)
    if hermitian:
        check_square("torch.linalg.matrix_rank", A)
    A = A.detach()
    if tol is not None:
        atol, rtol = tol, 0.0
    above = gt(singular_values(A, hermitian), column(threshold(A, atol, rtol, hermitian)))
    result = sum_op(above, dims=(above.ndim - 1,), keepdim=False)
    return result if out is None else write_out(out, result)


# ---------------------------------------------------------------- least squares


def lstsq(A: Tensor, B: Tensor, rcond: Any = None, *, driver: str | None = None) -> Any:
    """X for which the squares of `A @ X - B` add up to the least, as a named tuple `(solution, residuals, rank, singular_values)`.

    Args:
        rcond: singular values of no more than `rcond` times the greatest are taken for 0, when the rank is found.
        driver: "gels" (A has full rank), "gelsy" (the default), "gelsd" or "gelss". They tell what else is returned: the rank,
            save for "gels"; the singular values, for the last two; the residuals if there are more rows than columns and the rank
            is full, save for "gelsy". What is not returned is empty.

    Raises:
        RuntimeError: if the shapes do not fit, or the driver is unknown.

    >>> from retrograd import linalg, tensor
    >>> linalg.lstsq(tensor([[1., 0.], [0., 1.], [1., 1.]]), tensor([[1.], [2.], [3.]])).solution.round(decimals=3)
    tensor([[1.],
            [2.]])
    """
    check_matrix("torch.linalg.lstsq", A, "input")
    check_floating("torch.linalg.lstsq", A)
    if B.ndim < 1:
        raise RuntimeError("torch.linalg.lstsq: other must have at least 1 dimension.")
    if A.dtype is not B.dtype:
        raise RuntimeError(
            f"torch.linalg.lstsq: Expected input and other to have the same dtype, but got input's dtype {dtypes.scalar_name(A.dtype)} and other's dtype {dtypes.scalar_name(B.dtype)}"
        )
    if driver not in (None, "gels", "gelsy", "gelsd", "gelss"):
        raise RuntimeError(f"torch.linalg.lstsq: parameter `driver` should be one of (gels, gelsy, gelsd, gelss) but got {driver}")
    vectors = B.ndim == 1 or (A.ndim - 1 == B.ndim and A.shape[:-1] == B.shape)
    if vectors:
        B = column(B)
    m, n = A.shape[-2:]
    if B.shape[-2] != m:
        raise RuntimeError(f"torch.linalg.lstsq: input.size(-2) should match other.size(-{1 if vectors else 2})")
    A, B = same_batch(A, B)
    X = matmul_op(pinv(A, rtol=rcond), B)
    rank = matrix_rank(A, rtol=rcond)
    nothing = wrap(np.empty(0, A.dtype.numpy))
    residuals = nothing
    if driver in ("gels", "gelsd", "gelss") and m > n and bool(np.all(rank._data == n)):
        rest = abs(matmul_op(A, X) - B)
        residuals = sum_op(rest * rest, dims=(rest.ndim - 2,), keepdim=False)
    if vectors:
        X = reshape_op(X, shape=X.shape[:-1])
    return return_types.linalg_lstsq(
        X,
        residuals,
        wrap(np.empty(0, np.int64)) if driver == "gels" else rank,
        svdvals_op(A.detach()) if driver in ("gelsd", "gelss") else cast_real(nothing),
    )


def cast_real(x: Tensor) -> Tensor:
    """An empty tensor of a complex dtype as one of its parts' dtype."""
    return cast(x, x.dtype.to_real())
