"""Read the geometry of a CT scan, and build its operator; `load_ct` lists the keys."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from untrained.data.arrays import (
    read_one,
    read_optional,
    require_finite,
)
from untrained.data.formats import ArrayFile, is_numeric
from untrained.data.formats.base import list_names
from untrained.doubts.ct_truncated import apparent_width, wide_side, widened_note
from untrained.errors import UserError, shown
from untrained.files import read_text_file
from untrained.machine import check_size, largest_array
from untrained.physics.ct import CT, matrix_bytes
from untrained.physics.ct_geometry import FanBeam, Geometry, positive
from untrained.physics.masks import as_mask
from untrained.physics.projector import meets

CONE_LENGTHS = ("slice_height", "detector_row_pitch", "detector_row_offset")
LENGTHS = (
    "source_origin",
    "source_detector",
    "detector_pitch",
    "detector_offset",
    "pixel_size",
    *CONE_LENGTHS,
)
MOST_PIXELS, FINER_THAN_BINS = 2**20, 16
LARGEST = 1e30
SHAPES = {"image_shape": 2, "volume_shape": 3}
"""Keys of whole numbers, and how many there are."""

GEOMETRY_KEYS = ("geometry", *LENGTHS, *SHAPES)
CONE = "cone"
BEAMS = ("parallel", "fan", CONE)
MOST_TEXT = 2**24  # bytes of a list of angles or a geometry
PIXEL_BYTES = 400  # of one view and of images
RAY_BYTES = 64  # of sinograms


def read_geometry(path: str | Path) -> dict[str, Any]:
    """Read the geometry keys of a JSON file.

    Raises:
        UserError: not JSON, not an object, an unknown key or a value of the wrong kind.
    """
    file, text = Path(path), read_text_file(path, "--geometry", MOST_TEXT)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"--geometry: {file} is not valid JSON: {error}") from error
    if not isinstance(found, dict):
        raise UserError(f"--geometry: {file} must hold a JSON object with keys such as 'geometry'")
    unknown = sorted(set(found) - set(GEOMETRY_KEYS))
    if unknown:
        raise UserError(
            f"--geometry: {file} has unknown keys {list_names(unknown)}; "
            f"known: {', '.join(GEOMETRY_KEYS)}"
        )
    return {key: _checked(key, value, f"--geometry: {file}") for key, value in found.items()}


def even_angles(count: int, fan: bool = False) -> np.ndarray:
    """Space `count` view angles evenly, in degrees, over 180 (fan: 360), the end excluded.

    Raises:
        UserError: fewer than one.
    """
    if count < 1:
        raise UserError(f"--angles must be at least 1, got {count}")
    return np.arange(count) * ((360.0 if fan else 180.0) / count)


def check_matrix(shape: tuple[int, int], views: int, culprit: str) -> None:
    """Raise a UserError if the images and sinograms of a scan would fill the memory."""
    size = PIXEL_BYTES * shape[0] * shape[1] + RAY_BYTES * max(shape) * max(views, 0)
    check_size(size, size, f"{culprit}: {views} projections of {shape[0]}x{shape[1]} pixels")


def fit_into_memory(physics: CT) -> tuple[CT, tuple[str, ...]]:
    """Give the operator as it fits into memory: without its matrix where that does not; a note."""
    size = matrix_bytes(physics.geometry)
    if size <= largest_array():
        return physics, ()
    return physics.without_matrix(), (
        f"the projection matrix would take {size / 2**20:,.0f} MiB, more than may be used here: "
        "every projection is computed anew, which takes longer",
    )


def read_stored_geometry(file: ArrayFile) -> dict[str, Any]:
    """Read the geometry keys that a file of measurements holds."""
    found: dict[str, Any] = {}
    for key in GEOMETRY_KEYS:
        value = read_optional(file, key)
        if value is not None:
            found[key] = _checked(key, value.tolist(), str(file.path))
    return found


def _checked(key: str, value: Any, label: str) -> Any:
    """Check the kind of a geometry value."""
    if key == "geometry":
        if not isinstance(value, str) or value not in BEAMS:
            raise UserError(
                f"{label}: 'geometry' must be one of {', '.join(BEAMS)}, got {shown(value)}"
            )
        return value
    if key in SHAPES:
        sides = value if isinstance(value, list) else []
        whole = all(_is_number(n) and n >= 1 and n % 1 == 0 for n in sides)
        if len(sides) != SHAPES[key] or not whole:
            count = {2: "two", 3: "three"}[SHAPES[key]]
            raise UserError(f"{label}: '{key}' must be {count} whole numbers, got {shown(value)}")
        return tuple(int(side) for side in sides)
    if not _is_number(value):
        raise UserError(f"{label}: '{key}' must be a finite number, got {shown(value)}")
    return float(value)


def _is_number(value: Any) -> bool:
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return plain and -LARGEST < value < LARGEST


def read_angles(
    option: str | Path | int | None,
    stored: np.ndarray | None,
    shape: tuple[int, ...],
    scan: dict[str, Any],
    path: str | Path,
) -> np.ndarray:
    """Read the view angles in degrees: of the option, else those that the file stores.

    Args:
        option: a file, or the number of evenly spaced views; None = the file's.
        stored: the file's; None where it has none.
        shape: of the sinogram, whose views are counted.
        scan: geometry of the scan, by its keys.
        path: the file, for messages.
    """
    asked = None if option is None else str(option)
    if asked is not None and asked.isdecimal():
        _check_count(int(asked), shape, "--angles")
        turn = scan.get("geometry", "parallel") != "parallel"
        views, name = even_angles(int(asked), turn), "--angles"
    elif asked is not None:
        views, name = _angles_of_file(asked), f"--angles: {asked}"
    elif stored is not None:
        views, name = stored, f"'angles' in {path}"
    else:
        raise UserError(f"{path} holds no 'angles': give --angles FILE (degrees), or --angles N")
    views = require_finite(np.asarray(views), name)
    if views.ndim != 1 or views.dtype.kind not in "iuf":
        raise UserError(f"{name} must be one list of degrees, found {views.dtype} {views.shape}")
    _check_count(len(views), shape, name)
    return views.astype(np.float64)


def _check_count(count: int, shape: tuple[int, ...], name: str) -> None:
    *stack, views, detectors = shape
    if count != views:
        hint = "; is it transposed?" if count == detectors else ""
        if stack == [count]:
            hint = "; slices come first: save np.moveaxis(sinogram, 1, 0)"
        raise UserError(
            f"{name} gives {count} angles, but 'sinogram' has {views} rows, one a view, "
            f"of {detectors} detectors{hint}"
        )


def _angles_of_file(path: str) -> np.ndarray:
    if is_numeric(path):
        return np.squeeze(read_one(path, "--angles", ("angles",)))
    text = read_text_file(path, "--angles", MOST_TEXT)
    try:
        return np.array([float(word) for word in text.replace(",", " ").split()])
    except ValueError as error:
        raise UserError(
            f"--angles: {path} must hold numbers (degrees) separated by spaces, commas or lines: "
            f"{error}"
        ) from error


def build_operator(
    scan: dict[str, Any],
    angles: np.ndarray,
    detectors: int,
    sinogram: np.ndarray | None = None,
) -> tuple[CT, tuple[str, ...]]:
    """Build the operator of a scan from its geometry, and notes on what was not given.

    Args:
        scan: geometry by its keys.
        angles: in degrees.
        detectors: number of bins.
        sinogram: `(angles, detectors)`, which tells an object that is wider than the detector where
            the image's size is not given; None = it is not.
    """
    refuse_cone_keys(scan)
    notes: list[str] = []
    width = 1.0
    if "image_shape" not in scan and sinogram is not None:
        offset = scan.get("detector_offset", 0.0)
        width = apparent_width(sinogram, offset, angles.tolist())
    shape = scan.get("image_shape", (detectors, detectors))
    if width > 1:
        shape = (wide_side(detectors, width),) * 2
        notes.append(widened_note(detectors, width))
    elif "image_shape" not in scan:
        notes.append(f"image size not given: {detectors}x{detectors}, as many as detectors")
    for name in ("pixel_size", "detector_pitch"):  # before one is derived from the other
        positive(name, scan.get(name, 1.0))
    fan = read_fan(scan)
    pitch, pixel, about = read_lengths(scan, fan)
    notes += about
    offset = scan.get("detector_offset", 0.0)
    _check_pixels(Geometry(shape, tuple(angles.tolist()), detectors, pixel, pitch, offset, fan))
    physics = CT(
        shape,
        angles,
        detectors,
        pixel_size=pixel,
        detector_pitch=pitch,
        detector_offset=offset,
        fan=fan,
    )
    physics, slow = fit_into_memory(physics)
    notes += slow
    if not meets(physics.geometry):
        raise UserError(
            f"no ray of the scan meets the image: pixel_size {pixel:g}, detector_pitch {pitch:g} "
            f"and detector_offset {offset:g} do not belong together"
        )
    return physics, tuple(notes)


def _check_pixels(planned: Geometry) -> None:
    """Refuse a geometry whose matrix is too large, or with pixels that no bin can tell apart."""
    shape, detectors = planned.image_shape, planned.detectors
    check_matrix(shape, len(planned.angles), "image_shape")
    pixels = shape[0] * shape[1]
    if pixels > MOST_PIXELS and pixels > FINER_THAN_BINS * detectors**2:
        raise UserError(
            f"image_shape {shape[0]}x{shape[1]} has over {FINER_THAN_BINS} times the pixels that "
            f"{detectors} detectors can tell apart; the size of the sinogram is the usual one: "
            f"{detectors}x{detectors}"
        )


def read_lengths(scan: dict[str, Any], fan: FanBeam | None) -> tuple[float, float, list[str]]:
    """Find the pitch of the detector and the side of a pixel, as wide as a bin if not given."""
    shrink = 1.0 if fan is None else fan.source_origin / fan.source_detector
    pitch, pixel = scan.get("detector_pitch"), scan.get("pixel_size")
    notes = []
    if pitch is None and pixel is not None:
        pitch = pixel / shrink
        notes.append(f"detector pitch not given: {pitch:.4g}, a pixel as the detector sees it")
    elif pixel is None and (pitch is not None or fan is not None):
        pixel = (1.0 if pitch is None else pitch) * shrink
        notes.append(f"pixel size not given: {pixel:.4g}, a detector bin at the rotation centre")
    return (1.0 if pitch is None else pitch), (1.0 if pixel is None else pixel), notes


def leave_out_masked(physics: CT, mask: np.ndarray, path: str | Path) -> tuple[CT, tuple[str, ...]]:
    """Give the operator the file's mask `(angles, detectors)`, or `(detectors,)`, and a note."""
    label = f"'mask' in {path}"
    measured = as_mask(require_finite(mask, label), label).numpy()
    views, bins = len(physics.geometry.angles), physics.geometry.detectors
    if measured.shape not in ((views, bins), (bins,), (1, bins), (views, 1)):
        raise UserError(
            f"{label} has shape {measured.shape}; expected {(views, bins)} (angles, detectors), "
            f"({bins},) for bins or ({views}, 1) for views, 1 where measured"
        )
    full = np.broadcast_to(measured, (views, bins))
    share = float(1 - full.mean())
    return physics.leaving_out(full.T.copy()), (
        f"{share:.1%} of the measurements are left out, as the file's mask says",
    )


def refuse_cone_keys(scan: dict[str, Any]) -> None:
    """Refuse lengths that only a cone beam has."""
    given = [key for key in (*CONE_LENGTHS, "volume_shape") if key in scan]
    if given:
        raise UserError(
            f"{' and '.join(given)} belong to a cone beam: set 'geometry' to 'cone' in the file or "
            "in --geometry, or leave them out"
        )


def read_fan(scan: dict[str, Any]) -> FanBeam | None:
    """Read the distances of the source; None of a parallel beam."""
    distances = [key for key in ("source_origin", "source_detector") if key in scan]
    if scan.get("geometry", "parallel") == "parallel":
        if distances:
            raise UserError(
                f"{' and '.join(distances)} belong to a fan beam, but the geometry is parallel: "
                "set 'geometry' to 'fan' (or 'cone') in the file or in --geometry"
            )
        return None
    if len(distances) < 2:
        beam = scan["geometry"]
        raise UserError(f"a {beam} beam needs both 'source_origin' and 'source_detector'")
    return FanBeam(scan["source_origin"], scan["source_detector"])
