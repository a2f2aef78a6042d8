"""What happens between the calls of a compiled function: weights changed, states loaded, modes switched, gradients held, other shapes."""

from __future__ import annotations

import copy
import warnings
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import retrograd as torch
from retrograd.compile.compiled import Compiled
from retrograd.compile.replay import Replay
from tests.compile.side_by_side import Job, batches, compared, perceptron, training

nn = torch.nn


def in_turn(*actions: Callable[[Job], Any]) -> Callable[[Job, int], None]:
    """Does one after the second call, the next after the third, and so on."""

    def after(job: Job, i: int) -> None:
        if 1 <= i <= len(actions):
            actions[i - 1](job)

    return after


def momentum(params: Any) -> Any:
    """An optimizer with a state."""
    return torch.optim.SGD(params, lr=0.1, momentum=0.9)


def adam(params: Any) -> Any:
    """An optimizer that counts its steps."""
    return torch.optim.Adam(params, lr=0.1)


# ---------------------------------------------------------------- weights

other_numbers = perceptron().state_dict()


def exchange(job: Job) -> None:
    """`p.data = ...` for every parameter."""
    for p in job.model.parameters():
        p.data = torch.full(p.shape, 0.1)


def write(job: Job) -> None:
    """Writes in place."""
    with torch.no_grad():
        for p in job.model.parameters():
            p.mul_(0.5)


def write_data(job: Job) -> None:
    """Writes through `.data`, and through NumPy."""
    job.model[0].weight.data.fill_(0.2)
    job.model[2].weight.detach().numpy()[...] = 0.3


def load(job: Job) -> None:
    """`load_state_dict`, in place or by assignment."""
    job.model.load_state_dict(other_numbers)


def assign(job: Job) -> None:
    """The same by assignment: the optimizer goes on with the old parameters."""
    job.model.load_state_dict({k: v.clone() for k, v in other_numbers.items()}, assign=True)


@pytest.mark.parametrize("action", [exchange, write, write_data, load], ids=lambda f: f.__name__)
@pytest.mark.parametrize("optimizer", [momentum, adam], ids=lambda f: f.__name__)
def test_weights_changed(action: Callable[[Job], None], optimizer: Any):
    """The next call sees the new numbers, without another program."""
    compared(training(optimizer=optimizer, after=in_turn(action, action, lambda job: None, action)), batches(7))


def test_parameters_replaced():
    """New Parameter objects in the module are a new program."""
    compared(training(optimizer=momentum, after=in_turn(assign)), batches(5), programs=3)  # nobody clears the new gradients


def test_parameter_rebound_by_name():
    """The same by setting an attribute."""

    def after(job: Job) -> None:
        job.model[2].bias = nn.Parameter(torch.ones(3))
        job.optimizer.add_param_group({"params": [job.model[2].bias]})

    compared(training(optimizer=momentum, after=in_turn(after)), batches(6), programs=2)


def test_other_layout():
    """A weight whose memory is laid out otherwise needs another program."""

    def after(job: Job) -> None:
        p = job.model[0].weight
        p.data = p.data.T.contiguous().T

    compared(training(after=in_turn(after)), batches(5), programs=2)


def test_tied_later():
    """Two parameters that come to share memory are no longer what was recorded."""

    def build() -> Job:
        a, b = (torch.ones(3, requires_grad=True) for _ in range(2))

        def step(x: Any) -> Any:
            with torch.no_grad():
                a.add_(x)
                return (a * b).sum()

        def after(job: Job, i: int) -> None:
            if i == 2:
                b.data = a.data

        return Job(step, after=after)

    compared(build, [(torch.full((3,), float(i)),) for i in range(6)], programs=2)


# ---------------------------------------------------------------- optimizers


def state_back(job: Job) -> None:
    """`optimizer.load_state_dict` of a state with other numbers."""
    state = copy.deepcopy(job.optimizer.state_dict())
    for values in state["state"].values():
        for name, value in values.items():
            if isinstance(value, torch.Tensor):
                values[name] = value + 1 if name == "step" else value * 0.5
    state["param_groups"][0]["lr"] = 0.05
    job.optimizer.load_state_dict(state)


@pytest.mark.parametrize("optimizer", [momentum, adam], ids=lambda f: f.__name__)
def test_state_loaded(optimizer: Any):
    """The next call goes on from the state that was loaded, and with its learning rate."""
    compared(training(optimizer=optimizer, after=in_turn(state_back, lambda job: None, state_back)), batches(6))


