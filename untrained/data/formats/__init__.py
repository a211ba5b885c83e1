"""File formats: one module each, and the dispatch from a file's suffix to its reader.

A new format is one module that makes a `PictureFormat`, `ArrayFormat` or `NamedArraysFormat`, and
one row in `FORMATS`; every loader finds it there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from untrained.data.formats.advice import other_format
from untrained.data.formats.bart import BART
from untrained.data.formats.base import (
    ArrayFile,
    ArrayFormat,
    Companion,
    Format,
    NamedArraysFormat,
    PictureFormat,
)
from untrained.data.formats.bmp import BMP
from untrained.data.formats.dicom import DICOM
from untrained.data.formats.hdf5 import HDF5
from untrained.data.formats.ismrmrd import ISMRMRD
from untrained.data.formats.jpeg import JPEG
from untrained.data.formats.matlab import MATLAB
from untrained.data.formats.nifti import NIFTI
from untrained.data.formats.npy import NPY
from untrained.data.formats.npz import NPZ
from untrained.data.formats.png import PNG
from untrained.data.formats.tiff import TIFF
from untrained.data.formats.webp import WEBP
from untrained.data.formats.zarr_store import ZARR, ZARR_ZIP
from untrained.files import existing_file, existing_folder

__all__ = [
    "FORMATS",
    "ArrayFile",
    "companion_of",
    "find_format",
    "has_named_arrays",
    "has_one_slice",
    "is_deep",
    "is_lossy",
    "is_measured",
    "is_numeric",
    "is_picture",
    "named_array_suffixes",
    "numeric_suffixes",
    "open_arrays",
    "picture_suffixes",
    "read_pixels",
    "stack_suffixes",
    "unnamed_array_suffixes",
]

FORMATS: dict[str, Format] = {
    found.name: found
    for found in (
        PNG,
        JPEG,
        TIFF,
        BMP,
        WEBP,
        NPY,
        NPZ,
        HDF5,
        ISMRMRD,
        MATLAB,
        BART,
        NIFTI,
        DICOM,
        ZARR,
        ZARR_ZIP,
    )
}


def find_format(path: str | Path) -> Format | None:
    """Find the format of a file by its suffix; None where there is none."""
    name = Path(path).name.lower()
    fitting = (one for one in FORMATS.values() if name.endswith(one.suffixes))
    return next(fitting, None)


def picture_suffixes() -> tuple[str, ...]:
    """List the suffixes of files that are read as a picture."""
    return _suffixes(PictureFormat, ArrayFormat)


def numeric_suffixes() -> tuple[str, ...]:
    """List the suffixes of files whose numbers are taken as they are."""
    return _suffixes(ArrayFormat, NamedArraysFormat)


def named_array_suffixes() -> tuple[str, ...]:
    """List the suffixes of files of arrays with names."""
    return _suffixes(NamedArraysFormat)


def unnamed_array_suffixes() -> tuple[str, ...]:
    """List the suffixes of files that hold one array without a name."""
    return _suffixes(ArrayFormat)


def stack_suffixes() -> tuple[str, ...]:
    """List the suffixes of pictures whose pages may be slices, and are no images of a scanner."""
    return tuple(
        suffix
        for one in FORMATS.values()
        if isinstance(one, PictureFormat) and one.slices and not one.measured
        for suffix in one.suffixes
    )


def is_picture(path: str | Path) -> bool:
    """Tell whether a file is read as a picture, by its suffix."""
    return isinstance(find_format(path), PictureFormat | ArrayFormat)


def is_numeric(path: str | Path) -> bool:
    """Tell whether a file's numbers are taken as they are, by its suffix."""
    return isinstance(find_format(path), ArrayFormat | NamedArraysFormat)


def has_named_arrays(path: str | Path) -> bool:
    """Tell whether a file holds arrays with names, by its suffix."""
    return isinstance(find_format(path), NamedArraysFormat)


def has_one_slice(path: str | Path) -> bool:
    """Tell whether the channels of a file can only be colours, by its suffix."""
    found = find_format(path)
    return isinstance(found, PictureFormat) and not found.slices


def is_lossy(path: str | Path) -> bool:
    """Tell whether a file's compression changes pixels, by its suffix."""
    found = find_format(path)
    return isinstance(found, PictureFormat) and found.lossy


def read_pixels(
    path: str | Path, what: str = "input", pages: bool = False
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read the numbers of a picture as they are stored, unchecked, and notes.

    Args:
        path: file of one of `picture_suffixes`.
        what: name of the argument, for messages.
        pages: whether the pages of a stack are read, as slices.
    """
    file = existing_file(path, what)
    found = find_format(file)
    if isinstance(found, ArrayFormat):
        return found.read(file, what), ()
    if isinstance(found, PictureFormat):
        array, notes = found.read(file, what, pages)
        return array, tuple(notes)
    raise other_format(file, what, f"one of {', '.join(picture_suffixes())}")


@contextmanager
def open_arrays(path: str | Path, what: str = "input") -> Iterator[ArrayFile]:
    """Open a file of arrays with names for safe reading.

    Raises:
        UserError: no such file, an unknown suffix, or contents that are damaged or of another
            kind than the suffix says. Reading raises it for a missing key, an object array, a
            header that disagrees with the file, and an array that is too large.
    """
    found = find_format(path)
    is_folder = found is not None and found.directory
    file = existing_folder(path, what) if is_folder else existing_file(path, what)
    if not isinstance(found, NamedArraysFormat):
        raise other_format(file, what, f"one of {', '.join(named_array_suffixes())}")
    with found.open(file, what) as arrays:
        yield arrays


def is_measured(path: str | Path) -> bool:
    """Tell whether a picture's values are measurements in units of their own."""
    found = find_format(path)
    return isinstance(found, PictureFormat) and found.measured


def is_deep(path: str | Path) -> bool:
    """Tell whether a file is a picture of 16 bits, as of `PictureFormat.deep`."""
    found = find_format(path)
    try:
        return isinstance(found, PictureFormat) and found.deep(Path(path))
    except Exception:  # it was read a moment ago; a decoder raises anything
        return False


def companion_of(path: str | Path) -> Companion | None:
    """Tell how a result is written in the format of a file, too; None where it is not."""
    found = find_format(path)
    try:
        return None if found is None else found.companion(Path(path))
    except Exception:  # as above; the result has its .npy in any case
        return None


def _suffixes(*kinds: type[Format]) -> tuple[str, ...]:
    return tuple(s for one in FORMATS.values() if isinstance(one, kinds) for s in one.suffixes)
