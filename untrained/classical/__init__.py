"""Classical answers: functions `(problem) -> image (G, C, H, W)` that never see the truth.

Every network is compared with them, and every report shows one of them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from untrained.classical.denoisers import DENOISERS, find_denoiser
from untrained.classical.emission import mlem
from untrained.classical.flat_pieces import flat_shares
from untrained.classical.gauss_newton import gaussnewton, linearised, smooth_or_flat
from untrained.classical.kept_pixels import closed, kept_noise
from untrained.classical.linear import adjoint, cgsense, data_step, fbp, fdk, filtered
from untrained.classical.low_rank import lowrank
from untrained.classical.low_rank_sparse import lps
from untrained.classical.mixture import deblurred, denoised, enlarged, filled, of_few_lines
from untrained.classical.nonlocal_bayes import bayes_denoise, nlbayes
from untrained.classical.pair_of_priors import two_priors
from untrained.classical.series import of_series, series_shares
from untrained.classical.sliding_dct import dct, dct_denoise
from untrained.classical.total_variation import (
    TVResult,
    rough_tv,
    temporaltv,
    tv,
    tv_solve,
    tv_weight,
)
from untrained.classical.wavelet import l1wavelet
from untrained.classical.weight import on_trajectory
from untrained.problem import Problem
from untrained.problem.slices import slices_of

CLASSICAL: dict[str, Callable[[Problem], Tensor]] = {
    "adjoint": adjoint,
    "fbp": fbp,
    "fdk": fdk,
    "cgsense": cgsense,
    "tv": tv,
    "l1wavelet": l1wavelet,
    "dct": dct,
    "lowrank": lowrank,
    "nlbayes": nlbayes,
    "mlem": mlem,
    "lps": lps,
    "temporaltv": temporaltv,
    "linearised": linearised,
    "gaussnewton": gaussnewton,
}

SHOWN = "tv"
"""The classical answer beside ours in every report: the best known one."""

__all__ = [
    "CLASSICAL",
    "DENOISERS",
    "SHOWN",
    "TVResult",
    "adjoint",
    "baseline",
    "baseline_name",
    "bayes_denoise",
    "cgsense",
    "closed",
    "data_step",
    "dct",
    "dct_denoise",
    "fbp",
    "fdk",
    "filtered",
    "find_denoiser",
    "flat_shares",
    "gaussnewton",
    "kept_noise",
    "l1wavelet",
    "linearised",
    "lowrank",
    "lps",
    "mlem",
    "nlbayes",
    "temporaltv",
    "tv",
    "tv_solve",
    "tv_weight",
    "two_priors",
]


def baseline(problem: Problem) -> Tensor:
    """Compute the classical image that a network method may use, once per problem.

    `denoised` for noisy pictures and volumes, `deblurred` for blurred ones, `filled` for those with
    missing pixels, `of_few_lines` for CT and MRI, `enlarged` for other pictures; the same for
    every slice of a volume that is measured slice by slice (`Stack`). A time series gets
    `of_series`. Other volumes and signals get
    total variation, solved to a relative gap of 1e-3 or 1000 iterations (data without noise need
    that many), which costs a fraction of `tv` and looks the same. A nonlinear physics with a
    Jacobian gets `smooth_or_flat`, any other `problem.estimate()`.
    """
    # of an operator that is being found, the image at its first guess: made once
    problem = problem.base or problem
    if not problem.solvable:
        return problem.estimate()
    return problem.cached("baseline", _baseline)


def baseline_name(problem: Problem) -> str:
    """Name the classical answers that `baseline` is made of, of the part that was solved first."""
    problem = problem.part_with("baseline")  # which found the shares for all
    if not problem.solvable:
        return problem.physics.classical_name or "what it starts from"
    if problem.physics.is_series:
        known = series_shares(problem, baseline)
        return ", ".join(f"{100 * share:.0f} % {name}" for name, share in known.items())
    slices = slices_of(problem)
    return f"{_chosen(slices[0])[0]}, slice by slice" if slices else _chosen(problem)[0]


def _baseline(problem: Problem) -> Tensor:
    if len(problem) > 1:  # each has a noise of its own
        return torch.cat([baseline(problem.select(i)) for i in range(len(problem))])
    if problem.physics.is_series:
        return of_series(problem, baseline)
    if slices := slices_of(problem):
        return torch.stack([baseline(one) for one in slices], dim=2)
    return _chosen(problem)[1](problem)


def _chosen(problem: Problem) -> tuple[str, Callable[[Problem], Tensor]]:
    """Choose the baseline of one problem: its name, and the function that computes it."""
    if problem.traits.only_noise and len(problem.x_shape) in (3, 4):
        others = "low rank, " if len(problem.x_shape) == 3 else ""
        return f"non-local Bayes, {others}total variation", denoised
    if not problem.linear:
        return "Gauss-Newton and total variation", smooth_or_flat
    if len(problem.x_shape) != 3:
        return "total variation", lambda one: rough_tv(one, tv_weight(one))
    if problem.traits.blurred:
        return "non-local Bayes, low rank, total variation", deblurred
    if problem.traits.missing_pixels:
        return _name_of_filled(problem), filled
    parts, flat = ["low rank", "non-local Bayes"], [float(s) for s in flat_shares(problem)]
    if on_trajectory(problem):
        parts.append("wavelets")
    if problem.traits.coarse and not any(flat):
        parts.append("total variation")
    if any(flat):
        share = f"{100 * flat[0]:.0f} % " if len(flat) == 1 else ""
        parts.append(f"{share}total variation")
    name = f"{', '.join(parts[:-1])} and {parts[-1]}"
    return name, of_few_lines if problem.traits.few_lines else enlarged


def _name_of_filled(problem: Problem) -> str:
    """Name what missing pixels are filled by, and say so where the kept ones change."""
    noise, name = kept_noise(problem), "low rank and non-local Bayes"
    return f"{name}; kept pixels denoised, sigma {255 * noise:.0f} of 255" if noise else name
