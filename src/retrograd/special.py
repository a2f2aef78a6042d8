"""Special functions: `retrograd.special`, as `torch.special`."""

from retrograd.ops.activation import sigmoid as expit
from retrograd.ops.arithmetic import xlogy
from retrograd.ops.pointwise import exp2, expm1, log1p, round, sinc
from retrograd.ops.reduce import logsumexp
from retrograd.ops.softmax import log_softmax, softmax
from retrograd.ops.special import (
    digamma,
    entr,
    erf,
    erfc,
    erfcx,
    erfinv,
    gammainc,
    gammaincc,
    gammaln,
    i0,
    i0e,
    i1,
    i1e,
    log_ndtr,
    logit,
    multigammaln,
    ndtr,
    ndtri,
    polygamma,
    psi,
    xlog1py,
    zeta,
)  # fmt: skip

__all__ = [
    "digamma", "entr", "erf", "erfc", "erfcx", "erfinv", "exp2", "expit", "expm1", "gammainc", "gammaincc", "gammaln", "i0", "i0e",
    "i1", "i1e", "log1p", "log_ndtr", "log_softmax", "logit", "logsumexp", "multigammaln", "ndtr", "ndtri", "polygamma", "psi",
    "round", "sinc", "softmax", "xlog1py", "xlogy", "zeta",
]  # fmt: skip
