"""MRI whose coil maps are corrected: what is fixed, what can be found, and what others see."""

import numpy as np
import pytest
import torch

from untrained import Problem
from untrained.data.phantoms import birdcage_maps
from untrained.errors import UserError
from untrained.physics import MRI, JointMRI

SIZE = (18, 15)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def guess() -> torch.Tensor:
    """Make maps of three coils whose brightness varies, with a corner that no coil sees."""
    maps = torch.from_numpy(birdcage_maps(3, SIZE)) * torch.linspace(0.5, 2, SIZE[1])
    maps[:, :4, :4] = 0
    return maps


def joint() -> JointMRI:
    return JointMRI(torch.arange(SIZE[1]) % 2 == 0, guess(), orders=4)


def test_without_a_correction_it_is_mri_with_the_guess() -> None:
    x, physics = draw(2, 2, *SIZE), joint()
    plain = MRI(torch.arange(SIZE[1]) % 2 == 0, guess())
    torch.testing.assert_close(physics.A(x), plain.A(x))
    torch.testing.assert_close(physics.at(**physics.unknowns()).A(x), plain.A(x))


def test_a_correction_trades_neither_brightness_nor_phase_with_the_image() -> None:
    """Root of the sum of squares and phase of <S0, S> stay; every image has maps of its own."""
    u = draw(2, 2, 3, 4, 4)
    physics = joint()
    found = torch.from_numpy(physics.named({"maps": u})["maps"])
    size = guess().norm(dim=0)
    torch.testing.assert_close(found.norm(dim=1), size.expand(2, *SIZE))
    agreement = (guess().conj() * found).sum(1)
    assert float((agreement.imag.abs() / size.square().clamp_min(1e-9)).max()) < 1e-5
    assert bool((agreement.real[:, size > 0] > 0).all())
    assert float((found - guess()).abs().max()) > 0.3
    x = draw(2, 2, *SIZE, seed=1)
    both = physics.at(maps=u)
    for g in range(2):
        alone = physics.known({"maps": u[g : g + 1]})
        torch.testing.assert_close(both.A(x)[g : g + 1], alone.A(x[g : g + 1]))
        assert not alone.unknowns()


def test_the_gradient_is_that_of_finite_differences() -> None:
    physics, x = joint().double(), draw(1, 2, *SIZE).double()
    y = draw(1, 2, 3, *SIZE, seed=2).double()

    def loss(u: torch.Tensor) -> torch.Tensor:
        return (physics.at(maps=u).A(x) - y).square().sum()

    u = 0.3 * draw(1, 2, 3, 4, 4, seed=3).double()
    assert torch.autograd.gradcheck(loss, u.requires_grad_())


def test_shifted_maps_are_found_back_where_the_image_is_known() -> None:
    """A hundred gradient steps leave less than a third of the squared error, and go on down."""
    right = torch.from_numpy(birdcage_maps(4, (24, 24)))
    wrong = right.roll((3, -2), (1, 2))
    wrong[:, :3], wrong[:, :, -2:] = wrong[:, 3:4], wrong[:, :, -3:-2]
    x = draw(1, 2, 24, 24)
    y = MRI(torch.ones(24, 24), right).A(x)
    physics = JointMRI(torch.ones(24, 24), wrong)
    u = physics.unknowns()["maps"].requires_grad_()
    steps = torch.optim.Adam([u], lr=0.02)
    errors = []
    for _ in range(100):
        steps.zero_grad()
        error = (physics.at(maps=u).A(x) - y).square().mean()
        error.backward()
        steps.step()
        errors.append(float(error.detach()))
    assert errors[-1] < errors[len(errors) // 2]
    assert errors[-1] < 0.3 * errors[0]


def test_maps_are_given_back_in_the_units_they_came_in() -> None:
    """An operator far from one is rescaled inside a problem."""
    physics = JointMRI(torch.ones(SIZE), 1e6 * guess(), orders=2)
    problem = Problem(physics.A(draw(1, 2, *SIZE)), physics)
    named = problem.physics.named(problem.physics.unknowns())["maps"]
    np.testing.assert_allclose(named, 1e6 * guess().numpy(), rtol=1e-5)


def test_a_single_coil_and_several_sets_are_refused() -> None:
    with pytest.raises(UserError, match="two coils or more"):
        JointMRI(torch.ones(SIZE), guess()[:1])
    with pytest.raises(UserError, match="one set"):
        JointMRI(torch.ones(SIZE), guess()[None, None].expand(1, 2, -1, -1, -1))
