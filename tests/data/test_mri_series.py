"""Dynamic MRI: k-space with an axis of time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from untrained.data import TASKS
from untrained.errors import UserError
from untrained.maths import to_complex

RNG = np.random.default_rng(0)
FRAMES, COILS, SIDE = 4, 3, 12


def scan() -> dict[str, np.ndarray]:
    """Four frames of columns, the centre and others of each."""
    masks = np.zeros((FRAMES, SIDE, SIDE), bool)
    masks[..., 5:8] = True
    for t in range(FRAMES):
        masks[t, :, t % 3 :: 4] = True
    shape = (FRAMES, COILS, SIDE, SIDE)
    kspace = RNG.standard_normal(shape) + 1j * RNG.standard_normal(shape)
    kspace[..., 6, 6] += 50
    maps = RNG.standard_normal((COILS, SIDE, SIDE)) + 1j
    reference = RNG.random((FRAMES, SIDE, SIDE)) * 1j
    return {
        "kspace": (kspace * masks[:, None]).astype(np.complex64),
        "mask": masks,
        "maps": maps.astype(np.complex64),
        "reference": reference.astype(np.complex64),
    }


def load(path, **options):
    (found,) = TASKS["mri"].load(path, series=True, **options)
    return found


def test_every_frame_has_its_own_mask_and_all_the_same_maps(tmp_path):
    given = scan()
    np.savez(tmp_path / "s.npz", **given)
    found = load(tmp_path / "s.npz")
    assert found.y.shape == (1, 2, FRAMES, COILS, SIDE, SIDE)
    assert found.axes == "TYX"
    for t in range(FRAMES):
        assert np.array_equal(to_complex(found.y[:, :, t])[0].numpy(), given["kspace"][t])
        frame = found.physics.of_frame(t)
        assert np.array_equal(frame.mask[0, 0, 0].bool().numpy(), given["mask"][t])
        assert np.allclose(frame.maps[0].numpy(), given["maps"], atol=1e-5)
    assert np.allclose(to_complex(found.reference)[0].numpy(), given["reference"])


def test_maps_are_estimated_once_from_all_frames(tmp_path):
    """Without maps in the file they come from the mean over time, the same in all frames."""
    given = scan()
    np.savez(tmp_path / "s.npz", kspace=given["kspace"])
    found = load(tmp_path / "s.npz", maps="lowres")
    maps = [found.physics.of_frame(t).maps for t in range(FRAMES)]
    assert all(torch.equal(one, maps[0]) for one in maps)
    masks = [found.physics.of_frame(t).mask for t in range(FRAMES)]
    assert not torch.equal(masks[0], masks[1])


def test_frames_of_one_coil_have_three_axes(tmp_path):
    np.save(tmp_path / "k.npy", scan()["kspace"][:, 0])
    assert load(tmp_path / "k.npy").y.shape == (1, 2, FRAMES, 1, SIDE, SIDE)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"slice": 1}, "--slice does not apply"),
        ({"virtual_coils": 2}, "--virtual-coils does not apply"),
        ({"volume": True}, "leave out one"),
    ],
)
def test_a_series_is_no_volume_and_no_slice(tmp_path, options, said):
    np.savez(tmp_path / "s.npz", **scan())
    with pytest.raises(UserError, match=said):
        load(tmp_path / "s.npz", **options)


def test_one_frame_is_no_series(tmp_path):
    np.save(tmp_path / "k.npy", scan()["kspace"][:1])
    with pytest.raises(UserError, match="at least 2 frames"):
        load(tmp_path / "k.npy")
