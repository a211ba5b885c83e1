"""NPZ and HDF5 files from strangers: nothing unpickled, nothing allocated on trust.

An array is read only after its header and the size its container gives for it agree, and after
that size has been compared with the memory at hand. Object arrays, which numpy stores as pickled
code, are refused.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np

from untrained.data.foreign import other_format
from untrained.data.memory import check_size, float_bytes
from untrained.errors import UserError
from untrained.files import existing_file

HDF5_SUFFIXES = (".h5", ".hdf5", ".hdf")
ARRAY_SUFFIXES = (".npz", *HDF5_SUFFIXES)
MOST_LISTED = 6
COMPLEX_FIELDS = (("real", "imag"), ("re", "im"), ("r", "i"))
MOST_NAMES = 12
MOST_UNWRITTEN = 2**16  # bytes; a small array of zeros is sometimes left to the fill value


class ArrayFile(Protocol):
    """Named arrays in one file, read one at a time."""

    path: Path
    keys: tuple[str, ...]

    def shape(self, key: str) -> tuple[int, ...]:
        """Shape of an array, from its header alone."""
        ...

    def read(self, key: str, index: int | None = None) -> np.ndarray:
        """The array, or entry `index` of its first axis."""
        ...

    def nested(self) -> tuple[str, ...]:
        """Names of arrays in groups, which are read by their whole path only."""
        ...

    def label(self, key: str) -> str:
        """Name an array for a message."""
        ...

    def reversed_axes(self, key: str) -> bool:
        """Whether the array was written with its last axis first."""
        ...


@contextmanager
def open_arrays(path: str | Path, what: str = "input") -> Iterator[ArrayFile]:
    """Open an .npz or .h5 file for safe reading.

    Raises:
        UserError: no such file, an unknown suffix, or contents that are damaged or of another
            kind than the suffix says. Reading raises it for a missing key, an object array, a
            header that disagrees with the file, and an array that is too large.
    """
    file = existing_file(path, what)
    suffix = file.suffix.lower()
    if suffix == ".npz":
        with _opened_zip(file, what) as archive:
            yield NpzFile(file, archive)
    elif suffix in HDF5_SUFFIXES:
        with _opened_h5(file, what) as handle:
            yield H5File(file, handle)
    else:
        raise other_format(file, what, f"one of {', '.join(ARRAY_SUFFIXES)}")


class NpzFile:
    """The members of an .npz archive."""

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
        """Shape of an array, from its header alone."""
        info = self._member(key)
        with damage(self.path, key), self._archive.open(info) as stream:
            return read_header(stream, info.file_size, f"'{key}' in {self.path}")[0]

    def read(self, key: str, index: int | None = None) -> np.ndarray:
        """The array, or entry `index` of its first axis."""
        if index is None:
            return self._whole(key)
        if key not in self._stacks:
            self._stacks[key] = self._whole(key)
        return self._stacks[key][index].copy()

    def _whole(self, key: str) -> np.ndarray:
        info = self._member(key)
        label = f"'{key}' in {self.path}"
        with damage(self.path, key):
            with self._archive.open(info) as stream:
                shape, dtype = read_header(stream, info.file_size, label)
            check_size(float_bytes(shape, dtype), info.compress_size, label)
            with self._archive.open(info) as stream:
                array: np.ndarray = np.lib.format.read_array(stream, allow_pickle=False)
        return native(array)

    def nested(self) -> tuple[str, ...]:
        """Arrays in groups, of which this format has none."""
        return ()

    def label(self, key: str) -> str:
        """Name an array for a message."""
        return f"'{key}' in {self.path}"

    def reversed_axes(self, key: str) -> bool:
        """Whether the array was written with its last axis first: never in this format."""
        return False

    def _member(self, key: str) -> zipfile.ZipInfo:
        require_keys(self, key)
        return self._members[key]


class H5File:
    """The top-level datasets of an HDF5 file."""

    def __init__(self, path: Path, handle: Any) -> None:
        import h5py

        self.path = path
        self._handle = handle
        # Soft and external links are left out: they may point at other files of the machine.
        with damage(path, None):
            self.keys = tuple(
                name
                for name in handle
                if isinstance(handle.get(name, getlink=True), h5py.HardLink)
                and isinstance(handle[name], h5py.Dataset)
            )

    def shape(self, key: str) -> tuple[int, ...]:
        """Shape of an array, from its header alone."""
        require_keys(self, key)
        with damage(self.path, key):
            return tuple(self._handle[key].shape or ())

    def label(self, key: str) -> str:
        """Name an array for a message."""
        return f"'{key}' in {self.path}"

    def offer(self, key: str) -> None:
        """Add an array inside groups, `group/name`, to the keys, if no link leads to it."""
        import h5py

        parts = [part for part in key.split("/") if part]
        place = self._handle
        with damage(self.path, key):
            for part in parts:
                link = place.get(part, getlink=True) if isinstance(place, h5py.Group) else None
                if not isinstance(link, h5py.HardLink):
                    return
                place = place[part]
        if isinstance(place, h5py.Dataset) and key not in self.keys:
            self.keys = (*self.keys, key)

    def nested(self) -> tuple[str, ...]:
        """The first arrays in groups, which are read by their whole path only."""
        import h5py

        found: list[str] = []

        def visit(name: str, item: Any) -> bool | None:
            if "/" in name and isinstance(item, h5py.Dataset):
                found.append(name)
            return True if len(found) == MOST_LISTED else None

        with damage(self.path, None):
            self._handle.visititems(visit)
        return tuple(found)

    def read(self, key: str, index: int | None = None) -> np.ndarray:
        """The array, or entry `index` of its first axis."""
        require_keys(self, key)
        label = f"'{key}' in {self.path}"
        with damage(self.path, key):
            dataset = self._handle[key]
            pair = _complex_fields(dataset.dtype)
            _require_readable(dataset, label)
            parts = 1 if index is None else dataset.shape[0]
            stored = dataset.id.get_storage_size()
            if not stored and dataset.nbytes > MOST_UNWRITTEN:
                raise UserError(f"{label} was never written: all of it is the file's fill value")
            size = float_bytes(dataset.shape, dataset.dtype) // parts
            check_size(size, stored // parts, label)
            if dataset.chunks:  # a chunk is unpacked whole, however little of it is asked for
                chunk = float_bytes(dataset.chunks, dataset.dtype)
                check_size(chunk, stored, f"a chunk of {label}")
            values = np.asarray(dataset[()] if index is None else dataset[index])
        return native(values[pair[0]] + 1j * values[pair[1]] if pair else values)

    def reversed_axes(self, key: str) -> bool:
        """Whether MATLAB wrote the array, which stores the last axis first."""
        with damage(self.path, key):
            dataset = self._handle[key]
            return "MATLAB_class" in dataset.attrs or bool(_complex_fields(dataset.dtype))


def _complex_fields(dtype: np.dtype) -> tuple[str, ...]:
    """The two fields of a record that is a complex number, as MATLAB v7.3 writes it; or ()."""
    names = tuple(dtype.names or ())
    if tuple(name.lower() for name in names) not in COMPLEX_FIELDS:
        return ()
    part = dtype[names[0]]
    # any other layout is damage, over which the HDF5 library itself may fall
    plain = part.kind == "f" and dtype[names[1]] == part and dtype.itemsize == 2 * part.itemsize
    return names if plain and _offsets(dtype) == [0, part.itemsize] else ()


def _offsets(dtype: np.dtype) -> list[int]:
    """Where the fields of a record begin, in bytes."""
    return [dtype.fields[name][1] for name in dtype.names or ()] if dtype.fields else []


def _require_readable(dataset: Any, label: str) -> None:
    """Refuse a dataset that is not numeric, is empty, or is stored in other files."""
    numeric = dataset.dtype.kind in "biufc" or _complex_fields(dataset.dtype)
    if not numeric or not dataset.size:
        kind = "of records" if dataset.dtype.names else str(dataset.dtype)
        raise UserError(
            f"{label} is {kind} of shape {dataset.shape}; "
            "a numeric array with at least one entry is expected"
        )
    if dataset.is_virtual or dataset.external:
        raise UserError(f"{label} is stored in other files; copy it into one file")


def native(array: np.ndarray) -> np.ndarray:
    """Give an array the machine's byte order, and double precision in place of long double.

    torch takes neither of them, and both are legitimate files.
    """
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        return array.astype(np.float64)
    if array.dtype.kind == "c" and array.dtype.itemsize > 16:
        return array.astype(np.complex128)
    if array.dtype.isnative:
        return array
    return array.astype(array.dtype.newbyteorder("="))


def require_keys(file: ArrayFile, *keys: str) -> None:
    """Raise a UserError that lists the keys present unless all of `keys` are among them."""
    missing = [key for key in keys if key not in file.keys]
    if missing:
        raise UserError(f"{file.path} lacks {listed(missing)}; it holds {held(file)}")


def held(file: ArrayFile) -> str:
    """Name the arrays of a file for a message, those in groups as well."""
    inside = file.nested()
    return listed(file.keys) + (f", and in groups {listed(inside)}" if inside else "")


def read_header(stream: IO[bytes], size: int, label: str) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and dtype of an NPY stream of `size` bytes, checked against each other."""
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    elif version == (2, 0):
        shape, _, dtype = np.lib.format.read_array_header_2_0(stream)
    else:
        raise UserError(f"{label} has NPY version {version}; versions 1.0 and 2.0 are read")
    _check_dtype(dtype, label)
    promised, found = math.prod(shape) * dtype.itemsize, size - stream.tell()
    if promised != found or min(shape, default=0) < 0:
        raise UserError(
            f"{label} is damaged: its header promises {dtype} of shape {shape}, {promised} bytes, "
            f"but {found} bytes follow"
        )
    return shape, dtype


