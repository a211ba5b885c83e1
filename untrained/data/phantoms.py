"""Synthetic objects, coils and kernels for demonstrations and tests; nothing is downloaded."""

from __future__ import annotations

import numpy as np

# (intensity, half axes, centre, angle in degrees) on the square [-1, 1]^2, y up: a skull, the
# brain, two ventricles, deep grey matter, three small lesions.
HEAD = (
    (1.00, (0.70, 0.90), (0.00, 0.00), 0.0),
    (-0.55, (0.64, 0.84), (0.00, 0.00), 0.0),
    (0.25, (0.58, 0.76), (0.00, -0.02), 0.0),
    (-0.45, (0.10, 0.30), (0.17, 0.05), -16.0),
    (-0.45, (0.12, 0.32), (-0.17, 0.05), 16.0),
    (0.15, (0.16, 0.20), (0.28, -0.22), 25.0),
    (0.15, (0.16, 0.20), (-0.28, -0.22), -25.0),
    (0.30, (0.05, 0.05), (0.00, 0.52), 0.0),
    (0.30, (0.03, 0.06), (0.34, 0.42), 40.0),
    (-0.25, (0.06, 0.03), (-0.30, 0.46), 10.0),
)
FOLDS = 14  # waves of the cortex across the head


def shepp_logan(size: int) -> np.ndarray:
    """Draw the Shepp-Logan head, float32 `(size, size)` in [0, 1]."""
    from skimage.data import shepp_logan_phantom
    from skimage.transform import resize

    image = resize(shepp_logan_phantom(), (size, size), anti_aliasing=True)
    return np.clip(image, 0.0, 1.0).astype(np.float32)


def brain(size: int) -> np.ndarray:
    """Draw a brain-like complex image, complex64 `(size, size)`, magnitude in [0, 1].

    Ellipses, a folded cortex and a smooth phase of about one turn, as field inhomogeneity gives.
    """
    x, y = _grid(size)
    image = np.zeros((size, size))
    for intensity, axes, centre, angle in HEAD:
        image += intensity * _ellipse(x, y, axes, centre, np.deg2rad(angle))
    radius = np.hypot(x / 0.58, y / 0.76)
    cortex = np.exp(-(((radius - 0.85) / 0.1) ** 2))
    image += 0.12 * cortex * np.cos(FOLDS * np.arctan2(y, x) + 9 * radius) * (image > 0.2)
    magnitude = np.clip(image, 0.0, 1.0)
    phase = 1.2 * x + 0.8 * y**2 - 1.5 * np.exp(-((x - 0.2) ** 2 + (y - 0.5) ** 2) / 0.1)
    return (magnitude * np.exp(1j * phase)).astype(np.complex64)


def birdcage_maps(coils: int, size: tuple[int, int]) -> np.ndarray:
    """Make smooth coil maps, complex64 `(coils, H, W)`, with sum_c |S_c|^2 = 1.

    The coils stand on a circle around the image; each falls off with the distance from its
    centre and carries the phase of the direction towards it, as the elements of a birdcage do.
    """
    if coils < 1:
        raise ValueError(f"at least one coil is needed, got {coils}")
    x, y = np.meshgrid(np.linspace(-1, 1, size[1]), np.linspace(1, -1, size[0]))
    maps = []
    for angle in 2 * np.pi * np.arange(coils) / coils:
        dx, dy = x - 1.5 * np.cos(angle), y - 1.5 * np.sin(angle)
        phase = np.arctan2(dy, dx) - angle
        maps.append(np.exp(1j * phase) / np.hypot(dx, dy))
    stacked = np.stack(maps)
    return (stacked / np.sqrt((np.abs(stacked) ** 2).sum(0))).astype(np.complex64)


def gaussian_kernel(sigma: float) -> np.ndarray:
    """Make a Gaussian blur kernel, float64, odd and square, cut at 3 sigma, with sum 1."""
    if not 0 < sigma < np.inf:
        raise ValueError(f"sigma must be positive, got {sigma}")
    axis = np.arange(-int(np.ceil(3 * sigma)), int(np.ceil(3 * sigma)) + 1)
    line = np.exp(-(axis**2) / (2 * sigma**2))
    kernel = np.outer(line, line)
    return kernel / kernel.sum()


def _grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    line = (2 * np.arange(size) + 1) / size - 1
    x, y = np.meshgrid(line, -line)
    return x, y


def _ellipse(
    x: np.ndarray,
    y: np.ndarray,
    axes: tuple[float, float],
    centre: tuple[float, float],
    angle: float,
) -> np.ndarray:
    """Draw an ellipse: 1 inside, 0 outside, a smooth edge about one pixel wide."""
    dx, dy = x - centre[0], y - centre[1]
    u = (dx * np.cos(angle) + dy * np.sin(angle)) / axes[0]
    v = (-dx * np.sin(angle) + dy * np.cos(angle)) / axes[1]
    edge = (1 - np.hypot(u, v)) * min(axes) * x.shape[0] / 2
    return np.clip(edge + 0.5, 0.0, 1.0)
