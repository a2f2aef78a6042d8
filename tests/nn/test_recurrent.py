"""Recurrent layers and packed sequences: numbers, gradients, first weights, state, printing and errors are PyTorch's."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import numpy as np
import pytest

import retrograd as torch
from tests.oracle import error_in_both, needs_torch, same_in_both
from tests.oracle import torch as theirs

nn = torch.nn
LAYERS = ["RNN", "LSTM", "GRU"]
CELLS = ["RNNCell", "LSTMCell", "GRUCell"]


def loss_of(results: Any) -> Any:
    """A number that depends on all results, each element with another weight."""
    if isinstance(results, (tuple, list)):
        return sum(loss_of(r) * (i + 1) for i, r in enumerate(results))
    return (results * (results.detach() * 3).cos()).sum()


# ---------------------------------------------------------------- against PyTorch

OPTIONS: list[tuple[str, dict[str, Any]]] = [
    *itertools.product(LAYERS, [{}, {"num_layers": 2}, {"bias": False}, {"bidirectional": True}, {"num_layers": 3, "bidirectional": True, "batch_first": True}]),
    ("RNN", {"nonlinearity": "relu", "num_layers": 2}),
    *[("LSTM", {"proj_size": 2, **more}) for more in ({}, {"num_layers": 2, "bidirectional": True}, {"bias": False})],
]  # fmt: skip


@needs_torch
@pytest.mark.parametrize("state", [False, True], ids=["zeros", "state"])
@pytest.mark.parametrize("shape", ["batch", "one", "packed", "unsorted"])
@pytest.mark.parametrize(("name", "options"), OPTIONS, ids=[f"{n}{o}" for n, o in OPTIONS])
def test_layer(name: str, options: dict[str, Any], shape: str, state: bool):
    """First weights, outputs, last state and all gradients, from the same seed."""

    def program(t: Any) -> Any:
        layer = getattr(t.nn, name)(3, 4, **options).double()
        batch, batch_first = 3, options.get("batch_first", False)
        x = t.randn(*((batch, 5) if batch_first else (5, batch)), 3, dtype=t.float64).requires_grad_()
        depth = options.get("num_layers", 1) * (1 + options.get("bidirectional", False))
        sizes = [options.get("proj_size") or 4, 4][: 1 + (name == "LSTM")]
        dims = (depth,) if shape == "one" else (depth, batch)
        start = [t.randn(*dims, n, dtype=t.float64).requires_grad_() for n in sizes]
        given: Any = x
        if shape == "one":
            given = x[0] if batch_first else x[:, 0]
        elif shape != "batch":
            pack = t.nn.utils.rnn.pack_padded_sequence
            given = pack(x, [5, 3, 2] if shape == "packed" else [2, 5, 3], batch_first, shape == "packed")
        output, end = layer(given, tuple(start) if name == "LSTM" else start[0]) if state else layer(given)
        output = list(output[:2]) if shape in ("packed", "unsorted") else output
        loss_of([output[0] if isinstance(output, list) else output, end]).backward()
        return list(layer.state_dict().items()), output, end, x.grad, [h.grad for h in start], [p.grad for p in layer.parameters()]

    same_in_both(program, rtol=1e-9, atol=1e-11)


@needs_torch
@pytest.mark.parametrize("options", [{}, {"bias": False}], ids=str)
@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("name", CELLS)
def test_cell(name: str, batched: bool, options: dict[str, Any]):
    """Three steps from a given state and one from zeros, with all gradients."""

    def program(t: Any) -> Any:
        cell = getattr(t.nn, name)(3, 4, **options).double()
        lead = (2,) if batched else ()
        x = t.randn(3, *lead, 3, dtype=t.float64).requires_grad_()
        state: Any = [t.randn(*lead, 4, dtype=t.float64).requires_grad_() for _ in range(1 + (name == "LSTMCell"))]
        h = tuple(state) if len(state) == 2 else state[0]
        for step in x:
            h = cell(step, h)
        fresh = cell(x[0])
        loss_of([h, fresh]).backward()
        return list(cell.state_dict().items()), h, fresh, x.grad, [s.grad for s in state], [p.grad for p in cell.parameters()]

    same_in_both(program, rtol=1e-9, atol=1e-11)


@needs_torch
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("name", "gates"), [("rnn_tanh_cell", 1), ("rnn_relu_cell", 1), ("gru_cell", 3), ("lstm_cell", 4)])
def test_cell_function(name: str, gates: int, bias: bool):
    """The functions behind the cells."""

    def program(t: Any) -> Any:
        sizes = [(4 * gates, 3), (4 * gates, 4), *[(4 * gates,)] * (2 * bias)]
        weights = [t.randn(*s, dtype=t.float64).requires_grad_() for s in sizes]
        x, h, c = (t.randn(2, n, dtype=t.float64).requires_grad_() for n in (3, 4, 4))
        function = getattr(t, name)
        y = function(x, (h, c) if name == "lstm_cell" else h, *weights)
        loss_of(y).backward()
        return y, [v.grad for v in (x, h, *weights)]

    same_in_both(program, rtol=1e-9, atol=1e-11)


@needs_torch
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_dropout_between_layers(name: str, packed: bool):
    """PyTorch's draws; none in eval mode, none after the last layer."""

    def program(t: Any) -> Any:
        layer = getattr(t.nn, name)(3, 4, num_layers=3, dropout=0.4, bidirectional=True)
        x = t.randn(5, 2, 3)
        given = t.nn.utils.rnn.pack_padded_sequence(x, [5, 3]) if packed else x
        return layer(given)[0][0], layer.eval()(given)[0][0], t.rand(2)

    same_in_both(program, rtol=1e-4, atol=1e-6)


