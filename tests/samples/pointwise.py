"""Samples of functions of one number, applied to every element."""

from tests.sampling import B, Error, I, Sample, T

X, Z = T(2, 3), T()
PLAIN = [Sample(X), Sample(Z), Sample(T(0, 2)), Sample(I(3))]
POSITIVE = [Sample(T(2, 3, low=0.2, high=3)), Sample(T(low=0.5, high=2)), Sample(T(0, 2)), Sample(I(3, low=1))]
WITHIN = [Sample(T(2, 3, low=-0.9, high=0.9)), Sample(T(low=-0.5, high=0.5)), Sample(B(2))]
STEPS = [Sample(T(2, 3, low=-2.8, high=2.8), smooth=False), Sample(Z, smooth=False), Sample(I(3))]

SAMPLES = {
    **dict.fromkeys(
        [
            "exp",
            "exp2",
            "expm1",
            "square",
            "sin",
            "cos",
            "atan",
            "sinh",
            "cosh",
            "tanh",
            "asinh",
            "sinc",
            "abs",
            "sign",
            "sgn",
            "deg2rad",
            "rad2deg",
            "positive",
            "neg",
        ],
        PLAIN,
    ),
    **dict.fromkeys(["arctan", "arcsinh", "absolute", "negative"], PLAIN),
    **dict.fromkeys(["log", "log2", "log10", "log1p", "sqrt", "rsqrt", "reciprocal"], POSITIVE),
    **dict.fromkeys(["asin", "acos", "atanh", "arcsin", "arccos", "arctanh"], WITHIN),
    **dict.fromkeys(["ceil", "floor", "trunc", "fix", "round"], STEPS),
    "frac": STEPS[:2],
    "signbit": [Sample(X), Sample(I(3))],
    "tan": [Sample(T(2, 3, low=-1.2, high=1.2)), Sample(I(2, low=0, high=2))],
    "acosh": [Sample(T(2, 3, low=1.2, high=4)), Sample(I(2, low=1))],
    "arccosh": [Sample(T(3, low=1.2, high=4))],
    "pow": [
        Sample(T(2, 3, low=0.3, high=2), 2.5),
        Sample(X, 2),
        Sample(X, 3),
        Sample(X, 0),
        Sample(X, 1),
        Sample(T(2, 3, low=0.3, high=2), -1),
        Sample(T(3, low=0.3, high=2), T(3)),
        Sample(T(2, 1, low=0.3, high=2), T(3)),
        Sample(2, X),
        Sample(0.5, T(2)),
        Sample(I(3), 2),
        Sample(I(3), I(3, high=4)),
        Sample(I(3, low=1), 0.5),
        Sample(2, I(3)),
    ],
    ".__pow__": [Sample(X, 2)],
    ".__rpow__": [Sample(X, 2.0)],
    "float_power": [Sample(T(3, low=0.3, high=2), 2.5, smooth=False), Sample(I(3), 2)],
    ".exp_": [Sample(X)],
    ".sqrt_": [Sample(T(3, low=0.5, high=2))],
    ".tanh_": [Sample(X)],
    ".neg_": [Sample(X)],
    ".round": [Sample(T(3, low=-2.8, high=2.8), decimals=1, smooth=False)],
}

ERRORS = {
    "pow": [
        Error(I(3), -1, raises=RuntimeError, match="negative integer powers"),
        Error(T(2), T(3), raises=RuntimeError, match="must match"),
    ],
    "exp": [Error(3.0, raises=TypeError, match="Tensor")],
    "neg": [Error(B(2), raises=RuntimeError, match="bool")],
    "frac": [Error(I(2), raises=(RuntimeError, NotImplementedError), match="not implemented")],
}
