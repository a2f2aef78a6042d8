"""Steps are told apart and numbered whoever updates the parameters, and of every so many one is watched whole."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import retrograd as torch
from retrograd import nn
from retrograd.core.levels import local
from retrograd.seeing.record import Summary


def by_no_grad(w: Any) -> None:
    with torch.no_grad():
        w -= 0.1 * w.grad
    w.grad = None


def by_no_grad_and_zeros(w: Any) -> None:
    with torch.no_grad():
        w.sub_(0.1 * w.grad)
    w.grad.zero_()


def by_data(w: Any) -> None:
    w.data -= 0.1 * w.grad
    w.grad = None


def by_data_exchanged(w: Any) -> None:
    w.data = w.data - 0.1 * w.grad
    w.grad = None


def by_rows(w: Any) -> None:
    with torch.no_grad():
        for i in range(len(w)):
            w[i] -= 0.1 * w.grad[i]
    w.grad = None


WAYS = (by_no_grad, by_no_grad_and_zeros, by_data, by_data_exchanged, by_rows)


def descend(way: Callable[[Any], None], steps: int, **options: Any) -> tuple[Any, list[tuple[Any, ...]]]:
    """The record of descending a parabola by hand, with two parameters, and what is true: numbers before, gradients, numbers after."""
    v, w = torch.tensor([1.0, 2.0, 3.0], requires_grad=True), torch.tensor([[4.0], [5.0]], requires_grad=True)
    truth = []
    with torch.see(**options) as record:
        for _ in range(steps):
            ((v * v).sum() + (w * w).sum()).backward()
            before = [p._data.copy() for p in (v, w)]
            gradients = [p.grad._data.copy() for p in (v, w)]
            for p in (v, w):
                way(p)
            truth.append((before, gradients, [p._data.copy() for p in (v, w)]))
    return record, truth


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("every", [1, 3])
def test_updates_by_hand_end_steps(way: Any, every: int):
    """As an optimizer's do: numbered, each with its updates; of every so many the first is watched."""
    record, truth = descend(way, 7, every=every, keep=10)
    wanted = list(range(0, 7, every))
    assert [s.number for s in record.steps] == wanted
    assert record.watched == len(wanted)
    for step in record.steps:
        before, gradients, after = truth[step.number]
        assert [u.leaf.name for u in step.updates] == ["v", "w"]
        assert [(u.optimizer, u.passes, u.number) for u in step.updates] == [("", 1, None)] * 2
        for i, update in enumerate(step.updates):
            np.testing.assert_array_equal(update.before.array, before[i])
            np.testing.assert_array_equal(update.gradient.array, gradients[i])
            np.testing.assert_array_equal(update.after.array, after[i])
        assert step.loss == sum((b * b).sum() for b in before)
    assert {(e.name, e.status) for e in record.ledger()} == {("v", "written"), ("w", "written")}
    assert record.flow().steps == wanted
    assert record.flow().parameters["w"].steps == wanted


@pytest.mark.parametrize("every", [1, 2])
def test_updates_from_gradients_that_were_asked_for(every: int):
    """`autograd.grad` leaves `.grad` alone; what it gave is the gradient of the update."""
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    truth = []
    with torch.see(every=every) as record:
        for _ in range(4):
            (g,) = torch.autograd.grad((w * w * w).sum(), w)
            before = w._data.copy()
            g.clamp_(max=5)
            with torch.no_grad():
                w -= 0.1 * g
            truth.append((before, g._data.copy(), w._data.copy()))
    assert [s.number for s in record.steps] == list(range(0, 4, every))
    for step in record.steps:
        (update,) = step.updates
        for found, true in zip((update.before, update.gradient, update.after), truth[step.number], strict=True):
            np.testing.assert_array_equal(found.array, true)


def test_what_is_written_twice_has_what_was_between():
    """An update, then a clamp: the numbers after the first are those before the second."""
    w = torch.tensor([1.0, -2.0], requires_grad=True)
    with torch.see() as record:
        (w * w).sum().backward()
        with torch.no_grad():
            w -= w.grad
            w.clamp_(min=0)
    first, second = record.step().updates
    assert [x.array.tolist() for x in (first.before, first.after, second.before, second.after)] == [[1, -2], [-1, 2], [-1, 2], [0, 2]]


