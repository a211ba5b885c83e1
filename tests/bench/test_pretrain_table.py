"""Weights that a grid learns before its runs."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from untrained.bench import open_grid, read_grid
from untrained.errors import UserError

LESSON = """
[[pretrain]]
name = "two"
method = "ugodit"
task = "denoise"
clean = "picture-*.npy"
simulate = { sigma = 25 }
steps = 4
settings = ["net.widths=4,8", "net.skip=2"]
"""
NERP = (
    LESSON.replace("ugodit", "nerp")
    .replace("simulate = { sigma = 25 }", "count = 1")
    .replace('"net.widths=4,8", "net.skip=2"', '"net.width=8", "net.layers=2"')
)
RUN = """
[[runs]]
method = "ugodit"
weights = "two"
steps = 4
"""


def test_weights_are_learned_once_and_belong_to_the_job(
    write_grid: Callable[..., Path], pictures: Path, do: Callable[..., str]
) -> None:
    jobs = open_grid(read_grid(write_grid(cases=LESSON + CASES, runs=RUN)), pictures / "out")
    files = list((pictures / "out" / "data").glob("*.safetensors"))
    assert len(files) == 1
    history = next((pictures / "out" / "data").glob("*-history.csv")).read_text()
    assert "psnr 1,psnr 2" in history.splitlines()[0]
    made = files[0].stat().st_mtime_ns
    again = read_grid(write_grid(cases=LESSON + CASES, runs=RUN)).jobs(pictures / "out" / "data")
    assert files[0].stat().st_mtime_ns == made
    assert [job.id for job in again] == [job.id for job in jobs]
    assert jobs[0].name.endswith("ugodit two steps=4/0")
    assert do(jobs[0]) == "done"
    facts = json.loads(next((pictures / "out").rglob("result.json")).read_text())
    assert facts["recipe"]["net"]["widths"] == [4, 8]
    other = LESSON.replace("steps = 4", "steps = 5") + CASES
    moved = read_grid(write_grid(cases=other, runs=RUN)).jobs(pictures / "out" / "data")
    assert not {job.id for job in moved} & {job.id for job in jobs}


def test_the_whole_budget_starts_from_the_weights_too(
    write_grid: Callable[..., Path], pictures: Path, do: Callable[..., str]
) -> None:
    """The run that only the scores need, after one that held measurements out."""
    nerp = NERP.replace("steps = 4", "steps = 200")
    nerp = nerp.replace("settings = [", 'settings = ["engine.lr=1e-2", ')
    run = RUN.replace("ugodit", "nerp") + 'stop = "heldout"\n'
    jobs = open_grid(read_grid(write_grid(cases=nerp + CASES, runs=run)), pictures / "out")
    assert do(jobs[0]) == "done"
    with next((pictures / "out").rglob("history.csv")).open() as file:
        rows = list(csv.DictReader(file))
    first = {row["phase"]: float(row["data"]) for row in reversed(rows)}
    assert first["full"] == pytest.approx(first["fit"], rel=0.3)


def test_a_run_without_weights_is_the_control_and_named_so(
    write_grid: Callable[..., Path], pictures: Path, do: Callable[..., str]
) -> None:
    run = '[[runs]]\nmethod = "ugodit"\nsteps = 4\nsettings = ["net.widths=4,8", "net.skip=2"]\n'
    jobs = open_grid(read_grid(write_grid(cases=LESSON + CASES, runs=run + RUN)), pictures / "out")
    control = next(job for job in jobs if not job.run.weights[0])
    assert control.run.label.startswith("ugodit, random encoder")
    assert do(control) == "done"


def test_one_input_and_clean_images(write_grid: Callable[..., Path], tmp_path: Path) -> None:
    run = RUN.replace("ugodit", "nerp")
    jobs = read_grid(write_grid(cases=NERP + CASES, runs=run)).jobs(tmp_path / "data")
    assert len(jobs) == 2


CASES = """
[[cases]]
task = "denoise"
clean = "picture-*.npy"
simulate = { sigma = 25 }
seed = 1
"""


@pytest.mark.parametrize(
    ("lesson", "run", "message"),
    [
        (LESSON, '[[runs]]\nmethod = "edip"', r"\[\[runs\]\] 1: .* needs weights"),
        (
            LESSON,
            '[[runs]]\nmethod = "dip"\nweights = "two"',
            r"\[\[runs\]\] 1: .* takes no weights",
        ),
        (LESSON, RUN.replace('"two"', '"three"'), r"\[\[runs\]\] 1: .*learned for ugodit: two"),
        (LESSON + LESSON, RUN, "same name"),
        (
            LESSON.replace('"ugodit"', '"dip"'),
            RUN,
            r"\[\[pretrain\]\] 1: .*learns nothing beforehand",
        ),
        (
            LESSON.replace("net.widths", "net.depths"),
            RUN,
            r"\[\[pretrain\]\] 1: .*no field 'depths'",
        ),
        (LESSON.replace("steps = 4", "step = 4"), RUN, "did you mean 'steps'"),
        (LESSON.replace('name = "two"', ""), RUN, "there is no name"),
    ],
)
def test_wrong_lessons_are_refused(
    write_grid: Callable[..., Path], lesson: str, run: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        read_grid(write_grid(cases=lesson + CASES, runs=run))
