"""Sinograms in and out: geometry keys and their precedence, angles, errors."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from untrained.data.phantoms import shepp_logan
from untrained.data.simulate.ct import simulate_ct
from untrained.data.tasks.ct import load_ct as load_slices
from untrained.errors import UserError

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
SINOGRAM = np.random.default_rng(0).random((6, 16)).astype(np.float32)


def load_ct(*given, **options):
    """The only slice."""
    (found,) = load_slices(*given, **options)
    return found


@pytest.fixture
def clean(tmp_path):
    np.save(tmp_path / "clean.npy", shepp_logan(24)[:, 2:22])
    return tmp_path / "clean.npy"


def write(folder: Path, **arrays) -> Path:
    np.savez(folder / "s.npz", **{"sinogram": SINOGRAM, **arrays})
    return folder / "s.npz"


def write_json(folder: Path, content) -> Path:
    path = folder / "geometry.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_round_trip(clean, tmp_path):
    simulate_ct(clean, tmp_path / "m.npz", angles=9, noise=0.02, seed=1)
    found = load_ct(tmp_path / "m.npz")
    with np.load(tmp_path / "m.npz") as stored:
        assert stored["sinogram"].shape == (9, 32)
        assert stored["sinogram"].dtype == np.float32
        assert np.allclose(stored["angles"], np.arange(9) * 20)
        assert tuple(stored["image_shape"]) == (24, 20)
    assert found.y.shape == (1, 1, 32, 9)
    assert found.physics.x_shape == (1, 24, 20)
    assert found.data_range == pytest.approx(float(found.reference.max()))
    clean_y = found.physics.A(found.reference)
    noise = found.y - clean_y
    assert float(noise.std()) == pytest.approx(0.02 * float(clean_y.abs().mean()), rel=0.15)
    assert found.sigma == pytest.approx(0.02 * float(clean_y.abs().mean()), rel=1e-4)


def test_sinogram_is_transposed_to_detectors_by_angles(tmp_path):
    found = load_ct(write(tmp_path, angles=np.arange(6.0) * 30))
    assert np.array_equal(found.y[0, 0].numpy(), SINOGRAM.T)
    assert found.physics.x_shape == (1, 16, 16)
    assert any("image size not given: 16x16" in note for note in found.notes)


def test_simulated_noise_is_seeded_and_can_be_off(clean, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        simulate_ct(clean, tmp_path / f"{name}.npz", angles=4, seed=seed)
    a, b, c = ((tmp_path / f"{name}.npz").read_bytes() for name in "abc")
    assert a == b
    assert a != c
    simulate_ct(clean, tmp_path / "d.npz", angles=4, noise=0)
    found = load_ct(tmp_path / "d.npz")
    assert torch.allclose(found.y, found.physics.A(found.reference), atol=1e-5)


@pytest.mark.parametrize("how", ["number", "npy", "text"])
def test_angles_option_beats_the_file(tmp_path, how):
    path = write(tmp_path, angles=np.zeros(6))
    if how == "number":
        option = "6"
    elif how == "npy":
        option = tmp_path / "a.npy"
        np.save(option, np.arange(6) * 30)
    else:
        option = tmp_path / "a.txt"
        option.write_text("0, 30 60\n90,120\n150\n")
    assert load_ct(path, angles=option).physics.geometry.angles == (0, 30, 60, 90, 120, 150)


def test_number_of_angles_covers_a_full_turn_for_a_fan(tmp_path):
    fan = write_json(tmp_path, {"geometry": "fan", "source_origin": 100, "source_detector": 150})
    found = load_ct(write(tmp_path), angles=6, geometry=fan)
    assert found.physics.geometry.angles == (0, 60, 120, 180, 240, 300)
    assert found.physics.geometry.pixel_size == pytest.approx(100 / 150)
    assert any("pixel size not given" in note for note in found.notes)


def test_geometry_keys_in_the_file_and_in_json(tmp_path):
    keys = {
        "geometry": "fan",
        "source_origin": 90.0,
        "source_detector": 120.0,
        "detector_pitch": 2.0,
        "detector_offset": 0.5,
        "pixel_size": 1.25,
        "image_shape": [12, 14],
    }
    angles = np.arange(6.0) * 60
    stored = load_ct(write(tmp_path, angles=angles, **keys))
    given = load_ct(write(tmp_path, angles=angles), geometry=write_json(tmp_path, keys))
    assert stored.physics.geometry == given.physics.geometry
    scan = given.physics.geometry
    assert (scan.fan.source_origin, scan.fan.source_detector) == (90.0, 120.0)
    assert (scan.detector_pitch, scan.detector_offset, scan.pixel_size) == (2.0, 0.5, 1.25)
    assert given.physics.x_shape == (1, 12, 14)
    path = write(tmp_path, angles=angles, **keys)
    beaten = load_ct(path, geometry=write_json(tmp_path, {"pixel_size": 1.0}))
    assert beaten.physics.geometry.pixel_size == 1.0
    assert beaten.physics.geometry.detector_pitch == 2.0


def test_h5_is_read_alike(tmp_path):
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["sinogram"], file["angles"] = SINOGRAM, np.arange(6.0) * 30
    found = load_ct(tmp_path / "s.h5")
    assert torch.equal(found.y, load_ct(write(tmp_path, angles=np.arange(6.0) * 30)).y)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "give --angles"),
        ({"angles": np.zeros(5)}, "5 angles, but 'sinogram' has 6 rows"),
        ({"angles": np.zeros(16)}, "16 angles.*transposed"),
        ({"angles": np.full(6, np.nan)}, "6 values NaN"),
        ({"angles": np.zeros((6, 1))}, "one list of degrees"),
        ({"sinogram": np.ones((6, 16), np.uint16)}, r"found uint16.*-np\.log"),
        ({"sinogram": np.ones((6, 16), complex)}, "found complex128"),
        ({"sinogram": np.ones((1, 1, 6, 16))}, r"\(slices, angles.*\(1, 1, 6, 16\)"),
        (
            {"sinogram": np.ones((9, 6, 16)), "angles": np.zeros(9)},
            r"9 angles.*6 rows.*slices come first",
        ),
        ({"sinogram": np.full((6, 16), np.inf)}, "96 values NaN or infinite"),
        ({"angles": np.zeros(6), "image_shape": np.array([0, 4])}, "image_shape"),
        ({"angles": np.zeros(6), "image_shape": np.array(4)}, "two whole numbers"),
        ({"angles": np.zeros(6), "reference": np.ones((9, 9))}, r"\(16, 16\).*\(9, 9\)"),
        ({"angles": np.zeros(6), "geometry": "helix"}, "parallel, fan, cone"),
        ({"angles": np.zeros(6), "geometry": "fan"}, "source_origin"),
        ({"angles": np.zeros(6), "source_origin": 9.0}, "belong to a fan beam"),
        ({"angles": np.zeros(6), "pixel_size": -1.0}, "pixel_size"),
        ({"angles": np.zeros(6), "pixel_size": np.ones(2)}, "'pixel_size' must be a finite"),
    ],
)
def test_bad_files(tmp_path, arrays, message):
    with pytest.raises(UserError, match=message):
        load_ct(write(tmp_path, **arrays))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not valid JSON"),
        ("[" * 100000, "not valid JSON"),
        ([1], "JSON object"),
        ({"sdd": 3}, "unknown keys 'sdd'; known: geometry, source_origin"),
        ({"pixel_size": "1"}, "'pixel_size' must be a finite number, got '1'"),
        ({"pixel_size": True}, "got True"),
        ('{"pixel_size": NaN}', "got nan"),
        ({"geometry": "helix"}, "got 'helix'"),
    ],
)
def test_bad_geometry_files(tmp_path, content, message):
    with pytest.raises(UserError, match=message):
        load_ct(write(tmp_path), angles=6, geometry=write_json(tmp_path, content))


def test_bad_options(clean, tmp_path):
    path = write(tmp_path)
    (tmp_path / "a.txt").write_text("0 ten 20")
    with pytest.raises(UserError, match="ten"):
        load_ct(path, angles=tmp_path / "a.txt")
    with pytest.raises(UserError, match="gives 0 angles"):
        load_ct(path, angles=0)
    with pytest.raises(UserError, match="no file"):
        load_ct(path, angles=tmp_path / "none.npy")
    out = tmp_path / "m.npz"
    with pytest.raises(UserError, match="--noise"):
        simulate_ct(clean, out, noise=-0.1)
    with pytest.raises(UserError, match="at least 1"):
        simulate_ct(clean, out, angles=0)
    with pytest.raises(UserError, match=r"must be one of \.png"):
        simulate_ct(path, out)
    np.save(tmp_path / "rgb.npy", np.zeros((3, 8, 8), np.uint8))
    with pytest.raises(UserError, match="3 channels"):
        simulate_ct(tmp_path / "rgb.npy", out)


def test_radians_are_suspected(tmp_path):
    np.savez(tmp_path / "s.npz", sinogram=np.ones((9, 8)), angles=np.linspace(0, 3, 9))
    assert any("radians" in note for note in load_ct(tmp_path / "s.npz").notes)


def test_measured_fan_beam_scan(tmp_path):
    path = SHARED / "ct_bellpepper" / "bell_pepper_high_dose.npz"
    if not path.exists():
        pytest.skip(f"no measured sinogram at {path}")
    with np.load(path) as scan:
        rows = np.arange(0, 360, 12)
        np.savez(
            tmp_path / "pepper.npz",
            sinogram=scan["sinogram"][rows, ::4],
            angles=scan["angles_deg"][rows],
        )
    fan = {
        "geometry": "fan",
        "source_origin": 410.66,
        "source_detector": 553.74,
        "detector_pitch": 0.8,
    }
    found = load_ct(tmp_path / "pepper.npz", geometry=write_json(tmp_path, fan))
    image = found.physics.fbp(found.y)
    again = found.physics.A(image)
    assert float((again - found.y).norm() / found.y.norm()) < 0.3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (np.zeros_like, "zero everywhere"),
        (lambda p: np.round(1e4 * np.exp(-p)), "photon counts"),
    ],
)
def test_what_are_no_line_integrals_is_refused(tmp_path, change, message):
    path = disc_scan(tmp_path, change)
    with pytest.raises(UserError, match=message):
        load_ct(path)


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (np.negative, "sign of the logarithm"),
        (lambda p: np.exp(-p), "outermost detectors"),
        (lambda p: p, None),
    ],
)
def test_what_looks_like_no_line_integrals_is_said(tmp_path, change, note):
    notes = " ".join(load_ct(disc_scan(tmp_path, change)).notes)
    assert note in notes if note else "logarithm" not in notes and "outermost" not in notes


def disc_scan(folder: Path, change) -> Path:
    s = np.linspace(-1.4, 1.4, 41)
    chords = 2 * np.sqrt(np.clip(1.2 - s**2, 0.0, None)) * np.ones((20, 1))
    noise = 1e-3 * np.random.default_rng(0).standard_normal(chords.shape)
    values = change((chords + noise + 0.01).astype(np.float32))
    return write(folder, sinogram=values, angles=np.arange(0, 180, 9.0))
