"""Ordinary training programs of many kinds, with nothing wrong in them."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import retrograd as torch
from retrograd import nn
from retrograd.utils.checkpoint import checkpoint
from retrograd.utils.data import DataLoader, TensorDataset

F = nn.functional


def data(n: int = 32, inputs: int = 8, classes: int = 3) -> tuple[Any, Any]:
    """Examples and classes that can be told apart."""
    y = torch.randint(0, classes, (n,))
    return torch.randn(n, inputs) + y.unsqueeze(1), y


def train(parameters: Any, loss: Callable[[], Any], steps: int = 4, lr: float = 1e-3) -> None:
    """A plain loop."""
    optimizer = torch.optim.Adam(parameters, lr=lr)
    for _ in range(steps):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()


def smoothed_labels() -> None:
    """Classification by epochs, with a running loss and accuracy."""
    x, y = data(48)
    loader = DataLoader(TensorDataset(x, y), batch_size=16, shuffle=True)
    net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 3))
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, nesterov=True)
    for _epoch in range(2):
        net.train()
        running, correct = 0.0, 0
        for inputs, labels in loader:
            optimizer.zero_grad(set_to_none=False)
            outputs = net(inputs)
            loss = criterion(outputs, labels)
            loss.backward()
            optimizer.step()
            running += loss.item() * inputs.size(0)
            correct += (outputs.argmax(1) == labels).sum().item()
        net.eval()
        with torch.no_grad():
            total = 0.0
            for inputs, labels in loader:
                total += criterion(net(inputs), labels).item()


def autoencoder() -> None:
    x = torch.rand(16, 20)
    net = nn.Sequential(nn.Linear(20, 8), nn.ReLU(), nn.Linear(8, 3), nn.ReLU(), nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 20), nn.Sigmoid())
    train(net.parameters(), lambda: F.mse_loss(net(x), x))


class VAE(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.mu, self.logvar = nn.Linear(20, 16), nn.Linear(16, 2), nn.Linear(16, 2)
        self.decoder = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 20), nn.Sigmoid())

    def forward(self, x: Any) -> Any:
        h = F.relu(self.inner(x))
        mu, logvar = self.mu(h), self.logvar(h)
        z = mu + torch.randn_like(mu) * torch.exp(0.5 * logvar)
        return self.decoder(z), mu, logvar


def variational_autoencoder() -> None:
    net, x = VAE(), torch.rand(16, 20)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    for _ in range(4):
        optimizer.zero_grad()
        again, mu, logvar = net(x)
        likelihood = F.binary_cross_entropy(again, x, reduction="sum")
        divergence = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
        (likelihood + divergence).backward()
        optimizer.step()


def deep_convolutional_gan() -> None:
    """The judge's gradients come of two backward passes, and the generator's pass leaves some in the judge."""
    generator = nn.Sequential(nn.ConvTranspose2d(4, 8, 4), nn.BatchNorm2d(8), nn.ReLU(), nn.ConvTranspose2d(8, 1, 4, 2, 1), nn.Tanh())
    judge = nn.Sequential(nn.Conv2d(1, 8, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(8, 1, 4), nn.Flatten(0))
    criterion = nn.BCEWithLogitsLoss()
    one, two = (torch.optim.Adam(net.parameters(), lr=2e-4, betas=(0.5, 0.999)) for net in (judge, generator))
    real, errors = torch.rand(8, 1, 8, 8) * 2 - 1, []
    for _ in range(4):
        judge.zero_grad()
        judged = criterion(judge(real), torch.ones(8))
        judged.backward()
        fake = generator(torch.randn(8, 4, 1, 1))
        faked = criterion(judge(fake.detach()), torch.zeros(8))
        faked.backward()
        one.step()
        generator.zero_grad()
        made = criterion(judge(fake), torch.ones(8))
        made.backward()
        two.step()
        errors.append((judged + faked).item())


def wasserstein_gradient_penalty() -> None:
    generator = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))
    critic = nn.Sequential(nn.Linear(2, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1))
    one, two = (torch.optim.Adam(net.parameters(), lr=1e-4, betas=(0.0, 0.9)) for net in (critic, generator))
    real = torch.randn(8, 2)
    for _ in range(2):
        for _ in range(3):
            with torch.no_grad():
                fake = generator(torch.randn(8, 4))
            mix = torch.rand(8, 1)
            between = (mix * real + (1 - mix) * fake).requires_grad_(True)
            score = critic(between)
            (slope,) = torch.autograd.grad(score, between, torch.ones_like(score), create_graph=True)
            penalty = ((slope.norm(2, dim=1) - 1) ** 2).mean()
            loss = critic(fake).mean() - critic(real).mean() + 10 * penalty
            one.zero_grad()
            loss.backward()
            one.step()
        two.zero_grad()
        (-critic(generator(torch.randn(8, 4))).mean()).backward()
        two.step()


def policy_gradient() -> None:
    policy = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 2))
    optimizer = torch.optim.Adam(policy.parameters(), lr=1e-2)
    for _ in range(3):
        likelihoods, rewards, state = [], [], torch.randn(4)
        for _ in range(6):
            logs = F.log_softmax(policy(state), dim=-1)
            action = torch.multinomial(logs.exp(), 1).item()
            likelihoods.append(logs[action])
            rewards.append(1.0 if action == 0 else 0.0)
            state = torch.randn(4)
        returns, r = [], 0.0
        for reward in reversed(rewards):
            r = reward + 0.99 * r
            returns.insert(0, r)
        weights = torch.tensor(returns)
        weights = (weights - weights.mean()) / (weights.std() + 1e-8)
        loss = torch.stack([-log * w for log, w in zip(likelihoods, weights, strict=True)]).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def actor_and_critic() -> None:
    body, actor, critic = nn.Linear(4, 16), nn.Linear(16, 3), nn.Linear(16, 1)
    optimizer = torch.optim.Adam([*body.parameters(), *actor.parameters(), *critic.parameters()], lr=3e-3)
    for _ in range(3):
        h = F.relu(body(torch.randn(12, 4)))
        logs, value = F.log_softmax(actor(h), -1), critic(h).squeeze(-1)
        action = torch.multinomial(logs.detach().exp(), 1)
        reward = torch.rand(12)
        advantage = reward - value.detach()
        entropy = -(logs * logs.exp()).sum(-1).mean()
        loss = -(logs.gather(1, action).squeeze(1) * advantage).mean() + 0.5 * F.mse_loss(value, reward) - 0.01 * entropy
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def deep_q_learning() -> None:
    net = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 2))
    target = copy.deepcopy(net)
    optimizer = torch.optim.RMSprop(net.parameters(), lr=1e-3)
    for i in range(4):
        state, following, action, reward = torch.randn(16, 4), torch.randn(16, 4), torch.randint(0, 2, (16, 1)), torch.rand(16)
        q = net(state).gather(1, action)
        with torch.no_grad():
            expected = reward + 0.99 * target(following).max(1)[0]
        loss = F.smooth_l1_loss(q, expected.unsqueeze(1))
        optimizer.zero_grad()
        loss.backward()
        for p in net.parameters():
            p.grad.clamp_(-1, 1)
        optimizer.step()
        if i % 2:
            target.load_state_dict(net.state_dict())


class Language(nn.Module):
    """An LSTM whose output layer shares its weight with the embedding."""

    def __init__(self, tied: bool) -> None:
        super().__init__()
        self.embed, self.lstm, self.out = nn.Embedding(12, 16), nn.LSTM(16, 16, 2, batch_first=True, dropout=0.1), nn.Linear(16, 12)
        if tied:
            self.out.weight = self.embed.weight

    def forward(self, x: Any, state: Any) -> Any:
        out, state = self.lstm(self.embed(x), state)
        return self.out(out), state


def truncated_backpropagation(tied: bool = False) -> None:
    net, text = Language(tied), torch.randint(0, 12, (4, 33))
    optimizer, state = torch.optim.Adam(net.parameters(), lr=2e-3), None
    for i in range(0, 32, 8):
        out, state = net(text[:, i : i + 8], state)
        state = tuple(s.detach() for s in state)
        loss = F.cross_entropy(out.reshape(-1, 12), text[:, i + 1 : i + 9].reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 0.5)
        optimizer.step()
        math.exp(loss.item())


def shared_weights() -> None:
    truncated_backpropagation(True)


def transformer() -> None:
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    embed, encoder, head = nn.Embedding(20, 16, padding_idx=0), nn.TransformerEncoder(layer, 2), nn.Linear(16, 2)
    x, y = torch.randint(1, 20, (8, 10)), torch.randint(0, 2, (8,))
    x[:, 7:] = 0

    def loss() -> Any:
        h = encoder(embed(x) * 4.0, src_key_padding_mask=x == 0)
        return F.cross_entropy(head(h.mean(1)), y)

    train([*embed.parameters(), *encoder.parameters(), *head.parameters()], loss)


def accumulated_batches() -> None:
    """Micro-batches by a counter, with an uneven rest."""
    net, (x, y) = nn.Linear(8, 3), data(28)
    loader = DataLoader(TensorDataset(x, y), batch_size=4)
    optimizer, every = torch.optim.SGD(net.parameters(), lr=0.1), 3
    optimizer.zero_grad()
    for i, (inputs, labels) in enumerate(loader):
        loss = F.cross_entropy(net(inputs), labels) / every
        loss.backward()
        if (i + 1) % every == 0 or i + 1 == len(loader):
            optimizer.step()
            optimizer.zero_grad()


def one_cycle() -> None:
    """A rate that begins near zero and ends there."""
    net, (x, y) = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3)), data()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=8)
    for _ in range(8):
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
        scheduler.step()


def cosine_to_zero() -> None:
    net, (x, y) = nn.Linear(8, 3), data()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 6)
    for _ in range(6):
        loss = F.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()


class Tuned(nn.Module):
    """A backbone with batch normalisation that stays in eval mode, and a new head."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(8, 3)
        for p in self.backbone.parameters():
            p.requires_grad = False

    def train(self, mode: bool = True) -> Any:
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, x: Any) -> Any:
        return self.head(self.backbone(x))


