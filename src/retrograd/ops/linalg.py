"""Linear algebra: inverses, determinants, systems of equations and the factorisations that solve them.

Forwards are NumPy's LAPACK; rules are products of matrices. Matrices are in the last two dims, batches before them. What
comes from eigenvalues and singular values is in `spectral.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.core.families import opaque, write_out
from retrograd.core.tensor import Tensor, constant
from retrograd.errors import LinAlgError
from retrograd.ops import return_types
from retrograd.ops.basis import (
    cast,
    clone_op,
    conj_of,
    eq,
    expand_op,
    lt,
    matmul_op,
    mul,
    permute_op,
    reshape_op,
    slice_op,
    sum,
    sum_op,
    swap_last,
    where_op,
)
from retrograd.ops.contract import matmul
from retrograd.ops.join import cat_op
from retrograd.ops.pointwise import log
from retrograd.ops.reduce import write_all
from retrograd.ops.scan import cumprod_op
from retrograd.ops.shape import diagonal, diagonal_op, embed_diagonal_op, tril_op, triu_op
from retrograd.shapes import broadcast_shapes, wrap_dim

# ---------------------------------------------------------------- what all share


def check_floating(name: str, input: Tensor, *, half: bool = False) -> None:
    """Raises RuntimeError unless the dtype is one of real or complex numbers (of at least 32 bits, unless `half` will do)."""
    if input.dtype.category < dtypes.FLOATING:
        raise RuntimeError(f"{name}: Expected a floating point or complex tensor as input. Got {dtypes.scalar_name(input.dtype)}")
    if input.dtype.itemsize == 2 and not half:
        raise RuntimeError(f"{name}: Low precision dtypes not supported. Got {dtypes.scalar_name(input.dtype)}")


def check_matrix(name: str, input: Any, letter: str = "A") -> None:
    """Raises unless the operand is a tensor of matrices."""
    if not isinstance(input, Tensor):
        raise TypeError(f"{name.replace('.', '_')}(): argument '{letter}' (position 1) must be Tensor, not {type(input).__name__}")
    if input.ndim < 2:
        raise RuntimeError(f"{name}: The input tensor {letter} must have at least 2 dimensions.")


def check_square(name: str, input: Any, letter: str = "A") -> None:
    """Raises unless the operand is a tensor of square matrices."""
    check_matrix(name, input, letter)
    m, n = input.shape[-2:]
    if m != n:
        raise RuntimeError(f"{name}: {letter} must be batches of square matrices, but they are {m} by {n} matrices")


def check_system(name: str, a: Tensor, b: Tensor, left: bool = True) -> None:
    """Raises RuntimeError unless `b` can be the right-hand side of equations in `a`."""
    if a.dtype is not b.dtype:
        raise RuntimeError(
            f"{name}: Expected A and B to have the same dtype, but found A of type {dtypes.scalar_name(a.dtype)} and B of type "
            f"{dtypes.scalar_name(b.dtype)} instead"
        )
    if a.shape[-2 if left else -1] != b.shape[-2 if left else -1]:
        (m, n), (p, q) = a.shape[-2:], b.shape[-2:]
        raise RuntimeError(f"{name}: Incompatible shapes of A and B for the equation {'AX' if left else 'XA'} = B ({m}x{n} and {p}x{q})")


def lapack(function: Callable[..., Any], message: str, *args: Any) -> Any:
    """A function of NumPy's; its complaints as LinAlgError."""
    try:
        return function(*args)
    except np.linalg.LinAlgError:
        raise LinAlgError(message) from None


def mT(x: Any) -> Any:
    """The transpose in the last two dims."""
    n = len(x.shape)
    return permute_op(x, dims=(*range(n - 2), n - 1, n - 2))


mH = swap_last


def column(x: Any) -> Any:
    """Vectors in the last dim as matrices of one column."""
    return reshape_op(x, shape=(*x.shape, 1))


def row(x: Any) -> Any:
    """Vectors in the last dim as matrices of one row."""
    return reshape_op(x, shape=(*x.shape[:-1], 1, x.shape[-1]))


def cell(x: Any) -> Any:
    """Numbers as matrices of one element."""
    return reshape_op(x, shape=(*x.shape, 1, 1))


