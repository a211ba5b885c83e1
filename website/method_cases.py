"""Small problems that the pictures of the method pages are made from; nothing is downloaded."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import untrained as ut
from untrained.data.phantoms import birdcage_maps, brain, gaussian_kernel
from untrained.physics import (
    CT,
    MRI,
    BlindBlur,
    Blur,
    ConeCT,
    Denoise,
    FanBeam,
    Inpaint,
    PhaseRetrieval,
    Photons,
    Processed,
    Series,
    disc_mesh,
)

SIDE = 64
NOISE = 0.1
"""Standard deviation of the noise of the noisy picture."""


@dataclass(frozen=True)
class Case:
    """A simulated measurement.

    Attributes:
        y: measurements `(1, ...)`.
        physics: their operator.
        truth: the image that was measured, `(1, C, ...)`.
        text: what was measured, to follow "Example:".
        options: further arguments of `reconstruct`.
    """

    y: Tensor
    physics: Any
    truth: Tensor
    text: str
    options: dict[str, Any] = field(default_factory=dict)


def noise(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    """Draw white noise of deviation one."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def photograph() -> Tensor:
    """Return the head of scikit-image's camera man, `(1, 1, 64, 64)` in [0, 1]."""
    from skimage.data import camera

    part = camera()[60:252, 140:332] / 255.0
    small = part.reshape(SIDE, 3, SIDE, 3).mean((1, 3))
    return torch.from_numpy(small).float()[None, None]


def discs(seed: int, side: int = SIDE) -> Tensor:
    """Draw a body with five discs of random places and values, `(1, 1, side, side)` in [0, 1]."""
    draw = torch.Generator().manual_seed(seed)
    line = torch.linspace(-1, 1, side)
    y, x = torch.meshgrid(line, line, indexing="ij")
    image = 0.5 * (x**2 + y**2 < 0.8).float()
    for _ in range(5):
        cx, cy, radius, value = torch.rand(4, generator=draw)
        inside = (x - cx + 0.5) ** 2 + (y - cy + 0.5) ** 2 < 0.02 + 0.08 * radius
        image += (value - 0.5) * inside
    return image.clamp(0, 1)[None, None]


def complex_brain() -> Tensor:
    """Draw a complex slice of a head, `(1, 2, 64, 64)`."""
    image = torch.from_numpy(brain(SIDE))[None, None]
    return torch.cat([image.real, image.imag], dim=1).float()


def noisy() -> Case:
    """Make a photograph with white noise."""
    truth = photograph()
    return Case(
        truth + NOISE * noise(truth.shape),
        Denoise((1, SIDE, SIDE)),
        truth,
        "a photograph of 64 x 64 pixels with white noise of standard deviation 0.1",
        {"sigma": NOISE},
    )


def holes() -> Case:
    """Make a photograph of which half of the pixels are missing."""
    mask = ut.physics.random_mask((SIDE, SIDE), missing=0.5)
    physics, truth = Inpaint(mask, (1, SIDE, SIDE)), photograph()
    text = "a photograph of 64 x 64 pixels of which half are missing"
    return Case(physics.A(truth), physics, truth, text)


def blurred() -> Case:
    """Make a photograph with a known blur and a little noise."""
    kernel = torch.from_numpy(gaussian_kernel(1.2)).float()
    physics, truth = Blur(kernel, (1, SIDE, SIDE)), photograph()
    y = physics.A(truth)
    return Case(
        y + 0.01 * noise(y.shape),
        physics,
        truth,
        "a photograph of 64 x 64 pixels under a Gaussian blur of 1.2 pixels, noise 0.01",
        {"sigma": 0.01},
    )


def counted() -> Case:
    """Count the photons of a blurred photograph, 200 where it is white."""
    kernel = torch.from_numpy(gaussian_kernel(1.2)).float()
    blur, truth = Blur(kernel, (1, SIDE, SIDE)), photograph()
    counts = torch.poisson(200 * blur.A(truth).clamp_min(0), torch.Generator().manual_seed(0))
    return Case(
        counts / 200,
        Photons(blur, 200),
        truth,
        "a photograph of 64 x 64 pixels under a Gaussian blur of 1.2 pixels, 200 photons at white",
    )


