"""How much the slack of the held-out stop costs `aseqdip` on CT and MRI.

    python benchmarks/stop_slack.py DATA OUT --task ct|mri [--fraction F] [--part I/N]
    python benchmarks/stop_slack.py table OUT

runs `aseqdip` in `fast` to its full budget, without a refit, on 12 scans of 128x128 points with 3
seeds each: one thread, one row per run in OUT, what is there is not run again. A row holds, at
every fifth step, the error on what was held out and the PSNR of what would be returned; `table`
tells for every slack what the rule would have lost to the best step (regret; it needs the truth).
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lambda_scale import SIDE, Case, ct, measured_mri, undersampled
from scans import KNEES, T2, images, measured_kspace, middle

import untrained as ut
from untrained.data.phantoms import birdcage_maps
from untrained.maths import fft2c, ifft2c, magnitude

EVERY, SKIP = 5, 20
SLACKS = (0.0, 0.02, 0.05, 0.1, 0.15, 0.25, 0.5)
BRAINS = (2, 4, 8, 11, 14, 18, 24, 28)


def brain(data: Path, index: int, factor: float) -> Case:
    """A complex slice seen by eight simulated coils, with noise of 1 % of its largest value."""
    x = torch.from_numpy(np.ascontiguousarray(images(data, T2)[index])).to(torch.complex64)
    low = middle(middle(fft2c(x / x.abs().max()).numpy(), 0, SIDE), 1, SIDE)
    x = ifft2c(torch.from_numpy(np.ascontiguousarray(low)))
    maps = torch.from_numpy(birdcage_maps(8, (SIDE, SIDE))).to(torch.complex64)
    full = fft2c(maps * x / x.abs().max())
    noise = torch.randn(
        full.shape, dtype=full.dtype, generator=torch.Generator().manual_seed(index)
    )
    noisy = full + 0.01 * noise
    return undersampled(noisy, noisy, maps, factor, 0)


def projected(data: Path, scans: str, index: int) -> Case:
    """Project the magnitude of a slice."""
    return ct(np.abs(images(data, scans)[index]))


def cases(data: Path, task: str) -> dict[str, Callable[[], Case]]:
    """Twelve scans: a third of them were looked at by nobody who chose a setting."""
    found: dict[str, Callable[[], Case]] = {}
    if task == "ct":
        for i in BRAINS[:6]:
            found[f"brain-{i}"] = partial(projected, data, T2, i)
        for i in (0, 3, 6, 9, 12, 15):
            found[f"knee-{i}"] = partial(projected, data, KNEES, i)
        return found
    for i in BRAINS[:6]:
        found[f"brain-{i}-4x"] = partial(brain, data, i, 4.0)
    for i in BRAINS[3:]:
        found[f"brain-{i}-8x"] = partial(brain, data, i, 8.0)
    found["measured-t1-4x"] = lambda: measured_mri(measured_kspace(data, "t1"), 4, 0)
    return found


def curve(case: Case, seed: int, fraction: float) -> dict[str, list[float]]:
    """The error held out and the PSNR of the output, at every fifth step of the whole budget."""
    y, physics, truth = case
    result = ut.reconstruct(
        y,
        physics,
        method="aseqdip",
        seed=seed,
        truth=truth,
        settings=["stop.patience=100000", "stop.again=false", f"stop.fraction={fraction}"],
        data_range=float(magnitude(truth).max() if truth.shape[1] == 2 else truth.max()),
        device="cpu",
        progress=False,
        compare=False,
    )
    columns = {"error": "held-out error", "psnr": "psnr_output"}
    return {
        short: [float(f"{float(v):.5g}") for v in result.history[name][EVERY - 1 :: EVERY]]
        for short, name in columns.items()
    }


def chosen(error: np.ndarray, slack: float) -> int:
    """The place that the rule would return: the last one within the slack of the least so far."""
    error = np.where(np.arange(len(error)) * EVERY < SKIP, np.inf, error)
    near = error <= (1 + slack) * np.minimum.accumulate(error)
    return int(np.flatnonzero(near & np.isfinite(error))[-1])


def table(out: Path) -> None:
    """Mean and worst regret of every slack."""
    for folder in sorted(path for path in out.iterdir() if path.is_dir()):
        rows = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
        print(f"{folder.name}: {len(rows)} runs of {len({r['case'] for r in rows})} scans")
        for slack in SLACKS:
            lost = [max(r["psnr"]) - r["psnr"][chosen(np.array(r["error"]), slack)] for r in rows]
            print(f"  slack {slack:<5} mean {np.mean(lost):.2f} dB, worst {max(lost):.2f} dB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data")
    parser.add_argument("out", type=Path)
    parser.add_argument("--task", choices=["ct", "mri"], default="ct")
    parser.add_argument("--fraction", type=float, default=0.05, help="of the views or columns")
    parser.add_argument(
        "--part", default="0/1", help="this part of the runs, for several processes"
    )
    given = parser.parse_args()
    if given.data == "table":
        return table(given.out)
    torch.set_num_threads(1)
    folder = given.out / f"{given.task}-{given.fraction:g}"
    folder.mkdir(parents=True, exist_ok=True)
    part, parts = map(int, given.part.split("/"))
    made = cases(Path(given.data), given.task)
    listed = [(name, make, seed) for seed in range(3) for name, make in made.items()]
    for name, make, seed in listed[part::parts]:
        path = folder / f"{name}.{seed}.json"
        if not path.exists():
            row: dict[str, Any] = {
                "case": name,
                "seed": seed,
                **curve(make(), seed, given.fraction),
            }
            path.write_text(json.dumps(row) + "\n", encoding="utf-8")
            print(
                path.name,
                f"best {max(v for v in row['psnr'] if not math.isnan(v)):.2f}",
                flush=True,
            )
    return None


if __name__ == "__main__":
    main()
