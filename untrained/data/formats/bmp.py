"""BMP: pictures of 8 bits, without compression."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from untrained.data.formats.base import PictureFormat
from untrained.data.formats.pillow import decode_pillow


def read_bmp(file: Path, what: str, pages: bool = False) -> tuple[np.ndarray, list[str]]:
    """Read a BMP as `(C, H, W)`, and notes; it has one page."""
    return decode_pillow(file, what, ("BMP",))


BMP = PictureFormat("BMP", (".bmp",), "8 bits, grey or colour", read_bmp)
