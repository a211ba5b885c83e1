"""Blind deblurring against a guess and against the known kernel, as in SelfDeblur's evaluation.

Four pictures, averaged down to 128 x 128, times two of Levin's camera-shake kernels, noise of 1 %.
Every PSNR is that after alignment (`metrics.moved_view`, quarters of a pixel). The error ratio is
that of Levin et al. (CVPR 2009): the squared error with the estimated kernel over that with the
known one.

python benchmarks/blind.py PICTURES KERNELS [--cases N] [--before FILE]
    [--out benchmarks/results/blind.json]

PICTURES is a folder of pictures (Set12), KERNELS an .npz with `k0`, `k1`, ... (Levin09). A case
that stands in the results is not run again. `--before` takes what needs no kernel estimate
(blurred, guess, known) from earlier results, where it stands there, and runs the blind part alone.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import untrained as ut
from untrained.files import atomic_write
from untrained.metrics import moved_view, psnr, ssim
from untrained.physics import BlindBlur, Blur

SIDE, SIGMA = 128, 0.01
PICTURES = ("02", "05", "01", "07")
KERNELS = ("k4", "k2")
CASES = [(picture, kernel) for kernel in KERNELS for picture in PICTURES]


def main() -> None:
    """Run the cases that are missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pictures", type=Path)
    parser.add_argument("kernels", type=Path)
    parser.add_argument("--cases", type=int, default=len(CASES))
    parser.add_argument("--before", type=Path)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/blind.json"))
    given = parser.parse_args()
    done: dict[str, Any] = json.loads(given.out.read_text()) if given.out.exists() else {}
    before: dict[str, Any] = json.loads(given.before.read_text()) if given.before else {}
    for picture, kernel in CASES[: given.cases]:
        name = f"{picture}-{kernel}"
        if name not in done:
            path, true = given.pictures / f"{picture}.png", np.load(given.kernels)[kernel]
            done[name] = case(path, true, before.get(name))
            with atomic_write(given.out) as stream:
                stream.write((json.dumps(done, indent=1) + "\n").encode())
    for name, row in done.items():
        print(name, {key: round(value, 3) for key, value in row.items()})


def case(path: Path, kernel: np.ndarray, before: dict[str, float] | None) -> dict[str, float]:
    """Measure one picture blurred by one kernel, or the blind part of it alone."""
    began = time.process_time()
    picture = Image.open(path).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    clean = torch.from_numpy(np.asarray(picture, dtype=np.float32) / 255)[None, None]
    physics = Blur(kernel, (1, SIDE, SIDE))
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    y = physics.A(clean) + SIGMA * noise
    blind = BlindBlur(kernel.shape, (1, SIDE, SIDE))
    how: dict[str, Any] = {"sigma": SIGMA, "progress": False, "compare": False}
    if before is None:
        known = ut.reconstruct(y, physics, **how).image
        guess = ut.reconstruct(y, blind, "tv", **how).image
        rows = {"blurred": y, "guess": guess, "known": known}
        scores = {name: aligned(image, clean) for name, image in rows.items()}
    else:
        scores = {name: before[name] for name in ("blurred", "guess", "known")}
    result = ut.reconstruct(y, blind, **how)
    found = result.theta["kernel"][0]
    scores["blind"] = aligned(result.image, clean)
    errors = {name: float(10 ** (-scores[name] / 10)) for name in ("blind", "known")}
    return {
        **scores,
        "ssim": ssim(result.image, moved_view(clean, result.image, 4), data_range=1.0),
        "error_ratio": errors["blind"] / errors["known"],
        "kernel_correlation": likeness(found.double().numpy(), kernel),
        "cpu_seconds": time.process_time() - began,
    }


def aligned(image: torch.Tensor, clean: torch.Tensor) -> float:
    """Compute the PSNR of an image in dB, against the clean one moved to it."""
    return psnr(image, moved_view(clean, image, 4), data_range=1.0)


def likeness(a: np.ndarray, b: np.ndarray) -> float:
    """Compute the largest normalised correlation of two kernels over all shifts."""
    spectra = [np.fft.fft2(k, (64, 64)) for k in (a, b)]
    correlation = np.fft.ifft2(spectra[0] * spectra[1].conj()).real
    return float(correlation.max() / np.linalg.norm(a) / np.linalg.norm(b))


if __name__ == "__main__":
    main()
