"""Arrays without a name or under another, masks of other shapes, and advice that is followed."""

from __future__ import annotations

import shutil
import sys
import types
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
import tifffile
import torch

from untrained.data import TASKS
from untrained.data.phantoms import birdcage_maps, brain, shepp_logan
from untrained.data.tasks.ct import load_ct
from untrained.data.tasks.denoise import load_denoise
from untrained.data.tasks.mri import load_mri
from untrained.errors import UserError
from untrained.maths import fft2c, to_complex
from untrained.physics import CT, MRI
from untrained.physics.masks import plane_mask

SIZE = (40, 36)
OPERATOR = "class Same:\n    x_shape = (1, 9, 9)\n    def A(self, x):\n        return x\n"
COLUMNS = (np.arange(36) % 3 == 0) | (abs(np.arange(36) - 18) < 6)


def kspace() -> np.ndarray:
    images = birdcage_maps(4, SIZE) * brain(40)[:, 2:38]
    full = fft2c(torch.from_numpy(images.astype(np.complex64))).numpy()
    return full * COLUMNS


def sinogram() -> np.ndarray:
    image = torch.from_numpy(shepp_logan(24).astype(np.float32))[None, None]
    return CT((24, 24), np.arange(12) * 15.0, 24).A(image)[0, 0].T.numpy()


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def same_kspace(path, **options):
    (found,) = load_mri(path, **options)
    assert np.array_equal(to_complex(found.y)[0].numpy(), kspace())
    return found


def same_sinogram(path, **options):
    (found,) = load_ct(path, **options)
    assert np.allclose(found.y[0, 0].numpy(), sinogram().T, atol=1e-5)
    return found


# without a name, or under another ---------------------------------------------------------------


def test_kspace_alone(here):
    np.save("kspace.npy", kspace())
    found = same_kspace("kspace.npy")
    assert any("non-zero pattern" in note for note in found.notes)
    np.save("slices.npy", np.stack([2 * kspace(), kspace()]))
    same_kspace("slices.npy", slice=1)


@pytest.mark.parametrize("suffix", ["npy", "tif", "tiff"])
def test_a_sinogram_alone(here, suffix):
    path, two = f"s.{suffix}", f"two.{suffix}"
    write = np.save if suffix == "npy" else tifffile.imwrite
    write(path, sinogram())
    write(two, np.stack([2 * sinogram(), sinogram()]))
    found = same_sinogram(path, angles=12)
    assert found.physics.geometry.angles[1] == pytest.approx(15.0)
    same_sinogram(two, angles=12, slice=1)
    with pytest.raises(UserError, match=rf"{path} holds no 'angles': give --angles"):
        load_ct(path)
    with pytest.raises(UserError, match="leave out --key"):
        load_ct(path, angles=12, key="sinogram")


def test_a_sinogram_of_counts_in_a_tiff_is_refused_by_name(here):
    tifffile.imwrite("s.tif", np.full((12, 24), 900, np.uint16))
    with pytest.raises(UserError, match=r"the array in s.tif .*-np.log\(counts / I0\)"):
        load_ct("s.tif", angles=12)


def test_other_keys(here):
    np.savez("k.npz", data=kspace(), kspace=np.zeros(3), mask=COLUMNS)
    same_kspace("k.npz", key="data")
    with h5py.File("s.h5", "w") as file:
        file["raw/lines"] = sinogram()
        file["angles"] = np.arange(12) * 15.0
        file["link"] = h5py.ExternalLink("k.h5", "/raw")
    same_sinogram("s.h5", key="raw/lines")
    with pytest.raises(UserError, match=r"lacks 'sinogram'.*'raw/lines'.*--key"):
        load_ct("s.h5")
    for key in ("nothing", "raw", "link/lines", "raw/lines/more", "/"):
        with pytest.raises(UserError, match=r"--key: s.h5 holds no .*it holds .*'raw/lines'"):
            load_ct("s.h5", key=key)
    with pytest.raises(UserError, match=r"'angles' in s.h5"):
        load_ct("s.h5", key="angles")  # named as the file does


@pytest.mark.parametrize("task", [name for name in TASKS if name not in ("mri", "ct")])
def test_every_task_takes_a_key(here, task):
    from untrained.cli.reconstruct import reconstruct

    assert "--key" in {o for p in reconstruct.commands[task].params for o in p.opts}
    np.savez("a.npz", photo=np.zeros((9, 9)))
    Path("op.py").write_text(OPERATOR)
    np.save("made.npy", np.zeros((2, 9, 9), np.float32))
    needed = {"custom": {"physics": "op.py:Same"}, "video": {"processed": "made.npy"}}
    given = needed.get(task, {})
    with pytest.raises(UserError, match="--key: a.npz holds no 'other'"):
        TASKS[task].load("a.npz", key="other", **given)


def test_a_picture_under_another_key(here):
    photo = np.linspace(0, 1, 90, dtype=np.float32).reshape(9, 10)
    np.savez("a.npz", photo=photo)
    assert np.array_equal(load_denoise("a.npz", key="photo").y[0, 0], photo)
    np.save("a.npy", photo)
    with pytest.raises(UserError, match="leave out --key"):
        load_denoise("a.npy", key="photo")


