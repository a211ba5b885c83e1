r"""Maximum likelihood of photon counts by expectation maximisation: MLEM, or Richardson-Lucy."""

from __future__ import annotations

import torch
from torch import Tensor

from untrained.classical.linear import require_linear
from untrained.classical.weight import SEED
from untrained.errors import UserError
from untrained.physics.counted import Whitened
from untrained.problem import Problem

MOST = 200  # iterations
PATIENCE = 20  # iterations without a better likelihood of held-out counts
HELD = 0.05
TINY = 1e-8


@torch.no_grad()
def mlem(problem: Problem, iterations: int | None = None) -> Tensor:
    r"""Climb the likelihood of Poisson counts, whose mean is A x, keeping x positive.

    .. math:: x \leftarrow \frac{x}{A^T 1}\, A^T \frac{y}{A x}

    L. Shepp, Y. Vardi, IEEE Trans. Med. Imaging 1 (1982) 113, for emission tomography; for a blur
    it is the algorithm of W. Richardson (J. Opt. Soc. Am. 62 (1972) 55) and L. Lucy (Astron. J. 79
    (1974) 745). Its limit draws the noise, and so it is stopped early: after as many iterations as
    make 5 % of the measurements, held out, most likely; then all are fitted in as many.

    Weights of single measurements (`Photons`) do not matter: the likelihood has its own.
    Measurements below 0 count as 0.

    Args:
        problem: G problems with a linear physics of no negative entries, solved in turn.
        iterations: None finds their number.

    Returns:
        `(G, C, *sides)` in the problem's units, >= 0.

    Raises:
        UserError: a nonlinear physics, or one with negative entries.
    """
    require_linear(problem, "mlem")
    images = []
    for i in range(len(problem.y)):
        one = problem.select(i)
        count = _found(one) if iterations is None else iterations
        images.append(_Counts(one).run(count)[0])
    return torch.cat(images)


def _found(problem: Problem) -> int:
    """Find the number of iterations after which held-out counts are most likely."""
    try:
        fit, held = problem.split(HELD, SEED, scattered=True)
    except UserError:  # too few measurements
        return PATIENCE
    return _Counts(fit).run(MOST, _Counts(held))[1]


class _Counts:
    """Counts of one problem and the operator of their mean, without any weights."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        physics, root = problem.physics, torch.ones_like(problem.y[:1])
        if isinstance(physics, Whitened):
            root = physics.root.clamp_min(TINY)
            physics = physics.unweighted
        self.physics = physics
        self.y = (problem.y / root).clamp_min(0)
        self.keep = problem.visible(torch.ones_like(problem.y))
        ones = problem.y.new_ones(1, *problem.x_shape)
        self.mean_of_ones = physics.A(ones)
        self.sensitivity = physics.A_adjoint(self.keep)
        if float(self.mean_of_ones.min()) < -1e-3 * float(self.mean_of_ones.abs().max()):
            raise UserError(
                "method 'mlem' is for counts, whose mean is never negative, and of a flat bright "
                "image this operator makes negative measurements; take 'tv'"
            )

    def run(self, most: int, held: _Counts | None = None) -> tuple[Tensor, int]:
        """Iterate from a flat image; return the last one, and the best number of iterations."""
        flat = (self.keep * self.y).sum() / (self.keep * self.mean_of_ones).sum().clamp_min(TINY)
        x = torch.ones_like(self.sensitivity) * flat
        seen = self.sensitivity > TINY * self.sensitivity.max()
        best, best_at = float("inf"), 0
        for k in range(most):
            ratio = self.keep * self.y / self.physics.A(x).clamp_min(TINY)
            x = x * self.physics.A_adjoint(ratio).clamp_min(0) / self.sensitivity.clamp_min(TINY)
            x = torch.where(seen, x, torch.zeros_like(x))
            if held is None:
                continue
            cost = held.unlikeliness(x)
            if cost < best:
                best, best_at = cost, k + 1
            elif k + 1 - best_at >= PATIENCE:
                break
        return x, max(1, best_at)

    def unlikeliness(self, x: Tensor) -> float:
        """Compute minus the log-likelihood of these counts, up to a constant."""
        mean = self.physics.A(x).clamp_min(TINY)
        return float((self.keep * (mean - self.y * mean.log())).double().sum())
