"""CT without a matrix: the same numbers, and neither memory nor time for what is not asked."""

import numpy as np
import pytest
import torch

import untrained as ut
from untrained.physics import ct
from untrained.physics.ct import CT, FanBeam
from untrained.problem import Problem

FAN = FanBeam(source_origin=60.0, source_detector=90.0)
SCANS = {
    "even": {"image_shape": (16, 16), "angles": np.arange(7) * 25.7, "detectors": 24},
    "offset": {
        "image_shape": (12, 19), "angles": [10.0, -33.0, 400.0], "detectors": 17,
        "pixel_size": 0.7, "detector_offset": 1.3,
    },
    "coarse": {
        "image_shape": (16, 16), "angles": [3.0, 90.0], "detectors": 7, "detector_pitch": 3.5
    },
    "fine": {
        "image_shape": (8, 8), "angles": [0.0, 31.0, 45.0], "detectors": 40,
        "detector_pitch": 0.3, "channels": 2,
    },
    "narrow": {"image_shape": (20, 20), "angles": [20.0, 110.0], "detectors": 9},
    "fan": {
        "image_shape": (16, 17), "angles": np.arange(5) * 72.0, "detectors": 30,
        "detector_pitch": 1.5, "fan": FAN, "detector_offset": -2.4,
    },
}  # fmt: skip


def both(name: str, monkeypatch: pytest.MonkeyPatch) -> tuple[CT, CT]:
    """The operator with its matrix, and without."""
    usual = CT(**SCANS[name])
    monkeypatch.setattr(ct, "MOST_MATRIX", 0)
    free = CT(**SCANS[name])
    assert free.matrix_free
    assert not usual.matrix_free
    return usual, free


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def no_matrix(*args: object) -> None:
    raise AssertionError("a matrix was built")


def same(a: torch.Tensor, b: torch.Tensor) -> None:
    assert (a - b).abs().max() < 1e-5 * b.abs().max()


@pytest.mark.parametrize("name", SCANS)
def test_products_and_sums_are_those_of_the_matrix(name, monkeypatch):
    usual, free = both(name, monkeypatch)
    x, y = noise(2, *usual.x_shape), noise(2, *usual.y_shape, seed=1)
    for masked in (False, True):
        if masked:
            mask = torch.ones(usual.y_shape[1:])
            mask[1], mask[:, 0] = 0, 0
            usual, free = usual.leaving_out(mask), free.leaving_out(mask)
        same(free.A(x), usual.A(x))
        same(free.A_adjoint(y), usual.A_adjoint(y))
        for weighting in ("uniform", "ramp"):
            expected = usual.mean_squared_singular_value(weighting)
            assert free.mean_squared_singular_value(weighting) == pytest.approx(expected, rel=1e-5)
    keep = torch.zeros(1, *usual.y_shape)
    keep[..., -1] = 1
    same(free.measuring_only(keep).A(x), usual.A(x) * keep)
    same(free.measuring_only(keep).A_adjoint(y), usual.A_adjoint(y * keep))
    same(free.rescaled(2.0).A(x), usual.A(x) / 2)


@pytest.mark.parametrize("name", ["offset", "fan"])
def test_it_is_an_exact_pair_with_derivatives(name, monkeypatch):
    free = both(name, monkeypatch)[1].double()
    x = noise(1, *free.x_shape, dtype=torch.float64).requires_grad_()
    y = noise(1, *free.y_shape, seed=1, dtype=torch.float64)
    Ax = free.A(x)
    back = free.A_adjoint(y)
    gap = ((Ax * y).sum() - (x * back).sum()).detach()
    assert abs(gap) < 1e-10 * Ax.detach().norm() * y.norm()
    assert torch.equal(torch.autograd.grad(Ax, x, y)[0], back)


def test_a_reconstruction_is_the_same_without_a_matrix(monkeypatch):
    usual, free = both("even", monkeypatch)
    x = noise(1, *usual.x_shape).abs()
    monkeypatch.setattr(ct, "SAMPLE", 2)
    images = [
        ut.reconstruct(usual.A(x), physics, "tv", progress=False, compare=False).image
        for physics in (usual, free)
    ]
    assert (images[0] - images[1]).abs().max() < 0.02 * images[0].abs().max()


def test_filtered_backprojection_builds_no_matrix(monkeypatch):
    scan = {"image_shape": (48, 48), "angles": np.arange(0, 180, 3.0), "detectors": 48}
    disc = (
        torch.hypot(*torch.meshgrid(*[torch.arange(48.0) - 23.5] * 2, indexing="ij")) < 15
    ) * 1.0
    y = CT(**scan).A(disc[None, None])
    usual = ut.reconstruct(y, CT(**scan), "fbp", progress=False)
    assert usual.about.classical_name == "tv"
    monkeypatch.setattr(ct, "projection_matrix", no_matrix)
    assert CT(**scan).fbp(y).shape == (1, 1, 48, 48)
    monkeypatch.setattr(ct, "WORTH", 0)
    large = ut.reconstruct(y, CT(**scan), "fbp", progress=False)
    same(large.image, usual.image)
    assert large.about.classical is None
    assert any("--method tv makes one" in note for note in large.notes)
    with pytest.raises(AssertionError, match="a matrix was built"):
        ut.reconstruct(y, CT(**scan), "cgsense", progress=False, compare=False)


def test_a_gain_is_told_by_a_few_views_unless_they_are_hidden(monkeypatch):
    usual = CT((16, 16), np.arange(0, 180, 4.0), 24)
    monkeypatch.setattr(ct, "MOST_MATRIX", 0)
    scan = CT((16, 16), np.arange(0, 180, 4.0), 24)
    few = scan.few_views()
    assert 0 < len(few._which) <= 2 * ct.SAMPLE
    y = scan.A(noise(1, 1, 16, 16).abs())
    problem = Problem(y, scan)
    exact = Problem(y, usual).estimate()
    assert (problem.estimate() - exact).abs().max() < 0.05 * exact.abs().max()
    hidden = y.clone()
    hidden[..., few._which] = 0
    only_others = problem._masked(hidden != 0)
    assert float(only_others.estimate().abs().max()) > 0.1


def test_a_matrix_is_built_once_and_only_when_asked_for(monkeypatch):
    built = []
    real = ct.projection_matrix
    monkeypatch.setattr(ct, "projection_matrix", lambda g: built.append(g) or real(g))
    scan = CT((16, 16), np.arange(0, 180, 9.0), 24)
    assert not built
    for _ in range(2):
        scan.A_adjoint(scan.A(noise(1, 1, 16, 16)))
    assert len(built) == 1