def _check_dtype(dtype: np.dtype, label: str) -> None:
    if dtype.hasobject:
        raise UserError(
            f"{label} holds pickled Python objects, which could run code when opened and are "
            "never read; save plain numbers instead, e.g. "
            "np.save(file, np.asarray(a, dtype=np.float32))"
        )
    if dtype.names is not None:
        pair = _complex_fields(dtype)
        hint = f", a['{pair[0]}'] + 1j * a['{pair[1]}']" if pair else ""
        raise UserError(
            f"{label} is a record array with fields {dtype.names}; save plain numbers{hint}"
        )


@contextmanager
def damage(path: Path, key: str | None) -> Iterator[None]:
    """Report whatever a damaged file makes the readers raise as one readable error."""
    place = str(path) if key is None else f"'{key}' in {path}"
    try:
        yield
    except UserError:
        raise
    except MemoryError as error:
        raise UserError(f"{place} does not fit into memory") from error
    except Exception as error:
        # zipfile, zlib, h5py and numpy raise a dozen kinds of exceptions on damaged bytes
        raise UserError(f"{place} cannot be read, the file is damaged: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """The first sentence of what a library says, without the advice for its own callers.

    numpy's is to trust the file and to allow pickles, which would run what is in it.
    """
    text = str(error) or type(error).__name__
    for sign in ("To allow loading", "If you fully trust", "allow_pickle"):
        text = text.partition(sign)[0]
    return text.rstrip(" ,.;:(") or type(error).__name__


@contextmanager
def _opened_zip(file: Path, what: str) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise UserError(
            f"{what}: {file} is not a complete .npz archive ({error}); it may be truncated or "
            "of another format"
        ) from error
    with archive:
        yield archive


@contextmanager
def _opened_h5(file: Path, what: str) -> Iterator[Any]:
    import h5py

    try:
        handle = h5py.File(file, "r")
    except OSError as error:
        raise UserError(
            f"{what}: {file} is not a complete HDF5 file ({error}); it may be truncated or "
            "of another format"
        ) from error
    with handle:
        yield handle


def listed(keys: tuple[str, ...] | list[str]) -> str:
    """Names for a message, quoted and separated by commas."""
    more = f" and {len(keys) - MOST_NAMES} more" if len(keys) > MOST_NAMES else ""
    names = [key if len(key) <= 60 else f"{key[:56]} ..." for key in keys[:MOST_NAMES]]
    return ", ".join(f"'{name}'" for name in names) + more or "no arrays"
