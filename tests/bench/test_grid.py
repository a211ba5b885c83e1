"""Grid files: what they give, and what is said about wrong ones."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from untrained.bench import job_directory, open_grid, read_grid, read_jobs, select
from untrained.errors import UserError


def names(grid, out) -> list[str]:
    return [job.name for job in open_grid(grid, out)]


def test_every_combination_is_a_job_and_a_classical_method_needs_one_seed(write_grid, tmp_path):
    found = names(read_grid(write_grid("seeds = [0, 1]")), tmp_path / "out")
    setting = "sigma=25"
    assert found == [
        f"denoise/picture-a/{setting}/adjoint/0",
        f"denoise/picture-b/{setting}/adjoint/0",
        f"denoise/picture-a/{setting}/dip/0",
        f"denoise/picture-a/{setting}/dip/1",
        f"denoise/picture-b/{setting}/dip/0",
        f"denoise/picture-b/{setting}/dip/1",
    ]


def test_a_number_of_seeds_counts_them(write_grid):
    assert read_grid(write_grid(head="seeds = 3")).seeds == (0, 1, 2)


def test_a_run_is_for_the_tasks_that_its_method_does(write_grid, tmp_path):
    ct = '[[cases]]\ntask = "ct"\nclean = "picture-a.npy"\nsimulate = { angles = 8 }\n'
    noisy = '[[cases]]\ntask = "denoise"\nclean = "picture-a.npy"\n'
    runs = '[[runs]]\nmethod = ["fbp", "adjoint"]\n'
    assert names(read_grid(write_grid(cases=ct + noisy, runs=runs)), tmp_path / "out") == [
        "ct/picture-a/angles=8/fbp/0",
        "ct/picture-a/angles=8/adjoint/0",
        "denoise/picture-a/adjoint/0",
    ]


def test_labels_tell_what_was_set(write_grid):
    runs = (
        '[[runs]]\nmethod = ["house", "tv"]\npreset = ["fast", "paper"]\n'
        '[[runs]]\nmethod = "dip"\nsettings = ["net.skip=2"]\nsteps = 9\nstop = "none"\n'
    )
    grid = read_grid(write_grid(runs=runs))
    labels = [entry.run.label for entry in grid.runs]
    assert labels == ["house", "house paper", "tv", "dip net.skip=2 steps=9 stop=none"]


def test_small_overrides_leave_classical_methods_alone(write_grid, tmp_path):
    small = '[small]\nseeds = [3]\nimages = 1\nsteps = 2\nsettings = "net.skip=1"\ntime_limit = 9\n'
    path = write_grid("seeds = [0, 1]", tail=small)
    grid = read_grid(path, small=True)
    jobs = open_grid(grid, tmp_path / "out")
    assert [job.name for job in jobs] == [
        "denoise/picture-a/sigma=25/adjoint/3",
        "denoise/picture-a/sigma=25/dip/3",
    ]
    dip = jobs[-1]
    assert dip.seed == 3
    assert dip.plan().recipe.budget == 2
    assert dip.plan().recipe.net.skip == 1
    assert grid.time_limit == 9
    assert dip.run.label == "dip"
    with pytest.raises(UserError, match="belongs to the grid 'grid' --small"):
        open_grid(read_grid(path), tmp_path / "out")


def test_only_selects_by_name(jobs):
    assert [job.run.label for job in select(jobs, "*/dip/*")] == ["dip", "dip"]
    with pytest.raises(UserError, match=r"--only \*hause\*: no job matches; one of them"):
        select(jobs, "*hause*")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"head": "sedes = [1]"}, "unknown key 'sedes'.*did you mean 'seeds'"),
        ({"head": "seeds = [1, 1]"}, "seeds: expected different whole numbers"),
        ({"head": "seeds = 1.5"}, "seeds: expected a whole number or a list"),
        ({"head": "seeds = 0"}, "seeds: 0 is no number of seeds"),
        ({"head": "seeds = true"}, "seeds: expected a whole number or a list, got True"),
        ({"head": "time_limit = -1"}, "time_limit: expected a number above 0"),
        ({"head": "time_limit = nan"}, "time_limit: expected a number above 0"),
        ({"head": "seeds = ["}, "is not a TOML file"),
        ({"cases": ""}, r"no \[\[cases\]\]"),
        ({"runs": ""}, r"no \[\[runs\]\]"),
        ({"cases": "[[cases]]\ntask = 'denoize'\nfile = 'x'"}, "task is 'denoize'; known: denoise"),
        ({"cases": "[[cases]]\ntask = 'denoise'"}, "either file .* or clean"),
        ({"cases": "[[cases]]\ntask = 'denoise'\nfile = 'gone.png'"}, "no file .*gone.png"),
        ({"cases": "[[cases]]\ntask = 'denoise'\nfile = ''"}, "name of the file is empty"),
        ({"cases": "[[cases]]\ntask = 'denoise'\nfile = 'picture-a.npy'\nseed = 1"}, "seed goes"),
        (
            {"cases": "[[cases]]\ntask='denoise'\nclean='picture-a.npy'\nsimulate={sgima=1}"},
            "simulate: unknown key 'sgima'.*did you mean 'sigma'",
        ),
        (
            {"cases": "[[cases]]\ntask='denoise'\nclean='picture-a.npy'\nsimulate={sigma='a'}"},
            "sigma: expected a number, got 'a'",
        ),
        (
            {"cases": "[[cases]]\ntask='denoise'\nfile='picture-a.npy'\noptions={mask='x'}"},
            "options: unknown key 'mask'; known: sigma",
        ),
        (
            {"cases": "[[cases]]\ntask='denoise'\nfile='picture-a.npy'\nregion='ring'"},
            "region is 'ring'; known: all, disc",
        ),
        ({"cases": "[[cases]]\ntask = 'custom'\nclean = 'picture-a.npy'"}, "custom cannot be sim"),
        ({"cases": "cases = [1]"}, r"\[\[cases\]\] 1: expected a table"),
        ({"runs": "[[runs]]\npreset = 'fast'"}, r"\[\[runs\]\] 1: there is no method"),
        ({"runs": "[[runs]]\nmethod = 'hause'"}, "unknown method 'hause'"),
        ({"runs": "[[runs]]\nmethod = 'dip'\ntasks = 'denoize'"}, "unknown task 'denoize'"),
        ({"runs": "[[runs]]\nmethod = ['dip', 'tv']\nlabel = 'x'"}, "a label names one run"),
        ({"runs": "[[runs]]\nmethod = 'dip'\nsteps = 0"}, "steps: expected a number above 0"),
    ],
)
def test_wrong_grids_are_refused_by_name(write_grid, change, message):
    with pytest.raises(UserError, match=f"grid.toml.*{message}"):
        read_grid(write_grid(**change))


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ("[[runs]]\nmethod = 'dip'\nsettings = 'lamb=2'", r"\[\[runs\]\] 1: settings: .*'lamb'"),
        ("[[runs]]\nmethod = 'dip'\npreset = 'slow'", r"\[\[runs\]\] 1: preset: unknown .*'slow'"),
        ("[[runs]]\nmethod = 'tv'\nsteps = 9", r"\[\[runs\]\] 1: steps: 'tv' is a classical"),
        (
            "[[runs]]\nmethod = 'dip'\n[[runs]]\nmethod = ['tv', 'house']\nsteps = 30",
            r"\[\[runs\]\] 2: steps: 'tv' is a classical .* \[\[runs\]\] table of its own",
        ),
        ("[[runs]]\nmethod = 'dip'\nstop = 'heldot'", r"\[\[runs\]\] 1: stop: unknown stop rule"),
        ("[[runs]]\nmethod = 'dip'\noutput = 'x'", r"\[\[runs\]\] 1: output: unknown output 'x'"),
        ("[[runs]]\nmethod = 'fbp'", r"\[\[runs\]\] 1: the run 'fbp' fits none of the cases"),
        ("[[runs]]\nmethod = 'fbp'\ntasks = 'denoise'", "'fbp' does not do denoise"),
        ("[[runs]]\nmethod = 'tv'\n[[runs]]\nmethod = 'tv'", "two jobs are called 'denoise/"),
    ],
)
def test_runs_that_cannot_be_are_refused_before_anything_runs(write_grid, tmp_path, runs, message):
    out = tmp_path / "out"
    with pytest.raises(UserError, match=message):
        open_grid(read_grid(write_grid(runs=runs)), out)
    assert read_jobs(out) == []
    assert open_grid(read_grid(write_grid("name = 'mended'")), out)


def test_small_settings_of_one_run(write_grid):
    tail = '\n[[runs]]\nmethod = "sgld"\nsmall = "net.skip=2"\n[small]\nsettings = "net=compact"\n'
    path = write_grid(tail=tail)
    assert [run.run.settings for run in read_grid(path).runs][-1] == ()
    small = read_grid(path, small=True)
    assert [run.run.settings for run in small.runs][-1] == ("net=compact", "net.skip=2")


def test_guides_belong_to_their_image_and_to_the_job(write_grid, pictures, do):
    clean = np.load(pictures / "picture-a.npy")
    for name, level in (("a", 0.1), ("b", 0.2)):
        np.save(pictures / f"near-picture-{name}.npy", (clean + level).astype(np.float32))
    cases = (
        '[[cases]]\ntask = "denoise"\nclean = "picture-*.npy"\nsimulate = { sigma = 25 }\n'
        'guide = "near-{image}.npy"\n'
    )
    runs = '[[runs]]\nmethod = "refguided"\nsteps = 2\nsettings = ["net.widths=4,8"]\n'
    grid = read_grid(write_grid(cases=cases, runs=runs))
    first, second = open_grid(grid, pictures / "out")
    assert [Path(job.case.guides[0][0]).stem[-1] for job in (first, second)] == ["a", "b"]
    assert do(first) == "done"
    before = first.id
    np.save(pictures / "near-picture-a.npy", clean)
    changed = read_grid(write_grid(cases=cases, runs=runs)).jobs(pictures / "out")[0]
    assert changed.id != before
    cases = cases.replace("near-", "far-")
    with pytest.raises(UserError, match=r"guide: no file .*far-picture-a\.npy"):
        read_grid(write_grid(cases=cases, runs=runs))


def test_an_unreadable_grid_and_a_missing_small(write_grid, tmp_path):
    with pytest.raises(UserError, match=r"there is no file .*gone\.toml"):
        read_grid(tmp_path / "gone.toml")
    with pytest.raises(UserError, match=r"there is no \[small\]"):
        read_grid(write_grid(), small=True)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"binary\.toml is no UTF-8 text"):
        read_grid(tmp_path / "binary.toml")


def test_another_grid_in_the_same_directory_is_refused(jobs, write_grid, pictures):
    with pytest.raises(UserError, match="belongs to the grid 'grid'; choose another"):
        open_grid(read_grid(write_grid("name = 'other'")), pictures / "out")


def test_simulated_cases_are_made_once(jobs, write_grid, pictures):
    before = {p: p.stat().st_mtime_ns for p in (pictures / "out" / "data").iterdir()}
    again = open_grid(read_grid(write_grid()), pictures / "out")
    assert [job.id for job in again] == [job.id for job in jobs]
    assert {p: p.stat().st_mtime_ns for p in (pictures / "out" / "data").iterdir()} == before
    assert len(before) == 2
    assert len({job_directory(job, pictures / "out") for job in jobs}) == 4


@pytest.mark.parametrize(("small", "count"), [(False, 18), (True, 5)])
def test_the_grid_of_the_documentation_is_one(tmp_path, small, count):
    page = Path(__file__).resolve().parents[2] / "docs" / "bench.md"
    (tmp_path / "scans").mkdir()
    (tmp_path / "photos").mkdir()
    (tmp_path / "near").mkdir()
    np.save(tmp_path / "near" / "knee-4x-1.npy", np.ones((16, 16), np.complex64))
    rng = np.random.default_rng(0)
    kspace = (rng.random((2, 16, 16)) + 0j).astype(np.complex64)
    np.savez(tmp_path / "scans" / "knee-4x.npz", kspace=kspace)
    for name in ("a", "b"):
        pixels = rng.integers(0, 256, (16, 16), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{name}.png")
    text = re.findall(r"```toml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "grid.toml").write_text(text[0], encoding="utf-8")
    jobs = open_grid(read_grid(tmp_path / "grid.toml", small=small), tmp_path / "out")
    assert {job.run.label for job in jobs} == {"tv", "house", "DIP, ES-WMV"}
    assert len(jobs) == count
