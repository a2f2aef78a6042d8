"""Recurrent layers: Elman's (RNN), LSTM and GRU, over whole sequences or a step at a time (cells). The steps are in `ops/recurrent.py`."""

from __future__ import annotations

import math
import numbers
import warnings
from typing import Any

from retrograd.core.tensor import Tensor
from retrograd.nn import init
from retrograd.nn.module import Module
from retrograd.nn.parameter import Parameter
from retrograd.nn.utils.rnn import PackedSequence
from retrograd.ops import recurrent
from retrograd.ops.create import empty, zeros
from retrograd.ops.index import index_select
from retrograd.ops.recurrent import Step, Weights

GATES = {"RNN_TANH": 1, "RNN_RELU": 1, "LSTM": 4, "GRU": 3}
STEPS: dict[str, Step] = {
    "RNN_TANH": recurrent.tanh_step,
    "RNN_RELU": recurrent.relu_step,
    "LSTM": recurrent.lstm_step,
    "GRU": recurrent.gru_step,
}


def draw_uniformly(module: Any) -> None:
    """Draws all parameters uniformly from ±1/√hidden_size."""
    bound = 1.0 / math.sqrt(module.hidden_size) if module.hidden_size > 0 else 0
    for weight in module.parameters():
        init.uniform_(weight, -bound, bound)


def check_arguments(
    input_size: Any, hidden_size: Any, num_layers: int, bias: Any, batch_first: Any, dropout: Any, proj_size: int, mode: str
) -> None:
    """Raises ValueError or TypeError for arguments that make no layer."""
    if not isinstance(dropout, numbers.Number) or isinstance(dropout, bool) or not 0 <= dropout <= 1:  # type: ignore[operator]
        raise ValueError("dropout should be a number in range [0, 1] representing the probability of an element being zeroed")
    for name, flag in (("bias", bias), ("batch_first", batch_first)):
        if not isinstance(flag, bool):
            raise TypeError(f"{name} should be of type bool, got: {type(flag).__name__}")
    for name, size in (("input_size", input_size), ("hidden_size", hidden_size)):
        if not isinstance(size, int):
            raise TypeError(f"{name} should be of type int, got: {type(size).__name__}")
        if size <= 0:
            raise ValueError(f"{name} must be greater than zero")
    if num_layers <= 0:
        raise ValueError("num_layers must be greater than zero")
    if proj_size < 0:
        raise ValueError("proj_size should be a positive integer or zero to disable projections")
    if proj_size >= hidden_size:
        raise ValueError("proj_size has to be smaller than hidden_size")
    if mode not in GATES:
        raise ValueError(f"Unrecognized RNN mode: {mode}")


