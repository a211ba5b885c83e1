"""A video and what was made of its frames."""

from __future__ import annotations

import json

import numpy as np
import pytest
from command_line import call
from PIL import Image

from untrained.data.tasks.video import load_video
from untrained.errors import UserError

CLIP = np.random.default_rng(0).random((4, 8, 9)).astype(np.float32)


def colours(frames: np.ndarray) -> np.ndarray:
    return np.stack([frames, frames**2, 1 - frames], axis=1)


def test_grey_frames_may_have_been_given_colours(tmp_path):
    np.save(tmp_path / "i.npy", CLIP)
    np.save(tmp_path / "p.npy", colours(CLIP))
    found = load_video(tmp_path / "i.npy", processed=tmp_path / "p.npy")
    assert found.axes == "TCYX"
    assert np.array_equal(found.y[0].movedim(1, 0), colours(CLIP))
    assert np.array_equal(found.physics.frames[0, 0], CLIP)


@pytest.mark.parametrize(
    ("given", "made", "said"),
    [
        (CLIP, None, "--processed FOLDER"),
        (CLIP, CLIP[:3], "3 frames of 8 x 9"),
        (CLIP, CLIP[:, :7], "4 frames of 7 x 9"),
        (colours(CLIP), CLIP, "save both in colour"),
    ],
)
def test_what_does_not_belong_together_is_refused(tmp_path, given, made, said):
    np.save(tmp_path / "i.npy", given)
    if made is not None:
        np.save(tmp_path / "p.npy", made)
    with pytest.raises(UserError, match=said):
        load_video(tmp_path / "i.npy", processed=None if made is None else tmp_path / "p.npy")


def test_a_video_from_folders_to_report(tmp_path):
    """25 passes over the frames unless told; the warping errors are said."""
    for name in ("in", "made"):
        (tmp_path / name).mkdir()
        for t, frame in enumerate(CLIP[:2]):
            Image.fromarray((255 * frame).astype(np.uint8)).save(tmp_path / name / f"{t}.png")
    out, small = tmp_path / "out", ["--set", "net.width=2", "--set", "net.depth=2"]
    given = ["reconstruct", "video", tmp_path / "in", "--processed", tmp_path / "made"]
    assert call(*given, *small, "--no-compare", "--out", out) == 0
    facts = json.loads((out / "result.json").read_text())
    assert facts["method"] == "dvp"
    assert facts["steps"] == 50
    assert any(note.startswith("warping error") for note in facts["notes"])
    assert call(*given, "--method", "tv", "--out", tmp_path / "other") == 2
