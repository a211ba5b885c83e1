"""References and guides given beside a measurement, and clean images to learn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from untrained.checks import check_unit_range
from untrained.data.formats import has_named_arrays, is_measured, open_arrays
from untrained.data.formats.base import require_keys
from untrained.data.images import Picture, in_units, picture_from_array, read_picture
from untrained.data.measurement import Measurement
from untrained.data.series import read_series, stacked_frames
from untrained.errors import UserError, from_file
from untrained.maths import as_components, to_channels
from untrained.tasks import find_task

REFERENCE, GUIDE = "--reference", "--guide"


def with_reference(measurement: Measurement, path: str | Path) -> Measurement:
    """Add the reference of a file to a measurement, for reporting, and the range for its PSNR.

    The range is 1 for photographs and max |reference| for everything else.

    Args:
        measurement: what a loader returned.
        path: image file, or an .npz / .h5 whose `reference` is taken.

    Raises:
        UserError: unreadable, complex where the task is real, or not of the image's shape.
    """
    if measurement.physics.is_series and not measurement.physics.complex_image:
        return _referenced(measurement, _series_like(measurement, path))
    pixels = read_reference(path, REFERENCE, _is_volume(measurement)).pixels
    if is_measured(path):
        pixels = in_units(pixels, measurement.units)
    return _referenced(measurement, _like(measurement, pixels, path, REFERENCE))


def with_references(slices: Sequence[Measurement], path: str | Path) -> list[Measurement]:
    """Give every slice its own reference, from a stack of as many as there are slices.

    Raises:
        UserError: as of `with_reference`, or another number of images.
    """
    if len(slices) == 1:
        return [with_reference(slices[0], path)]
    pixels = read_reference(path, REFERENCE, pages=True).pixels
    if len(pixels) != len(slices):
        raise UserError(
            f"{REFERENCE}: {path} is {pixels.shape}, and {len(slices)} slices are reconstructed: "
            f"give a stack ({len(slices)}, H, W), or take one slice"
        )
    return [
        _referenced(m, _like(m, pixels[i : i + 1], path, REFERENCE)) for i, m in enumerate(slices)
    ]


def _series_like(measurement: Measurement, path: str | Path) -> Tensor:
    """Read a series, or the `reference` of an .npz or .h5, in the shape `(1, *x_shape)`."""
    if has_named_arrays(path):
        with open_arrays(path, REFERENCE) as file:
            require_keys(file, "reference")
            values = stacked_frames(file.read("reference"), f"'reference' in {path}")[0]
    else:
        values = read_series(path).y
    expected = measurement.physics.image_shape(measurement.y)
    if tuple(values.shape[1:]) != expected:
        raise UserError(
            f"{REFERENCE}: {path} is {tuple(values.shape[1:])}, but the series to reconstruct is "
            f"{expected} (C, T, H, W)"
        )
    return values


def _referenced(measurement: Measurement, values: Tensor) -> Measurement:
    largest = float(torch.linalg.vector_norm(values, dim=1).max()) or None
    full = 1.0 if find_task(measurement.task).unit_range else largest
    return replace(measurement, reference=values, data_range=full)


def read_guides(measurement: Measurement, paths: Sequence[str | Path]) -> Tensor:
    """Read clean images of similar content, `(M, C, H, W)`, for the methods that use some.

    Args:
        measurement: what a loader returned.
        paths: image files, or .npz / .h5 whose `reference` is taken; for MRI complex, or a
            magnitude.

    Raises:
        UserError: unreadable, complex where the task is real, or not of the image's shape.
    """
    pages = _is_volume(measurement)
    return torch.cat(
        [_like(measurement, read_reference(p, GUIDE, pages).pixels, p, GUIDE) for p in paths]
    )


def read_clean(task: str, path: str | Path) -> Tensor:
    """Read a clean image to learn from, `(1, C, H, W)`; `(1, 2, H, W)` where it is complex.

    Args:
        task: of the reconstructions to come.
        path: an image file, or an .npz / .h5 whose `reference` is taken; for MRI complex, or a
            magnitude; complex for phase retrieval or an operator of your own, too.

    Raises:
        UserError: unreadable, several images, complex where the task is real, colours where it
            has none, or values far outside [0, 1] where images live there.
    """
    pixels = read_reference(path, "input").pixels
    row = find_task(task)
    may_be_complex = np.iscomplexobj(pixels) and row.complex_image != "never"
    if row.complex_image == "always" or may_be_complex:
        if len(pixels) != 1:
            raise UserError(
                f"{path} is {pixels.shape}: a clean image of {task} is (H, W), complex or (for "
                "MRI) a magnitude; save one slice a file"
            )
        return to_channels(torch.from_numpy(pixels).to(torch.complex64))
    if np.iscomplexobj(pixels):
        raise UserError(f"{path} is complex, but {task} images are real")
    if row.channels == 1 and len(pixels) != 1:
        raise UserError(f"{path} is {pixels.shape}: a clean image of {task} has one channel")
    image = torch.from_numpy(pixels)[None]
    if row.unit_range:
        with from_file(path):
            check_unit_range(image)
    return image


def _like(measurement: Measurement, pixels: np.ndarray, path: str | Path, option: str) -> Tensor:
    """Bring the image of a file into the shape `(1, *x_shape)`."""
    values = torch.from_numpy(pixels)
    expected = measurement.physics.image_shape(measurement.y)
    always = find_task(measurement.task).complex_image == "always"
    is_complex = always or measurement.physics.complex_image
    is_volume = _is_volume(measurement)
    if is_volume:
        values = values[None]
    if is_complex and (is_volume or len(pixels) == 1):
        values = as_components(to_channels(values.to(torch.complex64)), expected[0])
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
    return len(measurement.physics.image_shape(measurement.y)) == 4


def read_reference(path: str | Path, what: str, pages: bool = False) -> Picture:
    """Read an image file, or the `reference` of an .npz or .h5. Raises as `read_picture`."""
    if not has_named_arrays(path):
        return read_picture(path, what, pages)
    with open_arrays(path, what) as file:
        require_keys(file, "reference")
        return picture_from_array(file.read("reference"), f"'reference' in {path}")
