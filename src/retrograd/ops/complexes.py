"""Complex numbers and their parts: conjugate, real and imaginary part, angle, and the two real numbers seen as one complex.

The gradient of a real number with respect to a complex z is its derivative by the real part plus i times that by the
imaginary part, PyTorch's convention; so the derivative of a holomorphic function multiplies cotangents by its conjugate.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.core.families import elementwise, view, write_out
from retrograd.core.tensor import Tensor, constant
from retrograd.ops.basis import select, where_op

# ---------------------------------------------------------------- parts


@elementwise(name="_conj", title="conj", derivative_name="ConjBackward0")
def conj_op(input):
    """The complex conjugate."""
    return np.conjugate(input)


@conj_op.derivative("input")
def _(g):
    return conj_op(g)


def conj(input: Tensor) -> Tensor:
    """The complex conjugate of each element; a real tensor itself.

    >>> from retrograd import conj, tensor
    >>> conj(tensor([1 + 2j]))
    tensor([1.-2.j])
    """
    return conj_op(input) if input.dtype.is_complex else input


def conj_physical(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The complex conjugate of each element, in memory of its own where it is complex."""
    result = conj(input)
    return result if out is None else write_out(out, result)


def resolve_conj(input: Tensor) -> Tensor:
    """`input` itself: conjugates are never pending here."""
    return input


@elementwise(title="real")
def real_part(input):
    """The real part, as a copy."""
    return np.array(np.real(input))


@real_part.derivative("input")
def _(g):
    return g + 0j


@real_part.jvp("input")
def _(t):
    return real_part(t)


@elementwise(title="imag")
def imag_part(input):
    """The imaginary part, as a copy."""
    return np.array(np.imag(input))


@imag_part.derivative("input")
def _(g):
    return g * 1j


@imag_part.jvp("input")
def _(t):
    return imag_part(t)


# ---------------------------------------------------------------- as pairs of real numbers


@view
def view_as_real_op(input):
    """Complex numbers as pairs of real ones, in a last dim of size 2."""
    return np.asarray(input)[..., None].view(input.real.dtype)


@view_as_real_op.transpose
def _(g):
    return view_as_complex_op(g)


@view_as_real_op.batch
def _(args, mapped):
    return view_as_real_op(args[0])


@view
def view_as_complex_op(input):
    """Pairs of real numbers in the last dim as complex ones."""
    if input.strides[-1] != input.itemsize:  # a cotangent of any layout
        input = np.ascontiguousarray(input)
    return input.view(np.result_type(input.dtype, np.complex64))[..., 0]


@view_as_complex_op.transpose
def _(g):
    return view_as_real_op(g)


@view_as_complex_op.batch
def _(args, mapped):
    return view_as_complex_op(args[0])


def view_as_real(input: Tensor) -> Tensor:
    """A view of complex numbers as pairs of real ones, in a new last dim.

    Raises:
        RuntimeError: if `input` is not complex.

    >>> from retrograd import tensor, view_as_real
    >>> view_as_real(tensor([1 + 2j]))
    tensor([[1., 2.]])
    """
    if not input.dtype.is_complex:
        raise RuntimeError("view_as_real is only supported for complex tensors")
    return view_as_real_op(input)


def view_as_complex(input: Tensor) -> Tensor:
    """A view of pairs of real numbers, in the last dim, as complex ones.

    Raises:
        RuntimeError: if `input` is neither float32 nor float64, or its last dim is not of size 2 and stride 1.

    >>> from retrograd import tensor, view_as_complex
    >>> view_as_complex(tensor([[1., 2.]]))
    tensor([1.+2.j])
    """
    if input.dtype is not dtypes.float32 and input.dtype is not dtypes.float64:
        raise RuntimeError(
            f"view_as_complex is only supported for float and double tensors, but got a tensor of scalar type: {dtypes.scalar_name(input.dtype)}"
        )
    if input.ndim == 0:
        raise RuntimeError("Input tensor must have one or more dimensions")
    if input.shape[-1] != 2:
        raise RuntimeError("Tensor must have a last dimension of size 2")
    if input.stride(-1) != 1:
        raise RuntimeError("Tensor must have a last dimension with stride 1")
    return view_as_complex_op(input)


def real(input: Tensor) -> Tensor:
    """The real part of each element, as a view; a real tensor itself.

    >>> from retrograd import real, tensor
    >>> real(tensor([1 + 2j]))
    tensor([1.])
    """
    return select(view_as_real(input), -1, 0) if input.dtype.is_complex else input


def imag(input: Tensor) -> Tensor:
    """The imaginary part of each element, as a view.

    Raises:
        RuntimeError: if `input` is not complex.

    >>> from retrograd import imag, tensor
    >>> imag(tensor([1 + 2j]))
    tensor([2.])
    """
    if not input.dtype.is_complex:
        raise RuntimeError("imag is not implemented for tensors with non-complex dtypes.")
    return select(view_as_real(input), -1, 1)


