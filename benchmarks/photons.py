"""Photon counts: classical answers and `auto`, the noise taken for what it is or for Gaussian.

    python benchmarks/photons.py [--size 64] [--answers mlem,nlbayes] PICTURE...

Prints a table in Markdown: mean PSNR in dB over the pictures, each scaled to `--size` pixels a
side. Denoising at 30 and 5 photons a white pixel (the latter with a read-out noise of 1 photon),
deblurring of a Gaussian of 1.5 pixels at 300 and 50.
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
import torch
from torch import Tensor

import untrained as ut
from untrained.classical import CLASSICAL
from untrained.data.images import read_image
from untrained.data.phantoms import gaussian_kernel
from untrained.data.simulate.noise import add_photon_noise
from untrained.metrics import psnr
from untrained.physics import Blur, Denoise, Photons
from untrained.physics.base import Physics

CASES = (
    ("denoise", 30.0, 0.0),
    ("denoise", 5.0, 1.0),
    ("deblur", 300.0, 0.0),
    ("deblur", 50.0, 1.0),
)
ANSWERS = {"denoise": ("tv", "nlbayes", "auto"), "deblur": ("mlem", "tv", "nlbayes", "auto")}


def picture(path: str, size: int) -> Tensor:
    """Read a picture as grey `(1, 1, size, size)`."""
    from skimage.transform import resize

    pixels = read_image(path, "clean image")[0].mean(1)[0].numpy()
    side = min(pixels.shape)
    small = resize(pixels[:side, :side], (size, size), anti_aliasing=True)
    return torch.from_numpy(small.astype(np.float32))[None, None]


def answer(name: str, y: Tensor, physics: Physics) -> Tensor:
    """Reconstruct by one method, cut to [0, 1]."""
    if name == "auto":
        return ut.reconstruct(y, physics, compare=False, progress=False).image.clamp(0, 1)
    problem = ut.Problem(y, physics)
    return problem.to_units(CLASSICAL[name](problem)).clamp(0, 1)


def row(
    task: str, photons: float, read: float, pictures: list[Tensor], answers: set[str]
) -> dict[str, float]:
    """Average PSNR over the pictures, for each answer with Poisson's noise and with Gauss's."""
    found: dict[str, list[float]] = {}
    for seed, x in enumerate(pictures):
        shape = (1, *x.shape[-2:])
        plain = Denoise(shape) if task == "denoise" else Blur(gaussian_kernel(1.5), shape)
        y = add_photon_noise(plain.A(x), photons, read, seed)
        found.setdefault("measured", []).append(psnr(y.clamp(0, 1), x, data_range=1.0))
        for name in [one for one in ANSWERS[task] if one in answers]:
            for kind, physics in (("Poisson", Photons(plain, photons, read)), ("Gauss", plain)):
                if (name, kind) == ("mlem", "Gauss"):
                    continue
                image = answer(name, y, physics)
                found.setdefault(f"{name}, {kind}", []).append(psnr(image, x, data_range=1.0))
    return {name: float(np.mean(values)) for name, values in found.items()}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", nargs="+")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--answers", default="mlem,tv,nlbayes,auto")
    given = parser.parse_args()
    warnings.simplefilter("ignore", ut.Note)
    pictures = [picture(path, given.size) for path in given.pictures]
    for task, photons, read in CASES:
        found = row(task, photons, read, pictures, set(given.answers.split(",")))
        print(f"\n{task}, {photons:g} photons, read-out noise {read:g}\n")
        print("| answer | PSNR |\n|---|---|")
        for name, value in found.items():
            print(f"| {name} | {value:.2f} |", flush=True)


if __name__ == "__main__":
    main()
