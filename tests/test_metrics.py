"""Metrics against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_laplace

from untrained.metrics import evaluate, hfen, lf_ratio, nrmse, psnr, ssim

RNG = np.random.default_rng(0)
TRUTH = RNG.random((3, 32, 40)).astype(np.float32)


@pytest.mark.parametrize("data_range", [1.0, 255.0, 0.5])
def test_psnr_of_a_constant_error(data_range):
    assert psnr(TRUTH + 0.1, TRUTH, data_range=data_range) == pytest.approx(
        20 * math.log10(data_range / 0.1), abs=1e-3
    )


def test_psnr_does_not_depend_on_the_images_own_range():
    a, b = np.array([[0.0, 1.0]]), np.array([[0.0, 0.5]])
    assert psnr(a, b, data_range=1) == pytest.approx(10 * math.log10(1 / 0.125))
    assert psnr(10 * a, 10 * b, data_range=10) == pytest.approx(psnr(a, b, data_range=1))


def test_perfect_images():
    found = evaluate(TRUTH, TRUTH, data_range=1)
    assert found["psnr"] == math.inf
    assert found["ssim"] == pytest.approx(1)
    assert found["nrmse"] == found["hfen"] == 0


def test_tensors_and_arrays_agree():
    noisy = TRUTH + 0.05 * RNG.standard_normal(TRUTH.shape).astype(np.float32)
    by_array = evaluate(noisy, TRUTH, data_range=1)
    by_tensor = evaluate(torch.from_numpy(noisy)[None], torch.from_numpy(TRUTH)[None], data_range=1)
    for name, value in by_array.items():
        assert by_tensor[name] == pytest.approx(value, rel=1e-5)


def test_integers_do_not_wrap_around():
    a, b = np.full((4, 4), 10, np.uint8), np.full((4, 4), 20, np.uint8)
    assert psnr(a, b, data_range=255) == pytest.approx(20 * math.log10(25.5))


def test_complex_images_are_compared_by_magnitude_without_rescaling():
    z = (RNG.standard_normal((24, 24)) + 1j * RNG.standard_normal((24, 24))).astype(np.complex64)
    channels = torch.from_numpy(np.stack([z.real, z.imag]))[None]
    turned = torch.from_numpy(np.stack([-z.imag, z.real]))[None]
    assert psnr(turned, channels, data_range=1) > 100
    assert nrmse(turned, channels) < 1e-6
    assert nrmse(2 * channels, channels) == pytest.approx(1)
    assert psnr(2 * channels[0], channels[0], data_range=1) == pytest.approx(
        10 * math.log10(1 / np.mean(np.abs(z) ** 2)), rel=1e-4
    )
    assert psnr(2 * z, z, data_range=1) == pytest.approx(
        psnr(2 * channels, channels, data_range=1), rel=1e-5
    )


def test_ssim_of_constant_images_has_a_closed_form():
    a, b = np.full((20, 20), 0.5), np.full((20, 20), 0.7)
    c1 = 0.01**2
    expected = (2 * 0.35 + c1) / (0.25 + 0.49 + c1)
    assert ssim(a, b, data_range=1) == pytest.approx(expected, rel=1e-6)


def test_ssim_window_is_gaussian_of_one_and_a_half():
    """One altered pixel changes SSIM only where an 11 x 11 window sees it."""
    a = RNG.random((64, 64))
    b = a.copy()
    b[32, 32] += 0.3
    loss = 1 - ssim(b, a, data_range=1)
    assert 0 < loss < 121 / 54**2
    assert math.isnan(ssim(a[:10], b[:10], data_range=1))


def test_ssim_falls_with_noise_and_averages_channels():
    noise = RNG.standard_normal(TRUTH.shape)
    values = [ssim(TRUTH + s * noise, TRUTH, data_range=1) for s in (0.01, 0.1, 0.5)]
    assert values[0] > values[1] > values[2]
    each = [ssim(TRUTH[c] + 0.1 * noise[c], TRUTH[c], data_range=1) for c in range(3)]
    assert np.mean(each) == pytest.approx(values[1])


def test_nrmse_and_hfen_definitions():
    x = TRUTH[0] + 0.1 * RNG.standard_normal((32, 40))
    expected = np.linalg.norm(x - TRUTH[0]) / np.linalg.norm(TRUTH[0])
    assert nrmse(x, TRUTH[0]) == pytest.approx(expected, rel=1e-5)
    edges = [gaussian_laplace(i.astype(np.float64), 1.5) for i in (x, TRUTH[0])]
    expected = np.linalg.norm(edges[0] - edges[1]) / np.linalg.norm(edges[1])
    assert hfen(x, TRUTH[0]) == pytest.approx(expected, rel=1e-2)
    assert hfen(TRUTH + 0.1, TRUTH) < 1e-4, "a constant offset has no high frequencies"
    assert math.isnan(nrmse(TRUTH, 0 * TRUTH))


def test_volumes_are_accepted():
    volume = torch.rand(1, 1, 12, 16, 16, generator=torch.Generator().manual_seed(0))
    found = evaluate(volume + 0.1, volume, data_range=1)
    assert found["psnr"] == pytest.approx(20, abs=1e-3)
    assert 0 < found["ssim"] < 1


def test_nothing_is_broadcast_and_the_range_is_required():
    for metric in (psnr, ssim):
        with pytest.raises(ValueError, match=r"\(3, 32, 40\) and \(1, 32, 40\)"):
            metric(TRUTH, TRUTH[:1], data_range=1)
        with pytest.raises(TypeError):
            metric(TRUTH, TRUTH)
        for bad in (0, -1, math.nan, math.inf):
            with pytest.raises(ValueError, match="data_range"):
                metric(TRUTH, TRUTH, data_range=bad)
    for metric in (nrmse, hfen):
        with pytest.raises(ValueError, match="agree in shape"):
            metric(TRUTH, TRUTH[:, :5])


def test_the_share_of_low_frequencies_has_its_limits():
    noise = torch.randn(8, 64, 64, generator=torch.Generator().manual_seed(0))
    assert lf_ratio(torch.full((2, 64, 64), 3.0)) == pytest.approx(1)
    assert lf_ratio(noise) == pytest.approx(1 / 64, rel=0.05)
    assert lf_ratio(noise, band=1.0) == pytest.approx(1)
    checks = (torch.arange(64)[:, None] + torch.arange(64)).remainder(2) - 0.5
    assert lf_ratio(checks[None]) == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match="band"):
        lf_ratio(noise, band=0)


@pytest.mark.parametrize("of", [torch.from_numpy, np.asarray])
def test_psnr_of_an_image_with_nan_is_nan_and_not_infinite(of) -> None:
    truth = np.random.default_rng(0).random((16, 16)).astype(np.float32)
    image = truth.copy()
    image[3, 4] = np.nan
    assert math.isnan(psnr(of(image), of(truth), data_range=1.0))
    assert math.isinf(psnr(of(truth), of(truth), data_range=1.0))
