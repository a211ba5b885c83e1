"""Pictures of what an image leaves of its measurements, A(x) - y divided by the largest |y|."""

from __future__ import annotations

from torch import Tensor

from untrained.picture import Picture

UNIT = "of max |y|"


def mean_picture(residual: Tensor) -> Picture | None:
    """Draw the last two axes, the mean over those before; None where there are fewer.

    Args:
        residual: of one image, without batch axis; 0 where nothing was measured.
    """
    if residual.ndim < 2 or min(residual.shape[-2:]) < 2:
        return None
    plane = residual.reshape(-1, *residual.shape[-2:]).mean(0).cpu().numpy()
    return Picture("Residual of the measurements", "", plane, unit=UNIT)


def sinogram_picture(residual: Tensor) -> Picture:
    """Draw the residual `(C, detectors, views)` of a sinogram, one row for each view."""
    plane = residual.reshape(-1, *residual.shape[-2:]).mean(0).T.cpu().numpy()
    told = "Each row is a view, each column a detector bin."
    return Picture("Residual of the sinogram", told, plane, unit=UNIT)


def kspace_picture(residual: Tensor) -> Picture:
    """Draw the residual `(2, coils, H, W)` of k-space: root of the sum of squares over coils."""
    plane = residual.square().sum(dim=(0, 1)).sqrt().cpu().numpy()
    told = "The low frequencies are in the middle. Black: not measured."
    return Picture("Residual of k-space", told, plane, "decades", unit=UNIT)
