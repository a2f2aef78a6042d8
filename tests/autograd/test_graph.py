"""The tape as programs use it: hooks, modes, custom functions, depth, memory, threads, views, higher orders."""

from __future__ import annotations

import gc
import threading
import tracemalloc
import weakref
from typing import Any

import pytest

import retrograd as torch
from retrograd.utils.checkpoint import checkpoint
from tests.oracle import needs_torch, same_in_both


def test_a_deep_graph_needs_no_recursion():
    """100,000 operations in a row: backward, and freeing it."""
    x = torch.tensor(1.0, requires_grad=True)
    y = x
    for _ in range(100_000):
        y = y + 0.0
    y.backward()
    assert x.grad.item() == 1.0
    del y


def test_a_freed_loss_frees_its_graph_without_the_collector():
    """No reference cycles, whatever was in the graph."""
    gc.collect()
    gc.disable()
    try:
        net = torch.nn.Sequential(
            torch.nn.Conv2d(1, 2, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(32, 3), torch.nn.LayerNorm(3)
        )
        loss = torch.nn.functional.cross_entropy(net(torch.randn(2, 1, 6, 6)), torch.tensor([0, 1]))
        node = weakref.ref(loss.grad_fn)
        loss.backward()
        del loss
        assert node() is None
    finally:
        gc.enable()


def test_many_steps_do_not_grow_memory():
    """What is left after 300 steps of a small network is what was left after 100."""
    net = torch.nn.Linear(4, 2)
    optimizer = torch.optim.Adam(net.parameters())
    x = torch.ones(3, 4)

    def steps(n: int) -> None:
        for _ in range(n):
            optimizer.zero_grad()
            net(x).pow(2).sum().backward()
            optimizer.step()

    tracemalloc.start()
    try:
        steps(100)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        steps(200)
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - before < 20_000
    finally:
        tracemalloc.stop()


def test_threads_have_modes_of_their_own():
    """no_grad in one thread does not switch gradients off in another; all can run backward at once."""
    results: list[Any] = []
    inside, leave = threading.Event(), threading.Event()

    def without() -> None:
        with torch.no_grad():
            inside.set()
            leave.wait(10)
            results.append(torch.is_grad_enabled())

    thread = threading.Thread(target=without)
    thread.start()
    inside.wait(10)
    assert torch.is_grad_enabled()
    x = torch.ones(2, requires_grad=True)
    (x * x).sum().backward()
    leave.set()
    thread.join()
    assert results == [False]
    assert x.grad.tolist() == [2, 2]

    grads: list[Any] = []

    def work() -> None:
        w = torch.ones(3, requires_grad=True)
        for _ in range(50):
            (w * w).sum().backward()
        grads.append(w.grad.tolist())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert grads == [[100.0] * 3] * 4


def modes(t: Any) -> Any:
    """What is recorded in each mode, nested, and as decorators."""
    x = t.ones(2, requires_grad=True)
    found = []
    with t.no_grad():
        found.append((x * 2).requires_grad)
        with t.enable_grad():
            found.append((x * 2).requires_grad)
        with t.set_grad_enabled(True):
            found.append((x * 2).requires_grad)
    with t.inference_mode():
        y = x * 2
        found += [y.requires_grad, y.is_inference()]
        with t.enable_grad():
            found.append((x * 2).requires_grad)
        with t.set_grad_enabled(True):
            found.append((x * 2).requires_grad)
        with t.inference_mode(False):
            found.append((x * 2).requires_grad)
    with t.no_grad(), t.inference_mode(False):
        found.append((x * 2).requires_grad)

    @t.no_grad()
    def quiet(v: Any) -> Any:
        return v * 2

    t.set_grad_enabled(False)
    found.append((x * 2).requires_grad)
    t.set_grad_enabled(True)
    return [*found, quiet(x).requires_grad, t.is_grad_enabled()]


def hooks(t: Any) -> Any:
    """Tensor hooks, retained gradients, hooks after accumulation, hooks on nodes."""
    seen: list[Any] = []
    x = t.ones(3, requires_grad=True)
    y = x * 2
    y.retain_grad()
    handle = y.register_hook(lambda g: g * 10)
    x.register_hook(lambda g: seen.append(g.clone()))
    x.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad.clone()))
    y.grad_fn.register_hook(lambda gi, go: seen.append(go[0].clone()))
    (y * y).sum().backward()
    handle.remove()
    return [x.grad, y.grad, *seen]


def function(t: Any) -> Any:
    """A custom function with saved tensors, attributes, several outputs and a None."""

    class Scale(t.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, k: float) -> Any:
            ctx.save_for_backward(x)
            ctx.k = k
            ctx.set_materialize_grads(True)
            return x * k, x.exp()

        @staticmethod
        def backward(ctx: Any, g: Any, h: Any) -> Any:
            (x,) = ctx.saved_tensors
            return g * ctx.k + h * x.exp(), None

    x = t.tensor([1.0, 2.0], requires_grad=True)
    a, b = Scale.apply(x, 3.0)
    first = t.autograd.grad((a * b).sum(), x, create_graph=True)[0]
    return first, t.autograd.grad(first.sum(), x)[0]


