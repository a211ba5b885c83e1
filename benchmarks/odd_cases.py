"""Cases unlike those that anything was tuned on: sizes, noise, factors, kernels, coils, views.

    python benchmarks/odd_cases.py run DATA OUT [--only PATTERN] [--answers tv,auto-0]
    python benchmarks/odd_cases.py table OUT

Every classical answer and `auto` in `fast`, as in `answers.py`: scans and spoilt pictures are
simulated from clean images of 128 to 192 points a side. Pictures are the middle 128x144 of those
of classic_sets; noise is relative to 255, on scans as said by the functions.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from answers import CLASSICAL, OURS, Case, command
from lambda_scale import drawn, undersampled
from PIL import Image
from scans import KNEES, T2, images, middle
from torch import Tensor

from untrained.data.phantoms import birdcage_maps, gaussian_kernel, shepp_logan
from untrained.maths import fft2c
from untrained.physics import CT, Blur, Denoise, Inpaint, SuperRes, random_mask

SIDES = (128, 144)


def picture(file: Path, colour: bool = False, sides: tuple[int, int] = SIDES) -> Tensor:
    """Cut the middle out of a picture, `(1, C, H, W)` in [0, 1]."""
    with Image.open(file) as found:
        pixels = np.atleast_3d(np.asarray(found.convert("RGB" if colour else "L")))
    cut = middle(middle(pixels, 0, sides[0]), 1, sides[1])
    return torch.from_numpy(cut.transpose(2, 0, 1).astype(np.float32) / 255)[None]


def motion_kernel(side: int) -> np.ndarray:
    """Draw a straight motion, sloping by 0.4, as a kernel of `side` pixels that sums to 1."""
    kernel = np.zeros((side, side), np.float32)
    for i in range(side):
        kernel[side // 2 + round((i - side // 2) * 0.4), i] = 1
    return kernel / kernel.sum()


def shape_of(x: Tensor) -> tuple[int, int, int]:
    """Return the channels and sides of a picture."""
    return (x.shape[1], x.shape[2], x.shape[3])


def noisy(file: Path, sigma: float, colour: bool = False) -> Case:
    """Add noise."""
    x = picture(file, colour)
    return x + sigma / 255 * drawn(x, 5), Denoise(shape_of(x)), x


def holed(file: Path, missing: float, sigma: float = 0, colour: bool = False) -> Case:
    """Take a share of the pixels away, and add noise to the others."""
    x = picture(file, colour)
    physics = Inpaint(random_mask(shape_of(x)[1:], missing, 0), shape_of(x))
    return physics.A(x + sigma / 255 * drawn(x, 5)), physics, x


def reduced(
    file: Path, factor: int, sigma: float = 0, colour: bool = False, sides: tuple[int, int] = SIDES
) -> Case:
    """Reduce a picture, and add noise."""
    x = picture(file, colour, sides)
    physics = SuperRes(shape_of(x), factor)
    y = physics.A(x)
    return y + sigma / 255 * drawn(y, 5), physics, x


def blurred(file: Path, kernel: np.ndarray, sigma: float, colour: bool = False) -> Case:
    """Blur a picture, and add noise."""
    x = picture(file, colour)
    physics = Blur(kernel, shape_of(x))
    y = physics.A(x)
    return y + sigma / 255 * drawn(y, 5), physics, x


def projected(image: np.ndarray, views: int, noise: float = 0.01, arc: float = 180) -> Case:
    """Project an image along parallel views over an arc; noise relative to the mean |y|."""
    values = np.ascontiguousarray(image, dtype=np.float32)
    x = torch.from_numpy(values / values.max())[None, None]
    sides = (x.shape[-2], x.shape[-1])
    physics = CT(sides, np.arange(views) * arc / views, int(1.45 * sides[1]))
    y = physics.A(x)
    return y + noise * y.mean() * drawn(y, 5), physics, x


def scanned(image: np.ndarray, factor: float, coils: int, noise: float = 0.005) -> Case:
    """Show 192x192 points of a complex image to coils; noise relative to its largest value."""
    cut = np.ascontiguousarray(middle(middle(image, 0, 192), 1, 192))
    x = torch.from_numpy(cut / np.abs(cut).max()).to(torch.complex64)
    maps = torch.ones(1, 192, 192, dtype=torch.complex64)
    if coils > 1:
        maps = torch.from_numpy(birdcage_maps(coils, (192, 192))).to(torch.complex64)
    clean = fft2c(maps * x)
    return undersampled(clean + noise * drawn(clean, 2), clean, maps, factor, 3)


def picture_cases(pictures: Path) -> dict[str, Callable[[], Case]]:
    """List the cases of pictures by name."""

    def of(name: str) -> Path:
        return next(pictures.glob(f"*/{name}.png"))

    return {
        "denoise-05-s10": lambda: noisy(of("05"), 10),
        "denoise-09-s50": lambda: noisy(of("09"), 50),
        "denoise-comic-s75": lambda: noisy(of("comic"), 75, True),
        "denoise-ppt3-s25": lambda: noisy(of("ppt3"), 25),
        "denoise-leaves-s15": lambda: noisy(of("leaves"), 15, True),
        "inpaint-03-10": lambda: holed(of("03"), 0.1),
        "inpaint-man-25-s10": lambda: holed(of("man"), 0.25, 10),
        "inpaint-comic-70": lambda: holed(of("comic"), 0.7, colour=True),
        "inpaint-ppt3-50": lambda: holed(of("ppt3"), 0.5),
        "superres-06-x2": lambda: reduced(of("06"), 2),
        "superres-woman-x3-s2": lambda: reduced(of("woman_GT"), 3, 2, sides=(144, 144)),
        "superres-ppt3-x2": lambda: reduced(of("ppt3"), 2),
        "superres-baby-x8": lambda: reduced(of("baby_GT"), 8),
        "superres-flowers-x4-s5": lambda: reduced(of("flowers"), 4, 5, True),
        "deblur-07-motion-s2": lambda: blurred(of("07"), motion_kernel(15), 2),
        "deblur-man-gauss1-s5": lambda: blurred(of("man"), gaussian_kernel(1.0), 5),
        "deblur-ppt3-gauss2-s1": lambda: blurred(of("ppt3"), gaussian_kernel(2.0), 1),
        "deblur-baboon-motion-s7": lambda: blurred(of("baboon"), motion_kernel(21), 7),
        "deblur-face-gauss3-s1": lambda: blurred(of("face"), gaussian_kernel(3.0), 1, True),
    }


def cases(data: Path) -> dict[str, Callable[[], Case]]:
    """List all cases by name."""

    def brain(k: int) -> np.ndarray:
        return images(data, T2)[k]

    def knee(k: int) -> np.ndarray:
        return images(data, KNEES)[k]

    def small(image: np.ndarray) -> np.ndarray:
        return middle(middle(np.abs(image), 0, 176), 1, 176)

    man = data / "classic_sets" / "set14" / "man.png"
    return picture_cases(data / "classic_sets") | {
        "ct-brain-10-15": lambda: projected(small(brain(10)), 15),
        "ct-brain-18-90": lambda: projected(small(brain(18)), 90),
        "ct-knee-4-45-quiet": lambda: projected(small(knee(4)), 45, 0.001),
        "ct-knee-10-120-degrees": lambda: projected(small(knee(10)), 60, arc=120),
        "ct-man-30": lambda: projected(picture(man, sides=(160, 160))[0, 0].numpy(), 30),
        "ct-shepp-128-30": partial(projected, shepp_logan(128), 30),
        "mri-t2-5-2x": lambda: scanned(brain(5), 2, 8),
        "mri-t2-14-12x": lambda: scanned(brain(14), 12, 8),
        "mri-t2-22-4x-one-coil": lambda: scanned(brain(22), 4, 1),
        "mri-t2-11-4x-noisy": lambda: scanned(brain(11), 4, 8, 0.02),
        "mri-knee-2-6x-four-coils": lambda: scanned(knee(2), 6, 4),
    }


if __name__ == "__main__":
    command(__doc__, cases, (*CLASSICAL, OURS))
