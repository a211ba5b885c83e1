"""Multi-coil and single-coil Cartesian MRI from fastMRI-style .h5 files and .npz files.

`.h5`: `kspace` complex (slices, coils, H, W), or (slices, H, W) for one coil. `.npz`: `kspace`
complex (coils, H, W) or (H, W). Both may hold `mask` (H, W) or (W,) for columns, `maps`
(coils, H, W) and `reference` (H, W); in a file of several slices `maps` and `reference` may have
a leading slice axis. Without a `reference`, fastMRI's `reconstruction_rss` or
`reconstruction_esc` is one: magnitudes of the fully sampled scan, cropped to its middle.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from untrained.data.arrays import read_optional, require_finite, single_precision
from untrained.data.formats import ArrayFile, unnamed_array_suffixes
from untrained.data.formats.base import list_names
from untrained.data.formats.hdf5 import HDF5
from untrained.data.measurement import Measurement
from untrained.data.named import REVERSED, open_measurement
from untrained.data.parameters import note_replaced, read_maps, read_mask
from untrained.data.slices import choose_slices, join_slices, read_slice
from untrained.doubts.mri import coil_noise, layout_doubts, line_doubts, noise_note
from untrained.errors import UserError
from untrained.maths import to_channels
from untrained.metrics import usual_range
from untrained.physics.coilmaps import estimate_maps
from untrained.physics.masks import as_mask, calibration_block, plane_mask
from untrained.physics.mri import MRI

HOW = ("auto", "espirit", "lowres")
HOW_NAMES = {"espirit": "ESPIRiT", "lowres": "low-resolution coil images"}
TRAJECTORIES = (
    *("traj", "trajectory", "trajectories", "ktraj", "k_traj", "kspace_traj", "coords", "kcoords"),
    *("dcf", "spokes", "kx", "ky", "dcomp", "density_compensation"),
)
MOST_SENSITIVE = 1e6
OVERSAMPLED = 1.5  # rows of k-space over those of fastMRI's image
FASTMRI_IMAGES = ("reconstruction_rss", "reconstruction_esc")


def load_mri(
    path: str | Path,
    *,
    mask: str | Path | None = None,
    maps: str | Path = "auto",
    slice: int | str | None = None,
    volume: bool = False,
    key: str | None = None,
) -> list[Measurement]:
    """Load one measurement per slice asked for. Nothing is undersampled that the mask keeps.

    Args:
        path: .h5 or .npz file, or k-space alone as .npy.
        mask: file of the sampling mask; None takes the file's `mask`, else the positions where
            any coil is not zero.
        maps: `auto` (the file's maps, else ESPIRiT where it can be had, else low-resolution
            maps), `espirit`, `lowres`, or a file of maps.
        slice: number of the slice from 0, `all`, or None for the middle one.
        volume: all slices as one measurement, for a network in three dimensions.
        key: name of the array that is k-space, where that is not `kspace`; `group/name` in HDF5.

    Returns:
        Measurements with y `(1, 2, coils, H, W)` in the units of the file; of a volume a single
        one, `(1, 2, slices, coils, H, W)`.

    Raises:
        UserError: unreadable file, k-space that is real, not finite or all zero, shapes that
            disagree, a slice that does not exist, or no way to estimate maps.
    """
    with open_measurement(path, "kspace", key, unnamed_array_suffixes()) as file:
        _require_cartesian(file)
        indices, notes = _slices(file, slice, volume)
        if file.reversed_axes("kspace"):
            notes += (REVERSED,)
        found = [_load_slice(file, index, mask, maps, notes) for index in indices]
    return [join_slices(found, path)] if volume else found


def _require_cartesian(file: ArrayFile) -> None:
    """Refuse a file that says where its samples lie: they lie on no grid."""
    found = [key for key in file.keys if key.lower() in TRAJECTORIES]
    if found:
        raise UserError(
            f"{file.path} holds {list_names(found)}: its k-space is not Cartesian (radial, "
            "spiral), and only samples on a grid (coils, H, W) are read; grid it first, or take "
            "the key out where the samples do lie on a grid"
        )


def read_kspace(file: ArrayFile, index: int | None) -> np.ndarray:
    """Read the k-space of one slice, complex64 `(coils, H, W)`.

    Args:
        file: an open file that holds `kspace`.
        index: slice, or None where the array has no slice axis.

    Raises:
        UserError: real, not finite, or of another number of axes.
    """
    label = file.label("kspace")
    kspace = require_finite(file.read("kspace", index), label)
    if kspace.dtype.kind != "c":
        hint = " (pairs of real and imaginary parts? save a[..., 0] + 1j * a[..., 1])"
        raise UserError(
            f"{label} must be complex, found {kspace.dtype} of shape {kspace.shape}"
            f"{hint if kspace.shape[-1] == 2 else ''}"
        )
    kspace = kspace[None] if kspace.ndim == 2 else kspace
    if not np.any(kspace):
        where = label if index is None else f"slice {index} of {label}"
        other = (
            "" if index is None else "; choose others with --slice N, or leave it out of the file"
        )
        raise UserError(f"{where} is zero everywhere: there is nothing to reconstruct from{other}")
    return single_precision(kspace, label)


def has_slices(file: ArrayFile) -> bool:
    """Tell whether the first axis of `kspace` counts slices.

    Three axes are (coils, H, W) in an .npz and, as fastMRI has it, (slices, H, W) of one coil in
    an .h5, unless that file holds coil maps of the same shape.

    Raises:
        UserError: fewer than 2 or more than 4 axes.
    """
    shape = file.shape("kspace")
    if not 2 <= len(shape) <= 4:
        raise UserError(
            f"{file.label('kspace')} has shape {shape}; expected (slices, coils, H, W), "
            "(coils, H, W) or (H, W)"
        )
    if len(shape) == 3:
        own_maps = "maps" in file.keys and file.shape("maps") == shape
        return file.path.suffix.lower() in HDF5.suffixes and not own_maps
    return len(shape) == 4


def _slices(
    file: ArrayFile, wanted: int | str | None, volume: bool
) -> tuple[list[int | None], tuple[str, ...]]:
    """List the indices to read (None: no slice axis) and notes."""
    shape = file.shape("kspace")
    stack = shape[0] if has_slices(file) else None
    indices, notes = choose_slices(wanted, stack, file.path, volume)
    if stack is not None and len(shape) == 3:
        notes += ("kspace of three axes was read as (slices, H, W) of a single coil",)
    return indices, notes


def _load_slice(
    file: ArrayFile,
    index: int | None,
    mask: str | Path | None,
    maps: str | Path,
    notes: tuple[str, ...],
) -> Measurement:
    kspace = read_kspace(file, index)
    label = file.label("kspace")
    notes += layout_doubts(kspace, label)
    sampled, mask_notes = _sampled(file, index, kspace, mask)
    kspace = kspace * sampled
    notes += line_doubts(kspace)
    noise = coil_noise(kspace)
    if noise is not None:
        notes += (noise_note(noise),)
        kspace = (kspace / noise[:, None, None]).astype(np.complex64)
    coil_maps, map_notes = _coil_maps(file, index, kspace, sampled, maps, noise)
    reference, reference_notes = _reference(file, index, kspace.shape[-2:])
    place = str(file.path) if index is None else f"{file.path}, slice {index}"
    physics = MRI(sampled, coil_maps, (2, *kspace.shape[-2:]))
    return Measurement(
        task="mri",
        y=to_channels(torch.from_numpy(kspace)[None]),
        physics=physics,
        sigma=None,
        reference=None if reference is None else to_channels(reference[None]),
        data_range=None if reference is None else usual_range(reference, unit=False) or None,
        notes=(*notes, *mask_notes, *map_notes, *reference_notes),
        axes="YX",
        source=place,
    )


def _sampled(
    file: ArrayFile, index: int | None, kspace: np.ndarray, option: str | Path | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Find the sampling mask, bool `(H, W)`: the option's, else the file's, else the pattern."""
    pattern = np.any(kspace != 0, axis=0)
    stored = _stored_mask(file, index)
    notes: tuple[str, ...] = ()
    if option is not None:
        (values, notes), name = read_mask(option), f"--mask: {option}"
        if index is not None and values.ndim == 3 and len(values) == _slice_count(file):
            values = values[index]
        notes += note_replaced("--mask", values, "mask", stored)
    elif stored is not None:
        values, name = stored, f"'mask' in {file.path}"
    else:
        share = f"{pattern.mean():.1%} of the positions"
        return pattern, (f"no mask was given: the non-zero pattern of k-space, {share}, is used",)
    measured = as_mask(require_finite(values, name), name)
    size = (kspace.shape[-2], kspace.shape[-1])
    plane, read = plane_mask(measured, size, name, torch.from_numpy(pattern))
    mask = plane.numpy().copy()
    return mask, (*notes, *((read,) if read else ()), *_mask_notes(mask, pattern, name))


