"""Coil maps on simulated coils, where the truth is known, and on measured brains."""

from pathlib import Path

import numpy as np
import pytest
import torch

from untrained.errors import UserError
from untrained.maths import fft2c, ifft2c
from untrained.physics import espirit_maps, estimate_maps, lowres_maps, vdrs_mask
from untrained.physics.masks import centre_crop

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "mri_multicoil"


def coils_on_a_circle(coils: int, size: int) -> torch.Tensor:
    """Smooth maps with sum |S|^2 = 1: Gaussian strength and linear phase around the object."""
    axis = torch.linspace(-1, 1, size)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    maps = []
    for i in range(coils):
        a = torch.tensor(2 * torch.pi * i / coils)
        strength = torch.exp(-((x - a.cos()) ** 2 + (y - a.sin()) ** 2) / 1.5)
        maps.append(torch.polar(strength, x * a.sin() + 0.7 * y * a.cos()))
    stacked = torch.stack(maps)
    return stacked / stacked.abs().square().sum(0).sqrt()


def simulated(coils=4, size=48):
    axis = torch.linspace(-1, 1, size)
    radius = (axis[:, None] ** 2 + axis**2).sqrt()
    image = torch.where(radius < 0.7, 1.0 + 0.2 * torch.cos(7 * axis), 0.0).to(torch.complex64)
    maps = coils_on_a_circle(coils, size)
    return fft2c(maps * image), maps, radius < 0.65


def fit_error(maps, kspace):
    """Relative distance of the coil images from what one image and the maps can explain."""
    images = ifft2c(torch.as_tensor(kspace))
    combined = (maps.conj() * images).sum(0)
    return float((images - maps * combined).norm() / images.norm())


def likeness(maps, truth):
    return (maps.conj() * truth).sum(0).abs()


@pytest.mark.parametrize("function", [lowres_maps, espirit_maps])
def test_known_maps_are_found(function):
    kspace, truth, inside = simulated()
    maps = function(kspace * vdrs_mask(48, 2, 0.4))
    assert maps.dtype == torch.complex64
    assert maps.shape == truth.shape
    size = maps.abs().square().sum(0)
    torch.testing.assert_close(size[inside], torch.ones_like(size[inside]), atol=1e-4, rtol=0)
    assert bool(((size - 1).abs().minimum(size) < 1e-4).all())
    assert float(likeness(maps, truth)[inside].min()) > 0.97
    assert fit_error(maps, kspace) < 0.06
    combined = (maps.conj() * ifft2c(kspace)).sum(0)[inside]
    assert float(combined.angle().abs().max()) < 0.2


def test_lowres_maps_continue_smoothly():
    kspace, _, _ = simulated()
    noisy = kspace + 1e-3 * torch.randn(
        kspace.shape, dtype=kspace.dtype, generator=torch.Generator().manual_seed(0)
    )
    maps = lowres_maps(noisy)
    assert float(maps.diff(dim=-1).abs().max()) < 0.35
    assert float(maps.diff(dim=-2).abs().max()) < 0.35


@pytest.mark.parametrize("function", [lowres_maps, espirit_maps])
def test_maps_stay_good_where_the_border_cuts_the_object(function):
    """k-space repeats the image: the maps jump there, and patches would mix both sides."""
    size = 64
    truth = coils_on_a_circle(8, size)
    image = 1 + 0.3 * torch.cos(torch.arange(size) / 3.0) * torch.ones(size, 1)
    image[:, :20] = image[:, -20:] = 0  # cut above and below, not at the sides
    maps = function(fft2c(truth * image) * vdrs_mask(size, 2, 0.25))
    likely = likeness(maps, truth)
    assert float(likely[[0, -1], 22:-22].min()) > 0.9


def test_the_support_goes_to_the_sides_that_the_object_fills():
    kspace, _, _ = simulated(size=64)
    maps = espirit_maps(kspace)
    assert bool((maps[:, [0, -1]] == 0).all())
    axis = torch.linspace(-1, 1, 64)
    image = (1.2 + torch.cos(5 * axis))[:, None] * torch.ones(64)
    maps = espirit_maps(fft2c(coils_on_a_circle(8, 64) * image))
    assert bool((maps.abs().sum(0) > 0).all())