class RNNBase(Module):
    """What recurrent layers share: the weights of each layer and direction, and running sequences through them.

    Attributes:
        weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0: of layer 0; the rows are those of its gates, one gate after the other.
            In other layers `l0` is `l1`, and so on; the other direction's end in `_reverse`; `weight_hr_l0` projects h.

    Raises:
        ValueError: for sizes, numbers of layers or probabilities that make no sense.
        TypeError: for flags and sizes of another type.
    """

    def __init__(
        self, mode: str, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False,
        dropout: float = 0.0, bidirectional: bool = False, proj_size: int = 0, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        check_arguments(input_size, hidden_size, num_layers, bias, batch_first, dropout, proj_size, mode)
        if dropout > 0 and num_layers == 1:
            warnings.warn(
                "dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects num_layers greater than 1, "
                f"but got dropout={dropout} and num_layers={num_layers}",
                stacklevel=3,
            )
        self.mode, self.input_size, self.hidden_size, self.num_layers = mode, input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout, self.bidirectional = bias, batch_first, float(dropout), bidirectional
        self.proj_size = proj_size
        gates, out = GATES[mode] * hidden_size, proj_size or hidden_size
        self._all_weights: list[list[str]] = []
        for layer in range(num_layers):
            size = input_size if layer == 0 else out * self.num_directions
            shapes: dict[str, tuple[int, ...]] = {"weight_ih": (gates, size), "weight_hh": (gates, out)}
            if bias:
                shapes.update(bias_ih=(gates,), bias_hh=(gates,))
            if proj_size:
                shapes["weight_hr"] = (proj_size, hidden_size)
            for suffix in ("", "_reverse")[: self.num_directions]:
                self._all_weights.append([f"{name}_l{layer}{suffix}" for name in shapes])
                for name, shape in shapes.items():
                    self.register_parameter(f"{name}_l{layer}{suffix}", Parameter(empty(shape, device=device, dtype=dtype)))
        self.reset_parameters()

    @property
    def num_directions(self) -> int:
        """2 if bidirectional, else 1."""
        return 2 if self.bidirectional else 1

    @property
    def all_weights(self) -> list[list[Any]]:
        """The weights, by layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    @property
    def _flat_weights_names(self) -> list[str]:
        return [name for names in self._all_weights for name in names]

    @property
    def _flat_weights(self) -> list[Any]:
        return [getattr(self, name) for name in self._flat_weights_names]

    def reset_parameters(self) -> None:
        """Draws all parameters uniformly from ±1/√hidden_size."""
        draw_uniformly(self)

    def flatten_parameters(self) -> None:
        """Does nothing: on a GPU, PyTorch puts the weights beside each other in memory."""

    def grouped_weights(self) -> list[Weights]:
        """The weights, by layer and direction, as the steps take them."""
        names = ["w_ih", "w_hh", *(["b_ih", "b_hh"] if self.bias else []), *(["w_hr"] if self.proj_size else [])]
        return [Weights(**dict(zip(names, group, strict=True))) for group in self.all_weights]

    # ------------------------------------------------------------ what may come in

    def check_input(self, input: Tensor, batch_sizes: Tensor | None) -> None:
        """Raises ValueError for another dtype than the weights', RuntimeError for another shape."""
        dtype = self._flat_weights[0].dtype
        if input.dtype is not dtype:
            raise ValueError(
                f"RNN input dtype ({input.dtype}) does not match weight dtype ({dtype}). Convert input: input.to({dtype}), or convert "
                f"model: model.to({input.dtype})"
            )
        expected = 3 if batch_sizes is None else 2
        if input.ndim != expected:
            raise RuntimeError(f"input must have {expected} dimensions, got {input.ndim}")
        if self.input_size != input.shape[-1]:
            raise RuntimeError(f"input.size(-1) must be equal to input_size. Expected {self.input_size}, got {input.shape[-1]}")

    def state_sizes(self) -> tuple[int, ...]:
        """The last dim of each tensor of the state."""
        return (self.hidden_size,)

    def check_hidden_size(self, hx: Tensor, expected_hidden_size: tuple[int, ...], msg: str = "Expected hidden size {}, got {}") -> None:
        """Raises RuntimeError for another shape."""
        if tuple(hx.shape) != expected_hidden_size:
            raise RuntimeError(msg.format(expected_hidden_size, list(hx.shape)))

    def check_state(self, state: tuple[Tensor, ...], batch: int) -> None:
        """Raises RuntimeError for a state of other shapes."""
        for i, (h, size) in enumerate(zip(state, self.state_sizes(), strict=True)):
            words = "hidden size" if len(state) == 1 else f"hidden[{i}] size"
            self.check_hidden_size(h, (self.num_layers * self.num_directions, batch, size), f"Expected {words} {{}}, got {{}}")

    def check_state_dims(self, state: tuple[Tensor, ...], is_batched: bool) -> None:
        """Raises RuntimeError for a state with another number of dims than the input."""
        (kind, dims), found = ("batched", 3) if is_batched else ("unbatched", 2), [h.ndim for h in state]
        if any(n != dims for n in found):
            if len(state) == 1:
                raise RuntimeError(f"For {kind} {dims}-D input, hx should also be {dims}-D but got {found[0]}-D tensor")
            raise RuntimeError(f"For {kind} {dims}-D input, hx and cx should also be {dims}-D but got ({found[0]}-D, {found[1]}-D) tensors")

    # ------------------------------------------------------------ running

    def run(self, input: Any, state: tuple[Tensor, ...] | None) -> tuple[Any, tuple[Tensor, ...]]:
        """The outputs at each time, in the layout of `input`, and the final state; from zeros where there is no `state`."""
        if isinstance(input, PackedSequence):
            return self.run_packed(input, state)
        if input.ndim not in (2, 3):
            tail = " tensor" if self.mode.startswith("RNN") else ""
            raise ValueError(f"{type(self).__name__}: Expected input to be 2D or 3D, got {input.ndim}D{tail} instead")
        is_batched = input.ndim == 3
        if state is not None:
            self.check_state_dims(state, is_batched)
        batch_dim = 0 if self.batch_first else 1
        if not is_batched:
            input, state = input.unsqueeze(batch_dim), None if state is None else tuple(h.unsqueeze(1) for h in state)
        self.check_input(input, None)
        state = self.checked_state(state, input, input.shape[batch_dim])
        output, end = self.run_layers(input.transpose(0, 1) if self.batch_first else input, None, state)
        output = output.transpose(0, 1) if self.batch_first else output
        return (output, end) if is_batched else (output.squeeze(batch_dim), tuple(h.squeeze(1) for h in end))

    def run_packed(self, sequence: PackedSequence, state: tuple[Tensor, ...] | None) -> tuple[PackedSequence, tuple[Tensor, ...]]:
        """The same for packed sequences; the state is in the order in which they were given."""
        data, batch_sizes, order, inverse = sequence
        self.check_input(data, batch_sizes)
        sizes = batch_sizes.tolist()
        state = self.checked_state(None if state is None else permuted(state, order), data, sizes[0])
        output, end = self.run_layers(data, sizes, state)
        return PackedSequence(output, batch_sizes, order, inverse), permuted(end, inverse)

    def checked_state(self, state: tuple[Tensor, ...] | None, input: Tensor, batch: int) -> tuple[Tensor, ...]:
        """The state, which must fit; zeros, if there is none."""
        if state is None:
            depth = self.num_layers * self.num_directions
            return tuple(zeros(depth, batch, size, dtype=input.dtype) for size in self.state_sizes())
        self.check_state(state, batch)
        return state

    def run_layers(self, input: Tensor, sizes: list[int] | None, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """All layers, with dropout between them while training."""
        weights = self.grouped_weights()
        return recurrent.run_layers(STEPS[self.mode], input, sizes, state, weights, self.num_directions, self.dropout, self.training)

    def extra_repr(self) -> str:
        """What stands in the parentheses when the layer is printed."""
        defaults = {"proj_size": 0, "num_layers": 1, "bias": True, "batch_first": False, "dropout": 0, "bidirectional": False}
        others = [f"{name}={getattr(self, name)}" for name, default in defaults.items() if getattr(self, name) != default]
        return ", ".join([str(self.input_size), str(self.hidden_size), *others])


def permuted(state: tuple[Tensor, ...], order: Tensor | None) -> tuple[Tensor, ...]:
    """A state with its batch in another order."""
    return state if order is None else tuple(index_select(h, 1, order) for h in state)


def only_for_lstm(kwargs: dict[str, Any]) -> None:
    """Raises ValueError if `proj_size` is among the arguments."""
    if "proj_size" in kwargs:
        raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")


class RNN(RNNBase):
    """Elman's recurrent layers: h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu of it with `nonlinearity="relu"`.

    Args:
        input_size: the size of x.
        hidden_size: the size of h.
        num_layers: how many layers there are; each takes the outputs of the one before.
        bias: whether there are b_ih and b_hh.
        batch_first: inputs and outputs have shape (batch, time, size) in place of (time, batch, size).
        dropout: the probability of dropout between layers.
        bidirectional: each layer also runs from the last time to the first; its outputs are both directions' beside each other.

    Called with an input, shape (time, batch, input_size), (time, input_size) for one sequence, or a `PackedSequence`, and a first
    state (zeros by default) of shape (layers · directions, batch, hidden_size), it returns the outputs of the last layer, shape
    (time, batch, directions · hidden_size), and the last state, in the first's shape.

    >>> import retrograd as torch
    >>> y, h = torch.nn.RNN(3, 4, num_layers=2)(torch.zeros(5, 2, 3))
    >>> y.shape, h.shape
    (torch.Size([5, 2, 4]), torch.Size([2, 2, 4]))
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, nonlinearity: str = "tanh", *args: Any, **kwargs: Any
    ) -> None:
        only_for_lstm(kwargs)
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        super().__init__(f"RNN_{nonlinearity.upper()}", input_size, hidden_size, num_layers, *args, **kwargs)
        self.nonlinearity = nonlinearity

    def forward(self, input: Any, hx: Tensor | None = None) -> tuple[Any, Tensor]:
        """(outputs, last state)"""
        output, (h,) = self.run(input, None if hx is None else (hx,))
        return output, h


class GRU(RNNBase):
    """Layers of gated recurrent units. See `RNN` for arguments and shapes, `ops.recurrent.gru_step` for the formula.

    >>> import retrograd as torch
    >>> y, h = torch.nn.GRU(3, 4, bidirectional=True)(torch.zeros(5, 2, 3))
    >>> y.shape, h.shape
    (torch.Size([5, 2, 8]), torch.Size([2, 2, 4]))
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        only_for_lstm(kwargs)
        super().__init__("GRU", *args, **kwargs)

    def forward(self, input: Any, hx: Tensor | None = None) -> tuple[Any, Tensor]:
        """(outputs, last state)"""
        output, (h,) = self.run(input, None if hx is None else (hx,))
        return output, h


class LSTM(RNNBase):
    """Layers of long short-term memory. See `RNN` for arguments and shapes, `ops.recurrent.lstm_step` for the formula.

    The state is a pair (h, c). With `proj_size`, h and the outputs have that size in place of hidden_size, which c keeps.

    >>> import retrograd as torch
    >>> y, (h, c) = torch.nn.LSTM(3, 4, proj_size=2)(torch.zeros(5, 2, 3))
    >>> y.shape, h.shape, c.shape
    (torch.Size([5, 2, 2]), torch.Size([1, 2, 2]), torch.Size([1, 2, 4]))
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__("LSTM", *args, **kwargs)

    def state_sizes(self) -> tuple[int, ...]:
        """The sizes of h and c."""
        return (self.proj_size or self.hidden_size), self.hidden_size

    def forward(self, input: Any, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Any, tuple[Tensor, Tensor]]:
        """(outputs, (last h, last c))"""
        output, (h, c) = self.run(input, None if hx is None else (hx[0], hx[1]))
        return output, (h, c)


# ---------------------------------------------------------------- a step at a time


class RNNCellBase(Module):
    """What cells share.

    Attributes:
        weight_ih, weight_hh: shapes (gates · hidden_size, input_size) and (gates · hidden_size, hidden_size).
        bias_ih, bias_hh: shape (gates · hidden_size), or None.
    """

    weight_ih: Parameter
    weight_hh: Parameter
    bias_ih: Parameter | None
    bias_hh: Parameter | None

    def __init__(self, input_size: int, hidden_size: int, bias: bool, num_chunks: int, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        gates = num_chunks * hidden_size
        self.weight_ih = Parameter(empty(gates, input_size, device=device, dtype=dtype))
        self.weight_hh = Parameter(empty(gates, hidden_size, device=device, dtype=dtype))
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, Parameter(empty(gates, device=device, dtype=dtype)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws all parameters uniformly from ±1/√hidden_size."""
        draw_uniformly(self)

    def step(self, function: Any, input: Tensor, state: tuple[Tensor, ...] | None, names: tuple[str, ...]) -> tuple[Tensor, ...]:
        """One step by a function of `ops/recurrent.py`; one example without a batch is a batch of one."""
        kind = type(self).__name__
        for name, x in (("input", input), *zip(names, state or (), strict=False)):
            if x.ndim not in (1, 2):
                raise ValueError(f"{kind}: Expected {name} to be 1D or 2D, got {x.ndim}D instead")
        is_batched = input.ndim == 2
        x = input if is_batched else input.unsqueeze(0)
        if state is None:
            state = (zeros(x.shape[0], self.hidden_size, dtype=x.dtype),) * len(names)
        elif not is_batched:
            state = tuple(h.unsqueeze(0) for h in state)
        weights = Weights(self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        after = recurrent.cell(x, state, weights, function)
        return after if is_batched else tuple(h.squeeze(0) for h in after)

    def extra_repr(self) -> str:
        """What stands in the parentheses when the cell is printed."""
        text = f"{self.input_size}, {self.hidden_size}" + ("" if self.bias is True else f", bias={self.bias}")
        nonlinearity = getattr(self, "nonlinearity", "tanh")
        return text if nonlinearity == "tanh" else f"{text}, nonlinearity={nonlinearity}"


class RNNCell(RNNCellBase):
    """One step of Elman's recurrent layer: h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu of it.

    Called with an input, shape (batch, input_size) or (input_size), and h, shape (batch, hidden_size) or (hidden_size), zeros by
    default, it returns h'.

    >>> import retrograd as torch
    >>> torch.nn.RNNCell(3, 4)(torch.zeros(2, 3)).shape
    torch.Size([2, 4])
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh", device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """h'. Raises RuntimeError if shapes do not fit, ValueError for another number of dims."""
        function = {"tanh": recurrent.tanh_step, "relu": recurrent.relu_step}.get(self.nonlinearity)
        if function is None:
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        return self.step(function, input, None if hx is None else (hx,), ("hidden",))[0]


class LSTMCell(RNNCellBase):
    """One step of an LSTM. See `RNNCell` for shapes, `ops.recurrent.lstm_step` for the formula. The state is a pair (h, c).

    >>> import retrograd as torch
    >>> h, c = torch.nn.LSTMCell(3, 4)(torch.zeros(2, 3))
    >>> h.shape, c.shape
    (torch.Size([2, 4]), torch.Size([2, 4]))
    """

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None) -> None:
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """(h', c'). Raises RuntimeError if shapes do not fit, ValueError for another number of dims."""
        h, c = self.step(recurrent.lstm_step, input, None if hx is None else tuple(hx), ("hx[0]", "hx[1]"))
        return h, c


class GRUCell(RNNCellBase):
    """One step of a gated recurrent unit. See `RNNCell` for shapes, `ops.recurrent.gru_step` for the formula.

    >>> import retrograd as torch
    >>> torch.nn.GRUCell(3, 4)(torch.zeros(2, 3)).shape
    torch.Size([2, 4])
    """

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None) -> None:
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """h'. Raises RuntimeError if shapes do not fit, ValueError for another number of dims."""
        return self.step(recurrent.gru_step, input, None if hx is None else (hx,), ("hidden",))[0]
