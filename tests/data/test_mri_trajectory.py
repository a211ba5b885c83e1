"""Samples on a trajectory: axes, units, image size and what is refused."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from untrained.classical import cgsense
from untrained.data.phantoms import brain
from untrained.data.simulate.mri import simulate_mri
from untrained.data.tasks.mri import load_mri
from untrained.data.tasks.mri_trajectory import Trajectory, low_resolution
from untrained.errors import UserError
from untrained.maths import to_complex
from untrained.physics import NonCartesianMRI
from untrained.problem import Problem

SIDE = 40


def radial(count: int = 60, samples: int = 2 * SIDE) -> np.ndarray:
    angles = np.arange(count) * math.pi * (math.sqrt(5) - 1) / 2
    radius = (np.arange(samples) - samples // 2) / samples
    points = np.stack([np.cos(angles)[:, None] * radius, np.sin(angles)[:, None] * radius], -1)
    return points.astype(np.float32)


@pytest.fixture
def simulated(tmp_path: Path) -> Path:
    np.save(tmp_path / "x.npy", brain(SIDE))
    np.save(tmp_path / "t.npy", radial())
    simulate_mri(tmp_path / "x.npy", tmp_path / "s.npz", coils=4, trajectory=tmp_path / "t.npy")
    return tmp_path / "s.npz"


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as stored:
        return {key: stored[key] for key in stored}


def saved(path: Path, **changes: object) -> Path:
    """The same file with other arrays; None takes one out."""
    stored = {**arrays_of(path), **changes}
    other = path.with_name("other.npz")
    np.savez(other, **{key: value for key, value in stored.items() if value is not None})
    return other


def test_what_simulate_writes_is_read_and_reconstructed(simulated) -> None:
    """From simulate to image: the shapes, the maps from the gridded centre, the brightness."""
    stored = arrays_of(simulated)
    assert stored["kspace"].shape == (4, 60, 2 * SIDE)
    assert "mask" not in stored
    (m,) = load_mri(simulated)
    assert isinstance(m.physics, NonCartesianMRI)
    assert m.y.shape == (1, 2, 4, 60, 2 * SIDE)
    assert any("coil maps: ESPIRiT from the fully sampled 32x32 centre" in n for n in m.notes)
    problem = Problem(m.y, m.physics)
    image = to_complex(problem.to_units(cgsense(problem)))[0].abs()
    truth = np.abs(brain(SIDE))
    assert float((image - torch.from_numpy(truth)).norm()) < 0.2 * np.linalg.norm(truth)


@pytest.mark.parametrize(
    "how", ["radians", "field of view", "coordinates first", "three", "complex"]
)
def test_other_units_and_axes_are_the_same_trajectory(simulated, tmp_path, how) -> None:
    points = radial().astype(np.float64)
    other, said = {
        "radians": (2 * math.pi * points, "radians per pixel"),
        "field of view": (SIDE * points, f"cycles per field of view of {SIDE} pixels"),
        "coordinates first": (np.moveaxis(points, -1, 0), ""),
        "three": (np.concatenate([points, 0 * points[..., :1]], -1), ""),
        "complex": (points[..., 0] + 1j * points[..., 1], "kx + i ky"),
    }[how]
    np.save(tmp_path / "o.npy", other)
    (m,) = load_mri(saved(simulated, traj=None), trajectory=tmp_path / "o.npy")
    np.testing.assert_allclose(m.physics.trajectory.numpy(), points, atol=1e-6)
    assert not said or any(said in note for note in m.notes)


def test_the_size_of_the_image_is_found_and_said(simulated) -> None:
    """Samples twice as dense as the object needs: the outer half, empty, is left out."""
    (m,) = load_mri(saved(simulated, image_shape=None, reference=None))
    assert m.physics.x_shape == (2, SIDE, SIDE)
    assert any(f"image of {SIDE} x {SIDE}: the readout is oversampled" in n for n in m.notes)
    (m,) = load_mri(saved(simulated, image_shape=[60, 64], reference=None))
    assert m.physics.x_shape == (2, 60, 64)


def test_empty_shots_were_not_measured(simulated) -> None:
    kspace = arrays_of(simulated)["kspace"].copy()
    kspace[:, ::2] = 0
    (m,) = load_mri(saved(simulated, kspace=kspace))
    assert m.y.shape[-2] == 30
    assert any("30 of 60 shots hold zeros" in note for note in m.notes)


def test_the_files_own_density_is_taken(simulated) -> None:
    density = np.abs(np.arange(2 * SIDE) - SIDE) + 0.5
    (m,) = load_mri(saved(simulated, dcf=np.broadcast_to(density, (60, 2 * SIDE))))
    ratio = m.physics.weights[0].numpy() / density
    assert ratio.std() < 1e-5 * ratio.mean()
    with pytest.raises(UserError, match="one weight for each of 60 shots of 80 samples"):
        load_mri(saved(simulated, dcf=density))


def test_slices_share_the_trajectory(simulated) -> None:
    kspace = arrays_of(simulated)["kspace"]
    path = saved(simulated, kspace=np.stack([kspace, 2 * kspace]), reference=None)
    two = load_mri(path, slice="all")
    assert [m.y.shape for m in two] == [(1, 2, 4, 60, 2 * SIDE)] * 2
    assert "slice 1, the middle one of 2" in load_mri(path)[0].notes
    (volume,) = load_mri(path, volume=True)
    assert volume.y.shape == (1, 2, 2, 4, 60, 2 * SIDE)


def test_a_trajectory_option_takes_the_place_of_the_files(simulated, tmp_path) -> None:
    np.save(tmp_path / "o.npy", radial()[..., ::-1])
    (m,) = load_mri(simulated, trajectory=tmp_path / "o.npy")
    assert any("--trajectory took the place of the file's own 'traj'" in n for n in m.notes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"traj": radial(59)}, r"expected \(coils, 59, 80\)"),
        ({"traj": radial(80, 60)}, "transpose its last two axes"),
        ({"traj": np.zeros((60, 80, 2))}, "zero everywhere"),
        ({"traj": np.zeros((60, 80, 4))}, "expected"),
        ({"traj": 5000 * radial()}, "expected cycles per pixel"),
        ({"traj": np.full((60, 80, 2), np.nan)}, "NaN"),
        ({"traj": np.random.default_rng(0).random((60, 80, 3))}, "third coordinate"),
        ({"kspace": np.ones((4, 60, 80))}, "must be complex"),
        ({"kspace": np.zeros((4, 60, 80), np.complex64)}, "zero everywhere"),
        ({"image_shape": [0, 3]}, "'image_shape'"),
        (
            {"traj": radial() / 20 + 0.45, "image_shape": [96, 96]},
            "too few samples near the centre",
        ),
    ],
)
def test_what_does_not_fit_is_refused(simulated, changes, message) -> None:
    with pytest.raises(UserError, match=message):
        load_mri(saved(simulated, **changes))


def test_a_mask_beside_a_trajectory_is_refused(simulated, tmp_path) -> None:
    with pytest.raises(UserError, match="leave out --mask"):
        load_mri(simulated, mask=tmp_path / "m.npy")
    with pytest.raises(UserError, match="so does --acceleration"):
        simulate_mri(simulated, tmp_path / "n.npz", trajectory=tmp_path / "t.npy", acceleration=2)


def test_places_that_are_all_the_centre_are_refused_by_name() -> None:
    points = torch.rand(4, 40, 2, dtype=torch.float64) * 1e-30
    found = Trajectory(points, None, None, (), "'traj' in scan.h5")
    with pytest.raises(UserError, match=r"'traj' in scan.h5: no image of the coils.*--maps"):
        low_resolution(found, np.ones((2, 4, 40), np.complex64), (16, 16))
