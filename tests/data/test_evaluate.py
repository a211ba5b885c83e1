"""Image files against reference files, and the task table."""

from __future__ import annotations

import math
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

import untrained as ut
from untrained.data import FORMATS, TASKS, evaluate_files, with_reference, with_references
from untrained.data.evaluate import evaluate_notes
from untrained.data.phantoms import birdcage_maps, brain, gaussian_kernel, shepp_logan
from untrained.data.simulate.encoded import simulate_phase
from untrained.data.tasks.ct import load_ct
from untrained.data.tasks.denoise import load_denoise
from untrained.data.tasks.mri import load_mri
from untrained.errors import UserError
from untrained.physics import CT, Denoise, Series
from untrained.physics.phase import PhaseRetrieval

RNG = np.random.default_rng(0)


def save(path: Path, array: np.ndarray) -> Path:
    np.save(path, array)
    return path


def test_integer_files_have_range_one(tmp_path):
    pixels = RNG.integers(0, 256, (16, 16)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "r.png")
    image = save(tmp_path / "x.npy", (pixels / 255 + 0.1).astype(np.float32))
    found = evaluate_files(image, tmp_path / "r.png")
    assert found["range"] == 1.0
    assert found["psnr"] == pytest.approx(20.0, abs=1e-3)
    assert set(found) == {"psnr", "ssim", "nrmse", "hfen", "range"}


def test_complex_files_are_compared_by_magnitude_with_their_maximum(tmp_path):
    truth = 3 * brain(24)
    turned = save(tmp_path / "x.npy", truth * np.exp(0.7j).astype(np.complex64))
    found = evaluate_files(turned, save(tmp_path / "r.npy", truth))
    assert found["range"] == pytest.approx(float(np.abs(truth).max()))
    assert found["psnr"] > 120
    scaled = save(tmp_path / "y.npy", 2 * truth)
    assert evaluate_files(scaled, tmp_path / "r.npy")["nrmse"] == pytest.approx(1.0, rel=1e-5)


def test_float_files_need_a_range(tmp_path):
    x, r = save(tmp_path / "x.npy", np.ones((12, 12))), save(tmp_path / "r.npy", np.zeros((12, 12)))
    with pytest.raises(UserError, match="--range"):
        evaluate_files(x, r)
    assert evaluate_files(x, r, "10")["psnr"] == pytest.approx(20.0)
    assert math.isinf(evaluate_files(x, x, 1.0)["psnr"])
    for bad in ("0", "-1", "wide", "nan"):
        with pytest.raises(UserError, match="--range"):
            evaluate_files(x, r, bad)


def phase_file(folder: Path, clean: np.ndarray) -> Path:
    np.save(folder / "clean.npy", clean)
    simulate_phase(folder / "clean.npy", folder / "m.npz", pad=6)
    return folder / "m.npz"


@pytest.mark.parametrize("kind", ["grey", "colour", "complex"])
def test_phase_retrieval_is_compared_as_a_run_does(tmp_path, kind):
    """Turned by 180 degrees and moved, with range 1 and a note; by magnitude where complex."""
    clean = 0.9 * RNG.random((3, 20, 16) if kind == "colour" else (20, 16))
    if kind == "complex":
        clean = clean * np.exp(2j * RNG.random(clean.shape))
    image = np.roll(np.flip(np.conj(clean), (-2, -1)), (2, -3), (-2, -1)) * (1 + 1e-3)
    file = phase_file(tmp_path, clean.astype(np.complex64 if kind == "complex" else np.float32))
    found = evaluate_files(save(tmp_path / "x.npy", image), file)
    assert found["range"] == 1
    assert found["psnr"] == pytest.approx(
        -10 * np.log10(1e-6 * np.mean(np.abs(clean) ** 2)), abs=0.1
    )
    assert any("turned and moved" in n for n in evaluate_notes(tmp_path / "x.npy", file))
    assert evaluate_files(tmp_path / "x.npy", tmp_path / "clean.npy", 1)["psnr"] < 20


@pytest.mark.parametrize("task", ["phase", "denoise", "ct"])
def test_an_image_of_a_result_is_compared_as_its_run_did(tmp_path, task):
    """With its range, and for phase retrieval turned, whatever file holds the reference."""
    physics = {
        "phase": lambda: PhaseRetrieval((1, 20, 16), (6, 6)),
        "denoise": lambda: Denoise((1, 20, 16)),
        "ct": lambda: CT((20, 16), np.arange(12) * 15.0, 26),
    }[task]()
    truth = torch.from_numpy(0.8 * RNG.random((1, 1, 20, 16))).float()
    method = {"method": "dip", "steps": 3, "settings": ["net=compact", "net.widths=4,8"]}
    given = {"method": "adjoint"} if task != "phase" else method
    result = ut.reconstruct(physics.A(truth), physics, truth=truth, progress=False, **given)
    result.save(tmp_path / "out")
    plain = save(tmp_path / "r.npy", truth[0, 0].numpy())
    found = evaluate_files(tmp_path / "out/reconstruction.npy", plain)
    assert found["psnr"] == pytest.approx(result.about.metrics["psnr"], abs=1e-3)
    assert found["range"] == (float(truth.max()) if task == "ct" else 1)
    other = save(tmp_path / "out/other.npy", truth[0, 0].numpy())  # none of the run's
    with pytest.raises(UserError, match="--range"):
        evaluate_files(other, plain)


