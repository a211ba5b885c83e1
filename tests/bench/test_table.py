"""The table, the screen, the report: every job is a row, whatever became of it."""

import csv
import importlib.util
import json
import statistics
import sys
from pathlib import Path

import numpy as np
import pytest

from untrained.bench import Case, Job, Run, job_directory
from untrained.bench.report import draw_panel, write_report
from untrained.bench.table import (
    COLUMNS,
    make_rows,
    screen,
    summarise,
    write_table,
    write_tables,
)
from untrained.bench.work import write_failure, write_json
from untrained.errors import UserError

CURVES = {("net", 0): [20.0, 24.0, 23.0], ("net", 1): [18.0, 22.0, 25.0, 24.0]}


def job(label: str, seed: int, task: str = "denoise") -> Job:
    method = "adjoint" if label == "adjoint" else "dip"
    case = Case(task, "photo", "sigma=25", f"{task}.npz", "d" * 16)
    steps = {"net": 100, "other": 200}.get(label, 0)
    return Job(case, Run(method, steps=steps, label=label), seed)


def finish(one: Job, out: Path, stopped: float, curve: list[float], cut: bool = False) -> None:
    place = job_directory(one, out)
    place.mkdir(parents=True)
    rows = [f"fit,{i},0.5,1.0" for i in range(1, 3)]
    rows += [f"full,{i},{value - 1},{value}" for i, value in enumerate(curve, 1)]
    (place / "history.csv").write_text("\n".join(["phase,step,psnr,psnr_output", *rows]) + "\n")
    facts = {
        "stopped": stopped,
        "ssim": 0.5,
        "stop": {"rule": "heldout", "step": 2, "reason": "because"},
        "steps": 5,
        "seconds": 2.0,
        "cpu_seconds": 1.5,
        "full_seconds": 3.0,
        "peak_memory_mb": 300.0,
        "device": "cpu",
        "precision": "fp32",
        "threads": 1,
        "curve": "full" if curve else "",
        "cut": cut,
        "time_limit": 0.0,
        "versions": {"untrained": "0.1.0"},
    }
    if curve:
        facts |= {"final": curve[-1], "oracle": max(curve), "oracle_step": 2}
    write_json(place / "result.json", facts)


@pytest.fixture
def jobs(tmp_path: Path) -> list[Job]:
    """Done, done, cut, failed, killed, missing, and a classical one."""
    listed = [job("net", 0), job("net", 1), job("net", 2), job("other", 0), job("other", 1)]
    listed += [job("other", 2), job("adjoint", 0)]
    for one in listed[:2]:
        curve = CURVES["net", one.seed]
        finish(one, tmp_path, curve[1], curve)
    finish(listed[2], tmp_path, 15.0, [], cut=True)
    write_failure(job_directory(listed[3], tmp_path), "UserError: <no> & such file")
    job_directory(listed[4], tmp_path).mkdir()
    write_json(job_directory(listed[4], tmp_path) / "job.json", {})
    finish(listed[6], tmp_path, 19.0, [])
    write_json(
        tmp_path / "grid.json",
        {
            "name": "trial",
            "small": False,
            "time_limit": 0.0,
            "jobs": [one.to_dict() for one in listed],
        },
    )
    return listed


def test_every_job_is_a_row_with_the_same_columns(jobs: list[Job], tmp_path: Path) -> None:
    rows = make_rows(jobs, tmp_path)
    assert [row["status"] for row in rows] == [
        *("done", "done", "cut", "failed", "killed", "missing", "done")
    ]
    assert all(tuple(row) == COLUMNS for row in rows)
    assert {"stopped", "final", "oracle", "seconds", "cpu_seconds", "peak_memory_mb"} <= set(
        rows[0]
    )
    assert (rows[0]["stopped"], rows[0]["final"], rows[0]["oracle"]) == (24.0, 23.0, 24.0)
    assert rows[0]["stop_rule"] == "heldout"
    assert rows[3]["error"] == "UserError: <no> & such file"
    assert rows[5]["stopped"] is None
    assert rows[6]["final"] is None


def test_mean_and_sample_deviation_over_the_rows_with_a_number(jobs, tmp_path) -> None:
    summary = {row["label"]: row for row in summarise(make_rows(jobs, tmp_path))}
    net = summary["net"]
    assert (net["n"], net["n_done"], net["n_cut"], net["n_failed"], net["n_missing"]) == (
        *(3, 2, 1, 0, 0),
    )
    assert net["stopped_mean"] == pytest.approx((24 + 22 + 15) / 3)
    assert net["stopped_std"] == pytest.approx(statistics.stdev([24, 22, 15]))
    assert net["oracle_mean"] == pytest.approx(24.5)
    other = summary["other"]
    assert (other["n_failed"], other["n_missing"], other["stopped_mean"]) == (2, 1, None)
    assert summary["adjoint"]["stopped_std"] is None


