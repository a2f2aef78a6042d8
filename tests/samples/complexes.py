"""Samples of complex numbers, made of real ones."""

from tests.sampling import B, C, Error, Sample, T

SAMPLES = {
    "complex": [Sample(T(2, 3), T(2, 3)), Sample(T(2, 3), T(3))],
    "polar": [Sample(T(3, low=0.3, high=2), T(3))],
    "view_as_complex": [Sample(T(3, 2))],
    "angle": [Sample(T(3))],
    "conj": [Sample(T(3)), Sample(C(3))],
    "resolve_conj": [Sample(C(3))],
    "real": [Sample(T(3)), Sample(C(3))],
    "imag": [Sample(C(3))],
    "view_as_real": [Sample(C(3))],
    "abs": [Sample(C(3))],
    "sgn": [Sample(C(3))],
    "add": [Sample(C(3), C(3)), Sample(C(3), T(3)), Sample(T(3), 1j)],
    "mul": [Sample(C(3), C(3)), Sample(C(3), T(3)), Sample(C(3), 2j)],
    "div": [Sample(C(3), C(3)), Sample(T(3), C(3))],
    "pow": [Sample(C(3), 2), Sample(C(3), 0.5), Sample(C(3), C(3))],
    **{name: [Sample(C(2, 2))] for name in ["exp", "log", "sqrt", "sin", "cos", "tanh", "square", "reciprocal", "sum", "mean", "sigmoid"]},
    "prod": [Sample(C(3))],
    "cumprod": [Sample(C(3), 0)],
    "cumsum": [Sample(C(3), 0)],
    "addcmul": [Sample(C(3), C(3), C(3), value=2j)],
    "addcdiv": [Sample(C(3), C(3), C(3), value=2j)],
    "lerp": [Sample(C(3), C(3), C(3)), Sample(C(3), C(3), 0.3)],
    "addmm": [Sample(C(2, 2), C(2, 3), C(3, 2), beta=1j, alpha=2j)],
    "einsum": [Sample("ij,jk->ik", C(2, 3), C(3, 2))],
    "outer": [Sample(C(2), C(3))],
    "where": [Sample(B(3), C(3), C(3))],
    "linalg.vector_norm": [Sample(C(3))],
    "linalg.matrix_exp": [Sample(C(2, 2))],
    "linalg.det": [Sample(C(3, 3))],
    "nn.functional.conv_transpose1d": [Sample(C(1, 2, 3), C(2, 2, 2), C(2))],
    "nn.functional.linear": [Sample(C(2, 3), C(4, 3), C(4))],
    "matmul": [Sample(C(2, 3), C(3, 2)), Sample(C(3), C(3))],
    "linalg.solve": [Sample(C(3, 3), C(3))],
    "nn.functional.conv1d": [Sample(C(1, 2, 4), C(2, 2, 2))],
}

ERRORS = {
    "view_as_complex": [Error(T(3), raises=RuntimeError, match="")],
    "complex": [Error(T(3), T(2), raises=RuntimeError, match="must match")],
}
