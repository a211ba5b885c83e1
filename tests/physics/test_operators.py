"""One table: every operator of ours against every property that all of them have."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from ct_scans import noise

from untrained.physics import (
    CT,
    MRI,
    BlindBlur,
    Blur,
    CompressedSensing,
    ConeCT,
    Counted,
    Denoise,
    FanBeam,
    Inpaint,
    JointMRI,
    LinearPhysics,
    NonCartesianMRI,
    Photons,
    Processed,
    Series,
    Stack,
    SuperRes,
    dot_test,
    is_linear,
    random_mask,
    vdrs_mask,
)
from untrained.physics.base import Physics
from untrained.physics.eit_log import LogConductivity  # noqa: F401  among the kinds


def mri(size, coils):
    maps = noise(coils, *size, dtype=torch.complex64) if coils else None
    return MRI(random_mask(size, 0.6, seed=1), maps)


def map_sets(size, lines=False):
    """Two sets of maps, each of which is zero somewhere."""
    maps = noise(1, 2, 3, *size, dtype=torch.complex64)
    maps[:, 0, :, :3], maps[:, 1, :, :, 5:-5] = 0, 0
    return MRI(vdrs_mask(size[1], 2, 0.2) if lines else random_mask(size, 0.6, seed=1), maps)


def columns(size, coils):
    """Whole columns, by maps of which each image of a batch, or slice, has the same."""
    maps = noise(coils, *size, dtype=torch.complex64)
    return MRI(vdrs_mask(size[1], 2, 0.2), maps)


def spokes(size, coils):
    """Nine spokes by maps of which each image of a batch has the same."""
    angles = torch.arange(9, dtype=torch.float64)[:, None] * 2.4
    radius = (torch.arange(30, dtype=torch.float64) - 15) / 30
    points = torch.stack([angles.cos() * radius, angles.sin() * radius], -1)
    shape = coils if isinstance(coils, tuple) else (coils,)
    return NonCartesianMRI(points, noise(*shape, *size, dtype=torch.complex64))


def cone(size):
    return ConeCT((3, *size), np.arange(0, 360, 60.0), (4, 46), FanBeam(90.0, 150.0), row_pitch=2.0)


def counted(size):
    physics = CT(size, np.arange(0, 180, 20.0), 40)
    return Counted(physics, 100 * noise(*physics.y_shape).abs())


OPERATORS = {
    "denoise": lambda size: Denoise((3, *size)),
    "inpaint": lambda size: Inpaint(random_mask(size, 0.5), (3, *size)),
    "inpaint_per_channel": lambda size: Inpaint(noise(3, *size) > 0),
    "superres_x2": lambda size: SuperRes((3, *size), 2),
    "superres_x3": lambda size: SuperRes((1, *size), 3),
    "superres_x4": lambda size: SuperRes((3, *size), 4),
    "blur_reflect_odd": lambda size: Blur(noise(5, 9).abs(), (3, *size)),
    "blur_reflect_even": lambda size: Blur(noise(4, 6).abs(), (1, *size)),
    "blur_reflect_large": lambda size: Blur(noise(*size).abs(), (1, *size)),
    "blind_blur": lambda size: BlindBlur((5, 4), (2, *size)),
    "blur_circular_odd": lambda size: Blur(noise(7, 3).abs(), (3, *size), "circular"),
    "blur_circular_even": lambda size: Blur(noise(8, 4).abs(), (1, *size), "circular"),
    "mri_1_coil": lambda size: mri(size, 0),
    "mri_4_coils": lambda size: mri(size, 4),
    "joint_mri": lambda size: JointMRI(random_mask(size, 0.6), mri(size, 3).maps).at(
        maps=noise(1, 2, 3, 4, 4)
    ),
    "mri_columns": lambda size: MRI(vdrs_mask(size[1], 2, 0.2), x_shape=(2, *size)),
    "mri_sets": map_sets,
    "hybrid_sets": lambda size: map_sets(size, lines=True).hybrid(),
    "mri_spokes_sets": lambda size: spokes(size, (1, 2, 3)),
    "mri_spokes": lambda size: spokes(size, 3),
    "ct_parallel": lambda size: CT(size, np.arange(0, 180, 20.0), 40),
    "ct_fan": lambda size: CT(size, np.arange(0, 360, 40.0), 50, fan=FanBeam(90.0, 150.0)),
    "cone": lambda size: cone(size),
    "counted": lambda size: counted(size),
    "whitened": lambda size: counted(size).for_networks(torch.zeros(1, 1, 40, 9))[0],
    "photons": lambda size: Photons(Blur(noise(5, 5).abs(), (1, *size)), 50.0, 1.0),
    "stabilised": lambda size: Photons(Denoise((1, *size)), 50.0).for_networks(
        torch.rand(1, 1, *size)
    )[0],
    "hybrid": lambda size: columns(size, 2).hybrid(),
    "stack_mri": lambda size: Stack(mri(size, 2), 3),
    "processed": lambda size: Processed(torch.rand(1, 3, 2, *size), 3),
    "series_mri": lambda size: Series([mri(size, 2), columns(size, 2)]),
    "stack_ct": lambda size: Stack(CT(size, np.arange(0, 180, 30.0), 40), 2),
    "stack_hybrid": lambda size: Stack(columns(size, 3), 3).hybrid(),
    "cs": lambda size: CompressedSensing((2, *size), 200),
}
ELSEWHERE = {
    "PhaseRetrieval": "test_encoded.py",
    "BKSE": "test_nonlinear_blur.py",
    "NonlinearBlur": "test_nonlinear_blur.py",
    "EIT": "test_eit.py",
    "LogConductivity": "test_eit_log.py",
}
"""Nonlinear operators, which have tests of their own."""
SIZES = {"even": (24, 24), "odd": (27, 21), "rectangular": (24, 36)}


def kinds(base: type) -> Iterator[str]:
    """The package's own operators; wrappers of others are tested with what they wrap."""
    places = {f"untrained.physics.{name}" for name in ("kinds", "foreign", "rescaled")}
    for kind in base.__subclasses__():
        yield from kinds(kind)
        if kind.__module__.startswith("untrained.physics.") and kind.__module__ not in places:
            yield kind.__name__


