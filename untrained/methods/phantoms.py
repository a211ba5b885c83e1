"""Random ellipses and rectangles to learn from, as in Educated DIP's pre-training."""

from __future__ import annotations

import torch
from torch import Tensor

from untrained.core.state import State

SHAPES = 20


def phantoms(s: State, complex_image: bool = False) -> Tensor:
    """Draw a new image for every problem at every step, `(G, C, ...)`, largest magnitude 1.

    Up to 20 ellipses or rectangles of either sign on black, cut off below 0, their edges about a
    pixel wide; channels share the shapes and have intensities of their own. A complex image gets
    a smooth phase.
    """
    made = [_one(s, g, complex_image) for g in range(s.size)]
    return torch.stack(made)


def _one(s: State, g: int, complex_image: bool) -> Tensor:
    channels, *sides = s.problem.x_shape
    colours = 1 if complex_image else channels
    numbers = 2 * len(sides) + 3 + colours  # centre, half axes, angle, kind, a spare one, colours
    given = s.noise(f"phantom {g}", (SHAPES, numbers), "uniform")[0]
    spare = given[:, 2 * len(sides) + 2]
    axes = [torch.linspace(-1, 1, side, device=s.device) for side in sides]
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    image = torch.zeros(colours, *sides, device=s.device)
    for shape in given[: int(SHAPES * float(spare[0])) + 1]:
        image += _colours(shape[-colours:], grid) * _shape(shape, grid)
    image = image.clamp_min(0)
    image = image / image.max().clamp_min(1e-6)
    if not complex_image:
        return image
    turn, tilt, bend = 2 * torch.pi * spare[1], 4 * spare[2:4] - 2, 4 * spare[4] - 2
    phase = turn + tilt[0] * grid[0] + tilt[1] * grid[-1] + bend * grid[0] ** 2
    return torch.cat([image * phase.cos(), image * phase.sin()])


def _colours(values: Tensor, grid: Tensor) -> Tensor:
    """Intensities in [-0.6, 1)."""
    return (1.6 * values - 0.6).reshape(-1, *[1] * (grid.ndim - 1))


def _shape(v: Tensor, grid: Tensor) -> Tensor:
    """1 inside, 0 outside; turned in the plane of the last two axes."""
    dim = len(grid)
    centre = 1.4 * v[:dim] - 0.7
    half = 0.04 + 0.5 * v[dim : 2 * dim] ** 2
    angle = torch.pi * v[2 * dim]
    away = [grid[axis] - centre[axis] for axis in range(dim)]
    if dim > 1:
        cos, sin = angle.cos(), angle.sin()
        away[-2], away[-1] = cos * away[-2] + sin * away[-1], cos * away[-1] - sin * away[-2]
    ratio = torch.stack([a / h for a, h in zip(away, half, strict=True)])
    radius = ratio.abs().amax(0) if v[2 * dim + 1] < 0.4 else ratio.square().sum(0).sqrt()
    return ((1 - radius) * half.min() * max(grid.shape[1:]) / 2 + 0.5).clamp(0, 1)
