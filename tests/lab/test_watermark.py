"""`lab watermark`: the mark of our own, and a decoder of the user's."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from untrained.cli.commands import status
from untrained.errors import UserError
from untrained.lab import watermark
from untrained.lab.watermark import SpreadSpectrum, best_without, robustness

DECODER = """
import numpy as np

def corners(picture):
    assert picture.shape[0] == 1 and 0 <= picture.min() and picture.max() <= 1
    return [picture[0, 0, 0] > 0.5, picture[0, 0, -1] > 0.5, picture[0, -1, 0] > 0.5]

def unsure(picture):
    return [0.3, 0.9]
"""


def test_every_message_is_read_back_and_hardly_seen() -> None:
    """In grey and colour, of any size; another key reads chance."""
    generator = np.random.default_rng(0)
    for shape in ((1, 32, 40), (3, 48, 33)):
        picture = 0.2 + 0.6 * generator.random(shape)
        message = generator.integers(0, 2, 12)
        mark = SpreadSpectrum(12, strength=0.01)
        marked = mark.embed(picture, message)
        assert (mark.decode(marked) == message).all()
        assert 0 < np.sqrt(np.mean((marked - picture) ** 2)) < 0.05
        assert (SpreadSpectrum(12, seed=1).decode(marked) != message).any()


def test_the_best_image_without_the_mark_is_the_one_of_highest_psnr() -> None:
    columns = {
        "step": np.arange(4.0),
        "bit accuracy": np.array([0.5, 0.7, 0.75, 1.0]),
        "PSNR to the marked picture (dB)": np.array([10.0, 22.0, 25.0, 30.0]),
    }
    assert best_without(columns) == 22
    columns["bit accuracy"] += 0.5
    assert best_without(columns) is None


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write decoders and a picture whose corners carry three bits; runs take a few steps."""
    (tmp_path / "own.py").write_text(DECODER)
    picture = np.full((16, 16), 0.5, np.float32)
    picture[:3, :3], picture[:3, -3:], picture[-3:, :3] = 0.9, 0.1, 0.9
    np.save(tmp_path / "marked.npy", picture)
    short = watermark.run
    monkeypatch.setattr(watermark, "run", lambda *a: short(*a[:4], 6, *a[5:]))
    return tmp_path


def test_a_decoder_of_ones_own_is_drawn_on_ones_own_picture(own: Path) -> None:
    out, image = own / "out", own / "marked.npy"
    given = ["--decoder", f"{own / 'own.py'}:corners", "--image", str(image), "--out", str(out)]
    assert status(["lab", "watermark", "--quick", *given]) == 0
    with (out / "watermark.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [float(row["step"]) for row in rows] == [1, 2, 3, 4, 5, 6]
    assert {round(3 * float(row["bit accuracy"]), 6) for row in rows} <= {0, 1, 2, 3}
    assert all(float(row["PSNR to the marked picture (dB)"]) > 0 for row in rows)


def test_what_is_no_decoder_is_refused(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = np.load(own / "marked.npy")[None].astype(float)
    with pytest.raises(UserError, match="bits, each 0 or 1"):
        robustness(f"{own / 'own.py'}:unsure", picture, 0, False)
    with pytest.raises(UserError, match="has no callable 'bits'"):
        robustness(f"{own / 'own.py'}:bits", picture, 0, False)
    alone = ["--decoder", f"{own / 'own.py'}:corners", "--out", str(own / "no")]
    assert status(["lab", "watermark", "--quick", *alone]) == 2
    assert "belong together" in capsys.readouterr().err
    assert status(["lab", "theorem-3", "--quick", *alone]) == 2
    assert "takes no --decoder" in capsys.readouterr().err
