"""The `retrograd` command: reads the options, runs a program, and turns what the user can mend into one line."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import retrograd
from retrograd.cli import bench, lesson, see, train
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
    add_seeing(commands, shared)
    return top


def add_seeing(commands: Any, shared: argparse.ArgumentParser) -> None:
    """The commands that watch a program."""
    watch = argparse.ArgumentParser(add_help=False)
    watch.add_argument("program", type=Path, help="a Python program that trains something")
    watch.add_argument("arguments", nargs=argparse.REMAINDER, help="what the program is given").required = False
    watch.add_argument("--every", type=positive_int, default=1, metavar="N", help="watch the first of so many steps only (default: 1)")
    watch.add_argument("--keep", type=positive_int, default=8, metavar="N", help="steps, the last, that are kept whole (default: 8)")
    watch.add_argument(
        "--limit", type=positive_int, default=1_000_000, metavar="N", help="summarise tensors with more elements (default: 1000000)"
    )
    watch.add_argument("--steps", type=positive_int, metavar="N", help="end the program when so many steps were watched")
    watch.add_argument("--as-torch", action="store_true", help="the program's `import torch` gets Retrograd, for this run only")

    four = commands.add_parser(
        "see", parents=[shared, watch], allow_abbrev=False, help="run a program, and see what its backpropagation did",
        description="Runs a Python program as it is and watches it: then prints what is wrong with it, each parameter before and after, and "
        "what flowed through the layers. Options stand before the program or right after it; what follows is the program's own, and "
        "all that follows --.",
    )  # fmt: skip
    four.add_argument("--to", metavar="NAME", help="print the chain of Jacobians from the loss to this tensor")
    four.add_argument("--page", type=Path, metavar="FILE", help="write a page that shows it all, step by step")
    four.add_argument("--open", action="store_true", help="write the page, and open it in the browser")
    four.add_argument("--picture", type=Path, metavar="FILE", help="write pictures, .svg or .png: the graph, and beside it ledger and flow")
    four.add_argument("--board", type=Path, metavar="FOLDER", help="write event files for TensorBoard as steps finish")

    five = commands.add_parser(
        "page", parents=[shared, watch], allow_abbrev=False, help="run a program, and watch its page live in the browser",
        description="Runs a Python program as it is, and serves a page that shows each step as it happens, to this machine alone. Ctrl-C ends it.",
    )  # fmt: skip
    five.add_argument("--port", type=whole_number, default=0, help="where to listen (default: any port that is free)")
    five.add_argument("--open", action="store_true", help="open the page in the browser")


def with_options_first(argv: Sequence[str], arguments: Sequence[str]) -> list[str]:
    """The command line with options of `see` and `page` that stand right after the program before it.

    `arguments` are those of the program as they were read: the end of `argv`.
    """
    flags = {f"--{f.name.replace('_', '-')}" for f in fields(see.Options) if f.type == "bool"}
    valued = {f"--{f.name.replace('_', '-')}" for f in fields(see.Options)} - flags | {"--lang"}
    at = 0
    while at < len(arguments):
        name, sign, _ = arguments[at].partition("=")
        if name not in flags | valued:
            break
        at += 2 if name in valued and not sign else 1
    program = len(argv) - len(arguments) - 1
    if argv[program] == "--":  # which the parser has left out
        return list(argv)
    rest = arguments[at + 1 :] if arguments[at : at + 1] == ["--"] else arguments[at:]
    return [*argv[:program], *arguments[:at], argv[program], "--", *rest]


def seeing_options(given: argparse.Namespace) -> see.Options:
    """What was asked for of the commands that watch a program."""
    asked = {
        name: x
        for name, x in vars(given).items()
        if name in ("every", "keep", "limit", "steps", "as_torch", "open", "page", "picture", "board", "to", "port")
    }
    return see.Options(given.program, given.arguments, given.lang, **asked)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command, and returns its exit status: 0, 1 after an error, 2 for wrong options, 130 after Ctrl-C."""
    argv = list(sys.argv[1:] if argv is None else argv)
    given = parser().parse_args(argv)
    if given.command in ("see", "page"):
        given = parser().parse_args(with_options_first(argv, given.arguments))
    try:
        if given.command == "lesson":
            return lesson.run(given.seed, given.lang, given.pause)
        if given.command == "bench":
            return bench.run(given.seconds, given.lang)
        if given.command == "see":
            return see.run(seeing_options(given))
        if given.command == "page":
            return see.serve_page(seeing_options(given))
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
