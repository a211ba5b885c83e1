"""Raw counts of a tomograph in HDF5: DXchange and NXtomo, as a file with `sinogram` and `angles`.

Counts become line integrals -log((I - dark) / (white - dark)). The rotation centre is found, since
these files do not hold it, and noted; `detector_offset` in a `--geometry` file takes its place.
"""

from __future__ import annotations

import numpy as np

from untrained.data.formats.base import require_keys
from untrained.data.formats.hdf5 import H5File
from untrained.errors import Doubt, UserError
from untrained.physics.ct_centre import centre_by_mass, centre_by_mirror

DXCHANGE = ("exchange/data", "exchange/data_white", "exchange/data_dark", "exchange/theta")
NXTOMO = "entry1/tomo_entry", "entry", "entry1"
"""Groups that may hold an NXtomo entry."""

NX_DATA, NX_KEY, NX_ANGLE = (
    "instrument/detector/data",
    "instrument/detector/image_key",
    "sample/rotation_angle",
)
LEAST = 1e-6  # of the white level: a count of nothing would be an infinite line integral
AGREE = 0.5  # bins by which two criteria of the rotation centre may differ
RADIANS = 2 * np.pi + 1e-3


class RawScan:
    """Counts of a parallel beam, read as line integrals, one slice at a time.

    Attributes:
        path, keys: as of `ArrayFile`.
        notes: what was decided; complete once a slice was read.
    """

    def __init__(self, file: H5File, names: dict[str, str], kind: np.ndarray | None) -> None:
        self.path = file.path
        self.keys: tuple[str, ...] = ("sinogram", "angles", "detector_offset")
        self._file, self._names, self._kind = file, names, kind
        self.notes: tuple[str, ...] = ("raw counts were divided by the open beam, less the dark",)
        self._offset: float | None = None

    def shape(self, key: str) -> tuple[int, ...]:
        """Return the shape of an array, from its header alone."""
        require_keys(self, key)
        views, rows, bins = self._file.shape(self._names["data"])
        count = views if self._kind is None else int((self._kind == 0).sum())
        return {"sinogram": (rows, count, bins), "angles": (count,)}.get(key, ())

    def read(self, key: str, index: int | None = None) -> np.ndarray:
        """Read the array, or slice `index` of the sinogram."""
        require_keys(self, key)
        if key == "angles":
            return self._angles()
        if key == "detector_offset":
            return np.asarray(self._centre())
        rows = self.shape("sinogram")[0]
        if index is not None:
            return self._slice(index)
        return np.stack([self._slice(row) for row in range(rows)])

    def nested(self) -> tuple[str, ...]:
        """Name arrays in groups."""
        return ()

    def offer(self, key: str) -> None:
        """Leave the keys as they are."""

    def label(self, key: str) -> str:
        """Name an array for a message, as the file does."""
        return self._file.label(self._names["data"] if key == "sinogram" else key)

    def reversed_axes(self, key: str) -> bool:
        """Tell whether the array was written with its last axis first."""
        return False

    def _slice(self, row: int) -> np.ndarray:
        """Return the line integrals of one slice, `(views, bins)`; no other slice is read."""
        counts, white, dark = self._counts(row)
        mean_dark = dark.mean(0)
        open_beam = np.maximum(white.mean(0) - mean_dark, LEAST)
        sinogram: np.ndarray = -np.log(np.clip((counts - mean_dark) / open_beam, LEAST, None))
        return sinogram.astype(np.float32)

    def _counts(self, row: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Read views, open beams and dark images of one slice, each `(frames, bins)`."""
        if self._kind is None:
            views, white, dark = (self._plane(name, row) for name in ("data", "white", "dark"))
            return views, white, dark
        frames = self._plane("data", row)
        return frames[self._kind == 0], frames[self._kind == 1], frames[self._kind == 2]

    def _plane(self, name: str, row: int) -> np.ndarray:
        return self._file.read_plane(self._names[name], row).astype(np.float64)

    def _angles(self) -> np.ndarray:
        angles = np.asarray(self._file.read(self._names["angles"]), float)
        angles = angles if self._kind is None else angles[self._kind == 0]
        if len(angles) > 8 and np.ptp(angles) < RADIANS:
            self.notes += ("angles up to 2 pi were taken for radians",)
            angles = np.degrees(angles)
        return angles

    def _centre(self) -> float:
        """Find the rotation centre on the middle slice, once."""
        if self._offset is None:
            sinogram, angles = self._slice(self.shape("sinogram")[0] // 2), self._angles()
            mirror, mass = centre_by_mirror(sinogram, angles), centre_by_mass(sinogram, angles)
            self._offset = mirror if mirror is not None else (mass[0] if mass else 0.0)
            other = None if mass is None else mass[0]
            self.notes += centre_notes(mirror, other, len(sinogram[0]))
        return self._offset


def centre_notes(mirror: float | None, mass: float | None, bins: int) -> tuple[str, ...]:
    """Say where the rotation centre was found, and doubt it where two criteria disagree."""
    middle = (bins - 1) / 2
    if mirror is None and mass is None:
        return (
            Doubt(
                "the rotation centre could not be found and is taken to be the middle of the "
                "detector; give detector_offset in a --geometry file"
            ),
        )
    found = mass if mirror is None else mirror
    assert found is not None
    how = "opposite views" if mirror is not None else "the centres of mass of the views"
    note = f"the rotation centre was found at bin {middle + found:.2f} by {how}"
    if mirror is None or mass is None:
        return (note,)
    if abs(mirror - mass) <= AGREE:
        return (f"{note}; their centres of mass say {middle + mass:.2f}",)
    doubt = f"{note}, and their centres of mass say {middle + mass:.2f}: is a part of it cut off?"
    return (Doubt(doubt),)


def raw_scan(file: H5File) -> RawScan | None:
    """Take a file for raw counts if it has the layout of DXchange or NXtomo; else None.

    Raises:
        UserError: it has, and its parts contradict each other.
    """
    if _has(file, *DXCHANGE):
        names = dict(zip(("data", "white", "dark", "angles"), DXCHANGE, strict=True))
        return _checked(file, names, None)
    for group in NXTOMO:
        paths = [f"{group}/{name}" for name in (NX_DATA, NX_KEY, NX_ANGLE)]
        if _has(file, *paths):
            kind = np.asarray(file.read(paths[1])).reshape(-1)
            return _checked(file, {"data": paths[0], "angles": paths[2]}, kind)
    return None


def _has(file: H5File, *names: str) -> bool:
    for name in names:
        file.offer(name)
    return all(name in file.keys for name in names)


def _checked(file: H5File, names: dict[str, str], kind: np.ndarray | None) -> RawScan:
    """Compare the shapes of frames, open beam, dark and angles."""
    shape = file.shape(names["data"])
    if len(shape) != 3:
        raise UserError(
            f"{file.label(names['data'])} is {shape}; (views, rows, detectors) is expected"
        )
    count = shape[0]
    for name in ("white", "dark"):
        if name in names and file.shape(names[name])[1:] != shape[1:]:
            raise UserError(
                f"{file.label(names[name])} is {file.shape(names[name])}, and the frames have "
                f"{shape[1]} x {shape[2]}"
            )
    angles = file.shape(names["angles"])
    if angles != (count,) or (kind is not None and len(kind) != count):
        raise UserError(f"{file.path} has {count} frames and {angles} angles: one each is expected")
    if kind is not None and not ((kind == 1).any() and (kind == 2).any() and (kind == 0).any()):
        raise UserError(
            f"{file.path} needs views (image_key 0), an open beam (1) and a dark image (2)"
        )
    return RawScan(file, names, kind)
