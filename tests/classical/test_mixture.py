"""What networks lean on under noise: the better of two, told by Stein's estimate."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.data import camera
from torch import Tensor

import untrained as ut
from untrained.classical import guide, guide_name, nlbayes, tv
from untrained.metrics import psnr
from untrained.physics import Denoise

CAMERA = torch.from_numpy(camera()[100:196, 100:196].astype(np.float32) / 255)[None, None]


def flat_pieces(*sides: int) -> Tensor:
    """A ball in a ball, each of one grey value."""
    axes = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in sides), indexing="ij")
    r = torch.stack(axes).norm(dim=0)
    return ((r < 0.8) * 0.6 + (r < 0.4) * 0.3)[None, None]


def noisy(truth: Tensor, sigma: float = 0.1) -> ut.Problem:
    draw = torch.randn(truth.shape, generator=torch.Generator().manual_seed(1))
    return ut.Problem(truth + sigma * draw, Denoise(), sigma=sigma)


@pytest.mark.parametrize("sides", [(64, 64), (10, 40, 40)])
def test_flat_pieces_are_as_good_as_total_variation_makes_them(sides: tuple[int, ...]) -> None:
    truth = flat_pieces(*sides)
    problem = noisy(truth)
    mixed, flat, bayes = (psnr(f(problem), truth, data_range=1.0) for f in (guide, tv, nlbayes))
    assert flat > bayes + 1.0
    assert mixed > flat - 0.02
    assert guide_name(problem) == "non-local Bayes and total variation"


def test_a_photograph_has_little_of_total_variation() -> None:
    problem = noisy(CAMERA)
    mixed, flat, bayes = (psnr(f(problem), CAMERA, data_range=1.0) for f in (guide, tv, nlbayes))
    assert bayes > flat + 1.0
    assert mixed > bayes - 0.02


def test_the_share_is_that_of_the_least_error() -> None:
    """Half a picture and half flat pieces: between the two, and near what the truth would say."""
    truth = torch.cat([CAMERA, flat_pieces(96, 96)], dim=3)
    problem = noisy(truth)
    flat, bayes = tv(problem), nlbayes(problem)
    step = bayes - flat
    best = float(((truth - flat) * step).sum() / step.square().sum())
    assert 0.2 < best < 1
    guide(problem)
    assert float(problem.cache["share"]) == pytest.approx(best, abs=0.1)


def test_all_pixels_take_the_share_of_the_part() -> None:
    part, _ = noisy(flat_pieces(40, 40)).split(0.05, seed=0)
    guide(part)
    whole = noisy(flat_pieces(40, 40)).after(part)
    guide(whole)
    assert "share" in part.cache
    assert "share" not in whole.cache


def test_without_a_level_it_is_non_local_bayes() -> None:
    y = noisy(flat_pieces(40, 40)).y
    problem = ut.Problem(y, Denoise())
    assert torch.equal(guide(problem), nlbayes(problem))


@pytest.mark.parametrize("y", [torch.full((1, 1, 12, 12), 0.5), CAMERA[..., :12, :12]])
def test_without_noise_to_speak_of_nothing_changes(y: Tensor) -> None:
    """Neither where the two images are the same, which leaves no parabola."""
    found = guide(ut.Problem(y, Denoise(), sigma=1e-4))
    torch.testing.assert_close(found, y, atol=2e-3, rtol=0)
