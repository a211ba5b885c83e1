r"""Noise levels, the step between two of them, and the solve: what samplers and hybrids share.

Everything is stated in sigma, the view of `Denoiser` (VE): x = x_0 + sigma n. A paper of the
variance-preserving kind (VP) has

.. math:: x_t = \sqrt{\bar\alpha_t}\, x_0 + \sqrt{1 - \bar\alpha_t}\, n, \qquad
          \sigma_t = \sqrt{(1 - \bar\alpha_t) / \bar\alpha_t},

so that x = x_t / sqrt(alpha_bar_t). Papers write x_0 in [-1, 1]; where images live in [0, 1] the
same alpha_bar_t belongs to half of that sigma (`vp_levels(..., unit_range=True)`).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from untrained.core.state import State
from untrained.errors import UserError
from untrained.maths import per_problem, sum_squares
from untrained.physics.autograd import LinearMap
from untrained.priors import of_slices
from untrained.problem import Problem

TRAINED = 1000
"""Number T of noise levels that the published models were trained on."""

SCHEDULES = ("linear", "cosine")


def alpha_bar(schedule: str, total: int = TRAINED) -> Tensor:
    r"""Compute the signal's share of a VP model's levels, float64 `(T,)`, falling.

    `linear`: beta_t from 1e-4 to 0.02 (Ho et al. 2020), times 1000/T. `cosine`:
    cos^2((t/T + 0.008) / 1.008 pi/2), beta_t at most 0.999 (Nichol, Dhariwal 2021).
    """
    if schedule == "linear":
        scale = TRAINED / total
        beta = torch.linspace(1e-4 * scale, 0.02 * scale, total, dtype=torch.float64)
    elif schedule == "cosine":
        time = torch.arange(total + 1, dtype=torch.float64) / total
        share = torch.cos((time + 0.008) / 1.008 * math.pi / 2).square()
        beta = (1 - share[1:] / share[:-1]).clamp_max(0.999)
    else:
        raise UserError(f"schedule={schedule!r} is unknown; known: {', '.join(SCHEDULES)}")
    return (1 - beta).cumprod(0)


def vp_levels(
    schedule: str,
    count: int,
    known: tuple[float, float] = (0.0, math.inf),
    *,
    unit_range: bool = False,
    spacing: str = "even",
) -> list[float]:
    """Choose noise levels of a VP model, evenly in its time: count falling sigmas, then 0.

    Times are 0, T/count, 2 T/count, ... as the papers take them; with the spacing `quadratic`, of
    DiffPIR, T sqrt(i / (count - 1)), denser where the noise is great. Where the prior knows only
    levels from `known[0]` to `known[1]`, they are spread over the times of those: a sampler begins
    and ends where the prior does.

    Args:
        schedule: `linear` or `cosine`.
        count: number of levels, at least 1.
        known: `Denoiser.levels`.
        unit_range: whether images live in [0, 1], half of the papers' [-1, 1].
        spacing: `even` or `quadratic`.

    Raises:
        UserError: the prior knows one level only, which leaves a sampler nowhere to go.
    """
    low, high = known
    if low >= high:
        raise UserError(
            f"this method lowers the noise from level to level, and the prior knows one level "
            f"only ({low:g}); take one that was trained on many, or method pnp, red or deepred"
        )
    share = alpha_bar(schedule)
    sigma = ((1 - share) / share).sqrt() / (2 if unit_range else 1)
    times = ((sigma >= low) & (sigma <= high)).nonzero().flatten()
    if not len(times):
        raise UserError(f"the prior knows noise from {low:g} to {high:g}, where no level lies")
    first, span = int(times[0]), len(times)
    chosen = [first + i * span // count for i in range(count)]
    if spacing == "quadratic":
        chosen = [first + int((span - 1) * math.sqrt(i / max(1, count - 1))) for i in range(count)]
    return [float(sigma[t]) for t in reversed(chosen)] + [0.0]


def first_image(s: State, sigma: float, reach: float = 5.0) -> Tensor:
    """Draw the image that a sampler begins with, `(G, C, ...)`, at its greatest level sigma.

    Noise alone, as in the papers, where sigma drowns any image (`reach` and more). A prior that
    does not reach so far begins at A^H y with noise of its greatest level.
    """
    noise = sigma * s.noise("first", s.problem.x_shape)
    return noise if sigma >= reach else s.problem.estimate() + noise


def ddim(
    s: State, x: Tensor, clean: Tensor, sigma: float, target: Tensor, lower: float, eta: float
) -> Tensor:
    r"""Step from level sigma to a lower one, by the DDIM rule of DDS (Chung et al. 2024, Eq. 10).

    .. math:: \epsilon = (x - D(x)) / \sigma, \qquad
              x' = \hat x + \sigma' (\sqrt{1 - \eta^2}\, \epsilon + \eta\, n)

    Args:
        s: the state, whose noise of this step is drawn.
        x: the noisy image `(G, C, ...)` in the VE view.
        clean: D(x, sigma), from which the noise is read off.
        sigma, lower: the levels sigma and sigma'; 0 ends at the target.
        target: the clean image that takes the place of D(x): what the data make of it.
        eta: share of fresh noise, in [0, 1].
    """
    if lower == 0:
        return target
    noise = math.sqrt(max(0.0, 1 - eta**2)) * (x - clean) / sigma
    if eta:
        noise = noise + eta * s.noise("ddim", s.problem.x_shape)
    return target + lower * noise


def denoised(s: State, x: Tensor, sigma: float) -> Tensor:
    """D(x, sigma) by the run's prior, `(G, C, ...)`; volumes slice by slice; x itself at 0."""
    return x if sigma == 0 else of_slices(lambda one: s.denoiser.denoise(one, sigma), x)


