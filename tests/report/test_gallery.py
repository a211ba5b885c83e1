"""The pictures of a report: windows, sizes, error maps, and the values behind them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from report_pages import both, opened, without_reference

from untrained.report.gallery import gallery
from untrained.report.pictures import LEVELS, deep_values


def test_error_maps_share_their_window(compared, photo):
    panels = {panel.title: panel for panel in gallery(*both(compared)).panels}
    tv, ours = panels["Error: tv"], panels["Error: toy"]
    assert tv.scale == ours.scale
    errors = [(0.2 * photo).mean(1), (0.05 - 0.1 * photo).abs().mean(1)]
    expected = np.percentile(torch.cat(errors).numpy(), 99.5)
    assert float(tv.scale[1]) == pytest.approx(expected, rel=5e-3)
    assert "Error" not in "".join(
        panel.title for panel in gallery(*both(without_reference(compared))).panels
    )


@pytest.mark.parametrize("shape", [(1, 1, 10, 90), (1, 3, 70, 16), (3, 2, 33, 20)])
def test_pixels_stay_square(make_result, shape):
    task = "mri" if shape[1] == 2 else "denoise"
    image = torch.rand(shape)
    panels = gallery(*both(make_result(image, task=task, reference=image, adjoint=image))).panels
    assert len(panels) == 4
    for panel in panels:
        assert (panel.width, panel.height) == (shape[3], shape[2])
        assert opened(panel.uri).size == (shape[3], shape[2])


def test_huge_images_are_made_smaller_without_distortion(make_result):
    panel = gallery(*both(make_result(torch.rand(1, 1, 300, 2400)))).panels[0]
    assert opened(panel.uri).size == (1200, 150)


def test_mri_window_and_middle_slice(make_result):
    image = torch.zeros(3, 2, 20, 20)
    image[1, 0], image[1, 1] = 3.0, 4.0  # magnitude 5 in the middle slice only
    reference = 2 * image
    shown = gallery(*both(make_result(image, task="mri", reference=reference)))
    assert "white is 10 (99.5th percentile of the reference)" in shown.note
    assert "slice 1 of 0 to 2" in shown.note.lower()
    assert np.unique(np.asarray(opened(shown.panels[0].uri))).tolist() == [128]
    alone = gallery(*both(make_result(image, task="mri")))
    assert "white is 5 (99.5th percentile of the reconstruction)" in alone.note


def test_views_have_their_values_to_4096_levels(make_result):
    """Check that what the page's script decodes is the image, and that maps are told apart."""
    image = 3.0 * torch.rand(1, 1, 9, 14) - 1.0
    result = make_result(image, task="ct", reference=image + 0.1, adjoint=torch.zeros(1, 1, 4, 4))
    measured, ours, reference, error = gallery(*both(result)).panels
    assert [p.kind for p in (measured, ours, reference, error)] == [
        "picture",
        "view",
        "view",
        "map",
    ]
    assert (ours.key, reference.key) == ("result", "reference")
    halves = np.asarray(opened(ours.values)).astype(int)
    assert halves.shape == (18, 14)
    (low, high), codes = ours.ends, 16 * halves[:9] + halves[9:]
    seen = low + (high - low) * codes / LEVELS
    assert np.abs(seen - image[0, 0].numpy()).max() <= (high - low) / LEVELS
    colour = gallery(*both(make_result(torch.rand(1, 3, 5, 5)))).panels[0]
    assert (colour.kind, colour.values, colour.ends) == ("view", "", (0.0, 1.0))


def test_values_of_a_large_image_are_those_of_a_smaller_one():
    plane = np.repeat(np.arange(4.0), 400)[None].repeat(64, axis=0)
    uri, ends = deep_values(plane)
    assert opened(uri).size == (640, 2 * 26)
    assert ends == (0.0, 3.0)
    assert deep_values(np.full((2, 2), np.nan))[1] == (0.0, 1.0)
