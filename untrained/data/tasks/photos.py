"""Loaders of the four photograph tasks: denoise, inpaint, superres and deblur.

Each reads a picture, or the .npz that `untrained simulate` wrote: `measurement` `(H,W)` or
`(C,H,W)`, the task's parameters, and optionally `reference`, which is only ever reported on.
Noise levels are given on the 0..255 scale of 8-bit pictures and stored as such.
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
    is_lossy,
    is_picture,
    picture_suffixes,
    read_pixels,
)
from untrained.data.formats.advice import other_format
from untrained.data.images import MISSING, MOST_COLOURS, check_photograph, from_array
from untrained.data.lost import LOST, marked_without, planes_of, without_lost
from untrained.data.measurement import Measurement
from untrained.data.memory import FLOAT_BYTES, check_size
from untrained.data.named import TRANSPOSED, open_measurement, require_no_key
from untrained.data.parameters import (
    instead,
    named_kernel,
    read_kernel,
    read_mask,
    replaced,
    replaced_kernel,
)
from untrained.data.slices import no_volume
from untrained.doubts.photographs import (
    estimate_noise,
    hole_doubts,
    kernel_doubts,
    mask_doubts,
    sigma_doubts,
)
from untrained.errors import UserError, from_file, shown
from untrained.physics.base import Physics
from untrained.physics.blur import Blur
from untrained.physics.denoise import Denoise
from untrained.physics.inpaint import Inpaint
from untrained.physics.superres import SuperRes
from untrained.problem.scaling import own_level

OUTSIDE = 0.25
LEAST_SIGMA, MOST_SIGMA = 1e-6, 1e6
MOST_FACTOR = 64


@dataclass(frozen=True)
class Photo:
    """What a file of a photograph task holds, as read.

    `lost` marks the values that were none, and were replaced by 0, `(C, H, W)`; see `read_photo`.
    """

    y: Tensor
    reference: Tensor | None
    sigma: float | None
    extra: np.ndarray | None
    notes: tuple[str, ...]
    lost: np.ndarray | None = None


def load_denoise(
    path: str | Path,
    *,
    sigma: float | str | None = None,
    volume: bool = False,
    key: str | None = None,
) -> Measurement:
    """A noisy picture or volume.

    Args:
        path: picture, or .npz with `measurement`.
        sigma: standard deviation of the noise (0..255 scale), `auto` to estimate it from the
            picture, None to use what the file says.
        volume: the file holds `(D, H, W)`, to be fitted as a whole.
        key: name of the array that is measured, where that is not `measurement`.

    Raises:
        UserError: unreadable file, a negative sigma, or a volume of one slice.
    """
    photo = read_photo(path, volume=volume, key=key)
    level, notes = photo.sigma, photo.notes
    if sigma == "auto":
        level = estimate_noise(photo.y)
        notes = (*notes, f"noise level estimated from the picture: sigma {255 * level:.1f} of 255")
    else:
        level = level if sigma is None else noise_level(sigma)
        if sigma is not None and photo.sigma is not None:
            notes += replaced("--sigma", sigma, "sigma", round(255 * photo.sigma, 6))
        notes = notes if level is None else (*notes, *sigma_doubts(photo.y, level, option=True))
    physics = Denoise(tuple(photo.y.shape[1:]))
    return photo_measurement("denoise", path, photo, physics, level, notes)


def load_inpaint(
    path: str | Path,
    *,
    mask: str | Path | None = None,
    volume: bool = False,
    key: str | None = None,
) -> Measurement:
    """A picture or volume with missing pixels.

    Args:
        path: picture, or .npz with `measurement` and `mask`.
        mask: picture or array of the picture's size, white or 1 where pixels are measured. None
            takes the file's `mask`, or else treats pixels that are 0 in all channels as missing.
            NaN, infinite values and those far outside [0, 1] are missing whatever the mask says.
        volume: the file holds `(D, H, W)`, to be fitted as a whole; the mask likewise, or
            `(H, W)` for all slices.
        key: name of the array that is measured, where that is not `measurement`.

    Raises:
        UserError: unreadable file, a mask of another size or with values between 0 and 1, or no
            mask and no black pixel, or a volume of one slice.
    """
    photo = read_photo(path, "mask", volume, keep_lost=True, key=key)
    notes = photo.notes
    chosen: np.ndarray
    if mask is not None:
        chosen, more = read_mask(mask, volume)
        notes += (*more, *replaced("--mask", chosen, "mask", photo.extra))
    elif photo.extra is not None:
        chosen = photo.extra
    else:
        chosen = _black_pixels(photo.y, path)
        notes += ("no mask was given: pixels that are 0 in every channel count as missing",)
        if photo.lost is not None:
            notes += (LOST.format(int(photo.lost.any(0).sum())),)
        elif photo.y.ndim == 4:
            notes += hole_doubts(photo.y[0].numpy(), chosen, is_lossy(path))
    if volume and chosen.ndim == 2 and chosen.shape == photo.y.shape[-2:]:
        chosen = np.broadcast_to(chosen, photo.y.shape[2:])
        notes += ("the mask holds for every slice",)
    if photo.lost is not None:
        chosen, more = marked_without(chosen, photo.lost)
        notes += more
    with from_file(path if mask is None else mask):
        physics = Inpaint(chosen, tuple(photo.y.shape[1:]))
    if bool((physics.mask == 1).all()):
        raise UserError(
            f"{mask or path}: the mask marks every pixel as measured, so that there is nothing to "
            "fill in; it is 0 or black where pixels are missing (transparency does not count)"
        )
    measured = physics.mask.bool().expand_as(photo.y)[0].numpy()
    notes += mask_doubts(photo.y[0].numpy(), measured, str(mask or path))
    photo = Photo(physics.A(photo.y), photo.reference, photo.sigma, None, notes)
    return photo_measurement("inpaint", path, photo, physics, photo.sigma, notes)


def load_superres(
    path: str | Path, *, factor: int | None = None, key: str | None = None
) -> Measurement:
    """A small picture to enlarge.

    Args:
        path: picture, or .npz with `measurement` and `factor`.
        factor: how many times larger each side becomes; None takes the file's.
        key: name of the array that is measured, where that is not `measurement`.

    Raises:
        UserError: unreadable file, no factor, or one that is not a whole number of at least 2.
    """
    photo = read_photo(path, "factor", key=key)
    chosen = photo.extra if factor is None else factor
    if chosen is None:
        raise UserError(f"{path} does not say the enlargement: give --factor, for example 4")
    with from_file(path):
        times = _whole(chosen, "factor", smallest=2)
    channels, height, width = shape_of(photo.y)
    size = FLOAT_BYTES * channels * height * width * times**2
    check_size(size, size, f"{path}, enlarged {times} times,")
    physics = SuperRes((channels, height * times, width * times), times)
    notes = (*photo.notes, *replaced("--factor", factor, "factor", photo.extra))
    other = factor is not None and (photo.extra is None or factor != photo.extra)
    hint = instead("--factor", factor, "factor", photo.extra) if other else ""
    return photo_measurement("superres", path, photo, physics, photo.sigma, notes, hint)


def load_deblur(
    path: str | Path, *, kernel: str | Path | None = None, key: str | None = None
) -> Measurement:
    """A blurred picture and its known kernel.

    Args:
        path: picture, or .npz with `measurement` and `kernel`.
        kernel: array (.npy, .npz) or grey picture of the 2-D kernel; None takes the file's.
        key: name of the array that is measured, where that is not `measurement`.

    Raises:
        UserError: unreadable file, no kernel, or one that is not 2-D with a positive sum and
            smaller than the picture.
    """
    photo = read_photo(path, "kernel", key=key)
    values = photo.extra if kernel is None else read_kernel(kernel)
    if values is None:
        raise UserError(f"{path} does not hold the blur kernel: give --kernel FILE")
    notes = photo.notes
    total = float(np.sum(values))
    if kernel is not None:
        notes += replaced_kernel(values, photo.extra)
    if total > 0 and not math.isclose(total, 1.0, rel_tol=1e-3):
        notes += (f"the kernel summed to {total:.4g} and was divided by it",)
    with from_file(path if kernel is None else kernel):
        notes += kernel_doubts(values, named_kernel(kernel))
        physics = Blur(values, shape_of(photo.y))
    return photo_measurement("deblur", path, photo, physics, photo.sigma, notes)


def noise_level(sigma: float | str) -> float:
    """`--sigma` on the 0..255 scale as a standard deviation in [0, 1] units.

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


