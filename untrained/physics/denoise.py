"""Denoising: the measurement is the image itself."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from untrained.physics.kinds import LinearPhysics
from untrained.physics.positions import draw_positions, number_positions


class Denoise(LinearPhysics):
    """A = identity; the noise is in y, never in the operator. Images, volumes and signals.

    Args:
        x_shape: `(C, H, W)`, `(C, D, H, W)` or `(C, N)`; None accepts every shape.
    """

    task = "denoise"
    unit_range = True
    norm_squared = 1.0

    def __init__(self, x_shape: tuple[int, ...] | None = None) -> None:
        super().__init__(x_shape, x_shape)

    def A(self, x: Tensor) -> Tensor:
        """Return the image `(B, C, H, W)`, the same tensor."""
        self._check_x(x)
        return x

    def A_adjoint(self, y: Tensor) -> Tensor:
        """Return the noisy image `(B, C, H, W)`, the same tensor."""
        self._check_y(y)
        return y

    def mean_squared_singular_value(self, weighting: str = "uniform") -> float:
        """Give 1, that of the identity."""
        return 1.0

    def cropped(self, y: Tensor, rows: slice, columns: slice) -> tuple[Denoise, Tensor] | None:
        """Crop a picture `(B, C, H, W)`; see the base class. Volumes and signals have no parts."""
        if y.ndim != 4:
            return None
        part = y[..., rows, columns]
        return Denoise(tuple(part.shape[1:])), part

    def holdout(self, y: Tensor, fraction: float, generator: torch.Generator) -> Tensor:
        """Draw pixels (voxels) to hold out, `(1, C, ...)`: the same in each channel."""
        return draw_positions(y, y.ndim - 2, fraction, generator)

    def units(self, y: Tensor) -> Tensor:
        """Number the pixels (voxels), the same in each channel; see the base class."""
        return number_positions(y, y.ndim - 2)

    def fill(self, x: Tensor, keep: Tensor) -> Tensor:
        """Replace pixels where `keep` is 0 by the mean of those kept beside them (3 per axis).

        A method that starts from the noisy image would take pixels that are held out for black.
        """
        visible = keep.to(x).expand_as(x)
        pool = {3: functional.avg_pool1d, 4: functional.avg_pool2d, 5: functional.avg_pool3d}
        mean, share = (pool[x.ndim](v, 3, 1, 1) for v in (x * visible, visible))
        return torch.where(visible > 0, x, mean / share.clamp_min(torch.finfo(x.dtype).eps))
