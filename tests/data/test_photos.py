"""Round trips and errors of the photograph tasks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from photo_files import PIXELS
from PIL import Image

from untrained.data.phantoms import gaussian_kernel
from untrained.data.simulate.photos import (
    simulate_deblur,
    simulate_denoise,
    simulate_inpaint,
    simulate_superres,
)
from untrained.data.tasks.deblur import load_deblur
from untrained.data.tasks.denoise import load_denoise
from untrained.data.tasks.inpaint import load_inpaint
from untrained.data.tasks.superres import load_superres
from untrained.doubts.photographs import estimate_noise
from untrained.errors import UserError

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def assert_explains(measurement, noise: float, shape=(3, 24, 32)) -> None:
    """y is A(reference) plus noise of the stated size."""
    assert measurement.y.dtype == torch.float32
    assert measurement.reference.shape == (1, *shape)
    assert measurement.data_range == 1.0
    residual = measurement.y - measurement.physics.A(measurement.reference)
    assert float(residual.std()) == pytest.approx(noise, rel=0.1, abs=1e-6)


def test_denoise_round_trip(clean, tmp_path):
    simulate_denoise(clean, tmp_path / "m.npz", seed=1, sigma=50)
    found = load_denoise(tmp_path / "m.npz")
    assert_explains(found, 50 / 255)
    assert found.sigma == pytest.approx(50 / 255)
    assert found.axes == "CYX"
    assert float(found.y.min()) < 0, "noise must not be clipped"
    assert float(found.y.max()) > 1, "noise must not be clipped"
    assert np.array_equal(np.round(found.reference[0].numpy() * 255), np.moveaxis(PIXELS, -1, 0))


def test_grey_is_stored_without_channel_axis(grey, tmp_path):
    simulate_denoise(grey, tmp_path / "m.npz")
    with np.load(tmp_path / "m.npz") as stored:
        assert stored["measurement"].shape == stored["reference"].shape == (24, 32)
        assert float(stored["sigma"]) == 25.0
    assert load_denoise(tmp_path / "m.npz").axes == "YX"


@pytest.mark.parametrize("box", [None, (6, 8)])
def test_inpaint_round_trip(clean, tmp_path, box):
    missing = 0.3 if box is None else None
    simulate_inpaint(clean, tmp_path / "m.npz", seed=2, missing=missing, box=box)
    found = load_inpaint(tmp_path / "m.npz")
    assert_explains(found, 0.0)
    with np.load(tmp_path / "m.npz") as stored:
        lost = int((stored["mask"] == 0).sum())
        assert stored["mask"].shape == (24, 32)
    assert lost == (48 if box else round(0.3 * 24 * 32))
    assert float(found.y[..., torch.from_numpy(stored_mask(tmp_path) == 0)].abs().max()) == 0


def test_a_box_can_lie_in_the_middle(clean, tmp_path):
    simulate_inpaint(clean, tmp_path / "m.npz", seed=2, box=(6, 9), center=True)
    wanted = np.ones((24, 32))
    wanted[9:15, 11:20] = 0
    assert np.array_equal(stored_mask(tmp_path), wanted)


def stored_mask(folder: Path) -> np.ndarray:
    with np.load(folder / "m.npz") as stored:
        return stored["mask"]


def test_superres_round_trip(clean, tmp_path):
    simulate_superres(clean, tmp_path / "m.npz", factor=4, sigma=5)
    found = load_superres(tmp_path / "m.npz")
    assert found.y.shape == (1, 3, 6, 8)
    assert_explains(found, 5 / 255)


@pytest.mark.parametrize("given", [False, True])
def test_deblur_round_trip(clean, tmp_path, given):
    kernel = np.array([[1.0, 2.0, 0.0], [0.0, 3.0, 0.0], [0.0, 0.0, 2.0]])
    np.save(tmp_path / "k.npy", kernel)
    notes = simulate_deblur(
        clean, tmp_path / "m.npz", sigma=3, kernel=tmp_path / "k.npy" if given else None
    )
    found = load_deblur(tmp_path / "m.npz")
    assert_explains(found, 3 / 255)
    assert float(found.physics.kernel.sum()) == pytest.approx(1, abs=1e-6)
    if given:
        assert np.allclose(found.physics.kernel.squeeze(), kernel / 8, atol=1e-6)
    else:
        assert any("Gaussian" in note for note in notes)


def test_simulation_is_seeded_to_the_byte(clean, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        simulate_denoise(clean, tmp_path / f"{name}.npz", seed=seed)
    a, b, c = ((tmp_path / f"{name}.npz").read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_reference_reaches_nothing_but_the_report(clean, tmp_path):
    simulate_denoise(clean, tmp_path / "m.npz")
    with np.load(tmp_path / "m.npz") as stored:
        arrays = {key: stored[key] for key in stored if key != "reference"}
    np.savez(tmp_path / "n.npz", **arrays)
    with_truth, without = load_denoise(tmp_path / "m.npz"), load_denoise(tmp_path / "n.npz")
    assert torch.equal(with_truth.y, without.y)
    assert with_truth.sigma == without.sigma
    assert without.reference is None


def test_options_take_precedence_over_the_file(clean, tmp_path):
    simulate_denoise(clean, tmp_path / "m.npz", sigma=25)
    assert load_denoise(tmp_path / "m.npz", sigma="10").sigma == pytest.approx(10 / 255)
    simulate_inpaint(clean, tmp_path / "m.npz", missing=0.5)
    mask = np.arange(24 * 32).reshape(24, 32) > 0
    np.save(tmp_path / "mask.npy", mask)
    found = load_inpaint(tmp_path / "m.npz", mask=tmp_path / "mask.npy")
    assert np.array_equal(found.physics.mask[0, 0].numpy() == 1, mask)


@pytest.mark.parametrize("sigma", [5, 25, 60])
def test_noise_is_estimated_on_a_smooth_picture(sigma):
    y, x = np.mgrid[0:128, 0:128] / 128
    smooth = torch.from_numpy(np.sin(3 * x) * np.cos(2 * y)).float().expand(1, 3, -1, -1)
    noise = torch.randn(smooth.shape, generator=torch.Generator().manual_seed(0))
    level = estimate_noise(smooth + sigma / 255 * noise)
    assert level == pytest.approx(sigma / 255, rel=0.05)


def test_noise_auto_is_said(clean, tmp_path):
    simulate_denoise(clean, tmp_path / "m.npz", sigma=25)
    found = load_denoise(tmp_path / "m.npz", sigma="auto")
    assert any("estimated" in note for note in found.notes)
    assert load_denoise(clean).sigma is None


def test_a_picture_of_many_channels_may_be_a_volume_and_is_said_to_be_none(tmp_path):
    for count, said in ((4, False), (24, True)):
        np.save(tmp_path / "many.npy", np.full((count, 16, 16), 0.5, np.float32))
        notes = load_denoise(tmp_path / "many.npy", sigma=25).notes
        assert any(f"one picture of {count} channels" in note for note in notes) == said


def test_noise_of_a_real_photograph():
    path = SHARED / "skimage"
    if not path.exists():
        pytest.skip(f"no photographs under {path}")
    picture = torch.from_numpy(np.asarray(Image.open(path / "camera.png"), np.float32) / 255)
    noise = torch.randn(picture.shape, generator=torch.Generator().manual_seed(0))
    level = estimate_noise((picture + 25 / 255 * noise)[None, None])
    assert level == pytest.approx(25 / 255, rel=0.1)


def test_pictures_are_read_directly(clean, grey, tmp_path):
    assert load_denoise(clean).y.shape == (1, 3, 24, 32)
    assert load_superres(clean, factor=2).physics.x_shape == (3, 48, 64)
    np.savez(tmp_path / "k.npz", kernel=gaussian_kernel(1.0))
    assert load_deblur(grey, kernel=tmp_path / "k.npz").physics.x_shape == (1, 24, 32)


def test_black_pixels_are_the_last_resort_for_a_mask(tmp_path):
    holes = PIXELS.copy()
    holes[PIXELS.sum(-1) == 0] = 1
    holes[4:8, 5:9] = 0
    Image.fromarray(holes).save(tmp_path / "a.png")
    found = load_inpaint(tmp_path / "a.png")
    assert int((found.physics.mask[0, 0] == 0).sum()) == 16
    assert any("no mask was given" in note for note in found.notes)
    holes[4:8, 5:9] = 1
    Image.fromarray(holes).save(tmp_path / "a.png")
    with pytest.raises(UserError, match="--mask"):
        load_inpaint(tmp_path / "a.png")


def test_mask_pictures_are_cut_at_half_white(clean, tmp_path):
    mask = np.zeros((24, 32), np.uint8)
    mask[:, 16:] = 250
    Image.fromarray(mask).save(tmp_path / "m.png")
    found = load_inpaint(clean, mask=tmp_path / "m.png")
    assert float(found.physics.mask.mean()) == 0.5
    assert any("384 pixels of the mask" in note for note in found.notes)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.ones((24, 31)), r"\(24, 31\)"),
        (np.full((24, 32), 0.5), r"only 0 .*and 1"),
        (np.zeros((24, 32)), "nothing as measured"),
        (np.full((24, 32), np.nan), "768 values NaN"),
        (np.ones((2, 2, 24, 32)), r"\(H, W\)"),
    ],
)
def test_bad_masks(clean, tmp_path, mask, message):
    np.save(tmp_path / "m.npy", mask)
    with pytest.raises(UserError, match=message):
        load_inpaint(clean, mask=tmp_path / "m.npy")


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (np.ones(5), r"2-D .*\(5,\)"),
        (np.ones((3, 3), complex), "complex"),
        (np.zeros((3, 3)), "sum"),
        (np.full((3, 3), np.inf), "9 values NaN or infinite"),
        (np.ones((99, 99)), "99"),
    ],
)
def test_bad_kernels(clean, tmp_path, kernel, message):
    np.save(tmp_path / "k.npy", kernel)
    with pytest.raises(UserError, match=message):
        load_deblur(clean, kernel=tmp_path / "k.npy")


def test_kernels_that_do_not_sum_to_one_are_said(clean, tmp_path):
    Image.fromarray(np.full((5, 5), 200, np.uint8)).save(tmp_path / "k.png")
    found = load_deblur(clean, kernel=tmp_path / "k.png")
    assert any("divided" in note for note in found.notes)
    Image.fromarray(PIXELS[:5, :5]).save(tmp_path / "c.png")
    with pytest.raises(UserError, match="grey one"):
        load_deblur(clean, kernel=tmp_path / "c.png")


def test_missing_parameters_are_asked_for(clean):
    with pytest.raises(UserError, match="--factor"):
        load_superres(clean)
    with pytest.raises(UserError, match="--kernel"):
        load_deblur(clean)


@pytest.mark.parametrize("factor", [1, 0, -2, 2.5])
def test_bad_factor_of_a_file(clean, factor):
    with pytest.raises(UserError, match="factor must be a whole number"):
        load_superres(clean, factor=factor)


def test_factor_must_divide(clean, tmp_path):
    with pytest.raises(UserError, match="factor 5 does not divide"):
        simulate_superres(clean, tmp_path / "m.npz", factor=5)


@pytest.mark.parametrize("sigma", [-1, "nan", "inf", "much"])
def test_bad_sigma(clean, sigma):
    with pytest.raises(UserError, match="--sigma"):
        load_denoise(clean, sigma=sigma)


def test_bad_simulation_options(clean, tmp_path):
    out = tmp_path / "m.npz"
    with pytest.raises(UserError, match="not both"):
        simulate_inpaint(clean, out, missing=0.5, box=(4, 4))
    for missing in (None, 0.5):
        with pytest.raises(UserError, match="--center .* give --box H,W"):
            simulate_inpaint(clean, out, missing=missing, center=True)
    with pytest.raises(UserError, match="missing must be a fraction"):
        simulate_inpaint(clean, out, missing=1.5)
    with pytest.raises(UserError, match="box 99x4"):
        simulate_inpaint(clean, out, box=(99, 4))
    with pytest.raises(UserError, match="--sigma"):
        simulate_denoise(clean, out, sigma=-3)
    assert not out.exists()


@pytest.mark.parametrize(
    ("given", "level"), [("10", 10 / 255), ("0", 0.0), ("auto", None), (None, 3 / 255)]
)
def test_the_noise_of_kept_pixels_may_be_given(clean, tmp_path, given, level):
    simulate_inpaint(clean, tmp_path / "m.npz", missing=0.5)
    with np.load(tmp_path / "m.npz") as file:
        np.savez(tmp_path / "noisy.npz", **file, sigma=3.0)
    found = load_inpaint(tmp_path / "noisy.npz", sigma=given)
    assert found.sigma == (None if level is None else pytest.approx(level))
    replaced = [note for note in found.notes if "--sigma took the place" in note]
    assert len(replaced) == (given is not None)
    with pytest.raises(UserError, match="--sigma must be"):
        load_inpaint(tmp_path / "m.npz", sigma="-1")


@pytest.mark.parametrize("simulate", [simulate_denoise, simulate_inpaint])
def test_bad_seed(clean, tmp_path, simulate):
    with pytest.raises(UserError, match="--seed"):
        simulate(clean, tmp_path / "m.npz", seed=-1)
