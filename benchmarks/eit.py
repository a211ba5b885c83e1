"""Impedance tomography of simulated bodies: python benchmarks/eit.py OUT.jsonl [METHOD ...]

Six phantoms and three noise levels. Voltages come from quadratic elements on a mesh of its own,
four times as fine; a homogeneous body is measured with the same noise. 16 electrodes, currents
between electrodes three apart, voltages of neighbours, 64 x 64 pixels. One row a phantom, noise
level and method: PSNR of the conductivity inside the disc, in dB of the phantom's largest value.
"""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path

import numpy as np
import torch

import untrained as ut
from untrained.physics import EIT, disc_mesh
from untrained.physics.eit_calibrate import calibrated

SIDE, ELECTRODES, RADIUS = 64, 16, 0.1
NOISES = (0.0005, 0.002, 0.01)  # of the mean magnitude of the voltages
METHODS = ("linearised", "gaussnewton", "tv", "house")


def phantoms(side: int = SIDE) -> dict[str, np.ndarray]:
    """Draw conductivities `(side, side)` in a disc of radius 1, background 1."""
    at = (2 * np.arange(side) + 1) / side - 1
    x, y = np.meshgrid(at, -at)

    def disc(a: float, b: float, r: float, q: float = 1.0) -> np.ndarray:
        return ((x - a) ** 2 + ((y - b) / q) ** 2 < r**2).astype(float)

    one = np.ones((side, side))
    bump = np.exp(-((x - 0.3) ** 2 + (y - 0.2) ** 2) / 0.1)
    dent = np.exp(-((x + 0.4) ** 2 + (y + 0.2) ** 2) / 0.06)
    square = ((np.abs(x - 0.35) < 0.25) & (np.abs(y + 0.25) < 0.25)).astype(float)
    triangle = ((y > 0.1) & (y < 0.7) & (np.abs(x + 0.3) < (0.7 - y) / 1.6)).astype(float)
    lungs = disc(-0.42, 0.0, 0.28, 1.6) + disc(0.42, 0.0, 0.28, 1.6)
    ring = disc(0.1, 0.1, 0.55) - disc(0.1, 0.1, 0.33)
    low = np.sin(2.5 * x + 1) * np.cos(2 * y - 0.5)
    return {
        "two discs": one + 2 * disc(0.4, 0.3, 0.25) - 0.8 * disc(-0.35, -0.3, 0.3),
        "smooth": one + bump - 0.7 * dent,
        "corners": one + 1.5 * square - 0.7 * triangle,
        "chest": one - 0.6 * lungs * (1 - disc(0.1, -0.45, 0.22)) + 1.2 * disc(0.1, -0.45, 0.22),
        "ring": one + 1.0 * ring,
        "waves": one + 0.4 * low,
    }


def measured(truth: np.ndarray, noise: float, seed: int = 0) -> tuple[torch.Tensor, EIT]:
    """Simulate voltages `(1, 1, M, I)`, and return the calibrated model they are fitted with."""
    eye = np.eye(ELECTRODES)
    injections = eye - np.roll(eye, 3, axis=0)
    patterns = (eye - np.roll(eye, 1, axis=0))[:, :-1]
    shape = (1, *truth.shape)
    draw = np.random.default_rng(seed)
    contacts = 1e-4 * np.exp(0.3 * draw.standard_normal(ELECTRODES))
    fine = disc_mesh(ELECTRODES, RADIUS, 0.5, RADIUS / 30, edges=8)
    exact = EIT(fine, injections, patterns, shape, impedance=contacts, order=2)
    full = exact.voltages(exact.grid.to_elements(truth))
    empty = exact.voltages(np.ones(len(fine.elements)))
    sigma = noise * float(np.abs(full).mean())
    y, before = (v + sigma * draw.standard_normal(v.shape) for v in (full, empty))
    mesh = disc_mesh(ELECTRODES, RADIUS, 0.5, RADIUS / 14, edges=4)
    physics = calibrated(EIT(mesh, injections, patterns, shape), before)
    return torch.from_numpy(y)[None, None].float(), physics


def psnr(image: torch.Tensor, truth: np.ndarray, inside: np.ndarray) -> float:
    """Compute 10 log10 (max^2 / mean square error) inside the disc."""
    error = (image[0, 0].double().numpy() - truth)[inside]
    return 10 * math.log10(truth[inside].max() ** 2 / np.mean(error**2))


def main(out: Path, methods: tuple[str, ...]) -> None:
    torch.set_num_threads(1)
    for noise in NOISES:
        for name, truth in phantoms().items():
            y, physics = measured(truth, noise)
            for method in methods:
                began, cpu = time.perf_counter(), time.process_time()
                result = ut.reconstruct(y, physics, method=method, compare=False)
                shares = result.history.get("network share", [])
                row = {
                    "phantom": name,
                    "noise": noise,
                    "method": method,
                    "psnr": round(psnr(result.image, truth, physics.grid.inside), 2),
                    "share": round(float(shares[-1]), 3) if shares else None,
                    "seconds": round(time.perf_counter() - began, 1),
                    "cpu": round(time.process_time() - cpu, 1),
                }
                with out.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                print(row, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), tuple(sys.argv[2:]) or METHODS)
