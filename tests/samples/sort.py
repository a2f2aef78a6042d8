"""Samples of sorting, order statistics, and counting."""

from tests.sampling import B, Error, I, Sample, T

D = T(3, 4, distinct=True)
Q = T(2, low=0.1, high=0.9, grad=False)

SAMPLES = {
    "sort": [Sample(D), Sample(D, 0), Sample(D, 0, True), Sample(D, descending=True, stable=True), Sample(T()), Sample(T(0, 3)), Sample(I(6, high=3), stable=True)],
    "argsort": [Sample(D), Sample(D, 0, True), Sample(T()), Sample(I(6, high=3), stable=True)],
    "msort": [Sample(D), Sample(T())],
    "topk": [Sample(D, 2), Sample(D, 2, 0), Sample(D, 1, largest=False), Sample(D, 0), Sample(T(), 1), Sample(T(40, distinct=True), 3), Sample(T(40, distinct=True), 3, largest=False)],
    "kthvalue": [Sample(D, 2), Sample(D, 1, 0), Sample(D, 3, -1, True), Sample(T(), 1)],
    "median": [Sample(D), Sample(D, 1), Sample(D, 0, True), Sample(T()), Sample(T(), 0), Sample(I(5)), Sample(T(5, distinct=True), 0)],
    "nanmedian": [Sample(D), Sample(D, 1), Sample(D, 0, True), Sample(T()), Sample(I(5))],
    "mode": [Sample(I(3, 5, high=3)), Sample(I(3, 5, high=3), 0, True), Sample(D, smooth=False), Sample(T())],
    "quantile": [Sample(D, 0.3), Sample(D, Q), Sample(D, Q, 1), Sample(D, 0.7, 0, True), Sample(D, Q, 1, True), Sample(T(), 0.5),
                 *[Sample(D, 0.4, 1, interpolation=i) for i in ("lower", "higher", "midpoint", "nearest")]],
    "nanquantile": [Sample(D, 0.3), Sample(D, Q, 1), Sample(D, 0.7, 0, True), *[Sample(D, 0.4, 1, interpolation=i) for i in ("lower", "higher", "midpoint", "nearest")]],
    "unique": [Sample(I(3, 4, high=4)), Sample(I(6, high=3), return_inverse=True, return_counts=True), Sample(I(5, 2, high=2), dim=0, return_inverse=True, return_counts=True),
               Sample(B(4)), Sample(I(0)), Sample(I(2, 4, high=2), dim=1), Sample(T(3, grad=False), True, True)],
    "unique_consecutive": [Sample(I(8, high=2)), Sample(I(8, high=2), True, True), Sample(I(6, 2, high=2), dim=0, return_inverse=True, return_counts=True)],
    "searchsorted": [Sample(I(1, low=2, high=3), I(2, 3)), Sample(I(1, low=2, high=3), 2), Sample(I(1, low=2, high=3), 2, right=True), Sample(I(3, 1), I(3, 4), side="right"),
                     Sample(I(3, 1), I(3, 4), out_int32=True), Sample(T(0, grad=False), T(3, grad=False))],
    "bucketize": [Sample(T(2, 3, grad=False), T(1, grad=False)), Sample(I(4), I(1), right=True), Sample(2, I(1))],
    "histc": [Sample(T(8, grad=False), 4), Sample(T(8, grad=False), bins=3, min=-1, max=1), Sample(T(2, 3, grad=False)), Sample(T(0, grad=False), 3)],
    "bincount": [Sample(I(8, high=5)), Sample(I(8, high=5), minlength=7), Sample(I(6, high=4), T(6, grad=False)), Sample(I(6, high=4), I(6)), Sample(I(0))],
    "isin": [Sample(I(2, 3), I(4)), Sample(I(2, 3), 3), Sample(3, I(5)), Sample(I(2, 3), I(4), invert=True), Sample(T(3, grad=False), T(0, grad=False))],
}  # fmt: skip

ERRORS = {
    "sort": [Error(D, 2, raises=IndexError, match="out of range")],
    "topk": [Error(D, 5, raises=RuntimeError, match="k out of range"), Error(D, 1, 3, raises=IndexError, match="out of range")],
    "kthvalue": [Error(D, 5, raises=RuntimeError, match="k out of range"), Error(T(0, 3), 1, 0, raises=IndexError, match="non-zero size")],
    "median": [Error(B(3), raises=RuntimeError, match="not implemented"), Error(D, 3, raises=IndexError, match="out of range")],
    "mode": [Error(T(0, 3), 0, raises=IndexError, match="non-zero size")],
    "quantile": [Error(D, 1.5, raises=RuntimeError, match="range"), Error(T(0), 0.5, raises=RuntimeError, match="non-empty"), Error(I(3), 0.5, raises=RuntimeError, match="float or double"),
                 Error(D, 0.5, interpolation="cubic", raises=RuntimeError, match="interpolation")],
    "unique": [Error(I(2, 0), dim=0, raises=RuntimeError, match="0 sized"), Error(I(), dim=0, raises=IndexError, match="no dimensions")],
    "searchsorted": [Error(I(2, 3), I(3, 2), raises=RuntimeError, match="first N-1 dimensions"), Error(I(3), I(2), side="x", raises=RuntimeError, match="'left' or 'right'"),
                     Error(I(3), I(2), side="left", right=True, raises=RuntimeError, match="opposites"), Error(I(2, 3), 1, raises=RuntimeError, match="scalar")],
    "bucketize": [Error(I(3), I(2, 2), raises=RuntimeError, match="1 dimension")],
    "histc": [Error(T(3), bins=0, raises=RuntimeError, match="bins must be"), Error(T(3), min=2, max=1, raises=RuntimeError, match="larger than min"), Error(I(3), raises=RuntimeError, match="not implemented")],
    "bincount": [Error(I(2, 2), raises=RuntimeError, match="1-d"), Error(T(3), raises=RuntimeError, match="not implemented"), Error(I(3), T(2), raises=RuntimeError, match="same length"),
                 Error(I(3), minlength=-1, raises=RuntimeError, match="minlength")],
    "isin": [Error(B(3), I(2), raises=RuntimeError, match="isin"), Error(1, 2, raises=TypeError, match="isin")],
}  # fmt: skip
