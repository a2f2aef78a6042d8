"""Programs that crash, in many styles: each is found at the line that ends in `# here`."""

from __future__ import annotations

from typing import Any

import numpy as np

import retrograd as torch
from retrograd import nn
from tests.seeing.programs.shared import data, has, mlp

F = nn.functional


@has("failure", "carried")
def hidden_state_kept() -> None:
    cell, h = nn.GRUCell(3, 4), torch.zeros(2, 4)
    optimizer = torch.optim.SGD(cell.parameters(), lr=0.1)
    for _ in range(3):
        h = cell(torch.randn(2, 3), h)
        loss = h.square().mean()
        optimizer.zero_grad()
        loss.backward()  # here
        optimizer.step()


@has("failure", "twice")
def two_losses_of_one_graph() -> None:
    net, (x, y) = mlp(), data()
    out = net(x)
    F.cross_entropy(out, y).backward()
    out.square().mean().backward()  # here


@has("failure", "inplace")
def written_into_an_activation() -> None:
    net, (x, _) = nn.Linear(8, 4), data()
    h = torch.sigmoid(net(x))
    h[:, 0] = 0
    h.sum().backward()  # here


@has("failure", "stepped")
def generator_after_the_judge() -> None:
    generator, judge = nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))
    one, two = torch.optim.SGD(judge.parameters(), lr=0.1), torch.optim.SGD(generator.parameters(), lr=0.1)
    fake = generator(torch.randn(4, 2))
    score = judge(fake)
    judge(fake.detach()).mean().backward()
    one.step()
    (-score.mean()).backward()  # here
    two.step()


@has("failure", "detached")
def loss_from_data() -> None:
    net, (x, y) = mlp(), data()
    loss = F.cross_entropy(net(x), y).data
    loss.backward()  # here


@has("failure", "detached")
def accuracy_after_the_loss() -> None:
    net, (x, y) = mlp(), data()
    out = net(x)
    loss = F.cross_entropy(out, y).detach()
    accuracy = (out.argmax(1) == y).float().mean()
    assert accuracy <= 1
    loss.backward()  # here


@has("failure", "detached")
def detached_within() -> None:
    w, x = torch.randn(3, requires_grad=True), torch.randn(8, 3)
    scores = (x @ w).detach()
    loss = scores.square().mean()
    loss.backward()  # here


@has("failure", "number")
def loss_made_anew() -> None:
    net, (x, y) = mlp(), data()
    losses = [F.cross_entropy(net(a), b).item() for a, b in zip(x.split(8), y.split(8), strict=True)]
    loss = torch.tensor(losses).mean()
    loss.backward()  # here


@has("failure", "no_grad")
def decorated() -> None:
    net, (x, y) = mlp(), data()

    @torch.no_grad()
    def loss_of(a: Any, b: Any) -> Any:
        return F.cross_entropy(net(a), b)

    loss_of(x, y).backward()  # here


@has("failure", "discrete")
def accuracy_as_a_loss() -> None:
    net, (x, y) = mlp(), data()
    loss = 1 - (net(x).max(1)[1] == y).float().mean()
    loss.backward()  # here


@has("failure", "nothing")
def frozen_by_accident() -> None:
    net, (x, y) = mlp(), data()
    for p in net.parameters():
        p.requires_grad = False
    loss = F.cross_entropy(net(x), y)
    loss.backward()  # here


@has("failure", "scalar")
def unreduced_loss() -> None:
    net, (x, y) = mlp(), data()
    loss = nn.CrossEntropyLoss(reduction="none")(net(x), y)
    loss.backward()  # here


@has("failure", "leaf")
def update_with_gradients_on() -> None:
    w = torch.randn(3, requires_grad=True)
    w.square().sum().backward()
    w -= 0.1 * w.grad  # here


@has("failure", "shape")
def flattened_wrongly() -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(100, 2))
    net(torch.randn(2, 1, 8, 8))  # here


@has("failure", "shape")
def channels_last() -> None:
    nn.Conv2d(3, 4, 3)(torch.randn(2, 8, 8, 3))  # here


@has("failure", "dtype")
def numpy_doubles() -> None:
    nn.Linear(4, 2)(torch.from_numpy(np.ones((2, 4))))  # here


@has("failure", "dtype")
def whole_numbers_as_targets() -> None:
    net, (x, y) = mlp(), data()
    F.cross_entropy(net(x), y.float())  # here


@has("failure", "range")
def past_the_end() -> None:
    x = torch.zeros(3, requires_grad=True)
    x[5].backward()  # here


@has("failure", "other")
def saved_weights_of_another_size() -> None:
    mlp().load_state_dict(mlp(outputs=4).state_dict())  # here


@has("failure", "range")
def token_that_is_not_there() -> None:
    embed = nn.Embedding(10, 4)
    embed(torch.tensor([[1, 10]]))  # here


@has("failure", "shape")
def column_before_sigmoid() -> None:
    net, x, t = nn.Linear(8, 1), torch.randn(16, 8), torch.ones(16)
    nn.BCEWithLogitsLoss()(net(x), t).backward()  # here


@has("failure", "replaced")
def replaced_without_gradients() -> None:
    w, x = torch.zeros(4, requires_grad=True), torch.randn(16, 4)
    for _ in range(3):
        loss = (x @ w - 1).square().mean()
        loss.backward()  # here
        with torch.no_grad():
            w = w - 0.1 * w.grad


@has("failure", "optimizer")
def optimizer_of_a_result() -> None:
    w = torch.randn(5, 1, requires_grad=True) * 0.1
    torch.optim.SGD([w], lr=0.1)  # here


@has("failure", "none")
def gradient_of_a_result() -> None:
    w = torch.randn(5, requires_grad=True) * 0.1
    w.square().sum().backward()
    print(w.grad.norm())  # here


@has("failure", "early")
def update_before_backward() -> None:
    w, x = torch.zeros(4, requires_grad=True), torch.randn(16, 4)
    loss = (x @ w - 1).square().mean()
    with torch.no_grad():
        w -= 0.1 * w.grad  # here
    loss.backward()


@has("failure", "cleared")
def update_after_clearing() -> None:
    w, x = torch.zeros(4, requires_grad=True), torch.randn(16, 4)
    (x @ w - 1).square().mean().backward()
    w.grad = None
    with torch.no_grad():
        w -= 0.1 * w.grad  # here
