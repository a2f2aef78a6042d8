"""Samples of attention."""

from tests.sampling import B, Error, Sample, T

Q, K, V = T(2, 3, 4), T(2, 5, 4), T(2, 5, 2)
ONE = B(3, 5)

SAMPLES = {
    "nn.functional.scaled_dot_product_attention": [
        Sample(Q, K, V, ONE),
        Sample(Q, K, V, B(2, 1, 5)),
        Sample(T(3, 4), T(5, 4), T(5, 4), T(5), scale=0.5),
        Sample(Q, K, V, is_causal=True),
        Sample(T(1, 4, 3, 2), T(1, 2, 5, 2), T(1, 2, 5, 3), enable_gqa=True),
        Sample(T(3, 4), T(0, 4), T(0, 2)),
    ],
}

ERRORS = {
    "nn.functional.scaled_dot_product_attention": [
        Error(Q, K, V, ONE, is_causal=True, raises=RuntimeError, match="is_causal"),
        Error(Q, K, V, dropout_p=2.0, raises=RuntimeError, match="dropout probability"),
        Error(Q, T(2, 5, 3), V, raises=RuntimeError),
    ],
}
