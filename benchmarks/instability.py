"""What can go wrong with a trained reconstructor, and with an untrained one, on the same scans.

    python benchmarks/instability.py run DATA OUT [--side 64]
    python benchmarks/instability.py table OUT

MRI slices (one coil, 28 % of the columns, six central ones always) of SIDE x SIDE. `varnet` and the
denoiser behind `pnp` are trained on 25 brain slices; `auto` and the classical methods see nothing.
The tests, as in Antun et al. (PNAS 2020) and Darestani et al. (ICML 2021):

- brain: other slices of the training's kind. The other tests change one thing of it.
- knee: another anatomy. - fewer, more: 20 % and 50 % of the columns.
- detail: a cross of 5 x 5 points and 0.3 of the image's maximum is in the body; `contrast` is how
  much of it the image shows: <x(with) - x(without), d> / <d, d>.
- random: noise of 3 % of the measurements' norm. - worst: as large, found by gradient ascent so
  that the image of `varnet` changes most. `change` is that of the image, relative to its norm.

One thread, seed 0; rows that are in OUT are not done again.
"""

from __future__ import annotations

import argparse
import json
import os
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from scans import KNEES, T2, images, low_resolution
from torch import Tensor

import untrained as ut
from untrained.maths import magnitude
from untrained.metrics import psnr
from untrained.physics import MRI
from untrained.pretrain import clean_problem, train
from untrained.priors import Reconstructor, load_prior

TESTED = (2, 9, 16, 23)  # slices of the brain; knees 3, 8, 13, 18
KNEE = (3, 8, 13, 18)
SAMPLED, FEWER, MORE = 0.28, 0.2, 0.5
DISTURBED = 0.03  # of the measurements' norm
ASCENT = 25
ANSWERS = ("varnet", "pnp", "auto", "tv", "lowrank", "nlbayes")
TRAINING = {"denoiser": 600, "varnet": 300}
SETTINGS = {
    "denoiser": ("batch=4", "crop=48", "net.widths=16,32,48", "net.features=32", "average=0.98"),
    "varnet": ("net.widths=12,24", "average=0.95"),
}


@dataclass(frozen=True)
class Scan:
    """Measurements y of `truth` `(1, 2, H, W)`, whose largest magnitude is 1."""

    y: Tensor
    physics: MRI
    truth: Tensor


def channels(image: np.ndarray, side: int) -> Tensor:
    """Reduce a slice to side x side, as two channels, its largest magnitude 1."""
    small = low_resolution(image.astype(np.complex64), side).astype(np.complex64)
    small = small / np.abs(small).max()
    return torch.from_numpy(np.stack([small.real, small.imag]))[None].float()


def knee(image: np.ndarray) -> np.ndarray:
    """Cut the middle square out of a slice."""
    side, (rows, columns) = min(image.shape), image.shape
    top, left = (rows - side) // 2, (columns - side) // 2
    return image[top : top + side, left : left + side]


