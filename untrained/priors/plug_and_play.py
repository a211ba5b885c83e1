"""An image by a pre-trained denoiser alone: the prior's answer to a measurement."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from untrained.classical import baseline, data_step
from untrained.classical.sliding_dct import falling
from untrained.classical.weight import noise_level
from untrained.errors import UserError
from untrained.priors.base import Denoiser
from untrained.problem import Problem

FIRST, ROUNDS, WEIGHT = 0.3, 12, 0.23
"""Greatest noise level, number of levels, and lambda of `plug_and_play`; lambda is the paper's."""


def of_slices(ask: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Apply a function of pictures `(B, C, H, W)` to every slice of volumes `(G, C, D, H, W)`."""
    if x.ndim != 5:
        return ask(x)
    stack = x.transpose(1, 2)
    made = ask(stack.flatten(0, 1))
    return made.reshape(*stack.shape[:2], *made.shape[1:]).transpose(1, 2)


@torch.no_grad()
def plug_and_play(problem: Problem, denoiser: Denoiser, level: float) -> Tensor:
    r"""Reconstruct by half-quadratic splitting with a denoiser (DPIR; Zhang et al., TPAMI 2022).

    .. math:: u_k = \arg\min_u \|A u - y\|^2 / \|A\|^2 + \mu_k \|u - x_{k-1}\|^2, \qquad
              x_k = D(u_k, \sigma_k), \qquad \mu_k = \lambda\, \ell^2 / \sigma_k^2

    from x_0, the classical image (`classical.baseline`), since a few rounds at these levels fill no
    hole, sigma_k falling in equal ratios to l, the noise that is expected in the image.
    A picture in which nothing but noise stands between image and measurement is denoised once, at
    the level of its noise.

    Args:
        problem: G problems with a linear physics.
        denoiser: D; volumes are denoised slice by slice.
        level: l, > 0, in the image's units.

    Returns:
        `(G, C, ...)` in the problem's units.

    Raises:
        UserError: a nonlinear physics, or images that the denoiser cannot take.
    """
    if not problem.linear:
        raise UserError(
            "the prior's image is made by plug and play, which needs a linear physics, and this "
            "one says it is nonlinear; leave --prior out, or take a method that can ask it there"
        )

    def denoised(x: Tensor, sigma: float) -> Tensor:
        made = of_slices(lambda one: denoiser.denoise(one, sigma), x)
        return problem.supported(made.clamp(0, 1) if problem.unit_range else made)

    if problem.traits.only_noise:
        x = problem.estimate()
        each = zip(problem.each(), x.split(1), strict=True)
        return torch.cat([denoised(part, noise_level(one, part)) for one, part in each])
    x = baseline(problem)
    for sigma in falling(FIRST, level, ROUNDS):
        x = denoised(data_step(problem, x, WEIGHT * (level / sigma) ** 2), sigma)
    return x
