"""Doubts about CT scans: values, angles, lengths, dead bins, and views that no image explains."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from untrained.doubts.ct_truncated import apparent_width, truncation_doubts
from untrained.errors import Doubt, UserError, doubting
from untrained.physics.ct import CT
from untrained.physics.ct_centre import centre_by_mass
from untrained.physics.ct_geometry import Geometry
from untrained.problem import Problem

MOSTLY = 0.8
LISTED = 8  # numbers of bins or views in a message
WIDER = 2.0  # how many times wider than the field of view an image may be, or narrower
DEAD = 0.25  # a bin of one value is dead this far below both its sides, stuck this far above
EMPTY = 0.1  # of the mean of the others: next to nothing
NEAR = 3  # bins on either side
VISIBLE = 0.05  # of the largest value: what a neighbour sees there
FEWEST_VIEWS = 6
COHERENT = 0.025  # residual that neighbouring bins share, relative to y; sound scans: below 0.02
LAGS = (1, 2, 3)
OFF_CENTRE = 1.0  # bins
SURE = 5.0  # standard errors


@doubting
def angles_doubts(angles: np.ndarray) -> tuple[str, ...]:
    """Warn where the angles span less than 2 pi degrees: they may be in radians."""
    if len(angles) >= 8 and float(np.ptp(angles)) < 2 * np.pi:
        return (f"the views span only {np.ptp(angles):.2f} degrees: are the angles in radians?",)
    return ()


@doubting
def lengths_doubts(geometry: Geometry) -> tuple[str, ...]:
    """Doubt an image that is far wider, or narrower, than what the detector sees of it."""
    seen = geometry.detectors * geometry.bin_width
    wide = max(geometry.image_shape) * geometry.pixel_size
    if seen / WIDER <= wide <= seen * WIDER:
        return ()
    times = wide / seen
    compared = f"{times:.3g} times as wide as" if times > 1 else f"only {times:.2g} of"
    return (
        f"the image is {compared} what the detector sees at the rotation centre: do pixel_size "
        f"({geometry.pixel_size:g}) and detector_pitch ({geometry.detector_pitch:g}) belong "
        "together, in one unit?",
    )


@doubting
def sinogram_doubts(sinogram: np.ndarray, label: str) -> tuple[str, ...]:
    """Doubt what does not look like line integrals -log(I / I0).

    Args:
        sinogram: `(angles, detectors)`.
        label: what it is called in a message.

    Raises:
        UserError: zeros only, or whole numbers as photon counts are.
    """
    if not np.any(sinogram):
        other = "; leave it out of the file" if label.startswith("slice") else ""
        raise UserError(f"{label} is zero everywhere: there is nothing to reconstruct from{other}")
    if float(np.median(sinogram)) > 1 and bool((sinogram == np.round(sinogram)).all()):
        raise UserError(
            f"{label} holds whole numbers up to {sinogram.max():.0f}, as photon counts are; save "
            "line integrals, -np.log(counts / I0)"
        )
    if float((sinogram < 0).mean()) > MOSTLY:
        return ("nearly all line integrals are negative: is the sign of the logarithm wrong?",)
    detectors = sinogram.shape[1]
    outer = np.median(sinogram[:, [0, -1]])
    middle = np.median(sinogram[:, detectors // 3 : -(detectors // 3) or None])
    if outer > MOSTLY * middle:
        return (
            "the outermost detectors see as much as the middle ones: transmitted intensity in "
            "place of -log(I / I0), axes swapped, or an object wider than the detector?",
        )
    return ()


def find_unmeasured(sinogram: np.ndarray) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Find dead and stuck detector bins and lost views.

    A lost view has one value in every bin, or next to no mass where other views have some. A dead
    bin sees next to nothing between bins that do; a stuck one has one value in every view, far
    above its neighbours'.

    Args:
        sinogram: `(angles, detectors)`.

    Returns:
        A mask of the same shape, True = measured, None where everything is; and notes.
    """
    sinogram = sinogram.astype(np.float64)  # squares of nodata overflow in single precision
    lost = _lost_views(sinogram)
    if lost.all() or sinogram.shape[1] < 3:
        return None, ()
    bins = _dead_bins(sinogram[~lost])
    if not lost.any() and not bins.any():
        return None, ()
    notes = []
    if bins.any():
        notes.append(_left_out("detector bin", bins, sinogram[~lost][:, bins], "dead", "view"))
    if lost.any():
        notes.append(_left_out("view", lost, sinogram[lost], "lost", "bin"))
    return ~(lost[:, None] | bins[None]), tuple(Doubt(note) for note in notes)


