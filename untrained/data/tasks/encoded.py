"""What the loaders of cs and phase share, whose measurements are no pictures.

Both read an .npz or .h5 with `measurement` and `image_shape`, as `untrained simulate` writes it;
images are photographs in [0, 1].
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from untrained.data.arrays import single_precision
from untrained.data.formats import ArrayFile
from untrained.data.images import picture_from_array
from untrained.data.measurement import Measurement
from untrained.data.tasks.photo import noise_level
from untrained.errors import UserError, shown
from untrained.machine import check_size
from untrained.maths import to_channels
from untrained.physics.base import Physics

BYTES_PER_PIXEL = 64  # of random bits, their order, signs and complex spectra
LEAST_PER_PIXEL = 16  # bytes of a picture and the first things made of it


def read_measured(file: ArrayFile, layout: str, axes: int) -> Tensor:
    """Read `measurement` as a tensor `(1, C, ...)` with `axes` axes after the channels."""
    label = file.label("measurement")
    values = single_precision(file.read("measurement"), label)
    if np.iscomplexobj(values) or values.ndim not in (axes, axes + 1):
        raise UserError(f"{label} must be real {layout}, found {values.dtype} {values.shape}")
    full = values if values.ndim == axes + 1 else values[None]
    return torch.from_numpy(full)[None]


def read_image_shape(file: ArrayFile) -> tuple[int, int]:
    """Read the rows and columns of the image, which must fit into memory."""
    label = f"'image_shape' in {file.path}"
    sides = file.read("image_shape")
    whole = sides.shape == (2,) and sides.dtype.kind in "iu" and int(sides.min(initial=1)) >= 1
    if not whole:
        raise UserError(f"{label} must be two whole numbers (rows, columns), found {shown(sides)}")
    pixels = int(sides[0]) * int(sides[1])
    image = f"{label}: an image of {sides[0]}x{sides[1]}"
    check_size(BYTES_PER_PIXEL * pixels, BYTES_PER_PIXEL * pixels, image)
    # a file of a few bytes may name an image of any size
    check_size(LEAST_PER_PIXEL * pixels, file.path.stat().st_size, image)
    return int(sides[0]), int(sides[1])


def encoded_measurement(
    task: str,
    path: str | Path,
    y: Tensor,
    physics: Physics,
    sigma: float | None,
    truth: np.ndarray | None,
    notes: tuple[str, ...],
    hint: str = "",
) -> Measurement:
    """Join what was read to one problem; `hint` is for a reference of another shape."""
    reference = None
    if truth is not None:
        picture = picture_from_array(truth, f"'reference' in {path}")
        reference = torch.from_numpy(picture.pixels)[None]
        wanted = physics.complex_image
        if reference.is_complex() and wanted:
            reference = to_channels(reference[:, 0])
        if tuple(reference.shape[1:]) != physics.x_shape or reference.is_complex():
            raise UserError(
                f"'reference' in {path} is {reference.dtype} {tuple(reference.shape[1:])}, but "
                f"the image to reconstruct is {'complex' if wanted else 'real'} {physics.x_shape}"
                f"{hint}"
            )
    level = None if sigma is None else noise_level(sigma)
    axes = "YX" if y.shape[1] == 1 else "CYX"
    return Measurement(task, y, physics, level, reference, 1.0, notes, axes, str(path))
