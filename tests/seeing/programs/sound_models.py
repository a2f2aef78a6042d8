"""Ordinary training programs of many kinds, with nothing wrong in them: models and losses."""

from __future__ import annotations

import copy
from typing import Any

import retrograd as torch
from retrograd import nn
from retrograd.utils.checkpoint import checkpoint
from tests.seeing.programs.shared import data, sound, train

F = nn.functional


@sound
def contrasted_pairs() -> None:
    """All pairs are compared, on purpose."""
    net, (x, y) = nn.Linear(8, 4), data(12)

    def loss() -> Any:
        z = F.normalize(net(x), dim=1)
        scores = z @ z.T / 0.2
        scores = scores.masked_fill(torch.eye(12).bool(), float("-inf"))
        same = (y[:, None] == y[None, :]).float() * (1 - torch.eye(12))
        logs = F.log_softmax(scores, dim=1)
        return -(torch.where(same > 0, logs, torch.zeros_like(logs)).sum(1) / same.sum(1).clamp(min=1)).mean()

    train(net.parameters(), loss)


@sound
def distances() -> None:
    """Points of which all distances are given."""
    points, wanted = torch.randn(8, 2, requires_grad=True), torch.rand(8, 8) + 0.5
    train([points], lambda: (((points[:, None] - points[None]).square().sum(-1) + 1e-6).sqrt() - wanted).square().mean(), lr=1e-2)


@sound
def distillation() -> None:
    teacher, student, (x, y) = nn.Sequential(nn.Linear(8, 64), nn.Dropout(0.1), nn.Linear(64, 3)).eval(), nn.Linear(8, 3), data()
    criterion = nn.KLDivLoss(reduction="batchmean")

    def loss() -> Any:
        with torch.no_grad():
            soft = F.softmax(teacher(x) / 2, dim=-1)
        out = student(x)
        return criterion(F.log_softmax(out / 2, dim=-1), soft) * 4 + F.cross_entropy(out, y)

    train(student.parameters(), loss)


@sound
def stopped_gradient() -> None:
    """Two views of one thing, one of them cut off on purpose."""
    net, predictor, x = (
        nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 8)),
        nn.Linear(8, 8),
        torch.randn(16, 8),
    )

    def loss() -> Any:
        one, two = net(x + 0.1 * torch.randn_like(x)), net(x + 0.1 * torch.randn_like(x))
        first = F.cosine_similarity(predictor(one), two.detach(), dim=-1)
        return -(first.mean() + F.cosine_similarity(predictor(two), one.detach(), dim=-1).mean()) / 2

    train([*net.parameters(), *predictor.parameters()], loss)


@sound
def quantised() -> None:
    """A straight-through estimator over a code book."""
    encoder, decoder, book, x = nn.Linear(8, 4), nn.Linear(4, 8), nn.Embedding(6, 4), torch.randn(16, 8)

    def loss() -> Any:
        z = encoder(x)
        chosen = (z.unsqueeze(1) - book.weight).square().sum(-1).argmin(1)
        q = book(chosen)
        straight = z + (q - z).detach()
        return F.mse_loss(decoder(straight), x) + F.mse_loss(q, z.detach()) + 0.25 * F.mse_loss(z, q.detach())

    train([*encoder.parameters(), *decoder.parameters(), *book.parameters()], loss)


@sound
def learning_to_learn() -> None:
    w, inner = torch.randn(4, requires_grad=True), 0.1
    optimizer = torch.optim.Adam([w], lr=1e-2)
    for _ in range(3):
        total = 0.0
        for _task in range(2):
            x, truth = torch.randn(10, 4), torch.randn(4)
            loss = ((x @ w - x @ truth) ** 2).mean()
            (g,) = torch.autograd.grad(loss, w, create_graph=True)
            adapted = w - inner * g
            total = total + ((x @ adapted - x @ truth) ** 2).mean()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()


@sound
def adversarial_examples() -> None:
    net, (x, y) = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3)), data()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    for _ in range(3):
        moved = x.clone().requires_grad_(True)
        F.cross_entropy(net(moved), y).backward()
        attacked = (moved + 0.05 * moved.grad.sign()).detach()
        optimizer.zero_grad()
        F.cross_entropy(net(attacked), y).backward()
        optimizer.step()


