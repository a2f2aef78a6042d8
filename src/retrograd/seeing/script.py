"""Runs a program that knows nothing of this: as `python program.py` would, but watched.

With `as_torch`, the program's `import torch` gets this library, for that run only.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.util
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from retrograd.seeing.record import Record, Step
from retrograd.seeing.recorder import Recorder

OURS, THEIRS = "retrograd", "torch"


class Enough(BaseException):
    """So many steps as were asked for have been watched; no error, so programs do not catch it."""


@dataclass(eq=False)
class Outcome:
    """How a program ended."""

    record: Record
    status: int = 0  # what its exit status would have been
    ended: str = "finished"  # or "exited", "crashed", "interrupted", "enough"
    scope: dict[str, Any] = field(default_factory=dict)  # its global variables


class Alias(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports the modules of this library under PyTorch's names."""

    def __init__(self) -> None:
        self.specs: dict[str, ModuleSpec | None] = {}

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """A module of PyTorch's name, if there is one of ours."""
        if name.split(".")[0] != THEIRS:
            return None
        ours = OURS + name[len(THEIRS) :]
        if name != THEIRS and importlib.util.find_spec(ours) is None:
            return None
        return ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Our module itself. Importing it under another name replaces its spec, so that is kept."""
        module = importlib.import_module(OURS + spec.name[len(THEIRS) :])
        self.specs[spec.name] = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """It has run already."""
        module.__spec__ = self.specs[THEIRS + module.__name__[len(OURS) :]]


@contextmanager
def torch_is_ours() -> Iterator[None]:
    """While the block runs, `import torch` gives this library."""
    theirs = {name: module for name, module in sys.modules.items() if name.split(".")[0] == THEIRS}
    for name in theirs:
        del sys.modules[name]
    alias = Alias()
    sys.meta_path.insert(0, alias)
    try:
        yield
    finally:
        sys.meta_path.remove(alias)
        for name in [name for name in sys.modules if name.split(".")[0] == THEIRS]:
            del sys.modules[name]
        sys.modules.update(theirs)


@contextmanager
def as_main(path: Path, arguments: Sequence[str], module: ModuleType) -> Iterator[None]:
    """While the block runs, the interpreter looks as if it had been started with this program."""
    argv, first, main = sys.argv, sys.path[0], sys.modules["__main__"]
    sys.argv, sys.path[0], sys.modules["__main__"] = [str(path), *arguments], str(path.resolve().parent), module
    try:
        yield
    finally:
        sys.argv, sys.path[0], sys.modules["__main__"] = argv, first, main


def run(path: str | Path, arguments: Sequence[str], recorder: Recorder, steps: int | None = None, as_torch: bool = False) -> Outcome:
    """Runs a program under a recorder. A crash is printed to stderr as Python prints it.

    Args:
        path: of the program.
        arguments: what it finds in `sys.argv[1:]`.
        recorder: what `see()` gave.
        steps: end the program when so many steps were watched; None: let it end by itself.
        as_torch: its `import torch` gets this library.

    Raises:
        OSError: if the program cannot be read.
    """
    path = Path(path)
    source = path.read_bytes()
    module = ModuleType("__main__")
    module.__file__ = str(path)
    outcome = Outcome(recorder.record, scope=module.__dict__)

    def enough(step: Step) -> None:
        if recorder.on and steps is not None and recorder.record.watched >= steps:
            raise Enough

    recorder.record.listeners.append(enough)
    try:
        with as_main(path, arguments, module):
            if as_torch:
                with torch_is_ours():
                    watched(source, path, module, recorder, outcome)
            else:
                watched(source, path, module, recorder, outcome)
    finally:
        recorder.record.listeners.remove(enough)
    return outcome


def watched(source: bytes, path: Path, module: ModuleType, recorder: Recorder, outcome: Outcome) -> None:
    """Runs it, and takes down how it ended."""
    try:
        with recorder:
            try:
                exec(compile(source, str(path), "exec"), module.__dict__)
            except SystemExit as leaving:
                outcome.ended, outcome.status = "exited", status_of(leaving)
            except KeyboardInterrupt:
                outcome.ended, outcome.status = "interrupted", 130
            except Enough:
                outcome.ended = "enough"
    except BaseException as error:
        outcome.ended, outcome.status = "crashed", 1
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename != str(path):
            trace = trace.tb_next
        sys.stdout.flush()
        traceback.print_exception(type(error), error.with_traceback(trace), trace)


def status_of(leaving: SystemExit) -> int:
    """The exit status that a program asked for; a message instead goes to stderr, as Python does it."""
    if leaving.code is None or isinstance(leaving.code, int):
        return leaving.code or 0
    print(leaving.code, file=sys.stderr)
    return 1
