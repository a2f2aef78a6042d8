"""Samples of comparisons, logic and bits."""

from tests.sampling import B, Error, I, Sample, T

X, Y = T(2, 3), T(2, 3)
COMPARED = [Sample(X, Y), Sample(X, T(3)), Sample(X, 0.1), Sample(I(3, high=3), I(3, high=3)), Sample(I(3, high=3), 1), Sample(B(3), B(3))]
LOGICAL = [Sample(B(2, 3), B(3)), Sample(I(3, high=2), B(3)), Sample(T(3, grad=False), I(3, high=2))]
BITS = [Sample(I(3), I(3)), Sample(I(3), 5), Sample(B(3), B(3))]

SAMPLES = {
    **dict.fromkeys(["eq", "ne", "lt", "le", "gt", "ge", "not_equal", "less", "less_equal", "greater", "greater_equal"], COMPARED),
    ".__eq__": COMPARED[:1],
    ".__lt__": COMPARED[:3],
    **dict.fromkeys(["logical_and", "logical_or", "logical_xor"], LOGICAL),
    "logical_not": [Sample(B(3)), Sample(I(3, high=2)), Sample(T(3, grad=False))],
    **dict.fromkeys(["bitwise_and", "bitwise_or", "bitwise_xor"], BITS),
    "bitwise_not": [Sample(I(3)), Sample(B(3))],
    ".__invert__": [Sample(B(3))],
    "bitwise_left_shift": [Sample(I(3), I(3, high=4)), Sample(I(3), 2)],
    "bitwise_right_shift": [Sample(I(3), I(3, high=4)), Sample(I(3), 2)],
    **{name: [Sample(X), Sample(I(3))] for name in ["isnan", "isinf", "isfinite", "isposinf", "isneginf", "isreal"]},
    "isclose": [Sample(X, X), Sample(X, Y, atol=0.5), Sample(I(3), I(3))],
    "where": [
        Sample(B(2, 3), X, Y),
        Sample(B(3), X, Y),
        Sample(B(2, 1), T(3), T()),
        Sample(B(3), X, 0.0),
        Sample(B(3), 1.0, X),
        Sample(B(3), I(3), X),
        Sample(B(3)),
    ],
    ".masked_fill": [Sample(X, B(3), 0.5), Sample(X, B(2, 3), T()), Sample(I(3), B(3), 2)],
    ".masked_fill_": [Sample(X, B(3), 0.5)],
}

ERRORS = {
    "where": [Error(I(3), T(3), T(3), raises=RuntimeError, match="condition")],
    "bitwise_and": [Error(T(2), T(2), raises=(RuntimeError, NotImplementedError), match="not implemented")],
    ".masked_fill": [Error(X, I(3), 0.5, raises=RuntimeError, match="bool")],
}
