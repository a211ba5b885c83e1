"""NPY: one array without a name."""

from __future__ import annotations

import math
from pathlib import Path
from typing import IO

import numpy as np

from untrained.data.formats.base import ArrayFormat, complex_fields, reporting_damage, to_native
from untrained.errors import UserError
from untrained.files import atomic_write, existing_file
from untrained.machine import check_size, float_bytes


def read_npy(path: str | Path, what: str = "input") -> np.ndarray:
    """Read the array of an .npy file, never unpickled.

    Raises:
        UserError: missing, damaged, truncated, or holding Python objects.
    """
    file = existing_file(path, what)
    size = file.stat().st_size
    with reporting_damage(file, None), file.open("rb") as stream:
        shape, dtype = read_header(stream, size, str(file))
        check_size(float_bytes(shape, dtype), size, str(file))
        stream.seek(0)
        return to_native(np.lib.format.read_array(stream, allow_pickle=False))


def write_npy(path: str | Path, array: np.ndarray) -> None:
    """Write one array to an .npy file atomically. Raises UserError naming the path on failure."""
    with atomic_write(path) as file:
        np.lib.format.write_array(file, without_objects(str(path), array), allow_pickle=False)


def without_objects(name: str, value: np.ndarray) -> np.ndarray:
    """Return the array, unless it holds Python objects, which are only written pickled."""
    array = np.asarray(value)
    if array.dtype.hasobject:
        raise ValueError(f"'{name}' is an object array; only numeric and string arrays are written")
    return array


def read_header(stream: IO[bytes], size: int, label: str) -> tuple[tuple[int, ...], np.dtype]:
    """Read shape and dtype of an NPY stream, and check them against its `size` in bytes."""
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
        pair = complex_fields(dtype)
        hint = f", a['{pair[0]}'] + 1j * a['{pair[1]}']" if pair else ""
        raise UserError(
            f"{label} is a record array with fields {dtype.names}; save plain numbers{hint}"
        )


NPY = ArrayFormat(
    "NPY",
    (".npy",),
    "(H,W), (C,H,W) or a volume (D,H,W); integers are divided by their type's maximum, floats "
    "taken as they are",
    read_npy,
)
