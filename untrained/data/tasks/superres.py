"""Load a small picture, or a time series of them, to enlarge."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from untrained.data.measurement import Measurement
from untrained.data.parameters import (
    advise_without,
    note_replaced,
)
from untrained.data.series import read_series
from untrained.data.tasks.photo import photo_measurement, read_photo, shape_of
from untrained.errors import UserError, from_file, shown
from untrained.machine import FLOAT_BYTES, check_size
from untrained.physics.base import Physics
from untrained.physics.series import Series
from untrained.physics.superres import SuperRes

MOST_FACTOR = 64


def load_superres(
    path: str | Path,
    *,
    factor: int | None = None,
    series: bool = False,
    key: str | None = None,
) -> Measurement:
    """Load a small picture, or a time series of them, to enlarge.

    Args:
        path: picture, or .npz with `measurement` and `factor`.
        factor: how many times larger each side becomes; None takes the file's.
        series: the folder or file holds the frames of a time series, see `read_series`.
        key: name of the array that is measured, where that is not `measurement`.

    Raises:
        UserError: unreadable file, no factor, or one that is not a whole number of at least 2.
    """
    photo = read_series(path, "factor", key) if series else read_photo(path, "factor", key=key)
    chosen = photo.extra if factor is None else factor
    if chosen is None:
        raise UserError(f"{path} does not say the enlargement: give --factor, for example 4")
    with from_file(path):
        times = _whole(chosen, "factor", smallest=2)
    channels, height, width = shape_of(photo.y[:, :, 0] if series else photo.y)
    count = photo.y.shape[2] if series else 1
    size = FLOAT_BYTES * channels * count * height * width * times**2
    check_size(size, size, f"{path}, enlarged {times} times,")
    one = SuperRes((channels, height * times, width * times), times)
    physics: Physics = Series([one] * count) if series else one
    notes = (*photo.notes, *note_replaced("--factor", factor, "factor", photo.extra))
    other = factor is not None and (photo.extra is None or factor != photo.extra)
    hint = advise_without("--factor", factor, "factor", photo.extra) if other else ""
    return photo_measurement("superres", path, photo, physics, photo.sigma, notes, hint)


def _whole(value: float | np.ndarray, name: str, smallest: int) -> int:
    number = np.asarray(value)
    whole = number.size == 1 and number.dtype.kind in "iuf" and float(number.item()) % 1 == 0
    if not whole or not smallest <= number.item() <= MOST_FACTOR:
        raise UserError(
            f"{name} must be a whole number from {smallest} to {MOST_FACTOR}, got {shown(value)}"
        )
    return int(number.item())
