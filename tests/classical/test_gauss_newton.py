"""Gauss-Newton: its limit for small contrasts, stationary points, its choices, bad input."""

import numpy as np
import pytest
import torch

from untrained import Problem
from untrained.classical import CLASSICAL, baseline, baseline_name
from untrained.classical.gauss_newton import (
    BEGIN,
    GaussNewton,
    flatness,
    found_weight,
    gaussnewton,
    larger_weights,
    linearised,
    nonlinear_tv,
    smooth_or_flat,
    tried_weights,
)
from untrained.errors import UserError
from untrained.physics import EIT, PhaseRetrieval, disc_mesh

COUNT, SIDE = 8, 16


def body(kind="piece", contrast=1.0):
    """Log-conductivities of a disc `(1, 1, H, W)`."""
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, SIDE)] * 2, indexing="ij")
    if kind == "piece":
        return contrast * ((x - 0.3) ** 2 + (y + 0.2) ** 2 < 0.1).float()[None, None]
    return contrast * torch.exp(-((x - 0.2) ** 2 + y**2) / 0.3)[None, None]


@pytest.fixture(scope="module")
def physics():
    eye = np.eye(COUNT)
    mesh = disc_mesh(COUNT, 1.0, 0.5, 0.2, edges=2)
    pairs = np.concatenate([eye - np.roll(eye, k, axis=0) for k in (1, 2, 3)], axis=1)
    return EIT(mesh, pairs, pairs[:, : COUNT - 1], (1, SIDE, SIDE), impedance=0.01)


def problem(physics, *codes, noise=1e-4):
    log, _ = physics.for_networks(torch.zeros(1, *physics.y_shape))
    y = torch.cat([log.A(code) for code in codes])
    draw = torch.Generator().manual_seed(0)
    return Problem(y + noise * y.std() * torch.randn(y.shape, generator=draw), physics)


def test_a_small_contrast_is_solved_by_one_linearised_step(physics):
    one = problem(physics, body(contrast=0.01), noise=0)
    found, first = gaussnewton(one, weight=0.01), linearised(one)
    assert (found - first).norm() < 0.05 * first.norm()


@pytest.mark.parametrize("prior", ["smooth", "variation"])
def test_the_gradient_vanishes_at_the_solution(physics, prior):
    one = problem(physics, body())
    solver, weight = GaussNewton(one, prior), 0.01

    def gradient(values):
        image = solver.image(values)
        residual = one.physics.A(image) - one.y.double()
        data = one.physics.A_vjp(image, residual).numpy().ravel()
        form = (
            solver.grid.roughness(0.5)
            if prior == "smooth"
            else solver.grid.variation(values, 0.02) * solver.grid.spacing
        )
        return solver.grid.matrix.T @ data + weight * solver.unit * (form @ values)

    found = solver.run(weight, np.zeros(solver.grid.size), steps=60)
    start = gradient(np.zeros(solver.grid.size))
    assert np.linalg.norm(gradient(found)) < 0.02 * np.linalg.norm(start)


def test_each_prior_is_the_better_for_its_kind_and_the_mixture_follows(physics):
    errors = {}
    for kind in ("piece", "smooth"):
        one = problem(physics, body(kind, 0.8))
        for method in (gaussnewton, nonlinear_tv, smooth_or_flat):
            off = one.supported(method(one) - body(kind, 0.8))
            errors[kind, method.__name__] = float(off.norm())
    assert errors["piece", "nonlinear_tv"] < errors["piece", "gaussnewton"]
    assert errors["smooth", "gaussnewton"] < errors["smooth", "nonlinear_tv"]
    for kind in ("piece", "smooth"):
        pair = [errors[kind, name] for name in ("gaussnewton", "nonlinear_tv")]
        assert errors[kind, "smooth_or_flat"] < max(pair)


def test_flat_pieces_are_told_from_smooth_changes_whatever_the_pixels():
    def image(side, kind):
        y, x = torch.meshgrid(*[torch.linspace(-1, 1, side)] * 2, indexing="ij")
        far = (x - 0.3) ** 2 + (y + 0.2) ** 2
        return ((far < 0.2).float() if kind == "piece" else torch.exp(-far / 0.3))[None, None]

    for side in (32, 96):
        assert flatness(image(side, "piece")) > 1.5
        assert flatness(image(side, "smooth")) < 0.3
    assert flatness(torch.ones(1, 1, 8, 8)) == 1.0
    hidden = image(32, "smooth")
    hidden[..., :4] = 50.0
    seen = (hidden < 50).float()
    assert flatness(hidden, seen) < 0.3, "outside the support nothing counts"


@pytest.mark.parametrize("prior", ["smooth", "variation"])
def test_more_noise_asks_for_more_smoothing_beyond_the_usual_weights(physics, prior):
    usual, larger = tried_weights(prior), larger_weights(prior)
    assert larger == sorted(larger, reverse=True)
    assert larger[-1] == pytest.approx(usual[0])
    little, much = (found_weight(problem(physics, body(), noise=n), prior) for n in (1e-5, 0.3))
    assert little in usual
    assert little < usual[0] < much <= larger[0]


def test_a_weight_beyond_the_usual_ones_is_reached_from_the_largest(physics):
    """As in the search, so that both solve alike."""
    one, larger = problem(physics, body(), noise=0.3), larger_weights("smooth")
    solver = GaussNewton(one)
    for values in solver.path(larger[:3]):
        image = solver.image(values)
    assert torch.equal(gaussnewton(one, larger[2]), image.to(one.y))


def test_each_problem_of_a_batch_is_solved_as_alone(physics):
    both = problem(physics, body(), body("smooth"))
    together = gaussnewton(both, weight=0.01)
    alone = torch.cat([gaussnewton(both.select(i), weight=0.01) for i in range(2)])
    assert torch.equal(together, alone)


def test_held_out_voltages_do_not_count(physics):
    one = problem(physics, body())
    fit, _ = one.split(0.2, 0)
    other = problem(physics, body())
    other.y = torch.where(fit.keep > 0, other.y, 5.0)
    changed, _ = other.split(0.2, 0)
    assert torch.equal(gaussnewton(fit, 0.01), gaussnewton(changed, 0.01))
    assert torch.equal(fit.estimate(), changed.estimate())


def test_it_is_the_baseline_and_stands_in_the_list(physics):
    one = problem(physics, body())
    assert {"linearised", "gaussnewton"} <= set(CLASSICAL)
    assert baseline_name(one) == "Gauss-Newton and total variation"
    assert torch.equal(baseline(one), smooth_or_flat(one))
    assert torch.equal(CLASSICAL["tv"](one), nonlinear_tv(one))


def test_an_operator_without_jacobian_is_refused():
    phase = PhaseRetrieval((1, 8, 8), 4)
    one = Problem(phase.A(torch.rand(1, 1, 8, 8)), phase)
    for method in (gaussnewton, linearised):
        with pytest.raises(UserError, match="needs an operator with a Jacobian"):
            method(one)


def test_the_smooth_start_of_total_variation_counts_for_little(physics):
    """Whatever it begins with, it ends at the same image."""
    one = problem(physics, body())
    solver = GaussNewton(one, "variation")
    first = GaussNewton(one).run(BEGIN, steps=4)
    ends = [solver.image(solver.run(0.02, start, steps=40)) for start in (first, 0 * first)]
    assert (ends[0] - ends[1]).norm() < 0.1 * ends[0].norm()