@needs_torch
def test_training():
    """Five steps of a character model: embedding, LSTM, linear, Adam."""

    def program(t: Any) -> Any:
        embed, lstm, last = t.nn.Embedding(11, 8), t.nn.LSTM(8, 16, 2, batch_first=True), t.nn.Linear(16, 11)
        net = t.nn.ModuleList([embed, lstm, last])
        opt = t.optim.Adam(net.parameters(), lr=0.01)
        x = t.randint(0, 11, (4, 7))
        losses = []
        for _ in range(5):
            opt.zero_grad()
            logits = last(lstm(embed(x[:, :-1]))[0])
            loss = t.nn.functional.cross_entropy(logits.reshape(-1, 11), x[:, 1:].reshape(-1))
            loss.backward()
            t.nn.utils.clip_grad_norm_(net.parameters(), 0.5)
            opt.step()
            losses.append(loss)
        return losses

    same_in_both(program, rtol=1e-4)


PRINTED = [
    ("LSTM", (4, 3, 2, False, True, 0.5, True, 2), {}), ("GRU", (4, 3), {}), ("RNN", (4, 3, 2, "relu", False), {}), ("RNNCell", (4, 3, False, "relu"), {}),
    ("LSTMCell", (4, 3), {"bias": False}), ("GRUCell", (4, 3), {}), ("RNN", (4, 3), {"nonlinearity": "relu", "num_layers": 2}),
]  # fmt: skip


@needs_torch
@pytest.mark.parametrize(("name", "args", "kwargs"), PRINTED, ids=[f"{n}{a}{k}" for n, a, k in PRINTED])
def test_printing_and_state(name: str, args: Any, kwargs: Any):
    """What is printed, and the names of all parameters in order."""

    def program(t: Any) -> Any:
        layer = getattr(t.nn, name)(*args, **kwargs)
        return repr(layer), list(layer.state_dict()), [n for n, _ in layer.named_parameters()], [tuple(p.shape) for p in layer.parameters()]

    same_in_both(program)


