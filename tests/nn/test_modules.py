"""Layers: outputs, gradients, state, printing and errors are PyTorch's."""

from __future__ import annotations

import copy
from typing import Any

import pytest

import retrograd as torch
from tests.oracle import error_in_both, needs_torch, same_in_both
from tests.oracle import torch as theirs

# (layer, its arguments, shape of its input)
LAYERS: list[tuple[str, tuple[Any, ...], tuple[int, ...]]] = [
    ("Linear", (4, 3), (2, 4)), ("Linear", (4, 3, False), (2, 5, 4)), ("Conv1d", (2, 3, 3), (2, 2, 7)), ("Conv2d", (2, 4, 3, 2, 1), (2, 2, 6, 5)),
    ("Conv2d", (2, 4, (2, 3), 1, 0, 1, 2), (1, 2, 5, 4)), ("Conv3d", (1, 2, 2), (1, 1, 3, 3, 3)), ("ConvTranspose2d", (2, 3, 3, 2, 1, 1), (1, 2, 4, 4)),
    ("MaxPool2d", (2,), (1, 2, 4, 6)), ("AvgPool2d", (2, 1), (1, 2, 4, 4)), ("AdaptiveAvgPool2d", ((2, 1),), (1, 2, 4, 4)), ("BatchNorm1d", (4,), (6, 4)),
    ("BatchNorm2d", (3,), (2, 3, 4, 4)), ("LayerNorm", (4,), (3, 4)), ("LayerNorm", ((3, 4),), (2, 3, 4)), ("GroupNorm", (2, 4), (2, 4, 3)), ("InstanceNorm2d", (3,), (2, 3, 4, 4)),
    ("RMSNorm", (4,), (3, 4)), ("ReLU", (), (2, 3)), ("LeakyReLU", (0.2,), (2, 3)), ("GELU", (), (2, 3)), ("SiLU", (), (2, 3)), ("Tanh", (), (2, 3)), ("Sigmoid", (), (2, 3)), ("ELU", (), (2, 3)),
    ("Softplus", (), (2, 3)), ("PReLU", (), (2, 3)), ("Softmax", (1,), (2, 3)), ("LogSoftmax", (-1,), (2, 3)), ("Hardtanh", (), (2, 3)), ("Mish", (), (2, 3)), ("GLU", (), (2, 4)),
    ("Dropout", (0.4,), (5, 6)), ("Dropout2d", (0.4,), (2, 3, 4, 4)), ("AlphaDropout", (0.4,), (5, 6)), ("Flatten", (), (2, 3, 4)), ("Unflatten", (1, (2, 3)), (4, 6)), ("Identity", (), (2, 3)),
    ("ZeroPad2d", (1,), (1, 1, 3, 3)), ("ReflectionPad1d", (2,), (1, 2, 5)), ("Upsample", (None, 2), (1, 2, 3, 3)), ("PixelShuffle", (2,), (1, 4, 2, 2)), ("Unfold", (2,), (1, 2, 4, 4)),
]  # fmt: skip
named = pytest.mark.parametrize(("name", "args", "shape"), LAYERS, ids=[f"{n}{a}" for n, a, _ in LAYERS])


@needs_torch
@named
def test_layer(name: str, args: tuple[Any, ...], shape: tuple[int, ...]):
    """Output, gradients of input and parameters, and the state after; in training and in eval mode."""

    def program(t: Any) -> Any:
        layer = getattr(t.nn, name)(*args)
        x = t.randn(*shape).requires_grad_()
        y = layer(x)
        y.pow(2).sum().backward()
        after = layer.eval()(x.detach())
        return y, x.grad, [p.grad for p in layer.parameters()], dict(layer.state_dict()), after

    same_in_both(program, rtol=2e-4, atol=2e-5)


@needs_torch
@named
def test_layer_is_printed_as_torch_prints_it(name: str, args: tuple[Any, ...], shape: tuple[int, ...]):
    """Also inside a container."""
    assert repr(getattr(torch.nn, name)(*args)) == repr(getattr(theirs.nn, name)(*args))
    ours = torch.nn.Sequential(getattr(torch.nn, name)(*args), torch.nn.ModuleList([torch.nn.ReLU(), torch.nn.ReLU()]))
    torchs = theirs.nn.Sequential(getattr(theirs.nn, name)(*args), theirs.nn.ModuleList([theirs.nn.ReLU(), theirs.nn.ReLU()]))
    assert repr(ours) == repr(torchs)


LOSSES = ["MSELoss", "L1Loss", "SmoothL1Loss", "HuberLoss", "PoissonNLLLoss", "SoftMarginLoss"]


@needs_torch
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_loss(name: str, reduction: str):
    """Losses of two tensors of one shape."""

    def program(t: Any) -> Any:
        x, y = t.randn(3, 4).requires_grad_(), t.rand(3, 4)
        loss = getattr(t.nn, name)(reduction=reduction)(x, y)
        loss.sum().backward()
        return loss, x.grad

    same_in_both(program)


def network(t: Any) -> Any:
    """A network with parameters, buffers and a shared layer."""
    net = t.nn.Sequential(t.nn.Linear(4, 3), t.nn.BatchNorm1d(3), t.nn.Sequential(t.nn.ReLU(), t.nn.Linear(3, 2)))
    net.register_buffer("scale", t.ones(1))
    return net


@needs_torch
def test_module_protocol():
    """Names, counts, modes and state."""

    def program(t: Any) -> Any:
        net = network(t)
        net.train(False)
        return (
            [n for n, _ in net.named_parameters()], [n for n, _ in net.named_buffers()], [n for n, _ in net.named_modules()], [n for n, _ in net.named_children()],
            list(net.state_dict()), [m.training for m in net.modules()], [p.requires_grad for p in net.requires_grad_(False).parameters()],
            [str(p.dtype).split(".")[1] for p in net.double().parameters()], len(net), [str(b.dtype).split(".")[1] for b in net.buffers()],
        )  # fmt: skip

    same_in_both(program)


