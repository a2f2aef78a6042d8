"""Samples of counting and searching."""

from tests.sampling import Error, I, Sample, T

SAMPLES = {
    "unique": [Sample(I(8, high=4)), Sample(I(8, high=4), return_inverse=True, return_counts=True), Sample(I(4, 2, high=2), dim=0)],
    "unique_consecutive": [Sample(I(8, high=2))],
    "bincount": [Sample(I(8, high=4)), Sample(I(8, high=4), minlength=6)],
    "histc": [Sample(T(9, grad=False), 4), Sample(T(9, grad=False), 4, -1, 1)],
    "isin": [Sample(I(5), I(3))],
    "searchsorted": [Sample(I(1, low=3, high=4), I(4))],
    "bucketize": [Sample(T(4, grad=False), T(1, grad=False))],
}

ERRORS = {"bincount": [Error(T(3, grad=False), raises=RuntimeError, match="")]}
