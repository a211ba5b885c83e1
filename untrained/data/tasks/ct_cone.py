"""Read a cone-beam scan: `sinogram` (angles, rows, columns) of a volume; for keys see `load_ct`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from untrained.data.arrays import read_optional, read_sigma, require_finite, single_precision
from untrained.data.formats import ArrayFile
from untrained.data.measurement import Measurement
from untrained.data.tasks.ct_counts import CountedScan, count_notes, weighted
from untrained.data.tasks.ct_refine import filled_sinogram, refined
from untrained.data.tasks.ct_scan import read_angles, read_fan, read_lengths
from untrained.doubts.ct import angles_doubts, find_unmeasured_pixels, sinogram_doubts
from untrained.doubts.ct_truncated import apparent_width, wide_side, widened_note
from untrained.errors import UserError
from untrained.machine import check_size
from untrained.physics.cone import ConeCT
from untrained.physics.masks import as_mask

VOXEL_BYTES, BIN_BYTES = 200, 60  # of images and measurements in total variation


def read_cone(
    file: ArrayFile,
    scan: dict[str, Any],
    angles: str | Path | int | None,
    stored: np.ndarray | None,
    slice: int | str | None,
    path: str | Path,
    refine: str | None = None,
    geometry: str | Path | None = None,
) -> Measurement:
    """Read one volume's scan.

    Args:
        file: open, with `sinogram`.
        scan: its geometry, by its keys; options have been put in.
        angles: the option; `stored` the file's own.
        slice: what `--slice` says, which only slices have.
        path: the file, for messages.
        refine: as of `load_ct`; the row that lies in the plane of the circle tells.
        geometry: the option's file, for messages; None without.

    Returns:
        y `(1, 1, rows, columns, views)`.

    Raises:
        UserError: as `load_ct`.
    """
    label = file.label("sinogram")
    if slice is not None:
        raise UserError(
            f"{path} is a cone-beam scan, whose slices share every view: leave out --slice; the "
            "whole volume is reconstructed"
        )
    shape = file.shape("sinogram")
    if len(shape) != 3:
        raise UserError(
            f"{label} of a cone beam must be (angles, rows, columns), found the shape {shape}"
        )
    values = file.read("sinogram")
    if values.dtype.kind != "f":
        raise UserError(
            f"{label} must be line integrals -np.log(counts / I0) as floats, found {values.dtype}"
        )
    sinogram = single_precision(values, label)
    degrees = read_angles(angles, stored, (shape[0], shape[2]), scan, path)
    views = None if "reference" in file.keys else sinogram
    physics, notes = build_cone(scan, degrees, (shape[1], shape[2]), views)
    if refine is not None:
        row = int(np.clip(round(physics.cone.centre_row), 0, shape[1] - 1))
        central = filled_sinogram(sinogram[:, row], physics.plane)
        plane, more = refined(refine, central, physics.geometry)
        found = {"detector_offset": plane.detector_offset, "volume_shape": physics.cone.x_shape}
        scan = scan | found
        physics, _ = build_cone(scan, np.asarray(plane.angles), (shape[1], shape[2]))
        notes += more
    physics, left_out = _measured_part(file, sinogram, physics, path)
    middle = sinogram[:, shape[1] // 2]
    notes += (*left_out, *angles_doubts(degrees), *sinogram_doubts(middle, label))
    truth = _reference(file, physics, path, geometry)
    counts = file.counts() if isinstance(file, CountedScan) else None
    notes += () if counts is None else count_notes(counts)
    return Measurement(
        task="ct",
        y=torch.from_numpy(np.ascontiguousarray(sinogram.transpose(1, 2, 0)))[None, None],
        physics=weighted(physics, counts),
        sigma=read_sigma(file),
        reference=None if truth is None else torch.from_numpy(truth)[None, None],
        data_range=None if truth is None else float(np.abs(truth).max()) or None,
        notes=notes,
        axes="ZYX",
        source=str(path),
    )


def build_cone(
    scan: dict[str, Any],
    angles: np.ndarray,
    panel: tuple[int, int],
    views: np.ndarray | None = None,
) -> tuple[ConeCT, tuple[str, ...]]:
    """Build the operator of a cone-beam scan from its geometry, and notes on what was not given.

    Args:
        scan: geometry by its keys.
        angles: in degrees.
        panel: rows and columns of the detector.
        views: `(angles, rows, columns)`, which tell an object that is wider than the panel where
            the volume's size is not given; None = it is not.
    """
    if "image_shape" in scan:
        raise UserError("a cone beam has 'volume_shape' (slices, rows, columns), not 'image_shape'")
    fan = read_fan(scan)
    assert fan is not None
    pitch, pixel, about = read_lengths(scan, fan)
    row_pitch = scan.get("detector_row_pitch", pitch)
    notes = list(about)
    height = scan.get("slice_height", pixel)
    shape = scan.get("volume_shape")
    if shape is None:
        slices = max(
            2, round(panel[0] * row_pitch * fan.source_origin / fan.source_detector / height)
        )
        offset = scan.get("detector_offset", 0.0)
        middle = None if views is None else views[:, panel[0] // 2]
        width = 1.0 if middle is None else apparent_width(middle, offset, angles.tolist())
        side = panel[1] if width == 1 else wide_side(panel[1], width)
        shape = (slices, side, side)
        notes.append(f"volume size not given: {' x '.join(map(str, shape))}, as the panel sees it")
        notes += [] if width == 1 else [widened_note(panel[1], width)]
    size = VOXEL_BYTES * int(np.prod(shape)) + BIN_BYTES * len(angles) * panel[0] * panel[1]
    check_size(size, size, f"volume_shape: {' x '.join(map(str, shape))}, {len(angles)} views")
    physics = ConeCT(
        shape,
        angles,
        panel,
        fan,
        pixel_size=pixel,
        slice_height=height,
        detector_pitch=pitch,
        row_pitch=row_pitch,
        detector_offset=scan.get("detector_offset", 0.0),
        row_offset=scan.get("detector_row_offset", 0.0),
    )
    unseen = physics.cone.unseen_slices
    if unseen == shape[0]:
        raise UserError(
            f"no ray of the scan meets the volume: slice_height {height:g}, detector_row_pitch "
            f"{row_pitch:g} and detector_row_offset do not belong together"
        )
    if unseen:
        notes.append(
            f"{unseen} of {shape[0]} slices lie beyond the panel and are hardly measured; a "
            "smaller volume_shape leaves them out"
        )
    return physics, tuple(notes)


def _measured_part(
    file: ArrayFile, sinogram: np.ndarray, physics: ConeCT, path: str | Path
) -> tuple[ConeCT, tuple[str, ...]]:
    """Leave out what the file's mask says, else what is dead or lost; and notes."""
    mask = read_optional(file, "mask")
    if mask is None:
        measured, notes = find_unmeasured_pixels(sinogram)
        if measured is None:
            return physics, notes
        return physics.leaving_out(measured.transpose(1, 2, 0).copy()), notes
    label, views = f"'mask' in {path}", len(sinogram)
    found = as_mask(require_finite(mask, label), label).numpy()
    if found.shape not in (sinogram.shape, sinogram.shape[1:], (views, 1, 1)):
        raise UserError(
            f"{label} has shape {found.shape}; expected {sinogram.shape} (angles, rows, columns), "
            f"{sinogram.shape[1:]} for bins or ({views}, 1, 1) for views, 1 where measured"
        )
    full = np.broadcast_to(found, sinogram.shape)
    share = float(1 - full.mean())
    return physics.leaving_out(full.transpose(1, 2, 0).copy()), (
        f"{share:.1%} of the measurements are left out, as the file's mask says",
    )


def _reference(
    file: ArrayFile, physics: ConeCT, path: str | Path, geometry: str | Path | None
) -> np.ndarray | None:
    values = read_optional(file, "reference")
    if values is None:
        return None
    label = f"'reference' in {path}"
    if values.shape != physics.cone.x_shape or values.dtype.kind not in "biuf":
        raise UserError(
            f"{label} must be real of shape {physics.cone.x_shape}, the volume's, found "
            f"{values.dtype} of shape {values.shape}; store the right 'volume_shape' beside it"
            f"{'' if geometry is None else f', or in {geometry}'}"
        )
    return single_precision(values, label)