def test_state_goes_round():
    """What state_dict gives, load_state_dict takes; copies are independent."""
    first, second = network(torch), network(torch)
    second.load_state_dict(first.state_dict())
    x = torch.randn(5, 4)
    assert torch.equal(first.eval()(x), second.eval()(x))
    third = copy.deepcopy(first)
    with torch.no_grad():
        third[0].weight.add_(1)
    assert not torch.equal(first(x), third(x))


@needs_torch
@pytest.mark.parametrize("change", ["missing", "unexpected", "shape"])
def test_load_state_dict_errors(change: str):
    """PyTorch's words: what is missing, unexpected, of another shape; and nothing is half loaded."""

    def program(t: Any) -> None:
        net = network(t)
        state = net.state_dict()
        if change == "missing":
            del state["0.weight"]
        elif change == "unexpected":
            state["extra"] = t.ones(1)
        else:
            state["2.1.weight"] = t.ones(5, 5)
        net.load_state_dict(state)

    error_in_both(
        program,
        {
            "missing": 'Missing key\\(s\\) in state_dict: "0.weight"',
            "unexpected": "Unexpected key",
            "shape": "size mismatch for 2.1.weight",
        }[change],
    )


def test_shape_errors_name_the_module():
    """Where in the network the shapes do not fit."""
    net = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Linear(5, 2))
    with pytest.raises(RuntimeError, match="mat1 and mat2 shapes cannot be multiplied") as found:
        net(torch.ones(2, 4))
    text = str(found.value) + "".join(getattr(found.value, "__notes__", []))
    assert "1" in text
    assert "Linear" in text


def test_dropout_is_off_in_eval_mode():
    """And on in training mode."""
    x = torch.ones(1000)
    layer = torch.nn.Dropout(0.5)
    assert 300 < int((layer(x) == 0).sum()) < 700
    assert torch.equal(layer.eval()(x), x)


def test_what_is_replaced_keeps_its_place():
    """A layer, parameter or buffer that is exchanged stays where it was in the order: that of calls, of `state_dict` and of optimizers."""
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1))
    model[1] = torch.nn.ReLU()
    assert list(model.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert [type(layer) for layer in model] == [torch.nn.Linear, torch.nn.ReLU, torch.nn.Linear]
    layer = model[0]
    layer.weight = torch.nn.Parameter(torch.zeros(3, 2))
    assert [name for name, _ in layer.named_parameters()] == ["weight", "bias"]
    norm = torch.nn.BatchNorm1d(2)
    norm.running_mean = torch.nn.Buffer(torch.ones(2))
    assert list(norm.state_dict()) == ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    layer.bias = None
    layer.other = torch.nn.ReLU()
    layer.other = torch.nn.Parameter(torch.ones(1))
    assert not list(layer.children())
    assert list(layer.state_dict()) == ["weight", "other"]


def test_hooks_and_apply():
    """Forward hooks see and may replace; apply reaches every module."""
    net = network(torch)
    seen = []
    handle = net[0].register_forward_hook(lambda module, args, output: seen.append(tuple(output.shape)) or output * 0)
    assert not net.eval()(torch.randn(2, 4)).requires_grad or seen == [(2, 3)]
    handle.remove()
    net(torch.randn(2, 4))
    assert seen == [(2, 3)]
    visited = []
    net.apply(lambda m: visited.append(type(m).__name__))
    assert visited[-1] == "Sequential"
    assert len(visited) == 6


@needs_torch
def test_clipping():
    """By norm and by value."""

    def program(t: Any) -> Any:
        x, y = t.ones(3, requires_grad=True), t.ones(2, requires_grad=True)
        (x.pow(2).sum() * 3 + y.sum()).backward()
        total = t.nn.utils.clip_grad_norm_([x, y], 2.0)
        t.nn.utils.clip_grad_value_([x], 0.5)
        return total, x.grad, y.grad

    same_in_both(program)


@needs_torch
def test_wrong_use():
    """PyTorch's exception types."""
    for program in (
        lambda t: t.nn.Linear(4, 3)(t.ones(2, 5)), lambda t: t.nn.Conv2d(3, 4, 3)(t.ones(1, 2, 5, 5)), lambda t: t.nn.BatchNorm1d(3)(t.ones(1, 3)), lambda t: t.nn.BatchNorm2d(3)(t.ones(2, 3)),
        lambda t: t.nn.GroupNorm(2, 3), lambda t: t.nn.Embedding(3, 2)(t.tensor([5])), lambda t: t.nn.CrossEntropyLoss()(t.ones(2, 3), t.tensor([0, 7])), lambda t: t.nn.Dropout(2.0), lambda t: t.nn.Module()(1),
        lambda t: t.nn.Linear(4, 3)(t.ones(2, 4, dtype=t.float64)), lambda t: t.nn.Sequential(t.nn.ReLU())[3], lambda t: t.nn.Module().missing, lambda t: t.nn.Linear(2, 2).load_state_dict({"weight": t.ones(2, 2)}),
    ):  # fmt: skip
        error_in_both(program)


def test_a_parameter_written_to_is_named_by_its_path():
    """Between forward and backward, in a network within a network."""
    net = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Linear(3, 2)))
    loss = net(torch.ones(2, 4)).sum()
    with torch.no_grad():
        net[1][1].weight.add_(1)
    with pytest.raises(RuntimeError, match=r"modified by an inplace operation: .*the parameter '1\.1\.weight'"):
        loss.backward()
