"""Pictures as arrays and tensors.

Integers are divided by the largest value of their type, floats are taken as they are. Whatever
is changed on the way (orientation, alpha, palette) is said in a note.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from untrained.checks import beyond_photograph, require_tame
from untrained.data.arrays import require_finite, single_precision
from untrained.data.formats import read_pixels
from untrained.data.formats.base import SAME, Units
from untrained.errors import UserError

MOST_COLOURS = 4
DIM = 0.1


MISSING = "run `untrained reconstruct inpaint` on this file, which takes them for missing"
"""What can be done about values of a photograph that are none."""


@dataclass(frozen=True)
class Picture:
    """An image file's contents.

    Attributes:
        pixels: `(C, H, W)`, float32 (integers already divided by their type's maximum), or
            complex64 for a complex NPY.
        integer: the file stored integers, so that the full range is [0, 1].
        notes: what was changed while reading.
    """

    pixels: np.ndarray
    integer: bool
    notes: tuple[str, ...]


def read_image(
    path: str | Path, what: str = "input", pages: bool = False
) -> tuple[Tensor, tuple[str, ...]]:
    """Read a real image as a float32 tensor `(1, C, H, W)`, and notes on what was changed.

    With `pages` a TIFF's pages, all grey, are the channels.

    Raises:
        UserError: missing, empty, damaged or oversized file, several pages, an unknown suffix or
            one that does not fit the contents, complex values, NaN, or not `(H,W)` / `(C,H,W)`.
    """
    picture = read_picture(path, what, pages)
    if np.iscomplexobj(picture.pixels):
        raise UserError(
            f"{what}: {path} is complex; this task takes real images (complex ones belong to mri)"
        )
    return torch.from_numpy(picture.pixels).unsqueeze(0), picture.notes


def read_picture(path: str | Path, what: str = "input", pages: bool = False) -> Picture:
    """Read an image file as an array `(C, H, W)`, real or complex. As `read_image`."""
    array, notes = read_pixels(path, what, pages)
    return picture_from_array(array, f"{what}: {path}", notes)


def picture_from_array(
    array: np.ndarray, label: str, notes: tuple[str, ...] = (), offer: str | None = None
) -> Picture:
    """Make a Picture of an array `(H,W)` or `(C,H,W)`, its numbers scaled as those of a file.

    `offer` is what can be done about values that are NaN, see `require_finite`.
    """
    finite = require_finite(array, label) if offer is None else require_finite(array, label, offer)
    array = _channels_first(finite, label)
    kind = array.dtype.kind
    if kind in "iu":
        largest = float(np.iinfo(array.dtype).max)
        share = float(np.abs(array.astype(float)).max()) / largest
        if array.dtype.itemsize > 2:
            if share < DIM:
                raise UserError(
                    f"{label} holds {array.dtype} values up to {share * largest:.0f}, whose white "
                    "level is not known; divide by it and save floats, or save uint8 or uint16"
                )
            notes = (*notes, f"{array.dtype} pixels were divided by {largest:.0f}")
        elif 0 < share < DIM:
            notes = (
                *notes,
                f"the largest value is {share:.1%} of what {array.dtype} holds, and the picture is "
                "dark; if its white level is lower (4095 of 12 bits), divide by it and save floats",
            )
        return Picture((array / largest).astype(np.float32), True, notes)
    return Picture(single_precision(array, label), kind == "b", notes)


def to_unit_range(array: np.ndarray) -> tuple[np.ndarray, Units]:
    """Bring values in units of their own to [0, 1]: 0, or the least below it, and the largest."""
    finite = array[np.isfinite(array)]
    if not finite.size:
        return array, SAME
    low, high = min(0.0, float(finite.min())), float(finite.max())
    units = Units(low, (high - low) or 1.0)
    return in_units(array, units), units


def in_units(array: np.ndarray, units: Units) -> np.ndarray:
    """Convert values of a file to the units that pictures are worked on in."""
    scaled: np.ndarray = ((array - units.offset) / units.factor).astype(np.float32)
    return scaled


def check_photograph(pixels: np.ndarray, path: str | Path) -> None:
    """Raise a UserError for floats that are plainly not on the [0, 1] scale of photographs."""
    sizes = np.abs(pixels)
    if beyond_photograph(sizes):
        raise UserError(
            f"{path} holds floats up to {sizes.max():.4g}; pictures are taken to lie in [0, 1]: "
            "divide by the white level (255 for 8-bit data), or save integers"
        )
    require_tame(pixels[0], str(path), f"clip them, or {MISSING}")


def _channels_first(array: np.ndarray, label: str) -> np.ndarray:
    if array.ndim == 2:
        return array[None]
    if array.ndim != 3:
        raise UserError(
            f"{label} has shape {array.shape}; an image is (H,W) or (C,H,W), without a batch axis"
        )
    if array.shape[-1] <= MOST_COLOURS < min(array.shape[:2]):
        raise UserError(
            f"{label} has shape {array.shape}, which looks like (H,W,C); channels come first: "
            "save np.moveaxis(a, -1, 0)"
        )
    return array
