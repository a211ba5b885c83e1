"""Arrays in and out: one by name, the only one, a number; and the atomic writing of them."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from untrained.data.containers import (
    ARRAY_SUFFIXES,
    HDF5_SUFFIXES,
    ArrayFile,
    damage,
    existing_file,
    listed,
    native,
    open_arrays,
    read_header,
    require_keys,
)
from untrained.data.memory import check_size, float_bytes
from untrained.errors import UserError
from untrained.files import atomic_write, make_directory

__all__ = [
    "ARRAY_SUFFIXES",
    "HDF5_SUFFIXES",
    "ArrayFile",
    "existing_file",
    "open_arrays",
    "read_npy",
    "read_number",
    "read_one",
    "read_optional",
    "read_sigma",
    "require_finite",
    "require_keys",
    "single_precision",
    "write_npy",
    "write_npz",
]


def read_npy(path: str | Path, what: str = "input") -> np.ndarray:
    """One array from an .npy file, never unpickled.

    Raises:
        UserError: missing, damaged, truncated, or holding Python objects.
    """
    file = existing_file(path, what)
    size = file.stat().st_size
    with damage(file, None), file.open("rb") as stream:
        shape, dtype = read_header(stream, size, str(file))
        check_size(float_bytes(shape, dtype), size, str(file))
        stream.seek(0)
        return native(np.lib.format.read_array(stream, allow_pickle=False))


def read_one(path: str | Path, what: str, prefer: tuple[str, ...] = ()) -> np.ndarray:
    """The one array of an .npy, .npz or .h5 file: a preferred key, else the only key.

    Raises:
        UserError: several arrays, none of them under a preferred key; the keys are listed.
    """
    if Path(path).suffix.lower() == ".npy":
        return read_npy(path, what)
    with open_arrays(path, what) as file:
        for key in prefer:
            if key in file.keys:
                return file.read(key)
        if len(file.keys) != 1:
            wanted = " or ".join(f"'{key}'" for key in prefer) or "one array"
            raise UserError(
                f"{what}: {file.path} holds {listed(file.keys)}; expected {wanted} or a single "
                "array (an .npy file always works)"
            )
        return file.read(file.keys[0])


def read_optional(file: ArrayFile, key: str) -> np.ndarray | None:
    """The array under `key`, or None where the file has none."""
    return file.read(key) if key in file.keys else None


def read_sigma(file: ArrayFile) -> float | None:
    """The file's standard deviation of the noise, at least 0, or None where it has none."""
    sigma = read_number(file, "sigma")
    if sigma is not None and sigma < 0:
        raise UserError(
            f"'sigma' in {file.path} must be a standard deviation >= 0, found {sigma:g}"
        )
    return sigma


def read_number(file: ArrayFile, key: str) -> float | None:
    """The finite number under `key`, or None where the file has none."""
    value = read_optional(file, key)
    if value is None:
        return None
    if value.size != 1 or value.dtype.kind not in "biuf" or not np.isfinite(value).all():
        raise UserError(
            f"'{key}' in {file.path} must be one finite number, "
            f"found {value.dtype} of shape {value.shape}"
        )
    return float(value.reshape(()))


def require_finite(
    array: np.ndarray, label: str, offer: str = "replace them before reconstructing"
) -> np.ndarray:
    """`array`, if it is numeric, not empty and free of NaN and infinities.

    Args:
        array, label: the array, and what a message calls it.
        offer: what can be done about such values.

    Raises:
        UserError: says how many values are not finite and where the first one is.
    """
    if array.dtype.kind not in "biufc":
        raise UserError(f"{label} must be numeric, found {array.dtype}")
    if array.size == 0:
        raise UserError(f"{label} is empty: its shape is {array.shape}")
    bad = ~np.isfinite(array)
    count = int(bad.sum())
    if count:
        first = tuple(int(i) for i in np.unravel_index(int(bad.argmax()), bad.shape))
        raise UserError(
            f"{label} holds {count} value{'s' if count > 1 else ''} NaN or infinite "
            f"({array[first]} first, at index {first}); {offer}"
        )
    return array


def single_precision(array: np.ndarray, label: str) -> np.ndarray:
    """`array` as contiguous float32 or complex64, checked as by `require_finite`.

    Raises:
        UserError: also for values that single precision cannot hold.
    """
    require_finite(array, label)
    dtype = np.complex64 if array.dtype.kind == "c" else np.float32
    with np.errstate(over="ignore"):
        single = np.ascontiguousarray(array, dtype=dtype)
    return require_finite(single, f"{label}, in single precision,")


def write_npz(path: str | Path, arrays: dict[str, np.ndarray]) -> None:
    """Write arrays to an .npz file atomically, its directory made if missing.

    The same arrays give the same bytes: no time of writing is stored.

    Raises:
        UserError: another suffix, or the file cannot be written; names the path.
    """
    if Path(path).suffix.lower() != ".npz":
        raise UserError(f"--out: {path} must end in .npz, the format that is written")
    if Path(path).exists() and not Path(path).is_file():
        raise UserError(f"--out: {path} is a directory or a device; give the name of a file")
    plain = {key: _plain(key, value) for key, value in arrays.items()}
    make_directory(Path(path).parent)
    with atomic_write(path) as file, zipfile.ZipFile(file, "w") as archive:
        for key, value in plain.items():
            with archive.open(zipfile.ZipInfo(f"{key}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, value, allow_pickle=False)


def write_npy(path: str | Path, array: np.ndarray) -> None:
    """Write one array to an .npy file atomically. Raises UserError naming the path on failure."""
    with atomic_write(path) as file:
        np.lib.format.write_array(file, _plain(str(path), array), allow_pickle=False)


def _plain(name: str, value: np.ndarray) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.hasobject:
        raise ValueError(f"'{name}' is an object array; only numeric and string arrays are written")
    return array
