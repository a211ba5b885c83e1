"""An object wider than the detector: found by the ends of the views, and given room."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import untrained as ut
from untrained.classical.sliding_dct import quick_tv
from untrained.data.tasks.ct import load_ct
from untrained.doubts.ct_truncated import apparent_width, truncation_doubts
from untrained.explore import explore
from untrained.metrics import psnr
from untrained.physics.ct import CT, FanBeam
from untrained.physics.fbp import continued

SIDE, BINS = 48, 32
VIEWS = np.arange(20) * 9.0


def body() -> torch.Tensor:
    """Draw an ellipse of 44 x 36 pixels with a hole, a dense rod and a soft organ."""
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    image = np.where(np.hypot(x / 22, y / 18) < 1, 1.0, 0.0)
    image[np.hypot(x, y - 8) < 4] = 1.6
    image[np.hypot(x + 5, y + 6) < 3] = 0.2
    image[np.hypot(x - 7, y + 3) < 5] = 1.1
    return torch.from_numpy(image.astype(np.float32))[None, None]


@pytest.fixture(scope="module")
def scan() -> np.ndarray:
    y = CT((SIDE, SIDE), VIEWS, BINS).A(body())
    noise = torch.randn(y.shape, generator=torch.Generator().manual_seed(0))
    views: np.ndarray = (y + 0.005 * y.mean() * noise)[0, 0].T.numpy()
    return views


def test_the_width_is_that_of_the_object(scan: np.ndarray) -> None:
    assert apparent_width(scan, 0.0, VIEWS) == pytest.approx(44 / 32, abs=0.1)
    whole = CT((SIDE, SIDE), VIEWS, 60).A(body())[0, 0].T.numpy()
    assert apparent_width(whole, 0.0, VIEWS) == 1
    assert apparent_width(whole + 20, 0.0, VIEWS) == 1  # an offset of all values
    assert apparent_width(scan, BINS / 4, 2 * VIEWS) == 1  # half fan
    assert apparent_width(scan, BINS / 4, VIEWS) > 1


@pytest.mark.parametrize("beam", ["parallel", "fan"])
def test_an_image_with_room_is_chosen_and_is_better_where_all_views_see_it(
    beam: str, scan: np.ndarray, tmp_path: Path
) -> None:
    keys = {"sinogram": scan, "angles": VIEWS}
    if beam == "fan":
        physics = CT((SIDE, SIDE), 2 * VIEWS, BINS, fan=FanBeam(120, 120), detector_pitch=1.0)
        keys = {"sinogram": physics.A(body())[0, 0].T.numpy(), "angles": 2 * VIEWS}
        keys |= {"geometry": "fan", "source_origin": 120.0, "source_detector": 120.0}
    np.savez(tmp_path / "a.npz", **keys)
    np.savez(tmp_path / "b.npz", **keys, image_shape=[BINS, BINS])
    scores = []
    for name in ("a.npz", "b.npz"):
        (m,) = load_ct(tmp_path / name)
        problem = ut.Problem(m.y, m.physics)
        image = problem.to_units(quick_tv(problem, 1e-3))
        inside = image[..., middle(image), middle(image)]
        truth = body()[..., middle(body()), middle(body())]
        scores.append(psnr(inside, truth, data_range=1.6))
        wide = name == "a.npz"
        assert any("Image of" in note for note in m.notes) == wide
        assert any("no room" in note for note in m.notes) != wide
    assert scores[0] > scores[1] + 5


def test_explore_names_it(scan: np.ndarray, tmp_path: Path) -> None:
    np.savez(tmp_path / "b.npz", sinogram=scan, angles=VIEWS, image_shape=[BINS, BINS])
    assert "no room" in explore(tmp_path / "b.npz").suspicious[0]


def middle(image: torch.Tensor) -> slice:
    """Give the square that lies inside the circle that all views see."""
    side = 20
    first = (image.shape[-1] - side) // 2
    return slice(first, first + side)


def test_views_continue_as_those_of_a_disc() -> None:
    axis = np.arange(64) - 31.5
    chords = 2 * np.sqrt(np.clip(32.0**2 - axis**2, 0, None))
    y = torch.from_numpy(chords[16:48])[None, None, :, None]
    longer, geometry = continued(y, CT((64, 64), [0.0], 32).geometry)
    assert geometry.detectors == 64
    assert torch.equal(longer[:, :, 16:48], y)
    assert np.abs(longer[0, 0, :, 0].numpy() - chords).max() < 0.03 * chords.max()
    small = CT((32, 32), [0.0], 32).geometry
    assert continued(y, small)[0] is y


def test_a_narrow_image_is_doubted_and_a_wide_one_is_not(scan: np.ndarray) -> None:
    assert truncation_doubts(scan, CT((BINS, BINS), VIEWS, BINS).geometry)
    assert not truncation_doubts(scan, CT((SIDE, SIDE), VIEWS, BINS).geometry)
