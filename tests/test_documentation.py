"""The examples in docstrings run, and what is public is documented."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import retrograd

ROOT = Path(__file__).parent.parent
MODULES = sorted(m.name for m in pkgutil.walk_packages(retrograd.__path__, "retrograd."))


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_run(name: str):
    """What is shown after each `>>>` is what comes."""
    found = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert not found.failed


@pytest.mark.parametrize("name", MODULES)
def test_modules_and_their_functions_say_what_they_are_for(name: str):
    """Each module opens with what it is for; each public function and class has a docstring."""
    module = importlib.import_module(name)
    assert module.__doc__, f"{name} has no docstring"
    for what, thing in vars(module).items():
        mine = getattr(thing, "__module__", None) == name and not what.startswith("_")
        if mine and (inspect.isclass(thing) or inspect.isfunction(thing)):
            assert thing.__doc__, f"{name}.{what} has no docstring"


def test_tensor_methods_are_documented():
    """Each method of a tensor that has a name has a docstring."""
    for name, method in vars(retrograd.Tensor).items():
        if not name.startswith("_") and inspect.isfunction(method):
            assert method.__doc__, f"Tensor.{name} has no docstring"


@pytest.mark.parametrize("page", ["README.md", "docs/compile.md"])
def test_programs_on_pages_run(page: str):
    """Each block of Python runs by itself, and a line that ends with `# text` gives that text."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    for block in blocks:
        names: dict[str, object] = {"__name__": "__main__"}
        exec(compile(block, page, "exec"), names)
        for expression, shown in re.findall(r"^([\w.]+)  # (.*)$", block, re.MULTILINE):
            assert repr(eval(expression, names)) == shown
