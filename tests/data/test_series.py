"""Time series from folders, stacks and arrays."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from PIL import Image

from untrained.data import with_references
from untrained.data.tasks.denoise import load_denoise
from untrained.data.tasks.inpaint import load_inpaint
from untrained.data.tasks.superres import load_superres
from untrained.errors import UserError

RNG = np.random.default_rng(0)
CLIP = (RNG.random((4, 8, 10)) * 255).astype(np.uint8)
COLOUR = RNG.random((3, 3, 8, 10)).astype(np.float32)


def folder(place, frames=CLIP, first=8):
    place.mkdir()
    for t, frame in enumerate(frames):
        Image.fromarray(frame).save(place / f"frame{t + first}.png")
    return place


def test_a_folder_is_read_in_the_order_of_its_numbers(tmp_path):
    """frame8, frame9, frame10, frame11: numbers count as numbers, other files are left out."""
    place = folder(tmp_path / "clip")
    (place / "notes.txt").write_text("none")
    found = load_denoise(place, sigma=10, series=True)
    assert np.allclose(255 * found.y[0, 0], CLIP, atol=1e-4)
    assert found.axes == "TYX"
    assert found.physics.is_series
    assert any("1 files of the folder are no pictures" in note for note in found.notes)


@pytest.mark.parametrize("name", ["c.npy", "c.tif"])
def test_a_stack_is_a_series(tmp_path, name):
    if name == "c.npy":
        np.save(tmp_path / name, CLIP)
    else:
        tifffile.imwrite(tmp_path / name, CLIP, photometric="minisblack")
    found = load_denoise(tmp_path / name, sigma=10, series=True)
    assert np.allclose(255 * found.y[0, 0], CLIP, atol=1e-4)


def test_channels_come_behind_time(tmp_path):
    np.save(tmp_path / "c.npy", COLOUR)
    found = load_superres(tmp_path / "c.npy", factor=2, series=True)
    assert found.y.shape == (1, 3, 3, 8, 10)
    assert np.array_equal(found.y[0, :, 1], COLOUR[1])
    assert found.physics.x_shape == (3, 3, 16, 20)
    assert found.axes == "TCYX"


@pytest.mark.parametrize("shape", [(8, 10), (4, 8, 10)])
def test_masks_of_a_series(tmp_path, shape):
    """Check that one mask holds for all frames, and a mask for each for its own."""
    mask = RNG.random(shape) < 0.6
    np.savez(tmp_path / "h.npz", measurement=CLIP / 255, mask=mask, reference=CLIP / 255)
    found = load_inpaint(tmp_path / "h.npz", series=True)
    assert np.allclose(found.y[0, 0], CLIP / 255 * mask, atol=1e-6)
    assert found.reference is not None
    np.save(tmp_path / "m.npy", mask)
    np.save(tmp_path / "c.npy", CLIP)
    again = load_inpaint(tmp_path / "c.npy", mask=tmp_path / "m.npy", series=True)
    assert np.array_equal(again.physics.mask.numpy(), found.physics.mask.numpy())


def test_a_reference_may_be_a_folder(tmp_path):
    np.save(tmp_path / "c.npy", CLIP)
    (found,) = with_references(
        [load_denoise(tmp_path / "c.npy", sigma=10, series=True)], folder(tmp_path / "truth")
    )
    assert np.allclose(255 * found.reference[0, 0], CLIP, atol=1e-4)
    np.save(tmp_path / "short.npy", CLIP[:3])
    with pytest.raises(UserError, match="the series to reconstruct is"):
        with_references([found], tmp_path / "short.npy")


def test_black_pixels_of_a_series_are_missing(tmp_path):
    holes = CLIP * (RNG.random(CLIP.shape) < 0.6)
    np.save(tmp_path / "c.npy", holes)
    found = load_inpaint(tmp_path / "c.npy", series=True)
    assert np.array_equal(found.physics.mask[0, 0], holes != 0)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda p: np.save(p / "c.npy", CLIP[:1]), "one frame"),
        (lambda p: np.save(p / "c.npy", CLIP[0]), r"a series is \(T, H, W\)"),
        (lambda p: np.save(p / "c.npy", np.zeros((3, 7, 8, 8))), "at most 4 channels"),
        (lambda p: np.save(p / "c.npy", COLOUR * np.nan), "NaN"),
        (lambda p: np.save(p / "c.npy", COLOUR * 1j), "complex"),
        (lambda p: (p / "c.npy").mkdir(), "holds 0 pictures"),
    ],
)
def test_what_is_no_series_is_refused(tmp_path, make, said):
    make(tmp_path)
    with pytest.raises(UserError, match=said):
        load_denoise(tmp_path / "c.npy", sigma=10, series=True)


def test_a_picture_a_volume_and_frames_of_two_sizes_are_refused(tmp_path):
    place = folder(tmp_path / "clip")
    with pytest.raises(UserError, match="one picture, which is no series"):
        load_denoise(place / "frame8.png", series=True)
    with pytest.raises(UserError, match="leave out one"):
        load_denoise(place, series=True, volume=True)
    Image.fromarray(CLIP[0, :5]).save(place / "frame20.png")
    with pytest.raises(UserError, match="have one size"):
        load_denoise(place, series=True)
    np.save(tmp_path / "m.npy", np.ones((3, 8, 10)))
    np.save(tmp_path / "c.npy", CLIP)
    with pytest.raises(UserError, match="of 4 frames of 8 x 10"):
        load_inpaint(tmp_path / "c.npy", mask=tmp_path / "m.npy", series=True)
