"""Multi-coil and single-coil MRI from fastMRI-style .h5 files and .npz files.

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
from untrained.data.formats.hdf5 import HDF5
from untrained.data.measurement import Measurement
from untrained.data.named import REVERSED, open_measurement
from untrained.data.parameters import note_replaced, read_mask
from untrained.data.slices import choose_slices, join_slices, read_slice
from untrained.data.tasks.mri_coils import Coils, Mixing, find_mixing
from untrained.data.tasks.mri_maps import find_maps, maps_physics, refuse_joint
from untrained.data.tasks.mri_trajectory import (
    Trajectory,
    gridded_centre,
    image_size,
    named_trajectory,
    read_trajectory,
    shaped_samples,
    with_density,
    without_empty_shots,
)
from untrained.doubts.mri import layout_doubts, line_doubts
from untrained.errors import UserError
from untrained.maths import to_channels
from untrained.metrics import usual_range
from untrained.physics.masks import as_mask, plane_mask
from untrained.physics.noncartesian import NonCartesianMRI

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
    trajectory: str | Path | None = None,
    virtual_coils: int | None = None,
    map_sets: int | None = None,
    noise_from: str | None = None,
) -> list[Measurement]:
    """Load one measurement per slice asked for. Nothing is undersampled that the mask keeps.

    With a trajectory, the option's or the file's own, `kspace` is (coils, shots, samples).

    Args:
        path: .h5 or .npz file, or k-space alone as .npy.
        mask: file of the sampling mask; None takes the file's `mask`, else the positions where
            any coil is not zero.
        maps: `auto` (the file's maps, else ESPIRiT where it can be had, else low-resolution
            maps), `espirit`, `lowres`, or a file of maps; `joint` or `joint:WANTED` corrects
            them together with the image (`JointMRI`).
        slice: number of the slice from 0, `all`, or None for the middle one.
        volume: all slices as one measurement, for a network in three dimensions.
        key: name of the array that is k-space, where that is not `kspace`; `group/name` in HDF5.
        trajectory: file of the places of the samples, see `mri_trajectory.read_trajectory`.
        virtual_coils: how many combinations of coils are kept (`mri_coils.compression`).
        map_sets: sets of coil maps S (`espirit_maps`); images are `(1, 2 S, H, W)`. None is 1.
        noise_from: `corners` or `background`: what the noise of the coils is estimated from, to be
            made white, where the file has no noise scan (`mri_noise.noise_samples`).

    Returns:
        Measurements with y `(1, 2, coils, H, W)` in the units of the file; of a volume a single
        one, `(1, 2, slices, coils, H, W)`.

    Raises:
        UserError: unreadable file, k-space that is real, not finite or all zero, shapes that
            disagree, a slice that does not exist, or no way to estimate maps.
    """
    how = Coils(maps, virtual_coils, map_sets, noise_from)
    if volume:
        refuse_joint(maps, "a --volume")
    if how.channels > 2:
        refuse_joint(maps, "an image of several --map-sets")
    with open_measurement(path, "kspace", key, unnamed_array_suffixes()) as file:
        if trajectory is not None or named_trajectory(file):
            found = _load_shots(file, mask, how, (slice, volume), trajectory)
            return [join_slices(found, path)] if volume else found
        indices, notes = _slices(file, slice, volume)
        notes += file.notes
        if file.reversed_axes("kspace"):
            notes += (REVERSED,)
        found = [_load_slice(file, i, mask, how, notes) for i in indices]
    return [join_slices(found, path)] if volume else found


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
    how: Coils,
    notes: tuple[str, ...],
) -> Measurement:
    kspace = read_kspace(file, index)
    label = file.label("kspace")
    notes += layout_doubts(kspace, label)
    sampled, mask_notes = mask_of(file, index, kspace, mask)
    kspace = kspace * sampled
    notes += line_doubts(kspace)
    mixing = find_mixing(file, kspace, how, sampled)
    if mixing is not None:
        notes += mixing.notes
        kspace = mixing.apply(kspace)
    coil_maps, map_notes = find_maps(file, index, kspace, sampled, how.maps, mixing, how.sets)
    reference, reference_notes = reference_of(file, index, kspace.shape[-2:])
    place = str(file.path) if index is None else f"{file.path}, slice {index}"
    physics = maps_physics(sampled, coil_maps, how.maps, how.channels)
    return Measurement(
        task="mri",
        y=to_channels(torch.from_numpy(kspace)[None]),
        physics=physics,
        sigma=None,
        reference=how.laid(reference),
        data_range=None if reference is None else usual_range(reference, unit=False) or None,
        notes=(*notes, *mask_notes, *map_notes, *reference_notes),
        axes="YX",
        source=place,
    )


def _load_shots(
    file: ArrayFile,
    mask: str | Path | None,
    how: Coils,
    which: tuple[int | str | None, bool],
    option: str | Path | None,
) -> list[Measurement]:
    """Load slices whose samples lie on a trajectory; `which` is --slice and --volume."""
    refuse_joint(how.maps, "a scan on a trajectory")
    if mask is not None:
        raise UserError(
            f"--mask {mask} says which places of a grid were measured, and these samples lie on a "
            "trajectory: leave out --mask; shots of zeros count as not measured"
        )
    known = read_trajectory(file, option)
    shape = file.shape("kspace")
    stack = shape[0] if len(shape) == 4 else None
    indices, notes = choose_slices(which[0], stack, file.path, which[1])
    notes += file.notes
    found, size = [], None
    for index in indices:
        label = file.label("kspace")
        samples = shaped_samples(file.read("kspace", index), known, label)
        points, samples = without_empty_shots(known, samples)
        notes += points.notes
        if size is None:
            size, told = image_size(file, points, samples)
            notes += told
        if points.weights is None:
            points = with_density(points, size)
            known = points if len(points.points) == len(known.points) else known
        mixing = find_mixing(file, samples, how)
        found.append(_of_shots(file, index, points, samples, size, how, mixing, notes))
    return found


def _of_shots(
    file: ArrayFile,
    index: int | None,
    points: Trajectory,
    samples: np.ndarray,
    size: tuple[int, int],
    how: Coils,
    mixing: Mixing | None,
    notes: tuple[str, ...],
) -> Measurement:
    """Make the measurement of one slice of `(coils, shots, samples)`."""
    if mixing is not None:
        samples, notes = mixing.apply(samples), (*notes, *mixing.notes)
    centre, mask = gridded_centre(points, samples, size)
    coil_maps, map_notes = find_maps(file, index, centre, mask, how.maps, mixing, how.sets)
    reference, reference_notes = reference_of(file, index, size)
    physics = NonCartesianMRI(points.points, coil_maps, points.weights, (how.channels, *size))
    place = str(file.path) if index is None else f"{file.path}, slice {index}"
    return Measurement(
        task="mri",
        y=physics.weigh(to_channels(torch.from_numpy(samples)[None])),
        physics=physics,
        sigma=None,
        reference=how.laid(reference),
        data_range=None if reference is None else usual_range(reference, unit=False) or None,
        notes=tuple(dict.fromkeys((*notes, *map_notes, *reference_notes))),
        axes="YX",
        source=place,
    )


def mask_of(
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
    counted = values is not None and index is not None and values.ndim == 3
    if values is not None and counted and len(values) == _slice_count(file):
        return values[index]
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


def reference_of(
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
