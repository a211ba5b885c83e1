"""BMP: pictures of 8 bits, without compression."""

from __future__ import annotations

from untrained.data.formats.base import PictureFormat
from untrained.data.formats.pillow import pillow_reader

BMP = PictureFormat("BMP", (".bmp",), "8 bits, grey or colour", pillow_reader("BMP"))