def _stored_mask(file: ArrayFile, index: int | None) -> np.ndarray | None:
    """Read the file's mask, or that of one slice where it has one for each."""
    values = read_optional(file, "mask")
    if values is not None and index is not None and values.ndim == 3 and len(values) > 1:
        return values[index] if len(values) == _slice_count(file) else values
    return values


def _slice_count(file: ArrayFile) -> int:
    """Count the slices of a file that has an axis of them."""
    return file.shape("kspace")[0]


def _mask_notes(mask: np.ndarray, pattern: np.ndarray, name: str) -> tuple[str, ...]:
    if not (mask & pattern).any():
        raise UserError(f"{name} marks no position where k-space holds data; 1 means measured")
    square = mask.shape[0] == mask.shape[1]
    if square and not np.array_equal(mask, pattern) and np.array_equal(mask.T, pattern):
        raise UserError(
            f"{name} fits k-space only when transposed: rows are sampled there, and columns are in "
            "the mask; save it as (H, W), or transpose it"
        )
    unused, empty = int((pattern & ~mask).sum()), int((mask & ~pattern).sum())
    notes = []
    middle = (mask.shape[0] // 2, mask.shape[1] // 2)
    if pattern[middle] and not mask[middle]:
        notes.append(
            "the mask leaves out the centre of k-space, which was measured: is it inverted, or the "
            "zero frequency not in its middle? 1 means measured"
        )
    if unused:
        notes.append(f"the mask leaves {unused} measured positions of k-space unused")
    if empty:
        notes.append(f"{empty} positions that the mask calls measured hold zeros in every coil")
    return tuple(notes)


def _coil_maps(
    file: ArrayFile,
    index: int | None,
    kspace: np.ndarray,
    mask: np.ndarray,
    wanted: str | Path,
    noise: np.ndarray | None,
) -> tuple[np.ndarray | torch.Tensor | None, tuple[str, ...]]:
    """Find coil maps `(coils, H, W)` (None for one coil of map 1) and where they come from.

    Those of k-space that was divided by each coil's `noise`.
    """
    if str(wanted) not in HOW:
        given = _fitting(read_maps(wanted), kspace, f"--maps: {wanted}")
        return _weighed(given, noise), (f"coil maps: from {wanted}",)
    if wanted == "auto" and "maps" in file.keys:
        stored = read_slice(file, "maps", index, 3)
        if stored.dtype.kind != "c":
            raise UserError(f"'maps' in {file.path} must be complex, found {stored.dtype}")
        given = _fitting(stored, kspace, f"'maps' in {file.path}")
        return _weighed(given, noise), ("coil maps: from the file",)
    if len(kspace) == 1:
        return None, ("a single coil: its map is taken as 1 everywhere",)
    maps, used = estimate_maps(kspace, mask, str(wanted))  # type: ignore[arg-type]
    rows, columns = calibration_block(mask)
    if noise is not None:
        maps = _of_one_brightness(maps, noise)
    return maps, (
        f"coil maps: {HOW_NAMES[used]} from the fully sampled {rows}x{columns} centre of k-space",
    )


def _weighed(maps: np.ndarray, noise: np.ndarray | None) -> np.ndarray:
    return maps if noise is None else (maps / noise[:, None, None]).astype(np.complex64)


def _of_one_brightness(maps: torch.Tensor, noise: np.ndarray) -> torch.Tensor:
    """Scale maps of weighted k-space so that the unweighted have sum_c |S_c|^2 = 1."""
    each = torch.from_numpy(noise).to(maps.real.dtype)[:, None, None]
    size = (maps * each).abs().square().sum(0).sqrt()
    return torch.where(size > 0, maps / size.clamp_min(1e-20), maps)


def _fitting(maps: np.ndarray, kspace: np.ndarray, name: str) -> np.ndarray:
    if maps.shape != kspace.shape:
        raise UserError(
            f"{name} has shape {maps.shape}, but k-space is {kspace.shape} (coils, H, W)"
        )
    if not np.any(maps):
        raise UserError(f"{name} is zero everywhere: no coil would see the image")
    largest = float(np.abs(maps).max())
    if not 1 / MOST_SENSITIVE <= largest <= MOST_SENSITIVE:
        raise UserError(
            f"{name} reaches {largest:.3g}; coil maps are about 1 (the root of the sum of their "
            "squares over the coils): divide them by it"
        )
    return maps.astype(np.complex64)


def _reference(
    file: ArrayFile, index: int | None, size: tuple[int, ...]
) -> tuple[torch.Tensor | None, tuple[str, ...]]:
    """Read the file's complex reference `(H, W)`, for reporting only, and notes.

    NaN around a smaller one of fastMRI, which is not known there.
    """
    if "reference" not in file.keys:
        own = next((key for key in FASTMRI_IMAGES if key in file.keys), None)
        return (None, ()) if own is None else _fastmri_reference(file, own, index, size)
    values = read_slice(file, "reference", index, 2)
    if values.shape != size:
        raise UserError(
            f"'reference' in {file.path} has shape {values.shape}, but k-space is "
            f"{size[0]}x{size[1]}"
        )
    real = values.dtype.kind != "c"
    notes = ["the reference is real: it is compared by magnitude"] if real else []
    return torch.from_numpy(values.astype(np.complex64)), tuple(notes)


def _fastmri_reference(
    file: ArrayFile, key: str, index: int | None, size: tuple[int, ...]
) -> tuple[torch.Tensor | None, tuple[str, ...]]:
    """Lay fastMRI's magnitude of the full scan into the middle of the image."""
    values = read_slice(file, key, index, 2)
    whole = lay_in_centre(values, size)
    if whole is None:
        return None, (f"{key} of shape {values.shape} is larger than the image: no reference",)
    (height, width), part = values.shape, f"the {size[0]}x{size[1]} image"
    where = part if values.shape == size else f"the middle {height}x{width} of {part}"
    note = f"the reference is the file's {key}, compared with {where} by magnitude"
    if size[0] >= OVERSAMPLED * height:
        note += "; what lies beyond comes of the oversampled readout"
    return torch.from_numpy(whole), (note,)


def lay_in_centre(values: np.ndarray, size: tuple[int, ...]) -> np.ndarray | None:
    """Lay a magnitude of fastMRI `(H, W)` into the middle of an image, NaN around it.

    Returns:
        complex64, of the image's size; None where it is larger than that.
    """
    if values.ndim != 2 or any(n > whole for n, whole in zip(values.shape, size, strict=True)):
        return None
    rows, columns = (
        slice((whole - n) // 2, (whole - n) // 2 + n)
        for n, whole in zip(values.shape, size, strict=True)
    )
    image = np.full(size, complex(np.nan, np.nan), np.complex64)
    image[rows, columns] = np.abs(values)
    return image