@sound
def input_that_is_optimised() -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3)).requires_grad_(False)
    image, wanted = torch.rand(1, 1, 8, 8, requires_grad=True), torch.randn(1, 4, 4, 4)
    train([image], lambda: F.mse_loss(net(image), wanted) + 1e-2 * (image[..., 1:] - image[..., :-1]).abs().mean(), lr=0.05)


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down, self.middle = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 8, 3, padding=1)
        self.up, self.out = nn.ConvTranspose2d(8, 4, 2, 2), nn.Conv2d(8, 1, 1)

    def forward(self, x: Any) -> Any:
        a = F.relu(self.down(x))
        b = F.relu(self.middle(F.max_pool2d(a, 2)))
        return self.out(torch.cat([self.up(b), a], 1))


@sound
def segmentation() -> None:
    net, x = UNet(), torch.randn(4, 1, 8, 8)
    mask = (x > 0).float()

    def loss() -> Any:
        logits = net(x)
        p = torch.sigmoid(logits)
        dice = 1 - (2 * (p * mask).sum() + 1) / (p.sum() + mask.sum() + 1)
        return F.binary_cross_entropy_with_logits(logits, mask) + dice

    train(net.parameters(), loss)


@sound
def teacher_forcing() -> None:
    encoder, decoder = nn.GRU(6, 12, batch_first=True), nn.GRUCell(5, 12)
    embed, head, y = nn.Embedding(9, 5), nn.Linear(12, 9), torch.randint(0, 9, (4, 5))
    y[:, 3:] = -100
    criterion = nn.CrossEntropyLoss(ignore_index=-100)
    x = torch.randn(4, 7, 6)

    def loss() -> Any:
        _, h = encoder(x)
        h, token, outs = h[0], torch.zeros(4, dtype=torch.int64), []
        for t in range(5):
            h = decoder(embed(token), h)
            outs.append(head(h))
            token = y[:, t].clamp(min=0)
        return criterion(torch.stack(outs, 1).transpose(1, 2), y)

    train([p for m in (encoder, decoder, embed, head) for p in m.parameters()], loss)


@sound
def many_labels() -> None:
    net, x, y = nn.Sequential(nn.Linear(8, 16), nn.SiLU(), nn.Linear(16, 5)), torch.randn(32, 8), (torch.rand(32, 5) > 0.7).float()
    criterion = nn.BCEWithLogitsLoss(pos_weight=torch.full((5,), 2.0))
    train(net.parameters(), lambda: criterion(net(x), y))


@sound
def checkpointed() -> None:
    one, two, head, (x, y) = nn.Linear(8, 16), nn.Linear(16, 16), nn.Linear(16, 3), data()

    def loss() -> Any:
        h = checkpoint(lambda z: torch.relu(two(torch.relu(one(z)))), x, use_reentrant=False)
        return F.cross_entropy(head(h), y)

    train([p for m in (one, two, head) for p in m.parameters()], loss)


class Clipped(torch.autograd.Function):
    """A rule of the program's own."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x.clamp(-1, 1)

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (x,) = ctx.saved_tensors
        return g * (x.abs() <= 1)


@sound
def own_function() -> None:
    net, head, (x, y) = nn.Linear(8, 16), nn.Linear(16, 3), data()
    train([*net.parameters(), *head.parameters()], lambda: F.cross_entropy(head(Clipped.apply(net(x))), y))


@sound
def logistic_regression() -> None:
    """From zeros, by hand, in whole batches."""
    (x, y), w, b = data(classes=2), torch.zeros(8, requires_grad=True), torch.zeros(1, requires_grad=True)
    for _ in range(5):
        loss = F.binary_cross_entropy_with_logits(x @ w + b, y.float())
        loss.backward()
        with torch.no_grad():
            for p in (w, b):
                p.sub_(p.grad, alpha=0.1)
                p.grad.zero_()


@sound
def softmax_regression() -> None:
    """Weights that begin at zero do no harm where there is no hidden layer."""
    net, (x, y) = nn.Linear(8, 3), data()
    nn.init.zeros_(net.weight)
    nn.init.zeros_(net.bias)
    train(net.parameters(), lambda: F.cross_entropy(net(x), y), lr=0.05)


@sound
def two_classes_from_zero() -> None:
    """Rows whose gradients are the negatives of each other."""
    net, (x, y) = nn.Linear(8, 2), data(classes=2)
    with torch.no_grad():
        net.weight.zero_()
    train(net.parameters(), lambda: F.cross_entropy(net(x), y), lr=0.05)


class Residual(nn.Module):
    """Blocks whose last layer begins at zero."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8)) for _ in range(8)])
        for block in self.blocks:
            nn.init.zeros_(block[3].weight)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Any) -> Any:
        for block in self.blocks:
            x = x + block(x)
        return self.head(x)


