"""Decode pictures by Pillow to arrays `(C, H, W)` in the file's own integer or float type."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from untrained.data.formats.base import PixelReader
from untrained.errors import UserError
from untrained.machine import FLOAT_BYTES, check_size

ORIENTATION = 274  # the EXIF and TIFF tag
ALPHA = "alpha channel dropped"


def pillow_reader(*formats: str) -> PixelReader:
    """Make the reader of a format of one page, by the names that Pillow has for it."""

    def read(file: Path, what: str, pages: bool = False) -> tuple[np.ndarray, list[str]]:
        return decode_pillow(file, what, formats)

    return read


def decode_pillow(file: Path, what: str, formats: tuple[str, ...]) -> tuple[np.ndarray, list[str]]:
    """Decode a PNG or JPEG to `(C, H, W)` with C = 1 or 3, and notes.

    Raises:
        UserError: not one of `formats`, damaged, too large for the memory, or a bomb.
    """
    from PIL import Image

    notes: list[str] = []
    with decoding(file, what), Image.open(file, formats=formats) as image:
        size = FLOAT_BYTES * image.width * image.height * len(image.getbands())
        check_size(size, file.stat().st_size, f"{what}: {file}")
        pixels = _deep_colour(file, formats) if _is_deep_colour(image) else as_array(image, notes)
        orientation = int(image.getexif().get(ORIENTATION, 1))
    return upright(without_alpha(channels_first(pixels), notes), orientation, notes), notes


def _is_deep_colour(image: Any) -> bool:
    """Tell whether a PNG has 16 bits a colour, which Pillow opens but cuts to 8 bits."""
    return image.mode in ("RGB", "RGBA") and _rawmode(image) == f"{image.mode};16B"


def _rawmode(image: Any) -> str:
    return str(image.tile[0].args) if image.tile else ""


def _deep_colour(file: Path, formats: tuple[str, ...]) -> np.ndarray:
    """Read all 16 bits of a colour PNG.

    Pillow keeps one byte of two: the first when told that the data are big-endian (as in a PNG),
    the second when told that they are little-endian. Reading twice gives both.
    """
    high = _one_byte(file, formats, "16B")
    low = _one_byte(file, formats, "16L")
    return high.astype(np.uint16) * 256 + low


def _one_byte(file: Path, formats: tuple[str, ...], order: str) -> np.ndarray:
    from PIL import Image

    with Image.open(file, formats=formats) as image:
        rawmode = f"{image.mode};{order}"
        image.tile = [tile._replace(args=rawmode) for tile in image.tile]
        return np.asarray(image)


def as_array(image: Any, notes: list[str]) -> np.ndarray:
    """Return the pixels of a Pillow image, odd colour modes converted with a note."""
    mode = image.mode
    if _rawmode(image) == "LA;16B":
        notes.append("16-bit grey with alpha was read with 8 bits; drop the alpha to keep all 16")
        image = image.convert("LA")
        mode = "LA"
    if mode == "1":
        return np.asarray(image).astype(bool)
    if mode == "I":  # older Pillow opens 16-bit grey PNGs in this mode
        return np.asarray(image).astype(np.uint16)
    if mode in ("L", "LA", "RGB", "RGBA", "F") or mode.startswith("I;16"):
        return np.asarray(image).astype(np.asarray(image).dtype.newbyteorder("="))
    transparent = mode in ("PA", "RGBa", "La") or (mode == "P" and "transparency" in image.info)
    kind = "palette" if mode.startswith("P") else mode
    notes.append(f"{kind} colours were converted to RGB")
    return np.asarray(image.convert("RGBA" if transparent else "RGB"))


def channels_first(pixels: np.ndarray) -> np.ndarray:
    """Move the channels of (H,W) or (H,W,C) first: (C,H,W)."""
    return pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)


def without_alpha(planes: np.ndarray, notes: list[str]) -> np.ndarray:
    """Drop the last of 2 or 4 channels, with a note."""
    if len(planes) not in (2, 4):
        return planes
    notes.append(ALPHA)
    return planes[:-1]


def upright(planes: np.ndarray, tag: int, notes: list[str]) -> np.ndarray:
    """Turn and flip as the EXIF orientation 2..8 asks."""
    turns = {3: 2, 4: 2, 5: 3, 6: 3, 7: 1, 8: 1}.get(tag, 0)
    if not 2 <= tag <= 8:
        return planes
    notes.append(f"turned upright as its orientation tag ({tag}) says")
    turned = np.rot90(planes, turns, axes=(1, 2))
    return np.ascontiguousarray(turned[:, :, ::-1] if tag in (2, 4, 5, 7) else turned)


@contextmanager
def any_size() -> Iterator[None]:
    """Lift Pillow's limit of 89 million pixels, a bomb to it and a large scan to others.

    Who opens a file within compares the size in its header with the memory and with the size of
    the file (`check_size`) before the pixels are decoded.
    """
    from PIL import Image

    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


@contextmanager
def decoding(file: Path, what: str) -> Iterator[None]:
    """Turn every way in which a decoder fails on a damaged file into one readable error."""
    from PIL import UnidentifiedImageError

    try:
        with warnings.catch_warnings(), any_size():
            warnings.simplefilter("ignore")
            yield
    except UserError:
        raise
    except UnidentifiedImageError as error:
        raise UserError(
            f"{what}: {file} does not hold what its suffix '{file.suffix}' says, or is damaged; "
            "check the file and its name"
        ) from error
    except Exception as error:
        # decoders raise OSError, SyntaxError, ValueError, struct.error, ... on damaged bytes
        reason = "it does not fit into memory" if isinstance(error, MemoryError) else error
        raise UserError(f"{what}: {file} is damaged or truncated: {reason}") from error
