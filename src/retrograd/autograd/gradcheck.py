"""`gradcheck`: are a function's derivatives those that small differences show? And `gradgradcheck`, of the derivatives' own.

All is done in real coordinates, a complex number being two: with ⟨a, b⟩ = Re Σ conj(a) b, the Jacobian J of the real function and
the product g that backward gives for v satisfy ⟨v, J dx⟩ = ⟨g, dx⟩, whatever is complex. In full mode each entry of J is compared;
in fast mode one random product ⟨v, J u⟩ for each output and input.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from retrograd import dtypes
from retrograd.autograd.modes import enable_grad
from retrograd.autograd.reverse import grad
from retrograd.core.tensor import Tensor, wrap
from retrograd.func.transforms import jvp
from retrograd.ops.sample import fork_rng

Function = Callable[..., Any]


class GradcheckError(RuntimeError):
    """A derivative is not what differences show."""


# ---------------------------------------------------------------- real coordinates


def reals(array: ndarray) -> ndarray:
    """An array's numbers in a row, complex ones as two, in float64."""
    flat = np.ascontiguousarray(array).reshape(-1)
    return flat.view(flat.real.dtype).astype(np.float64) if flat.dtype.kind == "c" else flat.astype(np.float64)


def unreals(numbers: ndarray, like: Tensor) -> Tensor:
    """The tensor with these coordinates."""
    kind = like.dtype.numpy
    numbers = numbers.astype(like.dtype.to_real().numpy)
    return wrap(np.ascontiguousarray(numbers).view(kind).reshape(like.shape) if like.dtype.is_complex else numbers.reshape(like.shape))


def differentiable(tensors: Sequence[Any]) -> list[Tensor]:
    """Those that carry gradients."""
    return [t for t in tensors if isinstance(t, Tensor) and t.requires_grad]


def results(func: Function, inputs: Sequence[Any]) -> list[Tensor]:
    """What the function returns that can be differentiated."""
    found = func(*inputs)
    found = found if isinstance(found, (tuple, list)) else (found,)
    return [y for y in found if isinstance(y, Tensor) and (y.dtype.is_floating_point or y.dtype.is_complex)]


def moved(func: Function, inputs: Sequence[Any], x: Tensor, step: ndarray) -> list[ndarray]:
    """The results' coordinates with one input moved by `step` (in coordinates)."""
    before = x._data.copy()
    x._data[...] = unreals(reals(before) + step, x)._data
    try:
        with fork_rng():
            return [reals(y._data) for y in results(func, inputs)]
    finally:
        x._data[...] = before


def slopes(func: Function, inputs: Sequence[Any], x: Tensor, direction: ndarray, eps: float) -> list[ndarray]:
    """The central differences of all results along a direction."""
    up, down = (moved(func, inputs, x, sign * eps * direction) for sign in (1, -1))
    return [(a - b) / (2 * eps) for a, b in zip(up, down, strict=True)]


def backward_of(func: Function, inputs: Sequence[Any], which: int, v: ndarray) -> list[ndarray]:
    """What backward gives for each input, in coordinates, for one cotangent of one result."""
    with enable_grad(), fork_rng():
        y = results(func, inputs)[which]
        xs = differentiable(inputs)
        found: Any = grad(y, xs, unreals(v, y), allow_unused=True) if y.requires_grad else (None,) * len(xs)
    return [np.zeros(reals(x._data).size) if g is None else reals(g._data) for g, x in zip(found, xs, strict=True)]


# ---------------------------------------------------------------- the checks


def compare(numerical: ndarray, analytical: ndarray, atol: float, rtol: float, output: int, input: int, how: str) -> None:
    """Raises GradcheckError unless two arrays are close."""
    if not np.allclose(analytical, numerical, rtol, atol, equal_nan=True):
        far = float(np.max(np.abs(analytical - numerical)))
        raise GradcheckError(
            f"Jacobian mismatch for output {output} with respect to input {input}, {how} (largest difference {far:.3g}),\n"
            f"numerical:{wrap(numerical)!r}\nanalytical:{wrap(analytical)!r}\n"
        )