def frozen_backbone() -> None:
    net, x, y = Tuned(), torch.randn(12, 3, 8, 8), torch.randint(0, 3, (12,))
    net.train()
    train(filter(lambda p: p.requires_grad, net.parameters()), lambda: F.cross_entropy(net(x), y), lr=1e-2)


def features_without_gradients() -> None:
    """A frozen encoder under no_grad, all of whose parameters still say that they need gradients."""
    encoder, head, (x, y) = nn.Sequential(nn.Linear(8, 16), nn.ReLU()).eval(), nn.Linear(16, 3), data()
    encoder.requires_grad_(False)
    optimizer = torch.optim.Adam(head.parameters(), lr=1e-2)
    for _ in range(3):
        with torch.no_grad():
            features = encoder(x)
        loss = F.cross_entropy(head(features), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def moving_average_of_weights() -> None:
    net, (x, y) = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3)), data()
    mean = copy.deepcopy(net).requires_grad_(False)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    for _ in range(4):
        loss = F.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for slow, fast in zip(mean.parameters(), net.parameters(), strict=True):
                slow.mul_(0.99).add_(fast, alpha=0.01)
            F.cross_entropy(mean(x), y).item()


def bag_of_words() -> None:
    bag, head, y = nn.EmbeddingBag(30, 8), nn.Linear(8, 2), torch.randint(0, 2, (6,))
    words = torch.randint(0, 30, (6, 5))
    train([*bag.parameters(), *head.parameters()], lambda: F.cross_entropy(head(bag(words)), y))


