"""Every note that the package can give: each reaches the terminal and the notes of the result.

The tables are in `tests/helpers/notes_of_*.py`; `test_no_note_is_without_a_row` reads the source
and fails where a text that becomes a note stands in no row.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from note_row import Row
from note_texts import PARTS, every_text
from notes_of_pictures import PICTURES
from notes_of_runs import RUNS
from notes_of_scans import SCANS
from odd_inputs import NOISY, PIC, Command, npy

import untrained as ut
from untrained.cli import main
from untrained.metrics import OTHER_UNITS


def arguments(row: Row, folder: Path) -> Command:
    """The whole command: quick, and without a comparison unless the row asks for one."""
    assert row.command is not None
    given = row.command(folder)
    compare = "--compare" in given
    given = [str(part) for part in given if part != "--compare"]
    if given[0] == "evaluate":
        return given
    if given[0] == "simulate":
        return [*given, "--out", str(folder / "made.npz")]
    if "--method" not in given and "--weights" not in given:
        given += ["--method", "tv" if compare and given[1] == "ct" else "adjoint"]
    return [*given, *([] if compare else ["--no-compare"]), "--out", str(folder / "out")]


ROWS = (*PICTURES, *SCANS, *RUNS)
NAMES = [row.words for row in ROWS]


@pytest.mark.parametrize("row", [row for row in ROWS if row.command], ids=lambda row: row.words)
def test_the_terminal_and_the_result_have_it(
    row: Row, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for target, value in row.before:
        monkeypatch.setattr(target, value)
    command = arguments(row, tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(command)
    heard = capsys.readouterr()
    said = " ".join((heard.out + heard.err).split())
    assert not ended.value.code, said
    assert " ".join(row.words.split()) in said
    if command[0] == "reconstruct":
        notes = json.loads((tmp_path / "out" / "result.json").read_text())["notes"]
        assert any(row.words in note for note in notes), notes


@pytest.mark.parametrize("row", [row for row in ROWS if row.python], ids=lambda row: row.words)
def test_python_has_it_as_a_warning_and_in_the_notes(row: Row) -> None:
    assert row.python is not None
    usual = {"method": "adjoint", "progress": False, "compare": False}
    given = {**usual, **row.python()}
    if given["compare"]:
        given["method"] = "tv"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = ut.reconstruct(**given)
    said = [str(w.message) for w in caught if w.category is ut.Note]
    assert said == list(result.notes)
    assert sum(row.words in note for note in said) == 1, said


def test_evaluate_asks_about_other_units(tmp_path: Path, capsys: Any) -> None:
    files = [npy(tmp_path, NOISY, "a.npy"), npy(tmp_path, 255 * PIC, "b.npy"), "--range", "1"]
    with pytest.raises(SystemExit):
        main(["evaluate", *map(str, files)])
    assert "times as bright as the image" in " ".join(capsys.readouterr().err.split())


def test_no_note_is_without_a_row() -> None:
    """A new text that becomes a note needs a row; texts that are no notes are in PARTS."""
    found = list(every_text())
    assert len(found) > 100
    assert OTHER_UNITS in [text for _, text in found]
    lost = [
        (where, text)
        for where, text in found
        if not any(row.words in text.replace("{}", " ") or row.words in text for row in ROWS)
        and not any(part in text for part in PARTS)
    ]
    assert not lost, lost


def test_every_row_has_words_of_its_own() -> None:
    assert len(set(NAMES)) == len(NAMES)
