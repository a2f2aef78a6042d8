"""What may be compiled: functions, decorated ones, methods, modules; and what a compiled function tells of itself."""

from __future__ import annotations

import copy
import functools
import pickle
import re
from typing import Any

import numpy as np
import pytest

import retrograd as torch
from retrograd.compile.capture import record
from retrograd.compile.compiled import Compiled
from retrograd.compile.graph import Program, Source
from retrograd.compile.printed import printed
from retrograd.compile.replay import Replay
from tests.compile.side_by_side import batches, perceptron
from tests.sampling import Sample
from tests.test_every_op import SAMPLES, look_up, ours, rebuilt, tensors_in

nn = torch.nn


def compiled_once(f: Any) -> bool:
    """Whether a compiled function has one program, which was certified."""
    return [v.state for v in f.programs()] == ["compiled"]


# ---------------------------------------------------------------- functions and methods


def test_decorators():
    """With and without arguments; name and documentation stay."""

    @torch.compile
    def f(x: Any) -> Any:
        """Doubles."""
        return x * 2

    @torch.compile(fullgraph=True, mode="max-autotune", backend="inductor")
    def g(x: Any) -> Any:
        return x * 3

    assert (f.__name__, f.__doc__, f.__wrapped__(torch.ones(1)).item()) == ("f", "Doubles.", 2)
    assert "f" in repr(f)
    for _ in range(3):
        assert f(torch.ones(1)).item() == 2
        assert g(torch.ones(1)).item() == 3
    assert compiled_once(f)
    assert compiled_once(g)
    assert torch.compile(f).function is f.function


@pytest.mark.parametrize("what", [3, None, "f"])
def test_not_callable(what: Any):
    """What cannot be called is refused; nothing at all gives a decorator."""
    if what is None:
        assert torch.compile(None)(lambda x: x + 1)(torch.ones(1)).item() == 2
    else:
        with pytest.raises(TypeError, match="expects a function or a module"):
            torch.compile(what)


def test_under_other_decorators():
    """Decorators above and below, of the user's and of the library."""

    def twice(f: Any) -> Any:
        @functools.wraps(f)
        def g(*args: Any) -> Any:
            return 2 * f(*args)

        return g

    @torch.no_grad()
    @twice
    def inner(x: Any) -> Any:
        return x.exp()

    f = torch.compile(inner)
    h = twice(torch.compile(lambda x: x.exp()))
    partial = torch.compile(functools.partial(lambda x, y: x - y, y=torch.ones(2)))
    x = torch.randn(2)
    for _ in range(3):
        assert torch.allclose(f(x), 2 * x.exp())
        assert torch.allclose(h(x), 2 * x.exp())
        assert torch.allclose(partial(x), x - 1)
    assert compiled_once(f)
    assert compiled_once(partial)


@torch.compile
def halved(x: Any) -> Any:
    """A decorated function of a module."""
    return x / 2


class Trainer:
    """An object with a compiled method."""

    def __init__(self, rate: float) -> None:
        self.net = perceptron()
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=rate)
        self.scale = 1.0

    def plain(self, x: Any, y: Any) -> Any:
        """One step."""
        self.optimizer.zero_grad()
        loss = nn.functional.cross_entropy(self.net(x) * self.scale, y)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    step = torch.compile(plain)


def test_methods():
    """Each object has programs of its own; attributes are looked at."""
    a, b = Trainer(0.1), Trainer(0.1)
    wanted = copy.deepcopy(a.net), copy.deepcopy(b.net)
    for trainer, net in zip((a, b), wanted, strict=True):
        other = Trainer(0.1)
        other.net, other.optimizer = net, torch.optim.SGD(net.parameters(), lr=0.1)
        for i, (x, y) in enumerate(batches(6)):
            trainer.scale = other.scale = 2.0 if i > 3 else 1.0
            assert torch.allclose(trainer.step(x, y), other.plain(x, y), rtol=1e-4)
    assert len(Trainer.step.programs()) == 4
    bound = torch.compile(a.plain)
    for x, y in batches(3):
        bound(x, y)
    assert compiled_once(bound)


def test_callable_objects():
    """An object with `__call__`, and its attributes."""

    class Scale:
        def __init__(self) -> None:
            self.by = 2.0

        def __call__(self, x: Any) -> Any:
            return x * self.by

    scale = Scale()
    f = torch.compile(scale)
    x = torch.ones(2)
    for by in (2.0, 2.0, 3.0, 3.0, 2.0):
        scale.by = by
        assert torch.equal(f(x), x * by)
    assert len(f.programs()) == 2


