"""WebP: pictures of 8 bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from untrained.data.formats.base import PictureFormat
from untrained.data.formats.pillow import decode_pillow


def read_webp(file: Path, what: str, pages: bool = False) -> tuple[np.ndarray, list[str]]:
    """Read a WebP as `(C, H, W)`, and notes; it has one page."""
    return decode_pillow(file, what, ("WEBP",))


WEBP = PictureFormat("WebP", (".webp",), "8 bits; alpha is dropped", read_webp, lossy=True)
