"""The score of the Helsinki Tomography Challenge, and the geometry that its files describe."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from untrained.cli.evaluate import evaluate
from untrained.data.htc import correlation, score_files
from untrained.data.tasks.ct import load_ct
from untrained.errors import UserError

DISC = np.hypot(*np.mgrid[-16:16, -16:16]) < 9


def saved(folder: Path, name: str, array: np.ndarray) -> Path:
    np.save(folder / name, array)
    return folder / name


def test_the_coefficient_is_the_correlation_of_the_two_masks() -> None:
    """Against numpy's correlation coefficient of the masks as numbers, and its limits."""
    other = np.roll(DISC, 3, 0)
    expected = np.corrcoef(DISC.ravel(), other.ravel())[0, 1]
    assert correlation(other, DISC)["htc"] == pytest.approx(expected)
    assert correlation(DISC, DISC)["htc"] == pytest.approx(1.0)
    assert correlation(~DISC, DISC)["htc"] == pytest.approx(-1.0)
    assert correlation(np.ones_like(DISC), DISC)["htc"] == 0


def test_an_image_is_cut_by_otsu_and_in_its_middle(tmp_path) -> None:
    """Grey values with noise, four pixels larger on every side than the truth."""
    noise = 0.02 * np.random.default_rng(0).normal(size=(40, 40))
    image = saved(tmp_path, "image.npy", np.pad(DISC.astype(float), 4) * 0.04 + 0.04 * noise)
    Image.fromarray(DISC).save(tmp_path / "truth.png")
    found, notes = score_files(image, tmp_path / "truth.png")
    assert found["htc"] == pytest.approx(1.0)
    assert "its middle was compared" in notes[0]
    assert "Otsu" in notes[1]
    shown = CliRunner().invoke(
        evaluate, [str(image), str(tmp_path / "truth.png"), "--score", "htc"]
    )
    assert "htc      1.0000" in shown.output


def test_what_has_no_score(tmp_path) -> None:
    small = saved(tmp_path, "small.npy", np.eye(8))
    truth = saved(tmp_path, "truth.npy", DISC)
    grey = saved(tmp_path, "grey.npy", np.random.default_rng(0).random((32, 32)))
    with pytest.raises(UserError, match="smaller than the reference"):
        score_files(small, truth)
    with pytest.raises(UserError, match="a segmentation has two"):
        score_files(grey, grey)
    with pytest.raises(UserError, match="one real plane"):
        score_files(saved(tmp_path, "c.npy", np.eye(32) * 1j), truth)


PARAMETERS = {
    "distanceSourceOrigin": 410.66,
    "distanceSourceDetector": 553.74,
    "pixelSize": 0.05,
    "pixelSizePost": 0.2,
    "geometryType": "Cone",
}


def described(folder: Path, text: str, **keys) -> Path:
    sinogram = np.random.default_rng(0).random((8, 20)).astype(np.float32)
    arrays = {"sinogram": sinogram, "angles_deg": np.arange(8.0), "parameters_json": text}
    np.savez(folder / "htc.npz", **(arrays | keys))
    return folder / "htc.npz"


def test_the_geometry_that_a_file_describes_is_read(tmp_path) -> None:
    """A row a view of a cone is a fan; keys of ours in the file take precedence."""
    (found,) = load_ct(described(tmp_path, json.dumps(PARAMETERS)))
    scan = found.physics.geometry
    assert scan.fan is not None
    assert (scan.fan.source_origin, scan.fan.source_detector) == (410.66, 553.74)
    assert scan.detector_pitch == 0.2
    assert scan.pixel_size == pytest.approx(0.2 * 410.66 / 553.74)
    assert any("'parameters_json': a fan" in note for note in found.notes)
    (other,) = load_ct(described(tmp_path, json.dumps(PARAMETERS), source_origin=400.0))
    assert other.physics.geometry.fan.source_origin == 400.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ("[1]", "must be a JSON object"),
        (json.dumps(PARAMETERS | {"pixelSizePost": -1}), "must be a positive length, found -1"),
        (json.dumps(PARAMETERS | {"distanceSourceOrigin": "far"}), "positive length"),
    ],
)
def test_descriptions_that_make_no_sense(tmp_path, text, message) -> None:
    with pytest.raises(UserError, match=message):
        load_ct(described(tmp_path, text))


def test_a_description_without_distances_is_not_used(tmp_path) -> None:
    (found,) = load_ct(described(tmp_path, json.dumps({"target": "Mo"})))
    assert found.physics.geometry.fan is None
    assert any("is not used" in note for note in found.notes)
