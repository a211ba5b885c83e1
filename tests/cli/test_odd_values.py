"""Odd names, numbers and contents through the command line: status 2, or a picture."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import call

from untrained.cli import main
from untrained.methods.dip import DIP

PICTURE = (0.4 + 0.2 * np.random.default_rng(0).random((16, 16))).astype(np.float32)


def heard(capsys: pytest.CaptureFixture, *arguments: object) -> tuple[int, str]:
    """Run a command; returns its status and what was said on stderr."""
    status = call(*arguments)
    said = capsys.readouterr().err.strip()
    assert "Traceback" not in said
    return status, said


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    np.save(tmp_path / "a.npy", PICTURE)
    return tmp_path / "a.npy"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--steps", "9999999999999999999"], "steps must be at most"),
        (["--seeds", "999999999999"], "seeds must be at most"),
        (["--set", "rounds=9999999999999999999"], "whole numbers up to"),
        (["--set", "net.widths=1000000,2"], "at most 65536"),
        (["--set", "net=siren", "--set", "net.layers=1000000000"], "layers must be at most"),
        (["--set", "net.widths=60000,60000"], "memory"),
        (["--sigma", "1e308"], "--sigma"),
        (["--sigma", "1e-320"], "--sigma"),
    ],
)
def test_numbers_out_of_reach(picture, tmp_path, capsys, options, said):
    out = tmp_path / "out"
    status, told = heard(capsys, "reconstruct", "denoise", picture, *options, "--out", out)
    assert status == 2
    assert said in told
    assert "\n" not in told
    assert not (out / "result.json").exists()


def test_a_long_budget_takes_no_memory_before_it_is_used(picture, tmp_path, capsys):
    options = ["--steps", "999999999", "--stop", "steps:2", "--quiet", "--set", "net.widths=8,8"]
    out = ["--out", tmp_path / "out"]
    assert (
        heard(capsys, "reconstruct", "denoise", picture, "--method", "dip", *options, *out)[0] == 0
    )


@pytest.mark.skipif(os.name != "posix" or sys.platform == "darwin", reason="names are text there")
@pytest.mark.parametrize(
    ("name", "locale"),
    [
        (b"caf\xe9.npy", {}),  # bytes that are no text
        ("снимок é.npy".encode(), {"LC_ALL": "C", "PYTHONUTF8": "0"}),  # text that no locale has
    ],
)
def test_names_of_any_bytes(tmp_path, name, locale):
    path = os.path.join(os.fsencode(tmp_path), name)  # noqa: PTH118, bytes
    with open(path, "wb") as file:  # noqa: PTH123
        np.save(file, PICTURE)
    command = [sys.executable, "-m", "untrained", "reconstruct", "denoise", path]
    command += ["--method", "adjoint", "--quiet"]
    given = {**os.environ, "PYTHONCOERCECLOCALE": "0", **locale}
    done = subprocess.run(
        [*command, "--out", os.fsencode(tmp_path / "out")], env=given, capture_output=True
    )
    assert (done.returncode, done.stderr) == (0, b"")
    facts = json.loads((tmp_path / "out" / "result.json").read_bytes())
    assert facts["source"].endswith(".npy")
    assert (tmp_path / "out" / "report.html").stat().st_size > 1000
    again = subprocess.run(
        [*command, "--out", os.fsencode(tmp_path / "out")], env=given, capture_output=True
    )
    assert again.returncode == 2  # a finished result is there
    assert b"never overwritten" in again.stderr


@pytest.mark.parametrize("step", [1, 4])
def test_a_diverged_run_is_no_success(picture, tmp_path, capsys, monkeypatch, step):
    whole = DIP.loss

    def broken(self, s):
        x, terms = whole(self, s)
        return x, {n: v * np.nan if s.step + 1 >= step else v for n, v in terms.items()}

    monkeypatch.setattr(DIP, "loss", broken)
    out = tmp_path / "out"
    options = ["--method", "dip", "--steps", "6", "--stop", "none", "--set", "net.widths=8,8"]
    status, told = heard(
        capsys, "reconstruct", "denoise", picture, *options, "--quiet", "--out", out
    )
    assert status == 2
    assert told.startswith(f"untrained: {picture}: the run diverged")
    assert f"at step {step}" in told
    assert (out / "reconstruction.npy").exists() == (step > 1)  # the last image before that
    if step > 1:
        assert np.isfinite(np.load(out / "reconstruction.npy")).all()


def test_full_memory_is_told_in_a_sentence(picture, tmp_path, capsys, monkeypatch):
    def full(*_, **__):
        raise RuntimeError("std::bad_alloc")

    monkeypatch.setattr("untrained.cli.job.run", full)
    out = tmp_path / "out"
    status, told = heard(capsys, "reconstruct", "denoise", picture, "--method", "dct", "--out", out)
    assert status == 2
    assert told.startswith("untrained: there is not enough memory")


def test_an_operator_of_nonsense_saves_no_nan(tmp_path, capsys):
    """Whatever a solver makes of numbers that overflow, NaN is never saved."""
    (tmp_path / "op.py").write_text(
        "class Op:\n"
        "    x_shape = (1, 16, 16)\n"
        "    def A(self, x):\n"
        "        return x * 1e25\n"
        "    def A_adjoint(self, y):\n"
        "        return y * 1e25\n"
    )
    np.save(tmp_path / "y.npy", PICTURE[None])
    out = tmp_path / "out"
    for method in ("adjoint", "cgsense", "tv", "dct"):
        status, _ = heard(
            capsys, "reconstruct", "custom", tmp_path / "y.npy", "--physics",
            f"{tmp_path / 'op.py'}:Op", "--method", method, "--out", out, "--overwrite", "--quiet",
        )  # fmt: skip
        assert status in (0, 2)
        for file in out.glob("*.npy"):
            assert np.isfinite(np.load(file)).all()


@pytest.mark.parametrize("command", [["reconstruct", "custom"], ["check-operator"]])
def test_help_says_that_code_is_run(capsys, command):
    with pytest.raises(SystemExit):
        main([*command, "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "is run" in said or "runs the Python code" in said
