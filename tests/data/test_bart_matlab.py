"""Files of BART and of MATLAB, laid out by hand and by SciPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from PIL import Image

from untrained.cli.commands import status as main
from untrained.data import TASKS
from untrained.data.formats.bart import BART, encode_bart
from untrained.data.phantoms import birdcage_maps, brain
from untrained.errors import UserError
from untrained.maths import fft2c

KSPACE = fft2c(
    torch.from_numpy(birdcage_maps(6, (48, 32)) * np.resize(brain(48), (48, 32)))
).numpy()


def bart(folder: Path, array: np.ndarray, name: str = "scan") -> Path:
    """Write (coils, H, W) as BART has it: readout W first, coils on the fourth axis."""
    sizes = [array.shape[2], array.shape[1], 1, array.shape[0], *[1] * 12]
    (folder / f"{name}.hdr").write_text(f"# Dimensions\n{' '.join(map(str, sizes))} \n")
    array.astype("<c8").tofile(folder / f"{name}.cfl")
    return folder / f"{name}.cfl"


def test_bart_kspace_is_read_and_its_image_written_back(tmp_path: Path) -> None:
    path = bart(tmp_path, KSPACE)
    (m,) = TASKS["mri"].load(path)
    found = torch.complex(m.y[0, 0], m.y[0, 1]).numpy()
    np.testing.assert_array_equal(found, KSPACE)
    for file in (path, path.with_suffix(".hdr")):  # either of the two files may be named
        out = tmp_path / f"out{file.suffix}"
        given = ["--method", "adjoint", "--no-compare", "--quiet", "--out", str(out)]
        assert main(["reconstruct", "mri", str(file), *given]) == 0
        back = BART.read(out / "reconstruction.cfl", "input")
        np.testing.assert_array_equal(back, np.load(out / "reconstruction.npy"))
    # by hand: the first number of the header is the axis that changes fastest
    sizes = (out / "reconstruction.hdr").read_text().splitlines()[1].split()
    assert sizes[:2] == ["32", "48"]


def test_what_is_encoded_is_read_back(tmp_path: Path) -> None:
    array = (KSPACE[:3] * 2).astype(np.complex64)
    for suffix, content in encode_bart(array, "ZYX").items():
        (tmp_path / f"a{suffix}").write_bytes(content)
    np.testing.assert_array_equal(BART.read(tmp_path / "a.cfl", "input"), array)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("# Dimensions\n32 48 1 7\n", "says 32 x 48 x 1 x 7"),
        ("# Dimensions\n", "no header of BART"),
        ("# Dimensions\n32 x\n", "no header of BART"),
        ("# Dimensions\n-32 48\n", "no header of BART"),
        (f"# Dimensions\n{10**9} {10**9}\n", "belongs to another array"),
        ("", "empty"),
    ],
)
def test_a_header_that_contradicts_is_refused(header: str, words: str, tmp_path: Path) -> None:
    path = bart(tmp_path, KSPACE)
    path.with_suffix(".hdr").write_text(header)
    with pytest.raises(UserError, match=words):
        TASKS["mri"].load(path)


def test_a_missing_half_is_named(tmp_path: Path) -> None:
    path = bart(tmp_path, KSPACE)
    path.with_suffix(".hdr").unlink()
    with pytest.raises(UserError, match=r"there is no file .*scan\.hdr"):
        TASKS["mri"].load(path)


def test_matlab_5_is_read_as_its_version_7_3_is(tmp_path: Path) -> None:
    arrays = {"kspace": np.moveaxis(KSPACE, 0, -1), "note": "a scan", "cells": np.array([{}, 1])}
    scipy.io.savemat(tmp_path / "scan.mat", arrays, do_compression=True)
    (m,) = TASKS["mri"].load(tmp_path / "scan.mat")
    found = torch.complex(m.y[0, 0], m.y[0, 1]).numpy()
    np.testing.assert_allclose(found, KSPACE.transpose(0, 2, 1))
    assert any("MATLAB writes axes in reverse" in note for note in m.notes)
    (m,) = TASKS["mri"].load(tmp_path / "scan.mat", key="kspace")
    with pytest.raises(UserError, match="holds no 'other'; it holds 'kspace'"):
        TASKS["mri"].load(tmp_path / "scan.mat", key="other")


def test_a_damaged_matlab_file_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "scan.mat"
    scipy.io.savemat(path, {"kspace": KSPACE}, do_compression=True)
    whole = path.read_bytes()
    for keep in (60, 130, 200, len(whole) // 2, len(whole) - 5):
        path.write_bytes(whole[:keep])
        with pytest.raises(UserError, match=r"scan\.mat"):
            TASKS["mri"].load(path)


@pytest.mark.parametrize("suffix", ["bmp", "webp"])
def test_other_pictures(suffix: str, tmp_path: Path) -> None:
    pixels = np.tile(np.arange(0, 255, 8, dtype=np.uint8), (32, 1))
    Image.fromarray(pixels).convert("RGB").save(tmp_path / f"a.{suffix}")
    (m,) = TASKS["denoise"].load(tmp_path / f"a.{suffix}", sigma=5)
    np.testing.assert_allclose(255 * m.y[0, 0].numpy(), pixels, atol=6)
