"""Results of compiled functions that are differentiated outside them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import retrograd as torch
from retrograd.compile.compiled import Compiled
from retrograd.compile.replay import Replay
from tests.compile.side_by_side import Job, batches, compared, perceptron

nn = torch.nn


def pair(make: Callable[[], Any]) -> tuple[Any, Any]:
    """The same module twice, the first compiled."""
    torch.manual_seed(0)
    model = make()
    return torch.compile(model), copy.deepcopy(model)


def close(a: Any, b: Any) -> None:
    """Asserts that two tensors (or no tensors) agree."""
    if b is None:
        assert a is None
    else:
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), 1e-4, 1e-5)


def gradients_agree(mine: Any, theirs: Any) -> None:
    """Asserts that two modules have the same gradients."""
    for p, q in zip(mine.parameters(), theirs.parameters(), strict=True):
        close(p.grad, q.grad)


MODELS = {
    "perceptron": perceptron,
    "dropout": lambda: nn.Sequential(nn.Linear(8, 16), nn.Dropout(0.4), nn.ReLU(), nn.Linear(16, 3)),
    "norm": lambda: nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.GELU(), nn.LayerNorm(16), nn.Linear(16, 3)),
    "frozen": lambda: nn.Sequential(nn.Linear(8, 16).requires_grad_(False), nn.Tanh(), nn.Linear(16, 3)),
    "alone": lambda: nn.Linear(8, 3),
}


@pytest.mark.parametrize("name", MODELS)
def test_compiled_model_in_a_plain_loop(name: str):
    """The loop of every tutorial: the model compiled, the loss and the optimizer not."""

    def build(compiled: bool) -> list[Any]:
        torch.manual_seed(0)
        model = MODELS[name]()
        called = torch.compile(model) if compiled else model
        optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1, momentum=0.9)
        losses = []
        for x, y in batches(7):
            optimizer.zero_grad()
            made = called(x)
            loss = nn.functional.cross_entropy(made, y)
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        if compiled:
            assert [v.state for v in called.programs()] == ["compiled"]
            assert made.grad_fn.name() == "CompiledFunctionBackward"
        return [*losses, *model.parameters(), *model.buffers(), *[p.grad for p in model.parameters()], torch.rand(2)]

    got = build(compiled=True)[:-1]
    for a, b in zip(got, build(compiled=False)[:-1], strict=True):
        close(a, b)


def test_nobody_asks():
    """Where no result is differentiated, no backward program is recorded."""
    model, plain = pair(perceptron)
    for x, _ in batches(4):
        close(model(x), plain(x))
    (variant,) = model.programs()
    assert variant.state == "compiled"
    assert variant.program.tie.backward is None
    assert variant.program.tie.saved == []
    assert model(x).requires_grad


def test_asked_late():
    """A gradient asked for after many calls is right, also the first time; from then on there is a backward program."""
    model, plain = pair(perceptron)
    for i, (x, y) in enumerate(batches(10)):
        losses = [nn.functional.cross_entropy(m(x), y) for m in (model, plain)]
        close(*losses)
        if i >= 4:
            for loss in losses:
                loss.backward()
            gradients_agree(model, plain)
    (variant,) = model.programs()
    assert variant.why == "a gradient asked for outside"
    assert variant.program.tie.backward is not None


def test_gradients_of_arguments():
    """Of arguments that are leaves, that were computed, and in a chain of compiled functions."""
    first, plain_first = pair(lambda: nn.Linear(8, 8))
    second, plain_second = pair(perceptron)
    for x, y in batches(6):
        found = []
        for a, b in ((first, second), (plain_first, plain_second)):
            leaf = x.clone().requires_grad_()
            nn.functional.cross_entropy(b(a(leaf * 2).relu()), y).backward()
            found.append(leaf.grad)
        close(*found)
        gradients_agree(first, plain_first)
        gradients_agree(second, plain_second)
    assert [v.state for m in (first, second) for v in m.programs()] == ["compiled"] * 2


def test_several_results():
    """Any of several results, of which some were differentiated before, some are without gradient."""

    def f(x: Any, w: Any) -> Any:
        y = x * w
        return {"a": y.sin(), "b": y.exp().sum(), "c": y.detach(), "d": x > 0, "e": y}

    compiled = Compiled(f, backend=Replay)
    w = torch.randn(3, requires_grad=True)
    for which in ("a", "a", "a", "b", "b", "ab", "ab", "e", "eb", "a"):
        x = torch.randn(3)
        grads = []
        for function in (compiled, f):
            out = function(x, w)
            grads.append(torch.autograd.grad(sum((i + 1) * out[k].sum() for i, k in enumerate(which)), w)[0])
        close(*grads)
    assert compiled.differentiated == {0, 1, 2}
    assert len(compiled.programs()) == 1


def test_cotangents_that_nobody_gave():
    """A result that is not used does not spoil the gradient of another (0 times infinity)."""
    f = Compiled(lambda x: ((x * 2).sum(), x.sqrt().sum()), backend=Replay)
    for i in range(6):
        x = torch.zeros(3, requires_grad=True)
        f(x)[0].backward()
        close(x.grad, torch.full((3,), 2.0))
        assert i < 3 or f(x)[0].grad_fn.name() == "CompiledFunctionBackward"


def test_views_of_parameters_among_results():
    """A view of a tensor from outside keeps its own place on the tape."""

    def f(x: Any, w: Any) -> Any:
        return w[1:], (x * w).sin(), x

    compiled = Compiled(f, backend=Replay)
    w = torch.randn(3, requires_grad=True)
    for _ in range(5):
        x = torch.randn(3)
        grads = []
        for function in (compiled, f):
            view, made, same = function(x, w)
            assert same is x
            grads.append(torch.autograd.grad(view.exp().sum() + made.sum(), w)[0])
        close(*grads)
    assert [v.state for v in compiled.programs()] == ["compiled"]


def test_second_derivatives():
    """`create_graph` outside: a gradient penalty on a compiled critic."""
    critic, plain = pair(lambda: nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 1)))
    for x, _ in batches(6):
        for model in (critic, plain):
            model.zero_grad()
            leaf = x.clone().requires_grad_()
            (g,) = torch.autograd.grad(model(leaf).sum(), leaf, create_graph=True)
            (g.norm(dim=1) - 1).pow(2).mean().backward()
        gradients_agree(critic, plain)
    noisy = torch.compile(nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.5), nn.Tanh()))
    for _ in range(3):
        out = noisy(x).sum()
    with pytest.raises(RuntimeError, match=r"draws random numbers.*cannot be differentiated twice"):
        torch.autograd.grad(out, list(noisy.parameters()), create_graph=True)


def test_transforms_with_parameters():
    """A Jacobian of a module whose parameters need a gradient is a program, which nobody differentiates."""
    net = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))
    jacobian = torch.compile(torch.func.jacrev(net))
    for _ in range(4):
        x = torch.randn(4)
        close(jacobian(x), torch.func.jacrev(net)(x))
    (variant,) = jacobian.programs()
    assert variant.state == "compiled"
    assert variant.program.tie.backward is None
    jacobian(x).pow(2).sum().backward()
    got = [p.grad for p in net.parameters()]
    net.zero_grad()
    torch.func.jacrev(net)(x).pow(2).sum().backward()
    for a, p in zip(got, net.parameters(), strict=True):
        close(a, p.grad)


# ---------------------------------------------------------------- what the tape promises


def trained(model: Any, n: int = 5) -> Any:
    """The result of a call of a model that was differentiated before, from its program."""
    for x, y in batches(n):
        nn.functional.cross_entropy(model(x), y).backward()
    out = model(x)
    assert out.grad_fn.name() == "CompiledFunctionBackward"
    return out, x


def test_walked_twice():
    """Without `retain_graph`, once."""
    model, _ = pair(perceptron)
    out, _ = trained(model)
    out.sum().backward(retain_graph=True)
    first = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    loss = out.sum()
    loss.backward()
    assert len(first) == 4
    with pytest.raises(RuntimeError, match="second time"):
        out.sum().backward()


def test_written_in_between():
    """Weights and results that the backward pass reads must be as they were; others may change."""
    model, _ = pair(lambda: nn.Sequential(nn.Linear(8, 3), nn.Tanh(), nn.Linear(3, 3), nn.Tanh()))
    out, _ = trained(model)
    with torch.no_grad():
        model[2].weight.mul_(2)
    with pytest.raises(RuntimeError, match=r"modified by an inplace operation.*shape \[3, 3\]"):
        out.sum().backward()
    out, _ = trained(model)
    with torch.no_grad():
        out.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()
    out, _ = trained(model)
    with torch.no_grad():
        model[0].weight.mul_(2)  # x needs no gradient
    out.sum().backward()


def test_hooks():
    """Hooks on results, on parameters and on the node are called."""
    model, plain = pair(perceptron)
    for x, y in batches(6):
        seen = []
        for m in (model, plain):
            m.zero_grad()
            out = m(x)
            out.register_hook(lambda g: 2 * g)
            handle = m[0].weight.register_hook(lambda g, seen=seen: seen.append(g.clone()))
            nn.functional.cross_entropy(out, y).backward()
            handle.remove()
        close(*seen)
        gradients_agree(model, plain)
    assert [v.state for v in model.programs()] == ["compiled"]


def test_results_of_two_calls():
    """Two calls before one backward pass, each with numbers of its own."""
    model, plain = pair(lambda: nn.Sequential(nn.Linear(8, 4), nn.Dropout(0.5), nn.Tanh()))
    data = batches(8)
    for (x, _), (z, _) in zip(data[::2], data[1::2], strict=True):
        for m in (model, plain):
            torch.manual_seed(1)
            m.zero_grad()
            a, b = m(x), m(z)
            (a * b).sum().backward()
        gradients_agree(model, plain)


def test_compiled_model_in_a_compiled_step():
    """A compiled module within a compiled step is a part of it."""

    def build() -> Job:
        net = torch.compile(perceptron())
        optimizer = torch.optim.Adam(net.parameters(), lr=0.1)

        def step(x: Any, y: Any) -> Any:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(x), y)
            loss.backward()
            optimizer.step()
            return loss.detach()

        return Job(step, net, optimizer)

    compared(build, batches(4))


def test_walk_through_an_argument_inside():
    """A function that calls backward() on a graph that began outside cannot be a program."""
    w = torch.ones(3, requires_grad=True)

    @torch.compile
    def f(y: Any) -> Any:
        y.sum().backward()

    with pytest.warns(UserWarning, match=r"goes through an argument that has a history"):
        f(w * 2)
    f(w * 3)
    close(w.grad, torch.full((3,), 5.0))


def test_wrong_backward_program():
    """A backward program that computes something else than NumPy is not used, and said so."""

    class Wrong(Replay):
        def run(self, memory: list[Any], scalars: Any) -> None:
            super().run(memory, scalars)
            for b, a in zip(self.external, memory, strict=True):
                if b.kind == "made" and any(x.kind == "argument" and isinstance(x.source, tuple) for x in self.external):
                    a.reshape(-1)[:1] += 1

    f = Compiled(lambda x: x.sin(), backend=Wrong)
    x = torch.ones(3, requires_grad=True)
    for _ in range(3):
        f(x).sum().backward()
    out = f(x).sum()
    with pytest.warns(UserWarning, match=r"backward pass of .*lambda.* is not used: its gradients differ"):
        out.backward()
    f(x).sum().backward()
    close(x.grad, 5 * x.detach().cos())


def test_double_precision_and_layouts():
    """float64, transposed results, results that are views."""

    def f(x: Any, w: Any) -> Any:
        y = (x @ w).T
        return y, y[0], y.reshape(-1)

    compiled = Compiled(f, backend=Replay)
    w = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    for _ in range(5):
        x = torch.randn(2, 4, dtype=torch.float64)
        grads = []
        for function in (compiled, f):
            a, b, c = function(x, w)
            assert a.stride() == (1, 3)
            grads.append(torch.autograd.grad(a.sin().sum() + b.sum() + (c * c).sum(), w)[0])
        np.testing.assert_allclose(grads[0].numpy(), grads[1].numpy(), 1e-12)
    assert [v.state for v in compiled.programs()] == ["compiled"]
