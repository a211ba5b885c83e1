"""The weight of a regulariser chosen without the truth, by held-out measurements."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor

from untrained.problem import Problem

FRACTION = 0.05
SEED = 0
GOLDEN = (math.sqrt(5) - 1) / 2
TIE = 0.99  # errors on a few columns or views differ by as much without a reason

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
    small; each solution starts at the previous one. Columns and views are few, and of weights that
    predict them equally well up to 1 % the largest is taken.

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
    tie = TIE if problem.task in ("mri", "ct") else 1.0
    return math.exp(golden_section(error, low, high, evaluations, tie))


def golden_section(
    f: Callable[[float], float], low: float, high: float, evaluations: int, tie: float = 1.0
) -> float:
    """The best point tried in `evaluations` values of a unimodal f > 0 on [low, high].

    Of points whose values agree up to the factor `tie` <= 1 the highest is the best.
    """
    left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    tried = {right: f(right)}
    tried[left] = f(left)
    for _ in range(evaluations - 2):
        if tried[left] < tie * tried[right]:
            high, right = right, left
            left = new = high - GOLDEN * (high - low)
        else:
            low, left = left, right
            right = new = low + GOLDEN * (high - low)
        tried[new] = f(new)
    least = min(tried.values())
    return max(point for point in tried if tie * tried[point] <= least)