def set_real(input: Tensor, value: Any) -> None:
    """`input.real = value`: writes over the real parts."""
    real(input).copy_(value if isinstance(value, Tensor) else constant(np.asarray(value)))


def set_imag(input: Tensor, value: Any) -> None:
    """`input.imag = value`: writes over the imaginary parts."""
    imag(input).copy_(value if isinstance(value, Tensor) else constant(np.asarray(value)))


# ---------------------------------------------------------------- made of parts


@elementwise(name="complex")
def complex_op(real, imag):
    """real + i imag"""
    real, imag = np.broadcast_arrays(real, imag)
    out = np.empty(real.shape, np.result_type(real.dtype, np.complex64))
    out.real, out.imag = real, imag
    return out


@complex_op.derivative("real")
def _(g):
    return real_part(g)


@complex_op.derivative("imag")
def _(g):
    return imag_part(g)


@complex_op.jvp("real")
def _(t):
    return t + 0j


@complex_op.jvp("imag")
def _(t):
    return t * 1j


def complex(real: Tensor, imag: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Complex numbers from their real and imaginary parts.

    Raises:
        RuntimeError: if the parts are not floating point, or of two dtypes.

    >>> from retrograd import complex, tensor
    >>> complex(tensor([1., 2.]), tensor([3., 4.]))
    tensor([1.+3.j, 2.+4.j])
    """
    check_parts("complex", real, imag, out)
    result = complex_op(real, imag)
    return result if out is None else write_out(out, result)


def polar(abs: Tensor, angle: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Complex numbers from their absolute values and angles.

    Raises:
        RuntimeError: if the two are not floating point, or of two dtypes.

    >>> from retrograd import polar, tensor
    >>> polar(tensor([2.]), tensor([0.]))
    tensor([2.+0.j])
    """
    check_parts("polar", abs, angle, out)
    result = complex_op(abs * angle.cos(), abs * angle.sin())
    return result if out is None else write_out(out, result)


def check_parts(name: str, a: Any, b: Any, out: Tensor | None) -> None:
    """Raises where two tensors cannot be the parts of complex numbers."""
    for x in (a, b):
        if not isinstance(x, Tensor):
            raise TypeError(f"{name}(): expected two Tensors, got {type(x).__name__}")
    if not (a.dtype.is_floating_point and b.dtype.is_floating_point):
        raise RuntimeError(
            f"Expected both inputs to be Half, Float or Double tensors but got {dtypes.scalar_name(a.dtype)} and {dtypes.scalar_name(b.dtype)}"
        )
    if a.dtype is not b.dtype:
        raise RuntimeError(
            f"Expected object of scalar type {dtypes.scalar_name(a.dtype)} but got scalar type {dtypes.scalar_name(b.dtype)} for second argument"
        )
    result = a.dtype.to_complex()
    if out is not None and out.dtype is not result:
        raise RuntimeError(
            f"Expected object of scalar type {dtypes.scalar_name(result)} but got scalar type {dtypes.scalar_name(out.dtype)} for argument 'out'"
        )


# ---------------------------------------------------------------- angle


@elementwise(result="floating")
def angle(input):
    """The angle of each element in the complex plane: 0 or pi for real numbers.

    >>> from retrograd import angle, tensor
    >>> angle(tensor([1., -1.]))
    tensor([0.0000, 3.1416])
    """
    if np.iscomplexobj(input):
        return np.angle(input)
    return np.where(np.isnan(input), input, np.where(input < 0, input.dtype.type(np.pi), input.dtype.type(0)))


@angle.derivative("input")
def _(g, input):
    return g * angle_slope(input)


@angle.jvp("input")
def _(t, input):
    return real_part(t * conj_of_slope(input))


def angle_slope(z: Any) -> Any:
    """i z / |z|^2: 0 for real z, whose angle is constant wherever it is differentiable."""
    if not is_complex_value(z):
        return where_op(False, z, 0.0)
    re, im = real_part(z), imag_part(z)
    square = re * re + im * im
    none = square == 0
    return where_op(none, 0.0, z * 1j / where_op(none, 1.0, square))


def conj_of_slope(z: Any) -> Any:
    """The conjugate of `angle_slope`."""
    slope = angle_slope(z)
    return conj_op(slope) if is_complex_value(z) else slope


def is_complex_value(x: Any) -> bool:
    """Whether a tensor, array or NumPy scalar is complex."""
    return x.dtype.is_complex if isinstance(x, Tensor) else np.iscomplexobj(x)


__all__ = [
    "angle", "complex", "conj", "conj_physical", "imag", "imag_part", "is_complex_value", "polar", "real", "real_part",
    "resolve_conj", "view_as_complex", "view_as_real",
]  # fmt: skip
