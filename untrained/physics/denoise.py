"""Denoising: the measurement is the image itself."""

from __future__ import annotations

from torch import Tensor

from untrained.physics.base import LinearPhysics


class Denoise(LinearPhysics):
    """A = identity; the noise is in y, never in the operator.

    Args:
        x_shape: `(C, H, W)`; None accepts every shape.
    """

    task = "denoise"
    unit_range = True
    norm_squared = 1.0

    def __init__(self, x_shape: tuple[int, ...] | None = None) -> None:
        super().__init__(x_shape, x_shape)

    def A(self, x: Tensor) -> Tensor:
        """Image `(B, C, H, W)` in [0, 1] -> the same tensor."""
        self._check_x(x)
        return x

    def A_adjoint(self, y: Tensor) -> Tensor:
        """Noisy image `(B, C, H, W)` -> the same tensor."""
        self._check_y(y)
        return y