# ---------------------------------------------------------------- modules


class Named(nn.Module):
    """A module with an attribute and a submodule."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.gain = perceptron(), 1.0
        self.register_buffer("shift", torch.ones(3))

    def forward(self, x: Any) -> Any:
        """The net's output, changed a little."""
        return self.net(x) * self.gain + self.shift


def test_modules():
    """A compiled module is a module of its class that shares everything with the original."""
    model = Named()
    compiled = torch.compile(model)
    assert isinstance(compiled, Named)
    assert type(compiled).__name__ == "Named"
    assert repr(compiled) == repr(model)
    assert list(compiled.state_dict()) == list(model.state_dict())
    assert compiled.net is model.net
    assert [id(p) for p in compiled.parameters()] == [id(p) for p in model.parameters()]
    x = torch.randn(5, 8)
    with torch.no_grad():
        for _ in range(3):
            assert torch.allclose(compiled(x), model(x), atol=1e-6)
        compiled.gain = 2.0
        assert model.gain == 2.0
        for _ in range(3):
            assert torch.allclose(compiled(x), model(x), atol=1e-6)
        model.shift.add_(1)
        assert torch.allclose(compiled(x), model(x), atol=1e-6)
        compiled.eval()
        assert not model.training
        assert torch.allclose(compiled(x), model(x), atol=1e-6)
    assert len(compiled.programs()) == 3
    compiled.double()
    assert model.net[0].weight.dtype is torch.float64


def test_modules_copied_and_pickled():
    """Copies are compiled modules of their own, with parameters of their own."""
    model = torch.compile(Named())
    x = torch.randn(5, 8)
    with torch.no_grad():
        for _ in range(2):
            model(x)
        other = copy.deepcopy(model)
        again = pickle.loads(pickle.dumps(model))
        for twin in (other, again):
            assert isinstance(twin, Named)
            assert len(twin.programs()) == 0
            assert twin.net[0].weight is not model.net[0].weight
            for _ in range(3):
                assert torch.allclose(twin(x), model(x), atol=1e-6)
            assert compiled_once(twin)
            twin.net[0].weight.zero_()
            assert model.net[0].weight.abs().sum() > 0


def test_functions_copied_and_pickled():
    """A copy of a compiled function compiles for itself; a pickle finds the function by its name."""
    assert pickle.loads(pickle.dumps(halved)) is halved
    f = torch.compile(torch.nn.functional.softplus)
    x = torch.randn(3)
    for _ in range(2):
        f(x)
    for twin in (copy.deepcopy(f), copy.copy(f), pickle.loads(pickle.dumps(f))):
        assert len(twin.programs()) == 0
        for _ in range(3):
            assert torch.allclose(twin(x), f(x))
        assert compiled_once(twin)


# ---------------------------------------------------------------- loop


def test_loop():
    """Many steps at once give what as many calls give."""

    def trained(loop: bool) -> tuple[Any, Any]:
        torch.manual_seed(0)
        net = perceptron()
        optimizer = torch.optim.Adam(net.parameters(), lr=0.1)

        def step(x: Any, y: Any) -> Any:
            optimizer.zero_grad()
            made = net(x)
            loss = nn.functional.cross_entropy(made, y)
            loss.backward()
            optimizer.step()
            return {"loss": loss.detach(), "made": made.detach(), "n": 5}

        xs, ys = (torch.stack(list(part)) for part in zip(*batches(12), strict=True))
        if loop:
            found = torch.compile(step).loop(xs, ys)
            assert found["n"] == 5
            return (found["loss"], found["made"]), (net.state_dict(), optimizer.state_dict()["state"][0]["step"])
        parts = [step(x, y) for x, y in zip(xs, ys, strict=True)]
        return tuple(torch.stack([p[k] for p in parts]) for k in ("loss", "made")), (
            net.state_dict(),
            optimizer.state_dict()["state"][0]["step"],
        )

    mine, state = trained(loop=True)
    theirs, wanted = trained(loop=False)
    for a, b in zip(mine, theirs, strict=True):
        assert a.shape == b.shape
        assert torch.allclose(a, b, rtol=1e-4, atol=1e-5)
    for name, value in wanted[0].items():
        assert torch.allclose(state[0][name], value, rtol=1e-4, atol=1e-5)
    assert state[1] == wanted[1] == 12


def test_loop_over_trees():
    """Trees of batches; what is no tensor is given to every call."""
    f = torch.compile(lambda batch, scale: batch["x"] * scale + batch["y"].sum())
    batch = {"x": torch.arange(6.0).reshape(3, 2), "y": torch.ones(3, 4)}
    assert torch.equal(f.loop(batch, 2.0), batch["x"] * 2 + 4)


