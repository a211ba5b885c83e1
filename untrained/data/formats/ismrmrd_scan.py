"""An ISMRMRD file as arrays: k-space on its grid, noise scan, calibration lines, trajectory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from untrained.data.formats.base import reporting_damage, require_keys
from untrained.data.formats.ismrmrd_choice import Choice, Choices
from untrained.data.formats.ismrmrd_grid import Grid
from untrained.data.formats.ismrmrd_header import Encoding, read_encodings
from untrained.data.formats.ismrmrd_lines import Lines
from untrained.data.formats.ismrmrd_notes import scan_notes
from untrained.errors import UserError
from untrained.machine import check_size, largest_array

KSPACE, MASK, NOISE, CALIBRATION = "kspace", "mask", "noise", "calibration"
TRAJECTORY, IMAGE_SHAPE = "traj", "image_shape"
LEAST_NOISE = 10  # samples of each coil for each coil; fewer tell no covariance
MOST_NOISE = 2**18  # samples of each coil that are read of a noise scan


class IsmrmrdFile:
    """Raw data of a scanner, read as the arrays of a scan on a grid or on a trajectory.

    `kspace` is complex64 `(slices, coils, H, W)`, H the phase encoding and W the readout; of a
    3-D scan the slices are the positions along the readout, H and W the two phase encodings. On a
    trajectory it is `(slices, coils, shots, samples)`. `mask` is bool `(slices, H, W)`, `noise`
    `(coils, n)`, `calibration` `(slices, coils, H, W)`. Of several contrasts, phases, repetitions,
    sets or encodings a key such as `contrast=1,repetition=0` chooses; one of its values may be
    `all`, which is the first axis then.

    Args:
        path: the file.
        group: of h5py, that holds `xml` and `data`.
    """

    def __init__(self, path: Path, group: Any) -> None:
        self.path = path
        with reporting_damage(path, group.name):
            text = group["xml"][()]
            text = text.reshape(-1)[0] if isinstance(text, np.ndarray) else text
            header = text if isinstance(text, bytes) else str(text).encode()
        self._encodings = read_encodings(header, str(path))
        self._lines = Lines(path, group["data"])
        if not len(self._lines.image):
            raise UserError(f"{path} holds no readout of an image, only noise or calibration")
        self._choices = Choices(self._lines, path)
        self._choice: Choice = {}
        self._stacks: dict[str, np.ndarray] = {}
        self._before: tuple[str, int] | None = None
        self._first = self._encoding(self._lines.image)
        self.keys: tuple[str, ...] = (KSPACE, *self._others())

    def nested(self) -> tuple[str, ...]:
        """Name the first choices, where the file holds several images a slice."""
        return self._choices.listed()

    def offer(self, key: str) -> None:
        """Choose by a key such as `contrast=1,slice=0`, under which k-space is read then."""
        choice = self._choices.parse(key)
        if choice:
            self._choice = choice
            self.keys = self.keys if key in self.keys else (*self.keys, key)

    def label(self, key: str) -> str:
        """Name an array for a message."""
        return f"'{key}' in {self.path}"

    def reversed_axes(self, key: str) -> bool:
        """Tell whether the array was written with its last axis first: never in this format."""
        return False

    @property
    def notes(self) -> tuple[str, ...]:
        """Say how the readouts were sorted and put in place."""
        which = self._frames(MASK)[0]
        own = self._encoding(which)
        times = None if self._on_trajectory else self._grid(which, slice(1)).times_measured()
        return scan_notes(self._lines, own, times, self._on_trajectory)

    def shape(self, key: str) -> tuple[int, ...]:
        """Return the shape of an array, from the headers alone."""
        require_keys(self, key)
        if key == NOISE:
            total = int(self._lines.count("number_of_samples", self._lines.noise).sum())
            return self._coils(self._lines.noise), min(total, MOST_NOISE)
        if key == IMAGE_SHAPE:
            return (2,)
        frames = self._frames(key)
        first = frames[0]
        if key == TRAJECTORY:
            dimensions = self._same("trajectory_dimensions", first)
            return len(first), self._same("number_of_samples", first), dimensions
        plane = (len(first), self._same("number_of_samples", first))
        plane = plane if self._on_trajectory else self._grid(first, slice(1)).size
        count = self._first.readout() if self._is_3d else len(frames)
        return (count, *plane) if key == MASK else (count, self._coils(first), *plane)

    def read(self, key: str, index: int | None = None) -> np.ndarray:
        """Read the array, or entry `index` of its first axis, and no readout of another."""
        shape = self.shape(key)
        with reporting_damage(self.path, key):
            if key == IMAGE_SHAPE:
                return np.array([self._first.shown[1], self._first.shown[0]])
            if key == TRAJECTORY:
                return np.stack(list(self._lines.places(self._frames(key)[0])))
            return self._noise() if key == NOISE else self._planes(key, index, shape)

    def _planes(self, key: str, index: int | None, shape: tuple[int, ...]) -> np.ndarray:
        """Read planes; of a 3-D scan, of which each takes all readouts, all from the second on."""
        name = f"{key} {self._choice}"
        size = int(np.prod(shape, dtype=np.int64)) * (4 if key == MASK else 8)
        if name not in self._stacks:
            again = self._is_3d and self._before not in (None, (name, index))
            if index is not None and not (again and size < largest_array()):
                check_size(size // shape[0], self.path.stat().st_size, self.label(key))
                self._before = (name, index)
                return self._plane(key, index, shape[0])
            check_size(size, self.path.stat().st_size, self.label(key))
            self._stacks[name] = self._whole(key, shape[0])
        return self._stacks[name] if index is None else self._stacks[name][index].copy()

    def _whole(self, key: str, count: int) -> np.ndarray:
        """Read all entries; those of a 3-D scan in one pass."""
        if self._is_3d and key != MASK:
            which = self._frames(key)[0]
            return self._grid(which, slice(None)).read(self._coils(which))
        return np.stack([self._plane(key, i, count) for i in range(count)])

    def _plane(self, key: str, index: int, count: int) -> np.ndarray:
        if not 0 <= index < count:
            raise UserError(f"{self.label(key)} has {count} entries; {index} was asked for")
        frames = self._frames(key)
        which = frames[0] if self._is_3d else frames[index]
        if not len(which):
            raise UserError(f"{self.label(key)} has no readout of entry {index}")
        coils = self._coils(which)
        if self._on_trajectory:
            return np.stack([values for _, values in self._lines.samples(which)], axis=1)
        grid = self._grid(which, slice(index, index + 1))
        if key == MASK:
            return grid.times_measured() > 0
        return grid.read(coils)[0] if self._is_3d else grid.read(coils)

    def _noise(self) -> np.ndarray:
        self._coils(self._lines.noise)
        scans, count = [], 0
        for _, values in self._lines.samples(self._lines.noise):
            scans.append(values)
            count += values.shape[1]
            if count >= MOST_NOISE:
                break
        whole: np.ndarray = np.concatenate(scans, axis=1)
        return whole[:, :MOST_NOISE]

    def _frames(self, key: str) -> list[np.ndarray]:
        """List the readouts of every entry of the first axis of an array.

        Arrays beside k-space are those of what was chosen last.
        """
        asked = {} if key == KSPACE else self._choices.parse(key) or self._choice
        choice = self._choices.complete(asked, self._is_3d)
        if key == CALIBRATION:
            return self._choices.frames(choice, self._lines.calibration)
        which = self._lines.image
        if not self._first.separate_calibration:  # lines of the same scan that close its centre
            which = np.sort(np.concatenate([which, self._lines.calibration]))
        return self._choices.frames(choice, which)

    def _others(self) -> tuple[str, ...]:
        """Name the arrays beside k-space."""
        found = [TRAJECTORY, IMAGE_SHAPE] if self._on_trajectory else [MASK]
        noise = self._lines.noise
        if len(noise):
            coils = int(self._lines.count("active_channels", noise).max())
            samples = int(self._lines.count("number_of_samples", noise).sum())
            alike = coils == int(self._lines.count("active_channels", self._lines.image[:1])[0])
            found += [NOISE] * (alike and samples >= LEAST_NOISE * coils)
        separate = self._first.separate_calibration and not self._on_trajectory
        return (*found, *[CALIBRATION] * bool(separate and len(self._lines.calibration)))

    @property
    def _on_trajectory(self) -> bool:
        kind = self._first.trajectory
        if kind == "cartesian" and not self._lines.reversed:
            return False
        dimensions = self._lines.count("trajectory_dimensions", self._lines.image)
        if kind == "epi" or kind == "cartesian" or dimensions.min() < 2:
            what = (
                "readouts in both directions"
                if kind in ("epi", "cartesian")
                else (f"a {kind} trajectory whose coordinates the file does not hold")
            )
            raise UserError(
                f"{self.path} has {what}; Cartesian lines, and shots with their trajectory, are "
                "read: correct and grid them first"
            )
        return True

    @property
    def _is_3d(self) -> bool:
        return self._first.matrix[2] > 1 and not self._on_trajectory

    def _grid(self, which: np.ndarray, positions: slice) -> Grid:
        """Make the plane of readouts; `positions` along the readout are those of a 3-D scan."""
        chosen = positions if self._is_3d else None
        return Grid(self._lines, self._encoding(which), which, chosen)

    def _encoding(self, which: np.ndarray) -> Encoding:
        number = self._same("encoding_space_ref", which[:1])
        if number >= len(self._encodings):
            raise UserError(
                f"{self.path} has readouts of encoding {number}, and its XML header describes "
                f"{len(self._encodings)}"
            )
        return self._encodings[number]

    def _coils(self, which: np.ndarray) -> int:
        return self._same("active_channels", which)

    def _same(self, name: str, which: np.ndarray) -> int:
        """Return the number that all readouts of an image have in common."""
        found = np.unique(self._lines.count(name, which))
        if len(found) != 1:
            listed = ", ".join(map(str, found[:6])) or "none"
            raise UserError(
                f"{self.path}: the readouts of an image have one {name.replace('_', ' ')}, found "
                f"{listed}"
            )
        return int(found[0])
