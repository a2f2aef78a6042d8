"""The guide as a site: it builds without a warning in both languages, and its pages need nothing but themselves."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
OTHER = {"en": "es", "es": "en"}
MISSING = [name for name in ("sphinx", "myst_nb", "pydata_sphinx_theme", "ipykernel") if importlib.util.find_spec(name) is None]


class Page(HTMLParser):
    """What a page loads, what it links to, and what it says of its language."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.language = ""
        self.loads: list[str] = []
        self.links: list[str] = []
        self.switches: list[str] = []
        self.ids: set[str] = set()
        self.formulas = 0
        self.unnamed: list[str] = []  # images and frames that say nothing to who cannot see them
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        self.ids |= {given["id"]} if "id" in given else set()
        self.formulas += tag == "math"
        if (tag == "img" and not given.get("alt")) or (tag == "iframe" and not given.get("title")):
            self.unnamed.append(given["src"])
        if tag == "html":
            self.language = given.get("lang", "")
        elif tag == "a" and "hreflang" in given:
            self.switches.append(given["href"])
        elif tag == "a":
            self.links.append(given.get("href", ""))
        elif tag == "link" and given.get("rel") in ("stylesheet", "preload", "icon"):
            self.loads.append(given["href"])
        elif "src" in given:
            self.loads.append(given["src"])


def sources(language: str) -> set[str]:
    """The pages of a language, without their endings."""
    return {
        p.relative_to(DOCS / language).with_suffix("").as_posix() for p in (DOCS / language).rglob("*") if p.suffix in (".md", ".ipynb")
    }


def test_both_languages_have_the_same_pages():
    """So that the switch always leads somewhere."""
    assert sources("en") == sources("es")
    assert "tutorial" in sources("en")


def test_the_front_page_leads_to_both_languages():
    """By itself, and without scripts."""
    text = (DOCS / "builder" / "index.html").read_text(encoding="utf-8")
    assert 'href="en/index.html"' in text
    assert 'href="es/index.html"' in text


@pytest.mark.skipif(bool(MISSING), reason=f"the guide is built with {', '.join(MISSING)}: pip install 'retrograd[docs]'")
@pytest.mark.parametrize("language", ["en", "es"])
def test_the_site_builds_and_stands_alone(language: str, tmp_path: Path):
    """Warnings are errors; nothing is loaded from elsewhere; what pages load and link to is there; the numbers are a run's."""
    site, see = tmp_path / language, tmp_path / "see" / f"{language}.html"
    see.parent.mkdir()
    call = f"from retrograd.cli.main import main; main(['see', '--lang', '{language}', '--page', {str(see)!r}, 'examples/nota.py'])"
    subprocess.run([sys.executable, "-c", call], check=True, capture_output=True, cwd=ROOT)
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-c", str(DOCS / "builder"), "-D", f"language={language}"]
    done = subprocess.run(
        [*command, "-d", str(tmp_path / "doctrees"), str(DOCS / language), str(site)], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout + done.stderr
    pages = {path: Page(path) for path in sorted(site.rglob("*.html")) if not {"_static", "_sources"} & set(path.relative_to(site).parts)}
    assert {path.relative_to(site).with_suffix("").as_posix() for path in pages} == sources(language) | {"search", "genindex"}
    for path, page in pages.items():
        where = path.relative_to(site)
        assert page.language == language, where
        assert not page.unnamed, where
        assert {(path.parent / target).resolve() for target in page.switches} == {tmp_path.resolve() / OTHER[language] / where}
        for target in page.loads + page.links:
            parts = urlsplit(target)
            if parts.scheme in ("data", "https", "mailto"):
                assert parts.scheme == "data" or target in page.links, f"{where} loads {target}"
                continue
            file = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert file.exists(), f"{where} leads to {target}"
            if parts.fragment and file in pages:
                assert unquote(parts.fragment) in pages[file].ids, f"{where} leads to {target}"
    assert pages[site / "tutorial.html"].formulas > 10
    text = (site / "tutorial.html").read_text(encoding="utf-8")
    assert "grad_fn=&lt;SumBackward0&gt;" in text
    assert "<!-- " not in text.partition("<article")[2].partition("</article>")[0]
    assert "Trying to backward through the graph a second time" in (site / "errors.html").read_text(encoding="utf-8")
    assert "differ by at most" in (site / "from_scratch.html").read_text(encoding="utf-8")
    assert 'id="retrograd.nn.Linear"' in (site / "reference" / "nn.html").read_text(encoding="utf-8")
