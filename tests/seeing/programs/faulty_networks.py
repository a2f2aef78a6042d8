"""Faults inside networks, and of what grows, in many styles: each is found at the line that ends in `# here`."""

from __future__ import annotations

from typing import Any

import retrograd as torch
from retrograd import nn
from retrograd.utils.data import DataLoader, TensorDataset
from tests.seeing.programs.faulty_loops import Trainer
from tests.seeing.programs.shared import data, has, mlp, train

F = nn.functional


@has("dead_units")
def killed_by_one_large_step() -> None:
    net, x = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 1)), torch.rand(64, 4)
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    for _ in range(6):
        optimizer.zero_grad()
        F.mse_loss(net(x), x.sum(1, keepdim=True)).backward()  # here
        optimizer.step()


@has("dead_units")
def in_a_convolution() -> None:
    conv, head, x = nn.Conv2d(1, 8, 3), nn.Linear(8, 1), torch.rand(16, 1, 8, 8)
    nn.init.constant_(conv.bias, -20.0)
    for _ in range(2):
        h = F.relu(conv(x))  # here
        head(h.mean((2, 3))).mean().backward()


@has("dead_units")
def limited_below() -> None:
    w, b, v = torch.randn(8, 16, requires_grad=True), torch.full((16,), -100.0, requires_grad=True), torch.randn(16, requires_grad=True)
    x = torch.randn(32, 8)
    for _ in range(2):
        hidden = (x @ w + b).clamp(min=0)  # here
        (hidden @ v).mean().backward()


@has("dead_units")
def larger_than_zero() -> None:
    one, two, x = nn.Linear(8, 16), nn.Linear(16, 1), torch.randn(32, 8)
    nn.init.constant_(one.bias, -40.0)
    for _ in range(2):
        hidden = torch.maximum(one(x), torch.zeros(()))  # here
        two(hidden).mean().backward()


@has("saturated")
def attention_without_scaling() -> None:
    q, k, v = (nn.Linear(64, 64) for _ in range(3))
    x = torch.randn(2, 8, 64) * 16
    a = (q(x) @ k(x).transpose(1, 2)).softmax(-1)  # here
    out = nn.Linear(64, 1)(a @ v(x))
    out.square().mean().backward()


@has("saturated")
def sigmoid_of_raw_inputs() -> None:
    w1, w2, x = torch.randn(8, 16, requires_grad=True), torch.randn(16, 1, requires_grad=True), torch.randn(32, 8) * 100
    hidden = torch.sigmoid(x @ w1)  # here
    ((hidden @ w2) - 1).square().mean().backward()


@has("saturated", "stuck")
def certain_and_wrong() -> None:
    net, x = nn.Sequential(nn.Linear(4, 1), nn.Sigmoid()), torch.randn(32, 4)
    nn.init.constant_(net[0].bias, 20.0)
    train(net.parameters(), lambda: F.mse_loss(net(x), torch.zeros(32, 1)))  # here


@has("saturated", "stuck")
def large_inputs_at_the_end() -> None:
    w, x = torch.randn(8, 1, requires_grad=True), torch.randn(64, 8) * 1e4
    y = -(x @ w.detach()).sign()
    for _ in range(2):
        p = torch.tanh(x @ w)  # here
        ((p - y) ** 2).mean().backward()


class Deep(nn.Module):
    """Layers in a ModuleList."""

    def __init__(self, scale: float, activation: Any) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(16, 16, bias=False) for _ in range(10)])
        self.activation = activation
        with torch.no_grad():
            for layer in self.layers:
                layer.weight.mul_(scale)

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            x = self.activation(layer(x))  # here
        return x


@has("vanishing")
def small_weights() -> None:
    net = Deep(0.2, torch.tanh)
    net(torch.randn(8, 16)).square().mean().backward()


@has("exploding")
def large_weights() -> None:
    net = Deep(8.0, torch.relu)
    net(torch.randn(8, 16)).square().mean().backward()


