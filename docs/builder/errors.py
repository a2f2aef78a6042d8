"""The errors of the guide: the tables in `docs/errors`, their programs run, and the page made from what these raise.

The tests run every program too (`tests/guide/test_errors.py`).
"""

from __future__ import annotations

import contextlib
import io
import tomllib
import traceback
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent.parent / "errors"
THEMES = ("backward", "tensors", "modules", "optim", "compile")


@dataclass(frozen=True)
class Mistake:
    """One error: a program that makes it, one that does not, and what is said of it in each language."""

    name: str
    raises: str
    says: str
    wrong: str
    right: str
    texts: dict[str, dict[str, str]]


def mistakes(theme: str) -> list[Mistake]:
    """The errors of one table, in its order."""
    rows = tomllib.loads((FOLDER / f"{theme}.toml").read_text(encoding="utf-8"))
    return [mistake(name, row) for name, row in rows.items()]


def mistake(name: str, row: dict[str, Any]) -> Mistake:
    """One row of a table."""
    texts = {language: {k: v.strip() for k, v in row[language].items()} for language in ("en", "es")}
    return Mistake(name, row["raises"], row["says"], row["wrong"].strip(), row["right"].strip(), texts)


def outcome(program: str, file: str) -> BaseException | None:
    """What a program raises. A warning counts as an error, and nothing is printed."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("error")
        try:
            exec(compile(program, file, "exec"), {"__name__": "__main__"})
        except Exception as error:
            return error
    return None


def shown(error: BaseException) -> str:
    """The last lines of the traceback: type, message and notes."""
    return "".join(traceback.format_exception_only(error)).strip()


def page(theme: str, language: str, words: dict[str, str]) -> str:
    """The errors of a theme as Markdown, with the messages that their programs give now."""
    sections = []
    for case in mistakes(theme):
        error = outcome(case.wrong, "wrong.py")
        if error is None:
            raise RuntimeError(f"the wrong program of {theme}.{case.name} raises nothing")
        text = case.texts[language]
        sections.append(
            f"({case.name})=\n### {text['title']}\n\n{text['why']}\n\n"
            f"{words['wrong']}\n\n```python\n{case.wrong}\n```\n\n```{{code-block}} text\n:class: message\n\n{shown(error)}\n```\n\n"
            f"{words['right']}\n\n```python\n{case.right}\n```\n"
        )
    return "\n".join(sections)
