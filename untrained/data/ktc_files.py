"""Score image files as the Kuopio Tomography Challenge 2023 did: `evaluate --score ktc`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from untrained.data.arrays import require_finite
from untrained.data.formats import has_named_arrays, open_arrays, read_pixels
from untrained.data.formats.base import ArrayFile, list_names
from untrained.data.formats.mat import MAT_SUFFIX, open_mat
from untrained.data.ktc import SIDE, is_segmented, ktc_score, segment
from untrained.errors import UserError, from_file

KEYS = ("truth", "reference", "reconstruction")
"""Arrays that are an image, in files of named arrays: the challenge's own, ours, its entries'."""

CUT = (
    "{} was cut into background, resistive and conductive by Otsu's method, as in the challenge, "
    "values that are all above 0 by their logarithm; "
    "an image of 0, 1 and 2 is taken as cut already"
)


def score_files(
    image: str | Path, reference: str | Path
) -> tuple[dict[str, float], tuple[str, ...]]:
    """Compute the challenge's score of an image against the true classes.

    Args:
        image: conductivity `(256, 256)`, or its difference to a background; or classes.
        reference: classes, 0 background, 1 resistive, 2 conductive: an image file, or the `truth`
            of a .mat, .npz or .h5; or a conductivity, which is cut into classes likewise.

    Returns:
        `ktc` and the similarity of the two kinds of inclusion, `resistive` and `conductive`; and
        notes on what was decided.

    Raises:
        UserError: unreadable files, or images of another shape.
    """
    found, of_image = _classes(image, "image")
    truth, of_truth = _classes(reference, "reference")
    with from_file(image, reference):
        one = ktc_score(truth, found)
    facts = {"ktc": one.score, "resistive": one.resistive, "conductive": one.conductive}
    return facts, (*of_image, *of_truth)


def _classes(path: str | Path, what: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read an image and cut it into classes, if it is none of classes."""
    label, values = read_plane(path, what)
    if values.dtype.kind not in "biuf" or values.shape != (SIDE, SIDE):
        raise UserError(
            f"{label} must be real, {SIDE} x {SIDE} pixels, on which the challenge's score is "
            f"defined; found {values.dtype} of shape {values.shape}"
        )
    require_finite(values, label)
    if is_segmented(values):
        return values.astype(np.uint8), ()
    # metal and plastic are as far from water only in the logarithm
    positive = values.min() > 0
    return segment(np.log(values) if positive else values), (CUT.format(path),)


def read_plane(path: str | Path, what: str) -> tuple[str, np.ndarray]:
    """Read the image of a file as it is stored, and what a message calls it."""
    if Path(path).suffix.lower() == MAT_SUFFIX:
        with open_mat(path, what) as file:
            return _named(file, what)
    if has_named_arrays(path):
        with open_arrays(path, what) as arrays:
            return _named(arrays, what)
    values, _ = read_pixels(path, what)
    alone = values[0] if values.ndim == 3 and len(values) == 1 else values
    return f"{what}: {path}", alone


def _named(file: ArrayFile, what: str) -> tuple[str, np.ndarray]:
    key = next((name for name in KEYS if name in file.keys), None)
    if key is None:
        raise UserError(
            f"{what}: {file.path} has none of {list_names(KEYS)}; it holds {list_names(file.keys)}"
        )
    return file.label(key), file.read(key)
