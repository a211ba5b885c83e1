"""A visible mark that two pictures share is found, and taken out by one command."""

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import call
from PIL import Image, ImageDraw
from skimage import data

from untrained.data.shared_mark import find_shared_mark
from untrained.errors import UserError

SIDE = 128


def photographs() -> list[np.ndarray]:
    """Two photographs that have nothing in common."""
    camera, coins = data.camera()[::4, ::4], data.coins()[40:168, 60:188]
    return [picture.astype(float) / 255 for picture in (camera, coins)]


def mark(kind: str) -> np.ndarray:
    """Draw a mark, 1 where it is opaque."""
    picture = Image.new("L", (SIDE, SIDE))
    pen = ImageDraw.Draw(picture)
    if kind == "text":
        pen.text((30, 50), "SAMPLE", fill=255, font_size=22)
    elif kind == "ring":
        pen.ellipse((30, 30, 95, 95), outline=255, width=4)
    elif kind == "cross":
        pen.line((20, 20, 108, 108), fill=255, width=4)
        pen.line((20, 108, 108, 20), fill=255, width=4)
    else:
        pen.rectangle((80, 90, 115, 110), outline=255, width=3)
    return np.asarray(picture, dtype=float) / 255


MARKS = {"text": (0.7, 1.0), "ring": (1.0, 0.0), "cross": (0.6, 1.0), "frame": (0.9, 1.0)}
"""Opacity and colour of each."""


def marked(kind: str) -> tuple[np.ndarray, list[np.ndarray]]:
    opacity, colour = MARKS[kind]
    alpha = opacity * mark(kind)
    pictures = [(1 - alpha) * p + alpha * colour for p in photographs()]
    return alpha > 0.05, [np.round(255 * p) / 255 for p in pictures]


@pytest.fixture
def unsearched() -> None:
    """Search for weights as in earnest: here images are judged."""


@pytest.mark.parametrize("kind", MARKS)
def test_each_mark_is_taken_out_by_one_command(kind: str, tmp_path: Path) -> None:
    """Most of the mark is found (black on black is not); the PSNR rises by 2 dB or more."""
    support, pictures = marked(kind)
    found = find_shared_mark(pictures[0][None], pictures[1][None])
    assert (found.support & support).sum() > 0.8 * support.sum()
    for name, picture in zip(("a.png", "b.png"), pictures, strict=True):
        Image.fromarray(np.round(255 * picture).astype(np.uint8)).save(tmp_path / name)
    clean = photographs()[0].astype(np.float32)
    np.save(tmp_path / "clean.npy", clean)
    options = ["--mask-from", tmp_path / "b.png", "--reference", tmp_path / "clean.npy"]
    out = tmp_path / "out"
    command = ["reconstruct", "inpaint", tmp_path / "a.png", *options, "--method", "tv"]
    assert call(*command, "--quiet", "--out", out) == 0
    facts = json.loads((out / "result.json").read_text())
    before = -10 * np.log10(np.square(pictures[0] - clean).mean())
    assert facts["metrics"]["psnr"] > before + 2
    assert any("the mark that b.png shares" in note for note in facts["notes"])


def test_pictures_without_a_shared_mark_are_refused() -> None:
    first, second = (picture[None] for picture in photographs())
    with pytest.raises(UserError, match="the same"):
        find_shared_mark(first, first)
    with pytest.raises(UserError, match="one size"):
        find_shared_mark(first, second[:, 1:])
    flat = np.full((1, 64, 64), 0.5), np.full((1, 64, 64), 0.2)
    with pytest.raises(UserError, match="no mark was found"):
        find_shared_mark(*flat)


def test_two_masks_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, pictures = marked("ring")
    for name, picture in zip(("a.npy", "b.npy"), pictures, strict=True):
        np.save(tmp_path / name, picture.astype(np.float32))
    given = ["--mask", tmp_path / "b.npy", "--mask-from", tmp_path / "b.npy"]
    assert call("reconstruct", "inpaint", tmp_path / "a.npy", *given, "--out", tmp_path / "o") == 2
    assert "leave --mask out" in " ".join(capsys.readouterr().err.split())
