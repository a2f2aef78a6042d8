"""Special functions of tensors: error functions, gamma functions, entropies, modified Bessel functions.

`retrograd.special` is the public namespace; some are public in `retrograd` too, where PyTorch has them there.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from retrograd.core.families import elementwise, write_out
from retrograd.core.tensor import Tensor
from retrograd.ops import special_functions as arrays
from retrograd.ops.arithmetic import not_differentiable
from retrograd.ops.basis import where_op
from retrograd.ops.pointwise import exp, log, log1p, sgn

SQRT_PI = math.sqrt(math.pi)

# ---------------------------------------------------------------- error functions


@elementwise(result="floating", preserves_zero=True, refuses=("complex",))
def erf(input):
    """The error function: 2 / sqrt(pi) times the integral of exp(-t * t) from 0 to each element.

    >>> from retrograd import erf, tensor
    >>> erf(tensor([0., 1.]))
    tensor([0.0000, 0.8427])
    """
    return arrays.erf_array(input)


@erf.derivative("input")
def _(input):
    return exp(-(input * input)) * (2 / SQRT_PI)


@erf.kernel
def _(k, input):
    return k.erf(input)


@elementwise(result="floating", refuses=("complex",))
def erfc(input):
    """1 - erf(input), exact where that is tiny.

    >>> from retrograd import erfc, tensor
    >>> erfc(tensor([0., 1.]))
    tensor([1.0000, 0.1573])
    """
    return arrays.erfc_array(input)


@erfc.derivative("input")
def _(input):
    return exp(-(input * input)) * (-2 / SQRT_PI)


@erfc.kernel
def _(k, input):
    return k.erfc(input)


@elementwise(result="floating", refuses=("complex",), derivative_name="SpecialErfcxBackward0")
def erfcx(input):
    """exp(input * input) * erfc(input), which does not underflow.

    >>> from retrograd import special, tensor
    >>> special.erfcx(tensor([0., 1.]))
    tensor([1.0000, 0.4276])
    """
    return arrays.erfcx_array(input)


@erfcx.derivative("input")
def _(input, y):
    return input * y * 2 - 2 / SQRT_PI


@elementwise(result="floating", preserves_zero=True, refuses=("complex",))
def erfinv(input):
    """The inverse of `erf`: infinite at -1 and 1, nan outside.

    >>> from retrograd import erfinv, tensor
    >>> erfinv(tensor([0., 0.5]))
    tensor([0.0000, 0.4769])
    """
    return arrays.erfinv_array(input)


@erfinv.derivative("input")
def _(y):
    return exp(y * y) * (SQRT_PI / 2)


# ---------------------------------------------------------------- the normal distribution


@elementwise(result="floating", refuses=("complex",))
def ndtr(input):
    """The standard normal distribution function.

    >>> from retrograd import special, tensor
    >>> special.ndtr(tensor([0., 1.]))
    tensor([0.5000, 0.8413])
    """
    return arrays.erfc_array(input * -math.sqrt(0.5)) * 0.5


@ndtr.derivative("input")
def _(input):
    return exp(input * input * -0.5) * (1 / math.sqrt(2 * math.pi))


@ndtr.kernel
def _(k, input):
    return k.mul(k.erfc(k.mul(input, k.const(-math.sqrt(0.5), input))), k.const(0.5, input))


@elementwise(result="floating", refuses=("complex",), derivative_name="SpecialLogNdtrBackward0")
def log_ndtr(input):
    """The logarithm of the standard normal distribution function.

    >>> from retrograd import special, tensor
    >>> special.log_ndtr(tensor([0., -40.]))
    tensor([-6.9315e-01, -8.0461e+02])
    """
    return arrays.log_ndtr_array(input)


@log_ndtr.derivative("input")
def _(input):
    return math.sqrt(2 / math.pi) / erfcx(input * -math.sqrt(0.5))


@elementwise(result="floating", refuses=("complex",), derivative_name="SpecialNdtriBackward0")
def ndtri(input):
    """The inverse of `ndtr`.

    >>> from retrograd import special, tensor
    >>> special.ndtri(tensor([0.5, 0.975]))
    tensor([0.0000, 1.9600])
    """
    return arrays.ndtri_array(input)


@ndtri.derivative("input")
def _(y):
    return exp(y * y * 0.5) * math.sqrt(2 * math.pi)


# ---------------------------------------------------------------- gamma functions


@elementwise(result="floating", refuses=("complex",))
def lgamma(input):
    """The logarithm of the absolute value of the gamma function.

    >>> from retrograd import lgamma, tensor
    >>> lgamma(tensor([1., 5.]))
    tensor([0.0000, 3.1781])
    """
    return arrays.lgamma_array(input)


@lgamma.derivative("input")
def _(input):
    return digamma(input)


@lgamma.kernel
def _(k, input):
    return k.lgamma(input)


@elementwise(result="floating", refuses=("complex",))
def digamma(input):
    """The derivative of `lgamma`.

    >>> from retrograd import digamma, tensor
    >>> digamma(tensor([1., 2.]))
    tensor([-0.5772,  0.4228])
    """
    return arrays.digamma_array(input)


@digamma.derivative("input")
def _(input):
    return polygamma_op(input, n=1)


@elementwise(name="polygamma", result="floating", refuses=("complex",))
def polygamma_op(input, *, n):
    """the n-th derivative of digamma"""
    if n == 0:
        return arrays.digamma_array(input)
    sign = 1.0 if n % 2 else -1.0
    return sign * math.factorial(n) * arrays.zeta_array(np.asarray(n + 1.0, input.dtype), input)


@polygamma_op.derivative("input")
def _(input, n):
    return polygamma_op(input, n=n + 1)


def polygamma(n: int, input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The n-th derivative of `digamma`.

    Raises:
        RuntimeError: if `n` is negative.

    >>> from retrograd import polygamma, tensor
    >>> polygamma(1, tensor([1., 2.]))
    tensor([1.6449, 0.6449])
    """
    if not isinstance(n, int):
        raise TypeError(f"polygamma(): argument 'n' (position 1) must be int, not {type(n).__name__}")
    if n < 0:
        raise RuntimeError("polygamma(n, x) does not support negative n.")
    result = polygamma_op(input, n=n)
    return result if out is None else write_out(out, result)


