"""Simulate undersampled k-space from fully sampled k-space or from an image and simulated coils."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch

from untrained.data.arrays import read_optional, require_finite
from untrained.data.formats import (
    ArrayFile,
    has_named_arrays,
    is_picture,
    named_array_suffixes,
    open_arrays,
    picture_suffixes,
)
from untrained.data.formats.npz import write_npz
from untrained.data.images import read_picture
from untrained.data.parameters import check_seed, read_mask
from untrained.data.phantoms import birdcage_maps
from untrained.data.slices import choose_slices
from untrained.data.tasks.mri import has_slices, read_kspace
from untrained.data.tasks.mri_trajectory import Trajectory, read_trajectory
from untrained.data.tasks.photo import noise_level
from untrained.errors import UserError
from untrained.files import require_no_folder
from untrained.machine import check_size
from untrained.maths import fft2c, ifft2c
from untrained.physics.masks import as_mask, centre_crop, plane_mask, random_mask_columns, vdrs_mask
from untrained.physics.nufft import nufft

MASKS = {"random": random_mask_columns, "vdrs": vdrs_mask}
DEFAULT_COILS, DEFAULT_ACCELERATION, DEFAULT_CENTRE = 8, 4.0, 0.08
CALIBRATION = 24
# A disc inscribed in its bounding box fills 78 % of it: elliptical sampling is still full.
FULLY_SAMPLED_SHARE = 0.7


def simulate_mri(
    clean: str | Path,
    out: str | Path,
    *,
    seed: int = 0,
    acceleration: float | None = None,
    center_fraction: float | None = None,
    mask_kind: str | None = None,
    mask: str | Path | None = None,
    sigma: float = 0.0,
    slice: int | None = None,
    coils: int | None = None,
    trajectory: str | Path | None = None,
) -> tuple[str, ...]:
    """Keep a random set of columns of k-space, or what a mask keeps, and add noise there.

    With a trajectory the samples lie there instead: `kspace` (coils, shots, samples), `traj` and
    `image_shape` are written, and no `mask`.

    Writes an .npz with `kspace mask reference`. `reference` is sum_c conj(S_c) x_c of the full
    data, S the coil images of the central 24x24 of k-space (Hann window) divided by their root
    sum of squares. S itself is not written: reconstruction has to estimate maps from what was kept.

    Args:
        clean: .h5 or .npz with fully sampled `kspace`; or a complex image: .npy, or .npz with
            `image`, `(H,W)` or `(slices,H,W)`.
        out: .npz to write.
        seed: of the columns and the noise.
        acceleration: image columns per column kept; 4 if None.
        center_fraction: share of the columns around the centre that is always kept; 0.08 if None.
        mask_kind: `random` (fastMRI, if None) or `vdrs` (variable density).
        mask: file of a mask in place of these three, 1 = kept.
        sigma: standard deviation of white noise in the real and in the imaginary part of every
            coil, 255 being the largest magnitude of the reference, which stays without it.
        slice: number of the slice from 0, of a file of several; None is the middle one.
        coils: number of simulated coils, for an image only; 8 if None.
        trajectory: file of points of k-space in place of columns, see `read_trajectory`.

    Returns:
        Notes on what was decided.

    Raises:
        UserError: unreadable or undersampled input, and options that do not fit it or each other.
    """
    _check_drawn(mask, acceleration, center_fraction, mask_kind, trajectory)
    level = noise_level(sigma)
    kspace, notes = _full_kspace(clean, coils, slice)
    reference = combine_coils(kspace)
    facts: dict[str, np.ndarray] = {}
    if trajectory is not None:
        known = read_trajectory(None, trajectory)
        kspace, facts = _along(kspace, known)
        notes, kept = (*notes, *known.notes), None
    elif mask is None:
        rate = DEFAULT_ACCELERATION if acceleration is None else acceleration
        centre = DEFAULT_CENTRE if center_fraction is None else center_fraction
        choose = MASKS[mask_kind or "random"]
        kept = choose(kspace.shape[-1], rate, centre, check_seed(seed)).numpy()
        facts = {"acceleration": np.asarray(rate), "center_fraction": np.asarray(centre)}
    else:
        kept, more = _given_mask(mask, (kspace.shape[-2], kspace.shape[-1]))
        notes += more
    if level > 0:
        strength = level * float(np.abs(reference).max())
        kspace = _with_noise(kspace, strength, check_seed(seed))
        facts["sigma"] = np.asarray(strength)
    arrays = {"kspace": kspace, "reference": reference}
    if kept is not None:
        arrays = {**arrays, "kspace": kspace * kept, "mask": kept.astype(np.uint8)}
    write_npz(out, {**arrays, **facts, "seed": np.asarray(seed)})
    return notes


def _check_drawn(
    mask: str | Path | None,
    acceleration: float | None,
    center_fraction: float | None,
    mask_kind: str | None,
    trajectory: str | Path | None,
) -> None:
    """Raise a UserError for what a random mask cannot have, or for a file of a mask beside it.

    A trajectory stands in for a mask.
    """
    numbers = {"acceleration": acceleration, "center-fraction": center_fraction}
    beside = [
        name for name, value in {**numbers, "mask-kind": mask_kind}.items() if value is not None
    ]
    files = {"mask": mask, "trajectory": trajectory}
    beside = [name for name, value in files.items() if value is not None] + beside
    if beside and beside[0] in files:
        first = f"--{beside[0]} {files[beside[0]]}"
        if len(beside) > 1:
            raise UserError(
                f"{first} says which samples are kept, and so does --{beside[1]}: leave out one of "
                "the two"
            )
        return
    if mask_kind is not None and mask_kind not in MASKS:
        raise UserError(f"--mask-kind must be one of {', '.join(MASKS)}, got '{mask_kind}'")
    for name, value in numbers.items():
        if value is not None and not math.isfinite(value):
            raise UserError(f"--{name} must be a finite number, got {value}")


def _given_mask(path: str | Path, size: tuple[int, int]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read a mask, bool `(H, W)`, or `(W,)` where it keeps whole columns, and notes."""
    name = f"--mask: {path}"
    values, notes = read_mask(path)
    plane, read = plane_mask(as_mask(require_finite(values, name), name), size, name)
    mask = plane.numpy().copy()
    notes = (*notes, read) if read else notes
    return (mask[0] if (mask == mask[:1]).all() else mask), notes


