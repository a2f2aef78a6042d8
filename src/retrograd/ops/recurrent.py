"""Recurrent layers as functions: one step of each kind of cell, and whole sequences of them in layers and both directions.

Everything is made of other operations, so that derivatives of any order, batching and recording need nothing here. What the steps
of a sequence have in common is done for all at once: the products of the inputs with their weights are one product.
Knows nothing of modules, nor of what keeps sequences of several lengths together (`nn.utils.rnn`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from retrograd import dtypes
from retrograd.core.tensor import Tensor
from retrograd.ops.activation import relu, sigmoid
from retrograd.ops.contract import linear
from retrograd.ops.join import cat, stack
from retrograd.ops.pointwise import tanh
from retrograd.ops.sample import dropout
from retrograd.ops.shape import chunk, narrow, split_with_sizes, unbind

State = tuple[Tensor, ...]  # (h,), or (h, c) of an LSTM; each of shape (batch, size)


class Weights(NamedTuple):
    """The weights of one layer in one direction; G is the size of all gates together.

    w_ih: shape (G, in). w_hh: shape (G, size of h). b_ih, b_hh: shape (G), or None. w_hr: shape (size of h, hidden), or None.
    """

    w_ih: Tensor
    w_hh: Tensor
    b_ih: Tensor | None = None
    b_hh: Tensor | None = None
    w_hr: Tensor | None = None


# ---------------------------------------------------------------- one step
#
# `x` is what `projected` made of the step's input.


def tanh_step(x: Tensor, state: State, w: Weights) -> State:
    """h' = tanh(x + W h) (Elman 1990)."""
    return (tanh(x + linear(state[0], w.w_hh)),)


def relu_step(x: Tensor, state: State, w: Weights) -> State:
    """h' = relu(x + W h)"""
    return (relu(x + linear(state[0], w.w_hh)),)


def lstm_step(x: Tensor, state: State, w: Weights) -> State:
    """c' = σ(f) c + σ(i) tanh(g) and h' = σ(o) tanh(c'), for the gates i, f, g, o = x + W h (Hochreiter & Schmidhuber 1997).

    With `w_hr`, h' is multiplied by it (Sak et al. 2014).
    """
    h, c = state
    i, f, g, o = chunk(x + linear(h, w.w_hh), 4, 1)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    h = sigmoid(o) * tanh(c)
    return (h if w.w_hr is None else linear(h, w.w_hr)), c


def gru_step(x: Tensor, state: State, w: Weights) -> State:
    """h' = (1 - z) n + z h, with r, z = σ(x + W h) and n = tanh(x + r (W h)) from their parts of x and W (Cho et al. 2014)."""
    (h,) = state
    size = h.shape[1]
    (x_gates, x_new), (h_gates, h_new) = (split_with_sizes(y, (2 * size, size), 1) for y in (x, linear(h, w.w_hh, w.b_hh)))
    r, z = chunk(sigmoid(x_gates + h_gates), 2, 1)
    new = tanh(x_new + r * h_new)
    return (new + z * (h - new),)


Step = Callable[[Tensor, State, Weights], State]


def projected(input: Tensor, w: Weights, step: Step) -> Tensor:
    """The inputs' share in the gates, shape (..., G). It has the biases of both, save for `gru_step`, which adds one itself."""
    if w.b_ih is None or w.b_hh is None:
        return linear(input, w.w_ih)
    return linear(input, w.w_ih, w.b_ih if step is gru_step else w.b_ih + w.b_hh)


# ---------------------------------------------------------------- cells


def check_cell(input: Tensor, state: State, w: Weights) -> None:
    """Raises RuntimeError if an input or a state does not fit the weights."""
    if input.shape[1] != w.w_ih.shape[1]:
        raise RuntimeError(f"input has inconsistent input_size: got {input.shape[1]} expected {w.w_ih.shape[1]}")
    for i, h in enumerate(state):
        if h.ndim != 2 or input.shape[0] != h.shape[0]:
            raise RuntimeError(f"Input batch size {input.shape[0]} doesn't match hidden{i} batch size {h.shape[0]}")
        if h.shape[1] != w.w_hh.shape[1]:
            raise RuntimeError(f"hidden{i} has inconsistent hidden_size: got {h.shape[1]}, expected {w.w_hh.shape[1]}")


def cell(input: Tensor, state: State, w: Weights, step: Step) -> State:
    """One step of a cell, checked."""
    check_cell(input, state, w)
    return step(projected(input, w, step), state, w)


def rnn_tanh_cell(input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None, b_hh: Tensor | None = None) -> Tensor:
    """The next state h' = tanh(W_ih x + b_ih + W_hh h + b_hh) of an Elman cell.

    Args:
        input: x, shape (N, in).
        hx: h, shape (N, hidden).
        w_ih, w_hh: shapes (hidden, in) and (hidden, hidden).
        b_ih, b_hh: shape (hidden), or None.

    Raises:
        RuntimeError: if the shapes do not fit, or the dtypes differ.

    >>> from retrograd import eye, zeros
    >>> rnn_tanh_cell(eye(2), zeros(2, 2), eye(2), eye(2))
    tensor([[0.7616, 0.0000],
            [0.0000, 0.7616]])
    """
    return cell(input, (hx,), Weights(w_ih, w_hh, b_ih, b_hh), tanh_step)[0]


