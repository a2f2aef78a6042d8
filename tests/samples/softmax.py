"""Samples of softmax and its logarithm."""

from tests.sampling import Error, Sample, T

X = T(2, 3)
EACH = [Sample(X, 1), Sample(X, dim=0), Sample(T(), 0), Sample(T(0, 3), 0), Sample(T(2, 3, 2), -1)]

SAMPLES = {
    "softmax": EACH,
    "log_softmax": EACH,
    "nn.functional.softmax": EACH,
    "nn.functional.log_softmax": EACH,
    "nn.functional.softmin": EACH,
}

ERRORS = {
    "softmax": [Error(X, 2, raises=IndexError, match="out of range")],
    "log_softmax": [Error(X, 2, raises=IndexError, match="out of range")],
}