def _along(kspace: np.ndarray, known: Trajectory) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Measure coil images at the points of a trajectory: the samples, and what a file adds."""
    points = known.points.float()
    found = nufft(ifft2c(torch.from_numpy(kspace)), points.flatten(0, 1))
    samples = found.unflatten(-1, points.shape[:2]).numpy().astype(np.complex64)
    return samples, {"traj": points.numpy(), "image_shape": np.asarray(kspace.shape[-2:])}


def _with_noise(kspace: np.ndarray, strength: float, seed: int) -> np.ndarray:
    """Add white complex noise to k-space, of standard deviation `strength` in each part."""
    draw = np.random.default_rng((seed, 1))  # not the stream that drew the mask
    parts = strength * draw.standard_normal((2, *kspace.shape))
    return (kspace + parts[0] + 1j * parts[1]).astype(np.complex64)


def combine_coils(kspace: np.ndarray) -> np.ndarray:
    """Combine coils of full k-space `(coils, H, W)`: sum_c conj(S_c) x_c, complex64 `(H,W)`.

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


def _full_kspace(
    clean: str | Path, coils: int | None, slice: int | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read or simulate fully sampled k-space, complex64 `(coils, H, W)`, and notes."""
    if not has_named_arrays(clean):
        if not is_picture(clean):
            require_no_folder(clean, "clean data")
            raise UserError(
                f"clean data: {clean} must be {', '.join(named_array_suffixes())} with 'kspace' or "
                f"'image', or an image ({', '.join(picture_suffixes())})"
            )
        picture = read_picture(clean, "clean image")
        pixels, notes = _one_slice(picture.pixels, slice, clean)
        return _through_coils(pixels, coils, str(clean), (*picture.notes, *notes))
    with open_arrays(clean, "clean data") as file:
        if "kspace" in file.keys:
            return _measured(file, coils, slice)
        if "image" in file.keys:
            label = f"'image' in {clean}"
            image = require_finite(file.read("image"), label)
            image, notes = _one_slice(image[None] if image.ndim == 2 else image, slice, clean)
            return _through_coils(image, coils, label, notes)
        found = ", ".join(file.keys)
        raise UserError(f"{clean} must hold 'kspace' or 'image'; it holds {found or 'no arrays'}")


def _one_slice(
    images: np.ndarray, wanted: int | None, path: str | Path
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Take the slice `(1, H, W)` asked for of images `(slices, H, W)`; all if none is."""
    if wanted is None or images.ndim != 3:
        return images, ()
    (index,), notes = choose_slices(wanted, len(images), path, volume=False)
    return images[index][None], notes


def _measured(
    file: ArrayFile, coils: int | None, slice: int | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    count = file.shape("kspace")[0] if has_slices(file) else None
    (index,), notes = choose_slices(slice, count, file.path, volume=False)
    kspace = read_kspace(file, index)
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
    return kspace, notes


def _is_full(kspace: np.ndarray) -> bool:
    """Tell whether no line is missing between the outermost ones, zero padding aside."""
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
