"""A volume that is measured slice by slice (`Stack`) as many problems of one slice."""

from __future__ import annotations

import copy

from untrained.physics.base import Physics
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


def _slice(volume: Problem, physics: Physics, index: int, part: Problem | None) -> Problem:
    one = copy.copy(volume)
    one.forget()
    one.physics, one.part, one.importance = physics, part, None
    one._norms, one._means = {}, {}
    one.x_shape = physics.x_shape or volume.x_shape[:1] + volume.x_shape[2:]
    one.y = volume.y[:, :, index]
    one.keep = None if volume.keep is None else volume.keep[:, :, index]
    return one
