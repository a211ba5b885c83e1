"""Photographs, masks, kernels and amplitudes that contradict themselves are noticed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

import untrained as ut
from untrained.data.parameters import read_mask
from untrained.data.simulate.encoded import simulate_nldeblur
from untrained.data.simulate.photos import simulate_deblur
from untrained.data.tasks.ct import load_ct
from untrained.data.tasks.deblur import load_deblur
from untrained.data.tasks.denoise import load_denoise
from untrained.data.tasks.inpaint import load_inpaint
from untrained.data.tasks.mri import load_mri
from untrained.data.tasks.nldeblur import load_nldeblur
from untrained.data.tasks.phase import load_phase
from untrained.data.tasks.superres import load_superres
from untrained.doubts.photographs import estimate_noise, kernel_doubts, mask_doubts
from untrained.errors import UserError
from untrained.physics.blur import Blur
from untrained.physics.compressed import CompressedSensing
from untrained.physics.denoise import Denoise
from untrained.physics.inpaint import Inpaint
from untrained.physics.phase import PhaseRetrieval


@pytest.fixture
def picture() -> np.ndarray:
    """Two flat areas on a slope, `(40, 40)` in [0.2, 0.9]."""
    y, x = np.mgrid[:40, :40]
    image = 0.3 + 0.4 * x / 40
    image[(y - 14) ** 2 + (x - 16) ** 2 < 64] = 0.9
    image[26:34, 6:32] = 0.2
    return image.astype(np.float32)


def gaussian(side: int, width: float) -> np.ndarray:
    place = np.arange(side) - side // 2
    line = np.exp(-(place**2) / (2 * width**2))
    return np.outer(line, line)


# kernels ------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [9, 15, 16, 40])
@pytest.mark.parametrize("width", [0.5, 1.5, 2.0])
def test_a_kernel_about_its_corner_is_refused(side, width) -> None:
    kernel = gaussian(side, width)
    assert not kernel_doubts(kernel, "the kernel")
    with pytest.raises(UserError, match=r"np\.fft\.fftshift\(kernel\)"):
        kernel_doubts(np.fft.ifftshift(kernel), "the kernel")


def test_motion_and_boxes_are_no_corners() -> None:
    motion = np.zeros((15, 15))
    motion[range(2, 13), range(2, 13)] = 1
    for kernel in (motion, np.ones((5, 5)), np.eye(9), gaussian(3, 1), np.ones((1, 9))):
        assert not kernel_doubts(kernel, "the kernel")


def test_a_kernel_off_its_middle_moves_the_picture() -> None:
    assert "moved" in kernel_doubts(np.roll(gaussian(21, 1), (0, 8), (0, 1)), "the kernel")[0]


def test_a_corner_kernel_is_refused_wherever_it_is_given(picture, tmp_path) -> None:
    np.save(tmp_path / "k.npy", np.fft.ifftshift(gaussian(40, 1.5)))
    np.save(tmp_path / "p.npy", picture)
    with pytest.raises(UserError, match="fftshift"):
        load_deblur(tmp_path / "p.npy", kernel=tmp_path / "k.npy")
    with pytest.raises(UserError, match="fftshift"):
        simulate_deblur(tmp_path / "p.npy", tmp_path / "o.npz", kernel=tmp_path / "k.npy")
    physics = Blur(np.fft.ifftshift(gaussian(9, 1.0)), (1, 40, 40))
    y = torch.from_numpy(picture)[None, None]
    with pytest.raises(UserError, match="fftshift"):
        ut.reconstruct(y, physics, method="adjoint", progress=False)


def photographs() -> list[np.ndarray]:
    from skimage import data

    coloured = data.astronaut()[100:228, 150:278].mean(-1)
    return [data.camera()[100:200, 150:260] / 255, data.moon()[::8, ::8] / 255, coloured / 255]


def test_a_photograph_is_no_kernel(picture, tmp_path) -> None:
    for photograph in (*photographs(), picture):
        with pytest.raises(UserError, match="looks like a photograph and not like a blur kernel"):
            kernel_doubts(photograph, "the kernel")


def test_wide_kernels_are_no_photographs() -> None:
    y, x = np.mgrid[-20:21, -20:21]
    disc = np.clip(18.5 - np.hypot(x, y), 0, 1)
    shake = np.zeros((41, 41))
    shake[(20 + 9 * np.sin(np.arange(41) / 5)).astype(int), np.arange(41)] = np.linspace(0.2, 1, 41)
    coded = np.random.default_rng(0).integers(0, 2, (31, 31))
    noise = np.random.default_rng(0).random((9, 9))
    for kernel in (
        gaussian(41, 12),
        gaussian(41, 40),
        disc,
        shake,
        coded,
        np.ones((33, 33)),
        noise,
    ):
        assert not kernel_doubts(kernel, "the kernel")


@pytest.mark.parametrize("load", [load_deblur, load_nldeblur])
def test_a_photograph_is_refused_as_a_kernel_wherever_it_is_given(load, tmp_path) -> None:
    large = np.tile(photographs()[0], (2, 2)).astype(np.float32)
    np.savez(tmp_path / "y.npz", measurement=large, kernel=np.ones((3, 3)))
    Image.fromarray((255 * photographs()[0]).astype(np.uint8)).save(tmp_path / "photo.png")
    with pytest.raises(UserError, match=r"--kernel: .*photo\.png looks like a photograph"):
        load(tmp_path / "y.npz", kernel=tmp_path / "photo.png")
    np.save(tmp_path / "clean.npy", large)
    simulate = simulate_deblur if load is load_deblur else simulate_nldeblur
    with pytest.raises(UserError, match=r"--kernel: .*photo\.png looks like a photograph"):
        simulate(tmp_path / "clean.npy", tmp_path / "o.npz", kernel=tmp_path / "photo.png")


# options in place of what the file holds ----------------------------------------------------


def test_an_option_in_the_place_of_the_file_s_own_is_said(picture, tmp_path) -> None:
    half = np.ones((40, 40))
    half[::2] = 0
    own, folder = (
        {"kernel": np.ones((3, 3)) / 9, "mask": half, "factor": 4, "sigma": 25.0},
        tmp_path,
    )
    np.savez(folder / "y.npz", measurement=picture, **own)
    np.save(folder / "other.npy", np.eye(5))
    np.save(folder / "same.npy", np.ones((3, 3)))
    np.save(folder / "mask.npy", half.T)
    np.save(folder / "halves.npy", half)
    cases = [
        (load_deblur, {"kernel": folder / "other.npy"}, {"kernel": folder / "same.npy"}, "kernel"),
        (
            load_nldeblur,
            {"kernel": folder / "other.npy"},
            {"kernel": folder / "same.npy"},
            "kernel",
        ),
        (load_inpaint, {"mask": folder / "mask.npy"}, {"mask": folder / "halves.npy"}, "mask"),
        (load_superres, {"factor": 2}, {"factor": 4}, "factor', 4,"),
        (load_denoise, {"sigma": 50.0}, {"sigma": 25.0}, "sigma', 25.0,"),
    ]
    for load, other, same, key in cases:
        said = f"--{next(iter(other))} took the place of the file's own '{key}"
        assert any(said in note for note in load(folder / "y.npz", **other).notes), key
        for silent in (same, {}):
            notes = load(folder / "y.npz", **silent).notes
            assert not any("took the place" in note for note in notes), key


def test_scans_say_it_too(tmp_path) -> None:
    angles, columns = np.arange(12) * 15.0, np.arange(16) % 2
    scan = {"sinogram": np.ones((12, 20), np.float32), "angles": angles}
    np.savez(tmp_path / "ct.npz", **scan, image_shape=[16, 16], pixel_size=2.0)
    (tmp_path / "g.json").write_text('{"pixel_size": 1.0, "image_shape": [16, 16]}')
    notes = load_ct(tmp_path / "ct.npz", geometry=tmp_path / "g.json", angles=12)[0].notes
    found = [note for note in notes if "took the place" in note]
    assert len(found) == 1
    assert found[0].startswith("--geometry took the place of the file's own 'pi")
    np.save(tmp_path / "angles.npy", angles + 90)
    notes = load_ct(tmp_path / "ct.npz", angles=tmp_path / "angles.npy")[0].notes
    assert any("--angles took the place of the file's own 'angles'" in note for note in notes)
    kspace = np.random.default_rng(0).standard_normal((1, 16, 16)) * (1 + 1j)
    np.savez(tmp_path / "mri.npz", kspace=kspace.astype(np.complex64), mask=columns)
    np.save(tmp_path / "m.npy", 1 - columns)
    notes = load_mri(tmp_path / "mri.npz", mask=tmp_path / "m.npy")[0].notes
    assert any("--mask took the place of the file's own 'mask'" in note for note in notes)


# masks --------------------------------------------------------------------------------------


def test_an_inverted_mask_is_refused(picture, tmp_path) -> None:
    hole = np.zeros((40, 40), bool)
    hole[10:20, 10:30] = True
    np.savez(tmp_path / "m.npz", measurement=picture * ~hole, mask=hole)
    with pytest.raises(UserError, match="is the mask inverted"):
        load_inpaint(tmp_path / "m.npz")
    y = torch.from_numpy(picture * ~hole)[None, None]
    with pytest.raises(UserError, match="is the mask inverted"):
        ut.reconstruct(y, Inpaint(hole, (1, 40, 40)), method="tv", progress=False)
    white = np.where(hole, 1, picture)[None]
    with pytest.raises(UserError, match="is one value"):
        mask_doubts(white, hole[None], "mask")
    assert not mask_doubts(white, ~hole[None], "mask")
    assert not mask_doubts(np.full((1, 40, 40), 0.5), hole[None], "mask")
    rough = white + 0.01 * np.random.default_rng(0).standard_normal(white.shape)
    assert "inverted" in mask_doubts(rough, hole[None], "mask")[0]


def holes(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    hole = np.zeros(picture.shape, bool)
    hole[4:36, [9, 10, 22, 23, 24]] = True
    return np.round(255 * np.where(hole, 0, picture)).astype(np.uint8), hole


def test_holes_in_a_lossy_file_are_said(picture, tmp_path) -> None:
    pixels, hole = holes(picture)
    Image.fromarray(pixels).save(tmp_path / "p.jpg", quality=85)
    assert any("JPEG" in note for note in load_inpaint(tmp_path / "p.jpg").notes)
    Image.open(tmp_path / "p.jpg").save(tmp_path / "again.png")
    assert any("nearly black" in note for note in load_inpaint(tmp_path / "again.png").notes)
    Image.fromarray(pixels).save(tmp_path / "p.png")
    assert not any("nearly black" in note for note in load_inpaint(tmp_path / "p.png").notes)
    Image.fromarray(~hole * np.uint8(255)).save(tmp_path / "mask.png")
    found = load_inpaint(tmp_path / "p.jpg", mask=tmp_path / "mask.png")
    assert not any("JPEG" in note for note in found.notes)


def test_holes_in_a_dark_picture_are_no_doubt(picture, tmp_path) -> None:
    pixels, _ = holes(np.full_like(picture, 0.03))
    Image.fromarray(pixels).save(tmp_path / "p.png")
    assert not any("nearly black" in note for note in load_inpaint(tmp_path / "p.png").notes)


def test_a_photograph_is_no_mask(picture, tmp_path) -> None:
    Image.fromarray((255 * picture).astype(np.uint8)).save(tmp_path / "p.png")
    with pytest.raises(UserError, match="looks like a photograph"):
        read_mask(tmp_path / "p.png")
    alpha = np.full((40, 40, 4), 255, np.uint8)
    alpha[10:20, 10:20, 3] = 0
    Image.fromarray(alpha).save(tmp_path / "alpha.png")
    with pytest.raises(UserError, match="alpha channel"):
        read_mask(tmp_path / "alpha.png")
    soft = np.zeros((40, 40), np.uint8)
    soft[:, 8:] = 255
    soft[:, 6:8] = 128
    Image.fromarray(soft).save(tmp_path / "soft.png")
    assert "neither black nor white" in read_mask(tmp_path / "soft.png")[1][-1]


# amplitudes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("axes", [(0, 1), (0,), (1,)])
def test_amplitudes_in_the_order_of_a_plain_fft_are_refused(picture, tmp_path, axes) -> None:
    plain = np.fft.fftshift(np.abs(np.fft.fft2(np.pad(picture, 20), norm="ortho")))
    np.savez(tmp_path / "a.npz", measurement=plain, image_shape=np.array([40, 40]))
    assert not any("centred" in note for note in load_phase(tmp_path / "a.npz").notes)
    moved = np.fft.ifftshift(plain, axes=axes)
    np.savez(tmp_path / "a.npz", measurement=moved, image_shape=np.array([40, 40]))
    with pytest.raises(UserError, match="fftshift"):
        load_phase(tmp_path / "a.npz")
    y = torch.from_numpy(moved.astype(np.float32))[None, None]
    physics = PhaseRetrieval((1, 40, 40), (20, 20))
    with pytest.raises(UserError, match="fftshift"):
        ut.reconstruct(y, physics, method="dip", steps=1, progress=False)


# levels and noise ---------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [0.02, 3.0])
@pytest.mark.parametrize("task", ["denoise", "deblur", "cs"])
def test_dim_and_bright_pictures_are_worked_on_at_their_own_level(picture, factor, task) -> None:
    x = torch.from_numpy(picture)[None, None]
    physics = {
        "denoise": Denoise((1, 40, 40)),
        "deblur": Blur(gaussian(5, 1.0), (1, 40, 40)),
        "cs": CompressedSensing((1, 40, 40), 800),
    }[task]
    y = physics.A(x)
    y = y + 0.02 * torch.randn(y.shape, generator=torch.Generator().manual_seed(0)).clamp(-2, 2)
    usual = ut.reconstruct(y, physics, method="tv", sigma=0.02, progress=False)
    assert not any("own level" in note or "it was divided" in note for note in usual.notes)
    with pytest.warns(ut.Note, match="its values reach"):
        found = ut.reconstruct(
            factor * y, physics, method="tv", sigma=0.02 * factor, progress=False
        )
    error, best = (float((i - x).norm()) for i in (found.image / factor, usual.image))
    assert error < 1.1 * best


def test_a_noisy_picture_is_not_bright(picture) -> None:
    y = torch.from_numpy(picture)[None, None]
    y = y + 0.4 * torch.randn(y.shape, generator=torch.Generator().manual_seed(0))
    assert float(y.max()) > 1.5
    found = ut.reconstruct(y, Denoise((1, 40, 40)), method="tv", sigma=0.4, progress=False)
    assert not any("bright" in note for note in found.notes)


def test_a_noise_level_on_the_scale_of_255_is_asked_about(picture) -> None:
    y = torch.from_numpy(picture)[None, None]
    y = y + 0.1 * torch.randn(y.shape, generator=torch.Generator().manual_seed(0))
    with pytest.warns(ut.Note, match="did you mean 25 / 255"):
        ut.reconstruct(y, Denoise((1, 40, 40)), method="tv", sigma=25, progress=False)
    found = ut.reconstruct(y, Denoise((1, 40, 40)), method="tv", sigma=0.1, progress=False)
    assert not any("sigma" in note for note in found.notes)


@pytest.mark.parametrize("sigma", [None, "auto", 0])
def test_constant_pictures_and_channels_have_no_level(picture, tmp_path, sigma) -> None:
    noisy = picture + 0.08 * np.random.default_rng(0).standard_normal(picture.shape)
    flat = np.full((40, 40), 200 / 255)
    np.save(tmp_path / "c.npy", np.stack([noisy, noisy, flat]).astype(np.float32))
    np.save(tmp_path / "f.npy", flat.astype(np.float32))
    for name in ("c", "f"):
        m = load_denoise(tmp_path / f"{name}.npy", sigma=sigma)
        assert name == "c" or not any("looks like" in note for note in m.notes)
        for method in ("dct", "nlbayes", "tv"):
            found = ut.reconstruct(
                m.y, m.physics, method=method, sigma=m.sigma, progress=False, compare=False
            )
            assert abs(float(found.image[:, -1].mean()) - 200 / 255) < 5e-3
    colour, grey = (torch.from_numpy(np.load(tmp_path / "c.npy"))[None, n] for n in ([0, 2], [0]))
    assert estimate_noise(colour) == estimate_noise(grey), "a constant channel counts as quiet"


def test_a_reference_in_other_units_is_asked_about(picture) -> None:
    y = torch.from_numpy(picture)[None, None]
    with pytest.warns(ut.Note, match="255 times as bright"):
        ut.reconstruct(
            y, Denoise(y.shape[1:]), method="tv", sigma=0.01, truth=255 * y, progress=False
        )
    found = ut.reconstruct(
        y, Denoise(y.shape[1:]), method="tv", sigma=0.01, truth=y, progress=False
    )
    assert not any("as bright" in note for note in found.notes)
