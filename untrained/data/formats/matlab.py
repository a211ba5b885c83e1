"""MATLAB: arrays with names, of level 5 (`-v7`, `-v6`) and of version 7.3 (HDF5)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from untrained.data.formats.base import ArrayFile, NamedArraysFormat, require_keys
from untrained.data.formats.hdf5 import open_hdf5
from untrained.data.formats.mat import MatFile, open_mat


class Reversed:
    """The numbers of a file of level 5, axes reversed as version 7.3 has them.

    MATLAB's first axis changes fastest, so that (H, W, coils) is read as (coils, W, H), whichever
    version wrote the file.
    """

    notes: tuple[str, ...] = ()

    def __init__(self, file: MatFile) -> None:
        self.path = file.path
        self.keys = tuple(key for key in file.keys if not file.holds_cells(key))
        self._file = file

    def shape(self, key: str) -> tuple[int, ...]:
        """Return the shape of an array, from its header alone."""
        require_keys(self, key)
        return self._file.shape(key)[::-1]

    def read(self, key: str, index: int | None = None) -> np.ndarray:
        """Read the array, or entry `index` of its first axis."""
        require_keys(self, key)
        array = self._file.read(key).T
        return array if index is None else array[index]

    def nested(self) -> tuple[str, ...]:
        """Name arrays in groups, of which this format has none."""
        return ()

    def offer(self, key: str) -> None:
        """Leave the keys as they are: this format has no groups."""

    def label(self, key: str) -> str:
        """Name an array for a message."""
        return self._file.label(key)

    def reversed_axes(self, key: str) -> bool:
        """Tell that the last axis of MATLAB comes first."""
        return True


@contextmanager
def open_matlab(file: Path, what: str) -> Iterator[ArrayFile]:
    """Open a MATLAB file of any version; `what` names the argument in messages."""
    import h5py

    if h5py.is_hdf5(str(file)):
        with open_hdf5(file, what) as arrays:
            yield arrays
        return
    with open_mat(file, what) as arrays:
        yield Reversed(arrays)


MATLAB = NamedArraysFormat(
    "MATLAB",
    (".mat",),
    "arrays of a MATLAB file of any version; axes come in reverse",
    open_matlab,
)
