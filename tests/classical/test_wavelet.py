"""L1-wavelet: agreement of conventions with SigPy, the held-out weight, messages."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch
from skimage.data import camera

from untrained.classical import CLASSICAL, SHOWN, l1wavelet
from untrained.classical.wavelet import _Reconstruction, _shrinkage
from untrained.errors import UserError
from untrained.maths import magnitude
from untrained.methods import METHODS
from untrained.physics import (
    CT,
    MRI,
    Blur,
    CompressedSensing,
    Denoise,
    Inpaint,
    NonCartesianMRI,
    PhaseRetrieval,
    SuperRes,
    random_mask_columns,
)
from untrained.problem import Problem
from untrained.waiting import TimeIsUp, waiting

sigpy_missing = importlib.util.find_spec("sigpy") is None
needs_sigpy = pytest.mark.skipif(sigpy_missing, reason="sigpy is not installed (extra mri)")
SMALL = torch.from_numpy(camera()[::8, ::8].copy()).float()[None, None] / 255


def coil_problem(acceleration: float = 2.5, sigma: float = 0.01) -> tuple[Problem, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    ramp = torch.linspace(0.2, 1, 64).expand(64, 64)
    maps = torch.stack((ramp + 0j, ramp.T * 1j, (1.2 - ramp) + 0j))
    maps = maps / maps.abs().square().sum(0).sqrt()
    physics = MRI(random_mask_columns(64, acceleration, 0.15, seed=3), maps.to(torch.complex64))
    x = torch.cat((SMALL, 0.2 * SMALL), 1)
    y = physics.A(x)
    return Problem(y + sigma * torch.randn(y.shape, generator=g) * (y != 0), physics), x


@needs_sigpy
def test_it_ends_when_its_time_is_up():
    problem = coil_problem()[0]
    with waiting(0.0), pytest.raises(TimeIsUp):
        _Reconstruction(problem).run(1e-3)


@needs_sigpy
def test_without_a_penalty_it_solves_least_squares():
    p, x = coil_problem(1.0, 0.0)
    image = p.to_units(l1wavelet(p, 1e-9))
    assert torch.allclose(image, x, atol=2e-3)


def test_the_step_of_fista_is_below_one_over_the_norm():
    """Take an operator whose largest eigenvalue 30 power iterations do not reach."""
    g = torch.Generator().manual_seed(0)
    physics = MRI(torch.ones(24), torch.polar(torch.rand(1, 24, 24, generator=g), torch.zeros(1)))
    p = Problem(physics.A(torch.rand(1, 2, 24, 24, generator=g)), physics)
    largest = float(physics.maps.abs().square().max())  # A^H A x = |S|^2 x
    assert p.norm_squared < largest
    assert _Reconstruction(p).step * largest <= 1


@pytest.fixture
def fewer_iterations(monkeypatch: pytest.MonkeyPatch) -> None:
    """A third of the usual ones, where many weights are tried."""
    monkeypatch.setattr(_Reconstruction.run, "__defaults__", (100,))


@needs_sigpy
def test_chosen_weight_is_near_the_best(fewer_iterations: None):
    p, x = coil_problem()
    truth = magnitude(x) / p.scale

    def error(image: torch.Tensor) -> float:
        return float((magnitude(image) - truth).square().mean())

    best = min(error(l1wavelet(p, w)) for w in (3e-3, 1e-2, 3e-2))
    found = error(l1wavelet(p))
    assert found < 1.2 * best
    assert found < 0.75 * error(p.estimate())


@needs_sigpy
def test_it_is_repeatable():
    p, _ = coil_problem()
    assert torch.equal(l1wavelet(p, 0.01), l1wavelet(p, 0.01))


@needs_sigpy
def test_of_noise_alone_the_coefficients_are_thresholded():
    """One call of the proximal map on a grid that is not moved, by PyWavelets' own transform."""
    import pywt

    levels = pywt.wavedec2(SMALL[0, 0].numpy(), "db4", mode="zero")
    shrunk = [
        tuple(pywt.threshold(c, 0.1) for c in level) if isinstance(level, tuple) else level
        for level in [pywt.threshold(levels[0], 0.1), *levels[1:]]
    ]
    expected = pywt.waverec2(shrunk, "db4", mode="zero")
    image = SMALL[0].numpy().astype(np.complex64)
    found = _shrinkage(image.shape, 0.1, shift=1)(1.0, image)
    assert np.allclose(found[0], expected, atol=1e-5)


