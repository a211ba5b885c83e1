"""What each paper says its method is good for, on one real image, at sizes for two cores.

    python benchmarks/ideas.py DATA OUT [--only NAME]

runs the pairs that a claim compares, on one thread, and writes OUT/CLAIM.METHOD.json with PSNR of
what is returned, of the last raw image, and the best of all (which needs the truth). What is
there is not run again. `python benchmarks/ideas.py table OUT` prints them.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import untrained as ut
from untrained.core.engine import Engine
from untrained.core.recipe import Recipe
from untrained.core.rule import Last, Never
from untrained.core.solve import solve_recipe
from untrained.data.noise import add_noise
from untrained.maths import to_channels
from untrained.metrics import psnr
from untrained.physics import MRI, Denoise
from untrained.physics.masks import random_mask_columns
from untrained.plan import plan
from untrained.rules.watch import Reference

SIDE = 96


def photograph(data: Path) -> Tensor:
    """A crop of CBSD68 picture 0003, `(1, 3, SIDE, SIDE)`."""
    pixels = np.asarray(Image.open(next((data / "cbsd68").rglob("*0003.png"))), dtype=np.float32)
    crop = pixels[40 : 40 + SIDE, 30 : 30 + SIDE] / 255
    return torch.from_numpy(crop).permute(2, 0, 1)[None].contiguous()


def noisy(kind: str, level: float) -> Callable[[Path], tuple[ut.Problem, Tensor]]:
    def make(data: Path) -> tuple[ut.Problem, Tensor]:
        x = photograph(data)
        sigma = level / 255 if kind == "gaussian" else None
        return ut.Problem(add_noise(x, kind, level, 0), Denoise(tuple(x.shape[1:])), sigma=sigma), x

    return make


def brain(data: Path) -> tuple[ut.Problem, Tensor]:
    """A complex brain slice binned to 128x128, four simulated coils, 4x random columns."""
    with np.load(data / "mri_complex_images" / "siat_brain_t2_31x256.npz") as file:
        volume = file[file.files[0]]
    image = torch.from_numpy(np.ascontiguousarray(volume[len(volume) // 2]))
    k = torch.fft.fftshift(torch.fft.fft2(torch.fft.ifftshift(image)))
    k = k[64:192, 64:192]
    small = torch.fft.fftshift(torch.fft.ifft2(torch.fft.ifftshift(k)))
    small = (small / small.abs().max()).to(torch.complex64)
    x = to_channels(small[None])
    rows, columns = torch.meshgrid(
        torch.linspace(-1, 1, 128), torch.linspace(-1, 1, 128), indexing="ij"
    )
    centres = [(-1.0, -1.0), (-1.0, 1.0), (1.0, -1.0), (1.0, 1.0)]
    size = torch.stack([torch.exp(-((rows - a) ** 2 + (columns - b) ** 2) / 2) for a, b in centres])
    maps = (size / size.square().sum(0).sqrt()).to(torch.complex64)
    physics = MRI(random_mask_columns(128, 4, 0.08, seed=0), maps)
    clean = physics.A(x)
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    return ut.Problem(clean + 0.005 * noise, physics), x


def recipe(task: str, method: str, steps: int = 0, *settings: str) -> Recipe:
    """The fast recipe to its full budget, without a stop rule."""
    found = plan(task, method=method, steps=steps, settings=settings).recipe
    assert found is not None
    return replace(found, stop=Never()) if method != "rethinking" else found


CLAIMS: dict[str, tuple[Callable[[Path], tuple[ut.Problem, Tensor]], dict[str, Recipe]]] = {
    "impulse50": (
        noisy("impulse", 0.5),
        {"dop": recipe("denoise", "dop", 6000), "dip": recipe("denoise", "dip", 1500)},
    ),
    "overfit": (
        noisy("gaussian", 25.0),
        {
            "dip": recipe("denoise", "dip", 2000, "engine.schedule=constant", "engine.lr=0.01"),
            "deepdecoder": recipe("denoise", "deepdecoder", 2000, "engine.schedule=constant"),
            "oes": recipe("denoise", "oes"),
            "drp": recipe("denoise", "drp"),
            "rethinking": recipe("denoise", "rethinking"),
            "sgld": recipe("denoise", "sgld", 2000),
            "sgld-last": replace(recipe("denoise", "sgld", 2000), output=Last()),
        },
    ),
    "guided": (
        brain,
        {
            "selfguided": recipe("mri", "selfguided", 600),
            "dip": recipe("mri", "dip", 1800),
            "dip-adam": replace(
                recipe("mri", "dip", 1800), engine=Engine("adam", lr=3e-3, precision="fp32")
            ),
            "aseqdip": recipe("mri", "aseqdip", 1800),
        },
    ),
}


def job(data: Path, claim: str, name: str) -> dict:
    """One row."""
    make, recipes = CLAIMS[claim]
    problem, x = make(data)
    full = 1.0 if claim != "guided" else float(torch.linalg.vector_norm(x, dim=1).max())
    began = time.process_time()
    found = solve_recipe(recipes[name], problem, watch=[Reference(x, full)])
    history = found.history
    return {
        "claim": claim,
        "method": name,
        "returned": psnr(found.image, x, data_range=full),
        "last raw": history["psnr"][-1],
        "best": max(max(history["psnr"]), max(history["psnr_output"])),  # type: ignore[type-var]
        "best step": int(np.argmax(history["psnr_output"])) + 1,
        "steps": found.steps,
        "stop": found.stop[0].rule,
        "cpu seconds": time.process_time() - began,
        "curve": history["psnr"][:: max(1, found.steps // 50)],
    }


def main(arguments: list[str]) -> None:
    if arguments[0] == "table":
        for path in sorted(Path(arguments[1]).glob("*.json")):
            r = json.loads(path.read_text())
            scores = " ".join(f"{k} {r[k]:6.2f}" for k in ("returned", "last raw", "best"))
            print(f"{r['claim']:10} {r['method']:12} {scores} {r['steps']:5} steps", end=" ")
            print(f"{r['cpu seconds']:5.0f} s")
        return
    data, out = Path(arguments[0]), Path(arguments[1])
    out.mkdir(parents=True, exist_ok=True)
    only = arguments[3] if len(arguments) > 3 else ""
    torch.set_num_threads(1)
    for claim, (_, recipes) in CLAIMS.items():
        for name in recipes:
            path = out / f"{claim}.{name}.json"
            if only in path.name and not path.exists():
                path.write_text(json.dumps(job(data, claim, name), indent=1) + "\n")
                print(path.name, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
