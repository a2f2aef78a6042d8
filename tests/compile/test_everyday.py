"""What everyday programs do in a step: each was found to run in eager without need, or to leave something otherwise than eager does."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

import retrograd as torch
from retrograd.compile.backend import make_executor
from retrograd.compile.compiled import Compiled
from retrograd.compile.replay import Replay
from retrograd.errors import Uncompilable
from retrograd.utils.checkpoint import checkpoint
from tests.compile.side_by_side import Job, batches, compared, perceptron, training

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


# ---------------------------------------------------------------- masks


def off_diagonal(x: Any) -> Any:
    """A mask made of numbers of the program's."""
    n = len(x)
    return x[~torch.eye(n, dtype=torch.bool)].view(n, n - 1)


def written_mask(x: Any) -> Any:
    """A mask that is written to."""
    mask = torch.ones(4, 4).triu(1) > 0
    mask[3] = True
    mask.diagonal().fill_(False)
    return x[mask], x[:, [True, False, True, True]], torch.nonzero(mask)


@pytest.mark.parametrize("function", [off_diagonal, written_mask], ids=lambda f: f.__name__)
def test_mask_of_the_program(function: Any):
    """As many elements as numbers decide that the program states are as many at every call."""
    compared(lambda: Job(function), [(torch.randn(4, 4),) for _ in range(4)])


def test_mask_of_what_comes():
    """A mask with a number from outside in it, or from a generator, is another matter."""

    def argument(x: Any) -> Any:
        mask = torch.zeros(4, 4) > 0
        mask[1] = x[1] > 0
        return x[mask]

    def drawn(x: Any) -> Any:
        return x[torch.rand(4, 4) > 0.5]

    for function in (argument, drawn):
        with pytest.raises(Uncompilable, match="depends on numbers"):
            Compiled(function, fullgraph=True)(torch.randn(4, 4))


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


# ---------------------------------------------------------------- gradients asked for outside


def gradients_outside(function: Any, derived: Any, hook: Any = None, create_graph: bool = False) -> list[Any]:
    """The gradients of a weight, by several calls of a function of what is derived from it."""
    w = torch.tensor([0.3, -0.7, 1.1], requires_grad=True)
    found = []
    for i in range(6):
        given = derived(w)
        if hook is not None and i % 2:
            given[0].register_hook(hook)
        (g,) = torch.autograd.grad(function(*given), w, create_graph=create_graph)
        found.append(g.detach())
        if create_graph:
            found += torch.autograd.grad(g.sum(), w)
    return found


DERIVED = {
    "one from the other": lambda w: (h := w * 2, h.sin()),
    "one and what it was made of": lambda w: (w, w.sin()),
    "two parts": lambda w: (w * 2).split([2, 1])[:1] * 2,
    "a part and the whole": lambda w: (h := w * 2, h[:1]),
    "twice the same": lambda w: (h := w * 2, h),
}


@pytest.mark.parametrize("create_graph", [False, True], ids=["once", "twice"])
@pytest.mark.parametrize("derived", DERIVED.values(), ids=DERIVED)
def test_arguments_made_of_each_other(derived: Any, create_graph: bool):
    """A call gives the gradients of what is in it; what its arguments have in common before is the tape's."""

    def product(a: Any, b: Any) -> Any:
        return (a * b.exp()).sum()

    f = Compiled(product, fullgraph=True, backend=Replay)
    wanted = gradients_outside(product, derived, create_graph=create_graph)
    for a, b in zip(gradients_outside(f, derived, create_graph=create_graph), wanted, strict=True):
        assert torch.allclose(a, b, rtol=1e-5)


def test_argument_made_of_a_weight_inside():
    """The same where the function reaches what the argument was made of."""
    w = torch.tensor([0.3, -0.7], requires_grad=True)
    f = Compiled(lambda k: (w * k).sum(), fullgraph=True, backend=Replay)
    for _ in range(5):
        (g,) = torch.autograd.grad(f(w.sin()), w)
        assert torch.allclose(g, w.sin() + w * w.cos())