def diagonal_of(x: Any) -> Any:
    """The diagonals of matrices."""
    n = len(x.shape)
    return diagonal_op(x, offset=0, dim1=n - 2, dim2=n - 1)


def diagonal_matrix(x: Any) -> Any:
    """Matrices with vectors on their diagonals."""
    n = len(x.shape)
    return embed_diagonal_op(x, shape=(*x.shape, x.shape[-1]), offset=0, dim1=n - 1, dim2=n)


def identity(n: int, like: Tensor) -> Tensor:
    """The unit matrix in a tensor's dtype."""
    return constant(np.eye(n, dtype=like.dtype.numpy))


def part(x: Any, top: int, bottom: int, left: int, right: int) -> Any:
    """A block of matrices."""
    rank = len(x.shape)
    if (top, bottom) != (0, x.shape[-2]):
        x = slice_op(x, dim=rank - 2, start=top, end=bottom, step=1)
    return x if (left, right) == (0, x.shape[-1]) else slice_op(x, dim=rank - 1, start=left, end=right, step=1)


def batched(op: Any) -> Any:
    """Declares that a batch of `op` is `op` itself: it works on all matrices there are."""

    def rule(args: Any, mapped: Any, **params: Any) -> Any:
        size = args[mapped.index(True)].shape[0]
        return op(*[x if m else expand_op(x, shape=(size, *x.shape)) for x, m in zip(args, mapped, strict=True)], **params)

    op.batch(rule)
    return op


# ---------------------------------------------------------------- inverse


@batched
@opaque(name="linalg_inv", derivative_name="LinalgInvExBackward0")
def inv_op(input):
    """The inverses of square matrices."""
    return lapack(np.linalg.inv, "linalg.inv: The inversion could not be completed because the input matrix is singular.", input)


@inv_op.vjp("input")
def _(g, y):
    return -matmul_op(mH(y), matmul_op(g, mH(y)))


@inv_op.jvp("input")
def _(t, y):
    return -matmul_op(y, matmul_op(t, y))


def inv(A: Tensor, *, out: Any = None) -> Tensor:
    """The inverses of square matrices.

    Raises:
        LinAlgError: if a matrix is singular.
        RuntimeError: if they are not square, or not of a dtype of real or complex numbers.

    >>> from retrograd import linalg, tensor
    >>> linalg.inv(tensor([[2., 0.], [0., 4.]]))
    tensor([[0.5000, 0.0000],
            [0.0000, 0.2500]])
    """
    check_square("linalg.inv", A)
    check_floating("linalg.inv", A)
    result = inv_op(A)
    return result if out is None else write_out(out, result)


def inverse(input: Tensor, *, out: Any = None) -> Tensor:
    """The inverses of square matrices. See `linalg.inv`."""
    return inv(input, out=out)


def inv_ex(A: Tensor, *, check_errors: bool = False) -> Any:
    """The inverses of square matrices, and which could not be found (`info` is not zero), as a named tuple `(inverse, info)`.

    The inverse of a singular matrix is of infinities.
    """
    check_square("linalg.inv_ex", A)
    check_floating("linalg.inv_ex", A)
    if check_errors:
        return return_types.linalg_inv_ex(inv(A), info_of(A))
    singular = eq(det_op(A.detach()), 0)
    flags = cast(singular, dtypes.int32)
    safe = where_op(cell(singular), identity(A.shape[-1], A), A)
    return return_types.linalg_inv_ex(where_op(cell(singular), math.inf, inv_op(safe)), flags)


def info_of(A: Tensor) -> Tensor:
    """Zeros, one per matrix: nothing went wrong."""
    return constant(np.zeros(A.shape[:-2], np.int32))


# ---------------------------------------------------------------- equations


@batched
@opaque(name="linalg_solve", derivative_name="LinalgSolveExBackward0")
def solve_op(A, B):
    """X with A X = B, for matrices A and B with the same dims before."""
    return lapack(np.linalg.solve, "torch.linalg.solve: The solver failed because the input matrix is singular.", A, B)


@solve_op.vjp("B")
def _(g, A):
    return solve_op(mH(A), g)


