"""The errors of the guide: each wrong program raises what the guide says, and each right one runs."""

from __future__ import annotations

import pytest

from docs.builder.errors import THEMES, Mistake, mistakes, outcome, page, shown
from docs.builder.texts import WORDS

CASES = [pytest.param(case, id=f"{theme}-{case.name}") for theme in THEMES for case in mistakes(theme)]


@pytest.mark.parametrize("case", CASES)
def test_the_wrong_program_raises_just_that(case: Mistake):
    """The exception's own class, and the phrase in its message or its notes."""
    assert case.says
    error = outcome(case.wrong, "wrong.py")
    assert error is not None
    assert type(error).__name__ == case.raises
    assert case.says in shown(error)


@pytest.mark.parametrize("case", CASES)
def test_the_right_program_runs(case: Mistake):
    """Without an error and without a warning."""
    error = outcome(case.right, "right.py")
    assert error is None, shown(error)


@pytest.mark.parametrize("case", CASES)
def test_it_is_explained_in_both_languages(case: Mistake):
    """A title and a reason; no text is left from one language in the other."""
    for text in case.texts.values():
        assert set(text) == {"title", "why"}
        assert text["title"]
        assert text["why"]
    assert case.texts["en"]["title"] != case.texts["es"]["title"]
    assert case.texts["en"]["why"] != case.texts["es"]["why"]


@pytest.mark.parametrize("language", ["en", "es"])
def test_the_page_has_programs_and_the_librarys_message(language: str):
    """What is generated holds both programs and the message as it is raised now."""
    text = page("optim", language, WORDS[language])
    for case in mistakes("optim"):
        error = outcome(case.wrong, "wrong.py")
        assert error is not None
        assert case.wrong in text
        assert case.right in text
        assert shown(error) in text
        assert case.texts[language]["why"] in text
