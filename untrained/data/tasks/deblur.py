"""Load a blurred picture and its kernel, where that is known."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from untrained.data.measurement import Measurement
from untrained.data.parameters import (
    kernel_label,
    kernel_size,
    note_replaced_kernel,
    read_kernel,
)
from untrained.data.tasks.photo import Photo, photo_measurement, read_photo, shape_of
from untrained.data.tasks.photons import counted, photon_noise
from untrained.doubts.photographs import (
    kernel_doubts,
)
from untrained.errors import UserError, from_file
from untrained.physics.blind import BlindBlur
from untrained.physics.blur import Blur


def load_deblur(
    path: str | Path,
    *,
    kernel: str | Path | None = None,
    key: str | None = None,
    photons: float | None = None,
    read_noise: float | None = None,
) -> Measurement:
    """Load a blurred picture and its kernel, where that is known.

    Args:
        path: picture, or .npz with `measurement` and `kernel`.
        kernel: array (.npy, .npz) or grey picture of the 2-D kernel; None takes the file's;
            `estimate` or `estimate:SIZE` for a kernel that is unknown.
        key: name of the array that is measured, where that is not `measurement`.
        photons: mean count of a white pixel, for a picture that is counts divided by it; None
            takes the file's, if any.
        read_noise: standard deviation of the read-out's noise, in photons.

    Raises:
        UserError: unreadable file, no kernel, photons and a kernel to be estimated, or a kernel
            that is not 2-D with a positive sum and smaller than the picture.
    """
    size = kernel_size(kernel)
    photo = read_photo(path, "kernel", key=key)
    counts, told = photon_noise(path, photons, read_noise)
    if size is not None and counts is not None:
        raise UserError(
            "photons weigh a blur that is known, and --kernel estimate looks for it: leave out the "
            "photons, or give the kernel"
        )
    if size is not None:
        return _blind(path, photo, size)
    values = photo.extra if kernel is None else read_kernel(kernel)
    if values is None:
        raise UserError(f"{path} does not hold the blur kernel: give --kernel FILE")
    notes = photo.notes
    total = float(np.sum(values))
    if kernel is not None:
        notes += note_replaced_kernel(values, photo.extra)
    if total > 0 and not math.isclose(total, 1.0, rel_tol=1e-3):
        notes += (f"the kernel summed to {total:.4g} and was divided by it",)
    with from_file(path if kernel is None else kernel):
        notes += kernel_doubts(values, kernel_label(kernel))
        physics = counted(Blur(values, shape_of(photo.y)), counts, photo.y)
    level = photo.sigma if counts is None else None
    return photo_measurement("deblur", path, photo, physics, level, (*notes, *told))


LEAST, MOST, SHARE = 9, 25, 6
"""Smallest and largest side that is taken for a kernel of unknown size, and the part of the shorter
side of the picture that lies between them."""


def _blind(path: str | Path, photo: Photo, size: int) -> Measurement:
    """Make the measurement of a kernel that is unknown, in a square of `size`, 0 = the usual."""
    notes, shorter = photo.notes, min(photo.y.shape[-2:])
    if photo.extra is not None:
        notes += ("the file holds a kernel, which is not looked at: it is to be estimated",)
    if not size:
        size = (min(max(LEAST, shorter // SHARE), MOST) - 1) // 2 * 2 + 1
        notes += (
            f"the kernel is sought in a square of {size} x {size} pixels: give --kernel "
            "estimate:SIZE if the blur reaches further, or if it is smaller",
        )
    if 2 * size > shorter:
        raise UserError(
            f"--kernel: a square of {size} pixels is more than half of a picture whose shorter "
            f"side is {shorter}: nothing could be told from so few pixels; take a smaller one"
        )
    physics = BlindBlur(size, shape_of(photo.y))
    return photo_measurement("deblur", path, photo, physics, photo.sigma, notes)
