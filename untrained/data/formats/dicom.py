"""DICOM: one image of a scanner, or its frames; read by pydicom."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np

from untrained._version import __version__
from untrained.data.formats.base import MEDICAL, Companion, PictureFormat, reporting_damage
from untrained.errors import UserError
from untrained.machine import FLOAT_BYTES, check_size

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
KEPT = (
    "PixelSpacing",
    "SliceThickness",
    "SpacingBetweenSlices",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "Modality",
)
"""What a result takes over: the geometry, and nothing that tells who was scanned."""


def read_dicom(file: Path, what: str, pages: bool = False) -> tuple[np.ndarray, list[str]]:
    """Read the image of a DICOM file as `(1, H, W)`, its frames as `(frames, H, W)`, in its units.

    Raises:
        UserError: pydicom is missing, the file is damaged, holds no grey image, or (without
            `pages`) several frames.
    """
    data = _opened(file, what)
    rows, columns = int(data.get("Rows", 0)), int(data.get("Columns", 0))
    frames = int(data.get("NumberOfFrames", 1) or 1)
    if not rows * columns or int(data.get("SamplesPerPixel", 1)) != 1:
        raise UserError(f"{what}: {file} holds no grey image")
    if frames > 1 and not pages:
        raise UserError(
            f"{what}: {file} has {frames} frames; an image has one: denoise and inpaint take all "
            "of them with --volume"
        )
    check_size(FLOAT_BYTES * rows * columns * frames, file.stat().st_size, f"{what}: {file}")
    with reporting_damage(file, None):
        pixels = np.asarray(data.pixel_array, dtype=np.float32).reshape(frames, rows, columns)
    slope, offset = float(data.get("RescaleSlope", 1)), float(data.get("RescaleIntercept", 0))
    notes = []
    if (slope, offset) != (1.0, 0.0):
        notes.append(f"stored values were rescaled: {slope:g} times the value {offset:+g}")
    if str(data.get("PhotometricInterpretation", "")) == "MONOCHROME1":
        notes.append("its photometric interpretation is MONOCHROME1: low values are bright in it")
    return pixels * np.float32(slope) + np.float32(offset), notes


def _opened(file: Path, what: str) -> Any:
    try:
        import pydicom
    except ImportError as error:
        raise UserError(f"{what}: {file} is DICOM, which pydicom reads; {MEDICAL}") from error
    try:
        with reporting_damage(file, None):
            return pydicom.dcmread(file)
    except UserError as error:
        raise UserError(f"{what}: {error}") from error


def dicom_companion(path: Path) -> Companion:
    """Write a result as a derived secondary capture with the input's geometry."""
    source = _opened(path, "input")
    kept = {name: source[name].value for name in KEPT if name in source}

    def encode(array: np.ndarray, axes: str) -> dict[str, bytes]:
        if np.iscomplexobj(array) or axes not in ("YX", "ZYX"):
            return {}
        return {".dcm": encode_dicom(array, kept)}

    return Companion(encode)


def encode_dicom(array: np.ndarray, kept: dict[str, Any]) -> bytes:
    """Encode an image `(H, W)` or frames `(D, H, W)` in 16 bits, with the scale to its units."""
    import pydicom
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    low, high = float(array.min()), float(array.max())
    slope = (high - low) / 65535 or 1.0
    data = pydicom.Dataset()
    # of the image, so that the same run writes the same bytes
    source = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
    uids = [generate_uid(entropy_srcs=[source, level]) for level in ("study", "series", "image")]
    data.StudyInstanceUID, data.SeriesInstanceUID, data.SOPInstanceUID = uids
    data.SOPClassUID = SECONDARY_CAPTURE
    data.ImageType = ["DERIVED", "SECONDARY"]
    data.ConversionType = "WSD"
    data.Manufacturer = f"untrained {__version__}"
    data.DerivationDescription = "reconstructed by untrained; no acquired image"
    data.BurnedInAnnotation = "NO"
    for name, value in kept.items():
        setattr(data, name, value)
    data.Rows, data.Columns = array.shape[-2:]
    if array.ndim == 3:
        data.NumberOfFrames = len(array)
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit, data.PixelRepresentation = 15, 0
    data.RescaleSlope, data.RescaleIntercept = f"{slope:.9g}"[:16], f"{low:.9g}"[:16]
    data.PixelData = np.round((array - low) / slope).clip(0, 65535).astype("<u2").tobytes()
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    stream = io.BytesIO()
    data.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


DICOM = PictureFormat(
    "DICOM",
    (".dcm", ".ima"),
    "a grey image, frames with --volume; the result is a derived secondary capture",
    read_dicom,
    slices=True,
    measured=True,
    companion=dicom_companion,
)
