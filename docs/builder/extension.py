"""What the guide adds to Sphinx.

- A comment `<!-- errors: backward -->` or `<!-- reference: nn -->` in a page stands for what `errors` and `reference` generate,
  `<!-- output: examples/from_scratch.py -->` for what a program prints, and `<!-- see -->` for the interactive page, where
  scripts/docs has made one.
- Formulas become MathML, which browsers show by themselves.
- Docstrings are read as this library writes them (`docstrings`).
- Templates know the same page in the other language.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.domains.python import PyObject

from docs.builder import errors, reference
from docs.builder.docstrings import converted
from docs.builder.texts import WORDS

MARK = re.compile(r"<!-- (errors|reference|output|see)(?:: ([\w/.-]+))? -->")
ROOT = Path(__file__).parent.parent.parent
SEE = "see"  # folder of the interactive pages, beside those of the languages


def fill(app: Sphinx, document: str, source: list[str]) -> None:
    """Puts in what the marks of a page stand for."""
    language = app.config.language

    def generated(mark: re.Match[str]) -> str:
        kind, name = mark[1], mark[2]
        if kind == "errors":
            return errors.page(name, language, WORDS[language])
        if kind == "reference":
            return reference.page(name, language)
        if kind == "output":
            return output(ROOT / name, language)
        return see(app, document, language)

    notebook = str(app.env.doc2path(document)).endswith(".ipynb")
    source[0] = MARK.sub((lambda mark: json.dumps(generated(mark))[1:-1]) if notebook else generated, source[0])


def output(program: Path, language: str) -> str:
    """What a program prints where people speak a language."""
    spoken = {**os.environ, "LC_ALL": f"{language}.UTF-8", "PYTHONUTF8": "1"}
    printed = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, check=True, env=spoken, encoding="utf-8"
    ).stdout
    return f"```text\n{printed}```"


def see(app: Sphinx, document: str, language: str) -> str:
    """A frame with the interactive page, or nothing where there is none."""
    file = Path(app.outdir).parent / SEE / f"{language}.html"
    if not file.exists():
        return ""
    up = "../" * (document.count("/") + 1)
    title = WORDS[language]["see"]
    return f'<iframe class="see" src="{up}{SEE}/{file.name}" title="{title}" loading="lazy"></iframe>'


def formula(translator: Any, node: nodes.math) -> None:
    """A formula in a line of text."""
    translator.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def displayed_formula(translator: Any, node: nodes.math_block) -> None:
    """A formula on lines of its own."""
    translator.body.append(f'<div class="formula">{tex2mathml(node.astext(), as_block=True)}</div>\n')
    raise nodes.SkipNode


def read_docstring(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Before napoleon sees it."""
    lines[:] = converted(lines, what in ("attribute", "property", "data"))


def translate(app: Sphinx, config: Config) -> None:
    """What the theme shows in the page's language."""
    config.html_theme_options["search_bar_text"] = WORDS[config.language]["search"]
    for field in PyObject.doc_field_types:
        if field.name == "exceptions":
            field.label = WORDS[config.language]["raises"]
    config.html_title = f"Retrograd: {WORDS[config.language]['tagline']}"


def add_words(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """For the templates: words in the page's language, and the address of this page in the other language."""
    language = app.config.language
    context["words"] = WORDS[language]
    other = "es" if language == "en" else "en"
    target = page if page in app.env.found_docs or page in ("search", "genindex") else "index"
    context["other_language"] = {
        "code": other,
        "name": WORDS[language]["other language"],
        "title": WORDS[language]["this page in the other language"],
        "address": "../" * (page.count("/") + 1) + f"{other}/{target}.html",
    }


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.add_html_math_renderer("mathml", (formula, None), (displayed_formula, None))
    app.connect("config-inited", translate)
    app.connect("source-read", fill)
    app.connect("autodoc-process-docstring", read_docstring, priority=400)
    app.connect("html-page-context", add_words)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
