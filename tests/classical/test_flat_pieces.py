"""Objects of flat pieces: total variation has a share in what networks lean on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.data import camera
from torch import Tensor

import untrained as ut
from untrained.classical import baseline, baseline_name, lowrank, rough_tv, tv_weight, two_priors
from untrained.classical.flat_pieces import edge_sparsity, flat_share
from untrained.data.phantoms import birdcage_maps, shepp_logan
from untrained.metrics import psnr
from untrained.physics import CT, MRI, SuperRes

SIDE = 64
TISSUE = torch.from_numpy(camera()[100:228, 100:228].astype(np.float32) / 255)[None, None]
TISSUE = torch.nn.functional.avg_pool2d(TISSUE, 2)


def phantom() -> Tensor:
    return torch.from_numpy(shepp_logan(SIDE).astype(np.float32))[None, None]


def scanned(x: Tensor, noise: float = 0.01) -> ut.Problem:
    """Twenty views with noise relative to the mean line integral."""
    physics = CT((SIDE, SIDE), np.arange(20) * 9.0, 92)
    y = physics.A(x)
    drawn = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
    return ut.Problem(y + noise * y.mean() * drawn, physics)


def test_edges_of_one_pixel_are_sparse_and_those_of_a_photograph_are_not() -> None:
    assert edge_sparsity(phantom()) > 0.5 > 0.45 > edge_sparsity(TISSUE)
    assert edge_sparsity(torch.ones(1, 1, 8, 8)) == 0


def test_the_background_does_not_count() -> None:
    framed = torch.nn.functional.pad(TISSUE, (32, 32, 32, 32))
    ramp = torch.linspace(0.3, 1, SIDE).expand(1, 1, SIDE, SIDE)
    wide = torch.nn.functional.pad(ramp, (0, 0, 32, 32))
    assert edge_sparsity(framed) < 0.45
    assert edge_sparsity(wide) < 0.5


def test_a_phantom_from_few_views_is_no_worse_than_total_variation() -> None:
    x, problem = phantom(), scanned(phantom())
    flat = problem.to_units(rough_tv(problem, tv_weight(problem)))
    mixed = problem.to_units(baseline(problem))
    assert flat_share(problem) > 0.3
    assert f"{100 * flat_share(problem):.0f} % total variation" in baseline_name(problem)
    assert psnr(mixed, x, data_range=1.0) > psnr(flat, x, data_range=1.0) - 0.1


def test_a_photograph_from_few_views_has_none_of_it() -> None:
    problem = scanned(TISSUE)
    assert flat_share(problem) == 0
    assert baseline_name(problem) == "low rank and non-local Bayes"
    expected = lowrank(problem).lerp(two_priors(problem), 0.7)
    torch.testing.assert_close(baseline(problem), expected)


def test_noise_lowers_the_share() -> None:
    assert flat_share(scanned(phantom(), 0.05)) < 0.6 * flat_share(scanned(phantom(), 0.005))


def test_held_out_columns_judge_on_mri() -> None:
    """A phase is no obstacle; the share is the one that predicts columns best."""
    x = phantom()[0, 0] * torch.exp(torch.tensor(1j))
    maps = torch.from_numpy(birdcage_maps(4, (SIDE, SIDE)))
    mask = torch.zeros(SIDE)
    mask[::3] = mask[28:36] = 1
    physics = MRI(mask, maps)
    problem = ut.Problem(physics.A(torch.stack([x.real, x.imag])[None].float()), physics)
    assert 0 <= flat_share(problem) <= 1


def test_the_whole_takes_the_share_of_its_part(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = scanned(phantom())
    fit, _ = problem.split(0.15, 0)
    share = flat_share(fit)
    monkeypatch.setattr("untrained.classical.flat_pieces._search", None)
    assert flat_share(problem.after(fit)) == share


def test_an_enlarged_phantom_takes_total_variation_in() -> None:
    x = torch.from_numpy(shepp_logan(128).astype(np.float32))[None, None].clamp(0, 1)
    physics = SuperRes((1, 128, 128), 4)
    problem = ut.Problem(physics.A(x), physics)
    assert flat_share(problem) >= 0