@sound
def residual_blocks() -> None:
    net, (x, y) = Residual(), data()
    train(net.parameters(), lambda: F.cross_entropy(net(x), y))


@sound
def one_parameter() -> None:
    """A physical constant from measurements."""
    t = torch.linspace(0, 2, 20)
    g, seen = torch.tensor(5.0, requires_grad=True), 0.5 * 9.8 * t**2
    train([g], lambda: ((0.5 * g * t**2 - seen) ** 2).mean(), steps=6, lr=0.1)


@sound
def equation_through_time() -> None:
    """A simulation of many steps whose law is learnt."""
    law, x = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2)), torch.randn(16, 2)
    wanted = x * 0.5

    def loss() -> Any:
        z = x
        for _ in range(20):
            z = z + 0.05 * law(z)
        return F.mse_loss(z, wanted)

    train(law.parameters(), loss, lr=1e-2)


class Trainer:
    """All in one object, as many programs have it."""

    def __init__(self) -> None:
        self.model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 3))
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3)
        self.criterion = nn.CrossEntropyLoss()
        self.losses: list[float] = []

    def step(self, x: Any, y: Any) -> None:
        self.model.train()
        self.loss = self.criterion(self.model(x), y)
        self.optimizer.zero_grad()
        self.loss.backward()
        self.optimizer.step()
        self.losses.append(self.loss.item())

    @torch.no_grad()
    def evaluate(self, x: Any, y: Any) -> float:
        self.model.eval()
        return float((self.model(x).argmax(1) == y).float().mean())


@sound
def trainer() -> None:
    made, (x, y) = Trainer(), data()
    for _ in range(4):
        made.step(x, y)
        made.evaluate(x, y)


@sound
def sampled_negatives() -> None:
    """Word vectors, most of which get no gradient in a batch."""
    centre, context = nn.Embedding(40, 8), nn.Embedding(40, 8)

    def loss() -> Any:
        a, b, negative = torch.randint(0, 40, (6,)), torch.randint(0, 40, (6,)), torch.randint(0, 40, (6, 3))
        u, v, w = centre(a), context(b), context(negative)
        return -(F.logsigmoid((u * v).sum(-1)) + F.logsigmoid(-(w @ u.unsqueeze(-1)).squeeze(-1)).sum(-1)).mean()

    train([*centre.parameters(), *context.parameters()], loss, lr=1e-2)


@sound
def graph_convolution() -> None:
    a = (torch.rand(10, 10) > 0.6).float() + torch.eye(10)
    a = a / a.sum(1, keepdim=True)
    one, two, x, y = nn.Linear(6, 16), nn.Linear(16, 3), torch.randn(10, 6), torch.randint(0, 3, (10,))
    known = torch.arange(10) < 4
    train([*one.parameters(), *two.parameters()], lambda: F.cross_entropy((a @ two(F.relu(a @ one(x))))[known], y[known]))


@sound
def experts() -> None:
    """A gate chooses two of four experts for each example."""
    gate, inner, (x, y) = nn.Linear(8, 4), nn.ModuleList([nn.Linear(8, 3) for _ in range(4)]), data()

    def loss() -> Any:
        top, index = gate(x).topk(2, dim=-1)
        weights = torch.zeros(32, 4).scatter(1, index, F.softmax(top, dim=-1))
        out = torch.stack([expert(x) for expert in inner], 1)
        return F.cross_entropy((weights.unsqueeze(-1) * out).sum(1), y)

    train([*gate.parameters(), *inner.parameters()], loss)


