r"""Line integrals that came from counts of photons: each ray weighs as much as its noise allows.

The logarithm of N photons has the variance 1 / N, so that the likelihood of the counts is, to
second order around the measurement, the weighted least-squares term

.. math:: \tfrac12 \sum_i N_i\, ((A x)_i - y_i)^2, \qquad y_i = -\log(N_i / I_0)

(K. Sauer, C. Bouman, IEEE Trans. Signal Process. 41 (1993) 534). Methods see operator and
measurements multiplied by the square roots of the weights: all of them, classical or not, and all
rules then work in the noise's own metric.
"""

from __future__ import annotations

import torch
from torch import Tensor

from untrained.errors import UserError
from untrained.physics.base import Physics
from untrained.physics.kinds import LinearPhysics
from untrained.tasks import CUSTOM, find_task

LEAST_COUNT = 1.0
"""Photons that a ray without any counts as, for its weight and its logarithm."""


class Counted(LinearPhysics):
    """An operator whose measurements are logarithms of counts; else that operator.

    Args:
        physics: `CT` or `ConeCT`, whose measurements are line integrals.
        counts: photons of every ray, like one y without its batch axis, >= 0.

    Raises:
        UserError: counts of another shape, negative or not finite ones, or none at all.
    """

    counts: Tensor

    def __init__(self, physics: Physics, counts: Tensor) -> None:
        super().__init__(physics.x_shape, physics.y_shape)
        if tuple(counts.shape) != physics.y_shape:
            raise UserError(
                f"counts have the shape {tuple(counts.shape)}, and the measurements "
                f"{physics.y_shape}: one count a ray is expected"
            )
        if not bool(counts.isfinite().all()) or bool((counts < 0).any()) or not bool(counts.any()):
            raise UserError("counts must be finite, not negative, and not all zero")
        self.physics = physics
        self.task, self.filtered_name = physics.task, physics.filtered_name
        self.weightings = physics.weightings
        self.matrix_free, self.matrix_bytes = physics.matrix_free, physics.matrix_bytes
        self.mask = physics.mask
        self.register_buffer("counts", counts.float()[None], persistent=False)

    def A(self, x: Tensor) -> Tensor:
        """Compute line integrals, unweighted."""
        self._check_x(x)
        return self.physics.A(x)

    def A_adjoint(self, y: Tensor) -> Tensor:
        """Apply the adjoint, unweighted."""
        self._check_y(y)
        return self.physics.A_adjoint(y)

    def fbp(self, y: Tensor) -> Tensor | None:
        """Backproject, filtered."""
        return self.physics.fbp(y)

    def for_networks(self, y: Tensor) -> tuple[Physics, Tensor]:
        """Return operator and measurements in units of each ray's noise, up to one factor."""
        weights = self.counts.clamp_min(LEAST_COUNT)
        seen = weights if self.mask is None else weights[self.mask.expand_as(weights) != 0]
        root = (weights / seen.mean()).sqrt().to(y)
        return Whitened(self.physics, root), y * root

    def without_matrix(self) -> Counted:
        """Return the same operator without its stored matrix."""
        return Counted(self.physics.without_matrix(), self.counts[0])

    def few_views(self) -> Counted | None:
        """Return the same operator with zeros but for a few views; None as of `physics`."""
        few = self.physics.few_views()
        return None if few is None else Counted(few, self.counts[0])

    def described(self) -> str:
        """Say what is measured."""
        return f"{self.physics.described()}, weighted by photons"


class Whitened(LinearPhysics):
    """W^(1/2) A, for weights W of single measurements; see `Counted`.

    Args:
        physics: A.
        root: square roots of the weights, `(1, *y_shape)`, > 0 where anything is measured.
        sigma: standard deviation of the noise that is left, the same everywhere; None if unknown.
    """

    root: Tensor

    def __init__(self, physics: Physics, root: Tensor, sigma: float | None = None) -> None:
        super().__init__(physics.x_shape, physics.y_shape)
        self.physics = physics
        # a weighed picture is none: what is made for blurred ones would go wrong by decibels
        self.task = CUSTOM if find_task(physics.task).blurred else physics.task
        self.filtered_name = physics.filtered_name
        self.weightings = physics.weightings
        self.matrix_free, self.matrix_bytes = physics.matrix_free, physics.matrix_bytes
        self.mask, self.unit_range = physics.mask, physics.unit_range
        self.known_sigma = sigma
        self.register_buffer("root", root, persistent=False)

    @property
    def unweighted(self) -> Physics:
        """Return A."""
        return self.physics

    def described(self) -> str:
        """Say what is measured."""
        return f"{self.physics.described()}, weighted by photons"

    def A(self, x: Tensor) -> Tensor:
        """Map images to weighted measurements."""
        self._check_x(x)
        return self.physics.A(x) * self.root

    def A_adjoint(self, y: Tensor) -> Tensor:
        """Apply the adjoint, weights included."""
        self._check_y(y)
        return self.physics.A_adjoint(y * self.root)

    def fbp(self, y: Tensor) -> Tensor | None:
        """Backproject, filtered, the measurements without their weights."""
        return self.physics.fbp(y / self.root)

    def weight(self, r: Tensor, name: str) -> Tensor:
        """Apply A's own data weighting on top."""
        return self.physics.weight(r, name)

    def holdout(self, y: Tensor, fraction: float, generator: torch.Generator) -> Tensor:
        """Draw what A holds out."""
        return self.physics.holdout(y, fraction, generator)

    def units(self, y: Tensor) -> Tensor:
        """Number A's own units."""
        return self.physics.units(y)

    def measuring_only(self, keep: Tensor) -> Whitened | None:
        """Return the same operator with zeros but where `keep` is not 0; None as of A."""
        return self._of(self.physics.measuring_only(keep))

    def few_views(self) -> Whitened | None:
        """Return the same operator with zeros but for a few views; None as of A."""
        return self._of(self.physics.few_views())

    def without_matrix(self) -> Whitened:
        """Return the same operator without its stored matrix."""
        return Whitened(self.physics.without_matrix(), self.root, self.known_sigma)

    def rescaled(self, gain: float) -> Whitened | None:
        """Return the same operator divided by `gain`; None where A cannot be."""
        return self._of(self.physics.rescaled(gain))

    def _of(self, other: Physics | None) -> Whitened | None:
        return None if other is None else Whitened(other, self.root, self.known_sigma)
