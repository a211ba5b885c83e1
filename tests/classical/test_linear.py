"""adjoint, fbp and CG-SENSE against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from untrained.classical import adjoint, cgsense, data_step, fbp
from untrained.errors import UserError
from untrained.physics import CT, Denoise, LinearPhysics
from untrained.problem import Problem


class Matrix(LinearPhysics):
    """A dense matrix on 1 x 4 x 4 images."""

    def __init__(self, matrix: torch.Tensor) -> None:
        super().__init__((1, 4, 4), (matrix.shape[0],))
        self.register_buffer("matrix", matrix)

    def A(self, x):
        return x.flatten(1) @ self.matrix.T

    def A_adjoint(self, y):
        return (y @ self.matrix).reshape(-1, 1, 4, 4)


def dense_problem(rows: int = 24) -> Problem:
    g = torch.Generator().manual_seed(1)
    matrix = torch.randn(rows, 16, generator=g)
    return Problem(torch.randn(2, rows, generator=g), Matrix(matrix))


def test_adjoint_has_the_least_squares_scale():
    p = dense_problem()
    x = adjoint(p)
    for factor in (0.99, 1.01):
        worse = (p.A(factor * x) - p.y).square().sum()
        assert (p.A(x) - p.y).square().sum() < worse


def test_cgsense_solves_the_regularised_normal_equations():
    p = dense_problem()
    mu = 0.1
    x = cgsense(p, iterations=60, mu=mu, tolerance=1e-7)
    m = p.physics.matrix.double()
    normal = m.T @ m + mu * p.norm_squared * torch.eye(16)
    exact = torch.linalg.solve(normal, m.T @ p.y.double().T).T.reshape(2, 1, 4, 4)
    assert torch.allclose(x.double(), exact, atol=1e-4)


def test_cgsense_of_a_group_is_the_group_of_cgsenses():
    p = dense_problem()
    together = cgsense(p)
    for i in range(2):
        assert torch.equal(cgsense(p.select(i)), together[i : i + 1])


@pytest.mark.parametrize("weighting", ["uniform", "half-ramp"])
def test_the_data_step_is_the_proximal_point(weighting):
    g = torch.Generator().manual_seed(2)
    physics = CT((12, 12), [0.0, 40.0, 90.0, 130.0], 18)
    image = torch.rand(1, 1, 12, 12, generator=g)
    p = Problem(physics.A(image), physics, weighting=weighting)
    x = torch.rand(1, 1, 12, 12, generator=g)
    u = data_step(p, x, 0.2, iterations=60).requires_grad_()
    value = p.whiten(p.A(u) - p.y).square().sum() / p.norm_squared + 0.2 * (u - x).square().sum()
    (slope,) = torch.autograd.grad(value, u)
    moved = float((u.detach() - x).norm())
    assert moved > 1e-3
    assert float(slope.norm()) < 1e-2 * moved
    assert torch.allclose(data_step(p, x, 1e8), x, atol=1e-5)


def test_cgsense_stops_early_without_the_truth():
    p = dense_problem()
    rough = cgsense(p, mu=0.0, tolerance=0.5)
    residual = p.A_adjoint(p.y - p.A(rough))
    start = p.A_adjoint(p.y)
    ratio = residual.flatten(1).norm(dim=1) / start.flatten(1).norm(dim=1)
    assert (ratio <= 0.5).all()
    assert (ratio > 1e-3).all()


def test_cgsense_of_zero_measurements_is_zero():
    p = Problem(torch.zeros(1, 1, 4, 4), Denoise((1, 4, 4)))
    assert not cgsense(p).any()


def test_fbp_of_a_disc_in_the_problems_units():
    axis = torch.arange(48) - 23.5
    disc = ((axis[:, None] ** 2 + axis**2) < 15**2).float()[None, None]
    physics = CT((48, 48), np.arange(0, 180, 2.0), 70)
    p = Problem(physics.A(disc), physics)
    inside = p.to_units(fbp(p))[..., 18:30, 18:30]
    assert abs(float(inside.mean()) - 1) < 0.03


def test_fbp_with_views_held_out_keeps_the_brightness():
    axis = torch.arange(48) - 23.5
    disc = ((axis[:, None] ** 2 + axis**2) < 15**2).float()[None, None]
    physics = CT((48, 48), np.arange(0, 180, 2.0), 70)
    fit, _ = Problem(physics.A(disc), physics).split(0.2, seed=0)
    inside = fit.to_units(fbp(fit))[..., 18:30, 18:30]
    assert abs(float(inside.mean()) - 1) < 0.05


def test_fbp_refuses_other_tasks():
    p = Problem(torch.rand(1, 1, 8, 8), Denoise((1, 8, 8)))
    with pytest.raises(UserError, match="'fbp' .* needs a CT problem; the task is 'denoise'"):
        fbp(p)
