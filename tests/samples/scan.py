"""Samples of scans, of `prod`, and of differences."""

from tests.sampling import B, Error, I, Sample, T

X, D = T(2, 3), T(3, 4, distinct=True)

SAMPLES = {
    "cumsum": [Sample(X, 0), Sample(X, dim=-1), Sample(T(), 0), Sample(T(0, 3), 0), Sample(I(4), 0), Sample(B(4), 0)],
    "cumprod": [Sample(X, 0), Sample(X, dim=-1), Sample(T(), 0), Sample(T(0, 3), 0), Sample(I(4), 0), Sample(B(4), 0)],
    ".cumsum_": [Sample(X, 0)],
    ".cumprod_": [Sample(X, 0)],
    "prod": [
        Sample(X),
        Sample(X, 1),
        Sample(X, 0, True),
        Sample(T(2, 2, 2), 1),
        Sample(T()),
        Sample(T(), 0),
        Sample(T(0, 3)),
        Sample(T(0, 3), 0),
        Sample(I(3)),
        Sample(B(3)),
    ],
    "cummax": [Sample(D, 0), Sample(D, -1), Sample(T(), 0), Sample(I(6, high=3), 0), Sample(T(0, 3), 0)],
    "cummin": [Sample(D, 0), Sample(D, -1), Sample(T(), 0), Sample(I(6, high=3), 0), Sample(T(0, 3), 0)],
    "logcumsumexp": [Sample(X, 0), Sample(X, -1), Sample(T(), 0), Sample(T(0, 3), 0)],
    "diff": [
        Sample(X),
        Sample(X, 2),
        Sample(X, dim=0),
        Sample(X, 1, 1, T(2, 1), T(2, 2)),
        Sample(X, n=5),
        Sample(I(4)),
        Sample(B(5)),
        Sample(T(0)),
        Sample(X, 0),
    ],
    "trapezoid": [
        Sample(X),
        Sample(X, dx=0.5),
        Sample(X, T(3)),
        Sample(X, T(2, 3), dim=0),
        Sample(X, T(2), dim=0),
        Sample(I(4)),
        Sample(T(2, 0, grad=False)),
    ],
    "trapz": [Sample(X)],
    "cumulative_trapezoid": [Sample(X), Sample(X, dx=0.5), Sample(X, T(3)), Sample(X, T(2, 3), dim=0), Sample(I(4))],
}

ERRORS = {
    "cumsum": [Error(X, 2, raises=IndexError, match="out of range")],
    "cumprod": [Error(X, 2, raises=IndexError, match="out of range")],
    "prod": [Error(X, 2, raises=IndexError, match="out of range"), Error(X, (0, 1), raises=TypeError, match="must be int")],
    "cummax": [Error(X, 2, raises=IndexError, match="out of range")],
    "logcumsumexp": [Error(I(3), 0, raises=RuntimeError, match="not implemented")],
    "diff": [
        Error(T(), raises=RuntimeError, match="at least one-dimensional"),
        Error(X, -1, raises=RuntimeError, match="non-negative"),
        Error(X, prepend=T(3, 1), raises=RuntimeError, match="match that of input"),
        Error(X, prepend=T(3), raises=RuntimeError, match="same dimension"),
    ],
    "trapezoid": [
        Error(X, T(2), raises=RuntimeError, match="one `x` value"),
        Error(B(3), raises=RuntimeError, match="bool"),
        Error(T(), raises=IndexError, match="no dimensions"),
    ],
}
