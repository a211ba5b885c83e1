"""Loaders of cs and phase, whose measurements are no pictures.

Both read an .npz or .h5 with `measurement` and `image_shape`, as `untrained simulate` writes it;
images are photographs in [0, 1].
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from untrained.data.arrays import read_optional, read_sigma, single_precision
from untrained.data.formats import ArrayFile, unnamed_array_suffixes
from untrained.data.formats.base import require_keys
from untrained.data.images import from_array
from untrained.data.measurement import Measurement
from untrained.data.memory import check_size
from untrained.data.named import open_measurement
from untrained.data.parameters import instead, replaced
from untrained.data.tasks.photos import noise_level
from untrained.doubts.photographs import amplitude_doubts
from untrained.errors import UserError, from_file, shown
from untrained.maths import to_channels
from untrained.physics.base import Physics
from untrained.physics.compressed import CompressedSensing
from untrained.physics.phase import PhaseRetrieval

BYTES_PER_PIXEL = 64  # of random bits, their order, signs and complex spectra
LEAST_PER_PIXEL = 16  # bytes of a picture and the first things made of it
BRIGHTNESS = 1.05  # the mean of an image in [0, 1], and some noise
BRIGHTEST = 4.0  # its root mean square with noise as strong as the picture, and some more
NEGATIVE = 0.1  # of the largest amplitude, which is that of frequency zero


def load_cs(path: str | Path, *, key: str | None = None) -> Measurement:
    """Compressed measurements made by `CompressedSensing`.

    Args:
        path: .npz or .h5 with `measurement` `(m,)` or `(C, m)`, `image_shape` (rows, columns) and
            `matrix_seed`; optionally `sigma` (0..255 scale) and `reference`.
        key: name of the array that is measured, where that is not `measurement`.

    Raises:
        UserError: unreadable file, a missing key, or shapes that make no sense.
    """
    with open_measurement(path, "measurement", key) as file:
        require_keys(file, "image_shape", "matrix_seed")
        y = _measured(file, "(m,) or (C, m)", 1)
        height, width = _image_shape(file)
        seed = file.read("matrix_seed")
        sigma, truth = read_sigma(file), read_optional(file, "reference")
    if seed.size != 1 or seed.dtype.kind not in "iu":
        raise UserError(f"'matrix_seed' in {path} must be a whole number, found {shown(seed)}")
    with from_file(path):
        physics = CompressedSensing((y.shape[1], height, width), y.shape[2], int(seed.item()))
        _check_energy(y, height * width, path)
    return _encoded("cs", path, y, physics, sigma, truth, ())


def load_phase(
    path: str | Path,
    *,
    pad: int | None = None,
    complex_image: bool = False,
    key: str | None = None,
) -> Measurement:
    """Amplitudes of the centred orthonormal Fourier transform of a zero-padded picture.

    Args:
        path: .npy, .npz or .h5 with `measurement` `(H', W')` or `(C, H', W')`, zero frequency at
            `(H' // 2, W' // 2)`; optionally `image_shape` (rows, columns), `complex_image` (1 =
            yes), `sigma` (0..255 scale) and `reference`.
        pad: zeros on each side of the image; None takes the file's `image_shape`.
        complex_image: whether the image is complex, its values of magnitude at most 1; the file
            may say so too.
        key: name of the array that is measured, where that is not `measurement`.

    Raises:
        UserError: unreadable file, neither `pad` nor `image_shape`, an image that does not fit
            into the frame, amplitudes that no such image has, or several channels of a complex
            image.
    """
    with open_measurement(path, "measurement", key, unnamed_array_suffixes()) as file:
        y = _measured(file, "(H, W) or (C, H, W)", 2)
        frame = (y.shape[2], y.shape[3])
        own = _image_shape(file) if "image_shape" in file.keys else None
        label = file.label("measurement")
        sigma, truth = read_sigma(file), read_optional(file, "reference")
        stored = read_optional(file, "complex_image")
    said_complex = stored is not None and bool(np.any(stored))
    hint = ""
    if complex_image and not said_complex:
        hint = instead("--complex", True, "complex_image", stored)
    complex_image = complex_image or said_complex
    sides = _sides(path, frame, pad, own)
    if pad is not None and own != sides:
        hint = instead("--pad", pad, "image_shape", own)
    zeros = [f - s for f, s in zip(frame, sides, strict=True)]
    if complex_image and y.shape[1] > 1:
        raise UserError(f"{path}: a complex image has one channel of amplitudes, not {y.shape[1]}")
    channels = 2 if complex_image else y.shape[1]
    borders = (zeros[0] // 2, zeros[1] // 2)
    physics = PhaseRetrieval((channels, *sides), borders, complex_image=complex_image)
    _check_amplitudes(y, path)
    doubts = amplitude_doubts(y[0].numpy(), label) if y.any() else ()
    _check_brightness(y, sides, path, complex_image)
    notes: tuple[str, ...] = (
        *doubts,
        "the amplitudes do not tell whether the picture is turned by 180 degrees",
    )
    if complex_image:
        notes += ("nor its overall phase: the picture shows the magnitude",)
    if y.shape[1] > 1:
        notes += ("each channel was measured on its own, and may come back turned differently",)
    if pad is not None:
        notes += replaced("--pad", sides, "image_shape", own)
    return _encoded("phase", path, y, physics, sigma, truth, notes, hint)


def _sides(
    path: str | Path, frame: tuple[int, int], pad: int | None, own: tuple[int, int] | None
) -> tuple[int, int]:
    """Rows and columns of the picture in amplitudes of `frame`: as the option says, or the file."""
    if pad is not None:
        most = (min(frame) - 1) // 2
        if not 0 <= pad <= most:
            raise UserError(
                f"--pad must be the zeros on each side, from 0 to {most} in amplitudes of "
                f"{frame[0]}x{frame[1]} ({path}), got {pad}"
            )
        return frame[0] - 2 * pad, frame[1] - 2 * pad
    if own is None:
        raise UserError(f"{path} has no 'image_shape': give --pad, the zeros on each side")
    zeros = [f - s for f, s in zip(frame, own, strict=True)]
    if min(zeros) < 0 or any(z % 2 for z in zeros):
        raise UserError(
            f"{path}: a picture of {own[0]}x{own[1]}, as 'image_shape' says, cannot lie in the "
            f"middle of amplitudes of {frame[0]}x{frame[1]}; mend 'image_shape', or give --pad"
        )
    return own


def _measured(file: ArrayFile, layout: str, axes: int) -> Tensor:
    """`measurement` as a tensor `(1, C, ...)` with `axes` axes after the channels."""
    label = file.label("measurement")
    values = single_precision(file.read("measurement"), label)
    if np.iscomplexobj(values) or values.ndim not in (axes, axes + 1):
        raise UserError(f"{label} must be real {layout}, found {values.dtype} {values.shape}")
    full = values if values.ndim == axes + 1 else values[None]
    return torch.from_numpy(full)[None]


def _image_shape(file: ArrayFile) -> tuple[int, int]:
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


def _check_amplitudes(y: Tensor, path: str | Path) -> None:
    """Refuse amplitudes that are plainly none; noise makes small ones a little negative."""
    largest = float(y.abs().max())
    below = y < -NEGATIVE * largest
    if bool(below.any()):
        raise UserError(
            f"{path} holds {int(below.sum())} negative amplitudes, down to {float(y.min()):.4g}; "
            "amplitudes are 0 or more: save the magnitude of the Fourier transform, np.abs(f)"
        )


def _check_energy(y: Tensor, pixels: int, path: str | Path) -> None:
    """Refuse compressed measurements of what is no picture in [0, 1]: A keeps the energy."""
    level = math.sqrt(float(y.double().square().sum(-1).max()) / pixels)
    if level > BRIGHTEST:
        raise UserError(
            f"the measurements in {path} are those of a picture of {level:.4g} root mean square; "
            "pictures are taken to lie in [0, 1]: divide them by the white level (255 for 8 bits)"
        )


def _check_brightness(
    y: Tensor, sides: tuple[int, int], path: str | Path, complex_image: bool
) -> None:
    """The zero frequency is the sum of the pixels over the root of the frame's size.

    The pixels of a complex image may cancel there: its energy tells, which is that of y.
    """
    pixels = sides[0] * sides[1]
    if complex_image:
        mean = math.sqrt(float(y.square().sum()) / pixels)
    else:
        centre = y[..., y.shape[-2] // 2, y.shape[-1] // 2].max()
        mean = float(centre) * math.sqrt(y.shape[-2] * y.shape[-1]) / pixels
    if mean > BRIGHTNESS:
        raise UserError(
            f"the amplitudes in {path} are those of a picture with mean {mean:.4g}; pictures are "
            "taken to lie in [0, 1]: divide the amplitudes by the white level, or check --pad"
        )


def _encoded(
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
        reference = torch.from_numpy(from_array(truth, f"'reference' in {path}").pixels)[None]
        wanted = bool(getattr(physics, "complex_image", False))
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