def test_a_leaf_that_is_filled_is_not_updated():
    """Without a gradient it is a write."""
    w = torch.zeros(2, requires_grad=True)
    with torch.see() as record:
        for _ in range(2):
            with torch.no_grad():
                w.fill_(1)
            w.data.fill_(2)
            w.sum()
    (step,) = record.steps
    assert step.updates == []
    assert [e.kind for e in step.events] == ["wrote", "shared", "wrote"] * 2


def adversaries(steps: int, **options: Any) -> tuple[Any, list[tuple[str, Any]]]:
    """Two networks with an optimizer each, in turns; the name of each update's optimizer and the first weight after it."""
    torch.manual_seed(0)
    made, judge = nn.Linear(2, 3), nn.Linear(3, 1)
    first, second = torch.optim.SGD(judge.parameters(), lr=0.1), torch.optim.Adam(made.parameters(), lr=0.1)
    noise = torch.rand(4, 2)
    truth = []
    with torch.see(**options) as record:
        for _ in range(steps):
            first.zero_grad()
            judge(made(noise).detach()).mean().backward()
            first.step()
            truth.append(("SGD", judge.weight._data.copy()))
            second.zero_grad()
            (-judge(made(noise)).mean()).backward()
            second.step()
            truth.append(("Adam", made.weight._data.copy()))
    return record, truth


def test_two_optimizers_in_turns():
    """Each update ends a step, and no two steps have one number."""
    record, truth = adversaries(3)
    assert [s.number for s in record.steps] == list(range(6))
    assert record.flow().steps == list(range(6))
    for step in record.steps:
        kind, weight = truth[step.number]
        assert {u.optimizer for u in step.updates} == {kind}
        np.testing.assert_array_equal(step.updates[0].after.array, weight)


def test_two_optimizers_in_turns_now_and_then():
    """From one update of the first to its next, both are watched."""
    record, _ = adversaries(9, every=4, keep=20)
    assert [s.updates[0].optimizer for s in record.steps] == ["SGD", "Adam", "SGD", "Adam", "SGD"]
    numbers = [s.number for s in record.steps]
    assert numbers == sorted(set(numbers))


def test_two_optimizers_one_after_the_other():
    """Their updates are of one step, also where the next is not watched."""
    a, b = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    first, second = torch.optim.SGD([a], lr=0.1), torch.optim.Adam([b], lr=0.1)
    with torch.see(every=2) as record:
        for _ in range(5):
            first.zero_grad()
            second.zero_grad()
            (a * b).sum().backward()
            first.step()
            second.step()
    assert [s.number for s in record.steps] == [0, 2, 4]
    assert [[u.optimizer for u in s.updates] for s in record.steps] == [["SGD", "Adam"]] * 3


def test_what_happens_after_the_watched_step_belongs_to_it():
    """Until something runs with gradients on: a write, gradients cleared, a pass that was still to come."""
    w, v = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.1)
    truth = []
    with torch.see(every=2) as record:
        for _ in range(3):
            loss = (w * w).sum()
            other = (v * 3).sum()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                w.clamp_(max=0.5)
                _ = w + 1
            truth.append(w._data.copy())
            other.backward()
            optimizer.zero_grad()
    assert [s.number for s in record.steps] == [0, 2]
    for step in record.steps:
        assert [u.optimizer for u in step.updates] == ["SGD", ""]
        np.testing.assert_array_equal(step.updates[1].after.array, truth[step.number])
        assert len(step.passes) == 2
        assert [c.name for c in step.calls] == ["mul", "sum", "mul", "sum", "clamp", "add"]


def test_what_ends_the_step_before_the_watched_one_is_not_its():
    """It begins with what runs with gradients on."""
    w = torch.ones(2, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.1)
    with torch.see(every=2) as record:
        for _ in range(3):
            loss = (w * w).sum()
            loss.backward()
            optimizer.step()
            loss.detach()
            optimizer.zero_grad()
    for step in record.steps:
        assert [c.name for c in step.calls] == ["mul", "sum"]
        assert [e.kind for e in step.events] == ["stepped", "shared", "cleared"]
        assert step.passes[0].arrivals[0].passes == 1


