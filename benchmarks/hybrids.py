"""Hybrids of Deep Image Prior and a pre-trained denoiser against their parts, on small real cases.

    python benchmarks/hybrids.py OUT.json TASK PRIOR --data DATA [--only METHOD,...]

TASK is `mri`, `ct` or `photo`: three cases of 64x64 (MRI: 96x96) each out of the public data sets
(DATA is the folder that `cases.py` takes). PRIOR is a file of weights; docs/own-priors.md says how
one is trained. Each row is written when it is there; a second call goes on. The references are made
of all views, columns or pixels.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import untrained as ut
from untrained.maths import to_channels
from untrained.physics.ct_geometry import FanBeam

Case = tuple[Tensor, Any, Tensor]  # measurements, operator, reference
METHODS: dict[str, dict[str, Any]] = {
    "tv": {},
    "dip": {"steps": 150},
    "pnp": {"prior": True},
    "dds": {"prior": True},
    "aseqdip": {"steps": 150},
    "udig": {"prior": True, "steps": 150},
    "ddip": {"prior": True},
    "cddip": {"prior": True, "steps": 150},
    "deepred": {"prior": True, "steps": 100},
    "auto": {},
    "auto --prior": {"method": "auto", "prior": True},
    "lowrank": {},
    "dct": {},
}


def photo(data: Path, which: int) -> Case:
    """A face that the prior has not seen: 70 % of the pixels missing, a blur, half the size."""
    from PIL import Image

    file = sorted((data / "ffhq256").glob("*.png"))[(5, 8, 11)[which]]
    picture = Image.open(file).convert("L").resize((64, 64), Image.Resampling.LANCZOS)
    x = torch.from_numpy(np.asarray(picture, dtype=np.float32) / 255)[None, None]
    draw = torch.Generator().manual_seed(which)
    sides = (1, 64, 64)
    physics: Any
    if which == 0:
        return *_seen(ut.physics.Inpaint((torch.rand(64, 64, generator=draw) > 0.7), sides), x), x
    if which == 1:
        axis = torch.arange(-4.0, 5.0)
        kernel = torch.exp(-(axis[:, None] ** 2 + axis**2) / (2 * 1.6**2))
        physics = ut.physics.Blur(kernel / kernel.sum(), sides)
    else:
        physics = ut.physics.SuperRes(sides, 2)
    y, physics = _seen(physics, x)
    return y + 0.01 * torch.randn(y.shape, generator=draw), physics, x


def _seen(physics: Any, x: Tensor) -> tuple[Tensor, Any]:
    return physics.A(x), physics


def mri(data: Path, which: int) -> Case:
    """Measured brain k-space cut to 96x96, four (virtual) coils, every fourth column."""
    name = ("brain_mprage_4ch_256", "brain_t1_8ch_230x180", "brain_gre_16ch_96")[which]
    full = np.load(data / "mri_multicoil" / f"{name}.npz")["kspace"]
    _, height, width = full.shape
    top, left = (height - 96) // 2, (width - 96) // 2
    full = full[:, top : top + 96, left : left + 96]
    vectors, _, _ = np.linalg.svd(full.reshape(len(full), -1), full_matrices=False)
    kspace = torch.from_numpy(np.einsum("ck,cyx->kyx", vectors[:, :4].conj(), full))
    images = _image(kspace)
    window = torch.zeros(96, 96)
    window[36:60, 36:60] = torch.hann_window(24)[:, None] * torch.hann_window(24)
    low = _image(kspace * window)
    maps = (low / low.abs().square().sum(0).sqrt().clamp_min(1e-12)).to(torch.complex64)
    truth = to_channels((maps.conj() * images).sum(0)[None].to(torch.complex64))
    columns = torch.zeros(96)
    columns[44:52] = 1
    chosen = torch.randperm(96, generator=torch.Generator().manual_seed(which))
    columns[chosen[:18]] = 1
    physics = ut.physics.MRI(columns, maps)
    y = to_channels(kspace[None].to(torch.complex64)) * columns
    return y, physics, truth


def _image(kspace: Tensor) -> Tensor:
    axes = (-2, -1)
    shifted = torch.fft.ifft2(torch.fft.ifftshift(kspace, dim=axes), norm="ortho")
    return torch.fft.fftshift(shifted, dim=axes)


def ct(data: Path, which: int) -> Case:
    """Two slices of a tooth, 18 of 180 views, and a pepper at low dose, 24 of 360."""
    more: dict[str, Any] = {}
    if which < 2:
        import h5py

        with h5py.File(data / "ct_tooth" / "tooth.h5") as file:
            group = file.get("exchange", file)
            raw, white, dark = (group[k][()] for k in ("data", "data_white", "data_dark"))
        clear = (raw - dark.mean(0)) / (white.mean(0) - dark.mean(0))
        rays = -np.log(clear[:180, which, 8:584].clip(1e-3)).reshape(180, 64, 9).mean(2)
        angles, few = np.arange(180.0), slice(0, 180, 10)
    else:
        scan = np.load(data / "ct_bellpepper" / "bell_pepper_low_dose.npz")
        rays = scan["sinogram"][:360].reshape(360, 70, 8).mean(2)
        angles, few = scan["angles_deg"][:360].astype(float), slice(0, 360, 15)
        pitch = {"pixel_size": 1.298, "detector_pitch": 1.6}
        more = {"fan": FanBeam(410.66, 553.74), **pitch}
    y = torch.from_numpy(rays.T.astype(np.float32).copy())[None, None]
    everything = ut.physics.CT((64, 64), angles, y.shape[2], **more)
    truth = everything.fbp(y)
    assert truth is not None
    return y[..., few], ut.physics.CT((64, 64), angles[few], y.shape[2], **more), truth


TASKS: dict[str, Callable[[Path, int], Case]] = {"photo": photo, "mri": mri, "ct": ct}


def measure(case: Case, name: str, prior: str) -> dict[str, Any]:
    """Run one method; its PSNR and SSIM, seconds of the processor, and the shares of a mixture."""
    y, physics, truth = case
    how = {"method": name, **METHODS[name]}
    if how.pop("prior", False):
        how["prior"] = prior
    began = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = ut.reconstruct(y, physics, truth=truth, progress=False, compare=False, **how)
    metrics, mixture = result.about.metrics or {}, result.about.mixture
    return {
        "psnr": round(metrics["psnr"], 2),
        "ssim": round(metrics["ssim"], 3),
        "cpu_seconds": round(time.process_time() - began, 1),
        "steps": result.steps,
        "mixture": None if mixture is None else mixture.to_dict(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Hybrids against their parts.")
    parser.add_argument("out", type=Path)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("prior")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", default=",".join(METHODS))
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = json.loads(given.out.read_text()) if given.out.exists() else {}
    for which in range(3):
        case = TASKS[given.task](given.data, which)
        for name in given.only.split(","):
            key = f"{given.task} {which + 1}/{name}"
            if key in rows:
                continue
            try:
                rows[key] = measure(case, name, given.prior)
            except ut.UserError as error:
                rows[key] = {"refused": str(error)}
            print(key, rows[key], flush=True)
            given.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
