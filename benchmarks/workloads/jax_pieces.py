"""Pieces of networks that JAX users write themselves."""

from __future__ import annotations

from typing import Any

EPSILON = 1e-5  # of normalisations


def cross_entropy(jax: Any, logits: Any, labels: Any) -> Any:
    """The mean over rows of minus the logarithm of each label's probability."""
    return -jax.numpy.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1).mean()


def normalised(jax: Any, x: Any, axes: tuple[int, ...], scale: Any, shift: Any) -> tuple[Any, Any, Any]:
    """x with mean 0 and variance 1 along axes, scaled and shifted; and its mean and (biased) variance."""
    mean = x.mean(axes, keepdims=True)
    variance = jax.numpy.square(x - mean).mean(axes, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(variance + EPSILON) * scale + shift, mean, variance
