"""Total variation's share in the classical image of an object of flat pieces, such as a phantom."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from untrained.classical.gradient import gradient, length
from untrained.classical.pair_of_priors import COARSE, settings, solve_at
from untrained.classical.shares import held_out_residuals, least_squares
from untrained.classical.sliding_dct import quick_tv
from untrained.classical.total_variation import rough_tv, tv, tv_weight
from untrained.classical.weight import SEED, relative_noise
from untrained.problem import Problem

OBJECT = 0.1  # of the largest magnitude: what is darker is the background
EDGES = 0.3  # of the object's pixels
SPARSE = 0.5  # the least `edge_sparsity` of flat pieces
FAINT = 0.03, 0.05  # of `faint_share`: the share is full up to the first, 0 from the second on
FOLDS = 3  # draws of held-out columns


@dataclass(frozen=True)
class Flatness:
    """Say how large total variation's share becomes where an object has flat pieces.

    Args:
        most: the largest share.
        noise: noise relative to the mean |y| above which that share falls as 1/noise; 0 = never.
        judged: whether held-out measurements alone choose the share where edges are sparse.
    """

    most: float
    noise: float = 0.0
    judged: bool = False


FLAT = {
    "ct": Flatness(0.75, noise=0.0133),
    "mri": Flatness(1.0, judged=True),
    "superres": Flatness(0.75),
}
"""Held-out views cannot judge: a view is predicted best by what fills gaps twice as wide as those
of the scan, and coarse pixels do not see the detail. docs/methods/house.md has the measurements."""


def edge_sparsity(image: Tensor) -> float:
    r"""Compute how few pixels of an object carry its edges, relative to the size of the image.

    .. math:: \kappa = \frac{n \sum_i |\nabla x_i|^2}{(\sum_i |\nabla x_i|)^2}\, (H W)^{-1/4}

    over the n pixels of the object. The first factor is n divided by the number of pixels that
    share the gradient; edges of one pixel make it grow with the side, smooth changes do not, so
    that the second, one over the root of the side, sets phantoms (0.5 to 0.9) and tissue (0.2 to
    0.47) further apart in large images than in small.

    Args:
        image: `(1, C, H, W)`; channels count together.

    Returns:
        kappa; 0 for an image without edges.
    """
    steps = _steps(image)
    total = float(steps.sum())
    if total == 0:
        return 0.0
    side = math.sqrt(math.sqrt(image[0, 0].numel()))
    return float(steps.square().sum()) * len(steps) / total**2 / side


def faint_share(image: Tensor) -> float:
    """Compute the share of the gradient outside the 30 % of the object where it is largest.

    Flat pieces leave 0.003 to 0.04 to the other pixels of an image of total variation,
    photographs with large even areas 0.05 to 0.1, tissue 0.13 to 0.2.

    Args:
        image: `(1, C, H, W)`; channels count together.

    Returns:
        A share from 0 to 0.7; 0 for an image without edges.
    """
    steps = _steps(image).sort(descending=True).values
    total = float(steps.sum())
    return float(steps[int(EDGES * len(steps)) :].sum()) / total if total else 0.0


def _steps(image: Tensor) -> Tensor:
    """Compute the length of the gradient at each pixel of the object."""
    size = image[0].square().sum(0).sqrt()
    return length(gradient(image))[0, 0, 0][size > OBJECT * size.max()].double()


def mixed_if_flat(problem: Problem, image: Tensor) -> Tensor:
    r"""Mix a classical image with that of total variation where the object has flat pieces.

    .. math:: x = (1 - s)\, x + s\, x_{\mathrm{tv}}

    Blocks of low rank lose 2.5 dB to total variation on the Shepp-Logan phantom from 30 views, and
    win 1 to 2 on tissue. s is above zero where a quick image of total variation has sparse edges
    (`edge_sparsity`) and the one with a weight of its own leaves next to nothing between them
    (`faint_share`); on MRI it is the share that predicts held-out columns best.

    Args:
        problem: one problem of CT, MRI or super-resolution.
        image: `(1, C, H, W)` in the problem's units.

    Returns:
        `(1, C, H, W)`; `image` itself where s is 0.
    """
    share = float(flat_shares(problem))
    return image.lerp(problem.cached("tv of flat pieces", _tv), share) if share else image


def flat_shares(problem: Problem) -> Tensor:
    """Find s of `mixed_if_flat` of each of G problems, `(G,)`; 0 where it has no rule (`FLAT`).

    It is found once: on the part solved before, where there is one.
    """
    known = problem.base or problem  # of an operator that is being found, at its first guess
    if known.task not in FLAT or len(known.x_shape) != 3 or not known.linear:
        return torch.zeros(len(problem.y))
    if known.part is not None:
        return flat_shares(known.part)
    return torch.cat([one.cached("share of flat pieces", _search) for one in known.each()])


def _search(problem: Problem) -> Tensor:
    flat = FLAT[problem.task]
    if edge_sparsity(problem.cached("quick tv", quick_tv)) < SPARSE:
        return torch.zeros(1)
    if flat.judged:
        return _predicts_best(problem)
    faint = faint_share(problem.cached("tv of flat pieces", _tv))
    most = flat.most * min(max((FAINT[1] - faint) / (FAINT[1] - FAINT[0]), 0.0), 1.0)
    if most and flat.noise:  # noise costs total variation more than blocks
        most *= min(1.0, flat.noise / relative_noise(problem))
    return torch.tensor([most])


def _tv(problem: Problem) -> Tensor:
    # to the end: without noise a rough solution is up to 0.8 dB worse
    return tv(problem, tv_weight(problem))


def _predicts_best(problem: Problem) -> Tensor:
    """Find the share that predicts held-out columns best, each draw relative to its own error."""
    weight, (level, coupling) = tv_weight(problem), settings(problem)
    rows = []

    def images(fit: Problem, shrink: float) -> tuple[Tensor, Tensor]:
        two = solve_at(fit, level * shrink, coupling, COARSE)
        return two, rough_tv(fit, weight * shrink)

    for seed in range(SEED, SEED + FOLDS):
        off = held_out_residuals(problem, images, seed)
        if off is None:  # no column outside the centre
            return torch.zeros(1)
        rows.append(off / off[0].norm().clamp_min(torch.finfo(off.dtype).tiny))
    return least_squares(torch.cat(rows, dim=1))[1:].float()
