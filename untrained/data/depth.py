"""How a picture file stores its values, so that a result can be stored alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def stored_depth(path: str | Path) -> str:
    """Tell the depth of a picture file: `png16`, `tiff uint8|uint16|int8|int16|float32`, or "".

    "" for all else: PNG and JPEG of 8 bits, for which the picture of a result is enough, arrays,
    and files that are none. Integers of more than 16 bits exceed what is computed with, and count
    as floats.
    """
    suffix = Path(path).suffix.lower()
    try:
        if suffix == ".png":
            return "png16" if _png_bits(Path(path)) == 16 else ""
        return f"tiff {_tiff_type(path)}" if suffix in (".tif", ".tiff") else ""
    except Exception:  # it was read a moment ago; a decoder raises anything
        return ""


def _png_bits(path: Path) -> int:
    """Bits of a channel: the byte behind signature, length, name, width and height."""
    with path.open("rb") as stream:
        return stream.read(25)[24]


def _tiff_type(path: str | Path) -> str:
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        dtype = np.dtype(tiff.pages[0].dtype or "uint8")
    if dtype.kind == "b":
        return "uint8"
    return dtype.name if dtype.kind in "iu" and dtype.itemsize <= 2 else "float32"
