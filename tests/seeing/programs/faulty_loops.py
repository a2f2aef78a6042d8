"""Faults of the training loop, in many styles: each is found at the line that ends in `# here`."""

from __future__ import annotations

import copy
from typing import Any

import retrograd as torch
from retrograd import nn
from retrograd.utils.data import DataLoader, TensorDataset
from tests.seeing.programs.shared import data, has, mlp

F = nn.functional


@has("zero_grad", "hand")
def functional_style() -> None:
    w, b = torch.randn(8, 3, requires_grad=True), torch.zeros(3, requires_grad=True)
    x, y = data()
    for _ in range(3):
        F.cross_entropy(x @ w + b, y).backward()
        with torch.no_grad():
            for p in (w, b):
                p -= 0.01 * p.grad  # here


@has("zero_grad", "hand")
def through_data() -> None:
    weights = [torch.randn(8, 4, requires_grad=True), torch.randn(4, 1, requires_grad=True)]
    x = torch.randn(16, 8)
    for _ in range(3):
        (torch.tanh(x @ weights[0]) @ weights[1] - 1).square().mean().backward()
        for w in weights:
            w.data -= 0.01 * w.grad.data  # here


@has("zero_grad", "hand")
def data_set_anew() -> None:
    w, x = torch.randn(8, 1, requires_grad=True), torch.randn(16, 8)
    for _ in range(3):
        loss = (x @ w - 1).square().mean()
        loss.backward()
        w.data = w.data - 0.01 * w.grad  # here


@has("zero_grad")
def generator_is_not_cleared() -> None:
    """Its steps and those of the judge come in turns."""
    generator, judge = nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1))
    one, two = torch.optim.Adam(judge.parameters(), lr=1e-3), torch.optim.Adam(generator.parameters(), lr=1e-3)
    for _ in range(3):
        fake = generator(torch.randn(8, 2))
        one.zero_grad()
        (judge(fake.detach()).mean() - judge(torch.randn(8, 2)).mean()).backward()
        one.step()
        (-judge(fake).mean()).backward()
        two.step()  # here


class Trainer:
    """Everything is an attribute."""

    def __init__(self, clears: bool = True) -> None:
        self.model, self.clears = mlp(), clears
        self.opt = torch.optim.Adam(self.model.parameters(), lr=1e-3)
        self.history: list[Any] = []

    def forward_backward(self, x: Any, y: Any) -> Any:
        loss = F.cross_entropy(self.model(x), y)
        loss.backward()
        return loss

    def fit(self, loader: Any) -> None:
        for x, y in loader:
            if self.clears:
                self.opt.zero_grad()
            self.forward_backward(x, y)
            self.update()

    def update(self) -> None:
        self.opt.step()  # here


@has("zero_grad")
def in_a_class() -> None:
    Trainer(clears=False).fit(DataLoader(TensorDataset(*data()), batch_size=8))


@has("zero_grad")
def cleared_once_before_the_loop() -> None:
    net, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(net.parameters(), 0.01)
    optimizer.zero_grad()
    for _ in range(3):
        loss = (net(x) - F.one_hot(y, 3)).pow(2).sum(1).mean()
        loss.backward()
        optimizer.step()  # here


@has("zero_grad")
def only_one_of_two_networks_is_cleared() -> None:
    body, head, (x, y) = nn.Linear(8, 16), nn.Linear(16, 3), data()
    optimizer = torch.optim.SGD([*body.parameters(), *head.parameters()], lr=0.01)
    for _ in range(3):
        body.zero_grad()
        F.cross_entropy(head(torch.tanh(body(x))), y).backward()
        optimizer.step()  # here


@has("zero_grad")
def closure_that_does_not_clear() -> None:
    net, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

    def closure() -> Any:
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        return loss

    for _ in range(4):
        optimizer.step(closure)  # here


@has("accumulation")
def by_a_counter() -> None:
    net, (x, y) = mlp(), data()
    optimizer = torch.optim.Adam(net.parameters())
    for i, (a, b) in enumerate(DataLoader(TensorDataset(x, y), batch_size=4)):
        loss = nn.CrossEntropyLoss()(net(a), b)
        loss.backward()  # here
        if i % 4 == 3:
            optimizer.step()
            optimizer.zero_grad()


