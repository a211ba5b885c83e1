"""Error bars in a grid: how often nominal intervals hold, per task and way, as columns."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from untrained.bench import Job, open_grid, read_grid
from untrained.bench.coverage import SHARES, plain_values
from untrained.bench.report import write_report
from untrained.bench.score import Score
from untrained.bench.table import make_rows, screen, summarise, write_tables
from untrained.data import TASKS, Measurement
from untrained.errors import UserError
from untrained.uncertainty.summary import Uncertainty

RUNS = """
[[runs]]
method = "dip"
steps = 12
settings = ["net.widths=4,8", "net.skip=2"]
uncertainty = "ensemble"
"""
CASES = """
[[cases]]
task = "denoise"
clean = "picture-a.npy"
simulate = { sigma = 25 }

[[cases]]
task = "ct"
clean = "picture-a.npy"
simulate = { angles = 14 }
"""


def test_a_grid_measures_coverage_in_data_and_image_space(
    write_grid: Callable[..., Path], pictures: Path, do: Callable[..., str]
) -> None:
    """The small version of benchmarks/grids/coverage.toml: nominal and empirical, per task."""
    out = pictures / "out"
    jobs = open_grid(read_grid(write_grid(cases=CASES, runs=RUNS)), out)
    assert [do(job) for job in jobs] == 2 * ["done"]
    rows = make_rows(jobs, out)
    assert rows[0]["label"].startswith("dip ensemble ")  # so that a terminal does not cut the way
    for row in rows:
        assert row["level"] == 0.9
        assert all(0 <= row[name] <= 1 for name in SHARES)
        assert row["oracle"] is None  # nothing is run on all measurements
        found = json.loads((out / "jobs" / row["id"] / "result.json").read_text())["uncertainty"]
        assert row["data_after"] == found["coverage_heldout"]
        assert row["null_before"] == found["reference"]["null_before"]
    assert {row["uncertainty"] for row in rows} == {"ensemble"}
    # Conformal intervals hold on measurements also where the image is far from the truth.
    assert sum(row["data_after"] for row in rows) / len(rows) > 0.75
    lines = screen(rows, summarise(rows))
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("ct, angles=14") and "null" in line for line in lines)
    write_tables(rows, summarise(rows), out)
    with (out / "summary.csv").open(newline="") as stream:
        ct = next(row for row in rows if row["task"] == "ct")
        first = next(csv.DictReader(stream))
    assert float(first["data_after_mean"]) == pytest.approx(ct["data_after"])
    page = write_report(rows, out).read_text(encoding="utf-8")
    assert "Error bars" in page
    assert "<td>90 %</td>" in page


def test_the_error_bar_is_part_of_a_jobs_identity(jobs: list[Job]) -> None:
    plain = jobs[-1]

    def made(way: str, level: float = 0.9, *settings: str) -> str:
        own = (*plain.run.settings, *settings)
        run = replace(plain.run, uncertainty=way, level=level, settings=own)
        return replace(plain, run=run).id

    ids = [plain.id, made("sgld"), made("ensemble"), made("sgld", 0.8)]
    ids.append(made("sgld", 0.9, "uncertainty.keep=8"))
    assert len(set(ids)) == 5
    # A level alone, without an error bar, decides nothing.
    assert replace(plain, run=replace(plain.run, level=0.8)).id == plain.id


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ("method = 'dip'\nuncertainty = 'bayes'", "'bayes' is unknown; known: 'ensemble'"),
        ("method = 'dip'\nlevel = 0.8", "give uncertainty as well"),
        ("method = 'dip'\nuncertainty = 'sgld'\nlevel = 1", "between 0 and 1"),
        ("method = 'tv'\nuncertainty = 'sgld'", "'tv' is a classical method"),
        ("method = 'dip'\nuncertainty = ['sgld', 'ensemble']\nlabel = 'x'", "several"),
    ],
)
def test_wrong_tables_are_refused(write_grid: Callable[..., Path], runs: str, message: str) -> None:
    with pytest.raises(UserError, match=rf"(?s)\[\[runs\]\] 1.*{message}"):
        read_grid(write_grid(runs=f"[[runs]]\n{runs}\n"))


def test_a_setting_of_no_error_bar_is_refused_before_anything_runs(
    write_grid: Callable[..., Path], tmp_path: Path
) -> None:
    grid = read_grid(write_grid(runs="[[runs]]\nmethod = 'dip'\nsettings = 'uncertainty.keep=8'\n"))
    with pytest.raises(UserError, match=r"\[\[runs\]\] 1: settings: .*no --uncertainty"):
        open_grid(grid, tmp_path / "out")


def test_only_what_is_known_of_a_disc_counts(pictures: Path) -> None:
    (case,) = read_case(pictures)
    whole, disc = (Score(case, region, torch.device("cpu")).known() for region in ("all", "disc"))
    assert bool(whole.isfinite().all())
    assert 0 < int(disc.isfinite().sum()) < disc.numel()
    inside = disc.isfinite()
    assert torch.equal(disc[inside], whole[inside])
    rows = inside[0, 0].any(1)
    assert bool(inside[0, 0][rows][:, rows].all())  # a square


def read_case(pictures: Path) -> list[Measurement]:
    out = pictures / "views.npz"
    simulate = TASKS["ct"].simulate
    assert simulate is not None
    simulate(pictures / "picture-a.npy", out, angles=8)
    return TASKS["ct"].load(out)


def test_what_is_not_finite_is_kept_as_none() -> None:
    found = Uncertainty(
        method="sgld",
        level=0.9,
        factor=1.0,
        quantile=1.6,
        noise=0.1,
        coverage_heldout=0.9,
        coverage_raw=0.5,
        chi_square=float("inf"),
        guaranteed=True,
        chi_square_fit=None,
        measured_share=0.5,
        reference={"before": float("nan"), "after": 0.5},
    )
    kept = plain_values(found)
    assert kept is not None
    assert (kept["chi_square"], kept["reference"]) == (None, {"before": None, "after": 0.5})
    assert plain_values(None) is None