def check_inputs(inputs: Sequence[Any]) -> None:
    """Raises ValueError if nothing is to be differentiated; warns of low precision."""
    found = differentiable(inputs)
    if not found:
        raise ValueError("gradcheck expects at least one input tensor to require gradient, but none of them have requires_grad=True.")
    for i, x in enumerate(inputs):
        if isinstance(x, Tensor) and x.requires_grad:
            if x.dtype not in (dtypes.float64, dtypes.complex128):
                warnings.warn(
                    f"Input #{i} requires gradient and is not a double precision floating point or complex. This check will likely fail if all the inputs "
                    "are not of double precision floating point or complex. ", stacklevel=4,
                )  # fmt: skip
            if any(s == 0 and n > 1 for s, n in zip(x._data.strides, x.shape, strict=True)):
                raise RuntimeError(
                    f"The {i}th input has a dimension with stride 0. gradcheck only supports inputs that are non-overlapping to be able to compute the numerical gradients correctly. You should call .contiguous on the input before passing it to gradcheck."
                )


def check_backward(func: Function, inputs: Sequence[Any], eps: float, atol: float, rtol: float, fast: bool, nondet_tol: float) -> None:
    """Backward against differences."""
    xs, ys = differentiable(inputs), results(func, inputs)
    sizes = [reals(y._data).size for y in ys]
    rng = np.random.default_rng(0)
    for which, size in enumerate(sizes):
        vs = [rng.standard_normal(size)] if fast else list(np.eye(size))
        rows = [backward_of(func, inputs, which, v) for v in vs]
        for v, row in zip(vs, rows, strict=True):
            again = backward_of(func, inputs, which, v)
            if any(np.abs(a - b).max(initial=0.0) > nondet_tol for a, b in zip(row, again, strict=True)):
                raise GradcheckError(
                    f"Backward is not reentrant, i.e., running backward with same input and grad_output multiple times gives different values, although analytical gradient matches numerical gradient. The tolerance for nondeterminism was {nondet_tol}."
                )
        for at, x in enumerate(xs):
            n = reals(x._data).size
            directions = [rng.standard_normal(n)] if fast else list(np.eye(n))
            columns = [slopes(func, inputs, x, u, eps)[which] for u in directions]
            numerical = np.array([[v @ column for column in columns] for v in vs]).reshape(len(vs), len(directions))
            analytical = np.array([[row[at] @ u for u in directions] for row in rows]).reshape(len(vs), len(directions))
            if fast:  # errors of single entries add up in the product
                scale = np.sqrt(max(n * size, 1))
                compare(numerical, analytical, atol * scale, rtol, which, at, "a random product, fast mode")
            else:
                compare(numerical.T, analytical.T, atol, rtol, which, at, "backward")


def check_forward(func: Function, inputs: Sequence[Any], eps: float, atol: float, rtol: float) -> None:
    """Forward mode against differences along random directions."""
    rng = np.random.default_rng(1)
    places = [i for i, x in enumerate(inputs) if isinstance(x, Tensor) and x.requires_grad]
    for at, place in enumerate(places):
        x = inputs[place]
        u = rng.standard_normal(reals(x._data).size)

        def of_one(value: Tensor, place: int = place) -> Any:
            return tuple(results(func, [value if i == place else y for i, y in enumerate(inputs)]))

        with fork_rng():
            _, tangents = jvp(of_one, (x.detach(),), (unreals(u, x),))
        for which, (t, slope) in enumerate(zip(tangents, slopes(func, inputs, x, u, eps), strict=True)):
            compare(slope, reals(t._data), atol * np.sqrt(max(u.size, 1)), rtol, which, at, "forward mode")


def check_batched(func: Function, inputs: Sequence[Any], atol: float, rtol: float) -> None:
    """Backward for several cotangents at once, against one after the other."""
    rng = np.random.default_rng(2)
    xs = differentiable(inputs)
    for which, y in enumerate(results(func, inputs)):
        if not y.requires_grad:
            continue
        vs = [rng.standard_normal(reals(y._data).size) for _ in range(2)]
        stacked = wrap(np.stack([unreals(v, y)._data for v in vs]))
        found = grad(y, xs, stacked, allow_unused=True, is_grads_batched=True)
        for i, v in enumerate(vs):
            for at, (g, one) in enumerate(zip(found, backward_of(func, inputs, which, v), strict=True)):
                compare(one, np.zeros_like(one) if g is None else reals(g._data[i]), atol, rtol, which, at, "batched backward")


