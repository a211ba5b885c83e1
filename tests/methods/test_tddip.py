"""Time-dependent DIP: points in time, and one network for all frames."""

from __future__ import annotations

import pytest
import torch

import untrained as ut
from untrained.core.engine import Engine
from untrained.core.recipe import Recipe
from untrained.core.state import State
from untrained.errors import UserError
from untrained.methods import TDDIP
from untrained.nets import TimeNet
from untrained.nets.timenet import helix
from untrained.physics import Denoise, Inpaint, Series
from untrained.solver.procedure import solve_recipe

SMALL = TimeNet(6, 2, 8)


def problem(frames: int = 5) -> ut.Problem:
    y = torch.rand(1, 1, frames, 11, 14, generator=torch.Generator().manual_seed(0))
    return ut.Problem(y, Series([Denoise((1, 11, 14))] * frames))


def points(method: TDDIP, frames: int = 5) -> torch.Tensor:
    one = problem(frames)
    state = State(one, Recipe(method=method, net=SMALL).build(one), 0)
    method.start(state)
    return state["z"][0]


def test_a_helix_returns_where_its_period_ends():
    """After a turn cosine and sine are what they were, and time is not."""
    z = helix(9, 2.0, torch.zeros(1))
    torch.testing.assert_close(z[0, :2], z[4, :2], atol=1e-5, rtol=0)
    assert z[:, 2].tolist() == pytest.approx([k / 8 for k in range(9)])
    assert torch.equal(points(TDDIP(1)), helix(5, 1.0, torch.zeros(1)))


def test_a_line_is_straight_and_a_walk_is_not():
    line, walk = (points(TDDIP(1, input=name)) for name in ("line", "walk"))
    steps = line.diff(dim=0)
    torch.testing.assert_close(steps, steps[:1].expand_as(steps), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(walk.diff(dim=0)[0], walk.diff(dim=0)[1])


def test_frames_at_one_point_are_one_picture():
    """With no turn of the helix and no time frames would be one; what they share is the network.

    A walk of steps zero puts all frames at one point: they are the same picture, nearest the mean.
    """
    one = problem()
    method = TDDIP(150, input="walk", step=0.0)
    recipe = Recipe(method=method, net=SMALL, engine=Engine("adam", lr=0.02, precision="fp32"))
    image = solve_recipe(recipe, one).image
    torch.testing.assert_close(image, image[:, :, :1].expand_as(image))
    mean = one.y.mean(2, keepdim=True).expand_as(one.y)
    assert (image - mean).norm() < (image - one.y).norm()


def test_what_one_frame_hides_the_others_tell():
    """A still series, other pixels in each frame: missing ones are predicted."""
    generator = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(torch.linspace(0, 3, 16), torch.linspace(0, 3, 16), indexing="ij")
    image = (0.5 + 0.4 * (x + y).sin() * x.cos()).expand(1, 1, 8, 16, 16)
    masks = (torch.rand(8, 16, 16, generator=generator) < 0.3).float()
    physics = Series([Inpaint(mask, (1, 16, 16)) for mask in masks])
    recipe = Recipe(
        method=TDDIP(200), net=TimeNet(12, 2, 16), engine=Engine("adam", lr=0.02, precision="fp32")
    )
    found = solve_recipe(recipe, ut.Problem(physics.A(image), physics)).image
    hidden = physics.mask == 0
    assert (found - image)[hidden].square().mean() < 0.1 * (image - 0.5)[hidden].square().mean()


def test_one_frame_a_step_is_fitted_however_small_it_is():
    """The coarse picture keeps two pixels a side, whose variance normalises a frame alone."""
    y = torch.rand(1, 1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    one = ut.Problem(y, Series([Denoise((1, 16, 16))] * 3))
    recipe = Recipe(method=TDDIP(4, frames=1), net=TimeNet(4, scales=4, hidden=8))
    assert recipe.build(one).coarse == (2, 2)
    image = solve_recipe(recipe, one).image
    assert bool(image.isfinite().all())
    assert TimeNet(4, sides=(33, 64)).build(3, 1).coarse == (3, 4)  # as in the paper


def test_no_series_and_no_such_input_are_refused():
    with pytest.raises(UserError, match="--series"):
        solve_recipe(
            Recipe(method=TDDIP(1), net=SMALL),
            ut.Problem(torch.rand(1, 1, 3, 8, 8), Denoise((1, 3, 8, 8))),
        )
    with pytest.raises(UserError, match="helix, line, walk"):
        TDDIP(input="circle")
