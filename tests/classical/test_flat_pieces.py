"""Objects of flat pieces: total variation has a share in what networks lean on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.data import brick
from torch import Tensor

import untrained as ut
from untrained.classical import (
    baseline,
    baseline_name,
    lowrank,
    nlbayes,
    rough_tv,
    tv_weight,
    two_priors,
)
from untrained.classical.flat_pieces import edge_sparsity, faint_share, flat_shares
from untrained.classical.mixture import line_shares
from untrained.data.phantoms import birdcage_maps
from untrained.metrics import psnr
from untrained.physics import CT, MRI, SuperRes

SIDE = 64
TISSUE = torch.from_numpy(brick()[:128, :128].astype(np.float32) / 255)[None, None]
TISSUE = torch.nn.functional.avg_pool2d(TISSUE, 2)


def flat_share(problem: ut.Problem) -> float:
    return float(flat_shares(problem))


def phantom(side: int = SIDE) -> Tensor:
    """Two balls and a box, each of one grey value."""
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, side),) * 2, indexing="ij")
    balls = (x**2 + y**2 < 0.7) * 0.6 + ((x - 0.2) ** 2 + y**2 < 0.1) * 0.3
    return (balls - ((x + 0.4).abs() < 0.12) * (y.abs() < 0.3) * 0.25)[None, None]


def scanned(x: Tensor, noise: float = 0.01) -> ut.Problem:
    """Twenty views with noise relative to the mean line integral."""
    physics = CT((SIDE, SIDE), np.arange(20) * 9.0, 92)
    y = physics.A(x)
    drawn = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
    return ut.Problem(y + noise * y.mean() * drawn, physics)


def test_edges_of_one_pixel_are_sparse_and_those_of_a_photograph_are_not() -> None:
    assert edge_sparsity(phantom()) > 0.5 > 0.45 > edge_sparsity(TISSUE)
    assert edge_sparsity(torch.ones(1, 1, 8, 8)) == 0


def test_flat_pieces_leave_nothing_between_their_edges() -> None:
    assert faint_share(phantom()) < 0.01 < 0.1 < faint_share(TISSUE)
    assert faint_share(torch.ones(1, 1, 8, 8)) == 0


def test_the_background_does_not_count() -> None:
    framed = torch.nn.functional.pad(TISSUE, (32, 32, 32, 32))
    assert edge_sparsity(framed) < 0.45


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
    images = (two_priors(problem), lowrank(problem), nlbayes(problem))
    expected = sum(s * x for s, x in zip(line_shares(problem), images, strict=True))
    torch.testing.assert_close(baseline(problem), expected)


def test_noise_lowers_the_share() -> None:
    assert flat_share(scanned(phantom(), 0.05)) < 0.6 * flat_share(scanned(phantom(), 0.005))


def test_held_out_columns_judge_on_mri(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that total variation has no share where the other image predicts columns exactly."""
    x = phantom() * torch.tensor([0.8, 0.6]).view(1, 2, 1, 1)  # one phase everywhere
    mask = torch.zeros(SIDE)
    mask[::3] = mask[28:36] = 1
    physics = MRI(mask, torch.from_numpy(birdcage_maps(2, (SIDE, SIDE))))
    problem = ut.Problem(physics.A(x), physics)

    def exact(fit: ut.Problem, *how: object) -> Tensor:
        return x / fit.scale

    monkeypatch.setattr("untrained.classical.flat_pieces.settings", lambda one: (1.0, 1.0))
    monkeypatch.setattr("untrained.classical.flat_pieces.solve_at", exact)
    assert flat_share(problem) == pytest.approx(0, abs=1e-3)
    monkeypatch.setattr("untrained.classical.flat_pieces.rough_tv", exact)
    monkeypatch.setattr("untrained.classical.flat_pieces.solve_at", lambda *how: 0 * x)
    again = ut.Problem(physics.A(x), physics)
    assert flat_share(again) == pytest.approx(1, abs=1e-3)


def test_the_whole_takes_the_share_of_its_part(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = scanned(phantom())
    fit, _ = problem.split(0.15, 0)
    share = flat_share(fit)
    monkeypatch.setattr("untrained.classical.flat_pieces._search", None)
    assert flat_share(problem.after(fit)) == share


def test_an_enlarged_phantom_takes_total_variation_in() -> None:
    x = phantom(128)
    physics = SuperRes((1, 128, 128), 4)
    problem = ut.Problem(physics.A(x), physics)
    assert flat_share(problem) == pytest.approx(0.75)
    assert "75 % total variation" in baseline_name(problem)
