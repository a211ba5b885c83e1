"""Load a blurred picture and its known kernel."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from untrained.data.measurement import Measurement
from untrained.data.parameters import (
    kernel_label,
    note_replaced_kernel,
    read_kernel,
)
from untrained.data.tasks.photo import photo_measurement, read_photo, shape_of
from untrained.doubts.photographs import (
    kernel_doubts,
)
from untrained.errors import UserError, from_file
from untrained.physics.blur import Blur


def load_deblur(
    path: str | Path, *, kernel: str | Path | None = None, key: str | None = None
) -> Measurement:
    """Load a blurred picture and its known kernel.

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
        notes += note_replaced_kernel(values, photo.extra)
    if total > 0 and not math.isclose(total, 1.0, rel_tol=1e-3):
        notes += (f"the kernel summed to {total:.4g} and was divided by it",)
    with from_file(path if kernel is None else kernel):
        notes += kernel_doubts(values, kernel_label(kernel))
        physics = Blur(values, shape_of(photo.y))
    return photo_measurement("deblur", path, photo, physics, photo.sigma, notes)
