"""No command loses or overwrites what it did not make, nor its own input."""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import call, picture, tree

import untrained as ut
import untrained.cli.commands  # its modules are changed here
from untrained.report import save

QUICK = ["--steps", "4", "--set", "net.widths=8,16", "--quiet"]
NAMES = [
    *save.FILES,
    *("state.pt", "slice-0", "slice-mine", "seed-1", ".lock", ".replaced.json", "scan.h5"),
    *("grid.json", "jobs", "data", "table.csv", "summary.csv", "w.safetensors", "y.npz"),
]


@pytest.fixture
def noisy(tmp_path: Path) -> Path:
    picture(tmp_path / "noisy.npy")
    return tmp_path / "noisy.npy"


def fill(path: Path, draw: random.Random) -> None:
    """Put files, folders and links of somebody else into a folder, by names of ours and others."""
    path.mkdir()
    (path.parent / "elsewhere.npy").write_text("somebody's")
    for name in draw.sample(NAMES, draw.randint(1, 8)):
        kind = draw.choice(["file", "json", "empty", "folder", "link"])
        if kind == "folder":
            (path / name).mkdir()
            (path / name / "state.pt").write_bytes(b"mine")
        elif kind == "link":
            (path / name).symlink_to(path.parent / "elsewhere.npy")
        else:
            (path / name).write_bytes({"file": b"mine", "json": b"{}", "empty": b""}[kind])


def commands(folder: Path) -> list[list[object]]:
    """Every command that writes, with that folder as its target."""
    noisy, out = folder.parent / "noisy.npy", folder
    grid = folder.parent / "grid.toml"
    grid.write_text(
        f'[[cases]]\ntask = "denoise"\nclean = "{noisy}"\n[[runs]]\nmethod = "adjoint"\n'
    )
    return [
        ["reconstruct", "denoise", noisy, "--method", "adjoint", "--out", out],
        ["reconstruct", "denoise", noisy, "--method", "dip", *QUICK, "--out", out],
        ["simulate", "denoise", noisy, "--out", out / "y.npz"],
        ["pretrain", "nerp", "denoise", noisy, "--out", out / "w.safetensors", *PRETRAIN],
        ["demo", "denoise", "--out", out],
        ["bench", "run", grid, "--out", out, "--jobs", "1", "--quiet"],
        ["bench", "table", out],
        ["bench", "report", out],
    ]


