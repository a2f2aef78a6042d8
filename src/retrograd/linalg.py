"""`torch.linalg`: linear algebra by its names there. The operations are defined in `ops/`."""

from retrograd.errors import LinAlgError
from retrograd.ops.contract import linalg_cross as cross
from retrograd.ops.contract import matmul, multi_dot
from retrograd.ops.factorizations import (
    cholesky,
    cholesky_ex,
    householder_product,
    lu,
    lu_factor,
    lu_factor_ex,
    lu_solve,
    qr,
)  # fmt: skip
from retrograd.ops.linalg import (
    det,
    inv,
    inv_ex,
    matrix_exp,
    matrix_power,
    slogdet,
    solve,
    solve_ex,
    solve_triangular,
    tensorinv,
    tensorsolve,
    vander,
    vecdot,
)  # fmt: skip
from retrograd.ops.linalg import (
    linalg_diagonal as diagonal,
)
from retrograd.ops.norm import cond, matrix_norm, vector_norm
from retrograd.ops.norm import linalg_norm as norm
from retrograd.ops.spectral import eig, eigh, eigvals, eigvalsh, lstsq, matrix_rank, pinv, svd, svdvals

__all__ = [
    "LinAlgError", "cholesky", "cholesky_ex", "cond", "cross", "det", "diagonal", "eig", "eigh", "eigvals", "eigvalsh",
    "householder_product", "inv", "inv_ex", "lstsq", "lu", "lu_factor", "lu_factor_ex", "lu_solve", "matmul", "matrix_exp", "matrix_norm",
    "matrix_power", "matrix_rank", "multi_dot", "norm", "pinv", "qr", "slogdet", "solve", "solve_ex", "solve_triangular", "svd", "svdvals",
    "tensorinv", "tensorsolve", "vander", "vecdot", "vector_norm",
]  # fmt: skip
