"""PNG of 16 bits, of which Pillow writes grey ones only."""

from __future__ import annotations

import struct
import zlib

import numpy as np


def png_of(pixels: np.ndarray) -> bytes:
    """Encode 16-bit pixels, uint16 `(H, W)` or `(H, W, 3)`, as PNG."""
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