def forget(job: Job) -> None:
    """An optimizer's state cleared."""
    job.optimizer.state.clear()


@pytest.mark.parametrize("optimizer", [momentum, adam], ids=lambda f: f.__name__)
def test_state_cleared(optimizer: Any):
    """A step with a fresh state is made in eager; then the program goes on."""
    compared(training(optimizer=optimizer, after=in_turn(forget, lambda job: None, forget)), batches(7))


def set_rate(job: Job) -> None:
    """Another learning rate and weight decay."""
    job.optimizer.param_groups[0].update(lr=0.01, momentum=0.5)


def set_form(job: Job) -> None:
    """A term that was not there."""
    job.optimizer.param_groups[0]["weight_decay"] = 0.1


def test_hyperparameters():
    """Numbers are live; a term that comes in is another program."""
    compared(training(optimizer=momentum, after=in_turn(set_rate)), batches(5))
    compared(training(optimizer=momentum, after=in_turn(set_form)), batches(5), programs=2)


def test_rate_is_a_tensor():
    """A learning rate in a tensor, written in place."""

    def build() -> Job:
        rate = torch.tensor(0.1)
        return training(optimizer=lambda p: torch.optim.SGD(p, lr=rate), after=lambda job, i: rate.mul_(0.5))()

    compared(build, batches(5))


def test_partly_stepped():
    """Parameters whose steps are counted apart are told apart."""

    def after(job: Job) -> None:
        job.optimizer.state[job.model[0].weight]["step"] += 5

    compared(training(optimizer=adam, after=in_turn(after)), batches(6), programs=2)


# ---------------------------------------------------------------- modes


def test_train_and_eval():
    """Each mode has a program of its own, and both stay."""

    def build() -> Job:
        net = nn.Sequential(nn.Linear(8, 6), nn.Dropout(0.5), nn.BatchNorm1d(6), nn.Linear(6, 3))

        def predict(x: Any, y: Any) -> Any:
            with torch.no_grad():
                return net(x)

        return Job(predict, net, after=lambda job, i: net.train(i % 2 == 0))

    compared(build, batches(8), programs=2)


def test_mode_of_gradients():
    """Under no_grad, inference_mode and neither."""

    @torch.compile
    def f(x: Any) -> Any:
        return x.tanh() * 2, torch.is_grad_enabled()

    x = torch.randn(4)
    for _ in range(3):
        assert f(x)[1]
        with torch.no_grad():
            assert not f(x)[1]
        with torch.inference_mode():
            y, on = f(x)
        assert not on
        assert torch.allclose(y, x.tanh() * 2)
    assert len(f.programs()) == 3


def test_default_dtype():
    """Another default dtype is another program."""

    @torch.compile
    def f(x: Any) -> Any:
        return x + torch.ones(3) / 3

    x = torch.zeros(3, dtype=torch.int64)
    for _ in range(2):
        assert f(x).dtype is torch.float32
    torch.set_default_dtype(torch.float64)
    try:
        for _ in range(2):
            assert f(x).dtype is torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


# ---------------------------------------------------------------- what is given out


def test_losses_kept():
    """Results are not overwritten by later calls, whoever holds them."""
    net, optimizer = perceptron(), None
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

    @torch.compile
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        made = net(x)
        loss = nn.functional.cross_entropy(made, y)
        loss.backward()
        optimizer.step()
        return loss, made.detach()

    kept, numbers = [], []
    for x, y in batches(6):
        loss, made = step(x, y)
        kept.append((loss, made))
        numbers.append((loss.item(), made.numpy().copy()))
    for (loss, made), (number, values) in zip(kept, numbers, strict=True):
        assert loss.item() == number
        np.testing.assert_array_equal(made.numpy(), values)
    assert len({loss.item() for loss, _ in kept}) == 6
    assert kept[-1][0].requires_grad
    with pytest.raises(RuntimeError, match="second time"):
        kept[-1][0].backward()