WRONG: list[tuple[str, Any]] = [
    ("hidden_size must be greater", lambda t: t.nn.LSTM(3, 0)),
    ("input_size must be greater", lambda t: t.nn.LSTM(-1, 2)),
    ("num_layers must be greater", lambda t: t.nn.GRU(3, 2, 0)),
    ("bias should be of type bool, got: int", lambda t: t.nn.RNN(3, 2, bias=1)),
    ("batch_first should be of type bool", lambda t: t.nn.RNN(3, 2, batch_first="True")),
    ("hidden_size should be of type int, got: float", lambda t: t.nn.LSTM(3, 2.0)),
    ("dropout should be a number", lambda t: t.nn.LSTM(3, 2, dropout=1.5)),
    ("dropout should be a number", lambda t: t.nn.LSTM(3, 2, dropout=True)),
    ("proj_size has to be smaller", lambda t: t.nn.LSTM(3, 2, proj_size=2)),
    ("proj_size should be a positive", lambda t: t.nn.LSTM(3, 2, proj_size=-1)),
    ("only supported for LSTM", lambda t: t.nn.GRU(3, 2, proj_size=1)),
    ("only supported for LSTM", lambda t: t.nn.RNN(3, 2, proj_size=1)),
    ("Unknown nonlinearity 'sin'", lambda t: t.nn.RNN(3, 2, nonlinearity="sin")),
    ("does not match weight dtype", lambda t: t.nn.RNN(3, 2)(t.ones(2, 2, 3, dtype=t.float64))),
    ("LSTM: Expected input to be 2D or 3D, got 1D instead", lambda t: t.nn.LSTM(3, 2)(t.ones(3))),
    ("RNN: Expected input to be 2D or 3D, got 4D tensor instead", lambda t: t.nn.RNN(3, 2)(t.ones(1, 1, 2, 3))),
    ("GRU: Expected input to be 2D or 3D, got 1D instead", lambda t: t.nn.GRU(3, 2)(t.ones(3))),
    ("input_size. Expected 3, got 4", lambda t: t.nn.GRU(3, 2)(t.ones(2, 2, 4))),
    ("sequence length to be larger than 0", lambda t: t.nn.LSTM(3, 2)(t.ones(0, 2, 3))),
    (r"Expected hidden size \(1, 2, 2\), got \[1, 2, 3\]", lambda t: t.nn.GRU(3, 2)(t.ones(4, 2, 3), t.ones(1, 2, 3))),
    (r"Expected hidden\[1\] size", lambda t: t.nn.LSTM(3, 2)(t.ones(4, 2, 3), (t.ones(1, 2, 2), t.ones(1, 2, 3)))),
    (r"hx and cx should also be 3-D but got \(2-D, 2-D\)", lambda t: t.nn.LSTM(3, 2)(t.ones(4, 2, 3), (t.ones(1, 2), t.ones(1, 2)))),
    ("hx should also be 2-D but got 3-D", lambda t: t.nn.RNN(3, 2)(t.ones(4, 3), t.ones(1, 1, 2))),
    ("inconsistent input_size: got 4 expected 3", lambda t: t.nn.LSTMCell(3, 2)(t.ones(2, 4))),
    ("hidden0 has inconsistent hidden_size: got 3, expected 2", lambda t: t.nn.GRUCell(3, 2)(t.ones(2, 3), t.ones(2, 3))),
    ("hidden1 has inconsistent hidden_size", lambda t: t.nn.LSTMCell(3, 2)(t.ones(2, 3), (t.ones(2, 2), t.ones(2, 3)))),
    ("batch size 2 doesn't match hidden0 batch size 4", lambda t: t.nn.RNNCell(3, 2)(t.ones(2, 3), t.ones(4, 2))),
    ("batch size 2 doesn't match hidden0 batch size 3", lambda t: t.nn.RNNCell(3, 2)(t.ones(2, 3), t.ones(3))),
    ("Expected hidden to be 1D or 2D, got 3D", lambda t: t.nn.GRUCell(3, 2)(t.ones(2, 3), t.ones(1, 2, 2))),
    (r"Expected hx\[0\] to be 1D or 2D, got 3D", lambda t: t.nn.LSTMCell(3, 2)(t.ones(2, 3), (t.ones(1, 2, 2), t.ones(1, 2, 2)))),
    ("Expected input to be 1D or 2D, got 3D", lambda t: t.nn.RNNCell(3, 2)(t.ones(1, 2, 3))),
    ("Unknown nonlinearity: sin", lambda t: t.nn.RNNCell(3, 2, nonlinearity="sin")(t.ones(2, 3))),
]  # fmt: skip


