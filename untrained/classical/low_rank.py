r"""Low rank of similar blocks: small groups of them, denoised together, as a plug-in prior."""

from __future__ import annotations

import torch
from torch import Tensor

from untrained.classical.block_matching import Blocks, from_groups, match_blocks, with_noise_of
from untrained.classical.kept_pixels import closed
from untrained.classical.linear import data_step, require_picture
from untrained.classical.sliding_dct import (
    STEPS,
    dct,
    dct_settings,
    dct_weighed,
    falling,
    tv_start,
    unit,
)
from untrained.problem import Problem

BLOCKS = Blocks(side=6, stride=4, reach=8, group_size=24)
SPARSE = BLOCKS._replace(stride=5)  # at first
FRESH = 4  # blocks are matched anew in every fourth round
FULL = 6  # the last rounds, or a few less, take all blocks
FIRST_LEVEL = 0.04
COUPLING, MOMENTUM = 0.1, 0.9
BRIGHTEST = 1.2

LAST_LEVEL = {"inpaint": 0.5, "ct": 1.25}
"""In units of the level of `dct`, 1.5 elsewhere: what is not missing is known well."""

ROUNDS = {"ct": 8}
"""30 elsewhere; on CT later rounds draw noise."""


@torch.no_grad()
def lowrank(problem: Problem) -> Tensor:
    r"""Reconstruct by half-quadratic splitting with low rank of similar blocks as the prior.

    .. math:: q_k = z_{k-1} + 0.9\, (z_{k-1} - z_{k-2}), \qquad
              x_k = L_{\sigma_k}(q_k), \qquad
              z_k = \arg\min_z \|W^{1/2} (A z - y)\|^2 / \|W^{1/2} A\|^2 + 0.1\, \|z - x_k\|^2

    L is `shrink_groups`, z_0 the image of `dct` after a data step, and sigma_k falls in equal
    ratios from 0.04 to 1.5 times the level that `dct` found by held-out measurements (half of it
    for missing pixels, 1.25 times for CT), in 30 rounds, 8 for CT. The answer is the last z (see
    `closed`), or the last x where `dct` chose its own last x. No x is brighter than 1.2
    times the brightest pixel of a quick total-variation image: where coil maps are wrong, as at a
    border that cuts the object, splitting would explain the data by ever larger values.

    Similar blocks complete each other: structures repeat all over an image, and the aliases of
    undersampling do not. That gains most where much of k-space is missing. The prior is that of
    W. Dong et al., "Compressive sensing via nonlocal low-rank regularization", IEEE TIP 23 (2014);
    the momentum is ours: without it ten times the rounds are needed.

    Args:
        problem: G problems with a linear physics, solved in turn.

    Returns:
        `(G, C, H, W)` in the problem's units.

    Raises:
        UserError: a nonlinear physics, or no picture.
    """
    require_picture(problem, "lowrank")
    return torch.cat([_solved(problem.select(i)) for i in range(len(problem.y))])


def _solved(problem: Problem) -> Tensor:
    task, weighed = problem.task, dct_weighed(problem)
    level, closing = dct_settings(problem)
    last = LAST_LEVEL.get(task, 1.5) * level
    first, rounds = max(FIRST_LEVEL * unit(problem), last), ROUNDS.get(task, 30)
    bound = BRIGHTEST * _size(tv_start(weighed)).max()
    z = before = data_step(weighed, problem.cached("dct", dct), COUPLING, STEPS)
    for k, sigma in enumerate(falling(first, last, rounds)):
        q = z + MOMENTUM * (z - before)
        if k % FRESH == 0:
            blocks = match_blocks(q, SPARSE if rounds - k > FULL else BLOCKS)
        x = problem.supported(shrink_groups(q, blocks, sigma))
        x = x * (bound / _size(x).clamp_min(bound).clamp_min(1e-30))
        z, before = data_step(weighed, x, COUPLING, STEPS), z
    return closed(problem, x, z) if closing else x


def _size(image: Tensor) -> Tensor:
    """Compute the magnitude of every pixel over its channels, `(1, 1, H, W)`."""
    return image.square().sum(1, keepdim=True).sqrt()


def _eigen(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Compute eigenvalues and eigenvectors, in float64 where float32 does not converge."""
    try:
        values, vectors = torch.linalg.eigh(matrices)
    except torch.linalg.LinAlgError:
        values, vectors = (found.to(matrices) for found in torch.linalg.eigh(matrices.double()))
    return values, vectors


def shrink_groups(
    image: Tensor, blocks: Tensor, sigma: float, covariance: Tensor | None = None
) -> Tensor:
    r"""Shrink every group of blocks of an image to low rank, and average where blocks overlap.

    The blocks of a group, less their mean, are the rows of a matrix of K x d. Its singular values
    s are shrunk as is best for a low-rank matrix in white noise,

    .. math:: \hat s = \sigma \sqrt{n}\, \sqrt{(t^2 - b - 1)^2 - 4 b}\, /\, t, \qquad
              t = \frac{s}{\sigma \sqrt n} > 1 + \sqrt b, \qquad
              n = \max(K, d), \quad b = \min(K, d) / n

    and 0 below (M. Gavish, D. Donoho, "Optimal shrinkage of singular values", IEEE Trans. Inf.
    Theory 63 (2017)). Where blocks overlap, those of groups with few and small values left count
    more, by one over 1 plus the sum of the squared gains.

    Args:
        image: `(1, C, H, W)`.
        blocks: see `match_blocks`.
        sigma: standard deviation of the noise in every pixel and channel.
        covariance: of the noise in a block, relative to sigma^2, see `with_noise_of`.
    """

    def lowered(rows: Tensor) -> tuple[Tensor, Tensor]:
        mean = rows.mean(1, keepdim=True)
        rest = rows - mean
        energy, basis = _eigen(rest @ rest.mT)
        long, short = max(rest.shape[1:]), min(rest.shape[1:])
        ratio, relative = short / long, (energy / (long * sigma**2)).clamp_min(1e-9)
        shrunk = ((relative - ratio - 1).square() - 4 * ratio).clamp_min(0).sqrt() / relative
        gain = shrunk * (relative > (1 + ratio**0.5) ** 2)
        projection = (basis * gain[:, None]) @ basis.mT
        return mean + projection @ rest, 1 / (1 + gain.square().sum(1))

    return from_groups(with_noise_of(covariance, lowered), blocks, image)
