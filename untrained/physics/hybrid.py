"""Whole columns of k-space in hybrid space: positions down the image, frequencies across it."""

from __future__ import annotations

import torch
from torch import Tensor

from untrained.maths import to_channels, to_complex
from untrained.physics.coil_sums import mean_of_maps, see_coils, sets_of, sum_coils
from untrained.physics.copies import among
from untrained.physics.kinds import LinearPhysics


class Hybrid(LinearPhysics):
    r"""MRI of whole columns (or rows), the transform along them undone in the measurements.

    A mask M of columns leaves the transform down the image, :math:`F_v`, as it is, so that

    .. math:: \|M F_v F_h S x - y\| = \|M F_h S x - F_v^{-1} y\|

    What is left goes along the rows, and only the measured columns are kept: half the time of a
    step, for the same number. See `Problem.quick`.

    Args:
        before: maps times the phases before a plain FFT, complex `(1 or B, coils, H, W)`, or
            `(1 or B, S, coils, H, W)` of several sets.
        after: the mask times the phases after it, complex `(H, W)`.
        lines: indices of the measured columns, or rows.
        across: the axis on which they are counted: -1 for columns, -2 for rows.
        support: as of `MRI`.
    """

    task = "mri"

    def __init__(
        self, before: Tensor, after: Tensor, lines: Tensor, across: int, support: Tensor | None
    ) -> None:
        shape = list(before.shape[-3:])
        shape[across] = len(lines)
        super().__init__((2 * sets_of(before), *before.shape[-2:]), (2, *shape))
        self.before, self.after, self.support = before, after, support
        self.across = across
        self._measured = (..., lines) if across == -1 else (..., lines, slice(None))

    def among(self, images: slice) -> Hybrid:
        """Return the operator of some images of a batch."""
        return self if len(self.before) == 1 else among(self, images, "before", "support")

    def A(self, x: Tensor) -> Tensor:
        """Map images `(B, 2 S, H, W)` to `(B, 2, coils, H, columns)`, `(B, 2, coils, rows, W)`."""
        self._check_x(x)
        coils = see_coils(x, self.before.to(torch.promote_types(x.dtype, torch.complex64)))
        return to_channels(self.measured(torch.fft.fft(coils, dim=self.across, norm="ortho")))

    def A_adjoint(self, y: Tensor) -> Tensor:
        """Apply the adjoint, to images `(B, 2 S, H, W)`."""
        self._check_y(y)
        values = to_complex(y)
        full = values.new_zeros(*values.shape[:2], *self.before.shape[-2:])
        full[self._measured] = values
        coils = torch.fft.ifft(full, dim=self.across, norm="ortho")
        return sum_coils(coils, self.before.to(coils.dtype))

    def mean_squared_singular_value(self, weighting: str = "uniform") -> Tensor:
        """Give that of the `MRI` it stands for, `(1 or B,)`: the same operator, to a rotation."""
        lines = self.y_shape[self.across]  # type: ignore[index]
        share = lines / self.before.shape[self.across]
        return share * mean_of_maps(self.before, self.support)

    def measured(self, values: Tensor) -> Tensor:
        """Pick those of the measured lines from values at all positions `(..., H, W)`."""
        return values[self._measured]

    def from_kspace(self, y: Tensor) -> Tensor:
        """Map k-space `(B, 2, coils, H, W)` to measurements of this operator; keeps distances."""
        along = -3 - self.across
        kspace = to_complex(y)
        kspace = kspace * self.after.to(kspace.dtype).conj()
        positions = torch.fft.ifft(kspace, dim=along, norm="ortho")
        return to_channels(self.measured(positions))
