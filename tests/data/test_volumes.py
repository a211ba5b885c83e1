"""Files of several slices: all of them as one volume, or one after another."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from untrained.data import read_clean, with_references
from untrained.data.formats import open_arrays
from untrained.data.formats.npz import NpzFile
from untrained.data.tasks.ct import load_ct
from untrained.data.tasks.denoise import load_denoise
from untrained.data.tasks.inpaint import load_inpaint
from untrained.data.tasks.mri import load_mri
from untrained.errors import UserError
from untrained.maths import to_complex

RNG = np.random.default_rng(0)
VOLUME = RNG.random((5, 12, 16)).astype(np.float32)
COLUMNS = np.array([1, 0, 1, 1, 1, 1, 0, 1])


def kspace(slices: int = 3) -> np.ndarray:
    values = RNG.standard_normal((slices, 2, 8, 8)) + 1j * RNG.standard_normal((slices, 2, 8, 8))
    values[..., 4, 4] += 40  # the strongest sample, at the centre
    return (values * COLUMNS).astype(np.complex64)


@pytest.fixture
def scan(tmp_path):
    maps = RNG.standard_normal((3, 2, 8, 8)) + 1j
    reference = RNG.random((3, 8, 8)) * np.array([1, 4, 2])[:, None, None] * 1j
    np.savez(tmp_path / "k.npz", kspace=kspace(), maps=maps, mask=COLUMNS, reference=reference)
    return tmp_path / "k.npz"


@pytest.fixture
def views(tmp_path):
    sinogram = RNG.random((4, 6, 16)).astype(np.float32)
    arrays = {"angles": np.arange(6.0) * 30, "reference": RNG.random((4, 16, 16))}
    np.savez(tmp_path / "s.npz", sinogram=sinogram, **arrays)
    return tmp_path / "s.npz"


@pytest.mark.parametrize("name", ["v.npy", "v.tif", "v.npz"])
def test_a_noisy_volume_is_one_image_of_three_sides(tmp_path, name):
    if name == "v.npy":
        np.save(tmp_path / name, VOLUME)
    elif name == "v.tif":
        tifffile.imwrite(tmp_path / name, VOLUME, photometric="minisblack")
    else:
        np.savez(tmp_path / name, measurement=VOLUME, reference=VOLUME / 2, sigma=20.0)
    found = load_denoise(tmp_path / name, volume=True)
    assert np.array_equal(found.y[0, 0], VOLUME)
    assert found.physics.x_shape == (1, 5, 12, 16)
    assert found.axes == "ZYX"
    assert "taken for a volume of 5 slices" in found.notes
    if name == "v.npz":
        assert np.array_equal(found.reference[0, 0], VOLUME / 2)


def test_the_noise_of_a_volume_is_estimated_slice_by_slice(tmp_path):
    noisy = 0.5 + RNG.normal(0, 0.1, (6, 64, 64))
    np.save(tmp_path / "v.npy", noisy)
    whole = load_denoise(tmp_path / "v.npy", sigma="auto", volume=True)
    assert whole.sigma == pytest.approx(0.1, rel=0.05)
    assert whole.sigma == pytest.approx(load_denoise(tmp_path / "v.npy", sigma="auto").sigma)


def test_empty_slices_do_not_make_the_noise_less(tmp_path):
    padded = np.zeros((6, 64, 64))
    padded[2:5] = 0.5 + RNG.normal(0, 0.1, (3, 64, 64))
    np.save(tmp_path / "v.npy", padded)
    found = load_denoise(tmp_path / "v.npy", sigma="auto", volume=True)
    assert found.sigma == pytest.approx(0.1, rel=0.1)


def test_compressed_pages_are_read(tmp_path):
    pixels = (VOLUME * 255).astype(np.uint8)
    first, *others = [Image.fromarray(page) for page in pixels]
    first.save(tmp_path / "v.tif", compression="tiff_lzw", save_all=True, append_images=others)
    found = load_denoise(tmp_path / "v.tif", volume=True)
    assert np.allclose(255 * found.y[0, 0], pixels, atol=1e-4)


@pytest.mark.parametrize(("shape", "said"), [((12, 16), ["every slice"]), ((5, 12, 16), [])])
def test_missing_voxels(tmp_path, shape, said):
    np.save(tmp_path / "v.npy", VOLUME)
    mask = RNG.random(shape) < 0.6
    np.save(tmp_path / "m.npy", mask)
    found = load_inpaint(tmp_path / "v.npy", mask=tmp_path / "m.npy", volume=True)
    assert np.array_equal(found.y[0, 0], VOLUME * mask)
    assert found.physics.mask.shape == (1, 1, 5, 12, 16)
    assert [note for note in found.notes if "every slice" in note] == [
        f"the mask holds for {text}" for text in said
    ]


def test_pages_of_a_mask(tmp_path):
    np.save(tmp_path / "v.npy", VOLUME)
    mask = RNG.random(VOLUME.shape) < 0.6
    tifffile.imwrite(tmp_path / "m.tif", 255 * mask.astype(np.uint8), photometric="minisblack")
    found = load_inpaint(tmp_path / "v.npy", mask=tmp_path / "m.tif", volume=True)
    assert np.array_equal(found.physics.mask[0, 0], mask)


def test_pages_are_no_picture_to_learn_from(tmp_path):
    tifffile.imwrite(tmp_path / "v.tif", VOLUME, photometric="minisblack")
    with pytest.raises(UserError, match="5 pages"):
        read_clean("denoise", tmp_path / "v.tif")


def test_black_voxels_are_missing(tmp_path):
    holes = VOLUME * (RNG.random(VOLUME.shape) < 0.6)
    np.save(tmp_path / "v.npy", holes)
    found = load_inpaint(tmp_path / "v.npy", volume=True)
    assert np.array_equal(found.physics.mask[0, 0], holes != 0)


def test_mri_slices_as_one_volume_measure_what_they_do_one_by_one(scan):
    (whole,) = load_mri(scan, volume=True)
    every = load_mri(scan, slice="all")
    assert whole.y.shape == (1, 2, 3, 2, 8, 8)
    assert whole.axes == "ZYX"
    assert whole.source == str(scan)
    assert whole.data_range == max(m.data_range for m in every)
    assert torch.equal(whole.reference[:, :, 1], every[1].reference)
    x = torch.randn(1, 2, 3, 8, 8)
    for i, one in enumerate(every):
        assert torch.equal(whole.y[:, :, i], one.y)
        assert torch.allclose(whole.physics.A(x)[:, :, i], one.physics.A(x[:, :, i]), atol=1e-6)


def test_ct_slices(views):
    (whole,) = load_ct(views, volume=True)
    every = load_ct(views, slice="all")
    (middle,) = load_ct(views)
    (third,) = load_ct(views, slice="3")
    assert whole.y.shape == (1, 1, 4, 16, 6)
    assert whole.reference.shape == (1, 1, 4, 16, 16)
    assert [m.source.split(", ")[-1] for m in every] == [f"slice {i}" for i in range(4)]
    assert torch.equal(middle.y, every[2].y)
    assert "slice 2, the middle one of 4" in middle.notes
    assert torch.equal(third.reference, every[3].reference)
    assert torch.equal(whole.y[:, :, 1], every[1].y)
    x = torch.randn(1, 1, 4, 16, 16)
    assert torch.allclose(whole.physics.A(x)[:, :, 1], every[1].physics.A(x[:, :, 1]), atol=1e-5)


def test_what_is_no_volume(tmp_path, scan):
    np.save(tmp_path / "one.npy", VOLUME[0])
    with pytest.raises(UserError, match=r"one\.npy holds one slice.*leave out --volume"):
        load_denoise(tmp_path / "one.npy", volume=True)
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "p.png")
    with pytest.raises(UserError, match=r"p\.png holds one slice"):
        load_inpaint(tmp_path / "p.png", volume=True)
    with pytest.raises(UserError, match="--slice 1 asks for one"):
        load_mri(scan, slice=1, volume=True)
    np.savez(tmp_path / "k1.npz", kspace=kspace(1))
    with pytest.raises(UserError, match="one slice, which is no volume"):
        load_mri(tmp_path / "k1.npz", volume=True)
    other = kspace()
    other[1, :, :, 2] = 0
    np.savez(tmp_path / "k2.npz", kspace=other, maps=np.ones((2, 8, 8), complex))
    with pytest.raises(UserError, match="differ in their sampling mask.*--mask FILE.*--slice all"):
        load_mri(tmp_path / "k2.npz", volume=True)
    colour = [np.zeros((4, 4, 3), np.uint8)] * 2
    tifffile.imwrite(tmp_path / "c.tif", np.stack(colour), photometric="rgb")
    with pytest.raises(UserError, match="in colour, and the slices of a volume are grey"):
        load_denoise(tmp_path / "c.tif", volume=True)
    tifffile.imwrite(tmp_path / "c1.tif", colour[0], photometric="rgb")
    with pytest.raises(UserError, match="in colour, and the slices of a volume are grey"):
        load_denoise(tmp_path / "c1.tif", volume=True)
    with tifffile.TiffWriter(tmp_path / "t.tif") as file:
        for kind in (np.uint8, np.uint16):
            file.write(np.full((8, 8), 200, kind), photometric="minisblack")
    with pytest.raises(UserError, match="several sizes or types"):
        load_denoise(tmp_path / "t.tif", volume=True)
    np.savez(tmp_path / "none.npz", sinogram=np.ones((0, 6, 16)), angles=np.arange(6.0))
    with pytest.raises(UserError, match="holds no slice"):
        load_ct(tmp_path / "none.npz")
    with tifffile.TiffWriter(tmp_path / "u.tif") as file:
        for side in (8, 9):
            file.write(np.zeros((side, side), np.uint8), photometric="minisblack")
    with pytest.raises(UserError, match="several sizes"):
        load_denoise(tmp_path / "u.tif", volume=True)


def test_references_of_volumes(tmp_path, scan):
    np.save(tmp_path / "v.npy", VOLUME)
    tifffile.imwrite(tmp_path / "r.tif", VOLUME / 2, photometric="minisblack")
    noisy = load_denoise(tmp_path / "v.npy", sigma=20, volume=True)
    (found,) = with_references([noisy], tmp_path / "r.tif")
    assert np.array_equal(found.reference[0, 0], VOLUME / 2)
    np.save(tmp_path / "c.npy", np.full((3, 8, 8), 3j))
    (found,) = with_references(load_mri(scan, volume=True), tmp_path / "c.npy")
    assert torch.equal(to_complex(found.reference), torch.full((1, 3, 8, 8), 3j))
    np.save(tmp_path / "wrong.npy", VOLUME[:4])
    with pytest.raises(UserError, match=r"\(4, 12, 16\).*C, D, H, W"):
        with_references([noisy], tmp_path / "wrong.npy")


def test_a_stack_in_an_npz_is_decompressed_once(views, monkeypatch):
    """And no slice keeps the whole stack in memory."""
    reads = []
    whole = NpzFile._whole
    monkeypatch.setattr(NpzFile, "_whole", lambda self, key: reads.append(key) or whole(self, key))
    load_ct(views, slice="all")
    assert reads.count("sinogram") == reads.count("reference") == 1
    with open_arrays(views) as file:
        assert file.read("sinogram", 1).base is None
