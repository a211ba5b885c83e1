"""Scans in closed form and k-space of a phantom, for tests of what contradicts itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from untrained.data.phantoms import birdcage_maps, brain
from untrained.maths import fft2c

ELLIPSES = ((1.0, 0.0, 0.0, 12.0, 9.0), (-0.5, 4.0, 2.0, 3.0, 2.5), (0.6, -5.0, -2.0, 2.0, 3.0))
"""Value, centre and half axes of each, in pixels; y up."""


def projected(degrees: np.ndarray, bins: int, centre: float = 0.0, sign: float = 1.0) -> np.ndarray:
    """Line integrals `(views, bins)` through the ellipses, by the formula of a chord."""
    s = np.arange(bins)[None] - (bins - 1) / 2 - centre
    angle = sign * np.radians(degrees)[:, None]
    total = np.zeros((len(degrees), bins))
    for value, x, y, a, b in ELLIPSES:
        half = (a * np.cos(angle)) ** 2 + (b * np.sin(angle)) ** 2
        off = s - x * np.cos(angle) - y * np.sin(angle)
        total += value * 2 * a * b * np.sqrt(np.maximum(half - off**2, 0)) / half
    return total


def noisy(values: np.ndarray, relative: float, seed: int = 0) -> np.ndarray:
    """The values plus noise, relative to their root mean square."""
    noise = np.random.default_rng(seed).standard_normal(values.shape)
    return values + relative * np.sqrt(np.square(values).mean()) * noise


@pytest.fixture
def ellipses() -> np.ndarray:
    """The image of the ellipses, 32 x 32, the mean of 4 x 4 points a pixel."""
    place = (np.arange(128) + 0.5) / 4 - 16
    x, y = np.meshgrid(place, -place)
    image = sum(v * (((x - p) / a) ** 2 + ((y - q) / b) ** 2 < 1) for v, p, q, a, b in ELLIPSES)
    return image.reshape(32, 4, 32, 4).mean((1, 3))


@pytest.fixture
def scan() -> Callable[..., np.ndarray]:
    """`scan(degrees, bins=40, centre=0.0, noise=0.0)`: a parallel sinogram `(views, bins)`."""

    def make(
        degrees: np.ndarray, bins: int = 40, centre: float = 0.0, noise: float = 0.0
    ) -> np.ndarray:
        return noisy(projected(degrees, bins, centre), noise)

    return make


@pytest.fixture
def kspace() -> Callable[..., np.ndarray]:
    """`kspace(coils=4, noise=0.0)`: fully sampled `(coils, 48, 48)` of a brain-like phantom."""

    def make(coils: int = 4, noise: float = 0.0, seed: int = 0) -> np.ndarray:
        images = birdcage_maps(coils, (48, 48)) * brain(48)
        full = fft2c(torch.from_numpy(images.astype(np.complex64))).numpy()
        draw = np.random.default_rng(seed)
        both = draw.standard_normal((2, *full.shape))
        return (full + noise * (both[0] + 1j * both[1])).astype(np.complex64)

    return make


@pytest.fixture
def columns() -> np.ndarray:
    """A mask of 18 of 48 columns, 8 of them the centre."""
    mask = np.zeros(48, bool)
    mask[20:28] = True
    mask[np.random.default_rng(3).choice(np.flatnonzero(~mask), 10, replace=False)] = True
    return mask