@sound
def denoising() -> None:
    """A diffusion model's loss: the noise is to be told."""
    net, x = nn.Sequential(nn.Linear(9, 32), nn.SiLU(), nn.Linear(32, 8)), torch.randn(16, 8)
    kept = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 50), 0)

    def loss() -> Any:
        t, noise = torch.randint(0, 50, (16,)), torch.randn_like(x)
        a = kept[t].unsqueeze(1)
        noisy = a.sqrt() * x + (1 - a).sqrt() * noise
        return F.mse_loss(net(torch.cat([noisy, t.unsqueeze(1) / 50.0], 1)), noise)

    train(net.parameters(), loss)


@sound
def closures() -> None:
    """Steps by closures that clear and go backward."""
    net, (x, y) = nn.Linear(8, 3), data()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

    def closure() -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        return loss

    for _ in range(4):
        optimizer.step(closure)


@sound
def saliency() -> None:
    """The gradient of a trained network with respect to an image, in eval mode."""
    net = nn.Sequential(nn.Linear(8, 16), nn.Dropout(0.5), nn.Linear(16, 3)).eval()
    x = torch.randn(1, 8, requires_grad=True)
    net(x)[0, 1].backward()
    assert x.grad is not None


@sound
def validated_without_no_grad() -> None:
    """Wasteful, and right: numbers are taken out at once."""
    net, (x, y) = nn.Sequential(nn.Linear(8, 16), nn.Dropout(0.5), nn.Linear(16, 3)), data()
    optimizer = torch.optim.Adam(net.parameters())
    for _ in range(3):
        net.train()
        loss = F.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        net.eval()
        sum(F.cross_entropy(net(a), b).item() for a, b in zip(x.split(8), y.split(8), strict=True))


@sound
def clipped_weights() -> None:
    critic, real, fake = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 1)), torch.randn(16, 2) + 2, torch.randn(16, 2)
    optimizer = torch.optim.RMSprop(critic.parameters(), lr=5e-5)
    for _ in range(5):
        optimizer.zero_grad()
        (critic(fake).mean() - critic(real).mean()).backward()
        optimizer.step()
        for p in critic.parameters():
            p.data.clamp_(-0.01, 0.01)


@sound
def deterministic_policy() -> None:
    """The actor's loss leaves gradients in the critic, which are cleared before they are used."""
    actor, critic = (
        nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2), nn.Tanh()),
        nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 1)),
    )
    one, two, target = torch.optim.Adam(actor.parameters(), lr=3e-4), torch.optim.Adam(critic.parameters(), lr=3e-4), copy.deepcopy(critic)
    for _ in range(4):
        state, following, action, reward = torch.randn(16, 4), torch.randn(16, 4), torch.randn(16, 2), torch.rand(16, 1)
        with torch.no_grad():
            wanted = reward + 0.99 * target(torch.cat([following, actor(following)], 1))
        error = F.mse_loss(critic(torch.cat([state, action], 1)), wanted)
        two.zero_grad()
        error.backward()
        two.step()
        one.zero_grad()
        (-critic(torch.cat([state, actor(state)], 1)).mean()).backward()
        one.step()
        with torch.no_grad():
            for slow, fast in zip(target.parameters(), critic.parameters(), strict=True):
                slow.data.mul_(0.995)
                slow.data.add_(0.005 * fast.data)


@sound
def deep_with_normalisation() -> None:
    net = nn.Sequential(*[m for _ in range(12) for m in (nn.Linear(16, 16), nn.BatchNorm1d(16), nn.ReLU())], nn.Linear(16, 3))
    x, y = data(64, 16)
    train(net.parameters(), lambda: F.cross_entropy(net(x), y), lr=0.01)


