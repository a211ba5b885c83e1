"""Read arrays of a file by name, and refuse NaN and infinite values in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from untrained.data.formats import ArrayFile, find_format, open_arrays
from untrained.data.formats.base import ArrayFormat, list_names
from untrained.errors import UserError
from untrained.files import existing_file


def read_one(path: str | Path, what: str, prefer: tuple[str, ...] = ()) -> np.ndarray:
    """Read the one array of an .npy, .npz or .h5 file: a preferred key, else the only key.

    Raises:
        UserError: several arrays, none of them under a preferred key; the keys are listed.
    """
    found = find_format(path)
    if isinstance(found, ArrayFormat):
        return found.read(existing_file(path, what), what)
    with open_arrays(path, what) as file:
        for key in prefer:
            if key in file.keys:
                return file.read(key)
        if len(file.keys) != 1:
            wanted = " or ".join(f"'{key}'" for key in prefer) or "one array"
            raise UserError(
                f"{what}: {file.path} holds {list_names(file.keys)}; expected {wanted} or a single "
                "array (an .npy file always works)"
            )
        return file.read(file.keys[0])


def read_optional(file: ArrayFile, key: str) -> np.ndarray | None:
    """Read the array under `key`; None where the file has none."""
    return file.read(key) if key in file.keys else None


def read_sigma(file: ArrayFile) -> float | None:
    """Read the standard deviation of the noise, at least 0; None where the file has none."""
    sigma = read_number(file, "sigma")
    if sigma is not None and sigma < 0:
        raise UserError(
            f"'sigma' in {file.path} must be a standard deviation >= 0, found {sigma:g}"
        )
    return sigma


def read_number(file: ArrayFile, key: str) -> float | None:
    """Read the finite number under `key`; None where the file has none."""
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
    """Return the array, if it is numeric, not empty and free of NaN and infinities.

    For arrays from files; `checks.check_measurements` is for those given in Python.

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
    """Return the array as contiguous float32 or complex64, checked as by `require_finite`.

    Raises:
        UserError: also for values that single precision cannot hold.
    """
    require_finite(array, label)
    dtype = np.complex64 if array.dtype.kind == "c" else np.float32
    with np.errstate(over="ignore"):
        single = np.ascontiguousarray(array, dtype=dtype)
    return require_finite(single, f"{label}, in single precision,")
