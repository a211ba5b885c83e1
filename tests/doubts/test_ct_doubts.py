"""CT scans that contradict their geometry are noticed, and sound ones are not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import untrained as ut
from untrained.classical import CLASSICAL
from untrained.data.tasks.ct import load_ct
from untrained.doubts import mended
from untrained.doubts.ct import (
    centre_doubts,
    find_unmeasured,
    lengths_doubts,
    residual_doubts,
    scan_doubts,
)
from untrained.errors import UserError
from untrained.metrics import psnr
from untrained.physics.ct import CT, FanBeam
from untrained.physics.ct_geometry import Geometry
from untrained.physics.stack import Stack

VIEWS = np.arange(30) * 6.0


def tensor(sinogram: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(sinogram.T, dtype=np.float32))[None, None]


def geometry(views: np.ndarray = VIEWS, bins: int = 40, **keys) -> Geometry:
    return Geometry((32, 32), tuple(views), bins, **keys)


def doubt(sinogram: np.ndarray, physics: CT) -> tuple[str, ...]:
    problem = ut.Problem(tensor(sinogram), physics)
    return residual_doubts(problem, CLASSICAL["tv"](problem))


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.1])
@pytest.mark.parametrize("count", [6, 12, 30])
def test_sound_parallel_scans_are_left_alone(scan, count, noise) -> None:
    views = np.arange(count) * 180 / count
    sinogram = scan(views, noise=noise)
    physics = CT((32, 32), views, 40)
    assert find_unmeasured(sinogram) == (None, ())
    assert not scan_doubts(sinogram, physics, "y")
    assert not doubt(sinogram, physics)


@pytest.mark.parametrize("noise", [0.0, 0.1])
@pytest.mark.parametrize("count", [8, 40])
def test_sound_fan_scans_are_left_alone(ellipses, count, noise) -> None:
    views = np.arange(count) * 360 / count
    physics = CT((32, 32), views, 56, fan=FanBeam(90.0, 120.0), detector_pitch=1.2)
    sinogram = physics.A(torch.from_numpy(ellipses).float()[None, None])[0, 0].numpy().T
    sinogram += (
        noise
        * np.sqrt(np.square(sinogram).mean())
        * np.random.default_rng(1).standard_normal(sinogram.shape)
    )
    assert not scan_doubts(sinogram, physics, "y")
    assert not doubt(sinogram, physics)


@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_a_shifted_centre_is_named_with_its_place(scan, noise) -> None:
    sinogram = scan(VIEWS, bins=48, centre=3.0, noise=noise)
    (note,) = centre_doubts(sinogram, geometry(bins=48))
    assert "off by 3.0 bins" in note
    assert "detector_offset 3.0" in note
    assert not centre_doubts(sinogram, geometry(bins=48, detector_offset=3.0))
    assert "do not fit the geometry" in doubt(sinogram, CT((32, 32), VIEWS, 48))[0]
    assert not doubt(sinogram, CT((32, 32), VIEWS, 48, detector_offset=3.0))


def test_a_fan_turned_the_other_way_is_noticed(ellipses) -> None:
    views = np.arange(60) * 6.0
    physics = CT((32, 32), views, 56, fan=FanBeam(90.0, 120.0), detector_pitch=1.2)
    sinogram = physics.A(torch.from_numpy(ellipses).float()[None, None])[0, 0].numpy().T
    assert "the other way" in doubt(sinogram[::-1], physics)[0]


def test_an_object_wider_than_the_detector_is_noticed(scan) -> None:
    assert "wider than the detector" in doubt(scan(VIEWS)[:, 11:29], CT((18, 18), VIEWS, 18))[0]


def test_lengths_of_two_units_are_noticed() -> None:
    assert not lengths_doubts(geometry())
    assert "20 times as wide" in lengths_doubts(geometry(bins=32, detector_pitch=0.05))[0]
    assert "only 0.05 of" in lengths_doubts(geometry(bins=32, pixel_size=0.05))[0]


@pytest.mark.parametrize("key", ["detector_pitch", "pixel_size"])
def test_one_length_of_a_parallel_beam_tells_the_other(scan, tmp_path, key) -> None:
    arrays = {"sinogram": scan(VIEWS).astype(np.float32), "angles": VIEWS}
    np.savez(tmp_path / "s.npz", **arrays, **{key: 0.05})
    (m,) = load_ct(tmp_path / "s.npz")
    assert m.physics.geometry.pixel_size == m.physics.geometry.detector_pitch == 0.05
    assert any("not given: 0.05" in note for note in m.notes)


def test_a_pixel_of_a_fan_tells_the_pitch(scan, tmp_path) -> None:
    lengths = {"geometry": "fan", "source_origin": 90.0, "source_detector": 180.0}
    arrays = {"sinogram": scan(VIEWS).astype(np.float32), "angles": VIEWS}
    np.savez(tmp_path / "s.npz", **arrays, **lengths, pixel_size=0.5)
    (m,) = load_ct(tmp_path / "s.npz")
    assert m.physics.geometry.detector_pitch == 1.0
    assert any("pitch not given: 1" in note for note in m.notes)


def spoilt(sinogram: np.ndarray, rest: float) -> np.ndarray:
    """Bins 15 and 16 dead, views 4 and 9 lost, where noise of this size is left."""
    noise = rest * np.random.default_rng(5).standard_normal(sinogram.shape)
    found = sinogram.copy()
    for part in ((slice(None), [15, 16]), ([4, 9], slice(None))):
        found[part] = noise[part]
    return found


@pytest.fixture
def unsearched() -> None:
    """Search for weights as in earnest: here images are judged."""


@pytest.mark.parametrize("rest", [0.0, 0.05])
def test_dead_bins_and_lost_views_are_found_and_left_out(scan, ellipses, tmp_path, rest) -> None:
    whole = scan(VIEWS, noise=0.01)
    data = spoilt(whole, rest)
    np.savez(
        tmp_path / "s.npz",
        sinogram=data.astype(np.float32),
        angles=VIEWS,
        image_shape=np.array([32, 32]),
    )
    (m,) = load_ct(tmp_path / "s.npz")
    assert any("detector bins 15, 16 are dead" in note for note in m.notes)
    assert any("views 4, 9 are lost" in note for note in m.notes)
    measured = m.physics.mask[0, 0].bool()
    assert (~measured).nonzero().T.unique(dim=1).shape[1] == 2 * 30 + 2 * 40 - 4
    truth = torch.from_numpy(ellipses)[None, None]
    score = {}
    for name, y, physics in (
        ("mended", m.y, m.physics),
        ("whole", tensor(whole), CT((32, 32), VIEWS, 40)),
    ):
        problem = ut.Problem(y, physics)
        image = problem.to_units(CLASSICAL["tv"](problem)).double()
        score[name] = psnr(image, truth, data_range=1.1)
    assert score["mended"] > score["whole"] - 3


def test_python_leaves_the_same_out(scan) -> None:
    data, physics = spoilt(scan(VIEWS, noise=0.01), 0.0), CT((32, 32), VIEWS, 40)
    with pytest.warns(ut.Note, match="detector bins 15, 16 are dead"):
        found = ut.reconstruct(tensor(data), physics, method="tv", progress=False)
    masked = CT((32, 32), VIEWS, 40, mask=find_unmeasured(data)[0].T)
    same = ut.reconstruct(tensor(data), masked, method="tv", progress=False)
    assert torch.equal(found.image, same.image)


def test_an_empty_middle_or_border_is_not_dead() -> None:
    disc = np.maximum(0, 10**2 - (np.arange(40) - 19.5) ** 2) ** 0.5
    ring = disc - np.maximum(0, 9**2 - (np.arange(40) - 19.5) ** 2) ** 0.5
    for profile in (disc, ring):
        assert find_unmeasured(np.tile(profile, (12, 1))) == (None, ())


def test_a_mask_of_the_file_is_used(scan, tmp_path) -> None:
    mask = np.ones((30, 40), np.uint8)
    mask[:, 7] = 0
    arrays = {"sinogram": scan(VIEWS).astype(np.float32), "angles": VIEWS}
    for stored in (mask, mask[0]):
        np.savez(tmp_path / "s.npz", **arrays, mask=stored)
        (m,) = load_ct(tmp_path / "s.npz")
        assert not m.physics.mask[0, 0, 7].any()
        assert m.physics.mask.sum() == 39 * 30
        assert any("2.5% of the measurements are left out" in note for note in m.notes)
    np.savez(tmp_path / "s.npz", **arrays, mask=mask.T)
    with pytest.raises(UserError, match=r"'mask' .* expected \(30, 40\)"):
        load_ct(tmp_path / "s.npz")


def test_radians_and_a_wrong_sign_are_said_in_python(scan) -> None:
    physics = CT((32, 32), np.radians(VIEWS), 40)
    with pytest.warns(ut.Note, match="are the angles in radians"):
        ut.reconstruct(tensor(scan(VIEWS)), physics, method="fbp", progress=False, compare=False)
    with pytest.warns(ut.Note, match="sign of the logarithm"):
        ut.reconstruct(
            tensor(-scan(VIEWS) - 1), CT((32, 32), VIEWS, 40), method="fbp", progress=False
        )


@pytest.mark.parametrize("what", ["bins", "views"])
def test_the_masked_operator_has_an_exact_adjoint_and_a_whole_fbp(scan, ellipses, what) -> None:
    from untrained.physics.check import dot_test

    mask = np.ones((40, 30), bool)
    mask[
        [12, 25] if what == "bins" else slice(None), slice(None) if what == "bins" else [3, 17]
    ] = 0
    physics = CT((32, 32), VIEWS, 40, mask=mask)
    assert dot_test(physics) < 1e-6
    y = tensor(scan(VIEWS))
    truth = torch.from_numpy(ellipses).float()[None, None]
    plain = CT((32, 32), VIEWS, 40).fbp(y)
    lost = torch.where(torch.from_numpy(mask), y, torch.nan_to_num(y * 0))
    error, usual = (float((image - truth).norm()) for image in (physics.fbp(lost), plain))
    assert error < 1.3 * usual
    held = physics.holdout(y, 0.2, torch.Generator().manual_seed(0))[0, 0].any(0)
    assert what == "bins" or not held[[3, 17]].any()


def test_what_is_dead_in_one_image_is_left_out_of_all_from_a_file_and_in_python(
    scan, tmp_path
) -> None:
    """One rule: a batch, a volume in Python and a volume of a file share one operator."""
    sound, broken = scan(VIEWS), scan(VIEWS)
    broken[:, 15] = 0
    both = np.stack([sound, broken]).astype(np.float32)
    np.savez(tmp_path / "v.npz", sinogram=both, angles=VIEWS, image_shape=np.array([32, 32]))
    (from_file,) = load_ct(tmp_path / "v.npz", volume=True)
    flat = CT((32, 32), VIEWS, 40)
    batch = torch.from_numpy(both).movedim(1, 2)[:, None]
    _, of_batch, told = mended(batch, flat)
    _, of_volume, _ = mended(batch.movedim(0, 1)[None], Stack(flat, 2))
    expected = torch.ones(40, len(VIEWS))
    expected[15] = 0
    for physics in (of_batch, of_volume.physics, from_file.physics.physics):
        assert torch.equal(physics.mask.reshape(40, len(VIEWS)), expected)
    assert told == tuple(note for note in from_file.notes if "dead" in note)
    assert mended(batch[:1], flat)[1] is flat
