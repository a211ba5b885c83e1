"""Dynamic MRI: k-space with an axis of time, or one measurement per slice (`tasks/mri.py`).

`kspace` complex (T, coils, H, W), or (T, H, W) of one coil, in .npz, .h5 or .npy; `mask` (T, H, W),
or (H, W) or (W,) for all frames; `maps` (coils, H, W); `reference` (T, H, W).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from untrained.data.formats import ArrayFile, unnamed_array_suffixes
from untrained.data.measurement import Measurement
from untrained.data.named import open_measurement
from untrained.data.series import LEAST, require_one_of
from untrained.data.tasks import mri
from untrained.data.tasks.mri import mask_of, read_kspace, reference_of
from untrained.data.tasks.mri_maps import find_maps, refuse_joint
from untrained.data.tasks.mri_trajectory import named_trajectory
from untrained.errors import UserError
from untrained.maths import to_channels
from untrained.metrics import usual_range
from untrained.physics.mri import MRI
from untrained.physics.series import Series


def load_mri(
    path: str | Path,
    *,
    mask: str | Path | None = None,
    maps: str | Path = "auto",
    slice: int | str | None = None,
    volume: bool = False,
    series: bool = False,
    key: str | None = None,
    trajectory: str | Path | None = None,
    virtual_coils: int | None = None,
    map_sets: int | None = None,
    noise_from: str | None = None,
) -> list[Measurement]:
    """Load k-space; with `series` all frames of a dynamic scan as one measurement.

    Args:
        path, mask, maps, slice, volume, key, trajectory, virtual_coils, map_sets, noise_from: as of
            `tasks.mri.load_mri`; the mask of a series may be `(T, H, W)`, and it has no `slice`,
            `trajectory`, `virtual_coils`, `map_sets` or `noise_from`.
        series: the first axis of k-space is time, y is `(1, 2, T, coils, H, W)`. Coil maps, one
            set for all frames, are estimated from the mean of k-space over the frames that measured
            a position.

    Raises:
        UserError: as there; one frame, or an option that a series has not.
    """
    of_slices: dict[str, Any] = {
        "slice": slice,
        "trajectory": trajectory,
        "virtual_coils": virtual_coils,
        "map_sets": map_sets,
        "noise_from": noise_from,
    }
    if not series:
        return mri.load_mri(path, mask=mask, maps=maps, volume=volume, key=key, **of_slices)
    require_one_of(volume, series)
    refuse_joint(maps, "a --series")
    for name, value in of_slices.items():
        if value is not None:
            raise UserError(
                f"--series takes all frames of a scan on a grid as they are, and --"
                f"{name.replace('_', '-')} does not apply to it: leave out one of the two"
            )
    with open_measurement(path, "kspace", key, unnamed_array_suffixes()) as file:
        if named_trajectory(file):
            raise UserError(
                f"{file.path} says where its samples lie in k-space, and --series reads dynamic "
                "scans on a grid: grid it first, or leave out --series"
            )
        return [_load_frames(file, mask, maps)]


def _load_frames(file: ArrayFile, mask: str | Path | None, maps: str | Path) -> Measurement:
    shape = file.shape("kspace")
    label = file.label("kspace")
    if len(shape) not in (3, 4) or shape[0] < LEAST:
        raise UserError(
            f"{label} has shape {shape}; a dynamic scan is (T, coils, H, W), or (T, H, W) of one "
            f"coil, with at least {LEAST} frames"
        )
    frames = [read_kspace(file, t) for t in range(shape[0])]
    sampled: list[np.ndarray] = []
    notes: list[str] = []
    for t, kspace in enumerate(frames):
        own, more = mask_of(file, t, kspace, mask)
        sampled.append(own)
        notes += more
    kspace = np.stack(frames) * np.stack(sampled)[:, None]
    often = np.stack(sampled).sum(0)
    mean = (kspace.sum(0) / np.maximum(often, 1)).astype(np.complex64)
    coil_maps, map_notes = find_maps(file, None, mean, often > 0, maps, None)
    images = [reference_of(file, t, kspace.shape[-2:])[0] for t in range(len(frames))]
    known = [image for image in images if image is not None]
    reference = torch.stack(known) if len(known) == len(images) else None
    size = kspace.shape[-2:]
    physics = Series([MRI(one, coil_maps, (2, *size)) for one in sampled])
    y = torch.stack([to_channels(torch.from_numpy(one)[None]) for one in kspace], dim=2)
    told = f"a dynamic scan of {len(frames)} frames; {often.mean():.3g} of them measured a position"
    return Measurement(
        task="mri",
        y=y,
        physics=physics,
        sigma=None,
        reference=None
        if reference is None
        else torch.stack([to_channels(one[None]) for one in reference], dim=2),
        data_range=None if reference is None else usual_range(reference, unit=False) or None,
        notes=(f"{told} on average", *file.notes, *dict.fromkeys(notes), *map_notes),
        axes="TYX",
        source=str(file.path),
    )