@has("accumulation")
def in_a_helper() -> None:
    w, x = torch.randn(6, requires_grad=True), torch.randn(12, 6)
    optimizer = torch.optim.SGD([w], lr=0.01)

    def gradients_of(part: Any) -> None:
        torch.mean((part @ w - 1) ** 2).backward()  # here

    for _ in range(2):
        w.grad = None
        for part in x.split(3):
            gradients_of(part)
        optimizer.step()


@has("accumulation")
def with_a_penalty() -> None:
    net, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    for _ in range(2):
        optimizer.zero_grad()
        for a, b in zip(x.split(8), y.split(8), strict=True):
            loss = F.cross_entropy(net(a), b) + 0.5 * F.mse_loss(net(a), F.one_hot(b, 3).float())
            loss.backward()  # here
        optimizer.step()


@has("step_before_backward", "late")
def step_first() -> None:
    w, x = torch.zeros(3, requires_grad=True), torch.randn(5, 3)
    optimizer = torch.optim.SGD([w], lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        error = (w * x - 1).square().mean()
        optimizer.step()  # here
        error.backward()


@has("step_before_backward", "none")
def backward_forgotten() -> None:
    made, (x, y) = Trainer(), data()
    for _ in range(3):
        made.opt.zero_grad()
        made.history.append(F.cross_entropy(made.model(x), y))
        made.opt.step()  # here


@has("step_before_backward", "cleared")
def cleared_between_backward_and_step() -> None:
    net, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(3):
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimizer.zero_grad()
        optimizer.step()  # here


@has("not_optimized")
def layer_added_later() -> None:
    net, (x, y) = nn.Sequential(nn.Linear(8, 16), nn.ReLU()), data()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    net.append(nn.Linear(16, 3))
    for _ in range(2):
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()  # here


class Listed(nn.Module):
    """Layers in a plain list, of which the module knows nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.layers, self.head = [nn.Linear(8, 8) for _ in range(2)], nn.Linear(8, 3)

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            x = torch.relu(layer(x))
        return self.head(x)


@has("not_optimized")
def layers_in_a_list() -> None:
    net, (x, y) = Listed(), data()
    optimizer = torch.optim.Adam(net.parameters())
    for _ in range(2):
        loss = F.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()  # here


@has("not_optimized")
def optimizer_of_the_network_before() -> None:
    net, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    F.cross_entropy(net(x), y).backward()
    optimizer.step()
    net = copy.deepcopy(net)
    for _ in range(2):
        F.cross_entropy(net(x), y).backward()
        optimizer.step()  # here


@has("not_optimized")
def bias_left_out() -> None:
    w, b, x = torch.randn(4, 1, requires_grad=True), torch.zeros(1, requires_grad=True), torch.randn(16, 4)
    optimizer = torch.optim.SGD([w], lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        (x @ w + b - 1).square().mean().backward()
        optimizer.step()  # here


@has("two_optimizers")
def body_in_both() -> None:
    body, one, two, x = nn.Linear(8, 8), nn.Linear(8, 1), nn.Linear(8, 1), torch.randn(16, 8)
    first = torch.optim.SGD([*body.parameters(), *one.parameters()], lr=0.01)
    second = torch.optim.SGD([*body.parameters(), *two.parameters()], lr=0.01)
    for _ in range(2):
        for optimizer, head in ((first, one), (second, two)):
            optimizer.zero_grad()
            head(body(x).tanh()).square().mean().backward()
            optimizer.step()  # here


@has("no_learning_rate")
def schedule_at_zero() -> None:
    net, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: epoch // 10)
    for _ in range(3):
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()  # here
        schedule.step()


@has("decay_only")
def multiplied_by_zero() -> None:
    net, (x, y), weight = mlp(), data(), 0.0
    other = nn.Linear(8, 1)
    optimizer = torch.optim.AdamW([*net.parameters(), *other.parameters()], lr=1e-2, weight_decay=0.1)
    for _ in range(3):
        loss = F.cross_entropy(net(x), y) + weight * other(x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()  # here
