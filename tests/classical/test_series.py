"""Classical answers to a time series."""

from __future__ import annotations

import pytest
import torch

import untrained as ut
from untrained.classical import CLASSICAL, baseline, baseline_name, lps, temporaltv
from untrained.classical.block_matching import Blocks, match_blocks
from untrained.classical.low_rank_sparse import lps_solve, shrink_in_time, shrink_rank
from untrained.classical.series import ALONE, SHARES, answers, series_shares
from untrained.classical.total_variation import TVSolver
from untrained.errors import UserError
from untrained.metrics import psnr
from untrained.physics import MRI, Denoise, Inpaint, Series

SIDE, FRAMES = 20, 8


def moving(frames: int = FRAMES) -> torch.Tensor:
    """A bright square over a gradient, a pixel further to the right every frame."""
    x = torch.linspace(0, 0.5, SIDE).expand(1, 1, frames, SIDE, SIDE).clone()
    for t in range(frames):
        x[..., t, 6:13, 2 + t : 9 + t] = 0.9
    return x


def series_of(x: torch.Tensor) -> Series:
    return Series([Denoise((x.shape[1], *x.shape[-2:]))] * x.shape[2])


@pytest.mark.parametrize("name", ["lps", "temporaltv"])
def test_one_picture_is_no_series(name):
    problem = ut.Problem(torch.rand(1, 1, 8, 8), Denoise((1, 8, 8)))
    with pytest.raises(UserError, match="--series"):
        CLASSICAL[name](problem)


def test_what_is_of_low_rank_in_time_is_known_from_a_part_of_it():
    """A series of rank one is found from half of its pixels to 30 dB (Otazo)."""
    generator = torch.Generator().manual_seed(0)
    picture = torch.rand(1, 1, 1, SIDE, SIDE, generator=generator)
    x = picture * torch.linspace(0.4, 1, 16)[None, None, :, None, None]
    masks = (torch.rand(16, SIDE, SIDE, generator=generator) < 0.5).float()
    physics = Series([Inpaint(mask, (1, SIDE, SIDE)) for mask in masks])
    found = lps_solve(ut.Problem(physics.A(x), physics), 0.02)
    assert psnr(found, x, data_range=1.0) > 30


def test_a_singular_value_loses_the_threshold():
    """The Casorati matrix of rank one keeps its direction and loses the threshold, complex or not.

    So does a single temporal frequency.
    """
    rank_one = torch.einsum("t,chw->cthw", torch.tensor([0.6, 0.8]), torch.rand(2, 3, 4))[None]
    for paired in (False, True):
        size = float(rank_one.norm())
        torch.testing.assert_close(
            shrink_rank(rank_one, 0.1, paired), rank_one * (1 - 0.1 / size), atol=1e-5, rtol=1e-4
        )
    steady = torch.full((1, 1, 4, 2, 2), 0.5)  # all of its energy at frequency 0: 0.5 sqrt(4)
    torch.testing.assert_close(shrink_in_time(steady, 0.2, False), steady * 0.8)


def test_a_large_weight_leaves_the_mean_over_time():
    """Total variation along time with a huge weight is the temporal mean, to 1e-3."""
    x = 0.5 * moving() + 0.25  # far from the bounds 0 and 1
    y = x + 0.03 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    problem = ut.Problem(y, series_of(x))
    found = TVSolver(problem, axes=1).run(50.0, 1e-6, 3000).image
    torch.testing.assert_close(found, y.mean(2, keepdim=True).expand_as(y), atol=5e-3, rtol=0)
    assert not torch.allclose(temporaltv(problem), found)


def test_a_block_is_found_where_it_moved_to():
    """The nearest other blocks of a moving square are itself in the other frames."""
    groups = match_blocks(moving(), Blocks(side=7, stride=1, reach=4, group_size=4, frames=2))
    corners = SIDE - 7 + 1
    mine = groups[4 * corners**2 + 6 * corners + 6]  # frame 4, the square's own corner (6, 6)
    frames, places = mine[:, 0] // SIDE**2, mine[:, 0] % SIDE**2
    assert frames[0] == 4
    assert sorted(frames.tolist()) == [3, 4, 5, 6] or sorted(frames.tolist()) == [2, 3, 4, 5]
    assert all(int(p) == 6 * SIDE + 2 + int(t) for t, p in zip(frames, places, strict=True))


def test_a_series_is_better_solved_together_than_frame_by_frame():
    """Above the frames alone by half a decibel, with shares that sum to one."""
    x = moving()
    y = x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    problem = ut.Problem(y, series_of(x), sigma=0.1)
    together = baseline(problem)
    one = ut.Problem(y[:, :, 4], Denoise((1, SIDE, SIDE)), sigma=0.1)
    alone = psnr(baseline(one), x[:, :, 4], data_range=1.0)
    assert psnr(together[:, :, 4], x[:, :, 4], data_range=1.0) > alone + 0.5
    shares = series_shares(problem, baseline)
    assert sum(shares.values()) == pytest.approx(1)
    assert set(shares) <= {*answers(problem), ALONE}
    assert all(name in baseline_name(problem) for name in shares)


def test_the_shares_that_are_named_are_those_of_the_part_that_was_solved():
    """They are not searched for again, with other measurements than the image was mixed with."""
    x = moving(2)[..., 4:14, 4:14]
    y = x + 0.05 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    problem = ut.Problem(y, series_of(y))
    fit, _ = problem.split(0.05, 0)
    baseline(fit)
    named = baseline_name(problem)
    assert named == baseline_name(problem.after(fit))
    assert SHARES not in problem.cache


def test_l_plus_s_of_a_complex_series():
    """L+S of dynamic MRI fits its measurements and is above zero-filling."""
    x = torch.cat([moving(), 0.3 * moving().flip(-1)], dim=1)
    masks = torch.zeros(FRAMES, SIDE)
    masks[:, 8:12] = 1
    for t in range(FRAMES):
        masks[t, t % 4 :: 4] = 1
    physics = Series([MRI(mask, x_shape=(2, SIDE, SIDE)) for mask in masks])
    problem = ut.Problem(physics.A(x), physics)
    found, zero = (problem.to_units(image) for image in (lps(problem), problem.estimate()))
    assert (found - x).norm() < 0.95 * (zero - x).norm()
