r"""Non-local Bayes: similar blocks as draws of one normal distribution, as a plug-in prior."""

from __future__ import annotations

import torch
from torch import Tensor

from untrained.classical.block_matching import Blocks, from_groups, match_blocks, with_noise_of
from untrained.classical.kept_pixels import closed
from untrained.classical.linear import data_step, require_picture
from untrained.classical.sliding_dct import (
    COUPLING,
    SHIFTS,
    STEPS,
    dct,
    dct_denoise,
    dct_settings,
    dct_weighed,
    falling,
)
from untrained.classical.weight import noise_level
from untrained.problem import Problem

BLOCKS = Blocks(side=5, stride=4, reach=10, group_size=50)
SPARSE = BLOCKS._replace(stride=5)  # before the last round
FRESH = 3  # blocks are matched anew in every third round
FIRST_LEVEL, ROUNDS = 4.0, 10  # in units of sigma_K of `dct`
SINGULAR = 1e-5  # of the trace: what float32 leaves of a covariance's small eigenvalues


@torch.no_grad()
def nlbayes(problem: Problem) -> Tensor:
    r"""Reconstruct by half-quadratic splitting with non-local Bayes as the prior.

    .. math:: x_k = B_{\sigma_k}(z_{k-1}), \qquad
              z_k = \arg\min_z \|W^{1/2} (A z - y)\|^2 / \|W^{1/2} A\|^2
                    + 0.3\, (\sigma_K / \sigma_k)^2\, \|z - x_k\|^2

    B is `bayes_denoise`, z_0 the image of `dct` after a data step, and sigma_k falls in equal
    ratios from 4 times the sigma_K that `dct` found by held-out measurements to sigma_K, in 10
    rounds. The answer is the last z (see `closed`), or the last x where `dct` chose its own last x.
    Rounds before the last take fewer blocks, found anew in every third, and a first estimate of
    every second window: half the time for a result within 0.01 dB.

    For denoising it is `bayes_denoise` at the noise level, given or estimated; for a volume,
    the mean of that over its planes in the three directions. Of a series, blocks are searched in
    the frames around their own, too (`match_blocks`).

    Args:
        problem: G problems with a linear physics, solved in turn.

    Returns:
        `(G, C, H, W)`, or `(G, C, D, H, W)`, in the problem's units.

    Raises:
        UserError: a nonlinear physics, or no picture (for denoising: nor volume).
    """
    if not problem.traits.only_noise or len(problem.x_shape) != 4:
        require_picture(problem, "nlbayes")
    return torch.cat([_solved(dct_weighed(problem.select(i))) for i in range(len(problem.y))])


def _solved(problem: Problem) -> Tensor:
    if problem.traits.only_noise:
        image = problem.estimate()
        alone = image.ndim == 4 or problem.physics.is_series
        denoise = bayes_denoise if alone else _in_three_directions
        return denoise(image, noise_level(problem, image))
    level, closing = dct_settings(problem)
    z = data_step(problem, problem.cached("dct", dct), COUPLING, STEPS)
    for k, above in enumerate(falling(FIRST_LEVEL, 1.0, ROUNDS)):
        sigma, last = above * level, k == ROUNDS - 1
        pilot = dct_denoise(z, sigma) if last else dct_denoise(z, sigma, 2, SHIFTS[k % len(SHIFTS)])
        if last or k % FRESH == 0:
            blocks = match_blocks(pilot, BLOCKS if last else SPARSE)
        x = problem.supported(likeliest(pilot, z, blocks, sigma))
        z = data_step(problem, x, COUPLING / above**2, STEPS)
    return closed(problem, x, z) if closing else x


def _in_three_directions(volume: Tensor, sigma: float) -> Tensor:
    """Average `bayes_denoise` of all planes of a volume `(1, C, D, H, W)` across each axis."""
    total = torch.zeros_like(volume)
    for axis in (1, 2, 3):
        planes = volume[0].movedim(axis, 0).contiguous()
        total += bayes_denoise(planes, sigma).movedim(0, axis)
    return total / 3


def bayes_denoise(image: Tensor, sigma: float) -> Tensor:
    r"""Denoise by the posterior mean of every group of similar blocks, given the noisy blocks.

    The d pixels and channels of the K blocks of a group are modelled as draws from one normal
    distribution, whose mean m and covariance C are those of the same blocks of a first estimate,
    `dct_denoise`. A block b with white noise of standard deviation sigma then is at best

    .. math:: \hat b = m + C (C + \sigma^2 I)^{-1} (b - m)

    Blocks are grouped by that first estimate. Where they overlap, those of which less is kept
    count more, by one over 1 plus the squared norm of the gain.

    It is the second step of M. Lebrun, A. Buades, J.-M. Morel, "A nonlocal Bayesian image
    denoising algorithm", SIAM J. Imaging Sci. 6 (2013), whose first step is likewise, from the
    noisy image; there groups have no fixed size, and flat ones are averaged.

    Args:
        image: `(G, C, H, W)`, or a series `(G, C, T, H, W)`.
        sigma: standard deviation of the noise, > 0.
    """
    cleaned = [
        likeliest(pilot, noisy, match_blocks(pilot, BLOCKS), sigma)
        for pilot, noisy in zip(dct_denoise(image, sigma).split(1), image.split(1), strict=True)
    ]
    return torch.cat(cleaned)


def likeliest(
    pilot: Tensor,
    noisy: Tensor,
    blocks: Tensor,
    sigma: float,
    covariance: Tensor | None = None,
) -> Tensor:
    """Denoise one image as `bayes_denoise` by given groups of blocks with `pilot`'s statistics.

    The noise has the covariance sigma^2 times the given one, see `with_noise_of`.
    """

    def given_noise(pilot: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        mean = pilot.mean(1, keepdim=True)
        rest = pilot - mean
        covariance = rest.mT @ rest / max(1, rest.shape[1] - 1)
        variance = covariance.diagonal(dim1=1, dim2=2)
        noise = (SINGULAR * variance.sum(1, keepdim=True)).clamp_min(sigma**2)
        factor = torch.linalg.cholesky(covariance + torch.diag_embed(noise.expand_as(variance)))
        gain = torch.cholesky_solve(covariance, factor)
        return mean + (rows - mean) @ gain, 1 / (1 + gain.square().sum((1, 2)))

    return from_groups(with_noise_of(covariance, given_noise), blocks, pilot, noisy)
