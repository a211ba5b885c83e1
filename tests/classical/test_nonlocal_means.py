"""Non-local means as a classical answer."""

from __future__ import annotations

import numpy as np
import torch
from skimage.data import camera
from skimage.restoration import denoise_nl_means

from untrained.classical import guide, nlm, partner
from untrained.metrics import psnr
from untrained.physics import Denoise, Inpaint
from untrained.problem import Problem

TRUTH = torch.from_numpy(camera()[100:196, 100:196].astype(np.float32) / 255)[None, None]
NOISY = TRUTH + 0.1 * torch.randn(TRUTH.shape, generator=torch.Generator().manual_seed(0))


def test_it_is_scikit_images_and_takes_noise_away():
    problem = Problem(NOISY, Denoise(), sigma=0.1)
    found = nlm(problem)
    options = {"patch_size": 5, "patch_distance": 11, "h": 0.045, "sigma": 0.1}
    wanted = denoise_nl_means(NOISY[0, 0].numpy(), fast_mode=True, **options)
    assert np.allclose(found[0, 0].numpy(), wanted, atol=1e-6)
    assert psnr(found, TRUTH, data_range=1.0) > psnr(NOISY, TRUTH, data_range=1.0) + 5


def test_an_unknown_noise_level_is_estimated():
    known, unknown = (nlm(Problem(NOISY, Denoise(), sigma=s)) for s in (0.1, None))
    assert psnr(unknown, TRUTH, data_range=1.0) > psnr(known, TRUTH, data_range=1.0) - 0.5


def test_a_picture_without_noise_stays():
    flat = torch.full((1, 1, 24, 24), 0.5)
    assert torch.allclose(nlm(Problem(flat, Denoise())), flat, atol=1e-6)
    assert nlm(Problem(TRUTH, Denoise(), sigma=0.0)).isfinite().all()


def test_partner_is_total_variation_for_all_but_noisy_pictures():
    picture, volume = Problem(NOISY, Denoise()), Problem(NOISY[..., None, :16, :16], Denoise())
    assert torch.equal(partner(picture, "nlm"), nlm(picture))
    assert torch.equal(partner(picture, "tv"), guide(picture))
    assert torch.equal(partner(volume, "nlm"), guide(volume))
    holes = Problem(NOISY, Inpaint(torch.ones(96, 96)))
    assert torch.equal(partner(holes, "nlm"), guide(holes))
