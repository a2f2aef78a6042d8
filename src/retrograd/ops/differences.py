"""Differences of neighbours along a dim, and areas under samples. Composites only."""

from __future__ import annotations

from typing import Any

from retrograd import dtypes
from retrograd.core.families import write_out
from retrograd.core.tensor import Tensor
from retrograd.ops.arithmetic import div
from retrograd.ops.basis import add, clone, mul, reshape_op, slice_op, sub, sum
from retrograd.ops.join import cat
from retrograd.ops.logic import logical_xor
from retrograd.ops.scan import cumsum
from retrograd.shapes import wrap_dim


def diff(
    input: Tensor, n: int = 1, dim: int = -1, prepend: Tensor | None = None, append: Tensor | None = None, *, out: Any = None
) -> Tensor:
    """Differences of neighbours along `dim`, taken `n` times; of bools, where they differ.

    Args:
        prepend, append: joined to `input` first.

    Raises:
        RuntimeError: if `input` has no dims, `n` is negative, or `prepend` or `append` does not fit.
        IndexError: if `dim` is out of range.

    >>> from retrograd import diff, tensor
    >>> diff(tensor([1, 4, 9])), diff(tensor([1, 4, 9]), n=2)
    (tensor([3, 5]), tensor([2]))
    """
    if input.ndim == 0:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    dim = wrap_dim(dim, input.ndim)
    for x in (prepend, append):
        if x is not None:
            check_fits(input, x, dim)
    if n < 0:
        raise RuntimeError(f"order must be non-negative but got {n}")
    if n == 0:  # of no differences, what would be joined is left out, as in PyTorch
        return clone(input) if out is None else write_out(out, input)
    x = cat([x for x in (prepend, input, append) if x is not None], dim)
    for _ in range(n if n < x.shape[dim] else x.shape[dim]):
        after, before = part(x, dim, 1, None), part(x, dim, 0, -1)
        x = logical_xor(after, before) if x.dtype is dtypes.bool else sub(after, before)
    return x if out is None else write_out(out, x)


def check_fits(input: Tensor, joined: Tensor, dim: int) -> None:
    """Raises RuntimeError unless a tensor can be joined to `input` along `dim`."""
    if joined.ndim != input.ndim:
        raise RuntimeError("diff expects prepend or append to be the same dimension as input")
    for d, (n, m) in enumerate(zip(input.shape, joined.shape, strict=True)):
        if d != dim and n != m:
            raise RuntimeError(
                "diff expects the shape of tensor to prepend or append to match that of input except along the differencing dimension; "
                f"input.size({d}) = {n}, but got tensor.size({d}) = {m}"
            )


def part(x: Tensor, dim: int, start: int, end: int | None) -> Tensor:
    """`x[start:end]` along `dim`."""
    start, end, _ = slice(start, end).indices(x.shape[dim])
    return slice_op(x, dim=dim, start=start, end=end if end > start else start, step=1)


def trapezoid(y: Tensor, x: Tensor | None = None, *, dx: Any = None, dim: int = -1) -> Tensor:
    """The area under straight lines through the samples `y` along `dim`.

    Args:
        x: where the samples were taken; a vector, or one that broadcasts with `y`.
        dx: the distance between samples (1 by default), in place of `x`.

    Raises:
        RuntimeError: if there is not one `x` per sample, or for bools.
        IndexError: if `dim` is out of range.

    >>> from retrograd import tensor, trapezoid
    >>> trapezoid(tensor([1., 5., 10.])), trapezoid(tensor([1., 5., 10.]), tensor([1., 3., 6.]))
    (tensor(10.5000), tensor(28.5000))
    """
    dim = sample_dim("trapezoid", y, x, dx, dim)
    return sum(strips(y, x, dx, dim), dim)


def cumulative_trapezoid(y: Tensor, x: Tensor | None = None, *, dx: Any = None, dim: int = -1) -> Tensor:
    """The areas under straight lines through the samples `y` up to each along `dim`. See `trapezoid`.

    >>> from retrograd import cumulative_trapezoid, tensor
    >>> cumulative_trapezoid(tensor([1., 5., 10.]))
    tensor([ 3.0000, 10.5000])
    """
    dim = sample_dim("cumulative_trapezoid", y, x, dx, dim)
    return cumsum(strips(y, x, dx, dim), dim)


def sample_dim(name: str, y: Tensor, x: Tensor | None, dx: Any, dim: int) -> int:
    """The dim of the samples counted from the front; raises what is wrong with the arguments of an area."""
    if x is not None and dx is not None:
        raise TypeError(f"{name}() received an invalid combination of arguments: both 'x' and 'dx'")
    if y.ndim == 0:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    dim = wrap_dim(dim, y.ndim)
    if y.dtype is dtypes.bool:
        raise RuntimeError(f"{name}: received a bool input for `y`, but bool is not supported")
    if x is not None and x.dtype is dtypes.bool:
        raise RuntimeError(f"{name}: received a bool input for `x`, but bool is not supported")
    if x is not None and x.ndim == 1 and x.shape[0] != y.shape[dim]:
        raise RuntimeError(f"{name}: There must be one `x` value for each sample point")
    return dim


def strips(y: Tensor, x: Tensor | None, dx: Any, dim: int) -> Tensor:
    """The areas of the strips between neighbouring samples."""
    pairs = add(part(y, dim, 1, None), part(y, dim, 0, -1))
    if x is None:
        return div(mul(pairs, 1 if dx is None else dx), 2)
    if x.ndim == 0:
        raise IndexError("Dimension specified as -1 but tensor has no dimensions")
    if x.ndim == 1:
        x = reshape_op(x, shape=(x.shape[0], *(1,) * (y.ndim - dim - 1)))
    at = x.ndim - (y.ndim - dim)
    if at < 0:
        raise IndexError(f"x has {x.ndim} dims, too few to have the dim {dim - y.ndim} of the samples")
    return div(mul(pairs, sub(part(x, at, 1, None), part(x, at, 0, -1))), 2)


trapz = trapezoid


__all__ = ["cumulative_trapezoid", "diff", "trapezoid", "trapz"]
