"""The result of a task whose image lives on a mesh: what is drawn and what is written."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from untrained.cli.commands import status
from untrained.data.simulate.eit import Tank, simulate_eit
from untrained.data.tasks.eit import load_eit
from untrained.data.tasks.eit_mesh_file import read_mesh
from untrained.report.pictures import (
    colour_gradient,
    colours,
    contrast_window,
    image_window,
    in_window,
)
from untrained.report.tank import draw_tank

SMALL_NET = ("--set", "net.widths=4,8")
Y, X = np.mgrid[-1:1:16j, -1:1:16j]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small run, `out`, and the measurement beside it."""
    place = tmp_path_factory.mktemp("eit")
    np.save(place / "clean.npy", 0.8 + 0.6 * ((X - 0.3) ** 2 + Y**2 < 0.1))
    simulate_eit(place / "clean.npy", place / "scan.npz", tank=Tank(electrodes=8))
    said = status(
        ["reconstruct", "eit", str(place / "scan.npz"), "--method", "dip", "--steps", "4",
         *SMALL_NET, "--quiet", "--out", str(place / "out")]
    )  # fmt: skip
    assert said == 0
    return place


def test_the_values_of_the_triangles_are_written_with_their_mesh(folder):
    physics = load_eit(folder / "scan.npz").physics
    image = np.load(folder / "out" / "reconstruction.npy")
    assert image.shape == (16, 16)
    with np.load(folder / "out" / "elements.npz") as stored:
        assert stored["values"] == pytest.approx(physics.grid.to_elements(image), rel=1e-5)
    mesh, notes = read_mesh(folder / "out" / "elements.npz")
    assert notes == ()
    assert np.array_equal(mesh.elements, physics.mesh.elements)
    assert all(map(np.array_equal, mesh.electrodes, physics.mesh.electrodes))
    assert "elements.npz" in json.loads((folder / "out" / "result.json").read_text())["files"]


def test_the_report_shows_mesh_and_colours(folder):
    page = (folder / "out" / "report.html").read_text(encoding="utf-8")
    assert "Mesh and electrodes" in page
    assert "8 electrodes" in page
    assert "logarithmic scale" in page
    assert ", ".join(colour_gradient(palette="RdBu")) in page
    with Image.open(folder / "out" / "reconstruction.png") as picture:
        assert picture.mode == "RGB"


def test_a_window_of_conductivities_has_the_background_in_its_middle():
    plane = np.full((20, 20), 0.8)
    plane[:4], plane[-4:] = 0.08, 2.0
    window = contrast_window(plane)
    assert (window.low, window.high) == pytest.approx((0.08, 8.0))
    assert in_window(plane, window)[10, 10] == pytest.approx(0.5)
    assert np.abs(colours(plane, window)[10, 10].astype(int) - 247).max() < 3, "nearly white"
    red, blue = colours(plane, window)[0, 0], colours(plane, window)[-1, 0]
    assert red[0] > red[2]
    assert blue[2] > blue[0]
    assert in_window(np.array([[-1.0, 0.0, np.nan]]), window).tolist() == [[0, 0, 0]]
    assert image_window("eit", plane, None) == window


@pytest.mark.parametrize("plane", [np.full((4, 4), 3.0), np.zeros((4, 4)), np.full((4, 4), np.nan)])
def test_an_image_without_contrast_has_a_window(plane):
    window = contrast_window(plane)
    assert 0 < window.low < window.high < np.inf
    assert window.high / window.low == pytest.approx(4)


def test_the_drawing_has_the_colours_of_its_triangles():
    corners = np.array([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])
    mesh = {
        "nodes": corners,
        "elements": np.array([[0, 1, 2], [0, 2, 3]]),
        "electrodes": np.array([[[0, 1], [-1, -1]], [[2, 3], [-1, -1]]]),
        "values": np.array([0.1, 10.0]),
    }
    window = contrast_window(np.array([[0.1, 1.0, 10.0]]))
    pixels = np.asarray(Image.open(io.BytesIO(draw_tank(mesh, window))).convert("RGB")).astype(int)
    middle = len(pixels) // 2
    below, above = pixels[middle + 80, middle + 120], pixels[middle - 80, middle - 120]
    assert below[0] > below[2] + 50, "the lower right triangle is red"
    assert above[2] > above[0] + 50, "the upper left one is blue"
