"""Cartesian MRI as trained networks know it: coil maps whose squares sum to one, level one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from untrained.errors import UserError
from untrained.maths import per_problem, sum_squares
from untrained.physics.mri import MRI
from untrained.problem import Problem


@dataclass(frozen=True)
class UnitCoils:
    r"""A problem of MRI with maps of unit norm: :math:`A' = A / r`, :math:`r^2 = \sum_c |S_c|^2`.

    The image of A' is r times that of A. Trained networks were shown such maps; those of a file may
    have any norm.

    Attributes:
        problem: one or several problems of MRI.
        physics: their operator A.
        root: r, `(1 or G, 1, H, W)`; infinite where no coil sees.
    """

    problem: Problem
    physics: MRI
    root: Tensor

    @classmethod
    def of(cls, problem: Problem, who: str) -> UnitCoils:
        """Take the maps of a problem; `who` names the network in messages.

        Raises:
            UserError: it is not Cartesian MRI in the plane.
        """
        if not isinstance(problem.physics, MRI):
            raise UserError(
                f"{who} reconstructs Cartesian MRI in the plane, and this operator is "
                f"{problem.physics.class_name()}; of a volume give the slices (--slice)"
            )
        maps = problem.physics.maps
        if maps.ndim == 5:
            raise UserError(
                f"{who} was trained on images seen through one set of coil maps, and these have "
                f"{maps.shape[1]}: leave out --map-sets"
            )
        squares = (maps.real.square() + maps.imag.square()).sum(1, keepdim=True)
        root = torch.where(squares > 0, squares.sqrt(), torch.full_like(squares, torch.inf))
        return cls(problem, problem.physics, root)

    @property
    def coils(self) -> int:
        """Return the number of coils."""
        return int(self.problem.y.shape[2])

    def A(self, u: Tensor) -> Tensor:
        """Measure u `(G, 2, H, W)`."""
        return self.problem.A(u / self.root)

    def A_adjoint(self, y: Tensor) -> Tensor:
        """Apply the adjoint of `A`."""
        return self.problem.A_adjoint(y) / self.root

    def gradient(self, u: Tensor, y: Tensor) -> Tensor:
        """Compute A^H (A u - y)."""
        return self.A_adjoint(self.A(u) - y)

    def solve(self, run: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """Call run(A^H y, y), both divided by max |A^H y|; return its image in network units."""
        y = self.problem.y
        u = self.A_adjoint(y)
        size = u.square().sum(1).sqrt().flatten(1).amax(1)
        size = torch.where(size > 0, size, torch.ones_like(size))
        out = run(u / per_problem(size, u), y / per_problem(size, y))
        return self.problem.supported(out * per_problem(size, out) / self.root)


def conjugate_gradients(
    normal: Callable[[Tensor], Tensor], right: Tensor, start: Tensor, steps: int
) -> Tensor:
    """Take `steps` steps of conjugate gradients on normal(x) = right from `start`, per problem."""
    x, residual = start, right - normal(start)
    direction, square = residual, sum_squares(residual)
    for _ in range(steps):
        along = normal(direction)
        curve = (direction * along).flatten(1).sum(1)
        length = square / curve.clamp_min(1e-30)
        x = x + per_problem(length, x) * direction
        residual = residual - per_problem(length, x) * along
        newer = sum_squares(residual)
        direction = residual + per_problem(newer / square.clamp_min(1e-30), x) * direction
        square = newer
    return x
