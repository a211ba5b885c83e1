"""What a notebook shows of a result."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
import torch
from PIL import Image


def test_a_notebook_shows_every_picture_and_number(compared) -> None:
    """Check that pictures, verdict and measures are there, and that texts are escaped."""
    evil = replace(compared, about=replace(compared.about, classical_name="<script>"))
    page = evil._repr_html_()
    assert page.count("<img ") == 7
    assert "30.00 dB" in page
    assert "<script" not in page
    assert not re.search(r"https?://", page)


@pytest.mark.parametrize("shape", [(1, 1, 20, 24), (1, 3, 20, 24), (2, 2, 20, 24), (1, 1, 16)])
def test_a_figure_of_a_result_can_be_saved(make_result, shape) -> None:
    """Check the number of pictures: image and reference, one error map, two curves."""
    image = torch.rand(shape)
    task = "mri" if shape[1] == 2 else "custom"
    figure = make_result(image, task=task, reference=image + 0.1).plot()
    titles = [axes.get_title() for axes in figure.axes]
    assert len(titles) == 5
    assert titles[1] == "reference"
    assert "0 to 0.1" in titles[2] or task == "mri"
    stream = io.BytesIO()
    figure.savefig(stream, dpi=40)
    assert Image.open(stream).size[0] > 100
