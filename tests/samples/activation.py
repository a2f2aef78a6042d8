"""Samples of activation functions."""

from tests.sampling import Error, I, Sample, T

X, D = T(2, 3), T(2, 3, low=0.15, high=2)
N = T(2, 3, low=-2, high=-0.1)
BOTH = [Sample(D), Sample(N), Sample(T(0, 2))]
SMOOTH = [Sample(X), Sample(T()), Sample(T(0, 2))]

SAMPLES = {
    "sigmoid": [*SMOOTH, Sample(I(3))],
    "relu": [*BOTH, Sample(I(3, low=-3, high=3))],
    "prelu": [Sample(D, T(1)), Sample(N, T(3)), Sample(N, T())],
    "celu": BOTH,
    "selu": BOTH,
    "threshold": [Sample(D, 0.1, 5.0), Sample(N, 0.1, 5.0)],
    "hardshrink": [Sample(T(2, 3, low=0.6, high=2)), Sample(T(3, low=-0.4, high=0.4))],
    **{
        f"nn.functional.{name}": SMOOTH
        for name in ["silu", "mish", "gelu", "softplus", "logsigmoid", "tanhshrink", "softsign", "sigmoid", "tanh"]
    },
    **{f"nn.functional.{name}": BOTH for name in ["relu", "relu6", "leaky_relu", "elu", "selu", "celu", "hardswish", "hardsigmoid"]},
    ".relu_": [Sample(D)],
    ".sigmoid_": [Sample(X)],
    "nn.functional.hardtanh": [
        Sample(T(3, low=-0.9, high=0.9)),
        Sample(T(3, low=1.1, high=2)),
        Sample(T(3, low=-0.3, high=0.3), -0.5, 0.4),
    ],
    "nn.functional.softshrink": [Sample(T(2, 3, low=0.6, high=2)), Sample(T(3, low=-2, high=-0.6)), Sample(T(3, low=-0.4, high=0.4))],
    "nn.functional.threshold": [Sample(D, 0.1, 5.0)],
    "nn.functional.glu": [Sample(T(2, 4)), Sample(T(4, 2), 0)],
    "nn.functional.normalize": [Sample(X), Sample(X, dim=0), Sample(X, 1.0, 1, smooth=False)],
    "nn.functional.scaled_dot_product_attention": [
        Sample(T(2, 3, 4), T(2, 5, 4), T(2, 5, 4)),
        Sample(T(3, 4), T(3, 4), T(3, 2), is_causal=True),
        Sample(T(2, 3, 4), T(2, 3, 4), T(2, 3, 4), T(3, 3), scale=0.3),
    ],
}
SAMPLES["nn.functional.gelu"] = [*SMOOTH, Sample(X, approximate="tanh")]
SAMPLES["nn.functional.softplus"] = [*SMOOTH, Sample(X, 2.0, 1.0, smooth=False)]
SAMPLES["nn.functional.elu"] = [*BOTH, Sample(N, 0.5)]
SAMPLES["nn.functional.leaky_relu"] = [*BOTH, Sample(N, 0.3), Sample(N, -0.5)]

ERRORS = {
    "nn.functional.glu": [Error(T(3), raises=RuntimeError, match="must be even"), Error(T(), raises=RuntimeError, match="0-dimensional")],
    "nn.functional.gelu": [Error(X, approximate="sin", raises=RuntimeError, match="approximate")],
    "nn.functional.softshrink": [Error(X, -1.0, raises=RuntimeError, match="lambda")],
}
