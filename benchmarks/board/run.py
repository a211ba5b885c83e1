"""Run the board: `python benchmarks/board/run.py OUT.jsonl --data CBSD68`, for which see README.md.

Every solver gets the same time of one core an image: its number of iterations is chosen on a
picture that is not tested, so that a run takes that long, and never exceeds the solver's own
default. The weights of deepinv's classical solvers are chosen there, too, by PSNR; ours choose
theirs without a truth. Rows that are in OUT already are kept.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import deepinv as dinv
import torch
from solvers import ENTRIES, Entry
from table import rows_of
from tasks import TASKS, images_of
from torch import Tensor, nn

TUNING = 2
"""Number of the picture that iterations and weights are chosen on."""


def reconstruct(model: nn.Module, y: Tensor, physics: Any) -> tuple[Tensor, float]:
    """Return the image and the seconds of the process that it took."""
    model.eval()
    begun = time.process_time()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = model(y, physics)
    return image.detach().clamp(0, 1) if image.shape[1] != 2 else image.detach(), (
        time.process_time() - begun
    )


def scores(image: Tensor, truth: Tensor, border: int) -> dict[str, float]:
    """Return PSNR and SSIM as deepinv computes them; of complex images, of the magnitudes."""
    options: dict[str, Any] = {"center_crop": -border if border else None}
    if truth.shape[1] == 2:
        options["complex_abs"] = True
    metrics = {"psnr": dinv.loss.PSNR(**options), "ssim": dinv.loss.SSIM(**options)}
    return {name: float(metric(image, truth).mean()) for name, metric in metrics.items()}


def tuned(entry: Entry, task: str, side: int, folder: Path | None, seconds: float) -> Any:
    """Choose iterations and weight on the picture that is not tested, and return the two."""
    (truth,) = images_of(task, side, folder, [TUNING])
    physics, shape = TASKS[task].physics(side), tuple(truth.shape[1:])
    y = physics(truth)
    best, count = entry.weights[0] if entry.weights else 0.0, entry.most
    if entry.most > 1:
        few, more = (4, 12) if entry.weights else (2, 8)
        count = few
        _, first = reconstruct(entry.build(physics, shape, few, best), y, physics)
        if first < seconds:  # else what comes before the first iteration takes longer than that
            _, second = reconstruct(entry.build(physics, shape, more, best), y, physics)
            each = max((second - first) / (more - few), 1e-4)
            count = int(min(max((seconds - first) / each + few, few), entry.most))
    results = {}
    for weight in entry.weights if len(entry.weights) > 1 else ():
        image, _ = reconstruct(entry.build(physics, shape, min(count, 20), weight), y, physics)
        results[weight] = scores(image, truth, TASKS[task].border)["psnr"]
    return count, max(results, key=lambda w: results[w]) if results else best


def run(out: Path, tasks: list[str], args: argparse.Namespace) -> None:
    """Measure every solver on every task and append a row for each image."""
    for task in tasks:
        numbers = list(range(args.images if TASKS[task].images == "photos" else 1))
        truths = images_of(task, args.side, args.data, numbers)
        for name, entry in ENTRIES.items():
            own = [r for r in rows_of(out) if (r["task"], r["solver"]) == (task, name)]
            left = [n for n in numbers if n not in {row["image"] for row in own}]
            if not left:
                continue
            if own:
                count, weight = own[0]["iterations"], own[0]["weight"]
            else:
                count, weight = tuned(entry, task, args.side, args.data, args.seconds)
            for number in left:
                physics, truth = TASKS[task].physics(args.side), truths[number]
                y = physics(truth)
                model = entry.build(physics, tuple(truth.shape[1:]), count, weight)
                image, seconds = reconstruct(model, y, physics)
                row = {
                    "task": task,
                    "solver": name,
                    "image": number,
                    **{k: round(v, 3) for k, v in scores(image, truth, TASKS[task].border).items()},
                    "seconds": round(seconds, 2),
                    "iterations": count,
                    "weight": weight,
                    "side": args.side,
                    "budget": args.seconds,
                }
                print(row, flush=True)
                with out.open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps(row) + "\n")


def main() -> None:
    """Read the command line and run."""
    told = argparse.ArgumentParser(description=__doc__)
    told.add_argument("out", type=Path)
    told.add_argument("--data", type=Path, help="folder of CBSD68's PNG files")
    told.add_argument("--seconds", type=float, default=4.0, help="of one core, an image")
    told.add_argument("--side", type=int, default=64, help="pixels of a side")
    told.add_argument("--images", type=int, choices=(1, 2), default=2, help="pictures a task")
    told.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    args = told.parse_args()
    torch.set_num_threads(1)
    run(args.out, args.tasks, args)


if __name__ == "__main__":
    main()
