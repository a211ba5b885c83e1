"""What each paper says its method is good for, on one real image, at sizes for two cores.

    python benchmarks/ideas.py DATA OUT [--only NAME]

runs the pairs that a claim compares, on one thread, and writes OUT/CLAIM.METHOD.json with PSNR of
what is returned, of the last raw image, and the best of all (which needs the truth). What is
there is not run again. `python benchmarks/ideas.py table OUT` prints them. Self-Guided DIP and
aSeqDIP against DIP on MRI and CT: grids/aseqdip-fig4.toml.
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
from untrained.core.recipe import Recipe
from untrained.core.rule import Last, Never
from untrained.data.simulate.noise import add_noise
from untrained.metrics import psnr
from untrained.physics import Denoise
from untrained.rules.watch import Reference
from untrained.run.plan import plan
from untrained.solver.procedure import solve_recipe

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
}


def job(data: Path, claim: str, name: str) -> dict:
    """One row."""
    make, recipes = CLAIMS[claim]
    problem, x = make(data)
    began = time.process_time()
    found = solve_recipe(recipes[name], problem, watch=[Reference(x, 1.0)])
    history = {k: [float(v) for v in found.history[k]] for k in ("psnr", "psnr_output")}
    return {
        "claim": claim,
        "method": name,
        "returned": psnr(found.image, x, data_range=1.0),
        "last raw": history["psnr"][-1],
        "best": max(max(history["psnr"]), max(history["psnr_output"])),
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
