"""The command line as its user meets it: exit statuses, files, refusals. In-process for speed."""

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import call, picture
from filelock import FileLock

from untrained.cli.closing import closing_lines
from untrained.core.rule import Stopped
from untrained.methods import METHODS
from untrained.methods.card import FAMILIES, LOW_DATA

QUICK = ["--steps", "6", "--set", "net.widths=8,16", "--quiet"]


@pytest.fixture
def noisy(tmp_path: Path) -> Path:
    picture(tmp_path / "noisy.npy")
    return tmp_path / "noisy.npy"


def reconstruct(noisy: Path, *more: object) -> int:
    return call("reconstruct", "denoise", noisy, *QUICK, *more)


def test_a_run_leaves_the_promised_files(noisy: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert reconstruct(noisy, "--out", out, "--reference", noisy) == 0
    names = {p.name for p in out.iterdir()}
    assert names == {
        "reconstruction.npy",
        "reconstruction.png",
        "classical.npy",
        "classical.png",
        "history.csv",
        "report.html",
        "result.json",
    }
    facts = json.loads((out / "result.json").read_text())
    expected = (
        "method preset task recipe seed device precision threads versions steps stop seconds "
        "cpu_seconds peak_memory_mb resumed_from axes metrics classical"
    )
    assert set(expected.split()) <= facts.keys()
    assert facts["method"] == "house"
    assert facts["steps"] >= 6
    assert facts["metrics"]["psnr"] > 0
    assert np.load(out / "reconstruction.npy").shape == (26, 22)


def test_the_default_directory(
    noisy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert reconstruct(noisy, "--method", "dip") == 0
    assert (tmp_path / "untrained-out" / "denoise-noisy" / "result.json").exists()


def test_a_finished_result_is_kept(noisy: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    assert reconstruct(noisy, "--out", out) == 0
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    assert reconstruct(noisy, "--out", out) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert reconstruct(noisy, "--out", out, "--resume") == 0
    assert reconstruct(noisy, "--out", out, "--resume", "--seed", "1") == 2
    assert "seed" in capsys.readouterr().err
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before
    assert reconstruct(noisy, "--out", out, "--overwrite", "--seed", "1") == 0
    assert (out / "reconstruction.npy").read_bytes() != before["reconstruction.npy"]


def test_a_finished_result_is_not_shown_for_other_measurements(
    noisy: Path, tmp_path: Path, capsys
) -> None:
    out, other = tmp_path / "out", tmp_path / "other" / noisy.name
    other.parent.mkdir()
    np.save(other, np.load(noisy)[::-1])
    assert call("reconstruct", "denoise", noisy, "--method", "dct", "--out", out) == 0
    again = ["--method", "dct", "--out", out, "--resume"]
    assert call("reconstruct", "denoise", noisy, *again) == 0
    assert call("reconstruct", "denoise", other, *again) == 2
    assert f"other measurements, from {noisy}" in capsys.readouterr().err
    assert call("reconstruct", "denoise", noisy, "--sigma", "9", *again) == 2


def test_what_was_decided_for_the_user_is_said_before_the_run_and_once(
    noisy: Path, tmp_path: Path, capsys, monkeypatch
) -> None:
    np.save(noisy, 2 * np.load(noisy) - 1)
    again = ["reconstruct", "denoise", noisy, "--method", "dct", "--out", tmp_path / "o"]
    assert call(*again) == 0
    said = capsys.readouterr()
    lines = said.err.splitlines()
    assert any(line.startswith("note: values reach from") for line in lines)
    assert max(len(line) for line in lines if line.startswith(("note", "  "))) <= 80
    assert "values reach from" not in said.out
    facts = json.loads((tmp_path / "o" / "result.json").read_text())
    assert any("values reach from" in note for note in facts["notes"])
    assert call(*again, "--resume") == 0  # a finished result tells them all
    assert "note: values reach from" in capsys.readouterr().out

    def interrupted(*_, **__) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("untrained.cli.job._results", interrupted)
    assert call(*again, "--overwrite") == 130
    assert "note: values reach from" in capsys.readouterr().err
    assert call(*again, "--overwrite", "--quiet") == 130
    assert "note" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("solved", "steps", "took", "said"),
    [
        (0.31, 0, 29.4, "29 s, 0.3 s of them to solve"),
        (4.2, 40, 4.4, "4.2 s for 40 steps"),
        (61.0, 40, 95.0, "95 s, 61 s of them for 40 steps"),
        (61.0, 40, None, "61 s for 40 steps"),
    ],
)
def test_the_time_that_was_waited_is_told(solved, steps, took, said) -> None:
    """A formula of a blink, with a comparison of half a minute, took half a minute."""
    facts = {
        "stop": {"reason": ""}, "metrics": None, "classical": None, "method": "fbp",
        "task": "ct", "seconds": solved, "steps": steps,
    }  # fmt: skip
    assert f"took     {said}" in closing_lines(Path("o"), facts, took)


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        ({"psnr": 25.254, "ssim": None, "nrmse": 0.1}, None, "PSNR 25.25 dB"),
        ({"psnr": 25.254, "ssim": 0.9, "nrmse": 0.1}, 24.0,
         "PSNR 25.25 dB, SSIM 0.900 (+1.25 dB against tv)"),
        ({"psnr": None, "ssim": 1.0, "nrmse": 0.0}, 24.0, "equal to the reference, pixel by pixel"),
        ({"psnr": None, "ssim": None, "nrmse": 0.0}, None,
         "equal to the reference, pixel by pixel"),
    ],
)  # fmt: skip
def test_a_measure_that_is_no_number_is_left_out(ours, theirs, said) -> None:
    """SSIM of sides below 11 pixels, PSNR of equal images; the classical one's likewise."""
    facts = {
        "stop": {"reason": ""}, "metrics": ours, "method": "dip", "task": "denoise", "seconds": 1.0,
        "classical": {"method": "tv", "metrics": {"psnr": theirs}}, "steps": 3,
    }  # fmt: skip
    assert said in closing_lines(Path("o"), facts)


