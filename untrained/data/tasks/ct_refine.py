"""`--refine center|angles`: the rotation centre, or the angle of every view, by the views alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from untrained.classical.view_angles import refine_angles
from untrained.data.tasks.ct_raw import centre_notes
from untrained.doubts.ct import find_unmeasured
from untrained.errors import Doubt, UserError
from untrained.physics.ct import CT
from untrained.physics.ct_centre import (
    centre_by_mass,
    centre_by_mirror,
    centre_by_opposite_rays,
    centre_by_rebinned_mass,
)
from untrained.physics.ct_geometry import Geometry

KINDS = ("center", "angles")
LARGE = 3.0  # degrees of a correction that is no small one


def refined(
    kind: str, sinogram: np.ndarray, geometry: Geometry
) -> tuple[Geometry, tuple[str, ...]]:
    """Find a part of the geometry by the views, and say what was found.

    Args:
        kind: `center` or `angles`.
        sinogram: line integrals `(angles, detectors)`, of the middle slice of several.
        geometry: as it was read; the search begins there.

    Raises:
        UserError: another kind, or views that do not tell.
    """
    if kind not in KINDS:
        raise UserError(f"--refine is {' or '.join(KINDS)}, got '{kind}'")
    sinogram = np.asarray(sinogram, dtype=np.float64)
    return (_centre if kind == "center" else _angles)(sinogram, geometry)


def filled_sinogram(sinogram: np.ndarray, physics: CT) -> np.ndarray:
    """Interpolate what is dead or lost in a sinogram, or what the operator's mask leaves out.

    Args:
        sinogram: `(angles, detectors)`.
        physics: of the scan.
    """
    measured = None if physics.mask is None else physics.mask[0, 0].T.cpu().numpy() != 0
    if measured is None:
        measured, _ = find_unmeasured(sinogram)
    if measured is None:
        return sinogram
    filled = np.array(sinogram, dtype=np.float64)
    bins = np.arange(filled.shape[1])
    for row, known in zip(filled, measured, strict=True):
        if known.any():
            row[~known] = np.interp(bins[~known], bins[known], row[known])
    lost = ~measured.any(1)
    views = np.arange(len(filled))
    for column in filled.T if lost.any() and not lost.all() else ():
        column[lost] = np.interp(views[lost], views[~lost], column[~lost])
    return filled


def _centre(sinogram: np.ndarray, geometry: Geometry) -> tuple[Geometry, tuple[str, ...]]:
    """Find where the rotation centre projects, by two criteria where the scan allows both."""
    angles = np.asarray(geometry.angles)
    rays = centre_by_opposite_rays(sinogram, geometry)
    if geometry.fan is None:
        rays = centre_by_mirror(sinogram, angles) if rays is None else rays
        by_mass = centre_by_mass(sinogram, angles)
        mass = None if by_mass is None else by_mass[0]
    else:
        near = geometry.detector_offset if rays is None else rays
        mass = centre_by_rebinned_mass(sinogram, geometry, near)
    if rays is None and mass is None:
        raise UserError(
            "--refine center: no two views see the same rays, and the centres of mass do not tell, "
            "so that nothing in this scan says where the rotation centre is; give detector_offset "
            "in a --geometry file"
        )
    found = rays if rays is not None else mass
    assert found is not None
    before = geometry.detector_offset
    moved = f"detector_offset {found:.3g} takes the place of {before:.3g}"
    notes = (*centre_notes(rays, mass, geometry.detectors), moved)
    return replace(geometry, detector_offset=float(found)), notes


def _angles(sinogram: np.ndarray, geometry: Geometry) -> tuple[Geometry, tuple[str, ...]]:
    """Correct the angle of every view."""
    found = refine_angles(sinogram, geometry)
    errors = found - np.asarray(geometry.angles)
    size, largest = float(errors.std()), float(np.abs(errors).max())
    note = (
        f"the angles of the views were corrected by {size:.2g} degrees (root mean square), at most "
        f"{largest:.2g}; their mean stays, since a turned image explains a common error"
    )
    kind = Doubt if largest > LARGE else str
    return replace(geometry, angles=tuple(found.tolist())), (kind(note),)
