"""The automatic weight of every classical answer against the best of a grid.

    python benchmarks/weights.py run DATA OUT [--only PATTERN] [--methods tv,l1wavelet]
    python benchmarks/weights.py table OUT

Each case is solved with the weight that the method chooses from the measurements, and with the
weights of a grid, a factor of 2 apart, that goes on from there until three in a row are worse than
the best on either side, and over at least nine. Only the grid's best needs the truth. `dct`,
`lowrank` and `nlbayes` share the level that `dct` finds and the choice of x or z (`dct_settings`);
the grid tries every level with both. Files OUT/CASE.METHOD.json; what is there is not run again.

The cases are of scans and pictures on which nothing was tuned.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lambda_scale import ct, drawn, measured_mri, photograph, simulated_mri, undersampled
from scans import KNEES, T2, images, measured_kspace
from torch import Tensor

from untrained.bench.work import write_json
from untrained.classical import CLASSICAL, tv_weight
from untrained.classical.sliding_dct import dct_settings
from untrained.classical.weight import noise_of
from untrained.maths import magnitude
from untrained.metrics import psnr
from untrained.physics import (
    Blur,
    CompressedSensing,
    Denoise,
    Inpaint,
    SuperRes,
)
from untrained.problem import Problem

Case = tuple[Problem, Tensor]
METHODS = ("tv", "l1wavelet", "dct", "lowrank", "nlbayes")
LEAST, WORSE, MOST = 9, 3, 12


def noisy(x: Tensor, physics: Any, sigma: float, known: bool = False) -> Case:
    """Measure x, with noise of `sigma` on the scale of 255."""
    y = physics.A(x)
    y = y + sigma / 255 * drawn(y, 2)
    return problem_of(y * getattr(physics, "mask", 1), physics, x, sigma / 255 if known else None)


def problem_of(y: Tensor, physics: Any, x: Tensor, sigma: float | None = None) -> Case:
    """Make the problem, and the truth in its units."""
    problem = Problem(y, physics, sigma=sigma)
    return problem, problem.from_units(x)


def missing(x: Tensor, share: float) -> Any:
    """Leave out a share of the pixels of x at random."""
    kept = torch.rand(x.shape[-2:], generator=torch.Generator().manual_seed(3)) >= share
    return Inpaint(kept.float(), (x.shape[1], x.shape[2], x.shape[3]))


def levin(data: Path, name: str, x: Tensor) -> Blur:
    """Blur images like x with one of Levin's kernels."""
    kernels = np.load(data / "blur_kernels" / "levin09.npz", allow_pickle=False)
    return Blur(
        torch.from_numpy(kernels[name].astype(np.float32)), (x.shape[1], x.shape[2], x.shape[3])
    )


def cases(data: Path) -> dict[str, Callable[[], Case]]:
    """List the cases by name."""

    def t2(k: int) -> np.ndarray:
        return images(data, T2)[k]

    def knee(k: int) -> np.ndarray:
        return images(data, KNEES)[k]

    def colour(k: int) -> Tensor:
        return photograph(data / "cbsd68" / f"{k:04d}.png", 128, 60, 60)

    def grey(k: int) -> Tensor:
        return photograph(data / "classic_sets" / "set12" / f"{k:02d}.png", 128, 60, 60)

    def shape(x: Tensor) -> tuple[int, int, int]:
        return x.shape[1], x.shape[2], x.shape[3]

    return {
        "mri-t2-9-4x": lambda: problem_of(*undersampled(*simulated_mri(t2(9), 4, 0.01, 5))),
        "mri-t2-21-8x": lambda: problem_of(*undersampled(*simulated_mri(t2(21), 8, 0.01, 6))),
        "mri-t2-27-8x-clean": lambda: problem_of(*undersampled(*simulated_mri(t2(27), 8, 0.0, 7))),
        "mri-t2-12-4x-noisy": lambda: problem_of(*undersampled(*simulated_mri(t2(12), 4, 0.03, 8))),
        "mri-mprage-8x": lambda: problem_of(*measured_mri(measured_kspace(data, "mprage"), 8, 11)),
        "mri-t1-8x": lambda: problem_of(*measured_mri(measured_kspace(data, "t1"), 8, 12)),
        "ct-knee-5-30": lambda: problem_of(*ct(knee(5), 30, 0.01, seed=2)),
        "ct-knee-12-20": lambda: problem_of(*ct(knee(12), 20, 0.01, seed=2)),
        "ct-brain-20-60-clean": lambda: problem_of(*ct(np.abs(t2(20)), 60, 0.0, seed=2)),
        "ct-brain-28-30-noisy": lambda: problem_of(*ct(np.abs(t2(28)), 30, 0.03, seed=2)),
        "denoise-grey-3-s15": lambda: noisy(grey(3), Denoise(shape(grey(3))), 15, known=True),
        "denoise-0030-s50": lambda: noisy(colour(30), Denoise(shape(colour(30))), 50, known=True),
        "denoise-0032-s25-unknown": lambda: noisy(colour(32), Denoise(shape(colour(32))), 25),
        "denoise-grey-4-s40-unknown": lambda: noisy(grey(4), Denoise(shape(grey(4))), 40),
        "inpaint-0035-50": lambda: noisy(colour(35), missing(colour(35), 0.5), 0),
        "inpaint-grey-5-80": lambda: noisy(grey(5), missing(grey(5), 0.8), 0),
        "superres-0040-4": lambda: noisy(colour(40), SuperRes(shape(colour(40)), 4), 0),
        "superres-grey-7-2-noisy": lambda: noisy(grey(7), SuperRes(shape(grey(7)), 2), 5),
        "deblur-0045": lambda: noisy(colour(45), levin(data, "k2", colour(45)), 2.55),
        "deblur-grey-9-clean": lambda: noisy(grey(9), levin(data, "k4", grey(9)), 0),
        "cs-grey-11": lambda: noisy(grey(11), CompressedSensing(shape(grey(11)), 4096), 2.55),
    }


