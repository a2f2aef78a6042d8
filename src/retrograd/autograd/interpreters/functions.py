"""A custom `Function` under `vmap`: by its own `vmap` method, or by one generated from its forward and backward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from retrograd.autograd.function import Function, backward_of
from retrograd.core.families import unbroadcast
from retrograd.core.tensor import Tensor
from retrograd.ops.basis import expand_op, permute_op


class VmapInfo(NamedTuple):
    """What a Function's `vmap` is told: the size of the batch, and what random operations should do."""

    batch_size: int
    randomness: str


def batched_function(batch: Any, cls: Any, values: Sequence[Any], mapped: Sequence[bool]) -> tuple[Any, list[Any]]:
    """The result of a function on values of which some have a leading batch dim, and which of its outputs have one."""
    own = cls.vmap is not Function.vmap
    if cls.generate_vmap_rule:
        if own:
            raise RuntimeError(
                f"You tried to vmap over {cls.__name__}, but it has both generate_vmap_rule=True and an overridden vmap staticmethod. "
                "Please set generate_vmap_rule=False or delete the overridden vmap staticmethod to avoid ambiguity."
            )
        return generated(batch, cls, values, mapped)
    if not own:
        raise RuntimeError(
            f"You tried to vmap over {cls.__name__}, but it does not have vmap support. Please override and implement the vmap staticmethod or set generate_vmap_rule=True."
        )
    found = cls.vmap(VmapInfo(batch.size, batch.randomness), tuple(0 if m else None for m in mapped), *values)
    if not (isinstance(found, tuple) and len(found) == 2):
        raise RuntimeError(f"Expected the vmap staticmethod of {cls.__name__} to return (output, out_dims), got {type(found).__name__}")
    output, out_dims = found
    outs = output if isinstance(output, tuple) else (output,)
    dims = out_dims if isinstance(out_dims, tuple) else (out_dims,) * len(outs)
    fronted = [
        y if not d else permute_op(y, dims=(d % y.ndim, *[i for i in range(y.ndim) if i != d % y.ndim]))
        for y, d in zip(outs, dims, strict=True)
    ]
    return (tuple(fronted) if isinstance(output, tuple) else fronted[0]), [d is not None for d in dims]


def generated(batch: Any, cls: Any, values: Sequence[Any], mapped: Sequence[bool]) -> tuple[Any, list[Any]]:
    """The same by a function whose forward and backward are the given one's on batches."""
    out_mapped: list[bool] = []

    def new_level() -> Any:
        return type(batch)(batch.size, batch.randomness)

    def boxed(inner: Any, xs: Sequence[Any], flags: Sequence[bool]) -> list[Any]:
        return [inner.box(x) if m and isinstance(x, Tensor) else x for x, m in zip(xs, flags, strict=True)]

    def opened(inner: Any, xs: Sequence[Any]) -> tuple[list[Any], list[bool]]:
        return [x.value if inner.owns(x) else x for x in xs], [inner.owns(x) for x in xs]

    def forward(*args: Any) -> Any:
        inner = new_level()
        with inner.running():
            result = cls.forward(*boxed(inner, args, mapped))
            outs, out_mapped[:] = opened(inner, result if isinstance(result, tuple) else (result,))
        return tuple(outs) if isinstance(result, tuple) else outs[0]

    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        inner = new_level()
        ctx.inner_ctx = mock = cls._context()
        mock.needs_input_grad = ctx.needs_input_grad
        with inner.running():
            several = isinstance(output, tuple)
            outs = boxed(inner, output if several else (output,), out_mapped)
            cls.setup_context(mock, tuple(boxed(inner, inputs, mapped)), tuple(outs) if several else outs[0])
            saved, ctx.saved_mapped = opened(inner, mock.to_save)
            ahead, ctx.ahead_mapped = opened(inner, mock.for_forward)
            ctx.save_for_backward(*saved)
            ctx.save_for_forward(*ahead)
            ctx.mark_non_differentiable(*opened(inner, mock.non_differentiable)[0])
            ctx.mark_dirty(*opened(inner, mock.dirty)[0])
            ctx.set_materialize_grads(mock.materialize_grads)
        mock.to_save = mock.for_forward = mock.dirty = mock.non_differentiable = ()

    def backward(ctx: Any, *gs: Any) -> Any:
        inner = new_level()
        mock = ctx.inner_ctx
        with inner.running():
            mock.to_save = tuple(boxed(inner, ctx.saved_tensors, ctx.saved_mapped))
            found = backward_of(cls)(mock, *boxed(inner, gs, out_mapped))
            found = found if isinstance(found, tuple) else (found,)
            mock.to_save = ()
            return tuple(pulled(inner, g, x, m) for g, x, m in zip(found, ctx._inputs, mapped, strict=True))

    def pulled(inner: Any, g: Any, like: Any, is_mapped: bool) -> Any:
        if g is None or like is None:
            return None
        g = unbroadcast(g, like[0][1:] if is_mapped else like[0])
        if inner.owns(g):
            return g.value if is_mapped else g.value.sum(0)
        return expand_op(g, shape=(inner.size, *g.shape)) if is_mapped else g * inner.size

    def jvp(ctx: Any, *ts: Any) -> Any:
        inner = new_level()
        mock = ctx.inner_ctx
        with inner.running():
            mock.to_save = tuple(boxed(inner, ctx.for_forward or ctx.to_save, ctx.ahead_mapped if ctx.for_forward else ctx.saved_mapped))
            result = cls.jvp(mock, *boxed(inner, ts, mapped))
            mock.to_save = ()
            moved = result if isinstance(result, tuple) else (result,)
            moved = [  # type: ignore[assignment]
                t if t is None else t.value if inner.owns(t) else expand_op(t, shape=(inner.size, *t.shape)) if m else t
                for t, m in zip(moved, out_mapped, strict=True)
            ]
        return tuple(moved) if isinstance(result, tuple) else moved[0]

    methods = {"forward": forward, "setup_context": setup_context, "backward": backward, "jvp": jvp}
    function: Any = type(cls.__name__, (Function,), {name: staticmethod(f) for name, f in methods.items()})
    return function.apply(*values), out_mapped
