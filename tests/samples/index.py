"""Samples of elements by index."""

from tests.sampling import B, Error, I, Sample, T

X, C = T(3, 4), T(2, 3, 4)
ROWS = I(2, high=3)

SAMPLES = {
    ".__getitem__": [
        Sample(X, 0),
        Sample(X, -1),
        Sample(X, slice(1, None)),
        Sample(X, (slice(None), slice(0, 4, 2))),
        Sample(C, (..., 1)),
        Sample(X, (None, 1)),
        Sample(X, ROWS),
        Sample(X, (slice(None), I(2, 2, high=4))),
        Sample(X, (ROWS, I(2, high=4))),
        Sample(X, B(3)),
        Sample(X, B(3, 4)),
        Sample(C, (I(2, high=2), slice(None), I(2, high=4))),
        Sample(X, (slice(None), B(4))),
        Sample(X, ([0, 2],)),
        Sample(C, (1, slice(None), ROWS)),
        Sample(X, ()),
        Sample(X, (ROWS, slice(1, 3))),
        Sample(T(), ()),
        Sample(X, slice(2, 1)),
    ],
    "index_select": [Sample(X, 0, ROWS), Sample(X, 1, I(5, high=4)), Sample(T(3), 0, I(0, high=1))],
    "gather": [Sample(X, 0, I(2, 4, high=3)), Sample(X, 1, I(3, 2, high=4)), Sample(T(3), 0, I(5, high=3)), Sample(X, 1, I(2, 2, high=4))],
    "take": [Sample(X, I(2, 2, high=12))],
    "take_along_dim": [Sample(X, I(3, 2, high=4), 1), Sample(X, I(5, high=12))],
    "scatter": [Sample(X, 0, I(1, 4, high=3), T(1, 4)), Sample(X, 1, I(3, 1, high=4), 0.5)],
    "scatter_add": [Sample(X, 0, I(5, 4, high=3), T(5, 4)), Sample(X, 1, I(3, 2, high=4), T(3, 2))],
    "scatter_reduce": [
        Sample(X, 0, I(4, 4, high=3), T(4, 4), reduce="sum"),
        Sample(X, 0, I(4, 4, high=3), T(4, 4), reduce="mean"),
        Sample(X, 0, I(4, 4, high=3), T(4, 4), reduce="prod"),
        Sample(X, 0, I(4, 4, high=3), T(4, 4, distinct=True), reduce="amax", smooth=False),
        Sample(X, 0, I(4, 4, high=3), T(4, 4), reduce="amin", include_self=False, smooth=False),
    ],
    "index_add": [Sample(X, 0, I(4, high=3), T(4, 4)), Sample(X, 1, ROWS, T(3, 2), alpha=2)],
    "index_copy": [Sample(X, 0, I(1, high=3), T(1, 4))],
    "index_fill": [Sample(X, 0, ROWS, 0.5), Sample(X, 1, ROWS, T())],
    "index_put": [Sample(X, (ROWS,), T(4), accumulate=True), Sample(X, (I(1, high=3), I(1, high=4)), T(1))],
    ".index_put_": [Sample(X, (ROWS,), T(2, 4), accumulate=True)],
    ".index_add_": [Sample(X, 0, I(4, high=3), T(4, 4))],
    ".scatter_add_": [Sample(X, 0, I(5, 4, high=3), T(5, 4))],
    "masked_select": [Sample(X, B(3, 4)), Sample(X, B(4))],
    "masked_fill": [Sample(X, B(4), 2.0)],
    "masked_scatter": [Sample(X, B(3, 4), T(12)), Sample(X, B(4), T(3, 4))],
    "nonzero": [Sample(B(3, 2)), Sample(I(4, high=2)), Sample(B())],
    "argwhere": [Sample(B(3, 2))],
    "repeat_interleave": [Sample(X, 2), Sample(X, 2, 1), Sample(X, I(3, high=3), 0), Sample(I(3, high=4))],
    "select_scatter": [Sample(X, T(4), 0, 1)],
    "slice_scatter": [Sample(X, T(3, 2), 1, 0, 4, 2)],
    "diagonal_scatter": [Sample(T(3, 3), T(3))],
    ".put_": [Sample(X, I(2, high=12), T(2), accumulate=True)],
    "nn.functional.embedding": [Sample(I(2, 3, high=4), T(4, 2)), Sample(I(3, high=4), T(4, 2), padding_idx=1, smooth=False)],
    "nn.functional.one_hot": [Sample(I(2, 3, high=4)), Sample(I(3, high=4), 6)],
}

ERRORS = {
    ".__getitem__": [
        Error(X, 3, raises=IndexError, match="index 3 is out of bounds for dimension 0 with size 3"),
        Error(X, (0, 0, 0), raises=IndexError, match="too many indices"),
        Error(X, B(2), raises=IndexError, match="mask"),
        Error(X, slice(None, None, -1), raises=ValueError, match="step must be greater than zero"),
    ],
    "gather": [
        Error(X, 0, I(2, high=3), raises=RuntimeError, match="same number of dim"),
        Error(X, 0, I(2, 4, low=7, high=8), raises=RuntimeError, match="out of bounds"),
    ],
    "index_select": [
        Error(X, 0, I(2, low=7, high=8), raises=(IndexError, RuntimeError), match="out of range"),
        Error(X, 2, ROWS, raises=IndexError, match="out of range"),
    ],
    "masked_select": [Error(X, I(4), raises=RuntimeError, match="BoolTensor")],
    "scatter_add": [Error(X, 0, I(5, 4, high=3), T(4, 4), raises=RuntimeError, match="")],
    "nn.functional.embedding": [Error(I(3, low=9, high=10), T(4, 2), raises=IndexError, match="out of range")],
    "take": [Error(X, I(2, low=20, high=30), raises=IndexError, match="out of range: tried to access")],
}
