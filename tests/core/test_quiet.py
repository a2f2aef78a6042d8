"""Operations do not warn of overflow and the like, in any thread, and leave NumPy's error state to the caller's own code."""

from __future__ import annotations

import threading
import warnings

import numpy as np
import pytest

import retrograd as torch
from retrograd.core.tape import run_quietly


def overflow() -> torch.Tensor:
    return torch.full((2000,), 3e38) * 10


def test_the_callers_numpy_still_warns() -> None:
    assert torch.isinf(overflow()).all()
    with pytest.warns(RuntimeWarning, match="overflow"):
        np.full(3, 3e38, np.float32) * np.float32(10)


def test_the_callers_error_state_is_kept() -> None:
    with np.errstate(over="raise"):
        assert torch.isinf(overflow()).all()
        with pytest.raises(FloatingPointError):
            np.full(3, 3e38, np.float32) * np.float32(10)


def test_while_another_call_is_in_the_quiet_context() -> None:
    """As in a second thread: the quiet context is taken, so the error state is set the long way."""
    x = torch.tensor([3e38, 1.0], requires_grad=True)

    def in_there() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return x * 10, x.exp(), torch.tensor(3e38) * x.detach()[0]

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        product, exponential, without_dims = run_quietly(in_there)
    assert product.tolist() == [float("inf"), 10.0]
    assert exponential[0] == float("inf")
    assert without_dims == float("inf")


def test_errors_are_those_of_the_operation() -> None:
    with pytest.raises(RuntimeError, match=r"must match the size of tensor b \(3\)"):
        torch.ones(2) * torch.ones(3)
    with pytest.raises(RuntimeError, match=r"must match the size of tensor b \(3\)"):
        run_quietly(lambda: torch.ones(2) * torch.ones(3))


def test_threads_compute_at_the_same_time() -> None:
    results: list[list[float]] = []

    def work() -> None:
        x = torch.full((20_000,), 0.1, requires_grad=True)
        found = []
        for _ in range(30):
            x.grad = None
            ((x * 3 + 1).tanh() * x).sum().backward()
            found.append(float(x.grad.sum()))
        results.append(found)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(results) == 3
    assert {value for found in results for value in found} == {results[0][0]}
