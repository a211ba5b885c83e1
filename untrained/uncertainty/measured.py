"""Part images into what the measurements determine and what they leave open (the null space)."""

from __future__ import annotations

import torch
from torch import Tensor

from untrained.maths import per_problem, sum_squares
from untrained.problem import Problem

CUT = 0.01
"""Square of the singular value, relative to the operator's mean square, at which a direction
counts as half measured."""

ITERATIONS = 40


@torch.no_grad()
def measured_part(problem: Problem, images: Tensor) -> Tensor:
    r"""Project images on what the measurements determine.

    .. math:: P x = (A^H A + \epsilon I)^{-1} A^H A\, x, \qquad
              \epsilon = 0.01\, \mathrm{trace}(A^H A) / n

    by conjugate gradients, each image with steps of its own. A direction of singular value s keeps
    the share :math:`s^2 / (s^2 + \epsilon)`: nearly all where it is measured well, nothing in the
    null space; x - P x is the part that no measurement speaks to.

    Args:
        problem: of one image and a linear operator; all its visible measurements count.
        images: `(S, C, ...)` in the problem's units.

    Returns:
        `(S, C, ...)`.
    """
    shift = CUT * float(problem.mean_squared_singular_value)
    rest = problem.A_adjoint(problem.A(images))
    part, step = torch.zeros_like(rest), rest
    energy = sum_squares(rest)
    enough = 1e-10 * energy
    for _ in range(ITERATIONS):
        going = energy > enough
        if not bool(going.any()):
            break
        product = problem.A_adjoint(problem.A(step)) + shift * step
        along = (step * product).flatten(1).sum(1)
        length = torch.where(going, energy / along.clamp_min(1e-30), torch.zeros_like(energy))
        part = part + per_problem(length, step) * step
        rest = rest - per_problem(length, step) * product
        previous, energy = energy, sum_squares(rest)
        share = torch.where(going, energy / previous.clamp_min(1e-30), torch.zeros_like(energy))
        step = rest + per_problem(share, step) * step
    return part
