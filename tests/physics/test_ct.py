"""The CT operator against closed forms and its own adjoint."""

import copy
import math

import numpy as np
import pytest
import torch
from ct_scans import FAN, SCANS, bin_positions, disc, noise

from untrained.errors import UserError
from untrained.physics import sparse
from untrained.physics.ct import CT, FanBeam
from untrained.physics.ct_geometry import Geometry
from untrained.physics.fbp import filter_detectors, ramp, view_weights
from untrained.problem import Problem


@pytest.mark.parametrize("name", SCANS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_adjoint(name, dtype, tolerance):
    physics = copy.deepcopy(SCANS[name]).to(dtype)
    for batch in (1, 4):
        x, y = (noise(batch, *s, dtype=dtype) for s in (physics.x_shape, physics.y_shape))
        Ax, Aty = physics.A(x), physics.A_adjoint(y)
        assert Ax.shape == y.shape
        assert Aty.shape == x.shape
        gap = (Ax.double() * y.double()).sum() - (x.double() * Aty.double()).sum()
        assert abs(gap) < tolerance * Ax.norm() * y.norm()


@pytest.mark.parametrize("name", ["rectangle", "channels", "fan"])
def test_derivatives_are_the_other_product(name):
    physics = SCANS[name]
    x = noise(2, *physics.x_shape).requires_grad_()
    y = noise(2, *physics.y_shape).requires_grad_()
    assert torch.equal(
        torch.autograd.grad(physics.A(x), x, y.detach())[0], physics.A_adjoint(y).detach()
    )
    assert torch.equal(
        torch.autograd.grad(physics.A_adjoint(y), y, x.detach())[0], physics.A(x).detach()
    )


def test_double_backward():
    physics = CT((5, 4), [0.0, 40.0, 100.0], 6).double()
    x = noise(1, 1, 5, 4, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(physics.A, x)
    assert torch.autograd.gradgradcheck(lambda v: physics.A(v).square().sum(), x)


def test_batch_and_channels_are_independent():
    physics = SCANS["channels"]
    single = CT((9, 10), [5.0, 50.0], 14)
    x = noise(2, 3, 9, 10)
    y = physics.A(x)
    for b in range(2):
        for c in range(3):
            alone = single.A(x[b : b + 1, c : c + 1])[0, 0]
            assert torch.allclose(y[b, c], alone, atol=1e-5)


@pytest.mark.parametrize("shape", [(16, 16), (15, 15), (11, 18)])
def test_parallel_mass_is_exact(shape):
    angles = np.concatenate([[0, 30, 45, 90, 135, 180, 270], np.linspace(-200, 200, 23)])
    physics = CT(shape, angles, 80, pixel_size=0.8, detector_pitch=0.45, detector_offset=2.2)
    x = noise(1, 1, *shape).abs()
    mass = physics.A(x).sum(2) * 0.45
    assert torch.allclose(mass, (x.sum() * 0.64).expand_as(mass), rtol=1e-6)


def test_one_pixel_is_a_box_or_a_triangle():
    physics = CT((1, 1), [0.0, 90.0, 45.0], 3, pixel_size=1.0)
    y = physics.A(torch.ones(1, 1, 1, 1))[0, 0]
    # At 45 degrees a triangle of height sqrt(2) and half base 1/sqrt(2).
    tail = 0.5 * (math.sqrt(0.5) - 0.5) ** 2 * 2
    expected = torch.tensor([[0, 1, 0], [0, 1, 0], [tail, 1 - 2 * tail, tail]]).T
    assert torch.allclose(y, expected, atol=1e-6)


def test_orientation_y_is_up_and_offset_moves_the_centre():
    x = torch.zeros(1, 1, 11, 13)
    x[0, 0, 2, 9] = 1.0  # three up, three right of the middle
    angles = np.array([0.0, 90.0, 45.0, 200.0])
    physics = CT((11, 13), angles, 201, detector_pitch=0.1, detector_offset=2.5)
    y = physics.A(x)[0, 0]
    centroid = (y * torch.arange(201.0)[:, None]).sum(0) / y.sum(0)
    a = torch.from_numpy(np.radians(angles)).float()
    assert torch.allclose(centroid, 100 + 2.5 + 30 * a.cos() + 30 * a.sin(), atol=0.02)


def test_fan_projects_a_pixel_where_the_convention_says():
    x = torch.zeros(1, 1, 31, 31)
    x[0, 0, 5, 22] = 1.0  # x = 7, y = 10
    angles = np.array([0.0, 65.0, 130.0, 250.0])
    physics = CT((31, 31), angles, 301, detector_pitch=0.4, detector_offset=-3.0, fan=FAN)
    y = physics.A(x)[0, 0]
    centroid = (y * torch.arange(301.0)[:, None]).sum(0) / y.sum(0)
    a = np.radians(angles)
    s, t = 7 * np.cos(a) + 10 * np.sin(a), -7 * np.sin(a) + 10 * np.cos(a)
    expected = 150 - 3.0 + s * 60 / (60 + t) / (0.4 * 60 / 90)
    assert torch.allclose(centroid, torch.from_numpy(expected).float(), atol=0.02)


def test_disc_has_the_chords_of_a_circle():
    x = disc(64, 25.0)
    physics = CT((64, 64), np.arange(0, 180, 23.0), 91)
    s = bin_positions(physics)
    chord = 2 * (25.0**2 - s**2).clamp_min(0).sqrt()
    error = physics.A(x)[0, 0] - chord[:, None]
    assert error.abs().mean() < 0.2
    assert error[s.abs() < 23].mean(0).abs().max() < 0.04


def test_fan_disc_has_the_chords_of_a_circle():
    fan = FanBeam(100.0, 150.0)
    physics = CT((64, 64), np.arange(0, 360, 47.0), 121, fan=fan)
    u = bin_positions(physics)
    distance = 100 * u / (100**2 + u**2).sqrt()
    chord = 2 * (25.0**2 - distance**2).clamp_min(0).sqrt()
    error = physics.A(disc(64, 25.0))[0, 0] - chord[:, None]
    assert error.abs().mean() < 0.2
    assert error[distance.abs() < 23].mean(0).abs().max() < 0.04


def test_far_source_is_a_parallel_beam():
    angles, x = [0.0, 17.0, 45.0, 90.0, 213.0], noise(1, 1, 14, 11)
    parallel = CT((14, 11), angles, 23, detector_offset=0.7).A(x)
    errors = []
    for distance in (1e3, 1e5):
        fan = FanBeam(distance, 2 * distance)
        far = CT((14, 11), angles, 23, detector_pitch=2.0, detector_offset=0.7, fan=fan).A(x)
        errors.append(float((far - parallel).norm() / parallel.norm()))
    assert errors[1] < 1e-3
    assert errors[1] < errors[0] / 20


def test_length_units_scale_the_integrals():
    x, angles = noise(1, 1, 12, 12), [0.0, 50.0, 120.0]
    fan = FanBeam(40.0, 70.0)
    small = FanBeam(4.0, 7.0)
    y = CT((12, 12), angles, 20, detector_pitch=1.6, fan=fan).A(x)
    y_small = CT((12, 12), angles, 20, pixel_size=0.1, detector_pitch=0.16, fan=small).A(x)
    assert torch.allclose(y_small, 0.1 * y, atol=1e-5)


def test_without_a_sparse_product_the_result_is_the_same(monkeypatch):
    physics = SCANS["channels"]
    x, y = noise(1, 3, 9, 10), noise(1, *physics.y_shape)
    expected = physics.A(x), physics.A_adjoint(y)
    monkeypatch.setattr(sparse, "_has_product", lambda *_: False)
    monkeypatch.setattr(sparse, "CHUNK", 37)
    assert torch.allclose(physics.A(x), expected[0], atol=1e-5)
    assert torch.allclose(physics.A_adjoint(y), expected[1], atol=1e-5)


def test_precision():
    physics = CT((8, 8), [0.0, 30.0], 12)
    x, batch = noise(1, 1, 8, 8), noise(5, 1, 8, 8)
    expected = physics.A(x), physics.A(batch)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(physics.A(x), expected[0])
        assert torch.equal(physics.A(batch), expected[1])
    assert torch.allclose(physics.A(x.bfloat16()), physics.A(x.bfloat16().float()))
    with pytest.raises(ValueError, match=r"float64.*float32.*\.double\(\)"):
        physics.A(x.double())
    single = physics.A(x).double()
    assert torch.allclose(physics.double().A(x.double()), single, atol=1e-5)


def test_nothing_to_save_and_shapes_are_checked():
    physics = CT((8, 9), [0.0, 30.0], 12)
    assert physics.x_shape == (1, 8, 9)
    assert physics.y_shape == (1, 12, 2)
    assert not physics.state_dict()
    with pytest.raises(ValueError, match=r"x must be \(B, 1, 8, 9\)"):
        physics.A(torch.zeros(1, 1, 9, 8))
    with pytest.raises(ValueError, match=r"y must be \(B, 1, 12, 2\)"):
        physics.A_adjoint(torch.zeros(1, 1, 2, 12))


def test_view_weights():
    def weights(angles, fan=None):
        return view_weights(Geometry((4, 4), angles, 4, fan=fan))

    np.testing.assert_allclose(weights(np.arange(0, 180, 6.0)), 6.0)
    np.testing.assert_allclose(weights(np.arange(0, 360, 6.0)), 3.0)
    np.testing.assert_allclose(weights(np.arange(0, 360, 6.0), FAN), 6.0)
    np.testing.assert_allclose(weights([0, 90, 30]), [60, 75, 45])
    np.testing.assert_allclose(weights([0, 180, 60, 120]), [30, 30, 60, 60])
    np.testing.assert_allclose(weights([20.0]), 180.0)
    # A missing wedge of 120 degrees does not count, wherever it lies.
    np.testing.assert_allclose(weights(np.arange(0, 61, 2.0)), 2.0)
    np.testing.assert_allclose(weights(np.arange(150, 211, 2.0)), 2.0)
    np.testing.assert_allclose(weights(np.arange(330, 391, 2.0), FAN), 2.0)
    assert weights(np.random.default_rng(0).uniform(0, 180, 50)).sum() == pytest.approx(180)


# Weighting and hold-out ---------------------------------------------------------------------------


def test_ramp_weight_is_a_symmetric_square_root():
    physics = CT((4, 4), [0.0, 20.0, 40.0], 200).double()
    r, q = noise(2, 1, 200, 3, dtype=torch.float64), noise(2, 1, 200, 3, seed=1).double()
    Wr, Wq = physics.weight(r, "ramp"), physics.weight(q, "ramp")
    assert torch.allclose((Wr * q).sum(), (r * Wq).sum(), rtol=1e-10)
    response = torch.from_numpy(ramp(200))
    ramped = (r * filter_detectors(r, response / response.max())).sum()
    assert Wr.square().sum() == pytest.approx(float(ramped), rel=0.01)
    assert float(physics.root_ramp.max()) == 1.0
    # The highest frequency passes unchanged, a constant hardly.
    fast = torch.cos(math.pi * torch.arange(200.0).double())[None, None, :, None].repeat(1, 1, 1, 3)
    middle = slice(80, 120)
    assert torch.allclose(physics.weight(fast, "ramp")[:, :, middle], fast[:, :, middle], atol=0.01)
    assert physics.weight(torch.ones_like(fast), "ramp")[:, :, middle].abs().max() < 0.1


def test_unknown_weight_is_named():
    with pytest.raises(ValueError, match=r"'density'.*'ramp'"):
        SCANS["even"].weight(torch.zeros(1, 1, 24, 7), "density")


@pytest.mark.parametrize("name", SCANS)
def test_a_few_views_alone_are_the_same_views(name):
    scan = SCANS[name]
    keep = torch.zeros(1, *scan.y_shape, dtype=torch.bool)
    keep[..., -1] = True
    few = scan.measuring_only(keep)
    x, y = noise(2, *scan.x_shape, seed=1), noise(2, *scan.y_shape, seed=2)
    torch.testing.assert_close(few.A(x), scan.A(x) * keep)
    torch.testing.assert_close(few.A_adjoint(y), scan.A_adjoint(y * keep))
    assert len(few.project_value) == len(few.backproject_value)
    assert scan.A(x)[..., 0].abs().max() > 0  # itself as it was


def test_held_out_views_are_computed_without_the_others():
    scan = CT((16, 16), np.arange(0, 180, 9.0), 24)
    problem = Problem(scan.A(noise(1, *scan.x_shape).abs()), scan)
    fit, held = problem.split(0.1, 0)
    x = noise(1, *scan.x_shape, seed=3)
    assert len(held.seen.project_value) < len(scan.project_value) / 5
    assert fit.seen is None
    torch.testing.assert_close(held.A(x), scan.A(x) * held.keep)
    assert held.norm_squared == problem.norm_squared


def test_holdout_takes_spread_whole_views():
    angles = np.random.default_rng(0).permutation(np.arange(30) * 12.0)
    physics = CT((4, 4), angles, 5, channels=2)
    y = torch.zeros(3, 2, 5, 30)
    direction = np.argsort(np.argsort(angles % 180, kind="stable"))
    seen = set()
    for seed in range(40):
        for fraction, count in ((0.0, 1), (0.1, 3), (0.34, 10), (0.5, 15)):
            held = physics.holdout(y, fraction, torch.Generator().manual_seed(seed))
            assert held.shape == (1, 2, 5, 30)
            assert held.dtype == torch.bool
            views = held[0, 0, 0].nonzero().flatten()
            assert torch.equal(held, held[:, :1, :1].expand_as(held))
            assert len(views) == count
            places = np.sort(direction[views.numpy()])
            assert count == 1 or np.diff(places, append=places[0] + 30).min() > 1
            seen.update(places.tolist())
    assert seen == set(range(30))


def test_holdout_needs_views():
    few = CT((4, 4), [0.0, 60.0, 120.0], 5)
    with pytest.raises(ValueError, match=r"at least 4.*has 3"):
        few.holdout(torch.zeros(1, 1, 5, 3), 0.1, torch.Generator())
    four = CT((4, 4), [0.0, 45.0, 90.0, 135.0], 5)
    with pytest.raises(ValueError, match="4 of 4"):
        four.holdout(torch.zeros(1, 1, 5, 4), 1.0, torch.Generator())


# Errors -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"angles": [[0.0, 1.0]]}, "angles must be a one-dim"),
        ({"angles": []}, "angles must be a one-dim"),
        ({"angles": [0.0, math.nan]}, r"angles\[1\] is nan"),
        ({"angles": ["north"]}, "angles must be numbers"),
        ({"detectors": 1}, "detectors must be a whole number of at least 2, got 1"),
        ({"detectors": 7.5}, "detectors must be"),
        ({"image_shape": (8,)}, "image_shape must be"),
        ({"image_shape": (8, 0)}, r"image_shape\[1\]"),
        ({"channels": 0}, "channels must be"),
        ({"pixel_size": 0.0}, "pixel_size must be a positive"),
        ({"detector_pitch": -1.0}, "detector_pitch must be a positive"),
        ({"detector_pitch": math.inf}, "detector_pitch must be a positive"),
        ({"detector_offset": math.nan}, "detector_offset must be finite"),
        ({"fan": FanBeam(5.0, 9.0)}, "source_origin is 5.*image reaches 5.65"),
    ],
)
def test_bad_arguments(arguments, match):
    good = {"image_shape": (8, 8), "angles": [0.0, 1.0], "detectors": 9}
    with pytest.raises(UserError, match=match):
        CT(**{**good, **arguments})


def test_bad_fan():
    with pytest.raises(UserError, match=r"source_detector is 5.*swapped"):
        FanBeam(9.0, 5.0)
    with pytest.raises(UserError, match="source_origin must be a positive"):
        FanBeam(0.0, 5.0)
