"""Programs of the kinds that people train, run by both libraries from one seed: losses of five steps and the weights after them agree."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from tests.oracle import needs_torch, same_in_both


def trained(t: Any, net: Any, loss: Callable[[], Any], optimizer: Any, clip: float | None = None) -> Any:
    """The losses of five steps, and all that the network then holds."""
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        value = loss()
        value.backward()
        if clip is not None:
            losses.append(t.nn.utils.clip_grad_norm_(net.parameters(), clip))
        optimizer.step()
        losses.append(value)
    return losses, dict(net.state_dict())


def mlp(t: Any) -> Any:
    """Linear, ReLU and linear layers, squared error, SGD."""
    net = t.nn.Sequential(t.nn.Linear(20, 16), t.nn.ReLU(), t.nn.Linear(16, 10))
    x, y = t.randn(16, 20), t.nn.functional.one_hot(t.randint(0, 10, (16,)), 10).float()
    return trained(t, net, lambda: t.nn.functional.mse_loss(net(x), y), t.optim.SGD(net.parameters(), lr=0.1))


def gelu_mlp(t: Any) -> Any:
    """GELU of either kind, cross entropy with label smoothing, Adam."""
    net = t.nn.Sequential(t.nn.Linear(12, 16), t.nn.GELU(), t.nn.Linear(16, 16), t.nn.GELU(approximate="tanh"), t.nn.Linear(16, 5))
    x, y = t.randn(8, 12), t.randint(0, 5, (8,))
    loss = t.nn.CrossEntropyLoss(label_smoothing=0.1)
    return trained(t, net, lambda: loss(net(x), y), t.optim.Adam(net.parameters(), lr=0.01))


def lenet(t: Any) -> Any:
    """Convolutions, pooling, linear layers, Adam."""
    nn = t.nn
    net = nn.Sequential(
        nn.Conv2d(1, 4, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 8, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(8 * 4, 16), nn.ReLU(), nn.Linear(16, 10),
    )  # fmt: skip
    x, y = t.randn(4, 1, 16, 16), t.randint(0, 10, (4,))
    return trained(t, net, lambda: nn.functional.cross_entropy(net(x), y), t.optim.Adam(net.parameters(), lr=0.003))


def residual(t: Any) -> Any:
    """Two residual blocks with batch normalisation, SGD with momentum and weight decay; statistics and eval mode too."""
    nn = t.nn

    class Block(nn.Module):
        def __init__(self, channels: int) -> None:
            super().__init__()
            self.conv1, self.conv2 = (nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(2))
            self.bn1, self.bn2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)

        def forward(self, x: Any) -> Any:
            return (x + self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))).relu()

    net = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), Block(6), Block(6), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4))
    x, y = t.randn(4, 3, 8, 8), t.randint(0, 4, (4,))
    optimizer = t.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3, nesterov=True)
    found = trained(t, net, lambda: nn.functional.cross_entropy(net(x), y), optimizer)
    return found, net.eval()(x)


def gpt(t: Any, by_hand: bool) -> Any:
    """Pre-norm blocks of causal attention, a shared embedding, ignored targets, AdamW with two groups, clipping."""
    nn, F = t.nn, t.nn.functional

    class Block(nn.Module):
        def __init__(self, width: int, heads: int) -> None:
            super().__init__()
            self.heads = heads
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width, bias=False)
            self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width), nn.Dropout(0.1))
            self.register_buffer("mask", t.tril(t.ones(6, 6)).view(1, 1, 6, 6), persistent=False)

        def attention(self, x: Any) -> Any:
            n, length, width = x.shape
            q, k, v = (y.view(n, length, self.heads, -1).transpose(1, 2) for y in self.qkv(x).split(width, dim=2))
            if by_hand:
                scores = (q @ k.transpose(-2, -1)) * (1 / math.sqrt(k.size(-1)))
                scores = scores.masked_fill(self.mask[:, :, :length, :length] == 0, float("-inf"))
                y = F.softmax(scores, dim=-1) @ v
            else:
                y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            return self.out(y.transpose(1, 2).contiguous().view(n, length, width))

        def forward(self, x: Any) -> Any:
            x = x + self.attention(self.norm1(x))
            return x + self.mlp(self.norm2(x))

    class GPT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens, self.places = nn.Embedding(11, 8), nn.Embedding(6, 8)
            self.blocks = nn.ModuleList([Block(8, 2) for _ in range(2)])
            self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, 11, bias=False)
            self.head.weight = self.tokens.weight

        def forward(self, ids: Any) -> Any:
            x = self.tokens(ids) + self.places(t.arange(ids.size(1)))
            for block in self.blocks:
                x = block(x)
            return self.head(self.norm(x))

    net = GPT().double()  # a bias of keys has no gradient, and Adam makes much of its rounding in single precision
    ids = t.randint(0, 11, (3, 6))
    targets = ids.roll(-1, 1)
    targets[:, -1] = -100
    matrices = [p for p in net.parameters() if p.dim() > 1]
    rest = [p for p in net.parameters() if p.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
    optimizer = t.optim.AdamW(groups, lr=0.01, betas=(0.9, 0.95))
    return trained(t, net, lambda: F.cross_entropy(net(ids).view(-1, 11), targets.view(-1), ignore_index=-100), optimizer, 1.0)


def lstm(t: Any) -> Any:
    """An LSTM over sequences, the last output to a linear layer, Adam."""
    net = t.nn.ModuleDict({"lstm": t.nn.LSTM(5, 12, batch_first=True), "last": t.nn.Linear(12, 1)})
    x, y = t.randn(4, 7, 5), t.randn(4, 1)
    return trained(t, net, lambda: ((net["last"](net["lstm"](x)[0][:, -1]) - y) ** 2).mean(), t.optim.Adam(net.parameters(), lr=0.01))


def translator(t: Any) -> Any:
    """PyTorch's own transformer with a causal mask and padding, dropout, Adam."""
    net = t.nn.Transformer(8, 2, 1, 1, 16, batch_first=True).double()
    src, tgt = t.randn(3, 5, 8).double(), t.randn(3, 4, 8).double()
    causal, padding = (
        net.generate_square_subsequent_mask(4, dtype=t.float64),
        t.where(t.arange(5) >= t.tensor([[5], [3], [4]]), -math.inf, 0.0).double(),
    )

    def loss() -> Any:
        return (net(src, tgt, tgt_mask=causal, src_key_padding_mask=padding, memory_key_padding_mask=padding) - tgt).pow(2).mean()

    return trained(t, net, loss, t.optim.Adam(net.parameters(), lr=0.003))


