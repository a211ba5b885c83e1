"""Denoise a photograph: noise in, picture out, with the classical answer beside it.

    python examples/denoise_photo.py

Uses a picture bundled with scikit-image; writes the result directory `denoise-photo`.
"""

from __future__ import annotations

import shutil

import torch
from skimage.data import astronaut

import untrained as ut

SIDE, SIGMA, STEPS = 96, 25 / 255, 150
OUT = "denoise-photo"


def main() -> ut.Result:
    """Add noise, reconstruct, save; the clean picture serves the printed PSNR and nothing else."""
    crop = astronaut()[40 : 40 + SIDE, 180 : 180 + SIDE] / 255.0
    clean = torch.from_numpy(crop).float().movedim(-1, 0)[None]  # (1, 3, H, W)
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    physics = ut.physics.Denoise(clean.shape[1:])
    result = ut.reconstruct(clean + SIGMA * noise, physics, steps=STEPS, truth=clean)
    print(result.stop[0].reason)
    assert result.about.metrics
    assert result.about.classical_metrics
    ours, classical = result.about.metrics["psnr"], result.about.classical_metrics["psnr"]
    print(f"PSNR {ours:.2f} dB, {result.about.classical_name} {classical:.2f} dB")
    shutil.rmtree(OUT, ignore_errors=True)
    print(f"open {result.save(OUT)}/report.html")
    return result


if __name__ == "__main__":
    main()
