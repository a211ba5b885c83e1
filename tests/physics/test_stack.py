"""Volumes: a 2-D operator on every slice, and operators that take volumes themselves."""

from __future__ import annotations

import pytest
import torch

import untrained as ut
from untrained.classical import baseline, baseline_name
from untrained.data.phantoms import birdcage_maps
from untrained.errors import UserError
from untrained.metrics import psnr
from untrained.physics import CT, MRI, Denoise, Inpaint, NonlinearBlur, Stack, dot_test
from untrained.physics import stack as stack_file
from untrained.problem.slices import slices_of

DEPTH, SIDE = 6, 16


def maps() -> torch.Tensor:
    coils = torch.as_tensor(birdcage_maps(3, (SIDE, SIDE)))
    return coils / coils.abs().square().sum(0, keepdim=True).sqrt()


def mri(per_slice: bool = False) -> MRI:
    mask = torch.zeros(SIDE)
    mask[::2] = 1
    mask[6:10] = 1
    turn = torch.polar(torch.ones(DEPTH), torch.linspace(0, 2, DEPTH))[:, None, None, None]
    return MRI(mask, maps() * turn if per_slice else maps())


def ct() -> CT:
    return CT((SIDE, SIDE), torch.linspace(0, 170, 12), SIDE)


def ball(side: int = 24) -> torch.Tensor:
    axis = torch.linspace(-1, 1, side)
    r = (axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + axis[None, None] ** 2).sqrt()
    return ((r < 0.8) * 0.6 + (r < 0.4) * 0.3)[None, None]


@pytest.mark.parametrize("slices", [mri(), ct()], ids=["mri", "ct"])
def test_every_slice_is_measured_alone(slices):
    stack = Stack(slices, DEPTH)
    x = torch.rand(2, *stack.x_shape)
    y = stack.A(x)
    for d in range(DEPTH):
        assert torch.allclose(y[:, :, d], slices.A(x[:, :, d]), atol=1e-6)
    assert stack.task == slices.task


@pytest.mark.parametrize("slices", [mri(), mri(per_slice=True), ct()], ids=["mri", "maps", "ct"])
def test_adjoint(slices):
    assert dot_test(Stack(slices, DEPTH)) < 1e-4