def polygamma_method(self: Tensor, n: int) -> Tensor:
    """The n-th derivative of `digamma`: see `polygamma`."""
    return polygamma(n, self)


def mvlgamma(input: Tensor, p: int, *, out: Tensor | None = None) -> Tensor:
    """The logarithm of the multivariate gamma function of dimension `p`.

    Raises:
        RuntimeError: if `p` is below 1.

    >>> from retrograd import mvlgamma, tensor
    >>> mvlgamma(tensor([3.]), 2)
    tensor([1.5502])
    """
    if p < 1:
        raise RuntimeError("p has to be greater than or equal to 1")
    result: Any = p * (p - 1) / 4 * math.log(math.pi)
    for j in range(p):
        result = lgamma(input - j / 2) + result
    return result if out is None else write_out(out, result)


@elementwise(result="floating", refuses=("complex",), derivative_name="SpecialZetaBackward0")
def zeta(input, other):
    """Hurwitz's zeta function: the sum of `(other + k) ** -input` over k from 0 on.

    It has a derivative with respect to `other` only.

    >>> from retrograd import special, tensor
    >>> special.zeta(tensor([2.]), tensor([1.]))
    tensor([1.6449])
    """
    return arrays.zeta_array(input, np.asarray(other, getattr(input, "dtype", None)))  # a number must not widen the result


@zeta.derivative("input")
def _(g):
    return not_differentiable("zeta")


@zeta.derivative("other")
def _(input, other):
    return -input * zeta(input + 1, other)


@elementwise(refuses=("bool", "integer", "complex"), derivative_name="IgammaBackward0", tensors=("input", "other"))
def igamma(input, other):
    """The regularised lower incomplete gamma function of order `input`, from 0 to `other`.

    It has a derivative with respect to `other` only.

    >>> from retrograd import igamma, tensor
    >>> igamma(tensor([1.]), tensor([1.]))
    tensor([0.6321])
    """
    return arrays.igamma_array(input, other)


@igamma.derivative("input")
def _(g):
    return not_differentiable("igamma: input")


@igamma.derivative("other")
def _(input, other):
    return gamma_density(input, other)


@elementwise(refuses=("bool", "integer", "complex"), derivative_name="IgammacBackward0", tensors=("input", "other"))
def igammac(input, other):
    """1 - igamma(input, other), exact where that is tiny.

    >>> from retrograd import igammac, tensor
    >>> igammac(tensor([1.]), tensor([1.]))
    tensor([0.3679])
    """
    return arrays.igammac_array(input, other)


@igammac.derivative("input")
def _(g):
    return not_differentiable("igammac: input")


@igammac.derivative("other")
def _(input, other):
    return -gamma_density(input, other)


def gamma_density(shape: Any, x: Any) -> Any:
    """The density at `x` of the gamma distribution."""
    return exp((shape - 1) * log(x) - x - lgamma(shape))


# ---------------------------------------------------------------- logarithms and entropies


@elementwise(name="logit", result="floating", refuses=("complex",))
def logit_op(input, *, eps):
    """log(x / (1 - x)) where x is input, but at least eps and at most 1 - eps"""
    x = input if eps is None else np.minimum(np.maximum(input, eps), 1 - eps)
    return np.log(x / (1 - x))


@logit_op.derivative("input")
def _(g, input, eps):
    if eps is None:
        inside = where_op(input < 0, math.nan, where_op(input > 1, math.nan, input))
        return g / (inside * (1 - inside))
    inside = where_op(input >= eps, where_op(input <= 1 - eps, 1.0, 0.0), 0.0) == 1
    x = where_op(inside, input, 0.5)
    return where_op(inside, g / (x * (1 - x)), 0.0)