def conjugate_gradients(
    problem: Problem, x: Tensor, steps: int, gamma: float = 0.0, pull: Tensor | None = None
) -> Tensor:
    r"""Take a few steps of conjugate gradients from x towards the measurements.

    .. math:: A^H A\, u = A^H y \qquad \text{or, with } \gamma > 0, \qquad
              (I + \gamma A^H A / \|A\|^2)\, u = x_p + \gamma A^H y / \|A\|^2

    from u = x: few steps keep what the data leave open as x has it (DDS, Chung et al. 2024). It is
    differentiable in x, with the operator's own adjoint as its gradient.

    Args:
        problem: G problems with a linear physics.
        x: `(G, C, ...)`, the start.
        steps: number of steps M.
        gamma: weight of the measurements against x_p; 0 = they alone.
        pull: x_p where it is not x.

    Raises:
        UserError: a nonlinear physics.
    """
    if not problem.linear:
        raise UserError("conjugate gradients need a linear physics, and this one says it is not")
    quick = problem.quick()
    weight = gamma / problem.norm_squared if gamma else 1.0

    def normal(v: Tensor) -> Tensor:
        seen: Tensor = LinearMap.apply(v, back_and_forth, back_and_forth)
        return v + weight * seen if gamma else seen

    def back_and_forth(v: Tensor) -> Tensor:
        return quick.A_adjoint(quick.A(v)) if quick.gram() is None else quick.normal(v)

    wanted = weight * quick.A_adjoint(quick.y)
    if gamma:
        wanted = wanted + (x if pull is None else pull)
    u, r = x, wanted - normal(x)
    d, energy = r, sum_squares(r)
    for _ in range(steps):
        h = normal(d)
        step = energy / (d * h).flatten(1).sum(1).clamp_min(1e-30)
        u, r = u + per_problem(step, u) * d, r - per_problem(step, u) * h
        previous, energy = energy, sum_squares(r)
        d = r + per_problem(energy / previous.clamp_min(1e-30), d) * d
    return u


def within_steps(rounds: int, inner: int, steps: int) -> tuple[int, int]:
    """Share a budget of optimiser steps out: (levels, steps at each), levels kept where it can."""
    return (rounds, steps // rounds) if steps >= rounds else (max(1, steps), 1)