@solve_op.vjp("A")
def _(g, A, y):
    return -matmul_op(solve_op(mH(A), g), mH(y))


@solve_op.jvp("B")
def _(t, A):
    return solve_op(A, t)


@solve_op.jvp("A")
def _(t, A, y):
    return -solve_op(A, matmul_op(t, y))


def solve(A: Tensor, B: Tensor, *, left: bool = True, out: Any = None) -> Tensor:
    """X with `A @ X = B` (`X @ A = B`, unless `left`). `B` may be a vector, or a batch of vectors (without a last dim).

    Raises:
        LinAlgError: if a matrix is singular.
        RuntimeError: if the shapes do not fit, or the dtypes differ.

    >>> from retrograd import linalg, tensor
    >>> linalg.solve(tensor([[2., 0.], [0., 4.]]), tensor([2., 2.]))
    tensor([1.0000, 0.5000])
    """
    check_square("linalg.solve", A)
    check_floating("linalg.solve", A)
    vectors = are_vectors(A, B)
    if vectors:
        B = column(B)
    check_system("linalg.solve", A, B, left)
    A, B = same_batch(A, B)
    X = solve_op(A, B) if left else mT(solve_op(mT(A), mT(B)))
    result = reshape_op(X, shape=X.shape[:-1]) if vectors else X
    return result if out is None else write_out(out, result)


def solve_ex(A: Tensor, B: Tensor, *, left: bool = True, check_errors: bool = False) -> Any:
    """`solve`, and that nothing went wrong, as a named tuple `(result, info)`."""
    return return_types.linalg_solve_ex(solve(A, B, left=left), info_of(A))


def are_vectors(A: Tensor, B: Tensor) -> bool:
    """Whether a right-hand side means vectors: it has one dim, or just the dims of `A` but its last."""
    return B.ndim == 1 or (B.ndim == A.ndim - 1 and tuple(B.shape) == tuple(A.shape[:-1]))


def same_batch(*matrices: Tensor) -> list[Tensor]:
    """Matrices with the dims before the last two broadcast."""
    lead = broadcast_shapes(*[x.shape[:-2] for x in matrices])
    return [x if x.shape[:-2] == lead else expand_op(x, shape=(*lead, *x.shape[-2:])) for x in matrices]


# ---------------------------------------------------------------- triangular equations


@batched
@opaque(name="linalg_solve_triangular")
def solve_triangular_op(A, B, *, upper, unitriangular):
    """X with A X = B, of which only one triangle of A is used (and its diagonal taken as ones, if `unitriangular`)."""
    T = np.triu(A) if upper else np.tril(A)
    if unitriangular:
        T[..., range(A.shape[-1]), range(A.shape[-1])] = 1
    if T.size and not np.diagonal(T, axis1=-2, axis2=-1).all():
        return substituted(T, B, upper)
    return np.linalg.solve(T, B).astype(B.dtype, copy=False)


def substituted(T: Any, B: Any, upper: bool) -> Any:
    """X with T X = B by substitution, which divides by the zeros of a diagonal as PyTorch does."""
    n = T.shape[-1]
    X = np.zeros(B.shape, B.dtype)
    for i in reversed(range(n)) if upper else range(n):
        known = slice(i + 1, None) if upper else slice(0, i)
        rest = B[..., i, :] - np.matmul(T[..., i : i + 1, known], X[..., known, :])[..., 0, :]
        X[..., i, :] = rest / T[..., i, i, None]
    return X


def triangle(x: Any, upper: bool, unitriangular: bool) -> Any:
    """The triangle of a cotangent that belongs to what was used of a triangular matrix."""
    shift = 1 if unitriangular else 0
    return triu_op(x, diagonal=shift) if upper else tril_op(x, diagonal=-shift)


@solve_triangular_op.vjp("B")
def _(g, A, upper, unitriangular):
    return solve_triangular_op(mH(A), g, upper=not upper, unitriangular=unitriangular)


@solve_triangular_op.vjp("A")
def _(g, A, y, upper, unitriangular):
    gB = solve_triangular_op(mH(A), g, upper=not upper, unitriangular=unitriangular)
    return -triangle(matmul_op(gB, mH(y)), upper, unitriangular)