@has("vanishing")
def matrices_by_hand() -> None:
    weights = [torch.nn.Parameter(torch.randn(16, 16) * 0.05) for _ in range(8)]
    x = torch.randn(8, 16)
    for w in weights:
        x = torch.tanh(x @ w)  # here
    x.sum().backward()


@has("exploding", "time")
def recurrence_by_hand() -> None:
    w, h = torch.nn.Parameter(torch.eye(6) * 3), torch.randn(2, 6)
    for _ in range(15):
        h = h @ w  # here
    h.mean().backward()


@has("mode", "eval")
def never_back_to_training() -> None:
    net, (x, y) = nn.Sequential(nn.Linear(8, 16), nn.Dropout(0.5), nn.Linear(16, 3)), data()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)

    def accuracy() -> float:
        net.eval()
        with torch.no_grad():
            return float((net(x).argmax(1) == y).float().mean())

    accuracy()
    for _ in range(3):
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()  # here
        optimizer.step()
        accuracy()


@has("mode", "eval")
def one_of_two_networks() -> None:
    body, head, (x, y) = nn.Sequential(nn.Linear(8, 16), nn.Dropout(0.3)), nn.Linear(16, 3), data()
    optimizer = torch.optim.SGD([*body.parameters(), *head.parameters()], lr=0.1)
    body.train(False)
    for _ in range(3):
        optimizer.zero_grad()
        loss = F.cross_entropy(head(body(x)), y)  # here
        loss.backward()
        optimizer.step()


@has("mode", "eval")
def back_to_training_once_only() -> None:
    net, (x, y) = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3)), data()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    net.train()
    for _ in range(2):
        for a, b in zip(x.split(16), y.split(16), strict=True):
            optimizer.zero_grad()
            F.cross_entropy(net(a), b).backward()  # here
            optimizer.step()
        net.eval()
        with torch.no_grad():
            net(x).argmax(1)


@has("mode", "eval")
def dropout_of_a_recurrent_network() -> None:
    net, head, x = nn.LSTM(3, 8, num_layers=2, dropout=0.4), nn.Linear(8, 1), torch.randn(6, 4, 3)
    net.eval()
    train([*net.parameters(), *head.parameters()], lambda: head(net(x)[0]).square().mean())  # here


