"""Loader of nldeblur: a picture blurred non-linearly, by BKSE or by the built-in blur."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from untrained.data.arrays import read_optional, require_finite
from untrained.data.formats import is_picture, open_arrays
from untrained.data.measurement import Measurement
from untrained.data.parameters import kernel_label, note_replaced, note_replaced_kernel, read_kernel
from untrained.data.tasks.photo import photo_measurement, read_photo, shape_of
from untrained.doubts.photographs import kernel_doubts
from untrained.errors import UserError, from_file
from untrained.physics.bkse import BKSE, NonlinearBlur, load_bkse, weights_digest


@dataclass(frozen=True)
class _Stored:
    """What a file says of its blur; None where it is silent."""

    kernel: np.ndarray | None = None
    code: np.ndarray | None = None
    weights: str | None = None


def load_nldeblur(
    path: str | Path,
    *,
    kernel: str | Path | None = None,
    weights: str | Path | None = None,
    key: str | None = None,
) -> Measurement:
    """Load a non-linearly blurred picture.

    A file with `bkse_kernel` was blurred by BKSE and needs the weights that blurred it; any other
    is taken to be blurred by `NonlinearBlur`.

    Args:
        path: picture, or .npz with `measurement` and `kernel`, or `bkse_kernel` and
            `bkse_weights`.
        kernel: array or grey picture of the built-in blur's kernel; None takes the file's.
        weights: file of BKSE weights.
        key: name of the array that is measured, where that is not `measurement`.

    Raises:
        UserError: unreadable file; no kernel; BKSE without weights, with other weights than
            blurred the picture, or not 256 x 256; weights for a picture that BKSE did not blur.
    """
    photo = read_photo(path, key=key)
    stored = _Stored() if is_picture(path) else _read_stored(path)
    if stored.code is not None and kernel is None:
        physics = _bkse(path, stored, weights)
        with from_file(path):
            physics.initial(photo.y)  # refuses another size than 256 x 256
        return photo_measurement("nldeblur", path, photo, physics, photo.sigma, photo.notes)
    if weights is not None:
        raise UserError(
            f"--bkse: {path} does not hold 'bkse_kernel', the code that BKSE blurs with; make "
            "one with `untrained simulate nldeblur --bkse`, or leave --bkse out"
        )
    values = stored.kernel if kernel is None else read_kernel(kernel)
    if values is None:
        raise UserError(f"{path} does not hold the blur kernel: give --kernel FILE")
    with from_file(path if kernel is None else kernel):
        doubts = kernel_doubts(values, kernel_label(kernel))
        blur = NonlinearBlur(values, shape_of(photo.y))
    if kernel is not None:
        doubts += note_replaced_kernel(values, stored.kernel)
        doubts += note_replaced("--kernel", values, "bkse_kernel", stored.code)
    notes = (*photo.notes, *doubts, "the blur is this library's non-linear one, not BKSE")
    return photo_measurement("nldeblur", path, photo, blur, photo.sigma, notes)


def _read_stored(path: str | Path) -> _Stored:
    with open_arrays(path) as file:
        kernel, code = read_optional(file, "kernel"), read_optional(file, "bkse_kernel")
        weights = read_optional(file, "bkse_weights")
    for name, values in (("kernel", kernel), ("bkse_kernel", code)):
        if values is not None:
            require_finite(values, f"'{name}' in {path}")
    return _Stored(kernel, code, None if weights is None else str(weights))


def _bkse(path: str | Path, stored: _Stored, weights: str | Path | None) -> BKSE:
    if weights is None:
        raise UserError(
            f"{path} was blurred by BKSE: give --bkse FILE, the weights it was blurred with"
        )
    network = load_bkse(weights, "--bkse")
    if stored.weights is not None and weights_digest(network) != stored.weights:
        raise UserError(
            f"--bkse: {weights} is not the file that blurred {path}: its SHA-256 is "
            f"{weights_digest(network)[:12]}..., not {stored.weights[:12]}..."
        )
    with from_file(path):
        return BKSE(network, np.asarray(stored.code))
