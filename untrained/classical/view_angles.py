r"""Angles of CT views that are known roughly, found together with the image.

.. math:: \min_{x, \delta} \sum_v \|A(\theta_v + \delta_v)\, x - y_v\|^2

by turns: x by conjugate gradients, stopped early, for the angles as they are; and then for every
view the step of Gauss and Newton in its own angle. The mean of the steps is taken out, because an
image that is turned explains it as well.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from untrained.classical.linear import cgsense
from untrained.physics.ct import CT
from untrained.physics.ct_geometry import Geometry
from untrained.problem import Problem

ROUNDS = 8
ITERATIONS = 12  # of conjugate gradients: few, so that the image does not follow the errors
SMALLEST = 96  # pixels a side that the image has at most while angles are sought
STEP = 0.25  # degrees, between which views are compared for the derivative
FURTHEST = 2.0  # degrees a view may be turned in one round


@torch.no_grad()
def refine_angles(sinogram: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Find the angles of the views in degrees, `(views,)`, near those of the geometry.

    Args:
        sinogram: line integrals `(angles, detectors)`.
        geometry: of the scan; its image is made coarser for speed.
    """
    scan, y = _coarser(geometry, sinogram)
    given = np.asarray(geometry.angles)
    angles = given.copy()
    for _ in range(ROUNDS):
        now = replace(scan, angles=tuple(angles))
        problem = Problem(y, _operator(now))
        image = problem.to_units(cgsense(problem, iterations=ITERATIONS, mu=0.0, tolerance=0.0))
        residual = _operator(now).A(image) - y
        ahead, back = (_operator(now, shift).A(image) for shift in (STEP, -STEP))
        slope = (ahead - back) / (2 * STEP)
        size = slope.square().sum(2).clamp_min(1e-30)
        step = -((slope * residual).sum(2) / size)[0, 0].double().numpy()
        step = np.clip(step, -FURTHEST, FURTHEST)
        angles = angles + step - step.mean()
    return angles


def _operator(scan: Geometry, shift: float = 0.0) -> CT:
    return CT(
        scan.image_shape,
        np.asarray(scan.angles) + shift,
        scan.detectors,
        pixel_size=scan.pixel_size,
        detector_pitch=scan.detector_pitch,
        detector_offset=scan.detector_offset,
        fan=scan.fan,
    )


def _coarser(geometry: Geometry, sinogram: np.ndarray) -> tuple[Geometry, Tensor]:
    """Join bins and pixels, so many that no side of the image has more than SMALLEST pixels."""
    joined = max(1, -(-max(geometry.image_shape) // SMALLEST))
    bins = geometry.detectors // joined
    rows = sinogram[:, : bins * joined].reshape(len(sinogram), bins, joined).mean(2)
    # the middle of the bins that are kept lies before that of all
    left = (geometry.detectors - bins * joined) / 2
    height, width = (max(1, round(side / joined)) for side in geometry.image_shape)
    scan = replace(
        geometry,
        image_shape=(height, width),
        detectors=bins,
        pixel_size=geometry.pixel_size * geometry.image_shape[0] / height,
        detector_pitch=geometry.detector_pitch * joined,
        detector_offset=(geometry.detector_offset + left) / joined,
    )
    return scan, torch.from_numpy(np.ascontiguousarray(rows.T, dtype=np.float32))[None, None]
