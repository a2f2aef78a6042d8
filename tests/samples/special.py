"""Samples of special functions."""

from tests.sampling import Error, I, Sample, T

X = T(2, 3)
PLAIN = [Sample(X), Sample(T()), Sample(T(0, 2)), Sample(I(3))]
POSITIVE = [Sample(T(2, 3, low=0.4, high=5)), Sample(I(3, low=1))]
UNIT = [Sample(T(2, 3, low=0.1, high=0.9))]

SAMPLES = {
    **dict.fromkeys(
        [
            "erf",
            "erfc",
            "i0",
            "special.erf",
            "special.erfc",
            "special.erfcx",
            "special.ndtr",
            "special.log_ndtr",
            "special.i0e",
            "special.i1",
            "special.i1e",
            "special.expit",
            "special.sinc",
            "special.expm1",
            "special.exp2",
        ],
        PLAIN,
    ),
    **dict.fromkeys(["lgamma", "digamma", "special.gammaln", "special.psi"], POSITIVE),
    "special.entr": POSITIVE[:1],
    "erfinv": [Sample(T(2, 3, low=-0.9, high=0.9))],
    "special.ndtri": UNIT,
    "logit": [*UNIT, Sample(T(3, low=0.2, high=0.8), eps=0.1)],
    "mvlgamma": [Sample(T(3, low=1.2, high=4), 2)],
    "polygamma": [Sample(1, T(3, low=0.5, high=3)), Sample(2, T(3, low=0.5, high=3))],
    "special.zeta": [Sample(T(3, low=1.5, high=3, grad=False), T(3, low=0.5, high=3, grad=False))],
    "igamma": [Sample(T(3, low=0.5, high=3, grad=False), T(3, low=0.5, high=3))],
    "igammac": [Sample(T(3, low=0.5, high=3, grad=False), T(3, low=0.5, high=3))],
    "special.xlog1py": [Sample(X, T(2, 3, low=0.1, high=2)), Sample(X, 0.5)],
    "special.xlogy": [Sample(X, T(2, 3, low=0.1, high=2))],
}

ERRORS = {"polygamma": [Error(-1, T(3), raises=RuntimeError, match="polygamma")]}
