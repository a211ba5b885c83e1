"""Time series as one problem against the frames one by one: three clips, two tasks.

    python benchmarks/series.py DATA [--out benchmarks/results/series/rows.json]

DATA is a folder with the pictures named in CLIPS. Every row is written as soon as it is there, and
what is there is not computed again. Clips of 16 frames of 64 x 64 are seen through a moving window:
a pan, a zoom with a turn, and a face that moves in front of a still picture. Frame by frame is
`auto` on FRAMES, and every PSNR is the mean over these frames, so that both are of the same ones.
"Classical mixture" is what `auto` on a series starts from and is mixed with.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter, map_coordinates
from torch import Tensor

import untrained as ut
from untrained.classical import baseline, baseline_name
from untrained.metrics import psnr
from untrained.physics import Denoise, Inpaint, Physics, Series

LENGTH, SIDE = 16, 64
FRAMES = (5, 10)
SIGMA = 25 / 255
MISSING = 0.5


def picture(path: Path, side: int) -> np.ndarray:
    """Read a picture as grey values in [0, 1], reduced to a shorter side of `side` pixels."""
    image = Image.open(path).convert("L")
    scale = side / min(image.size)
    size = (round(image.width * scale), round(image.height * scale))
    return np.asarray(image.resize(size, Image.Resampling.BOX), dtype=np.float64) / 255


def window(image: np.ndarray, centre: tuple[float, float], zoom: float, turn: float) -> np.ndarray:
    """Look at an image through a window of SIDE pixels, zoomed and turned (radians)."""
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    c, s = np.cos(turn), np.sin(turn)
    places = [centre[0] + (c * y - s * x) / zoom, centre[1] + (s * y + c * x) / zoom]
    return map_coordinates(image, places, order=3, mode="mirror").clip(0, 1)


def pan(data: Path) -> np.ndarray:
    """Pan over the cameraman, 0.7 pixels down and 1.3 to the right a frame."""
    image = picture(data / "classic_sets/set12/01.png", 128)
    return np.stack([window(image, (58 + 0.7 * t, 54 + 1.3 * t), 1, 0) for t in range(LENGTH)])


def zoom(data: Path) -> np.ndarray:
    """Zoom into a starfish by 2 % a frame, and turn by 0.015."""
    image = picture(data / "classic_sets/set12/04.png", 128)
    return np.stack([window(image, (64, 64), 1 + 0.02 * t, 0.015 * t) for t in range(LENGTH)])


def face(data: Path) -> np.ndarray:
    """Move an oval of a face over a still picture of coins, along an arc."""
    behind = picture(data / "skimage/coins.png", 100)[:SIDE, :SIDE]
    front = picture(data / "ffhq256/00000.png", 64)
    frames = []
    for t in range(LENGTH):
        down, right = 8 * np.sin(np.pi * t / (LENGTH - 1)), 1.5 * (t - (LENGTH - 1) / 2)
        y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
        inside = gaussian_filter(
            (((y - down) / 18) ** 2 + ((x - right) / 14) ** 2 < 1).astype(float), 0.7
        )
        moved = window(front, (32 - down, 32 - right), 1, 0)
        frames.append(inside * moved + (1 - inside) * behind)
    return np.stack(frames)


CLIPS: dict[str, Callable[[Path], np.ndarray]] = {"pan": pan, "zoom": zoom, "face": face}


def measured(task: str, x: Tensor) -> tuple[Tensor, list[Physics], float | None]:
    """Simulate a task on a clip `(1, 1, T, H, W)`: y, an operator a frame, and sigma."""
    generator = torch.Generator().manual_seed(0)
    if task == "denoise":
        noisy = x + SIGMA * torch.randn(x.shape, generator=generator)
        return noisy, [Denoise((1, SIDE, SIDE))] * LENGTH, SIGMA
    masks = (torch.rand(x.shape, generator=generator) >= MISSING).float()
    return x * masks, [Inpaint(one, (1, SIDE, SIDE)) for one in masks[0, 0]], None


def score(image: Tensor, x: Tensor) -> float:
    """Compute the mean PSNR over FRAMES."""
    return float(
        np.mean([psnr(image[:, :, t], x[:, :, t], data_range=1.0) for t in FRAMES]).round(3)
    )


def one_row(task: str, method: str, x: Tensor) -> dict[str, object]:
    """Reconstruct a clip by one method; PSNR, CPU seconds and notes."""
    y, frames, sigma = measured(task, x)
    began = time.process_time()
    notes: list[str] = []
    how: dict[str, Any] = {"sigma": sigma, "progress": False, "compare": False}
    if method == "classical mixture":
        problem = ut.Problem(y, Series(frames), sigma=sigma)
        image, notes = problem.to_units(baseline(problem)), [baseline_name(problem)]
    elif method == "frame by frame":
        image = torch.zeros_like(x)
        for t in FRAMES:
            image[:, :, t] = ut.reconstruct(y[:, :, t], frames[t], **how).image
    else:
        result = ut.reconstruct(y, Series(frames), method=method, **how)
        image, notes = result.image, list(result.notes)
    spent = round(time.process_time() - began, 1)
    return {"psnr": score(image, x), "cpu_seconds": spent, "notes": notes}


def main() -> None:
    """Fill the table of results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/series/rows.json"))
    parser.add_argument(
        "--methods", default="tv,temporaltv,lps,classical mixture,frame by frame,auto"
    )
    given = parser.parse_args()
    rows = json.loads(given.out.read_text()) if given.out.exists() else {}
    clips = {clip: torch.from_numpy(make(given.data))[None, None] for clip, make in CLIPS.items()}
    for method in given.methods.split(","):
        for task in ("denoise", "inpaint"):
            for clip, x in clips.items():
                name = f"{task}/{clip}/{method}"
                if name not in rows:
                    rows[name] = one_row(task, method, x.float())
                    given.out.write_text(json.dumps(rows, indent=1) + "\n")
                    print(name, rows[name]["psnr"], rows[name]["cpu_seconds"], flush=True)


if __name__ == "__main__":
    main()
