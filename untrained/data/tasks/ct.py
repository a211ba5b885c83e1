"""Load computed tomography from .npz and .h5 files, parallel and fan beam.

A file holds `sinogram` (angles, detectors), float, the line integrals -log(I / I0); `angles` in
degrees; and optionally `image_shape` (H, W), `reference` (H, W) and `sigma`, the standard
deviation of the noise. Of several slices `sinogram` and `reference` have them on an axis in
front; all share one geometry. The lateral coordinate is s = x cos a + y sin a with y up, and the
detector index grows with s. These keys, in the file or in the JSON file of `--geometry` (which
takes precedence), describe the scan:

- `geometry`: `parallel` (default), `fan` or `cone`;
- `source_origin`, `source_detector`: distances from the source to the rotation centre and to the
  flat detector, needed for a fan and a cone;
- `detector_pitch`: width of a detector bin (default 1, or as wide as a pixel where only that is
  given);
- `detector_offset`: in bins, where the rotation centre projects, measured from the middle of the
  detector (default 0);
- `pixel_size`: side of an image pixel, in the unit of the lengths above (default: the width of a
  bin as seen at the rotation centre);
- `image_shape`: rows and columns of the image (default: square, as many as there are detectors);
- of a cone beam (`ct_cone`) `sinogram` is (angles, rows, columns), and in place of `image_shape`
  stands `volume_shape`, slices, rows and columns; `detector_row_pitch`, `detector_row_offset` and
  `slice_height` are pitch, offset and voxel side along the rotation axis (default: as the others).

`mask` in the file, (angles, detectors) or (detectors,), 1 = measured, leaves out measurements;
without it dead detector bins and lost views are found, and left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from untrained.data.arrays import (
    read_optional,
    read_sigma,
    single_precision,
)
from untrained.data.formats import (
    ArrayFile,
    find_format,
    has_named_arrays,
    open_arrays,
    stack_suffixes,
    unnamed_array_suffixes,
)
from untrained.data.formats.hdf5 import HDF5, H5File
from untrained.data.measurement import Measurement
from untrained.data.named import TURNED, open_measurement
from untrained.data.parameters import note_replaced
from untrained.data.slices import choose_slices, join_slices, read_slice
from untrained.data.tasks.ct_cone import read_cone
from untrained.data.tasks.ct_counts import (
    CountedScan,
    count_notes,
    is_counted,
    weighted,
)
from untrained.data.tasks.ct_described import read_described
from untrained.data.tasks.ct_raw import raw_scan
from untrained.data.tasks.ct_refine import filled_sinogram, refined
from untrained.data.tasks.ct_rings import ring_note, without_rings
from untrained.data.tasks.ct_scan import (
    CONE,
    build_operator,
    leave_out_masked,
    read_angles,
    read_geometry,
    read_stored_geometry,
)
from untrained.doubts.ct import scan_doubts, unmeasured_in_any
from untrained.errors import UserError, from_file
from untrained.physics.ct import CT

ANGLES = ("angles", "angles_deg", "theta")
"""Names that files give to the angles of the views, in degrees."""


@dataclass(frozen=True)
class _Contents:
    """What a file says of a scan.

    Attributes:
        shape: of the stored sinogram, all slices of it.
        label: name of the sinogram for messages.
        indices, sinograms, references: the slices asked for (index None: no axis of slices), each
            sinogram `(angles, detectors)`, each true image `(H, W)` where there is one.
        counts: photons of each of them; None where the file holds line integrals.
        angles, geometry, mask, sigma: what is stored beside them; None or empty where nothing is.
        notes: on what was decided while reading.
    """

    shape: tuple[int, ...]
    label: str
    indices: list[int | None]
    sinograms: list[np.ndarray]
    references: list[np.ndarray | None]
    angles: np.ndarray | None
    geometry: dict[str, Any]
    mask: np.ndarray | None
    counts: list[np.ndarray] | None
    sigma: float | None
    notes: tuple[str, ...]


def load_ct(
    path: str | Path,
    *,
    angles: str | Path | int | None = None,
    geometry: str | Path | None = None,
    slice: int | str | None = None,
    volume: bool = False,
    key: str | None = None,
    refine: str | None = None,
    rings: bool = False,
) -> list[Measurement]:
    """Load one sinogram per slice asked for, and the scan geometry by the keys listed above.

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
        refine: `center` finds where the rotation centre projects, `angles` the angle of every view,
            by the views alone (of several slices by the middle one that is read).
        rings: subtract the offset of every detector bin first (`ct_rings.without_rings`).

    Returns:
        Measurements with y `(1, 1, detectors, angles)`; of a volume a single one,
        `(1, 1, slices, detectors, angles)`.

    Raises:
        UserError: unreadable file, a sinogram that is not real, floating and finite, a number of
            angles that differs from the sinogram's, or a geometry that makes no sense.
    """
    given = {} if geometry is None else read_geometry(geometry)
    plain = (*unnamed_array_suffixes(), *stack_suffixes())
    with _opened(path, key, plain) as file:
        described, about = read_described(file)
        stored = described | read_stored_geometry(file)
        if (stored | given).get("geometry") == CONE:
            notes = _replaced(given, stored)
            if rings:
                raise UserError(
                    f"{path} is a cone-beam scan, and --rings is for sinograms of slices: leave it "
                    "out"
                )
            with from_file(path, geometry, None if angles is None else str(angles)):
                own = _stored_angles(file)
                one = read_cone(file, stored | given, angles, own, slice, path, refine, geometry)
            return [replace(one, notes=(*about, *notes, *one.notes))]
        read = _read(file, stored, slice, path, volume)
        read = replace(read, notes=(*about, *read.notes))
    if rings:
        read = _without_rings(read)
    physics, about = _operator(read, angles, given, geometry, path)
    notes = (*read.notes, *about)
    if refine is not None:
        with from_file(path, geometry):
            physics, more = _refined(refine, read, physics)
        notes += more
    if volume and read.counts is not None:
        raise UserError(
            f"{path} holds counts of several slices, each with weights of its own, which --volume "
            "does not take: use --slice all"
        )
    if volume:
        physics, more = _measured_part(read.sinograms, physics)
        notes += more
    found = [
        _measurement(path, read, number, physics, notes, geometry)
        for number in range(len(read.sinograms))
    ]
    return [join_slices(found, path)] if volume else found


def _without_rings(read: _Contents) -> _Contents:
    """Suppress the stripes of every slice; dead bins and lost views stay as they are."""
    found = [without_rings(one, unmeasured_in_any([one])[0]) for one in read.sinograms]
    note = ring_note([count for _, count in found], read.sinograms[0].shape[1])
    return replace(read, sinograms=[one for one, _ in found], notes=(*read.notes, note))


def _read(
    file: ArrayFile,
    geometry: dict[str, Any],
    slice: int | str | None,
    path: str | Path,
    volume: bool,
) -> _Contents:
    """Read the slices asked for, and what the file says of the scan. Arguments as of `load_ct`."""
    shape = file.shape("sinogram")
    stack = shape[0] if len(shape) == 3 else None
    indices, notes = choose_slices(slice, stack, path, volume)
    if file.reversed_axes("sinogram"):
        notes += (TURNED,)
    counts = None
    if isinstance(file, CountedScan):
        counts = [file.counts(index) for index in indices]
        notes += count_notes(np.stack(counts))
    found = _Contents(
        shape=shape,
        label=file.label("sinogram"),
        indices=indices,
        sinograms=[_sinogram(file, index) for index in indices],
        angles=_stored_angles(file),
        references=[_reference(file, index) for index in indices],
        sigma=read_sigma(file),
        geometry=geometry,
        mask=read_optional(file, "mask"),
        counts=counts,
        notes=notes,
    )
    return replace(found, notes=(*notes, *file.notes))  # complete once all was read


@contextmanager
def _opened(path: str | Path, key: str | None, plain: tuple[str, ...]) -> Iterator[ArrayFile]:
    """Open a file with a sinogram, or with raw counts of a layout that is known."""
    if key is None and find_format(path) is HDF5:
        with open_arrays(path) as file:
            if isinstance(file, H5File) and "sinogram" not in file.keys:
                raw = raw_scan(file)
                if raw is not None:
                    yield raw
                    return
    if key is None and has_named_arrays(path):
        with open_arrays(path) as arrays:
            if is_counted(arrays):
                yield CountedScan(arrays)
                return
    with open_measurement(path, "sinogram", key, plain) as file:
        yield file


def _stored_angles(file: ArrayFile) -> np.ndarray | None:
    """Read the angles by any of the names that files give them, in degrees."""
    for name in ANGLES:
        if name in file.keys:
            return file.read(name)
    return None


def _replaced(given: dict[str, Any], stored: dict[str, Any]) -> tuple[str, ...]:
    """Note which of the file's keys `--geometry` takes the place of."""
    return tuple(
        note
        for name, value in given.items()
        for note in note_replaced("--geometry", value, name, stored.get(name))
    )


