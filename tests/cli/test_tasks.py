"""cs, phase, nldeblur and the kinds of noise from a picture to a result directory."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import call

from untrained.methods import METHODS, find_recipe
from untrained.metrics import psnr, same_view

SMALL = ["--steps", "6", "--set", "net.widths=8,16", "--quiet"]


def facts_of(out: Path) -> dict[str, Any]:
    return json.loads((out / "result.json").read_text())


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    y, x = np.mgrid[0:26, 0:22]
    image = 0.5 + 0.3 * np.sin(x / 3) * np.cos(y / 4) + 0.15 * (x > y)
    np.save(tmp_path / "clean.npy", image.astype(np.float32))
    return tmp_path / "clean.npy"


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("untrained.physics.phase.CYCLES", 30)
    monkeypatch.setattr("untrained.physics.phase.STARTS", 1)


def test_cs_end_to_end_beats_the_adjoint(clean: Path, tmp_path: Path) -> None:
    measured = tmp_path / "y.npz"
    assert call("simulate", "cs", clean, "--ratio", "0.4", "--sigma", "1", "--out", measured) == 0
    scores = {}
    for method in ("adjoint", "cgsense", "auto"):
        more = [*SMALL, "--set", "net.skip=4"] if method == "auto" else ["--quiet"]
        out = tmp_path / method
        assert call("reconstruct", "cs", measured, "--method", method, *more, "--out", out) == 0
        scores[method] = facts_of(out)["metrics"]["psnr"]
    assert facts_of(tmp_path / "auto")["classical"]["method"] == "tv"
    assert scores["auto"] > scores["adjoint"] + 3
    assert (tmp_path / "auto" / "classical.npy").exists()


@pytest.mark.parametrize("method", ["house", "dip"])
def test_phase_end_to_end_shows_what_it_started_from(
    clean: Path, tmp_path: Path, hurried: None, method: str
) -> None:
    measured, out = tmp_path / "y.npz", tmp_path / "out"
    assert call("simulate", "phase", clean, "--pad", "12", "--out", measured) == 0
    assert call("reconstruct", "phase", measured, *SMALL, "--method", method, "--out", out) == 0
    facts = facts_of(out)
    assert facts["classical"]["method"] == "hybrid input-output"
    assert facts["classical"]["metrics"]["psnr"] > 5
    image, truth = (
        torch.from_numpy(np.load(path))[None, None] for path in (out / "reconstruction.npy", clean)
    )
    best = psnr(image, same_view(truth, image), data_range=1.0)
    assert facts["metrics"]["psnr"] == pytest.approx(best, abs=1e-4), "scored as it is turned"
    page = (out / "report.html").read_text()
    assert "Classical: hybrid input-output" in page
    assert "--method hybrid" not in page
    assert np.load(out / "classical.npy").shape == (26, 22)


@pytest.mark.parametrize("method", ["house", "dip"])
def test_nldeblur_end_to_end_has_no_classical_answer(
    clean: Path, tmp_path: Path, method: str
) -> None:
    np.save(tmp_path / "k.npy", np.ones((3, 3)))
    measured, out = tmp_path / "y.npz", tmp_path / "out"
    kernel = ["--kernel", tmp_path / "k.npy"]
    assert call("simulate", "nldeblur", clean, *kernel, "--out", measured) == 0
    assert call("reconstruct", "nldeblur", measured, *SMALL, "--method", method, "--out", out) == 0
    facts = facts_of(out)
    assert facts["classical"] is None
    assert any("not BKSE" in note for note in facts["notes"])
    assert ">Measurement<" in (out / "report.html").read_text()


@pytest.mark.parametrize("task", ["phase", "nldeblur"])
@pytest.mark.parametrize("method", ["adjoint", "tv", "cgsense", "fbp"])
def test_linear_methods_do_not_claim_nonlinear_tasks(
    clean: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], task: str, method: str
) -> None:
    assert call("reconstruct", task, clean, "--method", method, "--out", tmp_path / "out") == 2
    said = capsys.readouterr().err
    assert f"method '{method}' does not do {task}" in said
    assert "house" in said


@pytest.mark.parametrize("name", [n for n, card in METHODS.items() if card.recipe])
def test_networks_claim_nonlinear_tasks_where_their_method_accepts_them(name: str) -> None:
    card = METHODS[name]
    method = find_recipe(card, card.tasks[0], "fast").method
    if {"phase", "nldeblur"} & set(card.tasks):
        assert method.nonlinear
    elif len(card.tasks) > 5:
        assert not method.nonlinear


def test_three_pixels_in_a_hundred_are_enough_to_run(clean: Path, tmp_path: Path) -> None:
    measured, out = tmp_path / "y.npz", tmp_path / "out"
    assert call("simulate", "inpaint", clean, "--missing", "0.97", "--out", measured) == 0
    assert call("reconstruct", "inpaint", measured, *SMALL, "--out", out) == 0
    assert np.isfinite(facts_of(out)["metrics"]["psnr"])


@pytest.mark.parametrize("noise", ["gaussian", "impulse", "poisson", "speckle"])
def test_every_noise_is_simulated_and_removed(clean: Path, tmp_path: Path, noise: str) -> None:
    measured, out = tmp_path / "y.npz", tmp_path / "out"
    more = ["--noise", noise, "--level", "0.2" if noise != "poisson" else "20"]
    assert call("simulate", "denoise", clean, *more, "--out", measured) == 0
    assert call("reconstruct", "denoise", measured, *SMALL, "--method", "dip", "--out", out) == 0


def test_wrong_levels_exit_2(clean: Path, tmp_path: Path, capsys) -> None:
    out = ["--out", tmp_path / "y.npz"]
    assert call("simulate", "denoise", clean, "--noise", "impulse", "--level", "3", *out) == 2
    assert "--level of impulse" in capsys.readouterr().err
    assert call("simulate", "denoise", clean, "--noise", "pink", *out) == 2
    assert call("simulate", "cs", clean, "--ratio", "2", *out) == 2
    assert "--ratio" in capsys.readouterr().err
    assert not (tmp_path / "y.npz").exists()
