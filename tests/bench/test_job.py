"""One job: its id, its scores, its directory, its end."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock

from untrained.bench import (
    Job,
    job_directory,
    job_status,
    jobs_left,
    open_grid,
    read_grid,
)
from untrained.bench.cases import make_cases, read_entry
from untrained.bench.score import Limit, Score, Scored
from untrained.core.rule import Stopped
from untrained.core.watch import Watch
from untrained.data import TASKS
from untrained.data.formats.npz import write_npz
from untrained.errors import UserError
from untrained.problem import Problem
from untrained.run.case import Case, RunSettings
from untrained.run.execute import run

SMALL = ("net.widths=4,8", "net.skip=2")
# Only an error ten times smaller would count as a new minimum: the rule soon ends the run.
EARLY = ("stop.skip=1", "stop.patience=2", "stop.slack=-0.9")


@pytest.fixture
def job(jobs) -> Job:
    """A network job without a stop rule that holds anything out."""
    return with_run(jobs[-1], stop="none")


def with_run(job: Job, **changes: object) -> Job:
    return replace(job, run=replace(job.run, **changes))


def with_case(job: Job, **changes: object) -> Job:
    return replace(job, case=replace(job.case, **changes))


def result_of(job: Job, out: Path) -> dict:
    return json.loads((job_directory(job, out) / "result.json").read_text())


def history_of(job: Job, out: Path) -> list[dict]:
    with (job_directory(job, out) / "history.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def column(rows: list[dict], name: str, phase: str) -> list[float]:
    return [float(row[name]) for row in rows if row["phase"] == phase]


class PauseAt(Watch):
    """Pauses after so many steps of this sitting, or at the first step of the next phase."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def interrupted(self) -> Stopped | None:
        self.left -= 1
        return Stopped("interrupted", 0, "for the test") if self.left <= 0 else None


# the id -----------------------------------------------------------------------------------------


def test_what_decides_the_outcome_changes_the_id(job):
    changed = [
        job,
        replace(job, seed=1),
        with_run(job, method="tvdip"),
        with_run(job, preset="paper", settings=()),
        with_run(job, settings=("net.widths=4,8", "net.skip=1")),
        with_run(job, steps=9),
        with_run(job, stop="wmv:3"),
        with_run(job, output="last"),
        with_case(job, digest="0" * 16),
        with_case(job, task="inpaint"),
        with_case(job, options='{"sigma": 3}'),
        with_case(job, attached=(("mask", "0" * 16),)),
        with_case(job, region="disc"),
    ]
    assert len({j.id for j in changed}) == len(changed)


def test_names_and_places_do_not_change_the_id(job, tmp_path):
    copy = tmp_path / "elsewhere.npz"
    shutil.copy(job.case.file, copy)
    same = with_case(job, file=str(copy), image="another", setting="name")
    assert with_run(same, label="called otherwise").id == job.id
    house = with_run(job, method="house", steps=0, settings=())
    assert with_run(house, preset="paper").id == with_run(house, preset="best").id


def test_a_classical_method_draws_nothing(jobs):
    assert replace(jobs[0], seed=7).id == jobs[0].id


def test_files_among_the_options_count_by_content(tmp_path):
    np.save(tmp_path / "y.npy", np.ones((8, 8), np.float32))
    table = {"task": "inpaint", "file": "y.npy", "options": {"mask": "mask.npy"}}

    def found(folder: Path, mask: np.ndarray):
        np.save(folder / "mask.npy", mask)
        return make_cases(read_entry(table, folder, "[[cases]] 1"), folder)[0]

    other = tmp_path / "other"
    shutil.copytree(tmp_path, other)
    ones, zeros = np.ones((8, 8)), np.eye(8)
    first, moved, changed = found(tmp_path, ones), found(other, ones), found(other, zeros)
    assert json.loads(first.options)["mask"] == str(tmp_path.resolve() / "mask.npy")
    assert first.attached == moved.attached != changed.attached


