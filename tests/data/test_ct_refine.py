"""--refine: rotation centres and angles of simulated scans, and what the loader makes of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from untrained.data.phantoms import shepp_logan
from untrained.data.tasks.ct import load_ct
from untrained.data.tasks.ct_refine import refined
from untrained.errors import Doubt, UserError
from untrained.metrics import psnr
from untrained.physics import CT, ConeCT, FanBeam
from untrained.physics.ct_centre import centre_by_opposite_rays, centre_by_rebinned_mass

FAN = FanBeam(200.0, 300.0)
TRUTH = torch.from_numpy(shepp_logan(64))[None, None]
SCANS = {
    "parallel, half turn": (None, 180.0),
    "parallel, full turn": (None, 360.0),
    "fan, full turn": (FAN, 360.0),
    "fan, short scan": (FAN, 250.0),
}


def scan(kind: str, offset: float, angles: np.ndarray | None = None, views: int = 72) -> CT:
    fan, turn = SCANS[kind]
    angles = np.arange(views) * turn / views if angles is None else angles
    pitch = 1.0 if fan is None else 1.5
    return CT((64, 64), angles, 104, detector_pitch=pitch, detector_offset=offset, fan=fan)


def measured(physics: CT, seed: int = 0) -> np.ndarray:
    y = physics.A(TRUTH)
    noise = torch.randn(y.shape, generator=torch.Generator().manual_seed(seed))
    return (y + 0.02 * y.abs().mean() * noise)[0, 0].T.numpy()


@pytest.mark.parametrize("kind", SCANS)
def test_the_centre_is_found_within_a_quarter_of_a_bin(kind: str) -> None:
    """Twelve offsets in all, up to 6 bins, with 2 % of noise; the search begins at 0."""
    for seed, offset in enumerate(np.random.default_rng(len(kind)).uniform(-6, 6, 3)):
        physics = scan(kind, float(offset))
        start = replace(physics.geometry, detector_offset=0.0)
        found, notes = refined("center", measured(physics, seed), start)
        assert abs(found.detector_offset - offset) < 0.25
        assert not any(isinstance(note, Doubt) for note in notes)


def test_two_criteria_of_a_fan_agree() -> None:
    physics = scan("fan, full turn", 2.4)
    start, sinogram = replace(physics.geometry, detector_offset=0.0), measured(physics)
    assert centre_by_opposite_rays(sinogram, start) == pytest.approx(2.4, abs=0.1)
    assert centre_by_rebinned_mass(sinogram, start, 0.0) == pytest.approx(2.4, abs=0.1)
    short = scan("fan, short scan", 2.4)
    assert centre_by_rebinned_mass(measured(short), short.geometry, 2.0) is None


def test_views_that_do_not_tell_are_refused() -> None:
    few = scan("fan, full turn", 0.0, np.arange(0, 60, 2.0))
    with pytest.raises(UserError, match="no two views see the same rays"):
        refined("center", measured(few), few.geometry)
    with pytest.raises(UserError, match="center or angles, got 'tilt'"):
        refined("tilt", measured(few), few.geometry)


def write(folder: Path, physics: CT, **keys) -> Path:
    arrays = {"sinogram": measured(physics), "angles": np.asarray(physics.geometry.angles)}
    np.savez(folder / "s.npz", image_shape=(64, 64), **(arrays | keys))
    return folder / "s.npz"


def loss(path: Path, refine: str | None) -> float:
    (found,) = load_ct(path, refine=refine)
    return psnr(found.physics.fbp(found.y), TRUTH, data_range=1.0)


def test_most_of_what_a_wrong_centre_costs_is_recovered(tmp_path) -> None:
    """A centre off by two bins; filtered backprojection before and after."""
    right = loss(write(tmp_path, scan("parallel, half turn", 2.0), detector_offset=2.0), None)
    path = write(tmp_path, scan("parallel, half turn", 2.0))
    wrong, mended = loss(path, None), loss(path, "center")
    assert wrong < right - 2
    assert mended > right - 0.3


def test_most_of_what_wrong_angles_cost_is_recovered(tmp_path) -> None:
    """Every view is off by three degrees (standard deviation), by nothing on average."""
    known = np.arange(45) * 4.0
    errors = 3 * np.random.default_rng(0).normal(size=45)
    errors -= errors.mean()
    turned = scan("parallel, half turn", 0.0, known + errors)
    right = loss(write(tmp_path, turned), None)
    path = write(tmp_path, turned, angles=known)
    wrong = loss(path, None)
    (found,) = load_ct(path, refine="angles")
    mended = psnr(found.physics.fbp(found.y), TRUTH, data_range=1.0)
    assert wrong < right - 0.4
    assert mended > (right + wrong) / 2
    rest = np.asarray(found.physics.geometry.angles) - known - errors
    assert rest.std() < errors.std() / 2
    assert any("angles of the views were corrected" in note for note in found.notes)


def test_dead_bins_stay_left_out_and_slices_share_the_centre(tmp_path) -> None:
    physics = scan("parallel, half turn", 1.5)
    sinogram = np.stack([measured(physics, seed) for seed in range(2)])
    sinogram[:, :, 50] = 0
    arrays = {"angles": np.asarray(physics.geometry.angles), "image_shape": (64, 64)}
    np.savez(tmp_path / "s.npz", sinogram=sinogram, **arrays)
    found = load_ct(tmp_path / "s.npz", slice="all", refine="center")
    offsets = {one.physics.geometry.detector_offset for one in found}
    assert len(offsets) == 1
    assert abs(offsets.pop() - 1.5) < 0.25
    assert all(float(one.physics.mask[0, 0, 50].sum()) == 0 for one in found)


def test_the_central_row_of_a_cone_beam_tells(tmp_path) -> None:
    volume = TRUTH[:, :, None].expand(1, 1, 4, 64, 64)
    angles = np.arange(48) * 7.5
    keys = {"detector_pitch": 1.5, "row_pitch": 1.5, "detector_offset": -1.7}
    y = ConeCT((4, 64, 64), angles, (8, 104), FAN, **keys).A(volume)[0, 0]
    scan_keys = {"geometry": "cone", "source_origin": 200.0, "source_detector": 300.0}
    np.savez(
        tmp_path / "c.npz",
        sinogram=y.movedim(-1, 0).numpy(),
        angles=angles,
        volume_shape=(4, 64, 64),
        detector_pitch=1.5,
        **scan_keys,
    )
    (found,) = load_ct(tmp_path / "c.npz", refine="center")
    assert abs(found.physics.geometry.detector_offset + 1.7) < 0.25
