r"""What the samplers of a diffusion prior share: their papers' units, Tweedie, a DDIM step.

The papers state their equations for images x in units of their own: photographs in [-1, 1],
others O(1). The state of a sampler is in those units. The library's images u are x, or
(x + 1) / 2 of a photograph, and the prior is asked in the units of u (`Denoiser`).

A variance-preserving (VP) chain is :math:`x_t = \sqrt{\bar\alpha_t} x_0 + \sqrt{1-\bar\alpha_t} z`.
Divided by :math:`\sqrt{\bar\alpha_t}` it is an image with noise of the standard deviation
:math:`\sigma_t = \sqrt{(1 - \bar\alpha_t) / \bar\alpha_t}`, which is what the prior takes;
`diffusion.py` chooses these levels.

The image of a step is the one that the sampler would return if this level were its last.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from untrained.classical import data_step
from untrained.classical.sliding_dct import tv_start
from untrained.classical.weight import noise_level as noise_of_picture
from untrained.core.state import State
from untrained.maths import per_problem, sum_squares
from untrained.methods.diffusion import denoised, vp_levels
from untrained.problem import Problem
from untrained.problem.scaling import matched_fbp

FAR = 10.0
"""Noise level above which a chain begins from noise alone, as published. A prior that knows no
such level lets it begin at its greatest one, from a first image with that much noise (Chung, Sim,
Ye: Come-Closer-Diffuse-Faster, CVPR 2022)."""

EXACT = 1e-6
"""Relative residual at which an inner solve of conjugate gradients counts as exact."""


# noise levels -----------------------------------------------------------------------------------
@lru_cache(maxsize=64)
def _alpha_bars(
    count: int, known: tuple[float, float], scale: float, spacing: str
) -> tuple[float, ...]:
    levels = vp_levels("linear", count, known, unit_range=scale == 2.0, spacing=spacing)
    return tuple(1.0 / (1.0 + (scale * sigma) ** 2) for sigma in levels)


def levels_for(s: State, count: int, spacing: str = "even") -> tuple[float, ...]:
    r"""List :math:`\bar\alpha` of `count` levels that the run's prior knows, and 1 behind them."""
    return _alpha_bars(count, s.denoiser.levels, span(s.problem), spacing)


@lru_cache(maxsize=64)
def ve_levels(count: int, least: float, greatest: float) -> tuple[float, ...]:
    """List `count` noise levels sigma from `greatest` down to `least`, geometric, and 0 behind."""
    return (*np.geomspace(greatest, least, count).tolist(), 0.0)


def at(levels: tuple[float, ...], k: int) -> tuple[float, float]:
    """Return the level of round k, counted from 0, and the next; the last one's stay."""
    k = min(k, len(levels) - 2)
    return levels[k], levels[k + 1]


def sigma_of(alpha_bar: float) -> float:
    """Convert a VP level to the standard deviation that the prior takes."""
    return math.sqrt((1.0 - alpha_bar) / alpha_bar)


# units ------------------------------------------------------------------------------------------
def span(problem: Problem) -> float:
    """Return the length of the papers' range of values over ours: 2 for photographs, else 1."""
    return 2.0 if problem.unit_range and not problem.complex_image else 1.0


def to_paper(problem: Problem, image: Tensor) -> Tensor:
    """Convert images from the library's units to those of the papers."""
    return 2.0 * image - 1.0 if span(problem) == 2.0 else image


def to_image(problem: Problem, x: Tensor) -> Tensor:
    """Convert images from the papers' units to those of the library."""
    return (x + 1.0) / 2.0 if span(problem) == 2.0 else x


def noise_level(problem: Problem, least: float) -> float:
    """Return the noise level of y in the papers' units, at least `least`; that if unknown."""
    return max(span(problem) * (problem.sigma or 0.0), least)


def noise_in(problem: Problem, least: float) -> Tensor:
    """Find the noise level of each y, `(G,)`: the known one, or an estimate; at least `least`.

    What a quick total-variation image leaves of y is the estimate, where that image explains what
    is measured and not only the noise: not of missing pixels, which a picture's texture decides.
    It errs to the high side, on which an inversion is stable.
    """
    known = problem.sigma
    if known is not None or problem.traits.missing_pixels:
        return torch.full((len(problem.y),), max(float(known or 0.0), least))
    if problem.traits.only_noise:
        found = [noise_of_picture(one, one.estimate()) for one in problem.each()]
    else:
        found = [_residual(one) for one in problem.each()]
    return torch.tensor(found).clamp_min(least)


def _residual(one: Problem) -> float:
    """Return the root mean square of what a quick total-variation image leaves of y."""
    measured, mask = one.visible(torch.ones_like(one.y)), one.physics.sampling_mask(one.y)
    count = float((measured if mask is None else measured * (mask != 0)).sum())
    return float((sum_squares(one.A(tv_start(one)) - one.y) / max(count, 1.0)).sqrt())


