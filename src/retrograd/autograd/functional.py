"""Derivatives of a function as PyTorch's older interface gives them: `jacobian`, `hessian`, and products with vectors.

Inputs and results are single tensors or tuples, and what comes back has the same form. `retrograd.func` does the same with
functions that return functions, for nested structures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from retrograd.autograd.modes import enable_grad
from retrograd.autograd.reverse import grad
from retrograd.core.tensor import Tensor, constant
from retrograd.func.transforms import jacfwd
from retrograd.func.transforms import jvp as pushed
from retrograd.ops.basis import reshape_op
from retrograd.ops.join import stack

Function = Callable[..., Any]
Tensors = tuple[Tensor, ...]


def as_tuple(x: Any, what: str, function: str) -> tuple[bool, Tensors]:
    """Whether a tuple was given, and what was given as a tuple of tensors. Raises TypeError for anything else."""
    several = isinstance(x, (tuple, list))
    found = tuple(x) if several else (x,)
    for i, t in enumerate(found):
        if not isinstance(t, Tensor):
            where = f"Value at index {i} is" if several else "Got"
            raise TypeError(f"The {what} given to {function} must be either a Tensor or a tuple of Tensors. {where} of type {type(t)}")
    return several, found


def prepared(inputs: Tensors, create_graph: bool) -> Tensors:
    """The inputs as leaves, or with `create_graph` as views of what they are, that the result is recorded from there on."""
    if create_graph:
        return tuple([x.view_as(x) if x.requires_grad else x.detach().requires_grad_() for x in inputs])
    return tuple([x.detach().requires_grad_() for x in inputs])


def like(several: bool, found: Sequence[Any]) -> Any:
    """A tuple, or its only element, as the input was."""
    return tuple(found) if several else found[0]


def finished(found: Sequence[Tensor], create_graph: bool) -> Tensors:
    """Results, without history unless that was asked for."""
    return tuple(found) if create_graph else tuple([t.detach() for t in found])


def pulled(outputs: Tensors, inputs: Tensors, v: Sequence[Tensor], create_graph: bool, strict: bool, function: str) -> list[Tensor]:
    """The products of v with the Jacobian, zeros where an input does not matter. Raises RuntimeError there if `strict`."""
    used = [(y, g) for y, g in zip(outputs, v, strict=True) if y.requires_grad]
    if strict and len(used) < len(outputs):
        at = next(i for i, y in enumerate(outputs) if not y.requires_grad)
        raise RuntimeError(f"Output {at} of the user-provided function is independent of the input. This is not allowed in strict mode.")
    found: Sequence[Any] = (None,) * len(inputs)
    if used:
        found = grad([y for y, _ in used], inputs, [g for _, g in used], create_graph=create_graph, retain_graph=True, allow_unused=True)
    if strict and any(g is None for g in found):
        at = next(i for i, g in enumerate(found) if g is None)
        raise RuntimeError(
            f"Output of the user-provided function is independent of input {at}. This is not allowed in strict mode ({function})."
        )
    return [constant(np.zeros(x.shape, x.dtype.numpy)) if g is None else g for g, x in zip(found, inputs, strict=True)]


def vector_for(v: Any, likes: Tensors, what: str, function: str) -> Tensors:
    """The vector of a product: as given, or 1 for a single number. Raises RuntimeError if it does not fit."""
    if v is None:
        if len(likes) != 1 or likes[0].shape.numel() != 1:
            raise RuntimeError(f"The vector v can only be None if {what} contains a single Tensor with a single element ({function})")
        return (constant(np.ones(likes[0].shape, likes[0].dtype.numpy)),)
    _, given = as_tuple(v, "v", function)
    if len(given) != len(likes):
        raise RuntimeError(f"v is a tuple of invalid length: should be {len(likes)} but got {len(given)}.")
    for i, (g, x) in enumerate(zip(given, likes, strict=True)):
        if g.shape != x.shape:
            raise RuntimeError(
                f"v has invalid size: should be {x.shape} but got {g.shape}."
                if len(likes) == 1
                else f"Entry {i} in v has invalid size: should be {x.shape} but got {g.shape}."
            )
    return given


def vjp(func: Function, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple[Any, Any]:
    """(func(inputs), vᵀ J): the result, and the product of `v` with the Jacobian.

    Args:
        v: of the result's form and shapes; may be left out for a result of one number.
        create_graph: record it, so that the product can be differentiated again.
        strict: raise if the result does not depend on an input, instead of zeros.

    Raises:
        TypeError: if something is no tensor.
        RuntimeError: if `v` does not fit, or with `strict`.

    >>> from retrograd import tensor
    >>> vjp(lambda x: x * x, tensor([1., 2.]), tensor([1., 10.]))
    (tensor([1., 4.]), tensor([ 2., 40.]))
    """
    several, given = as_tuple(inputs, "inputs", "vjp")
    with enable_grad():
        xs = prepared(given, create_graph)
        many, outputs = as_tuple(func(*xs), "outputs of the user-provided function", "vjp")
        found = pulled(outputs, xs, vector_for(v, outputs, "the user-provided function's output", "vjp"), create_graph, strict, "vjp")
    return like(many, finished(outputs, create_graph)), like(several, finished(found, create_graph))


def jvp(func: Function, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple[Any, Any]:
    """(func(inputs), J v): the result, and the product of the Jacobian with `v`, in forward mode.

    Args:
        v: of the inputs' form and shapes; may be left out for an input of one number.
        create_graph: record it, so that the product can be differentiated again.
        strict: raise if the result does not depend on the inputs, instead of zeros.

    Raises:
        TypeError: if something is no tensor.
        RuntimeError: if `v` does not fit, or with `strict`.

    >>> from retrograd import tensor
    >>> jvp(lambda x: x * x, tensor([1., 2.]), tensor([1., 10.]))
    (tensor([1., 4.]), tensor([ 2., 40.]))
    """
    _, given = as_tuple(inputs, "inputs", "jvp")
    vs = vector_for(v, given, "the input to the user-provided function", "jvp")
    with enable_grad():
        xs = prepared(given, create_graph)
        outputs, moved = pushed(func, xs, vs, strict=strict)
    many, ys = as_tuple(outputs, "outputs of the user-provided function", "jvp")
    _, ts = as_tuple(moved, "outputs", "jvp")
    return like(many, finished(ys, create_graph)), like(many, finished(ts, create_graph))


def jacobian(
    func: Function, inputs: Any, create_graph: bool = False, strict: bool = False, vectorize: bool = False, strategy: str = "reverse-mode"
) -> Any:
    """The Jacobian of `func`: for each output and each input a tensor of shape output shape + input shape.

    Args:
        create_graph: record it, so that it can be differentiated again.
        strict: raise if an output does not depend on an input, instead of zeros.
        vectorize: all rows in one pass (`vmap`), in place of one pass for each.
        strategy: "reverse-mode", or "forward-mode" (always in one pass).

    Returns:
        one tensor; a tuple, if `func` takes or returns tuples; a tuple of tuples [output][input], if both.

    Raises:
        TypeError: if something is no tensor.
        RuntimeError: with `strict`, or if that is combined with `vectorize`.

    >>> from retrograd import tensor
    >>> jacobian(lambda x: x * x, tensor([1., 2.]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    if strategy not in ("reverse-mode", "forward-mode"):
        raise AssertionError(f'Expected strategy to be either "forward-mode" or "reverse-mode". Got {strategy!r}.')
    if strict and (vectorize or strategy == "forward-mode"):
        raise RuntimeError(
            "torch.autograd.functional.jacobian: `strict=True` and `vectorize=True` (or forward mode) are not supported together."
        )
    several, given = as_tuple(inputs, "inputs", "jacobian")
    with enable_grad():
        xs = prepared(given, create_graph)
        if strategy == "forward-mode":
            blocks = jacfwd(
                lambda *args: as_tuple(func(*args), "outputs of the user-provided function", "jacobian")[1], tuple(range(len(xs)))
            )(*xs)
            many = isinstance(func(*xs), (tuple, list))
            rows = [finished(b, create_graph) for b in blocks]
        else:
            many, outputs = as_tuple(func(*xs), "outputs of the user-provided function", "jacobian")
            rows = [finished(rows_of(y, xs, create_graph, strict, vectorize), create_graph) for y in outputs]
    return like(many, [like(several, row) for row in rows])


def rows_of(y: Tensor, xs: Tensors, create_graph: bool, strict: bool, vectorize: bool) -> list[Tensor]:
    """The Jacobian of one output with respect to each input."""
    n = y.shape.numel()
    basis = constant(np.eye(n, dtype=y.dtype.numpy).reshape(n, *y.shape))
    if vectorize and n and y.requires_grad:
        found = grad(y, xs, basis, create_graph=create_graph, retain_graph=True, allow_unused=True, is_grads_batched=True)
        stacked = [constant(np.zeros((n, *x.shape), x.dtype.numpy)) if g is None else g for g, x in zip(found, xs, strict=True)]
    else:
        rows = [pulled((y,), xs, (basis[i],), create_graph, strict, "jacobian") for i in range(n)]
        stacked = [stack([row[i] for row in rows]) if rows else constant(np.zeros((0, *x.shape), x.dtype.numpy)) for i, x in enumerate(xs)]
    return [reshape_op(s, shape=(*y.shape, *x.shape)) for s, x in zip(stacked, xs, strict=True)]


def scalar_gradient(func: Function, function: str, strict: bool) -> Function:
    """The gradient of a function of one number, as a tuple, recorded. Raises RuntimeError if it returns anything else."""

    def gradient(*xs: Tensor) -> Tensors:
        many, outputs = as_tuple(func(*xs), "outputs of the user-provided function", function)
        if many or outputs[0].shape.numel() != 1:
            raise RuntimeError(f"The function given to {function} should return a single Tensor with a single element")
        one = constant(np.ones(outputs[0].shape, outputs[0].dtype.numpy))
        found = pulled(outputs, xs, (one,), True, strict, function)
        return tuple([g if g.requires_grad else g + x * 0 for g, x in zip(found, xs, strict=True)])

    return gradient


def hessian(
    func: Function,
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """The Hessian of a function that returns one number: for each two inputs a tensor of shape input shape + input shape.

    Args:
        See `jacobian`.

    Raises:
        RuntimeError: if `func` returns anything but one number.

    >>> from retrograd import tensor
    >>> hessian(lambda x: (x * x * x).sum(), tensor([1., 2.]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    several, given = as_tuple(inputs, "inputs", "hessian")
    blocks = jacobian(scalar_gradient(func, "hessian", strict), given, create_graph, False, vectorize, "reverse-mode")
    return like(several, [like(several, row) for row in blocks])


def hvp(func: Function, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple[Any, Any]:
    """(func(inputs), H v): the result, and the product of the Hessian with `v`. It is `vhp`, since the Hessian is symmetric.

    >>> from retrograd import tensor
    >>> hvp(lambda x: (x * x * x).sum(), tensor([1., 2.]), tensor([1., 1.]))
    (tensor(9.), tensor([ 6., 12.]))
    """
    return hessian_product("hvp", func, inputs, v, create_graph, strict)


def vhp(func: Function, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple[Any, Any]:
    """(func(inputs), vᵀ H): the result, and the product of `v` with the Hessian.

    Args:
        v: of the inputs' form and shapes; may be left out for an input of one number.

    Raises:
        RuntimeError: if `func` returns anything but one number, or `v` does not fit.

    >>> from retrograd import tensor
    >>> vhp(lambda x: (x * x * x).sum(), tensor([1., 2.]), tensor([1., 1.]))
    (tensor(9.), tensor([ 6., 12.]))
    """
    return hessian_product("vhp", func, inputs, v, create_graph, strict)


def hessian_product(function: str, func: Function, inputs: Any, v: Any, create_graph: bool, strict: bool) -> tuple[Any, Any]:
    """The result, and the gradient of the gradient's product with `v`."""
    several, given = as_tuple(inputs, "inputs", function)
    vs = vector_for(v, given, "the input to the user-provided function", function)
    value: list[Tensor] = []

    def kept(*xs: Tensor) -> Any:
        value[:] = [func(*xs)]
        return value[0]

    with enable_grad():
        xs = prepared(given, create_graph)
        gradient = scalar_gradient(kept, function, strict)(*xs)
        found = pulled(gradient, xs, vs, create_graph, strict, function)
    return finished(value, create_graph)[0], like(several, finished(found, create_graph))


__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]
