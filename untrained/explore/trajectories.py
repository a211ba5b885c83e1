"""Describe and draw the trajectory of a scan: its kind, shots, samples and density."""

from __future__ import annotations

import numpy as np

from untrained.physics.base import Physics
from untrained.physics.noncartesian import NonCartesianMRI, is_radial

DRAWN = 192  # pixels a side of the picture
LITTLE = 0.05  # cycles per pixel: a shot that begins nearer to the centre starts there
Panel = tuple[str, np.ndarray]


def trajectory_facts(physics: Physics) -> tuple[str, ...]:
    """Say what a trajectory is: radial or not, how far it reaches, how densely it lies.

    Args:
        physics: of the scan; others than a `NonCartesianMRI` have no facts.
    """
    if not isinstance(physics, NonCartesianMRI):
        return ()
    points = physics.trajectory.double().cpu()
    shots, samples = points.shape[:2]
    reach = float(points.norm(dim=-1).max())
    height, width = (int(side) for side in physics.x_shape[-2:])  # type: ignore[index]
    cells = np.unique(np.round(points.numpy() * (width, height)).astype(int).reshape(-1, 2), axis=0)
    inside = np.pi * reach**2 * height * width
    touched = min(1.0, len(cells) / max(inside, 1.0))
    return (
        f"the trajectory: {_kind(physics)}, {shots} shots of {samples} samples, out to "
        f"{reach:.3g} cycles per pixel; of the cells of k-space within that reach it touches "
        f"{100 * touched:.0f} %",
    )


def trajectory_panels(physics: NonCartesianMRI) -> list[Panel]:
    """Draw where samples lie (kx to the right, ky downwards) and how strong they are.

    Args:
        physics: of the scan.
    """
    points = physics.trajectory.double().cpu().numpy().reshape(-1, 2)
    edges = np.linspace(-0.5, 0.5, DRAWN + 1)
    counts, _, _ = np.histogram2d(points[:, 1], points[:, 0], bins=(edges, edges))
    weights = physics.weights.double().cpu().numpy()
    return [
        ("trajectory, samples a cell, logarithm", np.log10(1 + counts)),
        ("density compensation (shots down)", weights),
    ]


def _kind(physics: NonCartesianMRI) -> str:
    """Name the kind of trajectory: radial, from the centre out, or any."""
    points = physics.trajectory.double()
    if is_radial(points):
        return "radial"
    radius = points.norm(dim=-1)
    out = bool((radius[:, 0] < LITTLE).all()) and bool((radius[:, -1] > 2 * radius[:, 0]).all())
    return "spiral or other shots from the centre out" if out else "neither radial nor spiral"
