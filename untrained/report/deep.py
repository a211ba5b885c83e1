"""Pictures of a result in the depth of the file that it came from."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np

TIFF = "tiff "


def tiff_of(array: np.ndarray, axes: str, depth: str) -> bytes:
    """Encode an image as TIFF: integers of its type from [0, 1], clipped, or floats as they are.

    Args:
        array: real, with the axes that are named.
        axes: `YX`, `CYX` (three channels are colours, others pages) or `ZYX` (pages).
        depth: `tiff` and the name of the type, as `tiff uint16`.
    """
    import tifffile

    colour = axes == "CYX" and len(array) == 3
    values = typed(np.moveaxis(array, 0, -1) if colour else array, depth.removeprefix(TIFF))
    stream = io.BytesIO()
    kind = "rgb" if colour else "minisblack"
    tifffile.imwrite(
        stream, np.ascontiguousarray(values), photometric=kind, metadata=None, software=False
    )
    return stream.getvalue()


def typed(array: np.ndarray, name: str) -> np.ndarray:
    """Scale values of [0, 1] to a type, whose largest value is 1; keep floats unchanged."""
    dtype = np.dtype(name)
    if dtype.kind == "f":
        return array.astype(dtype)
    return np.round(np.nan_to_num(array).clip(0.0, 1.0) * float(np.iinfo(dtype).max)).astype(dtype)


def png_of(pixels: np.ndarray) -> bytes:
    """Encode 16-bit pixels, uint16 `(H, W)` or `(H, W, 3)`, as PNG; Pillow knows grey ones only."""
    height, width = pixels.shape[:2]
    colour = 2 if pixels.ndim == 3 else 0
    rows = pixels.astype(">u2").reshape(height, -1)
    scanned = b"".join(b"\0" + row.tobytes() for row in rows)  # filter 0: values as they are
    header = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(scanned)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, content) for name, content in chunks)


def _chunk(name: bytes, content: bytes) -> bytes:
    length, check = len(content), zlib.crc32(name + content)
    return struct.pack(">I", length) + name + content + struct.pack(">I", check)
