"""L1-wavelet: agreement of conventions with SigPy, the held-out weight, messages."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from skimage.data import camera

from untrained.classical import CLASSICAL, SHOWN, l1wavelet
from untrained.classical.wavelet import _Reconstruction
from untrained.errors import UserError
from untrained.maths import magnitude
from untrained.physics import MRI, Denoise, random_mask_columns
from untrained.problem import Problem

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


@needs_sigpy
def test_chosen_weight_is_near_the_best():
    p, x = coil_problem()
    truth = magnitude(x) / p.scale

    def error(image: torch.Tensor) -> float:
        return float((magnitude(image) - truth).square().mean())

    best = min(error(l1wavelet(p, w)) for w in (1e-3, 3e-3, 1e-2, 3e-2))
    assert error(l1wavelet(p)) < 1.2 * best
    assert error(l1wavelet(p)) < 0.75 * error(p.estimate())


@needs_sigpy
def test_it_is_repeatable():
    p, _ = coil_problem()
    assert torch.equal(l1wavelet(p), l1wavelet(p))


def test_it_needs_mri():
    p = Problem(torch.rand(1, 1, 8, 8), Denoise((1, 8, 8)))
    with pytest.raises(UserError, match="needs MRI problems; the task is 'denoise'"):
        l1wavelet(p)


def test_missing_sigpy_names_the_extra(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    p, _ = coil_problem()
    with pytest.raises(UserError, match=r'pip install "untrained\[mri\]"'):
        l1wavelet(p)


def test_the_defaults_are_listed():
    linear = {"adjoint", "fbp", "cgsense", "tv", "l1wavelet"}
    assert set(CLASSICAL) == linear | {"dct", "lowrank", "nlbayes"}
    assert SHOWN in CLASSICAL