def gradcheck(
    func: Function, inputs: Any, *, eps: float = 1e-6, atol: float = 1e-5, rtol: float = 1e-3, raise_exception: bool = True,
    nondet_tol: float = 0.0, check_undefined_grad: bool = True, check_grad_dtypes: bool = False, check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False, check_forward_ad: bool = False, check_backward_ad: bool = True, fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:  # fmt: skip
    """Whether the gradients of `func` at `inputs` are those that central differences show.

    Args:
        inputs: a tensor or a tuple; those that require gradients, best float64 or complex128, are moved by `eps`.
        atol, rtol: how close analytical and numerical derivatives must be.
        raise_exception: raise where they are not, instead of returning False.
        nondet_tol: how far two runs of backward may differ.
        check_forward_ad: check forward mode too.
        check_batched_grad: check that several cotangents at once give what single ones do.
        fast_mode: compare one random product of each Jacobian, in place of all its entries.

    Raises:
        GradcheckError: (a RuntimeError) if a derivative is wrong.
        ValueError: if no input requires gradients.

    >>> from retrograd import float64, tensor
    >>> gradcheck(lambda x: x * x * x, tensor([1., 2.], dtype=float64, requires_grad=True))
    True
    """
    given = tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)
    if not (check_forward_ad or check_backward_ad):
        raise AssertionError("Expected at least one of check_forward_ad and check_backward_ad to be True")
    check_inputs(given)
    try:
        if check_backward_ad:
            check_backward(func, given, eps, atol, rtol, fast_mode, nondet_tol)
            if check_batched_grad:
                check_batched(func, given, atol, rtol)
        if check_forward_ad:
            check_forward(func, given, eps, atol, rtol)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(
    func: Function, inputs: Any, grad_outputs: Any = None, *, eps: float = 1e-6, atol: float = 1e-5, rtol: float = 1e-3,
    gen_non_contig_grad_outputs: bool = False, raise_exception: bool = True, nondet_tol: float = 0.0, check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False, check_batched_grad: bool = False, check_fwd_over_rev: bool = False, check_rev_over_rev: bool = True,
    fast_mode: bool = False, masked: bool = False,
) -> bool:  # fmt: skip
    """`gradcheck` of the gradients of `func`: are the gradients of the gradients right?

    Args:
        grad_outputs: the cotangents of the results; random ones if None.
        check_fwd_over_rev: check forward mode over backward too.

    Raises:
        GradcheckError: (a RuntimeError) if a derivative is wrong.

    >>> from retrograd import float64, tensor
    >>> gradgradcheck(lambda x: x * x * x, tensor([1., 2.], dtype=float64, requires_grad=True))
    True
    """
    given = tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)
    check_inputs(given)
    outputs = [y for y in results(func, given) if y.requires_grad]
    rng = np.random.default_rng(3)
    if grad_outputs is None:
        seeds: list[Any] = [unreals(rng.standard_normal(reals(y._data).size), y).requires_grad_() for y in outputs]
    else:
        seeds = list(grad_outputs) if isinstance(grad_outputs, (tuple, list)) else [grad_outputs]

    def gradients(*args: Any) -> tuple[Any, ...]:
        xs, gs = args[: len(given)], args[len(given) :]
        with enable_grad():
            xs = tuple(
                [x.detach().requires_grad_() if is_chosen and not x.requires_grad else x for x, is_chosen in zip(xs, chosen, strict=True)]
            )
            ys = [y for y in results(func, xs) if y.requires_grad]
            wanted = [x for x, is_chosen in zip(xs, chosen, strict=True) if is_chosen]
            found = grad(ys, wanted, gs, create_graph=True, allow_unused=True)
        return tuple([g for g in found if g is not None])

    chosen = [isinstance(x, Tensor) and x.requires_grad for x in given]
    return gradcheck(
        gradients, (*given, *seeds), eps=eps, atol=atol, rtol=rtol, raise_exception=raise_exception, nondet_tol=nondet_tol,
        check_batched_grad=check_batched_grad, check_forward_ad=check_fwd_over_rev, check_backward_ad=check_rev_over_rev, fast_mode=fast_mode,
    )  # fmt: skip


__all__ = ["GradcheckError", "gradcheck", "gradgradcheck"]
