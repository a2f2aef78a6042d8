"""`retrograd train`: the teaching note's network learns real handwritten digits by backpropagation.

The loss is the note's, the sum of the squared differences between the ideal output (1 for the digit, 0 for the others) and the
prediction, divided by the number of digits in the batch.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import retrograd as torch
from retrograd.cli.texts import TRAIN, UserError, grouped
from retrograd.datasets import DataFileError, load_digits
from retrograd.utils.data import DataLoader, TensorDataset

DIM_IN, HIDDEN_SIZE, DIM_OUT = 784, 256, 10


@dataclass(frozen=True)
class Options:
    """What the user may choose."""

    batch: int = 16
    epochs: int = 10
    lr: float = 0.1
    seed: int = 0
    data: Path | None = None
    out: Path = Path("retrograd-run")


class Divergence(UserError):
    """The loss is no longer a number."""


def digits(folder: Path | None, train: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Digits as rows of 784 numbers from 0 to 1 (float32), and their labels (int64)."""
    images, labels = load_digits(folder, train)
    return torch.from_numpy(images.reshape(len(images), DIM_IN).astype(np.float32) / 255), torch.from_numpy(labels)


def network() -> torch.nn.Sequential:
    """The note's network."""
    return torch.nn.Sequential(torch.nn.Linear(DIM_IN, HIDDEN_SIZE), torch.nn.ReLU(), torch.nn.Linear(HIDDEN_SIZE, DIM_OUT))


def loss_of(prediction: torch.Tensor, ideal: torch.Tensor) -> torch.Tensor:
    """The squared error of a batch, per digit."""
    return (ideal - prediction).pow(2).sum() / len(ideal)


def accuracy_of(net: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    """How many digits of a hundred the network names rightly."""
    with torch.no_grad():
        return float((net(images).argmax(1) == labels).float().mean()) * 100


class Training:
    """A network on its way: what is kept when it ends, by itself or by Ctrl-C."""

    def __init__(self, options: Options) -> None:
        torch.manual_seed(options.seed)
        self.options = options
        self.net = network()
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=options.lr)
        self.images, self.labels = digits(options.data, True)
        self.test_images, self.test_labels = digits(options.data, False)
        ideal = torch.nn.functional.one_hot(self.labels, DIM_OUT).float()
        self.loader = DataLoader(TensorDataset(self.images, ideal), batch_size=options.batch, shuffle=True)
        self.before = self.net[0].weight.detach().clone()
        self.history: list[tuple[float, float]] = []  # loss and accuracy of each epoch, both at once: a program may be interrupted anywhere

    def epoch(self, advance: Any) -> float:
        """One pass over the training digits; returns the mean loss. Calls `advance` after each step."""
        total, seen = 0.0, 0
        for images, ideal in self.loader:
            self.optimizer.zero_grad()
            loss = loss_of(self.net(images), ideal)
            loss.backward()
            value = loss.item()
            if not np.isfinite(value):  # before the step: the weights are still what they were
                raise Divergence(
                    f"the loss became {value} in epoch {len(self.history) + 1}: the learning rate {self.options.lr:g} is too high"
                )
            self.optimizer.step()
            total, seen = total + value * len(images), seen + len(images)
            advance()
        return total / seen

    def measure(self) -> float:
        """The test accuracy now."""
        return accuracy_of(self.net, self.test_images, self.test_labels)

    def checkpoint(self) -> dict[str, Any]:
        """All that is needed to go on, or to use the network."""
        options = {k: str(v) if isinstance(v, Path) else v for k, v in asdict(self.options).items()}
        return {
            "model": self.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "history": {"loss": [loss for loss, _ in self.history], "accuracy": [accuracy for _, accuracy in self.history]},
            "options": options,
        }


def run(options: Options, language: str) -> int:
    """Trains, prints, and writes `checkpoint.pt` and `training.png`. Returns the exit status."""
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        from retrograd.cli import picture
    except ImportError as error:
        raise UserError(
            f"`retrograd train` needs {error.name}, which shows its progress or draws its picture: pip install 'retrograd[cli]'"
        ) from None
    say = TRAIN[language]
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        training = Training(options)
    except DataFileError as error:
        raise UserError(str(error)) from None
    console = Console(highlight=False, soft_wrap=True)
    weights = sum(p.numel() for p in training.net.parameters())
    counts = {"train": len(training.images), "test": len(training.test_images), "weights": weights}
    facts = {name: grouped(n, language) for name, n in counts.items()}
    console.print(say["source"].format(where=options.data or say["packaged"]))
    console.print(say["data"].format(**facts, batch=options.batch, lr=options.lr, seed=options.seed))
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    status, complaint = 0, None
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=len(training.loader))
        try:
            for epoch in range(1, options.epochs + 1):
                bar.reset(task, description=say["training"].format(epoch=epoch, epochs=options.epochs))
                start = time.perf_counter()
                loss = training.epoch(lambda: bar.advance(task))
                accuracy = training.measure()
                training.history.append((loss, accuracy))
                line = {"loss": loss, "accuracy": accuracy, "seconds": time.perf_counter() - start}
                console.print(say["epoch"].format(epoch=epoch, epochs=options.epochs, width=len(str(options.epochs)), **line))
        except KeyboardInterrupt:
            status = 130
        except Divergence as error:
            status, complaint = 1, error
    accuracies = [accuracy for _, accuracy in training.history]
    last = training.measure() if status else accuracies[-1]
    if status == 130:
        console.print(say["interrupted"].format(epoch=len(accuracies) + 1, last=last))
    elif status == 0:
        best = max(accuracies)
        console.print(say["done"].format(last=last, epochs=options.epochs, best=best, at=accuracies.index(best) + 1))
    torch.save(training.checkpoint(), options.out / "checkpoint.pt")
    console.print(say["wrote"].format(path=options.out / "checkpoint.pt"))
    picture.draw(training, say, say["title"].format(last=last, test=facts["test"]), options.out / "training.png")
    console.print(say["wrote"].format(path=options.out / "training.png"))
    if complaint is not None:
        raise complaint
    return status
