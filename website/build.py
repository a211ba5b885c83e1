"""Build the documentation site: `python website/build.py [--quick] [OUT]`.

The pages of the repository are copied to a folder of their own, where the pages that only the site
has are written beside them: contents, API, command line, citations. A warning is an error. Nothing
is fetched. `--quick` shows the examples of the gallery without running them.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))

SECTIONS: dict[str, list[str]] = {
    "Start": ["docs/get-started", "docs/choose"],
    "How-to": [
        *("docs/files", "docs/python", "docs/report", "docs/operators", "docs/stopping"),
        *("docs/uncertainty", "docs/bench", "docs/trouble", "docs/low-data", "docs/priors"),
        *("docs/own-priors", "docs/eit"),
    ],
    "Gallery": ["gallery/index"],
    "Understand": ["docs/primer", "docs/overfitting", "docs/labs"],
    "Methods": ["docs/methods/README"],
    "Benchmarks": [
        *("docs/results", "docs/papers", "docs/board", "docs/hybrids", "docs/trained-or-untrained"),
        "benchmarks/README",
    ],
    "Limits": ["docs/limits", "docs/open-questions"],
    "Reference": [
        "reference/api",
        "reference/cli",
        "reference/citing",
        "CHANGELOG",
        "CONTRIBUTING",
    ],
}
"""Heading in the side bar -> pages. A page of docs/ that is not named here is added to How-to."""

COPIED = ("docs", "examples", "benchmarks/README.md", "CHANGELOG.md", "CONTRIBUTING.md")
API = {
    "untrained": "The calls most people need",
    "untrained.physics": "Operators",
    "untrained.methods": "Methods",
    "untrained.nets": "Networks",
    "untrained.rules": "Rules: when to stop, and which image is returned",
    "untrained.uncertainty.settings": "Error bars",
    "untrained.pretrain": "Learned weights",
    "untrained.priors": "Pre-trained networks",
    "untrained.metrics": "Measures",
    "untrained.picture": "Panels of the report",
    "untrained.lab": "The labs",
}
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s#:]+)((?:#[^)]*)?)\)")


def pages_by_section() -> dict[str, list[str]]:
    """Return the sections, with every page of docs/ in one of them.

    Raises:
        SystemExit: a page is named that does not exist.
    """
    sections = {name: list(pages) for name, pages in SECTIONS.items()}
    named = {page for pages in sections.values() for page in pages}
    written = {f"docs/{page.stem}" for page in (ROOT / "docs").glob("*.md")}
    sections["How-to"] += sorted(written - named)
    lost = sorted(
        page for page in named if page.startswith("docs/") and not (ROOT / f"{page}.md").exists()
    )
    if lost:
        raise SystemExit(f"website/build.py: no such pages: {', '.join(lost)}")
    return sections


def assemble(source: Path) -> None:
    """Copy the repository's pages, and write those that only the site has."""
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    for name in COPIED:
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, target)
    for page in source.rglob("*.md"):
        page.write_text(_links_kept(page, source), encoding="utf-8")
    (source / "index.md").write_text(_index(), encoding="utf-8")
    methods = source / "docs" / "methods" / "README.md"
    with methods.open("a", encoding="utf-8") as stream:
        stream.write("\n```{toctree}\n:hidden:\n:glob:\n\n*\n```\n")
    reference = source / "reference"
    reference.mkdir()
    (reference / "api.md").write_text(_api(reference), encoding="utf-8")
    (reference / "cli.rst").write_text(CLI, encoding="utf-8")
    (reference / "citing.md").write_text(_citing(), encoding="utf-8")