def views(t: Any) -> Any:
    """In-place operations on views, seen by base and siblings."""
    x = t.arange(6.0).requires_grad_()
    y = x * 1
    matrix = y.view(2, 3)
    row = matrix[0]
    row.mul_(10)
    matrix[:, 1] += y[5]
    y[4].zero_()
    (y * t.arange(6.0)).sum().backward()
    return x.grad, y, matrix


def accumulation(t: Any) -> Any:
    """Sums of gradients, chosen inputs, retained graphs."""
    x, y = t.ones(2, requires_grad=True), t.ones(2, requires_grad=True)
    z = (x * y * 3).sum()
    z.backward(retain_graph=True)
    z.backward(inputs=[x])
    return x.grad, y.grad, t.autograd.grad(x.exp().sum(), [x, y], allow_unused=True)[1]


def orders(t: Any) -> Any:
    """Derivatives up to the fourth."""
    x = t.tensor(0.7, dtype=t.float64, requires_grad=True)
    y, found = (x.sin() * x.exp()).log1p(), []
    for _ in range(4):
        (y,) = t.autograd.grad(y, x, create_graph=True)
        found.append(y)
    return found


def multi_grad_hook(t: Any) -> Any:
    """A hook on several tensors, and saved tensors exchanged."""
    seen = []
    x, y = t.ones(2, requires_grad=True), t.ones(2, requires_grad=True)
    t.autograd.graph.register_multi_grad_hook([x, y], lambda gs: seen.append([g.clone() for g in gs]))
    with t.autograd.graph.saved_tensors_hooks(lambda v: v * 1, lambda v: v):
        z = (x * x * y).sum()
    z.backward()
    return seen, x.grad, y.grad


def names(t: Any) -> Any:
    """What the graph is made of."""
    x = t.ones(2, 2, requires_grad=True)
    y = (t.nn.functional.relu(x @ x) + 1).sum()
    node, found = y.grad_fn, []
    while node is not None:
        found.append(node.name())
        node = node.next_functions[0][0] if node.next_functions else None
    return found


@needs_torch
@pytest.mark.parametrize("program", [modes, hooks, function, views, accumulation, orders, multi_grad_hook, names], ids=lambda p: p.__name__)
def test_as_pytorch_has_it(program: Any):
    """One program, both libraries."""
    same_in_both(program)


def test_a_checkpoint_saves_nothing_and_gives_the_same():
    """Gradients of both orders, dropout drawn again as it was."""
    w = torch.randn(3, 3, requires_grad=True)
    x = torch.randn(2, 3, requires_grad=True)

    def part(v: Any) -> Any:
        return torch.nn.functional.dropout((v @ w).tanh(), 0.5)

    found = []
    for run in (lambda: part(x), lambda: checkpoint(part, x)):
        torch.manual_seed(1)
        first = torch.autograd.grad(run().pow(2).sum(), (x, w), create_graph=True)
        second = torch.autograd.grad(first[0].pow(2).sum(), w)
        found.append([t.tolist() for t in (*first, *second)])
    assert found[0] == found[1]


def test_transforms_nest():
    """grad of vmap of jacrev, with a module's parameters."""
    net = torch.nn.Linear(3, 1)
    params = {k: v.detach() for k, v in net.named_parameters()}
    x = torch.randn(4, 3)

    def loss(p: Any, v: Any) -> Any:
        return torch.func.functional_call(net, p, (v,)).tanh().sum()

    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(params, x)
    total = torch.func.grad(lambda p: loss(p, x))(params)
    assert torch.allclose(each["weight"].sum(0), total["weight"], atol=1e-6)
    f = lambda v: (v.sin() * v).sum()  # noqa: E731
    assert torch.allclose(torch.func.hessian(f)(x[0]), torch.func.jacrev(torch.func.jacrev(f))(x[0]), atol=1e-6)


@needs_torch
@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_functional_and_forward_mode():
    """The older interfaces."""

    def program(t: Any) -> Any:
        a = t.autograd
        x, w = t.tensor([1.0, 2.0, 3.0], dtype=t.float64), t.arange(6.0, dtype=t.float64).reshape(2, 3) / 5

        def f(v: Any, m: Any) -> Any:
            return t.tanh(m @ v)

        with a.forward_ad.dual_level():
            dual = a.forward_ad.unpack_dual(t.softmax(a.forward_ad.make_dual(x, x * 2), 0))
        return [
            a.functional.jacobian(f, (x, w)), a.functional.jacobian(f, (x, w), vectorize=True), a.functional.hessian(lambda v: (v**3).sum(), x), a.functional.vjp(f, (x, w), x[:2]),
            a.functional.jvp(f, (x, w), (x, w)), a.functional.hvp(lambda v: (v**3).sum(), x, x), a.functional.vhp(lambda v: (v**3).sum(), x, x), dual.primal, dual.tangent,
            a.gradcheck(f, (x.requires_grad_(), w.requires_grad_()), check_forward_ad=True), a.gradgradcheck(f, (x, w), fast_mode=True),
        ]  # fmt: skip

    same_in_both(program)


def test_gradcheck_finds_a_wrong_derivative():
    """In full and fast mode, and by forward mode; with the numbers in its message."""

    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * 3

    x = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    with pytest.raises(RuntimeError, match="Jacobian mismatch for output 0 with respect to input 0"):
        torch.autograd.gradcheck(Wrong.apply, x)
    assert not torch.autograd.gradcheck(Wrong.apply, x, raise_exception=False, fast_mode=True)