def _operator(
    read: _Contents,
    angles: str | Path | int | None,
    given: dict[str, Any],
    geometry: str | Path | None,
    path: str | Path,
) -> tuple[CT, tuple[str, ...]]:
    """Build the operator of the scan, and notes; options take precedence over the file."""
    notes = _replaced(given, read.geometry)
    scan = read.geometry | given
    views = read_angles(angles, read.angles, read.shape, scan, path)
    if angles is not None:
        notes += note_replaced("--angles", views, "angles", read.angles)
    with from_file(path, geometry, None if angles is None else str(angles)):
        known = any(one is not None for one in read.references)
        middle = None if known else read.sinograms[len(read.sinograms) // 2]
        physics, about = build_operator(scan, views, read.shape[-1], middle)
    notes += about
    if read.mask is not None:
        physics, left_out = leave_out_masked(physics, read.mask, path)
        notes += left_out
    return physics, notes


def _refined(kind: str, read: _Contents, physics: CT) -> tuple[CT, tuple[str, ...]]:
    """Build the operator anew with a rotation centre or angles that the middle sinogram says."""
    sinogram = filled_sinogram(read.sinograms[len(read.sinograms) // 2], physics)
    geometry, notes = refined(kind, sinogram, physics.geometry)
    return physics.with_geometry(geometry), notes


def _measurement(
    path: str | Path,
    read: _Contents,
    number: int,
    physics: CT,
    notes: tuple[str, ...],
    geometry: str | Path | None,
) -> Measurement:
    """Join sinogram `number` of those that were read with the operator."""
    index, sinogram = read.indices[number], read.sinograms[number]
    label = read.label if index is None else f"slice {index} of {read.label}"
    physics, left_out = _measured_part([sinogram], physics)
    notes += (*left_out, *scan_doubts(sinogram, physics, label))
    truth = _fitting(read.references[number], physics.geometry.image_shape, path, geometry)
    counts = None if read.counts is None else read.counts[number]
    return Measurement(
        task="ct",
        y=torch.from_numpy(np.ascontiguousarray(sinogram.T))[None, None],
        physics=weighted(physics, counts),
        sigma=read.sigma,
        reference=None if truth is None else torch.from_numpy(truth)[None, None],
        data_range=None if truth is None else float(np.abs(truth).max()) or None,
        notes=notes,
        axes="YX",
        source=str(path) if index is None else f"{path}, slice {index}",
    )


def _measured_part(sinograms: list[np.ndarray], physics: CT) -> tuple[CT, tuple[str, ...]]:
    """Leave out of the operator what is dead or lost in any of the sinograms, and notes."""
    if physics.mask is not None:
        return physics, ()
    measured, notes = unmeasured_in_any(sinograms)
    return (physics if measured is None else physics.leaving_out(measured.T.copy())), notes


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
    return read_slice(file, "reference", index, 2) if "reference" in file.keys else None


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