@pytest.mark.parametrize("every", [1, 2])
def test_weights_that_are_clipped_end_no_step(every: int):
    """By way of `.data`, with gradients on, as Wasserstein networks do: each is an update, of the step that ends or of the next."""
    torch.manual_seed(0)
    net = nn.Linear(3, 1)
    optimizer = torch.optim.RMSprop(net.parameters(), lr=0.1)
    stepped, clipped = [], [net.weight._data.copy()]
    with torch.see(every=every, keep=20) as record:
        for _ in range(5):
            optimizer.zero_grad()
            net(torch.ones(4, 3)).mean().backward()
            optimizer.step()
            stepped.append(net.weight._data.copy())
            for p in net.parameters():
                p.data.clamp_(-0.05, 0.05)
            clipped.append(net.weight._data.copy())
    by_step = {s.number: [u for u in s.updates if u.leaf.name == "weight"] for s in record.steps if s.number < 5}
    assert list(by_step) == list(range(0, 5, every))
    for number, updates in by_step.items():
        (own,) = [u for u in updates if u.optimizer]
        np.testing.assert_array_equal(own.before.array, clipped[number])
        np.testing.assert_array_equal(own.after.array, stepped[number])
        for clip in (u for u in updates if not u.optimizer):
            at = number if updates.index(clip) else number - 1
            np.testing.assert_array_equal(clip.before.array, stepped[at])
            np.testing.assert_array_equal(clip.after.array, clipped[at + 1])


def test_one_optimizer_after_the_other():
    """Each is met when the one that counted is gone, even if nobody watched when it began."""
    with torch.see(every=3, keep=20) as record:
        for _ in range(3):
            w = torch.ones(2, requires_grad=True)
            optimizer = torch.optim.SGD([w], lr=0.1)
            for _ in range(7):
                optimizer.zero_grad()
                (w * w).sum().backward()
                optimizer.step()
            del optimizer
            gc.collect()
    numbers = [s.number for s in record.steps]
    assert len(numbers) >= 7
    assert numbers == sorted(set(numbers))
    assert {u.number for s in record.steps for u in s.updates} == {0, 1, 2}


def test_a_step_that_was_recorded_by_compile_is_made_up_for():
    """By the next: one thread has one watcher at a time."""
    torch.manual_seed(0)
    net, x = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)), torch.rand(8, 3)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

    @torch.compile
    def step() -> Any:
        optimizer.zero_grad()
        loss = net(x).pow(2).mean()
        loss.backward()
        optimizer.step()
        return loss.detach()

    losses, weights = [], []
    with torch.see(every=3, keep=20) as record:
        for _ in range(13):
            weights.append(net[0].weight._data.copy())
            losses.append(step().item())
    numbers = [s.number for s in record.steps]
    assert numbers[0] == 0
    assert all(b - a <= 4 for a, b in zip(numbers, [*numbers[1:], 13], strict=True))
    for s in record.steps:
        assert s.loss == pytest.approx(losses[s.number])
        np.testing.assert_array_equal(s.updates[0].before.array, weights[s.number])


def test_another_thread_is_not_watched():
    """Even if it takes the steps that are counted."""
    w = torch.ones(2, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.1)
    watchers = []

    def step() -> None:
        optimizer.zero_grad()
        (w * w).sum().backward()
        optimizer.step()

    def elsewhere() -> None:
        for _ in range(3):
            step()
            watchers.append(local.observer)

    with torch.see(every=2, keep=20) as record:
        step()
        w.sum()  # ends the step
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        for _ in range(3):
            step()
    assert watchers == [None] * 3
    assert [s.number for s in record.steps] == [0, 5, 6]
    assert [len(s.updates) for s in record.steps] == [1, 1, 1]