def test_no_operator_is_without_a_row() -> None:
    here = {type(make((24, 24))).__name__ for make in OPERATORS.values()}
    assert set(kinds(Physics)) == here | set(ELSEWHERE)
    for name, file in ELSEWHERE.items():
        assert name.lower() in (Path(__file__).parent / file).read_text(encoding="utf-8").lower()


CASES = [
    (name, size)
    for name in OPERATORS
    for size, (height, width) in SIZES.items()
    if not name.startswith("superres") or height % int(name[-1]) == width % int(name[-1]) == 0
]


@pytest.fixture(params=CASES, ids="-".join)
def physics(request) -> LinearPhysics:
    name, size = request.param
    return OPERATORS[name](SIZES[size])


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_the_adjoint_is_exact(physics, dtype, tolerance):
    physics = physics.to(dtype)
    assert physics.A(torch.zeros(1, *physics.x_shape, dtype=dtype)).dtype == dtype
    for seed in range(2):
        assert dot_test(physics, y_shape=physics.y_shape, dtype=dtype, seed=seed) < tolerance


def test_it_is_linear(physics):
    assert is_linear(physics)
    assert physics.linear


def test_a_batch_is_its_singles(physics):
    """Up to the last bits: FFT and sparse libraries round by how many transforms they get."""
    physics = physics.double()
    x = noise(3, *physics.x_shape, dtype=torch.float64)
    y = physics.A(x)
    assert y.shape == (3, *physics.y_shape)
    back = physics.A_adjoint(y)
    assert back.shape == x.shape
    for i in range(3):
        one = slice(i, i + 1)
        torch.testing.assert_close(physics.A(x[one]), y[one], rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(physics.A_adjoint(y[one]), back[one], rtol=1e-12, atol=1e-12)


def test_gradients_are_the_adjoint_and_the_operator(physics):
    physics = physics.double()
    x = noise(2, *physics.x_shape, dtype=torch.float64).requires_grad_()
    y = noise(2, *physics.y_shape, dtype=torch.float64, seed=1).requires_grad_()
    (gx,) = torch.autograd.grad(physics.A(x), x, y.detach())
    (gy,) = torch.autograd.grad(physics.A_adjoint(y), y, x.detach())
    torch.testing.assert_close(gx, physics.A_adjoint(y.detach()), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(gy, physics.A(x.detach()), rtol=1e-10, atol=1e-10)


def test_wrong_shapes_are_refused(physics):
    for function, shape in ((physics.A, physics.x_shape), (physics.A_adjoint, physics.y_shape)):
        for wrong in ((1, *shape[:-1], shape[-1] + 1), (1, shape[0] + 1, *shape[1:]), shape):
            with pytest.raises(ValueError, match=type(physics).__name__):
                function(torch.zeros(wrong))


def test_held_out_measurements(physics):
    x = noise(1, *physics.x_shape)
    y = physics.A(x)
    held, again = (physics.holdout(y, 0.2, torch.Generator().manual_seed(3)) for _ in range(2))
    assert held.dtype == torch.bool
    assert held.shape == (1, *physics.y_shape)
    assert torch.equal(held, again)
    assert 0 < held.float().mean() < 0.5