def test_flicker_of_a_series_is_its_warping_error(tmp_path):
    """None beyond the reference's own for a video that is it; found by option or result folder."""
    y, x = np.mgrid[:24, :24]
    moving = np.stack([0.5 + 0.4 * np.sin((x - t) / 3) * np.cos(y / 4) for t in range(4)])
    flickering = moving * np.array([1.0, 0.8, 1.0, 0.8])[:, None, None]
    reference, other = save(tmp_path / "r.npy", moving), save(tmp_path / "x.npy", flickering)
    same = evaluate_files(reference, reference, 1, series=True)
    assert same["warping_error"] == same["warping_error_reference"] < 1e-3
    found = evaluate_files(other, reference, 1, series=True)
    assert found["warping_error_reference"] == same["warping_error_reference"]
    assert found["warping_error"] > 5 * found["warping_error_reference"]
    assert "warping_error" not in evaluate_files(other, reference, 1)
    y = torch.from_numpy(flickering)[None, None].float()
    series = Series([Denoise((1, 24, 24))] * 4)
    ut.reconstruct(y, series, "adjoint", progress=False, compare=False).save(tmp_path / "out")
    ours = evaluate_files(tmp_path / "out/reconstruction.npy", reference)
    assert ours["warping_error"] == pytest.approx(found["warping_error"], rel=0.05)
    one = save(tmp_path / "one.npy", moving[:1])
    with pytest.raises(UserError, match="one frame"):
        evaluate_files(one, one, 1, series=True)


def test_the_middle_slice_of_several_is_said(tmp_path):
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["kspace"] = np.zeros((5, 1, 20, 20), np.complex64)
        file["reconstruction_rss"] = 1e-4 * RNG.random((5, 20, 20))
    image = save(tmp_path / "x.npy", np.full((20, 20), 5e-5))
    (note,) = evaluate_notes(image, tmp_path / "f.h5")
    assert "slice 2 of 5 of 'reconstruction_rss', the middle one; --slice N takes another" in note
    assert evaluate_notes(image, tmp_path / "f.h5", 2) == ()


def test_reference_inside_an_npz(tmp_path):
    np.savez(tmp_path / "m.npz", reference=brain(16), kspace=np.ones(3))
    image = save(tmp_path / "x.npy", brain(16))
    assert math.isinf(evaluate_files(image, tmp_path / "m.npz")["psnr"])


def test_unequal_shapes_name_both_files(tmp_path):
    x, r = save(tmp_path / "x.npy", np.ones((12, 12))), save(tmp_path / "r.npy", np.ones((12, 13)))
    with pytest.raises(UserError, match=r"x\.npy is \(1, 12, 12\).*r\.npy is \(1, 12, 13\)"):
        evaluate_files(x, r, 1)


def test_a_stack_of_two_is_not_a_complex_image(tmp_path):
    truth = RNG.standard_normal((2, 16, 16))
    x, r = save(tmp_path / "x.npy", -truth), save(tmp_path / "r.npy", truth)
    assert evaluate_files(x, r, 1)["nrmse"] == pytest.approx(2.0, rel=1e-5)


def test_with_reference_by_task(tmp_path):
    photo = load_denoise(save(tmp_path / "p.npy", np.full((8, 8), 0.5)))
    found = with_reference(photo, save(tmp_path / "r.npy", np.full((8, 8), 0.25)))
    assert found.data_range == 1.0
    assert float(found.reference.mean()) == 0.25
    with pytest.raises(UserError, match=r"\(1, 8, 9\).*\(1, 8, 8\)"):
        with_reference(photo, save(tmp_path / "w.npy", np.ones((8, 9))))
    with pytest.raises(UserError, match="complex"):
        with_reference(photo, save(tmp_path / "c.npy", np.ones((8, 8), complex)))

    np.savez(tmp_path / "k.npz", kspace=np.ones((1, 8, 8), np.complex64))
    (scan,) = load_mri(tmp_path / "k.npz")
    found = with_reference(scan, save(tmp_path / "c.npy", np.full((8, 8), 3j)))
    assert found.reference.shape == (1, 2, 8, 8)
    assert found.data_range == 3.0

    np.savez(tmp_path / "s.npz", sinogram=np.ones((3, 8)), angles=np.arange(3.0))
    (scan,) = load_ct(tmp_path / "s.npz")
    found = with_reference(scan, save(tmp_path / "r.npy", np.eye(8) * 2.5))
    assert found.data_range == 2.5