@solve_triangular_op.jvp("B")
def _(t, A, upper, unitriangular):
    return solve_triangular_op(A, t, upper=upper, unitriangular=unitriangular)


@solve_triangular_op.jvp("A")
def _(t, A, y, upper, unitriangular):
    return -solve_triangular_op(A, matmul_op(triangle(t, upper, unitriangular), y), upper=upper, unitriangular=unitriangular)


def solve_triangular(A: Tensor, B: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False, out: Any = None) -> Tensor:
    """X with `A @ X = B` (`X @ A = B`, unless `left`) for triangular matrices A; the other triangle is not looked at.

    Args:
        unitriangular: the diagonal of A is taken to be ones.

    Raises:
        RuntimeError: if the shapes do not fit, or the dtypes differ.

    >>> from retrograd import linalg, tensor
    >>> linalg.solve_triangular(tensor([[2., 9.], [1., 1.]]), tensor([[2.], [3.]]), upper=False)
    tensor([[1.],
            [2.]])
    """
    check_square("linalg.solve_triangular", A)
    check_matrix("linalg.solve_triangular", B, "B")
    check_system("linalg.solve_triangular", A, B, left)
    check_floating("linalg.solve_triangular", A)
    A, B = same_batch(A, B)
    if left:
        result = solve_triangular_op(A, B, upper=upper, unitriangular=unitriangular)
    else:
        result = mT(solve_triangular_op(mT(A), mT(B), upper=not upper, unitriangular=unitriangular))
    return result if out is None else write_out(out, result)


def triangular_solve(b: Tensor, A: Tensor, upper: bool = True, transpose: bool = False, unitriangular: bool = False) -> Any:
    """X with `A @ X = b` for triangular matrices A, and A, as a named tuple. See `linalg.solve_triangular`."""
    for name, x in (("b", b), ("A", A)):
        if x.ndim < 2:
            raise RuntimeError(
                f"torch.triangular_solve: Expected {name} to have at least 2 dimensions, but it has {x.ndim} dimensions instead"
            )
    T = mT(A) if transpose else A
    solution = solve_triangular(T, b, upper=upper is not transpose, unitriangular=unitriangular)
    return return_types.triangular_solve(solution, clone_op(A))


# ---------------------------------------------------------------- determinants


@batched
@opaque(name="linalg_det")
def det_op(input):
    """The determinants of square matrices."""
    return np.linalg.det(input)


@det_op.vjp("input")
def _(g, input):
    return cell(g) * conj_of(cofactor_op(input))


@det_op.jvp("input")
def _(t, input):
    return sum_op(t * cofactor_op(input), dims=(len(t.shape) - 2, len(t.shape) - 1), keepdim=False)


# Note [Determinants of singular matrices]
# The derivative of det by the elements is the matrix of cofactors, det(A) A^-T where A has an inverse. It exists for singular
# matrices too, so it is found from the singular values, as the products of all of them but one; and its own derivative, which
# is symmetric, from the products of all but two. Only from the third derivative on is the inverse needed.


@batched
@opaque(name="linalg_cofactor")
def cofactor_op(input):
    """The derivatives of determinants by the elements."""
    u, s, vh, scale = signed_svd(input)
    others = np.where(np.eye(s.shape[-1], dtype=bool), 1, s[..., None, :]).prod(-1)
    return (scale * np.matmul(u.conj() * others[..., None, :], vh.conj())).astype(input.dtype)


def signed_svd(x: Any) -> tuple[Any, Any, Any, Any]:
    """u, s, vh with u diag(s) vh = x, and det(u vh) as a matrix of one element."""
    u, s, vh = np.linalg.svd(x)
    return u, s, vh, (np.linalg.det(u) * np.linalg.det(vh))[..., None, None]


@cofactor_op.vjp("input")
def _(g, input):
    return conj_of(cofactor_change_op(input, conj_of(g)))


@cofactor_op.jvp("input")
def _(t, input):
    return cofactor_change_op(input, t)


