"""Dynamic MRI at 8x: a series together against its frames one by one, and low rank plus sparse.

    python benchmarks/dynamic_mri.py DATA [--out benchmarks/results/dynamic_mri/rows.json]

A moving phantom: a measured brain image (`mri_complex_images`) whose middle breathes by a known,
smooth deformation, one and a half periods in 16 frames of 64 x 64, seen by four coils, with noise.
A frame measures four columns in the centre and four others, drawn anew. Every row is written as
soon as it is there. Frame by frame is `auto` on FRAMES; PSNR (of magnitudes) is the mean over
these frames.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.ndimage import map_coordinates
from torch import Tensor

import untrained as ut
from untrained.classical import baseline, baseline_name
from untrained.data.phantoms import birdcage_maps
from untrained.maths import magnitude
from untrained.metrics import psnr
from untrained.physics import MRI, Series

LENGTH, SIDE, COILS, COLUMNS, CENTRE = 16, 64, 4, 8, 4
FRAMES = (8,)
NOISE = 0.01  # of the largest value of the image, per coil and part


def still(data: Path) -> np.ndarray:
    """Reduce a measured complex image to 64 x 64 by the centre of its k-space."""
    with np.load(data / "mri_complex_images/siat_brain_t2_31x256.npz") as file:
        key = max(file.files, key=lambda name: file[name].size)
        images = file[key]
    image = images[len(images) // 2].astype(np.complex128)
    spectrum = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(image)))
    top = (np.array(spectrum.shape) - SIDE) // 2
    cut = spectrum[top[0] : top[0] + SIDE, top[1] : top[1] + SIDE]
    small = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(cut)))
    return small / np.abs(small).max()


def moving(image: np.ndarray) -> Tensor:
    """Let the middle of an image expand and shrink: `(1, 2, T, H, W)`."""
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    near = np.exp(-(x**2 + y**2) / (2 * 12**2))
    frames = []
    for t in range(LENGTH):
        size = 1 + 0.12 * np.sin(2 * np.pi * 1.5 * t / LENGTH) * near
        places = [y / size + (SIDE - 1) / 2, x / size + (SIDE - 1) / 2]
        parts = [map_coordinates(p, places, order=3) for p in (image.real, image.imag)]
        frames.append(np.stack(parts))
    return torch.from_numpy(np.stack(frames, axis=1)).float()[None]


def measured(x: Tensor) -> tuple[Tensor, list[MRI]]:
    """Measure every frame: k-space `(1, 2, T, coils, H, W)` and the operators."""
    maps = torch.as_tensor(birdcage_maps(COILS, (SIDE, SIDE)))
    maps = maps / maps.abs().square().sum(0, keepdim=True).sqrt()
    generator = torch.Generator().manual_seed(0)
    first = (SIDE - CENTRE) // 2
    others = [c for c in range(SIDE) if not first <= c < first + CENTRE]
    frames = []
    for _ in range(LENGTH):
        mask = torch.zeros(SIDE)
        mask[first : first + CENTRE] = 1
        order = torch.randperm(len(others), generator=generator)[: COLUMNS - CENTRE]
        mask[[others[i] for i in order.tolist()]] = 1
        frames.append(MRI(mask, maps))
    series = Series(frames)
    y = series.A(x)
    noise = NOISE * torch.randn(y.shape, generator=generator)
    assert series.mask is not None
    return y + noise * series.mask, frames


def score(image: Tensor, x: Tensor) -> float:
    """Compute the mean PSNR of magnitudes over FRAMES, range max |x|."""
    full = float(magnitude(x).max())
    pairs = [(magnitude(image[:, :, t]), magnitude(x[:, :, t])) for t in FRAMES]
    return round(float(np.mean([psnr(a, b, data_range=full) for a, b in pairs])), 3)


def main() -> None:
    """Fill the table of results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument(
        "--out", type=Path, default=Path("benchmarks/results/dynamic_mri/rows.json")
    )
    parser.add_argument(
        "--methods",
        default="adjoint,lps,temporaltv,tv,classical mixture,frame by frame,tddip,auto",
    )
    given = parser.parse_args()
    rows = json.loads(given.out.read_text()) if given.out.exists() else {}
    x = moving(still(given.data))
    y, frames = measured(x)
    how: dict[str, Any] = {"progress": False, "compare": False}
    for method in given.methods.split(","):
        if method in rows:
            continue
        began, notes = time.process_time(), []
        if method == "frame by frame":
            image = torch.zeros_like(x)
            for t in FRAMES:
                image[:, :, t] = ut.reconstruct(y[:, :, t], frames[t], **how).image
        elif method == "classical mixture":
            problem = ut.Problem(y, Series(frames))
            image, notes = problem.to_units(baseline(problem)), [baseline_name(problem)]
        else:
            result = ut.reconstruct(y, Series(frames), method=method, **how)
            image, notes = result.image, list(result.notes)
        spent = round(time.process_time() - began, 1)
        rows[method] = {"psnr": score(image, x), "cpu_seconds": spent, "notes": notes}
        given.out.write_text(json.dumps(rows, indent=1) + "\n")
        print(method, rows[method]["psnr"], spent, notes, flush=True)


if __name__ == "__main__":
    main()
