"""Ring suppression on detector bins that are off alone, in pairs and in threes.

    python benchmarks/rings.py > benchmarks/results/rings.json

Shepp-Logan of 128 x 128, 180 views of 136 bins without noise; 12 bins are off by a standard
deviation of 5 % of the largest value. PSNR in dB of filtered backprojection, mean of three draws.
"""

from __future__ import annotations

import json

import numpy as np
import torch

from untrained.data.phantoms import shepp_logan
from untrained.data.tasks.ct_rings import without_rings
from untrained.metrics import psnr
from untrained.physics import CT

BINS, OFF = 136, 12


def main() -> None:
    """Print one object."""
    x = torch.from_numpy(shepp_logan(128)).float()[None, None]
    physics = CT((128, 128), np.arange(180.0), BINS)
    y = physics.A(x)

    def score(sinogram: np.ndarray) -> float:
        views = torch.from_numpy(np.ascontiguousarray(sinogram.T))[None, None]
        return psnr(physics.fbp(views), x, data_range=1.0)

    found: dict[str, list[float]] = {"no bad bins": [score(y[0, 0].T.numpy())]}
    for seed in range(3):
        rng = np.random.default_rng(seed)
        for name, width in (("single", 1), ("pairs", 2), ("threes", 3)):
            offsets = np.zeros(BINS)
            for first in rng.choice(np.arange(12, 124, 4), OFF // width, replace=False):
                offsets[first : first + width] = rng.standard_normal(width) * 0.05 * float(y.max())
            bad = y[0, 0].T.numpy() + offsets.astype(np.float32)
            found.setdefault(name, []).append(score(bad))
            found.setdefault(f"{name}, --rings", []).append(score(without_rings(bad)[0]))
    print(json.dumps({name: round(float(np.mean(v)), 2) for name, v in found.items()}, indent=1))


if __name__ == "__main__":
    main()
