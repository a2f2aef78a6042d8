"""Docstrings as this library writes them, turned into what Sphinx reads: plain sentences, `code` between single backticks, examples
after `>>>`, indented lines as they are, and sections such as `Args:` that napoleon understands.
"""

from __future__ import annotations

import re

SECTIONS = ("Args:", "Attributes:", "Raises:", "Returns:", "Yields:")
UNTYPED = ("Returns:", "Yields:")
CODE = re.compile(r"(`+[^`]+`+)")
SPECIAL = re.compile(r"([*|\\]|_(?!\w))")
ENTRY = re.compile(r"(\s+[*\w., ]+: )(.*)")


def text(line: str) -> str:
    """A line of prose: code between double backticks, and no character that would mean something else."""
    parts = CODE.split(line)
    return "".join(f"``{part.strip('`')}``" if i % 2 else SPECIAL.sub(r"\\\1", part) for i, part in enumerate(parts))


def converted(lines: list[str], attribute: bool = False) -> list[str]:
    """All lines of a docstring. The colon of an attribute's first sentence does not end a type."""
    out: list[str] = []
    section, verbatim = False, False
    if attribute and lines:
        return [f": {text(lines[0])}", *converted(lines[1:])]
    for line in lines:
        blank, indented = not line.strip(), line.startswith("    ")
        if blank:
            verbatim = verbatim and not out[-1].lstrip().startswith((">>>", "...")) and out[-1] != ""
            out.append("")
        elif line.lstrip().startswith(">>>"):
            section, verbatim = False, True
            out.append(line)
        elif verbatim and (indented or out[-1]):
            out.append(line)
        elif line in SECTIONS:
            section, verbatim = True, False
            out.append(line)
        elif section and indented:
            entry = ENTRY.fullmatch(line)
            if out[-1] in UNTYPED:  # what comes before a colon is no type
                out.append(f"    : {text(line.strip())}")
            else:
                out.append(entry[1] + text(entry[2]) if entry else text(line))
        elif indented and out and out[-1] == "":
            verbatim = True
            out += ["::", "", line]
        else:
            section = verbatim = False
            out.append(text(line))
    return out
