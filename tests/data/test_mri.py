"""k-space in and out: mask and map precedence, slices, the simulated reference, errors."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from report_pages import both

import untrained as ut
from untrained.data.phantoms import birdcage_maps, brain
from untrained.data.simulate.mri import combine_coils, simulate_mri
from untrained.data.tasks.mri import load_mri
from untrained.errors import UserError
from untrained.maths import fft2c, ifft2c, to_complex
from untrained.metrics import evaluate
from untrained.physics import Denoise
from untrained.report.page import render_page

SIZE = (40, 36)
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def coil_images(coils: int = 4) -> np.ndarray:
    image = brain(40)[:, 2:38]
    return (birdcage_maps(coils, SIZE) * image).astype(np.complex64)


def full_kspace(coils: int = 4) -> np.ndarray:
    return fft2c(torch.from_numpy(coil_images(coils))).numpy()


@pytest.fixture
def full(tmp_path):
    np.savez(tmp_path / "full.npz", kspace=full_kspace())
    return tmp_path / "full.npz"


@pytest.fixture
def under(full, tmp_path):
    simulate_mri(full, tmp_path / "u.npz", seed=1, acceleration=3, center_fraction=0.3)
    return tmp_path / "u.npz"


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as stored:
        return {key: stored[key] for key in stored}


def test_simulated_file_holds_what_the_contract_says(under):
    stored = arrays_of(under)
    assert stored["kspace"].shape == (4, *SIZE)
    assert stored["kspace"].dtype == np.complex64
    assert stored["mask"].shape == (36,)
    assert "maps" not in stored
    kept = stored["mask"].astype(bool)
    assert np.array_equal(stored["kspace"][..., kept], full_kspace()[..., kept])
    assert not stored["kspace"][..., ~kept].any()
    assert kept[18 - 4 : 18 + 4].all()
    assert stored["reference"].shape == SIZE
    assert stored["reference"].dtype == np.complex64


def test_reference_is_the_combination_with_low_resolution_maps():
    kspace = full_kspace().astype(np.complex128)
    centre = np.zeros_like(kspace)
    window = np.outer(np.hanning(24), np.hanning(24))
    centre[:, 8:32, 6:30] = kspace[:, 8:32, 6:30] * window
    low = ifft2c(torch.from_numpy(centre)).numpy()
    maps = low / np.sqrt((np.abs(low) ** 2).sum(0))
    expected = (maps.conj() * ifft2c(torch.from_numpy(kspace)).numpy()).sum(0)
    found = combine_coils(full_kspace())
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


def test_reference_keeps_the_energy_of_smooth_coils():
    rss = np.sqrt((np.abs(coil_images()) ** 2).sum(0))
    found = np.abs(combine_coils(full_kspace()))
    inside = rss > 0.1
    assert np.linalg.norm(found[inside] - rss[inside]) < 0.05 * np.linalg.norm(rss)


@pytest.mark.parametrize("kind", ["random", "vdrs"])
def test_mask_kinds_are_seeded_and_near_the_acceleration(full, tmp_path, kind):
    masks = []
    for seed in (1, 1, 2):
        simulate_mri(full, tmp_path / "u.npz", seed=seed, mask_kind=kind, acceleration=3)
        masks.append(arrays_of(tmp_path / "u.npz")["mask"])
    assert np.array_equal(masks[0], masks[1])
    assert not np.array_equal(masks[0], masks[2])
    assert 6 <= masks[0].sum() <= 18


def test_image_with_simulated_coils(tmp_path):
    np.save(tmp_path / "x.npy", brain(32))
    notes = simulate_mri(tmp_path / "x.npy", tmp_path / "u.npz", coils=3, acceleration=1)
    stored = arrays_of(tmp_path / "u.npz")
    assert stored["kspace"].shape == (3, 32, 32)
    assert any("3 smooth" in note for note in notes)
    images = ifft2c(torch.from_numpy(stored["kspace"])).numpy()
    assert np.allclose(np.sqrt((np.abs(images) ** 2).sum(0)), np.abs(brain(32)), atol=1e-5)
    np.savez(tmp_path / "x.npz", image=brain(32))
    simulate_mri(tmp_path / "x.npz", tmp_path / "v.npz", coils=3, acceleration=1)
    assert np.array_equal(arrays_of(tmp_path / "v.npz")["kspace"], stored["kspace"])


def test_round_trip(under):
    (found,) = load_mri(under, maps="lowres")
    stored = arrays_of(under)
    assert found.y.shape == (1, 2, 4, *SIZE)
    assert found.y.dtype == torch.float32
    assert np.array_equal(to_complex(found.y)[0].numpy(), stored["kspace"])
    assert np.array_equal(to_complex(found.reference)[0].numpy(), stored["reference"])
    assert found.data_range == pytest.approx(np.abs(stored["reference"]).max())
    assert found.physics.x_shape == (2, *SIZE)
    assert any("low-resolution" in note for note in found.notes)
    consistent = found.physics.A(found.physics.A_adjoint(found.y))
    assert consistent.shape == found.y.shape


def test_true_maps_and_full_mask_invert_exactly(tmp_path):
    maps = birdcage_maps(4, SIZE)
    np.savez(tmp_path / "f.npz", kspace=full_kspace(), maps=maps)
    (found,) = load_mri(tmp_path / "f.npz")
    back = to_complex(found.physics.A_adjoint(found.y))[0].numpy()
    assert np.allclose(back, brain(40)[:, 2:38], atol=1e-5)
    assert any("from the file" in note for note in found.notes)


def test_auto_takes_low_resolution_maps_where_the_centre_is_too_small_for_espirit(full, tmp_path):
    simulate_mri(full, tmp_path / "u.npz", acceleration=4, center_fraction=0.15)
    (found,) = load_mri(tmp_path / "u.npz")
    assert any("low-resolution coil images from the fully sampled 40x" in n for n in found.notes)
    strength = found.physics.maps.abs().square().sum(1)
    assert torch.allclose(strength, torch.ones_like(strength), atol=1e-4)


def test_mask_precedence_option_then_file_then_pattern(under, tmp_path):
    stored = arrays_of(under)
    narrow = stored["mask"].copy()
    narrow[: 36 // 2 - 3] = 0
    np.save(tmp_path / "m.npy", narrow)
    (by_option,) = load_mri(under, mask=tmp_path / "m.npy", maps="lowres")
    assert np.array_equal(by_option.physics.mask[0, 0, 0, 0].numpy(), narrow)
    assert any("unused" in note for note in by_option.notes)
    assert not by_option.y[..., narrow == 0].any()

    wide = stored["mask"] | (np.arange(36) == 0)
    np.savez(tmp_path / "w.npz", kspace=stored["kspace"] * stored["mask"], mask=wide)
    (by_file,) = load_mri(tmp_path / "w.npz", maps="lowres")
    assert np.array_equal(by_file.physics.mask[0, 0, 0, 0].numpy(), wide)

    np.savez(tmp_path / "p.npz", kspace=stored["kspace"])
    (by_pattern,) = load_mri(tmp_path / "p.npz", maps="lowres")
    assert np.array_equal(by_pattern.physics.mask[0, 0, 0, 0].numpy(), stored["mask"])
    assert any("non-zero pattern" in note for note in by_pattern.notes)


def test_nothing_is_undersampled_on_the_way(full):
    (found,) = load_mri(full, maps="lowres")
    assert np.array_equal(to_complex(found.y)[0].numpy(), full_kspace())
    assert bool(found.physics.mask.all())


@pytest.fixture
def fastmri(tmp_path):
    volume = np.stack([full_kspace() * (i + 1) for i in range(5)])
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["kspace"] = volume
        file["reconstruction_rss"] = np.ones((5, 32, 32), np.float32)
        file["ismrmrd_header"] = b"<xml/>"
        file.attrs["max"] = 1.0
    return tmp_path / "v.h5"


def test_fastmris_image_is_the_reference_in_the_middle(tmp_path):
    size = (80, 36)  # twice the rows: the readout is oversampled
    images = np.zeros((4, *size), np.complex64)
    images[:, 20:60] = coil_images()
    rss = np.sqrt(np.square(np.abs(images)).sum(0))[24:56, 2:34]
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["kspace"] = fft2c(torch.from_numpy(images)).numpy()[None]
        file["reconstruction_rss"] = rss[None]
    (found,) = load_mri(tmp_path / "v.h5")
    assert found.data_range == pytest.approx(rss.max())
    said = "; ".join(found.notes)
    assert "the file's reconstruction_rss, compared with the middle 32x32 of the 80x36" in said
    assert "of 80 rows the outer 40 show nothing but noise" in said
    result = ut.reconstruct(
        found.y, found.physics, method="adjoint", truth=found.reference, progress=False
    )
    image = np.abs(to_complex(result.image)[0].numpy())[24:56, 2:34]
    error = np.square(image - rss).mean()
    expected = 10 * np.log10(rss.max() ** 2 / error)
    assert result.about.metrics["psnr"] == pytest.approx(expected, abs=0.01)
    assert expected > 30
    assert "inf dB" not in render_page(*both(result))


def test_a_readout_that_is_not_oversampled_gets_no_note(full):
    (found,) = load_mri(full)
    assert not any("oversampled" in note for note in found.notes)


def test_a_reference_of_which_a_frame_is_unknown():
    truth, image = torch.rand(1, 1, 20, 20), torch.rand(1, 1, 20, 20)
    framed = torch.full_like(truth, float("nan"))
    framed[..., 3:17, 2:18] = truth[..., 3:17, 2:18]
    part = (image[..., 3:17, 2:18], truth[..., 3:17, 2:18])
    assert evaluate(image, framed, data_range=1) == evaluate(*part, data_range=1)
    holed = truth.clone()
    holed[..., 9, 9] = float("nan")
    with pytest.raises(UserError, match="finite"):
        ut.reconstruct(image, Denoise((1, 20, 20)), method="adjoint", truth=holed)


def test_simulating_a_chosen_slice_a_mask_and_noise(fastmri, tmp_path):
    keep = np.zeros(36, np.uint8)
    keep[::3] = keep[14:22] = 1
    np.save(tmp_path / "m.npy", keep)
    out = tmp_path / "u.npz"
    simulate_mri(fastmri, out, slice=4, mask=tmp_path / "m.npy")
    clean = arrays_of(out)
    assert np.allclose(clean["kspace"], 5 * full_kspace() * keep)
    assert np.array_equal(clean["mask"], keep)
    assert "acceleration" not in clean
    simulate_mri(fastmri, out, slice=4, mask=tmp_path / "m.npy", sigma=10)
    noisy = arrays_of(out)
    assert np.array_equal(noisy["reference"], clean["reference"])
    noise = (noisy["kspace"] - clean["kspace"])[..., keep == 1]
    strength = 10 / 255 * np.abs(clean["reference"]).max()
    assert noisy["sigma"] == pytest.approx(strength)
    assert noise.real.std() == pytest.approx(strength, rel=0.05)
    assert noise.imag.std() == pytest.approx(strength, rel=0.05)
    assert not noisy["kspace"][..., keep == 0].any()
    with pytest.raises(UserError, match="--acceleration: leave out one"):
        simulate_mri(fastmri, out, mask=tmp_path / "m.npy", acceleration=4)
    with pytest.raises(UserError, match="from 0 to 4"):
        simulate_mri(fastmri, out, slice=5)
    with pytest.raises(UserError, match="--sigma"):
        simulate_mri(fastmri, out, sigma=-1)
    np.save(tmp_path / "m.npy", keep[:-1])
    with pytest.raises(UserError, match=r"m.npy has shape \(35,\)"):
        simulate_mri(fastmri, out, mask=tmp_path / "m.npy")


def test_simulating_from_a_slice_of_images(tmp_path):
    np.save(tmp_path / "x.npy", np.stack([brain(32), 2 * brain(32)]))
    simulate_mri(tmp_path / "x.npy", tmp_path / "u.npz", slice=1, coils=2, acceleration=1)
    images = ifft2c(torch.from_numpy(arrays_of(tmp_path / "u.npz")["kspace"])).numpy()
    assert np.allclose(np.sqrt((np.abs(images) ** 2).sum(0)), 2 * np.abs(brain(32)), atol=1e-4)


def test_fastmri_slices(fastmri):
    (middle,) = load_mri(fastmri, maps="lowres")
    assert torch.equal(to_complex(middle.y)[0], torch.from_numpy(full_kspace() * 3))
    assert middle.data_range == 1.0
    assert any("slice 2, the middle one of 5" in note for note in middle.notes)
    assert any("reconstruction_rss" in note for note in middle.notes)
    every = load_mri(fastmri, maps="lowres", slice="all")
    assert len(every) == 5
    assert [m.source.split(", ")[-1] for m in every] == [f"slice {i}" for i in range(5)]
    (chosen,) = load_mri(fastmri, maps="lowres", slice="4")
    assert torch.equal(chosen.y, every[4].y)


@pytest.mark.parametrize("wanted", ["5", 5, -1, "first"])
def test_slices_that_do_not_exist(fastmri, wanted):
    with pytest.raises(UserError, match=r"--slice .* 0 to 4"):
        load_mri(fastmri, slice=wanted)


def test_single_coil_volume(tmp_path):
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["kspace"] = full_kspace(1)[[0, 0, 0], :, :]
        file["reference"] = np.stack([np.full(SIZE, 1j * i, np.complex64) for i in range(3)])
    (found,) = load_mri(tmp_path / "s.h5", slice=2)
    assert found.y.shape == (1, 2, 1, *SIZE)
    assert found.data_range == 2.0
    assert any("single coil" in note for note in found.notes)
    np.savez(tmp_path / "s.npz", kspace=full_kspace(1)[0])
    (plane,) = load_mri(tmp_path / "s.npz")
    assert torch.equal(plane.y, found.y)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"image": np.ones((4, 4))}, "lacks 'kspace'; it holds 'image'"),
        ({"kspace": np.ones((2, 8, 8), np.float32)}, "must be complex, found float32"),
        ({"kspace": np.ones((2, 8, 8, 2), np.float32)}, r"a\[\.\.\., 0\] \+ 1j"),
        ({"kspace": np.full((2, 8, 8), np.nan + 0j)}, "128 values NaN"),
        ({"kspace": np.zeros((2, 8, 8), np.complex64)}, "zero everywhere"),
        ({"kspace": np.ones(8, np.complex64)}, r"shape \(8,\)"),
        ({"kspace": np.ones((2, 8, 8), np.complex64), "mask": np.ones((8, 7))}, r"\(8, 7\).*8x8"),
        ({"kspace": np.ones((2, 8, 8), np.complex64), "mask": np.full(8, 0.5)}, "only 0"),
        ({"kspace": np.ones((2, 8, 8), np.complex64), "mask": np.zeros(8)}, "nothing"),
        (
            {"kspace": np.ones((2, 8, 8), np.complex64), "maps": np.ones((3, 8, 8), complex)},
            r"'maps'.*\(3, 8, 8\).*\(2, 8, 8\)",
        ),
        (
            {"kspace": np.ones((2, 8, 8), np.complex64), "maps": np.ones((2, 8, 8))},
            "'maps'.*must be complex",
        ),
        (
            {"kspace": np.ones((1, 8, 8), np.complex64), "reference": np.ones((6, 8))},
            r"'reference'.*\(6, 8\).*8x8",
        ),
    ],
)
def test_bad_files(tmp_path, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(UserError, match=message):
        load_mri(tmp_path / "a.npz")


def test_bad_options(full, tmp_path):
    with pytest.raises(UserError, match=r"--maps: 'best' must be auto, espirit, lowres"):
        load_mri(full, maps="best")
    np.save(tmp_path / "maps.npy", np.ones((4, *SIZE), np.float32))
    with pytest.raises(UserError, match=r"--maps: .*must be complex"):
        load_mri(full, maps=tmp_path / "maps.npy")
    with pytest.raises(UserError, match=r"\.npz or \.h5"):
        load_mri(tmp_path / "a.dat")


def test_simulation_refuses_undersampled_data_and_bad_options(full, under, tmp_path):
    out = tmp_path / "o.npz"
    with pytest.raises(UserError, match="already undersampled"):
        simulate_mri(under, out)
    kspace = full_kspace()
    kspace[..., 1::2] = 0
    np.savez(tmp_path / "gaps.npz", kspace=kspace)
    with pytest.raises(UserError, match="already undersampled"):
        simulate_mri(tmp_path / "gaps.npz", out)
    with pytest.raises(UserError, match="--coils is for images"):
        simulate_mri(full, out, coils=4)
    with pytest.raises(UserError, match="--mask-kind"):
        simulate_mri(full, out, mask_kind="spiral")
    with pytest.raises(UserError, match="acceleration"):
        simulate_mri(full, out, acceleration=30, center_fraction=0.5)
    np.save(tmp_path / "colour.npy", np.zeros((3, 16, 16), np.complex64))
    with pytest.raises(UserError, match="one plane"):
        simulate_mri(tmp_path / "colour.npy", out)
    assert not out.exists()


def test_zero_padding_and_elliptical_sampling_count_as_full(tmp_path):
    kspace = full_kspace()
    kspace[..., :5] = kspace[..., -4:] = 0
    y, x = np.mgrid[-1:1:40j, -1:1:36j]
    np.savez(tmp_path / "a.npz", kspace=kspace * (np.hypot(x / 0.75, y) < 1))
    simulate_mri(tmp_path / "a.npz", tmp_path / "o.npz")


def test_real_multicoil_brain(tmp_path):
    path = SHARED / "mri_multicoil" / "brain_gre_16ch_96.npz"
    if not path.exists():
        pytest.skip(f"no measured k-space at {path}")
    simulate_mri(path, tmp_path / "u.npz", acceleration=2, center_fraction=0.2)
    (found,) = load_mri(tmp_path / "u.npz", maps="lowres")
    zero_filled = to_complex(found.physics.A_adjoint(found.y)).abs()
    truth = to_complex(found.reference).abs()
    assert float((zero_filled - truth).norm() / truth.norm()) < 0.35


def test_kspace_in_the_order_of_a_plain_fft_is_refused(tmp_path):
    np.savez(tmp_path / "k.npz", kspace=np.fft.ifftshift(full_kspace(), axes=(-2, -1)))
    with pytest.raises(UserError, match="fftshift"):
        load_mri(tmp_path / "k.npz")


def test_a_transposed_mask_is_recognised(tmp_path):
    kspace = full_kspace()[:, 2:38]
    rows = np.arange(36) % 2 == 0
    np.savez(tmp_path / "k.npz", kspace=kspace * rows[:, None], mask=rows)
    with pytest.raises(UserError, match="only when transposed"):
        load_mri(tmp_path / "k.npz")


def test_maps_of_zeros_are_refused(under, tmp_path):
    np.save(tmp_path / "maps.npy", np.zeros((4, *SIZE), np.complex64))
    with pytest.raises(UserError, match="zero everywhere"):
        load_mri(under, maps=tmp_path / "maps.npy")


def test_an_empty_slice_is_named(tmp_path):
    np.savez(tmp_path / "k.npz", kspace=np.stack([full_kspace(), 0 * full_kspace()]))
    with pytest.raises(UserError, match="slice 1 of 'kspace' .* zero everywhere"):
        load_mri(tmp_path / "k.npz", slice="all")


def test_arrays_in_groups_are_pointed_out(tmp_path):
    with h5py.File(tmp_path / "k.h5", "w") as file:
        file["exchange/data"] = np.zeros(3)
    with pytest.raises(UserError, match="in groups 'exchange/data'"):
        load_mri(tmp_path / "k.h5")
