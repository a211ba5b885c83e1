"""Load a noisy picture, volume or time series."""

from __future__ import annotations

from pathlib import Path

from untrained.data.measurement import Measurement
from untrained.data.series import read_series, require_one_of
from untrained.data.tasks.photo import level_given, photo_measurement, read_photo
from untrained.data.tasks.photons import counted, photon_noise
from untrained.doubts.photographs import (
    estimate_noise,
    sigma_doubts,
)
from untrained.errors import UserError
from untrained.physics.base import Physics
from untrained.physics.denoise import Denoise
from untrained.physics.series import Series


def load_denoise(
    path: str | Path,
    *,
    sigma: float | str | None = None,
    volume: bool = False,
    series: bool = False,
    key: str | None = None,
    photons: float | None = None,
    read_noise: float | None = None,
) -> Measurement:
    """Load a noisy picture, volume or time series.

    Args:
        path: picture, or .npz with `measurement`.
        sigma: standard deviation of the noise (0..255 scale), `auto` to estimate it from the
            picture, None to use what the file says.
        volume: the file holds `(D, H, W)`, to be fitted as a whole.
        series: the folder or file holds the frames of a time series, see `read_series`.
        key: name of the array that is measured, where that is not `measurement`.
        photons: mean count of a white pixel, for a picture that is counts divided by it; None
            takes the file's, if any.
        read_noise: standard deviation of the read-out's noise, in photons.

    Raises:
        UserError: unreadable file, a negative sigma, a volume of one slice, or photons beside a
            sigma or of a series.
    """
    require_one_of(volume, series)
    photo = read_series(path, key=key) if series else read_photo(path, volume=volume, key=key)
    level, notes = photo.sigma, photo.notes
    if sigma == "auto":
        level = estimate_noise(photo.y)
        notes = (*notes, f"noise level estimated from the picture: sigma {255 * level:.1f} of 255")
    else:
        level, replaced = level_given(photo, sigma)
        notes += replaced
        notes = notes if level is None else (*notes, *sigma_doubts(photo.y, level, option=True))
    counts, told = photon_noise(path, photons, read_noise)
    if counts is not None and (sigma is not None or series):
        other = "--series" if series else "--sigma"
        raise UserError(
            f"{other} does not go with photons, whose noise is known by their number and not the "
            "same everywhere: leave out one of the two"
        )
    if counts is not None:
        level, notes = None, (*photo.notes, *told)
    physics: Physics = counted(Denoise(tuple(photo.y.shape[1:])), counts, photo.y)
    if series:
        channels, count, height, width = photo.y.shape[1:]
        physics = Series([Denoise((channels, height, width))] * count)
    return photo_measurement("denoise", path, photo, physics, level, notes)