def squared_residual(problem: Problem, image: Tensor) -> Tensor:
    """Compute ||y - A x0||^2 in the papers' units, `(G,)`.

    As it is for photographs; elsewhere divided by ||A||^2, so that a step length means the same
    for every operator.
    """
    if problem.unit_range:
        return sum_squares(problem.A(image) - problem.y) * span(problem) ** 2
    return problem.misfit(image, "norm") * problem.n_image


# what a chain is made of --------------------------------------------------------------------------
def begin(s: State, alpha_bar: float) -> Tensor:
    """Draw the first x of a VP chain: pure noise, or a first image with noise; see `FAR`."""
    z = s.noise("start", s.problem.x_shape)
    if sigma_of(alpha_bar) >= FAR:
        return z
    image = first_image(s.problem)
    return math.sqrt(alpha_bar) * to_paper(s.problem, image) + math.sqrt(1.0 - alpha_bar) * z


def first_image(problem: Problem) -> Tensor:
    """Make a first image: filtered backprojection of CT, else c A^H y."""
    image = matched_fbp(problem)
    return problem.estimate() if image is None else image


def tweedie(s: State, x: Tensor, alpha_bar: float) -> Tensor:
    """Estimate the clean image of x, in the papers' units: the prior's posterior mean."""
    noisy = to_image(s.problem, x / math.sqrt(alpha_bar))
    return to_paper(s.problem, denoised(s, noisy, sigma_of(alpha_bar) / span(s.problem)))


def ddim(
    s: State, x: Tensor, x0: Tensor, levels: tuple[float, float], spread: float
) -> tuple[Tensor, Tensor]:
    r"""Take a step of DDIM (Song, Meng, Ermon, ICLR 2021); return its mean and its noise.

    .. math:: \sqrt{\bar\alpha'} x_0 + \sqrt{1 - \bar\alpha' - s^2}
              \frac{x - \sqrt{\bar\alpha} x_0}{\sqrt{1 - \bar\alpha}} + s z

    with s = `spread`; with that of `ancestral` it is the step of DDPM.

    Args:
        s: names the noise.
        x, x0: of this level.
        levels: alpha_bar of this level and of the next.
        spread: s, at most sqrt(1 - alpha_bar').
    """
    clean, noisy = ddim_weights(levels, spread)
    return clean * x0 + noisy * x, spread * s.noise("step", s.problem.x_shape)


def ddim_weights(levels: tuple[float, float], spread: float) -> tuple[float, float]:
    """Return what `ddim` multiplies x0 and x by."""
    now, after = levels
    noisy = math.sqrt(max(0.0, 1.0 - after - spread**2) / (1.0 - now))
    return math.sqrt(after) - noisy * math.sqrt(now), noisy


def ancestral(levels: tuple[float, float]) -> float:
    r"""Return DDPM's spread, :math:`\sqrt{(1-\bar\alpha') / (1-\bar\alpha)\; \beta}`."""
    now, after = levels
    return math.sqrt((1.0 - after) / (1.0 - now) * (1.0 - now / after))


def guided(s: State, alpha_bar: float, zeta: float, normalised: bool) -> tuple[Tensor, Tensor]:
    r"""Compute Tweedie's estimate of s["x"] and a step against the gradient through the prior.

    Returns:
        :math:`\hat x_0`, and :math:`\zeta_i \nabla_x \|y - A \hat x_0\|^2` with zeta_i = zeta over
        the length of the residual where `normalised`, else zeta.
    """
    with torch.enable_grad():
        x = s["x"].detach().clone().requires_grad_()
        x0 = tweedie(s, x, alpha_bar)
        squares = squared_residual(s.problem, to_image(s.problem, x0))
        (gradient,) = torch.autograd.grad(squares.sum(), x)
    length = squares.detach().sqrt().clamp_min(1e-12) if normalised else torch.ones_like(squares)
    return x0.detach(), gradient * per_problem(zeta / length.detach(), gradient)


def project(problem: Problem, image: Tensor, steps: int) -> Tensor:
    """Compute x + A^+ (y - A x): the nearest image that fits y, by conjugate gradients."""
    return data_step(problem, image, 0.0, steps, EXACT)


def proximal(
    problem: Problem, image: Tensor, rho: float, steps: int, tolerance: float = EXACT
) -> Tensor:
    """Compute the u that minimises ||A u - y||^2 + rho ||u - x||^2, by conjugate gradients."""
    return data_step(problem, image, rho / problem.norm_squared, steps, tolerance)


def shown(s: State, image: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the image of a step and its data term, without gradients: nothing is trained."""
    image = s.problem.supported(image.detach())
    with torch.no_grad():
        return image, {"data": s.problem.misfit(image)}