@needs_torch
@pytest.mark.parametrize(("match", "program"), WRONG, ids=[f"{i}-{m[:30]}" for i, (m, _) in enumerate(WRONG)])
def test_errors(match: str, program: Any):
    """PyTorch's types and words."""
    with pytest.raises(Exception, match=match):
        program(theirs)
    error_in_both(program, match)


def test_dropout_without_a_second_layer_warns():
    """There is nothing between layers then."""
    with pytest.warns(UserWarning, match="num_layers greater than 1"):
        nn.LSTM(3, 2, dropout=0.5)


# ---------------------------------------------------------------- by themselves


def kinds(**options: Any) -> list[Any]:
    """A small layer of each kind in double precision, drawn from one seed."""
    torch.manual_seed(1)
    return [nn.RNN(2, 3, **options).double(), nn.GRU(2, 3, **options).double(), nn.LSTM(2, 3, **options).double()]


# As PyTorch gives them: the last output, and gradients of the sum of all outputs (for the first input; the sums of those for two weights).
RECORDED = {
    "RNN": ([-0.442146858, -0.9798067028, -0.9236865397, 0.2972370462, 0.930490425, 0.2039428715], [-0.249752551, -0.1480238806], 1.4091440474, 3.5685244791),
    "GRU": ([0.3525074803, 0.3722938493, -0.8320908049, -0.4759383741, -0.095837866, 0.580406295], [2.4116497931, 2.0124224744], -1.5688574657, 1.7760636849),
    "LSTM": ([0.4339054129, -0.0030748945, -0.0451554131, -0.3156786619, 0.0019965243, 0.4331903868], [-0.1928509026, 0.009075499], 0.2798085282, 0.9650759893),
}  # fmt: skip


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_numbers(name: str):
    """Two layers in both directions, with weights and inputs that are sines."""
    layer = getattr(nn, name)(2, 3, num_layers=2, bidirectional=True).double()
    for i, p in enumerate(layer.parameters()):
        p.data = torch.from_numpy(np.sin(np.arange(p.numel()) * 0.7 + i).reshape(tuple(p.shape)))
    x = torch.from_numpy(np.cos(np.arange(8.0)).reshape(4, 1, 2)).requires_grad_()
    y, _ = layer(x)
    y.sum().backward()
    last, slope, hidden, bias = RECORDED[name]
    np.testing.assert_allclose(y[-1, 0].detach().numpy(), last, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(x.grad[0, 0].numpy(), slope, rtol=1e-8, atol=1e-10)
    assert float(layer.weight_hh_l0_reverse.grad.sum()) == pytest.approx(hidden, rel=1e-8)
    assert float(layer.bias_ih_l1.grad.sum()) == pytest.approx(bias, rel=1e-8)


@pytest.mark.parametrize("place", range(3), ids=["RNN", "GRU", "LSTM"])
def test_a_layer_is_its_cell_in_a_loop(place: int):
    """Backwards too, where the outputs of both directions stand beside each other."""
    layer = kinds(bidirectional=True)[place]
    x = torch.randn(4, 2, 2, dtype=torch.float64)
    found = []
    for suffix, steps in (("", range(4)), ("_reverse", range(3, -1, -1))):
        cell = getattr(nn, CELLS[LAYERS.index(type(layer).__name__)])(2, 3).double()
        cell.load_state_dict({n[: -len("_l0" + suffix)]: p for n, p in layer.state_dict().items() if n.endswith("_l0" + suffix)})
        h, outputs = None, {}
        for i in steps:
            h = cell(x[i], h)
            outputs[i] = h[0] if isinstance(h, tuple) else h
        found.append(torch.stack([outputs[i] for i in range(4)]))
    np.testing.assert_allclose(layer(x)[0].detach().numpy(), torch.cat(found, -1).detach().numpy(), rtol=1e-12)


@pytest.mark.parametrize("place", range(3), ids=["RNN", "GRU", "LSTM"])
def test_gradients_of_both_orders(place: int):
    """For input, state and all weights."""
    layer = kinds()[place]
    weights = dict(layer.named_parameters())
    x = torch.randn(3, 2, 2, dtype=torch.float64, requires_grad=True)
    state = [torch.randn(1, 2, 3, dtype=torch.float64, requires_grad=True) for _ in range(1 + isinstance(layer, nn.LSTM))]

    def function(x: Any, *rest: Any) -> Any:
        hx = rest[0] if len(state) == 1 else rest[:2]
        values = dict(zip(weights, rest[len(state) :], strict=True))
        return torch.func.functional_call(layer, values, (x, hx))[0]

    inputs = (x, *state, *[w.detach().requires_grad_() for w in weights.values()])
    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)


