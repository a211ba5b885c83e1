"""Rings: offsets of detector bins are found and subtracted, and nothing else."""

from pathlib import Path

import numpy as np
import pytest

from untrained.data.phantoms import shepp_logan
from untrained.data.tasks.ct import load_ct
from untrained.data.tasks.ct_rings import without_rings
from untrained.errors import UserError
from untrained.physics import CT

SIDE, BINS = 64, 72
ANGLES = np.arange(0, 180, 3.0)


def scan() -> np.ndarray:
    """Sinogram of a phantom, `(angles, detectors)`, with a little noise."""
    import torch

    image = torch.from_numpy(shepp_logan(SIDE)).float()[None, None]
    clean = CT((SIDE, SIDE), ANGLES, BINS).A(image)[0, 0].numpy().T
    noise = np.random.default_rng(0).standard_normal(clean.shape)
    return (clean + 0.003 * clean.max() * noise).astype(np.float32)


def striped(sinogram: np.ndarray) -> np.ndarray:
    offsets = np.zeros(BINS, np.float32)
    offsets[[14, 23, 31, 40, 55]] = sinogram.max() * np.array([0.05, -0.06, -0.05, 0.08, -0.04])
    return sinogram + offsets


def test_offsets_go_and_a_clean_sinogram_stays() -> None:
    clean = scan()
    bad = striped(clean)
    found, changed = without_rings(bad)
    assert changed >= 5
    # at edges that stand at the same bin in every view something is left
    assert np.linalg.norm(found - clean) < 0.5 * np.linalg.norm(bad - clean)
    kept, _ = without_rings(clean)
    assert np.linalg.norm(kept - clean) < 0.3 * np.linalg.norm(bad - clean)
    assert found.dtype == bad.dtype


def test_offsets_of_neighbouring_pairs_go() -> None:
    clean = scan()
    offsets = np.zeros(BINS, np.float32)
    offsets[[14, 15, 31, 32, 50, 51]] = clean.max() * np.array([5, 5, -6, -5, 4, 6]) / 100
    found, _ = without_rings(clean + offsets)
    assert np.linalg.norm(found - clean) < 0.5 * np.linalg.norm(len(ANGLES) ** 0.5 * offsets)


def test_what_was_not_measured_stays() -> None:
    bad = striped(scan())
    keep = np.ones(bad.shape, bool)
    keep[:, 30], keep[7] = False, False
    found, _ = without_rings(bad, keep)
    np.testing.assert_array_equal(found[:, 30], bad[:, 30])
    np.testing.assert_array_equal(found[7], bad[7])


def test_it_is_an_option_that_says_what_it_did(tmp_path: Path) -> None:
    path = tmp_path / "scan.npz"
    np.savez(path, sinogram=striped(scan()), angles=ANGLES, image_shape=[SIDE, SIDE])
    (plain,), (cured,) = load_ct(path), load_ct(path, rings=True)
    assert not any("--rings" in note for note in plain.notes)
    assert any("--rings: offsets of" in note for note in cured.notes)
    change = (cured.y - plain.y)[0, 0]
    assert float(change.std(1).max()) < 1e-5
    assert float(change[31].mean()) == pytest.approx(0.05 * float(scan().max()), rel=0.3)


def test_a_cone_beam_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cone.npz"
    np.savez(path, sinogram=np.ones((6, 4, 12), np.float32), angles=ANGLES[:6], geometry="cone")
    with pytest.raises(UserError, match="--rings is for sinograms of slices"):
        load_ct(path, rings=True)
