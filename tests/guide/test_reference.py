"""The reference: every public name has a place and a heading in both languages, and its docstring is read as it is meant."""

from __future__ import annotations

import inspect

import pytest

import retrograd
from docs.builder import reference
from docs.builder.docstrings import converted
from docs.builder.texts import HEADINGS, WORDS

# Where a name of `retrograd` stands if not among its functions.
ELSEWHERE = {
    "Tensor",
    "compile",
    "see",
    "vmap",
    "enable_grad",
    "no_grad",
    "inference_mode",
    "set_grad_enabled",
    "is_grad_enabled",
    "is_inference_mode_enabled",
}


def test_every_name_has_one_place():
    """All functions and classes of `retrograd`, each on one page; those of the other modules too."""
    found = list(reference.names())
    assert len(found) == len(set(found))
    expected = {
        f"retrograd.{name}"
        for name, value in vars(retrograd).items()
        if not name.startswith("_") and (inspect.isclass(value) or inspect.isroutine(value)) and name not in ELSEWHERE
    }
    assert {path for path in found if path.count(".") == 1} == expected


@pytest.mark.parametrize("name", ["vmap", "no_grad", "set_grad_enabled"])
def test_what_stands_elsewhere_is_there(name: str):
    """The modes are described with `autograd`, `vmap` with `func`."""
    assert any(path.endswith(f".{name}") for path in reference.names())


@pytest.mark.parametrize("page", [*reference.FUNCTION_PAGES, "library", *reference.MODULE_PAGES])
def test_headings_exist(page: str):
    """A module without a heading in docs/builder/texts.py would fail the build."""
    groups = reference.of_modules(reference.MODULE_PAGES[page]) if page in reference.MODULE_PAGES else reference.functions(page)
    assert groups
    for where in groups:
        assert len(HEADINGS[where]) == 2, f"docs/builder/texts.py has no heading in both languages for {where}"


def test_words_exist_in_both_languages():
    """What one language says the other says too."""
    assert set(WORDS["en"]) == set(WORDS["es"])


def test_tensors_attributes_are_listed():
    """Each once: its own with its docstring, or as a function."""
    own, shared = reference.tensor_methods()
    assert not set(own) & set(shared)
    assert set(own) | set(shared) == {name for name in vars(retrograd.Tensor) if not name.startswith("_")}
    page = reference.page("tensor", "en")
    assert "automethod:: retrograd.Tensor.backward" in page
    assert "{py:func}`exp <retrograd.exp>`" in page


def test_docstrings_are_read_as_they_are_meant():
    """Code, signs, sections, examples and indented lines."""
    lines = [
        "One `a_b` and *x* or y_.",
        "",
        "Args:",
        "    x: the `value` *",
        "",
        "    kept  as it is",
        "",
        ">>> f(x)  # *",
        "tensor(*)",
        "",
        "After_ it.",
    ]
    assert converted(lines) == [
        "One ``a_b`` and \\*x\\* or y\\_.", "", "Args:", "    x: the ``value`` \\*", "", "    kept  as it is", "", ">>> f(x)  # *", "tensor(*)", "",
        "After\\_ it.",
    ]  # fmt: skip
    assert converted(["Text:", "", "    y = a * b_", "", "More."]) == ["Text:", "", "::", "", "    y = a * b_", "", "More."]


def test_a_colon_ends_no_type():
    """In what is returned, and in what an attribute is."""
    assert converted(["Returns:", "    a function: call it.", "    More."]) == ["Returns:", "    : a function: call it.", "    More."]
    assert converted(["The transpose: `x.T`."], attribute=True) == [": The transpose: ``x.T``."]