@batched
@opaque(name="linalg_cofactor_change")
def cofactor_change_op(input, change):
    """How the cofactors change with the matrix: linear in `change`."""
    u, s, vh, scale = signed_svd(input)
    n = s.shape[-1]
    turned = np.matmul(u.conj().swapaxes(-1, -2), np.matmul(change, vh.conj().swapaxes(-1, -2)))
    i, j, k = np.ogrid[:n, :n, :n]
    others = np.where((k == i) | (k == j), 1, s[..., None, None, :]).prod(-1) * (1 - np.eye(n))
    moved = -turned.swapaxes(-1, -2) * others
    moved[..., range(n), range(n)] = np.matmul(others, turned[..., range(n), range(n), None])[..., 0]
    return (scale * np.matmul(u.conj(), np.matmul(moved, vh.conj()))).astype(input.dtype)


@cofactor_change_op.vjp("change")
def _(g, input):
    return conj_of(cofactor_change_op(input, conj_of(g)))


@cofactor_change_op.jvp("change")
def _(t, input):
    return cofactor_change_op(input, t)


@cofactor_change_op.vjp("input")
def _(g, input, change):
    return conj_of(third_derivative(input, change, conj_of(g)))


@cofactor_change_op.jvp("input")
def _(t, input, change):
    return third_derivative(input, change, t)


def third_derivative(a: Any, t: Any, g: Any) -> Any:
    """The third derivative of det(a), contracted with two matrices."""
    inverse = inv_op(a)
    x, y = matmul_op(inverse, t), matmul_op(inverse, g)
    xy, yx = matmul_op(x, y), matmul_op(y, x)
    whole = (trace_of(x) * trace_of(y) - trace_of(xy)) * inverse - matmul_op(trace_of(y) * x + trace_of(x) * y - xy - yx, inverse)
    return cell(det_op(a)) * mT(whole)


def trace_of(x: Any) -> Any:
    """The traces of matrices, as matrices of one element."""
    return cell(sum_op(diagonal_of(x), dims=(len(x.shape) - 2,), keepdim=False))


def det(A: Tensor, *, out: Any = None) -> Tensor:
    """The determinants of square matrices.

    Raises:
        RuntimeError: if they are not square, or not of a dtype of real or complex numbers.

    >>> from retrograd import linalg, tensor
    >>> linalg.det(tensor([[2., 1.], [0., 4.]]))
    tensor(8.)
    """
    check_square("linalg.det", A)
    check_floating("linalg.det", A)
    result = det_op(A)
    return result if out is None else write_out(out, result)


@batched
@opaque(name="linalg_slogdet", outputs=("sign", "logabsdet"))
def slogdet_op(input):
    """The signs of determinants, and the logarithms of their absolute values."""
    sign, logabsdet = np.linalg.slogdet(input)
    return np.asarray(sign), np.asarray(logabsdet)


@slogdet_op.vjp("input")
def _(g_sign, g_logabsdet, sign, input):
    turn = conj_of(g_sign) * sign  # of real matrices, the sign does not move
    return cell(g_logabsdet - (turn - conj_of(turn)) / 2.0) * mH(inv_op(input))


@slogdet_op.jvp("input")
def _(t, sign, input):
    moved = trace_of(matmul_op(inv_op(input), t))
    moved = reshape_op(moved, shape=tuple(sign.shape))
    turn = (moved - conj_of(moved)) / 2.0
    return turn * sign, moved - turn


def slogdet(A: Tensor, *, out: Any = None) -> Any:
    """The signs of determinants and the logarithms of their absolute values, as a named tuple `(sign, logabsdet)`.

    >>> from retrograd import linalg, tensor
    >>> linalg.slogdet(tensor([[-2., 0.], [0., 4.]]))
    torch.return_types.linalg_slogdet(
    sign=tensor(-1.),
    logabsdet=tensor(2.0794))
    """
    check_square("linalg.slogdet", A)
    check_floating("linalg.slogdet", A)
    result = return_types.linalg_slogdet(*slogdet_op(A))
    return result if out is None else write_all(out, result)


def logdet(input: Tensor) -> Tensor:
    """The logarithms of determinants: NaN where one is negative."""
    check_square("logdet", input)
    check_floating("logdet", input)
    sign, logabsdet = slogdet_op(input)
    if input.dtype.is_complex:
        return logabsdet + log(sign)
    return where_op(lt(sign, 0), math.nan, logabsdet)


