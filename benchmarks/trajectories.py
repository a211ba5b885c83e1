"""MRI on trajectories: classical answers and `auto`, by the command line as a user calls it.

    python benchmarks/trajectories.py DATA FOLDER [--cases NAME,...] [--methods NAME,...]

DATA is the folder of public data sets; FOLDER keeps the measurements, and `rows.jsonl`, one line a
run: PSNR in dB against the reference, wall and processor seconds. A run that has a line is not
repeated. Cases: `abdomen-60` and `-30` are the first golden-angle spokes of a measured scan of one
coil, of each the middle 128 samples, and the reference is conjugate gradients on all 600 of them;
`brain-radial` (69 spokes) and `brain-spiral` (16 interleaves) are a measured complex image of
256 x 256 seen by eight simulated coils, with noise of 0.5 % of the largest coil image, and the
image is the reference.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from scans import T2, images

from untrained.data.formats.npz import write_npz
from untrained.data.phantoms import birdcage_maps
from untrained.physics.nufft import nufft

GOLDEN = 111.246117975
METHODS = ("cgsense", "l1wavelet", "tv", "auto")
COILS, NOISE = 8, 0.005
KEPT = 128  # middle samples of a measured spoke: an image of 128 x 128
ALONE = ("--no-compare",)  # the classical answer beside it has a run of its own


def spokes(count: int, samples: int, step: float) -> np.ndarray:
    """Make radial spokes `(count, samples, 2)` in cycles per pixel, `step` degrees apart."""
    angles = np.deg2rad(step) * np.arange(count)
    radius = (np.arange(samples) - samples // 2) / samples
    directions = np.stack([np.cos(angles), np.sin(angles)], -1)
    return directions[:, None] * radius[:, None]


def spiral(shots: int, samples: int, turns: float) -> np.ndarray:
    """Make Archimedean interleaves `(shots, samples, 2)` from the centre out, at an even speed."""
    radius = np.linspace(0, 0.5, 10_000)
    speed = np.hypot(1, 4 * np.pi * turns * radius)
    length = np.concatenate([[0], np.cumsum((speed[1:] + speed[:-1]) / 2)])
    radius = np.interp(np.linspace(0, length[-1], samples), length, radius)
    angle = 2 * np.pi * (2 * turns * radius + np.arange(shots)[:, None] / shots)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1)


def abdomen(data: Path, folder: Path, count: int) -> Path:
    """Write the first spokes of the measured scan, with the image of all of them."""
    file = data / "mri_noncartesian" / "abdomen_radial_1ch_600spokes.npz"
    kspace = np.load(file, allow_pickle=False)["kspace"][None].astype(np.complex64)
    first = (kspace.shape[2] - KEPT) // 2
    kspace = np.ascontiguousarray(kspace[..., first : first + KEPT])
    trajectory = spokes(kspace.shape[1], kspace.shape[2], GOLDEN)
    whole, out = folder / "abdomen-600.npz", folder / f"abdomen-{count}.npz"
    if not (folder / "abdomen-600").exists():
        write_npz(whole, {"kspace": kspace, "traj": trajectory})
        run(whole, "cgsense", folder / "abdomen-600")
    reference = np.load(folder / "abdomen-600" / "reconstruction.npy")
    arrays = {"kspace": kspace[:, :count], "traj": trajectory[:count], "reference": reference}
    write_npz(out, arrays)
    return out


def brain(data: Path, folder: Path, kind: str) -> Path:
    """Write a scan of eight simulated coils."""
    x = images(data, T2)[9]
    x = x / np.abs(x).max()
    trajectory = spokes(69, 512, 180 / 69) if kind == "radial" else spiral(16, 4400, 8.0)
    maps = birdcage_maps(COILS, x.shape)
    seen = torch.from_numpy((maps * x).astype(np.complex64))
    kspace = nufft(seen[None], torch.from_numpy(trajectory).flatten(0, 1))[0].numpy()
    kspace = kspace.reshape(COILS, *trajectory.shape[:2])
    draw = np.random.default_rng(0).standard_normal((2, *kspace.shape))
    level = NOISE * float(seen.abs().max()) / np.sqrt(2)
    kspace = (kspace + level * (draw[0] + 1j * draw[1])).astype(np.complex64)
    out = folder / f"brain-{kind}.npz"
    write_npz(out, {"kspace": kspace, "traj": trajectory, "reference": x.astype(np.complex64)})
    return out


def run(case: Path, method: str, out: Path) -> dict[str, object]:
    """Reconstruct in a process of its own; its result, wall and processor seconds."""
    command = ["-m", "untrained", "reconstruct", "mri", str(case), "--method", method]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        [sys.executable, *command, "--out", str(out), "--overwrite", "--quiet", *ALONE], check=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    result = json.loads((out / "result.json").read_text())
    return {
        "case": case.stem,
        "method": method,
        "psnr": round(result["metrics"]["psnr"], 2) if result["metrics"] else None,
        "seconds": round(time.perf_counter() - began, 1),
        "cpu_seconds": round(cpu, 1),
        "peak_memory_mb": round(result["peak_memory_mb"]),
        "step": result["stop"]["step"],
    }


def main() -> None:
    """Measure what has no line yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cases", default="abdomen-60,abdomen-30,brain-radial,brain-spiral")
    parser.add_argument("--methods", default=",".join(METHODS))
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    rows = given.folder / "rows.jsonl"
    lines = rows.read_text().splitlines() if rows.exists() else []
    known = {(row["case"], row["method"]) for row in map(json.loads, lines)}
    for name in given.cases.split(","):
        kind, _, what = name.partition("-")
        for method in given.methods.split(","):
            if (name, method) in known:
                continue
            case = given.folder / f"{name}.npz"
            if not case.exists() and kind == "abdomen":
                abdomen(given.data, given.folder, int(what))
            elif not case.exists():
                brain(given.data, given.folder, what)
            row = run(case, method, given.folder / f"{name}.{method}")
            with rows.open("a") as stream:
                stream.write(json.dumps(row) + "\n")
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
