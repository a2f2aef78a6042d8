"""Which executor runs programs: machine code. llvmlite is loaded here, when the first program is compiled."""

from __future__ import annotations

import importlib

from retrograd.compile.executor import Executor
from retrograd.compile.graph import Program


def make_executor(program: Program) -> Executor:
    """The executor of a program."""
    machine = importlib.import_module("retrograd.compile.machine")
    executor: Executor = machine.Machine(program)
    return executor