def test_auto_says_what_it_took():
    kspace, _, _ = simulated()
    wide, narrow = (torch.zeros(48, 48) for _ in range(2))
    wide[centre_crop((48, 48), (16, 16))] = 1
    narrow[centre_crop((48, 48), (6, 6))] = 1
    assert estimate_maps(kspace * wide, wide)[1] == "espirit"
    assert estimate_maps(kspace * narrow, narrow)[1] == "lowres"
    assert estimate_maps((kspace * wide).numpy(), how="lowres")[1] == "lowres"


def test_espirit_maps_end_with_the_object():
    kspace, _, inside = simulated()
    maps = espirit_maps(kspace)
    radius = torch.linspace(-1, 1, 48)
    outside = (radius[:, None] ** 2 + radius**2).sqrt() > 1.1
    assert bool((maps[:, outside] == 0).all())
    assert bool((maps[:, inside].abs().sum(0) > 0).all())
    whole = espirit_maps(kspace, crop=0.0)
    assert bool((whole.abs().sum(0) > 0).all())
    kept = (maps != 0).any(0)
    torch.testing.assert_close(maps[:, kept], whole[:, kept])


def test_espirit_leaves_nothing_unexplained_where_few_lines_calibrate():
    kspace, truth, inside = simulated(coils=6, size=64)
    columns = torch.zeros(64)
    columns[centre_crop((64, 64), (64, 7))[1]] = 1
    maps = espirit_maps(kspace * columns)
    assert float(likeness(maps, truth)[inside].mean()) > float(
        likeness(lowres_maps(kspace * columns), truth)[inside].mean()
    )
    assert fit_error(maps, kspace) < 0.5 * fit_error(lowres_maps(kspace * columns), kspace)


def test_a_dead_first_coil_does_no_harm():
    kspace, truth, inside = simulated()
    kspace[0] = 0
    maps = espirit_maps(kspace)
    assert float(maps[0].abs().max()) < 1e-3
    rest = truth[1:] / truth[1:].abs().square().sum(0).sqrt()
    assert float(likeness(maps[1:], rest)[inside].min()) > 0.97


def test_no_usable_centre():
    kspace, _, _ = simulated()
    sparse = torch.zeros(48, dtype=torch.bool)
    sparse[::2] = True
    for how, size in (("auto", "4x4"), ("lowres", "4x4"), ("espirit", "7x7")):
        with pytest.raises(UserError, match=f"at least {size}.*has 48x1"):
            estimate_maps(kspace * sparse, how=how)
    hole = kspace.clone()
    hole[:, 10:38, 10:38] = 0
    with pytest.raises(UserError, match="centre of k-space is zero"):
        lowres_maps(hole, torch.ones(48))


def test_bad_arguments():
    kspace, _, _ = simulated()
    with pytest.raises(UserError, match="'auto', 'espirit' or 'lowres'"):
        estimate_maps(kspace, how="bart")
    with pytest.raises(UserError, match="complex k-space"):
        estimate_maps(kspace.abs())
    with pytest.raises(UserError, match="complex k-space"):
        lowres_maps(kspace[0])
    with pytest.raises(UserError, match="mask has shape"):
        lowres_maps(kspace, torch.ones(47))


@pytest.mark.parametrize(
    ("name", "lowres", "espirit"),
    [("brain_mprage_4ch_256", 0.09, 0.08), ("brain_t1_8ch_230x180", 0.13, 0.12)],
)
def test_measured_brains(name, lowres, espirit):
    """Fit errors of the full data; the MPRAGE file's own maps, from all data, leave 7.2 %."""
    file = DATA / f"{name}.npz"
    if not file.exists():
        pytest.skip(f"measured k-space is not here: {file.name}")
    with np.load(file) as stored:
        kspace = torch.from_numpy(stored["kspace"])
    undersampled = kspace * vdrs_mask(kspace.shape[-1], 4, 0.08)
    assert fit_error(lowres_maps(undersampled), kspace) < lowres
    assert fit_error(espirit_maps(undersampled), kspace) < espirit
