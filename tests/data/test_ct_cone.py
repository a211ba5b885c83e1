"""Cone-beam scans in files: axes, keys, options, what is refused; simulation and back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from untrained.data.simulate.ct import simulate_ct
from untrained.data.tasks.ct import load_ct
from untrained.errors import UserError

SCAN = {"geometry": "cone", "source_origin": 60.0, "source_detector": 90.0}
VIEWS = np.random.default_rng(0).random((6, 10, 12)).astype(np.float32)
ANGLES = np.arange(6) * 60.0


def write(folder: Path, **arrays) -> Path:
    np.savez(folder / "cone.npz", **{"sinogram": VIEWS, "angles": ANGLES, **SCAN, **arrays})
    return folder / "cone.npz"


@pytest.fixture
def clean(tmp_path) -> Path:
    volume = np.zeros((8, 10, 12), np.float32)
    volume[2:6, 3:7, 2:9] = 0.8
    np.save(tmp_path / "volume.npy", volume)
    return tmp_path / "volume.npy"


def test_axes_keys_and_defaults(tmp_path) -> None:
    """(angles, rows, columns) becomes (rows, columns, angles); a volume as the panel sees it."""
    (found,) = load_ct(write(tmp_path, detector_row_pitch=2.0, detector_offset=0.5))
    assert found.y.shape == (1, 1, 10, 12, 6)
    np.testing.assert_array_equal(found.y[0, 0, 3, 4].numpy(), VIEWS[:, 3, 4])
    assert found.physics.x_shape == (1, 20, 12, 12)  # rows are twice as high
    assert found.physics.cone.row_pitch == 2.0
    assert found.physics.geometry.detector_offset == 0.5
    assert found.axes == "ZYX"
    assert any("volume size not given" in note for note in found.notes)


def test_simulated_and_read_again(clean, tmp_path) -> None:
    """The noise is what was asked for; the geometry comes from the file alone."""
    simulate_ct(clean, tmp_path / "m.npz", angles=8, noise=0.02, seed=1, volume=True)
    (found,) = load_ct(tmp_path / "m.npz")
    assert found.physics.cone.fan.source_origin == 36.0
    assert found.reference.shape == (1, 1, 8, 10, 12)
    exact = found.physics.A(found.reference)
    size = float((found.y - exact).std() / exact.abs().mean())
    assert size == pytest.approx(0.02, rel=0.1)
    assert float(exact[..., 0, :, :].abs().max()) == 0  # the panel sees the whole volume


def test_geometry_in_a_json_file(clean, tmp_path) -> None:
    """Check that --geometry is taken for simulation, and precedes the file's, with a note."""
    scan = SCAN | {"detector_row_pitch": 3.0, "slice_height": 2.0}
    (tmp_path / "g.json").write_text(json.dumps(scan))
    simulate_ct(clean, tmp_path / "m.npz", angles=4, volume=True, geometry=tmp_path / "g.json")
    (found,) = load_ct(tmp_path / "m.npz")
    assert found.physics.cone.slice_height == 2.0
    (tmp_path / "h.json").write_text(json.dumps({"detector_row_offset": 1.0, "source_origin": 50}))
    (other,) = load_ct(tmp_path / "m.npz", geometry=tmp_path / "h.json")
    assert other.physics.cone.row_offset == 1.0
    assert any("'source_origin', 60" in note for note in other.notes)


def test_a_fan_beam_can_be_simulated(tmp_path) -> None:
    np.save(tmp_path / "picture.npy", np.eye(16, dtype=np.float32))
    (tmp_path / "g.json").write_text(json.dumps(SCAN | {"geometry": "fan"}))
    simulate_ct(
        tmp_path / "picture.npy", tmp_path / "m.npz", angles=5, geometry=tmp_path / "g.json"
    )
    (found,) = load_ct(tmp_path / "m.npz")
    assert found.physics.geometry.fan is not None
    assert found.physics.geometry.angles[-1] == 288.0  # over a full turn


