"""Noise levels, DDIM's step and conjugate gradients against their textbook forms."""

from __future__ import annotations

import math

import pytest
import torch

from untrained import Problem
from untrained.core.state import State
from untrained.errors import UserError
from untrained.methods.diffusion import (
    alpha_bar,
    conjugate_gradients,
    ddim,
    denoised,
    first_image,
    vp_levels,
)
from untrained.nets import NoNet
from untrained.physics import Blur, Denoise, Inpaint
from untrained.priors import GaussianDenoiser


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def state(problem: Problem) -> State:
    return State(problem, NoNet().build(1, 1), 0)


def test_levels_are_at_the_times_of_the_papers() -> None:
    share = alpha_bar("linear")
    assert float(share[0]) == pytest.approx(1 - 1e-4)
    beta = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    assert torch.allclose(share, (1 - beta).cumprod(0))
    levels = vp_levels("linear", 50)
    times = list(range(980, -1, -20))
    assert levels == pytest.approx([float(((1 - share[t]) / share[t]).sqrt()) for t in times] + [0])
    assert vp_levels("linear", 50, unit_range=True)[0] == pytest.approx(levels[0] / 2)


def test_levels_stay_within_those_that_the_prior_knows() -> None:
    levels = vp_levels("cosine", 25, (0.02, 0.5))
    assert len(levels) == 26
    assert levels[-1] == 0
    assert 0.02 <= levels[-2] < 0.04
    assert 0.4 < levels[0] <= 0.5
    assert levels == sorted(levels, reverse=True)
    with pytest.raises(UserError, match="knows one level only"):
        vp_levels("linear", 10, (0.1, 0.1))
    with pytest.raises(UserError, match="known: linear, cosine"):
        vp_levels("square", 10)


def test_ddim_is_that_of_the_vp_model() -> None:
    """x' of the VP model is sqrt(a') x-hat + sqrt(1 - a') (sqrt(1 - eta^2) e + eta n)."""
    problem = Problem(draw(2, 1, 5, 4), Denoise((1, 5, 4)))
    s = state(problem)
    a, lower, eta = 0.3, 0.6, 0.85
    sigma, less = (math.sqrt((1 - one) / one) for one in (a, lower))
    x, clean, target = (draw(2, 1, 5, 4, seed=i) for i in (1, 2, 3))
    made = ddim(s, x, clean, sigma, target, less, eta)
    noise = s.noise("ddim", (1, 5, 4))
    predicted = (math.sqrt(a) * x - math.sqrt(a) * clean) / math.sqrt(1 - a)
    rest = math.sqrt(1 - eta**2) * predicted + eta * noise
    expected = math.sqrt(lower) * target + math.sqrt(1 - lower) * rest
    torch.testing.assert_close(math.sqrt(lower) * made, expected)
    assert torch.equal(ddim(s, x, clean, sigma, target, 0.0, eta), target)


def test_a_sampler_begins_with_noise_or_near_the_measurements() -> None:
    problem = Problem(torch.rand(1, 1, 8, 8), Denoise((1, 8, 8)))
    s = state(problem)
    noise = s.noise("first", (1, 8, 8))
    assert torch.equal(first_image(s, 80.0), 80.0 * noise)
    torch.testing.assert_close(first_image(s, 0.2), problem.y + 0.2 * noise)


@pytest.mark.parametrize("gamma", [0.0, 3.0])
def test_conjugate_gradients_solve_the_dense_equations(gamma: float) -> None:
    kernel = torch.tensor([[0.0, 0.1, 0.0], [0.2, 0.4, 0.1], [0.0, 0.2, 0.0]])
    physics = Blur(kernel, (1, 4, 5))
    problem = Problem(torch.rand(2, *physics.A(torch.zeros(1, 1, 4, 5)).shape[1:]), physics)
    columns = torch.eye(20).reshape(20, 1, 4, 5)
    matrix = problem.A(columns).flatten(1).T.double()
    x = draw(2, 1, 4, 5).requires_grad_()
    solved = conjugate_gradients(problem, x, 40, gamma)
    left, right = matrix.T @ matrix, problem.y.flatten(1).double() @ matrix
    if gamma:
        weight = gamma / problem.norm_squared
        left = torch.eye(20) + weight * left
        right = x.detach().flatten(1) + weight * right
    expected = torch.linalg.solve(left, right.T).T
    torch.testing.assert_close(solved.detach().flatten(1).double(), expected, atol=1e-3, rtol=1e-3)
    if gamma:  # a linear map of x: its gradient is that of the dense inverse
        v = draw(2, 20, seed=4)
        (gradient,) = torch.autograd.grad(solved, x, v.reshape(2, 1, 4, 5))
        wanted = torch.linalg.solve(left, v.double().T).T
        torch.testing.assert_close(gradient.flatten(1).double(), wanted, atol=1e-3, rtol=1e-3)


def test_few_steps_leave_what_the_data_do_not_say() -> None:
    mask = (torch.arange(6) % 2 == 0).expand(4, 6)
    problem = Problem(torch.rand(1, 1, 4, 6) * mask, Inpaint(mask.float(), (1, 4, 6)))
    x = torch.rand(1, 1, 4, 6)
    moved = conjugate_gradients(problem, x, 3)
    torch.testing.assert_close(moved, torch.where(mask, problem.y, x))


def test_a_volume_is_denoised_slice_by_slice() -> None:
    prior = GaussianDenoiser(torch.full((1, 3, 3), 0.5), torch.eye(9))
    problem = Problem(torch.rand(1, 1, 2, 3, 3), Denoise((1, 2, 3, 3)))
    s = state(problem)
    s.start = type(s.start)(prior=prior)
    x = torch.rand(1, 1, 2, 3, 3)
    each = torch.stack([prior.denoise(x[:, :, d], 0.5) for d in range(2)], dim=2)
    torch.testing.assert_close(denoised(s, x, 0.5), each)
    assert torch.equal(denoised(s, x, 0.0), x)