@logit_op.kernel
def _(k, input, eps):
    one = k.const(1, input)
    x = input if eps is None else k.min(k.max(input, k.const(eps, input)), k.const(1 - eps, input))
    return k.log(k.div(x, k.sub(one, x)))


def logit(input: Tensor, eps: float | None = None, *, out: Tensor | None = None) -> Tensor:
    """The inverse of `sigmoid`: log(x / (1 - x)), where x is `input` between `eps` and `1 - eps`.

    >>> from retrograd import logit, tensor
    >>> logit(tensor([0.5, 0.75]))
    tensor([0.0000, 1.0986])
    """
    result = logit_op(input, eps=eps)
    return result if out is None else write_out(out, result)


@elementwise(result="floating", refuses=("complex",), derivative_name="SpecialXlog1PyBackward0")
def xlog1py(input, other):
    """`input * log1p(other)`, 0 where `input` is 0 and `other` not nan.

    >>> from retrograd import special, tensor
    >>> special.xlog1py(tensor([0., 2.]), tensor([-1., 0.]))
    tensor([0., 0.])
    """
    other = np.asarray(other, getattr(input, "dtype", None))  # a number must not widen the result
    return np.where(np.equal(input, 0) & ~np.isnan(other), np.zeros_like(other), input * np.log1p(other))


@xlog1py.derivative("input")
def _(g, input, other):
    slope = g * (log1p(other) if hasattr(other, "shape") else float(np.log1p(other)))
    return where_op(input == 0, where_op(other <= -1, 0.0, slope), slope)


@xlog1py.derivative("other")
def _(g, input, other):
    return g * input / (other + 1)


@xlog1py.kernel
def _(k, input, other):
    zero = k.const(0, input)
    none = k.logical_and(k.eq(input, zero), k.logical_not(k.isnan(other)))
    return k.select(none, zero, k.mul(input, k.log1p(other)))


@elementwise(result="floating", refuses=("complex",), derivative_name="SpecialEntrBackward0")
def entr(input):
    """`-input * log(input)`, 0 at 0, -inf for negative elements.

    >>> from retrograd import special, tensor
    >>> special.entr(tensor([0., 0.5, -1.]))
    tensor([0.0000, 0.3466,   -inf])
    """
    y = np.where(input == 0, input.dtype.type(0), -input * np.log(input))
    return np.where(input < 0, input.dtype.type(-np.inf), y)


@entr.derivative("input")
def _(input):
    return -log(input) - 1


@entr.kernel
def _(k, input):
    zero = k.const(0, input)
    y = k.select(k.eq(input, zero), zero, k.neg(k.mul(input, k.log(input))))
    return k.select(k.lt(input, zero), k.const(-math.inf, input), y)


# ---------------------------------------------------------------- modified Bessel functions


@elementwise(result="floating", refuses=("complex",))
def i0(input):
    """The modified Bessel function of the first kind of order 0.

    >>> from retrograd import i0, tensor
    >>> i0(tensor([0., 1.]))
    tensor([1.0000, 1.2661])
    """
    return arrays.i0e_array(input) * np.exp(np.abs(input))


@i0.derivative("input")
def _(input):
    return i1(input)


@elementwise(result="floating", refuses=("complex",), derivative_name="SpecialI0EBackward0")
def i0e(input):
    """exp(-abs(input)) * i0(input).

    >>> from retrograd import special, tensor
    >>> special.i0e(tensor([0., 1.]))
    tensor([1.0000, 0.4658])
    """
    return arrays.i0e_array(input)


@i0e.derivative("input")
def _(input, y):
    return i1e(input) - sgn(input) * y


@elementwise(result="floating", refuses=("complex",), derivative_name="SpecialI1Backward0")
def i1(input):
    """The modified Bessel function of the first kind of order 1.

    >>> from retrograd import special, tensor
    >>> special.i1(tensor([0., 1.]))
    tensor([0.0000, 0.5652])
    """
    return arrays.i1e_array(input) * np.exp(np.abs(input))


@i1.derivative("input")
def _(input, y):
    zero = input == 0
    return where_op(zero, 0.5, i0(input) - y / where_op(zero, 1.0, input))


@elementwise(result="floating", refuses=("complex",), derivative_name="SpecialI1EBackward0")
def i1e(input):
    """exp(-abs(input)) * i1(input).

    >>> from retrograd import special, tensor
    >>> special.i1e(tensor([0., 1.]))
    tensor([0.0000, 0.2079])
    """
    return arrays.i1e_array(input)


@i1e.derivative("input")
def _(input, y):
    zero = input == 0
    return where_op(zero, 0.5, i0e(input) - y * (sgn(input) + 1 / where_op(zero, 1.0, input)))


gammaln, psi, multigammaln, gammainc, gammaincc = lgamma, digamma, mvlgamma, igamma, igammac