@pytest.mark.parametrize("how", ["tensor", "view", "numpy", "detached"])
def test_gradients_held(how: str):
    """A gradient that the user holds, in whatever form, is not overwritten by the next call."""
    net = perceptron()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()

    step = Compiled(step, backend=Replay)
    p = net[0].weight
    forms = {"tensor": lambda g: g, "view": lambda g: g[0], "numpy": lambda g: g.numpy(), "detached": lambda g: g.detach()}
    held = []
    for i, (x, y) in enumerate(batches(8)):
        step(x, y)
        assert p.grad is not None
        if i % 3:
            form = forms[how](p.grad)
            held.append((form, np.array(form)))
    for form, values in held:
        np.testing.assert_array_equal(np.array(form), values)
    assert len({v.tobytes() for _, v in held}) == len(held)


def test_gradient_memory_is_used_again():
    """A gradient that nobody holds is where it was at the last call."""
    w = torch.ones(3, requires_grad=True)

    def step(x: Any) -> None:
        w.grad = None
        (w * x).sum().backward()

    step = Compiled(step, backend=Replay)
    places = set()
    for i in range(6):
        step(torch.full((3,), float(i)))
        assert torch.equal(w.grad, torch.full((3,), float(i)))
        if i > 2:
            places.add(w.grad.data_ptr())
    assert len(places) == 1


def test_gradient_of_an_argument():
    """`.grad` of a leaf that is passed in."""

    @torch.compile
    def f(w: Any, x: Any) -> Any:
        (w * x).sum().backward()

    for i in range(4):
        w, x = torch.ones(3, requires_grad=True), torch.full((3,), float(i))
        f(w, x)
        assert torch.equal(w.grad, x)
        f(w, x)
        assert torch.equal(w.grad, 2 * x)
    assert len(f.programs()) == 2


def test_results_that_are_what_they_were():
    """The very tensor that came in, a view of it, a parameter, a parameter's gradient."""
    w = torch.ones(3, requires_grad=True)

    @torch.compile
    def f(x: Any) -> Any:
        x.mul_(2)
        w.grad = None
        (w * x).sum().backward()
        return x, x[1:], w, w.grad

    for _ in range(4):
        x = torch.arange(3.0)
        a, b, c, d = f(x)
        assert a is x
        assert b._base.base is x
        assert b.data_ptr() == x.data_ptr() + 4
        assert c is w
        assert d is w.grad
        assert torch.equal(d, x)
        b.add_(1)
        assert x[1] == 3


def test_views_written_in_place():
    """Writes through views of arguments, of what is held, and of what the function makes."""

    def build() -> Job:
        held = torch.zeros(4, 4)

        def step(x: Any) -> Any:
            held[:, 1].add_(x)
            held.diagonal().mul_(2)
            x.view(2, 2)[0].neg_()
            made = torch.zeros(3, 4)
            made[1] = x
            made.T[2] += 1
            return made, held.sum(), held.T.contiguous()

        return Job(step)

    compared(build, [(torch.arange(4.0) + i,) for i in range(5)], native=True)


def test_version_counters():
    """A write by a program is noticed by a tape that runs outside it."""
    w = torch.ones(3, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.1)

    @torch.compile
    def step(x: Any) -> None:
        optimizer.zero_grad()
        (w * x).sum().backward()
        optimizer.step()

    for _ in range(3):
        step(torch.ones(3))
    before = w._version[0]
    loss = (w * w).sum()
    step(torch.ones(3))
    assert w._version[0] == before + 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


# ---------------------------------------------------------------- other calls


def test_sizes():
    """A smaller last batch is a program of its own; the first stays."""
    calls = [*batches(4), *batches(1, size=2), *batches(3), *batches(1, size=2)]
    function = compared(training(), calls, programs=2)
    assert "argument 0: float32 [5, 8] before, now float32 [2, 8]" in function.programs()[1].why


def test_kinds_of_arguments():
    """Dtypes, layouts, leaves and constants are told apart; equal constants are not."""

    @torch.compile
    def f(x: Any, scale: Any = 1.0, *, names: Any = ("a",)) -> Any:
        return x * scale + len(names)

    x = torch.randn(4, 4)
    calls = [
        ((x,), {}),
        ((x.double(),), {}),
        ((x.T,), {}),
        ((x, 2.0), {}),
        ((x, 2), {}),
        ((x,), {"names": ("a", "b")}),
        ((x.clone().requires_grad_().detach(), 2.0), {}),
    ]
    for _ in range(3):
        for args, kwargs in calls:
            wanted = args[0] * (args[1] if len(args) > 1 else 1.0) + len(kwargs.get("names", "a"))
            got = f(*args, **kwargs)
            assert got.dtype is wanted.dtype
            assert torch.equal(got, wanted)
    assert len(f.programs()) == 6


