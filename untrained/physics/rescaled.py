"""A linear operator in other units of its measurements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from untrained.physics.base import LinearPhysics

_SAME = ("mask", "weight", "support", "scattered", "importance", "fill", "degree", "source")


class Rescaled(LinearPhysics):
    """A / gain for an operator A that cannot be rescaled itself.

    Single precision holds squares down to 1e-38: of an operator whose values are 1e-10 (lengths in
    metres) the norm is lost. See `untrained.problem.scaling.usual_units`.

    Args:
        physics: a linear operator with `A` and `A_adjoint`.
        gain: what it is divided by, > 0.
        x_shape: shape of an image without the batch axis.
    """

    def __init__(self, physics: Any, gain: float, x_shape: tuple[int, ...]) -> None:
        super().__init__(x_shape, getattr(physics, "y_shape", None))
        self.physics = physics
        self.gain = gain
        self.task = str(getattr(physics, "task", "custom"))

    def __getattr__(self, name: str) -> Any:
        # asked only for what is not set here: what the operator itself has stays the same
        if name in _SAME:
            return getattr(super().__getattr__("physics"), name)
        return super().__getattr__(name)

    def A(self, x: Tensor) -> Tensor:
        """Image `(B, *x_shape)` -> measurements, divided by the gain."""
        return self.physics.A(x) / self.gain

    def A_adjoint(self, y: Tensor) -> Tensor:
        """The adjoint, likewise divided."""
        return self.physics.A_adjoint(y) / self.gain

    @property
    def norm_squared(self) -> float | None:
        """The operator's own, where it is known, in these units."""
        known = getattr(self.physics, "norm_squared", None)
        return None if known is None else float(known) / self.gain**2

    @property
    def fbp(self) -> Callable[[Tensor], Tensor] | None:
        """Filtered backprojection, where the operator has one, in these units."""
        own = getattr(self.physics, "fbp", None)
        return None if own is None else lambda y: own(y) * self.gain

    def mean_squared_singular_value(self, weighting: str = "uniform") -> Tensor | float | None:
        """Give the operator's own answer, where it has one, in these units."""
        own = getattr(self.physics, "mean_squared_singular_value", None)
        known = None if own is None else own(weighting)
        if known is None:
            return None
        return torch.as_tensor(known, dtype=torch.float64) / self.gain**2

    def holdout(self, y: Tensor, fraction: float, generator: torch.Generator) -> Tensor:
        """What the operator itself holds out."""
        own = getattr(self.physics, "holdout", super().holdout)
        held: Tensor = own(y, fraction, generator)
        return held
