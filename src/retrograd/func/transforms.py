"""The transforms of `retrograd.func` that differentiate: `vjp` and `jvp`, and the others in terms of them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from retrograd.autograd.batching import vmap
from retrograd.autograd.interpreters import Forward, Reverse, unboxed
from retrograd.autograd.interpreters.reverse import pull_edges, zeros_like
from retrograd.core.tensor import Tensor, constant
from retrograd.ops.basis import permute_op, reshape_op, slice_op
from retrograd.pytree import TreeSpec, tree_flatten, tree_leaves, tree_map, tree_unflatten

Argnums = int | tuple[int, ...]

# ---------------------------------------------------------------- arguments


def checked_argnums(argnums: Any, count: int) -> tuple[int, ...]:
    """Positions of the arguments to differentiate, counted from the front."""
    if not isinstance(argnums, (int, tuple)):
        raise RuntimeError(f"argnums must be int or Tuple[int, ...], got: {type(argnums)}")
    given = (argnums,) if isinstance(argnums, int) else argnums
    if not given:
        raise RuntimeError("argnums must be non-empty")
    for n in given:
        if not isinstance(n, int):
            raise RuntimeError(f"argnums must be int or tuple of ints, got an element of type {type(n)}")
        if not -count <= n < count:
            raise RuntimeError(f"Got argnum={n}, but only {count} positional inputs")
    wrapped = tuple(n % count for n in given)
    if len(set(wrapped)) != len(wrapped):
        raise RuntimeError(f"argnums elements must be unique, got {given}")
    return wrapped


def chosen(args: Sequence[Any], argnums: Argnums) -> Any:
    """The arguments to differentiate: one of them, or the tuple of several."""
    where = checked_argnums(argnums, len(args))
    return args[where[0]] if isinstance(argnums, int) else tuple(args[n] for n in where)


def replaced(args: Sequence[Any], argnums: Argnums, new: Any) -> list[Any]:
    """The arguments with the chosen ones exchanged."""
    where = checked_argnums(argnums, len(args))
    out = list(args)
    for n, x in zip(where, (new,) if isinstance(argnums, int) else new, strict=True):
        out[n] = x
    return out


def check_tensors(tree: Any) -> None:
    """Raises ValueError unless all leaves are tensors."""
    for x in tree_leaves(tree):
        if not isinstance(x, Tensor):
            raise ValueError(f"Thing passed to transform API must be Tensor, got {type(x)}")


def with_aux(result: Any, has_aux: bool, what: str) -> tuple[Any, Any]:
    """What a function returned, and what it returned besides."""
    if not has_aux:
        return result, None
    if not (isinstance(result, tuple) and len(result) == 2):
        raise RuntimeError(f"{what}: output of function f should be a tuple: (output, aux) if has_aux is True")
    return result


# ---------------------------------------------------------------- reverse mode


def vjp(func: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """The result of `func(*primals)`, and the function that takes cotangents of the result to those of the primals.

    Args:
        func: of tensors, or nested structures of them.
        has_aux: `func` returns (output, aux), and aux is not differentiated.

    Returns:
        (output, vjp_fn), or (output, vjp_fn, aux). `vjp_fn(*cotangents)` takes cotangents structured as the output, and
        returns a tuple with one cotangent per primal. It may be called repeatedly.

    Raises:
        RuntimeError: if something other than a tensor is to be differentiated, or cotangents do not fit.

    >>> from retrograd import tensor
    >>> y, pull = vjp(lambda x: x * x, tensor([1., 2.]))
    >>> pull(tensor([1., 10.]))
    (tensor([ 2., 40.]),)
    """
    check_tensors(primals)
    reverse = Reverse()
    with reverse.running():
        leaves, spec = tree_flatten(primals)
        inputs = [reverse.leaf(x) for x in leaves]
        output, aux = with_aux(func(*tree_unflatten(inputs, spec)), has_aux, "vjp(f, *primals)")
        outs, out_spec = tree_flatten(output)
        check_outputs(outs, "vjp(f, *primals)")
        roots = [reverse.edge(y) for y in outs]
    output, aux = unboxed(reverse, output), unboxed(reverse, aux)
    values = tree_leaves(output)

    def pull(*cotangents: Any, retain_graph: bool = True, create_graph: bool | None = None) -> Any:
        given = cotangents[0] if len(cotangents) == 1 and out_spec.type is None else cotangents
        if len(cotangents) == 1 and out_spec.type is not None and tree_flatten(cotangents[0])[1] == out_spec:
            given = cotangents[0]
        seeds, given_spec = tree_flatten(given)
        if given_spec != out_spec:
            raise RuntimeError(
                f"Expected pytree structure of cotangents to be the same as pytree structure of outputs to the function. cotangents: {given_spec}, primal output: {out_spec}"
            )
        for g, y in zip(seeds, values, strict=True):
            check_cotangent(g, y)
        return tree_unflatten(pull_edges(roots, seeds, inputs, keep=retain_graph), spec)

    return (output, pull, aux) if has_aux else (output, pull)


def check_outputs(outs: Sequence[Any], what: str) -> None:
    """Raises RuntimeError unless a function returned tensors only."""
    if not outs:
        raise RuntimeError(f"{what}: Expected f to be a function that has non-empty output (got output = [])")
    for y in outs:
        if not isinstance(y, Tensor):
            raise RuntimeError(f"{what}: expected f(*primals) to return only tensors, got unsupported type {type(y)}")


def check_cotangent(g: Any, y: Tensor) -> None:
    """Raises unless a cotangent fits its output."""
    if not isinstance(g, Tensor):
        raise RuntimeError(f"vjp: expected cotangents to be Tensors, got {type(g).__name__}")
    if g.shape != y.shape:
        raise RuntimeError(f"Mismatch in shape: grad_output[0] has a shape of {g.shape} and output[0] has a shape of {y.shape}.")


def grad(func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that returns the gradient of `func`, whose result must be a scalar.

    Args:
        argnums: the position of the argument to differentiate with respect to, or a tuple of several.
        has_aux: `func` returns (output, aux); the gradient function then returns (gradient, aux).

    Raises:
        RuntimeError: if `func` does not return a tensor without dims.

    >>> from retrograd import tensor
    >>> grad(grad(lambda x: x * x * x))(tensor(2.))
    tensor(12.)
    """

    @functools.wraps(func)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        result = grad_and_value(func, argnums, has_aux)(*args, **kwargs)
        return (result[0], result[1][1]) if has_aux else result[0]

    return gradient


