"""The classical image of a time series: answers mixed by how they predict measurements."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from untrained.classical.low_rank import lowrank
from untrained.classical.low_rank_sparse import lps
from untrained.classical.mixture import candidates
from untrained.classical.pair_of_priors import two_priors
from untrained.classical.shares import SPLIT, least_squares
from untrained.classical.total_variation import rough_tv, temporaltv, tv_weight
from untrained.classical.weight import FRACTION, SEED, noise_level
from untrained.errors import UserError
from untrained.problem import Problem
from untrained.problem.slices import frames_of

JUDGED = 2
"""Frames in which held-out pixels judge: each is solved alone once more for that."""

SHARES = "shares of a series"  # their name in the problem's cache

Answer = Callable[[Problem], Tensor]


def _smooth(problem: Problem) -> Tensor:
    return problem.cached("rough tv", lambda one: rough_tv(one, tv_weight(one)))


def _denoised(kind: int) -> Answer:
    def answer(problem: Problem) -> Tensor:
        made = problem.cached("denoisers", lambda one: candidates(one, tv_weight(one)))
        return made[kind]

    return answer


BLOCKS: dict[str, Answer] = {
    "two priors in space and time": two_priors,
    "low rank of blocks in space and time": lambda one: one.cached("lowrank", lowrank),
}
DENOISERS: dict[str, Answer] = {
    "non-local Bayes in space and time": _denoised(0),
    "non-local Bayes in space and time, twice": _denoised(1),
    "low rank of blocks in space and time": _denoised(2),
}
WHOLE: dict[str, Answer] = {
    "low rank + sparse": lps,
    "total variation": _smooth,
    "temporal total variation": temporaltv,
}
ALONE = "frame by frame"


def answers(problem: Problem) -> dict[str, Answer]:
    """Return the answers to a whole series by name; those of its frames one by one are ALONE."""
    return (DENOISERS if problem.traits.only_noise else BLOCKS) | WHOLE


@torch.no_grad()
def of_series(problem: Problem, alone: Answer) -> Tensor:
    r"""Mix the answers to a series so that measurements it has not seen are predicted best.

    .. math:: x = \sum_k s_k x_k, \qquad
              s = \arg\min_{s \ge 0,\ \sum s_k = 1} \Bigl\|\sum_k s_k (A_h x_k - y_h)\Bigr\|^2

    x_k are `answers` and the frames solved one by one. y_h is held out (`Series.holdout`); where y
    is the image and noise, nothing held out judges how noise is removed, and y_h = y - n / 0.3 is
    compared with what was made of y + 0.3 n, n drawn like the noise (`split_noise_shares`). Pixels
    judge in two frames: one alone takes as long as a picture does. Answers of no share are not
    computed again.

    Args:
        problem: one series with a linear physics.
        alone: the classical image of one frame.

    Returns:
        `(1, C, T, H, W)` in the problem's units.
    """
    shares = _shares(problem, alone)
    whole = problem
    if problem.part is None and not problem.traits.only_noise:
        split = _split(problem)
        whole = problem if split is None else problem.after(split[0])
    image = torch.zeros_like(problem.estimate())
    each = answers(problem)
    for share, name in zip(shares.tolist(), (*each, ALONE), strict=True):
        if share > 0:
            image += share * (each[name](whole) if name in each else _alone(problem, alone))
    return image


def series_shares(problem: Problem, alone: Answer) -> dict[str, float]:
    """Return the share of each answer, by name; those of no share left out."""
    names = (*answers(problem), ALONE)
    found = zip(names, _shares(problem, alone).tolist(), strict=True)
    return {name: share for name, share in found if share > 0}


def _alone(problem: Problem, alone: Answer) -> Tensor:
    return torch.stack([alone(one) for one in frames_of(problem)], dim=2)


def _shares(problem: Problem, alone: Answer) -> Tensor:
    """Find s once: on the part of the measurements that was solved before, where there is one."""
    if problem.part is not None:
        return _shares(problem.part, alone)
    return problem.cached(SHARES, lambda one: _search(one, alone))


def _split(problem: Problem) -> tuple[Problem, Problem] | None:
    try:
        return problem.split(FRACTION.get(problem.task, 0.05), SEED, scattered=True)
    except UserError:
        return None


def _search(problem: Problem, alone: Answer) -> Tensor:
    if problem.traits.only_noise:
        fit, residual = _with_new_noise(problem)
    else:
        split = _split(problem)
        if split is None:  # nothing can be held out
            return torch.eye(len(answers(problem)) + 1, dtype=torch.float64)[0]
        fit, held = split
        residual = _held_out(held)
    judged = _judged(residual(torch.zeros_like(problem.estimate())), problem.traits.few_lines)
    off = [residual(answer(fit))[:, :, judged].flatten() for answer in answers(fit).values()]
    image = torch.zeros_like(problem.estimate())
    frames = frames_of(fit)
    for t in judged:
        image[:, :, t] = alone(frames[t])
    off.append(residual(image)[:, :, judged].flatten())
    shares = least_squares(torch.stack(off).double())
    shares = torch.where(shares < LEAST, torch.zeros_like(shares), shares)
    return shares / shares.sum()


LEAST = 0.02
"""A smaller share is none."""

Residual = Callable[[Tensor], Tensor]


def _held_out(held: Problem) -> Residual:
    return lambda x: held.visible(held.A(x) - held.y)


def _with_new_noise(problem: Problem) -> tuple[Problem, Residual]:
    """Split the noise in two: a problem with a little more of it, and what judges its images."""
    sigma = noise_level(problem, problem.estimate())
    draw = torch.randn(problem.y.shape, generator=torch.Generator().manual_seed(SEED))
    noise = sigma * problem.visible(draw.to(problem.y))
    judge = problem.y - noise / SPLIT
    fit = problem.with_measurements(problem.y + SPLIT * noise)
    return fit, lambda x: problem.visible(problem.A(x) - judge)


def _judged(residual: Tensor, all_of_them: bool) -> list[int]:
    """List the frames that judge: those with anything held out, of pixels JUDGED of them."""
    seen = residual.movedim(2, 0).flatten(1).any(1).nonzero().flatten().tolist()
    if all_of_them or len(seen) <= JUDGED:
        return seen
    return [seen[(2 * k + 1) * len(seen) // (2 * JUDGED)] for k in range(JUDGED)]
