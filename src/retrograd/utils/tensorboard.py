"""`SummaryWriter` of `torch.utils.tensorboard`, written by tensorboardX (extra `tensorboard`). Tensors are taken wherever numbers are."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from retrograd.core.tensor import Tensor
from retrograd.pytree import tree_map

try:
    import tensorboardX
except ImportError:
    raise ImportError("event files for TensorBoard are written by tensorboardX: pip install 'retrograd[tensorboard]'") from None


def taking_tensors(method: Callable[..., Any]) -> Callable[..., Any]:
    """The same method, given arrays for tensors."""

    @functools.wraps(method)
    def taking(self: SummaryWriter, *args: Any, **kwargs: Any) -> Any:
        args, kwargs = tree_map(array_for, (args, kwargs))
        return method(self, *args, **kwargs)

    return taking


def array_for(x: Any) -> Any:
    """A tensor's numbers; anything else as it is."""
    return np.array(x.detach().numpy()) if isinstance(x, Tensor) else x


class SummaryWriter(tensorboardX.SummaryWriter):  # type: ignore[misc]
    """Writes event files that `tensorboard --logdir FOLDER` shows: tensorboardX's writer, which says what each method takes.

    >>> import retrograd as torch, tempfile
    >>> with SummaryWriter(tempfile.mkdtemp()) as writer:
    ...     writer.add_scalar("loss", torch.tensor(0.5), global_step=1)
    ...     writer.add_histogram("weights", torch.randn(100), global_step=1)
    """

    def add_graph(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raises: a recorded step has the graph.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(
            "add_graph() records through torch.jit, which there is not: retrograd.see() has the graph, as a page or a picture"
        )


for name in dir(tensorboardX.SummaryWriter):
    if name.startswith("add_") and name != "add_graph":
        setattr(SummaryWriter, name, taking_tensors(getattr(tensorboardX.SummaryWriter, name)))
