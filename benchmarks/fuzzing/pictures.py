"""Readers of pictures: PNG, JPEG, TIFF and NumPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from fuzzing.mutators import as_bytes, as_npy, as_tiff
from fuzzing.subjects import Subject, read
from fuzzing.valid_files import npy, picture


def _colour(path: Path) -> None:
    Image.fromarray((255 * picture(channels=3)).astype(np.uint8)).save(path)


def _deep_png(path: Path) -> None:
    Image.fromarray((65535 * picture()).astype(np.uint16)).save(path)


def _palette(path: Path) -> None:
    Image.fromarray((255 * picture(channels=3)).astype(np.uint8)).quantize(16).save(path)


def _tiff(path: Path) -> None:
    tifffile.imwrite(path, picture())


def _packed_tiff(path: Path) -> None:
    tifffile.imwrite(
        path, (255 * picture(32, 3)).astype(np.uint8), compression="zlib", tile=(16, 16)
    )


def _stack(path: Path) -> None:
    tifffile.imwrite(path, np.stack([picture(16)] * 4), photometric="minisblack")


PICTURES: tuple[Subject, ...] = (
    Subject("png", "in.png", read("denoise", "--sigma", "10"), _colour, as_bytes),
    Subject("png, 16 bits", "in.png", read("denoise", "--sigma", "10"), _deep_png, as_bytes),
    Subject("png, palette", "in.png", read("superres", "--factor", "2"), _palette, as_bytes),
    Subject("jpeg", "in.jpg", read("superres", "--factor", "2"), _colour, as_bytes),
    Subject("tiff", "in.tif", read("denoise", "--sigma", "auto"), _tiff, as_tiff),
    Subject("tiff, deflated tiles", "in.tif", read("denoise"), _packed_tiff, as_tiff),
    Subject("tiff, pages", "in.tif", read("denoise", "--volume"), _stack, as_tiff),
    Subject("npy", "in.npy", read("denoise"), npy, as_npy),
)  # fmt: skip
