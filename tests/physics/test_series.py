"""A time series: every frame measured by an operator of its own."""

from __future__ import annotations

import pytest
import torch

import untrained as ut
from untrained.core.recipe import Recipe
from untrained.errors import UserError
from untrained.methods.house import House
from untrained.nets import Compact
from untrained.physics import MRI, Denoise, Inpaint, NonlinearBlur, Series, SuperRes
from untrained.problem.slices import frames_of

FRAMES, SIDE = 5, 16


def holes() -> list[Inpaint]:
    generator = torch.Generator().manual_seed(0)
    masks = (torch.rand(FRAMES, SIDE, SIDE, generator=generator) < 0.6).float()
    return [Inpaint(mask, (2, SIDE, SIDE)) for mask in masks]


def columns() -> list[MRI]:
    masks = torch.zeros(FRAMES, SIDE)
    masks[:, 7:10] = 1
    for t in range(FRAMES):
        masks[t, t % 3 :: 5] = 1
    return [MRI(mask, x_shape=(2, SIDE, SIDE)) for mask in masks]


KINDS = {
    "holes": holes(),
    "columns": columns(),
    "one": [Denoise((1, SIDE, SIDE))] * FRAMES,
    "coarse": [SuperRes((3, SIDE, SIDE), 2)] * FRAMES,
}


@pytest.mark.parametrize("name", KINDS)
def test_every_frame_is_measured_by_its_own_operator(name):
    """A and its adjoint, frame t of them, are those of operator t."""
    series = Series(KINDS[name])
    x = torch.rand(2, *series.x_shape)
    y = series.A(x)
    back = series.A_adjoint(y)
    for t, one in enumerate(KINDS[name]):
        torch.testing.assert_close(y[:, :, t], one.A(x[:, :, t]))
        torch.testing.assert_close(back[:, :, t], one.A_adjoint(y[:, :, t]))
    assert series.task == KINDS[name][0].task


@pytest.mark.parametrize("name", ["holes", "columns", "one"])
def test_frames_hold_out_other_measurements(name):
    """Check that held-out pixels were measured, and differ from frame to frame."""
    series = Series(KINDS[name])
    y = series.A(torch.rand(1, *series.x_shape) + 0.1)
    held = series.holdout(y, 0.3, torch.Generator().manual_seed(0))
    assert held.shape == y.shape
    assert not torch.equal(held[:, :, 0], held[:, :, 1])
    if series.mask is not None:
        assert not bool((held & (series.mask == 0)).any())


def test_whole_lines_of_all_frames_are_held_out_together():
    """Columns are drawn whole, outside the centre, at least three of all frames."""
    series = Series(columns())
    y = series.A(torch.rand(1, *series.x_shape))
    held = series.scattered(y, 0.05, torch.Generator().manual_seed(0))[0, 0, :, 0]
    lines = held.any(1)
    assert torch.equal(held, lines[:, None].expand_as(held))
    assert int(lines.sum()) == 3
    assert not bool(lines[:, 7:10].any())


def test_units_of_frames_are_their_own():
    """No unit of the measurements belongs to two frames."""
    series = Series(holes())
    y = series.A(torch.rand(1, *series.x_shape))
    numbers = series.units(y)[0, 0]
    each = [set(frame.flatten().tolist()) for frame in numbers]
    assert sum(map(len, each)) == len(set().union(*each))


def test_a_frame_alone_is_a_problem_in_the_units_of_the_series():
    """The scale of a frame's problem is that of the series, its y the frame's."""
    series = Series(columns())
    y = 7 * series.A(torch.rand(1, *series.x_shape))
    problem = ut.Problem(y, series)
    for t, one in enumerate(frames_of(problem)):
        assert torch.equal(one.y, problem.y[:, :, t])
        assert torch.equal(one.scale, problem.scale)


@pytest.mark.parametrize(("frames", "scales"), [(5, 2), (8, 3), (40, 3)])
def test_a_short_series_is_not_reflected_in_time(frames, scales):
    """The network has as many scales as its axis of time can be halved to."""
    assert len(Compact(widths=(4, 6, 8)).for_series(frames).encoder(1, 3).descents) + 1 == scales
    series = Series([Denoise((1, SIDE, SIDE))] * 5)
    problem = ut.Problem(torch.rand(1, *series.x_shape), series)
    built = Recipe(method=House(), net=Compact(widths=(4, 6, 8, 8))).build(problem)
    assert built.smallest <= 5


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        ([Denoise((1, 4, 4))], "at least two frames"),
        ([Denoise((1, 4, 4)), Denoise((1, 4, 5))], "frames of a series are alike"),
        ([Denoise(), Denoise()], "x_shape"),
        ([NonlinearBlur(torch.ones(3, 3), (1, 4, 4))] * 2, "linear operators"),
    ],
)
def test_what_is_no_series_is_refused(frames, said):
    with pytest.raises(UserError, match=said):
        Series(frames)
