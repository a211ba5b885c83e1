"""The kinds of file formats, and what their readers share.

Files come from strangers: nothing is unpickled, and nothing allocated on trust. An array is read
only after its header and the size its container gives for it agree, and after that size has been
compared with the memory at hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from untrained.errors import UserError

MOST_NAMES = 12
COMPLEX_FIELDS = (("real", "imag"), ("re", "im"), ("r", "i"))


@dataclass(frozen=True)
class Companion:
    """How a result is written once more, in the format of the file that its measurements are from.

    Attributes:
        encode: image in the units of that file, and its axes (`YX`, `CYX`, `ZYX`) -> contents of
            files by suffix; none where the format cannot hold such an image.
    """

    encode: Callable[[np.ndarray, str], dict[str, bytes]]


@dataclass(frozen=True)
class Units:
    """Hold the values of a file that are 0 and 1 in the units that pictures are worked on in.

    Attributes:
        offset, factor: value in the file = offset + factor times the value worked on.
    """

    offset: float = 0.0
    factor: float = 1.0


SAME = Units()
"""Of files whose values are worked on as they are."""


def no_companion(path: Path) -> Companion | None:
    """Return None: a result is written as .npy and .png alone."""
    return None


@dataclass(frozen=True)
class Format:
    """A file format; of one of the three kinds below.

    Attributes:
        name, description: as `untrained list formats` shows them.
        suffixes: in lower case, with the dot; the reader of a file is found by them.
        companion: file -> how a result is written in this format, too; None where it is not.
        pair: whether two files of one name, with two of the suffixes, are one input.
        directory: whether an input of this format is a directory.
    """

    name: str
    suffixes: tuple[str, ...]
    description: str
    companion: Callable[[Path], Companion | None] = field(default=no_companion, kw_only=True)
    pair: bool = field(default=False, kw_only=True)
    directory: bool = field(default=False, kw_only=True)


MEDICAL = "install it with: pip install 'untrained[medical]'"
"""What to do where a file needs a reader of the extra `medical`."""

PixelReader = Callable[[Path, str, bool], tuple[np.ndarray, list[str]]]


def not_deep(path: Path) -> bool:
    """Return False: 8 bits."""
    return False


@dataclass(frozen=True)
class PictureFormat(Format):
    """A format of pictures, whose integers are shades of a range.

    Attributes:
        read: file, name of the argument for messages, whether pages are slices -> pixels
            `(C, H, W)` in the file's own integer or float type, and notes on what was changed.
        slices: whether a file may hold the slices of a volume as pages.
        lossy: whether the compression changes pixels.
        measured: whether its values are measurements in units of their own; tasks of pictures
            bring them to [0, 1].
        deep: file -> whether it is a picture of 16 bits, which a result's pictures are then, too.
    """

    read: PixelReader
    slices: bool = False
    lossy: bool = False
    measured: bool = False
    deep: Callable[[Path], bool] = not_deep


@dataclass(frozen=True)
class ArrayFormat(Format):
    """A format of one array without a name, whose numbers are measurements or pixels.

    Attributes:
        read: file, name of the argument for messages -> the array.
    """

    read: Callable[[Path, str], np.ndarray]


@dataclass(frozen=True)
class NamedArraysFormat(Format):
    """A format of arrays with names.

    Attributes:
        open: file, name of the argument for messages -> the file, open within a `with` statement.
    """

    open: Callable[[Path, str], AbstractContextManager[ArrayFile]]


class ArrayFile(Protocol):
    """Named arrays in one file, read one at a time."""

    path: Path
    keys: tuple[str, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """Say what was decided while reading; complete once an array was read."""
        ...

    def shape(self, key: str) -> tuple[int, ...]:
        """Return the shape of an array, from its header alone."""
        ...

    def read(self, key: str, index: int | None = None) -> np.ndarray:
        """Read the array, or entry `index` of its first axis."""
        ...

    def nested(self) -> tuple[str, ...]:
        """Name arrays in groups, which are read by their whole path only."""
        ...

    def label(self, key: str) -> str:
        """Name an array for a message."""
        ...

    def offer(self, key: str) -> None:
        """Add an array inside groups, `group/name`, to the keys, where the format has groups."""
        ...

    def reversed_axes(self, key: str) -> bool:
        """Tell whether the array was written with its last axis first."""
        ...


@contextmanager
def reporting_damage(path: Path, key: str | None) -> Iterator[None]:
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
    """Return the first sentence of what a library says, without advice for its own callers.

    numpy's is to trust the file and to allow pickles, which would run what is in it.
    """
    text = str(error) or type(error).__name__
    for sign in ("To allow loading", "If you fully trust", "allow_pickle"):
        text = text.partition(sign)[0]
    return text.rstrip(" ,.;:(") or type(error).__name__


def to_native(array: np.ndarray) -> np.ndarray:
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


def complex_fields(dtype: np.dtype) -> tuple[str, ...]:
    """Find the two fields of a record that is a complex number, as in MATLAB v7.3; or ()."""
    names = tuple(dtype.names or ())
    if tuple(name.lower() for name in names) not in COMPLEX_FIELDS:
        return ()
    part = dtype[names[0]]
    # any other layout is damage, over which the HDF5 library itself may fall
    plain = part.kind == "f" and dtype[names[1]] == part and dtype.itemsize == 2 * part.itemsize
    return names if plain and _offsets(dtype) == [0, part.itemsize] else ()


def _offsets(dtype: np.dtype) -> list[int]:
    """List where the fields of a record begin, in bytes."""
    return [dtype.fields[name][1] for name in dtype.names or ()] if dtype.fields else []


def require_keys(file: ArrayFile, *keys: str) -> None:
    """Raise a UserError that lists the keys present unless all of `keys` are among them."""
    missing = [key for key in keys if key not in file.keys]
    if missing:
        raise UserError(
            f"{file.path} lacks {list_names(missing)}; it holds {describe_contents(file)}"
        )


def describe_contents(file: ArrayFile) -> str:
    """Name the arrays of a file for a message, those in groups as well."""
    inside = file.nested()
    return list_names(file.keys) + (f", and in groups {list_names(inside)}" if inside else "")


def list_names(keys: tuple[str, ...] | list[str]) -> str:
    """List names for a message, quoted and separated by commas."""
    more = f" and {len(keys) - MOST_NAMES} more" if len(keys) > MOST_NAMES else ""
    names = [key if len(key) <= 60 else f"{key[:56]} ..." for key in keys[:MOST_NAMES]]
    return ", ".join(f"'{name}'" for name in names) + more or "no arrays"
