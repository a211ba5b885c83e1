"""Load compressed measurements: random combinations of all pixels."""

from __future__ import annotations

import math
from pathlib import Path

from torch import Tensor

from untrained.data.arrays import read_optional, read_sigma
from untrained.data.formats.base import require_keys
from untrained.data.measurement import Measurement
from untrained.data.named import open_measurement
from untrained.data.tasks.encoded import encoded_measurement, read_image_shape, read_measured
from untrained.errors import UserError, from_file, shown
from untrained.physics.compressed import CompressedSensing

BRIGHTEST = 4.0  # its root mean square with noise as strong as the picture, and some more


def load_cs(path: str | Path, *, key: str | None = None) -> Measurement:
    """Load compressed measurements made by `CompressedSensing`.

    Args:
        path: .npz or .h5 with `measurement` `(m,)` or `(C, m)`, `image_shape` (rows, columns) and
            `matrix_seed`; optionally `sigma` (0..255 scale) and `reference`.
        key: name of the array that is measured, where that is not `measurement`.

    Raises:
        UserError: unreadable file, a missing key, or shapes that make no sense.
    """
    with open_measurement(path, "measurement", key) as file:
        require_keys(file, "image_shape", "matrix_seed")
        y = read_measured(file, "(m,) or (C, m)", 1)
        height, width = read_image_shape(file)
        seed = file.read("matrix_seed")
        sigma, truth = read_sigma(file), read_optional(file, "reference")
    if seed.size != 1 or seed.dtype.kind not in "iu":
        raise UserError(f"'matrix_seed' in {path} must be a whole number, found {shown(seed)}")
    with from_file(path):
        physics = CompressedSensing((y.shape[1], height, width), y.shape[2], int(seed.item()))
        _check_energy(y, height * width, path)
    return encoded_measurement("cs", path, y, physics, sigma, truth, ())


def _check_energy(y: Tensor, pixels: int, path: str | Path) -> None:
    """Refuse compressed measurements of what is no picture in [0, 1]: A keeps the energy."""
    level = math.sqrt(float(y.double().square().sum(-1).max()) / pixels)
    if level > BRIGHTEST:
        raise UserError(
            f"the measurements in {path} are those of a picture of {level:.4g} root mean square; "
            "pictures are taken to lie in [0, 1]: divide them by the white level (255 for 8 bits)"
        )
