"""The user's own operator: `module:callable` or `file.py:callable`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from untrained.data.arrays import read_one, read_optional, read_sigma, single_precision
from untrained.data.formats import has_named_arrays, is_numeric, is_picture, numeric_suffixes
from untrained.data.formats.advice import other_format
from untrained.data.images import read_image
from untrained.data.measurement import Measurement
from untrained.data.named import open_measurement, require_no_key
from untrained.errors import UserError
from untrained.maths import to_channels
from untrained.own_code import build, own_code
from untrained.physics.check import adjoint_notes, require_float32
from untrained.physics.foreign import as_physics, has_map, optional

KIND = "operator"
AXES = {1: "YX", 2: "YX", 3: "CYX", 4: "ZYX"}


def load_custom(
    path: str | Path, *, physics: str | None = None, key: str | None = None
) -> Measurement:
    """Load measurements for an operator of the user's own.

    Args:
        path: .npy, .npz / .h5 with `measurement` (and optionally `reference` and `sigma`, in the
            units of the measurements), or a picture. The array has the shape of the operator's
            measurements, with or without the batch axis; complex values become two channels.
        physics: `module:callable` or `file.py:callable`, called without arguments; what it
            returns has `A` and `x_shape` (without the batch axis). A missing `A_adjoint` is
            derived by automatic differentiation.
        key: name of the array that is measured, where that is not `measurement`.

    Raises:
        UserError: unreadable file, an operator that cannot be loaded or built, or measurements
            of another shape than the operator produces.
    """
    if not physics:
        raise UserError("custom needs --physics MODULE:CALLABLE or FILE.py:CALLABLE")
    found = build(physics, KIND)
    x_shape = _x_shape(found, physics)
    y_shape = _measured_shape(found, x_shape, physics)
    with own_code(physics, KIND):
        operator = as_physics(found, x_shape)
    with own_code(f"{physics}, A_adjoint", KIND):
        notes = adjoint_notes(operator, x_shape, physics)
    values, truth, sigma, more = _read(path, key)
    y = _fitting(values, y_shape, f"input: {path}")
    reference = None if truth is None else _fitting(truth, x_shape, f"'reference' in {path}")
    return Measurement(
        task="custom",
        y=y,
        physics=operator,
        sigma=sigma,
        reference=reference,
        data_range=None if reference is None else float(reference.abs().max()) or None,
        notes=(*notes, *more),
        axes="YX" if x_shape[0] in (1, 2) and len(x_shape) == 3 else AXES.get(len(x_shape), "YX"),
        source=str(path),
    )


def _x_shape(operator: Any, spec: str) -> tuple[int, ...]:
    shape = optional(operator, "x_shape")
    try:
        sides = tuple(int(n) for n in shape)
    except (TypeError, ValueError):
        sides = ()
    if not 2 <= len(sides) <= 4 or min(sides) < 1:
        raise UserError(
            f"operator: the object that {spec} returns must have x_shape, the image's shape "
            f"without the batch axis such as (1, 128, 128); found {shape!r}"
        )
    return sides


def _measured_shape(operator: Any, x_shape: tuple[int, ...], spec: str) -> tuple[int, ...]:
    """Find the shape of A's measurements without the batch axis, from one random image."""
    if not has_map(operator):
        raise UserError(f"operator: the object that {spec} returns must have a method A(x)")
    x = torch.rand(1, *x_shape, generator=torch.Generator().manual_seed(0))
    with own_code(f"{spec}, A of an image {(1, *x_shape)},", KIND), torch.no_grad():
        y = operator.A(x)
    require_float32(y, spec)
    if y.ndim < 2 or len(y) != 1:
        raise UserError(
            f"operator {spec}: A maps a batch of one image {(1, *x_shape)} to {tuple(y.shape)}; "
            "the batch axis must stay first"
        )
    if not bool(y.isfinite().all()) or not bool(y.any()):
        fault = "zeros only" if bool(y.isfinite().all()) else "NaN or infinite values"
        raise UserError(f"operator {spec}: A returns {fault} for a random image in [0, 1]")
    return tuple(y.shape[1:])


def _read(
    path: str | Path, key: str | None
) -> tuple[np.ndarray, np.ndarray | None, float | None, tuple[str, ...]]:
    if not has_named_arrays(path):
        require_no_key(path, key)
    if is_numeric(path) and not has_named_arrays(path):
        return read_one(path, "input"), None, None, ()
    if has_named_arrays(path):
        with open_measurement(path, "measurement", key) as file:
            truth, sigma = read_optional(file, "reference"), read_sigma(file)
            return file.read("measurement"), truth, sigma, ()
    if is_picture(path):
        image, notes = read_image(path)
        return image.numpy(), None, None, notes
    raise other_format(path, "input", f"{', '.join(numeric_suffixes())} or a picture")


def _fitting(values: np.ndarray, shape: tuple[int, ...], label: str) -> Tensor:
    """Bring an array, with or without the batch axis, into float32 `(1, *shape)`."""
    tensor = torch.from_numpy(single_precision(values, label))
    if tensor.is_complex():
        tensor = to_channels(tensor if tensor.ndim == len(shape) else tensor[None])
    if tuple(tensor.shape) not in (shape, (1, *shape)):
        raise UserError(
            f"{label} has shape {values.shape} ({values.dtype}), but the operator needs {shape}"
        )
    return tensor.reshape(1, *shape)