@sound
def gates_by_hand_over_padded_words() -> None:
    """No loss at the last uses of the weights, for words are shorter; and a first state near zero, so that little comes to the reset gate."""
    embedding, start, head = nn.Embedding(12, 16), nn.Parameter(1e-3 * torch.randn(1, 16)), nn.Linear(16, 12)
    reset, update, new = (nn.Linear(32, 16) for _ in range(3))
    words, lengths = torch.randint(0, 12, (8, 17)), torch.randint(3, 9, (8, 1))
    target = torch.where(torch.arange(16) < lengths, words[:, 1:], -1)

    def loss() -> Any:
        h, states = start.expand(8, -1), []
        for letter in embedding(words[:, :-1]).unbind(1):
            both = torch.cat([letter, h], 1)
            r, z = torch.sigmoid(reset(both)), torch.sigmoid(update(both))
            h = (1 - z) * h + z * torch.tanh(new(torch.cat([letter, r * h], 1)))
            states.append(h)
        return F.cross_entropy(head(torch.stack(states, 1)).flatten(0, 1), target.flatten(), ignore_index=-1)

    layers = embedding, head, reset, update, new
    train([start, *(p for layer in layers for p in layer.parameters())], loss, lr=0.1)


@sound
def copies_of_a_template() -> None:
    """The layer that is copied gets no gradient, and needs none; updates by hand."""
    net, x = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32), 2), torch.randn(5, 3, 16)
    for _ in range(3):
        net.zero_grad()
        net(x).pow(2).mean().backward()
        nn.utils.clip_grad_norm_(net.parameters(), 0.25)
        for p in net.parameters():
            p.data.add_(p.grad, alpha=-0.1)


@sound
def long_sequence() -> None:
    """A gated recurrence with its loss at the end."""
    net, head, x, y = nn.GRU(3, 16, batch_first=True), nn.Linear(16, 2), torch.randn(8, 60, 3), torch.randint(0, 2, (8,))
    train([*net.parameters(), *head.parameters()], lambda: F.cross_entropy(head(net(x)[1][0]), y), steps=2, lr=1e-2)


@sound
def exclusive_or() -> None:
    """Learnt to the end, when gradients are next to nothing."""
    x, y = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), torch.tensor([[0.0], [1.0], [1.0], [0.0]])
    net = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1))
    train(net.parameters(), lambda: F.binary_cross_entropy_with_logits(net(x), y), steps=200, lr=0.05)


@sound
def perfect_fit() -> None:
    net, x = nn.Linear(1, 1), torch.linspace(-1, 1, 20)[:, None]
    train(net.parameters(), lambda: F.mse_loss(net(x), 3 * x + 1), steps=200, lr=0.5)


@sound
def one_example_at_a_time() -> None:
    net, (x, y) = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3)), data()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    for a, b in zip(x, y, strict=True):
        loss = F.cross_entropy(net(a[None]), b[None])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@sound
def hinge() -> None:
    """Within a limit, most errors are zero."""
    w, (x, y) = torch.zeros(8, 3, requires_grad=True), data()

    def loss() -> Any:
        scores = x @ w
        margins = (1 + scores - scores.gather(1, y[:, None])).clamp(min=0)
        return margins.sum(1).mean() - 1

    train([w], loss, steps=60, lr=0.1)


@sound
def gradients_looked_at() -> None:
    """Whether there are any: some parameters are not used, one is frozen."""
    net, spare, (x, y) = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 3)), torch.zeros(2, requires_grad=True), data()
    net[0].requires_grad_(False)
    optimizer = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        for p in [*net.parameters(), spare]:
            if p.grad is None:
                continue
            p.grad.norm()
        print([p.grad for p in net.parameters()], spare.grad is None)
        optimizer.step()


@sound
def rounded_for_show() -> None:
    """What is flat comes on top of what is not."""
    net, x = nn.Linear(8, 1), torch.randn(16, 8)
    y = (x[:, :1] > 0).float()

    def loss() -> Any:
        p = torch.sigmoid(net(x))
        assert (p.round() == y).float().mean() >= 0
        return F.mse_loss(p, y) + 0.01 * p.round().mean()

    train(net.parameters(), loss)


@sound
def straight_through_rounding() -> None:
    one, two, x = nn.Linear(5, 8), nn.Linear(8, 1), torch.randn(16, 5)

    def loss() -> Any:
        h = one(x)
        return (two(h + (torch.round(h) - h).detach()) - 1).square().mean()

    train([*one.parameters(), *two.parameters()], loss)


