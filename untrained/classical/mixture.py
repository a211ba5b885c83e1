"""What noisy images are taken for: non-local Bayes, or total variation, or something between."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from untrained.classical.nonlocal_bayes import nlbayes
from untrained.classical.total_variation import rough_tv, tv_weight
from untrained.classical.weight import only_noise, sure_error
from untrained.problem import Problem


@torch.no_grad()
def denoised(problem: Problem) -> Tensor:
    r"""The mixture of `nlbayes` and `tv` with the least expected error.

    .. math:: x = s\, x_{nlbayes} + (1 - s)\, x_{tv}, \qquad
              s = \arg\min_{[0, 1]} \mathrm{SURE}(s)

    Stein's estimate (`sure_error`) is a parabola in s, found from three of its values. Of
    photographs and scans nothing is taken from total variation; phantoms and other images of flat
    pieces have it to thank for up to 2 dB (docs/methods/classical.md). Total variation is
    solved to a relative gap of 1e-3. Where a part of the pixels was solved before, its s is taken.
    Without a noise level it is `nlbayes`.

    Args:
        problem: one problem of denoising, an image or a volume.

    Returns:
        `(1, C, *sides)` in the problem's units.
    """
    if not only_noise(problem):
        return problem.cached("nlbayes", nlbayes)
    weight, share = tv_weight(problem), float(_share(problem))
    return _mixtures(problem, weight)(share)


def _share(problem: Problem) -> Tensor:
    """s, float64, without axes; once per problem, see `Problem.after`."""
    return problem.cached("share", _search) if problem.part is None else _share(problem.part)


def _search(problem: Problem) -> Tensor:
    weight = tv_weight(problem)
    error = sure_error(problem, lambda one: _mixtures(one, weight))
    start, middle, end = (error(share) for share in (0.0, 0.5, 1.0))
    bend = 2 * (start - 2 * middle + end)  # times s^2
    # two images without a difference have no better mixture
    best = 0.5 - (end - start) / (2 * bend) if bend > 0 else 1.0
    return torch.tensor(min(max(best, 0.0), 1.0), dtype=torch.float64)


def _mixtures(problem: Problem, weight: float) -> Callable[[float], Tensor]:
    """From s to the mixture; `weight` is that of the total variation."""
    bayes = problem.cached("nlbayes", nlbayes)
    flat = problem.cached("rough tv", lambda one: rough_tv(one, weight))
    return lambda share: flat.lerp(bayes, share)