def evaluated_between() -> None:
    """Accuracy before, between and after; the best weights are kept."""
    net = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 3))
    (x, y), best, kept = data(), 0.0, None

    def accuracy() -> float:
        net.eval()
        with torch.inference_mode():
            return float((net(x).argmax(-1) == y).float().mean())

    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    best = accuracy()
    for _ in range(3):
        net.train()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if (now := accuracy()) >= best:
            best, kept = now, copy.deepcopy(net.state_dict())
    net.load_state_dict(kept or net.state_dict())
    accuracy()


def several_losses() -> None:
    body, classes, size = nn.Linear(8, 16), nn.Linear(16, 3), nn.Linear(16, 1)
    (x, y), z = data(), torch.randn(32, 1)
    optimizer, total = torch.optim.Adam([*body.parameters(), *classes.parameters(), *size.parameters()], lr=1e-3), 0.0
    for _ in range(3):
        h = torch.relu(body(x))
        loss = 0.0
        for term, weight in ((F.cross_entropy(classes(h), y), 1.0), (F.l1_loss(size(h), z), 0.3)):
            loss = loss + weight * term
        loss = loss + 1e-4 * sum(p.pow(2).sum() for p in body.parameters())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.detach()


def two_backward_passes() -> None:
    """Two losses of one graph, each with a backward pass of its own."""
    body, one, two, (x, y) = nn.Linear(8, 16), nn.Linear(16, 3), nn.Linear(16, 1), data()
    optimizer = torch.optim.SGD([*body.parameters(), *one.parameters(), *two.parameters()], lr=1e-2)
    for _ in range(3):
        optimizer.zero_grad()
        h = body(x).tanh()
        F.cross_entropy(one(h), y).backward(retain_graph=True)
        two(h).square().mean().backward()
        optimizer.step()