def test_time_limit_is_a_result_that_resume_improves(noisy: Path, tmp_path: Path, capsys) -> None:
    out, whole = tmp_path / "out", tmp_path / "whole"
    assert reconstruct(noisy, "--out", out, "--time-limit", "1e-6") == 0
    facts = json.loads((out / "result.json").read_text())
    assert facts["stop"]["rule"] == "time limit"
    assert reconstruct(noisy, "--out", out) == 2
    assert "--resume" in capsys.readouterr().err
    assert reconstruct(noisy, "--out", out, "--resume") == 0
    assert reconstruct(noisy, "--out", whole) == 0
    for name in ("reconstruction.npy", "history.csv"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()
    assert json.loads((out / "result.json").read_text())["resumed_from"] == [1]
    assert not (out / "state.pt").exists()


def test_resume_in_an_empty_or_missing_directory_starts_anew(noisy: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("empty", "missing"):
        assert reconstruct(noisy, "--out", tmp_path / name, "--resume") == 0


def test_one_process_per_directory(noisy: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "out" / ".untrained").mkdir(parents=True)
    with FileLock(tmp_path / "out" / ".untrained" / "lock"):
        assert reconstruct(noisy, "--out", tmp_path / "out") == 2
    assert "another process" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--method", "hause"], "did you mean 'house'"),
        (["--method", "cgsense", "--steps", "3"], "without optimiser steps"),
        (["--set", "lamb=2"], "has no field 'lamb'"),
        (["--set", "engine.lr=fast"], "is not a float"),
        (["--set", "engine.optimiser=lion"], "known: adam"),
        (["--set", "nets.depth=2"], "'nets' is none of"),
        (["--stop", "wvm"], "did you mean 'wmv'"),
        (["--stop", "discrepancy"], "noise level"),
        (["--sigma", "loud"], "sigma"),
        (["--reference", "gone.png"], "gone.png"),
        (["--resume", "--overwrite"], "exclude each other"),
        (["--frobnicate"], "No such option"),
        (["--preset", "fastest"], "fast"),
        (["--guide", "x", "--method", "refguided"], "there is no file x"),
        (["--guide", "x", "--method", "dip"], "takes no notice of --guide"),
        (["--method", "dip", "--set", "inner=0"], "give 1 or more"),
        (["--method", "refguided"], "--guide"),
    ],
)
def test_wrong_options_exit_2_and_name_the_culprit(noisy, tmp_path, capsys, more, message) -> None:
    out = tmp_path / "out"
    assert reconstruct(noisy, "--out", out, *more) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said
    assert not (out / "result.json").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "noisy2.npy"), (b"", "empty"), (b"\x93NUMPY", "noisy2.npy")],
    ids=["missing", "empty", "truncated"],
)
def test_wrong_files_exit_2_and_name_the_file(tmp_path, capsys, content, message) -> None:
    path = tmp_path / "noisy2.npy"
    if content is not None:
        path.write_bytes(content)
    assert reconstruct(path, "--out", tmp_path / "out") == 2
    assert message in capsys.readouterr().err


