"""What lambda of `aseqdip` is worth, relative to the mean squared singular value of the operator.

    python benchmarks/lambda_scale.py DATA OUT [--only CASE]
    python benchmarks/lambda_scale.py table OUT

runs `aseqdip` in `fast`, seed 0, one thread, on small cases simulated from clean images, and writes
OUT/CASE.LAMBDA.json with the PSNR of what is returned and of the best of all iterates, raw and
averaged (which needs the truth). `old` is lambda = 1 as it was before: relative to the largest
squared singular value. What is there is not run again.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from scans import KNEES, T2, images, measured_kspace, middle
from torch import Tensor
from torch.nn import functional

import untrained as ut
from untrained.data.phantoms import birdcage_maps
from untrained.maths import fft2c, ifft2c, to_channels
from untrained.metrics import psnr
from untrained.physics import CT, MRI, Blur, SuperRes, espirit_maps, random_mask_columns

SIDE, SMALL = 128, 96
LAMBDAS = ("10", "1", "0.1", "0.01", "old")
Case = tuple[Tensor, Any, Tensor]


def halved(image: np.ndarray, side: int) -> Tensor:
    """The middle of an image `(H, W)` at half its size, largest value 1, `(1, 1, side, side)`."""
    small = functional.avg_pool2d(torch.from_numpy(image.astype(np.float32))[None, None], 2)
    cut = middle(middle(small.numpy(), 2, side), 3, side)
    return torch.from_numpy(np.ascontiguousarray(cut / cut.max()))


def drawn(like: Tensor, seed: int) -> Tensor:
    """Draw white noise of the shape and type of `like`."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(like.shape, dtype=like.dtype, generator=generator)


def ct(image: np.ndarray, views: int = 30, noise: float = 0.01, seed: int = 1) -> Case:
    """Project an image along parallel views; noise relative to the mean line integral."""
    x = halved(image, SIDE)
    physics = CT((SIDE, SIDE), np.arange(views) * 180 / views, 184)
    y = physics.A(x)
    return y + noise * y.mean() * drawn(y, seed), physics, x


def measured_mri(kspace: np.ndarray, factor: float, seed: int, side: int = SIDE) -> Case:
    """Keep columns of the low frequencies of a measured scan `(coils, H, W)`."""
    full = torch.from_numpy(middle(middle(kspace, 1, side), 2, side))
    full = (full / ifft2c(full).abs().max()).to(torch.complex64)
    return undersampled(full, full, espirit_maps(full), factor, seed)


def simulated_mri(
    image: np.ndarray, factor: float, noise: float, seed: int, noise_seed: int = 2
) -> tuple[Tensor, Tensor, Tensor, float, int]:
    """Show a complex image to eight coils; noise relative to its largest value.

    Returns:
        What `undersampled` takes.
    """
    x = torch.from_numpy(np.ascontiguousarray(image / np.abs(image).max()))
    low = middle(middle(fft2c(x.to(torch.complex64)).numpy(), 0, SIDE), 1, SIDE)
    x = ifft2c(torch.from_numpy(np.ascontiguousarray(low)))
    maps = torch.from_numpy(birdcage_maps(8, (SIDE, SIDE))).to(torch.complex64)
    full = fft2c(maps * x / x.abs().max())
    return full + noise * drawn(full, noise_seed), full, maps, factor, seed


def undersampled(full: Tensor, clean: Tensor, maps: Tensor, factor: float, seed: int) -> Case:
    """Keep random columns of k-space `(coils, H, W)`, a third of them in the middle.

    The reference is of all that is clean.
    """
    side = full.shape[-1]
    physics = MRI(random_mask_columns(side, factor, 0.32 / factor, seed=seed), maps)
    truth = MRI(torch.ones(side), maps).A_adjoint(to_channels(clean[None]))
    return to_channels(full[None]) * physics.mask, physics, truth


def simulated(data: Path) -> Case:
    """Keep 4x of a complex image with noise of 1 %, which is in the reference too."""
    noisy, _, maps, factor, seed = simulated_mri(images(data, T2)[16], 4, 0.01, 0, noise_seed=1)
    return undersampled(noisy, noisy, maps, factor, seed)