@pytest.mark.parametrize("batch", [(), (torch.ones(2), torch.ones(3)), (torch.ones(()),), (torch.ones(0, 2),)], ids=repr)
def test_loop_refuses(batch: Any):
    """No tensors, other numbers of rows, no rows."""
    with pytest.raises(ValueError, match=r"loop\(\) expects"):
        torch.compile(lambda *xs: xs[0]).loop(*batch)


# ---------------------------------------------------------------- programs and graphs


def test_programs():
    """What was compiled, why, and how long it took."""
    f = torch.compile(lambda x: x.exp())
    assert repr(f.programs()) == "no programs yet"
    with pytest.raises(IndexError, match="call the function first"):
        f.graph()
    for n in (3, 3, 4):
        f(torch.ones(n))
    first, second = f.programs()
    assert (first.state, second.state) == ("compiled", "recorded")
    assert first.why == "the first call"
    assert second.why == "argument 0: float32 [3] before, now float32 [4]"
    assert first.seconds > 0
    assert re.match(r"0: compiled, 1 steps, \d+\.\d+ s; because of the first call\n1: recorded", repr(f.programs()))


def tensors_of(program: Program, arguments: Any) -> list[Any]:
    """The tensors that a printed program is called with."""
    found = []
    for b in program.external():
        if b.kind == "made":
            continue
        if not isinstance(b.source, Source):
            found.append(torch.from_numpy(b.source))
        elif b.kind == "gradient":
            found.append(b.source.find(arguments).grad)
        else:
            found.append(b.source.find(arguments))
    return found


def call_printed(program: Program, arguments: Any, scalars: Any = ()) -> Any:
    """Runs a program's text on the tensors that it was recorded with."""
    text = printed(program)
    exec(compile(text, "<program>", "exec"), text.names)
    return text.names["program"](*tensors_of(program, arguments), scalars=scalars)


@pytest.mark.parametrize(("name", "sample"), SAMPLES, ids=[f"{n}({s!r})" for n, s in SAMPLES])
def test_every_sample_printed(name: str, sample: Sample):
    """The text computes what the operation does."""

    def function(args: Any, kwargs: Any) -> Any:
        with torch.no_grad():
            return look_up(torch, name)(*args, **kwargs)

    built = sample.build(ours, np.float64)
    again = sample.build(ours, np.float64)
    if name.endswith("_"):
        built, again = rebuilt(*built), rebuilt(*again)
    torch.manual_seed(0)
    result, program, why = record(function, built, {})
    if program is None:
        assert why
        return
    if any(not isinstance(b.source, Source) for b in program.external() if b.kind == "held"):
        return  # memory of NumPy's that the sample holds
    arguments = []
    for x in tensors_in(again, torch.Tensor):
        if not any(x is a for a in arguments):
            arguments.append(x)
    torch.manual_seed(0)
    got, _ = call_printed(program, arguments)
    wanted = tensors_in(result, torch.Tensor)
    got = [x for x in got if isinstance(x, torch.Tensor)]
    assert len(got) == len(wanted)
    for a, b in zip(got, wanted, strict=True):
        assert a.dtype is b.dtype
        np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())


def test_graph_of_a_step():
    """A whole step as text: named after parameters, it trains."""

    def made() -> tuple[Any, Any, Any]:
        torch.manual_seed(0)
        net = perceptron()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)

        def step(x: Any, y: Any) -> Any:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(x), y)
            loss.backward()
            optimizer.step()
            return loss.detach()

        return net, step, optimizer

    (net, step, _), (other, plain, _) = made(), made()
    f = Compiled(step, backend=Replay)
    data = batches(3)
    for x, y in data[:2]:
        f(x, y)
        plain(x, y)
    text = f.graph()
    assert "def program(x0, net_0_weight, net_0_bias, net_2_weight, net_2_bias, x1," in text
    assert "sgd(net_2_bias, [net_2_bias_momentum_buffer]," in text
    assert "'net_0_weight': m" in text
    program = f.programs()[-1].program
    exec(text, text.names)
    (loss,), gradients = text.names["program"](*tensors_of(program, data[2]), scalars=[0.1, 0.0, 0.9, 1.0])
    assert torch.allclose(loss, plain(*data[2]))
    for p, q in zip(net.parameters(), other.parameters(), strict=True):
        assert torch.allclose(p, q)
    assert torch.allclose(gradients["net_0_weight"], other[0].weight.grad)
