r"""The place of a found blur kernel in its square, by the border of the picture.

k * x does not tell where k lies: k moved by d and x moved by -d give the same y, but at the border,
where `Blur` continues x by its mirror image. A wrong d costs up to 3 dB, most of it there. The d
taken leaves the least unexplained by a picture of total variation,

.. math:: \min_d \|k_d * x_d - y\|^2, \qquad
          x_d = \arg\min_x \tfrac12 \|k_d * x - y\|^2 + w\, \mathrm{TV}(x) .

This says where the picture lies only as far as the mirror image is true. The rule is ours
(docs/blind.md).
"""

from __future__ import annotations

import math
from itertools import product

import torch
from torch import Tensor

from untrained.classical.sliding_dct import unit
from untrained.classical.total_variation import tv_solve
from untrained.physics.blind import LOST, shifted
from untrained.problem import Problem

WEIGHT = 3e-4
"""w, relative to ||A||^2 and the level of A^H y."""
TOLERANCE, ITERATIONS = 1e-2, 60


@torch.no_grad()
def placed(problem: Problem, kernel: Tensor) -> Tensor:
    """Move a kernel by the whole pixels d that explain the picture best, `(h, w)`.

    From d = 0 on, the search goes to the best of the eight neighbours as long as one is better. A
    move that pushes more than LOST of the kernel out of its square is left out.

    Args:
        problem: one problem with a `BlindBlur`.
        kernel: `(h, w)` of sum 1.
    """
    costs: dict[tuple[int, int], float] = {}
    best = (0, 0)
    while True:
        for step in product((0, -1, 1), repeat=2):
            place = best[0] + step[0], best[1] + step[1]
            if place not in costs:
                costs[place] = _cost(problem, _moved(kernel, place))
        new = min(costs, key=lambda place: costs[place])
        if new == best:
            moved = _moved(kernel, best)
            return kernel if moved is None else moved
        best = new


def _moved(kernel: Tensor, place: tuple[int, int]) -> Tensor | None:
    """Move a kernel and make its sum 1; None where too much of it is lost."""
    if place == (0, 0):
        return kernel
    moved = shifted(kernel, *place)
    total = float(moved.sum())
    return moved / total if total >= (1 - LOST) * float(kernel.sum()) else None


def _cost(problem: Problem, kernel: Tensor | None) -> float:
    """Compute what one kernel leaves unexplained, infinite for None."""
    if kernel is None:
        return math.inf
    known = problem.knowing({"kernel": kernel[None]})
    weight = WEIGHT * unit(known) * known.norm_squared
    x = tv_solve(known, weight, tolerance=TOLERANCE, max_iterations=ITERATIONS).image
    return float((known.A(x) - known.y).double().square().sum())