def test_a_job_travels_as_plain_values(job, do, monkeypatch, tmp_path):
    from untrained.bench.job import job_from_dict

    assert job_from_dict(json.loads(json.dumps(job.to_dict()))) == job
    values = {**job.to_dict(), "id": "0" * 16}
    from untrained.bench import do_job

    assert do_job(values, str(tmp_path / "other-version")) == "failed"
    said = json.loads((tmp_path / "other-version" / "failed.json").read_text())["error"]
    assert "same version" in said


# the scores -------------------------------------------------------------------------------------


def test_without_a_stop_rule_one_run_gives_all_three_scores(job, do, pictures):
    out = pictures / "out"
    assert do(job) == "done"
    facts, rows = result_of(job, out), history_of(job, out)
    assert {row["phase"] for row in rows} == {"fit"} == {facts["curve"]}
    assert facts["steps"] == len(rows) == 8
    average, raw = column(rows, "psnr_output", "fit"), column(rows, "psnr", "fit")
    assert facts["final"] == facts["stopped"] == pytest.approx(average[-1], abs=1e-4)
    assert facts["oracle"] == pytest.approx(max(average + raw), abs=1e-4)
    assert facts["full_seconds"] == 0
    names = {p.name for p in job_directory(job, out).iterdir()}
    assert names == {"job.json", "result.json", "history.csv", "reconstruction.npy", ".lock"}


def test_a_rule_that_holds_out_data_gets_a_second_run_on_all_measurements(jobs, do, pictures):
    job, out = with_run(jobs[-1], settings=(*SMALL, *EARLY)), pictures / "out"
    assert do(job) == "done"
    facts, rows = result_of(job, out), history_of(job, out)
    assert facts["curve"] == "full"
    assert len(column(rows, "psnr", "full")) == 8
    alone = with_run(job, stop="none", settings=SMALL)
    assert do(alone) == "done"
    assert column(rows, "psnr_output", "full") == column(
        history_of(alone, out), "psnr_output", "fit"
    )
    for score in ("final", "oracle"):
        assert facts[score] == result_of(alone, out)[score]


def test_a_rule_that_ends_early_gets_the_rest_of_its_trajectory(job, do, pictures):
    early, out = with_run(job, stop="steps:3"), pictures / "out"
    assert do(early) == "done"
    rows = history_of(early, out)
    assert column(rows, "step", "fit") == [1, 2, 3]
    assert column(rows, "psnr", "full")[:3] == column(rows, "psnr", "fit")
    assert len(column(rows, "psnr", "full")) == 8
    facts = result_of(early, out)
    assert facts["stop"]["rule"] == "steps"
    assert facts["stopped"] == pytest.approx(column(rows, "psnr_output", "fit")[-1], abs=1e-4)
    assert facts["steps"] == 3


def test_a_classical_method_has_one_image_and_no_trajectory(jobs, do, pictures):
    assert do(jobs[0]) == "done"
    facts = result_of(jobs[0], pictures / "out")
    assert facts["stopped"] > 0
    assert "final" not in facts
    assert facts["curve"] == ""


def test_the_truth_does_not_reach_the_method(job, do, pictures):
    """Another reference in the file: the same image, other scores."""
    out = pictures / "out"
    with np.load(job.case.file) as file:
        arrays = dict(file)
    write_npz(pictures / "lie.npz", {**arrays, "reference": 1 - arrays["reference"]})
    entry = read_entry({"task": "denoise", "file": "lie.npz"}, pictures, "")
    lied = replace(job, case=make_cases(entry, pictures)[0])
    assert do(job) == do(lied) == "done"
    images = [job_directory(j, out) / "reconstruction.npy" for j in (job, lied)]
    assert images[0].read_bytes() == images[1].read_bytes()
    assert result_of(job, out)["stopped"] != result_of(lied, out)["stopped"]
    m = TASKS["denoise"].load(job.case.file)[0]
    case = Case(Problem(m.y, m.physics, sigma=m.sigma))
    (result,) = run(job.plan(), [case], RunSettings(seed=job.seed, device="cpu"))
    assert np.array_equal(np.load(images[0]), result.image[0, 0].numpy())


