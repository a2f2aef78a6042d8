"""Operations of the user's own: `Function`, with a forward and a backward written by hand.

Its context is its node on the tape, as in PyTorch: what `forward` puts on `ctx`, `backward` finds there.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from retrograd.autograd.modes import no_grad
from retrograd.core.levels import local, observer, switch, unwatched
from retrograd.core.op import CONTINUOUS, Op
from retrograd.core.tape import Node, Port, check_writable, count, edge_of, fit, rebase, rules_on_tensors, type_name
from retrograd.core.tensor import Box, Tensor, View, constant, wrap
from retrograd.ops.basis import unbroadcast
from retrograd.ops.sample import fork_rng
from retrograd.pytree import tree_leaves

FREED = (
    "Trying to backward through the graph a second time (or directly access saved tensors after they have already been freed). "
    "Saved intermediate values of the graph are freed when you call .backward() or autograd.grad(). Specify retain_graph=True if "
    "you need to backward through the graph a second time or if you need to access saved tensors after calling backward."
)


class Saved:
    """A tensor kept for the backward pass, so that it can be checked and does not keep the node alive that keeps it."""

    __slots__ = ("counter", "data", "index", "packed", "tensor", "version")

    def __init__(self, tensor: Tensor, index: int | None) -> None:
        self.counter, self.version = tensor._version, tensor._version[0]
        self.index = index  # which output it is, if it is one
        self.data = tensor._data if index is not None else None
        self.tensor = tensor if index is None else None
        self.packed: Any = None
        if local.saved_hooks:
            pack, unpack = local.saved_hooks[-1]
            self.packed = unpack, pack(wrap(tensor._data)), None if index is not None else edge_of(tensor)
            self.tensor = self.data = None

    def get(self, node: FunctionCtx) -> Tensor:
        """The tensor with its history. Raises RuntimeError if it was written to."""
        if self.packed is not None:
            unpack, packed, edge = self.packed
            value = unpack(packed)
            if self.index is None:
                return edge if isinstance(edge, Tensor) else wrap(value._data, edge)
            return wrap(value._data, node.port(self.index))
        if self.counter[0] != self.version:
            shown = self.data if self.tensor is None else self.tensor
            raise RuntimeError(
                "one of the variables needed for gradient computation has been modified by an inplace operation: "
                f"[{type_name(shown)} {list(np.shape(shown))}], saved by {node.name()}, is at version {self.counter[0]}; expected version "  # type: ignore[arg-type]
                f"{self.version} instead. Hint: enable anomaly detection to find the operation that failed to compute its gradient, "
                "with torch.autograd.set_detect_anomaly(True)."
            )
        if self.tensor is not None:
            return self.tensor
        assert self.index is not None
        out = wrap(self.data, node.port(self.index))
        out._version = self.counter
        return out


class FunctionCtx(Node):
    """What `forward` leaves for `backward`: tensors by `save_for_backward`, anything else as attributes."""

    _forward_cls: Any = None

    def __init__(self) -> None:
        self.edges, self.facts, self.versions, self.params = (), (), (), {}
        self.tensors, self.hooks, self.metadata, self.seq = False, None, None, count()
        self.to_save: tuple[Any, ...] | None = ()
        self.for_forward: tuple[Any, ...] = ()
        self.dirty: tuple[Tensor, ...] = ()
        self.non_differentiable: tuple[Any, ...] = ()
        self.materialize_grads = True
        self.needs_input_grad: tuple[bool, ...] = ()
        self._saved: list[Saved | None] | None = None
        self._count = 1
        self._shapes: list[Any] = []
        self._inputs: list[Any] = []

    # -------------------------------------------------------- what forward calls

    def save_for_backward(self, *tensors: Any) -> None:
        """Keeps tensors (inputs, outputs, or others) for `backward`, where they are `ctx.saved_tensors`."""
        self.to_save = tensors

    def save_for_forward(self, *tensors: Any) -> None:
        """Keeps tensors for `jvp`, where they are `ctx.saved_tensors`."""
        for i, x in enumerate(tensors):
            if x is not None and not isinstance(x, Tensor):
                raise TypeError(f"save_for_forward expects all arguments to be tensors; argument {i} is of type {type(x)}")
        self.for_forward = tensors

    def mark_dirty(self, *args: Tensor) -> None:
        """Declares inputs that `forward` modified in place; they must be among its outputs."""
        self.dirty = args

    def mark_non_differentiable(self, *args: Any) -> None:
        """Declares outputs that have no gradient."""
        self.non_differentiable = args

    def set_materialize_grads(self, value: bool) -> None:
        """Whether `backward` gets zeros (the default), or None, for outputs that nothing used."""
        self.materialize_grads = value

    def mark_shared_storage(self, *pairs: Any) -> None:
        """Does nothing: shared memory is noticed without."""

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """The tensors that were saved. Raises RuntimeError if they were freed, or modified since."""
        if self._saved is None:
            if self.to_save is None:
                raise RuntimeError(FREED)
            return self.to_save or self.for_forward
        return tuple(s if s is None else s.get(self) for s in self._saved)

    # -------------------------------------------------------- the node

    @property
    def outputs(self) -> int:
        """How many outputs the function has."""
        return self._count

    def name(self) -> str:
        """The function's name and Backward."""
        return f"{self._forward_cls.__name__}Backward"

    def port(self, index: int) -> Any:
        """What stands for one output on the tape."""
        return self if self._count == 1 else Port(self, index)

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        """(node, output number) for every input that is a tensor."""
        found = Node.next_functions.fget(self)  # type: ignore[attr-defined]
        return tuple(f for f, kind in zip(found, self._inputs, strict=True) if kind is not None)

    def keep(self, outs: Sequence[Any]) -> None:
        """Takes what was to be saved into the node's keeping."""
        for i, x in enumerate(self.to_save or ()):
            if x is not None and not isinstance(x, Tensor):
                raise TypeError(f"save_for_backward can only save variables, but argument {i} is of type {type(x).__name__}")
        where = {id(y): i for i, y in enumerate(outs)}
        self._saved = [None if x is None else Saved(x, where.get(id(x))) for x in self.to_save or ()]
        self.to_save = ()

    def free(self) -> None:
        """Forgets what was saved."""
        if self._saved:
            self._saved = self.to_save = None

    def saved_arrays(self) -> tuple[Any, ...] | None:
        """The numbers of what was saved; None if they are not to be had: freed, packed by hooks, or written over."""
        saved = self._saved
        if saved is None or any(s is not None and (s.packed is not None or s.counter[0] != s.version) for s in saved):
            return None
        return tuple(None if s is None else s.data if s.tensor is None else s.tensor._data for s in saved)

    def recalling(self, arrays: Sequence[Any]) -> FunctionCtx:
        """Itself, with other numbers saved: `pull` then calls the user's backward on these."""
        node = copy.copy(self)
        node._saved = [None if x is None else Saved(wrap(x), None) for x in arrays]
        node.hooks = None
        return node

    def forward_again(self, args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """What the user's forward gives for other arguments. Nothing is recorded; random numbers are drawn as if nothing had been."""
        cls, ctx = self._forward_cls, type(self)()
        with no_grad(), unwatched(), fork_rng():
            result = cls.forward(*args, **kwargs) if has_setup(cls) else cls.forward(ctx, *args, **kwargs)
        return result if isinstance(result, tuple) else (result,)

    def pull(self, g: Any, as_tensors: bool) -> list[Any]:
        """Calls the user's backward."""
        as_tensors = as_tensors or self.tensors
        gs = [self.cotangent(x, i, as_tensors) for i, x in enumerate(g if g.__class__ is list else [g])]
        recorded = as_tensors and local.grad
        with rules_on_tensors(recorded):
            result = backward_of(self._forward_cls)(self, *gs)
            result = result if isinstance(result, (tuple, list)) else (result,)
            found = self.checked(result)
        return found if as_tensors else [None if x is None else x._data for x in found]

    def cotangent(self, g: Any, index: int, as_tensors: bool) -> Any:
        """One output's cotangent as a tensor."""
        if g is not None:
            return g if as_tensors else wrap(g)
        like = self._shapes[index]
        return constant(np.zeros(*like)) if self.materialize_grads and like is not None else None

    def checked(self, result: Sequence[Any]) -> list[Any]:
        """What `backward` returned, one tensor or None for each input, of its shape and dtype."""
        n = len(self.edges)
        if len(result) > n and all(x is None for x in result[n:]):
            result = result[:n]
        if len(result) != n:
            raise RuntimeError(f"function {self.name()} returned an incorrect number of gradients (expected {n}, got {len(result)})")
        out: list[Any] = []
        for i, (g, edge, kind) in enumerate(zip(result, self.edges, self._inputs, strict=True)):
            if g is not None and kind is None:
                raise RuntimeError(
                    f"function {self.name()} returned a gradient different from None at position {i + 1}, but the corresponding forward input was not a Variable"
                )
            if g is None or edge is None:
                out.append(None)
                continue
            if not isinstance(g, Tensor):
                raise TypeError(f"expected Variable or None (got {type(g).__name__})")
            shape, dtype = kind
            if g.shape != shape:
                if not expands(shape, g.shape):
                    raise RuntimeError(
                        f"Function {self.name()} returned an invalid gradient at index {i} - got {list(g.shape)} but expected shape compatible with {list(shape)}"
                    )
                g = unbroadcast(g, shape)
            out.append(fit(g, wrap(np.empty(shape, dtype))) if g.dtype.numpy != dtype else g)
        return out


BackwardCFunction = FunctionCtx


def expands(shape: Sequence[int], to: Sequence[int]) -> bool:
    """Whether a shape broadcasts to another."""
    return len(shape) <= len(to) and all(n in (1, m) for n, m in zip(reversed(shape), reversed(to), strict=False))


def backward_of(cls: Any) -> Callable[..., Any]:
    """The function's backward, which may be called vjp."""
    if cls.backward is not Function.backward and cls.vjp is not Function.vjp:
        raise RuntimeError(
            "Implementing both 'backward' and 'vjp' for a custom Function is not allowed. You should only implement one of them."
        )
    return cls.vjp if cls.backward is Function.backward else cls.backward


class Function:
    """An operation with a derivative of its own. Subclass it, with static methods; call it with `apply`.

    `forward(ctx, *args)` computes the result and says on `ctx` what to save, or `forward(*args)` computes it and
    `setup_context(ctx, inputs, output)` says what to save; only with the latter can function transforms go through it.
    `backward(ctx, *cotangents)` returns one cotangent (or None) per argument. `jvp(ctx, *tangents)` serves forward mode, and
    `vmap(info, in_dims, *args)`, returning (output, out_dims), serves `vmap`; with `generate_vmap_rule = True` it is generated.

    >>> from retrograd import tensor
    >>> class Square(Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x * x
    ...     @staticmethod
    ...     def backward(ctx, g):
    ...         (x,) = ctx.saved_tensors
    ...         return 2 * x * g
    >>> x = tensor(3., requires_grad=True)
    >>> Square.apply(x).backward()
    >>> x.grad
    tensor(6.)
    """

    generate_vmap_rule = False
    _context: type[FunctionCtx] = FunctionCtx

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._context = type(f"{cls.__name__}Backward", (FunctionCtx,), {"_forward_cls": cls, "__module__": cls.__module__})

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise RuntimeError(
            f"{type(self)} should not be instantiated. Methods on autograd functions are all static, so you should invoke them on the class itself: {type(self).__name__}.apply(...)"
        )

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """The operation: `forward(ctx, *args)`, or without `ctx` if there is a `setup_context`."""
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> Any:
        """Says what to save."""
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """From the cotangents of the outputs, those of the inputs."""
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom autograd.Function to use it with backward mode AD."
        )

    vjp = backward

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Any:
        """From the tangents of the inputs, those of the outputs."""
        raise NotImplementedError("You must implement the jvp function for custom autograd.Function to use it with forward mode AD.")

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *args: Any) -> Any:
        """The operation on batches: returns (output, out_dims)."""
        raise NotImplementedError(
            "To use autograd.Function with vmap, you must either override the vmap staticmethod or set generate_vmap_rule=True."
        )

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Runs the operation and records it.

        Raises:
            RuntimeError: inside a function transform, if there is no `setup_context`.
        """
        if switch.special:
            interpreter = Op.interpreter(tree_leaves(args))
            if interpreter is not None and hasattr(interpreter, "process_function"):
                if not has_setup(cls) and interpreter.strict_functions:  # type: ignore[attr-defined]
                    raise RuntimeError(
                        "In order to use an autograd.Function with functorch transforms (vmap, grad, jvp, jacrev, ...), it must "
                        "override the setup_context staticmethod: write forward(*args) without ctx, and save tensors in setup_context(ctx, inputs, output)."
                    )
                return interpreter.process_function(cls, args)
        return apply_eagerly(cls, args, kwargs)[0]


def has_setup(cls: Any) -> bool:
    """Whether a function is written with `setup_context`."""
    return cls.setup_context is not Function.setup_context


def apply_eagerly(cls: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, FunctionCtx]:
    """Runs a function on tensors of level 0 and records it; its result, and its context."""
    ctx = cls._context()
    ctx.needs_input_grad = tuple([isinstance(a, Tensor) and a.requires_grad for a in args])
    recorded = local.grad and any(ctx.needs_input_grad)
    edges = [edge_of(a) if isinstance(a, Tensor) else None for a in args]
    with no_grad():
        if has_setup(cls):
            result = cls.forward(*args, **kwargs)
            cls.setup_context(ctx, args, result)
        else:
            result = cls.forward(ctx, *args, **kwargs)
    outs = result if isinstance(result, tuple) else (result,)
    describe(ctx, args, outs, edges)
    check_dirty(ctx, args, outs, recorded)
    new = [history(ctx, y, i, args, recorded) if isinstance(y, Tensor) else y for i, y in enumerate(outs)]
    if recorded:
        ctx.keep(outs)
        if local.anomaly is not None:
            local.anomaly.remember(ctx)
        if (watched := observer()) is not None:
            watched.applied(ctx, args, kwargs, new)
    ctx.dirty = ctx.non_differentiable = ()
    if not isinstance(result, tuple):
        return new[0], ctx
    return (type(result)(*new) if hasattr(result, "_fields") else tuple(new)), ctx


def describe(ctx: FunctionCtx, args: Sequence[Any], outs: Sequence[Any], edges: list[Any]) -> None:
    """Notes inputs and outputs on the node."""
    ctx.edges = edges
    ctx._inputs = [(tuple(a.shape), a.dtype.numpy) if isinstance(a, Tensor) else None for a in args]
    ctx._shapes = [(tuple(y.shape), y.dtype.numpy) if isinstance(y, Tensor) else None for y in outs]
    ctx._count = len(outs)
    ctx.seq = count()


def check_dirty(ctx: FunctionCtx, args: Sequence[Any], outs: Sequence[Any], recorded: bool) -> None:
    """Raises if what was modified in place is not returned, is no input, or may not be modified."""
    for x in ctx.dirty:
        if not isinstance(x, Tensor):
            raise TypeError(f"mark_dirty can only accept variables, but argument is of type {type(x).__name__}")
        if not any(x is a for a in args):
            raise RuntimeError("mark_dirty: only input tensors can be given")
        if not any(x is y for y in outs):
            raise RuntimeError(
                "Some elements marked as dirty during the forward method were not returned as output. The inputs that are modified "
                "inplace must all be outputs of the Function."
            )
        check_writable(x, recorded)


def history(ctx: FunctionCtx, y: Tensor, index: int, args: Sequence[Any], recorded: bool) -> Tensor:
    """An output with its place on the tape."""
    differentiable = recorded and y.dtype.numpy.kind in CONTINUOUS and not any(y is x for x in ctx.non_differentiable)
    source = next((a for a in args if a is y), None)
    if any(y is x for x in ctx.dirty):
        y._version[0] += 1
        if recorded:
            rebase(y, ctx.port(index) if differentiable else None)
        return y
    if source is not None:  # returned as it came: seen anew, so that the input keeps its own history
        if not recorded:
            return y
        out = wrap(y._data, None)
        out._version = y._version
        out._base = View(y, (), y._version[0], IN_FUNCTION)  # type: ignore[arg-type]
    else:
        out = y
        if out._base is not None and differentiable:
            out._base.made_under_no_grad = IN_FUNCTION  # type: ignore[assignment]
    if differentiable:
        out._node = ctx.port(index)
        return out
    return out.detach() if out._node is not None else out


IN_FUNCTION = "custom Function"  # how `View.made_under_no_grad` tells a view that a custom Function returned


class Failing(Node):
    """A node that cannot be differentiated: what `once_differentiable` leaves behind."""

    def __init__(self, edges: list[Any], message: str) -> None:
        self.edges, self.facts, self.versions, self.params = edges, (), (), {}
        self.tensors, self.hooks, self.metadata, self.seq = False, None, None, count()
        self.message = message

    outputs = 1

    def name(self) -> str:
        """Its name."""
        return "torch::autograd::Error"

    def pull(self, g: Any, as_tensors: bool) -> list[Any]:
        """Raises."""
        raise RuntimeError(self.message)

    def free(self) -> None:
        """Nothing was saved."""


def once_differentiable(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Declares a `backward` that is not made of differentiable operations: gradients of its results raise RuntimeError."""

    @functools.wraps(fn)
    def wrapper(ctx: Any, *args: Any) -> Any:
        with no_grad():
            result = fn(ctx, *args)
        needing = [a for a in args if isinstance(a, Tensor) and a.requires_grad]
        if not local.grad or not needing:
            return result
        outs = result if isinstance(result, tuple) else (result,)
        node = Failing([edge_of(a) for a in needing], "trying to differentiate twice a function that was marked with @once_differentiable")
        marked = tuple(wrap(y._data, node) if isinstance(y, Tensor) and not isinstance(y, Box) else y for y in outs)
        return marked if isinstance(result, tuple) else marked[0]

    return wrapper


class InplaceFunction(Function):
    """A function that may work in place; kept for old programs."""


__all__ = ["BackwardCFunction", "Function", "FunctionCtx", "InplaceFunction", "once_differentiable"]
