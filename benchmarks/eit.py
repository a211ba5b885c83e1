"""Impedance tomography of simulated bodies.

    python benchmarks/eit.py OUT.jsonl [--tuning] [--methods NAME ...] [--images DIR]

Six phantoms and three noise levels; with `--tuning` the bodies on which constants are chosen, for
the classical methods. Voltages come from quadratic elements on a mesh of its own, four times as
fine; a homogeneous body is measured with the same noise. 16 electrodes, currents between electrodes
three apart, voltages of neighbours, 64 x 64 pixels. One row a body, noise level and method: PSNR of
the conductivity inside the disc, in dB of the body's largest value. The row of `tv` has the
`flatness` and the `rest` of its image, by which `auto` mixes, and with `gaussnewton` beside it the
PSNR of eleven mixtures of both. `--images` keeps every image `(64, 64)`, so that other mixtures
need no new solve; images that lie there are not solved again. One thread; rows that are in OUT are
not done again.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from eit_bodies import phantoms, tuning_bodies

import untrained as ut
from untrained.classical.gauss_newton import flatness, unexplained
from untrained.physics import EIT, disc_mesh
from untrained.physics.eit_calibrate import calibrated

ELECTRODES, RADIUS = 16, 0.1
NOISES = (0.0005, 0.002, 0.01)  # of the mean magnitude of the voltages
CLASSICAL = ("linearised", "gaussnewton", "tv")
TABLE_SEED, TUNING_SEED = 0, 3
SHARES = np.linspace(0, 1, 11)  # of `gaussnewton`, the rest `tv`


class Simulated(NamedTuple):
    """A measurement.

    Attributes:
        y: voltages `(1, 1, M, I)`.
        clean: the same without noise, `(M, I)`.
        before: voltages of the homogeneous body, with noise, `(M, I)`.
        physics: the model, calibrated by them.
    """

    y: torch.Tensor
    clean: np.ndarray
    before: np.ndarray
    physics: EIT


def simulate(truth: np.ndarray, noise: float, seed: int = 0) -> Simulated:
    """Simulate voltages of conductivities `(H, W)`, and calibrate the model they are for."""
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
    return Simulated(torch.from_numpy(y)[None, None].float(), full, before, physics)


def psnr(image: np.ndarray, truth: np.ndarray, inside: np.ndarray) -> float:
    """Compute 10 log10 (max^2 / mean square error) of `(H, W)` inside the disc."""
    error = (image.astype(np.float64) - truth)[inside]
    return 10 * math.log10(truth[inside].max() ** 2 / np.mean(error**2))


def measure(
    one: Simulated, truth: np.ndarray, method: str, kept: Path | None
) -> tuple[np.ndarray, dict[str, Any]]:
    """Reconstruct by one method: the conductivity `(H, W)`, and its row."""
    row: dict[str, Any] = {}
    if kept is not None and kept.exists():
        image: np.ndarray = np.load(kept)
    else:
        cpu = time.process_time()
        result = ut.reconstruct(one.y, one.physics, method=method, compare=False, progress=False)
        row["cpu"] = round(time.process_time() - cpu, 1)
        shares = result.history.get("network share", [])
        if shares:
            row["share"] = round(float(shares[-1]), 3)
        image = result.image[0, 0].numpy()
        if kept is not None:
            np.save(kept, image)
    return image, {"psnr": round(psnr(image, truth, one.physics.grid.inside), 2), **row}


def mixed(one: Simulated, truth: np.ndarray, images: dict[str, np.ndarray]) -> dict[str, Any]:
    """Describe the image of `tv` as `auto` sees it, and the mixtures with `gaussnewton`."""
    problem = ut.Problem(one.y, one.physics)
    flat = torch.from_numpy(images["tv"]).div(one.physics.background).log()[None, None]
    row: dict[str, Any] = {
        "flatness": round(flatness(flat, one.physics.support), 3),
        "rest": round(unexplained(problem, flat), 5),
    }
    if "gaussnewton" in images:
        logs = [np.log(images[name]) for name in ("tv", "gaussnewton")]
        of_shares = [np.exp((1 - s) * logs[0] + s * logs[1]) for s in SHARES]
        inside = one.physics.grid.inside
        row["mixed"] = [round(psnr(image, truth, inside), 2) for image in of_shares]
    return row


def main() -> None:
    """Do the rows that are missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--tuning", action="store_true")
    parser.add_argument("--methods", nargs="+")
    parser.add_argument("--images", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    bodies, seed = (tuning_bodies(), TUNING_SEED) if asked.tuning else (phantoms(), TABLE_SEED)
    methods = asked.methods or [*CLASSICAL, *([] if asked.tuning else ["house"])]
    lines = asked.out.read_text(encoding="utf-8").splitlines() if asked.out.exists() else []
    done = {tuple(json.loads(line)[k] for k in ("phantom", "noise", "method")) for line in lines}
    if asked.images is not None:
        asked.images.mkdir(parents=True, exist_ok=True)
    for noise in NOISES:
        for name, truth in bodies.items():
            left = [method for method in methods if (name, noise, method) not in done]
            one, images = simulate(truth, noise, seed) if left else None, {}
            for method in left:
                assert one is not None
                file = f"{name.replace(' ', '-')}_{noise}_{method}.npy"
                kept = None if asked.images is None else asked.images / file
                images[method], row = measure(one, truth, method, kept)
                if method == "tv":
                    row |= mixed(one, truth, images)
                row = {"phantom": name, "noise": noise, "method": method, **row}
                with asked.out.open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps(row) + "\n")
                print(row, flush=True)


if __name__ == "__main__":
    main()
