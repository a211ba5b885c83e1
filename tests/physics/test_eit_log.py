"""Log-conductivity as networks draw it, and the calibration by a homogeneous body."""

import numpy as np
import pytest
import torch

from untrained import Problem
from untrained.physics import EIT, disc_mesh
from untrained.physics.eit_calibrate import calibrated, homogeneous, linear_deviation
from untrained.physics.eit_log import LogConductivity

COUNT, SIDE = 8, 16


def operator(side=SIDE, injections=None, **settings):
    eye = np.eye(COUNT)
    pairs = np.concatenate([eye - np.roll(eye, k, axis=0) for k in (1, 2, 3)], axis=1)
    mesh = disc_mesh(COUNT, 0.1, 0.5, 0.02, edges=2)
    injected = pairs if injections is None else injections
    return EIT(mesh, injected, pairs[:, : COUNT - 1], (1, side, side), **settings)


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_it_is_the_operator_of_the_conductivity_in_units_of_the_noise():
    sigma = np.random.default_rng(0).uniform(1, 3, operator().y_shape[1:])
    plain = operator(background=0.7, impedance=1e-3, sigma=sigma)
    log = LogConductivity(plain)
    code = 0.3 * draw(1, 1, SIDE, SIDE)
    wanted = plain.A(0.7 * code.exp())[0, 0].numpy() / log.unit
    assert np.allclose(log.A(code)[0, 0].numpy(), wanted, rtol=1e-10)
    assert np.allclose(np.mean(log.unit**-2.0), 1)
    assert torch.allclose(log.image_of(code), 0.7 * code.exp())
    assert torch.allclose(log.code_of(log.image_of(code)), code)
    assert torch.isfinite(log.code_of(torch.zeros(1, 1, SIDE, SIDE))).all()


def test_images_on_fewer_pixels_fill_those_of_the_file_whatever_stands_before_their_axes():
    log = LogConductivity(operator(side=256))
    assert log.factor == 2
    codes = 0.3 * draw(2, 3, 1, 128, 128)
    images = log.image_of(codes)
    assert images.shape == (2, 3, 1, 256, 256)
    assert torch.equal(images[1, 2], log.image_of(codes[1, 2:])[0])


def test_single_voltages_and_whole_injections_can_be_held_out():
    log = LogConductivity(operator())
    y = torch.ones(1, *log.y_shape)
    drawn = [
        getattr(log, name)(y, 0.2, torch.Generator().manual_seed(0))
        for name in ("holdout", "scattered")
    ]
    whole = [bool((d.all(2) == d.any(2)).all()) for d in drawn]
    assert whole == [True, False]
    assert 0.1 < float(drawn[1].float().mean()) < 0.3


def test_its_derivatives_are_those_of_finite_differences():
    log = LogConductivity(operator(background=0.7, impedance=1e-3))
    code, toward = 0.3 * draw(1, 1, SIDE, SIDE), draw(1, 1, SIDE, SIDE, seed=1)
    v = draw(1, *log.y_shape, seed=2)
    step = 1e-5
    changed = (log.A(code + step * toward) - log.A(code - step * toward)) / (2 * step)
    assert float((log.A_vjp(code, v) * toward).sum()) == pytest.approx(
        float((changed * v).sum()), rel=1e-5
    )
    column = toward.numpy().reshape(-1, 1)
    along = log.jacobian_along(code, column)
    assert np.allclose(along.ravel(), changed.numpy().ravel(), atol=1e-5 * np.abs(along).max())


def test_it_knows_its_singular_values():
    log = LogConductivity(operator(background=0.7, impedance=1e-3))
    dense = log.jacobian_along(torch.zeros(1, 1, SIDE, SIDE), np.eye(SIDE * SIDE))
    values = np.linalg.svd(dense, compute_uv=False) ** 2
    seen = (np.abs(dense).max(axis=0) > 0).sum()
    assert log.norm_squared == pytest.approx(values[0], rel=1e-6)
    assert log.mean_squared_singular_value() == pytest.approx(values.sum() / seen, rel=1e-6)


def test_large_images_are_drawn_on_half_of_the_pixels():
    plain = operator(256)
    log = LogConductivity(plain)
    assert log.x_shape == (1, 128, 128)
    code = torch.zeros(1, 1, 128, 128)
    code[..., 30:60, 50:90] = 1
    image = log.image_of(code)
    assert image.shape == (1, 1, 256, 256)
    assert (log.code_of(image) - code).abs().mean() < 0.01
    effect = (log.A(code) - log.A(0 * code)).norm()
    assert (plain.A(image) - log.A(code)).norm() < 0.02 * effect


def test_a_problem_is_drawn_in_logarithms_and_answered_in_conductivities():
    plain = operator(background=2.0, impedance=1e-3)
    truth = 2 * (0.2 * draw(1, 1, SIDE, SIDE, dtype=torch.float32)).exp()
    guide = truth[:, None]
    problem = Problem(plain.A(truth), plain, guide=guide[0])
    assert problem.task in ("eit", "custom")
    code = problem.from_units(truth)
    assert torch.allclose(problem.to_units(code), truth, rtol=1e-5)
    assert float(problem.misfit(code)) < 1e-8
    assert torch.allclose(problem.guide[0], code, atol=1e-6)


def test_contacts_and_background_are_found_in_a_homogeneous_body():
    contacts = 1e-3 * np.exp(0.3 * np.random.default_rng(1).standard_normal(COUNT))
    true = operator(background=0.5, impedance=contacts)
    y = true.voltages(np.full(len(true.mesh.elements), 0.5))
    found = homogeneous(operator(), y)
    assert found.background == pytest.approx(0.5, rel=0.01)
    assert np.allclose(found.impedance, contacts, rtol=0.1)


def test_what_the_model_leaves_of_the_reference_is_added():
    true = operator(background=0.5)
    y = true.voltages(np.full(len(true.mesh.elements), 0.5)) + 0.1
    found = calibrated(operator(), y)
    again = found.voltages(np.full(len(found.mesh.elements), found.background))
    assert np.allclose(again, y, rtol=1e-10)


def test_noise_is_what_is_not_linear_in_the_currents():
    plain = operator()
    clear = plain.voltages(np.ones(len(plain.mesh.elements)))
    noise = 0.01 * np.random.default_rng(0).standard_normal(clear.shape)
    found = linear_deviation(plain, clear + noise)
    assert 0.003 < np.median(found) < 0.015
    independent = operator(injections=(np.eye(COUNT) - np.roll(np.eye(COUNT), 1, 0))[:, :-1])
    assert linear_deviation(independent, np.zeros(independent.y_shape[1:])) is None