def test_hook_on_an_argument():
    """A hook on an argument is called by the backward pass that goes through it, not by the program."""
    f = Compiled(lambda x: (x * x).sum(), fullgraph=True, backend=Replay)
    found = gradients_outside(f, lambda w: (w * 2,), hook=lambda g: g * 10)
    wanted = gradients_outside(lambda x: (x * x).sum(), lambda w: (w * 2,), hook=lambda g: g * 10)
    assert all(torch.allclose(a, b) for a, b in zip(found, wanted, strict=True))


def test_hook_on_a_parameter_outside():
    """A compiled module is compiled whatever hooks its parameters have; backward() calls them."""
    net, seen = nn.Linear(2, 2), []
    handle = net.weight.register_hook(lambda g: seen.append(1) or g * 10)
    f = Compiled(net.forward, fullgraph=True, backend=Replay)
    for i in range(8):
        if i == 6:
            handle.remove()
        net.zero_grad(set_to_none=True)
        f(torch.ones(1, 2)).sum().backward()
        assert torch.equal(net.weight.grad, torch.full((2, 2), 10.0 if i < 6 else 1.0))
    assert [v.state for v in f.programs()] == ["compiled"]
    assert len(seen) == 6


def test_cell_called_again_on_what_it_gave():
    """A compiled cell in a loop of the user's."""
    cell = nn.GRUCell(2, 3)
    f = torch.compile(cell)
    for _ in range(4):
        xs, found = torch.randn(4, 5, 2), []
        for call in (cell, f):
            h = torch.zeros(5, 3)
            for x in xs:
                h = call(x, h)
            found.append(torch.autograd.grad(h.pow(2).sum(), tuple(cell.parameters())))
        assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in zip(*found, strict=True))


# ---------------------------------------------------------------- hooks within


def test_clamped_by_hooks():
    """Hooks of parameters are part of the program."""

    def clamped() -> Any:
        net = perceptron()
        for p in net.parameters():
            p.register_hook(lambda g: g.clamp(-0.01, 0.01))
        return net

    compared(training(model=clamped), batches(5))


def test_optimizers_in_hooks():
    """Every parameter is updated as soon as its gradient is there."""

    def build() -> Job:
        net = perceptron()
        optimizers = {p: torch.optim.SGD([p], lr=0.1, momentum=0.9) for p in net.parameters()}

        def update(p: Any) -> None:
            optimizers[p].step()
            optimizers[p].zero_grad(set_to_none=True)

        for p in net.parameters():
            p.register_post_accumulate_grad_hook(update)

        def step(x: Any, y: Any) -> Any:
            loss = F.cross_entropy(net(x), y)
            loss.backward()
            return loss.detach()

        return Job(step, net)

    compared(build, batches(6))


@pytest.mark.parametrize("by", ["backward", "grad"])
def test_hooks_that_change(by: str):
    """Added, exchanged, removed, and what they reach: each is seen at the next call."""
    found = []
    for compiled in (False, True):
        w, scale, handles = torch.ones(2, requires_grad=True), {"by": 10.0}, []

        def step(x: Any, w: Any = w) -> Any:
            if by == "grad":
                return torch.autograd.grad((w * x).sum(), w)[0]
            w.grad = None
            (w * x).sum().backward()
            return w.grad

        f = Compiled(step, fullgraph=True, backend=Replay) if compiled else step
        for i in range(16):
            if i == 3:
                handles.append(w.register_hook(lambda g, scale=scale: g * scale["by"]))
            if i == 6:
                scale["by"] = 3.0
            if i == 9:
                handles.append(w.register_hook(lambda g: g + 1))
            if i == 12:
                handles.pop(0).remove()
            if i == 14:
                handles.pop().remove()
            found.append((compiled, i, f(torch.ones(2)).tolist()))
    assert [x[1:] for x in found[:16]] == [x[1:] for x in found[16:]]


