"""Classical answers: functions `(problem) -> image (G, C, H, W)` that never see the truth.

They are the bar every network has to clear, and every report shows one of them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from untrained.classical.denoisers import DENOISERS, find_denoiser
from untrained.classical.linear import adjoint, cgsense, data_step, fbp
from untrained.classical.low_rank import lowrank
from untrained.classical.mixture import denoised
from untrained.classical.nonlocal_bayes import bayes_denoise, nlbayes
from untrained.classical.sliding_dct import (
    dct,
    dct_denoise,
    dct_settings,
)
from untrained.classical.total_variation import TVResult, rough_tv, tv, tv_solve, tv_weight
from untrained.classical.wavelet import l1wavelet
from untrained.classical.weight import only_noise
from untrained.problem import Problem
from untrained.slices import slices_of

CLASSICAL: dict[str, Callable[[Problem], Tensor]] = {
    "adjoint": adjoint,
    "fbp": fbp,
    "cgsense": cgsense,
    "tv": tv,
    "l1wavelet": l1wavelet,
    "dct": dct,
    "lowrank": lowrank,
    "nlbayes": nlbayes,
}

QUIET = 0.0135
"""Level of `dct` up to which MRI takes `lowrank`, which loses by it where noise is strong
(docs/methods/classical.md)."""

DOUBT = 0.2
"""k of `_two_by_views`. On nine slices at 128x128 the mixture is then 0.05 dB below the best one of
the two images on average, all of it on one slice with much noise, and 0.03 above on the others."""

SHOWN = "tv"
"""The classical answer beside ours in every report: the one that everybody knows."""

__all__ = [
    "CLASSICAL",
    "DENOISERS",
    "SHOWN",
    "TVResult",
    "adjoint",
    "bayes_denoise",
    "cgsense",
    "data_step",
    "dct",
    "dct_denoise",
    "fbp",
    "find_denoiser",
    "guide",
    "guide_name",
    "l1wavelet",
    "lowrank",
    "nlbayes",
    "tv",
    "tv_solve",
    "tv_weight",
]


def guide(problem: Problem) -> Tensor:
    """The classical image that a network method may lean on, computed once per problem.

    `lowrank` for missing pixels and for MRI pictures with little noise, a mixture of it
    and `nlbayes` for CT, `denoised` for noisy pictures and volumes, `nlbayes` for deblurring and
    super-resolution, `dct`
    for other pictures; the same for every slice of a volume that is measured slice by slice
    (`Stack`). Other volumes and signals get total variation, solved to a relative gap of 1e-3 or
    1000 iterations (data without noise need that many), which costs a fraction of `tv` and looks
    the same. A nonlinear physics gets `problem.estimate()`.
    """
    if not problem.linear:
        return problem.estimate()
    return problem.cached("guide", _guide)


def guide_name(problem: Problem) -> str:
    """What `guide` gives, in words."""
    if not problem.linear:
        return str(getattr(problem.physics, "classical_name", "") or "what it starts from")
    slices = slices_of(problem)
    return f"{_chosen(slices[0])[0]}, slice by slice" if slices else _chosen(problem)[0]


def _guide(problem: Problem) -> Tensor:
    if len(problem) > 1:  # each has a noise of its own
        return torch.cat([guide(problem.select(i)) for i in range(len(problem))])
    if slices := slices_of(problem):
        return torch.stack([guide(one) for one in slices], dim=2)
    return _chosen(problem)[1](problem)


def _chosen(problem: Problem) -> tuple[str, Callable[[Problem], Tensor]]:
    """What the guide is, in words, and what computes that of one problem."""
    if problem.task == "denoise" and len(problem.x_shape) in (3, 4):
        mixed = " and total variation" if only_noise(problem) else ""
        return f"non-local Bayes{mixed}", denoised
    if len(problem.x_shape) != 3:
        return "total variation", lambda one: rough_tv(one, tv_weight(one))
    return _GUIDES.get(problem.task, ("sliding cosine transforms", partial(_answer, "dct")))


def _answer(name: str, problem: Problem) -> Tensor:
    return problem.cached(name, CLASSICAL[name])


def _alike_if_quiet(problem: Problem) -> Tensor:
    """`lowrank` where aliases, and not noise, are what has to be told from structure."""
    level, _ = dct_settings(problem.part or problem)
    return _answer("lowrank" if level <= QUIET else "dct", problem)


def _two_by_views(problem: Problem) -> Tensor:
    r"""`lowrank` and `nlbayes`, mixed by what is held out.

    .. math:: x = (1 - b)\, x_{lowrank} + b\, x_{nlbayes}, \qquad
              b = \arg\min_{[0, 1]} \|A_h x - y_h\|^2_W + k\, m\, (b - 1/2)^2

    over the measurements h that the problem has beyond the part solved before, with the two images
    of that part, m being the smallest error of any mixture. Without such a part b = 1/2. Few views
    are noise and streaks, which each prior takes for something else; where noise is strong
    `lowrank` is 2 dB behind, and with many views nearly as much.
    """
    first, second = _answer("lowrank", problem), _answer("nlbayes", problem)
    return first.lerp(second, float(problem.cached("share of nlbayes", _share_of_second)))


def _share_of_second(problem: Problem) -> Tensor:
    part = problem.part
    if part is None:
        return torch.tensor(0.5, dtype=torch.float64)
    hidden = problem.beyond(part)
    first, second = (_answer(name, part) for name in ("lowrank", "nlbayes"))
    step = hidden.whiten(hidden.A(second - first)).double().flatten()
    wanted = hidden.whiten(hidden.y - hidden.A(first)).double().flatten()
    along, size = step @ wanted, (step @ step).clamp_min(1e-30)
    known = DOUBT * (wanted @ wanted - along.square() / size).clamp_min(0)
    return ((along + known / 2) / (size + known)).clamp(0, 1).cpu()


_GUIDES: dict[str, tuple[str, Callable[[Problem], Tensor]]] = {
    "deblur": ("non-local Bayes", partial(_answer, "nlbayes")),
    "superres": ("non-local Bayes", partial(_answer, "nlbayes")),
    "inpaint": ("groups of alike blocks", partial(_answer, "lowrank")),
    "mri": ("groups of alike blocks, or cosines where noise is strong", _alike_if_quiet),
    "ct": ("groups of alike blocks and non-local Bayes", _two_by_views),
}
