"""MRI on a trajectory: the transform, its adjoint, A^H A, held-out shots, and images from it."""

import importlib.util
import math

import numpy as np
import pytest
import torch

from untrained.classical import cgsense, data_step, l1wavelet, tv_solve
from untrained.data.phantoms import birdcage_maps, brain
from untrained.errors import UserError
from untrained.maths import fft2c, to_channels, to_complex
from untrained.physics import MRI, NonCartesianMRI, dot_test
from untrained.physics.noncartesian import is_radial
from untrained.physics.nufft import (
    apply_normal,
    density_weights,
    normal_kernel,
    nufft,
    nufft_adjoint,
)
from untrained.problem import Problem

SIZE = (26, 21)


def noise(*shape, dtype=torch.float32, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def spokes(count: int, samples: int) -> torch.Tensor:
    angles = torch.arange(count, dtype=torch.float64) * math.pi * (math.sqrt(5) - 1) / 2
    radius = (torch.arange(samples, dtype=torch.float64) - samples // 2) / samples
    return torch.stack([angles.cos()[:, None] * radius, angles.sin()[:, None] * radius], -1)


def grid(height: int, width: int) -> torch.Tensor:
    """The places of an FFT's frequencies, one row a shot."""
    y, x = ((torch.arange(n, dtype=torch.float64) - n // 2) / n for n in (height, width))
    return torch.stack([x.expand(height, -1), y[:, None].expand(-1, width)], -1)


def operator(coils: int = 3, size=SIZE, shots: int = 12) -> NonCartesianMRI:
    return NonCartesianMRI(spokes(shots, 40), noise(coils, *size, dtype=torch.complex64))


def scan(side: int = 48, shots: int = 40, coils: int = 4):
    """A phantom, the operator of golden spokes, and what it measures."""
    image = torch.from_numpy(brain(side).astype(np.complex64))
    maps = torch.from_numpy(birdcage_maps(coils, (side, side)).astype(np.complex64))
    physics = NonCartesianMRI(spokes(shots, 2 * side), maps)
    truth = to_channels(image[None])
    return truth, physics, physics.A(truth)


def test_points_on_the_grid_give_the_centred_fft() -> None:
    x = noise(2, *SIZE, dtype=torch.complex64)
    found = nufft(x, grid(*SIZE).flatten(0, 1)).reshape(x.shape)
    torch.testing.assert_close(found, fft2c(x), rtol=0, atol=2e-5)


def test_full_samples_on_the_grid_are_those_of_cartesian_mri() -> None:
    """The units of the image are the same: so is A, where all weights are one."""
    maps, x = noise(3, *SIZE, dtype=torch.complex64), noise(1, 2, *SIZE)
    physics = NonCartesianMRI(grid(*SIZE), maps, weights=1.0)
    torch.testing.assert_close(physics.A(x), MRI(torch.ones(SIZE), maps).A(x), rtol=0, atol=1e-4)


@pytest.mark.parametrize("batch", [1, 2])
def test_dot_test(batch: int) -> None:
    physics = operator()
    assert dot_test(physics, batch=batch) < 1e-5
    assert dot_test(physics.double(), dtype=torch.float64) < 1e-10


def test_maps_of_each_image_of_a_batch_are_its_own() -> None:
    one, two = operator(), operator()
    two._maps = two._maps.flip(-2)
    both = one.joined([two])
    x = noise(2, 2, *SIZE)
    assert dot_test(both, batch=2) < 1e-5
    expected = torch.cat([one.A(x[:1]), two.A(x[1:])])
    torch.testing.assert_close(both.A(x), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(both.alone(1).A(x[1:]), expected[1:], rtol=0, atol=1e-5)
    assert one.joined([operator(shots=11)]) is None


def test_gradients_are_the_adjoint() -> None:
    """Autograd through A gives A^H, and through A^H gives A."""
    physics, x = operator(), noise(1, 2, *SIZE).requires_grad_()
    y = noise(1, *physics.y_shape)
    (gradient,) = torch.autograd.grad(physics.A(x), x, y)
    torch.testing.assert_close(gradient, physics.A_adjoint(y), rtol=0, atol=1e-4)
    points = spokes(5, 9).flatten(0, 1)
    k = noise(1, len(points), dtype=torch.complex64).requires_grad_()
    v = noise(1, *SIZE, dtype=torch.complex64)
    (back,) = torch.autograd.grad(nufft_adjoint(k, points, SIZE), k, v)
    torch.testing.assert_close(back, nufft(v, points), rtol=0, atol=1e-5)


@pytest.mark.parametrize("held", [False, True])
def test_gram_is_adjoint_times_operator(held: bool) -> None:
    physics, x = operator(), noise(1, 2, *SIZE)
    y = physics.A(x)
    keep = None
    if held:
        keep = (~physics.holdout(y, 0.3, torch.Generator().manual_seed(0))).float()
        y = y * keep
    direct = physics.A_adjoint(y)
    quick = physics.apply_gram(x, physics.gram(keep))
    assert float((quick - direct).norm() / direct.norm()) < 1e-5
    single = torch.ones_like(y)
    single[:, :, 0, 0] = 0  # a coil of its own: no convolution for all
    assert physics.gram(single) is None


def test_kernel_of_odd_sides() -> None:
    points, weights = spokes(7, 30).flatten(0, 1), noise(210).square()
    x = noise(2, 17, 23, dtype=torch.complex128)
    direct = nufft_adjoint(nufft(x, points) * weights, points, (17, 23))
    quick = apply_normal(x, normal_kernel(points, weights, (17, 23)))
    assert float((quick - direct).norm() / direct.norm()) < 1e-6


def test_each_image_may_have_a_kernel_of_its_own() -> None:
    points, x = spokes(7, 30).flatten(0, 1), noise(2, 3, 16, 20, dtype=torch.complex64)
    kernels = torch.stack(
        [normal_kernel(points, noise(210, seed=s).square(), (16, 20)) for s in (1, 2)]
    )
    alone = torch.stack([apply_normal(x[i], kernels[i]) for i in (0, 1)])
    torch.testing.assert_close(apply_normal(x, kernels[:, None]), alone)


def test_misfit_and_its_gradient_are_those_of_the_residual() -> None:
    """The quadratic form in A^H A against the sum of squares that it stands for."""
    truth, physics, y = scan()
    problem = Problem(y + 0.01 * y.std() * noise(*y.shape), physics)
    x = problem.from_units(truth) + 0.01 * noise(*truth.shape)
    x.requires_grad_()
    for part in (problem, *problem.split(0.1, 0)):
        quick, slow = part.misfit(x), part.cost(part.A(x) - part.y)
        torch.testing.assert_close(quick, slow, rtol=2e-3, atol=0)
        (fast,), (true,) = (torch.autograd.grad(value.sum(), x) for value in (quick, slow))
        assert float((fast - true).norm() / true.norm()) < 2e-3


def test_misfit_can_be_differentiated_twice() -> None:
    _, physics, y = scan(side=16, shots=8)
    problem = Problem(y, physics)
    x, v = (noise(1, 2, 16, 16, seed=seed) for seed in (1, 2))
    x.requires_grad_()
    (slope,) = torch.autograd.grad(problem.misfit(x).sum(), x, create_graph=True)
    (twice,) = torch.autograd.grad(slope, x, v)
    size = float(problem.mean_squared_singular_value) * problem.n_image
    torch.testing.assert_close(twice, 2 * problem.normal(v) / size, rtol=1e-3, atol=1e-6)


class Plain(NonCartesianMRI):
    """The same operator, of which nobody knows A^H A."""

    has_gram = False


@pytest.mark.parametrize("name", ["tv", "l1wavelet", "data step"])
def test_classical_images_are_the_same_without_gram(name: str) -> None:
    truth, physics, y = scan(side=32, shots=14)
    if name == "l1wavelet" and importlib.util.find_spec("sigpy") is None:
        pytest.skip("needs sigpy")
    plain = Plain(physics.trajectory, physics.maps, physics.weights)
    made = []
    for one in (physics, plain):
        problem = Problem(y, one)
        made.append(
            {
                "tv": lambda p: tv_solve(p, 0.01, max_iterations=60).image,
                "l1wavelet": lambda p: l1wavelet(p, 0.01),
                "data step": lambda p: data_step(p, torch.zeros_like(truth), 0.1),
            }[name](problem)
        )
    assert float((made[0] - made[1]).norm() / made[1].norm()) < 5e-3


def test_the_certified_gap_is_reached_by_gram() -> None:
    _, physics, y = scan(side=32, shots=14)
    found = tv_solve(Problem(y, physics), 0.02, tolerance=1e-3)
    assert float(found.gap) < 1e-3


def test_full_spokes_give_the_image_back() -> None:
    """Enough spokes, no noise: conjugate gradients find the phantom, and A^H y is near it."""
    truth, physics, y = scan(shots=100)
    problem = Problem(y, physics)
    image = problem.to_units(cgsense(problem))
    assert float((image - truth).norm() / truth.norm()) < 0.1
    rough = problem.to_units(problem.estimate())
    assert float((rough - truth).norm() / truth.norm()) < 0.25


def test_density_of_spokes_and_of_a_grid() -> None:
    """On a grid all samples count alike; along spokes their weight grows as the radius."""
    even = density_weights(grid(*SIZE).flatten(0, 1), SIZE)
    assert float(even.std() / even.mean()) < 1e-3
    points = spokes(160, 64)
    weights = density_weights(points.flatten(0, 1), (64, 64)).reshape(160, 64).mean(0)
    radius = points.norm(dim=-1).mean(0)
    inner = (radius > 0.05) & (radius < 0.4)
    assert float(torch.corrcoef(torch.stack([weights[inner], radius[inner]]))[0, 1]) > 0.98


def test_whole_shots_are_held_out() -> None:
    physics = operator(shots=20)
    y = torch.zeros(1, *physics.y_shape)
    held = physics.holdout(y, 0.05, torch.Generator().manual_seed(0))
    assert held.shape == y.shape
    each = held[0, 0, 0]
    assert bool((each.all(1) | ~each.any(1)).all())
    assert int(each.all(1).sum()) == 3
    assert physics.units(y)[0, 0, 0, :, 0].tolist() == list(range(20))


def test_of_one_long_shot_segments_away_from_the_centre_are_held_out() -> None:
    turn = torch.linspace(0, 40 * math.pi, 4000, dtype=torch.float64)
    spiral = torch.stack([turn.cos(), turn.sin()], -1) * (turn / turn[-1] / 2)[:, None]
    physics = NonCartesianMRI(spiral[None], x_shape=(2, 32, 32))
    held = physics.holdout(torch.zeros(1, *physics.y_shape), 0.1, torch.Generator().manual_seed(1))
    each = held[0, 0, 0, 0]
    assert 0.05 < float(each.float().mean()) < 0.2
    assert int((each[1:] != each[:-1]).sum()) <= 12 + 1  # ends of six segments
    assert not bool(each[spiral.norm(dim=-1) < 0.04].any())
    assert not is_radial(spiral[None])


def test_what_is_said_of_it() -> None:
    assert operator().described() == "3 coils, 26 x 21, on a trajectory: 12 spokes of 40 samples"


def test_rescaled_divides_it() -> None:
    physics, x = operator(), noise(1, 2, *SIZE)
    torch.testing.assert_close(physics.rescaled(4.0).A(x), physics.A(x) / 4)


def test_weighing_can_be_undone() -> None:
    physics = operator()
    samples = noise(1, *physics.y_shape)
    torch.testing.assert_close(physics.unweigh(physics.weigh(samples)), samples)
    values = to_complex(samples)
    torch.testing.assert_close(physics.weigh(values), to_complex(physics.weigh(samples)))


@pytest.mark.parametrize(
    ("trajectory", "more", "message"),
    [
        (np.zeros((4, 5)), {}, "trajectory must be real"),
        (np.full((4, 5, 2), np.nan), {}, "NaN"),
        (np.full((4, 5, 2), 3.0), {}, "cycles per pixel"),
        (np.zeros((4, 5, 2)), {"weights": -np.ones((4, 5))}, "not negative"),
        (np.zeros((4, 5, 2)), {"weights": np.ones((5, 4))}, "weights have the shape"),
        (np.zeros((4, 5, 2)), {"x_shape": None}, "how large the image is"),
        (np.zeros((4, 5, 2)), {"maps": np.ones((2, 6, 6), np.complex64)}, "x_shape says"),
    ],
)
def test_bad_input_is_refused(trajectory, more, message) -> None:
    with pytest.raises(UserError, match=message):
        NonCartesianMRI(trajectory, **{"x_shape": (2, 8, 8), **more})


def test_a_missing_finufft_is_named(monkeypatch) -> None:
    monkeypatch.setattr("untrained.physics.nufft.importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r'pip install "untrained\[mri\]"'):
        operator()


def test_held_out_shots_stand_for_the_cells_that_nobody_measured() -> None:
    """Few spokes: more in the outskirts than near the centre; many: the held-out ones alone."""
    physics = NonCartesianMRI(spokes(12, 64), x_shape=(2, 64, 64))
    y = torch.zeros(1, *physics.y_shape)
    held = physics.holdout(y, 0.25, torch.Generator().manual_seed(0))
    weight = physics.importance(y, held)[0, 0, 0]
    shots = held[0, 0, 0, :, 0]
    assert bool((weight[shots] > 0).all())
    assert bool((weight[~shots] <= 0).all())
    assert float(weight[shots][:, 2:8].mean()) > 2 * float(weight[shots][:, 31:34].mean())
    cells = float(weight[shots].sum() + (1 + weight[~shots]).sum())
    assert cells == pytest.approx(12 * 64, rel=0.05)  # in units of samples: none is lost
    many = NonCartesianMRI(spokes(150, 64), x_shape=(2, 64, 64))
    y = torch.zeros(1, *many.y_shape)
    assert many.importance(y, many.holdout(y, 0.1, torch.Generator().manual_seed(0))) is None


def test_expected_misfit_is_the_weighted_sum_of_squares() -> None:
    """By A^H A with a weight for each sample, and as it is written."""
    _, physics, y = scan(side=32, shots=8)
    fit, held = Problem(y, physics).split(0.2, 0)
    assert held.importance is not None
    x = fit.estimate()
    residual = fit.physics.A(x) - fit.y - held.y
    weights = (fit.visible(torch.ones_like(fit.y)) + held.importance).sqrt()
    expected = fit.cost(residual * weights)
    torch.testing.assert_close(fit.expected_misfit(x, held), expected, rtol=1e-3, atol=0)
