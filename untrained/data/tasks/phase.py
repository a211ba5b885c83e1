"""Load amplitudes of the Fourier transform of a zero-padded picture."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from torch import Tensor

from untrained.data.arrays import read_optional, read_sigma
from untrained.data.formats import unnamed_array_suffixes
from untrained.data.measurement import Measurement
from untrained.data.named import open_measurement
from untrained.data.parameters import advise_without, note_replaced
from untrained.data.tasks.encoded import encoded_measurement, read_image_shape, read_measured
from untrained.doubts.photographs import amplitude_doubts
from untrained.errors import UserError
from untrained.physics.phase import PhaseRetrieval

BRIGHTNESS = 1.05  # the mean of an image in [0, 1], and some noise
NEGATIVE = 0.1  # of the largest amplitude, which is that of frequency zero


def load_phase(
    path: str | Path,
    *,
    pad: int | None = None,
    complex_image: bool = False,
    key: str | None = None,
) -> Measurement:
    """Load amplitudes of the centred orthonormal Fourier transform of a zero-padded picture.

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
        y = read_measured(file, "(H, W) or (C, H, W)", 2)
        frame = (y.shape[2], y.shape[3])
        own = read_image_shape(file) if "image_shape" in file.keys else None
        label = file.label("measurement")
        sigma, truth = read_sigma(file), read_optional(file, "reference")
        stored = read_optional(file, "complex_image")
    said_complex = stored is not None and bool(np.any(stored))
    hint = ""
    if complex_image and not said_complex:
        hint = advise_without("--complex", True, "complex_image", stored)
    complex_image = complex_image or said_complex
    sides = _sides(path, frame, pad, own)
    if pad is not None and own != sides:
        hint = advise_without("--pad", pad, "image_shape", own)
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
        notes += note_replaced("--pad", sides, "image_shape", own)
    return encoded_measurement("phase", path, y, physics, sigma, truth, notes, hint)


def _sides(
    path: str | Path, frame: tuple[int, int], pad: int | None, own: tuple[int, int] | None
) -> tuple[int, int]:
    """Find the picture's rows and columns within `frame`: as the option says, or the file."""
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


def _check_amplitudes(y: Tensor, path: str | Path) -> None:
    """Refuse amplitudes that are plainly none; noise makes small ones a little negative."""
    largest = float(y.abs().max())
    below = y < -NEGATIVE * largest
    if bool(below.any()):
        raise UserError(
            f"{path} holds {int(below.sum())} negative amplitudes, down to {float(y.min()):.4g}; "
            "amplitudes are 0 or more: save the magnitude of the Fourier transform, np.abs(f)"
        )


def _check_brightness(
    y: Tensor, sides: tuple[int, int], path: str | Path, complex_image: bool
) -> None:
    """Refuse amplitudes of a picture that is not in [0, 1], by the one of frequency zero.

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
