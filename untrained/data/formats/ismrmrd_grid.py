"""From readouts to a grid: readout oversampling removed, asymmetric echoes, averages."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from untrained.data.formats.ismrmrd_header import Encoding
from untrained.data.formats.ismrmrd_lines import Lines
from untrained.errors import UserError

WEAKEST = 0.1  # least singular value of an asymmetric echo that is undone, of 1
LONGEST = 1024  # pixels along a readout of which that takes a second


@dataclass(frozen=True)
class Readout:
    """Hold where the samples of a readout lie.

    Attributes:
        start, stop: first of the samples that count, and the one after the last.
        first: position of the first on the readout axis of the encoded matrix.
    """

    start: int
    stop: int
    first: int


@lru_cache(maxsize=16)
def readout_matrix(count: int, kept: int, first: int, number: int) -> np.ndarray:
    r"""Make the map from the samples of a readout to the pixels along it, `(kept, number)`.

    The pseudo-inverse of the orthonormal Fourier transform of the middle `kept` of `count` pixels
    at the measured positions: of a full readout its adjoint, the transform back and a cut. Of an
    asymmetric echo components below a tenth of the strongest are left out; more than 1024 pixels
    take zeros for what is missing.

    Args:
        count, kept: samples of a full readout, and pixels of the image.
        first, number: position of the first sample, and how many there are.
    """
    frequency = np.arange(first, first + number) - count // 2
    pixel = np.arange(kept) - kept // 2
    forward = np.exp(-2j * np.pi * np.outer(frequency, pixel) / count) / np.sqrt(count)
    if number == count or kept > LONGEST:
        return forward.conj().T
    inverse: np.ndarray = np.linalg.pinv(forward, rcond=WEAKEST)
    return inverse


@lru_cache(maxsize=16)
def grid_matrix(count: int, kept: int, first: int, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Make the map from samples to a grid of `kept` frequencies, and tell which were measured.

    Returns:
        Complex64 `(m, number)`, and m positions on the grid, those between the measured ones.
    """
    if count == kept:
        return np.eye(number, dtype=np.complex64), np.arange(first, first + number)
    frequency = np.arange(kept) - kept // 2
    place = frequency * (count / kept) + count // 2
    measured = np.flatnonzero((place >= first) & (place <= first + number - 1))
    pixel = np.arange(kept) - kept // 2
    forth = np.exp(-2j * np.pi * np.outer(frequency[measured], pixel) / kept) / np.sqrt(kept)
    matrix = forth @ readout_matrix(count, kept, first, number)
    return matrix.astype(np.complex64), measured


