"""What an image leaves of its measurements, as the report draws it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import untrained as ut
from untrained.physics import CT, MRI, Denoise, Stack
from untrained.run.pictures import measurement_pictures


def reconstruct(y: torch.Tensor, physics: object) -> ut.Result:
    return ut.reconstruct(y, physics, method="adjoint", compare=False, progress=False)


def test_the_residual_of_denoising_is_the_measurement_less_the_image() -> None:
    """Check values and share on an image that is known: the adjoint, minus a constant."""
    y = torch.rand(1, 3, 8, 9)
    problem = ut.Problem(y, Denoise((3, 8, 9)))
    fit = reconstruct(y, Denoise((3, 8, 9)))
    (exact,) = fit.about.pictures
    assert np.abs(exact.values).max() < 1e-6
    moved = ut.result.replace(fit, image=fit.image + 0.1)
    (picture,) = measurement_pictures(problem, moved)
    assert picture.values == pytest.approx(np.full((8, 9), 0.1 / float(y.max())), rel=1e-4)
    share = 100 * 0.1 * y.numel() ** 0.5 / float(y.norm())
    assert f"{share:.2g} % of them" in picture.caption


def test_of_kspace_only_what_was_measured_is_drawn() -> None:
    mask = torch.zeros(12, 10)
    mask[:, ::2] = 1
    maps = torch.ones(1, 3, 12, 10, dtype=torch.complex64)
    physics = MRI(mask, maps)
    (picture,) = reconstruct(physics.A(torch.randn(1, 2, 12, 10)), physics).about.pictures
    assert picture.title == "Residual of k-space"
    assert picture.scale == "decades"
    assert picture.values.shape == (12, 10)
    assert not picture.values[:, 1::2].any()


def test_of_a_stack_of_views_the_middle_slice_is_drawn() -> None:
    one = CT((16, 16), np.arange(0, 180, 30.0), 24)
    physics = Stack(one, 3)
    y = physics.A(torch.rand(1, 1, 3, 16, 16))
    (picture,) = reconstruct(y, physics).about.pictures
    assert picture.title == "Residual of the sinogram"
    assert picture.values.shape == (6, one.geometry.detectors)
