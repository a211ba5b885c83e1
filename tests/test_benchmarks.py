"""The benchmarks folder holds what its README names, and nothing else."""

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
README = (FOLDER / "README.md").read_text(encoding="utf-8")
NAMED = set(re.findall(r"[\w.-]+", README))


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda p: p.name)
def test_every_script_is_in_the_readme(path: Path) -> None:
    assert path.name in NAMED


@pytest.mark.parametrize("path", sorted((FOLDER / "results").iterdir()), ids=lambda p: p.name)
def test_every_result_is_in_the_readme(path: Path) -> None:
    assert f"`{path.name}`" in README
