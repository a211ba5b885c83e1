"""Measure how often nominal 90 % intervals hold, per task, way and image.

    python benchmarks/coverage_of_intervals.py DATA OUT.jsonl [--ways sgld ...] [--tasks ...]

Five tasks, six images of 128x128 each, `dip` with a small network (SETTINGS), one thread: what a
shared machine can measure; the promise of the intervals holds for any method. Data
space: the test measurements, which served nothing. Image space: the reference, before (plus or
minus z times the method's own standard deviation) and after calibration, also of the part that is
measured and of the null space. A row an image and way; rows that are in OUT are not done again.
`python benchmarks/coverage_of_intervals.py --table OUT.jsonl` prints the means.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from PIL import Image
from scans import KNEES, T2, images, low_resolution
from torch import Tensor

from untrained import Problem
from untrained.data.phantoms import birdcage_maps
from untrained.physics import CT, MRI, Blur, Denoise, Inpaint, Physics
from untrained.run.plan import plan
from untrained.uncertainty.quantify import quantify
from untrained.uncertainty.settings import MEMBERS, find_way

SIDE = 128
PICTURES = (
    "skimage/camera.png",
    "skimage/coins.png",
    "cbsd68/0003.png",
    "cbsd68/0010.png",
    "cbsd68/0019.png",
    "classic_sets/set5/butterfly_GT.png",
)
SLICES = (2, 7, 12, 17, 22, 27)
COILS = 4
VIEWS = 60
COLUMNS = 0.3  # of k-space that is measured; the central 10 of 128 always

STEPS = {"denoise": 150, "inpaint": 150, "deblur": 100, "ct": 100, "mri": 100}
SETTINGS = ("net.widths=8,16,32", "net.skip=4")

Case = tuple[Physics, Tensor, Tensor, float | None]


def photograph(data: Path, number: int) -> Tensor:
    """A picture in grey, its middle square reduced to 128x128, `(1, 1, 128, 128)`."""
    with Image.open(data / PICTURES[number]) as found:
        grey = found.convert("L")
        side = min(grey.size)
        left, top = (grey.width - side) // 2, (grey.height - side) // 2
        square = grey.crop((left, top, left + side, top + side))
        small = square.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.asarray(small, dtype=np.float32) / 255)[None, None]


def noisy(clean: Tensor, level: float, number: int) -> Tensor:
    """Add noise of a generator that no draw of the library shares."""
    drawn = np.random.default_rng(1000 + number).normal(0, level, tuple(clean.shape))
    return clean + torch.from_numpy(drawn.astype(np.float32))


def denoise(data: Path, number: int) -> Case:
    """sigma = 25 of 255, known."""
    x = photograph(data, number)
    return Denoise((1, SIDE, SIDE)), noisy(x, 25 / 255, number), x, 25 / 255


def inpaint(data: Path, number: int) -> Case:
    """Half of the pixels, without noise."""
    x = photograph(data, number)
    mask = np.random.default_rng(number).random((SIDE, SIDE)) < 0.5
    physics = Inpaint(torch.from_numpy(mask), x_shape=(1, SIDE, SIDE))
    return physics, physics.A(x), x, None


def deblur(data: Path, number: int) -> Case:
    """A Gaussian blur of 1.6 pixels, and noise of 2 of 255 that is not told."""
    x = photograph(data, number)
    line = torch.exp(-((torch.arange(11.0) - 5) ** 2) / (2 * 1.6**2))
    kernel = line[:, None] * line
    physics = Blur(kernel / kernel.sum(), (1, SIDE, SIDE))
    return physics, noisy(physics.A(x), 2 / 255, number), x, None


def ct(data: Path, number: int) -> Case:
    """60 views of a brain or knee slice; noise of 1 % of the mean line integral."""
    half = len(SLICES) // 2
    found = images(data, T2)[SLICES[number]] if number < half else images(data, KNEES)[number]
    found = np.abs(found).astype(np.float32)
    side = min(found.shape)
    square = Image.fromarray(found[:side, :side]).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    small = np.clip(np.asarray(square), 0, None)
    x = torch.from_numpy(small / small.max())[None, None]
    physics = CT((SIDE, SIDE), np.arange(VIEWS) * 180 / VIEWS, 183)
    y = physics.A(x)
    return physics, noisy(y, 0.01 * float(y.mean()), number), x, None


def mri(data: Path, number: int) -> Case:
    """Four simulated coils, 30 % of the columns; noise of 1 % of the image's largest value."""
    image = low_resolution(images(data, T2)[SLICES[number]], SIDE).astype(np.complex64)
    x = torch.from_numpy(np.stack([image.real, image.imag]))[None]
    columns = np.random.default_rng(number).random(SIDE) < COLUMNS
    columns[SIDE // 2 - 5 : SIDE // 2 + 5] = True
    maps = torch.from_numpy(birdcage_maps(COILS, (SIDE, SIDE)).astype(np.complex64))[None]
    mask = torch.from_numpy(np.broadcast_to(columns, (SIDE, SIDE)).copy())
    physics = MRI(mask, maps)
    return physics, physics_noise(physics, x, number), x, None


def physics_noise(physics: Physics, x: Tensor, number: int) -> Tensor:
    """Measure with noise where something is measured."""
    y = physics.A(x)
    return torch.where(y != 0, noisy(y, 0.01, number), y)


CASES: dict[str, Callable[[Path, int], Case]] = {
    "denoise": denoise,
    "inpaint": inpaint,
    "deblur": deblur,
    "ct": ct,
    "mri": mri,
}


def measure(task: str, way: str, number: int, data: Path) -> dict[str, Any]:
    """Reconstruct one image with one way to an error bar."""
    torch.set_num_threads(1)
    physics, y, x, sigma = CASES[task](data, number)
    problem = Problem(y, physics, sigma=sigma)
    asked = find_way(way)
    assert asked is not None
    recipe = plan(problem.task, method="dip", steps=STEPS[task], settings=SETTINGS).recipe
    assert recipe is not None
    began, cpu = time.perf_counter(), time.process_time()
    sure = quantify(
        recipe,
        problem,
        asked,
        0.9,
        seeds=range(MEMBERS if way == "ensemble" else 1),
        start=None,
        data=[],
        device="cpu",
        watch=[],
        run_dir=None,
        truth=x,
    )
    assert sure.uncertainty is not None
    assert sure.fit.std is not None
    error = sure.fit.image - x
    return {
        "task": task,
        "way": way,
        "image": number,
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - cpu,
        "rmse": float(error.square().mean().sqrt()),
        "rms_std": float(sure.fit.std.square().mean().sqrt()),
        **{k: v for k, v in sure.uncertainty.to_dict().items() if k != "settings"},
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Print the means over images for each task and way."""
    heads = ("task", "way", "n", "data", "data, raw", "image before", "after", "measured", "null")
    lines = [f"| {' | '.join(heads)} | CPU s |"]
    lines.append("|---|---|---|---|---|---|---|---|---|---|")
    for task in CASES:
        for way in ("ensemble", "sgld", "linearised"):
            some = [r for r in rows if (r["task"], r["way"]) == (task, way)]
            if not some:
                continue

            ref = {k: np.mean([r["reference"][k] for r in some]) for k in some[0]["reference"]}
            top = {
                k: np.mean([r[k] for r in some])
                for k in ("coverage_heldout", "coverage_raw", "cpu_seconds")
            }
            cells = [f"{100 * top[k]:.1f}" for k in ("coverage_heldout", "coverage_raw")]
            cells += [f"{100 * ref[k]:.1f}" for k in ("before", "after")]
            cells += [
                f"{100 * ref[f'{part}_before']:.1f} → {100 * ref[f'{part}_after']:.1f}"
                for part in ("measured", "null")
            ]
            cells.append(f"{top['cpu_seconds']:.0f}")
            lines.append(f"| {task} | {way} | {len(some)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def read(out: Path) -> list[dict[str, Any]]:
    """The rows that are there."""
    if not out.exists():
        return []
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines() if line]


def main() -> None:
    """Do the rows that are missing, one image of every task and way before the next."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("--ways", nargs="+", default=["ensemble", "sgld", "linearised"])
    parser.add_argument("--tasks", nargs="+", default=list(CASES))
    parser.add_argument("--images", nargs="+", type=int, default=list(range(6)))
    parser.add_argument("--table", type=Path)
    asked = parser.parse_args()
    if asked.table:
        print(table(read(asked.table)))
        return
    done = {(r["task"], r["way"], r["image"]) for r in read(asked.out)}
    for number in asked.images:
        for way in asked.ways:
            for task in asked.tasks:
                if (task, way, number) in done:
                    continue
                row = measure(task, way, number, asked.data)
                with asked.out.open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
