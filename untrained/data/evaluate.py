"""An image file against a reference file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from untrained.data.arrays import require_finite
from untrained.data.formats import has_named_arrays, open_arrays
from untrained.data.images import Picture, read_picture
from untrained.data.references import read_reference
from untrained.data.tasks.mri import FASTMRI_IMAGES, lay_in_centre
from untrained.errors import UserError
from untrained.flicker import optical_flow, warping_error
from untrained.folder import RESULT, read_facts
from untrained.maths import to_channels, to_complex
from untrained.metrics import OTHER_UNITS, evaluate, other_units, same_view
from untrained.tasks import find_task

TURNED = (
    "phase retrieval: the reference was turned and moved to fit the image best, as in the report "
    "of a run; amplitudes do not tell these images apart"
)


COMBINED = "several complex components: the root of the sum of their squares is compared"
MIDDLE = (
    "the image is compared with slice {} of {} of '{}', the middle one; --slice N takes another"
)
SCANS = {"kspace": "mri", "sinogram": "ct"}


@dataclass(frozen=True)
class Pair:
    """Two images to be compared.

    Attributes:
        image, reference: of one shape.
        task: of the measurements, where the files tell it; else "".
        notes: what was decided.
    """

    image: Picture
    reference: Picture
    task: str
    notes: tuple[str, ...] = ()


def evaluate_files(
    image: str | Path,
    reference: str | Path,
    data_range: float | str = "auto",
    slice: int | None = None,
    series: bool = False,
) -> dict[str, float]:
    """Compute PSNR, SSIM, NRMSE and HFEN of two image files, and the range they were taken with.

    Of a time series also its flicker: the warping error (`untrained.flicker`) of the image and that
    of the reference, both along the flow of the reference and in units of the range.

    What an image of a result directory was made of, and what kind of measurement the reference
    stands beside, is minded: the range is that of the run, and for phase retrieval the reference is
    turned and moved as there.

    Args:
        image: image file; complex values are compared by magnitude.
        reference: image file, or an .npz / .h5 whose `reference` is taken; without one fastMRI's
            `reconstruction_rss` or `_esc`, over the middle of the image that it shows.
        slice: which of several slices of fastMRI's; None = as many as the image has, or the
            middle one.
        data_range: a positive number, or `auto`: 1 for pictures (a result of their tasks, a phase
            measurement, a reference of integers), max |reference| for other results, scans and
            complex images.
        series: the planes of the files are frames; a result of `--series` says so itself.

    Returns:
        `psnr ssim nrmse hfen range`, of a series also `warping_error warping_error_reference`.

    Raises:
        UserError: unreadable files, unequal shapes, a series of one frame, or `auto` for real
            floats, whose range the file does not tell.
    """
    pair = _pair(image, reference, slice)
    found, truth = pair.image, pair.reference
    full = _range(pair, data_range, reference)
    is_complex = np.iscomplexobj(found.pixels) or np.iscomplexobj(truth.pixels)
    # In files a complex image has a complex type: two real channels are just two channels here.
    a, b = (np.abs(p.pixels)[:, None] if is_complex else p.pixels[:, None] for p in (found, truth))
    scores = {**evaluate(a, b, data_range=full), "range": full}
    if series or _is_series(Path(image)):
        scores |= _flicker(a / full, b / full, image)
    return scores


def _is_series(image: Path) -> bool:
    """Tell whether an image that a run left behind has an axis of time in front."""
    facts = read_facts(image.parent / RESULT)
    return facts is not None and image.name in facts["files"] and facts.get("axes") == "TYX"


def _flicker(video: np.ndarray, reference: np.ndarray, name: str | Path) -> dict[str, float]:
    """Compute the warping errors of two videos `(T, 1, H, W)` along the flow of the second."""
    if len(video) < 2:
        raise UserError(f"{name} has one frame, and a series has at least two: leave --series out")
    if not np.isfinite(reference).all():
        raise UserError("the flow of a reference that is not known everywhere cannot be found")
    flow = optical_flow(reference)
    errors = [warping_error(one, reference, flow) for one in (video, reference)]
    return {"warping_error": errors[0], "warping_error_reference": errors[1]}


def evaluate_notes(
    image: str | Path, reference: str | Path, slice: int | None = None
) -> tuple[str, ...]:
    """Note what was decided to compare two image files, and doubt their units.

    Arguments as of `evaluate_files`.
    """
    pair = _pair(image, reference, slice)
    planes = [np.abs(p.pixels) for p in (pair.image, pair.reference)]
    times = other_units(*(torch.from_numpy(plane) for plane in planes))
    return pair.notes if times is None else (*pair.notes, OTHER_UNITS.format(times))


def _pair(image: str | Path, reference: str | Path, index: int | None) -> Pair:
    found = _combined(read_picture(image, "image"), Path(image))
    truth = _truth(reference, found, index)
    if found.pixels.shape != truth.pixels.shape:
        raise UserError(
            f"{image} is {found.pixels.shape} and {reference} is {truth.pixels.shape} (C, H, W); "
            "they must agree"
        )
    task = _task_of_result(Path(image)) or _task_of_file(reference)
    notes = tuple(dict.fromkeys((*found.notes, *truth.notes)))
    if not find_task(task).ambiguous_orientation or not bool(np.isfinite(truth.pixels).all()):
        return Pair(found, truth, task, notes)
    turned = replace(truth, pixels=_turned(truth.pixels, found.pixels))
    return Pair(found, turned, task, (*notes, TURNED))


def _task_of_result(image: Path) -> str:
    """Find the task of a run, for an image that it left behind; else ""."""
    return str(_facts_of(image).get("task", ""))


def _facts_of(image: Path) -> dict[str, Any]:
    """Read what a run says of an image that it left behind; nothing of any other."""
    facts = read_facts(image.parent / RESULT)
    return facts if facts and image.name in facts["files"] else {}


def _combined(found: Picture, path: Path) -> Picture:
    """Combine the components of an image that a run saw through several sets of coil maps."""
    if not np.iscomplexobj(found.pixels) or len(found.pixels) == 1:
        return found
    if _facts_of(path).get("axes") != "CYX":
        return found
    whole = np.linalg.norm(found.pixels, axis=0)[None].astype(np.complex64)
    return replace(found, pixels=whole, notes=(*found.notes, COMBINED))


def _task_of_file(path: str | Path) -> str:
    """Find the task of measurements by the names of their arrays; else ""."""
    if not has_named_arrays(path):
        return ""
    with open_arrays(path, "reference") as file:
        keys = set(file.keys)
    if {"measurement", "image_shape"} <= keys:
        return "cs" if "matrix_seed" in keys else "phase"
    return next((task for key, task in SCANS.items() if key in keys), "")


def _turned(pixels: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Turn and move images `(C, H, W)` to fit others best, each on its own."""
    if np.iscomplexobj(pixels) or np.iscomplexobj(like):
        pair = (to_channels(torch.from_numpy(p.astype(np.complex64))) for p in (pixels, like))
        return to_complex(same_view(*pair)).numpy()
    one, other = (torch.from_numpy(p)[:, None] for p in (pixels, like))
    return same_view(one, other)[:, 0].numpy()