def pinn(t: Any) -> Any:
    """Burgers' equation: derivatives of the network for its inputs are part of the loss."""
    net = t.nn.Sequential(t.nn.Linear(2, 12), t.nn.Tanh(), t.nn.Linear(12, 12), t.nn.Tanh(), t.nn.Linear(12, 1))
    points = t.rand(20, 2).requires_grad_()

    def slope(u: Any) -> Any:
        return t.autograd.grad(u, points, t.ones_like(u), create_graph=True)[0]

    def loss() -> Any:
        u = net(points)
        first = slope(u)
        second = slope(first[:, :1])[:, :1]
        return (first[:, 1:] + u * first[:, :1] - 0.01 / math.pi * second).pow(2).mean()

    return trained(t, net, loss, t.optim.Adam(net.parameters(), lr=0.01))


def scalars(t: Any) -> Any:
    """A chain of operations on one number, and a longer expression on many."""
    x, many = t.tensor(0.7, requires_grad=True), t.randn(100, requires_grad=True)
    y = x
    for _ in range(5):
        y = (y * 1.5 + x).sin().exp() - y.tanh()
    y.backward()
    z = (many.tanh() * (-many * many).exp() + many.sigmoid().log()).sum()
    z.backward()
    return y, x.grad, z, many.grad


def transforms(t: Any) -> Any:
    """The Jacobian of a network, gradients of each example, and a Hessian."""
    func = t.func
    net = t.nn.Sequential(t.nn.Linear(6, 8), t.nn.Tanh(), t.nn.Linear(8, 4))
    params = {n: p.detach() for n, p in net.named_parameters()}
    x, y = t.randn(5, 6), t.randint(0, 4, (5,))

    def loss(params: Any, x: Any, y: Any) -> Any:
        return t.nn.functional.cross_entropy(func.functional_call(net, params, (x.unsqueeze(0),)), y.unsqueeze(0))

    jacobian = func.jacrev(lambda x: func.functional_call(net, params, (x,)))(x[0])
    each = func.vmap(func.grad(loss), in_dims=(None, 0, 0))(params, x, y)
    return jacobian, each, func.hessian(lambda x: loss(params, x, y[0]))(x[0]), func.vmap(func.jacrev(net))(x)


PROGRAMS: dict[str, Any] = {
    "mlp": mlp, "gelu": gelu_mlp, "lenet": lenet, "residual": residual, "gpt": lambda t: gpt(t, False), "gpt by hand": lambda t: gpt(t, True), "lstm": lstm,
    "transformer": translator, "pinn": pinn, "scalars": scalars, "transforms": transforms,
}  # fmt: skip


@needs_torch
@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated", "ignore:enable_nested_tensor is True")
def test_program(name: str):
    """Losses, gradient norms, weights."""
    same_in_both(PROGRAMS[name], rtol=2e-3, atol=2e-4)