@pytest.mark.parametrize("place", range(3), ids=["RNN", "GRU", "LSTM"])
def test_transforms(place: int):
    """vmap is a loop, gradients of each example too, and forward mode agrees with reverse mode."""
    layer = kinds(num_layers=2)[place]
    params = {n: p.detach() for n, p in layer.named_parameters()}
    xs = torch.randn(3, 4, 2, dtype=torch.float64)

    def loss(params: Any, x: Any) -> Any:
        return torch.func.functional_call(layer, params, (x,))[0].sin().sum()

    grads = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(params, xs)
    for i, x in enumerate(xs):
        for name, g in torch.func.grad(loss)(params, x).items():
            np.testing.assert_allclose(grads[name][i].numpy(), g.numpy(), rtol=1e-9, atol=1e-12)
    along = torch.randn(4, 2, dtype=torch.float64)
    _, slope = torch.func.jvp(lambda x: loss(params, x), (xs[0],), (along,))
    gradient = torch.func.grad(lambda x: loss(params, x))(xs[0])
    np.testing.assert_allclose(float(slope), float((gradient * along).sum()), rtol=1e-9)


def test_weights_that_are_exchanged_are_used():
    """By functional_call, by assignment, by a copy, by load_state_dict; flatten_parameters changes nothing."""
    layer = nn.LSTM(2, 3)
    x = torch.randn(4, 1, 2)
    before = layer(x)[0]
    layer.flatten_parameters()
    assert torch.equal(layer(x)[0], before)
    zeros = {n: torch.zeros_like(p) for n, p in layer.named_parameters()}
    assert not torch.func.functional_call(layer, zeros, (x,))[0].any()
    assert torch.equal(layer(x)[0], before)
    other = copy.deepcopy(layer)
    other.weight_hh_l0 = nn.Parameter(torch.zeros(12, 3))
    assert not torch.equal(other(x)[0], before)
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other(x)[0], before)
    assert other.all_weights[0][1] is other.weight_hh_l0


# ---------------------------------------------------------------- packed sequences


@needs_torch
def test_packing_is_torchs():
    """Packed, padded and taken apart, in either layout, with any padding, sorted or not."""

    def program(t: Any) -> Any:
        rnn = t.nn.utils.rnn
        x = t.randn(4, 3, 2).requires_grad_()
        packed = rnn.pack_padded_sequence(x, t.tensor([4, 2, 1]))
        unsorted = rnn.pack_padded_sequence(x.transpose(0, 1), [1, 4, 3], batch_first=True, enforce_sorted=False)
        padded = [
            rnn.pad_packed_sequence(packed), rnn.pad_packed_sequence(unsorted, batch_first=True, padding_value=-1.0, total_length=6),
        ]  # fmt: skip
        loss_of([padded[0][0], padded[1][0]]).backward()
        sequences = [t.arange(3.0), t.arange(1.0), t.arange(2.0)]
        whole = rnn.pack_sequence(sequences, enforce_sorted=False)
        return (
            list(packed[:2]), list(unsorted), padded, x.grad, list(whole), rnn.unpack_sequence(whole),
            rnn.pad_sequence(sequences), rnn.pad_sequence(sequences, True, 9.0, "left"), rnn.pad_sequence([t.ones(2, 2), t.ones(3, 2)]),
            rnn.unpad_sequence(t.arange(6).view(2, 3), t.tensor([3, 1]), batch_first=True), repr(rnn.pack_sequence([t.tensor([1, 2]), t.tensor([3])])),
            rnn.invert_permutation(t.tensor([2, 0, 1])), [str(p.data.dtype).split(".")[1] for p in (whole.double(), whole.half(), whole.long(), whole.to(t.int16))],
        )  # fmt: skip

    same_in_both(program)