def regression() -> None:
    net, x = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 1)), torch.randn(32, 4)
    y = x.sum(1, keepdim=True) + 0.1 * torch.randn(32, 1)
    train(net.parameters(), lambda: ((net(x) - y) ** 2).mean(), lr=1e-2)


def uncertain_regression() -> None:
    net, x = nn.Linear(4, 2), torch.randn(32, 4)
    y, criterion = x[:, :1] * 2, nn.GaussianNLLLoss()

    def loss() -> Any:
        mean, spread = net(x).chunk(2, dim=1)
        return criterion(mean, y, F.softplus(spread) + 1e-6)

    train(net.parameters(), loss, lr=1e-2)


def parameter_groups() -> None:
    net, (x, y) = nn.Sequential(nn.Linear(8, 16), nn.LayerNorm(16), nn.GELU(), nn.Linear(16, 3)), data()
    decayed = [p for p in net.parameters() if p.ndim > 1]
    others = [p for p in net.parameters() if p.ndim < 2]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0, "lr": 1e-4}], lr=1e-3)
    for _ in range(3):
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()


def triplets() -> None:
    net, x = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)), torch.randn(30, 8)
    criterion = nn.TripletMarginLoss()
    train(net.parameters(), lambda: criterion(net(x[:10]), net(x[10:20]), net(x[20:])))


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


def distances() -> None:
    """Points of which all distances are given."""
    points, wanted = torch.randn(8, 2, requires_grad=True), torch.rand(8, 8) + 0.5
    train([points], lambda: (((points[:, None] - points[None]).square().sum(-1) + 1e-6).sqrt() - wanted).square().mean(), lr=1e-2)


def distillation() -> None:
    teacher, student, (x, y) = nn.Sequential(nn.Linear(8, 64), nn.Dropout(0.1), nn.Linear(64, 3)).eval(), nn.Linear(8, 3), data()
    criterion = nn.KLDivLoss(reduction="batchmean")

    def loss() -> Any:
        with torch.no_grad():
            soft = F.softmax(teacher(x) / 2, dim=-1)
        out = student(x)
        return criterion(F.log_softmax(out / 2, dim=-1), soft) * 4 + F.cross_entropy(out, y)

    train(student.parameters(), loss)


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


