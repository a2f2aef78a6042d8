"""Ordinary training programs of many kinds, with nothing wrong in them: ways to train."""

from __future__ import annotations

import copy
import math
from typing import Any

import retrograd as torch
from retrograd import nn
from retrograd.utils.data import DataLoader, TensorDataset
from tests.seeing.programs.shared import data, sound, train

F = nn.functional


@sound
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


@sound
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


@sound
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


@sound
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


@sound
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


@sound
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


@sound
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


@sound
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


def language(tied: bool) -> None:
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


@sound
def truncated_backpropagation() -> None:
    language(False)


@sound
def shared_weights() -> None:
    language(True)


@sound
def transformer() -> None:
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    embed, encoder, head = nn.Embedding(20, 16, padding_idx=0), nn.TransformerEncoder(layer, 2), nn.Linear(16, 2)
    x, y = torch.randint(1, 20, (8, 10)), torch.randint(0, 2, (8,))
    x[:, 7:] = 0

    def loss() -> Any:
        h = encoder(embed(x) * 4.0, src_key_padding_mask=x == 0)
        return F.cross_entropy(head(h.mean(1)), y)

    train([*embed.parameters(), *encoder.parameters(), *head.parameters()], loss)


@sound
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


@sound
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


@sound
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


@sound
def frozen_backbone() -> None:
    net, x, y = Tuned(), torch.randn(12, 3, 8, 8), torch.randint(0, 3, (12,))
    net.train()
    train(filter(lambda p: p.requires_grad, net.parameters()), lambda: F.cross_entropy(net(x), y), lr=1e-2)


@sound
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


@sound
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


@sound
def bag_of_words() -> None:
    bag, head, y = nn.EmbeddingBag(30, 8), nn.Linear(8, 2), torch.randint(0, 2, (6,))
    words = torch.randint(0, 30, (6, 5))
    train([*bag.parameters(), *head.parameters()], lambda: F.cross_entropy(head(bag(words)), y))


@sound
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


@sound
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


@sound
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


@sound
def regression() -> None:
    net, x = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 1)), torch.randn(32, 4)
    y = x.sum(1, keepdim=True) + 0.1 * torch.randn(32, 1)
    train(net.parameters(), lambda: ((net(x) - y) ** 2).mean(), lr=1e-2)


@sound
def uncertain_regression() -> None:
    net, x = nn.Linear(4, 2), torch.randn(32, 4)
    y, criterion = x[:, :1] * 2, nn.GaussianNLLLoss()

    def loss() -> Any:
        mean, spread = net(x).chunk(2, dim=1)
        return criterion(mean, y, F.softplus(spread) + 1e-6)

    train(net.parameters(), loss, lr=1e-2)


@sound
def parameter_groups() -> None:
    net, (x, y) = nn.Sequential(nn.Linear(8, 16), nn.LayerNorm(16), nn.GELU(), nn.Linear(16, 3)), data()
    decayed = [p for p in net.parameters() if p.ndim > 1]
    others = [p for p in net.parameters() if p.ndim < 2]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0, "lr": 1e-4}], lr=1e-3)
    for _ in range(3):
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()


@sound
def triplets() -> None:
    net, x = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)), torch.randn(30, 8)
    criterion = nn.TripletMarginLoss()
    train(net.parameters(), lambda: criterion(net(x[:10]), net(x[10:20]), net(x[20:])))


@sound
def averaged_afterwards() -> None:
    """The sum of gradients is divided, not the losses."""
    net, (x, y) = nn.Linear(8, 3), data()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        for a, b in zip(x.split(8), y.split(8), strict=True):
            F.cross_entropy(net(a), b).backward()
        for p in net.parameters():
            p.grad /= 4
        optimizer.step()


@sound
def several_tasks() -> None:
    """One body, a head for each task, and a backward pass for each."""
    body, heads, x = nn.Linear(8, 16), nn.ModuleList([nn.Linear(16, 1) for _ in range(3)]), torch.randn(16, 8)
    optimizer = torch.optim.Adam([*body.parameters(), *heads.parameters()], lr=1e-3)
    for _ in range(3):
        optimizer.zero_grad()
        for i, head in enumerate(heads):
            F.mse_loss(head(body(x).relu()), x[:, i : i + 1]).backward()
        optimizer.step()


@sound
def one_optimizer_after_the_other() -> None:
    """First the head alone, then everything, by an optimizer of its own."""
    body, head, (x, y) = nn.Sequential(nn.Linear(8, 16), nn.ReLU()), nn.Linear(16, 3), data()
    body.requires_grad_(False)
    for parameters in (head.parameters(), [*body.parameters(), *head.parameters()]):
        optimizer = torch.optim.SGD(parameters, lr=0.05)
        for _ in range(3):
            optimizer.zero_grad()
            F.cross_entropy(head(body(x)), y).backward()
            optimizer.step()
        body.requires_grad_(True)


@sound
def updates_through_data() -> None:
    w, b, x = torch.randn(8, 1, requires_grad=True), torch.zeros(1, requires_grad=True), torch.randn(16, 8)
    for _ in range(6):
        (x @ w + b - 1).square().mean().backward()
        w.data = w.data - 0.05 * w.grad.data
        b.data -= 0.05 * b.grad.data
        w.grad.data.zero_()
        b.grad.data.zero_()


@sound
def equation_with_bare_tensors() -> None:
    """Points in time need gradients too, and are no weights."""
    w, b, v = torch.randn(1, 16, requires_grad=True), torch.zeros(16, requires_grad=True), (torch.randn(16, 1) * 0.2).requires_grad_()
    optimizer, t = torch.optim.Adam([w, b, v], lr=1e-3), torch.linspace(0, 1, 12)[:, None].requires_grad_()
    for _ in range(4):
        u = torch.tanh(t @ w + b) @ v
        (slope,) = torch.autograd.grad(u.sum(), t, create_graph=True)
        optimizer.zero_grad()
        ((slope + u).square().mean() + (u[0] - 1).square().sum()).backward()
        optimizer.step()
