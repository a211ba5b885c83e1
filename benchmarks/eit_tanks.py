"""Score the tanks of the Kuopio Tomography Challenge 2023.

    python benchmarks/eit_tanks.py DATA OUT.jsonl [--samples 1 2 3] [--levels 1 2 ...]
        [--answers auto tv gaussnewton best]

DATA holds the challenge's `sample1.npz` to `sample3.npz` and `Mesh_sparse.mat`. Level n is without
the first 2 (n - 1) electrodes. Every answer is the challenge's score of one image, which is cut
into classes in the same way; `best` is the highest score of nine fixed weights of `gaussnewton`,
chosen with the truth. One thread; rows that are in OUT are not done again.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import warnings
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

import untrained as ut
from untrained.classical.gauss_newton import GaussNewton, tried_weights
from untrained.data.ktc import ktc_score, segment
from untrained.data.tasks.eit import load_eit

ANSWERS = ("auto", "tv", "gaussnewton", "best")


def score(image: np.ndarray, truth: np.ndarray) -> float:
    """Cut the logarithm of a conductivity `(256, 256)` into classes, and score them."""
    return ktc_score(truth, segment(np.log(image.astype(np.float64)))).score


def best_weight(problem: ut.Problem, truth: np.ndarray) -> tuple[float, float]:
    """Return the highest score of the nine weights of `gaussnewton`, and its weight."""
    solver, weights = GaussNewton(problem, "smooth"), tried_weights("smooth")
    images = (solver.image(values).to(problem.y) for values in solver.path(weights))
    scores = [score(problem.to_units(image)[0, 0].numpy(), truth) for image in images]
    return max(scores), weights[int(np.argmax(scores))]


def measure(data: Path, sample: int, level: int, answer: str) -> dict[str, Any]:
    """Reconstruct one tank at one level, and score it."""
    path = data / f"sample{sample}.npz"
    with np.load(path) as file:
        truth = file["truth"]
    scan = load_eit(path, mesh=data / "Mesh_sparse.mat", level=None if level == 1 else level)
    began, cpu = time.perf_counter(), time.process_time()
    row: dict[str, Any] = {"sample": sample, "level": level, "answer": answer}
    if answer == "best":
        row["score"], row["weight"] = best_weight(ut.Problem(scan.y, scan.physics), truth)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ut.Note)
            found = ut.reconstruct(scan.y, scan.physics, answer, compare=False, progress=False)
        row["score"] = score(found.image[0, 0].numpy(), truth)
        row["notes"] = [note for note in found.notes if "network" in note]
    row["seconds"], row["cpu"] = time.perf_counter() - began, time.process_time() - cpu
    return row


def main() -> None:
    """Do the rows that are missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--samples", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--levels", nargs="+", type=int, default=[1])
    parser.add_argument("--answers", nargs="+", default=list(ANSWERS))
    asked = parser.parse_args()
    lines = asked.out.read_text(encoding="utf-8").splitlines() if asked.out.exists() else []
    rows = [json.loads(line) for line in lines]
    done = {(row["sample"], row["level"], row["answer"]) for row in rows}
    for level in asked.levels:
        for sample in asked.samples:
            for answer in asked.answers:
                if (sample, level, answer) in done:
                    continue
                row = measure(asked.data, sample, level, answer)
                print(row, flush=True)
                with asked.out.open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
