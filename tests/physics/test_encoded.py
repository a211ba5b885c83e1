"""Compressed sensing and phase retrieval: adjoints, scales, symmetries, starts."""

import math

import numpy as np
import pytest
import torch

from untrained.errors import UserError
from untrained.maths import to_channels, to_complex
from untrained.metrics import same_view
from untrained.physics import CompressedSensing, PhaseRetrieval, as_physics, dot_test, is_linear
from untrained.physics.compressed import hartley
from untrained.problem import Problem


def noise(*shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def picture(height=16, width=12):
    y, x = torch.meshgrid(
        torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij"
    )
    return (0.4 + 0.3 * x * y + 0.2 * (x > y))[None, None]


# compressed sensing ---------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 7, 11), (2, 1, 13), (1, 1, 1)])
def test_cs_has_an_exact_adjoint(shape):
    physics = CompressedSensing(shape, max(1, shape[1] * shape[2] // 3), seed=5)
    assert dot_test(physics) < 1e-5
    assert dot_test(physics.double(), dtype=torch.float64) < 1e-10


def test_hartley_is_its_definition_and_its_own_inverse():
    for n in (1, 2, 7, 12):
        angle = 2 * math.pi * torch.outer(torch.arange(n), torch.arange(n)).double() / n
        matrix = (angle.cos() + angle.sin()) / math.sqrt(n)
        x = noise(3, n, dtype=torch.float64)
        torch.testing.assert_close(hartley(x), x @ matrix)
        torch.testing.assert_close(hartley(hartley(x)), x)


def test_cs_rows_are_orthogonal_with_the_norm_it_states():
    physics = CompressedSensing((1, 6, 9), 20).double()
    matrix = physics.A(torch.eye(54, dtype=torch.float64).reshape(54, 1, 6, 9))[:, 0]
    assert physics.norm_squared == 54 / 20
    torch.testing.assert_close(matrix.T @ matrix, 2.7 * torch.eye(20, dtype=torch.float64))
    assert float(matrix.square().mean()) == pytest.approx(1 / 20)


def test_cs_keeps_the_mean_size_of_an_image_as_a_gaussian_matrix_does():
    x = picture()
    ratios = [
        float(CompressedSensing((1, 16, 12), 48, s).A(x).norm() / x.norm()) for s in range(64)
    ]
    assert np.mean(ratios) == pytest.approx(1, abs=0.05)
    assert np.std(ratios) < 0.2, "a unit vector must not be missed or hit by chance"


def test_cs_measures_a_batch_and_its_channels_one_by_one():
    physics = CompressedSensing((3, 5, 6), 11)
    x = noise(4, 3, 5, 6)
    y = physics.A(x)
    assert y.shape == (4, 3, 11)
    torch.testing.assert_close(y, torch.cat([physics.A(one[None]) for one in x]))
    grey = CompressedSensing((1, 5, 6), 11)
    torch.testing.assert_close(y[:, 1:2], grey.A(x[:, 1:2]))


def test_cs_is_decided_by_its_seed_for_ever():
    x = picture()
    y = [CompressedSensing((1, 16, 12), 30, seed).A(x) for seed in (3, 3, 4)]
    assert torch.equal(y[0], y[1])
    assert not torch.equal(y[0], y[2])
    physics = CompressedSensing((1, 4, 4), 5, seed=7)
    # Written down once: a stored seed must mean the same matrix in every version.
    bits = np.random.PCG64(7).random_raw(32)
    assert physics.rows.tolist() == sorted(np.argsort(bits[:16])[:5].tolist())
    assert physics.signs.tolist() == [1.0 if b < 2**63 else -1.0 for b in bits[16:].tolist()]


def test_cs_holds_out_the_same_rows_in_every_channel():
    physics = CompressedSensing((3, 20, 20), 200)
    held = physics.holdout(torch.zeros(1, 3, 200), 0.1, torch.Generator().manual_seed(0))
    assert held.shape == (1, 3, 200)
    assert torch.equal(held[:, 0], held[:, 2])
    assert 0.04 < float(held.float().mean()) < 0.2


@pytest.mark.parametrize(("m", "seed"), [(0, 0), (17, 0), (2.5, 0), (4, -1)])
def test_cs_refuses(m, seed):
    with pytest.raises(UserError, match=r"m must be|seed must be"):
        CompressedSensing((1, 4, 4), m, seed)
    with pytest.raises(ValueError, match="CompressedSensing: x must be"):
        CompressedSensing((1, 4, 4), 3).A(torch.zeros(1, 1, 4, 5))


# phase retrieval ------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "pad"), [((8, 8), 4), ((7, 10), (3, 0)), ((5, 6), 0)])
def test_phase_gives_the_amplitudes_of_numpys_transform(size, pad):
    physics = PhaseRetrieval((2, *size), pad)
    x = torch.rand(3, 2, *size, generator=torch.Generator().manual_seed(0))
    rows, columns = physics.pad
    padded = np.pad(x.double().numpy(), ((0, 0), (0, 0), (rows, rows), (columns, columns)))
    expected = np.abs(np.fft.fftshift(np.fft.fft2(padded, norm="ortho"), axes=(-2, -1)))
    assert physics.A(x).shape[1:] == physics.y_shape
    np.testing.assert_allclose(physics.A(x).numpy(), expected, atol=1e-5)
    one_by_one = torch.cat([physics.A(one[None]) for one in x])
    torch.testing.assert_close(physics.A(x), one_by_one)


def test_phase_pads_a_quarter_unless_told():
    assert PhaseRetrieval((1, 256, 256)).y_shape == (1, 384, 384)
    assert PhaseRetrieval((1, 12, 16)).pad == (3, 4)
    with pytest.raises(UserError, match="pad must be"):
        PhaseRetrieval((1, 8, 8), -1)


def test_phase_is_homogeneous_contracting_and_not_linear():
    physics = PhaseRetrieval((1, 8, 8), 4)
    assert as_physics(physics) is physics
    assert not physics.linear
    assert not is_linear(physics)
    a, b = noise(1, 1, 8, 8), noise(1, 1, 8, 8, seed=1)
    torch.testing.assert_close(physics.A(2.5 * a), 2.5 * physics.A(a))
    assert float((physics.A(a) - physics.A(b)).norm()) <= float((a - b).norm())


def test_phase_has_the_right_gradient_and_a_finite_one_at_zero():
    physics = PhaseRetrieval((1, 4, 5), 2).double()
    x = noise(1, 1, 4, 5, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(physics.A, (x,))
    dark = torch.zeros(1, 1, 4, 5, dtype=torch.float64)
    back = physics.A_vjp(dark, torch.ones(1, *physics.y_shape, dtype=torch.float64))
    assert bool(back.isfinite().all())


def test_turning_and_moving_leave_the_amplitudes_and_same_view_finds_them():
    x = torch.zeros(1, 1, 12, 10)
    x[..., 2:8, 3:7] = torch.rand(6, 4, generator=torch.Generator().manual_seed(1))
    other = x.flip(-2, -1).roll((1, -2), (-2, -1))
    physics = PhaseRetrieval((1, 12, 10), 4)
    torch.testing.assert_close(physics.A(x), physics.A(other), rtol=1e-4, atol=1e-5)
    assert float((same_view(x, other) - other).abs().max()) == 0
    assert torch.equal(same_view(x, x), x)
    with pytest.raises(ValueError, match="agree in shape"):
        same_view(x, x[..., 1:])


def test_same_view_treats_every_channel_on_its_own():
    x = torch.rand(2, 3, 6, 7, generator=torch.Generator().manual_seed(0))
    other = torch.cat((x[:, :1].flip(-2, -1), x[:, 1:].roll(2, -1)), dim=1)
    assert torch.equal(same_view(x, other), other)


def wave(rows: int, columns: int) -> torch.Tensor:
    """A complex image as two channels, no two turns or phases of it alike."""
    x = torch.rand(1, rows, columns, generator=torch.Generator().manual_seed(2))
    return to_channels(torch.polar(x, 2 * x.roll(3, -1)))


def test_phase_of_a_complex_image_is_that_of_numpy():
    physics = PhaseRetrieval((2, 9, 6), (3, 2), complex_image=True)
    x = wave(9, 6)
    padded = np.pad(to_complex(x).numpy(), ((0, 0), (3, 3), (2, 2)))
    expected = np.abs(np.fft.fftshift(np.fft.fft2(padded, norm="ortho"), axes=(-2, -1)))
    assert physics.y_shape == (1, 15, 10)
    np.testing.assert_allclose(physics.A(x)[:, 0].numpy(), expected, atol=1e-5)
    double = physics.double()
    assert torch.autograd.gradcheck(double.A, (x[..., :9, :6].double().requires_grad_(),))
    with pytest.raises(UserError, match="2 channels"):
        PhaseRetrieval((3, 8, 8), complex_image=True)


def test_same_view_of_a_complex_image_conjugates_and_turns_its_phase():
    x = torch.zeros(1, 2, 12, 10)
    x[..., 2:8, 3:7] = wave(6, 4)
    turned = to_complex(x).flip(-2, -1).conj().roll((1, -2), (-2, -1))
    other = to_channels(turned * torch.polar(torch.tensor(1.0), torch.tensor(0.8)))
    physics = PhaseRetrieval((2, 12, 10), 4, complex_image=True)
    torch.testing.assert_close(physics.A(x), physics.A(other), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(same_view(x, other), other)
    torch.testing.assert_close(same_view(x, x), x)


def test_the_start_of_a_complex_image_fits_its_amplitudes():
    physics = PhaseRetrieval((2, 8, 7), 6, complex_image=True)
    y = physics.A(wave(8, 7))
    start = physics.initial(y)
    assert start.shape == (1, 2, 8, 7)
    assert float(to_complex(start).abs().max()) <= 1 + 1e-6
    assert float((physics.A(start) - y).norm() / y.norm()) < 0.15


def test_the_start_solves_an_easy_case_the_same_way_each_time():
    x = picture(10, 9)
    physics = PhaseRetrieval((1, 10, 9), 5)
    y = physics.A(x)
    before = torch.get_rng_state()
    start = physics.initial(y)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(start, physics.initial(y))
    assert float(start.min()) >= 0
    assert float(start.max()) <= 1
    assert float((physics.A(start) - y).norm() / y.norm()) < 0.1
    grey = physics.A(torch.full_like(x, 0.5))
    assert float((grey - y).norm() / y.norm()) > 0.15, "a constant image must not pass this test"


def test_the_start_of_a_batch_is_that_of_its_images(monkeypatch):
    monkeypatch.setattr("untrained.physics.phase.CYCLES", 20)
    physics = PhaseRetrieval((2, 8, 6), 3)
    y = physics.A(torch.rand(2, 2, 8, 6, generator=torch.Generator().manual_seed(0)))
    alone = torch.cat([physics.initial(one[None]) for one in y])
    torch.testing.assert_close(physics.initial(y), alone, rtol=1e-3, atol=1e-3)


def test_the_start_takes_amplitudes_of_zero_as_not_measured():
    """Zeros taken at their word would pull the image's own amplitudes there towards zero."""
    x = picture(10, 8)
    physics = PhaseRetrieval((1, 10, 8), 5)
    y = physics.A(x)
    held = physics.holdout(y, 0.2, torch.Generator().manual_seed(1))
    start = physics.initial(y * ~held)
    predicted = physics.A(start)[held]
    assert float((predicted - y[held]).norm()) < 0.5 * float(y[held].norm())


def test_phase_holds_out_opposite_frequencies_together():
    for size, pad in (((8, 8), 4), ((7, 9), 2)):
        physics = PhaseRetrieval((1, *size), pad)
        y = physics.A(torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(0)))
        held = physics.holdout(y, 0.2, torch.Generator().manual_seed(0))[0, 0].double()
        rows, columns = held.shape
        autocorrelation = torch.fft.ifft2(torch.fft.ifftshift(held))
        assert float(autocorrelation.imag.abs().max()) < 1e-9, "symmetric about zero frequency"
        assert held[rows // 2, columns // 2] == 0
        assert 0.05 < float(held.mean()) < 0.4


def test_a_problem_leaves_the_scale_of_unit_images_alone():
    physics = PhaseRetrieval((1, 10, 8), 4)
    y = physics.A(picture(10, 8))
    problem = Problem(y, physics)
    assert torch.equal(problem.y, y)
    assert problem.norm_squared == 1.0
    assert not problem.linear
