"""Ring suppression: stripes of a sinogram, from detector bins that answer a little differently.

A bin whose gain is off adds the same number to the logarithm of all its views: a stripe in the
sinogram, and a ring in the image.
"""

from __future__ import annotations

import numpy as np

WIDTH = 5  # bins of the median filter: a bin is told from its neighbours, a wide stripe is not
SHOWN = 1e-3  # of the spread of the sinogram: bins that change by more are counted


def without_rings(
    sinogram: np.ndarray, keep: np.ndarray | None = None, width: int = WIDTH
) -> tuple[np.ndarray, int]:
    """Subtract from every detector bin what it has beyond its neighbours in views of equal rank.

    The values of each bin are sorted along the views, and the rows of equal rank compared with
    their median over `width` bins, as in algorithm 3 of N. Vo, R. Atwood, M. Drakopoulos (Opt.
    Express 26 (2018) 28396). There the medians take the place of the values; here only the median
    difference of each bin is subtracted: so a sinogram without stripes hardly changes.

    Args:
        sinogram: float `(angles, detectors)`.
        keep: bool of its shape, False where nothing was measured: views and bins with such values
            stay as they are.
        width: bins of the median filter, odd.

    Returns:
        The sinogram, and how many bins changed by more than a thousandth of its spread.
    """
    from scipy.ndimage import median_filter

    measured = np.ones(sinogram.shape, bool) if keep is None else keep
    views, bins = measured.any(1), measured.any(0)
    bins &= measured[views].all(0)
    if bins.sum() < width or not views.any():
        return sinogram, 0
    ranked = np.sort(sinogram[np.ix_(views, bins)].astype(np.float64), axis=0)
    beyond = np.median(ranked - median_filter(ranked, (1, width), mode="nearest"), axis=0)
    found = sinogram.copy()
    found[np.ix_(views, bins)] -= beyond.astype(sinogram.dtype)
    return found, int((np.abs(beyond) > SHOWN * np.ptp(ranked)).sum())


def ring_note(changed: list[int], detectors: int) -> str:
    """Say what was done to slices with so many bins."""
    most = max(changed)
    return f"--rings: offsets of {most} of {detectors} detector bins were found and subtracted"
