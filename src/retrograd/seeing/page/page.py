"""Writes a record into one file of HTML: styles, programs, the layout library and the numbers are all in it.

The programs in `front/` are ES modules; one after the other, without their imports and exports, they are one. The page's policy lets
nothing run or load but what it holds, known by its hash.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

from retrograd.seeing.language import known_language
from retrograd.seeing.page.data import data_of
from retrograd.seeing.page.page_texts import PAGE
from retrograd.seeing.record import Record

PROGRAMS = (
    "tools",
    "state",
    "ask",
    "arrays",
    "shapes",
    "layout",
    "view",
    "far",
    "graph",
    "parts",
    "jacobians",
    "chain",
    "panel",
    "walk",
    "live",
    "main",
)  # each imports from those before it
LAYOUT = "dagre-3.1.3.min.js"
LINES_OF_MODULES = re.compile(r"^(import [^;]*;\n|export (?=(async )?(function|const|let|class) ))", re.MULTILINE)


def page(record: Record, language: str | None = None, title: str = "Retrograd") -> str:
    """The page of a record, in one piece: it needs no network, and loads nothing.

    Args:
        language: "en" or "es", which the reader can switch; None: the locale's.
        title: what the page is called.

    Raises:
        ValueError: if there are no texts in the language.

    >>> import retrograd as torch
    >>> with torch.see() as record:
    ...     loss = (torch.ones(2, requires_grad=True) * 3).sum()
    ...     loss.backward()
    >>> page(record, "en").startswith("<!doctype html>")
    True
    """
    return html_of(data_of(record), known_language(language), title)


def html_of(data: dict[str, Any], language: str, title: str, live: str | None = None) -> str:
    """The page of some data. `live`: where it can ask for what came since."""
    styles, program, layout = front("page.css"), joined(), layout_library()
    asks = "'self'" if live else "'none'"
    policy = (
        f"default-src 'none'; script-src {hash_of(program)} {hash_of(layout)}; style-src {hash_of(styles)}; "
        f"img-src data: blob:; worker-src blob:; connect-src {asks}; base-uri 'none'; form-action 'none'"
    )
    filled = {
        "language": language,
        "policy": escape(policy),
        "title": escape(title),
        "styles": styles,
        "data": embedded(data | {"title": title, "language": language, "texts": PAGE, "live": live}),
        "layout": layout,
        "program": program,
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda m: filled[m[1]], front("template.html"))


def embedded(data: dict[str, Any]) -> str:
    """JSON that can stand within a script element: whatever its texts are, none of them ends it."""
    return json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def hash_of(text: str) -> str:
    """How a policy names a program or styles within the page."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def front(name: str) -> str:
    """A file of the front end."""
    return files("retrograd.seeing.page").joinpath("front", name).read_text("utf-8")


@cache
def joined() -> str:
    """The programs as one."""
    return "\n".join(LINES_OF_MODULES.sub("", front(f"{name}.js")) for name in PROGRAMS)


@cache
def layout_library() -> str:
    """The layout library, with its licence."""
    folder = files("retrograd.seeing.page").joinpath("vendor")
    licence = folder.joinpath("LICENCE-dagre.txt").read_text("utf-8")
    return f"/* {LAYOUT}\n{licence}*/\n{folder.joinpath(LAYOUT).read_text('utf-8')}"
