"""Checkpoints (Chen et al. 2016): a part of a network keeps nothing for the backward pass, and is computed again when that comes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from retrograd.autograd.graph import saved_tensors_hooks
from retrograd.autograd.modes import enable_grad
from retrograd.core.random import default_generator
from retrograd.core.tensor import Tensor
from retrograd.ops.sample import fork_rng


class CheckpointError(RuntimeError):
    """The second run of a checkpointed function did not compute what the first did."""


class Frame:
    """One checkpointed call: how many tensors it saved and of what shape, and those of its second run."""

    def __init__(self, again: Callable[[], Any], check: bool) -> None:
        self.again, self.check = again, check
        self.shapes: list[Any] = []
        self.tensors: list[Any] | None = None
        self.left = 0

    def pack(self, tensor: Tensor) -> int:
        """Keeps a number in place of a tensor."""
        self.shapes.append((tuple(tensor.shape), tensor.dtype))
        self.left += 1
        return len(self.shapes) - 1

    def unpack(self, index: int) -> Tensor:
        """The tensor that the second run saved under a number."""
        if self.tensors is None:
            self.tensors = []
            with enable_grad(), saved_tensors_hooks(self.keep, refuse):
                self.again()
            self.compare()
            self.left = len(self.tensors)
        tensor = self.tensors[index]
        self.left -= 1
        if not self.left:  # all were asked for: another backward pass computes them once more
            self.tensors = None
        return tensor

    def keep(self, tensor: Tensor) -> None:
        """Keeps a tensor of the second run."""
        assert self.tensors is not None
        self.tensors.append(tensor.detach())

    def compare(self) -> None:
        """Raises CheckpointError unless both runs saved tensors of the same shapes."""
        assert self.tensors is not None
        found = [(tuple(t.shape), t.dtype) for t in self.tensors]
        if len(found) != len(self.shapes):
            raise CheckpointError(
                "torch.utils.checkpoint: A different number of tensors was saved during the original forward and recomputation.\n"
                f"Number of tensors saved during forward: {len(self.shapes)}\nNumber of tensors saved during recomputation: {len(found)}"
            )
        if self.check and found != self.shapes:
            at = next(i for i, (a, b) in enumerate(zip(self.shapes, found, strict=True)) if a != b)
            raise CheckpointError(
                "torch.utils.checkpoint: Recomputed values for the following tensors have different metadata than during the forward pass: "
                f"tensor {at} had shape and dtype {self.shapes[at]}, and now has {found[at]}"
            )


def refuse(kept: Any) -> Tensor:
    """Stands where nothing is ever unpacked."""
    raise CheckpointError("torch.utils.checkpoint: backward() was called inside the checkpointed function while it was computed again")


def checkpoint(
    function: Callable[..., Any], *args: Any, use_reentrant: bool | None = None, context_fn: Callable[[], Any] | None = None,
    determinism_check: str = "default", debug: bool = False, preserve_rng_state: bool = True, **kwargs: Any,
) -> Any:  # fmt: skip
    """`function(*args, **kwargs)`, of which nothing is saved for backward: the function runs again when its gradients are computed.

    It must compute the same the second time. Memory falls to what goes in and out, and the forward pass is paid twice.

    Args:
        use_reentrant: accepted; there is one way here, which nests and gives derivatives of every order.
        context_fn: returns two context managers, for the first run and for the second.
        determinism_check: "default" compares shapes and dtypes of both runs, "none" does not.
        preserve_rng_state: the second run draws the random numbers of the first.

    Raises:
        CheckpointError: (a RuntimeError) if the second run differs.

    >>> import retrograd as torch
    >>> x = torch.ones(2, requires_grad=True)
    >>> checkpoint(lambda t: (t.exp() * t).sum(), x).backward()
    >>> x.grad
    tensor([5.4366, 5.4366])
    """
    if determinism_check not in ("default", "none"):
        raise ValueError(f"determinism_check should be one of ('default', 'none') but got {determinism_check}")
    back = default_generator.mark() if preserve_rng_state else None
    first, second = context_fn() if context_fn is not None else (contextlib.nullcontext(), contextlib.nullcontext())

    def again() -> None:
        with second, fork_rng(enabled=preserve_rng_state):
            if back is not None:
                back()
            function(*args, **kwargs)

    frame = Frame(again, determinism_check == "default")
    with first, saved_tensors_hooks(frame.pack, frame.unpack):
        return function(*args, **kwargs)


def checkpoint_sequential(
    functions: Any, segments: int, input: Any, use_reentrant: bool | None = None, preserve_rng_state: bool = True
) -> Any:
    """Modules one after the other in `segments` parts of about equal length, each but the last a checkpoint.

    Args:
        functions: a `Sequential`, or a sequence of functions.
    """
    steps: Sequence[Any] = list(functions.children()) if hasattr(functions, "children") else list(functions)
    size = len(steps) // segments

    def part(start: int, end: int) -> Callable[[Any], Any]:
        def run(x: Any) -> Any:
            for step in steps[start:end]:
                x = step(x)
            return x

        return run

    end = 0
    for i in range(segments - 1):
        input = checkpoint(part(i * size, (i + 1) * size), input, use_reentrant=use_reentrant, preserve_rng_state=preserve_rng_state)
        end = (i + 1) * size
    return part(end, len(steps))(input)


__all__ = ["CheckpointError", "checkpoint", "checkpoint_sequential"]