# masks ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mask",
    [
        COLUMNS,
        COLUMNS[None],
        COLUMNS[:, None],
        COLUMNS[None, :, None],  # fastMRI's
        COLUMNS[None, None, :, None],
        np.broadcast_to(COLUMNS, (4, *SIZE)),
        np.broadcast_to(COLUMNS, (1, *SIZE)),
        np.broadcast_to(COLUMNS, SIZE)[..., None],
    ],
    ids=lambda m: str(m.shape),
)
def test_shapes_of_masks(here, mask):
    np.savez("k.npz", kspace=kspace(), mask=mask.astype(np.uint8))
    np.save("m.npy", mask.astype(np.uint8))
    np.savez("bare.npz", kspace=kspace())
    maps = birdcage_maps(4, SIZE)
    for found in (
        same_kspace("k.npz").physics,
        same_kspace("bare.npz", mask="m.npy").physics,
        MRI(mask, maps),
    ):
        assert np.array_equal(found.mask[0, 0, 0].numpy(), np.broadcast_to(COLUMNS, SIZE))
    said = [note for note in same_kspace("k.npz").notes if "was read as" in note]
    assert bool(said) == (mask.ndim > 2 or (mask.shape[0] in (1, 36) and mask.ndim == 2))


def test_a_column_of_a_square_mask_is_rows_or_columns_as_the_data_say():
    line = torch.arange(6) % 2 == 0
    rows, columns = line[:, None].expand(6, 6), line.expand(6, 6)
    for pattern, meant in ((rows, "rows"), (columns, "columns")):
        found, said = plane_mask(line[:, None], (6, 6), "mask", pattern)
        assert torch.equal(found, pattern)
        assert meant in said
    assert torch.equal(plane_mask(line[:, None], (6, 5), "mask")[0], rows[:, :5])


def test_masks_of_slices_and_of_coils_that_differ(here):
    other = np.zeros(36, bool)
    other[15:22] = True
    masks = np.stack([np.broadcast_to(other, SIZE), np.broadcast_to(COLUMNS, SIZE)])
    np.savez("two.npz", kspace=np.stack([kspace() * other, kspace()]), mask=masks)
    found = load_mri("two.npz", slice="all", maps="lowres")
    for one, mask in zip(found, masks, strict=True):
        assert np.array_equal(one.physics.mask[0, 0, 0].numpy(), mask)
    np.savez("coils.npz", kspace=kspace(), mask=np.stack([masks[0], *[masks[1]] * 3]))
    with pytest.raises(UserError, match=r"differs between its planes.*mask.all\(0\)"):
        load_mri("coils.npz")
    np.savez("coils.npz", kspace=kspace(), mask=np.load("coils.npz")["mask"].all(0))
    load_mri("coils.npz", maps="lowres")


@pytest.mark.parametrize("shape", [(24,), (1, 24), (12, 24)])
def test_masks_of_ct(here, shape):
    mask = np.ones(shape, np.uint8)
    mask[..., 3] = 0
    np.savez("s.npz", sinogram=sinogram(), angles=np.arange(12) * 15.0, mask=mask)
    found = same_sinogram("s.npz")
    assert any("4.2% of the measurements are left out" in note for note in found.notes)


# advice -----------------------------------------------------------------------------------------


def follow(error: pytest.ExceptionInfo[UserError]) -> None:
    """Run what a message says to run."""
    exec(str(error.value).split("in Python: ")[1], {})


def test_other_names_in_matlab_files(here):
    scipy.io.savemat("old.mat", {"k": kspace().T})  # (W, H, coils) in MATLAB
    with pytest.raises(UserError, match="it holds 'k'; if one of these is it"):
        load_mri("old.mat")
    same_kspace("old.mat", key="k")

    turned = kspace().swapaxes(1, 2)  # (H, W, coils) in MATLAB, whose last axis comes first
    stored = np.zeros(turned.shape, [("real", "f4"), ("imag", "f4")])
    stored["real"], stored["imag"] = turned.real, turned.imag
    with h5py.File("new.mat", "w", userblock_size=512) as file:
        file["k"] = stored
    (found,) = load_mri("new.mat", key="k")
    assert np.array_equal(to_complex(found.y)[0].numpy(), turned)

    with h5py.File("scan.nxs", "w") as file:
        file["deep/s"] = sinogram()
    with pytest.raises(UserError, match=r"copy it to scan.h5, and name the array with --key"):
        load_ct("scan.nxs")
    shutil.copy("scan.nxs", "scan.h5")
    same_sinogram("scan.h5", key="deep/s", angles=12)


def test_advice_for_nifti(here, monkeypatch):
    stored = np.moveaxis(kspace(), 0, -1)
    image = types.SimpleNamespace(dataobj=stored, get_fdata=lambda: stored.real)
    nibabel = types.ModuleType("nibabel")
    nibabel.load = lambda path: image  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "nibabel", nibabel)
    Path("k.nii.gz").write_bytes(b"\x1f\x8b")
    with pytest.raises(UserError, match="nibabel") as error:
        load_mri("k.nii.gz")
    follow(error)
    same_kspace("scan.npz")
    image.dataobj = sinogram()
    with pytest.raises(UserError, match="nibabel") as error:
        load_ct("k.nii.gz")
    follow(error)
    same_sinogram("scan.npy", angles=12)
