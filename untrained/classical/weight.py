"""The weight of a regulariser chosen without the truth, by held-out measurements."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor

from untrained.problem import Problem

FRACTION = 0.05
SEED = 0
GOLDEN = (math.sqrt(5) - 1) / 2

Solve = Callable[[float], Tensor]


def choose_weight(
    problem: Problem,
    prepare: Callable[[Problem], Solve],
    bracket: tuple[float, float],
    evaluations: int = 9,
) -> float:
    r"""The weight that predicts held-out measurements best.

    .. math:: \hat w = \arg\min_w \|A_{held}\, x_w - y_{held}\|^2, \qquad
              x_w = \arg\min_x \tfrac12\|A_{fit}\, x - y_{fit}\|^2 + w R(x)

    5 % of the measurements are held out, as the physics says (`holdout`: pixels, k-space samples
    outside the centre, whole views); where it says so they speak for all that was never measured
    (`Problem.expected_misfit`). Golden-section search on log w, from large weights to
    small; each solution starts at the previous one.

    Args:
        problem: one problem.
        prepare: gives, for the fitted part, a function from a weight to its solution
            `(1, C, H, W)`, in that part's own units.
        bracket: smallest and largest weight, in the units of `problem`.
        evaluations: number of solutions computed.

    Returns:
        The weight for all measurements, in the units of `problem`.
    """
    fit, held = problem.split(FRACTION, SEED)
    solve = prepare(fit)
    # x and y shrink by this factor in fit's units; a weight of x's one-homogeneous R with them.
    shrink = float(problem.scale[0] / fit.scale[0])

    def error(log_weight: float) -> float:
        return float(fit.expected_misfit(solve(math.exp(log_weight) * shrink), held)[0])

    low, high = (math.log(b) for b in bracket)
    return math.exp(golden_section(error, low, high, evaluations))


def golden_section(f: Callable[[float], float], low: float, high: float, evaluations: int) -> float:
    """The best point tried in `evaluations` values of a unimodal f on [low, high]."""
    left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    tried = {right: f(right)}
    tried[left] = f(left)
    for _ in range(evaluations - 2):
        if tried[left] < tried[right]:
            high, right = right, left
            left = new = high - GOLDEN * (high - low)
        else:
            low, left = left, right
            right = new = low + GOLDEN * (high - low)
        tried[new] = f(new)
    return min(tried, key=lambda point: tried[point])