class Functional(nn.Module):
    """Drops numbers by a function."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 16), nn.Linear(16, 3)

    def forward(self, x: Any) -> Any:
        h = torch.relu(self.first(x))
        h = F.dropout(h, 0.5)  # here
        return self.second(h)


@has("mode", "function")
def dropout_by_a_function() -> None:
    net, (x, y) = Functional(), data()  # there: # here
    for _ in range(2):
        net.train()
        train(net.parameters(), lambda: F.cross_entropy(net(x), y), steps=1)
        net.eval()
        with torch.no_grad():
            net(x)


@has("mode", "train")
def judged_in_training_mode() -> None:
    net, (x, y) = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3)), data()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    for _ in range(2):
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
    with torch.inference_mode():
        scores = net(x)  # here
        (scores.argmax(1) == y).float().mean().item()


@has("learning_rate_high", "hand")
def too_fast() -> None:
    w, x = torch.randn(4, 1, requires_grad=True), torch.randn(32, 4)
    y = x @ torch.ones(4, 1)
    for _ in range(6):
        torch.mean((x @ w - y) ** 2).backward()
        with torch.no_grad():
            w -= 1.2 * w.grad  # here
        w.grad = None


@has("learning_rate_high")
def long_ago() -> None:
    """The loss is falling again, from where the first steps took it."""
    net, x = nn.Sequential(nn.Linear(6, 20), nn.Tanh(), nn.Linear(20, 1)), torch.randn(50, 6)
    train(net.parameters(), lambda: F.mse_loss(net(x), torch.tanh(x[:, :1])), steps=16, lr=3.0)


@has("learning_rate_high", "still")
def to_and_fro() -> None:
    """As far beyond the lowest point, every time, as it was before it."""
    net, x = nn.Linear(4, 1, bias=False), torch.eye(4)
    nn.init.ones_(net.weight)
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    for _ in range(8):
        optimizer.zero_grad()
        ((net(x) + 1) ** 2).sum().backward()
        optimizer.step()  # here


@has("learning_rate_high", "still")
def momentum_and_a_large_rate() -> None:
    w, x = nn.Parameter(torch.randn(5, 1)), torch.randn(40, 5)
    optimizer = torch.optim.SGD([w], lr=0.6, momentum=0.95)
    for _ in range(12):
        optimizer.zero_grad()
        (x @ w - x.sum(1, keepdim=True)).square().mean().backward()
        optimizer.step()  # here


@has("learning_rate_high")
def batches_and_a_large_rate() -> None:
    net = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 5))
    optimizer = torch.optim.Adam(net.parameters(), lr=2.0)
    for _ in range(20):
        x = torch.randn(64, 20)
        loss = F.cross_entropy(net(x), x[:, :5].argmax(1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@has("learning_rate_high", "still_hand")
def to_and_fro_by_hand() -> None:
    w, x = torch.ones(4, 1, requires_grad=True), torch.eye(4)
    for _ in range(8):
        ((x @ w + 1) ** 2).sum().backward()
        with torch.no_grad():
            w -= w.grad  # here
        w.grad = None


@has("diverging", "rate")
def biases_behind_dead_units() -> None:
    """Only the last bias moves still, and too far."""
    net, x = nn.Sequential(nn.Linear(2, 20), nn.ReLU(), nn.Linear(20, 1)), torch.rand(50, 2)
    nn.init.constant_(net[0].bias, -50.0)
    nn.init.constant_(net[2].bias, 100.0)
    optimizer = torch.optim.SGD(net.parameters(), lr=5.0)
    for _ in range(8):
        optimizer.zero_grad()
        net(x).square().mean().backward()
        optimizer.step()  # here


@has("diverging", "rate")
def too_fast_in_a_class() -> None:
    made, (x, y) = Trainer(), data()
    made.opt = torch.optim.SGD(made.model.parameters(), lr=50.0)
    made.fit([(x, y)] * 6)


@has("diverging", "rate")
def recurrent_without_clipping() -> None:
    net, head, x = nn.RNN(3, 16, nonlinearity="relu", batch_first=True), nn.Linear(16, 1), torch.randn(8, 12, 3)
    optimizer = torch.optim.SGD([*net.parameters(), *head.parameters()], lr=0.5, momentum=0.9)
    for _ in range(8):
        out, _ = net(x)
        loss = F.mse_loss(head(out[:, -1]), x.sum((1, 2)).unsqueeze(1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()  # here


@has("diverging", "below")
def sign_of_the_likelihood() -> None:
    net, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
    for _ in range(8):
        loss = F.log_softmax(net(x), 1).gather(1, y[:, None]).mean()  # here
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@has("diverging", "below")
def difference_that_is_maximised() -> None:
    net, x, y = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1)), torch.randn(16, 8), torch.randn(16, 1)

    def objective() -> Any:
        return -F.mse_loss(net(x), y)  # here

    optimizer = torch.optim.SGD(net.parameters(), lr=0.3)
    for _ in range(8):
        optimizer.zero_grad()
        objective().backward()
        optimizer.step()


@has("diverging", "gradient")
def weights_that_feed_on_themselves() -> None:
    w = torch.tensor([[1.0, 2.0]], requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=3.0)
    for _ in range(8):
        optimizer.zero_grad()
        product = w * w
        (product - product.detach()).sum().backward()
        optimizer.step()  # here


@has("diverging", "carried")
def state_that_grows() -> None:
    cell, state, x = nn.Linear(6, 6), torch.ones(4, 6), torch.randn(4, 6)
    optimizer = torch.optim.SGD(cell.parameters(), lr=1e-12)
    for _ in range(8):
        state = 8 * state + 0.1 * cell(x).detach()
        loss = (cell(x) - state).square().mean()  # here
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@has("learning_rate_low")
def too_slow() -> None:
    net, x = nn.Linear(8, 1), torch.randn(16, 8)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-9)
    for _ in range(4):
        optimizer.zero_grad()
        ((net(x) - 1) ** 2).sum().backward()
        optimizer.step()  # here


@has("graph_kept")
def losses_in_a_sum() -> None:
    made, (x, y), total = Trainer(), data(), 0
    for _ in range(4):
        made.opt.zero_grad()
        loss = made.forward_backward(x, y)
        made.opt.step()
        total = total + loss * x.shape[0]  # here


@has("graph_kept")
def smoothed_loss() -> None:
    net, (x, y), smooth = mlp(), data(), None
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(5):
        loss = F.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        smooth = loss if smooth is None else 0.9 * smooth + 0.1 * loss  # here


@has("graph_kept")
def validation_after_training() -> None:
    net, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(2):
        for a, b in zip(x.split(8), y.split(8), strict=True):
            optimizer.zero_grad()
            F.cross_entropy(net(a), b).backward()
            optimizer.step()
        running = 0.0
        for a, b in zip(x.split(8), y.split(8), strict=True):
            running = running + F.cross_entropy(net(a), b)  # here


@has("graph_kept")
def evaluation_loop() -> None:
    net, (x, y) = mlp(), data()
    total_loss = 0
    for a, b in DataLoader(TensorDataset(x, y), batch_size=4):
        total_loss += F.cross_entropy(net(a), b)  # here
    assert float(total_loss) > 0


@has("graph_kept")
def losses_in_a_list() -> None:
    net, (x, y), losses = mlp(), data(), []
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(4):
        optimizer.zero_grad()
        losses.append(F.cross_entropy(net(x), y))
        losses[-1].backward()
        optimizer.step()
    mean = sum(losses) / len(losses)  # here
    mean.item()


@has("graph_kept", "list")
def history_of_losses() -> None:
    net, (x, y), history = mlp(), data(), []
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(5):
        loss = F.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss)  # here


@has("graph_kept", "list")
def losses_by_step() -> None:
    made, (x, y), found = Trainer(), data(), {}
    for i in range(5):
        made.opt.zero_grad()
        found[i] = made.forward_backward(x, y)
        made.opt.step()


@has("symmetric_weights")
def all_zeros() -> None:
    net, x = nn.Sequential(nn.Linear(8, 16), nn.Sigmoid(), nn.Linear(16, 1)), torch.randn(16, 8)
    for p in net.parameters():
        nn.init.constant_(p, 0.5)
    F.mse_loss(net(x), torch.ones(16, 1)).backward()  # here


@has("not_finite", "forward")
def long_after_it_began() -> None:
    """Most steps come after the loss has become nan; those before it are kept."""
    scale, x = torch.nn.Parameter(torch.tensor(0.2)), torch.rand(8) + 1
    optimizer = torch.optim.SGD([scale], lr=1e-2)
    for _ in range(60):
        loss = (torch.sqrt(scale) * x).mean()  # here
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@has("input_scale")
def prices_as_they_are() -> None:
    net, x = mlp(3, 1), torch.rand(16, 3) * torch.tensor([2000.0, 5.0, 100.0])
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-9)
    optimizer.zero_grad()
    net(x).mean().backward()  # here
    optimizer.step()


@has("mode", "eval")
def only_parts_called_in_eval_mode() -> None:
    net, (x, y) = nn.Sequential(nn.Linear(8, 16), nn.Dropout(0.5), nn.Linear(16, 3)), data()
    net.eval()
    train(net.parameters(), lambda: F.cross_entropy(net[2](net[:2](x)), y))  # here
