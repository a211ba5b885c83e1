"""NIfTI: volumes with their place in the scanner; read by NiBabel."""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import Any

import numpy as np

from untrained.data.formats.base import (
    MEDICAL,
    Companion,
    PictureFormat,
    reporting_damage,
    to_native,
)
from untrained.errors import UserError
from untrained.machine import check_size, float_bytes

SUFFIXES = (".nii", ".nii.gz")


def read_nifti(file: Path, what: str, pages: bool = False) -> tuple[np.ndarray, list[str]]:
    """Read a volume (X, Y, Z) as its slices `(Z, Y, X)`, values scaled as its header says.

    Raises:
        UserError: NiBabel is missing, the file is damaged, holds a series of volumes, or (without
            `pages`) several slices.
    """
    image = _opened(file, what)
    shape = tuple(int(n) for n in image.shape)
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if not 2 <= len(shape) <= 3:
        raise UserError(
            f"{what}: {file} is {' x '.join(map(str, image.shape))}: one volume (X, Y, Z) is read; "
            "save one of the series as a file of its own"
        )
    slices = shape[2] if len(shape) == 3 else 1
    if slices > 1 and not pages:
        raise UserError(
            f"{what}: {file} has {slices} slices; an image has one: denoise and inpaint take all "
            "of them with --volume"
        )
    check_size(float_bytes(shape, np.dtype(np.float32)), file.stat().st_size, f"{what}: {file}")
    with reporting_damage(file, None):
        values = np.asarray(image.dataobj).reshape(shape)
    planes = to_native(values).T.reshape(slices, shape[1], shape[0])
    sides = " x ".join(f"{side:.3g}" for side in image.header.get_zooms()[:3])
    kind = planes.dtype if planes.dtype.kind == "f" else np.float32
    return planes.astype(kind), [f"voxels of {sides} mm; axes (X, Y, Z) became (Z, Y, X)"]


def _opened(file: Path, what: str) -> Any:
    """Open a file; nothing is read but its header."""
    try:
        import nibabel
    except ImportError as error:
        raise UserError(f"{what}: {file} is NIfTI, which NiBabel reads; {MEDICAL}") from error
    logger = logging.getLogger("nibabel.global")
    before, logger.disabled = logger.disabled, True  # it would print what it mends in a header
    try:
        with reporting_damage(file, None):
            return nibabel.load(file)
    finally:
        logger.disabled = before


def nifti_companion(path: Path) -> Companion:
    """Write a result as .nii.gz with the input's place in the scanner."""
    affine, zooms = _place(path)

    def encode(array: np.ndarray, axes: str) -> dict[str, bytes]:
        import nibabel

        if np.iscomplexobj(array) or axes not in ("YX", "ZYX"):
            return {}
        volume = array.T if axes == "ZYX" else array.T[..., None]
        image = nibabel.Nifti1Image(volume.astype(np.float32), affine)
        image.header.set_zooms(zooms[:3])
        image.header["descrip"] = b"reconstructed by untrained"
        stream = io.BytesIO(image.to_bytes())
        return {".nii": stream.getvalue()}

    return Companion(encode)


def _place(path: Path) -> tuple[np.ndarray, tuple[float, ...]]:
    image = _opened(path, "input")
    zooms = (*(float(z) for z in image.header.get_zooms()), 1.0, 1.0, 1.0)
    return np.asarray(image.affine), zooms


NIFTI = PictureFormat(
    "NIfTI",
    SUFFIXES,
    "a volume with --volume, or a single slice; the result keeps its place in the scanner",
    read_nifti,
    slices=True,
    measured=True,
    companion=nifti_companion,
)
