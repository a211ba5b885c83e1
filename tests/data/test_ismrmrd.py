"""Raw data of scanners (ISMRMRD), written by the ismrmrd package and read here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from raw_scans import (
    COILS,
    SIDE,
    WIDE,
    Line,
    coil_images,
    header,
    kspace,
    lines_of,
    noise,
    oversampled,
    write,
)

from untrained.data.formats import open_arrays
from untrained.data.tasks.mri_series import load_mri
from untrained.errors import UserError
from untrained.explore import explore
from untrained.maths import fft2c, to_complex

pytest.importorskip("ismrmrd")


def read(path: Path, **options: object) -> np.ndarray:
    (found,) = load_mri(path, maps="lowres", **options)  # type: ignore[arg-type]
    values: np.ndarray = to_complex(found.y)[0].numpy()
    return values


def test_a_full_scan_is_the_k_space_without_oversampling(tmp_path: Path) -> None:
    lines = lines_of(oversampled(), range(SIDE))
    path = write(tmp_path / "scan.mrd", header(), lines, one_by_one=True)
    np.testing.assert_allclose(read(path), kspace(), atol=1e-5)
    (found,) = load_mri(path)
    said = "of the encoded space 64 samples of a readout became 32, without its oversampling"
    assert said in found.notes


def test_slices_are_read_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from untrained.data.formats.ismrmrd_lines import Lines

    lines = [
        line
        for row in range(SIDE)  # slices take turns
        for n in (0, 1, 2)
        for line in lines_of(oversampled(1 + n), [row], slice=n)
    ]
    path = write(tmp_path / "scan.h5", header(), lines)
    whole, asked = Lines.samples, []
    monkeypatch.setattr(Lines, "samples", lambda self, w: (asked.extend(w), whole(self, w))[1])
    np.testing.assert_allclose(read(path, slice=2), kspace(3), atol=2e-5)
    assert len(asked) == SIDE
    with open_arrays(path) as file:
        assert file.shape("kspace") == (3, COILS, SIDE, SIDE)


def test_averages_are_averaged_and_noise_prewhitens(tmp_path: Path) -> None:
    measured = oversampled()
    odd = np.random.default_rng(0).standard_normal(measured.shape).astype(np.float32)
    lines = [Line(noise(), {}, (19,))]
    lines += lines_of(measured + odd, range(SIDE), average=0)
    lines += lines_of(measured - odd, range(SIDE), average=1)
    lines += [Line(100 * noise(WIDE), {"kspace_encode_step_1": 5}, (23,))]  # a navigator
    path = write(tmp_path / "scan.h5", header(), lines)
    with open_arrays(path) as file:
        assert file.keys == ("kspace", "mask", "noise")
        np.testing.assert_array_equal(file.read("noise"), noise())
        np.testing.assert_allclose(file.read("kspace", 0), kspace(), atol=2e-5)
    (found,) = load_mri(path)
    said = "; ".join(found.notes)
    assert "prewhitened by the noise scan" in said
    assert "1 others" in said
    assert "up to 2 of one place" in said


@pytest.mark.parametrize("mode", ["embedded", "separate"])
def test_calibration_lines(tmp_path: Path, mode: str) -> None:
    """Lines of the same scan fill k-space; those of another give maps and nothing else."""
    rows, centre = range(0, SIDE, 2), range(10, 22)
    scale = 1 if mode == "embedded" else 7
    lines = lines_of(oversampled(), rows)
    for line in lines_of(oversampled(scale), centre):
        line.flags = (20,)
        lines.append(line)
    path = write(tmp_path / "scan.h5", header(mode=mode), lines)
    (found,) = load_mri(path)
    measured = found.physics.mask[0, 0, 0].any(-1).nonzero().flatten().tolist()
    filled = sorted({*rows, *centre})
    assert measured == (filled if mode == "embedded" else list(rows))
    np.testing.assert_allclose(
        to_complex(found.y)[0].numpy(), kspace() * found.physics.mask[0, 0, 0].numpy(), atol=1e-5
    )
    where = "k-space" if mode == "embedded" else "its calibration scan"
    assert any(note.endswith(f"centre of {where}") for note in found.notes)


def test_partial_fourier_keeps_the_centre_where_the_header_says(tmp_path: Path) -> None:
    """Steps count from the first measured row; 20 of 32 rows, the centre at step 4."""
    lines = [
        Line(oversampled()[:, step + 12], {"kspace_encode_step_1": step}) for step in range(20)
    ]
    path = write(tmp_path / "scan.h5", header(centre=4, last=19), lines)
    expected = kspace()
    expected[:, :12] = 0
    np.testing.assert_allclose(read(path), expected, atol=1e-5)


def test_an_asymmetric_echo(tmp_path: Path) -> None:
    """Samples from 20 of 64 on: what lies on the grid there is that of the full readout."""
    lines = [
        Line(oversampled()[:, row, 20:], {"kspace_encode_step_1": row}, centre=WIDE // 2 - 20)
        for row in range(SIDE)
    ]
    found = read(write(tmp_path / "scan.h5", header(), lines))
    assert not found[:, :, :10].any()
    size = np.linalg.norm(kspace()[:, :, 10:])
    assert np.linalg.norm(found[:, :, 10:] - kspace()[:, :, 10:]) < 0.01 * size


def test_one_of_several_contrasts_is_chosen(tmp_path: Path) -> None:
    lines = [line for n in (0, 1) for line in lines_of(oversampled(1 + n), range(SIDE), contrast=n)]
    path = write(tmp_path / "scan.h5", header(), lines)
    with pytest.raises(UserError, match=r"2 contrasts \(0, 1\): choose .* --key contrast=0"):
        load_mri(path)
    np.testing.assert_allclose(read(path, key="contrast=1"), kspace(2), atol=2e-5)
    with pytest.raises(UserError, match="holds no 'contrast=2'"):
        load_mri(path, key="contrast=2")
    found = explore(path)
    assert found.command.endswith("--key contrast=0")


def test_repetitions_are_frames_of_a_series(tmp_path: Path) -> None:
    lines = [
        line for n in (0, 1, 2) for line in lines_of(oversampled(1 + n), range(SIDE), repetition=n)
    ]
    path = write(tmp_path / "scan.h5", header(), lines)
    (found,) = load_mri(path, series=True, key="repetition=all", maps="lowres")
    assert found.axes == "TYX"
    frames = to_complex(found.y)[0].numpy()
    np.testing.assert_allclose(frames, np.stack([kspace(1 + n) for n in (0, 1, 2)]), atol=3e-5)


def test_a_volume_is_parted_along_the_readout(tmp_path: Path) -> None:
    """Planes of both phase encodings: the transform of one column of every coil image."""
    depth = 16
    images = coil_images()[:, None] * np.linspace(1, 2, depth)[:, None, None]
    wide = np.zeros((COILS, depth, SIDE, WIDE), np.complex64)
    wide[..., SIDE // 2 : SIDE // 2 + SIDE] = images
    full = np.fft.fftshift(
        np.fft.fftn(np.fft.ifftshift(wide, (1, 2, 3)), axes=(1, 2, 3), norm="ortho"), (1, 2, 3)
    )
    lines = [
        Line(full[:, z, y], {"kspace_encode_step_1": y, "kspace_encode_step_2": z})
        for z in range(depth)
        for y in range(SIDE)
    ]
    path = write(tmp_path / "scan.h5", header(z=depth), lines)
    column = np.ascontiguousarray(images[:, :, :, 13].swapaxes(1, 2))
    expected = fft2c(torch.from_numpy(column.astype(np.complex64))).numpy()
    np.testing.assert_allclose(read(path, slice=13), expected, atol=2e-5)
    with open_arrays(path) as file:
        assert file.shape("kspace") == (SIDE, COILS, SIDE, depth)
        one = file.read("kspace", 2)
        np.testing.assert_allclose(file.read("kspace")[2], one, atol=1e-6)


def test_spokes_come_with_their_trajectory(tmp_path: Path) -> None:
    pytest.importorskip("finufft")
    angles = np.deg2rad(111.246) * np.arange(48)
    radius = (np.arange(WIDE) - SIDE) / WIDE
    spokes = np.stack([np.cos(angles)[:, None] * radius, np.sin(angles)[:, None] * radius], -1)
    from untrained.physics.nufft import nufft

    flat = torch.from_numpy(spokes.astype(np.float32)).flatten(0, 1)
    samples = nufft(torch.from_numpy(coil_images()), flat).unflatten(-1, spokes.shape[:2]).numpy()
    lines = [
        Line(samples[:, n], {"kspace_encode_step_1": n}, places=spokes[n])
        for n in range(len(angles))
    ]
    path = write(tmp_path / "scan.h5", header(trajectory="radial"), lines)
    (found,) = load_mri(path)
    assert found.physics.x_shape == (2, SIDE, SIDE)
    assert found.y.shape[-2:] == (48, WIDE)


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        ("<ismrmrdHeader/>", "no <encoding>"),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "defines entities"),
        ("nothing", "cannot be read"),
        (header(x=0), "is 0 x 32 x 1"),
        (header(trajectory="epi"), "readouts in both directions"),
        (header(trajectory="spiral"), "coordinates the file does not hold"),
        (header(centre=3), "outside the 32 of the encoded matrix"),
        (header(x=48), "do not fit on the 48"),
    ],
)
def test_a_header_that_contradicts_the_data_is_refused(
    tmp_path: Path, xml: str, message: str
) -> None:
    path = write(tmp_path / "scan.h5", xml, lines_of(oversampled(), range(SIDE)))
    with pytest.raises(UserError, match=message):
        load_mri(path)


def test_headers_that_promise_more_than_the_file_holds_are_refused(tmp_path: Path) -> None:
    import h5py

    path = write(tmp_path / "scan.h5", header(), lines_of(oversampled(), range(SIDE)))
    with h5py.File(path, "a") as file:
        rows = file["dataset/data"][()]
        rows["head"]["active_channels"] = 2**15
        file["dataset/data"][...] = rows
    with pytest.raises(UserError, match="promise .* bytes, and the file has"):
        load_mri(path)
