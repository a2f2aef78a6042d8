"""The commands, run as a user runs them."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import retrograd as torch
from retrograd.cli.lesson_texts import STEPS
from retrograd.cli.main import main
from retrograd.cli.texts import TRAIN, default_language
from retrograd.cli.train import Training


def test_train_learns_the_digits(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Above 95 % within ten epochs; a checkpoint that gives the network back, and a picture."""
    assert main(["train", "--out", str(tmp_path), "--lang", "en"]) == 0
    printed = capsys.readouterr().out
    accuracies = [float(line.split("accuracy")[1].split("%")[0]) for line in printed.splitlines() if line.startswith("epoch")]
    assert len(accuracies) == 10
    assert max(accuracies) > 95
    saved = torch.load(tmp_path / "checkpoint.pt")
    net = torch.nn.Sequential(torch.nn.Linear(784, 256), torch.nn.ReLU(), torch.nn.Linear(256, 10))
    net.load_state_dict(saved["model"])
    images, labels = torch.datasets.load_digits(train=False)
    answers = net(torch.from_numpy(images.reshape(-1, 784) / 255).float()).argmax(1)
    assert float((answers == torch.from_numpy(labels)).float().mean()) * 100 == pytest.approx(accuracies[-1], abs=0.06)
    assert saved["history"]["accuracy"][-1] == pytest.approx(accuracies[-1], abs=0.06)
    assert (tmp_path / "training.png").read_bytes().startswith(b"\x89PNG")


def test_train_with_one_seed_is_the_same_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Seed, batch, epochs and rate decide the result; Spanish changes the words only."""
    for name, language in (("a", "en"), ("b", "es")):
        assert (
            main(
                [
                    "train",
                    "--out",
                    str(tmp_path / name),
                    "--epochs",
                    "1",
                    "--batch",
                    "100",
                    "--seed",
                    "3",
                    "--lr",
                    "0.2",
                    "--lang",
                    language,
                ]
            )
            == 0
        )
    assert "pérdida" in capsys.readouterr().out
    first, second = (torch.load(tmp_path / name / "checkpoint.pt")["model"]["0.weight"] for name in "ab")
    assert torch.equal(first, second)


def test_ctrl_c_keeps_what_was_trained(tmp_path: Path):
    """The checkpoint and the picture are written, and the exit status is that of an interrupted program."""
    command = [sys.executable, "-c", "import sys; from retrograd.cli.main import main; sys.exit(main(sys.argv[1:]))"]
    process = subprocess.Popen(
        [*command, "train", "--epochs", "100000", "--out", str(tmp_path), "--lang", "en"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("epoch"):
            break
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=60)[0]
    assert process.returncode == 130
    assert "interrupted" in rest
    assert len(torch.load(tmp_path / "checkpoint.pt")["history"]["loss"]) >= 1
    assert (tmp_path / "training.png").exists()


def test_a_rate_too_high_ends_with_a_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """The loss is no number any more: said so, and what was trained is kept."""
    assert main(["train", "--out", str(tmp_path), "--lr", "1e20", "--lang", "en"]) == 1
    assert "learning rate" in capsys.readouterr().err
    assert (tmp_path / "checkpoint.pt").exists()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["train", "--batch", "0"], "at least 1"), (["train", "--epochs", "two"], "whole number"), (["train", "--lr", "nan"], "finite"),
        (["train", "--lr", "-1"], "above 0"), (["train", "--seed", "-1"], "0 to 2"), (["train", "--speed", "9"], "unrecognized arguments"),
        (["sing"], "invalid choice"), ([], "required"), (["lesson", "--lang", "fr"], "invalid choice"),
    ],
)  # fmt: skip
def test_wrong_options(arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]):
    """Exit status 2, and what was expected."""
    with pytest.raises(SystemExit) as found:
        main(arguments)
    assert found.value.code == 2
    assert complaint in capsys.readouterr().err


def test_a_folder_without_digits(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Exit status 1, and what is missing."""
    assert main(["train", "--data", str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    assert "train-images-idx3-ubyte" in capsys.readouterr().err


@pytest.mark.parametrize("language", ["en", "es"])
def test_lesson(language: str, capsys: pytest.CaptureFixture[str]):
    """All steps, in the language asked for; the chain of Jacobians gives what backward gives."""
    assert main(["lesson", "--lang", language, "--seed", "4"]) == 0
    printed = capsys.readouterr().out
    for heading in STEPS[language]["headings"].values():
        assert heading in printed
    assert "None" in printed
    assert "tensor([0., 0., 0., 0., 0., 0., 0., 0., 0., 0.])" in printed
    product, backward = (
        next(line.split(" (")[1] for line in printed.splitlines() if mark in line and " (" in line) for mark in STEPS_OF_CHAIN[language]
    )
    assert product == backward
    assert "{" not in printed


STEPS_OF_CHAIN = {"en": ("by this product:", "by backward():"), "es": ("con este producto:", "con backward():")}


def test_texts_are_complete():
    """Both languages say the same things."""
    assert TRAIN["en"].keys() == TRAIN["es"].keys()
    assert STEPS["en"].keys() == STEPS["es"].keys()
    assert STEPS["en"]["headings"].keys() == STEPS["es"]["headings"].keys()


def test_language_of_the_locale(monkeypatch: pytest.MonkeyPatch):
    """The first of LC_ALL, LC_MESSAGES and LANG that is set decides."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    assert default_language() == "en"
    monkeypatch.setenv("LANG", "es_AR.UTF-8")
    assert default_language() == "es"
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    assert default_language() == "en"


def test_an_interruption_while_accuracy_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """The epoch that was not over does not count, and everything is written."""
    measure, calls = Training.measure, itertools.count()

    def interrupted(self: Training) -> float:
        if next(calls) == 1:
            raise KeyboardInterrupt
        return measure(self)

    monkeypatch.setattr(Training, "measure", interrupted)
    assert main(["train", "--epochs", "3", "--out", str(tmp_path), "--lang", "en"]) == 130
    history = torch.load(tmp_path / "checkpoint.pt")["history"]
    assert [len(history["loss"]), len(history["accuracy"])] == [1, 1]
    assert (tmp_path / "training.png").exists()
    assert "interrupted" in capsys.readouterr().out
