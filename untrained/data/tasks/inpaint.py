"""Load a picture, volume or time series with missing pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor

from untrained.data.formats import (
    is_lossy,
)
from untrained.data.lost import LOST, unmark_invalid
from untrained.data.measurement import Measurement
from untrained.data.parameters import (
    note_replaced,
    read_mask,
)
from untrained.data.series import frame_masks, read_series, require_one_of
from untrained.data.shared_mark import find_shared_mark
from untrained.data.tasks.photo import Photo, level_given, photo_measurement, read_photo
from untrained.doubts.photographs import (
    hole_doubts,
    mask_doubts,
)
from untrained.errors import UserError, from_file
from untrained.physics.base import Physics
from untrained.physics.inpaint import Inpaint
from untrained.physics.series import Series


def load_inpaint(
    path: str | Path,
    *,
    mask: str | Path | None = None,
    mask_from: str | Path | None = None,
    sigma: float | str | None = None,
    volume: bool = False,
    series: bool = False,
    key: str | None = None,
) -> Measurement:
    """Load a picture, volume or time series with missing pixels.

    Args:
        path: picture, or .npz with `measurement` and `mask`.
        mask: picture or array of the picture's size, white or 1 where pixels are measured. None
            takes the file's `mask`, or else treats pixels that are 0 in all channels as missing.
            NaN, infinite values and those far outside [0, 1] are missing whatever the mask says.
        mask_from: another picture with the same visible mark at the same place: what the mark
            covers is missing, see `find_shared_mark`.
        sigma: standard deviation of the noise in the measured pixels (0..255 scale), `auto` to have
            it estimated; None takes the file's `sigma`, where it has one.
        volume: the file holds `(D, H, W)`, to be fitted as a whole; the mask likewise, or
            `(H, W)` for all slices.
        series: the folder or file holds the frames of a time series, see `read_series`; the mask
            is `(T, H, W)`, or `(H, W)` for all frames.
        key: name of the array that is measured, where that is not `measurement`.

    Raises:
        UserError: unreadable file, a mask of another size or with values between 0 and 1, or no
            mask and no black pixel, a negative sigma, or a volume of one slice.
    """
    require_one_of(volume, series)
    if mask_from is not None and (mask is not None or volume or series):
        given = "--mask" if mask is not None else "--volume" if volume else "--series"
        raise UserError(f"--mask-from finds the mask of one picture: leave {given} out")
    if series:
        return _load_series(path, mask, sigma, key)
    photo = read_photo(path, "mask", volume, keep_lost=True, key=key)
    notes = photo.notes
    chosen: np.ndarray
    if mask_from is not None:
        chosen, more = _shared(photo, mask_from)
        notes += more
    elif mask is not None:
        chosen, more = read_mask(mask, volume)
        notes += (*more, *note_replaced("--mask", chosen, "mask", photo.extra))
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
        chosen, more = unmark_invalid(chosen, photo.lost)
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
    return _measurement(path, photo, physics, sigma, notes)


def _measurement(
    path: str | Path,
    photo: Photo,
    physics: Physics,
    sigma: float | str | None,
    notes: tuple[str, ...],
) -> Measurement:
    """Make the measurement of what is kept, with the noise level that is given, if any."""
    level, more = level_given(photo, sigma)
    notes += more
    kept = Photo(physics.A(photo.y), photo.reference, level, None, notes)
    return photo_measurement("inpaint", path, kept, physics, level, notes)


def _load_series(
    path: str | Path, mask: str | Path | None, sigma: float | str | None, key: str | None
) -> Measurement:
    """Load a time series with missing pixels."""
    photo = read_series(path, "mask", key)
    notes = photo.notes
    label = f"'mask' in {path}"
    chosen = photo.extra
    if mask is not None:
        chosen, more = read_mask(mask, volume=True)
        label = f"--mask: {mask}"
        notes += (*more, *note_replaced("--mask", chosen, "mask", photo.extra))
    elif chosen is None:
        chosen = np.any(photo.y[0].numpy() != 0, axis=0)
        if chosen.all():
            raise UserError(
                f"{path} has no black pixel and no mask says what is missing: give --mask FILE "
                "(white = measured), for all frames or (T, H, W)"
            )
        notes += ("no mask was given: pixels that are 0 in every channel count as missing",)
    channels, _, height, width = photo.y.shape[1:]
    with from_file(path if mask is None else mask):
        each = frame_masks(np.asarray(chosen), photo.y, label)
        if all(one is each[0] for one in each):
            notes += ("the mask holds for every frame",)
        frames = [Inpaint(one, (channels, height, width)) for one in each]
    physics = Series(frames)
    if physics.mask is not None and bool((physics.mask == 1).all()):
        raise UserError(
            f"{mask or path}: the mask marks every pixel as measured, so that there is nothing to "
            "fill in; it is 0 or black where pixels are missing (transparency does not count)"
        )
    return _measurement(path, photo, physics, sigma, notes)


def _shared(photo: Photo, other: str | Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """Find the mask of the mark that a picture shares with another one, and a note on it."""
    mark = find_shared_mark(photo.y[0].double().numpy(), read_photo(other).y[0].double().numpy())
    colour = ", ".join(f"{value:.2f}" for value in mark.colour)
    return ~mark.support, (
        f"the mark that {Path(other).name} shares covers {mark.support.mean():.1%} of the picture, "
        f"its edges included; its opacity is about {mark.opacity:.2f}, its colour {colour} (of 1): "
        "look whether traces of it are left, and give a mask of your own (--mask) if there are",
    )


def _black_pixels(y: Tensor, path: str | Path) -> np.ndarray:
    measured = np.any(y[0].numpy() != 0, axis=0)
    if measured.all():
        raise UserError(
            f"{path} has no black pixel and no mask says what is missing: give --mask FILE "
            "(white = measured)"
        )
    return measured
