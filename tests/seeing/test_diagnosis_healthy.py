"""Programs that are right have no findings, whatever they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import retrograd as torch
from retrograd import nn
from retrograd.seeing.diagnosis import diagnose
from tests.seeing.programs import SOUND_PROGRAMS

F = nn.functional


def train(net: Any, loss: Callable[[], Any], optimizer: Any, steps: int = 4) -> None:
    """The loop that all share."""
    for _ in range(steps):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()


def note() -> None:
    net = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))
    x, y = torch.rand(16, 784), torch.rand(16, 10)
    train(net, lambda: F.mse_loss(net(x), y, reduction="sum"), torch.optim.SGD(net.parameters(), lr=1e-3))


def convolutions() -> None:
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.5), nn.Linear(8 * 9, 4)
    )
    x, y = torch.randn(8, 1, 8, 8), torch.randint(0, 4, (8,))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    total = 0.0
    for _ in range(4):
        net.train()
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        total += loss.item()
        net.eval()
        with torch.no_grad():
            (net(x).argmax(1) == y).float().mean().item()


class Block(nn.Module):
    """A block of a small GPT."""

    def __init__(self, n: int, heads: int) -> None:
        super().__init__()
        self.heads, self.one, self.two = heads, nn.LayerNorm(n), nn.LayerNorm(n)
        self.qkv, self.out = nn.Linear(n, 3 * n), nn.Linear(n, n)
        self.mlp = nn.Sequential(nn.Linear(n, 4 * n), nn.GELU(), nn.Linear(4 * n, n))

    def forward(self, x: Any) -> Any:
        b, t, n = x.shape
        q, k, v = (part.view(b, t, self.heads, -1).transpose(1, 2) for part in self.qkv(self.one(x)).split(n, 2))
        scores = (q @ k.transpose(-1, -2)) / (n // self.heads) ** 0.5
        scores = scores.masked_fill(torch.ones(t, t).triu(1).bool(), float("-inf"))
        x = x + self.out((scores.softmax(-1) @ v).transpose(1, 2).reshape(b, t, n))
        return x + self.mlp(self.two(x))


class GPT(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(20, 16), nn.Embedding(8, 16)
        self.blocks = nn.ModuleList([Block(16, 2) for _ in range(3)])
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, 20, bias=False)

    def forward(self, index: Any) -> Any:
        x = self.tokens(index) + self.places(torch.arange(index.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def gpt() -> None:
    net, index = GPT(), torch.randint(0, 20, (4, 9))
    train(
        net,
        lambda: F.cross_entropy(net(index[:, :-1]).reshape(-1, 20), index[:, 1:].reshape(-1)),
        torch.optim.AdamW(net.parameters(), lr=1e-3),
    )


def lstm() -> None:
    net, head = nn.LSTM(5, 8, batch_first=True), nn.Linear(8, 1)
    x, y = torch.randn(6, 10, 5), torch.randn(6, 1)
    train(net, lambda: F.mse_loss(head(net(x)[0][:, -1]), y), torch.optim.Adam([*net.parameters(), *head.parameters()], lr=1e-2))


def adversaries() -> None:
    generator = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))
    judge = nn.Sequential(nn.Linear(2, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1))
    one, two = (torch.optim.Adam(net.parameters(), lr=2e-4) for net in (judge, generator))
    for _ in range(4):
        real, fake = torch.randn(8, 2), generator(torch.randn(8, 4))
        one.zero_grad()
        loss = F.binary_cross_entropy_with_logits(judge(real), torch.ones(8, 1))
        loss = loss + F.binary_cross_entropy_with_logits(judge(fake.detach()), torch.zeros(8, 1))
        loss.backward()
        one.step()
        two.zero_grad()
        F.binary_cross_entropy_with_logits(judge(fake), torch.ones(8, 1)).backward()
        two.step()


def accumulated() -> None:
    net = nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 3))
    x, y = torch.randn(24, 6), torch.randint(0, 3, (24,))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for i in range(12):
        (F.cross_entropy(net(x[i % 4 :: 4]), y[i % 4 :: 4]) / 4).backward()
        if i % 4 == 3:
            optimizer.step()
            optimizer.zero_grad()


def physics() -> None:
    net = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    x = torch.linspace(0, 1, 12).reshape(-1, 1).requires_grad_(True)
    for _ in range(3):
        optimizer.zero_grad()
        u = net(x)
        (slope,) = torch.autograd.grad(u.sum(), x, create_graph=True)
        loss = (slope + u).square().mean() + (net(torch.zeros(1, 1)) - 1).square().mean()
        loss.backward()
        optimizer.step()


def frozen() -> None:
    backbone = nn.Sequential(nn.Linear(6, 12), nn.BatchNorm1d(12), nn.ReLU()).requires_grad_(False).eval()
    head = nn.Linear(12, 3)
    x, y = torch.randn(16, 6), torch.randint(0, 3, (16,))
    train(head, lambda: F.cross_entropy(head(backbone(x)), y), torch.optim.SGD(head.parameters(), lr=0.1))


def schedule() -> None:
    net = nn.Sequential(nn.Linear(6, 12), nn.Sigmoid(), nn.Linear(12, 1))
    x, y = torch.randn(16, 6), torch.rand(16, 1).round()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, step / 3))
    for _ in range(5):
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(net(x), y).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        scheduler.step()


def by_hand() -> None:
    w, x = torch.zeros(3, requires_grad=True), torch.randn(10, 3)
    y = x @ torch.tensor([1.0, -2.0, 0.5])
    for _ in range(4):
        ((x @ w - y) ** 2).mean().backward()
        with torch.no_grad():
            w -= 0.1 * w.grad
        w.grad = None


def low_rank() -> None:
    base = nn.Linear(8, 8).requires_grad_(False)
    a, b = nn.Parameter(torch.randn(2, 8) * 0.1), nn.Parameter(torch.zeros(8, 2))
    x, y = torch.randn(16, 8), torch.randn(16, 8)
    train(None, lambda: F.mse_loss(base(x) + F.linear(F.linear(x, a), b), y), torch.optim.AdamW([a, b], lr=1e-3))


PROGRAMS = [note, convolutions, gpt, lstm, adversaries, accumulated, physics, frozen, schedule, by_hand, low_rank]


@pytest.mark.parametrize("program", [*PROGRAMS, *SOUND_PROGRAMS])
@pytest.mark.parametrize("seed", [0, 1])
def test_no_false_alarm(program: Callable[[], None], seed: int):
    """All detectors are silent."""
    torch.manual_seed(seed)
    with torch.see() as record:
        program()
    diagnosis = diagnose(record, "en")
    assert not list(diagnosis), str(diagnosis)
    assert record.steps


@pytest.mark.parametrize("program", SOUND_PROGRAMS)
@pytest.mark.parametrize("options", [{"keep": 1}, {"every": 3, "keep": 2}, {"limit": 5}])
def test_no_false_alarm_where_little_was_kept(program: Callable[[], None], options: dict[str, int]):
    """What was not seen is no fault."""
    torch.manual_seed(0)
    with torch.see(**options) as record:
        program()
    diagnosis = diagnose(record, "en")
    assert not list(diagnosis), str(diagnosis)