@pytest.mark.parametrize("slices", [mri(), mri(per_slice=True)], ids=["mri", "maps"])
def test_a_stack_of_whole_columns_is_solved_in_hybrid_space(slices):
    stack = Stack(slices, DEPTH)
    x = torch.rand(2, *stack.x_shape)
    problem = ut.Problem(stack.A(x[:1]), stack)
    assert problem.quick().y.shape[-1] < problem.y.shape[-1]
    torch.testing.assert_close(problem.misfit(x[1:]), problem.cost(problem.A(x[1:]) - problem.y))
    back = problem.quick().A_adjoint(problem.quick().A(x[1:]))
    torch.testing.assert_close(back, problem.A_adjoint(problem.A(x[1:])), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("slices", [mri(), mri(per_slice=True), ct()], ids=["mri", "maps", "ct"])
def test_stripes_of_a_volume_change_nothing(slices, monkeypatch):
    stack = Stack(slices, DEPTH)
    x = torch.rand(2, *stack.x_shape, requires_grad=True)
    problem = ut.Problem(stack.A(x[:1]), stack)

    def found():
        quick = problem.quick()
        y = stack.A(x)
        (slope,) = torch.autograd.grad(problem.misfit(x).sum(), x)
        return y, stack.A_adjoint(y), quick.y, slope

    at_once = found()
    monkeypatch.setattr(stack_file, "STRIPE", 2 * 4 * y_of_slice(slices).numel())
    striped = found()
    for a, b in zip(at_once, striped, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_a_stack_keeps_a_stripe_of_coil_images_at_a_time(monkeypatch):
    stack, sizes = Stack(mri(), DEPTH), []
    monkeypatch.setattr(stack_file, "STRIPE", 2 * 4 * y_of_slice(stack.physics).numel())
    plain = MRI.A
    monkeypatch.setattr(MRI, "A", lambda self, x: sizes.append(len(x)) or plain(self, x))
    stack.A(torch.rand(1, *stack.x_shape))
    assert sizes == [2, 2, 2]


class Half:
    """Somebody's own operator, which says no more than it must."""

    x_shape = (1, SIDE, SIDE)

    def A(self, x):
        return x[..., ::2]

    def A_adjoint(self, y):
        full = y.new_zeros(*y.shape[:-1], SIDE)
        full[..., ::2] = y
        return full


def test_slices_may_have_an_operator_of_ones_own():
    stack = Stack(Half(), DEPTH)
    x = ball(SIDE)[:, :, 5 : 5 + DEPTH]
    assert torch.equal(stack.A(x), x[..., ::2])
    assert dot_test(stack) < 1e-5
    result = ut.reconstruct(stack.A(x), stack, steps=2, progress=False)
    assert result.image.shape == x.shape


def y_of_slice(slices):
    return slices.A(torch.rand(DEPTH, *slices.x_shape))[0]


@pytest.mark.parametrize("slices", [mri(), mri(per_slice=True), ct()], ids=["mri", "maps", "ct"])
def test_the_classical_image_of_a_stack_is_that_of_its_slices(slices):
    stack = Stack(slices, DEPTH)
    wave = torch.arange(SIDE) / 1.3
    texture = 1 + 0.4 * wave.sin() * (wave[:, None] + wave).cos()  # no flat pieces
    x = (texture * ball(SIDE)[:, :, 5 : 5 + DEPTH]).repeat(1, stack.x_shape[0], 1, 1, 1)
    volume = ut.Problem(stack.A(x), stack)
    found = baseline(volume)
    assert "slice by slice" in baseline_name(volume)
    for d, one in enumerate(slices_of(volume)):
        alone = ut.Problem(stack.A(x)[:, :, d], stack.of_slice(d))
        assert torch.allclose(volume.to_units(found)[:, :, d], volume.to_units(baseline(one)))
        torch.testing.assert_close(one.to_units(one.estimate()), alone.to_units(alone.estimate()))


def test_slices_go_on_from_the_part_fitted_before():
    stack = Stack(mri(), DEPTH)
    x = ball(SIDE)[:, :, 5 : 5 + DEPTH].repeat(1, 2, 1, 1, 1)
    volume = ut.Problem(stack.A(x), stack)
    fit, _ = volume.split(0.2, seed=0)
    after = volume.after(fit)
    assert [one.part for one in slices_of(after)] == list(slices_of(fit))
    assert all(one.part is None for one in slices_of(volume))
    assert slices_of(ut.Problem(torch.rand(1, 1, 4, 8, 8), Denoise())) == ()


def test_maps_of_every_slice_are_its_own():
    stack, one = Stack(mri(per_slice=True), DEPTH), mri(per_slice=True).maps
    x = torch.rand(1, *stack.x_shape)
    alone = MRI(mri().mask[0, 0, 0, 0], one[4:5])
    assert torch.allclose(stack.A(x)[:, :, 4], alone.A(x[:, :, 4]), atol=1e-6)


def test_the_same_columns_are_held_out_in_every_slice():
    stack = Stack(mri(), DEPTH)
    y = stack.A(torch.rand(1, *stack.x_shape))
    held = stack.holdout(y, 0.2, torch.Generator().manual_seed(0))
    assert held.shape == y.shape
    assert held.any()
    assert (held == held[:, :, :1]).all()


def test_a_scan_of_several_slices_is_reconstructed_as_a_volume():
    stack = Stack(mri(), DEPTH)
    x = torch.cat([torch.rand(1, 1, DEPTH, SIDE, SIDE)] * 2, dim=1)
    result = ut.reconstruct(stack.A(x), stack, steps=4, progress=False)
    assert result.image.shape == x.shape
    assert result.about.classical.shape == x.shape


def test_a_volume_is_denoised_and_filled():
    x = ball()
    noise = 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    tv = ut.reconstruct(x + noise, Denoise(), "tv", progress=False).image
    assert psnr(tv, x, data_range=1.0) > psnr(x + noise, x, data_range=1.0) + 8
    mask = torch.rand(x.shape[2:], generator=torch.Generator().manual_seed(1)) < 0.5
    physics = Inpaint(mask, tuple(x.shape[1:]))
    filled = ut.reconstruct(physics.A(x), physics, steps=5, progress=False)
    assert filled.image.shape == x.shape
    assert psnr(filled.about.classical, x, data_range=1.0) > 20


def test_wrong_input():
    with pytest.raises(UserError, match="linear operator on slices"):
        Stack(NonlinearBlur(torch.ones(3, 3) / 9, (1, 16, 16)), 3)
    with pytest.raises(UserError, match="depth must be a whole number of at least 2"):
        Stack(mri(), 1)
    with pytest.raises(ValueError, match="6 slices on axis 2"):
        Stack(mri(), DEPTH).A_adjoint(torch.zeros(1, 2, 5, 3, SIDE, SIDE))
