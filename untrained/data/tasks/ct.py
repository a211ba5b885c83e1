"""Computed tomography from .npz and .h5 files, parallel and fan beam.

A file holds `sinogram` (angles, detectors), float, the line integrals -log(I / I0); `angles` in
degrees; and optionally `image_shape` (H, W), `reference` (H, W) and `sigma`, the standard
deviation of the noise. Of several slices `sinogram` and `reference` have them on an axis in
front; all share one geometry. The lateral coordinate is s = x cos a + y sin a with y up, and the
detector index grows with s. These keys, in the file or in the JSON file of `--geometry` (which
takes precedence), describe the scan:

- `geometry`: `parallel` (default) or `fan`;
- `source_origin`, `source_detector`: distances from the source to the rotation centre and to the
  flat detector, needed for a fan;
- `detector_pitch`: width of a detector bin (default 1, or as wide as a pixel where only that is
  given);
- `detector_offset`: in bins, where the rotation centre projects, measured from the middle of the
  detector (default 0);
- `pixel_size`: side of an image pixel, in the unit of the lengths above (default: the width of a
  bin as seen at the rotation centre);
- `image_shape`: rows and columns of the image (default: square, as many as there are detectors).

`mask` in the file, (angles, detectors) or (detectors,), 1 = measured, leaves out measurements;
without it dead detector bins and lost views are found, and left out.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from untrained.data.arrays import (
    read_one,
    read_optional,
    read_sigma,
    require_finite,
    single_precision,
)
from untrained.data.formats import ArrayFile, is_numeric, stack_suffixes, unnamed_array_suffixes
from untrained.data.formats.base import listed
from untrained.data.measurement import Measurement
from untrained.data.memory import check_size, room
from untrained.data.named import TURNED, open_measurement
from untrained.data.parameters import replaced
from untrained.data.slices import as_volume, of_slice, wanted_slices
from untrained.doubts.ct import scan_doubts, unmeasured_in_any
from untrained.errors import UserError, from_file, shown
from untrained.files import read_text_file
from untrained.physics.ct import CT, matrix_bytes
from untrained.physics.footprint import FanBeam, Geometry, positive
from untrained.physics.masks import as_mask
from untrained.physics.projector import meets

LENGTHS = ("source_origin", "source_detector", "detector_pitch", "detector_offset", "pixel_size")
MOST_PIXELS, FINER_THAN_BINS = 2**20, 16
LARGEST = 1e30
GEOMETRY_KEYS = ("geometry", *LENGTHS, "image_shape")
BEAMS = ("parallel", "fan")
MOST_TEXT = 2**24  # bytes of a list of angles or a geometry
PIXEL_BYTES = 400  # of one view and of images
RAY_BYTES = 64  # of sinograms


def load_ct(
    path: str | Path,
    *,
    angles: str | Path | int | None = None,
    geometry: str | Path | None = None,
    slice: int | str | None = None,
    volume: bool = False,
    key: str | None = None,
) -> list[Measurement]:
    """One sinogram per slice asked for, and the scan geometry; see the module's text for the keys.

    Args:
        path: .npz or .h5 file with `sinogram`, or the sinogram alone as .npy or TIFF of floats,
            whose pages are slices.
        angles: file of view angles in degrees (.npy, .npz or text), or their number N, evenly
            spaced over 180 degrees (fan: 360), the end excluded; None takes the file's.
        geometry: JSON file with any of the geometry keys.
        slice: number of the slice from 0, `all`, or None for the middle one.
        volume: all slices as one measurement, for a network in three dimensions.
        key: name of the array that is the sinogram, where that is not `sinogram`; `group/name` in
            HDF5.

    Returns:
        Measurements with y `(1, 1, detectors, angles)`; of a volume a single one,
        `(1, 1, slices, detectors, angles)`.

    Raises:
        UserError: unreadable file, a sinogram that is not real, floating and finite, a number of
            angles that differs from the sinogram's, or a geometry that makes no sense.
    """
    plain = (*unnamed_array_suffixes(), *stack_suffixes())
    with open_measurement(path, "sinogram", key, plain) as file:
        shape, named = file.shape("sinogram"), file.label("sinogram")
        stack = shape[0] if len(shape) == 3 else None
        indices, notes = wanted_slices(slice, stack, path, volume)
        if file.reversed_axes("sinogram"):
            notes += (TURNED,)
        sinograms = [_sinogram(file, index) for index in indices]
        stored_angles = read_optional(file, "angles")
        references = [_reference(file, index) for index in indices]
        sigma = read_sigma(file)
        scan = _stored_geometry(file)
        mask = read_optional(file, "mask")
    if geometry is not None:
        told = read_geometry(geometry)
        for name, value in told.items():
            notes += replaced("--geometry", value, name, scan.get(name))
        scan |= told
    views = _angles(angles, stored_angles, shape, scan, path)
    if angles is not None:
        notes += replaced("--angles", views, "angles", stored_angles)
    with from_file(path, geometry, None if angles is None else str(angles)):
        physics, about = _physics(scan, views, shape[-1])
    if mask is not None:
        physics, left_out = _masked(physics, mask, path)
        about += left_out
    notes = (*notes, *about)
    if volume:
        physics, more = _measured_part(sinograms, physics)
        notes += more
    found = [
        _measurement(path, index, sinogram, physics, sigma, reference, notes, geometry, named)
        for index, sinogram, reference in zip(indices, sinograms, references, strict=True)
    ]
    return [as_volume(found, path)] if volume else found


def _measurement(
    path: str | Path,
    index: int | None,
    sinogram: np.ndarray,
    physics: CT,
    sigma: float | None,
    reference: np.ndarray | None,
    notes: tuple[str, ...],
    geometry: str | Path | None,
    named: str,
) -> Measurement:
    label = named if index is None else f"slice {index} of {named}"
    physics, left_out = _measured_part([sinogram], physics)
    notes += (*left_out, *scan_doubts(sinogram, physics, label))
    truth = _fitting(reference, physics.geometry.image_shape, path, geometry)
    return Measurement(
        task="ct",
        y=torch.from_numpy(np.ascontiguousarray(sinogram.T))[None, None],
        physics=physics,
        sigma=sigma,
        reference=None if truth is None else torch.from_numpy(truth)[None, None],
        data_range=None if truth is None else float(np.abs(truth).max()) or None,
        notes=notes,
        axes="YX",
        source=str(path) if index is None else f"{path}, slice {index}",
    )


def _measured_part(sinograms: list[np.ndarray], physics: CT) -> tuple[CT, tuple[str, ...]]:
    """The operator without what is dead or lost in any of the sinograms, and notes."""
    if physics.mask is not None:
        return physics, ()
    measured, notes = unmeasured_in_any(sinograms)
    return (physics if measured is None else physics.leaving_out(measured.T.copy())), notes


def read_geometry(path: str | Path) -> dict[str, Any]:
    """The geometry keys of a JSON file.

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
            f"--geometry: {file} has unknown keys {listed(unknown)}; "
            f"known: {', '.join(GEOMETRY_KEYS)}"
        )
    return {key: _checked(key, value, f"--geometry: {file}") for key, value in found.items()}


