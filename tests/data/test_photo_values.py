"""Photographs whose values, masks or references are not what a task takes."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from photo_files import PIXELS
from PIL import Image

from untrained.data import TASKS
from untrained.data.simulate.photos import simulate_denoise
from untrained.data.tasks.denoise import load_denoise
from untrained.data.tasks.inpaint import load_inpaint
from untrained.data.tasks.superres import load_superres
from untrained.errors import UserError


def test_floats_on_another_scale_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", PIXELS[..., 0].astype(np.float32))
    with pytest.raises(UserError, match="divide by the white level"):
        load_denoise(tmp_path / "a.npy")
    with pytest.raises(UserError, match="divide by the white level"):
        simulate_denoise(tmp_path / "a.npy", tmp_path / "m.npz")


@pytest.mark.parametrize("task", ["denoise", "inpaint", "superres", "deblur"])
def test_common_faults_of_files(tmp_path, task):
    load = TASKS[task].load
    np.savez(tmp_path / "a.npz", kspace=np.ones((2, 4, 4)))
    with pytest.raises(UserError, match="lacks 'measurement'; it holds 'kspace'"):
        load(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", measurement=np.full((8, 8), np.nan, np.float32))
    with pytest.raises(UserError, match="64 values NaN"):
        load(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", measurement=np.ones((8, 8), np.complex64))
    with pytest.raises(UserError, match="complex"):
        load(tmp_path / "a.npz")
    with pytest.raises(UserError, match="there is no file"):
        load(tmp_path / "none.png")
    with pytest.raises(UserError, match="must be a picture"):
        load(tmp_path / "a.txt")


def test_reference_of_another_shape_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", measurement=np.ones((8, 8)), reference=np.ones((8, 9)))
    with pytest.raises(UserError, match=r"'reference'.*\(1, 8, 9\).*\(1, 8, 8\)"):
        load_denoise(tmp_path / "a.npz")


def test_a_noise_level_in_another_unit_is_noticed(clean, tmp_path):
    simulate_denoise(clean, tmp_path / "n.npz", sigma=25, seed=0)
    assert "looks like" in load_denoise(tmp_path / "n.npz", sigma=0.1).notes[-1]
    assert not load_denoise(tmp_path / "n.npz", sigma=25).notes
    assert not load_denoise(tmp_path / "n.npz").notes
    with np.load(tmp_path / "n.npz") as file:
        np.savez(tmp_path / "unit.npz", measurement=file["measurement"], sigma=25 / 255)
    assert "looks like" in load_denoise(tmp_path / "unit.npz").notes[-1]


def test_a_mask_with_nothing_missing_is_refused(clean, tmp_path):
    np.save(tmp_path / "m.npy", np.ones((24, 32)))
    with pytest.raises(UserError, match="nothing to fill in"):
        load_inpaint(clean, mask=tmp_path / "m.npy")


def test_a_mask_of_ones_saved_as_8_bits_is_explained(clean, tmp_path):
    Image.fromarray(np.ones((24, 32), np.uint8)).save(tmp_path / "m.png")
    with pytest.raises(UserError, match="0.4% of the full range"):
        load_inpaint(clean, mask=tmp_path / "m.png")


def test_values_outside_the_unit_range_are_said(tmp_path):
    np.save(tmp_path / "p.npy", np.linspace(-1, 1, 400, dtype=np.float32).reshape(20, 20))
    assert "values reach from -1 to 1" in load_denoise(tmp_path / "p.npy").notes[0]


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint32])
def test_large_integers_without_a_white_level_are_refused(tmp_path, dtype):
    np.save(tmp_path / "p.npy", np.full((8, 8), 200, dtype))
    with pytest.raises(UserError, match="white level is not known"):
        load_denoise(tmp_path / "p.npy")


def test_12_bits_in_16_are_said(tmp_path):
    np.save(tmp_path / "p.npy", np.full((8, 8), 4000, np.uint16))
    assert "6.1% of what uint16 holds" in load_denoise(tmp_path / "p.npy").notes[0]


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".tif"])
def test_nan_in_a_picture_is_sent_to_inpaint_which_takes_it(tmp_path, suffix):
    """One dead pixel is refused with what can be done about it, and that works when followed."""
    picture = np.random.default_rng(0).random((24, 24)).astype(np.float32)
    picture[3, 4] = np.nan
    path = tmp_path / f"p{suffix}"
    if suffix == ".npz":
        np.savez(path, measurement=picture)
    elif suffix == ".npy":
        np.save(path, picture)
    else:
        tifffile.imwrite(path, picture)
    for load in (load_denoise, load_superres):
        more = {"factor": 2} if load is load_superres else {}
        with pytest.raises(UserError, match="untrained reconstruct inpaint"):
            load(path, **more)
    measured = load_inpaint(path)
    assert float(measured.physics.mask[..., 3, 4]) == 0
    everywhere = tmp_path / "all.npy"
    np.save(everywhere, np.full((24, 24), np.nan, np.float32))
    with pytest.raises(UserError, match="576 values NaN") as refused:
        load_inpaint(everywhere)
    assert "inpaint` on this file" not in str(refused.value)
