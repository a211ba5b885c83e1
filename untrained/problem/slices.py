"""What is measured slice by slice (`Stack`) or frame by frame (`Series`), as many problems."""

from __future__ import annotations

import copy

from untrained.physics.base import Physics
from untrained.physics.series import Series
from untrained.physics.stack import Stack
from untrained.problem.problem import Problem


def slices_of(volume: Problem) -> tuple[Problem, ...]:
    """List every slice of one volume as a problem in the volume's units; () of what is no stack.

    They are made once, so that what is computed for a slice is not computed again.
    """
    stack = volume.physics
    if not isinstance(stack, Stack) or len(volume) > 1:
        return ()
    if not volume.slices:
        depth = volume.x_shape[1]
        parts = [None] * depth if volume.part is None else slices_of(volume.part)
        volume.slices = tuple(_slice(volume, stack.of_slice(d), d, parts[d]) for d in range(depth))
    return volume.slices


def frames_of(series: Problem) -> tuple[Problem, ...]:
    """List every frame of one series as a problem in the series' units; () of what is none.

    They are made once, so that what is computed for a frame is not computed again.
    """
    physics = series.physics
    if not isinstance(physics, Series) or len(series) > 1:
        return ()
    if not series.slices:
        count = physics.length
        parts = [None] * count if series.part is None else frames_of(series.part)
        series.slices = tuple(
            _slice(series, physics.of_frame(t), t, parts[t]) for t in range(count)
        )
    return series.slices


def _slice(volume: Problem, physics: Physics, index: int, part: Problem | None) -> Problem:
    one = copy.copy(volume)
    one.forget()
    one.physics, one.part, one.importance = physics, part, None
    one._norms, one._means = {}, {}
    one.x_shape = physics.x_shape or volume.x_shape[:1] + volume.x_shape[2:]
    one.y = volume.y[:, :, index]
    one.keep = None if volume.keep is None else volume.keep[:, :, index]
    return one
