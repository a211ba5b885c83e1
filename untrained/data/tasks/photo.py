"""What the loaders of pictures share: a picture, or the .npz that `untrained simulate` wrote.

An .npz holds `measurement` `(H,W)` or `(C,H,W)`, the task's parameters, and optionally `reference`,
which is only ever reported on. Noise levels are given on the 0..255 scale of 8-bit pictures and
stored as such.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from untrained.data.arrays import read_optional, read_sigma, require_finite
from untrained.data.formats import (
    find_format,
    has_one_slice,
    is_measured,
    is_picture,
    picture_suffixes,
    read_pixels,
)
from untrained.data.formats.advice import other_format
from untrained.data.formats.base import SAME, Units
from untrained.data.images import (
    MISSING,
    MOST_COLOURS,
    check_photograph,
    picture_from_array,
    to_unit_range,
)
from untrained.data.lost import mark_invalid, planes_of
from untrained.data.measurement import Measurement
from untrained.data.named import TRANSPOSED, open_measurement, require_no_key
from untrained.data.parameters import note_replaced
from untrained.data.slices import one_slice_error
from untrained.errors import UserError, shown
from untrained.physics.base import Physics
from untrained.physics.denoise import Denoise
from untrained.problem.scaling import own_level

OUTSIDE = 0.25
LEAST_SIGMA, MOST_SIGMA = 1e-6, 1e6


@dataclass(frozen=True)
class Photo:
    """What a file of a photograph task holds, as read.

    `lost` marks the values that were none, and were replaced by 0, `(C, H, W)`; see `read_photo`.
    `units` are what 0 and 1 were in the file.
    """

    y: Tensor
    reference: Tensor | None
    sigma: float | None
    extra: np.ndarray | None
    notes: tuple[str, ...]
    lost: np.ndarray | None = None
    units: Units = SAME


def noise_level(sigma: float | str) -> float:
    """Convert `--sigma` on the 0..255 scale to a standard deviation in [0, 1] units.

    Raises:
        UserError: not a finite number of at least 0.
    """
    try:
        value = float(sigma)
    except ValueError:
        value = math.nan
    if value != 0 and not LEAST_SIGMA <= value <= MOST_SIGMA:
        raise UserError(
            "--sigma must be auto, 0, or a standard deviation on the 0..255 scale from "
            f"{LEAST_SIGMA:g} to {MOST_SIGMA:g}, got {shown(sigma)}"
        )
    return value / 255.0


def level_given(photo: Photo, sigma: float | str | None) -> tuple[float | None, tuple[str, ...]]:
    """Return the noise level that `--sigma` or the file gives, in [0, 1] units, and notes.

    Args:
        photo: what the file holds; its `sigma` counts where the option is not given.
        sigma: the option, on the 0..255 scale; `auto` asks for an estimate.

    Returns:
        The level, None where there is none or it is to be estimated; and a note where the option
        took the place of the file's value.

    Raises:
        UserError: see `noise_level`.
    """
    if sigma is None:
        return photo.sigma, ()
    level = None if sigma == "auto" else noise_level(sigma)
    if photo.sigma is None:
        return level, ()
    return level, note_replaced("--sigma", sigma, "sigma", round(255 * photo.sigma, 6))


def read_photo(
    path: str | Path,
    parameter: str | None = None,
    volume: bool = False,
    keep_lost: bool = False,
    key: str | None = None,
) -> Photo:
    """Read a picture, or an .npz's `measurement`, `reference`, `sigma` and one `parameter`.

    With `volume` the images are `(1, 1, D, H, W)`, else `(1, C, H, W)`. With `keep_lost` values
    that are NaN, infinite or far outside [0, 1] become 0 and are marked; else they are refused.

    Raises:
        UserError: unreadable, of another kind, plainly not in [0, 1], or a volume of one slice.
    """
    if find_format(path) is None:
        expected = f"a picture ({', '.join(picture_suffixes())}) or the .npz that `simulate` writes"
        raise other_format(path, "input", expected)
    if is_picture(path):
        require_no_key(path, key)
        photo = _from_picture(path, volume, keep_lost)
    else:
        photo = _from_arrays(path, parameter, keep_lost, key)
    if volume:
        photo = _as_volume(photo, path)
    check_photograph(photo.y.numpy(), path)
    if photo.sigma is None:
        photo = replace(photo, notes=(*photo.notes, *_outside(photo.y)))
    return photo


def _outside(y: Tensor) -> tuple[str, ...]:
    """Note that more lies outside [0, 1] than usual noise would explain."""
    share = float(((y < -OUTSIDE) | (y > 1 + OUTSIDE)).float().mean())
    scaled = bool((own_level(y, Denoise(tuple(y.shape[1:]))) != 1).all())
    if share < 0.05 or (scaled and float(y.min()) > -OUTSIDE):
        return ()
    return (
        f"values reach from {float(y.min()):.3g} to {float(y.max()):.3g}; pictures are taken to "
        "lie in [0, 1]: what is darker or brighter is cut off by some methods; rescale them",
    )


def _as_volume(photo: Photo, path: str | Path) -> Photo:
    """Take the channels for slices."""
    if photo.y.shape[1] == 1 or has_one_slice(path):
        raise one_slice_error(path)
    truth = photo.reference
    return replace(
        photo,
        y=photo.y[:, None],
        reference=None if truth is None else truth[:, None],
        notes=(*photo.notes, f"taken for a volume of {photo.y.shape[1]} slices"),
    )


def _from_picture(path: str | Path, volume: bool, keep_lost: bool) -> Photo:
    array, notes = read_pixels(path, pages=volume)
    units = SAME
    if is_measured(path):
        array, units = to_unit_range(array)
        ends = f"{units.offset:.4g} and {units.offset + units.factor:.4g}"
        notes = (*notes, f"its values have units of their own: {ends} became 0 and 1")
    values, lost = mark_invalid(array) if keep_lost else (array, None)
    label = f"input: {path}"
    y, more = _tensor(values, label, _offer(keep_lost))
    return Photo(y, None, None, None, (*notes, *more), planes_of(lost), units)


def _from_arrays(
    path: str | Path, parameter: str | None, keep_lost: bool, key: str | None
) -> Photo:
    lost = None
    with open_measurement(path, "measurement", key) as file:
        label = file.label("measurement")
        notes = (TRANSPOSED,) if file.reversed_axes("measurement") else ()
        values = file.read("measurement")
        if keep_lost:
            values, lost = mark_invalid(values)
        y, more = _tensor(values, label, _offer(keep_lost))
        truth = read_optional(file, "reference")
        reference = None if truth is None else _tensor(truth, f"'reference' in {path}")[0]
        sigma = read_sigma(file)
        extra = None if parameter is None else read_optional(file, parameter)
    if extra is not None:
        require_finite(extra, f"'{parameter}' in {path}")
    level = None if sigma is None else noise_level(sigma)
    return Photo(y, reference, level, extra, (*notes, *more), planes_of(lost))


def _offer(keep_lost: bool) -> str | None:
    """Say what to do about NaN in a picture; where it was asked to be kept, all of it is."""
    return None if keep_lost else f"replace them, or {MISSING}"


def _tensor(
    array: np.ndarray, label: str, offer: str | None = None
) -> tuple[Tensor, tuple[str, ...]]:
    """Make images `(1, C, H, W)` of an array, and notes on its numbers."""
    picture = picture_from_array(array, label, offer=offer)
    if np.iscomplexobj(picture.pixels):
        raise UserError(f"{label} is complex; this task takes real images")
    return torch.from_numpy(picture.pixels).unsqueeze(0), picture.notes


def photo_measurement(
    task: str,
    path: str | Path,
    photo: Photo,
    physics: Physics,
    sigma: float | None,
    notes: tuple[str, ...],
    instead: str = "",
) -> Measurement:
    """Join what was read of a picture to one problem.

    Raises:
        UserError: the reference has another shape; `instead` says what to do about an option.
    """
    shape = physics.x_shape
    if photo.reference is not None and tuple(photo.reference.shape[1:]) != shape:
        raise UserError(
            f"'reference' in {path} has shape {tuple(photo.reference.shape[1:])}, but the image "
            f"to reconstruct is {shape}{instead}"
        )
    channels = photo.y.shape[1]
    if channels > MOST_COLOURS and not physics.is_series:
        notes = (
            *notes,
            f"taken for one picture of {channels} channels; denoise and inpaint take them for the "
            "slices of a volume with --volume",
        )
    axes = "ZYX" if photo.y.ndim == 5 else "YX" if channels == 1 else "CYX"
    if physics.is_series:
        axes = "TYX" if channels == 1 else "TCYX"
    return Measurement(
        task,
        photo.y,
        physics,
        sigma,
        photo.reference,
        1.0,
        notes,
        axes,
        str(path),
        units=photo.units,
    )


def shape_of(y: Tensor) -> tuple[int, int, int]:
    """Return `(C, H, W)` of a picture with its batch axis."""
    return y.shape[1], y.shape[2], y.shape[3]
