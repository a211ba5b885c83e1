"""Deep Video Prior on clips whose frames were changed at random, one by one.

    python benchmarks/dvp.py DATA [--out benchmarks/results/dvp/rows.json] [--settings SETTINGS]

Two clips of `series.py` in colours, and what is made of every frame: its colours turned warmer or
colder and its brightness changed at random (`colour`), or its contrast and gamma (`contrast`). The
clean video is the same change by its mean over the frames. Rows: warping error of the processed and
the made video, and their PSNR against the clean one.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from series import LENGTH, SIDE, window

import untrained as ut
from untrained.flicker import optical_flow, warping_error
from untrained.methods.dvp import EPOCHS
from untrained.metrics import psnr
from untrained.physics import Processed


def colour_clip(path: Path, zoom: float) -> np.ndarray:
    """Pan over a colour picture and zoom by a factor a frame: `(T, 3, H, W)`."""
    image = Image.open(path).convert("RGB")
    size = (image.width // 2, image.height // 2)
    planes = np.asarray(image.resize(size, Image.Resampling.BOX), dtype=np.float64) / 255
    middle = planes.shape[0] / 2, planes.shape[1] / 2
    return np.stack(
        [
            [
                window(planes[..., c], (middle[0] - 5 + 0.6 * t, middle[1] - 8 + t), zoom**t, 0)
                for c in range(3)
            ]
            for t in range(LENGTH)
        ]
    )


def changed(frames: np.ndarray, kind: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Process every frame with a change of its own; and all with the mean change."""
    rng = np.random.default_rng(seed)
    count = len(frames)
    if kind == "colour":
        gains = 1 + 0.15 * rng.uniform(-1, 1, (count, 3)) + np.array([0.1, 0.0, -0.1])
        make = [np.clip(f * g[:, None, None], 0, 1) for f, g in zip(frames, gains, strict=True)]
        clean = np.clip(frames * gains.mean(0)[None, :, None, None], 0, 1)
        return np.stack(make), clean
    powers, contrasts = rng.uniform(0.6, 1.2, count), rng.uniform(0.8, 1.3, count)

    def one(f: np.ndarray, power: float, contrast: float) -> np.ndarray:
        return np.clip(0.5 + contrast * (f.clip(0, 1) ** power - 0.5), 0, 1)

    made = [one(f, p, c) for f, p, c in zip(frames, powers, contrasts, strict=True)]
    return np.stack(made), one(frames, powers.mean(), contrasts.mean())


CASES = {
    "landscape, colour": ("cbsd68/0000.png", 1.0, "colour"),
    "face, contrast": ("ffhq256/00004.png", 1.01, "contrast"),
}


def main() -> None:
    """Fill the table of results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/dvp/rows.json"))
    parser.add_argument("--presets", default="paper,fast")
    parser.add_argument("--steps", type=int, default=EPOCHS * LENGTH)
    parser.add_argument("--settings", default="")
    given = parser.parse_args()
    rows = json.loads(given.out.read_text()) if given.out.exists() else {}
    for case, (path, zoom, kind) in CASES.items():
        frames = colour_clip(given.data / path, zoom).clip(0, 1)
        made, clean = changed(frames, kind, seed=1)
        flow = optical_flow(frames)
        for preset in given.presets.split(","):
            name = f"{case}/{preset}/{given.steps}{given.settings}"
            if name in rows:
                continue
            began = time.process_time()
            shown, y = (torch.from_numpy(v).float().movedim(1, 0)[None] for v in (frames, made))
            result = ut.reconstruct(
                y,
                Processed(shown, 3),
                method="dvp",
                preset=preset,
                steps=given.steps,
                settings=given.settings.split(",") if given.settings else [],
                progress=False,
                compare=False,
            )
            ours = result.image[0].movedim(1, 0).double().numpy()
            rows[name] = {
                "warping error": [
                    round(1e4 * warping_error(v, frames, flow), 3) for v in (made, ours, clean)
                ],
                "psnr": [round(psnr(v, clean, data_range=1.0), 2) for v in (made, ours)],
                "cpu_seconds": round(time.process_time() - began, 1),
            }
            given.out.write_text(json.dumps(rows, indent=1) + "\n")
            print(name, SIDE, rows[name], flush=True)


if __name__ == "__main__":
    main()
