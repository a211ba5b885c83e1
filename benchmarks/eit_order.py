"""Exchange two electrodes of impedance tomography, and look whether it is found.

    python benchmarks/eit_order.py OUT.jsonl [--tanks DATA]

38 simulated bodies, among them insulators and metals at electrodes, with three ways to drive
currents; with `--tanks`, samples 1 to 3 of the Kuopio challenge at its seven levels (DATA holds
`sample1.npz` to `sample3.npz` and `Mesh_sparse.mat`). Each is given as it is, and with two
electrodes exchanged in injections, in patterns and in both. One row each: how far the exchange
changes the model (1 - correlation), the correlation `fit` with a homogeneous body, the best other
order, `times` = how many times less that leaves unexplained, and whether it is the right pair.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from eit import ELECTRODES, RADIUS
from eit_bodies import coordinates, disc, phantoms, tuning_bodies

from untrained.data.formats import open_arrays
from untrained.data.tasks.eit_mesh_file import read_mesh
from untrained.data.tasks.eit_order import best_order, correlation
from untrained.data.tasks.eit_scan import at_level, read_scan
from untrained.physics import EIT, Mesh, disc_mesh

SIDE = 64
INSULATOR, METAL = -0.999, 999.0
CURRENTS = {"neighbours": 1, "three apart": 3, "opposite": 8}


class Case(NamedTuple):
    """A sound measurement."""

    name: str
    mesh: Mesh
    injections: np.ndarray
    patterns: np.ndarray
    voltages: np.ndarray
    seen: np.ndarray


def extreme_bodies() -> dict[str, np.ndarray]:
    """Draw bodies whose voltages are far from those of a homogeneous one."""
    x, y = coordinates(SIDE)
    parts: dict[str, list[tuple[float, float, float, float]]] = {
        "insulator": [(INSULATOR, 0.5, 0.2, 0.4)],
        "metal": [(METAL, 0.5, 0.2, 0.4)],
        "insulator near the edge": [(INSULATOR, 0.65, 0, 0.3)],
        "metal near the edge": [(METAL, 0.65, 0, 0.3)],
        "insulator at electrodes": [(INSULATOR, 0.8, 0, 0.25)],
        "metal at electrodes": [(METAL, 0.8, 0, 0.25)],
        "large insulator": [(INSULATOR, 0, 0.05, 0.8)],
        "two insulators": [(INSULATOR, 0.7, 0.1, 0.25), (INSULATOR, -0.65, 0.1, 0.3)],
        "insulator and metal": [(INSULATOR, 0.7, 0.1, 0.25), (METAL, 0.1, -0.65, 0.3)],
    }
    ones = np.ones((SIDE, SIDE))
    return {name: ones + sum(h * disc(x, y, *at) for h, *at in of) for name, of in parts.items()}


def simulated() -> Iterator[Case]:
    """Simulate every body, without noise."""
    fine = disc_mesh(ELECTRODES, RADIUS, 0.5, RADIUS / 30, edges=8)
    coarse = disc_mesh(ELECTRODES, RADIUS, 0.5, RADIUS / 14, edges=4)
    contacts = 1e-4 * np.exp(0.3 * np.random.default_rng(3).standard_normal(ELECTRODES))
    eye = np.eye(ELECTRODES)
    patterns = (eye - np.roll(eye, 1, axis=0))[:, :-1]
    bodies = {"empty": np.ones((SIDE, SIDE)), **phantoms(), **tuning_bodies(), **extreme_bodies()}
    for currents, apart in CURRENTS.items():
        injections = eye - np.roll(eye, apart, axis=0)
        exact = EIT(fine, injections, patterns, (1, SIDE, SIDE), impedance=contacts, order=2)
        for name, body in bodies.items():
            y = exact.voltages(exact.grid.to_elements(body))
            yield Case(f"{name}, {currents}", coarse, injections, patterns, y, y == y)


def tanks(data: Path) -> Iterator[Case]:
    """Read the challenge's tanks, and the empty one."""
    mesh = read_mesh(data / "Mesh_sparse.mat")[0]
    for sample in (1, 2, 3):
        path = data / f"sample{sample}.npz"
        with open_arrays(path, "input") as file:
            whole = read_scan(file)
        for level in range(1, 8):
            scan = whole if level == 1 else at_level(whole, level, path)
            seen = np.ones(scan.voltages.shape, bool) if scan.keep is None else scan.keep
            kinds = {f"tank {sample}": scan.voltages}
            if sample == 1 and scan.reference_voltages is not None:
                kinds["empty tank"] = scan.reference_voltages
            for name, y in kinds.items():
                name = f"{name}, level {level}"
                yield Case(name, mesh, scan.injections, scan.patterns, y, seen)


def look(case: Case, rows: str, pair: tuple[int, int]) -> dict[str, Any]:
    """Exchange a pair in `rows` (none, both, injections or patterns), and look for it."""
    order = np.arange(len(case.injections))
    order[list(pair)] = pair[::-1]
    injections = case.injections[order] if rows in ("both", "injections") else case.injections
    patterns = case.patterns[order] if rows in ("both", "patterns") else case.patterns
    keep = case.seen.astype(float)
    physics = EIT(case.mesh, injections, patterns, (1, 16, 16), keep=keep)
    right = EIT(case.mesh, case.injections, case.patterns, (1, 16, 16), keep=keep)
    flat = np.ones(len(case.mesh.elements))
    now = physics.voltages(flat)
    fit = correlation(now, case.voltages, case.seen)
    other = best_order(physics, case.voltages, case.seen)
    wanted = f"electrodes {min(pair) + 1} and {max(pair) + 1} exchanged"
    return {
        "case": case.name,
        "exchanged": rows,
        "changes": round(1 - correlation(now, right.voltages(flat), case.seen), 4),
        "fit": round(fit, 4),
        "found": f"{other.change} in {other.rows}",
        "found_fit": round(other.fit, 4),
        "times": round((1 - fit * abs(fit)) / (1 - other.fit**2), 2),
        "right": rows != "none" and other.change == wanted,
    }


def main() -> None:
    """Look at every case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--tanks", type=Path)
    asked = parser.parse_args()
    draw = np.random.default_rng(0)
    with asked.out.open("w", encoding="utf-8") as stream:
        for case in (*simulated(), *(tanks(asked.tanks) if asked.tanks else ())):
            for rows in ("none", "both", "injections", "patterns"):
                a, b = draw.choice(len(case.injections), 2, replace=False)
                stream.write(json.dumps(look(case, rows, (int(a), int(b)))) + "\n")


if __name__ == "__main__":
    main()
