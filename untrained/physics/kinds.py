"""Bases of the operators that are linear, and of those that are not."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from untrained.physics.base import Physics


class LinearPhysics(Physics):
    """y = A x, with `A_adjoint` the exact adjoint of `A`."""

    def to_deepinv(self) -> Any:
        """Return the same operator as a `deepinv.physics.LinearPhysics` (extra `deepinv`)."""
        from untrained.physics.deepinv import to_deepinv

        return to_deepinv(self)


class NonlinearPhysics(Physics):
    """y = A(x) with a nonlinear A that automatic differentiation can follow."""

    linear = False
    degree: float | None = None

    def A_adjoint(self, y: Tensor) -> Tensor:
        """Apply J^T at a grey image of 1/2, for want of an adjoint; the start is `initial`."""
        self._check_y(y)
        half = torch.full((y.shape[0], *(self.x_shape or y.shape[1:])), 0.5)
        return self.A_vjp(half.to(y), y)