def segmentation() -> None:
    net, x = UNet(), torch.randn(4, 1, 8, 8)
    mask = (x > 0).float()

    def loss() -> Any:
        logits = net(x)
        p = torch.sigmoid(logits)
        dice = 1 - (2 * (p * mask).sum() + 1) / (p.sum() + mask.sum() + 1)
        return F.binary_cross_entropy_with_logits(logits, mask) + dice

    train(net.parameters(), loss)


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


def many_labels() -> None:
    net, x, y = nn.Sequential(nn.Linear(8, 16), nn.SiLU(), nn.Linear(16, 5)), torch.randn(32, 8), (torch.rand(32, 5) > 0.7).float()
    criterion = nn.BCEWithLogitsLoss(pos_weight=torch.full((5,), 2.0))
    train(net.parameters(), lambda: criterion(net(x), y))


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


def own_function() -> None:
    net, head, (x, y) = nn.Linear(8, 16), nn.Linear(16, 3), data()
    train([*net.parameters(), *head.parameters()], lambda: F.cross_entropy(head(Clipped.apply(net(x))), y))


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


def softmax_regression() -> None:
    """Weights that begin at zero do no harm where there is no hidden layer."""
    net, (x, y) = nn.Linear(8, 3), data()
    nn.init.zeros_(net.weight)
    nn.init.zeros_(net.bias)
    train(net.parameters(), lambda: F.cross_entropy(net(x), y), lr=0.05)


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


def residual_blocks() -> None:
    net, (x, y) = Residual(), data()
    train(net.parameters(), lambda: F.cross_entropy(net(x), y))


def one_parameter() -> None:
    """A physical constant from measurements."""
    t = torch.linspace(0, 2, 20)
    g, seen = torch.tensor(5.0, requires_grad=True), 0.5 * 9.8 * t**2
    train([g], lambda: ((0.5 * g * t**2 - seen) ** 2).mean(), steps=6, lr=0.1)


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


def trainer() -> None:
    made, (x, y) = Trainer(), data()
    for _ in range(4):
        made.step(x, y)
        made.evaluate(x, y)


def sampled_negatives() -> None:
    """Word vectors, most of which get no gradient in a batch."""
    centre, context = nn.Embedding(40, 8), nn.Embedding(40, 8)

    def loss() -> Any:
        a, b, negative = torch.randint(0, 40, (6,)), torch.randint(0, 40, (6,)), torch.randint(0, 40, (6, 3))
        u, v, w = centre(a), context(b), context(negative)
        return -(F.logsigmoid((u * v).sum(-1)) + F.logsigmoid(-(w @ u.unsqueeze(-1)).squeeze(-1)).sum(-1)).mean()

    train([*centre.parameters(), *context.parameters()], loss, lr=1e-2)


def graph_convolution() -> None:
    a = (torch.rand(10, 10) > 0.6).float() + torch.eye(10)
    a = a / a.sum(1, keepdim=True)
    one, two, x, y = nn.Linear(6, 16), nn.Linear(16, 3), torch.randn(10, 6), torch.randint(0, 3, (10,))
    known = torch.arange(10) < 4
    train([*one.parameters(), *two.parameters()], lambda: F.cross_entropy((a @ two(F.relu(a @ one(x))))[known], y[known]))


def experts() -> None:
    """A gate chooses two of four experts for each example."""
    gate, inner, (x, y) = nn.Linear(8, 4), nn.ModuleList([nn.Linear(8, 3) for _ in range(4)]), data()

    def loss() -> Any:
        top, index = gate(x).topk(2, dim=-1)
        weights = torch.zeros(32, 4).scatter(1, index, F.softmax(top, dim=-1))
        out = torch.stack([expert(x) for expert in inner], 1)
        return F.cross_entropy((weights.unsqueeze(-1) * out).sum(1), y)

    train([*gate.parameters(), *inner.parameters()], loss)


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


SOUND_PROGRAMS = [
    f for name, f in list(globals().items()) if callable(f) and getattr(f, "__module__", "") == __name__
    and not isinstance(f, type) and name not in ("data", "train", "truncated_backpropagation")
]  # fmt: skip
SOUND_PROGRAMS.append(truncated_backpropagation)
