"""How many clean images a prior needs before it beats a network that has seen none.

    python benchmarks/number_of_images.py train DATA OUT [--only faces mri crops] [--counts 1 14]
    python benchmarks/number_of_images.py run DATA OUT [--only faces mri crops] [--counts 0 1 14]
    python benchmarks/number_of_images.py table OUT

`run` (and `train`, which ends there) trains, for every number M of images, a denoiser (a diffusion
prior) and a variational network
(the supervised arm) on the same M images, and reconstructs the same test measurements with both,
with every classical method, and with `auto`. It goes on where it was interrupted: weights and rows
that are in OUT are not made again. DATA is the folder of the catalogue. One thread, seed 0.

faces: 32x32, seven of ten pixels missing, sigma 0.02; tested on six others.
mri: SIAT slices of 48x48, complex, one coil, a third of the columns, no noise; six others.
crops: of CBSD photographs, 32x32, as faces; tested on crops of six others.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import untrained as ut
from untrained.classical import CLASSICAL
from untrained.errors import UserError
from untrained.maths import magnitude
from untrained.metrics import psnr, ssim
from untrained.physics import MRI, Inpaint
from untrained.pretrain import clean_problem, train
from untrained.tasks import find_task

COUNTS = {"faces": (14, 1, 4, 2, 8), "mri": (25, 1, 4, 16), "crops": (40, 4, 16, 1)}
"""Numbers of images, in the order in which they are run."""
STEPS = {"denoiser": 400, "varnet": 200}
SETTINGS = {
    "denoiser": ("batch=4", "crop=32", "net.widths=16,32,48", "net.features=32", "average=0.98"),
    "varnet": ("net.widths=12,24", "average=0.95"),
}
SAMPLERS = ("dds", "diffpir", "pnp")
TESTED = 6  # images of each set


@dataclass(frozen=True)
class Set:
    """Images to learn from and to test on, `(1, C, H, W)` each, and how they are measured."""

    task: str
    learn: list[Tensor]
    test: list[Tensor]

    def measure(self, image: Tensor, seed: int) -> tuple[Tensor, Any, float | None]:
        """Measure an image with a mask (and noise) of its own: y, operator, noise level."""
        draw = torch.Generator().manual_seed(seed)
        sides = image.shape[2:]
        if self.task == "mri":
            columns = torch.rand(sides[1], generator=draw) < 0.22
            columns[sides[1] // 2 - 3 : sides[1] // 2 + 3] = True
            physics = MRI(columns, torch.ones(1, *sides, dtype=torch.complex64))
            return physics.A(image), physics, None
        mask = (torch.rand(sides, generator=draw) < 0.3).float()
        inpaint = Inpaint(mask, tuple(image.shape[1:]))
        noise = 0.02 * torch.randn(image.shape, generator=draw)
        return inpaint.A(image + noise), inpaint, 0.02


def faces(data: Path) -> Set:
    """Read the faces; six are for testing."""
    kept = {f"0000{i}" for i in range(3, 9)}
    files = sorted((data / "ffhq256").glob("*.png"))
    both = [[f for f in files if (f.stem[:5] in kept) == test] for test in (False, True)]
    return Set("inpaint", *([_colour(f, 32) for f in some] for some in both))


def _colour(file: Path, side: int) -> Tensor:
    with Image.open(file) as opened:
        small = opened.convert("RGB").resize((side, side), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.asarray(small) / np.float32(255)).permute(2, 0, 1)[None]


def crops(data: Path) -> Set:
    """Cut the middle out of CBSD photographs of a quarter of their size; the last six test."""
    found = []
    for file in sorted((data / "cbsd68").glob("*.png")):
        with Image.open(file) as opened:
            whole = opened.convert("RGB")
        small = whole.resize((whole.width // 4, whole.height // 4), Image.Resampling.LANCZOS)
        left, top = small.width // 2 - 16, small.height // 2 - 16
        values = np.asarray(small.crop((left, top, left + 32, top + 32))) / np.float32(255)
        found.append(torch.from_numpy(values).permute(2, 0, 1)[None])
    return Set("inpaint", found[:-TESTED][:40], found[-TESTED:])


def mri(data: Path) -> Set:
    """Read the complex slices, at 48x48 (the middle of k-space); every fifth is for testing."""
    with np.load(data / "mri_complex_images" / "siat_brain_t2_31x256.npz") as file:
        images = torch.from_numpy(file["images"])
    k = torch.fft.fftshift(torch.fft.fft2(torch.fft.ifftshift(images, dim=(1, 2))), dim=(1, 2))
    k = k[:, 104:152, 104:152]
    small = torch.fft.fftshift(torch.fft.ifft2(torch.fft.ifftshift(k, dim=(1, 2))), dim=(1, 2))
    channels = torch.view_as_real(small).permute(0, 3, 1, 2).float()
    channels = channels / magnitude(channels).flatten(1).amax(1).reshape(-1, 1, 1, 1)
    test = (2, 7, 12, 17, 22, 27)
    each = [channels[i : i + 1] for i in range(len(channels))]
    return Set("mri", [x for i, x in enumerate(each) if i not in test], [each[i] for i in test])


SETS = {"faces": faces, "mri": mri, "crops": crops}


def learned(folder: Path, some: Set, arm: str, count: int) -> tuple[Path, float]:
    """Train one arm on the first `count` images, or find what was trained: file, CPU seconds."""
    out = folder / f"{arm}-{count}.safetensors"
    if not out.exists():
        unit = find_task(some.task).unit_range
        images, truths = some.learn[:count], []
        if arm == "denoiser":
            problems = [clean_problem(image, unit) for image in images]
        else:
            measured = [some.measure(image, 100 + i) for i, image in enumerate(images)]
            problems = [ut.Problem(y, physics, sigma=sigma) for y, physics, sigma in measured]
            truths = images
        began = time.process_time()
        weights, fit = train(
            arm,
            problems,
            task=some.task,
            steps=STEPS[arm],
            settings=SETTINGS[arm],
            references=truths,
            device="cpu",
            run_dir=folder / f"{arm}-{count}-training",
        )
        seconds = max(fit.cpu_seconds, time.process_time() - began)
        (folder / f"{arm}-{count}.json").write_text(json.dumps({"cpu_seconds": seconds}))
        weights.save(out)
    return out, float(json.loads(out.with_suffix(".json").read_text())["cpu_seconds"])


def jobs(some: Set, counts: tuple[int, ...]) -> Iterator[tuple[str, str, int]]:
    """List (label, method, number of images); what needs no images first."""
    for name in ("auto", *CLASSICAL):
        yield name, name, 0
    for count in counts:
        for name in SAMPLERS:
            yield f"{name}, {count}", name, count
        yield f"varnet, {count}", "varnet", count


def run(data: Path, out: Path, only: list[str], counts: list[int]) -> None:
    """Do all jobs that OUT has no row of; of 0 images are `auto` and the classical methods."""
    for name in only:
        some, folder = SETS[name](data), out / name
        folder.mkdir(parents=True, exist_ok=True)
        rows = out / f"{name}.jsonl"
        done = {(r["label"], r["image"]) for r in read(rows)}
        for label, method, count in jobs(some, COUNTS[name]):
            if counts and count not in counts:
                continue
            for i, image in enumerate(some.test):
                if (label, i) not in done:
                    row = one(folder, some, method, count, image, i)
                    if row is None:  # a classical method that does not do the task
                        break
                    with rows.open("a") as stream:
                        stream.write(json.dumps({"label": label, "image": i, **row}) + "\n")
            print(name, label, flush=True)


def train_all(data: Path, out: Path, only: list[str], counts: list[int]) -> None:
    """Train both arms for every number of images."""
    for name in only:
        folder = out / name
        folder.mkdir(parents=True, exist_ok=True)
        for count in COUNTS[name]:
            for arm in STEPS if not counts or count in counts else ():
                learned(folder, SETS[name](data), arm, count)
                print(name, arm, count, flush=True)


def one(
    folder: Path, some: Set, method: str, count: int, image: Tensor, i: int
) -> dict[str, Any] | None:
    """Reconstruct one test measurement."""
    prior, training = None, 0.0
    if count:
        arm = "varnet" if method == "varnet" else "denoiser"
        prior, training = learned(folder, some, arm, count)
    y, physics, sigma = some.measure(image, i)
    began = time.process_time()
    try:
        result = ut.reconstruct(
            y,
            physics,
            method,
            sigma=sigma,
            prior=prior,
            progress=False,
            compare=False,
            device="cpu",
        )
    except UserError:
        if method in CLASSICAL:
            return None
        raise
    x, truth = result.image, image
    if some.task == "mri":
        x, truth = magnitude(x), magnitude(truth)
    top = 1.0 if find_task(some.task).unit_range else float(truth.max())
    return {
        "images": count,
        "psnr": round(float(psnr(x, truth, data_range=top)), 3),
        "ssim": round(float(ssim(x, truth, data_range=top) or 0), 4),
        "cpu_seconds": round(time.process_time() - began, 1),
        "training_cpu_seconds": round(training, 1),
    }


def read(path: Path) -> list[dict[str, Any]]:
    """Read rows; none where there is no file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def table(out: Path) -> str:
    """Draw the means over the test images as Markdown tables, one a set."""
    parts = []
    for path in sorted(out.glob("*.jsonl")):
        groups: dict[str, list[dict[str, Any]]] = {}
        for row in read(path):
            groups.setdefault(row["label"], []).append(row)
        auto = {r["image"]: r["psnr"] for r in groups.get("auto", [])}
        lines = [
            f"### {path.stem}\n",
            "| run | images | PSNR | SSIM | against auto (better on) | CPU s | training CPU s |",
            "|---|---|---|---|---|---|---|",
        ]
        for label, rows in groups.items():
            apart = [r["psnr"] - auto[r["image"]] for r in rows if r["image"] in auto]
            won = f"{sum(a > 0 for a in apart)} of {len(apart)}"
            mean = {k: float(np.mean([r[k] for r in rows])) for k in rows[0] if k != "label"}
            lines.append(
                f"| {label} | {rows[0]['images']} | {mean['psnr']:.2f} | {mean['ssim']:.3f} | "
                f"{np.mean(apart) if apart else float('nan'):+.2f} ({won}) | "
                f"{mean['cpu_seconds']:.0f} | {mean['training_cpu_seconds']:.0f} |"
            )
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("verb", choices=("train", "run", "table"))
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--only", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--counts", nargs="+", type=int, default=[])
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.verb != "table":
        do = run if given.verb == "run" else train_all
        do(given.folders[0], given.folders[1], given.only, given.counts)
    else:
        print(table(given.folders[0]))