def rnn_relu_cell(input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None, b_hh: Tensor | None = None) -> Tensor:
    """The same as `rnn_tanh_cell`, with relu."""
    return cell(input, (hx,), Weights(w_ih, w_hh, b_ih, b_hh), relu_step)[0]


def lstm_cell(
    input: Tensor, hx: Sequence[Tensor], w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None, b_hh: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The next (h, c) of an LSTM cell. See `lstm_step`.

    Args:
        input: shape (N, in).
        hx: (h, c), each of shape (N, hidden).
        w_ih, w_hh: shapes (4 hidden, in) and (4 hidden, hidden): rows for the gates i, f, g, o.
        b_ih, b_hh: shape (4 hidden), or None.

    Raises:
        RuntimeError: if the shapes do not fit, or the dtypes differ.
    """
    h, c = cell(input, tuple(hx), Weights(w_ih, w_hh, b_ih, b_hh), lstm_step)
    return h, c


def gru_cell(input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None, b_hh: Tensor | None = None) -> Tensor:
    """The next state of a GRU cell. See `gru_step`.

    Args:
        input: shape (N, in).
        hx: shape (N, hidden).
        w_ih, w_hh: shapes (3 hidden, in) and (3 hidden, hidden): rows for r, z, n.
        b_ih, b_hh: shape (3 hidden), or None.

    Raises:
        RuntimeError: if the shapes do not fit, or the dtypes differ.
    """
    return cell(input, (hx,), Weights(w_ih, w_hh, b_ih, b_hh), gru_step)[0]


# ---------------------------------------------------------------- sequences


def run_direction(xs: Sequence[Tensor], state: State, w: Weights, step: Step, reverse: bool) -> tuple[list[Tensor], State]:
    """One layer in one direction over the projected inputs of each time, of which later ones may have fewer rows.

    Returns:
        the h of each time, and the state of each row at its end. A row is idle where it has no input.
    """
    first, outputs, ended = state, [], []
    if reverse:
        state = rows(state, 0, len(xs[-1]))
    for x in reversed(xs) if reverse else xs:
        n, before = x.shape[0], state[0].shape[0]
        if n > before:
            state = tuple(cat(pair) for pair in zip(state, rows(first, before, n), strict=True))
        elif n < before:
            ended.append(rows(state, n, before))
            state = rows(state, 0, n)
        state = step(x, state, w)
        outputs.append(state[0])
    if ended:
        state = tuple(cat(parts) for parts in zip(state, *reversed(ended), strict=True))
    return (outputs[::-1] if reverse else outputs), state


def rows(state: State, start: int, end: int) -> State:
    """Some rows of a state."""
    return state if (start, end) == (0, state[0].shape[0]) else tuple(narrow(s, 0, start, end - start) for s in state)


def run_layers(
    step: Step, input: Tensor, batch_sizes: Sequence[int] | None, hx: State, weights: Sequence[Weights], directions: int, p: float,
    train: bool,
) -> tuple[Tensor, State]:  # fmt: skip
    """A stack of layers, each in one or two directions.

    Args:
        input: shape (time, batch, in); with `batch_sizes`, all times' rows one after the other, shape (rows, in).
        batch_sizes: the number of rows of each time, which never grows.
        hx: the initial state, each of shape (layers · directions, batch, size).
        weights: of each layer and direction.
        p: between layers, elements are zeroed with this probability while training.

    Returns:
        the last layer's h at each time, in the input's layout, and the final state, in that of `hx`.

    Raises:
        RuntimeError: if there is no time, or the dtypes differ.
    """
    if input.shape[0] == 0:
        raise RuntimeError("Expected sequence length to be larger than 0 in RNN")
    for h in hx:
        if h.dtype is not input.dtype:
            raise RuntimeError(
                f"Input and hidden tensors are not the same dtype, found input tensor with {dtypes.scalar_name(input.dtype)} and hidden "
                f"tensor with {dtypes.scalar_name(h.dtype)}"
            )
    starts = list(zip(*[unbind(s, 0) for s in hx], strict=True))
    ends: list[State] = []
    layers = len(weights) // directions
    for layer in range(layers):
        outputs = []
        for at in range(layer * directions, (layer + 1) * directions):
            x = projected(input, weights[at], step)
            xs = unbind(x, 0) if batch_sizes is None else split_with_sizes(x, batch_sizes, 0)
            hs, end = run_direction(xs, starts[at], weights[at], step, at > layer * directions)
            outputs.append(stack(hs) if batch_sizes is None else cat(hs))
            ends.append(end)
        input = outputs[0] if directions == 1 else cat(outputs, -1)
        if p and train and layer < layers - 1:
            input = dropout(input, p, train)
    return input, tuple(stack(column) for column in zip(*ends, strict=True))
