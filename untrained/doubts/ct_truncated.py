"""Truncated projections: an object that is wider than the detector."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from untrained.errors import doubting
from untrained.physics.ct_geometry import Geometry
from untrained.physics.fbp import is_half_fan

EDGE = 0.02  # share of the bins at either end that tell what the detector cuts off
LEAST_BINS = 24  # of fewer one bin would tell
TOP = 0.1  # share of the bins of a view that tell how thick the object is
CUT = 0.1  # of the thickest view: what an edge sees of an object that is cut
FLAT = 0.05  # spread of the outer bins over their mean: an offset of all values, and no object
OFTEN = 95  # per cent of the edges of views that may be less wide
WIDEST = 2.0  # detectors: beyond, the estimate means little, and neither does the image
SLIGHT = 1.03  # detectors: an image of the usual size has room for so much
ENOUGH = 0.9  # share of the width that an image given by its user must have


def apparent_width(sinogram: np.ndarray, offset: float, angles: Sequence[float]) -> float:
    """Estimate how many times wider than the detector the object is; 1 where nothing is cut off.

    Every view continues as that of a disc: of the value e at an edge and the largest value p, the
    chords p sqrt(1 - (s / r)^2) of a disc of radius r give r = R / sqrt(1 - (e / p)^2), R being
    half of the detector (as Hsieh et al., Med. Phys. 31 (2004) 2385, continue views by discs).

    Args:
        sinogram: `(angles, detectors)`.
        offset: of the detector, in bins.
        angles: in degrees. A detector that is moved to one side on purpose and goes all around
            (half fan) cuts nothing off that the opposite view does not see: 1.

    Returns:
        At least 1, at most WIDEST.
    """
    bins = sinogram.shape[1]
    if is_half_fan(bins, offset, angles) or bins < LEAST_BINS or not sinogram.any():
        return 1.0
    values = sinogram.astype(np.float64)
    count = max(1, round(EDGE * bins))
    edges = np.stack([values[:, :count].mean(1), values[:, -count:].mean(1)])
    thick = np.sort(values, axis=1)[:, -max(1, round(TOP * bins)) :].mean(1)
    cut = edges > CUT * thick.max()
    within = np.stack([values[:, count : 3 * count], values[:, -3 * count : -count]]).mean(2)
    around = np.stack([edges, within])
    background = float(np.ptp(around)) < FLAT * abs(float(edges.mean()))
    if background or not cut.any() or thick.max() <= 0:
        return 1.0
    share = np.where(cut, edges, 0) / np.maximum(thick, thick.max() / 10)
    radii = 1 / np.sqrt(1 - np.clip(share, 0, math.sqrt(1 - 1 / WIDEST**2)) ** 2)
    found = float(np.percentile(radii.max(0), OFTEN))
    return found if found > SLIGHT else 1.0


def wide_side(bins: int, width: float) -> int:
    """Give the pixels of the side of an image that is `width` detectors of `bins` wide, even."""
    return 2 * math.ceil(bins * width / 2)


def widened_note(bins: int, width: float) -> str:
    """Say that a larger image was chosen."""
    side = wide_side(bins, width)
    return (
        f"the object is wider than the detector: where the views end they are not zero, as if it "
        f"were {width:.2f} times as wide. Image of {side}x{side} in place of {bins}x{bins}: what "
        f"lies outside has room there, and only the middle, {bins} pixels across, is measured "
        "from all sides; another size as 'image_shape'"
    )


@doubting
def truncation_doubts(sinogram: np.ndarray, geometry: Geometry) -> tuple[str, ...]:
    """Doubt an image with less room than an object that the detector cuts off.

    Args:
        sinogram: `(angles, detectors)`.
        geometry: of the scan.
    """
    width = apparent_width(sinogram, geometry.detector_offset, geometry.angles)
    seen = geometry.detectors * geometry.bin_width
    wide = max(geometry.image_shape) * geometry.pixel_size
    if width == 1.0 or wide >= ENOUGH * width * seen:
        return ()
    side = wide_side(math.ceil(seen / geometry.pixel_size), width)
    return (
        f"the object is wider than the detector ({width:.2f} times, by the ends of the views), and "
        f"the image has no room for what lies outside, which spoils its middle: 'image_shape' "
        f"[{side}, {side}] would have (in the file or in --geometry), or none at all",
    )