def test_hook_that_tells():
    """A hook that changes what is no tensor, or looks at numbers, makes the function run in eager, by name and line."""
    w, seen = torch.ones(2, requires_grad=True), []

    def looks(g: Any) -> None:
        seen.append(g.sum().item())

    w.register_hook(looks)

    def step(x: Any) -> None:
        w.grad = None
        (w * x).sum().backward()

    f = Compiled(step, backend=Replay)
    with pytest.warns(UserWarning, match=r"were looked at, at .*in looks"):
        f(torch.ones(2))
    for i in range(3):
        f(torch.ones(2) * i)
    assert seen == [2.0, 0.0, 2.0, 4.0]


def test_unknown_hook_of_an_argument():
    """A hook of an argument may be another at each call: that runs in eager, and the warning names the line of the backward pass."""
    f = Compiled(lambda x: (x * x).sum().backward(), backend=Replay)
    for i in range(4):
        x = torch.ones(2, requires_grad=True)
        if i == 2:
            x.register_hook(lambda g: g * 10)
            with pytest.warns(UserWarning, match=rf"a hook is called with a gradient, at {__file__}"):
                f(x)
        else:
            f(x)
        assert x.grad.tolist() == [20.0 if i == 2 else 2.0] * 2


# ---------------------------------------------------------------- which gradients are there