def photograph(file: Path, side: int, top: int, left: int) -> Tensor:
    """Cut a crop in [0, 1] out of a picture, `(1, C, side, side)`."""
    with Image.open(file) as found:
        grey = found.mode == "L"
        pixels = np.asarray(found if grey else found.convert("RGB"), dtype=np.float32) / 255
    crop = np.atleast_3d(pixels)[top : top + side, left : left + side].transpose(2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(crop))[None]


def colours(data: Path) -> Tensor:
    """Cut the picture of these cases, `(1, 3, SMALL, SMALL)`."""
    return photograph(data / "cbsd68" / "0003.png", SMALL, 40, 30)


def coarse(data: Path) -> Case:
    """Reduce a picture by 4."""
    x = colours(data)
    physics = SuperRes((3, SMALL, SMALL), 4)
    return physics.A(x), physics, x


def blurred(data: Path) -> Case:
    """Gaussian blur of standard deviation 1.6, noise of 0.01."""
    x = colours(data)
    line = torch.exp(-((torch.arange(11) - 5.0) ** 2) / (2 * 1.6**2))
    physics = Blur(line[:, None] * line, (3, SMALL, SMALL))
    y = physics.A(x)
    return y + 0.01 * drawn(y, 1), physics, x


CASES: dict[str, Callable[[Path], Case]] = {
    "ct-brain": lambda data: ct(np.abs(images(data, T2)[4])),
    "ct-knee": lambda data: ct(images(data, KNEES)[0]),
    "mri-t1-4x": lambda data: measured_mri(measured_kspace(data, "t1"), 4, 0),
    "mri-t2-4x": simulated,
    "superres-4": coarse,
    "deblur": blurred,
}


def measure(case: Case, name: str, lam: str) -> dict[str, Any]:
    """Reconstruct a case with one lambda; return the row of the table."""
    y, physics, truth = case
    problem = ut.Problem(y, physics)
    mean, largest = float(problem.mean_squared_singular_value), problem.norm_squared
    value = largest / mean if lam == "old" else float(lam)
    began = time.process_time()
    result = ut.reconstruct(
        y,
        physics,
        method="aseqdip",
        truth=truth,
        settings=[f"lam={value!r}"],
        device="cpu",
        progress=False,
        compare=False,
    )
    seen = [float(v) for c in ("psnr", "psnr_output") for v in result.history[c]]
    return {
        "case": name,
        "lambda": value,
        "label": lam,
        "psnr": psnr(*_magnitudes(result.image, truth), data_range=_range(truth, problem)),
        "best": max(v for v in seen if not math.isnan(v)),
        "mean_squared_singular_value": mean,
        "norm_squared": largest,
        "steps": result.steps,
        "cpu_seconds": round(time.process_time() - began, 1),
        "phases": sorted({str(p) for p in result.history["phase"]}),
    }


def _magnitudes(image: Tensor, truth: Tensor) -> list[Tensor]:
    if image.shape[1] != 2:
        return [image, truth]
    return [x.square().sum(1, keepdim=True).sqrt() for x in (image, truth)]


def _range(truth: Tensor, problem: ut.Problem) -> float:
    return 1.0 if problem.unit_range else float(_magnitudes(truth, truth)[0].abs().max())


def table(out: Path) -> None:
    """Every row, on the screen."""
    rows = [json.loads(file.read_text()) for file in sorted(out.glob("*.json"))]
    print(f"{'case':14s}{'lambda':>10s}{'label':>8s}{'returned':>10s}{'best':>8s}")
    for row in sorted(rows, key=lambda r: (r["case"], -r["lambda"])):
        print(
            f"{row['case']:14s}{row['lambda']:10.4g}{row['label']:>8s}"
            f"{row['psnr']:10.2f}{row['best']:8.2f}"
        )


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", choices=list(CASES))
    given = parser.parse_args()
    if given.data == "table":
        table(given.out)
        return
    torch.set_num_threads(1)
    given.out.mkdir(parents=True, exist_ok=True)
    # every case once before any is run at another lambda: an interrupted study still compares
    for lam in ("1", "old", *(v for v in LAMBDAS if v not in ("1", "old"))):
        for name in CASES if given.only is None else [given.only]:
            file = given.out / f"{name}.{lam}.json"
            if not file.exists():
                row = measure(CASES[name](Path(given.data)), name, lam)
                file.write_text(json.dumps(row, indent=1) + "\n")
                print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