def unmeasured_in_any(
    sinograms: Iterable[np.ndarray],
) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Find what is dead or lost in any of the sinograms that share an operator.

    Returns:
        As `find_unmeasured`; True where every one of them was measured.
    """
    found = [find_unmeasured(sinogram) for sinogram in sinograms]
    masks = [mask for mask, _ in found if mask is not None]
    notes = tuple(dict.fromkeys(note for _, more in found for note in more))
    return (np.logical_and.reduce(masks) if masks else None), notes


def find_unmeasured_pixels(sinogram: np.ndarray) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Find dead pixels of a panel and lost views, row by row as `find_unmeasured`.

    Args:
        sinogram: `(angles, rows, columns)`.

    Returns:
        A mask of the same shape, True = measured, None where everything is; and notes.
    """
    size = np.abs(sinogram).max(axis=(0, 2))
    lost = _lost_views(sinogram[:, size > VISIBLE * size.max()].reshape(len(sinogram), -1))
    if lost.all() or sinogram.shape[2] < 3:
        return None, ()
    dead = np.zeros(sinogram.shape[1:], dtype=bool)
    for row in np.flatnonzero(size > VISIBLE * size.max()):  # others see the air alone
        dead[row] = _dead_bins(sinogram[~lost, row].astype(np.float64))
    notes = []
    if dead.any():
        some = ", ".join(f"({r}, {c})" for r, c in np.argwhere(dead)[:LISTED])
        rest = ", ..." if dead.sum() > LISTED else ""
        notes.append(
            f"{dead.sum()} pixels of the panel (row, column) {some}{rest} are dead and left out, "
            "as not measured; counted from 0"
        )
    if lost.any():
        notes.append(_left_out("view", lost, sinogram[lost], "lost", "bin"))
    if not notes:
        return None, ()
    return ~(lost[:, None, None] | dead[None]), tuple(Doubt(note) for note in notes)


def _lost_views(sinogram: np.ndarray) -> np.ndarray:
    """Mark the views that are lost, bool `(angles,)`."""
    constant = np.ptp(sinogram, axis=1) == 0
    mass, size = np.abs(sinogram.mean(1)), np.sqrt(np.square(sinogram).mean(1))
    empty = (mass < EMPTY * np.median(mass)) & (size < 0.5 * np.median(size))
    found: np.ndarray = constant | empty if len(sinogram) >= FEWEST_VIEWS else constant
    return found


def _dead_bins(views: np.ndarray) -> np.ndarray:
    """Mark the bins that are dead or stuck, bool `(detectors,)`."""
    mean = np.abs(views.mean(0))
    constant = np.ptp(views, axis=0) == 0
    sides = np.pad(np.where(constant, 0, mean), NEAR)
    windows = np.lib.stride_tricks.sliding_window_view(sides, NEAR)
    left, right = windows[: len(mean)].max(1), windows[NEAR + 1 :].max(1)
    seen = np.minimum(left, right)
    limit = np.where(constant, DEAD, EMPTY if len(views) >= FEWEST_VIEWS else 0)
    dead = (seen > VISIBLE * sides.max()) & (mean < limit * seen)
    stuck = constant & (seen > 0) & (mean > np.maximum(left, right) / DEAD)
    found: np.ndarray = dead | stuck
    return found


