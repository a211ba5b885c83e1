"""Images at O(1): the first image of a problem, its level, and what is divided by it."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from untrained.maths import level, magnitude, per_problem, sum_squares
from untrained.physics.base import Physics
from untrained.physics.rescaled import Rescaled
from untrained.problem.data_term import DataTerm
from untrained.tasks import find_task

USUAL = 2.0**14
"""Units within this factor of 1 are left as they are."""


def usual_units(y: Tensor, physics: Physics, x_shape: tuple[int, ...]) -> tuple[float, float]:
    """Find powers of two that bring measurements and operator to O(1).

    Sums of squares of data in volts or of lengths in metres leave the range of single precision,
    and a power of two changes no other bit.

    Args:
        y: measurements `(G, ...)`.
        physics: a linear operator.
        x_shape: shape of an image without the batch axis.

    Returns:
        What y and what the operator is to be divided by; 1 and 1 where both are usual.
    """
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(len(y), *x_shape, generator=draw).to(y.device)
    few = physics.few_views()
    with torch.no_grad():
        gain = float((few or physics).A(x).double().norm() / x.double().norm())
    return _power_of_two(float(y.abs().max())), _power_of_two(gain)


DIM, BRIGHT = 0.05, 1.5
POOL = 4
ENERGY = 0.35
"""Root mean square of an ordinary picture in [0, 1]; tells the level where there are no pixels."""


def own_level(y: Tensor, physics: Physics) -> Tensor:
    """Find the level of photographs that are plainly not in [0, 1], `(G,)`; 1 for all others.

    Noise does not make a picture bright: the means of 4 x 4 pixels count. Of coded measurements
    (compressed sensing, amplitudes) the energy tells, which is that of the image.

    Args:
        y: measurements `(G, ...)`.
        physics: whose images live in [0, 1], and that scale with its measurements.
    """
    ones = y.new_ones(len(y))
    if not physics.unit_range or physics.degree != 1:
        return ones
    row = find_task(physics.task)
    if row.measures == "codes":
        pixels = math.prod(physics.x_shape or (1,))
        typical = (sum_squares(y) / pixels).sqrt()
        usual = (typical == 0) | ((typical > DIM / 4) & (typical < BRIGHT))
        return torch.where(usual, ones, typical / ENERGY)
    if y.ndim not in (4, 5) or row.measures != "pixels":
        return ones
    planes = y.abs().flatten(1, -3)
    side = min(POOL, *planes.shape[-2:])
    largest = functional.avg_pool2d(planes, side).flatten(1).amax(1)
    if row.missing_pixels:  # few of the pixels of a square may be measured
        largest = planes.flatten(1).quantile(0.999, dim=1) if planes[0].numel() < 2**24 else ones
    usual = (largest == 0) | ((largest >= DIM) & (largest <= BRIGHT))
    if bool(usual.all()):  # nearly always; a quantile of a large scan takes seconds
        return ones
    return torch.where(usual, ones, level(planes))


def _power_of_two(size: float) -> float:
    if not 0 < size < math.inf or 1 / USUAL <= size <= USUAL:
        return 1.0
    return 2.0 ** round(math.log2(size))


def in_units(physics: Physics, gain: float, x_shape: tuple[int, ...]) -> Physics:
    """Divide a linear operator by a number."""
    if gain == 1:
        return physics
    other = physics.rescaled(gain)
    return Rescaled(physics, gain, x_shape) if other is None else other


def matched_adjoint(p: DataTerm) -> Tensor:
    """Find c A^H y with the c for which A of it is closest to y; see `Problem.estimate`."""
    with torch.no_grad():
        first = p.physics.initial(p.y)
        if first is not None:
            return first
        back = p.A_adjoint(p.y)
        image = back * per_problem(least_squares_gain(p, back), back)
        return image if p.keep is None else p.physics.fill(image, p.keep)


def matched_fbp(p: DataTerm) -> Tensor | None:
    """Find c B y, B the filtered backprojection, with the c for which A of it is closest to y.

    Views that are held out or missing only lower the brightness of B y; c restores it.

    Returns:
        `(G, C, ...)`; None where the physics has no `fbp`, or c is not positive.
    """
    with torch.no_grad():
        image = p.physics.fbp(p.y)
        if image is None or tuple(image.shape[1:]) != p.x_shape:
            return None
        gain = least_squares_gain(p, image)
        return image * per_problem(gain, image) if bool((gain > 0).all()) else None


def least_squares_gain(p: DataTerm, image: Tensor) -> Tensor:
    """Find the c that minimises ||c A x - y||^2 for each image x, `(G,)`; 0 where A x is 0."""
    few = p.physics.few_views()
    forth = p.A(image) if few is None else p.visible(few.A(image).to(p.y.dtype))
    if few is not None and not bool(sum_squares(forth).all()):  # all of them are held out
        forth = p.A(image)
    return (forth * p.y).flatten(1).sum(1) / sum_squares(forth).clamp_min(1e-30)


def image_levels(p: DataTerm) -> tuple[Tensor, Tensor]:
    """Find the level of the image that y is of, and that of c A^H y relative to it, `(G,)` each.

    CT takes it from filtered backprojection: the unfiltered one is blurred, and its level up to
    five times off (more where the object is small). Other operators, and CT where that fails, take
    it from c A^H y, so that the second number is 1.
    """
    adjoint, image = image_level(matched_adjoint(p), p.task), matched_fbp(p)
    if image is None:
        return adjoint, torch.ones_like(adjoint)
    found = image_level(image, p.task)
    found = torch.where(found.isfinite() & (found > 0), found, adjoint)
    return found, adjoint / found


def image_level(image: Tensor, task: str) -> Tensor:
    """Take the 99.9th percentile of the magnitude of each image, 1 for one of zeros, `(G,)`."""
    paired = find_task(task).complex_image == "always"
    return level(magnitude(image) if paired else image.abs())


def degree_scale(scale: Tensor, physics: Physics) -> Tensor:
    """Return what scales the measurements where `scale` scales the image."""
    return scale ** (1.0 if physics.degree is None else physics.degree)
