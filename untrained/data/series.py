"""Time series from files: a folder of pictures, a TIFF of several pages, or an array."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from untrained.data.arrays import read_optional, read_sigma, require_finite
from untrained.data.formats import (
    find_format,
    has_named_arrays,
    has_one_slice,
    is_picture,
    picture_suffixes,
    read_pixels,
)
from untrained.data.formats.advice import other_format
from untrained.data.formats.base import ArrayFormat
from untrained.data.images import check_photograph, picture_from_array, read_picture
from untrained.data.named import open_measurement, require_no_key
from untrained.data.tasks.photo import Photo, noise_level
from untrained.errors import UserError, from_file

LEAST = 2
MOST_COLOURS = 4


def read_series(path: str | Path, parameter: str | None = None, key: str | None = None) -> Photo:
    """Read a time series of pictures, all of one size, as `(1, C, T, H, W)`.

    A folder holds a picture a frame, in the order of their names (numbers in them count as
    numbers); a TIFF has a page a frame; an array is `(T, H, W)` or `(T, C, H, W)`, alone (.npy) or
    as `measurement` of an .npz, which may hold `reference`, `sigma` and one `parameter`, too.

    Args:
        path: folder or file.
        parameter: name of a further array of an .npz.
        key: name of the array that is measured, where that is not `measurement`.

    Raises:
        UserError: unreadable, frames of several sizes, fewer than two, or of another kind.
    """
    place = Path(path)
    if place.is_dir():
        require_no_key(path, key)
        found = _from_folder(place)
    elif find_format(path) is None:
        expected = f"a folder of pictures, or a file ({', '.join(picture_suffixes())}, .npz)"
        raise other_format(path, "input", expected)
    elif has_named_arrays(path):
        found = _from_arrays(path, parameter, key)
    else:
        require_no_key(path, key)
        found = _from_file(path)
    check_photograph(found.y.numpy(), path)
    return found


def count_frames(path: str | Path, key: str | None = None) -> int:
    """Count the frames of a time series; raises as `read_series`, naming the file."""
    with from_file(path):
        return read_series(path, key=key).y.shape[2]


def require_one_of(volume: bool, series: bool) -> None:
    """Refuse --volume together with --series."""
    if volume and series:
        raise UserError(
            "--volume takes the images of a file for slices, --series for frames: leave out one"
        )


def frame_masks(mask: np.ndarray, y: Tensor, label: str) -> list[np.ndarray]:
    """Give every frame of a series `(1, C, T, H, W)` its mask, from one for all or one for each.

    Raises:
        UserError: another shape than `(H, W)`, `(T, H, W)` or `(T, C, H, W)`.
    """
    channels, count, height, width = y.shape[1:]
    if mask.shape == (height, width):
        return [mask] * count
    fits = ((count, height, width), (count, 1, height, width), (count, channels, height, width))
    if mask.shape not in fits:
        raise UserError(
            f"{label} has shape {mask.shape}; of {count} frames of {height} x {width} it is "
            f"({height}, {width}) for all, or ({count}, {height}, {width})"
        )
    return list(mask)


def stacked_frames(array: np.ndarray, label: str) -> tuple[Tensor, tuple[str, ...]]:
    """Make a series `(1, C, T, H, W)` of an array `(T, H, W)` or `(T, C, H, W)`, and notes.

    Raises:
        UserError: another number of axes, one frame, or complex values.
    """
    if array.ndim not in (3, 4) or (array.ndim == 4 and array.shape[1] > MOST_COLOURS):
        raise UserError(
            f"{label} has shape {array.shape}; a series is (T, H, W), or (T, C, H, W) with at most "
            f"{MOST_COLOURS} channels"
        )
    if len(array) < LEAST:
        raise UserError(f"{label} has one frame, which is no series: leave out --series")
    if np.iscomplexobj(array):
        raise UserError(f"{label} is complex; this task takes real images")
    largest = np.abs(require_finite(array, label)).max()
    pictures = [picture_from_array(frame, f"{label}, frame {t}") for t, frame in enumerate(array)]
    dark = array.dtype.kind in "iu" and largest > 0.1 * np.iinfo(array.dtype).max
    notes = [n for p in pictures for n in p.notes if not (dark and "is dark" in n)]
    frames = np.stack([p.pixels for p in pictures], axis=1)
    return torch.from_numpy(frames)[None], tuple(dict.fromkeys(notes))


def _series(y: Tensor, what: str, notes: tuple[str, ...]) -> Photo:
    channels, count, height, width = y.shape[1:]
    colour = "" if channels == 1 else f", {channels} channels"
    told = f"{what}: a series of {count} frames of {height} x {width}{colour}"
    return Photo(y, None, None, None, (told, *notes))


def _from_folder(place: Path) -> Photo:
    names = [one for one in place.iterdir() if one.is_file() and not one.name.startswith(".")]
    frames = sorted((one for one in names if has_one_slice(one) or is_tiff(one)), key=_by_number)
    if len(frames) < LEAST:
        raise UserError(
            f"input: the folder {place} holds {len(frames)} pictures of its own; a series is a "
            f"folder of at least {LEAST}, one a frame (PNG, JPEG, TIFF)"
        )
    left = len(names) - len(frames)
    notes: list[str] = [f"{left} files of the folder are no pictures, and left out"] if left else []
    pixels = []
    for one in frames:
        picture = read_picture(one)
        notes += picture.notes
        pixels.append(picture.pixels)
        if pixels[-1].shape != pixels[0].shape:
            raise UserError(
                f"input: {one} is {pixels[-1].shape} (C, H, W), and {frames[0].name} is "
                f"{pixels[0].shape}; the frames of a series have one size"
            )
    y = torch.from_numpy(np.stack(pixels, axis=1))[None]
    order = f"from {frames[0].name} to {frames[-1].name}"
    return _series(y, order, tuple(dict.fromkeys(notes)))


def is_tiff(path: Path) -> bool:
    """Tell whether a file is a TIFF, by its suffix."""
    return path.suffix.lower() in (".tif", ".tiff")


def _by_number(path: Path) -> list[tuple[int, str]]:
    """Sort names so that frame 10 comes after frame 9."""
    parts = re.split(r"(\d+)", path.name)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def _from_file(path: str | Path) -> Photo:
    if has_one_slice(path) or not is_picture(path):
        raise UserError(
            f"{path} is one picture, which is no series: give the folder of the frames, a TIFF of "
            "several pages or an array (T, H, W), or leave out --series"
        )
    array, notes = read_pixels(path, pages=True)
    kind = "frames" if isinstance(find_format(path), ArrayFormat) else "pages"
    y, more = stacked_frames(array, f"input: {path}")
    return _series(y, f"{kind} of {Path(path).name}", (*notes, *more))


def _from_arrays(path: str | Path, parameter: str | None, key: str | None) -> Photo:
    with open_measurement(path, "measurement", key) as file:
        y, notes = stacked_frames(file.read("measurement"), file.label("measurement"))
        truth = read_optional(file, "reference")
        sigma = read_sigma(file)
        extra = None if parameter is None else read_optional(file, parameter)
    reference = None
    if truth is not None:
        reference = stacked_frames(truth, f"'reference' in {path}")[0]
    if extra is not None:
        require_finite(extra, f"'{parameter}' in {path}")
    found = _series(y, Path(path).name, notes)
    level = None if sigma is None else noise_level(sigma)
    return Photo(found.y, reference, level, extra, found.notes)
