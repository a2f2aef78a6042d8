"""Training steps, compiled: every optimizer and schedule, every way to clear, clip and accumulate, layers with a memory and with noise."""

from __future__ import annotations

from typing import Any

import pytest

import retrograd as torch
from tests.compile.side_by_side import Job, batches, compared, perceptron, training
from tests.optim.test_optim import SCHEDULES, over_optimizers

nn = torch.nn


@over_optimizers
def test_optimizers(name: str, options: dict[str, Any]):
    """Every optimizer's step, on machine code."""
    compared(
        training(optimizer=lambda params: getattr(torch.optim, name)(params, **options)), batches(5), rtol=1e-3, atol=1e-5, native=True
    )


@pytest.mark.parametrize("inside", [False, True], ids=["outside", "inside"])
@pytest.mark.parametrize(("name", "options"), SCHEDULES, ids=[n for n, _ in SCHEDULES])
def test_schedules(name: str, options: dict[str, Any], inside: bool):
    """A learning rate (and momentum) that changes at every step, or at the end of the compiled step, compiles nothing anew."""

    def build() -> Job:
        net = perceptron()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.5, momentum=0.9)
        schedule = getattr(torch.optim.lr_scheduler, name)(optimizer, **options)

        def step(x: Any, y: Any) -> Any:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(x), y)
            loss.backward()
            optimizer.step()
            if inside:
                schedule.step()
            return loss.detach()

        return Job(step, net, optimizer, lambda job, i: inside or schedule.step())

    compared(build, batches(7))


def test_schedule_before_the_step():
    """A rate that changes before the update cannot be read at the start of the call: such a step runs in eager, and says so."""
    net = perceptron()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)

    @torch.compile
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
        schedule.step()
        optimizer.step()

    (first, *others) = batches(3)
    with pytest.warns(UserWarning, match="runs in eager.*hyperparameters changed"):
        step(*first)
    for batch in others:
        step(*batch)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1 * 0.5**3)


CLEARINGS = {
    "default": lambda net, opt: opt.zero_grad(),
    "to none": lambda net, opt: opt.zero_grad(set_to_none=True),
    "to zeros": lambda net, opt: opt.zero_grad(set_to_none=False),
    "module": lambda net, opt: net.zero_grad(),
    "by hand": lambda net, opt: [setattr(p, "grad", None) for p in net.parameters()],
    "in place": lambda net, opt: [p.grad.zero_() for p in net.parameters() if p.grad is not None],
    "never": lambda net, opt: None,
}


@pytest.mark.parametrize("how", CLEARINGS)
def test_clearing(how: str):
    """Gradients cleared in every way, before the step; where there are none at the first call, that is a program of its own."""
    programs = 2 if how in ("to zeros", "in place", "never") else 1
    compared(training(clear=CLEARINGS[how]), batches(6), programs=programs)


def test_cleared_last():
    """`zero_grad` at the end of a step: the gradients read as zeros outside, and none is there for the next step."""

    def build() -> Job:
        net = perceptron()
        optimizer = torch.optim.Adam(net.parameters(), lr=0.1)

        def step(x: Any, y: Any) -> Any:
            loss = nn.functional.cross_entropy(net(x), y)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            return loss.detach()

        return Job(step, net, optimizer)

    compared(build, batches(5))


def clip_norm(net: Any) -> Any:
    """Clips to a norm that is less and one that is more than the gradient's."""
    return nn.utils.clip_grad_norm_(net.parameters(), 0.5)


CLIPPINGS = {
    "norm": clip_norm,
    "norm inf": lambda net: nn.utils.clip_grad_norm_(net.parameters(), 0.1, norm_type=float("inf")),
    "value": lambda net: nn.utils.clip_grad_value_(net.parameters(), 0.01),
    "by hand": lambda net: [p.grad.mul_(0.5) for p in net.parameters()] and None,
}


@pytest.mark.parametrize("how", CLIPPINGS)
def test_clipping(how: str):
    """Gradients changed between `backward` and `step`."""
    compared(training(before_step=CLIPPINGS[how]), batches(4), native=True)


def test_accumulation_within_a_step():
    """Two backward passes and one update."""

    def build() -> Job:
        net = perceptron()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)

        def step(x: Any, y: Any) -> Any:
            optimizer.zero_grad()
            losses = []
            for part in (slice(0, 2), slice(2, 5)):
                loss = nn.functional.cross_entropy(net(x[part]), y[part]) / 2
                loss.backward()
                losses.append(loss.detach())
            optimizer.step()
            return sum(losses)

        return Job(step, net, optimizer)

    compared(build, batches(4), native=True)


def test_accumulation_over_calls():
    """Backward passes in a compiled function, the update outside it in every third call."""

    def build() -> Job:
        net = perceptron()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

        def gradients(x: Any, y: Any) -> Any:
            loss = nn.functional.cross_entropy(net(x), y)
            loss.backward()
            return loss.detach()

        def after(job: Job, i: int) -> None:
            if i % 3 == 2:
                optimizer.step()
                optimizer.zero_grad()

        return Job(gradients, net, optimizer, after)

    compared(build, batches(9), programs=2)  # with and without gradients at the start


