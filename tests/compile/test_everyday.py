"""What everyday programs do in a step: each was found to run in eager without need, or to leave something otherwise than eager does."""

from __future__ import annotations

from typing import Any

import pytest

import retrograd as torch
from retrograd.compile.backend import make_executor
from retrograd.compile.compiled import Compiled
from retrograd.compile.replay import Replay
from retrograd.utils.checkpoint import checkpoint
from tests.compile.side_by_side import Job, batches, compared

nn = torch.nn
F = nn.functional


# ---------------------------------------------------------------- labels


@pytest.mark.parametrize("backend", [Replay, make_executor], ids=["replay", "native"])
def test_one_hot(backend: Any):
    """With a number of classes it is recorded, and the program looks at the labels as the function does."""
    f = Compiled(lambda y: F.one_hot(y, 4), fullgraph=True, backend=backend)
    for _ in range(3):
        y = torch.randint(0, 4, (3, 2))
        assert torch.equal(f(y), F.one_hot(y, 4))
    for wrong, text in ((4, "must be smaller"), (-1, "must be non-negative")):
        y[2, 1] = wrong
        with pytest.raises(RuntimeError, match=text):
            f(y)
    assert [v.state for v in f.programs()] == ["compiled"]


# ---------------------------------------------------------------- numbers that are drawn


def test_normal_around_a_tensor():
    """Nothing of the call is kept by what draws."""
    compared(lambda: Job(lambda x: (torch.normal(x, 2.0), torch.normal(1.0, x.exp()))), [(torch.randn(5),) for _ in range(4)])


# ---------------------------------------------------------------- checkpoints


def checkpointed(preserve: bool = True) -> Any:
    """A step whose first layers keep nothing for the backward pass."""

    def build() -> Job:
        first = nn.Sequential(nn.Linear(8, 6), nn.LayerNorm(6), nn.Tanh(), nn.Dropout(0.4))
        net = nn.Sequential(first, nn.Linear(6, 3))
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

        def step(x: Any, y: Any) -> Any:
            optimizer.zero_grad()
            loss = F.cross_entropy(net[1](checkpoint(first, x, preserve_rng_state=preserve)), y)
            loss.backward()
            optimizer.step()
            return loss.detach(), torch.rand(2)

        return Job(step, net, optimizer)

    return build


@pytest.mark.parametrize("native", [False, True], ids=["replay", "native"])
def test_checkpoint(native: bool):
    """The second run draws what the first did, in a program too, and leaves the generator where it was."""
    compared(checkpointed(), batches(5), native=native)


def test_checkpoint_without_draws():
    """Where nothing is drawn, a program does not look at the generator; results can be differentiated outside."""
    net = nn.Sequential(nn.Linear(3, 4), nn.Softmax(1), nn.Linear(4, 2))
    f = Compiled(lambda x: checkpoint(net, x).sum(), fullgraph=True, backend=Replay)
    for _ in range(4):
        net.zero_grad(set_to_none=True)
        f(x := torch.randn(2, 3)).backward()
        got = [p.grad for p in net.parameters()]
        wanted = torch.autograd.grad(net(x).sum(), tuple(net.parameters()))
        assert all(torch.allclose(a, b) for a, b in zip(got, wanted, strict=True))
    assert "draw" not in f.graph()


def test_fork_rng():
    """What is drawn within leaves no trace."""

    def step(x: Any) -> Any:
        with torch.random.fork_rng():
            torch.manual_seed(3)
            noise = torch.randn(3)
        return x + noise + torch.rand(3)

    compared(lambda: Job(step), [(torch.randn(3),) for _ in range(5)])


# ---------------------------------------------------------------- modes


def test_results_in_inference_mode():
    """They are what the mode makes of results, whoever switches it on; others are not."""
    net = nn.Linear(3, 2)
    outside, inside, usual = (Compiled(f, backend=Replay) for f in (net.forward, torch.inference_mode()(net.forward), net.forward))
    for _ in range(4):
        x = torch.randn(4, 3)
        with torch.inference_mode():
            assert outside(x).is_inference()
        assert inside(x).is_inference()
        assert not usual(x).is_inference()
    with torch.inference_mode():
        assert all(part.is_inference() for part in torch.ones(4).chunk(2))
        assert all(part.is_inference() for part in torch.ones(4, 2).max(1))
