"""Geometries of CT, and a disc whose integrals are known."""

import numpy as np
import torch

from untrained.physics.ct import CT, FanBeam

FAN = FanBeam(source_origin=60.0, source_detector=90.0)
SCANS = {
    "even": CT((16, 16), np.arange(7) * 25.7, 24),
    "odd": CT((15, 15), [0, 45, 90, 135, 180], 21),
    "rectangle": CT((12, 19), [10.0, -33.0, 400.0], 17, pixel_size=0.7, detector_offset=1.3),
    "coarse_bins": CT((16, 16), [3.0, 77.0], 7, detector_pitch=3.5),
    "fine_bins": CT((8, 8), [0.0, 31.0], 40, detector_pitch=0.3),
    "channels": CT((9, 10), [5.0, 50.0], 14, channels=3),
    "fan": CT((16, 17), np.arange(5) * 72.0, 30, detector_pitch=1.5, fan=FAN),
    "fan_offset": CT((13, 13), [1.0, 99.0], 20, fan=FAN, detector_offset=-2.4),
}


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def disc(side: int, radius: float, supersample: int = 4) -> torch.Tensor:
    """Area fractions of a centred disc of value 1."""
    n = side * supersample
    axis = (torch.arange(n) - (n - 1) / 2) / supersample
    fine = (axis[:, None] ** 2 + axis[None, :] ** 2 < radius**2).float()
    return torch.nn.functional.avg_pool2d(fine[None, None], supersample)


def bin_positions(physics: CT) -> torch.Tensor:
    g = physics.geometry
    return (torch.arange(g.detectors) - g.centre) * g.bin_width
