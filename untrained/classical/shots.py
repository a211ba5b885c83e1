"""What `house` leans on where k-space was measured along a trajectory: shots judge well."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable

import torch
from torch import Tensor

from untrained.classical.pair_of_priors import FIRST, settings, solve_at
from untrained.classical.shares import least_squares
from untrained.classical.wavelet import l1wavelet
from untrained.classical.weight import SEED, taken_over
from untrained.errors import UserError
from untrained.problem import Problem

HELD_OUT = 0.15
"""Share of the shots that finds s and the weight: three of sixty spokes of one coil were so poor a
judge that the image lost 2 dB."""
SPARSE = 5  # distance of two blocks where s is found
OF_LEVEL = 0.7
"""The weight that the search begins with, in units of the level that `settings` found times the
root of the coupling over FIRST: on six scans the weight of `l1wavelet` was 0.26 to 1.64 of that."""
OCTAVES = 2  # the search goes no further from there


@torch.no_grad()
def of_shots(problem: Problem) -> Tensor:
    r"""Mix the images of `two_priors` and `l1wavelet` so that held-out shots are predicted best.

    .. math:: x = (1 - s)\, x_{\mathrm{two}} + s\, x_{\mathrm{wavelet}}, \qquad
              s = \arg\min_{0 \le s \le 1} \|A_{held}\, x - y_{held}\|^2

    Shots cross all of k-space, so that a few of them find s, where as many columns cannot. s and
    the weight of `l1wavelet`, the best of factors of two, are found on a further 15 % of them.
    Where a part of the shots was solved before, its s, weight and level are taken. Where nothing
    can be held out, or SigPy is missing, s = 0. Evidence: docs/methods/house.md.

    Args:
        problem: one problem of a `NonCartesianMRI`.

    Returns:
        `(1, 2 S, H, W)` in the problem's units.
    """
    s, weight = _share_and_weight(problem).tolist()
    if s == 1:
        return l1wavelet(problem, weight)
    two = solve_at(problem, *settings(problem))
    return two.lerp(l1wavelet(problem, weight), s) if s else two


def _share_and_weight(problem: Problem) -> Tensor:
    """Find s, and the weight in the problem's units, once: on the part solved before, if any."""
    if problem.part is None:
        return problem.cached("share and weight of wavelets", _search)
    s, weight = _share_and_weight(problem.part)
    return torch.stack([s, taken_over(problem, problem.part, float(weight))])


def _search(problem: Problem) -> Tensor:
    nothing = torch.zeros(2, dtype=torch.float64)
    if importlib.util.find_spec("sigpy") is None:
        return nothing
    try:
        fit, held = problem.split(HELD_OUT, SEED, scattered=True)
    except UserError:
        return nothing
    level, coupling = settings(problem)
    shrink = float(problem.scale[0] / fit.scale[0])
    first = OF_LEVEL * level * math.sqrt(coupling / FIRST)

    def off(image: Tensor) -> Tensor:
        return held.visible(held.A(image) - held.y).flatten().double()

    def at(octave: int) -> Tensor:
        return off(l1wavelet(fit, first * 2.0**octave * shrink))

    octave, wavelets = _downhill(at)
    both = torch.stack([off(solve_at(fit, level * shrink, coupling, SPARSE)), wavelets])
    return torch.stack([least_squares(both)[1], torch.tensor(first * 2.0**octave).double()])


def _downhill(off: Callable[[int], Tensor]) -> tuple[int, Tensor]:
    """Go from 0 by steps of 1, down or else up, for as long as the residual `off` shrinks."""
    best, least = 0, off(0)
    for way in (-1, 1):
        while abs(best) < OCTAVES:
            further = off(best + way)
            if further.norm() >= least.norm():
                break
            best, least = best + way, further
        if best:
            break
    return best, least
