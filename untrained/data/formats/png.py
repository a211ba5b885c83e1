"""PNG: pictures of 8 or 16 bits."""

from __future__ import annotations

from pathlib import Path

from untrained.data.formats.base import PictureFormat
from untrained.data.formats.pillow import pillow_reader


def is_png16(path: Path) -> bool:
    """Tell by the bits of a channel, the byte behind signature, length, name and size."""
    with path.open("rb") as stream:
        return stream.read(25)[24] == 16


PNG = PictureFormat(
    "PNG",
    (".png",),
    "8 or 16 bits, grey or colour; alpha is dropped",
    pillow_reader("PNG"),
    deep=is_png16,
)
