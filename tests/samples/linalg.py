"""Samples of linear algebra: products of factors are compared, where the factors themselves are not unique."""

from tests.sampling import C, Error, P, Sample, T

A, S = T(3, 3), T(2, 3, 3)

SAMPLES = {
    "det": [Sample(A), Sample(S), Sample(T(0, 0))],
    "linalg.det": [Sample(A), Sample(C(3, 3))],
    "slogdet": [Sample(A), Sample(S)],
    "linalg.slogdet": [Sample(A)],
    "inverse": [Sample(A), Sample(S)],
    "linalg.inv": [Sample(A), Sample(C(3, 3))],
    "linalg.solve": [Sample(A, T(3)), Sample(A, T(3, 2)), Sample(S, T(2, 3, 2)), Sample(A, T(3, 2), left=True)],
    "linalg.solve_triangular": [Sample(A, T(3, 2), upper=True), Sample(A, T(3, 2), upper=False, unitriangular=True)],
    "linalg.matrix_power": [Sample(A, 3), Sample(A, -2), Sample(A, 1)],
    "matrix_power": [Sample(A, 2)],
    "linalg.matrix_exp": [Sample(A)],
    "linalg.qr": [Sample(T(4, 3), smooth=False)],
    "linalg.svdvals": [Sample(T(4, 3)), Sample(S)],
    "linalg.svd": [Sample(T(4, 3), full_matrices=False, smooth=False)],
    "linalg.cholesky": [Sample(P(3, 3), smooth=False), Sample(P(2, 3, 3), smooth=False)],
    "linalg.eig": [Sample(T(3, 3, grad=False)), Sample(C(3, 3, grad=False))],
    "linalg.eigh": [Sample(P(3, 3), smooth=False)],
    "logdet": [Sample(P(3, 3))],
    "linalg.pinv": [Sample(T(4, 3)), Sample(A)],
    "pinverse": [Sample(A)],
    "linalg.eigvalsh": [Sample(A, smooth=False)],
    "linalg.lu_factor": [Sample(A)],
    "linalg.norm": [Sample(A), Sample(A, 2), Sample(T(3)), Sample(T(3), 1), Sample(A, "nuc")],
    "linalg.vector_norm": [
        Sample(A),
        Sample(A, 3.0),
        Sample(A, 1, dim=1),
        Sample(A, float("inf"), dim=0, keepdim=True),
        Sample(A, 0, smooth=False),
    ],
    "linalg.matrix_norm": [Sample(A), Sample(A, 1), Sample(A, 2)],
    "norm": [Sample(A), Sample(A, 1), Sample(A, 2.0, dim=1), Sample(A, "fro")],
    "dist": [Sample(A, T(3, 3))],
    "cdist": [Sample(T(3, 2), T(4, 2))],
    "linalg.cond": [Sample(A)],
    "linalg.matrix_rank": [Sample(T(3, 3, grad=False))],
    "linalg.multi_dot": [Sample([T(2, 3), T(3, 4), T(4, 2)])],
    "linalg.cross": [Sample(A, T(3, 3))],
    "cross": [Sample(A, T(3, 3), dim=0)],
    "linalg.vander": [Sample(T(3)), Sample(T(3), N=2)],
    "linalg.householder_product": [Sample(T(4, 3), T(3))],
    "trace": [Sample(A), Sample(T(2, 3))],
}

ERRORS = {
    "det": [Error(T(2, 3), raises=RuntimeError, match="square")],
    "linalg.solve": [Error(A, T(2), raises=RuntimeError, match="")],
    "linalg.inv": [Error(T(2, 3), raises=RuntimeError, match="square")],
    "linalg.matrix_power": [Error(A, 1.5, raises=TypeError, match="int")],
    "linalg.norm": [Error(A, "x", raises=RuntimeError, match="")],
    "trace": [Error(T(3), raises=RuntimeError, match="matrix")],
}
