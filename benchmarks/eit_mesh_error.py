"""Correct the mesh's errors in impedance tomography: python benchmarks/eit_mesh_error.py OUT.jsonl

Five phantoms of `eit_bodies.py` at noise 0.0005. The errors of a model are those of its voltages at
the true image, root mean square over the mean of all: of the mesh that images are fitted on
(`mesh`), and of one of quarter triangles and quadratic elements (`fine`). Then for the image of
each classical method: the difference of both models' voltages at that image is added to the first
model. One row each: what is `left` of its error, and the PSNR before and after of `gaussnewton` and
`tv`. One thread; rows that are in OUT are not done again.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from eit import CLASSICAL, Simulated, psnr, simulate
from eit_bodies import phantoms

import untrained as ut
from untrained.physics import EIT
from untrained.physics.eit_calibrate import calibrated

NOISE, BODIES = 0.0005, ("two discs", "smooth", "corners", "chest", "ring")


def refined(one: Simulated) -> EIT:
    """Return the model on quarter triangles with quadratic elements, calibrated too."""
    coarse = one.physics
    assert coarse.x_shape is not None
    shape = (1, coarse.x_shape[1], coarse.x_shape[2])
    mesh = coarse.mesh.refined()
    fine = EIT(mesh, coarse.injections, coarse.patterns, shape, order=2)
    return calibrated(fine, one.before)


def solve(one: Simulated, method: str) -> np.ndarray:
    """Reconstruct by a classical method: the conductivity `(H, W)`."""
    found = ut.reconstruct(one.y, one.physics, method=method, compare=False, progress=False)
    image: np.ndarray = found.image[0, 0].numpy()
    return image


def rows_of(name: str) -> list[dict[str, Any]]:
    """Correct by the image of each classical method."""
    truth = phantoms()[name]
    one = simulate(truth, NOISE)
    coarse, fine = one.physics, refined(one)
    inside, scale = coarse.grid.inside, float(np.abs(one.clean).mean())

    def error(correction: np.ndarray | float) -> float:
        model = coarse.voltages(coarse.grid.to_elements(truth)) + correction
        return round(float(np.sqrt(np.mean((model - one.clean) ** 2))) / scale, 5)

    def difference(image: np.ndarray) -> np.ndarray:
        of_fine = fine.voltages(fine.grid.to_elements(image))
        return of_fine - coarse.voltages(coarse.grid.to_elements(image))

    images = {method: solve(one, method) for method in CLASSICAL}
    rows = []
    for method, image in images.items():
        correction = difference(image)
        assert coarse.offset is not None
        better = coarse.changed(offset=coarse.offset + correction)
        again = one._replace(physics=better)
        row: dict[str, Any] = {"phantom": name, "image_of": method}
        row |= {"mesh": error(0.0), "fine": error(difference(truth)), "left": error(correction)}
        for name_of in ("gaussnewton", "tv"):
            pair = (images[name_of], solve(again, name_of))
            row[name_of] = [round(psnr(x, truth, inside), 2) for x in pair]
        rows.append(row)
    return rows


def main(out: Path) -> None:
    """Do the bodies that are missing."""
    torch.set_num_threads(1)
    lines = out.read_text(encoding="utf-8").splitlines() if out.exists() else []
    done = {json.loads(line)["phantom"] for line in lines}
    for name in BODIES:
        if name in done:
            continue
        with out.open("a", encoding="utf-8") as stream:
            for row in rows_of(name):
                print(row, flush=True)
                stream.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
