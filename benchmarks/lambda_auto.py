"""What `lam=auto` of `aseqdip` loses against the best lambda of a grid.

    python benchmarks/lambda_auto.py run DATA OUT [--seeds 0,1,2] [--only PATTERN]
    python benchmarks/lambda_auto.py table OUT

Three cases each of MRI, CT, super-resolution and deblurring, 128 or 96 points wide. Each lambda of
the grid is run in `fast` to its end, and OUT/CASE.LAMBDA.SEED.json keeps the PSNR of what is
returned (which needs the truth), the held-out error on the way, and the least held-out error of a
short run, a quarter of the budget: the trial by which `auto` chooses. What is there is not run
again. The table is of means over the seeds.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import math
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lambda_scale import CASES as FIRST
from lambda_scale import KNEES, Case, _magnitudes, _range, ct, drawn, measured_mri, photograph
from scans import images, measured_kspace
from weights import levin

import untrained as ut
from untrained.metrics import psnr
from untrained.physics import Blur, SuperRes

GRID = ("1", "0.1", "0.01", "10", "0.001", "0.0001")
EVERY = 10


def picture(data: Path, number: int) -> torch.Tensor:
    """A crop of a colour picture, `(1, 3, 96, 96)`."""
    return photograph(data / "cbsd68" / f"{number:04d}.png", 96, 60, 60)


def measured(x: torch.Tensor, physics: Any, noise: float) -> Case:
    """x as the operator sees it, with noise."""
    y = physics.A(x)
    return y + noise * drawn(y, 1), physics, x


def coarse(data: Path, number: int, factor: int, noise: float) -> Case:
    """Super-resolution of a picture."""
    return measured(picture(data, number), SuperRes((3, 96, 96), factor), noise)


def blurred(data: Path, number: int, kernel: str) -> Case:
    """A picture seen through one of Levin's kernels."""
    x = picture(data, number)
    physics: Blur = levin(data, kernel, x)
    return measured(x, physics, 0.01)


CASES: dict[str, Callable[[Path], Case]] = {
    **FIRST,
    "mri-mprage-8x": lambda data: measured_mri(measured_kspace(data, "mprage"), 8, 3),
    "ct-knee-9": lambda data: ct(images(data, KNEES)[9]),
    "superres-4-0012": lambda data: coarse(data, 12, 4, 0.0),
    "superres-2-noisy": lambda data: coarse(data, 14, 2, 0.02),
    "deblur-levin-0": lambda data: blurred(data, 16, "k0"),
    "deblur-levin-3": lambda data: blurred(data, 18, "k3"),
}


def reconstruct(case: Case, lam: str, seed: int, steps: int = 0) -> ut.Result:
    """Run a case with one lambda."""
    y, physics, truth = case
    return ut.reconstruct(
        y,
        physics,
        method="aseqdip",
        truth=truth,
        settings=[f"lam={lam}"],
        seed=seed,
        steps=steps,
        device="cpu",
        progress=False,
        compare=False,
    )


def held_out(result: ut.Result) -> list[float]:
    """The held-out error at each step of the first fit."""
    errors = zip(result.history["phase"], result.history["held-out error"], strict=True)
    return [float(error) for phase, error in errors if phase == "fit"]


def measure(case: Case, lam: str, seed: int) -> dict[str, Any]:
    """The row of one case, lambda and seed."""
    began = time.process_time()
    problem, truth = ut.Problem(case[0], case[1]), case[2]
    full = reconstruct(case, lam, seed)
    assert full.recipe is not None
    errors = held_out(full)
    short = reconstruct(case, lam, seed, full.recipe.budget // 4)
    seen = [float(v) for v in full.history["psnr_output"]]
    return {
        "psnr": psnr(*_magnitudes(full.image, truth), data_range=_range(truth, problem)),
        "best": max(v for v in seen if not math.isnan(v)),
        "least": min(errors),
        "trial": min(held_out(short)),
        "errors": errors[::EVERY],
        "step": full.stop[0].step,
        "budget": full.recipe.budget,
        "dropped": full.dropped,
        "cpu_seconds": round(time.process_time() - began, 1),
    }


def run(data: Path, out: Path, seeds: list[int], only: str) -> None:
    """Measure what is missing, every case once before any is run with the next lambda."""
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        for lam in GRID:
            for name, make in CASES.items():
                file = out / f"{name}.{float(lam):g}.{seed}.json"
                if file.exists() or not fnmatch.fnmatch(name, only):
                    continue
                row = measure(make(data), lam, seed)
                file.write_text(json.dumps(row) + "\n")
                print(file.stem, f"{row['psnr']:.2f} {row['cpu_seconds']:.0f} s", flush=True)


def table(out: Path) -> None:
    """PSNR over lambda, and what the trial would have chosen; means over seeds."""
    rows: dict[str, dict[float, dict[int, dict[str, Any]]]] = defaultdict(lambda: defaultdict(dict))
    for file in out.glob("*.json"):
        name, lam, seed = file.stem.split(".", 1)[0], *_numbers(file.stem)
        rows[name][lam][seed] = json.loads(file.read_text())
    lams = sorted({lam for row in rows.values() for lam in row})
    print("| case | " + " | ".join(f"{lam:g}" for lam in lams) + " | auto | loss |")
    print("|---" * (len(lams) + 3) + "|")
    losses = []
    for name, row in sorted(rows.items()):
        seeds = set.intersection(*(set(by_seed) for by_seed in row.values()))
        mean = {lam: float(np.mean([row[lam][s]["psnr"] for s in seeds])) for lam in row}
        picked = [min(row, key=lambda lam: row[lam][s]["trial"]) for s in seeds]
        auto = float(np.mean([row[lam][s]["psnr"] for lam, s in zip(picked, seeds, strict=True)]))
        losses.append(max(mean.values()) - auto)
        cells = " | ".join(f"{mean[lam]:.2f}" if lam in mean else "" for lam in lams)
        print(f"| {name} | {cells} | {auto:.2f} | {losses[-1]:.2f} |")
    print(f"mean loss {np.mean(losses):.2f}, worst {max(losses):.2f}")


def _numbers(stem: str) -> tuple[float, int]:
    """Lambda and seed of a file's name."""
    parts = stem.split(".")
    return float(".".join(parts[1:-1])), int(parts[-1])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    doing = commands.add_parser("run")
    doing.add_argument("data", type=Path)
    doing.add_argument("out", type=Path)
    doing.add_argument("--seeds", default="0,1,2")
    doing.add_argument("--only", default="*")
    shown = commands.add_parser("table")
    shown.add_argument("out", type=Path)
    asked = parser.parse_args()
    if asked.command == "run":
        run(asked.data, asked.out, [int(s) for s in asked.seeds.split(",")], asked.only)
    else:
        table(asked.out)