FLAGS = ("reconstruct", "pretrain", "simulate")
PRETRAIN = ["--steps", "3", "--set", "net.width=8", "--set", "net.layers=2", "--quiet"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", range(metafunc.config.getoption("--folders")))


def test_what_others_left_in_a_folder_stays(
    noisy: Path, tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every command in turn; `benchmarks/foreign_files.py` takes 240 folders."""
    monkeypatch.setattr(sys.modules["untrained.cli.demo"], "STEPS", 2)
    monkeypatch.setattr(sys.modules["untrained.cli.demo"], "_measure", lambda *_: noisy)
    draw = random.Random(seed)
    fill(tmp_path / "out", draw)
    before = tree(tmp_path)
    command = commands(tmp_path / "out")[seed % 8]
    flag = draw.choice([[], ["--overwrite"], ["--resume"]]) if command[0] in FLAGS else []
    call(*command, *(flag if command[0] != "simulate" or flag != ["--resume"] else []))
    # a file that the user names may be replaced where he asks for it, and nothing else
    asked = {"simulate": "y.npz", "pretrain": "w.safetensors"}.get(str(command[0]))
    target = str(tmp_path / "out" / asked) if asked and flag == ["--overwrite"] else ""
    assert tree(tmp_path).items() >= {n: held for n, held in before.items() if n != target}.items()


def test_a_folder_of_the_user_as_the_result_directory(
    noisy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """`--out .` with folders by names that were once deleted."""
    home = tmp_path / "home"
    for name in ("slice-0", "seed-3", "slice-archive"):
        (home / name).mkdir(parents=True)
        (home / name / "thesis.txt").write_text("years")
    monkeypatch.chdir(home)
    before = tree(home)
    run = ["reconstruct", "denoise", noisy, "--method", "dip", *QUICK, "--seeds", 2, "--out", "."]
    assert call(*run) == 0
    assert call(*run, "--overwrite") == 0
    assert tree(home).items() >= before.items()
    (home / "std.npy").write_bytes(b"my own")
    assert call(*run, "--overwrite") == 2
    assert "std.npy; nothing was touched" in capsys.readouterr().err
    assert (home / "std.npy").read_bytes() == b"my own"


@pytest.mark.parametrize("spelling", ["same", "dots", "link", "linked folder", "hard link"])
@pytest.mark.parametrize("flag", [[], ["--overwrite"]])
def test_an_input_is_never_written(
    noisy: Path, tmp_path: Path, spelling: str, flag: list[str], capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "out"
    assert call("reconstruct", "denoise", noisy, "--method", "adjoint", "--out", out) == 0
    measured = tmp_path / "y.npz"
    assert call("simulate", "denoise", noisy, "--out", measured) == 0

    def spelled(path: Path) -> Path:
        other = tmp_path / "other"
        other.mkdir(exist_ok=True)
        if spelling == "dots":
            return other / ".." / path.relative_to(tmp_path)
        if spelling == "linked folder":
            (other / path.stem).symlink_to(path.parent)
            return other / path.stem / path.name
        if spelling == "link":
            (other / path.name).symlink_to(path)
            return other / path.name
        if spelling == "hard link":
            (other / path.name).hardlink_to(path)
            return other / path.name
        return path

    before = tree(tmp_path)
    image = spelled(out / "reconstruction.npy")
    assert call("reconstruct", "denoise", image, "--method", "adjoint", "--out", out, *flag) == 2
    said = capsys.readouterr().err
    assert "is an input" in said or "finished result" in said
    reference = ["--reference", image, "--method", "adjoint", "--out", out]
    assert call("reconstruct", "denoise", noisy, *reference, *flag) == 2
    clean = spelled(measured)
    assert call("simulate", "denoise", clean, "--out", measured, *flag) == 2
    assert "is an input" in capsys.readouterr().err
    assert tree(tmp_path).items() >= before.items()


def test_nothing_is_simulated_onto_a_file_unasked(
    noisy: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    measured = tmp_path / "y.npz"
    assert call("simulate", "denoise", noisy, "--out", measured) == 0
    before = measured.read_bytes()
    again = ["simulate", "denoise", noisy, "--seed", 1, "--out", measured]
    assert call(*again) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert measured.read_bytes() == before
    assert call(*again, "--overwrite") == 0
    assert measured.read_bytes() != before


def test_a_finished_result_is_shown_for_its_seeds_and_reference_only(
    noisy: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "out"
    run = ["reconstruct", "denoise", noisy, "--method", "dip", *QUICK, "--out", out]
    assert call(*run, "--seeds", 2) == 0
    assert call(*run, "--seeds", 2, "--resume") == 0
    assert call(*run, "--resume") == 2
    assert "seeds differ" in capsys.readouterr().err
    assert call(*run, "--seeds", 2, "--resume", "--reference", noisy) == 2
    assert "compared with no reference" in capsys.readouterr().err
    assert call(*run, "--seeds", 2, "--overwrite", "--reference", noisy) == 0
    assert call(*run, "--seeds", 2, "--resume", "--reference", noisy) == 0
    assert call(*run, "--seeds", 2, "--resume") == 2


@pytest.mark.parametrize("name", ["reconstruction.npy", "history.csv", "report.html"])
@pytest.mark.parametrize("damage", ["gone", "changed"])
def test_a_result_that_lost_a_file_is_not_done(
    noisy: Path, tmp_path: Path, name: str, damage: str, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "out"
    run = ["reconstruct", "denoise", noisy, "--method", "adjoint", "--out", out]
    assert call(*run) == 0
    (out / name).unlink() if damage == "gone" else (out / name).write_bytes(b"other")
    assert call(*run, "--resume") == 2
    assert f"its {name} {'is gone' if damage == 'gone' else 'was changed since'}" in (
        capsys.readouterr().err
    )


def test_an_overwriting_run_that_is_refused_or_cut_leaves_the_old_result(
    noisy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "out"
    run = ["reconstruct", "denoise", noisy, "--method", "dip", *QUICK, "--out", out]
    assert call(*run) == 0
    before = tree(out)
    assert call(*run, "--stop", "discrepancy", "--overwrite") == 2
    assert tree(out) == before
    monkeypatch.setattr("untrained.cli.job.write_result", lambda *_: 1 / 0)
    assert call(*run, "--seed", 1, "--overwrite") == 1
    assert tree(out).items() >= before.items()
    monkeypatch.undo()
    assert call(*run, "--seed", 1) == 2
    assert "--resume to go on" in capsys.readouterr().err
    assert call(*run, "--seed", 1, "--resume") == 0
    assert json.loads((out / "result.json").read_text())["seed"] == 1
    assert sorted(p.name for p in out.iterdir()) == sorted(Path(name).name for name in before)


def test_an_unfinished_run_survives_an_overwriting_command_that_is_refused(
    noisy: Path, tmp_path: Path
) -> None:
    out, whole = tmp_path / "out", tmp_path / "whole"
    run = ["reconstruct", "denoise", noisy, "--method", "dip", *QUICK]
    assert call(*run, "--out", out, "--time-limit", "1e-6") == 0
    state = (out / "state.pt").read_bytes()
    assert call(*run, "--out", out, "--stop", "discrepancy", "--overwrite") == 2
    assert (out / "state.pt").read_bytes() == state
    assert call(*run, "--out", out, "--resume") == 0
    assert call(*run, "--out", whole) == 0
    assert (out / "history.csv").read_bytes() == (whole / "history.csv").read_bytes()


def test_a_demo_replaces_a_demo_and_nothing_else(
    noisy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(sys.modules["untrained.cli.demo"], "STEPS", 2)
    monkeypatch.setattr(sys.modules["untrained.cli.demo"], "_measure", lambda *_: noisy)
    mine, own = tmp_path / "mine", tmp_path / "own"
    assert call("reconstruct", "denoise", noisy, "--method", "adjoint", "--out", mine) == 0
    before = tree(mine)
    assert call("demo", "denoise", "--out", mine) == 2
    assert "other files than a demo's" in capsys.readouterr().err
    assert tree(mine) == before
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "state.pt").write_bytes(b"a network of mine")
    assert call("demo", "denoise", "--out", tmp_path / "state") == 2
    assert (tmp_path / "state" / "state.pt").exists()
    for _ in range(2):
        assert call("demo", "denoise", "--threads", 1, "--out", own) == 0
    (own / "notes.txt").write_text("mine")
    shutil.copy(noisy, own / "noisy.npy")
    assert call("demo", "denoise", "--out", own) == 0
    assert (own / "notes.txt").read_text() == "mine"


def test_weights_that_came_meanwhile_are_not_replaced(
    noisy: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    weights = tmp_path / "w.safetensors"
    learn = ["pretrain", "nerp", "denoise", noisy, "--out", weights, *PRETRAIN]
    assert call(*learn, "--time-limit", "1e-6") == 130
    weights.write_bytes(b"a colleague's")
    assert call(*learn, "--resume") == 2
    assert "../w.safetensors; nothing was touched" in capsys.readouterr().err
    assert weights.read_bytes() == b"a colleague's"
    weights.unlink()
    assert call(*learn, "--resume") == 0
    assert weights.exists()


def test_a_table_is_not_written_onto_what_it_is_made_from(
    noisy: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "bench"
    run = commands(out)[5]
    assert call(*run) == 0
    for _ in range(2):
        assert call("bench", "table", out) == 0
        assert call("bench", "report", out) == 0
    history = next(out.rglob("history.csv"))
    before = history.read_bytes()
    assert call("bench", "table", out, "--out", history, "--overwrite") == 2
    assert history.read_bytes() == before
    (out / "table.csv").write_text("my own")
    assert call("bench", "table", out) == 2
    assert "was not touched" in capsys.readouterr().err
    assert (out / "table.csv").read_text() == "my own"
    mine = tmp_path / "mine.csv"
    assert call("bench", "table", out, "--out", mine) == 0
    assert call("bench", "table", out, "--out", mine) == 2
    assert call("bench", "table", out, "--out", mine, "--overwrite") == 0


def test_resuming_never_replaces_what_another_command_made(
    noisy: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out, other = tmp_path / "out", tmp_path / "other.npy"
    np.save(other, np.load(noisy)[::-1])
    dip = ["reconstruct", "denoise", noisy, "--method", "dip", *QUICK, "--out", out]
    adjoint = ["reconstruct", "denoise", other, "--method", "adjoint", "--out", out]
    assert call(*dip) == 0
    before = tree(out)
    (out / ".untrained").mkdir()  # as a kill right after the end leaves it
    (out / ".untrained" / "lock").touch()
    assert call(*adjoint, "--resume") == 2
    assert "other settings" in capsys.readouterr().err
    assert tree(out).items() >= before.items()
    assert call(*dip, "--time-limit", "1e-6", "--overwrite") == 0
    state = (out / "state.pt").read_bytes()
    assert call(*adjoint, "--resume") == 2
    assert "unfinished run of another kind" in capsys.readouterr().err
    assert (out / "state.pt").read_bytes() == state
    assert call(*dip, "--resume") == 0


def test_an_input_in_the_working_folder_is_refused(noisy: Path, tmp_path: Path) -> None:
    inside = tmp_path / "out" / ".untrained" / "slice-0" / "noisy.npy"
    inside.parent.mkdir(parents=True)
    shutil.copy(noisy, inside)
    run = ["reconstruct", "denoise", inside, "--method", "adjoint", "--out", tmp_path / "out"]
    assert call(*run) == 2
    assert call(*run, "--overwrite") == 2
    assert inside.exists()


@pytest.mark.parametrize("change", ["seed", "no files"])
def test_a_tampered_result_is_not_shown(noisy: Path, tmp_path: Path, change: str) -> None:
    out = tmp_path / "out"
    run = ["reconstruct", "denoise", noisy, "--method", "dip", *QUICK, "--out", out]
    assert call(*run) == 0
    facts = json.loads((out / "result.json").read_text())
    if change == "seed":
        facts["seed"] = 1
    else:
        del facts["files"], facts["signature"]
    (out / "result.json").write_text(json.dumps(facts))
    assert call(*run, "--seed", facts["seed"], "--resume") == 2


def test_an_unfinished_run_is_not_mixed_with_a_saved_result(noisy: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run = ["reconstruct", "denoise", noisy, "--method", "dip", *QUICK, "--out", out]
    assert call(*run, "--time-limit", "1e-6") == 0
    (out / "result.json").unlink()
    y = torch.from_numpy(np.load(noisy))[None, None]
    result = ut.reconstruct(y, ut.physics.Denoise(), "adjoint", progress=False)
    with pytest.raises(ut.UserError, match="unfinished run"):
        result.save(out)
    result.save(out, overwrite=True)
    assert not (out / "state.pt").exists()
    assert json.loads((out / "result.json").read_text())["method"] == "adjoint"


@pytest.mark.skipif(os.name != "posix", reason="names are text elsewhere")
def test_a_folder_whose_name_is_no_text(noisy: Path, tmp_path: Path) -> None:
    out = tmp_path / os.fsdecode(b"bad\xff")
    run = ["reconstruct", "denoise", noisy, "--method", "dip", *QUICK, "--out", out]
    assert call(*run) == 0
    assert call(*run, "--resume") == 0
    assert call(*run, "--overwrite") == 0


def test_a_name_that_is_too_long_is_one_sentence(
    noisy: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert call("simulate", "denoise", noisy, "--out", tmp_path / ("x" * 256 + ".npz")) == 2
    assert "untrained: " in capsys.readouterr().err
    name = "\u6f22" * 80 + ".npz"
    assert call("simulate", "denoise", noisy, "--out", tmp_path / name) == 0
