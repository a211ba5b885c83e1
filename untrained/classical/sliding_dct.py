r"""Sliding cosine transforms: pictures are sparse in every small window, plugged in as a prior."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from untrained.classical.gradient import cosines
from untrained.classical.kept_pixels import closed
from untrained.classical.linear import data_step, require_linear
from untrained.classical.total_variation import tv_solve
from untrained.classical.weight import (
    by_octaves,
    held_out_error,
    noise_level,
    settings_taken_over,
    tie_of,
)
from untrained.problem import Problem
from untrained.waiting import tick

WINDOW = 8
THRESHOLD = 2.7  # of the first pass, in standard deviations of the noise
OPPONENT = ((1.0, 1.0, 1.0), (1.0, 0.0, -1.0), (0.5, -1.0, 0.5))  # grey, red-blue, green

# levels and weights are relative to the level of A^H y (`Problem.adjoint_level`)
UNTRIED = 0.016  # the level where no measurement can be held out
LEVEL, HALVINGS, DOUBLINGS = 0.064, 5, 2  # tried: 0.002 to 0.256
LOWER = {"ct": 0.7}
"""Factor of the level found. Sums along rays show the grain that a lower level lets through no less
than the detail that a higher one removes: of eight slices the best level was lower than the one
that predicts views best on seven."""
FIRST_WEIGHT = 2e-3  # of the total variation that it starts from, relative to ||A||^2
FIRST_LEVEL, COUPLING = 0.05, 0.3
ROUNDS, TRIAL_ROUNDS = 16, 8
STEPS = 6  # of conjugate gradients in a round
SHIFTS = ((0, 0), (1, 1), (0, 1), (1, 0))  # of windows two pixels apart


@torch.no_grad()
def dct(problem: Problem) -> Tensor:
    r"""Reconstruct by half-quadratic splitting with sliding cosine transforms as the prior.

    .. math:: x_k = T_{\sigma_k}(z_{k-1}), \qquad
              z_k = \arg\min_z \|W^{1/2} (A z - y)\|^2 / \|W^{1/2} A\|^2
                    + \mu_k \|z - x_k\|^2, \qquad \mu_k = 0.3\, (\sigma_K / \sigma_k)^2

    T is the first pass of `dct_denoise`, z_0 a quick total-variation image, and sigma_k falls in
    equal ratios from 0.05 to sigma_K in K = 16 rounds. The answer is x_{K+1}, with both passes for
    T, or z_{K+1}, which follows the prior less and the noise more. The scheme ("plug and play") and
    the 0.3 (0.23 there) are of K. Zhang et al., IEEE TPAMI 44 (2022), whose denoiser is trained. W
    is the half-power ramp for CT. sigma_K stands for the noise and for how far the prior is to be
    trusted. It is the level whose x predicts held-out measurements best (`by_octaves`); then x and
    z are compared, of which z wins a tie: held-out pixels are the same in both. Noisy pixels beside
    missing ones are denoised (`closed`).

    For denoising it is `dct_denoise` at the noise level, given or estimated.

    Args:
        problem: G problems with a linear physics, solved in turn.

    Returns:
        `(G, C, *sides)` in the problem's units.

    Raises:
        UserError: a nonlinear physics, or an image without a spatial axis.
    """
    require_linear(problem, "dct")
    return torch.cat([_solved(dct_weighed(problem.select(i))) for i in range(len(problem.y))])


def dct_weighed(problem: Problem) -> Problem:
    """Give a problem the weighting W of `dct`; held-out views are judged with it too."""
    return problem.weighted("half-ramp" if problem.traits.measures == "views" else "uniform")


def dct_settings(problem: Problem) -> tuple[float, bool]:
    """Find sigma_K of one problem, and whether the answer is z, once per problem."""
    level, closing = dct_weighed(problem).cached("dct settings", _search).tolist()
    return level, bool(closing)


def hand_down(problem: Problem, part: Problem) -> None:
    """Let a part of the measurements of a problem take the settings of the whole, searched once."""
    found = settings_taken_over(part, problem, dct_settings(problem))
    dct_weighed(part).cached("dct settings", lambda _: found)


def _solved(problem: Problem) -> Tensor:
    if problem.traits.only_noise:
        image = problem.estimate()
        return dct_denoise(image, noise_level(problem, image))
    level, closing = dct_settings(problem)
    x = split_by_cosines(problem, tv_start(problem), levels_to(problem, level))
    return closed(problem, x, data_step(problem, x, COUPLING, STEPS)) if closing else x


def _search(problem: Problem) -> Tensor:
    if problem.part is not None and problem.traits.measures == "lines":
        return settings_taken_over(problem, problem.part, dct_settings(problem.part))

    def prepare(fit: Problem) -> Callable[[float, bool], Tensor]:
        start = tv_start(fit)
        # few views or columns tell levels apart by so little that the last pass has to be the full
        stride = 2 if problem.unit_range else 1

        def solve(level: float, closing: bool) -> Tensor:
            levels = levels_to(fit, level, TRIAL_ROUNDS)
            x = split_by_cosines(fit, start, levels, stride=stride)
            return data_step(fit, x, COUPLING, STEPS) if closing else x

        return solve

    asked = held_out_error(problem, prepare)
    if asked is None:
        return torch.tensor([UNTRIED * unit(problem), False], dtype=torch.float64)
    error = cache(asked)
    tie, start = tie_of(problem), LEVEL * unit(problem)
    best = by_octaves(lambda level: error(level, False), start, HALVINGS, DOUBLINGS, tie)
    closing = tie * error(best, True) <= error(best, False)
    best *= LOWER.get(problem.task, 1.0)
    return torch.tensor([best, closing], dtype=torch.float64)


def tv_start(problem: Problem) -> Tensor:
    """Return `quick_tv`, or, where it may serve as a start, that of a part fitted before."""
    # Where columns or views are missing, splitting would stay in the optimum of the fewer that a
    # part of the measurements has: up to 4 dB below on a brain at 8x.
    anew = problem.traits.few_lines
    before = None if anew else problem.of_part("quick tv", quick_tv)
    return problem.cached("quick tv", quick_tv) if before is None else before


def quick_tv(problem: Problem, relative: float = FIRST_WEIGHT) -> Tensor:
    """Solve total variation of a fixed weight roughly; splitting starts from it."""
    weight = relative * unit(problem) * problem.weighted("uniform").norm_squared
    return tv_solve(problem, weight, tolerance=1e-2, max_iterations=100).image


def levels_to(problem: Problem, last: float, rounds: int = ROUNDS) -> list[float]:
    """List levels that fall to `last` from what a total-variation image needs."""
    return falling(max(FIRST_LEVEL * unit(problem), last), last, rounds)


def unit(problem: Problem) -> float:
    """Return the level of A^H y of one problem, which weights and noise levels are relative to."""
    return float(problem.adjoint_level[0])


def falling(first: float, last: float, rounds: int) -> list[float]:
    """List `rounds` levels from `first` to `last` in equal ratios."""
    return [first * (last / first) ** (k / (rounds - 1)) for k in range(rounds)]


def split_by_cosines(
    problem: Problem,
    start: Tensor,
    levels: list[float],
    coupling: float = COUPLING,
    stride: int = 1,
) -> Tensor:
    """Run the iteration of `dct` from `start`, one round for each level; return the last x.

    Args:
        problem: one problem, with its weighting.
        start: z_0, `(1, C, H, W)`.
        levels: sigma_1 to sigma_K, in the problem's units.
        coupling: 0.3 in `dct`'s equation.
        stride: of the last pass, see `dct_denoise`.
    """
    z, level = start, levels[-1]
    for k, sigma in enumerate(levels):
        x = _thresholded(z, sigma, SHIFTS[k % len(SHIFTS)])
        z = data_step(problem, x, coupling * (level / sigma) ** 2, STEPS)
    return problem.supported(dct_denoise(z, level, stride))


@torch.no_grad()
def dct_denoise(
    image: Tensor, sigma: float, stride: int = 1, shift: tuple[int, int] = (0, 0)
) -> Tensor:
    r"""Denoise by shrinking the cosine transform of every window of 8x8 pixels.

    .. math:: \hat c = c \cdot 1_{|c| > 2.7 \sigma}, \qquad
              \hat c = c\, \frac{p^2}{p^2 + \sigma^2}

    first by the threshold, then by the Wiener gains of the first result's coefficients p. Windows
    overlap and are averaged with the inverse of their squared gains as weights, so that smooth
    ones count more. Colours are rotated to grey and two differences first. L. Yaroslavsky, SPIE
    2751 (1996); weights and second pass as in K. Dabov et al., IEEE TIP 16 (2007), without its
    matching of blocks.

    Args:
        image: `(G, C, *sides)`; transformed along the last two axes, volumes plane by plane.
        sigma: standard deviation of the noise, > 0.
        stride: distance of two windows; 2 takes a quarter of the time.
        shift: of all windows, down and right, smaller than the stride.
    """

    def both(plane: Tensor) -> Tensor:
        windows = _Windows(plane, stride, shift)
        coefficients = windows.analyse(plane)
        first = windows.synthesise(*_kept(coefficients, sigma))
        power = windows.analyse(first).square_()
        gain = power.div_(power + sigma**2)
        gain[:, 0] = 1
        return windows.synthesise(coefficients.mul_(gain), gain.square_().sum(1, keepdim=True))

    return _plane_by_plane(both, image)


def _thresholded(image: Tensor, sigma: float, shift: tuple[int, int]) -> Tensor:
    """Denoise by the first pass of `dct_denoise`, on every second window in both directions."""

    def first(plane: Tensor) -> Tensor:
        windows = _Windows(plane, stride=2, shift=shift)
        return windows.synthesise(*_kept(windows.analyse(plane), sigma))

    return _plane_by_plane(first, image)


def _kept(coefficients: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    """Set coefficients below the threshold to 0, and count the others in every window."""
    kept = functional.hardshrink(coefficients, THRESHOLD * sigma)
    kept[:, 0] = coefficients[:, 0]  # the mean value
    return kept, kept.sign().square_().sum(1, keepdim=True).clamp_(min=1)


def _plane_by_plane(denoise: Callable[[Tensor], Tensor], image: Tensor) -> Tensor:
    """Apply `denoise` to each plane `(1, 1, H, W)`, colours rotated."""
    rotation = _rotation(image)
    turned = torch.einsum("ij,gj...->gi...", rotation, image)
    sides = (1 if image.ndim == 3 else image.shape[-2], image.shape[-1])
    planes = turned.reshape(-1, 1, 1, *sides)
    found = torch.cat([denoise(plane) for plane in planes]).reshape(turned.shape)
    tick()
    return torch.einsum("ij,gi...->gj...", rotation, found)


def _rotation(image: Tensor) -> Tensor:
    """Make the orthonormal rotation of channels, `(C, C)`."""
    if image.shape[1] != 3:
        return torch.eye(image.shape[1]).to(image)
    return functional.normalize(torch.tensor(OPPONENT), dim=1).to(image)


class _Windows:
    """Orthonormal cosine transforms of overlapping windows of one plane, and back.

    Along one side and then the other; with a transform of whole windows a step takes three times
    as long.

    Args:
        like: a plane `(1, 1, H, W)`.
        stride: distance of two windows.
        shift: of all windows, down and right, smaller than the stride.
    """

    def __init__(self, like: Tensor, stride: int, shift: tuple[int, int] = (0, 0)) -> None:
        self.size = like.shape[-2:]
        sides = [min(WINDOW, n) for n in self.size]
        self.stride = [min(stride, n) for n in sides]
        self.rows, self.columns = (cosines(n, like) for n in sides)
        # every pixel lies in equally many windows, the outermost of which end beyond the border
        self.before = [n - 1 + by for n, by in zip(sides, shift, strict=True)]
        self.after = [
            n - 1 + (-(b + m) + 1) % step
            for n, b, m, step in zip(sides, self.before, self.size, self.stride, strict=True)
        ]

    def analyse(self, plane: Tensor) -> Tensor:
        """Compute the coefficients `(1, 64, rows, columns)` of all windows."""
        for axis in (0, 1):
            plane = _mirrored(plane, axis - 2, self.before[axis], self.after[axis])
        down, right = self.stride
        wide = _of_windows(self.columns, plane[0, 0], -1, right)
        return _of_windows(self.rows, wide, -2, down).flatten(0, 1)[None]

    def synthesise(self, coefficients: Tensor, energy: Tensor) -> Tensor:
        """Average all windows to a plane, weighted with one over their squared gains.

        Overwrites the coefficients.
        """
        weight = 1 / energy
        sides = (len(self.rows), len(self.columns))
        parts = coefficients.mul_(weight)[0].unflatten(0, sides)
        for axis, basis in ((-2, self.rows), (-1, self.columns)):
            pixels = (basis.T @ parts.flatten(1)).view(parts.shape)
            parts = _laid(pixels.unbind(), axis, self.stride[axis])
        share = weight[0, 0]
        for axis, side in ((-2, sides[0]), (-1, sides[1])):
            share = _laid([share] * side, axis, self.stride[axis])
        (top, left), (height, width) = self.before, self.size
        return (parts / share)[None, None, top : top + height, left : left + width]


def _of_windows(basis: Tensor, x: Tensor, axis: int, stride: int) -> Tensor:
    """Compute the coefficients of every window along an axis of x, on a new first axis."""
    windows = x.unfold(axis, len(basis), stride).movedim(-1, 0)
    return (basis @ windows.flatten(1)).view(windows.shape)


def _laid(pixels: Sequence[Tensor], axis: int, stride: int) -> Tensor:
    """Add windows where they lie along an axis; `pixels[k]` holds the k-th pixel of all."""
    span = (pixels[0].shape[axis] - 1) * stride + 1
    size = list(pixels[0].shape)
    size[axis] = span - 1 + len(pixels)
    total = pixels[0].new_zeros(size)
    for k, values in enumerate(pixels):
        total.narrow(axis, k, span).unfold(axis, 1, stride)[..., 0].add_(values)
    return total


def _mirrored(x: Tensor, axis: int, before: int, after: int) -> Tensor:
    """Continue x along an axis by its mirror image, as often as needed."""
    n = x.shape[axis]
    index = torch.arange(-before, n + after, device=x.device).remainder(2 * n)
    return x.index_select(axis, torch.where(index < n, index, 2 * n - 1 - index))
