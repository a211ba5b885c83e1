"""Coils mixed before reconstruction: prewhitened by a noise scan, compressed to virtual ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from untrained.classical import cgsense
from untrained.data.phantoms import birdcage_maps, brain
from untrained.data.tasks.mri import load_mri
from untrained.data.tasks.mri_coils import compression, whitening
from untrained.data.tasks.mri_noise import noise_samples
from untrained.errors import Doubt, UserError
from untrained.maths import fft2c, to_channels, to_complex
from untrained.physics import MRI
from untrained.problem import Problem

SIDE, COILS = 32, 6
RNG = np.random.default_rng(0)


def white(*shape: int) -> np.ndarray:
    return (RNG.standard_normal(shape) + 1j * RNG.standard_normal(shape)) / np.sqrt(2)


def correlated() -> np.ndarray:
    """Mix white noise of six coils: one is loud, and neighbours share theirs."""
    mixing = np.eye(COILS) + 0.8 * np.roll(np.eye(COILS), 1, axis=1)
    mixing[0] *= 2
    return mixing


def scan(noise: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Every second column and the centre of a phantom's k-space, and the coil maps."""
    maps = birdcage_maps(COILS, (SIDE, SIDE)).astype(np.complex64)
    full = fft2c(torch.from_numpy(maps * brain(SIDE))).numpy()
    full = full + noise * np.tensordot(correlated(), white(*full.shape), 1)
    columns = np.arange(SIDE) % 2 == 0
    columns[10:22] = True
    return (full * columns).astype(np.complex64), maps


def saved(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path / "scan.npz", **arrays)
    return path / "scan.npz"


def test_whitened_noise_is_white_and_of_the_median_deviation() -> None:
    noise = np.tensordot(correlated(), white(COILS, 5000), 1)
    made = whitening(noise).apply(noise)
    covariance = made @ made.conj().T / made.shape[1]
    level = float(np.median(noise.std(1)))
    np.testing.assert_allclose(covariance, level**2 * np.eye(COILS), atol=1e-3 * level**2)


def test_a_noise_scan_makes_the_image_better(tmp_path: Path) -> None:
    """The same noisy scan with and without the noise scan, maps given: less error, same units."""
    kspace, maps = scan(noise=0.15)
    noise = np.tensordot(correlated(), white(COILS, 4000), 1).astype(np.complex64)
    errors = []
    for more in ({}, {"noise": noise}):
        (m,) = load_mri(saved(tmp_path, kspace=kspace, maps=maps, **more))
        problem = Problem(m.y, m.physics)
        image = to_complex(problem.to_units(cgsense(problem)))[0].numpy()
        errors.append(np.linalg.norm(image - brain(SIDE)))
    assert any("prewhitened" in note for note in m.notes)
    assert errors[1] < 0.9 * errors[0]


@pytest.mark.parametrize("where", ["corners", "background"])
def test_noise_taken_from_the_scan_is_nearly_as_good_as_a_noise_scan(where: str) -> None:
    """Whitening by the scan's own noise: what the true covariance would do, within its error."""
    mask = np.ones((96, 64), bool)
    mask[:, 1::2] = False
    mask[:, 24:40] = True
    images = np.zeros((COILS, 96, 64), np.complex64)
    images[:, 32:64, 16:48] = birdcage_maps(COILS, (SIDE, SIDE)) * brain(SIDE)
    noise = 0.05 * np.tensordot(correlated(), white(COILS, 96, 64), 1)
    kspace = (fft2c(torch.from_numpy(images)).numpy() + noise) * mask
    samples, note = noise_samples(kspace, mask, where)
    assert not isinstance(note, Doubt)
    made = whitening(samples).apply(noise.reshape(COILS, -1))
    covariance = made @ made.conj().T / made.shape[1]
    covariance /= np.trace(covariance).real / COILS
    before = np.cov(noise.reshape(COILS, -1))
    before /= np.trace(before).real / COILS
    off = [np.linalg.norm(one - np.eye(COILS)) for one in (before, covariance)]
    assert off[1] < 0.25 * off[0]


def test_signal_in_what_is_taken_for_noise_is_doubted() -> None:
    """A point in the image has k-space and, seen by all, no background."""
    kspace = fft2c(torch.from_numpy(np.tile(brain(SIDE), (COILS, 1, 1)).astype(np.complex64)))
    full = np.ones((SIDE, SIDE), bool)
    _, note = noise_samples(np.sqrt(np.abs(kspace.numpy())) + 0j, full, "corners")
    assert isinstance(note, Doubt)
    _, note = noise_samples(white(COILS, SIDE, SIDE), full, "background")
    assert isinstance(note, Doubt)
    scattered = RNG.random((SIDE, SIDE)) > 0.5
    with pytest.raises(UserError, match="whole lines of k-space"):
        noise_samples(kspace.numpy(), scattered, "background")


def test_given_maps_are_mixed_with_the_coils(tmp_path: Path) -> None:
    """Check that mixed coil maps measure of the truth what the mixed coils measured."""
    kspace, maps = scan()
    noise = np.tensordot(correlated(), white(COILS, 4000), 1).astype(np.complex64)
    path = saved(tmp_path, kspace=kspace, maps=maps, noise=noise)
    (m,) = load_mri(path, virtual_coils=4)
    assert isinstance(m.physics, MRI)
    assert m.y.shape == (1, 2, 4, SIDE, SIDE)
    truth = to_channels(torch.from_numpy(brain(SIDE).astype(np.complex64))[None])
    torch.testing.assert_close(m.physics.A(truth), m.y, rtol=0, atol=1e-4)


def test_estimated_maps_keep_the_units_of_the_image(tmp_path: Path) -> None:
    kspace, _ = scan()
    noise = np.tensordot(correlated(), white(COILS, 4000), 1).astype(np.complex64)
    images = []
    for more, virtual in (({}, None), ({"noise": noise}, None), ({}, 4)):
        (m,) = load_mri(saved(tmp_path, kspace=kspace, **more), virtual_coils=virtual)
        problem = Problem(m.y, m.physics)
        images.append(to_complex(problem.to_units(cgsense(problem)))[0].abs())
    for other in images[1:]:
        assert float((other - images[0]).norm() / images[0].norm()) < 0.1


def test_few_virtual_coils_keep_most_energy() -> None:
    kspace, _ = scan()
    mixing = compression(kspace, 4)
    made = mixing.apply(kspace)
    share = np.linalg.norm(made) ** 2 / np.linalg.norm(kspace) ** 2
    assert 0.9 < share <= 1.0001
    assert f"{share:.2%}" in mixing.notes[0]
    identity = mixing.matrix @ mixing.matrix.conj().T
    np.testing.assert_allclose(identity, np.eye(4), atol=1e-5)


@pytest.mark.parametrize(
    ("noise", "message"),
    [
        (np.ones((COILS, 500)), "a noise scan is complex"),
        (white(5, 500), "here of 6 coils"),
        (white(COILS, 20), "takes 60 or more"),
        (np.zeros((COILS, 500), complex), "constant in coil 0, 1"),
        (np.repeat(white(1, 500), COILS, axis=0), "combinations of others"),
    ],
)
def test_a_noise_scan_that_is_none_is_refused(tmp_path: Path, noise, message) -> None:
    with pytest.raises(UserError, match=message):
        load_mri(saved(tmp_path, kspace=scan()[0], noise=noise))


def test_more_virtual_coils_than_coils_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="from 1 to 6"):
        load_mri(saved(tmp_path, kspace=scan()[0]), virtual_coils=7)