class Coder(nn.Module):
    """A network whose methods the program calls, not itself."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(3, 4), nn.Tanh())
        self.decoder = nn.Linear(4, 3)

    def encode(self, x: Any) -> Any:
        return self.encoder(x)

    def decode(self, z: Any) -> Any:
        return self.decoder(z)


def test_modules_of_which_only_parts_are_called():
    """They go by their paths in the whole that a variable holds: parts that methods call, elements, and slices."""
    model, net = Coder(), nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
    x = torch.ones(2, 3)
    with torch.see() as record:
        model.decode(model.encode(x)).sum().backward()
        net[2](net[:2](x)).sum().backward()
    assert list(record.modules) == ["model", "net"]
    assert list(record.parameters) == [n for n, _ in model.named_parameters()] + [f"net.{n}" for n, _ in net.named_parameters()]
    calls = [call.modules for call in record.step().calls if call.modules]
    assert calls == [
        (("model.encoder", "Sequential"), ("model.encoder.0", "Linear")), (("model.encoder", "Sequential"), ("model.encoder.1", "Tanh")),
        (("model.decoder", "Linear"),), (("net[…]", "Sequential"), ("net.0", "Linear")), (("net[…]", "Sequential"), ("net.1", "ReLU")),
        (("net.2", "Linear"),),
    ]  # fmt: skip


def test_modules_that_are_made_anew_in_every_step():
    """A program may take any number of steps so: their names are the same in each, and none is kept."""
    net, x = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1)), torch.ones(2, 3)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with torch.see(keep=2) as record:
        for _ in range(20):
            optimizer.zero_grad()
            rest = net[1:]
            y = nn.Tanh()(rest(net[:1](x)))
            nn.MSELoss()(y, torch.zeros(2, 1)).backward()
            optimizer.step()
    assert list(record.modules) == ["net"]
    visits = ["net[…]", "net.0", "rest", "net.1", "net.2", "Tanh", "MSELoss"]
    assert [[v.path for v in step.visits] for step in record.steps] == [visits] * 2


def test_modules_that_the_program_has_let_go_of():
    """They are gone with the steps that had to do with them, and so are their parameters."""
    gone = []
    with torch.see(keep=2) as record:
        for _ in range(4):
            net = nn.Linear(3, 1)
            gone.append(weakref.ref(net))
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            for _ in range(3):
                net(torch.ones(1, 3)).sum().backward()
                optimizer.step()
    assert [found() is not None for found in gone] == [False, False, True, True]
    assert list(record.modules) == ["net#3", "net#4"]
    assert list(record.parameters) == ["net#3.weight", "net#3.bias", "net#4.weight", "net#4.bias"]
    assert [(e.name, e.status) for e in record.ledger()] == [
        ("net#3.weight", "unused"), ("net#3.bias", "unused"), ("net#4.weight", "updated"), ("net#4.bias", "updated"),
    ]  # fmt: skip


def test_modules_that_one_variable_held():
    """Each has its own name."""
    with torch.see() as record:
        for n in (2, 3):
            net = nn.Linear(n, 1)
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            net(torch.ones(1, n)).sum().backward()
            optimizer.step()
    assert list(record.modules) == ["net", "net#2"]
    assert list(record.parameters) == ["weight", "bias", "net#2.weight", "net#2.bias"]
    assert [[u.leaf.name for u in s.updates] for s in record.steps] == [["weight", "bias"], ["net#2.weight", "net#2.bias"]]
    assert [s.visits[0].path for s in record.steps] == ["net", "net#2"]
    assert [e.shape for e in record.ledger() if e.name.startswith("net#2")] == [(1, 3), (1,)]


def test_parameters_outside_modules_have_their_variables_names():
    """Or that of their list."""
    scale = nn.Parameter(torch.ones(2))
    rest = [nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))]
    optimizer = torch.optim.SGD([scale, *rest], lr=0.1)
    with torch.see() as record:
        for _ in range(2):
            optimizer.zero_grad()
            (scale * rest[0] * rest[1]).sum().backward()
            optimizer.step()
    for step in record.steps:
        assert [u.leaf.name for u in step.updates] == ["scale", "rest[0]", "rest[1]"]


def test_leaves_in_lists_and_dictionaries_have_their_names():
    """The same in all steps, whichever variable of a loop holds them later."""
    weights, more = {"a": torch.ones(2, requires_grad=True), "b": torch.ones(2, requires_grad=True)}, [torch.ones(2, requires_grad=True)]
    with torch.see() as record:
        for _ in range(2):
            penalty = sum((p * p).sum() for p in [*weights.values(), *more])
            penalty.backward()
            with torch.no_grad():
                for p in [*weights.values(), *more]:
                    p -= 0.1 * p.grad
                    p.grad = None
    for step in record.steps:
        assert [u.leaf.name for u in step.updates] == ["weights['a']", "weights['b']", "more[0]"]


def test_an_input_keeps_its_name():
    """While it lives, that under which it was met first; another tensor of that variable's has it too, and a leaf its own."""
    w = torch.ones(2, requires_grad=True)
    data = torch.ones(2)

    def step(batch: Any) -> None:
        (w * batch).sum().backward()
        with torch.no_grad():
            w.sub_(0.1 * w.grad)
        w.grad = None

    def named(record: Any) -> list[str | None]:
        products = [next(call for call in step.calls if call.name == "mul") for step in record.steps]
        return [product.operands[1].name for product in products]

    with torch.see() as record:
        first = data
        (w * first).sum().backward()
        with torch.no_grad():
            w.sub_(0.1 * w.grad)
        w.grad = None
        del first
        step(data)
        for _ in range(3):
            step(torch.ones(2))
        data.add_(1)
        step(data)
    assert named(record) == ["data", "data", "batch", "batch", "batch", "data"]