def test_the_disc_is_scored_alone():
    truth = torch.rand(1, 1, 24, 24) + 0.5
    m = replace(measurement(truth), task="ct")
    corner = truth.clone()
    corner[..., :2, :2] += 5
    place = torch.device("cpu")
    assert Score(m, "disc", place).psnr(corner) == float("inf")
    assert Score(m, "all", place).psnr(corner) < 30
    off = truth + 0.1
    assert Score(m, "disc", place).psnr(off) == pytest.approx(
        20 * np.log10(float(truth[..., 5:19, 5:19].max()) / 0.1), abs=1.0
    )


def test_a_zero_or_missing_reference_is_refused():
    truth = torch.zeros(1, 1, 8, 8)
    with pytest.raises(UserError, match=r"y\.npz: the reference is zero"):
        Score(replace(measurement(truth), task="ct"), "all", torch.device("cpu"))
    with pytest.raises(UserError, match=r"y\.npz holds no reference"):
        Score(replace(measurement(truth), reference=None), "all", torch.device("cpu"))


def measurement(truth: torch.Tensor):
    from untrained.data import Measurement

    return Measurement("denoise", truth, None, None, truth, 1.0, (), "YX", "y.npz")


# ends, and new beginnings -----------------------------------------------------------------------


def test_a_paused_job_goes_on_to_the_same_bytes(write_grid, pictures, do):
    """Stopped in every phase: fit, refit, and the second run; closing step and oracle included."""
    cases = '[[cases]]\ntask = "ct"\nclean = "picture-a.npy"\nsimulate = { angles = 12 }\n'
    settings = json.dumps(["net.widths=4,8", *EARLY])
    runs = f'[[runs]]\nmethod = "house"\nsteps = 6\nsettings = {settings}\n'
    out = pictures / "out"
    job = open_grid(read_grid(write_grid(cases=cases, runs=runs)), out)[0]
    assert do(job) == "done"
    place = job_directory(job, out)
    whole, before = pictures / "whole", result_of(job, out)
    place.rename(whole)
    rows = history_of_file(whole / "history.csv")
    assert {row["phase"] for row in rows} == {"fit", "refit", "full"}
    sittings = 0
    while (status := do(job, watch=[PauseAt(3)])) == "paused":
        assert job_status(place) == "killed"
        sittings += 1
    assert status == "done"
    assert sittings == 3
    for name in ("reconstruction.npy", "history.csv"):
        assert (place / name).read_bytes() == (whole / name).read_bytes()
    after = result_of(job, out)
    for score in ("stopped", "final", "oracle", "ssim", "stop", "steps", "curve"):
        assert after[score] == before[score]
    assert after["oracle"] >= after["final"]
    assert after["resumed_from"]


def history_of_file(path: Path) -> list[dict]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_what_the_scores_remember_survives():
    score = Score(measurement(torch.rand(1, 1, 8, 8)), "all", torch.device("cpu"))
    first, second = Scored(score), Scored(score)
    first._best, first.best, first.last = 20.0, torch.ones(1, 1, 8, 8), torch.zeros(1, 1, 8, 8)
    second.load_state_dict(first.state_dict())
    assert second._best == 20
    assert torch.equal(second.best, first.best)
    assert torch.equal(second.last, first.last)
    clock = Limit(100.0)
    clock.load_state_dict({"used": 99.0})
    assert clock.interrupted() is None
    clock.load_state_dict({"used": 101.0})
    assert clock.interrupted().rule == "time limit"