@needs_sigpy
def test_of_noise_the_mean_of_many_grids_is_returned():
    """Where A is the identity that is all there is to do, and better than any one grid."""
    noise = 0.1 * torch.randn(SMALL.shape, generator=torch.Generator().manual_seed(1))
    image = l1wavelet(Problem(SMALL + noise, Denoise((1, 64, 64))), 0.1)
    one = _shrinkage((1, 64, 64), 0.1)(1.0, (SMALL + noise)[0].numpy().astype(np.complex64))

    def error(x: torch.Tensor) -> float:
        return float((x - SMALL).square().mean())

    assert error(image) < 0.8 * error(torch.from_numpy(one.real)[None])


LINEAR = {
    "denoise": (Denoise((1, 64, 64)), 0.1),
    "inpaint": (Inpaint((torch.rand(64, 64) > 0.4).float(), (1, 64, 64)), 0.0),
    "deblur": (Blur(torch.ones(5, 5) / 25, (1, 64, 64)), 0.01),
    "superres": (SuperRes((1, 64, 64), 2), 0.0),
    "cs": (CompressedSensing((1, 64, 64), 2000), 0.01),
    "ct": (CT((64, 64), np.arange(20) * 9.0, 92), 0.01),
}


@needs_sigpy
@pytest.mark.parametrize("task", LINEAR)
def test_every_linear_task_has_it(task: str, request: pytest.FixtureRequest):
    physics, noise = LINEAR[task]
    assert task in METHODS["l1wavelet"].tasks
    y = physics.A(SMALL)
    draw = torch.randn(y.shape, generator=torch.Generator().manual_seed(0))
    sigma = noise * float(y.abs().mean())
    p = Problem(y + sigma * draw, physics, sigma=sigma or None)
    truth = p.from_units(SMALL)

    def error(image: torch.Tensor) -> float:
        return float((image - truth).square().mean())

    weight = 1e-3  # the search is judged above, on MRI
    if task == "denoise":  # where it goes by another error
        weight = None
        request.getfixturevalue("fewer_iterations")
    assert error(l1wavelet(p, weight)) < (1.1 if task == "superres" else 0.8) * error(p.estimate())


def test_it_needs_a_linear_operator():
    physics = PhaseRetrieval((1, 32, 32))
    p = Problem(physics.A(torch.rand(1, 1, 32, 32)), physics)
    with pytest.raises(UserError, match="'l1wavelet' solves linear problems"):
        l1wavelet(p)


def test_missing_sigpy_names_the_extra(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    p, _ = coil_problem()
    with pytest.raises(UserError, match=r'pip install "untrained\[mri\]"'):
        l1wavelet(p)


def test_the_defaults_are_listed():
    linear = {"adjoint", "fbp", "fdk", "cgsense", "tv", "l1wavelet"}
    blocks, series = {"dct", "lowrank", "nlbayes"}, {"lps", "temporaltv"}
    assert set(CLASSICAL) - {"linearised", "gaussnewton", "mlem"} == linear | blocks | series
    assert SHOWN in CLASSICAL


@needs_sigpy
def test_denoising_is_one_shrinkage_of_the_measurement():
    """Compare one shrinkage with twenty iterations, which give the same where A is the identity."""
    noisy = SMALL + 0.1 * torch.randn(SMALL.shape, generator=torch.Generator().manual_seed(0))
    run = _Reconstruction(Problem(noisy, Denoise((1, 64, 64))))
    at_once, run.direct = run.run(0.2), False
    assert torch.allclose(at_once, run.run(0.2, 20), atol=1e-6)
    assert float((at_once - run.problem.y).square().mean().sqrt()) > 0.05


def test_a_trajectory_is_solved_by_its_convolution(monkeypatch: pytest.MonkeyPatch) -> None:
    """A^H A as one convolution stands for the two transforms, in every iteration."""
    angles = np.arange(10) * np.pi / 10
    spokes = np.stack([np.cos(angles), np.sin(angles)], -1)[:, None]
    physics = NonCartesianMRI(spokes * np.linspace(-0.5, 0.5, 33)[:, None], x_shape=(2, 16, 16))
    problem = Problem(torch.randn(physics.y_shape)[None], physics)
    calls: list[int] = []
    plain = NonCartesianMRI.A

    def counted(self: NonCartesianMRI, x: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return plain(self, x)

    monkeypatch.setattr(NonCartesianMRI, "A", counted)
    _Reconstruction(problem).run(0.01, 20)
    assert len(calls) <= 2
