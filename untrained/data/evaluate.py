"""An image file against a reference file, and references given beside a measurement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from untrained.checks import check_unit_range
from untrained.data.arrays import ARRAY_SUFFIXES, open_arrays, require_finite, require_keys
from untrained.data.images import Picture, from_array, read_picture
from untrained.data.measurement import Measurement
from untrained.data.mri import FASTMRI_IMAGES, in_the_middle
from untrained.errors import UserError, from_file
from untrained.maths import to_channels
from untrained.methods.presets import PHOTOGRAPHS
from untrained.metrics import OTHER_UNITS, evaluate, other_units

REFERENCE, GUIDE = "--reference", "--guide"


def evaluate_files(
    image: str | Path,
    reference: str | Path,
    data_range: float | str = "auto",
    slice: int | None = None,
) -> dict[str, float]:
    """PSNR, SSIM, NRMSE and HFEN of two image files, and the range they were taken with.

    Args:
        image: image file; complex values are compared by magnitude.
        reference: image file, or an .npz / .h5 whose `reference` is taken; without one fastMRI's
            `reconstruction_rss` or `_esc`, over the middle of the image that it shows.
        slice: which of several slices of fastMRI's; None = as many as the image has, or the
            middle one.
        data_range: `auto` (max |reference| for complex images, 1 for a reference of integers), or
            a positive number.

    Returns:
        `psnr ssim nrmse hfen range`.

    Raises:
        UserError: unreadable files, unequal shapes, or `auto` for real floats, whose range the
            file does not tell.
    """
    found = read_picture(image, "image")
    truth = _truth(reference, found, slice)
    if found.pixels.shape != truth.pixels.shape:
        raise UserError(
            f"{image} is {found.pixels.shape} and {reference} is {truth.pixels.shape} (C, H, W); "
            "they must agree"
        )
    full = _range(found, truth, data_range, reference)
    is_complex = np.iscomplexobj(found.pixels) or np.iscomplexobj(truth.pixels)
    # In files a complex image has a complex type: two real channels are just two channels here.
    a, b = (np.abs(p.pixels)[:, None] if is_complex else p.pixels[:, None] for p in (found, truth))
    return {**evaluate(a, b, data_range=full), "range": full}


def unit_notes(
    image: str | Path, reference: str | Path, slice: int | None = None
) -> tuple[str, ...]:
    """Ask about two image files that show the same in other units; as of `evaluate_files`."""
    found = read_picture(image, "image")
    planes = [np.abs(p.pixels) for p in (found, _truth(reference, found, slice))]
    times = other_units(*(torch.from_numpy(plane) for plane in planes))
    return () if times is None else (OTHER_UNITS.format(times),)


def _truth(path: str | Path, image: Picture, index: int | None) -> Picture:
    """The reference that a file holds for an image `(C, H, W)`, or for that many slices."""
    own = _fastmri_key(path)
    if own is None:
        if index is not None:
            raise UserError(f"{path}: --slice counts the slices of fastMRI's files; leave it out")
        return _read(path, "reference")
    with open_arrays(path, "reference") as file:
        shape = file.shape(own)
        count = shape[0] if len(shape) == 3 else 1
        if index is None and len(image.pixels) not in (1, count):
            raise UserError(
                f"the image has {len(image.pixels)} slices and '{own}' in {path} {count}: give "
                "--slice N, or the images of all slices"
            )
        one = count // 2 if index is None else index
        if not 0 <= one < count:
            raise UserError(f"{path} has {count} slices, counted from 0; there is no slice {one}")
        wanted = range(count) if index is None and len(image.pixels) == count else [one]
        planes = [file.read(own, number if len(shape) == 3 else None) for number in wanted]
    size = image.pixels.shape[1:]
    laid = [in_the_middle(require_finite(p, f"'{own}' in {path}"), size) for p in planes]
    if any(plane is None for plane in laid):
        raise UserError(
            f"'{own}' in {path} is {planes[0].shape}, larger than the image, {size}; crop it"
        )
    return Picture(np.stack([plane for plane in laid if plane is not None]), False, ())


def _fastmri_key(path: str | Path) -> str | None:
    """Which of fastMRI's images stands for a reference that is not there; None = no such file."""
    if Path(path).suffix.lower() not in ARRAY_SUFFIXES:
        return None
    with open_arrays(path, "reference") as file:
        if "reference" in file.keys:
            return None
        there = (key for key in FASTMRI_IMAGES if key in file.keys)
        return next((key for key in there if len(file.shape(key)) in (2, 3)), None)


def with_reference(measurement: Measurement, path: str | Path) -> Measurement:
    """The measurement with the reference of a file, for reporting, and the range for its PSNR.

    The range is 1 for photographs and max |reference| for everything else.

    Args:
        measurement: what a loader returned.
        path: image file, or an .npz / .h5 whose `reference` is taken.

    Raises:
        UserError: unreadable, complex where the task is real, or not of the image's shape.
    """
    pixels = _read(path, REFERENCE, _is_volume(measurement)).pixels
    return _referenced(measurement, _like(measurement, pixels, path, REFERENCE))


