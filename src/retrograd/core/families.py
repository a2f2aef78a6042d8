"""Families of operations: what siblings share is stated here once.

    elementwise   a member states forward, derivative per operand, kernel
                  the family supplies vjp, jvp, un-broadcasting, promotion, batching
    linear        forward, transpose                 jvp = itself
    multilinear   forward, transpose per operand     jvp = f(da, b) + f(a, db)   (matmul, conv, einsum)
    view          a linear operation whose result shares its operand's memory
    reduction     forward, vjp, and how partial results combine
    opaque        every rule that it supports

Values are touched only through operators and a few methods (`sum`, `reshape`, `expand`, `to`), which `methods.py` attaches.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from retrograd import dtypes
from retrograd.config import settings
from retrograd.core.levels import local, observer, only_looked_at, switch
from retrograd.core.op import CONTINUOUS, FLOAT32, Entry, Op, Rule, needs, on_arrays
from retrograd.core.tape import Node, count, run_quietly, run_quietly_here, written
from retrograd.core.tensor import LEAF, Box, Tensor, View, current_node, owner
from retrograd.dtypes import dtype

Number = (int, float, complex, np.number, np.bool_)


def elementwise(forward: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Declares an operation on single elements, broadcast over its operands.

    Args:
        result: what dtype comes out. "promoted": the operands' common one; "floating": the same, integers becoming the
            default float; "bool": true or false.
        refuses: categories of dtype that raise RuntimeError ("bool", "integer", "floating", "complex").
        masks: operands that choose and take no part in promotion (the condition of `where`).
        tensors: operands that may not be numbers. By default one operand, whichever, must be a tensor.
        others: see `Op`.
    """
    if forward is None:
        return lambda f: Elementwise(f, **options).entry()
    return Elementwise(forward, **options).entry()


