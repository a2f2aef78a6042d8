"""Recording: a recorded call, run again on other numbers, does what the function itself does with them; or the record is refused."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

import retrograd as torch
from retrograd.compile.capture import record
from retrograd.compile.entry import MISS
from tests.compile.rerun import again, recorded
from tests.sampling import Sample
from tests.test_every_op import SAMPLES, look_up, ours, rebuilt, tensors_in

nn = torch.nn


def permuted(args: Any, seed: int) -> None:
    """Deals the numbers of each floating tensor anew, in place: what is in a function's domain stays there."""
    rng = np.random.default_rng(seed)
    for x in tensors_in(args, torch.Tensor):
        if x._data.dtype.kind in "fc" and x._data.flags.writeable:
            x._data[...] = rng.permutation(x._data.reshape(-1)).reshape(x._data.shape)


def same(mine: Any, wanted: Any) -> None:
    """Asserts that two tensors have the same type and elements (but for the order of additions in some losses)."""
    assert mine.dtype == wanted.dtype
    np.testing.assert_allclose(mine.detach().numpy(), wanted.detach().numpy(), rtol=1e-12)


@pytest.mark.parametrize(("name", "sample"), SAMPLES, ids=[f"{n}({s!r})" for n, s in SAMPLES])
def test_every_sample_replayed(name: str, sample: Sample):
    """The results for other numbers are those of the function itself, or the record was refused."""

    def function(args: Any, kwargs: Any) -> Any:
        with torch.no_grad():
            return look_up(torch, name)(*args, **kwargs)

    def arguments(shuffled: bool) -> Any:
        built = sample.build(ours, np.float64)
        if name.endswith("_"):
            built = rebuilt(*built)
        if shuffled:
            permuted(built, 1)
        return built

    _, program, why = recorded(function, arguments(False), {})
    if program is None:
        assert why
        return
    for shuffled in (False, True):
        theirs, mine = arguments(shuffled), arguments(shuffled)
        try:
            wanted = tensors_in(function(*theirs), torch.Tensor)
        except (RuntimeError, ValueError, IndexError):  # the shuffled numbers are no valid input
            continue
        got = tensors_in(again(program, *mine), torch.Tensor)
        assert len(got) == len(wanted)
        for a, b in zip(got, wanted, strict=True):
            same(a, b)
        for a, b in zip(tensors_in(mine, torch.Tensor), tensors_in(theirs, torch.Tensor), strict=True):
            same(a, b)  # what is written to is written to


# ---------------------------------------------------------------- training steps

OPTIMIZERS = {
    "SGD": lambda params: torch.optim.SGD(params, lr=0.1),
    "momentum": lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
    "maximize": lambda params: torch.optim.SGD(params, lr=0.001, maximize=True),
    "Adam": lambda params: torch.optim.Adam(params, lr=0.1, amsgrad=True),
    "AdamW": lambda params: torch.optim.AdamW(params, lr=0.1),
    "RMSprop": lambda params: torch.optim.RMSprop(params, lr=0.1, centered=True, momentum=0.5),
}


class Net(nn.Module):
    """A few layers, with running statistics among them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(8, 6), nn.BatchNorm1d(6), nn.Linear(6, 3)

    def forward(self, x: Any) -> Any:
        return self.last(self.norm(self.first(x)).tanh())


def trained(optimizer: str, cleared: bool, replayed: bool) -> dict[str, Any]:
    """All that can be seen of six steps: losses, weights, statistics, gradients, the optimizer's state."""
    torch.manual_seed(0)
    net = Net()
    opt = OPTIMIZERS[optimizer](net.parameters())
    schedule = torch.optim.lr_scheduler.StepLR(opt, 2, 0.5)

    def step(x: Any, labels: Any) -> Any:
        if cleared:
            opt.zero_grad()
        loss = nn.functional.cross_entropy(net(x), labels)
        loss.backward()
        opt.step()
        return loss

    losses, program, ran = [], None, 0
    for _ in range(6):
        x, labels = torch.randn(5, 8), torch.randint(3, (5,))
        loss = MISS if program is None else program.call((x, labels), {})
        if loss is not MISS:
            ran += 1
        elif replayed:
            loss, program, _ = recorded(step, (x, labels), {})
        else:
            loss = step(x, labels)
        losses.append(loss)
        schedule.step()
    assert ran >= 4 * replayed
    state = {f"{n}.{k}": v for (n, p) in net.named_parameters() for k, v in opt.state[p].items()}
    grads = {f"{n}.grad": p.grad for n, p in net.named_parameters()}
    return {**dict(enumerate(losses)), **net.state_dict(), **state, **grads}


@pytest.mark.parametrize("cleared", [True, False], ids=["zero_grad", "accumulating"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_training_step(optimizer: str, cleared: bool):
    """A recorded step, run on new batches with another learning rate, trains as the step itself does."""
    wanted, mine = trained(optimizer, cleared, replayed=False), trained(optimizer, cleared, replayed=True)
    assert list(mine) == list(wanted)
    for name, value in wanted.items():
        np.testing.assert_allclose(mine[name].detach().numpy(), value.detach().numpy(), rtol=1e-5, atol=1e-6, err_msg=str(name))


def test_transforms_and_higher_orders():
    """Jacobians, per-example gradients and second derivatives are recorded through to the operations they consist of."""
    w = torch.randn(3, 4)

    def jacobian(x: Any) -> Any:
        return torch.func.jacrev(lambda v: (w @ v).tanh())(x)

    def per_example(x: Any) -> Any:
        return torch.vmap(torch.func.grad(lambda v: (w @ v).sin().sum()))(x.expand(2, 4))

    def second(x: Any) -> Any:
        x = x.detach().requires_grad_()
        (g,) = torch.autograd.grad((x**3).sum(), x, create_graph=True)
        return torch.autograd.grad((g * g).sum(), x)[0]

    for function in (jacobian, per_example, second):
        _, program, why = recorded(function, (torch.randn(4),), {})
        assert program is not None, why
        x = torch.randn(4)
        same(again(program, x), function(x))


# ---------------------------------------------------------------- what no record tells


kept: list[Any] = []


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (lambda x: x * 2 if x.sum() > 0 else x, "looked at"),
        (lambda x: x * x.max().item(), "looked at"),
        (lambda x: x + len(repr(x)), "looked at"),
        (lambda x: x * torch.from_numpy(np.exp(x.numpy())), "looked at"),
        (lambda x: x + torch.get_rng_state().sum(), "generator"),
        (lambda x: print("here") or x * 2, "print"),
        (lambda x: x + random.random(), "random"),
        (lambda x: setattr(x, "data", x * 2) or x + 1, "memory of another"),
        (lambda x: kept.append(x * 2) or x * 3, "kept outside"),
        (lambda x: x * torch.ones(3, requires_grad=True), "kept outside"),
    ],
    ids=["branch", "item", "repr", "numpy", "state", "print", "random", "data", "kept", "leaf made inside"],
)
def test_refused(function: Any, why: str):
    """The call is made all the same, and the reason given."""
    x = torch.arange(1.0, 4.0)
    result, program, reason = record(function, (x,), {})
    assert result is not None
    assert program is None
    assert why in (reason or "")


def test_writes_through_views_of_arguments():
    """A write through a view reaches the argument of the later call, and counts as a write to it."""

    def function(x: Any) -> Any:
        x[1:].mul_(2)
        return x.sum()

    _, program, why = recorded(function, (torch.arange(4.0),), {})
    assert program is not None, why
    x, y = torch.ones(4), torch.ones(4)
    same(again(program, x), function(y))
    same(x, y)
    assert x._version[0] == 1
