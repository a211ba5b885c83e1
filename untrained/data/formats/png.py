"""PNG: pictures of 8 or 16 bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from untrained.data.formats.base import PictureFormat
from untrained.data.formats.pillow import decode_pillow


def read_png(file: Path, what: str, pages: bool = False) -> tuple[np.ndarray, list[str]]:
    """Read a PNG as `(C, H, W)`, and notes; it has one page."""
    return decode_pillow(file, what, ("PNG",))


def is_png16(path: Path) -> bool:
    """Tell by the bits of a channel, the byte behind signature, length, name and size."""
    with path.open("rb") as stream:
        return stream.read(25)[24] == 16


PNG = PictureFormat(
    "PNG",
    (".png",),
    "8 or 16 bits, grey or colour; alpha is dropped",
    read_png,
    deep=is_png16,
)
