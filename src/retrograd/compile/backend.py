"""Which executor runs programs."""

from __future__ import annotations

from retrograd.compile.executor import Executor
from retrograd.compile.graph import Program
from retrograd.compile.replay import Replay


def make_executor(program: Program) -> Executor:
    """The executor of a program."""
    return Replay(program)
