"""The notebooks of the guide: they run from the first cell to the last, in both languages, and are kept without outputs."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parent.parent.parent / "docs"
NOTEBOOKS = sorted(DOCS.glob("e[ns]/*.ipynb"))
NAMES = sorted({path.name for path in NOTEBOOKS})


def cells(path: Path, kind: str) -> list[str]:
    """The sources of a notebook's cells of a kind."""
    content = json.loads(path.read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == kind]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_it_runs(path: Path, tmp_path: Path):
    """Each cell, in order, in a kernel of its own; the assertions in them are the test."""
    nbclient = pytest.importorskip("nbclient", reason="nbclient runs notebooks: pip install 'retrograd[test]'")
    pytest.importorskip("ipykernel", reason="ipykernel runs notebooks' cells: pip install 'retrograd[test]'")
    nbformat = pytest.importorskip("nbformat")
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_outputs_are_not_kept(path: Path):
    """Numbers on a page come from running it."""
    content = json.loads(path.read_text(encoding="utf-8"))
    for cell in content["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
    assert set(content["metadata"]) == {"kernelspec", "language_info"}


class Wordless(ast.NodeTransformer):
    """Leaves out what a reader reads: strings, and the text of f-strings."""

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        return ast.Constant("") if isinstance(node.value, str) else node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> Any:
        self.generic_visit(node)
        node.values = [value for value in node.values if isinstance(value, ast.FormattedValue)]
        return node


@pytest.mark.parametrize("name", NAMES)
def test_both_languages_run_one_program(name: str):
    """The code differs in words alone, and there is a text for each text."""
    english, spanish = (DOCS / language / name for language in ("en", "es"))
    assert len(cells(english, "markdown")) == len(cells(spanish, "markdown"))
    programs = [[ast.dump(Wordless().visit(ast.parse(code))) for code in cells(path, "code")] for path in (english, spanish)]
    assert programs[0] == programs[1]
