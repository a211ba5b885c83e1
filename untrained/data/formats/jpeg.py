"""JPEG: pictures of 8 bits, also those of several views (MPO), of which the first is read."""

from __future__ import annotations

from untrained.data.formats.base import PictureFormat
from untrained.data.formats.pillow import pillow_reader

JPEG = PictureFormat(
    "JPEG",
    (".jpg", ".jpeg"),
    "8 bits; the EXIF orientation is honoured",
    pillow_reader("JPEG", "MPO"),
    lossy=True,
)
