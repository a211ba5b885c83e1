"""What a release needs: one version everywhere, every file in the wheel, no place of ours named."""

from __future__ import annotations

import ast
import re
import socket
import subprocess
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pytest

import untrained
from untrained.cli.commands import commands

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib  # type: ignore[no-redef]

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
RECIPE = (ROOT / "packaging" / "conda" / "meta.yaml").read_text(encoding="utf-8")
CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base"}


def test_the_version_is_the_same_everywhere() -> None:
    version = PROJECT["project"]["version"]
    assert untrained.__version__ == version
    assert f"version: {version}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f'set version = "{version}"' in RECIPE


def test_the_changelog_has_a_section_of_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    first = re.search(r"^## \[(.+?)\]", text, re.MULTILINE)
    assert first is not None
    assert first[1] == PROJECT["project"]["version"]


def test_the_conda_recipe_asks_what_the_wheel_asks() -> None:
    """Check names and bounds of `run` against the project's dependencies."""
    wanted = set()
    for line in PROJECT["project"]["dependencies"]:
        name, bounds = re.match(r"([\w-]+)([^;]*)", line).groups()  # type: ignore[union-attr]
        wanted.add(f"{CONDA_NAMES.get(name, name.lower())} {bounds.strip()}")
    run = RECIPE.partition("  run:\n")[2].partition("\n\n")[0]
    found = {line.strip("- ").strip() for line in run.splitlines()}
    assert found - {f"python {PROJECT['project']['requires-python']}"} == wanted


def test_every_file_of_the_package_is_in_the_wheel() -> None:
    """Check that each file beside the modules is matched by `package-data`."""
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["untrained"]
    package = ROOT / "untrained"
    names = [
        path.relative_to(package).as_posix()
        for path in package.rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    ]
    assert [name for name in names if not any(fnmatch(name, p) for p in patterns)] == []
    assert "report/page.js" in names


def test_the_paper_cites_what_its_bibliography_has() -> None:
    text = (ROOT / "paper" / "paper.md").read_text(encoding="utf-8")
    entries = set(re.findall(r"^@\w+\{([^,]+),", (ROOT / "paper" / "paper.bib").read_text(), re.M))
    assert set(re.findall(r"@([a-z]+\d{4}\w*)", text)) == entries
    assert 250 <= len(text.partition("\n---\n")[2].split()) <= 1750, "as JOSS asks"


SECURITY = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
PROMISES = SECURITY.partition("## What the program promises")[2].split("\n- ")[1:]


@pytest.mark.parametrize("promise", PROMISES, ids=lambda text: text.partition("**")[2][:20])
def test_every_promise_of_security_names_tests_that_exist(promise: str) -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", promise.partition("Held by")[2])
    assert named, "a promise without a test"
    for file, test in named:
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        assert test in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_no_module_can_open_a_connection() -> None:
    """Check that no file of the package imports a client of a network protocol."""
    clients = "aiohttp|ftplib|http|httpx|huggingface_hub|requests|smtplib|socket|ssl|urllib|urllib3"
    imported = re.compile(rf"^\s*(?:import|from) (?:{clients})\b.*", re.MULTILINE)
    found = {
        str(path.relative_to(ROOT)): imported.findall(path.read_text(encoding="utf-8"))
        for path in (ROOT / "untrained").rglob("*.py")
    }
    assert {path: lines for path, lines in found.items() if lines} == {}


def test_a_run_opens_no_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise AssertionError("a connection was opened")

    for name in ("connect", "connect_ex", "sendto", "bind"):
        monkeypatch.setattr(socket.socket, name, refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    pixels = np.random.default_rng(0).uniform(size=(24, 24)).astype(np.float32)
    np.savez(tmp_path / "noisy.npz", measurement=pixels)
    line = ["denoise", str(tmp_path / "noisy.npz"), "--sigma", "25", "--steps", "3", "--quiet"]
    small = ["--method", "dip", "--set", "net.widths=4,8", "--threads", "1"]
    command = ["reconstruct", *line, *small, "--out", str(tmp_path / "out")]
    assert commands.main(command, standalone_mode=False) == 0
    assert (tmp_path / "out" / "report.html").exists()


TRACKED = subprocess.run(
    ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
).stdout.splitlines()


@pytest.mark.skipif(not TRACKED, reason="not a clone: there is no list of files")
def test_no_private_host_and_no_path_of_a_machine_is_named() -> None:
    """Check texts for addresses in private networks and for home folders of somebody."""
    private = re.compile(
        r"\b(?:10|192\.168|172\.(?:1[6-9]|2\d|3[01]))(?:\.\d{1,3}){2,3}:\d+"
        r"|https?://(?:localhost|[\w-]+\.(?:local|internal|corp))\b|/(?:home|Users)/\w+/"
    )
    kinds = (".py", ".md", ".toml", ".yml", ".yaml", ".txt", ".html", ".cff", ".rst", ".bib")
    texts = [ROOT / name for name in TRACKED if name.endswith(kinds) or name == "Dockerfile"]
    named = [
        f"{path.relative_to(ROOT)}: {found.group()}"
        for path in texts
        if path.is_file() and (found := private.search(path.read_text(encoding="utf-8")))
    ]
    assert named == []
