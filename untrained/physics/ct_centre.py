"""Find where the rotation centre of a scan projects, by independent criteria."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from untrained.physics.ct_geometry import Geometry
from untrained.physics.fbp import full_turn

FEWEST_VIEWS = 6
VISIBLE = 0.05  # of the largest value: what an outermost bin may see of an object that is not cut
SEARCH = 0.1  # of the detector, on either side of where the search begins
REPEATS = 3
MOST_COMPARED = 100  # views whose rays are compared with their opposite ones
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


def centre_by_opposite_rays(sinogram: np.ndarray, geometry: Geometry) -> float | None:
    """Find the centre by the rays that are measured from both sides: both values must agree.

    The ray of bin u and angle a is that of bin -u and angle a + 180 - 2 g, with tan g = u / d the
    fan's angle (g = 0 for parallel rays); u counts from where the centre projects.

    Args:
        sinogram: `(angles, detectors)`.
        geometry: of the scan; its own offset is where the search begins.

    Returns:
        The offset in bins from the detector's middle at which rays and opposite rays differ least;
        None where fewer than a tenth of the rays have an opposite one.
    """
    views = _sorted_views(sinogram, geometry)
    if views is None:
        return None

    def differ(offset: float) -> float:
        return _difference_of_opposites(views, geometry, offset)

    middle = geometry.detector_offset
    reach = SEARCH * geometry.detectors
    tried = {c: differ(c) for c in middle + np.arange(-reach, reach + 1e-9, max(1.0, reach / 40))}
    known = {c: value for c, value in tried.items() if math.isfinite(value)}
    if len(known) < len(tried) / 2:
        return None
    best = min(known, key=lambda c: known[c])
    width = max(1.0, reach / 40)
    return float(_least(differ, best - width, best + width))


def centre_by_rebinned_mass(sinogram: np.ndarray, geometry: Geometry, near: float) -> float | None:
    """Find the centre of a fan's full turn by centres of mass, its rays sorted into parallel views.

    Args:
        sinogram, geometry: as above.
        near: offset with which rays are sorted first; what the centres of mass say takes its place.

    Returns:
        The offset; None of another scan, or as `centre_by_mass`.
    """
    views = _sorted_views(sinogram, geometry)
    if views is None or geometry.fan is None or not full_turn(geometry):
        return None
    for _ in range(REPEATS):
        parallel, seen = _parallel_views(views, geometry, near)
        found = centre_by_mass(parallel, views[0]) if seen.all() else None
        if found is None:
            return None
        near = near + found[0]
    return near


def _parallel_views(
    views: tuple[np.ndarray, np.ndarray], geometry: Geometry, offset: float
) -> tuple[np.ndarray, np.ndarray]:
    """Sort a fan's rays by their direction: values at (angles, detectors), and where there are any.

    The ray at the distance s from the centre has the fan's angle g, sin g = s / d, and is in the
    view g later. Bins beyond what the detector sees on one side count as empty.
    """
    assert geometry.fan is not None
    bins, distance = geometry.detectors, geometry.fan.source_origin / geometry.bin_width
    s = np.arange(bins) - (bins - 1) / 2
    turn = np.arcsin(np.clip(s / distance, -1, 1))
    place = distance * np.tan(turn) + (bins - 1) / 2 + offset
    wanted = views[0][:, None] + np.degrees(turn)[None]
    inside = np.clip(place, 0, bins - 1)
    values, seen = _sampled(views, wanted, np.broadcast_to(inside, wanted.shape))
    return np.where(place == inside, values, 0.0), seen


def _sorted_views(sinogram: np.ndarray, geometry: Geometry) -> tuple[np.ndarray, np.ndarray] | None:
    """Sort the views by angle within a turn: angles and rows; None of fewer than FEWEST_VIEWS."""
    angles = np.mod(np.round(np.asarray(geometry.angles), 4), 360.0)
    distinct, first = np.unique(angles, return_index=True)
    if len(distinct) < FEWEST_VIEWS:
        return None
    return distinct, np.asarray(sinogram, float)[first]


def _difference_of_opposites(
    views: tuple[np.ndarray, np.ndarray], geometry: Geometry, offset: float
) -> float:
    """Compare each ray with its opposite one, the mean squared difference over the mean square.

    NaN where fewer than a tenth of the rays have one.
    """
    every = max(1, len(views[0]) // MOST_COMPARED)
    angles, rows = views[0][::every], views[1][::every]
    bins = geometry.detectors
    centre = (bins - 1) / 2 + offset
    u = np.arange(bins) - centre
    turn = np.zeros(bins)
    if geometry.fan is not None:
        turn = 2 * np.degrees(np.arctan(u * geometry.bin_width / geometry.fan.source_origin))
    wanted = angles[:, None] + 180 - turn[None]
    place = np.broadcast_to(centre - u, wanted.shape)
    other, seen = _sampled(views, wanted, place)
    if seen.mean() < 0.1:
        return math.nan
    size = np.square(rows)[seen].mean() + np.square(other)[seen].mean()
    return float(np.square(rows - other)[seen].mean() / max(size, 1e-30))


def _sampled(
    views: tuple[np.ndarray, np.ndarray], wanted: np.ndarray, place: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Interpolate views at angles `wanted` and bins `place`, and tell where they were measured.

    A gap between views that is far wider than the others holds none.
    """
    angles, rows = views
    bins, wanted = rows.shape[1], np.mod(wanted, 360.0)
    after = np.searchsorted(angles, wanted) % len(angles)
    before = after - 1
    gap = np.mod(angles[after] - angles[before], 360.0)
    gap = np.where(gap == 0, 360.0, gap)
    share = np.mod(wanted - angles[before], 360.0) / gap
    column = np.clip(np.floor(place).astype(int), 0, bins - 2)
    part = place - column

    def along(view: np.ndarray) -> np.ndarray:
        found: np.ndarray = (1 - part) * rows[view, column] + part * rows[view, column + 1]
        return found

    seen = (gap < 2.5 * np.median(np.diff(angles))) & (place >= 0) & (place <= bins - 1)
    return (1 - share) * along(before) + share * along(after), seen


def _least(f: Callable[[float], float], low: float, high: float) -> float:
    """Minimise f on [low, high] to a hundredth of a bin by golden sections."""
    golden = (math.sqrt(5) - 1) / 2
    left, right = high - golden * (high - low), low + golden * (high - low)
    at_left, at_right = f(left), f(right)
    while high - low > 0.01:
        if at_left < at_right:
            high, right, at_right = right, left, at_left
            left = high - golden * (high - low)
            at_left = f(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + golden * (high - low)
            at_right = f(right)
    return (low + high) / 2
