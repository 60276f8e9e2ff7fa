"""Configuration of the documentation site: ``python -m sphinx -W -b html docs site``, with the extra ``docs``."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent)]

import harness  # noqa: E402

project = "sr-harness"
author = "The sr-harness contributors"
version = release = harness.__version__
extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "myst_parser", "project_pages"]
exclude_patterns = ["_ext"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4
autodoc_typehints = "none"  # the signatures have them
autodoc_member_order = "bysource"
napoleon_google_docstring = False
html_theme = "pydata_sphinx_theme"
html_title = "sr-harness"
html_show_sourcelink = False
html_copy_source = False
html_static_path: list[str] = []
html_theme_options = {
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": [],
    "footer_end": [],
    "header_links_before_dropdown": 6,
}
html_context = {"default_mode": "auto"}  # light or dark as the reader's system; without it, the theme logs an error
suppress_warnings = ["config.cache"]