class Grid:
    """A plane of k-space that readouts are added to; readouts of one place are averaged.

    Of a 2-D scan the plane is (phase, readout). The transform along the readout parts a 3-D scan
    into planes (phase 1, phase 2), one for each position along it.

    Args:
        lines: all readouts.
        encoding: what the header says of them.
        which: numbers of those of the plane.
        positions: along the readout, of a 3-D scan; None of a 2-D scan.
    """

    def __init__(
        self, lines: Lines, encoding: Encoding, which: np.ndarray, positions: slice | None
    ) -> None:
        self.lines, self.encoding, self.which, self.positions = lines, encoding, which, positions
        self._rows = places(lines, encoding, which, 0)
        self._columns = None if positions is None else places(lines, encoding, which, 1)

    @property
    def size(self) -> tuple[int, int]:
        """Return rows and columns of a plane."""
        rows = self.encoding.matrix[1]
        return (rows, self.encoding.readout() if self._columns is None else self.encoding.matrix[2])

    def times_measured(self) -> np.ndarray:
        """Count how often each position was measured, `(H, W)`; no sample is read."""
        times = np.zeros(self.size, np.int32)
        if self._columns is not None:
            np.add.at(times, (self._rows, self._columns), 1)
            return times
        for number, row in zip(self.which.tolist(), self._rows.tolist(), strict=True):
            found = readout_of(self.lines, self.encoding, number)
            times[row, grid_matrix(*self._span(found))[1]] += 1
        return times

    def read(self, coils: int) -> np.ndarray:
        """Read the plane, complex64 `(coils, H, W)`, of a 3-D scan `(positions, coils, H, W)`.

        What was measured repeatedly is averaged.
        """
        mean = 1 / np.maximum(self.times_measured(), 1).astype(np.float32)
        if self._columns is not None:
            return self._parted(coils, self._columns) * mean
        plane = np.zeros((coils, *self.size), np.complex64)
        for (number, samples), row in zip(self.lines.samples(self.which), self._rows, strict=True):
            found = readout_of(self.lines, self.encoding, number)
            matrix, columns = grid_matrix(*self._span(found))
            plane[:, row, columns] += samples[:, found.start : found.stop] @ matrix.T
        return plane * mean

    def _parted(self, coils: int, columns: np.ndarray) -> np.ndarray:
        """Read the chosen planes of a 3-D scan in one pass, repeated readouts added up."""
        chosen = np.arange(self.encoding.readout())[self.positions]
        planes = np.zeros((len(chosen), coils, *self.size), np.complex64)
        places_of = zip(self.lines.samples(self.which), self._rows, columns, strict=True)
        for (number, samples), row, column in places_of:
            found = readout_of(self.lines, self.encoding, number)
            matrix = readout_matrix(*self._span(found))[chosen].astype(np.complex64)
            planes[:, :, row, column] += matrix @ samples[:, found.start : found.stop].T
        return planes

    def _span(self, found: Readout) -> tuple[int, int, int, int]:
        """Return the arguments of `readout_matrix` and `grid_matrix`."""
        return (
            self.encoding.matrix[0],
            self.encoding.readout(),
            found.first,
            found.stop - found.start,
        )


def places(lines: Lines, encoding: Encoding, which: np.ndarray, step: int) -> np.ndarray:
    """Return where readouts lie along a phase encoding, the centre at half of the matrix.

    Args:
        lines, encoding: all readouts, and what the header says.
        which: numbers of readouts.
        step: 0 or 1: of the first or the second phase encoding.

    Raises:
        UserError: outside the encoded matrix.
    """
    count = encoding.matrix[1 + step]
    centre = encoding.centres[step]
    counter = lines.counter(f"kspace_encode_step_{step + 1}", which)
    found = counter + count // 2 - (count // 2 if centre is None else centre)
    odd = np.flatnonzero((found < 0) | (found >= count))
    if len(odd):
        raise UserError(
            f"readout {which[odd[0]]} of {lines.path} has step {counter[odd[0]]} of phase encoding "
            f"{step + 1}, outside the {count} of the encoded matrix in the header (centre "
            f"{'not given' if centre is None else centre})"
        )
    return found


def readout_of(lines: Lines, encoding: Encoding, number: int) -> Readout:
    """Find where the samples of a readout lie: its centre sample is the centre of k-space.

    Raises:
        UserError: beyond the encoded matrix, or no sample that counts.
    """
    head = lines.heads[number]
    names = head.dtype.names or ()
    pre, post = (int(head[n]) if n in names else 0 for n in ("discard_pre", "discard_post"))
    count, centre = int(head["number_of_samples"]), int(head["center_sample"])
    whole = encoding.matrix[0]
    start, stop = pre, count - post
    # some writers leave the centre of full readouts at 0
    first = 0 if stop - start == whole else whole // 2 - centre + start
    if start >= stop or first < 0 or first + stop - start > whole:
        raise UserError(
            f"readout {number} of {lines.path} has {count} samples with the centre at {centre}, "
            f"{pre} and {post} of them to be discarded: they do not fit on the {whole} of the "
            "encoded matrix in the header"
        )
    return Readout(start, stop, first)
