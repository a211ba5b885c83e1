"""Small pictures in files."""

import pytest
from photo_files import PIXELS
from PIL import Image


@pytest.fixture
def clean(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "clean.png")
    return tmp_path / "clean.png"


@pytest.fixture
def grey(tmp_path):
    Image.fromarray(PIXELS[..., 0]).save(tmp_path / "grey.png")
    return tmp_path / "grey.png"
