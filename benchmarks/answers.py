"""Every answer to an image of 256x256 points, side by side: the classical ones, ours, `aseqdip`.

    python benchmarks/answers.py run DATA OUT [--only PATTERN] [--answers tv,lowrank,aseqdip-0]
    python benchmarks/answers.py table OUT

Each image is computed from all measurements as a user would, on one thread, and stored with its
PSNR and CPU time as OUT/CASE.ANSWER.npy and .json; what is there is not run again. `aseqdip-K` and
`auto-K` are the presets `fast` with seed K, `best-K` is `auto` in `best`. The scans and the spoilt
pictures are simulated from clean images, so that the reference is the truth; LEFT_OUT names those
that nothing was tuned on.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from decisions import CLASSICAL, LEFT_OUT, OURS
from lambda_scale import drawn, undersampled
from PIL import Image
from scans import KNEES, T2, images, measured_kspace, middle
from torch import Tensor
from torch.nn import functional

import untrained as ut
from untrained.bench.work import write_json
from untrained.data.formats.npy import write_npy
from untrained.data.phantoms import birdcage_maps, gaussian_kernel, shepp_logan
from untrained.maths import fft2c, ifft2c, magnitude
from untrained.metrics import psnr
from untrained.physics import CT, Blur, Denoise, Inpaint, SuperRes, espirit_maps, random_mask

SIDE = 256
ANSWERS = (*CLASSICAL, "auto-0", "best-0", "aseqdip-0", "aseqdip-1", "aseqdip-2")
PICTURES = {
    "bird": "set5/bird_GT.png",
    "butterfly": "set5/butterfly_GT.png",
    "monarch": "set14/monarch.png",
    "zebra": "set14/zebra.png",
    "house": "set12/02.png",
    "lenna": "set14/lenna.png",
    "barbara": "set14/barbara.png",
    "starfish": "set3c/starfish.png",
}
ONLY_FOR = {"fbp": ("ct",), "cgsense": ("mri",), "lowrank": ("mri", "ct", "inpaint")}
SPOILT = ("denoise", "inpaint", "superres", "deblur")
Case = tuple[Tensor, Any, Tensor]


def parallel_ct(image: np.ndarray, views: int, noise: float = 0.01) -> Case:
    """Project an image along parallel views; noise relative to the mean line integral."""
    cut = middle(middle(image.astype(np.float32), 0, SIDE), 1, SIDE)
    x = torch.from_numpy(np.ascontiguousarray(cut / cut.max()))[None, None]
    physics = CT((x.shape[-2], x.shape[-1]), np.arange(views) * 180 / views, 368)
    y = physics.A(x)
    return y + noise * y.mean() * drawn(y, 1), physics, x


def abdomen(data: Path) -> np.ndarray:
    """The magnitude of a measured radial scan, reduced to SIDE points.

    A spoke of k-space is the Fourier transform of a projection, so that FBP makes the image.
    """
    file = data / "mri_noncartesian" / "abdomen_radial_1ch_600spokes.npz"
    spokes = np.load(file, allow_pickle=False)["kspace"]
    views, detectors = spokes.shape
    lines = np.fft.ifft(np.fft.ifftshift(spokes, axes=1), axis=1)
    lines = np.fft.fftshift(lines, axes=1).T.astype(np.complex64)
    turn = 111.246117975 * np.arange(views) % 360
    scanner = CT((detectors, detectors), turn, detectors)
    parts = torch.from_numpy(np.ascontiguousarray(np.stack([lines.real, lines.imag])))[:, None]
    whole = magnitude(scanner.fbp(parts).transpose(0, 1))
    small = functional.interpolate(whole, (SIDE, SIDE), mode="bicubic", antialias=True)
    return small[0, 0].clamp_min(0).numpy()


def coils_mri(image: np.ndarray, factor: float, seed: int, noise: float = 0.005) -> Case:
    """Show a complex image to eight simulated coils; noise relative to its largest value."""
    x = torch.from_numpy(np.ascontiguousarray(image / np.abs(image).max())).to(torch.complex64)
    maps = torch.from_numpy(birdcage_maps(8, (SIDE, SIDE))).to(torch.complex64)
    full = fft2c(maps * x)
    return undersampled(full + noise * drawn(full, 2), full, maps, factor, seed)


def measured(kspace: np.ndarray, factor: float, seed: int) -> Case:
    """Keep columns of a measured scan `(coils, H, W)`; its noise is in the reference too."""
    full = torch.from_numpy(kspace)
    full = (full / ifft2c(full).abs().max()).to(torch.complex64)
    return undersampled(full, full, espirit_maps(full), factor, seed)


def photograph(file: Path) -> Tensor:
    """The middle of a picture, `(1, C, SIDE, SIDE)` in [0, 1]."""
    with Image.open(file) as found:
        pixels = np.asarray(found if found.mode == "L" else found.convert("RGB"))
    cut = middle(middle(pixels, 0, SIDE), 1, SIDE).reshape(SIDE, SIDE, -1)
    return torch.from_numpy(cut.transpose(2, 0, 1).astype(np.float32) / 255)[None]


def spoilt(task: str, x: Tensor) -> Case:
    """Noise of 25; half the pixels; x4 without noise; a Gaussian blur of 2 pixels, noise of 2."""
    shape = (x.shape[1], x.shape[2], x.shape[3])
    if task == "inpaint":
        physics: Any = Inpaint(random_mask(shape[1:], 0.5, 0), shape)
    elif task == "superres":
        physics = SuperRes(shape, 4)
    else:
        physics = Denoise(shape) if task == "denoise" else Blur(gaussian_kernel(2.0), shape)
    y = physics.A(x)
    return y + {"denoise": 25, "deblur": 2}.get(task, 0) / 255 * drawn(y, 1), physics, x


def spoilt_picture(task: str, file: Path) -> Case:
    """Spoil a picture."""
    return spoilt(task, photograph(file))


def spoilt_phantom(task: str) -> Case:
    """Spoil the Shepp-Logan phantom."""
    x = torch.from_numpy(shepp_logan(SIDE).astype(np.float32))[None, None]
    return spoilt(task, x.clamp(0, 1))


def slice_mri(data: Path, index: int, factor: float) -> Case:
    """Show a slice of the T2 scan to simulated coils."""
    return coils_mri(images(data, T2)[index], factor, 3)


def mprage(data: Path, factor: float) -> Case:
    """Keep columns of the measured mprage scan."""
    return measured(measured_kspace(data, "mprage"), factor, 3)


def cases(data: Path) -> dict[str, Callable[[], Case]]:
    """List the cases by name."""

    def brain(k: int) -> np.ndarray:
        return images(data, T2)[k]

    made: dict[str, Callable[[], Case]] = {
        "ct-abdomen-30": lambda: parallel_ct(abdomen(data), 30),
        "ct-brain-4-30": lambda: parallel_ct(np.abs(brain(4)), 30),
        "ct-knee-0-30": lambda: parallel_ct(images(data, KNEES)[0], 30),
        "ct-brain-12-30": lambda: parallel_ct(np.abs(brain(12)), 30),
        "ct-knee-7-30": lambda: parallel_ct(images(data, KNEES)[7], 30),
        "ct-brain-24-30": lambda: parallel_ct(np.abs(brain(24)), 30),
        "ct-knee-13-30": lambda: parallel_ct(images(data, KNEES)[13], 30),
        "ct-shepp-30": lambda: parallel_ct(shepp_logan(SIDE), 30),
        "ct-brain-4-60": lambda: parallel_ct(np.abs(brain(4)), 60),
        "ct-knee-0-20": lambda: parallel_ct(images(data, KNEES)[0], 20),
    }
    for factor in (4, 8):
        for k in (9, 20):
            made[f"mri-t2-{k}-{factor}x"] = partial(slice_mri, data, k, factor)
        made[f"mri-mprage-{factor}x"] = partial(mprage, data, factor)
    for task in SPOILT:
        for name, file in PICTURES.items():
            made[f"{task}-{name}"] = partial(spoilt_picture, task, data / "classic_sets" / file)
        made[f"{task}-shepp"] = partial(spoilt_phantom, task)
    return made


def solved(case: Case, answer: str) -> tuple[Tensor, dict[str, Any]]:
    """The image in the units of the truth, and what the run says of itself."""
    y, physics, _ = case
    method, _, seed = answer.partition("-")
    result = ut.reconstruct(
        y,
        physics,
        method="auto" if method == "best" else method,
        preset="best" if method == "best" else "fast",
        seed=int(seed or 0),
        device="cpu",
        progress=False,
        compare=False,
    )
    return result.image, {"steps": result.steps, "notes": [str(note) for note in result.notes]}


def score(image: Tensor, truth: Tensor) -> float:
    """PSNR of magnitudes, relative to the largest value of the truth."""
    if truth.shape[1] == 2:
        image, truth = magnitude(image), magnitude(truth)
    return float(psnr(image, truth, data_range=float(truth.max())))


def run(
    made: dict[str, Callable[[], Case]],
    out: Path,
    only: str = "*",
    answers: Sequence[str] = ANSWERS,
) -> None:
    """Compute what is missing; answer by answer, so that an interrupted study still compares."""
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    for answer in answers:
        for name, make in made.items():
            file = out / f"{name}.{answer}.json"
            if file.exists() or not fnmatch.fnmatch(name, only):
                continue
            task = name.partition("-")[0]
            if task not in ONLY_FOR.get(answer, (task,)):
                continue
            case = make()
            began = time.process_time()
            image, row = solved(case, answer)
            row |= {"cpu": time.process_time() - began, "psnr": score(image, case[2])}
            write_npy(out / f"{name}.{answer}.npy", image.numpy())
            write_json(file, row)
            print(f"{name} {answer} {row['psnr']:.2f} {row['cpu']:.0f} s", flush=True)


def table(out: Path) -> None:
    """Print the PSNR of every answer, and the lead of `auto` over the best classical one."""
    rows = {tuple(f.stem.rsplit(".", 1)): json.loads(f.read_text()) for f in out.glob("*.json")}
    shown = [a for a in ANSWERS if any(a == answer for _, answer in rows)]
    print("| case | " + " | ".join([*shown, "over the best", "CPU s"]) + " |")
    print("|---" * (len(shown) + 3) + "|")
    leads: dict[str, list[float]] = {}
    for case in sorted({name for name, _ in rows}):
        found = {a: rows[case, a]["psnr"] for a in shown if (case, a) in rows}
        classical = [found[a] for a in CLASSICAL if a in found]
        mark = " *" if any(fnmatch.fnmatch(case, pattern) for pattern in LEFT_OUT) else ""
        cells = [f"{found[a]:.2f}" if a in found else "" for a in shown]
        if OURS in found and classical:
            lead = found[OURS] - max(classical)
            cells += [f"{lead:+.2f}", f"{rows[case, OURS]['cpu']:.0f}"]
            kind = "flat pieces" if "shepp" in case else case.partition("-")[0]
            leads.setdefault(kind, []).append(lead)
        print(f"| {case}{mark} | " + " | ".join(cells) + " |")
    for kind, each in leads.items():
        print(f"{kind}: {sum(each) / len(each):+.2f} ({len(each)}; worst {min(each):+.2f})")


def command(
    description: str | None,
    listed: Callable[[Path], dict[str, Callable[[], Case]]],
    usual: Sequence[str] = ANSWERS,
) -> None:
    """Run the command line of a study: `run DATA OUT` or `table OUT`.

    Args:
        description: of the study, for `--help`.
        listed: gives its cases by name, of the folder of data.
        usual: the answers, where `--answers` does not name others.
    """
    parser = argparse.ArgumentParser(description=description)
    commands = parser.add_subparsers(dest="command", required=True)
    doing = commands.add_parser("run")
    doing.add_argument("data", type=Path)
    doing.add_argument("out", type=Path)
    doing.add_argument("--only", default="*")
    doing.add_argument("--answers", default=",".join(usual))
    shown = commands.add_parser("table")
    shown.add_argument("out", type=Path)
    given = parser.parse_args()
    if given.command == "run":
        run(listed(given.data), given.out, given.only, given.answers.split(","))
    else:
        table(given.out)


if __name__ == "__main__":
    command(__doc__, cases)
