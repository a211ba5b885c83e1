"""benchmarks/gpu.py in its tiny version: interrupted anywhere, it goes on to the same numbers."""

import json
import sys
from pathlib import Path
from typing import Any

import gpu
import pytest
import torch
from gpu_work import Place

from untrained.core.watch import Watch

SOME = ("sr-clean-lesson", "sr-clean-00003-learned", "sr-clean-00003-random", "many-in-turn")
SAME = ("psnr", "misfit", "steps", "images", "ssim")


def place(out: Path, clock: Watch) -> Place:
    return Place(out, None, torch.device("cpu"), clock, quiet=True)


def some(*names: str) -> list[gpu.Row]:
    return [row for row in gpu.rows(tiny=True) if row.name in names]


def read(out: Path, name: str) -> dict[str, Any]:
    return json.loads((out / "rows" / f"{name}.json").read_text())


def test_interrupted_rows_go_on_to_the_same_numbers(
    tmp_path: Path, pause_after: type[Watch]
) -> None:
    whole, pieces = tmp_path / "whole", tmp_path / "pieces"
    assert gpu.run(some(*SOME), place(whole, Watch()))
    sittings = 1
    while not gpu.run(some(*SOME), place(pieces, pause_after(6))):  # type: ignore[call-arg]
        sittings += 1
    assert sittings > len(SOME)
    assert any(read(pieces, name)["resumed_from"] for name in SOME)
    for name in SOME:
        one, other = read(whole, name), read(pieces, name)
        assert {k: one.get(k) for k in SAME} == {k: other.get(k) for k in SAME}, name
        assert one["steps"] > 0
        assert one["device_name"]
    assert not list((pieces / "states").iterdir())
    lines = gpu.table(pieces)
    assert all(any(name in line for line in lines) for name in SOME)


def test_a_finished_row_is_not_run_again_and_a_failed_one_stops_no_other(tmp_path: Path) -> None:
    calls: list[str] = []

    def breaks(place: Place, row: str) -> dict[str, Any]:
        calls.append(row)
        raise RuntimeError("out of order")

    def works(place: Place, row: str) -> dict[str, Any]:
        calls.append(row)
        return {"seconds": 1.0}

    rows = [gpu.Row("one", breaks), gpu.Row("two", works)]
    assert gpu.run(rows, place(tmp_path, Watch()))
    assert gpu.run(rows, place(tmp_path, Watch()))
    assert calls == ["one", "two"]
    assert gpu.run(rows, place(tmp_path, Watch()), retry=True)
    assert calls == ["one", "two", "one"]
    assert "out of order" in (tmp_path / "rows" / "one.failed.json").read_text()


def test_every_row_has_a_name_of_its_own() -> None:
    names = [row.name for row in gpu.rows()]
    assert len(set(names)) == len(names)
    assert names[0] == "sr-clean-lesson"
    assert {row.name for row in gpu.rows(tiny=True)} <= set(names)


@pytest.mark.parametrize("given", [["--data", "none-here"], []])
def test_data_or_tiny_is_asked_for(given: list[str], tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu.py", "run", str(tmp_path / "out"), *given])
    with pytest.raises(SystemExit):
        gpu.main()
    assert "--data" in capsys.readouterr().err
