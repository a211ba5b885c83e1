"""NPZ: arrays with names in a zip archive; what `untrained simulate` writes."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from untrained.data.formats.base import NamedArraysFormat, reporting_damage, require_keys, to_native
from untrained.data.formats.npy import read_header, without_objects
from untrained.errors import UserError
from untrained.files import atomic_write, make_directory
from untrained.machine import check_size, float_bytes


class NpzFile:
    """The members of an .npz archive."""

    notes: tuple[str, ...] = ()

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self.path = path
        self._archive = archive
        self._members = {
            info.filename.removesuffix(".npy"): info
            for info in archive.infolist()
            if info.filename.endswith(".npy")
        }
        self.keys = tuple(self._members)
        self._stacks: dict[str, np.ndarray] = {}  # an entry cannot be read without the rest

    def shape(self, key: str) -> tuple[int, ...]:
        """Return the shape of an array, from its header alone."""
        info = self._member(key)
        with reporting_damage(self.path, key), self._archive.open(info) as stream:
            return read_header(stream, info.file_size, f"'{key}' in {self.path}")[0]

    def read(self, key: str, index: int | None = None) -> np.ndarray:
        """Read the array, or entry `index` of its first axis."""
        if index is None:
            return self._whole(key)
        if key not in self._stacks:
            self._stacks[key] = self._whole(key)
        return self._stacks[key][index].copy()

    def _whole(self, key: str) -> np.ndarray:
        info = self._member(key)
        label = f"'{key}' in {self.path}"
        with reporting_damage(self.path, key):
            with self._archive.open(info) as stream:
                shape, dtype = read_header(stream, info.file_size, label)
            check_size(float_bytes(shape, dtype), info.compress_size, label)
            with self._archive.open(info) as stream:
                array: np.ndarray = np.lib.format.read_array(stream, allow_pickle=False)
        return to_native(array)

    def nested(self) -> tuple[str, ...]:
        """Name arrays in groups, of which this format has none."""
        return ()

    def offer(self, key: str) -> None:
        """Leave the keys as they are: this format has no groups."""

    def label(self, key: str) -> str:
        """Name an array for a message."""
        return f"'{key}' in {self.path}"

    def reversed_axes(self, key: str) -> bool:
        """Tell whether the array was written with its last axis first: never in this format."""
        return False

    def _member(self, key: str) -> zipfile.ZipInfo:
        require_keys(self, key)
        return self._members[key]


@contextmanager
def open_npz(file: Path, what: str) -> Iterator[NpzFile]:
    """Open an .npz file; `what` names the argument in messages."""
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise UserError(
            f"{what}: {file} is not a complete .npz archive ({error}); it may be truncated or "
            "of another format"
        ) from error
    with archive:
        yield NpzFile(file, archive)


def write_npz(path: str | Path, arrays: dict[str, np.ndarray]) -> None:
    """Write arrays to an .npz file atomically, its directory made if missing.

    Raises:
        UserError: another suffix, or the file cannot be written; names the path.
    """
    if Path(path).suffix.lower() != ".npz":
        raise UserError(f"--out: {path} must end in .npz, the format that is written")
    if Path(path).exists() and not Path(path).is_file():
        raise UserError(f"--out: {path} is a directory or a device; give the name of a file")
    make_directory(Path(path).parent)
    with atomic_write(path) as file:
        write_arrays(file, arrays)


def write_arrays(stream: IO[bytes], arrays: dict[str, np.ndarray]) -> None:
    """Write arrays to an open .npz file.

    The same arrays give the same bytes: no time of writing is stored.
    """
    plain = {key: without_objects(key, value) for key, value in arrays.items()}
    with zipfile.ZipFile(stream, "w") as archive:
        for key, value in plain.items():
            with archive.open(zipfile.ZipInfo(f"{key}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, value, allow_pickle=False)


NPZ = NamedArraysFormat(
    "NPZ", (".npz",), "named arrays: what simulate writes, k-space, sinograms", open_npz
)