def grad_and_value(func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that returns (gradient, value) of `func`: see `grad`. With `has_aux`, (gradient, (value, aux)).

    >>> from retrograd import tensor
    >>> grad_and_value(lambda x: x * x)(tensor(3.))
    (tensor(6.), tensor(9.))
    """

    @functools.wraps(func)
    def gradient_and_value(*args: Any, **kwargs: Any) -> Any:
        reverse = Reverse()
        with reverse.running():
            wanted = chosen(args, argnums)
            check_tensors(wanted)
            leaves, spec = tree_flatten(wanted)
            inputs = [reverse.leaf(x) for x in leaves]
            boxed = replaced([tree_map(lambda x: x, a) for a in args], argnums, tree_unflatten(inputs, spec))
            output, aux = with_aux(func(*boxed, **kwargs), has_aux, "grad_and_value(f)(*args)")
            check_scalar(output)
            root = reverse.edge(output)
        output, aux = unboxed(reverse, output), unboxed(reverse, aux)
        one = constant(np.ones((), output.dtype.numpy))
        gradient = tree_unflatten(pull_edges([root], [one], inputs), spec)
        return (gradient, (output, aux)) if has_aux else (gradient, output)

    return gradient_and_value


def check_scalar(output: Any) -> None:
    """Raises RuntimeError unless a function returned a tensor without dims."""
    if not isinstance(output, Tensor):
        raise RuntimeError(f"grad_and_value(f)(*args): Expected f(*args) to return a Tensor, got {type(output)}")
    if output.ndim:
        raise RuntimeError(
            f"grad_and_value(f)(*args): Expected f(*args) to return a scalar Tensor, got tensor with {output.ndim} dims. Maybe you wanted to use the vjp or jacrev APIs instead?"
        )
    if not (output.dtype.is_floating_point or output.dtype.is_complex):
        raise RuntimeError(f"grad can be implicitly created only for real scalar outputs but got {output.dtype}")


# ---------------------------------------------------------------- forward mode


def jvp(func: Callable[..., Any], primals: Any, tangents: Any, *, strict: bool = False, has_aux: bool = False) -> Any:
    """The result of `func(*primals)` and its derivative in the direction `tangents`: (output, tangent), or (..., aux).

    Args:
        primals, tangents: tuples of the same structure.
        strict: raise if the output does not depend on the primals, instead of zeros.

    Raises:
        RuntimeError: if primals and tangents differ in structure or shape.
        ValueError: if something is not a tensor.

    >>> from retrograd import tensor
    >>> jvp(lambda x: x * x, (tensor(3.),), (tensor(1.),))
    (tensor(9.), tensor(6.))
    """
    if not isinstance(primals, tuple):
        raise RuntimeError(
            f"jvp(f, primals, tangents): Expected primals to be a tuple. E.g. it should be valid to call f(*primals). Got {type(primals).__name__}"
        )
    leaves, spec = tree_flatten(primals)
    moves, tangent_spec = tree_flatten(tangents)
    if tangent_spec != spec:
        raise RuntimeError("jvp(f, primals, tangents): Expected primals and tangents to have the same python structure.")
    if not leaves:
        raise RuntimeError("jvp(f, primals, tangents): Expected primals to contain at least one Tensor")
    check_tensors(primals)
    check_tensors(tangents)
    for x, t in zip(leaves, moves, strict=True):
        if x.shape != t.shape:
            raise RuntimeError(
                "Trying to set a forward gradient that has a different size than that of the original Tensor, this is not "
                f"supported. Tensor is of size {list(x.shape)} while the given forward gradient is of size {list(t.shape)}."
            )
    forward = Forward()
    with forward.running():
        duals = [forward.box(x, t) for x, t in zip(leaves, moves, strict=True)]
        output, aux = with_aux(func(*tree_unflatten(duals, spec)), has_aux, "jvp")
        outs, out_spec = tree_flatten(output)
        check_outputs(outs, "jvp(f, primals, tangents)")
        found = [forward.tangent(y) for y in outs]
        if strict and any(t is None for t in found):
            raise RuntimeError(
                "jvp(f, primals, tangents, strict=True): The output of f is independent of the inputs. This is not allowed with strict=True."
            )
    output, aux = unboxed(forward, output), unboxed(forward, aux)
    tangent = tree_unflatten([zeros_like(y) if t is None else t for y, t in zip(tree_leaves(output), found, strict=True)], out_spec)
    return (output, tangent, aux) if has_aux else (output, tangent)


def linearize(func: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[..., Any]]:
    """The result of `func(*primals)`, and its linear approximation there: a function from tangents to the output's tangent.

    >>> from retrograd import tensor
    >>> y, push = linearize(lambda x: x * x, tensor(3.))
    >>> y, push(tensor(1.)), push(tensor(2.))
    (tensor(9.), tensor(6.), tensor(12.))
    """
    output, pull = vjp(func, *primals)
    spec = tree_flatten(output)[1]
    shapes = [x.shape for x in tree_leaves(primals)]
    _, transposed = vjp(pull, *([zeros_like(output)] if spec.type is None else tree_map(zeros_like, tuple(output))))

    def push(*tangents: Any) -> Any:
        if tree_flatten(tangents)[1] != tree_flatten(primals)[1]:
            raise RuntimeError("linearize: Expected the tangents to have the same structure as the primals")
        for t, shape in zip(tree_leaves(tangents), shapes, strict=True):
            if t.shape != shape:
                raise RuntimeError(f"linearize: tangent with shape {t.shape} doesn't match the shape {shape} of the corresponding primal.")
        moved = transposed(tangents)
        return moved[0] if spec.type is None else tree_unflatten(tree_leaves(moved), spec)

    return output, push


# ---------------------------------------------------------------- Jacobians


def standard_basis(leaves: Sequence[Tensor]) -> list[Tensor]:
    """For every tensor, a matrix of as many rows as all have elements: together each row is one standard basis vector."""
    counts = [int(np.prod(x.shape, dtype=np.int64)) for x in leaves]
    total = sum(counts)
    basis, start = [], 0
    for x, n in zip(leaves, counts, strict=True):
        block = np.eye(total, n, -start, dtype=x.dtype.numpy)
        basis.append(constant(block.reshape((total, *x.shape))))
        start += n
    return basis


def split_rows(stacked: Tensor, leaves: Sequence[Tensor]) -> list[Tensor]:
    """The rows that belong to each tensor's elements, in its shape."""
    out, start = [], 0
    for x in leaves:
        n = int(np.prod(x.shape, dtype=np.int64))
        rows = slice_op(stacked, dim=0, start=start, end=start + n, step=1)
        out.append(reshape_op(rows, shape=(*x.shape, *stacked.shape[1:])))
        start += n
    return out


def jacrev(
    func: Callable[..., Any],
    argnums: Argnums = 0,
    *,
    has_aux: bool = False,
    chunk_size: int | None = None,
    _preallocate_and_copy: bool = False,
) -> Callable[..., Any]:
    """A function that returns the Jacobian of `func`, row by row in reverse mode: best where there are fewer outputs than inputs.

    Args:
        argnums: which arguments to differentiate with respect to.
        has_aux: `func` returns (output, aux); then (Jacobian, aux) is returned.
        chunk_size: so many rows at once; all if None.

    Returns:
        In the structure of the output, and within it of the arguments chosen, tensors of shape output shape + input shape.

    >>> from retrograd import tensor
    >>> jacrev(lambda x: x * x)(tensor([1., 2.]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    if chunk_size is not None and not (chunk_size > 0):
        raise ValueError("jacrev: `chunk_size` should be greater than 0.")

    @functools.wraps(func)
    def jacobian(*args: Any, **kwargs: Any) -> Any:
        wanted = chosen(args, argnums)
        check_tensors(wanted)

        def of_chosen(new: Any) -> Any:
            return func(*replaced(args, argnums, new), **kwargs)

        found = vjp(of_chosen, wanted, has_aux=has_aux)
        output, pull = found[:2]
        outs, out_spec = tree_flatten(output)
        basis = standard_basis(outs)
        rows = vmap(lambda *seeds: pull(tree_unflatten(seeds, out_spec))[0], chunk_size=chunk_size)(*basis)
        leaves, spec = tree_flatten(rows)
        blocks = [split_rows(stacked, outs) for stacked in leaves]  # one list per input, of one block per output
        trees = [tree_unflatten([b[i] for b in blocks], spec) for i in range(len(outs))]
        result = nested(trees, out_spec)
        return (result, found[2]) if has_aux else result

    return jacobian


def nested(trees: Sequence[Any], spec: TreeSpec) -> Any:
    """A structure whose leaves are trees themselves."""
    return tree_unflatten(trees, spec)


def jacfwd(func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False, *, randomness: str = "error") -> Callable[..., Any]:
    """A function that returns the Jacobian of `func`, column by column in forward mode: best where there are fewer inputs than outputs.

    Arguments and result are those of `jacrev`; `randomness` is that of `vmap`.

    >>> from retrograd import tensor
    >>> jacfwd(lambda x: x * x)(tensor([1., 2.]))
    tensor([[2., 0.],
            [0., 4.]])
    """

    @functools.wraps(func)
    def jacobian(*args: Any, **kwargs: Any) -> Any:
        wanted = chosen(args, argnums)
        check_tensors(wanted)
        leaves, spec = tree_flatten(wanted)

        def of_chosen(new: Any) -> Any:
            return func(*replaced(args, argnums, new), **kwargs)

        def push(*tangents: Tensor) -> Any:
            found = jvp(of_chosen, (wanted,), (tree_unflatten(tangents, spec),), has_aux=has_aux)
            return (found[1], found[2]) if has_aux else found[1]

        columns = vmap(push, out_dims=(0, None) if has_aux else 0, randomness=randomness)(*standard_basis(leaves))
        columns, aux = columns if has_aux else (columns, None)
        outs, out_spec = tree_flatten(columns)
        trees = [
            tree_unflatten([to_back(b, x.ndim) for b, x in zip(split_rows(stacked, leaves), leaves, strict=True)], spec) for stacked in outs
        ]
        result = nested(trees, out_spec)
        return (result, aux) if has_aux else result

    return jacobian


def to_back(block: Tensor, n: int) -> Tensor:
    """The tensor with its first `n` dims last."""
    return permute_op(block, dims=(*range(n, block.ndim), *range(n))) if n and n < block.ndim else block


def hessian(func: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]:
    """A function that returns the Hessian of `func`: the Jacobian, in forward mode, of its gradient in reverse mode.

    >>> from retrograd import tensor
    >>> hessian(lambda x: (x * x * x).sum())(tensor([1., 2.]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    return jacfwd(jacrev(func, argnums), argnums)


def functionalize(func: Callable[..., Any], *, remove: str = "mutations") -> Callable[..., Any]:
    """`func` itself, with the same results: in-place operations are handled by the transforms, so nothing need be removed.

    Raises:
        RuntimeError: if `remove` is neither "mutations" nor "mutations_and_views".
    """
    if remove not in ("mutations", "mutations_and_views"):
        raise RuntimeError(f"functionalize(f, remove={remove!r}): remove must be one of 'mutations', 'mutations_and_views'")

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return func(*args, **kwargs)

    return wrapped
