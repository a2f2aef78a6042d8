"""Faults of losses, in many styles: each is found at the line that ends in `# here`."""

from __future__ import annotations

from typing import Any

import retrograd as torch
from retrograd import nn
from tests.seeing.programs.shared import data, has, mlp

F = nn.functional


@has("broadcast")
def column_in_a_class() -> None:
    net, criterion, x = mlp(outputs=1), nn.SmoothL1Loss(), torch.randn(16, 8)
    target = x.sum(1)
    criterion(net(x), target).backward()  # here


@has("broadcast")
def judged_only() -> None:
    net, x = mlp(outputs=1), torch.randn(16, 8)
    with torch.no_grad():
        error = F.mse_loss(net(x), x.sum(1))  # here
    assert error.item() > 0


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


@has("broadcast")
def relative_errors() -> None:
    net, x = mlp(outputs=1), torch.randn(16, 8)
    y = x.sum(1)
    loss = torch.abs((y - net(x)) / y).mean()  # here
    loss.backward()


@has("broadcast")
def logarithm_of_cosh() -> None:
    net, x = nn.Linear(4, 1), torch.randn(16, 4)
    torch.log(torch.cosh(net(x) - x.sum(1))).mean().backward()  # here


@has("broadcast")
def weights_of_examples() -> None:
    net, x, weight = nn.Linear(4, 1), torch.randn(16, 4), torch.rand(16)
    error = net(x) - x.sum(1, keepdim=True)
    (weight * error**2).mean().backward()  # here


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


@has("double_softmax", "twice")
def softmax_of_each_token() -> None:
    head, x, y = nn.Linear(8, 5), torch.randn(2, 6, 8), torch.randint(0, 5, (2, 6))
    p = head(x).softmax(-1)
    F.cross_entropy(p.transpose(1, 2), y).backward()  # here


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


@has("double_softmax", "squashed")
def sigmoid_for_classes() -> None:
    net, (x, y) = nn.Sequential(nn.Linear(8, 3), nn.Sigmoid()), data()
    F.cross_entropy(net(x), y).backward()  # here


@has("nll_on_logits", "divergence")
def divergence_of_probabilities() -> None:
    net, (x, _) = mlp(), data()
    criterion, wanted = nn.KLDivLoss(reduction="batchmean"), torch.softmax(torch.randn(32, 3), dim=1)
    p = torch.softmax(net(x), dim=1)
    criterion(p, wanted).backward()  # here


@has("nll_on_logits", "divergence")
def divergence_of_logits() -> None:
    net, (x, _), wanted = mlp(), data(), torch.log_softmax(torch.randn(32, 3), dim=1)
    F.kl_div(net(x), wanted, reduction="sum", log_target=True).backward()  # here


@has("argument_order")
def divergence_the_other_way_round() -> None:
    net, (x, _), wanted = mlp(), data(), torch.softmax(torch.randn(32, 3), dim=1)
    loss = F.kl_div(wanted, F.log_softmax(net(x), dim=1), reduction="batchmean")  # here
    loss.backward()


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
