"""JPEG: pictures of 8 bits, also those of several views (MPO), of which the first is read."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from untrained.data.formats.base import PictureFormat
from untrained.data.formats.pillow import decode_pillow


def read_jpeg(file: Path, what: str, pages: bool = False) -> tuple[np.ndarray, list[str]]:
    """Read a JPEG as `(C, H, W)`, and notes; it has one page."""
    return decode_pillow(file, what, ("JPEG", "MPO"))


JPEG = PictureFormat(
    "JPEG",
    (".jpg", ".jpeg"),
    "8 bits; the EXIF orientation is honoured",
    read_jpeg,
    lossy=True,
)