def _left_out(what: str, which: np.ndarray, values: np.ndarray, state: str, of: str) -> str:
    numbers = np.flatnonzero(which)
    listed = ", ".join(map(str, numbers[:LISTED])) + (", ..." if len(numbers) > LISTED else "")
    value = "0" if not values.any() else "next to nothing, or one value,"
    one = len(numbers) == 1
    return (
        f"{what}{'' if one else 's'} {listed} {'is' if one else 'are'} {state} ({value} in every "
        f"{of}) and left out, as not measured; counted from 0"
    )


@doubting
def centre_doubts(sinogram: np.ndarray, geometry: Geometry) -> tuple[str, ...]:
    """Doubt the rotation centre of a parallel scan by the centre of mass of every view.

    It moves as a cos + b sin around the rotation centre (Helgason and Ludwig), whatever the image.

    Args:
        sinogram: `(angles, detectors)`, of which everything was measured.
        geometry: of the scan.
    """
    if geometry.fan is not None:
        return ()
    found = centre_by_mass(sinogram, np.asarray(geometry.angles))
    if found is None:
        return ()
    centre, error = found
    off = centre - geometry.detector_offset
    if abs(off) < max(OFF_CENTRE, SURE * error):
        return ()
    return (
        f"the rotation centre seems to be off by {off:.1f} bins: the centres of mass of the views "
        f"turn about detector_offset {centre:.1f}, not {geometry.detector_offset:g}",
    )


@doubting
def residual_doubts(problem: Problem, image: Tensor) -> tuple[str, ...]:
    """Doubt the geometry where an image fits the views worse than noise explains.

    Noise differs from bin to bin; what neighbouring bins of the residual share is structure that
    no image explains. `docs/trouble.md` has the numbers of sound and of contradictory scans.

    Args:
        problem: one CT scan.
        image: its total variation answer, in the units of the problem.
    """
    views = problem.y.shape[-1]
    if problem.traits.measures != "views" or problem.y.ndim < 4 or problem.keep is not None:
        return ()
    with torch.no_grad():
        residual = (problem.A(image) - problem.y).double()
    energy = float(problem.y.double().square().mean())
    bins = residual.shape[-2]
    if energy == 0 or bins <= 4 * max(LAGS):
        return ()
    shared = sum(
        float((residual[..., k:, :] * residual[..., : bins - k, :]).mean()) for k in LAGS
    ) / (len(LAGS) * energy)
    total = float(residual.square().mean()) / energy
    # few views are fitted with more bias; and chance makes white noise look shared
    allowed = (COHERENT * max(1.0, 12 / views)) ** 2 + 4 * total / math.sqrt(residual.numel())
    if shared <= allowed:
        return ()
    return (
        f"the views do not fit the geometry: the best image leaves {math.sqrt(total):.1%} of the "
        f"sinogram unexplained, {math.sqrt(shared):.1%} of it structure and not noise. Likely "
        "causes: a rotation centre that is not the middle of the detector (detector_offset), "
        "angles that run the other way (clockwise) or in other steps, wrong distances of a fan, "
        "dead bins, or an object wider than the detector",
    )


def scan_doubts(sinogram: np.ndarray, physics: CT, label: str) -> tuple[str, ...]:
    """Doubt one sinogram `(angles, detectors)` and its geometry; raises as `sinogram_doubts`."""
    sinogram, geometry = sinogram.astype(np.float64), physics.geometry
    notes = (*angles_doubts(np.asarray(geometry.angles)), *lengths_doubts(geometry))
    values = sinogram_doubts(sinogram, label)
    notes += values
    if values or physics.mask is not None:
        return notes
    width = apparent_width(sinogram, geometry.detector_offset, geometry.angles)
    if width > 1:  # views that are cut off have no known centre of mass
        return (*notes, *truncation_doubts(sinogram, geometry))
    return (*notes, *centre_doubts(sinogram, geometry))
