"""How good the references of CT are: python benchmarks/ct_reference.py DATA

Filtered backprojection of all measured views is what CT is scored against. Prints, in dB inside the
scored disc, its own noise and streaks (half of the difference between the images of even and odd
views, were the two independent), how near the neighbouring detector row's reference comes (the
tooth), and what total variation and `dct` make of all the views.
"""

from __future__ import annotations

import math
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from evidence import disc, read_case, scored_part, scorer
from scans import full_fbp, pepper, thinned, tooth

import untrained as ut
from untrained.classical import dct, tv
from untrained.data.formats.npz import write_npz


def main(data: Path) -> None:
    torch.set_num_threads(1)
    for name, scan in {"tooth": tooth(data), "pepper": pepper(data)}.items():
        sinogram, angles, geometry = scan
        with tempfile.TemporaryDirectory() as folder:
            case = Path(folder) / f"ct-{name}.npz"
            write_npz(case, thinned(*scan, full_fbp(*scan), len(angles)))
            m = read_case("ct", case)
        region, truth, width = scored_part(m, "ct")
        score = scorer(region, truth, width)
        half = [
            full_fbp(
                sinogram[k::2], angles[k::2], replace(geometry, angles=tuple(angles[k::2].tolist()))
            )
            for k in (0, 1)
        ]
        apart = torch.from_numpy(half[0] - half[1]).float() / 2 * region[0, 0]
        error = float(apart.square().sum() / region.sum())
        print(f"{name}: even and odd views {10 * math.log10(width**2 / error):.2f}")
        problem = ut.Problem(m.y, m.physics)
        for method in (tv, dct):
            found = score(problem.to_units(method(problem)))
            print(f"{name}: {method.__name__} of all {len(angles)} views {found:.2f}", flush=True)
    first, second = (
        torch.from_numpy(full_fbp(*tooth(data, row)))[None, None].float() for row in (0, 1)
    )
    region = disc(first)
    score = scorer(region, first * region, float((first * region).abs().max()))
    print(f"tooth: the next row's reference {score(second):.2f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
