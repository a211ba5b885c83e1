"""Noise in the kept pixels beside missing ones: how much there is, and what is made of them."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from untrained.problem import Problem

GRAIN, SMALL, DOUBT = 4 / 255, 40, 3
"""Noise counts from GRAIN (1 + SMALL / sqrt(pixels)) (1 + DOUBT / sqrt(pairs)) on. Clean pictures
have grain of their own, from a camera or film, that looks the same: up to 4.5 of 255 in 28 pictures
of 200x200, 6 in the middle 128x128 of them, where fewer places are flat. Few pairs add an error."""
FLATTEST = 0.15  # of the windows
PIXELS, FEWEST = 25, 8  # kept pixels of a window, on average and at least
PAIRS = 150  # the fewest of every distance
STEPS = {
    1.0: ((0, 1), (1, 0)),
    math.sqrt(2): ((1, 1), (1, -1)),
    2.0: ((0, 2), (2, 0)),
    math.sqrt(5): ((1, 2), (2, 1), (1, -2), (2, -1)),
}
"""Steps down and right from a pixel to another, by their length."""


def kept_noise(problem: Problem) -> float:
    """Return the standard deviation of the noise in the kept pixels, in the problem's units.

    Where `sigma` was given it is that. Else it is `white_noise`, where that is more than the grain
    that clean pictures have (`GRAIN`): weak noise cannot be told from it, and counts as none.

    Args:
        problem: one problem; of several the largest level is returned.

    Returns:
        0 without missing pixels, and for clean ones.
    """
    if not problem.traits.missing_pixels:
        return 0.0
    if problem.sigma is not None:
        return float(problem.sigma)
    return max(float(one.cached("noise of kept pixels", _estimate)) for one in problem.each())


def _estimate(problem: Problem) -> Tensor:
    if problem.y.ndim < 4:  # signals
        return torch.zeros(1)
    y, seen = (v[0].flatten(0, -3) for v in (problem.y, problem.measured))
    found, pairs = white_noise(y, seen)
    if pairs < PAIRS:
        return torch.zeros(1)
    grain = GRAIN * (1 + SMALL / math.sqrt(y.numel())) * (1 + DOUBT / math.sqrt(pairs))
    return torch.tensor([found if found > grain else 0.0])


def white_noise(y: Tensor, kept: Tensor) -> tuple[float, float]:
    r"""Estimate the standard deviation of white noise from the kept pixels of planes.

    .. math:: \gamma(d) = \tfrac12\, \mathrm{mean}_{|i - j| = d} (y_i - y_j)^2
                        \approx \sigma^2 + c\, d, \qquad d = 1, \sqrt 2, 2, \sqrt 5

    over pairs of kept pixels in the 15 % of the windows where y varies least: the neighbours of a
    pixel in a picture differ the less the nearer they are, while white noise differs as much at any
    distance. sigma^2 is where a line through the four values meets d = 0 (the "nugget" of
    geostatistics: G. Matheron, "Principles of geostatistics", Economic Geology 58, 1963). Windows
    were chosen for their small variance, so that it is divided by what this choice leaves of the
    variance of normal noise.

    Args:
        y: `(P, H, W)`.
        kept: of the same shape, 1 or 0.

    Returns:
        sigma, and the number of pairs of the distance that fewest have, 0 where no window has
        enough pixels.
    """
    from scipy.special import chdtr, chdtri

    y, kept = y.double() * kept, kept.double()
    radius = 2
    while (2 * radius + 1) ** 2 * float(kept.mean()) < PIXELS and radius < max(y.shape[1:]):
        radius += 1
    count, total, squares = (_window_sums(v, radius) for v in (kept, y, y.square()))
    enough = (count >= FEWEST).flatten()
    if not bool(enough.any()):
        return 0.0, 0.0
    variance = (squares - total.square() / count.clamp_min(1)) / (count - 1).clamp_min(1)
    free = float(count.flatten()[enough].median()) - 1
    known = variance.flatten()[enough]
    most = known.kthvalue(max(1, round(FLATTEST * len(known)))).values
    flat = kept * ((variance <= most) & (count >= FEWEST))
    left = float(chdtr(free + 2, chdtri(free, 1 - FLATTEST)) / FLATTEST)
    pairs = [_half_squares(y, flat, steps) for steps in STEPS.values()]
    distances = torch.tensor(list(STEPS), dtype=torch.float64)
    gamma = torch.tensor([mean for mean, _ in pairs], dtype=torch.float64)
    line = torch.stack([torch.ones_like(distances), distances], dim=1)
    nugget = float(torch.linalg.lstsq(line, gamma).solution[0])
    return math.sqrt(max(nugget, 0.0) / left), min(count for _, count in pairs)


def _window_sums(planes: Tensor, radius: int) -> Tensor:
    """Sum over the window around every pixel; nothing lies outside of a plane."""
    side = 2 * radius + 1
    return functional.avg_pool2d(planes[:, None], side, 1, radius)[:, 0] * side**2


def _half_squares(
    y: Tensor, flat: Tensor, steps: tuple[tuple[int, int], ...]
) -> tuple[float, float]:
    """Return the mean of (y_i - y_j)^2 / 2 over pairs of marked pixels, and their number."""
    height, width = y.shape[1:]
    total = count = 0.0
    for down, right in steps:
        rows = slice(0, max(height - down, 0)), slice(down, None)
        columns = slice(max(0, -right), width - max(0, right)), slice(max(0, right), width)
        if right < 0:
            columns = columns[0], slice(0, width + right)
        both = flat[:, rows[0], columns[0]] * flat[:, rows[1], columns[1]]
        change = y[:, rows[0], columns[0]] - y[:, rows[1], columns[1]]
        total += float((both * change.square()).sum()) / 2
        count += float(both.sum())
    return total / max(count, 1.0), count


def closed(problem: Problem, x: Tensor, z: Tensor) -> Tensor:
    r"""Return z, the image x moved towards the measurements, or less of it where pixels are noisy.

    .. math:: \hat x_i = x_i + (1 - w)\,(y_i - x_i), \qquad
              w = \min\Bigl(1, \frac{\sigma^2}{\mathrm{mean}_i (x_i - y_i)^2}\Bigr)

    at the kept pixels i, sigma being `kept_noise`. Where x differs from y by as much as noise does,
    the difference is taken for noise (w = 1); where it differs more, x has lost some of the
    picture, and w is the share of the noise in what was removed. Held-out pixels cannot choose w:
    both images are the same there.

    Args:
        problem: one problem.
        x: what a prior makes of the image, `(1, C, *sides)`.
        z: x after a data step.

    Returns:
        z itself where nothing is missing, or the kept pixels are clean.
    """
    noise = kept_noise(problem)
    if not noise:
        return z
    off = problem.visible(problem.A(x) - problem.y)
    removed = float(off.square().sum() / max(problem.n_visible, 1.0))
    if removed <= noise**2:
        return x
    moved = x - (1 - noise**2 / removed) * off
    nearer = (problem.visible(problem.A(one) - problem.y).square().sum() for one in (moved, z))
    return max(zip(nearer, (moved, z), strict=True), key=lambda pair: float(pair[0]))[1]
