"""MATLAB: arrays with names, of version 5 (read by SciPy) and 7.3 (HDF5)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from untrained.data.formats.base import (
    ArrayFile,
    NamedArraysFormat,
    reporting_damage,
    require_keys,
    to_native,
)
from untrained.data.formats.hdf5 import open_hdf5
from untrained.errors import UserError
from untrained.machine import check_size

TYPES = {
    "double": 8,
    "single": 4,
    "int8": 1,
    "uint8": 1,
    "int16": 2,
    "uint16": 2,
    "int32": 4,
    "uint32": 4,
    "int64": 8,
    "uint64": 8,
    "logical": 1,
}
"""MATLAB's classes of numbers -> bytes of one; others (cells, texts, functions) are not read."""


class MatFile:
    """The arrays of numbers of a MATLAB file of version 4 to 7, axes reversed as in HDF5.

    MATLAB's first axis changes fastest, so that (H, W, coils) is read as (coils, W, H), whichever
    version wrote the file.
    """

    def __init__(self, path: Path, shapes: dict[str, tuple[int, ...]], sizes: dict[str, int]):
        self.path = path
        self.keys = tuple(shapes)
        self._shapes, self._sizes = shapes, sizes

    def shape(self, key: str) -> tuple[int, ...]:
        """Return the shape of an array, from its header alone."""
        require_keys(self, key)
        return self._shapes[key][::-1]

    def read(self, key: str, index: int | None = None) -> np.ndarray:
        """Read the array, or entry `index` of its first axis."""
        import scipy.io

        require_keys(self, key)
        check_size(self._sizes[key], self.path.stat().st_size, self.label(key))
        with reporting_damage(self.path, key):
            found = scipy.io.loadmat(self.path, variable_names=[key], mat_dtype=False)[key]
        if not isinstance(found, np.ndarray) or found.dtype.kind not in "biufc":
            raise UserError(f"{self.label(key)} is no array of numbers")
        array = to_native(found).T
        return array if index is None else array[index]

    def nested(self) -> tuple[str, ...]:
        """Name arrays in structures, which are not read."""
        return ()

    def offer(self, key: str) -> None:
        """Leave the keys as they are: arrays in structures are not read."""

    def label(self, key: str) -> str:
        """Name an array for a message."""
        return f"'{key}' in {self.path}"

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
    yield _opened(file)


def _opened(file: Path) -> MatFile:
    """List the arrays of numbers of a file of version 4 to 7."""
    import scipy.io

    with reporting_damage(file, None):
        found = scipy.io.whosmat(file)
    known = {name: (shape, TYPES[kind]) for name, shape, kind in found if kind in TYPES}
    shapes = {name: tuple(int(n) for n in shape) for name, (shape, _) in known.items()}
    # twice for values that may be complex
    sizes = {n: 2 * each * int(np.prod(shapes[n], dtype=object)) for n, (_, each) in known.items()}
    return MatFile(file, shapes, sizes)


MATLAB = NamedArraysFormat(
    "MATLAB",
    (".mat",),
    "arrays of a MATLAB file of any version; axes come in reverse",
    open_matlab,
)
