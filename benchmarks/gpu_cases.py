"""The measurements of `gpu.py`: made from the public data sets, or from phantoms of a few pixels.

`sr-FACE-SIGMA` is a face at a quarter of its size, `ct` a slice of 512x512 seen from 30 views,
`mri` a measured brain at 4x, `slice` a knee of 320x320 points behind 15 simulated coils at 4x.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from low_data_cases import TEST_FACES, TRAINING_FACES
from PIL import Image
from scans import KNEES, images, measured_kspace, simulate

from untrained.data.formats.npy import write_npy
from untrained.data.formats.npz import write_npz
from untrained.data.phantoms import brain
from untrained.maths import ifft2c

SIDE, TINY = 512, 32
BRAIN = "mri_singlecoil/brain_t2_512.npz"
SLICE = (320, 320)
READINGS = {"clean": 0.0, "6.4": 6.375, "12.75": 12.75}
"""The noise of super-resolution on the 0..255 scale: none, as in the released script; and the
paper's sigma 0.05 where images live in [-1, 1], and where they live in [0, 1]."""


def training_faces(tiny: bool) -> tuple[str, ...]:
    """List the numbers of the faces that the encoder is learned from."""
    return TRAINING_FACES[:2] if tiny else TRAINING_FACES


def test_faces(tiny: bool) -> tuple[str, ...]:
    """List the numbers of the faces that are reconstructed."""
    return TEST_FACES[:1] if tiny else TEST_FACES[:3]


def task_of(name: str) -> str:
    """Return the task of a case."""
    return {"sr": "superres", "ct": "ct", "mri": "mri", "slice": "mri"}[name.partition("-")[0]]


def case(name: str, data: Path | None, folder: Path) -> Path:
    """Return the case's file in `folder`, made if missing; without `data` a tiny one."""
    out = folder / f"{name}.npz"
    if not out.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            made = Path(temporary) / "case.npz"
            clean = write_clean(name, data, Path(temporary) / "clean")
            seed = int(name.split("-")[1]) if name.startswith("sr-") else 0
            simulate(task_of(name), clean, made, seed=seed, **options_of(name, data is None))
            made.replace(out)
    return out


def options_of(name: str, tiny: bool) -> dict[str, Any]:
    """Return the keywords of the task's `simulate`."""
    kind, _, rest = name.partition("-")
    if kind == "sr":
        return {"factor": 4, "sigma": READINGS[rest.partition("-")[2]]}
    if kind == "ct":
        return {"angles": 8 if tiny else 30}
    if tiny:
        return {"acceleration": 2, "center_fraction": 0.2, "coils": 2}
    lines = {"acceleration": 4, "center_fraction": 0.08}
    return lines | ({"coils": 15, "sigma": 1.3} if kind == "slice" else {})


def write_clean(name: str, data: Path | None, stem: Path) -> Path:
    """Return the file of the clean image; `stem` with an ending where it has to be written."""
    kind, _, rest = name.partition("-")
    if kind == "sr":
        number = rest.partition("-")[0]
        return part_of_a_picture(number, stem) if data is None else face(number, data)
    if kind == "mri" and data is not None:
        write_npz(stem.with_suffix(".npz"), {"kspace": measured_kspace(data, "t1")})
        return stem.with_suffix(".npz")
    image = phantom(kind) if data is None else clean_slice(kind, data)
    write_npy(stem.with_suffix(".npy"), np.ascontiguousarray(image))
    return stem.with_suffix(".npy")


def face(number: str, data: Path) -> Path:
    """Return the file of a face, 256x256."""
    return data / "ffhq256" / f"{number}.png"


def part_of_a_picture(number: str, stem: Path) -> Path:
    """Write a part of the astronaut, a tiny stand-in for a face; `number` says which part."""
    from skimage.data import astronaut

    top = 12 * int(number)
    pixels = np.asarray(astronaut())[top : top + 8 * TINY : 8, 128 : 128 + 8 * TINY : 8]
    Image.fromarray(np.ascontiguousarray(pixels)).save(stem.with_suffix(".png"))
    return stem.with_suffix(".png")


def clean_slice(kind: str, data: Path) -> np.ndarray:
    """Read the clean slice: magnitudes for CT, a complex image for the coils."""
    if kind == "ct":
        kspace = np.load(data / BRAIN, allow_pickle=False)["kspace"]
        whole = ifft2c(torch.from_numpy(kspace).reshape(SIDE, SIDE)).abs().numpy()
        return (whole / whole.max()).astype(np.float32)
    knee = images(data, KNEES)[0].astype(np.complex64)
    rows, columns = ((wide - n) // 2 for wide, n in zip(SLICE, knee.shape, strict=True))
    found = np.zeros(SLICE, np.complex64)
    found[rows : rows + knee.shape[0], columns : columns + knee.shape[1]] = knee
    return found


def phantom(kind: str) -> np.ndarray:
    """Draw the brain phantom, a tiny stand-in for a slice."""
    image = brain(TINY)
    return np.abs(image) if kind == "ct" else image


def volume(side: int) -> torch.Tensor:
    """Make a brain of `side` cubed points, `(1, 1, D, H, W)`, that fades towards its ends."""
    fade = torch.linspace(-1, 1, side).mul(torch.pi / 2).cos()
    return fade[None, None, :, None, None] * torch.from_numpy(np.abs(brain(side)))[None, None, None]