def test_what_is_known_of_inputs_is_swept_out():
    """When the tensors are gone."""
    recorder = torch.see(keep=1)
    w = torch.ones(2, requires_grad=True)
    with recorder:
        for _ in range(2500):
            x = torch.ones(2)
            (w * x).sum().backward()
            with torch.no_grad():
                w.sub_(0.1 * w.grad)
            w.grad = None
    assert len(recorder.inputs) < 1500
    assert recorder.record.steps[-1].calls[0].operands[1].name == "x"


def test_an_input_that_is_changed_along_its_gradient_ends_no_step():
    """Where an optimizer's steps count; it is an update all the same."""
    w, x = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.1)
    with torch.see() as record:
        for _ in range(3):
            optimizer.zero_grad()
            x.grad = None
            if record.optimizers:
                (w * x).sum().backward()
                x.data.add_(x.grad.sign(), alpha=0.1)
            (w * x).sum().backward()
            optimizer.step()
    assert [[(u.leaf.name, u.optimizer) for u in s.updates] for s in record.steps] == [[("w", "SGD")]] + [[("x", ""), ("w", "SGD")]] * 2


def test_a_parameter_that_a_loop_met_first_goes_by_its_modules_path():
    """Whichever variable held it."""
    net = nn.Linear(2, 1)
    with torch.see() as record:
        penalty = sum((p * p).sum() for p in net.parameters())
        (net(torch.ones(1, 2)).sum() + penalty).backward()
    assert {a.leaf.name for a in record.step().passes[0].arrivals} == {"weight", "bias"}


def test_a_version_of_a_large_tensor_is_summarised_once(monkeypatch: pytest.MonkeyPatch):
    """However often it is sliced, in watched steps and others; a write makes another version, by whichever way."""
    data, w = torch.rand(300, 4), torch.ones(4, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.1)
    true, count = Summary.of, 0

    def counted(array: Any) -> Summary:
        nonlocal count
        count += array.size > 1000
        return true(array)

    monkeypatch.setattr(Summary, "of", counted)
    counts = []
    with torch.see(every=2, limit=1000, keep=20) as record:
        for i in range(8):
            optimizer.zero_grad()
            (data[i : i + 2] * w).sum().backward()
            optimizer.step()
            with torch.no_grad():
                if i == 3:
                    data.mul_(2)
                if i == 5:
                    data.data.add_(1)
            counts.append(count)
    assert counts == [1, 1, 1, 1, 2, 2, 3, 3]
    means = [next(v for v in s.values if v.name == "data").snapshot.summary.mean for s in record.steps]
    first = means[0]
    assert means == pytest.approx([first, first, 2 * first, 2 * first + 1], rel=1e-6)