def measured(truth: Tensor, number: int, share: float = SAMPLED) -> Scan:
    """Measure some columns of k-space, the six central ones always."""
    side = truth.shape[-1]
    columns = np.random.default_rng(number).random(side) < share
    columns[side // 2 - 3 : side // 2 + 3] = True
    mask = torch.from_numpy(columns)
    physics = MRI(mask, torch.ones(1, side, side, dtype=torch.complex64)[None])
    return Scan(physics.A(truth), physics, truth)


def cross(truth: Tensor) -> Tensor:
    """Draw a cross of 5 x 5 points near the brightest smooth place right of the middle."""
    side = truth.shape[-1]
    detail, at = torch.zeros_like(truth), (side // 2, side // 2 + side // 8)
    detail[0, 0, at[0] - 2 : at[0] + 3, at[1]] = 0.3
    detail[0, 0, at[0], at[1] - 2 : at[1] + 3] = 0.3
    phase = torch.view_as_complex(truth[0].permute(1, 2, 0).contiguous())[at]
    turned = torch.view_as_real(detail[0, 0] * phase / phase.abs().clamp_min(1e-6))
    return turned.permute(2, 0, 1)[None]


def trained(data: Path, out: Path, side: int) -> dict[str, Path]:
    """Train both on the brains that are not tested, or find what was trained."""
    brains = images(data, T2)
    kept = [channels(x, side) for i, x in enumerate(brains) if i not in TESTED][:25]
    files = {}
    for arm, steps in TRAINING.items():
        files[arm] = out / f"{arm}.safetensors"
        if files[arm].exists():
            continue
        scans = [measured(x, 100 + i) for i, x in enumerate(kept)]
        problems = [ut.Problem(s.y, s.physics) for s in scans]
        if arm == "denoiser":
            problems = [clean_problem(x, False) for x in kept]
        weights, _ = train(
            arm,
            problems,
            task="mri",
            steps=steps,
            settings=SETTINGS[arm],
            references=kept if arm == "varnet" else [],
            device="cpu",
            run_dir=out / f"{arm}-training",
        )
        weights.save(files[arm])
    return files


def worst(scan: Scan, varnet: Path) -> Tensor:
    """Find the disturbance of y, 3 % of its norm, that changes the image of `varnet` most."""
    network = load_prior(varnet)
    assert isinstance(network, Reconstructor)
    problem = ut.Problem(scan.y, scan.physics)
    size = DISTURBED * problem.y.norm()
    seen = (scan.y != 0).float()
    before = network.reconstruct(problem).detach()
    generator = torch.Generator().manual_seed(0)
    e = torch.randn(scan.y.shape, generator=generator) * seen
    for _ in range(ASCENT):
        e = (e * size / e.norm()).requires_grad_()
        change = (network.reconstruct(problem.with_measurements(problem.y + e)) - before).norm()
        (slope,) = torch.autograd.grad(change, e)
        e = (e + size * slope * seen / slope.norm()).detach()
    return e / e.norm() * DISTURBED * scan.y.norm()


def disturbed(scan: Scan, by: Tensor) -> Scan:
    """Add to the measurements."""
    return replace(scan, y=scan.y + by)


def answer(name: str, scan: Scan, files: dict[str, Path]) -> Tensor:
    """Reconstruct one scan."""
    prior = {"varnet": files["varnet"], "pnp": files["denoiser"]}.get(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ut.Note)
        return ut.reconstruct(
            scan.y, scan.physics, name, prior=prior, compare=False, progress=False, device="cpu"
        ).image


def quality(x: Tensor, truth: Tensor) -> float:
    """PSNR of the magnitude, of the truth's largest one."""
    return round(float(psnr(magnitude(x), magnitude(truth), data_range=1.0)), 2)


def rows_of(name: str, kind: str, number: int, data: Path, files: dict[str, Path], side: int):  # type: ignore[no-untyped-def]
    """Do all tests of one slice with one method; yield rows."""
    source = images(data, T2)[TESTED[number]] if kind == "brain" else None
    if source is None:
        source = knee(images(data, KNEES)[KNEE[number]])
    truth = channels(source, side)
    scan = measured(truth, number)
    plain = answer(name, scan, files)
    yield {"test": kind, "psnr": quality(plain, truth)}
    if kind != "brain":
        return
    for test, share in (("fewer", FEWER), ("more", MORE)):
        other = measured(truth, number, share)
        yield {"test": test, "psnr": quality(answer(name, other, files), truth)}
    d = cross(truth)
    x = answer(name, measured(truth + d, number), files)
    shown = float(((x - plain) * d).sum() / d.square().sum())
    yield {"test": "detail", "psnr": quality(x, truth + d), "contrast": round(shown, 3)}
    noise = torch.randn(scan.y.shape, generator=torch.Generator().manual_seed(number))
    noise = noise * (scan.y != 0)
    found = {"random": noise * DISTURBED * scan.y.norm() / noise.norm()}
    found["worst"] = worst(scan, files["varnet"])
    for test, e in found.items():
        x = answer(name, disturbed(scan, e), files)
        moved = float((x - plain).norm() / plain.norm())
        yield {"test": test, "psnr": quality(x, truth), "change": round(moved, 4)}


def run(data: Path, out: Path, side: int) -> None:
    """Do every slice and method that OUT has no rows of."""
    out.mkdir(parents=True, exist_ok=True)
    files, path = trained(data, out, side), out / "rows.jsonl"
    known = read(path)
    done = {(r["answer"], r["kind"], r["slice"]) for r in known}
    for number in range(len(TESTED)):
        for kind in ("brain", "knee"):
            for name in ANSWERS:
                key = {"answer": name, "kind": kind, "slice": number}
                if tuple(key.values()) in done:
                    continue
                found = [key | row for row in rows_of(name, kind, number, data, files, side)]
                with path.open("a", encoding="utf-8") as stream:
                    stream.writelines(json.dumps(row) + "\n" for row in found)
                print(found, flush=True)


def read(path: Path) -> list[dict[str, Any]]:
    """Read rows; none where there is no file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def table(out: Path) -> str:
    """Means over the slices: PSNR, and what a test measures besides."""
    rows = read(out / "rows.jsonl")
    tests = ("brain", "knee", "fewer", "more", "detail", "random", "worst")
    lines = ["| answer | " + " | ".join(tests) + " |", "|---" * (len(tests) + 1) + "|"]
    for name in ANSWERS:
        cells = []
        for test in tests:
            some = [r for r in rows if (r["answer"], r["test"]) == (name, test)]
            cell = f"{np.mean([r['psnr'] for r in some]):.2f}" if some else "-"
            for key, unit in (("contrast", "{:.0%}"), ("change", "{:.1%}")):
                if some and key in some[0]:
                    cell += f" ({unit.format(np.mean([r[key] for r in some]))})"
            cells.append(cell)
        lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("verb", choices=("run", "table"))
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--side", type=int, default=64)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.verb == "run":
        run(asked.folders[0], asked.folders[1], asked.side)
    else:
        print(table(asked.folders[0]))
