"""Coil maps corrected together with the image: what a wrong map costs, and how much comes back.

Brains whose k-space is cropped to its centre, 128 x 128 unless `--side` says otherwise, and four
times undersampled in columns, six of them in the middle. Right maps are of the whole k-space, wrong
ones of the six columns. The PSNR is of magnitudes, against the image that the right maps combine of
the whole k-space.

python benchmarks/joint_maps.py FILE... [--side 64] [--out benchmarks/results/joint_maps.json]

FILE is an .npz with `kspace` (coils, H, W). A file that stands in the results is not run again.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

import untrained as ut
from untrained.files import atomic_write
from untrained.maths import magnitude, to_channels
from untrained.metrics import psnr
from untrained.physics import MRI, JointMRI, lowres_maps

ACCELERATION, LINES = 4, 6


def main() -> None:
    """Measure the files that are missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/joint_maps.json"))
    given = parser.parse_args()
    warnings.simplefilter("ignore", ut.Note)
    done: dict[str, Any] = json.loads(given.out.read_text()) if given.out.exists() else {}
    for path in given.files:
        if path.stem not in done:
            done[path.stem] = case(cropped(np.load(path)["kspace"], given.side))
            with atomic_write(given.out) as stream:
                stream.write((json.dumps(done, indent=1) + "\n").encode())
    for name, row in done.items():
        print(name, {key: round(value, 3) for key, value in row.items()})


def cropped(kspace: np.ndarray, side: int) -> torch.Tensor:
    """Crop k-space to its centre, `(coils, side, side)`, largest value 10."""
    rows, columns = (slice(n // 2 - side // 2, n // 2 + side // 2) for n in kspace.shape[-2:])
    centre = kspace[:, rows, columns].astype(np.complex64)
    return torch.from_numpy(centre * (10 / np.abs(centre).max()))


def columns_mask(side: int) -> torch.Tensor:
    """Draw the columns measured, bool `(side,)`: LINES in the middle, others the rarer the farther.

    The density falls by e every 40 columns.
    """
    mask = np.zeros(side, bool)
    mask[side // 2 - LINES // 2 : side // 2 - LINES // 2 + LINES] = True
    rest = np.flatnonzero(~mask)
    density = np.exp(-np.abs(rest - side // 2) / 40)
    more = np.random.default_rng(0).choice(
        rest, side // ACCELERATION - LINES, replace=False, p=density / density.sum()
    )
    mask[more] = True
    return torch.from_numpy(mask)


def case(kspace: torch.Tensor) -> dict[str, float]:
    """Measure one brain: PSNR with right, wrong and joint maps, and the errors of the maps."""
    began, side = time.process_time(), kspace.shape[-1]
    mask = columns_mask(side)
    right, wrong = lowres_maps(kspace), lowres_maps(kspace * mask, mask)
    truth = MRI(torch.ones(side, side), right).A_adjoint(to_channels(kspace[None]))
    y = to_channels((kspace * mask)[None])
    how: dict[str, Any] = {"progress": False, "compare": False}
    joint = ut.reconstruct(y, JointMRI(mask, wrong), **how)
    found = torch.from_numpy(JointMRI(mask, wrong).named(joint.theta)["maps"])
    images = {
        "right": ut.reconstruct(y, MRI(mask, right), **how).image,
        "wrong": ut.reconstruct(y, MRI(mask, wrong), **how).image,
        "joint": joint.image,
    }
    shown = magnitude(truth)
    reach = float(shown.max())
    scores = {n: psnr(magnitude(x), shown, data_range=reach) for n, x in images.items()}
    lost = scores["right"] - scores["wrong"]
    return {
        **scores,
        "recovered": (scores["joint"] - scores["wrong"]) / lost,
        "map_error_wrong": distance(right, wrong, shown[0, 0]),
        "map_error_joint": distance(right, found, shown[0, 0]),
        "side": side,
        "cpu_seconds": time.process_time() - began,
    }


def distance(a: torch.Tensor, b: torch.Tensor, weight: torch.Tensor) -> float:
    """Compute sin of the angle between two sets of maps, its mean square weighted by the image."""
    cosine = (a.conj() * b).sum(0).abs()
    squares = 1 - (cosine / (a.norm(dim=0) * b.norm(dim=0)).clamp_min(1e-20)).square()
    return float(((squares.clamp_min(0) * weight).sum() / weight.sum()).sqrt())


if __name__ == "__main__":
    main()
