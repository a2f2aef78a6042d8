"""Which language to speak, English or Spanish, and how it writes numbers."""

from __future__ import annotations

import os

LANGUAGES = ("en", "es")


def default_language() -> str:
    """The language of the locale, if there are texts in it; else English."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if value := os.environ.get(name):
            return value[:2].lower() if value[:2].lower() in LANGUAGES else "en"
    return "en"


def known_language(language: str | None) -> str:
    """The language itself; of None, the locale's.

    Raises:
        ValueError: if there are no texts in it.

    >>> known_language("es")
    'es'
    """
    if language is None:
        return default_language()
    if language not in LANGUAGES:
        raise ValueError(f"language must be one of {', '.join(LANGUAGES)}, got {language!r}")
    return language


def grouped(n: int, language: str) -> str:
    """A whole number with its digits in groups of three: by commas in English, by blanks (from 10 000 on) in Spanish."""
    if language == "es":
        return f"{n:,}".replace(",", "\N{NO-BREAK SPACE}") if n >= 10_000 else str(n)
    return f"{n:,}"