def read_photo(
    path: str | Path,
    parameter: str | None = None,
    volume: bool = False,
    keep_lost: bool = False,
    key: str | None = None,
) -> Photo:
    """A picture, or an .npz's `measurement` (or `key`), `reference`, `sigma` and one `parameter`.

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
    """A note where more lies outside [0, 1] than usual noise would explain."""
    share = float(((y < -OUTSIDE) | (y > 1 + OUTSIDE)).float().mean())
    scaled = bool((own_level(y, Denoise(tuple(y.shape[1:]))) != 1).all())
    if share < 0.05 or (scaled and float(y.min()) > -OUTSIDE):
        return ()
    return (
        f"values reach from {float(y.min()):.3g} to {float(y.max()):.3g}; pictures are taken to "
        "lie in [0, 1]: what is darker or brighter is cut off by some methods; rescale them",
    )


def _as_volume(photo: Photo, path: str | Path) -> Photo:
    """Slices for channels."""
    if photo.y.shape[1] == 1 or has_one_slice(path):
        raise no_volume(path)
    truth = photo.reference
    return replace(
        photo,
        y=photo.y[:, None],
        reference=None if truth is None else truth[:, None],
        notes=(*photo.notes, f"taken for a volume of {photo.y.shape[1]} slices"),
    )


def _from_picture(path: str | Path, volume: bool, keep_lost: bool) -> Photo:
    array, notes = read_pixels(path, pages=volume)
    values, lost = without_lost(array) if keep_lost else (array, None)
    label = f"input: {path}"
    y, more = _tensor(values, label, _offer(keep_lost))
    return Photo(y, None, None, None, (*notes, *more), planes_of(lost))


def _from_arrays(
    path: str | Path, parameter: str | None, keep_lost: bool, key: str | None
) -> Photo:
    lost = None
    with open_measurement(path, "measurement", key) as file:
        label = file.label("measurement")
        notes = (TRANSPOSED,) if file.reversed_axes("measurement") else ()
        values = file.read("measurement")
        if keep_lost:
            values, lost = without_lost(values)
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
    """What to do about NaN in a picture; where it was asked to be kept, all of it is."""
    return None if keep_lost else f"replace them, or {MISSING}"


def _tensor(
    array: np.ndarray, label: str, offer: str | None = None
) -> tuple[Tensor, tuple[str, ...]]:
    """An array as images `(1, C, H, W)`, and notes on its numbers."""
    picture = from_array(array, label, offer=offer)
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
    if channels > MOST_COLOURS:
        notes = (
            *notes,
            f"taken for one picture of {channels} channels; denoise and inpaint take them for the "
            "slices of a volume with --volume",
        )
    axes = "ZYX" if photo.y.ndim == 5 else "YX" if channels == 1 else "CYX"
    return Measurement(task, photo.y, physics, sigma, photo.reference, 1.0, notes, axes, str(path))


def _black_pixels(y: Tensor, path: str | Path) -> np.ndarray:
    measured = np.any(y[0].numpy() != 0, axis=0)
    if measured.all():
        raise UserError(
            f"{path} has no black pixel and no mask says what is missing: give --mask FILE "
            "(white = measured)"
        )
    return measured


def _whole(value: float | np.ndarray, name: str, smallest: int) -> int:
    number = np.asarray(value)
    whole = number.size == 1 and number.dtype.kind in "iuf" and float(number.item()) % 1 == 0
    if not whole or not smallest <= number.item() <= MOST_FACTOR:
        raise UserError(
            f"{name} must be a whole number from {smallest} to {MOST_FACTOR}, got {shown(value)}"
        )
    return int(number.item())


def shape_of(y: Tensor) -> tuple[int, int, int]:
    """`(C, H, W)` of a picture with its batch axis."""
    return y.shape[1], y.shape[2], y.shape[3]
