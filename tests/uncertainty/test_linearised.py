"""The linearised model against the dense formulas, where everything is linear and small."""

from __future__ import annotations

import math

import pytest
import torch

from untrained import Problem
from untrained.lab.jacobian import Jacobian
from untrained.physics import Denoise, Inpaint
from untrained.uncertainty.drawn import variance_of
from untrained.uncertainty.linearised import (
    DataSpace,
    Prior,
    draw_low_rank,
    draw_samples,
    find_prior,
)
from untrained.uncertainty.measured import measured_part
from untrained.uncertainty.roles import visible
from untrained.uncertainty.settings import Linearised

SIDE, WEIGHTS, NOISE, PRIOR = 6, 20, 0.3, 0.7


def small(seed: int = 0) -> tuple[DataSpace, torch.Tensor, Problem]:
    """An image that is a matrix times its weights, two thirds of it measured."""
    draw = torch.Generator().manual_seed(seed)
    matrix = torch.randn(SIDE * SIDE, WEIGHTS, generator=draw) * torch.logspace(0, -1, WEIGHTS)
    mask = torch.rand(SIDE, SIDE, generator=draw) < 0.67
    physics = Inpaint(mask, x_shape=(1, SIDE, SIDE))
    problem = Problem(0.5 + 0.1 * torch.randn(1, 1, SIDE, SIDE, generator=draw), physics)

    def image(own: dict[str, torch.Tensor]) -> torch.Tensor:
        return (matrix @ own["w"]).reshape(1, SIDE, SIDE)

    weights = {"w": torch.randn(WEIGHTS, generator=draw)}
    return DataSpace(Jacobian(image, weights), problem), matrix, problem


def posterior(matrix: torch.Tensor, problem: Problem) -> torch.Tensor:
    """The covariance of the image given y, from the dense formula."""
    seen = visible(problem).flatten()
    sigma = PRIOR * (matrix @ matrix.T).double()
    k = sigma[seen][:, seen] + NOISE**2 * torch.eye(int(seen.sum()), dtype=torch.float64)
    return sigma - sigma[:, seen] @ torch.linalg.solve(k, sigma[seen])


def prior_of(space: DataSpace) -> Prior:
    """The leading directions as `find_prior` finds them, with the numbers of this test."""
    found = find_prior(space, Linearised(probes=8), NOISE, 0)
    return Prior(PRIOR, NOISE, found.values, found.vectors, found.tail, 0.0)


def test_at_full_rank_the_deviation_is_the_dense_one() -> None:
    space, matrix, problem = small()
    way = Linearised(rank=SIDE * SIDE, samples=4)
    samples, std, held = draw_low_rank(space, prior_of(space), way, 0)
    dense = posterior(matrix, problem).diagonal().sqrt().float().reshape(1, SIDE, SIDE)
    assert torch.allclose(std, dense, rtol=2e-3, atol=1e-5)
    assert samples.shape == (4, 1, SIDE, SIDE)
    assert held == pytest.approx(1.0, abs=0.3)  # of random traces


def test_samples_have_the_dense_covariance() -> None:
    space, matrix, problem = small()
    count = 150
    way = Linearised(samples=count, iterations=40)
    samples = draw_samples(space, prior_of(space), way, 0, lambda: False)
    assert samples is not None
    flat = samples.reshape(count, -1).double()
    dense = posterior(matrix, problem)
    error = (flat.T @ flat / count - dense).norm() / dense.norm()
    # of as many exact samples: sqrt((||C||^2 + trace(C)^2) / count) / ||C||
    expected = math.sqrt((1 + float(dense.trace() / dense.norm()) ** 2) / count)
    assert float(error) < 1.5 * expected


def test_low_rank_samples_have_the_deviation_that_is_stated() -> None:
    space, _, _ = small()
    samples, std, _ = draw_low_rank(space, prior_of(space), Linearised(rank=20, samples=3000), 0)
    drawn = samples.square().mean(0).sqrt()
    assert float((drawn / std - 1).abs().max()) < 5 / math.sqrt(2 * 3000)


def test_the_marginal_likelihood_finds_what_drew_the_data() -> None:
    """y is drawn from the model itself; sigma is not told."""
    side, count, noise, weight = 32, 40, 0.05, 2.0
    draw = torch.Generator().manual_seed(3)
    matrix = torch.randn(side * side, count, generator=draw) / side
    w = weight**0.5 * torch.randn(count, generator=draw)
    y = (matrix @ w).reshape(1, 1, side, side)
    y = y + noise * torch.randn(y.shape, generator=draw)
    problem = Problem(y, Denoise((1, side, side)))
    jacobian = Jacobian(lambda own: (matrix @ own["w"]).reshape(1, side, side), {"w": w})
    prior = find_prior(DataSpace(jacobian, problem), Linearised(probes=64), None, 0)
    assert prior.noise == pytest.approx(noise, rel=0.1)
    assert prior.weight == pytest.approx(weight, rel=0.6)  # of 40 numbers only
    assert prior.effective == pytest.approx(count, rel=0.05)


def test_a_pause_ends_the_drawing() -> None:
    space, _, _ = small()
    assert draw_samples(space, prior_of(space), Linearised(), 0, lambda: True) is None


def test_the_measured_part_of_missing_pixels_is_zero_and_of_others_all() -> None:
    _, _, problem = small()
    image = torch.randn(3, 1, SIDE, SIDE)
    part = measured_part(problem, image)
    mask = visible(problem)
    assert torch.equal(part[:, ~mask], torch.zeros_like(part[:, ~mask]))
    assert torch.allclose(part[:, mask], image[:, mask], rtol=0.02)
    assert float(variance_of(image - part)[~mask].min()) > 0
