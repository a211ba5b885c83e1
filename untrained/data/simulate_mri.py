"""Undersampled k-space from fully sampled k-space or from an image and simulated coils."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch

from untrained.data.arrays import (
    ARRAY_SUFFIXES,
    ArrayFile,
    open_arrays,
    read_optional,
    require_finite,
    write_npz,
)
from untrained.data.images import IMAGE_SUFFIXES, is_image, read_picture
from untrained.data.memory import check_size
from untrained.data.mri import has_slices, read_kspace
from untrained.data.parameters import check_seed
from untrained.data.phantoms import birdcage_maps
from untrained.errors import UserError
from untrained.maths import fft2c, ifft2c
from untrained.physics.masks import centre_crop, random_mask_columns, vdrs_mask

MASKS = {"random": random_mask_columns, "vdrs": vdrs_mask}
DEFAULT_COILS = 8
CALIBRATION = 24
# A disc inscribed in its bounding box fills 78 % of it: elliptical sampling is still full.
FULLY_SAMPLED_SHARE = 0.7


def simulate_mri(
    clean: str | Path,
    out: str | Path,
    *,
    seed: int = 0,
    acceleration: float = 4.0,
    center_fraction: float = 0.08,
    mask_kind: str = "random",
    coils: int | None = None,
) -> tuple[str, ...]:
    """Keep a random set of columns of k-space. Writes an .npz with `kspace mask reference`.

    `reference` is sum_c conj(S_c) x_c of the full data, S the coil images of the central 24x24
    of k-space (Hann window) divided by their root sum of squares. S itself is not written:
    reconstruction has to estimate maps from what was kept.

    Args:
        clean: .h5 or .npz with fully sampled `kspace`; or a complex image: .npy, or .npz with
            `image`, `(H,W)`.
        out: .npz to write.
        seed: of the columns.
        acceleration: image columns per column kept.
        center_fraction: share of the columns around the centre that is always kept.
        mask_kind: `random` (fastMRI) or `vdrs` (variable density).
        coils: number of simulated coils, for an image only; 8 if None.

    Returns:
        Notes on what was decided.

    Raises:
        UserError: unreadable or undersampled input, `coils` for measured k-space, an unknown
            mask kind, an acceleration that the centre alone exceeds.
    """
    if mask_kind not in MASKS:
        raise UserError(f"--mask-kind must be one of {', '.join(MASKS)}, got '{mask_kind}'")
    for name, value in (("acceleration", acceleration), ("center-fraction", center_fraction)):
        if not math.isfinite(value):
            raise UserError(f"--{name} must be a finite number, got {value}")
    kspace, notes = _full_kspace(clean, coils)
    choose = MASKS[mask_kind]
    columns = choose(kspace.shape[-1], acceleration, center_fraction, check_seed(seed)).numpy()
    arrays = {
        "kspace": kspace * columns,
        "mask": columns.astype(np.uint8),
        "reference": combine(kspace),
        "acceleration": np.asarray(acceleration),
        "center_fraction": np.asarray(center_fraction),
        "seed": np.asarray(seed),
    }
    write_npz(out, arrays)
    return notes


def combine(kspace: np.ndarray) -> np.ndarray:
    """sum_c conj(S_c) x_c, complex64 `(H,W)`, of fully sampled k-space `(coils, H, W)`.

    S_c is the image of the central 24x24 of coil c under a Hann window, divided by the root sum
    of squares over coils, so that sum_c |S_c|^2 = 1.
    """
    full = torch.from_numpy(kspace)
    size = (kspace.shape[-2], kspace.shape[-1])
    block = (min(size[0], CALIBRATION), min(size[1], CALIBRATION))
    rows, columns = centre_crop(size, block)
    window = torch.from_numpy(np.outer(np.hanning(block[0]), np.hanning(block[1])))
    centre = torch.zeros_like(full)
    centre[:, rows, columns] = full[:, rows, columns] * window
    low = ifft2c(centre)
    strength = low.abs().square().sum(0).sqrt().clamp_min(torch.finfo(torch.float32).tiny)
    return ((low / strength).conj() * ifft2c(full)).sum(0).numpy()


def _full_kspace(clean: str | Path, coils: int | None) -> tuple[np.ndarray, tuple[str, ...]]:
    """Fully sampled k-space, complex64 `(coils, H, W)`, and notes."""
    suffix = Path(clean).suffix.lower()
    if suffix not in ARRAY_SUFFIXES:
        if not is_image(clean):
            raise UserError(
                f"clean data: {clean} must be {', '.join(ARRAY_SUFFIXES)} with 'kspace' or "
                f"'image', or an image ({', '.join(IMAGE_SUFFIXES)})"
            )
        picture = read_picture(clean, "clean image")
        return _through_coils(picture.pixels, coils, str(clean), picture.notes)
    with open_arrays(clean, "clean data") as file:
        if "kspace" in file.keys:
            return _measured(file, coils)
        if "image" in file.keys:
            label = f"'image' in {clean}"
            image = require_finite(file.read("image"), label)
            return _through_coils(image[None] if image.ndim == 2 else image, coils, label, ())
        found = ", ".join(file.keys)
        raise UserError(f"{clean} must hold 'kspace' or 'image'; it holds {found or 'no arrays'}")


def _measured(file: ArrayFile, coils: int | None) -> tuple[np.ndarray, tuple[str, ...]]:
    count = file.shape("kspace")[0] if has_slices(file) else None
    kspace = read_kspace(file, None if count is None else count // 2)
    if coils is not None:
        raise UserError(
            f"--coils is for images; {file.path} already holds k-space of {len(kspace)} coils"
        )
    mask = read_optional(file, "mask")
    if (mask is not None and not np.all(mask)) or not _is_full(kspace):
        raise UserError(
            f"{file.path} is already undersampled; simulate needs fully sampled k-space "
            "(to reconstruct this file as it is, use `untrained reconstruct mri`)"
        )
    if count is None or count == 1:
        return kspace, ()
    return kspace, (f"slice {count // 2}, the middle one of {count}",)


def _is_full(kspace: np.ndarray) -> bool:
    """Whether no line is missing between the outermost ones, zero padding aside."""
    pattern = np.any(kspace != 0, axis=0)
    rows, columns = (np.flatnonzero(pattern.any(axis)) for axis in (1, 0))
    inside = pattern[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    lines = inside.any(0).all() and inside.any(1).all()
    return bool(lines) and float(inside.mean()) >= FULLY_SAMPLED_SHARE


def _through_coils(
    image: np.ndarray, coils: int | None, label: str, notes: tuple[str, ...]
) -> tuple[np.ndarray, tuple[str, ...]]:
    if image.ndim != 3 or len(image) != 1:
        raise UserError(f"{label} has shape {image.shape}; an MRI image is one plane (H,W)")
    count = DEFAULT_COILS if coils is None else coils
    if count < 1:
        raise UserError(f"--coils must be at least 1, got {coils}")
    size = 8 * count * image.size
    check_size(size, size, f"k-space of {count} coils (--coils)")
    if not np.iscomplexobj(image):
        notes += ("the image is real: its phase is taken as zero",)
    notes += (f"k-space simulated with {count} smooth birdcage-like coil maps, without noise",)
    maps = birdcage_maps(count, (image.shape[1], image.shape[2]))
    return fft2c(torch.from_numpy((maps * image).astype(np.complex64))).numpy(), notes
