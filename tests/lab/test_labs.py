"""Every lab, in its quick version: what it claims holds, and its files are complete."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from lab_notebooks import FOLDER, notebook

from untrained.cli.commands import status
from untrained.errors import UserError
from untrained.lab import LABS, LabResult, find_lab
from untrained.lab.result import Finding, files_of, save, table

QUICK: dict[str, LabResult] = {}


def quick(name: str) -> LabResult:
    if name not in QUICK:
        QUICK[name] = LABS[name].run(0, False)
    return QUICK[name]


@pytest.mark.parametrize("name", LABS)
def test_everything_that_a_lab_claims_holds(name: str) -> None:
    result = quick(name)
    assert [one.what for one in result.findings if one.holds is False] == []
    assert any(one.holds for one in result.findings)  # it claims something


@pytest.mark.parametrize("name", LABS)
def test_a_lab_says_whose_statement_it_checks(name: str) -> None:
    lab = LABS[name]
    assert lab.name == name
    assert lab.title
    assert lab.source
    text = lab.run.__doc__
    assert text is not None
    assert ".. math::" in text


@pytest.mark.parametrize("name", LABS)
def test_the_figure_and_the_arrays_of_a_lab_are_written(name: str, tmp_path: Path) -> None:
    """The figures of docs/primer.md, in a small version."""
    result = quick(name)
    paths = save(name, result, tmp_path)
    assert [path.suffix for path in paths] == [".npz", ".csv", ".png", ".svg", ".json"]
    with np.load(paths[0], allow_pickle=False) as arrays:
        assert set(arrays) == set(result.arrays)
    with paths[1].open(encoding="utf-8") as stream:
        rows = list(csv.reader(stream))
    assert rows[0] == list(result.curves)
    assert len(rows) == 1 + len(next(iter(result.curves.values())))
    assert paths[2].read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert b"</svg>" in paths[3].read_bytes()
    assert json.loads(paths[4].read_text())["name"] == name
    with pytest.raises(UserError, match="never overwritten unasked"):
        save(name, result, tmp_path)


@pytest.mark.parametrize("name", LABS)
def test_the_notebook_of_a_lab_runs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = FOLDER / f"{name}.ipynb"
    written = json.loads(path.read_text(encoding="utf-8"))
    assert written == json.loads(notebook(name)), "run `python tests/helpers/lab_notebooks.py`"
    result = quick(name)
    monkeypatch.setitem(LABS, name, replace(LABS[name], run=lambda seed, full: result))
    names: dict[str, object] = {}
    for cell in written["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), path.name, "exec"), names)
    assert names["result"] is result


def test_there_is_no_other_notebook_and_every_figure_of_the_primer_is_a_lab() -> None:
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == set(LABS)
    text = (FOLDER.parent / "primer.md").read_text(encoding="utf-8")
    shown = re.findall(r"\]\(labs/([^)]+)\.png\)", text)
    assert set(shown) <= set(LABS)
    assert all(f"untrained lab {name}" in text for name in shown)


def test_the_same_seed_gives_the_same_numbers() -> None:
    again = LABS["theorem-3"].run(0, False)
    for name, curve in quick("theorem-3").curves.items():
        np.testing.assert_array_equal(again.curves[name], curve)


def test_a_finding_that_fails_is_shown_as_such() -> None:
    good, bad = Finding("a", 1.0, "=", 1.04), Finding("b", 2.0, "<=", 1.0)
    assert (good.holds, bad.holds, Finding("c", 1.0).holds) == (True, False, None)
    result = LabResult([good, bad], {}, {}, lambda figure: None, ("mind this",))
    assert not result.holds
    text = table(result)
    assert "FAILS" in text
    assert "note: mind this" in text


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["lab", "theorem-2", "--quick", "--out", str(tmp_path)]
    assert status(command) == 0
    assert "predicted" in capsys.readouterr().out
    assert all(path.is_file() for path in files_of("theorem-2", tmp_path))
    assert status(command) == 2  # nothing is overwritten
    assert "never overwritten unasked" in capsys.readouterr().err
    assert status([*command, "--overwrite"]) == 0
    assert status(["lab", "theorem-9"]) == 2
    assert "did you mean" in capsys.readouterr().err


def test_labs_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert status(["list", "labs", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == list(LABS)
    assert find_lab("theorem-2") is LABS["theorem-2"]