def test_results_with_gradients_of_their_own():
    """A parameter that a result does not depend on gets no gradient from it, be it zeros: an optimizer would take a step."""
    trunk, policy, value = nn.Linear(3, 4), nn.Linear(4, 2), nn.Linear(4, 1)

    def heads(x: Any) -> Any:
        h = trunk(x).tanh()
        return policy(h).pow(2).sum(), value(h).pow(2).sum()

    f = Compiled(heads, fullgraph=True, backend=Replay)
    parameters = [*trunk.parameters(), *policy.parameters(), *value.parameters()]
    for i in range(9):
        found = []
        for call in (heads, f):
            for p in parameters:
                p.grad = None
            a, b = call(torch.ones(2, 3))
            (a if i % 3 == 0 else b if i % 3 == 1 else a + b).backward()
            found.append([p.grad for p in parameters])
        assert [g is None for g in found[0]] == [g is None for g in found[1]]
        assert all(a is None or torch.allclose(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("frozen", [False, True], ids=["trained", "frozen"])
def test_gradients_cleared_that_are_not_there(frozen: bool):
    """Clearing leaves None as it is, and zeros that stand for nothing as they are."""

    def after(job: Job, i: int) -> None:
        if i == 2:
            job.model[2].weight.requires_grad_(not frozen)
        if i in (4, 6, 7):
            job.optimizer.zero_grad(set_to_none=i != 6 or None)

    def build() -> Job:
        net = perceptron()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

        def step(x: Any, y: Any) -> None:
            F.cross_entropy(net(x), y).backward()
            optimizer.step()
            optimizer.zero_grad()

        return Job(step, net, optimizer, after)

    compared(build, batches(10), programs=1 + frozen)


# ---------------------------------------------------------------- what is told


def line_here() -> int:
    """The number of the line that calls."""
    return inspect.currentframe().f_back.f_lineno


@pytest.mark.parametrize("way", ["function", "module", "loop", "limit", "nested"])
def test_where_warnings_point(way: str):
    """To the user's line that made the call, whichever way it was made."""
    looks = lambda x: x * x.sum().item()  # noqa: E731
    net = nn.Linear(2, 2)
    net.register_forward_hook(lambda m, i, o: print(end=""))
    calls = {
        "function": torch.compile(looks),
        "module": torch.compile(net),
        "loop": torch.compile(looks).loop,
        "limit": torch.compile(lambda x: x * 2),
        "nested": torch.compile(lambda x: torch.compile(looks)(x)),
    }
    call = calls[way]
    if way == "limit":
        call.limit = 0
    line = line_here() + 2
    with pytest.warns(UserWarning, match="in eager") as caught:
        call(torch.ones(1, 2))
    assert (caught[0].filename, caught[0].lineno) == (__file__, line)


def test_report_of_what_refuses_numbers():
    """Arguments are made up; a program that raises for some is timed on others."""
    for function, given in (
        (lambda x: F.binary_cross_entropy(x, x), (torch.rand(3),)),
        (lambda a, b: a // b, (torch.ones(3, dtype=torch.int64), torch.ones(3, dtype=torch.int64))),
        (lambda i: torch.zeros(1)[i], (torch.zeros(3, dtype=torch.int64),)),
    ):
        f = torch.compile(function)
        for _ in range(2):
            f(*given)
        assert f.report().rows


# ---------------------------------------------------------------- a call that raises


@pytest.mark.parametrize("native", [False, True], ids=["replay", "native"])
@pytest.mark.parametrize("set_to_none", [None, True])
def test_gradients_after_a_label_out_of_range(set_to_none: bool | None, native: bool):
    """Where a program raises, gradients are cleared as they are where the function does; weights are as before, and it goes on."""
    found = []
    for backend in (None, make_executor if native else Replay):
        torch.manual_seed(0)
        net = perceptron()
        optimizer = torch.optim.Adam(net.parameters(), lr=0.1)

        def step(x: Any, y: Any, net: Any = net, optimizer: Any = optimizer) -> None:
            optimizer.zero_grad(set_to_none)
            F.cross_entropy(net(x), y).backward()
            optimizer.step()

        f = step if backend is None else Compiled(step, backend=backend)
        for i, (x, y) in enumerate(batches(8)):
            if i in (4, 6):
                with pytest.raises(IndexError):
                    f(x, torch.full_like(y, 7))
            else:
                f(x, y)
            found.append([None if p.grad is None else p.grad.numpy().copy() for p in net.parameters()])
            found.append([p.detach().numpy().copy() for p in net.parameters()])
    for mine, theirs in zip(found[16:], found[:16], strict=True):
        for a, b in zip(mine, theirs, strict=True):
            assert (a is None) == (b is None)
            assert a is None or np.allclose(a, b, 2e-5, 1e-6)


class Statistics(nn.Module):
    """A module that puts a new tensor in the place of its buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(2))

    def forward(self, x: Any) -> Any:
        self.mean = 0.9 * self.mean + 0.1 * x.mean(0)
        return x - self.mean


def with_history(x: Any, w: Any = torch.ones(2, requires_grad=True)) -> Any:  # noqa: B008
    """A gradient that can be differentiated stays."""
    w.grad = None
    (w * x).pow(3).sum().backward(create_graph=True)
    return w.grad.sum()


@pytest.mark.parametrize(
    ("function", "words", "code"),
    [(Statistics(), "is kept outside it.*can be written into", "self.mean = 0.9"), (with_history, "has a history", ".backward(create")],
    ids=["buffer", "create_graph"],
)
def test_reason_names_the_line(function: Any, words: str, code: str):
    """What is found out only after the call names the line that did it."""
    lines, first = inspect.getsourcelines(function.forward if isinstance(function, nn.Module) else function)
    line = next(first + i for i, text in enumerate(lines) if code in text)
    with pytest.warns(UserWarning, match=rf"{words}.* at {__file__}:{line} "):
        torch.compile(function)(torch.ones(3, 2))


# ---------------------------------------------------------------- views of arguments


@pytest.mark.parametrize("grad", [False, True], ids=["data", "differentiated"])
def test_view_of_an_argument_that_is_a_view(grad: bool):
    """A result that is a view of an argument is one of this call's, though the argument is a piece of something larger."""
    f = Compiled(lambda x: (x.view(-1), x[0], x.T, x * 2), fullgraph=True, backend=Replay)
    data = torch.arange(12.0).reshape(6, 2).requires_grad_(grad)
    for i in range(5):
        piece = data[i : i + 2]
        found = f(piece)
        for a, b in zip(found, (piece.view(-1), piece[0], piece.T, piece * 2), strict=True):
            assert torch.equal(a, b)
        if not grad:
            found[1].fill_(7)
            assert data[i].tolist() == [7.0, 7.0]
    assert [v.state for v in f.programs()] == ["compiled"]