def test_the_csv_reads_back(jobs: list[Job], tmp_path: Path) -> None:
    rows = make_rows(jobs, tmp_path)
    path = write_table(rows, tmp_path / "table.csv")
    with path.open(newline="", encoding="utf-8") as stream:
        read = list(csv.DictReader(stream))
    assert len(read) == 7
    assert tuple(read[0]) == COLUMNS
    assert float(read[0]["oracle"]) == 24.0
    assert read[5]["status"] == "missing"
    assert read[5]["stopped"] == ""


def test_parquet_where_there_is_pyarrow_and_a_clear_word_where_not(
    jobs: list[Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = make_rows(jobs, tmp_path)
    if importlib.util.find_spec("pyarrow") is not None:
        import pyarrow.parquet

        path = write_table(rows, tmp_path / "table.parquet")
        assert pyarrow.parquet.read_table(path).to_pylist()[0]["oracle"] == 24.0
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match="pip install pyarrow"):
        write_table(rows, tmp_path / "other.parquet")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert {p.name for p in write_tables(rows, rows, tmp_path)} == {"table.csv", "summary.csv"}
    assert not (tmp_path / "table.parquet").exists()
    with pytest.raises(UserError, match=r"\.csv or \.parquet"):
        write_table(rows, tmp_path / "table.xls")


def test_the_screen_has_eighty_columns_and_names_what_failed(jobs, tmp_path) -> None:
    rows = make_rows([*jobs, job("a label that is far too long for its column", 0)], tmp_path)
    lines = screen(rows, summarise(rows))
    table = [line for line in lines if not line.startswith(("failed", "killed"))]
    assert max(len(line) for line in table) <= 80
    net = next(line for line in lines if line.strip().startswith("net"))
    assert "3/3c" in net
    assert "20.33 ± 4.73" in net
    assert lines[0].startswith("denoise, sigma=25")
    assert "failed: denoise/photo/sigma=25/other/0: UserError: <no> & such file" in lines


def test_the_curve_is_the_mean_over_the_steps_that_all_have(jobs, tmp_path) -> None:
    labels = ["another", "net", "other", "adjoint"]
    chart = draw_panel("denoise", make_rows(jobs, tmp_path), tmp_path, labels)
    assert [line.label for line in chart.lines] == ["net", "adjoint"]
    assert np.array_equal(chart.lines[0].values, [19.0, 23.0, 24.0])
    assert np.array_equal(chart.lines[1].values, [19.0, 19.0, 19.0])
    assert chart.lines[0].style != chart.lines[1].style
    assert [line.colour for line in chart.lines] == [1, 3]


def test_the_report_is_one_page_with_the_curves_and_the_errors(jobs, tmp_path) -> None:
    ct = job("net", 5, task="ct")
    finish(ct, tmp_path, 30.0, [29.0, 30.0])
    page = write_report(make_rows([*jobs, ct], tmp_path), tmp_path).read_text(encoding="utf-8")
    assert page.count('<img src="data:image/png;base64,') == 2  # a panel per task
    assert page.count('<source srcset="data:image/png;base64,') == 2
    assert "Line plot over the optimiser steps: net, adjoint" in page
    assert "UserError: &lt;no&gt; &amp; such file" in page
    assert "8 jobs: 1 cut, 4 done, 1 failed, 1 killed, 1 missing." in page
    assert "20.33 ± 4.73" in page
    assert "http" not in page.partition("</style>")[2]
    assert page.count("<script") == 1  # our own, inline: nothing is loaded
    assert "<script src" not in page


def test_a_grid_of_which_nothing_is_done_has_a_report_too(jobs, tmp_path) -> None:
    page = write_report(make_rows(jobs[5:6], tmp_path), tmp_path).read_text(encoding="utf-8")
    assert "1 jobs: 1 missing." in page
    assert "<img" not in page


def test_a_damaged_result_is_named(jobs: list[Job], tmp_path: Path) -> None:
    path = job_directory(jobs[0], tmp_path) / "result.json"
    path.write_text(json.dumps({})[:1])
    with pytest.raises(UserError, match=r"result\.json cannot be read.*delete it"):
        make_rows(jobs, tmp_path)
