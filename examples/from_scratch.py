"""Backpropagation from nothing: what Retrograd does, in about 300 lines of Python on NumPy.

    1. operations: a function of arrays, and a rule for each operand
    2. tensors: arrays that remember which operation made them
    3. the operations that a network needs, with their rules
    4. backward: from the loss to the weights, one product after the other
    5. Jacobians: the matrices that backward never forms
    6. layers
    7. the optimizer
    8. the note's program

Nothing of the library is used. Everything is computed in double precision.
Run it: `python examples/from_scratch.py`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray
Rule = Callable[..., Array]


# ---------------------------------------------------------------- 1. Operations


class Operation:
    """A function of arrays, and for each operand a rule: its transposed Jacobian times a vector.

    A rule gets the vector `g` that arrives (a number for each element of the result), the
    result `y`, and all that the function got. It returns Jᵀ g in the shape of its operand.
    The Jacobian itself is never formed.
    """

    def __init__(self, forward: Callable[..., Array]) -> None:
        self.name, self.forward = forward.__name__, forward
        self.rules: list[Rule] = []

    def rule(self, rule: Rule) -> Rule:
        """Adds the rule of the next operand."""
        self.rules.append(rule)
        return rule

    def __call__(self, *operands: Any, **options: Any) -> Tensor:
        """Runs the function; notes down what is needed to go back, if any operand wants a gradient."""
        tensors = [x if isinstance(x, Tensor) else Tensor(x) for x in operands]
        result = Tensor(self.forward(*(t.data for t in tensors), **options))
        if any(t.requires_grad for t in tensors):
            result.requires_grad = True
            result.node = Node(self, tensors, [t.data for t in tensors], result.data, options)
        return result


@dataclass
class Node:
    """One line of the tape: an operation that was run, on what, and with what result."""

    operation: Operation
    operands: list[Tensor]
    arrays: list[Array]  # the operands' numbers as they were, whatever becomes of the tensors
    result: Array
    options: dict[str, Any]

    def product(self, i: int, g: Array) -> Array:
        """Jᵀ g, where J is the Jacobian of the result with respect to operand `i`."""
        return self.operation.rules[i](g, self.result, *self.arrays, **self.options)


# ---------------------------------------------------------------- 2. Tensors

numbers = itertools.count()


class Tensor:
    """An array, its gradient, and the node of the tape that it came from (None: it is a leaf)."""

    def __init__(self, data: Any, requires_grad: bool = False) -> None:
        self.data: Array = np.asarray(data, dtype=np.float64)
        self.requires_grad = requires_grad
        self.grad: Array | None = None
        self.node: Node | None = None
        self.number = next(numbers)  # a result has a higher number than what it was computed from

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of the dims."""
        return self.data.shape

    @property
    def T(self) -> Tensor:
        """The matrix, transposed."""
        return transpose(self)

    def __add__(self, other: Any) -> Tensor:
        return add(self, other)

    def __sub__(self, other: Any) -> Tensor:
        return subtract(self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return subtract(other, self)

    def __mul__(self, other: Any) -> Tensor:
        return multiply(self, other)

    def __matmul__(self, other: Any) -> Tensor:
        return matmul(self, other)

    def pow(self, exponent: float) -> Tensor:
        """Each element to a power."""
        return power(self, exponent=exponent)

    def sum(self) -> Tensor:
        """The sum of all elements."""
        return total(self)

    def backward(self, v: Array | None = None) -> None:
        """Adds the gradient of this number to `.grad` of every leaf that it depends on."""
        backward(self, v)

    def __repr__(self) -> str:
        made = f", made by {self.node.operation.name}" if self.node else ""
        return f"Tensor({self.data}{made})"


# ---------------------------------------------------------------- 3. The operations that a network needs


def folded(g: Array, shape: tuple[int, ...]) -> Array:
    """Adds up what broadcasting repeated: the transpose of repeating is adding."""
    g = g.sum(axis=tuple(range(g.ndim - len(shape))))
    return g.sum(axis=tuple(i for i, n in enumerate(shape) if n == 1), keepdims=True)


@Operation
def add(a: Array, b: Array) -> Array:
    """a + b. Either Jacobian is the identity."""
    return a + b


add.rule(lambda g, y, a, b: folded(g, a.shape))
add.rule(lambda g, y, a, b: folded(g, b.shape))


@Operation
def subtract(a: Array, b: Array) -> Array:
    """a - b. The Jacobians are the identity and minus the identity."""
    return a - b


subtract.rule(lambda g, y, a, b: folded(g, a.shape))
subtract.rule(lambda g, y, a, b: folded(-g, b.shape))


@Operation
def multiply(a: Array, b: Array) -> Array:
    """a b, element by element. One Jacobian has b on its diagonal, the other a."""
    return a * b


multiply.rule(lambda g, y, a, b: folded(g * b, a.shape))
multiply.rule(lambda g, y, a, b: folded(g * a, b.shape))


@Operation
def power(a: Array, *, exponent: float) -> Array:
    """Each element to a power: a diagonal Jacobian."""
    return a**exponent


power.rule(lambda g, y, a, exponent: g * exponent * a ** (exponent - 1))


@Operation
def relu(a: Array) -> Array:
    """max(a, 0): the Jacobian has 1 on the diagonal where a > 0, and zeros elsewhere."""
    return np.maximum(a, 0)


relu.rule(lambda g, y, a: g * (y > 0))


@Operation
def matmul(a: Array, b: Array) -> Array:
    """The matrix product: each row of y comes from a row of a, each column from a column of b."""
    return a @ b


matmul.rule(lambda g, y, a, b: g @ b.T)
matmul.rule(lambda g, y, a, b: a.T @ g)


@Operation
def transpose(a: Array) -> Array:
    """The matrix, transposed: a permutation, whose transpose puts everything back."""
    return a.T


transpose.rule(lambda g, y, a: g.T)


@Operation
def total(a: Array) -> Array:
    """The sum of all elements: the Jacobian is a row of ones, so that g comes back to each element."""
    return a.sum()


total.rule(lambda g, y, a: np.broadcast_to(g, a.shape))


# ---------------------------------------------------------------- 4. Backward


def reached(loss: Tensor) -> list[Tensor]:
    """What the loss was computed from and that wants a gradient; what was made last comes first."""
    found, waiting = {loss}, [loss]
    while waiting:
        node = waiting.pop().node
        for operand in node.operands if node else ():
            if operand.requires_grad and operand not in found:
                found.add(operand)
                waiting.append(operand)
    return sorted(found, key=lambda tensor: tensor.number, reverse=True)


def backward(loss: Tensor, v: Array | None = None) -> None:
    """Walks the tape from the loss back to the leaves: one transposed Jacobian after the other.

    A tensor is visited when all that was computed from it has been: then all that arrives for
    it has been added up.
    """
    if not loss.requires_grad:
        raise RuntimeError("nothing that this tensor was computed from requires a gradient")
    if v is None:
        if loss.data.size != 1:
            raise RuntimeError(f"expected one number to differentiate, or a vector v to begin with; got a tensor of shape {loss.shape}")
        v = np.ones_like(loss.data)  # the derivative of the loss with respect to itself
    arrived = {loss: v}
    for tensor in reached(loss):
        g = arrived.pop(tensor)
        if tensor.node is None:
            tensor.grad = g if tensor.grad is None else tensor.grad + g  # this is where gradients accumulate
            continue
        for i, operand in enumerate(tensor.node.operands):
            if operand.requires_grad:
                product = tensor.node.product(i, g)
                arrived[operand] = arrived[operand] + product if operand in arrived else product


# ---------------------------------------------------------------- 5. Jacobians


def jacobian(function: Callable[[Tensor], Tensor], x: Array) -> Array:
    """The whole matrix, outputs by inputs. With v = (0, .., 1, .., 0), Jᵀ v is one row of it."""
    leaf = Tensor(x, requires_grad=True)
    y = function(leaf)
    rows = []
    for i in range(y.data.size):
        leaf.grad = None
        y.backward(np.eye(y.data.size)[i].reshape(y.shape))
        rows.append(np.ravel(leaf.grad))
    return np.stack(rows)


def measured_jacobian(function: Callable[[Tensor], Tensor], x: Array, h: float = 1e-6) -> Array:
    """The same by trying out: each input a little higher and a little lower. One column for each input."""
    columns = []
    for i in range(x.size):
        step = h * np.eye(x.size)[i].reshape(x.shape)
        difference = function(Tensor(x + step)).data - function(Tensor(x - step)).data
        columns.append(np.ravel(difference) / (2 * h))
    return np.stack(columns, axis=1)


# ---------------------------------------------------------------- 6. Layers


class Module:
    """A function with parameters: its own tensors, and those of the modules in it."""

    def forward(self, x: Tensor) -> Tensor:
        """What the module computes."""
        raise NotImplementedError

    def __call__(self, x: Tensor) -> Tensor:
        return self.forward(x)

    def parameters(self) -> Iterator[Tensor]:
        """All tensors that are to be trained."""
        for value in vars(self).values():
            for part in value if isinstance(value, tuple) else (value,):
                if isinstance(part, Module):
                    yield from part.parameters()
                elif isinstance(part, Tensor) and part.requires_grad:
                    yield part


class Linear(Module):
    """y = x Wᵀ + b. Weights and bias are drawn between ±1/√inputs."""

    def __init__(self, inputs: int, outputs: int, rng: np.random.Generator) -> None:
        bound = inputs**-0.5
        self.weight = Tensor(rng.uniform(-bound, bound, (outputs, inputs)), requires_grad=True)
        self.bias = Tensor(rng.uniform(-bound, bound, outputs), requires_grad=True)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight.T + self.bias


class ReLU(Module):
    """max(x, 0)."""

    def forward(self, x: Tensor) -> Tensor:
        return relu(x)


class Sequential(Module):
    """One module after the other."""

    def __init__(self, *modules: Module) -> None:
        self.modules = modules

    def __getitem__(self, i: int) -> Module:
        return self.modules[i]

    def forward(self, x: Tensor) -> Tensor:
        for module in self.modules:
            x = module(x)
        return x


def squared_error(prediction: Tensor, ideal: Tensor) -> Tensor:
    """The sum of the squared differences."""
    return (ideal - prediction).pow(2).sum()


# ---------------------------------------------------------------- 7. The optimizer


class SGD:
    """Gradient descent: each weight goes a little way against its gradient."""

    def __init__(self, parameters: Iterator[Tensor], lr: float) -> None:
        self.parameters, self.lr = list(parameters), lr

    def step(self) -> None:
        """Moves the weights. The old numbers stay as they are: a tape may still hold them."""
        for p in self.parameters:
            if p.grad is not None:
                p.data = p.data - self.lr * p.grad

    def zero_grad(self) -> None:
        """Forgets the gradients, so that the next backward pass begins afresh."""
        for p in self.parameters:
            p.grad = None


# ---------------------------------------------------------------- 8. The note's program


def main() -> None:
    """Trains the note's network on one batch, and multiplies out its chain of Jacobians."""
    rng = np.random.default_rng(0)
    net = Sequential(Linear(784, 256, rng), ReLU(), Linear(256, 10, rng))
    some_input, ideal_output = Tensor(rng.standard_normal((16, 784))), Tensor(rng.standard_normal((16, 10)))
    optimizer = SGD(net.parameters(), lr=0.001)
    for step in range(5):
        optimizer.zero_grad()
        loss = squared_error(net(some_input), ideal_output)
        loss.backward()
        optimizer.step()
        print(f"step {step}: loss {loss.data:.4f}")

    # The chain for one example: the loss is g(f4(f3(f2(f1(x))))).
    x, ideal = some_input.data[:1], ideal_output.data[:1]
    layers: list[Callable[[Tensor], Tensor]] = [net[0], net[1], net[2], lambda prediction: Tensor(ideal) - prediction]
    at, jacobians = x, []
    for layer in layers:
        jacobians.append(jacobian(layer, at))
        at = layer(Tensor(at)).data
    product = 2 * at.ravel()  # v, the gradient of g(y) = the sum of the squares of y
    for j in reversed(jacobians):
        product = j.T @ product
    leaf = Tensor(x, requires_grad=True)
    squared_error(net(leaf), Tensor(ideal)).backward()
    print("Jacobians:", ", ".join(f"{j.shape[0]} x {j.shape[1]}" for j in jacobians))
    print(f"J1ᵀ J2ᵀ J3ᵀ J4ᵀ v and backward() differ by at most {np.abs(product - np.ravel(leaf.grad)).max():.0e}")


if __name__ == "__main__":
    main()
