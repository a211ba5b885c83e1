"""The documentation site: contents, examples of the gallery, and a build without a warning."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

import untrained as ut

ROOT = Path(__file__).resolve().parents[1]
WEBSITE = ROOT / "website"
EXAMPLES = sorted((WEBSITE / "gallery").glob("plot_*.py"))


def load(name: str) -> ModuleType:
    """Import a script of website/."""
    spec = importlib.util.spec_from_file_location(f"website_{name}", WEBSITE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def build() -> ModuleType:
    """The module website/build.py."""
    return load("build")


@pytest.fixture(scope="module")
def figures() -> ModuleType:
    """The module website/method_figures.py."""
    return load("method_figures")


def test_every_method_is_drawn_or_says_why_not(figures: ModuleType) -> None:
    """Check one row a method, and for each row a small picture that was measured, or a reason."""
    assert set(figures.ROWS) == set(ut.METHODS)
    facts, files = figures.recorded(), set()
    for name, row in figures.ROWS.items():
        path = figures.FIGURES / f"{name}.webp"
        assert (path.exists(), name in facts) == (not row.why_not, not row.why_not), name
        if row.why_not:
            continue
        files.add(path)
        assert path.stat().st_size <= figures.LARGEST
        with Image.open(path) as picture:
            assert picture.width == 900
        assert facts[name]["settings"] == list(row.settings), f"draw {name} again"
        assert facts[name]["learns"] == row.learns
    assert set(figures.FIGURES.glob("*.webp")) == files


def test_every_method_page_shows_its_figures_with_a_text(figures: ModuleType) -> None:
    facts = figures.recorded()
    for page, names in figures.pages().items():
        text = page.read_text(encoding="utf-8")
        told = "run `python website/method_figures.py`"
        assert figures.rewritten(text, names, facts) == text, f"{page.name}: {told}"
        shown = [name for name in names if not figures.ROWS[name].why_not]
        pictures = re.findall(r"!\[([^\]]{40,})\]\(figures/(\w+)\.webp\)", text)
        assert [name for _, name in pictures] == shown


def test_a_small_case_is_drawn(figures: ModuleType, tmp_path: Path) -> None:
    result, text = figures.run("nlbayes")
    figures.draw("nlbayes", result, tmp_path / "nlbayes.webp")
    facts = figures.facts_of("nlbayes", result, text, 0.0)
    assert facts["psnr"] == pytest.approx(figures.recorded()["nlbayes"]["psnr"], abs=0.05)
    assert 5_000 < (tmp_path / "nlbayes.webp").stat().st_size <= figures.LARGEST


def test_every_page_is_in_one_section(build: ModuleType) -> None:
    """Check that a page that nobody named is added to the how-to pages, and none stands twice."""
    sections = build.pages_by_section()
    pages = [page for members in sections.values() for page in members]
    assert len(pages) == len(set(pages))
    written = {f"docs/{page.stem}" for page in (ROOT / "docs").glob("*.md")}
    assert written <= set(pages)


def test_a_page_that_is_lost_is_named(build: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(build.SECTIONS, "How-to", ["docs/no-such-page"])
    with pytest.raises(SystemExit, match="no-such-page"):
        build.pages_by_section()


def test_a_formula_becomes_mathml_and_an_unknown_command_is_an_error() -> None:
    math_core = pytest.importorskip("math_core", reason='the site needs `pip install ".[docs]"`')
    mathml = load("mathml").mathml
    assert mathml(r"\hat x_t", block=False) == mathml(r"{\hat x}_t", block=False)
    assert "<mtable" in mathml(r"a &= b \\ c &= d", block=True)
    with pytest.raises(math_core.LatexError):
        mathml(r"\unheardof{x}", block=True)


def test_links_to_what_the_site_lacks_become_text(build: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# A\n")
    page = tmp_path / "b.md"
    page.write_text("[a](a.md#A), [grids](../grids), [w](w.md)\n```\n[x](y)\n```\n")
    assert build._links_kept(page, tmp_path) == "[a](a.md#A), grids, w\n```\n[x](y)\n```\n"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_short_and_shows_a_figure(path: Path) -> None:
    """Check the parts that the gallery needs: a title, a text, cells, `result` and `figure`."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    title, line, *rest = (ast.get_docstring(tree, clean=False) or "").split("\n")
    assert line == "=" * len(title)
    assert len(" ".join(rest)) > 80, "say what is seen"
    assert "# %%" in text
    names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and type(n.ctx) is ast.Store}
    assert {"result", "figure"} <= names
    assert len(text.splitlines()) <= 60


def test_there_are_examples_of_every_task() -> None:
    used = "".join(path.read_text(encoding="utf-8") for path in EXAMPLES)
    operators = (
        "Denoise Inpaint SuperRes Blur NonlinearBlur CompressedSensing PhaseRetrieval MRI CT EIT"
    )
    assert len(EXAMPLES) >= 12
    assert [name for name in operators.split() if f"physics.{name}(" not in used] == []


@pytest.mark.parametrize(("name", "tables"), [("choose", 6), ("results", 4)])
def test_the_tables_of_choose_and_results_are_those_of_the_rows(name: str, tables: int) -> None:
    import decisions

    page = ROOT / "docs" / f"{name}.md"
    text = page.read_text(encoding="utf-8")
    assert decisions.rewritten(page) == text, "run `python benchmarks/decisions.py`"
    assert len(decisions.MARKS.findall(text)) == tables


class Links(HTMLParser):
    """Links and pictures of a page, its anchors, pictures without a text, and what it loads."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.anchors: set[str] = set()
        self.mute: list[str] = []
        self.loaded: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.anchors |= {value for name in ("id", "name") if (value := given.get(name))}
        target = given.get("href" if tag == "a" else "src")
        if tag in ("a", "img") and target:
            self.targets.append(target)
        source = given.get("href" if tag == "link" else "src")
        if tag in ("script", "link", "img", "iframe", "video") and source:
            self.loaded.append(source)
        if tag == "img" and not given.get("alt"):
            self.mute.append(target or "")


def test_the_site_builds_without_a_warning_and_no_link_is_broken(tmp_path: Path) -> None:
    """Check a build with warnings as errors, then every link and picture inside the site.

    Check also that no page needs a network: it loads nothing from another host, and its formulas
    are MathML. The gallery is not run here: `python website/build.py` does that.
    """
    pytest.importorskip("sphinx_gallery", reason='the site needs `pip install ".[docs]"`')
    command = [sys.executable, str(WEBSITE / "build.py"), "--quick", str(tmp_path / "html")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = {page: Links(page) for page in (tmp_path / "html").rglob("*.html")}
    broken, mute = [], []
    for page, found in pages.items():
        for target in found.targets:
            if re.match(r"[a-z]+:", target):
                continue
            name, _, anchor = target.partition("#")
            file = (page.parent / name).resolve() if name else page
            if not file.exists() or (
                anchor and file in pages and anchor not in pages[file].anchors
            ):
                broken.append(f"{page.name}: {target}")
        # a thumbnail stands beside the title of its example, which says the same
        apart = [t for t in found.mute if "_static" not in t and not t.endswith("_thumb.png")]
        mute += [f"{page.name}: {target}" for target in apart]
    assert broken == []
    assert mute == []
    loaded = {source for found in pages.values() for source in found.loaded}
    assert [source for source in loaded if re.match(r"(\w+:)?//", source)] == []
    primer = (tmp_path / "html" / "docs" / "primer.html").read_text(encoding="utf-8")
    assert '<math display="block">' in primer
    assert r"\theta" not in primer
