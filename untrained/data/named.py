"""Find the array that a task measures from: by its usual name, by another, or alone in a file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from untrained.data.formats import (
    ArrayFile,
    has_named_arrays,
    named_array_suffixes,
    open_arrays,
    read_pixels,
    stack_suffixes,
)
from untrained.data.formats.advice import advise_on_contents, other_format
from untrained.data.formats.base import describe_contents, require_keys
from untrained.errors import UserError
from untrained.files import existing_file

TRANSPOSED = "MATLAB writes axes in reverse: an array (H, W) was read as (W, H)"
TURNED = (
    "MATLAB writes axes in reverse: an array (detectors, angles) was read as (angles, detectors)"
)
REVERSED = (
    "MATLAB writes axes in reverse: an array (H, W, coils) was read as (coils, W, H), and its "
    "image comes back transposed"
)


@contextmanager
def open_measurement(
    path: str | Path, main: str, key: str | None = None, plain: tuple[str, ...] = ()
) -> Iterator[ArrayFile]:
    """Open a file whose measurement is read as `main`, whatever it is called there.

    Args:
        path: .npz or .h5, or one of the `plain` suffixes.
        main: the name that the loader reads it by.
        key: its name in the file (`--key`), for HDF5 also a path of groups; None is `main`.
        plain: suffixes of files that hold one array, without a name.

    Raises:
        UserError: as `open_arrays`; no such array, with those that there are; a key for a file
            whose array has no name.
    """
    suffix = Path(path).suffix.lower()
    if suffix in plain:
        require_no_key(path, key)
        yield SingleArrayFile(existing_file(path), main)
        return
    if not has_named_arrays(path):
        alone = f", or {', '.join(plain)}" if plain else ""
        expected = f"{' or '.join(named_array_suffixes())} with '{main}'{alone}"
        raise other_format(path, "input", expected, main)
    with open_arrays(path) as file:
        if key is not None:
            yield RenamedArray(file, main, key)
            return
        if main not in file.keys:
            advice = advise_on_contents(file.keys, file.nested())
            raise UserError(
                f"{file.path} lacks '{main}'; it holds {describe_contents(file)}{advice}"
            )
        yield file


def require_no_key(path: str | Path, key: str | None) -> None:
    """Refuse `--key` for a file whose only array has no name."""
    if key is not None:
        several = " or ".join(named_array_suffixes())
        raise UserError(
            f"--key {key} names one array of several, in {several}; {path} "
            "holds a single one without a name: leave out --key"
        )


class ArrayView:
    """Base of files of arrays that show another file, one of its arrays by another name.

    Args:
        file: the other file.
        main: the name by which the array is read.
        key: its own.
    """

    def __init__(self, file: ArrayFile, main: str, key: str) -> None:
        self.path, self._file, self._main, self._key = file.path, file, main, key
        self.keys = (main, *(name for name in file.keys if name not in (main, key)))

    @property
    def notes(self) -> tuple[str, ...]:
        """Say what was decided while reading, as the file does."""
        return self._file.notes

    def shape(self, key: str) -> tuple[int, ...]:
        """Return the shape of an array, from its header alone."""
        return self._file.shape(self._own(key))

    def read(self, key: str, index: int | None = None) -> np.ndarray:
        """Read the array, or entry `index` of its first axis."""
        return self._file.read(self._own(key), index)

    def nested(self) -> tuple[str, ...]:
        """Name arrays in groups."""
        return self._file.nested()

    def offer(self, key: str) -> None:
        """Add an array inside groups to the keys."""
        self._file.offer(key)

    def label(self, key: str) -> str:
        """Name an array for a message, as the file does."""
        return self._file.label(self._own(key))

    def reversed_axes(self, key: str) -> bool:
        """Tell whether the array was written with its last axis first."""
        return self._file.reversed_axes(self._own(key))

    def _own(self, key: str) -> str:
        require_keys(self, key)
        return self._key if key == self._main else key


class RenamedArray(ArrayView):
    """A file of arrays, one of them read by another name than its own."""

    def __init__(self, file: ArrayFile, main: str, key: str) -> None:
        file.offer(key)
        if key not in file.keys:
            raise UserError(
                f"--key: {file.path} holds no '{key}'; it holds {describe_contents(file)}"
            )
        super().__init__(file, main, key)


class SingleArrayFile:
    """A file that holds one array without a name: .npy, or the grey pages of a TIFF."""

    notes: tuple[str, ...] = ()

    def __init__(self, path: Path, main: str) -> None:
        self.path = path
        self.keys: tuple[str, ...] = (main,)
        array, _ = read_pixels(path, pages=True)
        one_page = path.suffix.lower() in stack_suffixes() and len(array) == 1
        self._array = array[0] if one_page else array

    def shape(self, key: str) -> tuple[int, ...]:
        """Return the shape of an array, from its header alone."""
        require_keys(self, key)
        return self._array.shape

    def read(self, key: str, index: int | None = None) -> np.ndarray:
        """Read the array, or entry `index` of its first axis."""
        require_keys(self, key)
        return self._array if index is None else self._array[index]

    def nested(self) -> tuple[str, ...]:
        """Name arrays in groups."""
        return ()

    def offer(self, key: str) -> None:
        """Leave the keys as they are: this format has no groups."""

    def label(self, key: str) -> str:
        """Name the array for a message."""
        return f"the array in {self.path}"

    def reversed_axes(self, key: str) -> bool:
        """Tell whether the array was written with its last axis first."""
        return False
