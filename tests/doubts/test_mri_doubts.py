"""k-space in another order, off its centre or with unequal coils is noticed; sound one is not."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import torch

import untrained as ut
from untrained.classical import CLASSICAL
from untrained.data.tasks.mri import load_mri
from untrained.doubts.mri import coil_noise, layout_doubts, line_doubts
from untrained.errors import UserError
from untrained.maths import to_channels, to_complex
from untrained.metrics import psnr
from untrained.physics.mri import MRI


def stored(tmp_path, kspace: np.ndarray, **others) -> str:
    np.savez(tmp_path / "scan.npz", kspace=kspace, **others)
    return str(tmp_path / "scan.npz")


@pytest.mark.parametrize("coils", [1, 4, 16])
@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_sound_kspace_is_left_alone(kspace, columns, coils, noise) -> None:
    for mask in (np.ones(48), columns):
        scan = kspace(coils, noise) * mask
        assert not layout_doubts(scan, "kspace")
        assert not line_doubts(scan)
        assert coil_noise(scan) is None


def test_noise_has_no_centre() -> None:
    for seed in range(10):
        draw = np.random.default_rng(seed).standard_normal((2, 3, 16, 16))
        assert not layout_doubts(draw[0] + 1j * draw[1], "kspace")


@pytest.mark.parametrize("order", [(1, 2, 0), (1, 0, 2)])
def test_coils_on_another_axis_are_refused(kspace, columns, tmp_path, order) -> None:
    moved = np.transpose(kspace(6) * columns, order)
    axis = order.index(0) - 3
    with pytest.raises(UserError, match=rf"48 coils .*np\.moveaxis\(kspace, {axis}, 0\)"):
        load_mri(stored(tmp_path, moved))
    right = np.moveaxis(moved, axis, 0)
    assert load_mri(stored(tmp_path, right))[0].y.shape == (1, 2, 6, 48, 48)


def test_slices_with_coils_last_are_refused(kspace, columns, tmp_path) -> None:
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["kspace"] = np.moveaxis(kspace(6) * columns, 0, -1)[None].repeat(3, 0)
    with pytest.raises(UserError, match="moveaxis"):
        load_mri(tmp_path / "s.h5")


def test_python_refuses_coils_on_the_last_axis(kspace) -> None:
    moved = np.ascontiguousarray(np.moveaxis(kspace(6), 0, -1))
    y = to_channels(torch.from_numpy(moved)[None])
    physics = MRI(torch.ones(48, 6), torch.ones(48, 48, 6, dtype=torch.complex64))
    with pytest.raises(UserError, match="48 coils"):
        ut.reconstruct(y, physics, method="adjoint", progress=False)


def test_images_of_the_coils_are_refused(kspace, tmp_path) -> None:
    axes = (-2, -1)
    shifted = np.fft.ifftshift(kspace(4), axes=axes)
    images = np.fft.fftshift(np.fft.ifft2(shifted, norm="ortho"), axes=axes)
    with pytest.raises(UserError, match="images of the coils"):
        load_mri(stored(tmp_path, images.astype(np.complex64)))


@pytest.mark.parametrize(
    ("axes", "named"), [((-2, -1), r"axes=\(-2, -1\)"), ((-2,), "axes=-2"), ((-1,), "axes=-1")]
)
def test_an_uncentred_zero_frequency_is_refused(kspace, tmp_path, axes, named) -> None:
    with pytest.raises(UserError, match=rf"np\.fft\.fftshift\(kspace, {named}\)"):
        load_mri(stored(tmp_path, np.fft.ifftshift(kspace(4), axes=axes)))


def test_a_zero_frequency_a_little_off_is_said(kspace) -> None:
    notes = layout_doubts(np.roll(kspace(4), 9, axis=-1), "kspace")
    assert any("at (24, 33)" in note for note in notes)
    assert not layout_doubts(np.roll(kspace(4), 2, axis=-1), "kspace")


@pytest.mark.parametrize("mask", ["full", "columns"])
def test_an_image_half_a_field_of_view_off_is_said(kspace, columns, mask) -> None:
    sign = (-1.0) ** np.arange(48)
    scan = kspace(4) * sign[:, None] * (columns if mask == "columns" else 1)
    (note,) = layout_doubts(scan, "kspace")
    assert "along rows, half a field of view off" in note
    assert "rows and columns" in layout_doubts(scan * sign, "kspace")[0]


def test_what_speaks_of_a_trajectory_without_one_is_refused(kspace, tmp_path) -> None:
    for key in ("dcf", "kx"):
        path = stored(tmp_path, kspace(4), **{key: np.zeros((48, 48))})
        with pytest.raises(UserError, match=f"'{key}', so its samples lie on a trajectory"):
            load_mri(path)


def test_lines_of_little_noise_are_doubted(kspace, columns, tmp_path) -> None:
    scan = kspace(4) * columns
    rest = kspace(4, noise=1e-3) - kspace(4)
    notes = load_mri(stored(tmp_path, scan + rest))[0].notes
    assert any("columns near the centre of k-space hold less than 5%" in note for note in notes)
    (m,) = load_mri(stored(tmp_path, scan + rest, mask=columns))
    assert not any("near the centre" in note for note in m.notes)


def test_an_inverted_mask_is_said_or_refused(kspace, columns, tmp_path) -> None:
    with pytest.raises(UserError, match="1 means measured"):
        load_mri(stored(tmp_path, kspace(4) * columns, mask=~columns))
    maps = np.ones((4, 48, 48), np.complex64) / 2
    (m,) = load_mri(stored(tmp_path, kspace(4), mask=~columns, maps=maps))
    assert any("leaves out the centre" in note for note in m.notes)
    y = to_channels(torch.from_numpy(kspace(4) * columns)[None])
    with pytest.raises(UserError, match="is the mask inverted"):
        ut.reconstruct(y, MRI(~columns, maps), method="adjoint", progress=False)


def loud(scan: np.ndarray, times: float) -> np.ndarray:
    """The scan, whose coil 2 has this many times the noise of 0.01."""
    draw = np.random.default_rng(9).standard_normal((2, *scan.shape[1:]))
    scan = scan.copy()
    scan[2] += 0.01 * times * (draw[0] + 1j * draw[1])
    return scan


def test_the_noise_of_a_coil_is_estimated(kspace) -> None:
    noise = coil_noise(loud(kspace(6, 0.01), 20))
    assert noise is not None
    assert 10 < noise[2] < 25
    assert np.allclose(np.delete(noise, 2), 1, atol=0.4)
    strong = kspace(6, 0.0) * np.array([1, 1, 8, 1, 1, 1])[:, None, None]
    assert coil_noise(strong) is None, "a strong coil is no noisy one"


@pytest.mark.parametrize("maps", ["estimated", "given"])
def test_a_noisy_coil_costs_little(kspace, columns, tmp_path, maps) -> None:
    from untrained.data.phantoms import birdcage_maps, brain

    true_maps = birdcage_maps(6, (48, 48)).astype(np.complex64)
    true_maps /= np.sqrt(np.square(np.abs(true_maps)).sum(0))
    image = brain(48)
    scan = kspace(6, 0.01)
    full = np.sqrt(np.square(np.abs(birdcage_maps(6, (48, 48)))).sum(0))
    truth = torch.from_numpy(np.abs(image * full))[None, None].double()
    score = {}
    for name, data in (("sound", scan), ("noisy", loud(scan, 16))):
        given = {"maps": true_maps} if maps == "given" else {}
        (m,) = load_mri(stored(tmp_path, data * columns, **given))
        assert any("noise of coils is unequal" in note for note in m.notes) == (name == "noisy")
        problem = ut.Problem(m.y, m.physics)
        found = problem.to_units(CLASSICAL["tv"](problem))
        score[name] = psnr(to_complex(found).abs()[:, None].double(), truth, data_range=1.0)
    assert score["noisy"] > score["sound"] - 3, score


def test_python_weighs_the_coils_too(kspace, columns) -> None:
    from untrained.data.phantoms import birdcage_maps

    maps = birdcage_maps(6, (48, 48)).astype(np.complex64)
    y = to_channels(torch.from_numpy(loud(kspace(6, 0.01), 16) * columns)[None])
    sound = to_channels(torch.from_numpy(kspace(6, 0.01) * columns)[None])
    physics = MRI(columns, maps)
    with pytest.warns(ut.Note, match="the noise of coils is unequal"):
        noisy = ut.reconstruct(y, physics, method="cgsense", progress=False, compare=False)
    best = ut.reconstruct(sound, physics, method="cgsense", progress=False, compare=False)
    plain = ut.Problem(y, physics)
    unweighed = plain.to_units(CLASSICAL["cgsense"](plain))
    error = {n: float((i - best.image).norm()) for n, i in (("w", noisy.image), ("u", unweighed))}
    assert error["w"] < 0.5 * error["u"]


@pytest.mark.parametrize("fields", [("real", "imag"), ("r", "i")])
def test_complex_numbers_of_matlab_are_read(kspace, columns, tmp_path, fields) -> None:
    scan = kspace(4) * columns
    pairs = np.zeros(scan.shape, [(name, "<f4") for name in fields])
    pairs[fields[0]], pairs[fields[1]] = scan.real, scan.imag
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["kspace"] = pairs[None]
    (m,) = load_mri(tmp_path / "s.h5")
    assert np.array_equal(to_complex(m.y)[0].numpy(), scan)
    from_matlab = fields == ("real", "imag")  # the others are h5py's own
    assert any("MATLAB writes axes in reverse" in note for note in m.notes) == from_matlab
    np.savez(tmp_path / "s.npz", kspace=pairs)
    with pytest.raises(UserError, match=r"a\['\w+'\] \+ 1j \* a"):
        load_mri(tmp_path / "s.npz")


def test_masks_that_are_mostly_centre_can_be_split_twice() -> None:
    """Columns held out of the fit in part, and whole ones in it, meet in `expected_misfit`."""
    for seed in range(60):
        draw = np.random.default_rng(seed)
        width, height = (int(n) for n in draw.integers(16, 48, 2))
        centre = int(draw.integers(width // 4, width // 2))
        mask = np.zeros(width, bool)
        mask[width // 2 - centre // 2 :][:centre] = True
        mask[draw.choice(np.flatnonzero(~mask), centre // 2 + 1, replace=False)] = True
        full = np.broadcast_to(mask, (height, width)).copy()
        physics = MRI(full.T.copy() if seed % 2 else full)
        x = torch.randn(1, *physics.x_shape, generator=torch.Generator().manual_seed(seed))
        fit, _ = ut.Problem(physics.A(x), physics).split(0.1, seed=0)
        inner, held = fit.split(0.05, 0, scattered=True)
        assert inner.expected_misfit(x, held).isfinite().all()


def test_spokes_without_a_trajectory_are_refused() -> None:
    """Every row of radial samples runs through the middle of k-space; those of a grid do not."""
    at = np.arange(64) - 32
    angles = np.pi * np.arange(24) / 24
    x, y = (at * f(angles)[:, None] for f in (np.cos, np.sin))
    spokes = np.exp(-(x**2 + y**2) / 200 + 0.3j * x)[None].astype(np.complex64)
    with pytest.raises(UserError, match="24 radial spokes.*--trajectory"):
        layout_doubts(spokes, "kspace")
    rows, columns = np.meshgrid(at, at, indexing="ij")
    grid = np.exp(-(rows**2 + columns**2) / 200 + 0.3j * columns)[None].astype(np.complex64)
    layout_doubts(grid, "kspace")
