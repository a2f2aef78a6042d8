"""All parameters as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable

from retrograd.core.tensor import Tensor
from retrograd.ops.join import cat


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """The elements of all parameters, one after the other."""
    return cat([p.reshape(-1) for p in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Sets the parameters' memory to the pieces of a vector. Raises TypeError if it is no tensor."""
    if not isinstance(vec, Tensor):
        raise TypeError(f"expected torch.Tensor, but got: {type(vec).__name__}")
    start = 0
    for p in parameters:
        n = p.shape.numel()
        p.data = vec[start : start + n].view(tuple(p.shape)).data
        start += n