def unknown_blur() -> Case:
    """Make the blurred photograph, the kernel of which is not told."""
    known = blurred()
    text = known.text + "; the kernel is unknown"
    return Case(known.y, BlindBlur(9, (1, SIDE, SIDE)), known.truth, text)


def scan(coils: int = 4) -> Case:
    """Make an MRI scan with every third column and the centre."""
    mask = torch.zeros(SIDE, SIDE)
    mask[:, ::3] = 1
    mask[:, 28:36] = 1
    maps = torch.from_numpy(birdcage_maps(coils, (SIDE, SIDE)))[None]
    physics, truth = MRI(mask, maps), complex_brain()
    y = physics.A(truth)
    many = "four coils" if coils == 4 else f"{coils} coils"
    text = f"a simulated head of 64 x 64 pixels, {many}, every third column of k-space and eight "
    return Case(y + 0.005 * noise(y.shape), physics, truth, text + "in the centre")


def scan_with_guides() -> Case:
    """Make the MRI scan, with two clean images of similar content."""
    known = scan()
    guides = torch.cat([known.truth.roll(3, -1), known.truth.flip(-1)])
    text = known.text + "; two shifted or mirrored copies of the head are the similar images"
    return Case(known.y, known.physics, known.truth, text, {"guide": guides})


VIEWS = 24


@cache
def tomograph() -> CT:
    """Return the operator of 24 views of 64 x 64 pixels."""
    return CT((SIDE, SIDE), [7.5 * view for view in range(VIEWS)], detectors=92)


def few_views(seed: int = 100) -> Case:
    """Make a CT scan of few views."""
    physics, truth = tomograph(), discs(seed)
    y = physics.A(truth)
    y = y + 0.01 * float(y.mean()) * noise(y.shape, seed)
    return Case(y, physics, truth, f"CT of 64 x 64 pixels from {VIEWS} views, noise of 1 %")


def body_with_holes() -> Case:
    """Make a drawn body of which 70 % of the pixels are missing."""
    mask = ut.physics.random_mask((SIDE, SIDE), missing=0.7)
    physics, truth = Inpaint(mask, (1, SIDE, SIDE)), discs(100)
    text = "a drawn body of 64 x 64 pixels of which 70 % are missing"
    return Case(physics.A(truth), physics, truth, text)


def amplitudes() -> Case:
    """Make the Fourier amplitudes of a complex image."""
    part = photograph()[..., ::2, ::2]
    turn = 0.8 * part
    truth = torch.cat([part * turn.cos(), part * turn.sin()], dim=1)
    physics = PhaseRetrieval((2, 32, 32), 6, complex_image=True)
    text = "amplitudes of six coded diffraction patterns of a complex image of 32 x 32 pixels"
    return Case(physics.A(truth), physics, truth, text)


def moving() -> Tensor:
    """Draw a video of six frames in which a disc crosses a body, `(1, 1, 6, 32, 32)`."""
    line = torch.linspace(-1, 1, 32)
    y, x = torch.meshgrid(line, line, indexing="ij")
    body = 0.4 * (x**2 + y**2 < 0.8).float()
    frames = [body + 0.5 * ((x + 0.5 - 0.2 * t) ** 2 + y**2 < 0.06).float() for t in range(6)]
    return torch.stack(frames)[None, None]


def series() -> Case:
    """Make a time series with other missing pixels in every frame."""
    draw = torch.Generator().manual_seed(1)
    masks = (torch.rand(6, 32, 32, generator=draw) < 0.35).float()
    physics, truth = Series([Inpaint(mask, (1, 32, 32)) for mask in masks]), moving()
    text = "six frames of 32 x 32 pixels, 65 % of them missing, other ones in each frame"
    return Case(physics.A(truth), physics, truth, text)


def flickering() -> Case:
    """Make a video whose frames were brightened by random amounts."""
    frames = moving()
    gains = 1 + 0.15 * noise((1, 1, 6, 1, 1), 3)
    text = "six frames of 32 x 32 pixels, each brightened by an amount of its own"
    return Case(frames * gains, Processed(frames, 1), frames * gains.mean(), text)