def test_trees_of_arguments():
    """Dictionaries, lists and tuples of tensors, in and out."""

    @torch.compile
    def f(batch: Any) -> Any:
        return {"sum": batch["x"] + batch["more"][0], "rest": [batch["more"][1].exp(), 3], "none": None}

    for i in range(4):
        x = torch.full((3,), float(i))
        found = f({"x": x, "more": (x, x)})
        assert torch.equal(found["sum"], 2 * x)
        assert torch.allclose(found["rest"][0], x.exp())
        assert found["rest"][1] == 3
        assert found["none"] is None
    assert len(f.programs()) == 1
    with pytest.raises(KeyError):
        f({"x": x})


@dataclass
class Batch:
    """Two tensors and a number."""

    x: Any
    y: Any = None
    by: float = 1.0

    def scaled(self) -> Any:
        return self.x * self.by


def test_dataclasses_among_arguments():
    """A dataclass that is made anew for each call is what its attributes are: tensors are tensors of the call, numbers are compared."""

    def f(batches: Any) -> Any:
        first, second = batches
        return first.scaled() + (second.x if second.y is None else second.y.sum())

    compiled = Compiled(f, backend=Replay)
    for by in (1.0, 2.0):
        for y in (None, torch.ones(2)):
            for i in range(3):
                given = [Batch(torch.arange(3.0) + i, by=by), Batch(torch.ones(3) * i, y)]
                assert torch.equal(compiled(given), f(given))
    assert [v.state for v in compiled.programs()] == ["compiled"] * 4
    assert ".by: 1.0 before, now 2.0" in compiled.programs()[2].why
    given[0].extra = 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(compiled(given), f(given))
    assert len(compiled.programs()) == 5

    def g(batch: Any) -> Any:
        batch.y = batch.x * 2
        return batch.y + 1

    changing = Compiled(g, backend=Replay)
    with pytest.warns(UserWarning, match="changes a list, a dict or a dataclass among its arguments"):
        changing(Batch(torch.ones(3)))
    batch = Batch(torch.full((3,), 2.0))
    changing(batch)
    assert torch.equal(batch.y, torch.full((3,), 4.0))


def test_too_many_kinds():
    """Beyond the limit, calls run in eager, and one warning says why."""
    f = Compiled(lambda x, n: x * n, backend=Replay)
    f.limit = 3
    x = torch.ones(2)
    for n in range(3):
        assert torch.equal(f(x, n), x * n)
    with pytest.warns(UserWarning, match="more than 3 ways.*argument 1: 1 before, now 2"):
        assert torch.equal(f(x, 3), x * 3)
    assert torch.equal(f(x, 4), x * 4)
    assert torch.equal(f(x, 2), x * 2)
    assert len(f.programs()) == 3


def test_dynamic():
    """With `dynamic=True`, a kind that comes only once is not compiled."""
    f = Compiled(lambda x: x * 2, dynamic=True, backend=Replay)
    for n in (3, 4, 5, 6, 3, 4, 3):
        assert torch.equal(f(torch.ones(n)), 2 * torch.ones(n))
    assert len(f.programs()) == 2  # 3, and 4 when it came again


def test_overlapping_arguments():
    """Arguments that share memory with each other, or with what is written to, are not what was recorded."""

    @torch.compile
    def f(x: Any, y: Any) -> Any:
        x.add_(1)
        return x + y

    for _ in range(3):
        x, y = torch.zeros(3), torch.zeros(3)
        assert torch.equal(f(x, y), torch.ones(3))
    with pytest.warns(UserWarning, match="runs in eager"):
        assert torch.equal(f(x, x.view(3)), 2 * x)
    assert torch.equal(f(x, x), 2 * x)
    z = torch.zeros(5)
    assert torch.equal(f(z[0:2], z[1:3]), torch.tensor([2.0, 1.0]))


def test_an_argument_that_is_reached_too():
    """A weight that is given as an argument at one call, and is another tensor at the next, has the gradients of both ways or of one."""
    weight = torch.ones(3, requires_grad=True)

    def f(x: Any, p: Any) -> None:
        (x * p * weight).sum().backward()

    compiled = Compiled(f, backend=Replay)
    for i in range(8):
        other = torch.full((3,), 2.0, requires_grad=True)
        weight.grad = None
        same = i % 4 > 1
        compiled(torch.full((3,), 3.0), weight if same else other)
        assert torch.equal(weight.grad, torch.full((3,), 6.0))
        if not same:
            assert torch.equal(other.grad, torch.full((3,), 3.0))
    assert [v.state for v in compiled.programs()] == ["compiled"] * 2


