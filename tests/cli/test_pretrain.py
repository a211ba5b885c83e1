"""`untrained pretrain` as its user meets it: files, refusals, interruption, and the way back."""

import inspect
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from command_line import call

from untrained import load_weights
from untrained.cli.pretrain import LOADERS_NAMES, _own_options
from untrained.cli.reconstruct import reconstruct
from untrained.data import TASKS
from untrained.priors import load_prior

SMALL = ["--set", "net.widths=4,6", "--set", "net.skip=2", "--quiet"]
QUICK = ["--steps", "6", *SMALL]


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Three pictures of one shape."""
    y, x = np.mgrid[0:18, 0:22]
    for i in range(3):
        picture = 0.5 + 0.3 * np.sin(x / (3 + i)) * np.cos(y / 4)
        np.save(tmp_path / f"{i}.npy", picture.astype(np.float32))
    return [tmp_path / f"{i}.npy" for i in range(3)]


def test_learned_weights_reconstruct_the_next_picture(pictures: list[Path], tmp_path: Path) -> None:
    weights, out = tmp_path / "w.safetensors", tmp_path / "out"
    assert call("pretrain", "ugodit", "denoise", *pictures[:2], "--out", weights, *QUICK) == 0
    beside = {p.name for p in (tmp_path / "w-training").iterdir()}
    assert beside == {"history.csv", "report.html", "result.json"}
    page = (tmp_path / "w-training" / "report.html").read_text(encoding="utf-8")
    assert "1.npy" in page
    assert "How to repeat it" in page
    facts = json.loads((tmp_path / "w-training" / "result.json").read_text())
    assert facts["method"] == "ugodit"
    assert [entry["name"] for entry in facts["inputs"]] == ["0.npy", "1.npy"]
    assert len(facts["inputs"][0]["sha256"]) == 64
    learned = ["--weights", weights, "--steps", "6", "--quiet", "--out", out]
    assert call("reconstruct", "denoise", pictures[2], *learned) == 0
    result = json.loads((out / "result.json").read_text())
    assert result["method"] == "ugodit"
    assert result["recipe"]["net"]["widths"] == [4, 6]
    assert [entry["name"] for entry in result["weights"]["inputs"]] == ["0.npy", "1.npy"]


@pytest.mark.parametrize("method", ["metadip", "strainer", "nerp"])
def test_clean_pictures_are_learned_from(
    method: str, pictures: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    small = (
        ["net.width=8", "net.layers=2"] if method != "metadip" else ["net.widths=4,6", "inner=2"]
    )
    sets = [part for setting in small for part in ("--set", setting)]
    command = ["pretrain", method, "denoise", *pictures[:2], "--out", tmp_path / "w.safetensors"]
    assert call(*command, "--steps", 4, *sets, "--json") == 0
    assert json.loads(capsys.readouterr().out)["weights"].endswith("w.safetensors")
    learned = ["--weights", tmp_path / "w.safetensors", "--steps", 4, "--quiet"]
    place = ["--out", tmp_path / "out"]
    assert call("reconstruct", "denoise", pictures[2], *learned, *place) == 0


def test_a_denoiser_is_learned_from_pictures_of_any_size_and_asked(
    pictures: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    np.save(tmp_path / "wide.npy", np.load(pictures[0])[:, :19])
    prior = tmp_path / "prior.safetensors"
    sets = ["--set", "net.widths=4,4", "--set", "net.features=4", "--set", "batch=2"]
    command = ["pretrain", "denoiser", "denoise", tmp_path / "wide.npy", pictures[1]]
    command += ["--noisy", 0.1, "--steps", 4, *sets, "--out", prior]
    assert call(*command, "--dry-run", "--json") == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 4
    assert not prior.exists()
    assert call(*command) == 0
    assert "--method METHOD --prior" in capsys.readouterr().out
    facts = json.loads((tmp_path / "prior-training" / "result.json").read_text())
    assert [entry["name"] for entry in facts["inputs"]] == ["wide.npy", "1.npy"]
    assert facts["image"] == [1, 18, 18]
    assert load_prior(prior).levels[0] == pytest.approx(0.1)
    asked = ["--method", "deepred", "--prior", prior, "--steps", 4, "--quiet"]
    assert call("reconstruct", "denoise", pictures[2], *asked, "--out", tmp_path / "out") == 0
    again = [*command[:-1], tmp_path / "more.safetensors", "--prior", prior, "--quiet"]
    assert call(*again) == 0
    assert call(*again, "--resume") == 0
    assert call(*again[:-3], "--resume") == 2
    assert "data" in capsys.readouterr().err
    assert call("reconstruct", "denoise", pictures[2], "--weights", prior) == 2
    assert "give the file as --prior" in capsys.readouterr().err


def test_an_unrolled_network_is_learned_from_pairs(
    pictures: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    pairs = []
    for i, picture in enumerate(pictures[:2]):
        pairs.append(tmp_path / f"y{i}.npz")
        assert call("simulate", "denoise", picture, "--out", pairs[-1]) == 0
    sets = ["--set", "net.widths=4,4", "--set", "net.cascades=2", "--steps", 4]
    out = tmp_path / "v.safetensors"
    capsys.readouterr()
    assert call("pretrain", "varnet", "denoise", *pairs, *sets, "--out", out) == 0
    assert load_prior(out).provenance.architecture == "untrained-varnet"
    asked = ["--method", "varnet", "--prior", out, "--quiet", "--out", tmp_path / "out"]
    assert call("reconstruct", "denoise", pictures[2], *asked) == 0
    other = tmp_path / "w.safetensors"
    assert call("pretrain", "varnet", "denoise", pictures[0], *sets, "--out", other) == 2
    assert "needs a 'reference'" in capsys.readouterr().err


def test_a_time_limit_is_a_pause_and_no_success(
    pictures: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    command = ["pretrain", "ugodit", "denoise", *pictures[:2], *SMALL, "--steps", 200]
    place = ["--out", tmp_path / "w.safetensors"]
    assert call(*command, *place, "--time-limit", 0.01) == 130
    assert "w.safetensors is not written yet" in capsys.readouterr().err
    assert not (tmp_path / "w.safetensors").exists()


def test_every_option_of_a_task_reaches_its_loader() -> None:
    """`--slice` and others go by another name there."""
    for task, command in reconstruct.commands.items():
        given = {p.name: 1 for p in _own_options(task) if p.name}
        known = inspect.signature(TASKS[task].load).parameters
        assert {LOADERS_NAMES.get(name, name) for name in given} <= set(known), command.name


def test_the_history_of_a_training_has_the_psnr_where_a_file_has_a_reference(
    pictures: list[Path], tmp_path: Path
) -> None:
    assert call("simulate", "denoise", pictures[0], "--out", tmp_path / "y.npz") == 0
    inputs = [tmp_path / "y.npz", pictures[1]]
    out = tmp_path / "w.safetensors"
    assert call("pretrain", "ugodit", "denoise", *inputs, "--out", out, *QUICK) == 0
    lines = (tmp_path / "w-training" / "history.csv").read_text().splitlines()
    assert "psnr 1" in lines[0].split(",")
    assert "psnr 2" not in lines[0].split(",")
    last = float(lines[-1].split(",")[lines[0].split(",").index("psnr 1")])
    assert 0 < last < 60
    assert "PSNR" in (tmp_path / "w-training" / "report.html").read_text(encoding="utf-8")


def test_slices_of_a_scan_are_learned_from(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    draw = np.random.default_rng(0)
    kspace = draw.normal(size=(3, 2, 16, 16)) + 1j * draw.normal(size=(3, 2, 16, 16))
    np.savez(tmp_path / "scan.npz", kspace=kspace.astype(np.complex64))
    command = ["pretrain", "ugodit", "mri", tmp_path / "scan.npz", "--maps", "lowres"]
    weights = tmp_path / "w.safetensors"
    small = ["--set", "net.widths=4,6", "--steps", 4, "--json"]
    assert call(*command, "--slice", "all", "--out", weights, *small) == 0
    names = [entry["name"] for entry in json.loads(capsys.readouterr().out)["inputs"]]
    assert names == [f"scan.npz, slice {i}" for i in range(3)]


def test_a_clean_mri_image_is_one_slice(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    np.save(tmp_path / "stack.npy", np.zeros((2, 16, 16), np.float32))
    command = ["pretrain", "nerp", "mri", tmp_path / "stack.npy"]
    assert call(*command, "--out", tmp_path / "w.safetensors") == 2
    assert "one slice a file" in capsys.readouterr().err


def test_the_geometry_of_a_scan_is_learned_from(tmp_path: Path, pictures: list[Path]) -> None:
    scan, weights = tmp_path / "scan.npz", tmp_path / "w.safetensors"
    assert call("simulate", "ct", pictures[0], "--angles", 6, "--out", scan) == 0
    sets = [*QUICK, "--set", "batch=2"]
    assert call("pretrain", "edip", "ct", scan, "--out", weights, *sets) == 0
    learned = ["--weights", weights, "--steps", 4, "--quiet", "--out", tmp_path / "out"]
    assert call("reconstruct", "ct", scan, *learned) == 0
    assert call("pretrain", "edip", "ct", scan, scan, "--out", tmp_path / "v.safetensors") == 2


def test_an_interrupted_training_resumes_to_the_same_bytes(
    pictures: list[Path], tmp_path: Path
) -> None:
    training = ["pretrain", "ugodit", "denoise", *map(str, pictures[:2])]
    training += ["--threads", "1", "--steps", "200", *SMALL[:-1]]
    command = [sys.executable, "-m", "untrained", *training]
    whole, cut = tmp_path / "whole.safetensors", tmp_path / "cut.safetensors"
    running = subprocess.Popen([*command, "--out", str(cut)], stderr=subprocess.PIPE)
    for _ in range(6000):
        if (tmp_path / "cut-training" / "state.pt").exists() or running.poll() is not None:
            break
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=120)
    assert running.returncode == 130, errors
    assert b"--resume" in errors
    assert not cut.exists()
    assert call(*training, "--out", cut) == 2
    assert call(*training, "--out", cut, "--resume") == 0
    assert call(*training, "--out", whole) == 0
    first, second = load_weights(whole), load_weights(cut)
    assert all(bool((t == second.tensors[n]).all()) for n, t in first.tensors.items())


@pytest.mark.parametrize("method", ["ugodit", "metadip"])
def test_a_dry_run_tells_time_and_memory_and_writes_nothing(
    method: str, pictures: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    before = sorted(tmp_path.rglob("*"))
    out = ["--out", tmp_path / "w.safetensors"]
    assert call("pretrain", method, "denoise", *pictures, *out, "--dry-run", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["images"] == len(pictures)
    assert facts["seconds"] > facts["seconds_per_step"] > 0
    assert facts["peak_memory_mb"] > 100
    assert sorted(tmp_path.rglob("*")) == before


def test_finished_weights_are_kept(
    pictures: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    command = ["pretrain", "ugodit", "denoise", *pictures[:2], "--out", tmp_path / "w.safetensors"]
    assert call(*command, *QUICK) == 0
    before = (tmp_path / "w.safetensors").read_bytes()
    assert call(*command, *QUICK) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert call(*command, *QUICK, "--resume") == 0
    assert call(*command, *QUICK, "--resume", "--seed", 1) == 2
    assert "seed" in capsys.readouterr().err
    assert (tmp_path / "w.safetensors").read_bytes() == before
    assert call(*command, *QUICK, "--overwrite", "--seed", 1) == 0
    assert (tmp_path / "w.safetensors").read_bytes() != before


def test_resuming_never_replaces_what_is_finished(
    pictures: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """Neither weights without their training, nor a training without its weights."""
    weights, folder = tmp_path / "w.safetensors", tmp_path / "w-training"
    command = ["pretrain", "ugodit", "denoise", *pictures[:2], "--out", weights, *QUICK]
    assert call(*command) == 0
    before = weights.read_bytes()
    folder.rename(tmp_path / "aside")
    assert call(*command, "--resume") == 2
    assert "never overwritten unasked" in capsys.readouterr().err
    assert weights.read_bytes() == before
    (tmp_path / "aside").rename(folder)
    weights.unlink()
    report = (folder / "result.json").read_bytes()
    assert call(*command, "--resume") == 2
    assert "its ../w.safetensors is gone" in capsys.readouterr().err
    assert (folder / "result.json").read_bytes() == report
    assert call(*command, "--overwrite") == 0
    assert weights.exists()


def test_finished_weights_belong_to_their_measurements(
    pictures: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """The same files with another noise level are other measurements."""
    weights = tmp_path / "w.safetensors"
    command = ["pretrain", "ugodit", "denoise", *pictures[:2], "--out", weights, *QUICK]
    assert call(*command, "--sigma", 10) == 0
    assert call(*command, "--sigma", 10, "--resume") == 0
    assert call(*command, "--sigma", 20, "--resume") == 2
    assert "data" in capsys.readouterr().err
    facts = json.loads((tmp_path / "w-training" / "result.json").read_text())
    assert len(facts["data"]) == 2
    assert facts["command"].startswith("untrained")
    assert facts["threads"] >= 1


WRONG = {
    "no input": (["denoise"], "INPUT"),
    "a missing file": (["denoise", "none.npy"], "none.npy"),
    "a file twice": (["denoise", "0.npy", "../{folder}/0.npy"], "0.npy is given twice"),
    "a copy": (["denoise", "0.npy", "copy.npy"], "copy.npy is given twice (as 0.npy)"),
    "a folder": (["denoise", "0.npy", "--out", "d.safetensors"], "is a folder"),
    "two shapes": (["denoise", "0.npy", "wide.npy"], "wide.npy has an image of (1, 18, 30)"),
    "a task it has not": (["paint", "0.npy"], "paint"),
    "an unknown setting": (["denoise", "0.npy", "--set", "gamma=1"], "gamma"),
    "another suffix": (["denoise", "0.npy", "--out", "w.pt"], "w.pt"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_exits_2_and_names_it(
    case: str,
    pictures: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("wide.npy", np.full((18, 30), 0.5, np.float32))
    Path("copy.npy").write_bytes(Path("0.npy").read_bytes())
    Path("d.safetensors").mkdir()
    arguments, message = WRONG[case]
    arguments = [one.format(folder=tmp_path.name) for one in arguments]
    out = [] if "--out" in arguments else ["--out", "w.safetensors"]
    assert call("pretrain", "ugodit", *arguments, *out, *QUICK) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "w.safetensors").exists()


def test_weights_that_do_not_fit_exit_2(
    pictures: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    weights = tmp_path / "w.safetensors"
    assert call("pretrain", "ugodit", "denoise", *pictures[:2], "--out", weights, *QUICK) == 0
    for more, message in (
        (["--method", "dip"], "random weights"),
        (["--method", "edip"], "for the method ugodit"),
        (["--set", "net.widths=5,6"], "do not fit the network"),
    ):
        out = ["--out", tmp_path / "out", "--weights", weights, "--quiet"]
        assert call("reconstruct", "denoise", pictures[2], *out, *more) == 2
        assert message in capsys.readouterr().err
    assert call("reconstruct", "denoise", pictures[2], "--method", "edip") == 2
    assert "untrained pretrain edip denoise" in capsys.readouterr().err


def test_ugodit_without_weights_says_before_it_runs_that_it_is_a_control(
    pictures: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out, given = tmp_path / "out", ["--method", "ugodit", "--steps", "6", *SMALL[:-1]]
    command = ["reconstruct", "denoise", pictures[2], *given]
    assert call(*command, "--dry-run") == 0
    assert "a random encoder, never trained" in " ".join(capsys.readouterr().err.split())
    assert call(*command, "--no-compare", "--out", out) == 0
    heard = capsys.readouterr()
    assert "a random encoder, never trained" in " ".join(heard.err.split())  # before the run
    assert "ugodit, random encoder on denoise" in heard.out
    facts = json.loads((out / "result.json").read_text())
    assert facts["method"] == "ugodit, random encoder"
    assert any("untrained pretrain ugodit denoise" in note for note in facts["notes"])
    assert "ugodit, random encoder" in (out / "report.html").read_text()
