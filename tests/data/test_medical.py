"""NIfTI and DICOM in and out, checked by NiBabel and pydicom themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scanner_files import AFFINE, dicom, nifti

from untrained.cli.commands import status as main
from untrained.data import TASKS, with_reference
from untrained.errors import UserError

nibabel = pytest.importorskip("nibabel")
pydicom = pytest.importorskip("pydicom")

EPI = Path(__file__).resolve().parents[3] / "shared/data/volumes/someones_epi.nii.gz"
RNG = np.random.default_rng(0)
VOLUME = (1000 * RNG.random((12, 16, 5))).astype(np.int16)  # (X, Y, Z)


def adjoint(task: str, path: Path, *more: str) -> Path:
    out = path.parent / "out"
    arguments = ["--method", "adjoint", "--out", str(out), "--no-compare", "--quiet", *more]
    assert main(["reconstruct", task, str(path), *arguments]) == 0
    return out


def test_a_volume_comes_back_where_it_was_in_the_scanner(tmp_path: Path) -> None:
    out = adjoint("denoise", nifti(tmp_path, VOLUME), "--volume", "--sigma", "5")
    back = nibabel.load(out / "reconstruction.nii")
    # the adjoint of denoising is the input itself
    np.testing.assert_allclose(back.get_fdata(), VOLUME, rtol=1e-5, atol=1e-3)
    np.testing.assert_array_equal(back.affine, AFFINE)
    assert back.header.get_zooms()[:3] == (2.0, 2.0, 3.5)


def test_a_reference_is_brought_to_the_units_of_its_measurement(tmp_path: Path) -> None:
    noisy = nifti(tmp_path, (VOLUME + 100).astype(np.int16))
    clean = nifti(tmp_path, VOLUME, "clean.nii")
    (m,) = TASKS["denoise"].load(noisy, volume=True, sigma=5)
    m = with_reference(m, clean)
    assert m.reference is not None
    np.testing.assert_allclose((m.y - m.reference).numpy(), 100 / m.units.factor, atol=1e-6)


def test_slices_need_volume_and_series_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="5 slices.*--volume"):
        TASKS["denoise"].load(nifti(tmp_path, VOLUME), sigma=5)
    series = nifti(tmp_path, np.stack([VOLUME] * 2, -1), "series.nii")
    with pytest.raises(UserError, match="one volume"):
        TASKS["denoise"].load(series, volume=True, sigma=5)


def test_dicom_has_its_units_and_comes_back_without_the_patient(tmp_path: Path) -> None:
    pixels = RNG.integers(0, 3000, (16, 12))
    path = dicom(tmp_path, pixels, slope=1.0, offset=-1024.0)
    (m,) = TASKS["denoise"].load(path, sigma=5)
    worth = m.y[0, 0].numpy() * m.units.factor + m.units.offset
    np.testing.assert_allclose(worth, pixels - 1024.0, atol=1e-3)
    back = pydicom.dcmread(adjoint("denoise", path, "--sigma", "5") / "reconstruction.dcm")
    shown = back.pixel_array * float(back.RescaleSlope) + float(back.RescaleIntercept)
    np.testing.assert_allclose(shown, pixels - 1024.0, atol=0.1)
    assert list(back.ImageType[:2]) == ["DERIVED", "SECONDARY"]
    assert [float(side) for side in back.PixelSpacing] == [0.7, 0.7]
    assert "PatientName" not in back
    assert b"Secret" not in (tmp_path / "out" / "reconstruction.dcm").read_bytes()


def test_frames_are_slices(tmp_path: Path) -> None:
    path = dicom(tmp_path, RNG.integers(0, 3000, (4, 16, 12)))
    (m,) = TASKS["denoise"].load(path, volume=True, sigma=5)
    assert tuple(m.y.shape) == (1, 1, 4, 16, 12)
    back = pydicom.dcmread(
        adjoint("denoise", path, "--volume", "--sigma", "5") / "reconstruction.dcm"
    )
    assert back.pixel_array.shape == (4, 16, 12)


@pytest.mark.parametrize("make", [lambda f: nifti(f, VOLUME), lambda f: dicom(f, VOLUME[..., 0])])
def test_damage_is_one_sentence(make, tmp_path: Path) -> None:
    path = make(tmp_path)
    whole = path.read_bytes()
    for keep in (10, 200, len(whole) // 2, len(whole) - 20):
        path.write_bytes(whole[:keep])
        with pytest.raises(UserError, match=path.name.replace(".", r"\.")):
            TASKS["denoise"].load(path, volume=True, sigma=5)


@pytest.mark.skipif(not EPI.is_file(), reason="the real volume is not here")
def test_a_real_volume_is_read() -> None:
    (m,) = TASKS["denoise"].load(EPI, volume=True)
    assert tuple(m.y.shape) == (1, 1, 33, 61, 53)
    assert m.axes == "ZYX"
    assert 0 <= float(m.y.min()) < float(m.y.max()) == 1
