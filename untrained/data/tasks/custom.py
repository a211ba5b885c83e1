"""The user's own operator: `module:callable` or `file.py:callable`."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
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
from untrained.physics.autograd import as_physics
from untrained.physics.check import adjoint_notes, require_float32

PACKAGE = Path(__file__).resolve().parents[2]
AXES = {1: "YX", 2: "YX", 3: "CYX", 4: "ZYX"}


def load_custom(
    path: str | Path, *, physics: str | None = None, key: str | None = None
) -> Measurement:
    """Measurements for an operator of the user's own.

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
    found = load_object(physics)()
    x_shape = _x_shape(found, physics)
    y_shape = _measured_shape(found, x_shape, physics)
    with own_code(physics):
        operator = as_physics(found, x_shape)
    with own_code(f"{physics}, A_adjoint"):
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


def load_object(spec: str) -> Callable[[], Any]:
    """The callable named by `module:callable` or `file.py:callable`.

    Modules of the current directory can be imported.

    Raises:
        UserError: no such module, file or name, an error inside the module, or not a callable.
            The callable returned raises UserError when the user's own code fails.
    """
    place, colon, name = spec.rpartition(":")
    if not colon or not place or not name.isidentifier():
        raise UserError(
            f"operator '{spec}' must be MODULE:CALLABLE or FILE.py:CALLABLE, for example "
            "operators.py:build"
        )
    module = _import(place)
    found = getattr(module, name, None)
    if not callable(found):
        offered = [key for key, value in vars(module).items() if callable(value) and key[0] != "_"]
        raise UserError(
            f"operator {place} has no callable '{name}'; it offers {', '.join(offered) or 'none'}"
        )

    def build() -> Any:
        with own_code(spec), _current_directory():
            return found()

    return build


def _import(place: str) -> ModuleType:
    with own_code(place), _current_directory():
        if not place.endswith(".py"):
            return importlib.import_module(place)
        file = Path(place)
        if not file.is_file():
            raise UserError(f"operator: there is no file {place}")
        module_spec = importlib.util.spec_from_file_location(f"untrained_user_{file.stem}", file)
        if module_spec is None or module_spec.loader is None:
            raise UserError(f"operator {place} cannot be imported")
        module = importlib.util.module_from_spec(module_spec)
        sys.modules[module_spec.name] = module  # dataclasses and pickling look themselves up here
        module_spec.loader.exec_module(module)
        return module


@contextmanager
def own_code(place: str) -> Iterator[None]:
    """Any failure of the user's code as one sentence with its line, also its call of sys.exit."""
    try:
        yield
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise UserError(
            f"operator {place} failed with {type(error).__name__}: {error}{_line_of(error)}"
        ) from error


def _line_of(error: BaseException) -> str:
    """The last line of the user's own code on the way to an error; empty where there is none."""
    paths = sysconfig.get_paths()
    others = [PACKAGE, *(Path(paths[name]) for name in ("stdlib", "purelib", "platlib"))]
    theirs = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<")
        and not any(folder in Path(frame.filename).parents for folder in others)
    ]
    if not theirs:
        return ""
    return f" (line {theirs[-1].lineno} of {theirs[-1].filename}: {theirs[-1].line})"


@contextmanager
def _current_directory() -> Iterator[None]:
    """The current directory first on the import path."""
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)


def _x_shape(operator: Any, spec: str) -> tuple[int, ...]:
    shape = getattr(operator, "x_shape", None)
    try:
        sides = tuple(int(n) for n in shape)  # type: ignore[union-attr]
    except (TypeError, ValueError):
        sides = ()
    if not 2 <= len(sides) <= 4 or min(sides) < 1:
        raise UserError(
            f"operator: the object that {spec} returns must have x_shape, the image's shape "
            f"without the batch axis such as (1, 128, 128); found {shape!r}"
        )
    return sides


def _measured_shape(operator: Any, x_shape: tuple[int, ...], spec: str) -> tuple[int, ...]:
    """Shape of A's measurements without the batch axis, after a look at one random image's."""
    if not callable(getattr(operator, "A", None)):
        raise UserError(f"operator: the object that {spec} returns must have a method A(x)")
    x = torch.rand(1, *x_shape, generator=torch.Generator().manual_seed(0))
    with own_code(f"{spec}, A of an image {(1, *x_shape)},"), torch.no_grad():
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
    """float32 `(1, *shape)` from an array with or without the batch axis, real or complex."""
    tensor = torch.from_numpy(single_precision(values, label))
    if tensor.is_complex():
        tensor = to_channels(tensor if tensor.ndim == len(shape) else tensor[None])
    if tuple(tensor.shape) not in (shape, (1, *shape)):
        raise UserError(
            f"{label} has shape {values.shape} ({values.dtype}), but the operator needs {shape}"
        )
    return tensor.reshape(1, *shape)
