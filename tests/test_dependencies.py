"""What `pip install .` brings is enough for all that needs no extra."""

import ast
import re
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement

from untrained.classical import CLASSICAL

PACKAGE = Path(__file__).resolve().parents[1] / "untrained"
EXTRAS = {"sigpy", "deepinv", "distributed", "nibabel", "pydicom", "msgpack", "zarr"} | {
    *("magicgui", "qtpy", "finufft"),
}
"""Asked for by a sentence where they are missing."""

BESIDE = {"pyarrow", "bm3d"}  # used where they are there


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def core_of(name: str) -> list[str]:
    """List the requirements of a distribution without its extras."""
    try:
        needs = [Requirement(line) for line in requires(name) or ()]
    except PackageNotFoundError:  # of another platform
        return []
    return [plain(r.name) for r in needs if r.marker is None or r.marker.evaluate({"extra": ""})]


def installed_by_default() -> set[str]:
    """All distributions that `pip install .` brings."""
    found, left = set(), ["untrained"]
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += core_of(name)
    return found


@cache
def owners() -> Mapping[str, list[str]]:
    """List the distributions that each module belongs to: slow, and always the same."""
    return packages_distributions()


def modules_beyond(distributions: set[str]) -> list[str]:
    """Modules that can be imported here and belong to none of the distributions."""
    return [
        module
        for module, owned_by in owners().items()
        # scipy asks sys.modules whether Sphinx runs, and would believe that it does
        if module.isidentifier()
        and module != "sphinx"
        and not distributions & {plain(owner) for owner in owned_by}
    ]


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: p.stem)
def test_what_is_imported_is_a_requirement(path: Path) -> None:
    needs = set(core_of("untrained"))
    known = {"untrained", "tomllib", "tomli", *sys.stdlib_module_names, *EXTRAS, *BESIDE}
    for module in imported(path) - known:
        assert needs & {plain(owner) for owner in owners().get(module, [module])}, module


def test_the_noise_level_needs_no_extra() -> None:
    assert "pywavelets" in core_of("untrained")  # scikit-image imports it when it is asked


def test_methods_run_without_extras(tmp_path: Path) -> None:
    """A picture of unknown noise, from the file to the report, where no extra can be imported."""
    picture = np.random.default_rng(0).normal(0.5, 0.1, (24, 24))
    np.savez(tmp_path / "noisy.npz", measurement=picture.astype(np.float32))
    methods = ("auto", "tv", "nlbayes", "deepred")
    commands = [
        ["reconstruct", "denoise", "noisy.npz", "--method", method, "--out", method]
        + ([] if method in CLASSICAL else ["--steps", "3"])
        for method in methods
    ]
    code = f"""
    import sys
    sys.modules.update(dict.fromkeys({modules_beyond(installed_by_default())!r}))
    from untrained.cli import main
    for command in {commands!r}:
        try:
            main(command)
        except SystemExit as ended:
            assert not ended.code, command
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert all((tmp_path / method / "report.html").exists() for method in methods)
