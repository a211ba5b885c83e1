"""Readouts of an ISMRMRD file: what each is for by its header, and its samples, read safely."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from untrained.data.formats.base import reporting_damage
from untrained.errors import UserError
from untrained.machine import check_size

COUNTERS = ("slice", "contrast", "phase", "repetition", "set")
"""Counters of a readout that make it part of another image."""

NEEDED = ("flags", "number_of_samples", "active_channels", "center_sample", "idx")
STEPS = ("kspace_encode_step_1", "kspace_encode_step_2", "average")

NOISE, CALIBRATION, BOTH, REVERSED = 19, 20, 21, 22
"""Numbers of flags, counted from 1: noise scan, calibration alone, calibration and image, and a
readout from the end to the beginning."""
NO_IMAGE = (23, 24, 26, 27, 28, 29, 30, 31)
"""Flags of navigators, phase correction, feedback, dummy scans, coil correction, stabilisation."""

BLOCK = 256  # readouts that are read at once
PAIR = 8  # bytes of a sample: two floats


class Lines:
    """The readouts of one data set.

    Attributes:
        path: of the file.
        heads: their headers, a record array.
        image, calibration, noise: numbers of the readouts of each kind, in order.
        left_out: how many are none of these.
    """

    def __init__(self, path: Path, dataset: Any) -> None:
        self.path, self._dataset = path, dataset
        with reporting_damage(path, dataset.name):
            check_size(dataset.nbytes, dataset.id.get_storage_size(), str(path))
            self.heads: np.ndarray = dataset.fields("head")[()]
        self._check_heads()
        flags = self.heads["flags"].astype(np.uint64)
        dropped = np.any([_flagged(flags, number) for number in NO_IMAGE], axis=0)
        noise = _flagged(flags, NOISE)
        only_calibration = _flagged(flags, CALIBRATION) & ~_flagged(flags, BOTH)
        self.noise = np.flatnonzero(noise)
        self.calibration = np.flatnonzero(only_calibration & ~noise & ~dropped)
        self.image = np.flatnonzero(~only_calibration & ~noise & ~dropped)
        self.left_out = int((dropped & ~noise).sum())
        self.reversed = bool(_flagged(flags[self.image], REVERSED).any())

    def counter(self, name: str, which: np.ndarray) -> np.ndarray:
        """Return a counter of some readouts."""
        values: np.ndarray = self.heads["idx"][name][which].astype(int)
        return values

    def count(self, name: str, which: np.ndarray) -> np.ndarray:
        """Return a number of the headers of some readouts."""
        values: np.ndarray = self.heads[name][which].astype(int)
        return values

    def samples(self, which: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Read readouts one after another: number, and samples complex64 `(coils, n)`."""
        values = self._read("data", which)
        for number, found in values:
            head = self.heads[number]
            shape = (int(head["active_channels"]), int(head["number_of_samples"]))
            yield (
                number,
                self._shaped(found, number, 2 * shape[0] * shape[1], "samples")
                .view(np.complex64)
                .reshape(shape),
            )

    def places(self, which: np.ndarray) -> Iterator[np.ndarray]:
        """Read where in k-space the samples of readouts lie, float32 `(n, dimensions)` each."""
        for number, found in self._read("traj", which):
            head = self.heads[number]
            shape = (int(head["number_of_samples"]), int(head["trajectory_dimensions"]))
            yield self._shaped(found, number, shape[0] * shape[1], "coordinates").reshape(shape)

    def _read(self, field: str, which: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Read a field of readouts, neighbours at once."""
        breaks = np.flatnonzero(np.diff(which) != 1) + 1
        with reporting_damage(self.path, self._dataset.name):
            view = self._dataset.fields(field)
            for run in np.split(which, breaks):
                for first in range(0, len(run), BLOCK):
                    part = run[first : first + BLOCK]
                    found = view[int(part[0]) : int(part[-1]) + 1]
                    yield from zip((int(n) for n in part), found, strict=True)

    def _shaped(self, values: np.ndarray, number: int, expected: int, what: str) -> np.ndarray:
        if values.dtype != np.float32 or values.size != expected:
            raise UserError(
                f"readout {number} of {self.path} holds {values.size} numbers ({what}), and its "
                f"header says {expected}: the file is damaged"
            )
        return np.ascontiguousarray(values)

    def _check_heads(self) -> None:
        """Refuse headers without the fields that are needed, or that promise more than there is."""
        names = self.heads.dtype.names or ()
        counters = (self.heads.dtype["idx"].names or ()) if "idx" in names else ()
        missing = [n for n in NEEDED if n not in names]
        missing += [n for n in (*STEPS, *COUNTERS) if n not in counters]
        if missing or not len(self.heads):
            what = f"lacks {', '.join(missing)}" if missing else "has no readout"
            raise UserError(f"{self.path} is no ISMRMRD file as it is known: its data {what}")
        everything = np.arange(len(self.heads))
        numbers = self.count("number_of_samples", everything)
        promised = PAIR * int((numbers * self.count("active_channels", everything)).sum())
        found = self.path.stat().st_size
        if promised > found:
            raise UserError(
                f"{self.path} is damaged: the headers of its readouts promise {promised} bytes, "
                f"and the file has {found}"
            )


def _flagged(flags: np.ndarray, number: int) -> np.ndarray:
    """Tell for all readouts whether a flag is set, counted from 1."""
    found: np.ndarray = (flags >> np.uint64(number - 1)) & np.uint64(1) != 0
    return found
