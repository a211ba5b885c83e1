"""The comparing part of benchmarks/quality.py, and one of its rows."""

from pathlib import Path
from typing import Any

import pytest
import quality

from untrained.bench.work import read_json, write_json
from untrained.data import TASKS

RECORDED = sorted(quality.RESULTS.glob("quality-*.json"))
EXPECTED = {"a/auto": {"psnr": 30.0}, "b/tv": {"psnr": 25.0}}


@pytest.mark.parametrize(
    ("found", "failed"),
    [
        ({}, []),
        ({"a/auto": {"psnr": 30.09}}, []),
        ({"a/auto": {"psnr": 29.89}}, ["a/auto"]),
        ({"a/auto": {"psnr": 30.11}}, ["a/auto"]),
        ({"b/tv": {"psnr": float("nan")}}, ["b/tv"]),
        ({"b/tv": {"error": "ValueError('none')"}}, ["b/tv"]),
        ({"c/tv": {"psnr": 20.0}}, ["c/tv"]),
    ],
)
def test_a_changed_value_fails(found: dict[str, Any], failed: list[str]) -> None:
    lines = quality.compared(EXPECTED, {**EXPECTED, **found})
    assert [name for name, _, passed in lines if not passed] == failed


def test_a_row_that_is_gone_fails() -> None:
    lines = quality.compared(EXPECTED, {"a/auto": {"psnr": 30.0}})
    assert [name for name, _, passed in lines if not passed] == ["b/tv"]


def test_the_exit_status_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`record` writes what is found; `check` is then content, until a value changes."""
    value = {"psnr": 31.0, "cpu_seconds": 1.0}
    monkeypatch.setattr(quality, "EXPECTED", tmp_path / "quality.json")
    monkeypatch.setattr(quality, "measured", lambda names, workers: dict.fromkeys(names, value))
    assert quality.record("*", 1) == 0
    assert quality.check("*", 1) == 0
    assert "FAIL" not in capsys.readouterr().out
    stored = read_json(tmp_path / "quality.json")
    stored["rows"]["ct/auto"]["psnr"] = 30.8
    write_json(tmp_path / "quality.json", stored)
    assert quality.check("*", 1) == 1
    assert quality.check("mri*", 1) == 0
    said = capsys.readouterr().out
    assert said.count("FAIL") == 1
    assert "+0.20" in said
    assert "CHANGELOG" in said
    assert quality.record("ct/auto", 1) == 0
    assert quality.check("*", 1) == 0


def test_there_are_thirteen_cases_over_all_tasks() -> None:
    assert len(quality.CASES) == 13
    # a video has no reference: its gate is the warping error, benchmarks/dvp.py
    assert {case.task for case in quality.CASES.values()} == TASKS.keys() - {"video"}


@pytest.mark.parametrize("file", RECORDED, ids=lambda file: file.stem)
def test_every_row_has_an_expected_value(file: Path) -> None:
    assert list(read_json(file)["rows"]) == quality.names("*")


def test_a_processor_without_expected_values_is_told_to_record_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(quality, "EXPECTED", tmp_path / "quality-neon.json")
    assert quality.check("*", 1) == 1
    assert "quality-neon.json is missing" in capsys.readouterr().out


@pytest.fixture
def unsearched() -> None:
    """Search for weights as in earnest: here images are judged."""


def test_a_case_is_measured() -> None:
    """The quickest one, as the gate does it; the others differ in names alone."""
    found = quality.row("custom/tv")["psnr"]
    for file in RECORDED:  # the same on every processor
        assert found == pytest.approx(read_json(file)["rows"]["custom/tv"]["psnr"], abs=0.1)
