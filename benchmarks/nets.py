"""Networks against each other: spectral bias, quality and time on four small cases.

    python benchmarks/nets.py OUT.json [--only NET,...]

The convolutional networks stand in `dip`, those of coordinates in `inr`, all with the engine, the
output and the held-out stop of their preset `fast` and the same budget of STEPS steps. Pictures and
scans are bundled with scikit-image or drawn: no data are needed. Each row is written when it
is there; a second call goes on.

`half` is the step at which half of the amplitude of the lowest, middle and highest third of the
frequencies of a clean picture is drawn (0: never within STEPS), without noise and without a stop.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from skimage.data import camera
from skimage.transform import resize
from torch import Tensor

import untrained as ut
from untrained.core.rule import Frame
from untrained.core.state import State
from untrained.core.watch import Watch
from untrained.data.phantoms import birdcage_maps, brain, shepp_logan
from untrained.maths import to_channels
from untrained.run.plan import plan

STEPS = 120
SIDE = 64
NETS: dict[str, tuple[str, list[str]]] = {
    "compact": ("dip", []),
    "unet": ("dip", ["net=unet", "net.widths=16,32,64,64"]),
    "skip": (
        "dip",
        ["net=skip", "net.skip=4,4,4,4", *(f"net.{way}=16,32,64,64" for way in ("down", "up"))],
    ),
    "attention_unet": ("dip", ["net=attention_unet", "net.widths=16,32,64,64"]),
    "siren": ("inr", []),
    "wire": ("inr", ["net=wire", "net.width=128", "engine.lr=5e-3"]),
}
Case = tuple[Tensor, Any, Tensor, float | None]  # measurements, operator, reference, sigma


def picture() -> Tensor:
    """The cameraman's head and camera."""
    pixels = resize(camera()[60:316, 120:376], (SIDE, SIDE), anti_aliasing=True)
    return torch.from_numpy(pixels.astype(np.float32))[None, None]


def cases() -> dict[str, Case]:
    """Noise, missing pixels, 30 views, every fourth column."""
    draw = torch.Generator().manual_seed(0)
    x = picture()
    shape = (1, SIDE, SIDE)
    noisy = x + 25 / 255 * torch.randn(x.shape, generator=draw)
    holes = ut.physics.Inpaint(ut.physics.random_mask(shape[1:], 0.5), shape)
    phantom = torch.from_numpy(shepp_logan(SIDE).astype(np.float32))[None, None]
    scan = ut.physics.CT((SIDE, SIDE), np.linspace(0, 180, 30, endpoint=False), SIDE)
    views = scan.A(phantom)
    views = views + 0.01 * views.std() * torch.randn(views.shape, generator=draw)
    head = torch.from_numpy(brain(SIDE)).to(torch.complex64)
    maps = torch.from_numpy(birdcage_maps(4, (SIDE, SIDE))).to(torch.complex64)
    columns = torch.zeros(SIDE, dtype=torch.bool)
    columns[::4], columns[SIDE // 2 - 5 : SIDE // 2 + 5] = True, True
    mri = ut.physics.MRI(columns, maps)
    image = to_channels(head[None])
    return {
        "denoise": (noisy, ut.physics.Denoise(shape), x, 25 / 255),
        "inpaint": (holes.A(x), holes, x, None),
        "ct": (views, scan, phantom, None),
        "mri": (mri.A(image), mri, image, None),
    }


class Bands(Watch):
    """Record how much of a clean picture's low, middle and high frequencies is still missing."""

    def __init__(self, truth: Tensor) -> None:
        self.truth = truth
        axes = torch.meshgrid(*[torch.fft.fftfreq(SIDE)] * 2, indexing="ij")
        radius = torch.stack(axes).norm(dim=0) / 0.5
        edges = (0, 1 / 3, 2 / 3, 1)
        self.bands = [(radius >= a) & (radius < b) for a, b in itertools.pairwise(edges)]
        self.rows: list[list[float]] = []

    def columns(self, s: State, frame: Frame) -> dict[str, Tensor]:
        """Measure the relative error of each band of this step's image."""
        missing = torch.fft.fft2(frame.x.detach().float() - self.truth)[0, 0]
        whole = torch.fft.fft2(self.truth)[0, 0]
        errors = [float(missing[b].norm() / whole[b].norm()) for b in self.bands]
        self.rows.append(errors)
        return {}

    def halves(self) -> list[int]:
        """Return the first step at which each band's error is below one half; 0 = never."""
        table = np.array(self.rows)
        return [int(np.argmax(c < 0.5)) + 1 if (c < 0.5).any() else 0 for c in table.T]


def row(net: str, name: str) -> dict[str, Any]:
    """Run one network on one case, or measure its spectral bias."""
    method, settings = NETS[net]
    if name == "bias":
        x = picture()
        recipe = plan("denoise", method=method, settings=settings, steps=STEPS).recipe
        assert recipe is not None
        watch = Bands(x)
        problem = ut.Problem(x, ut.physics.Denoise((1, SIDE, SIDE)))
        given: dict[str, Any] = {"net": recipe.net, "engine": recipe.engine, "steps": STEPS}
        ut.solve(recipe.method, problem, watch=[watch], **given)
        return {"half": watch.halves()}
    y, physics, truth, sigma = cases()[name]
    began = time.process_time()
    asked: dict[str, Any] = {
        "truth": truth,
        "sigma": sigma,
        "progress": False,
        "compare": False,
        "steps": STEPS,
    }
    result = ut.reconstruct(y, physics, method, settings=settings, **asked)
    assert result.about.metrics is not None
    curve = [v for v in result.history["psnr_output"] if isinstance(v, float) and v == v]
    return {
        "psnr": round(result.about.metrics["psnr"], 2),
        "best": round(max(curve), 2),
        "stop": result.stop[0].step,
        "steps": result.steps,
        "cpu_seconds": round(time.process_time() - began, 1),
        "ms_per_step": round(1000 * result.cpu_seconds / result.steps, 1),
    }


def main() -> None:
    """Fill the table in, row by row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    rows = json.loads(options.out.read_text()) if options.out.exists() else {}
    for name in ("denoise", "bias", "inpaint", "ct", "mri"):
        for net in options.only.split(",") if options.only else NETS:
            key = f"{name}/{net}"
            if key not in rows:
                rows[key] = row(net, name)
                options.out.write_text(json.dumps(rows, indent=1) + "\n")
                print(key, rows[key], flush=True)


if __name__ == "__main__":
    main()