class Remembering(nn.Module):
    """Running statistics, one of every kind."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.flat = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.BatchNorm1d(64)
        self.last = nn.Linear(64, 3)

    def forward(self, x: Any) -> Any:
        return self.last(self.flat(self.norm(self.conv(x.reshape(-1, 1, 6, 6))).relu().flatten(1)))


def test_batch_norm():
    """Running statistics and their count go on."""
    compared(training(model=Remembering, optimizer=lambda p: torch.optim.SGD(p, lr=0.01)), batches(5, features=36), rtol=1e-3, atol=1e-5)


def test_batch_norm_over_all_batches():
    """With `momentum=None` the running statistics are the means over all batches: their weights depend on how many there were."""

    def averaging() -> Any:
        return nn.Sequential(nn.Linear(8, 6), nn.BatchNorm1d(6, momentum=None), nn.Linear(6, 3))

    compared(training(model=averaging), batches(5))


def test_dropout_draws_as_eager():
    """The same masks with the same seed, and the same numbers for whoever draws next."""
    compared(
        training(model=lambda: nn.Sequential(nn.Linear(8, 32), nn.Dropout(0.3), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 3))),
        batches(5),
        native=True,
    )


def test_draws_as_eager():
    """Random numbers of many kinds, with the generator set inside or another one."""
    other = torch.Generator()

    def build() -> Job:
        other.manual_seed(3)

        def step(x: Any, y: Any) -> Any:
            noise = torch.rand(5, 8) + torch.randn_like(x) + torch.randn(5, 8, generator=other)
            chosen = torch.randperm(5)
            one = torch.bernoulli(torch.full((), 0.3)), torch.rand(()), torch.randint(0, 9, ())
            return (x + noise)[chosen], torch.bernoulli(x.sigmoid()), torch.randint(0, 9, (3,)), torch.empty(20).uniform_(1, 2), *one

        return Job(step)

    compared(build, batches(4))


class Shared(nn.Module):
    """One weight in two places."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 3)
        self.second.weight = self.first.weight

    def forward(self, x: Any) -> Any:
        return self.last(self.second(self.first(x).tanh()))


def test_shared_parameters():
    """A parameter that is used twice."""
    compared(training(model=Shared), batches(4))


def frozen() -> Any:
    """The first layer does not learn."""
    net = perceptron()
    net[0].requires_grad_(False)
    return net


def test_frozen_parameters():
    """What does not learn gets no gradient."""
    compared(training(model=frozen, optimizer=lambda p: torch.optim.AdamW(p, lr=0.1)), batches(4))


def test_unused_parameters():
    """A parameter that no loss depends on has no gradient, and its optimizer no state for it."""

    def model() -> Any:
        net = perceptron()
        net.register_parameter("unused", nn.Parameter(torch.ones(2)))
        return net

    compared(training(model=model, optimizer=lambda p: torch.optim.Adam(p, lr=0.1)), batches(4))


def test_groups():
    """Groups of parameters with hyperparameters of their own, one of them added later."""

    def build() -> Job:
        net = perceptron()
        optimizer = torch.optim.SGD([{"params": net[0].parameters(), "lr": 0.1}, {"params": [net[2].weight]}], lr=0.01, momentum=0.5)

        def step(x: Any, y: Any) -> Any:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(x), y)
            loss.backward()
            optimizer.step()
            return loss

        def after(job: Job, i: int) -> None:
            if i == 2:
                optimizer.add_param_group({"params": [net[2].bias], "lr": 0.3})

        return Job(step, net, optimizer, after)

    compared(build, batches(7), programs=2)


def test_two_optimizers():
    """A game of two players, each with an optimizer."""

    def build() -> Job:
        net, other = perceptron(), nn.Linear(3, 1)
        mine, theirs = torch.optim.Adam(net.parameters(), lr=0.01), torch.optim.RMSprop(other.parameters(), lr=0.01)

        def step(x: Any, y: Any) -> Any:
            mine.zero_grad()
            theirs.zero_grad()
            made = net(x)
            judged = nn.functional.binary_cross_entropy_with_logits(other(made.detach()), torch.ones(5, 1))
            judged.backward()
            theirs.step()
            theirs.zero_grad()
            fooled = -other(made).mean()
            fooled.backward()
            mine.step()
            return judged.detach(), fooled.detach()

        return Job(step, nn.ModuleList([net, other]), mine)

    compared(build, batches(5))


def test_double_backward():
    """A residual with second derivatives, the gradient of a gradient's norm."""

    def build() -> Job:
        net = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 1))
        optimizer = torch.optim.Adam(net.parameters(), lr=0.01)

        def step(x: Any, y: Any) -> Any:
            optimizer.zero_grad()
            x = x.detach().requires_grad_()
            (g,) = torch.autograd.grad(net(x).sum(), x, create_graph=True)
            (h,) = torch.autograd.grad(g[:, 0].sum(), x, create_graph=True)
            loss = (g.norm(dim=1) - 1).pow(2).mean() + h.pow(2).mean()
            loss.backward()
            optimizer.step()
            return loss.detach()

        return Job(step, net, optimizer)

    compared(build, batches(4), native=True)


def test_weight_averages():
    """A copy of the weights that follows them, written to in place without gradients."""

    def build() -> Job:
        net, slow = perceptron(), perceptron()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

        def step(x: Any, y: Any) -> Any:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(x), y)
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                for p, q in zip(net.parameters(), slow.parameters(), strict=True):
                    q.mul_(0.9).add_(p, alpha=0.1)
            return loss

        return Job(step, nn.ModuleList([net, slow]), optimizer)

    compared(build, batches(4), native=True)


def test_double_precision():
    """float64 throughout."""
    calls = [(x.double(), y) for x, y in batches(4)]
    compared(training(model=lambda: perceptron().double()), calls, rtol=1e-12, atol=1e-13, native=True)
