"""What is promised of the calibration holds exactly where its conditions do."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from untrained.uncertainty.conformal import (
    Groups,
    conformal_factor,
    coverage,
    fit_scale,
    most_likely,
)


def test_of_exchangeable_scores_the_coverage_is_exact() -> None:
    """With K scores and a quantile at rank k the next is below it with probability k / (K + 1)."""
    draw, count, trials = torch.Generator().manual_seed(0), 19, 20_000
    scores = torch.rand(trials, count + 1, generator=draw)
    units = torch.arange(count)
    held = 0
    for row in scores[:2000]:
        factor, exact = conformal_factor(row[:count], units, 0.9)
        assert exact
        held += int(row[count] <= factor)
    # exactly 18 / 20; four standard errors of 2000 trials
    assert held / 2000 == pytest.approx(0.9, abs=4 * math.sqrt(0.09 / 2000))
    # the same rank, for all trials at once
    rank = scores[:, :count].sort(1).values[:, math.ceil((count + 1) * 0.9) - 1]
    assert float((scores[:, count] <= rank).double().mean()) == pytest.approx(0.9, abs=0.009)


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9])
def test_the_quantile_is_the_usual_rank_for_single_scores(level: float) -> None:
    scores = torch.arange(1.0, 100.0)  # 99: (99 + 1) * level is whole
    factor, exact = conformal_factor(scores.flip(0), torch.arange(99), level)
    assert exact
    assert factor == round(100 * level)


def test_scores_of_a_unit_share_its_weight() -> None:
    """A unit of a thousand scores weighs as much as one of a single score."""
    scores = torch.cat([torch.full((1000,), 5.0), torch.arange(10.0, 28.0)])
    units = torch.cat([torch.zeros(1000), torch.arange(1.0, 19.0)]).long()
    one_each = torch.cat([torch.tensor([5.0]), torch.arange(10.0, 28.0)])
    assert conformal_factor(scores, units, 0.5) == conformal_factor(one_each, torch.arange(19), 0.5)


def test_too_few_units_are_said_to_give_no_guarantee() -> None:
    scores, units = torch.rand(300), torch.arange(300) // 100
    factor, exact = conformal_factor(scores, units, 0.9)
    assert not exact
    assert coverage(scores, factor) == pytest.approx(0.9, abs=1 / 300)
    assert conformal_factor(scores, torch.arange(300) // 30, 0.9)[1]


def test_dependent_scores_of_whole_units_are_covered() -> None:
    """All scores of a unit are equal, the worst dependence: units still cover a new unit."""
    draw = np.random.default_rng(0)
    held = []
    for _ in range(1500):
        each = draw.random(20)
        scores = torch.from_numpy(each[:19].repeat(7))
        factor, exact = conformal_factor(scores, torch.arange(19).repeat_interleave(7), 0.9)
        assert exact
        held.append(each[19] <= factor)
    assert np.mean(held) >= 0.9 - 3 * math.sqrt(0.09 / 1500)


def test_the_scale_makes_spread_and_residuals_agree() -> None:
    draw = torch.Generator().manual_seed(1)
    variance = torch.rand(20_000, generator=draw) + 0.1
    residual = (9 * variance + 0.04).sqrt() * torch.randn(20_000, generator=draw)
    scale = fit_scale(residual, variance, torch.arange(20_000), 0.2)
    assert scale.factor == pytest.approx(3.0, rel=0.03)
    squares = residual.square() / scale.spread(variance).square()
    assert float(squares.mean()) == pytest.approx(1.0, abs=0.04)


def test_the_likelihood_finds_both_variances() -> None:
    draw = torch.Generator().manual_seed(2)
    values = torch.logspace(2, -4, 4000)
    numbers = (0.5 * values + 0.01).sqrt() * torch.randn(4000, generator=draw)
    groups = Groups(numbers.square(), values, torch.ones(4000))
    weight, noise = most_likely(groups, None)
    assert weight == pytest.approx(0.5, rel=0.1)
    assert noise == pytest.approx(0.1, rel=0.1)
    assert most_likely(groups, 0.1)[0] == pytest.approx(0.5, rel=0.1)