def test_dead_pixels_and_lost_views_are_left_out(clean, tmp_path) -> None:
    simulate_ct(clean, tmp_path / "m.npz", angles=8, volume=True)
    with np.load(tmp_path / "m.npz") as stored:
        arrays = dict(stored)
    row, column = (side // 2 for side in arrays["sinogram"].shape[1:])
    arrays["sinogram"][:, row, column] = 0
    arrays["sinogram"][3] = 0
    np.savez(tmp_path / "m.npz", **arrays)
    (found,) = load_ct(tmp_path / "m.npz")
    left_out = found.physics.mask[0, 0] == 0
    assert left_out[row, column].all()
    assert left_out[..., 3].all()
    assert int(left_out.any(-1).sum()) == left_out[..., 3].numel()
    assert int(left_out[..., 0].sum()) == 1
    notes = " ".join(found.notes)
    assert f"({row}, {column})" in notes
    assert "view 3 is lost" in notes


def test_a_mask_in_the_file(tmp_path) -> None:
    mask = np.ones((10, 12), np.uint8)
    mask[2, 3] = 0
    (found,) = load_ct(write(tmp_path, mask=mask))
    assert float(found.physics.mask[0, 0, 2, 3].sum()) == 0
    assert any("0.8% of the measurements" in note for note in found.notes)
    with pytest.raises(UserError, match="expected .6, 10, 12. .angles, rows, columns"):
        load_ct(write(tmp_path, mask=np.ones((12, 10))))


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        ({"sinogram": VIEWS[0]}, {}, "must be .angles, rows, columns."),
        ({"sinogram": VIEWS.astype(np.uint16)}, {}, "line integrals"),
        ({"angles": ANGLES[:5]}, {}, "gives 5 angles"),
        ({"volume_shape": (4, 4)}, {}, "three whole numbers"),
        ({"image_shape": (12, 12)}, {}, "'volume_shape' .slices, rows, columns., not"),
        ({}, {"slice": "2"}, "leave out --slice"),
        ({"source_origin": 8.0, "pixel_size": 1.0}, {}, "the source must stay outside"),
        ({"detector_row_offset": 60.0}, {}, "no ray of the scan meets the volume"),
        ({"reference": np.zeros((2, 2, 2))}, {}, "the volume's"),
        ({"volume_shape": (4000, 4000, 4000)}, {}, "in memory"),
    ],
)
def test_what_is_refused(tmp_path, arrays, options, message) -> None:
    with pytest.raises(UserError, match=message):
        load_ct(write(tmp_path, **arrays), **options)


def test_lengths_of_a_cone_belong_to_a_cone(tmp_path) -> None:
    flat = {"sinogram": VIEWS[:, 0], "slice_height": 2.0}
    with pytest.raises(UserError, match="slice_height belong to a cone beam"):
        load_ct(write(tmp_path, **flat, geometry="fan"))


def test_what_cannot_be_simulated(clean, tmp_path) -> None:
    (tmp_path / "g.json").write_text(json.dumps(SCAN))
    with pytest.raises(UserError, match="with --volume a volume"):
        simulate_ct(clean, tmp_path / "m.npz", geometry=tmp_path / "g.json")
    np.save(tmp_path / "one.npy", np.ones((8, 8), np.float32))
    with pytest.raises(UserError, match="one slice"):
        simulate_ct(tmp_path / "one.npy", tmp_path / "m.npz", volume=True)
    with pytest.raises(UserError, match="leave out --noise"):
        simulate_ct(clean, tmp_path / "m.npz", volume=True, photons=100, noise=0.1)


def test_a_reference_unlike_the_geometry_file_names_that_file(tmp_path) -> None:
    (tmp_path / "g.json").write_text(json.dumps({"volume_shape": [4, 12, 12]}))
    path = write(tmp_path, reference=np.ones((10, 12, 12), np.float32))
    with pytest.raises(UserError, match=r"'volume_shape' beside it, or in .*g\.json"):
        load_ct(path, geometry=tmp_path / "g.json")
