"""What `see` records is what happened, and what is watched computes what it would unwatched."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest

import retrograd as torch
from retrograd import nn
from retrograd.seeing.borrowing import SMALL, Borrowed


def network(seed: int = 0) -> tuple[Any, Any, Any]:
    """A small network with data."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    return net, torch.rand(4, 6), torch.rand(4, 3)


def train(net: Any, x: Any, y: Any, steps: int, **options: Any) -> Any:
    """Some watched steps; `options` are `see`'s."""
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    with torch.see(**options) as record:
        for _ in range(steps):
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(net(x), y)
            loss.backward()
            optimizer.step()
    return record


def test_a_step_is_told_as_it_happened():
    """Calls, the backward pass, arrivals, updates, with names, lines and modules."""
    net, x, y = network()
    before = [p.detach().clone() for p in net.parameters()]
    record = train(net, x, y, 1)
    (step,) = record.steps
    assert [c.name for c in step.calls[:3]] == ["linear", "relu", "linear"]
    first = step.calls[0]
    assert [v.label for v in first.values()] == ["x", "0.weight", "0.bias"]
    assert first.module == "net.0"
    assert first.place is not None
    assert first.place.expression == "net(x)"
    assert first.place.function == "train"
    (walk,) = step.passes
    assert [p.call for p in walk.pulls] == [c for c in reversed(step.calls) if c.node is not None]
    assert {a.leaf.name for a in walk.arrivals} == {"0.weight", "0.bias", "2.weight", "2.bias"}
    assert all(a.passes == 1 for a in walk.arrivals)
    assert step.root is step.calls[-1].results[0]
    assert [(v.path, v.kind, v.training, v.after) for v in step.visits] == [
        ("net", "Sequential", True, 0), ("net.0", "Linear", True, 0), ("net.1", "ReLU", True, 1), ("net.2", "Linear", True, 2),
    ]  # fmt: skip
    assert record.parameters == dict.fromkeys(["0.weight", "0.bias", "2.weight", "2.bias"], True)
    (stepped,) = [e for e in step.events if e.kind == "stepped"]
    assert [v.name for v in stepped.given] == list(record.parameters)
    assert {u.place.expression for u in step.updates} == {"optimizer.step()"}
    for update, was, p in zip(step.updates, before, net.parameters(), strict=True):
        np.testing.assert_array_equal(update.before.array, was.numpy())
        np.testing.assert_array_equal(update.after.array, p.detach().numpy())
        np.testing.assert_array_equal(update.gradient.array, p.grad.numpy())
        np.testing.assert_array_equal(update.state["momentum_buffer"].array, p.grad.numpy())