def _truth(path: str | Path, image: Picture, index: int | None) -> Picture:
    """Read the reference that a file holds for an image `(C, H, W)`, or for that many slices."""
    own = _fastmri_key(path)
    if own is None:
        if index is not None:
            raise UserError(f"{path}: --slice counts the slices of fastMRI's files; leave it out")
        return read_reference(path, "reference")
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
    laid = [lay_in_centre(require_finite(p, f"'{own}' in {path}"), size) for p in planes]
    if any(plane is None for plane in laid):
        raise UserError(
            f"'{own}' in {path} is {planes[0].shape}, larger than the image, {size}; crop it"
        )
    middle = len(wanted) == 1 and index is None and count > 1
    notes = (MIDDLE.format(one, count, own),) if middle else ()
    return Picture(np.stack([plane for plane in laid if plane is not None]), False, notes)


def _fastmri_key(path: str | Path) -> str | None:
    """Find the image of fastMRI that stands for a missing reference; None = no such file."""
    if not has_named_arrays(path):
        return None
    with open_arrays(path, "reference") as file:
        if "reference" in file.keys:
            return None
        there = (key for key in FASTMRI_IMAGES if key in file.keys)
        return next((key for key in there if len(file.shape(key)) in (2, 3)), None)


def _range(pair: Pair, asked: float | str, path: str | Path) -> float:
    found, truth = pair.image, pair.reference
    if asked != "auto":
        return _positive(asked)
    if find_task(pair.task).unit_range:
        return 1.0
    if pair.task or np.iscomplexobj(found.pixels) or np.iscomplexobj(truth.pixels):
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
