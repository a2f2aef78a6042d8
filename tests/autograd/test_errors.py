"""Errors of everyday use name the tensor, the user's line and the fix, and are of PyTorch's type."""

from __future__ import annotations

from typing import Any

import pytest

import retrograd as torch
from tests.oracle import error_in_both, needs_torch

PROGRAMS: dict[str, tuple[Any, str]] = {
    "no graph": (lambda t: t.ones(2).sum().backward(), "does not require grad"),
    "not a scalar": (lambda t: t.ones(2, requires_grad=True).exp().backward(), "only for scalar outputs"),
    "twice": (lambda t: twice(t), "second time"),
    "modified": (lambda t: modified(t), "modified by an inplace operation"),
    "leaf in place": (lambda t: t.ones(2, requires_grad=True).add_(1), "leaf Variable that requires grad"),
    "integers": (lambda t: t.ones(2, dtype=t.int64).requires_grad_(), "floating point"),
    "numpy of a leaf": (lambda t: t.ones(2, requires_grad=True).numpy(), "detach"),
    "vector of another shape": (lambda t: t.ones(2, requires_grad=True).exp().backward(t.ones(3)), "Mismatch in shape"),
    "unused": (lambda t: t.autograd.grad(t.ones(1, requires_grad=True).sum(), t.ones(1, requires_grad=True)), "not have been used"),
    "grad of another shape": (lambda t: setattr(t.ones(2), "grad", t.ones(3)), "different size"),
    "no item": (lambda t: t.ones(2).item(), "Scalar"),
    "truth of several": (lambda t: bool(t.ones(2)), "ambiguous"),
    "shapes": (lambda t: t.ones(2, 3) @ t.ones(2, 3), "shapes cannot be multiplied"),
    "dtypes": (lambda t: t.ones(2, 2) @ t.ones(2, 2, dtype=t.float64), "dtype"),
    "device": (lambda t: t.ones(2, device="cuda"), "CUDA"),
    "ragged": (lambda t: t.tensor([[1.0], [1.0, 2.0]]), "length"),
    "function without backward": (lambda t: no_backward(t), "backward"),
    "too many gradients": (lambda t: too_many(t), "gradients"),
}


def twice(t: Any) -> None:
    """Walks a graph that was freed."""
    y = t.ones(2, requires_grad=True).exp().sum()
    y.backward()
    y.backward()


def modified(t: Any) -> None:
    """Writes to a tensor that was saved."""
    x = t.ones(2, requires_grad=True)
    y = x.exp()
    z = y * y
    y.add_(1)
    z.sum().backward()


def no_backward(t: Any) -> None:
    """A function that says nothing of its derivative."""

    class Bad(t.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

    Bad.apply(t.ones(1, requires_grad=True)).backward()


def too_many(t: Any) -> None:
    """A function that returns more gradients than it has inputs."""

    class Bad(t.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g, g

    Bad.apply(t.ones(1, requires_grad=True)).backward()


@needs_torch
@pytest.mark.parametrize("name", PROGRAMS)
def test_error(name: str):
    """PyTorch's type, and a message that says what is wrong."""
    program, match = PROGRAMS[name]
    error_in_both(program, match)


@pytest.mark.parametrize("name", PROGRAMS)
def test_error_without_the_oracle(name: str):
    """The message says what is wrong."""
    program, match = PROGRAMS[name]
    with pytest.raises(Exception, match=match):
        program(torch)


def test_a_write_is_named_by_its_line():
    """The file and line of the write, the saved tensor's role, and the fix."""
    x = torch.ones(2, requires_grad=True)
    y = x.exp()
    z = y * y
    y.add_(1)  # this line
    with pytest.raises(RuntimeError, match="one of the variables needed for gradient computation") as found:
        z.sum().backward()
    text = str(found.value)
    assert "test_errors.py" in text
    assert "clone()" in text
    assert "MulBackward0" in text


@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled")
def test_anomaly_mode_names_the_forward_line():
    """Where the operation was called whose derivative is nan."""
    x = torch.tensor([-1.0], requires_grad=True)
    with (
        torch.autograd.detect_anomaly(),
        pytest.warns(UserWarning, match=r"Traceback of forward call[\s\S]*test_errors.py[\s\S]*torch.sqrt"),
        pytest.raises(RuntimeError, match=r"'SqrtBackward0' returned nan values"),
    ):
        torch.sqrt(x).sum().backward()


def test_nothing_is_half_changed():
    """After an error, tensors and gradients are what they were."""
    x = torch.ones(3, requires_grad=True)
    (x * 2).sum().backward()
    before = x.grad.tolist()
    with pytest.raises(RuntimeError):
        (x * torch.ones(4)).sum().backward()
    buffer = torch.zeros(3)
    with pytest.raises(RuntimeError):
        buffer.copy_(torch.ones(4))
    with pytest.raises((RuntimeError, IndexError)):
        buffer[5] = 1.0
    assert x.grad.tolist() == before
    assert buffer.tolist() == [0, 0, 0]
