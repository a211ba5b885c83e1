"""Settings of the documentation site; `build.py` copies the pages and calls Sphinx."""

from __future__ import annotations

import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from scraper import figures_and_sliders  # noqa: E402

from untrained import __version__  # noqa: E402

project = "untrained"
author = "The untrained authors"
project_copyright = author
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "mathml",
    "sphinx_click",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["gallery/*.md5", "sg_execution_times.rst"]
default_role = "code"
nitpicky = False
suppress_warnings = ["config.cache", "misc.highlighting_failure", "ref.python"]

myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 4
myst_dmath_double_inline = True

autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_class_signature = "mixed"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_math_renderer = "mathml"
html_theme = "furo"
html_title = f"untrained {version}"
html_static_path = [str(HERE / "_static")]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False

sphinx_gallery_conf = {
    "examples_dirs": [str(HERE / "gallery")],
    "gallery_dirs": ["gallery"],
    "filename_pattern": r"/plot_",
    "image_scrapers": (figures_and_sliders,),
    "capture_repr": (),
    "abort_on_example_error": True,
    "show_memory": False,
    "show_signature": False,
    "download_all_examples": False,
    "remove_config_comments": True,
    "within_subsection_order": "FileNameSortKey",
    "nested_sections": False,
    "write_computation_times": False,
    "min_reported_time": 60,
}

PLAIN = re.compile(r"(`[^`]*`)")
"""What stands in backticks is code in our docstrings, and is left as it is."""


def escape_signs(_app, _what, _name, _obj, _options, lines: list[str]) -> None:
    """Escape what our docstrings write as plain text and reStructuredText reads as markup."""
    formula = -1
    for i, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if line.strip().startswith(".. math::"):
            formula = indent
        elif formula >= 0 and line.strip() and indent <= formula:
            formula = -1
        if formula < 0:
            lines[i] = "".join(
                part if part.startswith("`") else re.sub(r"([|*]|(?<=\w)_(?=\W|$))", r"\\\1", part)
                for part in PLAIN.split(line)
            )


def escape_help(_app, _context, lines: list[str]) -> None:
    """Escape the same signs in the help texts of the command line."""
    for i, line in enumerate(lines):
        if not line.lstrip().startswith((".. ", ":")):
            lines[i] = re.sub(r"(?<!\\)([|*])", r"\\\1", line)


def setup(app) -> None:
    """Escape docstrings before napoleon reads their sections, and help texts."""
    app.connect("autodoc-process-docstring", escape_signs, priority=100)
    for part in ("description", "options", "arguments", "epilog"):
        app.connect(f"sphinx-click-process-{part}", escape_help)
