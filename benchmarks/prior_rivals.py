"""Samplers and plug-and-play with real weights on real images: `prior_rivals.py OUT.json CASE...`.

Cases: `dncnn` (public DnCNN on a photograph), `digits` (the DDPM of digits), `faces` and `mri`
(priors that `untrained pretrain denoiser` made). Rows are added to OUT; those that are there are
not repeated. The priors of the last two:

    untrained pretrain denoiser denoise FACES... --out faces.safetensors
    untrained pretrain denoiser mri SLICES... --out mri.safetensors
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import untrained as ut
from untrained.metrics import psnr
from untrained.physics import MRI, Blur, Inpaint, SuperRes
from untrained.physics.base import Physics
from untrained.priors import load_prior

warnings.simplefilter("ignore", ut.Note)


@dataclass(frozen=True)
class Case:
    """A measurement with its truth, and what is run on it."""

    name: str
    truth: Tensor
    physics: Physics
    sigma: float
    priors: dict[str, Path]
    methods: tuple[str, ...]
    classical: tuple[str, ...] = ("tv",)

    def measured(self) -> Tensor:
        """y with noise of seed 0."""
        y = self.physics.A(self.truth)
        noise = torch.randn(y.shape, generator=torch.Generator().manual_seed(0))
        mask = self.physics.sampling_mask(y)
        return y + self.sigma * (noise if mask is None else noise * mask)


def picture(path: Path, side: int, top: int = 0, left: int = 0) -> Tensor:
    """A crop of a photograph in [0, 1], `(1, C, side, side)`."""
    values = np.asarray(Image.open(path), np.float32) / 255
    values = values[None] if values.ndim == 2 else values[..., :3].transpose(2, 0, 1)
    return torch.tensor(values[None, :, top : top + side, left : left + side])


def sides(x: Tensor) -> tuple[int, int, int]:
    """The shape of one image."""
    channels, height, width = x.shape[1:]
    return channels, height, width


def gaussian(width: float, side: int = 9) -> Tensor:
    """A blur kernel."""
    t = torch.arange(side) - side // 2
    line = torch.exp(-0.5 * (t / width) ** 2)
    return line[:, None] * line


def scattered(share: float, *sides: int, seed: int = 0) -> Tensor:
    """1 where a pixel is measured."""
    return (torch.rand(sides, generator=torch.Generator().manual_seed(seed)) < share).float()


NOISE_FREE = ("ddnm", "dds", "mcg", "dps", "diffpir", "sitcom")


def dncnn(data: Path, priors: Path) -> Iterator[Case]:
    """A photograph, denoisers of KAIR and SCICO."""
    x = picture(data / "skimage/camera.png", 128, 60, 180)
    shape = sides(x)
    two = {
        "kair 25": data / "weights/kair_dncnn_25.pth",
        "scico 17N": data / "weights/scico_dncnn17N.mpk",
    }
    ranged = {"scico 17N": two["scico 17N"]}
    classical, noise = ("tv", "nlbayes"), 2.55 / 255
    blur = Blur(gaussian(1.6), shape)
    holes = Inpaint(scattered(0.3, 128, 128), shape)
    plain = ("pnp", "red")
    yield Case("blur", x, blur, noise, two, plain, classical)
    yield Case("blur", x, blur, noise, ranged, ("dds", "diffpir", "ddnm"), classical)
    yield Case("70 % missing", x, holes, 0.0, two, plain, classical)
    yield Case("70 % missing", x, holes, 0.0, ranged, ("dds", "diffpir", "ddnm"), classical)
    yield Case("x2", x, SuperRes(shape, 2), 0.0, two, plain, classical)
    yield Case("x2", x, SuperRes(shape, 2), 0.0, ranged, ("dds", "diffpir", "ddnm"), classical)


def digits(data: Path, priors: Path) -> Iterator[Case]:
    """Digits that the DDPM drew itself, with a hole; so the prior is exact, up to its training."""
    file = data / "weights/ddpm_mnist.pth"
    drawn = []
    for seed in range(3):  # nothing is measured but one black corner: what remains is the prior
        corner = torch.zeros(28, 28)
        corner[0, 0] = 1
        y = torch.zeros(1, 1, 28, 28)
        made = ut.reconstruct(
            y,
            Inpaint(corner, (1, 28, 28)),
            "ddnm",
            prior=load_prior(file),
            settings=["eta=1.0"],
            steps=200,
            seed=seed,
            progress=False,
            compare=False,
        )
        drawn.append(made.image.clamp(0, 1))
    mask = torch.ones(28, 28)
    mask[8:20, 8:20] = 0
    for i, x in enumerate(drawn):
        hole = Inpaint(mask, (1, 28, 28))
        yield Case(f"hole, digit {i}", x, hole, 0.0, {"mnist": file}, NOISE_FREE, ("tv",))


def faces(data: Path, priors: Path) -> Iterator[Case]:
    """Two faces that the prior has not seen, 64 x 64."""
    file = {"own, 14 faces": priors / "faces64.safetensors"}
    for name in ("00003", "00005"):
        x = picture(priors / f"faces64/{name}.png", 64)
        shape = sides(x)
        every = (*NOISE_FREE, "scoremri", "pnp", "red")
        holes = Inpaint(scattered(0.2, 64, 64), shape)
        yield Case(f"80 % missing, {name}", x, holes, 0.0, file, every)
        yield Case(f"x4, {name}", x, SuperRes(shape, 4), 0.02, file, every)


def mri(data: Path, priors: Path) -> Iterator[Case]:
    """Two slices that the prior has not seen, one coil, every fourth line and 8 in the middle."""
    file = {"own, 20 slices": priors / "mri.safetensors"}
    lines = torch.zeros(96)
    lines[::4] = 1
    lines[44:52] = 1
    for name in ("22", "27"):
        image = np.load(priors / f"mri/siat{name}.npy")
        image = image / np.quantile(np.abs(image), 0.999)
        x = torch.tensor(np.stack([image.real, image.imag])[None], dtype=torch.float32)
        scan = MRI(lines, torch.ones(1, 96, 96, dtype=torch.complex64))
        every = ("dds", "ddnm", "diffpir", "dps", "sitcom", "scoremri", "mcg", "pnp", "red")
        yield Case(f"4x, slice {name}", x, scan, 0.01, file, every, ("tv", "adjoint"))


def score(image: Tensor, case: Case) -> float:
    """PSNR; of complex images that of the magnitudes."""
    x, truth = image[0], case.truth[0]
    if case.physics.complex_image or case.physics.task == "mri":
        x, truth = (one.square().sum(0, keepdim=True).sqrt() for one in (x, truth))
    return psnr(x, truth, data_range=1.0 if case.physics.unit_range else float(truth.max()))


def run(case: Case, method: str, prior: Path | None, preset: str) -> dict[str, Any]:
    """Measure one method on one case, as a row."""
    began = time.perf_counter()
    made = ut.reconstruct(
        case.measured(),
        case.physics,
        method,
        preset=preset,
        sigma=case.sigma or None,
        prior=None if prior is None else load_prior(prior),
        progress=False,
        compare=False,
    )
    seconds = time.perf_counter() - began
    return {"psnr": round(score(made.image, case), 2), "seconds": round(seconds, 1)}


def main() -> None:
    """Run what is asked for, and is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("cases", nargs="+", choices=("dncnn", "digits", "faces", "mri"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--priors", type=Path, required=True)
    parser.add_argument("--preset", default="fast")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    rows = json.loads(asked.out.read_text(encoding="utf-8")) if asked.out.exists() else []
    for group in asked.cases:
        for case in globals()[group](asked.data, asked.priors):
            jobs: list[tuple[str, str, Path | None]] = [(m, "", None) for m in case.classical]
            jobs += [(m, name, file) for name, file in case.priors.items() for m in case.methods]
            for method, name, file in jobs:
                row = {"group": group, "case": case.name, "method": method, "prior": name}
                row |= {"preset": asked.preset}
                if any(all(one[k] == v for k, v in row.items()) for one in rows):
                    continue
                rows.append(row | run(case, method, file, asked.preset))
                asked.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
                print(rows[-1], flush=True)


if __name__ == "__main__":
    main()
