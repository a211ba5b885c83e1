"""Measure public pre-trained networks on real data, as docs/priors.md shows them.

    python benchmarks/priors.py DATA OUT.json

DATA holds `weights/` (SCICO's and KAIR's DnCNN, the DDPM of digits, a variational network, D5C5),
`mri_multicoil/brain_mprage_4ch_256.npz` and `mri_singlecoil/cardiac_168x336.npz`; the photograph is
scikit-image's `camera`. Nothing of DATA belongs to this project.
"""

from __future__ import annotations

import argparse
import json
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from skimage import data
from torch import Tensor

import untrained as ut
from untrained.maths import ifft2c, to_channels, to_complex
from untrained.physics import MRI
from untrained.priors import load_prior

CROP = slice(128, 384)
CENTRAL = 24
DENOISERS = (
    ("scico_dncnn6N.mpk", 0.05),
    ("scico_dncnn17N.mpk", 0.05),
    ("scico_dncnn6N.mpk", 0.1),
    ("scico_dncnn17N.mpk", 0.1),
    ("scico_dncnn6M.mpk", 0.1),
    ("scico_dncnn17M.mpk", 0.1),
    ("kair_dncnn_25.pth", 25 / 255),
)


def psnr(x: Tensor, reference: Tensor) -> float:
    """Compare magnitudes; the range is that of the reference."""
    error = (x.abs() - reference.abs()).square().mean()
    return round(float(10 * torch.log10(reference.abs().max() ** 2 / error)), 2)


def denoising(weights: Path) -> list[dict[str, Any]]:
    clean = torch.from_numpy(data.camera()[CROP, CROP] / 255.0).float()[None, None]
    rows = []
    for name, sigma in DENOISERS:
        generator = torch.Generator().manual_seed(0)
        noisy = clean + sigma * torch.randn(clean.shape, generator=generator)
        found = load_prior(weights / name).denoise(noisy, sigma)  # type: ignore[operator]
        before = float(-10 * torch.log10((noisy - clean).square().mean()))
        after = float(-10 * torch.log10((found - clean).square().mean()))
        rows.append(
            {
                "network": name,
                "sigma": round(sigma, 4),
                "noisy": round(before, 2),
                "psnr": round(after, 2),
            }
        )
    return rows


def digits(weights: Path) -> dict[str, Any]:
    """Sample sixteen digits by DDIM, add noise of time 50, and denoise them."""
    prior: Any = load_prior(weights / "ddpm_mnist.pth")
    generator = torch.Generator().manual_seed(0)
    levels = torch.logspace(2, -2, 60)
    x = 0.5 + levels[0] * torch.randn(16, 1, 28, 28, generator=generator)
    for now, after in pairwise(levels):
        clean = prior.denoise(x, float(now))
        x = clean + (x - clean) * after / now
    image = clean.clamp(0, 1)
    sigma = float(prior.log_sigmas[50].exp())
    noisy = image + sigma * torch.randn(image.shape, generator=generator)
    before, after = (
        float(-10 * torch.log10((one - image).square().mean()))
        for one in (noisy, prior.denoise(noisy, sigma))
    )
    return {"time": 50, "noisy": round(before, 2), "psnr": round(after, 2)}


def variational(folder: Path) -> list[dict[str, Any]]:
    prior: Any = load_prior(folder / "weights" / "mri_variational_network_pdfs_knee.pt")
    with np.load(folder / "mri_multicoil" / "brain_mprage_4ch_256.npz") as stored:
        kspace, maps = (torch.from_numpy(stored[name]) for name in ("kspace", "coil_sens"))
    maps = maps / maps.abs().square().sum(0).sqrt().clamp_min(1e-6)
    reference = (maps.conj() * ifft2c(kspace)).sum(0)
    rows = []
    for rate in (2, 3, 4):
        mask = torch.arange(256) % rate == 0
        mask[128 - CENTRAL // 2 : 128 + CENTRAL // 2] = True
        physics = MRI(mask, maps)
        problem = ut.Problem(to_channels((kspace * mask)[None]), physics)
        began = time.process_time()
        with torch.no_grad():
            found = problem.to_units(prior.reconstruct(problem))
        first = physics.A_adjoint(to_channels((kspace * mask)[None]))
        rows.append(
            {
                "rate": rate,
                "zero-filled": psnr(to_complex(first)[0], reference),
                "psnr": psnr(to_complex(found)[0], reference),
                "cpu_seconds": round(time.process_time() - began, 1),
            }
        )
    return rows


def line_mask(lines: int, central: int, kind: str) -> Tensor:
    """A quarter of the lines: every fourth, or drawn with a density that falls outwards."""
    mask = torch.zeros(lines, dtype=torch.bool)
    mask[(lines - central) // 2 : (lines + central) // 2] = True
    if kind == "regular":
        mask[::4] = True
        return mask
    radius = (torch.arange(lines) - lines // 2).abs() / (lines / 8)
    density = ((-radius.square()).exp() + 0.03) * ~mask
    more = lines // 4 - int(mask.sum())
    drawn = torch.multinomial(density, more, generator=torch.Generator().manual_seed(0))
    mask[drawn] = True
    return mask


def cascade(folder: Path) -> list[dict[str, Any]]:
    prior: Any = load_prior(folder / "weights" / "mri_deep_cascade_d5c5.npz")
    with np.load(folder / "mri_singlecoil" / "cardiac_168x336.npz") as stored:
        kspace = torch.from_numpy(stored["kspace"])
    reference = ifft2c(kspace)
    rows = []
    for axis, name in ((0, "rows"), (1, "columns")):
        for kind, central in (("variable", 8), ("variable", 24), ("regular", 8)):
            lines = line_mask(kspace.shape[axis], central, kind)
            mask = (lines[:, None] if axis == 0 else lines[None]).expand(kspace.shape)
            problem = ut.Problem(to_channels((kspace * mask)[None, None]), MRI(mask))
            with torch.no_grad():
                found = problem.to_units(prior.reconstruct(problem))
            rows.append(
                {
                    "lines": name,
                    "density": kind,
                    "central": central,
                    "rate": round(1 / float(lines.float().mean()), 2),
                    "zero-filled": psnr(ifft2c(kspace * mask), reference),
                    "psnr": psnr(to_complex(found)[0], reference),
                }
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    found = {
        "denoising": denoising(given.data / "weights"),
        "digits": digits(given.data / "weights"),
        "variational network": variational(given.data),
        "cascade": cascade(given.data),
    }
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
