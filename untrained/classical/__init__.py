"""Classical answers: functions `(problem) -> image (G, C, H, W)` that never see the truth.

They are the bar every network has to clear, and every report shows one of them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from untrained.classical.denoisers import DENOISERS, find_denoiser
from untrained.classical.linear import adjoint, cgsense, data_step, fbp
from untrained.classical.nonlocal_means import nlm
from untrained.classical.total_variation import TVResult, tv, tv_solve, tv_step, tv_weight
from untrained.classical.wavelet import l1wavelet
from untrained.problem import Problem

CLASSICAL: dict[str, Callable[[Problem], Tensor]] = {
    "adjoint": adjoint,
    "fbp": fbp,
    "cgsense": cgsense,
    "tv": tv,
    "l1wavelet": l1wavelet,
}

SHOWN = "tv"
"""The classical answer beside ours in every report: the best of them on every scan and photograph
of docs/results.md, that of MRI included."""

__all__ = [
    "CLASSICAL",
    "DENOISERS",
    "SHOWN",
    "TVResult",
    "adjoint",
    "cgsense",
    "data_step",
    "fbp",
    "find_denoiser",
    "guide",
    "l1wavelet",
    "nlm",
    "partner",
    "tv",
    "tv_solve",
    "tv_step",
    "tv_weight",
]


def guide(problem: Problem) -> Tensor:
    """The classical image that a network method may lean on: total variation where it applies.

    Solved to a relative gap of 1e-3 or 1000 iterations (data without noise need that many), which
    costs a fraction of `tv` and looks the same. A nonlinear physics gets `problem.estimate()`.
    Computed once per problem.
    """
    if problem.linear:
        return problem.cached("guide", _quick_tv)
    return problem.estimate()


def partner(problem: Problem, name: str) -> Tensor:
    """A classical image to mix a network's with: `tv`, the guide, or `nlm` for noisy pictures.

    Volumes and signals get `tv` either way.
    """
    if name == "nlm" and problem.task == "denoise" and len(problem.x_shape) == 3:
        return problem.cached("nlm", nlm)
    return guide(problem)


def _quick_tv(problem: Problem) -> Tensor:
    images = []
    for i in range(len(problem.y)):
        one = problem.select(i)
        found = tv_solve(one, tv_weight(one), tolerance=1e-3, max_iterations=1000)
        images.append(found.image)
    return torch.cat(images)