def linear(forward: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Declares an operation that is linear in its only operand; state its `transpose`."""
    if forward is None:
        return lambda f: Linear(f, **options).entry()
    return Linear(forward, **options).entry()


def multilinear(forward: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Declares an operation that is linear in each operand; state the `transpose` for each."""
    if forward is None:
        return lambda f: Multilinear(f, **options).entry()
    return Multilinear(forward, **options).entry()


def view(forward: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Declares a linear operation whose result is a view of its operand's memory."""
    if forward is None:
        return lambda f: ViewOp(f, **options).entry()
    return ViewOp(forward, **options).entry()


def reduction(forward: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Declares an operation that combines the elements along `dims`; `identity` is the result of none of them."""
    if forward is None:
        return lambda f: Reduction(f, **options).entry()
    return Reduction(forward, **options).entry()


def opaque(forward: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Declares an operation that states every rule it supports."""
    if forward is None:
        return lambda f: Op(f, **options).entry()
    return Op(forward, **options).entry()


# ---------------------------------------------------------------- elementwise


def unbroadcast(g: Any, shape: Sequence[int]) -> Any:
    """The transpose of broadcasting to `g`'s shape: sums over what was repeated. Stated once for the whole library."""
    if g.shape == shape:
        return g
    lead = len(g.shape) - len(shape)
    dims = tuple(range(lead)) + tuple(i + lead for i, n in enumerate(shape) if n == 1 and g.shape[i + lead] != 1)
    if isinstance(g, (ndarray, np.generic)):
        return np.add.reduce(g, dims).reshape(shape)
    return (g.sum(dims) if dims else g).reshape(tuple(shape))


class Elementwise(Op):
    """One element of the result depends on one element of each operand."""

    family = "elementwise"

    def __init__(
        self,
        forward: Callable[..., Any],
        *,
        result: str = "promoted",
        refuses: Sequence[str] = (),
        masks: Sequence[str] = (),
        tensors: Sequence[str] | None = None,
        **options: Any,
    ) -> None:
        self.masks = tuple(masks)
        self.tensors = tensors
        self.result = result
        self.refuses = tuple(("bool", "integer", "floating", "complex").index(r) for r in refuses)
        options.setdefault("differentiable", result != "bool")
        super().__init__(forward, **options)

    def derivative(self, operand: str) -> Callable[[Rule], Rule]:
        """Attaches the partial derivative for one operand.

        A rule that does not name `g` returns the derivative, by which cotangent and tangent are multiplied; one that names
        `g` returns the product itself (`where(input > 0, g, 0)`). The Jacobian is diagonal, so the rule serves both ways.
        """

        def decorate(rule: Rule) -> Rule:
            wanted = needs(rule)
            rule.__name__ = rule.__qualname__ = f"{self.name}.derivative[{operand}]"
            product = rule if "g" in wanted else multiplied(rule, wanted)
            vjp = product if len(self.operands) == 1 else summed_to_operand(product, f"{operand}_shape")
            if len(wanted) < 2 and "g" not in wanted:
                vjp.bind = bind_constant(rule()) if not wanted else bind_factor(rule)  # type: ignore[attr-defined]
            self.rules["vjp", operand] = vjp
            self.rules["jvp", operand] = along_tangent(product)
            return rule

        return decorate

    def prepare(self, args: Sequence[Any]) -> Sequence[Any]:
        """The operands as Tensors of the common dtype; Python numbers stay numbers where they change nothing."""
        args = super().prepare(args)
        common = self.common_dtype(args)
        self.check_category(common)
        compute = settings.default_dtype if self.result == "floating" and common.category < dtypes.FLOATING else common
        return [a if n in self.masks else cast_operand(a, compute) for n, a in zip(self.operands, args, strict=True)]

    def common_dtype(self, args: Sequence[Any]) -> dtype:
        """PyTorch's result type of the operands."""
        valued = [a for n, a in zip(self.operands, args, strict=True) if n not in self.masks]
        tensors = [(a.dtype, a.ndim > 0) for a in valued if isinstance(a, Tensor)]
        numbers = [a for a in valued if not isinstance(a, Tensor)]
        for name, a in zip(self.operands, args, strict=True):
            if not isinstance(a, Tensor) and (not isinstance(a, Number) or self.must_be_tensor(name, args)):
                raise TypeError(f"{self.name}(): argument '{name}' must be Tensor, not {type(a).__name__}")
        return dtypes.result_type(tensors, numbers, settings.default_dtype)

    def must_be_tensor(self, name: str, args: Sequence[Any]) -> bool:
        """Whether a number may not stand for the operand `name` of this call."""
        if self.tensors is None:
            return not any(isinstance(a, Tensor) for a in args)
        return name in self.tensors

    def check_category(self, common: dtype) -> None:
        """Raises for the categories that the operation refuses (NotImplementedError, a RuntimeError, as PyTorch does)."""
        if common.category in self.refuses:
            raise NotImplementedError(f"\"{self.name}\" not implemented for '{dtypes.scalar_name(common)}'")

    def vectorised(self, args: Sequence[Any], mapped: Sequence[bool], params: dict[str, Any]) -> Any:
        """The operation with a leading batch dim: mapped operands get dims of size 1 so that all others line up."""
        rank = max(len(a.shape) - m for a, m in zip(args, mapped, strict=True) if isinstance(a, Tensor))
        return self.call(*[align(a, rank) if m else a for a, m in zip(args, mapped, strict=True)], **params)

    def entry(self) -> Entry:
        """A quick entry for one and for two operands, the general one for more."""
        if self.metadata or self.optional or len(self.operands) > 2:
            return super().entry()
        return self.dress((make_unary if len(self.operands) == 1 else make_binary)(self))


def align(x: Any, rank: int) -> Any:
    """A batched operand with as many dims after the first as the result has."""
    missing = rank - (len(x.shape) - 1)
    return x.reshape((x.shape[0], *(1,) * missing, *x.shape[1:])) if missing else x


def cast_operand(a: Any, common: dtype) -> Any:
    """An operand in the common dtype; numbers as NumPy's weak scalars allow."""
    if isinstance(a, Tensor):
        return a if a.dtype is common else a.to(common)
    return number_as(a, common)


def number_as(value: Any, common: dtype) -> Any:
    """A number that NumPy will not let widen an array of the dtype."""
    if common.category == dtypes.FLOATING:
        return float(value)
    if common.category == dtypes.COMPLEX:
        return complex(value)
    if common.category == dtypes.BOOL:
        return bool(value)
    info = np.iinfo(common.numpy)
    value = int(value)
    if info.min <= value <= info.max:
        return value
    return (value - info.min) % (1 << info.bits) + info.min  # wraps round, as PyTorch's conversion does


def multiplied(rule: Rule, wanted: tuple[str, ...]) -> Rule:
    """From a derivative, its product with `g` (with its conjugate, for complex numbers: PyTorch's convention)."""
    if wanted:

        def product(g: Any, *known: Any) -> Any:
            return times(g, rule(*known))
    else:
        constant = rule()

        def product(g: Any, *known: Any) -> Any:
            return g if constant == 1 else -g if constant == -1 else g * constant

    product.needs = ("g", *wanted)  # type: ignore[attr-defined]
    return product


def times(g: Any, d: Any) -> Any:
    """A cotangent times a derivative."""
    if g.__class__ is ndarray and g.dtype.kind == "f":
        return np.multiply(g, d)
    return g * conj(d)


def conj(d: Any) -> Any:
    """The conjugate of a derivative, where it is complex."""
    if d.__class__ in REAL_SCALARS:
        return d
    if isinstance(d, Tensor):
        return d.conj() if d.dtype.is_complex else d
    return np.conj(d) if np.iscomplexobj(d) else d


def bind_constant(constant: Any) -> Any:
    """What `op.bind` makes of a constant derivative: a rule with fewer calls in it, for it runs at every step of a walk."""

    def bind(places: Sequence[int], arrays: bool) -> Any:
        at = places[-1] if places[-1] >= 0 else None

        def call(g: Any, facts: tuple[Any, ...]) -> Any:
            if constant != 1:
                g = -g if constant == -1 else g * constant
            shape = None if at is None else facts[at]
            return g if shape is None or g.shape == shape else unbroadcast(g, shape)

        call.unpacks = True  # type: ignore[attr-defined]
        return call

    return bind


def bind_factor(rule: Rule) -> Any:
    """The same for a derivative that is a function of one fact, or the fact itself."""
    is_fact = rule.__code__.co_code == (lambda fact: fact).__code__.co_code
    multiply = np.multiply

    def bind(places: Sequence[int], arrays: bool) -> Any:
        derivative = on_arrays(rule) if arrays else rule
        known = places[1]
        at = places[2] if len(places) == 3 else None

        def call(g: Any, facts: tuple[Any, ...]) -> Any:
            fact, kind = facts[known], g.__class__
            if kind is ndarray:
                d = fact if is_fact else derivative(fact)
                result = multiply(g, d) if g.dtype.kind == "f" else g * conj(d)
            else:  # a Tensor, or a NumPy scalar: with scalars, its arithmetic is far quicker
                if fact.__class__ is ndarray and not fact.ndim:
                    fact = fact[()]
                d = fact if is_fact else derivative(fact)
                result = g * d if kind is np.float32 else g * conj(d)
            shape = None if at is None else facts[at]
            return result if shape is None or result.shape == shape else unbroadcast(result, shape)

        call.unpacks = True  # type: ignore[attr-defined]
        return call

    return bind


REAL_SCALARS = frozenset((np.float32, np.float64, float, int))


def summed_to_operand(product: Rule, shape_name: str) -> Rule:
    """A vjp rule that undoes the operand's broadcasting: its last argument is the operand's shape, None for the result's."""
    wanted = needs(product)
    if shape_name in wanted:
        order = [n for n in wanted if n not in ("g", shape_name)]

        def vjp(g: Any, *known: Any) -> Any:
            named = dict(zip((*order, shape_name), known, strict=True), g=g)
            named[shape_name] = shape = g.shape if known[-1] is None else known[-1]
            result = product(*[named[n] for n in wanted])
            return result if result.shape == shape else unbroadcast(result, shape)
    else:
        order = [n for n in wanted if n != "g"]
        at = wanted.index("g")

        def vjp(g: Any, *known: Any) -> Any:
            shape = known[-1]
            result = product(*known[:at], g, *known[at:-1])
            return result if shape is None or result.shape == shape else unbroadcast(result, shape)

    vjp.needs = ("g", *order, shape_name)  # type: ignore[attr-defined]
    return vjp


def along_tangent(product: Rule) -> Rule:
    """The same product with the tangent in the cotangent's place.

    With complex numbers, the cotangent is multiplied by the derivative's conjugate and the tangent by the derivative itself:
    t d = conj(conj(t) conj(d)), for every function that has a complex derivative.
    """
    at = needs(product).index("g")

    def jvp(*known: Any) -> Any:
        if not any(getattr(getattr(k, "dtype", k), "is_complex", k.__class__ is complex) for k in known):
            return product(*known)
        return conj(product(*[conj(k) if i == at else k for i, k in enumerate(known)]))

    jvp.needs = tuple("t" if n == "g" else n for n in needs(product))  # type: ignore[attr-defined]
    return jvp


def plain_ufunc(op: Elementwise) -> Any:
    """The NumPy ufunc that a forward function hands its operands to, if that is all it does: `return np.tanh(input)`."""
    templates = (lambda a: np.abs(a), lambda a, b: np.add(a, b))
    code = op.forward.__code__
    if code.co_code != templates[len(op.operands) - 1].__code__.co_code or code.co_names[0] != "np":
        return None
    found = getattr(np, code.co_names[1], None)
    return found if isinstance(found, np.ufunc) else None


def plain_forwards(op: Elementwise) -> tuple[Callable[..., ndarray], Callable[..., ndarray]]:
    """The forward function for floating arrays that have dims, and for those that may have none: its result is an array even then."""
    ufunc, forward = plain_ufunc(op), op.forward

    def as_array(*operands: Any) -> Any:
        y = forward(*operands)
        return y if y.__class__ is ndarray else np.asarray(y)

    if ufunc is None:
        return as_array, as_array
    return ufunc, functools.partial(ufunc, out=...) if ELLIPSIS_OUT else as_array


ELLIPSIS_OUT = np.lib.NumpyVersion(np.__version__) >= "2.3.0"  # ufuncs take out=... to return arrays without dims

# Numbers that meet float arrays, as arrays without dims: NumPy takes twice as long over a Python number.
NUMBERS: dict[Any, dict[float, ndarray]] = {np.dtype(np.float32): {}, np.dtype(np.float64): {}}


def number_array(value: float, like: Any) -> Any:
    """A number as an array without dims of a dtype, kept for the next time."""
    table = NUMBERS.get(like)
    if table is None:
        return np.asarray(value, like)
    if len(table) > 1000:
        table.clear()
    array = np.asarray(value, like)
    array.flags.writeable = False
    if value != 0:  # 0.0 and -0.0 are one key
        table[value] = array
    return array


def make_unary(op: Elementwise) -> Any:
    """The quick entry of an elementwise operation on one operand: floating arrays, nothing unusual afoot."""
    raw, dispatch, plan_for = op.forward, op.dispatch, op.plan
    forward, forward_without_dims = plain_forwards(op)
    quick = op.result != "bool" and dtypes.FLOATING not in op.refuses
    new_tensor, new_node = Tensor.__new__, Node.__new__
    plan: Any = None

    def call(input: Any, *, out: Any = None) -> Any:
        nonlocal plan
        kind = input.__class__
        if kind is not Tensor and kind is not Box and local.raw:
            return raw(input)
        if out is not None:
            return write_out(out, call(input))
        special = switch.special
        if kind is not Tensor or not quick or (special and not only_looked_at()):
            return dispatch((input,), {})
        x = input._data
        if x.dtype.kind != "f":
            return dispatch((input,), {})
        node = input._node if input._base is None else current_node(input)
        f: Any = op.accelerated if x.size >= op.accelerated_from else forward if x.shape else forward_without_dims
        try:
            y = run_quietly(f, x)
        except RuntimeError:  # another thread is there
            y = run_quietly_here(f, x)
        result = new_tensor(Tensor)
        result._data = y
        result._node = result._grad = result._base = result._extra = None
        result._version = version = [0, None]
        if node is not None:
            if plan is None:
                plan = plan_for((True,))
            result._node = n = new_node(Node)
            n.plan = plan
            n.edges = (input if node is LEAF else node,)
            n.params = NO_PARAMS
            n.facts, n.versions = plan.keep(x, y, None, input._version, version)
            n.tensors = False
            n.hooks = n.metadata = None
            n.seq = count()
        if special:
            local.observer.ran(op, (input,), NO_PARAMS, (result,))  # type: ignore[union-attr]
        return result

    return call


def make_binary(op: Elementwise) -> Any:
    """The quick entry of an elementwise operation on two operands: floating arrays of one dtype, or one and a number."""
    raw, dispatch, plan_for = op.forward, op.dispatch, op.plan
    forward, forward_without_dims = plain_forwards(op)
    quick = op.result != "bool" and dtypes.FLOATING not in op.refuses
    first, second = op.operands
    takes_number = op.tensors is None or second not in op.tensors
    new_tensor, new_node = Tensor.__new__, Node.__new__
    plan_first: Any = None  # where a gradient is needed of the first operand only, of the second only, of both
    plan_second: Any = None
    plan_both: Any = None

    def first_plan(node0: Any, node1: Any) -> Any:
        nonlocal plan_first, plan_second, plan_both
        plan = plan_for((node0, node1))
        if node1 is None:
            plan_first = plan
        elif node0 is None:
            plan_second = plan
        else:
            plan_both = plan
        return plan

    def call(input: Any, other: Any, *, out: Any = None) -> Any:
        kind = input.__class__
        if kind is ndarray and local.raw:
            return raw(input, other)
        if out is not None:
            return write_out(out, call(input, other))
        special = switch.special
        if kind is not Tensor or not quick or (special and not only_looked_at()):
            return dispatch((input, other), {})
        x0 = input._data
        dtype = x0.dtype
        if dtype.kind != "f":
            return dispatch((input, other), {})
        node0 = input._node if input._base is None else current_node(input)
        kind = other.__class__
        if kind is Tensor:
            x1 = other._data
            if x1.dtype is not dtype:
                return dispatch((input, other), {})
            node1 = other._node if other._base is None else current_node(other)
            version1 = other._version
        elif (kind is float or kind is int) and takes_number:
            x1 = NUMBERS[dtype].get(other) if dtype is FLOAT32 else None
            if x1 is None:
                x1 = number_array(other, dtype)
            node1, version1 = None, NEVER_WRITTEN
        else:
            return dispatch((input, other), {})
        shape0 = x0.shape
        f = forward if shape0 else forward_without_dims
        try:
            try:
                y = run_quietly(f, x0, x1)
            except RuntimeError:  # another thread is there
                y = run_quietly_here(f, x0, x1)
        except ValueError:  # the shapes do not broadcast
            return explain_shapes(op, x0, x1)
        result = new_tensor(Tensor)
        result._data = y
        result._node = result._grad = result._base = result._extra = None
        result._version = version = [0, None]
        if node0 is not None or node1 is not None:
            plan = plan_first if node1 is None else plan_second if node0 is None else plan_both
            if plan is None:
                plan = first_plan(node0, node1)
            result._node = n = new_node(Node)
            n.plan = plan
            n.edges = (input if node0 is LEAF else node0, other if node1 is LEAF else node1)
            n.params = NO_PARAMS
            shape1 = x1.shape
            if shape0 == shape1:
                shape0 = shape1 = None  # tells the rules that nothing was broadcast
            n.facts, n.versions = plan.keep(x0, x1, y, shape0, shape1, input._version, version1, version)
            n.tensors = False
            n.hooks = n.metadata = None
            n.seq = count()
        if special:
            local.observer.ran(op, (input, other if kind is Tensor else float(other)), NO_PARAMS, (result,))  # type: ignore[union-attr]
        return result

    if (first, second) == ("input", "other"):
        return call

    def named(*args: Any, **kwargs: Any) -> Any:
        out = kwargs.pop("out", None)
        return call(*args, *[kwargs.pop(n) for n in (first, second)[len(args) :]], out=out, **kwargs)

    return named


NO_PARAMS: dict[str, Any] = {}
NEVER_WRITTEN: list[Any] = [0, None]  # the version counter of a number


def explain_shapes(op: Op, a: Any, b: Any) -> Any:
    """Raises: two shapes do not broadcast (or whatever else the operation complains of)."""
    shapes = np.shape(a), np.shape(b)
    rank = max(map(len, shapes))
    padded = [(1,) * (rank - len(s)) + s for s in shapes]
    for at in reversed(range(rank)):
        m, n = padded[0][at], padded[1][at]
        if m != n and 1 not in (m, n):
            raise RuntimeError(
                f"The size of tensor a ({m}) must match the size of tensor b ({n}) at non-singleton dimension {at}"
                f" (in {op.name} of shapes {list(shapes[0])} and {list(shapes[1])})"
            )
    return op.forward(a, b)


# ---------------------------------------------------------------- linear, multilinear, view, reduction


class Linear(Op):
    """Linear in its one operand."""

    family = "linear"

    def transpose(self, rule: Rule) -> Rule:
        """Attaches the transpose: from `g` to the operand's cotangent."""
        operand = self.operands[0]
        self.rules["jvp", operand] = self.along
        return self.attach("vjp", operand)(rule)

    @property
    def along(self) -> Rule:
        """The tangent goes through the operation itself."""

        def jvp(t: Any, *values: Any) -> Any:
            return self.call(t, **dict(zip(self.metadata, values, strict=True)))

        jvp.needs = ("t", *self.metadata)  # type: ignore[attr-defined]
        return jvp


class Multilinear(Op):
    """Linear in each operand."""

    family = "multilinear"

    def transpose(self, operand: str) -> Callable[[Rule], Rule]:
        """Attaches the transpose for one operand: from `g` (and the other operands) to its cotangent."""
        others = [o for o in self.operands if o != operand]

        def jvp(t: Any, *values: Any) -> Any:
            known = dict(zip((*others, *self.metadata), values, strict=True))
            args = [t if o == operand else known.pop(o) for o in self.operands]
            return self.call(*args, **known)

        jvp.needs = ("t", *others, *self.metadata)  # type: ignore[attr-defined]
        self.rules["jvp", operand] = jvp
        return self.attach("vjp", operand)


class Reduction(Linear):
    """Combines elements along `dims`. A linear one (sum) states a transpose; the others state `vjp` and `jvp`."""

    family = "reduction"


class ViewOp(Linear):
    """Shares its operand's memory; the result remembers whose, so that writes through it are differentiated."""

    family = "view"

    def eager(self, args: Sequence[Any], params: dict[str, Any]) -> Any:
        """The view (or views), tied to the tensor it is a view of."""
        out = super().eager(args, params)
        source = args[0]
        for which, one in enumerate(out) if self.many else ((None, out),):
            if shares_memory(one._data, source._data):
                tie(one, source, self, params, which)
        return out


def shares_memory(y: ndarray, x: ndarray) -> bool:
    """Whether a result is a view of the operand's memory: if it is, one's memory lies within the other's owner."""
    base = y.base
    if base is None:
        return y is x
    return base is x or base is x.base or bool(np.may_share_memory(x, y))


def tie(out: Tensor, source: Tensor, op: ViewOp, params: dict[str, Any], which: int | None = None) -> None:
    """Makes `out` a view of `source` (of its base, if `source` is a view itself)."""
    out._version = source._version
    link = ((op.call, params, which),)
    view = source._base
    no_grad = not local.grad
    if view is None:
        out._base = View(source, link, source._version[0], no_grad)
    else:
        out._base = View(view.base, view.chain + link, source._version[0], no_grad or view.made_under_no_grad)


# ---------------------------------------------------------------- out=


def check_overlap(target: Tensor) -> None:
    """Raises where several elements share memory (an expanded tensor)."""
    data = target._data
    if any(s == 0 and n > 1 for s, n in zip(data.strides, data.shape, strict=True)) and data.size:
        raise RuntimeError(
            "unsupported operation: more than one element of the written-to tensor refers to a single memory location. Please clone() the tensor before performing the operation."
        )


def write_out(out: Any, result: Any, *operands: Any) -> Any:
    """Stores a result in the tensor given as `out=`, resizing it as PyTorch does; it may not overlap with `operands`."""
    if not isinstance(out, Tensor):
        raise TypeError(f"argument 'out' must be Tensor, not {type(out).__name__}")
    if local.grad and (result.requires_grad or out.requires_grad):
        raise RuntimeError(
            "functions with out=... arguments don't support automatic differentiation, but one of the arguments requires grad."
        )
    if not dtypes.can_cast(result.dtype, out.dtype):
        raise RuntimeError(
            f"result type {dtypes.scalar_name(result.dtype)} can't be cast to the desired output type {dtypes.scalar_name(out.dtype)}"
        )
    check_overlap(out)
    for x in operands:
        if isinstance(x, Tensor) and (
            np.shares_memory(x._data, out._data) or (out.shape != result.shape and owner(x._data) is owner(out._data))
        ):
            raise RuntimeError(
                "unsupported operation: some elements of the input tensor and the written-to tensor refer to a single memory location. "
                "Please clone() the tensor before performing the operation."
            )
    watched = observer()
    if watched is not None and (out.shape != result.shape or out.dtype is not result.dtype):
        watched.refuse("a tensor given as out= changes its shape, or is of another dtype than the result")
    elif watched is not None:
        watched.wrote(out, result)
    if out.shape != result.shape:
        out._data = np.empty(result.shape, out._data.dtype)
    np.copyto(out._data, result._data, casting="unsafe")
    written(out)
    return out


__all__ = ["CONTINUOUS", "Box", "elementwise", "linear", "multilinear", "opaque", "reduction", "unbroadcast", "view", "write_out"]
