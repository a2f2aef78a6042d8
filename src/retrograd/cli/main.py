"""The `retrograd` command: reads the options, runs a program, and turns what the user can mend into one line."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import retrograd
from retrograd.cli import bench, lesson, train
from retrograd.cli.texts import LANGUAGES, UserError, default_language


def whole_number(text: str) -> int:
    """An int."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a whole number, got {text!r}") from None


def positive_int(text: str) -> int:
    """An int of at least 1."""
    value = whole_number(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, got {value}")
    return value


def seed(text: str) -> int:
    """A seed that the generator takes."""
    value = whole_number(text)
    if not 0 <= value < 2**64:
        raise argparse.ArgumentTypeError(f"expected 0 to 2**64 - 1, got {value}")
    return value


def positive_number(text: str) -> float:
    """A finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number, got {text!r}") from None
    if not math.isfinite(value) or value <= 0:
        raise argparse.ArgumentTypeError(f"expected a finite number above 0, got {value}")
    return value


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = argparse.ArgumentParser(prog="retrograd", description="Automatic differentiation you can see.", allow_abbrev=False)
    top.add_argument("--version", action="version", version=f"retrograd {retrograd.__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="command")
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--lang", choices=LANGUAGES, default=default_language(), help="language of what is printed (default: the locale's)")
    defaults = train.Options()

    one = commands.add_parser(
        "train", parents=[shared], allow_abbrev=False, help="train the note's network on real handwritten digits",
        description="Trains a network (784 -> 256 -> 10) by backpropagation on real handwritten digits; prints loss and test accuracy of "
        "every epoch, and writes a checkpoint and a picture. Ctrl-C keeps what was trained.",
    )  # fmt: skip
    one.add_argument("--batch", type=positive_int, default=defaults.batch, help="digits in a batch (default: %(default)s)")
    one.add_argument("--epochs", type=positive_int, default=defaults.epochs, help="passes over the training digits (default: %(default)s)")
    one.add_argument("--lr", type=positive_number, default=defaults.lr, help="learning rate (default: %(default)s)")
    one.add_argument(
        "--seed", type=seed, default=defaults.seed, help="of the first weights and of the order of digits (default: %(default)s)"
    )
    one.add_argument(
        "--data", type=Path, default=None, help="folder with MNIST's IDX files (default: the 5,000 digits that come with the package)"
    )
    one.add_argument("--out", type=Path, default=defaults.out, help="folder for checkpoint and picture (default: %(default)s)")

    two = commands.add_parser(
        "lesson", parents=[shared], allow_abbrev=False, help="backpropagation step by step, with the real numbers",
        description="Runs the program of a teaching note step by step, explains each step with the numbers that it gives, and multiplies "
        "the Jacobians of this very network to show that backward() does the same.",
    )  # fmt: skip
    two.add_argument("--seed", type=seed, default=0, help="of all random numbers (default: %(default)s)")
    two.add_argument("--pause", action="store_true", help="wait for Enter after each step")

    three = commands.add_parser(
        "bench", parents=[shared], allow_abbrev=False, help="the time of a few training steps on this machine",
        description="Times a few steps (the note's, elementwise work, a small GPT), compiled and eager, and by PyTorch where it is "
        "installed. All take turns, and what they compute is compared before it is timed.",
    )  # fmt: skip
    three.add_argument("--seconds", type=positive_number, default=2.0, help="length of each row (default: %(default)s)")
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command, and returns its exit status: 0, 1 after an error, 2 for wrong options, 130 after Ctrl-C."""
    given = parser().parse_args(argv)
    try:
        if given.command == "lesson":
            return lesson.run(given.seed, given.lang, given.pause)
        if given.command == "bench":
            return bench.run(given.seconds, given.lang)
        options = train.Options(given.batch, given.epochs, given.lr, given.seed, given.data, given.out)
        return train.run(options, given.lang)
    except BrokenPipeError:  # the reader of our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (UserError, OSError) as error:
        print(f"retrograd: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
