"""Settings of Sphinx for both languages; scripts/docs gives the language and its folder of pages."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent.parent))

import retrograd  # noqa: E402

project = "Retrograd"
author = "The Retrograd developers"
copyright = author
version = release = retrograd.__version__
language = "en"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "docs.builder.extension"]
myst_enable_extensions = ["dollarmath", "colon_fence", "attrs_inline"]
myst_heading_anchors = 3
nb_execution_mode = "force"  # the numbers on a page are those of this library, now
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True
nb_ipywidgets_js = {}  # nothing is loaded from elsewhere
html_math_renderer = "mathml"

default_role = "code"
highlight_options = {"python": {"stripnl": True}}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
python_display_short_literal_types = True
python_maximum_signature_line_length = 100
napoleon_numpy_docstring = False
napoleon_use_rtype = False
toc_object_entries_show_parents = "hide"

html_theme = "pydata_sphinx_theme"
html_title = "Retrograd"
html_static_path = [str(HERE / "static")]
html_css_files = ["guide.css"]
templates_path = [str(HERE / "templates")]
html_show_sourcelink = False
html_sidebars = {"*": []}  # pages of the first level have nothing beside them
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system
html_theme_options = {
    "logo": {"text": "Retrograd"},
    "navbar_end": ["theme-switcher"],
    "article_header_end": ["notebook"],
    "navbar_persistent": ["language", "search-button-field"],
    "navbar_align": "left",
    "header_links_before_dropdown": 7,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": [],
    "footer_end": [],
    "show_toc_level": 2,
}