@needs_torch
@pytest.mark.parametrize(
    ("match", "program"),
    [
        ("an element in 'lengths' that is <= 0", lambda t: t.nn.utils.rnn.pack_padded_sequence(t.ones(3, 2, 1), [3, 0])),
        ("sorted in decreasing order", lambda t: t.nn.utils.rnn.pack_padded_sequence(t.ones(3, 2, 1), [2, 3])),
        ("equal to batch_size, but got 3", lambda t: t.nn.utils.rnn.pack_padded_sequence(t.ones(3, 2, 1), [3, 2, 1])),
        ("Cannot pack empty", lambda t: t.nn.utils.rnn.pack_padded_sequence(t.ones(0, 2, 1), [1, 1])),
        ("should be a 1D", lambda t: t.nn.utils.rnn.pack_padded_sequence(t.ones(3, 2, 1), t.tensor([[3, 2]]))),
        ("", lambda t: t.nn.utils.rnn.pack_padded_sequence(t.ones(3), [3])),
        ("Expected iterable", lambda t: t.nn.utils.rnn.pad_sequence(3)),
        ("empty list", lambda t: t.nn.utils.rnn.pad_sequence([])),
        ("left or right, but got up", lambda t: t.nn.utils.rnn.pad_sequence([t.ones(1)], padding_side="up")),
        ("", lambda t: t.nn.utils.rnn.pad_sequence([t.tensor(1.0)])),
        ("", lambda t: t.nn.utils.rnn.pad_sequence([t.ones(2, 3), t.ones(3, 2)])),
        ("Expected total_length", lambda t: t.nn.utils.rnn.pad_packed_sequence(t.nn.utils.rnn.pack_sequence([t.ones(3)]), total_length=2)),
        ("must have 2 dimensions|must have 2 dim", lambda t: t.nn.RNN(3, 2)(t.nn.utils.rnn.pack_sequence([t.ones(3, 1, 3)]))),
    ],
)
def test_packing_errors(match: str, program: Any):
    """PyTorch's types, and its words."""
    error_in_both(program, match)


def test_lengths_beyond_the_tensor_are_refused():
    """PyTorch reads past the end of memory there."""
    with pytest.raises(RuntimeError, match="at most 3"):
        nn.utils.rnn.pack_padded_sequence(torch.ones(3, 2, 1), [4, 2])


def test_a_packed_sequence_gives_what_each_sequence_gives_alone():
    """Outputs and last states, in the order given; padding is not seen."""
    for layer in kinds(num_layers=2, bidirectional=True):
        sequences = [torch.randn(n, 2, dtype=torch.float64) for n in (2, 4, 3)]
        output, end = layer(nn.utils.rnn.pack_sequence(sequences, enforce_sorted=False))
        ends = end if isinstance(end, tuple) else (end,)
        for i, (y, x) in enumerate(zip(nn.utils.rnn.unpack_sequence(output), sequences, strict=True)):
            alone, last = layer(x)
            np.testing.assert_allclose(y.detach().numpy(), alone.detach().numpy(), rtol=1e-12)
            for h, expected in zip(ends, last if isinstance(last, tuple) else (last,), strict=True):
                np.testing.assert_allclose(h[:, i].detach().numpy(), expected.detach().numpy(), rtol=1e-12)