def test_a_file_in_the_directorys_place(noisy: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "out").write_text("mine")
    assert reconstruct(noisy, "--out", tmp_path / "out") == 2
    assert "a file is in its place" in capsys.readouterr().err
    assert (tmp_path / "out").read_text() == "mine"


def test_unknown_commands_and_tasks_exit_2(noisy: Path) -> None:
    assert call("reconstrct") == 2
    assert call("reconstruct", "denois", noisy) == 2
    assert call("pretrain", "ugodit") == 2
    assert call("bench", "speed") == 2


@pytest.mark.parametrize("what", ["methods", "nets", "tasks", "presets", "rules", "formats"])
def test_lists_are_lists_of_named_objects(what: str, capsys) -> None:
    assert call("list", what, "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows
    assert all(row["name"] for row in rows)
    assert call("list", what) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_methods_are_listed_under_their_family(capsys) -> None:
    assert call("list", "methods") == 0
    parts = capsys.readouterr().out.split("\n\n")
    assert parts[0].startswith("auto ")
    families = {card.family for card in METHODS.values()}
    for part, family in zip(parts[1:], [f for f in FAMILIES if f in families], strict=True):
        heading, *lines = part.splitlines()
        assert heading == f"{family.upper()}: {FAMILIES[family]}"
        named = [line.split()[0] for line in lines if line[0] != " "]
        assert named == [name for name, card in METHODS.items() if card.family == family]
        assert ("--weights" in part) == ("--guide" in part) == (family == LOW_DATA)


@pytest.mark.parametrize("method", ["adjoint", "cgsense", "tv", "dip", "tvdip", "aseqdip"])
def test_every_method_runs_from_a_file(noisy: Path, tmp_path: Path, method: str, capsys) -> None:
    options = [] if method in ("adjoint", "cgsense", "tv") else QUICK
    out = tmp_path / method
    command = ["reconstruct", "denoise", noisy, *options, "--method", method, "--out", out]
    assert call(*command, "--json") == 0
    assert json.loads(capsys.readouterr().out)["method"] == method


def test_seeds_write_their_spread(noisy: Path, tmp_path: Path) -> None:
    assert reconstruct(noisy, "--seeds", "2", "--out", tmp_path / "out") == 0
    assert np.load(tmp_path / "out" / "std.npy").max() > 0
    assert not list((tmp_path / "out").glob("seed-*"))


def test_a_dry_run_knows_that_further_seeds_fit_once(noisy: Path, capsys) -> None:
    parts = ["--method", "dip", "--steps", 12, "--dry-run", "--json"]
    assert reconstruct(noisy, *parts, "--seeds", 3) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 4 * 12


def test_dry_run_runs_nothing(noisy: Path, tmp_path: Path, capsys) -> None:
    assert reconstruct(noisy, "--dry-run", "--json", "--out", tmp_path / "out") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["parameters"] > 0
    assert facts["seconds"] > 0
    assert facts["peak_memory_mb"] > 50
    assert not (tmp_path / "out").exists()


def test_simulate_reconstruct_evaluate(noisy: Path, tmp_path: Path, capsys) -> None:
    measured = tmp_path / "y.npz"
    assert call("simulate", "inpaint", noisy, "--missing", "0.3", "--out", measured) == 0
    assert call("reconstruct", "inpaint", measured, *QUICK, "--out", tmp_path / "out") == 0
    capsys.readouterr()
    image = tmp_path / "out" / "reconstruction.npy"
    assert call("evaluate", image, noisy, "--range", "1", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    stored = json.loads((tmp_path / "out" / "result.json").read_text())["metrics"]
    assert printed["psnr"] == pytest.approx(stored["psnr"], abs=1e-3)


def test_simulate_a_box_in_the_middle(noisy: Path, tmp_path: Path, capsys) -> None:
    asked = ("simulate", "inpaint", noisy, "--center", "--out", tmp_path / "y.npz")
    assert call(*asked) == 2
    assert "give --box H,W" in capsys.readouterr().err
    assert call(*asked, "--box", "4,6") == 0
    with np.load(tmp_path / "y.npz") as stored:
        mask = stored["mask"]
    assert (mask == 0).sum() == 24
    assert np.array_equal(mask, mask[::-1, ::-1])


def test_check_operator(tmp_path: Path, capsys) -> None:
    code = """
import torch
class Good:
    x_shape = (1, 6, 5)
    def A(self, x): return 2 * x.flip(-1)
    def A_adjoint(self, y): return 2 * y.flip(-1)
class Bad(Good):
    def A_adjoint(self, y): return y
class Bare:
    x_shape = (1, 6, 5)
    def A(self, x): return x.cumsum(-1)
class Complex(Bare):
    def A(self, x): return torch.fft.fft2(x)
class Double(Bare):
    def A(self, x): return x.double()
class Failing(Bare):
    def A(self, x):
        return x @ torch.ones(3, 3)
"""
    (tmp_path / "ops.py").write_text(code)
    assert call("check-operator", f"{tmp_path / 'ops.py'}:Good") == 0
    assert call("check-operator", f"{tmp_path / 'ops.py'}:Bare") == 0
    assert call("check-operator", f"{tmp_path / 'ops.py'}:Bad") == 1
    assert "not the adjoint" in capsys.readouterr().out
    assert call("check-operator", f"{tmp_path / 'ops.py'}:Gone") == 2
    np.save(tmp_path / "y.npy", np.ones((1, 6, 5), np.float32))
    for name, said in (
        ("Complex", "A must return float32, not torch.complex64; complex values as two real chan"),
        ("Double", "A must return float32, not torch.float64; add .float()"),
        ("Failing", f"(line 18 of {tmp_path / 'ops.py'}: return x @ torch.ones(3, 3))"),
    ):
        spec = f"{tmp_path / 'ops.py'}:{name}"
        capsys.readouterr()
        assert call("check-operator", spec) == 2
        assert said in " ".join(capsys.readouterr().err.split())
        out = ("--out", tmp_path / "out")
        assert call("reconstruct", "custom", tmp_path / "y.npy", "--physics", spec, *out) == 2
        assert said in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("method", ["tv", "l1wavelet", "dct", "nlbayes"])
def test_a_classical_method_minds_the_time_limit(
    noisy: Path, tmp_path: Path, capsys, monkeypatch, method
) -> None:
    """It has no image on the way: the run ends with what to do, and leaves no result."""
    monkeypatch.setattr("untrained.waiting.EVERY", 0.0)
    out = tmp_path / "out"
    given = ["--method", method, "--out", out, "--no-compare", "--time-limit"]
    assert call("reconstruct", "denoise", noisy, *given, "1e-6") == 2
    said = " ".join(capsys.readouterr().err.split())
    assert f"'{method}' did not end within the time limit" in said
    assert not (out / "result.json").exists()
    assert call("reconstruct", "denoise", noisy, *given, "600") == 0


def test_an_interrupted_classical_method_ends(noisy: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("untrained.waiting.EVERY", 0.0)
    monkeypatch.setattr("untrained.rules.watch.Interrupt.interrupted", asked)
    assert call("reconstruct", "denoise", noisy, "--method", "tv", "--out", tmp_path / "o") == 130
    assert not (tmp_path / "o" / "result.json").exists()


def asked(watch) -> Stopped:
    return Stopped("interrupted", 0, "as by Ctrl-C")
