"""Samples of joining and of grids."""

from tests.sampling import Error, I, Sample, T

X, Y, V = T(2, 3), T(1, 3), T(3)

SAMPLES = {
    "cat": [
        Sample([X, Y]),
        Sample((X, T(2, 1)), dim=-1),
        Sample([X]),
        Sample([V, I(2)]),
        Sample([T(0), X]),
        Sample([T(0, 3), X]),
        Sample([X, Y], 0),
        Sample([T(0)]),
    ],
    "concat": [Sample([X, Y])],
    "concatenate": [Sample([X, Y], axis=0)],
    "stack": [Sample([X, X]), Sample([X, X], 1), Sample([X, X], -1), Sample([T(), T()]), Sample([T(0), T(0)]), Sample([V, I(3)])],
    "hstack": [Sample([V, T(2)]), Sample([X, T(2, 1)]), Sample([T(), T()])],
    "vstack": [Sample([V, X]), Sample([V, V]), Sample([T(), T()])],
    "row_stack": [Sample([V, V])],
    "dstack": [Sample([V, V]), Sample([X, X]), Sample([T(2, 1, 2), T(2, 1, 3)])],
    "column_stack": [Sample([V, V]), Sample([X, T(2)]), Sample([T(), T()])],
    "atleast_1d": [Sample(T()), Sample(V), Sample(T(), X), Sample([T(), X])],
    "atleast_2d": [Sample(T()), Sample(V), Sample(X), Sample(V, T())],
    "atleast_3d": [Sample(T()), Sample(V), Sample(X), Sample(T(1, 2, 3))],
    "meshgrid": [
        Sample(V, T(2), indexing="ij"),
        Sample([V, T(2)], indexing="xy"),
        Sample(V, T(2), T(2), indexing="xy"),
        Sample(T(), V, indexing="ij"),
    ],
    "cartesian_prod": [Sample(V, T(2)), Sample(V), Sample(T(2), T(2), T(2))],
    "combinations": [Sample(V), Sample(T(4), 3), Sample(V, 2, True), Sample(V, 0), Sample(V, 4), Sample(I(4))],
    "block_diag": [Sample(X, V, T()), Sample(X), Sample(T(2, 0), X), Sample(I(2), V)],
}

ERRORS = {
    "cat": [
        Error([], raises=ValueError, match="non-empty"),
        Error([X, T(2, 3, 1)], raises=RuntimeError, match="same number of dimensions"),
        Error([X, T(2, 2)], raises=RuntimeError, match="Sizes of tensors must match except in dimension 0"),
        Error([X, X], 2, raises=IndexError, match="out of range"),
        Error([T(), T()], raises=RuntimeError, match="zero-dimensional"),
        Error(X, raises=TypeError, match="tuple of Tensors"),
        Error([X, 1], raises=TypeError, match="expected Tensor as element 1"),
    ],
    "stack": [Error([X, Y], raises=RuntimeError, match="equal size"), Error([], raises=RuntimeError, match="non-empty"), Error([X], 4, raises=IndexError, match="out of range")],
    "hstack": [Error([], raises=RuntimeError, match="non-empty")],
    "meshgrid": [Error(X, indexing="ij", raises=RuntimeError, match="0D or 1D"), Error(V, I(3), indexing="ij", raises=RuntimeError, match="same dtype"),
                 Error(V, indexing="zz", raises=RuntimeError, match="indexing must be")],
    "cartesian_prod": [Error(X, raises=RuntimeError, match="1D vector")],
    "combinations": [Error(X, raises=RuntimeError, match="1D vector"), Error(V, -1, raises=RuntimeError, match="non-negative")],
    "block_diag": [Error(T(1, 1, 1), raises=RuntimeError, match="2 or fewer")],
}  # fmt: skip
