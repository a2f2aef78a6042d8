"""Gradients that do not come, or are not numbers, in many styles: each is found at the line that ends in `# here`."""

from __future__ import annotations

from typing import Any

import retrograd as torch
from retrograd import nn
from tests.seeing.programs.shared import data, has, mlp

F = nn.functional


# ---------------------------------------------------------------- gradients that do not come


class Cut(nn.Module):
    """Loses its gradient on the way."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how, self.first, self.second = how, nn.Linear(8, 16), nn.Linear(16, 3)

    def forward(self, x: Any) -> Any:
        h = torch.relu(self.first(x))
        return self.second(getattr(self, self.how)(h))

    def through_numpy(self, h: Any) -> Any:
        return torch.from_numpy(h.detach().numpy() * 2) / 2  # here

    def chosen(self, h: Any) -> Any:
        return h.sort(-1)[1] / 16.0  # here

    @torch.no_grad()
    def without(self, h: Any) -> Any:
        return h / h.norm()  # here

    def copied(self, h: Any) -> Any:
        again = torch.tensor(h)  # here
        return again.tanh()

    def one_hot(self, h: Any) -> Any:
        return F.one_hot(h.argmax(-1), 16).float()  # here


def trained(net: Any, steps: int = 2, lr: float = 0.01, loss: Any = F.cross_entropy) -> None:
    x, y = data()
    optimizer = torch.optim.SGD(net.parameters(), lr=lr)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(net(x), y).backward()
        optimizer.step()


@has("no_gradient", "left")
def through_numpy() -> None:
    trained(Cut("through_numpy"))  # there: # here


@has("no_gradient", "discrete")
def chosen() -> None:
    trained(Cut("chosen"))  # there: # here


@has("no_gradient", "no_grad")
def in_a_method_without_gradients() -> None:
    trained(Cut("without"))  # there: # here


@has("no_gradient", "number")
def copied_by_tensor() -> None:
    trained(Cut("copied"))  # there: # here


@has("no_gradient", "discrete")
def only_the_largest() -> None:
    trained(Cut("one_hot"))  # there: # here


@has("no_gradient", "number")
def loss_that_is_a_leaf() -> None:
    net, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        loss = torch.tensor(F.cross_entropy(net(x), y).item(), requires_grad=True)  # here
        loss.backward()
        optimizer.step()


@has("no_gradient", "number")
def averaged_by_item() -> None:
    scale, w, x = torch.tensor(0.7, requires_grad=True), torch.randn(8, requires_grad=True), torch.randn(16, 8)
    optimizer = torch.optim.SGD([scale, w], lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        factor = torch.exp(scale * 1.234).item()
        loss = ((x @ w) * factor - 1).square().mean()  # here
        loss.backward()
        optimizer.step()


@has("no_gradient", "unused")
def branch_not_taken() -> None:
    net, extra, (x, y) = mlp(), nn.Linear(8, 3), data()
    optimizer = torch.optim.SGD([*net.parameters(), *extra.parameters()], lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()


@has("no_gradient", "left")
def left_for_a_list() -> None:
    first, second, (x, y) = nn.Linear(8, 4), nn.Linear(4, 3), data()
    optimizer = torch.optim.SGD([*first.parameters(), *second.parameters()], lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        h = (first(x) > 0).tolist()  # here
        F.cross_entropy(second(torch.tensor([[2.0 * v - 1 for v in row] for row in h])), y).backward()
        optimizer.step()


@has("no_gradient", "detached")
def values_detached_like_their_targets() -> None:
    """What is under no_grad is meant to be: the other cut is told."""
    net, x = mlp(outputs=1), torch.randn(8, 8)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(2):
        value = net(x).detach()  # here
        with torch.no_grad():
            target = 1 + 0.9 * net(x + 1)
        loss = F.mse_loss(value, target).requires_grad_()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@has("no_gradient", "number")
def parameter_made_of_a_result() -> None:
    first, second, x = nn.Linear(4, 4), nn.Linear(4, 1), torch.randn(8, 4)
    optimizer = torch.optim.SGD([*first.parameters(), *second.parameters()], lr=0.1)
    for _ in range(2):
        h = nn.Parameter(first(x))  # here
        optimizer.zero_grad()
        second(h).square().mean().backward()
        optimizer.step()


@has("no_gradient", "flat")
def rounded() -> None:
    w, s = torch.nn.Parameter(torch.rand(6) * 4), torch.nn.Parameter(torch.tensor(1.3))
    optimizer = torch.optim.SGD([w, s], lr=0.1)
    for _ in range(3):
        q = torch.round(w) * s  # here
        optimizer.zero_grad()
        (q - 1).square().mean().backward()
        optimizer.step()


@has("no_gradient", "flat")
def sign_in_a_network() -> None:
    one, two, x = nn.Linear(5, 8), nn.Linear(8, 1), torch.randn(16, 5)
    for _ in range(2):
        h = one(x).sign()  # here
        two(h).square().mean().backward()


# ---------------------------------------------------------------- asked for, and None


@has("no_gradient", "detached")
def one_factor_detached() -> None:
    a, b = torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor([3.0, 4.0], requires_grad=True)
    (a * b.detach()).sum().backward()  # here
    assert b.grad is None


@has("no_gradient", "no_grad")
def factor_without_gradients() -> None:
    x, w = torch.tensor(2.0, requires_grad=True), torch.tensor(3.0, requires_grad=True)
    with torch.no_grad():
        y = x**2  # here
    (w * y).backward()
    print(x.grad)


@has("no_gradient", "unused")
def asked_for_in_vain() -> None:
    x, b = torch.tensor(2.0, requires_grad=True), torch.tensor(3.0, requires_grad=True)
    (x**2).backward()
    print(b.grad)


@has("no_gradient", "computed")
def of_a_result() -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    h = x * 2  # here
    (h**2).sum().backward()
    print(x.grad, h.grad)


@has("no_gradient", "computed")
def scaled_at_once() -> None:
    w, x = torch.randn(5, 1, requires_grad=True) * 0.1, torch.randn(20, 5)  # here
    (x @ w).square().mean().backward()
    w -= 0.1 * w.grad


@has("no_gradient", "replaced")
def parameter_replaced() -> None:
    w, x = torch.zeros(4, requires_grad=True), torch.randn(30, 4)
    for _ in range(3):
        (x @ w - 1).square().mean().backward()
        w = w - 0.1 * w.grad  # here


@has("no_gradient", "unasked")
def saliency_of_an_image() -> None:
    net, image = nn.Linear(3, 1), torch.rand(1, 3)
    net(image).sum().backward()
    image.grad.abs()  # here


# ---------------------------------------------------------------- not a number


@has("not_finite", "forward")
def entropy_by_hand() -> None:
    p = torch.tensor([0.0, 0.25, 0.75], requires_grad=True)
    entropy = -(p * p.log()).sum()  # here
    entropy.backward()


@has("not_finite", "forward")
def division_by_a_standard_deviation() -> None:
    net, x = nn.Linear(4, 4), torch.randn(8, 4)
    x[:, 2] = 1.0
    scaled = (x - x.mean(0)) / x.std(0)
    net(scaled).sum().backward()


@has("not_finite", "overflow")
def half_precision() -> None:
    w = torch.tensor([300.0], dtype=torch.float16, requires_grad=True)
    loss = (w * w).sum()  # here
    loss.backward()


@has("not_finite", "forward")
def softmax_by_hand() -> None:
    w = torch.full((4,), 200.0, requires_grad=True)

    def softmax(z: Any) -> Any:
        e = torch.exp(z)  # here
        return e / e.sum()

    softmax(w).log().sum().backward()


@has("not_finite", "forward")
def mean_over_an_empty_mask() -> None:
    w, mask = torch.randn(5, requires_grad=True), torch.zeros(5)
    loss = (w * mask).sum() / mask.sum()  # here
    loss.backward()


@has("not_finite", "forward")
def logarithm_of_a_softmax() -> None:
    z = torch.tensor([[0.0, 200.0]], requires_grad=True)
    likelihood = torch.log(torch.softmax(z, 1))  # here
    (-likelihood[0, 0]).backward()


@has("not_finite", "forward")
def parameter_that_leaves_the_domain() -> None:
    scale = torch.nn.Parameter(torch.tensor(0.03))
    optimizer = torch.optim.SGD([scale], lr=1e-3)
    for _ in range(6):
        loss = torch.log(scale)  # here
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@has("not_finite", "input")
def infinite_measurement() -> None:
    net, x = mlp(outputs=1), torch.randn(4, 8)
    x[0, 0] = float("inf")
    net(x).mean().backward()  # here


@has("not_finite", "input")
def weight_that_is_none() -> None:
    net, x = mlp(outputs=1), torch.randn(4, 8)
    with torch.no_grad():
        net[0].weight[0, 0] = float("nan")
    net(x).mean().backward()


@has("not_finite", "backward")
def norm_of_nothing() -> None:
    a, b = torch.ones(3, requires_grad=True), torch.ones(3)
    distance = torch.sqrt(((a - b) ** 2).sum())  # here
    distance.backward()


@has("not_finite", "update")
def update_beyond_all_numbers() -> None:
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=1e30)
    for _ in range(2):
        optimizer.zero_grad()
        (1e10 * w).sum().backward()
        optimizer.step()  # here


@has("where_nan")
def power_behind_where() -> None:
    x = torch.tensor([-1.0, 0.0, 4.0], requires_grad=True)
    root = x.sqrt()  # here
    torch.where(x > 0, root, torch.zeros_like(x)).sum().backward()


@has("where_nan")
def division_behind_where() -> None:
    a, b = torch.ones(3, requires_grad=True), torch.tensor([0.0, 1.0, 2.0], requires_grad=True)
    ratio = a / b  # here
    loss = torch.where(b != 0, ratio, torch.zeros(3)).mean()
    loss.backward()


@has("where_nan")
def masked_afterwards() -> None:
    x = torch.tensor([0.0, 1.0, 2.0], requires_grad=True)
    logs = torch.log(x)  # here
    logs.masked_fill(x == 0, 0.0).sum().backward()
