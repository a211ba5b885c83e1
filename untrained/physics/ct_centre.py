"""Find where the rotation centre of a parallel scan projects, by two independent criteria."""

from __future__ import annotations

import math

import numpy as np

FEWEST_VIEWS = 6
VISIBLE = 0.05  # of the largest value: what an outermost bin may see of an object that is not cut
FINE = 20  # parts of a bin between which mirrored views are compared


def centre_by_mass(sinogram: np.ndarray, angles: np.ndarray) -> tuple[float, float] | None:
    """Find the centre by the centres of mass of the views, in bins from the detector's middle.

    They move as a cos + b sin around the rotation centre (Helgason and Ludwig), whatever the image.

    Args:
        sinogram: `(angles, detectors)`.
        angles: of the views, in degrees.

    Returns:
        The offset and its standard error; None where the object is cut off by the detector, is not
        one, or where the angles do not tell.
    """
    if len(sinogram) < FEWEST_VIEWS:
        return None
    edges = np.abs(sinogram[:, [0, -1]].mean(0)).max()
    mass = sinogram.sum(1)
    if edges > VISIBLE * np.abs(sinogram).max() or mass.min() < 0.5 * mass.max():
        return None
    place = np.arange(sinogram.shape[1]) - (sinogram.shape[1] - 1) / 2
    centre = sinogram @ place / mass
    angle = np.radians(angles)
    basis = np.stack([np.ones_like(angle), np.cos(angle), np.sin(angle)], 1)
    normal = basis.T @ basis
    if np.linalg.cond(normal) > 1e6:
        return None
    found = np.linalg.solve(normal, basis.T @ centre)
    rest = centre - basis @ found
    error = math.sqrt((rest @ rest) / (len(angle) - 3) * np.linalg.inv(normal)[0, 0])
    return float(found[0]), error


def centre_by_mirror(sinogram: np.ndarray, angles: np.ndarray) -> float | None:
    """Find the centre by views from opposite sides: one is the other's mirror image about it.

    A view from the other side of the first ones stands at the end of half a turn, or is what the
    last two lead to when they are continued by one step. Of a full turn all pairs are compared.
    The shift between a view and the other's mirror image is where their correlation is largest.

    Args:
        sinogram, angles: as above; the views in the order of their angles, evenly spaced.

    Returns:
        The offset in bins from the detector's middle; None where no view has an opposite one.
    """
    pairs = _opposite(np.asarray(sinogram, float), np.asarray(angles, float))
    if pairs is None:
        return None
    one, other = pairs
    bins = sinogram.shape[1]
    size = 2 * bins
    product = (np.fft.rfft(one, size) * np.conj(np.fft.rfft(other[:, ::-1], size))).sum(0)
    fine = np.fft.irfft(product, FINE * size)
    shift = int(fine.argmax()) / FINE
    shift = shift - size if shift > size / 2 else shift
    return shift / 2


def _opposite(sinogram: np.ndarray, angles: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Return views, and the views from the other side of each, both `(pairs, detectors)`."""
    steps = np.diff(angles)
    if len(angles) < FEWEST_VIEWS or not np.allclose(steps, steps[0], rtol=1e-2) or not steps[0]:
        return None
    half = 180.0 / abs(steps[0])  # views in half a turn
    count = round(half)
    if abs(half - count) > 0.05:
        return None
    if len(angles) > count:
        return sinogram[: len(angles) - count], sinogram[count:]
    if len(angles) == count:
        continued = 2 * sinogram[-1:] - sinogram[-2:-1]
        return sinogram[:1], continued
    return None
