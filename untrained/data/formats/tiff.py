"""TIFF: pictures, and volumes whose slices are pages."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from untrained.data.formats.base import Companion, PictureFormat
from untrained.data.formats.pillow import (
    ORIENTATION,
    as_array,
    channels_first,
    decoding,
    upright,
    without_alpha,
)
from untrained.errors import UserError, one_paragraph
from untrained.machine import check_size, float_bytes


def read_tiff(file: Path, what: str, pages: bool = False) -> tuple[np.ndarray, list[str]]:
    """Read a TIFF as `(C, H, W)`, 8/16-bit integers or floats, and notes.

    With `pages` every page is a plane, grey and alike.

    Raises:
        UserError: several pages (with `pages`: in colour, or of several sizes or types), damaged,
            too large, a volume in one page, or a compression that cannot be decoded.
    """
    import tifffile

    notes: list[str] = []
    with decoding(file, what), _noted_warnings(notes), tifffile.TiffFile(file) as tiff:
        if len(tiff.pages) == 0:
            raise UserError(f"{what}: {file} is damaged: no page could be found in it")
        if len(tiff.pages) != 1 and not pages:
            raise UserError(
                f"{what}: {file} has {len(tiff.pages)} pages; an image has one: save the page you "
                "want as a file of its own (denoise and inpaint take all of them as the slices "
                "of a volume with --volume)"
            )
        size = sum(_floats(page) for page in tiff.pages)
        check_size(size, file.stat().st_size, f"{what}: {file}")
        planes = [_tiff_page(file, page, notes) for page in tiff.pages]
    if pages and {len(p) for p in planes} != {1}:
        raise UserError(
            f"{what}: {file} is in colour, and the slices of a volume are grey (tifffile writes "
            "them so with photometric='minisblack')"
        )
    if len({(p.shape, p.dtype) for p in planes}) > 1:
        raise UserError(
            f"{what}: {file} has pages of several sizes or types; the slices of a volume are alike"
        )
    return np.concatenate(planes), list(dict.fromkeys(notes))


@contextmanager
def _noted_warnings(notes: list[str]) -> Iterator[None]:
    """Make one note of whatever tifffile would print on the terminal about damaged tags."""
    logger, collected = logging.getLogger("tifffile"), _Collector()
    before = logger.propagate
    logger.addHandler(collected)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(collected)
        logger.propagate = before
    if collected.texts:
        notes.append(
            f"parts of the TIFF are damaged or odd: {one_paragraph(collected.texts[0])[:200]}"
        )


class _Collector(logging.Handler):
    """Keep the texts of warnings and errors."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one text."""
        self.texts.append(record.getMessage())


def _floats(page: Any) -> int:
    """Count the bytes of a page in single precision, or as it is stored."""
    dtype = page.dtype
    return int(page.nbytes) if dtype is None else float_bytes(page.shape, np.dtype(dtype))


def _tiff_page(file: Path, page: Any, notes: list[str]) -> np.ndarray:
    if page.imagedepth != 1:
        raise UserError(f"{file} has a volume in one page; save every slice as a page of its own")
    tag = page.tags.get(ORIENTATION)
    orientation = 1 if tag is None else int(tag.value)
    if _needs_pillow(page):
        pixels = _tiff_by_pillow(file, page, notes)
        orientation = 1  # Pillow turns a TIFF while loading it
    else:
        pixels = _tiff_pixels(page)
    return upright(without_alpha(channels_first(pixels), notes), orientation, notes)


def _tiff_pixels(page: Any) -> np.ndarray:
    import tifffile

    pixels = page.asarray()
    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE and pixels.dtype.kind == "u":
        pixels = np.iinfo(pixels.dtype).max - pixels
    if page.bitspersample == 1:
        pixels = pixels.astype(bool)
    separate = page.planarconfig == tifffile.PLANARCONFIG.SEPARATE
    return np.moveaxis(pixels, 0, -1) if separate and pixels.ndim == 3 else pixels


def _needs_pillow(page: Any) -> bool:
    """Tell whether the colours need conversion, or tifffile its optional codecs."""
    import tifffile

    known = tifffile.PHOTOMETRIC
    if page.photometric not in (known.MINISWHITE, known.MINISBLACK, known.RGB):
        return True
    if page.compression == tifffile.COMPRESSION.NONE:
        return False
    try:
        tifffile.TIFF.DECOMPRESSORS[page.compression]
    except KeyError:
        return True
    return page.predictor != 1


def _tiff_by_pillow(file: Path, page: Any, notes: list[str]) -> np.ndarray:
    from PIL import Image

    if page.bitspersample > 8 and page.samplesperpixel > 1:
        raise UserError(
            f"{file}: {page.compression.name} compression of {page.bitspersample}-bit colour "
            "cannot be read here; save the TIFF uncompressed"
        )
    with Image.open(file, formats=("TIFF",)) as image:
        image.seek(page.index)
        return as_array(image, notes)


def tiff_companion(path: Path) -> Companion:
    """Write a result as TIFF of the type of the first page; of more than 16 bits as floats."""
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        dtype = np.dtype(tiff.pages[0].dtype or "uint8")
    name = "uint8" if dtype.kind == "b" else dtype.name
    name = name if dtype.kind == "b" or _is_short(dtype) else "float32"
    return Companion(partial(encode_tiff, dtype=name))


def _is_short(dtype: np.dtype) -> bool:
    return dtype.kind in "iu" and dtype.itemsize <= 2


def encode_tiff(array: np.ndarray, axes: str, dtype: str) -> dict[str, bytes]:
    """Encode an image as TIFF: integers of its type from [0, 1], clipped, or floats as they are.

    Args:
        array: real, with the axes that are named.
        axes: `YX`, `CYX` (three channels are colours, others pages) or `ZYX` (pages).
        dtype: the type of the values.
    """
    import tifffile

    if np.iscomplexobj(array) or len(axes) > 3:
        return {}
    colour = axes == "CYX" and len(array) == 3
    values = typed(np.moveaxis(array, 0, -1) if colour else array, dtype)
    stream = io.BytesIO()
    kind = "rgb" if colour else "minisblack"
    tifffile.imwrite(
        stream, np.ascontiguousarray(values), photometric=kind, metadata=None, software=False
    )
    return {".tif": stream.getvalue()}


def typed(array: np.ndarray, name: str) -> np.ndarray:
    """Scale values of [0, 1] to a type, whose largest value is 1; keep floats unchanged."""
    dtype = np.dtype(name)
    if dtype.kind == "f":
        return array.astype(dtype)
    return np.round(np.nan_to_num(array).clip(0.0, 1.0) * float(np.iinfo(dtype).max)).astype(dtype)


TIFF = PictureFormat(
    "TIFF",
    (".tif", ".tiff"),
    "8 or 16 bits or floats, grey or colour; pages are slices",
    read_tiff,
    slices=True,
    companion=tiff_companion,
)