def _links_kept(page: Path, source: Path) -> str:
    """Return a page whose links to what the site does not have are plain text."""

    def kept(found: re.Match[str]) -> str:
        target = page.parent / found[3]
        if target.is_file() and source in target.resolve().parents:
            return found[0]
        return found[2]

    parts = re.split(r"(^```.*?^```$)", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    return "".join(part if part.startswith("```") else LINK.sub(kept, part) for part in parts)


def _index() -> str:
    """Return the first page: what the library does, where to go, and the contents."""
    text = (HERE / "front.md").read_text(encoding="utf-8")
    for name, pages in pages_by_section().items():
        listed = "\n".join(pages)
        text += f"\n```{{toctree}}\n:hidden:\n:caption: {name}\n\n{listed}\n```\n"
    return text


CLI = """\
Command line
============

Each command and each option, from the program itself. ``untrained COMMAND --help`` prints the same.

.. click:: untrained.cli.commands:commands
   :prog: untrained
   :nested: full
"""


def _api(folder: Path) -> str:
    """Write a page for each public module, and return the page that lists them."""
    import importlib

    listed, seen = [], set[int]()
    for module, title in API.items():
        found = importlib.import_module(module)
        names = list(getattr(found, "__all__", ()))
        lines = [title, "=" * len(title), "", f"``{module}``", ""]
        if names:
            for name in names:
                thing = getattr(found, name)
                if id(thing) not in seen:  # a name that is told on an earlier page
                    lines += _entry(module, name, thing)
                seen.add(id(thing))
        else:
            lines += [f".. automodule:: {module}", "   :members:", ""]
        (folder / f"{module}.rst").write_text("\n".join(lines), encoding="utf-8")
        listed.append(module)
    contents = "\n".join(listed)
    return (
        "# API reference\n\nEverything public, from its docstring. Tensors have the layout "
        "`(B, C, H, W)`; a complex image has two channels, its real and its imaginary part.\n\n"
        f"```{{toctree}}\n:maxdepth: 1\n\n{contents}\n```\n"
    )


def _entry(module: str, name: str, thing: object) -> list[str]:
    """Return the directive that documents one public name; constants and modules have none."""
    import inspect

    if inspect.isclass(thing):
        return [f".. autoclass:: {module}.{name}", "   :members:", ""]
    if inspect.isfunction(thing):
        return [f".. autofunction:: {module}.{name}", ""]
    return []


def _citing() -> str:
    """Return the page of BibTeX entries, one heading for each method."""
    from untrained.methods import METHODS
    from untrained.methods.citing import KEYS, SOFTWARE, entries

    known = entries()
    parts = [
        "# Citing\n\nCite the paper of the method that you ran, and this program. The report of a "
        f"run has the entries of its methods, to copy.\n\n```bibtex\n{known[SOFTWARE]}```\n"
    ]
    rules = {"wmv": "the stop rules `wmv` and `emv`"}
    for name, title in {**{n: c.title for n, c in METHODS.items()}, **rules}.items():
        if KEYS.get(name):
            texts = "\n".join(known[key] for key in KEYS[name])
            parts.append(f"## {name}\n\n{title}\n\n```bibtex\n{texts}```\n")
    return "\n".join(parts)


def build(out: Path, quick: bool = False, strict: bool = True) -> int:
    """Build the site into `out`; returns Sphinx's exit status."""
    from sphinx.cmd.build import build_main

    source = out.with_name(out.name + "-source")
    assemble(source)
    options = [
        "-E",
        "-b",
        "html",
        "-c",
        str(HERE),
        "-q",
        *(["-W", "--keep-going"] if strict else []),
    ]
    if quick:
        options += ["-D", "plot_gallery=0"]
    return int(build_main([*options, str(source), str(out)]))


def main() -> None:
    """Read the command line and build."""
    told = argparse.ArgumentParser(description=__doc__)
    told.add_argument("out", nargs="?", type=Path, default=HERE / "_build")
    told.add_argument("--quick", action="store_true", help="do not run the gallery")
    given = told.parse_args()
    code = build(given.out.resolve(), given.quick)
    print(f"open {given.out}/index.html" if not code else "the site was not built")
    raise SystemExit(code)


if __name__ == "__main__":
    main()
