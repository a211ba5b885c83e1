"""Decoding of picture files to arrays `(C, H, W)` in the file's own integer or float type."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from untrained.data.memory import FLOAT_BYTES, check_size, float_bytes
from untrained.errors import UserError, one_paragraph

ORIENTATION = 274  # the EXIF and TIFF tag
ALPHA = "alpha channel dropped"


def decode_pillow(file: Path, what: str, formats: tuple[str, ...]) -> tuple[np.ndarray, list[str]]:
    """A PNG or JPEG as `(C, H, W)` with C = 1 or 3, and notes.

    Raises:
        UserError: not one of `formats`, damaged, or more pixels than Pillow deems safe.
    """
    from PIL import Image

    notes: list[str] = []
    with _readable(file, what), Image.open(file, formats=formats) as image:
        size = FLOAT_BYTES * image.width * image.height * len(image.getbands())
        check_size(size, file.stat().st_size, f"{what}: {file}")
        pixels = _deep_colour(file, formats) if _is_deep_colour(image) else _plain(image, notes)
        orientation = int(image.getexif().get(ORIENTATION, 1))
    return _oriented(_drop_alpha(_planes(pixels), notes), orientation, notes), notes


def decode_tiff(file: Path, what: str, pages: bool = False) -> tuple[np.ndarray, list[str]]:
    """A TIFF as `(C, H, W)`, 8/16-bit integers or floats, and notes.

    With `pages` every page is a plane, grey and alike.

    Raises:
        UserError: several pages (with `pages`: in colour, or of several sizes or types), damaged,
            too large, a volume in one page, or a compression that cannot be decoded.
    """
    import tifffile

    notes: list[str] = []
    with _readable(file, what), _heard(notes), tifffile.TiffFile(file) as tiff:
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
def _heard(notes: list[str]) -> Iterator[None]:
    """Make one note of whatever tifffile would print on the terminal about damaged tags."""
    logger, said = logging.getLogger("tifffile"), _Said()
    before = logger.propagate
    logger.addHandler(said)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(said)
        logger.propagate = before
    if said.texts:
        notes.append(f"parts of the TIFF are damaged or odd: {one_paragraph(said.texts[0])[:200]}")


class _Said(logging.Handler):
    """Keeps the texts of warnings and errors."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one."""
        self.texts.append(record.getMessage())


def _floats(page: Any) -> int:
    """Bytes of a page in single precision, or as it is stored."""
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
    return _oriented(_drop_alpha(_planes(pixels), notes), orientation, notes)


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
    """Whether the colours need conversion, or tifffile its optional codecs."""
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
        return _plain(image, notes)


def _is_deep_colour(image: Any) -> bool:
    """A PNG of 16 bits a colour, which Pillow opens but cuts to 8 bits."""
    return image.mode in ("RGB", "RGBA") and _rawmode(image) == f"{image.mode};16B"


def _rawmode(image: Any) -> str:
    return str(image.tile[0].args) if image.tile else ""


def _deep_colour(file: Path, formats: tuple[str, ...]) -> np.ndarray:
    """All 16 bits of a colour PNG.

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


def _plain(image: Any, notes: list[str]) -> np.ndarray:
    """A Pillow image as an array, odd colour modes converted with a note."""
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


def _planes(pixels: np.ndarray) -> np.ndarray:
    """(H,W) or (H,W,C) -> (C,H,W)."""
    return pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)


def _drop_alpha(planes: np.ndarray, notes: list[str]) -> np.ndarray:
    if len(planes) not in (2, 4):
        return planes
    notes.append(ALPHA)
    return planes[:-1]


def _oriented(planes: np.ndarray, tag: int, notes: list[str]) -> np.ndarray:
    """Turn and flip as the EXIF orientation 2..8 asks."""
    turns = {3: 2, 4: 2, 5: 3, 6: 3, 7: 1, 8: 1}.get(tag, 0)
    if not 2 <= tag <= 8:
        return planes
    notes.append(f"turned upright as its orientation tag ({tag}) says")
    turned = np.rot90(planes, turns, axes=(1, 2))
    return np.ascontiguousarray(turned[:, :, ::-1] if tag in (2, 4, 5, 7) else turned)


@contextmanager
def _readable(file: Path, what: str) -> Iterator[None]:
    """Turn every way in which a decoder fails on a damaged file into one readable error."""
    from PIL import Image, UnidentifiedImageError

    bombs = (Image.DecompressionBombError, Image.DecompressionBombWarning)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    except UserError:
        raise
    except bombs as error:
        raise UserError(
            f"{what}: {file} has more pixels than are safe to decode ({error}); crop it, or "
            "convert it to .npy if it is genuine"
        ) from error
    except UnidentifiedImageError as error:
        raise UserError(
            f"{what}: {file} does not hold what its suffix '{file.suffix}' says, or is damaged; "
            "check the file and its name"
        ) from error
    except Exception as error:
        # decoders raise OSError, SyntaxError, ValueError, struct.error, ... on damaged bytes
        reason = "it does not fit into memory" if isinstance(error, MemoryError) else error
        raise UserError(f"{what}: {file} is damaged or truncated: {reason}") from error
