"""Sliding cosine transforms: the transform, the denoiser, the splitting around it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.data import brick, camera

from untrained.classical import baseline, dct, dct_denoise, tv
from untrained.classical.sliding_dct import SHIFTS, _thresholded
from untrained.errors import UserError
from untrained.metrics import psnr
from untrained.physics import CT, Blur, Denoise, Inpaint, random_mask
from untrained.problem import Problem

TRUTH = torch.from_numpy(camera()[100:196, 100:196].astype(np.float32) / 255)[None, None]


def noisy(sigma: float, like: torch.Tensor = TRUTH) -> torch.Tensor:
    return like + sigma * torch.randn(like.shape, generator=torch.Generator().manual_seed(0))


def quality(image: torch.Tensor) -> float:
    return float(psnr(image, TRUTH, data_range=1.0))


@pytest.mark.parametrize(
    "shape", [(1, 1, 20, 31), (2, 3, 5, 9), (1, 2, 5, 9, 3), (1, 1, 5), (1, 1, 1, 1)]
)
def test_nothing_is_lost_without_noise(shape: tuple[int, ...]):
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(dct_denoise(x, 1e-7), x, atol=1e-5)
    for shift in SHIFTS:
        assert torch.allclose(_thresholded(x, 1e-7, shift), x, atol=1e-5)


def test_the_mean_of_a_flat_picture_stays_whatever_the_noise():
    flat = torch.full((1, 3, 24, 24), 0.4)
    assert torch.allclose(dct_denoise(flat, 10.0), flat, atol=1e-5)


def test_a_pure_cosine_below_the_threshold_goes_and_above_it_stays():
    wave = torch.cos(torch.pi / 8 * 4 * (torch.arange(64) + 0.5)).expand(1, 1, 64, 64)
    inside = (..., slice(8, -8), slice(8, -8))
    assert float(_thresholded(0.1 * wave, 1.0, (0, 0))[inside].abs().max()) < 1e-5
    kept = _thresholded(0.1 * wave, 0.01, (0, 0))
    assert torch.allclose(kept[inside], 0.1 * wave[inside], atol=0.01)


def test_noise_goes_and_both_directions_are_alike():
    y = noisy(0.1)
    assert quality(dct_denoise(y, 0.1)) > quality(y) + 7
    turned = dct_denoise(y.transpose(-1, -2).contiguous(), 0.1).transpose(-1, -2)
    assert torch.allclose(turned, dct_denoise(y, 0.1), atol=1e-5)


def test_colours_help_each_other():
    grey = TRUTH.expand(1, 3, -1, -1)
    together = dct_denoise(noisy(0.1, grey), 0.1)
    alone = dct_denoise(noisy(0.1, grey)[:, :1], 0.1)
    assert float(psnr(together, grey, data_range=1.0)) > quality(alone) + 2


def test_denoising_takes_the_noise_level_or_finds_it():
    known, unknown = (dct(Problem(noisy(0.1), Denoise(), sigma=s)) for s in (0.1, None))
    assert torch.allclose(known, dct_denoise(noisy(0.1), 0.1))
    assert quality(unknown) > quality(known) - 0.3
    assert dct(Problem(TRUTH, Denoise(), sigma=0.0)).isfinite().all()


@pytest.mark.parametrize("task", ["deblur", "inpaint"])
def test_it_is_better_than_total_variation_on_texture(task: str):
    truth = torch.from_numpy(brick()[:96, :96].astype(np.float32) / 255)[None, None]
    if task == "deblur":
        physics = Blur(torch.ones(5, 5) / 25, (1, 96, 96))
    else:
        physics = Inpaint(random_mask((96, 96), missing=0.5), (1, 96, 96))
    y = physics.A(truth)
    problem = Problem(y + (noisy(0.01, y) - y) * (y != 0), physics)
    ours, theirs = (psnr(problem.to_units(f(problem)), truth, data_range=1.0) for f in (dct, tv))
    assert float(ours) > float(theirs) + 0.5


def test_batch_equals_singles_and_hidden_measurements_are_not_seen():
    physics = Inpaint(random_mask((24, 24), missing=0.4), (1, 24, 24))
    y = physics.A(torch.cat([TRUTH[..., :24, :24], TRUTH[..., 40:64, 40:64]]))
    both = dct(Problem(y, physics))
    for i in range(2):
        assert torch.allclose(both[i : i + 1], dct(Problem(y[i : i + 1], physics)), atol=1e-6)
    problem = Problem(y[:1], physics)
    fit, _ = problem.split(0.1, seed=0)
    changed = y[:1] + 0.5 * (1 - fit.keep) * (y[:1] != 0)
    other, _ = Problem(changed, physics).split(0.1, seed=0)
    assert torch.equal(dct(fit), dct(other))


@pytest.mark.parametrize(("sigma", "data_last"), [(0.0, True), (0.2, False)])
def test_the_data_or_the_prior_have_the_last_word(sigma: float, data_last: bool):
    physics = Blur(torch.ones(3, 3) / 9, (1, 64, 64))
    y = physics.A(TRUTH[..., :64, :64])
    problem = Problem(noisy(sigma, y) if sigma else y, physics)
    dct(problem)
    assert bool(problem.cache["dct settings"][1]) == data_last


def test_the_weighting_of_the_caller_changes_nothing():
    physics = CT((32, 32), np.arange(0, 180, 12.0), 48)
    clean = physics.A(TRUTH[..., :32, :32])
    y = noisy(0.01 * float(clean.max()), clean)
    plain, ramped = (dct(Problem(y, physics).weighted(w)) for w in ("uniform", "half-ramp"))
    assert torch.equal(plain, ramped)


def test_the_guide_is_total_variation_where_there_is_no_plane():
    kept = torch.ones(1, 1, 16, 16).bernoulli(0.7, generator=torch.Generator().manual_seed(0))
    volume = Problem(noisy(0.1)[..., None, :16, :16] * kept, Inpaint(kept[0], (1, 1, 16, 16)))
    assert torch.equal(baseline(volume), volume.cache["baseline"])
    assert torch.allclose(baseline(volume), tv(volume), atol=1e-2)
    line = Problem(noisy(0.1)[..., :1, :], Denoise(), sigma=0.1)
    assert baseline(line).shape == line.y.shape


def test_it_needs_a_linear_physics():
    from untrained.physics import PhaseRetrieval

    physics = PhaseRetrieval((1, 8, 8))
    with pytest.raises(UserError, match="dct"):
        dct(Problem(physics.A(TRUTH[..., :8, :8]), physics))
