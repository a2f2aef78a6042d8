"""Samples of functions of two and three numbers, broadcast."""

from tests.sampling import B, Error, I, Sample, T

X, Y, ROW, COLUMN = T(2, 3), T(2, 3), T(3), T(2, 1)
AWAY = T(2, 3, low=0.5, high=2)
D, E = T(2, 3, distinct=True), T(2, 3, low=-0.9, high=0.9)
PAIRS = [Sample(X, Y), Sample(X, ROW), Sample(COLUMN, ROW), Sample(X, T()), Sample(T(), X), Sample(T(0, 3), ROW)]
NUMBERS = [Sample(X, 2.5), Sample(X, 3), Sample(I(3), 2), Sample(I(3), 2.5), Sample(I(3), X), Sample(B(3), X)]
DIVISIONS = [Sample(X, AWAY), Sample(X, T(3, low=0.5, high=2)), Sample(X, 2), Sample(I(3), I(3, low=1)), Sample(I(3), 2.5)]
ROUGH = [Sample(X, AWAY, smooth=False), Sample(X, 2, smooth=False), Sample(I(4, low=-9), I(4, low=1)), Sample(I(4, low=-9), 4)]
EXTREMES = [Sample(D, E), Sample(D, T(3, low=-3, high=3)), Sample(I(3), I(3)), Sample(I(3), T(3))]

SAMPLES = {
    "add": [*PAIRS, *NUMBERS, Sample(X, Y, alpha=2), Sample(X, 2, alpha=0.5), Sample(B(2), B(2))],
    "sub": [*PAIRS, *NUMBERS[:5], Sample(X, Y, alpha=2), Sample(X, 2, alpha=0.5)],
    "subtract": PAIRS[:1],
    "mul": [*PAIRS, *NUMBERS, Sample(B(2), B(2))],
    "multiply": PAIRS[:1],
    "rsub": [Sample(X, Y), Sample(X, 2), Sample(X, Y, alpha=0.5)],
    **dict.fromkeys(("div", "divide", "true_divide"), DIVISIONS),
    ".div": [
        Sample(X, AWAY, rounding_mode="floor", smooth=False),
        Sample(X, AWAY, rounding_mode="trunc", smooth=False),
        Sample(I(3), I(3, low=1), rounding_mode="floor"),
        Sample(X, 2, rounding_mode=None),
    ],
    **dict.fromkeys(("remainder", "fmod"), ROUGH),
    "floor_divide": [Sample(T(2, 3, grad=False), T(3, low=0.5, high=2, grad=False)), *ROUGH[2:]],
    **dict.fromkeys(("maximum", "minimum", "fmax", "fmin"), EXTREMES),
    "clamp": [
        Sample(D, -0.2, 0.2),
        Sample(D, min=0.1),
        Sample(D, max=0.1),
        Sample(D, T(3, low=-0.4, high=-0.3), T(3, low=0.3, high=0.4)),
        Sample(I(5), 2, 5),
        Sample(D, min=T(2, 3, low=-0.05, high=0.05)),
        Sample(I(3), 1.5),
    ],
    "clip": [Sample(D, -0.2, 0.2)],
    "clamp_min": [Sample(D, 0.1)],
    "clamp_max": [Sample(D, 0.1), Sample(D, T(3, low=-0.05, high=0.05))],
    "lerp": [Sample(X, Y, 0.3), Sample(X, Y, T(3)), Sample(X, ROW, 1.7)],
    "addcmul": [Sample(X, Y, ROW), Sample(X, Y, ROW, value=0.5), Sample(T(3), I(3), T(3))],
    "addcdiv": [Sample(X, Y, AWAY), Sample(X, Y, AWAY, value=0.5)],
    "hypot": [Sample(X, AWAY), Sample(X, ROW)],
    "atan2": [Sample(X, AWAY), Sample(X, T(3)), Sample(I(3, low=1), T(3))],
    "arctan2": [Sample(X, AWAY)],
    "logaddexp": [Sample(X, Y), Sample(X, ROW)],
    "logaddexp2": [Sample(X, Y), Sample(X, ROW)],
    "xlogy": [Sample(X, AWAY), Sample(2.0, AWAY), Sample(X, 2.0), Sample(I(3), AWAY)],
    "heaviside": [Sample(T(3, grad=False), T(3, grad=False)), Sample(I(3), I(3))],
    "copysign": [Sample(X, Y), Sample(X, -2.0), Sample(X, ROW), Sample(I(3), T(3))],
    "nextafter": [Sample(T(3, grad=False), T(3, grad=False))],
    "nan_to_num": [Sample(X), Sample(X, 1.0, 2.0, 3.0)],
    "gcd": [Sample(I(4, high=60), I(4, high=60))],
    "lcm": [Sample(I(4, low=1, high=60), I(4, low=1, high=60))],
    "ldexp": [Sample(X, I(3, high=4)), Sample(X, ROW)],
    "frexp": [Sample(T(4), smooth=False)],
    ".fill_": [Sample(X, 0.5)],
    ".zero_": [Sample(X)],
    ".copy_": [Sample(X, ROW), Sample(X, I(2, 3))],
    ".add_": [Sample(X, Y), Sample(X, 2), Sample(X, ROW, alpha=2)],
    ".sub_": [Sample(X, Y)],
    ".mul_": [Sample(X, Y), Sample(X, 2.0)],
    ".div_": [Sample(X, AWAY)],
    ".clamp_": [Sample(D, -0.2, 0.2)],
    ".lerp_": [Sample(X, Y, 0.3)],
    ".addcmul_": [Sample(X, Y, ROW)],
    ".__rsub__": [Sample(X, 2.0)],
    ".__rtruediv__": [Sample(AWAY, 2.0)],
    ".__floordiv__": [Sample(T(2, 3, grad=False), 2.0)],
    ".__mod__": [Sample(X, 2.0, smooth=False)],
}

ERRORS = {
    "add": [
        Error(
            T(2),
            T(3),
            raises=RuntimeError,
            match=r"The size of tensor a \(2\) must match the size of tensor b \(3\) at non-singleton dimension 0",
        )
    ],
    "sub": [Error(B(2), B(2), raises=RuntimeError, match="not supported")],
    "mul": [Error(T(2, 3), T(2), raises=RuntimeError, match="must match")],
    "div": [Error(X, Y, rounding_mode="up", raises=RuntimeError, match="rounding_mode")],
    "clamp": [Error(X, raises=(RuntimeError, ValueError), match="must not be None")],
    "gcd": [Error(T(2), T(2), raises=(RuntimeError, NotImplementedError), match="not implemented")],
    ".add_": [
        Error(T(3, grad=False), T(2, 3), raises=RuntimeError, match="doesn't match the broadcast shape"),
        Error(I(3), T(3, grad=False), raises=RuntimeError, match="can't be cast"),
    ],
}
