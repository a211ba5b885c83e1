"""Network inputs that several papers share."""

from __future__ import annotations

import torch
from torch import Tensor

from untrained.core.state import State
from untrained.errors import UserError
from untrained.maths import per_problem, sum_squares
from untrained.problem.scaling import least_squares_gain


def uniform_input(s: State, channels: int, amplitude: float) -> Tensor:
    """z ~ U(0, amplitude) of the input's size, `(G, channels, ...)`: DIP's fixed noise."""
    return amplitude * s.noise("z", (channels, *s.input_sides), "uniform")


def coordinates(s: State, low: float, high: float) -> Tensor:
    """Make the coordinates of every pixel, `(G, axes, ...)`: `low` to `high` along every axis."""
    axes = [torch.linspace(low, high, side, device=s.device) for side in s.input_sides]
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    return grid.expand(s.size, *grid.shape)


def pixel_coordinates(s: State, method: str, low: float, high: float) -> Tensor:
    """As `coordinates`, for networks of two of them.

    Raises:
        UserError: the image has not two axes.
    """
    if len(s.input_sides) != 2:
        raise UserError(f"{method} takes images of two axes, not {len(s.input_sides)}")
    return coordinates(s, low, high)


def jittered(s: State, size: float) -> Tensor:
    """z + size * eps_t with fresh standard normal eps_t at every step."""
    z = s["z"]
    return z if size == 0 else torch.add(z, s.noise("jitter", tuple(z.shape[1:])), alpha=size)


def guides(s: State, method: str) -> Tensor:
    """Return the clean images of similar content that came with the problem, `(G, M, C, ...)`.

    Raises:
        UserError: there are none.
    """
    guide = s.problem.guide
    if guide is None:
        raise UserError(
            f"{method} needs clean images of similar content: give --guide FILE, or guide= in "
            "Python"
        )
    return guide.expand(s.size, *guide.shape[1:])


def nearest_guide(s: State, method: str) -> Tensor:
    """Choose the clean image nearest to the scaled A^H y, `(G, C, ...)`; raises as `guides`."""
    given, estimate = guides(s, method), s.problem.estimate()
    apart = [sum_squares(given[:, i] - estimate) for i in range(given.shape[1])]
    nearest = torch.stack(apart, dim=1).argmin(1)
    return given[torch.arange(s.size, device=given.device), nearest]


def learned_level(s: State) -> Tensor:
    r"""Find the factor between images as a learned network draws them and network units.

    .. math:: c = \langle A f_0, y \rangle / \|A f_0\|^2

    with f_0 the network's image before the first step. The images that it was learned from had
    levels of their own, which no measurement told; c f_0 has the brightness that fits y best.

    Returns:
        `(G, 1, ...)`; 1 where there is nothing to fit: images in [0, 1], an operator that is
        nonlinear, a network of which a part was not learned, or a c that is not positive.
    """
    problem = s.problem
    one = torch.ones(s.size, *[1] * len(problem.x_shape), device=s.device)
    if problem.unit_range or not problem.linear or not s.given or s.given != s.weights.keys():
        return one
    with torch.no_grad():
        gain = per_problem(least_squares_gain(problem, s.net(s["z"])), one)
    return torch.where(gain.isfinite() & (gain > 0), gain, one)