def with_references(slices: Sequence[Measurement], path: str | Path) -> list[Measurement]:
    """Every slice with its own reference, from a stack of as many as there are slices.

    Raises:
        UserError: as of `with_reference`, or another number of images.
    """
    if len(slices) == 1:
        return [with_reference(slices[0], path)]
    pixels = _read(path, REFERENCE, pages=True).pixels
    if len(pixels) != len(slices):
        raise UserError(
            f"{REFERENCE}: {path} is {pixels.shape}, and {len(slices)} slices are reconstructed: "
            f"give a stack ({len(slices)}, H, W), or take one slice"
        )
    return [
        _referenced(m, _like(m, pixels[i : i + 1], path, REFERENCE)) for i, m in enumerate(slices)
    ]


def _referenced(measurement: Measurement, values: Tensor) -> Measurement:
    largest = float(torch.linalg.vector_norm(values, dim=1).max()) or None
    full = 1.0 if measurement.task in PHOTOGRAPHS else largest
    return replace(measurement, reference=values, data_range=full)


def read_guides(measurement: Measurement, paths: Sequence[str | Path]) -> Tensor:
    """Clean images of similar content, `(M, C, H, W)`, for the methods that lean on some.

    Args:
        measurement: what a loader returned.
        paths: image files, or .npz / .h5 whose `reference` is taken; for MRI complex, or a
            magnitude.

    Raises:
        UserError: unreadable, complex where the task is real, or not of the image's shape.
    """
    pages = _is_volume(measurement)
    return torch.cat([_like(measurement, _read(p, GUIDE, pages).pixels, p, GUIDE) for p in paths])


def read_clean(task: str, path: str | Path) -> Tensor:
    """A clean image to learn from, `(1, C, H, W)`; `(1, 2, H, W)` where it is complex.

    Args:
        task: of the reconstructions to come.
        path: an image file, or an .npz / .h5 whose `reference` is taken; for MRI complex, or a
            magnitude; complex for phase retrieval or an operator of your own, too.

    Raises:
        UserError: unreadable, several images, complex where the task is real, colours where it
            has none, or values far outside [0, 1] where images live there.
    """
    pixels = _read(path, "input").pixels
    may_be_complex = np.iscomplexobj(pixels) and task in ("phase", "custom")
    if task == "mri" or may_be_complex:
        if len(pixels) != 1:
            raise UserError(
                f"{path} is {pixels.shape}: a clean image of {task} is (H, W), complex or (for "
                "MRI) a magnitude; save one slice a file"
            )
        return to_channels(torch.from_numpy(pixels).to(torch.complex64))
    if np.iscomplexobj(pixels):
        raise UserError(f"{path} is complex, but {task} images are real")
    if task == "ct" and len(pixels) != 1:
        raise UserError(f"{path} is {pixels.shape}: a clean image of ct has one channel")
    image = torch.from_numpy(pixels)[None]
    if task in PHOTOGRAPHS:
        with from_file(path):
            check_unit_range(image, "denoise")
    return image


def _like(measurement: Measurement, pixels: np.ndarray, path: str | Path, option: str) -> Tensor:
    """The image of a file as `(1, *x_shape)`."""
    values = torch.from_numpy(pixels)
    expected = tuple(measurement.physics.x_shape)
    is_complex = measurement.task == "mri" or getattr(measurement.physics, "complex_image", False)
    is_volume = _is_volume(measurement)
    if is_volume:
        values = values[None]
    if is_complex and (is_volume or len(pixels) == 1):
        values = to_channels(values.to(torch.complex64))
    elif np.iscomplexobj(pixels) and not is_complex:
        raise UserError(f"{option}: {path} is complex, but {measurement.task} images are real")
    else:
        values = values[None]
    if tuple(values.shape[1:]) != expected:
        raise UserError(
            f"{option}: {path} is {pixels.shape} {pixels.dtype}, but the image to reconstruct "
            f"is {expected} ({'C, D, H, W' if is_volume else 'C, H, W'})"
        )
    return values


def _is_volume(measurement: Measurement) -> bool:
    return len(measurement.physics.x_shape) == 4


def _read(path: str | Path, what: str, pages: bool = False) -> Picture:
    if Path(path).suffix.lower() not in ARRAY_SUFFIXES:
        return read_picture(path, what, pages)
    with open_arrays(path, what) as file:
        require_keys(file, "reference")
        return from_array(file.read("reference"), f"'reference' in {path}")


def _range(found: Picture, truth: Picture, asked: float | str, path: str | Path) -> float:
    if asked != "auto":
        return _positive(asked)
    if np.iscomplexobj(found.pixels) or np.iscomplexobj(truth.pixels):
        largest = float(np.nanmax(np.abs(truth.pixels)))
        if largest == 0:
            raise UserError(f"{path} is zero everywhere: give the range with --range")
        return largest
    if truth.integer:
        return 1.0
    raise UserError(
        f"{path} holds real floats, whose range the file does not tell: give --range "
        "(1 for pictures in [0, 1])"
    )


def _positive(asked: float | str) -> float:
    try:
        value = float(asked)
    except ValueError:
        value = 0.0
    if not (np.isfinite(value) and value > 0):
        raise UserError(f"--range must be auto or a positive number, got '{asked}'")
    return value
