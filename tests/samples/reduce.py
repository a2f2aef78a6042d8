"""Samples of reductions."""

from tests.sampling import B, Error, I, Sample, T

X, E0 = T(2, 3), T(0, 3)
D = T(3, 4, distinct=True)


def over_dims(*more):
    """Samples for a function of (input, dim, keepdim)."""
    return [Sample(X), Sample(X, 1), Sample(X, dim=(0, -1)), Sample(X, dim=0, keepdim=True), Sample(T()), Sample(T(), dim=0), *more]


SAMPLES = {
    "sum": over_dims(Sample(X, dim=()), Sample(E0), Sample(E0, 0), Sample(I(2, 3)), Sample(B(4), 0), Sample(T(2, 3, 4), (1, 2), True)),
    ".sum": [Sample(X), Sample(X, (0, 1))],
    "mean": over_dims(Sample(E0, 0, smooth=False), Sample(T(2, 2, 3), (0, 2), True), Sample(X, [])),
    "nansum": over_dims(Sample(I(3)), Sample(B(3)), Sample(E0)),
    "nanmean": over_dims(Sample(E0, 0, smooth=False)),
    "var": [Sample(X), Sample(X, 1), Sample(X, dim=(0, -1)), Sample(X, dim=0, keepdim=True), Sample(X, False), Sample(X, 1, False, True),
            Sample(X, dim=1, correction=0), Sample(X, dim=0, correction=0.5, keepdim=True)],
    "std": [Sample(X), Sample(X, 1), Sample(X, dim=(0, 1), keepdim=True), Sample(X, False), Sample(X, dim=1, correction=0)],
    "var_mean": [Sample(X), Sample(X, 1, keepdim=True), Sample(X, dim=0, correction=0)],
    "std_mean": [Sample(X), Sample(X, 1, keepdim=True), Sample(X, dim=0, correction=0)],
    "amax": [Sample(D), Sample(D, 1), Sample(D, (0, 1), True), Sample(I(3, 4, high=3), 0), Sample(T()), Sample(B(3), 0)],
    "amin": [Sample(D), Sample(D, 1), Sample(D, (0, 1), True), Sample(I(3, 4, high=3), 0), Sample(T()), Sample(T(0, 3), 1)],
    "aminmax": [Sample(D), Sample(D, dim=1), Sample(D, dim=0, keepdim=True), Sample(T()), Sample(I(4)), Sample(T(), dim=0)],
    "max": [Sample(D), Sample(D, 1), Sample(D, dim=0, keepdim=True), Sample(T()), Sample(T(), 0), Sample(I(3, 4, high=3)), Sample(D, T(4, distinct=True)),
            Sample(I(2, 5, high=3), 1, smooth=False), Sample(T(0, 3), 1)],
    "min": [Sample(D), Sample(D, 1), Sample(D, dim=0, keepdim=True), Sample(T()), Sample(T(), 0), Sample(I(3, 4, high=3)), Sample(D, T(4, distinct=True)),
            Sample(B(3)), Sample(T(0, 3), 1)],
    ".max": [Sample(D), Sample(D, 1)],
    "argmax": [Sample(D), Sample(D, 1), Sample(D, dim=0, keepdim=True), Sample(I(3, 4, high=3), 1), Sample(T()), Sample(T(), 0), Sample(D, None, True)],
    "argmin": [Sample(D), Sample(D, 1), Sample(D, dim=0, keepdim=True), Sample(I(3, 4, high=3), 1), Sample(T()), Sample(T(), 0)],
    "all": [Sample(B(2, 3)), Sample(B(2, 3), 1), Sample(B(2, 3), dim=(0, 1), keepdim=True), Sample(I(3, high=2)), Sample(E0), Sample(B(2, 3), dim=())],
    "any": [Sample(B(2, 3)), Sample(B(2, 3), 1), Sample(B(2, 3), dim=(0, 1), keepdim=True), Sample(I(3, high=2)), Sample(E0), Sample(B(2, 3), dim=())],
    "count_nonzero": [Sample(I(2, 3, high=2)), Sample(I(2, 3, high=2), 1), Sample(B(2, 3), dim=(0, 1)), Sample(T(3, grad=False)), Sample(E0)],
    "logsumexp": [Sample(X, 1), Sample(X, (0, 1)), Sample(X, 0, True), Sample(I(3), 0), Sample(T(), 0)],
}  # fmt: skip

ERRORS = {
    "sum": [
        Error(X, dim=2, raises=IndexError, match="out of range"),
        Error(X, dim=(0, 0), raises=RuntimeError, match="dim 0 appears multiple times"),
    ],
    "mean": [
        Error(I(3), raises=RuntimeError, match="could not infer output dtype"),
        Error(X, dim=5, raises=IndexError, match="out of range"),
    ],
    "nanmean": [Error(I(3), raises=RuntimeError, match="floating point")],
    "var": [
        Error(I(3), raises=RuntimeError, match="only support floating point"),
        Error(X, dim=3, raises=IndexError, match="out of range"),
    ],
    "amax": [Error(E0, dim=0, raises=IndexError, match="non-zero size"), Error(E0, raises=RuntimeError, match="numel\\(\\) == 0")],
    "aminmax": [Error(E0, raises=RuntimeError, match="no identity")],
    "max": [Error(E0, raises=RuntimeError, match="numel\\(\\) == 0"), Error(E0, 0, raises=IndexError, match="non-zero size")],
    "argmax": [Error(E0, raises=IndexError, match="numel\\(\\) == 0"), Error(X, 4, raises=IndexError, match="out of range")],
    "count_nonzero": [Error(X, 4, raises=IndexError, match="out of range")],
    "logsumexp": [Error(X, 4, raises=IndexError, match="out of range")],
}
