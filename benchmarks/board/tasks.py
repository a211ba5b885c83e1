"""The four tasks of deepinv's public board, and two of the same form: MRI and CT.

Operators, noise and metrics are those of the board's dataset and objective files (the repository
deepinv/benchmarks, June 2026). What differs: the pictures are centre crops of CBSD68 for all four,
where the board takes CBSD68 and DIV2K at 256 x 256. LPIPS is left out, since its weights must be
downloaded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import deepinv as dinv
import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Task:
    """Describe one column of the board.

    Attributes:
        physics: (side) -> the operator with its noise.
        images: "photos", "brain" or "head".
        border: pixels a side that the metrics leave out, as the board does for blur.
    """

    physics: Callable[[int], Any]
    images: str = "photos"
    border: int = 0


def noise(sigma: float) -> Any:
    """Return deepinv's Gaussian noise, with a generator of its own."""
    return dinv.physics.GaussianNoise(sigma=sigma, rng=torch.Generator().manual_seed(0))


def _mri(side: int) -> Any:
    columns = torch.zeros(side, side)
    columns[:, ::3] = 1
    columns[:, side // 2 - 4 : side // 2 + 4] = 1
    return dinv.physics.MRI(columns, img_size=(side, side), noise_model=noise(0.01))


def _ct(side: int) -> Any:
    return dinv.physics.Tomography(30, side, normalize=True, noise_model=noise(0.01))


def _inpainting(side: int) -> Any:
    draw = torch.Generator().manual_seed(0)
    return dinv.physics.Inpainting(img_size=(3, side, side), mask=0.3, rng=draw)


TASKS: dict[str, Task] = {
    "denoise": Task(lambda side: dinv.physics.Denoising(noise(0.1))),
    "deblur": Task(
        lambda side: dinv.physics.Blur(
            filter=dinv.physics.blur.gaussian_blur(2), noise_model=noise(0.05)
        ),
        border=16,
    ),
    "inpaint": Task(_inpainting),
    "superres": Task(
        lambda side: dinv.physics.Downsampling(img_size=(3, side, side), factor=2, filter="bicubic")
    ),
    "mri": Task(_mri, "brain"),
    "ct": Task(_ct, "head"),
}


def images_of(task: str, side: int, folder: Path | None, indices: Sequence[int]) -> list[Tensor]:
    """Return the images `(1, C, side, side)` of a task: the pictures of the given numbers.

    MRI and CT have one simulated image each; any other number gives its mirror image.
    """
    kind = TASKS[task].images
    if kind == "photos":
        if folder is None:
            raise SystemExit("the photographs are missing: --data FOLDER with CBSD68's PNG files")
        return [_photo(folder, index, side) for index in indices]
    from untrained.data.phantoms import brain, shepp_logan

    if kind == "brain":
        plane = torch.from_numpy(brain(side))
        image = torch.stack([plane.real, plane.imag])[None].float()
    else:
        image = torch.from_numpy(shepp_logan(side))[None, None]
    return [image if index == 0 else image.flip(-1) for index in indices]


def _photo(folder: Path, index: int, side: int) -> Tensor:
    from PIL import Image

    files = sorted(folder.glob("*.png"))
    if len(files) <= index:
        raise SystemExit(f"{folder}: {len(files)} PNG files, at least {index + 1} are needed")
    pixels = np.asarray(Image.open(files[index]).convert("RGB"), dtype=np.float32) / 255
    top, left = ((n - side) // 2 for n in pixels.shape[:2])
    return torch.from_numpy(pixels[top : top + side, left : left + side]).movedim(-1, 0)[None]
