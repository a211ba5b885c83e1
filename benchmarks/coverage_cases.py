"""Cases of grids/coverage.toml, five tasks and six images of 128x128 each, and the pictures of
grids/compressed-sensing.toml; `benchmarks/cases.py DATA OUT --coverage` and `--compressed`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scans import KNEES, T2, images, low_resolution
from torch import Tensor

from untrained.data.formats.npy import write_npy
from untrained.data.formats.npz import write_npz
from untrained.data.phantoms import birdcage_maps
from untrained.data.simulate.photos import save_measurement
from untrained.maths import to_complex
from untrained.physics import CT, MRI, Blur, Inpaint

SIDE = 128
PICTURES = (
    "skimage/camera.png",
    "skimage/coins.png",
    "cbsd68/0003.png",
    "cbsd68/0010.png",
    "cbsd68/0019.png",
    "classic_sets/set5/butterfly_GT.png",
)
SLICES = (2, 7, 12, 17, 22, 27)
COILS = 4
VIEWS = 60
BINS = 183
COLUMNS = 0.3  # of k-space that is measured; the central 10 of 128 always


def make_coverage(data: Path, out: Path) -> None:
    """Measure six pictures in three ways, and six slices by CT and by MRI."""
    out.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(PICTURES):
        x = photograph(data / name)
        _denoise(x, number, out / f"denoise-{number}.npz")
        _inpaint(x, number, out / f"inpaint-{number}.npz")
        _deblur(x, number, out / f"deblur-{number}.npz")
        _ct(_slice(data, number), number, out / f"ct-{number}.npz")
        _mri(images(data, T2)[SLICES[number]], number, out / f"mri-{number}.npz")


def make_compressed(data: Path, out: Path) -> None:
    """The same six pictures at 64x64, `clean-N.npy`, to be measured by the grid itself."""
    out.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(PICTURES):
        halved = photograph(data / name).reshape(SIDE // 2, 2, SIDE // 2, 2).mean((1, 3))
        write_npy(out / f"clean-{number}.npy", halved.numpy())


def photograph(file: Path) -> Tensor:
    """A picture in grey, its middle square reduced to 128x128, `(1, 1, 128, 128)`."""
    with Image.open(file) as found:
        grey = found.convert("L")
        side = min(grey.size)
        left, top = (grey.width - side) // 2, (grey.height - side) // 2
        square = grey.crop((left, top, left + side, top + side))
        small = square.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.asarray(small, dtype=np.float32) / 255)[None, None]


def noisy(clean: Tensor, level: float, number: int) -> Tensor:
    """Add noise of a generator that no draw of the library shares."""
    drawn = np.random.default_rng(1000 + number).normal(0, level, tuple(clean.shape))
    return clean + torch.from_numpy(drawn.astype(np.float32))


def _denoise(x: Tensor, number: int, out: Path) -> None:
    """sigma = 25 of 255, told."""
    y = noisy(x, 25 / 255, number)
    save_measurement(out, x, y, number, {"sigma": np.asarray(25.0)})


def _inpaint(x: Tensor, number: int, out: Path) -> None:
    """Half of the pixels, without noise."""
    mask = np.random.default_rng(number).random((SIDE, SIDE)) < 0.5
    y = Inpaint(torch.from_numpy(mask), x_shape=(1, SIDE, SIDE)).A(x)
    save_measurement(out, x, y, number, {"mask": mask.astype(np.uint8)})


def _deblur(x: Tensor, number: int, out: Path) -> None:
    """A Gaussian blur of 1.6 pixels, and noise of 2 of 255 that is not told."""
    line = torch.exp(-((torch.arange(11.0) - 5) ** 2) / (2 * 1.6**2))
    kernel = line[:, None] * line
    physics = Blur(kernel / kernel.sum(), (1, SIDE, SIDE))
    y = noisy(physics.A(x), 2 / 255, number)
    save_measurement(out, x, y, number, {"kernel": physics.kernel.numpy()})


def _slice(data: Path, number: int) -> np.ndarray:
    """A slice of a brain or a knee, its largest square from the upper left at 128x128."""
    half = len(SLICES) // 2
    found = images(data, T2)[SLICES[number]] if number < half else images(data, KNEES)[number]
    found = np.abs(found).astype(np.float32)
    side = min(found.shape)
    square = Image.fromarray(found[:side, :side]).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    small = np.clip(np.asarray(square), 0, None)
    return small / small.max()


def _ct(image: np.ndarray, number: int, out: Path) -> None:
    """60 views; noise of 1 % of the mean line integral."""
    angles = np.arange(VIEWS) * 180 / VIEWS
    y = CT((SIDE, SIDE), angles, BINS).A(torch.from_numpy(image)[None, None])
    y = noisy(y, 0.01 * float(y.mean()), number)
    sinogram, shape = y[0, 0].T.contiguous().numpy(), np.asarray((SIDE, SIDE))
    arrays = {"sinogram": sinogram, "angles": angles, "image_shape": shape}
    write_npz(out, {**arrays, "reference": image})


def _mri(found: np.ndarray, number: int, out: Path) -> None:
    """Four simulated coils, 30 % of the columns; noise of 1 % of the image's largest value."""
    image = low_resolution(found, SIDE).astype(np.complex64)
    x = torch.from_numpy(np.stack([image.real, image.imag]))[None]
    columns = np.random.default_rng(number).random(SIDE) < COLUMNS
    columns[SIDE // 2 - 5 : SIDE // 2 + 5] = True
    mask = np.broadcast_to(columns, (SIDE, SIDE)).copy()
    maps = birdcage_maps(COILS, (SIDE, SIDE)).astype(np.complex64)
    y = MRI(torch.from_numpy(mask), torch.from_numpy(maps)[None]).A(x)
    y = torch.where(y != 0, noisy(y, 0.01, number), y)
    arrays: dict[str, np.ndarray] = {
        "mask": mask.astype(np.uint8),
        "maps": maps,
        "reference": image,
    }
    write_npz(out, {"kspace": to_complex(y)[0].numpy(), **arrays})