def even_angles(count: int, fan: bool = False) -> np.ndarray:
    """`count` view angles in degrees, evenly over 180 (fan: 360), the end excluded.

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


def fitting(physics: CT) -> tuple[CT, tuple[str, ...]]:
    """Give the operator as it fits into memory: without its matrix where that does not; a note."""
    size = matrix_bytes(physics.geometry)
    if size <= room():
        return physics, ()
    return physics.without_matrix(), (
        f"the projection matrix would take {size / 2**20:,.0f} MiB, more than may be used here: "
        "every projection is computed anew, which takes longer",
    )


def _sinogram(file: ArrayFile, index: int | None) -> np.ndarray:
    label = file.label("sinogram")
    values = file.read("sinogram", index)
    if values.dtype.kind != "f" or values.ndim != 2:
        hint = ""
        if values.dtype.kind in "iu":
            hint = "; for photon counts save -np.log(counts / I0)"
        raise UserError(
            f"{label} must be a real float array (angles, detectors), or (slices, angles, "
            f"detectors), found {values.dtype} of shape {file.shape('sinogram')}{hint}"
        )
    return single_precision(values, label)


def _reference(file: ArrayFile, index: int | None) -> np.ndarray | None:
    return of_slice(file, "reference", index, 2) if "reference" in file.keys else None


def _stored_geometry(file: ArrayFile) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key in GEOMETRY_KEYS:
        value = read_optional(file, key)
        if value is not None:
            found[key] = _checked(key, value.tolist(), str(file.path))
    return found


def _checked(key: str, value: Any, label: str) -> Any:
    """A geometry value of the right kind, or a UserError."""
    if key == "geometry":
        if not isinstance(value, str) or value not in BEAMS:
            raise UserError(
                f"{label}: 'geometry' must be one of {', '.join(BEAMS)}, got {shown(value)}"
            )
        return value
    if key == "image_shape":
        sides = value if isinstance(value, list) else []
        if len(sides) != 2 or not all(_is_number(n) and n >= 1 and n % 1 == 0 for n in sides):
            raise UserError(f"{label}: 'image_shape' must be two whole numbers, got {shown(value)}")
        return int(sides[0]), int(sides[1])
    if not _is_number(value):
        raise UserError(f"{label}: '{key}' must be a finite number, got {shown(value)}")
    return float(value)


def _is_number(value: Any) -> bool:
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return plain and -LARGEST < value < LARGEST


def _angles(
    option: str | Path | int | None,
    stored: np.ndarray | None,
    shape: tuple[int, ...],
    scan: dict[str, Any],
    path: str | Path,
) -> np.ndarray:
    asked = None if option is None else str(option)
    if asked is not None and asked.isdecimal():
        _check_count(int(asked), shape, "--angles")
        views, name = even_angles(int(asked), scan.get("geometry") == "fan"), "--angles"
    elif asked is not None:
        views, name = _read_angles(asked), f"--angles: {asked}"
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


def _read_angles(path: str) -> np.ndarray:
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


def _physics(
    scan: dict[str, Any], angles: np.ndarray, detectors: int
) -> tuple[CT, tuple[str, ...]]:
    notes: list[str] = []
    if "image_shape" not in scan:
        notes.append(f"image size not given: {detectors}x{detectors}, as many as detectors")
    shape = scan.get("image_shape", (detectors, detectors))
    for name in ("pixel_size", "detector_pitch"):  # before one is derived from the other
        positive(name, scan.get(name, 1.0))
    fan = _fan(scan)
    pitch, pixel, about = _lengths(scan, fan)
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
    physics, slow = fitting(physics)
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


def _lengths(scan: dict[str, Any], fan: FanBeam | None) -> tuple[float, float, list[str]]:
    """Pitch of the detector and side of a pixel, which is as wide as a bin unless told; notes."""
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


def _masked(physics: CT, mask: np.ndarray, path: str | Path) -> tuple[CT, tuple[str, ...]]:
    """The operator with the file's mask `(angles, detectors)`, or `(detectors,)`, and a note."""
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


def _fan(scan: dict[str, Any]) -> FanBeam | None:
    distances = [key for key in ("source_origin", "source_detector") if key in scan]
    if scan.get("geometry", "parallel") == "parallel":
        if distances:
            raise UserError(
                f"{' and '.join(distances)} belong to a fan beam, but the geometry is parallel: "
                "set 'geometry' to 'fan' in the file or in --geometry"
            )
        return None
    if len(distances) < 2:
        raise UserError("a fan beam needs both 'source_origin' and 'source_detector'")
    return FanBeam(scan["source_origin"], scan["source_detector"])


def _fitting(
    values: np.ndarray | None,
    image_shape: tuple[int, int],
    path: str | Path,
    geometry: str | Path | None,
) -> np.ndarray | None:
    if values is None:
        return None
    label = f"'reference' in {path}"
    if values.shape != image_shape or values.dtype.kind not in "biuf":
        raise UserError(
            f"{label} must be real of shape {image_shape}, the image's, found {values.dtype} of "
            f"shape {values.shape}; store the right 'image_shape' beside it"
            f"{'' if geometry is None else f', or in {geometry}'}"
        )
    return single_precision(values, label)