def tank() -> Case:
    """Make voltages at the rim of a tank."""
    mesh = disc_mesh(16, size=0.02)
    turns = (torch.eye(16) - torch.eye(16).roll(1, 0)).numpy()
    physics = ut.physics.EIT(mesh, 1e-3 * turns, turns, (1, 32, 32))
    line = torch.linspace(-1, 1, 32)
    y, x = torch.meshgrid(-line, line, indexing="ij")
    truth = 1.0 + 2.0 * (((x - 0.3) ** 2 + (y - 0.2) ** 2) < 0.08).float()[None, None]
    volts = physics.A(truth)
    volts = volts + 1e-3 * float(volts.abs().mean()) * noise(volts.shape)
    text = "a tank with 16 electrodes and one body that conducts better, noise of 0.1 %"
    return Case(volts, physics, truth, text)


def cone() -> Case:
    """Make a cone-beam scan of a ball in a cylinder."""
    line = torch.linspace(-1, 1, 24)
    z, y, x = torch.meshgrid(line, line, line, indexing="ij")
    truth = 0.5 * (x**2 + y**2 < 0.8).float() + 0.5 * (x**2 + (y - 0.3) ** 2 + z**2 < 0.1).float()
    angles = np.arange(0, 360, 9.0)
    physics = ConeCT((24, 24, 24), angles, (36, 40), FanBeam(90.0, 130.0), detector_pitch=1.2)
    text = "a cone-beam scan of 40 views of 24 x 24 x 24 voxels"
    return Case(physics.A(truth[None, None]), physics, truth[None, None], text)


CASES: dict[str, Callable[[], Case]] = {
    "noisy": noisy,
    "holes": holes,
    "blurred": blurred,
    "counted": counted,
    "unknown_blur": unknown_blur,
    "scan": scan,
    "scan_with_guides": scan_with_guides,
    "few_views": few_views,
    "body_with_holes": body_with_holes,
    "amplitudes": amplitudes,
    "series": series,
    "flickering": flickering,
    "tank": tank,
    "cone": cone,
}


# what was learned beforehand ------------------------------------------------------------------


def in_a_file(weights: Any) -> str:
    """Save a trained prior, which a run reads from its file; returns the path."""
    path = Path(tempfile.mkdtemp()) / "prior.safetensors"
    weights.save(path)
    return str(path)


@cache
def prior() -> str:
    """Train a small denoiser on 24 drawn bodies; returns its file."""
    images = [ut.pretrain.clean_problem(discs(seed)) for seed in range(24)]
    settings = ["net.widths=16,24,32", "crop=32", "batch=4"]
    learned, _ = ut.pretrain.train(
        "denoiser", images, task="inpaint", steps=PRIOR_STEPS, settings=settings
    )
    return in_a_file(learned)


PRIOR_STEPS = 200
LEARNING = {
    "ugodit": (80, ["net=compact", "net.widths=8,16,32"]),
    "edip": (80, ["net.widths=8,16,32"]),
    "metadip": (30, ["net.widths=8,16,32", "adapt=3"]),
    "strainer": (1000, ["net.width=64", "net.layers=5"]),
    "nerp": (150, ["net.width=32", "net.layers=4"]),
    "varnet": (60, ["net.widths=8,16", "net.cascades=3"]),
    "modl": (40, ["net.widths=8,16", "net.iterations=2"]),
}
"""Method -> steps and settings of its training on four scans, or on what they show."""


def learned(name: str) -> Any:
    """Train the weights that `name` starts from: four scans by `few_views`, or their images."""
    steps, settings = LEARNING[name]
    cases = [few_views(seed) for seed in range(4)]
    scans = [ut.Problem(case.y, case.physics) for case in cases]
    truths: list[Tensor | None] = []
    if name in ("metadip", "strainer", "nerp"):
        scans = [ut.pretrain.clean_problem(case.truth, unit_range=False) for case in cases]
    elif name == "edip":
        scans = scans[:1]
    elif name in ("varnet", "modl"):
        truths = [case.truth for case in cases]
    if name == "nerp":
        scans = scans[:1]
    weights, _ = ut.pretrain.train(
        name, scans, task="ct", steps=steps, settings=settings, references=truths
    )
    return in_a_file(weights) if name in ("varnet", "modl") else weights