def test_pieces_of_one_array():
    """Batches cut from one array, wherever they begin."""
    data = torch.arange(40.0).reshape(10, 4)

    @torch.compile
    def f(x: Any) -> Any:
        return x.sum(1)

    for i in range(0, 8, 2):
        assert torch.equal(f(data[i : i + 2]), data[i : i + 2].sum(1))
    assert len(f.programs()) == 1


# ---------------------------------------------------------------- what the function reaches


def test_reached_values():
    """Closure variables, globals, attributes and containers are looked at at each call."""
    scale, table, factors = 2.0, {"bias": 1.0}, [1.0, 2.0]

    class Holder:
        offset = 0.0

        def __init__(self) -> None:
            self.power = 1

    holder = Holder()

    def f(x: Any) -> Any:
        return (x * scale + table["bias"]) ** holder.power + holder.offset + sum(factors)

    compiled = Compiled(f, backend=Replay)
    x = torch.arange(3.0)

    def agrees() -> None:
        for _ in range(2):
            assert torch.equal(compiled(x), f(x))

    agrees()
    scale = 3.0
    agrees()
    table["bias"] = 2.0
    agrees()
    holder.power = 2
    agrees()
    Holder.offset = 1.0
    agrees()
    factors.append(4.0)
    agrees()
    assert [v.why for v in compiled.programs()] == [
        "the first call",
        "the variable 'scale': 2.0 before, now 3.0",
        "table['bias']: 1.0 before, now 2.0",
        "holder.power: 1 before, now 2",
        "Holder.offset: 0.0 before, now 1.0",
        "the length of factors: 2 before, now 3",
    ]


def test_reached_containers():
    """Sets, arrays of NumPy, deques, large lists and dicts, and objects with slots."""

    class Slotted:
        __slots__ = ("by",)

        def __init__(self) -> None:
            self.by = 1.0

    words, array, queue = {"a"}, np.ones(3), deque([1.0, 2.0])
    large, table, slotted = [1.0] * 100, dict.fromkeys(range(100), 1.0), Slotted()

    def f(x: Any) -> Any:
        return x * len(words) + float(array[1]) + queue[0] + large[50] + table[7] * slotted.by

    compiled = Compiled(f, backend=Replay)
    compiled.limit = 20
    x = torch.arange(3.0)

    def change(i: int) -> None:
        changes = [
            lambda: words.add("b"),
            lambda: array.__setitem__(1, 5.0),
            lambda: queue.appendleft(3.0),
            lambda: large.__setitem__(50, 4.0),
            lambda: table.__setitem__(7, 6.0),
            lambda: setattr(slotted, "by", 2.0),
        ]
        changes[i]()

    for i in range(7):
        for _ in range(3):
            assert torch.equal(compiled(x), f(x))
        if i < 6:
            change(i)
    assert [v.state for v in compiled.programs()] == ["compiled"] * 7


def test_learning_rate_looked_at():
    """A hyperparameter that the function itself reads is a constant of its program."""

    def build() -> Job:
        job = training(optimizer=momentum)()
        step = job.step

        def with_rate(x: Any, y: Any) -> Any:
            step(x, y)
            return job.optimizer.param_groups[0]["lr"]

        def after(job: Job, i: int) -> None:
            job.optimizer.param_groups[0]["lr"] = 0.1 if i < 3 else 0.2

        return Job(with_rate, job.model, job.optimizer, after)

    compared(build, batches(7), programs=2)


def test_rate_set_inside():
    """A hyperparameter that the function sets is no tensor: it runs in eager, and says so."""
    net = perceptron()
    optimizer = momentum(net.parameters())

    @torch.compile
    def step(x: Any, y: Any) -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
        for group in optimizer.param_groups:
            group["lr"] *= 0.5

    (first, *others) = batches(4)
    step(*first)  # makes the state
    with pytest.warns(UserWarning, match="runs in eager.*changes .*lr"):
        step(*others[0])
    for batch in others[1:]:
        step(*batch)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1 * 0.5**4)