@sound
def divergence_of_logarithms() -> None:
    net, (x, _), wanted = nn.Linear(8, 3), data(), torch.softmax(torch.randn(32, 3), dim=1)
    criterion = nn.KLDivLoss(reduction="batchmean", log_target=True)
    train(
        net.parameters(),
        lambda: criterion(F.log_softmax(net(x), 1), wanted.log()) + F.kl_div(F.log_softmax(net(x), 1), wanted, reduction="sum"),
    )


@sound
def wrong_labels_that_are_few() -> None:
    """A trained sigmoid at its limits, a few of them wrong."""
    net, x = nn.Sequential(nn.Linear(2, 1), nn.Sigmoid()), torch.cat([torch.randn(20, 2) + 6, torch.randn(20, 2) - 6])
    y = torch.cat([torch.ones(20, 1), torch.zeros(20, 1)])
    y[0] = 0
    train(net.parameters(), lambda: F.mse_loss(net(x), y), steps=60, lr=0.1)


@sound
def certain_with_the_right_loss() -> None:
    net, x = nn.Sequential(nn.Linear(2, 1), nn.Sigmoid()), torch.randn(20, 2)
    nn.init.constant_(net[0].bias, 8.0)
    train(net.parameters(), lambda: F.binary_cross_entropy(net(x), torch.zeros(20, 1)))


@sound
def tiny_batches() -> None:
    """Losses that differ much by chance."""
    net = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 1))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
    for _ in range(40):
        x = torch.randn(1, 2)
        loss = F.mse_loss(net(x), x.sum(1, keepdim=True) + torch.randn(1, 1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@sound
def calibrated_afterwards() -> None:
    """A trained network stays in eval mode while a temperature is learnt."""
    net, (x, y) = nn.Sequential(nn.Linear(8, 16), nn.Dropout(0.2), nn.Linear(16, 3)), data()
    train(net.parameters(), lambda: F.cross_entropy(net(x), y), lr=0.01)
    net.eval()
    with torch.no_grad():
        logits = net(x)
    temperature = nn.Parameter(torch.ones(1))
    train([temperature], lambda: F.cross_entropy(logits / temperature, y), lr=0.01)


@sound
def attacks_in_eval_mode() -> None:
    net, (x, y) = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3)), data()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    for _ in range(3):
        net.eval()
        moved = torch.zeros_like(x, requires_grad=True)
        (slope,) = torch.autograd.grad(F.cross_entropy(net(x + moved), y), moved)
        net.train()
        optimizer.zero_grad()
        F.cross_entropy(net(x + 0.1 * slope.sign()), y).backward()
        optimizer.step()


@sound
def losses_of_a_few_terms() -> None:
    """A list of losses that lead to one backward pass; and numbers of them are kept."""
    net, shown = nn.Linear(8, 1), []
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    for _ in range(5):
        losses = []
        for _ in range(4):
            x = torch.randn(8, 8)
            losses.append(F.mse_loss(net(x), x[:, :1]))
        loss = torch.stack(losses).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        shown.append(loss.detach())


@sound
def kernel_of_a_trained_number() -> None:
    """Each point is compared with every centre, as many as there are points."""
    net, x, centres, w = nn.Linear(3, 1), torch.randn(12, 3), torch.linspace(-1, 1, 12), nn.Parameter(torch.zeros(12))

    def loss() -> Any:
        near = torch.exp(-((net(x) - centres) ** 2))
        return F.mse_loss(near @ w, x[:, 0]) - 1e-3 * near.mean(1).log().mean()

    train([*net.parameters(), w], loss)


@sound
def slices_in_both_modes() -> None:
    """A slice of a network says that it trains, whatever its parts do."""
    net, (x, y) = nn.Sequential(nn.Linear(8, 16), nn.Dropout(0.5), nn.Linear(16, 3)), data()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    for _ in range(3):
        net.train()
        optimizer.zero_grad()
        F.cross_entropy(net[2](net[:2](x)), y).backward()
        optimizer.step()
        net.eval()
        with torch.no_grad():
            (net[2](net[:2](x)).argmax(1) == y).float().mean().item()
