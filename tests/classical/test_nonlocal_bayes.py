"""Non-local Bayes: exact limits of the denoiser, and what it is worth beyond cosines."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.data import brick, camera

import untrained as ut
from untrained.classical import bayes_denoise, dct, dct_denoise, nlbayes
from untrained.metrics import psnr
from untrained.physics import Blur, Denoise, Inpaint, SuperRes

CAMERA = torch.from_numpy(camera()[100:196, 100:196].astype(np.float32) / 255)[None, None]
BRICK = torch.from_numpy(brick()[:96, :96].astype(np.float32) / 255)[None, None]


def noise(like: torch.Tensor, sigma: float) -> torch.Tensor:
    return sigma * torch.randn(like.shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shape", [(1, 1, 20, 31), (2, 3, 9, 9), (1, 2, 1, 4), (1, 1, 1, 1)])
def test_nothing_is_lost_without_noise(shape: tuple[int, ...]) -> None:
    image = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(bayes_denoise(image, 1e-6), image, atol=2e-3, rtol=0)


def test_in_much_noise_only_the_mean_of_the_first_estimate_is_left() -> None:
    flat = torch.full((1, 3, 24, 24), 0.4)
    torch.testing.assert_close(bayes_denoise(flat, 10.0), flat, atol=1e-5, rtol=0)
    noisy = flat + noise(flat, 10.0)
    assert float((bayes_denoise(noisy, 10.0) - dct_denoise(noisy, 10.0)).std()) < 1.0


@pytest.mark.parametrize("truth", [CAMERA, BRICK])
def test_it_cleans_better_than_the_cosines_that_it_begins_with(truth: torch.Tensor) -> None:
    noisy = truth + noise(truth, 0.1)
    found, before = bayes_denoise(noisy, 0.1), dct_denoise(noisy, 0.1)
    assert psnr(found, truth, data_range=1.0) > psnr(before, truth, data_range=1.0) + 0.15


def test_a_batch_equals_its_singles() -> None:
    both = torch.cat([CAMERA, BRICK])[..., :40, :40]
    noisy = both + noise(both, 0.1)
    singles = [bayes_denoise(one, 0.1) for one in noisy.split(1)]
    torch.testing.assert_close(bayes_denoise(noisy, 0.1), torch.cat(singles))


def test_a_volume_is_cleaned_in_three_directions() -> None:
    """A turned volume gives the turned answer, and each direction tells something of its own."""
    axis = torch.linspace(-1, 1, 14)
    r = (axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + 2 * axis**2).sqrt()
    truth = ((r < 0.8) * 0.6 + (r < 0.4) * 0.3)[None, None]
    noisy = truth + noise(truth, 0.1)
    problem = ut.Problem(noisy, Denoise(), sigma=0.1)
    found = nlbayes(problem)
    planes = bayes_denoise(noisy[0].movedim(1, 0), 0.1).movedim(0, 1)[None]
    assert psnr(found, truth, data_range=1.0) > psnr(planes, truth, data_range=1.0) + 0.8
    turned = nlbayes(ut.Problem(noisy.movedim(4, 2), Denoise(), sigma=0.1))
    torch.testing.assert_close(turned, found.movedim(4, 2), atol=2e-3, rtol=0)


@pytest.mark.parametrize("task", ["deblur", "superres"])
def test_plugged_in_it_is_better_than_the_cosines(task: str) -> None:
    physics = (
        Blur(torch.ones(5, 5) / 25, (1, 96, 96)) if task == "deblur" else SuperRes((1, 96, 96), 2)
    )
    y = physics.A(BRICK)
    problem = ut.Problem(y + noise(y, 0.01), physics)
    ours, before = (
        psnr(problem.to_units(f(problem)), BRICK, data_range=1.0) for f in (nlbayes, dct)
    )
    assert ours > before + 0.1


def test_only_pictures_and_noisy_volumes() -> None:
    y = torch.rand(1, 1, 6, 6, 6)
    with pytest.raises(ut.UserError, match="nlbayes is for pictures"):
        nlbayes(ut.Problem(y, Inpaint(torch.ones(6, 6, 6), tuple(y.shape[1:]))))
    signal = torch.rand(1, 1, 6)
    with pytest.raises(ut.UserError, match="nlbayes is for pictures"):
        nlbayes(ut.Problem(signal, Denoise(tuple(signal.shape[1:]))))