def test_every_slice_has_its_own_reference(tmp_path):
    np.savez(tmp_path / "k.npz", kspace=np.ones((3, 1, 8, 8), np.complex64))
    slices = load_mri(tmp_path / "k.npz", slice="all")
    stack = np.arange(1, 4)[:, None, None] * np.full((3, 8, 8), 1j)
    found = with_references(slices, save(tmp_path / "r.npy", stack))
    assert [m.data_range for m in found] == [1.0, 2.0, 3.0]
    assert [float(m.reference[0, 1].mean()) for m in found] == [1.0, 2.0, 3.0]
    for wrong in (stack[0], stack[:2]):
        with pytest.raises(UserError, match=r"3 slices .* give a stack \(3, H, W\)"):
            with_references(slices, save(tmp_path / "w.npy", wrong))
    with pytest.raises(UserError, match=r"\(3, 8, 8\) complex"):
        with_references(slices[:1], tmp_path / "r.npy")


def test_tables_cover_the_contract():
    photographs = ["denoise", "inpaint", "superres", "deblur", "nldeblur", "cs", "phase"]
    assert list(TASKS) == [*photographs, "mri", "ct", "eit", "video", "custom"]
    assert all(name == task.name for name, task in TASKS.items())
    assert [name for name, task in TASKS.items() if task.simulate is None] == ["video", "custom"]
    pictures = {"PNG", "JPEG", "TIFF", "BMP", "WebP", "NIfTI", "DICOM"}
    arrays = {"NPY", "NPZ", "HDF5", "MATLAB", "BART", "Zarr", "Zarr, zip", "ISMRMRD"}
    assert pictures | arrays == set(FORMATS)


@pytest.mark.parametrize("size", [16, 33, 64])
def test_phantoms(size):
    head, slice_ = shepp_logan(size), brain(size)
    assert head.shape == slice_.shape == (size, size)
    assert head.min() >= 0
    assert head.max() <= 1
    assert np.abs(slice_).max() <= 1 + 1e-6
    assert np.abs(np.angle(slice_[np.abs(slice_) > 0.1])).max() > 0.5
    assert slice_[0, 0] == slice_[-1, 0] == 0, "the background is empty"


def test_coils_and_kernel_are_normalised():
    maps = birdcage_maps(5, (12, 15))
    assert np.allclose((np.abs(maps) ** 2).sum(0), 1, atol=1e-6)
    fine = birdcage_maps(5, (120, 150))
    assert np.abs(np.diff(fine, axis=1)).max() < 0.1, "maps are smooth"
    kernel = gaussian_kernel(1.5)
    assert kernel.sum() == pytest.approx(1)
    assert kernel.shape == (11, 11)
    grid = np.arange(11) - 5
    assert (kernel.sum(0) * grid**2).sum() == pytest.approx(1.5**2, rel=0.05)


def rss_file(folder: Path, images: np.ndarray, key: str = "reconstruction_rss") -> Path:
    with h5py.File(folder / "scan.h5", "w") as file:
        file[key] = images
        file["kspace"] = np.ones((len(images), 2, 24, 16), np.complex64)
    return folder / "scan.h5"


def test_the_magnitude_of_fastmri_is_a_reference_over_the_middle_that_it_shows(tmp_path):
    whole = np.stack([(i + 1) * np.abs(brain(24)) for i in range(4)])
    scan = rss_file(tmp_path, whole[:, 4:-4, 4:-4])
    wrong = whole.astype(np.complex64) * np.exp(0.3j)
    wrong[:, :4] = 7  # beyond what the reference shows
    stack = save(tmp_path / "all.npy", wrong)
    found = evaluate_files(stack, scan)
    assert found["psnr"] > 100
    assert found["range"] == pytest.approx(float(whole[:, 4:-4, 4:-4].max()))
    assert evaluate_files(save(tmp_path / "2.npy", wrong[2]), scan)["psnr"] > 100  # the middle one
    first = save(tmp_path / "0.npy", wrong[0])
    assert evaluate_files(first, scan, slice=0)["psnr"] > 100
    assert evaluate_files(first, scan)["psnr"] < 60


def test_a_slice_that_is_not_there_is_refused(tmp_path):
    scan = rss_file(tmp_path, np.ones((4, 16, 16)), "reconstruction_esc")
    one = save(tmp_path / "x.npy", np.ones((24, 24), np.complex64))
    with pytest.raises(UserError, match="4 slices, counted from 0"):
        evaluate_files(one, scan, slice=4)
    two = save(tmp_path / "y.npy", np.ones((2, 24, 24), np.complex64))
    with pytest.raises(UserError, match="--slice N"):
        evaluate_files(two, scan)
    small = save(tmp_path / "z.npy", np.ones((8, 8), np.complex64))
    with pytest.raises(UserError, match="larger than the image"):
        evaluate_files(small, scan)
    np.savez(tmp_path / "r.npz", reference=np.ones((8, 8), np.complex64))
    with pytest.raises(UserError, match="leave it out"):
        evaluate_files(small, tmp_path / "r.npz", slice=0)
