"""What a time series leaves behind: axes, a sheet of frames, pictures that move."""

from __future__ import annotations

import base64
import io
import json
import re

import numpy as np
import pytest
import torch
from command_line import call
from PIL import Image

from untrained.report.arrays import contact_sheet, saved_array
from untrained.report.pictures import animated_png


@pytest.mark.parametrize("channels", [1, 3])
def test_a_series_is_saved_with_time_first(channels):
    image = torch.rand(1, channels, 4, 5, 6)
    array = saved_array(image, "denoise", "TYX" if channels == 1 else "TCYX")
    expected = image[0].movedim(1, 0).numpy()
    assert np.array_equal(array, expected[:, 0] if channels == 1 else expected)


def test_a_sheet_shows_the_first_and_the_last_frame():
    frames = [np.full((2, 3), k / 30) for k in range(31)]
    sheet = contact_sheet(frames)
    assert sheet.shape == (5 * 3 - 1, 5 * 4 - 1)
    assert sheet[0, 0] == 0
    assert sheet[-1, -1] == 1


def test_an_animated_png_has_every_frame():
    frames = [np.full((8, 8), 10 * k, np.uint8) for k in range(5)]
    with Image.open(io.BytesIO(animated_png(frames, 100))) as picture:
        assert picture.n_frames == 5
        for k in range(5):
            picture.seek(k)
            assert np.asarray(picture.convert("L"))[3, 3] == 10 * k


def test_a_series_from_file_to_report(tmp_path):
    """`--series` on the command line: axes, shapes, and a report whose pictures move."""
    rng = np.random.default_rng(0)
    clip = np.linspace(0, 1, 12)[None, None] * np.ones((5, 12, 12))
    noisy = clip + 0.05 * rng.standard_normal(clip.shape)
    np.savez(tmp_path / "c.npz", measurement=noisy, reference=clip, sigma=12.75)
    out = tmp_path / "out"
    code = call(
        "reconstruct", "denoise", tmp_path / "c.npz", "--series", "--method", "lps", "--out", out
    )
    assert code == 0
    facts = json.loads((out / "result.json").read_text())
    assert facts["axes"] == "TYX"
    assert np.load(out / "reconstruction.npy").shape == (5, 12, 12)
    with Image.open(out / "reconstruction.png") as sheet:
        assert sheet.size == (3 * 13 - 1, 2 * 13 - 1)
    page = (out / "report.html").read_text()
    assert "prefers-reduced-motion" in page
    moving = re.findall(r'srcset="[^"]+">\n<img src="data:image/png;base64,([^"]+)"', page)[0]
    with Image.open(io.BytesIO(base64.b64decode(moving))) as picture:
        assert picture.n_frames == 5
