"""Load a noisy picture or volume."""

from __future__ import annotations

from pathlib import Path

from untrained.data.measurement import Measurement
from untrained.data.parameters import (
    note_replaced,
)
from untrained.data.tasks.photo import noise_level, photo_measurement, read_photo
from untrained.doubts.photographs import (
    estimate_noise,
    sigma_doubts,
)
from untrained.physics.denoise import Denoise


def load_denoise(
    path: str | Path,
    *,
    sigma: float | str | None = None,
    volume: bool = False,
    key: str | None = None,
) -> Measurement:
    """Load a noisy picture or volume.

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
            notes += note_replaced("--sigma", sigma, "sigma", round(255 * photo.sigma, 6))
        notes = notes if level is None else (*notes, *sigma_doubts(photo.y, level, option=True))
    physics = Denoise(tuple(photo.y.shape[1:]))
    return photo_measurement("denoise", path, photo, physics, level, notes)