def test_watching_changes_nothing():
    """Parameters end with the same bits."""
    ends = []
    for watched in (True, False):
        net, x, y = network()
        if watched:
            train(net, x, y, 5, every=2)
        else:
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
            for _ in range(5):
                optimizer.zero_grad()
                nn.functional.mse_loss(net(x), y).backward()
                optimizer.step()
        ends.append([p.detach().numpy() for p in net.parameters()])
    for a, b in zip(*ends, strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_was_borrowed_is_copied_before_it_is_written_to():
    """Numbers stay as they were, whatever the program does later."""
    w = torch.ones(3, requires_grad=True)
    x = torch.tensor([1.0, 2.0, 3.0])
    with torch.see() as record:
        h = (w * x).relu()
        h.sum().backward()
        (w * x).sum().backward()
        with torch.no_grad():
            w -= 0.5 * w.grad
            x[1:].zero_()
    grad = w.grad
    with torch.no_grad():
        w.fill_(7)
        x.fill_(7)
        h.fill_(7)
        grad.fill_(7)
    step = record.steps[0]
    np.testing.assert_array_equal(record.find("w", 0).snapshot.array, [1, 1, 1])
    np.testing.assert_array_equal(record.find("x", 0).snapshot.array, [1, 2, 3])
    np.testing.assert_array_equal(step.calls[1].results[0].snapshot.array, [1, 2, 3])
    assert [a.passes for p in step.passes for a in p.arrivals] == [1, 2]
    (update,) = step.updates
    np.testing.assert_array_equal(update.gradient.array, [2, 4, 6])
    np.testing.assert_array_equal(update.after.array, [0, -1, -2])
    np.testing.assert_array_equal(step.calls[0].pull(np.ones(3, np.float32))[0], [1, 2, 3])


@pytest.mark.parametrize("kept", ["none", "base", "view", "other"])
def test_what_is_copied_when_the_watching_ends(kept: str):
    """An array, or a view of one, that anyone else has; not what nobody has, unless it is a view that is copied in no time."""
    lent = Borrowed(10 * SMALL)
    base = np.zeros(SMALL + 2)
    arrays = {"base": base, "view": base[1:], "other": base[2:]}
    snapshots = [lent.borrow(arrays[name]) for name in ("base", "view")]
    mine, borrowed = arrays.get(kept), [id(arrays[name]) for name in ("base", "view")]
    arrays.clear()
    del base
    lent.settle()
    assert [id(s.array) == was for s, was in zip(snapshots, borrowed, strict=True)] == [mine is None] * 2


def test_small_views_are_copied_when_the_watching_ends():
    """If that leaves them as they are: what rules compute with other strides may round otherwise."""
    lent, base = Borrowed(1000), np.arange(100.0).reshape(10, 10)
    views = [base[1:], base[:, 1:], np.broadcast_to(base[0], (3, 10))]
    layouts = [view.strides for view in views]
    snapshots = [lent.borrow(view) for view in views]
    borrowed = [id(view) for view in views]
    del views, base
    lent.settle()
    assert [id(s.array) == was for s, was in zip(snapshots, borrowed, strict=True)] == [False, True, True]
    assert [s.array.strides for s in snapshots] == layouts
    np.testing.assert_array_equal(snapshots[0].array, np.arange(10.0, 100.0).reshape(9, 10))


def test_one_step_in_so_many():
    """`every` watches the first of each; only the last `keep` stay whole."""
    net, x, y = network()
    record = train(net, x, y, 10, every=3, keep=2)
    assert record.watched == 4
    assert [s.number for s in record.steps] == [6, 9]
    assert all(len(s.updates) == 4 for s in record.steps)


def test_gradients_that_are_cleared_after_the_watched_step_are_not_copied():
    """It is watched until something runs again; what lives on then is copied, before it is written to."""
    net, x, y = network()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    weight = net[2].weight
    seen = []
    with torch.see(every=3) as record:
        for i in range(5):
            nn.functional.mse_loss(net(x), y).backward()
            gradient = weight.grad._data.copy()
            optimizer.step()
            seen.append((weakref.ref(weight.grad._data), gradient, weight.detach()._data.copy()))
            if i < 3:
                optimizer.zero_grad()
    assert [s.number for s in record.steps] == [0, 3]
    for step, shared in zip(record.steps, (True, False), strict=True):
        source, gradient, after = seen[step.number]
        (arrival,) = [a for a in step.passes[0].arrivals if a.leaf.name == "2.weight"]
        (update,) = [u for u in step.updates if u.leaf.name == "2.weight"]
        assert (source() is arrival.g.array) == shared
        np.testing.assert_array_equal(arrival.g.array, gradient)
        np.testing.assert_array_equal(update.after.array, after)
        assert [v.path for v in step.visits] == ["net", "net.0", "net.1", "net.2"]


def test_a_step_that_is_dropped_is_gone():
    """At once, with all its numbers: nothing in it refers back."""
    net, x, y = network()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    gc.collect()
    gc.disable()
    try:
        with torch.see(keep=1) as record:
            for _ in range(2):
                nn.functional.mse_loss(net(x), y).backward()
                optimizer.step()
                step = weakref.ref(record.steps[0].calls[0]) if record.steps else None
            nn.functional.mse_loss(net(x), y).backward()
        assert step is not None
        assert step() is None
    finally:
        gc.enable()


def test_what_was_borrowed_is_freed_with_its_step():
    """However long a program is watched, no more of it is held than the steps that are kept."""
    net, x, y = network()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    arrays = []
    with torch.see(keep=2) as record:
        for _ in range(6):
            optimizer.zero_grad()
            h = net[0](x)
            nn.functional.mse_loss(net[2](h), y).backward()
            arrays.append([weakref.ref(a) for a in (h._data, net[0].weight.grad._data)])
            optimizer.step()
    assert len(record.steps) == 2
    assert [[a() is not None for a in step] for step in arrays[:3]] == [[False, False]] * 3


def test_many_snapshots_are_swept():
    """What is known of borrowed arrays does not grow with those that are gone; what is there stays known."""
    lent, base = Borrowed(1000), np.zeros(10)
    kept = [lent.borrow(base), lent.borrow(base[1:])]
    for _ in range(3):
        for i in range(1000):
            lent.borrow(base[i % 9 :])
        lent.sweep()
    assert len(lent.snapshots) + lent.of_views < 10
    lent.give_back(base)
    base[:] = 1
    assert [s.array.any() for s in kept] == [False, False]


def test_what_an_operation_knew_is_what_it_was_when_it_ran():
    """Its rules run on these numbers, whatever was written since."""
    w = torch.ones(3, requires_grad=True)
    x = torch.tensor([1.0, 2.0, 3.0])
    with torch.see() as record:
        w * x
        x.fill_(7)
    np.testing.assert_array_equal(record.steps[0].calls[0].pull(np.ones(3, np.float32))[0], [1, 2, 3])


def test_the_lists_of_a_step_are_made_once():
    """When they are first asked for."""
    net, x, y = network()
    step = train(net, x, y, 1).steps[0]
    with pytest.raises(AttributeError):
        object.__getattribute__(step, "calls")
    assert step.calls is step.calls
    assert step.order[0] is step.calls[0]
    with pytest.raises(AttributeError, match="no attribute 'call'"):
        _ = step.call


def test_a_decorated_function():
    """Each watched call is a step; a compiled function runs compiled in between."""
    net, x, y = network()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

    @torch.see(every=4)
    @torch.compile
    def step(x: Any) -> Any:
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(net(x), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    losses = [step(x).item() for _ in range(9)]
    assert losses == sorted(losses, reverse=True)
    assert [s.number for s in step.record.steps] == [0, 4, 8]
    assert {u.number for s in step.record.steps for u in s.updates} == {0}
    assert [s.root.snapshot.array.item() for s in step.record.steps] == pytest.approx([losses[0], losses[4], losses[8]])


def test_a_crash_leaves_what_was_seen():
    """The record up to there, with the operation, or the node, that failed."""
    net, x, _ = network()
    recorder = torch.see()
    with pytest.raises(RuntimeError, match="shapes"), recorder:
        net[2](net[0](x) @ torch.ones(2, 2))
    failure = recorder.record.failure
    assert (failure.kind, failure.operation, failure.backward) == ("RuntimeError", "matmul", None)
    assert failure.place.expression == "net[0](x) @ torch.ones(2, 2)"
    assert [c.name for c in recorder.record.steps[0].calls] == ["linear"]
    made = recorder.record.steps[0].calls[0].results[0]
    assert (failure.operands[0], failure.operands[1].shape) == (made, (2, 2))

    class Broken(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            raise ValueError("no derivative")

    recorder = torch.see()
    w = torch.ones(2, requires_grad=True)
    with pytest.raises(ValueError, match="no derivative"), recorder:
        Broken.apply(w).sum().backward()
    assert [p.call.name for p in recorder.record.steps[0].passes[0].pulls] == ["sum"]
    failure = recorder.record.failure
    assert (failure.kind, failure.backward.name, failure.operation) == ("ValueError", "Broken", None)
    assert failure.v[0].array.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("operation", "operands", "crash"),
    [
        ("linear", [(2, 5), (4, 3), (4,)], lambda: nn.Sequential(nn.ReLU(), nn.Linear(3, 4))(torch.ones(2, 5))),
        ("cat", [(2,), (1, 2)], lambda: torch.cat([torch.ones(2), torch.ones(1, 2)])),
        ("view", [(6,)], lambda: torch.ones(6).view(7)),
        ("add", [(3,), (2,)], lambda: torch.ones(3).add_(torch.ones(2))),
        ("add_", [(3,)], lambda: torch.ones(3, requires_grad=True).add_(1)),
        ("backward", [(3,)], lambda: torch.ones(3, requires_grad=True).backward()),
    ],
)
def test_what_a_failing_operation_was_given(operation: str, operands: list[Any], crash: Any):
    """Even if it is the first of its step: then the step has nothing but it."""
    recorder = torch.see()
    with pytest.raises((RuntimeError, ValueError)), recorder:
        crash()
    failure, (step,) = recorder.record.failure, recorder.record.steps
    assert (failure.operation, [x.shape for x in failure.operands if x is not None and not isinstance(x, int)]) == (operation, operands)
    assert failure.step == step.number
    assert failure.modules == ((("Sequential", "Sequential"), ("Sequential.1", "Linear")) if operation == "linear" else ())


def test_a_crash_outside_all_operations_belongs_to_the_step_before():
    """It makes no step of its own."""
    net, x, y = network()
    recorder = torch.see()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

    def program() -> None:
        nn.functional.mse_loss(net(x), y).backward()
        optimizer.step()
        raise KeyError("nothing")

    with pytest.raises(KeyError), recorder:
        program()
    assert (recorder.record.failure.step, [s.number for s in recorder.record.steps]) == (0, [0])


def test_enormous_tensors_are_summarised():
    """Beyond `limit` elements there are statistics only."""
    w = torch.ones(100, requires_grad=True)
    with torch.see(limit=50) as record:
        (w * w).sum().backward()
    value = record.find("w")
    assert value.snapshot.array is None
    assert (value.snapshot.summary.mean, value.snapshot.summary.norm) == (1.0, 10.0)
    with pytest.raises(ValueError, match="not kept"):
        record.steps[0].calls[0].pull(np.ones(100, np.float32))


@pytest.mark.parametrize("bad", [{"every": 0}, {"keep": -1}, {"limit": 1.5}])
def test_bad_options(bad: dict[str, Any]):
    """Named, with what was expected."""
    with pytest.raises(ValueError, match="whole number of at least 1"):
        torch.see(**bad)


def test_each_zero_grad_has_its_line():
    """Two in a row are told apart."""
    nets = [network(i)[0] for i in range(2)]
    one, two = (torch.optim.SGD(net.parameters(), lr=0.1) for net in nets)
    for net in nets:
        net(torch.ones(1, 6)).sum().backward()
    with torch.see() as record:
        one.zero_grad()
        two.zero_grad()
    lines = [e.place.line for e in record.steps[0].events]
    assert lines == [lines[0]] * 4 + [lines[0] + 1] * 4


class Parts(torch.autograd.Function):
    """Product and sum."""

    @staticmethod
    def forward(ctx, x, y, scale=1):
        ctx.save_for_backward(x, y)
        ctx.scale = scale
        return x * y * scale, x + y

    @staticmethod
    def backward(ctx, g, h):
        x, y = ctx.saved_tensors
        return g * y * ctx.scale + h, g * x * ctx.scale + h, None


def test_a_custom_function_is_a_call():
    """With its operands and results; what uses a result knows who made it; a second pass from it is told as well."""
    x, y = torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor([3.0, 4.0], requires_grad=True)
    with torch.see() as record:
        product, total = Parts.apply(x, y, 2)
        loss = (product * total).sum()
        loss.backward(retain_graph=True)
        torch.autograd.grad(product, x, torch.ones(2))
    step = record.step()
    call = next(c for c in step.calls if c.op is None)
    assert (call.name, call.operands[2], call.place.text) == ("Parts", 2, "product, total = Parts.apply(x, y, 2)")
    assert [v.label for v in call.values()] == ["x", "y"]
    assert [r.snapshot.array.tolist() for r in call.results] == [[6.0, 16.0], [4.0, 6.0]]
    mul = next(c for c in step.calls if c.name == "mul" and c.node is not None)
    assert [(v.call, v.output) for v in mul.values()] == [(call, 0), (call, 1)]
    assert step.passes[1].roots == (call.results[0],)
    assert len(call.pulls) == 2
    assert [g.tolist() for g in call.pull([np.ones(2, np.float32), np.zeros(2, np.float32)])[:2]] == [[6.0, 8.0], [2.0, 4.0]]


def test_a_custom_function_of_an_earlier_step():
    """What is not known of its results breaks nothing."""
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    product, total = Parts.apply(x, x)
    with torch.see() as record:
        (product * total).sum().backward(retain_graph=True)
        total.backward(torch.ones(2), retain_graph=True)
    assert [len(p.pulls) for p in record.step().passes] == [3, 1]


def test_one_watcher_at_a_time():
    """A second one is refused, and the first goes on."""
    with torch.see() as record:
        with pytest.raises(RuntimeError, match="watched already"), torch.see():
            pass
        torch.ones(2) + 1
    assert len(record.steps[0].calls) == 1


def test_what_is_not_there():
    """Asked for, it is named."""
    with torch.see() as record:
        pass
    with pytest.raises(KeyError, match="nothing was recorded"):
        record.step()
    net, x, y = network()
    record = train(net, x, y, 3, keep=2)
    with pytest.raises(KeyError, match="kept: 1, 2"):
        record.step(0)
    with pytest.raises(KeyError, match=r"named ones are: .*0\.bias"):
        record.find("nothing")
