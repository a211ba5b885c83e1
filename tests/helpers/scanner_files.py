"""Small files as scanners and their software write them."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import torch

from untrained.data.phantoms import shepp_logan
from untrained.physics import CT

AFFINE = np.array([[-2.0, 0, 0, 90], [0, 2.0, 0, -126], [0, 0, 3.5, -72], [0, 0, 0, 1]])
VIEWS, BINS, ROWS = 60, 100, 3
ANGLES = np.arange(VIEWS) * 3.0


def nifti(folder: Path, array: np.ndarray, name: str = "in.nii.gz") -> Path:
    import nibabel

    nibabel.save(nibabel.Nifti1Image(array, AFFINE), folder / name)
    return folder / name


def dicom(
    folder: Path,
    pixels: np.ndarray,
    slope: float = 1.0,
    offset: float = 0.0,
    kind: str = "MONOCHROME2",
) -> Path:
    import pydicom

    data = pydicom.Dataset()
    data.SOPClassUID, data.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.3"
    data.PatientName, data.Modality, data.PixelSpacing = "Secret^Name", "CT", [0.7, 0.7]
    data.Rows, data.Columns = pixels.shape[-2:]
    if pixels.ndim == 3:
        data.NumberOfFrames = len(pixels)
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, kind
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
    data.RescaleSlope, data.RescaleIntercept = slope, offset
    data.PixelData = pixels.astype("<u2").tobytes()
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    data.save_as(folder / "in.dcm", enforce_file_format=True)
    return folder / "in.dcm"


def sinogram(offset: float, views: int = VIEWS, span: float = 180.0) -> np.ndarray:
    image = torch.from_numpy(np.squeeze(shepp_logan(64)).astype(np.float32))[None, None]
    scan = CT((64, 64), np.arange(views) * span / views, BINS, detector_offset=float(offset))
    clean: np.ndarray = scan.A(image.roll((4, -3), (2, 3)))[0, 0].T.numpy()
    noise = np.random.default_rng(1).standard_normal(clean.shape)
    return clean + 0.01 * clean.mean() * noise


def counts(offset: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return frames (views, rows, bins), open beams and dark images of unequal bins."""
    rng = np.random.default_rng(2)
    gain = 9000 * (0.8 + 0.4 * rng.random((ROWS, BINS)))
    passed = np.exp(-np.stack([sinogram(offset) * (0.2 + 0.1 * row) for row in range(ROWS)], 1))
    return 100 + gain * passed, np.stack([100 + gain] * 2), np.full((2, ROWS, BINS), 100.0)


def dxchange(folder: Path, offset: float = 4.3, theta: np.ndarray = ANGLES) -> Path:
    frames, white, dark = counts(offset)
    with h5py.File(folder / "scan.h5", "w") as file:
        for name, array in (("data", frames), ("data_white", white), ("data_dark", dark)):
            file[f"exchange/{name}"] = array.astype(np.float32)
        file["exchange/theta"] = theta
    return folder / "scan.h5"


def nxtomo(folder: Path, offset: float = 4.3) -> Path:
    frames, white, dark = counts(offset)
    with h5py.File(folder / "scan.hdf5", "w") as file:
        file["entry/instrument/detector/data"] = np.concatenate([dark, white, frames])
        file["entry/instrument/detector/image_key"] = np.repeat([2, 1, 0], [2, 2, VIEWS])
        file["entry/sample/rotation_angle"] = np.concatenate([np.zeros(4), ANGLES])
    return folder / "scan.hdf5"


def without_centre(folder: Path) -> Path:
    """Write views whose angles are uneven and whose object is cut off: nothing tells the centre."""
    path = dxchange(folder)
    with h5py.File(path, "a") as file:
        file["exchange/theta"][...] = np.sort(np.random.default_rng(3).uniform(0, 100, VIEWS))
        shown = file["exchange/data"][...]
        file["exchange/data"][...] = np.where(np.arange(BINS) < 5, 200, shown)
    return path
