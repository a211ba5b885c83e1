"""Readers of what scanners and their software write."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
from PIL import Image

from fuzzing.mutators import as_bytes, as_text
from fuzzing.subjects import Subject, read
from fuzzing.valid_files import picture, simulated


def _nifti(path: Path) -> None:
    import nibabel

    volume = (1000 * np.stack([picture(16)] * 4, -1)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(volume, np.diag([2.0, 2.0, 3.0, 1.0])), path)


def _dicom(path: Path) -> None:
    from untrained.data.formats.dicom import encode_dicom

    path.write_bytes(encode_dicom(1000 * picture(), {"PixelSpacing": [1.0, 1.0]}))


def _bart(path: Path) -> None:
    from untrained.data.formats.bart import encode_bart

    scan = path.with_name("scan.npz")
    simulated("mri", acceleration=2.0, coils=3, center_fraction=0.3)(scan)
    with np.load(scan) as stored:
        kspace = stored["kspace"]
    for suffix, content in encode_bart(kspace, "CYX").items():
        path.with_suffix(suffix).write_bytes(content)


def _matlab(path: Path) -> None:
    import scipy.io

    scan = path.with_name("scan.npz")
    simulated("mri", acceleration=2.0, coils=3, center_fraction=0.3)(scan)
    with np.load(scan) as stored:
        scipy.io.savemat(path, {"kspace": stored["kspace"].T}, do_compression=True)


def _picture_as(path: Path) -> None:
    Image.fromarray((255 * picture(channels=3)).astype(np.uint8)).save(path)


def _counts() -> np.ndarray:
    views = np.exp(-np.stack([picture(20)] * 2, 1))
    counts: np.ndarray = (100 + 9000 * views).astype(np.float32)
    return counts


def _dxchange(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["exchange/data"] = _counts()
        file["exchange/data_white"] = np.full((2, 2, 20), 9100, np.float32)
        file["exchange/data_dark"] = np.full((2, 2, 20), 100, np.float32)
        file["exchange/theta"] = np.arange(20) * 9.0


def _nxtomo(path: Path) -> None:
    frames = [np.full((2, 2, 20), level, np.float32) for level in (100, 9100)]
    with h5py.File(path, "w") as file:
        file["entry/instrument/detector/data"] = np.concatenate([*frames, _counts()])
        file["entry/instrument/detector/image_key"] = np.repeat([2, 1, 0], [2, 2, 20])
        file["entry/sample/rotation_angle"] = np.concatenate([np.zeros(4), np.arange(20) * 9.0])


SCANNERS: tuple[Subject, ...] = (
    Subject("nifti", "in.nii", read("denoise", "--volume"), _nifti, as_bytes),
    Subject("nifti, gzip", "in.nii.gz", read("denoise", "--volume"), _nifti, as_bytes),
    Subject("dicom", "in.dcm", read("denoise"), _dicom, as_bytes),
    Subject("bart header", "in.hdr", read("mri"), _bart, as_text),
    Subject("bart values", "in.cfl", read("mri"), _bart, as_bytes),
    Subject("matlab", "in.mat", read("mri"), _matlab, as_bytes),
    Subject("bmp", "in.bmp", read("superres", "--factor", "2"), _picture_as, as_bytes),
    Subject("webp", "in.webp", read("superres", "--factor", "2"), _picture_as, as_bytes),
    Subject("dxchange", "in.h5", read("ct"), _dxchange, as_bytes),
    Subject("nxtomo", "in.h5", read("ct"), _nxtomo, as_bytes),
    Subject(
        "explore", "in.h5", ("explore", "{file}", "--no-picture"), _dxchange, as_bytes,
        engine=False, accepted="Nothing in it tells",
    ),
)  # fmt: skip