# ---------------------------------------------------------------- powers and exponentials


def matrix_power(A: Tensor, n: int, *, out: Any = None) -> Tensor:
    """The `n`-th powers of square matrices; of their inverses, if `n` is negative.

    Raises:
        LinAlgError: if `n` is negative and a matrix singular.
        RuntimeError: if they are not square.

    >>> from retrograd import linalg, tensor
    >>> linalg.matrix_power(tensor([[1., 1.], [0., 1.]]), 3)
    tensor([[1., 3.],
            [0., 1.]])
    """
    check_square("linalg.matrix_power", A)
    if not isinstance(n, int):
        raise TypeError(f"linalg_matrix_power(): argument 'n' (position 2) must be int, not {type(n).__name__}")
    if n == 0:
        result = (
            A * 0 + identity(A.shape[-1], A) if A.requires_grad else clone_op(expand_op(identity(A.shape[-1], A), shape=tuple(A.shape)))
        )
    else:
        result = repeated_square(inv(A) if n < 0 else A, abs(n))
    return result if out is None else write_out(out, result)


def repeated_square(x: Tensor, n: int) -> Tensor:
    """The `n`-th power, n > 0, by squaring."""
    result = None
    while True:
        if n & 1:
            result = x if result is None else matmul(result, x)
        n >>= 1
        if not n:
            return clone_op(result) if result is x else result  # type: ignore[return-value]
        x = matmul(x, x)


PADE = (64764752532480000.0, 32382376266240000.0, 7771770303897600.0, 1187353796428800.0, 129060195264000.0, 10559470521600.0,
        670442572800.0, 33522128640.0, 1323241920.0, 40840800.0, 960960.0, 16380.0, 182.0, 1.0)  # fmt: skip


@batched
@opaque(name="linalg_matrix_exp")
def matrix_exp_op(input):
    """The exponentials of square matrices: a quotient of polynomials of the matrix scaled down, squared as often."""
    if not input.size:
        return input.copy()
    x = input.astype(np.complex128 if input.dtype.kind == "c" else np.float64)
    norm = np.abs(x).sum(-2).max(-1)
    squarings = np.where(norm > 5.4, np.ceil(np.log2(np.maximum(norm, 1e-300) / 5.4)), 0)
    x = x / np.exp2(squarings)[..., None, None]
    one = np.eye(x.shape[-1])
    x2 = np.matmul(x, x)
    x4 = np.matmul(x2, x2)
    x6 = np.matmul(x4, x2)
    b = PADE
    odd = np.matmul(x, np.matmul(x6, b[13] * x6 + b[11] * x4 + b[9] * x2) + b[7] * x6 + b[5] * x4 + b[3] * x2 + b[1] * one)
    even = np.matmul(x6, b[12] * x6 + b[10] * x4 + b[8] * x2) + b[6] * x6 + b[4] * x4 + b[2] * x2 + b[0] * one
    y = np.linalg.solve(even - odd, even + odd)
    for step in range(int(squarings.max())):
        y = np.where((squarings > step)[..., None, None], np.matmul(y, y), y)
    return y.astype(input.dtype)


@matrix_exp_op.vjp("input")
def _(g, input):
    return exp_change(mH(input), g)


@matrix_exp_op.jvp("input")
def _(t, input):
    return exp_change(input, t)


def exp_change(a: Any, t: Any) -> Any:
    """How exp(a) changes along t: a block of the exponential of [[a, t], [0, a]]."""
    n, rank = a.shape[-1], len(a.shape)
    both = cat_op(cat_op(a, t, dim=rank - 1), cat_op(t * 0.0, a, dim=rank - 1), dim=rank - 2)
    top = slice_op(matrix_exp_op(both), dim=rank - 2, start=0, end=n, step=1)
    return slice_op(top, dim=rank - 1, start=n, end=2 * n, step=1)


def matrix_exp(A: Tensor) -> Tensor:
    """The exponentials of square matrices.

    >>> from retrograd import linalg, tensor
    >>> linalg.matrix_exp(tensor([[0., 1.], [0., 0.]]))
    tensor([[1., 1.],
            [0., 1.]])
    """
    check_square("linalg.matrix_exp", A)
    check_floating("linalg.matrix_exp", A, half=True)
    return matrix_exp_op(A)


