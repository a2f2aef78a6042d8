"""Faults as programs have them, in many styles: each is found at the line that ends in `# here`."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

import retrograd as torch
from retrograd import nn
from retrograd.utils.data import DataLoader, TensorDataset
from tests.seeing.sound_programs import data

F = nn.functional
FAULTY_PROGRAMS: list[tuple[str, str, Callable[[], None]]] = []


def has(fault: str, variant: str = "") -> Any:
    """Says which fault a program has."""

    def register(program: Callable[[], None]) -> Callable[[], None]:
        FAULTY_PROGRAMS.append((fault, variant, program))
        return program

    return register


def mlp(inputs: int = 8, outputs: int = 3) -> Any:
    return nn.Sequential(nn.Linear(inputs, 16), nn.ReLU(), nn.Linear(16, outputs))


# ---------------------------------------------------------------- the training loop


@has("zero_grad", "hand")
def functional_style() -> None:
    w, b = torch.randn(8, 3, requires_grad=True), torch.zeros(3, requires_grad=True)
    x, y = data()
    for _ in range(3):
        F.cross_entropy(x @ w + b, y).backward()
        with torch.no_grad():
            for p in (w, b):
                p -= 0.01 * p.grad  # here


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
        return torch.tensor(h)


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
    trained(Cut("copied"))


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


@has("not_finite", "forward")
def softmax_by_hand() -> None:
    w = torch.full((4,), 200.0, requires_grad=True)

    def softmax(z: Any) -> Any:
        e = torch.exp(z)  # here
        return e / e.sum()

    softmax(w).log().sum().backward()


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


# ---------------------------------------------------------------- losses


@has("broadcast")
def column_in_a_class() -> None:
    net, criterion, x = mlp(outputs=1), nn.SmoothL1Loss(), torch.randn(16, 8)
    target = x.sum(1)
    criterion(net(x), target).backward()  # here


@has("broadcast")
def errors_by_hand() -> None:
    w, x, y = torch.randn(4, 1, requires_grad=True), torch.randn(16, 4), torch.randn(16)
    error = y - x @ w  # here
    loss = error.abs().mean()
    loss.backward()


@has("broadcast")
def target_is_the_column() -> None:
    net, x = nn.Linear(4, 1), torch.randn(16, 4)
    y = x[:, :1] * 2
    prediction = net(x).flatten()
    F.l1_loss(prediction, y).backward()  # here


@has("double_softmax", "twice")
def softmax_in_the_network() -> None:
    net, criterion, (x, y) = nn.Sequential(nn.Linear(8, 3), nn.Softmax(dim=1)), nn.CrossEntropyLoss(), data()
    criterion(net(x), y).backward()  # here


@has("double_softmax", "twice")
def softmax_then_log_softmax() -> None:
    net, (x, y) = nn.Linear(8, 3), data()
    p = torch.softmax(net(x), dim=-1)
    loss = F.nll_loss(F.log_softmax(p, dim=-1), y)  # here
    loss.backward()


@has("nll_on_logits", "probabilities")
def nll_of_probabilities() -> None:
    net, (x, y) = nn.Sequential(nn.Linear(8, 3), nn.Softmax(-1)), data()
    nn.NLLLoss()(net(x), y).backward()  # here


@has("nll_on_logits", "logits")
def nll_in_a_function() -> None:
    net, (x, y) = mlp(), data()

    def loss_of(output: Any, target: Any) -> Any:
        return nn.NLLLoss()(output, target)  # here

    loss_of(net(x), y).backward()


@has("double_sigmoid")
def sigmoid_in_the_network() -> None:
    net, x = nn.Sequential(nn.Linear(8, 1), nn.Sigmoid()), torch.randn(16, 8)
    criterion = nn.BCEWithLogitsLoss()
    loss = criterion(net(x).squeeze(1), torch.ones(16))  # here
    loss.backward()


@has("argument_order")
def target_before_output() -> None:
    net, x = nn.Sequential(nn.Linear(8, 1), nn.Sigmoid()), torch.randn(16, 8)
    nn.BCELoss()(torch.ones(16, 1), net(x)).backward()  # here


# ---------------------------------------------------------------- inside the network


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


@has("exploding")
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


@has("symmetric_weights")
def all_zeros() -> None:
    net, x = nn.Sequential(nn.Linear(8, 16), nn.Sigmoid(), nn.Linear(16, 1)), torch.randn(16, 8)
    for p in net.parameters():
        nn.init.constant_(p, 0.5)
    F.mse_loss(net(x), torch.ones(16, 1)).backward()  # here


@has("input_scale")
def prices_as_they_are() -> None:
    net, x = mlp(3, 1), torch.rand(16, 3) * torch.tensor([2000.0, 5.0, 100.0])
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-9)
    optimizer.zero_grad()
    net(x).mean().backward()  # here
    optimizer.step()


# ---------------------------------------------------------------- crashes


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
def token_that_is_not_there() -> None:
    embed = nn.Embedding(10, 4)
    embed(torch.tensor([[1, 10]]))  # here