def allowed(problem: Problem, method: str) -> bool:
    """Tell whether the method's card lists the task."""
    from untrained.methods import METHODS as CARDS

    return problem.task in CARDS[method].tasks


def solved(problem: Problem, method: str, weight: float | None, closing: bool) -> Tensor:
    """The image for a weight, of which None is the automatic one."""
    problem.cache = {k: v for k, v in problem.cache.items() if k == "quick tv"}
    if method in ("tv", "l1wavelet"):
        answer: Callable[..., Tensor] = CLASSICAL[method]  # these two take a weight
        return answer(problem) if weight is None else answer(problem, weight)
    if problem.task == "denoise":
        known = problem.sigma
        problem.sigma = known if weight is None else weight
        image = CLASSICAL[method](problem)
        problem.sigma = known
        return image
    if weight is not None:
        found = torch.tensor([weight, float(closing)], dtype=torch.float64)
        problem.cache["dct settings"] = found
    return CLASSICAL[method](problem)


def chosen(problem: Problem, method: str) -> tuple[float, bool]:
    """The automatic weight, and whether the answer is z."""
    if method == "tv":
        return tv_weight(problem), False
    if method == "l1wavelet":
        from untrained.classical.wavelet import _choose

        return _choose(problem.weighted("uniform")), False
    if problem.task == "denoise":
        return noise_of(problem), False
    return dct_settings(problem)


def measure(case: Case, method: str) -> dict[str, Any]:
    """The row of one case and method."""
    problem, truth = case

    def score(image: Tensor) -> float:
        pair = (magnitude(image), magnitude(truth)) if problem.complex_image else (image, truth)
        return float(psnr(*pair, data_range=float(pair[1].max())))

    began = time.process_time()
    automatic = score(solved(problem, method, None, False))
    took = time.process_time() - began
    weight, closing = chosen(problem, method)
    both = method in ("dct", "lowrank", "nlbayes") and problem.task != "denoise"
    tried: dict[float, float] = {}
    for side in (0.5, 2.0):
        worse, k = 0, 0 if side == 0.5 else 1
        while k <= MOST and (worse < WORSE or k < LEAST // 2 + 1):
            value = weight * side**k
            found = [
                score(solved(problem, method, value, z))
                for z in ((False, True) if both else (False,))
            ]
            tried[value] = max(found)
            worse = 0 if tried[value] == max(tried.values()) else worse + 1
            k += 1
    best = max(tried, key=lambda value: tried[value])
    return {
        "weight": weight,
        "closing": closing,
        "automatic": automatic,
        "best": tried[best],
        "best weight": best,
        "tried": sorted(tried.items()),
        "cpu": took,
    }


def run(data: Path, out: Path, only: str, methods: list[str]) -> None:
    """Measure what is missing."""
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    for name, make in cases(data).items():
        if not fnmatch.fnmatch(name, only):
            continue
        case = make()
        for method in methods:
            file = out / f"{name}.{method}.json"
            if file.exists() or not allowed(case[0], method):
                continue
            row = measure(case, method)
            write_json(file, row)
            print(
                f"{name} {method} {row['automatic']:.2f} {row['best']:.2f} "
                f"x{row['best weight'] / row['weight']:g} {row['cpu']:.0f} s",
                flush=True,
            )


def table(out: Path) -> None:
    """Print the shortfalls, in dB."""
    rows = {tuple(f.stem.rsplit(".", 1)): json.loads(f.read_text()) for f in out.glob("*.json")}
    print("| case | " + " | ".join(METHODS) + " |\n" + "|---" * (len(METHODS) + 1) + "|")
    lost: dict[str, list[float]] = {method: [] for method in METHODS}
    for case in sorted({name for name, _ in rows}):
        cells = []
        for method in METHODS:
            row = rows.get((case, method))
            if row is None:
                cells.append("")
                continue
            lost[method].append(row["best"] - row["automatic"])
            cells.append(f"{row['automatic']:.2f} ({row['automatic'] - row['best']:+.2f})")
        print(f"| {case} | " + " | ".join(cells) + " |")
    for what, of in (("mean", lambda v: sum(v) / len(v)), ("worst", max)):
        cells = [f"{-of(lost[m]):+.2f}" if lost[m] else "" for m in METHODS]
        print(f"| {what} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    doing = commands.add_parser("run")
    doing.add_argument("data", type=Path)
    doing.add_argument("out", type=Path)
    doing.add_argument("--only", default="*")
    doing.add_argument("--methods", default=",".join(METHODS))
    shown = commands.add_parser("table")
    shown.add_argument("out", type=Path)
    given = parser.parse_args()
    if given.command == "run":
        run(given.data, given.out, given.only, given.methods.split(","))
    else:
        table(given.out)
