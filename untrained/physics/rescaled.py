"""A linear operator in other units of its measurements."""

from __future__ import annotations

import torch
from torch import Tensor

from untrained.physics.base import Physics
from untrained.physics.kinds import LinearPhysics
from untrained.picture import Picture


class Rescaled(LinearPhysics):
    """A / gain for an operator A that cannot be rescaled itself.

    Single precision holds squares down to 1e-38: of an operator whose values are 1e-10 (lengths in
    metres) the norm is lost. See `untrained.problem.scaling.usual_units`.

    Args:
        physics: a linear operator.
        gain: what it is divided by, > 0.
        x_shape: shape of an image without the batch axis.
    """

    def __init__(self, physics: Physics, gain: float, x_shape: tuple[int, ...]) -> None:
        super().__init__(x_shape, physics.y_shape)
        self.physics = physics
        self.gain = gain
        # photographs are never in other units: `unit_range` stays False
        self.task = physics.task
        self.complex_image = physics.complex_image
        self.degree = physics.degree
        self.weightings = physics.weightings
        self.filtered_name = physics.filtered_name
        self.mask, self.support = physics.mask, physics.support
        known = physics.norm_squared
        self.norm_squared = None if known is None else float(known) / gain**2

    def class_name(self) -> str:
        """Return the name of the operator's own class."""
        return self.physics.class_name()

    def described(self) -> str:
        """Say what the operator measures."""
        return self.physics.described()

    def residual_picture(self, residual: Tensor) -> Picture | None:
        """Draw what the operator itself draws."""
        return self.physics.residual_picture(residual)

    def A(self, x: Tensor) -> Tensor:
        """Map images `(B, *x_shape)` to measurements, divided by the gain."""
        return self.physics.A(x) / self.gain

    def A_adjoint(self, y: Tensor) -> Tensor:
        """Apply the adjoint, likewise divided."""
        return self.physics.A_adjoint(y) / self.gain

    def mean_squared_singular_value(self, weighting: str = "uniform") -> Tensor | float | None:
        """Give the operator's own answer, where it has one, in these units."""
        known = self.physics.mean_squared_singular_value(weighting)
        if known is None:
            return None
        return torch.as_tensor(known, dtype=torch.float64) / self.gain**2

    def weight(self, r: Tensor, name: str) -> Tensor:
        """Apply the operator's own data weighting."""
        return self.physics.weight(r, name)

    def initial(self, y: Tensor) -> Tensor | None:
        """Make the operator's own first image."""
        return self.physics.initial(y * self.gain)

    def fbp(self, y: Tensor) -> Tensor | None:
        """Make an image by filtered backprojection, where the operator has one."""
        image = self.physics.fbp(y)
        return None if image is None else image * self.gain

    def fill(self, x: Tensor, keep: Tensor) -> Tensor:
        """Fill a first image as the operator does."""
        return self.physics.fill(x, keep)

    def holdout(self, y: Tensor, fraction: float, generator: torch.Generator) -> Tensor:
        """Draw what the operator itself holds out."""
        return self.physics.holdout(y, fraction, generator)

    def scattered(self, y: Tensor, fraction: float, generator: torch.Generator) -> Tensor:
        """Draw the single measurements that the operator itself holds out."""
        return self.physics.scattered(y, fraction, generator)

    def units(self, y: Tensor) -> Tensor:
        """Number the operator's own units."""
        return self.physics.units(y)

    def importance(self, y: Tensor, held: Tensor) -> Tensor | None:
        """Weigh held-out measurements as the operator does."""
        return self.physics.importance(y, held)
