"""`--volume`: all slices of a file as one image of three sides, from the file to the result."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import call

from untrained.physics import CT, MRI

SMALL = ["--steps", "4", "--set", "net.widths=8,16", "--set", "net.skip=4", "--quiet"]
RNG = np.random.default_rng(0)


@pytest.fixture
def ball() -> np.ndarray:
    z, y, x = np.mgrid[-2:2, -8:8, -8:8]
    texture = 1 + 0.4 * np.sin(1.3 * x + y) * np.cos(0.9 * y)  # no flat pieces: quick to solve
    return ((0.2 + 0.5 * (16 * z**2 + y**2 + x**2 < 50)) * texture).astype(np.float32)


def noisy(ball: np.ndarray, folder: Path) -> Path:
    np.save(folder / "clean.npy", ball)
    assert call("simulate", "denoise", folder / "clean.npy", "--out", folder / "m.npz") == 0
    return folder / "m.npz"


def k_space(ball: np.ndarray, folder: Path) -> Path:
    columns = np.ones(16)
    columns[[1, 3, 12, 14]] = 0
    image = torch.from_numpy(ball)[:, None].repeat(1, 2, 1, 1)
    y = MRI(columns, x_shape=(2, 16, 16)).A(image)
    kspace = torch.complex(y[:, 0], y[:, 1]).numpy()
    reference = ball * (1 + 1j)
    np.savez(folder / "m.npz", kspace=kspace, mask=columns, reference=reference)
    return folder / "m.npz"


def sinograms(ball: np.ndarray, folder: Path) -> Path:
    angles = np.arange(12) * 15.0
    y = CT((16, 16), angles, 20).A(torch.from_numpy(ball)[:, None])
    shape = {"image_shape": np.array([16, 16])}
    arrays = {"sinogram": y[:, 0].movedim(1, 2).numpy(), "angles": angles, "reference": ball}
    np.savez(folder / "m.npz", **arrays, **shape)
    return folder / "m.npz"


@pytest.mark.parametrize(
    ("task", "make"), [("denoise", noisy), ("mri", k_space), ("ct", sinograms)]
)
def test_a_volume_from_the_file_to_the_result(tmp_path, ball, task, make):
    ball = ball if task == "denoise" else ball[:2]
    measured, out = make(ball, tmp_path), tmp_path / "out"
    command = ["reconstruct", task, measured, "--volume", *SMALL, "--out", out]
    assert call(*command) == 0
    facts = json.loads((out / "result.json").read_text())
    image = np.load(out / "reconstruction.npy")
    assert image.shape == ball.shape
    assert facts["axes"] == "ZYX"
    assert facts["metrics"]["psnr"] > 12
    assert facts["metrics"]["psnr"] > 10 * np.log10(ball.max() ** 2 / np.var(ball))
    assert (out / "reconstruction.png").exists()
    assert "slice" in (out / "report.html").read_text()
    # a finished result is shown again, and only for what it was made of
    assert call(*command, "--resume") == 0
    if task != "denoise":
        one_by_one = [part for part in command if part != "--volume"]
        assert call(*one_by_one, "--slice", "all", "--resume") != 0


def test_ct_slices_one_after_another(tmp_path, ball):
    ball = ball[:2]
    measured, out = sinograms(ball, tmp_path), tmp_path / "out"
    given = ["--method", "fbp", "--slice", "all", "--quiet", "--out", out]
    assert call("reconstruct", "ct", measured, *given) == 0
    assert np.load(out / "reconstruction.npy").shape == ball.shape


def test_a_volume_is_told_before_it_is_fitted(tmp_path, ball, capsys):
    measured = noisy(ball, tmp_path)
    assert call("reconstruct", "denoise", measured, "--volume", "--dry-run", "--json") == 0
    printed = capsys.readouterr().out
    facts = json.loads(printed[printed.index("{") :])
    assert facts["image"] == [1, 4, 16, 16]


def test_one_slice_is_no_volume(tmp_path, ball, capsys):
    np.save(tmp_path / "one.npy", ball[0])
    assert call("reconstruct", "denoise", tmp_path / "one.npy", "--volume", *SMALL) == 2
    assert "leave out --volume" in capsys.readouterr().err


def test_a_volume_of_few_slices_has_no_ssim(ball: np.ndarray, tmp_path: Path, capsys) -> None:
    """Its window has 11 pixels; the other measures are told all the same."""
    loud, out = [option for option in SMALL if option != "--quiet"], tmp_path / "out"
    measured = noisy(ball, tmp_path)
    assert call("reconstruct", "denoise", measured, "--volume", *loud, "--out", out) == 0
    facts = json.loads((out / "result.json").read_text())
    assert facts["metrics"]["ssim"] is None
    said = capsys.readouterr().out
    assert f"\nPSNR {facts['metrics']['psnr']:.2f} dB" in said
    assert "SSIM" not in said
    assert "<td>–</td>" in (out / "report.html").read_text()


def test_evaluate_of_a_small_image_has_no_ssim(tmp_path: Path, capsys) -> None:
    image, clean = tmp_path / "image.npy", tmp_path / "clean.npy"
    np.save(clean, np.full((8, 20), 0.5, np.float32))
    np.save(image, np.full((8, 20), 0.6, np.float32))
    assert call("evaluate", image, clean, "--range", 1) == 0
    printed = dict(line.split() for line in capsys.readouterr().out.splitlines())
    assert printed["psnr"] == "20.0000"
    assert printed["ssim"] == "-"
    assert call("evaluate", image, clean, "--range", 1, "--json") == 0
    assert json.loads(capsys.readouterr().out)["ssim"] is None
    assert call("evaluate", image, clean, "--range", 0.000123456) == 0
    assert "range    0.0001235\n" in capsys.readouterr().out
