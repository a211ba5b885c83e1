"""Photon counts in files: line integrals, weights of rays, and what they are worth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from untrained.classical import tv
from untrained.data.phantoms import shepp_logan
from untrained.data.simulate.ct import simulate_ct
from untrained.data.tasks.ct import load_ct
from untrained.errors import UserError
from untrained.metrics import psnr
from untrained.physics import CT, ConeCT, Counted
from untrained.problem import Problem

COUNTS = np.random.default_rng(0).poisson(200, (6, 16)).astype(np.uint16)
ANGLES = np.arange(6) * 30.0


def write(folder: Path, **arrays) -> Path:
    given = {"counts": COUNTS, "flat": 1000.0, "angles": ANGLES, **arrays}
    np.savez(folder / "c.npz", **{key: value for key, value in given.items() if value is not None})
    return folder / "c.npz"


def test_line_integrals_and_weights_of_counts(tmp_path) -> None:
    """-log((counts - dark) / (flat - dark)), flat one a bin; a ray without photons has one."""
    counts = COUNTS.copy()
    counts[2, 3] = 0
    flat = np.linspace(900, 1100, 16)
    (found,) = load_ct(write(tmp_path, counts=counts, flat=flat, dark=10.0))
    expected = -np.log(np.maximum(counts - 10.0, 1) / (flat - 10))
    np.testing.assert_allclose(found.y[0, 0].T.numpy(), expected, rtol=1e-5)
    assert isinstance(found.physics, Counted)
    problem = Problem(found.y, found.physics)
    weights = np.maximum(counts, 1) / np.maximum(counts, 1).mean()
    seen = problem.physics.A(torch.ones(1, 1, 16, 16)) / found.physics.A(torch.ones(1, 1, 16, 16))
    ratio = (seen[0, 0].T.numpy() ** 2) / weights
    known = np.isfinite(ratio)
    np.testing.assert_allclose(ratio[known], ratio[known].mean(), rtol=1e-3)
    assert any("1.0% of the rays had none" in note for note in found.notes)


def test_the_weighted_problem_is_that_of_the_weighted_matrix() -> None:
    """Its data term, found by hand; masked rays count neither in the sum nor in the mean weight."""
    mask = torch.ones(16, 6)
    mask[4] = 0
    physics = CT((16, 16), ANGLES, 16, mask=mask)
    counts = torch.from_numpy(COUNTS.T.astype(np.float32).copy())[None]
    whitened, y = Counted(physics, counts).for_networks(torch.ones(1, 1, 16, 6))
    weights = counts / counts[:, mask != 0].mean()
    x = torch.rand(1, 1, 16, 16)
    residual = (whitened.A(x) - y)[..., mask != 0].square().sum()
    by_hand = (weights * (physics.A(x) - 1).square())[..., mask != 0].sum()
    torch.testing.assert_close(residual, by_hand)


def test_weights_are_worth_something(tmp_path) -> None:
    """Total variation of 500 photons behind a dense phantom, with and without the weights."""
    image = shepp_logan(64)
    image[28:36, 20:24] = image[28:36, 40:44] = 1.0
    np.save(tmp_path / "p.npy", image)
    simulate_ct(tmp_path / "p.npy", tmp_path / "c.npz", angles=60, photons=500, seed=1)
    (found,) = load_ct(tmp_path / "c.npz")
    scores = []
    for physics in (found.physics, found.physics.physics):
        problem = Problem(found.y, physics)
        scores.append(
            psnr(problem.to_units(tv(problem)), found.reference, data_range=found.data_range)
        )
    assert scores[0] > scores[1] + 0.2


def test_counts_of_a_cone_beam(tmp_path) -> None:
    np.save(tmp_path / "v.npy", np.pad(np.ones((4, 6, 6), np.float32), 2))
    simulate_ct(tmp_path / "v.npy", tmp_path / "c.npz", angles=5, photons=1000, volume=True)
    (found,) = load_ct(tmp_path / "c.npz")
    assert isinstance(found.physics.physics, ConeCT)
    assert Problem(found.y, found.physics).physics.filtered_name == "fdk"
    error = found.y - found.physics.A(found.reference)
    assert float(error.abs().mean()) < 0.1


def test_every_slice_has_weights_of_its_own(tmp_path) -> None:
    path = write(tmp_path, counts=np.stack([COUNTS, COUNTS + 100]))
    first, second = load_ct(path, slice="all")
    assert not torch.equal(first.physics.counts, second.physics.counts)
    with pytest.raises(UserError, match="use --slice all"):
        load_ct(path, volume=True)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"flat": None}, "no 'flat'"),
        ({"flat": np.ones(5)}, "does not broadcast"),
        ({"flat": 0.0}, "above 0"),
        ({"counts": -COUNTS.astype(float)}, "counts >= 0"),
        ({"counts": np.zeros_like(COUNTS)}, "not all zero|zero everywhere|same value"),
    ],
)
def test_what_are_no_counts(tmp_path, arrays, message) -> None:
    with pytest.raises(UserError, match=message):
        load_ct(write(tmp_path, **arrays))
