"""Raw counts of a tomograph: line integrals, angles, and the rotation centre that was found."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from scanner_files import ANGLES, BINS, ROWS, VIEWS, dxchange, nxtomo, sinogram, without_centre

from untrained.data import TASKS
from untrained.errors import Doubt, UserError
from untrained.physics.ct_centre import centre_by_mass, centre_by_mirror

OFFSETS = np.random.default_rng(0).uniform(-9, 9, 10)


@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize(("views", "span"), [(60, 180.0), (90, 360.0)])
def test_two_criteria_find_the_centre(offset: float, views: int, span: float) -> None:
    scan, angles = sinogram(offset, views, span), np.arange(views) * span / views
    mass, mirror = centre_by_mass(scan, angles), centre_by_mirror(scan, angles)
    assert mass is not None
    assert mirror is not None
    assert abs(mass[0] - offset) < 0.1
    assert abs(mirror - offset) < 0.1


def test_views_of_a_quarter_turn_have_no_opposite_ones() -> None:
    assert centre_by_mirror(sinogram(0.0)[:30], ANGLES[:30]) is None


@pytest.mark.parametrize("make", [dxchange, nxtomo])
def test_counts_become_line_integrals_about_the_centre_found(make, tmp_path: Path) -> None:
    (m,) = TASKS["ct"].load(make(tmp_path), slice=2)
    np.testing.assert_allclose(m.y[0, 0].T.numpy(), 0.4 * sinogram(4.3), atol=2e-3)
    np.testing.assert_allclose(m.physics.geometry.angles, ANGLES)
    assert abs(m.physics.geometry.detector_offset - 4.3) < 0.1
    assert any("rotation centre was found" in note for note in m.notes)
    assert not any(isinstance(note, Doubt) for note in m.notes)
    assert len(TASKS["ct"].load(make(tmp_path), slice="all")) == ROWS


def test_radians_are_noticed(tmp_path: Path) -> None:
    (m,) = TASKS["ct"].load(dxchange(tmp_path, theta=np.radians(ANGLES)))
    np.testing.assert_allclose(m.physics.geometry.angles, ANGLES)
    assert any("radians" in note for note in m.notes)


def test_a_geometry_file_has_the_last_word_on_the_centre(tmp_path: Path) -> None:
    (tmp_path / "g.json").write_text('{"detector_offset": 1.5}')
    (m,) = TASKS["ct"].load(dxchange(tmp_path), geometry=tmp_path / "g.json")
    assert m.physics.geometry.detector_offset == 1.5


def test_a_centre_that_cannot_be_found_is_a_doubt(tmp_path: Path) -> None:
    path = without_centre(tmp_path)
    (m,) = TASKS["ct"].load(path)
    assert any(isinstance(n, Doubt) and "could not be found" in n for n in m.notes)


@pytest.mark.parametrize(
    ("name", "array", "words"),
    [
        ("exchange/data_dark", np.zeros((2, ROWS, BINS - 1)), "the frames have 3 x 100"),
        ("exchange/theta", np.zeros(VIEWS - 1), "60 frames and .*59.* angles"),
        ("exchange/data", np.zeros((VIEWS, BINS)), r"\(views, rows, detectors\) is expected"),
    ],
)
def test_parts_that_contradict_are_refused(
    name: str, array: np.ndarray, words: str, tmp_path: Path
) -> None:
    path = dxchange(tmp_path)
    with h5py.File(path, "a") as file:
        del file[name]
        file[name] = array
    with pytest.raises(UserError, match=words):
        TASKS["ct"].load(path)


@pytest.mark.parametrize("name", ["theta", "angles_deg"])
def test_other_names_of_the_angles(name: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "scan.npz", sinogram=sinogram(0.0).astype(np.float32), **{name: ANGLES})
    (m,) = TASKS["ct"].load(tmp_path / "scan.npz")
    np.testing.assert_allclose(m.physics.geometry.angles, ANGLES)
