"""Feldkamp's filtered backprojection of a circular cone beam.

L. A. Feldkamp, L. C. Davis and J. W. Kress, "Practical cone-beam algorithm", J. Opt. Soc. Am. A 1
(1984) 612. Exact in the plane of the circle, where it is the fan-beam formula of Kak and Slaney
(section 3.4.2), and the worse the further a slice lies from it.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from untrained.errors import UserError
from untrained.physics.cone_geometry import ConeGeometry
from untrained.physics.cone_projector import magnifications
from untrained.physics.fbp import filter_detectors, ramp, redundancy, view_weights

WINDOWS = ("ramp", "hann", "cosine")


def fdk(y: Tensor, geometry: ConeGeometry, window: str = "ramp") -> Tensor:
    """Reconstruct volumes from cosine-weighted, ramp-filtered views.

    Views count as in `fbp.fbp`: half the gap to their neighbours; and rays that a short scan or a
    panel moved to one side (half fan) measures twice share one weight, as the central plane says.

    Args:
        y: mean line integrals `(N, rows, columns, views)`, all of them measured.
        geometry: the scan.
        window: `ramp` for the plain filter, `hann` or `cosine` for less noise and less detail.

    Returns:
        `(N, D, H, W)` in value per unit length.

    Raises:
        UserError: an unknown window.
    """
    plane, distance = geometry.plane, geometry.fan.source_origin
    u = (np.arange(plane.detectors) - plane.centre)[:, None] * plane.bin_width
    v = (np.arange(geometry.rows) - geometry.centre_row)[:, None, None] * geometry.row_width
    cosine = distance / np.sqrt(distance**2 + u**2 + v**2)
    shares = redundancy(plane) * np.radians(view_weights(plane)) / plane.bin_width
    weighted = y * torch.as_tensor(cosine).to(y) * torch.as_tensor(shares).to(y)
    response = torch.as_tensor(ramp(plane.detectors) * _window(plane.detectors, window)).to(y)
    filtered = filter_detectors(weighted, response)
    x = y.new_zeros(len(y), *geometry.x_shape)
    for number, degrees in enumerate(plane.angles):
        for volume, view in zip(x, filtered[..., number], strict=True):
            _backproject(volume, view, geometry, degrees)
    return x


def _window(detectors: int, name: str) -> np.ndarray:
    """Return the window's values at the frequencies of `ramp`."""
    frequency = np.linspace(0, 1, len(ramp(detectors)))
    windows = {
        "ramp": np.ones_like(frequency),
        "hann": (1 + np.cos(np.pi * frequency)) / 2,
        "cosine": np.cos(np.pi * frequency / 2),
    }
    if name not in windows:
        raise UserError(f"fdk has no window '{name}'; it has {', '.join(WINDOWS)}")
    return windows[name]


def _backproject(volume: Tensor, view: Tensor, geometry: ConeGeometry, degrees: float) -> None:
    """Add one filtered view `(rows, columns)` to a volume `(D, H, W)`, bilinearly interpolated."""
    plane, (depth, h, w) = geometry.plane, geometry.x_shape
    size = magnifications(geometry, degrees, view)
    angle = np.radians(degrees)
    x = torch.as_tensor((np.arange(w) - (w - 1) / 2) * plane.pixel_size).to(view)[None, :]
    y = torch.as_tensor(((h - 1) / 2 - np.arange(h)) * plane.pixel_size).to(view)[:, None]
    u = (x * np.cos(angle) + y * np.sin(angle)) * size / plane.bin_width + plane.centre
    z = torch.as_tensor((np.arange(depth) - (depth - 1) / 2) * geometry.slice_height).to(view)
    for k in range(depth):
        v = z[k] * size / geometry.row_width + geometry.centre_row
        volume[k] += size.square() * _sample(view, v, u)


def _sample(view: Tensor, v: Tensor, u: Tensor) -> Tensor:
    """Interpolate `(rows, columns)` at positions `(H, W)`; 0 beyond the panel's outer bins."""
    rows, columns = view.shape
    # grid_sample's own coordinates, -1 and 1 in the middle of the outermost bins
    grid = torch.stack([2 * u / (columns - 1) - 1, 2 * v / (rows - 1) - 1], -1)
    sampled = torch.nn.functional.grid_sample(
        view[None, None], grid[None], mode="bilinear", padding_mode="zeros", align_corners=True
    )
    return sampled[0, 0]