# ---------------------------------------------------------------- products of vectors, and tensors as matrices


def vecdot(x: Tensor, y: Tensor, *, dim: int = -1, out: Any = None) -> Tensor:
    """The sums of products along `dim`, of the conjugate of `x` with `y`, broadcasting.

    >>> from retrograd import linalg, tensor
    >>> linalg.vecdot(tensor([[1., 2.], [3., 4.]]), tensor([1., 1.]))
    tensor([3., 7.])
    """
    if not isinstance(y, Tensor):
        raise TypeError(f"linalg_vecdot(): argument 'y' (position 2) must be Tensor, not {type(y).__name__}")
    for value in (x, y):
        if value.dtype.category < dtypes.FLOATING:
            raise RuntimeError(
                f"linalg.vecdot: Expected a floating point or complex tensor as input. Got {dtypes.scalar_name(value.dtype)}"
            )
    result = sum(mul(conj_of(x), y), dim)
    return result if out is None else write_out(out, result)


def vander(x: Tensor, *, N: int | None = None) -> Tensor:
    """The powers 0 to N - 1 of each element, along a new last dim.

    Raises:
        RuntimeError: for a tensor of bools, and if there would be fewer than two powers.

    >>> from retrograd import linalg, tensor
    >>> linalg.vander(tensor([2, 3]), N=3)
    tensor([[1, 2, 4],
            [1, 3, 9]])
    """
    if x.ndim == 0 and N is None:
        raise RuntimeError("N must be given for a tensor without dims")
    x = reshape_op(x, shape=(1,)) if x.ndim == 0 else x
    n = x.shape[-1] if N is None else N
    if n <= 1:
        raise RuntimeError(f"N must be greater than 1, but got {n}")
    if x.dtype is dtypes.bool:
        raise RuntimeError("linalg.vander supports floating point, complex, and integer tensors, but got Bool")
    base = expand_op(column(x), shape=(*x.shape, n - 1))
    one = constant(np.ones((*x.shape, 1), x.dtype.numpy))
    return cat_op(one, cumprod_op(base, dim=x.ndim), dim=x.ndim)


def tensorinv(A: Tensor, ind: int = 2, *, out: Any = None) -> Tensor:
    """The inverse of the linear map that `A` is from its dims after the first `ind` to these.

    Raises:
        RuntimeError: if there are not as many elements on both sides, or the map is singular.
    """
    if ind <= 0:
        raise RuntimeError(f"Expected a strictly positive integer for 'ind', but got {ind}")
    there, here = tuple(A.shape[:ind]), tuple(A.shape[ind:])
    m, n = math.prod(there), math.prod(here)
    if m != n:
        raise RuntimeError(f"Expected self to satisfy the requirement prod(self.shape[ind:]) == prod(self.shape[:ind]), but got {n} != {m}")
    result = reshape_op(inv(reshape_op(A, shape=(m, n))), shape=(*here, *there))
    return result if out is None else write_out(out, result)


def tensorsolve(A: Tensor, B: Tensor, dims: Any = None, *, out: Any = None) -> Tensor:
    """X with `tensordot(A, X, X.ndim) = B`; `dims` of `A` are put last first.

    Raises:
        RuntimeError: if there are not as many elements on both sides, or the map is singular.
    """
    if dims is not None:
        last = [wrap_dim(d, A.ndim) for d in dims]
        A = permute_op(A, dims=(*[d for d in range(A.ndim) if d not in last], *last))
    here = tuple(A.shape[B.ndim :])
    m, n = math.prod(A.shape[: B.ndim]), math.prod(here)
    if m != n or math.prod(B.shape) != m:
        raise RuntimeError(
            f"Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == prod(self.shape[:other.ndim]), but got {n} != {m}"
        )
    result = reshape_op(solve(reshape_op(A, shape=(m, n)), reshape_op(B, shape=(m,))), shape=here)
    return result if out is None else write_out(out, result)


def linalg_diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """A view of the diagonals of the matrices in two dims, as the last dim."""
    return diagonal(A, offset, dim1, dim2)