def test_a_time_limit_marks_the_job_cut_and_a_larger_one_goes_on(job, do, pictures):
    out = pictures / "out"
    assert do(job, 1e-6) == "cut"
    facts = result_of(job, out)
    assert facts["cut"]
    assert facts["stop"]["rule"] == "time limit"
    assert len(history_of(job, out)) == 1
    assert facts["final"] == pytest.approx(facts["stopped"], abs=1e-4)
    assert jobs_left([job], out, 1e-6) == []
    assert jobs_left([job], out, 1e-7) == []
    assert jobs_left([job], out, 100.0) == jobs_left([job], out, 0.0) == [job]
    assert do(job, 100.0) == "done"
    reached = result_of(job, out)
    assert reached["resumed_from"] == [1]
    assert len(history_of(job, out)) == 8
    assert jobs_left([job], out, 0.0) == []
    assert not (job_directory(job, out) / "state").exists()


def test_a_cut_before_all_measurements_were_fitted_claims_nothing_about_them(jobs, do, pictures):
    assert do(jobs[-1], 1e-6) == "cut"
    facts = result_of(jobs[-1], pictures / "out")
    assert facts["stopped"] > 0
    assert "oracle" not in facts


def test_a_failed_job_keeps_its_error_and_is_done_again_when_asked(job, do, pictures):
    out, file = pictures / "out", Path(job.case.file)
    kept = file.read_bytes()
    file.write_bytes(kept + b"x")
    assert do(job) == "failed"
    said = json.loads((job_directory(job, out) / "failed.json").read_text())
    assert said["error"].startswith("UserError: ")
    assert "is not the file that the grid was read with" in said["error"]
    assert "Traceback" in said["details"]
    assert job_status(job_directory(job, out)) == "failed"
    assert jobs_left([job], out, 0.0) == []
    assert jobs_left([job], out, 0.0, retry=True) == [job]
    file.write_bytes(kept)
    assert do(job) == "done"
    assert not (job_directory(job, out) / "failed.json").exists()


def test_a_job_that_could_not_write_its_result_computes_nothing_again(
    jobs, do, pictures, monkeypatch
):
    job, out = jobs[-1], pictures / "out"
    with monkeypatch.context() as patch:
        patch.setattr("untrained.bench.work.history_csv", lambda history: 1 / 0)
        assert do(job) == "failed"
    assert do(job, watch=[PauseAt(1)]) == "done"  # not one step was left to pause after
    facts, rows = result_of(job, out), history_of(job, out)
    assert facts["final"] == pytest.approx(
        column(rows, "psnr_output", facts["curve"])[-1], abs=1e-4
    )


def test_a_job_that_another_process_has_is_left_alone(job, do, pictures):
    place = job_directory(job, pictures / "out")
    place.mkdir(parents=True)
    with FileLock(place / ".lock"):
        assert do(job) == "busy"
    assert job_status(place) == "missing"
    assert do(job) == "done"


def test_a_done_job_is_not_done_again(job, do, pictures):
    assert do(job) == "done"
    place = job_directory(job, pictures / "out")
    before = {p.name: p.stat().st_mtime_ns for p in place.iterdir() if p.name != ".lock"}
    assert do(job) == "done"
    assert {p.name: p.stat().st_mtime_ns for p in place.iterdir() if p.name != ".lock"} == before


def test_several_slices_are_no_case(do, pictures):
    rng = np.random.default_rng(0)
    kspace = rng.standard_normal((3, 2, 16, 16)) + 1j * rng.standard_normal((3, 2, 16, 16))
    import h5py

    with h5py.File(pictures / "volume.h5", "w") as file:
        file["kspace"] = kspace.astype(np.complex64)
    table = {"task": "mri", "file": "volume.h5", "options": {"slice": "all", "maps": "lowres"}}
    from untrained.bench import Run

    case = make_cases(read_entry(table, pictures, ""), pictures)[0]
    job = Job(case, Run("adjoint", label="adjoint"), 0)
    assert do(job) == "failed"
    place = job_directory(job, pictures / "out")
    assert "3 slices" in json.loads((place / "failed.json").read_text())["error"]
