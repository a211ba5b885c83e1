"""WebP: pictures of 8 bits."""

from __future__ import annotations

from untrained.data.formats.base import PictureFormat
from untrained.data.formats.pillow import pillow_reader

WEBP = PictureFormat(
    "WebP", (".webp",), "8 bits; alpha is dropped", pillow_reader("WEBP"), lossy=True
)
