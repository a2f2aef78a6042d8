"""The recorded graph: its nodes and edges, what happens to what they save, and hooks on several tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Any, NamedTuple

from retrograd.autograd.hooks import register_hook
from retrograd.core.levels import local, switch
from retrograd.core.tape import AccumulateGrad, Handle, Node, Port, edge_of
from retrograd.core.tensor import Tensor

# ---------------------------------------------------------------- edges


class GradientEdge(NamedTuple):
    """A place in the graph: output `output_nr` of `node`. Takes a tensor's place in `autograd.grad` and `backward`."""

    node: Any
    output_nr: int
    ownership_token: Any = None


def get_gradient_edge(tensor: Tensor) -> GradientEdge:
    """The edge that leads to a tensor. Raises RuntimeError if the tensor needs no gradient.

    >>> from retrograd import ones
    >>> get_gradient_edge(ones(2, requires_grad=True) * 2).node.name()
    'MulBackward0'
    """
    edge = edge_of(tensor)
    if edge is None:
        raise RuntimeError("It is not possible to get the gradient edge for a Tensor that does not require gradients")
    if isinstance(edge, Tensor):
        return GradientEdge(AccumulateGrad(edge), 0)
    return GradientEdge(edge.grad_fn, tensor.output_nr)


def edge_behind(x: Any) -> Any:
    """What a tensor or a GradientEdge stands for on the tape."""
    if not isinstance(x, GradientEdge):
        return edge_of(x)
    if isinstance(x.node, AccumulateGrad):
        return x.node.variable
    return x.node if x.node.outputs == 1 and not x.output_nr else Port(x.node, x.output_nr)


# ---------------------------------------------------------------- what is saved


class saved_tensors_hooks:
    """While the block runs, every tensor saved for backward is kept as `pack_hook(tensor)`, and comes back by `unpack_hook`.

    Raises:
        RuntimeError: on entry, inside `disable_saved_tensors_hooks`.

    >>> from retrograd import ones
    >>> x = ones(2, requires_grad=True)
    >>> with saved_tensors_hooks(lambda t: t.numpy(), lambda a: __import__("retrograd").from_numpy(a)):
    ...     y = (x * x).sum()
    >>> y.backward(); x.grad
    tensor([2., 2.])
    """

    def __init__(self, pack_hook: Callable[[Tensor], Any], unpack_hook: Callable[[Any], Tensor]) -> None:
        self.pack_hook, self.unpack_hook = pack_hook, unpack_hook

    def __enter__(self) -> None:
        if disabled:
            raise RuntimeError(disabled[-1])
        local.saved_hooks.append((self.pack_hook, self.unpack_hook))
        switch.add(1)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        local.saved_hooks.pop()
        switch.add(-1)


disabled: list[str] = []  # the messages of `disable_saved_tensors_hooks` blocks


@contextmanager
def disable_saved_tensors_hooks(error_message: str) -> Iterator[None]:
    """While the block runs, `saved_tensors_hooks` raises RuntimeError with this message.

    Raises:
        RuntimeError: if such hooks are in use already.
    """
    if local.saved_hooks:
        raise RuntimeError(error_message)
    disabled.append(error_message)
    try:
        yield
    finally:
        disabled.pop()


class save_on_cpu(saved_tensors_hooks):
    """Keeps what is saved on the CPU, where it is."""

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda") -> None:
        super().__init__(lambda tensor: tensor, lambda tensor: tensor)


def allow_mutation_on_saved_tensors() -> AbstractContextManager[None]:
    """While the block runs, saved tensors may be modified in place: a copy is saved."""
    return saved_tensors_hooks(lambda tensor: tensor.clone(), lambda tensor: tensor)


# ---------------------------------------------------------------- hooks on several tensors


class Handles:
    """Removes several hooks."""

    def __init__(self, handles: Sequence[Handle]) -> None:
        self.handles = tuple(handles)

    def remove(self) -> None:
        """Takes the hooks away."""
        for handle in self.handles:
            handle.remove()

    def __enter__(self) -> Handles:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


def register_multi_grad_hook(tensors: Sequence[Tensor], fn: Callable[..., None], *, mode: str = "all") -> Handles:
    """Calls `fn` once per backward pass when gradients of `tensors` were computed.

    Args:
        mode: "all": when all that this pass reaches are there, as `fn(grads)`, a sequence with None for the others. "any": as
            `fn(grad)` with the first.

    Raises:
        ValueError: for any other mode.
    """
    if mode not in ("all", "any"):
        raise ValueError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    state: dict[str, Any] = {"walk": None}

    def make(index: int) -> Callable[[Tensor], None]:
        def hook(grad: Tensor) -> None:
            if state["walk"] is not local.walk:
                edges = [edge_of(t) for t in tensors]
                state.update(walk=local.walk, missing=local.walk().will_reach(edges, index), grads=[None] * len(edges), called=False)
            state["grads"][index] = grad
            state["missing"].discard(index)
            if mode == "any" and not state["called"]:
                state["called"] = True
                fn(grad)
            elif mode == "all" and not state["missing"]:
                grads = state["grads"]
                state.update(walk=None, grads=None)
                fn(grads)

        return hook

    return Handles([register_hook(t, make(i)) for i, t in enumerate(tensors)])


__all__ = [
    "GradientEdge", "Node", "allow_mutation_on_saved_tensors", "disable_saved_tensors_hooks", "get_gradient_edge",
    "register_multi_grad_hook", "save_on_cpu", "saved_tensors_hooks",
]  # fmt: skip
