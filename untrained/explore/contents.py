"""List the arrays of a file: names, shapes, types and values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from untrained.data.formats import ArrayFile, has_named_arrays, open_arrays, read_pixels
from untrained.errors import UserError

MOST_VALUES = 2**27  # of an array that is read whole to tell its range; of larger ones a part


@dataclass(frozen=True)
class Entry:
    """One array of a file.

    Attributes:
        name: its name, for HDF5 with its groups; "" where the array has none.
        shape: of the array.
        dtype: its type, as numpy names it; "" where it is no array of numbers.
        values: what its values are, in words.
        array: the values of a small array or of the first entry of a large one; None where they
            cannot be read.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    values: str
    array: np.ndarray | None = None

    @property
    def complex(self) -> bool:
        """Tell whether its values are complex."""
        return self.dtype.startswith("complex")


def list_contents(path: str | Path) -> tuple[Entry, ...]:
    """List the arrays of a file.

    Raises:
        UserError: no such file, a format that is not read, or damage.
    """
    if not has_named_arrays(path):
        pixels, notes = read_pixels(path)
        found = _described("", pixels)
        return (Entry("", pixels.shape, found.dtype, "; ".join([found.values, *notes]), pixels),)
    with open_arrays(path) as file:
        for name in file.nested():
            file.offer(name)
        return tuple(_entry(file, name) for name in file.keys)


def _entry(file: ArrayFile, name: str) -> Entry:
    """Describe one array of an open file."""
    try:
        shape = file.shape(name)
        large = len(shape) > 1 and int(np.prod(shape, dtype=np.int64)) > MOST_VALUES
        found = _described(name, file.read(name, 0 if large else None))
    except UserError as error:
        return Entry(name, (), "", f"cannot be read: {error}")
    part = "its first entry: " if large else ""
    return Entry(name, shape, found.dtype, part + found.values, found.array)


def _described(name: str, array: np.ndarray) -> Entry:
    """Say what the values of an array are."""
    dtype = str(array.dtype)
    if array.dtype.kind not in "biufc" or not array.size:
        text = str(array.reshape(-1)[0])[:60] if array.size == 1 else ""
        return Entry(name, array.shape, dtype, text, None)
    if array.size == 1:
        return Entry(name, array.shape, dtype, f"{array.reshape(-1)[0]:.6g}", array)
    finite = np.isfinite(array)
    known = np.abs(array[finite]) if array.dtype.kind == "c" else array[finite]
    if not known.size:
        return Entry(name, array.shape, dtype, "no finite value", array)
    size = "magnitude " if array.dtype.kind == "c" else ""
    if array.dtype.kind == "b":
        return Entry(name, array.shape, dtype, f"{_percent(float(array.mean()))} are true", array)
    parts = [f"{size}{_number(known.min())} to {_number(known.max())}"]
    zeros = float((array == 0).mean())
    if zeros:
        parts.append(f"{_percent(zeros)} are 0")
    if known.size < array.size:
        parts.append(f"{array.size - known.size} are NaN or infinite")
    return Entry(name, array.shape, dtype, ", ".join(parts), array)


def _number(value: np.generic) -> str:
    return str(value) if value.dtype.kind in "biu" else f"{value:.4g}"


def _percent(share: float) -> str:
    return "less than 1 %" if share < 0.01 else f"{100 * share:.0f} %"
