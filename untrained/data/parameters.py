"""Files given as options: masks, blur kernels and coil maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from untrained.data.arrays import read_one, require_finite
from untrained.data.formats import is_numeric, is_picture, numeric_suffixes
from untrained.data.formats.pillow import ALPHA
from untrained.data.images import read_picture
from untrained.doubts.photographs import PHOTOGRAPH, share_between
from untrained.errors import UserError, shown


def read_mask(path: str | Path, volume: bool = False) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read a mask file, 1 or white where measured, and notes.

    Args:
        path: array `(H,W)`, `(W,)` or `(C,H,W)` of 0 and 1, or a picture, cut at half white.
        volume: grey pages of a TIFF are the mask's slices.

    Raises:
        UserError: unreadable or not finite.
    """
    if is_numeric(path):
        return _array(path, "--mask", "mask"), ()
    picture = read_picture(path, "--mask", pages=volume)
    planes = picture.pixels
    grey = planes if volume and len(planes) > 1 else planes.mean(0)
    middle = share_between(grey)
    if middle > PHOTOGRAPH:
        raise UserError(
            f"--mask: {path} looks like a photograph and not like a mask: {middle:.0%} of its "
            "pixels are neither dark nor bright; give a picture that is white where pixels are "
            "measured and black elsewhere"
        )
    if ALPHA in picture.notes and grey.min() == grey.max():
        raise UserError(
            f"--mask: {path} has one colour everywhere and a transparency, which does not count: "
            "is the mask in the alpha channel? Save it as a grey picture, white where measured"
        )
    if 0 < grey.max() < 0.5:
        raise UserError(
            f"--mask: the brightest pixel of {path} has {grey.max():.1%} of the full range, so "
            "that nothing is white; save 255 (or 65535) where pixels are measured, or an array"
        )
    between = int(((grey > 0) & (grey < 1)).sum())
    notes = picture.notes
    if between:
        notes += (f"{between} pixels of the mask are neither black nor white: cut at half white",)
    return grey >= 0.5, notes


def read_kernel(path: str | Path) -> np.ndarray:
    """Read a blur kernel `(h, w)`, float64, from an array file or a grey picture.

    Raises:
        UserError: unreadable, complex, or not 2-D.
    """
    values = _array(path, "--kernel", "kernel") if is_numeric(path) else _grey(path, "--kernel")
    if values.ndim != 2 or values.dtype.kind not in "biuf":
        raise UserError(
            f"--kernel: {path} must be a real 2-D array (h, w) or a grey picture, "
            f"found {values.dtype} of shape {values.shape}"
        )
    return values.astype(np.float64)


ESTIMATE = "estimate"
"""What `--kernel` is where the kernel is unknown, with `:SIZE` behind it or without."""


def kernel_size(option: str | Path | None) -> int | None:
    """Return the size asked for in `estimate[:SIZE]`, 0 without one; None for anything else.

    Raises:
        UserError: a size that is no whole number of at least 3.
    """
    name, colon, size = str(option or "").partition(":")
    if name != ESTIMATE:
        return None
    if not colon:
        return 0
    if not size.isdecimal() or int(size) < 3:
        raise UserError(
            f"--kernel: estimate:SIZE takes the side of a square in pixels, at least 3, got "
            f"{shown(size)}; for example --kernel estimate:15"
        )
    return int(size)


def read_maps(path: str | Path) -> np.ndarray:
    """Read coil maps, complex `(coils, H, W)`, from an array file.

    Raises:
        UserError: unreadable, real, or not finite.
    """
    if not is_numeric(path):
        raise UserError(
            f"--maps: '{path}' must be auto, espirit, lowres, joint or a file "
            f"({', '.join(numeric_suffixes())}) of complex maps (coils, H, W)"
        )
    maps = require_finite(read_one(path, "--maps", ("maps",)), f"--maps: {path}")
    if maps.dtype.kind != "c":
        raise UserError(f"--maps: {path} must be complex (coils, H, W), found {maps.dtype}")
    return maps.astype(np.complex64)


def note_replaced(option: str, given: Any, key: str, stored: Any) -> tuple[str, ...]:
    """Say that an option took the place of what the file holds; nothing where both agree.

    Args:
        option: its name.
        given, stored: numbers or arrays; None where there is none.
        key: what it is called in the file.
    """
    if given is None or stored is None or _agree(np.asarray(given), np.asarray(stored)):
        return ()
    value = f", {shown(np.asarray(stored).item())}" if np.asarray(stored).size == 1 else ""
    return (f"{option} took the place of the file's own '{key}'{value}, and the two differ",)


def advise_without(option: str, given: Any, key: str, stored: Any) -> str:
    """Say what to do where an option makes the image unlike the reference; "" without an option.

    Arguments as of `note_replaced`.
    """
    if given is None:
        return ""
    if given is True:
        return f", as {option} says: leave {option} out"
    own = f"; the file's own '{key}' is {shown(stored)}: leave {option} out"
    return f", as {option} {given} says{'; is that right?' if stored is None else own}"


def note_replaced_kernel(given: np.ndarray, stored: np.ndarray | None) -> tuple[str, ...]:
    """Compare as `note_replaced`; kernels are the same where only their sums differ."""
    if stored is None or stored.dtype.kind not in "biuf" or not stored.sum():
        return note_replaced("--kernel", given, "kernel", stored)
    return note_replaced("--kernel", given, "kernel", stored * (given.sum() / stored.sum()))


def kernel_label(option: str | Path | None) -> str:
    """Name a kernel for a message."""
    return "the kernel" if option is None else f"--kernel: {option}"


def _agree(a: np.ndarray, b: np.ndarray) -> bool:
    try:
        return bool(np.all(a == b) if a.dtype.kind in "USb" else np.allclose(a, b, rtol=1e-4))
    except (ValueError, TypeError):  # of other shapes, or no numbers
        return False


def check_seed(seed: int) -> int:
    """Return the seed, if every random generator used here takes it; else raise UserError."""
    if not 0 <= seed < 2**63:
        raise UserError(f"--seed must be a whole number >= 0 below 2^63, got {seed}")
    return seed


def _array(path: str | Path, option: str, key: str) -> np.ndarray:
    values = require_finite(read_one(path, option, (key,)), f"{option}: {path}")
    return values[0] if values.ndim == 3 and len(values) == 1 else values


def _grey(path: str | Path, option: str) -> np.ndarray:
    if not is_picture(path):
        raise UserError(f"{option}: {path} must be an array (.npy, .npz) or a grey picture")
    pixels = read_picture(path, option).pixels
    if not (pixels == pixels[:1]).all():
        raise UserError(f"{option}: {path} is a coloured picture; a grey one is expected")
    return pixels[0]
